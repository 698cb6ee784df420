/* SPDX-License-Identifier: MIT */
/*
 * Where the pool file is: its path, its directory, and what the path names at the
 * moment. Others delete the file, replace it, and move its directory away while we
 * run. Only what the path names now counts. This module does not know what is in
 * the file, nor locks; pool.h builds on it.
 *
 * The directory is found once and kept open, and inotify tells when it has been
 * moved or deleted; directories above it are not watched. Without inotify the path
 * is walked for each look.
 *
 * A file system that the caller itself serves can be kept out (walk.h): a path that
 * leads there is refused and never waited for. A mount over the directory is
 * seen only when the path has to be walked again.
 */
#ifndef KVP_POOL_PLACE_H
#define KVP_POOL_PLACE_H

#include <stdbool.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "walk.h"

/* How much of what the last look found may have changed since. */
enum kvp_place_doubt {
	KVP_PLACE_SURE,		 /* nothing: an event would have told */
	KVP_PLACE_ASK_NAME,	 /* what is in the directory under the name */
	KVP_PLACE_ASK_DIRECTORY, /* and which directory it is */
};

struct kvp_place {
	char *path;	  /* absolute */
	char *parent;	  /* path without its last component, */
	const char *name; /* which is this; inside path */
	struct kvp_keep_out keep_out;
	int inotify;	/* descriptors; -1: none */
	int directory;	/* what parent named when the path was last walked */
	int watch;	/* of directory */
	bool names_too; /* the watch tells of names in there */
	enum kvp_place_doubt doubt;
	struct kvp_found target; /* where symbolic links at path lead, as of the
				  * last look; object is not kept */
	int target_watch; /* of its directory, with names_too; -1: none, or the
			   * same as watch */
};

/*
 * Finds the directory of PATH, which must exist, and begins to watch it if that is
 * wanted. Returns 0, -EISDIR (PATH has no name of a file at its end), or another -errno.
 */
int kvp_place_init(struct kvp_place *place, const char *path, bool watched);
void kvp_place_release(struct kvp_place *place);

/*
 * From now on looks do not enter KEEP_OUT, and fail with KVP_OWN_MOUNT where they would
 * have to. kvp_place_leads_to: whether the path leads there now.
 */
void kvp_place_keep_out(struct kvp_place *place,
			const struct kvp_keep_out *keep_out);
bool kvp_place_leads_to(const struct kvp_place *place,
			const struct kvp_keep_out *keep_out);

/*
 * Looks what the path names now: *RET_ST, with st_ino 0 for nothing. Returns 0, or
 * what kvp_walk fails with.
 */
int kvp_place_look(struct kvp_place *place, struct stat *ret_st);

/*
 * Opens the file that the last look found, with FLAGS, among them O_CREAT to make it.
 * It follows no link that has taken the file's place since. Returns the descriptor or
 * -errno.
 */
int kvp_place_open(const struct kvp_place *place, int flags);

/* Whether a file can be made there. */
bool kvp_place_is_writable(const struct kvp_place *place);

/* Takes note of EVENT, which was read from place->inotify. */
void kvp_place_note_event(struct kvp_place *place,
			  const struct inotify_event *event);

/*
 * The caller watches the file that the last look found, and will tell by
 * kvp_place_doubt_name when its names may have changed. Until then, or until an
 * event says otherwise, place->doubt is KVP_PLACE_SURE, if it can be.
 */
void kvp_place_trust(struct kvp_place *place);
void kvp_place_doubt_name(struct kvp_place *place);

/*
 * With ON, place->inotify becomes readable when files appear in the directory or
 * vanish from it. Returns whether that can be had.
 */
bool kvp_place_watch_names(struct kvp_place *place, bool on);

#endif
