#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""What POOL may be on the command line - a number, a name, a file, a directory -
and a mount of all the pools in a directory, each with its own files and .kvpfs.
"""

import errno
import os
import select
import stat
import subprocess
import time
from os import O_APPEND, O_CREAT, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY

import harness
import pool
from harness import (CAP, case, equal, eventually, is_mounted, numbered,
                     opened, read, refused, with_mounts, write)
from stream import PATIENCE

NAMES = ['external', 'guest', 'auto', 'auto-external', 'auto-internal']
SYSTEM = '/var/lib/hyperv'
CONTROLS = ['entries', 'events', 'pool', 'records', 'status']


def file_of(directory, number):
    return os.path.join(directory, f'.kvp_pool_{number}')


def many(m, *numbers):
    """A directory for the mount, with these pools, each with a key of its own."""
    m.pool = os.path.join(m.top, 'pools')
    os.mkdir(m.pool)
    for number in numbers:
        pool.build(file_of(m.pool, number), ('k', f'value {number}'),
                   (f'own{number}', ''))


def mounted_many(m, *numbers, options=''):
    many(m, *numbers)
    m.mount(options)


def keys(m, name):
    return sorted(os.listdir(m / name))


def refusal(m, argument):
    """The one line that the program says when it mounts nothing."""
    found = subprocess.run([harness.KVPFS, '-f', argument, m.dir], capture_output=True,
                           stdin=subprocess.DEVNULL, text=True, timeout=120, check=False)
    equal((found.returncode, found.stdout, found.stderr.count('\n')), (1, '', 1))
    equal(is_mounted(m.dir), False)
    return found.stderr


class Within:
    """The working directory, for relative arguments."""

    def __init__(self, directory):
        self.directory = directory
        self.before = os.getcwd()

    def __enter__(self):
        os.chdir(self.directory)

    def __exit__(self, *_):
        os.chdir(self.before)


# One pool

@case(options=None, root=True)
def numbers_and_names_stand_for_the_pools_of_the_system(m):
    def run():
        os.mkdir(SYSTEM)
        for number, name in enumerate(NAMES):
            pool.build(file_of(SYSTEM, number), ('k', name))
            for m.pool in str(number), name:
                with m.mounted():
                    equal(read(m / 'k'), name.encode())
                    status = read(m / '.kvpfs/status').decode().splitlines()
                    equal(status[:2], [f'pool={name}', f'path={file_of(SYSTEM, number)}'])
                    write(m / 'n', b'new')
                equal(pool.records(file_of(SYSTEM, number)),
                      [(b'k', name.encode()), (b'n', b'new')])
                pool.build(file_of(SYSTEM, number), ('k', name))
    with_mounts(run, ['mount', '-t', 'tmpfs', 'none', '/var/lib'])


@case(options=None, root=True)
def pool_of_the_system_that_is_missing_is_empty_and_made(m):
    def run():
        os.mkdir(SYSTEM)
        m.pool = 'auto-external'
        with m.mounted():
            equal(m.names(), [])
            equal(os.listdir(SYSTEM), [])
            write(m / 'k', b'v')
            equal(os.listdir(SYSTEM), ['.kvp_pool_3'])
            equal(stat.S_IMODE(os.stat(file_of(SYSTEM, 3)).st_mode), 0o600)
    with_mounts(run, ['mount', '-t', 'tmpfs', 'none', '/var/lib'])


@case(options=None, root=True)
def name_means_the_pool_and_a_path_the_file(m):
    def run():
        os.mkdir(SYSTEM)
        for number, name in enumerate(NAMES):
            pool.build(file_of(SYSTEM, number), ('where', 'system'))
            for file in name, str(number):
                pool.build(os.path.join(m.top, file), ('where', f'file {file}'))
        with Within(m.top):
            for number, name in (1, 'guest'), (3, 'auto-external'):
                for file in name, str(number):
                    for m.pool, where in ((file, b'system'),
                                          (f'./{file}', b'file %s' % file.encode()),
                                          (os.path.join(m.top, file),
                                           b'file %s' % file.encode())):
                        with m.mounted():
                            equal(read(m / 'where'), where)
    with_mounts(run, ['mount', '-t', 'tmpfs', 'none', '/var/lib'])


@case(options=None)
def number_that_no_pool_has_is_refused(m):
    with Within(m.top):
        for argument in '5', '7', '10', '00':
            pool.build(argument, ('k', 'v'))
            assert f'"{argument}"' in refusal(m, argument)
            m.pool = f'./{argument}'
            with m.mounted():
                equal(read(m / 'k'), b'v')


@case(options=None)
def word_that_is_nothing_is_refused_with_the_names(m):
    with Within(m.top):
        said = refusal(m, 'Guest')
        equal(said, 'kvpfs: cannot use pool "Guest": no such pool; there are 0 to 4, '
              'external, guest, auto, auto-external, auto-internal, and files with a '
              'path (./NAME), and directories of pools\n')
        equal(os.path.exists('Guest'), False)
        m.pool = './Guest'
        with m.mounted():
            equal(m.names(), [])


@case(options=None)
def file_that_cannot_be_a_pool_is_refused_unless_it_is_named_as_one(m):
    for name, taken in ('notes', False), ('.kvp_pool_notes', True):
        m.pool = os.path.join(m.top, name)
        with open(m.pool, 'w') as file:
            file.write('precious\n')
        if taken:
            with m.mounted():
                equal(m.names(), [])
        else:
            assert 'not a pool' in refusal(m, m.pool)
        equal(read(m.pool), b'precious\n')


@case(('k', 'v'), options=None)
def file_is_one_pool_whatever_it_is_called(m):
    for name in 'other', '.kvp_pool_2', '.kvp_pool_9', 'guests', '1.bak':
        path = os.path.join(m.top, name)
        os.rename(m.pool, path)
        m.pool = path
        with m.mounted():
            equal(m.names(), [b'k'])
            equal(read(m / 'k'), b'v')
            equal(sorted(os.listdir(m / '.kvpfs')), CONTROLS)


# A directory

@case(options=None)
def directory_shows_exactly_the_five_pools(m):
    many(m, 0, 1, 2, 3, 4)
    pool.build(file_of(m.pool, 5), ('k', 'v'))
    pool.build(os.path.join(m.pool, 'guest'), ('k', 'v'))
    pool.build(os.path.join(m.pool, '.kvp_pool_1.bak'), ('k', 'v'))
    m.mount()
    equal(sorted(m.names()), sorted(name.encode() for name in NAMES))
    with os.scandir(m.dir) as entries:
        equal({(entry.name, entry.is_dir(), entry.inode()) for entry in entries},
              {(name, True, os.stat(m / name).st_ino) for name in NAMES})
    for number, name in enumerate(NAMES):
        equal(keys(m, name), sorted(['k', f'own{number}']))
        equal(read(m / f'{name}/k'), b'value %d' % number)
        equal(sorted(os.listdir(m / f'{name}/.kvpfs')), CONTROLS)
        equal(read(m / f'{name}/.kvpfs/records'),
              b'k=value %d\nown%d=\n' % (number, number))
        status = read(m / f'{name}/.kvpfs/status').decode().splitlines()
        equal(status[:2], [f'pool={name}', f'path={file_of(m.pool, number)}'])
    for name in '.kvpfs', 'k', '1', '.kvp_pool_1', 'Guest', 'guest1', '%67uest':
        refused(errno.ENOENT, os.stat, m / name)


@case(options=None)
def relative_directory_works(m):
    many(m, 1)
    with Within(m.pool):
        m.pool = '.'
        with m.mounted():
            equal(read(m / 'guest/k'), b'value 1')
            pool.put('.kvp_pool_1', 'k', 'new')
            equal(read(m / 'guest/k'), b'new')
            write(m / 'auto/n', b'v')
        equal(pool.records('.kvp_pool_2'), [(b'n', b'v')])


@case(options=None)
def every_file_has_a_number_of_its_own(m):
    mounted_many(m, 0, 1, 2, 3, 4)
    paths = [m.dir, *(m / name for name in NAMES)]
    for number, name in enumerate(NAMES):
        paths += [m / f'{name}/{key}' for key in ('k', f'own{number}', '.kvpfs')]
        paths += [m / f'{name}/.kvpfs/{control}' for control in CONTROLS]
    found = [os.stat(path).st_ino for path in paths]
    equal(len(set(found)), len(paths))
    equal([os.stat(path).st_ino for path in paths], found)
    equal(len({os.stat(path).st_dev for path in paths}), 1)
    for parent in [m.dir, *(m / name for name in NAMES)]:
        with os.scandir(parent) as entries:
            for entry in entries:
                equal(entry.inode(), os.stat(entry.path).st_ino)


@case(options=None)
def changes_of_one_pool_do_not_show_in_the_others(m):
    mounted_many(m, 0, 1, 2, 3, 4)
    before = [pool.raw(file_of(m.pool, number)) for number in range(5)]
    write(m / 'guest/k', b'new')
    write(m / 'guest/n', b'1')
    os.rename(m / 'guest/n', m / 'guest/o')
    os.unlink(m / 'guest/own1')
    write(m / 'guest/.kvpfs/records', b'k=more\n', O_WRONLY | O_APPEND)
    equal(pool.records(file_of(m.pool, 1)), [(b'k', b'new'), (b'o', b'1'),
                                             (b'k', b'more')])
    for number in 0, 2, 3, 4:
        equal(pool.raw(file_of(m.pool, number)), before[number])
        equal(read(m / f'{NAMES[number]}/k'), b'value %d' % number)
    os.truncate(m / 'auto/.kvpfs/records', 0)
    equal(keys(m, 'auto'), [])
    equal(len(keys(m, 'external')), 2)


@case(options=None)
def open_files_of_the_same_key_are_kept_apart(m):
    mounted_many(m, 0, 1)
    with opened(m / 'external/k') as one, opened(m / 'guest/k') as two, \
            opened(m / 'guest/new', O_WRONLY | O_CREAT) as new:
        os.unlink(m / 'external/k')
        pool.put(file_of(m.pool, 1), 'k', 'changed')
        equal(os.pread(one, 100, 0), b'value 0')
        equal(os.pread(two, 100, 0), b'value 1')
        equal(read(m / 'guest/k'), b'changed')
        equal(keys(m, 'external'), ['own0'])
        refused(errno.ENOENT, os.stat, m / 'external/new')
        os.write(new, b'1')
    equal(pool.entries(file_of(m.pool, 1))[b'new'], b'1')
    equal(pool.records(file_of(m.pool, 0)), [(b'own0', b'')])


@case(options=None)
def statfs_counts_the_keys_of_each_pool_and_of_all(m):
    mounted_many(m, 1, 3)
    pool.build(file_of(m.pool, 0), *numbered(CAP))
    free = {'external': 0, 'guest': CAP - 2, 'auto': CAP, 'auto-external': CAP - 2,
            'auto-internal': CAP}
    for name, count in free.items():
        for path in f'{name}', f'{name}/.kvpfs':
            found = os.statvfs(m / path)
            equal((found.f_blocks, found.f_files, found.f_bfree, found.f_ffree,
                   found.f_namemax), (CAP, CAP, count, count, 1024))
    equal(os.statvfs(m / 'guest/k').f_ffree, CAP - 2)
    found = os.statvfs(m.dir)
    equal((found.f_files, found.f_ffree), (5 * CAP, sum(free.values())))
    refused(errno.ENOSPC, os.open, m / 'external/new', O_WRONLY | O_CREAT)
    write(m / 'guest/new', b'')


# Pools come and go

@case(options=None)
def missing_pool_is_an_empty_directory_and_made_0600_by_the_first_write(m):
    mounted_many(m, 1)
    equal([keys(m, name) for name in ('external', 'auto', 'auto-internal')], [[]] * 3)
    refused(errno.ENOENT, os.stat, m / 'auto/k')
    equal(os.listdir(m.pool), ['.kvp_pool_1'])
    with opened(m / 'auto/k', O_WRONLY | O_CREAT) as fd:
        equal(os.listdir(m.pool), ['.kvp_pool_1'])
        os.write(fd, b'v')
    equal(sorted(os.listdir(m.pool)), ['.kvp_pool_1', '.kvp_pool_2'])
    equal(stat.S_IMODE(os.stat(file_of(m.pool, 2)).st_mode), 0o600)
    equal(pool.records(file_of(m.pool, 2)), [(b'k', b'v')])
    write(m / 'external/.kvpfs/records', b'a=1\n', O_WRONLY | O_APPEND)
    equal(pool.records(file_of(m.pool, 0)), [(b'a', b'1')])


@case(options=None)
def pools_that_appear_vanish_or_are_replaced_are_noticed(m):
    mounted_many(m)
    other = os.path.join(m.top, 'other')
    for n in range(30):
        for number, name in enumerate(NAMES):
            path = file_of(m.pool, number)
            equal(keys(m, name), [])
            pool.build(path, ('k', f'{n}'))
            equal(read(m / f'{name}/k'), b'%d' % n)
            pool.build(other, ('k', f'{n}+'), ('l', ''))
            os.rename(other, path)
            equal(read(m / f'{name}/k'), b'%d+' % n)
            equal(keys(m, name), ['k', 'l'])
            os.unlink(path)
            refused(errno.ENOENT, os.stat, m / f'{name}/k')
    equal(sorted(m.names()), sorted(name.encode() for name in NAMES))


@case(options=None)
def directory_without_a_single_pool_can_be_mounted(m):
    mounted_many(m)
    equal(sorted(m.names()), sorted(name.encode() for name in NAMES))
    equal([keys(m, name) for name in NAMES], [[]] * 5)
    equal(os.listdir(m.pool), [])


@case(options=None)
def directory_that_is_replaced_is_noticed(m):
    mounted_many(m, 1)
    equal(read(m / 'guest/k'), b'value 1')
    os.rename(m.pool, m.pool + '.old')
    os.mkdir(m.pool)
    pool.build(file_of(m.pool, 1), ('k', 'other'))
    equal(read(m / 'guest/k'), b'other')
    equal(keys(m, 'guest'), ['k'])


@case(options=None)
def cut_and_odd_pools_stand_beside_others(m):
    many(m, 0, 1)
    with open(file_of(m.pool, 0), 'ab') as file:
        file.write(b'cut tail')
    pool.build(file_of(m.pool, 2), ('', 'x'), (b'\xff', b'\xfe'))
    m.mount()
    equal(keys(m, 'external'), ['k', 'own0'])
    equal(os.listdir(os.fsencode(m / 'auto')), [b'\xff'])
    equal(read(m / 'guest/k'), b'value 1')


# What the top is not

@case(options=None)
def nothing_can_be_made_renamed_or_removed_in_the_top(m):
    mounted_many(m, 0, 1)
    for change in ((os.mkdir, m / 'new'), (os.rmdir, m / 'auto'),
                   (os.open, m / 'new', O_WRONLY | O_CREAT), (os.mknod, m / 'new'),
                   (os.symlink, 'guest', m / 'new'), (os.link, m / 'guest/k', m / 'new'),
                   (os.rename, m / 'guest', m / 'new'), (os.mkfifo, m / 'new'),
                   (os.rename, m / 'auto', m / 'auto-internal')):
        refused(errno.EPERM, *change)
    for change in ((os.rename, m / 'guest/k', m / 'k'),
                   (os.rename, m / 'guest', m / 'external/k2'),
                   (os.rename, m / 'guest', m / 'external/new')):
        try:
            change[0](*change[1:])
        except OSError as error:
            assert error.errno in (errno.EPERM, errno.EXDEV), error
        else:
            raise AssertionError(f'{change} succeeded')
    refused(errno.EEXIST, os.mkdir, m / 'guest')
    refused(errno.EISDIR, os.unlink, m / 'guest')
    refused(errno.EPERM, os.mkdir, m / 'guest/d')
    equal(sorted(m.names()), sorted(name.encode() for name in NAMES))
    equal(keys(m, 'guest'), ['k', 'own1'])


@case(options=None)
def rename_between_pools_is_exdev_and_mv_copies(m):
    mounted_many(m, 0, 1, 2)
    refused(errno.EXDEV, os.rename, m / 'guest/k', m / 'external/n')
    refused(errno.EXDEV, os.rename, m / 'guest/k', m / 'external/k')
    refused(errno.EPERM, os.link, m / 'guest/k', m / 'external/n')
    equal((len(keys(m, 'external')), len(keys(m, 'guest'))), (2, 2))
    subprocess.check_call(['mv', m / 'guest/k', m / 'external/k'])
    subprocess.check_call(['mv', m / 'guest/own1', m / 'auto/'])
    subprocess.check_call(['cp', '-r', m / 'external/.', m / 'auto-internal'])
    equal([dict(pool.records(file_of(m.pool, number))) for number in (0, 1, 2, 4)],
          [{b'own0': b'', b'k': b'value 1'}, {},
           {b'k': b'value 2', b'own2': b'', b'own1': b''},
           {b'own0': b'', b'k': b'value 1'}])


@case(options=None)
def top_can_be_walked_and_its_modes_fit(m):
    many(m, 0, 1)
    os.chmod(file_of(m.pool, 1), 0o644)
    os.chmod(file_of(m.pool, 0), 0o600)
    m.mount()
    found = {os.path.relpath(os.path.join(path, name), m.dir)
             for path, _, files in os.walk(m.dir) for name in files}
    equal(found, {'external/k', 'external/own0', 'guest/k', 'guest/own1'})
    equal([stat.S_IMODE(os.stat(m / name).st_mode) for name in
           ('external', 'external/k', 'guest', 'guest/k')], [0o700, 0o600, 0o755, 0o644])
    top = os.stat(m.dir)
    equal((stat.S_ISDIR(top.st_mode), top.st_mode & 0o222), (True, 0))
    equal(subprocess.call(['rm', '-rf', m / 'guest', m / 'external'],
                          stderr=subprocess.DEVNULL), 1)
    equal([keys(m, name) for name in ('guest', 'external')], [[], []])
    equal(os.path.getsize(file_of(m.pool, 1)), 0)


# Refusals

@case(options=None)
def one_unusable_pool_refuses_the_mount_by_name(m):
    for number in 0, 4:
        many(m, 1, 2)
        path = file_of(m.pool, number)
        for make in os.mkfifo, os.mkdir:
            make(path)
            assert path in refusal(m, m.pool)
            os.rmdir(path) if make == os.mkdir else os.unlink(path)
        with open(path, 'wb') as file:
            file.truncate((1 << 30) + 1)
        assert path in refusal(m, m.pool)
        os.unlink(path)
        with m.mounted():
            equal(read(m / 'guest/k'), b'value 1')
        os.rename(m.pool, f'{m.pool}{number}')


@case(options=None, root=True)
def pool_that_cannot_be_written_is_read_only_beside_others(m):
    many(m, 0, 1)
    fixed = file_of(m.pool, 0)

    def run():
        with m.mounted():
            for change in ((write, m / 'external/k', b'w'), (os.unlink, m / 'external/k'),
                           (os.truncate, m / 'external/k', 0),
                           (os.rename, m / 'external/k', m / 'external/n'),
                           (write, m / 'external/.kvpfs/records', b'a=1\n',
                            O_WRONLY | O_APPEND)):
                refused(errno.EROFS, *change)
            equal(read(m / 'external/k'), b'value 0')
            write(m / 'guest/k', b'w')
            write(m / 'auto/n', b'x')
            equal(pool.records(file_of(m.pool, 1))[0], (b'k', b'w'))
            equal(pool.records(file_of(m.pool, 2)), [(b'n', b'x')])
        equal(pool.records(fixed), [(b'k', b'value 0'), (b'own0', b'')])
    with_mounts(run, ['mount', '--bind', fixed, fixed],
                ['mount', '-o', 'remount,ro,bind', fixed])


@case(options=None)
def options_hold_for_every_pool(m):
    mounted_many(m, 0, 1, options='mode=full,newline=strip,umask=027')
    for name in NAMES:
        write(m / f'{name}/long', b'v' * 2048)
        write(m / f'{name}/line', b'v\n')
        equal(read(m / f'{name}/line'), b'v')
        equal(stat.S_IMODE(os.stat(m / f'{name}/long').st_mode), 0o640)
    m.unmount()
    m.mount('ro')
    for name in NAMES:
        equal(len(read(m / f'{name}/long')), 2048)
        refused(errno.EROFS, os.unlink, m / f'{name}/long')


# Events

def lines_of(fd, count):
    found = b''
    while found.count(b'\n') < count:
        assert select.select([fd], [], [], PATIENCE)[0], found
        found += os.read(fd, 4096)
    return found.decode().splitlines()


@case(options=None)
def events_are_those_of_their_own_pool(m):
    mounted_many(m, 0, 1, 3)
    fds = {name: os.open(m / f'{name}/.kvpfs/events', O_RDONLY | O_NONBLOCK)
           for name in NAMES}
    write(m / 'guest/k', b'1')
    equal(lines_of(fds['guest'], 1), ['set k'])
    pool.put(file_of(m.pool, 3), 'outside', '1')
    equal(lines_of(fds['auto-external'], 1), ['set outside'])
    pool.append(file_of(m.pool, 2), ('made', ''))
    equal(lines_of(fds['auto'], 1), ['set made'])
    os.unlink(file_of(m.pool, 0))
    equal(lines_of(fds['external'], 1), ['clear'])
    for number, name in enumerate(NAMES):
        pool.put(file_of(m.pool, number), 'end', f'{time.monotonic_ns()}')
        equal(lines_of(fds[name], 1), ['set end'])
    for fd in fds.values():
        refused(errno.EAGAIN, os.read, fd, 100)
        os.close(fd)


@case(options=None)
def clearing_one_pool_leaves_the_others(m):
    mounted_many(m, 0, 1)
    os.close(os.open(m / 'guest/.kvpfs/records', O_WRONLY | O_TRUNC))
    eventually(lambda: keys(m, 'guest') == [])
    equal(keys(m, 'external'), ['k', 'own0'])


# Locks

@case(options=None)
def locked_pool_holds_up_only_its_own_files(m):
    mounted_many(m, 0, 1, options='lock_timeout=0.1')
    equal(read(m / 'guest/k'), b'value 1')
    held = pool.try_lock(file_of(m.pool, 1), 'flock-ex')
    try:
        pool.build(file_of(m.pool, 1), ('k', 'changed'))
        refused(errno.EBUSY, os.open, m / 'guest/k', O_RDONLY)
        write(m / 'external/k', b'w')
        equal(read(m / 'external/k'), b'w')
        equal(sorted(m.names()), sorted(name.encode() for name in NAMES))
    finally:
        os.close(held)
    equal(read(m / 'guest/k'), b'changed')


if __name__ == '__main__':
    harness.main()
