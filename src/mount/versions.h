/* SPDX-License-Identifier: MIT */
/*
 * What the kernel knows of us. Two things, where other file systems have one:
 *
 *  - A file is an identity: a key and a number, for as long as the kernel or an
 *    open handle refers to it. It survives renames and changes of its value. A
 *    key that is gone leaves its open files behind ("unlinked").
 *
 *  - A node is what a FUSE node id stands for: one version of a file's value. The
 *    kernel has one size and one page cache per node, so whoever reads a version
 *    needs a node that keeps it. A new version, unless it was written by way of
 *    this node, gets a new node; the next lookup finds it. Not even an unused node
 *    can be given another value: answers to earlier lookups may still be on their
 *    way through the kernel. Nodes of one file share its number.
 *
 * So a node is never both pinned by readers and written. Whoever comes to a node
 * that is not for him is refused with ESTALE, upon which the kernel looks the name
 * up once more; that lookup gets a node of his own ("private"). Who is refused and
 * comes back to the same node had no name to look up (/proc/PID/fd).
 */
#ifndef KVPFS_FUSE_INODE_H
#define KVPFS_FUSE_INODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "events.h"
#include "store.h"

/*
 * Who was told to look up again and has not come back yet. More at a time than
 * there is room for only means that the oldest may be told so twice, and see it.
 */
#define KVPFS_REFUSALS 64

/*
 * Whatever a FUSE node id stands for begins with this; what can be done with it is
 * in the table (kvpfs.h).
 */
struct kvpfs_inode {
	const struct kvpfs_inode_ops *ops;
	struct kvpfs_dir *dir; /* the pool it belongs to; NULL: to none */
	uint64_t lookups;      /* references that the kernel has */
};

/* The files in ".kvpfs". */
enum kvpfs_control_kind {
	KVPFS_RECORDS,
	KVPFS_ENTRIES,
	KVPFS_POOL,
	KVPFS_STATUS,
	KVPFS_EVENTS,
	KVPFS_CONTROLS, /* how many there are */
};

struct kvpfs_control {
	struct kvpfs_inode inode; /* must come first */
	enum kvpfs_control_kind kind;
};

/* A mounted pool: one directory. */
struct kvpfs_dir {
	struct kvpfs_inode root;
	struct kvpfs_inode control; /* ".kvpfs" */
	struct kvpfs_control controls[KVPFS_CONTROLS];
	struct kvp_events events;
	int watch;	      /* readable: a look for events is due; -1 */
	bool look_due;	      /* it is, though nothing is readable */
	size_t lock_waits;    /* requests that found the lock taken */
	size_t lock_timeouts; /* and did not get it in time */
	const char *name;     /* of the pool, such as "guest", or of its file */
	uint64_t number;      /* among the mounted ones: part of each st_ino */
	bool torn_logged;
	bool other_ids; /* some files have other numbers than in the store */
	struct kvp_store *store;
	struct kvpfs_listing *listing; /* the latest, or NULL; */
	uint64_t listed_generation;    /* of the store, when it was made */
	void *files; /* tsearch(3) tree by key: the files that have a name */
	TAILQ_HEAD(, kvpfs_file) created; /* of which nothing is stored yet */
	TAILQ_HEAD(, kvpfs_node) nodes;	  /* all of them */
	pid_t refusals[KVPFS_REFUSALS];	  /* under way; 0: free */
	unsigned int refusal_count;
	unsigned int next_refusal;
};

struct kvpfs_file {
	struct kvp_bytes key; /* must come first: the tree compares it */
	char *key_data;	      /* what it points to, owned */
	struct kvpfs_dir *dir;
	uint64_t id;		 /* the store's number of it; see kvpfs_ino */
	struct kvpfs_node *node; /* for the next lookup; not counted in refs */
	unsigned int refs;	 /* nodes and handles */
	unsigned int creators;	 /* handles that made it and stored nothing */
	bool unlinked;
	TAILQ_ENTRY(kvpfs_file) link; /* while creators > 0 */
};

struct kvpfs_node {
	struct kvpfs_inode inode; /* must come first */
	struct kvpfs_file *file;
	struct kvp_value *value; /* a reference */
	unsigned int readers;	 /* open handles that pin the value */
	unsigned int writers;	 /* open handles that change it */
	unsigned int pending;	 /* those of them that have truncated it */
	unsigned int makers;	 /* those of them that have created the file */
	bool cached;		 /* the page cache may hold this value */
	bool private;		 /* made for one who was refused */
	bool resized;		 /* by path: see kvpfs_truncate */
	TAILQ_ENTRY(kvpfs_node) link;
};

/* Those of a pool's directory and of a key. */
extern const struct kvpfs_inode_ops kvpfs_pool_ops;
extern const struct kvpfs_inode_ops kvpfs_key_ops;

/* DIR is zeroed but for its name and number, and takes over STORE. */
void kvpfs_dir_init(struct kvpfs_dir *dir, struct kvp_store *store);

/* Frees what the kernel did not give back; no handle is open any more. */
void kvpfs_dir_release(struct kvpfs_dir *dir);

/* The file that has this name now, if the kernel or a handle knows it; or NULL. */
struct kvpfs_file *kvpfs_file_find(const struct kvpfs_dir *dir,
				   struct kvp_bytes key);

void kvpfs_file_ref(struct kvpfs_file *file);
void kvpfs_file_unref(struct kvpfs_file *file);

/* FILE is known by this name no more: its key was deleted or replaced. */
void kvpfs_file_unlink(struct kvpfs_file *file);

/* A handle that made FILE has stored nothing yet, or is done with that. */
void kvpfs_file_add_creator(struct kvpfs_file *file);
void kvpfs_file_remove_creator(struct kvpfs_file *file);

/*
 * The store has renamed FROM to TO, or exchanged the two. What is short of memory
 * for the new name becomes unlinked.
 */
void kvpfs_file_rename(struct kvpfs_dir *dir, struct kvp_bytes from,
		       struct kvp_bytes to, bool exchange);

/*
 * The node to answer a lookup of ITEM by PID with: one that shows ITEM's value and
 * that nobody writes or has cut. NULL: no memory. The caller counts the lookup.
 */
struct kvpfs_node *kvpfs_node_get(struct kvpfs_dir *dir,
				  const struct kvp_item *item, pid_t pid);

/*
 * PID would be refused: notes it and returns true, or false if this was noted
 * already, and ends it. The kernel looks up again only once, so it does not matter
 * for which file that was: the name may stand for another one by now.
 */
bool kvpfs_dir_refuse(struct kvpfs_dir *dir, pid_t pid);

/* PID was not refused. */
void kvpfs_dir_admit(struct kvpfs_dir *dir, pid_t pid);

/* NODE shows VALUE from now on. */
void kvpfs_node_set_value(struct kvpfs_node *node, struct kvp_value *value);

/* The kernel has given the last lookup back. */
void kvpfs_node_free(struct kvpfs_node *node);

#endif
