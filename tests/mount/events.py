#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""The stream .kvpfs/events: a line for each change of the pool, from the mount or
from outside, to everyone who reads. Waiting for one is in events_waiting.py.
"""

import errno
import fcntl
import os
import select
import time
from os import O_CREAT, O_NONBLOCK, O_RDONLY, O_TRUNC, O_WRONLY

import harness
import pool
from harness import (Child, Holder, case, control, equal, eventually, exchange, numbered,
                     opened, read, refused, write)
from stream import PATIENCE, Reader, blocked_in_read, events, is_open_in, read_line

LOG_SIZE = 65536                # bytes of lines that a reader may lag behind


# What is told

@case(('a', '1'), ('b', '2'))
def changes_through_the_mount_are_told_once_each_in_order(m):
    with Reader(m) as reader:
        write(m / 'b', b'3')
        write(m / 'new', b'4')
        os.unlink(m / 'a')
        write(m / 'b', b'5')
        os.truncate(m / 'b', 0)
        write(m / 'b', b'6')
        os.unlink(m / 'new')
        write(m / 'new', b'7')
        reader.tells('set b', 'set new', 'delete a', 'set b', 'set b', 'set b',
                     'delete new', 'set new')


@case(('a', '1'), ('b', '2'))
def changes_from_outside_are_told_once_each_in_order(m):
    with Reader(m) as reader:
        for change, line in (((pool.put, 'b', '3'), 'set b'),
                             ((pool.put, 'new', ''), 'set new'),
                             ((pool.append, ('b', '4')), 'set b'),
                             ((pool.delete, 'a'), 'delete a'),
                             ((pool.put, 'b', ''), 'set b'),
                             ((pool.delete, 'new'), 'delete new')):
            change[0](m.pool, *change[1:])
            equal(reader.line(), line)
        reader.tells()


@case(('a', '1'), ('b', '2'))
def changes_from_both_sides_in_turn_are_all_told(m):
    with Reader(m) as reader:
        for n in range(100):
            write(m / 'a', b'%d+' % n)
            equal(reader.line(), 'set a')
            pool.put(m.pool, 'b', f'{n}+')
            equal(reader.line(), 'set b')
        reader.tells()


@case(('a', '1'), ('b', '2'))
def what_changes_no_value_is_not_told(m):
    with Reader(m) as reader:
        write(m / 'a', b'1')
        pool.put(m.pool, 'a', '1')
        pool.append(m.pool, ('a', '1'))
        pool.append(m.pool, ('', 'no entry'))
        os.utime(m.pool)
        os.utime(m / 'a')
        os.chmod(m.pool, 0o600)
        with open(m.pool, 'ab') as file:
            file.write(b'cut tail')
        for name in 'a', 'b', '.kvpfs/records':
            read(m / name)
        m.names()
        with opened(m / 'b', O_WRONLY):
            pass
        with pool.locked(m.pool):
            pass
        reader.tells()


@case(('a', '1'))
def key_that_is_made_by_several_requests_is_told_when_it_is_stored(m):
    with Reader(m) as reader:
        with opened(m / 'n', O_WRONLY | O_CREAT) as fd:
            reader.tells()
            os.write(fd, b'1')
            reader.tells('set n')
        with opened(m / 'a', O_WRONLY | O_TRUNC):
            reader.tells()
        reader.tells('set a')
        os.close(os.open(m / 'empty', O_WRONLY | O_CREAT))
        reader.tells('set empty')


@case(('a', '1'), ('b', '2'), ('c', '3'))
def renaming_is_told_as_delete_and_set(m):
    with Reader(m) as reader:
        os.rename(m / 'a', m / 'n')
        reader.tells('delete a', 'set n')
        os.rename(m / 'b', m / 'c')
        reader.tells('delete b', 'set c')
        exchange(m / 'c', m / 'n')
        equal(sorted(reader.lines(2)), ['set c', 'set n'])
        reader.tells()


def rewrite(path, *pairs):
    """The whole file, as others do it under the lock."""
    with pool.locked(path) as fd:
        os.ftruncate(fd, 0)
        os.write(fd, b''.join(pool.encode(*pair) for pair in pairs))


@case(*numbered(20))
def rewriting_the_whole_file_tells_of_the_keys_that_differ(m):
    pairs = dict(numbered(20))
    with Reader(m) as reader:
        rewrite(m.pool, *pairs.items())
        reader.tells()
        pairs.update({'key-0007': 'new', 'key-0013': 'new'})
        rewrite(m.pool, *pairs.items(), ('sentinel', 'x'))
        equal(sorted(reader.lines(3)), ['set key-0007', 'set key-0013', 'set sentinel'])
        reader.tells()
        rewrite(m.pool, *list(pairs.items())[::-1], ('sentinel', 'x'))
        equal(reader.until_sentinel()[1:], [])  # but for the sentinel itself


@case(*numbered(4))
def records_written_at_once_tell_of_each_key_once(m):
    with Reader(m) as reader:
        with opened(control(m), O_WRONLY | os.O_APPEND) as fd:
            os.write(fd, b'a=1\nb=1\na=2\nkey-0000=new\na=3\nkey-0001=1\n')
        equal(sorted(reader.lines(3)), ['set a', 'set b', 'set key-0000'])
        with opened(control(m), O_WRONLY | O_TRUNC) as fd:
            os.write(fd, b'a=3\nb=2\nc=\nkey-0000=new\nkey-0001=1\n')
        equal(sorted(reader.lines(4)), ['delete key-0002', 'delete key-0003',
                                        'set b', 'set c'])
        reader.tells()


@case(('k', 'v'), ('l', 'w'))
def removing_every_key_tells_of_each(m):
    with Reader(m) as reader:
        os.unlink(m / 'k')
        equal(reader.line(), 'delete k')
        os.unlink(m / 'l')
        equal(reader.line(), 'delete l')
        reader.tells()


@case(*numbered(4))
def clearing_is_one_line(m):
    with Reader(m) as reader:
        os.close(os.open(control(m), O_WRONLY | O_TRUNC))
        equal(reader.line(), 'clear')
        reader.tells()
        os.truncate(control(m), 0)
        equal(reader.line(), 'clear')
        reader.tells()
        with pool.locked(m.pool) as fd:
            os.ftruncate(fd, 0)
        equal(reader.line(), 'clear')
        reader.tells()
        os.truncate(control(m), 0)
        equal(reader.line(), 'clear')
        os.truncate(control(m), 0)      # was empty already
        reader.tells()


@case(('k', 'v'))
def pool_that_is_deleted_made_and_replaced_is_told_of(m):
    other = os.path.join(m.top, 'other')
    with Reader(m) as reader:
        for n in range(20):
            os.unlink(m.pool)
            equal(reader.line(), 'clear')
            pool.append(m.pool, ('k', f'{n}'))
            equal(reader.line(), 'set k')
            pool.build(other, ('k', f'{n}'), ('l', '2'))
            os.rename(other, m.pool)
            equal(reader.line(), 'set l')
            pool.build(other, ('l', f'{n + 10}'))
            os.rename(other, m.pool)
            equal(sorted(reader.lines(2)), ['delete k', 'set l'])
        os.rename(m.pool, other)
        equal(reader.line(), 'clear')
        os.rename(other, m.pool)
        equal(reader.line(), 'set l')
        reader.tells()


@case(options=None)
def pool_that_is_made_by_the_mount_is_told_of(m):
    os.unlink(m.pool)
    m.mount()
    with Reader(m) as reader:
        write(m / 'k', b'v')
        reader.tells('set k')


@case(('a', '1'), ('/' * 342, '1'))
def unlisted_key_is_not_told_of(m):
    with Reader(m) as reader:
        pool.put(m.pool, '/' * 342, '2')
        pool.put(m.pool, '/' * 343, '2')
        pool.delete(m.pool, '/' * 342)
        reader.tells()
        pool.put(m.pool, '/' * 341, '2')
        reader.tells('set ' + '%2F' * 341)


@case(('a', '1'))
def name_is_that_of_the_file_with_newlines_escaped(m):
    keys = ['a/b', 'two\nlines', '\n', '/\n/', '%0A', '%41', '100%', 'a b', ' ', '.',
            '..', '.kvpfs', 'set k', 'delete', '%\n', 'k' * 254, '€𝄞', '\\n', 'a\tb']
    with Reader(m) as reader:
        for key in keys:
            pool.put(m.pool, key, 'value of ' + key)
            what, _, name = reader.line().partition(' ')
            equal((what, '\n' in name), ('set', False))
            equal(read(m / name.replace('%0A', '\n')), b'value of ' + key.encode())
            os.unlink(m / name.replace('%0A', '\n'))
            equal(reader.line(), 'delete ' + name)
        pool.put(m.pool, 'init-network/check\ncache', '')
        reader.tells('set init-network%2Fcheck%0Acache')


@case(('a', '1'))
def key_that_is_not_utf8_is_told_as_it_is(m):
    with opened(events(m)) as fd:
        pool.put(m.pool, b'\xff\xc3', 'v')
        equal(os.read(fd, 100), b'set \xff\xc3\n')


# Slow readers

def change_many(m, count, name_size):
    """COUNT keys in one step; their lines are of name_size + 5 bytes."""
    keys = [f'{n:0{name_size}}' for n in range(count)]
    stamp = time.monotonic_ns()
    with opened(control(m), O_WRONLY | O_TRUNC) as fd:
        data = ''.join(f'{key}={stamp}\n' for key in keys).encode()
        while data:
            data = data[os.write(fd, data):]
    return [f'set {key}' for key in keys]


def all_lines(fd, size=65536):
    found = b''
    while select.select([fd], [], [], 0)[0]:
        found += os.read(fd, size)
    return found.decode().splitlines()


@case(options='mode=full')
def reader_may_lag_64_kib_behind(m):
    change_many(m, 1024, 59)
    with opened(events(m), O_RDONLY | O_NONBLOCK) as fd:
        wanted = change_many(m, 1024, 59)
        equal(sum(len(line) + 1 for line in wanted), LOG_SIZE)
        equal(all_lines(fd), wanted)


@case(options='mode=full')
def reader_who_lags_more_gets_overflow_and_the_last_lines(m):
    change_many(m, 800, 100)
    with opened(events(m), O_RDONLY | O_NONBLOCK) as fd, \
            opened(events(m), O_RDONLY | O_NONBLOCK) as late:
        for size in 65536, 4096, 100:
            wanted = change_many(m, 800, 100)
            found = all_lines(fd, size)
            equal(found[0], 'overflow')
            assert len(found) > 100, f'only {len(found)} lines'
            equal(found[1:], wanted[1 - len(found):])
            pool.put(m.pool, 'k', f'{size}')
            select.select([fd], [], [], PATIENCE)
            equal(all_lines(fd), ['set k'])
        found = all_lines(late)
        equal((found[0], found.count('overflow'), found[-1]), ('overflow', 1, 'set k'))


@case(options='mode=full')
def overflow_is_a_line_of_its_own_when_a_line_was_half_read(m):
    change_many(m, 300, 100)
    for size in 50, 4096:
        with opened(events(m), O_RDONLY | O_NONBLOCK) as fd:
            wanted = change_many(m, 300, 100)
            found = os.read(fd, size)
            for _ in range(4):
                change_many(m, 300, 100)
            while select.select([fd], [], [], 0)[0]:
                found += os.read(fd, 65536)
            lines = found.decode().splitlines()
            assert 'overflow' in lines, lines[:size // 100 + 2]
            at = lines.index('overflow')
            equal(lines[:at - 1], wanted[:at - 1])
            assert wanted[at - 1].startswith(lines[at - 1]), lines[at - 1]
            equal(lines[at + 1:], (wanted * 5)[at + 1 - len(lines):])


@case(options='mode=full')
def fast_reader_misses_nothing_beside_a_slow_one(m):
    with Reader(m) as fast, Reader(m) as slow:
        for _ in range(5):
            wanted = change_many(m, 300, 100)
            equal(sorted(fast.lines(300)), sorted(wanted))
        equal(slow.line(), 'overflow')


# Locks

@case(('a', '1'), options='lock_timeout=0.1')
def changes_under_a_lock_are_told_when_it_is_released(m):
    for kind in 'flock-ex', 'posix-ex', 'ofd-ex':
        child = blocked_in_read(m)
        with Reader(m) as reader:
            holder = Holder(m, kind)
            holder.append(f'{kind}=1')
            for _ in range(20):
                equal((reader.is_readable(), child.is_done()), (False, False))
                refused(errno.EAGAIN, os.read, reader.fd, 100)
            holder.append(f'{kind}=2')
            holder.append(f'{kind}-=1')
            holder.release()
            equal(sorted(reader.lines(2)), [f'set {kind}', f'set {kind}-'])
            reader.tells()
        assert child.result().startswith(f'set {kind}')


def unlock(fd, kind):
    """The descriptor stays open: nothing but the lock is given back."""
    if kind == 'flock-ex':
        fcntl.flock(fd, fcntl.LOCK_UN)
    else:
        command = fcntl.F_SETLK if kind == 'posix-ex' else pool.F_OFD_SETLK
        pool.set_posix_style_lock(fd, command, fcntl.F_UNLCK)


@case(('a', '1'), options='lock_timeout=0.1')
def blocked_reader_is_told_when_only_a_lock_is_released(m):
    for kind in 'flock-ex', 'posix-ex', 'ofd-ex':
        child = blocked_in_read(m)
        fd = pool.try_lock(m.pool, kind)
        os.pwrite(fd, pool.encode('a', kind), 0)
        refused(errno.EBUSY, os.statvfs, m.dir)
        equal(child.is_done(), False)
        unlock(fd, kind)
        equal(child.result(), 'set a\n')
        os.close(fd)


@case(('a', '1'), options='lock_timeout=40')
def reader_that_opens_under_a_lock_waits_for_it(m):
    holder = Holder(m, 'ofd-ex')
    holder.append('b=2')
    child = Child(read_line, events(m))
    eventually(child.is_blocked)
    equal(child.is_done(), False)
    holder.release()
    eventually(is_open_in, child.pid, events(m))
    write(m / 'k', b'v')
    equal(child.result(), 'set k\n')


# Its file

@case(('a', '1'))
def stream_cannot_be_opened_to_be_written(m):
    for flags in O_WRONLY, os.O_RDWR, O_WRONLY | O_TRUNC, O_WRONLY | os.O_APPEND:
        refused(errno.EACCES, os.open, events(m), flags)


@case(('a', '1'))
def looking_at_the_file_does_not_open_the_stream(m):
    with Reader(m) as reader:
        for _ in range(3):
            found = os.stat(events(m))
            equal((found.st_size, found.st_nlink), (0, 1))
            equal(sorted(os.listdir(m / '.kvpfs'))[1], 'events')
        reader.tells()


if __name__ == '__main__':
    harness.main()
