/* SPDX-License-Identifier: MIT */
/*
 * Which version of a key's value each open file shows. This module only decides; its
 * callers carry that out. It knows no FUSE.
 *
 *     key --> file --+-- node, current    value C  <-- reader, reader
 *             id     +-- node, outdated   value A  <-- reader
 *                    +-- node, outdated   value C  <-- writer
 *                    +-- node, private    value B
 *
 * A FILE is an identity: a key and a number, for as long as the kernel knows one of
 * its nodes. It survives renames and changes of its value. When its key is deleted
 * or replaced through this mount, the file has no key any more ("unlinked"). Its
 * handles then go on with a value that the file owns.
 *
 * A NODE is what a FUSE node id stands for: one version of a file's value, to which
 * it owns a reference. The kernel has one size and one page cache per node, and
 * fstat(2) asks for that size without naming a handle. So a reader needs a node
 * that keeps the reader's version. All nodes of a file show its number as st_ino.
 *
 * A HANDLE is an open file. A reader shows its node's value and pins it; if the node
 * has to show another value, the reader owns a reference to its own. A writer shows
 * what is stored now, and has its own pending changes (writer.h). A node's value
 * changes through a writer of that node. Otherwise a changed value gets a new node,
 * which the next lookup finds: answers to earlier lookups of the old node may still
 * be on their way through the kernel, and their order is not known.
 *
 * A lookup and the open that follows are two requests. If the looked up node does
 * not suit the open any more, the caller is refused with ESTALE. The kernel then
 * looks the name up once more, and that lookup gets a private node, which nobody
 * else can come to. So nobody is refused twice, and ESTALE reaches no program. A
 * caller that comes back to the node that refused it had no name to look up
 * (/proc/PID/fd), and is served there. Callers outside of the daemon's PID namespace
 * have pid 0 and cannot be told apart. They are never refused, and while too many others
 * are noted as refused, nobody is. Each lookup by such a caller gets a private node.
 *
 * One exception from "one version per open": when a value only grew, the node of
 * its readers may take the new one, so that "tail -f" follows (kvpfs_node_show).
 *
 * One thread at a time.
 */
#ifndef KVPFS_VERSIONS_H
#define KVPFS_VERSIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "inode.h"
#include "key_lock.h"
#include "keys.h"
#include "looks.h"
#include "refusals.h"
#include "store.h"
#include "writer.h"

enum kvpfs_node_kind {
	KVPFS_NODE_CURRENT, /* the file's first; lookups get it while it suits */
	KVPFS_NODE_OUTDATED, /* no lookup gets it; the kernel may know it */
	KVPFS_NODE_PRIVATE, /* made for one caller, who has not opened it yet */
	KVPFS_NODE_RETIRED, /* outdated, and its page cache is not used any more */
};

/* The files of one pool. Members are this module's; others may read other_ids. */
struct kvpfs_versions {
	const struct kvpfs_inode_ops *ops; /* of nodes */
	struct kvpfs_dir *dir;
	struct kvp_keys linked; /* the files that have a key */
	TAILQ_HEAD(, kvpfs_file) files;
	TAILQ_HEAD(, kvpfs_handle) handles; /* writers come first */
	struct kvpfs_refusals refusals;
	struct kvpfs_looks looks;
	bool other_ids; /* some files have other numbers than in the store */
};

struct kvpfs_file {
	struct kvp_bytes key; /* must come first: it is found by it */
	char *key_data;	      /* what key points to, owned */
	struct kvpfs_versions *versions;
	uint64_t id; /* the store's number of it, when it was made */
	/* the number of its key now, which may have been made again */
	uint64_t key_id;
	/* the value it has without a key; NULL: it has one */
	struct kvp_value *unlinked;
	struct kvpfs_lockable lockable; /* key_lock's */
	TAILQ_HEAD(kvpfs_node_list, kvpfs_node) nodes;
	struct kvpfs_node *named; /* the last lookup's node; NULL: it is gone */
	TAILQ_ENTRY(kvpfs_file) link;
};

struct kvpfs_node {
	struct kvpfs_inode inode; /* must come first */
	struct kvpfs_file *file;
	enum kvpfs_node_kind kind;
	struct kvp_value *value;
	unsigned int readers; /* handles that pin the value */
	unsigned int writers; /* handles that change it */
	bool cached;	      /* the page cache may hold this value */
	/* the value that watches on it know, a reference; NULL: the file is gone */
	struct kvp_value *told;
	TAILQ_ENTRY(kvpfs_node) link;
};

struct kvpfs_handle {
	struct kvpfs_node *node;
	pid_t pid; /* who opened it */
	bool writes;
	struct kvp_value *own;	  /* a reader's, if its node shows another */
	struct kvp_writer writer; /* if it writes */
	TAILQ_ENTRY(kvpfs_handle) link;
};

/* How the kernel may cache what a reader reads. */
enum kvpfs_caching {
	KVPFS_CACHE_KEEP, /* cache it; the pages that it has are of this value */
	KVPFS_CACHE_DROP, /* cache it, without the pages that it has */
	KVPFS_CACHE_NONE, /* ask for each read (direct_io) */
	KVPFS_CACHE_LOST, /* the same, and its attributes of the node are wrong */
};

/* V's nodes will belong to DIR and have OPS. */
void kvpfs_versions_init(struct kvpfs_versions *v, struct kvpfs_dir *dir,
			 const struct kvpfs_inode_ops *ops);

/* Frees all files and nodes. No handle may be used after that, nor may the kernel. */
void kvpfs_versions_release(struct kvpfs_versions *v);

/*
 * The node to answer a lookup of ITEM by PID with. It shows ITEM's value, and has no
 * writers. For PID 0 it is private. NULL: no memory. The caller counts the lookup in
 * inode.lookups.
 */
struct kvpfs_node *kvpfs_versions_lookup(struct kvpfs_versions *v,
					 const struct kvp_item *item,
					 pid_t pid);

/*
 * PID opens NODE to read or to write it. VALUE is what the key has now; for a writer it
 * may be NULL, if there is none. HANDLE is zeroed memory of the caller's; it is in use
 * until kvpfs_handle_release. A writer begins clean. A reader gets the version that its
 * lookup found, or VALUE. -ESTALE: look up again; HANDLE is as before.
 */
int kvpfs_node_admit_reader(struct kvpfs_node *node, struct kvp_value *value,
			    pid_t pid, struct kvpfs_handle *handle,
			    enum kvpfs_caching *ret_caching);
int kvpfs_node_admit_writer(struct kvpfs_node *node, struct kvp_value *value,
			    pid_t pid, struct kvpfs_handle *handle);

/*
 * PID wants to cut the value of NODE without opening it. 0: do so, in any number of
 * tries, and call kvpfs_node_cut and kvpfs_node_stored afterwards. Or -ESTALE.
 */
int kvpfs_node_admit_cut(struct kvpfs_node *node, pid_t pid);

/*
 * PID opens NODE to write it, and to empty it first. The kernel sets its own size of NODE
 * to 0 then, which would reach who has looked NODE up before and not yet gone on with our
 * answer. 0: go on with kvpfs_node_admit_writer. Or -ESTALE.
 */
int kvpfs_node_admit_emptier(struct kvpfs_node *node, pid_t pid);

/*
 * PID comes to NODE, whose file's key is gone. 0: admit it as a reader or writer; or
 * -ESTALE: look up again.
 */
int kvpfs_node_admit_without_key(struct kvpfs_node *node, pid_t pid);

/* HANDLE is closed; what is pending in it is lost. */
void kvpfs_handle_release(struct kvpfs_handle *handle);

/* The value that HANDLE, a reader, reads; the reference is borrowed. */
struct kvp_value *kvpfs_handle_value(const struct kvpfs_handle *handle);

/*
 * HANDLE, a reader, has come to the end of its value. STORED is what the key has now. If
 * the value only grew, HANDLE reads STORED from now on.
 */
void kvpfs_handle_follow(struct kvpfs_handle *handle, struct kvp_value *stored);

/*
 * The value that fstat(2) shows of NODE while the key has STORED (NULL: none). The
 * reference is borrowed. If the value of NODE's readers only grew, NODE shows STORED from
 * now on; the kernel drops its pages when it learns the new size.
 */
struct kvp_value *kvpfs_node_show(struct kvpfs_node *node,
				  struct kvp_value *stored);

/*
 * The writer of NODE that PID has opened, or NULL. An fstat(2) of NODE by PID is most
 * likely about that one: lookups do not find a node that has writers.
 */
struct kvpfs_handle *kvpfs_node_find_writer(const struct kvpfs_node *node,
					    pid_t pid);

/*
 * VALUE was stored through NODE, or is the new value of its unlinked file. Watches on
 * NODE know of it.
 */
void kvpfs_node_stored(struct kvpfs_node *node, struct kvp_value *value);

/*
 * PID has cut NODE by truncate(2), which opens nothing. The kernel takes over the new
 * size only when the caller goes on with our reply, which may be late. Until then reads
 * through the page cache give zeros up to the old size. So kvpfs_node_cut retires NODE.
 */
void kvpfs_node_cut(struct kvpfs_node *node, pid_t pid);
void kvpfs_node_retire(struct kvpfs_node *node);

/* The writer HANDLE has emptied its file: earlier ones leave the file to HANDLE. */
void kvpfs_handle_emptied(struct kvpfs_handle *handle);

/* Whether a handle has created or emptied FILE, and nothing is stored of that yet. */
bool kvpfs_file_is_pending(const struct kvpfs_file *file);

/* Notes that watches on NODE know VALUE; NULL: know that its file is gone. */
void kvpfs_node_tell(struct kvpfs_node *node, struct kvp_value *value);

/* Whether FILE has several nodes, so that its watches may know different values. */
bool kvpfs_file_has_versions(const struct kvpfs_file *file);

/*
 * The first node that the kernel knows and VISIT accepts; NULL: none. It is good until
 * the kernel forgets it.
 */
struct kvpfs_node *kvpfs_versions_first(const struct kvpfs_versions *v,
					bool (*visit)(void *arg,
						      struct kvpfs_node *node),
					void *arg);

/* Frees NODE: the kernel has given its last lookup back, and no handle is open. */
void kvpfs_node_forget(struct kvpfs_node *node);

/* The file that has this key, if the kernel knows it; or NULL. */
struct kvpfs_file *kvpfs_versions_find(const struct kvpfs_versions *v,
				       struct kvp_bytes key);

/* Whether FILE has open handles. */
bool kvpfs_file_is_open(const struct kvpfs_file *file);

/* The file that has this key if a handle has created it, and nothing is stored yet. */
const struct kvpfs_file *kvpfs_versions_find_created(
	const struct kvpfs_versions *v, struct kvp_bytes key);

/* Calls VISIT for each such file, until one returns not 0. */
int kvpfs_versions_each_created(const struct kvpfs_versions *v,
				int (*visit)(void *arg,
					     const struct kvpfs_file *file),
				void *arg);

/* Whether there is such a file. */
bool kvpfs_versions_any_created(const struct kvpfs_versions *v);

/*
 * FILE's key was deleted or replaced, while it had VALUE (NULL: what its newest node
 * shows).
 */
void kvpfs_file_unlink(struct kvpfs_file *file, struct kvp_value *value);

/*
 * The store has renamed FROM to TO, or exchanged the two. A file that TO replaced must be
 * unlinked before. If there is no memory for a file's new key, the file is unlinked.
 */
void kvpfs_versions_rename(struct kvpfs_versions *v, struct kvp_bytes from,
			   struct kvp_bytes to);

#endif
