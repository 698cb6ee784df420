/* SPDX-License-Identifier: MIT */
/*
 * Repeating a step until the pool's lock can be had or time is up.
 *
 * To be linked with -Wl,--wrap=nanosleep,--wrap=clock_gettime: naps alone take time,
 * so that a slow machine has as many as a fast one.
 */
#include <errno.h>
#include <time.h>

#include "check.h"
#include "result.h"
#include "retry.h"
#include "util.h"

static int64_t now_ns;
static unsigned int naps;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	(void)clock;
	*ret = (struct timespec){ now_ns / 1000000000, now_ns % 1000000000 };
	return 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
	(void)rest;
	naps++;
	now_ns += time->tv_sec * 1000000000 + time->tv_nsec;
	return 0;
}

struct step {
	unsigned int tries;
	unsigned int locked; /* so many find the pool locked, the next has */
	int result;
};

static int try_step(void *arg)
{
	struct step *step = arg;

	return ++step->tries > step->locked ? step->result : KVP_LOCKED;
}

static int run(struct step *step, int64_t patience_ms)
{
	naps = 0;
	return kvpfs_retry(try_step, step, kvp_now_ms() + patience_ms);
}

static void step_that_is_not_locked_out_runs_once(void)
{
	const int results[] = { 0, -EIO, KVP_READ_ONLY };

	for (size_t i = 0; i < sizeof(results) / sizeof(*results); i++) {
		struct step step = { .result = results[i] };

		CU_ASSERT_EQUAL(run(&step, 1000), results[i]);
		CU_ASSERT_EQUAL(step.tries, 1);
		CU_ASSERT_EQUAL(naps, 0);
	}
}

static void step_is_repeated_until_the_lock_is_free(void)
{
	const int results[] = { 0, -EIO, KVP_READ_ONLY };

	for (size_t i = 0; i < sizeof(results) / sizeof(*results); i++) {
		struct step step = { .locked = 7, .result = results[i] };

		CU_ASSERT_EQUAL(run(&step, 1000), results[i]);
		CU_ASSERT_EQUAL(step.tries, 8);
		CU_ASSERT_EQUAL(naps, 7);
	}
}

static void step_is_not_repeated_after_the_deadline(void)
{
	struct step step = { .locked = 1000 };

	CU_ASSERT_EQUAL(run(&step, 5), KVP_LOCKED);
	CU_ASSERT_EQUAL(naps, 5);
	CU_ASSERT_EQUAL(step.tries, 6); /* the last one at the deadline */
}

static void step_is_tried_once_when_time_is_up_before(void)
{
	struct step locked = { .locked = 1 };
	struct step unlocked = { .locked = 0 };

	CU_ASSERT_EQUAL(run(&locked, -1), KVP_LOCKED);
	CU_ASSERT_EQUAL(run(&unlocked, -1), 0);
	CU_ASSERT_EQUAL(naps, 0);
}

static const struct check_case cases[] = {
	CHECK_CASE(step_that_is_not_locked_out_runs_once),
	CHECK_CASE(step_is_repeated_until_the_lock_is_free),
	CHECK_CASE(step_is_not_repeated_after_the_deadline),
	CHECK_CASE(step_is_tried_once_when_time_is_up_before),
};

CHECK_MAIN("retry", cases)
