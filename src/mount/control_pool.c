/* SPDX-License-Identifier: MIT */
#include "control_pool.h"

#include <errno.h>
#include <stdlib.h>

#include "control_replace.h"
#include "record.h"
#include "show.h"

/* A file open on "pool". */
struct handle {
	struct kvpfs_replace file; /* must come first */
	FILE *out;		   /* collects what is written... */
	char *bytes;		   /* ...here */
	size_t len;
};

static struct handle *handle_of(const struct kvpfs_call *call)
{
	return (struct handle *)kvpfs_replace_of(call);
}

static void release(struct kvpfs_replace *file)
{
	struct handle *handle = (struct handle *)file;

	if (handle->out)
		(void)fclose(handle->out);
	free(handle->bytes);
	handle->out = NULL;
	handle->bytes = NULL;
	handle->len = 0;
}

static void restart(struct kvpfs_replace *file, struct kvpfs_dir *dir)
{
	(void)dir;
	release(file);
}

static int collect(struct kvpfs_call *call)
{
	struct handle *handle = handle_of(call);

	if (handle->file.written + call->size > KVPFS_SHOWN_MAX)
		return -EFBIG;
	if (!handle->out)
		handle->out = open_memstream(&handle->bytes, &handle->len);
	if (!handle->out ||
	    fwrite(call->data, 1, call->size, handle->out) != call->size ||
	    fflush(handle->out) != 0)
		return -ENOMEM;
	return 0;
}

static int replace(struct kvpfs_call *call, struct kvp_bytes bytes)
{
	if (bytes.len % KVP_RECORD_SIZE == 0)
		return kvp_store_restore(call->inode->dir->store, bytes);
	kvpfs_call_explain(call, "pool: %zu bytes are no whole records of %d",
			   bytes.len, KVP_RECORD_SIZE);
	return -EINVAL;
}

static int store(struct kvpfs_call *call)
{
	const struct handle *handle = handle_of(call);

	return replace(call, (struct kvp_bytes){ handle->bytes, handle->len });
}

static int show(struct kvpfs_dir *dir, FILE *out)
{
	return kvp_show_pool(dir->store, out);
}

static size_t size(const struct kvp_status *status)
{
	return status->records * KVP_RECORD_SIZE;
}

const struct kvpfs_replace_kind kvpfs_control_pool = {
	.shown = {
		.kind = {
			.name = "pool",
			.ops = { KVPFS_REPLACE_OPS },
			.writable = true,
		},
		.show = show,
		.size = size,
	},
	.handle_size = sizeof(struct handle),
	.restart = restart,
	.release = release,
	.collect = collect,
	.store = store,
	.replace = replace,
};
