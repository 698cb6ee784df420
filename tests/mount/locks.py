#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""How a mount shares its pool with programs that lock it: who keeps whom out,
for how long, what is served meanwhile, and how a wait ends.

The locks of others are held by `pool.py hold` in a process of its own, since
record locks do not conflict within one process.
"""

import contextlib
import ctypes
import errno
import fcntl
import itertools
import os
import signal
import stat
import threading
from os import O_CREAT, O_TRUNC, O_WRONLY

import harness
import pool
from harness import (Child, Holder, case, equal, eventually, interrupt, interruptible,
                     libc, opened, read, refused, status, write)

EXCLUSIVE = 'flock-ex', 'posix-ex', 'ofd-ex'
SHARED = 'flock-sh', 'posix-sh', 'ofd-sh'
BRIEF, LONG = 'lock_timeout=0.1', 'lock_timeout=40'


def write_once(path, data):
    with opened(path, O_WRONLY) as fd:
        return os.write(fd, data)


# Being kept out

@case(('k', 'v'), options=BRIEF)
def any_lock_of_another_refuses_a_change_with_ebusy(m):
    for kind in EXCLUSIVE + SHARED:
        with Holder(m, kind):
            refused(errno.EBUSY, write_once, m / 'k', b'w')
            equal(m.records(), [(b'k', b'v')])
    write(m / 'k', b'w')
    equal(m.records(), [(b'k', b'w')])


@case(('k', 'v'), options=BRIEF)
def open_file_is_read_whoever_holds_the_changed_pool(m):
    for kind in EXCLUSIVE:
        with opened(m / 'k') as never_read, opened(m / 'k') as fd:
            equal(os.read(fd, 1), b'v')
            with Holder(m, kind) as holder:
                os.fstat(fd)            # of which the kernel remembers nothing
                holder.append('l=w')
                equal(os.pread(fd, 9, 0), b'v')
                equal(os.pread(never_read, 9, 0), b'v')


@case(('k', 'v'), options=BRIEF)
def log_names_who_holds_the_lock(m):
    for kind in 'flock-ex', 'flock-sh', 'posix-ex', 'posix-sh':
        with Holder(m, kind) as holder:
            refused(errno.EBUSY, write, m / kind, b'w')
            with open(m.log) as log:
                line = log.read().splitlines()[-1]
            with open(f'/proc/{holder.process.pid}/comm') as comm:
                name = comm.read().rstrip('\n')
            equal(f' another process (pid {holder.process.pid} "{name}") ' in line, True)


@case(('k', 'v'), options=BRIEF)
def holder_of_two_locks_is_named_once(m):
    fds = [pool.try_lock(m.pool, kind) for kind in ('flock-sh', 'posix-sh')]
    refused(errno.EBUSY, write_once, m / 'k', b'w')
    with open(m.log) as log:
        equal(log.read().partition(' (caller')[0].count(f'pid {os.getpid()} '), 1)
    for fd in fds:
        os.close(fd)


def lock_behind_many(m):
    """The kernel shows the newest locks of a processor first."""
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    with opened(m.pool) as fd, opened(m.log, os.O_RDWR) as other:
        fcntl.flock(fd, fcntl.LOCK_EX)
        for start in range(0, 2400, 2):
            fcntl.lockf(other, fcntl.LOCK_SH, 1, start)
        refused(errno.EBUSY, write, m / 'k', b'new')
    return os.getpid()


@case(('k', 'old'), options='lock_timeout=0.01')
def log_names_a_holder_behind_more_locks_than_can_be_looked_at(m):
    pid = Child(lock_behind_many, m).result()
    with open(m.log) as log:
        equal(f'pool is locked by another process (pid {pid} ' in log.read(), True)


@case(('k', 'value'), ('l', 'v'), options=BRIEF)
def every_change_waits_for_the_lock(m):
    with opened(m / 'k', O_WRONLY | O_TRUNC) as pending, \
            opened(m / 'l', O_WRONLY | O_TRUNC) as other, Holder(m, 'flock-ex'):
        for change in ((os.unlink, m / 'k'), (os.rename, m / 'k', m / 'n'),
                       (os.truncate, m / 'k', 1), (os.write, pending, b'w'),
                       (os.fsync, other), (os.mknod, m / 'n', stat.S_IFREG | 0o644)):
            refused(errno.EBUSY, *change)
        equal(m.records(), [(b'k', b'value'), (b'l', b'v')])


@case(('k', 'v'), options=BRIEF)
def write_refused_for_the_lock_leaves_the_old_value_and_makes_no_key(m):
    with Holder(m, 'ofd-ex'):
        for name, flags in ('k', O_WRONLY | O_TRUNC), ('n', O_WRONLY | O_CREAT):
            with opened(m / name, flags) as fd:
                refused(errno.EBUSY, os.write, fd, b'w')
    m.unmount()
    equal(m.records(), [(b'k', b'v')])


@case(('k', 'v'), options=BRIEF)
def changed_pool_is_not_read_against_an_exclusive_lock(m):
    for kind in EXCLUSIVE:
        with Holder(m, kind) as holder:
            holder.append(f'{kind}=1')
            refused(errno.EBUSY, os.open, m / 'k', os.O_RDONLY)
            refused(errno.EBUSY, os.stat, m / 'k')
            refused(errno.EBUSY, os.stat, m / kind)
            refused(errno.EBUSY, os.listdir, m.dir)
        equal(read(m / kind), b'1')


@case(('k', 'v'), options=BRIEF)
def changed_pool_is_read_beside_shared_locks(m):
    for kind in SHARED:
        with Holder(m, kind) as holder:
            holder.append(f'{kind}=1')
            equal(read(m / kind), b'1')
            refused(errno.EBUSY, write_once, m / 'k', b'w')


@case(('k', 'v'), options=BRIEF)
def unchanged_pool_is_read_without_a_lock(m):
    for kind in EXCLUSIVE:
        with opened(m / 'k') as fd, Holder(m, kind):
            equal(os.stat(m / 'k').st_size, 1)
            equal(read(m / 'k'), b'v')
            equal(os.pread(fd, 10, 0), b'v')
            equal(m.names(), [b'k'])
            equal(os.statvfs(m.dir).f_ffree, harness.CAP - 1)
            refused(errno.ENOENT, os.stat, m / 'missing')


# Keeping others out

def can_lock(path, kind):
    try:
        os.close(pool.try_lock(path, kind))
    except OSError:
        return False
    return True


@case(('k', 'v'), ('l', 'v'), options='nowatchers')
def no_lock_is_held_between_operations(m):
    """Watchers would have it look again each time that the pool is closed here."""
    with opened(m / 'k'), opened(m / 'l', O_WRONLY | O_TRUNC), \
            opened(m / 'new', O_WRONLY | O_CREAT), os.scandir(m.dir) as listing, \
            opened(m / 'written', O_WRONLY | O_CREAT) as written:
        next(listing)
        os.write(written, b'half \xe2')
        for kind in EXCLUSIVE:
            os.close(pool.try_lock(m.pool, kind))
        with contextlib.suppress(OSError):      # EILSEQ for the half character
            os.fsync(written)
        os.write(written, b'\x82\xac')
    for kind in EXCLUSIVE:              # the kernel closes behind our back
        eventually(can_lock, m.pool, kind)


@case(('k', 'v'), ('l', 'v'), options=f'{BRIEF},nowatchers')
def no_lock_of_any_kind_is_there_while_files_are_open(m):
    """As /proc/locks tells it, after each call. Watchers would have it look again."""
    records = m / '.kvpfs/records'
    with contextlib.ExitStack() as stack:
        def enter(path, flags=os.O_RDONLY):
            fd = stack.enter_context(opened(path, flags))
            equal(pool.locks_on(m.pool), [])
            return fd
        os.read(enter(m / 'k'), 10)
        for flags in O_WRONLY, O_WRONLY | O_TRUNC, os.O_RDWR | os.O_APPEND, os.O_PATH:
            enter(m / 'l', flags)
        enter(m / 'new', O_WRONLY | O_CREAT)
        enter(m.dir, os.O_RDONLY | os.O_DIRECTORY)
        for name in 'entries', 'pool', 'status', 'records', 'events':
            os.read(enter(m / f'.kvpfs/{name}', os.O_RDONLY | os.O_NONBLOCK), 0)
        half, anew = (enter(records, O_WRONLY | flag) for flag in (os.O_APPEND, O_TRUNC))
        os.write(half, b'a=1\nhalf a line')
        os.write(anew, b'k=new\n')
        os.pwrite(enter(m / 'l', O_WRONLY), b'w', 0)
        equal(pool.locks_on(m.pool), [])
        with Holder(m, 'flock-sh'):
            refused(errno.EBUSY, write_once, m / 'k', b'w')
            equal(len(pool.locks_on(m.pool)), 1)        # it can tell
        equal(pool.locks_on(m.pool), [])
    eventually(lambda: not pool.locks_on(m.pool))


@case(('k', 'v'), options=BRIEF)
def neither_lock_is_kept_when_the_other_was_not_had(m):
    for kind, other in (('posix-ex', 'flock-ex'), ('flock-ex', 'ofd-ex'),
                        ('ofd-sh', 'flock-ex'), ('flock-sh', 'posix-ex')):
        with Holder(m, kind):
            refused(errno.EBUSY, write_once, m / 'k', b'w')
            os.close(pool.try_lock(m.pool, other))


# Waiting

@case(('k', 'v'), ('l', 'other'), options=LONG)
def waiting_write_goes_on_when_the_lock_is_released(m):
    for kind in EXCLUSIVE + SHARED:
        with Holder(m, kind) as holder:
            waiting = Child(write_once, m / 'k', b'%-8s' % kind.encode())
            for _ in range(20):
                equal(read(m / 'l'), b'other')
                assert not waiting.is_done()
            holder.release()
            equal(waiting.result(), 8)
        equal(m.value('k'), b'%-8s' % kind.encode())


@case(('k', 'v'), ('l', 'other'), options=LONG)
def other_requests_are_served_while_a_write_waits(m):
    with Holder(m, 'posix-ex') as holder:
        waiting = Child(write_once, m / 'k', b'w')
        for _ in range(20):
            equal(read(m / 'l'), b'other')
            equal(os.stat(m / 'l').st_size, 5)
            equal(m.names(), [b'k', b'l'])
            equal(os.statvfs(m.dir).f_blocks, harness.CAP)
            refused(errno.ENOENT, os.stat, m / 'missing')
            os.close(os.open(m / 'l', O_WRONLY))
        equal(waiting.is_done(), False)
        holder.release()
        equal(waiting.result(), 1)


@case(('k', 'v'), ('l', 'other'), options=LONG)
def known_files_are_served_while_an_unlink_waits(m):
    with opened(m / 'l') as fd, Holder(m, 'flock-ex') as holder:
        waiting = Child(os.unlink, m / 'k')
        for _ in range(20):
            equal(os.pread(fd, 10, 0), b'other')
            equal(read(m / 'l'), b'other')
            equal(os.stat(m / 'l').st_size, 5)
        equal(waiting.is_done(), False)
        holder.release()
        waiting.result()
    equal(m.records(), [(b'l', b'other')])


@case(*[(f'k{n}', 'v') for n in range(30)], options=LONG)
def many_waiting_requests_all_go_on(m):
    with Holder(m, 'ofd-ex') as holder:
        waiting = [Child(write_once, m / f'k{n}', b'w%d' % n) for n in range(30)]
        for child in waiting:
            eventually(child.is_blocked)
        equal(read(m / 'k0'), b'v')
        holder.release()
        for child in waiting:
            child.result()
    equal(m.entries(), {b'k%d' % n: b'w%d' % n for n in range(30)})


@case(('k', 'v'), options=LONG)
def waiting_read_sees_what_the_holder_of_the_lock_wrote(m):
    with Holder(m, 'flock-ex') as holder:
        holder.append('k=first')
        waiting = Child(read, m / 'k')
        holder.append('k=second')
        holder.release()
        equal(waiting.result(), b'second')


@case(('k', 'v'), options=LONG)
def waiting_write_keeps_what_the_holder_of_the_lock_wrote(m):
    with Holder(m, 'flock-ex') as holder:
        fd = os.open(m / 'new', O_WRONLY | O_CREAT)
        waiting = Child(os.write, fd, b'n')
        eventually(waiting.is_blocked)
        holder.append('h=1')
        holder.append('new=holder')
        holder.append('k=w')
        holder.release()
        equal(waiting.result(), 1)
        os.close(fd)
    equal(m.entries(), {b'k': b'w', b'h': b'1', b'new': b'n'})


@case(('k', 'v'), options=LONG)
def waiting_truncate_leaves_removed_what_the_holder_of_the_lock_removed(m):
    """Also if somebody else has opened the file meanwhile."""
    for size, flags in itertools.product((0, 1), (None, os.O_RDONLY, O_WRONLY)):
        pool.build(m.pool, ('k', 'v'))
        m.names()
        lock = pool.try_lock(m.pool, 'flock-ex')
        waiting = Child(os.truncate, m / 'k', size)
        eventually(waiting.is_blocked)
        with opened(m / 'k', flags) if flags is not None else contextlib.nullcontext():
            os.ftruncate(lock, 0)
            fcntl.flock(lock, fcntl.LOCK_UN)
            os.close(lock)
            refused(errno.ENOENT, waiting.result)
        equal(m.entries(), {})


@case(('k', 'v'), options=LONG)
def waiting_write_goes_to_the_pool_that_the_path_names_when_it_is_done(m):
    other = os.path.join(m.top, 'other')
    pool.build(other, ('k', 'other'), ('l', '2'))
    with opened(m / 'k', O_WRONLY) as fd, Holder(m, 'flock-ex') as holder:
        waiting = Child(os.write, fd, b'new')
        eventually(waiting.is_blocked)
        os.rename(other, m.pool)
        holder.release()
        equal(waiting.result(), 3)
    equal(m.entries(), {b'k': b'newer', b'l': b'2'})


@case(options=LONG)
def writers_on_both_sides_lose_nothing(m):
    def through_the_mount(name):
        for n in range(60):
            write(m / f'{name}-{n}', b'first')
            write(m / f'{name}-{n}', b'second')
            write(m / f'{name}-gone', b'x')
            os.unlink(m / f'{name}-gone')

    def outside(name):
        for n in range(60):
            pool.append(m.pool, (f'{name}-{n}', 'first'))
            pool.put(m.pool, f'{name}-{n}', 'second')
            pool.append(m.pool, (f'{name}-gone', 'x'))
            pool.delete(m.pool, f'{name}-gone')
    for child in [Child(through_the_mount, 'a'), Child(through_the_mount, 'b'),
                  Child(outside, 'c')]:
        child.result()
    equal(sorted(m.records()), sorted((b'%s-%d' % (name, n), b'second')
                                      for name in (b'a', b'b', b'c')
                                      for n in range(60)))
    equal(sorted(m.names()), sorted(m.entries()))


# Hundreds of waiting requests

CLIENTS, THREADS = 8, 50


def write_by_threads(m, client):
    """One write each to a key of its own, all at once; returns who succeeded."""
    done = []

    def one(n):
        write(m / f'{client}-{n}', b'w', O_WRONLY)
        done.append(n)
    threads = [threading.Thread(target=one, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(done)


@contextlib.contextmanager
def crowd(m):
    """Clients whose requests all wait for a lock that others can share."""
    before = int(status(m)['lock_waits'])
    with Holder(m, 'ofd-sh') as holder:
        clients = [Child(write_by_threads, m, client) for client in range(CLIENTS)]
        eventually(lambda: int(status(m)['lock_waits']) == before + CLIENTS * THREADS)
        yield holder, clients


@case(*[(f'{client}-{n}', 'v') for client in range(CLIENTS) for n in range(THREADS)],
      ('l', 'other'), options=LONG)
def hundreds_of_waiting_requests_exhaust_nothing(m):
    names, before, most, served = m.names(), m.usage(), (0, 0), 0
    for _ in range(harness.rounds(1)):
        with crowd(m) as (holder, clients):
            for _ in range(100):
                equal(read(m / 'l'), b'other')
                equal(os.stat(m / '0-0').st_size, 1)
                equal(m.names(), names)
                served += 3
            most = max(most, m.usage())
            assert not any(client.is_done() for client in clients)
            holder.release()
            for client in clients:
                equal(client.result(), list(range(THREADS)))
        equal(set(m.entries().values()), {b'w', b'other'})
        with opened(m / '.kvpfs/records', O_WRONLY | O_TRUNC) as fd:
            os.write(fd, b''.join(name + b'=v\n' for name in names[:-1]) + b'l=other')
        with crowd(m) as (holder, clients):
            for client in clients[1:]:
                equal(client.kill(), signal.SIGKILL)
            equal(read(m / 'l'), b'other')
            assert not clients[0].is_done()
            holder.release()
            equal(clients[0].result(), list(range(THREADS)))
        equal({key for key, value in m.entries().items() if value == b'w'},
              {b'0-%d' % n for n in range(THREADS)})
    equal(int(status(m)['lock_timeouts']), 0)
    m.names()                           # by then the status is closed, too
    after = m.usage()
    harness.figures(waiting=CLIENTS * THREADS, served_meanwhile=served,
                    descriptors=f'{before[0]}, {most[0]}, {after[0]}',
                    resident_KiB=f'{before[1]}, {most[1]}, {after[1]}')
    equal((most[0], after[0]), (before[0], before[0]))
    if not harness.is_sanitized():
        assert max(most[1], after[1]) < before[1] + 4096


# Ending a wait

@case(('k', 'v'), ('l', 'v'), options=LONG)
def signal_ends_a_waiting_request_at_once_with_eintr(m):
    known, new = os.fsencode(m / 'l'), os.fsencode(m / 'n')
    with opened(m / 'k', O_WRONLY) as fd, Holder(m, 'flock-ex'):
        for call in ((libc.write, fd, b'w', 1), (libc.unlink, known),
                     (libc.rename, known, new),
                     (libc.truncate, known, ctypes.c_long(0))):
            child = interruptible(*call)
            eventually(child.is_blocked)
            eventually(interrupt, child)
            equal(child.result(), errno.EINTR)
            equal(read(m / 'l'), b'v')
    equal(m.records(), [(b'k', b'v'), (b'l', b'v')])


@case(('k', 'v'), options=LONG)
def signal_ends_a_waiting_read_at_once_with_eintr(m):
    with Holder(m, 'flock-ex') as holder:
        holder.append('k=w')
        child = interruptible(libc.open, os.fsencode(m / 'k'), os.O_RDONLY)
        eventually(child.is_blocked)
        eventually(interrupt, child)
        equal(child.result(), errno.EINTR)
    equal(read(m / 'k'), b'w')


def reading(m):
    """Calls that look at the pool."""
    paths = [m / 'k', *(m / f'.kvpfs/{name}' for name in ('records', 'entries', 'pool'))]
    yield from ((libc.open, os.fsencode(path), os.O_RDONLY) for path in paths)
    yield libc.open, os.fsencode(m.dir), os.O_RDONLY | os.O_DIRECTORY
    yield libc.access, os.fsencode(m / 'k'), os.R_OK
    yield libc.statfs, os.fsencode(m.dir), ctypes.create_string_buffer(256)


def close_half_a_line(records):
    fd = os.open(records, O_WRONLY | os.O_APPEND)
    os.write(fd, b'half=line')
    return libc.close(fd)


def mknod(path):
    mode = stat.S_IFREG | 0o644
    if hasattr(libc, 'mknod'):
        return libc.mknod, path, mode, 0
    # glibc before 2.33
    return libc.__xmknod, 0, path, mode, ctypes.byref(ctypes.c_uint64(0))


@contextlib.contextmanager
def changing(m):
    """Calls that change it."""
    known, new, records = (os.fsencode(m / name)
                           for name in ('l', 'n', '.kvpfs/records'))
    with opened(m / 'k', O_WRONLY) as fd, \
            opened(m / 'p', O_WRONLY | O_TRUNC) as pending, \
            opened(records, O_WRONLY | os.O_APPEND) as whole:
        yield [(libc.write, fd, b'w', 1), (libc.ftruncate, fd, ctypes.c_long(1)),
               (libc.truncate, known, ctypes.c_long(0)), (libc.unlink, known),
               (libc.rename, known, new), (libc.renameat2, -100, known, -100, new, 1),
               mknod(new), (libc.fsync, pending),
               (libc.write, whole, b'a=b\n', 4), (close_half_a_line, records)]


def blocked(*call):
    child = interruptible(*call)
    eventually(child.is_blocked)
    return child


def ended_by_signal(child):
    eventually(interrupt, child)
    equal(child.result(), errno.EINTR)


def ended_by_kill(child):
    equal(child.kill(), signal.SIGKILL)


@case(('k', 'vv'), ('l', 'v'), ('p', 'v'), options=LONG)
def whatever_waits_to_change_ends_at_once_by_a_signal_or_kill(m):
    with changing(m) as calls:
        before = m.records()
        for kind in EXCLUSIVE + SHARED:
            with Holder(m, kind):
                for call in calls:
                    for end in ended_by_signal, ended_by_kill:
                        end(blocked(*call))
                        equal(read(m / 'l'), b'v')
        equal(m.records(), before)
    equal(int(status(m)['lock_timeouts']), 0)        # none had to be waited for


@case(('k', 'v'), options=LONG)
def whatever_waits_to_read_ends_at_once_by_a_signal_or_kill(m):
    for kind in EXCLUSIVE:
        with Holder(m, kind) as holder:
            holder.append(f'{kind}=1')
            for call in reading(m):
                for end in ended_by_signal, ended_by_kill:
                    end(blocked(*call))
    equal(int(status(m)['lock_timeouts']), 0)


@case(('k', 'v'), options=LONG)
def whatever_waits_to_read_goes_on_when_the_lock_is_released(m):
    for kind in EXCLUSIVE:
        with Holder(m, kind) as holder:
            holder.append(f'{kind}=1')
            children = [blocked(*call) for call in reading(m)]
            assert not any(child.is_done() for child in children)
            holder.release()
            equal({child.result() for child in children}, {0})


@case(('k', 'v'), options='lock_timeout=0.02')
def whatever_waits_to_read_is_ebusy_in_the_end(m):
    for kind in EXCLUSIVE:
        with Holder(m, kind) as holder:
            holder.append(f'{kind}=1')
            for call in reading(m):
                equal(interruptible(*call).result(), errno.EBUSY)


@case(('k', 'v'), options=LONG)
def waiting_process_can_be_killed(m):
    with Holder(m, 'flock-ex'):
        child = Child(os.unlink, m / 'k')
        eventually(child.is_blocked)
        equal(child.kill(), signal.SIGKILL)
        equal(read(m / 'k'), b'v')
    equal(m.records(), [(b'k', b'v')])


@case(('k', 'v'), options=LONG)
def program_can_be_ended_while_a_request_waits(m):
    with Holder(m, 'flock-ex'):
        waiting = Child(write_once, m / 'k', b'w')
        eventually(waiting.is_blocked)
        m.unmount()
        try:
            waiting.result()
        except OSError:
            pass
        else:
            raise AssertionError('the write succeeded without the lock')
    equal(m.records(), [(b'k', b'v')])


if __name__ == '__main__':
    harness.main()
