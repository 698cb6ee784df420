/* SPDX-License-Identifier: MIT */
/*
 * Thousands of random operations, the same ones in each run, on a pool file that
 * other programs change in between. After each one the result must be that of the
 * store in memory (store_memory.h), and the file, read with the tests' own code,
 * must be byte for byte what a list of raw records says that this file kept.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "pool_file.h"
#include "store_memory.h"
#include "store_pool.h"
#include "store_text.h"

#define STEPS 2000
#define NO_SLOT SIZE_MAX

static const char *path;
static enum kvp_mode mode;
static struct kvp_store *store;	 /* the one that is tested */
static struct kvp_store *memory; /* what it is compared with */
static struct pool_file model;	 /* what the file should hold */

static struct kvp_bytes random_key(void)
{
	static const char *const keys[] = {
		"a",	"b",	    "c",	 "d",
		"e",	"f",	    "x=y",	 "net/check-cache",
		"..",	"\xc3\xa9", "new\nline", "",
		"\xff",
	};
	static const size_t lengths[] = { 254, 255, 512, 513 };
	unsigned int n = check_random(COUNT(keys) + COUNT(lengths));

	return n < COUNT(keys) ? check_bytes(keys[n])
			       : check_repeat('k', lengths[n - COUNT(keys)]);
}

static struct kvp_bytes random_value(void)
{
	static const size_t lengths[] = { 0,	1,    2,    7,	  100, 600,
					  1022, 1023, 2047, 2048, 2049 };
	static const char *const texts[] = { "\xe2\x82\xac", "\xe2\x82",
					     "a\xff" };
	unsigned int n = check_random(COUNT(lengths) + COUNT(texts));

	return n < COUNT(lengths) ? check_repeat((char)('a' + check_random(26)),
						 lengths[n])
				  : check_bytes(texts[n - COUNT(lengths)]);
}

/* Pairs of keys and values that may be written, mostly; memory until next time. */
static const struct kvp_pair *random_pairs(size_t count)
{
	static struct kvp_pair pairs[64];
	static char values[64][8];
	bool refusable = check_random(10) == 0;

	for (size_t i = 0; i < count; i++) {
		snprintf(values[i], sizeof(values[i]), "%u",
			 check_random(100000));
		pairs[i].key.data = &"abcdefghijkl"[check_random(12)];
		pairs[i].key.len = 1;
		pairs[i].value = check_bytes(values[i]);
	}
	if (refusable && count > 0)
		pairs[count - 1].key = random_key();
	return pairs;
}

static size_t last_slot(struct kvp_bytes key)
{
	const struct pool_file_record *record = pool_file_find(&model, key);

	return record ? (size_t)(record - model.records) : NO_SLOT;
}

/* Cuts out the records of KEY but for the one at KEPT; says where that is now. */
static size_t cut_others(struct kvp_bytes key, size_t kept)
{
	for (size_t i = model.count; i-- > 0;) {
		if (i == kept ||
		    !kvp_bytes_equal(pool_file_key(&model.records[i]), key))
			continue;
		pool_file_cut(&model, i);
		if (kept != NO_SLOT && i < kept)
			kept--;
	}
	return kept;
}

static void model_write(struct kvp_bytes key, struct kvp_bytes value)
{
	size_t slot = last_slot(key);

	if (slot == NO_SLOT) {
		pool_file_add(&model, key, value, 0);
		return;
	}
	model.records[slot] = pool_file_record(key, value, 0);
	cut_others(key, slot);
}

/* VALUE is a copy: records move. */
static void model_rename(struct kvp_bytes from, struct kvp_bytes to,
			 bool exchange)
{
	struct pool_file_record source = model.records[last_slot(from)];
	struct kvp_bytes value = pool_file_value(&source);
	size_t slot;

	if (exchange) {
		struct pool_file_record target = model.records[last_slot(to)];

		cut_others(to, NO_SLOT);
		model_write(from, pool_file_value(&target));
		pool_file_add(&model, to, value, 0);
		return;
	}
	if (last_slot(to) == NO_SLOT) {
		slot = cut_others(from, last_slot(from));
		model.records[slot] = pool_file_record(to, value, 0);
		return;
	}
	model_write(to, value);
	cut_others(from, NO_SLOT);
}

static int do_write(void)
{
	struct kvp_bytes key = random_key();
	struct kvp_bytes value = random_value();
	int r = kvp_store_write(store, key, value);

	CU_ASSERT_EQUAL(kvp_store_write(memory, key, value), r);
	if (r == 0)
		model_write(key, value);
	return r;
}

static int do_delete(void)
{
	struct kvp_bytes key = random_key();
	int r = kvp_store_delete(store, key);

	CU_ASSERT_EQUAL(kvp_store_delete(memory, key), r);
	if (r == 0)
		cut_others(key, NO_SLOT);
	return r;
}

static int do_delete_many(void)
{
	struct kvp_bytes keys[3] = { random_key(), random_key(), random_key() };
	size_t count = check_random(4);
	bool found[3];
	bool found_there[3];
	bool any = false;
	int r = kvp_store_delete_many(store, keys, count, found);

	CU_ASSERT_EQUAL(kvp_store_delete_many(memory, keys, count, found_there),
			r);
	for (size_t i = 0; i < count && r == 0; i++) {
		CU_ASSERT_EQUAL(found[i], found_there[i]);
		cut_others(keys[i], NO_SLOT);
		any |= found[i];
	}
	return r || any ? r : KVP_ABSENT;
}

static int do_rename(void)
{
	struct kvp_bytes from = random_key();
	struct kvp_bytes to = random_key();
	enum kvp_rename how = (enum kvp_rename)check_random(3);
	int r = kvp_store_rename(store, from, to, how);

	CU_ASSERT_EQUAL(kvp_store_rename(memory, from, to, how), r);
	if (r == 0 && kvp_bytes_equal(from, to))
		return KVP_EXISTS; /* nothing was to be done */
	if (r == 0)
		model_rename(from, to, how == KVP_RENAME_EXCHANGE);
	return r;
}

static int do_append(void)
{
	size_t count = 1 + check_random(check_random(8) ? 3 : 50);
	const struct kvp_pair *pairs = random_pairs(count);
	int r = store_text_append_pairs(store, pairs, count);

	CU_ASSERT_EQUAL(store_text_append_pairs(memory, pairs, count), r);
	for (size_t i = 0; i < count && r == 0; i++)
		pool_file_add(&model, pairs[i].key, pairs[i].value, 0);
	return r;
}

static int do_load(void)
{
	size_t count = check_random(check_random(4) ? 10 : 50);
	const struct kvp_pair *pairs = random_pairs(count);
	int r = store_text_load_pairs(store, pairs, count);

	CU_ASSERT_EQUAL(store_text_load_pairs(memory, pairs, count), r);
	if (r == 0)
		model.count = 0;
	for (size_t i = 0; i < count && r == 0; i++)
		pool_file_add(&model, pairs[i].key, pairs[i].value, 0);
	return r;
}

/* Some of the records that are there now, and some odd ones, become the pool. */
static int do_restore(void)
{
	struct pool_file file = { .exists = true };
	struct kvp_bytes bytes = { "", 0 };
	int r;

	for (size_t i = 0; i < model.count; i++)
		if (check_random(3) > 0)
			pool_file_add(&file, pool_file_key(&model.records[i]),
				      pool_file_value(&model.records[i]), '~');
	if (check_random(2) > 0)
		pool_file_add(&file, check_bytes("\xff"),
			      check_repeat('r', check_random(2049)), '~');
	if (file.count > 0)
		bytes = (struct kvp_bytes){ file.records->bytes,
					    file.count * POOL_FILE_RECORD };
	r = kvp_store_restore(store, bytes);
	CU_ASSERT_EQUAL(kvp_store_restore(memory, bytes), r);
	file.exists = file.count > 0 || model.exists;
	pool_file_copy(&model, &file);
	pool_file_release(&file);
	return r;
}

/* The records of the store in memory, known by where it keeps their keys. */
struct identities {
	const char *keys[8 * STEPS];
	size_t count;
};

static int note_identity(void *arg, const struct kvp_pair *record)
{
	struct identities *identities = arg;

	identities->keys[identities->count++] = record->key.data;
	return 0;
}

static void note_identities(struct identities *identities)
{
	identities->count = 0;
	if (memory->ops->entries_raw(memory, note_identity, identities))
		abort();
}

/* Takes a snapshot, changes something, and clears what the snapshot has. */
static int do_clear_seen(void)
{
	static int (*const changes[])(void) = { do_write, do_delete, do_rename,
						do_append };
	static struct identities before;
	static struct identities after;
	struct kvp_index seen;
	struct kvp_index memory_seen;
	size_t slot = 0;

	CU_ASSERT_EQUAL(kvp_store_snapshot(store, &seen), 0);
	CU_ASSERT_EQUAL(kvp_store_snapshot(memory, &memory_seen), 0);
	for (unsigned int n = check_random(6); n > 0; n--)
		if (changes[check_random(COUNT(changes))]() == 0)
			model.tail_size = 0;
	note_identities(&before);
	CU_ASSERT_EQUAL(kvp_store_clear_seen(store, &seen), 0);
	CU_ASSERT_EQUAL(kvp_store_clear_seen(memory, &memory_seen), 0);
	note_identities(&after);
	for (size_t i = 0; i < before.count; i++) {
		if (slot < after.count && after.keys[slot] == before.keys[i])
			slot++;
		else
			pool_file_cut(&model, slot);
	}
	kvp_index_release(&seen);
	kvp_index_release(&memory_seen);
	return after.count < before.count || before.count == 0 ? 0 : KVP_EXISTS;
}

static int do_clear(void)
{
	int r = kvp_store_clear(store);

	CU_ASSERT_EQUAL(kvp_store_clear(memory), r);
	model.count = 0;
	return r;
}

static int reopen(void)
{
	kvp_store_free(store);
	store = store_text_open(path, mode);
	return KVP_EXISTS;
}

/* Another program writes records of its own, with noise and without shame. */
static void outsider_adds(void)
{
	static const char *const keys[] = { "a",    "b",  "",
					    "\xff", "..", "new\nline" };
	/* one after the other: compilers order arguments as they like */
	const char *key = keys[check_random(COUNT(keys))];

	pool_file_add(&model, check_bytes(key),
		      check_repeat('o', check_random(2049)), '~');
}

static int outsider(void)
{
	const char *other = pool_file_path("other");

	model.tail_size = 0;
	switch (check_random(6)) {
	case 0:
		pool_file_release(&model); /* deletes it */
		break;
	case 1:
		if (model.count > 0)
			pool_file_cut(&model,
				      check_random((unsigned int)model.count));
		break;
	case 2:
		if (model.count > 0)
			model.records[0].bytes[POOL_FILE_KEY] ^= 1;
		break;
	default:
		outsider_adds();
		break;
	}
	if (model.exists && check_random(3) == 0)
		pool_file_tear(&model, 1 + check_random(2559), 't');
	if (model.exists && check_random(3) == 0) {
		pool_file_store(&model, other);
		if (rename(other, path) != 0)
			abort();
	} else {
		pool_file_store(&model, path);
	}
	kvp_store_free(memory);
	memory = store_memory_new(mode);
	for (size_t i = 0; i < model.count; i++)
		store_memory_add(memory, pool_file_key(&model.records[i]),
				 pool_file_value(&model.records[i]));
	return KVP_EXISTS;
}

static void put_field(FILE *out, struct kvp_bytes bytes)
{
	fprintf(out, "%zu:", bytes.len);
	fwrite(bytes.data, 1, bytes.len, out);
}

static int put_record(void *arg, const struct kvp_pair *record)
{
	put_field(arg, record->key);
	put_field(arg, record->value);
	return 0;
}

static int put_item(void *arg, const struct kvp_item *item)
{
	put_field(arg, item->key);
	put_field(arg, kvp_value_bytes(item->value));
	return 0;
}

/* All that S shows, both views, as one text to be freed. */
static char *views(struct kvp_store *s, size_t *ret_size)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_size);

	if (!out)
		abort();
	if (kvp_store_entries_raw(s, put_record, out) ||
	    kvp_store_entries(s, put_item, out))
		fputs("failed", out);
	(void)fclose(out);
	return text;
}

static bool views_are_equal(void)
{
	size_t size = 0;
	size_t expected_size = 0;
	char *text = views(store, &size);
	char *expected = views(memory, &expected_size);
	bool equal = size == expected_size && !memcmp(text, expected, size);

	free(text);
	free(expected);
	return equal;
}

/* Reading one key is the same in both stores, and in the model. */
static bool reading_is_equal(void)
{
	struct kvp_bytes key = random_key();
	const struct pool_file_record *record = key.len ? pool_file_find(&model,
									 key)
							: NULL;
	struct kvp_item item;
	bool equal;

	if (kvp_store_read(store, key, &item) != 0)
		return !record;
	equal = record && kvp_bytes_equal(kvp_value_bytes(item.value),
					  pool_file_value(record));
	kvp_value_unref(item.value);
	return equal;
}

static bool reports_are_equal(void)
{
	struct kvp_report a;
	struct kvp_report b;

	kvp_store_report(store, &a);
	kvp_store_report(memory, &b);
	return a.records == b.records && a.not_utf8 == b.not_utf8 &&
	       a.cut_for_host == b.cut_for_host &&
	       a.hidden_from_host == b.hidden_from_host &&
	       a.unlisted == b.unlisted &&
	       kvp_bytes_equal(a.first_hiding, b.first_hiding);
}

static bool status_is_equal(void)
{
	struct kvp_status status;

	if (kvp_store_refresh(store))
		return false;
	kvp_store_status(store, &status);
	return status.exists == model.exists && status.records == model.count &&
	       status.torn_bytes == model.tail_size;
}

static const struct {
	const char *name;
	unsigned int share; /* of all operations */
	int (*perform)(void);
} ops[] = {
	{ "write", 32, do_write },
	{ "delete", 8, do_delete },
	{ "delete many", 4, do_delete_many },
	{ "rename", 20, do_rename },
	{ "append", 10, do_append },
	{ "load", 3, do_load },
	{ "restore", 3, do_restore },
	{ "clear seen", 5, do_clear_seen },
	{ "clear", 1, do_clear },
	{ "reopen", 2, reopen },
	{ "outsider", 12, outsider },
};

static size_t random_op(void)
{
	unsigned int n = check_random(100);
	size_t op = 0;

	while (n >= ops[op].share)
		n -= ops[op++].share;
	return op;
}

/* What changes a pool also ends its torn tail, and makes it if it is missing. */
static bool step(size_t op)
{
	bool changed = ops[op].perform() == 0;

	if (changed && (ops[op].perform != do_clear || model.exists))
		model.tail_size = 0;
	if (!pool_file_is(&model, path) || !views_are_equal() ||
	    !reading_is_equal() || !status_is_equal() || !reports_are_equal())
		return false;
	return true;
}

static void run(enum kvp_mode run_mode)
{
	char row[64];

	mode = run_mode;
	path = pool_file_new("pool", NULL);
	store = store_text_open(path, mode);
	memory = store_memory_new(mode);
	for (int i = 0; i < STEPS; i++) {
		size_t op = random_op();
		bool ok = step(op);

		if (!ok) {
			snprintf(row, sizeof(row), "step %d: %s", i,
				 ops[op].name);
			CHECK_ROW(row, ok);
			break; /* the rest would differ too */
		}
	}
	pool_file_release(&model);
	kvp_store_free(memory);
	kvp_store_free(store);
}

static void random_operations_in_restricted_mode(void)
{
	run(KVP_MODE_RESTRICTED);
}

static void random_operations_in_full_mode(void)
{
	run(KVP_MODE_FULL);
}

static const struct check_case cases[] = {
	CHECK_CASE(random_operations_in_restricted_mode),
	CHECK_CASE(random_operations_in_full_mode),
};

CHECK_MAIN("store_random", cases)
