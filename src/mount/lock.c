/* SPDX-License-Identifier: MIT */
#include "lock.h"

#include <errno.h>

static struct kvpfs_lockable *lockable_of(const struct kvpfs_call *call)
{
	const struct kvpfs_inode_ops *ops = call->inode->ops;

	return ops->lockable ? ops->lockable(call->inode) : NULL;
}

static int get(struct kvpfs *fs, struct kvpfs_call *call,
	       const struct kvpfs_locker *locker)
{
	int r = kvpfs_locks_get(&fs->locks, locker, &call->lock.record);

	if (r == 0)
		fuse_reply_lock(call->req, &call->lock.record);
	return r;
}

/* If the caller is gone and gets no answer, the lock ends with its close. */
static int take(struct kvpfs *fs, struct kvpfs_call *call,
		const struct kvpfs_locker *locker)
{
	const struct kvpfs_call_lock *lock = &call->lock;
	int r = lock->kind == KVPFS_FLOCK
			? kvpfs_locks_flock(&fs->locks, locker, lock->operation)
			: kvpfs_locks_set(&fs->locks, locker, &lock->record);

	if (r == -EAGAIN && lock->waits)
		return KVPFS_PARK;
	if (r == 0)
		fuse_reply_err(call->req, 0);
	return r;
}

int kvpfs_run_lock(struct kvpfs *fs, struct kvpfs_call *call)
{
	const struct kvpfs_locker locker = {
		.file = lockable_of(call),
		.owner = call->fi.lock_owner,
		.handle = call->fi.fh,
		.pid = call->lock.record.l_pid,
	};

	if (!locker.file)
		return -ENOLCK;
	return call->lock.kind == KVPFS_GETLK ? get(fs, call, &locker)
					      : take(fs, call, &locker);
}

void kvpfs_lock_flushed(struct kvpfs *fs, const struct kvpfs_call *call)
{
	kvpfs_locks_end_owner(&fs->locks, lockable_of(call),
			      call->fi.lock_owner);
}

void kvpfs_lock_closed(struct kvpfs *fs, const struct kvpfs_call *call)
{
	kvpfs_locks_end_handle(&fs->locks, call->fi.fh);
}

void kvpfs_lock_wake(struct kvpfs *fs)
{
	/* a call that goes on may give back a lock in exchange for another */
	while (kvpfs_locks_take_freed(&fs->locks))
		kvpfs_calls_wake(fs);
}
