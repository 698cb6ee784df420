/* SPDX-License-Identifier: MIT */
/*
 * Modes, owners and times that users have given to keys with chmod, chown and
 * utimensat. A pool has no place for them. So they are kept here, in memory, as long as
 * the key and the mount live. All else is the pool file's. A given time holds
 * until the value changes.
 *
 * They belong to the number that the store gives a key. So they follow a rename, and end
 * when anybody removes the key. Numbers are never used again: what a removed key was
 * given only takes room, until kvpfs_given_purge.
 *
 * This module knows no FUSE and no store. One thread at a time.
 */
#ifndef KVPFS_GIVEN_H
#define KVPFS_GIVEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "value.h"

/* So many keys of a pool may be given something: as many as a pool may have. */
#define KVPFS_GIVEN_MAX 1024

/* What may be given; used as a set. */
enum {
	KVPFS_GIVEN_MODE = 1 << 0,
	KVPFS_GIVEN_UID = 1 << 1,
	KVPFS_GIVEN_GID = 1 << 2,
	KVPFS_GIVEN_MTIME = 1 << 3,
};

struct kvpfs_gift {
	uint64_t id; /* the store's number of the key */
	unsigned int set;
	mode_t mode; /* permission bits alone */
	uid_t uid;
	gid_t gid;
	struct timespec mtime;
	struct timespec ctime;	 /* when something was given last */
	struct kvp_value *value; /* which mtime is for, a reference; or NULL */
	bool pending; /* mtime was given to a file that was emptied, not written */
};

/* A zeroed one has nothing. */
struct kvpfs_given {
	struct kvpfs_gift *gifts; /* in order of ids */
	size_t count;
	size_t room;
};

void kvpfs_given_release(struct kvpfs_given *given);

/*
 * Gives what is in GIFT's set to its key, which keeps what else it was given. Takes a
 * reference to GIFT's value if a time is given. -ENOMEM; -ENOSPC: purge, and try again.
 */
int kvpfs_given_add(struct kvpfs_given *given, const struct kvpfs_gift *gift);

/* Changes ST, of key ID with VALUE, to what the key was given. */
void kvpfs_given_apply(struct kvpfs_given *given, uint64_t id,
		       const struct kvp_value *value, struct stat *st);

/*
 * VALUE was stored for key ID, which ends a given time. But if CLOSED, a close has stored
 * the empty value, and that does not end a time given after the file was emptied.
 */
void kvpfs_given_stored(struct kvpfs_given *given, uint64_t id,
			struct kvp_value *value, bool closed);

/* Key ID is gone: forgets what it was given. */
void kvpfs_given_forget(struct kvpfs_given *given, uint64_t id);

/* Forgets what keys were given but the COUNT that live. Sorts IDS. */
void kvpfs_given_purge(struct kvpfs_given *given, uint64_t ids[], size_t count);

#endif
