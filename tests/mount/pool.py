#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""The tests' own reader and writer of KVP pool files.

Shares no code with kvpfs, so that it can judge what kvpfs stored and can play
the other programs that use a pool. As a command it takes and prints records as
KEY=VALUE with Python's backslash escapes (and \\x3d for '=' in a key).
"""

import codecs
import contextlib
import fcntl
import os
import re
import struct
import sys
import time

KEY_SIZE, VALUE_SIZE = 512, 2048
RECORD_SIZE = KEY_SIZE + VALUE_SIZE
F_OFD_SETLK, F_OFD_SETLKW = 37, 38      # named only by newer fcntl modules


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode()


def encode(key, value):
    """One record; bytes behind a NUL in `key` or `value` stay as noise."""
    key, value = as_bytes(key), as_bytes(value)
    assert len(key) <= KEY_SIZE and len(value) <= VALUE_SIZE
    return key.ljust(KEY_SIZE, b'\0') + value.ljust(VALUE_SIZE, b'\0')


def decode(record):
    key, value = record[:KEY_SIZE], record[KEY_SIZE:]
    return key.partition(b'\0')[0], value.partition(b'\0')[0]


def raw(path):
    """The whole records of the file, 2560 bytes each, without a cut tail."""
    with open(path, 'rb') as file:
        data = file.read()
    return [data[at:at + RECORD_SIZE]
            for at in range(0, len(data) - RECORD_SIZE + 1, RECORD_SIZE)]


def records(path):
    return [decode(record) for record in raw(path)]


def entries(path):
    """Last value of each key; keys in the order of their first records."""
    found = {}
    for key, value in records(path):
        found[key] = value
    found.pop(b'', None)
    return found


def build(path, *pairs):
    with open(path, 'wb') as file:
        file.write(b''.join(encode(key, value) for key, value in pairs))


def set_posix_style_lock(fd, command, kind):
    """A whole-file record lock; `command` says POSIX or OFD, wait or not."""
    fcntl.fcntl(fd, command, struct.pack('hhqqi4x', kind, 0, 0, 0, 0))


@contextlib.contextmanager
def locked(path, flags=os.O_RDWR | os.O_CREAT):
    """Opens the pool under the locks that every careful program takes."""
    fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        set_posix_style_lock(fd, F_OFD_SETLKW, fcntl.F_WRLCK)
        yield fd
    finally:
        os.close(fd)


def leave_unlocked():
    """Who holds the lock again and again leaves it to those who ask each millisecond."""
    time.sleep(0.003)


def append(path, *pairs):
    with locked(path) as fd:
        at = os.fstat(fd).st_size // RECORD_SIZE * RECORD_SIZE
        os.pwrite(fd, b''.join(encode(key, value) for key, value in pairs), at)


def put(path, key, value):
    """Overwrites the last record of the key in place, or appends one."""
    key = as_bytes(key)
    with locked(path) as fd:
        keys = [found for found, _ in records(path)]
        slot = len(keys) - 1 - keys[::-1].index(key) if key in keys else len(keys)
        os.pwrite(fd, encode(key, value), slot * RECORD_SIZE)


def delete(path, key):
    key = as_bytes(key)
    with locked(path) as fd:
        kept = b''.join(record for record in raw(path) if decode(record)[0] != key)
        os.pwrite(fd, kept, 0)
        os.ftruncate(fd, len(kept))


def c_copy(field, text):
    """What a copy of a C string makes of a field: old bytes stay behind its NUL."""
    text += b'\0'
    return text[:len(field)] + field[len(text):]


def daemon_change(path, change, between, emptied):
    """Changes a pool as hv_kvp_daemon does for the host: it reads under one lock and
    rewrites under another, and so undoes what others write in between."""
    with open(path, 'rb+', 0) as file:
        set_posix_style_lock(file, fcntl.F_SETLKW, fcntl.F_WRLCK)
        data = file.read()
        kept = [data[at:at + RECORD_SIZE]
                for at in range(0, len(data) - RECORD_SIZE + 1, RECORD_SIZE)]
        set_posix_style_lock(file, fcntl.F_SETLK, fcntl.F_UNLCK)
        if not change(kept, [decode(record)[0] for record in kept]):
            return False
        between()
        set_posix_style_lock(file, fcntl.F_SETLKW, fcntl.F_WRLCK)
        file.truncate(0)
        emptied()
        data = b''.join(kept)
        for at in range(0, len(data), 4096):
            os.pwrite(file.fileno(), data[at:at + 4096], at)
    return True


def daemon_set(path, key, value, between=lambda: None, emptied=lambda: None):
    """The host's SET: the first record of the key, or a new one at the end."""
    key, value = as_bytes(key), as_bytes(value)

    def change(kept, keys):
        if key in keys:
            slot = keys.index(key)
            kept[slot] = kept[slot][:KEY_SIZE] + c_copy(kept[slot][KEY_SIZE:], value)
        else:
            kept.append(encode(key, value))
        return True
    return daemon_change(path, change, between, emptied)


def daemon_delete(path, key, between=lambda: None, emptied=lambda: None):
    """The host's DELETE: the first record of the key, those behind it move up as
    strings. Says whether there was one."""
    def change(kept, keys):
        if as_bytes(key) not in keys:
            return False
        for slot in range(keys.index(as_bytes(key)), len(kept) - 1):
            fields = decode(kept[slot + 1])
            kept[slot] = (c_copy(kept[slot][:KEY_SIZE], fields[0]) +
                          c_copy(kept[slot][KEY_SIZE:], fields[1]))
        kept.pop()
        return True
    return daemon_change(path, change, between, emptied)


def flaws(path):
    """What a pool that kvpfs alone has written must not contain."""
    if os.path.getsize(path) % RECORD_SIZE:
        yield 'the size is not a multiple of a record'
    seen = set()
    for index, record in enumerate(raw(path)):
        key, value = decode(record)
        if record != encode(key, value):
            yield f'record {index}: bytes behind the first NUL'
        if not key:
            yield f'record {index}: empty key'
        if key in seen:
            yield f'record {index}: repeated key'
        seen.add(key)
        try:
            key.decode(), value.decode()
        except UnicodeDecodeError:
            yield f'record {index}: not UTF-8'


# Records whose lines are escaped, or look as if they were.
ESCAPED = [
    (b'a=b', b'c=d', b'a%3Db=c=d'),
    (b'a\nb', b'\n\n', b'a%0Ab=%0A%0A'),
    (b'100%', b'%', b'100%=%'),
    (b'%41', b'%4f%4F', b'%2541=%254f%254F'),
    (b'%3D', b'%0A', b'%253D=%250A'),
    (b'%%41%', b'%%%25', b'%%2541%=%%%2525'),
    (b'%4\n1', b'%\n', b'%4%0A1=%%0A'),
    (b'%=', b'%g0%0g', b'%%3D=%g0%0g'),
    (b'%4', b'=', b'%4=='),
    (b'=', b'', b'%3D='),
    (b'a/b', b'/', b'a/b=/'),
    (b' \t\r\\"\x7f', ' €𝄞'.encode(), b' \t\r\\"\x7f= ' + '€𝄞'.encode()),
]


def text(*pairs):
    """These records as .kvpfs/records shows them: the tests' own idea of it."""
    def field(data, special):
        return re.sub(special + rb'|%(?=[0-9A-Fa-f]{2})',
                      lambda m: b'%%%02X' % m[0][0], as_bytes(data))
    return b''.join(field(key, rb'[\n=]') + b'=' + field(value, rb'\n') + b'\n'
                    for key, value in pairs)


LOCKS = {
    'flock-ex': lambda fd: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB),
    'flock-sh': lambda fd: fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB),
    'posix-ex': lambda fd: set_posix_style_lock(fd, fcntl.F_SETLK, fcntl.F_WRLCK),
    'posix-sh': lambda fd: set_posix_style_lock(fd, fcntl.F_SETLK, fcntl.F_RDLCK),
    'ofd-ex': lambda fd: set_posix_style_lock(fd, F_OFD_SETLK, fcntl.F_WRLCK),
    'ofd-sh': lambda fd: set_posix_style_lock(fd, F_OFD_SETLK, fcntl.F_RDLCK),
}


def try_lock(path, kind):
    """Takes a lock without waiting; returns the descriptor that holds it."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        LOCKS[kind](fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def locks_on(path):
    """What /proc/locks tells of the file, of whatever kind and process. Some file
    systems have another device number there than in stat: a lock of our own on the
    directory, of which nobody is told, shows which."""
    def found(number):
        with open('/proc/locks') as file:       # ..., pid, device:inode, start, end
            lines = [line.split() for line in file]
        return [(words[-4], words[-3].rpartition(':')[0], words) for words in lines
                if words[-3].endswith(f':{number}')]
    fd = os.open(os.path.dirname(path), os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    devices = {device for pid, device, _ in found(os.fstat(fd).st_ino)
               if pid == str(os.getpid())}
    os.close(fd)
    return [words for _, device, words in found(os.stat(path).st_ino)
            if device in devices]


def hold(path, kind):
    """Holds a lock, says so, and appends each line that it reads as a record;
    an empty line or the end of the input releases the lock."""
    fd = try_lock(path, kind)
    print('held', flush=True)
    for argument in iter(sys.stdin.readline, ''):
        if argument == '\n':
            break
        at = os.fstat(fd).st_size // RECORD_SIZE * RECORD_SIZE
        os.pwrite(fd, encode(*parse(argument.rstrip('\n'))), at)
        print('appended', flush=True)
    os.close(fd)


def unexpected(path, pairs):
    """How the pool differs from these records, in any order, well-formed."""
    found, wanted = sorted(records(path)), sorted(pairs)
    if found != wanted:
        yield from (f'found    {line(*pair)}' for pair in found)
        yield from (f'expected {line(*pair)}' for pair in wanted)
    yield from flaws(path)


def parse(argument):
    key, _, value = os.fsencode(argument).partition(b'=')
    return codecs.escape_decode(key)[0], codecs.escape_decode(value)[0]


def escaped(data):
    return codecs.escape_encode(data)[0].decode()


def line(key, value):
    return f"{escaped(key).replace('=', chr(92) + 'x3d')}={escaped(value)}"


def main(command, path, *arguments):
    pairs = [parse(argument) for argument in arguments]
    keys = [key for key, _ in pairs]
    if command == 'build':              # a new pool of these records
        build(path, *pairs)
    elif command == 'append':
        append(path, *pairs)
    elif command == 'put':
        for pair in pairs:
            put(path, *pair)
    elif command == 'delete':
        for key in keys:
            delete(path, key)
    elif command == 'hold':             # a lock, until standard input ends
        hold(path, arguments[0])
    elif command == 'list':             # every record in file order
        for pair in records(path):
            print(line(*pair))
    elif command == 'raw':              # with what stands behind the NULs
        for index, record in enumerate(raw(path)):
            fields = record[:KEY_SIZE], record[KEY_SIZE:]
            print(index, line(*(field.rstrip(b'\0') for field in fields)))
    elif command == 'keys':
        for key in entries(path):
            print(escaped(key))
    elif command == 'get':              # the exact bytes of one value
        sys.stdout.buffer.write(entries(path)[keys[0]])
    elif command == 'sha256':           # of the records numbered, or of all
        import hashlib                  # takes long, and few need it
        for index, record in enumerate(raw(path)):
            if not arguments or str(index) in arguments:
                print(index, hashlib.sha256(record).hexdigest())
    elif command == 'expect':           # exactly these, as kvpfs writes them
        differences = list(unexpected(path, pairs))
        for text in differences:
            print(text)
        return bool(differences)
    else:
        sys.exit(f'pool.py: unknown command {command}')
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
