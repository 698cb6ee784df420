/* SPDX-License-Identifier: MIT */
/*
 * The locks that programs hold on files of the mount: flock(2), record locks and
 * open-file-description locks of fcntl(2). They exclude each other by file, whatever
 * nodes (versions.h) its handles have. The kernel's own locks belong to one node.
 *
 * There is no lock algebra here. Each locked file has a memfd, and each owner of locks
 * has an open description of it. The kernel is asked for each lock on the owner's
 * description: by flock(2), or by F_OFD_SETLK for both kinds of record locks. An owner
 * exists as long as it holds a lock, and the memfd as long as there are owners.
 *
 * Nothing waits: a taken lock is refused. The caller asks again when
 * kvpfs_locks_take_freed says that a lock was given back. Knows no FUSE. One thread.
 */
#ifndef KVPFS_KEY_LOCK_H
#define KVPFS_KEY_LOCK_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

/* The most owners of locks at a time. Each costs a descriptor. */
#define KVPFS_MAX_LOCK_OWNERS 256

/* Begins as zeros. */
struct kvpfs_locks {
	LIST_HEAD(, kvpfs_lock_owner) owners;
	unsigned int count;
	bool freed; /* a lock was given back since the last ..._take_freed */
};

/* What locks belong to: a part of a file, which outlives them. */
struct kvpfs_lockable {
	/*
	 * There has been a record lock. A process loses its record locks on a file with
	 * any close(2) of that, so from now on each close must be told of.
	 */
	bool records;
};

/* A process that asks for a lock. */
struct kvpfs_locker {
	struct kvpfs_lockable *file;
	/* the kernel's number of an open file (flock, OFD locks) or of a process */
	uint64_t owner;
	uint64_t handle; /* of the open file by which it asks */
	pid_t pid;
};

/*
 * As flock(2) with OPERATION and LOCK_NB: 0, -EWOULDBLOCK; -ENOLCK: there are too many
 * owners or no descriptors left.
 */
int kvpfs_locks_flock(struct kvpfs_locks *locks,
		      const struct kvpfs_locker *locker, int operation);

/* As F_SETLK: 0, -EAGAIN, -ENOLCK, -EINVAL... */
int kvpfs_locks_set(struct kvpfs_locks *locks,
		    const struct kvpfs_locker *locker,
		    const struct flock *record);

/* As F_GETLK; the pid is that of the locker that holds the lock. 0, -ENOLCK... */
int kvpfs_locks_get(struct kvpfs_locks *locks,
		    const struct kvpfs_locker *locker, struct flock *record);

/* OWNER, a process, has closed a descriptor of FILE: its locks on FILE end. */
void kvpfs_locks_end_owner(struct kvpfs_locks *locks,
			   const struct kvpfs_lockable *file, uint64_t owner);

/* HANDLE is closed for good: ends the locks of owners that asked by it last. */
void kvpfs_locks_end_handle(struct kvpfs_locks *locks, uint64_t handle);

/* Whether a lock was given back since the last call. */
bool kvpfs_locks_take_freed(struct kvpfs_locks *locks);

/* Ends all locks. */
void kvpfs_locks_release(struct kvpfs_locks *locks);

#endif
