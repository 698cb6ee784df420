/* SPDX-License-Identifier: MIT */
#include "session.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "holders.h"
#include "pool_names.h"
#include "quote.h"
#include "store_pool.h"
#include "util.h"

#define MESSAGE_MAX 256

static int open_store(struct cmd_session *session, const char *path,
		      enum cmd_access access)
{
	const struct kvp_pool_config config = {
		.path = path,
		.mode = session->request->mode,
		.read_only = access != CMD_CHANGES,
		.unwatched = access != CMD_LOOKS,
	};
	int r = kvp_store_pool_open(&config, &session->store);

	if (r == 0)
		session->pool = kvp_pool_name(kvp_store_path(session->store));
	return r;
}

int cmd_session_open(struct cmd_session *session, enum cmd_access access)
{
	const char *pool = session->request->pool;
	kvp_autofree char *path = NULL;
	char message[MESSAGE_MAX];
	int r = kvp_pool_resolve(pool, &path);

	if (r == 0)
		r = open_store(session, path, access);
	if (r)
		cmd_message("cannot use pool \"%s\": %s", path ? path : pool,
			    kvp_pool_reason(r, message, sizeof(message)));
	return cmd_exit_of(r);
}

void cmd_session_close(struct cmd_session *session)
{
	kvp_store_free(session->store);
	session->store = NULL;
}

static bool may_change(enum cmd_access access)
{
	return access != CMD_READS && access != CMD_LOOKS;
}

int cmd_try_once(struct cmd_session *session, cmd_step *step, void *arg)
{
	sigset_t ends;
	sigset_t before;
	int r;

	if (!may_change(session->request->command->access))
		return step(session, arg);
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	sigprocmask(SIG_BLOCK, &ends, &before);
	r = step(session, arg);
	/* what has come meanwhile ends the program here */
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}

/* Waits until the lock that a step found taken is free: 0, or a result of the core. */
static int wait_for_lock(struct cmd_session *session, int64_t deadline)
{
	const struct timespec pause = {
		.tv_nsec = KVP_LOCK_PAUSE_MS * 1000000L,
	};
	bool exclusive = kvp_store_wants_exclusive(session->store);
	int r = KVP_LOCKED;

	while (r == KVP_LOCKED && kvp_now_ms() < deadline) {
		nanosleep(&pause, NULL);
		r = kvp_store_try_lock(session->store, exclusive);
	}
	return r;
}

int cmd_try_until(struct cmd_session *session, cmd_step *step, void *arg,
		  int64_t deadline)
{
	int r = cmd_try_once(session, step, arg);

	session->lock_waits += r == KVP_LOCKED;
	while (r == KVP_LOCKED && wait_for_lock(session, deadline) == 0)
		r = cmd_try_once(session, step, arg);
	session->lock_timeouts += r == KVP_LOCKED;
	return r;
}

int cmd_try(struct cmd_session *session, cmd_step *step, void *arg)
{
	return cmd_try_until(session, step, arg,
			     kvp_now_ms() + session->request->lock_timeout_ms);
}

int cmd_fail(struct cmd_session *session, const struct kvp_bytes *object,
	     int result)
{
	const char *command = session->request->command->name;
	char message[MESSAGE_MAX];
	char holders[KVP_HOLDERS_MAX] = "";
	char quoted[KVP_QUOTED_MAX];

	if (result == 0)
		return CMD_DONE;
	if (result == KVP_LOCKED)
		kvp_holders_describe(session->store, holders);
	cmd_message("%s: %s%s%s: %s%s", session->pool, command,
		    object ? " " : "", object ? kvp_quote(*object, quoted) : "",
		    kvp_store_message(session->store, result, message,
				      sizeof(message)),
		    holders);
	return cmd_exit_of(result);
}

int cmd_key(struct cmd_session *session, size_t i, struct cmd_key *ret_key)
{
	const char *argument = session->request->args[i];
	struct kvp_bytes given = { argument, strlen(argument) };

	ret_key->bytes = given;
	if (given.len == 0)
		return cmd_fail(session, NULL, KVP_EMPTY_KEY);
	if (!cmd_has(session->request, CMD_NAMES))
		return CMD_DONE;
	ret_key->bytes.data = ret_key->decoded;
	if (kvp_name_decode(argument, ret_key->decoded, &ret_key->bytes.len) ==
	    0)
		return CMD_DONE;
	return cmd_fail(session, &given, KVP_NO_SUCH_NAME);
}

struct printing {
	cmd_show *show;
	void *arg;
	char *text;
	size_t size;
};

static int show_step(struct cmd_session *session, void *arg)
{
	struct printing *printing = arg;
	FILE *out = open_memstream(&printing->text, &printing->size);
	int r;

	if (!out)
		return -errno;
	r = printing->show(session, printing->arg, out);
	if (fclose(out) != 0 && r == 0)
		r = -ENOMEM;
	if (r) {
		free(printing->text);
		printing->text = NULL;
	}
	return r;
}

int cmd_print(struct cmd_session *session, cmd_show *show, void *arg)
{
	struct printing printing = { show, arg, NULL, 0 };
	int r = cmd_try(session, show_step, &printing);

	if (r)
		return r;
	fwrite(printing.text, 1, printing.size, stdout);
	free(printing.text);
	return 0;
}

int cmd_flush(void)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return CMD_DONE;
	cmd_message("cannot write to standard output: %s",
		    strerror(errno ? errno : EIO));
	return CMD_FAILED;
}
