#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Many processes at once, on both sides of a mount and on the same keys: what
they saw and what is left must be what some serial order of their operations
gives. Nothing of it may stay behind: no lock, no descriptor, no memory.

Which keys are for what, so that each promise can be checked:
register-N  always there; each write is another value
fickle-N    the same, and deleted at times
log         appended to; log-N goes on where the one before is full
slot-N      some hold a token, which is moved to where none is
swap-N      values are exchanged
once-N      whoever makes it first has it
first-N     the same, by open(2) and so through the mount alone
any-N       everything at once; values are whole units
"""

import bisect
import collections
import contextlib
import errno
import fcntl
import itertools
import os
import random
import re
import time
from os import O_APPEND, O_CREAT, O_EXCL, O_TRUNC, O_WRONLY

import harness
import pool
from harness import (NOREPLACE, Child, case, equal, eventually, exchange, figures, opened,
                     read, renameat2, write)

INSIDE, ACTIONS = 8, 120
REGISTERS, SLOTS, TOKENS, SWAPS, ONCE, ANY = 4, 8, 4, 6, 30, 3
VALUE_MAX, HEAD, UNIT = 2048, 10, 5
# Nobody gives up: how long a wait takes is not what is tested here.
PATIENT = 'mode=full,lock_timeout=50'
BASE = ([(f'register-{n}', '00-000000|') for n in range(REGISTERS)] +
        [(f'slot-{n}', f'token-{n}') for n in range(TOKENS)] +
        [(f'swap-{n}', str(n) * (n * 99 + 1)) for n in range(SWAPS)])


def unless(numbers, function, *arguments):
    """Calls; returns whether that did not fail with one of these numbers."""
    try:
        function(*arguments)
    except OSError as error:
        if error.errno not in numbers:
            raise
        return False
    return True


# The programs outside: how they lock, and how they store

@contextlib.contextmanager
def crate_lock(path):
    """flock first, then a whole-file OFD lock; both tried until they are had."""
    with opened(path, os.O_RDWR) as fd:
        for kind in 'flock-ex', 'ofd-ex':
            while not unless({errno.EAGAIN, errno.EACCES}, pool.LOCKS[kind], fd):
                time.sleep(0.0005)
        yield fd


@contextlib.contextmanager
def cloud_init_lock(path):
    """flock alone."""
    with opened(path, os.O_RDWR) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd


@contextlib.contextmanager
def daemon_lock(path):
    """A POSIX lock alone, which any close of the file would end."""
    with opened(path, os.O_RDWR) as fd:
        pool.set_posix_style_lock(fd, fcntl.F_SETLKW, fcntl.F_WRLCK)
        yield fd


def store_in_place(fd, before, after):
    for at, record in enumerate(after):
        if at >= len(before) or before[at] != record:
            os.pwrite(fd, record, at * pool.RECORD_SIZE)
    if len(after) < len(before):
        os.ftruncate(fd, len(after) * pool.RECORD_SIZE)


def store_anew(fd, _before, after):
    """As the daemon does it: emptied, then written in pieces of pages."""
    data = b''.join(after)
    os.ftruncate(fd, 0)
    for at in range(0, len(data), 4096):
        os.pwrite(fd, data[at:at + 4096], at)


STYLES = [(pool.locked, store_in_place), (pool.locked, store_in_place),
          (crate_lock, store_in_place)]
# They do not keep each other out: one of them at a time.
LAST_STYLES = itertools.cycle([(daemon_lock, store_anew),
                               (cloud_init_lock, store_in_place)])


class Records(list):
    """A locked pool as a list of (key, value), with the crate's way to change it:
    the first record is overwritten, the last one fills a gap."""

    def find(self, key):
        return next((at for at, pair in enumerate(self) if pair[0] == key), None)

    def get(self, key):
        at = self.find(key)
        return None if at is None else self[at][1]

    def put(self, key, value):
        at = self.find(key)
        if at is None:
            self.append((key, value))
        else:
            self[at] = key, value

    def delete(self, key):
        at, last = self.find(key), self[-1:]
        if at is None:
            return False
        self[at:at + 1] = last
        self.pop()
        return True


# Who acts

class Actor:
    """A process: what it does, and what it remembers of that."""

    def __init__(self, m, number):
        self.m, self.number = m, number
        self.random = random.Random()
        self.made = itertools.count(1)
        self.history = []               # (key, start, end, wrote, value)
        self.marks = 0
        self.won = []
        self.done = collections.Counter()

    def new_head(self):
        return b'%02d-%06d|' % (self.number, next(self.made))

    def new_value(self):
        return self.new_head() + b'.' * self.random.randrange(900)

    def pick(self, family, count):
        return f'{family}-{self.random.randrange(count)}'

    def remember(self, key, wrote, call, *arguments):
        """Times a call; it returns the value that it read or wrote."""
        start = time.monotonic_ns()
        value = call(key, *arguments)
        end = time.monotonic_ns()
        if value:
            assert re.fullmatch(rb'\d\d-\d{6}\|\.*', value), \
                f'torn: {value[:HEAD]!r}, {len(value.strip(bytes(1)))} of {len(value)}'
        self.history.append((key, start, end, wrote, value and value[:HEAD]))

    def write_register(self):
        key = self.pick('register', REGISTERS)
        self.remember(key, True, self.random.choice(self.writes))

    def read_register(self):
        self.remember(self.pick('register', REGISTERS), False, self.get)

    def write_fickle(self):
        key = self.pick('fickle', 2)
        self.remember(key, True, self.random.choice((self.overwrite, self.delete)))

    def read_fickle(self):
        self.remember(self.pick('fickle', 2), False, self.get)

    def mark(self):
        mark = b'%02d-%04d,' % (self.number, self.marks)
        for n in itertools.count():
            if self.append(f'log-{n}', mark):
                break
        self.marks += 1

    def make_once(self, family='once'):
        """Tries names in order, so that all are after the same ones."""
        key = f'{family}-{self.done["make_once"] % ONCE}'
        if self.make(key):
            self.won.append(key)

    def units(self):
        return b'%02d--,' % self.number * self.random.randrange(1, 40)

    def check_units(self, value):
        assert re.fullmatch(rb'(\d\d--,)*', value or b''), f'torn: {value!r}'

    def run(self, count):
        actions = [self.write_register, self.read_register, self.write_fickle,
                   self.read_fickle, self.mark, self.make_once, self.move_token,
                   self.swap, self.do_anything, self.check_all]
        for _ in range(count):
            action = self.random.choice(actions)
            action()
            self.done[action.__name__] += 1
            self.rest()
        return self.history, self.marks, self.won


class Inside(Actor):
    """Through the mount."""

    def __init__(self, m, number):
        super().__init__(m, number)
        self.writes = (self.overwrite, self.sync, self.replace, self.change_head,
                       self.shorten)

    def rest(self):
        pass

    def get(self, key):
        try:
            return read(self.m / key) or None   # empty: it is just being created
        except FileNotFoundError:
            return None

    def overwrite(self, key):
        value = self.new_value()
        write(self.m / key, value)
        return value

    def sync(self, key):
        value = self.new_value()
        with opened(self.m / key, O_WRONLY | O_TRUNC) as fd:
            os.write(fd, value)
            os.fsync(fd)
        return value

    def replace(self, key):
        value, temporary = self.new_value(), f'temporary-{self.number}'
        write(self.m / temporary, value, O_WRONLY | O_CREAT | O_EXCL)
        os.rename(self.m / temporary, self.m / key)
        return value

    def change_head(self, key):
        """What stands behind the head, others may have written."""
        head = self.new_head()
        with opened(self.m / key, O_WRONLY) as fd:
            equal(os.pwrite(fd, head, 0), HEAD)
        return head

    def shorten(self, key):
        """What is written is not another value; then another one is."""
        unless({errno.EINVAL}, os.truncate, self.m / key,
               HEAD + self.random.randrange(100))
        return self.change_head(key)

    def delete(self, key):
        unless({errno.ENOENT}, os.unlink, self.m / key)

    def append(self, key, mark):
        with opened(self.m / key, O_WRONLY | O_APPEND | O_CREAT) as fd:
            return unless({errno.EFBIG}, os.write, fd, mark)

    def make_once(self, family='once'):
        super().make_once(self.random.choice(('once', 'first')))

    def make(self, key):
        if key.startswith('first'):
            return unless({errno.EEXIST}, write, self.m / key, b'made',
                          O_WRONLY | O_CREAT | O_EXCL)
        if self.random.random() < 0.5:
            return unless({errno.EEXIST}, os.mknod, self.m / key)
        temporary = f'temporary-{self.number}'
        write(self.m / temporary, b'made')
        if unless({errno.EEXIST}, renameat2, self.m / temporary, self.m / key,
                  NOREPLACE):
            return True
        os.unlink(self.m / temporary)
        return False

    def move_token(self):
        one, two = (self.m / self.pick('slot', SLOTS) for _ in range(2))
        unless({errno.ENOENT, errno.EEXIST}, renameat2, one, two, NOREPLACE)

    def swap(self):
        one, two = (self.m / self.pick('swap', SWAPS) for _ in range(2))
        exchange(one, two)

    def do_anything(self):
        one, two = (self.m / self.pick('any', ANY) for _ in range(2))
        unless({errno.ENOENT, errno.EEXIST, errno.EINVAL, errno.EFBIG},
               *self.random.choice((
                   (write, one, self.units()),
                   (write, one, self.units(), O_WRONLY | O_CREAT | O_APPEND),
                   (write, one, self.units(), O_WRONLY | O_CREAT | O_EXCL),
                   (os.truncate, one, UNIT * self.random.randrange(20)),
                   (os.unlink, one), (os.rename, one, two),
                   (exchange, one, two),
                   (lambda: self.check_units(read(one)),))))

    def check_all(self):
        """One look at the directory, and one at all values."""
        names = collections.Counter(name.partition('-')[0]
                                    for name in os.listdir(self.m.dir))
        equal((names['register'], names['slot'], names['swap']),
              (REGISTERS, TOKENS, SWAPS))
        check_conserved(dict(line.split(b'=', 1) for line in
                             read(self.m / '.kvpfs/entries').splitlines()))


class Outside(Actor):
    """Under the lock, in one of several manners."""

    def __init__(self, m, number, style):
        super().__init__(m, number)
        self.lock, self.store = style
        self.writes = (self.overwrite,)

    def rest(self):
        time.sleep(self.random.random() / 500)

    @contextlib.contextmanager
    def records(self):
        """Locked; what the block makes of them is stored."""
        with self.lock(self.m.pool) as fd:
            data = os.pread(fd, os.fstat(fd).st_size, 0)
            equal(len(data) % pool.RECORD_SIZE, 0)
            raw = [data[at:at + pool.RECORD_SIZE]
                   for at in range(0, len(data), pool.RECORD_SIZE)]
            records = Records(map(pool.decode, raw))
            equal(len(dict(records)), len(records))     # nobody repeats keys
            yield records
            self.store(fd, raw, [pool.encode(*pair) for pair in records])

    def get(self, key):
        with self.records() as records:
            return records.get(key.encode())

    def overwrite(self, key):
        value = self.new_value()
        if self.number == INSIDE:
            pool.put(self.m.pool, key, value)
        else:
            with self.records() as records:
                records.put(key.encode(), value)
        return value

    def delete(self, key):
        if self.number == INSIDE:
            pool.delete(self.m.pool, key)
        else:
            with self.records() as records:
                records.delete(key.encode())

    def append(self, key, mark):
        with self.records() as records:
            value = (records.get(key.encode()) or b'') + mark
            if len(value) > VALUE_MAX:
                return False
            records.put(key.encode(), value)
            return True

    def make(self, key):
        with self.records() as records:
            if records.find(key.encode()) is not None:
                return False
            records.put(key.encode(), b'made')
            return True

    def rename(self, records, one, two):
        one, two = one.encode(), two.encode()
        at = records.find(one)
        if at is not None and records.find(two) is None:
            records[at] = two, records[at][1]

    def exchange(self, records, one, two):
        at, to = records.find(one.encode()), records.find(two.encode())
        if at is not None and to is not None:
            values = records[at][1], records[to][1]
            records[at], records[to] = ((records[at][0], values[1]),
                                        (records[to][0], values[0]))

    def move_token(self):
        with self.records() as records:
            self.rename(records, self.pick('slot', SLOTS), self.pick('slot', SLOTS))

    def swap(self):
        with self.records() as records:
            self.exchange(records, self.pick('swap', SWAPS), self.pick('swap', SWAPS))

    def do_anything(self):
        one, two = self.pick('any', ANY), self.pick('any', ANY)
        with self.records() as records:
            self.check_units(records.get(one.encode()))
            self.random.choice((
                lambda: records.put(one.encode(), self.units()),
                lambda: records.delete(one.encode()),
                lambda: self.rename(records, one, two),
                lambda: self.exchange(records, one, two)))()

    def check_all(self):
        with self.records() as records:
            check_conserved(dict(records))


# What must hold

def check_conserved(entries):
    """At each moment, of everything that is moved and exchanged."""
    for family in 'slot', 'swap':
        equal(sorted(value for key, value in entries.items()
                     if key.startswith(family.encode())),
              sorted(value.encode() for key, value in BASE if key.startswith(family)))


def check_register(history):
    """Whether reads and writes of a value that is never written twice have an
    order. All of what concerns one value stands together there, so, of each value,
    what matters is the time between the first end and the last start: if that runs
    forward the value was there all that time, and no other one can have been; if it
    runs backward there was one moment for all of it. (Gibbons and Korach, Testing
    shared memories, 1997)"""
    written = {value: start for _, start, _, wrote, value in history if wrote}
    first, last = {}, {}
    for _, start, end, wrote, value in history:
        assert value in written, f'{value!r} was never written'
        assert wrote or end >= written[value], f'{value!r} was read too early'
        first[value] = min(end, first.get(value, end))
        last[value] = max(start, last.get(value, start))
    there = sorted((first[v], last[v], v) for v in first if first[v] < last[v])
    for one, two in zip(there, there[1:]):
        assert one[1] <= two[0], f'{one} and {two} at the same time'
    for value, end in first.items():
        if end < last[value]:
            continue
        at = bisect.bisect(there, (last[value],)) - 1
        assert at < 0 or end >= there[at][1], f'{value!r} came within {there[at]}'
    return len(history)


def check_fickle(history):
    """Absence has no identity. So only: what a read returned was written, or
    deleted, and not replaced by others before the read began."""
    history = [(history[0][0], 0, 0, True, None), *history]
    writes = [entry[1:3] + (entry[4],) for entry in history if entry[3]]
    for _, start, end, wrote, value in history:
        if wrote:
            continue
        # the last start of a write that was over when the read began
        before = max(w[0] for w in writes if w[1] < start)
        assert any(w[2] == value and w[0] <= end and w[1] >= before for w in writes), \
            f'{value!r} was not there'
    return len(history)


def check_histories(m, histories):
    """Of each register, with a last look at what is left."""
    entries, now = m.entries(), time.monotonic_ns()
    by_key = collections.defaultdict(list)
    for history in histories:
        for entry in history:
            by_key[entry[0]].append(entry)
    for key, history in by_key.items():
        value = entries.get(key.encode())
        history.append((key, now, now, False, value and value[:HEAD]))
        if key.startswith('fickle'):
            check_fickle(history)
        else:
            check_register([(key, 0, 0, True, BASE[0][1].encode()), *history])
    return sum(map(len, by_key.values()))


def check_logs(m, counts):
    """Each mark of each process, once and in its order."""
    logs = itertools.takewhile(lambda value: value is not None,
                               (m.value(f'log-{n}') for n in itertools.count()))
    marks = b''.join(logs).split(b',')[:-1]
    equal(len(marks), sum(counts))
    for number, count in enumerate(counts):
        equal([mark for mark in marks if mark.startswith(b'%02d-' % number)],
              [b'%02d-%04d' % (number, n) for n in range(count)])
    return len(marks)


def check_winners(m, won):
    winners = collections.Counter(itertools.chain(*won))
    equal({name: count for name, count in winners.items() if count != 1}, {})
    equal(sorted(key.decode() for key in m.entries()
                 if key.startswith((b'once-', b'first-'))), sorted(winners))
    return len(winners)


def check_same_on_both_sides(m):
    equal(list(pool.flaws(m.pool)), [])
    equal({name: read(m / name) for name in m.names()}, m.entries())
    check_conserved(m.entries())


def act(m):
    """One round: everybody at once, on a pool as it was at first."""
    with opened(m / '.kvpfs/records', O_WRONLY | O_TRUNC) as fd:
        os.write(fd, ''.join(f'{key}={value}\n' for key, value in BASE).encode())
    actors = [Inside(m, number) for number in range(INSIDE)]
    for style in *STYLES, next(LAST_STYLES):
        actors.append(Outside(m, len(actors), style))
    children = [Child(actor.run, ACTIONS) for actor in actors]
    histories, counts, won = zip(*[child.result() for child in children])
    check_same_on_both_sides(m)
    return check_histories(m, histories), check_logs(m, counts), check_winners(m, won)


# Who makes a key first

def make_outside(m, key):
    with pool.locked(m.pool) as fd:
        if key in m.entries():
            return False
        os.pwrite(fd, pool.encode(key, 'outside'), os.fstat(fd).st_size)
        return True


@case(options=None)
def mknod_and_an_outsider_never_both_make_a_key(m):
    """Even if he is there between the mount's look and its lock, which is late."""
    if harness.is_sanitized():
        raise harness.Skip('needs a program that can be traced')
    m.mount(PATIENT, harness.strace(m, 'flock:delay_enter=20000'))
    won = collections.Counter()
    for n in range(harness.rounds(20)):
        key = f'k{n % 100}'
        inside = Child(unless, {errno.EEXIST}, os.mknod, m / key)
        time.sleep(random.random() / 40)
        who = make_outside(m, key.encode()), inside.result()
        equal(sum(who), 1)
        won['outside' if who[0] else 'inside'] += 1
        pool.delete(m.pool, key)
    figures(**won)


# Who takes his time between the answer to a call and the next one

def schedule(pid, policy):
    os.sched_setscheduler(pid, policy, os.sched_param(0))


@contextlib.contextmanager
def slowly(function, *arguments):
    """While the block runs; the function must not end by then."""
    child = Child(function, *arguments)
    schedule(child.pid, os.SCHED_IDLE)
    yield
    if child.is_done():
        raise AssertionError(child.result())
    with contextlib.suppress(PermissionError):  # as it is to users
        schedule(child.pid, os.SCHED_OTHER)     # else it may take long to die
    child.kill()


DIGITS = 8


def change_in_turn(m, how):
    """One change after the other of `k`, which holds any number of x behind a number
    that makes each value another one: none begins with one before, however long ago."""
    for number, size in enumerate(itertools.cycle((800, 50, 300, 1))):
        head = b'%0*d' % (DIGITS, number)
        value = head + b'x' * size
        if how == 'truncate':
            write(m / 'k', head + b'x' * 900)
            os.truncate(m / 'k', len(value))
        elif how == 'ftruncate':
            with opened(m / 'k', O_WRONLY) as fd:
                os.pwrite(fd, head + b'x' * 900, 0)
                os.ftruncate(fd, len(value))
        elif how == 'append':
            write(m / 'k', head)
            write(m / 'k', value[DIGITS:], O_WRONLY | O_APPEND)
        elif how == 'rename':
            write(m / 'n', value)
            os.rename(m / 'n', m / 'k')
        elif how == 'unlink':
            os.unlink(m / 'k')
            write(m / 'k', value, O_WRONLY | O_CREAT | O_EXCL)
        else:
            write(m / 'k', value)


def read_whole(m, how, numbers):
    """What is only added to may grow after it was read; a new key, which is empty
    until it is written, too."""
    for _ in numbers:
        with contextlib.suppress(FileNotFoundError), opened(m / 'k') as fd:
            value, size = os.read(fd, 4096), os.fstat(fd).st_size
            assert not value.lstrip(b'0123456789').strip(b'x'), \
                'torn: %d NULs' % value.count(b'\0')
            grows = how == 'append' or how == 'unlink' and not value
            assert size == len(value) or grows and size > len(value), \
                f'{size}, but read {len(value)}'


@case(('k', 'x'))
def readers_beside_slow_writers_see_whole_values(m):
    done = collections.Counter()
    for how in 'truncate', 'ftruncate', 'append', 'overwrite', 'rename', 'unlink':
        count = harness.rounds(2000 if how == 'truncate' else 600)
        with slowly(change_in_turn, m, how), slowly(read_whole, m, how,
                                                            itertools.count()):
            readers = [Child(read_whole, m, how, range(count)) for _ in range(2)]
            for reader in readers:
                reader.result()
                done[how] += count
        write(m / 'k', b'x')
    figures(**done)


def repeat(m, count, action):
    for _ in range(count):
        action(m)


def cut(m):
    unless({errno.EINVAL}, os.truncate, m / 'k', random.randrange(50))


def replace(m):
    write(m / f'new-{os.getpid()}', b'x' * 100)
    os.rename(m / f'new-{os.getpid()}', m / 'k')


def put_outside(m):
    pool.put(m.pool, 'k', 'x' * 100)


@case(('k', 'x'), options=PATIENT)
def nobody_is_told_that_a_file_is_stale(m):
    """Who must look a name up again is not sent there twice."""
    count = harness.rounds(100)
    for child in [Child(repeat, m, count, action) for action in
                  (cut, cut, cut, replace, replace, put_outside, put_outside,
                   *(lambda m: read(m / 'k'),) * 3, lambda m: write(m / 'k', b'y'))]:
        child.result()
    figures(calls_each=count)


# What must not stay behind

def is_free(m):
    """Nobody has a lock of the pool, of whatever kind."""
    return not pool.locks_on(m.pool)


def can_lock(m, kind):
    """The agent may have the program look at the pool for a moment."""
    with contextlib.suppress(BlockingIOError):
        os.close(pool.try_lock(m.pool, kind))
        return True
    return False


@case(options=PATIENT)
def everybody_at_once_gives_what_a_serial_order_gives(m):
    os.listdir(m.dir)                   # answered when it has closed what mounting took
    before = m.usage()
    done = act(m)                       # to warm up
    warm = m.usage()
    for _ in range(harness.rounds(2)):
        done = [sum(pair) for pair in zip(done, act(m))]
    eventually(is_free, m)
    for kind in 'flock-ex', 'ofd-ex':
        eventually(can_lock, m, kind)
    eventually(lambda: m.usage()[0] == before[0])
    end = m.usage()
    waits = re.search(r'lock_waits=(\d+)', read(m / '.kvpfs/status').decode())[1]
    figures(register_operations=done[0], marks=done[1], winners=done[2],
            waits_for_locks=waits, descriptors=end[0],
            resident_KiB=f'{warm[1]} then {end[1]}', heap_KiB=f'{warm[2]} then {end[2]}')
    if not harness.is_sanitized():              # those keep what is freed
        assert end[1] < warm[1] + 512, 'memory is lost'


if __name__ == '__main__':
    harness.main()
