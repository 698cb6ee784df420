/* SPDX-License-Identifier: MIT */
/*
 * The store: what may be kept, and the operations on it, after the trait KvpStore
 * of the Rust crate libazureinit-kvp. The functions here validate and then
 * delegate to a backend; the pool file is one (store_pool.h), the tests have
 * another, in memory.
 *
 * Results are those of result.h. A refusal leaves the store as it was, and so does
 * a failed system call, except half-way through removing records (delete, rename,
 * load, repeats): then the keys concerned have their old or their new value each. A backend that finds its lock taken returns
 * KVP_LOCKED, having waited for as long as it was told to. One thread at a time.
 */
#ifndef KVP_STORE_H
#define KVP_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "record.h"
#include "report.h"
#include "result.h"
#include "value.h"

/* Unique keys; the nominal maximum of a pool, and the crate's. */
#define KVP_MAX_KEYS 1024

/* What is accepted for writing; reading and deleting know no limits. */
enum kvp_mode {
	KVP_MODE_RESTRICTED, /* what the host surely gets: 254 and 1022 bytes */
	KVP_MODE_FULL,	     /* what a record holds: 512 and 2048 bytes */
};

struct kvp_store {
	const struct kvp_store_ops *ops;
	enum kvp_mode mode;
};

/* An entry: its key, its last value, and a number that is its alone. */
struct kvp_item {
	struct kvp_bytes key;
	struct kvp_value *value;
	uint64_t id;
};

/* What the last operation found, without another look. */
struct kvp_status {
	uint64_t generation; /* another for other entries or another order */
	uint64_t clears;     /* how often all of them went at once */
	bool exists;	     /* else the store is empty, and all below is 0 */
	size_t records;
	size_t keys;
	size_t empty_keys;
	size_t torn_bytes;   /* behind the last whole record */
	size_t lost_updates; /* see lost.h; also without a file */
	struct stat st;	     /* of the pool file */
};

/*
 * A change of one value. APPLY gets the old value (NULL: the key is absent) and
 * hands over a reference to the new one, or NULL to leave everything as it is;
 * or returns a result, which ends the operation. It runs under the lock, perhaps
 * more than once for one operation, and must not touch the store.
 */
struct kvp_edit {
	int (*apply)(struct kvp_edit *edit, const struct kvp_value *old,
		     struct kvp_value **ret_value);
	uint64_t id; /* to give to the entry if the key is new; 0: any */
	size_t len;  /* out: length of the value that was wanted */
};

enum kvp_rename {
	KVP_RENAME_REPLACE,
	KVP_RENAME_NO_REPLACE, /* KVP_EXISTS if there is a TO */
	KVP_RENAME_EXCHANGE,   /* KVP_ABSENT if there is none */
};

/* As kvp_visit_record. */
typedef int kvp_visit_item(void *arg, const struct kvp_item *item);

/* A backend. Arguments are valid; the caller of a member is store.c. */
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
	/* gets the new value from kvp_store_apply; leaves one record of key */
	int (*write)(struct kvp_store *store, struct kvp_bytes key,
		     struct kvp_edit *edit, struct kvp_value **ret_value);
	int (*delete)(struct kvp_store *store, struct kvp_bytes key);
	int (*clear)(struct kvp_store *store);
	int (*rename)(struct kvp_store *store, struct kvp_bytes from,
		      struct kvp_bytes to, enum kvp_rename how);
	int (*append)(struct kvp_store *store, const struct kvp_pair *records,
		      size_t count);
	int (*load)(struct kvp_store *store, const struct kvp_pair *records,
		    size_t count);
	int (*is_stale)(struct kvp_store *store, bool *ret_stale);
	/* brings what is known up to date; the others do so by themselves */
	int (*refresh)(struct kvp_store *store);
	void (*status)(struct kvp_store *store, struct kvp_status *ret_status);
	uint64_t (*new_id)(struct kvp_store *store);
	/* a descriptor of the file to fdatasync and close, or -1: none */
	int (*sync_descriptor)(struct kvp_store *store);
	/* a descriptor that becomes readable when a look is due, or -1 */
	int (*watch)(struct kvp_store *store, bool on);
	void (*free)(struct kvp_store *store);
};

/* Limits in force, in bytes. */
size_t kvp_store_max_key_size(const struct kvp_store *store);
size_t kvp_store_max_value_size(const struct kvp_store *store);
enum kvp_mode kvp_store_mode(const struct kvp_store *store);

/* The numbers of RESULT, when KEY_LEN and VALUE_LEN bytes were given. */
struct kvp_numbers kvp_store_numbers(const struct kvp_store *store, int result,
				     size_t key_len, size_t value_len);

/*
 * Inserts or replaces; afterwards there is exactly one record of KEY. Any refusal
 * of result.h but KVP_ABSENT and KVP_EXISTS.
 */
int kvp_store_write(struct kvp_store *store, struct kvp_bytes key,
		    struct kvp_bytes value);

/*
 * The same in one step with reading the old value. *RET_VALUE gets a reference
 * to what is stored now, or NULL if EDIT wanted no change.
 */
int kvp_store_edit(struct kvp_store *store, struct kvp_bytes key,
		   struct kvp_edit *edit, struct kvp_value **ret_value);

/* Whether KEY, or a VALUE, may be written: 0 or the refusal. */
int kvp_store_check_key(const struct kvp_store *store, struct kvp_bytes key);
int kvp_store_check_value(const struct kvp_store *store,
			  struct kvp_bytes value);

/* The same for a key that was just found to be absent, and whether there is room. */
int kvp_store_check_new(struct kvp_store *store, struct kvp_bytes key);

/* The entry of KEY; the caller owns the reference in ret_item->value; or KVP_ABSENT. */
int kvp_store_read(struct kvp_store *store, struct kvp_bytes key,
		   struct kvp_item *ret_item);

/* Each key once with its last value, in the order of first records. */
int kvp_store_entries(struct kvp_store *store, kvp_visit_item *visit,
		      void *arg);

/*
 * Every record that has a key, in file order, as one reading under the lock. The
 * visitor must not touch the store.
 */
int kvp_store_entries_raw(struct kvp_store *store, kvp_visit_record *visit,
			  void *arg);

/* What the raw records look like to an administrator; one locked reading. */
int kvp_store_report(struct kvp_store *store, struct kvp_report *ret_report);

/* The file's bytes, as they are, in pieces of one locked reading. */
int kvp_store_copy(struct kvp_store *store, kvp_visit_bytes *visit, void *arg);

/* Removes all records of KEY; KVP_ABSENT: there was none. */
int kvp_store_delete(struct kvp_store *store, struct kvp_bytes key);

/* Truncates the store. */
int kvp_store_clear(struct kvp_store *store);

/*
 * FROM becomes TO in one locked step, and keeps its id. KVP_ABSENT, KVP_EXISTS;
 * TO is validated as a key to write, values stay as they are.
 */
int kvp_store_rename(struct kvp_store *store, struct kvp_bytes from,
		     struct kvp_bytes to, enum kvp_rename how);

/* Adds records without looking for others of the same keys; all or none. */
int kvp_store_append(struct kvp_store *store, const struct kvp_pair *records,
		     size_t count);

/* Replaces the whole store; the cap holds for the new content. */
int kvp_store_load(struct kvp_store *store, const struct kvp_pair *records,
		   size_t count);

/* Whether the last change was not after boot; a missing file is not stale. */
int kvp_store_is_stale(struct kvp_store *store, bool *ret_stale);

/* Makes kvp_store_status tell of now, and says whether the store can be read. */
int kvp_store_refresh(struct kvp_store *store);
void kvp_store_status(struct kvp_store *store, struct kvp_status *ret_status);

/* A number that no entry has, for kvp_edit.id. */
uint64_t kvp_store_new_id(struct kvp_store *store);

/*
 * Everything that returned success is in the file; to make it outlast a power cut
 * fdatasync(2) and close the descriptor that this returns. -1: there is no file
 * (or no descriptor to be had: errno tells, 0 for no file).
 */
int kvp_store_sync_descriptor(struct kvp_store *store);

/*
 * With ON, returns a descriptor that polls as readable when somebody may have
 * changed the store, until kvp_store_refresh has looked; -1: that can't be had.
 * It is the store's. Without ON, ends the extra watching that this takes.
 */
int kvp_store_watch(struct kvp_store *store, bool on);

/* NULL is allowed. */
void kvp_store_free(struct kvp_store *store);

/*
 * For backends: runs EDIT on OLD and validates what comes of it. As edit->apply.
 */
int kvp_store_apply(struct kvp_store *store, struct kvp_edit *edit,
		    const struct kvp_value *old, struct kvp_value **ret_value);

#endif
