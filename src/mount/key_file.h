/* SPDX-License-Identifier: MIT */
/*
 * Open files of keys. The kernel cuts what it reads from its page cache at the inode's
 * size, and fstat asks for that size without naming a handle. So a reader shows its
 * node's version, which must not change. versions.h decides about versions; this module
 * carries that out.
 */
#ifndef KVPFS_KEY_FILE_H
#define KVPFS_KEY_FILE_H

#include "call.h"

/* The operations of a key's file. */
extern const struct kvpfs_inode_ops kvpfs_key_ops;

/*
 * Opens NODE for CALL, whose fi then has the handle. -ESTALE: the kernel must look up
 * again. Other results as kvp_store_read, and for writing as kvp_store_check_key and
 * KVP_READ_ONLY.
 */
int kvpfs_key_open(struct kvpfs *fs, struct kvpfs_call *call,
		   struct kvpfs_node *node);

/* The same for a file that is being created: nothing is stored yet. */
int kvpfs_key_open_new(struct kvpfs *fs, struct kvpfs_call *call,
		       struct kvpfs_node *node);

#endif
