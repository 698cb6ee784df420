/* SPDX-License-Identifier: MIT */
/*
 * The store on a pool file: what each operation makes of the file, record by
 * record and byte by byte. What it refuses, and what it leaves alone, is in
 * test_store_rules.c; locks, and changes by others, in test_store_shared.c; failing
 * system calls and kills in test_store_faults.c and test_store_kill.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "pool_file.h"
#include "store_pool.h"
#include "store_text.h"

#define NOISE '~' /* what store_text_make_file puts behind the NULs */
static const char *path;

static struct kvp_store *open_pool(const char *records)
{
	path = pool_file_new("pool", NULL);
	if (records)
		store_text_make_file(path, records);
	return store_text_open(path, KVP_MODE_RESTRICTED);
}

static const struct {
	const char *before;
	enum store_op op;
	const char *a;
	const char *b;
	int result;
	const char *after; /* NULL: as before */
} rows[] = {
	{ "", STORE_WRITE, "a", "1", 0, "a=1" },
	{ "a=1 b=2 c=3", STORE_WRITE, "b", "9", 0, "a=1 b=9 c=3" },
	{ "a=1 b=2 c=3", STORE_WRITE, "d", "4", 0, "a=1 b=2 c=3 d=4" },
	{ "a=1 b=2", STORE_WRITE, "a", "", 0, "a= b=2" },
	{ "a=1 b=2", STORE_WRITE, "a", "1", 0, "a=1 b=2" },
	{ "a=1 a=2 a=3", STORE_WRITE, "a", "9", 0, "a=9" },
	{ "a=1 b=2 a=3 c=4 a=5", STORE_WRITE, "a", "9", 0, "b=2 c=4 a=9" },
	{ "a=1 b=2 a=3 c=4", STORE_WRITE, "a", "9", 0, "b=2 a=9 c=4" },
	{ "a=1 b=2 b=3 a=4", STORE_WRITE, "a", "9", 0, "b=2 b=3 a=9" },
	{ "=0 a=1", STORE_WRITE, "b", "2", 0, "=0 a=1 b=2" },
	{ "a=1 =0 a=2 =0", STORE_WRITE, "a", "9", 0, "=0 a=9 =0" },

	{ "a=1", STORE_DELETE, "a", "", 0, "" },
	{ "a=1 b=2 c=3", STORE_DELETE, "a", "", 0, "b=2 c=3" },
	{ "a=1 b=2 c=3", STORE_DELETE, "b", "", 0, "a=1 c=3" },
	{ "a=1 b=2 c=3", STORE_DELETE, "c", "", 0, "a=1 b=2" },
	{ "a=1 b=2 a=3 c=4 a=5", STORE_DELETE, "a", "", 0, "b=2 c=4" },
	{ "a=1 a=2 b=3 b=4", STORE_DELETE, "a", "", 0, "b=3 b=4" },
	{ "b=1 a=2 b=3 a=4 b=5", STORE_DELETE, "a", "", 0, "b=1 b=3 b=5" },
	{ "=0 a=1 =0 b=2", STORE_DELETE, "a", "", 0, "=0 =0 b=2" },
	{ "a=1 b=2", STORE_DELETE, "x", "", KVP_ABSENT, NULL },
	{ "=0 a=1", STORE_DELETE, "", "", KVP_EMPTY_KEY, NULL },

	{ "a=1 b=2 c=3", STORE_RENAME, "b", "x", 0, "a=1 x=2 c=3" },
	{ "a=1 b=2 a=3 c=4", STORE_RENAME, "a", "x", 0, "b=2 x=3 c=4" },
	{ "a=1 b=2 c=3", STORE_RENAME, "a", "b", 0, "b=1 c=3" },
	{ "a=1 b=2 c=3", STORE_RENAME, "c", "a", 0, "a=3 b=2" },
	{ "a=1 b=2 a=3 b=4 c=5", STORE_RENAME, "a", "b", 0, "b=3 c=5" },
	{ "b=1 b=2 a=3 c=4 a=5", STORE_RENAME, "a", "b", 0, "b=5 c=4" },
	{ "a=1 b=2 a=3", STORE_RENAME, "a", "a", 0, NULL },
	{ "a=1 b=2", STORE_RENAME, "x", "a", KVP_ABSENT, NULL },
	{ "a=1 b=2", STORE_RENAME, "x", "y", KVP_ABSENT, NULL },
	{ "a=1 b=2", STORE_RENAME, "x", "x", KVP_ABSENT, NULL },
	{ "=0 a=1", STORE_RENAME, "", "b", KVP_ABSENT, NULL },
	{ "a=1", STORE_RENAME, "a", "", KVP_EMPTY_KEY, NULL },

	{ "a=1 b=2", STORE_NO_REPLACE, "a", "x", 0, "x=1 b=2" },
	{ "a=1 b=2", STORE_NO_REPLACE, "a", "b", KVP_EXISTS, NULL },
	{ "a=1 b=2", STORE_NO_REPLACE, "a", "a", KVP_EXISTS, NULL },
	{ "a=1 b=2", STORE_NO_REPLACE, "x", "a", KVP_ABSENT, NULL },

	{ "a=1 b=2 c=3", STORE_EXCHANGE, "a", "b", 0, "a=2 c=3 b=1" },
	{ "a=1 b=2 c=3", STORE_EXCHANGE, "b", "a", 0, "b=1 c=3 a=2" },
	{ "a=1 b=2 a=3 b=4 c=5", STORE_EXCHANGE, "a", "b", 0, "a=4 c=5 b=3" },
	{ "b=1 b=2 c=3 a=4", STORE_EXCHANGE, "a", "b", 0, "c=3 a=2 b=4" },
	{ "a=1 b=2", STORE_EXCHANGE, "a", "a", 0, NULL },
	{ "a=1 b=2", STORE_EXCHANGE, "a", "x", KVP_ABSENT, NULL },
	{ "a=1 b=2", STORE_EXCHANGE, "x", "a", KVP_ABSENT, NULL },

	{ "", STORE_APPEND, "a=1", "", 0, "a=1" },
	{ "a=1 b=2", STORE_APPEND, "b=3 b=4 c=5", "", 0,
	  "a=1 b=2 b=3 b=4 c=5" },
	{ "a=1", STORE_APPEND, "", "", 0, NULL },
	{ "", STORE_LOAD, "a=1 b=2", "", 0, "a=1 b=2" },
	{ "a=1 b=2 a=3", STORE_LOAD, "x=1 a=2 x=3", "", 0, "x=1 a=2 x=3" },
	{ "a=1 b=2 =0 c=3", STORE_LOAD, "b=9", "", 0, "b=9" },
	{ "a=1", STORE_LOAD, "a=1 b=2 c=3 d=4", "", 0, "a=1 b=2 c=3 d=4" },
	{ "a=1 b=2", STORE_LOAD, "", "", 0, "" },
	{ "", STORE_CLEAR, "", "", 0, "" },
	{ "a=1 =0 b=2", STORE_CLEAR, "", "", 0, "" },
};

/* What the rows say, as this store and another one read it. */
static void check_views(struct kvp_store *store, const char *row)
{
	struct kvp_store *fresh = store_text_open(path, KVP_MODE_FULL);
	char *before = strdup(store_text_entries(store));
	struct kvp_status status;
	struct kvp_status expected;

	CHECK_ROW(row, strcmp(before, store_text_entries(fresh)) == 0);
	free(before);
	before = strdup(store_text_entries_raw(store));
	CHECK_ROW(row, strcmp(before, store_text_entries_raw(fresh)) == 0);
	free(before);
	kvp_store_status(store, &status);
	kvp_store_status(fresh, &expected);
	CHECK_ROW(row, status.records == expected.records);
	CHECK_ROW(row, status.keys == expected.keys);
	CHECK_ROW(row, status.empty_keys == expected.empty_keys);
	CHECK_ROW(row, status.torn_bytes == expected.torn_bytes);
	CHECK_ROW(row, status.st.st_size == expected.st.st_size);
	kvp_store_free(fresh);
}

static void operation_leaves_the_right_records_in_the_right_order(void)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct kvp_store *store = open_pool(rows[i].before);
		const char *after = rows[i].after ? rows[i].after
						  : rows[i].before;
		char row[200];

		snprintf(row, sizeof(row), "%s | %d %s %s", rows[i].before,
			 (int)rows[i].op, rows[i].a, rows[i].b);
		CHECK_ROW(row, store_text_perform(store, rows[i].op, rows[i].a,
						  rows[i].b) == rows[i].result);
		CHECK_ROW(row, strcmp(store_text_of_file(path), after) == 0);
		check_views(store, row);
		kvp_store_free(store);
	}
}

/* Whether the operation was about KEY. */
static bool concerns(size_t row, struct kvp_bytes key)
{
	char word[16];

	snprintf(word, sizeof(word), "%.*s=", (int)key.len, key.data);
	if (rows[row].op == STORE_APPEND || rows[row].op == STORE_LOAD)
		return strstr(rows[row].a, word);
	return kvp_bytes_equal(key, check_bytes(rows[row].a)) ||
	       kvp_bytes_equal(key, check_bytes(rows[row].b));
}

static void record_is_written_with_zeros_or_left_byte_identical(void)
{
	struct pool_file after = { .exists = false };

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct kvp_store *store = open_pool(rows[i].before);

		store_text_perform(store, rows[i].op, rows[i].a, rows[i].b);
		kvp_store_free(store);
		pool_file_load(&after, path);
		for (size_t j = 0; j < after.count; j++) {
			const struct pool_file_record *record =
				&after.records[j];
			struct kvp_bytes key = pool_file_key(record);
			struct kvp_bytes value = pool_file_value(record);
			struct pool_file_record noisy = pool_file_record(key,
									 value,
									 NOISE);
			struct pool_file_record clean = pool_file_record(key,
									 value,
									 0);
			bool left = !memcmp(record, &noisy, sizeof(noisy));
			bool written = !memcmp(record, &clean, sizeof(clean));

			CHECK_ROW(rows[i].before,
				  left || (written && concerns(i, key)));
		}
	}
	pool_file_release(&after);
}

static void noise_behind_a_nul_is_never_shown(void)
{
	struct kvp_store *store = open_pool("a=1 b= =2");

	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "a=1 b=");
	CU_ASSERT_STRING_EQUAL(store_text_entries_raw(store), "a=1 b=");
	kvp_store_free(store);
}

static void shorter_value_leaves_nothing_of_the_longer_one(void)
{
	struct kvp_store *store = open_pool("key=a-long-value");
	struct pool_file expected = { .exists = false };

	CU_ASSERT_EQUAL(store_text_write(store, "key", "short"), 0);
	pool_file_add_text(&expected, "key", "short", 0);
	CU_ASSERT_TRUE(pool_file_is(&expected, path));
	pool_file_release(&expected);
	kvp_store_free(store);
}

static void fields_without_a_nul_end_at_their_width(void)
{
	struct kvp_bytes key = check_repeat('k', 512);
	struct kvp_bytes value = check_repeat('v', 2048);
	struct pool_file file = { .exists = false };
	struct kvp_store *store;
	struct kvp_item item;

	pool_file_add(&file, key, value, 0);
	pool_file_add_text(&file, "next", "n", 0);
	path = pool_file_new("pool", &file);
	store = store_text_open(path, KVP_MODE_RESTRICTED);
	CU_ASSERT_EQUAL_FATAL(kvp_store_read(store, key, &item), 0);
	CHECK_BYTES_EQUAL(kvp_value_bytes(item.value), value);
	kvp_value_unref(item.value);
	CU_ASSERT_TRUE(store_text_reads(store, "next", "n"));
	/* also where it is too long to be written in this mode */
	CU_ASSERT_EQUAL(kvp_store_delete(store, key), 0);
	CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "next=n");
	pool_file_release(&file);
	kvp_store_free(store);
}

static void either_mode_reads_what_the_other_wrote(void)
{
	struct kvp_store *restricted = open_pool("");
	struct kvp_store *full = store_text_open(path, KVP_MODE_FULL);
	struct kvp_bytes key = check_repeat('k', 300);
	struct kvp_bytes value = check_repeat('v', 1500);
	struct kvp_item item;

	CU_ASSERT_EQUAL(kvp_store_write(restricted, key, value),
			KVP_VALUE_TOO_LARGE);
	CU_ASSERT_EQUAL(kvp_store_write(full, key, value), 0);
	CU_ASSERT_EQUAL_FATAL(kvp_store_read(restricted, key, &item), 0);
	CHECK_BYTES_EQUAL(kvp_value_bytes(item.value), value);
	kvp_value_unref(item.value);
	CU_ASSERT_EQUAL(kvp_store_rename(restricted, key, check_bytes("short"),
					 KVP_RENAME_REPLACE),
			0);
	CU_ASSERT_EQUAL(kvp_store_rename(restricted, check_bytes("short"), key,
					 KVP_RENAME_REPLACE),
			KVP_KEY_TOO_LARGE);
	CU_ASSERT_EQUAL(store_text_delete(restricted, "short"), 0);
	CU_ASSERT_STRING_EQUAL(store_text_entries(full), "");
	kvp_store_free(full);
	kvp_store_free(restricted);
}

static void records_with_an_empty_key_are_counted_and_no_entries(void)
{
	struct kvp_store *store = open_pool("=0 a=1 =2 a=3");
	struct kvp_status status;

	kvp_store_status(store, &status);
	CU_ASSERT_TRUE(status.exists);
	CU_ASSERT_EQUAL(status.records, 4);
	CU_ASSERT_EQUAL(status.keys, 1);
	CU_ASSERT_EQUAL(status.empty_keys, 2);
	CU_ASSERT_TRUE(store_text_reads(store, "", NULL));
	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "a=3");
	CU_ASSERT_STRING_EQUAL(store_text_entries_raw(store), "a=1 a=3");
	kvp_store_free(store);
}

static void any_bytes_can_be_read_and_deleted(void)
{
	static const char *const texts[] = {
		"\xff\xfe",
		"\xc3",
		"a\xcc",
		"\xed\xa0\x80",
		"\xc0\xaf",
		"\xf4\x90\x80\x80",
		"\x01\x02\x1b[0m",
		"\n",
		"\t",
		"/",
		"..",
		" ",
		"%00",
		"\x7f",
		"a\nb",
	};
	struct pool_file file = { .exists = true };
	struct kvp_store *store;

	for (size_t i = 0; i < COUNT(texts); i++)
		pool_file_add_text(&file, texts[i], texts[i], NOISE);
	path = pool_file_new("pool", &file);
	store = store_text_open(path, KVP_MODE_RESTRICTED);
	for (size_t i = 0; i < COUNT(texts); i++) {
		CHECK_ROW(texts[i],
			  store_text_reads(store, texts[i], texts[i]));
		CHECK_ROW(texts[i], store_text_delete(store, texts[i]) == 0);
		CHECK_ROW(texts[i], store_text_reads(store, texts[i], NULL));
		pool_file_cut(&file, 0);
		CHECK_ROW(texts[i], pool_file_is(&file, path));
	}
	pool_file_release(&file);
	kvp_store_free(store);
}

static void several_keys_are_deleted_in_one_step(void)
{
	struct kvp_store *store = open_pool("a=1 b=2 =0 a=3 c=4 d=5");
	const struct kvp_bytes keys[] = { check_bytes("d"), check_bytes("x"),
					  check_bytes("a"), check_bytes("a") };
	bool found[4];

	CU_ASSERT_EQUAL(kvp_store_delete_many(store, keys, 4, found), 0);
	CU_ASSERT_TRUE(found[0] && !found[1] && found[2] && found[3]);
	CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "b=2 =0 c=4");
	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "b=2 c=4");
	CU_ASSERT_EQUAL(kvp_store_delete_many(store, keys, 4, found), 0);
	CU_ASSERT_FALSE(found[0] || found[1] || found[2] || found[3]);
	kvp_store_free(store);
}

static void empty_key_among_several_deletes_none(void)
{
	struct kvp_store *store = open_pool("a=1 b=2");
	const struct kvp_bytes keys[] = { check_bytes("a"), check_bytes("") };
	bool found[2];

	CU_ASSERT_EQUAL(kvp_store_delete_many(store, keys, 2, found),
			KVP_EMPTY_KEY);
	CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "a=1 b=2");
	kvp_store_free(store);
}

static void entries_come_in_the_order_of_their_first_records(void)
{
	struct kvp_store *store = open_pool("b=1 a=2 =0 c=3 a=4 b=5");

	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "b=5 a=4 c=3");
	kvp_store_free(store);
}

static void torn_tail_is_ignored_and_kept_by_reading(void)
{
	static const size_t sizes[] = { 1, 511, 512, 513, 2559 };

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct pool_file file = { .exists = false };
		struct kvp_status status;
		struct kvp_store *store;

		pool_file_add_text(&file, "a", "1", NOISE);
		pool_file_tear(&file, sizes[i], 't');
		path = pool_file_new("pool", &file);
		store = store_text_open(path, KVP_MODE_RESTRICTED);
		CU_ASSERT_STRING_EQUAL(store_text_entries(store), "a=1");
		CU_ASSERT_STRING_EQUAL(store_text_entries_raw(store), "a=1");
		kvp_store_status(store, &status);
		CU_ASSERT_EQUAL(status.torn_bytes, sizes[i]);
		CU_ASSERT_EQUAL(status.records, 1);
		CU_ASSERT_EQUAL(store_text_delete(store, "x"), KVP_ABSENT);
		CU_ASSERT_TRUE(pool_file_is(&file, path));
		kvp_store_free(store);
		pool_file_release(&file);
	}
}

static void file_that_is_nothing_but_a_tail_is_an_empty_store(void)
{
	struct pool_file file = { .exists = false };
	struct kvp_store *store;

	pool_file_tear(&file, 100, 't');
	path = pool_file_new("pool", &file);
	store = store_text_open(path, KVP_MODE_RESTRICTED);
	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "");
	CU_ASSERT_EQUAL(store_text_write(store, "a", "1"), 0);
	CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "a=1");
	kvp_store_free(store);
	pool_file_release(&file);
}

static void torn_tail_is_overwritten_by_the_next_change(void)
{
	static const size_t sizes[] = { 1, 600, 2559 };

	for (size_t i = 0; i < COUNT(sizes) * STORE_CHANGES; i++) {
		size_t j = i % STORE_CHANGES;
		struct pool_file file = { .exists = false };
		struct kvp_store *store = open_pool("a=1 b=2 c=3");

		pool_file_load(&file, path);
		pool_file_tear(&file, sizes[i / STORE_CHANGES], 't');
		pool_file_store(&file, path);
		CHECK_ROW(store_changes[j].after,
			  store_text_perform(store, store_changes[j].op,
					     store_changes[j].a,
					     store_changes[j].b) == 0);
		pool_file_load(&file, path);
		CHECK_ROW(store_changes[j].after, file.tail_size == 0);
		CHECK_ROW(store_changes[j].after,
			  strcmp(store_text_of_file(path),
				 store_changes[j].after) == 0);
		check_views(store, store_changes[j].after);
		pool_file_release(&file);
		kvp_store_free(store);
	}
}

static const struct check_case cases[] = {
	CHECK_CASE(operation_leaves_the_right_records_in_the_right_order),
	CHECK_CASE(record_is_written_with_zeros_or_left_byte_identical),
	CHECK_CASE(noise_behind_a_nul_is_never_shown),
	CHECK_CASE(shorter_value_leaves_nothing_of_the_longer_one),
	CHECK_CASE(fields_without_a_nul_end_at_their_width),
	CHECK_CASE(either_mode_reads_what_the_other_wrote),
	CHECK_CASE(records_with_an_empty_key_are_counted_and_no_entries),
	CHECK_CASE(any_bytes_can_be_read_and_deleted),
	CHECK_CASE(several_keys_are_deleted_in_one_step),
	CHECK_CASE(empty_key_among_several_deletes_none),
	CHECK_CASE(entries_come_in_the_order_of_their_first_records),
	CHECK_CASE(torn_tail_is_ignored_and_kept_by_reading),
	CHECK_CASE(file_that_is_nothing_but_a_tail_is_an_empty_store),
	CHECK_CASE(torn_tail_is_overwritten_by_the_next_change),
};

CHECK_MAIN("store_pool", cases)
