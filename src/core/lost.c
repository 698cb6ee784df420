/* SPDX-License-Identifier: MIT */
#include "lost.h"

#include <stdlib.h>
#include <string.h>

/* How soon a rewrite follows upon our change if it is to have undone it. */
#define LOST_SECONDS 5

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
	struct kvp_change change = { .key.len = key.len, .when = time(NULL) };

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

enum fate {
	KEPT,	/* the key is as we left it, not as it was before */
	UNDONE, /* as it was before, not as we left it */
	OTHER,	/* neither, or both */
};

static enum fate fate_of(const struct kvp_change *change,
			 const struct kvp_index *known,
			 const struct kvp_index *found)
{
	const struct kvp_entry *now = kvp_index_find(found, change->key);
	const struct kvp_entry *ours = kvp_index_find(known, change->key);
	bool as_ours = same_value(value_of(now), value_of(ours));
	bool as_before = same_value(value_of(now), change->before);

	if (as_ours)
		return as_before ? OTHER : KEPT;
	if (now && !change->at_end && now->last + 1 == found->records)
		return OTHER; /* set anew */
	return as_before ? UNDONE : OTHER;
}

/*
 * Whether FOUND can have come of a reading before our changes from FIRST on. Counts
 * the keys in which they are undone then, and tells REPORT, if any, of each.
 */
static bool undoes(const struct kvp_lost *lost, size_t first,
		   const struct kvp_index *known, const struct kvp_index *found,
		   kvp_lost_report *report, size_t *ret_undone)
{
	*ret_undone = 0;
	for (size_t i = first; i < lost->count; i++) {
		const struct kvp_change *change = &lost->changes[i];
		enum fate fate;

		if (changed_before(lost, first, i, change->key))
			continue;
		fate = fate_of(change, known, found);
		if (fate == KEPT)
			return false;
		if (fate == UNDONE && report)
			report(lost->arg, change->key);
		*ret_undone += fate == UNDONE;
	}
	return true;
}

/* Whoever sets times, as cp -p does, hides when he wrote. */
static bool was_soon(const struct kvp_lost *lost, size_t first, time_t written)
{
	return written >= lost->changes[lost->count - 1].when &&
	       written - lost->changes[first].when <= LOST_SECONDS;
}

void kvp_lost_check(struct kvp_lost *lost, const struct kvp_index *known,
		    const struct kvp_index *found, time_t written)
{
	size_t differences = lost->count ? count_differences(known, found) : 0;
	size_t most_from = 0;
	size_t most = 0;
	size_t undone;

	/* what leaves nothing is no rewrite */
	for (size_t first = 0; first < lost->count && found->records; first++) {
		if (!was_soon(lost, first, written) ||
		    !undoes(lost, first, known, found, NULL, &undone) ||
		    differences - undone > 1 || undone <= most)
			continue;
		most = undone;
		most_from = first;
	}
	if (most > 0)
		undoes(lost, most_from, known, found, lost->report, &undone);
	lost->updates += most;
	kvp_lost_forget(lost);
}
