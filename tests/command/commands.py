#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Each command of kvp(1): what it prints, stores and says, and how it ends."""

import base64
import json
import os
import stat
import subprocess

from kvp import (DONE, FAILED, NO, REFUSED, Result, Started, case, done, equal, harness,
                 kvp, main, pool, read, says, words)

LONG = 'x' * 1023                       # one byte over the limit of restricted mode
TWINS = ('a', '1'), ('b', 'x'), ('', 'no entry'), ('a', '2')
BYTES = b'\xff\xfe=%41\n'


def printed_json(m, *arguments):
    found = kvp(m, *arguments, '--json')
    equal((found.status, found.err), (DONE, ''))
    return json.loads(found.out)


# get

@case(*TWINS, ('empty', ''), ('line', 'text\n'), ('lines', '\n\n'))
def get_prints_the_last_value_as_a_line(m):
    done(m, 'get', 'a', out=b'2\n')
    done(m, 'get', 'empty', out=b'\n')
    done(m, 'get', 'line', out=b'text\n')
    done(m, 'get', 'lines', out=b'\n\n')


@case(*TWINS, ('empty', ''), ('line', 'text\n'))
def get_n_prints_exactly_the_value(m):
    done(m, 'get', '-n', 'a', out=b'2')
    done(m, 'get', '-n', 'empty')
    done(m, '-n', 'get', 'line', out=b'text\n')


@case(('k', b'cut inside \xc3'), ('other', 'x'), ('k', b'\xa9 a character'), ('k', ''))
def get_a_joins_the_values_of_all_records(m):
    done(m, 'get', '-a', 'k', out='cut inside é a character\n'.encode())
    done(m, 'get', '-an', 'k', out='cut inside é a character'.encode())
    equal(printed_json(m, 'get', '-a', 'k'),
          {'key': 'k', 'value': 'cut inside é a character'})


@case(('k', 'v'), ('', 'no entry'))
def get_of_an_absent_key_says_so(m):
    for options in (), ('-a',), ('-n',), ('--json',):
        says(m, NO, 'pool: get "none": key does not exist', 'get', *options, 'none')
    says(m, NO, 'pool: get "K": key does not exist', 'get', 'K')


@case((BYTES, BYTES), ('k', 'text\n'))
def bytes_that_are_no_text_are_not_mangled(m):
    done(m, 'get', '-n', BYTES, out=BYTES)
    encoded = base64.b64encode(BYTES).decode()
    equal(printed_json(m, 'get', BYTES), {'key_base64': encoded, 'value_base64': encoded})
    equal(printed_json(m, 'entries'),
          [{'key_base64': encoded, 'value_base64': encoded},
           {'key': 'k', 'value': 'text\n'}])
    done(m, 'entries', out=b'\xff\xfe%3D%2541%0A=\xff\xfe=%2541%0A\nk=text%0A\n')
    equal(printed_json(m, 'ls'), [{'key_base64': encoded}, {'key': 'k'}])
    done(m, 'ls', out=b'\xff\xfe=%2541%0A\nk\n')
    done(m, 'rm', BYTES)
    equal(m.records(), [(b'k', b'text\n')])


@case()
def base64_is_right_for_every_length(m):
    pool.build(m.pool, *((f'{n}', b'\xff' + bytes(range(1, n))) for n in range(1, 80)))
    for n, entry in enumerate(printed_json(m, 'entries'), 1):
        equal(base64.b64decode(entry['value_base64'], validate=True),
              b'\xff' + bytes(range(1, n)))


# set, add

@case(*TWINS)
def set_replaces_all_records_of_the_key_or_makes_one(m):
    done(m, 'set', 'a', 'new')
    done(m, 'set', 'c', '')
    equal(m.records(), [(b'b', b'x'), (b'', b'no entry'), (b'a', b'new'), (b'c', b'')])


@case()
def set_takes_standard_input_as_it_is(m):
    for value in b'', b'text', b'a\n\nb\n', b'\n', 'größe\n'.encode():
        done(m, 'set', 'k', stdin=value)
        equal(m.records(), [(b'k', value)])
        done(m, 'set', '-n', 'k', stdin=value)
        equal(m.records(), [(b'k', value[:-1] if value.endswith(b'\n') else value)])


@case(('k', 'v'))
def input_without_an_end_is_refused(m):
    """By its first part, of whatever bytes it is."""
    # a sanitizer needs far more
    limit = '' if harness.is_sanitized() else 'prlimit --as=$((400 << 20))'
    for command in 'set', 'add':
        for source in 'yes', 'cat /dev/zero':
            found = subprocess.run(
                ['bash', '-c', f'{source} | {limit} "$@"', 'bash',
                 *words(m, command, 'k')], capture_output=True, timeout=60, check=False)
            equal((found.returncode, found.stdout), (REFUSED, b''))
            assert found.stderr.startswith(f'kvp: pool: {command} "k": value '.encode())
    equal(m.records(), [(b'k', b'v')])


@case()
def value_that_is_an_argument_keeps_its_newline(m):
    done(m, 'set', '-n', 'k', 'text\n')
    equal(m.records(), [(b'k', b'text\n')])


@case(*TWINS)
def add_makes_one_more_record(m):
    done(m, 'add', 'a', '3')
    done(m, 'add', '-n', 'a', stdin=b'4\n')
    done(m, 'add', 'new', stdin=b'5\n')
    equal(m.records()[4:], [(b'a', b'3'), (b'a', b'4'), (b'new', b'5\n')])


@case(('k', 'v'))
def what_a_rule_refuses_is_not_stored(m):
    for command in 'set', 'add':
        for key, value, message in (
                ('', 'v', ': key is empty'),
                ('k' * 255, 'v',
                 f' "{"k" * 255}": key length (255) exceeds maximum (254)'),
                ('k', LONG, ' "k": value length (1023) exceeds maximum (1022)'),
                (b'k\xff', 'v', r' "k\xFF": key is not UTF-8 at byte 2'),
                ('k', b'ab\xc3', ' "k": value is not UTF-8 at byte 3')):
            says(m, REFUSED, f'pool: {command}{message}', command, key, value)
        found = kvp(m, command, 'k', stdin=b'a\0b')
        equal((found.status, 'NUL' in found.err), (REFUSED, True))
    equal(m.records(), [(b'k', b'v')])


@case(('first', 'v'))
def full_mode_takes_all_that_a_record_holds(m):
    done(m, '-o', 'mode=full', 'set', 'k' * 512, 'v' * 2048)
    equal(m.value('k' * 512), b'v' * 2048)
    says(m, REFUSED, 'pool: set "k": value length (2049) exceeds maximum (2048)',
         'set', '-o', 'mode=full', 'k', 'v' * 2049)
    done(m, 'get', 'k' * 512, out=b'v' * 2048 + b'\n')    # reading knows no limits
    done(m, 'rm', 'k' * 512)


@case(*((f'k{n}', 'v') for n in range(1024)))
def key_beyond_the_cap_is_refused_and_others_are_replaced(m):
    says(m, REFUSED, 'pool: set "new": number of keys would exceed maximum (1024)',
         'set', 'new', 'v')
    done(m, 'set', 'k1', 'w')
    done(m, 'add', 'k1', 'raw')
    done(m, 'rm', 'k0')
    done(m, 'set', 'new', 'v')
    equal(len(m.entries()), 1024)


# rm

@case(*TWINS, ('c', '3'), ('d', '4'))
def rm_removes_all_records_of_the_keys(m):
    done(m, 'rm', 'a', 'd', 'a')
    equal(m.records(), [(b'b', b'x'), (b'', b'no entry'), (b'c', b'3')])


@case(('a', '1'), ('b', '2'), ('c', '3'))
def rm_says_which_keys_were_absent_and_removes_the_others(m):
    equal(kvp(m, 'rm', 'x', 'a', 'y', 'c'), Result(
        NO, b'', 'kvp: pool: rm "x": key does not exist\n'
                 'kvp: pool: rm "y": key does not exist\n'))
    equal(m.records(), [(b'b', b'2')])


@case(('a', '1'))
def rm_of_an_empty_key_removes_nothing(m):
    says(m, REFUSED, 'pool: rm: key is empty', 'rm', 'a', '')
    equal(m.records(), [(b'a', b'1')])


# ls, entries, records

@case(*TWINS, ('a/b', 'path'), ('.', ''), ('100%', ''), ('%41', ''), ('two\nlines', ''))
def ls_lists_the_names_of_the_files(m):
    done(m, 'ls', out=b'a\nb\na%2Fb\n%2E\n100%\n%2541\ntwo%0Alines\n')
    done(m, 'ls', '-l', out=b'    1     2 a\n    1     1 b\n    4     1 a%2Fb\n'
         b'    0     1 %2E\n    0     1 100%\n    0     1 %2541\n'
         b'    0     1 two%0Alines\n')
    equal(printed_json(m, 'ls')[:3], [{'key': 'a'}, {'key': 'b'}, {'key': 'a/b'}])
    equal(printed_json(m, 'ls', '-l')[0], {'key': 'a', 'size': 1, 'records': 2})


@case(('k', 'v'), ('/' * 400, 'w'))
def key_whose_file_can_have_no_name_is_listed_as_json_only(m):
    done(m, 'ls', out=b'k\n')
    done(m, 'ls', '-l', out=b'    1     1 k\n')
    equal(printed_json(m, 'ls'), [{'key': 'k'}, {'key': '/' * 400}])
    done(m, 'get', '/' * 400, out=b'w\n')


@case(*TWINS, ('a=b', '%41\n'))
def entries_and_records_are_lines_that_can_be_loaded(m):
    done(m, 'entries', out=b'a=2\nb=x\na%3Db=%2541%0A\n')
    done(m, 'records', out=b'a=1\nb=x\na=2\na%3Db=%2541%0A\n')
    equal(printed_json(m, 'records'),
          [{'key': 'a', 'value': '1'}, {'key': 'b', 'value': 'x'},
           {'key': 'a', 'value': '2'}, {'key': 'a=b', 'value': '%41\n'}])
    equal(len(printed_json(m, 'entries')), 3)
    lines = kvp(m, 'records').out
    done(m, 'load', stdin=lines)
    equal(kvp(m, 'records').out, lines)


@case()
def empty_pool_is_an_empty_list(m):
    for command in 'ls', 'entries', 'records':
        done(m, command)
        done(m, command, '--json', out=b'[]\n')


# load, append

@case(('old', 'v'))
def load_replaces_and_append_adds(m):
    path = os.path.join(m.top, 'lines')
    with open(path, 'wb') as file:
        file.write(b'a=1\na=2\nb%3D=x%0A')
    done(m, 'append', path)
    equal(m.records(), [(b'old', b'v'), (b'a', b'1'), (b'a', b'2'), (b'b=', b'x\n')])
    done(m, 'load', path)
    equal(m.records(), [(b'a', b'1'), (b'a', b'2'), (b'b=', b'x\n')])
    done(m, 'append', '-', stdin=b'c=\n')
    equal(m.records()[3:], [(b'c', b'')])
    done(m, 'append')
    equal(len(m.records()), 4)
    done(m, 'load', '-')
    equal(m.records(), [])


@case(('old', 'v'))
def line_that_is_no_record_is_named_and_nothing_is_stored(m):
    for command in 'load', 'append':
        for line, reason in ((b'text', "no '='"), (b'=v', 'empty key'),
                             (b'k=' + LONG.encode(), 'value length (1023) exceeds'),
                             (b'k=\xff', 'value is not UTF-8 at byte 1'),
                             (b'k=%41', '%XX')):
            found = kvp(m, command, stdin=b'a=1\nb=2\n' + line + b'\nc=3\n')
            equal((found.status, found.out), (REFUSED, b''))
            assert found.err.startswith(f'kvp: pool: {command}: line 3: '), found.err
            assert reason in found.err and found.err.count('\n') == 1, found.err
    equal(m.records(), [(b'old', b'v')])


@case(('old', 'v'))
def load_beyond_the_cap_is_refused(m):
    lines = b''.join(b'k%d=v\n' % n for n in range(1025))
    says(m, REFUSED, 'pool: load: number of keys would exceed maximum (1024)',
         'load', stdin=lines)
    equal(m.records(), [(b'old', b'v')])


@case(('old', 'v'))
def file_that_cannot_be_read_is_named(m):
    for command in 'load', 'append', 'restore':
        says(m, FAILED, 'cannot read "/none": No such file or directory',
             command, '/none')
        says(m, FAILED, 'cannot read "/": Is a directory', command, '/')
    equal(m.records(), [(b'old', b'v')])


# dump, restore

@case(*TWINS, (BYTES, 'v\0noise'), ('k' * 512, 'v' * 2048))
def dump_and_restore_are_the_pools_bytes(m):
    path = os.path.join(m.top, 'dump')
    before = read(m.pool)
    done(m, 'dump', path)
    equal(read(path), before)
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o600)
    done(m, 'dump', '-', out=before)
    done(m, 'clear')
    done(m, 'restore', path)
    equal(read(m.pool), before)
    done(m, 'restore', '-')
    equal(read(m.pool), b'')
    done(m, 'restore', '-', stdin=before)
    equal(read(m.pool), before)


@case(('k', 'v'))
def dump_replaces_what_the_file_held_but_not_the_pool(m):
    path = os.path.join(m.top, 'dump')
    with open(path, 'wb') as file:
        file.write(b'x' * 10000)
    done(m, 'dump', path)
    equal(read(path), read(m.pool))
    os.symlink(m.pool, os.path.join(m.top, 'link'))
    for name in 'pool', 'link':
        path = os.path.join(m.top, name)
        says(m, FAILED, f'cannot write "{path}": it is the pool itself', 'dump', path)
    equal(m.records(), [(b'k', b'v')])


@case(('k', 'v'))
def bytes_that_are_no_whole_records_are_not_restored(m):
    for size in 1, 2559, 2561:
        says(m, REFUSED, 'pool: restore: these are not whole records of 2560 bytes',
             'restore', '-', stdin=b'x' * size)
    equal(m.records(), [(b'k', b'v')])


@case(('k', 'v'))
def dump_to_a_full_disk_fails(m):
    says(m, FAILED, 'cannot write "/dev/full": No space left on device',
         'dump', '/dev/full')


# clear, is-stale

@case(('k', 'v'))
def clear_empties_the_pool(m):
    done(m, 'clear')
    equal(read(m.pool), b'')
    done(m, 'clear')


@case(('k', 'v'))
def only_a_pool_from_before_the_boot_is_stale(m):
    equal(kvp(m, 'is-stale'), Result(NO, b'', ''))
    done(m, 'clear', '--if-stale')
    equal(m.records(), [(b'k', b'v')])
    os.utime(m.pool, (0, 0))
    done(m, 'is-stale')
    equal(os.stat(m.pool).st_mtime, 0)
    done(m, 'clear', '--if-stale')
    equal(m.records(), [])
    equal(kvp(m, 'is-stale').status, NO)


# All

@case()
def missing_pool_is_an_empty_one_that_reading_does_not_make(m):
    os.unlink(m.pool)
    for command in 'ls', 'entries', 'records':
        done(m, command)
    done(m, 'dump', '-')
    equal(kvp(m, 'is-stale').status, NO)
    equal(kvp(m, 'get', 'k').status, NO)
    equal(kvp(m, 'rm', 'k').status, NO)
    equal(kvp(m, 'wait', '-t', '0', 'k').status, NO)
    done(m, 'clear')
    done(m, 'clear', '--if-stale')
    equal(os.path.exists(m.pool), False)
    for refused in ('set', 'k', LONG), ('add', '', 'v'), ('restore', '/none'):
        kvp(m, *refused)
        equal(os.path.exists(m.pool), False)
    done(m, 'set', 'k', 'v')
    equal(m.records(), [(b'k', b'v')])
    equal(stat.S_IMODE(os.stat(m.pool).st_mode), 0o600)


@case(*TWINS)
def reading_changes_nothing_of_the_file(m):
    def facts():
        found = os.stat(m.pool)
        return (found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_mode,
                read(m.pool), os.listdir(m.top))
    os.utime(m.pool, (0, 0))
    before = facts()
    for command in (('get', 'a'), ('get', '-a', 'a'), ('get', '--json', 'a'),
                    ('ls', '-l'), ('entries',), ('entries', '--json'), ('records',),
                    ('dump', '-'),
                    ('is-stale',), ('status',), ('status', '--json'),
                    ('wait', '-t', '0', 'a'), ('wait', '--new', '-t', '0', 'a'),
                    ('get', 'none'), ('rm', 'none'), ('append',),
                    ('report', '-n', '-i', 'ID', 'success'), ('set', 'k', LONG),
                    ('load', '/none')):
        kvp(m, *command)
        equal(facts(), before)
    with Started(m, 'watch') as watch:
        watch.is_waiting()
    equal(facts(), before)


@case(*TWINS, ('a/b', 'path'), ('.', 'dot'), ('%41', 'escape'))
def names_take_the_names_of_files(m):
    done(m, '--names', 'get', 'a%2Fb', out=b'path\n')
    done(m, 'get', '--names', '%2E', out=b'dot\n')
    done(m, 'get', '%41', out=b'escape\n')
    done(m, 'wait', '--names', '%2541', out=b'escape\n')
    done(m, 'set', '--names', 'x%2Fy', '1')
    done(m, 'add', '--names', 'x%2Fy', '2')
    equal(m.records()[-2:], [(b'x/y', b'1'), (b'x/y', b'2')])
    done(m, 'rm', '--names', 'x%2Fy', 'a%2Fb')
    for command in ('get',), ('set',), ('add',), ('rm', 'a'), ('wait',):
        for name in '%41', '.', 'a/b', '%00', '%2f', '.kvpfs':
            says(m, REFUSED, f'pool: {command[0]} "{name}": no key has such a file name',
                 *command, '--names', name)
    equal(len(m.records()), 6)


@case(('k', 'v'))
def output_that_cannot_be_written_is_an_error(m):
    for command in ('get', 'k'), ('ls',), ('records', '--json'), ('dump', '-'), ('-h',):
        with open('/dev/full', 'wb') as full:
            found = subprocess.run(words(m, *command), stdout=full,
                                   stderr=subprocess.PIPE, timeout=60, check=False)
        equal((found.returncode, found.stderr),
              (FAILED, b'kvp: cannot write to standard output: '
                       b'No space left on device\n'))


if __name__ == '__main__':
    main()
