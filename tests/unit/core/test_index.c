/* SPDX-License-Identifier: MIT */
#include "index.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "fail_alloc.h"
#include "index_model.h"

static bool value_is(const struct kvp_entry *entry, const char *text)
{
	return entry && kvp_bytes_equal(kvp_value_bytes(entry->value),
					check_bytes(text));
}

/* Whether the keys of INDEX, in order, are the characters of EXPECTED. */
static bool listing_is(const struct kvp_index *index, const char *expected)
{
	const struct kvp_entry *entry;
	size_t cursor = 0;

	while ((entry = kvp_index_next(index, &cursor)))
		if (entry->key.len != 1 || entry->key.data[0] != *expected++)
			return false;
	return *expected == '\0';
}

static void new_index_is_empty(void)
{
	struct world *world = world_new("");

	CU_ASSERT_PTR_NULL(world_find(world, "a"));
	CU_ASSERT_PTR_NULL(world_find(world, ""));
	CU_ASSERT_TRUE(listing_is(&world->index, ""));
	world_free(world);
}

static void last_of_repeated_records_wins(void)
{
	struct world *world = world_new("abacab");

	CU_ASSERT_TRUE(value_is(world_find(world, "a"), "4"));
	CU_ASSERT_TRUE(value_is(world_find(world, "b"), "5"));
	CU_ASSERT_TRUE(value_is(world_find(world, "c"), "3"));
	CU_ASSERT_EQUAL(world_find(world, "a")->records, 3);
	CU_ASSERT_EQUAL(world_find(world, "a")->first, 0);
	CU_ASSERT_EQUAL(world_find(world, "a")->last, 4);
	CU_ASSERT_EQUAL(world->index.records, 6);
	CU_ASSERT_EQUAL(world->index.keys, 3);
	world_free(world);
}

static void entries_come_in_the_order_of_their_first_records(void)
{
	struct world *world = world_new("cab-bac");

	CU_ASSERT_TRUE(listing_is(&world->index, "cab"));
	world_free(world);
}

static void record_with_an_empty_key_is_no_entry(void)
{
	struct world *world = world_new("-a--b-");

	CU_ASSERT_EQUAL(world->index.records, 6);
	CU_ASSERT_EQUAL(world->index.keys, 2);
	CU_ASSERT_EQUAL(world->index.empty_keys, 4);
	CU_ASSERT_PTR_NULL(world_find(world, ""));
	CU_ASSERT_PTR_NULL(world->index.slots[0]);
	CU_ASSERT_TRUE(listing_is(&world->index, "ab"));
	world_free(world);
}

static void empty_key_needs_no_value(void)
{
	struct kvp_index index;

	kvp_index_init(&index);
	CU_ASSERT_EQUAL(kvp_index_append(&index, (struct kvp_bytes){ NULL, 0 },
					 NULL, 0),
			0);
	CU_ASSERT_EQUAL(index.records, 1);
	CU_ASSERT_EQUAL(index.empty_keys, 1);
	kvp_index_release(&index);
}

static void keys_are_copied_and_values_shared(void)
{
	struct kvp_index index;
	struct kvp_value *value = model_value("v");
	char key[] = "key";

	kvp_index_init(&index);
	CU_ASSERT_EQUAL(kvp_index_append(&index, check_bytes(key), value, 0),
			0);
	memset(key, 'x', 3);
	CU_ASSERT_PTR_NOT_NULL(kvp_index_find(&index, check_bytes("key")));
	CU_ASSERT_PTR_NULL(kvp_index_find(&index, check_bytes("xxx")));
	CU_ASSERT_EQUAL(value->refs, 2);
	CU_ASSERT_EQUAL(kvp_index_append(&index, check_bytes("key"), value, 0),
			0);
	CU_ASSERT_EQUAL(value->refs, 2); /* the last record's only */
	kvp_index_release(&index);
	CU_ASSERT_EQUAL(value->refs, 1);
	kvp_value_unref(value);
}

static void keys_that_share_a_start_are_different(void)
{
	static const struct kvp_bytes similar[] = {
		{ "k", 1 },  { "k\0", 2 }, { "k\0a", 3 },
		{ "ka", 2 }, { "K", 1 },
	};
	struct kvp_index index;
	struct kvp_value *value = model_value("v");

	kvp_index_init(&index);
	for (size_t i = 0; i < COUNT(similar); i++)
		CU_ASSERT_EQUAL(kvp_index_append(&index, similar[i], value, 0),
				0);
	CU_ASSERT_EQUAL(index.keys, COUNT(similar));
	for (size_t i = 0; i < COUNT(similar); i++)
		CU_ASSERT_EQUAL(kvp_index_find(&index, similar[i])->first, i);
	kvp_index_release(&index);
	kvp_value_unref(value);
}

static void released_index_is_as_new(void)
{
	struct world *world = world_new("ab-a");

	kvp_index_release(&world->index);
	model_clear(&world->model);
	memset(world->model.given, 0, sizeof(world->model.given));
	world_check("released", world);
	world_append_text(world, "ba");
	world_check("used again", world);
	world_free(world);
}

static void ids_are_given_once(void)
{
	struct world *world = world_new("ab");
	struct kvp_value *value = model_value("v");
	static const bool both[MODEL_MAX] = { true, true };
	uint64_t a = world_find(world, "a")->id;
	uint64_t b = world_find(world, "b")->id;
	uint64_t taken = kvp_index_new_id(&world->index);

	CU_ASSERT_TRUE(a > 0 && b > 0 && a != b);
	CU_ASSERT_TRUE(taken > 0 && taken != a && taken != b);
	world->model.given[taken] = true;
	world_drop(world, both);
	world_append_text(world,
			  "abc"); /* world_append checks that they are new */

	/* a given one is used for a new key only */
	taken = kvp_index_new_id(&world->index);
	CU_ASSERT_EQUAL(kvp_index_append(&world->index, check_bytes("aa"),
					 value, taken),
			0);
	CU_ASSERT_EQUAL(world_find(world, "aa")->id, taken);
	CU_ASSERT_EQUAL(kvp_index_append(&world->index, check_bytes("aa"),
					 value,
					 kvp_index_new_id(&world->index)),
			0);
	CU_ASSERT_EQUAL(world_find(world, "aa")->id, taken);
	kvp_value_unref(value);
	world_free(world);
}

/* What is left of RECORDS without those under an 'x' in DROPPED. */
static const struct {
	const char *records;
	const char *dropped;
	const char *listing;
} drops[] = {
	{ "a", "x", "" },
	{ "ab", "x ", "b" },
	{ "ab", " x", "a" },
	{ "ab", "xx", "" },
	{ "abc", " x ", "ac" },
	{ "abc", "x x", "b" },
	{ "aab", "x  ", "ab" },
	{ "aba", "x  ", "ba" },
	{ "abac", "x   ", "bac" },
	{ "aba", "x x", "b" },
	{ "aaa", "xx ", "a" },
	{ "aaa", " x ", "a" },
	{ "aaa", "x  ", "a" },
	{ "aaa", "xxx", "" },
	{ "aabbaabb", "xx xx   ", "ba" },
	{ "abcabcabc", "xxx      ", "abc" },
	{ "abcabcabc", "x  x     ", "bca" },
	{ "abcabcabc", "xxxxxx   ", "abc" },
	{ "abcabcabc", "x  x  x  ", "bc" },
	{ "abcabcabc", "  x  x  x", "ab" },
	{ "abcabcabc", "x xx xx x", "b" },
	{ "cabcabcab", "xx x x   ", "bac" },
	{ "-a", "x ", "a" },
	{ "a-", " x", "a" },
	{ "-a-b-", "x x x", "ab" },
	{ "-a-b-", " x x ", "" },
	{ "-a-a-", " x   ", "a" },
	{ "a-b", "   ", "ab" },
};

static void drop_closes_the_gaps_in_order(void)
{
	for (size_t i = 0; i < COUNT(drops); i++) {
		struct world *world = world_new(drops[i].records);
		bool marked[MODEL_MAX] = { false };
		char row[32];

		snprintf(row, sizeof(row), "%s|%s", drops[i].records,
			 drops[i].dropped);
		for (size_t slot = 0; drops[i].dropped[slot]; slot++)
			marked[slot] = drops[i].dropped[slot] == 'x';
		world_drop(world, marked);
		world_check(row, world);
		CHECK_ROW(row, listing_is(&world->index, drops[i].listing));
		world_append_text(world, "ba-");
		world_check(row, world);
		world_free(world);
	}
}

/* All 2^n ways to cut records out of a pool, but those that the contract excludes. */
static void drop_takes_each_set_of_slots(void)
{
	static const char records[] = "ab-acbba";
	size_t count = sizeof(records) - 1;

	for (unsigned int set = 0; set < 1U << count; set++) {
		struct world *world = world_new(records);
		const struct model *model = &world->model;
		bool marked[MODEL_MAX] = { false };
		char row[16];

		snprintf(row, sizeof(row), "%x", set);
		for (size_t i = 0; i < count; i++)
			marked[i] = set >> i & 1;
		for (size_t i = 0; i < count; i++) {
			size_t key = model->records[i].key;

			if (key && marked[model_find_last(model, key)])
				marked[i] = true;
		}
		world_drop(world, marked);
		world_check(row, world);
		world_free(world);
	}
}

static void rekey_renames_in_place_and_keeps_the_id(void)
{
	static const char *const pools[] = { "a", "abc", "bac", "bca",
					     "-a-bb" };

	for (size_t i = 0; i < COUNT(pools); i++) {
		struct world *world = world_new(pools[i]);
		struct model *model = &world->model;
		size_t slot = model_find_first(model, model_key('a'));
		struct kvp_value *value = model->records[slot].value;
		unsigned int refs = value->refs;

		CU_ASSERT_EQUAL(kvp_index_rekey(&world->index,
						world_find(world, "a"),
						check_bytes("A")),
				0);
		model->records[slot].key = model_key('A');
		model->ids[model_key('A')] = model->ids[model_key('a')];
		world_check(pools[i], world);
		CHECK_ROW(pools[i], value->refs == refs);
		world_append_text(world, "aA");
		world_check(pools[i], world);
		world_free(world);
	}
}

static void inherit_keeps_what_has_not_changed(void)
{
	struct world *old = world_new("abc");
	struct world *new = world_new("");
	uint64_t last_id = old->index.last_id;
	struct kvp_value *same = model_value("1");	/* b's */
	struct kvp_value *different = model_value("x"); /* not c's */
	uint64_t d;

	new->index.last_id = last_id; /* as one index that goes on */
	kvp_index_append(&new->index, check_bytes("d"), same, 0);
	kvp_index_append(&new->index, check_bytes("c"), different, 0);
	kvp_index_append(&new->index, check_bytes("b"), same, 0);
	d = world_find(new, "d")->id;
	kvp_index_inherit(&new->index, &old->index);

	CU_ASSERT_EQUAL(world_find(new, "b")->id, world_find(old, "b")->id);
	CU_ASSERT_EQUAL(world_find(new, "c")->id, world_find(old, "c")->id);
	CU_ASSERT_EQUAL(world_find(new, "d")->id, d);
	CU_ASSERT_TRUE(d > last_id);
	CU_ASSERT_PTR_EQUAL(world_find(new, "b")->value,
			    world_find(old, "b")->value);
	CU_ASSERT_PTR_EQUAL(world_find(new, "c")->value, different);
	CU_ASSERT_PTR_EQUAL(world_find(new, "d")->value, same);
	CU_ASSERT_EQUAL(same->refs, 2);
	CU_ASSERT_EQUAL(different->refs, 2);
	CU_ASSERT_TRUE(listing_is(&old->index, "abc"));
	CU_ASSERT_TRUE(listing_is(&new->index, "dcb"));
	world_free(old);
	CU_ASSERT_TRUE(value_is(world_find(new, "b"), "1"));
	kvp_value_unref(same);
	kvp_value_unref(different);
	world_free(new);
}

static void inherit_compares_the_last_values_of_repeated_keys(void)
{
	struct world *old = world_new("aa"); /* "0", "1" */
	struct world *new = world_new("");
	struct kvp_value *zero = model_value("0");
	struct kvp_value *one = model_value("1");

	new->index.last_id = old->index.last_id;
	kvp_index_append(&new->index, check_bytes("a"), one, 0);
	kvp_index_append(&new->index, check_bytes("a"), zero, 0);
	kvp_index_inherit(&new->index, &old->index);
	CU_ASSERT_PTR_EQUAL(world_find(new, "a")->value, zero);
	kvp_index_append(&new->index, check_bytes("a"), one, 0);
	kvp_index_inherit(&new->index, &old->index);
	CU_ASSERT_PTR_EQUAL(world_find(new, "a")->value,
			    world_find(old, "a")->value);
	kvp_value_unref(zero);
	kvp_value_unref(one);
	world_free(old);
	world_free(new);
}

static void inherit_of_nothing_changes_nothing(void)
{
	struct world *old = world_new("");
	struct world *new = world_new("ab-a");

	kvp_index_inherit(&new->index, &old->index);
	world_check("new", new);
	kvp_index_inherit(&old->index, &new->index);
	world_check("old", old);
	world_free(old);
	world_free(new);
}

/* Steps of the random walk. */

static struct kvp_value *random_value(void)
{
	char text[8];

	snprintf(text, sizeof(text), "%u", check_random(4));
	return model_value(text);
}

static void step_append(struct world *world)
{
	size_t count = 1 + check_random(10);

	for (size_t i = 0; i < count && world->model.count < MODEL_MAX; i++) {
		struct kvp_value *value = random_value();

		world_append(world, check_random(MODEL_KEYS), value);
		kvp_value_unref(value);
	}
}

static void step_append_with_id(struct world *world)
{
	struct model *model = &world->model;
	size_t key = 1 + check_random(MODEL_KEYS - 1);
	struct kvp_value *value;
	uint64_t id;

	if (model->count == MODEL_MAX)
		return;
	value = random_value();
	id = kvp_index_new_id(&world->index);
	CU_ASSERT_FALSE(model->given[id]);
	model->given[id] = true;
	CU_ASSERT_EQUAL(kvp_index_append(&world->index,
					 check_bytes(model_keys[key]), value,
					 id),
			0);
	if (model_count(model, key) == 0)
		model->ids[key] = id;
	model_add(model, key, value);
	kvp_value_unref(value);
}

/* Drops some keys altogether, thins out others, and some empty records. */
static void step_drop(struct world *world)
{
	const struct model *model = &world->model;
	bool marked[MODEL_MAX] = { false };
	unsigned int fates[MODEL_KEYS];

	for (size_t key = 0; key < MODEL_KEYS; key++)
		fates[key] = check_random(6);
	for (size_t i = 0; i < model->count; i++) {
		size_t key = model->records[i].key;
		bool last = key && model_find_last(model, key) == i;

		if (fates[key] == 0)
			marked[i] = true;
		else if (fates[key] == 1)
			marked[i] = !last;
		else if (fates[key] == 2)
			marked[i] = !last && check_random(2);
	}
	world_drop(world, marked);
}

static void step_rekey(struct world *world)
{
	struct model *model = &world->model;
	size_t from = 1 + check_random(MODEL_KEYS - 1);
	size_t to = 1 + check_random(MODEL_KEYS - 1);

	if (model_count(model, from) != 1 || model_count(model, to) != 0)
		return;
	CU_ASSERT_EQUAL(kvp_index_rekey(&world->index,
					world_find(world, model_keys[from]),
					check_bytes(model_keys[to])),
			0);
	model->records[model_find_first(model, from)].key = to;
	model->ids[to] = model->ids[from];
}

static void step_clear(struct world *world)
{
	uint64_t last_id = world->index.last_id;

	if (check_random(8))
		return;
	kvp_index_release(&world->index);
	world->index.last_id = last_id;
	model_clear(&world->model);
}

/* What another program may have made of the records: any change at all. */
static void meddle(struct model *model)
{
	bool marked[MODEL_MAX] = { false };
	unsigned int odds = 1 + check_random(8);

	for (size_t i = 0; i < model->count; i++) {
		struct model_record *record = &model->records[i];
		struct kvp_value *value;

		marked[i] = check_random(8) < odds / 2;
		if (check_random(8) < odds)
			value = random_value();
		else
			value = kvp_value_new(kvp_value_bytes(record->value));
		if (!value)
			abort();
		kvp_value_set(&record->value, value);
		kvp_value_unref(value);
		if (check_random(16) == 0)
			record->key = check_random(MODEL_KEYS);
	}
	model_drop(model, marked);
}

/* Takes a new reading of a changed pool in place of the old one. */
static void step_inherit(struct world *world)
{
	struct model *model = &world->model;
	struct kvp_index index;

	meddle(model);
	kvp_index_init(&index);
	index.last_id = world->index.last_id;
	for (size_t i = 0; i < model->count; i++)
		CU_ASSERT_EQUAL(
			kvp_index_append(
				&index,
				check_bytes(model_keys[model->records[i].key]),
				model->records[i].value, 0),
			0);
	kvp_index_inherit(&index, &world->index);
	for (size_t key = 1; key < MODEL_KEYS; key++) {
		const struct kvp_entry *old = world_find(world,
							 model_keys[key]);
		struct kvp_value **value;

		if (model_count(model, key) == 0)
			continue;
		if (!old) {
			model_learn_id(&index, model, key);
			continue;
		}
		value = &model->records[model_find_last(model, key)].value;
		if (kvp_bytes_equal(kvp_value_bytes(*value),
				    kvp_value_bytes(old->value)))
			kvp_value_set(value, old->value);
	}
	/* ids that the new reading gave and inherit took back */
	for (uint64_t id = world->index.last_id + 1; id <= index.last_id; id++)
		model->given[id] = true;
	kvp_index_release(&world->index);
	world->index = index;
}

static void index_says_what_a_plain_array_says(void)
{
	static void (*const steps[])(struct world *) = {
		step_append, step_append, step_append_with_id, step_drop,
		step_rekey,  step_rekey,  step_inherit,	       step_clear,
	};
	struct world *world = world_new("");

	for (int i = 0; i < 4000; i++) {
		unsigned int step = check_random(COUNT(steps));
		unsigned int failures = CU_get_number_of_failures();
		char row[32];

		snprintf(row, sizeof(row), "step %d, kind %u", i, step);
		steps[step](world);
		world_check(row, world);
		if (CU_get_number_of_failures() != failures)
			break; /* what follows would only repeat it */
	}
	world_free(world);
}

static void index_grows_as_far_as_needed(void)
{
	struct kvp_index index;
	struct kvp_value *value = model_value("v");
	size_t wrong = 0;
	char key[16];

	kvp_index_init(&index);
	for (size_t i = 0; i < 3000; i++) {
		snprintf(key, sizeof(key), "%zu", i % 2000);
		wrong += kvp_index_append(&index, check_bytes(key), value, 0) !=
			 0;
	}
	CU_ASSERT_EQUAL(index.records, 3000);
	CU_ASSERT_EQUAL(index.keys, 2000);
	for (size_t i = 0; i < 2000; i++) {
		const struct kvp_entry *entry;

		snprintf(key, sizeof(key), "%zu", i);
		entry = kvp_index_find(&index, check_bytes(key));
		wrong += !entry || entry->first != i ||
			 entry->last != (i < 1000 ? i + 2000 : i);
	}
	CU_ASSERT_EQUAL(wrong, 0);
	kvp_index_release(&index);
	kvp_value_unref(value);
}

/*
 * Appends RECORDS records first, so that the next one may need more room, and then
 * one of KEY with each of its allocations failing in turn.
 */
static unsigned int append_with_failures(size_t records, size_t key)
{
	struct world *world = world_new("");
	struct kvp_value *value = model_value("v");
	unsigned int failures = 0;
	bool failed = true;
	char row[32];

	while (world->model.count < records)
		world_append(world, world->model.count % 3, value);
	while (failed) {
		uint64_t last_id = world->index.last_id;
		unsigned int refs = value->refs;
		int r;

		fail_alloc_at(failures + 1);
		r = kvp_index_append(&world->index,
				     check_bytes(model_keys[key]), value, 0);
		failed = fail_alloc_end();
		snprintf(row, sizeof(row), "%zu records, allocation %u",
			 records, failures + 1);
		CHECK_ROW(row, r == (failed ? -ENOMEM : 0));
		if (!failed)
			break;
		failures++;
		CHECK_ROW(row, value->refs == refs);
		CHECK_ROW(row, world->index.last_id == last_id);
		world_check(row, world);
	}
	model_add(&world->model, key, value);
	if (model_count(&world->model, key) == 1)
		model_learn_id(&world->index, &world->model, key);
	world_check(row, world);
	kvp_value_unref(value);
	world_free(world);
	return failures;
}

static void append_without_memory_changes_nothing(void)
{
	size_t new_key = MODEL_KEYS - 1;

	/* room for slots and marks is made in powers of two from 64 on */
	CU_ASSERT_EQUAL(append_with_failures(0, new_key), 3);
	CU_ASSERT_EQUAL(append_with_failures(1, new_key), 1);
	CU_ASSERT_EQUAL(append_with_failures(64, new_key), 3);
	CU_ASSERT_EQUAL(append_with_failures(65, new_key), 1);
	CU_ASSERT_EQUAL(append_with_failures(128, new_key), 3);
	CU_ASSERT_EQUAL(append_with_failures(10, 1), 0);
	CU_ASSERT_EQUAL(append_with_failures(64, 1), 2);
	CU_ASSERT_EQUAL(append_with_failures(64, 0), 2);
}

static void rekey_without_memory_changes_nothing(void)
{
	struct world *world = world_new("bab-");
	struct model *model = &world->model;

	fail_alloc_at(1);
	CU_ASSERT_EQUAL(kvp_index_rekey(&world->index, world_find(world, "a"),
					check_bytes("c")),
			-ENOMEM);
	CU_ASSERT_TRUE(fail_alloc_end());
	world_check("failed", world);
	fail_alloc_at(2);
	CU_ASSERT_EQUAL(kvp_index_rekey(&world->index, world_find(world, "a"),
					check_bytes("c")),
			0);
	CU_ASSERT_FALSE(fail_alloc_end()); /* there is only one */
	model->records[1].key = model_key('c');
	model->ids[model_key('c')] = model->ids[model_key('a')];
	world_check("done", world);
	world_free(world);
}

static const struct check_case cases[] = {
	CHECK_CASE(new_index_is_empty),
	CHECK_CASE(last_of_repeated_records_wins),
	CHECK_CASE(entries_come_in_the_order_of_their_first_records),
	CHECK_CASE(record_with_an_empty_key_is_no_entry),
	CHECK_CASE(empty_key_needs_no_value),
	CHECK_CASE(keys_are_copied_and_values_shared),
	CHECK_CASE(keys_that_share_a_start_are_different),
	CHECK_CASE(released_index_is_as_new),
	CHECK_CASE(ids_are_given_once),
	CHECK_CASE(drop_closes_the_gaps_in_order),
	CHECK_CASE(drop_takes_each_set_of_slots),
	CHECK_CASE(rekey_renames_in_place_and_keeps_the_id),
	CHECK_CASE(inherit_keeps_what_has_not_changed),
	CHECK_CASE(inherit_compares_the_last_values_of_repeated_keys),
	CHECK_CASE(inherit_of_nothing_changes_nothing),
	CHECK_CASE(index_says_what_a_plain_array_says),
	CHECK_CASE(index_grows_as_far_as_needed),
	CHECK_CASE(append_without_memory_changes_nothing),
	CHECK_CASE(rekey_without_memory_changes_nothing),
};

CHECK_MAIN("index", cases)
