#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""What kvp(1) does when the system says no, or kills it, at each step of a change: it
says why, no other key is touched, and the pool goes on being one.
"""

import errno
import os
import signal
import subprocess

from kvp import (DONE, FAILED, NO, Result, case, done, equal, harness, kvp, main, pool,
                 read, says, traced)
from harness import Skip, figures

# Repeats, a record without a key, bytes that are no text, noise, a full-width record.
RECORDS = (('first', '1' * 2000), ('rep', 'a' * 900), ('', 'no entry'),
           ('k', 'old' * 200), (b'\xff', b'\xfe'), ('rep', 'b' * 1500),
           ('noise', 'v\0stale'), ('l', 'w' * 700),
           ('w' * 512, 'v' * 2048), ('rep', 'c' * 100), ('last', 'z' * 1000))
CHANGES = (('set', 'k', 'n' * 1000), ('set', 'rep', 'n' * 1000),
           ('set', 'new', 'n' * 1000),
           ('add', 'k', 'n' * 1000), ('rm', 'first', 'rep', 'l'), ('rm', 'last'),
           ('clear',), ('load',), ('append',), ('restore', '-'))
LINES = b'x=1\nfirst=2\n' + b'y=' + b'3' * 1000 + b'\n'
STEPS = 'pwrite64', 'ftruncate'
ERRORS = 'EIO', 'ENOSPC'


def stdin_of(command):
    if command[0] == 'restore':
        return pool.encode('x', '1') + pool.encode('k', 'restored')
    return LINES if command[0] in ('load', 'append') else b''


def concerned(command):
    """The keys that the command may change; None: all."""
    if command[0] in ('clear', 'load', 'restore'):
        return None
    if command[0] == 'append':
        return {b'x', b'first', b'y'}
    if command[0] == 'rm':
        return {key.encode() for key in command[1:]}
    return {command[1].encode()}


def mixtures(old, new):
    """What a write that was cut between pages may leave of a value."""
    old, new = ((value or b'').ljust(pool.VALUE_SIZE, b'\0') for value in (old, new))
    return {(new[:cut] + old[cut:]).partition(b'\0')[0]
            for cut in range(512, pool.VALUE_SIZE, 512)}


def assert_fair(m, command, before, after, mixed=False):
    """Each key has its old or its new value; those not concerned have theirs."""
    now = m.entries()
    keys = concerned(command)
    for key in {*before, *after, *now}:
        allowed = {before.get(key)}
        if keys is None or key in keys:
            allowed |= {after.get(key)}
            if mixed:
                allowed |= mixtures(before.get(key), after.get(key))
        assert now.get(key) in allowed, (command, key, now.get(key))


def is_hit(trace):
    return 'INJECTED' in trace or 'SIGKILL' in trace


def each_injection(m, action):
    """Runs each command with ACTION at each of its steps; yields how each ended."""
    for command in CHANGES:
        pool.build(m.pool, *RECORDS)
        before = m.entries()
        done(m, '-o', 'mode=full', *command, stdin=stdin_of(command))
        after = m.entries()
        for step in STEPS:
            for nth in range(1, 20):
                pool.build(m.pool, *RECORDS)
                found, trace = traced(m, '-o', 'mode=full', *command,
                                      stdin=stdin_of(command),
                                      inject=f'{step}:{action}:when={nth}')
                if not is_hit(trace):
                    break
                yield command, before, after, found


@case()
def failing_step_is_told_and_no_other_key_is_touched(m):
    failed = 0
    for error in ERRORS:
        number = getattr(errno, error)
        for command, before, after, found in each_injection(m, f'error={error}'):
            assert_fair(m, command, before, after)
            if found.status == DONE:    # it was only the tail that stayed
                equal(m.entries(), after)
                continue
            equal((found.status, found.out), (FAILED, b''))
            assert found.err.endswith(f': {os.strerror(number)}\n'), found.err
            equal(os.path.getsize(m.pool) % pool.RECORD_SIZE, 0)
            failed += 1
    figures(failed=failed)


@case()
def kill_at_each_step_leaves_a_pool(m):
    killed = 0
    for command, before, after, found in each_injection(m, 'signal=KILL'):
        equal(found.status in (-signal.SIGKILL, 128 + signal.SIGKILL), True)
        assert_fair(m, command, before, after, mixed=True)
        done(m, 'set', 'afterwards', 'v')
        equal(kvp(m, 'get', 'afterwards').out, b'v\n')
        killed += 1
    figures(killed=killed)


@case()
def reading_that_fails_prints_nothing(m):
    pool.build(m.pool, *RECORDS)
    commands = (('get', 'k'), ('get', '-a', 'rep'), ('ls',), ('entries',), ('records',),
                ('records', '--json'), ('dump', '-'), ('status',), ('wait', 'k'))
    failed = set()
    for command in commands:
        for nth in range(1, 10):
            found, trace = traced(m, *command, inject=f'pread64:error=EIO:when={nth}')
            if not is_hit(trace):
                break
            if found.status not in (DONE, 127):     # not the loader's own
                equal((found.status, found.out), (FAILED, b''))
                equal(found.err.endswith(': Input/output error\n'), True)
                failed.add(command)
    equal(len(failed), len(commands))
    path = os.path.join(m.top, 'dump')
    with open(path, 'wb') as file:
        file.write(b'precious')
    found, _ = traced(m, 'dump', path, inject='pread64:error=EIO:when=1+')
    assert found.status != DONE
    equal(read(path), b'precious')


@case(('k', 'v'), root=True)
def full_disk_refuses_and_changes_nothing(m):
    def run():
        m.pool = os.path.join(m.top, 'disk/pool')
        pool.build(m.pool, *RECORDS)
        before = read(m.pool)
        small = os.path.join(m.top, 'disk/small')
        with open(small, 'wb') as file:
            file.write(b'precious')
        with open(os.path.join(m.top, 'disk/filler'), 'wb', 0) as filler:
            try:
                while True:
                    filler.write(b'x' * 4096)
            except OSError:
                pass
        for command in ('append',), ('load',):
            lines = b''.join(b'k%d=%s\n' % (n, b'v' * 1000) for n in range(20))
            equal(kvp(m, *command, stdin=lines),
                  Result(FAILED, b'',
                         f'kvp: pool: {command[0]}: No space left on device\n'))
            equal(read(m.pool), before)
        backup = os.path.join(m.top, 'disk/backup')
        says(m, FAILED, f'cannot write "{backup}": No space left on device',
             'dump', backup)
        equal(os.path.exists(backup), False)
        says(m, FAILED, f'cannot write "{small}": No space left on device',
             'dump', small)
        equal(read(small), b'precious')
        done(m, 'set', 'k', 'in place')
        done(m, 'rm', 'first')
        equal(m.value('k'), b'in place')
    os.mkdir(os.path.join(m.top, 'disk'))
    harness.with_mounts(run, ['mount', '-t', 'tmpfs', '-o', 'size=64k', 'none',
                              os.path.join(m.top, 'disk')])


@case(('k', 'v'))
def limit_of_the_file_size_is_an_error_and_no_death(m):
    before = read(m.pool)
    found = kvp(m, 'append', stdin=b'x=%s\n' % (b'v' * 1000) * 5,
                before=['prlimit', '--fsize=4096'])
    equal(found, Result(FAILED, b'', 'kvp: pool: append: File too large\n'))
    equal(read(m.pool), before)


@case(*RECORDS)
def torn_tail_is_kept_by_reading_and_overwritten_by_a_change(m):
    with open(m.pool, 'ab') as file:
        file.write(b't' * 1000)
    before = read(m.pool)
    done(m, 'dump', '-', out=before[:-1000])    # so that it can be restored
    equal(kvp(m, 'get', 'last').out, b'z' * 1000 + b'\n')
    equal(b'torn_bytes=1000\n' in kvp(m, 'status').out, True)
    equal(kvp(m, 'rm', 'none').status, NO)
    equal(read(m.pool), before)
    done(m, 'set', 'new', 'v')
    equal(m.records()[-1], (b'new', b'v'))
    equal(os.path.getsize(m.pool) % pool.RECORD_SIZE, 0)


@case()
def pool_of_more_than_a_gibibyte_is_refused(m):
    with open(m.pool, 'wb') as file:
        file.truncate((1 << 30) + 1)
    for command in ('get', 'k'), ('set', 'k', 'v'), ('dump', '-'):
        found = kvp(m, *command)
        equal((found.status, found.out), (FAILED, b''))
        assert 'larger than 1 GiB' in found.err, found.err


@case(('k', 'v'))
def little_memory_is_an_error(m):
    """Not every machine's loader leaves the same room: it must only not be a crash."""
    if harness.is_sanitized():
        raise Skip('a sanitizer needs more')
    pool.build(m.pool, *((f'k{n}', 'v' * 1000) for n in range(20000)))
    for limit in range(20, 90, 10):
        command = ['prlimit', f'--as={limit << 20}']
        if subprocess.run([*command, 'true'], check=False).returncode:
            raise Skip('prlimit does not work here')
        found = kvp(m, 'records', '--json', before=command)
        if found.status not in (DONE, 127):
            equal((found.status, found.out), (FAILED, b''))
            assert 'Cannot allocate memory' in found.err, found.err


if __name__ == '__main__':
    main()
