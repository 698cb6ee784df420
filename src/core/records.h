/* SPDX-License-Identifier: MIT */
/*
 * The records of a pool file: the file (pool.h) and what it says (index.h), kept
 * in step. This module has the few kinds of change that all operations of the store
 * are made of. It does not judge what may be stored.
 *
 * A kill may come at any write, and a write(2) may be cut between pages. So every
 * change leaves the file good for others at each moment:
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

#include "batch.h"
#include "index.h"
#include "pool.h"
#include "record.h"

struct kvp_records {
	struct kvp_pool pool;
	struct kvp_index index;
	size_t torn_bytes;	     /* behind the last whole record */
	struct timespec mtime;	     /* of the file, when the index was right */
	struct timespec names_mtime; /* when the set of keys last changed */
	uint64_t names;		     /* index.names at that time */
	uint64_t generation;	     /* counts changes of the entries */
	uint64_t state;	  /* counts readings and changes of the file */
	uint64_t foreign; /* changes by others; ours: of many keys, or failed */
	uint64_t clears;  /* counts changes that removed all keys at once */
	bool wants_exclusive; /* which lock the last KVP_LOCKED was about */
	bool looked;	      /* kvp_records_look has just found no change */
};

/* As kvp_pool_open; reads nothing yet. */
int kvp_records_open(struct kvp_records *records, const char *path,
		     unsigned int flags);
void kvp_records_close(struct kvp_records *records);

/*
 * Makes the index say what the file says now. Takes the lock and reads only if the file
 * has changed. Results as kvp_pool_changed and kvp_pool_lock, and -ENOMEM; after a
 * failure the index may say a part of it.
 */
int kvp_records_refresh(struct kvp_records *records);

/* Looks and does not read; see kvp_store_look. Results as kvp_pool_changed. */
int kvp_records_look(struct kvp_records *records);

/* Takes LOCK, brings the index up to date, and keeps the lock after 0. */
int kvp_records_lock(struct kvp_records *records, enum kvp_lock lock);

/* Whether that lock can be had: takes it, reads nothing, and gives it back. */
int kvp_records_try_lock(struct kvp_records *records, enum kvp_lock lock);
void kvp_records_unlock(struct kvp_records *records);

/*
 * Ends a change and releases the lock. Returns RESULT, that of its last step. If that is
 * not 0, nobody knows what is in the file; the next operation reads it again.
 */
int kvp_records_finish(struct kvp_records *records, int result);

/*
 * Under any lock: visits every record in file order, those with an empty key too;
 * or the bytes of all records, in pieces.
 */
int kvp_records_visit(struct kvp_records *records, kvp_visit_record *visit,
		      void *arg);
int kvp_records_copy(struct kvp_records *records, kvp_visit_bytes *visit,
		     void *arg);

/*
 * The rest: under an exclusive lock, with a file there (kvp_pool_exists).
 *
 * kvp_records_add: one record of KEY, as kvp_index_append. kvp_records_append:
 * those of BATCH. kvp_records_append_bytes: whole records, byte for byte. All of
 * them all or nothing; -EFBIG over KVP_POOL_MAX_BYTES. If REPLACES, and with bytes, all
 * that was there is to be dropped next: values that do not change are shared with it.
 */
int kvp_records_add(struct kvp_records *records, struct kvp_bytes key,
		    struct kvp_value *value, uint64_t id);
int kvp_records_append(struct kvp_records *records,
		       const struct kvp_batch *batch, bool replaces);
int kvp_records_append_bytes(struct kvp_records *records,
			     struct kvp_bytes bytes);

/*
 * Takes out of the file, not out of the index, what was added behind the first COUNT
 * records. The change has failed then.
 */
void kvp_records_cut_back(struct kvp_records *records, size_t count);

/* ENTRY's last record gets VALUE. A failure is undone, as far as can be. */
int kvp_records_put(struct kvp_records *records, struct kvp_entry *entry,
		    struct kvp_value *value);

/* ENTRY's only record gets KEY, which no entry has. A failure is undone likewise. */
int kvp_records_rekey(struct kvp_records *records, struct kvp_entry *entry,
		      struct kvp_bytes key);

/* Cuts out the records at the COUNT ascending SLOTS. */
int kvp_records_drop_slots(struct kvp_records *records, const size_t *slots,
			   size_t count);

/*
 * Cuts out all records of ALL, and those of REPEATED but for its last; either may
 * be NULL. kvp_records_drop_all: all records of the entries whose first records are
 * at the COUNT slots FIRSTS, which may be repeated, and are rubbish afterwards.
 * kvp_records_drop_first: the first COUNT records.
 */
int kvp_records_drop(struct kvp_records *records, struct kvp_entry *all,
		     struct kvp_entry *repeated);
int kvp_records_drop_all(struct kvp_records *records, size_t *firsts,
			 size_t count);
int kvp_records_drop_first(struct kvp_records *records, size_t count);

/* Truncates the file, also if there is none. */
int kvp_records_clear(struct kvp_records *records);

/*
 * Cuts out what was there when SEEN was copied from the index, and still is; see
 * kvp_store_clear_seen. There need not be a file. *RET_CHANGED: call kvp_records_finish
 * then, else kvp_records_unlock.
 */
int kvp_records_clear_seen(struct kvp_records *records,
			   const struct kvp_index *seen, bool *ret_changed);

#endif
