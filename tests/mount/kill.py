#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""kvpfs is killed at random moments while clients work on the mount. What was
acknowledged must be in the pool file; of the call that each client was in, every
key has its old or its new value; all others have their value, whoever wrote it.

Only write(2) may be cut, and only between pages: then the record that it was
about may begin as the new one and go on as the old one.
"""

import errno
import mmap
import os
import random
import signal
import struct
import time
from os import O_APPEND, O_CREAT, O_TRUNC, O_WRONLY

import harness
import pool
from harness import (Child, case, equal, eventually, exchange, figures, opened, read,
                     rounds, write)

CLIENTS = 3
KEYS = 8                                # of each client
SET = 60                                # keys of the pools that replace each other
MOST_RECORDS = 200
DEAD = errno.ENOTCONN, errno.ECONNABORTED
STEADY = [(b'steady-%d' % n, b'%d' % n * n * 40) for n in range(12)]
ODD = [(b'', b'no entry'), (b'\xff', b'not UTF-8'), (b'noise', b'v\0stale bytes')]


def any_value(chance):
    """Many end in the middle of a record's pages, some fill them."""
    return b'%d ' % chance.randrange(1000) * chance.choice([1, 10, 100, 250, 400])


def mixtures(old, new):
    """What a write that was cut between pages may leave of a value."""
    old, new = ((value or b'').ljust(pool.VALUE_SIZE, b'\0') for value in (old, new))
    return {(new[:cut] + old[cut:]).partition(b'\0')[0]
            for cut in range(512, pool.VALUE_SIZE, 512)}


class Client:
    """Random calls on its own keys; knows their values, and the call in flight."""

    def __init__(self, m, name, values, done):
        self.m, self.done = m, done
        self.chance = random.Random()
        self.keys = [f'{name}-{n}' for n in range(KEYS)]
        self.values = values            # absent keys are not in it
        self.pending = {}               # key: its value after the call in flight
        self.earlier = set()            # other values that this call may leave
        self.number = 0

    def begin(self, **pending):
        self.earlier = set()
        self.pending = pending

    def commit(self):
        self.values.update(self.pending)
        self.values = {key: value for key, value in self.values.items()
                       if value is not None}
        self.pending = {}
        self.number += 1
        struct.pack_into('=Q', *self.done, self.number)

    def write(self, key):
        value = any_value(self.chance)
        self.begin(**{key: value})
        with opened(self.m / key, O_WRONLY | O_CREAT | O_TRUNC) as fd:
            os.write(fd, value)
            self.commit()

    def append(self, key):
        value = self.values.get(key, b'')[:1500]
        self.begin(**{key: value + b' appended'})
        with opened(self.m / key, O_WRONLY | O_CREAT | O_APPEND) as fd:
            if value == self.values.get(key, b''):
                os.write(fd, b' appended')
                self.commit()

    def empty(self, key):
        self.begin(**{key: b''})
        with opened(self.m / key, O_WRONLY | O_CREAT | O_TRUNC) as fd:
            os.fsync(fd)
            self.commit()

    def truncate(self, key):
        if key in self.values:
            size = self.chance.randrange(len(self.values[key]) + 1)
            self.begin(**{key: self.values[key][:size]})
            os.truncate(self.m / key, size)
            self.commit()

    def unlink(self, key):
        if key in self.values:
            self.begin(**{key: None})
            os.unlink(self.m / key)
            self.commit()

    def rename(self, key):
        other = self.chance.choice(self.keys)
        if key in self.values and key != other:
            self.begin(**{key: None, other: self.values[key]})
            os.rename(self.m / key, self.m / other)
            self.commit()

    def exchange(self, key):
        other = self.chance.choice(self.keys)
        if {key, other} <= self.values.keys() and key != other:
            self.begin(**{key: self.values[other], other: self.values[key]})
            exchange(self.m / key, self.m / other)
            self.commit()

    def add_records(self, key):
        """Raw ones, so that keys have repeats."""
        pairs = [(self.chance.choice([key, *self.keys]), any_value(self.chance))
                 for _ in range(self.chance.randrange(1, 20))]
        self.begin(**dict(pairs))
        self.earlier = {value for _, value in pairs}
        with opened(self.m / '.kvpfs/records', O_WRONLY | O_APPEND) as fd:
            os.write(fd, b''.join(b'%s=%s\n' % (pool.as_bytes(key), value)
                                  for key, value in pairs))
            self.commit()

    def run(self):
        calls = [self.write, self.write, self.append, self.empty, self.truncate,
                 self.unlink, self.rename, self.exchange, self.add_records]
        try:
            while True:
                self.chance.choice(calls)(self.chance.choice(self.keys))
        except OSError as error:
            if error.errno not in DEAD:
                raise
        return self.values, self.pending, self.earlier

    def replace(self, _):
        """The whole pool."""
        stamp = b'%d' % self.chance.randrange(10 ** 9)
        pairs = [(b'%d' % n, stamp * self.chance.choice([1, 10, 100]))
                 for n in range(SET) if self.chance.randrange(3)]
        self.begin(**{key: None for key in self.values})
        self.pending.update((key.decode(), value) for key, value in pairs)
        with opened(self.m / '.kvpfs/records', O_WRONLY | O_TRUNC) as fd:
            os.write(fd, b''.join(b'%s=%s\n' % pair for pair in pairs))
            os.close(os.dup(fd))
            self.commit()

    def clear(self, _):
        self.begin(**{key: None for key in self.values})
        os.truncate(self.m / '.kvpfs/records', 0)
        self.commit()

    def run_replace(self):
        try:
            while True:
                self.chance.choice([self.replace, self.replace, self.clear])(None)
        except OSError as error:
            if error.errno not in DEAD:
                raise
        return self.values, self.pending, self.earlier


def work_and_kill(m, names, values, run):
    """Lets clients work for a random while; what they knew, and how much they did."""
    counters = mmap.mmap(-1, 8 * len(names))
    clients = [Child(lambda client=client: run(client)) for client in
               (Client(m, name, values[name], (counters, 8 * n))
                for n, name in enumerate(names))]

    def done():
        return sum(struct.unpack(f'={len(names)}Q', counters))

    wanted = random.randrange(80)
    eventually(lambda: done() >= wanted or any(child.is_done() for child in clients))
    end = time.monotonic() + random.random() * 0.002
    while time.monotonic() < end:
        pass
    os.kill(m.pid(), signal.SIGKILL)
    results = [child.result() for child in clients]
    m.clean_up()
    return results, done()


def check_client(values, pending, earlier, found):
    """The keys whose change was in flight may be old or new; how each came out."""
    for key, value in values.items():
        if key not in pending:
            equal((key, found.get(key)), (key, value))
    outcomes = set()
    for key, new in pending.items():
        old, now = values.get(key), found.get(key)
        if now in (old, new):
            outcomes.add('new' if now == new else 'old')
        elif now in earlier:
            outcomes.add('part of a batch')
        else:
            assert now in mixtures(old, new), (key, old, new, now)
            outcomes.add('mixed')
    equal([key for key in found if key not in values and key not in pending], [])
    return outcomes


def check_values_survive(values, pending, records):
    """No value that is only renamed is ever without a record."""
    moved = {value for value in pending.values() if value in values.values()}
    equal(moved - {value for _, value in records}, set())


def check_remount(m, options):
    """The next one reads what is there, goes on with it, and leaves no cut tail."""
    m.mount(options)
    found = m.entries()
    equal(sorted(m.names()), sorted(found))
    for key, value in found.items():
        equal(read(m / key), value)
    if random.randrange(2):
        write(m / 'probe', b'v')
        os.unlink(m / 'probe')
        equal(os.path.getsize(m.pool) % pool.RECORD_SIZE, 0)
        equal(m.entries(), found)


def shuffle_pool(m):
    """The same entries with repeats, records that are none, and a cut tail."""
    entries = list(m.entries().items())
    repeats = [(key, b'an earlier value') for key, _ in entries
               if random.randrange(3) == 0]
    random.shuffle(entries)
    records = repeats + entries + ODD[:1]
    if random.randrange(2):
        records.sort(key=lambda pair: pair[0])  # stable: a repeat comes first
    pool.build(m.pool, *records)
    with open(m.pool, 'ab') as file:
        file.write(b't' * random.choice([0, 0, 1, 700, 2559]))


def tally(counts, names):
    for name in names:
        counts[name] = counts.get(name, 0) + 1


@case(*STEADY, *ODD, options=None)
def kill_loses_nothing_that_was_acknowledged(m):
    names = [f'client{n}' for n in range(CLIENTS)]
    foreign = m.entries()
    counts, total = {}, 0
    m.mount('mode=full')
    for _ in range(rounds(15)):
        before = m.entries()
        values = {name: {key.decode(): value for key, value in before.items()
                         if key.startswith(name.encode())} for name in names}
        results, done = work_and_kill(m, names, values, Client.run)
        total += done
        records, found = m.records(), m.entries()
        for name, (known, pending, earlier) in zip(names, results):
            mine = {key.decode(): found.pop(key) for key in list(found)
                    if key.startswith(name.encode())}
            tally(counts, check_client(known, pending, earlier, mine))
            check_values_survive(known, pending, records)
        equal(found, foreign)
        tally(counts, ['cut tails'] * (os.path.getsize(m.pool) % pool.RECORD_SIZE > 0))
        if random.randrange(2) or len(records) > MOST_RECORDS:
            shuffle_pool(m)
        check_remount(m, 'mode=full')
    m.unmount()
    figures(kills=rounds(15), acknowledged=total, lost=0, **counts)


@case(options=None)
def kill_leaves_the_old_or_the_new_pool_or_both(m):
    counts, total = {}, 0
    m.mount('mode=full')
    for _ in range(rounds(5)):
        before = {key.decode(): value for key, value in m.entries().items()}
        [(old, pending, earlier)], done = work_and_kill(m, ['all'], {'all': before},
                                                        Client.run_replace)
        total += done
        found = {key.decode(): value for key, value in m.entries().items()}
        outcomes = check_client(old, pending, earlier, found)
        assert 'mixed' not in outcomes
        new = {key: value for key, value in pending.items() if value is not None}
        # before the last new record is there no old one goes
        if not new.items() <= found.items():
            equal(old.keys() - found.keys(), set())
        tally(counts, ['both'] if len(outcomes) > 1 else outcomes)
        if random.randrange(2):
            shuffle_pool(m)
        check_remount(m, 'mode=full')
    m.unmount()
    figures(kills=rounds(5), acknowledged=total, lost=0, **counts)


if __name__ == '__main__':
    harness.main()
