/* SPDX-License-Identifier: MIT */
/*
 * The requests of flock(2) and fcntl(2) about locks on files of the mount. A call that
 * must wait is parked (call.h) until any lock is given back. key_lock.h has the locks.
 *
 * Locks end when their owner unlocks or closes. The kernel tells of a close in two ways:
 * a process's record locks end with its FLUSH, all others with the RELEASE of the
 * handle. Deadlocks (EDEADLK) are not looked for: they last until a signal comes.
 */
#ifndef KVPFS_LOCK_H
#define KVPFS_LOCK_H

#include "call.h"

/* The RUN function of all requests about locks. */
kvpfs_run kvpfs_run_lock;

/* A descriptor was closed (FLUSH), and the last one of an open file (RELEASE). */
void kvpfs_lock_flushed(struct kvpfs *fs, const struct kvpfs_call *call);
void kvpfs_lock_closed(struct kvpfs *fs, const struct kvpfs_call *call);

/* Call this after each request: lets calls go on that wait for a lock now given back. */
void kvpfs_lock_wake(struct kvpfs *fs);

#endif
