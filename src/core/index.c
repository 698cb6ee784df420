/* SPDX-License-Identifier: MIT */
#include "index.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#define NO_SLOT SIZE_MAX

static int compare_keys(const void *a, const void *b)
{
	return kvp_bytes_compare(*(const struct kvp_bytes *)a,
				 *(const struct kvp_bytes *)b);
}

void kvp_index_init(struct kvp_index *index)
{
	*index = (struct kvp_index){ 0 };
}

static void free_entry(void *node)
{
	struct kvp_entry *entry = node;

	kvp_value_unref(entry->value);
	free(entry);
}

void kvp_index_release(struct kvp_index *index)
{
	tdestroy(index->tree, free_entry);
	free(index->slots);
	kvp_index_init(index);
}

struct kvp_entry *kvp_index_find(const struct kvp_index *index,
				 struct kvp_bytes key)
{
	void *const *node = tfind(&key, &index->tree, compare_keys);

	return node ? *node : NULL;
}

const struct kvp_entry *kvp_index_next(const struct kvp_index *index,
				       size_t *cursor)
{
	while (*cursor < index->records) {
		size_t slot = (*cursor)++;
		const struct kvp_entry *entry = index->slots[slot];

		if (entry && entry->first == slot)
			return entry;
	}
	return NULL;
}

uint64_t kvp_index_new_id(struct kvp_index *index)
{
	return ++index->last_id;
}

static int make_room(struct kvp_index *index)
{
	size_t capacity = index->capacity ? index->capacity * 2 : 64;
	struct kvp_entry **slots;

	if (index->records < index->capacity)
		return 0;
	slots = realloc(index->slots, capacity * sizeof(struct kvp_entry *));
	if (!slots)
		return -ENOMEM;
	index->slots = slots;
	index->capacity = capacity;
	return 0;
}

/* A new entry of KEY, in the tree but in no slot and with no value yet. */
static struct kvp_entry *plant_entry(struct kvp_index *index,
				     struct kvp_bytes key)
{
	struct kvp_entry *entry = calloc(1, sizeof(*entry) + key.len);

	if (!entry)
		return NULL;
	memcpy(entry->key_data, key.data, key.len);
	entry->key = (struct kvp_bytes){ entry->key_data, key.len };
	if (!tsearch(entry, &index->tree, compare_keys)) {
		free(entry);
		return NULL;
	}
	return entry;
}

int kvp_index_append(struct kvp_index *index, struct kvp_bytes key,
		     struct kvp_value *value, uint64_t id)
{
	struct kvp_entry *entry = NULL;
	size_t slot = index->records;

	if (make_room(index))
		return -ENOMEM;
	if (key.len > 0) {
		entry = kvp_index_find(index, key);
		if (!entry) {
			entry = plant_entry(index, key);
			if (!entry)
				return -ENOMEM;
			entry->id = id ? id : kvp_index_new_id(index);
			entry->first = slot;
			index->keys++;
		}
		entry->last = slot;
		entry->records++;
		kvp_value_set(&entry->value, value);
	} else {
		index->empty_keys++;
	}
	index->slots[slot] = entry;
	index->records++;
	return 0;
}

/* One record of ENTRY is gone; with the last one the entry goes too. */
static void forget_record(struct kvp_index *index, struct kvp_entry *entry,
			  size_t slot)
{
	if (!entry) {
		index->empty_keys--;
		return;
	}
	if (--entry->records == 0) {
		tdelete(entry, &index->tree, compare_keys);
		free_entry(entry);
		index->keys--;
		return;
	}
	if (entry->first == slot)
		entry->first = NO_SLOT; /* the next one that is kept */
}

void kvp_index_drop(struct kvp_index *index, const size_t *slots, size_t count)
{
	size_t dropped = 0;

	for (size_t i = 0; i < count; i++)
		forget_record(index, index->slots[slots[i]], slots[i]);
	for (size_t from = count ? slots[0] : index->records;
	     from < index->records; from++) {
		struct kvp_entry *entry = index->slots[from];
		size_t to = from - dropped;

		if (dropped < count && slots[dropped] == from) {
			dropped++;
			continue;
		}
		index->slots[to] = entry;
		if (!entry)
			continue;
		if (entry->first == from || entry->first == NO_SLOT)
			entry->first = to;
		if (entry->last == from)
			entry->last = to;
	}
	index->records -= dropped;
}

int kvp_index_rekey(struct kvp_index *index, struct kvp_entry *from,
		    struct kvp_bytes key)
{
	struct kvp_entry *entry = plant_entry(index, key);

	if (!entry)
		return -ENOMEM;
	entry->value = kvp_value_ref(from->value);
	entry->id = from->id;
	entry->first = from->first;
	entry->last = from->last;
	entry->records = from->records;
	index->slots[entry->last] = entry;
	tdelete(from, &index->tree, compare_keys);
	free_entry(from);
	return 0;
}

bool kvp_index_inherit(struct kvp_index *index, const struct kvp_index *old)
{
	size_t same = 0;

	for (size_t slot = 0; slot < index->records; slot++) {
		struct kvp_entry *entry = index->slots[slot];
		const struct kvp_entry *before;

		if (!entry || entry->first != slot)
			continue;
		before = kvp_index_find(old, entry->key);
		if (!before)
			continue;
		entry->id = before->id;
		if (!kvp_bytes_equal(kvp_value_bytes(entry->value),
				     kvp_value_bytes(before->value)))
			continue;
		kvp_value_set(&entry->value, before->value);
		same++;
	}
	return same == index->keys && same == old->keys;
}

bool kvp_index_same_order(const struct kvp_index *a, const struct kvp_index *b)
{
	const struct kvp_entry *x;
	const struct kvp_entry *y;
	size_t a_cursor = 0;
	size_t b_cursor = 0;

	do {
		x = kvp_index_next(a, &a_cursor);
		y = kvp_index_next(b, &b_cursor);
	} while (x && y && x->id == y->id);
	return !x && !y;
}

void kvp_index_set_mtime(struct kvp_index *index, const struct timespec *mtime,
			 bool all)
{
	for (size_t slot = 0; slot < index->records; slot++) {
		const struct kvp_entry *entry = index->slots[slot];

		if (entry && (all || entry->value->mtime.tv_sec == 0))
			entry->value->mtime = *mtime;
	}
}
