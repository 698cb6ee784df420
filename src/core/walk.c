/* SPDX-License-Identifier: MIT */
#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "result.h"
#include "util.h"

/* As many as the kernel follows. */
#define MAX_LINKS 40

struct walk {
	const struct kvp_keep_out *keep_out;
	int from;      /* the caller's */
	int directory; /* how far it has come; -1: still at from */
	int links;     /* that were followed */
	/* the rest of the path; inside of left, or the caller's */
	const char *at;
	char left[PATH_MAX];
	char name[NAME_MAX + 1]; /* the component that was walked last */
};

/* The type of FD's file, from statx(2) without a request; KVP_OWN_MOUNT: stay out. */
static int look_at(const struct walk *walk, int fd, mode_t *ret_mode)
{
	const struct kvp_keep_out *keep_out = walk->keep_out;
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
		  STATX_TYPE | STATX_INO, &stx) != 0)
		return -errno;
	if (keep_out->dev &&
	    makedev(stx.stx_dev_major, stx.stx_dev_minor) == keep_out->dev &&
	    (keep_out->ino == 0 || keep_out->ino == stx.stx_ino))
		return KVP_OWN_MOUNT;
	*ret_mode = stx.stx_mode;
	return 0;
}

/* The directory that the walk has come to, which was looked at. */
static int here(const struct walk *walk)
{
	return walk->directory >= 0 ? walk->directory : walk->from;
}

/* FD becomes the directory that the walk has come to. */
static void go_to(struct walk *walk, int fd)
{
	kvp_close(walk->directory);
	walk->directory = fd;
}

static int go_to_root(struct walk *walk)
{
	int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	mode_t mode;

	if (fd < 0)
		return -errno;
	go_to(walk, fd);
	return look_at(walk, fd, &mode);
}

/* Begins to walk PATH. */
static int set_out(struct walk *walk, const char *path)
{
	walk->at = path;
	return *path == '/' ? go_to_root(walk) : 0;
}

/* Whether only root and our own user can put names into the directory. */
static bool is_trusted(int directory)
{
	struct stat st;

	return fstat(directory, &st) == 0 &&
	       (st.st_uid == 0 || st.st_uid == geteuid()) &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* Goes on with the path in the symbolic link FD, and the rest of the path behind it. */
static int follow(struct walk *walk, int fd)
{
	size_t rest = strlen(walk->at);
	char text[PATH_MAX];
	ssize_t len;

	if (!is_trusted(here(walk)))
		return KVP_UNTRUSTED_LINK;
	if (++walk->links > MAX_LINKS)
		return -ELOOP;
	len = readlinkat(fd, "", text, sizeof(text));
	if (len < 0)
		return -errno;
	if ((size_t)len + rest + 2 > sizeof(walk->left))
		return -ENAMETOOLONG;
	memmove(walk->left + len + 1, walk->at, rest + 1);
	memcpy(walk->left, text, (size_t)len);
	walk->left[len] = '/';
	if (rest == 0)
		walk->left[len] = '\0';
	return set_out(walk, walk->left);
}

/* Takes the next component, "." at the end of the path. *RET_LAST: it is the last. */
static int take_name(struct walk *walk, bool *ret_last)
{
	const char *start = walk->at + strspn(walk->at, "/");
	size_t len = strcspn(start, "/");

	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(walk->name, len ? start : ".", len ? len : 1);
	walk->name[len ? len : 1] = '\0';
	walk->at = start + len;
	*ret_last = walk->at[strspn(walk->at, "/")] == '\0';
	return 0;
}

/*
 * Goes one component further. *RET_OBJECT: where the path ends; it remains -2 while
 * there is more to walk.
 */
static int step(struct walk *walk, int *ret_object)
{
	mode_t mode = 0;
	bool last = false;
	int r = take_name(walk, &last);
	int fd;

	if (r)
		return r;
	fd = openat(here(walk), walk->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && last) {
		*ret_object = -1;
		return 0;
	}
	if (fd < 0)
		return -errno;
	r = look_at(walk, fd, &mode);
	if (r == 0 && S_ISLNK(mode)) {
		r = follow(walk, fd);
	} else if (r == 0 && last) {
		*ret_object = fd;
		return 0;
	} else if (r == 0 && S_ISDIR(mode)) {
		go_to(walk, fd);
		return 0;
	} else if (r == 0) {
		r = -ENOTDIR;
	}
	kvp_close(fd);
	return r;
}

int kvp_walk(int from, const char *path, const struct kvp_keep_out *keep_out,
	     struct kvp_found *ret_found)
{
	struct walk walk = {
		.keep_out = keep_out,
		.from = from,
		.directory = -1,
	};
	int object = -2;
	int r = set_out(&walk, path);

	while (r == 0 && object == -2)
		r = step(&walk, &object);
	if (r) {
		kvp_close(walk.directory);
		return r;
	}
	ret_found->directory = walk.directory;
	memcpy(ret_found->name, walk.name, sizeof(walk.name));
	ret_found->object = object;
	ret_found->by_link = walk.links > 0;
	return 0;
}

void kvp_found_release(struct kvp_found *found)
{
	found->directory = kvp_close(found->directory);
	found->object = kvp_close(found->object);
}
