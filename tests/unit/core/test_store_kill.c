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
 * To be linked as fail_io.h says.
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

/* Runs the scene on the pool as it was before; for a while only, perhaps. */
static enum fail_outcome perform(const struct scene_run *run)
{
	struct kvp_store *store = store_text_open(run->path, KVP_MODE_FULL);
	enum fail_outcome outcome;
	int r;

	fail_io_arm(&run->plan);
	r = run->scene->perform(store);
	outcome = fail_io_disarm();
	CHECK_ROW(run->row, r == 0 || outcome == FAIL_HIT);
	kvp_store_free(store);
	return outcome;
}

/* Whether a child was killed, as the plan says. */
static bool kill_child(const struct scene_run *run)
{
	int status = 0;
	pid_t child;

	(void)fflush(stdout);
	child = fork();
	if (child == 0)
		_exit(perform(run) == FAIL_MISSED ? EXIT_SUCCESS
						  : EXIT_FAILURE);
	if (child < 0 || waitpid(child, &status, 0) != child)
		abort();
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGKILL;
	CHECK_ROW(run->row, WEXITSTATUS(status) == EXIT_SUCCESS);
	return false;
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
static bool values_survive(const struct scene_run *run)
{
	const struct pool_file *after = &run->after;

	for (size_t i = 0; i < after->count; i++)
		if (!has_value(&run->now, pool_file_value(&after->records[i])))
			return false;
	return true;
}

static bool old_or_new(const struct scene_run *run, bool mixed)
{
	const char *name = run->scene->name;
	bool renames = strncmp(name, "rename", 6) == 0 ||
		       strncmp(name, "exchange", 8) == 0;

	return scene_is_fair(&run->before, &run->after, &run->now, mixed) &&
	       (!renames || values_survive(run));
}

/* Whether what is left of the run that is under way is what may be left. */
static bool (*is_fair)(const struct scene_run *run, bool mixed) = old_or_new;

/* The next process finds a pool, reads it right and goes on with it. */
static void check_aftermath(struct scene_run *run, bool mixed)
{
	struct kvp_store *store;

	pool_file_load(&run->now, run->path);
	CHECK_ROW(run->row, is_fair(run, mixed));
	store = store_text_open(run->path, KVP_MODE_FULL);
	CHECK_ROW(run->row, scene_is_read(store, &run->now));
	CHECK_ROW(run->row, store_text_write(store, "probe", "1") == 0);
	kvp_store_free(store);
	pool_file_load(&run->now, run->path);
	CHECK_ROW(run->row, run->now.tail_size == 0);
	CHECK_ROW(run->row,
		  pool_file_repeats(&run->now, check_bytes("probe")) == 1);
}

static void begin(struct scene_run *run, const struct scene *scene,
		  size_t shift, size_t tail)
{
	fail_io_inotify(false);
	scene_begin(run, scene, shift, tail);
}

static bool kill_and_look(struct scene_run *run)
{
	bool died = kill_child(run);

	check_aftermath(run, false);
	return died;
}

static void child_that_dies_after_any_write_leaves_a_good_pool(void)
{
	static const struct fail_plan plan = {
		.how = FAIL_DIE, .calls = FAIL_PWRITE | FAIL_FTRUNCATE
	};

	for (size_t i = 0; i < 2 * SCENES; i++) {
		struct scene_run run;

		begin(&run, &scenes[i / 2], 0, i % 2 ? TAIL : 0);
		CHECK_ROW(run.scene->name,
			  scene_each_call(&run, &plan, kill_and_look) > 0);
		scene_end(&run);
	}
}

/* Dies before the n-th write or truncation. */
static bool vanish_before_call(struct scene_run *run)
{
	bool died = perform(run) == FAIL_HIT;

	check_aftermath(run, false);
	return died;
}

/* Every which page boundary within a write counts. */
static size_t page_step;
static unsigned int deaths_between_pages;

/* Dies at page boundaries within the n-th write, if it has any. */
static bool vanish_within_call(struct scene_run *run)
{
	enum fail_outcome outcome = FAIL_HIT;

	for (run->plan.page = 1; outcome == FAIL_HIT;
	     run->plan.page += page_step) {
		pool_file_store(&run->before, run->path);
		outcome = perform(run);
		check_aftermath(run, true);
		deaths_between_pages += outcome == FAIL_HIT;
	}
	return outcome != FAIL_MISSED;
}

static unsigned int vanish_before_each_call(struct scene_run *run)
{
	const struct fail_plan plan = { .how = FAIL_VANISH,
					.calls = FAIL_PWRITE | FAIL_FTRUNCATE };

	return scene_each_call(run, &plan, vanish_before_call);
}

/* How often there was a STEP-th page boundary to die at. */
static unsigned int vanish_within_each_call(struct scene_run *run, size_t step)
{
	const struct fail_plan plan = { .how = FAIL_VANISH,
					.calls = FAIL_PWRITE };

	page_step = step;
	deaths_between_pages = 0;
	scene_each_call(run, &plan, vanish_within_call);
	return deaths_between_pages;
}

static void kill_before_any_write_leaves_every_key_a_value(void)
{
	for (size_t i = 0; i < 2 * SCENES; i++) {
		struct scene_run run;

		begin(&run, &scenes[i / 2], 0, i % 2 ? TAIL : 0);
		CHECK_ROW(run.scene->name, vanish_before_each_call(&run) > 0);
		scene_end(&run);
	}
}

/*
 * Records lie within pages in 8 ways. Long writes have them all in each pool, and
 * short ones, of one record, cross one boundary at the most. Where each step takes ten
 * times as long (valgrind, QEMU) some of them are enough.
 */
static void kill_between_pages_mixes_no_other_key(void)
{
	const bool slow = getenv("KVP_TEST_SLOW");

	for (size_t i = 0; i < SCENES; i++) {
		unsigned int deaths = 0;

		for (size_t shift = 0; shift < 8; shift += slow ? 3 : 1) {
			struct scene_run run;

			begin(&run, &scenes[i], shift, shift % 2 ? TAIL : 0);
			deaths += vanish_within_each_call(&run, shift || slow
									? 7
									: 1);
			scene_end(&run);
		}
		/* A slow emulator may always come too late: nothing to see. */
		CHECK_ROW(scenes[i].name,
			  deaths > 0 || slow || !scenes[i].writes);
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

static bool append_was_cut(const struct scene_run *run, bool mixed)
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
static bool load_was_cut(const struct scene_run *run, bool mixed)
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
			bool (*is_fair_batch)(const struct scene_run *run,
					      bool mixed))
{
	is_fair = is_fair_batch;
	for (size_t shift = 0; shift < 8; shift++) {
		struct scene_run run;

		begin(&run, scene, shift, shift % 2 ? TAIL : 0);
		CHECK_ROW(scene->name, vanish_before_each_call(&run) > 0);
		CHECK_ROW(scene->name, vanish_within_each_call(&run, 1) > 0);
		scene_end(&run);
	}
	is_fair = old_or_new;
}

/* Of a key's new values it may also be an earlier one that is left. */
static void kill_leaves_the_first_records_of_a_batch(void)
{
	static const struct scene scene = { "append repeats", append_repeats,
					    true, true };

	check_batch(&scene, append_was_cut);
}

static bool replaces_the_pool(const struct scene *scene)
{
	return strncmp(scene->name, "load ", 5) == 0 ||
	       strncmp(scene->name, "restore ", 8) == 0;
}

static void kill_leaves_old_records_before_new_ones_of_a_replaced_pool(void)
{
	static const struct scene scene = { "load repeats", load_repeats, false,
					    true };

	check_batch(&scene, load_was_cut);
	for (size_t i = 0; i < SCENES; i++)
		if (replaces_the_pool(&scenes[i]) && scenes[i].writes)
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
