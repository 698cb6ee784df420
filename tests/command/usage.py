#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""The command line of kvp(1): options anywhere, which pool is meant, help, and what
is wrong with a command line."""

import os
import re
import subprocess

from kvp import (COMMANDS, DONE, FAILED, KVP, NO, REFUSED, SYSTEM, USAGE, Result, case,
                 done, equal, harness, kvp, main, pool, read, says, traced)


def run(*arguments, **keywords):
    """Without -p."""
    found = subprocess.run([*harness.RUNNER, KVP, *arguments], capture_output=True,
                           stdin=subprocess.DEVNULL, timeout=60, check=False, **keywords)
    return Result(found.returncode, found.stdout, found.stderr.decode())


@case(('k', 'v'), ('-n', 'dash'))
def options_stand_before_or_behind_the_command(m):
    for arguments in (('-n', 'get', 'k'), ('get', '-n', 'k'), ('get', 'k', '-n')):
        done(m, *arguments, out=b'v')
        done(m, *arguments, out=b'v', env={**os.environ, 'POSIXLY_CORRECT': '1'})
    equal(run('get', 'k', '-p', m.pool).out, b'v\n')
    equal(run('get', f'--pool={m.pool}', 'k').out, b'v\n')
    equal(run('-p', '/none', 'get', '-p', m.pool, 'k').out, b'v\n')


@case(('-n', 'dash'))
def two_dashes_end_the_options(m):
    done(m, 'get', '--', '-n', out=b'dash\n')
    done(m, 'set', 'k', '--', '-1')
    done(m, '--', 'set', '-x', '--')
    equal(m.records()[1:], [(b'k', b'-1'), (b'-x', b'--')])


@case(('k', 'v'))
def wrong_command_line_is_told_in_one_line(m):
    for arguments, message in (
            ((), 'no command given; see kvp -h'),
            (('Get', 'k'), 'no such command: "Get"; see kvp -h'),
            (('get',), 'get: too few arguments; see kvp get -h'),
            (('get', 'k', 'l'), 'get: too many arguments; see kvp get -h'),
            (('rm',), 'rm: too few arguments; see kvp rm -h'),
            (('ls', 'k'), 'ls: too many arguments; see kvp ls -h'),
            (('get', '-l', 'k'), 'get: takes no -l; see kvp get -h'),
            (('--new', 'get', 'k'), 'get: takes no --new; see kvp get -h'),
            (('set', '--json', 'k'), 'set: takes no --json; see kvp set -h'),
            (('set', '-r', 'x', 'k'), 'set: takes no -r; see kvp set -h'),
            (('get', '-x', 'k'),
             'unknown option: -x; put -- before arguments that begin with -'),
            (('get', '--xyz', 'k'), 'unknown option: --xyz; see kvp -h'),
            (('get', '--json=x', 'k'), 'unknown option: --json=x; see kvp -h'),
            (('wait', 'k', '-t'), 'option needs an argument: -t'),
            (('get', 'k', '--pool'), 'option needs an argument: --pool'),
            (('get', 'k', '-o', 'mode'), 'option needs a value: -o mode='),
            (('get', 'k', '-o', 'lock_timeout'),
             'option needs a value: -o lock_timeout='),
            (('get', 'k', '-o', 'ro'), 'unknown option: -o ro'),
            (('get', 'k', '-o', 'mode=x'), 'bad value for option mode: "x"'),
            (('get', 'k', '-o', 'lock_timeout=x'),
             'bad value for option lock_timeout: "x"'),
            (('get', 'k', '-o', 'lock_timeout=-1'),
             'bad value for option lock_timeout: "-1"'),
            (('wait', 'k', '-t', '1s'), 'bad value for option -t: "1s"'),
            (('wait', 'k', '-t', ''), 'bad value for option -t: ""'),
            (('wait', 'k', '-t', 'nan'), 'bad value for option -t: "nan"')):
        says(m, USAGE, message, *arguments)
    equal(m.records(), [(b'k', b'v')])


@case(('k', 'v'))
def message_is_one_line_whatever_was_given(m):
    """In one write(2), so that those of several programs do not mix."""
    given, shown = 'a\nkvp: b\x1b[1m\r\x7fä', 'a\\x0Akvp: b\\x1B[1m\\x0D\\x7Fä'
    for arguments, status, message in (
            ((given,), USAGE, f'no such command: "{shown}"; see kvp -h'),
            (('ls', f'--{given}'), USAGE, f'unknown option: --{shown}; see kvp -h'),
            (('ls', '-o', given), USAGE, f'unknown option: -o {shown}'),
            (('wait', '-t', given, 'k'), USAGE, f'bad value for option -t: "{shown}"'),
            (('load', f'/none/{given}'), FAILED,
             f'cannot read "/none/{shown}": No such file or directory'),
            (('dump', f'/none/{given}'), FAILED,
             f'cannot write "/none/{shown}": No such file or directory'),
            (('ls', '-p', f'/none/{given}/pool'), FAILED,
             f'cannot use pool "/none/{shown}/pool": No such file or directory')):
        says(m, status, message, *arguments)
    before, m.pool = m.pool, os.path.join(m.top, given)
    os.rename(before, m.pool)
    says(m, NO, f'{shown}: get "none": key does not exist', 'get', 'none')
    _, trace = traced(m, 'get', 'none')
    equal(len(re.findall(r'\bwrite\(2, ', trace)), 1)


@case()
def options_of_the_store_stand_behind_o(m):
    for options in (('-o', 'mode=full,lock_timeout=1'), ('-omode=full',),
                    ('-o', 'lock_timeout=0.5', '-o', 'mode=restricted,mode=full')):
        done(m, *options, 'set', 'k', 'v' * 2048)
        done(m, 'clear')


@case()
def help_is_there_for_all_and_for_each(m):
    for option in '-h', '--help':
        found = kvp(m, option)
        equal((found.status, found.err), (DONE, ''))
        for name in COMMANDS:
            assert f'\n  {name} '.encode() in found.out, name
            one = kvp(m, name, option)
            equal((one.status, one.err), (DONE, ''))
            usage = f'usage: kvp [-p POOL] [-o OPTION,...] {name}'.encode()
            assert one.out.startswith(usage), one.out
    equal(kvp(m, '-V').out.split()[0], b'kvp')


@case(('k', 'v'), root=True)
def pool_is_a_number_a_name_or_a_file(m):
    def look():
        os.mkdir(SYSTEM)
        for number, name in enumerate(('external', 'guest', 'auto', 'auto-external',
                                       'auto-internal')):
            file = f'{SYSTEM}/.kvp_pool_{number}'
            pool.build(file, ('k', name))
            for argument in str(number), name, file:
                equal(run('-p', argument, 'get', 'k').out, f'{name}\n'.encode())
            equal(run('-p', name, 'get', 'none').err,
                  f'kvp: {name}: get "none": key does not exist\n')
        equal(run('get', 'k').out, b'guest\n')
        os.unlink(f'{SYSTEM}/.kvp_pool_1')
        equal(run('ls'), Result(DONE, b'', ''))
        equal(run('set', 'k', 'v'), Result(DONE, b'', ''))
        equal(pool.records(f'{SYSTEM}/.kvp_pool_1'), [(b'k', b'v')])
    harness.with_mounts(look, ['mount', '-t', 'tmpfs', 'none', '/var/lib'])


@case(('k', 'v'))
def pool_that_cannot_be_used_is_named(m):
    notes = os.path.join(m.top, 'notes')
    with open(notes, 'w') as file:
        file.write('precious\n')
    for argument, status, reason in (
            ('Guest', REFUSED, 'no such pool; there are 0 to 4, external, guest, auto, '
                               'auto-external, auto-internal, and files with a '
                               'path (./NAME)'),
            ('5', REFUSED, 'no such pool; there are 0 to 4, external, guest, auto, '
                           'auto-external, auto-internal, and files with a '
                           'path (./NAME)'),
            (notes, REFUSED, 'not a pool: it begins with text'),
            (m.top, FAILED, 'Is a directory'),
            ('/none/pool', FAILED, 'No such file or directory'),
            ('/dev/null', FAILED, 'not a regular file')):
        for command in ('get', 'k'), ('set', 'k', 'v'), ('clear',), ('ls',):
            equal(run('-p', argument, *command, cwd=m.top),
                  Result(status, b'', f'kvp: cannot use pool "{argument}": {reason}\n'))
    equal(read(notes), b'precious\n')
    equal(os.listdir(m.top), os.listdir(m.top))
    equal(os.path.exists(os.path.join(m.top, 'Guest')), False)


@case(('k', 'v'), root=True)
def user_without_rights_is_told_so(m):
    def as_nobody(*arguments):
        return subprocess.run(['setpriv', '--reuid=65534', '--clear-groups', KVP, '-p',
                               m.pool, *arguments], capture_output=True, text=True,
                              timeout=60, check=False)
    os.chmod(m.pool, 0o644)
    equal(as_nobody('get', 'k').stdout, 'v\n')
    found = as_nobody('set', 'k', 'w')
    equal((found.returncode, found.stderr),
          (REFUSED, 'kvp: pool: set "k": no permission to write the pool, or it is '
                    'read-only\n'))
    os.chmod(m.pool, 0)
    for command in ('get', 'k'), ('ls',), ('set', 'k', 'v'), ('wait', 'k'), ('watch',):
        found = as_nobody(*command)
        equal((found.returncode, found.stdout, found.stderr),
              (FAILED, '', f'kvp: cannot use pool "{m.pool}": Permission denied\n'))
    equal(m.records(), [(b'k', b'v')])


@case()
def program_needs_no_fuse(m):
    """Its package must not depend on it."""
    with open(KVP, 'rb') as file:
        equal(b'libfuse' in file.read(), False)


@case(('k', 'v'))
def closed_standard_descriptors_do_no_harm(m):
    for closed in '<&-', '>&-', '2>&-', '<&- >&- 2>&-':
        subprocess.run(['sh', '-c', f'"$0" -p "$1" set k w {closed}', KVP, m.pool],
                       check=True, timeout=60)
        equal(m.records(), [(b'k', b'w')])
        equal(list(pool.flaws(m.pool)), [])
    for command, closed in (('get k', '>&-'), ('set k', '<&-'), ('wait none', '>&-'),
                            ('watch', '>&-')):
        found = subprocess.run(['sh', '-c', f'"$0" -p "$1" {command} {closed}', KVP,
                                m.pool], capture_output=True, timeout=60, check=False)
        equal(found.returncode, FAILED)
        assert b'Bad file descriptor' in found.stderr, found.stderr
    equal(m.records(), [(b'k', b'w')])


if __name__ == '__main__':
    main()
