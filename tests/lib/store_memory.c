/* SPDX-License-Identifier: MIT */
#include "store_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory_file.h"

struct memory {
	struct kvp_store store; /* must come first */
	struct memory_file file;
	uint64_t clears;
	unsigned int calls;
	unsigned int fail_in; /* calls; 0: none fails */
	int fail_result;
	bool wants_exclusive; /* which lock the last KVP_LOCKED was about */
};

static struct memory *memory(struct kvp_store *store)
{
	return (struct memory *)store;
}

/* The start of each operation: what it has to fail with, or 0. */
static int begin(struct memory *m, bool exclusive)
{
	m->calls++;
	if (m->fail_in == 0 || --m->fail_in > 0)
		return 0;
	if (m->fail_result == KVP_LOCKED)
		m->wants_exclusive = exclusive;
	return m->fail_result;
}

static int begin_reading(struct memory *m)
{
	return begin(m, false);
}

static int begin_change(struct memory *m)
{
	return begin(m, true);
}

static int memory_read(struct kvp_store *store, struct kvp_bytes key,
		       struct kvp_item *ret_item)
{
	struct memory *m = memory(store);
	const struct memory_record *record =
		key.len > 0 ? memory_file_last(&m->file, key) : NULL;
	int r = begin_reading(m);

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
	int r = begin_reading(m);

	for (size_t i = 0; i < m->file.count && r == 0; i++) {
		struct kvp_bytes key = memory_record_key(m->file.records[i]);
		struct memory_record *last = memory_file_last(&m->file, key);
		struct kvp_item item = { key, last->value, last->id };

		if (memory_file_is_entry(&m->file, i))
			r = visit(arg, &item);
	}
	return r;
}

static int memory_entries_raw(struct kvp_store *store, kvp_visit_record *visit,
			      void *arg)
{
	struct memory *m = memory(store);
	int r = begin_reading(m);

	for (size_t i = 0; i < m->file.count && r == 0; i++) {
		struct kvp_pair pair = memory_record_pair(m->file.records[i]);

		r = visit(arg, &pair);
	}
	return r;
}

static int memory_copy(struct kvp_store *store, kvp_visit_bytes *visit,
		       void *arg)
{
	struct memory *m = memory(store);
	struct kvp_record record;
	int r = begin_reading(m);

	for (size_t i = 0; i < m->file.count && r == 0; i++) {
		kvp_record_encode(&record,
				  memory_record_key(m->file.records[i]),
				  kvp_value_bytes(m->file.records[i]->value));
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
	struct memory_record *record = memory_file_last(&m->file, key);
	struct kvp_value *value = NULL;
	int fault = begin_change(m);
	int r;

	if (fault > 0)
		return fault;
	/* to count is slow, and fewer records cannot have that many keys */
	if (!record && m->file.count >= KVP_MAX_KEYS &&
	    memory_file_count_keys(&m->file) >= KVP_MAX_KEYS)
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
		memory_file_drop_others(&m->file, key, record);
	} else if (value) {
		memory_file_add(&m->file, key, value, edit->id);
	}
	*ret_value = value;
	return 0;
}

static int memory_delete(struct kvp_store *store, const struct kvp_bytes *keys,
			 size_t count, bool *ret_found)
{
	struct memory *m = memory(store);
	int r = begin_change(m);

	if (r)
		return r;
	for (size_t i = 0; i < count; i++)
		ret_found[i] = memory_file_first(&m->file, keys[i]);
	for (size_t i = 0; i < count; i++)
		if (ret_found[i])
			memory_file_drop_others(&m->file, keys[i], NULL);
	return 0;
}

static void clear(struct memory *m)
{
	memory_file_drop_first(&m->file, m->file.count);
	m->clears++;
}

static int memory_clear(struct kvp_store *store)
{
	struct memory *m = memory(store);
	int r = begin_change(m);

	if (r == 0)
		clear(m);
	return r;
}

static int memory_snapshot(struct kvp_store *store, struct kvp_index *ret_index)
{
	struct memory *m = memory(store);
	struct kvp_index index;
	int r = begin_reading(m);

	kvp_index_init(&index);
	for (size_t i = 0; i < m->file.count && r == 0; i++)
		r = kvp_index_append(&index,
				     memory_record_key(m->file.records[i]),
				     m->file.records[i]->value,
				     m->file.records[i]->id);
	if (r)
		kvp_index_release(&index);
	else
		*ret_index = index;
	return r;
}

/* Whether the records that THEN had are still there, in front of others. */
static bool is_unchanged(const struct memory *m, const struct kvp_entry *then)
{
	const struct kvp_value *value = NULL; /* of the last of them */
	size_t n = 0;

	for (size_t i = 0; i < m->file.count; i++)
		if (memory_record_has_key(m->file.records[i], then->key) &&
		    ++n == then->records)
			value = m->file.records[i]->value;
	return n == 0 ||
	       memory_file_last(&m->file, then->key)->value == then->value ||
	       (n > then->records &&
		kvp_bytes_equal(kvp_value_bytes(value),
				kvp_value_bytes(then->value)));
}

static int memory_clear_seen(struct kvp_store *store,
			     const struct kvp_index *seen)
{
	struct memory *m = memory(store);
	const struct kvp_entry *then;
	size_t cursor = 0;
	int r = begin_change(m);

	if (r)
		return r;
	while ((then = kvp_index_next(seen, &cursor)))
		if (is_unchanged(m, then))
			memory_file_drop_first_of(&m->file, then->key,
						  then->records);
	memory_file_drop_first_of(&m->file, (struct kvp_bytes){ "", 0 },
				  seen->empty_keys);
	m->clears += m->file.count == 0;
	return 0;
}

static int memory_restore(struct kvp_store *store, struct kvp_bytes bytes)
{
	struct memory *m = memory(store);
	const struct kvp_record *raw = (const struct kvp_record *)bytes.data;
	size_t before = m->file.count;
	int r = begin_change(m);

	if (r)
		return r;
	for (size_t i = 0; i < bytes.len / KVP_RECORD_SIZE; i++)
		memory_file_add_pair(&m->file,
				     &(struct kvp_pair){
					     kvp_record_key(&raw[i]),
					     kvp_record_value(&raw[i]) });
	memory_file_drop_first(&m->file, before);
	m->clears += m->file.count == 0;
	return 0;
}

/* FROM's last record gets TO's value; FROM's goes to a new record of TO. */
static void exchange(struct memory *m, struct memory_record *from,
		     struct memory_record *to)
{
	struct kvp_value *value = kvp_value_ref(from->value);
	uint64_t id = from->id;

	kvp_value_set(&from->value, to->value);
	from->id = to->id;
	for (size_t i = 0; i < m->file.count; i++)
		if (memory_record_has_key(m->file.records[i],
					  memory_record_key(to)))
			m->file.records[i]->id = id;
	memory_file_add(&m->file, memory_record_key(to), value, 0);
	memory_file_drop_others(&m->file, memory_record_key(from), from);
	to = m->file.records[m->file.count - 1];
	memory_file_drop_others(&m->file, memory_record_key(to), to);
	kvp_value_unref(value);
}

static int memory_rename(struct kvp_store *store, struct kvp_bytes from_key,
			 struct kvp_bytes to_key, enum kvp_rename how)
{
	struct memory *m = memory(store);
	struct memory_record *from = memory_file_last(&m->file, from_key);
	struct memory_record *to = memory_file_last(&m->file, to_key);
	int r = begin_change(m);

	if (r)
		return r;
	if (!from || from_key.len == 0 || (!to && how == KVP_RENAME_EXCHANGE))
		return KVP_ABSENT;
	if (to && how == KVP_RENAME_NO_REPLACE)
		return KVP_EXISTS;
	if (from == to)
		return 0;
	if (!to) {
		memory_file_drop_others(&m->file, from_key, from);
		memory_record_set_key(from, to_key);
	} else if (how == KVP_RENAME_EXCHANGE) {
		exchange(m, from, to);
	} else {
		kvp_value_set(&to->value, from->value);
		to->id = from->id;
		memory_file_drop_others(&m->file, from_key, NULL);
		memory_file_drop_others(&m->file, to_key, to);
	}
	return 0;
}

static void add_batch(struct memory *m, const struct kvp_batch *batch)
{
	struct kvp_pair pair;
	size_t cursor = 0;

	while (kvp_batch_next(batch, &cursor, &pair))
		memory_file_add_pair(&m->file, &pair);
}

static int memory_append(struct kvp_store *store, const struct kvp_batch *batch)
{
	struct memory *m = memory(store);
	int r = begin_change(m);

	if (r == 0)
		add_batch(m, batch);
	return r;
}

static int memory_load(struct kvp_store *store, const struct kvp_batch *batch)
{
	struct memory *m = memory(store);
	size_t before = m->file.count;
	int r = begin_change(m);

	if (r)
		return r;
	/* the old ones go last: a key that stays keeps its id */
	add_batch(m, batch);
	memory_file_drop_first(&m->file, before);
	return 0;
}

static void memory_report(struct kvp_store *store,
			  struct kvp_report *ret_report)
{
	const struct memory *m = memory(store);

	*ret_report = (struct kvp_report){ 0 };
	for (size_t i = 0; i < m->file.count; i++) {
		struct kvp_pair pair = memory_record_pair(m->file.records[i]);

		kvp_report_add(ret_report, pair.key, kvp_report_marks(&pair),
			       memory_file_is_entry(&m->file, i));
	}
}

/* It has been made just now. */
static int memory_is_stale(struct kvp_store *store, bool *ret_stale)
{
	int r = begin_reading(memory(store));

	if (r == 0)
		*ret_stale = false;
	return r;
}

static int memory_refresh(struct kvp_store *store)
{
	return begin_reading(memory(store));
}

static int memory_look(struct kvp_store *store)
{
	(void)store;
	return 0;
}

static void memory_end_look(struct kvp_store *store)
{
	(void)store;
}

static int memory_clear_stale(struct kvp_store *store, bool *ret_cleared)
{
	int r = begin_change(memory(store));

	if (r == 0)
		*ret_cleared = false;
	return r;
}

static const char *memory_path(const struct kvp_store *store)
{
	(void)store;
	return "/memory";
}

static bool memory_is_writable(const struct kvp_store *store)
{
	(void)store;
	return true;
}

static void memory_keep_out(struct kvp_store *store, dev_t dev)
{
	(void)store;
	(void)dev;
}

static bool memory_leads_through(const struct kvp_store *store,
				 const struct stat *directory)
{
	(void)store;
	(void)directory;
	return false;
}

static size_t memory_holders(const struct kvp_store *store, pid_t pids[],
			     size_t max)
{
	(void)store;
	(void)pids;
	(void)max;
	return 0;
}

static bool memory_wants_exclusive(const struct kvp_store *store)
{
	return ((const struct memory *)store)->wants_exclusive;
}

static int memory_try_lock(struct kvp_store *store, bool exclusive)
{
	return begin(memory(store), exclusive);
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
	looks++;
	*ret_status = (struct kvp_status){ .generation = looks,
					   .order = looks,
					   .state = looks,
					   .foreign = looks,
					   .clears = m->clears };
	if (!m->file.exists)
		return;
	ret_status->exists = true;
	ret_status->records = m->file.count;
	ret_status->keys = memory_file_count_keys(&m->file);
	for (size_t i = 0; i < m->file.count; i++)
		ret_status->empty_keys += m->file.records[i]->key_len == 0;
	ret_status->st.st_mode = S_IFREG | 0600;
	ret_status->st.st_size = (off_t)(m->file.count * KVP_RECORD_SIZE);
}

static uint64_t memory_new_id(struct kvp_store *store)
{
	return ++memory(store)->file.last_id;
}

static int memory_sync_descriptor(struct kvp_store *store)
{
	errno = -begin_reading(memory(store));
	return -1;
}

static void memory_free(struct kvp_store *store)
{
	struct memory *m = memory(store);

	memory_file_drop_first(&m->file, m->file.count);
	free(m->file.records);
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
	.snapshot = memory_snapshot,
	.clear_seen = memory_clear_seen,
	.restore = memory_restore,
	.rename = memory_rename,
	.append = memory_append,
	.load = memory_load,
	.report = memory_report,
	.is_stale = memory_is_stale,
	.clear_stale = memory_clear_stale,
	.refresh = memory_refresh,
	.look = memory_look,
	.end_look = memory_end_look,
	.status = memory_status,
	.new_id = memory_new_id,
	.sync_descriptor = memory_sync_descriptor,
	.watch = memory_watch,
	.path = memory_path,
	.is_writable = memory_is_writable,
	.keep_out = memory_keep_out,
	.leads_through = memory_leads_through,
	.holders = memory_holders,
	.wants_exclusive = memory_wants_exclusive,
	.try_lock = memory_try_lock,
	.free = memory_free,
	.abandon = memory_free,
};

struct kvp_store *store_memory_new(enum kvp_mode mode)
{
	struct memory *m = memory_must(calloc(1, sizeof(*m)));

	m->store = (struct kvp_store){ .ops = &memory_ops, .mode = mode };
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

void store_memory_add(struct kvp_store *store, struct kvp_bytes key,
		      struct kvp_bytes value)
{
	memory_file_add_pair(&memory(store)->file,
			     &(struct kvp_pair){ key, value });
}
