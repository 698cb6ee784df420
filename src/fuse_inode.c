/* SPDX-License-Identifier: MIT */
#include "fuse_inode.h"

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
	*dir = (struct kvpfs_dir){ .store = store };
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
	node->file = file;
	node->value = kvp_value_ref(value);
	kvpfs_file_ref(file);
	TAILQ_INSERT_TAIL(&file->dir->nodes, node, link);
	return node;
}

static void node_free(struct kvpfs_node *node)
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
	if (before && before->lookups == 0)
		node_free(before);
}

static struct kvpfs_refusal *find_refusal(struct kvpfs_file *file, pid_t pid)
{
	struct kvpfs_dir *dir = file->dir;

	if (dir->refusal_count == 0)
		return NULL;
	for (size_t i = 0; i < KVPFS_REFUSALS; i++)
		if (dir->refusals[i].file == file->id &&
		    dir->refusals[i].pid == pid)
			return &dir->refusals[i];
	return NULL;
}

bool kvpfs_file_refuse(struct kvpfs_file *file, pid_t pid)
{
	struct kvpfs_dir *dir = file->dir;
	struct kvpfs_refusal *refusal = find_refusal(file, pid);

	if (refusal) {
		kvpfs_file_admit(file, pid);
		return false;
	}
	refusal = &dir->refusals[dir->next_refusal++ % KVPFS_REFUSALS];
	dir->refusal_count += refusal->file == 0;
	*refusal = (struct kvpfs_refusal){ file->id, pid };
	return true;
}

void kvpfs_file_admit(struct kvpfs_file *file, pid_t pid)
{
	struct kvpfs_refusal *refusal = find_refusal(file, pid);

	if (!refusal)
		return;
	refusal->file = 0;
	file->dir->refusal_count--;
}

struct kvpfs_node *kvpfs_node_get(struct kvpfs_dir *dir,
				  const struct kvp_item *item, pid_t pid)
{
	struct kvpfs_file *file = kvpfs_file_find(dir, item->key);
	struct kvpfs_node *node = file ? file->node : NULL;

	if (file && find_refusal(file, pid)) {
		node = node_new(file, item->value);
		if (node)
			node->private = true;
		return node;
	}
	if (node && node->writers == 0 && node->value == item->value)
		return node;
	if (!file)
		file = file_new(dir, item->key, item->id);
	if (!file)
		return NULL;
	kvpfs_file_ref(file);
	node = node_new(file, item->value);
	if (node)
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

void kvpfs_node_forget(struct kvpfs_node *node, uint64_t count)
{
	node->lookups -= count < node->lookups ? count : node->lookups;
	if (node->lookups == 0)
		node_free(node);
}

void kvpfs_dir_release(struct kvpfs_dir *dir)
{
	while (!TAILQ_EMPTY(&dir->nodes))
		node_free(TAILQ_FIRST(&dir->nodes));
}
