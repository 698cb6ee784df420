/* SPDX-License-Identifier: MIT */
/*
 * lost.h, by way of a store on a pool file: which of our changes count as lost
 * after another program has rewritten the file.
 */
#include "lost.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"
#include "pool_file.h"
#include "store_pool.h"
#include "store_text.h"

/*
 * Keys and values have one letter each. Pools are written as store_text.h says, our
 * changes: "a2" write, "-a" delete, "a>b" rename, "a~b" exchange, "+a2" append, "!"
 * clear.
 */
struct row {
	const char *before;
	const char *changes;
	const char *after;
	const char *lost; /* keys, in the order of their first changes */
};

static char reported[64];

static void report(void *arg, struct kvp_bytes key)
{
	CU_ASSERT_PTR_EQUAL(arg, reported);
	strncat(reported, key.data, key.len);
}

static struct kvp_store *open_store(const char *path)
{
	const struct kvp_pool_config config = { .path = path,
						.lost = report,
						.lost_arg = reported };
	struct kvp_store *store = NULL;

	reported[0] = '\0';
	CU_ASSERT_EQUAL_FATAL(kvp_store_pool_open(&config, &store), 0);
	return store;
}

static bool has_lost(struct kvp_store *store, const char *keys)
{
	struct kvp_status status;

	CU_ASSERT_EQUAL(kvp_store_refresh(store), 0);
	kvp_store_status(store, &status);
	return status.lost_updates == strlen(keys) &&
	       strcmp(reported, keys) == 0;
}

/* One change; returns what is behind it. */
static const char *change(struct kvp_store *store, const char *text)
{
	struct kvp_bytes first = { text, 1 };
	struct kvp_bytes second = { text + 1, 1 };
	struct kvp_bytes third = { text + 2, 1 };
	struct kvp_pair pair = { second, third };

	switch (text[0]) {
	case '-':
		CU_ASSERT_EQUAL(kvp_store_delete(store, second), 0);
		return text + 2;
	case '+':
		CU_ASSERT_EQUAL(kvp_store_append(store, &pair, 1), 0);
		return text + 3;
	case '!':
		CU_ASSERT_EQUAL(kvp_store_clear(store), 0);
		return text + 1;
	default:
		break;
	}
	if (text[1] != '>' && text[1] != '~') {
		CU_ASSERT_EQUAL(kvp_store_write(store, first, second), 0);
		return text + 2;
	}
	CU_ASSERT_EQUAL(kvp_store_rename(store, first, third,
					 text[1] == '>' ? KVP_RENAME_REPLACE
							: KVP_RENAME_EXCHANGE),
			0);
	return text + 3;
}

/* The store, after all that ROW tells has happened; the file is AGE seconds old. */
static struct kvp_store *play(const struct row *row, int age)
{
	const char *path = pool_file_path("pool");
	struct kvp_store *store;

	store_text_make_file(path, row->before);
	store = open_store(path);
	for (const char *text = row->changes; *text; text += *text == ' ')
		text = change(store, text);
	store_text_make_file(path, row->after);
	if (age) {
		struct timespec times[2];

		clock_gettime(CLOCK_REALTIME, &times[0]);
		times[0].tv_sec += age;
		times[1] = times[0];
		utimensat(AT_FDCWD, path, times, 0);
	}
	return store;
}

static void check_rows(const struct row *rows, size_t count, int age)
{
	for (size_t i = 0; i < count; i++) {
		struct kvp_store *store = play(&rows[i], age);
		char row[64];

		snprintf(row, sizeof(row), "%s | %s | %s", rows[i].before,
			 rows[i].changes, rows[i].after);
		CHECK_ROW(row, has_lost(store, rows[i].lost));
		kvp_store_free(store);
	}
}

#define CHECK_ROWS(rows, age) \
	check_rows(rows, sizeof(rows) / sizeof(*(rows)), age)

static const struct row undone[] = {
	{ "a=1 b=2", "a3", "a=1 b=2", "a" },
	{ "a=1 b=2", "c3", "a=1 b=2", "c" },
	{ "a=1 b=2", "-a", "a=1 b=2", "a" },
	{ "a=1 b=2", "-b", "a=1 b=2", "b" },
	{ "a=1 b=2", "b>c", "a=1 b=2", "bc" },
	{ "a=1 b=2", "a>b", "a=1 b=2", "ba" },
	{ "a=1 b=2", "a~b", "a=1 b=2", "ba" },
	{ "a=1 b=2", "c3 d4", "a=1 b=2", "cd" },
	/* the first came in time */
	{ "a=1 b=2", "a3 b4", "a=3 b=2", "b" },
	{ "a=1 b=2", "a3 a4 a5", "a=3 b=2", "a" },
	/* the other program's own change */
	{ "a=1 b=2", "a3", "a=1 b=9", "a" },
	{ "a=1 b=2", "a3", "a=1 b=2 h=9", "a" },
	{ "a=1 b=2 c=3", "a3", "a=1 c=3", "a" },
	{ "a=1 b=2", "c3", "a=1 b=9", "c" },
	{ "a=1 b=2 c=3", "-a", "a=1 b=2 c=3 h=9", "a" },
	{ "a=1 b=2", "-b", "a=1 b=2 h=9", "b" },
	{ "a=1 b=2", "a3 b4", "a=1 b=9", "a" },
};

static void change_that_is_undone_counts(void)
{
	CHECK_ROWS(undone, 0);
}

static void change_that_is_not_surely_undone_does_not_count(void)
{
	static const struct row rows[] = {
		{ "a=1 b=2", "", "a=1 b=9", "" },
		/* nothing is lost */
		{ "a=1 b=2", "a3", "a=3 b=9", "" },
		{ "a=1 b=2", "c3", "a=1 b=2 c=3 h=9", "" },
		{ "a=1 b=2", "a1", "a=1 b=9", "" },
		{ "a=1 b=2", "a3 a1", "a=1 b=9", "" },
		/* set or deleted by others */
		{ "a=1 b=2", "a3", "a=9 b=2", "" },
		{ "a=1 b=2", "a3", "b=2", "" },
		{ "a=1 b=2", "-a", "b=2 a=1", "" },
		{ "a=1 b=2", "-a", "b=2 a=9", "" },
		/* more than one change of others */
		{ "a=1 b=2 c=3", "a9", "a=1 b=8 c=8", "" },
		{ "a=1 b=2 c=3", "a9", "a=1 h=8", "" },
		{ "a=1", "b2", "", "" },
		/* an earlier one is gone, but not the later one */
		{ "a=1 b=2", "a3 b4", "a=1 b=4", "" },
		/* changes of many keys */
		{ "a=1 b=2", "a3 +c4", "a=1 b=2", "" },
		{ "a=1 b=2", "!", "a=1 b=2", "" },
		{ "a=1 b=2", "a3 !", "a=1 b=2", "" },
	};

	CHECK_ROWS(rows, 0);
}

static void rewrite_long_after_the_change_undoes_nothing(void)
{
	struct row rows[sizeof(undone) / sizeof(*undone)];

	memcpy(rows, undone, sizeof(rows));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		rows[i].lost = "";
	CHECK_ROWS(rows, 3600);
}

static void rewrites_are_counted_one_by_one(void)
{
	const struct row row = { "a=1", "a2", "a=1", "a" };
	struct kvp_store *store = play(&row, 0);
	const char *path = pool_file_path("pool");

	CU_ASSERT_TRUE(has_lost(store, "a"));
	store_text_make_file(path, "a=2");
	CU_ASSERT_TRUE(has_lost(store, "a"));
	store_text_make_file(path, "a=1");
	CU_ASSERT_TRUE(has_lost(store, "a"));
	change(store, "b5");
	store_text_make_file(path, "a=1");
	CU_ASSERT_TRUE(has_lost(store, "ab"));
	kvp_store_free(store);
}

/* The first of them may have undone ours on purpose. */
static void several_rewrites_at_once_are_not_judged(void)
{
	const struct row row = { "a=1 b=2", "a3", "a=1 b=2", "" };
	struct kvp_store *store = play(&row, 0);

	store_text_make_file(pool_file_path("pool"), "a=1 b=9");
	CU_ASSERT_TRUE(has_lost(store, ""));
	kvp_store_free(store);
}

/* The oldest are forgotten: what they undo is a second change of others then. */
static void only_the_latest_changes_are_recognized(void)
{
	const char *before = "a=1 b=1 c=1 d=1 e=1 f=1 g=1 h=1 i=1 j=1 k=1 l=1 "
			     "m=1 n=1 o=1 p=1 q=1 r=1";
	const char *changes = "a2 b2 c2 d2 e2 f2 g2 h2 i2 j2 k2 l2 m2 n2 o2 p2 "
			      "q2 r2";
	const char *after = "a=2 b=2 c=1 d=1 e=1 f=1 g=1 h=1 i=1 j=1 k=1 l=1 "
			    "m=1 n=1 o=1 p=1 q=1 r=1";
	const struct row rows[] = {
		{ before, changes, after, "cdefghijklmnopqr" },
		{ before, changes, before, "" },
	};

	CHECK_ROWS(rows, 0);
}

static const struct check_case cases[] = {
	CHECK_CASE(change_that_is_undone_counts),
	CHECK_CASE(change_that_is_not_surely_undone_does_not_count),
	CHECK_CASE(rewrite_long_after_the_change_undoes_nothing),
	CHECK_CASE(rewrites_are_counted_one_by_one),
	CHECK_CASE(several_rewrites_at_once_are_not_judged),
	CHECK_CASE(only_the_latest_changes_are_recognized),
};

CHECK_MAIN("lost", cases)
