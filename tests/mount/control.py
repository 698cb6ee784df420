#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""The directory .kvpfs and its files that are no stream: records, entries, pool
and status. What they show of a pool, and that writing records changes the pool by
whole lines, in one locked step, or not at all.
"""

import contextlib
import errno
import os
import random
import re
import stat
import subprocess
import sys
from os import O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY

import harness
import pool
from harness import (CAP, NOBODY, Child, case, equal, eventually, numbered, opened,
                     read, refused, write)

NAMES = ['entries', 'events', 'pool', 'records', 'status']
READ_ONLY = ['entries', 'pool', 'status', 'events']
BRIEF, LONG = 'lock_timeout=0.1', 'lock_timeout=40'
REPLACE, APPEND = O_WRONLY | O_TRUNC, O_WRONLY | O_APPEND
NOISE = b'\0stale bytes\xff'
LONGEST = 3 * pool.RECORD_SIZE + 2       # a line, everything in it escaped


def control(m, name='records'):
    return os.path.join(m.dir, '.kvpfs', name)


def content(path):
    with open(path, 'rb') as file:
        return file.read()


def pool_holds(m, data):
    """Exactly these bytes; they are too many to be shown."""
    assert content(m.pool) == data, f'the pool is {m.records()!r:.500}'


def flush(fd):
    """What a shell's dup2(2) sends before it writes, and close(2) at the end."""
    os.close(os.dup(fd))


def settle(m):
    """Requests are served in order: behind the RELEASE of what was closed."""
    os.statvfs(m.dir)


def refused_by(numbers, function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        assert error.errno in numbers, f'{errno.errorcode[error.errno]}: {arguments}'
    else:
        raise AssertionError(f'{function.__name__}{arguments} succeeded')


def field(data, pattern):
    return re.sub(pattern + rb'|%(?=[0-9A-Fa-f]{2})', lambda m: b'%%%02X' % m[0][0],
                  pool.as_bytes(data))


def line(key, value):
    """The tests' own idea of a record as text."""
    return field(key, rb'[\n=]') + b'=' + field(value, rb'\n') + b'\n'


def text(*pairs):
    return b''.join(line(*pair) for pair in pairs)


def status(m):
    lines = read(control(m, 'status')).decode().splitlines()
    found = dict(entry.split('=', 1) for entry in lines)
    equal(len(found), len(lines))
    return found


def status_is(m, **wanted):
    found = status(m)
    equal({name: found[name] for name in wanted},
          {name: str(value) for name, value in wanted.items()})


def as_many(**counts):
    return {'records': 0, 'keys': 0, 'repeated': 0, 'empty_keys': 0, 'not_utf8': 0,
            'unlisted': 0, 'torn_bytes': 0, 'stale': 'no', 'hidden_from_host': 0,
            **counts}


# What the files show

ODD = [('a', '1'), ('b', '2'), ('a', '3'), ('', 'no entry'), (b'n' + NOISE, NOISE),
       (b'\xff', b'\xfe'), ('', ''), ('b', '')]


@case(*ODD)
def records_shows_every_record_in_file_order_but_those_with_an_empty_key(m):
    equal(read(control(m)), b'a=1\nb=2\na=3\nn=\n\xff=\xfe\nb=\n')


@case(*ODD)
def entries_shows_each_key_once_with_its_last_value(m):
    equal(sorted(read(control(m, 'entries')).splitlines()),
          [b'a=3', b'b=', b'n=', b'\xff=\xfe'])


@case(*ODD)
def pool_shows_the_exact_bytes(m):
    equal(read(control(m, 'pool')), content(m.pool))
    with open(m.pool, 'ab') as file:
        file.write(b'cut tail')
    equal(read(control(m, 'pool')), content(m.pool))


ESCAPED = [
    (b'a=b', b'c=d', b'a%3Db=c=d'),
    (b'a\nb', b'\n\n', b'a%0Ab=%0A%0A'),
    (b'100%', b'%', b'100%=%'),
    (b'%41', b'%4f%4F', b'%2541=%254f%254F'),
    (b'%3D', b'%0A', b'%253D=%250A'),
    (b'%%41%', b'%%%25', b'%%2541%=%%%2525'),
    (b'%4\n1', b'%\n', b'%4%0A1=%%0A'),
    (b'%=', b'%g0%0g', b'%%3D=%g0%0g'),
    (b'%4', b'=', b'%4=='),
    (b'=', b'', b'%3D='),
    (b'a/b', b'/', b'a/b=/'),
    (b' \t\r\\"\x7f', ' €𝄞'.encode(), b' \t\r\\"\x7f= ' + '€𝄞'.encode()),
]


@case(*[(key, value) for key, value, _ in ESCAPED])
def lines_are_escaped_where_they_must_be_and_nowhere_else(m):
    for name in 'records', 'entries':
        equal(read(control(m, name)).split(b'\n'),
              [wanted for _, _, wanted in ESCAPED] + [b''])


@case()
def escaped_lines_are_decoded(m):
    for flags in REPLACE, APPEND:
        write(control(m), b''.join(wanted + b'\n' for _, _, wanted in ESCAPED), flags)
        equal(m.records(), [(key, value) for key, value, _ in ESCAPED])
        os.truncate(m.pool, 0)


@case(*numbered(40))
def handle_keeps_the_version_of_its_open(m):
    for name in 'records', 'entries', 'pool', 'status':
        pool.build(m.pool, *numbered(40))
        before = read(control(m, name))
        with opened(control(m, name)) as fd, opened(control(m, name)) as late:
            found = os.read(fd, 30)
            pool.put(m.pool, 'key-0000', 'changed')
            os.unlink(m / 'key-0001')
            found += os.read(fd, 30)
            os.unlink(m.pool)
            while part := os.read(fd, 1000):
                found += part
            equal(found, before)
            equal(b''.join(iter(lambda: os.read(late, 4096), b'')), before)
            equal(os.pread(fd, 20, 5), before[5:25])
        assert read(control(m, name)) != before


@case(('k', '000'))
def open_sees_each_change_at_once(m):
    for n in range(100):
        pool.put(m.pool, 'k', '%03d' % n)
        for name in 'records', 'entries':
            equal(read(control(m, name)), b'k=%03d\n' % n)
        equal(read(control(m, 'pool')), content(m.pool))
        write(m / 'k', b'x')
        equal(read(control(m)), b'k=x\n')


@case(*numbered(300), options='mode=full')
def any_part_of_a_long_file_can_be_read(m):
    for name in 'records', 'pool':
        whole = read(control(m, name))
        with opened(control(m, name)) as fd:
            for at, size in (0, 1), (4095, 4097), (len(whole) - 7, 100), (2559, 2561):
                equal(os.pread(fd, size, at), whole[at:at + size])
            equal(os.pread(fd, 10, len(whole)), b'')
            equal(os.pread(fd, 10, 1 << 40), b'')


VERSIONS = [[(f'{version}{n}', version * 100) for n in range(count)]
            for version, count in (('a', 30), ('b', 70))]


@case(*VERSIONS[0])
def readers_beside_writers_see_whole_versions_only(m):
    def through_the_mount():
        for n in range(80):
            write(control(m), text(*VERSIONS[n % 2]), REPLACE)

    def outside():
        data = [b''.join(pool.encode(*pair) for pair in pairs) for pairs in VERSIONS]
        for n in range(80):
            with pool.locked(m.pool) as fd:
                os.ftruncate(fd, 0)
                os.write(fd, data[n % 2])
    shown = {name: set() for name in ('records', 'entries', 'pool')}
    writers = [Child(through_the_mount), Child(outside)]
    while not all(writer.is_done() for writer in writers):
        for name, found in shown.items():
            found.add(read(control(m, name)))
    for writer in writers:
        writer.result()
    texts = {text(*pairs) for pairs in VERSIONS}
    bytes_ = {b''.join(pool.encode(*pair) for pair in pairs) for pairs in VERSIONS}
    assert shown['records'] <= texts, 'mixed records'
    assert shown['entries'] <= texts, 'mixed entries'
    assert shown['pool'] <= bytes_, 'mixed pool'


# The directory

@case(('k', 'v'), ('.kvpfs', 'key'), ('.', 'dot'))
def directory_is_hidden_from_listings_and_reachable_by_name(m):
    equal(sorted(m.names()), [b'%2E', b'%2Ekvpfs', b'k'])
    with os.scandir(m.dir) as entries:
        equal(sorted(entry.name for entry in entries), ['%2E', '%2Ekvpfs', 'k'])
    equal(sorted(os.listdir(m / '.kvpfs')), NAMES)
    with os.scandir(m / '.kvpfs') as entries:
        equal({(entry.name, entry.is_file(), entry.inode()) for entry in entries},
              {(name, True, os.stat(control(m, name)).st_ino) for name in NAMES})


@case(('k', 'v'))
def key_of_the_same_name_is_a_file_of_its_own(m):
    write(m / '%2Ekvpfs', b'1')
    equal(m.value('.kvpfs'), b'1')
    equal(read(m / '%2Ekvpfs'), b'1')
    equal(stat.S_ISDIR(os.stat(m / '.kvpfs').st_mode), True)
    write(control(m), b'.kvpfs=2\n', APPEND)
    equal(read(m / '%2Ekvpfs'), b'2')
    os.rename(m / 'k', m / '%2Ekvpfs')
    equal(m.records(), [(b'.kvpfs', b'v')])
    os.unlink(m / '%2Ekvpfs')
    equal(sorted(os.listdir(m / '.kvpfs')), NAMES)


@case(('k', 'value'), options=None)
def owner_and_modes_are_those_of_the_keys(m):
    for mode in 0o644, 0o600, 0o440:
        os.chmod(m.pool, mode)
        with m.mounted():
            key, root = os.stat(m / 'k'), os.stat(m.dir)
            for name in NAMES:
                found = os.stat(control(m, name))
                equal((found.st_uid, found.st_gid), (key.st_uid, key.st_gid))
                equal(found.st_mode & ~0o222, key.st_mode & ~0o222)
                if name in READ_ONLY:
                    equal(found.st_mode & 0o222, 0)
            equal(os.stat(control(m)).st_mode, key.st_mode)
            found = os.stat(m / '.kvpfs')
            equal((found.st_uid, found.st_gid), (root.st_uid, root.st_gid))
            equal(found.st_mode & ~0o222, root.st_mode & ~0o222)


@case(('k', 'value'), options='allow_other', root=True)
def others_may_what_they_may_with_the_keys(m):
    for mode, number in (0o644, 0), (0o640, errno.EACCES):
        os.chmod(m.pool, mode)

        def as_other():
            for name in 'records', 'entries', 'pool', 'status':
                if number:
                    refused(number, read, control(m, name))
                else:
                    read(control(m, name))
            for flags in REPLACE, APPEND, O_RDWR:
                refused(errno.EACCES, os.open, control(m), flags)
            refused(errno.EACCES, os.truncate, control(m), 0)
        Child(as_other, user=NOBODY).result()
    equal(m.records(), [(b'k', b'value')])


@case(('k', 'value'))
def files_have_no_size_and_numbers_of_their_own(m):
    paths = [m.dir, m / 'k', m / '.kvpfs', *(control(m, name) for name in NAMES)]
    found = [os.stat(path) for path in paths]
    equal(len({st.st_ino for st in found}), len(paths))
    equal([(st.st_size, st.st_nlink, stat.S_ISREG(st.st_mode)) for st in found[3:]],
          [(0, 1, True)] * len(NAMES))
    equal([os.stat(path).st_ino for path in paths], [st.st_ino for st in found])


@case(('k', 'v'))
def nothing_can_be_made_renamed_or_removed_in_it(m):
    inside, new, records = m / '.kvpfs', control(m, 'new'), control(m)
    before = content(m.pool)
    for change in ((os.unlink, records), (os.rename, records, new),
                   (os.rename, records, m / 'n'), (os.rename, records, m / 'k'),
                   (os.rename, m / 'k', new), (os.rename, m / 'k', records),
                   (os.rename, records, control(m, 'pool')),
                   (os.rename, inside, m / 'n'), (os.rename, inside, new),
                   (os.link, records, m / 'n'), (os.link, m / 'k', new),
                   (os.symlink, 'k', new), (os.mkdir, new), (os.mknod, new),
                   (os.open, new, O_WRONLY | O_CREAT), (os.mkfifo, new),
                   (os.open, new, O_WRONLY | O_CREAT | O_EXCL),
                   (os.rmdir, inside), (os.chmod, inside, 0), (os.chmod, records, 0)):
        refused_by((errno.EPERM, errno.EXDEV, errno.EINVAL), *change)
    for change in ((os.mkdir, inside), (os.mkdir, records), (os.mknod, records),
                   (os.symlink, 'k', inside),
                   (os.open, records, O_WRONLY | O_CREAT | O_EXCL)):
        refused_by((errno.EEXIST, errno.EPERM), *change)
    for change in ((os.open, inside, O_WRONLY | O_CREAT), (os.unlink, inside),
                   (os.rename, m / 'k', inside)):
        refused_by((errno.EISDIR, errno.EPERM), *change)
    for name in 'missing', '..kvpfs', 'records2', 'record', '%72ecords':
        refused(errno.ENOENT, os.stat, control(m, name))
    pool_holds(m, before)
    equal(sorted(os.listdir(inside)), NAMES)


@case(('k', 'v'))
def files_that_are_not_records_refuse_to_be_written(m):
    for name in READ_ONLY:
        for flags in (O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_RDONLY | O_TRUNC,
                      O_WRONLY | O_APPEND, O_WRONLY | O_CREAT):
            refused(errno.EACCES, os.open, control(m, name), flags)
        refused_by((errno.EACCES, errno.EINVAL), os.truncate, control(m, name), 0)
    equal(m.records(), [(b'k', b'v')])


@case(('k', 'v'), options='ro')
def read_only_mount_shows_all_and_refuses_to_write(m):
    equal(read(control(m)), b'k=v\n')
    equal(read(control(m, 'pool')), content(m.pool))
    for flags in REPLACE, APPEND, O_RDWR:
        refused(errno.EROFS, os.open, control(m), flags)
    refused(errno.EROFS, os.truncate, control(m), 0)
    equal(m.records(), [(b'k', b'v')])


# Appending records

@case(('a', '1'), ('b', '2'))
def appended_lines_become_records_without_a_look_for_twins(m):
    write(control(m), b'a=3\nc=4\na=5\n', APPEND)
    write(control(m), b'c=6\n', APPEND)
    equal(m.records(), [(b'a', b'1'), (b'b', b'2'), (b'a', b'3'), (b'c', b'4'),
                        (b'a', b'5'), (b'c', b'6')])
    equal(read(m / 'a'), b'5')
    equal(m.names(), [b'a', b'b', b'c'])


@case(('a', '1'))
def appended_lines_are_stored_when_the_write_returns(m):
    with opened(control(m), APPEND) as fd:
        for n in range(20):
            os.write(fd, b'n=%d\n' % n)
            equal(m.records()[-1], (b'n', b'%d' % n))
    equal(len(m.records()), 21)


@case(('a', '1'))
def last_line_without_a_newline_counts_at_a_flush(m):
    for end in flush, os.fsync:
        os.truncate(m.pool, pool.RECORD_SIZE)
        with opened(control(m), APPEND) as fd:
            os.write(fd, b'b=2\nc=')
            equal(m.records()[1:], [(b'b', b'2')])
            os.write(fd, b'3')
            equal(m.records()[1:], [(b'b', b'2')])
            end(fd)
            equal(m.records()[1:], [(b'b', b'2'), (b'c', b'3')])
            end(fd)
            os.write(fd, b'd=4\n')
            os.write(fd, b'e=5')
        equal(m.records()[1:], [(b'b', b'2'), (b'c', b'3'), (b'd', b'4'), (b'e', b'5')])


@case()
def lines_may_be_split_across_writes_anywhere(m):
    data = text(*[(key, value) for key, value, _ in ESCAPED])
    for flags in REPLACE, APPEND:
        for size in 1, 2, 3, 7, 64:
            os.truncate(m.pool, 0)
            with opened(control(m), flags) as fd:
                for at in range(0, len(data), size):
                    equal(os.write(fd, data[at:at + size]), len(data[at:at + size]))
            equal(m.records(), [(key, value) for key, value, _ in ESCAPED])


@case()
def each_handle_has_its_own_unfinished_line(m):
    with opened(control(m), APPEND) as one, opened(control(m), APPEND) as two:
        os.write(one, b'a=')
        os.write(two, b'b=2\nc=')
        os.write(one, b'1\n')
        os.write(two, b'3')
    equal(m.records(), [(b'b', b'2'), (b'a', b'1'), (b'c', b'3')])


@case()
def one_write_is_one_batch_for_everyone_who_locks(m):
    def appender():
        with opened(control(m), APPEND) as fd:
            for n in range(60):
                os.write(fd, b''.join(b'%d-%d=x\n' % (n, i) for i in range(17)))
    child = Child(appender)
    seen = set()
    while not child.is_done():
        with pool.locked(m.pool) as fd:
            seen.add(os.fstat(fd).st_size)
    child.result()
    equal([size for size in seen if size % (17 * pool.RECORD_SIZE)], [])
    equal(len(m.records()), 60 * 17)


@case(('a', '1'))
def appended_records_overwrite_a_cut_tail(m):
    with open(m.pool, 'ab') as file:
        file.write(b'tail' * 300)
    write(control(m), b'b=2\n', APPEND)
    equal(content(m.pool), pool.encode('a', '1') + pool.encode('b', '2'))


@case(options=None)
def records_of_a_missing_pool_make_it_0600(m):
    m.mount()
    for flags in REPLACE, APPEND:
        os.unlink(m.pool)
        equal([read(control(m, name)) for name in ('records', 'entries', 'pool')],
              [b'', b'', b''])
        equal(os.path.exists(m.pool), False)
        write(control(m), b'k=v\n', flags)
        equal(stat.S_IMODE(os.stat(m.pool).st_mode), 0o600)
        equal(m.records(), [(b'k', b'v')])


# Replacing records

@case(('a', '1'), ('b', '2'), ('a', '3'))
def flush_that_follows_a_write_replaces_the_pool(m):
    before, file = content(m.pool), os.stat(m.pool)
    for end in flush, os.fsync:
        pool.build(m.pool, ('a', '1'), ('b', '2'), ('a', '3'))
        with opened(control(m), REPLACE) as fd:
            end(fd)
            end(fd)
            pool_holds(m, before)
            os.write(fd, b'b=new\nb=newer\n')
            pool_holds(m, before)
            end(fd)
            equal(m.records(), [(b'b', b'new'), (b'b', b'newer')])
    settle(m)
    equal(m.records(), [(b'b', b'new'), (b'b', b'newer')])
    after = os.stat(m.pool)
    equal((after.st_ino, after.st_mode), (file.st_ino, file.st_mode))
    equal(len(content(m.pool)), 2 * pool.RECORD_SIZE)


@case(('a', '1'))
def each_flush_after_more_writes_replaces_by_everything_written(m):
    with opened(control(m), REPLACE) as fd:
        os.write(fd, b'b=')
        flush(fd)
        equal(m.records(), [(b'b', b'')])
        os.write(fd, b'1')
        flush(fd)
        equal(m.records(), [(b'b', b'1')])
        pool.append(m.pool, ('outside', 'x'))
        flush(fd)
        equal(m.records(), [(b'b', b'1'), (b'outside', b'x')])
        os.write(fd, b'2\nc=3\n')
        flush(fd)
        equal(m.records(), [(b'b', b'12'), (b'c', b'3')])
        os.write(fd, b'b=4\n')
    equal(m.records(), [(b'b', b'12'), (b'c', b'3'), (b'b', b'4')])


@case(('a', '1'))
def append_flag_and_replacing_go_together(m):
    with opened(control(m), REPLACE | O_APPEND) as fd:
        os.write(fd, b'b=2\n')
        os.write(fd, b'c=3\n')
    equal(m.records(), [(b'b', b'2'), (b'c', b'3')])


@case(('a', '1'))
def line_that_is_invalid_at_a_flush_may_be_completed_later(m):
    with opened(control(m), REPLACE) as fd:
        os.write(fd, b'half a li')
        refused(errno.EINVAL, os.fsync, fd)
        equal(m.records(), [(b'a', b'1')])
        os.write(fd, b'ne=2\n')
    equal(m.records(), [(b'half a line', b'2')])


@case(*VERSIONS[0])
def replacing_is_one_step_for_everyone_who_locks(m):
    def replacer():
        for n in range(80):
            write(control(m), text(*VERSIONS[n % 2]), REPLACE)
    child = Child(replacer)
    seen = []
    while not child.is_done():
        with pool.locked(m.pool):
            seen.append(m.records())
    child.result()
    wanted = [[(pool.as_bytes(key), pool.as_bytes(value)) for key, value in pairs]
              for pairs in VERSIONS]
    equal([len(found) for found in seen if found not in wanted], [])


@case(('a', '1'), ('b', '2'))
def opening_to_replace_and_writing_nothing_clears(m):
    before, file = content(m.pool), os.stat(m.pool)
    with opened(control(m), REPLACE) as fd:
        flush(fd)
        pool_holds(m, before)
    settle(m)
    equal((content(m.pool), os.stat(m.pool).st_ino), (b'', file.st_ino))
    equal(m.names(), [])


@case(('a', '1'), ('b', '2'))
def truncating_to_0_clears_and_any_other_size_is_einval(m):
    for size in 1, 4, pool.RECORD_SIZE, 1 << 40:
        refused(errno.EINVAL, os.truncate, control(m), size)
    equal(len(m.records()), 2)
    os.truncate(control(m), 0)
    equal(os.stat(m.pool).st_size, 0)
    pool.build(m.pool, ('a', '1'))
    with opened(control(m), O_RDWR) as fd:
        refused(errno.EINVAL, os.ftruncate, fd, 5)
        equal(m.records(), [(b'a', b'1')])
        os.ftruncate(fd, 0)
        equal(m.records(), [(b'a', b'1')])
    settle(m)
    equal(os.stat(m.pool).st_size, 0)


@case(('a', '1'))
def write_in_the_middle_is_refused_and_changes_nothing(m):
    before = content(m.pool)
    for flags in O_WRONLY, O_RDWR, O_WRONLY | O_CREAT:
        with opened(control(m), flags) as fd:
            refused(errno.EINVAL, os.write, fd, b'b=2\n')
            refused(errno.EINVAL, os.pwrite, fd, b'b=2\n', 4)
    for offset in 1, 3, 5, 4096:
        fd = os.open(control(m), REPLACE)
        if offset != 1:
            os.write(fd, b'b=2\n')
        refused(errno.EINVAL, os.pwrite, fd, b'c=3\n', offset)
        refused(errno.EINVAL, os.close, fd)
        settle(m)
        pool_holds(m, before)


@case(('a', '1'))
def handle_for_reading_and_appending_reads_its_version_and_appends(m):
    with opened(control(m), O_RDWR | O_APPEND) as fd:
        equal(os.pread(fd, 100, 0), b'a=1\n')
        os.write(fd, b'b=2\n')
        equal(os.pread(fd, 100, 0), b'a=1\n')
    equal(read(control(m)), b'a=1\nb=2\n')
    with opened(control(m), O_WRONLY) as fd:
        refused(errno.EBADF, os.read, fd, 1)


# Lines that are refused

INVALID = [
    (b'no equals sign', b''), (b'', b''), (b'=empty key', b''),
    (b'k=%41', b''), (b'%41=v', b''), (b'k=%0a', b''), (b'%3d=v', b''),
    (b'k=%3D', b''), (b'a%2Fb=v', b''), (b'k=%25', b''), (b'k=%25zz', b''),
    (b'k=%FF', b''), (b'k=%00', b'NUL'), (b'%00=v', b'NUL'), (b'k\0=v', b'NUL'),
    (b'k=\0', b'NUL'), (b'k=\xff', b'UTF-8'), (b'\xc3=v', b'UTF-8'),
    (b'k=\xe2\x82', b'UTF-8'), (b'k=\xed\xa0\x80', b'UTF-8'),
    (b'k' * 255 + b'=v', b'(255) exceeds maximum (254)'),
    (b'%3D' * 255 + b'=v', b'(255) exceeds maximum (254)'),
    (b'k=' + b'v' * 1023, b'(1023) exceeds maximum (1022)'),
    (b'k=' + b'%0A' * 1023, b'(1023) exceeds maximum (1022)'),
    (b'k=' + b'v' * 300000, b'(300000) exceeds maximum (1022)'),
]


def logged(m, since):
    return content(m.log)[since:]


def refused_in_log(m, since, number, reason):
    """One line about it, with the line's number and the reason."""
    lines = [entry for entry in logged(m, since).splitlines() if b'records: ' in entry]
    equal(len(lines), 1)
    where, found, why = lines[0].partition(b'records: line %d: ' % number)
    assert found and why and reason in why, lines[0]


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


@case(('a', '1'), (b'n' + NOISE, NOISE))
def invalid_line_is_refused_at_the_write_that_completes_it(m):
    before = content(m.pool)
    for invalid, reason in INVALID:
        for flags in REPLACE, APPEND:
            for more in b'', b'd=4\n', b'd=4':
                since = os.path.getsize(m.log)
                fd = os.open(control(m), flags)
                refused(errno.EINVAL, write_all, fd, b'b=2\n' + invalid + b'\n' + more)
                if flags == REPLACE:
                    refused(errno.EINVAL, os.close, fd)
                else:
                    os.close(fd)
                settle(m)
                # what a long write had before its last part is a batch of its own
                if flags == APPEND and len(invalid) > 100000:
                    os.truncate(m.pool, len(before))
                pool_holds(m, before)
                refused_in_log(m, since, 2, reason)


@case(('a', '1'), (b'n' + NOISE, NOISE))
def invalid_last_line_is_refused_at_the_close(m):
    before = content(m.pool)
    for invalid, reason in INVALID:
        if not invalid:
            continue
        for flags in REPLACE, APPEND:
            for end in os.close, os.fsync:
                since = os.path.getsize(m.log)
                fd = os.open(control(m), flags)
                why = reason
                if len(invalid) > LONGEST:
                    refused(errno.EINVAL, write_all, fd, invalid)
                    why = b'too long'
                else:
                    write_all(fd, invalid)
                    refused(errno.EINVAL, end, fd)
                if end == os.fsync or why != reason:
                    with contextlib.suppress(OSError):
                        os.close(fd)
                settle(m)
                pool_holds(m, before)
                if end == os.close:
                    refused_in_log(m, since, 1, why)


@case(('a', '1'))
def line_numbers_count_all_that_the_handle_has_written(m):
    for flags in REPLACE, APPEND:
        since = os.path.getsize(m.log)
        fd = os.open(control(m), flags)
        os.write(fd, b'b=2\nc=')
        os.write(fd, b'3\nd=4\n')
        refused(errno.EINVAL, os.write, fd, b'e=5\nsecret\n')
        with pool.locked(m.pool):
            pass
        try:
            os.close(fd)
        except OSError as error:
            equal((error.errno, flags), (errno.EINVAL, REPLACE))
        refused_in_log(m, since, 5, b'')
        equal(logged(m, since).count(b'secret'), 0)


@case(('a', '1'))
def refused_append_leaves_the_handle_as_it_was(m):
    with opened(control(m), APPEND) as fd:
        os.write(fd, b'b=')
        refused(errno.EINVAL, os.write, fd, b'2\nbad\n')
        os.write(fd, b'3\n')
        equal(m.records(), [(b'a', b'1'), (b'b', b'3')])
        refused(errno.EINVAL, os.write, fd, b'bad\n')
    equal(m.records(), [(b'a', b'1'), (b'b', b'3')])


@case(('a', '1'))
def replacement_with_one_invalid_line_never_happens(m):
    before = content(m.pool)
    fd = os.open(control(m), REPLACE)
    os.write(fd, b'b=2\n')
    refused(errno.EINVAL, os.write, fd, b'bad\n')
    try:
        os.write(fd, b'c=3\n')
    except OSError as error:
        equal(error.errno, errno.EINVAL)
    refused(errno.EINVAL, os.fsync, fd)
    refused(errno.EINVAL, os.close, fd)
    settle(m)
    pool_holds(m, before)


@case(options='mode=full')
def limits_are_those_in_force(m):
    longest = ('k' * 512, 'v' * 2048), ('=' * 512, '\n' * 2048)
    for flags in REPLACE, APPEND:
        os.truncate(m.pool, 0)
        write(control(m), text(*longest), flags)
        equal(m.records(), [(key.encode(), value.encode()) for key, value in longest])
        for pair in ('k' * 513, ''), ('k', 'v' * 2049):
            fd = os.open(control(m), flags)
            refused(errno.EINVAL, os.write, fd, text(pair))
            os.close(fd) if flags == APPEND else refused(errno.EINVAL, os.close, fd)
    equal(len(m.records()), 2)
    m.unmount()
    m.mount('mode=restricted')
    backup, before = read(control(m)), content(m.pool)
    equal(backup, text(*longest))
    refused(errno.EINVAL, write, control(m), backup, REPLACE)
    pool_holds(m, before)


def replace(m, data):
    """Refused at the write or at the flush."""
    fd = os.open(control(m), REPLACE)
    try:
        write_all(fd, data)
        os.fsync(fd)
    except OSError:
        try:
            os.close(fd)
        except OSError:
            pass
        raise
    os.close(fd)


@case(('a', '1'))
def more_keys_than_the_cap_are_enospc_and_repeats_do_not_count(m):
    before = content(m.pool)
    refused(errno.ENOSPC, replace, m, text(*numbered(CAP + 1)))
    settle(m)
    pool_holds(m, before)
    pairs = numbered(CAP) + numbered(200)[::-1]
    replace(m, text(*pairs))
    equal(m.records(), [(key.encode(), value.encode()) for key, value in pairs])
    before = content(m.pool)
    refused(errno.ENOSPC, replace, m, text(*numbered(CAP + 1)))
    pool_holds(m, before)
    write(control(m), text(*numbered(3)), APPEND)
    equal(len(m.records()), CAP + 203)


# Reading back what was written

ALPHABETS = ['%0123456789ABCDEFabcdef=\n', 'ab%\n=/ .€𝄞\x01\x7f', 'k%25=\n']


def random_text(source, most, least=0):
    alphabet = source.choice(ALPHABETS)
    size = source.choice([least, 1, 5, source.randint(least, most), most])
    made = ''.join(source.choices(alphabet, k=max(size, least)))
    while len(made.encode()) > most:
        made = made[:len(made) * 3 // 4]
    return made


def random_pairs(source, key_size, value_size):
    keys = [random_text(source, key_size, 1) for _ in range(source.randint(1, 25))]
    return [(source.choice(keys), random_text(source, value_size))
            for _ in range(source.randint(1, 60))]


def back_up_and_restore(m, pairs):
    pool.build(m.pool, *pairs)
    before, backup = content(m.pool), read(control(m))
    equal(backup, text(*pairs))
    write(control(m), b'scratch=1\n', REPLACE)
    replace(m, backup)
    settle(m)
    pool_holds(m, before)
    os.truncate(control(m), 0)
    with opened(control(m), APPEND) as fd:
        write_all(fd, backup)
    pool_holds(m, before)


@case(options=None)
def writing_back_what_was_read_restores_the_bytes_of_any_valid_pool(m):
    source = random.Random(7)
    for options, sizes in (('mode=restricted', (254, 1022)), ('mode=full', (512, 2048)),
                           ('mode=full,newline=strip', (512, 2048))):
        with m.mounted(options):
            for _ in range(25):
                back_up_and_restore(m, random_pairs(source, *sizes))
            back_up_and_restore(m, [])


@case(options='mode=full')
def writing_back_restores_a_pool_of_the_greatest_size(m):
    back_up_and_restore(m, [(f'{n:0512}', '%\n41' * 512) for n in range(CAP)])


@case(('a', '1'), ('', 'x'), (b'b' + NOISE, NOISE), ('a', '2'))
def writing_back_drops_what_is_no_record(m):
    with open(m.pool, 'ab') as file:
        file.write(b'a cut tail')
    replace(m, read(control(m)))
    equal(content(m.pool),
          b''.join(pool.encode(*pair) for pair in [('a', '1'), ('b', ''), ('a', '2')]))


@case(('a', '1'))
def writing_back_an_empty_backup_empties_the_pool(m):
    os.unlink(m.pool)
    backup = read(control(m))
    equal(backup, b'')
    pool.build(m.pool, ('a', '1'))
    replace(m, backup)
    settle(m)
    pool_holds(m, b'')


# Locks

class Holder:
    """Another process, which has changed the pool and holds it locked."""

    def __init__(self, m, kind='posix-ex', record='held=1'):
        m.names()
        self.process = subprocess.Popen(
            [sys.executable, '-B', pool.__file__, 'hold', m.pool, kind],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        equal(self.process.stdout.readline(), 'held\n')
        if record:
            self.process.stdin.write(record + '\n')
            self.process.stdin.flush()
            equal(self.process.stdout.readline(), 'appended\n')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()

    def release(self):
        if self.process.poll() is None:
            self.process.communicate('\n')
        equal(self.process.returncode, 0)


@case(('k', 'v'), options=BRIEF)
def files_are_not_read_while_another_changes_the_pool(m):
    for kind in 'posix-ex', 'ofd-ex', 'flock-ex':
        with Holder(m, kind):
            for name in 'records', 'pool', 'entries':
                refused(errno.EBUSY, os.open, control(m, name), O_RDONLY)
        assert read(control(m)).endswith(b'held=1\n')


@case(('k', 'v'), options=BRIEF)
def what_is_not_kept_in_memory_is_not_read_from_a_pool_that_another_has(m):
    for kind in 'posix-ex', 'ofd-ex', 'flock-ex':
        with Holder(m, kind, ''):
            for name in 'records', 'pool':
                refused(errno.EBUSY, os.open, control(m, name), O_RDONLY)
            equal(read(control(m, 'entries')), b'k=v\n')
        equal(read(control(m)), b'k=v\n')


@case(('k', 'v'), options=BRIEF)
def nothing_is_written_while_another_has_the_pool(m):
    appending, replacing = [os.open(control(m), flags) for flags in (APPEND, REPLACE)]
    with Holder(m):
        refused(errno.EBUSY, os.write, appending, b'a=1\n')
        os.write(appending, b'b=')
        refused(errno.EBUSY, os.fsync, appending)
        os.write(replacing, b'c=3\n')
        refused(errno.EBUSY, os.fsync, replacing)
        equal(m.records(), [(b'k', b'v'), (b'held', b'1')])
    os.write(appending, b'2\n')
    equal(m.records(), [(b'k', b'v'), (b'held', b'1'), (b'b', b'2')])
    os.fsync(replacing)
    equal(m.records(), [(b'c', b'3')])
    with Holder(m, 'flock-sh', ''):
        refused(errno.EBUSY, os.truncate, control(m), 0)
    equal(m.records(), [(b'c', b'3')])
    os.close(appending)
    os.close(replacing)


@case(('k', 'v'), options=LONG)
def reading_and_writing_wait_for_the_lock(m):
    def through_the_mount(number, function, *arguments):
        with Holder(m) as holder:
            child = Child(function, *arguments)
            eventually(child.is_blocked)
            equal(child.is_done(), False)
            holder.release()
            child.result()
        settle(m)
        equal(len(m.records()), number)
    through_the_mount(2, read, control(m))
    through_the_mount(4, write, control(m), b'a=1\n', APPEND)
    through_the_mount(6, write, control(m), b'a=1', APPEND)
    through_the_mount(1, write, control(m), b'a=1\n', REPLACE)
    through_the_mount(0, os.truncate, control(m), 0)


# The status

@case(*numbered(3))
def status_names_the_pool_its_path_and_the_limits(m):
    status_is(m, pool='pool', path=m.pool, mode='restricted', max_key_size=254,
              max_value_size=1022, max_keys=CAP, lock_waits=0, lock_timeouts=0,
              lost_updates=0, **as_many(records=3, keys=3))
    equal(sorted(status(m)), sorted([
        'pool', 'path', 'mode', 'records', 'keys', 'repeated', 'empty_keys', 'not_utf8',
        'unlisted', 'torn_bytes', 'stale', 'max_key_size', 'max_value_size', 'max_keys',
        'hidden_from_host', 'lock_waits', 'lock_timeouts', 'lost_updates']))
    m.unmount()
    os.rename(m.pool, os.path.join(m.top, '.kvp_pool_3'))
    m.pool = os.path.join(m.top, '.kvp_pool_3')
    m.mount('mode=full')
    status_is(m, pool='auto-external', path=m.pool, mode='full', max_key_size=512,
              max_value_size=2048, max_keys=CAP, **as_many(records=3, keys=3))


@case(options=None)
def path_with_a_newline_stays_one_line(m):
    os.mkdir(os.path.join(m.top, 'a\nkeys=7'))
    m.pool = os.path.join(m.top, 'a\nkeys=7', 'pool')
    m.mount()
    status_is(m, keys=0)


@case()
def status_counts_what_is_in_the_pool(m):
    long = '/' * 342                     # 1026 bytes as a name
    for pairs, tail, counts in (
            ([], b'', {}),
            ([], b'x' * 2559, {'torn_bytes': 2559}),
            ([('a', '1'), ('a', '2'), ('b', ''), ('a', '')], b'cut',
             {'records': 4, 'keys': 2, 'repeated': 2, 'torn_bytes': 3}),
            ([('', '1'), ('a', '1'), ('', '')], b'',
             {'records': 3, 'keys': 1, 'empty_keys': 2}),
            ([(long, '1'), ('/' * 341, '1'), (long, '2')], b'',
             {'records': 3, 'keys': 2, 'repeated': 1, 'unlisted': 1}),
            ([('a', b'\xff'), (b'\xc3', 'v'), (b'\xc3', b'\xc3'), ('b', '')], b'',
             {'records': 4, 'keys': 3, 'repeated': 1, 'not_utf8': 3,
              'hidden_from_host': 3}),
            ([(b'k' + NOISE, b'v' + NOISE)], b'', {'records': 1, 'keys': 1}),
            (numbered(CAP), b'', {'records': CAP, 'keys': CAP}),
            (numbered(CAP + 9), b'', {'records': CAP + 9, 'keys': CAP + 9})):
        pool.build(m.pool, *pairs)
        with open(m.pool, 'ab') as file:
            file.write(tail)
        status_is(m, **as_many(**counts))
    os.unlink(m.pool)
    status_is(m, **as_many())


def hides(key, value):
    """How the host gets this record: does it end the enumeration?"""
    return [('before', '1'), (key, value), ('after', '2'), (b'\xff', ''), ('', '')]


@case()
def records_behind_the_first_that_the_host_cannot_read_are_hidden(m):
    wide, narrow = '𝄞'.encode(), '€'.encode()
    for key, value, hidden in (
            ('k', 'v', 1), ('k', b'\xff', 3), (b'k\xff', 'v', 3), ('k', b'v\xc3', 3),
            ('k', b'\xed\xa0\x80', 3), ('k', b'\xc0\x80', 3),
            ('k', b'\xf5\x80\x80\x80', 3),
            # 254 and 1022 UTF-16 units are handed over, the rest is cut
            (b'k' * 253 + b'\xff', 'v', 3), (b'k' * 254 + b'\xff', 'v', 1),
            ('k', b'v' * 1021 + b'\xff', 3), ('k', b'v' * 1022 + b'\xff', 1),
            ('k', narrow * 340 + b'v' * 681 + b'\xff', 3),
            ('k', narrow * 340 + b'v' * 682 + b'\xff', 1),
            (wide * 126 + b'k' + b'\xff', 'v', 3), (wide * 127 + b'\xff', 'v', 1),
            ('k', wide * 510 + b'v\xff', 3), ('k', wide * 511 + b'\xff', 1),
            # no room for both halves of a pair: cut there
            ('k', b'v' * 1021 + wide + b'\xff', 1), ('', b'\xff', 3)):
        pool.build(m.pool, *hides(key, value))
        status_is(m, hidden_from_host=hidden, records=5)
    pool.build(m.pool, *hides('k', b'\xff')[:2])
    status_is(m, hidden_from_host=0, not_utf8=1)


def boot_time():
    with open('/proc/stat') as file:
        return next(int(entry.split()[1]) for entry in file if entry.startswith('btime'))


@case(('k', 'v'))
def status_says_whether_the_pool_is_stale(m):
    for time, stale in ((boot_time() - 100, 'yes'), (boot_time() + 5, 'no'), (0, 'yes')):
        os.utime(m.pool, (time, time))
        status_is(m, stale=stale)
    write(m / 'k', b'w')
    status_is(m, stale='no')
    os.utime(m.pool, (0, 0))
    status_is(m, stale='yes')
    os.unlink(m.pool)
    status_is(m, stale='no')


@case(('k', 'v'), options=BRIEF)
def status_counts_waits_for_the_lock_and_those_in_vain(m):
    for n in 1, 2, 3:
        with opened(m / 'k', O_WRONLY) as fd, Holder(m, 'flock-sh', ''):
            refused(errno.EBUSY, os.write, fd, b'w')
        status_is(m, lock_waits=n, lock_timeouts=n)


@case(('k', 'v'), options=LONG)
def status_counts_waits_that_were_not_in_vain(m):
    with opened(m / 'k', O_WRONLY) as fd, Holder(m, 'flock-sh', '') as holder:
        child = Child(os.write, fd, b'w')
        eventually(lambda: status(m)['lock_waits'] == '1')
        equal(child.is_done(), False)
        holder.release()
        equal(child.result(), 1)
    status_is(m, lock_waits=1, lock_timeouts=0)


# What must not be stored: found by an attack

@case(('a', '1'), ('b', '2'))
def truncating_an_open_file_is_one_step_with_what_follows(m):
    before = content(m.pool)
    with opened(control(m, 'records'), os.O_WRONLY) as fd:
        os.ftruncate(fd, 0)
        equal(content(m.pool), before)
        os.write(fd, b'c=3\n')
    equal(m.records(), [(b'c', b'3')])
    with opened(control(m, 'records'), os.O_WRONLY) as fd:
        os.ftruncate(fd, 0)
    eventually(lambda: m.records() == [])


@case(('a', '1'))
def half_line_before_a_refused_append_is_not_stored(m):
    with opened(control(m, 'records'), os.O_WRONLY | os.O_APPEND) as fd:
        os.write(fd, b'LONG=par')
        refused(errno.EINVAL, os.write, fd, b'tial\nbad line\n')
    equal(m.records(), [(b'a', b'1')])
    with opened(control(m, 'records'), os.O_WRONLY | os.O_APPEND) as fd:
        os.write(fd, b'LONG=par')
        refused(errno.EINVAL, os.write, fd, b'tial\nbad line\n')
        os.write(fd, b'tial\n')
    equal(m.records(), [(b'a', b'1'), (b'LONG', b'partial')])


@case(('a', '1'))
def text_with_a_gap_replaces_nothing(m):
    fd = os.open(control(m, 'records'), os.O_WRONLY | os.O_TRUNC)
    os.write(fd, b'A=1\nB=2\n')
    refused(errno.EINVAL, os.pwrite, fd, b'C=3\n', 100)
    refused(errno.EINVAL, os.close, fd)
    equal(m.records(), [(b'a', b'1')])


@case(('a', '1'))
def line_that_never_ends_is_refused_early(m):
    for flag in os.O_TRUNC, os.O_APPEND:
        fd = os.open(control(m, 'records'), os.O_WRONLY | flag)
        refused(errno.EINVAL, os.write, fd, b'k=' + b'v' * 10000)
        with contextlib.suppress(OSError):
            os.close(fd)
        equal(m.records(), [(b'a', b'1')])


if __name__ == '__main__':
    harness.main()
