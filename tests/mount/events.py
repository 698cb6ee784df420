#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""The stream .kvpfs/events: a line for each change of the pool, from the mount or
from outside, to everyone who reads; and what waiting for one costs and leaves.

That nothing else was told is seen by a change that is told last ("sentinel"): it
is made twice, since differences that are found at once come in the pool's order.
"""

import collections
import ctypes
import errno
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from os import O_CREAT, O_NONBLOCK, O_RDONLY, O_TRUNC, O_WRONLY

import harness
import pool
from harness import (Child, case, equal, eventually, exchange, libc, numbered, opened,
                     read, refused, write)

PATIENCE = 20                   # seconds after which something never comes
LOG_SIZE = 65536                # bytes of lines that a reader may lag behind


def events(m):
    return os.path.join(m.dir, '.kvpfs', 'events')


def records(m):
    return os.path.join(m.dir, '.kvpfs', 'records')


class Reader:
    """A descriptor of the stream that is read with bounded waits."""

    def __init__(self, m):
        self.m = m
        self.fd = os.open(events(m), O_RDONLY | O_NONBLOCK)
        self.rest = b''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def is_readable(self):
        return bool(select.select([self.fd], [], [], 0)[0])

    def line(self):
        while b'\n' not in self.rest:
            ready = select.select([self.fd], [], [], PATIENCE)[0]
            assert ready, f'no line came; a part of one: {self.rest!r}'
            self.rest += os.read(self.fd, 65536)
        line, _, self.rest = self.rest.partition(b'\n')
        return line.decode()

    def lines(self, count):
        return [self.line() for _ in range(count)]

    def until_sentinel(self):
        found = []
        for n in range(2):
            write(self.m / 'sentinel', b'%d' % (time.monotonic_ns() + n))
            while not found or found[-1] != 'set sentinel':
                found.append(self.line())
            found.pop()
        return found

    def tells(self, *wanted):
        """Exactly these lines, in this order, and then no more."""
        equal(self.lines(len(wanted)), list(wanted))
        equal(self.until_sentinel(), [])


def is_open_in(pid, path):
    try:
        return any(os.readlink(f'/proc/{pid}/fd/{fd}') == path
                   for fd in os.listdir(f'/proc/{pid}/fd'))
    except OSError:
        return False


def read_line(path):
    """What a blocking reader gets first."""
    with open(path, 'rb', buffering=0) as file:
        return file.readline().decode()


def blocked_in_read(m, function=read_line, *arguments):
    child = Child(function, *(arguments or (events(m),)))
    eventually(lambda: is_open_in(child.pid, events(m)) and child.is_blocked())
    return child


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
        with opened(records(m), O_WRONLY | os.O_APPEND) as fd:
            os.write(fd, b'a=1\nb=1\na=2\nkey-0000=new\na=3\nkey-0001=1\n')
        equal(sorted(reader.lines(3)), ['set a', 'set b', 'set key-0000'])
        with opened(records(m), O_WRONLY | O_TRUNC) as fd:
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
        os.close(os.open(records(m), O_WRONLY | O_TRUNC))
        equal(reader.line(), 'clear')
        reader.tells()
        os.truncate(records(m), 0)
        equal(reader.line(), 'clear')
        reader.tells()
        with pool.locked(m.pool) as fd:
            os.ftruncate(fd, 0)
        equal(reader.line(), 'clear')
        reader.tells()
        os.truncate(records(m), 0)
        equal(reader.line(), 'clear')
        os.truncate(records(m), 0)      # was empty already
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


# Waiting

@case(('a', '1'))
def read_blocks_until_something_changes(m):
    for change in ((write, m / 'k', b'1'), (pool.put, m.pool, 'k', '2')):
        child = blocked_in_read(m)
        for _ in range(20):
            equal(read(m / 'a'), b'1')
        equal(child.is_done(), False)
        change[0](*change[1:])
        equal(child.result(), 'set k\n')


@case(('a', '1'))
def read_without_blocking_is_eagain_while_there_is_nothing(m):
    with opened(events(m), O_RDONLY | O_NONBLOCK) as fd:
        refused(errno.EAGAIN, os.read, fd, 100)
        write(m / 'k', b'1')
        equal(os.read(fd, 5), b'set k')
        equal(os.read(fd, 100), b'\n')
        refused(errno.EAGAIN, os.read, fd, 100)
        os.set_blocking(fd, True)
        child = Child(os.read, fd, 100)
        eventually(child.is_blocked)
        pool.put(m.pool, 'k', '2')
        equal(child.result(), b'set k\n')


def by_select(fd):
    return bool(select.select([fd], [], [], PATIENCE)[0])


def by_poll(fd):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return poll.poll(PATIENCE * 1000) == [(fd, select.POLLIN)]


def by_epoll(fd, mode=0):
    with select.epoll() as epoll:
        epoll.register(fd, select.EPOLLIN | mode)
        return epoll.poll(PATIENCE) == [(fd, select.EPOLLIN)]


def by_epoll_edge(fd):
    return by_epoll(fd, select.EPOLLET)


@case(('a', '1'))
def polling_returns_when_something_changes_and_not_before(m):
    for wait in by_select, by_poll, by_epoll, by_epoll_edge:
        for change in ((write, m / 'k', wait.__name__.encode()),
                       (pool.put, m.pool, 'k', wait.__name__ + '+')):
            with Reader(m) as reader:
                child = Child(wait, reader.fd)
                eventually(child.is_blocked)
                equal(read(m / 'a'), b'1')
                equal((reader.is_readable(), child.is_done()), (False, False))
                change[0](*change[1:])
                equal(child.result(), True)
                equal((reader.is_readable(), reader.line()), (True, 'set k'))
                equal(reader.is_readable(), False)


@case(('a', '1'))
def one_epoll_set_follows_the_stream_change_by_change(m):
    for mode in 0, select.EPOLLET:
        with Reader(m) as reader, select.epoll() as epoll:
            epoll.register(reader.fd, select.EPOLLIN | mode)
            for n in range(50):
                equal(epoll.poll(0), [])
                if n % 2:
                    pool.put(m.pool, 'k', f'{mode}{n}')
                else:
                    write(m / 'k', b'%d%d' % (mode, n))
                equal(epoll.poll(PATIENCE), [(reader.fd, select.EPOLLIN)])
                equal(reader.line(), 'set k')
                refused(errno.EAGAIN, os.read, reader.fd, 10)


@case(('a', '1'))
def every_reader_gets_all_that_happens_after_its_open(m):
    readers = []
    for n in range(40):
        readers.append(Reader(m))
        write(m / 'k', b'%d' % n)
    for n, reader in enumerate(readers):
        equal(reader.lines(40 - n), ['set k'] * (40 - n))
        equal(reader.is_readable(), False)
        os.close(reader.fd)


@case(('a', '1'))
def all_blocked_readers_are_woken(m):
    children = [blocked_in_read(m) for _ in range(10)]
    pool.put(m.pool, 'k', 'v')
    for child in children:
        equal(child.result(), 'set k\n')


@case(('a', '1'))
def reader_gets_no_line_of_what_was_before(m):
    write(m / 'a', b'2')
    pool.put(m.pool, 'b', '2')
    with Reader(m) as reader:
        reader.tells()
    pool.put(m.pool, 'b', '3')
    with Reader(m) as reader:
        write(m / 'c', b'')
        reader.tells('set c')


@case(('a', '1'))
def descriptor_shared_by_processes_gives_each_line_to_one(m):
    with opened(events(m)) as fd:
        for n in range(10):
            write(m / f'k{n}', b'v')
        found = [Child(os.read, fd, 7).result() for _ in range(10)]
    equal(found, [b'set k%d\n' % n for n in range(10)])


# Slow readers

def change_many(m, count, name_size):
    """COUNT keys in one step; their lines are of name_size + 5 bytes."""
    keys = [f'{n:0{name_size}}' for n in range(count)]
    stamp = time.monotonic_ns()
    with opened(records(m), O_WRONLY | O_TRUNC) as fd:
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


# Programs

@case(('a', '1'))
def head_ends_after_its_line(m):
    for arguments, count in (['-n', '1'], 1), (['-n', '3'], 3):
        head = subprocess.Popen(['timeout', str(PATIENCE), 'head', *arguments, events(m)],
                                stdout=subprocess.PIPE)
        child = children_of(head.pid)
        eventually(is_open_in, child, events(m))
        for n in range(5):
            write(m / f'k{n}', b'%d' % time.monotonic_ns())
        equal(head.communicate()[0].decode().split('\n')[:-1],
              [f'set k{n}' for n in range(count)])
        equal(head.returncode, 0)


@case(('a', '1'))
def programs_in_turn_on_one_descriptor_get_successive_lines(m):
    with opened(events(m)) as fd:
        for n in range(4):
            write(m / f'k{n}', b'v')
        for n in range(4):
            equal(subprocess.check_output(['timeout', str(PATIENCE), 'head', '-n', '1'],
                                          stdin=fd), b'set k%d\n' % n)
        write(m / 'k', b'v')
        equal(subprocess.check_output(['head', '-n', '1'], stdin=fd), b'set k\n')
        write(m / 'last', b'v')
        equal(os.read(fd, 100), b'set last\n')


def children_of(pid):
    """The one child of a process, when it has called exec."""
    def child():
        with open(f'/proc/{pid}/task/{pid}/children') as file:
            words = file.read().split()
        if words and (os.readlink(f'/proc/{words[0]}/exe')
                      != os.readlink(f'/proc/{pid}/exe')):
            return int(words[0])
        return None
    return eventually(child)


@case(('a', '1'))
def time_limit_ends_a_program_that_waits(m):
    equal(subprocess.call(['timeout', '0.1', 'head', '-n', '1', events(m)]), 124)
    equal(subprocess.call(['timeout', '0.1', 'cat', events(m)]), 124)


def follows(m, *command, is_ready=is_open_in):
    """The command prints each line soon after its change."""
    with subprocess.Popen([*command], stdout=subprocess.PIPE, bufsize=0) as program:
        eventually(is_ready, program.pid, events(m))
        try:
            for n in range(10):
                write(m / f'k{n}', b'%d' % time.monotonic_ns())
                pool.put(m.pool, f'o{n}', f'{time.monotonic_ns()}')
            found = b''
            while found.count(b'\n') < 20:
                assert select.select([program.stdout], [], [], PATIENCE)[0], found
                part = os.read(program.stdout.fileno(), 4096)
                assert part, f'it ended: {found}'
                found += part
            equal(sorted(found.decode().splitlines()),
                  sorted(f'set {kind}{n}' for n in range(10) for kind in 'ko'))
            equal(program.poll(), None)
        finally:
            program.kill()


@case(('a', '1'))
def cat_follows_the_stream(m):
    follows(m, 'cat', events(m))


def is_nonblocking_in(pid, path):
    """As tail(1) makes its file when it has read what was there."""
    try:
        for fd in os.listdir(f'/proc/{pid}/fd'):
            if os.readlink(f'/proc/{pid}/fd/{fd}') == path:
                with open(f'/proc/{pid}/fdinfo/{fd}') as file:
                    fields = dict(line.split(':', 1) for line in file)
                return bool(int(fields['flags'], 8) & O_NONBLOCK)
    except OSError:
        pass
    return False


@case(('a', '1'))
def tail_follows_the_stream(m):
    for options in ['-f'], ['-n', '0', '-f'], ['-F']:
        follows(m, 'tail', '-s', '0.01', *options, events(m), is_ready=is_nonblocking_in)


@case(('a', '1'))
def tail_that_starts_amid_changes_follows_them(m):
    for options in 5 * (['-f'], ['-F']):
        with subprocess.Popen(['tail', '-s', '0.01', *options, events(m)], bufsize=0,
                              stdout=subprocess.PIPE) as program:
            more = 60
            while more:
                write(m / 'k', b'%d' % time.monotonic_ns())
                more -= is_open_in(program.pid, events(m))
            write(m / 'last', b'%d' % time.monotonic_ns())
            found = b''
            try:
                while not found.endswith(b'set last\n'):
                    assert select.select([program.stdout], [], [], PATIENCE)[0], found
                    found += os.read(program.stdout.fileno(), 65536)
            finally:
                program.kill()
            equal(set(found.splitlines()), {b'set k', b'set last'})


@case(('a', '1'))
def shells_read_the_stream_line_by_line(m):
    for shell in 'bash', 'dash':
        follows(m, shell, '-c', 'while read -r what key; do echo "$what $key"; done '
                '<"$0"', events(m))


# Ending a wait

def errno_of(call, *arguments):
    """Calls through libc, since python itself repeats an interrupted call."""
    signal.signal(signal.SIGINT, lambda *_: None)
    return ctypes.get_errno() if call(*arguments) < 0 else 0


def interrupt(child):
    os.kill(child.pid, signal.SIGINT)
    return child.is_done()


@case(('a', '1'))
def interrupt_ends_a_blocked_read_with_eintr(m):
    with opened(events(m)) as fd:
        child = Child(errno_of, libc.read, fd, ctypes.create_string_buffer(9), 9)
        eventually(child.is_blocked)
        eventually(interrupt, child)
        equal(child.result(), errno.EINTR)
        write(m / 'k', b'v')
        equal(os.read(fd, 100), b'set k\n')


@case(('a', '1'))
def interrupt_ends_a_program(m):
    with subprocess.Popen(['cat', events(m)], stdout=subprocess.DEVNULL) as program:
        eventually(is_open_in, program.pid, events(m))
        program.send_signal(signal.SIGINT)
        equal(program.wait(), -signal.SIGINT)


def daemon(m):
    """The program itself, behind `timeout`."""
    return children_of(m.program.pid)


def resources(pid):
    with open(f'/proc/{pid}/status') as file:
        fields = dict(line.split(':', 1) for line in file)
    return len(os.listdir(f'/proc/{pid}/fd')), int(fields['VmRSS'].split()[0])


@case(('a', '1'))
def killed_reader_leaves_nothing_behind(m):
    blocked_in_read(m).kill()
    m.names()
    fds, memory = resources(daemon(m))
    for _ in range(30):
        equal(blocked_in_read(m).kill(), signal.SIGKILL)
    write(m / 'a', b'2')
    after = resources(daemon(m))
    equal(after[0], fds)
    assert after[1] < memory + 1024, f'{memory} kB became {after[1]} kB'
    with Reader(m) as reader:
        write(m / 'a', b'3')
        reader.tells('set a')


@case(('a', '1'))
def program_ends_well_while_readers_are_blocked(m):
    children = [blocked_in_read(m) for _ in range(3)]
    m.unmount()
    for child in children:
        try:
            equal(child.result(), '')
        except OSError:
            pass


# Locks

class Holder:
    """Another process, which holds the pool locked and appends to it."""

    def __init__(self, m, kind):
        m.names()
        self.process = subprocess.Popen(
            [sys.executable, '-B', pool.__file__, 'hold', m.pool, kind],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        equal(self.process.stdout.readline(), 'held\n')

    def append(self, record):
        self.process.stdin.write(record + '\n')
        self.process.stdin.flush()
        equal(self.process.stdout.readline(), 'appended\n')

    def release(self):
        self.process.communicate('\n')
        equal(self.process.returncode, 0)


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


# What it costs

def switches(pid):
    """How often its threads went to sleep, or were put to it."""
    count = collections.Counter()
    for task in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{task}/status') as file:
            for line in file:
                name, _, value = line.partition(':')
                if name.endswith('ctxt_switches'):
                    count[name] += int(value)
    return count


def is_idle(pid):
    """It does nothing for as long as this looks."""
    before = switches(pid)
    time.sleep(0.02)
    return switches(pid) == before


def stays_idle(m):
    pid = daemon(m)
    eventually(is_idle, pid)
    before = switches(pid)
    time.sleep(0.7)
    equal(switches(pid), before)


@case(('a', '1'))
def nothing_runs_without_readers(m):
    with Reader(m) as reader:
        write(m / 'a', b'2')
        reader.tells('set a')
    pool.put(m.pool, 'a', '3')
    stays_idle(m)
    for n in range(20):
        before = switches(daemon(m))
        pool.put(m.pool, 'a', f'{n}')
        equal(switches(daemon(m)), before)


@case(('a', '1'))
def nothing_runs_while_readers_wait(m):
    child = blocked_in_read(m)
    with Reader(m) as reader, select.epoll() as epoll:
        epoll.register(reader.fd, select.EPOLLIN)
        equal(epoll.poll(0), [])
        waiting = Child(by_poll, reader.fd)
        eventually(waiting.is_blocked)
        stays_idle(m)
        pool.put(m.pool, 'a', '2')
        # first: a poll that looks when all has been read sleeps on
        equal(waiting.result(), True)
        reader.tells('set a')
        equal(child.result(), 'set a\n')
        stays_idle(m)


if __name__ == '__main__':
    harness.main()
