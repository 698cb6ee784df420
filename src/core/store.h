/* SPDX-License-Identifier: MIT */
/*
 * The store: what may be kept, and the operations on it, after the trait KvpStore
 * of the Rust crate libazureinit-kvp. The functions here validate and then
 * delegate to a backend. The pool file is one (store_pool.h); the tests have
 * another, in memory. This module knows no files.
 *
 * Results are those of result.h. A refusal leaves the store as it was, and so does
 * a failed system call. An operation that removes records (delete, rename, load,
 * restore, clear_seen, a write that removes repeats) may fail half-way. Then each key
 * concerned has its old or its new value.
 *
 * Nothing here waits. An operation that finds the pool's lock taken has changed
 * nothing and returns KVP_LOCKED: run it again, KVP_LOCK_PAUSE_MS later. Callers
 * that wait ask kvp_store_try_lock first, which costs less than the operation.
 * One thread at a time.
 */
#ifndef KVP_STORE_H
#define KVP_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "batch.h"
#include "index.h"
#include "record.h"
#include "report.h"
#include "result.h"
#include "rules.h"
#include "value.h"

/* The pause between two tries to get a lock, in milliseconds. */
#define KVP_LOCK_PAUSE_MS 1

struct kvp_store {
	const struct kvp_store_ops *ops;
	enum kvp_mode mode;
	struct kvp_fault fault; /* of the last refusal; see kvp_store_message */
};

/* An entry: its key, its last value, and a number that no other entry has. */
struct kvp_item {
	struct kvp_bytes key;
	struct kvp_value *value;
	uint64_t id;
};

/* What the last operation found. To ask for it makes no new look at the file. */
struct kvp_status {
	uint64_t generation; /* changes with the entries or their order */
	uint64_t state;	     /* changes with the file's content */
	uint64_t order;	     /* changes with keys, their order or their ids */
	uint64_t foreign;    /* changes by others; ours: many keys, failed */
	uint64_t clears;     /* counts removals of all keys at once */

	struct timespec names_mtime; /* when keys last came or went; 0: never */
	bool exists; /* false: there is no file, and all below is 0 */
	size_t records;
	size_t keys;
	size_t empty_keys;
	size_t torn_bytes; /* behind the last whole record */
	struct stat st;	   /* of the pool file */
};

/*
 * A change of one value. APPLY gets the old value (NULL: the key is absent). It hands
 * over a reference to the new value, or NULL to leave everything as it is. Or it
 * returns a result that is not 0, which ends the operation. It runs under the lock,
 * perhaps more than once for one operation, and must not touch the store.
 */
struct kvp_edit {
	int (*apply)(struct kvp_edit *edit, const struct kvp_value *old,
		     struct kvp_value **ret_value);
	uint64_t id; /* for the entry, if the key is new; 0: any */
};

enum kvp_rename {
	KVP_RENAME_REPLACE,
	KVP_RENAME_NO_REPLACE, /* KVP_EXISTS if TO exists */
	KVP_RENAME_EXCHANGE,   /* KVP_ABSENT if TO does not exist */
};

/* As kvp_visit_record. */
typedef int kvp_visit_item(void *arg, const struct kvp_item *item);

/* A backend. store.c alone calls its members, with valid arguments. */
struct kvp_store_ops {
	/* KVP_ABSENT, or *ret_item with a reference to its value */
	int (*read)(struct kvp_store *store, struct kvp_bytes key,
		    struct kvp_item *ret_item);
	int (*entries)(struct kvp_store *store, kvp_visit_item *visit,
		       void *arg);
	/* every record, those with an empty key too */
	int (*entries_raw)(struct kvp_store *store, kvp_visit_record *visit,
			   void *arg);
	int (*copy)(struct kvp_store *store, kvp_visit_bytes *visit, void *arg);
	/* takes the new value from kvp_store_apply; leaves one record of key */
	int (*write)(struct kvp_store *store, struct kvp_bytes key,
		     struct kvp_edit *edit, struct kvp_value **ret_value);
	/* 0 also if none of KEYS, which may be repeated, is there */
	int (*delete)(struct kvp_store *store, const struct kvp_bytes *keys,
		      size_t count, bool *ret_found);
	int (*clear)(struct kvp_store *store);
	int (*snapshot)(struct kvp_store *store, struct kvp_index *ret_index);
	int (*clear_seen)(struct kvp_store *store,
			  const struct kvp_index *seen);
	/* whole records */
	int (*restore)(struct kvp_store *store, struct kvp_bytes bytes);
	int (*rename)(struct kvp_store *store, struct kvp_bytes from,
		      struct kvp_bytes to, enum kvp_rename how);
	int (*append)(struct kvp_store *store, const struct kvp_batch *batch);
	int (*load)(struct kvp_store *store, const struct kvp_batch *batch);
	void (*report)(struct kvp_store *store, struct kvp_report *ret_report);
	int (*is_stale)(struct kvp_store *store, bool *ret_stale);
	int (*clear_stale)(struct kvp_store *store, bool *ret_cleared);
	/* brings what is known up to date; the others do so by themselves */
	int (*refresh)(struct kvp_store *store);
	int (*look)(struct kvp_store *store);
	void (*end_look)(struct kvp_store *store);
	void (*rest)(struct kvp_store *store); /* or NULL */
	void (*status)(struct kvp_store *store, struct kvp_status *ret_status);
	uint64_t (*new_id)(struct kvp_store *store);
	/* a descriptor of the file to fdatasync and close, or -1: none */
	int (*sync_descriptor)(struct kvp_store *store);
	/* a descriptor that becomes readable when a look is due, or -1 */
	int (*watch)(struct kvp_store *store, bool on);
	/* where the pool is, for messages */
	const char *(*path)(const struct kvp_store *store);
	bool (*is_writable)(const struct kvp_store *store);
	/* the file system on DEV must not be asked for anything */
	void (*keep_out)(struct kvp_store *store, dev_t dev);
	bool (*leads_through)(const struct kvp_store *store,
			      const struct stat *directory);
	size_t (*holders)(const struct kvp_store *store, pid_t pids[],
			  size_t max);
	/* which lock the last KVP_LOCKED was about */
	bool (*wants_exclusive)(const struct kvp_store *store);
	/* whether a lock can be had now */
	int (*try_lock)(struct kvp_store *store, bool exclusive);
	void (*free)(struct kvp_store *store);
	void (*abandon)(struct kvp_store *store);
};

/* The limits in force. */
size_t kvp_store_max_key_size(const struct kvp_store *store);
size_t kvp_store_max_value_size(const struct kvp_store *store);
enum kvp_mode kvp_store_mode(const struct kvp_store *store);

/* The message (as kvp_result_message) of RESULT, with which an operation just failed. */
const char *kvp_store_message(const struct kvp_store *store, int result,
			      char *buf, size_t size);

/*
 * Inserts or replaces; afterwards there is exactly one record of KEY. Refusals: those
 * of rules.h, KVP_MAX_UNIQUE_KEYS, KVP_READ_ONLY, and those that every operation may
 * return: KVP_LOCKED, KVP_OWN_MOUNT, KVP_UNTRUSTED_LINK.
 */
int kvp_store_write(struct kvp_store *store, struct kvp_bytes key,
		    struct kvp_bytes value);

/*
 * The same, with a value that EDIT makes of the old one in one locked step. *RET_VALUE
 * gets a reference to what is stored now, or NULL if EDIT wanted no change.
 */
int kvp_store_edit(struct kvp_store *store, struct kvp_bytes key,
		   struct kvp_edit *edit, struct kvp_value **ret_value);

/* Whether KEY may be written: 0 or the refusal. */
int kvp_store_check_key(struct kvp_store *store, struct kvp_bytes key);

/* The same for a key that was just found absent; KVP_MAX_UNIQUE_KEYS: no room. */
int kvp_store_check_new(struct kvp_store *store, struct kvp_bytes key);

/* The entry of KEY, or KVP_ABSENT. The caller owns the reference in ret_item->value. */
int kvp_store_read(struct kvp_store *store, struct kvp_bytes key,
		   struct kvp_item *ret_item);

/*
 * Each key once with its last value, in the order of first records. What VISIT gets is
 * good until STORE is used again.
 */
int kvp_store_entries(struct kvp_store *store, kvp_visit_item *visit,
		      void *arg);

/*
 * Every record that has a key, in file order, as one reading under the lock. The
 * visitor must not touch the store.
 */
int kvp_store_entries_raw(struct kvp_store *store, kvp_visit_record *visit,
			  void *arg);

/*
 * What the raw records look like to an administrator and to the host, as of the last
 * operation. It needs no lock. The key in it is good until the next operation.
 */
void kvp_store_report(struct kvp_store *store, struct kvp_report *ret_report);

/*
 * The bytes of all records, as they are, in pieces of one locked reading. A cut tail is
 * left out, so that what was read can be restored.
 */
int kvp_store_copy(struct kvp_store *store, kvp_visit_bytes *visit, void *arg);

/* Removes all records of KEY. KVP_EMPTY_KEY; KVP_ABSENT: there was none. */
int kvp_store_delete(struct kvp_store *store, struct kvp_bytes key);

/*
 * Removes all records of the COUNT KEYS in one locked step. RET_FOUND says of each key
 * whether there was any; it is rubbish unless 0 is returned. A key may stand among KEYS
 * more than once. KVP_EMPTY_KEY.
 */
int kvp_store_delete_many(struct kvp_store *store, const struct kvp_bytes *keys,
			  size_t count, bool *ret_found);

/* Truncates the store. */
int kvp_store_clear(struct kvp_store *store);

/*
 * A copy of what is there now, which shares the values. The caller gives it to
 * kvp_index_release.
 */
int kvp_store_snapshot(struct kvp_store *store, struct kvp_index *ret_index);

/*
 * Removes, in one locked step, what was there when SEEN was taken and still is; what
 * anybody has stored since stays. For each key of SEEN:
 *  - If its value was not written since, the records that it had then go. Those that
 *    were added behind them stay, also with an equal value.
 *  - If its value was written since, all records stay.
 * As many records with an empty key go as there were then. If nothing is left the store
 * is truncated.
 */
int kvp_store_clear_seen(struct kvp_store *store, const struct kvp_index *seen);

/*
 * BYTES, as kvp_store_copy gives them, become the whole store in one locked step. They
 * must be whole records, else -EINVAL; nothing else is checked. Old and new records are
 * both in the file for a moment: -EFBIG, if that is too large for a pool.
 */
int kvp_store_restore(struct kvp_store *store, struct kvp_bytes bytes);

/*
 * FROM becomes TO in one locked step, and keeps its id. KVP_ABSENT: there is no FROM;
 * see also enum kvp_rename. TO is validated as a key to write, values are not.
 */
int kvp_store_rename(struct kvp_store *store, struct kvp_bytes from,
		     struct kvp_bytes to, enum kvp_rename how);

/* Makes BATCH an empty one for STORE. kvp_store_message tells of what it refuses. */
void kvp_store_batch_init(struct kvp_store *store, struct kvp_batch *batch);

/* Adds the records of BATCH, all or none, without a look for others of their keys. */
int kvp_store_append(struct kvp_store *store, const struct kvp_batch *batch);

/* The records of BATCH replace the whole store. KVP_MAX_UNIQUE_KEYS. */
int kvp_store_load(struct kvp_store *store, struct kvp_batch *batch);

/*
 * Whether the last change was not after the start of the machine. A missing file is not
 * stale. If the store is locked, this tells of the last look. KVP_NO_BOOT_TIME: there is
 * no /proc/stat.
 */
int kvp_store_is_stale(struct kvp_store *store, bool *ret_stale);

/*
 * Truncates the store if it is stale under the lock: another program may have just
 * changed it. A missing file is not made.
 */
int kvp_store_clear_stale(struct kvp_store *store, bool *ret_cleared);

/* Brings kvp_store_status up to date. Anything but 0: the store cannot be read now. */
int kvp_store_refresh(struct kvp_store *store);

/*
 * Brings up to date whether there is a pool file, and its owner, group and mode; the
 * rest of the status stays as it was. It reads no content and takes no lock, so it never
 * returns KVP_LOCKED. Anything but 0: what is there cannot be used.
 *
 * The next operation does not look again, as both serve one request. So call
 * kvp_store_end_look when the request has been served: the next request must see what
 * was changed in between.
 */
int kvp_store_look(struct kvp_store *store);
void kvp_store_end_look(struct kvp_store *store);

/*
 * To be called before a sleep: gives back the memory that was needed to find out what has
 * changed. That takes as long as a request, so it is not done while somebody waits.
 */
void kvp_store_rest(struct kvp_store *store);
void kvp_store_status(struct kvp_store *store, struct kvp_status *ret_status);

/* A number that no entry has, for kvp_edit.id. */
uint64_t kvp_store_new_id(struct kvp_store *store);

/*
 * Everything that returned success is in the file. To make it outlast a power cut,
 * fdatasync(2) and close the descriptor that this returns. -1: there is no file (errno
 * is 0), or no descriptor is to be had.
 */
int kvp_store_sync_descriptor(struct kvp_store *store);

/*
 * With ON, returns a descriptor that polls as readable when somebody may have changed
 * the store, until kvp_store_refresh has looked; -1: that cannot be had. It stays the
 * store's. A file that appears needs a watch of its own: ask again after each
 * kvp_store_refresh, which costs nothing. Without ON, ends what it watches in addition.
 */
int kvp_store_watch(struct kvp_store *store, bool on);

/*
 * After an operation that returned KVP_LOCKED: whether it needs the exclusive lock,
 * which any other lock prevents; else it needs a shared one.
 */
bool kvp_store_wants_exclusive(const struct kvp_store *store);

/*
 * Takes a lock and gives it back, without a look at the content. Returns 0 if it could
 * be had, KVP_LOCKED, or what else an operation would fail with.
 */
int kvp_store_try_lock(struct kvp_store *store, bool exclusive);

/* Absolute path of the pool file, which need not exist. */
const char *kvp_store_path(const struct kvp_store *store);

/* Whether the pool can be written, or made if there is none; as kvp_pool_is_writable. */
bool kvp_store_is_writable(const struct kvp_store *store);

/*
 * The caller itself serves the file system on DEV, and would wait for itself if the
 * store used it. From now on an operation fails with KVP_OWN_MOUNT while the pool's path
 * leads there.
 */
void kvp_store_keep_out(struct kvp_store *store, dev_t dev);

/*
 * Whether the pool's path leads through the directory of which DIRECTORY is the stat:
 * what is mounted there hides the pool.
 */
bool kvp_store_leads_through(const struct kvp_store *store,
			     const struct stat *directory);

/* The processes that hold locks on the pool; as kvp_pool_holders. */
size_t kvp_store_holders(const struct kvp_store *store, pid_t pids[],
			 size_t max);

/* NULL is allowed. */
void kvp_store_free(struct kvp_store *store);

/*
 * In a forked child, which has STORE from its parent and does not use it: frees what was
 * read, and touches no descriptor, as locks and watches on these are the parent's, too.
 */
void kvp_store_abandon(struct kvp_store *store);

/*
 * For modules that check by themselves what they store: kvp_store_message tells of
 * FAULT, the refusal of which this returns.
 */
int kvp_store_refuse(struct kvp_store *store, struct kvp_fault fault);

/* For backends: runs EDIT on OLD and validates the new value. As edit->apply. */
int kvp_store_apply(struct kvp_store *store, struct kvp_edit *edit,
		    const struct kvp_value *old, struct kvp_value **ret_value);

#endif
