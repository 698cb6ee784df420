/* SPDX-License-Identifier: MIT */
/*
 * Differences between readings, as lines, mostly on the store in memory.
 *
 * To be linked as fail_alloc.h says.
 */
#include "events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "fail_alloc.h"
#include "pool_file.h"
#include "store_memory.h"
#include "store_text.h"

static struct kvp_store *store;
static struct kvp_events events;
static uint64_t position;

static void begin_with(struct kvp_store *new_store)
{
	store = new_store;
	events = (struct kvp_events){ 0 };
	CU_ASSERT_EQUAL_FATAL(kvp_store_write(store, check_bytes("old"),
					      check_bytes("1")),
			      0);
	CU_ASSERT_EQUAL_FATAL(kvp_events_open(&events, store, &position), 0);
}

static void begin(void)
{
	begin_with(store_memory_new(KVP_MODE_FULL));
}

static void end(void)
{
	kvp_events_close(&events);
	kvp_store_free(store);
}

static void put(const char *key, const char *value)
{
	CU_ASSERT_EQUAL(kvp_store_write(store, check_bytes(key),
					check_bytes(value)),
			0);
}

/* An update gives exactly these lines, and says whether there were any. */
static void check_lines(const char *expected)
{
	char buf[4096];
	uint64_t oldest;
	bool more = false;
	ssize_t n;

	CU_ASSERT_EQUAL(kvp_events_update(&events, store, &more), 0);
	CU_ASSERT_EQUAL(more, *expected != '\0');
	n = kvp_events_read(&events, position, buf, sizeof(buf), &oldest);
	CU_ASSERT_EQUAL(n, (ssize_t)strlen(expected));
	if (n > 0)
		CU_ASSERT_NSTRING_EQUAL(buf, expected, (size_t)n);
	position += n > 0 ? (uint64_t)n : 0;
}

static void nothing_is_told_of_what_was_there(void)
{
	begin();
	check_lines("");
	end();
}

static void each_kind_of_change_is_a_line(void)
{
	begin();
	put("new", "1");
	check_lines("set new\n");
	put("old", "2");
	check_lines("set old\n");
	CU_ASSERT_EQUAL(kvp_store_delete(store, check_bytes("new")), 0);
	check_lines("delete new\n");
	CU_ASSERT_EQUAL(kvp_store_clear(store), 0);
	check_lines("clear\n");
	end();
}

static void deleting_the_only_key_is_a_deletion(void)
{
	begin();
	CU_ASSERT_EQUAL(kvp_store_delete(store, check_bytes("old")), 0);
	check_lines("delete old\n");
	end();
}

static void equal_value_is_no_change(void)
{
	begin();
	put("old", "1");
	check_lines("");
	end();
}

static void several_changes_come_deletions_first_then_in_pool_order(void)
{
	begin();
	put("b", "1");
	put("a", "1");
	CU_ASSERT_EQUAL(kvp_store_delete(store, check_bytes("old")), 0);
	check_lines("delete old\nset b\nset a\n");
	end();
}

static void rename_is_a_deletion_and_a_set(void)
{
	begin();
	CU_ASSERT_EQUAL(kvp_store_rename(store, check_bytes("old"),
					 check_bytes("other"),
					 KVP_RENAME_REPLACE),
			0);
	check_lines("delete old\nset other\n");
	end();
}

static void names_are_those_of_the_files_and_fit_in_a_line(void)
{
	begin();
	put("a/b\nc%41", "1");
	check_lines("set a%2Fb%0Ac%2541\n");
	end();
}

static void key_that_no_file_shows_is_not_told_of(void)
{
	struct kvp_bytes key = check_repeat('/', 400);

	begin();
	CU_ASSERT_EQUAL(kvp_store_write(store, key, check_bytes("1")), 0);
	check_lines("");
	end();
}

static void failed_reading_is_made_up_for_by_the_next(void)
{
	bool more = false;

	begin();
	put("new", "1");
	store_memory_fail(store, 1, KVP_LOCKED);
	CU_ASSERT_EQUAL(kvp_events_update(&events, store, &more), KVP_LOCKED);
	check_lines("set new\n");
	end();
}

/* How often an update fails until there is memory for all of it. */
static unsigned int updates_without_memory(void)
{
	bool failed = true;
	unsigned int n = 0;
	bool more;
	int r;

	while (failed) {
		fail_alloc_at(++n);
		r = kvp_events_update(&events, store, &more);
		failed = fail_alloc_end();
		CU_ASSERT_EQUAL(r, failed ? -ENOMEM : 0);
	}
	return n - 1;
}

static void lack_of_memory_hides_no_change(void)
{
	char buf[64];
	uint64_t oldest;

	/* the store in memory says at each look that it has changed */
	begin_with(store_text_open(pool_file_new("pool", NULL), KVP_MODE_FULL));
	put("new", "1");
	put("old", "2");
	CU_ASSERT_TRUE(updates_without_memory() > 0);
	CU_ASSERT_EQUAL(kvp_events_read(&events, position, buf, sizeof(buf),
					&oldest),
			(ssize_t)strlen("set old\nset new\n"));
	CU_ASSERT_NSTRING_EQUAL(buf, "set old\nset new\n", 16);
	end();
}

static void reader_without_memory_is_none(void)
{
	bool failed = true;
	int r = 0;

	begin();
	kvp_events_close(&events);
	for (unsigned int n = 1; failed; n++) {
		fail_alloc_at(n);
		r = kvp_events_open(&events, store, &position);
		failed = fail_alloc_end();
		CU_ASSERT_EQUAL(r, failed ? -ENOMEM : 0);
		CU_ASSERT_EQUAL(events.readers, !failed);
	}
	put("new", "1");
	check_lines("set new\n");
	end();
}

static void second_reader_begins_where_it_came(void)
{
	uint64_t second;

	begin();
	put("a", "1");
	check_lines("set a\n");
	CU_ASSERT_EQUAL(kvp_events_open(&events, store, &second), 0);
	CU_ASSERT_EQUAL(second, position);
	kvp_events_close(&events);
	put("b", "1");
	check_lines("set b\n");
	end();
}

static void reader_that_was_overtaken_goes_on_at_a_whole_line(void)
{
	char value[16];
	char buf[16];
	uint64_t oldest = 0;
	bool more;

	begin();
	for (int i = 0; i < KVP_EVENTS_SIZE / 8; i++) {
		snprintf(value, sizeof(value), "%d", i);
		put("key", value);
		CU_ASSERT_EQUAL(kvp_events_update(&events, store, &more), 0);
	}
	CU_ASSERT_EQUAL(kvp_events_read(&events, position, buf, 8, &oldest), 8);
	put("key", "last");
	CU_ASSERT_EQUAL(kvp_events_update(&events, store, &more), 0);
	CU_ASSERT_EQUAL(kvp_events_read(&events, position, buf, sizeof(buf),
					&oldest),
			-EOVERFLOW);
	CU_ASSERT_EQUAL(kvp_events_read(&events, oldest, buf, 8, &oldest), 8);
	CU_ASSERT_NSTRING_EQUAL(buf, "set key\n", 8);
	end();
}

static const struct check_case cases[] = {
	CHECK_CASE(nothing_is_told_of_what_was_there),
	CHECK_CASE(each_kind_of_change_is_a_line),
	CHECK_CASE(deleting_the_only_key_is_a_deletion),
	CHECK_CASE(equal_value_is_no_change),
	CHECK_CASE(several_changes_come_deletions_first_then_in_pool_order),
	CHECK_CASE(rename_is_a_deletion_and_a_set),
	CHECK_CASE(names_are_those_of_the_files_and_fit_in_a_line),
	CHECK_CASE(key_that_no_file_shows_is_not_told_of),
	CHECK_CASE(failed_reading_is_made_up_for_by_the_next),
	CHECK_CASE(lack_of_memory_hides_no_change),
	CHECK_CASE(reader_without_memory_is_none),
	CHECK_CASE(second_reader_begins_where_it_came),
	CHECK_CASE(reader_that_was_overtaken_goes_on_at_a_whole_line),
};

CHECK_MAIN("events", cases)
