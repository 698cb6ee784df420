/* SPDX-License-Identifier: MIT */
/*
 * What the whole front end shares: the mount, its pools, and the open files. A comment
 * at a member names the module that owns it; only that module looks inside. There are no
 * requests here, and no locks.
 *
 * All of it is used by the session's thread alone.
 */
#ifndef KVPFS_FS_H
#define KVPFS_FS_H

#include <stdbool.h>
#include <sys/queue.h>
#include <time.h>

#include "given.h"
#include "inode.h"
#include "key_lock.h"
#include "options.h"
#include "store.h"
#include "told.h"
#include "versions.h"

struct fuse_session;
struct kvpfs_calls;
struct kvpfs_seen;
struct kvpfs_stream;
struct kvpfs_syncs;
struct kvpfs_watchers;

/* Pools that one mount may show: those of a directory. */
#define KVPFS_MAX_DIRS 5

/* st_ino: which pool, and the number of the entry behind some reserved ones. */
enum { KVPFS_INO_ROOT = 1, KVPFS_INO_CONTROL = 2, KVPFS_INO_ENTRIES = 15 };

/*
 * An open file or directory, which is what fi->fh points to. Each kind begins with
 * this. CLOSE frees it, and stores nothing.
 */
struct kvpfs_open {
	void (*close)(struct kvpfs *fs, struct kvpfs_open *open);
	TAILQ_ENTRY(kvpfs_open) link;
};

/* The times of a pool's directory, as far as the store does not know them. */
struct kvpfs_names_times {
	struct timespec mtime; /* when a name that is not stored came or went */
	bool has_given_mtime;  /* a user has set a time */
	struct timespec given_mtime;
	struct timespec given_ctime;
	uint64_t given_order; /* the store's then; another one ends that time */
};

/* A mounted pool: one directory. */
struct kvpfs_dir {
	struct kvpfs_inode root;
	struct kvp_store *store;
	const char *name; /* of the pool, such as "guest", or of its file */
	uint64_t number;  /* among the mounted ones: part of each st_ino */
	struct kvpfs_versions versions; /* the keys that the kernel knows */
	struct kvpfs_given given;	/* to keys; key_attr's */
	struct kvpfs_told told;		/* the values that watchers know */
	size_t lock_waits;    /* requests that found the lock taken; call's */
	size_t lock_timeouts; /* requests that did not get it in time; call's */
	bool torn_logged;     /* attr's */
	struct kvpfs_names_times names; /* attr's */
	struct kvpfs_listing *listing;	/* the latest, or NULL; list's */
	struct kvpfs_inode *control;	/* ".kvpfs"; control_dir's */
	struct kvpfs_seen *seen; /* the latest, or NULL; control_replace's */
	uint64_t emptied; /* counts that of "records" and "pool"; likewise */
	struct kvpfs_stream *stream; /* control_events' */
};

struct kvpfs {
	const struct kvpfs_options *options;
	struct fuse_session *session;
	struct kvpfs_inode *root; /* what FUSE_ROOT_ID stands for */
	struct kvpfs_inode top;	  /* above the pools, if there are several */
	struct kvpfs_dir dirs[KVPFS_MAX_DIRS];
	size_t dir_count;
	struct timespec mounted; /* the time of that */
	struct kvp_value *empty; /* the value of a file that was just created */
	TAILQ_HEAD(, kvpfs_open) opens;
	struct kvpfs_locks locks;	 /* on files of the mount; lock's */
	struct kvpfs_calls *calls;	 /* call's */
	struct kvpfs_syncs *syncs;	 /* sync's */
	struct kvpfs_watchers *watchers; /* watchers'; NULL: no agent */
	pid_t agent;			 /* its process; 0: none runs */
	dev_t device;			 /* of the mount */
	bool ready; /* the kernel's first request was answered */
};

static inline ino_t kvpfs_ino(const struct kvpfs_dir *dir, uint64_t number)
{
	return (dir ? dir->number << 56 : 0) | number;
}

/* Adds OPEN to fs->opens; CLOSE will close and free it. */
static inline void kvpfs_open_add(struct kvpfs *fs, struct kvpfs_open *open,
				  void (*close)(struct kvpfs *fs,
						struct kvpfs_open *open))
{
	open->close = close;
	TAILQ_INSERT_TAIL(&fs->opens, open, link);
}

/* Closes and frees OPEN. */
static inline void kvpfs_open_close(struct kvpfs *fs, struct kvpfs_open *open)
{
	TAILQ_REMOVE(&fs->opens, open, link);
	open->close(fs, open);
}

#endif
