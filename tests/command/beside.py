#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""kvp(1) beside the others that use a pool: a mount of it, the host's daemon, and
programs that empty or replace it.
"""

import contextlib
import os

from kvp import DONE, NO, Started, case, done, equal, harness, kvp, main, pool
from harness import figures, numbered, rounds
from kvp_host import Daemon, StandIn, file_of

GUEST = 1


@case(('k', 'v'))
def mount_shows_changes_at_once_and_kvp_those_of_the_mount(m):
    reason = harness.why_no_mount()
    if reason:
        raise harness.Skip(reason)
    with m.mounted():
        done(m, 'set', 'a/b', 'from kvp')
        equal(harness.read(m / 'a%2Fb'), b'from kvp')
        harness.write(m / 'k', b'from the mount')
        done(m, 'get', 'k', out=b'from the mount\n')
        done(m, 'rm', 'a/b', 'k')
        equal(m.names(), [])
        done(m, 'load', stdin=b'x=1\ny=2\n')
        equal(m.names(), [b'x', b'y'])
        for n in range(rounds(50)):
            done(m, 'set', 'x', f'{n}')
            equal(harness.read(m / 'x'), b'%d' % n)
            harness.write(m / 'y', b'%d' % n)
            equal(kvp(m, 'get', 'y').out, b'%d\n' % n)
        with Started(m, 'wait', 'late') as wait:
            harness.write(m / 'late', b'v')
            wait.ends(DONE, b'v\n')
        for command, name in ('entries', 'entries'), ('records', 'records'):
            equal(kvp(m, command).out, harness.read(m / f'.kvpfs/{name}'))
        done(m, 'dump', '-', out=harness.read(m / '.kvpfs/pool'))


def fields(text):
    return [line.partition(b'=')[0] for line in text.splitlines()]


@case(('old', 'v'))
def key_that_is_being_written_is_not_there_yet(m):
    reason = harness.why_no_mount()
    if reason:
        raise harness.Skip(reason)
    with m.mounted(), harness.opened(m / 'k', os.O_WRONLY | os.O_CREAT) as new, \
            harness.opened(m / 'old', os.O_WRONLY | os.O_TRUNC):
        equal(m.names(), [b'old', b'k'])
        equal(kvp(m, 'get', 'k').status, NO)
        done(m, 'get', 'old', out=b'v\n')
        with Started(m, 'wait', 'k') as wait:
            os.write(new, b'w')
            wait.ends(DONE, b'w\n')


@case(('k', 'v'))
def status_has_the_lines_of_a_mount(m):
    reason = harness.why_no_mount()
    if reason:
        raise harness.Skip(reason)
    with m.mounted():
        equal(fields(kvp(m, 'status').out), fields(harness.read(m / '.kvpfs/status')))


@contextlib.contextmanager
def host(m, kind):
    directory = os.path.join(m.top, 'pools')
    os.mkdir(directory)
    m.pool = file_of(directory, GUEST)
    with kind(directory, m.log) as running:
        yield running


def either(function):
    """Registers a test with the daemon and one with what stands in for it."""
    for kind, name in (Daemon, 'the_daemon'), (StandIn, 'a_stand_in'):
        def run(m, kind=kind):
            function(m, kind)
        run.__name__ = f'{function.__name__}_by_{name}'
        case()(run)


@either
def what_the_host_sets_is_read_and_waited_for(m, kind):
    with host(m, kind) as daemon:
        daemon.set(GUEST, 'HostName', 'server-1')
        equal(kvp(m, 'get', 'HostName').out, b'server-1\n')
        with Started(m, 'wait', '-t', '60', 'late') as wait, Started(m, 'watch') as watch:
            watch.is_waiting()
            daemon.set(GUEST, 'late', 'v')
            wait.ends(DONE, b'v\n')
            equal(watch.line(), b'set late\n')
            daemon.delete(GUEST, 'HostName')
            equal(watch.line(), b'delete HostName\n')
        equal(kvp(m, 'get', 'HostName').status, NO)


@either
def what_kvp_writes_stays_beside_the_hosts_changes(m, kind):
    kept, hosts = {}, rounds(30)
    with host(m, kind) as daemon:
        for n in range(hosts):
            daemon.set(GUEST, f'host-{n % 7}', 'v' * n)
            key = f'guest-{n % 5}'
            if n % 3 == 2 and key in kept:
                done(m, 'rm', key)
                del kept[key]
            else:
                done(m, 'set', key, f'{n}')
                kept[key] = f'{n}'
            if n % 4 == 3:
                daemon.delete(GUEST, f'host-{(n - 2) % 7}')
            found = {key.decode(): value.decode() for key, value in m.entries().items()
                     if key.startswith(b'guest-')}
            equal(found, kept)
            if kind is Daemon:
                equal(daemon.records(GUEST), m.records())
    figures(changes=hosts)


@case(*numbered(20))
def daemon_amid_its_rewriting_is_waited_for(m):
    """It empties the file and writes it anew, under its lock."""
    started = []

    def emptied():
        started.append(Started(m, '-o', 'lock_timeout=60', 'get', 'key-0007'))
        started.append(Started(m, '-o', 'lock_timeout=60', 'set', 'new', 'v'))
        for one in started:
            one.is_waiting()
            equal(one.process.poll(), None)
    pool.daemon_set(m.pool, 'key-0003', 'by the host', emptied=emptied)
    started[0].ends(DONE, b'7\n')
    started[1].ends(DONE)
    equal(len(m.entries()), 21)
    equal(m.value('key-0003'), b'by the host')


@case(('old', 'v'))
def stale_pool_is_emptied_once(m):
    """As by cloud-init at each start: two at a time do not harm each other."""
    os.utime(m.pool, (0, 0))
    started = [Started(m, '-o', 'lock_timeout=60', 'clear', '--if-stale')
               for _ in range(4)]
    for one in started:
        one.ends(DONE)
    equal(m.records(), [])
    done(m, 'set', 'new', 'v')
    done(m, 'clear', '--if-stale')
    equal(m.records(), [(b'new', b'v')])


if __name__ == '__main__':
    main()
