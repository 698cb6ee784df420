/* SPDX-License-Identifier: MIT */
/*
 * What the files of ".kvpfs" show. The content is made when a file is opened, once for
 * each state of the pool, however many processes have it open. Reading goes past the
 * page cache. The content lies in a file in memory that is not mapped, so that the
 * program stays small. This module does not know what the content means.
 *
 * st_size is the number of bytes that reading would give now: many programs copy only
 * so much.
 */
#ifndef KVPFS_CONTROL_SHOWN_H
#define KVPFS_CONTROL_SHOWN_H

#include <stdbool.h>
#include <stdio.h>

#include "control_dir.h"

/*
 * The most that a file shows, in bytes. An honest pool has about 2.6 MB. Without this
 * bound any reader of a hostile pool could make us use as much memory as it is long.
 */
#define KVPFS_SHOWN_MAX ((size_t)64 << 20)

struct kvpfs_shown;

/* A kind of file that shows something. */
struct kvpfs_shown_kind {
	struct kvpfs_control_kind kind; /* must come first */
	/* writes the content to OUT; a result (result.h) */
	int (*show)(struct kvpfs_dir *dir, FILE *out);
	/* the content's size; NULL: the content must be made to know that */
	size_t (*size)(const struct kvp_status *status);
	bool volatile_content; /* it may change though the pool does not */
};

/* An open file; handles of files that can do more begin with this. */
struct kvpfs_shown_handle {
	struct kvpfs_open open; /* must come first */
	/* a reference; NULL: not opened for reading */
	struct kvpfs_shown *shown;
	bool own; /* shown is a copy for this handle, and may be changed */
};

/*
 * HANDLE, in zeroed memory of the caller's, gets what it shows to CALL, an open. After
 * anything but 0 it has nothing. -EFBIG: it would show more than KVPFS_SHOWN_MAX.
 */
int kvpfs_shown_take(const struct kvpfs_call *call,
		     struct kvpfs_shown_handle *handle);

/*
 * Replies that CALL has opened HANDLE, which CLOSE will close. If the caller is gone it
 * is closed at once.
 */
void kvpfs_shown_reply_open(struct kvpfs *fs, struct kvpfs_call *call,
			    struct kvpfs_shown_handle *handle,
			    void (*close)(struct kvpfs *fs,
					  struct kvpfs_open *open));

/*
 * Change what HANDLE, of FILE, shows, for this handle alone. The first change makes a
 * copy of what FILE shows now. kvpfs_shown_write puts DATA at OFFSET; kvpfs_shown_cut
 * cuts to SIZE bytes. -EINVAL: there would be a gap; -EFBIG: it would be larger than
 * KVPFS_SHOWN_MAX; or as kvp_store_refresh. A failure changes nothing.
 */
int kvpfs_shown_write(struct kvpfs_shown_handle *handle,
		      struct kvpfs_control *file, struct kvp_bytes data,
		      off_t offset);
int kvpfs_shown_cut(struct kvpfs_shown_handle *handle,
		    struct kvpfs_control *file, off_t size);

/*
 * Maps what HANDLE shows. *RET_BYTES are good until kvpfs_shown_unmap; do not change the
 * content before that. Returns 0 or -errno.
 */
int kvpfs_shown_map(const struct kvpfs_shown_handle *handle,
		    struct kvp_bytes *ret_bytes);
void kvpfs_shown_unmap(struct kvp_bytes bytes);

/* Gives back what kvpfs_shown_take took; HANDLE's memory stays the caller's. */
void kvpfs_shown_release(struct kvpfs_shown_handle *handle);

/* For the tables of operations. */
kvpfs_run kvpfs_shown_getattr;
kvpfs_run kvpfs_shown_lookup;
kvpfs_run kvpfs_shown_setattr; /* of what cannot be written */
kvpfs_run kvpfs_shown_run_open;
kvpfs_run kvpfs_shown_read;
void kvpfs_shown_fill(struct kvpfs *fs, const struct kvpfs_inode *inode,
		      struct stat *st);

/* The operations of files that cannot be written. */
#define KVPFS_SHOWN_OPS                                                   \
	.label = kvpfs_control_label, .lockable = kvpfs_control_lockable, \
	.fill = kvpfs_shown_fill, .lookup = kvpfs_shown_lookup,           \
	.getattr = kvpfs_shown_getattr, .setattr = kvpfs_shown_setattr,   \
	.open = kvpfs_shown_run_open, .read = kvpfs_shown_read,           \
	.flush = kvpfs_control_flush, .fsync = kvpfs_run_fsync

#endif
