/* SPDX-License-Identifier: MIT */
#include "wait.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quote.h"
#include "reading.h"
#include "util.h"

/* How often it looks where nothing tells of changes. */
#define LOOK_MS 1000

/* How long it sleeps while the pool is locked: more and more. */
#define LOCKED_MIN_MS 1
#define LOCKED_MAX_MS 100

/* Sleeping until the pool should be looked at again. */
struct sleeper {
	int64_t deadline; /* as kvp_now_ms; INT64_MAX: none */
	int locked_ms;	  /* how long the next sleep is if the pool is locked */
	bool told;	  /* that there is no inotify */
	int output_error; /* an errno: nothing can be written any more */
};

/*
 * To be called before each look, so that nothing can happen unseen between that and
 * the sleep. Returns the descriptor to sleep on, -1: none.
 */
static int prepare(struct cmd_session *session, struct sleeper *sleeper)
{
	int fd = kvp_store_watch(session->store, true);

	if (fd < 0 && !sleeper->told)
		cmd_message("%s: %s: nothing tells of changes here: looking "
			    "once a second",
			    session->pool, session->request->command->name);
	sleeper->told |= fd < 0;
	return fd;
}

/* How long to sleep at the most after a look that gave RESULT; -1: for ever. */
static int sleep_limit(struct sleeper *sleeper, int fd, int result)
{
	int64_t limit = fd < 0 ? LOOK_MS : INT64_MAX;
	int64_t left = sleeper->deadline;

	if (result == KVP_LOCKED) {
		limit = sleeper->locked_ms;
		sleeper->locked_ms = sleeper->locked_ms * 2 > LOCKED_MAX_MS
					     ? LOCKED_MAX_MS
					     : sleeper->locked_ms * 2;
	} else {
		sleeper->locked_ms = LOCKED_MIN_MS;
	}
	if (left != INT64_MAX)
		left -= kvp_now_ms();
	if (left < limit)
		limit = left < 0 ? 0 : left;
	if (limit == INT64_MAX)
		return -1;
	return limit > INT_MAX ? INT_MAX : (int)limit;
}

/*
 * Sleeps until something tells of a change, or standard output has ended, or it is time.
 * The look may have found another file, which there was no watch left for.
 */
static void sleep_on(struct cmd_session *session, struct sleeper *sleeper,
		     int result)
{
	int fd = prepare(session, sleeper);
	struct pollfd fds[] = {
		{ .fd = result == KVP_LOCKED ? -1 : fd, .events = POLLIN },
		{ .fd = STDOUT_FILENO }, /* errors only */
	};

	kvp_store_rest(session->store);
	if (poll(fds, 2, sleep_limit(sleeper, fd, result)) <= 0)
		return;
	if (fds[1].revents)
		sleeper->output_error = fds[1].revents & POLLNVAL ? EBADF
								  : EPIPE;
}

/* Ends as everybody ends who cannot write: if nobody reads that, by a signal. */
static int end_with_output(int error)
{
	if (error == EPIPE)
		raise(SIGPIPE); /* which may be ignored */
	cmd_message("cannot write to standard output: %s", strerror(error));
	return CMD_FAILED;
}

/* What wait waits for. */
struct wanted {
	struct cmd_key key;
	const char *value; /* NULL: any */
	bool only_news;	   /* what the first look has found does not count */
	bool looked;	   /* at least once */
	struct kvp_index first; /* what that look has found, if only_news */
	struct kvp_value *found;
};

/* Whether ENTRY is not just what was there at first. */
static bool is_news(const struct kvp_index *seen, const struct kvp_entry *entry)
{
	const struct kvp_entry *before = kvp_index_find(seen, entry->key);

	return !before || before->value != entry->value ||
	       before->records < entry->records;
}

/* Whether VALUE is WANTED; a newline at its end does not count. */
static bool is_value(struct kvp_bytes value, const char *wanted)
{
	size_t len = strlen(wanted);

	if (value.len == len + 1 && value.data[len] == '\n')
		value.len--;
	return value.len == len && memcmp(value.data, wanted, len) == 0;
}

/* Nothing that was there at first is left to mistake for news. */
static void forget_first(struct wanted *wanted)
{
	if (wanted->only_news && wanted->looked)
		kvp_index_release(&wanted->first);
	wanted->only_news = false;
}

/* 0: wanted->found is what was waited for; KVP_ABSENT: not yet. */
static int look_step(struct cmd_session *session, void *arg)
{
	struct wanted *wanted = arg;
	const struct kvp_entry *entry;
	struct kvp_index now;
	int r = kvp_store_snapshot(session->store, &now);

	if (r)
		return r;
	if (wanted->only_news && !wanted->looked) {
		wanted->first = now;
		wanted->looked = true;
		return KVP_ABSENT;
	}
	wanted->looked = true;
	entry = kvp_index_find(&now, wanted->key.bytes);
	/* once it has changed, all that comes is new */
	if (wanted->only_news && (!entry || is_news(&wanted->first, entry)))
		forget_first(wanted);
	if (entry && !wanted->only_news &&
	    (!wanted->value ||
	     is_value(kvp_value_bytes(entry->value), wanted->value)))
		wanted->found = kvp_value_ref(entry->value);
	kvp_index_release(&now);
	return wanted->found ? 0 : KVP_ABSENT;
}

/* How long the first look may wait for the lock: one look is due in any case. */
static int64_t first_deadline(const struct cmd_request *request,
			      const struct sleeper *sleeper)
{
	int64_t deadline = kvp_now_ms() + request->lock_timeout_ms;

	return request->timeout_ms != 0 && sleeper->deadline < deadline
		       ? sleeper->deadline
		       : deadline;
}

/* Returns a result; KVP_ABSENT: time is up. */
static int wait_for(struct cmd_session *session, struct wanted *wanted,
		    struct sleeper *sleeper)
{
	int r;

	prepare(session, sleeper);
	r = cmd_try_until(session, look_step, wanted,
			  first_deadline(session->request, sleeper));
	while ((r == KVP_ABSENT || r == KVP_LOCKED) &&
	       kvp_now_ms() < sleeper->deadline) {
		sleep_on(session, sleeper, r);
		if (sleeper->output_error)
			return r;
		prepare(session, sleeper);
		r = cmd_try_once(session, look_step, wanted);
	}
	/* that it could not look a last time does not matter */
	return r == KVP_LOCKED && wanted->looked ? KVP_ABSENT : r;
}

static int print_found(struct kvp_value *value)
{
	fwrite(value->data, 1, value->len, stdout);
	if (value->len == 0 || value->data[value->len - 1] != '\n')
		fputc('\n', stdout);
	kvp_value_unref(value);
	return CMD_DONE;
}

static int run_wait(struct cmd_session *session, struct wanted *wanted)
{
	const int64_t timeout = session->request->timeout_ms;
	struct sleeper sleeper = {
		.deadline = timeout < 0 ? INT64_MAX : kvp_now_ms() + timeout,
		.locked_ms = LOCKED_MIN_MS,
	};
	char quoted[KVP_QUOTED_MAX];
	int r = wait_for(session, wanted, &sleeper);

	if (sleeper.output_error)
		return end_with_output(sleeper.output_error);
	if (r == 0)
		return print_found(wanted->found);
	if (r != KVP_ABSENT)
		return cmd_fail(session, &wanted->key.bytes, r);
	cmd_message("%s: wait %s: time is up", session->pool,
		    kvp_quote(wanted->key.bytes, quoted));
	return CMD_NO;
}

int cmd_wait(struct cmd_session *session)
{
	const struct cmd_request *request = session->request;
	struct wanted wanted = {
		.value = request->arg_count > 1 ? request->args[1] : NULL,
		.only_news = cmd_has(request, CMD_NEW),
	};
	int status = cmd_key(session, 0, &wanted.key);

	if (status)
		return status;
	status = run_wait(session, &wanted);
	forget_first(&wanted);
	return status;
}

static int first_step(struct cmd_session *session, void *arg)
{
	return kvp_reading_take(arg, session->store);
}

/* A line as .kvpfs/events has it; see events.h. */
static int print_change(void *arg, enum kvp_change change, struct kvp_bytes key,
			struct kvp_value *value)
{
	char line[KVP_NAME_LINE_MAX];
	size_t len;

	(void)arg;
	(void)value;
	if (change == KVP_CHANGE_CLEARED) {
		puts("clear");
		return 0;
	}
	if (kvp_name_encode_line(key, line, &len))
		return 0; /* no file shows it either */
	fputs(change == KVP_CHANGE_GONE ? "delete " : "set ", stdout);
	fwrite(line, 1, len, stdout);
	putchar('\n');
	return 0;
}

/* Prints what has changed since the last look. */
static int changes_step(struct cmd_session *session, void *arg)
{
	struct kvp_reading *told = arg;
	bool changed;
	int r = kvp_reading_look(told, session->store, &changed);

	if (r || !changed)
		return r;
	return kvp_reading_renew(told, session->store, true, print_change,
				 NULL);
}

static int run_watch(struct cmd_session *session, struct kvp_reading *told)
{
	struct sleeper sleeper = {
		.deadline = INT64_MAX,
		.locked_ms = LOCKED_MIN_MS,
	};

	for (;;) {
		int r;

		prepare(session, &sleeper);
		r = cmd_try_once(session, changes_step, told);
		if (r && r != KVP_LOCKED)
			return cmd_fail(session, NULL, r);
		if (cmd_flush() != CMD_DONE)
			return CMD_FAILED;
		sleep_on(session, &sleeper, r);
		if (sleeper.output_error)
			return end_with_output(sleeper.output_error);
	}
}

int cmd_watch(struct cmd_session *session)
{
	struct kvp_reading told;
	int r = cmd_try(session, first_step, &told);
	int status;

	if (r)
		return cmd_fail(session, NULL, r);
	status = run_watch(session, &told);
	kvp_reading_release(&told);
	return status;
}
