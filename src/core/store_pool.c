/* SPDX-License-Identifier: MIT */
#include "store_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "records.h"
#include "util.h"

struct pool_store {
	struct kvp_store store; /* must come first */
	struct kvp_records records;
};

static struct kvp_records *records_of(struct kvp_store *store)
{
	return &((struct pool_store *)store)->records;
}

static const struct kvp_pool *pool_of(const struct kvp_store *store)
{
	return &((const struct pool_store *)store)->records.pool;
}

static int pool_refresh(struct kvp_store *store)
{
	return kvp_records_refresh(records_of(store));
}

static int pool_look(struct kvp_store *store)
{
	int r = kvp_records_look(records_of(store));

	return r == 1 ? 0 : r;
}

static void pool_end_look(struct kvp_store *store)
{
	records_of(store)->looked = false;
}

static void pool_rest(struct kvp_store *store)
{
	kvp_view_close(&records_of(store)->pool.view);
}

static int pool_read(struct kvp_store *store, struct kvp_bytes key,
		     struct kvp_item *ret_item)
{
	struct kvp_records *records = records_of(store);
	const struct kvp_entry *entry;
	int r = kvp_records_refresh(records);

	if (r)
		return r;
	entry = kvp_index_find(&records->index, key);
	if (!entry)
		return KVP_ABSENT;
	*ret_item = (struct kvp_item){ key, kvp_value_ref(entry->value),
				       entry->id };
	return 0;
}

static int pool_entries(struct kvp_store *store, kvp_visit_item *visit,
			void *arg)
{
	struct kvp_records *records = records_of(store);
	const struct kvp_entry *entry;
	size_t cursor = 0;
	int r = kvp_records_refresh(records);

	while (r == 0 && (entry = kvp_index_next(&records->index, &cursor))) {
		struct kvp_item item = { entry->key, entry->value, entry->id };

		r = visit(arg, &item);
	}
	return r;
}

static int pool_entries_raw(struct kvp_store *store, kvp_visit_record *visit,
			    void *arg)
{
	struct kvp_records *records = records_of(store);
	int r = kvp_records_lock(records, KVP_LOCK_SHARED);

	if (r)
		return r;
	r = kvp_records_visit(records, visit, arg);
	kvp_records_unlock(records);
	return r;
}

static int pool_copy(struct kvp_store *store, kvp_visit_bytes *visit, void *arg)
{
	struct kvp_records *records = records_of(store);
	int r = kvp_records_lock(records, KVP_LOCK_SHARED);

	if (r)
		return r;
	r = kvp_records_copy(records, visit, arg);
	kvp_records_unlock(records);
	return r;
}

/*
 * Takes the lock, and makes the file if it is missing. EDIT, if given, is tried before
 * that: if it is refused, or wants no change, no file may be made.
 */
static int lock_to_add(struct kvp_store *store, struct kvp_edit *edit)
{
	struct kvp_records *records = records_of(store);
	struct kvp_value *value = NULL;
	int r = kvp_records_lock(records, KVP_LOCK_EXCLUSIVE);

	if (r || kvp_pool_exists(&records->pool))
		return r;
	if (edit) {
		r = kvp_store_apply(store, edit, NULL, &value);
		if (r || !value)
			return r;
		kvp_value_unref(value);
	}
	return kvp_records_lock(records, KVP_LOCK_CREATE);
}

/* ENTRY is KEY's, or NULL: ID is for a new one. */
static int write_value(struct kvp_records *records, struct kvp_entry *entry,
		       struct kvp_bytes key, struct kvp_value *value,
		       uint64_t id)
{
	int r;

	if (!entry)
		return kvp_records_add(records, key, value, id);
	r = kvp_records_put(records, entry, value);
	return r ? r : kvp_records_drop(records, NULL, entry);
}

static int pool_write(struct kvp_store *store, struct kvp_bytes key,
		      struct kvp_edit *edit, struct kvp_value **ret_value)
{
	struct kvp_records *records = records_of(store);
	struct kvp_entry *entry;
	struct kvp_value *value = NULL;
	int r = lock_to_add(store, edit);

	if (r)
		return r;
	entry = kvp_index_find(&records->index, key);
	if (!entry && records->index.keys >= KVP_MAX_KEYS)
		r = KVP_MAX_UNIQUE_KEYS;
	if (r == 0)
		r = kvp_store_apply(store, edit, entry ? entry->value : NULL,
				    &value);
	if (r || !value)
		kvp_records_unlock(records);
	else
		r = kvp_records_finish(records, write_value(records, entry, key,
							    value, edit->id));
	if (r) {
		kvp_value_unref(value);
		return r;
	}
	if (value)
		value->mtime = records->mtime;
	*ret_value = value;
	return 0;
}

static int pool_delete(struct kvp_store *store, const struct kvp_bytes *keys,
		       size_t count, bool *ret_found)
{
	struct kvp_records *records = records_of(store);
	kvp_autofree size_t *firsts = malloc((count + 1) * sizeof(*firsts));
	const struct kvp_entry *entry;
	size_t found = 0;
	int r;

	if (!firsts)
		return -ENOMEM;
	r = kvp_records_lock(records, KVP_LOCK_EXCLUSIVE);
	if (r)
		return r; /* cppcheck-suppress memleak; it is freed */
	for (size_t i = 0; i < count; i++) {
		entry = kvp_index_find(&records->index, keys[i]);
		ret_found[i] = entry;
		if (entry)
			firsts[found++] = entry->first;
	}
	if (found > 0)
		return kvp_records_finish(
			records, kvp_records_drop_all(records, firsts, found));
	kvp_records_unlock(records);
	return 0;
}

static int pool_clear(struct kvp_store *store)
{
	struct kvp_records *records = records_of(store);
	int r = kvp_records_lock(records, KVP_LOCK_EXCLUSIVE);

	if (r)
		return r;
	return kvp_records_finish(records, kvp_records_clear(records));
}

static int pool_snapshot(struct kvp_store *store, struct kvp_index *ret_index)
{
	struct kvp_records *records = records_of(store);
	int r = kvp_records_refresh(records);

	return r ? r : kvp_index_copy(&records->index, ret_index);
}

static int pool_clear_seen(struct kvp_store *store,
			   const struct kvp_index *seen)
{
	struct kvp_records *records = records_of(store);
	bool changed = false;
	int r = kvp_records_lock(records, KVP_LOCK_EXCLUSIVE);

	if (r)
		return r;
	r = kvp_records_clear_seen(records, seen, &changed);
	if (changed)
		return kvp_records_finish(records, r);
	kvp_records_unlock(records);
	return r;
}

/* TO, which exists, gets the value and the id of FROM, which goes. */
static int rename_over(struct kvp_records *records, struct kvp_entry *from,
		       struct kvp_entry *to)
{
	uint64_t id = from->id;
	int r = kvp_records_put(records, to, from->value);

	if (r == 0)
		r = kvp_records_drop(records, from, to);
	if (r == 0)
		to->id = id;
	return r;
}

/* The repeats go first, or an earlier value would show under the old key. */
static int rename_in_place(struct kvp_records *records, struct kvp_entry *from,
			   struct kvp_bytes to)
{
	int r = kvp_records_drop(records, NULL, from);

	return r ? r : kvp_records_rekey(records, from, to);
}

/*
 * ONE's value is added under TWO's key first, so that no value is ever without a
 * record; then ONE's record gets TWO's value, and the repeats go.
 */
static int exchange(struct kvp_records *records, struct kvp_entry *one,
		    struct kvp_entry *two)
{
	struct kvp_value *value = kvp_value_ref(two->value);
	size_t before = records->index.records;
	int r = kvp_records_add(records, two->key, one->value, 0);

	if (r == 0) {
		r = kvp_records_put(records, one, value);
		if (r)
			kvp_records_cut_back(records, before);
	}
	if (r == 0)
		r = kvp_records_drop(records, NULL, one);
	if (r == 0)
		r = kvp_records_drop(records, NULL, two);
	if (r == 0)
		kvp_index_exchange(&records->index, one, two);
	kvp_value_unref(value);
	return r;
}

static int pool_rename(struct kvp_store *store, struct kvp_bytes from_key,
		       struct kvp_bytes to_key, enum kvp_rename how)
{
	struct kvp_records *records = records_of(store);
	struct kvp_entry *from;
	struct kvp_entry *to;
	int r = kvp_records_lock(records, KVP_LOCK_EXCLUSIVE);

	if (r)
		return r;
	from = kvp_index_find(&records->index, from_key);
	to = kvp_index_find(&records->index, to_key);
	if (!from || (!to && how == KVP_RENAME_EXCHANGE))
		r = KVP_ABSENT;
	else if (to && how == KVP_RENAME_NO_REPLACE)
		r = KVP_EXISTS;
	if (r || from == to) {
		kvp_records_unlock(records);
		return r;
	}
	if (!to)
		r = rename_in_place(records, from, to_key);
	else if (how == KVP_RENAME_EXCHANGE)
		r = exchange(records, from, to);
	else
		r = rename_over(records, from, to);
	return kvp_records_finish(records, r);
}

/* The new values, or ALL of them, learn when they were stored. */
static int finish_batch(struct kvp_records *records, bool all, int result)
{
	result = kvp_records_finish(records, result);
	if (result == 0)
		kvp_index_set_mtime(&records->index, &records->mtime, all);
	return result;
}

static int pool_append(struct kvp_store *store, const struct kvp_batch *batch)
{
	struct kvp_records *records = records_of(store);
	int r = lock_to_add(store, NULL);

	if (r)
		return r;
	return finish_batch(records, false,
			    kvp_records_append(records, batch, false));
}

/*
 * The new records were added behind the old ones, which are now cut out: a crash
 * leaves each key with its old or its new value.
 */
static int drop_old(struct kvp_records *records, size_t old, int result)
{
	if (result == 0)
		result = kvp_records_drop_first(records, old);
	records->index.replaced += result == 0;
	return finish_batch(records, true, result);
}

static int pool_load(struct kvp_store *store, const struct kvp_batch *batch)
{
	struct kvp_records *records = records_of(store);
	size_t before;
	int r;

	if (batch->count == 0)
		return pool_clear(store);
	r = lock_to_add(store, NULL);
	if (r)
		return r;
	before = records->index.records;
	r = kvp_records_append(records, batch, true);
	return drop_old(records, before, r);
}

static int pool_restore(struct kvp_store *store, struct kvp_bytes bytes)
{
	struct kvp_records *records = records_of(store);
	size_t before;
	int r;

	if (bytes.len == 0)
		return pool_clear(store);
	r = lock_to_add(store, NULL);
	if (r)
		return r;
	before = records->index.records;
	r = kvp_records_append_bytes(records, bytes);
	return drop_old(records, before, r);
}

/* Seconds since the epoch at which the machine started (proc(5), btime). */
static int boot_time(time_t *ret_time)
{
	kvp_autofree char *line = NULL;
	size_t size = 0;
	int r = KVP_NO_BOOT_TIME;
	FILE *file = fopen("/proc/stat", "re");

	if (!file)
		return r;
	while (r && getline(&line, &size, file) > 0) {
		if (strncmp(line, "btime ", 6) == 0) {
			*ret_time = (time_t)strtoll(line + 6, NULL, 10);
			r = 0;
		}
	}
	(void)fclose(file);
	return r;
}

/* As of the last look at the file. */
static int known_stale(const struct kvp_records *records, bool *ret_stale)
{
	time_t boot = 0;
	int r;

	if (!kvp_pool_exists(&records->pool)) {
		*ret_stale = false;
		return 0;
	}
	r = boot_time(&boot);
	if (r == 0)
		*ret_stale = records->pool.st.st_mtim.tv_sec <= boot;
	return r;
}

static int pool_is_stale(struct kvp_store *store, bool *ret_stale)
{
	struct kvp_records *records = records_of(store);
	int r = kvp_records_refresh(records);

	if (r && r != KVP_LOCKED)
		return r;
	return known_stale(records, ret_stale);
}

static void pool_report(struct kvp_store *store, struct kvp_report *ret_report)
{
	kvp_index_report(&records_of(store)->index, ret_report);
}

/* The check is made under the lock: another may have just emptied the pool. */
static int pool_clear_stale(struct kvp_store *store, bool *ret_cleared)
{
	struct kvp_records *records = records_of(store);
	bool stale = false;
	int r = kvp_records_lock(records, KVP_LOCK_EXCLUSIVE);

	if (r)
		return r;
	r = known_stale(records, &stale);
	if (r == 0 && stale)
		r = kvp_records_finish(records, kvp_records_clear(records));
	else
		kvp_records_unlock(records);
	if (r == 0)
		*ret_cleared = stale;
	return r;
}

static void pool_status(struct kvp_store *store, struct kvp_status *ret_status)
{
	const struct kvp_records *records = records_of(store);

	*ret_status = (struct kvp_status){
		.generation = records->generation,
		.state = records->state,
		.foreign = records->foreign,
		.clears = records->clears,
		.order = records->index.order,
		.names_mtime = records->names_mtime,
	};
	if (!kvp_pool_exists(&records->pool))
		return;
	ret_status->exists = true;
	ret_status->records = records->index.records;
	ret_status->keys = records->index.keys;
	ret_status->empty_keys = records->index.empty_keys;
	ret_status->torn_bytes = records->torn_bytes;
	ret_status->st = records->pool.st;
}

static uint64_t pool_new_id(struct kvp_store *store)
{
	return kvp_index_new_id(&records_of(store)->index);
}

static int pool_sync_descriptor(struct kvp_store *store)
{
	const struct kvp_records *records = records_of(store);

	errno = 0;
	if (!kvp_pool_exists(&records->pool))
		return -1;
	return fcntl(records->pool.file, F_DUPFD_CLOEXEC, 0);
}

static int pool_watch(struct kvp_store *store, bool on)
{
	return kvp_pool_watch(&records_of(store)->pool, on);
}

static const char *pool_path(const struct kvp_store *store)
{
	return pool_of(store)->place.path;
}

static bool pool_is_writable(const struct kvp_store *store)
{
	return kvp_pool_is_writable(pool_of(store));
}

static void pool_keep_out(struct kvp_store *store, dev_t dev)
{
	kvp_place_keep_out(&records_of(store)->pool.place,
			   &(struct kvp_keep_out){ .dev = dev });
}

static bool pool_leads_through(const struct kvp_store *store,
			       const struct stat *directory)
{
	return kvp_place_leads_to(&pool_of(store)->place,
				  &(struct kvp_keep_out){ directory->st_dev,
							  directory->st_ino });
}

static size_t pool_holders(const struct kvp_store *store, pid_t pids[],
			   size_t max)
{
	return kvp_pool_holders(pool_of(store), pids, max);
}

static bool pool_wants_exclusive(const struct kvp_store *store)
{
	return ((const struct pool_store *)store)->records.wants_exclusive;
}

static int pool_try_lock(struct kvp_store *store, bool exclusive)
{
	return kvp_records_try_lock(records_of(store),
				    exclusive ? KVP_LOCK_EXCLUSIVE
					      : KVP_LOCK_SHARED);
}

static void pool_free(struct kvp_store *store)
{
	kvp_records_close(records_of(store));
	free(store);
}

static void pool_abandon(struct kvp_store *store)
{
	pool_rest(store);
	kvp_index_release(&records_of(store)->index);
}

static const struct kvp_store_ops pool_ops = {
	.read = pool_read,
	.entries = pool_entries,
	.entries_raw = pool_entries_raw,
	.copy = pool_copy,
	.write = pool_write,
	.delete = pool_delete,
	.clear = pool_clear,
	.snapshot = pool_snapshot,
	.clear_seen = pool_clear_seen,
	.restore = pool_restore,
	.rename = pool_rename,
	.append = pool_append,
	.load = pool_load,
	.report = pool_report,
	.is_stale = pool_is_stale,
	.clear_stale = pool_clear_stale,
	.refresh = pool_refresh,
	.look = pool_look,
	.end_look = pool_end_look,
	.rest = pool_rest,
	.status = pool_status,
	.new_id = pool_new_id,
	.sync_descriptor = pool_sync_descriptor,
	.watch = pool_watch,
	.path = pool_path,
	.is_writable = pool_is_writable,
	.keep_out = pool_keep_out,
	.leads_through = pool_leads_through,
	.holders = pool_holders,
	.wants_exclusive = pool_wants_exclusive,
	.try_lock = pool_try_lock,
	.free = pool_free,
	.abandon = pool_abandon,
};

int kvp_store_pool_open(const struct kvp_pool_config *config,
			struct kvp_store **ret_store)
{
	const char *path = config->path ? config->path : KVP_DEFAULT_POOL;
	struct pool_store *ps = calloc(1, sizeof(*ps));
	int r;

	if (!ps)
		return -ENOMEM;
	ps->store = (struct kvp_store){ .ops = &pool_ops,
					.mode = config->mode };
	r = kvp_records_open(&ps->records, path,
			     (config->read_only ? KVP_POOL_READ_ONLY : 0) |
				     (config->unwatched ? KVP_POOL_UNWATCHED
							: 0));
	if (r) {
		free(ps);
		return r;
	}
	*ret_store = &ps->store;
	return 0;
}
