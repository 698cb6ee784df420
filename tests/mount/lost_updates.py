#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""What hv_kvp_daemon undoes of the guest's changes is counted in .kvpfs/status and
logged: one rewrite, at once, that undoes what was changed here and differs in one more
key at the most. Other changes of others are not.
"""

import os
import shutil

import harness
import pool
from harness import case, equal, read, write
from kvp_host import either, file_of, guest, path

EXTERNAL = 0


def lost_updates(m):
    lines = read(path(m, EXTERNAL, '.kvpfs/status')).decode().splitlines()
    return int(dict(line.split('=', 1) for line in lines)['lost_updates'])


def logged(m):
    with open(m.log) as log:
        return [line for line in log if 'lost update' in line]


def begin(m, host):
    """A pool with two keys of the host, one of which it will change."""
    for key, value in ('k', 'old'), ('h', '1'):
        host.set(EXTERNAL, key, value)
    equal(lost_updates(m), 0)


def has(m, **wanted):
    equal(pool.entries(file_of(m.pool, EXTERNAL)),
          {key.encode(): value.encode() for key, value in wanted.items()})
    for key, value in wanted.items():
        equal(read(path(m, EXTERNAL, key)), value.encode())


def are_lost(m, *keys):
    """These changes, each of them once, however often one looks."""
    for _ in range(3):
        equal(lost_updates(m), len(keys))
        equal(len(logged(m)), len(keys))
    for key in keys:
        equal(sum(f'"{key}"' in line for line in logged(m)), 1)


# Counted

@either
def undone_overwrite_is_counted(m, host):
    with guest(m, host, gated=True) as host:
        begin(m, host)
        host.set(EXTERNAL, 'h', '2',
                 between=lambda: write(path(m, EXTERNAL, 'k'), b'new'))
        has(m, k='old', h='2')
        are_lost(m, 'k')


@either
def undone_creation_is_counted(m, host):
    with guest(m, host, gated=True) as host:
        begin(m, host)
        host.set(EXTERNAL, 'h', '2',
                 between=lambda: write(path(m, EXTERNAL, 'n'), b'new'))
        has(m, k='old', h='2')
        are_lost(m, 'n')


@either
def undone_deletion_is_counted(m, host):
    with guest(m, host, gated=True) as host:
        begin(m, host)
        host.set(EXTERNAL, 'h', '2', between=lambda: os.unlink(path(m, EXTERNAL, 'k')))
        has(m, k='old', h='2')
        are_lost(m, 'k')


@either
def change_undone_when_the_host_adds_or_deletes_a_key_is_counted(m, host):
    with guest(m, host, gated=True) as host:
        begin(m, host)
        host.set(EXTERNAL, 'i', '1',
                 between=lambda: write(path(m, EXTERNAL, 'k'), b'new'))
        has(m, k='old', h='1', i='1')
        are_lost(m, 'k')
        host.delete(EXTERNAL, 'h',
                    between=lambda: write(path(m, EXTERNAL, 'n'), b'new'))
        has(m, k='old', i='1')
        are_lost(m, 'k', 'n')


@either
def each_key_is_counted_once_per_rewrite(m, host):
    def changes():
        for value in b'first', b'second':
            write(path(m, EXTERNAL, 'k'), value)
        write(path(m, EXTERNAL, 'n'), b'new')
    with guest(m, host, gated=True) as host:
        begin(m, host)
        host.set(EXTERNAL, 'h', '2', between=changes)
        has(m, k='old', h='2')
        are_lost(m, 'k', 'n')
        host.set(EXTERNAL, 'h', '3', between=changes)
        has(m, k='old', h='3')
        equal(lost_updates(m), 4)


# Not counted

@either
def change_that_the_host_leaves_alone_is_not_lost(m, host):
    with guest(m, host) as host:
        begin(m, host)
        write(path(m, EXTERNAL, 'k'), b'new')
        write(path(m, EXTERNAL, 'n'), b'new')
        host.set(EXTERNAL, 'h', '2')
        has(m, k='new', n='new', h='2')
        os.unlink(path(m, EXTERNAL, 'n'))
        host.delete(EXTERNAL, 'h')
        has(m, k='new')
        are_lost(m)


@either
def change_that_the_host_replaces_is_not_lost(m, host):
    with guest(m, host) as host:
        begin(m, host)
        write(path(m, EXTERNAL, 'k'), b'guest')
        host.set(EXTERNAL, 'k', 'old1')
        has(m, k='old1', h='1')
        os.unlink(path(m, EXTERNAL, 'k'))
        host.set(EXTERNAL, 'k', 'old')
        has(m, k='old', h='1')
        are_lost(m)


@either
def change_of_the_key_that_the_host_is_changing_is_not_lost(m, host):
    """As if the guest had been first."""
    with guest(m, host, gated=True) as host:
        begin(m, host)
        host.set(EXTERNAL, 'k', 'host',
                 between=lambda: write(path(m, EXTERNAL, 'k'), b'guest'))
        has(m, k='host', h='1')
        are_lost(m)


@either
def several_changes_by_the_host_are_not_taken_for_one(m, host):
    """Seen together they look as one rewrite that undid ours."""
    with guest(m, host) as host:
        begin(m, host)
        write(path(m, EXTERNAL, 'n'), b'new')
        host.delete(EXTERNAL, 'n')
        host.set(EXTERNAL, 'h', '2')
        has(m, k='old', h='2')
        write(path(m, EXTERNAL, 'k'), b'new')
        host.set(EXTERNAL, 'k', 'old')
        host.set(EXTERNAL, 'h', '3')
        has(m, k='old', h='3')
        are_lost(m)


@either
def change_that_survived_a_rewrite_is_not_lost_in_the_next(m, host):
    """Only a program that knew of it can have undone it."""
    with guest(m, host) as host:
        begin(m, host)
        write(path(m, EXTERNAL, 'k'), b'new')
        host.set(EXTERNAL, 'h', '2')
        has(m, k='new', h='2')
        pool.build(file_of(m.pool, EXTERNAL), ('k', 'old'), ('h', '3'))
        has(m, k='old', h='3')
        are_lost(m)


@case(('k', 'old'), ('h', '1'))
def pool_of_which_a_copy_with_its_times_is_put_back_has_lost_nothing(m):
    os.utime(m.pool, (1, 1))
    equal(read(m / 'k'), b'old')
    shutil.copy2(m.pool, m.pool + '.copy')
    write(m / 'k', b'new')
    os.rename(m.pool + '.copy', m.pool)
    equal(read(m / 'k'), b'old')
    status = read(m / '.kvpfs/status')
    assert b'\nlost_updates=0\n' in status, status


# Cannot be told apart

@case(('k', 'old'), ('h', '1'))
def change_that_another_program_reverts_at_once_is_counted(m):
    write(m / 'k', b'new')
    pool.put(m.pool, 'k', 'old')
    equal(read(m / 'k'), b'old')
    write(m / 'n', b'new')
    pool.delete(m.pool, 'n')
    equal(m.names(), [b'k', b'h'])
    status = read(m / '.kvpfs/status')
    assert b'\nlost_updates=2\n' in status, status
    equal(len(logged(m)), 2)


if __name__ == '__main__':
    harness.main()
