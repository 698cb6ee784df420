/* SPDX-License-Identifier: MIT */
/*
 * The pool file: its locks, whether it has changed, and how bytes reach it.
 * pool_place.h finds where it is. This module does not know what the bytes mean.
 *
 * The file is shared with programs that we cannot change, which shapes this:
 *  - It is edited in place, and never unlinked, renamed, replaced or chmod-ed:
 *    the KVP daemon keeps a lock on the inode that it opened at start-up, but
 *    reads and rewrites by path.
 *  - cloud-init and libazureinit-kvp lock with flock(2), the daemon with fcntl(2)
 *    record locks, and neither sees the other's. We take both, flock first, and
 *    hold both or none. The record lock is an open-file-description lock: it
 *    conflicts with the daemon's POSIX locks and survives stray closes.
 *  - Others delete and replace the file while we run: under the lock we look
 *    whether the path still names the file that we locked.
 *
 * Change detection. "Nobody has touched the file since" is certain only if no
 * inotify event is waiting (they are queued before a writer's system call
 * returns) and the file's stat is the same; sizes and times alone miss a rewrite
 * in place within a clock tick. Without inotify each look says "changed". Events
 * also tell when the file loses a name. So while there was none, a stat of the
 * descriptor serves, which takes half as long as one of the path; but not for a second
 * after an event, as a name may be lost after it. A mount over the file
 * makes no event and is not seen. A file that got no watch is watched from the
 * next lock on, if that can be had by then. inotify merges equal events: another
 * program's unlocked write during ours looks like ours. Its IN_CLOSE_WRITE does not,
 * as we keep our descriptor open.
 *
 * One thread at a time. No function waits for a lock.
 */
#ifndef KVP_POOL_H
#define KVP_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "pool_place.h"
#include "view.h"

/* The largest file that is read: more cannot be an honest pool. */
#define KVP_POOL_MAX_BYTES ((off_t)1 << 30)

enum kvp_lock {
	KVP_LOCK_SHARED,    /* to read */
	KVP_LOCK_EXCLUSIVE, /* to change the file, if there is one */
	KVP_LOCK_CREATE,    /* the same, and makes the file if there is none */
};

struct kvp_pool {
	struct kvp_place place;
	int file;	  /* descriptors; -1: none */
	int watch;	  /* of file */
	bool read_only;	  /* the user wants no writing */
	bool writable;	  /* file is open for writing */
	bool settled;	  /* st is of the content that the caller knows */
	struct stat st;	  /* of file, if there is one */
	int64_t trust_at; /* the file may lose its name until then; kvp_now_ms */
	/* of file; for who holds the lock. It stays open for as long as you like */
	struct kvp_view view;
};

/* How a pool is opened; used as a set. */
enum kvp_pool_flag {
	KVP_POOL_READ_ONLY = 1 << 0, /* the user wants no writing */
	/*
	 * For a program that ends after one operation: without inotify, the end of
	 * which takes the kernel some milliseconds. Each look says "changed".
	 */
	KVP_POOL_UNWATCHED = 1 << 1,
};

/*
 * Finds the pool at PATH; the file need not exist, its directory must. FLAGS are of
 * enum kvp_pool_flag. Opens for writing unless that is not wanted; if it is not
 * permitted, for reading. Returns 0, -EISDIR or -EINVAL (no regular file), -EFBIG
 * (over KVP_POOL_MAX_BYTES), what kvp_place_init and kvp_place_look fail with, or
 * another -errno.
 */
int kvp_pool_open(struct kvp_pool *pool, const char *path, unsigned int flags);
void kvp_pool_close(struct kvp_pool *pool);

/* Whether a file exists, as of the last look. */
static inline bool kvp_pool_exists(const struct kvp_pool *pool)
{
	return pool->file >= 0;
}

/*
 * Whether the file can be written, or made if there is none. While it is not open
 * for writing this asks the system each time. Without /proc, a file that was opened
 * for reading only is said to be unwritable until an exclusive lock was had.
 */
bool kvp_pool_is_writable(const struct kvp_pool *pool);

/*
 * Looks, without a lock, whether the file is as it was at the last
 * kvp_pool_settle: 0 yes, 1 no, or as kvp_pool_open fails. After 0 and 1 the pool's
 * file is the one that the path names now, and st has its present attributes.
 */
int kvp_pool_changed(struct kvp_pool *pool);

/*
 * Takes the locks, opening the file that the path names now. *RET_CHANGED says
 * whether it differs from what it was at the last kvp_pool_settle.
 * Returns 0 (also if there is no file: then there is nothing to lock),
 * KVP_LOCKED, KVP_READ_ONLY (exclusive locks only), or as kvp_pool_open does.
 * After 0, call kvp_pool_unlock; after anything else, do not.
 */
int kvp_pool_lock(struct kvp_pool *pool, enum kvp_lock lock, bool *ret_changed);
void kvp_pool_unlock(struct kvp_pool *pool);

/*
 * These three need the lock, and to change the file an exclusive one. 0 or -errno.
 *
 * kvp_pool_read reads up to SIZE bytes at OFFSET, fewer only at the end of the
 * file. kvp_pool_write writes all; if it fails some may have been written.
 */
int kvp_pool_read(struct kvp_pool *pool, off_t offset, void *buf, size_t size,
		  size_t *ret_size);
int kvp_pool_write(struct kvp_pool *pool, off_t offset, const void *buf,
		   size_t size);
int kvp_pool_truncate(struct kvp_pool *pool, off_t size);

/*
 * Call this under the lock when you know what is in the file: you have read it (WROTE
 * is false), or all changes since the lock was taken are yours and the file should have
 * SIZE bytes (WROTE is true). kvp_pool_changed compares with this from here on.
 */
void kvp_pool_settle(struct kvp_pool *pool, bool wrote, off_t size);

/*
 * Returns a descriptor that polls as readable when kvp_pool_changed should look. -1:
 * no inotify instance or no watch is to be had, so something would go unnoticed. With
 * ON it also tells of files that appear under the pool's name and vanish. A file that
 * appears later needs a watch of its own: ask again after each look.
 */
int kvp_pool_watch(struct kvp_pool *pool, bool on);

/*
 * Puts the processes that hold locks on the file into PIDS, up to MAX, each once.
 * Returns how many. A holder is the process that took the lock; if that is gone, or the
 * kernel does not say, it is whichever process has the locked descriptor. A process is
 * left out if the search takes some milliseconds, or if we may not look into it.
 */
size_t kvp_pool_holders(const struct kvp_pool *pool, pid_t pids[], size_t max);

/* You do not know what is in the file any more: the next look says "changed". */
void kvp_pool_unsettle(struct kvp_pool *pool);

#endif
