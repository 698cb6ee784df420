/* SPDX-License-Identifier: MIT */
/*
 * One run of a command on one pool: the store, waiting for its lock, and saying why
 * something failed.
 *
 * The core does not wait for locks, and an operation that finds a lock taken has changed
 * nothing. So a command does its work in a step. cmd_try runs the step until it gets the
 * lock, or lock_timeout has passed. A signal ends the program at once, but while a step
 * runs that may change the pool it is held back.
 */
#ifndef CMD_SESSION_H
#define CMD_SESSION_H

#include <stdio.h>

#include "message.h"
#include "name.h"
#include "request.h"
#include "store.h"

struct cmd_session {
	const struct cmd_request *request;
	struct kvp_store *store;
	const char *pool; /* its name, for messages; lives as long as store */
	size_t lock_waits;
	size_t lock_timeouts;
};

/*
 * Opens the pool of the request, for reading only unless ACCESS is CMD_CHANGES. Returns
 * CMD_DONE, or another exit status after a message.
 */
int cmd_session_open(struct cmd_session *session, enum cmd_access access);
void cmd_session_close(struct cmd_session *session);

/* A step of work. If it returns KVP_LOCKED it can be run again. Results as result.h. */
typedef int cmd_step(struct cmd_session *session, void *arg);

/* Runs STEP with ARG as the head of this file says; returns its last result. */
int cmd_try(struct cmd_session *session, cmd_step *step, void *arg);

/* The same, but waits for the lock until DEADLINE (kvp_now_ms). */
int cmd_try_until(struct cmd_session *session, cmd_step *step, void *arg,
		  int64_t deadline);

/* Runs STEP once, with signals held back if it may change the pool. */
int cmd_try_once(struct cmd_session *session, cmd_step *step, void *arg);

/*
 * Says that the command failed with RESULT, and names its OBJECT, a key or NULL. Returns
 * the exit status that RESULT stands for. If RESULT is 0 there is no message.
 */
int cmd_fail(struct cmd_session *session, const struct kvp_bytes *object,
	     int result);

/* A key from the command line, with room to decode a file name. */
struct cmd_key {
	struct kvp_bytes bytes;
	char decoded[KVP_NAME_MAX];
};

/*
 * The key that argument I of the command is. Returns CMD_DONE, or CMD_REFUSED after
 * a message: it is empty, or with --names the file name of no key.
 */
int cmd_key(struct cmd_session *session, size_t i, struct cmd_key *ret_key);

/* Prints to OUT. cmd_print writes that to standard output when SHOW has returned 0. */
typedef int cmd_show(struct cmd_session *session, void *arg, FILE *out);
int cmd_print(struct cmd_session *session, cmd_show *show, void *arg);

/* Flushes standard output: CMD_DONE, or CMD_FAILED after a message. */
int cmd_flush(void);

#endif
