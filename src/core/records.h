/* SPDX-License-Identifier: MIT */
/*
 * The records of a pool file: the file (pool.h) and what it says (index.h), kept
 * in step. Here is how the file is read, and the few kinds of change that
 * everything done to it is made of.
 *
 * Every change leaves the file good for others at each moment, as a kill may come
 * at any write, and a write(2) may be cut between pages:
 *  - Keys other than those concerned keep a readable record with their last
 *    value; the concerned ones have their old or their new value.
 *  - A record is overwritten in place; its key field never straddles a page.
 *  - Records are added behind the last whole one, over a torn tail.
 *  - Records are cut out by moving up what follows, in file order, ascending,
 *    then truncating. Each record is copied before it is overwritten, order is
 *    kept, and what is there twice at the end is a suffix of the old order: the
 *    last record of each key is the right one throughout.
 *
 * Sequence: kvp_records_lock; changes, stopping at the first that fails;
 * kvp_records_finish with its result, or kvp_records_unlock if nothing was
 * changed. Results are those of result.h. One thread at a time.
 */
#ifndef KVP_RECORDS_H
#define KVP_RECORDS_H

#include "index.h"
#include "lost.h"
#include "pool.h"
#include "record.h"

struct kvp_records {
	struct kvp_pool pool;
	struct kvp_index index;
	size_t torn_bytes;     /* behind the last whole record */
	struct timespec mtime; /* of the file, when the index was right */
	uint64_t generation;   /* counts readings and changes */
	uint64_t clears;      /* of them, those that emptied the file at once */
	struct kvp_lost lost; /* what others have undone */
	int lock_timeout_ms;  /* how long kvp_records_lock waits */
};

/* As kvp_pool_open; reads nothing yet. */
int kvp_records_open(struct kvp_records *records, const char *path,
		     bool read_only);
void kvp_records_close(struct kvp_records *records);

/*
 * Makes the index say what the file says now. Takes the lock, and reads, only if
 * the file has changed. KVP_LOCKED, -EFBIG, -ENOMEM or another -errno: the index
 * says what it said.
 */
int kvp_records_refresh(struct kvp_records *records);

/* The same, and keeps the lock. As kvp_pool_lock. */
int kvp_records_lock(struct kvp_records *records, enum kvp_lock lock);
void kvp_records_unlock(struct kvp_records *records);

/*
 * Ends a change and releases the lock; returns RESULT, that of its last step. If
 * it is not 0 nobody knows what is in the file, and it is read again.
 */
int kvp_records_finish(struct kvp_records *records, int result);

/*
 * Under any lock: visits every record in file order, those with an empty key too;
 * or the bytes of the whole file, in pieces.
 */
int kvp_records_visit(struct kvp_records *records, kvp_visit_record *visit,
		      void *arg);
int kvp_records_copy(struct kvp_records *records, kvp_visit_bytes *visit,
		     void *arg);

/*
 * The rest: under an exclusive lock, with a file there (kvp_pool_exists).
 *
 * kvp_records_add: one record of KEY, as kvp_index_append. kvp_records_append:
 * COUNT records. Both all or nothing; -EFBIG over KVP_POOL_MAX_BYTES.
 */
int kvp_records_add(struct kvp_records *records, struct kvp_bytes key,
		    struct kvp_value *value, uint64_t id);
int kvp_records_append(struct kvp_records *records,
		       const struct kvp_pair *pairs, size_t count);

/*
 * Undoes what was added behind the first COUNT records, in the file; the change
 * then has failed.
 */
void kvp_records_cut_back(struct kvp_records *records, size_t count);

/* ENTRY's last record gets VALUE; undone if it fails, as far as can be. */
int kvp_records_put(struct kvp_records *records, struct kvp_entry *entry,
		    struct kvp_value *value);

/* ENTRY's only record gets KEY, which no entry has; undone if it fails. */
int kvp_records_rekey(struct kvp_records *records, struct kvp_entry *entry,
		      struct kvp_bytes key);

/*
 * Cuts out all records of ALL, and those of REPEATED but for its last; either may
 * be NULL. kvp_records_drop_first: the first COUNT records.
 */
int kvp_records_drop(struct kvp_records *records, struct kvp_entry *all,
		     struct kvp_entry *repeated);
int kvp_records_drop_first(struct kvp_records *records, size_t count);

/* Truncates the file, also if there is none. */
int kvp_records_clear(struct kvp_records *records);

#endif
