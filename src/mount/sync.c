/* SPDX-License-Identifier: MIT */
#include "sync.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct kvpfs_syncs {
	pthread_mutex_t lock; /* for the other members */
	pthread_cond_t ended;
	unsigned int count; /* threads that wait for the disk */
};

struct sync {
	struct kvpfs_syncs *syncs;
	fuse_req_t req;
	int fd;
};

int kvpfs_syncs_init(struct kvpfs *fs)
{
	fs->syncs = calloc(1, sizeof(*fs->syncs));
	if (!fs->syncs)
		return -ENOMEM;
	pthread_mutex_init(&fs->syncs->lock, NULL);
	pthread_cond_init(&fs->syncs->ended, NULL);
	return 0;
}

void kvpfs_syncs_release(struct kvpfs *fs)
{
	struct kvpfs_syncs *syncs = fs->syncs;

	if (!syncs)
		return;
	pthread_mutex_lock(&syncs->lock);
	while (syncs->count > 0)
		pthread_cond_wait(&syncs->ended, &syncs->lock);
	pthread_mutex_unlock(&syncs->lock);
	pthread_cond_destroy(&syncs->ended);
	pthread_mutex_destroy(&syncs->lock);
	free(syncs);
	fs->syncs = NULL;
}

static void count_sync(struct kvpfs_syncs *syncs, int change)
{
	pthread_mutex_lock(&syncs->lock);
	syncs->count += (unsigned int)change;
	pthread_cond_broadcast(&syncs->ended);
	pthread_mutex_unlock(&syncs->lock);
}

static void *run_sync(void *arg)
{
	struct sync *sync = arg;

	fuse_reply_err(sync->req, fdatasync(sync->fd) == 0 ? 0 : errno);
	close(sync->fd);
	count_sync(sync->syncs, -1);
	free(sync);
	return NULL;
}

/* The thread takes no signals: one that ends the session must reach its loop. */
static int start_thread(struct sync *sync)
{
	pthread_t thread;
	sigset_t all;
	sigset_t old;
	int errnum;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	errnum = pthread_create(&thread, NULL, run_sync, sync);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (errnum == 0)
		pthread_detach(thread);
	return errnum;
}

/* Takes over FD, unless it fails. */
static int start_sync(struct kvpfs *fs, struct kvpfs_call *call, int fd)
{
	struct sync *sync = malloc(sizeof(*sync));

	if (!sync)
		return -ENOMEM;
	*sync = (struct sync){ fs->syncs, call->req, fd };
	count_sync(fs->syncs, 1);
	if (start_thread(sync) != 0)
		run_sync(sync);
	return 0;
}

int kvpfs_run_fsync(struct kvpfs *fs, struct kvpfs_call *call)
{
	const struct kvpfs_dir *dir = call->inode->dir;
	int fd;
	int r;

	errno = 0;
	fd = dir ? kvp_store_sync_descriptor(dir->store) : -1;
	if (fd < 0 && errno)
		return -errno;
	if (fd < 0) {
		fuse_reply_err(call->req, 0);
		return 0;
	}
	r = start_sync(fs, call, fd);
	if (r)
		close(fd);
	return r;
}
