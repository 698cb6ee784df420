#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Locks on the files of a mount: flock(2), record locks, open-file-description locks.

The model is the kernel itself: each story is told on a file of a local file system and
on a key, and what the lockers experience must be the same.
"""

import errno
import fcntl
import multiprocessing
import os
import shutil
import signal
import struct
import subprocess
from os import O_RDONLY, O_RDWR, O_WRONLY

import harness
from harness import Child, case, control, equal, eventually, opened, read, refused, write

KINDS = 'flock', 'posix', 'ofd'
COMMANDS = {'posix': (fcntl.F_SETLK, fcntl.F_SETLKW, fcntl.F_GETLK),
            'ofd': (37, 38, 36)}        # named only by newer fcntl modules
FLOCK = {'R': fcntl.LOCK_SH, 'W': fcntl.LOCK_EX, 'U': fcntl.LOCK_UN}
RECORD = {'R': fcntl.F_RDLCK, 'W': fcntl.F_WRLCK, 'U': fcntl.F_UNLCK}
LAYOUT = 'hhqqi0q'
MAX_OWNERS = 256                        # KVPFS_MAX_LOCK_OWNERS


class Interrupted(Exception):
    pass


def interrupt(*_):
    raise Interrupted


def lock(kind, fd, mode, start=0, size=0, waits=False):
    if kind == 'flock':
        fcntl.flock(fd, FLOCK[mode] | (0 if waits else fcntl.LOCK_NB))
    else:
        fcntl.fcntl(fd, COMMANDS[kind][waits],
                    struct.pack(LAYOUT, RECORD[mode], 0, start, size, 0))


def get(kind, fd, mode, start=0, size=0):
    """What F_GETLK says: mode, start, size and pid."""
    answer = fcntl.fcntl(fd, COMMANDS[kind][2],
                         struct.pack(LAYOUT, RECORD[mode], 0, start, size, 0))
    found, _, start, size, pid = struct.unpack(LAYOUT, answer)
    mode = next(name for name, number in RECORD.items() if number == found)
    return (mode, start, size, pid) if mode != 'U' else mode


def fork_holder():
    """A child that has the descriptors, and does nothing."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
    return pid


def kill_holder(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


CALLS = {'open': os.open, 'close': os.close, 'dup': os.dup, 'lock': lock, 'get': get,
         'fork': fork_holder, 'kill': kill_holder}


def serve(pipe):
    """Does one call after the other; an error is an answer, too."""
    signal.signal(signal.SIGUSR1, interrupt)
    while True:
        name, *arguments = pipe.recv()
        try:
            answer = CALLS[name](*arguments)
        except OSError as error:
            answer = errno.errorcode[error.errno]
        except Interrupted:
            answer = 'interrupted'
        pipe.send(answer)


class Locker(Child):
    """A process that locks on command, with one open file to begin with."""

    def __init__(self, kind, path, flags=O_RDWR):
        self.kind = kind
        self.pipe, pipe = multiprocessing.Pipe()
        super().__init__(serve, pipe)
        self.fd = self.open(path, flags)

    def start(self, *call):
        self.pipe.send(call)

    def finish(self):
        return self.pipe.recv()

    def do(self, *call):
        self.start(*call)
        return self.finish()

    def open(self, path, flags=O_RDWR):
        return self.do('open', path, flags)

    def close(self, fd=None):
        return self.do('close', self.fd if fd is None else fd)

    def lock(self, mode, start=0, size=0, fd=None):
        """Without waiting: None, or the name of an error."""
        return self.do('lock', self.kind, self.fd if fd is None else fd, mode, start,
                       size)

    def get(self, mode, start=0, size=0):
        return self.do('get', self.kind, self.fd, mode, start, size)

    def wait_for(self, mode, start=0, size=0):
        """Until it sleeps in the call; finish() says how that went on."""
        self.start('lock', self.kind, self.fd, mode, start, size, True)
        eventually(self.is_blocked)

    def interrupt(self):
        os.kill(self.pid, signal.SIGUSR1)
        return self.finish()


def kill_all():
    for child in list(Child.living):
        child.kill()


def told(function, kind, path):
    """What happened on a new file."""
    write(path, b'v')
    try:
        return function(kind, path)
    finally:
        kill_all()


def story(*kinds):
    """A case that tells the story FUNCTION(kind, path) on a local file and on a key; it
    returns what happened."""
    def register(function):
        def tell(m):
            model = os.path.join(m.top, 'model')
            os.mkdir(model)
            for kind in kinds or KINDS:
                happened, wanted = (told(function, kind, os.path.join(directory, 'k'))
                                    for directory in (m.dir, model))
                if happened != wanted:
                    raise AssertionError(f'{kind}: {happened!r}, expected {wanted!r}')
        tell.__name__ = function.__name__
        return case()(tell)
    return register


# One after the other

@story()
def locks_exclude_each_other(kind, path):
    a, b, c = (Locker(kind, path) for _ in range(3))
    return [a.lock('W'), b.lock('W'), b.lock('R'), a.lock('W'), a.lock('U'), a.lock('U'),
            b.lock('R'), c.lock('R'), a.lock('W'), b.lock('U'), a.lock('W'), c.lock('U'),
            a.lock('W'), b.lock('R')]


@story()
def lock_is_raised_and_lowered(kind, path):
    a, b, c = (Locker(kind, path) for _ in range(3))
    return [a.lock('R'), b.lock('R'), a.lock('W'), b.lock('U'),
            c.lock('W'),                # flock has lost the one of a
            a.lock('U'), c.lock('U'), a.lock('W'), a.lock('R'), b.lock('R'), c.lock('W')]


@story()
def lock_ends_with_its_holder(kind, path):
    happened = []
    other = Locker(kind, path)
    for end in 'close', 'exit':
        holder = Locker(kind, path)
        happened += [holder.lock('W'), other.lock('W')]
        happened.append(holder.close() if end == 'close' else holder.kill())
        happened += [other.lock('W'), other.lock('U')]
    return happened


@story()
def copies_of_a_descriptor(kind, path):
    a, b = Locker(kind, path), Locker(kind, path)
    copy = a.do('dup', a.fd)
    return [a.lock('W'), a.lock('W', fd=copy), a.close(copy), b.lock('W'),
            a.close(), b.lock('W')]


@story()
def children_that_have_the_descriptor(kind, path):
    a, b = Locker(kind, path), Locker(kind, path)
    happened = [a.lock('W')]
    child = a.do('fork')
    happened += [b.lock('W'), a.close(), b.lock('R'), b.lock('U')]
    a.do('kill', child)
    return happened + [b.lock('W')]


@story()
def child_that_ends_takes_nothing_along(kind, path):
    a, b = Locker(kind, path), Locker(kind, path)
    a.lock('W')
    a.do('kill', a.do('fork'))
    return [b.lock('R'), a.lock('U'), b.lock('W')]


@story()
def two_open_files_of_one_process(kind, path):
    a, b = Locker(kind, path), Locker(kind, path)
    happened = [a.lock('W')]
    for flags in O_RDWR, O_RDONLY, O_WRONLY:
        other = a.open(path, flags)
        happened += [a.lock('W' if flags else 'R', fd=other), a.lock('W'), a.close(other),
                     b.lock('W'), b.lock('U'), a.lock('W')]
    return happened


@story('flock', 'ofd')
def shared_lock_of_a_reader(kind, path):
    a, b = Locker(kind, path, O_RDONLY), Locker(kind, path)
    happened = [a.lock('R'), b.lock('W'), b.lock('R'), b.lock('U')]
    copy = a.do('dup', a.fd)
    return happened + [a.close(), b.lock('W'), a.close(copy), b.lock('W')]


@story('posix')
def second_shared_lock_of_a_reader(kind, path):
    """The first one ends with the last copy of its descriptor: nobody tells kvpfs."""
    Locker(kind, path, O_RDONLY).lock('R')
    a, b = Locker(kind, path, O_RDONLY), Locker(kind, path)
    child = a.do('fork')
    happened = [a.lock('R'), b.lock('W'), a.close(), b.lock('W')]
    a.do('kill', child)
    return happened


@story('posix', 'ofd')
def parts_of_a_file(kind, path):
    a, b = Locker(kind, path), Locker(kind, path)
    who = {a.pid: 'a', b.pid: 'b', -1: 'unknown'}

    def seen(*arguments):
        found = b.get(*arguments)
        return found if found == 'U' else (*found[:3], who[found[3]])
    return [a.lock('W', 0, 10), b.lock('W', 10, 10), b.lock('R', 9, 1), a.lock('R', 5, 9),
            a.lock('U', 3, 2), b.lock('W', 3, 2), seen('W'), seen('W', 3), seen('R', 5),
            a.lock('R', 8, 1), seen('W', 5, 99), seen('R', 7, 99), seen('R', 3, 2),
            a.lock('W', 100), seen('R', 50), b.lock('W', 20, 80), seen('W', 0, 0),
            a.lock('U'), seen('W'), b.lock('W')]


@story()
def kinds_of_locks(kind, path):
    """fcntl's two see each other; flock(2) sees none of them."""
    a = Locker(kind, path)
    happened = [a.lock('W')]
    for other in KINDS:
        b = Locker(other, path)
        happened += [b.lock('R'), b.lock('U'), b.close()]
    return happened


@story()
def file_keeps_its_locks_whatever_its_name(kind, path):
    a, b, c = (Locker(kind, path) for _ in range(3))
    happened = [a.lock('W')]
    os.rename(path, path + '2')
    write(path, b'new')
    happened += [b.lock('W', fd=b.open(path + '2')), c.lock('W', fd=c.open(path)),
                 c.lock('W')]
    harness.exchange(path, path + '2')
    happened += [b.lock('W', fd=b.open(path)), b.lock('W')]
    os.rename(path + '2', path)         # over the one that a has locked
    happened += [b.lock('W'), b.lock('W', fd=b.open(path)), c.lock('U'), c.lock('W')]
    os.unlink(path)
    return [*happened, b.lock('W'), a.lock('U'), b.lock('W')]


@story()
def locks_of_readers_and_writers_of_different_values(kind, path):
    flags = O_RDONLY if kind == 'flock' else O_RDWR
    happened = []
    lockers = []
    for n in range(4):
        lockers.append(Locker(kind, path, flags))
        write(path, b'%d' % n)
        lockers.append(Locker(kind, path, O_WRONLY))
        write(path, b'%d' % n, O_WRONLY)
    for holder in lockers:
        happened.append([holder.lock('W')] + [other.lock('W') for other in lockers
                                              if other is not holder])
        holder.lock('U')
    return happened


# Waiting

@story()
def lock_is_waited_for(kind, path):
    a, b, c = (Locker(kind, path) for _ in range(3))
    happened = [a.lock('W')]
    b.wait_for('W')
    c.wait_for('R')
    happened += [a.lock('U'), b.finish(), a.lock('R'), b.lock('R'), c.finish(),
                 a.lock('R')]
    return happened


@story()
def wait_ends_when_the_holder_does(kind, path):
    happened = []
    for end in Locker.close, Locker.kill:
        a, b = Locker(kind, path), Locker(kind, path)
        a.lock('W')
        b.wait_for('W')
        happened += [end(a), b.finish(), b.close()]
    return happened


@story()
def signal_ends_a_wait(kind, path):
    a, b, c = (Locker(kind, path) for _ in range(3))
    happened = [a.lock('W')]
    b.wait_for('W')
    c.wait_for('W')
    happened += [b.interrupt(), b.lock('R'), c.kill(), a.lock('R'), b.lock('R')]
    a.lock('U')
    return happened + [b.lock('W'), a.lock('R')]


@story('flock')
def two_who_raise_their_locks(kind, path):
    a, b = Locker(kind, path), Locker(kind, path)
    happened = [a.lock('R'), b.lock('R')]
    a.wait_for('W')
    b.start('lock', kind, b.fd, 'W', 0, 0, True)
    return happened + [b.finish(), b.lock('U'), a.finish()]


@story('posix', 'ofd')
def part_is_waited_for(kind, path):
    a, b, c = (Locker(kind, path) for _ in range(3))
    happened = [a.lock('W', 0, 10), a.lock('W', 20, 10)]
    b.wait_for('W', 5, 20)
    c.wait_for('R', 25, 100)
    return happened + [a.lock('R', 20, 10), c.finish(), a.lock('U', 0, 10),
                       c.lock('U'), a.lock('U', 20, 5), b.finish(), c.lock('R', 24, 1)]


def wait_forever(kind, path):
    holder, waiter = Locker(kind, path), Locker(kind, path)
    holder.lock('W')
    waiter.wait_for('W')
    return waiter


@case(('k', 'v'))
def everything_else_is_served_meanwhile(m):
    for kind in KINDS:
        wait_forever(kind, m / 'k')
        write(m / 'k', b'w')
        equal(read(m / 'k'), b'w')
        kill_all()
    os.unlink(m / 'k')
    equal(m.records(), [])


@case(('k', 'v'))
def end_of_the_mount_ends_a_wait(m):
    for kind in KINDS:
        waiter = wait_forever(kind, m / 'k')
        m.unmount()
        equal(waiter.finish(), 'ECONNABORTED')
        kill_all()
        m.mount()


# Programs

def increment(kind, path, times):
    """By the locked descriptor: closing another one would end a record lock."""
    with opened(path, O_RDWR) as fd:
        for _ in range(times):
            lock(kind, fd, 'W', waits=True)
            os.pwrite(fd, b'%04d' % (int(os.pread(fd, 9, 0)) + 1), 0)
            lock(kind, fd, 'U')


@case()
def increments_by_many_processes_are_all_counted(m):
    for kind in KINDS:
        write(m / kind, b'0000')
        children = [Child(increment, kind, m / kind, harness.rounds(20))
                    for _ in range(8)]
        for child in children:
            child.result()
        equal(int(read(m / kind)), 8 * harness.rounds(20))


INCREMENT = 'n=$(cat "$1"); echo $((n + 1)) >"$1"'


def loop_of_flock(path, times):
    for _ in range(times):
        subprocess.run(['flock', path, 'sh', '-c', INCREMENT, '', path], check=True)


def need_flock():
    if not shutil.which('flock'):
        raise harness.Skip('needs flock(1)')


@case(('k', '0'))
def flock_of_a_key_protects_what_its_command_does_to_it(m):
    need_flock()
    children = [Child(loop_of_flock, m / 'k', harness.rounds(30)) for _ in range(2)]
    for child in children:
        child.result()
    equal(read(m / 'k'), b'%d\n' % (2 * harness.rounds(30)))


@case()
def flock_makes_the_key_that_its_command_writes(m):
    need_flock()
    command = ['flock', '-n', m / 'k', 'sh', '-c', 'echo v >"$1"', '', m / 'k']
    subprocess.run(command, check=True)
    equal(m.records(), [(b'k', b'v\n')])
    with opened(m / 'k') as fd:
        lock('flock', fd, 'R')
        equal(subprocess.run(command).returncode, 1)


@case(('k', 'v'))
def files_of_the_store_can_be_locked(m):
    for name in 'records', 'entries', 'pool', 'status', 'events':
        a, b = (Locker('flock', control(m, name), O_RDONLY) for _ in range(2))
        equal([a.lock('W'), b.lock('W'), a.close(), b.lock('W'), b.lock('U')],
              [None, 'EAGAIN', None, None, None])


@case(('k', 'v'), options='ro')
def read_only_mount_has_locks(m):
    a, b = (Locker('flock', m / 'k', O_RDONLY) for _ in range(2))
    equal([a.lock('W'), b.lock('R'), a.close(), b.lock('R')],
          [None, 'EAGAIN', None, None])


# What it costs

@case(('k', 'v'))
def locks_leave_nothing_behind(m):
    m.names()                           # the program has begun
    before = m.usage()[0]
    for kind in KINDS:
        a, b = Locker(kind, m / 'k'), Locker(kind, m / 'k')
        equal([a.get('W')] if kind != 'flock' else [], ['U'] if kind != 'flock' else [])
        a.lock('R')
        b.lock('R')
        a.lock('W')
        a.lock('U')
        b.close()
        eventually(lambda: m.usage()[0] == before)
        if kind != 'flock':
            a.lock('W', 0, 10)
            a.lock('U', 2, 3)
            assert m.usage()[0] > before
            a.lock('U', 0, 99)
            eventually(lambda: m.usage()[0] == before)


@case(('k', 'v'))
def number_of_locks_is_bounded(m):
    m.names()                           # so the program's start is over
    for kind in 'flock', 'ofd':
        before = m.usage()[0]
        fds = [os.open(m / 'k', O_RDONLY) for _ in range(MAX_OWNERS + 1)]
        for fd in fds[1:]:
            lock(kind, fd, 'R')
        refused(errno.ENOLCK, lock, kind, fds[0], 'R')
        equal(m.usage()[0], before + MAX_OWNERS)
        equal(read(m / 'k'), b'v')
        os.close(fds.pop())
        lock(kind, fds[0], 'R')
        for fd in fds:
            os.close(fd)
        eventually(lambda wanted=before: m.usage()[0] == wanted)


@case(('k', 'v'))
def readers_tell_of_no_close_until_parts_are_locked(m):
    """So locks cost nobody anything who has none."""
    version = subprocess.run([harness.KVPFS, '-V'], stdout=subprocess.PIPE, text=True,
                             check=True).stdout
    if '\nlibfuse 3.10.' in version:
        raise harness.Skip('libfuse 3.10 has no noflush')
    m.unmount()
    m.mount('debug')

    def flushes():
        read(m / 'k')
        with open(m.log) as log:
            return log.read().count(' FLUSH ')
    equal(flushes(), 0)
    with opened(m / 'k') as fd:
        lock('flock', fd, 'W')
    equal(flushes(), 0)


@case(('k', '0000'), options=None, root=True)
def callers_of_another_pid_namespace_have_locks(m):
    runner = ['unshare', '--pid', '--fork']
    if subprocess.run([*runner, 'true'], stderr=subprocess.DEVNULL).returncode:
        raise harness.Skip('no PID namespaces here')
    m.mount(runner=runner)
    for kind in KINDS:
        a, b = Locker(kind, m / 'k'), Locker(kind, m / 'k')
        equal([a.lock('W'), b.lock('W')], [None, 'EAGAIN'])
        if kind != 'flock':
            equal(b.get('R')[:3], ('W', 0, 0))
        b.wait_for('R')
        equal([a.lock('U'), b.finish(), b.lock('U')], [None, None, None])
        children = [Child(increment, kind, m / 'k', 10) for _ in range(4)]
        for child in children:
            child.result()
        kill_all()
    equal(read(m / 'k'), b'0120')
    kill_all()
    harness.umount(m.dir)
    equal(m.program.wait(), 0)
    m.program = None


if __name__ == '__main__':
    harness.main()
