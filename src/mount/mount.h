/* SPDX-License-Identifier: MIT */
/*
 * Builds a file system of pools, and mounts it. loop.h serves it.
 */
#ifndef KVPFS_MOUNT_H
#define KVPFS_MOUNT_H

#include "fs.h"
#include "pools.h"

struct fuse_args;

/*
 * Makes FS show POOLS as OPTIONS say. Both stay the caller's, and must outlive FS.
 * Returns 0 or -ENOMEM; release FS in both cases.
 */
int kvpfs_fs_init(struct kvpfs *fs, const struct kvpfs_options *options,
		  const struct kvpfs_pools *pools);

/* Closes what is open, and frees everything. Stores nothing. */
void kvpfs_fs_release(struct kvpfs *fs);

/*
 * Whether libfuse knows the options in ARGS; if not, logs those that it does not know.
 * libfuse itself tells of them when it mounts. By then a stale pool has been
 * emptied, for nothing.
 */
bool kvpfs_mount_knows_options(const struct fuse_args *args);

/*
 * Makes the session with libfuse's options in ARGS, and mounts. Returns 0, or -1 after
 * the log has said why.
 */
int kvpfs_mount(struct kvpfs *fs, const struct kvpfs_pools *pools,
		struct fuse_args *args);

/*
 * Whether the mount is still there. This makes no request. umount -f ends the session
 * first, and takes the mount away a moment later; this waits for that.
 */
bool kvpfs_is_mounted(struct kvpfs *fs);

/* Unmounts, unless that has been done, and frees the session. */
void kvpfs_unmount(struct kvpfs *fs);

#endif
