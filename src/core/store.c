/* SPDX-License-Identifier: MIT */
#include "store.h"

#include <errno.h>
#include <string.h>

#include "utf8.h"

static const struct {
	size_t key_size;
	size_t value_size;
} limits[] = {
	/* what the guest kernel hands to the host without cutting it */
	[KVP_MODE_RESTRICTED] = { 254, 1022 },
	[KVP_MODE_FULL] = { KVP_KEY_SIZE, KVP_VALUE_SIZE },
};

size_t kvp_store_max_key_size(const struct kvp_store *store)
{
	return limits[store->mode].key_size;
}

size_t kvp_store_max_value_size(const struct kvp_store *store)
{
	return limits[store->mode].value_size;
}

enum kvp_mode kvp_store_mode(const struct kvp_store *store)
{
	return store->mode;
}

struct kvp_numbers kvp_store_numbers(const struct kvp_store *store, int result,
				     size_t key_len, size_t value_len)
{
	switch (result) {
	case KVP_KEY_TOO_LARGE:
		return (struct kvp_numbers){ kvp_store_max_key_size(store),
					     key_len };
	case KVP_VALUE_TOO_LARGE:
		return (struct kvp_numbers){ kvp_store_max_value_size(store),
					     value_len };
	case KVP_MAX_UNIQUE_KEYS:
		return (struct kvp_numbers){ KVP_MAX_KEYS, 0 };
	default:
		return (struct kvp_numbers){ 0, 0 };
	}
}

int kvp_store_check_key(const struct kvp_store *store, struct kvp_bytes key)
{
	if (key.len == 0)
		return KVP_EMPTY_KEY;
	if (key.len > kvp_store_max_key_size(store))
		return KVP_KEY_TOO_LARGE;
	if (kvp_bytes_contain_nul(key))
		return KVP_KEY_CONTAINS_NUL;
	if (kvp_utf8_check(key, NULL) != KVP_UTF8_VALID)
		return KVP_NOT_UTF8;
	return 0;
}

int kvp_store_check_value(const struct kvp_store *store, struct kvp_bytes value)
{
	if (value.len > kvp_store_max_value_size(store))
		return KVP_VALUE_TOO_LARGE;
	if (kvp_bytes_contain_nul(value))
		return KVP_VALUE_CONTAINS_NUL;
	if (kvp_utf8_check(value, NULL) != KVP_UTF8_VALID)
		return KVP_NOT_UTF8;
	return 0;
}

static int check_pairs(const struct kvp_store *store,
		       const struct kvp_pair *records, size_t count)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		r = kvp_store_check_key(store, records[i].key);
		if (r == 0)
			r = kvp_store_check_value(store, records[i].value);
	}
	return r;
}

int kvp_store_apply(struct kvp_store *store, struct kvp_edit *edit,
		    const struct kvp_value *old, struct kvp_value **ret_value)
{
	struct kvp_value *value = NULL;
	int r = edit->apply(edit, old, &value);

	if (r == 0 && value)
		r = kvp_store_check_value(store, kvp_value_bytes(value));
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
	int r = kvp_store_check_value(store, value);

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

static int visit_report(void *arg, const struct kvp_pair *record)
{
	kvp_report_add(arg, record);
	return 0;
}

int kvp_store_report(struct kvp_store *store, struct kvp_report *ret_report)
{
	struct kvp_report report = { 0 };
	int r = store->ops->entries_raw(store, visit_report, &report);

	if (r == 0)
		*ret_report = report;
	return r;
}

int kvp_store_copy(struct kvp_store *store, kvp_visit_bytes *visit, void *arg)
{
	return store->ops->copy(store, visit, arg);
}

int kvp_store_delete(struct kvp_store *store, struct kvp_bytes key)
{
	if (key.len == 0)
		return KVP_EMPTY_KEY;
	return store->ops->delete (store, key);
}

int kvp_store_clear(struct kvp_store *store)
{
	return store->ops->clear(store);
}

int kvp_store_rename(struct kvp_store *store, struct kvp_bytes from,
		     struct kvp_bytes to, enum kvp_rename how)
{
	int r = kvp_store_check_key(store, to);

	return r ? r : store->ops->rename(store, from, to, how);
}

int kvp_store_append(struct kvp_store *store, const struct kvp_pair *records,
		     size_t count)
{
	int r = check_pairs(store, records, count);

	return r || count == 0 ? r : store->ops->append(store, records, count);
}

int kvp_store_load(struct kvp_store *store, const struct kvp_pair *records,
		   size_t count)
{
	int r = check_pairs(store, records, count);

	return r ? r : store->ops->load(store, records, count);
}

int kvp_store_is_stale(struct kvp_store *store, bool *ret_stale)
{
	return store->ops->is_stale(store, ret_stale);
}

int kvp_store_refresh(struct kvp_store *store)
{
	return store->ops->refresh(store);
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

void kvp_store_free(struct kvp_store *store)
{
	if (store)
		store->ops->free(store);
}
