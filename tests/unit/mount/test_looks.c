/* SPDX-License-Identifier: MIT */
/*
 * The list of callers that may still be in the call that looked a node up.
 *
 * To be linked with -Wl,--wrap=clock_gettime,--wrap=kill.
 */
#include "looks.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#include "check.h"

static int64_t now_ms;
static pid_t ended;	/* this process is no more */
static pid_t forbidden; /* this one must not be signalled */

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_kill(pid_t pid, int number);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	(void)clock;
	*ret = (struct timespec){ now_ms / 1000, now_ms % 1000 * 1000000 };
	return 0;
}

int __wrap_kill(pid_t pid, int number)
{
	CU_ASSERT_EQUAL(number, 0);
	errno = pid == forbidden ? EPERM : ESRCH;
	return pid == ended || pid == forbidden ? -1 : 0;
}

static const int one, other;

static struct kvpfs_looks begin(void)
{
	now_ms = 5000;
	ended = 0;
	forbidden = 0;
	return (struct kvpfs_looks){ 0 };
}

static void others_count_and_not_the_caller_itself(void)
{
	struct kvpfs_looks looks = begin();

	CU_ASSERT_FALSE(kvpfs_looks_by_others(&looks, 5, &one));
	kvpfs_looks_note(&looks, 5, &one);
	CU_ASSERT_FALSE(kvpfs_looks_by_others(&looks, 5, &one));
	CU_ASSERT_TRUE(kvpfs_looks_by_others(&looks, 6, &one));
	CU_ASSERT_FALSE(kvpfs_looks_by_others(&looks, 6, &other));
	kvpfs_looks_note(&looks, 6, &one);
	kvpfs_looks_note(&looks, 7, &one);
	CU_ASSERT_TRUE(kvpfs_looks_by_others(&looks, 7, &one));
}

static void who_looks_something_else_up_is_through(void)
{
	struct kvpfs_looks looks = begin();

	kvpfs_looks_note(&looks, 5, &one);
	kvpfs_looks_note(&looks, 5, &other);
	CU_ASSERT_FALSE(kvpfs_looks_by_others(&looks, 6, &one));
	CU_ASSERT_TRUE(kvpfs_looks_by_others(&looks, 6, &other));
}

static void who_has_ended_is_through(void)
{
	struct kvpfs_looks looks = begin();

	kvpfs_looks_note(&looks, 5, &one);
	forbidden = 5;
	CU_ASSERT_TRUE(kvpfs_looks_by_others(&looks, 6, &one));
	ended = 5;
	forbidden = 0;
	CU_ASSERT_FALSE(kvpfs_looks_by_others(&looks, 6, &one));
}

static void after_a_second_everybody_is_through(void)
{
	struct kvpfs_looks looks = begin();

	kvpfs_looks_note(&looks, 5, &one);
	now_ms += KVPFS_LOOK_MS - 1;
	CU_ASSERT_TRUE(kvpfs_looks_by_others(&looks, 6, &one));
	now_ms++;
	CU_ASSERT_FALSE(kvpfs_looks_by_others(&looks, 6, &one));
}

/* Whoever looks on and on is soon alone, and the others are not forgotten before. */
static void caller_is_alone_after_a_second_without_others(void)
{
	struct kvpfs_looks looks = begin();

	kvpfs_looks_note(&looks, 5, &one);
	for (int ms = 0; ms < KVPFS_LOOK_MS; ms++) {
		kvpfs_looks_note(&looks, 6, &one);
		CU_ASSERT_TRUE(kvpfs_looks_by_others(&looks, 6, &one));
		now_ms++;
	}
	CU_ASSERT_FALSE(kvpfs_looks_by_others(&looks, 6, &one));
	CU_ASSERT_TRUE(kvpfs_looks_by_others(&looks, 5, &one));
	kvpfs_looks_note(&looks, 5, &one);
	CU_ASSERT_TRUE(kvpfs_looks_by_others(&looks, 5, &one));
	CU_ASSERT_TRUE(kvpfs_looks_by_others(&looks, 6, &one));
}

/* Callers whose numbers have the same place in the list. */
static pid_t alike(int n)
{
	return 3 + n * KVPFS_LOOKS_MAX;
}

static void callers_of_like_numbers_are_told_apart(void)
{
	struct kvpfs_looks looks = begin();

	for (int n = 0; n < 4; n++)
		kvpfs_looks_note(&looks, alike(n), n == 2 ? &other : &one);
	CU_ASSERT_TRUE(kvpfs_looks_by_others(&looks, 1, &other));
	CU_ASSERT_FALSE(kvpfs_looks_by_others(&looks, alike(2), &other));
	/* the others' places being free again, it keeps the one that it has */
	now_ms += KVPFS_LOOK_MS / 2;
	kvpfs_looks_note(&looks, alike(2), &other);
	now_ms += KVPFS_LOOK_MS / 2;
	kvpfs_looks_note(&looks, alike(2), &one);
	CU_ASSERT_FALSE(kvpfs_looks_by_others(&looks, 1, &other));
}

/* Too many of them: then anybody may be looking, for a second. */
static void without_room_every_node_counts_as_looked_up(void)
{
	struct kvpfs_looks looks = begin();
	int n = 0;

	while (!kvpfs_looks_by_others(&looks, 1, &other) &&
	       n <= KVPFS_LOOKS_MAX)
		kvpfs_looks_note(&looks, alike(n++), &one);
	CU_ASSERT_TRUE(n > 4);
	CU_ASSERT_TRUE(n <= KVPFS_LOOKS_MAX);
	now_ms += KVPFS_LOOK_MS;
	CU_ASSERT_FALSE(kvpfs_looks_by_others(&looks, 1, &other));
	kvpfs_looks_note(&looks, alike(n), &one);
	CU_ASSERT_FALSE(kvpfs_looks_by_others(&looks, 1, &other));
}

static void those_who_have_ended_make_room(void)
{
	struct kvpfs_looks looks = begin();

	for (int n = 0; n < KVPFS_LOOKS_MAX; n++) {
		kvpfs_looks_note(&looks, alike(n), &one);
		ended = alike(n); /* and nobody else who is in the list */
	}
	CU_ASSERT_FALSE(kvpfs_looks_by_others(&looks, 1, &other));
}

static const struct check_case cases[] = {
	CHECK_CASE(others_count_and_not_the_caller_itself),
	CHECK_CASE(who_looks_something_else_up_is_through),
	CHECK_CASE(who_has_ended_is_through),
	CHECK_CASE(after_a_second_everybody_is_through),
	CHECK_CASE(caller_is_alone_after_a_second_without_others),
	CHECK_CASE(callers_of_like_numbers_are_told_apart),
	CHECK_CASE(without_room_every_node_counts_as_looked_up),
	CHECK_CASE(those_who_have_ended_make_room),
};

CHECK_MAIN("looks", cases)
