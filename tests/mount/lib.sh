# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Real mounts for the tests that are written in bash, and their TAP output.
#
# A case is a function; `it NAME RECORD...` runs it, with a fresh pool of these
# records mounted, in a subshell under `set -e`, in a private directory. There
# `pool`, `mount` and `log` (the program's) are its files, POOL, MNT and LOG their
# full paths; what it prints is shown, with the log, when it fails. Names given
# to the script select cases.

set -u
export LC_ALL=C.UTF-8
umask 022

tests=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
PYTHON=${PYTHON:-$(PATH=/usr/bin:$PATH command -v python3)} || {
	echo '1..0 # SKIP needs python3'
	exit 77
}
# Started in the background, or by nohup(1), it ignores signals that tests send; no
# shell can change that for itself.
if ((0x$(sed -n 's/^SigIgn:[[:space:]]*//p' /proc/$$/status) & 0x4003)); then
	exec "$PYTHON" -c 'import os, signal, sys
for number in signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE:
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' "$BASH" "$0" "$@"
fi
KVPFS=$(realpath -m "${KVPFS:-${abs_top_builddir:-$tests/../..}/src/kvpfs}")
export KVPFS
# Words before the program (such as valgrind), and the seconds after which a
# program that hangs is ended, so that its test fails and the others go on.
read -ra runner <<<"timeout --foreground -k 60 ${KVPFS_TEST_LIMIT:-600} ${KVPFS_RUNNER:-}"

only=("$@")
number=0
failures=0
top='' program=''                       # of the case that runs

"$PYTHON" -B "$tests/harness.py" || exit
scratch=$(mktemp -d "${TMPDIR:-/tmp}/kvpfs-test.XXXXXX")
chmod 755 "$scratch"
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

pool() { "$PYTHON" -B "$tests/pool.py" "$@"; }

# The pool holds exactly these records (in any order), with no byte amiss.
pool_is() { pool expect "$POOL" "$@"; }

equal()
{
	[[ $1 == "$2" ]] || {
		printf 'got %q, expected %q\n' "$1" "$2"
		return 1
	}
}

# The command fails and says why.
refuses()
{
	local reason=$1 status=0
	shift
	"$@" </dev/null 2>"$top/stderr" || status=$?
	cat "$top/stderr"
	((status != 0)) && grep -qF -- "$reason" "$top/stderr"
}

# Bounded tries, for what happens behind a command that does not wait.
eventually()
{
	local try
	for ((try = 0; try < 12000; try++)); do
		! "$@" >"$top/tried" || return 0
		sleep 0.01
	done
	cat "$top/tried"
	echo "never became true: $*"
	return 1
}

# Sets `mountpoints`. The file is read at once: read(1) goes back to the end of each line,
# where other lines may be by then, as others mount and unmount.
find_mountpoints()
{
	mapfile -t mountpoints </proc/self/mountinfo
	mountpoints=("${mountpoints[@]#* * * * }")
	mountpoints=("${mountpoints[@]%% *}")
}

is_mounted()
{
	local mountpoints mountpoint
	find_mountpoints
	for mountpoint in "${mountpoints[@]}"; do
		[[ $mountpoint != "$1" ]] || return 0
	done
	return 1
}

is_gone() { ! is_mounted "$1"; }

# It is gone, or a zombie that nobody has waited for yet.
has_ended() { [[ ! -e /proc/$1 || $(<"/proc/$1/stat") == *') Z '* ]] 2>/dev/null; }

# Whether the last argument of process $1 is this mountpoint.
serves()
{
	local words
	mapfile -d '' words <"/proc/$1/cmdline" && [[ ${words[*]: -1} == "$2" ]]
}

# The pids of programs that serve this mountpoint, but for their children.
daemons_of()
{
	local process stat
	for process in /proc/[0-9]*; do
		process=${process#/proc/}
		serves "$process" "$1" || continue
		read -r stat <"/proc/$process/stat" || continue
		read -r _ stat _ <<<"${stat##*) }"
		serves "$stat" "$1" || echo "$process"
	done 2>/dev/null
}

# Starts the program in the foreground; returns when its mount is there.
start()
{
	"${runner[@]}" "$KVPFS" -f "$@" >>"$LOG" 2>&1 </dev/null &
	program=$!
	echo "$program" >>"$scratch/pids"
	eventually is_mounted_or_ended
	eventually can_be_told_or_ended
	! has_ended "$program"
}

# timeout(1), between its fork and the next step, would die of a signal and not
# pass it on; it sleeps once it is past that.
can_be_told_or_ended()
{
	local stat
	has_ended "$program" || {
		read -r stat <"/proc/$program/stat" &&
			[[ ${stat##*) } == S* ]]
	}
}

is_mounted_or_ended() { is_mounted "$MNT" || has_ended "$program"; }

# The program, told to end, must unmount and report success.
ended_well()
{
	local status=0
	wait "$program" || status=$?
	equal "$status" 0
	is_gone "$MNT"
}

stop()
{
	kill "$program"
	ended_well
}

skip()
{
	echo "$*" >"$top/skip"
	exit 0
}

needs()
{
	local command
	for command; do
		type "$command" >/dev/null 2>&1 || skip "needs $command"
	done
}

needs_root() { ((EUID == 0)) || skip 'needs root'; }

unmount_lazily()
{
	if ((EUID == 0)); then umount -l "$1"; else fusermount3 -uz "$1"; fi 2>/dev/null
}

# Whatever state a failure left: no mount and no program remain.
sweep()
{
	local mountpoints mountpoint pid
	[[ ! -e $scratch/pids ]] || while read -r pid; do
		kill "$pid"
	done <"$scratch/pids" 2>/dev/null
	rm -f "$scratch/pids"
	find_mountpoints
	for mountpoint in "${mountpoints[@]}"; do
		[[ $mountpoint != "$scratch"/* ]] || unmount_lazily "$mountpoint"
	done
	wait
}

clean_up()
{
	cd /
	sweep
	rm -rf "$scratch"
}

# The case's own part, in the subshell.
on_mount()
{
	local name=$1
	shift
	if [[ ${options-} != none ]]; then
		start ${options:+-o "$options"} "$POOL" "$MNT"
		"$name"
		[[ -e skip ]] || stop
	else
		"$name"
	fi
}

# it NAME [RECORD...]: one case. `options=... it` mounts with these options,
# `options=none it` leaves the mounting to the case; `variant=...` is printed.
it()
{
	local name=$1 status=0 label=$1${variant:+ ($variant)} skipped=
	shift
	[[ ${#only[@]} -eq 0 || " ${only[*]} " == *" $name "* ]] || return 0
	number=$((number + 1))
	top=$scratch/$number
	POOL=$top/pool MNT=$top/mount LOG=$top/log
	mkdir -p "$MNT"
	touch "$LOG"
	pool build "$POOL" "$@"
	cd "$top" || exit
	(
		trap - EXIT
		set -e
		on_mount "$name"
	) >output 2>&1 </dev/null
	status=$?
	sweep >>output 2>&1
	[[ ! -e skip ]] || skipped=" # SKIP $(<skip)"
	if ((status == 0)); then
		echo "ok $number - $label$skipped"
	else
		failures=$((failures + 1))
		echo "not ok $number - $label"
		sed 's/^/# /' output
		sed 's/^/# log: /' "$LOG"
	fi
	cd /
	rm -rf "$top"
}

finish()
{
	echo "1..$number"
	exit $((failures > 0))
}
