#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""What watchers of the mount are told of changes that others make in the pool: each
row of the table in kvpfs(8), WATCHERS, whoever watches and whatever the names are.
"""

import contextlib
import ctypes
import errno
import os
import random
import shutil
import subprocess
import time

import harness
import pool
from harness import (Child, Holder, NOREPLACE, Skip, case, control, equal, eventually,
                     exchange, figures, libc, opened, read, refused, renameat2, rounds,
                     write)
from watching import (FILE_GONE, Fanotify, GONE, NEW, SET, Watch, agent_of, of, settle)

OLD = [('a', '1'), ('b', '2')]


def told(m, watch, *expected):
    """This is what was told of all changes until now, and nothing else."""
    settle(m)
    equal(watch.read(), list(expected))


# The table

@case(*OLD)
def new_key_is_created_written_and_closed(m):
    with Watch(m.dir) as watch:
        for change in pool.put, pool.daemon_set:
            change(m.pool, change.__name__, 'v')
            told(m, watch, *of(change.__name__, *NEW))
            equal(read(m / change.__name__), b'v')


@case(*OLD)
def other_value_is_written_and_closed_once(m):
    with Watch(m.dir) as watch, Watch(m / 'a') as file, Watch(m / 'b') as other:
        for n, change in enumerate((pool.put, pool.daemon_set, pool.put)):
            change(m.pool, 'a', f'new{n}')
            told(m, watch, *of('a', *SET))
            told(m, file, *SET)
            equal(read(m / 'a'), b'new%d' % n)
        told(m, other)


@case(*OLD)
def gone_key_is_deleted(m):
    for delete in pool.delete, pool.daemon_delete:
        pool.build(m.pool, *OLD)
        settle(m)
        with Watch(m.dir) as watch, Watch(m / 'a') as file, Watch(m / 'b') as other:
            delete(m.pool, 'a')
            settle(m)
            events = watch.read()
            if delete is pool.delete:
                equal(events, of('a', *GONE))
                told(m, other)
            equal(events[:1], of('a', *GONE))
            told(m, file, *FILE_GONE)
            equal(m.names(), [b'b'])


@case(*OLD)
def cleared_pool_is_deleted_key_by_key(m):
    with Watch(m.dir) as watch, Watch(m / 'a') as file:
        os.truncate(m.pool, 0)
        told(m, watch, *of('a', *GONE), *of('b', *GONE))
        told(m, file, *FILE_GONE)
        pool.put(m.pool, 'a', '1')
        told(m, watch, *of('a', *NEW))


@case(*OLD)
def deleted_and_replaced_pool_is_told_of(m):
    with Watch(m.dir) as watch:
        os.unlink(m.pool)
        told(m, watch, *of('a', *GONE), *of('b', *GONE))
        pool.build(m.pool + '.new', ('c', '1'))
        os.rename(m.pool + '.new', m.pool)
        told(m, watch, *of('c', *NEW))
        os.rename(m.pool, m.pool + '.old')
        told(m, watch, *of('c', *GONE))
        os.rename(m.pool + '.old', m.pool)
        pool.put(m.pool, 'c', '2')
        settle(m)
        equal(watch.read()[:3], of('c', *NEW))
        pool.put(m.pool, 'c', '3')
        told(m, watch, *of('c', *SET))


@case(*OLD)
def what_changes_nothing_is_not_told(m):
    with Watch(m.dir) as watch, Watch(m / 'a') as file:
        pool.put(m.pool, 'a', '1')
        os.utime(m.pool)
        os.chmod(m.pool, 0o640)
        with pool.locked(m.pool) as fd:
            data = os.pread(fd, 1 << 20, 0)
            os.ftruncate(fd, 0)
            os.pwrite(fd, data, 0)
        pool.append(m.pool, ('a', '0'), ('a', '1'))
        pool.append(m.pool, ('', 'no key'))
        told(m, watch)
        told(m, file)


@case(*OLD)
def changes_are_told_as_their_sum(m):
    with Watch(m.dir) as watch:
        with pool.locked(m.pool) as fd:
            os.pwrite(fd, b''.join(pool.encode(*pair) for pair in (
                ('a', '5'), ('b', '2'), ('c', '1'), ('c', '2'), ('a', '6'))), 0)
        told(m, watch, *of('a', *SET), *of('c', *NEW))


@case(*OLD)
def state_is_readable_when_an_event_arrives(m):
    with Watch(m.dir) as watch:
        for n in range(rounds(50)):
            pool.put(m.pool, 'a', f'{n}')
            eventually(watch.read)
            equal(read(m / 'a'), b'%d' % n)
            settle(m)
            watch.read()


# What is done through the mount

@case(*OLD)
def own_changes_are_told_once(m):
    with Watch(m.dir) as watch, Watch(m / 'a') as file:
        write(m / 'a', b'x', os.O_WRONLY)
        told(m, watch, *of('a', *SET))
        told(m, file, *SET)
        write(m / 'c', b'x')
        told(m, watch, *of('c', *NEW))
        os.rename(m / 'c', m / 'd')
        told(m, watch, 'MOVED_FROM c', 'MOVED_TO d')
        renameat2(m / 'd', m / 'e', NOREPLACE)
        told(m, watch, 'MOVED_FROM d', 'MOVED_TO e')
        exchange(m / 'a', m / 'e')
        told(m, watch, 'MOVED_FROM a', 'MOVED_TO e', 'MOVED_FROM e', 'MOVED_TO a')
        os.unlink(m / 'e')
        told(m, watch, *of('e', *GONE))
        os.mknod(m / 'f')
        told(m, watch, 'CREATE f')
        os.truncate(m / 'b', 0)
        told(m, watch, 'MODIFY b')
        os.rename(m / 'a', m / 'b')
        told(m, watch, 'MOVED_FROM a', 'MOVED_TO b')


@case(*OLD)
def what_is_written_to_one_version_is_told_to_the_others(m):
    with contextlib.ExitStack() as stack:
        watches = []
        for n in range(4):              # a reader keeps each from being found again
            stack.enter_context(opened(m / 'a'))
            watches.append(stack.enter_context(Watch(m / 'a')))
            pool.put(m.pool, 'a', f'new{n}' * n)
            for watch in watches:
                told(m, watch, *SET)
        write(m / 'a', b'mine', os.O_WRONLY | os.O_APPEND)
        for watch in watches:
            told(m, watch, *SET)
        os.unlink(m / 'a')
        for watch in watches:
            settle(m)
            equal(watch.read()[0], 'ATTRIB')


@case(*OLD)
def what_is_emptied_is_told_again_when_it_is_stored(m):
    with Watch(m.dir) as watch:
        os.close(os.open(m / 'a', os.O_WRONLY | os.O_TRUNC))
        equal(read(m / 'a'), b'')
        settle(m)
        equal(watch.read()[-3:], of('a', 'CLOSE_WRITE', *SET))


@case(*OLD)
def new_file_that_is_given_up_is_gone(m):
    with Watch(m.dir) as watch:
        with opened(m / 'c', os.O_WRONLY | os.O_CREAT):
            pool.put(m.pool, 'a', '2')
            told(m, watch, 'CREATE c', *of('a', *SET))
            pool.append(m.pool, *[(f'{n:04}', '') for n in range(harness.CAP - 2)])
            settle(m)
            watch.read()
        watch.tells('CLOSE_WRITE c', 'DELETE c')


@case(*OLD)
def key_that_an_old_handle_makes_again_is_created(m):
    with Watch(m.dir) as watch, opened(m / 'a', os.O_WRONLY) as fd:
        pool.delete(m.pool, 'a')
        told(m, watch, *of('a', *GONE))
        os.write(fd, b'again')
        settle(m)
        equal([event for event in watch.read() if event != 'MODIFY a'],
              ['CREATE a', 'CLOSE_WRITE a'])
        equal(m.value('a'), b'again')


# Names, pools and files of the store

@case()
def names_are_those_of_the_files(m):
    keys = ['with/slash', 'new\nline', 'x' * 254, 'é€𝄞', '%41', '.', '..', '.kvpfs',
            ' ', '-n', 'a=b', '\\']
    with Watch(m.dir) as watch:
        for key in keys:
            pool.append(m.pool, (key, 'v'))
            settle(m)
            name, = os.listdir(m.dir)
            equal(watch.read(), of(name, *NEW))
            with Watch(m / name) as file:
                pool.put(m.pool, key, 'w')
                told(m, file, *SET)
                pool.delete(m.pool, key)
                told(m, file, *FILE_GONE)
            equal(watch.read(), of(name, *SET) + of(name, *GONE))


@case()
def key_that_no_file_shows_is_not_told(m):
    with Watch(m.dir) as watch:
        pool.append(m.pool, ('/' * 500, 'v'), ('k', 'v'))
        told(m, watch, *of('k', *NEW))


@case(options=None)
def each_of_five_pools_is_told_of_in_its_directory(m):
    pools = [os.path.join(m.top, f'.kvp_pool_{n}') for n in range(5)]
    for path in pools:
        pool.build(path, *OLD)
    m.pool = m.top
    with m.mounted():
        names = sorted(os.listdir(m.dir))
        equal(len(names), 5)
        with contextlib.ExitStack() as stack:
            watches = [stack.enter_context(Watch(m / name)) for name in names]
            files = [stack.enter_context(Watch(m / f'{name}/a')) for name in names]
            for path in pools:
                pool.put(path, 'a', 'other')
                pool.put(path, 'c', '3')
                pool.delete(path, 'b')
            settle(m)
            for watch, file in zip(watches, files):
                equal(sorted(set(watch.read())),
                      sorted(of('a', *SET) + of('c', *NEW) + of('b', *GONE)))
                equal(file.read(), SET)


@case(*OLD)
def changes_of_the_whole_store_are_told(m):
    with Watch(m.dir) as watch, Watch(m / 'a') as file:
        write(control(m), b'a=1\nc=3\n')
        told(m, watch, *of('b', *GONE), *of('c', *NEW))
        write(control(m), b'a=5\n', os.O_WRONLY | os.O_APPEND)
        told(m, watch, *of('a', *SET))
        told(m, file, *SET)
        write(control(m, 'pool'), pool.encode('a', '6'))
        told(m, watch, *of('c', *GONE), *of('a', *SET))
        os.close(os.open(control(m), os.O_WRONLY | os.O_TRUNC))
        equal(m.names(), [])
        told(m, watch, *of('a', *GONE))
        told(m, file, *SET, *FILE_GONE)


@case(*OLD)
def watched_key_is_followed_until_it_is_gone(m):
    with Watch(m.dir) as watch, Watch(m / 'a') as file:
        for n in range(5):
            pool.put(m.pool, 'a', f'new{n}')
            told(m, watch, *of('a', *SET))
            told(m, file, *SET)
        pool.delete(m.pool, 'a')
        told(m, watch, *of('a', *GONE))
        told(m, file, *FILE_GONE)
        pool.put(m.pool, 'a', 'back')
        told(m, watch, *of('a', *NEW))
        told(m, file)
        with Watch(m / 'a') as again:
            pool.put(m.pool, 'a', 'other')
            told(m, again, *SET)


@case(*OLD)
def several_watchers_are_told_the_same(m):
    with contextlib.ExitStack() as stack:
        watches = [stack.enter_context(Watch(m.dir)) for _ in range(10)]
        files = [stack.enter_context(Watch(m / 'a')) for _ in range(10)]
        pool.put(m.pool, 'a', '9')
        for watch in watches:
            told(m, watch, *of('a', *SET))
        for file in files:
            told(m, file, *SET)


@case(*OLD)
def hidden_names_are_the_agents_alone(m):
    with opened(m / 'a'), Watch(m / 'a') as file, Watch(control(m, '')) as inner:
        pool.put(m.pool, 'a', 'other')
        told(m, file, *SET)
        name = inner.read()[0].split()[1]
        assert name.startswith('node-'), name
        for path in control(m, name), m / name:
            refused(2, os.stat, path)
            refused(2, os.open, path, os.O_RDONLY)
            refused(2, os.unlink, path)
        assert name not in os.listdir(control(m, ''))
        pool.put(m.pool, 'a', 'third')
        told(m, file, *SET)


# Programs

@case(*OLD)
def inotifywait_follows_the_pool(m):
    if not shutil.which('inotifywait'):
        raise Skip('needs inotifywait')
    with subprocess.Popen(['inotifywait', '-m', '-q', '--format', '%e %f', '-e',
                           'create,modify,close_write,delete', m.dir],
                          stdout=subprocess.PIPE, text=True) as program:
        try:
            for n in range(1000000):    # until its watch is there
                pool.put(m.pool, 'ready', f'{n}')
                settle(m)
                if harness.select.select([program.stdout], [], [], 0.01)[0]:
                    break
            for change in ((pool.put, m.pool, 'a', '9'), (pool.put, m.pool, 'c', '9'),
                           (pool.delete, m.pool, 'a')):
                change[0](*change[1:])
                settle(m)
            found = ''
            while 'DELETE a' not in found:
                found += program.stdout.readline()
        finally:
            program.kill()
    lines = [line for line in found.splitlines() if not line.endswith(' ready')]
    equal(lines, ['MODIFY a', 'CLOSE_WRITE,CLOSE a', 'CREATE c', 'MODIFY c',
                  'CLOSE_WRITE,CLOSE c', 'DELETE a'])


@case(*OLD, root=True)
def fanotify_tells_with_names(m):
    watch = Fanotify(m.dir)
    pool.put(m.pool, 'a', '9')
    settle(m)
    equal(watch.read(), {'a': set(SET)})
    pool.put(m.pool, 'c', '9')
    settle(m)
    equal(watch.read(), {'c': set(NEW)})
    pool.delete(m.pool, 'b')
    settle(m)
    equal(watch.read(), {'b': set(GONE)})
    os.close(watch.fd)


# Locks, and who is told of nothing

@case(*OLD)
def change_is_told_when_the_lock_is_free(m):
    with Watch(m.dir) as watch, Holder(m) as holder:
        for n in range(3):
            holder.append(f'c{n}=1')
        equal(watch.read(), [])
        holder.release()
        told(m, watch, *(event for n in range(3) for event in of(f'c{n}', *NEW)))


@case(*OLD)
def refused_fallocate_of_others_takes_nothing_from_the_agent(m):
    """It is what the agent does: the kernel must go on asking for it."""
    fallocate = getattr(libc, 'fallocate64', None) or libc.fallocate     # musl has one
    for path in m / 'a', control(m), control(m, 'pool'):
        with opened(path, os.O_WRONLY) as fd:
            equal(fallocate(fd, 1, ctypes.c_int64(0), ctypes.c_int64(1)), -1)
            equal(ctypes.get_errno(), errno.EOPNOTSUPP)
    equal(read(m / 'a'), b'1')
    with Watch(m.dir) as watch:
        pool.put(m.pool, 'a', '9')
        told(m, watch, *of('a', *SET))


@case(*OLD, options='nowatchers')
def nobody_is_told_without_watchers(m):
    with Watch(m.dir) as watch:
        pool.put(m.pool, 'a', '9')
        equal(read(m / 'a'), b'9')
        equal((watch.read(), agent_of(m.pid())), ([], None))


@case(*OLD, options='nowatchers')
def the_kernel_tells_of_own_changes_without_watchers(m):
    with Watch(m / 'a', mask=0x8) as watch:
        for n in range(3):              # this process is not who has just looked it up
            Child(write, m / 'a', b'%d' % n).result()
            watch.tells('CLOSE_WRITE')


@case(*OLD, options='ro')
def nobody_is_told_in_a_read_only_mount(m):
    with Watch(m.dir) as watch:
        pool.put(m.pool, 'a', '9')
        equal(read(m / 'a'), b'9')
        equal((watch.read(), agent_of(m.pid())), ([], None))


# At random, against a model

class Model:
    """What a watcher of the directory knows: by its events, and by reading then."""

    def __init__(self, m):
        self.m = m
        self.watch = Watch(m.dir)
        self.known = dict(m.entries())
        self.counts = {}

    def follow(self):
        for event in self.watch.read():
            kind, name = event.split(' ')
            assert kind != 'OVERFLOW', 'the kernel has dropped events'
            key = name.encode()
            if kind in ('DELETE', 'MOVED_FROM'):
                self.known.pop(key, None)
                continue
            self.counts[name, kind] = self.counts.get((name, kind), 0) + 1
            try:
                self.known[key] = read(self.m / name)
            except FileNotFoundError:   # its deletion is told next
                self.known.pop(key, None)

    def is_right(self):
        settle(self.m)
        self.follow()
        equal(self.known, self.m.entries())


def act(m, chance, keys, written):
    key = chance.choice(keys)
    value = f'{chance.randrange(1000)}'
    written[key] = written.get(key, 0) + 1
    what = chance.randrange(9)
    with contextlib.suppress(FileNotFoundError):
        if what < 3:
            pool.put(m.pool, key, value)
        elif what == 3:
            pool.delete(m.pool, key)
        elif what < 6:
            write(m / key, value.encode())
        elif what == 6:
            os.unlink(m / key)
        elif what == 7:
            other = chance.choice(keys)
            written[other] = written.get(other, 0) + 1
            os.rename(m / key, m / other)
        else:
            write(control(m), f'{key}={value}\n'.encode(), os.O_WRONLY | os.O_APPEND)


@case(('k', ''))
def empty_value_has_no_byte_while_its_watchers_are_told(m):
    """Telling of it must not make its size 1 in the kernel, not even for a moment."""
    def reading():
        for _ in range(rounds(6000)):
            with opened(m / 'k') as fd:
                value = os.read(fd, 99)
                assert value in (b'', b'x'), value

    def telling():
        for n in range(1 << 30):
            pool.put(m.pool, 'k', 'x' * (n % 2))
            time.sleep(0.0001)          # or the readers hardly get the lock

    def cutting():                      # a short read sets no size right meanwhile
        while True:
            os.truncate(m / 'k', 0)
    others = [Child(telling), Child(cutting)]
    readers = [Child(reading) for _ in range(4)]
    for reader in readers:
        reader.result()
    for other in others:
        other.kill()


@case(*OLD)
def watcher_of_random_changes_knows_all_in_the_end(m):
    chance = random.Random(1)
    keys = [f'k{n}' for n in range(6)]
    model = Model(m)
    files = {}
    written = {}
    count = rounds(20)
    for n in range(count):
        for _ in range(chance.randrange(1, 12)):
            act(m, chance, keys, written)
            if chance.randrange(3) == 0:
                model.follow()
        if chance.randrange(4) == 0:
            key = chance.choice(keys)
            with contextlib.suppress(FileNotFoundError):
                files[n] = (os.open(m / key, os.O_RDONLY), Watch(m / key))
        if len(files) > 8:
            fd, watch = files.pop(min(files))
            os.close(fd)
            os.close(watch.fd)
        model.is_right()
    for fd, watch in files.values():
        os.close(fd)
        os.close(watch.fd)
    for (name, kind), told_of in model.counts.items():
        if kind == 'CREATE':
            assert told_of <= written[name], (name, told_of, written[name])
    figures(rounds=count, events=sum(model.counts.values()))


@case(*OLD)
def values_are_told_as_often_as_they_change(m):
    """One change at a time, from here or from outside: each is told once."""
    chance = random.Random(2)
    with Watch(m.dir) as watch, Watch(m / 'a') as file:
        for n in range(rounds(40)):
            with contextlib.ExitStack() as stack:
                if chance.randrange(2):
                    stack.enter_context(opened(m / 'a'))
                if chance.randrange(2):
                    pool.put(m.pool, 'a', f'{n}')
                else:
                    write(m / 'a', f'{n}'.encode(), os.O_WRONLY | os.O_APPEND)
                told(m, watch, *of('a', *SET))
                told(m, file, *SET)


@case(*harness.numbered(harness.CAP))
def storm_ends_with_each_key_told(m):
    model = Model(m)
    for n in range(rounds(5)):
        pool.build(m.pool, *[(key, f'{n}+{value}') for key, value in
                             harness.numbered(harness.CAP)])
        model.follow()
    model.is_right()
    os.truncate(m.pool, 0)
    model.is_right()
    figures(events=sum(model.counts.values()))


if __name__ == '__main__':
    harness.main()
