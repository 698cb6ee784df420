/* SPDX-License-Identifier: MIT */
/*
 * The list of callers that were refused: nobody stands there twice, and it is bounded.
 *
 * To be linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc.
 */
#include "refusals.h"

#include "check.h"
#include "fail_alloc.h"

static void fill(struct kvpfs_refusals *refusals)
{
	for (pid_t pid = 1; pid <= KVPFS_REFUSALS_MAX; pid++)
		CU_ASSERT_TRUE(kvpfs_refusals_add(refusals, pid));
}

static void caller_is_refused_again_only_after_it_was_served(void)
{
	struct kvpfs_refusals refusals = { 0 };

	CU_ASSERT_FALSE(kvpfs_refusals_isolate(&refusals, 5));
	CU_ASSERT_TRUE(kvpfs_refusals_add(&refusals, 5));
	CU_ASSERT_FALSE(kvpfs_refusals_add(&refusals, 5));
	CU_ASSERT_TRUE(kvpfs_refusals_isolate(&refusals, 5));
	CU_ASSERT_FALSE(kvpfs_refusals_isolate(&refusals, 6));
	kvpfs_refusals_settle(&refusals, 6); /* it was not refused */
	CU_ASSERT_FALSE(kvpfs_refusals_add(&refusals, 5));
	kvpfs_refusals_settle(&refusals, 5);
	CU_ASSERT_FALSE(kvpfs_refusals_isolate(&refusals, 5));
	CU_ASSERT_TRUE(kvpfs_refusals_add(&refusals, 5));
	kvpfs_refusals_release(&refusals);
	CU_ASSERT_EQUAL(refusals.count, 0);
}

static void caller_without_a_number_is_never_refused(void)
{
	struct kvpfs_refusals refusals = { 0 };

	CU_ASSERT_FALSE(kvpfs_refusals_add(&refusals, 0));
	CU_ASSERT_TRUE(kvpfs_refusals_isolate(&refusals, 0));
	kvpfs_refusals_release(&refusals);
}

static void all_are_served_while_the_list_is_full(void)
{
	struct kvpfs_refusals refusals = { 0 };

	fill(&refusals);
	CU_ASSERT_FALSE(kvpfs_refusals_add(&refusals, 10000));
	CU_ASSERT_TRUE(kvpfs_refusals_isolate(&refusals, 10000));
	kvpfs_refusals_settle(&refusals, 7);
	CU_ASSERT_FALSE(kvpfs_refusals_isolate(&refusals, 10000));
	CU_ASSERT_TRUE(kvpfs_refusals_add(&refusals, 10000));
	kvpfs_refusals_release(&refusals);
}

static void callers_that_never_come_back_make_room_at_last(void)
{
	struct kvpfs_refusals refusals = { 0 };

	fill(&refusals);
	refusals.lookups = KVPFS_REFUSAL_LOOKUPS;
	CU_ASSERT_FALSE(kvpfs_refusals_add(&refusals, 10000));
	refusals.lookups++;
	CU_ASSERT_FALSE(kvpfs_refusals_isolate(&refusals, 10000));
	CU_ASSERT_EQUAL(refusals.count, 0);
	CU_ASSERT_TRUE(kvpfs_refusals_add(&refusals, 1));
	kvpfs_refusals_release(&refusals);
}

static void caller_is_served_when_it_cannot_be_noted(void)
{
	struct kvpfs_refusals refusals = { 0 };

	fail_alloc_at(1);
	CU_ASSERT_FALSE(kvpfs_refusals_add(&refusals, 5));
	fail_alloc_end();
	CU_ASSERT_FALSE(kvpfs_refusals_isolate(&refusals, 5));
	CU_ASSERT_TRUE(kvpfs_refusals_add(&refusals, 5));
	kvpfs_refusals_release(&refusals);
}

static const struct check_case cases[] = {
	CHECK_CASE(caller_is_refused_again_only_after_it_was_served),
	CHECK_CASE(caller_without_a_number_is_never_refused),
	CHECK_CASE(all_are_served_while_the_list_is_full),
	CHECK_CASE(callers_that_never_come_back_make_room_at_last),
	CHECK_CASE(caller_is_served_when_it_cannot_be_noted),
};

CHECK_MAIN("refusals", cases)
