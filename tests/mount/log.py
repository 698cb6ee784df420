#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""What kvpfs says in its log: who asked, who was in the way, and each thing once."""

import errno
import os
import shutil
import subprocess
import threading
from os import O_WRONLY

import harness
import pool
from harness import (Child, Holder, case, control, equal, eventually, opened, read,
                     refused, write)

TOO_LONG = b'secret' * 200
REASON = 'value length (1200) exceeds maximum (1022)'


def log_of(m):
    with open(m.log) as log:
        return log.read().splitlines()


def lines_at_end(m):
    """What is counted is told by then."""
    m.unmount()
    return log_of(m)


def set_name(name):
    with open('/proc/self/comm', 'wb') as comm:
        comm.write(name)


def write_too_much(path, name=None):
    """Returns the process that did it."""
    if name:
        set_name(name)
    refused(errno.EFBIG, write, path, TOO_LONG)
    return os.getpid()


# Who asked

@case(('k', 'v'))
def caller_is_named(m):
    pid = Child(write_too_much, m / 'k', b'prog').result()
    equal(log_of(m), [f'kvpfs: pool: write "k": {REASON} (caller: pid {pid} "prog")'])


@case(('k', 'v'))
def name_of_a_caller_cannot_forge_a_line(m):
    pid = Child(write_too_much, m / 'k', b'a") \nkvpfs: \x1b[1m').result()
    line, = log_of(m)
    assert line.endswith(f'(caller: pid {pid} "a\\x22) \\x0Akvpfs: \\x1B[1")'), line


@case(options=None)
def path_cannot_forge_a_line_and_hides_no_reason(m):
    for given, shown in (('a\nkvpfs: b', 'a\\x0Akvpfs: b'),
                         ('\x1b[1m\x7fä', '\\x1B[1m\\x7Fä')):
        path = os.path.join(m.top, given, 'none')
        found = subprocess.run([*harness.RUNNER, harness.KVPFS, path, m.dir], text=True,
                               stderr=subprocess.PIPE, timeout=60, check=False)
        equal((found.returncode, found.stderr),
              (1, f'kvpfs: cannot use pool "{m.top}/{shown}/none": '
                  'No such file or directory\n'))


@case(('k', 'v'))
def thread_is_named_by_its_process(m):
    thread = threading.Thread(target=write_too_much, args=(m / 'k',))
    thread.start()
    thread.join()
    line, = log_of(m)
    assert f'(caller: pid {os.getpid()} "' in line, line


@case(('k', 'v'))
def reason_of_records_has_one_line_with_its_caller(m):
    for flags in os.O_TRUNC, os.O_APPEND:
        with opened(control(m), O_WRONLY | flags) as fd:
            os.write(fd, b'a=b\nc')
            refused(errno.EINVAL, os.fsync, fd)
    write(control(m, 'records'), b'k=v\n')
    with open(control(m, 'pool'), 'wb', 0) as file:
        file.write(b'x')
        refused(errno.EINVAL, os.fsync, file.fileno())
    with open('/proc/self/comm') as comm:
        caller = f'(caller: pid {os.getpid()} "{comm.read().strip()}")'
    equal([line for line in lines_at_end(m) if not line.endswith(caller)],
          ['kvpfs: pool: records: line 2: no \'=\' (repeated 1 time)'])
    assert b'secret' not in read(m.log)


# Each thing once

@case(('k', 'v'))
def equal_failures_are_counted(m):
    count = harness.rounds(300)
    for _ in range(10):
        Child(write_too_much, m / 'k').result()
    with opened(m / 'k', O_WRONLY) as fd:
        for _ in range(count):
            refused(errno.EFBIG, os.write, fd, TOO_LONG)
    equal(len(log_of(m)), 1)
    equal(lines_at_end(m)[1:],
          [f'kvpfs: pool: write "k": {REASON} (repeated {count + 9} times)'])


@case(('k', 'v'))
def count_is_told_before_the_next_line(m):
    for name in 'aababcc':
        write_too_much(m / name)
    told = [line.partition(' (caller')[0].partition('write ')[2]
            for line in lines_at_end(m)]
    equal(told, [f'"a": {REASON}', f'"a": {REASON} (repeated 1 time)', f'"b": {REASON}',
                 f'"a": {REASON} (repeated 1 time)', f'"b": {REASON} (repeated 1 time)',
                 f'"c": {REASON}', f'"c": {REASON} (repeated 1 time)'])


@case()
def few_lines_are_remembered(m):
    for _ in range(2):
        for n in range(20):
            write_too_much(m / f'{n}')
    equal(len(lines_at_end(m)), 40)


# What was asked for

@case(('k', 'v'))
def refused_call_is_named_with_its_reason(m):
    no_key = 'no key has such a file name'
    hole = 'value contains a NUL byte or a hole at byte 2'
    for reason, number, call, *arguments in (
            (f'create "%41": {no_key}', errno.EINVAL, write, m / '%41', b''),
            (f'create "%2f": {no_key}', errno.EINVAL, os.mknod, m / '%2f'),
            (f'rename to "%61": {no_key}', errno.EINVAL, os.rename, m / 'k', m / '%61'),
            (f'truncate "k": {hole}', errno.EINVAL, os.truncate, m / 'k', 5)):
        refused(number, call, *arguments)
        equal(log_of(m)[-1].partition(' (caller')[0], f'kvpfs: pool: {reason}')


@case(('k', 'v'))
def directory_is_called_so(m):
    os.unlink(m.pool)
    os.mkdir(m.pool)
    refused(errno.EISDIR, os.stat, m.dir)
    os.rmdir(m.pool)
    equal(log_of(m)[-1].partition(' (caller')[0],
          'kvpfs: pool: get attributes of the directory: Is a directory')


# Who was in the way

def named_holder(m, key):
    """What the message about the pool's lock says about its holder."""
    refused(errno.EBUSY, write, m / key, b'w')
    start, _, end = log_of(m)[-1].partition('pool is locked by another process')
    equal(start, f'kvpfs: pool: write "{key}": ')
    return end.partition(' (caller')[0]


@case(('k', 'v'), options='lock_timeout=0.01')
def whoever_has_the_lock_of_a_process_that_has_ended_is_named(m):
    if not shutil.which('flock'):
        raise harness.Skip('needs flock(1)')
    script = 'exec 9<"$1"; flock -x 9; echo locked; exec sleep 1000'
    with subprocess.Popen(['sh', '-c', script, '', m.pool],
                          stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with open(f'/proc/{holder.pid}/comm') as comm:
            eventually(lambda: comm.seek(0) == 0 and comm.read() == 'sleep\n')
        equal(named_holder(m, 'k'), f' (pid {holder.pid} "sleep")')
        holder.kill()


@case(options='lock_timeout=0.01')
def holder_of_an_open_file_description_lock_is_named(m):
    for kind in 'ofd-ex', 'ofd-sh':
        with Holder(m, kind) as holder:
            with open(f'/proc/{holder.process.pid}/comm') as comm:
                name = comm.read().strip()
            equal(named_holder(m, kind), f' (pid {holder.process.pid} "{name}")')


@case(options='lock_timeout=0.01')
def holder_who_is_not_found_is_said_to_be_unknown(m):
    """One that hides the lock among more descriptors than are looked at."""
    files = [os.open(__file__, os.O_RDONLY) for _ in range(300)]
    fd = pool.try_lock(m.pool, 'ofd-ex')
    equal(named_holder(m, 'k'), ' that cannot be named')
    for other in [*files, fd]:
        os.close(other)


# The journal

def journal(m, device=0):
    """Words that start a program whose stderr, the log, is the journal."""
    with open(m.log, 'ab') as log:
        st = os.fstat(log.fileno())
    return ['env', f'JOURNAL_STREAM={st.st_dev + device}:{st.st_ino}']


@case(('k', 'v'), options=None)
def lines_for_the_journal_have_a_priority_and_no_name(m):
    with m.mounted(runner=journal(m)):
        write_too_much(m / 'k')
        write_too_much(m / 'k')
    first, second = log_of(m)
    assert first.startswith(f'<4>pool: write "k": {REASON} (caller: '), first
    equal(second, f'<4>pool: write "k": {REASON} (repeated 1 time)')


@case(('k', 'v'), options=None)
def stream_that_is_not_the_journal_gets_ordinary_lines(m):
    with m.mounted(runner=journal(m, 1)):
        write_too_much(m / 'k')
    assert log_of(m)[0].startswith('kvpfs: pool: write "k": '), log_of(m)


if __name__ == '__main__':
    harness.main()
