/* SPDX-License-Identifier: MIT */
/*
 * Opens the pools that POOL on the command line means: one, as in pool_names.h, or all
 * pools in a directory. They are read once, but not served here.
 */
#ifndef KVPFS_POOLS_H
#define KVPFS_POOLS_H

#include "options.h"
#include "pool_names.h"

struct kvpfs_pools {
	bool directory;	    /* POOL is a directory; else there is one pool */
	const char *source; /* POOL as it was given */
	size_t count;
	const char *names[KVP_POOL_COUNT];
	struct kvp_store *stores[KVP_POOL_COUNT];
};

/*
 * Opens the pools of OPTIONS, and waits up to lock_timeout for each one's lock. Returns
 * 0, or another number after the log has said which pool cannot be used, and why.
 */
int kvpfs_pools_open(struct kvpfs_pools *pools,
		     const struct kvpfs_options *options);
void kvpfs_pools_close(struct kvpfs_pools *pools);

/* Whether any of them can be written. */
bool kvpfs_pools_are_writable(const struct kvpfs_pools *pools);

#endif
