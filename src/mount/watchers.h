/* SPDX-License-Identifier: MIT */
/*
 * inotify and fanotify on the mount tell of what others change in the pools. The kernel
 * itself tells of changes through the mount, once. For changes by others an agent
 * (agent.h) does by path what makes the kernel tell. This module answers the agent: it
 * grants what the errand needs, and stores nothing.
 *
 *	outside		watchers of the directory	of the key's file
 *	new key		CREATE, MODIFY, CLOSE_WRITE	-
 *	other value	MODIFY, CLOSE_WRITE		the same
 *	key gone	DELETE				ATTRIB, DELETE_SELF
 *
 * A watch on a file sits on the kernel's inode: on the node (versions.h) that was
 * current when it was put there, which lives as long as the watch. The agent finds older
 * nodes by hidden names (aliases) below ".kvpfs", which nobody else can look up. If a
 * file is written through one node, the kernel tells watches on that node only. The agent
 * tells those on others.
 */
#ifndef KVPFS_WATCHERS_H
#define KVPFS_WATCHERS_H

#include "call.h"

/*
 * If the options want watchers to be told, notes what is in the pools: changes by others
 * from now on are told. Call this before anybody can see the mount.
 */
void kvpfs_watchers_prepare(struct kvpfs *fs);

/*
 * Starts the agent, if that was prepared. A failure is logged, and tried again. The
 * program must not fork any more.
 */
void kvpfs_watchers_start(struct kvpfs *fs);

/*
 * Ends the agent. Its requests to the mount must still be served after this. Call
 * kvpfs_watchers_release when nothing is served any more; it may be called twice.
 */
void kvpfs_watchers_stop(struct kvpfs *fs);
void kvpfs_watchers_release(struct kvpfs *fs);

/*
 * Starts another agent if the old one has ended. Call this when a child has ended, and
 * when the time of kvpfs_watchers_pause is over.
 */
void kvpfs_watchers_check(struct kvpfs *fs);

/* In so many milliseconds another agent is to be started; -1: there is one. */
int kvpfs_watchers_pause(const struct kvpfs *fs);

/* If the agent has a question, looks at the pools and answers it. */
void kvpfs_watchers_answer(struct kvpfs *fs);

/* Whether the agent is on an errand: somebody waits for what it tells. */
bool kvpfs_watchers_are_told(const struct kvpfs *fs);

/* Makes the agent ask, if something is due of which no event of a pool tells it. */
void kvpfs_watchers_wake(struct kvpfs *fs);

/* Stands for each file that the agent has open. */
extern struct kvpfs_open kvpfs_agent_open;

/* The agent's operations on any inode. Unlike others, its RELEASE replies. */
extern const struct kvpfs_inode_ops kvpfs_agent_ops;

/* Whether REQ is the agent's. A RELEASE may come without a pid, but FI tells. */
static inline bool kvpfs_is_agent(const struct kvpfs *fs, fuse_req_t req,
				  const struct fuse_file_info *fi)
{
	return fs->agent > 0 &&
	       (fuse_req_ctx(req)->pid == fs->agent ||
		(fi && fi->fh == (uintptr_t)&kvpfs_agent_open));
}

#endif
