/* SPDX-License-Identifier: MIT */
/*
 * fsync: waiting for the disk. A disk may take its time, so each fsync waits in a thread
 * of its own. The thread touches nothing but a descriptor and its request. These are the
 * only threads beside the session's. key_file.h stores pending files first.
 */
#ifndef KVPFS_SYNC_H
#define KVPFS_SYNC_H

#include "call.h"

/* -ENOMEM. */
int kvpfs_syncs_init(struct kvpfs *fs);

/* Waits until no fsync is under way. Allowed also if it was never set up. */
void kvpfs_syncs_release(struct kvpfs *fs);

/* The RUN function of fsync: what is in the pool file goes to the disk. */
kvpfs_run kvpfs_run_fsync;

#endif
