/* SPDX-License-Identifier: MIT */
/*
 * The directory: looking names up, removing and renaming them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kvpfs.h"
#include "name.h"

int kvpfs_key_of(const char *name, int absent, char buf[],
		 struct kvp_bytes *ret_key)
{
	size_t len;

	switch (kvp_name_decode(name, buf, &len)) {
	case 0:
		*ret_key = (struct kvp_bytes){ buf, len };
		return 0;
	case KVP_NAME_TOO_LONG:
		return -ENAMETOOLONG;
	case KVP_NAME_NUL:
		return KVP_KEY_CONTAINS_NUL;
	default:
		return absent;
	}
}

int kvpfs_find(struct kvpfs *fs, struct kvpfs_dir *dir, struct kvp_bytes key,
	       struct kvp_item *ret_item)
{
	const struct kvpfs_file *file;
	int r = kvp_store_read(dir->store, key, ret_item);

	if (r != KVP_ABSENT)
		return r;
	file = kvpfs_file_find(dir, key);
	if (!file || file->creators == 0)
		return KVP_ABSENT;
	*ret_item = (struct kvp_item){ key, kvp_value_ref(fs->empty),
				       file->id };
	return 0;
}

void kvpfs_fill_entry(struct kvpfs *fs, struct kvpfs_inode *inode,
		      struct fuse_entry_param *entry)
{
	*entry = (struct fuse_entry_param){
		.ino = (uintptr_t)inode,
		.attr_timeout = fs->options->attr_timeout,
		.entry_timeout = fs->options->entry_timeout,
	};
	inode->ops->fill(fs, inode, &entry->attr);
	if (inode->ops == &kvpfs_key_ops)
		entry->attr_timeout = fs->options->lookup_timeout;
	inode->lookups++;
}

void kvpfs_forget(struct kvpfs_inode *inode, uint64_t count)
{
	inode->lookups -= count < inode->lookups ? count : inode->lookups;
	if (inode->lookups == 0 && inode->ops->forgotten)
		inode->ops->forgotten(inode);
}

void kvpfs_reply_inode(struct kvpfs *fs, fuse_req_t req,
		       struct kvpfs_inode *inode)
{
	struct fuse_entry_param entry;

	kvpfs_fill_entry(fs, inode, &entry);
	/* a request that was interrupted meanwhile takes no answer */
	if (fuse_reply_entry(req, &entry) != 0)
		kvpfs_forget(inode, 1);
}

static bool is_reserved(const char *name)
{
	return strcmp(name, KVP_NAME_RESERVED) == 0;
}

static int run_lookup(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_dir *dir = call->inode->dir;
	char buf[KVP_NAME_MAX];
	struct kvpfs_node *node;
	struct kvp_item item;
	int r;

	if (is_reserved(call->name)) {
		r = kvp_store_refresh(dir->store);
		if (r == 0)
			kvpfs_reply_inode(fs, call->req, &dir->control);
		return r;
	}
	r = kvpfs_key_of(call->name, KVP_ABSENT, buf, &item.key);
	if (r == 0)
		r = kvpfs_find(fs, dir, item.key, &item);
	if (r)
		return r;
	node = kvpfs_node_get(dir, &item, fuse_req_ctx(call->req)->pid);
	kvp_value_unref(item.value);
	if (!node)
		return -ENOMEM;
	kvpfs_reply_inode(fs, call->req, &node->inode);
	return 0;
}

/*
 * Stores the empty value for a file that is only being created. KVP_EXISTS: others
 * have stored one since it was looked for.
 */
static int store_created(struct kvpfs_dir *dir, struct kvp_bytes key)
{
	const struct kvpfs_file *file = kvpfs_file_find(dir, key);
	struct kvp_writer writer = { .pending = true };
	struct kvp_value *value = NULL;
	int r = kvp_writer_commit(&writer, dir->store, key, file ? file->id : 0,
				  &value);

	if (r == 0 && !value)
		return KVP_EXISTS;
	if (r == 0)
		kvp_value_unref(value);
	return r;
}

static int make_key(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_dir *dir = call->inode->dir;
	char buf[KVP_NAME_MAX];
	struct kvp_bytes key;
	struct kvp_item item;
	int r = kvpfs_key_of(call->name, -EINVAL, buf, &key);

	if (r)
		return r;
	r = kvpfs_find(fs, dir, key, &item);
	if (r == 0) {
		kvp_value_unref(item.value);
		return KVP_EXISTS;
	}
	return r == KVP_ABSENT ? store_created(dir, key) : r;
}

static int run_mknod(struct kvpfs *fs, struct kvpfs_call *call)
{
	int r = 0;

	if (!S_ISREG(call->attr.st_mode))
		return KVP_UNSUPPORTED;
	/* the lookup may have to wait, when this is done already */
	if (!call->stored)
		r = make_key(fs, call);
	call->stored = r == 0;
	return r ? r : run_lookup(fs, call);
}

static bool is_being_created(const struct kvpfs_dir *dir, struct kvp_bytes key)
{
	const struct kvpfs_file *file = kvpfs_file_find(dir, key);

	return file && file->creators > 0;
}

static int run_unlink(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_dir *dir = call->inode->dir;
	char buf[KVP_NAME_MAX];
	struct kvpfs_file *file;
	struct kvp_bytes key;
	int r = kvpfs_key_of(call->name, KVP_ABSENT, buf, &key);

	(void)fs;
	if (r)
		return r;
	r = kvp_store_delete(dir->store, key);
	if (r == KVP_ABSENT && is_being_created(dir, key))
		r = 0;
	if (r)
		return r;
	file = kvpfs_file_find(dir, key);
	if (file)
		kvpfs_file_unlink(file);
	fuse_reply_err(call->req, 0);
	return 0;
}

/* A rename that succeeded is in the pool, so what it renames must be. */
static int store_if_created(struct kvpfs_dir *dir, struct kvp_bytes key)
{
	int r = is_being_created(dir, key) ? store_created(dir, key) : 0;

	return r == KVP_EXISTS ? 0 : r;
}

static int rename_key(struct kvpfs_dir *dir, struct kvp_bytes from,
		      struct kvp_bytes to, unsigned int flags)
{
	enum kvp_rename how = KVP_RENAME_REPLACE;
	int r;

	if (flags == RENAME_NOREPLACE)
		how = KVP_RENAME_NO_REPLACE;
	else if (flags == RENAME_EXCHANGE)
		how = KVP_RENAME_EXCHANGE;
	if (flags == RENAME_NOREPLACE && is_being_created(dir, to))
		return KVP_EXISTS;
	r = store_if_created(dir, from);
	if (r == 0 && flags == RENAME_EXCHANGE)
		r = store_if_created(dir, to);
	if (r == 0)
		r = kvp_store_rename(dir->store, from, to, how);
	if (r == 0)
		kvpfs_file_rename(dir, from, to, flags == RENAME_EXCHANGE);
	return r;
}

static int run_rename(struct kvpfs *fs, struct kvpfs_call *call)
{
	bool exchange = call->flags == RENAME_EXCHANGE;
	char from_buf[KVP_NAME_MAX];
	char to_buf[KVP_NAME_MAX];
	struct kvp_bytes from;
	struct kvp_bytes to;
	int r;

	(void)fs;
	if (is_reserved(call->name) || is_reserved(call->new_name))
		return KVP_UNSUPPORTED;
	if (call->new_parent != call->inode)
		return -EXDEV;
	if (call->flags && call->flags != RENAME_NOREPLACE && !exchange)
		return -EINVAL;
	r = kvpfs_key_of(call->name, KVP_ABSENT, from_buf, &from);
	if (r == 0)
		r = kvpfs_key_of(call->new_name,
				 exchange ? KVP_ABSENT : -EINVAL, to_buf, &to);
	if (r == 0)
		r = rename_key(call->inode->dir, from, to, call->flags);
	if (r == 0)
		fuse_reply_err(call->req, 0);
	return r;
}

const struct kvpfs_inode_ops kvpfs_pool_ops = {
	.fill = kvpfs_fill_dir,
	.list = kvpfs_list_pool,
	.lookup = run_lookup,
	.getattr = kvpfs_run_getattr_dir,
	.setattr = kvpfs_run_setattr_dir,
	.mknod = run_mknod,
	.create = kvpfs_run_create,
	.unlink = run_unlink,
	.rename = run_rename,
	.fsync = kvpfs_run_fsync,
};
