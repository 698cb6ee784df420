/* SPDX-License-Identifier: MIT */
/*
 * What watchers of a pool's directory know: the names and values that the kernel has
 * told them of, and the changes that are due to be told. The kernel itself tells of
 * changes through the mount; these are noted here when they succeed. A remaining
 * difference to the pool is a change by others, and is due. This module tells nobody
 * (watchers.h).
 *
 * If a key comes or goes through the mount while that is due as a change by others, it is
 * told once. If there is no memory to note something it is told once more. No FUSE and
 * no files; one thread.
 */
#ifndef KVPFS_TOLD_H
#define KVPFS_TOLD_H

#include <sys/queue.h>

#include "reading.h"

/* Which nodes' watches may have missed something. */
enum kvpfs_told_nodes {
	KVPFS_NODES_NONE,
	KVPFS_NODES_VERSIONS, /* those of files with several nodes */
	KVPFS_NODES_ALL,
};

/* A change that is due; told->names has it already. */
struct kvpfs_change {
	enum kvp_change kind; /* NEW, SET or GONE */
	bool over;	      /* the kernel has told of the key meanwhile */
	TAILQ_ENTRY(kvpfs_change) link;
	size_t key_len;
	char key[];
};

/* Zeroed: nobody is told anything, and nothing is noted. */
struct kvpfs_told {
	bool on;
	/* a reading of the store, changed as the kernel tells of changes */
	struct kvp_reading names;
	TAILQ_HEAD(, kvpfs_change) due;
	bool inexact; /* names may be wrong, though others have changed nothing */
	bool urgent; /* the agent must be told, as no inotify event tells it */
	enum kvpfs_told_nodes nodes;
};

/* Notes that watchers know what is in STORE now. Results as kvp_store_entries. */
int kvpfs_told_begin(struct kvpfs_told *told, struct kvp_store *store);
void kvpfs_told_end(struct kvpfs_told *told);

/*
 * The kernel has told that KEY was made with VALUE, got VALUE, or was removed. ID is the
 * store's number of KEY; 0: not known.
 */
void kvpfs_told_made(struct kvpfs_told *told, struct kvp_bytes key, uint64_t id,
		     struct kvp_value *value);
void kvpfs_told_stored(struct kvpfs_told *told, struct kvp_bytes key,
		       struct kvp_value *value);
void kvpfs_told_removed(struct kvpfs_told *told, struct kvp_bytes key);

/*
 * The kernel has told that FROM became TO, or that the two were exchanged. TO has its
 * present value and id, for the case that others have just made FROM and watchers do not
 * know it. The value may be NULL if watchers know FROM.
 */
void kvpfs_told_renamed(struct kvpfs_told *told, struct kvp_bytes from,
			const struct kvp_item *to, bool exchange);

/*
 * The kernel tells of a close before the closed file is stored. KEY got its value after
 * that, so the value is due to be told once more.
 */
void kvpfs_told_early(struct kvpfs_told *told, struct kvp_bytes key);

/*
 * The notes may be wrong: the next comparison is made even if others have changed
 * nothing, and the agent is to be told to ask for it.
 */
void kvpfs_told_doubt(struct kvpfs_told *told);

/* A file with several nodes was written or removed through one of them. */
static inline void kvpfs_told_versions(struct kvpfs_told *told)
{
	if (told->nodes == KVPFS_NODES_NONE)
		told->nodes = KVPFS_NODES_VERSIONS;
}

/* What watchers know of KEY, good until the next change; NULL: they do not know it. */
const struct kvp_entry *kvpfs_told_find(const struct kvpfs_told *told,
					struct kvp_bytes key);

/*
 * If nothing is due, makes each difference to what is in STORE now due, except for keys
 * that are gone and for which IS_KEPT is true. Results as kvp_store_entries; after
 * anything but 0 nothing has changed. Costs nothing if only the mount has changed STORE.
 */
int kvpfs_told_compare(struct kvpfs_told *told, struct kvp_store *store,
		       bool (*is_kept)(void *arg, struct kvp_bytes key),
		       void *arg);

/*
 * The first change that is due; NULL: there is none. It stays the first, and good, until
 * kvpfs_told_finish is called with it, or kvpfs_told_next once it is over.
 */
struct kvpfs_change *kvpfs_told_next(struct kvpfs_told *told);
void kvpfs_told_finish(struct kvpfs_told *told, struct kvpfs_change *change);

static inline struct kvp_bytes kvpfs_change_key(
	const struct kvpfs_change *change)
{
	return (struct kvp_bytes){ change->key, change->key_len };
}

#endif
