/* SPDX-License-Identifier: MIT */
/*
 * Attributes of directories and of the file system, and the attributes that all files
 * have in common: owner, group and mode are the pool file's, or what the options say.
 * key_attr.h has the other attributes of keys, and control_dir.h those of ".kvpfs".
 */
#ifndef KVPFS_ATTR_H
#define KVPFS_ATTR_H

#include "call.h"

/*
 * Fill in ST as of the last look at the pool: for a pool's directory (".kvpfs" starts
 * from the same), and for a file in it, without its number and size.
 */
void kvpfs_fill_dir(struct kvpfs *fs, const struct kvpfs_inode *inode,
		    struct stat *st);
void kvpfs_fill_file(struct kvpfs *fs, struct kvpfs_dir *dir, struct stat *st);

/* Notes that a file which the store does not know has come or gone: DIR has changed. */
void kvpfs_note_names(struct kvpfs_dir *dir);

/* 0: CALL, a setattr, wants the mode and the owner that ST has; or KVP_UNSUPPORTED. */
int kvpfs_check_setattr(const struct kvpfs_call *call, const struct stat *st);

/* The first two are for directories, the third for any inode. */
kvpfs_run kvpfs_run_getattr_dir;
kvpfs_run kvpfs_run_setattr_dir;
kvpfs_run kvpfs_run_statfs;

#endif
