/* SPDX-License-Identifier: MIT */
/*
 * ".kvpfs" in the directory of a pool (fuse_control.c), and in it the status
 * (fuse_status.c) and the stream of events (fuse_events.c).
 */
#ifndef KVPFS_FUSE_CONTROL_H
#define KVPFS_FUSE_CONTROL_H

#include "kvpfs.h"
#include "text.h"

extern const struct kvpfs_inode_ops kvpfs_control_dir_ops;
extern const struct kvpfs_inode_ops kvpfs_control_ops;

kvpfs_run kvpfs_run_getattr_control;
kvpfs_run kvpfs_run_lookup_events;

/* Adds lines NAME=VALUE to TEXT. KVP_LOCKED, or another result. */
int kvpfs_show_status(struct kvpfs_dir *dir, struct kvp_text *text);

#endif
