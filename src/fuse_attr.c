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

/* What both kinds take from the pool file, or from the options. */
static void fill_common(struct kvpfs *fs, struct stat *st, mode_t *ret_mode)
{
	const struct kvpfs_options *options = fs->options;
	struct kvp_status status;

	kvp_store_status(fs->dir.store, &status);
	if (status.torn_bytes > 0 && !fs->torn_logged) {
		kvpfs_log(
			LOG_WARNING,
			"pool ends with %zu bytes that are no record: ignored",
			status.torn_bytes);
		fs->torn_logged = true;
	}
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

void kvpfs_fill_root(struct kvpfs *fs, struct stat *st)
{
	mode_t mode;

	fill_common(fs, st, &mode);
	/* whoever may read a directory may also enter it */
	st->st_mode = S_IFDIR | mode | ((mode & 0444) >> 2);
	st->st_ino = KVPFS_INO_ROOT;
	st->st_nlink = 2;
}

void kvpfs_fill_node(struct kvpfs *fs, const struct kvpfs_node *node,
		     const struct kvp_value *value, struct stat *st)
{
	mode_t mode;

	fill_common(fs, st, &mode);
	st->st_mode = S_IFREG | mode;
	st->st_ino = kvpfs_ino(node->file->id);
	st->st_nlink = node->file->unlinked ? 0 : 1;
	st->st_size = node->pending ? 0 : value->len;
	st->st_blocks = (st->st_size + 511) / 512;
	/* the pool's times, as of the last change that concerned this value */
	if (kvp_same_time(&st->st_mtim, &value->mtime))
		return;
	st->st_mtim = value->mtime;
	st->st_ctim = st->st_mtim;
	st->st_atim = st->st_mtim;
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
	int r = file->unlinked ? kvp_store_refresh(fs->dir.store)
			       : kvpfs_find(fs, file->key, &item);

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

static int fill_attr(struct kvpfs *fs, struct kvpfs_call *call, struct stat *st)
{
	struct kvp_value *value;
	int r;

	if (call->ino == FUSE_ROOT_ID) {
		r = kvp_store_refresh(fs->dir.store);
		if (r == 0)
			kvpfs_fill_root(fs, st);
		return r;
	}
	r = value_to_show(fs, kvpfs_node(call->ino), &value);
	if (r)
		return r;
	kvpfs_fill_node(fs, kvpfs_node(call->ino), value, st);
	if (call->has_handle)
		st->st_size = size_for(kvpfs_handle(&call->fi));
	kvp_value_unref(value);
	return 0;
}

int kvpfs_run_getattr(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct stat st;
	int r = fill_attr(fs, call, &st);

	if (r == 0)
		fuse_reply_attr(call->req, &st, fs->options->attr_timeout);
	return r;
}

static bool is_being_made(const struct kvpfs_call *call)
{
	return call->ino != FUSE_ROOT_ID && kvpfs_node(call->ino)->makers > 0;
}

/* Owner and mode are the pool's: setting them to what they are is all right. */
static int check_same(const struct kvpfs_call *call, const struct stat *st)
{
	unsigned int set = call->flags;
	mode_t mode = call->attr.st_mode & 07777;

	/* while install and rsync create a file they close it off: let them */
	if (is_being_made(call) && (mode & ~st->st_mode) == 0)
		mode = st->st_mode & 07777;
	if ((set & FUSE_SET_ATTR_MODE) && mode != (st->st_mode & 07777))
		return -EPERM;
	if ((set & FUSE_SET_ATTR_UID) && call->attr.st_uid != st->st_uid)
		return -EPERM;
	if ((set & FUSE_SET_ATTR_GID) && call->attr.st_gid != st->st_gid)
		return -EPERM;
	return 0;
}

/* Truncating the directory clears the pool, as truncating a file empties it. */
static int resize(struct kvpfs *fs, struct kvpfs_call *call, struct stat *st)
{
	struct kvpfs_node *node = kvpfs_node(call->ino);
	int r = -EINVAL;

	if (call->ino != FUSE_ROOT_ID)
		r = kvpfs_truncate(fs, call);
	else if (call->attr.st_size == 0)
		r = kvp_store_clear(fs->dir.store);
	if (r)
		return r;
	/* without another look, which might have to wait */
	if (call->ino == FUSE_ROOT_ID)
		kvpfs_fill_root(fs, st);
	else
		kvpfs_fill_node(fs, node, node->value, st);
	st->st_size = call->attr.st_size;
	return 0;
}

/* Times are accepted and not kept: touch, cp -p and rsync need no error. */
int kvpfs_run_setattr(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct stat st;
	int r = fill_attr(fs, call, &st);

	if (r == 0)
		r = check_same(call, &st);
	if (r == 0 && (call->flags & FUSE_SET_ATTR_SIZE))
		r = resize(fs, call, &st);
	if (r)
		return r;
	fuse_reply_attr(call->req, &st, fs->options->attr_timeout);
	return 0;
}

int kvpfs_run_statfs(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvp_status status;
	struct statvfs st = { 0 };
	int r = kvp_store_refresh(fs->dir.store);

	if (r)
		return r;
	kvp_store_status(fs->dir.store, &status);
	st.f_bsize = KVP_RECORD_SIZE;
	st.f_frsize = KVP_RECORD_SIZE;
	st.f_blocks = KVP_MAX_KEYS;
	st.f_bfree = status.keys < KVP_MAX_KEYS ? KVP_MAX_KEYS - status.keys
						: 0;
	st.f_bavail = st.f_bfree;
	st.f_files = st.f_blocks;
	st.f_ffree = st.f_bfree;
	st.f_favail = st.f_bfree;
	st.f_namemax = KVP_NAME_MAX;
	fuse_reply_statfs(call->req, &st);
	return 0;
}
