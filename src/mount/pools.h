/* SPDX-License-Identifier: MIT */
/*
 * Which pools are meant: POOL on the command line is a number (0 to 4), a name
 * ("external", "guest", "auto", "auto-external", "auto-internal"), a file, or a
 * directory, whose pools are all meant.
 */
#ifndef KVPFS_POOLS_H
#define KVPFS_POOLS_H

#include "options.h"

#define KVPFS_POOL_COUNT 5

struct kvpfs_pools {
	bool directory;	  /* else there is one pool */
	const char *path; /* of that, as it was given */
	size_t count;
	const char *names[KVPFS_POOL_COUNT];
	struct kvp_store *stores[KVPFS_POOL_COUNT];
};

/*
 * Opens the pools that OPTIONS are about. Returns 0, or another number after
 * having logged which one cannot be used, and why.
 */
int kvpfs_pools_open(struct kvpfs_pools *pools,
		     const struct kvpfs_options *options);
void kvpfs_pools_close(struct kvpfs_pools *pools);

/* The file or the directory that is meant, for mount tables and messages. */
const char *kvpfs_pools_source(const struct kvpfs_pools *pools);

/* Whether any of them can be written. */
bool kvpfs_pools_are_writable(const struct kvpfs_pools *pools);

#endif
