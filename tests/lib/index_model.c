/* SPDX-License-Identifier: MIT */
#include "index_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "check.h"

const char *const model_keys[MODEL_KEYS] = { "",
					     "a",
					     "b",
					     "c",
					     "aa",
					     "ab",
					     "ba",
					     "abc",
					     "A",
					     "\xc3",
					     "key of some length" };

size_t model_key(char c)
{
	for (size_t key = 1; key < MODEL_KEYS; key++)
		if (model_keys[key][0] == c && !model_keys[key][1])
			return key;
	return 0;
}

struct kvp_value *model_value(const char *text)
{
	struct kvp_value *value = kvp_value_new(check_bytes(text));

	if (!value)
		abort();
	return value;
}

void model_add(struct model *model, size_t key, struct kvp_value *value)
{
	struct model_record *record = &model->records[model->count++];

	record->key = key;
	record->value = kvp_value_ref(value);
}

void model_drop(struct model *model, const bool *marked)
{
	size_t kept = 0;

	for (size_t i = 0; i < model->count; i++) {
		if (marked[i])
			kvp_value_unref(model->records[i].value);
		else
			model->records[kept++] = model->records[i];
	}
	model->count = kept;
}

void model_clear(struct model *model)
{
	while (model->count > 0)
		kvp_value_unref(model->records[--model->count].value);
}

size_t model_find_first(const struct model *model, size_t key)
{
	size_t i = 0;

	while (i < model->count && model->records[i].key != key)
		i++;
	return i;
}

size_t model_find_last(const struct model *model, size_t key)
{
	size_t i = model->count;

	while (i > 0 && model->records[i - 1].key != key)
		i--;
	return i - 1;
}

size_t model_count(const struct model *model, size_t key)
{
	size_t count = 0;

	for (size_t i = 0; i < model->count; i++)
		count += model->records[i].key == key;
	return count;
}

static size_t model_count_keys(const struct model *model)
{
	size_t count = 0;

	for (size_t key = 1; key < MODEL_KEYS; key++)
		count += model_count(model, key) > 0;
	return count;
}

static bool entry_matches(const struct kvp_index *index,
			  const struct model *model, size_t key)
{
	const struct kvp_entry *entry = kvp_index_find(
		index, check_bytes(model_keys[key]));
	size_t records = model_count(model, key);
	size_t last = model_find_last(model, key);

	if (records == 0 || key == 0)
		return !entry;
	return entry &&
	       kvp_bytes_equal(entry->key, check_bytes(model_keys[key])) &&
	       entry->records == records &&
	       entry->first == model_find_first(model, key) &&
	       entry->last == last &&
	       entry->value == model->records[last].value &&
	       entry->id == model->ids[key];
}

static bool slot_matches(const struct kvp_index *index,
			 const struct model *model, size_t slot)
{
	const char *key = model_keys[model->records[slot].key];

	return index->slots[slot] ==
	       (*key ? kvp_index_find(index, check_bytes(key)) : NULL);
}

/* The entries come in the order of their first records, each once. */
static bool order_matches(const struct kvp_index *index,
			  const struct model *model)
{
	size_t cursor = 0;

	for (size_t i = 0; i < model->count; i++) {
		size_t key = model->records[i].key;
		const struct kvp_entry *entry;

		if (key == 0 || model_find_first(model, key) != i)
			continue;
		entry = kvp_index_next(index, &cursor);
		if (!entry ||
		    !kvp_bytes_equal(entry->key, check_bytes(model_keys[key])))
			return false;
	}
	return !kvp_index_next(index, &cursor);
}

void model_learn_id(const struct kvp_index *index, struct model *model,
		    size_t key)
{
	const struct kvp_entry *entry = kvp_index_find(
		index, check_bytes(model_keys[key]));

	if (!entry)
		return;
	CU_ASSERT_TRUE_FATAL(entry->id > 0 && entry->id < MODEL_IDS);
	CU_ASSERT_FALSE(model->given[entry->id]);
	model->given[entry->id] = true;
	model->ids[key] = entry->id;
}

void world_check(const char *row, const struct world *world)
{
	const struct kvp_index *index = &world->index;
	const struct model *model = &world->model;

	CHECK_ROW(row, index->records == model->count);
	CHECK_ROW(row, index->capacity >= index->records);
	CHECK_ROW(row, index->keys == model_count_keys(model));
	CHECK_ROW(row, index->empty_keys == model_count(model, 0));
	for (size_t slot = 0; slot < model->count; slot++)
		CHECK_ROW(row, slot_matches(index, model, slot));
	for (size_t key = 0; key < MODEL_KEYS; key++)
		CHECK_ROW(row, entry_matches(index, model, key));
	CHECK_ROW(row, order_matches(index, model));
}

void world_append(struct world *world, size_t key, struct kvp_value *value)
{
	bool is_new = model_count(&world->model, key) == 0;

	CU_ASSERT_EQUAL(kvp_index_append(&world->index,
					 check_bytes(model_keys[key]), value,
					 0),
			0);
	model_add(&world->model, key, value);
	if (is_new)
		model_learn_id(&world->index, &world->model, key);
}

void world_drop(struct world *world, const bool *marked)
{
	size_t slots[MODEL_MAX];
	size_t count = 0;

	for (size_t i = 0; i < world->model.count; i++)
		if (marked[i])
			slots[count++] = i;
	kvp_index_drop(&world->index, slots, count);
	model_drop(&world->model, marked);
}

void world_append_text(struct world *world, const char *records)
{
	for (const char *c = records; *c; c++) {
		char text[8];
		struct kvp_value *value;

		snprintf(text, sizeof(text), "%zu", world->model.count);
		value = model_value(text);
		world_append(world, model_key(*c), value);
		kvp_value_unref(value);
	}
}

struct world *world_new(const char *records)
{
	struct world *world = calloc(1, sizeof(*world));

	if (!world)
		abort();
	kvp_index_init(&world->index);
	world_append_text(world, records);
	world_check(records, world);
	return world;
}

void world_free(struct world *world)
{
	kvp_index_release(&world->index);
	model_clear(&world->model);
	free(world);
}

struct kvp_entry *world_find(const struct world *world, const char *key)
{
	return kvp_index_find(&world->index, check_bytes(key));
}
