/* SPDX-License-Identifier: MIT */
/*
 * The front end's inside: its state, its open files, and how a request becomes
 * one call of the core and one reply.
 *
 * The session loop is one thread and never waits. Each request becomes a struct
 * kvpfs_call, whose RUN function does the work and replies. When RUN finds the
 * pool locked it has changed nothing and not replied: the call is put aside and
 * RUN again every millisecond while the loop goes on serving others, until it
 * succeeds, its time is up (EBUSY) or its caller is interrupted (EINTR). So no
 * state is shared between threads, nobody waits while holding one of the two
 * locks, and nothing wakes up when nobody waits. Only fsync has a thread, which
 * shares nothing but its request.
 */
#ifndef KVPFS_H
#define KVPFS_H

#define FUSE_USE_VERSION 310

#include <fuse_lowlevel.h>
#include <pthread.h>

#include "versions.h"
#include "options.h"
#include "writer.h"

/* Pools that one mount may show: those of a directory. */
#define KVPFS_MAX_DIRS 5

/* st_ino: which pool, and the number of the entry behind some reserved ones. */
enum { KVPFS_INO_ROOT = 1, KVPFS_INO_CONTROL = 2, KVPFS_INO_ENTRIES = 15 };

static inline ino_t kvpfs_ino(const struct kvpfs_dir *dir, uint64_t number)
{
	return (dir ? dir->number << 56 : 0) | number;
}

struct kvpfs;
struct kvpfs_call;
struct kvpfs_listing;
struct kvpfs_handle;
struct kvpfs_open_dir;
struct kvpfs_control_handle;
struct kvpfs_event_handle;
struct kvpfs_waiting;

/*
 * 0: replied. Else a result (result.h) to reply with; or nothing has changed, and
 * the call is to be run again: KVP_LOCKED soon, KVPFS_PARK when kvpfs_calls_wake
 * says so.
 */
enum { KVPFS_PARK = 1000 };
typedef int kvpfs_run(struct kvpfs *fs, struct kvpfs_call *call);

/* What can be done with an inode. NULL: EPERM. */
struct kvpfs_inode_ops {
	/* attributes, as of the last look at the pool */
	void (*fill)(struct kvpfs *fs, const struct kvpfs_inode *inode,
		     struct stat *st);
	/* of a directory: its entries, by way of kvpfs_list_name */
	int (*list)(struct kvpfs *fs, const struct kvpfs_inode *inode,
		    struct kvpfs_listing *listing);
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
	kvpfs_run *flush;
	kvpfs_run *fsync;
	kvpfs_run *release;
	/* if release fails for good: frees the handle */
	void (*abandon_release)(struct kvpfs *fs, struct kvpfs_call *call);
	kvpfs_run *poll; /* NULL: always ready */
	/* the kernel does not know it any more; NULL: it stays */
	void (*forgotten)(struct kvpfs_inode *inode);
};

struct kvpfs {
	const struct kvpfs_options *options;
	struct fuse_session *session;
	struct kvpfs_inode *root; /* what FUSE_ROOT_ID stands for */
	struct kvpfs_inode top;	  /* above the pools, if there are several */
	struct kvpfs_dir dirs[KVPFS_MAX_DIRS];
	size_t dir_count;
	struct kvp_value *empty; /* what a file shows that was just created */
	TAILQ_HEAD(, kvpfs_handle) handles;
	TAILQ_HEAD(, kvpfs_open_dir) open_dirs;
	TAILQ_HEAD(, kvpfs_control_handle) control_handles;
	TAILQ_HEAD(, kvpfs_event_handle) event_handles;
	TAILQ_HEAD(kvpfs_event_nodes, kvpfs_event_node) event_nodes;
	TAILQ_HEAD(kvpfs_calls, kvpfs_waiting) waiting;
	struct kvpfs_calls parked;
	bool interrupted;	   /* one of those is */
	int64_t tried_ms;	   /* when those were last run */
	bool nonblocking;	   /* reads of requests do not wait */
	bool ready;		   /* the kernel has been answered once */
	pthread_mutex_t sync_lock; /* for the next two alone */
	pthread_cond_t sync_ended;
	unsigned int syncs; /* threads that wait for the disk */
};

/* An open file. */
struct kvpfs_handle {
	struct kvpfs_node *node;
	struct kvp_value *value; /* a reader's version; NULL: a writer */
	bool pins;		 /* counts in node->readers */
	bool creator;		 /* counts in file->creators */
	bool truncated;		 /* counts in node->pending */
	bool maker;		 /* counts in node->makers */
	struct kvp_writer writer;
	TAILQ_ENTRY(kvpfs_handle) link;
};

struct kvpfs_call {
	kvpfs_run *run;
	/* if set: cleans up when the call fails for good */
	void (*abandon)(struct kvpfs *fs, struct kvpfs_call *call);
	const char *what; /* for the log */
	fuse_req_t req;
	struct kvpfs_inode
		*inode; /* what it is about; its directory for names */
	struct kvpfs_inode *new_parent;
	const char *name;
	const char *new_name;
	const char *data;
	size_t size;
	off_t offset;
	unsigned int flags;
	struct stat attr;
	bool has_handle;
	struct fuse_file_info fi;
	struct fuse_pollhandle *poll;
	bool stored;	  /* half-way: the rest only replies */
	bool logged;	  /* out: the log knows why it failed */
	size_t value_len; /* out: for the message of a refusal */
};

/* fuse_call.c */

/* Runs CALL now or later; it is copied if that must be. Replies once. */
void kvpfs_call_start(struct kvpfs_call *call);

/* Runs again what is waiting, if it is time. */
void kvpfs_calls_run_waiting(struct kvpfs *fs);

/* Runs again what is parked; or ends those of it that are interrupted. */
void kvpfs_calls_wake(struct kvpfs *fs);
void kvpfs_calls_end_interrupted(struct kvpfs *fs);

/* Ends all that is waiting: the session is over, and the stores may wait. */
void kvpfs_calls_end(struct kvpfs *fs);

/* Logs that CALL failed, and what it was about. */
void kvpfs_log_failure(const struct kvpfs_call *call, int result);

/* INODE is a key's. */
static inline struct kvpfs_node *kvpfs_node(struct kvpfs_inode *inode)
{
	return (struct kvpfs_node *)inode;
}

static inline struct kvpfs_handle *kvpfs_handle(const struct fuse_file_info *fi)
{
	return (struct kvpfs_handle *)(uintptr_t)fi->fh;
}

/* fuse_attr.c */

/* Attributes of the directory of a pool; those of its ".kvpfs" are alike. */
void kvpfs_fill_dir(struct kvpfs *fs, const struct kvpfs_inode *inode,
		    struct stat *st);

/* Those of a file below it, but for its number and size. */
void kvpfs_fill_file(struct kvpfs *fs, struct kvpfs_dir *dir, struct stat *st);

/* Those of a key; kvpfs_fill_node: with VALUE as its content. */
void kvpfs_fill_key(struct kvpfs *fs, const struct kvpfs_inode *inode,
		    struct stat *st);
void kvpfs_fill_node(struct kvpfs *fs, const struct kvpfs_node *node,
		     const struct kvp_value *value, struct stat *st);

/* Whether CALL, a setattr, wants no other mode and owner than ST's. */
int kvpfs_check_setattr(const struct kvpfs_call *call, const struct stat *st);

kvpfs_run kvpfs_run_getattr_dir;
kvpfs_run kvpfs_run_setattr_dir;
kvpfs_run kvpfs_run_getattr_key;
kvpfs_run kvpfs_run_setattr_key;
kvpfs_run kvpfs_run_statfs;

/* fuse_dir.c: what happens to names */

/*
 * What KEY is in this mount: what is stored, or the empty file that somebody just
 * creates. KVP_ABSENT; on success the caller owns the reference in the item.
 */
int kvpfs_find(struct kvpfs *fs, struct kvpfs_dir *dir, struct kvp_bytes key,
	       struct kvp_item *ret_item);

/*
 * The key of NAME, in BUF. Of a name that is no key's: ABSENT, the result for
 * what the caller wants to do with it.
 */
int kvpfs_key_of(const char *name, int absent, char buf[],
		 struct kvp_bytes *ret_key);

/* Replies with INODE, as the kernel looks it up; it knows it then. */
void kvpfs_reply_inode(struct kvpfs *fs, fuse_req_t req,
		       struct kvpfs_inode *inode);

/* The kernel gives COUNT lookups back, and with the last one the inode. */
void kvpfs_forget(struct kvpfs_inode *inode, uint64_t count);

void kvpfs_fill_entry(struct kvpfs *fs, struct kvpfs_inode *inode,
		      struct fuse_entry_param *entry);

/* fuse_list.c */

void kvpfs_listing_unref(struct kvpfs_listing *listing);

/* Adds an entry; -ENOMEM. */
int kvpfs_list_name(struct kvpfs_listing *listing, const char *name, ino_t ino,
		    mode_t type);

/* The keys of a pool. */
int kvpfs_list_pool(struct kvpfs *fs, const struct kvpfs_inode *inode,
		    struct kvpfs_listing *listing);

kvpfs_run kvpfs_run_opendir;
kvpfs_run kvpfs_run_readdir;
kvpfs_run kvpfs_run_releasedir;
void kvpfs_open_dir_close(struct kvpfs *fs, struct kvpfs_open_dir *dir);

/* fuse_file.c: what happens to open files */

kvpfs_run kvpfs_run_create;
kvpfs_run kvpfs_run_fsync;

/* Replies to a read with the part of CONTENT that it asks for. */
void kvpfs_reply_part(const struct kvpfs_call *call, struct kvp_bytes content);

/* Cuts or empties NODE's value; HANDLE: by this writer, or NULL. */
int kvpfs_truncate(struct kvpfs *fs, struct kvpfs_call *call);

/* Waits for every fsync that is under way. */
void kvpfs_syncs_wait(struct kvpfs *fs);

/* The session is over: stores what is pending, and closes. */
void kvpfs_handle_finish(struct kvpfs *fs, struct kvpfs_handle *handle);
void kvpfs_handle_close(struct kvpfs *fs, struct kvpfs_handle *handle);

/* fuse_top.c, fuse_control.c, fuse_events.c */

extern const struct kvpfs_inode_ops kvpfs_top_ops;

/* What a file of ".kvpfs" is called; NULL: INODE is none. */
const char *kvpfs_control_name(const struct kvpfs_inode *inode);

/* Sets up DIR's ".kvpfs". */
void kvpfs_control_init(struct kvpfs_dir *dir);

void kvpfs_control_handle_close(struct kvpfs *fs,
				struct kvpfs_control_handle *handle);
void kvpfs_event_nodes_release(struct kvpfs *fs);
void kvpfs_event_handle_close(struct kvpfs *fs,
			      struct kvpfs_event_handle *handle);

/* Looks for changes that readers of events wait for, and tells them. */
void kvpfs_events_look(struct kvpfs *fs);

/* fuse_ops.c */
extern const struct fuse_lowlevel_ops kvpfs_ops;

#endif
