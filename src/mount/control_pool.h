/* SPDX-License-Identifier: MIT */
/*
 * ".kvpfs/pool": the pool file's bytes, for backups. Whole records that are written to
 * it replace the pool byte for byte. Their content is not checked.
 */
#ifndef KVPFS_CONTROL_POOL_H
#define KVPFS_CONTROL_POOL_H

#include "control_replace.h"

extern const struct kvpfs_replace_kind kvpfs_control_pool;

#endif
