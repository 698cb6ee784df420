#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Runs the benchmark: kvpfs beside floorfs (what FUSE alone costs) and a plain tmpfs
# directory, all pinned to the CPU that the client runs on. Shows what operations cost,
# how that grows with the number of keys and of records, and the memory of the daemon.
# Nothing passes or fails by time.
set -euo pipefail

usage()
{
	cat <<'END'
usage: run.sh [OPTION]...
  --quick       one mount, few rounds, no pool of 100000 records
  --mounts N    mounts of kvpfs and of floorfs that are compared (3)
  --rounds N    rounds to measure (15)
  --cpu N       pins all to this CPU (the last one allowed)
  --json FILE   writes all results for machines
  --plot FILE   draws cost against number of keys as SVG; needs gnuplot
  --requests    counts the FUSE requests of each operation instead of measuring
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
quick='' mounts=3 rounds=15 cpu='' json='' plot='' requests=''

while [ $# -gt 0 ]; do
	case $1 in
	--quick)
		quick=1 mounts=1 rounds=4
		;;
	--requests)
		requests=1
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
if [ -n "$plot" ] && ! command -v gnuplot >/dev/null; then
	die "--plot needs gnuplot"
fi
if [ ! -w /dev/fuse ]; then
	echo "run.sh: skipped: /dev/fuse is missing" >&2
	exit 77
fi
if [ -z "$cpu" ]; then
	cpu=$(awk '/^Cpus_allowed_list:/ { n = split($2, c, "[,-]"); print c[n] }' \
		/proc/self/status)
fi

tmp=$(mktemp -d "${BENCH_TMP:-/dev/shm}/kvpfs-bench.XXXXXX")
dirs=()
pids=()
memory_lines=()
memory_json=()

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
	mkdir "$dir"
	taskset -c "$cpu" "$@" 2>"$dir.log" &
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

# serve_pool NAME [OPTION...]: mounts $tmp/NAME.pool on $tmp/NAME.
serve_pool()
{
	serve "$tmp/$1" "$kvpfs" -f "${@:2}" "$tmp/$1.pool" "$tmp/$1"
}

# make_pool NAME [OPTION...]: writes $tmp/NAME.pool.
make_pool()
{
	"$bench" "${@:2}" --pool "$tmp/$1.pool"
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
		set terminal svg size 900,600 background "white"
		set output "$plot"
		set logscale xy
		set xlabel "keys"
		set ylabel "microseconds per operation"
		set key outside
		plot for [i=0:$sets-1] "$tmp/growth.data" index i using 1:2 \
			with linespoints title columnheader(1)
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

# sum FIELD FILE: of a status file in /proc, the sum of the fields that start so.
sum()
{
	awk -v field="^$1" '$1 ~ field { n += $2 } END { print n + 0 }' "$2"
}

# remember_memory TITLE: resident memory of the daemon that was started last.
remember_memory()
{
	local proc=/proc/${pids[-1]} rss own shared format

	rss=$(sum VmRSS: "$proc/status")
	own=$(sum Private_ "$proc/smaps_rollup")
	shared=$(sum Shared_ "$proc/smaps_rollup")
	memory_lines+=("$(printf '%-36s %8d %8d %8d' "$1" "$rss" "$own" "$shared")")
	format='{"pool": "%s", "rss_kib": %d, "private_kib": %d, "shared_kib": %d}'
	# shellcheck disable=SC2059
	memory_json+=("$(printf "$format" "$1" "$rss" "$own" "$shared")")
}

# The pool of someone who only ever appends.
many_records()
{
	local start

	make_pool few
	serve_pool few
	make_pool many --records 100000
	start=$(date +%s%N)
	serve_pool many
	echo "== 100000 records (mounted after $((($(date +%s%N) - start) / 1000000)) ms)"
	run_bench --json "$tmp/many.json" --threads 1 \
		--ops read,stat,stat-missing,readdir,ls-l,cat-all \
		"records: 1024=$tmp/few" "records: 100000=$tmp/many"
	remember_memory "100000 records of 1024 keys"
	unmount_all
	rm "$tmp/many.pool"
}

memory()
{
	: >"$tmp/empty.pool"
	serve_pool empty
	ls "$tmp/empty"
	remember_memory "empty pool"

	make_pool full --value-size 2048
	serve_pool full -o mode=full
	remember_memory "1024 values of 2048 bytes, mounted"
	find "$tmp/full" -type f -exec cat {} + >/dev/null
	remember_memory "1024 values of 2048 bytes, all read"
	unmount_all

	echo "== memory of kvpfs in KiB"
	printf '%-36s %8s %8s %8s\n' '' resident private shared
	printf '%s\n' "${memory_lines[@]}"
}

# STATFS frames the timed parts in the daemon's debug log (bench --marks): a frame for
# each operation and round, the first round being the warm-up.
requests_of()
{
	awk -v label="\"$1\"" -v n=0 '
		FNR == NR && index($0, "\"label\": " label) {
			match($0, /"op": "[^"]*"/)
			op[n] = substr($0, RSTART + 7, RLENGTH - 8)
			match($0, /"samples": [0-9]*/)
			samples[n++] = substr($0, RSTART + 11, RLENGTH - 11)
		}
		FNR == NR || !match($0, /opcode: [A-Z_0-9]+/) {
			next
		}
		{
			name = substr($0, RSTART + 8, RLENGTH - 8)
		}
		name == "STATFS" {
			frame += inside = !inside
			next
		}
		inside && frame > n {
			row = frame - n - 1
			if (!count[row, name]++)
				names[row] = names[row] " " name
			total[row]++
		}
		END {
			for (row = 0; row < n; row++) {
				printf "%-13s %8.2f =", op[row], total[row] / samples[row]
				m = split(names[row], list, " ")
				for (i = 1; i <= m; i++) {
					share = count[row, list[i]] / samples[row]
					printf " %s %.2f", list[i], share
				}
				print ""
			}
		}' "$tmp/requests.json" "$2"
}

count_requests()
{
	make_pool kvpfs
	serve "$tmp/floor" "$floorfs" -f -d "$tmp/floor"
	serve_pool kvpfs -d
	"$bench" --cpu "$cpu" --rounds 1 --threads 1 --marks --json "$tmp/requests.json" \
		"floor=$tmp/floor" "kvpfs=$tmp/kvpfs" >/dev/null
	unmount_all
	echo "== FUSE requests per operation, floor"
	requests_of floor "$tmp/floor.log"
	echo "== FUSE requests per operation, kvpfs"
	requests_of kvpfs "$tmp/kvpfs.log"
}

write_json()
{
	local IFS=,

	printf '{"compare": %s,\n"growth": %s,\n' "$(cat "$tmp/compare.json")" \
		"$(cat "$tmp/growth.json")"
	if [ -e "$tmp/many.json" ]; then
		printf '"many_records": %s,\n' "$(cat "$tmp/many.json")"
	fi
	printf '"memory": [%s]}\n' "${memory_json[*]}"
}

if [ -n "$requests" ]; then
	count_requests
	exit
fi
echo "Linux $(uname -r), $(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo)"
echo
compare
growth
if [ -z "$quick" ]; then
	many_records
fi
memory
if [ -n "$json" ]; then
	write_json >"$json"
fi
if [ -n "$plot" ]; then
	draw
fi
