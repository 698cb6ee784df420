#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""kvpfs never waits for itself: whatever leads the pool's path into the mount, the
call gets ELOOP at once, others are served, and SIGTERM ends the program.
"""

import contextlib
import errno
import os
import signal
import subprocess

import harness
import pool
from harness import (Child, case, eventually, equal, opened, read, refused, umount,
                     with_mounts, write)

REASON = 'leads into this mount itself'


def refuses_to_mount(m, pool_argument, directory, *names):
    """With one line that names what is in the way of what."""
    usual = m.pool, m.dir
    m.pool, m.dir = pool_argument, directory
    with contextlib.suppress(FileNotFoundError):
        os.unlink(m.log)
    try:
        m.mount()
    except AssertionError:
        equal(m.program.wait(), 1)
        m.program = None
    else:
        raise AssertionError(f'mounted {pool_argument} at {directory}')
    with open(m.log) as log:
        lines = log.readlines()
    equal(len(lines), 1)
    for name in names:
        assert f'"{name}"' in lines[0], lines[0]
    m.pool, m.dir = usual


def refuses_itself(m):
    """Each kind of call; and nothing hangs."""
    for _ in range(2):
        refused(errno.ELOOP, os.listdir, m.dir)
        refused(errno.ELOOP, os.stat, m / 'k')
        refused(errno.ELOOP, os.open, m / 'k', os.O_RDONLY)
        refused(errno.ELOOP, os.open, m / 'k', os.O_WRONLY | os.O_TRUNC)
        refused(errno.ELOOP, os.open, m / 'new', os.O_WRONLY | os.O_CREAT)
        refused(errno.ELOOP, os.unlink, m / 'k')
        refused(errno.ELOOP, read, m / '.kvpfs/records')
    with open(m.log) as log:
        assert REASON in log.read()


def serves(m, value=b'v'):
    equal(read(m / 'k'), value)
    write(m / 'k', value + b'+')
    equal(read(m / 'k'), value + b'+')
    write(m / 'k', value)


def in_directory(m):
    """The pool in a directory of its own."""
    place = os.path.join(m.top, 'place')
    os.mkdir(place)
    os.rename(m.pool, os.path.join(place, 'pool'))
    m.pool = os.path.join(place, 'pool')
    return place


def through_link(m, target):
    """The pool is a symbolic link to TARGET."""
    link = os.path.join(m.top, 'link')
    os.symlink(target, link)
    m.pool = link
    return link


def retarget(link, target):
    os.symlink(target, link + '.new')
    os.rename(link + '.new', link)


def stray(path):
    """Events make kvpfs look again what PATH names."""
    os.chmod(path, 0o600)


# At the start

@case(('k', 'v'), options=None)
def mountpoint_on_the_way_to_the_pool_is_refused(m):
    place = in_directory(m)
    below = os.path.join(place, 'below')
    os.mkdir(below)
    for directory in place, m.top:
        refuses_to_mount(m, m.pool, directory, m.pool, directory)
    m.dir = below                       # beside the pool is well
    with m.mounted():
        serves(m)


@case(('k', 'v'), options=None)
def mountpoint_that_hides_the_target_of_a_link_is_refused(m):
    real = m.pool
    hidden = os.path.join(m.dir, 'pool')
    os.rename(real, hidden)
    link = through_link(m, hidden)
    refuses_to_mount(m, link, m.dir, link, m.dir)
    chain = os.path.join(m.top, 'chain')
    os.symlink('link', chain)
    refuses_to_mount(m, chain, m.dir, chain, m.dir)
    os.unlink(hidden)                   # a pool that is yet to be made
    refuses_to_mount(m, link, m.dir, link, m.dir)
    retarget(link, '../' + os.path.basename(m.top) + '/mount/../real')
    refuses_to_mount(m, link, m.dir, link, m.dir)


@case(options=None)
def mountpoint_that_hides_a_directory_of_pools_is_refused(m):
    for directory in m.dir, m.top:
        file = os.path.join(m.dir, '.kvp_pool_0')
        refuses_to_mount(m, m.dir, directory, file, directory)
    link = os.path.join(m.top, 'link')
    os.symlink(m.dir, link)
    refuses_to_mount(m, link, m.dir, m.dir)
    refuses_to_mount(m, m.dir, link, m.dir)


# Later

@case(('k', 'v'), options=None)
def link_that_comes_to_lead_into_the_mount_is_refused(m):
    real = m.pool
    link = through_link(m, real)
    with m.mounted():
        serves(m)
        for target in (m / 'k', m / 'new', m.dir, m / '.kvpfs/pool', m / 'no/such',
                       f'{m.top}/./mount/../mount/k', 'mount/k', f'{m.top}/mount/'):
            retarget(link, target)
            refuses_itself(m)
            retarget(link, real)
            serves(m)
        retarget(link, m / 'k')


@case(('k', 'v'), options=None)
def directory_replaced_by_a_link_into_the_mount_is_refused(m):
    place = in_directory(m)
    with m.mounted():
        serves(m)
        for target in m.dir, m / '.kvpfs', 'mount':
            os.rename(place, place + '.old')
            os.symlink(target, place)
            refuses_itself(m)
            os.unlink(place)
            os.rename(place + '.old', place)
            serves(m)
        os.rename(place, place + '.old')
        os.symlink(m.dir, place)


@case(('k', 'v'), options=None)
def link_by_way_of_proc_into_the_mount_is_refused(m):
    real = m.pool
    link = through_link(m, real)
    with m.mounted():
        with opened(m / 'k') as fd, opened(m.dir) as directory:
            own = f'/proc/{os.getpid()}/fd'
            for target in f'{own}/{fd}', f'{own}/{directory}/k', f'{own}/{directory}':
                retarget(link, target)
                refuses_itself(m)
                retarget(link, real)
                serves(m)
        child = Child(lambda: (os.chdir(m.dir), signal.pause()))
        eventually(lambda: os.readlink(f'/proc/{child.pid}/cwd') == m.dir)
        retarget(link, f'/proc/{child.pid}/cwd/k')
        refuses_itself(m)
        child.kill()
        retarget(link, real)
        serves(m)


@case(('k', 'v'), options=None, root=True)
def mount_bound_over_the_pool_is_refused_once_it_is_noticed(m):
    def run():
        place = in_directory(m)
        with m.mounted(), opened(m.pool) as fd:
            serves(m)
            subprocess.check_call(['mount', '--bind', m / 'k', m.pool])
            stray(f'/proc/self/fd/{fd}')
            refuses_itself(m)
            umount(m.pool)
            serves(m)
            # what is mounted over the directory is not seen from inside of it
            subprocess.check_call(['mount', '--bind', m.dir, place])
            stray(f'/proc/self/fd/{fd}')
            serves(m)
            umount(place)
    with_mounts(run)


@case(('k', 'v'), options=None, root=True)
def mount_bound_over_the_directory_is_refused_without_inotify(m):
    def run():
        place = in_directory(m)
        with m.mounted(runner=harness.strace(m, 'inotify_init1:error=EMFILE')):
            serves(m)
            subprocess.check_call(['mount', '--bind', m.dir, place])
            refuses_itself(m)
            umount(place)
            serves(m)
            subprocess.check_call(['mount', '--bind', m / 'k', m.pool])
            refuses_itself(m)
            umount(m.pool)
            serves(m)
    with_mounts(run)


@case(('k', 'v'), options=None, root=True)
def pool_moved_below_the_mount_is_refused_by_that_path(m):
    place = os.path.join(m.top, 'place')
    os.mkdir(place)

    def run():
        original = m.pool
        write(os.path.join(place, 'pool'), read(original))
        link = through_link(m, os.path.join(place, 'pool'))
        with m.mounted():
            serves(m)
            subprocess.check_call(['mount', '--move', place, m / '.kvpfs'])
            retarget(link, m / '.kvpfs/pool')
            refuses_itself(m)
            # the kernel unmounts what is mounted on a name that is refused
            retarget(link, original)
            serves(m)
    with_mounts(run, ['mount', '-t', 'tmpfs', 'none', place])


@case(('k', 'v'), options=None, root=True)
def pool_whose_directory_is_moved_below_the_mount_is_gone_or_at_hand(m):
    """Never asked for by way of the mount."""
    place = os.path.join(m.top, 'place')
    os.mkdir(place)

    def run(runner, after):
        write(os.path.join(place, 'pool'), pool_bytes)
        m.pool = os.path.join(place, 'pool')
        with m.mounted(runner=runner):
            serves(m)
            subprocess.check_call(['mount', '--move', place, m / '.kvpfs'])
            equal(m.names(), after)
            subprocess.check_call(['umount', '-l', m / '.kvpfs'])
    pool_bytes = read(m.pool)
    for runner, after in ((), [b'k']), (harness.strace(
            m, 'inotify_init1:error=EMFILE'), []):
        with_mounts(lambda runner=runner, after=after: run(runner, after),
                     ['mount', '-t', 'tmpfs', 'none', place])


@case(('k', 'v'), options=None)
def program_ends_by_a_signal_while_the_path_leads_into_the_mount(m):
    place = in_directory(m)
    with m.mounted():
        pending = os.open(m / 'p', os.O_WRONLY | os.O_CREAT)
        os.rename(place, place + '.old')
        os.symlink(m.dir, place)
        refused(errno.ELOOP, os.write, pending, b'x')
        m.unmount()
        refused(errno.ENOTCONN, os.close, pending)
    equal(pool.entries(place + '.old/pool'), {b'k': b'v'})


if __name__ == '__main__':
    harness.main()
