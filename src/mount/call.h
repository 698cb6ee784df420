/* SPDX-License-Identifier: MIT */
/*
 * One request of the kernel, from its arrival to its one reply. The session loop is
 * one thread and never waits. Each request becomes a struct kvpfs_call, whose RUN
 * function (inode.h) does the work and replies. A call that finds the pool locked is
 * put aside. It is tried again every KVP_LOCK_PAUSE_MS, while the loop serves others,
 * until it succeeds, its time is up (EBUSY) or its caller is interrupted (EINTR). A try
 * asks for the lock first, and does nothing else if the lock is taken.
 *
 * close(2) does not wait for the request that tells of it (RELEASE). So while a closed
 * file waits to be stored, all calls about the same key wait behind it. If it replaces
 * the whole pool, all calls about the pool wait.
 *
 * This module knows no kind of file. One thread.
 */
#ifndef KVPFS_CALL_H
#define KVPFS_CALL_H

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 310
#endif

#include <fuse_lowlevel.h>

#include "fs.h"

/* A call about locks: flock(2), or F_GETLK or F_SETLK of fcntl(2). */
enum kvpfs_lock_kind { KVPFS_FLOCK, KVPFS_GETLK, KVPFS_SETLK };

struct kvpfs_call_lock {
	enum kvpfs_lock_kind kind;
	bool waits;
	int operation; /* flock's, without LOCK_NB */
	struct flock record;
};

struct kvpfs_call {
	kvpfs_run *run;
	const char *what; /* for the log */
	fuse_req_t req;
	/* the file or directory; for a call about a name, the name's directory */
	struct kvpfs_inode *inode;
	const struct kvpfs_inode_ops *ops; /* inode's; the agent's: its own */
	struct kvpfs_inode *new_parent;
	const char *name;
	const char *new_name;
	const char *data;
	size_t size;
	off_t offset;
	unsigned int flags;
	struct stat attr;
	bool has_handle;
	bool closes; /* a RELEASE: whatever comes of it, the file is closed */
	struct fuse_file_info fi;
	struct fuse_pollhandle *poll;
	bool locks; /* it is about locks, and lock says more */
	struct kvpfs_call_lock lock;
	bool stored; /* set by RUN: all but the reply is done */
	bool logged; /* set by RUN: the log says why it failed */
};

/* The open file (fs.h) of CALL, which has a handle. */
static inline struct kvpfs_open *kvpfs_call_open(const struct kvpfs_call *call)
{
	return (struct kvpfs_open *)(uintptr_t)call->fi.fh;
}

/* The process that made CALL; 0: the kernel does not say. */
static inline pid_t kvpfs_call_pid(const struct kvpfs_call *call)
{
	return fuse_req_ctx(call->req)->pid;
}

/* Sets up what waiting calls need; -ENOMEM. */
int kvpfs_calls_init(struct kvpfs *fs);
void kvpfs_calls_release(struct kvpfs *fs);

/* Runs CALL now, or a copy of it later. Replies once. */
void kvpfs_call_start(struct kvpfs_call *call);

/*
 * Logs why CALL, about a pool, will fail, and which process made it. This takes the
 * place of the line that each failure gets.
 */
void kvpfs_call_explain(struct kvpfs_call *call, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Replies with RESULT, which is not 0, to CALL, which was not started. */
void kvpfs_call_refuse(struct kvpfs_call *call, int result);

/* RUN of a request that tells of a closed file: stores, closes, replies. */
kvpfs_run kvpfs_run_release;

/* Whether calls wait for a lock; then kvpfs_calls_retry is due in KVP_LOCK_PAUSE_MS. */
bool kvpfs_calls_wait(const struct kvpfs *fs);
void kvpfs_calls_retry(struct kvpfs *fs);

/* Run all parked calls again; or end those that were interrupted. */
void kvpfs_calls_wake(struct kvpfs *fs);
void kvpfs_calls_end_interrupted(struct kvpfs *fs);

/*
 * The session is over: stores the closed files, which may take as long as lock_timeout,
 * and ends all other calls.
 */
void kvpfs_calls_end(struct kvpfs *fs);

/*
 * The kernel counts references to inodes. kvpfs_reply_inode answers a lookup with INODE,
 * and so adds one. kvpfs_fill_entry fills in such an answer, and counts it.
 * kvpfs_inode_forget gives COUNT references back; the last one frees the inode.
 */
void kvpfs_reply_inode(struct kvpfs *fs, fuse_req_t req,
		       struct kvpfs_inode *inode);
void kvpfs_fill_entry(struct kvpfs *fs, struct kvpfs_inode *inode,
		      struct fuse_entry_param *entry);
void kvpfs_inode_forget(struct kvpfs_inode *inode, uint64_t count);

/* Replies to a read with the part of CONTENT that it asks for. */
void kvpfs_reply_part(const struct kvpfs_call *call, struct kvp_bytes content);

#endif
