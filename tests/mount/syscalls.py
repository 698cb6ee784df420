#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""What each system call does on names and attributes of a mount, and the errno
where it must not: stat, readdir, unlink, rename, chmod, statfs and the rest.

One case per behaviour of the table of file semantics, checked both through the
mount and in the pool's bytes; content.py has open, read, write and truncate.
"""

import errno
import os
import stat
from os import O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY

import harness
import pool
from harness import (CAP, EXCHANGE, NOREPLACE, case, equal, numbered, opened, read,
                     refused, renameat2, write)


# lookup, stat

@case(('k', 'value'))
def stat_shows_a_regular_file_with_the_pools_owner_and_times(m):
    os.chmod(m.pool, 0o640)
    os.utime(m.pool, ns=(1, 1234567890123456789))
    found, wanted = os.stat(m / 'k'), os.stat(m.pool)
    equal((found.st_mode, found.st_nlink, found.st_size), (stat.S_IFREG | 0o640, 1, 5))
    equal((found.st_uid, found.st_gid), (wanted.st_uid, wanted.st_gid))
    equal((found.st_mtime_ns, found.st_ctime_ns),
          (wanted.st_mtime_ns, wanted.st_ctime_ns))


@case(('k', 'value'))
def directory_mode_follows_the_pools_mode(m):
    for mode, directory in ((0o600, 0o700), (0o640, 0o750), (0o644, 0o755),
                            (0o666, 0o777), (0o444, 0o555), (0o755, 0o755)):
        os.chmod(m.pool, mode)
        equal(os.stat(m.dir).st_mode, stat.S_IFDIR | directory)
        equal(os.stat(m / 'k').st_mode, stat.S_IFREG | mode & 0o666)


@case(('k', 'value'), root=True)
def owner_follows_the_pools_owner(m):
    os.chown(m.pool, 12, 34)
    for path in m.dir, m / 'k':
        equal((os.stat(path).st_uid, os.stat(path).st_gid), (12, 34))


@case(('k', 'value'), ('l', 'value'))
def inode_numbers_are_stable_and_distinct(m):
    with opened(m / 'k') as fd:
        number = os.fstat(fd).st_ino
        for value in 'longer value', 's', 'value':
            pool.put(m.pool, 'k', value)
            equal(os.stat(m / 'k').st_ino, number)
            equal(os.fstat(fd).st_ino, number)
        assert os.stat(m / 'l').st_ino != number
        assert os.stat(m.dir).st_ino not in (number, os.stat(m / 'l').st_ino)


@case()
def missing_name_is_enoent(m):
    refused(errno.ENOENT, os.stat, m / 'k')
    refused(errno.ENOENT, os.open, m / 'k', O_RDONLY)
    refused(errno.ENOENT, os.open, m / 'k', O_WRONLY | O_TRUNC)
    refused(errno.ENOENT, os.truncate, m / 'k', 0)
    refused(errno.ENOENT, os.unlink, m / 'k')


@case(('k', 'value'))
def file_is_no_directory(m):
    refused(errno.ENOTDIR, os.stat, m / 'k/x')
    refused(errno.ENOTDIR, os.rmdir, m / 'k')
    refused(errno.ENOTDIR, os.listdir, m / 'k')


# readdir

@case(('b', '1'), ('a', '2'), ('b', '3'), ('', 'empty key'), ('c', '4'), ('a', '5'))
def readdir_lists_each_key_once_in_first_record_order(m):
    equal(m.names(), [b'b', b'a', b'c'])


@case()
def readdir_of_an_empty_pool_lists_nothing(m):
    equal(m.names(), [])


@case(*numbered(CAP))
def readdir_tells_the_type_and_the_inode_number_of_stat(m):
    with os.scandir(m.dir) as listing:
        found = list(listing)
    equal(len(found), CAP)
    for entry in found:
        equal(entry.is_file(follow_symlinks=False), True)
        with opened(entry.path) as fd:      # the kernel knows it by now
            equal(os.fstat(fd).st_ino, entry.inode())


@case(*[(key.ljust(110, '-'), value) for key, value in numbered(CAP)])
def removing_while_listing_meets_every_key_once(m):
    names = []
    with os.scandir(m.dir) as listing:
        for entry in listing:
            names.append(entry.name)
            os.unlink(entry.path)
    equal(names, [key.ljust(110, '-') for key, _ in numbered(CAP)])
    equal(m.records(), [])


@case(*[(key.ljust(110, '-'), value) for key, value in numbered(600)])
def creating_while_listing_disturbs_no_other_key(m):
    names = []
    with os.scandir(m.dir) as listing:
        for number, entry in enumerate(listing):
            names.append(entry.name)
            if number % 10 == 0 and number < 600:
                write(m / f'new-{number}', b'x')
    old = [name for name in names if name.startswith('key-')]
    equal(old, [key.ljust(110, '-') for key, _ in numbered(600)])
    equal(len(set(names)), len(names))
    equal(len(m.records()), 660)


@case(('a', '1'), ('b', '2'))
def listing_shows_the_keys_as_of_opendir(m):
    with opened(m.dir, os.O_RDONLY | os.O_DIRECTORY) as fd:
        os.unlink(m / 'a')
        write(m / 'c', b'3')
        equal(os.listdir(fd), ['a', 'b'])
    equal(m.names(), [b'b', b'c'])


@case(*[(key.ljust(110, '-'), value) for key, value in numbered(300)])
def rewinding_a_listing_starts_it_again_with_the_keys_of_then(m):
    wanted = [key.ljust(110, '-') for key, _ in numbered(300)]
    with opened(m.dir, os.O_RDONLY | os.O_DIRECTORY) as fd:
        for n in range(3):
            os.lseek(fd, 0, os.SEEK_SET)
            equal(os.listdir(fd), wanted)
            pool.append(m.pool, (f'more-{n}', 'v'))
            wanted.append(f'more-{n}')


# unlink

@case(('a', '1'), ('k', 'one'), ('b', '2'), ('k', 'two'), ('c', '3'))
def unlink_removes_all_records_of_the_key_and_keeps_the_order(m):
    before = pool.raw(m.pool)
    os.unlink(m / 'k')
    equal(pool.raw(m.pool), [before[0], before[2], before[4]])
    refused(errno.ENOENT, os.stat, m / 'k')
    equal(m.names(), [b'a', b'b', b'c'])


@case(('k', 'value'))
def open_handle_reads_on_after_unlink(m):
    with opened(m / 'k') as early, opened(m / 'k') as late:
        equal(os.pread(early, 2, 0), b'va')
        os.unlink(m / 'k')
        for fd in early, late:
            equal(os.pread(fd, 10, 0), b'value')
            found = os.fstat(fd)
            equal((found.st_nlink, found.st_size), (0, 5))


@case(('k', 'value'))
def open_handle_can_be_opened_again_after_unlink(m):
    with opened(m / 'k') as fd:
        os.unlink(m / 'k')
        equal(read(f'/proc/self/fd/{fd}'), b'value')
        write(m / 'k', b'another')
        equal(read(f'/proc/self/fd/{fd}'), b'value')
        write(f'/proc/self/fd/{fd}', b'new', O_WRONLY)
    m.unmount()
    equal(m.records(), [(b'k', b'another')])


@case(('k', 'value'))
def writes_to_an_unlinked_key_go_nowhere(m):
    with opened(m / 'k', O_RDWR) as old, opened(m / 'k', O_WRONLY | O_TRUNC) as pending:
        os.unlink(m / 'k')
        equal(os.pwrite(old, b'X', 0), 1)
        equal(os.write(pending, b'new'), 3)
        os.ftruncate(old, 0)
        os.fsync(old)
        equal(m.records(), [])
        equal(os.fstat(old).st_nlink, 0)
        write(m / 'k', b'another')
        equal(os.pwrite(old, b'Y', 0), 1)
        equal(os.pwrite(pending, b'Y', 0), 1)
        os.fsync(pending)
        equal(m.records(), [(b'k', b'another')])
    m.unmount()
    equal(m.records(), [(b'k', b'another')])


@case()
def unlink_of_a_pending_key_leaves_nothing_to_store(m):
    fd = os.open(m / 'k', O_WRONLY | O_CREAT)
    os.unlink(m / 'k')
    refused(errno.ENOENT, os.stat, m / 'k')
    os.close(fd)
    equal(m.names(), [])
    m.unmount()
    equal(m.records(), [])


# rename

@case(('a', '1'), ('from', 'v'), ('from', 'value'), ('b', '2'))
def rename_moves_the_value_to_the_new_key(m):
    os.rename(m / 'from', m / 'to')
    equal(m.entries(), {b'a': b'1', b'to': b'value', b'b': b'2'})
    equal(len(m.records()), 3)
    refused(errno.ENOENT, os.stat, m / 'from')
    equal(read(m / 'to'), b'value')


@case(('to', 'old'), ('from', 'value'), ('to', 'older'), ('b', '2'))
def rename_over_a_key_replaces_it(m):
    with opened(m / 'to') as target, opened(m / 'from') as source:
        os.rename(m / 'from', m / 'to')
        equal(sorted(m.records()), [(b'b', b'2'), (b'to', b'value')])
        equal(os.read(target, 10), b'older')
        equal(os.fstat(target).st_nlink, 0)
        equal(os.read(source, 10), b'value')
        equal(os.fstat(source).st_nlink, 1)
    refused(errno.ENOENT, os.stat, m / 'from')
    equal(read(m / 'to'), b'value')


@case(('k', 'v'))
def rename_to_itself_changes_nothing(m):
    before = os.stat(m.pool).st_mtime_ns
    os.rename(m / 'k', m / 'k')
    equal((m.records(), os.stat(m.pool).st_mtime_ns), ([(b'k', b'v')], before))


@case(('a', '1'), ('b', '2'))
def rename_noreplace_is_eexist_over_a_key(m):
    refused(errno.EEXIST, renameat2, m / 'a', m / 'b', NOREPLACE)
    pool.append(m.pool, ('outside', '3'))
    refused(errno.EEXIST, renameat2, m / 'a', m / 'outside', NOREPLACE)
    equal(m.entries(), {b'a': b'1', b'b': b'2', b'outside': b'3'})
    renameat2(m / 'a', m / 'c', NOREPLACE)
    equal(m.entries(), {b'c': b'1', b'b': b'2', b'outside': b'3'})


@case(('a', '1'), ('b', '22'), ('a', '111'))
def rename_exchange_swaps_the_values(m):
    renameat2(m / 'a', m / 'b', EXCHANGE)
    equal(sorted(m.records()), [(b'a', b'22'), (b'b', b'111')])
    equal((read(m / 'a'), read(m / 'b')), (b'22', b'111'))
    refused(errno.ENOENT, renameat2, m / 'a', m / 'missing', EXCHANGE)
    refused(errno.ENOENT, renameat2, m / 'missing', m / 'a', EXCHANGE)


@case(('k', 'v'))
def rename_refuses_what_creation_refuses(m):
    refused(errno.ENOENT, os.rename, m / 'missing', m / 'k')
    refused(errno.ENAMETOOLONG, os.rename, m / 'k', m / ('x' * 255))
    refused(errno.EILSEQ, os.rename, m / b'k', m / b'\xff')
    refused(errno.EINVAL, os.rename, m / 'k', m / '%41')
    refused(errno.ENOENT, os.rename, m / '%6B', m / 'x')
    refused(errno.EINVAL, renameat2, m / 'k', m / 'x', NOREPLACE | EXCHANGE)
    equal(m.records(), [(b'k', b'v')])


@case(*numbered(CAP))
def rename_at_the_cap_is_allowed(m):
    os.rename(m / 'key-0000', m / 'new')
    os.rename(m / 'key-0001', m / 'key-0002')
    entries = m.entries()
    equal((len(entries), entries[b'new'], entries[b'key-0002']), (CAP - 1, b'0', b'1'))


@case(('k', 'old'))
def write_handle_follows_a_rename(m):
    with opened(m / 'k', O_WRONLY) as fd:
        os.rename(m / 'k', m / 'moved')
        equal(os.pwrite(fd, b'new', 0), 3)
        equal(m.records(), [(b'moved', b'new')])


@case(('k', 'old'))
def pending_handle_follows_a_rename(m):
    with opened(m / 'n', O_WRONLY | O_CREAT) as fd:
        os.rename(m / 'n', m / 'k')
        equal(os.write(fd, b'new'), 3)
    equal(m.records(), [(b'k', b'new')])
    refused(errno.ENOENT, os.stat, m / 'n')


@case(('k', 'v'))
def rename_out_of_the_mount_is_exdev(m):
    refused(errno.EXDEV, os.rename, m / 'k', os.path.join(m.top, 'k'))
    equal(m.records(), [(b'k', b'v')])


# what a store of keys has not

@case(('k', 'v'))
def directories_and_links_are_eperm(m):
    refused(errno.EPERM, os.mkdir, m / 'new')
    refused(errno.EPERM, os.link, m / 'k', m / 'new')
    refused(errno.EPERM, os.symlink, 'k', m / 'new')
    refused(errno.EPERM, os.mkfifo, m / 'new')
    equal(m.records(), [(b'k', b'v')])


@case(root=True)
def device_nodes_are_eperm(m):
    refused(errno.EPERM, os.mknod, m / 'new', stat.S_IFCHR | 0o600, os.makedev(1, 3))
    equal(m.records(), [])


@case(('k', 'v'))
def mknod_of_a_regular_file_stores_an_empty_value(m):
    os.mknod(m / 'new', stat.S_IFREG | 0o644)
    equal(m.records(), [(b'k', b'v'), (b'new', b'')])
    refused(errno.EEXIST, os.mknod, m / 'k', stat.S_IFREG | 0o644)


@case(('k', 'v'))
def extended_attributes_are_not_supported(m):
    for _ in range(2):
        refused(errno.ENOTSUP, os.setxattr, m / 'k', 'user.x', b'')
        refused(errno.ENOTSUP, os.getxattr, m / 'k', 'user.x')
        refused(errno.ENOTSUP, os.listxattr, m / 'k')
        refused(errno.ENOTSUP, os.removexattr, m / 'k', 'user.x')
        refused(errno.ENOTSUP, os.getxattr, m.dir, 'user.x')


@case(('k', 'v'))
def directory_cannot_be_truncated(m):
    refused(errno.EISDIR, os.truncate, m.dir, 0)
    equal(m.records(), [(b'k', b'v')])


@case(('a', '1'), ('a', '2'), ('b', '3'))
def statfs_counts_records_and_keys(m):
    for path, wanted in (m.dir, CAP - 2), (m / 'a', CAP - 2):
        found = os.statvfs(path)
        equal((found.f_frsize, found.f_blocks, found.f_files), (2560, CAP, CAP))
        equal((found.f_bfree, found.f_bavail, found.f_ffree), (wanted,) * 3)
        equal(found.f_namemax, 1024)
    write(m / 'c', b'')
    equal(os.statvfs(m.dir).f_ffree, CAP - 3)


@case(*numbered(CAP + 6))
def statfs_of_an_overfull_pool_has_nothing_free(m):
    found = os.statvfs(m.dir)
    equal((found.f_blocks, found.f_bfree, found.f_ffree), (CAP, 0, 0))


@case(*numbered(CAP + 6))
def overfull_pool_is_listed_and_replaced_but_takes_no_new_key(m):
    equal(len(m.names()), CAP + 6)
    write(m / 'key-1029', b'replaced')
    equal(m.value('key-1029'), b'replaced')
    refused(errno.ENOSPC, os.open, m / 'new', O_WRONLY | O_CREAT)


if __name__ == '__main__':
    harness.main()
