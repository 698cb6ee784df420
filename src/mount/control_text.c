/* SPDX-License-Identifier: MIT */
#include "control_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "escape.h"
#include "show.h"
#include "sync.h"
#include "text.h"

/* The longest line: each byte of a record is escaped. */
#define LINE_MAX_BYTES (KVP_ESCAPE_MAX * (size_t)KVP_RECORD_SIZE + 2)

/* A file open on "records". */
struct handle {
	struct kvpfs_replace file; /* must come first */
	struct kvp_batch batch;	   /* the lines that were collected */
	size_t lines;		   /* lines that were taken so far */
	char *rest;		   /* a line that has no end yet */
	size_t rest_len;
};

static struct handle *handle_of(const struct kvpfs_call *call)
{
	return (struct handle *)kvpfs_replace_of(call);
}

static void release(struct kvpfs_replace *file)
{
	struct handle *handle = (struct handle *)file;

	kvp_batch_release(&handle->batch);
	free(handle->rest);
	handle->rest = NULL;
	handle->rest_len = 0;
	handle->lines = 0;
}

static void restart(struct kvpfs_replace *file, struct kvpfs_dir *dir)
{
	struct handle *handle = (struct handle *)file;

	release(file);
	kvp_store_batch_init(dir->store, &handle->batch);
}

/* Logs the reason, in place of the line that each failure gets. */
static int invalid_line(struct kvpfs_call *call, size_t line,
			const char *reason)
{
	kvpfs_call_explain(call, "records: line %zu: %s", line, reason);
	return -EINVAL;
}

/*
 * Adds the records of TEXT, the first line of which has the number LINE, to BATCH.
 * -EINVAL: BATCH holds a part of them, and the log says why.
 */
static int parse(struct kvpfs_call *call, struct kvp_bytes text, size_t line,
		 struct kvp_batch *batch)
{
	struct kvp_text_fault fault;
	char message[KVP_MESSAGE_MAX];
	int r = kvp_text_parse(text, kvp_batch_visit, batch, &fault);

	if (r <= 0)
		return r;
	if (!fault.reason) /* the store's rules do not allow the record */
		fault.reason = kvp_store_message(call->inode->dir->store, r,
						 message, sizeof(message));
	return invalid_line(call, line - 1 + fault.line, fault.reason);
}

/* How many bytes of TEXT are whole lines. */
static size_t whole_lines(struct kvp_bytes text)
{
	const char *newline = text.len ? memrchr(text.data, '\n', text.len)
				       : NULL;

	return newline ? (size_t)(newline - text.data) + 1 : 0;
}

/*
 * Adds the whole lines of what is left over and what CALL writes to BATCH; results as
 * parse. They are *RET_LEN bytes. If nothing is to come of it, do not call consume.
 */
static int parse_written(struct kvpfs_call *call, struct kvp_batch *batch,
			 size_t *ret_len)
{
	struct handle *handle = handle_of(call);
	size_t len = handle->rest_len + call->size;
	char *text = realloc(handle->rest, len ? len : 1);
	size_t whole;

	if (!text)
		return -ENOMEM;
	handle->rest = text;
	memcpy(text + handle->rest_len, call->data, call->size);
	whole = whole_lines((struct kvp_bytes){ text, len });
	*ret_len = whole;
	if (len - whole > LINE_MAX_BYTES)
		return invalid_line(call, handle->lines + 1, "too long");
	return parse(call, (struct kvp_bytes){ text, whole }, handle->lines + 1,
		     batch);
}

/* The first COUNT lines, LEN bytes, of that are done with; the rest is left over. */
static void consume(struct kvpfs_call *call, size_t len, size_t count)
{
	struct handle *handle = handle_of(call);

	handle->rest_len += call->size - len;
	memmove(handle->rest, handle->rest + len, handle->rest_len);
	handle->lines += count;
}

static int collect(struct kvpfs_call *call)
{
	struct kvp_batch *batch = &handle_of(call)->batch;
	size_t before = batch->count;
	size_t len = 0;
	int r = parse_written(call, batch, &len);

	if (r == 0)
		consume(call, len, batch->count - before);
	return r;
}

/* Adds the line without an end, if any, to BATCH; results as parse. */
static int parse_rest(struct kvpfs_call *call, struct kvp_batch *batch)
{
	const struct handle *handle = handle_of(call);
	struct kvp_bytes rest = { handle->rest, handle->rest_len };

	return parse(call, rest, handle->lines + 1, batch);
}

/* The last line may still go on, so it is taken out of the batch again. */
static int store(struct kvpfs_call *call)
{
	struct kvp_batch *batch = &handle_of(call)->batch;
	size_t whole = batch->count;
	int r = parse_rest(call, batch);

	if (r == 0)
		r = kvp_store_load(call->inode->dir->store, batch);
	if (batch->count > whole)
		kvp_batch_drop_last(batch);
	return r;
}

static int replace(struct kvpfs_call *call, struct kvp_bytes text)
{
	struct kvp_store *store = call->inode->dir->store;
	struct kvp_batch batch;
	int r;

	kvp_store_batch_init(store, &batch);
	r = parse(call, text, 1, &batch);
	if (r == 0)
		r = kvp_store_load(store, &batch);
	kvp_batch_release(&batch);
	return r;
}

static int append(struct kvpfs_call *call)
{
	struct kvp_store *store = call->inode->dir->store;
	struct kvp_batch batch;
	size_t len = 0;
	int r;

	kvp_store_batch_init(store, &batch);
	r = parse_written(call, &batch, &len);
	if (r == 0)
		r = kvp_store_append(store, &batch);
	if (r == 0)
		consume(call, len, batch.count);
	kvp_batch_release(&batch);
	return r;
}

static int end_append(struct kvpfs_call *call)
{
	struct kvp_store *store = call->inode->dir->store;
	struct handle *handle = handle_of(call);
	struct kvp_batch batch;
	int r;

	if (handle->rest_len == 0)
		return 0;
	kvp_store_batch_init(store, &batch);
	r = parse_rest(call, &batch);
	if (r == 0)
		r = kvp_store_append(store, &batch);
	if (r != KVP_LOCKED) /* it was stored or refused */
		handle->rest_len = 0;
	if (r == 0)
		handle->lines++;
	kvp_batch_release(&batch);
	return r;
}

static int show_records(struct kvpfs_dir *dir, FILE *out)
{
	return kvp_show_records(dir->store, out);
}

const struct kvpfs_replace_kind kvpfs_control_records = {
	.shown = {
		.kind = {
			.name = "records",
			.ops = { KVPFS_REPLACE_OPS },
			.writable = true,
		},
		.show = show_records,
	},
	.handle_size = sizeof(struct handle),
	.restart = restart,
	.release = release,
	.collect = collect,
	.store = store,
	.replace = replace,
	.append = append,
	.end_append = end_append,
};

static int show_entries(struct kvpfs_dir *dir, FILE *out)
{
	return kvp_show_entries(dir->store, out);
}

const struct kvpfs_shown_kind kvpfs_control_entries = {
	.kind = {
		.name = "entries",
		.ops = { .scope = KVPFS_POOL, KVPFS_SHOWN_OPS },
	},
	.show = show_entries,
};
