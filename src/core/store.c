/* SPDX-License-Identifier: MIT */
#include "store.h"

#include <errno.h>
#include <string.h>

static struct kvp_rules rules_of(const struct kvp_store *store)
{
	return kvp_rules_of(store->mode);
}

size_t kvp_store_max_key_size(const struct kvp_store *store)
{
	return rules_of(store).key_size;
}

size_t kvp_store_max_value_size(const struct kvp_store *store)
{
	return rules_of(store).value_size;
}

enum kvp_mode kvp_store_mode(const struct kvp_store *store)
{
	return store->mode;
}

const char *kvp_store_message(const struct kvp_store *store, int result,
			      char *buf, size_t size)
{
	const struct kvp_fault cap = { .result = KVP_MAX_UNIQUE_KEYS,
				       .max = KVP_MAX_KEYS };

	return kvp_result_message(result,
				  result == cap.result ? &cap : &store->fault,
				  buf, size);
}

int kvp_store_refuse(struct kvp_store *store, struct kvp_fault fault)
{
	store->fault = fault;
	return fault.result;
}

int kvp_store_check_key(struct kvp_store *store, struct kvp_bytes key)
{
	struct kvp_rules rules = rules_of(store);

	return kvp_rules_check_key(&rules, key, &store->fault);
}

static int check_value(struct kvp_store *store, struct kvp_bytes value)
{
	struct kvp_rules rules = rules_of(store);

	return kvp_rules_check_value(&rules, value, &store->fault);
}

int kvp_store_apply(struct kvp_store *store, struct kvp_edit *edit,
		    const struct kvp_value *old, struct kvp_value **ret_value)
{
	struct kvp_value *value = NULL;
	int r = edit->apply(edit, old, &value);

	if (r == 0 && value)
		r = check_value(store, kvp_value_bytes(value));
	if (r) {
		kvp_value_unref(value);
		return r;
	}
	*ret_value = value;
	return 0;
}

struct write_edit {
	struct kvp_edit edit;
	struct kvp_bytes value;
};

static int apply_write(struct kvp_edit *edit, const struct kvp_value *old,
		       struct kvp_value **ret_value)
{
	struct write_edit *write = (struct write_edit *)edit;

	(void)old;
	*ret_value = kvp_value_new(write->value);
	return *ret_value ? 0 : -ENOMEM;
}

int kvp_store_write(struct kvp_store *store, struct kvp_bytes key,
		    struct kvp_bytes value)
{
	struct write_edit write = { .edit.apply = apply_write, .value = value };
	struct kvp_value *stored = NULL;
	int r = check_value(store, value);

	if (r == 0)
		r = kvp_store_edit(store, key, &write.edit, &stored);
	if (r == 0)
		kvp_value_unref(stored);
	return r;
}

int kvp_store_edit(struct kvp_store *store, struct kvp_bytes key,
		   struct kvp_edit *edit, struct kvp_value **ret_value)
{
	int r = kvp_store_check_key(store, key);

	return r ? r : store->ops->write(store, key, edit, ret_value);
}

int kvp_store_check_new(struct kvp_store *store, struct kvp_bytes key)
{
	struct kvp_status status;
	int r = kvp_store_check_key(store, key);

	if (r)
		return r;
	kvp_store_status(store, &status);
	return status.keys >= KVP_MAX_KEYS ? KVP_MAX_UNIQUE_KEYS : 0;
}

int kvp_store_read(struct kvp_store *store, struct kvp_bytes key,
		   struct kvp_item *ret_item)
{
	return store->ops->read(store, key, ret_item);
}

int kvp_store_entries(struct kvp_store *store, kvp_visit_item *visit, void *arg)
{
	return store->ops->entries(store, visit, arg);
}

struct keyed_visit {
	kvp_visit_record *visit;
	void *arg;
};

/* A record with an empty key is no entry. */
static int visit_keyed(void *arg, const struct kvp_pair *record)
{
	const struct keyed_visit *keyed = arg;

	return record->key.len > 0 ? keyed->visit(keyed->arg, record) : 0;
}

int kvp_store_entries_raw(struct kvp_store *store, kvp_visit_record *visit,
			  void *arg)
{
	struct keyed_visit keyed = { visit, arg };

	return store->ops->entries_raw(store, visit_keyed, &keyed);
}

void kvp_store_report(struct kvp_store *store, struct kvp_report *ret_report)
{
	store->ops->report(store, ret_report);
}

int kvp_store_copy(struct kvp_store *store, kvp_visit_bytes *visit, void *arg)
{
	return store->ops->copy(store, visit, arg);
}

int kvp_store_delete(struct kvp_store *store, struct kvp_bytes key)
{
	bool found = false;
	int r = kvp_store_delete_many(store, &key, 1, &found);

	return r || found ? r : KVP_ABSENT;
}

int kvp_store_delete_many(struct kvp_store *store, const struct kvp_bytes *keys,
			  size_t count, bool *ret_found)
{
	for (size_t i = 0; i < count; i++)
		if (keys[i].len == 0)
			return KVP_EMPTY_KEY;
	return store->ops->delete (store, keys, count, ret_found);
}

int kvp_store_clear(struct kvp_store *store)
{
	return store->ops->clear(store);
}

int kvp_store_snapshot(struct kvp_store *store, struct kvp_index *ret_index)
{
	return store->ops->snapshot(store, ret_index);
}

int kvp_store_clear_seen(struct kvp_store *store, const struct kvp_index *seen)
{
	return store->ops->clear_seen(store, seen);
}

int kvp_store_restore(struct kvp_store *store, struct kvp_bytes bytes)
{
	if (bytes.len % KVP_RECORD_SIZE != 0)
		return -EINVAL;
	return store->ops->restore(store, bytes);
}

int kvp_store_rename(struct kvp_store *store, struct kvp_bytes from,
		     struct kvp_bytes to, enum kvp_rename how)
{
	int r = kvp_store_check_key(store, to);

	return r ? r : store->ops->rename(store, from, to, how);
}

void kvp_store_batch_init(struct kvp_store *store, struct kvp_batch *batch)
{
	kvp_batch_init(batch, rules_of(store), &store->fault);
}

int kvp_store_append(struct kvp_store *store, const struct kvp_batch *batch)
{
	return batch->count > 0 ? store->ops->append(store, batch) : 0;
}

int kvp_store_load(struct kvp_store *store, struct kvp_batch *batch)
{
	size_t keys = 0;
	int r = kvp_batch_count_keys(batch, &keys);

	if (r == 0 && keys > KVP_MAX_KEYS)
		r = KVP_MAX_UNIQUE_KEYS;
	return r ? r : store->ops->load(store, batch);
}

int kvp_store_is_stale(struct kvp_store *store, bool *ret_stale)
{
	return store->ops->is_stale(store, ret_stale);
}

int kvp_store_clear_stale(struct kvp_store *store, bool *ret_cleared)
{
	return store->ops->clear_stale(store, ret_cleared);
}

int kvp_store_refresh(struct kvp_store *store)
{
	return store->ops->refresh(store);
}

int kvp_store_look(struct kvp_store *store)
{
	return store->ops->look(store);
}

void kvp_store_end_look(struct kvp_store *store)
{
	store->ops->end_look(store);
}

void kvp_store_rest(struct kvp_store *store)
{
	if (store->ops->rest)
		store->ops->rest(store);
}

void kvp_store_status(struct kvp_store *store, struct kvp_status *ret_status)
{
	store->ops->status(store, ret_status);
}

uint64_t kvp_store_new_id(struct kvp_store *store)
{
	return store->ops->new_id(store);
}

int kvp_store_sync_descriptor(struct kvp_store *store)
{
	return store->ops->sync_descriptor(store);
}

int kvp_store_watch(struct kvp_store *store, bool on)
{
	return store->ops->watch(store, on);
}

bool kvp_store_wants_exclusive(const struct kvp_store *store)
{
	return store->ops->wants_exclusive(store);
}

int kvp_store_try_lock(struct kvp_store *store, bool exclusive)
{
	return store->ops->try_lock(store, exclusive);
}

const char *kvp_store_path(const struct kvp_store *store)
{
	return store->ops->path(store);
}

bool kvp_store_is_writable(const struct kvp_store *store)
{
	return store->ops->is_writable(store);
}

void kvp_store_keep_out(struct kvp_store *store, dev_t dev)
{
	store->ops->keep_out(store, dev);
}

bool kvp_store_leads_through(const struct kvp_store *store,
			     const struct stat *directory)
{
	return store->ops->leads_through(store, directory);
}

size_t kvp_store_holders(const struct kvp_store *store, pid_t pids[],
			 size_t max)
{
	return store->ops->holders(store, pids, max);
}

void kvp_store_free(struct kvp_store *store)
{
	if (store)
		store->ops->free(store);
}

void kvp_store_abandon(struct kvp_store *store)
{
	store->ops->abandon(store);
}
