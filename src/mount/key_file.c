/* SPDX-License-Identifier: MIT */
#include "key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "attr.h"
#include "key_attr.h"
#include "sync.h"
#include "writer.h"

/*
 * The shortest time that is not zero; the kernel makes a clock tick of it. So attributes
 * that come with a lookup serve the call that looked up. They are never too old for a
 * call by path, as that looks up anew.
 */
#define SHORTEST_TIMEOUT 2e-9

static bool opens_for_writing(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

static void close_key(struct kvpfs *fs, struct kvpfs_open *open)
{
	struct kvpfs_handle *handle = &((struct kvpfs_key_open *)open)->handle;

	(void)fs;
	/* watchers know of a new file that will never be stored */
	if (handle->writes && kvp_writer_is_creating(&handle->writer))
		kvpfs_told_doubt(&handle->node->inode.dir->told);
	kvpfs_handle_release(handle);
	free(open);
}

/* Makes OPEN the open file of CALL; returns its handle. */
static struct kvpfs_handle *add_open(struct kvpfs *fs, struct kvpfs_call *call,
				     struct kvpfs_key_open *open)
{
	kvpfs_open_add(fs, &open->open, close_key);
	call->fi.fh = (uintptr_t)open;
	return &open->handle;
}

static void set_caching(struct kvpfs *fs, struct kvpfs_call *call,
			const struct kvpfs_node *node,
			enum kvpfs_caching caching)
{
	call->fi.direct_io = caching == KVPFS_CACHE_NONE ||
			     caching == KVPFS_CACHE_LOST;
	call->fi.keep_cache = caching == KVPFS_CACHE_KEEP;
	if (caching == KVPFS_CACHE_LOST)
		fuse_lowlevel_notify_inval_inode(fs->session, (uintptr_t)node,
						 -1, 0);
}

static int open_reader(struct kvpfs *fs, struct kvpfs_call *call,
		       struct kvpfs_node *node, struct kvp_value *value,
		       pid_t pid)
{
	struct kvpfs_key_open *open = calloc(1, sizeof(*open));
	enum kvpfs_caching caching;
	int r;

	if (!open)
		return -ENOMEM;
	r = kvpfs_node_admit_reader(node, value, pid, &open->handle, &caching);
	if (r) {
		free(open);
		return r;
	}
	add_open(fs, call, open);
	set_caching(fs, call, node, caching);
#ifdef HAVE_STRUCT_FUSE_FILE_INFO_NOFLUSH
	call->fi.noflush = !node->file->lockable.records;
#endif
	return 0;
}

/* VALUE is what the key has now; NULL: it is gone, and a write makes it again. */
static int open_writer(struct kvpfs *fs, struct kvpfs_call *call,
		       struct kvpfs_node *node, struct kvp_value *value,
		       pid_t pid)
{
	struct kvpfs_key_open *open = calloc(1, sizeof(*open));
	struct kvpfs_handle *handle;
	int r;

	if (!open)
		return -ENOMEM;
	/* with nobody to tell it, a watch would miss what goes to another node */
	r = value && (call->fi.flags & O_TRUNC) && fs->watchers
		    ? kvpfs_node_admit_emptier(node, pid)
		    : 0;
	if (r == 0)
		r = kvpfs_node_admit_writer(node, value, pid, &open->handle);
	if (r) {
		free(open);
		return r;
	}
	handle = add_open(fs, call, open);
	call->fi.direct_io = 1;
	handle->writer.strip_newline = fs->options->strip_newline;
	if (call->fi.flags & O_TRUNC) {
		kvp_writer_begin(&handle->writer, value);
		kvpfs_handle_emptied(handle);
	}
	return 0;
}

/* Whether a file with KEY may be changed: 0 or the refusal. */
static int check_writable(struct kvp_store *store, struct kvp_bytes key)
{
	if (!kvp_store_is_writable(store))
		return KVP_READ_ONLY;
	return kvp_store_check_key(store, key);
}

int kvpfs_key_open(struct kvpfs *fs, struct kvpfs_call *call,
		   struct kvpfs_node *node)
{
	const struct kvpfs_file *file = node->file;
	bool writes = opens_for_writing(call->fi.flags);
	pid_t pid = kvpfs_call_pid(call);
	struct kvp_value *value = NULL;
	int r = kvpfs_find_value(fs, node, &value);

	/* gone since it was looked up; after -ESTALE an O_CREAT makes it */
	if (r == KVP_ABSENT) {
		r = kvpfs_node_admit_without_key(node, pid);
		value = r ? NULL : kvp_value_ref(node->value);
	}
	if (r == 0 && writes && !file->unlinked)
		r = check_writable(node->inode.dir->store, file->key);
	if (r == 0 && writes)
		r = open_writer(fs, call, node,
				value == fs->empty ? NULL : value, pid);
	else if (r == 0)
		r = open_reader(fs, call, node, value, pid);
	kvp_value_unref(value);
	return r;
}

int kvpfs_key_open_new(struct kvpfs *fs, struct kvpfs_call *call,
		       struct kvpfs_node *node)
{
	call->fi.flags |= O_TRUNC;
	return open_writer(fs, call, node, NULL, kvpfs_call_pid(call));
}

static int run_open(struct kvpfs *fs, struct kvpfs_call *call)
{
	int r = kvpfs_key_open(fs, call, kvpfs_node_of(call->inode));

	if (r)
		return r;
	if (fuse_reply_open(call->req, &call->fi) != 0)
		kvpfs_open_close(fs, kvpfs_call_open(call));
	return 0;
}

/* If the value has grown since the reader HANDLE was opened, HANDLE follows. */
static void look_for_more(struct kvpfs *fs, struct kvpfs_handle *handle)
{
	struct kvp_value *stored;

	if (kvpfs_find_value(fs, handle->node, &stored))
		return; /* it goes on with what it has */
	kvpfs_handle_follow(handle, stored);
	kvp_value_unref(stored);
}

static int read_version(struct kvpfs *fs, struct kvpfs_call *call,
			struct kvpfs_handle *handle)
{
	if (call->offset >= (off_t)kvpfs_handle_value(handle)->len)
		look_for_more(fs, handle);
	kvpfs_reply_part(call, kvp_value_bytes(kvpfs_handle_value(handle)));
	return 0;
}

static int run_read(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_handle *handle = kvpfs_handle_of(call);
	struct kvp_value *value = NULL;
	char view[KVP_WRITER_MAX];
	size_t len;
	int r;

	if (!handle->writes)
		return read_version(fs, call, handle);
	r = kvpfs_find_value(fs, handle->node, &value);
	if (r && r != KVP_ABSENT)
		return r;
	len = kvp_writer_view(&handle->writer, value, view);
	kvp_value_unref(value);
	kvpfs_reply_part(call, (struct kvp_bytes){ view, len });
	return 0;
}

/* The file that writers of NODE change. */
static struct kvp_writer_file file_of(const struct kvpfs_node *node)
{
	return (struct kvp_writer_file){
		.store = node->inode.dir->store,
		.key = node->file->key,
		.id = node->file->id,
		.unlinked = node->file->unlinked,
	};
}

/*
 * Notes that VALUE was stored (NULL: nothing was), and takes the reference. CLOSED: a
 * close or fsync has stored that the file was emptied; else the file was written or cut.
 */
static void note_stored(struct kvpfs_node *node, struct kvp_value *value,
			bool closed)
{
	const struct kvpfs_file *file = node->file;
	struct kvpfs_told *told = &node->inode.dir->told;

	if (!value)
		return;
	kvpfs_node_stored(node, value);
	kvpfs_given_stored(&node->inode.dir->given, file->key_id, value,
			   closed);
	if (!file->unlinked)
		kvpfs_told_stored(told, file->key, value);
	if (kvpfs_file_has_versions(file))
		kvpfs_told_versions(told);
	kvp_value_unref(value);
}

static int run_write(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_handle *handle = kvpfs_handle_of(call);
	struct kvp_writer_file file = file_of(handle->node);
	struct kvp_bytes data = { call->data, call->size };
	struct kvp_value *value = NULL;
	int r;

	(void)fs;
	handle->writer.append = call->fi.flags & O_APPEND;
	r = kvp_writer_write(&handle->writer, &file, data, call->offset,
			     &value);
	if (r)
		return r;
	note_stored(handle->node, value, false);
	fuse_reply_write(call->req, call->size);
	return 0;
}

/* Reports an unfinished character at close(2), where cat and cp look for errors. */
static int run_flush(struct kvpfs *fs, struct kvpfs_call *call)
{
	int r = kvp_writer_check(&kvpfs_handle_of(call)->writer,
				 call->inode->dir->store);

	(void)fs;
	if (r == 0)
		fuse_reply_err(call->req, 0);
	return r;
}

static int commit(struct kvpfs_handle *handle)
{
	struct kvp_writer_file file = file_of(handle->node);
	struct kvp_value *value = NULL;
	int r = kvp_writer_commit(&handle->writer, &file, &value);

	if (r == 0)
		note_stored(handle->node, value, true);
	return r;
}

static int run_fsync(struct kvpfs *fs, struct kvpfs_call *call)
{
	int r = call->has_handle ? commit(kvpfs_handle_of(call)) : 0;

	return r ? r : kvpfs_run_fsync(fs, call);
}

static int release(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_handle *handle = kvpfs_handle_of(call);
	const struct kvpfs_file *file = handle->node->file;
	bool is_late = kvp_writer_is_pending(&handle->writer) &&
		       !kvp_writer_is_creating(&handle->writer);
	int r = commit(handle);

	(void)fs;
	if (r == 0 && is_late && !file->unlinked)
		kvpfs_told_early(&file->versions->dir->told, file->key);
	/* an unfinished character has been reported by flush */
	return r == KVP_NOT_UTF8 ? 0 : r;
}

/*
 * truncate(2), which has no handle: the cut is stored at once. A key that others have
 * removed since it was looked up stays removed.
 */
static int cut_node(struct kvpfs *fs, struct kvpfs_call *call,
		    struct kvpfs_node *node)
{
	struct kvp_writer once = {
		.strip_newline = fs->options->strip_newline,
	};
	struct kvp_writer_file file = file_of(node);
	struct kvp_value *value = NULL;
	int r = 0;

	file.is_stored = !kvpfs_versions_find_created(node->file->versions,
						      node->file->key);
	if (!file.unlinked)
		r = check_writable(file.store, file.key);
	if (r == 0)
		r = kvpfs_node_admit_cut(node, kvpfs_call_pid(call));
	if (r == 0)
		r = kvp_writer_truncate(&once, &file, call->attr.st_size,
					&value);
	if (r)
		return r;
	kvpfs_node_cut(node, kvpfs_call_pid(call));
	note_stored(node, value, false);
	return 0;
}

/* ftruncate(2). */
static int cut_handle(struct kvpfs_call *call, struct kvpfs_handle *handle)
{
	struct kvp_writer_file file = file_of(handle->node);
	struct kvp_value *value = NULL;
	int r;

	if (call->attr.st_size == 0) {
		r = kvp_writer_empty(&handle->writer, &file);
		if (r == 0)
			kvpfs_handle_emptied(handle);
		return r;
	}
	r = kvp_writer_truncate(&handle->writer, &file, call->attr.st_size,
				&value);
	if (r == 0)
		note_stored(handle->node, value, false);
	return r;
}

static int run_getattr(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct stat st;
	int r = kvpfs_look_at_key(fs, call, &st);

	if (r == 0)
		fuse_reply_attr(call->req, &st, 0);
	return r;
}

static int set_size(struct kvpfs *fs, struct kvpfs_call *call, struct stat *st)
{
	struct kvpfs_node *node = kvpfs_node_of(call->inode);
	struct kvpfs_handle *handle = kvpfs_handle_of(call);
	int r = handle && handle->writes ? cut_handle(call, handle)
					 : cut_node(fs, call, node);

	/* without another look, which might have to wait */
	kvpfs_fill_node(fs, node, node->value, st);
	st->st_size = call->attr.st_size;
	return r;
}

static int run_setattr(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct stat st;
	int r = kvpfs_look_at_key(fs, call, &st);

	if (r == 0)
		r = kvpfs_give_to_key(fs, call, &st);
	if (r == 0 && (call->flags & FUSE_SET_ATTR_SIZE))
		r = set_size(fs, call, &st);
	if (r)
		return r;
	fuse_reply_attr(call->req, &st, 0);
	return 0;
}

static void fill(struct kvpfs *fs, const struct kvpfs_inode *inode,
		 struct stat *st)
{
	const struct kvpfs_node *node = (const struct kvpfs_node *)inode;

	kvpfs_fill_node(fs, node, node->value, st);
}

static void forgotten(struct kvpfs_inode *inode)
{
	kvpfs_node_forget(kvpfs_node_of(inode));
}

static struct kvp_bytes label(const struct kvpfs_inode *inode)
{
	return ((const struct kvpfs_node *)inode)->file->key;
}

static struct kvpfs_lockable *lockable(struct kvpfs_inode *inode)
{
	return &kvpfs_node_of(inode)->file->lockable;
}

const struct kvpfs_inode_ops kvpfs_key_ops = {
	.scope = KVPFS_KEY,
	.label = label,
	.lockable = lockable,
	.attr_timeout = SHORTEST_TIMEOUT,
	.forgotten = forgotten,
	.fill = fill,
	.getattr = run_getattr,
	.setattr = run_setattr,
	.open = run_open,
	.read = run_read,
	.write = run_write,
	.flush = run_flush,
	.fsync = run_fsync,
	.release = release,
};
