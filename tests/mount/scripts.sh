#!/bin/bash
# SPDX-License-Identifier: MIT
#
# contrib's kvp-wait and kvp-report, in each shell that they should work in. What
# needs no pool is tested on a directory that only looks like a mount, so that the
# test decides when its events come (through a FIFO) and when it ends.

# shellcheck source=lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

contrib=$(cd "$tests/../../contrib" && pwd)
shell_is_there() { needs "${variant%% *}"; }

shells=()
for variant in dash bash 'busybox sh'; do
	options=none it shell_is_there
	if type "${variant%% *}" >/dev/null 2>&1; then shells+=("$variant"); fi
done

# The script, in the shell that the variant names.
script()
{
	local name=$1
	shift
	# shellcheck disable=SC2086
	env PATH="$top/bin:$PATH" $variant "$contrib/$name" "$@"
}

exits()
{
	local expected=$1 status=0
	shift
	"$@" || status=$?
	equal "$status" "$expected" >&2
}

# It exits with this status, and says why.
fails()
{
	local status=$1 reason=$2
	shift 2
	exits "$status" "$@" 2>"$top/stderr"
	cat "$top/stderr"
	grep -qF -- "$reason" "$top/stderr"
}

# contents FILE: whatever bytes, so that `equal` can compare them.
contents() { cat "$1" && echo .; }

# A directory that looks like a mount, with events that come through descriptor 7.
stub()
{
	mkdir -p stub/.kvpfs
	mkfifo stub/.kvpfs/events
	exec 7<>stub/.kvpfs/events
}

stub_without_events() { mkdir -p stub/.kvpfs; }

# A command that the script finds before the real one.
fake()
{
	[[ $($variant -c "type $1") != *builtin ]] || skip "$1 is a builtin here"
	mkdir -p bin
	printf '#!/bin/sh\n%s\n' "$2" >"bin/$1"
	chmod 755 "bin/$1"
}

# begin [ARGUMENT...]: kvp-wait in the background, in a process group of its own.
# It and every process that it starts hold the FIFO `lifeline` open.
begin()
{
	mkfifo lifeline
	timeout 60 cat lifeline 7>&- &
	lifeline=$!
	set -m
	# shellcheck disable=SC2086
	env PATH="$top/bin:$PATH" $variant "$contrib/kvp-wait" "$@" \
		>out 2>err 7>&- 9>lifeline &
	waiter=$!
	set +m
	printf '%s\n' "$waiter" "$lifeline" >>"$scratch/pids"
}

# It ends with this status, has said no more than this, and leaves no process.
ends()
{
	local status=0 left=0
	wait "$lifeline" || left=$?
	((left == 0)) || kill -KILL -- "-$waiter"
	wait "$waiter" || status=$?
	cat err
	equal "$status, left $left" "$1, left 0"
	equal "$(contents out)" "$2"
}

# Returns when kvp-wait has begun to read events: these are more than a pipe holds.
is_waiting()
{
	timeout 60 printf "set %0$((17 * $(getconf PAGESIZE)))d\n" 0 >&7
}

is_following() { [[ $(readlink "/proc/$waiter/fd/3") == */events ]]; }

event() { timeout 60 echo "$@" >&7; }

# kvp-wait: keys and values

key_that_is_there_is_printed()
{
	stub
	printf value >stub/k
	script kvp-wait -m stub -t 600 k >out
	equal "$(contents out)" $'value\n.'
	printf 'one\n\ntwo\n\n' >stub/k
	script kvp-wait -m stub -t 600 k >out
	equal "$(contents out)" $'one\n\ntwo\n\n.'
	: >stub/k
	script kvp-wait -m stub -t 600 k >out
	equal "$(contents out)" $'\n.'
}

# File name and key.
keys_are_encoded()
{
	local name key
	stub
	while IFS=$'\t' read -r name key; do
		key=${key//'\n'/$'\n'}
		name=${name//'\n'/$'\n'}
		printf 'value of %s\n' "$name" >"stub/$name"
		exits 0 script kvp-wait -m stub -t 0 -- "$key" >out
		equal "$(contents out)" "value of $name"$'\n.'
		rm "stub/$name"
	done <<-'EOF'
		CLOUD_INIT|1|init-network%2Fcheck-cache|x	CLOUD_INIT|1|init-network/check-cache|x
		100%	100%
		%2541	%41
		%252f%2Fa%25Ffb	%2f/a%Ffb
		%%2541%	%%41%
		%2%2F	%2/
		%2E	.
		%2E.	..
		%2Ekvpfs	.kvpfs
		...	...
		.kvpfs2	.kvpfs2
		-n	-n
		a b  *	a b  *
		two\nlines\n	two\nlines\n
		%2F%2F	//
		größe€	größe€
	EOF
}

value_must_be_equal()
{
	stub
	printf 'v\n' >stub/k
	exits 0 script kvp-wait -m stub -t 0 k v >out
	exits 0 script kvp-wait -m stub -t 0 k $'v\n'
	exits 1 script kvp-wait -m stub -t 0 k ''
	exits 1 script kvp-wait -m stub -t 0 k V
	exits 1 script kvp-wait -m stub -t 0 k '*'
	equal "$(contents out)" $'v\n.'
	printf 'v\n\n' >stub/k
	exits 1 script kvp-wait -m stub -t 0 k v
	: >stub/k
	exits 0 script kvp-wait -m stub -t 0 k ''
	exits 1 script kvp-wait -m stub -t 0 missing ''
}

empty_file_that_is_no_entry_yet_is_waited_for()
{
	stub
	: >stub/a=%2541
	printf 'a=%%%%2541=1\nother=\n' >stub/.kvpfs/entries
	exits 1 script kvp-wait -m stub -t 0 a=%41
	printf 'a%%3D%%2541=\n' >>stub/.kvpfs/entries
	exits 0 script kvp-wait -m stub -t 0 a=%41
}

environment_has_no_say()
{
	stub
	printf v >stub/k
	any='' value=w key=other events=. newline=v child=1 \
		exits 0 script kvp-wait -m stub -t 0 k
}

# kvp-wait: waiting

late_key_is_seen()
{
	stub
	begin -m stub -t 600 k
	is_waiting
	event 'set other'
	printf late >stub/k
	event 'set k'
	ends 0 $'late\n.'
}

value_is_waited_for()
{
	stub
	printf 1 >stub/k
	begin -m stub -t 600 k 3
	is_waiting
	printf 2 >stub/k
	event 'set k'
	rm stub/k
	event 'delete k'
	is_waiting
	printf '3\n' >stub/k
	event overflow
	ends 0 $'3\n.'
}

# So that nothing can happen between the look and the first event.
events_are_opened_before_the_first_look()
{
	stub_without_events
	: >stub/.kvpfs/events
	fake cat 'ls -l /proc/self/fd | grep -q /events && exec /bin/cat "$@"'
	printf v >stub/k
	exits 0 script kvp-wait -m stub -t 0 k
}

limit_ends_the_wait()
{
	stub
	begin -m stub -t 1 k
	ends 1 .
	rm lifeline stub/.kvpfs/events
	begin -m stub -t 1 k
	ends 1 .
}

without_events_it_looks_again()
{
	stub_without_events
	fake sleep 'printf late >stub/k'
	begin -m stub k
	ends 0 $'late\n.'
}

end_of_the_events_is_not_the_end()
{
	stub
	fake sleep 'printf late >stub/k'
	begin -m stub k
	is_waiting
	exec 7>&-
	ends 0 $'late\n.'
}

end_of_the_mount_is_told()
{
	stub
	begin -m stub -t 600 k
	is_waiting
	mv stub/.kvpfs stub/gone
	exec 7>&-
	ends 3 .
	equal "$(<err)" 'kvp-wait: stub is not a kvpfs mount that may be read'
}

signal_ends_it()
{
	stub
	begin -m stub -t 600 k
	is_waiting
	kill -"$1" -- "$2$waiter"
	ends "$3" .
	equal "$(<err)" ''
}

interrupt_of_the_group_ends_it() { signal_ends_it INT - 130; }
termination_ends_it() { signal_ends_it TERM '' 143; }
hangup_ends_it() { signal_ends_it HUP '' 129; }

no_mount_is_told()
{
	mkdir directory
	fails 3 'directory is not a kvpfs mount' script kvp-wait -m directory -t 0 k
	fails 3 'missing is not a kvpfs mount' script kvp-wait -m missing -t 0 k
}

wait_usage()
{
	local arguments
	stub
	printf v >stub/k
	exits 2 script kvp-wait
	exits 2 script kvp-wait -m stub ''
	for arguments in '-m stub' '-m' '-x k' 'k v w' '-t k' '-t -1 k' '-t 1s k' \
		'-t 1.5 k' '-t 1234567890 k' 'k -t 0'; do
		# shellcheck disable=SC2086
		exits 2 script kvp-wait $arguments 2>err
		tail -n 1 err | grep -q '^usage: kvp-wait '
	done
	exits 2 script kvp-wait -m stub -t '' k
}

for variant in "${shells[@]}"; do
	options=none
	it key_that_is_there_is_printed
	it keys_are_encoded
	it value_must_be_equal
	it empty_file_that_is_no_entry_yet_is_waited_for
	it environment_has_no_say
	it late_key_is_seen
	it value_is_waited_for
	it events_are_opened_before_the_first_look
	it limit_ends_the_wait
	it without_events_it_looks_again
	it end_of_the_events_is_not_the_end
	it end_of_the_mount_is_told
	it interrupt_of_the_group_ends_it
	it termination_ends_it
	it hangup_ends_it
	it no_mount_is_told
	it wait_usage
done
options=''

# kvp-wait: on a mount

needs_file() { [[ -e mount/.kvpfs/$1 ]] || skip "this kvpfs has no .kvpfs/$1"; }

written_key_is_seen()
{
	needs_file events
	begin -m mount -t 600 init/k
	echo other >mount/other
	echo written >mount/init%2Fk
	ends 0 $'written\n.'
}

key_from_outside_is_seen()
{
	needs_file events
	begin -m mount -t 600 k v2
	pool put pool k=v1
	pool put pool other=v2
	pool put pool k=v2
	ends 0 $'v2\n.'
}

every_key_is_seen_at_its_moment()
{
	local try
	needs_file events
	for try in {1..20}; do
		begin -m mount -t 600 "k$try"
		echo v >"mount/k$try"
		ends 0 $'v\n.'
		rm lifeline
	done
}

key_that_is_being_written_is_not_there_yet()
{
	needs_file entries
	exec 8>mount/k
	exits 1 script kvp-wait -m mount -t 0 k
	printf v >&8
	exits 0 script kvp-wait -m mount -t 0 k >out
	exec 8>&-
	equal "$(<out)" v
}

strange_keys_are_found_on_a_mount()
{
	local key
	needs_file entries
	for key in a/b .. %41 $'two\nlines' ===; do
		exits 0 script kvp-wait -m mount -t 0 "$key" ''
	done
	exits 1 script kvp-wait -m mount -t 0 . ''
}

end_of_the_program_ends_the_wait()
{
	needs_file events
	begin -m mount -t 600 k
	eventually is_following
	unmount_lazily "$MNT"
	kill "$program"
	ends 3 .
	wait "$program" || true
	start "$POOL" "$MNT"                # for `it` to stop
}

for variant in "${shells[@]}"; do
	it written_key_is_seen
	it key_from_outside_is_seen
	it every_key_is_seen_at_its_moment
	it key_that_is_being_written_is_not_there_yet
	it strange_keys_are_found_on_a_mount a/b= ..= %41= 'two\nlines=' '\x3d\x3d\x3d='
	it end_of_the_program_ends_the_wait
done

# kvp-report: the report

uuid=550E8400-E29B-41D4-A716-446655440000
now=2030-01-02T03:04:05+00:00

# A machine whose DMI says this.
machine()
{
	mkdir -p root/sys/class/dmi/id root/sys/firmware root/dev
	printf '%s' "$1" >root/sys/class/dmi/id/product_uuid
	export KVP_ROOT=$top/root
}

# Arguments, then the whole output expected; in it T stands for the time.
prints()
{
	local arguments=("${@:1:$#-1}") expected=${*: -1}
	fake date "[ \"\$*\" = '-u +%Y-%m-%dT%H:%M:%S+00:00' ] && echo $now"
	script kvp-report -n "${arguments[@]}" >out
	equal "$(contents out)" "${expected//'|timestamp=T'/"|timestamp=$now"}"$'\n.'
}

success_report()
{
	prints success -i ID 'result=success|agent=kvp-report|pps_type=None|vm_id=ID|timestamp=T'
	prints -i ID -a me/1 success -p Savable -e b=2 -e a=1 -e b=3=4 \
		'result=success|agent=me/1|pps_type=Savable|vm_id=ID|timestamp=T|b=2|a=1|b=3=4'
}

failure_report()
{
	prints failure -i ID -r 'no disk' 'result=error|reason=no disk|agent=kvp-report|'$(
		)'pps_type=None|vm_id=ID|timestamp=T|'$(
		)'documentation_url=https://aka.ms/linuxprovisioningerror'
	prints -e b=2 -u https://example.com -r r -i ID failure -e a= -a me -p Running \
		'result=error|reason=r|agent=me|b=2|a=|pps_type=Running|vm_id=ID|timestamp=T|'$(
		)'documentation_url=https://example.com'
	prints failure -i ID -r r -u '' \
		'result=error|reason=r|agent=kvp-report|pps_type=None|vm_id=ID|timestamp=T'
}

# What Rust's csv crate quotes with this delimiter: | " CR LF, and nothing else.
fields_are_quoted_where_needed()
{
	prints success -i 'I|D' -a 'say "hi"' -e 'cr=a'$'\r' -e 'lf=a'$'\n' -e '"=' -e '|=|' \
		'result=success|"agent=say ""hi"""|pps_type=None|"vm_id=I|D"|timestamp=T|"cr=a'$(
		)$'\r"|"lf=a\n"|"""="|"|=|"'
	prints success -i ID -e 'a= ,;'"'"'\%s$x`\n%' -e $'b=\t' -e c=größe€ -e 'd=*' \
		'result=success|agent=kvp-report|pps_type=None|vm_id=ID|timestamp=T|'$(
		)'a= ,;'"'"'\%s$x`\n%|'$'b=\t''|c=größe€|d=*'
	prints failure -i ID -r $'\n\n' -u 'u|' -e 'x=""' \
		$'result=error|"reason=\n\n"|agent=kvp-report|"x="""""|pps_type=None|vm_id=ID|'$(
		)'timestamp=T|"documentation_url=u|"'
}

timestamp_is_now()
{
	local before after stamp
	before=$(date +%s)
	stamp=$(script kvp-report -n success -i ID)
	after=$(date +%s)
	stamp=${stamp##*|timestamp=}
	[[ $stamp =~ ^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\+00:00$ ]]
	stamp=$(date -d "$stamp" +%s)
	((before <= stamp && stamp <= after))
}

id_is() { equal "$(script kvp-report -n success)" "${ok/ID/$1}"; }

vm_id_is_from_dmi()
{
	local ok="result=success|agent=kvp-report|pps_type=None|vm_id=ID|timestamp=$now"
	fake date "echo $now"
	machine "$uuid"$'\n'
	id_is 00840e55-9be2-d441-a716-446655440000          # generation 1
	mkdir root/sys/firmware/efi
	id_is 550e8400-e29b-41d4-a716-446655440000          # generation 2
	rmdir root/sys/firmware/efi
	mkdir root/dev/efi
	id_is 550e8400-e29b-41d4-a716-446655440000
	rmdir root/dev/efi
	machine '  Not-A-UUID '
	id_is not-a-uuid
	machine "${uuid}0"
	id_is 550e8400-e29b-41d4-a716-4466554400000
}

vm_id_that_cannot_be_read_is_told()
{
	machine $'\n'
	fails 1 'give it with -i' script kvp-report -n success
	rm root/sys/class/dmi/id/product_uuid
	fails 1 'give it with -i' script kvp-report -n success
	exits 0 script kvp-report -n success -i ID
}

report_usage()
{
	local arguments
	for arguments in '' -i 'success -x' 'success again' 'success -n failure' 'succes' \
		'failure' 'failure -r' 'success -r r' 'success -u u' '-r r success' \
		'success -p none' 'success -e a' 'success -e =a' 'success -e'; do
		# shellcheck disable=SC2086
		exits 2 script kvp-report -n -i ID $arguments >out 2>err
		grep -q '^usage: kvp-report ' err
		equal "$(<out)" ''
	done
	exits 2 script kvp-report -n -i ID failure -r ''
}

# The report arrives by one write(2), however the shell prints.
report_is_one_write()
{
	strace -o trace true || skip 'needs strace'
	stub_without_events
	# shellcheck disable=SC2086
	strace -qq -f -e trace=write -P "$PWD/stub/PROVISIONING_REPORT" -o trace \
		$variant "$contrib/kvp-report" -m "$PWD/stub" success -i ID -e $'a=1\n2\n3\n'
	equal "$(grep -c 'write(' trace)" 1
	equal "$(sed 's/T[0-9:+-]*|/T|/' stub/PROVISIONING_REPORT && echo .)" \
		"$(date -u +'result=success|agent=kvp-report|pps_type=None|vm_id=ID|timestamp=%FT|')"$(
		)$'"a=1\n2\n3\n".'
}

report_to_no_mount_is_told()
{
	mkdir directory
	fails 1 'directory is not a kvpfs mount' \
		script kvp-report -m directory success -i ID
	equal "$(ls directory)" ''
}

for variant in "${shells[@]}"; do
	options=none
	it success_report
	it failure_report
	it fields_are_quoted_where_needed
	it timestamp_is_now
	it vm_id_is_from_dmi
	it vm_id_that_cannot_be_read_is_told
	it report_usage
	it report_is_one_write
	it report_to_no_mount_is_told
done

options=''

# kvp-report: on a mount

report_replaces_all_earlier_ones()
{
	fake date "echo $now"
	machine "$uuid"
	script kvp-report -m mount success -e 'k=a|"b"' >out 2>&1
	equal "$(<out)" ''
	pool_is other=left 'PROVISIONING_REPORT=result=success|agent=kvp-report|pps_type=None|'$(
	)'vm_id=00840e55-9be2-d441-a716-446655440000|timestamp='"$now"'|"k=a|""b"""'
}

report_that_is_too_long_is_refused()
{
	local rest
	rest=$(script kvp-report -n success -i ID -e x=)
	rest=$((1022 - ${#rest}))
	script kvp-report -m mount success -i ID -e "x=$(printf "%0${rest}d" 0)"
	equal "$(wc -c <mount/PROVISIONING_REPORT)" 1022
	printf old >mount/PROVISIONING_REPORT
	fails 1 'File too large' \
		script kvp-report -m mount success -i ID -e "x=$(printf "%0$((rest + 1))d" 0)"
	equal "$(wc -l <stderr)" 1
	fails 1 'File too large' \
		script kvp-report -m mount success -i ID -e "x=$(printf %09999d 0)"$'\nx'
	pool_is PROVISIONING_REPORT=old
}

report_that_is_not_utf8_is_refused()
{
	local end
	fails 1 multibyte script kvp-report -m mount success -i ID -e $'x=\xff---'
	for end in $'\xc3' $'\xe2' $'\xe2\x82' $'\xf0' $'\xf0\x9d' $'\xf0\x9d\x84'; do
		fails 1 'not UTF-8 at its end' \
			script kvp-report -m mount failure -r r -i ID -u "x$end"
	done
	pool_is PROVISIONING_REPORT=old
	for end in ß € 𝄞 ßx €x 𝄞x €ß; do
		script kvp-report -m mount failure -r r -i ID -u "x$end"
		grep -q "documentation_url=x$end\$" mount/PROVISIONING_REPORT
	done
}

report_to_a_read_only_mount_is_refused()
{
	fails 1 'Read-only file system' script kvp-report -m mount success -i ID
	pool_is PROVISIONING_REPORT=old
}

for variant in "${shells[@]}"; do
	it report_replaces_all_earlier_ones \
		PROVISIONING_REPORT=1 other=left PROVISIONING_REPORT=2
	it report_that_is_too_long_is_refused
	it report_that_is_not_utf8_is_refused PROVISIONING_REPORT=old
	options=ro it report_to_a_read_only_mount_is_refused PROVISIONING_REPORT=old
done

finish
