/* SPDX-License-Identifier: MIT */
/*
 * Listing the directory. A listing is made at once when the directory is opened,
 * so that it shows one state of the pool and removing while listing is safe; the
 * latest of a pool is kept for whoever opens it next. Its offsets are numbers of
 * entries.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvpfs.h"
#include "name.h"

struct kvpfs_listing {
	unsigned int refs;
	fuse_req_t req; /* while it is made */
	char *data;	/* entries as the kernel takes them */
	size_t len;
	size_t capacity;
	size_t *ends; /* of the entries, in data */
	size_t count;
	size_t ends_capacity;
};

/* An open directory. */
struct kvpfs_open_dir {
	struct kvpfs_listing *listing; /* a reference */
	bool started;		       /* somebody has read from it */
	TAILQ_ENTRY(kvpfs_open_dir) link;
};

void kvpfs_listing_unref(struct kvpfs_listing *listing)
{
	if (!listing || --listing->refs > 0)
		return;
	free(listing->data);
	free(listing->ends);
	free(listing);
}

/* Makes *ARRAY hold at least WANTED elements of SIZE bytes. */
static int reserve(void **array, size_t *capacity, size_t wanted, size_t size)
{
	size_t bigger = *capacity ? *capacity : 64;
	void *moved;

	if (wanted <= *capacity)
		return 0;
	while (bigger < wanted)
		bigger *= 2;
	moved = realloc(*array, bigger * size);
	if (!moved)
		return -ENOMEM;
	*array = moved;
	*capacity = bigger;
	return 0;
}

int kvpfs_list_name(struct kvpfs_listing *l, const char *name, ino_t ino,
		    mode_t type)
{
	struct stat st = { .st_ino = ino, .st_mode = type };
	size_t size = fuse_add_direntry(l->req, NULL, 0, name, NULL, 0);

	if (reserve((void **)&l->data, &l->capacity, l->len + size, 1) ||
	    reserve((void **)&l->ends, &l->ends_capacity, l->count + 1,
		    sizeof(*l->ends)))
		return -ENOMEM;
	fuse_add_direntry(l->req, l->data + l->len, size, name, &st,
			  (off_t)l->count + 1);
	l->len += size;
	l->ends[l->count++] = l->len;
	return 0;
}

struct key_visitor {
	struct kvpfs_listing *listing;
	const struct kvpfs_dir *dir;
};

static int list_key(const struct key_visitor *visitor, struct kvp_bytes key,
		    uint64_t id)
{
	char name[KVP_NAME_MAX + 1];
	size_t len;

	/* one bad entry would make the kernel refuse the whole listing */
	if (kvp_name_encode(key, name, &len))
		return 0;
	return kvpfs_list_name(visitor->listing, name,
			       kvpfs_ino(visitor->dir, KVPFS_INO_ENTRIES + id),
			       S_IFREG);
}

static int list_item(void *arg, const struct kvp_item *item)
{
	const struct key_visitor *visitor = arg;
	const struct kvpfs_file *file = NULL;

	if (visitor->dir->other_ids)
		file = kvpfs_file_find(visitor->dir, item->key);
	return list_key(visitor, item->key, file ? file->id : item->id);
}

/* The files that somebody just creates. */
static int list_created(const struct key_visitor *visitor)
{
	const struct kvpfs_dir *dir = visitor->dir;
	const struct kvpfs_file *file;
	struct kvp_item item;
	int r = 0;

	TAILQ_FOREACH(file, &dir->created, link) {
		/* cppcheck-suppress uninitvar; it does not know the macro */
		r = kvp_store_read(dir->store, file->key, &item);
		if (r == 0)
			kvp_value_unref(item.value);
		else if (r == KVP_ABSENT)
			r = file->unlinked
				    ? 0
				    : list_key(visitor, file->key, file->id);
		if (r)
			return r;
	}
	return 0;
}

int kvpfs_list_pool(struct kvpfs *fs, const struct kvpfs_inode *inode,
		    struct kvpfs_listing *listing)
{
	struct key_visitor visitor = { listing, inode->dir };
	int r = kvp_store_entries(inode->dir->store, list_item, &visitor);

	(void)fs;
	return r ? r : list_created(&visitor);
}

/* What is there now; the caller's reference. */
static int make_listing(struct kvpfs *fs, const struct kvpfs_call *call,
			struct kvpfs_listing **ret_listing)
{
	const struct kvpfs_inode *inode = call->inode;
	struct kvpfs_listing *new = calloc(1, sizeof(*new));
	struct stat st;
	int r;

	if (!new)
		return -ENOMEM;
	new->refs = 1;
	new->req = call->req;
	inode->ops->fill(fs, inode, &st);
	r = kvpfs_list_name(new, ".", st.st_ino, S_IFDIR);
	if (r == 0)
		r = kvpfs_list_name(new, "..", KVPFS_INO_ROOT, S_IFDIR);
	if (r == 0)
		r = inode->ops->list(fs, inode, new);
	if (r)
		kvpfs_listing_unref(new);
	else
		*ret_listing = new;
	return r;
}

/* The same, of a pool: made anew only if it has changed. */
static int get_pool_listing(struct kvpfs *fs, const struct kvpfs_call *call,
			    struct kvpfs_listing **ret_listing)
{
	struct kvpfs_dir *dir = call->inode->dir;
	struct kvp_status status;
	int r = kvp_store_refresh(dir->store);

	if (r)
		return r;
	/* files that the store knows nothing of come and go */
	if (!TAILQ_EMPTY(&dir->created) || dir->other_ids)
		return make_listing(fs, call, ret_listing);
	kvp_store_status(dir->store, &status);
	if (!dir->listing || dir->listed_generation != status.generation) {
		kvpfs_listing_unref(dir->listing);
		dir->listing = NULL;
		r = make_listing(fs, call, &dir->listing);
		if (r)
			return r;
		dir->listed_generation = status.generation;
	}
	dir->listing->refs++;
	*ret_listing = dir->listing;
	return 0;
}

static int get_listing(struct kvpfs *fs, const struct kvpfs_call *call,
		       struct kvpfs_listing **ret_listing)
{
	if (call->inode->ops == &kvpfs_pool_ops)
		return get_pool_listing(fs, call, ret_listing);
	return make_listing(fs, call, ret_listing);
}

static struct kvpfs_open_dir *open_dir_of(const struct fuse_file_info *fi)
{
	return (struct kvpfs_open_dir *)(uintptr_t)fi->fh;
}

void kvpfs_open_dir_close(struct kvpfs *fs, struct kvpfs_open_dir *dir)
{
	TAILQ_REMOVE(&fs->open_dirs, dir, link);
	kvpfs_listing_unref(dir->listing);
	free(dir);
}

int kvpfs_run_opendir(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_open_dir *dir = calloc(1, sizeof(*dir));
	int r;

	if (!dir)
		return -ENOMEM;
	r = get_listing(fs, call, &dir->listing);
	if (r) {
		free(dir);
		return r;
	}
	TAILQ_INSERT_TAIL(&fs->open_dirs, dir, link);
	call->fi.fh = (uintptr_t)dir;
	if (fuse_reply_open(call->req, &call->fi) != 0)
		kvpfs_open_dir_close(fs, dir);
	return 0;
}

int kvpfs_run_readdir(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_open_dir *dir = open_dir_of(&call->fi);
	struct kvpfs_listing *listing = dir->listing;
	size_t entry = (size_t)call->offset;
	size_t start;
	size_t end;
	int r;

	/* rewinddir(3) wants to see what is there now */
	if (entry == 0 && dir->started) {
		r = get_listing(fs, call, &listing);
		if (r)
			return r;
		kvpfs_listing_unref(dir->listing);
		dir->listing = listing;
	}
	dir->started = true;
	if (call->offset < 0 || entry >= listing->count) {
		fuse_reply_buf(call->req, NULL, 0);
		return 0;
	}
	start = entry ? listing->ends[entry - 1] : 0;
	end = start;
	while (entry < listing->count &&
	       listing->ends[entry] - start <= call->size)
		end = listing->ends[entry++];
	fuse_reply_buf(call->req, listing->data + start, end - start);
	return 0;
}

int kvpfs_run_releasedir(struct kvpfs *fs, struct kvpfs_call *call)
{
	kvpfs_open_dir_close(fs, open_dir_of(&call->fi));
	fuse_reply_err(call->req, 0);
	return 0;
}
