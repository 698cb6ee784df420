/* SPDX-License-Identifier: MIT */
/*
 * Who may do what. With allow_other the kernel lets every user's requests in. It checks
 * none of them unless default_permissions is on, which costs more than the requests
 * themselves. So each request is judged here before it starts (ops.c), by the modes
 * that stat(2) shows, as the kernel judges with other file systems. There are no
 * capabilities: user 0 may do everything, and others what the modes allow.
 *
 * Rights are R_OK, W_OK and X_OK of access(2). Modes are those of now: a chmod of the
 * pool file counts for the next request, whoever has the pool locked.
 *
 * A caller in another PID namespace has no pid here, so its further groups are not
 * known: only its user and its group count.
 */
#ifndef KVPFS_ACCESS_H
#define KVPFS_ACCESS_H

#include "call.h"

/*
 * Whether the caller of REQ has all RIGHTS on INODE: 0, KVP_NO_ACCESS, or what the look
 * at the pool failed with. User 0, and without allow_other every caller, has all rights
 * but X_OK on a file, which depends on the file's mode.
 */
int kvpfs_access_check(struct kvpfs *fs, fuse_req_t req,
		       const struct kvpfs_inode *inode, int rights);

/* The rights that an open with FLAGS needs on the file. */
int kvpfs_access_open_rights(int flags);

/*
 * Whether the caller of CALL, a setattr, may make that change: as
 * kvpfs_access_check, or KVP_NOT_OWNER.
 */
int kvpfs_access_check_setattr(struct kvpfs *fs, const struct kvpfs_call *call);

#endif
