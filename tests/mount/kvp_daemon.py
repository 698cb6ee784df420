#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""A mount of all pools beside the real hv_kvp_daemon: what the host sets appears,
what the guest writes is what the host gets, and neither tears what the other does.
Where the daemon is missing, what it does to the files is played without it.
"""

import contextlib
import errno
import os
import random
import subprocess

import harness
import pool
from harness import (Child, case, equal, eventually, figures, numbered, opened, read,
                     refused, rounds, write)
from kvp_host import StandIn, either, file_of, guest, listed, path

EXTERNAL, GUEST, AUTO_EXTERNAL = 0, 1, 3
WRITTEN = 0, 1, 3, 4                    # the host's requests, except for pool 2
BRIEF = 'lock_timeout=0.1'
CLOUD_INIT = 'CLOUD_INIT|1|start|init-network/check-cache|8a3c'


# The host's changes, in the mount

@case(options=None)
def what_the_host_sets_is_a_file_at_once(m):
    pairs = [('HostName', 'HostName', 'server-1'), ('two words', 'two words', ' '),
             (CLOUD_INIT, CLOUD_INIT.replace('/', '%2F'), 'a/b c=d'),
             ('k' * 510, 'k' * 510, 'long key'), ('full', 'full', 'v' * 2047),
             ('%41', '%2541', '%'), ('.', '%2E', ''), ('..', '%2E.', 'dots'),
             ('.kvpfs', '%2Ekvpfs', 'v'), ('a\nb', 'a\nb', '\n'),
             ('gr\u00fc\u00df', 'gr\u00fc\u00df', '\u00e9' * 1000)]
    with guest(m) as host:
        for number in WRITTEN:
            for n, (key, name, value) in enumerate(pairs):
                host.set(number, key, value)
                equal(read(path(m, number, name)), value.encode())
                equal(os.stat(path(m, number, name)).st_size, len(value.encode()))
                equal(len(listed(m, number)), n + 1)
        for number in WRITTEN:
            equal(listed(m, number), [(name.encode(), value.encode())
                                      for _, name, value in pairs])
            equal(host.records(number), [(key.encode(), value.encode())
                                         for key, _, value in pairs])


@case(options=None)
def value_set_anew_is_seen_at_once_also_through_an_open_listing(m):
    with guest(m) as host, contextlib.ExitStack() as stack:
        for value in 'a long value', 'short', '', 'v' * 1000, 'x':
            host.set(AUTO_EXTERNAL, 'k', value)
            equal(read(path(m, AUTO_EXTERNAL, 'k')), value.encode())
            fd = stack.enter_context(opened(path(m, AUTO_EXTERNAL, 'k')))
            host.set(AUTO_EXTERNAL, 'k', 'something else')
            if value:                   # one version per open; the empty one only grew
                equal(os.pread(fd, 4096, 0), value.encode())
            equal(read(path(m, AUTO_EXTERNAL, 'k')), b'something else')


@case(options=None)
def what_the_host_deletes_is_gone_at_once(m):
    with guest(m) as host:
        for n in range(5):
            host.set(EXTERNAL, f'key {n}', 'value' * n)
        for n in 2, 0, 4:
            equal(host.delete(EXTERNAL, f'key {n}'), True)
            refused(errno.ENOENT, os.stat, path(m, EXTERNAL, f'key {n}'))
            equal(host.delete(EXTERNAL, f'key {n}'), False)
        equal(listed(m, EXTERNAL), [(b'key 1', b'value'), (b'key 3', b'value' * 3)])


@case(options=None)
def both_sides_agree_after_each_change_of_either(m):
    """Deletions move records up as strings: noise gathers behind the NULs."""
    chance = random.Random(1)
    kept, done = {}, rounds(150)

    def through_the_mount(key, value):
        if value is None:
            os.unlink(path(m, GUEST, key))
        else:
            write(path(m, GUEST, key), value)
    with guest(m) as host:
        for _ in range(done):
            key = chance.choice('abcdefghij') * chance.choice((1, 7, 40))
            value = chance.choice((None, b'x', b'y' * 400,
                                   b'z' * chance.randrange(1, 900)))
            if chance.random() < 0.3:
                if value is not None or key in kept:
                    through_the_mount(key, value)
            elif value is None:
                equal(host.delete(GUEST, key), key in kept)
            else:
                host.set(GUEST, key, value)
            if value is None:
                kept.pop(key, None)
            else:
                kept[key] = value
            wanted = [(key.encode(), value) for key, value in kept.items()]
            equal(listed(m, GUEST), wanted)
            equal(host.records(GUEST), wanted)
        figures(changes=done)


# The guest's changes, for the host

@case(options=None)
def host_enumerates_what_the_shell_wrote_in_the_order_written(m):
    script = '''echo ready >state; printf %s "a/b c" >"two words"; echo x >a%2Fb
        echo more >>state; mv "two words" moved; echo y >last; rm a%2Fb'''
    with guest(m) as host:
        for number in WRITTEN:
            subprocess.run(['sh', '-ec', script], cwd=path(m, number), check=True)
            equal(host.records(number), [(b'state', b'ready\nmore\n'),
                                         (b'moved', b'a/b c'), (b'last', b'y\n')])


@case(options=None)
def host_gets_the_one_value_that_the_guest_wrote(m):
    """It takes the first of several records; so one must be all that there is."""
    with guest(m) as host:
        pool.build(file_of(m.pool, GUEST), ('k', '1'), ('l', 'v'), ('k', '2'), ('k', '3'))
        equal(read(path(m, GUEST, 'k')), b'3')
        equal(host.get(GUEST, 'k'), b'1')
        write(path(m, GUEST, 'k'), b'new')
        equal(host.get(GUEST, 'k'), b'new')
        equal(host.records(GUEST), [(b'l', b'v'), (b'k', b'new')])
        os.unlink(path(m, GUEST, 'k'))
        equal(host.get(GUEST, 'k'), None)


@case(options=None)
def pool_stays_the_daemons_file(m):
    """It locks the file that it opened at its start: kvpfs must not replace it."""
    with guest(m) as host:
        before = os.stat(file_of(m.pool, GUEST))
        for n in range(20):
            write(path(m, GUEST, f'k{n}'), b'v')
        os.rename(path(m, GUEST, 'k0'), path(m, GUEST, 'k1'))
        write(path(m, GUEST, '.kvpfs/records'), b'k=v\n')
        after = os.stat(file_of(m.pool, GUEST))
        equal((after.st_ino, after.st_mode & 0o7777), (before.st_ino, 0o644))
        equal(host.records(GUEST), [(b'k', b'v')])


# Amid the daemon's rewriting

@either
def pool_that_is_being_rewritten_is_never_shown(m, host):
    """Empty between O_TRUNC and the first write, under the daemon's lock."""
    waiting = []

    def reads():
        for call, name in (read, 'k'), (os.listdir, ''):
            waiting.append(Child(call, path(m, EXTERNAL, name)))
            eventually(waiting[-1].is_blocked)
    with guest(m, host, gated=True) as host:
        host.set(EXTERNAL, 'k', 'old')
        host.set(EXTERNAL, 'k', 'new', emptied=reads)
        equal([child.result() for child in waiting], [b'new', ['k']])


@either
def pool_that_is_being_rewritten_is_busy_after_lock_timeout(m, host):
    def refusals():
        refused(errno.EBUSY, os.open, path(m, EXTERNAL, 'k'), os.O_RDONLY)
        refused(errno.EBUSY, os.stat, path(m, EXTERNAL, 'k'))
        refused(errno.EBUSY, os.listdir, path(m, EXTERNAL))
        refused(errno.EBUSY, write, path(m, EXTERNAL, 'l'), b'v')
    with guest(m, host, BRIEF, gated=True) as host:
        host.set(EXTERNAL, 'k', 'old')
        host.set(EXTERNAL, 'k', 'new', emptied=refusals)
        equal(listed(m, EXTERNAL), [(b'k', b'new')])


@either
def what_the_daemon_undoes_is_undone_in_the_mount_at_once(m, host):
    """It rewrites what it read before the guest's changes, however they lock."""
    def changes():
        write(path(m, EXTERNAL, 'k'), b'guest')
        write(path(m, EXTERNAL, 'new'), b'guest')
        os.unlink(path(m, EXTERNAL, 'gone'))
        equal(listed(m, EXTERNAL), [(b'k', b'guest'), (b'h', b'1'), (b'new', b'guest')])
    with guest(m, host, gated=True) as host:
        for key, value in ('k', 'old'), ('gone', 'v'), ('h', '1'):
            host.set(EXTERNAL, key, value)
        host.set(EXTERNAL, 'h', '2', between=changes)
        equal(read(path(m, EXTERNAL, 'k')), b'old')
        refused(errno.ENOENT, os.stat, path(m, EXTERNAL, 'new'))
        equal(listed(m, EXTERNAL), [(b'k', b'old'), (b'gone', b'v'), (b'h', b'2')])
        equal(pool.records(file_of(m.pool, EXTERNAL)), listed(m, EXTERNAL))
        write(path(m, EXTERNAL, 'k'), b'guest')
        equal(listed(m, EXTERNAL), [(b'k', b'guest'), (b'gone', b'v'), (b'h', b'2')])


@case(options=None)
def stand_in_leaves_the_same_bytes_as_the_daemon(m):
    changes = [('set', 'a', 'long value'), ('set', 'bbbb', 'v' * 600), ('set', 'c', ''),
               ('set', 'a', 'short'), ('delete', 'bbbb'), ('set', 'c', 'x' * 50),
               ('delete', 'missing'), ('delete', 'a'), ('set', 'c', 'y')]
    with guest(m) as host, StandIn(m.pool, None) as stand_in:
        for name, *arguments in changes:
            for number, player in (EXTERNAL, host), (GUEST, stand_in):
                getattr(player, name)(number, *arguments)
            equal(pool.raw(file_of(m.pool, GUEST)), pool.raw(file_of(m.pool, EXTERNAL)))


# Both as fast as they can

def hot_value(n):
    """Tells when it is not whole; its length changes with each."""
    return (b'%d,' % n) * (1 + n * 37 % 150)


def number_in(value):
    n = int(value.partition(b',')[0])
    equal(value, hot_value(n))
    return n


@case(options=None)
def readers_amid_the_hosts_changes_get_whole_values(m):
    fixed = [(key.encode(), value.encode()) for key, value in numbered(60)]
    count = rounds(250)

    def reader(number):
        last = done = 0
        while done < count or last == 0:
            done += 1
            n = number_in(read(path(m, number, 'hot')))
            assert n >= last, f'{n} after {last}'
            last = n
            key, value = fixed[n % len(fixed)]
            equal(read(path(m, number, key.decode())), value)
            equal(len(os.listdir(path(m, number))), len(fixed) + 1)
        return done
    with guest(m) as host:
        for number in EXTERNAL, AUTO_EXTERNAL:
            pool.append(file_of(m.pool, number), *fixed)
            host.set(number, 'hot', hot_value(0))
        readers = [Child(reader, number) for number in (EXTERNAL, AUTO_EXTERNAL) * 2]
        n = 0
        while not all(child.is_done() for child in readers):
            n += 1
            for number in EXTERNAL, AUTO_EXTERNAL:
                host.set(number, 'hot', hot_value(n))
                equal(host.get(number, 'hot'), hot_value(n))
        figures(changes_by_the_host=2 * n,
                readings=3 * sum(child.result() for child in readers))


@case(options=None)
def no_record_of_the_host_is_lost_or_torn_amid_the_guests_writes(m):
    """The guest's may be lost, as the daemon rewrites what it read before."""
    count, keys, living = rounds(120), 20, 5

    def value_of(name):
        try:
            return read(path(m, EXTERNAL, name))
        except FileNotFoundError:
            return None

    def writer(name):
        """Writes its keys over and over, deletes some; says how many got lost."""
        lost, left = 0, {}
        for n in range(count):
            key = f'{name}-{n % keys}'
            lost += value_of(key) != left.get(key)
            write(path(m, EXTERNAL, key), hot_value(n))
            left[key] = hot_value(n)
            if n % 7 == 0:
                with contextlib.suppress(FileNotFoundError):    # its making was undone
                    os.unlink(path(m, EXTERNAL, key))
                left[key] = None
        return lost
    with guest(m) as host:
        writers = [Child(writer, name) for name in 'ab']
        n = 0
        while not all(child.is_done() for child in writers):
            host.set(EXTERNAL, f'host-{n}', hot_value(n))
            if n >= living:             # so that records move all the time
                equal(host.get(EXTERNAL, f'host-{n - living}'), hot_value(n - living))
                equal(host.delete(EXTERNAL, f'host-{n - living}'), True)
            n += 1
        lost = sum(child.result() for child in writers)
        file = file_of(m.pool, EXTERNAL)
        found = pool.entries(file)
        equal(os.path.getsize(file), len(found) * pool.RECORD_SIZE)
        equal({key: value for key, value in found.items() if key.startswith(b'host-')},
              {b'host-%d' % k: hot_value(k) for k in range(max(0, n - living), n)})
        for key, value in found.items():
            assert key.rpartition(b'-')[0] in (b'host', b'a', b'b'), key
            number_in(value)
        equal(dict(listed(m, EXTERNAL)), found)
        equal(host.records(EXTERNAL), pool.records(file))
        figures(changes_by_the_host=2 * n, by_the_guest=2 * count, of_those_lost=lost)


if __name__ == '__main__':
    harness.main()
