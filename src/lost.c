/* SPDX-License-Identifier: MIT */
#include "lost.h"

#include <stdlib.h>
#include <string.h>

void kvp_lost_forget(struct kvp_lost *lost)
{
	while (lost->count > 0) {
		struct kvp_change *change = &lost->changes[--lost->count];

		kvp_value_unref(change->before);
		free(change->key_data);
	}
}

static void forget_oldest(struct kvp_lost *lost)
{
	kvp_value_unref(lost->changes[0].before);
	free(lost->changes[0].key_data);
	lost->count--;
	memmove(&lost->changes[0], &lost->changes[1],
		lost->count * sizeof(lost->changes[0]));
}

void kvp_lost_note(struct kvp_lost *lost, const struct kvp_index *index,
		   struct kvp_bytes key, const struct kvp_entry *entry)
{
	struct kvp_change change = { .key.len = key.len };

	change.key_data = malloc(key.len);
	if (!change.key_data) {
		kvp_lost_forget(lost);
		return;
	}
	memcpy(change.key_data, key.data, key.len);
	change.key.data = change.key_data;
	if (entry) {
		change.before = kvp_value_ref(entry->value);
		change.at_end = entry->last + 1 == index->records;
	}
	if (lost->count == KVP_LOST_CHANGES)
		forget_oldest(lost);
	lost->changes[lost->count++] = change;
}

static bool same_value(const struct kvp_value *a, const struct kvp_value *b)
{
	if (!a || !b)
		return a == b;
	return kvp_bytes_equal(kvp_value_bytes(a), kvp_value_bytes(b));
}

static const struct kvp_value *value_of(const struct kvp_entry *entry)
{
	return entry ? entry->value : NULL;
}

/* How many keys differ. */
static size_t count_differences(const struct kvp_index *known,
				const struct kvp_index *found)
{
	const struct kvp_entry *entry;
	size_t cursor = 0;
	size_t count = 0;
	size_t both = 0;

	while ((entry = kvp_index_next(found, &cursor))) {
		const struct kvp_entry *before = kvp_index_find(known,
								entry->key);

		both += before != NULL;
		count += !same_value(entry->value, value_of(before));
	}
	return count + known->keys - both;
}

/* Whether one of the changes from FIRST on, but before END, was of KEY. */
static bool changed_before(const struct kvp_lost *lost, size_t first,
			   size_t end, struct kvp_bytes key)
{
	for (size_t i = first; i < end; i++)
		if (kvp_bytes_equal(lost->changes[i].key, key))
			return true;
	return false;
}

/*
 * Whether FOUND can have come of a reading before our changes from FIRST on; in
 * how many of our keys the effect is gone then, and the newest of them.
 */
static bool undoes(const struct kvp_lost *lost, size_t first,
		   const struct kvp_index *known, const struct kvp_index *found,
		   size_t *ret_undone, const struct kvp_change **ret_newest)
{
	*ret_undone = 0;
	for (size_t i = first; i < lost->count; i++) {
		const struct kvp_change *change = &lost->changes[i];
		const struct kvp_entry *now;
		bool kept;

		if (changed_before(lost, first, i, change->key))
			continue;
		now = kvp_index_find(found, change->key);
		kept = same_value(value_of(now),
				  value_of(kvp_index_find(known, change->key)));
		if (kept && !same_value(value_of(now), change->before))
			return false;
		if (kept || !same_value(value_of(now), change->before))
			continue;
		if (now && !change->at_end && now->last + 1 == found->records)
			continue; /* set anew */
		++*ret_undone;
		*ret_newest = change;
	}
	return true;
}

void kvp_lost_check(struct kvp_lost *lost, const struct kvp_index *known,
		    const struct kvp_index *found)
{
	size_t differences = lost->count ? count_differences(known, found) : 0;
	const struct kvp_change *newest = NULL;
	size_t most = 0;

	/* what leaves nothing is no rewrite */
	for (size_t first = 0; first < lost->count && found->records; first++) {
		const struct kvp_change *change = NULL;
		size_t undone;

		if (!undoes(lost, first, known, found, &undone, &change) ||
		    differences - undone > 1 || undone <= most)
			continue;
		most = undone;
		newest = change;
	}
	if (newest) {
		memcpy(lost->key_data, newest->key.data, newest->key.len);
		lost->key = (struct kvp_bytes){ lost->key_data,
						newest->key.len };
	}
	lost->updates += most;
	kvp_lost_forget(lost);
}
