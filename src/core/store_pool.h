/* SPDX-License-Identifier: MIT */
/*
 * The store's backend on a pool file (after the crate's KvpPoolStore): pool.h for
 * the bytes, index.h for what they say. A file is read once: as long as it does not
 * change, reading costs no lock and no look at its content.
 */
#ifndef KVP_STORE_POOL_H
#define KVP_STORE_POOL_H

#include "store.h"

/* The pool whose records the host reads. */
#define KVP_DEFAULT_POOL "/var/lib/hyperv/.kvp_pool_1"

struct kvp_pool_config {
	const char *path; /* NULL: KVP_DEFAULT_POOL */
	enum kvp_mode mode;
	bool read_only;
	bool unwatched; /* for one operation; see KVP_POOL_UNWATCHED */
};

/*
 * Opens the pool; the caller gives *RET_STORE to kvp_store_free. Returns as
 * kvp_pool_open does, or -ENOMEM. It takes no lock and reads nothing. To know early
 * whether the pool can be read, call kvp_store_refresh.
 */
int kvp_store_pool_open(const struct kvp_pool_config *config,
			struct kvp_store **ret_store);

#endif
