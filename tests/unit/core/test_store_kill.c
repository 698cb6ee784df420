/* SPDX-License-Identifier: MIT */
/*
 * The store on a pool file when its process is killed at any moment of a change.
 * What is then in the file must be a pool in which every key has its value; the
 * keys that the change was about the old or the new one, or, if a write was cut
 * between two pages, a mixture of both.
 *
 * A child that really dies stands for all; to go through every page of every
 * write it is enough that, from some point on, nothing reaches the file any more.
 *
 * To be linked as fail_io.h says, and with -Wl,--wrap=inotify_init1.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "fail_io.h"
#include "pool_file.h"
#include "scenes.h"
#include "store_pool.h"
#include "store_text.h"

#define TAIL 2100

/* Closing one takes the kernel milliseconds, and there are thousands of stores. */
int __wrap_inotify_init1(int flags);

int __wrap_inotify_init1(int flags)
{
	(void)flags;
	errno = EMFILE;
	return -1;
}

struct run {
	const struct scene *scene;
	bool (*is_fair)(const struct run *run, bool mixed);
	const char *path;
	struct pool_file before;
	struct pool_file after;
	struct pool_file now;
};

/* The scene, and what happens in it, for messages. */
static char row[128];

/* Runs the scene on the pool as it was before; for a while only, perhaps. */
static enum fail_outcome perform(const struct run *run,
				 const struct fail_plan *plan)
{
	struct kvp_store *store = store_text_open(run->path, KVP_MODE_FULL);
	enum fail_outcome outcome;
	int r;

	fail_io_arm(plan);
	r = run->scene->perform(store);
	outcome = fail_io_disarm();
	CHECK_ROW(row, r == 0 || outcome == FAIL_HIT);
	kvp_store_free(store);
	return outcome;
}

/* Whether a child was killed, as PLAN says. */
static bool kill_child(const struct run *run, const struct fail_plan *plan)
{
	int status = 0;
	pid_t child;

	(void)fflush(stdout);
	child = fork();
	if (child == 0)
		_exit(perform(run, plan) == FAIL_MISSED ? EXIT_SUCCESS
							: EXIT_FAILURE);
	if (child < 0 || waitpid(child, &status, 0) != child)
		abort();
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGKILL;
	CHECK_ROW(row, WEXITSTATUS(status) == EXIT_SUCCESS);
	return false;
}

/* A file, and how many of its keys a store has read as it says. */
struct comparison {
	const struct pool_file *file;
	size_t equal;
};

static int compare_item(void *arg, const struct kvp_item *item)
{
	struct comparison *comparison = arg;
	const struct pool_file_record *record = pool_file_find(comparison->file,
							       item->key);

	comparison->equal += record &&
			     kvp_bytes_equal(pool_file_value(record),
					     kvp_value_bytes(item->value));
	return 0;
}

static size_t count_keys(const struct pool_file *file)
{
	size_t keys = 0;

	for (size_t i = 0; i < file->count; i++) {
		struct kvp_bytes key = pool_file_key(&file->records[i]);

		keys += key.len > 0 &&
			pool_file_find(file, key) == &file->records[i];
	}
	return keys;
}

/* Whether STORE reads each key of FILE, and nothing else, as FILE says. */
static bool reads_as(struct kvp_store *store, const struct pool_file *file)
{
	struct comparison comparison = { .file = file };
	struct kvp_status status;

	if (kvp_store_entries(store, compare_item, &comparison))
		return false;
	kvp_store_status(store, &status);
	return status.records == file->count &&
	       status.keys == count_keys(file) &&
	       comparison.equal == status.keys;
}

/* Whether a record of FILE, of whatever key, has VALUE. */
static bool has_value(const struct pool_file *file, struct kvp_bytes value)
{
	for (size_t i = 0; i < file->count; i++)
		if (kvp_bytes_equal(pool_file_value(&file->records[i]), value))
			return true;
	return false;
}

/* What is only renamed is never without a record, though its key may be. */
static bool values_survive(const struct run *run)
{
	const struct pool_file *after = &run->after;

	for (size_t i = 0; i < after->count; i++)
		if (!has_value(&run->now, pool_file_value(&after->records[i])))
			return false;
	return true;
}

static bool old_or_new(const struct run *run, bool mixed)
{
	const char *name = run->scene->name;
	bool renames = strncmp(name, "rename", 6) == 0 ||
		       strncmp(name, "exchange", 8) == 0;

	return scene_is_fair(&run->before, &run->after, &run->now, mixed) &&
	       (!renames || values_survive(run));
}

/* The next process finds a pool, reads it right and goes on with it. */
static void check_aftermath(struct run *run, bool mixed)
{
	struct kvp_store *store;

	pool_file_load(&run->now, run->path);
	CHECK_ROW(row, run->is_fair(run, mixed));
	store = store_text_open(run->path, KVP_MODE_FULL);
	CHECK_ROW(row, reads_as(store, &run->now));
	CHECK_ROW(row, store_text_write(store, "probe", "1") == 0);
	kvp_store_free(store);
	pool_file_load(&run->now, run->path);
	CHECK_ROW(row, run->now.tail_size == 0);
	CHECK_ROW(row, pool_file_repeats(&run->now, check_bytes("probe")) == 1);
}

static void prepare(struct run *run, const struct scene *scene, size_t shift,
		    size_t tail)
{
	*run = (struct run){ .scene = scene,
			     .is_fair = old_or_new,
			     .path = pool_file_path("pool") };
	scene_pool(&run->before, shift, tail);
	scene_result(scene, &run->before, run->path, &run->after);
}

static void release(struct run *run)
{
	pool_file_release(&run->before);
	pool_file_release(&run->after);
	pool_file_release(&run->now);
}

/* How often a child died that was killed after every write and truncation. */
static unsigned int kill_everywhere(struct run *run)
{
	struct fail_plan plan = { .how = FAIL_DIE,
				  .calls = FAIL_PWRITE | FAIL_FTRUNCATE };
	bool died = true;

	while (died) {
		plan.nth++;
		snprintf(row, sizeof(row), "%s, tail %zu, after call %u",
			 run->scene->name, run->before.tail_size, plan.nth);
		pool_file_store(&run->before, run->path);
		died = kill_child(run, &plan);
		check_aftermath(run, false);
	}
	return plan.nth - 1;
}

static void child_that_dies_after_any_write_leaves_a_good_pool(void)
{
	for (size_t i = 0; i < 2 * SCENES; i++) {
		struct run run;

		prepare(&run, &scenes[i / 2], 0, i % 2 ? TAIL : 0);
		CHECK_ROW(run.scene->name, kill_everywhere(&run) > 0);
		release(&run);
	}
}

/*
 * Dies in every write at every STEP-th page boundary, or, if STEP is 0, before
 * every write and truncation; how often there was one.
 */
static unsigned int vanish_everywhere(struct run *run, size_t step)
{
	const size_t first = step ? 1 : 0;
	struct fail_plan plan = { .how = FAIL_VANISH,
				  .nth = 1,
				  .page = first,
				  .calls = FAIL_PWRITE };
	enum fail_outcome outcome = FAIL_HIT;
	unsigned int deaths = 0;

	if (step == 0)
		plan.calls |= FAIL_FTRUNCATE;
	while (outcome != FAIL_MISSED) {
		snprintf(row, sizeof(row),
			 "%s, %zu records, page %zu of call %u",
			 run->scene->name, run->before.count, plan.page,
			 plan.nth);
		pool_file_store(&run->before, run->path);
		outcome = perform(run, &plan);
		check_aftermath(run, step > 0);
		deaths += outcome == FAIL_HIT;
		if (step > 0 && outcome == FAIL_HIT) {
			plan.page += step;
		} else {
			plan.page = first;
			plan.nth++;
		}
	}
	return deaths;
}

static void kill_before_any_write_leaves_every_key_a_value(void)
{
	for (size_t i = 0; i < 2 * SCENES; i++) {
		struct run run;

		prepare(&run, &scenes[i / 2], 0, i % 2 ? TAIL : 0);
		CHECK_ROW(run.scene->name, vanish_everywhere(&run, 0) > 0);
		release(&run);
	}
}

/*
 * Records lie within pages in 8 ways. Long writes have them all in each pool, and
 * short ones, of one record, cross one boundary at the most.
 */
static void kill_between_pages_mixes_no_other_key(void)
{
	for (size_t i = 0; i < SCENES; i++) {
		unsigned int deaths = 0;

		for (size_t shift = 0; shift < 8; shift++) {
			struct run run;

			prepare(&run, &scenes[i], shift, shift % 2 ? TAIL : 0);
			deaths += vanish_everywhere(&run, shift ? 7 : 1);
			release(&run);
		}
		CHECK_ROW(scenes[i].name, deaths > 0 || !scenes[i].writes);
	}
}

static bool same_records(const struct pool_file_record *a,
			 const struct pool_file_record *b, size_t count)
{
	return memcmp(a, b, count * sizeof(*a)) == 0;
}

/* Whether NOW begins as NEW, with a whole key at least, and goes on as OLD. */
static bool is_cut(const struct pool_file_record *old,
		   const struct pool_file_record *new,
		   const struct pool_file_record *now)
{
	for (size_t cut = POOL_FILE_KEY; cut < POOL_FILE_RECORD; cut += 512)
		if (memcmp(now->bytes, new->bytes, cut) == 0 &&
		    memcmp(now->bytes + cut, old->bytes + cut,
			   POOL_FILE_RECORD - cut) == 0)
			return true;
	return false;
}

/* While records are added: the old ones, and as many new ones as there are. */
static bool is_adding(const struct pool_file *before,
		      const struct pool_file_record *added, size_t count,
		      const struct pool_file *now)
{
	size_t done = now->count - before->count;

	return now->count >= before->count && done <= count &&
	       same_records(now->records, before->records, before->count) &&
	       same_records(now->records + before->count, added, done);
}

static bool append_was_cut(const struct run *run, bool mixed)
{
	const struct pool_file *before = &run->before;

	(void)mixed;
	return is_adding(before, run->after.records + before->count,
			 run->after.count - before->count, &run->now);
}

/*
 * While the pool is replaced: all the old records and the first of the new ones,
 * then the first of the new ones, what is not yet overwritten of the old ones, and
 * all the new ones, then these alone. So each key of the new set soon has its new
 * value for good, and each other key has its old one until it is gone.
 */
static bool load_was_cut(const struct run *run, bool mixed)
{
	const struct pool_file *before = &run->before;
	const struct pool_file *after = &run->after;
	const struct pool_file *now = &run->now;
	const struct pool_file_record *found = now->records;
	struct pool_file all = { .exists = false };
	size_t moved = 0;
	bool fair;

	if (is_adding(before, after->records, after->count, now) ||
	    pool_file_equal(after, now))
		return true;
	if (now->count != before->count + after->count || now->tail_size > 0)
		return false;
	pool_file_copy(&all, before);
	for (size_t i = 0; i < after->count; i++)
		pool_file_add(&all, pool_file_key(&after->records[i]),
			      pool_file_value(&after->records[i]), 0);
	while (moved < after->count &&
	       same_records(found + moved, after->records + moved, 1))
		moved++;
	if (mixed && moved < after->count &&
	    is_cut(all.records + moved, after->records + moved, found + moved))
		moved++;
	fair = same_records(found + moved, all.records + moved,
			    all.count - moved);
	pool_file_release(&all);
	return fair;
}

#define REPEATS "k03=1 a=1 b=1 k03=2 rep=1 a=2 rep=2 rep=3 a=3"

static int append_repeats(struct kvp_store *store)
{
	return store_text_append(store, REPEATS);
}

static int load_repeats(struct kvp_store *store)
{
	return store_text_load(store, REPEATS);
}

static void check_batch(const struct scene *scene,
			bool (*is_fair)(const struct run *run, bool mixed))
{
	for (size_t shift = 0; shift < 8; shift++) {
		struct run run;

		prepare(&run, scene, shift, shift % 2 ? TAIL : 0);
		run.is_fair = is_fair;
		CHECK_ROW(scene->name, vanish_everywhere(&run, 0) > 0);
		CHECK_ROW(scene->name, vanish_everywhere(&run, 1) > 0);
		release(&run);
	}
}

/* Of a key's new values it may also be an earlier one that is left. */
static void kill_leaves_the_first_records_of_a_batch(void)
{
	static const struct scene scene = { "append repeats", append_repeats,
					    true, true };

	check_batch(&scene, append_was_cut);
}

static void kill_leaves_old_records_before_new_ones_of_a_replaced_pool(void)
{
	static const struct scene scene = { "load repeats", load_repeats, false,
					    true };

	check_batch(&scene, load_was_cut);
	for (size_t i = 0; i < SCENES; i++)
		if (strncmp(scenes[i].name, "load ", 5) == 0 &&
		    scenes[i].writes)
			check_batch(&scenes[i], load_was_cut);
}

static const struct check_case cases[] = {
	CHECK_CASE(child_that_dies_after_any_write_leaves_a_good_pool),
	CHECK_CASE(kill_before_any_write_leaves_every_key_a_value),
	CHECK_CASE(kill_between_pages_mixes_no_other_key),
	CHECK_CASE(kill_leaves_the_first_records_of_a_batch),
	CHECK_CASE(kill_leaves_old_records_before_new_ones_of_a_replaced_pool),
};

CHECK_MAIN("store_kill", cases)
