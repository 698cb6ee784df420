/* SPDX-License-Identifier: MIT */
/*
 * What a FUSE node id stands for: an inode with a table of operations. Each kind of file
 * and directory has such a table, which is all that one must know to start a request.
 * This header knows no FUSE and holds no code.
 */
#ifndef KVPFS_INODE_H
#define KVPFS_INODE_H

#include <stdint.h>
#include <sys/stat.h>

#include "bytes.h"

struct kvpfs;
struct kvpfs_call;
struct kvpfs_dir;
struct kvpfs_inode;
struct kvpfs_listing;
struct kvpfs_lockable;

/*
 * Serves a call: 0 if it has replied, else a result (result.h) to reply with. With
 * KVP_LOCKED and KVPFS_PARK nothing has changed, and the call is run again: after
 * KVP_LOCKED as soon as the lock can be had, after KVPFS_PARK when
 * kvpfs_calls_wake says so.
 */
enum { KVPFS_PARK = 1000 };
typedef int kvpfs_run(struct kvpfs *fs, struct kvpfs_call *call);

/* What calls about an inode concern: they wait while a closed file of that is stored. */
enum kvpfs_scope {
	KVPFS_NOTHING, /* nothing that is stored */
	KVPFS_KEY,     /* one key, which is the label */
	KVPFS_NAMES,   /* the key of the call's name, if it has one */
	KVPFS_POOL,    /* all of the pool */
};

/* The operations of an inode. A request that is NULL is refused with EPERM. */
struct kvpfs_inode_ops {
	enum kvpfs_scope scope;
	/* its name for the log; inside INODE or static */
	struct kvp_bytes (*label)(const struct kvpfs_inode *inode);
	/* fills in its attributes, as of the last look at the pool */
	void (*fill)(struct kvpfs *fs, const struct kvpfs_inode *inode,
		     struct stat *st);
	/* of a file: what its locks belong to, the same for all its nodes */
	struct kvpfs_lockable *(*lockable)(struct kvpfs_inode *inode);
	/* how long attributes that come with a lookup are good, in seconds */
	double attr_timeout;
	/* of a directory: adds its entries with kvpfs_list_name */
	int (*list)(struct kvpfs *fs, const struct kvpfs_inode *inode,
		    struct kvpfs_listing *listing);
	/* of a directory with fixed entries: the one of this name, or NULL */
	struct kvpfs_inode *(*child)(const struct kvpfs_inode *inode,
				     const char *name);
	kvpfs_run *lookup;
	kvpfs_run *getattr;
	kvpfs_run *setattr;
	kvpfs_run *mknod;
	kvpfs_run *create;
	kvpfs_run *unlink;
	kvpfs_run *rename;
	kvpfs_run *open;
	kvpfs_run *read;
	kvpfs_run *write;
	kvpfs_run *allocate;
	kvpfs_run *flush;
	kvpfs_run *fsync;
	/* stores what is pending when a file is released; does not reply */
	kvpfs_run *release;
	kvpfs_run *poll; /* NULL: always ready */
	/* frees it: the kernel does not know it any more; NULL: it stays */
	void (*forgotten)(struct kvpfs_inode *inode);
};

struct kvpfs_inode {
	const struct kvpfs_inode_ops *ops;
	struct kvpfs_dir *dir; /* the pool it belongs to; NULL: to none */
	uint64_t lookups;      /* references that the kernel has */
};

#endif
