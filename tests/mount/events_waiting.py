#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Waiting for a line of .kvpfs/events: who is woken and when, the programs that
people follow it with, how a wait ends, and what it costs and leaves.
"""

import ctypes
import errno
import os
import select
import signal
import subprocess
import time
from os import O_NONBLOCK, O_RDONLY

import harness
import pool
from harness import (Child, case, equal, eventually, interrupt, interruptible,
                     libc, opened, read, refused, write)
from idle import sleeps_until_called, switches
from stream import PATIENCE, Reader, blocked_in_read, events, is_open_in

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


# Programs

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
                assert m.program.poll() is None
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

@case(('a', '1'))
def interrupt_ends_a_blocked_read_with_eintr(m):
    with opened(events(m)) as fd:
        child = interruptible(libc.read, fd, ctypes.create_string_buffer(9), 9)
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


@case(('a', '1'))
def killed_reader_leaves_nothing_behind(m):
    blocked_in_read(m).kill()
    m.names()
    fds, memory = m.usage()[:2]
    for _ in range(30):
        equal(blocked_in_read(m).kill(), signal.SIGKILL)
    write(m / 'a', b'2')
    after = m.usage()[:2]
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


# What it costs

def becomes_idle(m):
    os.stat(m.dir)                      # answered behind what was closed
    eventually(sleeps_until_called, m.pid())


@case(('a', '1'), options='nowatchers')
def nothing_runs_without_readers(m):
    with Reader(m) as reader:
        write(m / 'a', b'2')
        reader.tells('set a')
    pool.put(m.pool, 'a', '3')
    becomes_idle(m)
    for n in range(20):
        before = switches(m.pid())
        pool.put(m.pool, 'a', f'{n}')
        equal(switches(m.pid()), before)


@case(('a', '1'))
def nothing_runs_while_readers_wait(m):
    child = blocked_in_read(m)
    with Reader(m) as reader, select.epoll() as epoll:
        epoll.register(reader.fd, select.EPOLLIN)
        equal(epoll.poll(0), [])
        waiting = Child(by_poll, reader.fd)
        eventually(waiting.is_blocked)
        becomes_idle(m)
        pool.put(m.pool, 'a', '2')
        # first: a poll that looks when all has been read sleeps on
        equal(waiting.result(), True)
        reader.tells('set a')
        equal(child.result(), 'set a\n')
        becomes_idle(m)


@case(('a', '1'), options=None)
def stream_that_would_be_deaf_is_refused(m):
    """The directory gets the last watch, the file none."""
    with m.mounted(runner=harness.strace(m, 'inotify_add_watch:error=ENOSPC:when=2+')):
        refused(errno.EMFILE, os.open, events(m), O_RDONLY)
        equal(read(m / 'a'), b'1')


@case(('a', '1'), options=None)
def stream_that_becomes_deaf_says_so(m):
    """A file in the place of the first gets no watch any more."""
    with m.mounted(runner=harness.strace(m, 'inotify_add_watch:error=ENOSPC:when=4+')):
        with opened(events(m), O_RDONLY) as fd:
            child = Child(os.read, fd, 100)
            eventually(child.is_blocked)
            os.rename(m.pool, m.pool + '.old')
            pool.build(m.pool + '.new', ('a', '2'))
            os.rename(m.pool + '.new', m.pool)
            told = b''
            try:
                told += child.result()
                while True:
                    told += os.read(fd, 100)
            except OSError as error:
                equal(error.errno, errno.EMFILE)
            assert told.endswith(b'set a\n'), told


if __name__ == '__main__':
    harness.main()
