/* SPDX-License-Identifier: MIT */
#include "scan.h"

#include <errno.h>
#include <stdlib.h>

#include "result.h"
#include "util.h"

/* So many records are in view at a time, in whole chunks: most pools have no more. */
#define VIEW_RECORDS ((size_t)1024)

struct kvp_record *kvp_chunk_new(size_t count)
{
	size_t n = count < KVP_CHUNK_RECORDS ? count : KVP_CHUNK_RECORDS;

	return malloc((n ? n : 1) * sizeof(struct kvp_record));
}

int kvp_chunk_read(struct kvp_pool *pool, size_t slot, struct kvp_record *chunk,
		   size_t *ret_bytes)
{
	return kvp_pool_read(pool, kvp_offset_of(slot), chunk,
			     KVP_CHUNK_RECORDS * sizeof(*chunk), ret_bytes);
}

/* Gets the record that lies in SLOT. Anything but 0 ends the reading. */
typedef int take_record(void *arg, size_t slot, const struct kvp_pair *record);

/* Whether all records of the chunk from SLOT on are known, so that none need be read. */
typedef bool know_chunk(void *arg, size_t slot);

/* Reads the whole file but for what KNOW, which may be NULL, says is known. */
static int read_all(struct kvp_pool *pool, know_chunk *know, take_record *take,
		    void *arg, size_t *ret_torn)
{
	kvp_autofree struct kvp_record *chunk = kvp_chunk_new(
		KVP_CHUNK_RECORDS);
	size_t bytes = 0;
	size_t slot = 0;
	int r = 0;

	if (!chunk)
		return -ENOMEM;
	do {
		if (know && know(arg, slot)) {
			slot += KVP_CHUNK_RECORDS;
			bytes = KVP_CHUNK_RECORDS * KVP_RECORD_SIZE;
			continue;
		}
		r = kvp_chunk_read(pool, slot, chunk, &bytes);
		for (size_t i = 0; r == 0 && i < bytes / KVP_RECORD_SIZE; i++) {
			struct kvp_pair pair = kvp_record_pair(&chunk[i]);

			r = take(arg, slot++, &pair);
		}
		if (r == 0 && kvp_offset_of(slot) > KVP_POOL_MAX_BYTES)
			r = -EFBIG;
	} while (r == 0 && bytes == KVP_CHUNK_RECORDS * KVP_RECORD_SIZE);
	*ret_torn = bytes % KVP_RECORD_SIZE;
	return r;
}

/* An index that is brought in step, without being made anew. */
struct update {
	struct kvp_pool *pool;
	struct kvp_index *index;
	size_t compared; /* records that the file has, too */
	bool changed;
};

/*
 * The records from SLOT on, the first one of a chunk that the index has, in a view; NULL:
 * it cannot be had. There is none of a file that is open for reading only: on overlayfs
 * it would show the lower file for ever, while reading finds the upper one, which the
 * first write by others makes.
 */
static const struct kvp_record *view_chunk(const struct update *update,
					   size_t slot)
{
	struct kvp_pool *pool = update->pool;
	size_t left = update->index->records - slot;
	size_t count = left < VIEW_RECORDS ? left : VIEW_RECORDS;
	const struct kvp_record *seen;

	if (slot % VIEW_RECORDS == 0) {
		kvp_view_close(&pool->view);
		if (pool->writable)
			kvp_view_open(&pool->view, pool->file,
				      kvp_offset_of(slot),
				      count * KVP_RECORD_SIZE);
	}
	seen = pool->view.bytes;
	return seen ? &seen[slot % VIEW_RECORDS] : NULL;
}

/* Whether the record in SLOT, which gives an entry its value, says what RECORD says. */
static bool is_same(const struct kvp_index *index, size_t slot,
		    const struct kvp_record *record)
{
	const struct kvp_entry *entry = index->slots[slot];

	return entry && entry->last == slot &&
	       kvp_bytes_equal(kvp_record_key(record), entry->key) &&
	       kvp_bytes_equal(kvp_record_value(record),
			       kvp_value_bytes(entry->value));
}

/* A chunk with a record that gives no value, as it is empty or repeated, is read. */
static bool is_unchanged(void *arg, size_t slot)
{
	struct update *update = arg;
	const struct kvp_record *seen;
	bool same;

	if (slot + KVP_CHUNK_RECORDS > update->index->records)
		return false;
	seen = view_chunk(update, slot);
	same = seen;
	for (size_t i = 0; same && i < KVP_CHUNK_RECORDS; i++)
		same = is_same(update->index, slot + i, &seen[i]);
	if (same)
		update->compared += KVP_CHUNK_RECORDS;
	return same;
}

static int update_entry(struct update *update, struct kvp_entry *entry,
			struct kvp_bytes bytes)
{
	struct kvp_value *value;

	if (kvp_bytes_equal(kvp_value_bytes(entry->value), bytes))
		return 0;
	value = kvp_value_new(bytes);
	if (!value)
		return -ENOMEM;
	kvp_index_put(update->index, entry, value);
	kvp_value_unref(value);
	update->changed = true;
	return 0;
}

/* KVP_ABSENT: the key is not that in SLOT of the index. */
static int update_slot(void *arg, size_t slot, const struct kvp_pair *record)
{
	struct update *update = arg;
	struct kvp_index *index = update->index;
	const struct kvp_bytes none = { "", 0 };
	struct kvp_entry *entry;

	if (slot == index->records) {
		update->changed = true;
		return kvp_index_add(index, index, record);
	}
	entry = index->slots[slot];
	if (!kvp_bytes_equal(record->key, entry ? entry->key : none))
		return KVP_ABSENT;
	update->compared++;
	if (entry && entry->last == slot)
		return update_entry(update, entry, record->value);
	kvp_index_mark(index, slot, record);
	return 0;
}

/*
 * KVP_ABSENT: others have done more than to set values and to add records. Who takes no
 * lock may cut the file while it is read.
 */
static int update_all(struct kvp_pool *pool, struct kvp_index *index,
		      size_t *ret_torn, bool *ret_changed)
{
	struct update update = { .pool = pool, .index = index };
	size_t records = index->records;
	int r;

	if (records == 0 || pool->st.st_size < kvp_offset_of(records))
		return KVP_ABSENT;
	r = read_all(pool, is_unchanged, update_slot, &update, ret_torn);
	*ret_changed |= update.changed;
	return r == 0 && update.compared < records ? KVP_ABSENT : r;
}

/* An index that is made anew. */
struct rebuild {
	struct kvp_index index;
	const struct kvp_index *old;
};

static int add_slot(void *arg, size_t slot, const struct kvp_pair *record)
{
	struct rebuild *rebuild = arg;

	(void)slot;
	return kvp_index_add(&rebuild->index, rebuild->old, record);
}

static int rebuild_all(struct kvp_pool *pool, struct kvp_index *index,
		       size_t *ret_torn, bool *ret_changed)
{
	struct rebuild rebuild = { .old = index };
	int r = 0;

	kvp_index_init(&rebuild.index);
	rebuild.index.last_id = index->last_id;
	*ret_torn = 0;
	if (kvp_pool_exists(pool))
		r = read_all(pool, NULL, add_slot, &rebuild, ret_torn);
	if (r) {
		kvp_index_release(&rebuild.index);
		return r;
	}
	*ret_changed |= !kvp_index_inherit(&rebuild.index, index);
	kvp_index_release(index);
	*index = rebuild.index;
	return 0;
}

int kvp_scan(struct kvp_pool *pool, struct kvp_index *index, size_t *ret_torn,
	     bool *ret_changed)
{
	bool exists = kvp_pool_exists(pool);
	int r = KVP_ABSENT;

	*ret_changed = false;
	if (exists && pool->st.st_size > KVP_POOL_MAX_BYTES)
		return -EFBIG;
	if (exists)
		r = update_all(pool, index, ret_torn, ret_changed);
	if (r == KVP_ABSENT)
		r = rebuild_all(pool, index, ret_torn, ret_changed);
	return r;
}
