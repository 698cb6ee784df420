#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Who may do what with allow_other: exactly what plain files and directories of the
same owner and mode let him do. The kernel's own answers about those are the model.
"""

import collections
import ctypes
import errno
import itertools
import os
import re
import shutil
import stat
import subprocess
from os import (O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_PATH, O_RDONLY, O_RDWR,
                O_TRUNC, O_WRONLY)

import harness
import pool
from harness import (NOBODY, Child, case, equal, eventually, exchange, opened, read,
                     refused, write)

OWNER, GROUP, OTHER = 1234, 4242, 4321
MODES = 0o600, 0o640, 0o644, 0o666, 0o604, 0o660, 0o602, 0o400, 0o444, 0o000
CONTROLS = 'records', 'pool', 'entries', 'status', 'events'
WRITABLE = CONTROLS[:2]
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
MANY_GROUPS = [*range(5000, 5300), GROUP]

# Callers: real and effective user, group, further groups.
CALLERS = {
    'owner': (OWNER, OWNER, OTHER, []),
    'owner in the group': (OWNER, OWNER, GROUP, [GROUP]),
    'group': (NOBODY, NOBODY, GROUP, []),
    'further group': (NOBODY, NOBODY, NOBODY, [1, GROUP]),
    'one of many groups': (NOBODY, NOBODY, NOBODY, MANY_GROUPS),
    'other': (NOBODY, NOBODY, NOBODY, [NOBODY]),
    'root': (0, 0, 0, []),
    'owner as other': (OWNER, NOBODY, NOBODY, []),
    'other as owner': (NOBODY, OWNER, NOBODY, []),
    'other as root': (NOBODY, 0, NOBODY, []),
    'root as other': (0, NOBODY, NOBODY, []),
}


def become(real, effective, group, groups):
    os.setgroups(groups)
    os.setresgid(group, group, group)
    os.setresuid(real, effective, effective)


def attributes(path):
    st = os.stat(path)
    return (oct(st.st_mode), st.st_uid, st.st_gid,
            None if stat.S_ISDIR(st.st_mode) else st.st_size)


def again(path, first, then):
    """Opens, and opens what that gave once more in another way."""
    with opened(path, first) as fd, opened(f'/proc/self/fd/{fd}', then):
        pass


def open_close(path, flags):
    os.close(os.open(path, flags, 0o666))


def accesses(path, **keywords):
    return [os.access(path, how, **keywords) for how in range(8)]


def utimensat(path, access, modification):
    times = (ctypes.c_long * 4)(0, access, 0, modification)
    if harness.libc.utimensat(harness.AT_FDCWD, os.fsencode(path), times, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


# What can be tried with a file of one's own, and what with a directory.
FILE = {
    'stat': attributes, 'read': read,
    'write': lambda f: write(f, b'new', O_WRONLY),
    'overwrite': lambda f: write(f, b'new', O_WRONLY | O_TRUNC),
    'append': lambda f: write(f, b'+', O_WRONLY | O_APPEND),
    'open to read and write': lambda f: open_close(f, O_RDWR),
    'open for ioctl': lambda f: open_close(f, 3),
    'open to read and truncate': lambda f: open_close(f, O_RDONLY | O_TRUNC),
    'open to create anew': lambda f: open_close(f, O_WRONLY | O_CREAT | O_EXCL),
    'truncate': lambda f: os.truncate(f, 1), 'unlink': os.unlink,
    'rename': lambda f: os.rename(f, f + '.new'),
    'exchange': lambda f: exchange(f, os.path.join(os.path.dirname(f), 'other')),
    'rename over': lambda f: os.rename(f, os.path.join(os.path.dirname(f), 'target')),
    'touch': os.utime,
    'set times': lambda f: (os.utime(f, (1, 1)), os.stat(f).st_mtime),
    'set access time': lambda f: utimensat(f, UTIME_NOW, UTIME_OMIT),
    'set both to now': lambda f: utimensat(f, UTIME_NOW, UTIME_NOW),
    'chmod': lambda f: (os.chmod(f, 0o646), attributes(f)),
    'chmod to the same': lambda f: os.chmod(f, os.stat(f).st_mode),
    'chmod and try': lambda f: (os.chmod(f, 0o060), accesses(f), read(f)),
    'chown nothing': lambda f: os.chown(f, -1, -1),
    'chown to the same': lambda f: os.chown(f, os.stat(f).st_uid, os.stat(f).st_gid),
    **{f'chown {user} {group}':
       lambda f, user=user, group=group: (os.chown(f, user, group), attributes(f))
       for user in (-1, OWNER, NOBODY) for group in (-1, GROUP, OTHER, 1, 5001)},
    'access': accesses, 'effective access': lambda f: accesses(f, effective_ids=True),
    'execute': lambda f: os.execv(f, [f]),
    'open the path': lambda f: open_close(f, O_PATH),
    **{f'open {one} and again {two}':
       lambda f, first=first, then=then: again(f, first, then)
       for one, first in (('the path', O_PATH), ('to read', O_RDONLY),
                          ('to write', O_WRONLY))
       for two, then in (('to read', O_RDONLY), ('to write', O_WRONLY),
                         ('both', O_RDWR), ('to truncate', O_WRONLY | O_TRUNC))},
}
DIRECTORY = {
    'stat dir': attributes, 'list': lambda d: sorted(os.listdir(d)), 'enter': os.chdir,
    'open dir': lambda d: open_close(d, O_RDONLY | O_DIRECTORY),
    'access dir': accesses,
    'effective access dir': lambda d: accesses(d, effective_ids=True),
    'create': lambda d: write(d + '/new', b'v', O_WRONLY | O_CREAT | O_EXCL),
    'make a node': lambda d: os.mknod(d + '/node', stat.S_IFREG | 0o666),
    'stat what is missing': lambda d: os.stat(d + '/missing'),
    'list .kvpfs': lambda d: sorted(os.listdir(d + '/.kvpfs')),
    'stat .kvpfs': lambda d: attributes(d + '/.kvpfs'),
    'access .kvpfs': lambda d: accesses(d + '/.kvpfs'),
    **{f'access .kvpfs/{name}': lambda d, name=name: accesses(f'{d}/.kvpfs/{name}')
       for name in CONTROLS},
    **{f'open .kvpfs/{name} {flags:o}':
       lambda d, name=name, flags=flags: open_close(f'{d}/.kvpfs/{name}', flags)
       for name in CONTROLS for flags in (O_RDONLY, O_WRONLY | O_APPEND, O_RDWR)},
    'open .kvpfs/records again':
        lambda d: again(d + '/.kvpfs/records', O_RDONLY, O_WRONLY | O_APPEND),
}
# What kvpfs does for nobody, also where plain files would let root.
CONTROL = {
    'create': lambda d: open_close(d + '/.kvpfs/new', O_WRONLY | O_CREAT),
    'rename records': lambda d: os.rename(d + '/.kvpfs/records', d + '/r'),
    'unlink status': lambda d: os.unlink(d + '/.kvpfs/status'),
}
# The same, and it may refuse before it asks who wants it.
NEVER = {
    'link': lambda f: os.link(f, f + '.link'), 'mkdir': lambda f: os.mkdir(f + '.dir'),
    'symlink': lambda f: os.symlink('x', f + '.symlink'),
    'fifo': lambda f: os.mkfifo(f + '.fifo'),
}
NAMES = [*FILE, *NEVER, 'other', 'target']
VALUES = [(name, 'value of ' + name) for name in NAMES]


def attempt(function, path):
    try:
        return function(path)
    except OSError as error:
        return errno.errorcode[error.errno]


def try_all(directory, caller):
    """Runs in a process of its own; what came of each attempt."""
    become(*caller)
    results = {name: attempt(function, directory) for name, function in DIRECTORY.items()}
    for name, function in FILE.items():
        results[name] = attempt(function, os.path.join(directory, name))
    return results


def try_in_control(directory, caller):
    become(*caller)
    return {name: attempt(function, directory) for name, function in CONTROL.items()}


def try_never(directory, caller):
    become(*caller)
    return {attempt(function, os.path.join(directory, name))
            for name, function in NEVER.items()}


def clear_records(records, caller):
    become(*caller)
    return attempt(lambda path: open_close(path, O_WRONLY | O_TRUNC), records)


def make_like(path, mode):
    os.chown(path, OWNER, GROUP)
    os.chmod(path, mode)


def directory_mode(mode):
    return mode | (mode & 0o444) >> 2


def make_plain(directory, mode):
    """Files and directories as the mount has them for a pool of this mode."""
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory + '/.kvpfs')
    for name, value in VALUES:
        write(os.path.join(directory, name), value.encode())
    for name in CONTROLS:
        write(os.path.join(directory, '.kvpfs', name), b'')
    set_plain_mode(directory, mode)


def set_plain_mode(directory, mode):
    for name, _ in VALUES:
        make_like(os.path.join(directory, name), mode)
    for name in CONTROLS:
        make_like(os.path.join(directory, '.kvpfs', name),
                  mode if name in WRITABLE else mode & 0o444)
    make_like(directory + '/.kvpfs', directory_mode(mode) & 0o555)
    make_like(directory, directory_mode(mode))


def contents(directory):
    return {os.fsencode(name): read(os.path.join(directory, name))
            for name in os.listdir(directory) if name != '.kvpfs'}


def rebuild(m):
    """The same keys, which nobody has given anything."""
    os.truncate(m.pool, 0)
    equal(m.names(), [])
    pool.build(m.pool, *VALUES)


def like_kvpfs(results, caller):
    """A plain directory shows its `.kvpfs`, where root may write to everything."""
    if isinstance(results['list'], list):
        results['list'] = [name for name in results['list'] if name != '.kvpfs']
    for name in results if caller[1] == 0 else ():
        if re.match(r'open .kvpfs/(?!records|pool).* (2001|2)$', name):
            results[name] = 'EACCES'
    return results


def differences(found, wanted):
    return {name: f'{found[name]} instead of {wanted[name]}' for name in wanted
            if found[name] != wanted[name]}


def options(m):
    words = [words for words in harness.mounts() if words[4] == m.dir][-1]
    return words[-1].split(',')


def check_table(m, callers, counts):
    """Nobody looks at the mount between the pool's chmod and the first attempt."""
    plain = os.path.join(m.top, 'plain')
    os.chown(m.pool, OWNER, GROUP)
    for mode, (name, caller) in itertools.product(MODES, callers.items()):
        make_plain(plain, mode)
        wanted = like_kvpfs(Child(try_all, plain, caller).result(), caller)
        rebuild(m)
        os.chmod(m.pool, mode)
        found = Child(try_all, m.dir, caller).result()
        if differences(found, wanted):
            raise AssertionError(f'{mode:o}, {name}: {differences(found, wanted)}')
        equal(m.entries(), contents(plain))
        for result in found.values():
            counts[result if result in ('EACCES', 'EPERM') else 'as allowed'] += 1
        equal(Child(try_never, m.dir, caller).result() - {'EACCES', 'EPERM'}, set())
        found = Child(try_in_control, m.dir, caller).result()
        if caller[1] != 0:
            equal(found, Child(try_in_control, plain, caller).result())
        equal(set(found.values()) - {'EACCES', 'EPERM'}, set())
        before = m.entries()
        wanted = Child(clear_records, plain + '/.kvpfs/records', caller).result()
        equal(Child(clear_records, m / '.kvpfs/records', caller).result(), wanted)
        eventually(lambda: m.entries() == (before if wanted else {}))
        equal(stat.S_IMODE(os.stat(m.pool).st_mode), mode)


@case(options='allow_other', root=True)
def each_caller_gets_what_plain_files_of_the_pools_mode_give(m):
    counts = collections.Counter()
    equal('default_permissions' in options(m), False)
    check_table(m, CALLERS, counts)
    harness.figures(**counts)


@case(options='allow_other,default_permissions', root=True)
def the_same_when_the_kernel_checks_as_well(m):
    counts = collections.Counter()
    equal('default_permissions' in options(m), True)
    check_table(m, {name: CALLERS[name] for name in ('owner', 'further group', 'other')},
                counts)
    harness.figures(**counts)


def one(directory, name, caller):
    become(*caller)
    if name in DIRECTORY:
        return attempt(DIRECTORY[name], directory)
    return attempt(FILE[name], os.path.join(directory, name))


@case(options='allow_other', root=True)
def first_request_after_a_chmod_of_the_pool_is_judged_by_the_new_mode(m):
    plain = os.path.join(m.top, 'plain')
    names = [name for name in (*DIRECTORY, *FILE) if name != 'list']
    os.chown(m.pool, OWNER, GROUP)
    for before, after in (0o666, 0o600), (0o600, 0o666), (0o666, 0o644), (0o600, 0o640):
        make_plain(plain, after)
        for name in names:
            rebuild(m)
            os.chmod(m.pool, before)
            Child(one, m.dir, 'access dir', CALLERS['further group']).result()
            os.chmod(m.pool, after)
            found = Child(one, m.dir, name, CALLERS['further group']).result()
            wanted = Child(one, plain, name, CALLERS['further group']).result()
            equal((name, found), (name, wanted))


@case(('k', 'v'), options='allow_other', root=True)
def mode_is_obeyed_at_once_while_others_lock_and_change_the_pool(m):
    with harness.Holder(m, 'posix-ex', 'l=w'):
        for mode, number in (0o600, errno.EACCES), (0o640, errno.EACCES):
            os.chmod(m.pool, mode)
            for call in ((os.stat, m / 'k'), (os.listdir, m.dir), (os.unlink, m / 'k'),
                         (os.open, m / 'n', O_WRONLY | O_CREAT)):
                refused(number, Child(*call, user=NOBODY).result)
    os.chmod(m.pool, 0o644)
    equal(Child(read, m / 'l', user=NOBODY).result(), b'w')


@case(('k', 'v'), options='allow_other', root=True)
def mode_of_a_pool_that_replaces_another_counts_at_once(m):
    other = os.path.join(m.top, 'other')
    for mode in 0o600, 0o644, 0o600:
        pool.build(other, ('k', 'v'))
        os.chmod(other, mode)
        os.rename(other, m.pool)
        if mode == 0o644:
            equal(Child(read, m / 'k', user=NOBODY).result(), b'v')
        else:
            refused(errno.EACCES, Child(read, m / 'k', user=NOBODY).result)
    os.unlink(m.pool)
    refused(errno.EACCES, Child(os.listdir, m.dir, user=NOBODY).result)


# What is open

def by_descriptor(directory):
    """Attempts by way of a descriptor of the directory."""
    return {
        'list': lambda fd: sorted(name for name in os.listdir(fd) if name != '.kvpfs'),
        'stat': lambda fd: os.stat('other', dir_fd=fd).st_size,
        'stat what is missing': lambda fd: os.stat('missing', dir_fd=fd),
        'read': lambda fd: os.close(os.open('other', O_RDONLY, dir_fd=fd)),
        'write': lambda fd: os.close(os.open('other', O_WRONLY, dir_fd=fd)),
        'create': lambda fd: os.close(os.open('new', O_WRONLY | O_CREAT, dir_fd=fd)),
        'rename': lambda fd: os.rename('new', 'newer', src_dir_fd=fd, dst_dir_fd=fd),
        'unlink': lambda fd: os.unlink('newer', dir_fd=fd),
        'access': lambda fd: [os.access('other', how, dir_fd=fd) for how in range(8)],
        'enter': os.fchdir,
        'open again': lambda fd: os.close(os.open(f'/proc/self/fd/{fd}', O_RDONLY)),
        'open its path again': lambda fd: os.close(os.open(directory, O_RDONLY)),
    }


def hold(directory, caller, opened_pipe, changed_pipe):
    """Opens the directory, waits until its mode has changed, and tries everything."""
    become(*caller)
    fd = os.open(directory, O_RDONLY | O_DIRECTORY)
    os.write(opened_pipe, b'.')
    os.read(changed_pipe, 1)
    return {name: attempt(function, fd)
            for name, function in by_descriptor(directory).items()}


def held(directory, caller, change):
    is_open, changed = os.pipe(), os.pipe()
    child = Child(hold, directory, caller, is_open[1], changed[0])
    os.read(is_open[0], 1)
    change()
    os.write(changed[1], b'.')
    for fd in *is_open, *changed:
        os.close(fd)
    return child.result()


@case(options='allow_other', root=True)
def held_directory_gives_no_more_than_the_mode_of_now(m):
    plain = os.path.join(m.top, 'plain')
    os.chown(m.pool, OWNER, GROUP)
    for name, mode in itertools.product(('owner', 'further group', 'other'), MODES):
        make_plain(plain, 0o666)
        pool.build(m.pool, *VALUES)
        os.chmod(m.pool, 0o666)
        wanted = held(plain, CALLERS[name], lambda: set_plain_mode(plain, mode))
        found = held(m.dir, CALLERS[name], lambda: os.chmod(m.pool, mode))
        equal((name, oct(mode), differences(found, wanted)), (name, oct(mode), {}))


@case(('k', 'v'), options='allow_other', root=True)
def mode_taken_away_later_lets_nobody_open_what_he_has_open(m):
    os.chmod(m.pool, 0o666)
    with opened(m / 'k', O_RDWR) as fd, opened(m / 'k', O_PATH) as path:
        os.chmod(m.pool, 0o600)
        for descriptor, flags in itertools.product((fd, path), (O_RDONLY, O_WRONLY)):
            refused(errno.EACCES, Child(os.open, f'/proc/self/fd/{descriptor}', flags,
                                        user=NOBODY).result)


# Other namespaces, other pools

@case(options=None, root=True)
def caller_of_another_pid_namespace_has_no_further_groups(m):
    plain = os.path.join(m.top, 'plain')
    os.chown(m.pool, OWNER, GROUP)
    runner = ['unshare', '--pid', '--fork']
    if subprocess.run([*runner, 'true'], check=False).returncode:
        raise harness.Skip('no PID namespaces here')
    m.mount('allow_other', runner)      # so every caller is in another one
    try:
        for mode, name in itertools.product(MODES, CALLERS):
            real, effective, group, groups = CALLERS[name]
            make_plain(plain, mode)
            rebuild(m)
            os.chmod(m.pool, mode)
            found = Child(try_all, m.dir, (real, effective, group, groups)).result()
            caller = real, effective, group, []
            wanted = like_kvpfs(Child(try_all, plain, caller).result(), caller)
            equal((name, oct(mode), differences(found, wanted)), (name, oct(mode), {}))
    finally:
        harness.umount(m.dir)
        equal(m.program.wait(), 0)
        m.program = None


def rename_between(source, target, caller):
    become(*caller)
    return attempt(lambda path: os.rename(path, os.path.join(target, 'moved')),
                   os.path.join(source, 'k'))


@case(options=None, root=True)
def rename_between_pools_needs_the_right_to_write_to_both(m):
    m.pool = os.path.join(m.top, 'pools')
    os.mkdir(m.pool)
    pools = [os.path.join(m.pool, f'.kvp_pool_{number}') for number in range(2)]
    plain = [os.path.join(m.top, f'plain{number}') for number in range(2)]
    for path in pools:
        pool.build(path, ('k', 'v'))
        make_like(path, 0o644)
    with m.mounted('allow_other'):
        for modes in itertools.product((0o644, 0o666, 0o622), repeat=2):
            for path, directory, mode in zip(pools, plain, modes):
                shutil.rmtree(directory, ignore_errors=True)
                os.mkdir(directory)
                write(directory + '/k', b'v')
                make_like(directory, directory_mode(mode))
                os.chmod(path, mode)
            wanted = Child(rename_between, *plain, CALLERS['other']).result()
            equal(Child(rename_between, m / 'external', m / 'guest',
                        CALLERS['other']).result(), wanted or 'EXDEV')


# default_permissions

def watch(directory, caller):
    """By inotify: 0 or the error number."""
    libc = ctypes.CDLL(None, use_errno=True)
    become(*caller)
    fd = libc.inotify_init()
    return 0 if libc.inotify_add_watch(fd, os.fsencode(directory), 0xfff) >= 0 \
        else ctypes.get_errno()


@case(('k', 'v'), options=None, root=True)
def kernel_checks_as_well_where_a_pool_is_not_for_all_to_read(m):
    def check(mode, words, by_kernel, watched):
        os.chmod(m.pool, mode)
        with m.mounted(words):
            equal('default_permissions' in options(m), by_kernel)
            equal(Child(watch, m.dir, CALLERS['other']).result(),
                  0 if watched else errno.EACCES)
    for mode in 0o644, 0o666, 0o444:
        check(mode, 'allow_other', False, True)
    for mode in 0o600, 0o640, 0o660, 0o604:
        check(mode, 'allow_other', True, mode & 4)
    check(0o600, 'allow_other,umask=022', False, True)
    check(0o644, 'allow_other,umask=077', True, False)
    os.unlink(m.pool)                   # it would be made with mode 0600
    with m.mounted('allow_other'):
        equal('default_permissions' in options(m), True)


if __name__ == '__main__':
    harness.main()
