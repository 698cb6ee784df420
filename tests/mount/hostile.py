#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Pools that nobody would write on purpose, or somebody just did: random bytes,
flipped bits, far too many records, huge sparse files, and files that change without
locks all the time.

Whatever the pool holds, it is listed, read and removed as pool.py reads it; memory
stays bounded; nothing crashes or hangs.
"""

import contextlib
import errno
import os
import random
import re
import subprocess

import harness
import pool
from harness import (Child, case, control, equal, opened, read, refused, rounds, status,
                     write)

GIB = 1 << 30
MIB = 1 << 20
NAME_MAX = 1024


# What a pool must look like

def name_of(key):
    name = re.sub(rb'%(?=[0-9A-Fa-f]{2})|/', lambda byte: b'%%%02X' % ord(byte[0]), key)
    return b'%2E' + name[1:] if key in (b'.', b'..', b'.kvpfs') else name


def listed(entries):
    """Each name that a listing shows, and what is read from it."""
    return {name_of(key): value for key, value in entries.items()
            if len(name_of(key)) <= NAME_MAX}


def is_utf8(text):
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def looks_as_it_is(m):
    """Everything that the mount shows of the pool, against pool.py."""
    records, entries = m.records(), m.entries()
    names = listed(entries)
    equal(m.names(), list(names))
    for name, value in names.items():
        equal(read(m / name), value)
    equal(read(control(m, 'records')), pool.text(*(pair for pair in records if pair[0])))
    shown = status(m)
    empty = sum(not key for key, _ in records)
    wanted = {'records': len(records), 'keys': len(entries), 'empty_keys': empty,
              'repeated': len(records) - empty - len(entries),
              'not_utf8': sum(not is_utf8(key) or not is_utf8(value)
                              for key, value in records),
              'unlisted': len(entries) - len(names),
              'torn_bytes': os.path.getsize(m.pool) % pool.RECORD_SIZE}
    equal({name: shown[name] for name in wanted},
          {name: str(n) for name, n in wanted.items()})


def every_name_can_be_removed(m):
    """What is left has no name; clearing ends that, too."""
    names = listed(m.entries())
    left = [record for record in pool.raw(m.pool)
            if name_of(pool.decode(record)[0]) not in names]
    for name in m.names():
        os.unlink(m / name)
    equal((m.names(), pool.raw(m.pool)), ([], left))
    os.truncate(m / '.kvpfs/records', 0)
    equal(os.path.getsize(m.pool), 0)


def memory_kib(m):
    """What the program has in memory and shares with nobody; 0: sanitizers or
    valgrind have more than it."""
    pid = m.program.pid                 # of timeout(1)
    with open(f'/proc/{pid}/task/{pid}/children') as file:
        pid = file.read().split()[0]
    with open(f'/proc/{pid}/statm') as file:
        if harness.RUNNER or int(file.read().split()[0]) > 1 << 28:     # pages
            return 0
    with open(f'/proc/{pid}/smaps_rollup') as file:
        return sum(int(line.split()[1]) for line in file
                   if line.startswith(('Private_Clean:', 'Private_Dirty:')))


def store(m, data):
    with open(m.pool, 'wb') as file:
        file.write(data)


# Any bytes

NASTY = b'\0\0\n\r\t\x1b\x7f%%/..=2eEF0kvpfs\x80\xc3\xa9\xff'


def random_field(dice, size):
    """Bytes of which kvpfs is likely to make something else than others would."""
    choice = dice.randrange(6)
    if choice == 0:
        return dice.randbytes(size)
    if choice == 1:
        return bytes(size)
    if choice == 2:                     # no NUL to end it
        return bytes(dice.choices(NASTY[2:], k=size))
    text = bytes(dice.choices(NASTY if choice < 5 else b'./%2Ekvpfs',
                              k=dice.randrange(1 if choice == 5 else 20)))
    return (text + b'\0' + dice.randbytes(size))[:size]


def random_pool(dice):
    data = b''.join(random_field(dice, pool.KEY_SIZE) +
                    random_field(dice, pool.VALUE_SIZE)
                    for _ in range(dice.randrange(30)))
    return data + dice.randbytes(dice.choice((0, 0, 1, 512, 2559)))


@case()
def random_bytes(m):
    count = rounds(30)
    for seed in range(count):
        dice = random.Random(seed)
        data = random_pool(dice)
        if seed % 5 == 0:
            data = dice.randbytes(dice.randrange(20 * pool.RECORD_SIZE))
        try:
            store(m, data)
            looks_as_it_is(m)
            every_name_can_be_removed(m)
        except AssertionError as error:
            raise AssertionError(f'pool of seed {seed}') from error
    harness.figures(random_pools=count, memory_KiB=memory_kib(m))


@case()
def pool_may_be_anything_when_it_is_mounted(m):
    m.unmount()
    count = rounds(4)
    for seed in range(count):
        store(m, random_pool(random.Random(seed)))
        with m.mounted():
            looks_as_it_is(m)
    harness.figures(mounts=count)


FLIPPED = [('a/b', 'one'), ('k' * 512, 'v' * 2048), ('%41', 'é')]


@case(*FLIPPED)
def every_bit_flipped(m):
    """One after the other in a long run, a part of them in a short one."""
    whole = b''.join(pool.raw(m.pool))
    step = max(1, 101 // harness.SOAK)
    with open(m.pool, 'r+b', buffering=0) as file:
        for bit in range(0, 8 * len(whole), step):
            at = bit // 8
            os.pwrite(file.fileno(), bytes([whole[at] ^ 1 << bit % 8]), at)
            names = listed(m.entries())
            equal(m.names(), list(names))
            for name, value in names.items():
                equal(read(m / name), value)
            others = [pair for slot, pair in enumerate(FLIPPED)
                      if slot != at // pool.RECORD_SIZE]
            for key, value in others:
                equal(read(m / name_of(key.encode())), value.encode())
            os.pwrite(file.fileno(), whole[at:at + 1], at)
    looks_as_it_is(m)
    harness.figures(flips=len(range(0, 8 * len(whole), step)))


@case(*[('', '')] * 1000, ('', 'v'))
def records_of_zeros(m):
    looks_as_it_is(m)
    equal(m.names(), [])
    write(m / 'k', b'v')
    equal(m.records()[-1], (b'k', b'v'))
    looks_as_it_is(m)
    every_name_can_be_removed(m)


LONGEST, TOO_LONG = b'/' * 341 + b'a', b'%41' * 170 + b'aa'
ODD = [b'.', b'..', b'/', b'%2F', b'%', b'.kvpfs', b'%2E', b'\n', b'a\nb',
       b'\x01\x1b[2J\x7f', b'\xff\xfe', b'n' * 512, b'/' * 340 + b'%41', LONGEST,
       LONGEST + b'a', TOO_LONG, b'%ff' * 170, b'/' * 512, b'%/' * 256]


@case(*[(key, n) for n in ('first', b'\xff\n%41', b'x' * 2048) for key in (*ODD, b'')])
def odd_keys_that_repeat(m):
    looks_as_it_is(m)
    equal(status(m)['unlisted'], str(sum(len(name_of(key)) > NAME_MAX for key in ODD)))
    every_name_can_be_removed(m)


# Too much of it

MANY = 100000


@case(options=None)
def hundred_thousand_keys(m):
    record = bytes(pool.RECORD_SIZE - 6)
    store(m, b''.join(b'%06d' % n + record for n in range(MANY)))
    with m.mounted():
        names = [b'%06d' % n for n in range(MANY)]
        equal(m.names(), names)
        equal(read(control(m, 'records')), b''.join(name + b'=\n' for name in names))
        equal(status(m)['keys'], str(MANY))
        for name in names[::max(1, 1009 // harness.SOAK)]:
            equal(read(m / name), b'')
        refused(errno.ENOSPC, write, m / 'new', b'v')
        removed = {names[0], *names[-rounds(300):]}     # what follows must move up
        for name in sorted(removed, reverse=True):
            os.unlink(m / name)
        equal(m.names(), [name for name in names if name not in removed])
        equal(os.path.getsize(m.pool), (MANY - len(removed)) * pool.RECORD_SIZE)
        memory = memory_kib(m)
        os.truncate(m / '.kvpfs/records', 0)
        equal((m.names(), os.path.getsize(m.pool)), ([], 0))
        harness.figures(keys=MANY, removed=len(removed), memory_KiB=memory)
        assert memory < 64 * 1024


@case(options=None)
def hundred_thousand_records_of_few_keys_take_the_memory_of_few(m):
    few = 3
    store(m, b''.join(pool.encode(f'{n % few}', f'{n:500}') for n in range(MANY)))
    with m.mounted():
        for n in range(MANY - few, MANY):
            equal(read(m / f'{n % few}'), b'%500d' % n)
        equal(status(m)['repeated'], str(MANY - few))
        memory = memory_kib(m)
        for name in m.names():
            os.unlink(m / name)
        equal((m.names(), os.path.getsize(m.pool)), ([], 0))
        harness.figures(records=MANY, memory_KiB=memory)
        assert memory < 8 * 1024


def sparse(m, size, *pairs):
    """A pool that ends with these records, behind a long hole."""
    store(m, b'')
    os.truncate(m.pool, size // pool.RECORD_SIZE * pool.RECORD_SIZE -
                len(pairs) * pool.RECORD_SIZE)
    pool.append(m.pool, *pairs)


@case(('k', 'v'))
def pool_that_grows_to_a_tebibyte_is_efbig_until_it_shrinks(m):
    with opened(m / 'k') as reader:
        os.truncate(m.pool, 1 << 40)
        for call, *arguments in ((os.listdir, m.dir), (os.stat, m / 'k'), (read, m / 'k'),
                                 (write, m / 'k', b'w'), (write, m / 'new', b'w'),
                                 (os.unlink, m / 'k'), (os.rename, m / 'k', m / 'l'),
                                 (read, control(m, 'records')), (status, m)):
            refused(errno.EFBIG, call, *arguments)
        equal(os.read(reader, 10), b'v')
        equal(os.path.getsize(m.pool), 1 << 40)
        memory = memory_kib(m)
        os.truncate(m.pool, pool.RECORD_SIZE)
        looks_as_it_is(m)
        every_name_can_be_removed(m)
        assert memory < 8 * 1024


@case(options=None)
def pool_of_a_tebibyte_is_not_mounted(m):
    sparse(m, 1 << 40, ('k', 'v'))
    result = subprocess.run([harness.KVPFS, '-f', m.pool, m.dir], check=False,
                            stdin=subprocess.DEVNULL, capture_output=True, text=True)
    equal((result.returncode, harness.is_mounted(m.dir)), (1, False))
    equal(len(result.stderr.splitlines()), 1)
    assert 'larger than 1 GiB' in result.stderr, result.stderr


@case(options=None)
def sparse_pool_of_nearly_a_gibibyte_answers(m):
    sparse(m, GIB, ('a', '1'), ('b/', '2'), ('a', '3'))
    with m.mounted():
        equal(m.names(), [b'a', b'b%2F'])
        equal((read(m / 'a'), read(m / 'b%2F')), (b'3', b'2'))
        equal(read(control(m, 'records')), b'a=1\nb/=2\na=3\n')
        equal(status(m)['empty_keys'], str(GIB // pool.RECORD_SIZE - 3))
        os.unlink(m / 'a')
        os.unlink(m / 'b%2F')
        equal(m.names(), [])
        memory = memory_kib(m)
        os.truncate(m / '.kvpfs/records', 0)
        write(m / 'k', b'v')
        equal(m.records(), [(b'k', b'v')])
        harness.figures(size_MiB=GIB // MIB, memory_KiB=memory)
        assert memory < 24 * 1024


# Never the same

def disturb(path, dice):
    """One change as a program makes it that knows no locks and no records."""
    choice = dice.randrange(7)
    if choice == 0:                     # another file
        with open(path + '.new', 'wb') as file:
            file.write(random_pool(dice))
        os.rename(path + '.new', path)
    elif choice == 1 and dice.randrange(4) == 0:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    else:
        with open(path, 'r+b' if os.path.exists(path) else 'w+b', buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if choice == 2:             # cut
                file.truncate(dice.randrange(size + 1))
            elif choice == 3:           # extend
                file.truncate(size + dice.randrange(20 * pool.RECORD_SIZE))
            elif choice == 4:           # rewrite
                file.truncate(0)
                file.write(random_pool(dice))
            elif size < MIB:
                record = pool.encode(f'key-{dice.randrange(9)}',
                                     'v' * dice.randrange(999))
                file.seek(dice.randrange(size + 1))
                file.write(record)


def disturb_for_ever(path):
    dice = random.Random(1)
    while True:
        disturb(path, dice)


@contextlib.contextmanager
def never_the_same(m):
    child = Child(disturb_for_ever, m.pool)
    try:
        yield
    finally:
        child.kill()


def tolerate(numbers, function, *arguments):
    try:
        return function(*arguments)
    except OSError as error:
        assert error.errno in numbers, error
        return None


@case()
def pool_that_others_change_all_the_time_without_locks(m):
    count, seen = rounds(100), 0
    with never_the_same(m):
        for n in range(count):
            for name in m.names()[:20]:
                value = tolerate((errno.ENOENT,), read, m / name)
                assert value is None or (len(value) <= pool.VALUE_SIZE and
                                         b'\0' not in value)
                tolerate((errno.ENOENT,), os.stat, m / name)
                seen += value is not None
            read(control(m, 'records'))
            assert int(status(m)['records']) >= 0
            # moving records up needs a file that stays as long as it is
            for name in m.names()[n % 7::7]:
                tolerate((errno.ENOENT, errno.EIO), os.unlink, m / name)
            tolerate((errno.ENOENT, errno.EIO), write, m / f'key-{n % 9}', b'new')
    memory = memory_kib(m)
    os.close(os.open(m.pool, os.O_RDWR | os.O_CREAT))   # it may be gone just now
    looks_as_it_is(m)
    every_name_can_be_removed(m)
    harness.figures(listings=2 * count, values=seen, memory_KiB=memory)
    assert memory < 16 * 1024


def cut_for_ever(path):
    dice = random.Random(2)
    with open(path, 'r+b', buffering=0) as file:
        whole = file.read()
        while True:
            file.truncate(dice.randrange(len(whole)))
            os.pwrite(file.fileno(), whole, 0)


@case(*harness.numbered(200))
def pool_that_others_cut_while_it_is_read(m):
    """What has not changed is looked at in the file's own pages, which end then."""
    whole, found = read(m.pool), 0
    child = Child(cut_for_ever, m.pool)
    for n in range(rounds(2000)):
        value = tolerate((errno.ENOENT,), read, m / f'key-{n % 200:04}')
        # its page may not be there yet
        assert value in (None, b'', b'%d' % (n % 200)), value
        found += bool(value)
    child.kill()
    write(m.pool, whole)
    looks_as_it_is(m)
    harness.figures(reads=rounds(2000), found=found)


if __name__ == '__main__':
    harness.main()
