/* SPDX-License-Identifier: MIT */
/*
 * A second process that does to a file, on command, what other programs do to a
 * pool: lock it, and change it with no lock at all. Each function returns when the
 * process has done what was asked, so that no test ever has to wait and hope.
 * A step that fails where the test could not go on aborts.
 */
#ifndef LOCKER_H
#define LOCKER_H

#include <stdbool.h>
#include <sys/types.h>

enum locker_lock {
	LOCKER_FLOCK_SHARED, /* cloud-init, libazureinit-kvp */
	LOCKER_FLOCK_EXCLUSIVE,
	LOCKER_POSIX_READ,
	LOCKER_POSIX_WRITE, /* the KVP daemon */
	LOCKER_OFD_READ,
	LOCKER_OFD_WRITE,
	LOCKER_LOCKS,
};

/* All but LOCKER_TOUCH leave other content than before. */
enum locker_change {
	LOCKER_REWRITE,	    /* some bytes in place: same size, same inode */
	LOCKER_APPEND,	    /* one record */
	LOCKER_TRUNCATE,    /* to half a record less, by path: no open */
	LOCKER_REWRITE_ALL, /* O_TRUNC, then the same size of other bytes */
	LOCKER_DELETE,
	LOCKER_REPLACE, /* another file by rename */
	LOCKER_TOUCH,	/* times only */
	LOCKER_CHANGES,
};

struct locker {
	pid_t pid;
	int to;
	int from;
};

/*
 * Starts a process that works on the file at PATH and inherits no descriptors,
 * so no locks and no watches.
 */
void locker_start(struct locker *locker, const char *path);

/* The process ends, and its locks with it. */
void locker_stop(struct locker *locker);

/* Takes LOCK and keeps it; says whether it could. Does not wait. */
bool locker_take(struct locker *locker, enum locker_lock lock);

/* The same, but gives it back at once. */
bool locker_can_take(struct locker *locker, enum locker_lock lock);

/* Gives back whatever it took. */
void locker_release(struct locker *locker);

/* Changes the file, without a lock; an open and a close are part of it. */
void locker_change(struct locker *locker, enum locker_change change);

/* LOCKER_REWRITE, but the file stays open until the second is called. */
void locker_rewrite_keeping_open(struct locker *locker);
void locker_close(struct locker *locker);

#endif
