/* SPDX-License-Identifier: MIT */
/*
 * The store on a pool file when system calls or allocations fail: for each change
 * and each of its calls, the n-th one fails. The change must say so, no key may
 * have anything but its old or its new value, the file may not be torn, and the
 * store must know what is in the file, also afterwards.
 *
 * To be linked as fail_io.h and fail_alloc.h say.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "fail_alloc.h"
#include "fail_io.h"
#include "pool_file.h"
#include "scenes.h"
#include "store_pool.h"
#include "store_text.h"

#define MOST_CALLS 1000 /* that may fail in an opening */
#define TAIL 700
/* The keys of a store and their ids. */
struct ids {
	char keys[128][8];
	uint64_t ids[128];
	size_t count;
};

static int add_id(void *arg, const struct kvp_item *item)
{
	struct ids *ids = arg;

	snprintf(ids->keys[ids->count], sizeof(ids->keys[0]), "%.*s",
		 (int)item->key.len, item->key.data);
	ids->ids[ids->count++] = item->id;
	return 0;
}

static struct ids ids_of(struct kvp_store *store)
{
	struct ids ids = { .count = 0 };

	if (kvp_store_entries(store, add_id, &ids))
		abort();
	return ids;
}

/* "A number that is its alone." */
static bool ids_are_unique(const struct ids *ids)
{
	for (size_t i = 0; i < ids->count; i++)
		for (size_t j = 0; j < i; j++)
			if (ids->ids[i] == ids->ids[j])
				return false;
	return true;
}

static bool ids_are_equal(const struct ids *a, const struct ids *b)
{
	size_t equal = 0;

	for (size_t i = 0; i < a->count; i++)
		for (size_t j = 0; j < b->count; j++)
			equal += strcmp(a->keys[i], b->keys[j]) == 0 &&
				 a->ids[i] == b->ids[j];
	return a->count == b->count && equal == a->count;
}

/* Of the store of the run that is under way, before anything went wrong. */
static struct ids ids_before;
static uint64_t foreign_before;

static uint64_t foreign_changes(struct kvp_store *store)
{
	struct kvp_status status;

	kvp_store_status(store, &status);
	return status.foreign;
}

static void open_store(struct scene_run *run)
{
	run->store = store_text_open(run->path, KVP_MODE_FULL);
	ids_before = ids_of(run->store);
	foreign_before = foreign_changes(run->store);
}

static bool file_is_unlocked(const char *path)
{
	struct flock whole = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool unlocked = flock(fd, LOCK_EX | LOCK_NB) == 0 &&
			fcntl(fd, F_OFD_SETLK, &whole) == 0;

	close(fd);
	return unlocked;
}

/* What holds after each accident, and after none. */
static void check_aftermath(struct scene_run *run, int result)
{
	struct ids ids;

	pool_file_load(&run->now, run->path);
	CHECK_ROW(run->row,
		  scene_is_fair(&run->before, &run->after, &run->now, false));
	CHECK_ROW(run->row,
		  run->now.tail_size == 0 ||
			  run->now.tail_size == run->before.tail_size);
	if (result == 0)
		CHECK_ROW(run->row, scene_same_keys(&run->after, &run->now));
	else if (run->scene->atomic)
		CHECK_ROW(run->row, scene_same_keys(&run->before, &run->now));
	CHECK_ROW(run->row, file_is_unlocked(run->path));
	CHECK_ROW(run->row, scene_is_read(run->store, &run->now));
	ids = ids_of(run->store);
	CHECK_ROW(run->row, ids_are_unique(&ids));
	if (scene_same_keys(&run->before, &run->now))
		CHECK_ROW(run->row, ids_are_equal(&ids_before, &ids));
	else if (result) /* or nobody would tell watchers */
		CHECK_ROW(run->row,
			  foreign_changes(run->store) != foreign_before);
	CHECK_ROW(run->row, store_text_write(run->store, "probe", "1") == 0);
	CHECK_ROW(run->row, store_text_reads(run->store, "probe", "1"));
	pool_file_load(&run->now, run->path);
	CHECK_ROW(run->row, run->now.tail_size == 0);
	kvp_store_free(run->store);
}

/* The result is -ERRNUM or 0. */
static bool fail_call(struct scene_run *run)
{
	bool hit;
	int r;

	open_store(run);
	fail_io_arm(&run->plan);
	r = run->scene->perform(run->store);
	hit = fail_io_disarm() == FAIL_HIT;
	/* no failure: a tail that is not cut off, the end of the file */
	CHECK_ROW(run->row, r == 0 ? !hit || run->before.tail_size > 0 ||
					     run->plan.how == FAIL_EOF
				   : hit && r == -run->plan.errnum);
	check_aftermath(run, r);
	return hit;
}

/* Each call that the plan counts is hit once. */
static void fail_each_call(const struct scene *scene,
			   const struct fail_plan *plan, size_t tail)
{
	struct scene_run run;
	unsigned int hits;

	scene_begin(&run, scene, 0, tail);
	hits = scene_each_call(&run, plan, fail_call);
	if (plan->calls == FAIL_ALL_CALLS)
		CHECK_ROW(scene->name, hits > 0);
	scene_end(&run);
}

static void fail_all_scenes(enum fail_how how, unsigned int calls, int errnum)
{
	const struct fail_plan plan = { .how = how,
					.calls = calls,
					.errnum = errnum };

	for (size_t i = 0; i < SCENES; i++) {
		fail_each_call(&scenes[i], &plan, 0);
		if (calls & FAIL_FTRUNCATE)
			fail_each_call(&scenes[i], &plan, TAIL);
	}
}

static void fail_all_scenes_without_inotify(enum fail_how how,
					    unsigned int calls, int errnum)
{
	fail_io_inotify(false);
	fail_all_scenes(how, calls, errnum);
	fail_io_inotify(true);
}

static void any_call_fails_with_eio(void)
{
	fail_all_scenes(FAIL_ERROR, FAIL_ALL_CALLS, EIO);
}

static void error_reaches_the_caller_whichever_it_is(void)
{
	static const int errnums[] = { ENOSPC, EDQUOT, EFBIG };

	fail_io_inotify(false);
	for (size_t i = 0; i < SCENES; i++) {
		const struct fail_plan plan = {
			.how = FAIL_ERROR,
			.calls = FAIL_PWRITE | FAIL_FTRUNCATE,
			.errnum = errnums[i % COUNT(errnums)],
		};

		fail_each_call(&scenes[i], &plan, TAIL);
	}
	fail_io_inotify(true);
}

static void write_is_cut_short_by_a_full_disk(void)
{
	fail_all_scenes_without_inotify(FAIL_SHORT, FAIL_PWRITE, ENOSPC);
}

static void read_is_cut_short_by_an_error(void)
{
	fail_all_scenes_without_inotify(FAIL_SHORT, FAIL_PREAD, EIO);
}

/* What is to be moved was read before, when the lock was taken. */
static void record_that_others_cut_off_is_not_moved(void)
{
	fail_all_scenes(FAIL_EOF, FAIL_PREAD, EIO);
}

static void writes_fail_from_some_point_on(void)
{
	fail_all_scenes_without_inotify(FAIL_EVERY, FAIL_PWRITE, ENOSPC);
}

static void truncation_fails_from_some_point_on(void)
{
	fail_all_scenes_without_inotify(FAIL_EVERY, FAIL_FTRUNCATE, EIO);
}

/* The file gets another inode: whoever works on it must open it anew. */
static void replace_file(const struct pool_file *content, const char *path)
{
	const char *new_path = pool_file_new("new", content);

	CU_ASSERT_EQUAL(rename(new_path, path), 0);
}

/* Looking at the file, opening and locking it: nothing is changed before. */
static bool fail_look(struct scene_run *run, bool replaced)
{
	bool hit;
	int r;

	open_store(run);
	if (replaced)
		replace_file(&run->before, run->path);
	fail_io_arm(&run->plan);
	r = run->scene->perform(run->store);
	hit = fail_io_disarm() == FAIL_HIT;
	/* after a change, or of a file that is gone, it only means: look again */
	CHECK_ROW(run->row,
		  r == 0 ? !hit || run->plan.calls == FAIL_FSTAT || replaced
			 : hit && r == -run->plan.errnum);
	CHECK_ROW(run->row,
		  pool_file_is(r ? &run->before : &run->after, run->path));
	check_aftermath(run, r);
	return hit;
}

static bool fail_look_at_the_file(struct scene_run *run)
{
	return fail_look(run, false);
}

static bool fail_look_at_another_file(struct scene_run *run)
{
	return fail_look(run, true);
}

static void look_or_lock_that_fails_changes_nothing(void)
{
	static const unsigned int calls[] = { FAIL_FSTAT, FAIL_STATX,
					      FAIL_OPENAT, FAIL_FCNTL,
					      FAIL_FLOCK };
	static const int errnums[] = { EIO, EINTR, ENOLCK, ENFILE };

	for (size_t n = 0; n < SCENES * COUNT(calls); n++) {
		size_t i = n / COUNT(calls);
		size_t j = n % COUNT(calls);
		bool replaced = (i + j) % 2;
		const struct fail_plan plan = {
			.how = FAIL_ERROR,
			.calls = calls[j],
			.errnum = errnums[(i + j / 2) % COUNT(errnums)],
		};
		struct scene_run run;
		unsigned int hits;

		fail_io_inotify(i <= 1);
		scene_begin(&run, &scenes[i], 0, 0);
		hits = scene_each_call(&run, &plan,
				       replaced ? fail_look_at_another_file
						: fail_look_at_the_file);
		/* not of a file that is open and has its name still */
		CHECK_ROW(run.row,
			  hits > 0 || (!replaced && (calls[j] == FAIL_OPENAT ||
						     calls[j] == FAIL_STATX)));
		scene_end(&run);
	}
	fail_io_inotify(true);
}

static bool go_on_after_call(struct scene_run *run)
{
	bool hit;

	open_store(run);
	fail_io_arm(&run->plan);
	CHECK_ROW(run->row, run->scene->perform(run->store) == 0);
	hit = fail_io_disarm() == FAIL_HIT;
	CHECK_ROW(run->row, pool_file_is(&run->after, run->path));
	kvp_store_free(run->store);
	return hit;
}

/*
 * As if nothing had happened: the file is the same to the byte. Some calls have
 * done a part of their work.
 */
static void go_on_after(enum fail_how how, unsigned int calls)
{
	const struct fail_plan plan = { .how = how,
					.calls = calls,
					.errnum = EINTR };

	for (size_t i = 0; i < SCENES; i++) {
		struct scene_run run;

		scene_begin(&run, &scenes[i], 0, 0);
		scene_each_call(&run, &plan, go_on_after_call);
		scene_end(&run);
	}
}

static void interrupted_call_is_done_again(void)
{
	fail_io_inotify(false);
	go_on_after(FAIL_INTERRUPTED, FAIL_ALL_CALLS);
	go_on_after(FAIL_SHORT, FAIL_PREAD);
	go_on_after(FAIL_SHORT, FAIL_PWRITE);
	fail_io_inotify(true);
}

static bool fail_allocation(struct scene_run *run)
{
	bool hit;
	int r;

	open_store(run);
	fail_alloc_at(run->plan.nth);
	r = run->scene->perform(run->store);
	hit = fail_alloc_end();
	CHECK_ROW(run->row, r == 0 || (hit && r == -ENOMEM));
	check_aftermath(run, r);
	return hit;
}

static void any_allocation_fails(void)
{
	static const struct fail_plan plan = { .errnum = ENOMEM };

	for (size_t i = 0; i < SCENES; i++) {
		struct scene_run run;

		scene_begin(&run, &scenes[i], 0, 0);
		scene_each_call(&run, &plan, fail_allocation);
		scene_end(&run);
	}
}

/* The ways to read, all of which must look at a file that has changed. */
static int read_one(struct kvp_store *store)
{
	struct kvp_item item;
	int r = kvp_store_read(store, check_bytes("k05"), &item);

	if (r == 0)
		kvp_value_unref(item.value);
	return r;
}

static const struct {
	const char *name;
	int (*perform)(struct kvp_store *store);
} readings[] = {
	{ "read", read_one },
	{ "entries", store_text_visit_entries },
	{ "entries_raw", store_text_visit_records },
	{ "refresh", kvp_store_refresh },
};

/* One reading of a file that was just changed; N is the call that fails. */
static bool fail_reading(struct scene_run *run, size_t i, unsigned int n,
			 bool allocation)
{
	const struct fail_plan plan = {
		.how = FAIL_ERROR, .nth = n, .calls = FAIL_PREAD, .errnum = EIO
	};
	bool hit;
	int r;

	pool_file_store(&run->before, run->path);
	open_store(run);
	pool_file_store(&run->after, run->path);
	if (allocation)
		fail_alloc_at(n);
	else
		fail_io_arm(&plan);
	r = readings[i].perform(run->store);
	hit = allocation ? fail_alloc_end() : fail_io_disarm() == FAIL_HIT;
	CHECK_ROW(readings[i].name, r == (!hit	       ? 0
					  : allocation ? -ENOMEM
						       : -EIO));
	CHECK_ROW(readings[i].name, readings[i].perform(run->store) == 0);
	CHECK_ROW(readings[i].name, pool_file_is(&run->after, run->path));
	CHECK_ROW(readings[i].name, scene_is_read(run->store, &run->after));
	kvp_store_free(run->store);
	return hit;
}

static void failed_reading_succeeds_the_next_time(void)
{
	struct scene_run run;

	scene_begin(&run, &scenes[0], 0, 0);
	for (size_t i = 0; i < COUNT(readings); i++) {
		unsigned int n = 1;

		while (fail_reading(&run, i, n, false))
			n++;
		CHECK_ROW(readings[i].name, n > 1);
		n = 1;
		while (fail_reading(&run, i, n, true))
			n += 1 + n / 20;
		CHECK_ROW(readings[i].name, n > 1);
	}
	scene_end(&run);
}

static void touch(const char *path, time_t seconds)
{
	const struct timespec times[2] = { { seconds, 0 }, { seconds, 0 } };

	CU_ASSERT_EQUAL(utimensat(AT_FDCWD, path, times, 0), 0);
}

static time_t time_of(struct kvp_store *store, const char *key)
{
	struct kvp_item item = { .value = NULL };
	time_t seconds;

	CU_ASSERT_EQUAL_FATAL(kvp_store_read(store, check_bytes(key), &item),
			      0);
	seconds = item.value->mtime.tv_sec;
	kvp_value_unref(item.value);
	return seconds;
}

/* Others have set one value; the first reading fails behind it. */
static void only_changed_values_get_a_new_time_after_a_failed_reading(void)
{
	const struct fail_plan plan = {
		.how = FAIL_ERROR, .calls = FAIL_PREAD, .nth = 2, .errnum = EIO
	};
	struct pool_file file = { .exists = true };
	const char *path;
	struct kvp_store *store;
	char key[8];

	for (int i = 0; i < 40; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		pool_file_add_text(&file, key, "old", '\0');
	}
	path = pool_file_new("pool", &file);
	touch(path, 1000);
	store = store_text_open(path, KVP_MODE_FULL);
	CU_ASSERT_EQUAL(time_of(store, "k39"), 1000);
	file.records[0] = pool_file_record(check_bytes("k0"),
					   check_bytes("new"), '\0');
	pool_file_store(&file, path);
	touch(path, 2000);
	fail_io_arm(&plan);
	CU_ASSERT_EQUAL(kvp_store_refresh(store), -EIO);
	CU_ASSERT_EQUAL(fail_io_disarm(), FAIL_HIT);
	CU_ASSERT_EQUAL(time_of(store, "k0"), 2000);
	CU_ASSERT_EQUAL(time_of(store, "k39"), 1000);
	touch(path, 3000);
	CU_ASSERT_EQUAL(time_of(store, "k39"), 3000);
	kvp_store_free(store);
	pool_file_release(&file);
}

static int open_and_read(const char *path, struct kvp_store **ret_store)
{
	const struct kvp_pool_config config = { .path = path };
	struct kvp_store *store = NULL;
	int r = kvp_store_pool_open(&config, &store);

	if (r == 0)
		r = kvp_store_refresh(store);
	if (r)
		kvp_store_free(store);
	else
		*ret_store = store;
	return r;
}

static void opening_fails_cleanly(void)
{
	const char *path = pool_file_path("pool");
	struct fail_plan plan = {
		.how = FAIL_ERROR, .calls = FAIL_PREAD, .nth = 1, .errnum = EIO
	};
	struct kvp_store *store = NULL;
	struct scene_run run;
	int r = -ENOMEM;

	scene_begin(&run, &scenes[0], 0, 0);
	fail_io_arm(&plan);
	CU_ASSERT_EQUAL(open_and_read(path, &store), -EIO);
	CU_ASSERT_EQUAL(fail_io_disarm(), FAIL_HIT);
	for (unsigned int n = 1; r == -ENOMEM && n < MOST_CALLS; n++) {
		CU_ASSERT_PTR_NULL(store);
		fail_alloc_at(n);
		r = open_and_read(path, &store);
		CU_ASSERT_EQUAL(r, fail_alloc_end() ? -ENOMEM : 0);
	}
	CU_ASSERT_EQUAL(r, 0);
	kvp_store_free(store);
	scene_end(&run);
}

/* The index follows our own changes: no look at the file is needed. */
static void own_change_is_read_without_reading_the_file(void)
{
	const struct fail_plan plan = {
		.how = FAIL_EVERY, .calls = FAIL_PREAD, .nth = 1, .errnum = EIO
	};
	struct scene_run run;

	for (size_t i = 0; i < SCENES; i++) {
		scene_begin(&run, &scenes[i], 0, 0);
		pool_file_store(&run.before, run.path);
		open_store(&run);
		CHECK_ROW(scenes[i].name, scenes[i].perform(run.store) == 0);
		fail_io_arm(&plan);
		CHECK_ROW(scenes[i].name, scene_is_read(run.store, &run.after));
		CHECK_ROW(scenes[i].name, fail_io_disarm() == FAIL_MISSED);
		kvp_store_free(run.store);
		scene_end(&run);
	}
}

static const struct check_case cases[] = {
	CHECK_CASE(any_call_fails_with_eio),
	CHECK_CASE(error_reaches_the_caller_whichever_it_is),
	CHECK_CASE(look_or_lock_that_fails_changes_nothing),
	CHECK_CASE(write_is_cut_short_by_a_full_disk),
	CHECK_CASE(read_is_cut_short_by_an_error),
	CHECK_CASE(record_that_others_cut_off_is_not_moved),
	CHECK_CASE(writes_fail_from_some_point_on),
	CHECK_CASE(truncation_fails_from_some_point_on),
	CHECK_CASE(interrupted_call_is_done_again),
	CHECK_CASE(any_allocation_fails),
	CHECK_CASE(failed_reading_succeeds_the_next_time),
	CHECK_CASE(only_changed_values_get_a_new_time_after_a_failed_reading),
	CHECK_CASE(opening_fails_cleanly),
	CHECK_CASE(own_change_is_read_without_reading_the_file),
};

CHECK_MAIN("store_faults", cases)
