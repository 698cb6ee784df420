#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Installs what is missing, builds, and runs every test.
#
#	test.sh [NAME...]	gcc (the default), distcheck, clang, sanitizers,
#				tsan, i386, arm64, valgrind, analysers, fuzz,
#				systemd, packages, fresh; s390x; trixie and
#				bullseye: the tests on those releases of Debian
#	test.sh all		all before s390x but gcc: distcheck runs the
#				same tests, with gcc, from the tarball
#
# Each NAME builds in build/NAME and leaves the tests' logs there. The last lines tell
# what failed, and sum up what ran; the exit status is 0 if nothing failed.
set -u
cd "$(dirname "$0")/.." || exit 1
top=$PWD

passed=0 failed=0 skipped=0 failures=()

count() {
	passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

# What failed is told at once, and again at the end.
fail() {
	echo "$1"
	failures+=("$name: $1")
}

# One step that is a test by itself, such as an analyser.
step() {
	local what=$1
	shift
	if "$@"; then
		echo "ok - $what"
		count 1 0 0
	else
		fail "not ok - $what"
		count 0 1 0
	fi
}

# Says what failed or was skipped, in automake's log on stdin.
tell() {
	local line
	while IFS= read -r line; do
		case $line in
		FAIL:* | ERROR:*) fail "$line" ;;
		SKIP:*) echo "$line" ;;
		esac
	done
}

# Sums up what automake's TAP driver noted of a test; its log has the reasons.
count_tap() {
	local trs=$1
	count "$(grep -c '^:test-result: X\?PASS' "$trs")" \
		"$(grep -cE '^:test-result: (FAIL|ERROR|XFAIL|XPASS)' "$trs")" \
		"$(grep -c '^:test-result: SKIP' "$trs")"
	tell <"${trs%.trs}.log"
}

count_logs() {
	local trs
	for trs in "$1"/tests/*.trs "$1"/tests/*/*.trs "$1"/tests/unit/*/*.trs; do
		[ -e "$trs" ] && count_tap "$trs"
	done
}

# Configures and builds in build/NAME with the other arguments. The path of configure
# has to be relative: it refuses one with a space.
build() {
	local name=$1
	shift
	rm -rf "build/$name"
	mkdir -p "build/$name"
	(cd "build/$name" && ../../configure -q --enable-werror "$@" &&
		make -s -j"$(nproc)") >"build/$name.log" 2>&1 && return
	cat "build/$name.log"
	fail "not ok - build $name"
	count 0 1 0
	return 1
}

check() {
	echo "== $1"
	build "$@" && run_tests "$1"
}

# Runs the tests of build/NAME, with the other arguments for make.
run_tests() {
	local name=$1
	shift
	# many tests wait for something most of the time
	if ! make -s -j4 -C "build/$name" check "$@" >"build/$name-check.log" 2>&1; then
		cat "build/$name-check.log" "build/$name/test-suite.log"
		# a failure that no test accounts for
		if ! grep -q '^# \(FAIL\|ERROR\): *[1-9]' "build/$name-check.log"; then
			fail "not ok - make check"
			count 0 1 0
		fi
	fi
	count_logs "build/$name"
}

run_gcc() { check gcc CC=gcc; }
# The mount tests run with clang's code in the sanitizers' build.
run_clang() {
	echo "== clang"
	# shellcheck disable=SC2016 # make expands it
	build clang CC=clang && run_tests clang TESTS='$(unit_tests)'
}
run_sanitizers() { check sanitizers CC=clang CFLAGS='-g -O1' --enable-sanitizers; }

# Threads are there for fsync alone: what calls it, and what does all at once.
run_tsan() {
	echo "== tsan"
	build tsan CC=gcc CFLAGS='-g -O1 -fsanitize=thread' \
		LDFLAGS=-fsanitize=thread || return
	run_tests tsan check_PROGRAMS= check_LIBRARIES= \
		TESTS="$(echo tests/mount/control{,_records}.py \
			tests/mount/{content,syscalls,together}.py)"
}

# Another architecture, with a cross compiler; QEMU: what runs its programs.
check_foreign() {
	local name=$1 triplet=$2 qemu=$3 root=$top/build/$1-libraries lib loader
	shift 3
	echo "== $name"
	if ! contrib/dependencies.sh "$name" "$root" >"build/$name.log" 2>&1; then
		echo "SKIP: $name: packages cannot be had: $(tail -n 1 "build/$name.log")"
		count 0 0 1
		return
	fi
	lib=$(echo "$root"/usr/lib/*-linux-gnu*)
	loader=$(echo "/usr/$triplet"/lib/ld*.so.[0-9])
	if ! $qemu "$loader" --version >/dev/null 2>&1; then
		echo "SKIP: $name: its programs do not run here"
		count 0 0 1
		return
	fi
	build "$name" --host="$triplet" CPPFLAGS="-I$root/usr/include" \
		LDFLAGS="-L$lib -Wl,--dynamic-linker=$loader,-rpath,${loader%/*}" \
		PKG_CONFIG_LIBDIR="$lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$root" &&
		run_tests "$name" LOG_COMPILER="$qemu" "$@"
}

# shellcheck disable=SC2016 # make expands it
unit_tests='$(unit_tests)'
run_i386() {
	check_foreign i386 i686-linux-gnu '' \
		TESTS="$unit_tests $(echo tests/mount/{content,names,syscalls}.py)"
}
run_arm64() {
	KVP_TEST_SLOW=1 check_foreign arm64 aarch64-linux-gnu qemu-aarch64 \
		TESTS="$unit_tests"
}
run_s390x() {
	KVP_TEST_SLOW=1 check_foreign s390x s390x-linux-gnu qemu-s390x \
		TESTS="$unit_tests"
}

# CUnit itself frees nothing at the end: only leaks that have no owner count.
run_valgrind() {
	echo "== valgrind"
	build valgrind CFLAGS='-g -O1' || return
	step "valgrind: unit tests" \
		env KVP_TEST_SLOW=1 make -s -C build/valgrind check-valgrind
}

# In automake's summary in LOG: how many cases came out so.
came_out() {
	sed -n "s/^# $2: *//p" "$1" | grep -m 1 . || echo 0
}

# If all is well the build is removed with the tests' logs: the summary is left.
run_distcheck() {
	local log=build/distcheck-check.log
	echo "== distcheck"
	build distcheck || return
	step distcheck quiet "$log" make -s -j4 -C build/distcheck distcheck \
		VERBOSE=1 DISTCHECK_CONFIGURE_FLAGS=--enable-werror
	tell < <(sort -u "$log")
	count "$(came_out "$log" PASS)" \
		$(($(came_out "$log" FAIL) + $(came_out "$log" ERROR))) \
		"$(came_out "$log" SKIP)"
}

# Says which lines of the tree end behind column 90, where tabs count 8. A row of a
# table in Markdown is one line, whatever its length.
lines_are_short() {
	! git ls-files ':!tests/fuzz/corpus' | while read -r file; do
		expand "$file" | LC_ALL=C.UTF-8 grep -nE '^.{91}' |
			grep -v '^[0-9]*:|' | sed "s|^|$file:|"
	done | grep .
}

run_analysers() {
	echo "== analysers"
	build analysers CC=clang || return
	step "layers, clang-tidy, cppcheck" make -s -C build/analysers analyse
	step shellcheck bash -c \
		"git ls-files '*.sh' .ci/run contrib/mountpoint contrib/openrc/* \
			contrib/completion/kvp* ':!*.fish' | xargs shellcheck"
	step "lines end at column 90" lines_are_short
	step codespell bash -c "git ls-files | xargs codespell -L crate,nd,nown,savable"
	step clang-format bash -c "git ls-files '*.[ch]' |
		xargs clang-format --dry-run --Werror"
}

# A short look; "make fuzz FUZZ_SECONDS=N" takes a longer one.
run_fuzz() {
	local log=build/fuzz-run.log
	echo "== fuzz"
	rm -rf build/fuzz
	mkdir -p build/fuzz
	(cd build/fuzz && ../../configure -q CC=clang && make -s fuzz) 2>&1 | tee $log
	count "$(grep -c '^ok ' $log)" "$(grep -c '^not ok ' $log)" \
		"$(grep -c '^SKIP: ' $log)"
	grep -qE '^(ok|not ok|SKIP:) ' $log || count 0 1 0
}

# Sums up a script that prints TAP and is run here, not by automake.
tap() {
	local log=$1 failed_here status=0
	shift
	"$@" >"$log" 2>&1 || status=$?
	cat "$log"
	tell < <(sed -n 's/^not ok/FAIL:/p' "$log") >/dev/null
	failed_here=$(grep -c '^not ok' "$log")
	if [ "$failed_here" -eq 0 ] && [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
		fail "not ok - $1: exit status $status"
		failed_here=1
	fi
	count "$(grep '^ok' "$log" | grep -vc '# SKIP')" "$failed_here" \
		"$(grep -c '# SKIP' "$log")"
}

run_systemd() {
	echo "== systemd"
	build systemd || return
	tap build/systemd-check.log tests/systemd.sh build/systemd
}

# Other machines, in root's chroots; the minimal tree of each is downloaded once.
run_fresh() {
	echo "== fresh"
	tap build/fresh-check.log tests/fresh.sh
}
run_trixie() {
	echo "== trixie"
	tap build/trixie-check.log tests/fresh.sh trixie
}
run_bullseye() {
	echo "== bullseye"
	tap build/bullseye-check.log tests/fresh.sh bullseye
}

# Whether the commands are there; says so if not.
have() {
	local command
	for command; do
		command -v "$command" >/dev/null && continue
		echo "skipped: needs $command"
		count 0 0 1
		return 1
	done
}

# Prints what the command says only if it fails.
quiet() {
	local log=$1
	shift
	"$@" >"$log" 2>&1 || {
		cat "$log"
		return 1
	}
}

# Where this is no system of RPMs, their macros and packages are not to be had.
build_rpm() {
	local macros=()
	[ "$(rpm -E '%{?_unitdir}')" ] ||
		macros=(--nodeps -D '_unitdir /usr/lib/systemd/system'
			-D 'systemd_post() :' -D 'systemd_preun() :'
			-D 'systemd_postun_with_restart() :')
	rm -rf build/rpm
	rpmbuild -ta --quiet --nocheck -D "_topdir $top/build/rpm" "${macros[@]}" \
		build/deb/dist/kvpfs-*.tar.xz
}

run_packages() {
	echo "== packages"
	contrib/dependencies.sh packages >build/packages.log 2>&1 ||
		echo "going on with what there is"
	if have dpkg-buildpackage dh lintian; then
		step "Debian package" quiet build/deb.log \
			env DEB_BUILD_OPTIONS=nocheck contrib/build-deb.sh -b
		step lintian lintian --allow-root --fail-on error,warning \
			build/deb/*.changes
		if have rpmbuild; then
			step "RPM package" quiet build/rpm.log build_rpm
		fi
	fi
	if have rpmlint; then
		step rpmlint quiet build/rpmlint.log rpmlint contrib/kvpfs.spec
	fi
	if have apparmor_parser; then
		step "AppArmor profile" quiet build/apparmor.log \
			apparmor_parser -QK contrib/apparmor/usr.bin.kvpfs
	fi
}

if [ -e config.status ]; then
	echo "the source tree itself is configured: 'make distclean' first" >&2
	exit 1
fi
[ $# -gt 0 ] || set -- gcc
needed="all"
[ "$*" != gcc ] || needed="test"
contrib/dependencies.sh "$needed" || exit 1
mkdir -p build || exit
autoreconf -fi >/dev/null 2>&1 || { echo "autoreconf failed"; exit 1; }
[ "$*" != all ] || set -- distcheck clang sanitizers tsan i386 arm64 \
	valgrind analysers fuzz systemd packages fresh
for name; do
	if ! declare -F "run_$name" >/dev/null; then
		echo "test.sh: no such test: $name" >&2
		exit 2
	fi
	begun=$SECONDS
	"run_$name"
	echo "# $name: $((SECONDS - begun)) s"
done
[ ${#failures[@]} -eq 0 ] || printf '%s\n' "failures:" "${failures[@]}"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
