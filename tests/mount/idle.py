# SPDX-License-Identifier: MIT
"""Whether a process sleeps until something happens, told without a clock."""

import collections
import ctypes
import os
import platform
import select

from harness import Skip, libc

PIDFD_GETFD = 438                       # the call, on all machines


def switches(pid):
    """How often its threads went to sleep, or were put to it."""
    count = collections.Counter()
    for task in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{task}/status') as file:
            for line in file:
                name, _, value = line.partition(':')
                if name.endswith('ctxt_switches'):
                    count[name] += int(value)
    return count


# The numbers of read(2), poll(2) and ppoll(2).
CALLS = {'x86_64': (0, 7, 271), 'aarch64': (63, None, 73)}


def sleeps_for_ms(pid):
    """The limit of the poll(2) that a process with one thread is in, if it is in one."""
    poll_call = CALLS.get(platform.machine(), (None, None))[1]
    if poll_call is None:
        raise Skip(f'there is no poll on {platform.machine()}, or it is not known here')
    with open(f'/proc/{pid}/syscall') as file:
        words = file.read().split()
    if len(words) < 4 or int(words[0]) != poll_call:
        return None
    return ctypes.c_int(int(words[3], 0) & 0xffffffff).value


def sleeps_until_called(pid, reads=True):
    """Each thread is in a call that no time ends: a poll without limit, or a read."""
    if platform.machine() not in CALLS:
        raise Skip(f'the system calls of {platform.machine()} are not known here')
    read_call, poll_call, ppoll_call = CALLS[platform.machine()]
    for task in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{task}/syscall') as file:
            words = file.read().split()
        if len(words) < 4:              # it runs
            return False
        number, _, _, third, *_ = [int(word, 0) for word in words]
        if not (reads and number == read_call or number == ppoll_call and third == 0
                or number == poll_call and third & 0xffffffff == 0xffffffff):
            return False
    return True


def has_read_its_events(pid):
    """Of inotify, as far as that can be known: a process that may not look says yes. Who
    is being woken still seems to sleep; to read what is there takes a moment. Who is
    ending does, too, while the kernel closes what he had: he has no descriptor then."""
    has_some = False
    pidfd = os.pidfd_open(pid)
    try:
        for name in os.listdir(f'/proc/{pid}/fd'):
            if os.readlink(f'/proc/{pid}/fd/{name}') != 'anon_inode:inotify':
                continue
            has_some = True
            fd = libc.syscall(PIDFD_GETFD, pidfd, int(name), 0)
            if fd >= 0:
                with os.fdopen(fd, 'rb', 0) as events:
                    if select.select([events], [], [], 0)[0]:
                        return False
    except FileNotFoundError:           # it runs, and has closed that one meanwhile
        return False
    finally:
        os.close(pidfd)
    return has_some
