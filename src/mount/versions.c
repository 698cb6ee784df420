/* SPDX-License-Identifier: MIT */
#include "versions.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

static int compare_files(const void *a, const void *b)
{
	return kvp_bytes_compare(*(const struct kvp_bytes *)a,
				 *(const struct kvp_bytes *)b);
}

void kvpfs_dir_init(struct kvpfs_dir *dir, struct kvp_store *store)
{
	dir->store = store;
	dir->watch = -1;
	dir->root = (struct kvpfs_inode){ &kvpfs_pool_ops, dir, 0 };
	TAILQ_INIT(&dir->created);
	TAILQ_INIT(&dir->nodes);
}

static void free_file(struct kvpfs_file *file)
{
	free(file->key_data);
	free(file);
}

struct kvpfs_file *kvpfs_file_find(const struct kvpfs_dir *dir,
				   struct kvp_bytes key)
{
	void *const *found = tfind(&key, &dir->files, compare_files);

	return found ? *found : NULL;
}

/* COPY, room for KEY, becomes FILE's key; it must be in no tree. */
static void set_key(struct kvpfs_file *file, char *copy, struct kvp_bytes key)
{
	memcpy(copy, key.data, key.len);
	free(file->key_data);
	file->key_data = copy;
	file->key = (struct kvp_bytes){ copy, key.len };
}

static struct kvpfs_file *file_new(struct kvpfs_dir *dir, struct kvp_bytes key,
				   uint64_t id)
{
	struct kvpfs_file *file = calloc(1, sizeof(*file));
	char *copy = malloc(key.len);

	if (!file || !copy) {
		free(file);
		free(copy);
		return NULL;
	}
	set_key(file, copy, key);
	file->dir = dir;
	file->id = id;
	if (!tsearch(file, &dir->files, compare_files)) {
		free_file(file);
		return NULL;
	}
	return file;
}

void kvpfs_file_ref(struct kvpfs_file *file)
{
	file->refs++;
}

void kvpfs_file_unref(struct kvpfs_file *file)
{
	if (--file->refs > 0)
		return;
	kvpfs_file_unlink(file);
	free_file(file);
}

void kvpfs_file_unlink(struct kvpfs_file *file)
{
	if (file->unlinked)
		return;
	file->unlinked = true;
	tdelete(file, &file->dir->files, compare_files);
}

void kvpfs_file_add_creator(struct kvpfs_file *file)
{
	if (file->creators++ == 0)
		TAILQ_INSERT_TAIL(&file->dir->created, file, link);
}

void kvpfs_file_remove_creator(struct kvpfs_file *file)
{
	if (--file->creators == 0)
		TAILQ_REMOVE(&file->dir->created, file, link);
}

/* FILE, which may be NULL and has no name now, gets the name KEY. */
static void link_file(struct kvpfs_file *file, struct kvp_bytes key)
{
	char *copy = file ? malloc(key.len) : NULL;

	if (!copy)
		return;
	set_key(file, copy, key);
	if (tsearch(file, &file->dir->files, compare_files))
		file->unlinked = false;
}

void kvpfs_file_rename(struct kvpfs_dir *dir, struct kvp_bytes from,
		       struct kvp_bytes to, bool exchange)
{
	struct kvpfs_file *file = kvpfs_file_find(dir, from);
	struct kvpfs_file *other = kvpfs_file_find(dir, to);

	if (file)
		kvpfs_file_unlink(file);
	if (other)
		kvpfs_file_unlink(other);
	link_file(file, to);
	if (exchange)
		link_file(other, from);
}

static struct kvpfs_node *node_new(struct kvpfs_file *file,
				   struct kvp_value *value)
{
	struct kvpfs_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->inode = (struct kvpfs_inode){ &kvpfs_key_ops, file->dir, 0 };
	node->file = file;
	node->value = kvp_value_ref(value);
	kvpfs_file_ref(file);
	TAILQ_INSERT_TAIL(&file->dir->nodes, node, link);
	return node;
}

void kvpfs_node_free(struct kvpfs_node *node)
{
	struct kvpfs_file *file = node->file;

	if (file->node == node)
		file->node = NULL;
	TAILQ_REMOVE(&file->dir->nodes, node, link);
	kvp_value_unref(node->value);
	free(node);
	kvpfs_file_unref(file);
}

/* The current node is replaced by NODE; an unknown one can go at once. */
static void make_current(struct kvpfs_file *file, struct kvpfs_node *node)
{
	struct kvpfs_node *before = file->node;

	file->node = node;
	if (before && before->inode.lookups == 0)
		kvpfs_node_free(before);
}

static pid_t *find_refusal(struct kvpfs_dir *dir, pid_t pid)
{
	if (dir->refusal_count == 0)
		return NULL;
	for (size_t i = 0; i < KVPFS_REFUSALS; i++)
		if (dir->refusals[i] == pid)
			return &dir->refusals[i];
	return NULL;
}

bool kvpfs_dir_refuse(struct kvpfs_dir *dir, pid_t pid)
{
	pid_t *refusal = find_refusal(dir, pid);

	if (refusal) {
		kvpfs_dir_admit(dir, pid);
		return false;
	}
	refusal = &dir->refusals[dir->next_refusal++ % KVPFS_REFUSALS];
	dir->refusal_count += *refusal == 0;
	*refusal = pid;
	return true;
}

void kvpfs_dir_admit(struct kvpfs_dir *dir, pid_t pid)
{
	pid_t *refusal = find_refusal(dir, pid);

	if (!refusal)
		return;
	*refusal = 0;
	dir->refusal_count--;
}

struct kvpfs_node *kvpfs_node_get(struct kvpfs_dir *dir,
				  const struct kvp_item *item, pid_t pid)
{
	struct kvpfs_file *file = kvpfs_file_find(dir, item->key);
	struct kvpfs_node *node = file ? file->node : NULL;
	bool refused = find_refusal(dir, pid);

	if (file && file->id != item->id)
		dir->other_ids = true;
	if (!refused && node && node->writers == 0 && !node->resized &&
	    node->value == item->value)
		return node;
	if (!file)
		file = file_new(dir, item->key, item->id);
	if (!file)
		return NULL;
	kvpfs_file_ref(file);
	node = node_new(file, item->value);
	/* of a new file, too: nobody else may come in between again */
	if (node && refused)
		node->private = true;
	else if (node)
		make_current(file, node);
	kvpfs_file_unref(file);
	return node;
}

void kvpfs_node_set_value(struct kvpfs_node *node, struct kvp_value *value)
{
	if (node->value == value)
		return;
	kvp_value_set(&node->value, value);
	node->cached = false;
}

void kvpfs_dir_release(struct kvpfs_dir *dir)
{
	while (!TAILQ_EMPTY(&dir->nodes))
		kvpfs_node_free(TAILQ_FIRST(&dir->nodes));
}
