#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What the documents and the shells' completions say: the same options and names as the
# program, in each place; and manual pages without a fault. Needs no mount. TAP;
# names given as arguments select cases.

# Cases are called by name.
# shellcheck disable=SC2317
set -u
export LC_ALL=C.UTF-8

top=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
KVPFS=$(realpath -m "${KVPFS:-${abs_top_builddir:-$top}/src/kvpfs}")
scratch=$(mktemp -d "${TMPDIR:-/tmp}/kvpfs-test.XXXXXX")
trap 'cd /; rm -rf "$scratch"' EXIT
only=("$@")
number=0 failures=0

# it FUNCTION [ARGUMENT...]: one case, in an empty directory.
it()
{
	local status
	[[ ${#only[@]} -eq 0 || " ${only[*]} " == *" $1 "* ]] || return 0
	number=$((number + 1))
	mkdir "$scratch/$number"
	(
		set -e
		cd "$scratch/$number"
		"$@"
	) >"$scratch/output" 2>&1
	status=$?
	if ((status == 77)); then
		echo "ok $number - $* # SKIP $(<"$scratch/output")"
	elif ((status == 0)); then
		echo "ok $number - $*"
	else
		failures=$((failures + 1))
		echo "not ok $number - $*"
		sed 's/^/# /' "$scratch/output"
	fi
}

needs()
{
	type "$1" >/dev/null 2>&1 || {
		echo "needs $1"
		exit 77
	}
}

# Two lists of lines, in any order.
same()
{
	[[ $1 ]] && diff <(sort -u <<<"$1") <(sort -u <<<"$2")
}

# From "-d, -o debug" and "-o uid=N,gid=N" to one name a line.
names() { tr ',' '\n' | sed 's/^ *//; s/^-o //; s/[= ].*//'; }

of_help() { "$KVPFS" -h | sed -n 's/^  \(-.*\)/\1/; s/^\(-.*[^ ]\)  .*/\1/p' | names; }

of_page()
{
	sed -n '/^The options are/,/^\.Sh/s/^\.It //p' "$top/src/man/kvpfs.8" |
		sed '/^Fl o Ar/d; s/Fl o Cm //g; s/Cm //g; s/Fl /-/g' | names
}

# What is taken without a word in the help: the ordinary, and what is refused.
of_source()
{
	sed -n '/^static const struct fuse_opt specs/,/FUSE_OPT_END/p' \
		"$top/src/mount/options.c" | sed -n 's/.*("\([^"]*\)".*/\1/p' | names |
		grep -vxE '|rw|allow_root|max_read|remount|fsname|subtype'
}

of_completion()
{
	offered 'kvpfs -' | grep -vx -e -o
	offered 'kvpfs -o ' | names
}

of_fish() { by_fish 'kvpfs -' | grep -vx -e -o; by_fish 'kvpfs -o ' | names; }

# Its own words are offered one at a time only.
of_zsh()
{
	sed -n "s/.*{\(-.,--[a-z]*\)}.*/\1/p; s/.*'\(-[a-z]\)\[.*/\1/p; \
		s/^\t\t'\(([a-z]*)\)\?\([a-z_]*\)\[.*/\2/p" \
		"$top/contrib/completion/_kvpfs" | names
}

needs_fish()
{
	needs fish
	fish --no-config -c true 2>/dev/null || {
		echo 'needs a fish that knows --no-config'
		exit 77
	}
}

# What fish offers for the end of this line.
by_fish()
{
	# shellcheck disable=SC2016 # fish expands it
	fish --no-config -c 'source $argv[1]; complete -C $argv[2]' \
		"$top/contrib/completion/kvpfs.fish" "$1" </dev/null | cut -f 1
}

# What zsh makes of this line when TAB is pressed.
by_zsh()
{
	zsh -f "$top/tests/command/complete.zsh" "$top/contrib/completion" \
		"${KVPFS%/*}" "$1"
}

# The words that bash would offer for the end of this line.
offered()
{
	local COMP_LINE=$1 COMP_POINT=${#1} COMP_CWORD COMP_WORDS COMPREPLY
	local completion function
	# shellcheck source=/dev/null
	. "$top/contrib/completion/${1%% *}"
	completion=$(complete -p "${1%% *}")
	function=${completion##*-F } function=${function%% *}
	read -ra COMP_WORDS <<<"${1//=/ = }"
	[[ $1 != *' ' ]] || COMP_WORDS+=('')
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	"$function"
	[[ ${#COMPREPLY[@]} -eq 0 ]] || printf '%s\n' "${COMPREPLY[@]}"
}

# It is for functions that readline has called.
compopt() { :; }

# offers LINE [WORD...]
offers()
{
	local line=$1
	shift
	diff <(offered "$line" | sort) <(printf '%s\n' "$@" | sed '/^$/d' | sort)
}

options_of_the_help_are_those_of()
{
	[[ $1 != fish ]] || needs_fish
	same "$(of_help)" "$("of_$1")"
}
it options_of_the_help_are_those_of page
it options_of_the_help_are_those_of source
it options_of_the_help_are_those_of completion
it options_of_the_help_are_those_of fish
it options_of_the_help_are_those_of zsh

pool_names_are_the_same_everywhere()
{
	local known
	known=$(sed -n '/names\[KVP_POOL_COUNT\]/,/};/p' "$top/src/core/pool_names.c" |
		grep -o '"[^"]*"' | tr -d '"')
	same "$known" "$(offered 'kvpfs ')"
	same "$known" "$("$KVPFS" -h | tr -d '\n' |
		sed 's/.*a name(\([^)]*\)).*/\1/' | names)"
	same "$known" "$(sed -n 's/^\.It Cm \(external.*\)/\1/p' "$top/src/man/kvpfs.8" |
		names)"
	same "$known" "$(sed -n 's/^\.It [0-4] , Cm //p' "$top/src/man/kvp_pool.5")"
}
it pool_names_are_the_same_everywhere

control_files_and_status_lines_are_all_described()
{
	local page=$top/src/man/kvpfs.8
	same "$(sed -n 's/^\t*\.name = "\([a-z]*\)",$/\1/p' "$top"/src/mount/control_*.c |
		sort)" "$(sed -n 's|^\.It Pa \.kvpfs/||p' "$page" | sort)"
	same "$(sed -n 's/^\t\t[a-z_]*("\([a-z0-9_]*\)",.*/\1/p' \
		"$top/src/core/show.c")" \
		"$(sed -n '/^\.It Pa .kvpfs\/st/,/^\.It Pa .kvpfs\/ev/s/^\.It Cm //p' \
			"$page" | names)"
}
it control_files_and_status_lines_are_all_described

error_numbers_of_refusals_are_all_described()
{
	local number
	grep -o '{ E[A-Z]*' "$top/src/core/result.c" | sort -u >numbers
	[[ -s numbers ]]
	while read -r _ number; do
		grep -qx "\.It Bq Er $number" "$top/src/man/kvpfs.8"
	done <numbers
}
it error_numbers_of_refusals_are_all_described

completes_mount_options_behind_commas_and_equal_signs()
{
	offers 'kvpfs -o new' newline=keep newline=strip
	offers 'kvpfs -o mode=' restricted full
	offers 'kvpfs -o mode=f' full
	offers 'kvpfs -o ro,mode=f' full
	offers 'kvpfs -o ro,mo' ro,mode=restricted ro,mode=full
	offers 'kvpfs guest -o mode=full,newline=strip,u' strip,uid= strip,umask=
	COMP_WORDBREAKS=${COMP_WORDBREAKS//=/} offers 'kvpfs -o mode=f' mode=full
}
it completes_mount_options_behind_commas_and_equal_signs

completes_no_option_a_second_time()
{
	offers 'kvpfs -o ro,r'
	offers 'kvpfs -o umask=077,ro,u' 077,ro,uid=
}
it completes_no_option_a_second_time

completes_pools_then_directories()
{
	mkdir directory
	touch autofile 'with space'
	offers 'kvpfs auto' auto auto-external auto-internal autofile
	offers 'kvpfs ' external guest auto auto-external auto-internal \
		autofile directory 'with space'
	offers 'kvpfs -f -o ro,umask=077 g' guest
	offers 'kvpfs guest ' directory
	offers 'kvpfs -o ro guest -f d' directory
}
it completes_pools_then_directories

fish_completes()
{
	needs_fish
	mkdir directory
	touch autofile
	diff <(by_fish 'kvpfs -o ro,mode=f') <(echo ro,mode=full)
	diff <(by_fish 'kvpfs -o umask=077,ro,u') <(echo umask=077,ro,uid=)
	diff <(by_fish 'kvpfs aut' | sort) \
		<(printf '%s\n' auto auto-external auto-internal autofile)
	diff <(by_fish 'kvpfs -f -o ro guest ') <(echo directory/)
}
it fish_completes

zsh_completes()
{
	needs zsh
	mkdir directory
	touch autofile
	[[ $(by_zsh 'kvpfs -o ro,mode=f') == 'kvpfs -o ro,mode=full'* ]]
	[[ $(by_zsh 'kvpfs -o umask=077,trun') == *=077,truncate_on_stale* ]]
	[[ $(by_zsh 'kvpfs -o ro ex') == 'kvpfs -o ro external'* ]]
	[[ $(by_zsh 'kvpfs autof') == 'kvpfs autofile'* ]]
	[[ $(by_zsh 'kvpfs guest d') == 'kvpfs guest directory'* ]]
}
it zsh_completes

# Which other pages are installed, the machine decides.
is_well_formed()
{
	needs "$2"
	case $2 in
	mandoc)
		mandoc -Tlint "$top/$1" 2>/dev/null |
			sed '/referenced manual not found/d
				/operating system explicitly/d' >faults
		;;
	groff) groff -ww -z -mandoc -Tutf8 "$top/$1" >faults 2>&1 ;;
	esac
	cat faults
	[[ ! -s faults ]]
}
for page in src/man/kvp.1 src/man/kvpfs.8 src/man/kvp_pool.5; do
	it is_well_formed "$page" mandoc
	it is_well_formed "$page" groff
done

echo "1..$number"
exit $((failures > 0))
