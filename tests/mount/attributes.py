#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Modes, owners and times: those that users give to keys, which live as long as key
and mount do; and the directory's, which change with the names in it.
"""

import errno
import os
import shutil
import stat
import subprocess
import time
from os import O_APPEND, O_CREAT, O_EXCL, O_RDWR, O_TRUNC, O_WRONLY

import harness
import pool
from harness import (NOBODY, Child, Skip, case, equal, eventually, exchange, opened, read,
                     refused, write)

REALTIME_COARSE = 5                     # the clock that file times come from


def settle(m):
    """Until the clock of file times has gone on since names last changed."""
    before = os.stat(m.dir).st_mtime_ns
    eventually(lambda: time.clock_gettime_ns(REALTIME_COARSE) > before)


def times(path):
    st = os.stat(path)
    return st.st_mtime_ns, st.st_ctime_ns


def given(path):
    """What users can give, on one line."""
    st = os.stat(path)
    return stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_mtime_ns


# Modes, owners and times of keys

@case(('k', 'v'), ('l', 'v'), root=True)
def what_is_given_is_shown_and_stays_out_of_the_pool(m):
    os.chmod(m.pool, 0o644)
    before, other = os.stat(m.pool), given(m / 'l')
    os.chmod(m / 'k', 0o4751)
    equal(given(m / 'k')[0], 0o751)             # no set-uid bit and the like
    with opened(m / 'k', O_RDWR) as fd:
        os.fchmod(fd, 0o600)
        os.fchown(fd, 12, 34)
        os.utime(fd, ns=(5, 1234567890123456789))
        equal(given(f'/proc/self/fd/{fd}'), (0o600, 12, 34, 1234567890123456789))
    equal(given(m / 'k'), (0o600, 12, 34, 1234567890123456789))
    equal(os.stat(m / 'k').st_ctime_ns > before.st_ctime_ns, True)
    equal(given(m / 'l'), other)
    after = os.stat(m.pool)
    equal((after.st_mode, after.st_uid, after.st_gid, after.st_mtime_ns),
          (before.st_mode, before.st_uid, before.st_gid, before.st_mtime_ns))
    os.chmod(m.pool, 0o666)
    equal((given(m / 'k')[0], given(m / 'l')[0]), (0o600, 0o666))
    m.unmount()
    with m.mounted():
        equal(given(m / 'k'), given(m / 'l'))


@case(('k', 'v'), options='allow_other', root=True)
def what_is_given_is_obeyed(m):
    os.chmod(m.pool, 0o644)
    os.chmod(m / 'k', 0o600)
    refused(errno.EACCES, Child(read, m / 'k', user=NOBODY).result)
    os.chown(m / 'k', NOBODY, -1)
    equal(Child(read, m / 'k', user=NOBODY).result(), b'v')
    Child(write, m / 'k', b'w', user=NOBODY).result()
    Child(os.chmod, m / 'k', 0o400, user=NOBODY).result()
    refused(errno.EACCES, Child(os.truncate, m / 'k', 0, user=NOBODY).result)


CHANGES = {
    'write': lambda m: write(m / 'k', b'new', O_WRONLY),
    'same value': lambda m: write(m / 'k', b'v', O_WRONLY),
    'overwrite': lambda m: write(m / 'k', b'newer'),
    'truncate': lambda m: os.truncate(m / 'k', 1),
    'empty': lambda m: closed(m / 'k', O_WRONLY | O_TRUNC),
    'outside': lambda m: pool.put(m.pool, 'k', 'outside'),
}
KEEPERS = {
    'read': lambda m: read(m / 'k'),
    'write another': lambda m: write(m / 'l', b'new'),
    'open to write': lambda m: closed(m / 'k', O_WRONLY),
    'chmod': lambda m: os.chmod(m / 'k', 0o640),
    'touch the pool': lambda m: os.utime(m.pool),
    'rewrite the pool': lambda m: pool.daemon_set(m.pool, 'l', 'by the daemon'),
    'remove another': lambda m: os.unlink(m / 'l'),
}


def closed(path, flags):
    """Opened and closed; what a close stores comes a moment later."""
    os.close(os.open(path, flags, 0o600))


@case(('k', 'v'), ('l', 'v'))
def set_time_holds_until_the_value_changes(m):
    os.utime(m / 'k', (1, 1))
    for name, keep in KEEPERS.items():
        keep(m)
        equal((name, os.stat(m / 'k').st_mtime), (name, 1))
    for name, change in CHANGES.items():
        os.utime(m / 'k', (1, 1))
        equal((name, os.stat(m / 'k').st_mtime), (name, 1))
        change(m)
        equal((name, eventually(lambda: os.stat(m / 'k').st_mtime > 1)), (name, True))
    os.utime(m / 'k', (1, 1))
    os.utime(m / 'k')                           # now
    equal(os.stat(m / 'k').st_mtime > 1, True)


@case(('k', 'v'))
def time_set_before_the_close_of_an_empty_file_outlasts_it(m):
    for path, flags in (m / 'new', O_WRONLY | O_CREAT | O_EXCL), (m / 'k',
                                                                 O_WRONLY | O_TRUNC):
        with opened(path, flags) as fd:
            os.utime(fd, (1, 1))
            os.fchmod(fd, 0o640)
        eventually(lambda: m.value(os.path.basename(path)) == b'')
        equal((given(path)[0], os.stat(path).st_mtime), (0o640, 1))
    with opened(m / 'other', O_WRONLY | O_CREAT) as fd:
        os.utime(fd, (1, 1))
        os.write(fd, b'v')
    equal(os.stat(m / 'other').st_mtime > 1, True)
    with opened(m / 'moved', O_WRONLY | O_CREAT) as fd:
        os.utime(fd, (1, 1))
        os.rename(m / 'moved', m / 'to')
    equal(os.stat(m / 'to').st_mtime, 1)


@case(('k', 'v'))
def new_key_has_the_pools_mode_whatever_open_was_given(m):
    for mode in 0o600, 0o644:
        os.chmod(m.pool, mode)
        os.close(os.open(m / f'{mode:o}', O_WRONLY | O_CREAT, 0o777))
        equal(given(m / f'{mode:o}')[0], mode)
        os.mknod(m / f'node{mode:o}', 0o400)
        equal(given(m / f'node{mode:o}')[0], mode)


@case(('k', 'v'), ('l', 'w'), ('m', 'x'))
def what_is_given_follows_the_key_and_ends_with_it(m):
    os.chmod(m.pool, 0o644)
    os.chmod(m / 'k', 0o400)
    os.utime(m / 'k', (1, 1))
    wanted = given(m / 'k')
    os.rename(m / 'k', m / 'new')
    equal((given(m / 'new'), given(m / 'l')[0]), (wanted, 0o644))
    exchange(m / 'new', m / 'l')
    equal((given(m / 'l'), given(m / 'new')[0]), (wanted, 0o644))
    os.rename(m / 'l', m / 'm')
    equal(given(m / 'm'), wanted)
    os.unlink(m / 'm')
    write(m / 'm', b'again')
    equal(given(m / 'm')[0], 0o644)
    os.chmod(m / 'm', 0o600)
    with opened(m / 'm'):                       # so the kernel knows it
        pool.delete(m.pool, 'm')
        refused(errno.ENOENT, os.stat, m / 'm')
        pool.append(m.pool, ('m', 'again'))
        equal(given(m / 'm')[0], 0o644)
    os.chmod(m / 'm', 0o600)
    write(m / '.kvpfs/records', b'm=loaded\n', O_WRONLY | O_TRUNC)
    eventually(lambda: m.value('m') == b'loaded')
    equal(given(m / 'm')[0], 0o600)             # as its name, it has been there all along


@case(('k', 'v'))
def open_file_keeps_what_it_was_given_when_it_is_removed(m):
    os.chmod(m.pool, 0o644)
    with opened(m / 'k', O_RDWR) as fd:
        os.unlink(m / 'k')
        os.fchmod(fd, 0o600)
        os.utime(fd, (1, 1))
        st = os.fstat(fd)
        equal((stat.S_IMODE(st.st_mode), st.st_mtime, st.st_nlink), (0o600, 1, 0))
        write(m / 'k', b'another')
        equal(given(m / 'k')[0], 0o644)


@case(*harness.numbered(1026))
def keys_with_something_given_are_counted(m):
    os.chmod(m.pool, 0o644)
    for n in range(1024):
        os.chmod(m / f'key-{n:04}', 0o600)
    refused(errno.ENOSPC, os.chmod, m / 'key-1024', 0o600)
    os.chmod(m / 'key-1024', 0o644)             # nothing to keep
    os.chmod(m / 'key-0001', 0o640)
    pool.delete(m.pool, 'key-0007')
    os.chmod(m / 'key-1024', 0o600)
    refused(errno.ENOSPC, os.chmod, m / 'key-1025', 0o600)
    equal([given(m / f'key-{n:04}')[0] for n in (0, 1, 1023, 1024, 1025)],
          [0o600, 0o640, 0o600, 0o600, 0o644])


@case(('k', 'v'), root=True)
def directories_and_control_files_keep_mode_and_owner(m):
    owner, group = os.stat(m.pool).st_uid, os.stat(m.pool).st_gid
    for path in m.dir, m / '.kvpfs', m / '.kvpfs/records', m / '.kvpfs/status':
        mode = stat.S_IMODE(os.stat(path).st_mode)
        os.chmod(path, mode)
        os.chown(path, -1, -1)
        os.chown(path, owner, group)
        refused(errno.EPERM, os.chmod, path, mode ^ 0o001)
        refused(errno.EPERM, os.chown, path, owner + 1, -1)
        refused(errno.EPERM, os.chown, path, owner, group + 1)
        os.utime(path, (1, 1))
        equal(stat.S_IMODE(os.stat(path).st_mode), mode)


@case(('k', 'v'))
def time_set_on_the_directory_holds_until_names_change(m):
    os.utime(m.dir, (1, 1))
    equal(os.stat(m.dir).st_mtime, 1)
    write(m / 'k', b'w')
    os.utime(m.pool)
    equal(os.stat(m.dir).st_mtime, 1)
    for change in (lambda: write(m / 'new', b'v'), lambda: os.unlink(m / 'new'),
                   lambda: pool.append(m.pool, ('outside', 'v'))):
        os.utime(m.dir, (1, 1))
        change()
        equal(os.stat(m.dir).st_mtime > 1, True)
    os.utime(m.dir, (1, 1))
    with opened(m / 'made', O_WRONLY | O_CREAT):
        equal(os.stat(m.dir).st_mtime > 1, True)


# Times of the directory

NAMES = {
    'create and write': lambda m: write(m / 'new', b'v'),
    'make a node': lambda m: os.mknod(m / 'node'),
    'remove': lambda m: os.unlink(m / 'a'),
    'rename': lambda m: os.rename(m / 'b', m / 'c'),
    'rename over': lambda m: os.rename(m / 'c', m / 'd'),
    'exchange': lambda m: exchange(m / 'd', m / 'e'),
    'add a record': lambda m: write(m / '.kvpfs/records', b'x=y\n', O_WRONLY | O_APPEND),
    'create outside': lambda m: pool.append(m.pool, ('outside', 'v')),
    'remove outside': lambda m: pool.delete(m.pool, 'outside'),
    'replace': lambda m: pool.build(m.pool, ('k', 'v'), ('l', 'v')),
}
VALUES = {
    'write': lambda m: write(m / 'k', b'new', O_WRONLY),
    'overwrite': lambda m: write(m / 'k', b'newer'),
    'append': lambda m: write(m / 'k', b'+', O_WRONLY | O_APPEND),
    'truncate': lambda m: os.truncate(m / 'k', 1),
    'read': lambda m: read(m / 'k'),
    'list': lambda m: m.names(),
    'write outside': lambda m: pool.put(m.pool, 'k', 'outside'),
    'rewrite outside': lambda m: pool.daemon_set(m.pool, 'k', 'by the daemon'),
    'touch': lambda m: os.utime(m.pool),
    'add a record': lambda m: write(m / '.kvpfs/records', b'k=y\n', O_WRONLY | O_APPEND),
}


@case(*((key, 'v') for key in 'abdekl'))
def times_of_the_directory_change_with_the_names_in_it(m):
    for name, change in NAMES.items():
        settle(m)
        before = times(m.dir)
        change(m)
        after = times(m.dir)
        equal((name, after[0] > before[0], after[1] > before[1]), (name, True, True))


@case(('k', 'v'), ('l', 'v'))
def times_of_the_directory_do_not_change_with_values(m):
    for name, change in VALUES.items():
        settle(m)
        before = times(m.dir)
        change(m)
        equal((name, times(m.dir)), (name, before))


@case(('k', 'v'))
def file_that_is_only_being_made_is_a_new_name(m):
    settle(m)
    before = times(m.dir)
    with opened(m / 'new', O_RDWR | O_CREAT):
        after = times(m.dir)
        equal(after > before, True)
        settle(m)
        os.unlink(m / 'new')
        equal(times(m.dir) > after, True)


@case(*harness.numbered(200))
def tar_succeeds_while_values_change(m):
    if not shutil.which('tar'):
        raise Skip('needs tar')

    def change_values():
        count = 0
        while True:
            count += 1
            write(m / f'key-{count % 200:04}', b'%d' % count, O_WRONLY | O_TRUNC)
            pool.put(m.pool, f'key-{count * 7 % 200:04}', f'outside {count}')
    changer = Child(change_values)
    for _ in range(15):
        subprocess.run(['tar', '-C', m.dir, '-cf', os.path.join(m.top, 'tar'), '.'],
                       check=True)
    equal(changer.is_done(), False)
    changer.kill()


if __name__ == '__main__':
    harness.main()
