#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""What a program closed takes effect before whatever it, or anybody, asks next.

close(2) does not wait for what it causes. Here another program holds the pool's lock
while a file is closed, so that its storing waits; then come requests that concern it,
and the lock is given back. All must end as it would with no lock in the way.
"""

import contextlib
import errno
import fcntl
import os
import signal
import stat
import subprocess
from os import O_APPEND, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY

import harness
import pool
from harness import (Child, Flapper, Holder, case, control, equal, eventually, is_mounted,
                     opened, read, refused, rounds, write)

EMPTY = O_WRONLY | O_CREAT | O_TRUNC
RECORDS = ('j', 'jay'), ('k', 'OLD'), ('l', 'ell')


def empty(path):
    """As `: > path`."""
    with opened(path, EMPTY):
        pass


def append(path, data):
    write(path, data, O_WRONLY | O_CREAT | O_APPEND)


def write_and_sync(path, data):
    with opened(path, EMPTY) as fd:
        os.write(fd, data)
        os.fsync(fd)


def sync(path):
    with opened(path) as fd:
        os.fsync(fd)


def size(path):
    return os.stat(path).st_size


# What is closed while the pool is locked.
CLOSINGS = {
    'key': lambda m: empty(m / 'k'),
    'new key': lambda m: empty(m / 'n'),
    'records': lambda m: empty(control(m)),
    'pool': lambda m: empty(control(m, 'pool')),
}

# What is asked then. All of it concerns what each of the closings has stored; where it
# does not, it makes no difference.
REQUESTS = {
    'read': lambda m: read(m / 'k'),
    'size': lambda m: size(m / 'k'),
    'open to read and write': lambda m: write(m / 'k', b'x', O_RDWR),
    'append': lambda m: append(m / 'k', b'new'),
    'append to new': lambda m: append(m / 'n', b'new'),
    'overwrite': lambda m: write(m / 'k', b'new'),
    'write and sync': lambda m: write_and_sync(m / 'k', b'new'),
    'sync': lambda m: sync(m / 'k'),
    'empty again': lambda m: empty(m / 'k'),
    'make': lambda m: os.mknod(m / 'k', stat.S_IFREG | 0o644),
    'remove': lambda m: os.unlink(m / 'k'),
    'rename': lambda m: os.rename(m / 'k', m / 'z'),
    'rename over': lambda m: os.rename(m / 'l', m / 'k'),
    'truncate': lambda m: os.truncate(m / 'k', 1),
    'list': lambda m: sorted(os.listdir(m.dir)),
    'other key': lambda m: write_and_sync(m / 'j', b'new'),
    'add records': lambda m: append(control(m), b'a=1\nk=2\n'),
    'replace records': lambda m: write(control(m), b'a=1\n'),
    'clear': lambda m: os.truncate(control(m), 0),
    'read records': lambda m: read(control(m)),
    'read entries': lambda m: read(control(m, 'entries')),
    'read pool': lambda m: read(control(m, 'pool')),
    'size of records': lambda m: size(control(m)),
}


def outcome(function, *arguments):
    try:
        return function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]


def reset(m):
    write(control(m), pool.text(*RECORDS))
    m.names()


def without_a_lock(m, closing, request):
    reset(m)
    closing(m)
    answer = outcome(request, m)
    m.names()
    return answer, sorted(m.records())


def behind_a_lock(m, closing, request, kind):
    reset(m)
    with Holder(m, kind) as holder:
        closing(m)
        child = Child(outcome, request, m)
        eventually(lambda: child.is_blocked() or child.is_done())
        holder.release()
        answer = child.result()
    m.names()
    return answer, sorted(m.records())


def check(m, closings, kind):
    wrong = []
    for closing, close in closings.items():
        for request, ask in REQUESTS.items():
            wanted = without_a_lock(m, close, ask)
            found = behind_a_lock(m, close, ask, kind)
            if found != wanted:
                wrong.append((closing, request, wanted, found))
    equal(wrong, [])


for name, close in CLOSINGS.items():
    for kind in 'flock-ex', 'posix-ex':
        def test(m, name=name, close=close, kind=kind):
            check(m, {name: close}, kind)
        test.__name__ = (f'what_was_closed_comes_first_{name.replace(" ", "_")}_'
                         f'{kind.replace("-", "_")}')
        case(*RECORDS, options='lock_timeout=30')(test)


@case(*RECORDS, options='lock_timeout=30')
def many_closed_files_come_before_what_is_asked_of_the_last(m):
    """More than the kernel would tell of at a time by itself."""
    with Holder(m) as holder:
        for n in range(40):
            empty(m / f'new{n}')
        child = Child(lambda: (append(m / 'new39', b'new'), read(control(m)))[1])
        eventually(child.is_blocked)
        holder.release()
        equal(child.result(), pool.text(*RECORDS, *((f'new{n}', '') for n in range(39)),
                                        ('new39', 'new')))


@case(*RECORDS, options='lock_timeout=30,nowatchers')
def what_waited_behind_a_closed_file_has_looked_for_itself_alone(m):
    """A look serves one request; the next one sees what was changed in between."""
    m.names()
    lock = pool.try_lock(m.pool, 'flock-ex')
    empty(control(m))
    child = Child(lambda: os.close(os.open(m / '.kvpfs', os.O_PATH)))
    eventually(child.is_blocked)
    fcntl.flock(lock, fcntl.LOCK_UN)    # closing it would make the next one look anew
    child.result()
    pool.append(m.pool, ('a', '1'), ('b', '2'))
    equal(os.statvfs(m.dir).f_ffree, harness.CAP - 2)
    os.close(lock)


@case(*RECORDS, options='lock_timeout=30')
def what_waits_behind_a_closed_file_can_be_interrupted(m):
    with Holder(m):
        empty(m / 'k')
        child = Child(read, m / 'k')
        eventually(child.is_blocked)
        child.kill()
        equal(read(m / 'j'), b'jay')


@case(*RECORDS, options='lock_timeout=0.2')
def what_waits_behind_a_closed_file_gives_up_in_time(m):
    with Holder(m):
        empty(m / 'k')
        equal(outcome(read, m / 'k') in ('EBUSY', b'OLD'), True)
    equal(read(m / 'k'), b'OLD')        # it could not be stored; the log has it
    with open(m.log) as log:
        equal('store "k": pool is locked' in log.read(), True)


@case(*RECORDS, options='lock_timeout=30')
def nothing_is_overtaken_while_the_lock_comes_and_goes(m):
    with Flapper(m.pool):
        for n in range(rounds(100)):
            value = b'%d' % n
            empty(control(m))
            write_and_sync(m / 'k', value)
            equal(read(m / 'k'), value)
            empty(m / 'k')
            append(m / 'k', b'new')
            equal(read(m / 'k'), b'new')
            empty(control(m))
            append(control(m), b'a=1\n')
            equal(m.names(), [b'a'])
            empty(m / 'a')
            equal(read(m / 'a'), b'')


# Clearing: what was there when the file was opened

@case(*RECORDS, ('k', 'repeated'), ('', 'no key'))
def clear_at_release_leaves_what_was_stored_since(m):
    for name in 'records', 'pool':
        pool.build(m.pool, *RECORDS, ('k', 'repeated'), ('', 'no key'))
        with opened(control(m, name), EMPTY):
            write(m / 'new', b'new')
            write(m / 'j', b'other value')
            write(m / 'l', b'ell')      # an equal value, stored anew
            pool.append(m.pool, ('k', 'repeated'), ('x', 'y'))
        m.names()                       # answered when it is cleared
        equal(sorted(m.records()),
              [(b'j', b'other value'), (b'k', b'repeated'), (b'l', b'ell'),
               (b'new', b'new'), (b'x', b'y')])


@case(*RECORDS)
def clear_leaves_what_is_appended_behind_it_at_once(m):
    for n in range(rounds(300)):
        pool.build(m.pool, *RECORDS)
        empty(control(m))
        pool.append(m.pool, ('event', f'{n}'))
        eventually(lambda: m.records() == [(b'event', b'%d' % n)])


@case(*RECORDS, ('k', 'repeated'), options='lock_timeout=0')
def file_that_could_not_be_emptied_clears_nothing_and_keeps_nobody_from_it(m):
    """Reading it would need the lock; emptying it would not."""
    with opened(control(m), EMPTY):
        with Holder(m):
            refused(errno.EBUSY, os.open, control(m), O_RDWR | O_TRUNC)
    equal(m.names(), [])


@case(*RECORDS)
def fsync_clears_at_once_and_release_not_again(m):
    for name in 'records', 'pool':
        pool.build(m.pool, *RECORDS)
        with opened(control(m, name), EMPTY) as fd:
            os.fsync(fd)
            equal(m.records(), [])
            write(m / 'k', b'new')
        equal(read(m / 'k'), b'new')
        equal(m.names(), [b'k'])


@case(*RECORDS)
def truncating_an_open_file_and_fsync_clear_what_was_there_then(m):
    for name in 'records', 'pool':
        pool.build(m.pool, *RECORDS)
        with opened(control(m, name), O_WRONLY) as fd:
            write(m / 'k', b'before')
            os.ftruncate(fd, 0)
            write(m / 'j', b'after')
            os.fsync(fd)
            equal(m.records(), [(b'j', b'after')])


@case(*RECORDS)
def truncating_by_path_clears_at_once(m):
    for name in 'records', 'pool':
        pool.build(m.pool, *RECORDS)
        os.truncate(control(m, name), 0)
        equal(m.records(), [])


# The end

@case(*RECORDS, options=None)
def end_stores_nothing_that_is_open(m):
    m.mount()
    fds = [os.open(m / 'k', EMPTY), os.open(m / 'new', EMPTY),
           os.open(control(m), EMPTY), os.open(control(m, 'pool'), EMPTY)]
    m.unmount()
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
    equal(m.records(), [tuple(map(str.encode, pair)) for pair in RECORDS])


@case(*RECORDS, options=None)
def end_stores_what_was_closed(m):
    """Also what the program had not even been told of when the signal came."""
    for closing, wanted in (('k', [(b'j', b'jay'), (b'k', b''), (b'l', b'ell')]),
                            ('.kvpfs/records', [])):
        pool.build(m.pool, *RECORDS)
        m.mount()
        m.names()
        os.kill(m.pid(), signal.SIGSTOP)
        child = Child(empty, m / closing)
        eventually(child.is_blocked)
        os.kill(m.pid(), signal.SIGCONT)
        child.result()
        os.kill(m.pid(), signal.SIGSTOP)
        m.program.terminate()
        os.kill(m.pid(), signal.SIGCONT)
        equal(m.program.wait(), 0)
        m.program = None
        equal((is_mounted(m.dir), m.records()), (False, wanted))


@case(*RECORDS, options=None)
def end_waits_for_the_lock_of_what_was_closed(m):
    m.mount('lock_timeout=30')
    with Holder(m) as holder:
        empty(m / 'k')
        refused_later = Child(read, m / 'k')
        eventually(refused_later.is_blocked)
        m.program.terminate()
        eventually(refused_later.is_blocked)
        holder.release()
    equal(m.program.wait(), 0)
    # Python asks anew after EINTR: of the loop's rest, of nobody, or of what is below
    answer = outcome(refused_later.result)
    assert answer in (b'', 'ENOTCONN', 'ECONNABORTED', 'ENOENT'), answer
    m.program = None
    equal(m.value('k'), b'')


def work(m):
    """Until the mount is no more."""
    with contextlib.suppress(OSError):
        while True:
            write(m / 'k', b'new')
            read(control(m))
            sync(m / 'k')
    os._exit(0)


@case(*RECORDS, options=None, root=True)
def end_by_umount_is_no_failure_whatever_is_in_work(m):
    """Also when it is forced, or the mount is still in use."""
    for n in range(rounds(6)):
        m.mount()
        children = [Child(work, m) for _ in range(6)]
        eventually(lambda: m.value('k') == b'new')
        subprocess.run(['umount', '-l' if n % 2 else '-fl', m.dir], check=True)
        equal(m.program.wait(), 0)
        m.program = None
        for child in children:
            child.wait()
        equal(list(pool.flaws(m.pool)), [])


if __name__ == '__main__':
    harness.main()
