/* SPDX-License-Identifier: MIT */
/*
 * floorfs: what FUSE alone costs. A low-level file system that keeps up to 1024 files in
 * an array in memory and does nothing else: no validation, no caching (all timeouts 0),
 * no flush, one thread. The benchmark divides what kvpfs costs by what this costs, which
 * leaves a number that hardly depends on the machine. Of no other use.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 310
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <fuse_lowlevel.h>

#include "keys.h"

#define MAX_FILES BENCH_MAX_KEYS
#define MAX_SIZE 2048
#define BUCKETS 4096
#define NONE (-1)

/* File i has the node id i + 2; the root directory is 1. */
struct file {
	bool used;
	int next; /* in the bucket, or in the list of free files */
	uint64_t
		generation; /* tells the kernel that a node id was used before */
	size_t size;
	char name[256];
	char data[MAX_SIZE];
};

struct floor {
	struct file files[MAX_FILES];
	int buckets[BUCKETS];
	int free;
};

static struct floor *floor_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* The benchmark's names differ in their last bytes, so nothing else needs hashing. */
static int *bucket_of(struct floor *fl, const char *name)
{
	size_t len = strlen(name);
	uint64_t tail = 0;

	memcpy(&tail, len > 8 ? name + len - 8 : name, len > 8 ? 8 : len);
	return &fl->buckets[bench_mix(tail) % BUCKETS];
}

/* The link that points to the file called @name, or the end of its bucket. */
static int *find(struct floor *fl, const char *name)
{
	int *link = bucket_of(fl, name);

	while (*link != NONE && strcmp(fl->files[*link].name, name) != 0)
		link = &fl->files[*link].next;
	return link;
}

static void link_name(struct floor *fl, int i, const char *name)
{
	int *bucket = bucket_of(fl, name);

	snprintf(fl->files[i].name, sizeof(fl->files[i].name), "%s", name);
	fl->files[i].next = *bucket;
	*bucket = i;
}

static int add(struct floor *fl, const char *name)
{
	int i = fl->free;

	if (i == NONE)
		return NONE;
	fl->free = fl->files[i].next;
	fl->files[i].used = true;
	fl->files[i].generation++;
	fl->files[i].size = 0;
	link_name(fl, i, name);
	return i;
}

static void drop(struct floor *fl, int *link)
{
	int i = *link;

	*link = fl->files[i].next;
	fl->files[i].used = false;
	fl->files[i].next = fl->free;
	fl->free = i;
}

static struct floor *floor_new(unsigned int preload)
{
	struct floor *fl = calloc(1, sizeof(*fl));
	char name[BENCH_NAME_SIZE];

	if (!fl)
		return NULL;
	for (int i = 0; i < BUCKETS; i++)
		fl->buckets[i] = NONE;
	for (int i = 0; i < MAX_FILES; i++)
		fl->files[i].next = i + 1 < MAX_FILES ? i + 1 : NONE;
	for (unsigned int k = 0; k < preload; k++) {
		int i;

		bench_key_name(k, name);
		i = add(fl, name);
		memset(fl->files[i].data, 'v', BENCH_VALUE_SIZE);
		fl->files[i].size = BENCH_VALUE_SIZE;
	}
	return fl;
}

static struct file *file_of(fuse_req_t req, fuse_ino_t ino)
{
	return &floor_of(req)->files[ino - 2];
}

static struct stat stat_of(fuse_req_t req, fuse_ino_t ino)
{
	struct stat st = { .st_ino = ino,
			   .st_uid = getuid(),
			   .st_gid = getgid() };

	if (ino == FUSE_ROOT_ID) {
		st.st_mode = S_IFDIR | 0755;
		st.st_nlink = 2;
		return st;
	}
	st.st_mode = S_IFREG | 0644;
	st.st_nlink = 1;
	st.st_size = file_of(req, ino)->size;
	return st;
}

static struct fuse_entry_param entry_of(fuse_req_t req, int i)
{
	return (struct fuse_entry_param){
		.ino = i + 2,
		.generation = floor_of(req)->files[i].generation,
		.attr = stat_of(req, i + 2),
	};
}

static void floor_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	int i = *find(floor_of(req), name);
	struct fuse_entry_param entry;

	(void)parent;
	if (i == NONE) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	entry = entry_of(req, i);
	fuse_reply_entry(req, &entry);
}

static void floor_getattr(fuse_req_t req, fuse_ino_t ino,
			  struct fuse_file_info *fi)
{
	struct stat st = stat_of(req, ino);

	(void)fi;
	fuse_reply_attr(req, &st, 0);
}

static void floor_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr,
			  int to_set, struct fuse_file_info *fi)
{
	if ((to_set & FUSE_SET_ATTR_SIZE) && attr->st_size <= MAX_SIZE)
		file_of(req, ino)->size = attr->st_size;
	floor_getattr(req, ino, fi);
}

static void floor_open(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	if (fi->flags & O_TRUNC)
		file_of(req, ino)->size = 0;
	fuse_reply_open(req, fi);
}

static void floor_create(fuse_req_t req, fuse_ino_t parent, const char *name,
			 mode_t mode, struct fuse_file_info *fi)
{
	int i = add(floor_of(req), name);
	struct fuse_entry_param entry;

	(void)parent;
	(void)mode;
	if (i == NONE) {
		fuse_reply_err(req, ENOSPC);
		return;
	}
	entry = entry_of(req, i);
	fuse_reply_create(req, &entry, fi);
}

static void floor_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	const struct file *file = file_of(req, ino);
	size_t start = (size_t)off < file->size ? (size_t)off : file->size;
	size_t left = file->size - start;

	(void)fi;
	fuse_reply_buf(req, file->data + start, left < size ? left : size);
}

static void floor_write(fuse_req_t req, fuse_ino_t ino, const char *buf,
			size_t size, off_t off, struct fuse_file_info *fi)
{
	struct file *file = file_of(req, ino);

	(void)fi;
	if (off > MAX_SIZE || size > MAX_SIZE - (size_t)off) {
		fuse_reply_err(req, EFBIG);
		return;
	}
	memcpy(file->data + off, buf, size);
	if (file->size < off + size)
		file->size = off + size;
	fuse_reply_write(req, size);
}

static void floor_release(fuse_req_t req, fuse_ino_t ino,
			  struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

static void floor_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	int *link = find(floor_of(req), name);

	(void)parent;
	if (*link == NONE) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	drop(floor_of(req), link);
	fuse_reply_err(req, 0);
}

static void floor_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
			 fuse_ino_t new_parent, const char *new_name,
			 unsigned int flags)
{
	struct floor *fl = floor_of(req);
	int i = *find(fl, name);
	int *link;

	(void)parent;
	(void)new_parent;
	if (i == NONE || flags != 0) {
		fuse_reply_err(req, i == NONE ? ENOENT : EINVAL);
		return;
	}
	link = find(fl, new_name);
	if (*link != NONE)
		drop(fl, link);
	link = find(fl, name);
	*link = fl->files[i].next;
	link_name(fl, i, new_name);
	fuse_reply_err(req, 0);
}

static void floor_readdir(fuse_req_t req, fuse_ino_t ino, size_t size,
			  off_t off, struct fuse_file_info *fi)
{
	const struct floor *fl = floor_of(req);
	char *buf = malloc(size);
	size_t used = 0;

	(void)ino;
	(void)fi;
	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	for (off_t i = off; i < MAX_FILES; i++) {
		struct stat st = { .st_ino = i + 2, .st_mode = S_IFREG };
		size_t need;

		if (!fl->files[i].used)
			continue;
		need = fuse_add_direntry(req, buf + used, size - used,
					 fl->files[i].name, &st, i + 1);
		if (need > size - used)
			break;
		used += need;
	}
	fuse_reply_buf(req, buf, used);
	free(buf);
}

static void floor_statfs(fuse_req_t req, fuse_ino_t ino)
{
	const struct statvfs st = {
		.f_bsize = MAX_SIZE,
		.f_frsize = MAX_SIZE,
		.f_blocks = MAX_FILES,
		.f_files = MAX_FILES,
		.f_namemax = 255,
	};

	(void)ino;
	fuse_reply_statfs(req, &st);
}

static const struct fuse_lowlevel_ops floor_ops = {
	.lookup = floor_lookup,
	.getattr = floor_getattr,
	.setattr = floor_setattr,
	.open = floor_open,
	.create = floor_create,
	.read = floor_read,
	.write = floor_write,
	.release = floor_release,
	.unlink = floor_unlink,
	.rename = floor_rename,
	.readdir = floor_readdir,
	.statfs = floor_statfs,
};

static int serve(struct fuse_session *se, const char *mountpoint,
		 bool foreground)
{
	int status = EXIT_FAILURE;

	if (fuse_set_signal_handlers(se) != 0)
		return status;
	if (fuse_session_mount(se, mountpoint) == 0) {
		if (fuse_daemonize(foreground) == 0 &&
		    fuse_session_loop(se) >= 0)
			status = EXIT_SUCCESS;
		fuse_session_unmount(se);
	}
	fuse_remove_signal_handlers(se);
	return status;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	unsigned long preload = MAX_FILES;
	int status = EXIT_FAILURE;
	bool foreground = false;
	struct fuse_session *se;
	struct floor *fl;
	int opt;

	fuse_opt_add_arg(&args, "floorfs");
	fuse_opt_add_arg(&args, "-ofsname=floorfs,subtype=floorfs");
	while ((opt = getopt(argc, argv, "dfn:")) != -1) {
		if (opt == 'f')
			foreground = true;
		else if (opt == 'd')
			fuse_opt_add_arg(&args, "-d");
		else if (opt == 'n')
			preload = strtoul(optarg, NULL, 10);
		else
			optind = argc;
	}
	if (optind + 1 != argc || preload > MAX_FILES) {
		fprintf(stderr,
			"usage: floorfs [-d] [-f] [-n FILES] MOUNTPOINT\n");
		return 2;
	}
	fl = floor_new(preload);
	se = fl ? fuse_session_new(&args, &floor_ops, sizeof(floor_ops), fl)
		: NULL;
	if (se) {
		status = serve(se, argv[optind], foreground);
		fuse_session_destroy(se);
	}
	fuse_opt_free_args(&args);
	free(fl);
	return status;
}
