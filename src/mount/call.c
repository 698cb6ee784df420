/* SPDX-License-Identifier: MIT */
/*
 * From request to reply, at once or after a wait for the pool's lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "holders.h"
#include "kvpfs.h"
#include "log.h"
#include "name.h"
#include "store_pool.h"
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
static bool is_ordinary(int result)
{
	static const int ordinary[] = {
		KVP_ABSENT,	 KVP_EXISTS, -ENOENT, -EINTR,		-EAGAIN,
		KVP_UNSUPPORTED, -ESTALE,    -EXDEV,  KVP_NOT_WRITABLE,
	};

	for (size_t i = 0; i < sizeof(ordinary) / sizeof(*ordinary); i++)
		if (result == ordinary[i])
			return true;
	return false;
}

void kvpfs_log_failure(const struct kvpfs_call *call, int result)
{
	char key[KVP_NAME_MAX];
	char quoted[KVPFS_QUOTED_MAX];
	char message[128];
	char holders[KVPFS_HOLDERS_MAX] = "";
	const struct kvpfs_dir *dir = call->inode->dir;
	/* a rename is refused for what the key is to become */
	const char *name = call->new_name ? call->new_name : call->name;
	struct kvp_bytes object = { "", 0 };
	struct kvp_numbers numbers = { 0 };

	if (name) {
		object = (struct kvp_bytes){ name, strlen(name) };
		if (kvp_name_decode(name, key, &object.len) == 0)
			object.data = key;
	} else if (call->inode->ops == &kvpfs_key_ops) {
		object = kvpfs_node(call->inode)->file->key;
	} else if (kvpfs_control_name(call->inode)) {
		object.data = kvpfs_control_name(call->inode);
		object.len = strlen(object.data);
	}
	if (dir)
		numbers = kvp_store_numbers(dir->store, result, object.len,
					    call->value_len);
	if (dir && result == KVP_LOCKED)
		kvpfs_holders(dir->store, holders);
	kvpfs_log(LOG_WARNING, "%s: %s %s: %s%s", dir ? dir->name : "kvpfs",
		  call->what, kvpfs_quote(object, quoted),
		  kvp_result_message(result, numbers, message, sizeof(message)),
		  holders);
}

static void fail(struct kvpfs *fs, struct kvpfs_call *call, int result)
{
	if (!is_ordinary(result) && !call->logged)
		kvpfs_log_failure(call, result);
	if (call->abandon)
		call->abandon(fs, call);
	fuse_reply_err(call->req, kvp_result_errno(result));
}

static void time_out(struct kvpfs *fs, struct kvpfs_call *call)
{
	if (call->inode->dir)
		call->inode->dir->lock_timeouts++;
	fail(fs, call, KVP_LOCKED);
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
	struct kvpfs *fs = fuse_req_userdata(req);

	((struct kvpfs_waiting *)data)->interrupted = true;
	fs->interrupted = true;
}

/* Puts a copy of CALL into LIST; its caller may interrupt it. */
static struct kvpfs_waiting *put_aside(struct kvpfs *fs,
				       struct kvpfs_call *call,
				       struct kvpfs_calls *list)
{
	struct kvpfs_waiting *waiting = copy_call(call);

	if (!waiting) {
		fail(fs, call, -ENOMEM);
		return NULL;
	}
	TAILQ_INSERT_TAIL(list, waiting, link);
	fuse_req_interrupt_func(call->req, note_interrupt, waiting);
	return waiting;
}

static void wait_for_lock(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_waiting *waiting;

	if (call->inode->dir)
		call->inode->dir->lock_waits++;
	if (fs->options->lock_timeout_ms == 0) {
		time_out(fs, call);
		return;
	}
	waiting = put_aside(fs, call, &fs->waiting);
	if (waiting)
		waiting->deadline_ms = kvp_now_ms() +
				       fs->options->lock_timeout_ms;
}

void kvpfs_call_start(struct kvpfs_call *call)
{
	struct kvpfs *fs = fuse_req_userdata(call->req);
	int r = call->run ? call->run(fs, call) : KVP_UNSUPPORTED;

	if (r == KVP_LOCKED)
		wait_for_lock(fs, call);
	else if (r == KVPFS_PARK)
		put_aside(fs, call, &fs->parked);
	else if (r)
		fail(fs, call, r);
}

/* Runs the parked call WAITING again, or ends it. */
static void run_parked(struct kvpfs *fs, struct kvpfs_waiting *waiting)
{
	struct kvpfs_call *call = &waiting->call;
	int r = waiting->interrupted ? -EINTR : call->run(fs, call);

	if (r == KVPFS_PARK)
		return;
	TAILQ_REMOVE(&fs->parked, waiting, link);
	if (r)
		fail(fs, call, r);
	free_waiting(waiting);
}

void kvpfs_calls_wake(struct kvpfs *fs)
{
	struct kvpfs_waiting *waiting = TAILQ_FIRST(&fs->parked);

	while (waiting) {
		struct kvpfs_waiting *next = TAILQ_NEXT(waiting, link);

		run_parked(fs, waiting);
		waiting = next;
	}
}

void kvpfs_calls_end_interrupted(struct kvpfs *fs)
{
	struct kvpfs_waiting *waiting = TAILQ_FIRST(&fs->parked);

	fs->interrupted = false;
	while (waiting) {
		struct kvpfs_waiting *next = TAILQ_NEXT(waiting, link);

		if (waiting->interrupted)
			run_parked(fs, waiting);
		waiting = next;
	}
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
	if (r == KVP_LOCKED)
		time_out(fs, call);
	else if (r)
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

/* What is being closed may yet be stored; the others are told to go away. */
static void end_call(struct kvpfs *fs, struct kvpfs_call *call)
{
	int r = call->abandon ? call->run(fs, call) : -EINTR;

	if (r == KVP_LOCKED) /* waiting once is enough */
		kvp_store_pool_set_lock_timeout(call->inode->dir->store, 0);
	if (r)
		fail(fs, call, r);
}

static void end_calls(struct kvpfs *fs, struct kvpfs_calls *list)
{
	struct kvpfs_waiting *waiting;

	while ((waiting = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, waiting, link);
		end_call(fs, &waiting->call);
		free_waiting(waiting);
	}
}

void kvpfs_calls_end(struct kvpfs *fs)
{
	end_calls(fs, &fs->waiting);
	end_calls(fs, &fs->parked);
}
