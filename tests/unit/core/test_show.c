/* SPDX-License-Identifier: MIT */
#include "show.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "locker.h"
#include "pool_file.h"
#include "store_memory.h"
#include "store_text.h"

typedef int show_function(struct kvp_store *store, FILE *out);

/* What SHOW prints of STORE; to be freed. */
static char *shown(struct kvp_store *store, show_function *show)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	CU_ASSERT_EQUAL(show(store, out), 0);
	(void)fclose(out);
	return text;
}

static void check_shown(struct kvp_store *store, show_function *show,
			const char *expected)
{
	char *text = shown(store, show);

	CU_ASSERT_STRING_EQUAL(text, expected);
	free(text);
}

static void records_and_entries_are_lines(void)
{
	struct kvp_store *store = store_memory_new(KVP_MODE_FULL);

	check_shown(store, kvp_show_records, "");
	check_shown(store, kvp_show_entries, "");
	store_memory_add(store, check_bytes("a=b"), check_bytes("1"));
	store_memory_add(store, check_bytes(""), check_bytes("2"));
	store_memory_add(store, check_bytes("c"), check_bytes("3\n"));
	store_memory_add(store, check_bytes("a=b"), check_bytes("4%0A"));
	check_shown(store, kvp_show_records, "a%3Db=1\nc=3%0A\na%3Db=4%250A\n");
	check_shown(store, kvp_show_entries, "a%3Db=4%250A\nc=3%0A\n");
	kvp_store_free(store);
}

static void pool_is_its_bytes(void)
{
	struct pool_file file = { .exists = true };
	const char *path;
	struct kvp_store *store;
	struct kvp_bytes bytes = { NULL, 0 };
	char *data = NULL;
	FILE *out = open_memstream(&data, &bytes.len);

	pool_file_add_text(&file, "k", "v", '~');
	pool_file_add_text(&file, "\xff", "", '~');
	path = pool_file_new("pool", &file);
	store = store_text_open(path, KVP_MODE_FULL);
	CU_ASSERT_EQUAL(kvp_show_pool(store, out), 0);
	(void)fclose(out);
	bytes.data = data;
	CHECK_BYTES_EQUAL(bytes, ((struct kvp_bytes){ file.records->bytes,
						      2 * POOL_FILE_RECORD }));
	free(data);
	kvp_store_free(store);
	pool_file_release(&file);
}

static int show_status(struct kvp_store *store, FILE *out)
{
	const struct kvp_show_extra extra = { "guest", 5, 3 };

	return kvp_show_status(store, &extra, out);
}

/* The line NAME of the status of STORE is VALUE. */
static bool status_is(struct kvp_store *store, const char *name,
		      const char *value)
{
	char *text = shown(store, show_status);
	char line[256];
	bool is;

	snprintf(line, sizeof(line), "\n%s=%s\n", name, value);
	is = strstr(text, line);
	free(text);
	return is;
}

static void status_is_these_lines_in_this_order(void)
{
	struct pool_file file = { .exists = true };
	struct kvp_store *store;
	char expected[512];
	const char *path;

	pool_file_add_text(&file, "a", "1", 0);
	pool_file_add_text(&file, "", "2", 0);
	pool_file_add(&file, check_repeat('/', 400), check_repeat('v', 1500),
		      0);
	pool_file_add_text(&file, "bad\n", "\xff", 0);
	pool_file_add_text(&file, "a", "3", 0);
	pool_file_add_text(&file, "worse", "\xff", 0);
	pool_file_tear(&file, 7, 't');
	path = pool_file_new("status", &file);
	store = store_text_open(path, KVP_MODE_FULL);
	snprintf(expected, sizeof(expected),
		 "pool=guest\npath=%s\nmode=full\nrecords=6\nkeys=4\n"
		 "repeated=1\nempty_keys=1\nnot_utf8=2\nunlisted=1\n"
		 "torn_bytes=7\nstale=no\nmax_key_size=512\n"
		 "max_value_size=2048\nmax_keys=1024\nhidden_from_host=2\n"
		 "first_hiding=bad%%0A\ncut_for_host=1\nlock_waits=5\n"
		 "lock_timeouts=3\n",
		 path);
	check_shown(store, show_status, expected);
	kvp_store_free(store);
	pool_file_release(&file);
}

static void first_hiding_is_a_file_name_if_there_is_one(void)
{
	static const struct {
		const char *key;
		const char *name;
	} rows[] = {
		{ "", "" },
		{ "k", "k" },
		{ "a/b%41\n", "a%2Fb%2541%0A" },
		{ ".", "%2E" },
	};
	char expected[400 + 1] = "";

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct kvp_store *store = store_memory_new(KVP_MODE_FULL);

		store_memory_add(store, check_bytes(rows[i].key),
				 check_bytes("\xff"));
		CHECK_ROW(rows[i].key,
			  status_is(store, "first_hiding", rows[i].name));
		kvp_store_free(store);
	}
	memset(expected, '/', 400);
	{
		struct kvp_store *store = store_memory_new(KVP_MODE_FULL);

		store_memory_add(store, check_repeat('/', 400),
				 check_bytes("\xff"));
		CU_ASSERT_TRUE(status_is(store, "first_hiding", expected));
		kvp_store_free(store);
	}
}

static void status_of_a_locked_pool_is_that_of_the_last_reading(void)
{
	const char *path = pool_file_path("locked");
	struct kvp_store *store;
	struct locker locker;

	store_text_make_file(path, "a=1");
	store = store_text_open(path, KVP_MODE_FULL);
	locker_start(&locker, path);
	CU_ASSERT_TRUE(locker_take(&locker, LOCKER_FLOCK_EXCLUSIVE));
	store_text_make_file(path, "a=1 b=2");
	CU_ASSERT_EQUAL(kvp_store_refresh(store), KVP_LOCKED);
	CU_ASSERT_TRUE(status_is(store, "records", "1"));
	CU_ASSERT_TRUE(status_is(store, "stale", "no"));
	locker_release(&locker);
	CU_ASSERT_TRUE(status_is(store, "records", "2"));
	locker_stop(&locker);
	kvp_store_free(store);
}

static void full_disk_is_an_error(void)
{
	static show_function *const functions[] = {
		kvp_show_records, kvp_show_entries, kvp_show_pool, show_status
	};
	struct kvp_store *store = store_memory_new(KVP_MODE_FULL);

	CU_ASSERT_EQUAL(store_text_write(store, "k", "v"), 0);
	for (size_t i = 0; i < COUNT(functions); i++) {
		FILE *full = fopen("/dev/full", "w");

		CU_ASSERT_PTR_NOT_NULL_FATAL(full);
		setvbuf(full, NULL, _IONBF, 0);
		CU_ASSERT_EQUAL(functions[i](store, full), -ENOSPC);
		(void)fclose(full);
	}
	kvp_store_free(store);
}

static void store_that_fails_shows_its_result(void)
{
	static show_function *const functions[] = {
		kvp_show_records, kvp_show_entries, kvp_show_pool, show_status
	};
	struct kvp_store *store = store_memory_new(KVP_MODE_FULL);
	FILE *out = fopen("/dev/null", "w");

	for (size_t i = 0; i < COUNT(functions); i++) {
		store_memory_fail(store, 1, -EIO);
		CU_ASSERT_EQUAL(functions[i](store, out), -EIO);
	}
	for (size_t i = 0; i < 3; i++) {
		store_memory_fail(store, 1, KVP_LOCKED);
		CU_ASSERT_EQUAL(functions[i](store, out), KVP_LOCKED);
	}
	(void)fclose(out);
	kvp_store_free(store);
}

static const struct check_case cases[] = {
	CHECK_CASE(records_and_entries_are_lines),
	CHECK_CASE(pool_is_its_bytes),
	CHECK_CASE(status_is_these_lines_in_this_order),
	CHECK_CASE(first_hiding_is_a_file_name_if_there_is_one),
	CHECK_CASE(status_of_a_locked_pool_is_that_of_the_last_reading),
	CHECK_CASE(full_disk_is_an_error),
	CHECK_CASE(store_that_fails_shows_its_result),
};

CHECK_MAIN("show", cases)
