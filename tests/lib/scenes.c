/* SPDX-License-Identifier: MIT */
#include "scenes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "store_text.h"

#define NOISE '~'
#define VALUE_SIZE (POOL_FILE_RECORD - POOL_FILE_KEY)

/* Between pages nothing finer than this is cut, counted from a record's start. */
#define CUT_STEP 512

static int overwrite(struct kvp_store *store)
{
	return kvp_store_write(store, check_bytes("k05"),
			       check_repeat('n', 2000));
}

static int shorten(struct kvp_store *store)
{
	return store_text_write(store, "k06", "short");
}

static int write_new(struct kvp_store *store)
{
	return kvp_store_write(store, check_bytes("new"),
			       check_repeat('n', 2048));
}

static int collapse(struct kvp_store *store)
{
	return kvp_store_write(store, check_bytes("rep"),
			       check_repeat('n', 1500));
}

static int delete_first(struct kvp_store *store)
{
	return store_text_delete(store, "k00");
}

static int delete_middle(struct kvp_store *store)
{
	return store_text_delete(store, "k19");
}

static int delete_last(struct kvp_store *store)
{
	return store_text_delete(store, "k37");
}

static int delete_repeated(struct kvp_store *store)
{
	return store_text_delete(store, "rep");
}

static int rename_plain(struct kvp_store *store)
{
	return store_text_rename(store, "k07", "fresh", KVP_RENAME_NO_REPLACE);
}

static int rename_repeated(struct kvp_store *store)
{
	return store_text_rename(store, "from", "fresh", KVP_RENAME_REPLACE);
}

static int rename_over(struct kvp_store *store)
{
	return store_text_rename(store, "k07", "k20", KVP_RENAME_REPLACE);
}

static int rename_over_backwards(struct kvp_store *store)
{
	return store_text_rename(store, "k20", "k07", KVP_RENAME_REPLACE);
}

static int rename_over_repeated(struct kvp_store *store)
{
	return store_text_rename(store, "from", "to", KVP_RENAME_REPLACE);
}

static int exchange(struct kvp_store *store)
{
	return store_text_rename(store, "k07", "k20", KVP_RENAME_EXCHANGE);
}

static int exchange_repeated(struct kvp_store *store)
{
	return store_text_rename(store, "from", "to", KVP_RENAME_EXCHANGE);
}

/* COUNT records of new keys, and one of "k03". */
static const struct kvp_pair *some_pairs(size_t count)
{
	static struct kvp_pair pairs[64];
	static char keys[64][24];

	for (size_t i = 0; i < count; i++) {
		snprintf(keys[i], sizeof(keys[i]), "a%02zu", i);
		pairs[i].key = check_bytes(i == 1 ? "k03" : keys[i]);
		pairs[i].value = check_repeat('n', 100);
	}
	return pairs;
}

static int append(struct kvp_store *store)
{
	return kvp_store_append(store, some_pairs(40), 40);
}

static int load_few(struct kvp_store *store)
{
	return kvp_store_load(store, some_pairs(2), 2);
}

static int load_many(struct kvp_store *store)
{
	return kvp_store_load(store, some_pairs(60), 60);
}

static int load_nothing(struct kvp_store *store)
{
	return kvp_store_load(store, NULL, 0);
}

static int clear(struct kvp_store *store)
{
	return kvp_store_clear(store);
}

const struct scene scenes[SCENES] = {
	{ "overwrite", overwrite, true, true },
	{ "shorten", shorten, true, true },
	{ "write new", write_new, true, true },
	{ "write over repeats", collapse, false, true },
	{ "delete the first", delete_first, false, true },
	{ "delete in the middle", delete_middle, false, true },
	{ "delete the last", delete_last, true, false },
	{ "delete repeats", delete_repeated, false, true },
	{ "rename", rename_plain, true, true },
	{ "rename repeats", rename_repeated, true, true },
	{ "rename over", rename_over, false, true },
	{ "rename over, backwards", rename_over_backwards, false, true },
	{ "rename repeats over repeats", rename_over_repeated, false, true },
	{ "exchange", exchange, false, true },
	{ "exchange repeats", exchange_repeated, false, true },
	{ "append", append, true, true },
	{ "load few", load_few, false, true },
	{ "load many", load_many, false, true },
	{ "load nothing", load_nothing, true, false },
	{ "clear", clear, true, false },
};

/* Records among the unique ones, by how many of these come before. */
static const struct {
	int place;
	const char *key;
} specials[] = {
	{ 2, "rep" },	{ 5, "from" },	{ 9, "to" },
	{ 12, "" },	{ 14, "\xff" }, { 18, "rep" },
	{ 22, "from" }, { 27, "to" },	{ 33, "rep" },
};

/* Values differ in content and in length, from none to a whole field. */
static void add_record(struct pool_file *file, const char *key)
{
	size_t slot = file->count;
	size_t len = slot * 331 % (VALUE_SIZE + 1);

	pool_file_add(file, check_bytes(key),
		      check_repeat((char)('A' + slot % 26), len), NOISE);
}

void scene_pool(struct pool_file *file, size_t shift, size_t tail)
{
	size_t special = 0;
	char key[24];

	pool_file_release(file);
	for (size_t i = 0; i < shift; i++) {
		snprintf(key, sizeof(key), "s%zu", i);
		add_record(file, key);
	}
	for (int i = 0; i < 38; i++) {
		if (special < sizeof(specials) / sizeof(*specials) &&
		    specials[special].place == i)
			add_record(file, specials[special++].key);
		snprintf(key, sizeof(key), "k%02d", i);
		add_record(file, key);
	}
	if (tail > 0)
		pool_file_tear(file, tail, 't');
}

void scene_result(const struct scene *scene, const struct pool_file *before,
		  const char *path, struct pool_file *after)
{
	struct kvp_store *store;

	pool_file_store(before, path);
	store = store_text_open(path, KVP_MODE_FULL);
	if (scene->perform(store) != 0)
		abort();
	kvp_store_free(store);
	pool_file_load(after, path);
}

static bool same_value(const struct pool_file_record *a,
		       const struct pool_file_record *b)
{
	if (!a || !b)
		return a == b;
	return kvp_bytes_equal(pool_file_value(a), pool_file_value(b));
}

/* Whether VALUE begins as the new record's field and goes on as the old one's. */
static bool is_mixed(const struct pool_file_record *old,
		     const struct pool_file_record *new,
		     const struct pool_file_record *now)
{
	if (!old || !new || !now)
		return false;
	for (size_t cut = POOL_FILE_KEY; cut < POOL_FILE_RECORD;
	     cut += CUT_STEP) {
		struct pool_file_record mixed = *old;

		memcpy(mixed.bytes, new->bytes, cut);
		if (same_value(&mixed, now))
			return true;
	}
	return false;
}

static bool is_fair(const struct pool_file *before,
		    const struct pool_file *after, const struct pool_file *now,
		    struct kvp_bytes key, bool mixed)
{
	const struct pool_file_record *old = pool_file_find(before, key);
	const struct pool_file_record *new = pool_file_find(after, key);
	const struct pool_file_record *found = pool_file_find(now, key);

	if (key.len == 0 || same_value(found, old) || same_value(found, new))
		return true;
	return mixed && !same_value(old, new) && is_mixed(old, new, found);
}

bool scene_is_fair(const struct pool_file *before,
		   const struct pool_file *after, const struct pool_file *now,
		   bool mixed)
{
	const struct pool_file *files[] = { before, after, now };

	for (size_t i = 0; i < 3; i++)
		for (size_t j = 0; j < files[i]->count; j++)
			if (!is_fair(before, after, now,
				     pool_file_key(&files[i]->records[j]),
				     mixed))
				return false;
	return true;
}

bool scene_same_keys(const struct pool_file *a, const struct pool_file *b)
{
	return scene_is_fair(a, a, b, false);
}
