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

#include "fuse_inode.h"
#include "options.h"
#include "writer.h"

#define KVPFS_INO_ROOT 1

/* st_ino of the entry with this id; the first ones are reserved. */
static inline ino_t kvpfs_ino(uint64_t id)
{
	return id + 15;
}

struct kvpfs_handle;
struct kvpfs_open_dir;
struct kvpfs_waiting;

struct kvpfs {
	const struct kvpfs_options *options;
	struct fuse_session *session;
	struct kvpfs_dir dir;
	struct kvp_value *empty; /* what a file shows that was just created */
	TAILQ_HEAD(, kvpfs_handle) handles;
	TAILQ_HEAD(, kvpfs_open_dir) open_dirs;
	TAILQ_HEAD(kvpfs_calls, kvpfs_waiting) waiting;
	int64_t tried_ms; /* when those were last run */
	bool ready;	  /* the kernel has been answered once */
	bool torn_logged;
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
	/*
	 * 0: replied. Else a result (result.h) to reply with, or KVP_LOCKED: to
	 * be run again; then nothing has changed.
	 */
	int (*run)(struct kvpfs *fs, struct kvpfs_call *call);
	/* if set: cleans up when the call fails for good */
	void (*abandon)(struct kvpfs *fs, struct kvpfs_call *call);
	const char *what; /* for the log */
	fuse_req_t req;
	fuse_ino_t ino;
	fuse_ino_t new_parent;
	const char *name;
	const char *new_name;
	const char *data;
	size_t size;
	off_t offset;
	unsigned int flags;
	struct stat attr;
	bool has_handle;
	struct fuse_file_info fi;
	size_t value_len; /* out: for the message of a refusal */
};

/* fuse_call.c */

/* Runs CALL now or later; it is copied if that must be. Replies once. */
void kvpfs_call_start(struct kvpfs_call *call);

/* Runs again what is waiting, if it is time. */
void kvpfs_calls_run_waiting(struct kvpfs *fs);

/* Ends all that is waiting: the session is over. */
void kvpfs_calls_abort(struct kvpfs *fs);

/* Logs that doing WHAT to the key of NAME (or, if NULL, of INO) failed. */
void kvpfs_log_failure(struct kvpfs *fs, const struct kvpfs_call *call,
		       int result);

static inline struct kvpfs_node *kvpfs_node(fuse_ino_t ino)
{
	return (struct kvpfs_node *)(uintptr_t)ino;
}

static inline struct kvpfs_handle *kvpfs_handle(const struct fuse_file_info *fi)
{
	return (struct kvpfs_handle *)(uintptr_t)fi->fh;
}

/* fuse_attr.c */

/* Attributes of the directory, as of the last look at the pool. */
void kvpfs_fill_root(struct kvpfs *fs, struct stat *st);

/* Those of NODE, with VALUE as its content. */
void kvpfs_fill_node(struct kvpfs *fs, const struct kvpfs_node *node,
		     const struct kvp_value *value, struct stat *st);

int kvpfs_run_getattr(struct kvpfs *fs, struct kvpfs_call *call);
int kvpfs_run_setattr(struct kvpfs *fs, struct kvpfs_call *call);
int kvpfs_run_statfs(struct kvpfs *fs, struct kvpfs_call *call);

/* fuse_dir.c: what happens to names */

/*
 * What KEY is in this mount: what is stored, or the empty file that somebody just
 * creates. KVP_ABSENT; on success the caller owns the reference in the item.
 */
int kvpfs_find(struct kvpfs *fs, struct kvp_bytes key,
	       struct kvp_item *ret_item);

/*
 * The key of NAME, in BUF. Of a name that is no key's: ABSENT, the result for
 * what the caller wants to do with it.
 */
int kvpfs_key_of(const char *name, int absent, char buf[],
		 struct kvp_bytes *ret_key);

/* Stores the empty value for a file that is only being created. */
int kvpfs_store_created(struct kvpfs *fs, struct kvp_bytes key);

/* Replies with NODE, which the kernel then knows. */
void kvpfs_reply_entry(struct kvpfs *fs, fuse_req_t req,
		       struct kvpfs_node *node);

void kvpfs_fill_entry(struct kvpfs *fs, struct kvpfs_node *node,
		      struct fuse_entry_param *entry);

int kvpfs_run_lookup(struct kvpfs *fs, struct kvpfs_call *call);
int kvpfs_run_mknod(struct kvpfs *fs, struct kvpfs_call *call);
int kvpfs_run_unlink(struct kvpfs *fs, struct kvpfs_call *call);
int kvpfs_run_rename(struct kvpfs *fs, struct kvpfs_call *call);

/* fuse_list.c */

int kvpfs_run_opendir(struct kvpfs *fs, struct kvpfs_call *call);
int kvpfs_run_readdir(struct kvpfs *fs, struct kvpfs_call *call);
int kvpfs_run_releasedir(struct kvpfs *fs, struct kvpfs_call *call);
void kvpfs_open_dir_close(struct kvpfs *fs, struct kvpfs_open_dir *dir);

/* fuse_file.c: what happens to open files */

int kvpfs_run_create(struct kvpfs *fs, struct kvpfs_call *call);
int kvpfs_run_open(struct kvpfs *fs, struct kvpfs_call *call);
int kvpfs_run_read(struct kvpfs *fs, struct kvpfs_call *call);
int kvpfs_run_write(struct kvpfs *fs, struct kvpfs_call *call);
int kvpfs_run_flush(struct kvpfs *fs, struct kvpfs_call *call);
int kvpfs_run_fsync(struct kvpfs *fs, struct kvpfs_call *call);
int kvpfs_run_release(struct kvpfs *fs, struct kvpfs_call *call);
void kvpfs_abandon_release(struct kvpfs *fs, struct kvpfs_call *call);

/* Cuts or empties NODE's value; HANDLE: by this writer, or NULL. */
int kvpfs_truncate(struct kvpfs *fs, struct kvpfs_call *call);

/* Waits for every fsync that is under way. */
void kvpfs_syncs_wait(struct kvpfs *fs);

void kvpfs_handle_close(struct kvpfs *fs, struct kvpfs_handle *handle);

/* fuse_ops.c */
extern const struct fuse_lowlevel_ops kvpfs_ops;

#endif
