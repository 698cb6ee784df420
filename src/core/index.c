/* SPDX-License-Identifier: MIT */
#include "index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_SLOT SIZE_MAX

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
	kvp_keys_release(&index->entries, free_entry);
	free(index->slots);
	free(index->marks);
	kvp_index_init(index);
}

struct kvp_entry *kvp_index_find(const struct kvp_index *index,
				 struct kvp_bytes key)
{
	return kvp_keys_find(&index->entries, key);
}

struct kvp_entry *kvp_index_find_near(const struct kvp_index *index,
				      struct kvp_bytes key, size_t slot)
{
	struct kvp_entry *entry = slot < index->records ? index->slots[slot]
							: NULL;

	return entry && kvp_bytes_equal(entry->key, key)
		       ? entry
		       : kvp_index_find(index, key);
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
	unsigned char *marks;

	if (index->records < index->capacity)
		return 0;
	slots = realloc(index->slots, capacity * sizeof(struct kvp_entry *));
	if (!slots)
		return -ENOMEM;
	index->slots = slots;
	marks = realloc(index->marks, capacity);
	if (!marks)
		return -ENOMEM;
	index->marks = marks;
	index->capacity = capacity;
	return 0;
}

/* A new entry of KEY, which is found by it but has no slot and no value yet. */
static struct kvp_entry *plant_entry(struct kvp_index *index,
				     struct kvp_bytes key)
{
	struct kvp_entry *entry = calloc(1, sizeof(*entry) + key.len);

	if (!entry)
		return NULL;
	memcpy(entry->key_data, key.data, key.len);
	entry->key = (struct kvp_bytes){ entry->key_data, key.len };
	if (!kvp_keys_add(&index->entries, &entry->key)) {
		free(entry);
		return NULL;
	}
	return entry;
}

/* ENTRY, which has a key alone, gets everything else from FROM. */
static void take_over(struct kvp_entry *entry, const struct kvp_entry *from)
{
	entry->value = kvp_value_ref(from->value);
	entry->id = from->id;
	entry->first = from->first;
	entry->last = from->last;
	entry->records = from->records;
}

/* A copy of ENTRY, planted in INDEX; NULL: no memory. */
static struct kvp_entry *copy_entry(struct kvp_index *index,
				    const struct kvp_entry *entry)
{
	struct kvp_entry *copy = plant_entry(index, entry->key);

	if (copy)
		take_over(copy, entry);
	return copy;
}

int kvp_index_copy(const struct kvp_index *from, struct kvp_index *ret_index)
{
	struct kvp_index copy = *from;

	copy.entries = (struct kvp_keys){ 0 };
	copy.capacity = from->records;
	copy.slots = calloc(from->records + 1, sizeof(struct kvp_entry *));
	copy.marks = malloc(from->records + 1);
	if (!copy.slots || !copy.marks) {
		kvp_index_release(&copy);
		return -ENOMEM;
	}
	if (from->records > 0)
		memcpy(copy.marks, from->marks, from->records);
	for (size_t slot = 0; slot < from->records; slot++) {
		const struct kvp_entry *entry = from->slots[slot];

		if (!entry)
			continue;
		copy.slots[slot] = entry->first == slot
					   ? copy_entry(&copy, entry)
					   : copy.slots[entry->first];
		if (!copy.slots[slot]) {
			kvp_index_release(&copy);
			return -ENOMEM;
		}
	}
	*ret_index = copy;
	return 0;
}

static unsigned char marks_of(struct kvp_bytes key,
			      const struct kvp_value *value)
{
	struct kvp_pair pair = { .key = key };

	if (value)
		pair.value = kvp_value_bytes(value);
	return kvp_report_marks(&pair);
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
			index->names++;
			index->order++;
		}
		entry->last = slot;
		entry->records++;
		kvp_value_set(&entry->value, value);
	} else {
		index->empty_keys++;
	}
	index->slots[slot] = entry;
	index->marks[slot] = marks_of(key, value);
	index->records++;
	return 0;
}

int kvp_index_add(struct kvp_index *index, const struct kvp_index *known,
		  const struct kvp_pair *pair)
{
	const struct kvp_entry *entry =
		known ? kvp_index_find_near(known, pair->key, index->records)
		      : NULL;
	struct kvp_value *value;
	int r = -ENOMEM;

	if (entry &&
	    kvp_bytes_equal(kvp_value_bytes(entry->value), pair->value))
		value = kvp_value_ref(entry->value);
	else
		value = kvp_value_new(pair->value);
	if (value)
		r = kvp_index_append(index, pair->key, value, 0);
	kvp_value_unref(value);
	return r;
}

void kvp_index_put(struct kvp_index *index, struct kvp_entry *entry,
		   struct kvp_value *value)
{
	kvp_value_set(&entry->value, value);
	index->marks[entry->last] = marks_of(entry->key, value);
}

void kvp_index_mark(struct kvp_index *index, size_t slot,
		    const struct kvp_pair *pair)
{
	index->marks[slot] = kvp_report_marks(pair);
}

void kvp_index_report(const struct kvp_index *index,
		      struct kvp_report *ret_report)
{
	*ret_report = (struct kvp_report){ 0 };
	for (size_t slot = 0; slot < index->records; slot++) {
		const struct kvp_entry *entry = index->slots[slot];
		struct kvp_bytes none = { "", 0 };

		kvp_report_add(ret_report, entry ? entry->key : none,
			       index->marks[slot],
			       entry && entry->first == slot);
	}
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
		kvp_keys_remove(&index->entries, &entry->key);
		free_entry(entry);
		index->keys--;
		index->names++;
		index->order++;
		return;
	}
	if (entry->first == slot) {
		entry->first = NO_SLOT; /* the next one that is kept */
		index->order++;
	}
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
		index->marks[to] = index->marks[from];
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
	take_over(entry, from);
	index->slots[entry->last] = entry;
	index->marks[entry->last] = marks_of(key, entry->value);
	kvp_keys_remove(&index->entries, &from->key);
	free_entry(from);
	index->names++;
	index->order++;
	return 0;
}

void kvp_index_exchange(struct kvp_index *index, struct kvp_entry *one,
			struct kvp_entry *two)
{
	uint64_t id = one->id;

	one->id = two->id;
	two->id = id;
	/* a name that stands for something else is a change of names */
	index->names++;
	index->order++;
}

void kvp_index_clear(struct kvp_index *index)
{
	struct kvp_index empty = {
		.last_id = index->last_id,
		.names = index->names + (index->keys > 0),
		.order = index->order + (index->keys > 0),
		.replaced = index->replaced,
	};

	kvp_index_release(index);
	*index = empty;
}

/* Whether entries of the same ids come in the same order. */
static bool same_order(const struct kvp_index *a, const struct kvp_index *b)
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

bool kvp_index_inherit(struct kvp_index *index, const struct kvp_index *old)
{
	size_t same_names = 0;
	size_t same_values = 0;

	for (size_t slot = 0; slot < index->records; slot++) {
		struct kvp_entry *entry = index->slots[slot];
		const struct kvp_entry *before;

		if (!entry || entry->first != slot)
			continue;
		before = kvp_index_find_near(old, entry->key, slot);
		if (!before)
			continue;
		same_names++;
		entry->id = before->id;
		if (!kvp_bytes_equal(kvp_value_bytes(entry->value),
				     kvp_value_bytes(before->value)))
			continue;
		kvp_value_set(&entry->value, before->value);
		same_values++;
	}
	index->replaced = old->replaced;
	index->names = old->names;
	if (same_names < index->keys || same_names < old->keys)
		index->names++;
	index->order = old->order + !same_order(index, old);
	return same_values == index->keys && same_values == old->keys;
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
