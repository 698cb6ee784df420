#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Changes made behind the mount, and what it shows afterwards: an operation by
path sees every complete change at once, whoever made it and however; an open
handle keeps the one version that it was opened with.
"""

import errno
import itertools
import mmap
import os
from os import O_RDWR, O_TRUNC, O_WRONLY

import harness
import pool
from harness import Child, case, equal, exchange, numbered, opened, read, refused, write

ROUNDS = 300
# How long the lock is waited for, on however busy a machine, is not what is tested.
PATIENT = 'lock_timeout=50'


def overwrite(path, index, key, value):
    """An outsider that takes no lock and rewrites a record in place."""
    with opened(path, O_WRONLY) as fd:
        os.pwrite(fd, pool.encode(key, value), index * pool.RECORD_SIZE)


def listing(m):
    """As `ls -l`: names and sizes."""
    with os.scandir(m.dir) as entries:
        return {entry.name: entry.stat().st_size for entry in entries}


# Operations by path

@case(('a', '1'), ('k', 'value'))
def open_sees_each_change_at_once(m):
    for n in range(ROUNDS):
        value = str(n) * (n % 7 + 1)
        pool.put(m.pool, 'k', value)
        equal(read(m / 'k'), value.encode())


@case(('a', '1'), ('k', '000'))
def open_sees_a_change_that_alters_neither_size_nor_count(m):
    for n in range(ROUNDS):
        overwrite(m.pool, 1, 'k', '%03d' % n)
        equal(read(m / 'k'), b'%03d' % n)


@case(('a', '1'), ('k', '000'))
def change_through_a_descriptor_kept_open_is_seen(m):
    with opened(m.pool, O_WRONLY) as fd:
        for n in range(ROUNDS):
            os.pwrite(fd, b'%03d' % n, pool.RECORD_SIZE + pool.KEY_SIZE)
            equal(read(m / 'k'), b'%03d' % n)


@case(('a', '1'), ('k', '000'))
def change_with_the_old_times_put_back_is_seen(m):
    for n in range(ROUNDS):
        times = os.stat(m.pool)
        overwrite(m.pool, 1, 'k', '%03d' % n)
        os.utime(m.pool, ns=(times.st_atime_ns, times.st_mtime_ns))
        equal(read(m / 'k'), b'%03d' % n)


@case(('a', '1'), ('k', '000'))
def change_through_another_link_is_seen(m):
    link = os.path.join(m.top, 'link')
    os.link(m.pool, link)
    for n in range(ROUNDS):
        overwrite(link, 1, 'k', '%03d' % n)
        equal(read(m / 'k'), b'%03d' % n)


@case(('k', 'value'))
def stat_sees_each_change_at_once(m):
    for n in range(ROUNDS):
        pool.put(m.pool, 'k', 'x' * (n % 9))
        found = os.stat(m / 'k')
        equal(found.st_size, n % 9)
        equal(found.st_mtime_ns, os.stat(m.pool).st_mtime_ns)


@case(('a', '1'))
def name_that_was_missing_is_found_when_made_and_missing_when_deleted(m):
    for _ in range(ROUNDS):
        refused(errno.ENOENT, os.stat, m / 'k')
        pool.append(m.pool, ('k', 'v'))
        equal(os.stat(m / 'k').st_size, 1)
        pool.delete(m.pool, 'k')
        refused(errno.ENOENT, os.open, m / 'k', os.O_RDONLY)


@case(('a', '1'))
def readdir_sees_each_change_at_once(m):
    for n in range(ROUNDS):
        key = b'k%d' % n
        pool.append(m.pool, (key, 'v'))
        equal(m.names(), [b'a', key])
        pool.delete(m.pool, key)
        equal(m.names(), [b'a'])


@case(('a', '1'), ('b', '2'))
def readdir_sees_each_change_of_the_order_at_once(m):
    a, b = pool.encode('a', '1'), pool.encode('b', '2')
    for records, wanted in (((a, b), 'ab'), ((b, a), 'ba'), ((a, b, a), 'ab'),
                            ((b, a), 'ba'), ((a, a, b), 'ab'), ((b, a, b), 'ba')):
        with open(m.pool, 'r+b') as file:
            file.write(b''.join(records))
            file.truncate()
        equal(m.names(), [name.encode() for name in wanted])


@case(*numbered(20))
def stat_after_a_listing_sees_each_change_at_once(m):
    wanted = {key: len(value) for key, value in numbered(20)}
    for n in range(ROUNDS):
        key = f'key-{n % 20:04}'
        equal(listing(m), wanted)
        wanted[key] = n % 30
        pool.put(m.pool, key, 'x' * wanted[key])
        equal(os.stat(m / key).st_size, wanted[key])


@case(('in', '0'), ('out', '0'))
def changes_from_both_sides_in_turn_are_all_seen(m):
    for n in range(ROUNDS):
        value = b'%d' % n
        write(m / 'in', value)
        pool.put(m.pool, 'out', value)
        equal((read(m / 'in'), read(m / 'out')), (value, value))
        overwrite(m.pool, 1, 'out', value + b'+')
        write(m / 'in', value + b'-')
        equal(read(m / 'out'), value + b'+')
        equal(m.records(), [(b'in', value + b'-'), (b'out', value + b'+')])


@case(('a', '1'), ('k', '0'), ('b', '2'))
def write_works_on_the_pool_as_it_is_now(m):
    for n in range(ROUNDS):
        value = b'%d' % n
        pool.delete(m.pool, 'a')            # the other records move
        write(m / 'k', value)
        equal(m.entries(), {b'k': value, b'b': b'2'})
        pool.build(m.pool, ('a', '1'), ('k', value), ('b', '2'))
        os.unlink(m / 'b')
        equal(m.records(), [(b'a', b'1'), (b'k', value)])
        pool.append(m.pool, ('b', '2'))


@case(('k', '0'), *numbered(200))
def unlocked_changes_during_writes_of_ours_are_not_missed(m):
    """Events merge: an outsider's change beside ours must not look like ours."""

    def writer():
        for n in range(ROUNDS * 3):
            write(m / 'key-0100', b'%d' % n)
    child = Child(writer)
    for n in itertools.count():
        overwrite(m.pool, 0, 'k', '%03d' % (n % 1000))
        equal(read(m / 'k'), b'%03d' % (n % 1000))
        if child.is_done():
            break
    child.result()


# The pool file itself

@case(('a', '1'))
def pool_replaced_by_rename_is_noticed(m):
    other = os.path.join(m.top, 'other')
    for n in range(ROUNDS):
        pool.build(other, ('a', '%03d' % n))
        os.rename(other, m.pool)
        equal(read(m / 'a'), b'%03d' % n)
    pool.build(other, ('a', 'x'))
    os.rename(other, m.pool)
    write(m / 'b', b'2')
    equal(m.records(), [(b'a', b'x'), (b'b', b'2')])


@case(('a', '1'))
def pool_renamed_away_and_exchanged_is_noticed(m):
    other = os.path.join(m.top, 'other')
    for n in range(ROUNDS):
        os.rename(m.pool, other)
        equal(m.names(), [])
        os.link(other, m.pool)
        equal(read(m / 'a'), b'1')
        os.unlink(other)
        pool.build(other, ('b', '%03d' % n))
        exchange(other, m.pool)
        equal(read(m / 'b'), b'%03d' % n)
        exchange(other, m.pool)
        equal(m.names(), [b'a'])


@case(('a', '1'))
def pool_deleted_is_empty_and_made_again_is_shown(m):
    for n in range(100):
        os.unlink(m.pool)
        equal(m.names(), [])
        refused(errno.ENOENT, os.stat, m / 'a')
        equal(os.path.exists(m.pool), False)
        pool.build(m.pool, ('a', '%d' % n))
        equal(read(m / 'a'), b'%d' % n)


@case(('a', '1'))
def write_after_the_pool_was_deleted_makes_a_new_one(m):
    os.unlink(m.pool)
    write(m / 'b', b'2')
    equal(m.records(), [(b'b', b'2')])
    equal(os.stat(m.pool).st_mode & 0o777, 0o600)
    equal(m.names(), [b'b'])


@case(('a', '1'), ('b', '2'))
def pool_truncated_outside_is_empty(m):
    equal(m.names(), [b'a', b'b'])
    os.truncate(m.pool, 0)
    equal(m.names(), [])
    refused(errno.ENOENT, os.stat, m / 'a')
    write(m / 'c', b'3')
    equal(m.records(), [(b'c', b'3')])


@case(('a', '1'), options=None)
def pool_behind_a_symbolic_link_is_the_one_that_the_link_names_now(m):
    real, other = os.path.join(m.top, 'real'), os.path.join(m.top, 'other')
    os.rename(m.pool, real)
    pool.build(other, ('b', '2'))
    os.symlink(real, m.pool)
    m.mount()
    equal(read(m / 'a'), b'1')
    write(m / 'a', b'new')
    equal(os.path.islink(m.pool), True)
    equal(pool.records(real), [(b'a', b'new')])
    pool.put(real, 'a', 'newer')
    equal(read(m / 'a'), b'newer')
    os.unlink(m.pool)
    os.symlink(other, m.pool)
    equal(m.names(), [b'b'])
    write(m / 'b', b'3')
    equal(pool.records(other), [(b'b', b'3')])
    equal(pool.records(real), [(b'a', b'newer')])


@case(options=None)
def pool_whose_directory_is_replaced_is_noticed(m):
    directory = os.path.join(m.top, 'directory')
    m.pool = os.path.join(directory, 'pool')
    os.mkdir(directory)
    pool.build(m.pool, ('a', '1'))
    m.mount()
    equal(m.names(), [b'a'])
    os.rename(directory, directory + '.old')
    os.mkdir(directory)
    pool.build(m.pool, ('b', '2'))
    equal(m.names(), [b'b'])
    write(m / 'b', b'3')
    equal(m.records(), [(b'b', b'3')])


@case(('a', '1'))
def pool_that_grows_over_1_gib_is_efbig(m):
    equal(read(m / 'a'), b'1')
    os.truncate(m.pool, (1 << 30) + 1)
    refused(errno.EFBIG, os.open, m / 'a', os.O_RDONLY)
    refused(errno.EFBIG, os.listdir, m.dir)
    os.truncate(m.pool, pool.RECORD_SIZE)
    equal(read(m / 'a'), b'1')


# One version per handle

@case(('k', 'original'))
def read_handle_keeps_its_version_when_the_value_changes_outside(m):
    # one that begins with the old value grows under its readers
    for value in 'a longer value than before', 'short', 'x' * 1022, '':
        old = read(m / 'k')
        with opened(m / 'k') as fd:
            equal(os.pread(fd, 3, 0), old[:3])
            pool.put(m.pool, 'k', value)
            equal(os.fstat(fd).st_size, len(old))
            equal(os.stat(m / 'k').st_size, len(value))
            equal(os.pread(fd, 4096, 0), old)
            equal(os.pread(fd, 4096, 2), old[2:])
            equal(os.fstat(fd).st_size, len(old))
            equal(read(m / 'k'), value.encode())
            equal(os.pread(fd, 4096, 0), old)


@case(('k', 'original'))
def handle_never_read_before_the_change_has_the_version_of_its_open(m):
    for value in 'a longer value than before', 'short', 'medium size', '':
        old = read(m / 'k')
        with opened(m / 'k') as fd:
            pool.put(m.pool, 'k', value)
            equal(os.stat(m / 'k').st_size, len(value))
            equal(os.pread(fd, 4096, 0), old)


@case(('k', 'original'))
def read_handle_keeps_its_version_when_the_mount_changes_the_value(m):
    for value in b'a longer value than before', b'short', b'x' * 1022, b'o':
        old = read(m / 'k')
        with opened(m / 'k') as fd, opened(m / 'k') as late:
            equal(os.pread(fd, 3, 0), old[:3])
            write(m / 'k', value)
            for handle in fd, late:
                equal(os.pread(handle, 4096, 0), old)
                equal(os.fstat(handle).st_size, len(old))
            equal(read(m / 'k'), value)
            os.truncate(m / 'k', 1)
            equal(os.pread(fd, 4096, 0), old)
            equal(os.fstat(fd).st_size, len(old))


@case(('k', 'one'))
def handles_of_several_versions_live_side_by_side(m):
    fds = []
    # none begins with another one: it would have grown, however long ago that was
    values = [b'%02d' % n * (n % 5 + 1) for n in range(40)]
    for value in values:
        pool.put(m.pool, 'k', value)
        fds.append(os.open(m / 'k', os.O_RDONLY))
    for fd, value in zip(fds, values):
        equal(os.fstat(fd).st_size, len(value))
        equal(os.read(fd, 4096), value)
        os.close(fd)


@case(('k', 'mapped value'))
def mapping_keeps_its_version(m):
    for value in 'a longer value than the mapped one', 's', '':
        old = read(m / 'k')
        with opened(m / 'k') as fd:
            maps = [mmap.mmap(fd, 0, kind, mmap.PROT_READ)
                    for kind in (mmap.MAP_SHARED, mmap.MAP_PRIVATE)]
            equal(maps[0][:2], old[:2])
            pool.put(m.pool, 'k', value)
            equal(os.stat(m / 'k').st_size, len(value))
            equal(read(m / 'k'), value.encode())
            for memory in maps:
                equal(memory[:], old)
                memory.close()


@case(('k', 'original'))
def open_without_a_new_lookup_has_one_version_or_is_estale(m):
    """As when a value changes between the kernel's LOOKUP and its OPEN."""
    with opened(m / 'k', os.O_PATH) as path:
        for value in 'a longer value than before', 'short', '', 'medium size':
            pool.put(m.pool, 'k', value)
            try:
                fd = os.open(f'/proc/self/fd/{path}', os.O_RDONLY)
            except OSError as error:
                equal(error.errno, errno.ESTALE)
                continue
            equal(os.fstat(fd).st_size, len(os.pread(fd, 4096, 0)))
            os.close(fd)


@case(('k', 'original'))
def file_deleted_outside_after_its_lookup_can_be_opened(m):
    """As when a key goes between LOOKUP and OPEN, twice: open(O_CREAT) must find
    or make it then, and so cannot be ENOENT."""
    with opened(m / 'k', os.O_PATH) as path:
        pool.delete(m.pool, 'k')
        equal(read(f'/proc/self/fd/{path}'), b'original')
        refused(errno.ENOENT, os.stat, m / 'k')
        write(f'/proc/self/fd/{path}', b'anew', O_WRONLY | O_TRUNC)
        equal(m.records(), [(b'k', b'anew')])


@case(('k', 'original'))
def read_handle_keeps_its_version_when_the_key_is_deleted_outside(m):
    with opened(m / 'k') as fd:
        pool.delete(m.pool, 'k')
        refused(errno.ENOENT, os.stat, m / 'k')
        equal(os.pread(fd, 4096, 0), b'original')
        pool.append(m.pool, ('k', 'another'))
        equal(read(m / 'k'), b'another')
        equal(os.pread(fd, 4096, 0), b'original')


@case(('k', 'original'))
def read_handle_keeps_its_version_when_the_pool_is_replaced(m):
    with opened(m / 'k') as fd:
        os.unlink(m.pool)
        refused(errno.ENOENT, os.stat, m / 'k')
        equal(os.pread(fd, 4096, 0), b'original')


@case(('k', 'old'))
def reader_opened_beside_a_writer_has_what_was_stored_by_then(m):
    versions = [(os.open(m / 'k', os.O_RDONLY), b'old')]
    with opened(m / 'k', O_WRONLY | O_TRUNC) as writer:
        for more in b'', b'one', b'two', b'three':
            os.write(writer, more)
            versions.append((os.open(m / 'k', os.O_RDONLY), m.value('k')))
    equal([value for _, value in versions],
          [b'old', b'old', b'one', b'onetwo', b'onetwothree'])
    for fd, value in versions:          # which may have grown since
        size = os.fstat(fd).st_size
        equal(os.pread(fd, size, 0)[:len(value)], value)
        os.close(fd)


VALUES = [b'a' * 10, b'b' * 1000, b'c', b'd' * 300]


@case(('k', 'stored'))
def reader_of_a_file_being_replaced_finds_the_end_of_what_it_reads(m):
    with opened(m / 'k', os.O_WRONLY | os.O_TRUNC) as writer:
        # no name is looked up again, so both have to do with one node
        with opened(f'/proc/self/fd/{writer}') as reader:
            equal(os.lseek(reader, 0, os.SEEK_END), 6)
            equal(os.pread(reader, 100, 0), b'stored')


def opened_beside_writers(m):
    """Readers of `k`, while it is written through the mount (truncating) and
    outside (locked) as fast as can be."""

    def through_the_mount():
        for _ in range(ROUNDS):
            for value in VALUES[:2]:
                write(m / 'k', value, O_WRONLY | O_TRUNC)

    def outside():
        for _ in range(ROUNDS):
            for value in VALUES[2:]:
                pool.put(m.pool, 'k', value)
    writers = [Child(through_the_mount), Child(outside)]
    while not all(writer.is_done() for writer in writers):
        with opened(m / 'k') as fd:
            yield fd
    for writer in writers:
        writer.result()
    equal(len(m.records()), 1)


@case(('k', VALUES[0]), options=PATIENT)
def readers_beside_writers_see_whole_values_only(m):
    for fd in opened_beside_writers(m):
        value = os.pread(fd, 4096, 0)
        assert value in VALUES, f'torn or mixed value {value!r}'
        equal(os.pread(fd, 4096, 0), value)


@case(('k', VALUES[0]), options=PATIENT)
def readers_beside_writers_have_the_size_of_what_they_read(m):
    for fd in opened_beside_writers(m):
        equal(os.fstat(fd).st_size, len(os.pread(fd, 4096, 0)))


@case(('k', 'abc'))
def writing_handle_sees_the_change_before_it_writes(m):
    with opened(m / 'k', O_RDWR) as fd:
        equal(os.pread(fd, 10, 0), b'abc')
        pool.put(m.pool, 'k', 'wxyz')
        equal(os.pwrite(fd, b'-', 0), 1)
        equal(m.value('k'), b'-xyz')
        equal(os.pread(fd, 10, 0), b'-xyz')


if __name__ == '__main__':
    harness.main()
