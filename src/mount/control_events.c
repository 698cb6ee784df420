/* SPDX-License-Identifier: MIT */
#include "control_events.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "attr.h"
#include "sync.h"

/* The most bytes that one read gets. */
#define PIECE 4096

struct node {
	struct kvpfs_inode inode; /* must come first */
	struct handle *handle;	  /* the first one; NULL: not open */
	TAILQ_ENTRY(node) link;
};

struct handle {
	struct kvpfs_open open; /* must come first */
	struct node *node;
	uint64_t base;	      /* position of offset 0; modulo 2^64 */
	off_t next;	      /* offset behind what was read last */
	off_t overflowed_at;  /* offset of an "overflow" line; -1: none */
	const char *overflow; /* that line */
	bool within_line;     /* the last read has ended within a line */
	bool end_once; /* the next read that finds nothing ends the file */
	struct fuse_pollhandle *poll;
	TAILQ_ENTRY(handle) link;
};

/* The stream of one pool, with its readers. */
struct kvpfs_stream {
	struct kvp_events events;
	int watch; /* readable: a look is due; -1: no readers, or no watch */
	bool look_due; /* a look is due, whatever watch says */
	TAILQ_HEAD(, handle) handles;
	TAILQ_HEAD(, node) nodes;
};

static struct kvpfs_stream *stream_of(const struct handle *handle)
{
	return handle->node->inode.dir->stream;
}

static struct handle *handle_of(const struct kvpfs_call *call)
{
	return (struct handle *)kvpfs_call_open(call);
}

static void close_handle(struct kvpfs *fs, struct kvpfs_open *open)
{
	struct handle *handle = (struct handle *)open;
	struct kvpfs_stream *stream = stream_of(handle);

	(void)fs;
	TAILQ_REMOVE(&stream->handles, handle, link);
	if (handle->node->handle == handle)
		handle->node->handle = NULL;
	kvp_events_close(&stream->events);
	if (stream->events.readers == 0) {
		kvp_store_watch(handle->node->inode.dir->store, false);
		stream->watch = -1;
		stream->look_due = false;
	}
	if (handle->poll)
		fuse_pollhandle_destroy(handle->poll);
	free(handle);
}

static int run_open(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_dir *dir = call->inode->dir;
	struct kvpfs_stream *stream = dir->stream;
	struct handle *handle;
	int r;

	if (!kvpfs_control_is_only_read(call))
		return KVP_NOT_WRITABLE;
	handle = calloc(1, sizeof(*handle));
	if (!handle)
		return -ENOMEM;
	r = kvp_events_open(&stream->events, dir->store, &handle->base);
	if (r) {
		free(handle);
		return r;
	}
	handle->node = (struct node *)call->inode;
	if (!handle->node->handle)
		handle->node->handle = handle;
	handle->overflowed_at = -1;
	TAILQ_INSERT_TAIL(&stream->handles, handle, link);
	kvpfs_open_add(fs, &handle->open, close_handle);
	stream->watch = kvp_store_watch(dir->store, true);
	if (stream->watch < 0) { /* no inotify instance or watch is to be had */
		kvpfs_open_close(fs, &handle->open);
		return -EMFILE;
	}
	stream->look_due = true; /* for what happened before the watch */
	call->fi.fh = (uintptr_t)handle;
	call->fi.direct_io = 1;
	if (fuse_reply_open(call->req, &call->fi) != 0)
		kvpfs_open_close(fs, &handle->open);
	return 0;
}

/* How far OFFSET is within the last "overflow" line; -1: it is not. */
static off_t in_overflow(const struct handle *handle, off_t offset)
{
	offset -= handle->overflowed_at;
	if (handle->overflowed_at < 0 || offset < 0 ||
	    offset >= (off_t)strlen(handle->overflow))
		return -1;
	return offset;
}

/*
 * Lines were lost: at OFFSET there is the "overflow" line now, and behind it the lines
 * from position OLDEST on. A line that was read in part is ended first.
 */
static void set_overflow(struct handle *handle, off_t offset, uint64_t oldest)
{
	bool within_line = offset == handle->next && handle->within_line;

	handle->overflow = within_line ? "\noverflow\n" : "overflow\n";
	handle->overflowed_at = offset;
	handle->base = oldest - (uint64_t)offset - strlen(handle->overflow);
}

/* Up to SIZE bytes of what HANDLE sees at OFFSET; 0: nothing yet. */
static size_t read_events(struct handle *handle, off_t offset, char *buf,
			  size_t size)
{
	off_t within = in_overflow(handle, offset);
	uint64_t oldest;
	ssize_t n;
	size_t left;

	if (within < 0) {
		n = kvp_events_read(&stream_of(handle)->events,
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

/* The pool's new file got no watch: a reader would wait for ever. */
static bool is_deaf(const struct handle *handle)
{
	return stream_of(handle)->watch < 0;
}

static int run_read(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct handle *handle = handle_of(call);
	char buf[PIECE];
	size_t size = call->size < PIECE ? call->size : PIECE;
	size_t n = read_events(handle, call->offset, buf, size);

	(void)fs;
	if (n == 0 && is_deaf(handle))
		return -EMFILE;
	if (n == 0 && size > 0 && !handle->end_once)
		return call->fi.flags & O_NONBLOCK ? -EAGAIN : KVPFS_PARK;
	if (n == 0) /* that is the end of the file, for tail(1) */
		handle->end_once = false;
	handle->next = call->offset + (off_t)n;
	handle->within_line = n > 0 && buf[n - 1] != '\n';
	fuse_reply_buf(call->req, buf, n);
	return 0;
}

/*
 * The kernel asks for a handle's attributes when a program seeks to the end. tail(1)
 * seeks so, reads up to the end of the file, and follows then. So there must be an end.
 */
static int run_getattr(struct kvpfs *fs, struct kvpfs_call *call)
{
	if (call->has_handle)
		handle_of(call)->end_once = true;
	return kvpfs_control_getattr(fs, call);
}

static bool is_readable(struct handle *handle)
{
	char byte;

	return is_deaf(handle) ||
	       read_events(handle, handle->next, &byte, 1) > 0;
}

static int run_poll(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct handle *handle = handle_of(call);
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

static void wake_polls(struct kvpfs_stream *stream)
{
	struct handle *handle;

	TAILQ_FOREACH(handle, &stream->handles, link) {
		if (!handle->poll || !is_readable(handle))
			continue;
		fuse_lowlevel_notify_poll(handle->poll);
		fuse_pollhandle_destroy(handle->poll);
		handle->poll = NULL;
	}
}

bool kvpfs_events_are_read(const struct kvpfs *fs)
{
	for (size_t i = 0; i < fs->dir_count; i++)
		if (fs->dirs[i].stream->events.readers > 0)
			return true;
	return false;
}

bool kvpfs_events_are_due(const struct kvpfs *fs)
{
	for (size_t i = 0; i < fs->dir_count; i++)
		if (fs->dirs[i].stream->look_due)
			return true;
	return false;
}

size_t kvpfs_events_descriptors(const struct kvpfs *fs, struct pollfd fds[])
{
	size_t count = 0;

	for (size_t i = 0; i < fs->dir_count; i++)
		if (fs->dirs[i].stream->watch >= 0)
			fds[count++] = (struct pollfd){
				.fd = fs->dirs[i].stream->watch,
				.events = POLLIN
			};
	return count;
}

void kvpfs_events_look(struct kvpfs *fs)
{
	bool any = false;

	for (size_t i = 0; i < fs->dir_count; i++) {
		struct kvpfs_stream *stream = fs->dirs[i].stream;
		bool more = false;

		if (stream->events.readers == 0)
			continue;
		/* a lock that is taken: look again soon */
		stream->look_due = kvp_events_update(&stream->events,
						     fs->dirs[i].store,
						     &more) == KVP_LOCKED;
		stream->watch = kvp_store_watch(fs->dirs[i].store, true);
		more |= stream->watch < 0;
		if (more)
			wake_polls(stream);
		any |= more;
	}
	if (any)
		kvpfs_calls_wake(fs);
}

static void fill(struct kvpfs *fs, const struct kvpfs_inode *inode,
		 struct stat *st)
{
	const struct node *node = (const struct node *)inode;

	kvpfs_control_fill(fs,
			   &kvpfs_control_child(inode->dir, "events")->inode,
			   st);
	if (node->handle)
		st->st_size = (off_t)(inode->dir->stream->events.end -
				      node->handle->base);
}

static void forgotten(struct kvpfs_inode *inode)
{
	struct node *node = (struct node *)inode;

	TAILQ_REMOVE(&inode->dir->stream->nodes, node, link);
	free(node);
}

static struct kvp_bytes label(const struct kvpfs_inode *inode)
{
	(void)inode;
	return (struct kvp_bytes){ "events", 6 };
}

/* Locks hang on the file, not on one of its nodes. */
static struct kvpfs_lockable *lockable(struct kvpfs_inode *inode)
{
	return &kvpfs_control_child(inode->dir, "events")->lockable;
}

static const struct kvpfs_inode_ops node_ops = {
	.scope = KVPFS_NOTHING,
	.label = label,
	.lockable = lockable,
	.fill = fill,
	.getattr = run_getattr,
	.setattr = kvpfs_run_setattr_dir,
	.open = run_open,
	.read = run_read,
	.flush = kvpfs_control_flush,
	.fsync = kvpfs_run_fsync,
	.poll = run_poll,
	.forgotten = forgotten,
};

static int run_lookup(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_dir *dir = call->inode->dir;
	struct node *node;
	int r = kvp_store_refresh(dir->store);

	if (r)
		return r;
	node = calloc(1, sizeof(*node));
	if (!node)
		return -ENOMEM;
	node->inode = (struct kvpfs_inode){ &node_ops, dir, 0 };
	TAILQ_INSERT_TAIL(&dir->stream->nodes, node, link);
	kvpfs_reply_inode(fs, call->req, &node->inode);
	return 0;
}

const struct kvpfs_control_kind kvpfs_control_events = {
	.name = "events",
	.ops = {
		.scope = KVPFS_NOTHING,
		.label = kvpfs_control_label,
		.lookup = run_lookup,
	},
};

int kvpfs_stream_init(struct kvpfs_dir *dir)
{
	dir->stream = calloc(1, sizeof(*dir->stream));
	if (!dir->stream)
		return -ENOMEM;
	dir->stream->watch = -1;
	TAILQ_INIT(&dir->stream->handles);
	TAILQ_INIT(&dir->stream->nodes);
	return 0;
}

void kvpfs_stream_release(struct kvpfs_dir *dir)
{
	if (!dir->stream)
		return;
	while (!TAILQ_EMPTY(&dir->stream->nodes))
		forgotten(&TAILQ_FIRST(&dir->stream->nodes)->inode);
	free(dir->stream);
	dir->stream = NULL;
}
