/* SPDX-License-Identifier: MIT */
#include "reading.h"

static int add_item(void *index, const struct kvp_item *item)
{
	return kvp_index_append(index, item->key, item->value, item->id);
}

/* READING says what is there at the time of STATUS. */
static void note_time(struct kvp_reading *reading,
		      const struct kvp_status *status)
{
	reading->generation = status->generation;
	reading->foreign = status->foreign;
	reading->clears = status->clears;
}

int kvp_reading_take(struct kvp_reading *ret_reading, struct kvp_store *store)
{
	struct kvp_reading reading = { 0 };
	struct kvp_status status;
	int r;

	kvp_index_init(&reading.index);
	r = kvp_store_entries(store, add_item, &reading.index);
	if (r) {
		kvp_reading_release(&reading);
		return r;
	}
	kvp_store_status(store, &status);
	note_time(&reading, &status);
	*ret_reading = reading;
	return 0;
}

void kvp_reading_release(struct kvp_reading *reading)
{
	kvp_index_release(&reading->index);
}

int kvp_reading_look(const struct kvp_reading *reading, struct kvp_store *store,
		     bool *ret_changed)
{
	struct kvp_status status;
	int r = kvp_store_refresh(store);

	if (r)
		return r;
	kvp_store_status(store, &status);
	*ret_changed = status.generation != reading->generation;
	return 0;
}

int kvp_reading_renew(struct kvp_reading *reading, struct kvp_store *store,
		      bool clears, kvp_visit_change *visit, void *arg)
{
	struct kvp_changes changes;
	struct kvp_status status;
	int r = kvp_changes_init(&changes, &reading->index);

	if (r)
		return r;
	r = kvp_store_entries(store, kvp_changes_add, &changes);
	if (r == 0) {
		kvp_store_status(store, &status);
		r = kvp_changes_tell(&changes,
				     clears && status.clears != reading->clears,
				     visit, arg);
	}
	if (r == 0)
		note_time(reading, &status);
	kvp_changes_release(&changes);
	return r;
}
