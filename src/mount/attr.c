/* SPDX-License-Identifier: MIT */
/*
 * Attributes: what stat and statfs show, and what can be set.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "kvpfs.h"
#include "log.h"
#include "name.h"
#include "util.h"

static void log_torn_once(struct kvpfs_dir *dir, size_t bytes)
{
	if (bytes == 0 || dir->torn_logged)
		return;
	kvpfs_log(LOG_WARNING,
		  "%s: pool ends with %zu bytes that are no record: ignored",
		  dir->name, bytes);
	dir->torn_logged = true;
}

/* What all take from the pool file, or from the options; *RET_MODE: rw bits. */
static void fill_common(struct kvpfs *fs, struct kvpfs_dir *dir,
			struct stat *st, mode_t *ret_mode)
{
	const struct kvpfs_options *options = fs->options;
	struct kvp_status status;

	kvp_store_status(dir->store, &status);
	log_torn_once(dir, status.torn_bytes);
	*st = (struct stat){ 0 };
	if (status.exists) {
		st->st_uid = status.st.st_uid;
		st->st_gid = status.st.st_gid;
		st->st_mtim = status.st.st_mtim;
		st->st_ctim = status.st.st_ctim;
		*ret_mode = status.st.st_mode & 0666;
	} else { /* what it will be once it is made */
		st->st_uid = geteuid();
		st->st_gid = getegid();
		*ret_mode = 0600;
		st->st_mtim = st->st_ctim = fs->empty->mtime;
	}
	if (options->has_umask)
		*ret_mode = 0666 & ~options->umask;
	if (options->has_uid)
		st->st_uid = options->uid;
	if (options->has_gid)
		st->st_gid = options->gid;
	st->st_atim = st->st_mtim;
	st->st_blksize = 4096;
}

void kvpfs_fill_dir(struct kvpfs *fs, const struct kvpfs_inode *inode,
		    struct stat *st)
{
	mode_t mode;

	fill_common(fs, inode->dir, st, &mode);
	/* whoever may read a directory may also enter it */
	st->st_mode = S_IFDIR | mode | ((mode & 0444) >> 2);
	st->st_ino = kvpfs_ino(inode->dir, KVPFS_INO_ROOT);
	st->st_nlink = 2;
}

void kvpfs_fill_file(struct kvpfs *fs, struct kvpfs_dir *dir, struct stat *st)
{
	mode_t mode;

	fill_common(fs, dir, st, &mode);
	st->st_mode = S_IFREG | mode;
	st->st_nlink = 1;
}

void kvpfs_fill_node(struct kvpfs *fs, const struct kvpfs_node *node,
		     const struct kvp_value *value, struct stat *st)
{
	const struct kvpfs_file *file = node->file;

	kvpfs_fill_file(fs, file->dir, st);
	st->st_ino = kvpfs_ino(file->dir, KVPFS_INO_ENTRIES + file->id);
	st->st_nlink = file->unlinked ? 0 : 1;
	st->st_size = node->pending ? 0 : value->len;
	st->st_blocks = (st->st_size + 511) / 512;
	/* the pool's times, as of the last change that concerned this value */
	if (kvp_same_time(&st->st_mtim, &value->mtime))
		return;
	st->st_mtim = value->mtime;
	st->st_ctim = st->st_mtim;
	st->st_atim = st->st_mtim;
}

void kvpfs_fill_key(struct kvpfs *fs, const struct kvpfs_inode *inode,
		    struct stat *st)
{
	const struct kvpfs_node *node = (const struct kvpfs_node *)inode;

	kvpfs_fill_node(fs, node, node->value, st);
}

/* How large the file is for HANDLE. */
static off_t size_for(const struct kvpfs_handle *handle)
{
	char view[KVP_WRITER_MAX];

	if (handle->value)
		return handle->value->len;
	return (off_t)kvp_writer_view(&handle->writer, handle->node->value,
				      view);
}

/*
 * What to show of NODE; the caller owns the reference. Readers pin its value, and
 * writers are shown the current one. An idle node keeps what the kernel was told
 * with its lookup: other answers to lookups may still be on their way there.
 * KVP_ABSENT: the key is gone, and no handle is left that could go on with it.
 */
static int value_to_show(struct kvpfs *fs, struct kvpfs_node *node,
			 struct kvp_value **ret_value)
{
	struct kvpfs_file *file = node->file;
	struct kvp_item item = { 0 };
	int r = file->unlinked ? kvp_store_refresh(file->dir->store)
			       : kvpfs_find(fs, file->dir, file->key, &item);

	if (r && (r != KVP_ABSENT || !(node->readers || node->writers)))
		return r;
	if (item.value && !node->readers && node->writers)
		kvpfs_node_set_value(node, item.value);
	if (!item.value || node->readers) {
		kvp_value_unref(item.value);
		item.value = kvp_value_ref(node->value);
	}
	*ret_value = item.value;
	return 0;
}

static int look_at_key(struct kvpfs *fs, struct kvpfs_call *call,
		       struct stat *st)
{
	struct kvpfs_node *node = kvpfs_node(call->inode);
	struct kvp_value *value;
	int r;

	/* as read(2) asks: it needs nothing but the version of its open */
	if (call->has_handle && kvpfs_handle(&call->fi)->value) {
		value = kvpfs_handle(&call->fi)->value;
		kvpfs_fill_node(fs, node, value, st);
		st->st_size = value->len; /* a writer may have cut the node */
		return 0;
	}
	r = value_to_show(fs, node, &value);
	if (r)
		return r;
	kvpfs_fill_node(fs, node, value, st);
	if (call->has_handle)
		st->st_size = size_for(kvpfs_handle(&call->fi));
	kvp_value_unref(value);
	return 0;
}

static int look_at_dir(struct kvpfs *fs, struct kvpfs_call *call,
		       struct stat *st)
{
	struct kvpfs_dir *dir = call->inode->dir;
	int r = dir ? kvp_store_refresh(dir->store) : 0;

	if (r)
		return r;
	call->inode->ops->fill(fs, call->inode, st);
	return 0;
}

int kvpfs_run_getattr_dir(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct stat st;
	int r = look_at_dir(fs, call, &st);

	if (r == 0)
		fuse_reply_attr(call->req, &st, fs->options->attr_timeout);
	return r;
}

int kvpfs_run_getattr_key(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct stat st;
	int r = look_at_key(fs, call, &st);

	if (r == 0)
		fuse_reply_attr(call->req, &st, fs->options->attr_timeout);
	return r;
}

/* Owner and mode are the pool's: setting them to what they are is all right. */
int kvpfs_check_setattr(const struct kvpfs_call *call, const struct stat *st)
{
	unsigned int set = call->flags;

	if ((set & FUSE_SET_ATTR_MODE) &&
	    ((call->attr.st_mode ^ st->st_mode) & 07777))
		return KVP_UNSUPPORTED;
	if ((set & FUSE_SET_ATTR_UID) && call->attr.st_uid != st->st_uid)
		return KVP_UNSUPPORTED;
	if ((set & FUSE_SET_ATTR_GID) && call->attr.st_gid != st->st_gid)
		return KVP_UNSUPPORTED;
	return 0;
}

/* Truncating the directory clears the pool, as truncating a file empties it. */
int kvpfs_run_setattr_dir(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct stat st;
	int r = look_at_dir(fs, call, &st);

	if (r == 0)
		r = kvpfs_check_setattr(call, &st);
	if (r == 0 && (call->flags & FUSE_SET_ATTR_SIZE)) {
		if (call->attr.st_size != 0 ||
		    call->inode->ops != &kvpfs_pool_ops)
			return -EINVAL;
		r = kvp_store_clear(call->inode->dir->store);
	}
	if (r)
		return r;
	call->inode->ops->fill(fs, call->inode, &st);
	fuse_reply_attr(call->req, &st, fs->options->attr_timeout);
	return 0;
}

/*
 * Programs that create a file go on to give it the mode and the owner that they
 * want it to have (install, rsync, tar, cp -p). As long as the handle that made the
 * file is open, that is accepted and not kept, as the mode given to open is not.
 */
static bool is_being_made(const struct kvpfs_call *call)
{
	return kvpfs_node(call->inode)->makers > 0;
}

/* Times are accepted and not kept: touch, cp -p and rsync need no error. */
int kvpfs_run_setattr_key(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_node *node = kvpfs_node(call->inode);
	struct stat st;
	int r = look_at_key(fs, call, &st);

	if (r == 0 && !is_being_made(call))
		r = kvpfs_check_setattr(call, &st);
	if (r == 0 && (call->flags & FUSE_SET_ATTR_SIZE)) {
		r = kvpfs_truncate(fs, call);
		/* without another look, which might have to wait */
		kvpfs_fill_node(fs, node, node->value, &st);
		st.st_size = call->attr.st_size;
	}
	if (r)
		return r;
	fuse_reply_attr(call->req, &st, fs->options->attr_timeout);
	return 0;
}

/* Adds the pool's records to ST. */
static int add_statfs(const struct kvpfs_dir *dir, struct statvfs *st)
{
	struct kvp_status status;
	int r = kvp_store_refresh(dir->store);

	if (r)
		return r;
	kvp_store_status(dir->store, &status);
	st->f_blocks += KVP_MAX_KEYS;
	if (status.keys < KVP_MAX_KEYS)
		st->f_bfree += KVP_MAX_KEYS - status.keys;
	return 0;
}

/* Blocks and inodes are records: of a pool, or of all. */
int kvpfs_run_statfs(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct statvfs st = { 0 };
	int r = 0;

	for (size_t i = 0; i < fs->dir_count && r == 0; i++)
		if (!call->inode->dir || call->inode->dir == &fs->dirs[i])
			r = add_statfs(&fs->dirs[i], &st);
	if (r)
		return r;
	st.f_bsize = KVP_RECORD_SIZE;
	st.f_frsize = KVP_RECORD_SIZE;
	st.f_bavail = st.f_bfree;
	st.f_files = st.f_blocks;
	st.f_ffree = st.f_bfree;
	st.f_favail = st.f_bfree;
	st.f_namemax = KVP_NAME_MAX;
	fuse_reply_statfs(call->req, &st);
	return 0;
}
