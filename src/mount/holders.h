/* SPDX-License-Identifier: MIT */
/*
 * Who holds the lock that a request waits for in vain: anybody who may read the
 * pool may lock it, so the log says whose doing it is.
 */
#ifndef KVPFS_HOLDERS_H
#define KVPFS_HOLDERS_H

#include "store.h"

/* Enough for what kvpfs_holders writes. */
#define KVPFS_HOLDERS_MAX 1024

/*
 * Writes " (pid 123 "name", ...)" to BUF, for those who hold locks on STORE's pool
 * file as the kernel tells; nothing if it names nobody. Returns BUF.
 */
const char *kvpfs_holders(const struct kvp_store *store,
			  char buf[KVPFS_HOLDERS_MAX]);

#endif
