/* SPDX-License-Identifier: MIT */
#include "versions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct kvpfs_file *kvpfs_versions_find(const struct kvpfs_versions *v,
				       struct kvp_bytes key)
{
	return kvp_keys_find(&v->linked, key);
}

/* FILE, which is not linked, gets KEY; false: no memory, nothing changed. */
static bool link_file(struct kvpfs_file *file, struct kvp_bytes key)
{
	struct kvp_bytes old_key = file->key;
	char *copy = malloc(key.len);

	if (!copy)
		return false;
	memcpy(copy, key.data, key.len);
	file->key = (struct kvp_bytes){ copy, key.len };
	if (!kvp_keys_add(&file->versions->linked, &file->key)) {
		file->key = old_key;
		free(copy);
		return false;
	}
	free(file->key_data);
	file->key_data = copy;
	return true;
}

/* FILE is not found by its key any more. */
static void drop_key(struct kvpfs_file *file)
{
	kvp_keys_remove(&file->versions->linked, &file->key);
}

static struct kvpfs_file *file_new(struct kvpfs_versions *v,
				   struct kvp_bytes key, uint64_t id)
{
	struct kvpfs_file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->versions = v;
	file->id = id;
	file->key_id = id;
	TAILQ_INIT(&file->nodes);
	if (!link_file(file, key)) {
		free(file);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&v->files, file, link);
	return file;
}

static void free_if_unused(struct kvpfs_file *file)
{
	struct kvpfs_versions *v = file->versions;

	if (!TAILQ_EMPTY(&file->nodes))
		return;
	if (!file->unlinked)
		drop_key(file);
	TAILQ_REMOVE(&v->files, file, link);
	kvp_value_unref(file->unlinked);
	free(file->key_data);
	free(file);
}

bool kvpfs_file_is_open(const struct kvpfs_file *file)
{
	const struct kvpfs_node *node;

	TAILQ_FOREACH(node, &file->nodes, link)
		if (node->readers || node->writers)
			return true;
	return false;
}

/* The first handle that is creating FILE; or NULL. */
static const struct kvpfs_handle *find_creator(const struct kvpfs_file *file)
{
	const struct kvpfs_handle *handle;

	TAILQ_FOREACH(handle, &file->versions->handles, link) {
		if (!handle->writes)
			return NULL;
		if (handle->node->file == file &&
		    kvp_writer_is_creating(&handle->writer))
			return handle;
	}
	return NULL;
}

const struct kvpfs_file *kvpfs_versions_find_created(
	const struct kvpfs_versions *v, struct kvp_bytes key)
{
	const struct kvpfs_file *file = kvpfs_versions_find(v, key);

	return file && find_creator(file) ? file : NULL;
}

int kvpfs_versions_each_created(const struct kvpfs_versions *v,
				int (*visit)(void *arg,
					     const struct kvpfs_file *file),
				void *arg)
{
	const struct kvpfs_handle *handle;
	int r = 0;

	TAILQ_FOREACH(handle, &v->handles, link) {
		const struct kvpfs_file *file = handle->node->file;

		if (!handle->writes)
			break;
		if (file->unlinked || find_creator(file) != handle)
			continue;
		r = visit(arg, file);
		if (r)
			break;
	}
	return r;
}

static int stop(void *arg, const struct kvpfs_file *file)
{
	(void)arg;
	(void)file;
	return 1;
}

bool kvpfs_versions_any_created(const struct kvpfs_versions *v)
{
	return kvpfs_versions_each_created(v, stop, NULL);
}

static struct kvpfs_node *current_node(const struct kvpfs_file *file)
{
	struct kvpfs_node *first = TAILQ_FIRST(&file->nodes);

	return first && first->kind == KVPFS_NODE_CURRENT ? first : NULL;
}

void kvpfs_file_unlink(struct kvpfs_file *file, struct kvp_value *value)
{
	if (file->unlinked)
		return;
	drop_key(file);
	if (!value)
		value = TAILQ_FIRST(&file->nodes)->value;
	file->unlinked = kvp_value_ref(value);
	/* the kernel has removed that node, and told of it */
	if (file->named)
		kvpfs_node_tell(file->named, NULL);
}

/* FILE, which is not linked, gets KEY, or is unlinked if there is no memory. */
static void relink(struct kvpfs_file *file, struct kvp_bytes key)
{
	if (!link_file(file, key))
		file->unlinked = kvp_value_ref(
			TAILQ_FIRST(&file->nodes)->value);
}

void kvpfs_versions_rename(struct kvpfs_versions *v, struct kvp_bytes from,
			   struct kvp_bytes to)
{
	struct kvpfs_file *file = kvpfs_versions_find(v, from);
	struct kvpfs_file *other = kvpfs_versions_find(v, to);

	if (file == other)
		return;
	if (file)
		drop_key(file);
	if (other)
		drop_key(other);
	if (file)
		relink(file, to);
	if (other)
		relink(other, from);
}

/* Nodes */

static bool is_idle(const struct kvpfs_node *node)
{
	return !node->readers && !node->writers;
}

/* A reader of VALUE can share NODE. */
static bool suits(const struct kvpfs_node *node, const struct kvp_value *value)
{
	return !node->writers && node->value == value;
}

/* VALUE has become NEW by adding to its end. */
static bool has_grown(const struct kvp_value *value,
		      const struct kvp_value *new)
{
	return new->len > value->len &&memcmp(new->data, value->data,
					      value->len) ==
	       0;
}

static void set_value(struct kvpfs_node *node, struct kvp_value *value)
{
	if (node->value == value)
		return;
	kvp_value_set(&node->value, value);
	node->cached = false;
}

/* No lookup gets NODE any more. */
static void outdate(struct kvpfs_node *node)
{
	if (node->kind != KVPFS_NODE_RETIRED)
		node->kind = KVPFS_NODE_OUTDATED;
}

/* Private nodes go to the end: the first may be the current one. */
static struct kvpfs_node *node_new(struct kvpfs_file *file,
				   struct kvp_value *value,
				   enum kvpfs_node_kind kind)
{
	const struct kvpfs_versions *v = file->versions;
	struct kvpfs_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->inode = (struct kvpfs_inode){ v->ops, v->dir, 0 };
	node->file = file;
	node->kind = kind;
	node->value = kvp_value_ref(value);
	node->told = kvp_value_ref(value);
	if (kind == KVPFS_NODE_PRIVATE)
		TAILQ_INSERT_TAIL(&file->nodes, node, link);
	else
		TAILQ_INSERT_HEAD(&file->nodes, node, link);
	return node;
}

static void node_free(struct kvpfs_node *node)
{
	TAILQ_REMOVE(&node->file->nodes, node, link);
	if (node->file->named == node)
		node->file->named = NULL;
	kvp_value_unref(node->value);
	kvp_value_unref(node->told);
	free(node);
}

void kvpfs_node_forget(struct kvpfs_node *node)
{
	struct kvpfs_file *file = node->file;

	node_free(node);
	free_if_unused(file);
}

/* A new node of FILE; in place of the current one if it is not private. */
static struct kvpfs_node *add_node(struct kvpfs_file *file,
				   struct kvp_value *value, bool private)
{
	struct kvpfs_node *before = current_node(file);

	if (private)
		return node_new(file, value, KVPFS_NODE_PRIVATE);
	if (before)
		outdate(before);
	/* the kernel will not give back what it does not know */
	if (before && before->inode.lookups == 0 && is_idle(before))
		node_free(before);
	return node_new(file, value, KVPFS_NODE_CURRENT);
}

struct kvpfs_node *kvpfs_versions_lookup(struct kvpfs_versions *v,
					 const struct kvp_item *item, pid_t pid)
{
	struct kvpfs_file *file = kvpfs_versions_find(v, item->key);
	struct kvpfs_node *node = file ? current_node(file) : NULL;
	bool alone = kvpfs_refusals_isolate(&v->refusals, pid);

	v->refusals.lookups++;
	if (file && file->id != item->id)
		v->other_ids = true;
	if (file)
		file->key_id = item->id;
	if (alone || !node || !suits(node, item->value)) {
		if (!file)
			file = file_new(v, item->key, item->id);
		if (!file)
			return NULL;
		node = add_node(file, item->value, alone);
	}
	if (!node) {
		free_if_unused(file);
		return NULL;
	}
	file->named = node;
	if (pid != 0)
		kvpfs_looks_note(&v->looks, pid, node);
	return node;
}

struct kvp_value *kvpfs_node_show(struct kvpfs_node *node,
				  struct kvp_value *stored)
{
	if (!stored)
		return node->value;
	/* only one caller knows a private node, and its lookup was answered */
	if (node->kind == KVPFS_NODE_PRIVATE ||
	    (node->writers && !node->readers)) {
		set_value(node, stored);
	} else if (node->readers && has_grown(node->value, stored)) {
		outdate(node);
		set_value(node, stored);
	}
	/* an idle node keeps the value that the kernel was told with its lookups */
	return is_idle(node) ? stored : node->value;
}

void kvpfs_node_stored(struct kvpfs_node *node, struct kvp_value *value)
{
	if (node->file->unlinked)
		kvp_value_set(&node->file->unlinked, value);
	if (!node->readers)
		set_value(node, value);
	if (!node->file->unlinked)
		kvpfs_node_tell(node, value);
}

void kvpfs_node_tell(struct kvpfs_node *node, struct kvp_value *value)
{
	kvp_value_set(&node->told, value);
}

bool kvpfs_file_has_versions(const struct kvpfs_file *file)
{
	return TAILQ_FIRST(&file->nodes) !=
	       TAILQ_LAST(&file->nodes, kvpfs_node_list);
}

struct kvpfs_node *kvpfs_versions_first(const struct kvpfs_versions *v,
					bool (*visit)(void *arg,
						      struct kvpfs_node *node),
					void *arg)
{
	const struct kvpfs_file *file;
	struct kvpfs_node *node;

	TAILQ_FOREACH(file, &v->files, link) {
		TAILQ_FOREACH(node, &file->nodes, link) {
			if (node->inode.lookups > 0 && visit(arg, node))
				return node;
		}
	}
	return NULL;
}

void kvpfs_node_retire(struct kvpfs_node *node)
{
	node->kind = KVPFS_NODE_RETIRED;
}

void kvpfs_node_cut(struct kvpfs_node *node, pid_t pid)
{
	kvpfs_refusals_settle(&node->file->versions->refusals, pid);
	kvpfs_node_retire(node);
}

bool kvpfs_file_is_pending(const struct kvpfs_file *file)
{
	const struct kvpfs_handle *handle;

	TAILQ_FOREACH(handle, &file->versions->handles, link)
		if (handle->node->file == file && handle->writes &&
		    kvp_writer_is_pending(&handle->writer))
			return true;
	return false;
}

/* Handles */

void kvpfs_handle_emptied(struct kvpfs_handle *handle)
{
	const struct kvpfs_file *file = handle->node->file;
	struct kvpfs_handle *other;

	TAILQ_FOREACH(other, &file->versions->handles, link)
		if (other != handle && other->writes &&
		    other->node->file == file)
			kvp_writer_yield(&other->writer);
}

struct kvpfs_handle *kvpfs_node_find_writer(const struct kvpfs_node *node,
					    pid_t pid)
{
	struct kvpfs_handle *handle;

	if (!node->writers)
		return NULL;
	TAILQ_FOREACH(handle, &node->file->versions->handles, link)
		if (handle->writes && handle->node == node &&
		    handle->pid == pid)
			return handle;
	return NULL;
}

static void add_handle(struct kvpfs_node *node, struct kvpfs_handle *handle,
		       pid_t pid, bool writes)
{
	struct kvpfs_versions *v = node->file->versions;

	handle->node = node;
	handle->pid = pid;
	handle->writes = writes;
	if (writes)
		TAILQ_INSERT_HEAD(&v->handles, handle, link);
	else
		TAILQ_INSERT_TAIL(&v->handles, handle, link);
}

void kvpfs_handle_release(struct kvpfs_handle *handle)
{
	struct kvpfs_node *node = handle->node;

	if (handle->writes)
		node->writers--;
	else if (!handle->own)
		node->readers--;
	kvp_value_unref(handle->own);
	kvp_writer_release(&handle->writer);
	TAILQ_REMOVE(&node->file->versions->handles, handle, link);
}

struct kvp_value *kvpfs_handle_value(const struct kvpfs_handle *handle)
{
	return handle->own ? handle->own : handle->node->value;
}

void kvpfs_handle_follow(struct kvpfs_handle *handle, struct kvp_value *stored)
{
	if (!handle->own)
		kvpfs_node_show(handle->node, stored);
	else if (has_grown(handle->own, stored))
		kvp_value_set(&handle->own, stored);
}

/* HANDLE, a reader, must be served with VALUE, which its node does not show. */
static enum kvpfs_caching serve_other(struct kvpfs_handle *handle,
				      struct kvp_value *value)
{
	struct kvpfs_node *node = handle->node;

	if (!is_idle(node) &&
	    !(node->readers && has_grown(node->value, value))) {
		handle->own = kvp_value_ref(value);
		return KVPFS_CACHE_NONE;
	}
	outdate(node);
	set_value(node, value);
	node->readers++;
	return KVPFS_CACHE_LOST;
}

/* A reader is served with what NODE shows. */
static enum kvpfs_caching serve(struct kvpfs_node *node)
{
	bool cached = node->cached;

	node->readers++;
	if (node->kind == KVPFS_NODE_PRIVATE)
		outdate(node);
	if (node->kind == KVPFS_NODE_RETIRED)
		return KVPFS_CACHE_NONE;
	node->cached = true;
	return cached ? KVPFS_CACHE_KEEP : KVPFS_CACHE_DROP;
}

int kvpfs_node_admit_reader(struct kvpfs_node *node, struct kvp_value *value,
			    pid_t pid, struct kvpfs_handle *handle,
			    enum kvpfs_caching *ret_caching)
{
	struct kvpfs_versions *v = node->file->versions;
	/* a private node was looked up a moment ago */
	bool fits = node->kind == KVPFS_NODE_PRIVATE || suits(node, value);

	/* without the page cache there is no mmap(2) */
	if ((!fits || node->kind == KVPFS_NODE_RETIRED) &&
	    kvpfs_refusals_add(&v->refusals, pid))
		return -ESTALE;
	kvpfs_refusals_settle(&v->refusals, pid);
	add_handle(node, handle, pid, false);
	*ret_caching = fits ? serve(node) : serve_other(handle, value);
	return 0;
}

int kvpfs_node_admit_cut(struct kvpfs_node *node, pid_t pid)
{
	return node->readers > 0 &&
			       kvpfs_refusals_add(
				       &node->file->versions->refusals, pid)
		       ? -ESTALE
		       : 0;
}

int kvpfs_node_admit_writer(struct kvpfs_node *node, struct kvp_value *value,
			    pid_t pid, struct kvpfs_handle *handle)
{
	int r = kvpfs_node_admit_cut(node, pid);

	if (r)
		return r;
	kvpfs_refusals_settle(&node->file->versions->refusals, pid);
	add_handle(node, handle, pid, true);
	if (value && !node->readers)
		set_value(node, value);
	if (node->kind == KVPFS_NODE_PRIVATE)
		outdate(node);
	node->writers++;
	return 0;
}

int kvpfs_node_admit_without_key(struct kvpfs_node *node, pid_t pid)
{
	return is_idle(node) && kvpfs_refusals_add(
					&node->file->versions->refusals, pid)
		       ? -ESTALE
		       : 0;
}

int kvpfs_node_admit_emptier(struct kvpfs_node *node, pid_t pid)
{
	struct kvpfs_versions *v = node->file->versions;

	return node->kind != KVPFS_NODE_PRIVATE &&
			       kvpfs_looks_by_others(&v->looks, pid, node) &&
			       kvpfs_refusals_add(&v->refusals, pid)
		       ? -ESTALE
		       : 0;
}

/* All of them */

void kvpfs_versions_init(struct kvpfs_versions *v, struct kvpfs_dir *dir,
			 const struct kvpfs_inode_ops *ops)
{
	*v = (struct kvpfs_versions){ .ops = ops, .dir = dir };
	TAILQ_INIT(&v->files);
	TAILQ_INIT(&v->handles);
}

void kvpfs_versions_release(struct kvpfs_versions *v)
{
	struct kvpfs_file *file;

	while ((file = TAILQ_FIRST(&v->files))) {
		while (!TAILQ_EMPTY(&file->nodes))
			node_free(TAILQ_FIRST(&file->nodes));
		free_if_unused(file);
	}
	kvpfs_refusals_release(&v->refusals);
}
