#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Each write and each truncation of the pool fails, or is the last thing that kvpfs
does: for each kind of change the first such call, then the second, and so on until
there is none left.

Whatever happens, each key has its old or its new value, the mount shows what the pool
holds, and what said that it succeeded is there. An interrupted call is done again.
"""

import contextlib
import errno
import os
import stat
from os import O_APPEND, O_CREAT, O_RDWR, O_TRUNC, O_WRONLY

import harness
import pool
from harness import case, control, equal, exchange, figures, opened, read, write

# Repeats, a record without a key, noise; enough that records move by several pages.
RECORDS = [('k0', 'earlier'), ('k1', 'one'), ('', 'none'), ('k2', 'v' * 1000),
           ('noise', b'v\0noise'), ('k0', 'zero'), ('k3', 'three'), ('k4', 'four'),
           ('k1', 'uno'), ('k5', 'five')]
EMPTY = O_WRONLY | O_CREAT | O_TRUNC
CALLS = 'pwrite64', 'ftruncate'


def empty(path):
    with opened(path, EMPTY):
        pass


def empty_and_sync(path):
    with opened(path, EMPTY) as fd:
        os.fsync(fd)


def write_by_descriptor(path, data, flags, offset=0, size=None):
    with opened(path, flags) as fd:
        equal(os.pwrite(fd, data, offset), len(data))
        if size is not None:
            os.ftruncate(fd, size)
        os.close(os.dup(fd))            # a flush whose result counts


def clear_seen(m):
    """What was stored since it was emptied stays."""
    with opened(control(m), EMPTY) as fd:
        write(m / 'k3', b'since')
        os.fsync(fd)


def pool_of(*numbers):
    return b''.join(pool.encode(f'k{n}', f'restored {n}') for n in numbers)


CHANGES = {
    'overwrite': lambda m: write(m / 'k0', b'new'),
    'write into': lambda m: write_by_descriptor(m / 'k2', b'new', O_WRONLY, 500),
    'append': lambda m: write(m / 'k1', b' and more', O_WRONLY | O_APPEND),
    'create': lambda m: write(m / 'new', b'new'),
    'make': lambda m: os.mknod(m / 'new', stat.S_IFREG | 0o644),
    'empty': lambda m: empty(m / 'k0'),
    'empty a new one': lambda m: empty(m / 'new'),
    'empty and sync': lambda m: empty_and_sync(m / 'k1'),
    'truncate': lambda m: os.truncate(m / 'k2', 5),
    'remove': lambda m: os.unlink(m / 'k0'),
    'remove the last': lambda m: os.unlink(m / 'k5'),
    'rename': lambda m: os.rename(m / 'k0', m / 'new'),
    'rename over': lambda m: os.rename(m / 'k1', m / 'k4'),
    'exchange': lambda m: exchange(m / 'k0', m / 'k2'),
    'add records': lambda m: write(control(m), b'k3=a\nn=b\nk3=c\n', O_WRONLY | O_APPEND),
    'replace records': lambda m: write_by_descriptor(
        control(m), b'k4=a\nn=b\n', O_WRONLY | O_TRUNC),
    'replace by more': lambda m: write_by_descriptor(
        control(m), b''.join(b'k%d=more\n' % n for n in range(40)), O_WRONLY | O_TRUNC),
    'clear': lambda m: os.truncate(control(m), 0),
    'clear by closing': lambda m: empty(control(m)),
    'clear what was there': clear_seen,
    'replace the pool': lambda m: write_by_descriptor(
        control(m, 'pool'), pool_of(1, 2, 9), O_WRONLY | O_TRUNC),
    'change the pool in place': lambda m: write_by_descriptor(
        control(m, 'pool'), pool_of(7), O_RDWR, pool.RECORD_SIZE, 3 * pool.RECORD_SIZE),
}


def count_calls(m, name):
    """Of the system call NAME, as far as the trace goes."""
    with contextlib.suppress(FileNotFoundError):
        return read(os.path.join(m.top, 'trace')).count(f'{name}('.encode())
    return 0


def perform(m, change):
    """Whether it said that it succeeded, when all that it closed is dealt with."""
    succeeded = True
    for step in change, lambda m: os.statvfs(m.dir):    # answered behind each close
        try:
            step(m)
        except OSError:
            succeeded = False
    return succeeded


def shown(m):
    return {name: read(m / name) for name in m.names()}


def without(m, change):
    """What the pool holds after it."""
    pool.build(m.pool, *RECORDS)
    with m.mounted('nowatchers'):
        equal(perform(m, change), True)
    return m.entries()


def check(m, name, before, after, succeeded, killed):
    """Old or new, each key; what was only closed learns of no error."""
    now = m.entries()
    for key in {*before, *after, *now}:
        # what a clear is given to keep may be older or newer than the clear itself
        allowed = [before.get(key), after.get(key)]
        if name == 'clear what was there' and key == b'k3':
            allowed += [b'since'] if succeeded else [b'since', None]
        assert now.get(key) in allowed, (key, now.get(key), allowed)
    if succeeded and not killed and name not in ('empty', 'empty a new one',
                                                 'clear by closing'):
        equal(now, after)


def inject(m, name, change, after, injection, number):
    """Lets the call NUMBER of the program fail; whether there was one."""
    call, _, what = injection.partition(':')
    killed = what.startswith('signal')
    pool.build(m.pool, *RECORDS)
    before = m.entries()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(m.top, 'trace'))
    m.mount('nowatchers', harness.strace(m, f'{injection}:when={number}'))
    try:
        succeeded = perform(m, change)
        calls = count_calls(m, call)
        check(m, name, before, after, succeeded, killed)
        if calls < number:
            return False
        if killed:
            m.clean_up()
            m.mount('nowatchers')
        elif what == 'error=EINTR':
            equal((succeeded, m.entries()), (True, after))
        equal(shown(m), m.entries())
        write(m / 'probe', b'works')    # all goes on
        equal((m.value('probe'), os.path.getsize(m.pool) % pool.RECORD_SIZE),
              (b'works', 0))
        equal(shown(m), m.entries())
        m.unmount()
        return True
    finally:
        m.clean_up()


def inject_all(m, what):
    harness.strace(m)
    done = 0
    for name, change in CHANGES.items():
        after = without(m, change)
        for call in CALLS:
            number = 1
            while inject(m, name, change, after, f'{call}:{what}', number):
                number += 1
            done += number - 1
    figures(changes=len(CHANGES), calls_that_failed=done)


for what in 'error=EIO', 'error=ENOSPC', 'error=EINTR', 'signal=KILL':
    def test(m, what=what):
        inject_all(m, what)
    test.__name__ = f'each_change_survives_{what.partition("=")[2]}'
    case(options=None)(test)


@case(*RECORDS, options=None)
def large_requests_need_no_memory_anew(m):
    """The buffer of requests, of 1 MiB, is there: without it the mount would end."""
    if harness.is_sanitized():
        raise harness.Skip('the sanitizer needs memory itself')

    def write_too_much():
        harness.refused(errno.EFBIG, write, m / 'k0', b'v' * (1 << 20), O_WRONLY)
        os.stat(m / 'k0')

    harness.strace(m)
    injections = []
    for _ in range(2):
        m.mount('nowatchers', harness.strace(m, *injections))
        try:
            os.stat(m / 'k0')
            injections = [f'{call}:error=ENOMEM:when={count_calls(m, call) + 1}+'
                          for call in ('mmap', 'brk')]
            for _ in range(3):
                write_too_much()
            m.unmount()
        finally:
            m.clean_up()


if __name__ == '__main__':
    harness.main()
