#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""kvp report: PROVISIONING_REPORT, in azure-init's format."""

import datetime
import os
import re

from kvp import (DONE, FAILED, REFUSED, USAGE, Result, case, done, equal, kvp, main, pool,
                 says)

UUID = '550E8400-E29B-41D4-A716-446655440000'
GENERATION_1 = '00840e55-9be2-d441-a716-446655440000'
URL = 'documentation_url=https://aka.ms/linuxprovisioningerror'


def report(m, *arguments, root='/none'):
    """What it prints with -n, with T for the time of now."""
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    found = kvp(m, 'report', '-n', *arguments, env={**os.environ, 'KVP_ROOT': root})
    after = datetime.datetime.now(datetime.timezone.utc)
    equal((found.status, found.err), (DONE, ''))
    text = found.out.decode()
    stamp = re.search(r'timestamp=([^|\n]*)', text)[1]
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00', stamp), stamp
    assert before <= datetime.datetime.fromisoformat(stamp) <= after, stamp
    return text.replace(f'timestamp={stamp}', 'T')


@case()
def success_is_reported_in_order(m):
    equal(report(m, 'success', '-i', 'ID'),
          'result=success|agent=kvp|pps_type=None|vm_id=ID|T\n')
    equal(report(m, '-i', 'ID', '--agent', 'me/1', 'success', '--pps-type', 'Savable',
                 '-e', 'b=2', '-e', 'a=1', '-e', 'b=3=4'),
          'result=success|agent=me/1|pps_type=Savable|vm_id=ID|T|b=2|a=1|b=3=4\n')


@case()
def failure_is_reported_in_order(m):
    equal(report(m, 'failure', '-i', 'ID', '-r', 'no disk'),
          f'result=error|reason=no disk|agent=kvp|pps_type=None|vm_id=ID|T|{URL}\n')
    equal(report(m, '-e', 'b=2', '-u', 'https://example.com', '-r', 'r', '-i', 'ID',
                 'failure', '-e', 'a=', '--agent=me', '--pps-type=Running'),
          'result=error|reason=r|agent=me|b=2|a=|pps_type=Running|vm_id=ID|T|'
          'documentation_url=https://example.com\n')
    equal(report(m, 'failure', '-i', 'ID', '-r', 'r', '-u', ''),
          'result=error|reason=r|agent=kvp|pps_type=None|vm_id=ID|T\n')


@case()
def fields_are_quoted_where_needed(m):
    """What Rust's csv crate quotes with this delimiter: | " CR LF, and nothing else."""
    equal(report(m, 'success', '-i', 'I|D', '--agent', 'say "hi"', '-e', 'cr=a\r', '-e',
                 'lf=a\n', '-e', '"=', '-e', '|=|'),
          'result=success|"agent=say ""hi"""|pps_type=None|"vm_id=I|D"|T|"cr=a\r"|'
          '"lf=a\n"|"""="|"|=|"\n')
    equal(report(m, 'success', '-i', 'ID', '-e', "a= ,;'\\%s$x`\\n%", '-e', 'b=\t', '-e',
                 'c=größe€', '-e', 'd=*'),
          "result=success|agent=kvp|pps_type=None|vm_id=ID|T|a= ,;'\\%s$x`\\n%|b=\t|"
          'c=größe€|d=*\n')
    equal(report(m, 'failure', '-i', 'ID', '-r', '\n\n', '-u', 'u|', '-e', 'x=""'),
          'result=error|"reason=\n\n"|agent=kvp|"x="""""|pps_type=None|vm_id=ID|T|'
          '"documentation_url=u|"\n')


class Machine:
    """A directory that stands for / of one."""

    def __init__(self, m, uuid):
        self.root = os.path.join(m.top, 'root')
        self.make('sys/class/dmi/id')
        with open(os.path.join(self.root, 'sys/class/dmi/id/product_uuid'), 'w') as file:
            file.write(uuid)

    def make(self, name):
        os.makedirs(os.path.join(self.root, name))

    def remove(self, name):
        os.removedirs(os.path.join(self.root, name))


@case()
def vm_id_is_that_of_dmi(m):
    def is_id(wanted):
        equal(report(m, 'success', root=os.path.join(m.top, 'root')),
              f'result=success|agent=kvp|pps_type=None|vm_id={wanted}|T\n')
    machine = Machine(m, f'{UUID}\n')
    is_id(GENERATION_1)
    for place in 'sys/firmware/efi', 'dev/efi':
        machine.make(place)
        is_id(UUID.lower())             # generation 2
        machine.remove(place)
    is_id(GENERATION_1)
    for text, wanted in (('  Not-A-UUID \n', 'not-a-uuid'),
                         (f'{UUID}0', f'{UUID}0'.lower()),
                         (f'\t{UUID}\r\n', GENERATION_1),
                         (UUID.replace('-', '_'), UUID.replace('-', '_').lower())):
        with open(os.path.join(m.top, 'root/sys/class/dmi/id/product_uuid'), 'w') as file:
            file.write(text)
        is_id(wanted)


@case(('k', 'v'))
def vm_id_that_cannot_be_read_is_told(m):
    message = "report: cannot read the VM's ID from DMI; give it with -i"
    for text in None, '', '\n', ' \t\n':
        root = os.path.join(m.top, f'root {text!r}')
        os.makedirs(os.path.join(root, 'sys/class/dmi/id'))
        if text is not None:
            with open(os.path.join(root, 'sys/class/dmi/id/product_uuid'), 'w') as file:
                file.write(text)
        for arguments in ('success',), ('success', '-n'), ('success', '-i', ''):
            says(m, FAILED, message, 'report', *arguments,
                 env={**os.environ, 'KVP_ROOT': root})
    equal(m.records(), [(b'k', b'v')])


@case(('k', 'v'))
def wrong_arguments_are_told(m):
    for arguments, message in (
            ((), 'report: too few arguments; see kvp report -h'),
            (('success', 'again'), 'report: too many arguments; see kvp report -h'),
            (('succes',), 'report: success or failure is to be reported; '
                          'see kvp report -h'),
            (('failure',), 'report: a failure needs its reason (-r); see kvp report -h'),
            (('failure', '-r', ''), 'report: a failure needs its reason (-r); '
                                    'see kvp report -h'),
            (('success', '-r', 'r'), 'report: -r and -u are for a failure; '
                                     'see kvp report -h'),
            (('success', '-u', 'u'), 'report: -r and -u are for a failure; '
                                     'see kvp report -h'),
            (('success', '--pps-type', 'none'), 'report: no such type (--pps-type); '
                                                'see kvp report -h'),
            (('success', '-e', 'a'), 'bad value for option -e: "a"'),
            (('success', '-e', '=a'), 'bad value for option -e: "=a"'),
            (('success', '-e'), 'option needs an argument: -e')):
        says(m, USAGE, message, 'report', '-i', 'ID', *arguments)
    equal(m.records(), [(b'k', b'v')])


@case(('PROVISIONING_REPORT', '1'), ('other', 'left'), ('PROVISIONING_REPORT', '2'))
def report_replaces_all_earlier_ones(m):
    done(m, 'report', 'success', '-i', 'ID', '-e', 'k=a|"b"')
    (_, left), (key, text) = m.records()
    equal((left, key), (b'left', b'PROVISIONING_REPORT'))
    text = re.sub(rb'timestamp=[^|]*', b'T', text)
    equal(text, b'result=success|agent=kvp|pps_type=None|vm_id=ID|T|"k=a|""b"""')
    equal(list(pool.flaws(m.pool)), [])


@case(('PROVISIONING_REPORT', 'old'))
def report_that_cannot_be_stored_is_refused(m):
    rest = 1022 - len(kvp(m, 'report', '-n', '-i', 'ID', 'success', '-e', 'x=').out) + 1
    says(m, REFUSED, 'pool: report "PROVISIONING_REPORT": '
                     'value length (1023) exceeds maximum (1022)',
         'report', 'success', '-i', 'ID', '-e', f'x={"0" * (rest + 1)}')
    found = kvp(m, 'report', 'success', '-i', 'ID', '-e', b'x=\xff')
    equal(found.status, REFUSED)
    assert 'value is not UTF-8' in found.err
    equal(m.records(), [(b'PROVISIONING_REPORT', b'old')])
    done(m, 'report', 'success', '-i', 'ID', '-e', f'x={"0" * rest}')
    equal(len(m.value('PROVISIONING_REPORT')), 1022)


@case()
def printing_needs_no_pool(m):
    m.pool = '/none/pool'
    equal(kvp(m, 'report', '-n', 'success', '-i', 'ID').status, DONE)
    equal(kvp(m, 'report', 'success', '-i', 'ID'), Result(
        FAILED, b'', 'kvp: cannot use pool "/none/pool": No such file or directory\n'))


if __name__ == '__main__':
    main()
