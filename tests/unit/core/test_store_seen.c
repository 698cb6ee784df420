/* SPDX-License-Identifier: MIT */
/*
 * Snapshots of a store, clearing what one has seen, and restoring bytes: on the pool
 * file and on the store in memory, which must agree.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "pool_file.h"
#include "store_memory.h"
#include "store_pool.h"
#include "store_text.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* What is there at the snapshot, what happens since, and what clearing leaves. */
static const struct {
	const char *before;
	/* "k=v" writes, "+k=v" adds a record, "-k" deletes, "a>b" renames, "a<>b"
	 * exchanges; parted by spaces, in this order */
	const char *since;
	const char *after;
} rows[] = {
	/* nothing has changed */
	{ "", "", "" },
	{ "a=1", "", "" },
	{ "a=1 b=2 a=3 a=3 =4", "", "" },
	/* what is new stays */
	{ "", "a=1", "a=1" },
	{ "a=1 b=2", "c=3", "c=3" },
	{ "a=1 b=2", "+c=3 +c=4", "c=3 c=4" },
	/* so does what was written, in its place among the others */
	{ "a=1 b=2 c=3", "b=4", "b=4" },
	{ "a=1 b=2 c=3", "b=2", "b=2" },
	{ "a=1 b=2 c=3", "-b b=2", "b=2" },
	{ "a=1 b=2 c=3", "c=9 a=8", "a=8 c=9" },
	{ "a=1 a=2 b=3", "a=2", "a=2" },
	{ "a=1 a=2 b=3", "a=1", "a=1" },
	/* of what was added to the records of a key only the new ones stay */
	{ "a=1 b=2", "+a=3", "a=3" },
	{ "a=1 b=2", "+a=1", "a=1" },
	{ "a=1 b=2 a=3", "+a=4 +b=5", "a=4 b=5" },
	{ "a=1 b=2 a=3", "+a=3 +a=3", "a=3 a=3" },
	{ "a=1 a=1", "+a=1", "a=1" },
	/* unless what was there before them was written */
	{ "a=1 b=2", "a=3 +a=4", "a=3 a=4" },
	{ "a=1 a=2", "a=3 +a=4 +a=5", "a=3 a=4 a=5" },
	{ "a=1 a=2", "-a +a=4 +a=5 +a=6", "a=4 a=5 a=6" },
	/* what has gone is no concern */
	{ "a=1 b=2", "-a", "" },
	{ "a=1 b=2", "-a -b", "" },
	{ "a=1 b=2", "-a c=3", "c=3" },
	/* a new name is new */
	{ "a=1 b=2", "a>c", "c=1" },
	{ "a=1 b=2", "a>b", "b=1" },
	{ "a=1 b=2 c=3", "a<>b", "a=2 b=1" },
	/* records without a key go, as many as there were */
	{ "=1 a=1 =2", "b=2", "b=2" },
};

static int change(struct kvp_store *store, const char *word)
{
	static const char *const signs[] = { "<>", ">", "=" };
	const char *at = NULL;
	char first[16];
	size_t kind = 0;

	if (*word == '+')
		return store_text_append(store, word + 1);
	if (*word == '-')
		return store_text_delete(store, word + 1);
	while (!(at = strstr(word, signs[kind])))
		kind++;
	snprintf(first, sizeof(first), "%.*s", (int)(at - word), word);
	at += strlen(signs[kind]);
	if (kind == 2)
		return store_text_write(store, first, at);
	return store_text_rename(store, first, at,
				 kind == 0 ? KVP_RENAME_EXCHANGE
					   : KVP_RENAME_REPLACE);
}

static void change_all(struct kvp_store *store, const char *words,
		       const char *row)
{
	char copy[128];
	char *rest = copy;
	char *word;

	snprintf(copy, sizeof(copy), "%s", words);
	while ((word = strsep(&rest, " ")))
		if (*word)
			CHECK_ROW(row, change(store, word) == 0);
}

/* Takes a snapshot, does what row I says, and clears what was seen. */
static void clear_row(struct kvp_store *store, size_t i)
{
	struct kvp_index seen;
	char row[128];

	snprintf(row, sizeof(row), "%s: %s", rows[i].before, rows[i].since);
	CHECK_ROW(row, kvp_store_snapshot(store, &seen) == 0);
	change_all(store, rows[i].since, row);
	CHECK_ROW(row, kvp_store_clear_seen(store, &seen) == 0);
	kvp_index_release(&seen);
	CHECK_ROW(row, !strcmp(store_text_entries_raw(store), rows[i].after));
}

static void what_was_stored_since_stays(void)
{
	const char *path = pool_file_path("pool");

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct kvp_store *store;

		store_text_make_file(path, rows[i].before);
		store = store_text_open(path, KVP_MODE_FULL);
		clear_row(store, i);
		CHECK_ROW(rows[i].since,
			  !strcmp(store_text_of_file(path), rows[i].after));
		kvp_store_free(store);
	}
}

static void add_all(struct kvp_store *store, const char *words)
{
	char copy[128];
	char *rest = copy;
	char *word;

	snprintf(copy, sizeof(copy), "%s", words);
	while ((word = strsep(&rest, " "))) {
		char *value = strchr(word, '=');

		if (!value)
			continue;
		*value++ = '\0';
		store_memory_add(store, check_bytes(word), check_bytes(value));
	}
}

static void memory_does_the_same(void)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct kvp_store *store = store_memory_new(KVP_MODE_FULL);

		add_all(store, rows[i].before);
		clear_row(store, i);
		kvp_store_free(store);
	}
}

/* What another program does, as whole files; and what clearing leaves. */
static const struct {
	const char *before;
	const char *then;
	const char *after;
} outside[] = {
	{ "a=1 b=2", "a=1 b=2", "" },
	{ "a=1 b=2", "b=2 a=1", "" },
	{ "a=1 b=2", "a=1 b=2 c=3", "c=3" },
	{ "a=1 b=2", "a=1 b=2 a=1", "a=1" },
	{ "a=1 b=2", "a=1 b=2 a=3", "a=3" },
	{ "a=1 b=2", "a=3 b=2", "a=3" },
	{ "a=1 a=2 a=2", "a=2", "" },
	{ "a=1 a=2", "a=1 a=3", "a=1 a=3" },
	{ "=1 a=1", "=1 a=1 =2", "=2" },
	{ "=1 =2 a=1", "=3 b=1", "b=1" },
	{ "a=1", "", "" },
	{ "a=1", "-", "-" },
};

static void what_others_have_stored_since_stays(void)
{
	const char *path = pool_file_path("outside");

	for (size_t i = 0; i < COUNT(outside); i++) {
		struct kvp_store *store;
		struct kvp_index seen;

		store_text_make_file(path, outside[i].before);
		store = store_text_open(path, KVP_MODE_FULL);
		CU_ASSERT_EQUAL(kvp_store_snapshot(store, &seen), 0);
		if (strcmp(outside[i].then, "-") != 0)
			store_text_make_file(path, outside[i].then);
		else if (remove(path) != 0)
			abort();
		CU_ASSERT_EQUAL(kvp_store_clear_seen(store, &seen), 0);
		CHECK_ROW(outside[i].then,
			  !strcmp(store_text_of_file(path), outside[i].after));
		kvp_index_release(&seen);
		kvp_store_free(store);
	}
}

static void snapshot_has_the_same_entries(void)
{
	const char *path = pool_file_path("pool");
	const struct kvp_entry *entry;
	struct kvp_store *store;
	struct kvp_index seen;
	struct kvp_item item;
	size_t cursor = 0;
	size_t count = 0;

	store_text_make_file(path, "a=1 b=2 a=3 =4 c=5 a=6");
	store = store_text_open(path, KVP_MODE_FULL);
	CU_ASSERT_EQUAL(kvp_store_snapshot(store, &seen), 0);
	while ((entry = kvp_index_next(&seen, &cursor))) {
		CU_ASSERT_EQUAL(kvp_store_read(store, entry->key, &item), 0);
		CU_ASSERT_PTR_EQUAL(item.value, entry->value);
		CU_ASSERT_EQUAL(item.id, entry->id);
		kvp_value_unref(item.value);
		count++;
	}
	CU_ASSERT_EQUAL(count, 3);
	CU_ASSERT_EQUAL(seen.records, 6);
	CU_ASSERT_EQUAL(seen.keys, 3);
	CU_ASSERT_EQUAL(seen.empty_keys, 1);
	entry = kvp_index_find(&seen, check_bytes("a"));
	CU_ASSERT_EQUAL(entry->records, 3);
	CU_ASSERT_EQUAL(entry->first, 0);
	CU_ASSERT_EQUAL(entry->last, 5);
	kvp_store_free(store);
	kvp_index_release(&seen); /* it outlives the store */
}

static bool counts_as_clear(struct kvp_store *store, const char *since)
{
	struct kvp_status before;
	struct kvp_status after;
	struct kvp_index seen;

	kvp_store_status(store, &before);
	CU_ASSERT_EQUAL(kvp_store_snapshot(store, &seen), 0);
	change_all(store, since, since);
	CU_ASSERT_EQUAL(kvp_store_clear_seen(store, &seen), 0);
	kvp_index_release(&seen);
	kvp_store_status(store, &after);
	return after.clears == before.clears + 1;
}

static void clearing_all_counts_as_a_clear(void)
{
	const char *path = pool_file_path("pool");
	struct kvp_store *store;

	store_text_make_file(path, "a=1 b=2");
	store = store_text_open(path, KVP_MODE_FULL);
	CU_ASSERT_FALSE(counts_as_clear(store, "c=3"));
	CU_ASSERT_TRUE(counts_as_clear(store, "-c"));
	kvp_store_free(store);
}

/* Not even its times: nothing is written. */
static void nothing_to_clear_leaves_the_file_alone(void)
{
	const char *path = pool_file_path("pool");
	struct kvp_status before;
	struct kvp_status after;
	struct kvp_store *store;
	struct kvp_index seen;

	store_text_make_file(path, "");
	store = store_text_open(path, KVP_MODE_FULL);
	CU_ASSERT_EQUAL(kvp_store_snapshot(store, &seen), 0);
	CU_ASSERT_EQUAL(store_text_write(store, "a", "1"), 0);
	kvp_store_status(store, &before);
	CU_ASSERT_EQUAL(kvp_store_clear_seen(store, &seen), 0);
	CU_ASSERT_EQUAL(kvp_store_refresh(store), 0);
	kvp_store_status(store, &after);
	CU_ASSERT_EQUAL(before.generation, after.generation);
	CU_ASSERT_EQUAL(before.st.st_mtim.tv_nsec, after.st.st_mtim.tv_nsec);
	kvp_index_release(&seen);
	kvp_store_free(store);
}

/* The bytes of FILE. */
static struct kvp_bytes bytes_of(const struct pool_file *file)
{
	return (struct kvp_bytes){ file->records ? file->records->bytes : "",
				   file->count * POOL_FILE_RECORD };
}

/* No key, no text, more than any limit, noise behind the NULs. */
static void add_odd_records(struct pool_file *file)
{
	pool_file_add_text(file, "k", "v", '~');
	pool_file_add_text(file, "", "v", '~');
	pool_file_add_text(file, "\xff", "\xfe", '~');
	pool_file_add(file, check_repeat('k', 512), check_repeat('v', 2048), 0);
	pool_file_add_text(file, "k", "w", 0);
}

static void restored_bytes_become_the_pool_as_they_are(void)
{
	static const char *const before[] = { "-", "", "a=1", "k=v a=1 k=1" };
	struct pool_file file = { .exists = true };

	add_odd_records(&file);
	for (size_t i = 0; i < COUNT(before); i++) {
		const char *path = pool_file_path("pool");
		struct kvp_store *store;

		(void)remove(path);
		if (strcmp(before[i], "-") != 0)
			store_text_make_file(path, before[i]);
		store = store_text_open(path, KVP_MODE_RESTRICTED);
		CU_ASSERT_EQUAL(kvp_store_restore(store, bytes_of(&file)), 0);
		CHECK_ROW(before[i], pool_file_is(&file, path));
		CU_ASSERT_TRUE(store_text_reads(store, "k", "w"));
		CU_ASSERT_TRUE(store_text_reads(store, "a", NULL));
		kvp_store_free(store);
	}
	pool_file_release(&file);
}

static void restored_bytes_are_the_same_in_memory(void)
{
	struct kvp_store *pool = store_text_open(pool_file_new("pool", NULL),
						 KVP_MODE_RESTRICTED);
	struct kvp_store *memory = store_memory_new(KVP_MODE_RESTRICTED);
	struct pool_file file = { .exists = true };

	add_odd_records(&file);
	CU_ASSERT_EQUAL(kvp_store_restore(pool, bytes_of(&file)), 0);
	CU_ASSERT_EQUAL(kvp_store_restore(memory, bytes_of(&file)), 0);
	CU_ASSERT_STRING_EQUAL(store_text_entries_raw(pool),
			       strdupa(store_text_entries_raw(memory)));
	pool_file_release(&file);
	kvp_store_free(pool);
	kvp_store_free(memory);
}

static void torn_tail_goes_with_what_was_there(void)
{
	struct pool_file file = { .exists = true };
	struct pool_file torn = { .exists = true };
	const char *path;
	struct kvp_store *store;

	pool_file_add_text(&torn, "a", "1", 0);
	pool_file_tear(&torn, 2000, 't');
	pool_file_add_text(&file, "k", "v", 0);
	path = pool_file_new("pool", &torn);
	store = store_text_open(path, KVP_MODE_FULL);
	CU_ASSERT_EQUAL(kvp_store_restore(store, bytes_of(&file)), 0);
	CU_ASSERT_TRUE(pool_file_is(&file, path));
	kvp_store_free(store);
	pool_file_release(&file);
	pool_file_release(&torn);
}

static void no_bytes_are_an_empty_pool(void)
{
	const char *path = pool_file_path("pool");
	struct kvp_store *store;

	store_text_make_file(path, "a=1");
	store = store_text_open(path, KVP_MODE_FULL);
	CU_ASSERT_EQUAL(kvp_store_restore(store, check_bytes("")), 0);
	CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "");
	kvp_store_free(store);
}

static void bytes_that_are_not_whole_records_change_nothing(void)
{
	static const size_t sizes[] = { 1, 512, 2559, 2561, 3 * 2560 - 1 };
	static char bytes[3 * 2560];
	const char *path = pool_file_path("pool");
	struct kvp_store *store;

	store_text_make_file(path, "a=1");
	store = store_text_open(path, KVP_MODE_FULL);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct kvp_bytes some = { bytes, sizes[i] };

		CU_ASSERT_EQUAL(kvp_store_restore(store, some), -EINVAL);
		CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "a=1");
	}
	kvp_store_free(store);
}

static void keys_that_are_restored_keep_their_ids(void)
{
	struct pool_file file = { .exists = true };
	const char *path = pool_file_path("pool");
	struct kvp_store *store;
	struct kvp_index before;
	struct kvp_index after;

	add_odd_records(&file);
	store_text_make_file(path, "a=1 k=2");
	store = store_text_open(path, KVP_MODE_FULL);
	CU_ASSERT_EQUAL(kvp_store_snapshot(store, &before), 0);
	CU_ASSERT_EQUAL(kvp_store_restore(store, bytes_of(&file)), 0);
	CU_ASSERT_EQUAL(kvp_store_snapshot(store, &after), 0);
	CU_ASSERT_EQUAL(kvp_index_find(&before, check_bytes("k"))->id,
			kvp_index_find(&after, check_bytes("k"))->id);
	kvp_index_release(&before);
	kvp_index_release(&after);
	kvp_store_free(store);
	pool_file_release(&file);
}

/* Also if it is the same again, of which values are shared. */
static void what_has_replaced_all_since_stays(void)
{
	const char *path = pool_file_path("pool");
	struct kvp_store *store;
	struct kvp_index seen;
	struct kvp_index after;

	store_text_make_file(path, "a=1 k=2");
	store = store_text_open(path, KVP_MODE_RESTRICTED);
	CU_ASSERT_EQUAL(kvp_store_snapshot(store, &seen), 0);
	CU_ASSERT_EQUAL(store_text_load(store, "k=2 a=3"), 0);
	CU_ASSERT_EQUAL(kvp_store_snapshot(store, &after), 0);
	CU_ASSERT_PTR_EQUAL(kvp_index_find(&seen, check_bytes("k"))->value,
			    kvp_index_find(&after, check_bytes("k"))->value);
	CU_ASSERT_EQUAL(kvp_store_clear_seen(store, &seen), 0);
	CU_ASSERT_STRING_EQUAL(store_text_entries_raw(store), "k=2 a=3");
	kvp_index_release(&seen);
	CU_ASSERT_EQUAL(kvp_store_clear_seen(store, &after), 0);
	CU_ASSERT_STRING_EQUAL(store_text_entries_raw(store), "");
	kvp_index_release(&after);
	kvp_store_free(store);
}

static const struct check_case cases[] = {
	CHECK_CASE(what_was_stored_since_stays),
	CHECK_CASE(memory_does_the_same),
	CHECK_CASE(what_others_have_stored_since_stays),
	CHECK_CASE(snapshot_has_the_same_entries),
	CHECK_CASE(clearing_all_counts_as_a_clear),
	CHECK_CASE(nothing_to_clear_leaves_the_file_alone),
	CHECK_CASE(restored_bytes_become_the_pool_as_they_are),
	CHECK_CASE(restored_bytes_are_the_same_in_memory),
	CHECK_CASE(torn_tail_goes_with_what_was_there),
	CHECK_CASE(no_bytes_are_an_empty_pool),
	CHECK_CASE(bytes_that_are_not_whole_records_change_nothing),
	CHECK_CASE(keys_that_are_restored_keep_their_ids),
	CHECK_CASE(what_has_replaced_all_since_stays),
};

CHECK_MAIN("store_seen", cases)
