#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""The process that tells watchers of changes by others: how it lives and ends, whatever
happens to it, to the program, to the mount and to the pool; and what it costs.
"""

import contextlib
import ctypes
import errno
import os
import random
import re
import shutil
import signal
import subprocess
import time

import harness
import pool
from harness import (AS_NOBODY, KVPFS, MNT_DETACH, Child, Skip, case, control, equal,
                     eventually, figures, is_mounted, libc, opened, read, refused, rounds,
                     sleeps, status, umount, with_fuse_for_users, with_mounts, write,
                     write_all)
from idle import sleeps_for_ms, sleeps_until_called, switches
from stream import blocked_in_read
from watching import (FILE_GONE, GONE, NEW, SET, Watch, agent_of, is_settled, of, settle)

OLD = [('a', '1'), ('b', '2')]
MS_MOVE = 8192
BIG = 1000
PATIENCE_MS = 1000                      # between two questions that are of no use
IN_CHANGED = 0x2 | 0x100 | 0x200        # a failed write is closed, too
OPEN_TREE = 428, 1                      # the call, and its flag to clone


def agent(m):
    return eventually(agent_of, m.pid())


def still_tells(m, directory=None):
    """A change by others is told of, at the mount or another place of it."""
    directory = directory or m.dir
    with Watch(directory) as watch:
        value = f'{time.monotonic_ns()}'
        pool.put(m.pool, 'a', value)
        watch.tells(*of('a', *SET))
        equal(read(os.path.join(directory, 'a')), value.encode())


def is_dead(pid):
    """It is gone; a zombie is, too."""
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(') ')[2][0] in 'ZX'
    except OSError:
        return True


def log_of(m):
    with open(m.log) as file:
        return file.read()


def can_clone_mounts():
    fd = libc.syscall(OPEN_TREE[0], -100, b'/', OPEN_TREE[1])
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def connection_is_told(pid):
    """Whether the kernel tells which connection a descriptor of /dev/fuse is."""
    for fd in os.listdir(f'/proc/{pid}/fdinfo'):
        with contextlib.suppress(OSError), open(f'/proc/{pid}/fdinfo/{fd}') as file:
            if 'fuse_connection' in file.read():
                return True
    return False


# Its end

def kill_agent(m):
    """Returns when there is another one."""
    first = agent(m)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: agent_of(m.pid()) not in (None, first))


@case(*OLD)
def killed_agent_is_followed_by_another(m):
    kill_agent(m)
    still_tells(m)
    equal(log_of(m).count('has ended'), 1)


@case(*OLD)
def nothing_is_missed_whenever_the_agent_is_killed(m):
    """Killed again and again beside changes; in the end watchers know all."""
    keys = [f'k{n}' for n in range(5)]
    pool.append(m.pool, *[(key, '-') for key in keys])
    settle(m)
    kills = 0
    with Watch(m.dir) as watch:
        known = {}
        for n in range(rounds(100)):
            for key in keys:
                pool.put(m.pool, key, f'{n}')
                with contextlib.suppress(ProcessLookupError, TypeError):
                    os.kill(agent_of(m.pid()), signal.SIGKILL)
                    kills += 1
            if n % 10 == 0:
                pool.delete(m.pool, keys[n // 10 % 5])
            for event in watch.read():
                kind, name = event.split()
                known[name] = kind
        settle(m)
        for event in watch.read():
            kind, name = event.split()
            known[name] = kind
        equal({name for name, kind in known.items() if kind != 'DELETE'},
              {os.fsdecode(name) for name in m.names()} - {'a', 'b'})
    still_tells(m)
    figures(kills=kills)


@case(*OLD)
def agent_that_is_stopped_is_waited_for_by_nobody(m):
    with Watch(m.dir) as watch:
        pid = agent(m)
        os.kill(pid, signal.SIGSTOP)
        pool.put(m.pool, 'a', '2')
        write(m / 'b', b'3', os.O_WRONLY)
        equal(read(m / 'a'), b'2')
        equal(watch.read(), of('b', *SET))
        os.kill(pid, signal.SIGCONT)
        watch.tells(*of('a', *SET))


@case(*OLD)
def agent_that_was_called_very_often_asks_again(m):
    """A new file that is given up has it called; the pipe to it has room for 48 calls."""
    pid = agent(m)
    for n in range(rounds(60)):
        os.kill(pid, signal.SIGSTOP)
        for _ in range(120):
            with opened(m / 'new', os.O_WRONLY | os.O_CREAT) as fd:
                refused(errno.EILSEQ, os.write, fd, b'\xff')
        os.kill(pid, signal.SIGCONT)
        with Watch(m / 'a') as watch:
            pool.put(m.pool, 'a', f'{n}')
            watch.tells(*SET)


@case(*OLD)
def program_that_is_stopped_tells_when_it_goes_on(m):
    with Watch(m.dir) as watch:
        agent(m)
        os.kill(m.pid(), signal.SIGSTOP)
        pool.put(m.pool, 'a', '2')
        equal(watch.read(), [])
        os.kill(m.pid(), signal.SIGCONT)
        watch.tells(*of('a', *SET))


@case(*OLD, options=None)
def agent_ends_with_the_program(m):
    """However that ends, and whatever the agent is doing then."""
    for how in (signal.SIGKILL, signal.SIGTERM, None) * rounds(3):
        m.mount()
        pid, program = agent(m), m.pid()
        for n in range(20):
            pool.append(m.pool, *[(f'k{n}-{i}', 'v') for i in range(5)])
        if how is None:
            umount(m.dir)
        else:
            os.kill(program, how)
        eventually(is_dead, pid)
        m.program.wait()
        m.program = None
        if how == signal.SIGKILL:
            equal(subprocess.call(['umount', m.dir]), 0)
        equal(is_mounted(m.dir), False)
        pool.build(m.pool, *OLD)


def tracer_of(pid):
    with open(f'/proc/{pid}/status') as file:
        return int(re.search(r'^TracerPid:\t(\d+)', file.read(), re.M)[1])


def use_until_it_ends(m):
    """Changes from both sides, each of which the agent may have to tell of."""
    with contextlib.suppress(OSError), opened(m / 'b'), Watch(m / 'b'), Watch(m.dir):
        for n in range(4):
            pool.put(m.pool, 'a', f'{n}')
            pool.put(m.pool, 'b', f'{n}')
            pool.append(m.pool, (f'k{n}', 'v'))
            pool.delete(m.pool, f'k{n - 1}')
            read(m / 'a')
            write(m / 'c', b'v')
            time.sleep(0.005)           # for the agent to come as far as it does


def is_killed_at(m, call, number):
    """It or the agent, there: the mount goes on, or ends. Whether it has ended."""
    pool.build(m.pool, *OLD)
    words = harness.strace(m)
    try:
        m.mount(runner=[*words, '-e', f'inject={call}:signal=KILL:when={number}'])
        pid = m.pid()
        use_until_it_ends(m)
        if not is_dead(pid):
            tracer = tracer_of(pid)     # 0 if it has died meanwhile
            if tracer:
                os.kill(tracer, signal.SIGKILL)
            eventually(lambda: is_dead(pid) or tracer_of(pid) == 0)
        if not is_dead(pid):
            # of an agent's end, which a tracer that was killed may keep to itself
            os.kill(pid, signal.SIGCHLD)
            # /proc shows no call that a tracer has interrupted: the agent makes another
            pool.put(m.pool, 'b', 'last')
            settle(m)
            still_tells(m)
            m.unmount()
            return False
    except (AssertionError, IndexError, OSError):
        if not m.program or m.program.poll() is None and not is_dead(pid):
            raise
    m.program.wait()
    m.program = None
    if is_mounted(m.dir):
        umount(m.dir)
    return True


@case(options=None, root=True)
def wherever_either_is_killed_nothing_hangs(m):
    ended = kills = 0
    for number in range(1, 1 + rounds(2)):
        for call in ('open_tree', 'openat', 'statx', 'fcntl', 'write', 'writev', 'close',
                     'unlinkat', 'kill', 'poll', 'read', 'inotify_add_watch'):
            ended += is_killed_at(m, call, number)
            kills += 1
    figures(calls=kills, mounts_that_ended=ended)


@case(*OLD, options=None, root=True)
def what_the_agent_asks_about_reaches_readers_of_events(m):
    """Its question comes to the loop before the change that a reader waits for, and the
    look for its answer finds that. It makes no request then."""
    harness.strace(m)
    with m.mounted():
        child = blocked_in_read(m)
        slow = subprocess.Popen([
            'strace', '-qq', '-o', os.path.join(m.top, 'trace'), '-p', str(m.pid()),
            '-e', 'trace=?poll,ppoll', '-e', 'inject=?poll,ppoll:delay_exit=500000'])
        eventually(lambda: tracer_of(m.pid()) == slow.pid)
        old = agent(m)
        os.kill(old, signal.SIGKILL)
        new = eventually(lambda: agent_of(m.pid()) not in (old, None) and agent(m))
        eventually(sleeps, new)
        os.kill(new, signal.SIGSTOP)
        pool.put(m.pool, 'a', 'other')
        eventually(child.is_done)
        equal(child.result(), 'set a\n')
        os.kill(new, signal.SIGCONT)
        slow.terminate()
        slow.wait()


@case(*OLD, options=None, root=True)
def umount_beside_changes_neither_hangs_nor_fails_for_long(m):
    busy = 0
    for n in range(rounds(20)):
        m.mount()
        child = Child(lambda: [pool.put(m.pool, 'a', f'{n}-{i}')
                               for i in range(50)] and 0)
        while subprocess.call(['umount', m.dir], stderr=subprocess.DEVNULL):
            busy += 1
            assert busy < 10000 * (n + 1), 'busy for ever'
        child.result()
        m.program.wait()
        m.program = None
    figures(mounts=rounds(20), busy=busy)


@case(*OLD, options=None, root=True)
def umount_behind_a_write_of_the_mount_always_works(m):
    for n in range(rounds(20)):
        m.mount()
        write(m / 'a', f'{n}'.encode())
        equal(subprocess.call(['umount', m.dir]), 0)
        m.program.wait()
        m.program = None


def change_much(m, inside, n):
    """Many new keys, all of which the agent has to tell of: the kernel knows of none."""
    if inside:
        with opened(control(m), os.O_WRONLY | os.O_APPEND) as fd:
            write_all(fd, b''.join(b'k%d-%d=v\n' % (n, i) for i in range(BIG)))
    else:
        pool.append(m.pool, *[(f'k{n}-{i}', 'v') for i in range(BIG)])


def umount_behind_changes(m, inside, runner=()):
    """At any time while the agent tells of them. Returns how many had to be tried again:
    whatever holds the mount may be put to sleep then, and so for many tries."""
    busy = 0
    for n in range(rounds(10)):
        pool.build(m.pool)
        m.mount(runner=runner)
        with Watch(m.dir) as watch:
            change_much(m, inside, n)
            seen, wanted = [], random.randrange(3 * BIG)
            eventually(lambda: seen.extend(watch.read()) or len(seen) >= wanted)
        tries = 0
        while libc.umount2(m.dir.encode(), 0):
            equal(ctypes.get_errno(), errno.EBUSY)
            tries += 1
            assert tries < 10000, 'busy for ever'
            time.sleep(0.001)
        busy += tries > 0
        m.program.wait()
        m.program = None
    return busy


@case(options=None, root=True)
def umount_behind_big_changes_works(m):
    """The agent acts in a mount of its own, if it may, and makes that in a moment."""
    own, others = umount_behind_changes(m, True), umount_behind_changes(m, False)
    figures(umounts=rounds(20), busy_behind_own=own, busy_behind_others=others)
    if can_clone_mounts():
        assert (own + others) * 4 <= rounds(20), (own, others)


@case(options=None, root=True)
def umount_behind_big_changes_works_soon_without_privileges(m):
    """Then the agent acts in this mount, and pauses."""
    runner = harness.strace(m, 'open_tree:error=EPERM')
    busy = (umount_behind_changes(m, True, runner) +
            umount_behind_changes(m, False, runner))
    figures(umounts=rounds(20), busy=busy)


# The mount

@case(*OLD, options=None, root=True)
def mount_is_found_wherever_it_is(m):
    other = os.path.join(m.top, 'other')
    os.mkdir(other)

    def moved():
        with m.mounted():
            agent(m)        # older kernels find the mount by its place, in the beginning
            equal(libc.mount(m.dir.encode(), other.encode(), None, MS_MOVE, None), 0)
            still_tells(m, other)
            equal(libc.mount(other.encode(), m.dir.encode(), None, MS_MOVE, None), 0)
            still_tells(m)
            subprocess.check_call(['mount', '--bind', m.dir, other])
            umount(m.dir)
            still_tells(m, other)
            subprocess.check_call(['mount', '--move', other, m.dir])
    with_mounts(moved)


@case(*OLD, options=None, root=True)
def what_happens_while_the_mount_is_covered_is_told_later(m):
    def cover():
        with m.mounted(), Watch(m.dir) as watch:
            settle(m)
            subprocess.check_call(['mount', '-t', 'tmpfs', 'none', m.dir])
            write(m / 'a', b'of tmpfs')
            pool.put(m.pool, 'a', '2')
            pool.put(m.pool, 'c', '2')
            settle(m)
            equal((watch.read(), os.listdir(m.dir), read(m / 'a')),
                  ([], ['a'], b'of tmpfs'))
            umount(m.dir)
            watch.tells(*of('a', *SET), *of('c', *NEW))
    with_mounts(cover)


@case(*OLD, options=None, root=True)
def what_lies_over_a_key_is_never_written(m):
    victim = os.path.join(m.top, 'victim')

    def cover():
        write(victim, b'precious')
        with m.mounted():
            subprocess.check_call(['mount', '--bind', victim, m / 'a'])
            settle(m)
            pool.put(m.pool, 'a', '2')
            settle(m)
            equal(read(victim), b'precious')
            pool.put(m.pool, 'b', '3')
            settle(m)
            umount(m / 'a')             # the kernel may have done so
            still_tells(m)
    with_mounts(cover)


@case(*OLD, options=None, root=True)
def lazily_unmounted_mount_costs_nothing(m):
    def detach():
        m.mount()
        with opened(m / 'a'), Watch(m.dir):
            settle(m)
            equal(libc.umount2(m.dir.encode(), MNT_DETACH), 0)
            pid, program = agent_of(m.pid()), m.pid()
            pool.put(m.pool, 'a', '2')
            settle(m)
            before = switches(pid)
            eventually(sleeps_until_called, program)    # it has just answered
            equal(switches(pid), before)
        eventually(is_dead, program)
        m.program.wait()
        m.program = None
    with_mounts(detach)


@case(*OLD, options=None, root=True)
def each_of_two_mounts_is_told_by_its_own_agent(m):
    other = os.path.join(m.top, 'other')
    os.mkdir(other)
    with m.mounted():
        program = subprocess.Popen([KVPFS, '-f', m.pool, other])
        try:
            eventually(is_mounted, other)
            for directory in m.dir, other:
                still_tells(m, directory)
                for pid in m.pid(), program.pid:    # both have told of it
                    eventually(is_settled, pid)
            with Watch(m.dir) as one, Watch(other) as two:
                write(m / 'b', b'9', os.O_WRONLY)
                one.tells(*of('b', *SET))
                two.tells(*of('b', *SET))
                settle(m)
                eventually(is_settled, program.pid)
                equal((one.read(), two.read()), ([], []))
        finally:
            program.terminate()
            equal(program.wait(), 0)


@case(*OLD, options=None, root=True)
def mount_that_is_moved_as_it_appears_is_found(m):
    """Newer kernels tell the program which is its own."""
    other = os.path.join(m.top, 'other')
    os.mkdir(other)

    def moved():
        with m.mounted(runner=harness.strace(m, 'statx:delay_enter=50000')):
            if not connection_is_told(m.pid()):
                return 'this kernel does not tell'
            equal(libc.mount(m.dir.encode(), other.encode(), None, MS_MOVE, None), 0)
            still_tells(m, other)
            equal(libc.mount(other.encode(), m.dir.encode(), None, MS_MOVE, None), 0)
        return None
    with_mounts(moved)


@case(*OLD, options=None, root=True)
def what_cannot_be_done_for_a_moment_is_done_then(m):
    """For want of memory or descriptors, at each call that the agent makes."""
    for call, number in (('write', 'ENOMEM'), ('openat', 'ENFILE'), ('openat', 'ENOMEM'),
                         ('open_tree', 'ENOMEM'), ('fcntl', 'EMFILE'),
                         ('unlinkat', 'ENOMEM')):
        # a path in a mount of the agent's own is shown as from there
        paths = [word for path in (m.dir, m / 'a', m / 'c', 'a', 'c', '/a', '/c',
                                   *(f'/proc/self/fd/{fd}' for fd in range(3, 20)))
                 for word in ('-P', path)]
        runner = harness.strace(m, f'{call}:error={number}:when=1..2')
        pool.build(m.pool, *OLD)
        with m.mounted(runner=[*runner, *paths]), Watch(m.dir, IN_CHANGED) as watch:
            pool.put(m.pool, 'a', '2')
            watch.tells('MODIFY a')
            pool.put(m.pool, 'c', '2')
            watch.tells('CREATE c', 'MODIFY c')
            pool.delete(m.pool, 'a')
            watch.tells('DELETE a')


# How the program runs

@case(*OLD, options=None, root=True)
def daemon_tells_as_well(m):
    subprocess.check_call([KVPFS, os.path.relpath(m.pool, m.top), 'mount'], cwd=m.top)
    try:
        still_tells(m)
    finally:
        umount(m.dir)


@case(*OLD, options=None, root=True)
def program_in_a_pid_namespace_tells_as_well(m):
    with m.mounted(runner=['unshare', '-p', '-f', '--kill-child']):
        still_tells(m)
        # unshare(1) would not pass the signal on that ends others
        umount(m.dir)
        equal(m.program.wait(), 0)
        m.program = None


@case(*OLD, options=None, root=True)
def user_who_mounts_is_told(m):
    def run():
        def mount():
            os.chmod(m.pool, 0o600)
            program = subprocess.Popen([*AS_NOBODY, KVPFS, '-f', m.pool, m.dir])
            eventually(is_mounted, m.dir)
            try:
                equal(Child(still_tells, m, user=harness.NOBODY).result(), None)
            finally:
                program.terminate()
                equal(program.wait(), 0)
        os.chown(m.pool, harness.NOBODY, harness.NOBODY)
        return mount()
    with_fuse_for_users(m, run)


# The pool

@case(*OLD, options=None)
def directory_of_the_pool_may_come_and_go(m):
    place = os.path.join(m.top, 'place')
    os.mkdir(place)
    m.pool = os.path.join(place, 'pool')
    pool.build(m.pool, *OLD)
    with m.mounted(), Watch(m.dir) as watch:
        settle(m)
        os.rename(place, place + '.away')
        watch.tells(*of('a', *GONE), *of('b', *GONE))
        os.mkdir(place)
        pool.build(m.pool, ('c', '1'))
        watch.tells(*of('c', *NEW))
        pool.put(m.pool, 'c', '2')
        watch.tells(*of('c', *SET))
        os.rename(place, place + '.2')
        os.rename(place + '.away', place)
        watch.tells(*of('c', *GONE), *of('a', *NEW), *of('b', *NEW))
        still_tells(m)


@case(*OLD, options=None)
def pool_by_a_symbolic_link_is_told_of(m):
    link = os.path.join(m.top, 'link')
    far = os.path.join(m.top, 'far')
    os.mkdir(far)
    pool.build(os.path.join(far, 'target'), *OLD)
    os.symlink(os.path.join(far, 'target'), link)
    m.pool = link
    with m.mounted(), Watch(m.dir) as watch:
        settle(m)
        pool.put(os.path.join(far, 'target'), 'a', '2')
        watch.tells(*of('a', *SET))
        os.unlink(os.path.join(far, 'target'))
        watch.tells(*of('a', *GONE), *of('b', *GONE))
        pool.build(os.path.join(far, 'target'), ('c', '1'))
        watch.tells(*of('c', *NEW))
        pool.build(link + '.new', ('c', '2'))
        os.symlink(link + '.new', link + '.tmp')
        os.rename(link + '.tmp', link)
        watch.tells(*of('c', *SET))
        pool.put(link + '.new', 'c', '3')
        watch.tells(*of('c', *SET))


@case(*OLD, options=None, root=True)
def pool_that_is_bind_mounted_is_told_of(m):
    """Whoever writes it by its other name tells the directory of that one."""
    def bind():
        here = os.path.join(m.top, 'here')
        write(here, b'')
        subprocess.check_call(['mount', '--bind', m.pool, here])
        there, m.pool = m.pool, here
        with m.mounted(), Watch(m.dir) as watch:
            settle(m)
            pool.put(there, 'a', '2')
            watch.tells(*of('a', *SET))
    with_mounts(bind)


# What it costs

@case(*OLD)
def neither_process_runs_while_nothing_happens(m):
    still_tells(m)
    settle(m)
    os.stat(m.dir)                      # answered behind what was closed
    eventually(sleeps_until_called, m.pid())
    pids = m.pid(), agent(m)
    before = [switches(pid) for pid in pids]
    for n in range(20):                 # what concerns no pool
        write(os.path.join(m.top, f'other{n}'), b'')
        os.unlink(os.path.join(m.top, f'other{n}'))
        write(m.pool + 'x', b'')
        read(m.pool)
    subprocess.check_call(['sleep', '2'])
    after = [switches(pid) for pid in pids]
    equal(after[0], before[0])
    eventually(sleeps_until_called, pids[1])


def memory_of(pid):
    """In KiB; what it shares with the program counts by halves."""
    with open(f'/proc/{pid}/smaps_rollup') as file:
        return int(re.search(r'^Pss: +(\d+)', file.read(), re.M).group(1))


@case(*[(f'k{n}', 'x' * BIG) for n in range(1024)])
def agent_costs_little_memory(m):
    settle(m)
    for n in range(1024):
        write(m / f'k{n}', b'y' * BIG)
    sizes = [memory_of(agent(m))]
    # another one begins with what the kernel knows of all those files
    kill_agent(m)
    settle(m)
    for n in range(1024):
        write(m / f'k{n}', b'z' * BIG)
    settle(m)
    sizes.append(memory_of(agent(m)))
    figures(KiB=sizes)
    if not harness.is_sanitized() and not harness.RUNNER:
        assert max(sizes) < 512, sizes


def is_mapped(m, pid):
    with open(f'/proc/{pid}/maps') as file:
        return m.pool in file.read()


@case(*harness.numbered(200), options=None)
def no_part_of_a_pool_stays_in_memory_twice(m):
    """It is looked at in the pages of the file, which are given back then."""
    for options in '', 'nowatchers', 'ro':
        with m.mounted(options):
            for n in range(20):
                pool.put(m.pool, 'key-0007', f'{options} {n}')
                equal(read(m / 'key-0007'), f'{options} {n}'.encode())
                eventually(lambda: not is_mapped(m, m.pid()))
            child = blocked_in_read(m)
            pool.put(m.pool, 'key-0008', f'{options} other')
            equal(child.result(), 'set key-0008\n')
            eventually(lambda: not is_mapped(m, m.pid()))


@case(*harness.numbered(200))
def agent_that_takes_over_keeps_no_part_of_a_pool(m):
    """While the first one is on an errand the program has not given those pages back."""
    first = agent(m)
    pool.append(m.pool, *[(f'k{n}', 'v') for n in range(BIG)])
    eventually(is_mapped, m, m.pid())
    os.kill(first, signal.SIGKILL)
    second = eventually(lambda: agent_of(m.pid()) not in (None, first) and agent(m))
    eventually(lambda: not is_mapped(m, second))


@case(*OLD)
def lock_that_is_held_on_is_asked_for_ever_more_rarely(m):
    with Watch(m.dir) as watch:
        settle(m)
        with harness.Holder(m) as holder:
            holder.append('c=1')
            eventually(lambda: sleeps_for_ms(agent(m)) == PATIENCE_MS)
        watch.tells(*of('c', *NEW))


if __name__ == '__main__':
    harness.main()
