/* SPDX-License-Identifier: MIT */
/*
 * What watchers are to be told of next: a change by others in a pool (told.h), or one
 * that the watches on a single node (versions.h) have missed. Each becomes an errand of
 * the agent. This module only decides; watchers.h sends the agent. One thread.
 */
#ifndef KVPFS_DUE_H
#define KVPFS_DUE_H

#include "agent.h"
#include "fs.h"

/* How far the agent has come with its errand. */
enum kvpfs_progress {
	KVPFS_SENT,  /* it has made no request to the mount yet */
	KVPFS_BEGUN, /* it has made one */
	KVPFS_DONE,  /* the kernel tells watchers, or has told them */
};

/*
 * An errand of the agent: to tell of CHANGE; or, without a change, of what watches on
 * NODE have missed. The agent finds such a node by its hidden name.
 */
struct kvpfs_due {
	enum kvpfs_errand_kind kind; /* KVPFS_ERRAND_NONE: there is nothing */
	enum kvpfs_progress progress;
	struct kvpfs_dir *dir;
	struct kvpfs_change *change;
	struct kvpfs_node *node; /* with a change: what the agent found */
};

/*
 * Finds what is due next, from each pool in turn, beginning with pool *TURN. *RET_ALL:
 * all pools were looked at; else one is locked, or there is no memory.
 */
void kvpfs_due_find(struct kvpfs *fs, size_t *turn, struct kvpfs_due *due,
		    bool *ret_all);

/*
 * The agent has come for DUE: sets due->node to the node to answer it with. KVP_ABSENT:
 * the kernel itself has told of the change meanwhile, or has forgotten the node.
 * -ENOMEM: DUE is as if the agent had not come.
 */
int kvpfs_due_find_node(struct kvpfs *fs, struct kvpfs_due *due);

/* This request makes the kernel tell: watches on the node know the present value now. */
void kvpfs_due_tell(struct kvpfs_due *due);

/*
 * The agent asks for another errand. If it has made no request to the mount, because it
 * cannot find the mount, DUE stays due. Else DUE is over, also if it was refused: the
 * next time would be no other. Afterwards DUE is empty.
 */
void kvpfs_due_end(struct kvpfs_due *due);

/*
 * The agent has ended, or was hindered. DUE is due again, without what was done of it.
 * Afterwards DUE is empty.
 */
void kvpfs_due_resume(struct kvpfs_due *due);

#endif
