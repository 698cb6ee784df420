/* SPDX-License-Identifier: MIT */
/*
 * From request to reply, at once or after a wait for the pool's lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvpfs.h"
#include "log.h"
#include "name.h"
#include "util.h"

/* Between two tries. */
#define POLL_MS 1

/*
 * How many calls may find the lock taken before the others wait for the next
 * round: hundreds of them must not make the loop deaf.
 */
#define TRIES_PER_ROUND 8

struct kvpfs_waiting {
	struct kvpfs_call call;
	char *name; /* what the call points to, owned */
	char *new_name;
	char *data;
	int64_t deadline_ms;
	bool interrupted;
	TAILQ_ENTRY(kvpfs_waiting) link;
};

/* What is somebody's mistake or nobody's, and no failure. */
static bool is_ordinary(int errnum)
{
	return errnum == ENOENT || errnum == EEXIST || errnum == EINTR ||
	       errnum == ESTALE || errnum == EPERM;
}

void kvpfs_log_failure(struct kvpfs *fs, const struct kvpfs_call *call,
		       int result)
{
	char key[KVP_NAME_MAX];
	char quoted[KVPFS_QUOTED_MAX];
	char message[128];
	struct kvp_bytes object = { KVP_NAME_RESERVED, 0 };
	struct kvp_numbers numbers;

	if (call->name) {
		object = (struct kvp_bytes){ call->name, strlen(call->name) };
		if (kvp_name_decode(call->name, key, &object.len) == 0)
			object.data = key;
	} else if (call->ino != FUSE_ROOT_ID) {
		object = kvpfs_node(call->ino)->file->key;
	}
	numbers = kvp_store_numbers(fs->dir.store, result, object.len,
				    call->value_len);
	kvpfs_log(LOG_WARNING, "%s %s: %s", call->what,
		  kvpfs_quote(object, quoted),
		  kvp_result_message(result, numbers, message,
				     sizeof(message)));
}

static void fail(struct kvpfs *fs, struct kvpfs_call *call, int result)
{
	int errnum = kvp_result_errno(result);

	if (!is_ordinary(errnum))
		kvpfs_log_failure(fs, call, result);
	if (call->abandon)
		call->abandon(fs, call);
	fuse_reply_err(call->req, errnum);
}

static void free_waiting(struct kvpfs_waiting *waiting)
{
	free(waiting->name);
	free(waiting->new_name);
	free(waiting->data);
	free(waiting);
}

/* Makes *PLACE, of SIZE bytes if it is not NULL, point to a copy. */
static bool copy_bytes(const char **place, size_t size, char **ret_copy)
{
	if (!*place)
		return true;
	*ret_copy = malloc(size ? size : 1);
	if (*ret_copy)
		memcpy(*ret_copy, *place, size);
	*place = *ret_copy;
	return *ret_copy;
}

static bool copy_string(const char **place, char **ret_copy)
{
	return copy_bytes(place, *place ? strlen(*place) + 1 : 0, ret_copy);
}

/* A copy of CALL that outlives the buffer which the request was read into. */
static struct kvpfs_waiting *copy_call(const struct kvpfs_call *call)
{
	struct kvpfs_waiting *waiting = calloc(1, sizeof(*waiting));

	if (!waiting)
		return NULL;
	waiting->call = *call;
	if (copy_string(&waiting->call.name, &waiting->name) &&
	    copy_string(&waiting->call.new_name, &waiting->new_name) &&
	    copy_bytes(&waiting->call.data, call->size, &waiting->data))
		return waiting;
	free_waiting(waiting);
	return NULL;
}

static void note_interrupt(fuse_req_t req, void *data)
{
	(void)req;
	((struct kvpfs_waiting *)data)->interrupted = true;
}

static void put_aside(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_waiting *waiting;

	if (fs->options->lock_timeout_ms == 0) {
		fail(fs, call, KVP_LOCKED);
		return;
	}
	waiting = copy_call(call);
	if (!waiting) {
		fail(fs, call, -ENOMEM);
		return;
	}
	waiting->deadline_ms = kvp_now_ms() + fs->options->lock_timeout_ms;
	TAILQ_INSERT_TAIL(&fs->waiting, waiting, link);
	fuse_req_interrupt_func(call->req, note_interrupt, waiting);
}

void kvpfs_call_start(struct kvpfs_call *call)
{
	struct kvpfs *fs = fuse_req_userdata(call->req);
	int r = call->run(fs, call);

	if (r == KVP_LOCKED)
		put_aside(fs, call);
	else if (r)
		fail(fs, call, r);
}

/* Runs WAITING again, or ends it; returns whether it found the lock taken. */
static bool run_again(struct kvpfs *fs, struct kvpfs_waiting *waiting,
		      int64_t now)
{
	struct kvpfs_call *call = &waiting->call;
	int r = waiting->interrupted ? -EINTR : call->run(fs, call);

	TAILQ_REMOVE(&fs->waiting, waiting, link);
	if (r == KVP_LOCKED && now < waiting->deadline_ms) {
		TAILQ_INSERT_TAIL(&fs->waiting, waiting, link);
		return true;
	}
	if (r)
		fail(fs, call, r);
	free_waiting(waiting);
	return r == KVP_LOCKED;
}

void kvpfs_calls_run_waiting(struct kvpfs *fs)
{
	struct kvpfs_waiting *last = TAILQ_LAST(&fs->waiting, kvpfs_calls);
	struct kvpfs_waiting *waiting = TAILQ_FIRST(&fs->waiting);
	int64_t now = kvp_now_ms();
	int locked = 0;

	if (now - fs->tried_ms < POLL_MS)
		return;
	fs->tried_ms = now;
	while (waiting) {
		struct kvpfs_waiting *next = waiting == last
						     ? NULL
						     : TAILQ_NEXT(waiting,
								  link);

		if (waiting->interrupted || now >= waiting->deadline_ms ||
		    locked < TRIES_PER_ROUND)
			locked += run_again(fs, waiting, now);
		waiting = next;
	}
}

void kvpfs_calls_abort(struct kvpfs *fs)
{
	struct kvpfs_waiting *waiting;

	while ((waiting = TAILQ_FIRST(&fs->waiting))) {
		TAILQ_REMOVE(&fs->waiting, waiting, link);
		fail(fs, &waiting->call, -EINTR);
		free_waiting(waiting);
	}
}
