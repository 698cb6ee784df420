# SPDX-License-Identifier: MIT
# CUnit programs, then real mounts (TAP), and what measures. See HACKING.md.
TEST_EXTENSIONS = .sh .py
TAP_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) \
	$(top_srcdir)/build-aux/tap-driver.sh
LOG_DRIVER = $(TAP_DRIVER)
SH_LOG_DRIVER = $(TAP_DRIVER)
PY_LOG_DRIVER = $(TAP_DRIVER)
# A script that can only skip everything says so in its plan and exits with 77.
AM_SH_LOG_DRIVER_FLAGS = --ignore-exit
AM_PY_LOG_DRIVER_FLAGS = --ignore-exit
PY_LOG_COMPILER = $(SHELL) $(top_srcdir)/tests/mount/python.sh
AM_TESTS_ENVIRONMENT = \
	KVPFS='$(abs_builddir)/src/kvpfs'; export KVPFS; \
	abs_top_builddir='$(abs_top_builddir)'; export abs_top_builddir;

mount_tests = \
	tests/mount/access.py \
	tests/mount/attributes.py \
	tests/mount/checker.py \
	tests/mount/backups.sh \
	tests/mount/cloud_init.sh \
	tests/mount/coherence.py \
	tests/mount/content.py \
	tests/mount/control.py \
	tests/mount/control_pool.py \
	tests/mount/control_programs.sh \
	tests/mount/control_records.py \
	tests/mount/copying.sh \
	tests/mount/events.py \
	tests/mount/events_waiting.py \
	tests/mount/faults.py \
	tests/mount/hostile.py \
	tests/mount/injected.py \
	tests/mount/key_locks.py \
	tests/mount/kill.py \
	tests/mount/kvp_daemon.py \
	tests/mount/likewise.sh \
	tests/mount/locks.py \
	tests/mount/log.py \
	tests/mount/names.py \
	tests/mount/options.py \
	tests/mount/order.py \
	tests/mount/own_mount.py \
	tests/mount/poolfile.py \
	tests/mount/pools.py \
	tests/mount/program.sh \
	tests/mount/programs.sh \
	tests/mount/readme.sh \
	tests/mount/retries.py \
	tests/mount/rivals.py \
	tests/mount/security.py \
	tests/mount/syscalls.py \
	tests/mount/together.py \
	tests/mount/versions.py \
	tests/mount/watchers.py \
	tests/mount/watchers_agent.py

# kvp's need no FUSE, but for a case or two.
command_tests = \
	tests/command/beside.py \
	tests/command/commands.py \
	tests/command/documents.py \
	tests/command/faults.py \
	tests/command/locks.py \
	tests/command/provisioning.py \
	tests/command/usage.py \
	tests/command/waiting.py

# Programs that mount tests run.
mount_helpers = tests/mount/rival
tests_mount_rival_SOURCES = \
	tests/mount/rival.c tests/mount/rival.h \
	tests/mount/rival_answers.c
tests_mount_rival_LDADD =

check_PROGRAMS = $(unit_tests) $(mount_helpers)
TESTS = $(unit_tests) tests/manual.sh $(command_tests) $(mount_tests)

if HAVE_CUNIT
check_LIBRARIES = tests/libcheck.a
tests_libcheck_a_SOURCES = \
	tests/lib/check.c tests/lib/check.h \
	tests/lib/fail_alloc.c tests/lib/fail_alloc.h \
	tests/lib/fail_io.c tests/lib/fail_io.h \
	tests/lib/index_model.c tests/lib/index_model.h \
	tests/lib/locker.c tests/lib/locker.h \
	tests/lib/memory_file.c tests/lib/memory_file.h \
	tests/lib/pool_file.c tests/lib/pool_file.h \
	tests/lib/scenes.c tests/lib/scenes.h \
	tests/lib/store_memory.c tests/lib/store_memory.h \
	tests/lib/store_text.c tests/lib/store_text.h \
	tests/lib/wrapped.h \
	tests/lib/writer_story.c tests/lib/writer_story.h
LDADD = tests/libcheck.a src/libkvp.a $(UNISTRING_LIBS) $(CUNIT_LIBS)

wrap_alloc = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
wrap_io = -Wl,--wrap=pread,--wrap=pwrite,--wrap=ftruncate \
	-Wl,--wrap=pread64,--wrap=pwrite64,--wrap=ftruncate64 \
	-Wl,--wrap=fstat,--wrap=statx,--wrap=openat,--wrap=fcntl,--wrap=flock \
	-Wl,--wrap=fstat64,--wrap=__fxstat,--wrap=__fxstat64,--wrap=openat64 \
	-Wl,--wrap=fcntl64,--wrap=inotify_init1
wrap_looks = -Wl,--wrap=inotify_init1,--wrap=inotify_add_watch \
	-Wl,--wrap=fstat,--wrap=__fxstat,--wrap=read,--wrap=clock_gettime \
	-Wl,--wrap=fstat64,--wrap=__fxstat64

unit_tests = \
	tests/unit/core/test_batch \
	tests/unit/core/test_changes \
	tests/unit/core/test_escape \
	tests/unit/core/test_events \
	tests/unit/core/test_index \
	tests/unit/core/test_keys \
	tests/unit/core/test_name \
	tests/unit/core/test_pool \
	tests/unit/core/test_pool_changes \
	tests/unit/core/test_pool_locks \
	tests/unit/core/test_pool_place \
	tests/unit/core/test_pool_names \
	tests/unit/core/test_quote \
	tests/unit/core/test_record \
	tests/unit/core/test_report \
	tests/unit/core/test_result \
	tests/unit/core/test_rules \
	tests/unit/core/test_scan \
	tests/unit/core/test_show \
	tests/unit/core/test_store_crate \
	tests/unit/core/test_store_faults \
	tests/unit/core/test_store_kill \
	tests/unit/core/test_store_names \
	tests/unit/core/test_store_pool \
	tests/unit/core/test_store_random \
	tests/unit/core/test_store_rules \
	tests/unit/core/test_store_seen \
	tests/unit/core/test_store_shared \
	tests/unit/core/test_text \
	tests/unit/core/test_utf8 \
	tests/unit/core/test_value \
	tests/unit/core/test_view \
	tests/unit/core/test_walk \
	tests/unit/core/test_writer \
	tests/unit/core/test_writer_limits \
	tests/unit/mount/test_given \
	tests/unit/mount/test_looks \
	tests/unit/mount/test_refusals \
	tests/unit/mount/test_retry \
	tests/unit/mount/test_told \
	tests/unit/mount/test_versions

# What a test has beside the defaults above: the calls that it lets fail.
tests_unit_core_test_batch_LDFLAGS = $(AM_LDFLAGS) $(wrap_alloc)
tests_unit_core_test_changes_LDFLAGS = $(AM_LDFLAGS) $(wrap_alloc)
tests_unit_core_test_events_LDFLAGS = $(AM_LDFLAGS) $(wrap_alloc)
tests_unit_core_test_index_LDFLAGS = $(AM_LDFLAGS) $(wrap_alloc)
tests_unit_core_test_pool_changes_LDFLAGS = $(AM_LDFLAGS) $(wrap_looks)
tests_unit_core_test_pool_place_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=inotify_init1 \
	-Wl,--wrap=inotify_add_watch
tests_unit_core_test_scan_LDFLAGS = $(AM_LDFLAGS) $(wrap_io)
tests_unit_core_test_store_faults_LDFLAGS = $(AM_LDFLAGS) $(wrap_io) $(wrap_alloc)
tests_unit_core_test_store_kill_LDFLAGS = $(AM_LDFLAGS) $(wrap_io)
tests_unit_core_test_text_LDFLAGS = $(AM_LDFLAGS) $(wrap_alloc)
tests_unit_core_test_value_LDFLAGS = $(AM_LDFLAGS) $(wrap_alloc)
tests_unit_core_test_writer_limits_LDFLAGS = $(AM_LDFLAGS) $(wrap_alloc)
tests_unit_mount_test_retry_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/mount
tests_unit_mount_test_retry_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=nanosleep \
	-Wl,--wrap=clock_gettime
tests_unit_mount_test_retry_LDADD = src/libkvpfs.a $(LDADD)
# Without libfuse's flags: they know no FUSE.
tests_unit_mount_test_given_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/mount
tests_unit_mount_test_given_LDFLAGS = $(AM_LDFLAGS) $(wrap_alloc)
tests_unit_mount_test_given_LDADD = src/libkvpfs.a $(LDADD)
tests_unit_mount_test_looks_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/mount
tests_unit_mount_test_looks_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=kill \
	-Wl,--wrap=clock_gettime
tests_unit_mount_test_looks_LDADD = src/libkvpfs.a $(LDADD)
tests_unit_mount_test_refusals_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/mount
tests_unit_mount_test_refusals_LDFLAGS = $(AM_LDFLAGS) $(wrap_alloc)
tests_unit_mount_test_refusals_LDADD = src/libkvpfs.a $(LDADD)
tests_unit_mount_test_told_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/mount
tests_unit_mount_test_told_LDFLAGS = $(AM_LDFLAGS) $(wrap_alloc)
tests_unit_mount_test_told_LDADD = src/libkvpfs.a $(LDADD)
tests_unit_mount_test_versions_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/mount
tests_unit_mount_test_versions_LDFLAGS = $(AM_LDFLAGS) $(wrap_alloc) -Wl,--wrap=kill \
	-Wl,--wrap=clock_gettime
tests_unit_mount_test_versions_LDADD = src/libkvpfs.a $(LDADD)
endif

# Loaded into hv_kvp_daemon by tests/mount/kvp_host.py, and into kvpfs by
# tests/mount/retries.py; no hardening, no sanitizers.
check_DATA = tests/mount/kvp_shim.so tests/mount/lock_shim.so
build_shim = $(MKDIR_P) tests/mount && $(CC) $(warn_cflags) $(CPPFLAGS) $(CFLAGS) \
	-fPIC -shared $(LDFLAGS) -o $@ $(top_srcdir)/$(@:.so=.c) -ldl
tests/mount/kvp_shim.so: $(top_srcdir)/tests/mount/kvp_shim.c
	$(AM_V_CCLD)$(build_shim)
tests/mount/lock_shim.so: $(top_srcdir)/tests/mount/lock_shim.c
	$(AM_V_CCLD)$(build_shim)

# tsearch(3) and CUnit keep some memory until the end; what nobody refers to any
# more is a leak. A program may go on after an error of the bus, with its registers.
check-valgrind: $(unit_tests)
	@printf '%s\n' $(unit_tests) | xargs -P 4 -I {} sh -c 'echo "valgrind {}"; \
		$(VALGRIND) --quiet --error-exitcode=1 --leak-check=full \
			--px-default=allregs-at-mem-access \
			--show-leak-kinds=definite --errors-for-leak-kinds=definite \
			./{} >{}.valgrind.log'
VALGRIND = valgrind

# Which lines of src/ "make check" runs, by gcovr. Programs that run as other users
# must be able to add theirs.
coverage:
	rm -rf coverage && $(MKDIR_P) coverage
	source=`cd $(srcdir) && pwd` && cd coverage && \
		$$source/configure -q CC=gcc CFLAGS='-g -O0 --coverage' && \
		$(MAKE) -s && touch $(coverage_data) && chmod 666 $(coverage_data) && \
		{ $(MAKE) -s -j4 check >check.log 2>&1 || grep '^FAIL:' check.log; } && \
		gcovr --root $$source --object-directory . src
coverage_data = `find src -name '*.gcno' | sed 's/gcno$$/gcda/'`

# How fast it is, beside a file system that does nothing; see tests/bench/run.sh.
EXTRA_PROGRAMS = tests/bench/bench tests/bench/floorfs
tests_bench_bench_SOURCES = \
	tests/bench/bench.c tests/bench/bench.h \
	tests/bench/keys.h \
	tests/bench/measure.c \
	tests/bench/ops.c \
	tests/bench/prepare.c \
	tests/bench/report.c \
	tests/bench/start.c \
	tests/bench/told.c \
	tests/bench/totals.c
tests_bench_bench_LDADD = -lpthread
tests_bench_floorfs_SOURCES = tests/bench/floorfs.c tests/bench/keys.h
tests_bench_floorfs_CPPFLAGS = $(AM_CPPFLAGS) $(FUSE_CFLAGS)
tests_bench_floorfs_LDADD = $(FUSE_LIBS)
bench: src/kvpfs $(EXTRA_PROGRAMS)
	KVPFS=src/kvpfs BENCH_DIR=tests/bench $(top_srcdir)/tests/bench/run.sh \
		$(BENCH_FLAGS)

# The tests that gain by repetition, SOAK times as long, with their figures.
SOAK = 100
soak_tests = \
	tests/command/beside.py \
	tests/command/locks.py \
	tests/command/waiting.py \
	tests/mount/checker.py \
	tests/mount/hostile.py \
	tests/mount/key_locks.py \
	tests/mount/kill.py \
	tests/mount/kvp_daemon.py \
	tests/mount/locks.py \
	tests/mount/rivals.py \
	tests/mount/together.py \
	tests/mount/versions.py \
	tests/mount/watchers.py \
	tests/mount/watchers_agent.py
soak: src/kvp src/kvpfs $(mount_helpers) $(check_DATA)
	@status=0; for test in $(soak_tests); do \
		echo "== $$test"; \
		KVPFS='$(abs_builddir)/src/kvpfs' KVPFS_SOAK=$(SOAK) \
			KVPFS_TEST_LIMIT=36000 \
			abs_top_builddir='$(abs_top_builddir)' \
			$(top_srcdir)/$$test || status=1; \
	done; exit $$status

# The fuzzers, for so many seconds in total; clang builds them in fuzz/.
FUZZ_SECONDS = 20
fuzz:
	$(top_srcdir)/tests/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZERS)
clean-local:
	rm -rf fuzz

.PHONY: bench check-valgrind coverage fuzz soak

CLEANFILES += $(EXTRA_PROGRAMS) $(check_DATA) tests/unit/*/*.valgrind.log
EXTRA_DIST += \
	$(mount_tests) $(command_tests) \
	tests/bench/run.sh \
	tests/command/complete.zsh tests/command/kvp.py \
	tests/fuzz/fuzz.c tests/fuzz/fuzz.h \
	tests/fuzz/fuzz_name.c tests/fuzz/fuzz_records.c \
	tests/fuzz/fuzz_requests.c tests/fuzz/fuzz_store.c \
	tests/fuzz/fuzz_text.c \
	tests/fuzz/kernel.c tests/fuzz/kernel.h \
	tests/fuzz/run.sh tests/fuzz/corpus \
	tests/layers.sh \
	tests/manual.sh \
	tests/mount/.shellcheckrc \
	tests/mount/harness.py \
	tests/mount/idle.py \
	tests/mount/kvp_host.py tests/mount/kvp_shim.c tests/mount/lock_shim.c \
	tests/mount/lib.sh \
	tests/mount/model.py \
	tests/mount/pool.py \
	tests/mount/python.sh \
	tests/mount/stream.py \
	tests/mount/watching.py \
	tests/blocks.sh tests/fresh.sh \
	tests/systemd.sh
