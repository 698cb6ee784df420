/* SPDX-License-Identifier: MIT */
/*
 * pool.h: that whatever others do to the file is seen, that what is not done is
 * not seen, and that a look leaves no trace. The clock of this program's stat
 * stands still on demand, as on a kernel with coarse timestamps that is asked
 * twice within a tick, so that sizes and times alone are not enough.
 *
 * To be linked with -Wl,--wrap=inotify_init1,--wrap=inotify_add_watch,
 * -Wl,--wrap=fstat, -Wl,--wrap=read and -Wl,--wrap=clock_gettime.
 */
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "check.h"
#include "locker.h"
#include "pool_file.h"
#include "result.h"
#include "store_text.h"
#include "wrapped.h"

#define REWRITES 2000

static bool clock_stands_still;
static bool no_inotify;
static bool no_watches;
static bool queue_overflows;
static bool no_events;
static bool no_links;
static time_t time_passed;

int __real_inotify_init1(int flags);
int __real_inotify_add_watch(int fd, const char *path, uint32_t mask);
ssize_t __real_read(int fd, void *buf, size_t size);
int REAL(fstat)(int fd, struct stat *st);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_inotify_init1(int flags);
int __wrap_inotify_add_watch(int fd, const char *path, uint32_t mask);
ssize_t __wrap_read(int fd, void *buf, size_t size);
int REAL(__fxstat)(int version, int fd, struct stat *st);
int WRAPPED(__fxstat)(int version, int fd, struct stat *st);
int WRAPPED(fstat)(int fd, struct stat *st);

int __wrap_inotify_init1(int flags)
{
	if (!no_inotify)
		return __real_inotify_init1(flags);
	errno = EMFILE;
	return -1;
}

int __wrap_inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	if (!no_watches)
		return __real_inotify_add_watch(fd, path, mask);
	errno = ENOSPC;
	return -1;
}

/* As the kernel tells of a queue that was full: nothing else is left of it. */
ssize_t __wrap_read(int fd, void *buf, size_t size)
{
	const struct inotify_event overflow = { .wd = -1,
						.mask = IN_Q_OVERFLOW };
	ssize_t r = __real_read(fd, buf, size);

	if (no_events && r > 0) {
		errno = EAGAIN;
		return -1;
	}
	if (!queue_overflows || r <= 0)
		return r;
	memcpy(buf, &overflow, sizeof(overflow));
	return sizeof(overflow);
}

/* How long this program has to wait for its turn is nothing that a test depends on. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	(void)clock;
	*ret_time = (struct timespec){ .tv_sec = 1 + time_passed };
	return 0;
}

static int stop_clock(int result, struct stat *st)
{
	if (result == 0 && no_links)
		st->st_nlink = 0;
	if (result == 0 && clock_stands_still) {
		st->st_mtim = (struct timespec){ 1, 0 };
		st->st_ctim = (struct timespec){ 1, 0 };
	}
	return result;
}

int WRAPPED(fstat)(int fd, struct stat *st)
{
	return stop_clock(REAL(fstat)(fd, st), st);
}

/* What glibc before 2.33 has in place of fstat. */
int WRAPPED(__fxstat)(int version, int fd, struct stat *st)
{
	return stop_clock(REAL(__fxstat)(version, fd, st), st);
}

/* Every test: one pool of three records, and somebody else who works on it. */
static const char *path;
static struct kvp_pool pool;
static struct locker other;

/* Each kind of lock of ours. */
static const enum kvp_lock locks[] = {
	KVP_LOCK_SHARED,
	KVP_LOCK_EXCLUSIVE,
	KVP_LOCK_CREATE,
};

/* A pool that is in a directory of its own, and another name for that. */
static const char *directory;
static const char *away;

static void store_three_records(void)
{
	store_text_make_file(path, "one=1 two=2 three=3");
}

static int lock(enum kvp_lock kind, bool *ret_changed)
{
	*ret_changed = false;
	return kvp_pool_lock(&pool, kind, ret_changed);
}

/* Does what a reader does, but for the reading. */
static void settle(void)
{
	bool changed;

	CU_ASSERT_EQUAL_FATAL(lock(KVP_LOCK_SHARED, &changed), 0);
	kvp_pool_settle(&pool, false, 0);
	kvp_pool_unlock(&pool);
}

/* Takes the lock and gives it back; the pool is then known to have CHANGED or not. */
static void check_lock(enum kvp_lock kind, bool changed)
{
	bool is_changed;

	CU_ASSERT_EQUAL(lock(kind, &is_changed), 0);
	CU_ASSERT_EQUAL(is_changed, changed);
	kvp_pool_unlock(&pool);
}

static void begin(void)
{
	path = pool_file_new("pool", NULL);
	store_three_records();
	locker_start(&other, path);
	CU_ASSERT_EQUAL_FATAL(kvp_pool_open(&pool, path, 0), 0);
	settle();
}

static void end(void)
{
	clock_stands_still = false;
	kvp_pool_close(&pool);
	locker_stop(&other);
}

static void file_that_was_not_read_yet_is_changed(void)
{
	path = pool_file_new("pool", NULL);
	store_three_records();
	CU_ASSERT_EQUAL_FATAL(kvp_pool_open(&pool, path, 0), 0);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	check_lock(KVP_LOCK_SHARED, true);
	kvp_pool_close(&pool);
}

static void untouched_file_is_not_changed(void)
{
	char buf[100];
	bool changed;
	size_t size;

	begin();
	for (size_t i = 0; i < COUNT(locks); i++) {
		CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
		CU_ASSERT_EQUAL(lock(locks[i], &changed), 0);
		CU_ASSERT_FALSE(changed);
		CU_ASSERT_EQUAL(
			kvp_pool_read(&pool, 0, buf, sizeof(buf), &size), 0);
		kvp_pool_unlock(&pool);
	}
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
	end();
}

/* Locking for reading, and other readers, are no changes. */
static void readers_change_nothing(void)
{
	struct kvp_pool reader;
	bool changed;

	begin();
	CU_ASSERT_EQUAL_FATAL(kvp_pool_open(&reader, path, KVP_POOL_READ_ONLY),
			      0);
	CU_ASSERT_EQUAL(kvp_pool_lock(&reader, KVP_LOCK_SHARED, &changed), 0);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
	kvp_pool_unlock(&reader);
	kvp_pool_close(&reader);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
	CU_ASSERT_TRUE(locker_take(&other, LOCKER_POSIX_WRITE));
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
	end();
}

static void each_kind_of_change_is_seen(void)
{
	for (int what = 0; what < LOCKER_CHANGES; what++) {
		begin();
		locker_change(&other, (enum locker_change)what);
		CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
		CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
		settle();
		CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
		end();

		begin();
		locker_change(&other, (enum locker_change)what);
		check_lock(KVP_LOCK_SHARED, true);
		end();
	}
}

static void change_is_reported_until_it_is_settled(void)
{
	bool changed;

	for (int what = 0; what < LOCKER_CHANGES; what++) {
		begin();
		locker_change(&other, (enum locker_change)what);
		CU_ASSERT_EQUAL(lock(KVP_LOCK_SHARED, &changed), 0);
		kvp_pool_unlock(&pool);
		CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
		check_lock(KVP_LOCK_SHARED, true);
		end();
	}
}

static void every_rewrite_within_one_clock_tick_is_seen(void)
{
	unsigned int missed = 0;

	clock_stands_still = true;
	begin();
	for (int i = 0; i < REWRITES; i++) {
		locker_change(&other, LOCKER_REWRITE);
		missed += kvp_pool_changed(&pool) != 1;
		settle();
		missed += kvp_pool_changed(&pool) != 0;
	}
	CU_ASSERT_EQUAL(missed, 0);
	end();
}

static void rewrite_while_the_file_is_read_is_seen_next_time(void)
{
	bool changed;

	clock_stands_still = true;
	begin();
	CU_ASSERT_EQUAL_FATAL(lock(KVP_LOCK_SHARED, &changed), 0);
	locker_change(&other, LOCKER_REWRITE);
	kvp_pool_settle(&pool, false, 0);
	kvp_pool_unlock(&pool);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	end();
}

static void own_change_of_the_expected_size_is_settled(void)
{
	static const struct {
		off_t write_at; /* -1: no write */
		off_t truncate; /* -1: no truncation */
		off_t expected;
		int changed;
	} cases[] = {
		{ 2560, -1, 3 * 2560, 0 },
		{ 3 * 2560, -1, 3 * 2560 + 4, 0 },
		{ -1, 2560, 2560, 0 },
		{ 0, 0, 0, 0 },
		{ 3 * 2560, -1, 3 * 2560, 1 },
		{ -1, 2560, 2 * 2560, 1 },
	};
	bool changed;

	for (size_t i = 0; i < COUNT(cases); i++) {
		begin();
		CU_ASSERT_EQUAL(lock(KVP_LOCK_EXCLUSIVE, &changed), 0);
		if (cases[i].write_at >= 0)
			CU_ASSERT_EQUAL(kvp_pool_write(&pool, cases[i].write_at,
						       "text", 4),
					0);
		if (cases[i].truncate >= 0)
			CU_ASSERT_EQUAL(
				kvp_pool_truncate(&pool, cases[i].truncate), 0);
		kvp_pool_settle(&pool, true, cases[i].expected);
		kvp_pool_unlock(&pool);
		CU_ASSERT_EQUAL(kvp_pool_changed(&pool), cases[i].changed);
		end();
	}
}

static void unsettled_file_is_changed(void)
{
	begin();
	kvp_pool_unsettle(&pool);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	settle();
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
	end();
}

static void write_under_our_lock(void)
{
	CU_ASSERT_EQUAL(kvp_pool_write(&pool, 2560, "text", 4), 0);
	kvp_pool_settle(&pool, true, 3 * 2560);
	kvp_pool_unlock(&pool);
}

/*
 * Somebody who does not lock writes between our lock and our own write: inotify
 * merges the two writes. The close that comes later tells.
 */
static void unlocked_write_during_ours_is_seen_after_its_close(void)
{
	bool changed;

	clock_stands_still = true;
	begin();
	CU_ASSERT_EQUAL(lock(KVP_LOCK_EXCLUSIVE, &changed), 0);
	locker_rewrite_keeping_open(&other);
	write_under_our_lock();
	locker_close(&other);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	settle();
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
	end();
}

static void unlocked_write_closed_during_ours_is_seen(void)
{
	bool changed;

	clock_stands_still = true;
	begin();
	CU_ASSERT_EQUAL(lock(KVP_LOCK_EXCLUSIVE, &changed), 0);
	locker_change(&other, LOCKER_REWRITE);
	write_under_our_lock();
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	end();
}

static void close_after_a_write_is_seen_too(void)
{
	clock_stands_still = true;
	begin();
	locker_rewrite_keeping_open(&other);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	settle();
	locker_close(&other);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	settle();
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
	end();
}

static void deleted_file_is_gone_until_it_is_there_again(void)
{
	bool changed;

	begin();
	locker_change(&other, LOCKER_DELETE);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	CU_ASSERT_EQUAL(lock(KVP_LOCK_SHARED, &changed), 0);
	CU_ASSERT_TRUE(changed);
	CU_ASSERT_FALSE(kvp_pool_exists(&pool));
	kvp_pool_settle(&pool, false, 0);
	kvp_pool_unlock(&pool);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
	locker_change(&other, LOCKER_APPEND);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	CU_ASSERT_EQUAL(lock(KVP_LOCK_EXCLUSIVE, &changed), 0);
	CU_ASSERT_TRUE(changed);
	CU_ASSERT_TRUE(kvp_pool_exists(&pool));
	CU_ASSERT_EQUAL(pool.st.st_size, 2560);
	kvp_pool_unlock(&pool);
	end();
}

/*
 * unlink(2) tells watches on the file of it, and then takes the name away. Whoever looks
 * in between still finds the file; no other event comes. chmod(2) stands for its first
 * half here.
 */
static void look_while_the_file_is_being_deleted(bool other_link, time_t before)
{
	const char *link_path = pool_file_path("link");

	begin();
	if (other_link)
		CU_ASSERT_EQUAL_FATAL(link(path, link_path), 0);
	CU_ASSERT_EQUAL_FATAL(chmod(path, 0600), 0);
	no_links = !other_link;
	settle();
	time_passed += before;
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
	no_links = false;
	no_events = true;
	CU_ASSERT_EQUAL_FATAL(unlink(path), 0);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	CU_ASSERT_FALSE(kvp_pool_exists(&pool));
	no_events = false;
	unlink(link_path);
	end();
}

static void file_that_is_being_deleted_is_not_trusted(void)
{
	look_while_the_file_is_being_deleted(false, 0);
	look_while_the_file_is_being_deleted(true, 0);
	/* this may take longer than others live */
	look_while_the_file_is_being_deleted(false, 10);
}

static void file_deleted_and_made_anew_between_two_looks_is_changed(void)
{
	clock_stands_still = true;
	begin();
	locker_change(&other, LOCKER_DELETE);
	store_three_records();
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	check_lock(KVP_LOCK_SHARED, true);
	end();
}

/* What is written goes where the path points, and nowhere else. */
static void replaced_file_is_left_alone_and_the_new_one_is_used(void)
{
	struct pool_file before = { .exists = false };
	const char *old = pool_file_new("old", NULL);
	bool changed;

	begin();
	pool_file_load(&before, path);
	CU_ASSERT_EQUAL(link(path, old), 0);
	locker_change(&other, LOCKER_REPLACE);
	CU_ASSERT_EQUAL(lock(KVP_LOCK_CREATE, &changed), 0);
	CU_ASSERT_TRUE(changed);
	CU_ASSERT_EQUAL(pool.st.st_size, 2560);
	CU_ASSERT_EQUAL(kvp_pool_truncate(&pool, 0), 0);
	kvp_pool_settle(&pool, true, 0);
	kvp_pool_unlock(&pool);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
	CU_ASSERT_TRUE(pool_file_is(&before, old));
	CU_ASSERT_TRUE(
		pool_file_is(&(struct pool_file){ .exists = true }, path));
	pool_file_release(&before);
	end();
}

static void lock_on_a_file_that_was_replaced_does_not_hinder(void)
{
	struct locker witness;
	bool changed;

	begin();
	CU_ASSERT_TRUE(locker_take(&other, LOCKER_POSIX_WRITE));
	CU_ASSERT_EQUAL(lock(KVP_LOCK_SHARED, &changed), KVP_LOCKED);
	locker_change(&other, LOCKER_REPLACE);
	CU_ASSERT_EQUAL(lock(KVP_LOCK_EXCLUSIVE, &changed), 0);
	CU_ASSERT_TRUE(changed);
	locker_start(&witness, path);
	CU_ASSERT_FALSE(locker_can_take(&witness, LOCKER_FLOCK_SHARED));
	CU_ASSERT_FALSE(locker_can_take(&witness, LOCKER_POSIX_READ));
	kvp_pool_unlock(&pool);
	locker_stop(&witness);
	end();
}

static void change_of_a_replaced_file_is_none_of_ours(void)
{
	struct locker stranger;
	const char *old = pool_file_new("old", NULL);

	begin();
	CU_ASSERT_EQUAL(link(path, old), 0);
	locker_change(&other, LOCKER_REPLACE);
	settle();
	locker_start(&stranger, old);
	locker_change(&stranger, LOCKER_REWRITE);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
	locker_stop(&stranger);
	end();
}

static void begin_in_directory(void)
{
	directory = pool_file_path("directory");
	away = pool_file_path("away");
	path = pool_file_path("directory/pool");
	CU_ASSERT_EQUAL_FATAL(mkdir(directory, 0700), 0);
	store_three_records();
	CU_ASSERT_EQUAL_FATAL(kvp_pool_open(&pool, path, 0), 0);
	settle();
}

static void delete_directory(void)
{
	CU_ASSERT_EQUAL(unlink(path), 0);
	CU_ASSERT_EQUAL(rmdir(directory), 0);
}

static void end_in_directory(void)
{
	kvp_pool_close(&pool);
	delete_directory();
}

static void directory_deleted_and_made_again_is_found(void)
{
	bool changed;

	begin_in_directory();
	delete_directory();
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	settle();
	CU_ASSERT_FALSE(kvp_pool_exists(&pool));
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
	CU_ASSERT_EQUAL(lock(KVP_LOCK_CREATE, &changed), -ENOENT);

	CU_ASSERT_EQUAL(mkdir(directory, 0700), 0);
	CU_ASSERT_EQUAL(lock(KVP_LOCK_CREATE, &changed), 0);
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	kvp_pool_unlock(&pool);
	settle();

	delete_directory();
	CU_ASSERT_EQUAL(mkdir(directory, 0700), 0);
	store_three_records();
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	CU_ASSERT_EQUAL(lock(KVP_LOCK_SHARED, &changed), 0);
	CU_ASSERT_EQUAL(pool.st.st_size, 3 * 2560);
	kvp_pool_unlock(&pool);
	end_in_directory();
}

/* As when an administrator puts another directory in the place of the first. */
static void directory_moved_away_is_not_followed(void)
{
	bool changed;

	begin_in_directory();
	CU_ASSERT_EQUAL(rename(directory, away), 0);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	settle();
	CU_ASSERT_FALSE(kvp_pool_exists(&pool));

	CU_ASSERT_EQUAL(mkdir(directory, 0700), 0);
	CU_ASSERT_EQUAL(lock(KVP_LOCK_CREATE, &changed), 0);
	CU_ASSERT_EQUAL(pool.st.st_size, 0);
	kvp_pool_unlock(&pool);
	settle();

	delete_directory();
	CU_ASSERT_EQUAL(rename(away, directory), 0);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	CU_ASSERT_EQUAL(lock(KVP_LOCK_SHARED, &changed), 0);
	CU_ASSERT_TRUE(changed);
	CU_ASSERT_EQUAL(pool.st.st_size, 3 * 2560);
	kvp_pool_unlock(&pool);
	end_in_directory();
}

/* The kernel keeps a number of events; it drops the others and says so. */
static void directory_moved_away_unheard_is_not_followed(void)
{
	begin_in_directory();
	CU_ASSERT_EQUAL(rename(directory, away), 0);
	queue_overflows = true;
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	queue_overflows = false;
	settle();
	CU_ASSERT_FALSE(kvp_pool_exists(&pool));
	CU_ASSERT_EQUAL(rename(away, directory), 0);
	end_in_directory();
}

static int make_fifo(void)
{
	return mkfifo(path, 0600);
}

static int make_directory(void)
{
	return mkdir(path, 0700);
}

static int make_link_to_a_device(void)
{
	return symlink("/dev/null", path);
}

/* It neither hangs nor is it taken for a pool; and a pool is a pool again. */
static void file_that_becomes_something_else_is_refused(void)
{
	static const struct {
		int (*make)(void);
		int result;
	} cases[] = {
		{ make_fifo, -EINVAL },
		{ make_directory, -EISDIR },
		{ make_link_to_a_device, -EINVAL },
	};
	bool changed;

	for (size_t i = 0; i < COUNT(cases); i++) {
		int r = cases[i].result;

		begin();
		locker_change(&other, LOCKER_DELETE);
		CU_ASSERT_EQUAL(cases[i].make(), 0);
		CU_ASSERT_NOT_EQUAL(kvp_pool_changed(&pool), 0);
		CU_ASSERT_EQUAL(lock(KVP_LOCK_SHARED, &changed), r);
		CU_ASSERT_EQUAL(lock(KVP_LOCK_CREATE, &changed), r);
		CU_ASSERT_NOT_EQUAL(kvp_pool_changed(&pool), 0);
		CU_ASSERT_EQUAL(remove(path), 0);
		store_three_records();
		CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
		check_lock(KVP_LOCK_EXCLUSIVE, true);
		end();
	}
}

static void looking_changes_no_times(void)
{
	const struct timespec times[2] = { { 1000, 1 }, { 2000, 2 } };
	struct stat before;
	struct stat after;
	char buf[100];
	bool changed;
	size_t size;

	path = pool_file_new("pool", NULL);
	store_three_records();
	CU_ASSERT_EQUAL(utimensat(AT_FDCWD, path, times, 0), 0);
	CU_ASSERT_EQUAL(stat(path, &before), 0);
	CU_ASSERT_EQUAL_FATAL(kvp_pool_open(&pool, path, 0), 0);
	for (size_t i = 0; i < COUNT(locks); i++) {
		CU_ASSERT_EQUAL(lock(locks[i], &changed), 0);
		CU_ASSERT_EQUAL(
			kvp_pool_read(&pool, 0, buf, sizeof(buf), &size), 0);
		kvp_pool_settle(&pool, false, 0);
		kvp_pool_unlock(&pool);
		CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
	}
	kvp_pool_close(&pool);
	CU_ASSERT_EQUAL(stat(path, &after), 0);
	CU_ASSERT_EQUAL(memcmp(&before.st_mtim, &after.st_mtim,
			       sizeof(before.st_mtim)),
			0);
	CU_ASSERT_EQUAL(memcmp(&before.st_ctim, &after.st_ctim,
			       sizeof(before.st_ctim)),
			0);
}

/* Certainty needs inotify; without it nothing is ever certain. */
static void unwatched_file_is_always_changed_and_needs_no_inotify(void)
{
	path = pool_file_new("pool", NULL);
	store_three_records();
	CU_ASSERT_EQUAL_FATAL(kvp_pool_open(&pool, path, KVP_POOL_UNWATCHED),
			      0);
	settle();
	check_lock(KVP_LOCK_SHARED, true);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	CU_ASSERT_EQUAL(kvp_pool_watch(&pool, true), -1);
	kvp_pool_close(&pool);
}

static void without_inotify_an_existing_file_is_always_changed(void)
{
	bool changed;

	for (int i = 0; i < 2; i++) {
		no_inotify = i == 0;
		no_watches = i == 1;
		begin();
		CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
		settle();
		CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
		CU_ASSERT_EQUAL(lock(KVP_LOCK_EXCLUSIVE, &changed), 0);
		CU_ASSERT_TRUE(changed);
		kvp_pool_settle(&pool, true, 3 * 2560);
		kvp_pool_unlock(&pool);
		CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
		locker_change(&other, LOCKER_DELETE);
		CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
		settle();
		locker_change(&other, LOCKER_APPEND);
		CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
		end();
	}
	no_watches = false;
}

static const struct check_case cases[] = {
	CHECK_CASE(file_that_was_not_read_yet_is_changed),
	CHECK_CASE(untouched_file_is_not_changed),
	CHECK_CASE(readers_change_nothing),
	CHECK_CASE(each_kind_of_change_is_seen),
	CHECK_CASE(change_is_reported_until_it_is_settled),
	CHECK_CASE(every_rewrite_within_one_clock_tick_is_seen),
	CHECK_CASE(rewrite_while_the_file_is_read_is_seen_next_time),
	CHECK_CASE(own_change_of_the_expected_size_is_settled),
	CHECK_CASE(unsettled_file_is_changed),
	CHECK_CASE(unlocked_write_during_ours_is_seen_after_its_close),
	CHECK_CASE(unlocked_write_closed_during_ours_is_seen),
	CHECK_CASE(close_after_a_write_is_seen_too),
	CHECK_CASE(deleted_file_is_gone_until_it_is_there_again),
	CHECK_CASE(file_that_is_being_deleted_is_not_trusted),
	CHECK_CASE(file_deleted_and_made_anew_between_two_looks_is_changed),
	CHECK_CASE(replaced_file_is_left_alone_and_the_new_one_is_used),
	CHECK_CASE(lock_on_a_file_that_was_replaced_does_not_hinder),
	CHECK_CASE(change_of_a_replaced_file_is_none_of_ours),
	CHECK_CASE(directory_deleted_and_made_again_is_found),
	CHECK_CASE(directory_moved_away_is_not_followed),
	CHECK_CASE(directory_moved_away_unheard_is_not_followed),
	CHECK_CASE(file_that_becomes_something_else_is_refused),
	CHECK_CASE(looking_changes_no_times),
	CHECK_CASE(unwatched_file_is_always_changed_and_needs_no_inotify),
	CHECK_CASE(without_inotify_an_existing_file_is_always_changed),
};

CHECK_MAIN("pool_changes", cases)
