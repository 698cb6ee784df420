/* SPDX-License-Identifier: MIT */
#include "told.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int kvpfs_told_begin(struct kvpfs_told *told, struct kvp_store *store)
{
	int r = kvp_reading_take(&told->names, store);

	if (r)
		return r;
	TAILQ_INIT(&told->due);
	told->on = true;
	told->nodes = KVPFS_NODES_ALL;
	return 0;
}

static void drop_all(struct kvpfs_told *told)
{
	while (!TAILQ_EMPTY(&told->due))
		kvpfs_told_finish(told, TAILQ_FIRST(&told->due));
}

void kvpfs_told_end(struct kvpfs_told *told)
{
	if (told->on) {
		drop_all(told);
		kvp_reading_release(&told->names);
	}
	told->on = false;
}

void kvpfs_told_doubt(struct kvpfs_told *told)
{
	told->inexact = true;
	told->urgent = true;
}

static struct kvp_entry *find(const struct kvpfs_told *told,
			      struct kvp_bytes key)
{
	return told->on ? kvp_index_find(&told->names.index, key) : NULL;
}

const struct kvp_entry *kvpfs_told_find(const struct kvpfs_told *told,
					struct kvp_bytes key)
{
	return find(told, key);
}

/*
 * The kernel has told that KEY came or went, so that is not due any more. A new value
 * stays due while the key is there: some watchers wait for a close, not for a creation.
 */
static void call_off(struct kvpfs_told *told, struct kvp_bytes key,
		     bool is_gone)
{
	struct kvpfs_change *change;

	TAILQ_FOREACH(change, &told->due, link)
		if ((is_gone || change->kind != KVP_CHANGE_SET) &&
		    kvp_bytes_equal(kvpfs_change_key(change), key))
			change->over = true;
}

void kvpfs_told_stored(struct kvpfs_told *told, struct kvp_bytes key,
		       struct kvp_value *value)
{
	struct kvp_entry *entry = find(told, key);

	if (!told->on)
		return;
	if (entry)
		kvp_value_set(&entry->value, value);
	else
		told->inexact = true; /* a handle has made it again */
}

/* ENTRY is what watchers know of KEY, or NULL. */
static void note_made(struct kvpfs_told *told, struct kvp_bytes key,
		      struct kvp_entry *entry, uint64_t id,
		      struct kvp_value *value)
{
	call_off(told, key, false);
	if (entry) {
		entry->id = id;
		kvp_value_set(&entry->value, value);
	} else if (kvp_index_append(&told->names.index, key, value, id) != 0) {
		told->inexact = true;
	}
}

static void note_removed(struct kvpfs_told *told, struct kvp_bytes key,
			 const struct kvp_entry *entry)
{
	size_t slot;

	call_off(told, key, true);
	if (!entry)
		return;
	slot = entry->last;
	kvp_index_drop(&told->names.index, &slot, 1);
}

void kvpfs_told_made(struct kvpfs_told *told, struct kvp_bytes key, uint64_t id,
		     struct kvp_value *value)
{
	if (told->on)
		note_made(told, key, find(told, key), id, value);
}

void kvpfs_told_removed(struct kvpfs_told *told, struct kvp_bytes key)
{
	if (told->on)
		note_removed(told, key, find(told, key));
}

/* kvp_index_exchange leaves the values in place, as records stay in place. */
static void exchange_entries(struct kvpfs_told *told, struct kvp_entry *one,
			     struct kvp_entry *two)
{
	struct kvp_value *value = one->value;

	one->value = two->value;
	two->value = value;
	kvp_index_exchange(&told->names.index, one, two);
}

void kvpfs_told_renamed(struct kvpfs_told *told, struct kvp_bytes from,
			const struct kvp_item *to, bool exchange)
{
	struct kvp_entry *entry = find(told, from);
	struct kvp_entry *other = find(told, to->key);

	if (!told->on || kvp_bytes_equal(from, to->key))
		return;
	if (exchange && entry && other) {
		call_off(told, from, false);
		call_off(told, to->key, false);
		exchange_entries(told, entry, other);
		return;
	}
	if (entry && !other && !exchange) {
		call_off(told, from, true);
		call_off(told, to->key, false);
		if (kvp_index_rekey(&told->names.index, entry, to->key) != 0)
			told->inexact = true;
		return;
	}
	if (entry)
		note_made(told, to->key, other, entry->id, entry->value);
	else if (to->value)
		note_made(told, to->key, other, to->id, to->value);
	if (!exchange)
		note_removed(told, from, entry);
	else if (!entry && to->value) /* a comparison finds its real value */
		note_made(told, from, NULL, 0, to->value);
}

static int add_due(struct kvpfs_told *told, enum kvp_change kind,
		   struct kvp_bytes key)
{
	struct kvpfs_change *change = calloc(1, sizeof(*change) + key.len);

	if (!change)
		return -ENOMEM;
	change->kind = kind;
	change->key_len = key.len;
	memcpy(change->key, key.data, key.len);
	TAILQ_INSERT_TAIL(&told->due, change, link);
	return 0;
}

void kvpfs_told_early(struct kvpfs_told *told, struct kvp_bytes key)
{
	if (find(told, key))
		(void)!add_due(told, KVP_CHANGE_SET, key);
}

struct comparison {
	struct kvpfs_told *told;
	bool (*is_kept)(void *arg, struct kvp_bytes key);
	void *arg;
};

static int add_change(void *arg, enum kvp_change kind, struct kvp_bytes key,
		      struct kvp_value *value)
{
	const struct comparison *comparison = arg;

	(void)value;
	if (kind == KVP_CHANGE_GONE &&
	    comparison->is_kept(comparison->arg, key))
		return 0;
	return add_due(comparison->told, kind, key);
}

int kvpfs_told_compare(struct kvpfs_told *told, struct kvp_store *store,
		       bool (*is_kept)(void *arg, struct kvp_bytes key),
		       void *arg)
{
	struct comparison comparison = { told, is_kept, arg };
	struct kvp_status status;
	int r;

	if (kvpfs_told_next(told))
		return 0;
	r = kvp_store_refresh(store);
	if (r)
		return r;
	kvp_store_status(store, &status);
	if (status.foreign == told->names.foreign && !told->inexact)
		return 0;
	r = kvp_reading_renew(&told->names, store, false, add_change,
			      &comparison);
	if (r) {
		drop_all(told);
		return r;
	}
	told->inexact = false;
	told->nodes = KVPFS_NODES_ALL;
	return 0;
}

struct kvpfs_change *kvpfs_told_next(struct kvpfs_told *told)
{
	struct kvpfs_change *change;

	while ((change = TAILQ_FIRST(&told->due)) && change->over)
		kvpfs_told_finish(told, change);
	return change;
}

void kvpfs_told_finish(struct kvpfs_told *told, struct kvpfs_change *change)
{
	TAILQ_REMOVE(&told->due, change, link);
	free(change);
}
