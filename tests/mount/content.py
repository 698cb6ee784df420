#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""What open, read, write, truncate and fsync do on a mount, and the errno where
they must not: pending creation and truncation, limits, UTF-8, O_APPEND.

As in syscalls.py, each case looks both through the mount and into the pool.
"""

import contextlib
import errno
import mmap
import os
import stat
from os import O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY

import harness
import pool
from harness import CAP, case, equal, eventually, numbered, opened, read, refused, write

NEW = O_WRONLY | O_CREAT
EURO = '€'.encode()


# open, read

@case(('k', '0123456789'), ('empty', ''))
def read_returns_exact_bytes_at_any_offset(m):
    with opened(m / 'k') as fd:
        equal(os.pread(fd, 4, 3), b'3456')
        equal(os.pread(fd, 100, 8), b'89')
        equal(os.pread(fd, 100, 10), b'')
        equal(os.pread(fd, 100, 5000), b'')
        equal(os.pread(fd, 100, 0), b'0123456789')
    equal(read(m / 'empty'), b'')


@case(('k', b'x' * 2048), (b'q' * 512, 'long key'))
def read_knows_no_limits_of_the_mode(m):
    equal(read(m / 'k'), b'x' * 2048)
    equal(read(m / ('q' * 512)), b'long key')


@case(('k', 'abc'))
def mmap_shows_the_value(m):
    with opened(m / 'k') as fd:
        for kind in mmap.MAP_SHARED, mmap.MAP_PRIVATE:
            with mmap.mmap(fd, 0, kind, mmap.PROT_READ) as memory:
                equal(memory[:], b'abc')


@case(('k', 'abc'))
def handle_for_reading_and_writing_reads_what_it_wrote(m):
    with opened(m / 'k', O_RDWR) as fd:
        equal(os.read(fd, 10), b'abc')
        equal(os.pwrite(fd, b'X', 1), 1)
        equal(os.pread(fd, 10, 0), b'aXc')
        equal(os.pwrite(fd, b'de', 3), 2)
        equal(os.pread(fd, 10, 0), b'aXcde')


# open(O_CREAT), open(O_TRUNC): pending until the first write

@case()
def new_key_is_an_empty_file_here_and_not_in_the_pool_until_stored(m):
    with opened(m / 'k', NEW | O_EXCL) as fd:
        equal(os.fstat(fd).st_size, 0)
        equal(os.stat(m / 'k').st_size, 0)
        equal(read(m / 'k'), b'')
        equal(m.names(), [b'k'])
        refused(errno.EEXIST, os.open, m / 'k', NEW | O_EXCL)
        equal(m.records(), [])
        equal(os.write(fd, b'v'), 1)
        equal(m.records(), [(b'k', b'v')])


@case(('k', 'old'))
def truncating_open_leaves_the_old_value_to_others_until_a_write(m):
    with opened(m / 'k') as reader, opened(m / 'k', O_WRONLY | O_TRUNC) as writer:
        equal(m.value('k'), b'old')
        equal(os.fstat(reader).st_size, 3)
        equal(os.stat(m / 'k').st_size, 3)
        equal(read(m / 'k'), b'old')
        equal(os.pread(reader, 10, 0), b'old')
        equal(os.write(writer, b'new value'), 9)
        equal(m.value('k'), b'new value')
        equal(read(m / 'k'), b'new value')
        equal(os.stat(m / 'k').st_size, 9)
        equal(os.pread(reader, 10, 0), b'old')
        equal(os.fstat(reader).st_size, 3)


@case(('k', 'old'))
def truncating_open_reads_empty_itself(m):
    with opened(m / 'k', O_RDWR | O_TRUNC) as fd:
        equal(os.read(fd, 10), b'')
        equal(m.value('k'), b'old')


@case(('k', 'old'))
def truncating_open_without_a_write_stores_empty_at_release_not_at_flush(m):
    fd = os.open(m / 'k', O_WRONLY | O_TRUNC)
    os.close(os.dup(fd))
    equal(m.value('k'), b'old')
    os.close(fd)
    eventually(lambda: m.value('k') == b'')
    equal(read(m / 'k'), b'')


@case()
def creation_without_a_write_stores_empty_at_release_not_at_flush(m):
    for name, flags in ('k', NEW), ('l', O_RDONLY | O_CREAT), ('m', NEW | O_EXCL):
        fd = os.open(m / name, flags)
        os.close(os.dup(fd))
        equal(m.value(name), None)
        os.close(fd)
        eventually(lambda key=name: m.value(key) == b'')


@case(('old', 'old'))
def fsync_stores_what_is_pending(m):
    for name, sync in ('old', os.fsync), ('a', os.fsync), ('b', os.fdatasync):
        with opened(m / name, NEW | O_TRUNC) as fd:
            sync(fd)
            equal(m.value(name), b'')


@case(('k', 'old'))
def refused_first_write_leaves_the_old_value(m):
    for data, number in ((b'x' * 1023, errno.EFBIG), (b'a\0b', errno.EINVAL),
                         (b'\xff', errno.EILSEQ)):
        with opened(m / 'k', O_WRONLY | O_TRUNC) as fd:
            refused(number, os.write, fd, data)
        equal(read(m / 'k'), b'old')
        equal(os.stat(m / 'k').st_size, 3)
    m.unmount()
    equal(m.records(), [(b'k', b'old')])


@case()
def refused_first_write_makes_no_new_key(m):
    for data, number in ((b'x' * 1023, errno.EFBIG), (b'a\0b', errno.EINVAL),
                         (b'\xff', errno.EILSEQ)):
        with opened(m / 'k', NEW) as fd:
            refused(number, os.write, fd, data)
        refused(errno.ENOENT, os.stat, m / 'k')
        equal(m.names(), [])
    m.unmount()
    equal(m.records(), [])


@case(('k', 'old'))
def good_write_after_a_refused_one_replaces_the_value(m):
    with opened(m / 'k', O_WRONLY | O_TRUNC) as fd:
        refused(errno.EINVAL, os.write, fd, b'\0')
        equal(os.pwrite(fd, b'new', 0), 3)
    equal(m.records(), [(b'k', b'new')])


@case(('k', 'v'))
def exclusive_creation_of_an_existing_key_is_eexist(m):
    refused(errno.EEXIST, os.open, m / 'k', NEW | O_EXCL)
    pool.append(m.pool, ('made-outside', 'v'))
    refused(errno.EEXIST, os.open, m / 'made-outside', NEW | O_EXCL)
    write(m / 'new', b'v', NEW | O_EXCL)
    equal(m.value('new'), b'v')


@case(*numbered(CAP))
def new_key_at_the_cap_is_enospc_at_open(m):
    before = m.records()
    refused(errno.ENOSPC, os.open, m / 'new', NEW)
    refused(errno.ENOSPC, os.mknod, m / 'new', stat.S_IFREG | 0o644)
    refused(errno.ENOENT, os.stat, m / 'new')
    equal(m.records(), before)
    write(m / 'key-0007', b'replaced')
    equal(m.value('key-0007'), b'replaced')
    os.unlink(m / 'key-0000')
    write(m / 'new', b'v')
    equal(m.value('new'), b'v')
    equal(len(m.records()), CAP)


@case(*numbered(CAP - 1))
def two_pending_keys_cannot_both_take_the_last_place(m):
    errors = []
    fds = []
    for name in 'a', 'b':
        try:
            fds.append(os.open(m / name, NEW))
        except OSError as error:
            errors.append(error.errno)
    for fd in fds:
        try:
            os.write(fd, b'v')
        except OSError as error:
            errors.append(error.errno)
        os.close(fd)
    equal(errors, [errno.ENOSPC])
    m.unmount()
    equal(len(m.entries()), CAP)


@case()
def key_length_limit_is_254_bytes_at_open(m):
    write(m / ('k' * 254), b'v')
    equal(m.records(), [(b'k' * 254, b'v')])
    refused(errno.ENAMETOOLONG, os.open, m / ('k' * 255), NEW)
    write(m / ('é' * 127), b'v')
    refused(errno.ENAMETOOLONG, os.open, m / ('é' * 128), NEW)
    equal(len(m.records()), 2)


@case()
def key_that_is_not_utf8_is_eilseq_at_open(m):
    for name in b'\xff', b'a\xc3', b'\xed\xa0\x80', b'\xc0\xaf', b'\xf4\x90\x80\x80':
        refused(errno.EILSEQ, os.open, m / name, NEW)
        refused(errno.EILSEQ, os.mknod, m / name, stat.S_IFREG | 0o644)
    equal(m.records(), [])


# write

@case(('a', '1'), ('k', 'abc'), ('z', '2'))
def write_inside_a_value_changes_only_those_bytes(m):
    before = pool.raw(m.pool)
    with opened(m / 'k', O_WRONLY) as fd:
        equal(os.pwrite(fd, b'X', 1), 1)
        equal(m.value('k'), b'aXc')
        equal(os.pwrite(fd, b'def', 3), 3)
    equal(pool.raw(m.pool), [before[0], pool.encode('k', 'aXcdef'), before[2]])


@case(('k', 'abc'))
def write_behind_the_end_is_einval(m):
    with opened(m / 'k', O_WRONLY) as fd:
        refused(errno.EINVAL, os.pwrite, fd, b'x', 4)
        refused(errno.EINVAL, os.pwrite, fd, b'x', 1000)
    equal(m.records(), [(b'k', b'abc')])


@case(('k', 'abc'))
def nul_is_einval(m):
    with opened(m / 'k', O_WRONLY) as fd:
        for data in b'\0', b'ab\0', b'\0ab':
            refused(errno.EINVAL, os.pwrite, fd, data, 0)
    equal(m.records(), [(b'k', b'abc')])


@case(('k', b'x' * 1000))
def value_limit_of_1022_bytes_counts_the_whole_value(m):
    with opened(m / 'k', O_WRONLY) as fd:
        refused(errno.EFBIG, os.pwrite, fd, b'y' * 23, 1000)
        equal(m.value('k'), b'x' * 1000)
        equal(os.pwrite(fd, b'y' * 22, 1000), 22)
        refused(errno.EFBIG, os.pwrite, fd, b'y', 1022)
        refused(errno.EFBIG, os.pwrite, fd, b'y' * 300000, 0)
    equal(m.value('k'), b'x' * 1000 + b'y' * 22)


@case(('k', b'x' * 2048))
def value_over_the_limit_may_only_shrink_to_fit(m):
    with opened(m / 'k', O_WRONLY) as fd:
        refused(errno.EFBIG, os.pwrite, fd, b'y', 0)
        os.ftruncate(fd, 1022)
        equal(os.pwrite(fd, b'y', 0), 1)
    equal(m.value('k'), b'y' + b'x' * 1021)


@case(('k', 'abc'))
def value_that_is_not_utf8_is_eilseq(m):
    for data in (b'\xff', b'\xc3x', b'\xc0\xaf', b'\xed\xa0\x80', b'\xf4\x90\x80\x80',
                 b'\x80', b'\xe0\x80\x80'):
        with opened(m / 'k', O_WRONLY) as fd:
            refused(errno.EILSEQ, os.write, fd, data + b'end')
    equal(m.records(), [(b'k', b'abc')])


@case(('k', 'aé'), ('bad', b'\xff'))
def write_is_validated_together_with_what_stays(m):
    with opened(m / 'k', O_WRONLY) as fd:
        refused(errno.EILSEQ, os.pwrite, fd, b'x', 1)
        equal(m.value('k'), 'aé'.encode())
        equal(os.pwrite(fd, 'ü'.encode(), 1), 2)
    with opened(m / 'bad', O_WRONLY | O_APPEND) as fd:
        refused(errno.EILSEQ, os.write, fd, b'x')
    equal(m.records(), [(b'k', 'aü'.encode()), (b'bad', b'\xff')])


@case()
def character_split_across_writes_is_stored_when_complete(m):
    text = 'a€é𝄞z'.encode()
    with opened(m / 'k', NEW) as fd:
        for at in range(len(text)):
            equal(os.write(fd, text[at:at + 1]), 1)
            equal(m.value('k'), text[:at + 1].decode(errors='ignore').encode())
    equal(m.records(), [(b'k', text)])


@case(('k', 'old'))
def first_character_in_pieces_never_shows_the_value_empty(m):
    with opened(m / 'k', O_WRONLY | O_TRUNC) as fd:
        equal(os.write(fd, EURO[:1]), 1)
        equal((m.value('k'), read(m / 'k')), (b'old', b'old'))
        equal(os.write(fd, EURO[1:]), 2)
        equal((m.value('k'), read(m / 'k')), (EURO, EURO))


@case(('k', 'abc'))
def unfinished_character_followed_by_another_is_eilseq(m):
    with opened(m / 'k', O_WRONLY | O_APPEND) as fd:
        equal(os.write(fd, EURO[:2]), 2)
        refused(errno.EILSEQ, os.write, fd, b'x')
        equal(os.write(fd, EURO[2:]), 1)
    equal(m.records(), [(b'k', b'abc' + EURO)])


@case()
def unfinished_character_is_eilseq_at_each_flush_and_fsync(m):
    with opened(m / 'k', NEW) as fd:
        equal(os.write(fd, b'a' + EURO[:1]), 2)
        for _ in range(2):
            refused(errno.EILSEQ, os.close, os.dup(fd))
            refused(errno.EILSEQ, os.fsync, fd)
            refused(errno.EILSEQ, os.fdatasync, fd)
        equal(m.value('k'), b'a')
        equal(os.write(fd, EURO[1:]), 2)
        os.fsync(fd)
        os.close(os.dup(fd))
    equal(m.records(), [(b'k', b'a' + EURO)])


@case()
def character_never_finished_is_dropped_at_release(m):
    fd = os.open(m / 'k', NEW)
    equal(os.write(fd, b'a' + EURO[:2]), 3)
    refused(errno.EILSEQ, os.close, fd)
    equal(read(m / 'k'), b'a')
    m.unmount()
    equal(m.records(), [(b'k', b'a')])


@case(('k', b'x' * 1020))
def unfinished_character_counts_towards_the_limit(m):
    fd = os.open(m / 'k', O_WRONLY | O_APPEND)
    equal(os.write(fd, EURO[:2]), 2)
    refused(errno.EFBIG, os.write, fd, EURO[2:])
    with contextlib.suppress(OSError):      # whether it is still waiting is open
        os.close(fd)
    m.unmount()
    equal(m.value('k'), b'x' * 1020)


@case()
def gathered_write_is_one_write(m):
    with opened(m / 'k', NEW) as fd:
        equal(os.writev(fd, [b'a', EURO[:1], EURO[1:], b'b']), 5)
        equal(m.records(), [(b'k', b'a' + EURO + b'b')])


@case(('from', 'value of a key'), ('to', 'old'))
def bytes_copied_by_the_kernel_arrive(m):
    with opened(m / 'from') as source, opened(m / 'to', O_WRONLY | O_TRUNC) as target:
        equal(os.copy_file_range(source, target, 100), 14)
    equal(m.value('to'), b'value of a key')
    with opened(m / 'from') as source, opened(m / 'to', O_WRONLY | O_TRUNC) as target:
        equal(os.sendfile(target, source, 0, 5), 5)
    equal(m.value('to'), b'value')


@case(('k', 'abc'))
def write_continues_from_the_value_as_it_is_now(m):
    with opened(m / 'k', O_WRONLY) as fd:
        pool.put(m.pool, 'k', 'vwxyz')
        equal(os.pwrite(fd, b'-', 1), 1)
    equal(m.records(), [(b'k', b'v-xyz')])


@case(('k', 'abc'))
def writing_to_a_key_deleted_outside_makes_it_anew(m):
    with opened(m / 'k', O_WRONLY) as fd, opened(m / 'k', O_WRONLY | O_APPEND) as end:
        pool.delete(m.pool, 'k')
        equal(os.pwrite(fd, b'new', 0), 3)
        equal(m.records(), [(b'k', b'new')])
        pool.delete(m.pool, 'k')
        equal(os.write(end, b'newer'), 5)
    equal(m.records(), [(b'k', b'newer')])


@case(('a', '1'), ('k', 'one'), ('b', '2'), ('k', 'two'), ('c', '3'))
def write_leaves_one_record_of_a_repeated_key_where_the_last_was(m):
    before = pool.raw(m.pool)
    write(m / 'k', b'three')
    equal(pool.raw(m.pool),
          [before[0], before[2], pool.encode('k', 'three'), before[4]])


@case(('k', 'abc'))
def append_goes_to_the_end_that_the_value_has_now(m):
    with opened(m / 'k', O_WRONLY | O_APPEND) as fd:
        equal(os.write(fd, b'd'), 1)
        for outside in 'longer than before', 's', '':
            pool.put(m.pool, 'k', outside)
            equal(os.write(fd, b'+'), 1)
            equal(m.value('k'), outside.encode() + b'+')


@case(('k', ''))
def appending_handles_do_not_overwrite_each_other(m):
    with opened(m / 'k', O_WRONLY | O_APPEND) as one, \
            opened(m / 'k', O_WRONLY | O_APPEND) as two:
        for n in range(50):
            os.write(one, b'a%02d' % n)
            os.write(two, b'b%02d' % n)
    equal(m.value('k'), b''.join(b'a%02db%02d' % (n, n) for n in range(50)))


@case()
def appending_handles_of_a_new_key_lose_nothing(m):
    for name, more in ('n', 0), ('t', O_TRUNC), ('x', O_EXCL):
        with opened(m / name, O_WRONLY | O_CREAT | O_APPEND | more) as maker, \
                opened(m / name, O_WRONLY | O_CREAT | O_APPEND) as second:
            os.write(second, b'one,')
            os.write(maker, b'two,')
            os.write(second, b'three')
        equal(m.value(name), b'one,two,three')
        with opened(m / f'{name}2', O_WRONLY | O_CREAT | O_APPEND | more) as fd:
            pool.append(m.pool, (f'{name}2', 'theirs,'))
            os.write(fd, b'ours')
        equal(m.value(f'{name}2'), b'theirs,ours')


# truncate

@case(('p', 'abcdef'), ('f', 'abcdef'))
def shrinking_is_stored_at_once(m):
    with opened(m / 'f', O_WRONLY) as fd:
        for size in 6, 4, 3:
            os.truncate(m / 'p', size)
            os.ftruncate(fd, size)
            equal(m.records(), [(key, b'abcdef'[:size]) for key in (b'p', b'f')])
            equal(os.stat(m / 'p').st_size, size)
    os.truncate(m / 'p', 0)
    equal(m.value('p'), b'')


@case(('k', 'old'))
def emptying_an_open_file_waits_for_what_is_written(m):
    """As editors do it: the old value stays when the new one is refused."""
    with opened(m / 'k', O_RDWR) as fd:
        os.ftruncate(fd, 0)
        equal(os.pread(fd, 9, 0), b'')
        equal((os.lseek(fd, 0, os.SEEK_END), os.fstat(fd).st_size), (0, 0))
        equal(os.stat(m / 'k').st_size, 3)
        equal((read(m / 'k'), m.value('k')), (b'old', b'old'))
        refused(errno.EFBIG, os.pwrite, fd, b'v' * 1023, 0)
        os.fsync(fd)
        equal(m.value('k'), b'old')
        os.pwrite(fd, b'new', 0)
        equal(m.value('k'), b'new')
        os.ftruncate(fd, 0)
        os.fsync(fd)
        equal(m.value('k'), b'')
    write(m / 'k', b'old')
    with opened(m / 'k', O_WRONLY) as fd:
        os.ftruncate(fd, 0)
    eventually(lambda: m.value('k') == b'')


@case(('k', 'old'))
def file_emptied_by_two_descriptors_keeps_its_value_if_the_second_is_refused(m):
    """As cp of uutils does it."""
    for name in 'k', 'new':
        first = os.open(m / name, O_WRONLY | O_CREAT | O_TRUNC)
        second = os.open(m / name, O_WRONLY | O_CREAT | O_TRUNC)
        refused(errno.EFBIG, os.write, second, b'v' * 1023)
        os.close(second)
        os.close(first)
    os.stat(m / 'k')
    equal(m.records(), [(b'k', b'old')])
    # the second one decides, however they are closed; then the first may write
    first = os.open(m / 'k', O_WRONLY | O_TRUNC)
    with opened(m / 'k', O_WRONLY) as second:
        os.ftruncate(second, 0)
    os.fsync(first)
    equal(m.records(), [(b'k', b'')])
    os.write(first, b'v')
    os.close(first)
    equal(m.records(), [(b'k', b'v')])


@case(('k', 'abc'))
def growing_by_truncate_is_einval_and_efbig_over_the_limit(m):
    with opened(m / 'k', O_RDWR) as fd:
        for size, number in ((4, errno.EINVAL), (1022, errno.EINVAL),
                             (1023, errno.EFBIG), (1 << 40, errno.EFBIG)):
            refused(number, os.truncate, m / 'k', size)
            refused(number, os.ftruncate, fd, size)
            equal(os.stat(m / 'k').st_size, 3)
            equal(read(m / 'k'), b'abc')
    equal(m.records(), [(b'k', b'abc')])


@case(('k', 'aé'))
def truncating_within_a_character_is_eilseq(m):
    refused(errno.EILSEQ, os.truncate, m / 'k', 2)
    equal(m.records(), [(b'k', 'aé'.encode())])


@case(('k', 'old value'))
def ftruncate_then_write_replaces_the_value(m):
    with opened(m / 'k', O_WRONLY) as fd:
        os.ftruncate(fd, 0)
        equal(os.write(fd, b'new'), 3)
        os.fsync(fd)
    equal(m.records(), [(b'k', b'new')])


@case(('k', 'abc'))
def fsync_succeeds_on_files_and_the_directory(m):
    for path, flags in (m / 'k', O_WRONLY), (m / 'k', O_RDONLY), (m.dir, O_RDONLY):
        with opened(path, flags) as fd:
            os.fsync(fd)
            os.fdatasync(fd)
    equal(m.records(), [(b'k', b'abc')])


if __name__ == '__main__':
    harness.main()
