#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""What the mount options change: mode, newline, ro, uid, gid, umask, allow_other,
and the limits that come with them; and who may do what on a mount.
"""

import errno
import os
import stat
import subprocess
from os import O_APPEND, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY

import harness
import pool
from harness import Child, NOBODY, case, equal, eventually, opened, read, refused
from harness import with_mounts, write

NEW = O_WRONLY | O_CREAT


@case(('k', 'v'), options=None)
def program_can_be_ended_as_soon_as_it_has_mounted(m):
    for _ in range(30):
        m.mount()
        m.unmount()


# With an /etc/mtab that is no link, libfuse tells mount(8) of what it has mounted.
@case(('k', 'v'), options=None, root=True)
def signal_while_libfuse_waits_for_mount_8_ends_the_program_with_0(m):
    started, go, stand_in = (os.path.join(m.top, name)
                             for name in ('started', 'go', 'stand-in'))
    with open(stand_in, 'w') as file:
        os.fchmod(file.fileno(), 0o755)
        file.write(f'#!/bin/sh\n: >{started}\n'
                   f'while [ -e {started} ] && [ ! -e {go} ]; do sleep 0.01; done\n')

    def run():
        write('/etc/mtab', b'')
        with open(m.log, 'wb') as log:
            program = subprocess.Popen([harness.KVPFS, '-f', m.pool, m.dir], stderr=log)
        eventually(lambda: harness.is_mounted(m.dir) or program.poll() is not None)
        answer = Child(os.statvfs, m.dir)       # comes when the program serves
        eventually(lambda: os.path.exists(started) or answer.is_done())
        program.terminate()
        # it waits on, or ends without waiting
        eventually(lambda: harness.sleeps(program.pid) or program.poll() is not None)
        write(go, b'')
        equal(program.wait(), 0)
        equal(harness.is_mounted(m.dir), False)
        answer.wait()
        return None if os.path.exists(started) else 'libfuse runs no mount(8)'

    with_mounts(run, ['mount', '-t', 'tmpfs', 'none', '/etc'],
                ['mount', '--bind', stand_in, '/bin/mount'])


# mode=

@case(options='mode=full')
def full_mode_takes_512_and_2048_bytes(m):
    write(m / ('k' * 512), b'v' * 2048)
    refused(errno.ENAMETOOLONG, os.open, m / ('k' * 513), NEW)
    with opened(m / 'k', NEW) as fd:
        refused(errno.EFBIG, os.write, fd, b'v' * 2049)
    with opened(m / ('k' * 512), O_WRONLY) as fd:
        refused(errno.EFBIG, os.pwrite, fd, b'v', 2048)
        refused(errno.EFBIG, os.ftruncate, fd, 2049)
    m.unmount()
    equal(m.records(), [(b'k' * 512, b'v' * 2048)])


@case(options='mode=restricted')
def restricted_mode_takes_254_and_1022_bytes(m):
    write(m / ('k' * 254), b'v' * 1022)
    refused(errno.ENAMETOOLONG, os.open, m / ('k' * 255), NEW)
    with opened(m / 'k', NEW) as fd:
        refused(errno.EFBIG, os.write, fd, b'v' * 1023)
    m.unmount()
    equal(m.records(), [(b'k' * 254, b'v' * 1022)])


# newline=

STRIP = 'newline=strip'


@case(options=STRIP)
def strip_does_not_store_one_trailing_newline(m):
    for data, stored in ((b'v\n', b'v'), (b'v', b'v'), (b'a\nb\n', b'a\nb'),
                         (b'v\n\n', b'v\n'), (b'\n', b''), (b'\n\n', b'\n'), (b'', b'')):
        write(m / 'k', data)
        eventually(lambda value=stored: m.value('k') == value)
        equal(read(m / 'k'), stored)
        equal(os.stat(m / 'k').st_size, len(stored))


@case(options=STRIP)
def strip_puts_the_newline_back_when_more_follows(m):
    with opened(m / 'k', NEW) as fd:
        for data, stored in ((b'a\n', b'a'), (b'b\n', b'a\nb'), (b'\n', b'a\nb\n'),
                             (b'c', b'a\nb\n\nc')):
            equal(os.write(fd, data), len(data))
            equal(m.value('k'), stored)
            os.close(os.dup(fd))        # a flush is no end and no error
            os.fsync(fd)
            equal(m.value('k'), stored)


@case(('k', 'a'), options=STRIP)
def strip_appends_to_the_value_as_stored(m):
    with opened(m / 'k', O_WRONLY | O_APPEND) as fd:
        equal(os.write(fd, b'b\n'), 2)
        equal(os.write(fd, b'c\n'), 2)
    equal(m.value('k'), b'ab\nc')


@case(options=STRIP)
def strip_leaves_the_newline_out_of_the_limit(m):
    write(m / 'k', b'v' * 1022 + b'\n')
    equal(m.value('k'), b'v' * 1022)
    with opened(m / 'k', O_WRONLY) as fd:
        refused(errno.EFBIG, os.write, fd, b'v' * 1023 + b'\n')


@case(('k', 'old'), options=STRIP)
def strip_knows_unfinished_characters_too(m):
    with opened(m / 'k', O_WRONLY | O_TRUNC) as fd:
        for part in b'a\n\xe2', b'\x82', b'\xac\n':
            equal(os.write(fd, part), len(part))
    equal(m.value('k'), 'a\n€'.encode())


@case(options='newline=keep')
def keep_stores_exact_bytes(m):
    write(m / 'k', b'v\n')
    equal(m.value('k'), b'v\n')


# ro, and pools that cannot be written

def assert_read_only(m):
    equal(read(m / 'k'), b'v')
    equal(m.names(), [b'k'])
    for call in ((os.open, m / 'k', O_WRONLY), (os.open, m / 'k', O_RDWR),
                 (os.open, m / 'new', NEW), (os.unlink, m / 'k'),
                 (os.truncate, m / 'k', 0), (os.rename, m / 'k', m / 'l'),
                 (os.mkdir, m / 'd'), (os.chmod, m / 'k', 0o600),
                 (os.mknod, m / 'n', stat.S_IFREG | 0o644), (os.utime, m / 'k')):
        refused(errno.EROFS, *call)
    equal(m.records(), [(b'k', b'v')])
    equal(os.statvfs(m.dir).f_flag & os.ST_RDONLY, os.ST_RDONLY)


@case(('k', 'v'), options='ro')
def read_only_mount_refuses_changes_with_erofs(m):
    assert_read_only(m)
    pool.put(m.pool, 'k', 'changed outside')
    equal(read(m / 'k'), b'changed outside')


@case(('k', 'v'), options=None, root=True)
def pool_on_a_read_only_file_system_is_mounted_read_only_with_a_warning(m):
    place = os.path.join(m.top, 'place')
    os.mkdir(place)
    os.rename(m.pool, os.path.join(place, 'pool'))
    m.pool = os.path.join(place, 'pool')

    def run():
        with m.mounted():
            assert_read_only(m)
        with open(m.log) as log:
            assert m.pool in log.read(), 'no warning'
    harness.with_mounts(run, ['mount', '--bind', place, place],
                        ['mount', '-o', 'remount,bind,ro', place])


# uid=, gid=, umask=

@case(('k', 'v'), options='uid=12,gid=34')
def uid_and_gid_override_the_owner(m):
    for path in m.dir, m / 'k':
        equal((os.stat(path).st_uid, os.stat(path).st_gid), (12, 34))


@case(('k', 'v'), options='umask=027')
def umask_overrides_the_mode(m):
    for mode in 0o600, 0o644, 0o666:
        os.chmod(m.pool, mode)
        equal(os.stat(m / 'k').st_mode, stat.S_IFREG | 0o640)
        equal(os.stat(m.dir).st_mode, stat.S_IFDIR | 0o750)


# Other users

def as_nobody(function, *arguments):
    return Child(function, *arguments, user=NOBODY).result()


@case(('k', 'v'), root=True)
def other_users_are_kept_out_without_allow_other(m):
    for call in (os.stat, m.dir), (os.stat, m / 'k'), (os.listdir, m.dir), \
            (os.open, m / 'k', O_RDONLY), (os.open, m / 'new', NEW):
        refused(errno.EACCES, as_nobody, *call)


@case(('k', 'v'), options='allow_other', root=True)
def allow_other_lets_users_do_what_the_pools_mode_allows(m):
    os.chmod(m.pool, 0o644)
    equal(as_nobody(read, m / 'k'), b'v')
    equal(as_nobody(os.listdir, m.dir), ['k'])
    for call in ((os.open, m / 'k', O_WRONLY), (os.open, m / 'new', NEW),
                 (os.unlink, m / 'k'), (os.rename, m / 'k', m / 'l'),
                 (os.truncate, m / 'k', 0), (os.truncate, m / 'k', 1),
                 (os.mknod, m / 'n', stat.S_IFREG | 0o644)):
        refused(errno.EACCES, as_nobody, *call)
    refused(errno.EPERM, as_nobody, os.chmod, m / 'k', 0o666)
    os.chmod(m.pool, 0o600)
    refused(errno.EACCES, as_nobody, read, m / 'k')
    refused(errno.EACCES, as_nobody, os.listdir, m.dir)
    os.chmod(m.pool, 0o666)
    as_nobody(write, m / 'k', b'w')
    as_nobody(write, m / 'new', b'x')
    equal(m.records(), [(b'k', b'w'), (b'new', b'x')])
    as_nobody(os.unlink, m / 'new')
    equal(m.records(), [(b'k', b'w')])


@case(('k', 'v'), options=f'allow_other,uid={NOBODY},umask=077', root=True)
def uid_gives_the_mount_to_that_user(m):
    equal(as_nobody(read, m / 'k'), b'v')
    as_nobody(write, m / 'k', b'w')
    as_nobody(os.rename, m / 'k', m / 'l')
    equal(m.records(), [(b'l', b'w')])


if __name__ == '__main__':
    harness.main()
