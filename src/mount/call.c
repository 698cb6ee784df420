/* SPDX-License-Identifier: MIT */
#include "call.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "holders.h"
#include "log.h"
#include "name.h"
#include "process.h"
#include "quote.h"
#include "retry.h"
#include "util.h"

/*
 * So many calls may go on in one round. Hundreds that had to wait must not make the
 * loop deaf when the lock is free again.
 */
#define CALLS_PER_ROUND 32

/* A call that was put aside, with copies of what it points to. */
struct waiting {
	struct kvpfs_call call;
	char *name;
	char *new_name;
	char *data;
	int64_t deadline_ms;
	bool started;	  /* it has run, and found a lock taken... */
	bool exclusive;	  /* ...the exclusive one, or the shared one */
	bool interrupted; /* its caller got a signal */
	TAILQ_ENTRY(waiting) link;
};

TAILQ_HEAD(waiting_list, waiting);

struct kvpfs_calls {
	struct waiting_list locked; /* wait for a lock, in order of arrival */
	struct waiting_list parked; /* wait for something to happen */
	bool interrupted;	    /* one of them is */
	int64_t tried_ms;	    /* when the locked ones were last tried */
};

int kvpfs_calls_init(struct kvpfs *fs)
{
	fs->calls = calloc(1, sizeof(*fs->calls));
	if (!fs->calls)
		return -ENOMEM;
	TAILQ_INIT(&fs->calls->locked);
	TAILQ_INIT(&fs->calls->parked);
	return 0;
}

void kvpfs_calls_release(struct kvpfs *fs)
{
	free(fs->calls);
	fs->calls = NULL;
}

/* Results that are no failure of ours, and are not logged. */
static bool is_ordinary(int result)
{
	static const int ordinary[] = {
		KVP_ABSENT,	  KVP_EXISTS,	   -ENOENT,	  -EINTR,
		-EAGAIN,	  KVP_UNSUPPORTED, -ESTALE,	  -EXDEV,
		KVP_NOT_WRITABLE, KVP_NO_ACCESS,   KVP_NOT_OWNER, -ECONNABORTED,
	};

	for (size_t i = 0; i < sizeof(ordinary) / sizeof(*ordinary); i++)
		if (result == ordinary[i])
			return true;
	return false;
}

/* The key that NAME stands for, in BUF, or NAME itself if there is none. */
static struct kvp_bytes key_or_name(const char *name, char buf[KVP_NAME_MAX])
{
	size_t len;

	if (kvp_name_decode(name, buf, &len) == 0)
		return (struct kvp_bytes){ buf, len };
	return (struct kvp_bytes){ name, strlen(name) };
}

/*
 * Logs TEXT about CALL, with the process that made it, and with IS_LOCKED the processes
 * that hold the pool's lock. The kernel does not say which process has closed a file.
 */
static void log_for(const struct kvpfs_call *call, const char *text,
		    bool is_locked)
{
	char caller[KVP_PROCESS_MAX];
	char details[KVP_HOLDERS_MAX + sizeof(caller) + 16] = "";
	pid_t pid = kvpfs_call_pid(call);
	size_t len;

	if (!kvpfs_log_is_due(LOG_WARNING, text))
		return;
	if (is_locked)
		kvp_holders_describe(call->inode->dir->store, details);
	len = strlen(details);
	if (pid > 0)
		snprintf(details + len, sizeof(details) - len, " (caller: %s)",
			 kvp_process_describe(pid, caller));
	kvpfs_log_details(LOG_WARNING, text, details);
}

void kvpfs_call_explain(struct kvpfs_call *call, const char *format, ...)
{
	char text[KVPFS_LOG_MAX];
	int len = snprintf(text, sizeof(text), "%s: ", call->inode->dir->name);
	va_list args;

	va_start(args, format);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is */
	vsnprintf(text + len, sizeof(text) - (size_t)len, format, args);
	va_end(args);
	log_for(call, text, false);
	call->logged = true;
}

/* Logs that CALL failed, and what it was about. */
static void log_failure(const struct kvpfs_call *call, int result)
{
	char key[KVP_NAME_MAX];
	char quoted[KVP_QUOTED_MAX];
	char message[KVP_MESSAGE_MAX];
	char text[KVPFS_LOG_MAX];
	const struct kvpfs_dir *dir = call->inode->dir;
	/* a rename is refused for its new name */
	const char *name = call->new_name ? call->new_name : call->name;
	struct kvp_bytes object = name ? key_or_name(name, key)
				       : call->inode->ops->label(call->inode);
	bool is_directory = object.len == 0;

	if (dir)
		kvp_store_message(dir->store, result, message, sizeof(message));
	else
		kvp_result_message(result, NULL, message, sizeof(message));
	snprintf(text, sizeof(text), "%s: %s %s: %s", dir ? dir->name : "kvpfs",
		 call->what,
		 is_directory ? "the directory" : kvp_quote(object, quoted),
		 message);
	log_for(call, text, dir && result == KVP_LOCKED);
}

static void fail(struct kvpfs *fs, struct kvpfs_call *call, int result)
{
	if (!is_ordinary(result) && !call->logged)
		log_failure(call, result);
	if (call->closes)
		kvpfs_open_close(fs, kvpfs_call_open(call));
	fuse_reply_err(call->req, kvp_result_errno(result));
}

static void time_out(struct kvpfs *fs, struct kvpfs_call *call)
{
	if (call->inode->dir)
		call->inode->dir->lock_timeouts++;
	fail(fs, call, KVP_LOCKED);
}

static void free_waiting(struct waiting *waiting)
{
	free(waiting->name);
	free(waiting->new_name);
	free(waiting->data);
	free(waiting);
}

/* Makes *PLACE, which may be NULL, point to a copy of its SIZE bytes. */
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

/* A copy of CALL that outlives the buffer of its request. */
static struct waiting *copy_call(const struct kvpfs_call *call)
{
	struct waiting *waiting = calloc(1, sizeof(*waiting));

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

	((struct waiting *)data)->interrupted = true;
	fs->calls->interrupted = true;
}

/* Puts a copy of CALL into LIST; its caller may interrupt it. */
static struct waiting *put_aside(struct kvpfs *fs, struct kvpfs_call *call,
				 struct waiting_list *list)
{
	struct waiting *waiting = copy_call(call);

	if (!waiting) {
		fail(fs, call, -ENOMEM);
		return NULL;
	}
	TAILQ_INSERT_TAIL(list, waiting, link);
	fuse_req_interrupt_func(call->req, note_interrupt, waiting);
	return waiting;
}

/* STARTED: CALL found the lock taken; else it waits behind another call. */
static void wait_for_lock(struct kvpfs *fs, struct kvpfs_call *call,
			  bool started)
{
	struct kvpfs_dir *dir = call->inode->dir;
	struct waiting *waiting;

	if (dir)
		dir->lock_waits++;
	if (fs->options->lock_timeout_ms == 0) {
		time_out(fs, call);
		return;
	}
	waiting = put_aside(fs, call, &fs->calls->locked);
	if (!waiting)
		return;
	waiting->started = started;
	waiting->exclusive = dir && kvp_store_wants_exclusive(dir->store);
	waiting->deadline_ms = kvp_now_ms() + fs->options->lock_timeout_ms;
}

/* Whether NAME, which may be NULL, stands for KEY. */
static bool names_key(const char *name, struct kvp_bytes key)
{
	char buf[KVP_NAME_MAX];

	return name && kvp_bytes_equal(key_or_name(name, buf), key);
}

/* The inode that CALL is about: a child that it names, if inode knows that. */
static const struct kvpfs_inode *object_of(const struct kvpfs_call *call)
{
	const struct kvpfs_inode *child = NULL;

	if (call->name && call->inode->ops->child)
		child = call->inode->ops->child(call->inode, call->name);
	return child ? child : call->inode;
}

/* Whether CALL is about what CLOSING, a call about the same pool, will store. */
static bool concerns(const struct kvpfs_call *call,
		     const struct kvpfs_call *closing)
{
	const struct kvpfs_inode *object = object_of(call);
	enum kvpfs_scope scope = object->ops->scope;
	struct kvp_bytes key;

	if (call->locks || scope == KVPFS_NOTHING)
		return false;
	if (scope == KVPFS_POOL || closing->inode->ops->scope == KVPFS_POOL)
		return true;
	key = closing->inode->ops->label(closing->inode);
	if (scope == KVPFS_KEY)
		return kvp_bytes_equal(object->ops->label(object), key);
	return names_key(call->name, key) || names_key(call->new_name, key);
}

/* Whether CALL must wait for a call that came before END (NULL: for any). */
static bool must_follow(const struct kvpfs *fs, const struct kvpfs_call *call,
			const struct waiting *end)
{
	const struct waiting *waiting;

	TAILQ_FOREACH(waiting, &fs->calls->locked, link) {
		if (waiting == end)
			break;
		if (waiting->call.closes &&
		    waiting->call.inode->dir == call->inode->dir &&
		    concerns(call, &waiting->call))
			return true;
	}
	return false;
}

/* Looks that were made for one call, or to judge it, must not serve another. */
static void end_looks(const struct kvpfs *fs)
{
	for (size_t i = 0; i < fs->dir_count; i++)
		kvp_store_end_look(fs->dirs[i].store);
}

static int run(struct kvpfs *fs, struct kvpfs_call *call)
{
	int r = call->run ? call->run(fs, call) : KVP_UNSUPPORTED;

	end_looks(fs);
	return r;
}

void kvpfs_call_start(struct kvpfs_call *call)
{
	struct kvpfs *fs = fuse_req_userdata(call->req);
	int r;

	if (must_follow(fs, call, NULL)) {
		end_looks(fs);
		wait_for_lock(fs, call, false);
		return;
	}
	r = run(fs, call);
	if (r == KVP_LOCKED)
		wait_for_lock(fs, call, true);
	else if (r == KVPFS_PARK)
		put_aside(fs, call, &fs->calls->parked);
	else if (r)
		fail(fs, call, r);
}

void kvpfs_call_refuse(struct kvpfs_call *call, int result)
{
	struct kvpfs *fs = fuse_req_userdata(call->req);

	end_looks(fs);
	fail(fs, call, result);
}

int kvpfs_run_release(struct kvpfs *fs, struct kvpfs_call *call)
{
	const struct kvpfs_inode_ops *ops = call->inode->ops;
	int r = ops->release ? ops->release(fs, call) : 0;

	if (r)
		return r;
	kvpfs_open_close(fs, kvpfs_call_open(call));
	fuse_reply_err(call->req, 0);
	return 0;
}

/* Runs the parked call WAITING again, or ends it. */
static void run_parked(struct kvpfs *fs, struct waiting *waiting)
{
	struct kvpfs_call *call = &waiting->call;
	int r = waiting->interrupted ? -EINTR : run(fs, call);

	if (r == KVPFS_PARK)
		return;
	TAILQ_REMOVE(&fs->calls->parked, waiting, link);
	if (r)
		fail(fs, call, r);
	free_waiting(waiting);
}

void kvpfs_calls_wake(struct kvpfs *fs)
{
	struct waiting *waiting = TAILQ_FIRST(&fs->calls->parked);

	while (waiting) {
		struct waiting *next = TAILQ_NEXT(waiting, link);

		run_parked(fs, waiting);
		waiting = next;
	}
}

void kvpfs_calls_end_interrupted(struct kvpfs *fs)
{
	struct waiting *waiting = TAILQ_FIRST(&fs->calls->parked);

	if (!fs->calls->interrupted)
		return;
	fs->calls->interrupted = false;
	while (waiting) {
		struct waiting *next = TAILQ_NEXT(waiting, link);

		if (waiting->interrupted)
			run_parked(fs, waiting);
		waiting = next;
	}
}

bool kvpfs_calls_wait(const struct kvpfs *fs)
{
	return !TAILQ_EMPTY(&fs->calls->locked);
}

/* WAITING is done with, with RESULT. */
static void finish(struct kvpfs *fs, struct waiting *waiting, int result)
{
	TAILQ_REMOVE(&fs->calls->locked, waiting, link);
	if (result == KVP_LOCKED)
		time_out(fs, &waiting->call);
	else if (result)
		fail(fs, &waiting->call, result);
	free_waiting(waiting);
}

/* One round over the waiting calls, and the locks that it has found taken. */
struct round {
	struct kvpfs *fs;
	int64_t now;
	int calls;		       /* that went on */
	bool taken[KVPFS_MAX_DIRS][2]; /* [1]: the exclusive one */
};

/*
 * Whether the lock that WAITING found taken is still taken. A round asks for it once:
 * all calls that wait for it cost no more than one.
 */
static bool is_locked(struct round *round, const struct waiting *waiting)
{
	struct kvpfs_dir *dir = waiting->call.inode->dir;
	bool *taken;

	if (!waiting->started || !dir)
		return false;
	taken = round->taken[dir - round->fs->dirs];
	if (!taken[waiting->exclusive] &&
	    kvp_store_try_lock(dir->store, waiting->exclusive) == KVP_LOCKED) {
		/* what keeps readers out keeps writers out */
		taken[waiting->exclusive] = true;
		taken[true] = true;
	}
	return taken[waiting->exclusive];
}

/* KVP_LOCKED: WAITING goes on waiting. Any other result is the call's own. */
static int try_again(struct round *round, struct waiting *waiting)
{
	struct kvpfs_call *call = &waiting->call;
	int r;

	if (must_follow(round->fs, call, waiting) || is_locked(round, waiting))
		return KVP_LOCKED;
	round->calls++;
	r = run(round->fs, call);
	if (r == KVP_LOCKED && call->inode->dir) {
		waiting->started = true;
		waiting->exclusive = kvp_store_wants_exclusive(
			call->inode->dir->store);
	}
	return r;
}

void kvpfs_calls_retry(struct kvpfs *fs)
{
	struct round round = { .fs = fs, .now = kvp_now_ms() };
	struct waiting *waiting = TAILQ_FIRST(&fs->calls->locked);

	if (round.now - fs->calls->tried_ms < KVP_LOCK_PAUSE_MS)
		return;
	fs->calls->tried_ms = round.now;
	while (waiting && round.calls < CALLS_PER_ROUND) {
		struct waiting *next = TAILQ_NEXT(waiting, link);
		int r = waiting->interrupted ? -EINTR
					     : try_again(&round, waiting);

		if (r != KVP_LOCKED || round.now >= waiting->deadline_ms)
			finish(fs, waiting, r);
		waiting = next;
	}
}

/*
 * The result of CALL when the mount ends. After EINTR the kernel would restart a call
 * about locks, even without a signal.
 */
static int end_of_mount(const struct kvpfs_call *call)
{
	return call->locks ? -ECONNABORTED : -EINTR;
}

/* Ends the calls of LIST; with KEEP_CLOSING, not those that tell of a closed file. */
static void dismiss(struct kvpfs *fs, struct waiting_list *list,
		    bool keep_closing)
{
	struct waiting *waiting = TAILQ_FIRST(list);

	while (waiting) {
		struct waiting *next = TAILQ_NEXT(waiting, link);

		if (!keep_closing || !waiting->call.closes) {
			TAILQ_REMOVE(list, waiting, link);
			fail(fs, &waiting->call, end_of_mount(&waiting->call));
			free_waiting(waiting);
		}
		waiting = next;
	}
}

static int end_round(void *fs)
{
	kvpfs_calls_retry(fs);
	return kvpfs_calls_wait(fs) ? KVP_LOCKED : 0;
}

void kvpfs_calls_end(struct kvpfs *fs)
{
	dismiss(fs, &fs->calls->parked, false);
	dismiss(fs, &fs->calls->locked, true);
	/* each of them has a deadline of its own */
	kvpfs_retry(end_round, fs, INT64_MAX);
}

void kvpfs_fill_entry(struct kvpfs *fs, struct kvpfs_inode *inode,
		      struct fuse_entry_param *entry)
{
	*entry = (struct fuse_entry_param){
		.ino = (uintptr_t)inode,
		.attr_timeout = inode->ops->attr_timeout,
	};
	inode->ops->fill(fs, inode, &entry->attr);
	inode->lookups++;
}

void kvpfs_inode_forget(struct kvpfs_inode *inode, uint64_t count)
{
	inode->lookups -= count < inode->lookups ? count : inode->lookups;
	if (inode->lookups == 0 && inode->ops->forgotten)
		inode->ops->forgotten(inode);
}

void kvpfs_reply_inode(struct kvpfs *fs, fuse_req_t req,
		       struct kvpfs_inode *inode)
{
	struct fuse_entry_param entry;

	kvpfs_fill_entry(fs, inode, &entry);
	/* a request that was interrupted meanwhile takes no answer */
	if (fuse_reply_entry(req, &entry) != 0)
		kvpfs_inode_forget(inode, 1);
}

void kvpfs_reply_part(const struct kvpfs_call *call, struct kvp_bytes content)
{
	size_t start = (size_t)call->offset;
	size_t left;

	if (call->offset < 0 || call->offset > (off_t)content.len)
		start = content.len;
	left = content.len - start;
	/* an empty content may have no address to add to */
	fuse_reply_buf(call->req, left ? content.data + start : NULL,
		       left < call->size ? left : call->size);
}
