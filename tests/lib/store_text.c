/* SPDX-License-Identifier: MIT */
#include "store_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "pool_file.h"
#include "store_pool.h"

#define NOISE '~'
#define MOST_RECORDS 64

struct text {
	char bytes[8192];
	size_t len;
};

struct kvp_store *store_text_open(const char *path, enum kvp_mode mode)
{
	const struct kvp_pool_config config = { .path = path, .mode = mode };
	struct kvp_store *store = NULL;
	int r = kvp_store_pool_open(&config, &store);

	if (r == 0)
		r = kvp_store_refresh(store);
	if (r == 0)
		return store;
	fprintf(stderr, "%s: result %d\n", path, r);
	abort();
}

int store_text_write(struct kvp_store *store, const char *key,
		     const char *value)
{
	return kvp_store_write(store, check_bytes(key), check_bytes(value));
}

int store_text_delete(struct kvp_store *store, const char *key)
{
	return kvp_store_delete(store, check_bytes(key));
}

int store_text_rename(struct kvp_store *store, const char *from, const char *to,
		      enum kvp_rename how)
{
	return kvp_store_rename(store, check_bytes(from), check_bytes(to), how);
}

/* The pairs of RECORDS; they point into it. */
static size_t parse(const char *records, struct kvp_pair pairs[MOST_RECORDS])
{
	size_t count = 0;

	while (*records) {
		size_t len = strcspn(records, " ");
		size_t key = strcspn(records, "=");

		if (key >= len || count == MOST_RECORDS)
			abort();
		pairs[count++] = (struct kvp_pair){
			{ records, key },
			{ records + key + 1, len - key - 1 },
		};
		records += len;
		records += strspn(records, " ");
	}
	return count;
}

/* Adds them to BATCH, which is of STORE; stops at the first that is refused. */
static int collect(struct kvp_store *store, const struct kvp_pair *pairs,
		   size_t count, struct kvp_batch *batch)
{
	int r = 0;

	kvp_store_batch_init(store, batch);
	for (size_t i = 0; i < count && r == 0; i++)
		r = kvp_batch_add(batch, &pairs[i]);
	return r;
}

int store_text_append_pairs(struct kvp_store *store,
			    const struct kvp_pair *pairs, size_t count)
{
	struct kvp_batch batch;
	int r = collect(store, pairs, count, &batch);

	if (r == 0)
		r = kvp_store_append(store, &batch);
	kvp_batch_release(&batch);
	return r;
}

int store_text_load_pairs(struct kvp_store *store, const struct kvp_pair *pairs,
			  size_t count)
{
	struct kvp_batch batch;
	int r = collect(store, pairs, count, &batch);

	if (r == 0)
		r = kvp_store_load(store, &batch);
	kvp_batch_release(&batch);
	return r;
}

int store_text_append(struct kvp_store *store, const char *records)
{
	struct kvp_pair pairs[MOST_RECORDS];
	size_t count = parse(records, pairs);

	return store_text_append_pairs(store, pairs, count);
}

int store_text_load(struct kvp_store *store, const char *records)
{
	struct kvp_pair pairs[MOST_RECORDS];
	size_t count = parse(records, pairs);

	return store_text_load_pairs(store, pairs, count);
}

int store_text_perform(struct kvp_store *store, enum store_op op, const char *a,
		       const char *b)
{
	switch (op) {
	case STORE_WRITE:
		return store_text_write(store, a, b);
	case STORE_DELETE:
		return store_text_delete(store, a);
	case STORE_RENAME:
		return store_text_rename(store, a, b, KVP_RENAME_REPLACE);
	case STORE_NO_REPLACE:
		return store_text_rename(store, a, b, KVP_RENAME_NO_REPLACE);
	case STORE_EXCHANGE:
		return store_text_rename(store, a, b, KVP_RENAME_EXCHANGE);
	case STORE_APPEND:
		return store_text_append(store, a);
	case STORE_LOAD:
		return store_text_load(store, a);
	case STORE_CLEAR:
		return kvp_store_clear(store);
	}
	abort();
}

const struct store_change store_changes[STORE_CHANGES] = {
	{ STORE_WRITE, "a", "9", "a=9 b=2 c=3" },
	{ STORE_WRITE, "x", "9", "a=1 b=2 c=3 x=9" },
	{ STORE_DELETE, "a", "", "b=2 c=3" },
	{ STORE_RENAME, "a", "x", "x=1 b=2 c=3" },
	{ STORE_RENAME, "a", "b", "b=1 c=3" },
	{ STORE_NO_REPLACE, "a", "x", "x=1 b=2 c=3" },
	{ STORE_EXCHANGE, "a", "b", "a=2 c=3 b=1" },
	{ STORE_APPEND, "x=7 a=8", "", "a=1 b=2 c=3 x=7 a=8" },
	{ STORE_LOAD, "x=7 a=8", "", "x=7 a=8" },
	{ STORE_CLEAR, "", "", "" },
};

void store_text_make_file(const char *path, const char *records)
{
	struct kvp_pair pairs[MOST_RECORDS];
	size_t count = parse(records, pairs);
	struct pool_file file = { .exists = true };

	for (size_t i = 0; i < count; i++)
		pool_file_add(&file, pairs[i].key, pairs[i].value, NOISE);
	pool_file_store(&file, path);
	pool_file_release(&file);
}

bool store_text_reads(struct kvp_store *store, const char *key,
		      const char *value)
{
	struct kvp_item item;
	int r = kvp_store_read(store, check_bytes(key), &item);
	bool equal;

	if (r || !value)
		return r == KVP_ABSENT && !value;
	equal = kvp_bytes_equal(kvp_value_bytes(item.value),
				check_bytes(value));
	kvp_value_unref(item.value);
	return equal;
}

static void add(struct text *text, struct kvp_bytes key, struct kvp_bytes value)
{
	int len = snprintf(text->bytes + text->len,
			   sizeof(text->bytes) - text->len, "%s%.*s=%.*s",
			   text->len ? " " : "", (int)key.len, key.data,
			   (int)value.len, value.data);

	text->len += (size_t)len;
	if (text->len >= sizeof(text->bytes))
		abort();
}

static int add_item(void *arg, const struct kvp_item *item)
{
	add(arg, item->key, kvp_value_bytes(item->value));
	return 0;
}

static int add_pair(void *arg, const struct kvp_pair *pair)
{
	add(arg, pair->key, pair->value);
	return 0;
}

static const char *finish(struct text *text, int result)
{
	if (result)
		snprintf(text->bytes, sizeof(text->bytes), "!%d", result);
	return text->bytes;
}

static void clear(struct text *text)
{
	text->len = 0;
	text->bytes[0] = '\0';
}

const char *store_text_entries(struct kvp_store *store)
{
	static struct text text;

	clear(&text);
	return finish(&text, kvp_store_entries(store, add_item, &text));
}

const char *store_text_entries_raw(struct kvp_store *store)
{
	static struct text text;

	clear(&text);
	return finish(&text, kvp_store_entries_raw(store, add_pair, &text));
}

static int visit_item(void *arg, const struct kvp_item *item)
{
	(void)arg;
	(void)item;
	return 0;
}

static int visit_record(void *arg, const struct kvp_pair *record)
{
	(void)arg;
	(void)record;
	return 0;
}

int store_text_visit_entries(struct kvp_store *store)
{
	return kvp_store_entries(store, visit_item, NULL);
}

int store_text_visit_records(struct kvp_store *store)
{
	return kvp_store_entries_raw(store, visit_record, NULL);
}

const char *store_text_of_file(const char *path)
{
	static struct text text;
	struct pool_file file = { .exists = false };

	clear(&text);
	pool_file_load(&file, path);
	for (size_t i = 0; i < file.count; i++)
		add(&text, pool_file_key(&file.records[i]),
		    pool_file_value(&file.records[i]));
	if (!file.exists)
		snprintf(text.bytes, sizeof(text.bytes), "-");
	pool_file_release(&file);
	return text.bytes;
}
