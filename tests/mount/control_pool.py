#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""The pool's bytes, as .kvpfs/pool shows and takes them; and what is held of such
contents while programs have them open."""

import contextlib
import errno
import os
import signal
from os import O_APPEND, O_CREAT, O_EXCL, O_RDWR, O_TRUNC, O_WRONLY

import harness
import pool
from harness import (CAP, Child, case, control, equal, opened, read, refused, status,
                     write, write_all)

# Not UTF-8, longer than restricted mode allows, repeated, noise, no key.
WILD = [('k', b'v\0noise'), (b'\xff', b'half \xc3'), ('long', 'v' * 2048), ('k', 'again'),
        ('', 'no key'), ('K' * 512, '')]
REPLACE = O_WRONLY | O_CREAT | O_TRUNC


def raw(path):
    with open(path, 'rb') as file:
        return file.read()


@case(*WILD)
def any_pool_comes_back_byte_for_byte(m):
    before = raw(m.pool)
    backup = read(control(m, 'pool'))
    equal(backup, before)
    write(m / 'k', b'changed')
    os.unlink(m / 'long')
    write(control(m, 'pool'), backup)
    equal(raw(m.pool), before)
    equal(read(m / 'k'), b'again')


@case(*WILD)
def pool_is_replaced_at_the_flush_that_follows_a_write(m):
    before = raw(m.pool)
    new = pool.encode('a', '1') + pool.encode('b', '2')
    with opened(control(m, 'pool'), REPLACE) as fd:
        os.close(os.dup(fd))
        for at in range(0, len(new), 1000):
            os.write(fd, new[at:at + 1000])
            equal(raw(m.pool), before)
        os.close(os.dup(fd))
        equal(raw(m.pool), new)


@case(('k', 'v'))
def what_is_no_whole_number_of_records_replaces_nothing(m):
    before = raw(m.pool)
    for size in 1, 2559, 2561:
        fd = os.open(control(m, 'pool'), REPLACE)
        os.write(fd, b'x' * size)
        refused(errno.EINVAL, os.close, fd)
        equal(raw(m.pool), before)
    with open(m.log) as log:
        equal('pool: 2561 bytes are no whole records of 2560' in log.read(), True)


@case(('k', 'v'))
def pool_takes_nothing_but_a_whole_new_content(m):
    before = raw(m.pool)
    record = pool.encode('a', '1')
    with opened(control(m, 'pool'), O_WRONLY | O_APPEND) as fd:
        refused(errno.EINVAL, os.write, fd, record)
    fd = os.open(control(m, 'pool'), REPLACE)
    os.write(fd, record)
    refused(errno.EINVAL, os.pwrite, fd, record, 0)
    for end in os.fsync, os.close:
        refused(errno.EINVAL, end, fd)
    refused(errno.EINVAL, os.truncate, control(m, 'pool'), len(record))
    equal(raw(m.pool), before)


@case(('a', '1'), ('b', '2'), ('c', '3'))
def what_was_opened_without_emptying_it_is_changed_where_it_stands(m):
    """As rsync --inplace and dd conv=notrunc do it."""
    changed = pool.encode('B', '4') + pool.encode('c', '3')
    for flags in O_WRONLY, O_RDWR:
        before = raw(m.pool)
        with opened(control(m, 'pool'), flags) as fd:
            for at in range(0, 2560, 1000):
                os.pwrite(fd, changed[at:min(at + 1000, 2560)], 2560 + at)
            equal(raw(m.pool), before)
            equal(os.fstat(fd).st_size, 7680)
            if flags == O_RDWR:
                equal(os.pread(fd, 7680, 2560), changed)
            refused(errno.EINVAL, os.pwrite, fd, b'x', 7681)
            refused(errno.EINVAL, os.ftruncate, fd, 7681)
            os.close(os.dup(fd))
            equal(m.records(), [(b'a', b'1'), (b'B', b'4'), (b'c', b'3')])
            os.ftruncate(fd, 2560)
        equal(m.records(), [(b'a', b'1')])
        write(m.pool, before, O_WRONLY)
    fd = os.open(control(m, 'pool'), O_WRONLY)
    os.write(fd, changed)
    os.ftruncate(fd, 2559)
    refused(errno.EINVAL, os.close, fd)
    equal(raw(m.pool), before)


@case(('a', '1'), ('b', '2'))
def records_are_changed_where_they_stand(m):
    with opened(control(m), O_RDWR) as fd:
        os.write(fd, b'A=one\nb')
        equal(os.pread(fd, 99, 0), b'A=one\nb\n')
        refused(errno.EINVAL, os.close, os.dup(fd))
        equal(m.records(), [(b'a', b'1'), (b'b', b'2')])
        os.write(fd, b'=x\nc')
        os.ftruncate(fd, 10)
        os.fsync(fd)
        equal(m.records(), [(b'A', b'one'), (b'b', b'x')])
    with opened(control(m), O_WRONLY | O_APPEND) as fd:
        os.write(fd, b'c=3\n')
        refused(errno.EINVAL, os.ftruncate, fd, 6)
    equal(len(m.records()), 3)
    with open(m.log) as log:
        equal('records: line 2: ' in log.read(), True)


def write_and_stay(path, flags, data, ready):
    """Leaves the file open: that it ends is what closes it."""
    fd = os.open(path, flags)
    if data:
        os.write(fd, data)
    os.write(ready, b'r')
    if flags & O_EXCL:
        os._exit(0)
    signal.pause()


@case(('k', 'v'), ('l', 'w'))
def what_a_killed_writer_left_half_done_is_not_stored(m):
    before = raw(m.pool)
    written = [('pool', REPLACE, before[:2560]), ('pool', O_WRONLY, b'other'),
               ('pool', REPLACE, b''), ('records', REPLACE, b'k=v\n'),
               ('records', REPLACE, b'k=v\nl=hal'), ('records', REPLACE, b''),
               ('records', O_RDWR, b'K'), ('records', O_WRONLY | O_APPEND, b'm=hal')]
    for name, flags, data in written:
        wait, ready = os.pipe()
        child = Child(write_and_stay, control(m, name), flags, data, ready)
        os.read(wait, 1)
        child.kill()
        os.stat(m.dir)
        equal(raw(m.pool), before)
        os.close(wait)
        os.close(ready)
    with open(m.log) as log:
        equal('records: writer was killed: ' in log.read(), True)


@case(('k', 'v'))
def what_a_writer_left_that_ended_by_itself_is_stored(m):
    wait, ready = os.pipe()
    child = Child(write_and_stay, control(m), O_WRONLY | O_TRUNC | O_EXCL, b'a=1\n',
                  ready)
    os.read(wait, 1)
    child.wait()
    equal(m.records(), [(b'a', b'1')])
    # it may also be killed when another program has the file open and goes on
    with opened(control(m), REPLACE) as fd:
        os.write(fd, b'b=2\n')
        child = Child(lambda: (os.write(fd, b'c=3\n'), os.write(ready, b'r'),
                               signal.pause()))
        os.read(wait, 1)
        child.kill()
        os.write(fd, b'd=4\n')
    equal([key for key, _ in m.records()], [b'b', b'c', b'd'])
    os.close(wait)
    os.close(ready)


@case(('k', 'v'))
def pool_emptied_by_two_descriptors_is_kept_if_the_second_is_refused(m):
    """As cp of uutils does it."""
    before = raw(m.pool)
    for name in 'pool', 'records':
        first = os.open(control(m, name), REPLACE)
        second = os.open(control(m, name), REPLACE)
        with contextlib.suppress(OSError):
            os.write(second, b'no record')
        refused(errno.EINVAL, os.close, second)
        os.close(first)
        os.stat(m / 'k')
        equal(raw(m.pool), before)
    first = os.open(control(m, 'records'), REPLACE)
    os.close(os.open(control(m, 'records'), REPLACE))
    os.stat(m.dir)
    equal(raw(m.pool), b'')
    os.close(first)


@case(*((f'key{n:04}', 'v' * 2048) for n in range(CAP)), options='mode=full')
def content_is_held_once_and_not_in_resident_memory(m):
    """1024 full values are 2.6 MB as bytes, and 2.1 MB as text."""
    _, before, _ = m.usage()
    fds = [os.open(control(m, name), os.O_RDONLY)
           for name in ('pool', 'records', 'entries') for _ in range(100)]
    descriptors, after, _ = m.usage()
    for fd in fds:
        os.close(fd)
    if not harness.is_sanitized():
        equal((after - before < 1024, descriptors < 20), (True, True))


def check_memory_after_restores(m):
    """What was written to restore the pool, and what it replaced, is given back."""
    for name in m.names():
        read(m / name)
    _, before, _ = m.usage()
    for name in 'records', 'pool':
        backup = read(control(m, name))
        for _ in range(3):
            write(control(m, name), backup)
            os.stat(m.dir)              # by then the file is closed
    _, after, _ = m.usage()
    harness.figures(resident_KiB=f'{before} then {after}')
    if not harness.is_sanitized():
        equal((after - before < 256, after < 6 << 10), (True, True))


@case(*((f'key{n:04}', 'v' * 1022) for n in range(CAP)))
def memory_of_a_restore_is_given_back(m):
    check_memory_after_restores(m)


@case(*((f'key{n:04}', 'v' * 2048) for n in range(CAP)), options='mode=full')
def memory_of_a_restore_in_full_mode_is_given_back(m):
    check_memory_after_restores(m)


@case()
def what_is_too_large_to_be_shown_is_efbig(m):
    """It is not the pool that counts: a hole holds no records, and a newline takes three
    bytes as text."""
    with opened(m.pool, O_RDWR) as fd:
        os.ftruncate(fd, (64 << 20) + 2560)
    refused(errno.EFBIG, os.open, control(m, 'pool'), os.O_RDONLY)
    os.stat(control(m, 'pool'))
    equal(read(control(m)), b'')
    records = [(f'{n}', b'\n' * 2048) for n in range((64 << 20) // (3 * 2048) + 1)]
    pool.build(m.pool, *records)
    for name in 'entries', 'records':
        refused(errno.EFBIG, os.open, control(m, name), os.O_RDONLY)
        equal(os.stat(control(m, name)).st_size, 0)
    equal(len(read(control(m, 'pool'))), len(records) * pool.RECORD_SIZE)
    equal(status(m)['records'], f'{len(records)}')
    with opened(m.pool, O_RDWR) as fd:
        os.ftruncate(fd, 0)
    equal(read(control(m, 'pool')), b'')
    fd = os.open(control(m, 'pool'), REPLACE)
    write_all(fd, bytes(64 << 20))
    refused(errno.EFBIG, os.write, fd, bytes(2560))
    refused(errno.EFBIG, os.close, fd)


@case(('k', 'v'), ('l', 'w'))
def each_open_keeps_its_content_whatever_happens(m):
    for name in 'pool', 'records', 'entries':
        before = read(control(m, name))
        with opened(control(m, name)) as fd, opened(control(m, name)) as other:
            write(m / 'k', os.urandom(4).hex().encode())
            with opened(control(m, name)) as later:
                equal(os.read(fd, 99999), before)
                equal(os.fstat(later).st_size, len(read(control(m, name))))
            equal(os.pread(other, 5, 2), before[2:7])


if __name__ == '__main__':
    harness.main()
