/* SPDX-License-Identifier: MIT */
/*
 * The other backend of the store: an array of records in memory and linear
 * search, the plainest reading of the store's contract. What is built on the
 * store is tested against it, and the pool's backend is compared with it, record
 * by record. It shares nothing with index.h, and it can be told to fail.
 *
 * Two things are stricter than elsewhere: an edit is applied twice for each write,
 * as the contract permits; and running out of memory aborts, but for a snapshot.
 */
#ifndef STORE_MEMORY_H
#define STORE_MEMORY_H

#include "store.h"

/* An empty store, as of a missing file; to be freed with kvp_store_free. */
struct kvp_store *store_memory_new(enum kvp_mode mode);

/*
 * The CALLth call of a backend operation from now on (1: the next one, 0: none)
 * returns RESULT and has no effect. A refusal such as KVP_LOCKED comes before
 * anything else; a negative errno comes from a write after its edit was applied.
 * kvp_store_status and kvp_store_new_id cannot fail and do not count.
 */
void store_memory_fail(struct kvp_store *store, unsigned int call, int result);

/* How many of these calls there were. */
unsigned int store_memory_calls(const struct kvp_store *store);

/* Adds a record as another program might: nothing is checked, no call counted. */
void store_memory_add(struct kvp_store *store, struct kvp_bytes key,
		      struct kvp_bytes value);

#endif
