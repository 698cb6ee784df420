#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Processes that do anything at random, on both sides of a mount and on the same few
keys, while the pool's lock comes and goes. All that they were answered, and what is
left, must be what some order of their calls gives; see model.py.

Beside that each process checks what concerns it alone: a reader keeps its version, a
file without a name is still a file.
"""

import collections
import contextlib
import errno
import mmap
import os
import random
import stat
import time
from os import O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY

import harness
import model
import pool
from harness import (EXCHANGE, NOREPLACE, Child, Flapper, case, control, equal, figures,
                     opened, read, renameat2, rounds, write_all)

KEYS = [b'k%d' % n for n in range(4)]
INSIDE, ACTIONS, OUTSIDE_ACTIONS = 5, 9, 12


def answer_of(function):
    try:
        return function()
    except OSError as error:
        return error.errno


class Recorder:
    """A process: what it has called, when, and what the answer was."""

    def __init__(self, m, number, strips):
        self.m, self.number, self.strips = m, number, strips
        self.random = random.Random()
        self.calls, self.done = [], collections.Counter()
        self.values = self.groups = self.handles = 0

    def new_value(self):
        """No value begins with another one."""
        self.values += 1
        return b'<%d.%d>' % (self.number, self.values) + b'.' * self.random.randrange(60)

    def data(self, value):
        return value + b'\n' if self.strips else value

    def new_handle(self):
        self.handles += 1
        return self.number, self.handles

    def pick(self):
        return self.random.choice(KEYS)

    def two(self):
        return self.random.sample(KEYS, 2)

    def add(self, start, kind, keys, arguments, result, **more):
        """A call that began at START and is over."""
        self.calls.append(model.Call(start, time.monotonic_ns(), self.inside, kind,
                                     None if keys is None else frozenset(keys),
                                     arguments, result, **more))

    def add_parts(self, start, *parts, ordered=True):
        """What one call has done: kind, keys, arguments and result of each."""
        self.groups += 1
        end = time.monotonic_ns()
        for n, (kind, keys, arguments, result) in enumerate(parts):
            self.add(start, kind, keys, arguments, result,
                     group=(self.number, self.groups), part=n * ordered)
            self.calls[-1] = self.calls[-1]._replace(end=end)

    def call(self, kind, keys, arguments, function, result=None):
        """Calls; RESULT makes the answer of what was returned."""
        start = time.monotonic_ns()
        answer = answer_of(function)
        if result and not isinstance(answer, int):
            answer = result(answer)
        self.add(start, kind, keys, arguments, answer)
        return answer

    def run(self, count):
        for _ in range(count):
            action = self.random.choice(self.actions())
            action()
            self.done[action.__name__] += 1
        return self.calls, self.done


class Inside(Recorder):
    """Through the mount."""

    inside = True

    def actions(self):
        return [self.read, self.read, self.read_held, self.read_mapped, self.size,
                self.list, self.overwrite, self.overwrite, self.append, self.append,
                self.change_head, self.empty, self.empty, self.empty_and_sync,
                self.empty_and_write, self.make_exclusively, self.make, self.truncate,
                self.unlink, self.rename, self.rename, self.exchange, self.dump,
                self.load, self.add_records, self.clear, self.clear_by_closing,
                self.without_a_name]

    # Open files

    @contextlib.contextmanager
    def opened(self, key, flags):
        """A file open for writing; None: it was refused. Its release is lazy."""
        number, start = self.new_handle(), time.monotonic_ns()
        fd, answer = None, None
        try:
            fd = os.open(self.m / key, flags, 0o644)
        except OSError as error:
            answer = error.errno
        how = (bool(flags & flag) for flag in (O_CREAT, O_TRUNC, O_APPEND, O_EXCL))
        self.add_parts(start, ('find', [key], (number, key), None),
                       ('open', [key], (number, key, *how), answer))
        if fd is None:
            yield None, None
            return
        yield fd, number
        start = time.monotonic_ns()
        os.close(fd)
        self.add(start, 'release', [key], (number,), None, lazy=True)

    def write(self, key, fd, number, data, offset=0):
        if fd is not None:
            self.call('write', [key], (number, offset, data),
                      lambda: equal(os.pwrite(fd, data, offset), len(data)))

    def sync(self, key, fd, number):
        if fd is not None:
            self.call('commit', [key], (number,), lambda: os.fsync(fd))

    def overwrite(self):
        key = self.pick()
        with self.opened(key, O_WRONLY | O_CREAT | O_TRUNC) as (fd, number):
            self.write(key, fd, number, self.data(self.new_value()))

    def append(self):
        key = self.pick()
        with self.opened(key, O_WRONLY | O_CREAT | O_APPEND) as (fd, number):
            self.write(key, fd, number, self.data(self.new_value()))

    def change_head(self):
        key = self.pick()
        with self.opened(key, O_WRONLY) as (fd, number):
            self.write(key, fd, number, self.new_value())

    def empty(self):
        with self.opened(self.pick(), O_WRONLY | O_CREAT | O_TRUNC):
            pass

    def empty_and_sync(self):
        key = self.pick()
        with self.opened(key, O_WRONLY | O_CREAT | O_TRUNC) as (fd, number):
            if fd is not None:
                os.write(fd, b'')       # which is no write
            self.sync(key, fd, number)

    def empty_and_write(self):
        """As editors do."""
        key = self.pick()
        with self.opened(key, O_WRONLY) as (fd, number):
            if fd is not None:
                self.call('empty', [key], (number,), lambda: os.ftruncate(fd, 0))
            self.write(key, fd, number, self.data(self.new_value()))
            self.sync(key, fd, number)

    def make_exclusively(self):
        key = self.pick()
        with self.opened(key, O_WRONLY | O_CREAT | O_EXCL) as (fd, number):
            if self.random.randrange(2):
                self.write(key, fd, number, self.data(self.new_value()))

    # Reading

    def find(self, kind, key, function, *arguments):
        """A call that looks a name up, and then does something with the file."""
        number, start = self.new_handle(), time.monotonic_ns()
        answer = answer_of(function)
        self.add_parts(start, ('find', [key], (number, key), None),
                       (kind, [key], (number, *arguments), answer))
        return answer

    def read(self):
        key = self.pick()
        self.find('read', key, lambda: read(self.m / key))

    def read_held(self):
        """What was read stays, but for what is added to it."""
        key, fd = self.pick(), None

        def start():
            nonlocal fd
            fd = os.open(self.m / key, O_RDONLY)
            return os.pread(fd, 4096, 0)
        value = self.find('read', key, start)
        for _ in range(3 if fd is not None else 0):
            self.random.choice([self.read, self.overwrite, self.unlink, self.rename])()
            now = os.pread(fd, 4096, 0)
            assert now.startswith(value), f'{value} became {now}'
            assert os.fstat(fd).st_size >= len(now)
            value = now
        if fd is not None:
            os.close(fd)

    def read_mapped(self):
        key = self.pick()

        def look():
            with opened(self.m / key) as fd:
                size = os.fstat(fd).st_size
                if size == 0:
                    return b''
                # python asks once more, and the kernel may know a shorter one for a tick
                with contextlib.suppress(ValueError), \
                        mmap.mmap(fd, size, prot=mmap.PROT_READ) as mapped:
                    return mapped[:]
                return os.pread(fd, 4096, 0)
        self.find('read', key, look)

    def size(self):
        """0 may be what the kernel has made of it for a writer: then nothing is known."""
        key, number, start = self.pick(), self.new_handle(), time.monotonic_ns()
        size = answer_of(lambda: os.stat(self.m / key).st_size)
        if size:
            self.add_parts(start, ('find', [key], (number, key), None),
                           ('size', [key], (number,), size))

    def list(self):
        self.call('names', KEYS, (tuple(KEYS),), self.m.names,
                  result=lambda names: frozenset(names) & frozenset(KEYS))

    # Names

    def truncate(self):
        key, size = self.pick(), self.random.choice((0, 3, 20))
        self.find('truncate', key, lambda: os.truncate(self.m / key, size), size)

    def make(self):
        """If its answer has to wait the key may be gone by then."""
        key, start = self.pick(), time.monotonic_ns()
        try:
            os.mknod(self.m / key, stat.S_IFREG | 0o644)
            result = None
        except OSError as error:
            result = None if error.errno == errno.ENOENT else error.errno
        self.add(start, 'make', [key], (key,), result)

    def unlink(self):
        key = self.pick()
        self.call('unlink', [key], (key,), lambda: os.unlink(self.m / key))

    def rename_two(self, kind, *arguments, flags=0):
        """Both names are looked up, one after the other, before they are renamed."""
        one, two = self.two()
        start = time.monotonic_ns()
        answer = answer_of(lambda: renameat2(self.m / one, self.m / two, flags))
        created = (one, two) if kind == 'exchange' else (one,)
        if answer is None:
            self.add_parts(start, *(('store_created', [key], (key,), None)
                                    for key in created),
                           (kind, [one, two], (one, two, *arguments), None))
            return
        # perhaps nobody was asked for the second name, and so it waited for nothing there
        parts = [('may_store_created', [], (key,), None) for key in created]
        if answer == errno.EEXIST:
            parts += [('is_there', [key], (key,), True) for key in (one, two)]
        else:
            equal(answer, errno.ENOENT)
            # by the first name that is missing, before it is asked for the other one
            parts.append(('are_there', [], created, False))
        self.add_parts(start, *parts, ordered=False)

    def rename(self):
        if self.random.randrange(2):
            self.rename_two('rename', True)
        else:
            self.rename_two('rename', False, flags=NOREPLACE)

    def exchange(self):
        self.rename_two('exchange', flags=EXCHANGE)

    def without_a_name(self):
        """As temporary files: others may remove the key first, but not the file."""
        path, value = self.m / f'temporary-{self.number}', self.new_value()
        with contextlib.suppress(FileNotFoundError), \
                opened(path, O_RDWR | O_CREAT | O_EXCL) as fd:
            os.unlink(path)
            equal(os.write(fd, value), len(value))
            equal((os.pread(fd, 4096, 0), os.fstat(fd).st_nlink), (value, 0))
            os.ftruncate(fd, 2)
            os.fsync(fd)
            equal((os.pread(fd, 4096, 0), os.fstat(fd).st_size), (value[:2], 2))

    # The whole pool

    def dump(self):
        name = self.random.choice(('records', 'entries', 'pool'))

        def parse(data):
            if name == 'pool':
                pairs = [pool.decode(data[at:at + pool.RECORD_SIZE])
                         for at in range(0, len(data), pool.RECORD_SIZE)]
            else:
                pairs = [tuple(line.replace(b'%0A', b'\n').split(b'=', 1))
                         for line in data.split(b'\n')[:-1]]
            return frozenset((key, value) for key, value in dict(pairs).items()
                             if key in KEYS)
        self.call('dump', None, (), lambda: read(control(self.m, name)), result=parse)

    def pairs(self, count):
        return tuple((key, self.new_value()) for key in self.random.sample(KEYS, count))

    def lines(self, pairs):
        return b''.join(b'%s=%s\n' % pair for pair in pairs)

    def open_control(self, kind, name):
        """One that is emptied; the release of such a one counts if it is the last."""
        number, fd = self.new_handle(), None

        def do_open():
            nonlocal fd
            fd = os.open(control(self.m, name), O_WRONLY | O_TRUNC)
        self.call(kind, None, (number,), do_open)
        return fd, number

    def load(self):
        """It is stored by the flush."""
        pairs = self.pairs(3)
        fd, _ = self.open_control('open_load', 'records')
        write_all(fd, self.lines(pairs))
        self.call('load', None, (pairs,), lambda: os.close(os.dup(fd)))
        os.close(fd)

    def add_records(self):
        pairs = self.pairs(2)
        with opened(control(self.m), O_WRONLY | O_APPEND) as fd:
            self.call('add', None, (pairs,), lambda: write_all(fd, self.lines(pairs)))

    def clear(self):
        self.call('load', None, ((),), lambda: os.truncate(control(self.m), 0))

    def clear_by_closing(self):
        name = self.random.choice(('records', 'pool'))
        fd, number = self.open_control('open_all', name)
        self.random.choice([lambda: None, self.overwrite, self.list])()
        start = time.monotonic_ns()
        os.close(fd)
        self.add(start, 'release_all', None, (number,), None, lazy=True)


class Outside(Recorder):
    """Another program that locks the pool as it should."""

    inside = False

    def actions(self):
        return [self.get, self.get, self.dump, self.put, self.put, self.delete]

    def get(self):
        def look():
            with pool.locked(self.m.pool):
                return self.m.value(key)
        key = self.pick()
        time.sleep(self.random.random() / 500)
        self.call('get', [key], (key,), look)

    def dump(self):
        def look():
            with pool.locked(self.m.pool):
                return stored(self.m)
        self.call('dump', None, (), look)

    def put(self):
        key, value = self.pick(), self.new_value()
        self.call('put', [key], (key, value), lambda: pool.put(self.m.pool, key, value))

    def delete(self):
        key = self.pick()
        self.call('delete', [key], (key,), lambda: pool.delete(self.m.pool, key))


def stored(m):
    return frozenset(pair for pair in m.entries().items() if pair[0] in KEYS)


def explain(rules, calls, world):
    """All of it, and which answers are the only wrong ones."""
    wrong = set(model.blamed(rules, calls, world))
    start = min(call.start for call in calls)
    for n in sorted(range(len(calls)), key=lambda n: calls[n].start):
        call = calls[n]
        print('#', '!' if n in wrong else ' ', (call.start - start) // 1000,
              (call.end - start) // 1000, '' if call.inside else 'outside', call.kind,
              *call.arguments, '->', call.result)


def act(m, rules, strips):
    """One round. Returns how many calls were put in order, and what was done."""
    first = [(key, b'first of ' + key) for key in KEYS[:2]]
    pool.build(m.pool, *first)
    m.names()
    actors = [Inside(m, number, strips) for number in range(INSIDE)]
    actors.append(Outside(m, INSIDE, strips))
    children = [Child(actor.run, ACTIONS if actor.inside else OUTSIDE_ACTIONS)
                for actor in actors]
    with Flapper(m.pool, random.choice(('flock-ex', 'posix-ex')), 0.001):
        results = [child.result() for child in children]
    read(control(m))                    # answered when all that was closed is stored
    calls = [call for calls, _ in results for call in calls]
    end = max(call.end for call in calls) + 1
    calls.append(model.Call(end, end, True, 'dump', None, (), stored(m)))
    world = model.World({key: (value, 0) for key, value in first})
    if not model.Search(rules, calls).find(world.copy()):
        explain(rules, calls, world)
        raise AssertionError('the calls have no order')
    return len(calls), sum((done for _, done in results), collections.Counter())


def check(m, mode, strips):
    rules = model.Model(mode, strips)
    total, kinds, undecided = 0, collections.Counter(), 0
    count = rounds(12)
    for _ in range(count):
        try:
            calls, done = act(m, rules, strips)
            total += calls
            kinds += done
        except model.Undecided:
            undecided += 1
    figures(rounds=count, calls=total, undecided=undecided,
            **{kind: kinds[kind] for kind in sorted(kinds)} if harness.SOAK > 1 else {})
    assert undecided * 10 <= count, f'{undecided} of {count} rounds are undecided'


@case(options='lock_timeout=100')
def calls_of_all_have_an_order(m):
    check(m, 'restricted', False)


@case(options='lock_timeout=100,mode=full')
def calls_of_all_have_an_order_in_full_mode(m):
    check(m, 'full', False)


@case(options='lock_timeout=100,newline=strip')
def calls_of_all_have_an_order_without_newlines(m):
    check(m, 'restricted', True)


if __name__ == '__main__':
    harness.main()
