/* SPDX-License-Identifier: MIT */
#include "records.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "record.h"
#include "result.h"
#include "util.h"

#define CHUNK_RECORDS ((size_t)32)

static off_t offset_of(size_t slot)
{
	return (off_t)slot * KVP_RECORD_SIZE;
}

/* Reads the records from SLOT on, CHUNK_RECORDS at the most. */
static int read_chunk(struct kvp_records *records, size_t slot,
		      struct kvp_record *chunk, size_t *ret_bytes)
{
	return kvp_pool_read(&records->pool, offset_of(slot), chunk,
			     CHUNK_RECORDS * sizeof(*chunk), ret_bytes);
}

/* Room for the next of COUNT records. */
static struct kvp_record *new_chunk(size_t count)
{
	size_t n = count < CHUNK_RECORDS ? count : CHUNK_RECORDS;

	return malloc((n ? n : 1) * sizeof(struct kvp_record));
}

static struct kvp_pair pair_in(const struct kvp_record *record)
{
	return (struct kvp_pair){ kvp_record_key(record),
				  kvp_record_value(record) };
}

/*
 * PAIR into INDEX. If its key has an equal value in KNOWN, which may be NULL, that is
 * shared: so the values of two readings are not there twice.
 */
static int index_pair(struct kvp_index *index, const struct kvp_index *known,
		      const struct kvp_pair *pair)
{
	const struct kvp_entry *entry =
		known ? kvp_index_find_near(known, pair->key, index->records)
		      : NULL;
	struct kvp_value *value;
	int r = -ENOMEM;

	if (entry &&
	    kvp_bytes_equal(kvp_value_bytes(entry->value), pair->value))
		value = kvp_value_ref(entry->value);
	else
		value = kvp_value_new(pair->value);
	if (value)
		r = kvp_index_append(index, pair->key, value, 0);
	kvp_value_unref(value);
	return r;
}

static int index_record(struct kvp_index *index, const struct kvp_index *known,
			const struct kvp_record *record)
{
	struct kvp_pair pair = pair_in(record);

	return index_pair(index, known, &pair);
}

/* The whole file into INDEX, and the size of its cut tail. */
static int read_all(struct kvp_records *records, struct kvp_index *index,
		    size_t *ret_torn)
{
	kvp_autofree struct kvp_record *chunk = new_chunk(CHUNK_RECORDS);
	size_t bytes = 0;
	int r = 0;

	if (!chunk)
		return -ENOMEM;
	do {
		r = read_chunk(records, index->records, chunk, &bytes);
		for (size_t i = 0; r == 0 && i < bytes / KVP_RECORD_SIZE; i++)
			r = index_record(index, &records->index, &chunk[i]);
		if (offset_of(index->records) > KVP_POOL_MAX_BYTES)
			r = -EFBIG;
	} while (r == 0 && bytes == CHUNK_RECORDS * KVP_RECORD_SIZE);
	*ret_torn = bytes % KVP_RECORD_SIZE;
	return r;
}

int kvp_records_open(struct kvp_records *records, const char *path,
		     unsigned int flags)
{
	*records = (struct kvp_records){ 0 };
	kvp_index_init(&records->index);
	return kvp_pool_open(&records->pool, path, flags);
}

void kvp_records_close(struct kvp_records *records)
{
	kvp_index_release(&records->index);
	kvp_pool_close(&records->pool);
}

/* If the set of keys has changed, notes when, as far as can be known. */
static void note_names(struct kvp_records *records)
{
	if (records->names == records->index.names)
		return;
	records->names = records->index.names;
	if (kvp_pool_exists(&records->pool))
		records->names_mtime = records->pool.st.st_mtim;
	else
		clock_gettime(CLOCK_REALTIME_COARSE, &records->names_mtime);
}

/* Makes the index say what the file says; under any lock. */
static int scan(struct kvp_records *records)
{
	struct kvp_index index;
	const struct timespec *mtime = &records->pool.st.st_mtim;
	size_t torn = 0;
	bool touched;
	bool same;
	int r = 0;

	kvp_index_init(&index);
	index.last_id = records->index.last_id;
	if (kvp_pool_exists(&records->pool)) {
		r = records->pool.st.st_size > KVP_POOL_MAX_BYTES ? -EFBIG : 0;
		if (r == 0)
			r = read_all(records, &index, &torn);
	}
	if (r) {
		kvp_index_release(&index);
		kvp_pool_unsettle(&records->pool);
		return r;
	}
	/* touch(1) changes no value: then all of them get the new time */
	same = kvp_index_inherit(&index, &records->index);
	touched = !kvp_same_time(mtime, &records->mtime);
	kvp_index_set_mtime(&index, mtime, same && touched);
	records->mtime = *mtime;
	records->state++;
	records->generation += !same || index.order != records->index.order;
	/* at the first reading nothing is known of what was there before */
	index.names += records->state == 1 && kvp_pool_exists(&records->pool);
	records->foreign += !same;
	records->clears += index.keys == 0 && !same;
	kvp_index_release(&records->index);
	records->index = index;
	note_names(records);
	records->torn_bytes = torn;
	kvp_pool_settle(&records->pool, false, 0);
	return 0;
}

int kvp_records_lock(struct kvp_records *records, enum kvp_lock lock)
{
	bool changed = false;
	int r = kvp_pool_lock(&records->pool, lock, &changed);

	records->looked = false;
	if (r == KVP_LOCKED)
		records->wants_exclusive = lock != KVP_LOCK_SHARED;
	if (r || !changed)
		return r;
	r = scan(records);
	if (r)
		kvp_pool_unlock(&records->pool);
	return r;
}

int kvp_records_try_lock(struct kvp_records *records, enum kvp_lock lock)
{
	bool changed;
	int r = kvp_pool_lock(&records->pool, lock, &changed);

	if (r == 0)
		kvp_pool_unlock(&records->pool);
	return r;
}

void kvp_records_unlock(struct kvp_records *records)
{
	kvp_pool_unlock(&records->pool);
}

int kvp_records_look(struct kvp_records *records)
{
	int r = kvp_pool_changed(&records->pool);

	records->looked = r == 0;
	return r;
}

int kvp_records_refresh(struct kvp_records *records)
{
	int r = records->looked ? 0 : kvp_pool_changed(&records->pool);

	records->looked = false;
	if (r <= 0)
		return r;
	r = kvp_records_lock(records, KVP_LOCK_SHARED);
	if (r == 0)
		kvp_pool_unlock(&records->pool);
	return r;
}

int kvp_records_finish(struct kvp_records *records, int result)
{
	off_t size = offset_of(records->index.records);

	if (result == 0 && records->torn_bytes > 0 &&
	    kvp_pool_truncate(&records->pool, size) == 0)
		records->torn_bytes = 0;
	if (result == 0)
		kvp_pool_settle(&records->pool, true,
				size + (off_t)records->torn_bytes);
	else
		kvp_pool_unsettle(&records->pool);
	records->mtime = records->pool.st.st_mtim;
	note_names(records);
	records->generation++;
	records->state++;
	kvp_pool_unlock(&records->pool);
	return result;
}

int kvp_records_copy(struct kvp_records *records, kvp_visit_bytes *visit,
		     void *arg)
{
	kvp_autofree struct kvp_record *chunk = new_chunk(CHUNK_RECORDS);
	struct kvp_bytes part = { (char *)chunk, 0 };
	int r = chunk ? 0 : -ENOMEM;

	for (size_t slot = 0; slot < records->index.records && r == 0;
	     slot += CHUNK_RECORDS) {
		r = read_chunk(records, slot, chunk, &part.len);
		part.len -= part.len % KVP_RECORD_SIZE;
		if (r == 0)
			r = visit(arg, part);
	}
	return r;
}

struct record_visit {
	kvp_visit_record *visit;
	void *arg;
};

static int visit_records(void *arg, struct kvp_bytes bytes)
{
	struct record_visit *each = arg;
	const struct kvp_record *chunk = (const void *)bytes.data;
	size_t count = bytes.len / KVP_RECORD_SIZE;
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		struct kvp_pair pair = pair_in(&chunk[i]);

		r = each->visit(each->arg, &pair);
	}
	return r;
}

int kvp_records_visit(struct kvp_records *records, kvp_visit_record *visit,
		      void *arg)
{
	struct record_visit each = { visit, arg };

	return kvp_records_copy(records, visit_records, &each);
}

void kvp_records_cut_back(struct kvp_records *records, size_t count)
{
	if (kvp_pool_truncate(&records->pool, offset_of(count)) == 0)
		records->torn_bytes = 0;
}

/* The end of adding records behind the first BEFORE ones, undone unless RESULT is 0. */
static int end_adding(struct kvp_records *records, size_t before, int result)
{
	if (result)
		kvp_records_cut_back(records, before);
	else
		records->torn_bytes = 0; /* no tail is as long as a record */
	return result;
}

/* -EFBIG: COUNT more records are too many. */
static int check_room(const struct kvp_records *records, size_t count)
{
	return offset_of(records->index.records + count) > KVP_POOL_MAX_BYTES
		       ? -EFBIG
		       : 0;
}

/* Encodes the next records of BATCH; returns how many. */
static size_t encode_chunk(const struct kvp_batch *batch, size_t *cursor,
			   struct kvp_record *chunk)
{
	struct kvp_pair pair;
	size_t n = 0;

	for (; n < CHUNK_RECORDS && kvp_batch_next(batch, cursor, &pair); n++)
		kvp_record_encode(&chunk[n], pair.key, pair.value);
	return n;
}

static int write_record(struct kvp_records *records, size_t slot,
			struct kvp_pair pair)
{
	struct kvp_record record;

	kvp_record_encode(&record, pair.key, pair.value);
	return kvp_pool_write(&records->pool, offset_of(slot), &record,
			      sizeof(record));
}

int kvp_records_add(struct kvp_records *records, struct kvp_bytes key,
		    struct kvp_value *value, uint64_t id)
{
	struct kvp_pair pair = { key, kvp_value_bytes(value) };
	size_t before = records->index.records;
	int r = check_room(records, 1);

	if (r)
		return r;
	r = write_record(records, before, pair);
	if (r == 0)
		r = kvp_index_append(&records->index, key, value, id);
	return end_adding(records, before, r);
}

/* Writes BATCH to the file, CHUNK by CHUNK. */
static int write_batch(struct kvp_records *records,
		       const struct kvp_batch *batch, struct kvp_record *chunk)
{
	size_t slot = records->index.records;
	size_t cursor = 0;
	size_t n;
	int r = 0;

	while (r == 0 && (n = encode_chunk(batch, &cursor, chunk)) > 0) {
		r = kvp_pool_write(&records->pool, offset_of(slot), chunk,
				   n * sizeof(*chunk));
		slot += n;
	}
	return r;
}

int kvp_records_append(struct kvp_records *records,
		       const struct kvp_batch *batch, bool replaces)
{
	const struct kvp_index *known = replaces ? &records->index : NULL;
	kvp_autofree struct kvp_record *chunk = new_chunk(batch->count);
	size_t before = records->index.records;
	struct kvp_pair pair;
	size_t cursor = 0;
	int r = chunk ? check_room(records, batch->count) : -ENOMEM;

	if (r)
		return r;
	r = write_batch(records, batch, chunk);
	while (r == 0 && kvp_batch_next(batch, &cursor, &pair))
		r = index_pair(&records->index, known, &pair);
	records->foreign++;
	return end_adding(records, before, r);
}

int kvp_records_append_bytes(struct kvp_records *records,
			     struct kvp_bytes bytes)
{
	const struct kvp_record *raw = (const struct kvp_record *)bytes.data;
	size_t before = records->index.records;
	size_t count = bytes.len / KVP_RECORD_SIZE;
	int r = check_room(records, count);

	if (r)
		return r;
	r = kvp_pool_write(&records->pool, offset_of(before), raw, bytes.len);
	for (size_t i = 0; i < count && r == 0; i++)
		r = index_record(&records->index, &records->index, &raw[i]);
	records->foreign++;
	return end_adding(records, before, r);
}

static struct kvp_pair pair_of(const struct kvp_entry *entry)
{
	return (struct kvp_pair){ entry->key, kvp_value_bytes(entry->value) };
}

int kvp_records_put(struct kvp_records *records, struct kvp_entry *entry,
		    struct kvp_value *value)
{
	struct kvp_pair pair = { entry->key, kvp_value_bytes(value) };
	int r = write_record(records, entry->last, pair);

	if (r) {
		write_record(records, entry->last, pair_of(entry));
		return r;
	}
	kvp_index_put(&records->index, entry, value);
	return 0;
}

int kvp_records_rekey(struct kvp_records *records, struct kvp_entry *entry,
		      struct kvp_bytes key)
{
	struct kvp_pair pair = { key, kvp_value_bytes(entry->value) };
	int r = write_record(records, entry->last, pair);

	if (r == 0)
		r = kvp_index_rekey(&records->index, entry, key);
	if (r)
		write_record(records, entry->last, pair_of(entry));
	return r;
}

/* Copies the records [FROM, END) to TO, which lies before them. */
static int move_up(struct kvp_records *records, struct kvp_record *chunk,
		   size_t from, size_t end, size_t to)
{
	int r = 0;

	while (from < end && r == 0) {
		size_t n = end - from < CHUNK_RECORDS ? end - from
						      : CHUNK_RECORDS;
		size_t bytes;

		r = read_chunk(records, from, chunk, &bytes);
		if (r == 0 && bytes < n * sizeof(*chunk))
			r = -EIO; /* somebody without a lock cut the file */
		if (r == 0)
			r = kvp_pool_write(&records->pool, offset_of(to), chunk,
					   n * sizeof(*chunk));
		from += n;
		to += n;
	}
	return r;
}

int kvp_records_drop_slots(struct kvp_records *records, const size_t *slots,
			   size_t count)
{
	kvp_autofree struct kvp_record *chunk = NULL;
	size_t end = records->index.records;
	int r = 0;

	if (count == 0)
		return 0;
	chunk = new_chunk(CHUNK_RECORDS);
	if (!chunk)
		return -ENOMEM;
	for (size_t i = 0; i < count && r == 0; i++)
		r = move_up(records, chunk, slots[i] + 1,
			    i + 1 < count ? slots[i + 1] : end, slots[i] - i);
	if (r == 0)
		r = kvp_pool_truncate(&records->pool, offset_of(end - count));
	if (r == 0) {
		kvp_index_drop(&records->index, slots, count);
		records->torn_bytes = 0;
	}
	return r;
}

int kvp_records_clear(struct kvp_records *records)
{
	int r = 0;

	if (kvp_pool_exists(&records->pool))
		r = kvp_pool_truncate(&records->pool, 0);
	if (r)
		return r;
	kvp_index_clear(&records->index);
	records->torn_bytes = 0;
	records->foreign++;
	records->clears++;
	return 0;
}
