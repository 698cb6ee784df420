#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Runs the benchmark: kvpfs beside floorfs (what FUSE alone costs) and a plain tmpfs
# directory, all pinned to the CPU that the client runs on. Shows what operations cost in
# time, requests and system calls, how that grows with the number of keys and of records,
# and what the daemon costs while it is there. Nothing passes or fails by time.
set -euo pipefail

usage()
{
	cat <<'END'
usage: run.sh [OPTION]... [MODE]...
Without a mode: what operations cost, beside the floor and tmpfs; how that grows with the
number of keys; total times; from a change to its event; starts and large pools; memory;
wake-ups while idle.
  --quick       one mount, few rounds, no totals, no large pools, little idling
  --long        a million operations before memory is measured, a minute of idling
  --mounts N    mounts of kvpfs and of floorfs that are compared (3)
  --rounds N    rounds to measure (15)
  --cpu N       pins all to this CPU (the last one allowed)
  --json FILE   writes all results for machines
  --plot FILE   draws cost against number of keys as SVG; needs gnuplot
Modes, instead of that:
  --requests    counts the FUSE requests of each operation
  --syscalls    counts the system calls of each operation, and how many of them take the
                pool's lock or begin to read all of it; needs strace
  --totals      times what is done to all 1024 keys: rm, create, load, append
  --watchers    times operations with nowatchers and without, in turn: the ratio says
                what it costs to be able to tell (goal: 1.03), as one CPU does all
  --told        times from another program's write to the pool to inotify's event in the
                mount (goal: a median of 1000 us), on all CPUs
The programs are $KVPFS (src/kvpfs) and those in $BENCH_DIR (tests/bench); the pools are
made in $BENCH_TMP (/dev/shm).
END
}

die()
{
	echo "run.sh: $*" >&2
	exit 1
}

growth_ops=read,stat,stat-missing,overwrite,append,create,rename
growth_ops+=,unlink,unlink-newest

# The variables are called as the options.
quick='' mounts=3 rounds=15 cpu='' json='' plot=''
operations=100000 idle=10
modes=()

while [ $# -gt 0 ]; do
	case $1 in
	--quick)
		quick=1 mounts=1 rounds=4 operations=10000 idle=2
		;;
	--long)
		operations=1000000 idle=60
		;;
	--requests | --syscalls | --totals | --watchers | --told)
		modes+=("${1#--}")
		;;
	--mounts | --rounds | --cpu | --json | --plot)
		[ $# -gt 1 ] || die "$1 needs an argument"
		printf -v "${1#--}" %s "$2"
		shift
		;;
	--help)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
	shift
done

kvpfs=${KVPFS:-src/kvpfs}
bench=${BENCH_DIR:-tests/bench}/bench
floorfs=${BENCH_DIR:-tests/bench}/floorfs
for program in "$kvpfs" "$bench" "$floorfs"; do
	[ -x "$program" ] || die "no program '$program'"
done
if [[ ! $mounts =~ ^[1-7]$ ]]; then
	die "--mounts takes 1 to 7, not '$mounts'"
fi
if [ -n "$plot" ] && [ ${#modes[@]} -gt 0 ]; then
	die "--plot draws what is measured without a mode"
fi
if [ -n "$plot" ] && ! command -v gnuplot >/dev/null; then
	die "--plot needs gnuplot"
fi
if [[ ${modes[*]} == *syscalls* ]] && ! command -v strace >/dev/null; then
	die "--syscalls needs strace"
fi
if [ ! -w /dev/fuse ]; then
	echo "run.sh: skipped: /dev/fuse is missing" >&2
	exit 77
fi
cpus=$(awk '/^Cpus_allowed_list:/ { print $2 }' /proc/self/status)
: "${cpu:=${cpus##*[,-]}}"

tmp=$(mktemp -d "${BENCH_TMP:-/dev/shm}/kvpfs-bench.XXXXXX")
dirs=()
pids=()
tracer=()

# Daemons run in the foreground: their process ids are known, and no other is signalled.

is_mounted()
{
	awk -v dir="$1" '$5 == dir { n++ } END { exit !n }' /proc/self/mountinfo
}

# serve DIR COMMAND...: starts a daemon that mounts on DIR; returns when it is mounted.
serve()
{
	local dir=$1 pid i

	shift
	mkdir -p "$dir"
	taskset -c "$cpu" "${tracer[@]/FILE/$dir.trace}" "$@" 2>"$dir.log" &
	pid=$!
	dirs+=("$dir")
	pids+=("$pid")
	for ((i = 0; i < 2000; i++)); do
		if is_mounted "$dir"; then
			return
		fi
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.005
	done
	cat "$dir.log" >&2
	die "not mounted: $*"
}

# serve_pool NAME [OPTION...]: mounts $tmp/NAME.pool on $tmp/NAME, as the service does.
serve_pool()
{
	serve "$tmp/$1" "$kvpfs" -f "${sharing[@]}" "${@:2}" "$tmp/$1.pool" "$tmp/$1"
}

# make_pool NAME [OPTION...]: writes $tmp/NAME.pool.
make_pool()
{
	"$bench" "${@:2}" --pool "$tmp/$1.pool"
	chmod 644 "$tmp/$1.pool"
}

# A daemon ends when its directory is unmounted; one that does not is told to.
unmount_all()
{
	local i

	for ((i = 0; i < ${#dirs[@]}; i++)); do
		if is_mounted "${dirs[i]}"; then
			fusermount3 -u "${dirs[i]}" || kill "${pids[i]}" || true
		else
			kill "${pids[i]}" 2>/dev/null || true
		fi
		wait "${pids[i]}" || true
	done
	dirs=()
	pids=()
}

cleanup()
{
	unmount_all
	if is_mounted "$tmp/started"; then
		fusermount3 -u "$tmp/started"
	fi
	rm -rf "$tmp"
}

trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

run_bench()
{
	"$bench" --cpu "$cpu" --rounds "$rounds" "$@"
	echo
}

compare()
{
	local targets=() m

	mkdir "$tmp/plain"
	"$bench" --fill "$tmp/plain"
	for ((m = 0; m < mounts; m++)); do
		serve "$tmp/floor$m" "$floorfs" -f "$tmp/floor$m"
		make_pool "kvpfs$m"
		serve_pool "kvpfs$m"
		targets+=("floor=$tmp/floor$m" "kvpfs=$tmp/kvpfs$m")
	done
	echo "== 1024 keys of 100 bytes"
	run_bench --goals --json "$tmp/compare.json" "${targets[@]}" "tmpfs=$tmp/plain"
	unmount_all
}

draw()
{
	local sets

	sets=$(grep -c '"' "$tmp/growth.data")
	gnuplot <<-END
		set terminal svg size 1000,600 font "sans-serif,14" background "white"
		set output "$plot"
		set title "kvpfs: cost of an operation against the number of keys"
		set logscale xy
		set xrange [1:1024]
		set xtics (1, 10, 30, 100, 300, 1024)
		set yrange [5:1000]
		set ytics (5, 10, 20, 50, 100, 200, 500, 1000)
		set grid
		set xlabel "keys in the pool"
		set ylabel "microseconds, best round"
		set key outside right center
		plot for [i=0:$sets-1] "$tmp/growth.data" index i using 1:2 \
			with linespoints linewidth 2 pointtype i+1 dashtype i/8+1 \
			title columnheader(1)
	END
}

growth()
{
	local targets=() keys=(1 100 1024) n

	if [ -n "$plot" ]; then
		keys=(1 10 30 100 300 1024)
	fi
	for n in "${keys[@]}"; do
		make_pool "keys$n" --keys "$n"
		serve_pool "keys$n"
		targets+=("keys: $n=$tmp/keys$n")
	done
	echo "== growth with the number of keys (goal: ratio within 1.3, unlink aside)"
	run_bench --json "$tmp/growth.json" --plot-data "$tmp/growth.data" --threads 1 \
		--ops "$growth_ops" "${targets[@]}"
	unmount_all
}

totals()
{
	mkdir "$tmp/plain-totals"
	"$bench" --fill "$tmp/plain-totals"
	serve "$tmp/floor-totals" "$floorfs" -f "$tmp/floor-totals"
	make_pool totals
	serve_pool totals
	echo "== total times for 1024 keys"
	run_bench --goals --json "$tmp/totals.json" --threads 1 --totals \
		"floor=$tmp/floor-totals" "kvpfs=$tmp/totals" "tmpfs=$tmp/plain-totals"
	unmount_all
}

watchers()
{
	local targets=() m

	for ((m = 0; m < mounts; m++)); do
		make_pool "quiet$m"
		serve_pool "quiet$m" -o nowatchers
		make_pool "told$m"
		serve_pool "told$m"
		targets+=("nowatchers=$tmp/quiet$m" "watchers=$tmp/told$m")
	done
	# the agent acts at once after a quiet time, and then every 5 to 20 ms: so that
	# both count as they do in a run of writes, a batch takes 100 ms
	echo "== with and without watchers (ratio to the first)"
	run_bench --json "$tmp/watchers.json" --threads 1 --repeat 24 \
		--ops read,stat,overwrite,append,create,rename,unlink-newest \
		"${targets[@]}"
	unmount_all
}

told()
{
	local cpu=$cpus n

	echo "== from another program's write to the event (microseconds)"
	printf '%-32s %15s %7s\n' '(best and median)' '' keys
	for n in 5 100 1024; do
		make_pool "told$n" --keys "$n"
		serve_pool "told$n"
		"$bench" --rounds $((rounds * 8)) --told --json "$tmp/told" \
			"write to event=$tmp/told$n"
		keep told "$(cat "$tmp/told")"
		unmount_all
	done
	echo
}

# keep LIST JSON: adds a result to a list.
keep()
{
	local list=$tmp/$1.list

	[ ! -e "$list" ] || printf ',\n' >>"$list"
	printf %s "$2" >>"$list"
}

# sum FIELD FILE...: of status files in /proc, the sum of the fields that match.
sum()
{
	awk -v field="^$1" '$1 ~ field { n += $2 } END { print n + 0 }' "${@:2}"
}

# start TIMES LABEL COMMAND...: starts what then mounts on $tmp/started.
start()
{
	"$bench" --cpu "$cpu" --rounds "$1" --start --json "$tmp/start" \
		"$2=$tmp/started" "${@:3}" "$tmp/started"
	keep starts "$(cat "$tmp/start")"
}

starts()
{
	mkdir "$tmp/started"
	make_pool few
	echo "== from exec to the first stat in the mount, and after it (microseconds)"
	printf '%-32s %15s %15s %15s %15s %7s\n' '(best and median of each)' \
		start 'first read' 'later read' ls keys
	start 20 floor "$floorfs" -f
	start 20 "1024 records" "$kvpfs" -f "$tmp/few.pool"
	if [ -z "$quick" ]; then
		make_pool repeated --records 100000
		make_pool unique --keys 100000
		start 5 "100000 records of 1024 keys" "$kvpfs" -f "$tmp/repeated.pool"
		start 5 "100000 records of 100000 keys" "$kvpfs" -f "$tmp/unique.pool"
	fi
	echo
}

# show_memory TITLE [PID]: resident memory, of the daemon that was started last.
show_memory()
{
	local proc=/proc/${2:-${pids[-1]}} rss own shared json

	rss=$(sum VmRSS: "$proc/status")
	own=$(sum Private_ "$proc/smaps_rollup")
	shared=$(sum Shared_ "$proc/smaps_rollup")
	printf '%-40s %8d %8d %8d\n' "$1" "$rss" "$own" "$shared"
	printf -v json '{"pool": "%s", "rss_kib": %d, "private_kib": %d, %s}' \
		"$1" "$rss" "$own" "\"shared_kib\": $shared"
	keep memory "$json"
}

show_memory_head()
{
	printf '%-40s %8s %8s %8s\n' '== memory in KiB' resident private shared
}

# The pool of someone who only ever appends, and one that knows no limit.
large()
{
	serve_pool few
	serve_pool repeated
	serve_pool unique
	echo "== large pools"
	run_bench --json "$tmp/large.json" --threads 1 --rounds 5 \
		--ops read,stat,stat-missing,readdir,ls-l "1024 records=$tmp/few" \
		"100000 of 1024 keys=$tmp/repeated" "100000 of 100000 keys=$tmp/unique"
	show_memory_head
	show_memory "100000 records of 1024 keys" "${pids[1]}"
	show_memory "100000 records of 100000 keys" "${pids[2]}"
	echo
	unmount_all
	rm "$tmp/repeated.pool" "$tmp/unique.pool"
}

memory()
{
	local ops=${growth_ops/append,/} n # full values do not grow

	show_memory_head
	: >"$tmp/empty.pool"
	serve_pool empty
	ls "$tmp/empty"
	show_memory "empty pool"

	make_pool full --value-size 2048
	serve_pool full -o mode=full
	show_memory "1024 values of 2048 bytes, mounted"
	find "$tmp/full" -type f -exec cat {} + >/dev/null
	show_memory "1024 values of 2048 bytes, all read"
	"$bench" --cpu "$cpu" --threads 1 --ops "$ops" \
		--rounds $((operations / 1000)) --json "$tmp/many" "full=$tmp/full" \
		>/dev/null
	n=$(awk -F '"samples": ' '{ n += $2 } END { print n }' "$tmp/many")
	show_memory "the same, after $n operations"
	echo
	unmount_all
}

# switches PID: how often its threads had the CPU and gave or lost it.
switches()
{
	sum '(non)?voluntary_ctxt_switches:' "/proc/$1"/task/*/status
}

# count_wakeups TITLE: of the daemon that was started last.
count_wakeups()
{
	local pid=${pids[-1]} n

	sleep 1
	n=$(switches "$pid")
	sleep "$idle"
	n=$(($(switches "$pid") - n))
	printf '%-40s %8d\n' "$1" "$n"
	keep idle "{\"what\": \"$1\", \"seconds\": $idle, \"wakeups\": $n}"
}

idling()
{
	local reader

	make_pool idle
	serve_pool idle
	find "$tmp/idle" -type f -exec cat {} + >/dev/null
	echo "== wake-ups in $idle seconds of idling (goal: 0)"
	count_wakeups "nobody reads events"
	cat "$tmp/idle/.kvpfs/events" >/dev/null &
	reader=$!
	count_wakeups "a reader of events waits"
	kill "$reader" || die "the reader of events did not wait"
	wait "$reader" || true
	unmount_all
	echo
}

program_size()
{
	strip -o "$tmp/stripped" "$kvpfs"
	stat -c '== size of the program, stripped: %s bytes' "$tmp/stripped"
	stat -c '{"stripped_bytes": %s}' "$tmp/stripped" >"$tmp/program.json"
}

# Turn what a daemon left behind into lines that count_calls() takes: "STATFS", or a kind
# of call and its name.

requests_of()
{
	sed -n 's/.*opcode: \([A-Z_0-9]*\).*/requests \1/p' "$1.log" |
		sed 's/^requests STATFS$/STATFS/'
}

# A call belongs to the request that was read last; those of STATFS (17) are left out.
# Calls that other threads have cut in two are put together again.
syscalls_of()
{
	awk '
		{
			pid = $1
			sub(/^[0-9]+ +/, "")
		}
		sub(/ *<unfinished \.\.\.>$/, "") {
			begun[pid] = $0
			next
		}
		sub(/^<\.\.\. [^>]* resumed>/, "") {
			$0 = begun[pid] $0
		}
		!match($0, /^[a-z0-9_]+\(/) {
			next
		}
		{
			name = substr($0, 1, RLENGTH - 1)
		}
		/^read\([0-9]+<\/dev\/fuse>, "/ {
			opcode = substr($0, index($0, "\"") + 17, 16)
			is_mark = opcode == "\\x11\\x00\\x00\\x00"
			print is_mark ? "STATFS" : "requests"
		}
		is_mark {
			next
		}
		/^read\([0-9]+<anon_inode:inotify>/ {
			name = "read(inotify)"
		}
		/^flock\(.*LOCK_(SH|EX).* = 0$/ {
			print "locks"
			is_scanned = 0
		}
		(/^pread64\([0-9]+<.*\.pool>, .*, 0\) = [1-9]/ ||
		 /^mmap\(.*<.*\.pool>, 0\) = /) && !is_scanned++ {
			print "scans"
		}
		{
			print "syscalls", name
		}' "$1.trace"
}

# count_calls LABEL KIND...: a line of the table, and of JSON, for each operation. STATFS
# frames the timed parts (bench --marks): a frame for each operation and round, of which
# the first was the warm-up. Names are shown for the kind $mode.
count_calls()
{
	awk -v label="$1" -v kinds="${*:2}" -v mode="$mode" -v json="$tmp/counts" '
		BEGIN {
			n = 0
			nkinds = split(kinds, kind, " ")
			printf "%-13s", "operation"
			for (k = 1; k <= nkinds; k++)
				printf " %8s", kind[k]
			print ""
		}
		FNR == NR && index($0, "\"label\": \"" label "\"") {
			match($0, /"op": "[^"]*"/)
			op[n] = substr($0, RSTART + 7, RLENGTH - 8)
			match($0, /"samples": [0-9]*/)
			samples[n++] = substr($0, RSTART + 11, RLENGTH - 11)
		}
		FNR == NR {
			next
		}
		$1 == "STATFS" {
			frame += inside = !inside
			next
		}
		inside && frame > n {
			row = frame - n - 1
			total[row, $1]++
			if ($1 == mode && !count[row, $2]++)
				names[row] = names[row] " " $2
		}
		END {
			for (row = 0; row < n; row++) {
				printf "%-13s", op[row]
				printf "{\"op\": \"%s\"", op[row] >json
				for (k = 1; k <= nkinds; k++) {
					share = total[row, kind[k]] / samples[row]
					printf " %8.2f", share
					printf ", \"%s\": %.3f", kind[k], share >json
				}
				printf " ="
				printf ", \"names\": {" >json
				m = split(names[row], list, " ")
				for (i = 1; i <= m; i++) {
					share = count[row, list[i]] / samples[row]
					printf " %s %.2f", list[i], share
					printf "%s\"%s\": %.3f", (i > 1 ? ", " : ""),
						list[i], share >json
				}
				print ""
				print "}}" (row < n - 1 ? "," : "") >json
			}
		}' "$tmp/batches" -
	keep "$mode" "{\"label\": \"$1\", \"operations\": [$(cat "$tmp/counts")]}"
}

# count KIND...: of calls, in a run of all operations that is not timed.
count()
{
	local debug=() target

	if [ "$mode" = requests ]; then
		debug=(-d)
	else
		tracer=(strace -f -y -x -s 8 -I2 -qq -o FILE)
	fi
	make_pool kvpfs
	serve "$tmp/floor" "$floorfs" -f "${debug[@]}" "$tmp/floor"
	serve_pool kvpfs "${debug[@]}"
	"$bench" --cpu "$cpu" --rounds 1 --threads 1 --marks --json "$tmp/batches" \
		"floor=$tmp/floor" "kvpfs=$tmp/kvpfs" >/dev/null
	unmount_all
	tracer=()
	for target in floor kvpfs; do
		echo "== $mode of $target per operation"
		"${mode}_of" "$tmp/$target" | count_calls "$target" "$@"
		echo
	done
}

# All that was measured: FILE.json as it is, FILE.list in brackets.
write_json()
{
	local file name

	printf '{"system": "%s"' "$system"
	for file in "$tmp"/*.json "$tmp"/*.list; do
		[ -e "$file" ] || continue
		name=${file##*/}
		printf ',\n"%s": ' "${name%.*}"
		case $file in
		*.json) cat "$file" ;;
		*.list) printf '[%s]' "$(cat "$file")" ;;
		esac
	done
	echo '}'
}

# The service mounts for all users. Not every user may.
sharing=(-o allow_other)
if ((EUID != 0)) && ! grep -qs '^user_allow_other' /etc/fuse.conf; then
	echo "run.sh: /etc/fuse.conf has no user_allow_other: mounts are private" >&2
	sharing=()
fi

system="Linux $(uname -r),"
system+=" $(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo)"
echo "$system"
echo
if [ ${#modes[@]} -eq 0 ]; then
	modes=(compare growth totals told starts large memory idling program_size)
	if [ -n "$quick" ]; then
		modes=(compare growth told starts memory idling program_size)
	fi
fi
for mode in "${modes[@]}"; do
	case $mode in
	requests) count requests ;;
	syscalls) count requests syscalls locks scans ;;
	*) "$mode" ;;
	esac
done
if [ -n "$json" ]; then
	write_json >"$json"
fi
if [ -n "$plot" ]; then
	draw
fi
