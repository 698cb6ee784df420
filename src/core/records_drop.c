/* SPDX-License-Identifier: MIT */
/*
 * Chooses the records that are cut out of a pool file; records.c cuts them out.
 */
#include <errno.h>
#include <stdlib.h>

#include "records.h"
#include "util.h"

/* The ascending slots of the records that kvp_records_drop cuts out. */
static int collect_slots(const struct kvp_records *records,
			 const struct kvp_entry *all,
			 const struct kvp_entry *repeated, size_t **ret_slots,
			 size_t *ret_count)
{
	size_t most = (all ? all->records : 0) +
		      (repeated ? repeated->records - 1 : 0);
	size_t *slots = malloc((most + 1) * sizeof(*slots));
	size_t count = 0;

	if (!slots)
		return -ENOMEM;
	for (size_t slot = 0; count < most; slot++) {
		const struct kvp_entry *entry = records->index.slots[slot];

		if (entry && (entry == all ||
			      (entry == repeated && slot != repeated->last)))
			slots[count++] = slot;
	}
	*ret_slots = slots;
	*ret_count = count;
	return 0;
}

int kvp_records_drop(struct kvp_records *records, struct kvp_entry *all,
		     struct kvp_entry *repeated)
{
	kvp_autofree size_t *slots = NULL;
	size_t count = 0;
	int r;

	if (!all && repeated->records == 1)
		return 0;
	if (all && all->records == 1 && (!repeated || repeated->records == 1)) {
		size_t only = all->last; /* the entry will be gone */

		return kvp_records_drop_slots(records, &only, 1);
	}
	r = collect_slots(records, all, repeated, &slots, &count);
	return r ? r : kvp_records_drop_slots(records, slots, count);
}

static int compare_slots(const void *a, const void *b)
{
	const size_t *x = a;
	const size_t *y = b;

	return (*x > *y) - (*x < *y);
}

/* Sorts the COUNT SLOTS and drops those that are there twice; returns how many stay. */
static size_t sort_slots(size_t *slots, size_t count)
{
	size_t kept = 0;

	qsort(slots, count, sizeof(*slots), compare_slots);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || slots[kept - 1] != slots[i])
			slots[kept++] = slots[i];
	return kept;
}

/* The MOST slots of all records of the entries that begin at FIRSTS, into SLOTS. */
static void collect_all(const struct kvp_index *index, const size_t *firsts,
			size_t count, size_t *slots, size_t most)
{
	size_t n = 0;

	for (size_t slot = 0; n < most; slot++) {
		const struct kvp_entry *entry = index->slots[slot];

		if (entry && bsearch(&entry->first, firsts, count,
				     sizeof(*firsts), compare_slots))
			slots[n++] = slot;
	}
}

int kvp_records_drop_all(struct kvp_records *records, size_t *firsts,
			 size_t count)
{
	kvp_autofree size_t *slots = NULL;
	size_t most = 0;

	count = sort_slots(firsts, count);
	for (size_t i = 0; i < count; i++)
		most += records->index.slots[firsts[i]]->records;
	if (most == count) /* nothing is repeated */
		return kvp_records_drop_slots(records, firsts, count);
	slots = malloc(most * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	collect_all(&records->index, firsts, count, slots, most);
	return kvp_records_drop_slots(records, slots, most);
}

int kvp_records_drop_first(struct kvp_records *records, size_t count)
{
	kvp_autofree size_t *slots = malloc((count + 1) * sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		slots[i] = i;
	return kvp_records_drop_slots(records, slots, count);
}

/* Whether the record at SLOT has VALUE. */
static int record_has_value(struct kvp_records *records, size_t slot,
			    const struct kvp_value *value, bool *ret_has)
{
	struct kvp_record record;
	size_t size = 0;
	int r = kvp_pool_read(&records->pool, (off_t)slot * KVP_RECORD_SIZE,
			      &record, sizeof(record), &size);

	if (r == 0 && size < sizeof(record))
		r = -EIO; /* somebody without a lock cut the file */
	if (r == 0)
		*ret_has = kvp_bytes_equal(kvp_record_value(&record),
					   kvp_value_bytes(value));
	return r;
}

/* Where ENTRY's Nth record is, the first being number 1; it has more than N. */
static size_t nth_slot(const struct kvp_index *index,
		       const struct kvp_entry *entry, size_t n)
{
	size_t slot = entry->first;

	while (index->slots[slot] != entry || --n > 0)
		slot++;
	return slot;
}

/*
 * Counts the records of ENTRY, from its first one on, that were there at SEEN and still
 * are. If the value has changed, there are such only if others were added behind them:
 * the last of them still has the old value then.
 */
static int count_seen(struct kvp_records *records, const struct kvp_index *seen,
		      const struct kvp_entry *entry, size_t *ret_count)
{
	const struct kvp_entry *then = kvp_index_find(seen, entry->key);
	bool same = false;
	int r;

	if (!then)
		return 0;
	if (entry->value == then->value) {
		*ret_count = then->records;
		return 0;
	}
	if (entry->records <= then->records)
		return 0;
	r = record_has_value(records,
			     nth_slot(&records->index, entry, then->records),
			     then->value, &same);
	if (r == 0 && same)
		*ret_count = then->records;
	return r;
}

/* The ascending slots of what was there at SEEN and is there still. */
static int collect_seen(struct kvp_records *records,
			const struct kvp_index *seen, size_t *slots,
			size_t *ret_count)
{
	const struct kvp_index *index = &records->index;
	/* by the slot of an entry's first record: how many of its records go */
	kvp_autofree size_t *left = calloc(index->records + 1, sizeof(*left));
	/* what has replaced all since is something else */
	size_t end = seen->replaced == index->replaced ? index->records : 0;
	size_t empty_left = seen->empty_keys;
	size_t count = 0;
	int r = left ? 0 : -ENOMEM;

	for (size_t slot = 0; slot < end && r == 0; slot++) {
		const struct kvp_entry *entry = index->slots[slot];
		size_t *rest = entry ? &left[entry->first] : &empty_left;

		if (entry && entry->first == slot)
			r = count_seen(records, seen, entry, rest);
		if (*rest == 0)
			continue;
		--*rest;
		slots[count++] = slot;
	}
	*ret_count = count;
	return r;
}

int kvp_records_clear_seen(struct kvp_records *records,
			   const struct kvp_index *seen, bool *ret_changed)
{
	size_t records_now = records->index.records;
	kvp_autofree size_t *slots = malloc((records_now + 1) * sizeof(*slots));
	size_t count = 0;
	int r = slots ? collect_seen(records, seen, slots, &count) : -ENOMEM;

	*ret_changed = r == 0 && (count > 0 || records_now == 0);
	if (r)
		return r;
	if (count == records_now)
		return kvp_records_clear(records);
	records->foreign++;
	return kvp_records_drop_slots(records, slots, count);
}
