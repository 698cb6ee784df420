#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""A request that finds the pool locked has changed nothing, and is run again.

Each kind of request is made many times: the first try of the pool's lock that it
leads to finds it taken, then the second one, and so on until no try is left
(lock_shim.c). Each time all must be as it is without: the answer, the pool, and what
the mount shows then. A mount that does not wait is asked again by its caller, with
the same result.

A scene is a generator. What it does before it yields nothing is preparation; each
function that it yields after that is a system call, which gets an answer.
"""

import contextlib
import errno
import mmap
import os
import stat
import struct
from os import O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY

import harness
import pool
from harness import (EXCHANGE, NOREPLACE, RUNNER, Skip, case, control, equal, figures,
                     read, renameat2)

SHIM = os.path.join(harness.BUILD, 'tests', 'mount', 'lock_shim.so')
RECORDS = ('j', 'jay'), ('k', 'old'), ('l', 'ell'), ('k', 'value')
EMPTY = O_WRONLY | O_CREAT | O_TRUNC
MODE = stat.S_IFREG | 0o644
scenes = []


class Tries:
    """What lock_shim.c is told, and tells."""

    def __init__(self, path):
        with open(path, 'wb') as file:
            file.truncate(32)
        with open(path, 'r+b') as file:
            self.map = mmap.mmap(file.fileno(), 32)

    def set(self, first, second):
        self.map[:] = struct.pack('=4Q', 0, first, second, 0)

    def failed(self):
        return struct.unpack('=4Q', self.map[:])[3]


class Stage:
    """A mount with a pool of RECORDS, and the files that a scene has open there."""

    def __init__(self, m, tries, asks_again):
        self.m, self.tries, self.asks_again = m, tries, asks_again
        self.fds = []

    def __truediv__(self, name):
        return self.m / name

    def open(self, name, flags=O_RDONLY):
        fd = os.open(self.m / name, flags, 0o644)
        self.fds.append(fd)
        return fd

    def close(self, fd):
        self.fds.remove(fd)
        os.close(fd)

    def flush(self, fd):
        os.close(os.dup(fd))

    def shown(self, name):
        """What a file shows, by calls each of which can be made again."""
        fd = self.ask(lambda: self.open(name))
        if not isinstance(fd, int):
            return fd
        value = self.ask(lambda: os.pread(fd, 99999, 0))
        self.close(fd)
        return value

    def ask(self, call):
        """The answer, or the name of the error. Who is told to try again does so."""
        while True:
            try:
                return call()
            except OSError as error:
                if not self.asks_again or error.errno != errno.EBUSY:
                    return errno.errorcode[error.errno]

    def listed(self):
        fd = self.ask(lambda: self.open(''))
        names = sorted(os.listdir(fd))
        self.close(fd)
        return names

    def see(self):
        """All that the mount shows now, and then the pool."""
        names = self.listed()
        return (names, [(self.ask(lambda: attributes(self / name)), self.shown(name))
                        for name in names],
                self.shown('.kvpfs/records'), self.m.records())

    def prepare(self):
        """As if nothing had been before: no key is known any more."""
        pool.build(self.m.pool)
        equal(self.m.names(), [])
        pool.build(self.m.pool, *RECORDS)
        self.m.names()

    def play(self, scene, outside, first=0, second=0):
        """All answers, what is seen then, and what is left when all is closed."""
        self.prepare()
        answers = []
        for call in scene(self):
            if call:
                answers.append(self.ask(call))
                continue
            if outside:
                pool.put(self.m.pool, 'j', 'changed')
            self.tries.set(first, second)
        seen = self.see()
        failed = self.tries.failed()
        self.tries.set(0, 0)
        while self.fds:
            with contextlib.suppress(OSError):      # it may end in half a character
                self.close(self.fds[0])
        self.m.names()                  # answered when they are closed
        return failed, (answers, seen, self.m.records())


def scene(repeatable=True):
    """REPEATABLE: a caller can make the calls again that fail."""
    def register(function):
        function.repeatable = repeatable
        scenes.append(function)
        return function
    return register


def attributes(path):
    st = os.stat(path)
    return st.st_mode, st.st_nlink, st.st_size, st.st_uid, st.st_gid


# Names

@scene()
def look_up(s):
    yield
    yield lambda: attributes(s / 'k')
    yield lambda: attributes(s / 'absent')


@scene()
def look_up_control(s):
    yield
    for name in '', '/records', '/entries', '/pool', '/events', '/absent':
        yield lambda: attributes(s / f'.kvpfs{name}')[:2]


@scene()
def attributes_of_the_directory(s):
    yield
    yield lambda: attributes(s / '')
    yield lambda: os.statvfs(s / '')[:6]


@scene(repeatable=False)                # it is there when the answer has to wait
def make(s):
    yield
    yield lambda: os.mknod(s / 'new', MODE)
    yield lambda: os.mknod(s / 'k', MODE)


@scene()
def create(s):
    yield
    yield lambda: s.open('new', EMPTY | O_EXCL) and attributes(s / 'new')


@scene()
def create_what_is_there(s):
    yield
    yield lambda: s.open('k', EMPTY | O_EXCL)


@scene()
def remove(s):
    fd = s.open('k', O_RDWR)
    yield
    yield lambda: os.unlink(s / 'k')
    yield lambda: os.unlink(s / 'k')
    yield lambda: (os.fstat(fd).st_nlink, os.pread(fd, 99, 0))


@scene()
def remove_what_is_being_made(s):
    fd = s.open('new', EMPTY)
    yield
    yield lambda: os.unlink(s / 'new')
    yield lambda: os.write(fd, b'new')


@scene()
def rename(s):
    fd = s.open('l')
    yield
    yield lambda: os.rename(s / 'k', s / 'l')
    yield lambda: os.rename(s / 'l', s / 'n')
    yield lambda: os.rename(s / 'absent', s / 'n')
    yield lambda: os.pread(fd, 99, 0)


@scene()
def rename_without_replacing(s):
    yield
    yield lambda: renameat2(s / 'k', s / 'l', NOREPLACE)
    yield lambda: renameat2(s / 'k', s / 'n', NOREPLACE)


@scene()
def exchange(s):
    yield
    yield lambda: renameat2(s / 'k', s / 'l', EXCHANGE)
    yield lambda: renameat2(s / 'k', s / 'absent', EXCHANGE)


@scene()
def rename_what_is_being_made(s):
    fd = s.open('new', EMPTY)
    yield
    yield lambda: os.rename(s / 'new', s / 'k')
    yield lambda: os.write(fd, b'new')


@scene()
def rename_over_what_is_being_made(s):
    fd = s.open('new', EMPTY)
    yield
    yield lambda: os.rename(s / 'k', s / 'new')
    yield lambda: os.write(fd, b'new')


@scene()
def exchange_what_is_being_made(s):
    fd = s.open('new', EMPTY)
    yield
    yield lambda: renameat2(s / 'k', s / 'new', EXCHANGE)
    yield lambda: os.write(fd, b'new')


@scene()
def list_names(s):
    fd = s.open('')
    s.open('new', EMPTY)
    yield
    yield lambda: s.close(s.open(''))
    yield s.listed
    # from its start again
    yield lambda: sorted(os.listdir(f'/proc/self/fd/{fd}'))


# Files

@scene()
def open_and_read(s):
    yield
    yield lambda: s.open('k') and None
    yield lambda: os.fstat(s.fds[0]).st_size
    yield lambda: os.pread(s.fds[0], 99, 0)


@scene()
def open_removed_outside(s):
    fd = s.open('k')
    pool.delete(s.m.pool, 'k')
    yield
    yield lambda: s.open('k') and None
    yield lambda: os.pread(fd, 99, 0)


@scene()
def open_to_write(s):
    yield
    yield lambda: s.open('k', O_RDWR) and None
    yield lambda: os.pwrite(s.fds[0], b'V', 0)
    yield lambda: os.pread(s.fds[0], 99, 0)
    yield lambda: os.fstat(s.fds[0]).st_size


@scene()
def open_and_empty(s):
    yield
    yield lambda: s.open('k', EMPTY) and None
    yield lambda: os.stat(s / 'k').st_size


@scene()
def open_to_write_beside_a_reader(s):
    reader = s.open('k')
    yield
    yield lambda: s.open('k', O_WRONLY) and None
    yield lambda: os.pwrite(s.fds[1], b'other', 0)
    yield lambda: os.pread(reader, 99, 0)


@scene()
def open_by_descriptor(s):
    fd = s.open('k')
    yield
    yield lambda: s.open(f'/proc/self/fd/{fd}', O_WRONLY) and None
    yield lambda: os.write(s.fds[1], b'other')


@scene()
def write_over_an_emptied_file(s):
    fd = s.open('k', O_RDWR | O_TRUNC)
    yield
    yield lambda: os.write(fd, b'new')
    yield lambda: os.pwrite(fd, b'er', 3)
    yield lambda: os.pread(fd, 99, 0)


@scene()
def write_a_new_file(s):
    fd = s.open('new', EMPTY)
    yield
    yield lambda: os.write(fd, b'n')
    yield lambda: os.pwrite(fd, b'ew', 1)


@scene()
def write_in_halves_of_a_character(s):
    fd = s.open('k', EMPTY)
    yield
    for part in '€'.encode()[:1], '€'.encode()[1:], b'\xc3':
        yield lambda: os.write(fd, part)
    yield lambda: s.flush(fd)
    yield lambda: os.fsync(fd)
    yield lambda: os.write(fd, b'\xa9')
    yield lambda: s.flush(fd)


@scene()
def refused_writes(s):
    fd = s.open('k', EMPTY)
    yield
    for data in b'\0', b'\xff', b'x' * 1023:
        yield lambda: os.write(fd, data)
    yield lambda: os.pwrite(fd, b'x', 9)


@scene()
def append(s):
    fds = [s.open(name, O_WRONLY | O_CREAT | O_APPEND) for name in ('k', 'new')]
    yield
    for fd in fds:
        yield lambda: os.write(fd, b' and')
        yield lambda: os.write(fd, b' more')


@scene()
def write_what_was_removed_outside(s):
    fds = s.open('k', O_WRONLY), s.open('l', O_WRONLY)
    for key in 'k', 'l':
        pool.delete(s.m.pool, key)
    yield
    yield lambda: os.write(fds[0], b'again')
    yield lambda: os.ftruncate(fds[1], 0)
    yield lambda: os.fsync(fds[1])


@scene()
def sync(s):
    fds = s.open('k', EMPTY), s.open('new', EMPTY), s.open('l')
    yield
    for fd in fds:
        yield lambda: os.fsync(fd)


@scene(repeatable=False)
def close_what_was_emptied(s):
    fds = s.open('k', EMPTY), s.open('new', EMPTY), s.open('l', O_WRONLY)
    yield
    for fd in fds:
        yield lambda: s.close(fd)


@scene()
def truncate(s):
    yield
    for size in 3, 9, 0, 0:
        yield lambda: os.truncate(s / 'k', size)
    yield lambda: os.truncate(s / 'absent', 0)


@scene()
def truncate_beside_a_reader(s):
    fd = s.open('k')
    yield
    yield lambda: os.truncate(s / 'k', 3)
    yield lambda: os.pread(fd, 99, 0)


@scene()
def truncate_by_descriptor(s):
    fd = s.open('k')
    yield
    yield lambda: os.truncate(f'/proc/self/fd/{fd}', 3)
    yield lambda: os.truncate(f'/proc/self/fd/{fd}', 2)
    yield lambda: os.pread(fd, 99, 0)


@scene()
def truncate_an_open_file(s):
    fds = s.open('k', O_RDWR), s.open('l', O_RDWR), s.open('new', O_RDWR | O_CREAT)
    yield
    for fd in fds:
        for size in 2, 0, 1:
            yield lambda: os.ftruncate(fd, size)
        yield lambda: os.fstat(fd).st_size
    yield lambda: os.write(fds[0], b'new')


@scene()
def truncate_removed(s):
    fd = s.open('k', O_RDWR)
    os.unlink(s / 'k')
    yield
    yield lambda: os.ftruncate(fd, 2)
    yield lambda: os.pread(fd, 99, 0)
    yield lambda: os.truncate(f'/proc/self/fd/{fd}', 1)


@scene()
def give(s):
    fd = s.open('l', EMPTY)
    yield
    yield lambda: os.chmod(s / 'k', 0o600)
    yield lambda: os.utime(s / 'k', (1, 1))
    yield lambda: os.stat(s / 'k').st_mtime
    yield lambda: os.fchmod(fd, 0o640)
    yield lambda: os.chown(s / 'k', os.getuid(), os.getgid())
    yield lambda: os.utime(s / '', (1, 1))


# .kvpfs

def lines(count):
    return b''.join(b'n%d=%d\n' % (n, n) for n in range(count))


@scene()
def show(s):
    yield
    for name in 'records', 'entries', 'pool':
        yield lambda: s.open(f'.kvpfs/{name}') and None
        yield lambda: os.fstat(s.fds[-1]).st_size
        yield lambda: os.read(s.fds[-1], 99999)
    yield lambda: s.open('.kvpfs') and None
    yield lambda: os.listdir(s.fds[-1])
    yield lambda: b'mode=restricted' in read(s / '.kvpfs/status')


@scene()
def replace_records(s):
    fd = s.open('.kvpfs/records', EMPTY)
    yield
    yield lambda: s.flush(fd)
    yield lambda: os.write(fd, lines(3))
    yield lambda: os.write(fd, b'last=on')
    yield lambda: s.flush(fd)
    yield lambda: os.write(fd, b'e\n')
    yield lambda: s.flush(fd)
    yield lambda: os.fsync(fd)


@scene()
def replace_pool(s):
    fd = s.open('.kvpfs/pool', EMPTY)
    yield
    yield lambda: os.write(fd, pool.encode('a', '1') + pool.encode('a', '2'))
    yield lambda: s.flush(fd)
    yield lambda: os.fsync(fd)


@scene()
def change_in_place(s):
    """Without emptying it first, as rsync --inplace does."""
    fds = s.open('.kvpfs/pool', O_RDWR), s.open('.kvpfs/records', O_WRONLY)
    yield
    yield lambda: os.pwrite(fds[0], pool.encode('a', '1'), 0)
    yield lambda: os.ftruncate(fds[0], 2 * pool.RECORD_SIZE)
    yield lambda: s.flush(fds[0])
    yield lambda: os.pwrite(fds[1], b'b=2', 0)
    yield lambda: os.ftruncate(fds[1], 4)
    yield lambda: s.flush(fds[1])


@scene()
def replace_with_what_is_invalid(s):
    fds = s.open('.kvpfs/records', EMPTY), s.open('.kvpfs/pool', EMPTY)
    yield
    yield lambda: os.write(fds[0], b'no record\n')
    yield lambda: os.write(fds[1], b'no pool')
    for fd in fds:
        yield lambda: s.flush(fd)


@scene()
def add_records(s):
    fd = s.open('.kvpfs/records', O_WRONLY | O_APPEND)
    yield
    yield lambda: os.write(fd, b'k=1\nk=2\nn=')
    yield lambda: os.write(fd, b'3\n=bad\n')
    yield lambda: os.write(fd, b'o=4')
    yield lambda: s.flush(fd)
    yield lambda: s.flush(fd)


@scene()
def clear(s):
    yield
    yield lambda: os.truncate(control(s.m), 0)
    yield lambda: os.truncate(control(s.m, 'pool'), 0)


@scene()
def clear_by_fsync(s):
    fd = s.open('.kvpfs/records', O_RDWR)
    yield
    yield lambda: os.ftruncate(fd, 0)
    yield lambda: os.fsync(fd)


@scene(repeatable=False)
def clear_by_closing(s):
    yield
    yield lambda: s.open('.kvpfs/records', EMPTY) and None
    yield lambda: os.mknod(s / 'new', MODE)
    yield lambda: s.close(s.fds[0])
    yield lambda: s.open('.kvpfs/pool', EMPTY) and None
    yield lambda: s.close(s.fds[0])


@scene(repeatable=False)
def empty_what_is_emptied_already(s):
    """The second one decides, but only once it is open."""
    fd = s.open('.kvpfs/records', EMPTY)
    yield
    yield lambda: s.open('.kvpfs/records', O_RDWR | O_TRUNC) and None
    yield lambda: s.close(fd)


# Each of them

@contextlib.contextmanager
def staged(m, options, asks_again):
    if RUNNER or harness.is_sanitized():
        raise Skip('needs a program that takes a library by LD_PRELOAD')
    path = os.path.join(m.top, 'tries')
    tries = Tries(path)
    shim = os.path.join(m.top, 'shim')      # a space would end the path of the other
    if not os.path.islink(shim):
        os.symlink(SHIM, shim)
    with m.mounted(f'nowatchers,{options}', ['env', f'LD_PRELOAD={shim}',
                                             f'LOCK_TRIES={path}']):
        yield Stage(m, tries, asks_again)


def check(stage, scene, outside, wanted):
    """Lets each try fail, and also the one after it when the call runs again."""
    for distance in 0, 3:
        first, failed = 0, 1
        while failed:
            first += 1
            failed, found = stage.play(scene, outside, first, first + distance)
            if found != wanted:
                return first, distance, wanted, found
    return first - 1


def check_all(m, options, asks_again):
    wrong, tries = [], 0
    with staged(m, options, asks_again) as stage:
        for scene in scenes:
            if asks_again and not scene.repeatable:
                continue
            for outside in False, True:
                _, wanted = stage.play(scene, outside)
                result = check(stage, scene, outside, wanted)
                if isinstance(result, int):
                    tries += result
                else:
                    wrong.append((scene.__name__, outside, *result))
    for difference in wrong:
        print('#', *difference, sep='\n#   ')
    equal([difference[0] for difference in wrong], [])
    assert tries > 0, 'no lock was asked for by way of the shim'
    figures(scenes=len(scenes), failing_tries=tries)


@case(*RECORDS, options=None)
def request_that_waits_is_answered_as_if_it_had_not(m):
    check_all(m, 'lock_timeout=30', False)


@case(*RECORDS, options=None)
def request_that_is_made_again_is_answered_as_if_it_was_the_first(m):
    check_all(m, 'lock_timeout=0', True)


if __name__ == '__main__':
    harness.main()
