/* SPDX-License-Identifier: MIT */
#include "changes.h"

#include <errno.h>
#include <stdlib.h>

#include "util.h"

int kvp_changes_init(struct kvp_changes *changes, struct kvp_index *reading)
{
	bool *kept = calloc(reading->records + 1, sizeof(*kept));

	if (!kept)
		return -ENOMEM;
	*changes = (struct kvp_changes){ .reading = reading, .kept = kept };
	return 0;
}

void kvp_changes_release(struct kvp_changes *changes)
{
	free(changes->kept);
	free(changes->items);
}

static int add_item(struct kvp_changes *changes, const struct kvp_item *item)
{
	size_t room = changes->room ? changes->room * 2 : 16;
	struct kvp_item *bigger;

	if (changes->count == changes->room) {
		bigger = realloc(changes->items, room * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		changes->items = bigger;
		changes->room = room;
	}
	changes->items[changes->count++] = *item;
	return 0;
}

int kvp_changes_add(void *arg, const struct kvp_item *item)
{
	struct kvp_changes *changes = arg;
	/* as long as keys only come at the end, it is where it was */
	struct kvp_entry *entry = kvp_index_find_near(changes->reading,
						      item->key,
						      changes->added++);

	if (!entry)
		return add_item(changes, item);
	changes->kept[entry->last] = true;
	changes->found++;
	entry->id = item->id;
	if (entry->value == item->value)
		return 0;
	if (!kvp_bytes_equal(kvp_value_bytes(entry->value),
			     kvp_value_bytes(item->value)))
		return add_item(changes, item);
	kvp_value_set(&entry->value, item->value);
	return 0;
}

/* How many of the first BEFORE keys are gone. */
static size_t count_gone(const struct kvp_changes *changes, size_t before)
{
	return before - changes->found;
}

static int tell_gone(const struct kvp_changes *changes, size_t before,
		     kvp_visit_change *visit, void *arg)
{
	int r = 0;

	for (size_t slot = 0; slot < before && r == 0; slot++)
		if (!changes->kept[slot])
			r = visit(arg, KVP_CHANGE_GONE,
				  changes->reading->slots[slot]->key, NULL);
	return r;
}

/* The entry of an item in the reading that has all of them. */
static struct kvp_entry *entry_of(const struct kvp_changes *changes,
				  const struct kvp_item *item)
{
	return kvp_index_find(changes->reading, item->key);
}

/* The keys from slot BEFORE on are new. */
static int tell_items(const struct kvp_changes *changes, size_t before,
		      kvp_visit_change *visit, void *arg)
{
	int r = 0;

	for (size_t i = 0; i < changes->count && r == 0; i++) {
		const struct kvp_item *item = &changes->items[i];
		bool is_new = entry_of(changes, item)->last >= before;

		r = visit(arg, is_new ? KVP_CHANGE_NEW : KVP_CHANGE_SET,
			  item->key, item->value);
	}
	return r;
}

static int tell(const struct kvp_changes *changes, size_t before, bool cleared,
		kvp_visit_change *visit, void *arg)
{
	const struct kvp_bytes none = { "", 0 };
	int r = 0;

	if (cleared && changes->added == 0 && before > 0)
		return visit(arg, KVP_CHANGE_CLEARED, none, NULL);
	if (count_gone(changes, before) > 0)
		r = tell_gone(changes, before, visit, arg);
	return r ? r : tell_items(changes, before, visit, arg);
}

/* Cuts the records from BEFORE on out of INDEX. */
static void cut_back(struct kvp_index *index, size_t before)
{
	while (index->records > before) {
		size_t slot = index->records - 1;

		kvp_index_drop(index, &slot, 1);
	}
}

/* Adds the new keys behind the others; -ENOMEM: not all of them. */
static int add_new(const struct kvp_changes *changes)
{
	int r = 0;

	for (size_t i = 0; i < changes->count && r == 0; i++) {
		const struct kvp_item *item = &changes->items[i];

		if (!entry_of(changes, item))
			r = kvp_index_append(changes->reading, item->key,
					     item->value, item->id);
	}
	return r;
}

/* Makes the reading, which has the new keys already, the new one. */
static void apply(const struct kvp_changes *changes, size_t before,
		  size_t slots[])
{
	size_t n = 0;

	for (size_t i = 0; i < changes->count; i++)
		kvp_value_set(&entry_of(changes, &changes->items[i])->value,
			      changes->items[i].value);
	for (size_t slot = 0; slot < before; slot++)
		if (!changes->kept[slot])
			slots[n++] = slot;
	kvp_index_drop(changes->reading, slots, n);
}

int kvp_changes_tell(struct kvp_changes *changes, bool cleared,
		     kvp_visit_change *visit, void *arg)
{
	size_t before = changes->reading->records;
	kvp_autofree size_t *slots = calloc(count_gone(changes, before) + 1,
					    sizeof(*slots));
	int r = slots ? add_new(changes) : -ENOMEM;

	if (r == 0)
		r = tell(changes, before, cleared, visit, arg);
	if (r == 0)
		apply(changes, before, slots);
	else
		cut_back(changes->reading, before);
	return r;
}
