# SPDX-License-Identifier: MIT
"""Readers of the stream .kvpfs/events, as its tests have them.

That nothing else was told is seen by a change that is told last ("sentinel"): it
is made twice, since differences that are found at once come in the pool's order.
"""

import os
import select
import time
from os import O_NONBLOCK, O_RDONLY

from harness import Child, control, equal, eventually, write

PATIENCE = 120                  # seconds after which something never comes


def events(m):
    return control(m, 'events')


class Reader:
    """A descriptor of the stream that is read with bounded waits."""

    def __init__(self, m):
        self.m = m
        self.fd = os.open(events(m), O_RDONLY | O_NONBLOCK)
        self.rest = b''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def is_readable(self):
        return bool(select.select([self.fd], [], [], 0)[0])

    def line(self):
        while b'\n' not in self.rest:
            ready = select.select([self.fd], [], [], PATIENCE)[0]
            assert ready, f'no line came; a part of one: {self.rest!r}'
            self.rest += os.read(self.fd, 65536)
        line, _, self.rest = self.rest.partition(b'\n')
        return line.decode()

    def lines(self, count):
        return [self.line() for _ in range(count)]

    def until_sentinel(self):
        found = []
        for n in range(2):
            write(self.m / 'sentinel', b'%d' % (time.monotonic_ns() + n))
            while not found or found[-1] != 'set sentinel':
                found.append(self.line())
            found.pop()
        return found

    def tells(self, *wanted):
        """Exactly these lines, in this order, and then no more."""
        equal(self.lines(len(wanted)), list(wanted))
        equal(self.until_sentinel(), [])


def is_open_in(pid, path):
    """The kernel may have found the name anew since, and call the old one deleted."""
    try:
        return any(os.readlink(f'/proc/{pid}/fd/{fd}').removesuffix(' (deleted)') == path
                   for fd in os.listdir(f'/proc/{pid}/fd'))
    except OSError:
        return False


def read_line(path):
    """What a blocking reader gets first."""
    with open(path, 'rb', buffering=0) as file:
        return file.readline().decode()


def blocked_in_read(m, function=read_line, *arguments):
    child = Child(function, *(arguments or (events(m),)))
    eventually(lambda: is_open_in(child.pid, events(m)) and child.is_blocked())
    return child
