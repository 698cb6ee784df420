/* SPDX-License-Identifier: MIT */
/*
 * The pool file: which file the path names now, who may touch it when, and how
 * bytes reach it. Knows nothing of what the bytes mean.
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
 * returns) and the path's stat is the same; sizes and times alone miss a rewrite
 * in place within a clock tick. Without inotify each look says "changed". As events
 * also tell when the file loses a name, a stat of the descriptor will do then, which
 * takes half as long; what is mounted over the file makes no event and is not seen.
 * inotify merges equal events: another program's unlocked write during ours
 * looks like ours. Its IN_CLOSE_WRITE does not, as we keep our descriptor open.
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

/* The largest file that is read: more cannot be an honest pool. */
#define KVP_POOL_MAX_BYTES ((off_t)1 << 30)

enum kvp_lock {
	KVP_LOCK_SHARED,    /* to read */
	KVP_LOCK_EXCLUSIVE, /* to change the file, if there is one */
	KVP_LOCK_CREATE,    /* the same, and makes the file if there is none */
};

struct kvp_pool {
	char *path;	  /* absolute */
	char *parent;	  /* path without its last component, */
	const char *name; /* which is this; inside path */
	int directory;	  /* descriptors; -1: none */
	int file;
	int inotify;
	int watch;	  /* of file */
	int parent_watch; /* of directory */
	bool read_only;	  /* the user wants no writing */
	bool writable;	  /* file is open for writing, or could be made */
	bool settled;	  /* st tells what the caller knows the file to be */
	bool watched;	  /* kvp_pool_watch is on */
	bool pinned;	  /* its path must not be gone again */
	bool moved;	  /* directory may no longer be what parent names */
	bool named;   /* the path names file, until an event says otherwise */
	bool is_link; /* path names a symbolic link that may be followed */
	uint64_t closings; /* by others who could write, as events tell */
	struct stat st;	   /* of file, if there is one */
};

/*
 * Finds the pool at PATH; the file need not exist, its directory must. Opens for
 * writing unless READ_ONLY; if that is not permitted, for reading. Returns 0,
 * -EISDIR or -EINVAL (no regular file), -EFBIG (over KVP_POOL_MAX_BYTES),
 * KVP_UNTRUSTED_LINK (a symbolic link, in a directory where others than root and
 * the caller may have put it), or another -errno. If the directory is moved away or deleted, the one that has its
 * path then is used; directories above it are not watched.
 */
int kvp_pool_open(struct kvp_pool *pool, const char *path, bool read_only);
void kvp_pool_close(struct kvp_pool *pool);

/*
 * The path to the pool's directory will soon lead to something that only the
 * caller can answer for, so from now on the directory is used as it is open.
 */
static inline void kvp_pool_pin_directory(struct kvp_pool *pool)
{
	pool->pinned = true;
}

/* Whether a file exists, as of the last look. */
static inline bool kvp_pool_exists(const struct kvp_pool *pool)
{
	return pool->file >= 0;
}

/*
 * Looks, without a lock, whether the file is as it was at the last
 * kvp_pool_settle: 0 yes, 1 no, KVP_UNTRUSTED_LINK, or -errno.
 */
int kvp_pool_changed(struct kvp_pool *pool);

/*
 * Takes the locks, opening the file that the path names now. *RET_CHANGED says
 * whether it differs from what it was at the last kvp_pool_settle.
 * Returns 0 (also if there is no file: then there is nothing to lock),
 * KVP_LOCKED, KVP_READ_ONLY (exclusive locks only), or as kvp_pool_open does.
 * Unlike most of what fails here, 0 must be answered with kvp_pool_unlock.
 */
int kvp_pool_lock(struct kvp_pool *pool, enum kvp_lock lock, bool *ret_changed);
void kvp_pool_unlock(struct kvp_pool *pool);

/*
 * All below: under the lock, exclusive for those that change the file; -errno.
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
 * The caller knows what is in the file now, having read it (WROTE false) or
 * having made known changes to it since the lock was taken (WROTE true) and
 * expecting SIZE bytes: what kvp_pool_changed compares with from here on.
 */
void kvp_pool_settle(struct kvp_pool *pool, bool wrote, off_t size);

/*
 * A descriptor that polls as readable when kvp_pool_changed should look; -1: there
 * is no inotify. With ON it also tells of files that appear under the pool's name
 * and vanish.
 */
int kvp_pool_watch(struct kvp_pool *pool, bool on);

/*
 * The processes that hold locks on the file, up to MAX, into PIDS, as far as the
 * kernel names them, not behind too many other locks: those of open-file-description
 * locks it does not. Each is there once. Returns how many.
 */
size_t kvp_pool_holders(const struct kvp_pool *pool, pid_t pids[], size_t max);

/* The caller does not know what is in the file: the next look says "changed". */
void kvp_pool_unsettle(struct kvp_pool *pool);

#endif
