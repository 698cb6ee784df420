/* SPDX-License-Identifier: MIT */
/*
 * What the store's status says of the names: when they last changed, and whether a
 * list of them is still right. Each kind of change is made by this store, and by
 * somebody else in the file.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "pool_file.h"
#include "store_pool.h"
#include "store_text.h"
#include "util.h"

static const char *path;
static struct kvp_store *store;

/* Gives the pool an mtime that no other change can have. */
static void set_old_time(void)
{
	const struct timespec times[] = { { 1000, 0 }, { 1000, 0 } };

	CU_ASSERT_EQUAL(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void begin(const char *records)
{
	path = pool_file_new("pool", NULL);
	if (records) {
		store_text_make_file(path, records);
		set_old_time();
	}
	store = store_text_open(path, KVP_MODE_RESTRICTED);
}

static void end(void)
{
	kvp_store_free(store);
}

static struct kvp_status look(void)
{
	struct kvp_status status;

	CU_ASSERT_EQUAL(kvp_store_refresh(store), 0);
	kvp_store_status(store, &status);
	return status;
}

enum effect { NOTHING, ORDER, NAMES };

static const struct {
	const char *name;
	const char *before;
	enum store_op op;
	const char *a;
	const char *b;
	enum effect effect;
} ours[] = {
	{ "overwrite", "a=1 b=2", STORE_WRITE, "a", "9", NOTHING },
	{ "same value", "a=1 b=2", STORE_WRITE, "a", "1", NOTHING },
	{ "new", "a=1 b=2", STORE_WRITE, "c", "9", NAMES },
	{ "first of all", "", STORE_WRITE, "a", "9", NAMES },
	{ "repeated last", "a=1 b=2 b=3", STORE_WRITE, "b", "9", ORDER },
	{ "repeated", "a=1 b=2 a=3", STORE_WRITE, "a", "9", ORDER },
	{ "delete", "a=1 b=2", STORE_DELETE, "a", NULL, NAMES },
	{ "delete repeated", "a=1 b=2 a=3", STORE_DELETE, "a", NULL, NAMES },
	{ "rename", "a=1 b=2", STORE_RENAME, "a", "c", NAMES },
	{ "rename over", "a=1 b=2", STORE_RENAME, "a", "b", NAMES },
	{ "exchange", "a=1 b=2", STORE_EXCHANGE, "a", "b", NAMES },
	{ "append to", "a=1 b=2", STORE_APPEND, "b=3 a=4", NULL, NOTHING },
	{ "append new", "a=1 b=2", STORE_APPEND, "a=3 c=4", NULL, NAMES },
	{ "load the same", "a=1 b=2", STORE_LOAD, "a=3 b=4", NULL, ORDER },
	{ "load others", "a=1 b=2", STORE_LOAD, "a=3 c=4", NULL, NAMES },
	{ "load fewer", "a=1 b=2", STORE_LOAD, "a=3", NULL, NAMES },
	{ "clear", "a=1 b=2", STORE_CLEAR, NULL, NULL, NAMES },
};

/* A list that is made anew without need does no harm; one that is not made does. */
static void check_effect(const char *row, enum effect effect,
			 const struct kvp_status *before,
			 const struct kvp_status *after)
{
	bool is_old = kvp_same_time(&before->names_mtime, &after->names_mtime);

	CHECK_ROW(row, is_old == (effect != NAMES));
	if (effect == NAMES)
		CHECK_ROW(row, after->order != before->order);
	if (effect == NOTHING)
		CHECK_ROW(row, after->order == before->order);
}

static void time_of_names_changes_with_names_alone(void)
{
	for (size_t i = 0; i < COUNT(ours); i++) {
		struct kvp_status before;
		struct kvp_status after;

		begin(ours[i].before);
		before = look();
		CU_ASSERT_EQUAL(before.names_mtime.tv_sec, 1000);
		CHECK_ROW(ours[i].name,
			  store_text_perform(store, ours[i].op, ours[i].a,
					     ours[i].b) == 0);
		kvp_store_status(store, &after);
		check_effect(ours[i].name, ours[i].effect, &before, &after);
		if (ours[i].effect == NAMES)
			CHECK_ROW(ours[i].name,
				  kvp_same_time(&after.names_mtime,
						&after.st.st_mtim));
		end();
	}
}

static const struct {
	const char *before;
	const char *after;
	enum effect effect;
} others[] = {
	{ "a=1 b=2", "a=1 b=2", NOTHING },
	{ "a=1 b=2", "a=3 b=4", NOTHING },
	{ "a=1 b=2", "a=1 b=2 a=3", NOTHING },
	{ "a=1 b=2", "b=2 a=1", ORDER },
	{ "a=1 b=2", "b=3 a=1 b=2", ORDER },
	{ "a=1 b=2", "a=1", NAMES },
	{ "a=1", "a=1 b=2", NAMES },
	{ "a=1 b=2", "a=1 c=2", NAMES },
	{ "a=1 b=2", "", NAMES },
	{ "", "a=1", NAMES },
	{ "", "", NOTHING },
	{ "=1 a=2", "a=2 =1", NOTHING },
};

static void changes_by_others_count_alike(void)
{
	for (size_t i = 0; i < COUNT(others); i++) {
		struct kvp_status before;
		struct kvp_status after;

		begin(others[i].before);
		before = look();
		store_text_make_file(path, others[i].after);
		after = look();
		check_effect(others[i].after, others[i].effect, &before,
			     &after);
		if (others[i].effect == ORDER)
			CU_ASSERT_NOT_EQUAL(after.order, before.order);
		end();
	}
}

static void pool_that_appears_or_goes_changes_names(void)
{
	struct kvp_status status;
	struct timespec seen;

	begin(NULL);
	CU_ASSERT_EQUAL(look().names_mtime.tv_sec, 0);
	store_text_make_file(path, "a=1");
	set_old_time();
	status = look();
	CU_ASSERT_EQUAL(status.names_mtime.tv_sec, 1000);
	seen = status.names_mtime;
	CU_ASSERT_EQUAL(unlink(path), 0);
	status = look();
	CU_ASSERT_FALSE(kvp_same_time(&status.names_mtime, &seen));
	end();
}

static const struct check_case cases[] = {
	CHECK_CASE(time_of_names_changes_with_names_alone),
	CHECK_CASE(changes_by_others_count_alike),
	CHECK_CASE(pool_that_appears_or_goes_changes_names),
};

CHECK_MAIN("store_names", cases)
