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

int kvpfs_find(struct kvpfs *fs, struct kvp_bytes key,
	       struct kvp_item *ret_item)
{
	const struct kvpfs_file *file;
	int r = kvp_store_read(fs->dir.store, key, ret_item);

	if (r != KVP_ABSENT)
		return r;
	file = kvpfs_file_find(&fs->dir, key);
	if (!file || file->creators == 0)
		return KVP_ABSENT;
	*ret_item = (struct kvp_item){ key, kvp_value_ref(fs->empty),
				       file->id };
	return 0;
}

void kvpfs_fill_entry(struct kvpfs *fs, struct kvpfs_node *node,
		      struct fuse_entry_param *entry)
{
	*entry = (struct fuse_entry_param){
		.ino = (uintptr_t)node,
		.attr_timeout = fs->options->lookup_timeout,
		.entry_timeout = fs->options->entry_timeout,
	};
	kvpfs_fill_node(fs, node, node->value, &entry->attr);
	node->lookups++;
}

void kvpfs_reply_entry(struct kvpfs *fs, fuse_req_t req,
		       struct kvpfs_node *node)
{
	struct fuse_entry_param entry;

	kvpfs_fill_entry(fs, node, &entry);
	/* a request that was interrupted meanwhile takes no answer */
	if (fuse_reply_entry(req, &entry) != 0)
		kvpfs_node_forget(node, 1);
}

int kvpfs_run_lookup(struct kvpfs *fs, struct kvpfs_call *call)
{
	char buf[KVP_NAME_MAX];
	struct kvpfs_node *node;
	struct kvp_item item;
	int r = kvpfs_key_of(call->name, KVP_ABSENT, buf, &item.key);

	if (r == 0)
		r = kvpfs_find(fs, item.key, &item);
	if (r)
		return r;
	node = kvpfs_node_get(&fs->dir, &item, fuse_req_ctx(call->req)->pid);
	kvp_value_unref(item.value);
	if (!node)
		return -ENOMEM;
	kvpfs_reply_entry(fs, call->req, node);
	return 0;
}

int kvpfs_store_created(struct kvpfs *fs, struct kvp_bytes key)
{
	const struct kvpfs_file *file = kvpfs_file_find(&fs->dir, key);
	struct kvp_writer writer = { .pending = true };
	struct kvp_value *value = NULL;
	int r = kvp_writer_commit(&writer, fs->dir.store, key,
				  file ? file->id : 0, &value);

	if (r == 0)
		kvp_value_unref(value);
	return r;
}

int kvpfs_run_mknod(struct kvpfs *fs, struct kvpfs_call *call)
{
	char buf[KVP_NAME_MAX];
	struct kvp_bytes key;
	struct kvp_item item;
	int r;

	if (!S_ISREG(call->attr.st_mode))
		return -EPERM;
	r = kvpfs_key_of(call->name, -EINVAL, buf, &key);
	if (r)
		return r;
	r = kvpfs_find(fs, key, &item);
	if (r == 0) {
		kvp_value_unref(item.value);
		return KVP_EXISTS;
	}
	if (r == KVP_ABSENT)
		r = kvpfs_store_created(fs, key);
	return r ? r : kvpfs_run_lookup(fs, call);
}

static bool is_being_created(struct kvpfs *fs, struct kvp_bytes key)
{
	const struct kvpfs_file *file = kvpfs_file_find(&fs->dir, key);

	return file && file->creators > 0;
}

int kvpfs_run_unlink(struct kvpfs *fs, struct kvpfs_call *call)
{
	char buf[KVP_NAME_MAX];
	struct kvpfs_file *file;
	struct kvp_bytes key;
	int r = kvpfs_key_of(call->name, KVP_ABSENT, buf, &key);

	if (r)
		return r;
	r = kvp_store_delete(fs->dir.store, key);
	if (r == KVP_ABSENT && is_being_created(fs, key))
		r = 0;
	if (r)
		return r;
	file = kvpfs_file_find(&fs->dir, key);
	if (file)
		kvpfs_file_unlink(file);
	fuse_reply_err(call->req, 0);
	return 0;
}

/* A rename that succeeded is in the pool, so what it renames must be. */
static int store_if_created(struct kvpfs *fs, struct kvp_bytes key)
{
	return is_being_created(fs, key) ? kvpfs_store_created(fs, key) : 0;
}

int kvpfs_run_rename(struct kvpfs *fs, struct kvpfs_call *call)
{
	char from_buf[KVP_NAME_MAX];
	char to_buf[KVP_NAME_MAX];
	bool exchange = call->flags == RENAME_EXCHANGE;
	enum kvp_rename how = KVP_RENAME_REPLACE;
	struct kvp_bytes from;
	struct kvp_bytes to;
	int r;

	if (call->flags == RENAME_NOREPLACE)
		how = KVP_RENAME_NO_REPLACE;
	else if (exchange)
		how = KVP_RENAME_EXCHANGE;
	else if (call->flags)
		return -EINVAL;
	r = kvpfs_key_of(call->name, KVP_ABSENT, from_buf, &from);
	if (r == 0)
		r = kvpfs_key_of(call->new_name,
				 exchange ? KVP_ABSENT : -EINVAL, to_buf, &to);
	if (r == 0 && call->flags == RENAME_NOREPLACE &&
	    is_being_created(fs, to))
		return KVP_EXISTS;
	if (r == 0)
		r = store_if_created(fs, from);
	if (r == 0 && exchange)
		r = store_if_created(fs, to);
	if (r == 0)
		r = kvp_store_rename(fs->dir.store, from, to, how);
	if (r)
		return r;
	kvpfs_file_rename(&fs->dir, from, to, exchange);
	fuse_reply_err(call->req, 0);
	return 0;
}
