/* SPDX-License-Identifier: MIT */
#include "records.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "record.h"
#include "result.h"
#include "scan.h"
#include "util.h"

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
	struct kvp_index *index = &records->index;
	const struct timespec *mtime = &records->pool.st.st_mtim;
	uint64_t order = index->order;
	bool changed = false;
	size_t torn = 0;
	bool touched;
	int r = kvp_scan(&records->pool, index, &torn, &changed);

	records->state += r == 0 || changed;
	records->generation += changed || index->order != order;
	records->foreign += changed;
	if (r) {
		/* the next scan finds no change: that was no touch(1) */
		if (changed)
			records->mtime = *mtime;
		kvp_pool_unsettle(&records->pool);
		return r;
	}
	/* touch(1) changes no value: then all of them get the new time */
	touched = !kvp_same_time(mtime, &records->mtime);
	kvp_index_set_mtime(index, mtime, !changed && touched);
	records->mtime = *mtime;
	/* at the first reading nothing is known of what was there before */
	index->names += records->state == 1 && kvp_pool_exists(&records->pool);
	records->clears += index->keys == 0 && changed;
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
	off_t size = kvp_offset_of(records->index.records);

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
	/* what a failed change has done is told as if others had done it */
	records->foreign += result != 0;
	kvp_pool_unlock(&records->pool);
	return result;
}

int kvp_records_copy(struct kvp_records *records, kvp_visit_bytes *visit,
		     void *arg)
{
	kvp_autofree struct kvp_record *chunk = kvp_chunk_new(
		KVP_CHUNK_RECORDS);
	struct kvp_bytes part = { (char *)chunk, 0 };
	int r = chunk ? 0 : -ENOMEM;

	for (size_t slot = 0; slot < records->index.records && r == 0;
	     slot += KVP_CHUNK_RECORDS) {
		r = kvp_chunk_read(&records->pool, slot, chunk, &part.len);
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
		struct kvp_pair pair = kvp_record_pair(&chunk[i]);

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
	if (kvp_pool_truncate(&records->pool, kvp_offset_of(count)) == 0)
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
	return kvp_offset_of(records->index.records + count) >
			       KVP_POOL_MAX_BYTES
		       ? -EFBIG
		       : 0;
}

/* Encodes the next records of BATCH; returns how many. */
static size_t encode_chunk(const struct kvp_batch *batch, size_t *cursor,
			   struct kvp_record *chunk)
{
	struct kvp_pair pair;
	size_t n = 0;

	for (; n < KVP_CHUNK_RECORDS && kvp_batch_next(batch, cursor, &pair);
	     n++)
		kvp_record_encode(&chunk[n], pair.key, pair.value);
	return n;
}

static int write_record(struct kvp_records *records, size_t slot,
			struct kvp_pair pair)
{
	struct kvp_record record;

	kvp_record_encode(&record, pair.key, pair.value);
	return kvp_pool_write(&records->pool, kvp_offset_of(slot), &record,
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
		r = kvp_pool_write(&records->pool, kvp_offset_of(slot), chunk,
				   n * sizeof(*chunk));
		slot += n;
	}
	return r;
}

int kvp_records_append(struct kvp_records *records,
		       const struct kvp_batch *batch, bool replaces)
{
	const struct kvp_index *known = replaces ? &records->index : NULL;
	kvp_autofree struct kvp_record *chunk = kvp_chunk_new(batch->count);
	size_t before = records->index.records;
	struct kvp_pair pair;
	size_t cursor = 0;
	int r = chunk ? check_room(records, batch->count) : -ENOMEM;

	if (r)
		return r;
	r = write_batch(records, batch, chunk);
	while (r == 0 && kvp_batch_next(batch, &cursor, &pair))
		r = kvp_index_add(&records->index, known, &pair);
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
	r = kvp_pool_write(&records->pool, kvp_offset_of(before), raw,
			   bytes.len);
	for (size_t i = 0; i < count && r == 0; i++) {
		struct kvp_pair pair = kvp_record_pair(&raw[i]);

		r = kvp_index_add(&records->index, &records->index, &pair);
	}
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
		size_t n = end - from < KVP_CHUNK_RECORDS ? end - from
							  : KVP_CHUNK_RECORDS;
		size_t bytes;

		r = kvp_chunk_read(&records->pool, from, chunk, &bytes);
		if (r == 0 && bytes < n * sizeof(*chunk))
			r = -EIO; /* somebody without a lock cut the file */
		if (r == 0)
			r = kvp_pool_write(&records->pool, kvp_offset_of(to),
					   chunk, n * sizeof(*chunk));
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
	chunk = kvp_chunk_new(KVP_CHUNK_RECORDS);
	if (!chunk)
		return -ENOMEM;
	for (size_t i = 0; i < count && r == 0; i++)
		r = move_up(records, chunk, slots[i] + 1,
			    i + 1 < count ? slots[i + 1] : end, slots[i] - i);
	if (r == 0)
		r = kvp_pool_truncate(&records->pool,
				      kvp_offset_of(end - count));
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
