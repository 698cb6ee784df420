#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What the documents and bash's completions say: the same options and names as the
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

of_readme()
{
	sed -n '/^## Options/,/^## /s/^| \(`[^|]*\).*/\1/p' "$top/README.md" |
		tr -d '`' | names
}

# What is taken without a word in the help: the ordinary, and what is refused.
of_source()
{
	sed -n '/^static const struct fuse_opt specs/,/FUSE_OPT_END/p' \
		"$top/src/mount/options.c" | sed -n 's/.*("\([^"]*\)".*/\1/p' | names |
		grep -vxE 'rw|allow_root|max_read'
}

of_completion()
{
	offered 'kvpfs -' | grep -vx -e -o
	offered 'kvpfs -o ' | names
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

options_of_the_help_are_those_of() { same "$(of_help)" "$("of_$1")"; }
it options_of_the_help_are_those_of page
it options_of_the_help_are_those_of readme
it options_of_the_help_are_those_of source
it options_of_the_help_are_those_of completion

pool_names_are_the_same_everywhere()
{
	local known
	known=$(sed -n '/names\[KVPFS_POOL_COUNT\]/,/};/p' "$top/src/mount/pools.c" |
		grep -o '"[^"]*"' | tr -d '"')
	same "$known" "$(offered 'kvpfs ')"
	same "$known" "$("$KVPFS" -h | tr -d '\n' |
		sed 's/.*a name(\([^)]*\)).*/\1/' | names)"
	same "$known" "$(sed -n 's/^\.It Cm \(external.*\)/\1/p' "$top/src/man/kvpfs.8" |
		names)"
	same "$known" "$(sed -n 's/^\.It [0-4] , Cm //p' "$top/src/man/kvp_pool.5")"
}
it pool_names_are_the_same_everywhere

options_of_the_script_are_the_same_everywhere()
{
	local known
	known=$(sed -n 's/.*getopts \([a-z:]*\) .*/\1/p' "$top/contrib/$1" |
		tr -d : | grep -o . | sed 's/^/-/')
	same "$known" "$(sed -n 's/^\.It Fl \(.\).*/-\1/p' "$top/contrib/$1.1")"
	same "$known" "$(offered "$1 -")"
}
it options_of_the_script_are_the_same_everywhere kvp-wait
it options_of_the_script_are_the_same_everywhere kvp-report

control_files_and_status_lines_are_all_described()
{
	local source=$top/src/mount/control_dir.c page=$top/src/man/kvpfs.8
	same "$(sed -n 's/^\t\[KVPFS_[A-Z]*\] = { "\([a-z]*\)".*/\1/p' "$source")" \
		"$(sed -n 's|^\.It Pa \.kvpfs/||p' "$page")"
	same "$(sed -n '/^int kvpfs_show_status/,/^}/p' "$top/src/mount/control_status.c" |
		sed -n 's/.*[{,] "\([a-z0-9_]*\)",.*/\1/p; s/.*{ "\([a-z]*\)",$/\1/p')" \
		"$(sed -n '/^\.It Pa .kvpfs\/status/,/^\.It Pa .kvpfs\/ev/s/^\.It Cm //p' \
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

completes_the_scripts_arguments()
{
	mkdir directory
	touch file
	offers 'kvp-wait -m ' directory
	offers 'kvp-report -m ' directory
	offers 'kvp-report -p S' Savable
	offers 'kvp-report -n s' success
	offers 'kvp-report -r '
}
it completes_the_scripts_arguments

# Which other pages are installed, the machine decides.
is_well_formed()
{
	needs "$2"
	case $2 in
	mandoc)
		mandoc -Tlint "$top/$1" 2>/dev/null |
			sed '/referenced manual not found/d' >faults
		;;
	groff) groff -ww -z -mandoc -Tutf8 "$top/$1" >faults 2>&1 ;;
	esac
	cat faults
	[[ ! -s faults ]]
}
for page in src/man/kvpfs.8 src/man/kvp_pool.5 contrib/kvp-report.1 contrib/kvp-wait.1; do
	it is_well_formed "$page" mandoc
	it is_well_formed "$page" groff
done

echo "1..$number"
exit $((failures > 0))
