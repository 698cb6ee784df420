#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Many callers on one key, and which version each of them gets: no caller is told of
what the mount and the kernel have to settle between them (ESTALE), what is read is
as long as fstat(2) says, and what was closed or replaced goes on for who has it open.

Callers outside the PID namespace of kvpfs all have the number 0 for it: then nothing
may depend on who calls.
"""

import contextlib
import errno
import itertools
import mmap
import os
import random
import re
import shutil
import subprocess
import tempfile
from os import O_APPEND, O_CREAT, O_EXCL, O_RDWR, O_WRONLY

import harness
import pool
from harness import (Child, case, equal, eventually, figures, opened, read, refused,
                     write)

CALLERS = 40
PATIENT = 'lock_timeout=50'


# Everybody at once

class Caller:
    """One of many that use `k`, which always has a value, and `fickle`, which has
    none at times. No value begins with another one."""

    def __init__(self, m, number):
        self.m = m
        self.random = random.Random(number)
        self.values = (b'%d-%d|' % (number, n) + b'x' * self.random.randrange(50, 900)
                       for n in itertools.count())

    def check(self, value, name):
        """`fickle` is empty while it is being made."""
        if value or name == 'k':
            assert re.fullmatch(rb'\d+-\d+\|x{20,}', value), f'{name} is {value[:40]!r}'

    def read(self, name='k'):
        with opened(self.m / name) as fd:
            before = os.fstat(fd).st_size
            value = os.read(fd, 4096)
            after = os.fstat(fd).st_size
        # what is being made is empty, and then grows
        assert {before, len(value), after} <= {0 if name == 'fickle' else after, after}, \
            f'{before}, {len(value)}, {after}'
        self.check(value, name)

    def read_in_pieces(self):
        with opened(self.m / 'k') as fd:
            value = b''.join(iter(lambda: os.read(fd, 300), b''))
            equal(os.fstat(fd).st_size, len(value))
        self.check(value, 'k')

    def read_mapped(self):
        with opened(self.m / 'k') as fd, \
                mmap.mmap(fd, 0, prot=mmap.PROT_READ) as mapped:
            equal(len(mapped), os.fstat(fd).st_size)
            self.check(mapped[:], 'k')

    def stat(self):
        assert os.stat(self.m / 'k').st_size > 20

    def write(self, name='k'):
        write(self.m / name, next(self.values))

    def replace(self, name='k'):
        path = self.m / f'new-{os.getpid()}'
        write(path, next(self.values))
        os.rename(path, self.m / name)

    def cut(self):
        os.truncate(self.m / 'k', 30)

    def unlink(self):
        os.unlink(self.m / 'fickle')

    def act(self):
        action = self.random.choice(
            (self.read, self.read, self.read_in_pieces, self.read_mapped, self.stat,
             self.write, self.write, self.replace, self.cut))
        action()
        action = self.random.choice((self.read, self.write, self.replace, self.unlink))
        with contextlib.suppress(FileNotFoundError):
            action() if action == self.unlink else action('fickle')

    def run(self, count):
        for _ in range(count):
            self.act()


def run_callers(m, callers=CALLERS):
    count = harness.rounds(40)
    children = [Child(Caller(m, number).run, count) for number in range(callers)]
    for child in children:
        child.result()
    figures(callers=callers, acts=callers * count)


@case(('k', '99-0|' + 'x' * 50), options=PATIENT)
def nothing_comes_between_many_callers_of_one_key(m):
    run_callers(m)


@case(('k', '99-0|' + 'x' * 50), options=None, root=True)
def nor_between_callers_of_another_pid_namespace(m):
    """unshare(1) does not pass the signal on that would end the mount."""
    try:
        m.mount(PATIENT, ('unshare', '--pid', '--fork'))
        run_callers(m)
        harness.umount(m.dir)
        program, m.program = m.program, None
        equal(program.wait(), 0)
    finally:
        m.clean_up()


@case(('k', 'value'))
def size_is_never_0_beside_a_program_that_overwrites(m):
    """As `[ -s k ]` beside `while :; do echo v >k; done`. The kernel's own size of the
    writer's node is 0 for a moment: nobody else must have looked that up."""
    count = harness.rounds(3000)
    writer = Child(lambda: [write(m / 'k', b'v%d' % n) for n in range(1 << 30)])
    zeros = sum(os.stat(m / 'k').st_size == 0 for _ in range(count))
    writer.kill()
    figures(stats=count, zeros=zeros)
    equal(zeros, 0)


# What grows: the kernel asks for the new size when a tick of its clock is over

def append(m, data):
    write(m / 'k', data, O_WRONLY | O_APPEND)


def put(m, data):
    pool.put(m.pool, 'k', data)


@case(('k', 'one,'))
def reader_follows_what_is_appended(m):
    with opened(m / 'k') as fd:
        equal(os.read(fd, 99), b'one,')
        equal(os.read(fd, 99), b'')
        append(m, b'two,')
        equal(eventually(os.read, fd, 99), b'two,')
        put(m, 'one,two,three,')
        # this may show a size that the kernel itself takes over a tick later
        eventually(lambda: os.fstat(fd).st_size == 14)
        equal(eventually(os.read, fd, 99), b'three,')
        equal(os.pread(fd, 99, 0), b'one,two,three,')


@case(('k', 'one,'))
def pages_that_were_mapped_or_read_grow(m):
    with opened(m / 'k') as fd, mmap.mmap(fd, 4, prot=mmap.PROT_READ) as mapped:
        value = mapped[:]
        for n in range(200):
            value += b'%d,' % n
            if n % 2:
                put(m, value)
            else:
                append(m, b'%d,' % n)
            # fstat may show a size that the kernel itself takes over a tick later
            eventually(lambda: os.fstat(fd).st_size == len(value) and
                       os.pread(fd, 2000, 0) == value)
            with mmap.mmap(fd, len(value), prot=mmap.PROT_READ) as larger:
                equal(larger[:], value)
        equal(mapped[:], b'one,')


@case(('k', 'one'))
def reader_keeps_its_version_of_what_did_not_only_grow(m):
    for value in 'two', 'on', 'One and more', '':
        with opened(m / 'k') as fd:
            put(m, value)
            equal((os.fstat(fd).st_size, os.read(fd, 99), os.read(fd, 99)),
                  (3, b'one', b''))
        put(m, 'one')


def follow(m, *command):
    """What the command prints while `k` grows by lines, from here and outside."""
    command = [word if word != 'k' else m / 'k' for word in command]
    with tempfile.TemporaryFile() as output, \
            subprocess.Popen(command, stdout=output, stderr=output) as program:
        def has_printed(wanted):
            return wanted in os.pread(output.fileno(), 9999, 0)
        try:
            eventually(has_printed, b'one')
            append(m, b'two\n')
            eventually(has_printed, b'one\ntwo\n')
            put(m, 'one\ntwo\nthree\n')
            eventually(has_printed, b'one\ntwo\nthree\n')
        finally:
            program.terminate()


@case(('k', 'one\n'))
def tail_follows(m):
    follow(m, 'tail', '-s', '0.01', '-f', 'k')
    put(m, 'one\n')
    follow(m, 'tail', '-s', '0.01', '-F', 'k')


@case(('k', 'one\n'))
def less_follows(m):
    if not shutil.which('less'):
        raise harness.Skip('no less(1)')
    primary, secondary = os.openpty()
    program = subprocess.Popen(['less', '+F', m / 'k'], stdin=secondary,
                               stdout=secondary, stderr=secondary,
                               env={**os.environ, 'TERM': 'xterm'},
                               start_new_session=True)
    os.close(secondary)
    os.set_blocking(primary, False)
    seen = bytearray()

    def has_shown(wanted):
        with contextlib.suppress(BlockingIOError):
            seen.extend(os.read(primary, 4096))
        return wanted in seen
    try:
        eventually(has_shown, b'one')
        append(m, b'two\n')
        eventually(has_shown, b'two')
        put(m, 'one\ntwo\nthree\n')
        eventually(has_shown, b'three')
    finally:
        program.kill()
        program.wait()
        os.close(primary)


# Without a name

@case(('k', 'old'))
def deleted_file_goes_on_in_memory(m):
    with opened(m / 'k', O_RDWR) as fd, opened(m / 'k', O_RDWR | O_APPEND) as other:
        os.unlink(m / 'k')
        equal([os.fstat(one).st_nlink for one in (fd, other)], [0, 0])
        equal(os.pwrite(fd, b'new', 0), 3)
        equal(os.write(other, b'er'), 2)
        equal((os.pread(fd, 9, 0), os.fstat(fd).st_size), (b'newer', 5))
        os.ftruncate(other, 3)
        equal(os.pread(fd, 9, 0), b'new')
        refused(errno.EFBIG, os.pwrite, fd, b'v' * 1023, 0)
        refused(errno.EILSEQ, os.pwrite, fd, b'\xff', 0)
        refused(errno.EINVAL, os.ftruncate, fd, 9)
        os.ftruncate(fd, 0)
        os.fsync(fd)
        equal((os.pread(other, 9, 0), m.records()), (b'', []))
        write(m / 'k', b'another')
        os.pwrite(fd, b'mine', 0)
        equal((os.pread(other, 9, 0), read(m / 'k')), (b'mine', b'another'))
    m.unmount()
    equal(m.records(), [(b'k', b'another')])


@case(('from', 'F'), ('to', 'T'))
def replaced_file_goes_on_in_memory(m):
    with opened(m / 'to', O_RDWR) as fd, opened(m / 'from', O_RDWR) as renamed:
        os.rename(m / 'from', m / 'to')
        equal([os.fstat(one).st_nlink for one in (fd, renamed)], [0, 1])
        os.pwrite(fd, b'old', 0)
        os.pwrite(renamed, b'new', 0)
        equal((os.pread(fd, 9, 0), os.pread(renamed, 9, 0)), (b'old', b'new'))
        equal(m.records(), [(b'to', b'new')])


@case()
def temporary_file_reads_back_what_it_wrote(m):
    with tempfile.TemporaryFile(dir=m.dir) as file:
        file.write(b'some lines\n')
        file.flush()
        equal(os.fstat(file.fileno()).st_nlink, 0)
        file.seek(0)
        equal(file.read(), b'some lines\n')
    equal(m.records(), [])


@case()
def file_that_was_just_made_has_no_link_after_unlink(m):
    for n in range(harness.rounds(20)):
        with opened(m / f'k{n}', O_RDWR | O_CREAT | O_EXCL) as fd:
            equal(os.fstat(fd).st_nlink, 1)
            if n % 2:
                os.write(fd, b'v')
            os.stat(m / f'k{n}')
            os.unlink(m / f'k{n}')
            equal(os.fstat(fd).st_nlink, 0)


if __name__ == '__main__':
    harness.main()
