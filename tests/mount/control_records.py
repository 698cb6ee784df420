#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Writing .kvpfs/records: that it changes the pool by whole lines, in one locked
step, or not at all, and that writing back what was read restores the pool.
"""

import contextlib
import errno
import os
import random
import re
import stat
from os import O_APPEND, O_CREAT, O_RDWR, O_TRUNC, O_WRONLY

import harness
import pool
from harness import (CAP, VERSIONS, Child, Holder, case, control, equal, eventually,
                     numbered, opened, read, refused, write, write_all)

BRIEF, LONG = 'lock_timeout=0.1', 'lock_timeout=40'
REPLACE, APPEND = O_WRONLY | O_TRUNC, O_WRONLY | O_APPEND
NOISE = b'\0stale bytes\xff'
LONGEST = 3 * pool.RECORD_SIZE + 2       # a line, everything in it escaped


def pool_holds(m, data):
    """Exactly these bytes; they are too many to be shown."""
    assert read(m.pool) == data, f'the pool is {m.records()!r:.500}'


def flush(fd):
    """What a shell's dup2(2) sends before it writes, and close(2) at the end."""
    os.close(os.dup(fd))


def settle(m):
    """Requests are served in order: behind the RELEASE of what was closed."""
    os.statvfs(m.dir)


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
    data = pool.text(*[(key, value) for key, value, _ in pool.ESCAPED])
    for flags in REPLACE, APPEND:
        for size in 1, 2, 3, 7, 64:
            os.truncate(m.pool, 0)
            with opened(control(m), flags) as fd:
                for at in range(0, len(data), size):
                    equal(os.write(fd, data[at:at + size]), len(data[at:at + size]))
            equal(m.records(), [(key, value) for key, value, _ in pool.ESCAPED])


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
        pool.leave_unlocked()
    child.result()
    equal([size for size in seen if size % (17 * pool.RECORD_SIZE)], [])
    equal(len(m.records()), 60 * 17)


@case(('a', '1'))
def appended_records_overwrite_a_cut_tail(m):
    with open(m.pool, 'ab') as file:
        file.write(b'tail' * 300)
    write(control(m), b'b=2\n', APPEND)
    equal(read(m.pool), pool.encode('a', '1') + pool.encode('b', '2'))


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
    before, file = read(m.pool), os.stat(m.pool)
    for end in flush, os.fsync:
        pool.build(m.pool, ('a', '1'), ('b', '2'), ('a', '3'))
        with opened(control(m), REPLACE) as fd:
            end(fd)
            end(fd)
            if end == os.fsync:         # which clears at once
                before = b''
            pool_holds(m, before)
            os.write(fd, b'b=new\nb=newer\n')
            pool_holds(m, before)
            end(fd)
            equal(m.records(), [(b'b', b'new'), (b'b', b'newer')])
    settle(m)
    equal(m.records(), [(b'b', b'new'), (b'b', b'newer')])
    after = os.stat(m.pool)
    equal((after.st_ino, after.st_mode), (file.st_ino, file.st_mode))
    equal(len(read(m.pool)), 2 * pool.RECORD_SIZE)


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
            write(control(m), pool.text(*VERSIONS[n % 2]), REPLACE)
    child = Child(replacer)
    seen = []
    while not child.is_done():
        with pool.locked(m.pool):
            seen.append(m.records())
        pool.leave_unlocked()
    child.result()
    wanted = [[(pool.as_bytes(key), pool.as_bytes(value)) for key, value in pairs]
              for pairs in VERSIONS]
    equal([len(found) for found in seen if found not in wanted], [])


@case(('a', '1'), ('b', '2'))
def opening_to_replace_and_writing_nothing_clears(m):
    before, file = read(m.pool), os.stat(m.pool)
    with opened(control(m), REPLACE) as fd:
        flush(fd)
        pool_holds(m, before)
    settle(m)
    equal((read(m.pool), os.stat(m.pool).st_ino), (b'', file.st_ino))
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
        os.ftruncate(fd, 0)
        equal(m.records(), [(b'a', b'1')])
    settle(m)
    equal(os.stat(m.pool).st_size, 0)


@case(('a', '1'))
def write_in_the_middle_of_what_was_emptied_is_refused_and_changes_nothing(m):
    before = read(m.pool)
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


def refused_in_log(m, number, reason):
    """A line about it, with the line's number and the reason; equal ones come once."""
    where = b'records: line %d: ' % number
    lines = [entry for entry in read(m.log).splitlines() if where in entry]
    assert any(reason in entry for entry in lines), lines


def failures_in_log(m):
    """How many the log tells of; what is counted is told at the end."""
    m.unmount()
    lines = [entry for entry in read(m.log).splitlines() if b'records: ' in entry]
    counts = [re.search(rb' \(repeated (\d+) times?\)$', entry) for entry in lines]
    return sum(int(count[1]) if count else 1 for count in counts)


@case(('a', '1'), (b'n' + NOISE, NOISE))
def invalid_line_is_refused_at_the_write_that_completes_it(m):
    before = read(m.pool)
    for invalid, reason in INVALID:
        for flags in REPLACE, APPEND:
            for more in b'', b'd=4\n', b'd=4':
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
                refused_in_log(m, 2, reason)
    equal(failures_in_log(m), 6 * len(INVALID))


@case(('a', '1'), (b'n' + NOISE, NOISE))
def invalid_last_line_is_refused_at_the_close(m):
    before = read(m.pool)
    for invalid, reason in INVALID:
        if not invalid:
            continue
        for flags in REPLACE, APPEND:
            for end in os.close, os.fsync:
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
                    refused_in_log(m, 1, why)
    equal(failures_in_log(m), 4 * sum(bool(invalid) for invalid, _ in INVALID))


@case(('a', '1'))
def line_numbers_count_all_that_the_handle_has_written(m):
    for flags in REPLACE, APPEND:
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
        refused_in_log(m, 5, b'')
    assert b'secret' not in read(m.log)
    equal(failures_in_log(m), 2)


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
    before = read(m.pool)
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
    # a file that begins with a record without a NUL would not be taken for a pool
    longest = ('first', ''), ('k' * 512, 'v' * 2048), ('=' * 512, '\n' * 2048)
    for flags in REPLACE, APPEND:
        os.truncate(m.pool, 0)
        write(control(m), pool.text(*longest), flags)
        equal(m.records(), [(key.encode(), value.encode()) for key, value in longest])
        for pair in ('k' * 513, ''), ('k', 'v' * 2049):
            fd = os.open(control(m), flags)
            refused(errno.EINVAL, os.write, fd, pool.text(pair))
            os.close(fd) if flags == APPEND else refused(errno.EINVAL, os.close, fd)
    equal(len(m.records()), 3)
    m.unmount()
    m.mount('mode=restricted')
    backup, before = read(control(m)), read(m.pool)
    equal(backup, pool.text(*longest))
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
    before = read(m.pool)
    refused(errno.ENOSPC, replace, m, pool.text(*numbered(CAP + 1)))
    settle(m)
    pool_holds(m, before)
    pairs = numbered(CAP) + numbered(200)[::-1]
    replace(m, pool.text(*pairs))
    equal(m.records(), [(key.encode(), value.encode()) for key, value in pairs])
    before = read(m.pool)
    refused(errno.ENOSPC, replace, m, pool.text(*numbered(CAP + 1)))
    pool_holds(m, before)
    write(control(m), pool.text(*numbered(3)), APPEND)
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
    before, backup = read(m.pool), read(control(m))
    equal(backup, pool.text(*pairs))
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
    equal(read(m.pool),
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

@case(('k', 'v'), options=BRIEF)
def nothing_is_written_while_another_has_the_pool(m):
    appending, replacing = [os.open(control(m), flags) for flags in (APPEND, REPLACE)]
    with Holder(m, 'posix-ex', 'held=1'):
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
    with Holder(m, 'flock-sh'):
        refused(errno.EBUSY, os.truncate, control(m), 0)
    equal(m.records(), [(b'c', b'3')])
    os.close(appending)
    os.close(replacing)


@case(('k', 'v'), options=LONG)
def reading_and_writing_wait_for_the_lock(m):
    def through_the_mount(number, function, *arguments):
        with Holder(m, 'posix-ex', 'held=1') as holder:
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


# What must not be stored: found by an attack

@case(('a', '1'), ('b', '2'))
def truncating_an_open_file_is_one_step_with_what_follows(m):
    before = read(m.pool)
    with opened(control(m, 'records'), os.O_WRONLY) as fd:
        os.ftruncate(fd, 0)
        equal(read(m.pool), before)
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


@case()
def long_write_is_several_and_returns_how_much_was_taken(m):
    """The kernel passes it on in pieces, of which a later one is refused."""
    data = b''.join(b'k%d=%s\n' % (i % CAP, b'v' * 1000) for i in range(1800))
    with opened(control(m, 'records'), APPEND) as fd:
        taken = os.write(fd, data + b'bad line\n')
    assert 0 < taken < len(data), taken
    lines = data[:taken].split(b'\n')[:-1]
    equal(m.records(), [tuple(line.split(b'=')) for line in lines])


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
