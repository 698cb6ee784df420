#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Other users of the pool at full speed: what the mount shows is never older than
the last change that is complete, and never a pool in the middle of a change. The
same holds where inotify is not to be had.

The other users are `rival`, which also asks the mount; see rival.c.
"""

import contextlib
import ctypes
import os
import subprocess

import harness
import pool
from harness import Child, Skip, case, equal, figures, numbered, read, rounds, write

RIVAL = os.path.join(harness.BUILD, 'tests', 'mount', 'rival')
MANNERS = 'overwrite', 'append', 'delete', 'truncate', 'recreate', 'daemon'
LONG = 'lock_timeout=40'
CLONE_NEWUSER = 0x10000000


def rival(m, manner, count, *slot):
    """Starts it; its output is what rival_result makes of it."""
    return subprocess.Popen(
        [RIVAL, manner, str(count), m.pool, m.dir, *slot], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def rival_result(process, manner):
    done, complaints = process.communicate()
    equal((manner, process.returncode, complaints), (manner, 0, ''))
    figures(manner=manner, **dict(pair.split('=') for pair in done.split()))


def set_limit(name, value):
    with open(f'/proc/sys/user/max_inotify_{name}', 'w') as file:
        file.write(f'{value}\n')


def enter_user_namespace():
    """Where limits can be set, and mounts be made, that concern nobody else. The mounts
    of others can no more be left there."""
    uid, gid = os.getuid(), os.getgid()
    if uid == 0 and harness.enter_mount_namespace():
        return 'no mount namespaces here'
    if ctypes.CDLL(None).unshare(CLONE_NEWUSER | harness.CLONE_NEWNS) != 0:
        return 'no user namespaces here'
    try:
        for name, text in (('setgroups', 'deny'), ('uid_map', f'0 {uid} 1'),
                           ('gid_map', f'0 {gid} 1')):
            with open(f'/proc/self/{name}', 'w') as file:
                file.write(text)
        set_limit('watches', 9)
    except OSError as error:
        return f'no limits of inotify can be set here: {error}'
    return None


def move_to_coarse_times(m):
    """Recent kernels give a file another time with each change that somebody might
    notice, but not on ramfs: there times alone do not tell of every change."""
    directory = os.path.join(m.top, 'ramfs')
    os.mkdir(directory)
    if subprocess.run(['mount', '-t', 'ramfs', 'ramfs', directory]).returncode:
        return 'cannot mount ramfs here'
    m.pool = os.path.join(directory, 'pool')
    pool.build(m.pool)
    return None


def in_user_namespace(m, function):
    def run():
        return enter_user_namespace() or move_to_coarse_times(m) or function()
    reason = Child(run).result()
    if reason:
        raise Skip(reason)


def watches(m):
    """How many the program has; None: not even an instance of inotify. Files that
    it opens for a moment may be gone when they are looked at."""
    pid = m.program.pid                 # of timeout(1)
    with open(f'/proc/{pid}/task/{pid}/children') as children:
        pid = children.read().split()[0]
    for fd in os.listdir(f'/proc/{pid}/fd'):
        with contextlib.suppress(FileNotFoundError):
            if 'inotify' not in os.readlink(f'/proc/{pid}/fd/{fd}'):
                continue
            with open(f'/proc/{pid}/fdinfo/{fd}') as info:
                return info.read().count('inotify ')
    return None


def sees_all(m, count):
    for manner in MANNERS:
        rival_result(rival(m, manner, rounds(count)), manner)


def sees_those_of_several(m, count):
    """Two who overwrite a value each, and one who writes through the mount."""
    pool.build(m.pool, *numbered(8))
    rivals = [rival(m, 'share', rounds(count), slot) for slot in ('1', '2')]
    n = 0
    while any(process.poll() is None for process in rivals):
        n += 1
        value = b'%020d' % n
        write(m / 'key-0000', value)
        equal(m.value('key-0000'), value)
        equal(read(m / 'key-0000'), value)
    for process in rivals:
        rival_result(process, 'share')
    equal(m.names(), [key.encode() for key, _ in numbered(8)])


def sees_whole_pools(m):
    for manner, count in ('torn-daemon', 100), ('torn-flock', 300):
        rival_result(rival(m, manner, rounds(count)), manner)


def limited(m, limits, wanted, function, *arguments):
    """With these limits, which leave the program with the WANTED watches."""
    def run():
        for name, value in limits.items():
            set_limit(name, value)
        with m.mounted(LONG):
            equal(watches(m), wanted)
            function(m, *arguments)
    in_user_namespace(m, run)


# Each change is seen

@case()
def each_change_is_seen_at_once(m):
    sees_all(m, 200)


@case(options=None)
def each_change_is_seen_at_once_within_a_tick_of_the_clock(m):
    limited(m, {}, 2, sees_all, 500)


@case(options=None)
def each_change_is_seen_at_once_without_inotify(m):
    limited(m, {'instances': 0}, None, sees_all, 500)


@case(options=None)
def each_change_is_seen_at_once_without_watches(m):
    limited(m, {'watches': 0}, 0, sees_all, 200)


@case(options=None)
def each_change_is_seen_at_once_when_only_the_directory_is_watched(m):
    limited(m, {'watches': 1}, 1, sees_all, 200)


@case(options=None)
def each_change_is_seen_at_once_when_the_watches_are_used_up_later(m):
    def run():
        with m.mounted():
            equal(watches(m), 2)
            set_limit('watches', 0)
            sees_all(m, 200)
            equal(watches(m), 1)        # the pool was made again
    in_user_namespace(m, run)


@case()
def changes_of_several_at_once_are_all_seen(m):
    sees_those_of_several(m, 500)


@case(options=None)
def changes_of_several_at_once_are_all_seen_without_inotify(m):
    limited(m, {'instances': 0}, None, sees_those_of_several, 200)


# Each answer is a pool as it was between two locks

@case(options=LONG)
def pool_that_is_rewritten_all_the_time_is_never_seen_torn(m):
    sees_whole_pools(m)


@case(options=None)
def pool_that_is_rewritten_all_the_time_is_never_seen_torn_without_inotify(m):
    limited(m, {'instances': 0}, None, sees_whole_pools)


if __name__ == '__main__':
    harness.main()
