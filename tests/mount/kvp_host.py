# SPDX-License-Identifier: MIT
"""The Hyper-V host as a guest's pools see it: by the real hv_kvp_daemon, with the
test in the place of the host and of the kernel, or by a stand-in that does to the
files what the daemon does.
"""

import contextlib
import os
import select
import shutil
import socket
import struct
import subprocess

import harness
import pool
from harness import Skip, equal

NAMES = 'hv_kvp_daemon', 'hypervkvpd'   # as Debian and as Fedora call it
PLACES = os.environ.get('PATH', '') + ':/usr/local/sbin:/usr/sbin:/sbin'
SHIM = os.path.join(harness.BUILD, 'tests', 'mount', 'kvp_shim.so')
NAME_OF = ['external', 'guest', 'auto', 'auto-external', 'auto-internal']

# Linux, include/uapi/linux/hyperv.h
GET, SET, DELETE, ENUMERATE, REGISTER1 = 0, 1, 2, 3, 100
STRING = 1
OK, NO_MORE = 0, 0x80070103
HEADER = struct.Struct('=BBH')          # operation, pool, padding
DATA = struct.Struct('=III')            # type and sizes, then as in a pool's record
NUMBER = struct.Struct('=I')            # size of a key, index, error in the header


def file_of(directory, number):
    return os.path.join(directory, f'.kvp_pool_{number}')


def nothing():
    pass


def data(key, value):
    key, value = pool.as_bytes(key) + b'\0', pool.as_bytes(value) + b'\0'
    return DATA.pack(STRING, len(key), len(value)) + pool.encode(key, value)


def record(body):
    return pool.decode(body[DATA.size:DATA.size + pool.RECORD_SIZE])


class Daemon:
    """The real one. Requests are what the kernel makes of the host's: sizes count
    the NUL. `gated`: it can be stopped within a request."""

    def __init__(self, directory, log, gated=False):
        found = [path for path in (shutil.which(name, path=PLACES) for name in NAMES)
                 if path]
        if not found:
            raise Skip('hv_kvp_daemon is not here (package hyperv-daemons)')
        self.device, device = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.gate, gate = socket.socketpair()
        ends = {'KVP_DEVICE': device, **({'KVP_GATE': gate} if gated else {})}
        settings = [f'{name}={end.fileno()}' for name, end in ends.items()]
        with device, gate, open(log, 'ab') as errors:
            self.process = subprocess.Popen(
                ['timeout', '--foreground', '-k', '60', harness.LIMIT, 'env',
                 # whose paths may have no space
                 f'LD_PRELOAD=./{os.path.basename(SHIM)}', f'KVP_POOLS={directory}',
                 *settings, found[0], '-n'], cwd=os.path.dirname(SHIM),
                pass_fds=[end.fileno() for end in ends.values()],
                stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        self.ends = [self.device, self.gate][:1 + gated]
        greeting = self.answer()
        equal(greeting[:1], bytes([REGISTER1]))
        self.size = len(greeting)
        self.send(REGISTER1, 0, b'3.0')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.device.close()             # it ends when its device does
        self.gate.close()
        self.process.wait()

    def send(self, operation, number, body):
        message = HEADER.pack(operation, number, 0) + body
        self.device.send(message.ljust(self.size, b'\0'), socket.MSG_NOSIGNAL)

    def answer(self, between=nothing, emptied=nothing):
        """The daemon's next message. Where it stops, it is let go on; before that,
        `between` is called between its two locks, `emptied` amid its rewriting."""
        locks = 0
        while self.device not in select.select(self.ends, [], [])[0]:
            place = self.gate.recv(1)
            locks += place == b'l'
            if place == b'e':
                emptied()
            elif locks == 2:
                between()
            self.gate.send(b'\n', socket.MSG_NOSIGNAL)
        return self.device.recv(1 << 16)

    def ask(self, operation, number, body, **stops):
        """The answer's error and its body."""
        self.send(operation, number, body)
        answer = self.answer(**stops)
        equal(len(answer), self.size)
        return NUMBER.unpack_from(answer)[0], answer[HEADER.size:]

    def set(self, number, key, value, **stops):
        equal(self.ask(SET, number, data(key, value), **stops)[0], OK)

    def delete(self, number, key, **stops):
        """Whether there was such a key."""
        key = pool.as_bytes(key) + b'\0'
        return self.ask(DELETE, number, NUMBER.pack(len(key)) + key, **stops)[0] == OK

    def get(self, number, key):
        """The value, or None."""
        error, body = self.ask(GET, number, data(key, bytes(pool.VALUE_SIZE - 1)))
        return record(body)[1] if error == OK else None

    def records(self, number):
        """Every record, as the host gets them: one by one, until there is no more."""
        found = []
        while True:
            error, body = self.ask(ENUMERATE, number, NUMBER.pack(len(found)))
            if error != OK:
                equal(error, NO_MORE)
                return found
            found.append(record(body[NUMBER.size:]))


class StandIn:
    """The daemon's changes without the daemon, for machines that do not have it."""

    def __init__(self, directory, _log, gated=False):
        del gated                       # it always can
        self.directory = directory
        for number in range(len(NAME_OF)):
            with open(file_of(directory, number), 'ab'):
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def set(self, number, key, value, **stops):
        pool.daemon_set(file_of(self.directory, number), key, value, **stops)

    def delete(self, number, key, **stops):
        return pool.daemon_delete(file_of(self.directory, number), key, **stops)


@contextlib.contextmanager
def guest(m, host=Daemon, options='lock_timeout=40', **keywords):
    """A mount of the directory of pools, and a host that sets and gets there. The
    mount is first, so that it sees the daemon make the pools."""
    m.pool = os.path.join(m.top, 'pools')
    os.mkdir(m.pool)
    with m.mounted(options), host(m.pool, m.log, **keywords) as running:
        yield running


def either(function):
    """Registers a test with the daemon and one with what stands in for it."""
    for host, name in (Daemon, 'the_daemon'), (StandIn, 'a_stand_in'):
        def run(m, host=host):
            function(m, host)
        run.__name__ = f'{function.__name__}_by_{name}'
        harness.case(options=None)(run)


def path(m, number, name=''):
    return m / f'{NAME_OF[number]}/{name}'


def listed(m, number):
    """What the mount shows of a pool: names and values in the listing's order."""
    return [(name, harness.read(path(m, number, os.fsdecode(name))))
            for name in os.listdir(os.fsencode(path(m, number)))]
