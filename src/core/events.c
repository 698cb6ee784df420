/* SPDX-License-Identifier: MIT */
#include "events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "name.h"

static int index_item(void *arg, const struct kvp_item *item)
{
	return kvp_index_append(arg, item->key, item->value, item->id);
}

/* What STORE holds, as an index of its own. */
static int take_reading(struct kvp_store *store, struct kvp_index *ret_index,
			struct kvp_status *ret_status)
{
	struct kvp_status status;
	struct kvp_index index;
	int r;

	kvp_index_init(&index);
	r = kvp_store_entries(store, index_item, &index);
	if (r) {
		kvp_index_release(&index);
		return r;
	}
	kvp_store_status(store, &status);
	*ret_status = status;
	*ret_index = index;
	return 0;
}

int kvp_events_open(struct kvp_events *events, struct kvp_store *store,
		    uint64_t *ret_position)
{
	struct kvp_status status;
	char *log = NULL;
	int r;

	if (events->readers == 0) {
		log = malloc(KVP_EVENTS_SIZE);
		if (!log)
			return -ENOMEM;
		r = take_reading(store, &events->seen, &status);
		if (r) {
			free(log);
			return r;
		}
		events->log = log;
		events->generation = status.generation;
		events->clears = status.clears;
	}
	events->readers++;
	*ret_position = events->end;
	return 0;
}

void kvp_events_close(struct kvp_events *events)
{
	if (--events->readers > 0)
		return;
	kvp_index_release(&events->seen);
	free(events->log);
	events->log = NULL;
}

static void add_bytes(struct kvp_events *events, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		events->log[events->end++ % KVP_EVENTS_SIZE] = bytes[i];
}

/* None for a key whose name is too long: no file shows it either. */
static void add_line(struct kvp_events *events, const char *what,
		     struct kvp_bytes key)
{
	char name[KVP_NAME_MAX + 1];
	size_t len;

	if (kvp_name_encode(key, name, &len))
		return;
	add_bytes(events, what, strlen(what));
	for (size_t i = 0; i < len; i++) {
		if (name[i] == '\n')
			add_bytes(events, "%0A", 3);
		else
			add_bytes(events, &name[i], 1);
	}
	add_bytes(events, "\n", 1);
}

/*
 * A line for each difference from events->seen to NOW, in the pool's order; one
 * for all if the store was CLEARED.
 */
static void add_differences(struct kvp_events *events,
			    const struct kvp_index *now, bool cleared)
{
	const struct kvp_index *before = &events->seen;
	const struct kvp_entry *entry;
	const struct kvp_entry *other;
	size_t cursor = 0;

	if (cleared && now->keys == 0 && before->keys > 0) {
		add_bytes(events, "clear\n", 6);
		return;
	}
	while ((entry = kvp_index_next(before, &cursor)))
		if (!kvp_index_find(now, entry->key))
			add_line(events, "delete ", entry->key);
	cursor = 0;
	while ((entry = kvp_index_next(now, &cursor))) {
		other = kvp_index_find(before, entry->key);
		if (!other || !kvp_bytes_equal(kvp_value_bytes(entry->value),
					       kvp_value_bytes(other->value)))
			add_line(events, "set ", entry->key);
	}
}

int kvp_events_update(struct kvp_events *events, struct kvp_store *store,
		      bool *ret_more)
{
	uint64_t end = events->end;
	struct kvp_status status;
	struct kvp_index now;
	int r = kvp_store_refresh(store);

	if (r)
		return r;
	kvp_store_status(store, &status);
	if (status.generation == events->generation) {
		*ret_more = false;
		return 0;
	}
	r = take_reading(store, &now, &status);
	if (r)
		return r;
	add_differences(events, &now, status.clears != events->clears);
	kvp_index_release(&events->seen);
	events->seen = now;
	events->generation = status.generation;
	events->clears = status.clears;
	*ret_more = events->end != end;
	return 0;
}

/* Where the first whole line begins that is still in the log. */
static uint64_t oldest_line(const struct kvp_events *events)
{
	uint64_t at = events->end - KVP_EVENTS_SIZE;

	while (events->log[at++ % KVP_EVENTS_SIZE] != '\n')
		;
	return at;
}

ssize_t kvp_events_read(const struct kvp_events *events, uint64_t position,
			char *buf, size_t size, uint64_t *ret_oldest)
{
	size_t n = 0;

	if (position + KVP_EVENTS_SIZE < events->end) {
		*ret_oldest = oldest_line(events);
		return -EOVERFLOW;
	}
	for (; n < size && position < events->end; n++)
		buf[n] = events->log[position++ % KVP_EVENTS_SIZE];
	return (ssize_t)n;
}
