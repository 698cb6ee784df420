/* SPDX-License-Identifier: MIT */
#include "store_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct record {
	char *key;
	size_t key_len;
	struct kvp_value *value;
	uint64_t id; /* all records of a key have the same */
};

struct memory {
	struct kvp_store store; /* must come first */
	struct record **records;
	size_t count;
	bool exists;
	bool stale;
	uint64_t last_id;
	uint64_t clears;
	unsigned int calls;
	unsigned int fail_in; /* calls; 0: none fails */
	int fail_result;
};

static struct memory *memory(struct kvp_store *store)
{
	return (struct memory *)store;
}

static void *must(void *allocated)
{
	if (!allocated)
		abort();
	return allocated;
}

/* The start of each operation: what it has to fail with, or 0. */
static int begin(struct memory *m)
{
	m->calls++;
	return m->fail_in > 0 && --m->fail_in == 0 ? m->fail_result : 0;
}

static struct kvp_bytes key_of(const struct record *record)
{
	return (struct kvp_bytes){ record->key, record->key_len };
}

static bool has_key(const struct record *record, struct kvp_bytes key)
{
	return kvp_bytes_equal(key_of(record), key);
}

static struct record *first_of(const struct memory *m, struct kvp_bytes key)
{
	for (size_t i = 0; i < m->count; i++)
		if (has_key(m->records[i], key))
			return m->records[i];
	return NULL;
}

static struct record *last_of(const struct memory *m, struct kvp_bytes key)
{
	for (size_t i = m->count; i > 0; i--)
		if (has_key(m->records[i - 1], key))
			return m->records[i - 1];
	return NULL;
}

/* Whether the record at I stands for its key in a list of keys. */
static bool is_entry(const struct memory *m, size_t i)
{
	const struct record *record = m->records[i];

	return record->key_len > 0 && first_of(m, key_of(record)) == record;
}

static size_t count_keys(const struct memory *m)
{
	size_t keys = 0;

	for (size_t i = 0; i < m->count; i++)
		keys += is_entry(m, i);
	return keys;
}

static void set_key(struct record *record, struct kvp_bytes key)
{
	char *copy = must(malloc(key.len + 1));

	if (key.len > 0)
		memcpy(copy, key.data, key.len);
	free(record->key);
	record->key = copy;
	record->key_len = key.len;
}

static void free_record(struct record *record)
{
	kvp_value_unref(record->value);
	free(record->key);
	free(record);
}

/* A new last record. ID as for kvp_edit. */
static void add(struct memory *m, struct kvp_bytes key, struct kvp_value *value,
		uint64_t id)
{
	struct record *record = must(calloc(1, sizeof(*record)));
	const struct record *twin = first_of(m, key);

	if (twin)
		id = twin->id;
	record->id = id ? id : ++m->last_id;
	record->value = kvp_value_ref(value);
	set_key(record, key);
	m->records = must(
		realloc(m->records, (m->count + 1) * sizeof(struct record *)));
	m->records[m->count++] = record;
	m->exists = true;
	m->stale = false;
}

static void add_pair(struct memory *m, const struct kvp_pair *pair)
{
	struct kvp_value *value = must(kvp_value_new(pair->value));

	add(m, pair->key, value, 0);
	kvp_value_unref(value);
}

/* Removes the first COUNT records. */
static void drop_first(struct memory *m, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free_record(m->records[i]);
	for (size_t i = count; i < m->count; i++)
		m->records[i - count] = m->records[i];
	m->count -= count;
	m->stale = false;
}

/* Removes the records of KEY but for KEEP, which may be NULL. */
static void drop_others(struct memory *m, struct kvp_bytes key,
			const struct record *keep)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->count; i++) {
		struct record *record = m->records[i];

		if (record != keep && has_key(record, key))
			free_record(record);
		else
			m->records[kept++] = record;
	}
	m->count = kept;
	m->stale = false;
}

static int memory_read(struct kvp_store *store, struct kvp_bytes key,
		       struct kvp_item *ret_item)
{
	struct memory *m = memory(store);
	const struct record *record = key.len > 0 ? last_of(m, key) : NULL;
	int r = begin(m);

	if (r)
		return r;
	if (!record)
		return KVP_ABSENT;
	*ret_item = (struct kvp_item){ key, kvp_value_ref(record->value),
				       record->id };
	return 0;
}

static int memory_entries(struct kvp_store *store, kvp_visit_item *visit,
			  void *arg)
{
	struct memory *m = memory(store);
	int r = begin(m);

	for (size_t i = 0; i < m->count && r == 0; i++) {
		struct kvp_bytes key = key_of(m->records[i]);
		struct record *last = last_of(m, key);
		struct kvp_item item = { key, last->value, last->id };

		if (is_entry(m, i))
			r = visit(arg, &item);
	}
	return r;
}

static int memory_entries_raw(struct kvp_store *store, kvp_visit_record *visit,
			      void *arg)
{
	struct memory *m = memory(store);
	int r = begin(m);

	for (size_t i = 0; i < m->count && r == 0; i++) {
		struct kvp_pair pair = { key_of(m->records[i]),
					 kvp_value_bytes(
						 m->records[i]->value) };

		r = visit(arg, &pair);
	}
	return r;
}

static int memory_copy(struct kvp_store *store, kvp_visit_bytes *visit,
		       void *arg)
{
	struct memory *m = memory(store);
	struct kvp_record record;
	int r = begin(m);

	for (size_t i = 0; i < m->count && r == 0; i++) {
		kvp_record_encode(&record, key_of(m->records[i]),
				  kvp_value_bytes(m->records[i]->value));
		r = visit(arg, (struct kvp_bytes){ (char *)&record,
						   sizeof(record) });
	}
	return r;
}

/* Nothing that EDIT did when it was first asked may count. */
static int apply_twice(struct kvp_store *store, struct kvp_edit *edit,
		       const struct kvp_value *old,
		       struct kvp_value **ret_value)
{
	struct kvp_value *first = NULL;
	int r = kvp_store_apply(store, edit, old, &first);

	kvp_value_unref(first);
	return r ? r : kvp_store_apply(store, edit, old, ret_value);
}

static int memory_write(struct kvp_store *store, struct kvp_bytes key,
			struct kvp_edit *edit, struct kvp_value **ret_value)
{
	struct memory *m = memory(store);
	struct record *record = last_of(m, key);
	struct kvp_value *value = NULL;
	int fault = begin(m);
	int r;

	if (fault > 0)
		return fault;
	/* to count is slow, and fewer records cannot have that many keys */
	if (!record && m->count >= KVP_MAX_KEYS &&
	    count_keys(m) >= KVP_MAX_KEYS)
		r = KVP_MAX_UNIQUE_KEYS;
	else
		r = apply_twice(store, edit, record ? record->value : NULL,
				&value);
	if (fault)
		r = fault;
	if (r) {
		kvp_value_unref(value);
		return r;
	}
	if (value && record) {
		kvp_value_set(&record->value, value);
		drop_others(m, key, record);
	} else if (value) {
		add(m, key, value, edit->id);
	}
	*ret_value = value;
	return 0;
}

static int memory_delete(struct kvp_store *store, struct kvp_bytes key)
{
	struct memory *m = memory(store);
	int r = begin(m);

	if (r)
		return r;
	if (!first_of(m, key))
		return KVP_ABSENT;
	drop_others(m, key, NULL);
	return 0;
}

static int memory_clear(struct kvp_store *store)
{
	struct memory *m = memory(store);
	int r = begin(m);

	if (r == 0) {
		drop_first(m, m->count);
		m->clears++;
	}
	return r;
}

/* FROM's last record gets TO's value; FROM's goes to a new record of TO. */
static void exchange(struct memory *m, struct record *from, struct record *to)
{
	struct kvp_value *value = kvp_value_ref(from->value);
	uint64_t id = from->id;

	kvp_value_set(&from->value, to->value);
	from->id = to->id;
	for (size_t i = 0; i < m->count; i++)
		if (has_key(m->records[i], key_of(to)))
			m->records[i]->id = id;
	add(m, key_of(to), value, 0);
	drop_others(m, key_of(from), from);
	to = m->records[m->count - 1];
	drop_others(m, key_of(to), to);
	kvp_value_unref(value);
}

static int memory_rename(struct kvp_store *store, struct kvp_bytes from_key,
			 struct kvp_bytes to_key, enum kvp_rename how)
{
	struct memory *m = memory(store);
	struct record *from = last_of(m, from_key);
	struct record *to = last_of(m, to_key);
	int r = begin(m);

	if (r)
		return r;
	if (!from || from_key.len == 0 || (!to && how == KVP_RENAME_EXCHANGE))
		return KVP_ABSENT;
	if (to && how == KVP_RENAME_NO_REPLACE)
		return KVP_EXISTS;
	if (from == to)
		return 0;
	if (!to) {
		drop_others(m, from_key, from);
		set_key(from, to_key);
	} else if (how == KVP_RENAME_EXCHANGE) {
		exchange(m, from, to);
	} else {
		kvp_value_set(&to->value, from->value);
		to->id = from->id;
		drop_others(m, from_key, NULL);
		drop_others(m, to_key, to);
	}
	return 0;
}

static int memory_append(struct kvp_store *store,
			 const struct kvp_pair *records, size_t count)
{
	struct memory *m = memory(store);
	int r = begin(m);

	for (size_t i = 0; i < count && r == 0; i++)
		add_pair(m, &records[i]);
	return r;
}

static size_t count_keys_of(const struct kvp_pair *records, size_t count)
{
	size_t keys = 0;

	for (size_t i = 0; i < count; i++) {
		size_t twin = 0;

		while (!kvp_bytes_equal(records[twin].key, records[i].key))
			twin++;
		keys += twin == i;
	}
	return keys;
}

static int memory_load(struct kvp_store *store, const struct kvp_pair *records,
		       size_t count)
{
	struct memory *m = memory(store);
	size_t before = m->count;
	int r = begin(m);

	if (r)
		return r;
	if (count_keys_of(records, count) > KVP_MAX_KEYS)
		return KVP_MAX_UNIQUE_KEYS;
	/* the old ones go last: a key that stays keeps its id */
	for (size_t i = 0; i < count; i++)
		add_pair(m, &records[i]);
	drop_first(m, before);
	return 0;
}

static int memory_is_stale(struct kvp_store *store, bool *ret_stale)
{
	struct memory *m = memory(store);
	int r = begin(m);

	if (r == 0)
		*ret_stale = m->exists && m->stale;
	return r;
}

static int memory_refresh(struct kvp_store *store)
{
	return begin(memory(store));
}

static int memory_watch(struct kvp_store *store, bool on)
{
	(void)store;
	(void)on;
	return -1;
}

static void memory_status(struct kvp_store *store,
			  struct kvp_status *ret_status)
{
	static uint64_t looks;
	const struct memory *m = memory(store);

	/* it does not know, so there always may be something new */
	*ret_status = (struct kvp_status){ .generation = ++looks,
					   .clears = m->clears };
	if (!m->exists)
		return;
	ret_status->exists = true;
	ret_status->records = m->count;
	ret_status->keys = count_keys(m);
	for (size_t i = 0; i < m->count; i++)
		ret_status->empty_keys += m->records[i]->key_len == 0;
	ret_status->st.st_mode = S_IFREG | 0600;
	ret_status->st.st_size = (off_t)(m->count * KVP_RECORD_SIZE);
}

static uint64_t memory_new_id(struct kvp_store *store)
{
	return ++memory(store)->last_id;
}

static int memory_sync_descriptor(struct kvp_store *store)
{
	errno = -begin(memory(store));
	return -1;
}

static void memory_free(struct kvp_store *store)
{
	struct memory *m = memory(store);

	drop_first(m, m->count);
	free(m->records);
	free(m);
}

static const struct kvp_store_ops memory_ops = {
	.read = memory_read,
	.entries = memory_entries,
	.entries_raw = memory_entries_raw,
	.copy = memory_copy,
	.write = memory_write,
	.delete = memory_delete,
	.clear = memory_clear,
	.rename = memory_rename,
	.append = memory_append,
	.load = memory_load,
	.is_stale = memory_is_stale,
	.refresh = memory_refresh,
	.status = memory_status,
	.new_id = memory_new_id,
	.sync_descriptor = memory_sync_descriptor,
	.watch = memory_watch,
	.free = memory_free,
};

struct kvp_store *store_memory_new(enum kvp_mode mode)
{
	struct memory *m = must(calloc(1, sizeof(*m)));

	m->store = (struct kvp_store){ &memory_ops, mode };
	return &m->store;
}

void store_memory_fail(struct kvp_store *store, unsigned int call, int result)
{
	memory(store)->fail_in = call;
	memory(store)->fail_result = result;
}

unsigned int store_memory_calls(const struct kvp_store *store)
{
	return ((const struct memory *)store)->calls;
}

void store_memory_set_stale(struct kvp_store *store, bool stale)
{
	memory(store)->stale = stale;
}

void store_memory_add(struct kvp_store *store, struct kvp_bytes key,
		      struct kvp_bytes value)
{
	add_pair(memory(store), &(struct kvp_pair){ key, value });
}
