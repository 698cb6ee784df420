/* SPDX-License-Identifier: MIT */
#include "list.h"

#include <errno.h>
#include <stdlib.h>

#include "name.h"

struct kvpfs_listing {
	unsigned int refs;
	uint64_t order; /* as the store counts it, when it was made */
	fuse_req_t req; /* while it is made */
	char *data;	/* entries as the kernel takes them */
	size_t len;
	size_t capacity;
	size_t *ends; /* of the entries, in data */
	size_t count;
	size_t ends_capacity;
};

/* An open directory. */
struct open_dir {
	struct kvpfs_open open;	       /* must come first */
	struct kvpfs_listing *listing; /* a reference */
	bool started;		       /* somebody has read from it */
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
	size_t size = 1;
	size_t left;

	do { /* a name that does not fit is tried again with more memory */
		if (reserve((void **)&l->data, &l->capacity, l->len + size, 1))
			return -ENOMEM;
		left = l->capacity - l->len;
		size = fuse_add_direntry(l->req, l->data + l->len, left, name,
					 &st, (off_t)l->count + 1);
	} while (size > left);
	if (reserve((void **)&l->ends, &l->ends_capacity, l->count + 1,
		    sizeof(*l->ends)))
		return -ENOMEM;
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

	if (visitor->dir->versions.other_ids)
		file = kvpfs_versions_find(&visitor->dir->versions, item->key);
	return list_key(visitor, item->key, file ? file->id : item->id);
}

/* Lists a file that is being created, unless others have stored a value meanwhile. */
static int list_created(void *arg, const struct kvpfs_file *file)
{
	const struct key_visitor *visitor = arg;
	struct kvp_item item;
	int r = kvp_store_read(visitor->dir->store, file->key, &item);

	if (r == 0)
		kvp_value_unref(item.value);
	if (r == KVP_ABSENT)
		return list_key(visitor, file->key, file->id);
	return r;
}

int kvpfs_list_pool(struct kvpfs *fs, const struct kvpfs_inode *inode,
		    struct kvpfs_listing *listing)
{
	struct key_visitor visitor = { listing, inode->dir };
	int r = kvp_store_entries(inode->dir->store, list_item, &visitor);

	(void)fs;
	if (r)
		return r;
	return kvpfs_versions_each_created(&inode->dir->versions, list_created,
					   &visitor);
}

/* Makes LISTING show what is there now. */
static int fill_listing(struct kvpfs *fs, const struct kvpfs_call *call,
			struct kvpfs_listing *listing)
{
	const struct kvpfs_inode *inode = call->inode;
	struct stat st;
	int r;

	listing->req = call->req;
	listing->len = 0;
	listing->count = 0;
	inode->ops->fill(fs, inode, &st);
	r = kvpfs_list_name(listing, ".", st.st_ino, S_IFDIR);
	if (r == 0)
		r = kvpfs_list_name(listing, "..", KVPFS_INO_ROOT, S_IFDIR);
	return r ? r : inode->ops->list(fs, inode, listing);
}

/*
 * Makes a listing of what is there now; a reference. If *LISTING is one that nobody else
 * has, its memory is used again: new memory costs more than what is written there. After
 * an error *LISTING is NULL.
 */
static int make_listing(struct kvpfs *fs, const struct kvpfs_call *call,
			struct kvpfs_listing **listing)
{
	int r;

	if (*listing && (*listing)->refs > 1) {
		kvpfs_listing_unref(*listing);
		*listing = NULL;
	}
	if (!*listing) {
		*listing = calloc(1, sizeof(**listing));
		if (!*listing)
			return -ENOMEM;
		(*listing)->refs = 1;
	}
	r = fill_listing(fs, call, *listing);
	if (r) {
		kvpfs_listing_unref(*listing);
		*listing = NULL;
	}
	return r;
}

/* The same for a pool, of which it is made anew only if names have changed. */
static int get_pool_listing(struct kvpfs *fs, const struct kvpfs_call *call,
			    struct kvpfs_listing **ret_listing)
{
	struct kvpfs_dir *dir = call->inode->dir;
	struct kvp_status status;
	int r = kvp_store_refresh(dir->store);

	if (r)
		return r;
	*ret_listing = NULL;
	/* files that the store does not know come and go without a change of order */
	if (dir->versions.other_ids ||
	    kvpfs_versions_any_created(&dir->versions))
		return make_listing(fs, call, ret_listing);
	kvp_store_status(dir->store, &status);
	if (!dir->listing || dir->listing->order != status.order) {
		r = make_listing(fs, call, &dir->listing);
		if (r)
			return r;
		dir->listing->order = status.order;
	}
	dir->listing->refs++;
	*ret_listing = dir->listing;
	return 0;
}

static int get_listing(struct kvpfs *fs, const struct kvpfs_call *call,
		       struct kvpfs_listing **ret_listing)
{
	if (call->inode->ops->scope == KVPFS_NAMES)
		return get_pool_listing(fs, call, ret_listing);
	*ret_listing = NULL;
	return make_listing(fs, call, ret_listing);
}

static struct open_dir *open_dir_of(const struct kvpfs_call *call)
{
	return (struct open_dir *)kvpfs_call_open(call);
}

static void close_dir(struct kvpfs *fs, struct kvpfs_open *open)
{
	(void)fs;
	kvpfs_listing_unref(((struct open_dir *)open)->listing);
	free(open);
}

int kvpfs_run_opendir(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct open_dir *dir = calloc(1, sizeof(*dir));
	int r;

	if (!dir)
		return -ENOMEM;
	r = get_listing(fs, call, &dir->listing);
	if (r) {
		free(dir);
		return r;
	}
	kvpfs_open_add(fs, &dir->open, close_dir);
	call->fi.fh = (uintptr_t)dir;
	if (fuse_reply_open(call->req, &call->fi) != 0)
		kvpfs_open_close(fs, &dir->open);
	return 0;
}

int kvpfs_run_readdir(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct open_dir *dir = open_dir_of(call);
	struct kvpfs_listing *listing = dir->listing;
	size_t entry = (size_t)call->offset;
	size_t start;
	size_t end;
	int r;

	/* after rewinddir(3) the listing must show what is there now */
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
