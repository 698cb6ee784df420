# SPDX-License-Identifier: MIT
"""What the tests of kvp(1) share: running it on a case's pool. They need no FUSE."""

import collections
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../mount'))
import harness                          # noqa: E402
import pool                             # noqa: E402, F401
from harness import equal, eventually, read     # noqa: E402, F401

KVP = os.path.realpath(os.environ.get('KVP', os.path.join(
    os.path.dirname(harness.KVPFS), 'kvp')))
DONE, NO, USAGE, REFUSED, FAILED = range(5)

COMMANDS = ['get', 'set', 'add', 'rm', 'ls', 'entries', 'records', 'load', 'append',
            'dump', 'restore', 'clear', 'is-stale', 'status', 'wait', 'watch', 'report']
SYSTEM = '/var/lib/hyperv'

Result = collections.namedtuple('Result', 'status out err')


def case(*records, root=False):
    """As the harness has it, without a mount."""
    return harness.case(*records, options=None, root=root)


def words(m, *arguments):
    return [*harness.RUNNER, KVP, '-p', m.pool, *arguments]


def kvp(m, *arguments, stdin=b'', before=(), **keywords):
    """Runs it to its end; BEFORE: words before the program, such as strace(1)."""
    done = subprocess.run([*before, *words(m, *arguments)], input=stdin,
                          capture_output=True, timeout=60, check=False, **keywords)
    return Result(done.returncode, done.stdout, done.stderr.decode())


def done(m, *arguments, out=b'', **keywords):
    """It succeeds without a message and prints this."""
    equal(kvp(m, *arguments, **keywords), Result(DONE, out, ''))


def says(m, status, message, *arguments, **keywords):
    """It prints nothing, fails with this status, and says exactly this."""
    equal(kvp(m, *arguments, **keywords), Result(status, b'', f'kvp: {message}\n'))


def traced(m, *arguments, inject=None, **keywords):
    """Runs it to its end under strace(1), perhaps with a fault; and the trace."""
    words_before = [word for word in harness.strace(m) if word != '-D']
    if inject:
        words_before += ['-e', f'inject={inject}']
    found = kvp(m, *arguments, before=words_before, **keywords)
    with open(os.path.join(m.top, 'trace'), errors='replace') as file:
        return found, file.read()


class Started:
    """It runs in the background; standard output is a pipe. If it hangs it is ended, so
    that its test fails and the others go on."""

    def __init__(self, m, *arguments, before=(), **keywords):
        self.process = subprocess.Popen(
            [*before, *words(m, *arguments)],
            **{'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE,
               'stderr': subprocess.PIPE, **keywords})
        self.limit = threading.Timer(float(harness.LIMIT), self.process.kill)
        self.limit.daemon = True
        self.limit.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.limit.cancel()
        self.process.kill()
        self.process.communicate()

    def is_waiting(self):
        """It sleeps: so it has looked; or it has ended, if that is in its nature. What
        stands before it, such as strace(1), may have slept, too."""
        pid = self.process.pid

        def waits():
            try:
                return (harness.RUNNER or os.readlink(f'/proc/{pid}/exe') == KVP) and \
                    harness.sleeps(pid)
            except FileNotFoundError:
                return False
        eventually(lambda: waits() or self.process.poll() is not None)

    def line(self):
        return self.process.stdout.readline()

    def ends(self, status, out=b''):
        found, err = self.process.communicate(timeout=60)
        equal((self.process.returncode, found, err), (status, out, b''))


def main():
    if not os.access(KVP, os.X_OK):
        print(f'Bail out! no program at {KVP}')
        sys.exit(99)
    harness.main(needs_mounts=False)
