/* SPDX-License-Identifier: MIT */
/*
 * The directory above the pools, if a mount shows several: MOUNT/guest/KEY. It
 * holds their names and nothing else.
 */
#ifndef KVPFS_TOP_H
#define KVPFS_TOP_H

#include "call.h"

extern const struct kvpfs_inode_ops kvpfs_top_ops;

#endif
