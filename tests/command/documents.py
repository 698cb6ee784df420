#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""kvp(1)'s manual page and the completions of the shells: they name what the program
has, and what they show works.
"""

import os
import re
import shutil
import subprocess

from kvp import COMMANDS, KVP, SYSTEM, case, equal, harness, kvp, main, pool
from harness import Skip

TOP = os.path.dirname(os.path.dirname(harness.HERE))
COMPLETION = os.path.join(TOP, 'contrib/completion')
SEARCHED = f'{os.path.dirname(KVP)}:{os.environ["PATH"]}'    # for programs
PAGE = os.path.join(TOP, 'src/man/kvp.1')
KEYS = ('a/b', '1'), ('two words', '2'), ('C|1|x=y', '3'), ('%2F', '4'), ('.kvpfs', '5')


def text_of(path):
    with open(path) as file:
        return file.read()


def options_of(text):
    return set(re.findall(r'(?<![\w-])(--?[a-zA-Z][\w-]*)', text))


def help_of(m, *arguments):
    return kvp(m, *arguments, '-h').out.decode()


def all_options(m):
    """What the help of any command names as an option."""
    return {option for name in [(), *((name,) for name in COMMANDS)]
            for line in help_of(m, *name).splitlines() if line.startswith('  -')
            for option in options_of(line.strip().partition('  ')[0])}


# The manual page

@case()
def page_describes_each_command_and_option_of_the_help(m):
    page = text_of(PAGE).replace(r'\&-', '-')
    items = re.findall(r'^\.It (.*)', page, re.M)
    commands = [item.split()[1] for item in items if item.startswith('Cm ')]
    equal(sorted(set(commands) - {'mode='}), sorted(COMMANDS))
    described = {f'-{option}' for item in items
                 for option in re.findall(r'Fl (-?[a-zA-Z][\w-]*)', item)}
    equal(described, all_options(m))


@case()
def page_and_help_show_the_same_arguments(m):
    page = text_of(PAGE).replace(r'\&-', '-')
    for item in re.findall(r'^\.It Cm ([a-z].*)', page, re.M):
        name = item.split()[0]
        if name == 'report':
            continue
        text = re.sub(r' (Oc|Op|Oo|Fl|Ar|Cm|Ns)\b', '', ' ' + item)
        shown = set(re.findall(r'[\w-]+', text.lower()))
        line = help_of(m, name).splitlines()[0].partition('...] ')[2]
        wanted = set(re.findall(r'[\w-]+', line.lower()))
        equal({word.lstrip('-') for word in shown}, {word.lstrip('-') for word in wanted})


@case(root=True)
def examples_of_the_page_print_what_it_shows(m):
    """In a machine of their own, with what the host has set."""
    blocks = re.findall(r'^\.Bd -literal.*?\n(.*?)^\.Ed', text_of(PAGE), re.M | re.S)

    def run():
        os.mkdir(SYSTEM)
        pool.build(f'{SYSTEM}/.kvp_pool_3', ('HostName', 'server-1'))
        for block in blocks:
            session = block.replace(r'\en', r'\n')
            commands = re.findall(r'^\$ (.*)', session, re.M)
            wanted = re.sub(r'^\$ .*\n', '', session, flags=re.M)
            found = subprocess.run(
                ['bash', '-c', '\n'.join(commands)], cwd=m.top, text=True, timeout=60,
                env={**os.environ, 'PATH': SEARCHED},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            equal(found.stdout, wanted)
    # there are no others, nor single lines
    page = text_of(PAGE)
    equal((len(blocks), '.Dl' in page), (len(re.findall(r'^\.Bd', page, re.M)), False))
    equal(len(blocks) > 3, True)
    harness.with_mounts(run, ['mount', '-t', 'tmpfs', 'none', '/var/lib'])


# Completion

def by_bash(m, line):
    """The words that bash would offer, with the text they replace in front."""
    script = '''
        . "$1/kvp"; compopt() { :; }
        COMP_LINE=$2 COMP_POINT=${#2}
        read -ra COMP_WORDS <<<"${COMP_LINE//=/ = }"
        [[ $2 != *" " ]] || COMP_WORDS+=("")
        COMP_WORDS[0]=$3 COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _kvp
        [[ ${#COMPREPLY[@]} -eq 0 ]] || printf "%s\\n" "${COMPREPLY[@]}"'''
    return complete(m, ['bash', '-c', script, 'bash', COMPLETION, line, KVP])


def by_fish(m, line):
    if not shutil.which('fish') or subprocess.run(
            ['fish', '--no-config', '-c', 'true'], stderr=subprocess.DEVNULL,
            check=False).returncode:
        raise Skip('needs a fish that knows --no-config')
    found = complete(m, ['fish', '--no-config', '-c',
                         f'source {COMPLETION!r}/kvp.fish; complete -C {line!r}'])
    return [word.partition('\t')[0] for word in found]


def by_zsh(m, line):
    """The line that becomes of it: only unique words are offered in this way."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'complete.zsh')
    return complete(m, ['zsh', '-f', script, COMPLETION, os.path.dirname(KVP), line])


def complete(m, command):
    if not shutil.which(command[0]):
        raise Skip(f'needs {command[0]}')
    pool.build(os.path.join(m.top, 'pool'), *KEYS)
    return subprocess.run(
        command, cwd=m.top, check=True, stdout=subprocess.PIPE, text=True, timeout=60,
        stdin=subprocess.DEVNULL, env={**os.environ, 'PATH': SEARCHED, 'HOME': m.top,
                                       'XDG_DATA_HOME': m.top}).stdout.splitlines()


def offers(shell, m, line, *words):
    equal(sorted(shell(m, line)), sorted(words))


@case()
def options_of_the_completions_are_those_of_the_help(m):
    wanted = all_options(m)
    bash = text_of(f'{COMPLETION}/kvp').partition('_kvp_options()')[2].partition('\n}')[0]
    equal(options_of(bash), wanted)
    fish = text_of(f'{COMPLETION}/kvp.fish').partition('\ncomplete ')[2]
    equal({*(f'-{letter}' for letter in re.findall(r' -s (\w)\b', fish)),
           *(f'--{word}' for word in re.findall(r' -l ([\w-]+)', fish))}, wanted)
    zsh = text_of(f'{COMPLETION}/_kvp').partition('_kvp()')[2]
    equal(options_of(zsh) - {'-A', '-S'}, wanted)


@case()
def bash_completes(m):
    offers(by_bash, m, 'kvp ', *COMMANDS)
    offers(by_bash, m, 'kvp -p ./pool s', 'set', 'status')
    offers(by_bash, m, 'kvp -p ./pool get ', 'a/b', r'two\ words', r'C\|1\|x=y', '%2F',
           '.kvpfs')
    offers(by_bash, m, 'kvp -p ./pool get t', r'two\ words')
    offers(by_bash, m, r'kvp -p ./pool get C\|', r'C\|1\|x=y')
    offers(by_bash, m, r'kvp -p ./pool get C\|1\|x=', 'y')
    offers(by_bash, m, 'kvp get --names -p ./pool ', 'a%2Fb', r'two\ words', r'C\|1\|x=y',
           '%252F', '%2Ekvpfs')
    offers(by_bash, m, 'kvp -p ./pool rm a/b .', '.kvpfs')
    offers(by_bash, m, 'kvp -p ./pool get a/b ')
    offers(by_bash, m, 'kvp -p ./none get ')
    offers(by_bash, m, 'kvp -p auto-', 'auto-external', 'auto-internal')
    offers(by_bash, m, 'kvp -p p', 'pool')
    offers(by_bash, m, 'kvp --pool=auto-', 'auto-external', 'auto-internal')
    offers(by_bash, m, 'kvp --pool=p', 'pool')
    offers(by_bash, m, 'kvp dump p', 'pool')
    offers(by_bash, m, 'kvp -o m', 'mode=restricted', 'mode=full')
    offers(by_bash, m, 'kvp -o mode=f', 'full')
    offers(by_bash, m, 'kvp clear --i', '--if-stale')
    offers(by_bash, m, 'kvp report -r x f', 'failure')
    offers(by_bash, m, 'kvp report --pps-type R', 'Running')
    offers(by_bash, m, 'kvp wait -t ')


@case()
def fish_completes(m):
    offers(by_fish, m, 'kvp ', *COMMANDS)
    # those with a dot in front fish 4 offers, too, fish 3 does not
    found = by_fish(m, 'kvp -p ./pool get ')
    equal(sorted({*found} - {'.kvpfs'}), sorted(['a/b', 'two words', 'C|1|x=y', '%2F']))
    offers(by_fish, m, 'kvp -p ./pool get .', '.kvpfs')
    offers(by_fish, m, 'kvp --pool=./pool get --names ', 'a%2Fb', 'two words', 'C|1|x=y',
           '%252F', '%2Ekvpfs')
    offers(by_fish, m, 'kvp -p ./pool rm a/b t', 'two words')
    offers(by_fish, m, 'kvp -p ./pool get a/b ')
    offers(by_fish, m, 'kvp -p ext', 'external')
    offers(by_fish, m, 'kvp dump p', 'pool')
    offers(by_fish, m, 'kvp report --pps-type S', 'Savable')
    offers(by_fish, m, 'kvp report -r x ', 'success', 'failure')


@case()
def zsh_completes(m):
    for line, word in (('kvp stat', 'us '), ('kvp -p ./pool get a', '/b '),
                       ('kvp -p ./pool get --names a', '%2Fb '),
                       ('kvp --names --pool=./pool get a', '%2Fb '),
                       ('kvp -p ./pool rm a/b tw', r'o\ words '),
                       ('kvp -p ./pool set C', r'\|1\|x=y '), ('kvp -o mode=f', 'ull '),
                       ('kvp -p ext', 'ernal '), ('kvp load po', 'ol '),
                       ('kvp clear --if', '-stale '), ('kvp report -r x fai', 'lure '),
                       ('kvp report --pps-type Run', 'ning ')):
        offers(by_zsh, m, line, line + word)


if __name__ == '__main__':
    main()
