/* SPDX-License-Identifier: MIT */
#include "scenes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "store_text.h"

#define NOISE '~'
#define VALUE_SIZE (POOL_FILE_RECORD - POOL_FILE_KEY)

/* Between pages nothing finer than this is cut, counted from a record's start. */
#define CUT_STEP 512

#define MOST_CALLS 1000

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

static int delete_many(struct kvp_store *store)
{
	const struct kvp_bytes keys[] = { check_bytes("k37"),
					  check_bytes("k19"),
					  check_bytes("none"),
					  check_bytes("k00") };
	bool found[4];

	return kvp_store_delete_many(store, keys, 4, found);
}

static int delete_many_repeated(struct kvp_store *store)
{
	const struct kvp_bytes keys[] = { check_bytes("to"), check_bytes("k20"),
					  check_bytes("rep"),
					  check_bytes("to") };
	bool found[4];

	return kvp_store_delete_many(store, keys, 4, found);
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
	return store_text_append_pairs(store, some_pairs(40), 40);
}

static int load_few(struct kvp_store *store)
{
	return store_text_load_pairs(store, some_pairs(2), 2);
}

static int load_many(struct kvp_store *store)
{
	return store_text_load_pairs(store, some_pairs(60), 60);
}

static int load_nothing(struct kvp_store *store)
{
	return store_text_load_pairs(store, NULL, 0);
}

static int clear(struct kvp_store *store)
{
	return kvp_store_clear(store);
}

/* Records of the same keys as those of some_pairs, as bytes. */
static struct kvp_bytes some_bytes(size_t count)
{
	static struct pool_file_record records[64];
	const struct kvp_pair *pairs = some_pairs(count);

	for (size_t i = 0; i < count; i++)
		records[i] = pool_file_record(pairs[i].key, pairs[i].value, 0);
	return (struct kvp_bytes){ records->bytes, count * sizeof(*records) };
}

static int restore_few(struct kvp_store *store)
{
	return kvp_store_restore(store, some_bytes(2));
}

static int restore_many(struct kvp_store *store)
{
	return kvp_store_restore(store, some_bytes(60));
}

static int restore_nothing(struct kvp_store *store)
{
	return kvp_store_restore(store, check_bytes(""));
}

static int clear_all_seen(struct kvp_store *store)
{
	struct kvp_index seen;
	int r = kvp_store_snapshot(store, &seen);

	if (r)
		return r;
	r = kvp_store_clear_seen(store, &seen);
	kvp_index_release(&seen);
	return r;
}

#define FEW 20

static int add_to_few(void *arg, const struct kvp_pair *record)
{
	struct kvp_index *few = arg;
	struct kvp_value *value = kvp_value_new(record->value);
	int r = -ENOMEM;

	if (value && few->records < FEW)
		r = kvp_index_append(few, record->key, value, 0);
	else if (value)
		r = 0;
	kvp_value_unref(value);
	return r;
}

/* As if only the first records had been there then. */
static int read_few(struct kvp_store *store, struct kvp_index *few)
{
	struct kvp_index all;
	int r = kvp_store_entries_raw(store, add_to_few, few);

	if (r == 0 && few->records < FEW)
		r = -EIO; /* others have cut the file */
	if (r == 0)
		r = kvp_store_snapshot(store, &all);
	if (r)
		return r;
	kvp_index_inherit(few, &all);
	kvp_index_release(&all);
	return 0;
}

static int clear_few_seen(struct kvp_store *store)
{
	struct kvp_index few;
	int r;

	kvp_index_init(&few);
	r = read_few(store, &few);
	if (r == 0)
		r = kvp_store_clear_seen(store, &few);
	kvp_index_release(&few);
	return r;
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
	{ "delete many", delete_many, false, true },
	{ "delete many repeats", delete_many_repeated, false, true },
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
	{ "restore few", restore_few, false, true },
	{ "restore many", restore_many, false, true },
	{ "restore nothing", restore_nothing, true, false },
	{ "clear all that was seen", clear_all_seen, true, false },
	{ "clear few that were seen", clear_few_seen, false, true },
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

/* The pool before a scene; as scene_begin. */
static void scene_pool(struct pool_file *file, size_t shift, size_t tail)
{
	size_t special = 0;
	char key[24];

	pool_file_release(file);
	for (size_t i = 0; i < shift; i++) {
		snprintf(key, sizeof(key), "s%zu", i);
		add_record(file, key);
	}
	for (int i = 0; i < 38; i++) {
		if (special < COUNT(specials) && specials[special].place == i)
			add_record(file, specials[special++].key);
		snprintf(key, sizeof(key), "k%02d", i);
		add_record(file, key);
	}
	if (tail > 0)
		pool_file_tear(file, tail, 't');
}

/* The pool after SCENE: it is run on a file at PATH, with nothing in its way. */
static void scene_result(const struct scene *scene,
			 const struct pool_file *before, const char *path,
			 struct pool_file *after)
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

static size_t count_keys(const struct pool_file *file)
{
	size_t keys = 0;

	for (size_t i = 0; i < file->count; i++) {
		struct kvp_bytes key = pool_file_key(&file->records[i]);

		keys += key.len > 0 &&
			pool_file_find(file, key) == &file->records[i];
	}
	return keys;
}

static bool reads_as(struct kvp_store *store, struct kvp_bytes key,
		     const struct pool_file *file)
{
	struct kvp_item item;
	bool equal;

	if (kvp_store_read(store, key, &item))
		return false;
	equal = kvp_bytes_equal(kvp_value_bytes(item.value),
				pool_file_value(pool_file_find(file, key)));
	kvp_value_unref(item.value);
	return equal;
}

/* A file, and how many of its keys a store has listed as it says. */
struct comparison {
	const struct pool_file *file;
	size_t equal;
};

static int compare_item(void *arg, const struct kvp_item *item)
{
	struct comparison *comparison = arg;
	const struct pool_file_record *record = pool_file_find(comparison->file,
							       item->key);

	comparison->equal += record &&
			     kvp_bytes_equal(pool_file_value(record),
					     kvp_value_bytes(item->value));
	return 0;
}

bool scene_is_read(struct kvp_store *store, const struct pool_file *file)
{
	struct comparison comparison = { .file = file };
	struct kvp_status status;

	for (size_t i = 0; i < file->count; i++) {
		struct kvp_bytes key = pool_file_key(&file->records[i]);

		if (key.len > 0 && !reads_as(store, key, file))
			return false;
	}
	if (kvp_store_entries(store, compare_item, &comparison))
		return false;
	kvp_store_status(store, &status);
	return status.records == file->count &&
	       status.torn_bytes == file->tail_size &&
	       status.keys == count_keys(file) &&
	       comparison.equal == status.keys;
}

void scene_begin(struct scene_run *run, const struct scene *scene, size_t shift,
		 size_t tail)
{
	*run = (struct scene_run){ .scene = scene,
				   .path = pool_file_path("pool") };
	scene_pool(&run->before, shift, tail);
	scene_result(scene, &run->before, run->path, &run->after);
}

void scene_end(struct scene_run *run)
{
	pool_file_release(&run->before);
	pool_file_release(&run->after);
	pool_file_release(&run->now);
}

unsigned int scene_each_call(struct scene_run *run,
			     const struct fail_plan *plan,
			     bool (*try)(struct scene_run *run))
{
	bool hit = true;

	run->plan = *plan;
	for (run->plan.nth = 0; hit && run->plan.nth < MOST_CALLS;) {
		run->plan.nth++;
		snprintf(
			run->row, sizeof(run->row),
			"%s, %zu records and %zu bytes, %d %d at call %u of %u",
			run->scene->name, run->before.count,
			run->before.tail_size, (int)plan->how, plan->errnum,
			run->plan.nth, plan->calls);
		pool_file_store(&run->before, run->path);
		hit = try(run);
	}
	return run->plan.nth - 1;
}
