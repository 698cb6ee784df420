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

struct run {
	const struct scene *scene;
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

/* Whether STORE reads each key of FILE, and nothing else, as FILE says. */
static bool reads_as(struct kvp_store *store, const struct pool_file *file)
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
	return status.records == file->count;
}

/* The next process finds a pool, reads it right and goes on with it. */
static void check_aftermath(struct run *run, bool mixed)
{
	struct kvp_store *store;

	pool_file_load(&run->now, run->path);
	CHECK_ROW(row,
		  scene_is_fair(&run->before, &run->after, &run->now, mixed));
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
	*run = (struct run){ .scene = scene, .path = pool_file_path("pool") };
	scene_pool(&run->before, shift, tail);
	scene_result(scene, &run->before, run->path, &run->after);
}

static void release(struct run *run)
{
	pool_file_release(&run->before);
	pool_file_release(&run->after);
	pool_file_release(&run->now);
}

static void child_that_dies_after_any_write_leaves_a_good_pool(void)
{
	for (size_t i = 0; i < SCENES; i++) {
		struct fail_plan plan = {
			.how = FAIL_DIE, .calls = FAIL_PWRITE | FAIL_FTRUNCATE
		};
		bool died = true;
		struct run run;

		prepare(&run, &scenes[i], 0, 0);
		while (died) {
			plan.nth++;
			snprintf(row, sizeof(row), "%s, after call %u",
				 scenes[i].name, plan.nth);
			pool_file_store(&run.before, run.path);
			died = kill_child(&run, &plan);
			check_aftermath(&run, false);
		}
		CHECK_ROW(scenes[i].name, plan.nth > 1);
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

static const struct check_case cases[] = {
	CHECK_CASE(child_that_dies_after_any_write_leaves_a_good_pool),
	CHECK_CASE(kill_before_any_write_leaves_every_key_a_value),
	CHECK_CASE(kill_between_pages_mixes_no_other_key),
};

CHECK_MAIN("store_kill", cases)
