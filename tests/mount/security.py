#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""That a mount is private without allow_other; how little others can hold up; and how
the program is built. access.py has who gets what with allow_other.
"""

import errno
import fcntl
import os
import re
import shutil
import signal
import stat
import subprocess
from os import O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY

import harness
import pool
from harness import (NOBODY, Child, Skip, case, equal, eventually, opened, read, refused,
                     status, write)

CONTROLS = 'records', 'entries', 'pool', 'status', 'events'


def open_close(path, flags):
    os.close(os.open(path, flags, 0o666))


# Without allow_other

def everything(m):
    yield from ((os.stat, m.dir), (os.listdir, m.dir), (os.stat, m / 'k'),
                (os.open, m / 'k', O_RDONLY), (os.open, m / 'k', O_WRONLY | O_TRUNC),
                (os.open, m / 'new', O_WRONLY | O_CREAT), (os.unlink, m / 'k'),
                (os.rename, m / 'k', m / 'l'), (os.truncate, m / 'k', 0),
                (os.chmod, m / 'k', 0o666), (os.chdir, m.dir))
    yield from ((os.open, m / f'.kvpfs/{name}', O_RDONLY) for name in CONTROLS)


@case(('k', 'v'), root=True)
def other_users_get_nothing_without_allow_other(m):
    os.chmod(m.pool, 0o666)
    for call in everything(m):
        refused(errno.EACCES, Child(*call, user=NOBODY).result)
    equal(Child(os.statvfs, m.dir, user=NOBODY).result().f_blocks, 0)

    def with_ids(*ids):
        os.setresuid(*ids)
        return os.listdir(m.dir)
    for ids in (NOBODY, 0, 0), (0, NOBODY, 0), (0, 0, NOBODY):
        refused(errno.EACCES, Child(with_ids, *ids).result)
    equal(m.records(), [(b'k', b'v')])


@case(('k', 'v'), options=None, root=True)
def root_gets_nothing_of_what_a_user_has_mounted(m):
    os.chown(m.pool, NOBODY, NOBODY)

    def run():
        m.mount('', harness.AS_NOBODY)
        try:
            for call in everything(m):
                refused(errno.EACCES, Child(*call).result)
            equal(Child(read, m / 'k', user=NOBODY).result(), b'v')
            Child(write, m / 'k', b'w', user=NOBODY).result()
        finally:
            m.unmount()
    harness.with_fuse_for_users(m, run)
    equal(m.records(), [(b'k', b'w')])


@case(options=None, root=True)
def what_a_user_makes_is_private_whatever_his_umask(m):
    own = os.path.join(m.top, 'own')
    os.mkdir(own)
    os.chown(own, NOBODY, NOBODY)
    m.pool = os.path.join(own, 'pool')

    def run():
        os.umask(0)
        m.mount('', harness.AS_NOBODY)
        try:
            equal(os.listdir(own), [])
            Child(write, m / 'k', b'v', user=NOBODY).result()
            equal(Child(os.stat, m / 'k', user=NOBODY).result().st_mode,
                  stat.S_IFREG | 0o600)
        finally:
            m.unmount()
    harness.with_fuse_for_users(m, run)
    equal(os.listdir(own), ['pool'])
    st = os.stat(m.pool)
    equal((st.st_mode, st.st_uid), (stat.S_IFREG | 0o600, NOBODY))
    equal(m.records(), [(b'k', b'v')])


# How long others can hold up who may write

def lock(path, kind, once):
    """By somebody who may only read the pool: until he is killed."""
    with opened(path, O_RDONLY) as fd:
        while True:
            fcntl.flock(fd, kind)
            if once:
                signal.pause()
            fcntl.flock(fd, fcntl.LOCK_UN)


def try_often(count, function, *arguments):
    """How often that was done, and was EBUSY."""
    done, busy = 0, 0
    for _ in range(count):
        try:
            function(*arguments)
            done += 1
        except OSError as error:
            equal(error.errno, errno.EBUSY)
            busy += 1
    return done, busy


def write_once(path):
    write(path, b'w', O_WRONLY)


@case(('k', 'v'), ('l', 'other'), options='lock_timeout=0.05', root=True)
def who_may_only_read_the_pool_holds_up_each_operation_once_at_most(m):
    os.chmod(m.pool, 0o644)
    for kind, once in ((fcntl.LOCK_SH, True), (fcntl.LOCK_EX, True),
                       (fcntl.LOCK_SH, False), (fcntl.LOCK_EX, False)):
        m.names()
        started = int(status(m)['lock_timeouts'])
        others = [Child(lock, m.pool, kind, once, user=NOBODY)
                  for _ in range(1 if once else 3)]
        if once:
            eventually(pool.locks_on, m.pool)
        done, busy = try_often(10, write_once, m / 'k')
        equal(read(m / 'l'), b'other')          # which needs no lock
        for other in others:
            other.kill()
        # each was refused in time
        equal(int(status(m)['lock_timeouts']) - started, busy)
        if once:
            equal(busy, 10)
        write_once(m / 'k')
        harness.figures(lock='shared' if kind == fcntl.LOCK_SH else 'exclusive',
                        held='all the time' if once else 'again and again',
                        done=done, busy=busy)


# How the program is built

def readelf(option):
    if not shutil.which('readelf'):
        raise Skip('needs readelf')
    if harness.is_sanitized():
        raise Skip('a sanitizer build')
    return subprocess.check_output(['readelf', '-W', option, harness.KVPFS], text=True,
                                   env={**os.environ, 'LC_ALL': 'C'})


@case(options=None)
def program_is_position_independent(_):
    assert re.search(r'Type: +DYN', readelf('--file-header'))
    assert 'Requesting program interpreter' in readelf('--program-headers')


@case(options=None)
def program_has_nothing_both_writable_and_executable(_):
    flags = re.findall(r'^ +(LOAD|GNU_STACK) .*? 0x\w+ 0x\w+ ([RWE ]{3}) ',
                       readelf('--program-headers'), re.M)
    assert ('GNU_STACK', 'RW ') in flags and len(flags) > 3, flags
    equal([flag for _, flag in flags if 'W' in flag and 'E' in flag], [])


@case(options=None)
def program_binds_all_symbols_first_and_protects_them(_):
    assert 'GNU_RELRO' in readelf('--program-headers')
    dynamic = readelf('--dynamic')
    assert re.search(r'\(FLAGS_1\).* NOW|BIND_NOW', dynamic)
    equal(re.findall(r'TEXTREL|RPATH|RUNPATH', dynamic), [])


@case(options=None)
def program_has_stack_protectors(_):
    assert '__stack_chk_fail' in readelf('--dyn-syms')


@case(options=None)
def program_calls_checking_functions(_):
    symbols = readelf('--dyn-syms')
    with open(os.path.join(harness.BUILD, 'Makefile')) as makefile:
        if not re.search(r'^CFLAGS = .*-O[123s]', makefile.read(), re.M):
            raise Skip('not optimised')
    assert re.search(r' __(?!stack)\w+_chk\b', symbols)


if __name__ == '__main__':
    harness.main()
