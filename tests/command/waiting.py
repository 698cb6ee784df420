#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""kvp wait and kvp watch: what they sleep for, what wakes them, and how they end."""

import os
import re
import select
import signal
import subprocess

from kvp import (DONE, FAILED, NO, REFUSED, Started, case, done, equal, eventually,
                 harness, kvp, main, pool, says, words)
from idle import has_read_its_events, sleeps_for_ms, sleeps_until_called

SPARE = 'spare'                         # a pool that takes the place of the first


def waiting(m, *arguments, **keywords):
    started = Started(m, *arguments, **keywords)
    started.is_waiting()
    return started


# wait

@case(('k', 'value'), ('line', 'v\n'), ('lines', 'a\n\n'), ('empty', ''))
def key_that_is_there_is_printed_at_once(m):
    done(m, 'wait', 'k', out=b'value\n')
    done(m, 'wait', '-t', '600', 'line', out=b'v\n')
    done(m, 'wait', '-t', '0', 'lines', out=b'a\n\n')
    done(m, 'wait', 'empty', out=b'\n')


@case(('k', 'v\n'), ('two', 'v\n\n'), ('empty', ''))
def value_must_be_equal_but_for_a_newline(m):
    for value in 'v', 'v\n':
        done(m, 'wait', '-t', '0', 'k', value, out=b'v\n')
    done(m, 'wait', '-t', '0', 'empty', '', out=b'\n')
    done(m, 'wait', '-t', '0', 'two', 'v\n', out=b'v\n\n')
    for key, value in ('k', ''), ('k', 'V'), ('k', 'vv'), ('two', 'v'), ('none', ''):
        says(m, NO, f'pool: wait "{key}": time is up', 'wait', '-t', '0', key, value)


@case(('k', 'v'))
def time_that_is_up_is_told(m):
    for limit in '0', '0.01', '.2':
        says(m, NO, 'pool: wait "none": time is up', 'wait', '-t', limit, 'none')
    says(m, REFUSED, 'pool: wait: key is empty', 'wait', '')


@case()
def key_that_comes_is_printed(m):
    with waiting(m, 'wait', '-t', '600', 'a/b') as wait:
        pool.put(m.pool, 'other', 'v')
        done(m, 'set', 'a/b', 'late')
        wait.ends(DONE, b'late\n')


@case(('k', '1'))
def value_is_waited_for(m):
    with waiting(m, 'wait', 'k', '3') as wait:
        done(m, 'set', 'k', '2')
        done(m, 'rm', 'k')
        pool.put(m.pool, 'k', '3\n')
        wait.ends(DONE, b'3\n')


@case()
def every_key_is_seen_at_its_moment(m):
    for n in range(harness.rounds(50)):
        with Started(m, 'wait', f'k{n}') as wait:    # it may come before the first look
            done(m, 'set', f'k{n % 1000}', 'v')
            wait.ends(DONE, b'v\n')
        done(m, 'clear')


@case(('k', 'old'), ('other', 'v'))
def what_is_there_already_is_no_news(m):
    says(m, NO, 'pool: wait "k": time is up', 'wait', '--new', '-t', '0', 'k')
    with waiting(m, 'wait', '--new', 'k') as wait:
        done(m, 'set', 'other', 'w')
        os.utime(m.pool)
        done(m, 'set', 'k', 'old')      # nobody can tell that from what was there
        wait.is_waiting()
        done(m, 'set', 'k', 'new')
        wait.ends(DONE, b'new\n')


@case(('k', 'old'))
def equal_value_is_news_after_another_one_and_as_another_record(m):
    with waiting(m, 'wait', '--new', 'k', 'old') as wait:
        done(m, 'set', 'k', 'between')
        # it must have seen that one before the next: it may still wait for the lock
        eventually(lambda: has_read_its_events(wait.process.pid) and
                   sleeps_until_called(wait.process.pid))
        done(m, 'rm', 'k')
        done(m, 'set', 'k', 'old')
        wait.ends(DONE, b'old\n')
    with waiting(m, 'wait', '--new', 'k') as wait:
        done(m, 'add', 'k', 'old')
        wait.ends(DONE, b'old\n')


@case()
def what_was_not_there_is_news(m):
    with waiting(m, 'wait', '--new', 'k', 'v') as wait:
        done(m, 'set', 'k', 'v')
        wait.ends(DONE, b'v\n')


@case(('k', 'old'))
def pool_that_vanishes_comes_back_or_is_replaced_is_followed(m):
    spare = os.path.join(m.top, SPARE)
    with waiting(m, 'wait', 'k', 'new') as wait:
        os.unlink(m.pool)
        wait.is_waiting()
        done(m, 'set', 'k', 'made again')
        wait.is_waiting()
        pool.build(spare, ('k', 'new'))
        os.rename(spare, m.pool)
        wait.ends(DONE, b'new\n')
    os.unlink(m.pool)
    with waiting(m, 'wait', 'k') as wait:
        equal(os.path.exists(m.pool), False)
        done(m, 'set', 'k', 'v')
        wait.ends(DONE, b'v\n')


@case(('k', 'old'))
def signal_ends_the_wait(m):
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        for command in ('wait', 'none'), ('watch',):
            with waiting(m, *command) as started:
                started.process.send_signal(number)
                started.ends(-number)


@case(('k', 'v'))
def locked_pool_is_looked_at_when_it_is_free(m):
    lock = pool.try_lock(m.pool, 'flock-ex')
    with waiting(m, 'wait', 'k') as wait:
        found = kvp(m, '-o', 'lock_timeout=0.05', 'wait', '-t', '0', 'k')
        equal(found.status, FAILED)
        assert 'pool is locked' in found.err
        equal(wait.process.poll(), None)
        os.close(lock)
        wait.ends(DONE, b'v\n')


@case(('k', 'v'))
def time_to_wait_ends_the_wait_for_a_lock_too(m):
    """Not lock_timeout, which would be longer than the test may take; with no time at
    all there is one look, which waits for the lock."""
    lock = pool.try_lock(m.pool, 'flock-ex')
    for options in (), ('--new',):
        found = kvp(m, '-o', 'lock_timeout=1000', 'wait', *options, '-t', '0.05', 'k')
        equal(found.status, FAILED)
        assert 'pool is locked' in found.err
    with waiting(m, '-o', 'lock_timeout=1000', 'wait', '-t', '0', 'k') as wait:
        equal(wait.process.poll(), None)
        os.close(lock)
        wait.ends(DONE, b'v\n')


@case(('k', 'old'))
def lock_at_the_beginning_does_not_end_the_wait_for_news(m):
    """What is there when it is given back is no news."""
    lock = pool.try_lock(m.pool, 'flock-ex')
    with waiting(m, '-o', 'lock_timeout=0', 'wait', '--new', 'k') as wait:
        os.close(lock)
        # when it sleeps on inotify, without a limit
        eventually(lambda: sleeps_for_ms(wait.process.pid) == -1)
        done(m, 'set', 'k', 'new')
        wait.ends(DONE, b'new\n')


@case(('k', 'v'))
def lock_at_the_end_leaves_it_at_what_was_seen(m):
    """Time is up: that it could not look once more is no failure."""
    with waiting(m, 'wait', '-t', '1', 'none') as wait:
        lock = pool.try_lock(m.pool, 'flock-ex')
        os.utime(m.pool)                # so that it must look, which it cannot
        out, err = wait.process.communicate(timeout=60)
        os.close(lock)
    equal((wait.process.returncode, out, err),
          (NO, b'', b'kvp: pool: wait "none": time is up\n'))


# watch

@case(('old', 'v'), ('gone', 'v'))
def changes_are_told_as_they_happen(m):
    with waiting(m, 'watch') as watch:
        done(m, 'set', 'a/b', 'v')
        equal(watch.line(), b'set a%2Fb\n')
        pool.put(m.pool, 'two\nlines', 'v')
        equal(watch.line(), b'set two%0Alines\n')
        done(m, 'rm', 'gone')
        equal(watch.line(), b'delete gone\n')
        done(m, 'set', 'old', 'v')      # as it was: no change
        done(m, 'set', 'old', 'w')
        equal(watch.line(), b'set old\n')
        done(m, 'rm', 'old', 'a/b')
        equal(sorted((watch.line(), watch.line())), [b'delete a%2Fb\n', b'delete old\n'])
        done(m, 'clear')
        equal(watch.line(), b'clear\n')


@case(('k', 'v'))
def pool_that_goes_and_comes_is_told(m):
    spare = os.path.join(m.top, SPARE)
    with waiting(m, 'watch') as watch:
        os.unlink(m.pool)
        equal(watch.line(), b'clear\n')
        done(m, 'set', 'new', 'v')
        equal(watch.line(), b'set new\n')
        pool.build(spare, ('other', 'v'), ('new', 'v'))
        os.rename(spare, m.pool)
        equal(watch.line(), b'set other\n')


@case(root=True)
def changes_on_overlayfs_are_told(m):
    """There the first write makes another file, which who only reads has not opened. More
    records than are read at a time."""
    def run():
        lower, upper, work, merged = [os.path.join(m.top, 'disk', name)
                                      for name in ('lower', 'upper', 'work', 'merged')]
        for directory in lower, upper, work, merged:
            os.mkdir(directory)
        pool.build(os.path.join(lower, 'pool'), *harness.numbered(64))
        if subprocess.run(['mount', '-t', 'overlay', 'overlay', '-o',
                           f'lowerdir={lower},upperdir={upper},workdir={work}', merged],
                          stderr=subprocess.DEVNULL, check=False).returncode:
            return 'no overlayfs here'
        m.pool = os.path.join(merged, 'pool')
        with waiting(m, 'watch') as watch, \
                waiting(m, 'wait', '-t', '600', 'key-0007', 'other') as wait:
            for n in range(2):
                pool.put(m.pool, 'key-0003', f'other {n}')
                equal(watch.line(), b'set key-0003\n')
            pool.put(m.pool, 'key-0007', 'other')
            equal(watch.line(), b'set key-0007\n')
            wait.ends(DONE, b'other\n')
        return None
    os.mkdir(os.path.join(m.top, 'disk'))
    harness.with_mounts(run, ['mount', '-t', 'tmpfs', 'none',
                              os.path.join(m.top, 'disk')])


@case()
def watch_ends_with_its_reader(m):
    """Also while nothing happens that could be written."""
    for happens in False, True:
        shell = subprocess.Popen(
            ['bash', '-c', 'set -o pipefail; "$@" | head -n 1', 'sh', *words(m, 'watch')],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with shell:
            for n in range(10000):      # until it has seen one
                done(m, 'set', 'k', f'{happens} {n}')
                if shell.poll() is not None or n and is_readable(shell.stdout):
                    break
            out, err = shell.communicate(timeout=60)
        equal((out, err, shell.returncode), (b'set k\n', b'', 128 + signal.SIGPIPE))


def is_readable(file):
    return bool(select.select([file], [], [], 0)[0])


@case()
def watch_whose_reader_ends_before_anything_happens_ends(m):
    reader, writer = os.pipe()
    with Started(m, 'watch', stdout=writer) as watch:
        os.close(writer)
        watch.is_waiting()
        os.close(reader)
        equal(watch.process.wait(timeout=60), -signal.SIGPIPE)


@case()
def watch_says_once_that_it_cannot_write(m):
    with open('/dev/full', 'wb') as full, waiting(m, 'watch', stdout=full) as watch:
        done(m, 'set', 'k', 'v')
        err = watch.process.communicate(timeout=60)[1]
    equal((watch.process.returncode, err),
          (FAILED, b'kvp: cannot write to standard output: No space left on device\n'))


@case()
def watch_that_ignores_sigpipe_says_why_it_ends(m):
    for command in ('watch',), ('wait', 'none'):
        reader, writer = os.pipe()
        os.close(reader)
        with Started(m, *command, stdout=writer,
                     before=['env', '--ignore-signal=PIPE']) as started:
            os.close(writer)
            err = started.process.communicate(timeout=60)[1]
        equal((started.process.returncode, err),
              (FAILED, b'kvp: cannot write to standard output: Broken pipe\n'))


@case()
def many_changes_at_once_are_all_told(m):
    lines = b''.join(b'%s%04d=v\n' % (b'k' * 200, n) for n in range(1000))
    with waiting(m, 'watch') as watch:
        done(m, 'load', stdin=lines)
        equal([watch.line() for _ in range(1000)],
              [b'set %s%04d\n' % (b'k' * 200, n) for n in range(1000)])


@case()
def watch_that_nobody_reads_can_be_ended(m):
    """It blocks in write(2): the lines are more than a pipe holds."""
    lines = b''.join(b'%s%04d=v\n' % (b'k' * 200, n) for n in range(1000))
    with waiting(m, 'watch') as watch:
        done(m, 'load', stdin=lines)
        equal(watch.line()[:5], b'set k')
        watch.is_waiting()
        watch.process.terminate()
        equal(watch.process.wait(timeout=60), -signal.SIGTERM)


# Sleeping

def switches(pid):
    """How often it has gone to sleep."""
    with open(f'/proc/{pid}/status') as file:
        return int(re.search(r'^voluntary_ctxt_switches:\s+(\d+)', file.read(), re.M)[1])


@case(('k', 'v'))
def nothing_wakes_it_while_nothing_happens(m):
    with waiting(m, 'wait', 'none') as wait, waiting(m, 'watch') as watch:
        for started in wait, watch:
            eventually(sleeps_until_called, started.process.pid)
        before = [switches(started.process.pid) for started in (wait, watch)]
        says(m, NO, 'pool: wait "x": time is up', 'wait', '-t', '2.5', 'x')
        equal([switches(started.process.pid) for started in (wait, watch)], before)


@case(('k', 'v'))
def without_inotify_it_looks_once_a_second_and_says_so(m):
    message = b'nothing tells of changes here: looking once a second\n'
    before = harness.strace(m, 'inotify_init1:error=EMFILE')
    with Started(m, 'wait', 'late', before=before) as wait, \
            Started(m, 'watch', before=before) as watch:
        equal(wait.process.stderr.readline(), b'kvp: pool: wait: ' + message)
        equal(watch.process.stderr.readline(), b'kvp: pool: watch: ' + message)
        for started in wait, watch:     # it says so before its first look
            eventually(lambda pid=started.process.pid: sleeps_for_ms(pid) == 1000)
        done(m, 'set', 'late', 'v')
        wait.ends(DONE, b'v\n')
        equal(watch.line(), b'set late\n')


@case(('k', 'v'))
def watch_that_can_be_had_no_more_is_replaced_by_looking(m):
    """None at the beginning, or none for the file that takes the pool's place."""
    spare = os.path.join(m.top, SPARE)
    for first in 1, 2, 3, 4:
        pool.build(m.pool, ('k', 'v'))
        before = harness.strace(m, f'inotify_add_watch:error=ENOSPC:when={first}+')
        with Started(m, 'wait', 'late', before=before) as wait:
            eventually(lambda pid=wait.process.pid: sleeps_for_ms(pid) is not None)
            pool.build(spare, ('other', 'v'))
            os.rename(spare, m.pool)
            assert b'once a second' in wait.process.stderr.readline()
            done(m, 'set', 'late', 'v')
            wait.ends(DONE, b'v\n')


@case(('k', 'v'))
def where_a_user_may_have_no_inotify_it_looks_once_a_second(m):
    none = ['unshare', '-Ur', 'sh', '-c',
            'echo 0 >/proc/sys/user/max_inotify_instances && exec "$@"', 'sh']
    if subprocess.run([*none, 'true'], stderr=subprocess.DEVNULL, check=False).returncode:
        raise harness.Skip('no user namespace with a limit here')
    with Started(m, 'wait', 'late', before=none) as wait, \
            Started(m, 'watch', before=none) as watch:
        for started in wait, watch:
            assert b'once a second' in started.process.stderr.readline()
            eventually(lambda pid=started.process.pid: sleeps_for_ms(pid) == 1000)
        done(m, 'set', 'late', 'v')
        equal(watch.line(), b'set late\n')
        wait.ends(DONE, b'v\n')


if __name__ == '__main__':
    main()
