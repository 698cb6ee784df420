/* SPDX-License-Identifier: MIT */
/*
 * Open files. The kernel cuts what it reads from its page cache at the inode's
 * size, and fstat asks for that size without saying for which handle; so a
 * reader's version must be its node's, and stay it. See fuse_inode.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kvpfs.h"
#include "name.h"
#include "store_pool.h"

static bool opens_for_writing(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

static struct kvpfs_handle *handle_new(struct kvpfs *fs,
				       struct kvpfs_node *node)
{
	struct kvpfs_handle *handle = calloc(1, sizeof(*handle));

	if (!handle)
		return NULL;
	handle->node = node;
	kvpfs_file_ref(node->file);
	TAILQ_INSERT_TAIL(&fs->handles, handle, link);
	return handle;
}

/* After each step of a writer: what it was waiting for may have been stored. */
static void note_stored(struct kvpfs_handle *handle)
{
	if (handle->writer.pending)
		return;
	if (handle->truncated)
		handle->node->pending--;
	if (handle->creator)
		kvpfs_file_remove_creator(handle->node->file);
	handle->truncated = false;
	handle->creator = false;
}

void kvpfs_handle_close(struct kvpfs *fs, struct kvpfs_handle *handle)
{
	struct kvpfs_node *node = handle->node;

	handle->writer.pending = false;
	note_stored(handle);
	if (handle->pins)
		node->readers--;
	if (!handle->value)
		node->writers--;
	if (handle->maker)
		node->makers--;
	kvp_value_unref(handle->value);
	kvp_writer_release(&handle->writer);
	TAILQ_REMOVE(&fs->handles, handle, link);
	kvpfs_file_unref(node->file);
	free(handle);
}

/*
 * Whether a reader, PID, of VALUE, which is what the key has now, must go to
 * another node. *RET_VALUE: what to read if not; *RET_CACHED: whether the kernel's
 * size and pages of NODE are of that value.
 */
static int fit_reader(struct kvpfs *fs, struct kvpfs_node *node,
		      struct kvp_value *value, pid_t pid,
		      struct kvp_value **ret_value, bool *ret_cached)
{
	bool idle = !node->writers && !node->readers;
	bool fits = !node->writers && node->value == value;

	/* looked up a moment ago: what changed since need not be seen */
	if (!fits && node->private && !node->writers)
		value = node->value;
	else if (!fits && kvpfs_dir_refuse(node->file->dir, pid))
		return -ESTALE;
	else if (!fits && idle) {
		kvpfs_node_set_value(node, value);
		fuse_lowlevel_notify_inval_inode(fs->session, (uintptr_t)node,
						 -1, 0);
	}
	if (fits)
		kvpfs_dir_admit(node->file->dir, pid);
	*ret_cached = (fits || node->private) && !node->resized;
	*ret_value = value;
	return 0;
}

static int open_reader(struct kvpfs *fs, struct kvpfs_node *node,
		       struct kvp_value *value, pid_t pid,
		       struct fuse_file_info *fi)
{
	struct kvpfs_handle *handle;
	bool cached;
	int r = fit_reader(fs, node, value, pid, &value, &cached);

	if (r)
		return r;
	handle = handle_new(fs, node);
	if (!handle)
		return -ENOMEM;
	handle->value = kvp_value_ref(value);
	handle->pins = value == node->value && !node->writers;
	node->readers += handle->pins;
	fi->fh = (uintptr_t)handle;
#ifdef HAVE_STRUCT_FUSE_FILE_INFO_NOFLUSH
	fi->noflush = 1;
#endif
	fi->direct_io = !cached;
	if (cached) {
		fi->keep_cache = node->cached;
		node->cached = true;
	}
	return 0;
}

/* Whether a writer, PID, must go to another node, as readers pin this one. */
static int make_way(struct kvpfs_node *node, pid_t pid)
{
	if (node->readers > 0 && kvpfs_dir_refuse(node->file->dir, pid))
		return -ESTALE;
	if (node->readers == 0)
		kvpfs_dir_admit(node->file->dir, pid);
	return 0;
}

/* VALUE is what the key has now; NULL: it is gone, and made again by a write. */
static int open_writer(struct kvpfs *fs, struct kvpfs_node *node,
		       struct kvp_value *value, struct fuse_file_info *fi)
{
	struct kvpfs_handle *handle = handle_new(fs, node);

	if (!handle)
		return -ENOMEM;
	fi->fh = (uintptr_t)handle;
	fi->direct_io = 1;
	handle->writer.strip_newline = fs->options->strip_newline;
	if (fi->flags & O_TRUNC) {
		handle->writer.pending = true;
		kvp_value_set(&handle->writer.replaced, value);
		handle->truncated = true;
		node->pending++;
	}
	if (!node->readers && value)
		kvpfs_node_set_value(node, value);
	node->writers++;
	return 0;
}

/* FILE is gone and open all the same: its handles go on with what they have. */
static int open_unlinked(struct kvpfs *fs, struct kvpfs_call *call,
			 struct kvpfs_node *node)
{
	if (opens_for_writing(call->fi.flags))
		return open_writer(fs, node, node->value, &call->fi);
	return open_reader(fs, node, node->value, fuse_req_ctx(call->req)->pid,
			   &call->fi);
}

static int open_node(struct kvpfs *fs, struct kvpfs_call *call,
		     struct kvpfs_node *node)
{
	pid_t pid = fuse_req_ctx(call->req)->pid;
	struct kvpfs_file *file = node->file;
	struct kvp_item item = { 0 };
	int r;

	if (file->unlinked)
		return open_unlinked(fs, call, node);
	r = kvpfs_find(fs, file->dir, file->key, &item);
	if (r == KVP_ABSENT && !node->readers && !node->writers &&
	    kvpfs_dir_refuse(file->dir, pid)) /* look again */
		return -ESTALE;
	/* gone again since it was looked up; there may be an O_CREAT behind this */
	if (r == KVP_ABSENT)
		return open_unlinked(fs, call, node);
	if (r == 0 && opens_for_writing(call->fi.flags)) {
		r = kvp_store_check_key(file->dir->store, file->key);
		if (r == 0)
			r = make_way(node, pid);
		if (r == 0)
			r = open_writer(fs, node,
					item.value == fs->empty ? NULL
								: item.value,
					&call->fi);
	} else if (r == 0) {
		r = open_reader(fs, node, item.value, pid, &call->fi);
	}
	kvp_value_unref(item.value);
	return r;
}

static int run_open(struct kvpfs *fs, struct kvpfs_call *call)
{
	int r = open_node(fs, call, kvpfs_node(call->inode));

	if (r)
		return r;
	if (fuse_reply_open(call->req, &call->fi) != 0)
		kvpfs_handle_close(fs, kvpfs_handle(&call->fi));
	return 0;
}

/* Opens a file of which nothing is stored until something is written or closed. */
static int create_new(struct kvpfs *fs, struct kvpfs_call *call,
		      struct kvp_bytes key, struct kvpfs_node **ret_node)
{
	struct kvpfs_dir *dir = call->inode->dir;
	struct kvp_item item = { key, fs->empty, 0 };
	struct kvpfs_handle *handle;
	struct kvpfs_node *node;
	int r = kvp_store_check_new(dir->store, key);

	if (r)
		return r;
	item.id = kvp_store_new_id(dir->store);
	clock_gettime(CLOCK_REALTIME, &fs->empty->mtime);
	node = kvpfs_node_get(call->inode->dir, &item,
			      fuse_req_ctx(call->req)->pid);
	if (!node)
		return -ENOMEM;
	call->fi.flags |= O_TRUNC;
	r = open_writer(fs, node, NULL, &call->fi);
	if (r)
		return r;
	handle = kvpfs_handle(&call->fi);
	handle->creator = true;
	handle->maker = true;
	node->makers++;
	kvpfs_file_add_creator(node->file);
	*ret_node = node;
	return 0;
}

static int create_or_open(struct kvpfs *fs, struct kvpfs_call *call,
			  struct kvpfs_node **ret_node)
{
	char buf[KVP_NAME_MAX];
	struct kvpfs_node *node;
	struct kvp_item item;
	int r = kvpfs_key_of(call->name, -EINVAL, buf, &item.key);

	if (r == 0)
		r = kvpfs_find(fs, call->inode->dir, item.key, &item);
	if (r == KVP_ABSENT)
		return create_new(fs, call, item.key, ret_node);
	if (r)
		return r;
	/* somebody else was faster */
	node = call->fi.flags & O_EXCL
		       ? NULL
		       : kvpfs_node_get(call->inode->dir, &item,
					fuse_req_ctx(call->req)->pid);
	kvp_value_unref(item.value);
	if (!node)
		return call->fi.flags & O_EXCL ? KVP_EXISTS : -ENOMEM;
	r = open_node(fs, call, node);
	if (r == 0)
		*ret_node = node;
	return r;
}

int kvpfs_run_create(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct fuse_entry_param entry;
	struct kvpfs_node *node;
	int r = create_or_open(fs, call, &node);

	if (r)
		return r;
	kvpfs_fill_entry(fs, &node->inode, &entry);
	if (fuse_reply_create(call->req, &entry, &call->fi) != 0) {
		kvpfs_handle_close(fs, kvpfs_handle(&call->fi));
		kvpfs_forget(&node->inode, 1);
	}
	return 0;
}

/* What is stored for a writer's file now; *RET_VALUE may become NULL. */
static int current_value(struct kvpfs_node *node, struct kvp_value **ret_value)
{
	struct kvp_item item;
	int r;

	*ret_value = NULL;
	if (node->file->unlinked) {
		*ret_value = kvp_value_ref(node->value);
		return 0;
	}
	r = kvp_store_read(node->file->dir->store, node->file->key, &item);
	if (r == 0)
		*ret_value = item.value;
	return r == KVP_ABSENT ? 0 : r;
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

static int run_read(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_handle *handle = kvpfs_handle(&call->fi);
	char view[KVP_WRITER_MAX];
	struct kvp_value *value;
	size_t len;
	int r;

	(void)fs;
	if (handle->value) {
		kvpfs_reply_part(call, kvp_value_bytes(handle->value));
		return 0;
	}
	r = current_value(handle->node, &value);
	if (r)
		return r;
	len = kvp_writer_view(&handle->writer, value, view);
	kvp_value_unref(value);
	kvpfs_reply_part(call, (struct kvp_bytes){ view, len });
	return 0;
}

/* The store has VALUE now (NULL: what it had); takes the reference. */
static void show_value(struct kvpfs_node *node, struct kvp_value *value)
{
	if (value && !node->readers)
		kvpfs_node_set_value(node, value);
	kvp_value_unref(value);
}

/* The same, by way of HANDLE. */
static void note_value(struct kvpfs_handle *handle, struct kvp_value *value)
{
	show_value(handle->node, value);
	note_stored(handle);
}

static int run_write(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_handle *handle = kvpfs_handle(&call->fi);
	struct kvpfs_file *file = handle->node->file;
	struct kvp_bytes data = { call->data, call->size };
	struct kvp_value *value = NULL;
	int r = 0;

	(void)fs;
	handle->writer.append = call->fi.flags & O_APPEND;
	if (!file->unlinked)
		r = kvp_writer_write(&handle->writer, file->dir->store,
				     file->key, file->id, data, call->offset,
				     &value, &call->value_len);
	if (r)
		return r;
	note_value(handle, value);
	fuse_reply_write(call->req, call->size);
	return 0;
}

/* What is wrong with the value shows now, where cat and cp look for it. */
static int run_flush(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_handle *handle = kvpfs_handle(&call->fi);
	int r = handle->value ? 0 : kvp_writer_check(&handle->writer);

	(void)fs;
	if (r == 0)
		fuse_reply_err(call->req, 0);
	return r;
}

static int commit(struct kvpfs_handle *handle)
{
	struct kvpfs_file *file = handle->node->file;
	struct kvp_value *value = NULL;
	int r;

	if (handle->value || file->unlinked)
		return 0;
	r = kvp_writer_commit(&handle->writer, file->dir->store, file->key,
			      file->id, &value);
	if (r == 0)
		note_value(handle, value);
	return r;
}

void kvpfs_handle_finish(struct kvpfs *fs, struct kvpfs_handle *handle)
{
	struct kvpfs_call call = { .what = "store",
				   .inode = &handle->node->inode };
	int r = commit(handle);

	if (r && r != KVP_NOT_UTF8)
		kvpfs_log_failure(&call, r);
	if (r == KVP_LOCKED) /* waiting once is enough */
		kvp_store_pool_set_lock_timeout(call.inode->dir->store, 0);
	kvpfs_handle_close(fs, handle);
}

struct sync {
	struct kvpfs *fs;
	fuse_req_t req;
	int fd;
};

static void count_sync(struct kvpfs *fs, int change)
{
	pthread_mutex_lock(&fs->sync_lock);
	fs->syncs += (unsigned int)change;
	pthread_cond_broadcast(&fs->sync_ended);
	pthread_mutex_unlock(&fs->sync_lock);
}

void kvpfs_syncs_wait(struct kvpfs *fs)
{
	pthread_mutex_lock(&fs->sync_lock);
	while (fs->syncs > 0)
		pthread_cond_wait(&fs->sync_ended, &fs->sync_lock);
	pthread_mutex_unlock(&fs->sync_lock);
}

static void *run_sync(void *arg)
{
	struct sync *sync = arg;

	fuse_reply_err(sync->req, fdatasync(sync->fd) == 0 ? 0 : errno);
	close(sync->fd);
	count_sync(sync->fs, -1);
	free(sync);
	return NULL;
}

/* Without signals: the one that ends the session must find the session's loop. */
static int start_thread(struct sync *sync)
{
	pthread_t thread;
	sigset_t all;
	sigset_t old;
	int errnum;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	errnum = pthread_create(&thread, NULL, run_sync, sync);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (errnum == 0)
		pthread_detach(thread);
	return errnum;
}

/*
 * A disk may take its time: that is spent on a thread of its own, which touches
 * nothing but its descriptor and its request.
 */
static int start_sync(struct kvpfs *fs, struct kvpfs_call *call, int fd)
{
	struct sync *sync = malloc(sizeof(*sync));

	if (!sync)
		return -ENOMEM;
	*sync = (struct sync){ fs, call->req, fd };
	count_sync(fs, 1);
	if (start_thread(sync) != 0)
		run_sync(sync);
	return 0;
}

int kvpfs_run_fsync(struct kvpfs *fs, struct kvpfs_call *call)
{
	const struct kvpfs_dir *dir = call->inode->dir;
	int fd;
	int r;

	errno = 0;
	fd = dir ? kvp_store_sync_descriptor(dir->store) : -1;
	if (fd < 0 && errno)
		return -errno;
	if (fd < 0) {
		fuse_reply_err(call->req, 0);
		return 0;
	}
	r = start_sync(fs, call, fd);
	if (r)
		close(fd);
	return r;
}

static int run_fsync(struct kvpfs *fs, struct kvpfs_call *call)
{
	int r = call->has_handle ? commit(kvpfs_handle(&call->fi)) : 0;

	return r ? r : kvpfs_run_fsync(fs, call);
}

static int run_release(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_handle *handle = kvpfs_handle(&call->fi);
	int r = commit(handle);

	/* an unfinished character has been reported by flush */
	if (r && r != KVP_NOT_UTF8)
		return r;
	kvpfs_handle_close(fs, handle);
	fuse_reply_err(call->req, 0);
	return 0;
}

static void abandon_release(struct kvpfs *fs, struct kvpfs_call *call)
{
	kvpfs_handle_close(fs, kvpfs_handle(&call->fi));
}

int kvpfs_truncate(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_node *node = kvpfs_node(call->inode);
	struct kvpfs_handle *handle = call->has_handle ? kvpfs_handle(&call->fi)
						       : NULL;
	struct kvp_writer once = {
		.strip_newline = fs->options->strip_newline,
	};
	struct kvp_value *value = NULL;
	int r;

	if (node->file->unlinked)
		return 0;
	r = handle ? 0 : make_way(node, fuse_req_ctx(call->req)->pid);
	if (r)
		return r;
	r = kvp_writer_truncate(handle ? &handle->writer : &once,
				node->file->dir->store, node->file->key,
				node->file->id, call->attr.st_size, &value,
				&call->value_len);
	if (r)
		return r;
	if (handle) {
		note_value(handle, value);
		return 0;
	}
	/*
	 * The kernel takes over no size of this node until the caller goes on with
	 * our reply, which may be late. Whoever reads it through the page cache
	 * meanwhile gets the new value with zeros up to the old size.
	 */
	node->resized = true;
	show_value(node, value);
	return 0;
}

static void forgotten(struct kvpfs_inode *inode)
{
	kvpfs_node_free(kvpfs_node(inode));
}

const struct kvpfs_inode_ops kvpfs_key_ops = {
	.forgotten = forgotten,
	.fill = kvpfs_fill_key,
	.getattr = kvpfs_run_getattr_key,
	.setattr = kvpfs_run_setattr_key,
	.open = run_open,
	.read = run_read,
	.write = run_write,
	.flush = run_flush,
	.fsync = run_fsync,
	.release = run_release,
	.abandon_release = abandon_release,
};
