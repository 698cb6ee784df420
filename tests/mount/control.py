#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""The directory .kvpfs and its files that are no stream: records, entries, pool
and status, and what they show of a pool. Writing records is in control_records.py.
"""

import errno
import os
import stat
from os import O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY

import harness
import pool
from harness import (CAP, NOBODY, VERSIONS, Child, Holder, case, control, equal,
                     eventually, numbered, opened, read, refused, status, write)

NAMES = ['entries', 'events', 'pool', 'records', 'status']
READ_ONLY = [name for name in NAMES if name not in ("records", "pool")]
BRIEF, LONG = 'lock_timeout=0.1', 'lock_timeout=40'
REPLACE, APPEND = O_WRONLY | O_TRUNC, O_WRONLY | O_APPEND
NOISE = b'\0stale bytes\xff'


def pool_holds(m, data):
    """Exactly these bytes; they are too many to be shown."""
    assert read(m.pool) == data, f'the pool is {m.records()!r:.500}'


def refused_by(numbers, function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        assert error.errno in numbers, f'{errno.errorcode[error.errno]}: {arguments}'
    else:
        raise AssertionError(f'{function.__name__}{arguments} succeeded')


def status_is(m, **wanted):
    found = status(m)
    equal({name: found[name] for name in wanted},
          {name: str(value) for name, value in wanted.items()})


def as_many(**counts):
    return {'records': 0, 'keys': 0, 'repeated': 0, 'empty_keys': 0, 'not_utf8': 0,
            'unlisted': 0, 'torn_bytes': 0, 'stale': 'no', 'hidden_from_host': 0,
            **counts}


# What the files show

ODD = [('a', '1'), ('b', '2'), ('a', '3'), ('', 'no entry'), (b'n' + NOISE, NOISE),
       (b'\xff', b'\xfe'), ('', ''), ('b', '')]


@case(*ODD)
def records_shows_every_record_in_file_order_but_those_with_an_empty_key(m):
    equal(read(control(m)), b'a=1\nb=2\na=3\nn=\n\xff=\xfe\nb=\n')


@case(*ODD)
def entries_shows_each_key_once_with_its_last_value(m):
    equal(sorted(read(control(m, 'entries')).splitlines()),
          [b'a=3', b'b=', b'n=', b'\xff=\xfe'])


@case(*ODD)
def pool_shows_the_exact_bytes_but_for_a_cut_tail(m):
    before = read(m.pool)
    equal(read(control(m, 'pool')), before)
    with open(m.pool, 'ab') as file:
        file.write(b'cut tail')
    equal(read(control(m, 'pool')), before)
    equal(os.stat(control(m, 'pool')).st_size, len(before))


@case(*[(key, value) for key, value, _ in pool.ESCAPED])
def lines_are_escaped_where_they_must_be_and_nowhere_else(m):
    for name in 'records', 'entries':
        equal(read(control(m, name)).split(b'\n'),
              [wanted for _, _, wanted in pool.ESCAPED] + [b''])


@case()
def escaped_lines_are_decoded(m):
    for flags in REPLACE, APPEND:
        lines = b''.join(wanted + b'\n' for _, _, wanted in pool.ESCAPED)
        write(control(m), lines, flags)
        equal(m.records(), [(key, value) for key, value, _ in pool.ESCAPED])
        os.truncate(m.pool, 0)


@case(*numbered(40))
def handle_keeps_the_version_of_its_open(m):
    for name in 'records', 'entries', 'pool', 'status':
        pool.build(m.pool, *numbered(40))
        before = read(control(m, name))
        with opened(control(m, name)) as fd, opened(control(m, name)) as late:
            found = os.read(fd, 30)
            pool.put(m.pool, 'key-0000', 'changed')
            os.unlink(m / 'key-0001')
            found += os.read(fd, 30)
            os.unlink(m.pool)
            while part := os.read(fd, 1000):
                found += part
            equal(found, before)
            equal(b''.join(iter(lambda: os.read(late, 4096), b'')), before)
            equal(os.pread(fd, 20, 5), before[5:25])
        assert read(control(m, name)) != before


@case(('k', '000'))
def open_sees_each_change_at_once(m):
    for n in range(100):
        pool.put(m.pool, 'k', '%03d' % n)
        for name in 'records', 'entries':
            equal(read(control(m, name)), b'k=%03d\n' % n)
        equal(read(control(m, 'pool')), read(m.pool))
        write(m / 'k', b'x')
        equal(read(control(m)), b'k=x\n')


@case(*numbered(300), options='mode=full')
def any_part_of_a_long_file_can_be_read(m):
    for name in 'records', 'pool':
        whole = read(control(m, name))
        with opened(control(m, name)) as fd:
            for at, size in (0, 1), (4095, 4097), (len(whole) - 7, 100), (2559, 2561):
                equal(os.pread(fd, size, at), whole[at:at + size])
            equal(os.pread(fd, 10, len(whole)), b'')
            equal(os.pread(fd, 10, 1 << 40), b'')


@case(*VERSIONS[0])
def readers_beside_writers_see_whole_versions_only(m):
    def through_the_mount():
        for n in range(80):
            write(control(m), pool.text(*VERSIONS[n % 2]), REPLACE)

    def outside():
        data = [b''.join(pool.encode(*pair) for pair in pairs) for pairs in VERSIONS]
        for n in range(80):
            with pool.locked(m.pool) as fd:
                os.ftruncate(fd, 0)
                os.write(fd, data[n % 2])
    shown = {name: set() for name in ('records', 'entries', 'pool')}
    writers = [Child(through_the_mount), Child(outside)]
    while not all(writer.is_done() for writer in writers):
        for name, found in shown.items():
            found.add(read(control(m, name)))
    for writer in writers:
        writer.result()
    texts = {pool.text(*pairs) for pairs in VERSIONS}
    bytes_ = {b''.join(pool.encode(*pair) for pair in pairs) for pairs in VERSIONS}
    assert shown['records'] <= texts, 'mixed records'
    assert shown['entries'] <= texts, 'mixed entries'
    assert shown['pool'] <= bytes_, 'mixed pool'


# The directory

@case(('k', 'v'), ('.kvpfs', 'key'), ('.', 'dot'))
def directory_is_hidden_from_listings_and_reachable_by_name(m):
    equal(sorted(m.names()), [b'%2E', b'%2Ekvpfs', b'k'])
    with os.scandir(m.dir) as entries:
        equal(sorted(entry.name for entry in entries), ['%2E', '%2Ekvpfs', 'k'])
    equal(sorted(os.listdir(m / '.kvpfs')), NAMES)
    with os.scandir(m / '.kvpfs') as entries:
        equal({(entry.name, entry.is_file(), entry.inode()) for entry in entries},
              {(name, True, os.stat(control(m, name)).st_ino) for name in NAMES})


@case(('k', 'v'))
def key_of_the_same_name_is_a_file_of_its_own(m):
    write(m / '%2Ekvpfs', b'1')
    equal(m.value('.kvpfs'), b'1')
    equal(read(m / '%2Ekvpfs'), b'1')
    equal(stat.S_ISDIR(os.stat(m / '.kvpfs').st_mode), True)
    write(control(m), b'.kvpfs=2\n', APPEND)
    equal(read(m / '%2Ekvpfs'), b'2')
    os.rename(m / 'k', m / '%2Ekvpfs')
    equal(m.records(), [(b'.kvpfs', b'v')])
    os.unlink(m / '%2Ekvpfs')
    equal(sorted(os.listdir(m / '.kvpfs')), NAMES)


@case(('k', 'value'), options=None)
def owner_and_modes_are_those_of_the_keys(m):
    for mode in 0o644, 0o600, 0o440:
        os.chmod(m.pool, mode)
        with m.mounted():
            key, root = os.stat(m / 'k'), os.stat(m.dir)
            for name in NAMES:
                found = os.stat(control(m, name))
                equal((found.st_uid, found.st_gid), (key.st_uid, key.st_gid))
                equal(found.st_mode & ~0o222, key.st_mode & ~0o222)
                if name in READ_ONLY:
                    equal(found.st_mode & 0o222, 0)
            equal(os.stat(control(m)).st_mode, key.st_mode)
            found = os.stat(m / '.kvpfs')
            equal((found.st_uid, found.st_gid), (root.st_uid, root.st_gid))
            equal(found.st_mode & ~0o222, root.st_mode & ~0o222)


@case(('k', 'value'), options='allow_other', root=True)
def others_may_what_they_may_with_the_keys(m):
    for mode, number in (0o644, 0), (0o640, errno.EACCES):
        os.chmod(m.pool, mode)

        def as_other():
            for name in 'records', 'entries', 'pool', 'status':
                if number:
                    refused(number, read, control(m, name))
                else:
                    read(control(m, name))
            for flags in REPLACE, APPEND, O_RDWR:
                refused(errno.EACCES, os.open, control(m), flags)
            refused(errno.EACCES, os.truncate, control(m), 0)
        Child(as_other, user=NOBODY).result()
    equal(m.records(), [(b'k', b'value')])


@case(('k', 'value'))
def size_is_what_reading_gives_and_numbers_are_their_own(m):
    paths = [m.dir, m / 'k', m / '.kvpfs', *(control(m, name) for name in NAMES)]
    found = [os.stat(path) for path in paths]
    equal(len({st.st_ino for st in found}), len(paths))
    equal([(st.st_size, st.st_nlink, stat.S_ISREG(st.st_mode)) for st in found[3:]],
          [(0 if name == 'events' else len(read(control(m, name))), 1, True)
           for name in NAMES])
    equal([os.stat(path).st_ino for path in paths], [st.st_ino for st in found])


@case(('k', 'v'))
def nothing_can_be_made_renamed_or_removed_in_it(m):
    inside, new, records = m / '.kvpfs', control(m, 'new'), control(m)
    before = read(m.pool)
    for change in ((os.unlink, records), (os.rename, records, new),
                   (os.rename, records, m / 'n'), (os.rename, records, m / 'k'),
                   (os.rename, m / 'k', new), (os.rename, m / 'k', records),
                   (os.rename, records, control(m, 'pool')),
                   (os.rename, inside, m / 'n'), (os.rename, inside, new),
                   (os.link, records, m / 'n'), (os.link, m / 'k', new),
                   (os.symlink, 'k', new), (os.mkdir, new), (os.mknod, new),
                   (os.open, new, O_WRONLY | O_CREAT), (os.mkfifo, new),
                   (os.open, new, O_WRONLY | O_CREAT | O_EXCL),
                   (os.rmdir, inside), (os.chmod, inside, 0), (os.chmod, records, 0)):
        refused_by((errno.EPERM, errno.EXDEV, errno.EINVAL), *change)
    for change in ((os.mkdir, inside), (os.mkdir, records), (os.mknod, records),
                   (os.symlink, 'k', inside),
                   (os.open, records, O_WRONLY | O_CREAT | O_EXCL)):
        refused_by((errno.EEXIST, errno.EPERM), *change)
    for change in ((os.open, inside, O_WRONLY | O_CREAT), (os.unlink, inside),
                   (os.rename, m / 'k', inside)):
        refused_by((errno.EISDIR, errno.EPERM), *change)
    for name in 'missing', '..kvpfs', 'records2', 'record', '%72ecords':
        refused(errno.ENOENT, os.stat, control(m, name))
    pool_holds(m, before)
    equal(sorted(os.listdir(inside)), NAMES)


@case(('k', 'v'))
def files_that_only_show_refuse_to_be_written(m):
    for name in READ_ONLY:
        for flags in (O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_RDONLY | O_TRUNC,
                      O_WRONLY | O_APPEND, O_WRONLY | O_CREAT):
            refused(errno.EACCES, os.open, control(m, name), flags)
        refused_by((errno.EACCES, errno.EINVAL), os.truncate, control(m, name), 0)
    equal(m.records(), [(b'k', b'v')])


@case(('k', 'v'), options='ro')
def read_only_mount_shows_all_and_refuses_to_write(m):
    equal(read(control(m)), b'k=v\n')
    equal(read(control(m, 'pool')), read(m.pool))
    for flags in REPLACE, APPEND, O_RDWR:
        refused(errno.EROFS, os.open, control(m), flags)
    refused(errno.EROFS, os.truncate, control(m), 0)
    equal(m.records(), [(b'k', b'v')])


# Locks

@case(('k', 'v'), options=BRIEF)
def files_are_not_read_while_another_changes_the_pool(m):
    for kind in 'posix-ex', 'ofd-ex', 'flock-ex':
        with Holder(m, kind, 'held=1'):
            for name in 'records', 'pool', 'entries':
                refused(errno.EBUSY, os.open, control(m, name), O_RDONLY)
        assert read(control(m)).endswith(b'held=1\n')


@case(('k', 'u'), ('k', 'v'), options=BRIEF)
def what_is_not_kept_in_memory_is_not_read_from_a_pool_that_another_has(m):
    for kind in 'posix-ex', 'ofd-ex', 'flock-ex':
        with Holder(m, kind):
            for name in 'records', 'pool':
                refused(errno.EBUSY, os.open, control(m, name), O_RDONLY)
            equal(read(control(m, 'entries')), b'k=v\n')
        equal(read(control(m)), b'k=u\nk=v\n')
    write(m / 'k', b'v')                # without repeats there is no need to
    with Holder(m):
        equal(read(control(m)), b'k=v\n')
        os.stat(control(m, 'pool'))


# The status

@case(('k', 'v'), options=BRIEF)
def status_is_shown_whoever_has_the_pool_locked(m):
    for kind in 'posix-ex', 'ofd-ex', 'flock-ex':
        before = read(control(m, 'status'))
        with Holder(m, kind) as holder:
            holder.append('l=w')        # which nobody can read yet
            with opened(m / '.kvpfs', os.O_RDONLY | os.O_DIRECTORY) as fd:
                os.fstat(fd)
            equal(read(control(m, 'status')), before)
        equal(status(m)['keys'], '2')
        os.unlink(m / 'l')


@case(*numbered(3))
def status_names_the_pool_its_path_and_the_limits(m):
    status_is(m, pool='pool', path=m.pool, mode='restricted', max_key_size=254,
              max_value_size=1022, max_keys=CAP, lock_waits=0, lock_timeouts=0,
              **as_many(records=3, keys=3))
    equal(sorted(status(m)), sorted([
        'pool', 'path', 'mode', 'records', 'keys', 'repeated', 'empty_keys', 'not_utf8',
        'unlisted', 'torn_bytes', 'stale', 'max_key_size', 'max_value_size', 'max_keys',
        'hidden_from_host', 'first_hiding', 'cut_for_host', 'lock_waits',
        'lock_timeouts']))
    m.unmount()
    os.rename(m.pool, os.path.join(m.top, '.kvp_pool_3'))
    m.pool = os.path.join(m.top, '.kvp_pool_3')
    m.mount('mode=full')
    status_is(m, pool='auto-external', path=m.pool, mode='full', max_key_size=512,
              max_value_size=2048, max_keys=CAP, **as_many(records=3, keys=3))


@case(options=None)
def path_with_a_newline_stays_one_line(m):
    os.mkdir(os.path.join(m.top, 'a\nkeys=7'))
    m.pool = os.path.join(m.top, 'a\nkeys=7', 'pool')
    m.mount()
    status_is(m, keys=0)


@case()
def status_counts_what_is_in_the_pool(m):
    long = '/' * 342                     # 1026 bytes as a name
    for pairs, tail, counts in (
            ([], b'', {}),
            ([], b'x' * 2559, {'torn_bytes': 2559}),
            ([('a', '1'), ('a', '2'), ('b', ''), ('a', '')], b'cut',
             {'records': 4, 'keys': 2, 'repeated': 2, 'torn_bytes': 3}),
            ([('', '1'), ('a', '1'), ('', '')], b'',
             {'records': 3, 'keys': 1, 'empty_keys': 2}),
            ([(long, '1'), ('/' * 341, '1'), (long, '2')], b'',
             {'records': 3, 'keys': 2, 'repeated': 1, 'unlisted': 1}),
            ([('a', b'\xff'), (b'\xc3', 'v'), (b'\xc3', b'\xc3'), ('b', '')], b'',
             {'records': 4, 'keys': 3, 'repeated': 1, 'not_utf8': 3,
              'hidden_from_host': 3}),
            ([(b'k' + NOISE, b'v' + NOISE)], b'', {'records': 1, 'keys': 1}),
            (numbered(CAP), b'', {'records': CAP, 'keys': CAP}),
            (numbered(CAP + 9), b'', {'records': CAP + 9, 'keys': CAP + 9})):
        pool.build(m.pool, *pairs)
        with open(m.pool, 'ab') as file:
            file.write(tail)
        status_is(m, **as_many(**counts))
    os.unlink(m.pool)
    status_is(m, **as_many())


def hides(key, value):
    """How the host gets this record: does it end the enumeration?"""
    return [('before', '1'), (key, value), ('after', '2'), (b'\xff', ''), ('', '')]


@case()
def records_behind_the_first_that_the_host_cannot_read_are_hidden(m):
    wide, narrow = '𝄞'.encode(), '€'.encode()
    for key, value, hidden in (
            ('k', 'v', 1), ('k', b'\xff', 3), (b'k\xff', 'v', 3), ('k', b'v\xc3', 3),
            ('k', b'\xed\xa0\x80', 3), ('k', b'\xc0\x80', 3),
            ('k', b'\xf5\x80\x80\x80', 3),
            # 254 and 1022 UTF-16 units are handed over, the rest is cut
            (b'k' * 253 + b'\xff', 'v', 3), (b'k' * 254 + b'\xff', 'v', 1),
            ('k', b'v' * 1021 + b'\xff', 3), ('k', b'v' * 1022 + b'\xff', 1),
            ('k', narrow * 340 + b'v' * 681 + b'\xff', 3),
            ('k', narrow * 340 + b'v' * 682 + b'\xff', 1),
            (wide * 126 + b'k' + b'\xff', 'v', 3), (wide * 127 + b'\xff', 'v', 1),
            ('k', wide * 510 + b'v\xff', 3), ('k', wide * 511 + b'\xff', 1),
            # no room for both halves of a pair: cut there
            ('k', b'v' * 1021 + wide + b'\xff', 1), ('', b'\xff', 3)):
        pool.build(m.pool, *hides(key, value))
        status_is(m, hidden_from_host=hidden, records=5)
    pool.build(m.pool, *hides('k', b'\xff')[:2])
    status_is(m, hidden_from_host=0, first_hiding='k', not_utf8=1)
    pool.build(m.pool, *hides('a/b\n', b'\xff'))
    status_is(m, hidden_from_host=3, first_hiding='a%2Fb%0A')
    pool.build(m.pool, ('k' * 255, 'v'), ('k', 'v' * 1023), ('k', 'v' * 1022))
    status_is(m, hidden_from_host=0, first_hiding='', cut_for_host=2)


def boot_time():
    with open('/proc/stat') as file:
        return next(int(entry.split()[1]) for entry in file if entry.startswith('btime'))


@case(('k', 'v'))
def status_says_whether_the_pool_is_stale(m):
    for time, stale in ((boot_time() - 100, 'yes'), (boot_time() + 5, 'no'), (0, 'yes')):
        os.utime(m.pool, (time, time))
        status_is(m, stale=stale)
    write(m / 'k', b'w')
    status_is(m, stale='no')
    os.utime(m.pool, (0, 0))
    status_is(m, stale='yes')
    os.unlink(m.pool)
    status_is(m, stale='no')


@case(('k', 'v'), options=None, root=True)
def status_does_without_a_boot_time_and_emptying_stale_pools_does_not(m):
    def run():
        with m.mounted():
            status_is(m, stale='unknown', records=1)
            os.unlink(m.pool)
            status_is(m, stale='no')
        pool.build(m.pool, ('k', 'v'))
        try:
            m.mount('truncate_on_stale')
        except AssertionError:
            m.program = None
        equal(harness.is_mounted(m.dir), False)
        equal(m.records(), [(b'k', b'v')])
        with open(m.log) as log:
            assert 'boot time is unknown: cannot read /proc/stat' in log.read()
    harness.with_mounts(run, ['mount', '--bind', '/dev/null', '/proc/stat'])


@case(('k', 'v'), options=BRIEF)
def status_counts_waits_for_the_lock_and_those_in_vain(m):
    for n in 1, 2, 3:
        with opened(m / 'k', O_WRONLY) as fd, Holder(m, 'flock-sh'):
            refused(errno.EBUSY, os.write, fd, b'w')
        status_is(m, lock_waits=n, lock_timeouts=n)


@case(('k', 'v'), options=LONG)
def status_counts_waits_that_were_not_in_vain(m):
    with opened(m / 'k', O_WRONLY) as fd, Holder(m, 'flock-sh') as holder:
        child = Child(os.write, fd, b'w')
        eventually(lambda: status(m)['lock_waits'] == '1')
        equal(child.is_done(), False)
        holder.release()
        equal(child.result(), 1)
    status_is(m, lock_waits=1, lock_timeouts=0)


if __name__ == '__main__':
    harness.main()
