/* SPDX-License-Identifier: MIT */
/*
 * ".kvpfs" in the directory of a pool: the store behind the files. It is hidden from
 * listings, so that globs, find, tar and rm -r never meet it. This module has the
 * directory, and what its files have in common. Each kind of file says by itself what it
 * shows and takes.
 */
#ifndef KVPFS_CONTROL_DIR_H
#define KVPFS_CONTROL_DIR_H

#include <fcntl.h>

#include "call.h"

/* A kind of file in ".kvpfs". */
struct kvpfs_control_kind {
	const char *name;
	struct kvpfs_inode_ops ops;
	bool writable;
};

struct kvpfs_shown;

struct kvpfs_control {
	struct kvpfs_inode inode; /* must come first */
	const struct kvpfs_control_kind *kind;
	uint64_t number; /* part of its st_ino */
	/* control_shown's */
	struct kvpfs_shown *latest; /* the newest open content, or NULL */
	bool measured;
	uint64_t measured_state;	/* of the pool, when... */
	size_t size;			/* ...the content had this size */
	struct kvpfs_lockable lockable; /* key_lock's */
};

/*
 * Sets up DIR's ".kvpfs" with files of the COUNT KINDS, which stay where they are.
 * -ENOMEM.
 */
int kvpfs_control_dir_init(struct kvpfs_dir *dir,
			   const struct kvpfs_control_kind *const kinds[],
			   size_t count);

/* Allowed also if it was never set up. */
void kvpfs_control_dir_release(struct kvpfs_dir *dir);

/* The file NAME in DIR's ".kvpfs", or NULL. */
struct kvpfs_control *kvpfs_control_child(const struct kvpfs_dir *dir,
					  const char *name);

/* For the tables of operations of files. */
struct kvp_bytes kvpfs_control_label(const struct kvpfs_inode *inode);
void kvpfs_control_fill(struct kvpfs *fs, const struct kvpfs_inode *inode,
			struct stat *st);
struct kvpfs_lockable *kvpfs_control_lockable(struct kvpfs_inode *inode);
kvpfs_run kvpfs_control_getattr;
kvpfs_run kvpfs_control_flush;

/* Whether CALL, an open, is for reading alone. */
static inline bool kvpfs_control_is_only_read(const struct kvpfs_call *call)
{
	return (call->fi.flags & (O_ACCMODE | O_TRUNC)) == O_RDONLY;
}

static inline struct kvpfs_control *kvpfs_control_of(struct kvpfs_inode *inode)
{
	return (struct kvpfs_control *)inode;
}

#endif
