#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""How keys appear as file names and names become keys, seen through a mount:
the %XX escapes, the names that stand for no key, and the limits of length.
"""

import errno
import os
import stat
from os import O_CREAT, O_RDONLY, O_WRONLY

import harness
import pool
from harness import case, equal, read, refused, write

# Keys whose names differ from them, then keys that are their own names.
ESCAPED = {
    b'a/b': b'a%2Fb', b'/': b'%2F', b'//': b'%2F%2F', b'a/': b'a%2F',
    b'CLOUD_INIT|1|start|init-network/check-cache|x':
        b'CLOUD_INIT|1|start|init-network%2Fcheck-cache|x',
    b'.': b'%2E', b'..': b'%2E.', b'.kvpfs': b'%2Ekvpfs',
    b'%41': b'%2541', b'%2f': b'%252f', b'%2F': b'%252F', b'%25': b'%2525',
    b'%00': b'%2500', b'%%41': b'%%2541', b'.%41': b'.%2541', b'%2E': b'%252E',
    b'%a/': b'%a%2F', b'%/41': b'%%2F41', b'%2/': b'%2%2F', b'%4/1': b'%4%2F1',
    b'a/%2Fb': b'a%2F%252Fb', b'%ab': b'%25ab', b'%Fa': b'%25Fa',
    b'%c3%A9': b'%25c3%25A9',
}
PLAIN = [
    b'100%', b'%', b'%%', b'%4', b'%zz', b'%4g', b'%g4', b'%.', b'a%', b'...', b'.x',
    b'.kvpfs2', b'.kvpf', b'x.kvpfs', b'..a', b'a..', b' ', b' a b ', b'a\nb', b'\t',
    b'-rf', b'*', b'~', b'\\', b'"', b"'", b'a=b', b'\x01\x7f', 'äß€𝄞'.encode(),
]
NOT_UTF8 = [b'\xff\xfe', b'a\xc3', b'\xed\xa0\x80', b'\xff/', b'\xe2\x82']
NAMES = {**ESCAPED, **{key: key for key in PLAIN}}
ALL_NAMES = {**NAMES, **{key: key.replace(b'/', b'%2F') for key in NOT_UTF8}}
# Names that no key has: not the encoding of what they decode to.
NON_CANONICAL = [b'%41', b'%2f', b'a%2fb', b'%2e', b'%2E%2E', b'%2Ea', b'%2EKVPFS',
                 b'a%2E', b'%25', b'%25zz', b'%25%2F', b'%0A', b'%FF', b'%2Fa%61',
                 b'%c3%a9']


@case(*[(key, key) for key in ALL_NAMES])
def every_key_is_listed_by_its_name_and_found_by_it(m):
    equal(m.names(), list(ALL_NAMES.values()))
    for key, name in ALL_NAMES.items():
        equal(read(m / name), key)
        equal(os.stat(m / name).st_size, len(key))


@case()
def every_name_creates_its_key(m):
    for key, name in NAMES.items():
        write(m / name, key)
    equal(m.records(), [(key, key) for key in NAMES])


@case(*[(key, b'v') for key in ALL_NAMES])
def every_key_is_removed_by_its_name(m):
    for name in ALL_NAMES.values():
        os.unlink(m / name)
    equal(m.records(), [])


@case(('k', 'v'))
def every_name_is_a_target_and_a_source_of_rename(m):
    last = b'k'
    for key, name in NAMES.items():
        os.rename(m / last, m / name)
        equal(m.records(), [(key, b'v')])
        last = name


@case(*[(key, b'v') for key in (b'A', b'/', b'a/b', b'.', b'..', b'.a', b'a.', b'%',
                                b'\n', b'%zz', b'%/', b'\xff', b'/aa', b'.KVPFS')])
def name_that_is_no_encoding_is_enoent_to_find_and_einval_to_create(m):
    before = m.records()
    for name in NON_CANONICAL:
        refused(errno.ENOENT, os.stat, m / name)
        refused(errno.ENOENT, os.open, m / name, O_RDONLY)
        refused(errno.ENOENT, os.unlink, m / name)
        refused(errno.ENOENT, os.rename, m / name, m / b'x')
        refused(errno.EINVAL, os.open, m / name, O_WRONLY | O_CREAT)
        refused(errno.EINVAL, os.mknod, m / name, stat.S_IFREG | 0o644)
        refused(errno.EINVAL, os.rename, m / b'A', m / name)
    equal(m.records(), before)


@case(('k', 'v'))
def encoded_nul_is_einval(m):
    for name in '%00', 'a%00b':
        refused(errno.EINVAL, os.open, m / name, O_WRONLY | O_CREAT)
        refused(errno.EINVAL, os.rename, m / 'k', m / name)
    equal(m.records(), [(b'k', b'v')])


LONGEST = b'/' * 341 + b'a'             # a name of 1024 bytes
TOO_LONG = b'/' * 341 + b'aa'


def escape(key):
    return key.replace(b'/', b'%2F')


@case(('a', '1'), (b'/' * 512, 'x'), (LONGEST, 'longest'), (TOO_LONG, 'x'), ('b', '2'))
def key_whose_name_exceeds_1024_bytes_is_not_listed(m):
    equal(m.names(), [b'a', escape(LONGEST), b'b'])
    equal(read(m / escape(LONGEST)), b'longest')
    refused(errno.ENAMETOOLONG, os.stat, m / escape(TOO_LONG))
    refused(errno.ENAMETOOLONG, os.open, m / escape(TOO_LONG), O_WRONLY | O_CREAT)
    refused(errno.ENAMETOOLONG, os.unlink, m / escape(TOO_LONG))
    refused(errno.ENAMETOOLONG, os.rename, m / b'a', m / escape(TOO_LONG))
    equal(len(m.records()), 5)
    equal(os.statvfs(m.dir).f_ffree, harness.CAP - 5)


@case(options='mode=full')
def name_of_1024_bytes_can_be_created(m):
    write(m / escape(LONGEST), b'v')
    equal(m.records(), [(LONGEST, b'v')])
    equal(m.names(), [escape(LONGEST)])


@case(('k' * 255, 'v'), (b'l' * 512, 'w'), ('é' * 256, 'x'))
def key_over_the_limit_of_the_mode_can_be_read_renamed_and_removed(m):
    equal(read(m / ('k' * 255)), b'v')
    equal(read(m / ('l' * 512)), b'w')
    equal(read(m / ('é' * 256)), b'x')
    os.rename(m / ('l' * 512), m / 'l')
    os.unlink(m / ('k' * 255))
    equal(sorted(m.records()), [(b'l', b'w'), ('é'.encode() * 256, b'x')])


@case()
def name_of_more_than_a_key_can_hold_is_enametoolong_to_create(m):
    for length in 255, 512, 513, 1000, 1025, 4000:
        refused(errno.ENAMETOOLONG, os.open, m / ('x' * length), O_WRONLY | O_CREAT)
    equal(m.records(), [])


@case((b'\xff', 'v'), (b'a\xc3', 'w'))
def key_that_is_not_utf8_can_be_read_renamed_and_removed(m):
    equal(read(m / b'\xff'), b'v')
    os.rename(m / b'\xff', m / b'valid')
    os.unlink(m / b'a\xc3')
    equal(m.records(), [(b'valid', b'v')])


@case(('k', 'v'))
def case_and_normal_forms_are_distinct(m):
    for name in 'K', 'é', 'e\u0301':
        refused(errno.ENOENT, os.stat, m / name)
        write(m / name, name.encode())
    equal(pool.entries(m.pool), {b'k': b'v', b'K': b'K', 'é'.encode(): 'é'.encode(),
                                 'e\u0301'.encode(): 'e\u0301'.encode()})


if __name__ == '__main__':
    harness.main()
