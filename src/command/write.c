/* SPDX-License-Identifier: MIT */
#include "write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "quote.h"
#include "text.h"
#include "util.h"

/* No value is so long: an input that does not end need not be read any further. */
#define VALUE_LIMIT 1048576

/* What set and add are to store. */
struct change {
	struct kvp_bytes key;
	struct kvp_bytes value;
};

/*
 * The value that was given: argument I, or all of standard input, which is freed by
 * the caller through *RET_INPUT.
 */
static int take_value(struct cmd_session *session, size_t i,
		      struct kvp_bytes *ret_value, char **ret_input)
{
	const struct cmd_request *request = session->request;
	struct kvp_bytes value;
	int status;

	if (i < request->arg_count) {
		*ret_value = (struct kvp_bytes){ request->args[i],
						 strlen(request->args[i]) };
		return CMD_DONE;
	}
	status = cmd_read_file(NULL, VALUE_LIMIT, &value);
	if (status)
		return status;
	*ret_input = (char *)(uintptr_t)value.data;
	if (cmd_has(request, CMD_N) && value.len > 0 &&
	    value.data[value.len - 1] == '\n')
		value.len--;
	*ret_value = value;
	return CMD_DONE;
}

/* set and add: STEP stores KEY and VALUE. */
static int store_value(struct cmd_session *session, cmd_step *step)
{
	kvp_autofree char *input = NULL;
	struct change change;
	struct cmd_key key;
	int status = cmd_key(session, 0, &key);

	if (status == CMD_DONE)
		status = take_value(session, 1, &change.value, &input);
	if (status)
		return status;
	change.key = key.bytes;
	return cmd_fail(session, &key.bytes, cmd_try(session, step, &change));
}

static int set_step(struct cmd_session *session, void *arg)
{
	const struct change *change = arg;

	return kvp_store_write(session->store, change->key, change->value);
}

int cmd_set(struct cmd_session *session)
{
	return store_value(session, set_step);
}

static int add_step(struct cmd_session *session, void *arg)
{
	const struct change *change = arg;
	const struct kvp_pair record = { change->key, change->value };
	struct kvp_batch batch;
	int r;

	kvp_store_batch_init(session->store, &batch);
	r = kvp_batch_add(&batch, &record);
	if (r == 0)
		r = kvp_store_append(session->store, &batch);
	kvp_batch_release(&batch);
	return r;
}

int cmd_add(struct cmd_session *session)
{
	return store_value(session, add_step);
}

/* What rm removes. */
struct removal {
	struct cmd_key *keys;
	struct kvp_bytes *bytes; /* of each key */
	bool *found;
	size_t count;
};

static int remove_step(struct cmd_session *session, void *arg)
{
	struct removal *removal = arg;

	return kvp_store_delete_many(session->store, removal->bytes,
				     removal->count, removal->found);
}

/* Says which keys were absent. */
static int tell_absent(struct cmd_session *session,
		       const struct removal *removal)
{
	int status = CMD_DONE;

	for (size_t i = 0; i < removal->count; i++)
		if (!removal->found[i])
			status = cmd_fail(session, &removal->bytes[i],
					  KVP_ABSENT);
	return status;
}

static int remove_keys(struct cmd_session *session, struct removal *removal)
{
	int r;

	for (size_t i = 0; i < removal->count; i++) {
		int status = cmd_key(session, i, &removal->keys[i]);

		if (status)
			return status;
		removal->bytes[i] = removal->keys[i].bytes;
	}
	r = cmd_try(session, remove_step, removal);
	return r ? cmd_fail(session, NULL, r) : tell_absent(session, removal);
}

int cmd_rm(struct cmd_session *session)
{
	const size_t count = session->request->arg_count;
	struct removal removal = {
		.keys = calloc(count, sizeof(*removal.keys)),
		.bytes = calloc(count, sizeof(*removal.bytes)),
		.found = calloc(count, sizeof(*removal.found)),
		.count = count,
	};
	int status;

	if (removal.keys && removal.bytes && removal.found)
		status = remove_keys(session, &removal);
	else
		status = cmd_fail(session, NULL, -ENOMEM);
	free(removal.found);
	free(removal.bytes);
	free(removal.keys);
	return status;
}

static int clear_step(struct cmd_session *session, void *arg)
{
	bool cleared;

	(void)arg;
	return cmd_has(session->request, CMD_IF_STALE)
		       ? kvp_store_clear_stale(session->store, &cleared)
		       : kvp_store_clear(session->store);
}

int cmd_clear(struct cmd_session *session)
{
	return cmd_fail(session, NULL, cmd_try(session, clear_step, NULL));
}

static int restore_step(struct cmd_session *session, void *arg)
{
	const struct kvp_bytes *bytes = arg;

	return kvp_store_restore(session->store, *bytes);
}

int cmd_restore(struct cmd_session *session)
{
	const char *path = session->request->args[0];
	struct kvp_bytes bytes;
	int status = cmd_read_file(path, SIZE_MAX, &bytes);
	int r;

	if (status)
		return status;
	r = cmd_try(session, restore_step, &bytes);
	free((char *)(uintptr_t)bytes.data);
	if (r != -EINVAL)
		return cmd_fail(session, NULL, r);
	cmd_message("%s: restore: these are not whole records of %d bytes",
		    session->pool, KVP_RECORD_SIZE);
	return CMD_REFUSED;
}

/* Says which line of the input cannot be a record, and why: RESULT is of it. */
static int refuse_line(struct cmd_session *session, int result,
		       const struct kvp_text_fault *fault)
{
	char message[256];

	cmd_message("%s: %s: line %zu: %s", session->pool,
		    session->request->command->name, fault->line,
		    fault->reason
			    ? fault->reason
			    : kvp_store_message(session->store, result, message,
						sizeof(message)));
	return CMD_REFUSED;
}

static int load_step(struct cmd_session *session, void *arg)
{
	return kvp_store_load(session->store, arg);
}

static int append_step(struct cmd_session *session, void *arg)
{
	return kvp_store_append(session->store, arg);
}

/* The records of TEXT, which is freed, into BATCH. */
static int parse_text(struct cmd_session *session, struct kvp_bytes text,
		      struct kvp_batch *batch)
{
	struct kvp_text_fault fault = { 0 };
	int r = kvp_text_parse(text, kvp_batch_visit, batch, &fault);

	free((char *)(uintptr_t)text.data);
	return r > 0 ? refuse_line(session, r, &fault)
		     : cmd_fail(session, NULL, r);
}

/* load and append: STEP stores the lines of the file or of the input. */
static int store_lines(struct cmd_session *session, cmd_step *step)
{
	const struct cmd_request *request = session->request;
	struct kvp_batch batch;
	struct kvp_bytes text;
	int status;

	status = cmd_read_file(request->arg_count ? request->args[0] : NULL,
			       SIZE_MAX, &text);
	if (status)
		return status;
	kvp_store_batch_init(session->store, &batch);
	status = parse_text(session, text, &batch);
	if (status == CMD_DONE)
		status = cmd_fail(session, NULL,
				  cmd_try(session, step, &batch));
	kvp_batch_release(&batch);
	return status;
}

int cmd_load(struct cmd_session *session)
{
	return store_lines(session, load_step);
}

int cmd_append(struct cmd_session *session)
{
	return store_lines(session, append_step);
}
