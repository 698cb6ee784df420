/* SPDX-License-Identifier: MIT */
/*
 * Names the processes that hold the pool's lock, for messages about a lock that was
 * not to be had: any program that may read the pool may lock it. This module words the
 * message; pool_holders.c searches.
 */
#ifndef KVP_HOLDERS_H
#define KVP_HOLDERS_H

#include "store.h"

/* Enough for what kvp_holders_describe writes. */
#define KVP_HOLDERS_MAX 1024

/*
 * Writes to BUF what follows "locked by another process" in a message: the holders of
 * STORE's lock, as ` (pid 123 "name", ...)`, or " that cannot be named". Returns BUF.
 */
const char *kvp_holders_describe(const struct kvp_store *store,
				 char buf[KVP_HOLDERS_MAX]);

#endif
