#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Who gets what through a mount: exactly what the pool's mode gives him, with plain
files of that mode as the judge; how little others can hold up; and how the program
is built.
"""

import collections
import errno
import fcntl
import itertools
import os
import re
import shutil
import stat
import subprocess
import time
from os import (O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_PATH, O_RDONLY, O_RDWR,
                O_TRUNC, O_WRONLY)

import harness
import pool
from harness import (NOBODY, Child, Skip, case, equal, eventually, exchange, opened,
                     read, refused, write)

OWNER, GROUP = 1234, 4242
MODES = 0o600, 0o640, 0o644, 0o666, 0o604, 0o660, 0o602, 0o400, 0o444, 0o000
CONTROLS = 'records', 'entries', 'pool', 'status', 'events'
AS_NOBODY = ['setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups']


def attributes(path):
    st = os.stat(path)
    return (oct(st.st_mode), st.st_uid, st.st_gid,
            None if stat.S_ISDIR(st.st_mode) else st.st_size)


def again(path, first, then):
    """Opens, and opens what that gave once more in another way."""
    with opened(path, first) as fd, opened(f'/proc/self/fd/{fd}', then):
        pass


def open_close(path, flags):
    os.close(os.open(path, flags, 0o666))


# What can be tried with a file of one's own, and what with a directory. What only the
# owner of a plain file could do, kvpfs allows to nobody: see NEVER.
FILE = {
    'stat': attributes, 'read': read,
    'write': lambda f: write(f, b'new', O_WRONLY),
    'overwrite': lambda f: write(f, b'new', O_WRONLY | O_TRUNC),
    'append': lambda f: write(f, b'+', O_WRONLY | O_APPEND),
    'open to read and write': lambda f: open_close(f, O_RDWR),
    'open to read and truncate': lambda f: open_close(f, O_RDONLY | O_TRUNC),
    'open to create anew': lambda f: open_close(f, O_WRONLY | O_CREAT | O_EXCL),
    'truncate': lambda f: os.truncate(f, 1), 'unlink': os.unlink,
    'rename': lambda f: os.rename(f, f + '.new'),
    'exchange': lambda f: exchange(f, os.path.join(os.path.dirname(f), 'other')),
    'rename over': lambda f: os.rename(f, os.path.join(os.path.dirname(f), 'target')),
    'touch': os.utime, 'set times': lambda f: os.utime(f, (1, 1)),
    'access': lambda f: [os.access(f, how) for how in range(8)],
    'effective access': lambda f: [os.access(f, how, effective_ids=True)
                                   for how in range(8)],
    'open the path': lambda f: open_close(f, O_PATH),
    **{f'open {one} and again {two}':
       lambda f, first=first, then=then: again(f, first, then)
       for one, first in (('the path', O_PATH), ('to read', O_RDONLY),
                          ('to write', O_WRONLY))
       for two, then in (('to read', O_RDONLY), ('to write', O_WRONLY),
                         ('both', O_RDWR), ('to truncate', O_WRONLY | O_TRUNC))},
}
DIRECTORY = {
    'stat dir': attributes, 'list': lambda d: sorted(os.listdir(d)), 'enter': os.chdir,
    'open dir': lambda d: open_close(d, O_RDONLY | O_DIRECTORY),
    'access dir': lambda d: [os.access(d, how) for how in range(8)],
    'create': lambda d: write(d + '/new', b'v', O_WRONLY | O_CREAT | O_EXCL),
    'make a node': lambda d: os.mknod(d + '/node', stat.S_IFREG | 0o666),
    'stat what is missing': lambda d: os.stat(d + '/missing'),
    'list .kvpfs': lambda d: sorted(os.listdir(d + '/.kvpfs')),
    'stat .kvpfs': lambda d: attributes(d + '/.kvpfs'),
    'create in .kvpfs': lambda d: open_close(d + '/.kvpfs/new', O_WRONLY | O_CREAT),
    'rename .kvpfs/records': lambda d: os.rename(d + '/.kvpfs/records', d + '/r'),
    'unlink .kvpfs/status': lambda d: os.unlink(d + '/.kvpfs/status'),
    **{f'access .kvpfs/{name}':
       lambda d, name=name: [os.access(f'{d}/.kvpfs/{name}', how) for how in range(8)]
       for name in CONTROLS},
    **{f'open .kvpfs/{name} {flags:o}':
       lambda d, name=name, flags=flags: open_close(f'{d}/.kvpfs/{name}', flags)
       for name in CONTROLS for flags in (O_RDONLY, O_WRONLY | O_APPEND, O_RDWR)},
    'open .kvpfs/records again':
        lambda d: again(d + '/.kvpfs/records', O_RDONLY, O_WRONLY | O_APPEND),
}
NEVER = {
    'chmod': lambda f: os.chmod(f, 0o777), 'chown': lambda f: os.chown(f, NOBODY, -1),
    'chgrp': lambda f: os.chown(f, -1, NOBODY),
    'link': lambda f: os.link(f, f + '.link'), 'mkdir': lambda f: os.mkdir(f + '.dir'),
    'symlink': lambda f: os.symlink('x', f + '.symlink'),
    'fifo': lambda f: os.mkfifo(f + '.fifo'),
}
NAMES = [*FILE, *NEVER, 'other', 'target']
VALUES = [(name, 'value of ' + name) for name in NAMES]


def attempt(function, path):
    try:
        return function(path)
    except OSError as error:
        return errno.errorcode[error.errno]


def try_all(directory, user, groups):
    """Runs in a process of its own; what came of each attempt."""
    os.setgroups(groups)
    os.setgid(user)
    os.setuid(user)
    results = {name: attempt(function, directory) for name, function in DIRECTORY.items()}
    for name, function in FILE.items():
        results[name] = attempt(function, os.path.join(directory, name))
    return results


def try_never(directory, user, groups):
    os.setgroups(groups)
    os.setgid(user)
    os.setuid(user)
    return {attempt(function, os.path.join(directory, name))
            for name, function in NEVER.items()}


def clear_records(records, user, groups):
    os.setgroups(groups)
    os.setgid(user)
    os.setuid(user)
    return attempt(lambda path: open_close(path, O_WRONLY | O_TRUNC), records)


def make_plain(directory, mode):
    """Files and directories as the mount has them for a pool of this mode."""
    def make(path, content, bits):
        write(path, content)
        os.chown(path, OWNER, GROUP)
        os.chmod(path, bits)
    enter = mode | (mode & 0o444) >> 2
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory + '/.kvpfs')
    for name, value in VALUES:
        make(os.path.join(directory, name), value.encode(), mode)
    for name in CONTROLS:
        bits = mode if name == 'records' else mode & 0o444
        make(os.path.join(directory, '.kvpfs', name), b'', bits)
    for path, bits in (directory + '/.kvpfs', enter & 0o555), (directory, enter):
        os.chown(path, OWNER, GROUP)
        os.chmod(path, bits)


def contents(directory):
    return {os.fsencode(name): read(os.path.join(directory, name))
            for name in os.listdir(directory) if name != '.kvpfs'}


def listed(results):
    """A plain directory shows its `.kvpfs`."""
    if isinstance(results['list'], list):
        results['list'] = [name for name in results['list'] if name != '.kvpfs']
    return results


def set_mode(m, mode):
    pool.build(m.pool, *VALUES)
    os.chmod(m.pool, mode)
    eventually(lambda: stat.S_IMODE(os.stat(m.dir).st_mode) ==
               mode | (mode & 0o444) >> 2)


@case(options='allow_other', root=True)
def each_user_gets_what_plain_files_of_the_pools_mode_give(m):
    plain = os.path.join(m.top, 'plain')
    counts = collections.Counter()
    os.chown(m.pool, OWNER, GROUP)
    for mode, user in itertools.product(MODES, ((OWNER, []), (NOBODY, [GROUP]),
                                                (NOBODY, []))):
        make_plain(plain, mode)
        set_mode(m, mode)
        wanted = listed(Child(try_all, plain, *user).result())
        found = Child(try_all, m.dir, *user).result()
        differences = {name: (found[name], wanted[name]) for name in wanted
                       if found[name] != wanted[name]}
        if differences:
            raise AssertionError(f'{mode:o}, {user}: {differences}')
        equal(m.entries(), contents(plain))
        for result in found.values():
            counts[result if result in ('EACCES', 'EPERM') else 'as allowed'] += 1
        equal(Child(try_never, m.dir, *user).result() - {'EACCES', 'EPERM'}, set())
        before = m.entries()
        wanted = Child(clear_records, plain + '/.kvpfs/records', *user).result()
        equal(Child(clear_records, m / '.kvpfs/records', *user).result(), wanted)
        eventually(lambda: m.entries() == (before if wanted else {}))
        equal(stat.S_IMODE(os.stat(m.pool).st_mode), mode)
    harness.figures(**counts)


@case(('k', 'v'), options='allow_other', root=True)
def mode_taken_away_later_lets_nobody_open_what_he_has_open(m):
    os.chmod(m.pool, 0o666)
    with opened(m / 'k', O_RDWR) as fd, opened(m / 'k', O_PATH) as path:
        os.chmod(m.pool, 0o600)
        for descriptor in fd, path:             # the kernel may know for a tick
            eventually(lambda: os.fstat(descriptor).st_mode & 0o777 == 0o600)
            for flags in O_RDONLY, O_WRONLY:
                refused(errno.EACCES, Child(os.open, f'/proc/self/fd/{descriptor}', flags,
                                            user=NOBODY).result)


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


def behind_an_open_fuse_device(m, function):
    """Any user may open /dev/fuse, as on most systems."""
    device = os.path.join(m.top, 'fuse')
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(10, 229))
    except PermissionError:
        raise Skip('cannot make devices here') from None
    os.chmod(device, 0o666)
    os.chown(m.dir, NOBODY, NOBODY)

    def run():
        try:
            Child(open_close, '/dev/fuse', O_RDWR, user=NOBODY).result()
        except OSError:
            return 'other users cannot open /dev/fuse'
        return function()
    for tool in 'setpriv', 'fusermount3':
        if not shutil.which(tool):
            raise Skip(f'needs {tool}')
    harness.with_mounts(run, ['mount', '--bind', device, '/dev/fuse'])


@case(('k', 'v'), options=None, root=True)
def root_gets_nothing_of_what_a_user_has_mounted(m):
    os.chown(m.pool, NOBODY, NOBODY)

    def run():
        m.mount('', AS_NOBODY)
        try:
            for call in everything(m):
                refused(errno.EACCES, Child(*call).result)
            equal(Child(read, m / 'k', user=NOBODY).result(), b'v')
            Child(write, m / 'k', b'w', user=NOBODY).result()
        finally:
            m.unmount()
    behind_an_open_fuse_device(m, run)
    equal(m.records(), [(b'k', b'w')])


@case(options=None, root=True)
def what_a_user_makes_is_private_whatever_his_umask(m):
    own = os.path.join(m.top, 'own')
    os.mkdir(own)
    os.chown(own, NOBODY, NOBODY)
    m.pool = os.path.join(own, 'pool')

    def run():
        os.umask(0)
        m.mount('', AS_NOBODY)
        try:
            equal(os.listdir(own), [])
            Child(write, m / 'k', b'v', user=NOBODY).result()
            equal(Child(os.stat, m / 'k', user=NOBODY).result().st_mode,
                  stat.S_IFREG | 0o600)
        finally:
            m.unmount()
    behind_an_open_fuse_device(m, run)
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
                time.sleep(3600)
            fcntl.flock(fd, fcntl.LOCK_UN)


def try_often(count, function, *arguments):
    """How often that was done, was EBUSY, and how many ms the longest try took."""
    done, busy, longest = 0, 0, 0
    for _ in range(count):
        start = time.monotonic()
        try:
            function(*arguments)
            done += 1
        except OSError as error:
            equal(error.errno, errno.EBUSY)
            busy += 1
        longest = max(longest, round(1000 * (time.monotonic() - start)))
    return done, busy, longest


def timeouts(m):
    return int(re.search(rb'^lock_timeouts=(\d+)', read(m / '.kvpfs/status'), re.M)[1])


def write_once(path):
    write(path, b'w', O_WRONLY)


@case(('k', 'v'), ('l', 'other'), options='lock_timeout=0.05', root=True)
def who_may_only_read_the_pool_holds_up_each_operation_once_at_most(m):
    os.chmod(m.pool, 0o644)
    for kind, once in ((fcntl.LOCK_SH, True), (fcntl.LOCK_EX, True),
                       (fcntl.LOCK_SH, False), (fcntl.LOCK_EX, False)):
        m.names()
        started = timeouts(m)
        others = [Child(lock, m.pool, kind, once, user=NOBODY)
                  for _ in range(1 if once else 3)]
        if once:
            eventually(pool.locks_on, m.pool)
        done, busy, longest = try_often(10, write_once, m / 'k')
        equal(read(m / 'l'), b'other')          # which needs no lock
        for other in others:
            other.kill()
        equal(timeouts(m) - started, busy)      # each was refused in time
        if once:
            equal(busy, 10)
        write_once(m / 'k')
        harness.figures(lock='shared' if kind == fcntl.LOCK_SH else 'exclusive',
                        held='all the time' if once else 'again and again',
                        done=done, busy=busy, longest_ms=longest)


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
