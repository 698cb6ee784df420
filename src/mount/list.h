/* SPDX-License-Identifier: MIT */
/*
 * Listing directories. All of a listing is made when the directory is opened, so that it
 * shows one state, and removing while listing is safe. The latest listing of a pool is
 * kept for the next open. Offsets are numbers of entries. The inodes' LIST functions say
 * what is in a directory.
 */
#ifndef KVPFS_LIST_H
#define KVPFS_LIST_H

#include "call.h"

/* NULL is allowed. */
void kvpfs_listing_unref(struct kvpfs_listing *listing);

/* Adds an entry; -ENOMEM. For the LIST function of an inode. */
int kvpfs_list_name(struct kvpfs_listing *listing, const char *name, ino_t ino,
		    mode_t type);

/* The LIST function of a pool's directory: its keys. */
int kvpfs_list_pool(struct kvpfs *fs, const struct kvpfs_inode *inode,
		    struct kvpfs_listing *listing);

kvpfs_run kvpfs_run_opendir;
kvpfs_run kvpfs_run_readdir;

#endif
