#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""kvp(1) and others on one pool: locks of each kind, signals that come meanwhile, and
writers that get in each other's way.
"""

import os
import random
import re
import signal

from kvp import (DONE, FAILED, NO, Result, Started, case, done, equal, kvp, main, pool,
                 traced)
from harness import Child, figures, rounds

BRIEF = '-o', 'lock_timeout=0.05'
# What changes the pool, what it leaves, and the bytes of its standard input.
CHANGES = ((('set', 'k', 'new'), b''), (('add', 'k', 'new'), b''),
           (('rm', 'k', 'l'), b''),
           (('load',), b'x=1\n'), (('append',), b'x=1\n'), (('clear',), b''),
           (('restore', '-'), pool.encode('x', '1')))
READINGS = (('get', 'k'), ('get', '-a', 'k'), ('ls',), ('ls', '-l'), ('entries',),
            ('records',), ('dump', '-'), ('status',))


@case(('k', 'v'), ('l', 'w'))
def lock_that_is_not_to_be_had_is_told_and_nothing_is_changed(m):
    before = pool.raw(m.pool)
    for kind in pool.LOCKS:
        lock = pool.try_lock(m.pool, kind)
        for command, stdin in CHANGES:
            found = kvp(m, *BRIEF, *command, stdin=stdin)
            equal((found.status, found.out), (FAILED, b''))
            assert re.fullmatch(rf'kvp: pool: {command[0]}( "k")?: pool is locked .*\n',
                                found.err), found.err
        for command in READINGS:
            found = kvp(m, *BRIEF, *command)
            equal(found.status == FAILED, kind.endswith('-ex'))
        equal(kvp(m, *BRIEF, 'is-stale').status, NO)    # it looks at the time only
        os.close(lock)
        equal(pool.raw(m.pool), before)


@case(('k', 'v'))
def holder_is_named(m):
    lock = pool.try_lock(m.pool, 'flock-ex')
    found = kvp(m, *BRIEF, 'get', 'k')
    assert f'(pid {os.getpid()} "' in found.err, found.err
    os.close(lock)


@case(('k', 'v'), ('l', 'w'))
def lock_that_is_given_back_is_taken(m):
    for command, stdin in CHANGES:
        lock = pool.try_lock(m.pool, 'ofd-ex')
        reader, writer = os.pipe()
        os.write(writer, stdin)
        os.close(writer)
        with Started(m, '-o', 'lock_timeout=60', *command, stdin=reader) as started:
            started.is_waiting()
            os.close(reader)
            equal(started.process.poll(), None)
            os.close(lock)
            started.ends(DONE)
        pool.build(m.pool, ('k', 'v'), ('l', 'w'))


@case(('k', 'v'))
def time_to_wait_may_be_nothing(m):
    lock = pool.try_lock(m.pool, 'ofd-ex')
    equal(kvp(m, '-o', 'lock_timeout=0', 'set', 'k', 'w').status, FAILED)
    os.close(lock)
    done(m, '-o', 'lock_timeout=0', 'set', 'k', 'w')


@case(('k', 'v'))
def status_counts_the_waiting(m):
    equal(b'lock_waits=0\n' in kvp(m, 'status').out, True)
    lock = pool.try_lock(m.pool, 'flock-ex')
    with Started(m, '-o', 'lock_timeout=60', 'status') as status:
        status.is_waiting()
        os.close(lock)
        out = status.process.communicate(timeout=60)[0]
    assert b'records=1\n' in out and b'lock_waits=1\n' in out, out


@case(('k', 'v'))
def signal_ends_the_wait_for_a_lock_at_once(m):
    lock = pool.try_lock(m.pool, 'flock-ex')
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        for command in ('set', 'k', 'w'), ('get', 'k'), ('rm', 'k'), ('clear',):
            with Started(m, '-o', 'lock_timeout=600', *command) as started:
                started.is_waiting()
                started.process.send_signal(number)
                started.ends(-number)
    os.close(lock)
    equal(m.records(), [(b'k', b'v')])


@case(*((f'k{n}', 'v' * 900) for n in range(300)))
def signal_that_comes_amid_a_change_waits_for_its_end(m):
    """The whole change is made, or nothing of it."""
    before = m.records()
    for n in range(rounds(40)):
        pool.build(m.pool, *before)
        with Started(m, 'rm', 'k0', 'k150') as started:
            for _ in range(n * 50):     # at another moment each time
                pass
            started.process.send_signal(signal.SIGINT)
            started.process.wait(timeout=60)
        after = m.records()
        equal(after in (before, [pair for pair in before
                                 if pair[0] not in (b'k0', b'k150')]), True)
        equal(list(pool.flaws(m.pool)), [])


@case()
def each_change_is_one_locked_step(m):
    """A lock to write is taken once, whatever the command changes; and no inotify
    is made, the end of which takes longer than all the rest."""
    for command, stdin in CHANGES:
        pool.build(m.pool, ('k', 'v'), ('other', 'x'), ('k', 'v'), ('l', 'w'))
        found, trace = traced(m, *command, stdin=stdin)
        equal(found.status, DONE)
        equal((trace.count('LOCK_EX'), 'inotify' in trace), (1, False))


# Rivals

def own_keys(m, name, count):
    """Sets, adds and removes its own keys, by kvp; returns what must be there."""
    chance = random.Random(name)
    kept = {}
    for n in range(count):
        key = f'{name}-{chance.randrange(5)}'
        if chance.random() < 0.3:
            found = kvp(m, '-o', 'lock_timeout=60', 'rm', key)
            equal(found.status, 0 if key in kept else 1)
            kept.pop(key, None)
        else:
            equal(kvp(m, '-o', 'lock_timeout=60', 'set', key, f'{n}'),
                  Result(DONE, b'', ''))
            kept[key] = f'{n}'
        if key in kept:
            equal(kvp(m, '-o', 'lock_timeout=60', 'get', key).out,
                  f'{kept[key]}\n'.encode())
    return kept


def outsider(m, name, count):
    """The same under the locks, by other code."""
    for n in range(count):
        pool.put(m.pool, f'{name}-{n % 4}', f'{n}')
        if n % 5 == 4:
            pool.delete(m.pool, f'{name}-{n % 4}')
    return {key.decode(): value.decode() for key, value in pool.entries(m.pool).items()
            if key.decode().startswith(f'{name}-')}


@case()
def rivals_lose_nothing_of_each_other(m):
    count = rounds(40)
    rivals = [Child(own_keys, m, f'kvp{n}', count) for n in range(4)]
    rivals.append(Child(outsider, m, 'outsider', 5 * count))
    wanted = {}
    for rival in rivals:
        wanted.update(rival.result())
    equal(m.entries(), {key.encode(): value.encode() for key, value in wanted.items()})
    equal(list(pool.flaws(m.pool)), [])
    figures(rivals=len(rivals), commands=4 * count, left=len(wanted))


@case(('k', 'v'))
def batches_are_seen_whole(m):
    """Who reads sees all lines of a load, or none."""
    def writer(rounds_left):
        for n in range(rounds_left):
            lines = b''.join(b'k%d=%d\n' % (k, n) for k in range(40))
            equal(kvp(m, '-o', 'lock_timeout=60', 'load', stdin=lines).status, DONE)
        return True
    done(m, 'load', stdin=b''.join(b'k%d=x\n' % k for k in range(40)))
    child = Child(writer, rounds(30))
    looks = 0
    while not child.is_done():
        values = {line.partition(b'=')[2] for line in
                  kvp(m, '-o', 'lock_timeout=60', 'records').out.splitlines()}
        equal(len(values), 1)
        looks += 1
    equal(child.result(), True)
    figures(looks=looks)


@case(*((f'k{n}', 'v') for n in range(1020)))
def cap_holds_for_all_together(m):
    """Eight at once want a key each; four find room."""
    started = [Started(m, '-o', 'lock_timeout=60', 'set', f'new{n}', 'v')
               for n in range(8)]
    statuses = []
    for one in started:
        one.process.communicate(timeout=60)
        statuses.append(one.process.returncode)
    equal(sorted(statuses), [0] * 4 + [3] * 4)
    equal(len(m.entries()), 1024)


if __name__ == '__main__':
    main()
