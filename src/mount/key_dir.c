/* SPDX-License-Identifier: MIT */
#include "key_dir.h"

#include <errno.h>
#include <stdio.h> /* RENAME_ */
#include <string.h>

#include "access.h"
#include "attr.h"
#include "key_attr.h"
#include "key_file.h"
#include "list.h"
#include "name.h"
#include "sync.h"
#include "writer.h"

/*
 * Decodes NAME to its key, in BUF of KVP_NAME_MAX bytes. A name that stands for no key
 * gives ABSENT, or a result that tells the reason.
 */
static int key_of(const char *name, int absent, char buf[],
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

static int check_writable(struct kvp_store *store)
{
	return kvp_store_is_writable(store) ? 0 : KVP_READ_ONLY;
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
		/* no lock is needed: the status must be there if it is taken */
		r = kvp_store_look(dir->store);
		if (r == 0)
			kvpfs_reply_inode(fs, call->req, dir->control);
		return r;
	}
	r = key_of(call->name, KVP_ABSENT, buf, &item.key);
	if (r == 0)
		r = kvpfs_find(fs, dir, item.key, &item);
	if (r)
		return r;
	node = kvpfs_versions_lookup(&dir->versions, &item,
				     kvpfs_call_pid(call));
	kvp_value_unref(item.value);
	if (!node)
		return -ENOMEM;
	kvpfs_reply_inode(fs, call->req, &node->inode);
	return 0;
}

/*
 * The number for KEY, which is absent and is to be made. If others have removed the key,
 * and the kernel still knows its file, it is that file's. What that was given goes.
 */
static uint64_t number_for_new(struct kvpfs_dir *dir, struct kvp_bytes key)
{
	const struct kvpfs_file *known = kvpfs_versions_find(&dir->versions,
							     key);

	if (!known)
		return kvp_store_new_id(dir->store);
	kvpfs_given_forget(&dir->given, known->id);
	return known->id;
}

/* Opens a new file. Nothing is stored of it until it is written or closed. */
static int create_new(struct kvpfs *fs, struct kvpfs_call *call,
		      struct kvp_bytes key, struct kvpfs_node **ret_node)
{
	struct kvpfs_dir *dir = call->inode->dir;
	struct kvp_item item = { key, fs->empty, 0 };
	int r = check_writable(dir->store);

	if (r == 0)
		r = kvp_store_check_new(dir->store, key);
	if (r)
		return r;
	item.id = number_for_new(dir, key);
	clock_gettime(CLOCK_REALTIME, &fs->empty->mtime);
	*ret_node = kvpfs_versions_lookup(&dir->versions, &item,
					  kvpfs_call_pid(call));
	if (!*ret_node)
		return -ENOMEM;
	r = kvpfs_key_open_new(fs, call, *ret_node);
	if (r == 0)
		kvpfs_note_names(dir);
	return r;
}

/*
 * Opens a file that has just been made by somebody else. It gets a private node, so that
 * nobody can come in between again.
 */
static int open_existing(struct kvpfs *fs, struct kvpfs_call *call,
			 const struct kvp_item *item,
			 struct kvpfs_node **ret_node)
{
	struct kvpfs_versions *versions = &call->inode->dir->versions;
	int r;

	if (call->fi.flags & O_EXCL)
		return KVP_EXISTS;
	*ret_node = kvpfs_versions_lookup(versions, item, 0);
	if (!*ret_node)
		return -ENOMEM;
	r = kvpfs_access_check(fs, call->req, &(*ret_node)->inode,
			       kvpfs_access_open_rights(call->fi.flags));
	return r ? r : kvpfs_key_open(fs, call, *ret_node);
}

static int create_or_open(struct kvpfs *fs, struct kvpfs_call *call,
			  struct kvpfs_node **ret_node)
{
	char buf[KVP_NAME_MAX];
	struct kvp_item item;
	int r = key_of(call->name, KVP_NO_SUCH_NAME, buf, &item.key);

	*ret_node = NULL;
	if (r == 0)
		r = kvpfs_find(fs, call->inode->dir, item.key, &item);
	if (r == KVP_ABSENT)
		return create_new(fs, call, item.key, ret_node);
	if (r)
		return r;
	r = open_existing(fs, call, &item, ret_node);
	kvp_value_unref(item.value);
	return r;
}

static int run_create(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct fuse_entry_param entry;
	struct kvpfs_node *node;
	int r = create_or_open(fs, call, &node);

	if (r) {
		/* the kernel does not know the node, and will not give it back */
		if (node && node->inode.lookups == 0)
			kvpfs_node_forget(node);
		return r;
	}
	kvpfs_fill_entry(fs, &node->inode, &entry);
	kvpfs_told_made(&call->inode->dir->told, node->file->key,
			node->file->key_id, node->value);
	if (fuse_reply_create(call->req, &entry, &call->fi) != 0) {
		kvpfs_open_close(fs, kvpfs_call_open(call));
		kvpfs_inode_forget(&node->inode, 1);
	}
	return 0;
}

/*
 * Stores the empty value for a file that is being created, and has number ID.
 * KVP_EXISTS: others have stored a value meanwhile.
 */
static int store_created(struct kvpfs_dir *dir, struct kvp_bytes key,
			 uint64_t id)
{
	struct kvp_writer_file file = {
		.store = dir->store,
		.key = key,
		.id = id,
	};
	struct kvp_writer writer = { .state = KVP_WRITER_CREATED };
	struct kvp_value *value = NULL;
	int r = kvp_writer_commit(&writer, &file, &value);

	if (r == 0 && !value)
		return KVP_EXISTS;
	if (r == 0) {
		kvpfs_given_stored(&dir->given, id, value, true);
		kvpfs_told_made(&dir->told, key, id, value);
		kvp_value_unref(value);
	}
	return r;
}

static int make_key(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_dir *dir = call->inode->dir;
	char buf[KVP_NAME_MAX];
	struct kvp_bytes key;
	struct kvp_item item;
	int r = key_of(call->name, KVP_NO_SUCH_NAME, buf, &key);

	if (r)
		return r;
	r = kvpfs_find(fs, dir, key, &item);
	if (r == 0) {
		kvp_value_unref(item.value);
		return KVP_EXISTS;
	}
	if (r == KVP_ABSENT)
		r = check_writable(dir->store);
	return r ? r : store_created(dir, key, number_for_new(dir, key));
}

static int run_mknod(struct kvpfs *fs, struct kvpfs_call *call)
{
	int r = 0;

	if (!S_ISREG(call->attr.st_mode))
		return KVP_UNSUPPORTED;
	/* the lookup below may have to wait: this is not done twice then */
	if (!call->stored)
		r = make_key(fs, call);
	call->stored = r == 0;
	return r ? r : run_lookup(fs, call);
}

/* The value that open files of KEY will go on with; NULL: there are none. */
static int find_value_for_handles(struct kvpfs *fs, struct kvpfs_dir *dir,
				  struct kvp_bytes key,
				  struct kvp_value **ret_value)
{
	const struct kvpfs_file *file = kvpfs_versions_find(&dir->versions,
							    key);
	struct kvp_item item;
	int r;

	*ret_value = NULL;
	if (!file || !kvpfs_file_is_open(file))
		return 0;
	r = kvpfs_find(fs, dir, key, &item);
	if (r == 0)
		*ret_value = item.value;
	return r == KVP_ABSENT ? 0 : r;
}

/*
 * KEY, which had VALUE, is gone. The kernel may keep attributes of nodes for a moment,
 * but fstat(2) must say at once that the file has no name any more.
 */
static void unlink_file(struct kvpfs *fs, struct kvpfs_dir *dir,
			struct kvp_bytes key, struct kvp_value *value)
{
	struct kvpfs_file *file = kvpfs_versions_find(&dir->versions, key);
	const struct kvpfs_node *node;

	if (file)
		kvpfs_file_unlink(file, value);
	if (file && kvpfs_file_has_versions(file))
		kvpfs_told_versions(&dir->told);
	if (!file || !value)
		return;
	TAILQ_FOREACH(node, &file->nodes, link) {
		fuse_lowlevel_notify_inval_inode(fs->session, (uintptr_t)node,
						 -1, 0);
	}
}

static int unlink_key(struct kvpfs *fs, struct kvpfs_dir *dir,
		      struct kvp_bytes key)
{
	struct kvp_value *value;
	int r = check_writable(dir->store);

	if (r == 0)
		r = find_value_for_handles(fs, dir, key, &value);
	if (r)
		return r;
	r = kvp_store_delete(dir->store, key);
	if (r == KVP_ABSENT &&
	    kvpfs_versions_find_created(&dir->versions, key)) {
		kvpfs_note_names(dir);
		r = 0;
	}
	if (r == 0) {
		kvpfs_told_removed(&dir->told, key);
		unlink_file(fs, dir, key, value);
	}
	kvp_value_unref(value);
	return r;
}

static int run_unlink(struct kvpfs *fs, struct kvpfs_call *call)
{
	char buf[KVP_NAME_MAX];
	struct kvp_bytes key;
	int r = key_of(call->name, KVP_ABSENT, buf, &key);

	if (r == 0)
		r = unlink_key(fs, call->inode->dir, key);
	if (r == 0)
		fuse_reply_err(call->req, 0);
	return r;
}

/* Stores a file that is being created, as only what is in the pool can be renamed. */
static int store_if_created(struct kvpfs_dir *dir, struct kvp_bytes key)
{
	const struct kvpfs_file *file = kvpfs_versions_find_created(
		&dir->versions, key);
	int r;

	if (!file)
		return 0;
	r = store_created(dir, key, file->id);
	return r == KVP_EXISTS ? 0 : r;
}

static enum kvp_rename how_to_rename(unsigned int flags)
{
	if (flags == RENAME_NOREPLACE)
		return KVP_RENAME_NO_REPLACE;
	return flags == RENAME_EXCHANGE ? KVP_RENAME_EXCHANGE
					: KVP_RENAME_REPLACE;
}

/* Checks what the store cannot, and stores what is being created. */
static int prepare_rename(struct kvpfs_dir *dir, struct kvp_bytes from,
			  struct kvp_bytes to, enum kvp_rename how)
{
	int r = check_writable(dir->store);

	if (r == 0 && how == KVP_RENAME_NO_REPLACE &&
	    kvpfs_versions_find_created(&dir->versions, to))
		return KVP_EXISTS;
	if (r == 0)
		r = store_if_created(dir, from);
	if (r == 0 && how == KVP_RENAME_EXCHANGE)
		r = store_if_created(dir, to);
	return r;
}

/* Notes that the kernel tells watchers of this rename. */
static void note_renamed(struct kvpfs_dir *dir, struct kvp_bytes from,
			 struct kvp_bytes to, enum kvp_rename how)
{
	struct kvp_item item = { to, NULL, 0 };

	/* others have just made FROM, and watchers were not told of that yet */
	if (dir->told.on && !kvpfs_told_find(&dir->told, from) &&
	    kvp_store_read(dir->store, to, &item) != 0)
		item.value = NULL;
	kvpfs_told_renamed(&dir->told, from, &item, how == KVP_RENAME_EXCHANGE);
	kvp_value_unref(item.value);
}

static int rename_key(struct kvpfs *fs, struct kvpfs_dir *dir,
		      struct kvp_bytes from, struct kvp_bytes to,
		      enum kvp_rename how)
{
	struct kvp_value *replaced = NULL;
	int r = prepare_rename(dir, from, to, how);

	if (r == 0)
		r = find_value_for_handles(fs, dir, to, &replaced);
	if (r == 0)
		r = kvp_store_rename(dir->store, from, to, how);
	if (r == 0 && how != KVP_RENAME_EXCHANGE && !kvp_bytes_equal(from, to))
		unlink_file(fs, dir, to, replaced);
	if (r == 0) {
		kvpfs_versions_rename(&dir->versions, from, to);
		note_renamed(dir, from, to, how);
	}
	kvp_value_unref(replaced);
	return r;
}

static int run_rename(struct kvpfs *fs, struct kvpfs_call *call)
{
	enum kvp_rename how = how_to_rename(call->flags);
	char from_buf[KVP_NAME_MAX];
	char to_buf[KVP_NAME_MAX];
	struct kvp_bytes from;
	struct kvp_bytes to;
	int r;

	if (is_reserved(call->name) || is_reserved(call->new_name))
		return KVP_UNSUPPORTED;
	if (call->new_parent != call->inode)
		return -EXDEV;
	if (call->flags && how == KVP_RENAME_REPLACE)
		return -EINVAL;
	r = key_of(call->name, KVP_ABSENT, from_buf, &from);
	if (r == 0)
		r = key_of(call->new_name,
			   how == KVP_RENAME_EXCHANGE ? KVP_ABSENT
						      : KVP_NO_SUCH_NAME,
			   to_buf, &to);
	if (r == 0)
		r = rename_key(fs, call->inode->dir, from, to, how);
	if (r == 0)
		fuse_reply_err(call->req, 0);
	return r;
}

static struct kvp_bytes label(const struct kvpfs_inode *inode)
{
	(void)inode;
	return (struct kvp_bytes){ "", 0 };
}

const struct kvpfs_inode_ops kvpfs_pool_ops = {
	.scope = KVPFS_NAMES,
	.label = label,
	.fill = kvpfs_fill_dir,
	.list = kvpfs_list_pool,
	.lookup = run_lookup,
	.getattr = kvpfs_run_getattr_dir,
	.setattr = kvpfs_run_setattr_dir,
	.mknod = run_mknod,
	.create = run_create,
	.unlink = run_unlink,
	.rename = run_rename,
	.fsync = kvpfs_run_fsync,
};
