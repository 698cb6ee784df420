# SPDX-License-Identifier: MIT
"""Watches of inotify and fanotify on a mount, and the process that makes the kernel tell
of what others have changed."""

import ctypes
import os
import struct

from harness import Skip, equal, eventually, libc
from idle import has_read_its_events, sleeps_until_called

NAMES = {0x2: 'MODIFY', 0x4: 'ATTRIB', 0x8: 'CLOSE_WRITE', 0x40: 'MOVED_FROM',
         0x80: 'MOVED_TO', 0x100: 'CREATE', 0x200: 'DELETE', 0x400: 'DELETE_SELF',
         0x800: 'MOVE_SELF', 0x2000: 'UNMOUNT', 0x4000: 'OVERFLOW', 0x8000: 'IGNORED'}
WATCHED = 0xfce

NEW = ['CREATE', 'MODIFY', 'CLOSE_WRITE']
SET = ['MODIFY', 'CLOSE_WRITE']
GONE = ['DELETE']
FILE_GONE = ['ATTRIB', 'DELETE_SELF', 'IGNORED']


def of(name, *events):
    """What watchers of a directory are told of a name in it."""
    return [f'{event} {name}' for event in events]


class Watch:
    """One inotify instance, on one file or directory."""

    def __init__(self, path, mask=WATCHED):
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self.fd >= 0
        if libc.inotify_add_watch(self.fd, os.fsencode(path), mask) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def read(self):
        """The events that are there."""
        found = []
        while True:
            try:
                data = os.read(self.fd, 1 << 16)
            except BlockingIOError:
                return found
            at = 0
            while at < len(data):
                _, mask, _, size = struct.unpack_from('iIII', data, at)
                name = os.fsdecode(data[at + 16:at + 16 + size].rstrip(b'\0'))
                at += 16 + size
                events = [text for bit, text in NAMES.items() if mask & bit]
                found.append(' '.join(events + ([name] if name else [])))

    def tells(self, *expected):
        """What comes next is this; it waits for that, and no longer."""
        found = self.read()
        eventually(lambda: found.extend(self.read()) or len(found) >= len(expected))
        equal(found, list(expected))


def agent_of(pid):
    """The pid of the process that tells watchers, of this kvpfs; or None."""
    with open(f'/proc/{pid}/task/{pid}/children') as file:
        for child in file.read().split():
            try:
                with open(f'/proc/{child}/comm') as name:
                    if name.read() == 'kvpfs-watch\n':
                        return int(child)
            except OSError:
                pass
    return None


def is_settled(pid):
    """This kvpfs has told of all that has been changed until now."""
    agent = agent_of(pid)
    try:
        return agent and has_read_its_events(agent) and \
            sleeps_until_called(agent, reads=False)
    except OSError:                     # it has just ended
        return False


def settle(m):
    eventually(is_settled, m.pid())


# fanotify: what linux/fanotify.h has

FAN_REPORT_DFID_NAME = 0xc00
FAN_NONBLOCK = 0x2
FAN_MARK_ADD = 0x1
FAN_EVENT_ON_CHILD = 0x08000000
FAN_TOLD = 0x2 | 0x8 | 0x100 | 0x200 | FAN_EVENT_ON_CHILD


class Fanotify:
    """A mark on a directory, with names."""

    def __init__(self, path):
        self.fd = libc.fanotify_init(FAN_REPORT_DFID_NAME | FAN_NONBLOCK, os.O_RDONLY)
        if self.fd < 0:
            raise Skip(f'no fanotify: {os.strerror(ctypes.get_errno())}')
        libc.fanotify_mark.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_uint64,
                                       ctypes.c_int, ctypes.c_char_p]
        if libc.fanotify_mark(self.fd, FAN_MARK_ADD, FAN_TOLD, -100, os.fsencode(path)):
            raise Skip(f'no fanotify with names on FUSE: '
                       f'{os.strerror(ctypes.get_errno())}')

    def read(self):
        """The sets of events by name; the kernel merges them."""
        found = {}
        try:
            data = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return found
        at = 0
        while at < len(data):
            size, _, _, head, mask, _, _ = struct.unpack_from('IBBHQii', data, at)
            # fanotify_event_info_fid: header 4, fsid 8, file_handle 8 + its bytes
            handle, = struct.unpack_from('I', data, at + head + 12)
            start = at + head + 20 + handle
            name = data[start:data.index(b'\0', start)].decode()
            found.setdefault(name, set()).update(
                text for bit, text in NAMES.items() if mask & bit)
            at += size
        return found
