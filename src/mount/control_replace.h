/* SPDX-License-Identifier: MIT */
/*
 * Files of ".kvpfs" that can be written. This module decides when something is stored;
 * the kinds of file (control_text.h, control_pool.h) know what.
 *
 * Writes to an emptied file ("> records", "> pool") replace the whole pool. They are
 * collected, and stored in one step at the next flush or fsync. Shells flush before
 * they write, so a flush of a file to which nothing was written does nothing. If nothing
 * was written until the file is released, or synced, the pool is cleared of what was
 * there when the file was emptied; what anybody has stored since stays. But if
 * "records" or "pool" was emptied again since, only that one counts.
 *
 * If a writer is killed, its unfinished work is not stored. This holds for processes of
 * one thread only: about others the kernel does not tell.
 *
 * A file that was opened without emptying it is appended to with O_APPEND, if its kind
 * can do that. Else it is changed where it stands ("rsync --inplace"), in a copy of the
 * writer's own, which replaces the pool at the flush or fsync.
 */
#ifndef KVPFS_CONTROL_REPLACE_H
#define KVPFS_CONTROL_REPLACE_H

#include "control_shown.h"

struct kvpfs_replace_kind;
struct kvpfs_seen;

/* The state of an open file. */
enum kvpfs_replace_state {
	KVPFS_UNTOUCHED, /* nothing was written since it was opened or emptied */
	KVPFS_COLLECTED, /* something was written, and is not stored yet */
	KVPFS_SETTLED,	 /* that was stored or refused; the writer was told */
	KVPFS_SPOILT, /* emptied; then a write was refused: nothing will be stored */
};

/* An open file; the handle of each kind begins with this. */
struct kvpfs_replace {
	struct kvpfs_shown_handle shown; /* must come first */
	const struct kvpfs_replace_kind *kind;
	enum kvpfs_replace_state state;
	/* what was in the pool when the file was emptied; NULL: it was not */
	struct kvpfs_seen *seen;
	uint64_t emptied; /* its directory's count, when it was emptied */
	size_t written;	  /* bytes since then */
	int result;	  /* if SPOILT: what the write was refused with */
	pid_t writer;	  /* opened or wrote it last; 0: has more threads */
};

/* A kind of file. Results as those of kvpfs_run (inode.h), but none replies. */
struct kvpfs_replace_kind {
	struct kvpfs_shown_kind shown; /* must come first */
	size_t handle_size;
	/* a file is opened, or emptied once more: nothing is collected */
	void (*restart)(struct kvpfs_replace *file, struct kvpfs_dir *dir);
	/* frees what the kind's handle owns, not the handle itself */
	void (*release)(struct kvpfs_replace *file);
	/* collects what CALL writes; must not return KVP_LOCKED */
	int (*collect)(struct kvpfs_call *call);
	/* what was collected replaces the pool, in one step */
	int (*store)(struct kvpfs_call *call);
	/* CONTENT, all of the file, replaces the pool, in one step */
	int (*replace)(struct kvpfs_call *call, struct kvp_bytes content);
	/* adds what CALL writes to the pool; NULL: the kind cannot append */
	int (*append)(struct kvpfs_call *call);
	/* adds what append has left, at a flush */
	int (*end_append)(struct kvpfs_call *call);
};

static inline struct kvpfs_replace *kvpfs_replace_of(
	const struct kvpfs_call *call)
{
	return (struct kvpfs_replace *)kvpfs_call_open(call);
}

kvpfs_run kvpfs_replace_open;
kvpfs_run kvpfs_replace_setattr;
kvpfs_run kvpfs_replace_write;
kvpfs_run kvpfs_replace_flush;
kvpfs_run kvpfs_replace_fsync;
kvpfs_run kvpfs_replace_release;

/* The operations of such files. */
#define KVPFS_REPLACE_OPS                                             \
	.scope = KVPFS_POOL, .label = kvpfs_control_label,            \
	.lockable = kvpfs_control_lockable, .fill = kvpfs_shown_fill, \
	.lookup = kvpfs_shown_lookup, .getattr = kvpfs_shown_getattr, \
	.read = kvpfs_shown_read, .setattr = kvpfs_replace_setattr,   \
	.open = kvpfs_replace_open, .write = kvpfs_replace_write,     \
	.flush = kvpfs_replace_flush, .fsync = kvpfs_replace_fsync,   \
	.release = kvpfs_replace_release

#endif
