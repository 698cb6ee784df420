/* SPDX-License-Identifier: MIT */
/*
 * Modes, owners and times that users give to keys: what is shown of them, and when
 * they end.
 *
 * To be linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc.
 */
#include "given.h"

#include <errno.h>

#include "check.h"
#include "fail_alloc.h"

static struct kvpfs_given given;
static struct kvp_value *old; /* of each file, until it is changed */
static struct kvp_value *new;

static void begin(void)
{
	given = (struct kvpfs_given){ 0 };
	old = kvp_value_new(check_bytes("v"));
	new = kvp_value_new(check_bytes("v"));
}

static void end(void)
{
	kvpfs_given_release(&given);
	CU_ASSERT_EQUAL(given.count, 0);
	CU_ASSERT_EQUAL(old->refs, 1);
	CU_ASSERT_EQUAL(new->refs, 1);
	kvp_value_unref(old);
	kvp_value_unref(new);
}

/* What is shown of file ID with VALUE: of a pool of user 1, group 2, mode 0644. */
static struct stat show(uint64_t id, const struct kvp_value *value)
{
	struct stat st = { .st_mode = S_IFREG | 0644,
			   .st_uid = 1,
			   .st_gid = 2,
			   .st_mtim = { 50, 0 },
			   .st_ctim = { 50, 0 } };

	kvpfs_given_apply(&given, id, value, &st);
	return st;
}

static int give_mode(uint64_t id, mode_t mode)
{
	const struct kvpfs_gift gift = { .id = id,
					 .set = KVPFS_GIVEN_MODE,
					 .mode = mode,
					 .ctime = { 60, 0 } };

	return kvpfs_given_add(&given, &gift);
}

static int give_time(uint64_t id, time_t mtime, bool pending)
{
	const struct kvpfs_gift gift = { .id = id,
					 .set = KVPFS_GIVEN_MTIME,
					 .mtime = { mtime, 7 },
					 .ctime = { 60, 0 },
					 .value = old,
					 .pending = pending };

	return kvpfs_given_add(&given, &gift);
}

static void what_is_not_given_is_shown_as_it_is(void)
{
	struct stat st;

	begin();
	st = show(1, old);
	CU_ASSERT_EQUAL(st.st_mode, S_IFREG | 0644);
	CU_ASSERT_EQUAL(give_mode(2, 0600), 0);
	st = show(1, old);
	CU_ASSERT_EQUAL(st.st_mode, S_IFREG | 0644);
	CU_ASSERT_EQUAL(st.st_ctim.tv_sec, 50);
	end();
}

static void each_gift_is_shown_beside_the_others(void)
{
	struct kvpfs_gift owner = { .id = 1,
				    .set = KVPFS_GIVEN_UID | KVPFS_GIVEN_GID,
				    .uid = 8,
				    .gid = 9,
				    .ctime = { 40, 0 } };
	struct stat st;

	begin();
	CU_ASSERT_EQUAL(give_mode(1, 0750), 0);
	st = show(1, old);
	CU_ASSERT_EQUAL(st.st_mode, S_IFREG | 0750);
	CU_ASSERT_EQUAL(st.st_uid, 1);
	CU_ASSERT_EQUAL(st.st_ctim.tv_sec, 60);
	CU_ASSERT_EQUAL(give_time(1, 10, false), 0);
	CU_ASSERT_EQUAL(kvpfs_given_add(&given, &owner), 0);
	st = show(1, old);
	CU_ASSERT_EQUAL(st.st_mode, S_IFREG | 0750);
	CU_ASSERT_EQUAL(st.st_uid, 8);
	CU_ASSERT_EQUAL(st.st_gid, 9);
	CU_ASSERT_EQUAL(st.st_mtim.tv_sec, 10);
	CU_ASSERT_EQUAL(st.st_mtim.tv_nsec, 7);
	/* the value was changed after that */
	CU_ASSERT_EQUAL(st.st_ctim.tv_sec, 50);
	end();
}

static void time_ends_when_the_value_changes(void)
{
	begin();
	CU_ASSERT_EQUAL(give_mode(1, 0600), 0);
	CU_ASSERT_EQUAL(give_time(1, 10, false), 0);
	CU_ASSERT_EQUAL(give_time(2, 10, false), 0);
	CU_ASSERT_EQUAL(show(1, old).st_mtim.tv_sec, 10);
	/* by others: an equal value, but a new one */
	CU_ASSERT_EQUAL(show(1, new).st_mtim.tv_sec, 50);
	kvpfs_given_stored(&given, 1, new, false);
	kvpfs_given_stored(&given, 2, new, true);
	CU_ASSERT_EQUAL(show(1, new).st_mtim.tv_sec, 50);
	CU_ASSERT_EQUAL(show(1, new).st_mode, S_IFREG | 0600);
	/* what has nothing else takes no room */
	CU_ASSERT_EQUAL(given.count, 1);
	end();
}

static void time_that_was_given_after_truncation_outlasts_the_close(void)
{
	begin();
	CU_ASSERT_EQUAL(give_time(1, 10, true), 0);
	CU_ASSERT_EQUAL(show(1, old).st_mtim.tv_sec, 10);
	kvpfs_given_stored(&given, 1, new, true);
	CU_ASSERT_EQUAL(show(1, new).st_mtim.tv_sec, 10);
	CU_ASSERT_EQUAL(show(1, old).st_mtim.tv_sec, 50);
	/* once */
	kvpfs_given_stored(&given, 1, old, true);
	CU_ASSERT_EQUAL(show(1, old).st_mtim.tv_sec, 50);

	CU_ASSERT_EQUAL(give_time(2, 10, true), 0);
	kvpfs_given_stored(&given, 2, new, false); /* written before */
	CU_ASSERT_EQUAL(show(2, new).st_mtim.tv_sec, 50);
	end();
}

static void full_table_takes_more_when_keys_are_gone(void)
{
	uint64_t living[] = { 9, 8, 3, KVPFS_GIVEN_MAX, 7777 };

	begin();
	/* in no order */
	for (uint64_t i = 0; i < KVPFS_GIVEN_MAX; i++)
		CU_ASSERT_EQUAL(give_mode(i * 389 % KVPFS_GIVEN_MAX + 1, 0600),
				0);
	CU_ASSERT_EQUAL(give_mode(7777, 0600), -ENOSPC);
	CU_ASSERT_EQUAL(give_mode(3, 0400), 0);
	CU_ASSERT_EQUAL(give_time(8, 10, false), 0);
	kvpfs_given_purge(&given, living, COUNT(living));
	CU_ASSERT_EQUAL(given.count, 4);
	CU_ASSERT_EQUAL(give_mode(7777, 0600), 0);
	CU_ASSERT_EQUAL(show(3, old).st_mode, S_IFREG | 0400);
	CU_ASSERT_EQUAL(show(4, old).st_mode, S_IFREG | 0644);
	CU_ASSERT_EQUAL(show(8, old).st_mtim.tv_sec, 10);
	CU_ASSERT_EQUAL(show(KVPFS_GIVEN_MAX, old).st_mode, S_IFREG | 0600);
	kvpfs_given_purge(&given, NULL, 0);
	CU_ASSERT_EQUAL(given.count, 0);
	end();
}

static void without_memory_nothing_is_given(void)
{
	begin();
	fail_alloc_at(1);
	CU_ASSERT_EQUAL(give_time(1, 10, false), -ENOMEM);
	CU_ASSERT_TRUE(fail_alloc_end());
	CU_ASSERT_EQUAL(show(1, old).st_mtim.tv_sec, 50);
	end();
}

static const struct check_case cases[] = {
	CHECK_CASE(what_is_not_given_is_shown_as_it_is),
	CHECK_CASE(each_gift_is_shown_beside_the_others),
	CHECK_CASE(time_ends_when_the_value_changes),
	CHECK_CASE(time_that_was_given_after_truncation_outlasts_the_close),
	CHECK_CASE(full_table_takes_more_when_keys_are_gone),
	CHECK_CASE(without_memory_nothing_is_given),
};

CHECK_MAIN("given", cases)
