/* SPDX-License-Identifier: MIT */
/*
 * The store's backend on a pool file (after the crate's KvpPoolStore): pool.h for
 * the bytes, index.h for what they say. What is read is read once: as long as the
 * file does not change, reading costs no lock and no look at its content.
 */
#ifndef KVP_STORE_POOL_H
#define KVP_STORE_POOL_H

#include "lost.h"
#include "store.h"

/* The pool whose records the host reads. */
#define KVP_DEFAULT_POOL "/var/lib/hyperv/.kvp_pool_1"

struct kvp_pool_config {
	const char *path; /* NULL: KVP_DEFAULT_POOL */
	enum kvp_mode mode;
	bool truncate_on_stale; /* empty a pool not changed since boot */
	bool read_only;
	int lock_timeout_ms;   /* how long opening waits for a lock */
	kvp_lost_report *lost; /* told of lost updates, see lost.h; or NULL */
	void *lost_arg;
};

/*
 * Opens the pool, reads it, and empties it if it is stale and that was asked for.
 * Returns as kvp_pool_open and kvp_store_clear do. *RET_STORE is the caller's.
 */
int kvp_store_pool_open(const struct kvp_pool_config *config,
			struct kvp_store **ret_store);

/* What follows is for stores that kvp_store_pool_open made. */

/* Absolute path of the pool file. */
const char *kvp_store_pool_path(const struct kvp_store *store);

/* Whether the file may be written (or made, if there is none). */
bool kvp_store_pool_is_writable(const struct kvp_store *store);

/* See kvp_pool_pin_directory. */
void kvp_store_pool_pin_directory(struct kvp_store *store);

/* See kvp_pool_holders. */
size_t kvp_store_pool_holders(const struct kvp_store *store, pid_t pids[],
			      size_t max);

/* How long each operation waits for a lock; 0: not at all. */
void kvp_store_pool_set_lock_timeout(struct kvp_store *store, int ms);

#endif
