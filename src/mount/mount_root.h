/* SPDX-License-Identifier: MIT */
/*
 * The root of the mount, for a process that uses the mount by path. The mount is known by
 * its device, and found again when it was moved or covered. File systems that are mounted
 * over it, or over a file in it, are never touched. This module knows no pools and makes
 * no changes.
 *
 * If the process may, it uses a mount of its own of the same file system: files that are
 * open there do not keep umount(8) from the other mount. One thread.
 */
#ifndef KVPFS_MOUNT_ROOT_H
#define KVPFS_MOUNT_ROOT_H

#include <stdbool.h>
#include <sys/types.h>

struct kvpfs_mount_root {
	dev_t device;
	char *path; /* where the mount was found last */
	int table;  /* of mounts; polls with POLLPRI when it changes; or -1 */
	int fd;	    /* O_PATH; -1: not open */
	bool is_apart; /* fd is in a mount that only this process has */
};

/*
 * For the mount of DEVICE, which should be at MOUNTPOINT. Returns 0 or -ENOMEM. It is for
 * as long as the process lives.
 */
int kvpfs_mount_root_init(struct kvpfs_mount_root *root, const char *mountpoint,
			  dev_t device);

/*
 * Opens the root, or keeps it open. If mounts have changed it is opened anew: our own
 * mount would keep the file system alive when the other is gone. False: errno says why.
 */
bool kvpfs_mount_root_open(struct kvpfs_mount_root *root);
void kvpfs_mount_root_close(struct kvpfs_mount_root *root);

/* Opens a directory in AT, and closes AT. -1: it is not in the mount. */
int kvpfs_mount_root_enter(const struct kvpfs_mount_root *root, int at,
			   const char *name);

/* Opens NAME for writing; -1: it is not in the mount, and was not touched. */
int kvpfs_mount_root_open_file(const struct kvpfs_mount_root *root,
			       int directory, const char *name);

/* Whether a call that failed with ERRNUM may succeed later. */
bool kvpfs_mount_root_is_for_now(int errnum);

#endif
