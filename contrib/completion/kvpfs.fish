# SPDX-License-Identifier: MIT
#
# fish completion for kvpfs(8).

# How many names there are yet: words that are neither options nor their arguments.
function __kvpfs_names
    set -l names 0
    set -l skip
    for word in (commandline -opc)[2..]
        if set -q skip[1]
            set -e skip
        else if test $word = -o
            set skip yes
        else if not string match -q -- '-*' $word
            set names (math $names + 1)
        end
    end
    echo $names
end

# The mount options that may follow those that are typed, with them in front.
function __kvpfs_options
    set -l given (commandline -ct | string replace -r '[^,]*$' '')
    for option in mode=restricted mode=full newline=keep newline=strip \
            truncate_on_stale ro lock_timeout= uid= gid= umask= \
            watchers nowatchers allow_other debug
        set -l name (string replace -r '=.*' '' -- $option)
        string match -qr -- "(^|,)$name(=|,)" $given; or echo $given$option
    end
end

complete -c kvpfs -f
complete -c kvpfs -s f -d 'stay in the foreground'
complete -c kvpfs -s d -d 'the same, and show each request'
complete -c kvpfs -s s -d 'without effect'
complete -c kvpfs -s h -l help -d 'print help'
complete -c kvpfs -s V -l version -d 'print the version'
complete -c kvpfs -s o -x -a '(__kvpfs_options)' -d 'mount options'
complete -c kvpfs -n 'test (__kvpfs_names) -eq 0' -F \
    -a 'external guest auto auto-external auto-internal' -d pool
complete -c kvpfs -n 'test (__kvpfs_names) -eq 1' -a '(__fish_complete_directories)'
