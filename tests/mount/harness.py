#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Real mounts for the tests that are written in Python, and their TAP output.

@case registers a function; main() gives each a fresh pool and mount, prints a
TAP line, and on failure the traceback and the program's log. Names given as
arguments select cases. Run as a command it only says whether mounting is
possible here (exit status 77 if not), which lib.sh asks too.
"""

import contextlib
import ctypes
import errno
import os
import pickle
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import pool

HERE = os.path.dirname(os.path.abspath(__file__))
KVPFS = os.path.abspath(os.environ.get('KVPFS', os.path.join(HERE, '../../src/kvpfs')))
BUILD = os.environ.get('abs_top_builddir', os.path.dirname(os.path.dirname(KVPFS)))
# Words before the program (such as valgrind), and the seconds after which a
# program that hangs is ended, so that its test fails and the others go on.
RUNNER = os.environ.get('KVPFS_RUNNER', '').split()
LIMIT = os.environ.get('KVPFS_TEST_LIMIT', '600')
# How often `make soak` repeats what a test does once.
SOAK = int(os.environ.get('KVPFS_SOAK', '1'))
NOBODY = 65534
AS_NOBODY = ['setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups']
CAP_SYS_ADMIN = 21
CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
MNT_DETACH = 2
AT_FDCWD = -100
NOREPLACE, EXCHANGE = 1, 2              # for renameat2
CAP = 1024                              # keys that a store may hold

# Two pools: each part of one tells it from the other.
VERSIONS = [[(f'{version}{n}', version * 100) for n in range(count)]
            for version, count in (('a', 30), ('b', 70))]

libc = ctypes.CDLL(None, use_errno=True)
cases = []


class Skip(Exception):
    """Why a case cannot run here."""


def case(*records, options='', root=False):
    """Registers a test; it gets a Mount of a pool that holds `records`.
    With options=None the test mounts for itself."""
    def register(function):
        cases.append((function, records, options, root))
        return function
    return register


def rounds(count):
    """How often to repeat something that COUNT times would do in a short run."""
    return count * SOAK


def figures(**values):
    """Shows what a test did, and how it went, on a line of its own."""
    print('# figures:', ', '.join(f'{name.replace("_", " ")} {value}'
                                  for name, value in values.items()), flush=True)


def numbered(count):
    return [(f'key-{n:04}', f'{n}') for n in range(count)]


def equal(actual, wanted):
    if actual != wanted:
        raise AssertionError(f'got {actual!r}, expected {wanted!r}')


def refused(number, function, *arguments, **keywords):
    """The call must fail with exactly this errno."""
    try:
        result = function(*arguments, **keywords)
    except OSError as error:
        if error.errno == number:
            return
        raise AssertionError(f'{errno.errorcode[error.errno]} instead of '
                             f'{errno.errorcode[number]}') from None
    raise AssertionError(f'{result!r} instead of {errno.errorcode[number]}')


def eventually(condition, *arguments):
    """Bounded tries, for what happens behind a call that does not wait."""
    for _ in range(60000):
        result = condition(*arguments)
        if result:
            return result
        time.sleep(0.001)
    raise AssertionError(f'never became true: {condition}')


def sleeps(pid):
    """timeout(1), between its fork and the next step, would die of a signal and
    not pass it on; it sleeps once it is past that."""
    with open(f'/proc/{pid}/stat') as file:
        return file.read().rpartition(') ')[2].startswith('S')


class Child:
    """A call in a process of its own, which may block or have no privileges."""

    living = set()

    def __init__(self, function, *arguments, user=None):
        self.answer, answer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                if user is not None:
                    os.setgroups([])
                    os.setgid(user)
                    os.setuid(user)
                result = function(*arguments)
            except BaseException as error:
                result = error
            os.write(answer, pickle.dumps(result))
            os._exit(0)
        os.close(answer)
        Child.living.add(self)

    def is_blocked(self):
        """Sleeps in a system call, as /proc tells it."""
        with open(f'/proc/{self.pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[0] in 'SD'

    def is_done(self):
        return bool(select.select([self.answer], [], [], 0)[0])

    def wait(self):
        Child.living.discard(self)
        return os.waitpid(self.pid, 0)[1]

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def result(self):
        """Waits for the end of the call; returns or raises as it did."""
        with open(self.answer, 'rb') as file:
            answer = file.read()
        self.wait()
        if not answer:
            raise ChildProcessError('the child was killed')
        result = pickle.loads(answer)
        if isinstance(result, BaseException):
            raise result
        return result


class Holder:
    """Another process that holds a lock of the pool (PATH: of that one) and may append
    to it. The mount is up to date when it starts."""

    def __init__(self, m, kind='posix-ex', *records, path=None):
        m.names()
        self.process = subprocess.Popen(
            [sys.executable, '-B', pool.__file__, 'hold', path or m.pool, kind],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        equal(self.process.stdout.readline(), 'held\n')
        for record in records:
            self.append(record)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()

    def append(self, record):
        self.process.stdin.write(record + '\n')
        self.process.stdin.flush()
        equal(self.process.stdout.readline(), 'appended\n')

    def release(self):
        if self.process.poll() is None:
            self.process.communicate('\n')
        equal(self.process.returncode, 0)


class Flapper:
    """Another program that takes the pool's lock for moments, again and again."""

    def __init__(self, path, kind='flock-ex', seconds=0.003):
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.flap, args=(path, kind, seconds))

    def flap(self, path, kind, seconds):
        while not self.ends.is_set():
            with contextlib.suppress(OSError):
                fd = pool.try_lock(path, kind)
                time.sleep(seconds)
                os.close(fd)
            time.sleep(seconds)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()


def interruptible(call, *arguments):
    """A child that calls libc, since python itself repeats an interrupted call. Its
    result is errno, or 0. No signal can come before it is caught."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    child = Child(lambda: ctypes.get_errno() if call(*arguments) < 0 else 0)
    signal.signal(signal.SIGINT, before)
    return child


def interrupt(child):
    """Signals the child (again, if it had not yet begun to wait)."""
    os.kill(child.pid, signal.SIGINT)
    return child.is_done()


def enter_mount_namespace():
    """One of our own, without the mounts of others: as long as there is a copy of it, a
    mount that is unmounted goes on, and its program does not end. Returns why not."""
    if libc.unshare(CLONE_NEWNS) != 0:
        return 'no mount namespaces here'
    if libc.mount(None, b'/', None, MS_REC | MS_PRIVATE, None) != 0:
        return '/ is no mount point'
    for words in mounts():
        if words[words.index('-') + 1] == 'fuse.kvpfs':
            path = re.sub(rb'\\(\d{3})', lambda found: bytes([int(found[1], 8)]),
                          os.fsencode(words[4]))
            libc.umount2(path, MNT_DETACH)
    return None


def with_mounts(function, *commands):
    """Runs the rest of a case behind mounts that only it can see."""
    def run():
        reason = enter_mount_namespace()
        if reason:
            return reason
        for command in commands:
            if subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
                return f'cannot {" ".join(command)}'
        return function()
    reason = Child(run).result()
    if reason:
        raise Skip(reason)


@contextlib.contextmanager
def opened(path, flags=os.O_RDONLY):
    fd = os.open(path, flags, 0o644)
    try:
        yield fd
    finally:
        os.close(fd)


def read(path):
    """The whole content by one open and plain reads."""
    with opened(path) as fd:
        return b''.join(iter(lambda: os.read(fd, 65536), b''))


def write(path, data, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
    with opened(path, flags) as fd:
        equal(os.write(fd, data), len(data))


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


def control(m, name='records'):
    """The path of a file of the directory .kvpfs."""
    return os.path.join(m.dir, '.kvpfs', name)


def status(m):
    # a key that it shows may have any bytes but a newline
    lines = os.fsdecode(read(control(m, 'status'))).split('\n')
    equal(lines.pop(), '')
    found = dict(entry.split('=', 1) for entry in lines)
    equal(len(found), len(lines))
    return found


def is_sanitized():
    """Whether the program was built with one of the compiler's sanitizers."""
    with open(KVPFS, 'rb') as file:
        return re.search(rb'__[at]san_init', file.read()) is not None


def strace(m, *injections):
    """The words that let system calls fail; no tracer bears a leak checker. Threads
    are traced for root only: a user's fusermount3 would be, too, and lose its rights."""
    words = ['strace', '-D', '-o', os.path.join(m.top, 'trace'),
             '-E', 'LSAN_OPTIONS=detect_leaks=0']
    if os.geteuid() == 0:
        words.append('-f')
    for injection in injections:
        words += ['-e', f'inject={injection}']
    if RUNNER or not shutil.which('strace') or subprocess.run(
            [*words, 'true'], stderr=subprocess.DEVNULL, check=False).returncode:
        raise Skip('needs strace and no runner')
    return words


def renameat2(source, target, flags):
    if libc.renameat2(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target),
                      flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def exchange(one, two):
    renameat2(one, two, EXCHANGE)


def mounts():
    """The lines of /proc/self/mountinfo as words; names of other mounts may have any
    bytes."""
    with open('/proc/self/mountinfo', errors='surrogateescape') as file:
        return [line.split() for line in file]


def is_mounted(directory):
    return any(words[4] == directory for words in mounts())


def umount(path):
    """As soon as nobody is in it: an agent may be on its way through any mount that the
    path of a pool or of a mountpoint leads to."""
    eventually(lambda: not subprocess.call(['umount', path], stderr=subprocess.DEVNULL)
               or not is_mounted(path))


class Mount:
    """A pool, a mount of it, and the program in the foreground with a log."""

    def __init__(self, top, records):
        self.top = top
        self.pool = os.path.join(top, 'pool')
        self.dir = os.path.join(top, 'mount')
        self.log = os.path.join(top, 'log')
        self.program = None
        os.mkdir(self.dir)
        pool.build(self.pool, *records)

    def __truediv__(self, name):
        """The path of a file of the mount, str or bytes as its name is."""
        if isinstance(name, bytes):
            return os.path.join(os.fsencode(self.dir), name)
        return os.path.join(self.dir, name)

    def names(self):
        return os.listdir(os.fsencode(self.dir))

    def records(self):
        return pool.records(self.pool)

    def entries(self):
        return pool.entries(self.pool)

    def value(self, key):
        return pool.entries(self.pool).get(pool.as_bytes(key))

    def mount(self, options='', runner=()):
        """RUNNER: words before the program, such as prlimit(1)."""
        arguments = ['-f', *(['-o', options] if options else []), self.pool, self.dir]
        with open(self.log, 'ab') as log:
            self.program = subprocess.Popen(
                ['timeout', '--foreground', '-k', '60', LIMIT, *runner, *RUNNER, KVPFS,
                 *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(lambda: is_mounted(self.dir) or self.program.poll() is not None)
        eventually(lambda: self.program.poll() is not None or sleeps(self.program.pid))
        if self.program.poll() is not None:
            raise AssertionError(f'kvpfs ended with {self.program.returncode}')

    def pid(self):
        """Of kvpfs itself: the child of timeout(1)."""
        with open(f'/proc/{self.program.pid}/task/{self.program.pid}/children') as file:
            return int(file.read().split()[0])

    def unmount(self):
        """Ends the program by signal; it must unmount and report success."""
        if self.program is None:
            return
        program, self.program = self.program, None
        program.terminate()
        equal(program.wait(), 0)
        equal(is_mounted(self.dir), False)

    def usage(self):
        """Its descriptors, and the KiB that are resident of all and of its heap."""
        with open(f'/proc/{self.pid()}/smaps') as file:
            maps = re.split(r'^(?=[\da-f]+-[\da-f]+ )', file.read(), flags=re.M)[1:]
        sizes = [(int(re.search(r'^Rss: +(\d+)', text, re.M)[1]), '[heap]' in text)
                 for text in maps]
        return (len(os.listdir(f'/proc/{self.pid()}/fd')), sum(size for size, _ in sizes),
                sum(size for size, is_heap in sizes if is_heap))

    @contextlib.contextmanager
    def mounted(self, options='', runner=()):
        """A mount that is gone when the block ends, in whatever way."""
        try:
            self.mount(options, runner)
            yield
            self.unmount()
        finally:
            self.clean_up()

    def clean_up(self):
        """Whatever state a failure left: no mount and no program remain."""
        if is_mounted(self.dir):
            # -f ends what waits for an answer, be it the program itself
            command = ['umount', '-fl'] if os.geteuid() == 0 else ['fusermount3', '-uz']
            subprocess.run([*command, self.dir], check=False)
        if self.program is not None:
            self.program.terminate()
            self.program.wait()         # `timeout` sees to it that this ends
            self.program = None


def why_no_user_mount():
    """The reason why users cannot mount here, and unmount again, or None."""
    helper = shutil.which('fusermount3')
    if not helper or not os.stat(helper).st_mode & stat.S_ISUID:
        return '/dev/fuse is of no use to users without a set-uid fusermount3'
    if not os.path.exists('/etc/mtab'):
        return 'fusermount3 unmounts nothing without /etc/mtab'
    return None


def why_no_mount():
    """The reason why nothing can be mounted here, or None."""
    try:
        os.close(os.open('/dev/fuse', os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f'/dev/fuse cannot be opened: {error.strerror}'
    if os.geteuid() == 0:
        with open('/proc/self/status') as status:
            fields = dict(line.split(':', 1) for line in status)
        if not int(fields['CapEff'], 16) >> CAP_SYS_ADMIN & 1:
            return '/dev/fuse is of no use without CAP_SYS_ADMIN'
        return None
    return why_no_user_mount()


def with_fuse_for_users(m, function):
    """As with_mounts, where any user may open /dev/fuse, as on most systems, and mount
    at m.dir."""
    device = os.path.join(m.top, 'fuse')
    reason = why_no_user_mount()
    if reason or RUNNER or not shutil.which('setpriv'):
        raise Skip(reason or 'needs setpriv and no runner')
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(10, 229))
    except PermissionError:
        raise Skip('cannot make devices here') from None
    os.chmod(device, 0o666)
    os.chown(m.dir, NOBODY, NOBODY)

    def run_there():
        try:
            Child(lambda: os.close(os.open('/dev/fuse', os.O_RDWR)), user=NOBODY).result()
        except OSError:
            return 'other users cannot open /dev/fuse'
        return function()
    with_mounts(run_there, ['mount', '--bind', device, '/dev/fuse'])


def skip_all_if_impossible():
    reason = why_no_mount()
    if reason:
        print(f'1..0 # SKIP {reason}')
        sys.exit(77)
    if not os.access(KVPFS, os.X_OK):
        print(f'Bail out! no program at {KVPFS}')
        sys.exit(99)


def run(function, records, options, root):
    """One case; returns the comment for its TAP line and the diagnostics."""
    if root and os.geteuid() != 0:
        return ' # SKIP needs root', ''
    with tempfile.TemporaryDirectory(prefix='kvpfs-test.') as top:
        os.chmod(top, 0o755)
        mount = Mount(top, records)
        try:
            if options is None:
                function(mount)
            else:
                with mount.mounted(options):
                    function(mount)
        except Skip as reason:
            return f' # SKIP {reason}', ''
        except Exception:
            log = ''
            if os.path.exists(mount.log):
                with open(mount.log, errors='backslashreplace') as file:
                    log = file.read()
            return '', f'{traceback.format_exc()}--- log:\n{log}'
        finally:
            for child in list(Child.living):
                child.kill()
            mount.clean_up()
    return '', ''


def main(needs_mounts=True):
    if needs_mounts:
        skip_all_if_impossible()
    os.umask(0o022)
    # whoever started this in the background has them ignored
    for number in signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chosen = [entry for entry in cases
              if len(sys.argv) == 1 or entry[0].__name__ in sys.argv[1:]]
    failures = 0
    for number, entry in enumerate(chosen, 1):
        comment, diagnostics = run(*entry)
        failures += bool(diagnostics)
        print(f'{"not " if diagnostics else ""}ok {number} - '
              f'{entry[0].__name__}{comment}', flush=True)
        for text in diagnostics.splitlines():
            print('#', text, flush=True)
    print(f'1..{len(chosen)}')
    sys.exit(failures > 0)


if __name__ == '__main__':
    skip_all_if_impossible()
