/* SPDX-License-Identifier: MIT */
#include "records.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "record.h"
#include "result.h"
#include "util.h"

#define CHUNK_RECORDS ((size_t)32)

/* Between two tries to get a lock. */
#define LOCK_POLL_MS 1

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

static int index_record(struct kvp_index *index,
			const struct kvp_record *record)
{
	struct kvp_bytes key = kvp_record_key(record);
	struct kvp_value *value = kvp_value_new(kvp_record_value(record));
	int r = -ENOMEM;

	if (value)
		r = kvp_index_append(index, key, value, 0);
	kvp_value_unref(value);
	return r;
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
			r = index_record(index, &chunk[i]);
		if (offset_of(index->records) > KVP_POOL_MAX_BYTES)
			r = -EFBIG;
	} while (r == 0 && bytes == CHUNK_RECORDS * KVP_RECORD_SIZE);
	*ret_torn = bytes % KVP_RECORD_SIZE;
	return r;
}

int kvp_records_open(struct kvp_records *records, const char *path,
		     bool read_only)
{
	*records = (struct kvp_records){ 0 };
	kvp_index_init(&records->index);
	return kvp_pool_open(&records->pool, path, read_only);
}

void kvp_records_close(struct kvp_records *records)
{
	kvp_lost_forget(&records->lost);
	kvp_index_release(&records->index);
	kvp_pool_close(&records->pool);
}

/*
 * Looks whether what INDEX says now has cost us changes. Without events nobody knows
 * whether one program wrote, once.
 */
static void check_lost(struct kvp_records *records,
		       const struct kvp_index *index)
{
	if (records->pool.watch < 0 ||
	    records->pool.closings - records->lost.closings > 1)
		kvp_lost_forget(&records->lost);
	kvp_lost_check(&records->lost, &records->index, index,
		       records->pool.st.st_mtim.tv_sec);
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
	/* what changes no value, such as touch(1), concerns all of them */
	same = kvp_index_inherit(&index, &records->index);
	if (!same)
		check_lost(records, &index);
	touched = !kvp_same_time(mtime, &records->mtime);
	kvp_index_set_mtime(&index, mtime, same && touched);
	records->mtime = *mtime;
	records->generation += !same ||
			       !kvp_index_same_order(&index, &records->index);
	records->clears += index.keys == 0 && !same;
	kvp_index_release(&records->index);
	records->index = index;
	records->torn_bytes = torn;
	kvp_pool_settle(&records->pool, false, 0);
	return 0;
}

int kvp_records_lock(struct kvp_records *records, enum kvp_lock lock)
{
	const struct timespec pause = { .tv_nsec = LOCK_POLL_MS * 1000000L };
	int64_t deadline = kvp_now_ms() + records->lock_timeout_ms;
	bool changed = false;
	int r;

	for (;;) {
		r = kvp_pool_lock(&records->pool, lock, &changed);
		if (r != KVP_LOCKED || kvp_now_ms() >= deadline)
			break;
		nanosleep(&pause, NULL);
	}
	if (r || !changed)
		return r;
	r = scan(records);
	if (r)
		kvp_pool_unlock(&records->pool);
	return r;
}

void kvp_records_unlock(struct kvp_records *records)
{
	kvp_pool_unlock(&records->pool);
}

int kvp_records_refresh(struct kvp_records *records)
{
	int r = kvp_pool_changed(&records->pool);

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
	if (result)
		kvp_lost_forget(&records->lost);
	records->lost.closings = records->pool.closings;
	records->mtime = records->pool.st.st_mtim;
	records->generation++;
	kvp_pool_unlock(&records->pool);
	return result;
}

/* Visits the records of one chunk. */
static int visit_chunk(const struct kvp_record *chunk, size_t count,
		       kvp_visit_record *visit, void *arg)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		struct kvp_pair pair = { kvp_record_key(&chunk[i]),
					 kvp_record_value(&chunk[i]) };

		r = visit(arg, &pair);
	}
	return r;
}

int kvp_records_visit(struct kvp_records *records, kvp_visit_record *visit,
		      void *arg)
{
	kvp_autofree struct kvp_record *chunk = new_chunk(CHUNK_RECORDS);
	size_t bytes;
	int r = chunk ? 0 : -ENOMEM;

	for (size_t slot = 0; slot < records->index.records && r == 0;
	     slot += CHUNK_RECORDS) {
		r = read_chunk(records, slot, chunk, &bytes);
		if (r == 0)
			r = visit_chunk(chunk, bytes / KVP_RECORD_SIZE, visit,
					arg);
	}
	return r;
}

int kvp_records_copy(struct kvp_records *records, kvp_visit_bytes *visit,
		     void *arg)
{
	kvp_autofree struct kvp_record *chunk = new_chunk(CHUNK_RECORDS);
	size_t bytes = 0;
	size_t slot = 0;
	int r = chunk ? 0 : -ENOMEM;

	if (!kvp_pool_exists(&records->pool))
		return r;
	while (r == 0) {
		r = read_chunk(records, slot, chunk, &bytes);
		if (r || bytes == 0)
			break;
		r = visit(arg, (struct kvp_bytes){ (char *)chunk, bytes });
		slot += CHUNK_RECORDS;
	}
	return r;
}

void kvp_records_cut_back(struct kvp_records *records, size_t count)
{
	if (kvp_pool_truncate(&records->pool, offset_of(count)) == 0)
		records->torn_bytes = 0;
}

/* The file's part of adding records. */
static int write_behind(struct kvp_records *records,
			const struct kvp_pair *pairs, size_t count)
{
	kvp_autofree struct kvp_record *chunk = new_chunk(count);
	size_t slot = records->index.records;
	int r = 0;

	if (!chunk)
		return -ENOMEM;
	if (offset_of(slot + count) > KVP_POOL_MAX_BYTES)
		return -EFBIG;
	for (size_t done = 0; done < count && r == 0;) {
		size_t n = 0;

		for (; n < CHUNK_RECORDS && done + n < count; n++)
			kvp_record_encode(&chunk[n], pairs[done + n].key,
					  pairs[done + n].value);
		r = kvp_pool_write(&records->pool, offset_of(slot + done),
				   chunk, n * sizeof(*chunk));
		done += n;
	}
	if (r)
		kvp_records_cut_back(records, slot);
	else if (count > 0)
		records->torn_bytes = 0; /* no tail is as long as a record */
	return r;
}

int kvp_records_add(struct kvp_records *records, struct kvp_bytes key,
		    struct kvp_value *value, uint64_t id)
{
	struct kvp_pair pair = { key, kvp_value_bytes(value) };
	int r = write_behind(records, &pair, 1);

	if (r)
		return r;
	kvp_lost_note(&records->lost, &records->index, key,
		      kvp_index_find(&records->index, key));
	r = kvp_index_append(&records->index, key, value, id);
	if (r)
		kvp_records_cut_back(records, records->index.records);
	return r;
}

int kvp_records_append(struct kvp_records *records,
		       const struct kvp_pair *pairs, size_t count)
{
	size_t before = records->index.records;
	int r = write_behind(records, pairs, count);

	if (r)
		return r;
	kvp_lost_forget(&records->lost);
	for (size_t i = 0; i < count && r == 0; i++) {
		struct kvp_value *value = kvp_value_new(pairs[i].value);

		r = value ? kvp_index_append(&records->index, pairs[i].key,
					     value, 0)
			  : -ENOMEM;
		kvp_value_unref(value);
	}
	if (r)
		kvp_records_cut_back(records, before);
	return r;
}

static struct kvp_pair pair_of(const struct kvp_entry *entry)
{
	return (struct kvp_pair){ entry->key, kvp_value_bytes(entry->value) };
}

static int write_record(struct kvp_records *records, size_t slot,
			struct kvp_pair pair)
{
	struct kvp_record record;

	kvp_record_encode(&record, pair.key, pair.value);
	return kvp_pool_write(&records->pool, offset_of(slot), &record,
			      sizeof(record));
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
	kvp_lost_note(&records->lost, &records->index, entry->key, entry);
	kvp_value_set(&entry->value, value);
	return 0;
}

int kvp_records_rekey(struct kvp_records *records, struct kvp_entry *entry,
		      struct kvp_bytes key)
{
	struct kvp_pair pair = { key, kvp_value_bytes(entry->value) };
	int r = write_record(records, entry->last, pair);

	if (r == 0) {
		kvp_lost_note(&records->lost, &records->index, entry->key,
			      entry);
		kvp_lost_note(&records->lost, &records->index, key, NULL);
		r = kvp_index_rekey(&records->index, entry, key);
	}
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

/* Cuts out the records at the ascending SLOTS, in the file and in the index. */
static int drop_slots(struct kvp_records *records, const size_t *slots,
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

/* The ascending slots that kvp_records_drop is about. */
static int collect_slots(const struct kvp_records *records,
			 const struct kvp_entry *all,
			 const struct kvp_entry *repeated, size_t **ret_slots,
			 size_t *ret_count)
{
	size_t most = (all ? all->records : 0) +
		      (repeated ? repeated->records - 1 : 0);
	size_t *slots = malloc((most + 1) * sizeof(*slots));
	size_t count = 0;

	if (!slots)
		return -ENOMEM;
	for (size_t slot = 0; count < most; slot++) {
		const struct kvp_entry *entry = records->index.slots[slot];

		if (entry && (entry == all ||
			      (entry == repeated && slot != repeated->last)))
			slots[count++] = slot;
	}
	*ret_slots = slots;
	*ret_count = count;
	return 0;
}

int kvp_records_drop(struct kvp_records *records, struct kvp_entry *all,
		     struct kvp_entry *repeated)
{
	kvp_autofree size_t *slots = NULL;
	size_t count = 0;
	int r;

	if (!all && repeated->records == 1)
		return 0;
	if (all)
		kvp_lost_note(&records->lost, &records->index, all->key, all);
	if (all && all->records == 1 && (!repeated || repeated->records == 1)) {
		size_t only = all->last; /* the entry will be gone */

		return drop_slots(records, &only, 1);
	}
	r = collect_slots(records, all, repeated, &slots, &count);
	return r ? r : drop_slots(records, slots, count);
}

int kvp_records_drop_first(struct kvp_records *records, size_t count)
{
	kvp_autofree size_t *slots = malloc((count + 1) * sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		slots[i] = i;
	return drop_slots(records, slots, count);
}

int kvp_records_clear(struct kvp_records *records)
{
	uint64_t last_id = records->index.last_id;
	int r = 0;

	if (kvp_pool_exists(&records->pool))
		r = kvp_pool_truncate(&records->pool, 0);
	if (r)
		return r;
	kvp_lost_forget(&records->lost);
	kvp_index_release(&records->index);
	records->index.last_id = last_id;
	records->torn_bytes = 0;
	records->clears++;
	return 0;
}
