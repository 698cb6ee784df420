/* SPDX-License-Identifier: MIT */
#include "key_attr.h"

#include <errno.h>
#include <stdlib.h>

#include "attr.h"
#include "util.h"
#include "writer.h"

int kvpfs_find(struct kvpfs *fs, struct kvpfs_dir *dir, struct kvp_bytes key,
	       struct kvp_item *ret_item)
{
	const struct kvpfs_file *file;
	int r = kvp_store_read(dir->store, key, ret_item);

	if (r != KVP_ABSENT)
		return r;
	file = kvpfs_versions_find_created(&dir->versions, key);
	if (!file)
		return KVP_ABSENT;
	*ret_item = (struct kvp_item){ key, kvp_value_ref(fs->empty),
				       file->id };
	return 0;
}

int kvpfs_find_value(struct kvpfs *fs, const struct kvpfs_node *node,
		     struct kvp_value **ret_value)
{
	const struct kvpfs_file *file = node->file;
	struct kvp_item item;
	int r;

	if (file->unlinked) {
		*ret_value = kvp_value_ref(file->unlinked);
		return 0;
	}
	r = kvpfs_find(fs, node->inode.dir, file->key, &item);
	if (r == 0)
		*ret_value = item.value;
	return r;
}

void kvpfs_fill_node(struct kvpfs *fs, const struct kvpfs_node *node,
		     const struct kvp_value *value, struct stat *st)
{
	const struct kvpfs_file *file = node->file;

	kvpfs_fill_file(fs, node->inode.dir, st);
	st->st_ino = kvpfs_ino(node->inode.dir, KVPFS_INO_ENTRIES + file->id);
	st->st_nlink = file->unlinked ? 0 : 1;
	st->st_size = value->len;
	st->st_blocks = (st->st_size + 511) / 512;
	/* the pool's times, as of the last change that concerned this value */
	if (!kvp_same_time(&st->st_mtim, &value->mtime)) {
		st->st_mtim = value->mtime;
		st->st_ctim = st->st_mtim;
		st->st_atim = st->st_mtim;
	}
	kvpfs_given_apply(&node->inode.dir->given, file->key_id, value, st);
}

/* Numbers of keys, in an array that grows. */
struct ids {
	uint64_t *ids;
	size_t count;
	size_t room;
};

static int add_id(struct ids *ids, uint64_t id)
{
	size_t room = ids->room ? ids->room * 2 : KVPFS_GIVEN_MAX;
	uint64_t *bigger;

	if (ids->count == ids->room) {
		bigger = realloc(ids->ids, room * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		ids->ids = bigger;
		ids->room = room;
	}
	ids->ids[ids->count++] = id;
	return 0;
}

static int add_item(void *ids, const struct kvp_item *item)
{
	return add_id(ids, item->id);
}

static int add_created(void *ids, const struct kvpfs_file *file)
{
	return add_id(ids, file->id);
}

/* Forgets what keys that are gone were given. */
static int purge_given(struct kvpfs_dir *dir)
{
	struct ids ids = { 0 };
	int r = kvp_store_entries(dir->store, add_item, &ids);

	if (r == 0)
		r = kvpfs_versions_each_created(&dir->versions, add_created,
						&ids);
	if (r == 0)
		kvpfs_given_purge(&dir->given, ids.ids, ids.count);
	free(ids.ids);
	return r;
}

/* Fills in what CALL gives NODE's file, which shows ST. */
static void fill_gift(const struct kvpfs_call *call,
		      const struct kvpfs_node *node, const struct stat *st,
		      struct kvpfs_gift *gift)
{
	const struct stat *attr = &call->attr;
	unsigned int set = call->flags;

	gift->id = node->file->key_id;
	gift->mode = attr->st_mode & 0777;
	gift->uid = attr->st_uid;
	gift->gid = attr->st_gid;
	clock_gettime(CLOCK_REALTIME, &gift->ctime);
	gift->mtime = set & FUSE_SET_ATTR_MTIME_NOW ? gift->ctime
						    : attr->st_mtim;
	gift->pending = kvpfs_file_is_pending(node->file);
	if ((set & FUSE_SET_ATTR_MODE) && gift->mode != (st->st_mode & 0777))
		gift->set |= KVPFS_GIVEN_MODE;
	if ((set & FUSE_SET_ATTR_UID) && gift->uid != st->st_uid)
		gift->set |= KVPFS_GIVEN_UID;
	if ((set & FUSE_SET_ATTR_GID) && gift->gid != st->st_gid)
		gift->set |= KVPFS_GIVEN_GID;
	if (set & FUSE_SET_ATTR_MTIME)
		gift->set |= KVPFS_GIVEN_MTIME;
}

int kvpfs_give_to_key(struct kvpfs *fs, struct kvpfs_call *call,
		      struct stat *st)
{
	struct kvpfs_node *node = kvpfs_node_of(call->inode);
	struct kvpfs_dir *dir = node->inode.dir;
	struct kvpfs_gift gift = { 0 };
	int r;

	fill_gift(call, node, st, &gift);
	if (gift.set == 0)
		return 0;
	r = kvpfs_find_value(fs, node, &gift.value);
	if (r == KVP_ABSENT) { /* the key is gone, but its handles go on */
		gift.value = kvp_value_ref(node->value);
		r = 0;
	}
	if (r)
		return r;
	r = kvpfs_given_add(&dir->given, &gift);
	if (r == -ENOSPC) {
		r = purge_given(dir);
		if (r == 0)
			r = kvpfs_given_add(&dir->given, &gift);
	}
	kvpfs_given_apply(&dir->given, gift.id, gift.value, st);
	kvp_value_unref(gift.value);
	return r;
}

/* A reader shows its own version, even if the store cannot be looked at. */
static void look_for_reader(struct kvpfs *fs, struct kvpfs_handle *handle,
			    struct kvp_value *stored, struct stat *st)
{
	if (stored)
		kvpfs_handle_follow(handle, stored);
	kvpfs_fill_node(fs, handle->node, kvpfs_handle_value(handle), st);
}

int kvpfs_look_at_key(struct kvpfs *fs, struct kvpfs_call *call,
		      struct stat *st)
{
	struct kvpfs_node *node = kvpfs_node_of(call->inode);
	struct kvpfs_handle *handle = kvpfs_handle_of(call);
	struct kvp_value *stored = NULL;
	char view[KVP_WRITER_MAX];
	int r = kvpfs_find_value(fs, node, &stored);

	/* the key is gone, but its handles go on */
	if (r == KVP_ABSENT && (node->readers || node->writers))
		r = 0;
	if (handle && !handle->writes) {
		look_for_reader(fs, handle, stored, st);
		r = 0;
	} else if (r == 0) {
		if (!handle)
			handle = kvpfs_node_find_writer(node,
							kvpfs_call_pid(call));
		kvpfs_fill_node(fs, node, kvpfs_node_show(node, stored), st);
		if (handle)
			st->st_size = (off_t)kvp_writer_view(&handle->writer,
							     stored, view);
	}
	kvp_value_unref(stored);
	return r;
}
