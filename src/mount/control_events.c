/* SPDX-License-Identifier: MIT */
/*
 * ".kvpfs/events": a stream that blocks until the pool changes. Reads that find
 * nothing are parked; after each request, and when the pool's descriptor says that
 * somebody else was there, the differences become lines and the reads go on. It
 * costs nothing while nobody has it open, and wakes nobody while nothing happens.
 *
 * A handle's offsets count from its open, so that programs may read a block and
 * seek back to the end of the line that they wanted (head, read). And tail(1)
 * follows a file by its size: each lookup gets a node of its own, whose size is
 * what there has been to read since it was opened.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "control_dir.h"

/* What is read at a time. */
#define PIECE 4096

struct kvpfs_event_node {
	struct kvpfs_inode inode; /* must come first */
	struct kvpfs *fs;
	struct kvpfs_event_handle *handle; /* the first; NULL: not open */
	TAILQ_ENTRY(kvpfs_event_node) link;
};

struct kvpfs_event_handle {
	struct kvpfs_dir *dir;
	struct kvpfs_event_node *node;
	uint64_t base;	      /* position of offset 0; modulo 2^64 */
	off_t next;	      /* offset behind what was read last */
	off_t overflowed_at;  /* offset of an "overflow" line; -1: none */
	const char *overflow; /* that line */
	bool within_line;     /* what was read last ends within a line */
	bool end_once; /* the next read that finds nothing ends the file */
	struct fuse_pollhandle *poll;
	TAILQ_ENTRY(kvpfs_event_handle) link;
};

static struct kvpfs_event_handle *handle_of(const struct kvpfs_call *call)
{
	return (struct kvpfs_event_handle *)(uintptr_t)call->fi.fh;
}

void kvpfs_event_handle_close(struct kvpfs *fs,
			      struct kvpfs_event_handle *handle)
{
	struct kvpfs_dir *dir = handle->dir;

	TAILQ_REMOVE(&fs->event_handles, handle, link);
	if (handle->node->handle == handle)
		handle->node->handle = NULL;
	kvp_events_close(&dir->events);
	if (dir->events.readers == 0) {
		kvp_store_watch(dir->store, false);
		dir->watch = -1;
		dir->look_due = false;
	}
	if (handle->poll)
		fuse_pollhandle_destroy(handle->poll);
	free(handle);
}

static int run_open(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_dir *dir = call->inode->dir;
	struct kvpfs_event_handle *handle;
	int r;

	if ((call->fi.flags & O_ACCMODE) != O_RDONLY ||
	    (call->fi.flags & O_TRUNC))
		return KVP_NOT_WRITABLE;
	handle = calloc(1, sizeof(*handle));
	if (!handle)
		return -ENOMEM;
	r = kvp_events_open(&dir->events, dir->store, &handle->base);
	if (r) {
		free(handle);
		return r;
	}
	handle->dir = dir;
	handle->node = (struct kvpfs_event_node *)call->inode;
	if (!handle->node->handle)
		handle->node->handle = handle;
	handle->overflowed_at = -1;
	TAILQ_INSERT_TAIL(&fs->event_handles, handle, link);
	dir->watch = kvp_store_watch(dir->store, true);
	if (dir->watch < 0) { /* no inotify instance or watch is to be had */
		kvpfs_event_handle_close(fs, handle);
		return -EMFILE;
	}
	dir->look_due = true; /* what happened before the watch */
	call->fi.fh = (uintptr_t)handle;
	call->fi.direct_io = 1;
	if (fuse_reply_open(call->req, &call->fi) != 0)
		kvpfs_event_handle_close(fs, handle);
	return 0;
}

/* The offset is within the last "overflow" line: how far; else -1. */
static off_t in_overflow(const struct kvpfs_event_handle *handle, off_t offset)
{
	offset -= handle->overflowed_at;
	if (handle->overflowed_at < 0 || offset < 0 ||
	    offset >= (off_t)strlen(handle->overflow))
		return -1;
	return offset;
}

/*
 * From OFFSET on there is the line that says so, and behind it the lines that begin
 * at position OLDEST. A line that was read in part is ended first.
 */
static void set_overflow(struct kvpfs_event_handle *handle, off_t offset,
			 uint64_t oldest)
{
	bool within_line = offset == handle->next && handle->within_line;

	handle->overflow = within_line ? "\noverflow\n" : "overflow\n";
	handle->overflowed_at = offset;
	handle->base = oldest - (uint64_t)offset - strlen(handle->overflow);
}

/* Up to SIZE bytes of what HANDLE sees at OFFSET; 0: nothing yet. */
static size_t read_events(struct kvpfs_event_handle *handle, off_t offset,
			  char *buf, size_t size)
{
	off_t within = in_overflow(handle, offset);
	uint64_t oldest;
	ssize_t n;
	size_t left;

	if (within < 0) {
		n = kvp_events_read(&handle->dir->events,
				    handle->base + (uint64_t)offset, buf, size,
				    &oldest);
		if (n >= 0)
			return (size_t)n;
		set_overflow(handle, offset, oldest);
		within = 0;
	}
	left = strlen(handle->overflow) - (size_t)within;
	if (size > left)
		size = left;
	memcpy(buf, handle->overflow + within, size);
	return size;
}

static int run_read(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_event_handle *handle = handle_of(call);
	char buf[PIECE];
	size_t size = call->size < PIECE ? call->size : PIECE;
	size_t n = read_events(handle, call->offset, buf, size);

	(void)fs;
	if (n == 0 && size > 0 && !handle->end_once)
		return call->fi.flags & O_NONBLOCK ? -EAGAIN : KVPFS_PARK;
	if (n == 0) /* that was the end */
		handle->end_once = false;
	handle->next = call->offset + (off_t)n;
	handle->within_line = n > 0 && buf[n - 1] != '\n';
	fuse_reply_buf(call->req, buf, n);
	return 0;
}

/*
 * The kernel asks for a handle's attributes when it seeks to the end. tail(1) does
 * so before it reads what is there, and follows when it has found the end.
 */
static int run_getattr(struct kvpfs *fs, struct kvpfs_call *call)
{
	if (call->has_handle)
		handle_of(call)->end_once = true;
	return kvpfs_run_getattr_control(fs, call);
}

static bool is_readable(struct kvpfs_event_handle *handle)
{
	char byte;

	return read_events(handle, handle->next, &byte, 1) > 0;
}

static int run_poll(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_event_handle *handle = handle_of(call);
	bool readable = is_readable(handle);

	(void)fs;
	if (call->poll) {
		if (handle->poll)
			fuse_pollhandle_destroy(handle->poll);
		handle->poll = call->poll;
	}
	fuse_reply_poll(call->req, readable ? POLLIN | POLLRDNORM : 0);
	return 0;
}

static int run_flush(struct kvpfs *fs, struct kvpfs_call *call)
{
	(void)fs;
	fuse_reply_err(call->req, 0);
	return 0;
}

static int run_release(struct kvpfs *fs, struct kvpfs_call *call)
{
	kvpfs_event_handle_close(fs, handle_of(call));
	fuse_reply_err(call->req, 0);
	return 0;
}

static void wake_polls(struct kvpfs *fs)
{
	struct kvpfs_event_handle *handle;

	TAILQ_FOREACH(handle, &fs->event_handles, link) {
		/* cppcheck-suppress uninitvar; it does not know the macro */
		if (!handle->poll || !is_readable(handle))
			continue;
		fuse_lowlevel_notify_poll(handle->poll);
		fuse_pollhandle_destroy(handle->poll);
		handle->poll = NULL;
	}
}

void kvpfs_events_look(struct kvpfs *fs)
{
	bool any = false;

	for (size_t i = 0; i < fs->dir_count; i++) {
		struct kvpfs_dir *dir = &fs->dirs[i];
		bool more = false;

		if (dir->events.readers == 0)
			continue;
		/* a lock that is taken: look again soon */
		dir->look_due = kvp_events_update(&dir->events, dir->store,
						  &more) == KVP_LOCKED;
		any |= more;
	}
	if (!any)
		return;
	wake_polls(fs);
	kvpfs_calls_wake(fs);
}

static void fill_events(struct kvpfs *fs, const struct kvpfs_inode *inode,
			struct stat *st)
{
	const struct kvpfs_event_node *node = (const struct kvpfs_event_node *)
		inode;

	kvpfs_fill_file(fs, inode->dir, st);
	st->st_mode &= ~(mode_t)0222;
	st->st_ino = kvpfs_ino(inode->dir,
			       KVPFS_INO_CONTROL + 1 + KVPFS_EVENTS);
	if (node->handle)
		st->st_size = (off_t)(inode->dir->events.end -
				      node->handle->base);
}

static void forgotten(struct kvpfs_inode *inode)
{
	struct kvpfs_event_node *node = (struct kvpfs_event_node *)inode;

	TAILQ_REMOVE(&node->fs->event_nodes, node, link);
	free(node);
}

static const struct kvpfs_inode_ops events_ops = {
	.fill = fill_events,
	.getattr = run_getattr,
	.setattr = kvpfs_run_setattr_dir,
	.open = run_open,
	.read = run_read,
	.flush = run_flush,
	.fsync = kvpfs_run_fsync,
	.release = run_release,
	.poll = run_poll,
	.forgotten = forgotten,
};

int kvpfs_run_lookup_events(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_event_node *node = calloc(1, sizeof(*node));

	if (!node)
		return -ENOMEM;
	node->inode = (struct kvpfs_inode){ &events_ops, call->inode->dir, 0 };
	node->fs = fs;
	TAILQ_INSERT_TAIL(&fs->event_nodes, node, link);
	kvpfs_reply_inode(fs, call->req, &node->inode);
	return 0;
}

void kvpfs_event_nodes_release(struct kvpfs *fs)
{
	while (!TAILQ_EMPTY(&fs->event_nodes))
		forgotten(&TAILQ_FIRST(&fs->event_nodes)->inode);
}
