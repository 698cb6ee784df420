#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""What a mount does when the pool's file system, or the machine, says no: a full
disk, limits, permissions that are taken away. Whoever called learns why,
the pool is as it was, and all works again when the reason is gone.
"""

import contextlib
import errno
import os
import shutil
import signal
import subprocess
from os import O_APPEND, O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY

import harness
import pool
from harness import (NOBODY, RUNNER, Child, Skip, case, equal, eventually, exchange,
                     opened, read, refused, write)

PIDFD_GETFD = 438                       # a system call

# The last one ends within a page: a part of what follows it always finds room.
RECORDS = [(f'k{n}', f'{n}' * 200) for n in range(9)]


def write_records(m, flags, *pairs):
    """With close(2)'s result: that is when the pool is replaced."""
    fd = os.open(m / '.kvpfs/records', O_WRONLY | flags)
    try:
        os.write(fd, b''.join(b'%s=%s\n' % (pool.as_bytes(key), pool.as_bytes(value))
                              for key, value in pairs))
    finally:
        os.close(fd)


def is_logged(m, number):
    return os.strerror(number).encode() in read(m.log)


def assert_no_room(m, number):
    """What makes the file longer is refused, in one piece; the rest is done."""
    before = read(m.pool)
    many = [(f'many{n}', 'v' * 1000) for n in range(40)]
    for call in ((write, m / 'new', b'v'),
                 (exchange, m / 'k1', m / 'k2'),
                 (write_records, m, O_APPEND, *many),
                 (write_records, m, O_TRUNC, *many),
                 (write_records, m, O_TRUNC, *many[:8])):
        refused(number, *call)
        os.statvfs(m.dir)               # served behind the RELEASE
        equal(read(m.pool), before)
    expected = m.entries()
    equal(sorted(m.names()), sorted(expected))
    write(m / 'k1', b'a' * 1000)
    write(m / 'k2', b' appended', O_WRONLY | O_APPEND)
    os.rename(m / 'k3', m / 'renamed')
    os.rename(m / 'k4', m / 'k5')
    os.unlink(m / 'k0')
    expected.update({b'k1': b'a' * 1000, b'k2': expected[b'k2'] + b' appended',
                     b'renamed': expected.pop(b'k3'), b'k5': expected.pop(b'k4')})
    del expected[b'k0']
    equal(m.entries(), expected)
    equal(list(pool.flaws(m.pool)), [])
    os.truncate(m / '.kvpfs/records', 0)
    equal(read(m.pool), b'')
    write(m / 'k', b'v')
    equal(m.records(), [(b'k', b'v')])


def fill(path):
    with opened(path, O_WRONLY | O_CREAT) as fd, contextlib.suppress(OSError):
        while True:
            os.write(fd, b'x' * 512)


@contextlib.contextmanager
def pool_elsewhere(m, place='place'):
    """The pool moves to what is mounted there."""
    m.pool = os.path.join(m.top, place, 'pool')
    pool.build(m.pool, *RECORDS)
    yield os.path.join(m.top, place)


@case(options=None, root=True)
def full_disk_refuses_what_needs_room_and_nothing_else(m):
    os.mkdir(os.path.join(m.top, 'place'))

    def run():
        with pool_elsewhere(m) as place, m.mounted():
            fill(os.path.join(place, 'filler'))
            assert_no_room(m, errno.ENOSPC)
    harness.with_mounts(run, ['mount', '-t', 'tmpfs', '-o', 'size=64k', 'none',
                              os.path.join(m.top, 'place')])


@case(*RECORDS, options=None)
def limit_of_file_sizes_is_efbig_and_ends_nobody(m):
    for room in 0, 100, pool.RECORD_SIZE - 1:
        pool.build(m.pool, *RECORDS)
        size = os.path.getsize(m.pool) + room
        with m.mounted(runner=['prlimit', f'--fsize={size}']):
            assert_no_room(m, errno.EFBIG)


def assert_refuses_changes(m, number):
    before = read(m.pool)
    for call in ((write, m / 'k1', b'new'), (write, m / 'new', b'v'),
                 (os.unlink, m / 'k0'), (os.unlink, m / 'k8'),
                 (os.rename, m / 'k1', m / 'new'), (os.rename, m / 'k1', m / 'k2'),
                 (exchange, m / 'k1', m / 'k2'), (os.truncate, m / 'k1', 1),
                 (write_records, m, O_APPEND, ('k', 'v')),
                 (write_records, m, O_TRUNC, ('k', 'v')),
                 (os.truncate, m / '.kvpfs/records', 0)):
        refused(number, *call)
        os.statvfs(m.dir)
        equal(read(m.pool), before)
    for key, value in m.entries().items():
        equal(read(os.fsencode(m.dir) + b'/' + key), value)


def on_ext4(m, function):
    """In a file of its own: one that can be told to fail."""
    image, place = os.path.join(m.top, 'image'), os.path.join(m.top, 'place')
    if not shutil.which('mkfs.ext4'):
        raise Skip('no mkfs.ext4')
    os.mkdir(place)
    with open(image, 'wb') as file:
        file.truncate(4 << 20)
    harness.with_mounts(function, ['mkfs.ext4', '-q', image],
                        ['mount', '-o', 'loop,errors=remount-ro', image, place])


@case(options=None, root=True)
def file_system_that_becomes_read_only_is_erofs(m):
    def run():
        with pool_elsewhere(m) as place, m.mounted():
            write(m / 'k0', b'changed')
            os.sync()
            device = next(words[-2] for words in harness.mounts() if words[4] == place)
            trigger = f'/sys/fs/ext4/{os.path.basename(device)}/trigger_fs_error'
            if not os.path.exists(trigger):
                return f'no {trigger}'
            with open(trigger, 'w') as file:
                file.write('a test')
            assert_refuses_changes(m, errno.EROFS)
            # another mount of it is one that cannot be written
            m.unmount()
            m.mount()
            assert_refuses_changes(m, errno.EROFS)
        return None
    on_ext4(m, run)


# Permissions

def chattr(flag, path):
    if subprocess.run(['chattr', flag, path], stderr=subprocess.DEVNULL).returncode:
        raise Skip(f'chattr {flag} is not possible')


@case(options=None, root=True)
def immutable_pool_is_eperm(m):
    def run():
        with pool_elsewhere(m), m.mounted():
            chattr('+i', m.pool)
            try:
                assert_refuses_changes(m, errno.EPERM)
                equal(is_logged(m, errno.EPERM), True)
            finally:
                chattr('-i', m.pool)
            write(m / 'k1', b'new')
            equal(m.value('k1'), b'new')
    on_ext4(m, run)


@case(options=None, root=True)
def pool_that_only_grows_keeps_every_other_key(m):
    """What would shrink it fails half-way: records stay that are there twice."""
    def run():
        with pool_elsewhere(m), m.mounted():
            expected = m.entries()
            chattr('+a', m.pool)
            try:
                write(m / 'k1', b'new')
                refused(errno.EPERM, os.unlink, m / 'k3')
                expected[b'k1'] = b'new'
                del expected[b'k3']
                equal((m.entries(), sorted(m.names())), (expected, sorted(expected)))
            finally:
                chattr('-a', m.pool)
            refused(errno.ENOENT, os.unlink, m / 'k3')
            write(m / 'k8', b'once')
            equal(m.entries(), {**expected, b'k8': b'once'})
            equal(list(pool.flaws(m.pool)), [])
    on_ext4(m, run)


def as_user(m, function):
    """kvpfs without privileges, on a pool and a mountpoint of its user."""
    place = os.path.join(m.top, 'place')
    os.mkdir(place)
    m.pool = os.path.join(place, 'pool')
    pool.build(m.pool, *RECORDS)
    for path in place, m.pool:
        os.chown(path, NOBODY, NOBODY)

    def run():
        with m.mounted(runner=harness.AS_NOBODY):
            Child(function, m, user=NOBODY).result()
    harness.with_fuse_for_users(m, run)


@case(options=None, root=True)
def pool_that_is_open_is_used_whatever_its_mode_becomes(m):
    def run(m):
        os.chmod(m.pool, 0)
        write(m / 'k1', b'new')
        write(m / 'k9', b'new')
        os.unlink(m / 'k0')
        equal(read(m / 'k1'), b'new')
        os.chmod(m.pool, 0o600)
        equal((m.value('k0'), m.value('k1'), m.value('k9')), (None, b'new', b'new'))
    as_user(m, run)


@case(options=None, root=True)
def pool_that_may_no_longer_be_opened_is_eacces_until_it_may(m):
    def run(m):
        new = f'{m.pool}.new'
        pool.build(new, ('k1', 'other'))
        os.chmod(new, 0)
        os.rename(new, m.pool)
        for call in (read, m / 'k1'), (write, m / 'k1', b'x'), (os.unlink, m / 'k1'):
            refused(errno.EACCES, *call)
        equal(is_logged(m, errno.EACCES), True)
        os.chmod(m.pool, 0o400)
        equal(read(m / 'k1'), b'other')
        refused(errno.EROFS, write, m / 'k1', b'x')
        os.chmod(m.pool, 0o600)
        write(m / 'k1', b'x')
        equal(m.records(), [(b'k1', b'x')])
    as_user(m, run)


@case(options=None, root=True)
def directory_that_may_not_be_searched_hides_a_new_pool_until_it_may(m):
    def run(m):
        place = os.path.dirname(m.pool)
        os.chmod(place, 0)
        write(m / 'k1', b'x')           # of the one that is open
        equal((read(m / 'k1'), len(m.names())), (b'x', len(RECORDS)))
        os.chmod(place, 0o700)
        equal(m.value('k1'), b'x')
        os.unlink(m.pool)
        os.chmod(place, 0)
        for call in (read, m / 'k1'), (write, m / 'k1', b'x'), (os.listdir, m.dir):
            refused(errno.EACCES, *call)
        os.chmod(place, 0o700)
        write(m / 'k1', b'x')
        equal(m.records(), [(b'k1', b'x')])
    as_user(m, run)


# Errors of the disk

@case(*RECORDS, options=None, root=True)
def fsync_says_what_the_pools_disk_says(m):
    with m.mounted(runner=harness.strace(m, 'fdatasync:error=EIO')):
        with opened(m / 'k1', O_WRONLY | O_TRUNC) as fd:
            os.write(fd, b'new')
            refused(errno.EIO, os.fsync, fd)
        calls = [line.split()[1].partition('(')[0]
                 for line in read(os.path.join(m.top, 'trace')).decode().splitlines()]
        assert 0 < calls.index('pwrite64') < calls.index('fdatasync'), calls
        equal(m.value('k1'), b'new')


def fsync(path):
    with opened(path, O_WRONLY) as fd:
        os.fsync(fd)


@case(*RECORDS, options=None, root=True)
def slow_fsync_leaves_signals_to_who_ends_the_session(m):
    # the program is stopped there until it may go on
    with m.mounted(runner=harness.strace(m, 'fdatasync:signal=STOP')):
        pid = m.pid()
        tasks = f'/proc/{pid}/task'
        child = Child(fsync, m / 'k1')
        eventually(lambda: len(os.listdir(tasks)) == 2)
        [thread] = set(os.listdir(tasks)) - {str(pid)}
        with open(f'{tasks}/{thread}/status') as file:
            fields = dict(line.split(':', 1) for line in file)
        for number in signal.SIGTERM, signal.SIGINT, signal.SIGHUP:
            assert int(fields['SigBlk'], 16) >> number - 1 & 1, number
        # again, if it was not stopped yet
        eventually(lambda: os.kill(pid, signal.SIGCONT) or child.is_done())
        child.result()


@case(*RECORDS, root=True)
def loop_waits_again_when_others_have_made_its_descriptor_non_blocking(m):
    """As whoever inherited it may."""
    m.names()                           # it has begun: no other descriptor goes
    fds = f'/proc/{m.pid()}/fd'
    [fuse] = [int(name) for name in os.listdir(fds)
              if os.readlink(f'{fds}/{name}') == '/dev/fuse']
    process = os.pidfd_open(m.pid())
    fd = harness.libc.syscall(PIDFD_GETFD, process, fuse, 0)
    os.close(process)
    if fd < 0:
        raise Skip('needs pidfd_getfd')
    os.set_blocking(fd, False)
    equal(read(m / 'k1'), RECORDS[1][1].encode())
    eventually(lambda: os.get_blocking(fd))
    os.close(fd)
    eventually(harness.sleeps, m.pid())


# Limits of descriptors, and of inotify

def start_with(m, limit):
    """Whether it runs; if not it said why and left nothing."""
    with contextlib.suppress(AssertionError):
        m.mount(runner=['prlimit', f'--nofile={limit}'])
        return True
    program, m.program = m.program, None
    equal((program.wait(), harness.is_mounted(m.dir)), (1, False))
    said = read(m.log)
    assert said.startswith(b'kvpfs: ') or b'Too many open files' in said, said
    os.unlink(m.log)
    return False


@case(*RECORDS, options=None)
def few_descriptors_are_enough_or_it_says_so(m):
    if RUNNER:
        raise Skip('the runner needs some, too')
    limit = 4
    while not start_with(m, limit):     # less, and the loader fails
        limit += 1
        assert limit < 20
    assert limit > 4
    with contextlib.ExitStack() as stack:
        for n in range(200):
            stack.enter_context(opened(m / f'k{n % 8}', O_RDONLY))
        stack.enter_context(opened(m / 'k1', O_WRONLY))
        write(m / 'k1', b'new')
        write(m / 'new', b'v')
        equal((m.value('k1'), m.value('new')), (b'new', b'v'))
    m.unmount()


@case(*RECORDS, options=None)
def without_inotify_every_change_is_seen_all_the_same(m):
    for injection in 'inotify_init1:error=EMFILE', 'inotify_add_watch:error=ENOSPC':
        with m.mounted(runner=harness.strace(m, injection)):
            for n in range(20):
                pool.put(m.pool, 'k1', f'{n}')
                equal(read(m / 'k1'), b'%d' % n)
                write(m / 'k1', b'by way of the mount')
                equal(m.value('k1'), b'by way of the mount')
            refused(errno.EMFILE, os.open, m / '.kvpfs/events', O_RDONLY)


if __name__ == '__main__':
    harness.main()
