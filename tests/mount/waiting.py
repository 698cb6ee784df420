#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""What waits for a lock costs nobody anything: the program asks for the lock again and
does nothing else, others are served, and what concerns one pool or key waits for no
other.
"""

import contextlib
import os
import re
from os import O_CREAT, O_TRUNC, O_WRONLY

import harness
import pool
from harness import (Child, Flapper, Holder, case, control, equal, eventually, figures,
                     opened, read, write, write_all)

EMPTY = O_WRONLY | O_CREAT | O_TRUNC
LONG = 'lock_timeout=60'
TRIES = 50                              # of a lock that are looked at

# A try of the lock: the two locks, a look at inotify and at the file, and sleeping.
OF_A_TRY = {'flock', 'fcntl', 'read', 'fstat', 'newfstatat', 'statx', 'poll', 'ppoll'}


def replace_records(m, count):
    """By so many lines, of which the keys repeat: a pool may not have more."""
    fd = os.open(control(m), EMPTY)
    write_all(fd, b''.join(b'key-%d=%d\n' % (n % harness.CAP, n) for n in range(count)))
    os.close(fd)


def failed_tries(m):
    """What the program has done since the first try of a lock that failed, up to the
    last one, as lists of system calls between two tries."""
    lines = read(os.path.join(m.top, 'trace')).decode().splitlines()
    calls = [re.sub(r'^\d+ +', '', line) for line in lines]
    tries = [n for n, call in enumerate(calls)
             if call.startswith('flock(') and 'EAGAIN' in call]
    return [calls[one:two] for one, two in zip(tries, tries[1:])]


def name_of(call):
    return call.partition('(')[0]


@case(('k', 'v'), options=None)
def program_that_waits_asks_for_the_lock_and_does_nothing_else(m):
    """However much there is to store."""
    if harness.is_sanitized():
        raise harness.Skip('needs a program that can be traced')
    with m.mounted(f'{LONG},nowatchers', harness.strace(m)), \
            Holder(m, 'flock-ex') as holder:
        child = Child(replace_records, m, harness.CAP)
        eventually(lambda: len(failed_tries(m)) > TRIES)
        equal((os.stat(m / 'k').st_size, read(m / 'k')), (1, b'v'))
        so_far = len(failed_tries(m))
        eventually(lambda: len(failed_tries(m)) > so_far + TRIES)
        tries = failed_tries(m)
        holder.release()
        child.result()
        equal(len(m.names()), harness.CAP)
    alone = [calls for calls in tries if 'writev' not in map(name_of, calls)]
    equal(len(alone) > TRIES, True)
    for calls in alone:
        equal((len(calls) < 8, set(map(name_of, calls)) - OF_A_TRY), (True, set()))
    figures(tries=len(tries), calls=max(map(len, alone)))


# Several pools

def mount_many(m, options):
    m.pool = os.path.join(m.top, 'pools')
    os.mkdir(m.pool)
    for number in range(3):
        pool.build(file_of(m, number), ('k', f'{number}'))
    m.mount(options)


def file_of(m, number):
    return os.path.join(m.pool, f'.kvp_pool_{number}')


def use(directory):
    """All kinds of changes, and what is there then."""
    def at(name):
        return os.path.join(directory, name)
    write(at('.kvpfs/records'), b'a=1\nb=2\n')
    write(at('n'), b'new')
    os.rename(at('n'), at('o'))
    os.unlink(at('a'))
    with opened(at('b'), EMPTY):
        pass
    return sorted(os.listdir(directory)), read(at('b')), read(at('.kvpfs/records'))


@case(options=None)
def pools_do_not_wait_for_each_other(m):
    mount_many(m, LONG)
    with Holder(m, 'flock-ex', path=file_of(m, 1)):
        os.close(os.open(m / 'guest/.kvpfs/records', EMPTY))     # that comes first there
        waiting = [Child(read, m / 'guest/k'), Child(write, m / 'guest/k', b'v')]
        for child in waiting:
            eventually(child.is_blocked)
        equal(use(m / 'external'), (['b', 'o'], b'', b'b=\no=new\n'))
        equal(use(m / 'auto'), (['b', 'o'], b'', b'b=\no=new\n'))
        equal([child.is_done() for child in waiting], [False, False])
    for child in waiting:
        with contextlib.suppress(FileNotFoundError):
            child.result()
    m.unmount()


@case(*[(f'k{n}', 'old') for n in range(20)], options=LONG)
def files_closed_at_once_wait_for_their_key_only(m):
    """A closed file comes before what is asked of its key, not of others."""
    names = sorted(m.names())
    with Holder(m, 'flock-ex') as holder:
        for name in names[:15]:
            os.close(os.open(m / name, EMPTY))
        equal([read(m / name) for name in names[15:]], [b'old'] * 5)
        child = Child(read, m / names[0])
        eventually(child.is_blocked)
        holder.release()
        equal(child.result(), b'')
    equal(sorted(m.entries().items()),
          [(name, b'' if name in names[:15] else b'old') for name in names])


def change_all(directory, names, n):
    """Closes many at once, and asks of each what it must find then."""
    fds = [os.open(os.path.join(directory, name), EMPTY) for name in names]
    for fd in fds:
        os.close(fd)
    for name in names:
        equal(read(os.path.join(directory, name)), b'')
    fds = [os.open(os.path.join(directory, name), EMPTY) for name in names]
    for fd in fds:
        os.close(fd)
    for name in reversed(names):
        write(os.path.join(directory, name), b'%d' % n, O_WRONLY | os.O_APPEND)
    for name in names:
        equal(read(os.path.join(directory, name)), b'%d' % n)
    fd = os.open(os.path.join(directory, '.kvpfs/records'), EMPTY)
    os.close(fd)
    equal(os.listdir(directory), [])


def change_again_and_again(directory, count):
    for n in range(count):
        change_all(directory, [f'k{i}' for i in range(16)], n)


@case(options=None)
def many_files_closed_at_once_come_first_in_each_pool(m):
    """While all locks come and go, each at its own pace."""
    mount_many(m, LONG)
    count = harness.rounds(5)
    with contextlib.ExitStack() as stack:
        # first, or they would have the descriptors with the locks
        children = [Child(change_again_and_again, m / name, count)
                    for name in ('external', 'guest', 'auto')]
        for number, kind in enumerate(('flock-ex', 'posix-ex', 'ofd-ex')):
            stack.enter_context(Flapper(file_of(m, number), kind, 0.001 + number / 1000))
        for child in children:
            child.result()
    figures(rounds=count, files_each=16)
    m.unmount()


if __name__ == '__main__':
    harness.main()
