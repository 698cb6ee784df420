/* SPDX-License-Identifier: MIT */
/*
 * The agent: a process that makes the kernel tell watchers of what others have changed
 * in the pools. It does by path, through the mount, what a local writer would have done.
 * It decides nothing: due.h says what to do, and watchers.h answers its requests.
 *
 * The agent is no thread of the serving process. If such a thread were killed while its
 * own request is being served, it would never die, and the mount would hang. The agent
 * has no descriptor of /dev/fuse, which would keep the mount alive when the serving
 * process is killed. It keeps no descriptor in the mount, so that umount(8) works at any
 * time; if it may, it works in a mount of its own of the same file system. It ends with
 * the serving process.
 *
 * It sleeps until inotify tells of a pool. Then it asks what to do: it writes a byte to
 * a pipe, and sends a signal, as the serving process may be blocked in read(2). The
 * serving process looks at the pools and answers with one errand. The agent does it, and
 * asks again, until there are no more errands. It touches the mount for an errand only:
 * most changes are the mount's own, and umount(8) may come right behind them.
 *
 * It acts on this mount only, which it knows by its device, and not on what is mounted
 * over the mount or over a file in it. While it cannot reach the mount, errands stay due.
 */
#ifndef KVPFS_AGENT_H
#define KVPFS_AGENT_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "name.h"

enum kvpfs_errand_kind {
	KVPFS_ERRAND_NONE,   /* there is nothing to do */
	KVPFS_ERRAND_LATER,  /* a pool is locked: ask again later */
	KVPFS_ERRAND_LOOK,   /* no answer, but a call: ask what to do */
	KVPFS_ERRAND_MAKE,   /* create a new file, and write to it */
	KVPFS_ERRAND_WRITE,  /* write to a file */
	KVPFS_ERRAND_TOUCH,  /* the same, and look its name up once more */
	KVPFS_ERRAND_REMOVE, /* remove a file */
};

/* One errand, as it goes through the pipe in one piece. */
struct kvpfs_errand {
	enum kvpfs_errand_kind kind;
	bool is_hidden;		      /* the file is in ".kvpfs" of directory */
	char directory[NAME_MAX + 1]; /* of the pool; ".": the mount's root */
	char name[KVP_NAME_MAX + 1];  /* of the file */
};

struct kvpfs_agent_config {
	const char *mountpoint;
	dev_t device; /* of the mount */
	size_t count;
	const char *const *pools; /* absolute paths of their files */
	/* in the agent: frees what it has of its parent, and needs no more */
	void (*forget)(void *arg);
	void *arg;
};

/* The serving process's ends of the pipes. */
struct kvpfs_agent {
	pid_t pid;
	int questions; /* readable when the agent asks; does not block */
	int errands;   /* takes one struct kvpfs_errand as the answer */
};

/* A question: what is next, or the last errand again, which could not be done now. */
#define KVPFS_QUESTION_NEXT 'n'
#define KVPFS_QUESTION_AGAIN 'a'

/*
 * The signal that tells of a question. It comes again until there is an answer. When
 * there is no question the serving process may write nothing but KVPFS_ERRAND_LOOK.
 */
#define KVPFS_AGENT_SIGNAL SIGUSR1

/*
 * Starts an agent, and does not wait for it: on its way to the pools it may need answers
 * of its parent. It asks for the first time when no change can escape it any more.
 * Returns 0 or -errno.
 */
int kvpfs_agent_start(struct kvpfs_agent *agent,
		      const struct kvpfs_agent_config *config);

/* Closes the descriptors of an agent that has ended. */
void kvpfs_agent_release(struct kvpfs_agent *agent);

#endif
