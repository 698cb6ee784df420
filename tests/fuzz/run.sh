#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Builds the fuzzers with clang, libFuzzer, ASan and UBSan, and runs all, or those
# that are named, for SECONDS in total:
#
#	run.sh SECONDS [NAME...]
#
# The current directory is a configured one; fuzz/NAME/ collects inputs there, that
# of a failure stays in fuzz/.
set -u
export source flags
source=$(cd "$(dirname "$0")/../.." && pwd)
seconds=$1
shift
[ $# -gt 0 ] || set -- name text records store requests
sanitize=address,undefined
flags="-std=gnu11 -g -O1 -Wall -Wextra -Werror -fno-sanitize-recover=all
	-fsanitize=fuzzer-no-link,$sanitize -include config.h -I. -I$source/src/core
	-I$source/src/mount
	-I$source/tests/lib $(pkg-config --cflags fuse3)"

mkdir -p fuzz
if ! echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
	clang -x c -fsanitize=fuzzer,$sanitize -o fuzz/try - 2>/dev/null; then
	echo "SKIP: fuzzers: no clang with libFuzzer here"
	exit
fi

# shellcheck disable=SC2086,SC2317
compile() {
	clang $flags -c "$1" -o "fuzz/$(basename "$1" .c).o"
}
export -f compile

# All of kvpfs but its main.c.
find "$source/src/core" "$source/src/mount" "$source/tests/fuzz" \
	"$source"/tests/lib/{memory_file,store_memory}.c -name '*.c' ! -name main.c \
	-print0 |
	xargs -0 -P "$(nproc)" -I{} bash -c 'compile {}' || exit 1
rm -f fuzz/libkvpfs.a
# shellcheck disable=SC2046
ar rc fuzz/libkvpfs.a $(printf '%s\n' fuzz/*.o | grep -v /fuzz_)

status=0
run() {
	local name=$1
	# shellcheck disable=SC2046
	clang -fsanitize=fuzzer,$sanitize -o "fuzz/fuzz_$name" \
		"fuzz/fuzz_$name.o" fuzz/libkvpfs.a -lunistring \
		$(pkg-config --libs fuse3) || return
	mkdir -p "fuzz/$name"
	# what the program logs is not of interest
	"fuzz/fuzz_$name" -max_total_time="$2" -max_len=1000 -len_control=10 -timeout=20 \
		-close_fd_mask=3 -print_final_stats=1 -artifact_prefix=fuzz/ \
		"fuzz/$name" "$source/tests/fuzz/corpus/$name" >"fuzz/$name.log" 2>&1
}
for name; do
	if run "$name" $((seconds / $#)); then
		echo "ok - fuzz_$name"
		sed -n 's/^#.*DONE/#/p' "fuzz/$name.log"
	else
		echo "not ok - fuzz_$name"
		tail -n 60 "fuzz/$name.log"
		status=1
	fi
done
exit $status
