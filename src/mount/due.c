/* SPDX-License-Identifier: MIT */
#include "due.h"

#include <errno.h>

/* Watchers know of a key that is being created, which is not in the pool yet. */
static bool is_being_created(void *arg, struct kvp_bytes key)
{
	const struct kvpfs_dir *dir = arg;

	return kvpfs_versions_find_created(&dir->versions, key);
}

static int keep_created(void *arg, const struct kvpfs_file *file)
{
	struct kvpfs_dir *dir = arg;
	const struct kvpfs_node *node = TAILQ_FIRST(&file->nodes);

	if (!kvpfs_told_find(&dir->told, file->key))
		kvpfs_told_made(&dir->told, file->key, file->key_id,
				node->value);
	return 0;
}

/* Finds the changes by others. After anything but 0, try again. */
static int compare(struct kvpfs_dir *dir)
{
	int r;

	if (!dir->told.on)
		return kvpfs_told_begin(&dir->told, dir->store);
	r = kvpfs_told_compare(&dir->told, dir->store, is_being_created, dir);
	if (r == 0)
		kvpfs_versions_each_created(&dir->versions, keep_created, dir);
	return r;
}

/* The value that watches on NODE should know; NULL: the file is gone. */
static struct kvp_value *value_of(const struct kvpfs_node *node)
{
	const struct kvpfs_file *file = node->file;
	const struct kvp_entry *entry =
		file->unlinked
			? NULL
			: kvpfs_told_find(&node->inode.dir->told, file->key);

	return entry ? entry->value : NULL;
}

static bool is_due(void *arg, struct kvpfs_node *node)
{
	struct kvp_value *value;

	(void)arg;
	if (!node->told)
		return false;
	value = value_of(node);
	if (node->told == value)
		return false;
	if (!value || !kvp_bytes_equal(kvp_value_bytes(value),
				       kvp_value_bytes(node->told)))
		return true;
	kvpfs_node_tell(node, value); /* the next comparison is shorter */
	return false;
}

static bool is_due_of_versions(void *arg, struct kvpfs_node *node)
{
	return kvpfs_file_has_versions(node->file) && is_due(arg, node);
}

/* The next node whose watches have missed something, whatever name it had. */
static bool find_node_due(struct kvpfs_dir *dir, struct kvpfs_due *ret_due)
{
	struct kvpfs_node *node = NULL;

	if (dir->told.nodes != KVPFS_NODES_NONE)
		node = kvpfs_versions_first(&dir->versions,
					    dir->told.nodes == KVPFS_NODES_ALL
						    ? is_due
						    : is_due_of_versions,
					    NULL);
	if (!node) {
		dir->told.nodes = KVPFS_NODES_NONE;
		return false;
	}
	*ret_due = (struct kvpfs_due){
		.kind = value_of(node) ? KVPFS_ERRAND_TOUCH
				       : KVPFS_ERRAND_REMOVE,
		.dir = dir,
		.node = node,
	};
	return true;
}

static bool find_change_due(struct kvpfs_dir *dir, struct kvpfs_due *ret_due)
{
	static const enum kvpfs_errand_kind kinds[] = {
		[KVP_CHANGE_NEW] = KVPFS_ERRAND_MAKE,
		[KVP_CHANGE_SET] = KVPFS_ERRAND_WRITE,
		[KVP_CHANGE_GONE] = KVPFS_ERRAND_REMOVE,
	};
	struct kvpfs_change *change = kvpfs_told_next(&dir->told);

	if (!change)
		return false;
	*ret_due = (struct kvpfs_due){
		.kind = kinds[change->kind],
		.dir = dir,
		.change = change,
	};
	return true;
}

void kvpfs_due_find(struct kvpfs *fs, size_t *turn, struct kvpfs_due *due,
		    bool *ret_all)
{
	size_t first = *turn;

	*ret_all = true;
	due->kind = KVPFS_ERRAND_NONE;
	for (size_t i = 0; i < fs->dir_count; i++) {
		size_t at = (first + i) % fs->dir_count;
		struct kvpfs_dir *dir = &fs->dirs[at];

		if (compare(dir) != 0) {
			*ret_all = false;
		} else if (find_change_due(dir, due) ||
			   find_node_due(dir, due)) {
			*turn = at + 1;
			return;
		}
	}
}

/* DUE is due no more. */
static void finish(struct kvpfs_due *due)
{
	if (due->change)
		kvpfs_told_finish(&due->dir->told, due->change);
	due->kind = KVPFS_ERRAND_NONE;
}

static bool is_same(void *arg, struct kvpfs_node *node)
{
	return node == arg;
}

/* The node of an errand without a change; NULL: forgotten, or not due any more. */
static struct kvpfs_node *find_same(const struct kvpfs_due *due)
{
	struct kvpfs_node *node = kvpfs_versions_first(&due->dir->versions,
						       is_same, due->node);

	return node && is_due(NULL, node) &&
			       (due->kind == KVPFS_ERRAND_REMOVE) ==
				       !value_of(node)
		       ? node
		       : NULL;
}

void kvpfs_due_end(struct kvpfs_due *due)
{
	struct kvpfs_node *node;

	if (due->kind == KVPFS_ERRAND_NONE || due->progress == KVPFS_SENT)
		return;
	node = due->change || due->progress == KVPFS_DONE ? NULL
							  : find_same(due);
	if (node)
		kvpfs_node_tell(node, value_of(node));
	finish(due);
}

void kvpfs_due_resume(struct kvpfs_due *due)
{
	if (due->kind == KVPFS_ERRAND_NONE)
		return;
	if (due->progress == KVPFS_DONE)
		finish(due);
	else if (due->kind == KVPFS_ERRAND_MAKE && due->node)
		due->change->kind = KVP_CHANGE_SET; /* it is made */
	due->kind = KVPFS_ERRAND_NONE;
}

/* A node of KEY that the kernel knows, and whose watches do not know that it is gone. */
static struct kvpfs_node *find_removed(const struct kvpfs_dir *dir,
				       struct kvp_bytes key)
{
	const struct kvpfs_file *file = kvpfs_versions_find(&dir->versions,
							    key);
	struct kvpfs_node *node;

	if (!file)
		return NULL;
	TAILQ_FOREACH(node, &file->nodes, link)
		if (node->inode.lookups > 0 && node->told)
			return node;
	return NULL;
}

/* kvpfs_due_find_node, for an errand with a change. */
static int find_changed(struct kvpfs *fs, struct kvpfs_due *due)
{
	struct kvp_bytes key = kvpfs_change_key(due->change);
	struct kvpfs_dir *dir = due->dir;
	const struct kvp_entry *entry = kvpfs_told_find(&dir->told, key);
	struct kvp_item item = { key, fs->empty, 0 };

	due->node = NULL;
	if (due->change->over ||
	    (due->kind == KVPFS_ERRAND_REMOVE) == (entry != NULL))
		return KVP_ABSENT;
	if (entry) {
		item.value = entry->value;
		item.id = entry->id;
	} else {
		due->node = find_removed(dir, key);
	}
	if (item.id == 0)
		item.id = kvp_store_new_id(dir->store);
	if (!due->node)
		due->node = kvpfs_versions_lookup(&dir->versions, &item,
						  fs->agent);
	if (due->node)
		return 0;
	due->progress = KVPFS_SENT;
	return -ENOMEM;
}

int kvpfs_due_find_node(struct kvpfs *fs, struct kvpfs_due *due)
{
	int r = 0;

	if (due->change)
		r = find_changed(fs, due);
	else
		due->node = find_same(due);
	if (!due->node)
		return r ? r : KVP_ABSENT;
	/* the kernel takes its size from the answer: a value may have grown */
	kvpfs_node_show(due->node, value_of(due->node));
	return 0;
}

void kvpfs_due_tell(struct kvpfs_due *due)
{
	kvpfs_node_tell(due->node, due->kind == KVPFS_ERRAND_REMOVE
					   ? NULL
					   : value_of(due->node));
	due->progress = KVPFS_DONE;
}
