# SPDX-License-Identifier: MIT
#
# fish completion for kvp(1).

set -l commands get set add rm ls entries records load append dump restore clear \
    is-stale status wait watch report
set -l pools external guest auto auto-external auto-internal

# The words of the line that are neither options nor their arguments.
function __kvp_words
    set -l skip
    for word in (commandline -opc)[2..]
        if set -q skip[1]
            set -e skip
        else if string match -qr -- '^(-[potrieu]|--pool|--agent|--pps-type)$' $word
            set skip yes
        else if not string match -q -- '-*' $word
            echo -- $word
        end
    end
end

# Whether the command is one of these, or there is none yet.
function __kvp_command_is
    contains -- (__kvp_words)[1] $argv
end
function __kvp_needs_command
    test (count (__kvp_words)) -eq 0
end

# Whether the next argument is a key.
function __kvp_needs_key
    set -l words (__kvp_words)
    switch "$words[1]"
        case rm
            return 0
        case get set add wait
            test (count $words) -eq 1
        case '*'
            return 1
    end
end

# The keys of the pool that the line is about, or with --names their files.
function __kvp_keys
    set -l words (commandline -opc)
    set -l pool
    for i in (seq 2 (count $words))
        if contains -- $words[$i] -p --pool
            set pool -p $words[(math $i + 1)]
        else if string match -q -- '--pool=*' $words[$i]
            set pool $words[$i]
        end
    end
    set -l names ($words[1] $pool ls 2>/dev/null | string match -v -- '*%0A*')
    if contains -- --names $words
        string join -- \n $names
    else
        string replace -a %2F / -- $names | string replace -r '^%2E' . |
            string replace -a %25 %
    end
end

complete -c kvp -f
complete -c kvp -s p -l pool -x -a "$pools (__fish_complete_path)" -d 'the pool'
complete -c kvp -s o -x -a 'mode=restricted mode=full lock_timeout=' \
    -d 'options of the store'
complete -c kvp -s h -l help -d 'print help'
complete -c kvp -s V -l version -d 'print the version'
complete -c kvp -n __kvp_needs_command -a "$commands"
complete -c kvp -n __kvp_needs_key -a '(__kvp_keys)'
complete -c kvp -n '__kvp_command_is load append dump restore' -F
complete -c kvp -n '__kvp_command_is report' -a 'success failure'
complete -c kvp -n '__kvp_command_is get set add rm wait' -l names \
    -d 'KEY is the name of a file'
complete -c kvp -n '__kvp_command_is get ls entries records status' -l json -d 'as JSON'
complete -c kvp -n '__kvp_command_is get' -s n -d 'exactly the value'
complete -c kvp -n '__kvp_command_is set add' -s n -d 'without the last newline'
complete -c kvp -n '__kvp_command_is report' -s n -d 'print it, store nothing'
complete -c kvp -n '__kvp_command_is get' -s a -d 'the values of all records'
complete -c kvp -n '__kvp_command_is ls' -s l -d 'with size and records'
complete -c kvp -n '__kvp_command_is wait' -s t -x -d 'seconds to wait'
complete -c kvp -n '__kvp_command_is wait' -l new -d 'what is there does not count'
complete -c kvp -n '__kvp_command_is clear' -l if-stale -d 'only if it is stale'
complete -c kvp -n '__kvp_command_is report' -s r -x -d 'why it failed'
complete -c kvp -n '__kvp_command_is report' -s i -x -d 'ID of the machine'
complete -c kvp -n '__kvp_command_is report' -s e -x -d 'one more field'
complete -c kvp -n '__kvp_command_is report' -s u -x -d 'documentation'
complete -c kvp -n '__kvp_command_is report' -l agent -x -d 'who reports'
complete -c kvp -n '__kvp_command_is report' -l pps-type -x \
    -a 'None PreprovisionedOSDisk Running Savable Unknown' -d 'kind of preprovisioning'
