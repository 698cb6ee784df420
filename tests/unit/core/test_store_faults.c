/* SPDX-License-Identifier: MIT */
/*
 * The store on a pool file when system calls or allocations fail: for each change
 * and each of its calls, the n-th one fails. The change must say so, no key may
 * have anything but its old or its new value, the file may not be torn, and the
 * store must know what is in the file, also afterwards.
 *
 * To be linked as fail_io.h and fail_alloc.h say, and with
 * -Wl,--wrap=inotify_init1.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "check.h"
#include "fail_alloc.h"
#include "fail_io.h"
#include "pool_file.h"
#include "scenes.h"
#include "store_pool.h"
#include "store_text.h"

#define MOST_CALLS 1000
#define TAIL 700
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* The scene, and what happens in it, for messages. */
static char row[128];

/* Closing one takes the kernel milliseconds: not for what it does not matter to. */
static bool no_inotify;

int __real_inotify_init1(int flags);
int __wrap_inotify_init1(int flags);

int __wrap_inotify_init1(int flags)
{
	if (!no_inotify)
		return __real_inotify_init1(flags);
	errno = EMFILE;
	return -1;
}

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

/* Reads every key of FILE from STORE, and counts what else there is. */
static bool store_says_what_is_in(const struct pool_file *file,
				  struct kvp_store *store)
{
	struct kvp_status status;

	for (size_t i = 0; i < file->count; i++) {
		struct kvp_bytes key = pool_file_key(&file->records[i]);
		struct kvp_item item;
		bool equal;

		if (key.len == 0)
			continue;
		if (kvp_store_read(store, key, &item))
			return false;
		equal = kvp_bytes_equal(kvp_value_bytes(item.value),
					pool_file_value(
						pool_file_find(file, key)));
		kvp_value_unref(item.value);
		if (!equal)
			return false;
	}
	kvp_store_status(store, &status);
	return status.records == file->count &&
	       status.torn_bytes == file->tail_size;
}

/* A scene: the pool before, the pool after, and a store to do it with. */
struct run {
	const struct scene *scene;
	const char *path;
	struct pool_file before;
	struct pool_file after;
	struct pool_file now;
	struct kvp_store *store;
	struct ids ids;
};

static void prepare(struct run *run, const struct scene *scene, size_t tail)
{
	*run = (struct run){ .scene = scene, .path = pool_file_path("pool") };
	scene_pool(&run->before, 0, tail);
	scene_result(scene, &run->before, run->path, &run->after);
}

static void begin(struct run *run)
{
	pool_file_store(&run->before, run->path);
	run->store = store_text_open(run->path, KVP_MODE_FULL);
	run->ids = ids_of(run->store);
}

static void end(struct run *run)
{
	pool_file_release(&run->before);
	pool_file_release(&run->after);
	pool_file_release(&run->now);
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
static void check_aftermath(struct run *run, int result)
{
	struct ids ids;

	pool_file_load(&run->now, run->path);
	CHECK_ROW(row,
		  scene_is_fair(&run->before, &run->after, &run->now, false));
	CHECK_ROW(row, run->now.tail_size == 0 ||
			       run->now.tail_size == run->before.tail_size);
	if (result == 0)
		CHECK_ROW(row, scene_same_keys(&run->after, &run->now));
	else if (run->scene->atomic)
		CHECK_ROW(row, scene_same_keys(&run->before, &run->now));
	CHECK_ROW(row, file_is_unlocked(run->path));
	CHECK_ROW(row, store_says_what_is_in(&run->now, run->store));
	ids = ids_of(run->store);
	CHECK_ROW(row, ids_are_unique(&ids));
	if (scene_same_keys(&run->before, &run->now))
		CHECK_ROW(row, ids_are_equal(&run->ids, &ids));
	CHECK_ROW(row, store_text_write(run->store, "probe", "1") == 0);
	CHECK_ROW(row, store_text_reads(run->store, "probe", "1"));
	pool_file_load(&run->now, run->path);
	CHECK_ROW(row, run->now.tail_size == 0);
	kvp_store_free(run->store);
}

/* Each call that the plan counts is hit once; the result is -ERRNUM or 0. */
static void fail_each_call(const struct scene *scene, struct fail_plan plan,
			   size_t tail)
{
	unsigned int hits = 0;
	struct run run;
	bool hit = true;

	prepare(&run, scene, tail);
	for (plan.nth = 1; hit && plan.nth < MOST_CALLS; plan.nth++) {
		bool expected;
		int r;

		begin(&run);
		fail_io_arm(&plan);
		r = scene->perform(run.store);
		hit = fail_io_disarm() == FAIL_HIT;
		hits += hit;
		snprintf(row, sizeof(row), "%s, %d at call %u of %u, tail %zu",
			 scene->name, (int)plan.how, plan.nth, plan.calls,
			 tail);
		/* no failure: a tail that is not cut off, the end of the file */
		expected = r == -plan.errnum ||
			   (r == 0 && (tail > 0 || plan.how == FAIL_EOF));
		CHECK_ROW(row, hit ? expected : r == 0);
		check_aftermath(&run, r);
	}
	if (plan.calls == FAIL_ALL_CALLS)
		CHECK_ROW(scene->name, hits > 0);
	end(&run);
}

static void fail_all_scenes(enum fail_how how, unsigned int calls, int errnum)
{
	const struct fail_plan plan = { .how = how,
					.calls = calls,
					.errnum = errnum };

	for (size_t i = 0; i < SCENES; i++) {
		fail_each_call(&scenes[i], plan, 0);
		if (calls & FAIL_FTRUNCATE)
			fail_each_call(&scenes[i], plan, TAIL);
	}
}

static void fail_all_scenes_without_inotify(enum fail_how how,
					    unsigned int calls, int errnum)
{
	no_inotify = true;
	fail_all_scenes(how, calls, errnum);
	no_inotify = false;
}

static void any_call_fails_with_eio(void)
{
	fail_all_scenes(FAIL_ERROR, FAIL_ALL_CALLS, EIO);
}

static void error_reaches_the_caller_whichever_it_is(void)
{
	static const int errnums[] = { ENOSPC, EDQUOT, EFBIG };

	no_inotify = true;
	for (size_t i = 0; i < SCENES; i++) {
		const struct fail_plan plan = {
			.how = FAIL_ERROR,
			.calls = FAIL_PWRITE | FAIL_FTRUNCATE,
			.errnum = errnums[i % COUNT(errnums)],
		};

		fail_each_call(&scenes[i], plan, TAIL);
	}
	no_inotify = false;
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
static bool fail_look(struct run *run, const struct fail_plan *plan,
		      bool replaced)
{
	bool hit;
	int r;

	begin(run);
	if (replaced)
		replace_file(&run->before, run->path);
	fail_io_arm(plan);
	r = run->scene->perform(run->store);
	hit = fail_io_disarm() == FAIL_HIT;
	snprintf(row, sizeof(row), "%s, %s at call %u of %u", run->scene->name,
		 strerror(plan->errnum), plan->nth, plan->calls);
	/* after a change, or of a file that is gone, it only means: look again */
	CHECK_ROW(row, r == 0 ? !hit || plan->calls == FAIL_FSTAT || replaced
			      : hit && r == -plan->errnum);
	CHECK_ROW(row, pool_file_is(r ? &run->before : &run->after, run->path));
	check_aftermath(run, r);
	return hit;
}

static void look_or_lock_that_fails_changes_nothing(void)
{
	static const unsigned int calls[] = { FAIL_FSTAT, FAIL_FSTATAT,
					      FAIL_OPENAT, FAIL_FCNTL,
					      FAIL_FLOCK };
	static const int errnums[] = { EIO, EINTR, ENOLCK, ENFILE };

	for (size_t i = 0; i < SCENES; i++) {
		struct run run;

		no_inotify = i > 1;
		prepare(&run, &scenes[i], 0);
		for (size_t j = 0; j < COUNT(calls); j++) {
			bool replaced = (i + j) % 2;
			struct fail_plan plan = {
				.how = FAIL_ERROR,
				.calls = calls[j],
				.nth = 1,
				.errnum = errnums[(i + j / 2) % COUNT(errnums)],
			};

			while (fail_look(&run, &plan, replaced))
				plan.nth++;
			/* not of a file that is open and has its name still */
			CHECK_ROW(row,
				  plan.nth > 1 || (!replaced &&
						   (calls[j] == FAIL_OPENAT ||
						    calls[j] == FAIL_FSTATAT)));
		}
		end(&run);
	}
	no_inotify = false;
}

/*
 * As if nothing had happened: the file is the same to the byte. Some calls have
 * done a part of their work.
 */
static void go_on_after(enum fail_how how, unsigned int calls)
{
	struct fail_plan plan = { .how = how, .calls = calls, .errnum = EINTR };
	struct run run;

	for (size_t i = 0; i < SCENES; i++) {
		bool hit = true;

		prepare(&run, &scenes[i], 0);
		for (plan.nth = 1; hit && plan.nth < MOST_CALLS; plan.nth++) {
			begin(&run);
			fail_io_arm(&plan);
			CHECK_ROW(scenes[i].name,
				  scenes[i].perform(run.store) == 0);
			hit = fail_io_disarm() == FAIL_HIT;
			CHECK_ROW(scenes[i].name,
				  pool_file_is(&run.after, run.path));
			kvp_store_free(run.store);
		}
		end(&run);
	}
}

static void interrupted_call_is_done_again(void)
{
	no_inotify = true;
	go_on_after(FAIL_INTERRUPTED, FAIL_ALL_CALLS);
	go_on_after(FAIL_SHORT, FAIL_PREAD);
	go_on_after(FAIL_SHORT, FAIL_PWRITE);
	no_inotify = false;
}

static void any_allocation_fails(void)
{
	for (size_t i = 0; i < SCENES; i++) {
		struct run run;
		bool hit = true;

		prepare(&run, &scenes[i], 0);
		for (unsigned int n = 1; hit && n < MOST_CALLS; n++) {
			int r;

			begin(&run);
			fail_alloc_at(n);
			r = scenes[i].perform(run.store);
			hit = fail_alloc_end();
			snprintf(row, sizeof(row), "%s, allocation %u",
				 scenes[i].name, n);
			CHECK_ROW(row, r == 0 || (hit && r == -ENOMEM));
			check_aftermath(&run, r);
		}
		end(&run);
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

static int visit_item(void *arg, const struct kvp_item *item)
{
	(void)arg;
	(void)item;
	return 0;
}

static int visit_record(void *arg, const struct kvp_pair *record)
{
	(void)arg;
	(void)record;
	return 0;
}

static int read_entries(struct kvp_store *store)
{
	return kvp_store_entries(store, visit_item, NULL);
}

static int read_records(struct kvp_store *store)
{
	return kvp_store_entries_raw(store, visit_record, NULL);
}

static const struct {
	const char *name;
	int (*perform)(struct kvp_store *store);
} readings[] = {
	{ "read", read_one },
	{ "entries", read_entries },
	{ "entries_raw", read_records },
	{ "refresh", kvp_store_refresh },
};

/* One reading of a file that was just changed; N is the call that fails. */
static bool fail_reading(struct run *run, size_t i, unsigned int n,
			 bool allocation)
{
	const struct fail_plan plan = {
		.how = FAIL_ERROR, .nth = n, .calls = FAIL_PREAD, .errnum = EIO
	};
	bool hit;
	int r;

	begin(run);
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
	CHECK_ROW(readings[i].name,
		  store_says_what_is_in(&run->after, run->store));
	kvp_store_free(run->store);
	return hit;
}

static void failed_reading_succeeds_the_next_time(void)
{
	struct run run;

	prepare(&run, &scenes[0], 0);
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
	end(&run);
}

static void opening_fails_cleanly(void)
{
	const struct kvp_pool_config config = { .path = pool_file_path(
							"pool") };
	struct fail_plan plan = {
		.how = FAIL_ERROR, .calls = FAIL_PREAD, .nth = 1, .errnum = EIO
	};
	struct kvp_store *store = NULL;
	struct run run;
	int r = -ENOMEM;

	prepare(&run, &scenes[0], 0);
	fail_io_arm(&plan);
	CU_ASSERT_EQUAL(kvp_store_pool_open(&config, &store), -EIO);
	CU_ASSERT_EQUAL(fail_io_disarm(), FAIL_HIT);
	for (unsigned int n = 1; r == -ENOMEM && n < MOST_CALLS; n++) {
		CU_ASSERT_PTR_NULL(store);
		fail_alloc_at(n);
		r = kvp_store_pool_open(&config, &store);
		CU_ASSERT_EQUAL(r, fail_alloc_end() ? -ENOMEM : 0);
	}
	CU_ASSERT_EQUAL(r, 0);
	kvp_store_free(store);
	end(&run);
}

/* The index follows our own changes: no look at the file is needed. */
static void own_change_is_read_without_reading_the_file(void)
{
	const struct fail_plan plan = {
		.how = FAIL_EVERY, .calls = FAIL_PREAD, .nth = 1, .errnum = EIO
	};
	struct run run;

	for (size_t i = 0; i < SCENES; i++) {
		prepare(&run, &scenes[i], 0);
		begin(&run);
		CHECK_ROW(scenes[i].name, scenes[i].perform(run.store) == 0);
		fail_io_arm(&plan);
		CHECK_ROW(scenes[i].name,
			  store_says_what_is_in(&run.after, run.store));
		CHECK_ROW(scenes[i].name, fail_io_disarm() == FAIL_MISSED);
		kvp_store_free(run.store);
		end(&run);
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
	CHECK_CASE(opening_fails_cleanly),
	CHECK_CASE(own_change_is_read_without_reading_the_file),
};

CHECK_MAIN("store_faults", cases)
