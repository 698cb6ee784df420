/* SPDX-License-Identifier: MIT */
/*
 * The directory of a pool: looking names up, making, removing and renaming them. list.h
 * lists them.
 */
#ifndef KVPFS_KEY_DIR_H
#define KVPFS_KEY_DIR_H

#include "call.h"

extern const struct kvpfs_inode_ops kvpfs_pool_ops;

#endif
