#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""What the pool file may hold and what a mount does to it: odd records as other
programs leave them, a cut tail, a missing file, stale pools; and that records
which an operation does not concern stay byte-identical.
"""

import contextlib
import errno
import os
import stat
import time
from os import O_APPEND, O_CREAT, O_WRONLY

import harness
import pool
from harness import case, equal, opened, read, refused, write

NOISE = b'\0stale bytes\xff'


# Reading what others wrote

@case((b'k' + NOISE, b'v' + NOISE), (b'e' + NOISE, NOISE), (NOISE, b'no entry'))
def bytes_behind_a_nul_are_never_shown(m):
    equal(m.names(), [b'k', b'e'])
    equal((read(m / 'k'), os.stat(m / 'k').st_size), (b'v', 1))
    equal((read(m / 'e'), os.stat(m / 'e').st_size), (b'', 0))


@case((b'k' + NOISE, b'v' + NOISE), (b'l' + NOISE, b'w' + NOISE),
      (NOISE, NOISE), (b'm' + NOISE, b'x' + NOISE))
def records_that_are_not_concerned_stay_byte_identical(m):
    before = pool.raw(m.pool)
    write(m / 'l', b'new')
    equal(pool.raw(m.pool),
          [before[0], pool.encode('l', 'new'), before[2], before[3]])
    write(m / 'n', b'1')
    os.rename(m / 'n', m / 'l')
    os.unlink(m / 'l')
    equal(pool.raw(m.pool), [before[0], before[2], before[3]])


@case(('', 'value'), ('k', 'v'), ('', ''))
def record_with_an_empty_key_is_no_entry_and_stays(m):
    equal(m.names(), [b'k'])
    equal(os.statvfs(m.dir).f_ffree, harness.CAP - 1)
    write(m / 'k', b'w')
    write(m / 'l', b'x')
    equal(m.records(), [(b'', b'value'), (b'k', b'w'), (b'', b''), (b'l', b'x')])


@case(('next', 'w'), (b'k' * 512, b'v' * 2048))
def fields_without_a_nul_end_at_their_width(m):
    equal(m.names(), [b'next', b'k' * 512])
    equal(read(m / ('k' * 512)), b'v' * 2048)
    os.unlink(m / 'next')
    equal(m.records(), [(b'k' * 512, b'v' * 2048)])


@case(('k', b'\xff\xfe half \xe2\x82'), (b'\xc3', 'v'))
def bytes_that_are_not_utf8_are_shown_as_they_are(m):
    equal(m.names(), [b'k', b'\xc3'])
    equal(read(m / 'k'), b'\xff\xfe half \xe2\x82')
    equal(read(m / b'\xc3'), b'v')


@case(('k', 'first'), ('l', 'x'), ('k', 'second'), ('k', ''))
def last_record_of_a_repeated_key_counts(m):
    equal((read(m / 'k'), os.stat(m / 'k').st_size), (b'', 0))
    pool.append(m.pool, ('k', 'third'))
    equal(read(m / 'k'), b'third')
    equal(m.names(), [b'k', b'l'])


@case(*[(f'k{n}', str(n)) for n in range(300)])
def deleting_keeps_the_order_of_the_others(m):
    rest = m.records()
    for n in 0, 299, 150, 151, 1:
        os.unlink(m / f'k{n}')
        rest.remove((b'k%d' % n, b'%d' % n))
        equal(m.records(), rest)
    equal(list(pool.flaws(m.pool)), [])


# A cut tail

@case(('k', 'v'), options=None)
def cut_tail_is_ignored_and_kept_by_reading_and_overwritten_by_a_new_key(m):
    for tail in b'x', pool.encode('t', 'tail')[:-1], b'k' * 600:
        pool.build(m.pool, ('k', 'v'))
        with open(m.pool, 'ab') as file:
            file.write(tail)
        before = read(m.pool)
        m.mount()
        equal(m.names(), [b'k'])
        equal(read(m / 'k'), b'v')
        equal(read(m.pool), before)
        write(m / 'n', b'w')
        equal(read(m.pool), pool.encode('k', 'v') + pool.encode('n', 'w'))
        m.unmount()


@case(('k', 'v'), ('l', 'w'))
def cut_tail_never_becomes_part_of_a_record(m):
    with open(m.pool, 'ab') as file:
        file.write(b'tail' * 100)
    os.unlink(m / 'k')
    write(m / 'l', b'x')
    write(m / 'n', b'y')
    equal(read(m.pool), pool.encode('l', 'x') + pool.encode('n', 'y'))


# What mounting does to the file

@case((b'k' + NOISE, b'v' + NOISE), options=None)
def mounting_and_reading_change_neither_content_nor_times(m):
    os.utime(m.pool, ns=(1, 1111111111123456789))
    before, bytes_before = os.stat(m.pool), read(m.pool)
    m.mount()
    equal(m.names(), [b'k'])
    equal(read(m / 'k'), b'v')
    os.statvfs(m.dir)
    with opened(m / 'k', O_WRONLY), opened(m / 'k', O_WRONLY | O_APPEND):
        pass
    m.unmount()
    after = os.stat(m.pool)
    equal((after.st_mtime_ns, after.st_ctime_ns, after.st_ino, after.st_mode),
          (before.st_mtime_ns, before.st_ctime_ns, before.st_ino, before.st_mode))
    equal(read(m.pool), bytes_before)


@case(('k', 'v'))
def pool_is_edited_in_place_and_keeps_its_mode(m):
    os.chmod(m.pool, 0o640)
    before = os.stat(m.pool)
    write(m / 'k', b'w')
    write(m / 'n', b'x')
    os.rename(m / 'n', m / 'k')
    os.unlink(m / 'k')
    after = os.stat(m.pool)
    equal((after.st_ino, after.st_mode, after.st_size),
          (before.st_ino, before.st_mode, 0))
    equal(os.listdir(m.top).count('pool'), 1)


@case(options=None)
def missing_pool_is_an_empty_store_and_made_0600_by_the_first_write(m):
    os.unlink(m.pool)
    umask = os.umask(0)
    try:
        m.mount()
    finally:
        os.umask(umask)
    equal(m.names(), [])
    equal(os.stat(m.dir).st_mode, stat.S_IFDIR | 0o700)
    equal(os.statvfs(m.dir).f_ffree, harness.CAP)
    refused(errno.ENOENT, os.stat, m / 'k')
    refused(errno.ENOENT, os.unlink, m / 'k')
    equal(os.path.exists(m.pool), False)
    with opened(m / 'k', O_WRONLY | O_CREAT) as fd:
        equal(os.path.exists(m.pool), False)
        os.write(fd, b'v')
    equal(os.stat(m.pool).st_mode, stat.S_IFREG | 0o600)
    equal(m.records(), [(b'k', b'v')])
    equal(os.stat(m / 'k').st_mode, stat.S_IFREG | 0o600)


@case(('a', '1'))
def what_kvpfs_writes_is_canonical(m):
    os.truncate(m.pool, 0)
    for n in range(40):
        write(m / f'k{n}', b'long value' * (n % 5 + 1))
    for n in range(0, 40, 3):
        write(m / f'k{n}', b's')
        os.rename(m / f'k{n}', m / f'renamed{n}')
    for n in range(1, 40, 3):
        os.unlink(m / f'k{n}')
        write(m / f'k{n + 1}', b'appended', O_WRONLY | O_APPEND)
    equal(list(pool.flaws(m.pool)), [])
    equal(len(m.records()), 27)


@case(options=None, root=True)
def full_disk_is_enospc_and_leaves_no_torn_file(m):
    place = os.path.join(m.top, 'place')
    os.mkdir(place)
    m.pool = os.path.join(place, 'pool')

    def run():
        with m.mounted():
            stored = {}
            with opened(os.path.join(place, 'filler'), O_WRONLY | O_CREAT) as filler:
                os.write(filler, b'x' * 40960)
                try:
                    for n in range(100):
                        write(m / f'k{n}', b'%d' % n)
                        stored[b'k%d' % n] = b'%d' % n
                except OSError as error:
                    equal(error.errno, errno.ENOSPC)
                assert 2 < len(stored) < 30
                equal(os.path.getsize(m.pool), len(stored) * pool.RECORD_SIZE)
                equal(m.entries(), stored)
                equal(len(m.names()), len(stored))
                write(m / 'k1', b'replaced in place')
                os.unlink(m / 'k0')
                del stored[b'k0']
                os.ftruncate(filler, 0)
            write(m / 'new', b'v')
            equal(m.entries(), {**stored, b'k1': b'replaced in place', b'new': b'v'})
    harness.with_mounts(run, ['mount', '-t', 'tmpfs', '-o', 'size=96k', 'none', place])


# Stale pools

def boot_time():
    with open('/proc/stat') as file:
        return next(int(line.split()[1]) for line in file if line.startswith('btime'))


@case(('k', 'v'), options=None)
def stale_pool_is_emptied_only_when_asked(m):
    before = boot_time() - 1000         # which is another one when the clock is set
    os.utime(m.pool, (before, before))
    m.mount()
    equal(read(m / 'k'), b'v')
    m.unmount()
    equal(os.stat(m.pool).st_mtime, before)
    m.mount('truncate_on_stale')
    equal(m.names(), [])
    m.unmount()
    equal(m.records(), [])
    emptied = (f'kvpfs: emptied pool "{m.pool}": it was last changed before the machine '
               'started\n').encode()
    equal(read(m.log), emptied)
    os.utime(m.pool, (boot_time() - 1000,) * 2)
    with m.mounted('truncate_on_stale'):
        equal(read(m.log), emptied)             # nothing was lost this time


@case(('k', 'v'), options=None)
def pool_changed_after_boot_is_not_stale(m):
    os.utime(m.pool, (max(boot_time() + 2, time.time()),) * 2)
    m.mount('truncate_on_stale')
    equal(m.names(), [b'k'])
    m.unmount()
    equal(m.records(), [(b'k', b'v')])


@case(options=None)
def missing_pool_is_not_stale_and_not_made(m):
    os.unlink(m.pool)
    m.mount('truncate_on_stale')
    equal(m.names(), [])
    m.unmount()
    equal(os.path.exists(m.pool), False)


@case(('k', 'v'), options=None)
def stale_pool_mounted_read_only_is_not_emptied(m):
    os.utime(m.pool, (boot_time() - 1000,) * 2)
    with contextlib.suppress(AssertionError):   # to refuse to mount is as good
        m.mount('ro,truncate_on_stale')
    m.clean_up()
    equal(m.records(), [(b'k', b'v')])


if __name__ == '__main__':
    harness.main()
