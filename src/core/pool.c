/* SPDX-License-Identifier: MIT */
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "result.h"
#include "util.h"

/* How often a file that is being replaced all the time is tried. */
#define MAX_CHASES 16

#define FD_PATH_MAX (sizeof("/proc/self/fd/") + 3 * sizeof(int))

/* What happens to the file's content; all else may be about its name. */
#define IN_CONTENT (IN_MODIFY | IN_CLOSE_WRITE)

#define EVENT_MAX (sizeof(struct inotify_event) + NAME_MAX + 1)

/* What tells that the directory is not where it was. */
#define IN_GONE (IN_MOVE_SELF | IN_DELETE_SELF | IN_IGNORED | IN_UNMOUNT)

/* What makes waiting events say "somebody else was here". */
#define FOREIGN_AFTER_WRITE (~(uint32_t)IN_MODIFY)

static void forget_file(struct kvp_pool *pool)
{
	if (pool->watch >= 0)
		inotify_rm_watch(pool->inotify, pool->watch);
	pool->watch = -1;
	pool->file = kvp_close(pool->file);
	pool->settled = false;
	pool->named = false;
	pool->closings += 2; /* who knows */
}

/*
 * Watches the very inode that is open. Failure (limits, no /proc) is no error:
 * without a watch the file is read again each time.
 */
static void watch_file(struct kvp_pool *pool)
{
	char path[FD_PATH_MAX];

	if (pool->inotify < 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", pool->file);
	pool->watch = inotify_add_watch(pool->inotify, path,
					IN_CONTENT | IN_ATTRIB | IN_MOVE_SELF);
}

static void note_event(struct kvp_pool *pool, const struct inotify_event *event,
		       uint32_t *seen)
{
	bool lost = event->wd < 0; /* there were too many */

	if (lost || event->wd == pool->watch) {
		*seen |= event->mask;
		pool->closings += (event->mask & IN_CLOSE_WRITE) != 0;
		pool->named &= (event->mask & ~(uint32_t)IN_CONTENT) == 0;
	}
	if (lost)
		pool->closings += 2; /* or more */
	if (lost || (event->wd == pool->parent_watch && event->mask & IN_GONE))
		pool->moved = true;
}

/*
 * Reads all waiting events. Returns the union of the masks of those about the file;
 * notes in pool->named and pool->moved what concerns its name and its directory.
 */
static uint32_t drain_events(struct kvp_pool *pool)
{
	_Alignas(struct inotify_event) char buf[4096];
	uint32_t seen = 0;
	ssize_t size;

	if (pool->inotify < 0)
		return 0;
	do {
		size = read(pool->inotify, buf, sizeof(buf));
		for (ssize_t at = 0; at < size;) {
			const struct inotify_event *event =
				(const void *)&buf[at];

			note_event(pool, event, &seen);
			at += (ssize_t)(sizeof(*event) + event->len);
		}
		/* if there was room for one more, that was all */
	} while (size > (ssize_t)(sizeof(buf) - EVENT_MAX));
	return seen;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static bool same_state(const struct stat *a, const struct stat *b)
{
	return same_file(a, b) && a->st_size == b->st_size &&
	       kvp_same_time(&a->st_mtim, &b->st_mtim) &&
	       kvp_same_time(&a->st_ctim, &b->st_ctim);
}

static void watch_directory(struct kvp_pool *pool)
{
	uint32_t mask = IN_MOVE_SELF | IN_DELETE_SELF | IN_ONLYDIR;
	char path[FD_PATH_MAX];

	if (pool->watched)
		mask |= IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", pool->directory);
	pool->parent_watch = inotify_add_watch(pool->inotify, path, mask);
}

int kvp_pool_watch(struct kvp_pool *pool, bool on)
{
	if (pool->inotify < 0)
		return -1;
	pool->watched = on;
	watch_directory(pool);
	return pool->parent_watch < 0 ? -1 : pool->inotify;
}

/* Goes to the directory that has the pool's path now; -errno: none has. */
static int open_directory(struct kvp_pool *pool)
{
	int directory = open(pool->parent, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (directory < 0)
		return -errno;
	kvp_close(pool->directory);
	pool->directory = directory;
	pool->moved = false;
	if (pool->inotify < 0)
		return 0;
	if (pool->parent_watch >= 0)
		inotify_rm_watch(pool->inotify, pool->parent_watch);
	watch_directory(pool);
	return 0;
}

/* No event tells of that: our descriptor keeps the deleted directory alive. */
static bool directory_is_deleted(struct kvp_pool *pool)
{
	struct stat st;

	return fstat(pool->directory, &st) == 0 && st.st_nlink == 0;
}

/* Whether only root and whoever runs us can put names into the directory. */
static bool directory_is_trusted(const struct kvp_pool *pool)
{
	struct stat st;

	return fstat(pool->directory, &st) == 0 &&
	       (st.st_uid == 0 || st.st_uid == geteuid()) &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* A link that anybody may have put there could lead to any file of ours. */
static int stat_name(struct kvp_pool *pool, struct stat *ret)
{
	int nofollow = AT_SYMLINK_NOFOLLOW;

	pool->is_link = false;
	if (fstatat(pool->directory, pool->name, ret, nofollow) != 0)
		return -errno;
	if (!S_ISLNK(ret->st_mode))
		return 0;
	if (!directory_is_trusted(pool))
		return KVP_UNTRUSTED_LINK;
	pool->is_link = true;
	return fstatat(pool->directory, pool->name, ret, 0) == 0 ? 0 : -errno;
}

/* stat of what the path names now; ret->st_ino 0: nothing. */
static int stat_path(struct kvp_pool *pool, struct stat *ret)
{
	int r = 0;

	if (!pool->pinned && (pool->moved || pool->parent_watch < 0))
		r = open_directory(pool);
	if (r == 0)
		r = stat_name(pool, ret);
	if (r == -ENOENT && !pool->pinned && directory_is_deleted(pool)) {
		r = open_directory(pool);
		if (r == 0)
			r = stat_name(pool, ret);
	}
	if (r == -ENOENT) {
		ret->st_ino = 0;
		r = 0;
	}
	return r;
}

static int check_kind(const struct stat *st)
{
	if (S_ISDIR(st->st_mode))
		return -EISDIR;
	if (!S_ISREG(st->st_mode))
		return -EINVAL;
	return 0;
}

/*
 * Opens the file that the path names, which is ST, or makes it. O_NONBLOCK: what
 * was a file a moment ago may be a FIFO now.
 */
static int open_file(struct kvp_pool *pool, bool create)
{
	const int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK |
			  (pool->is_link ? 0 : O_NOFOLLOW);
	bool denied = pool->read_only;
	struct stat st;
	int fd = -1;
	int r;

	if (!denied) {
		fd = openat(pool->directory, pool->name,
			    O_RDWR | flags | (create ? O_CREAT : 0), 0600);
		denied = fd < 0 &&
			 (errno == EACCES || errno == EPERM || errno == EROFS);
	}
	pool->writable = fd >= 0;
	if (denied)
		fd = openat(pool->directory, pool->name, O_RDONLY | flags);
	if (fd < 0)
		return denied && create && errno == ENOENT ? KVP_READ_ONLY
							   : -errno;
	r = fstat(fd, &st) == 0 ? check_kind(&st) : -errno;
	if (r) {
		kvp_close(fd);
		return r;
	}
	pool->file = fd;
	pool->st = st;
	watch_file(pool);
	return 0;
}

/*
 * Makes pool->file the file that ST, a stat of the path, is of, and opens it for
 * LOCK if that can be.
 */
static int attach(struct kvp_pool *pool, const struct stat *st,
		  enum kvp_lock lock)
{
	bool create = lock == KVP_LOCK_CREATE;
	int r;

	if (pool->file >= 0 && st->st_ino && same_file(st, &pool->st) &&
	    (pool->writable || lock == KVP_LOCK_SHARED))
		return 0;
	forget_file(pool);
	if (!st->st_ino && !create)
		return 0;
	r = st->st_ino ? check_kind(st) : 0;
	if (r)
		return r;
	r = open_file(pool, create);
	return r == -ENOENT && !create ? 0 : r;
}

/* Fills in path, parent and name. */
static int resolve_path(struct kvp_pool *pool, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	kvp_autofree char *given = slash ? strndup(path, (size_t)(name - path))
					 : strdup(".");

	if (!given)
		return -ENOMEM;
	if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EISDIR;
	pool->parent = realpath(given, NULL);
	if (!pool->parent)
		return -errno;
	if (asprintf(&pool->path, "%s/%s",
		     strcmp(pool->parent, "/") ? pool->parent : "", name) < 0) {
		pool->path = NULL;
		return -ENOMEM;
	}
	pool->name = strrchr(pool->path, '/') + 1;
	return 0;
}

static int open_pool(struct kvp_pool *pool, const char *path)
{
	struct stat st;
	int r = resolve_path(pool, path);

	if (r)
		return r;
	pool->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	r = open_directory(pool);
	if (r)
		return r;
	r = stat_path(pool, &st);
	if (r == 0)
		r = attach(pool, &st, KVP_LOCK_SHARED);
	if (r)
		return r;
	if (pool->file < 0)
		pool->writable = !pool->read_only &&
				 faccessat(pool->directory, ".", W_OK, 0) == 0;
	else if (pool->st.st_size > KVP_POOL_MAX_BYTES)
		return -EFBIG;
	return 0;
}

int kvp_pool_open(struct kvp_pool *pool, const char *path, bool read_only)
{
	int r;

	*pool = (struct kvp_pool){ .directory = -1,
				   .file = -1,
				   .inotify = -1,
				   .watch = -1,
				   .parent_watch = -1,
				   .read_only = read_only };
	r = open_pool(pool, path);
	if (r)
		kvp_pool_close(pool);
	return r;
}

void kvp_pool_close(struct kvp_pool *pool)
{
	forget_file(pool);
	pool->inotify = kvp_close(pool->inotify);
	pool->directory = kvp_close(pool->directory);
	free(pool->parent);
	free(pool->path);
	pool->parent = NULL;
	pool->path = NULL;
}

/*
 * Looks at the events, then at the path. What happens in between only makes the
 * next look say "changed", too.
 */
static int look(struct kvp_pool *pool, struct stat *ret_st)
{
	int r;

	if (drain_events(pool) || (pool->watch < 0 && pool->file >= 0))
		pool->settled = false;
	if (pool->named && !pool->moved && fstat(pool->file, ret_st) == 0)
		return 0;
	r = stat_path(pool, ret_st);
	/* a link leads elsewhere without the file's knowing */
	pool->named = r == 0 && pool->watch >= 0 && pool->parent_watch >= 0 &&
		      !pool->is_link && ret_st->st_ino &&
		      same_file(ret_st, &pool->st);
	return r;
}

static bool differs(struct kvp_pool *pool, const struct stat *st)
{
	if (!pool->settled)
		return true;
	return pool->file < 0 ? st->st_ino != 0 : !same_state(st, &pool->st);
}

int kvp_pool_changed(struct kvp_pool *pool)
{
	struct stat st;
	int r = look(pool, &st);

	if (r)
		return r;
	if (differs(pool, &st))
		return 1;
	/* chmod and chown within a clock tick change nothing else */
	if (pool->file >= 0)
		pool->st = st;
	return 0;
}

/* Both locks or none; see the head of pool.h for the order. */
static int try_locks(int fd, bool exclusive)
{
	struct flock whole = { .l_type = exclusive ? F_WRLCK : F_RDLCK,
			       .l_whence = SEEK_SET };
	int saved;

	if (flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0)
		return errno == EWOULDBLOCK ? KVP_LOCKED : -errno;
	if (fcntl(fd, F_OFD_SETLK, &whole) == 0)
		return 0;
	saved = errno;
	flock(fd, LOCK_UN);
	return saved == EAGAIN || saved == EACCES ? KVP_LOCKED : -saved;
}

void kvp_pool_unlock(struct kvp_pool *pool)
{
	struct flock whole = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	if (pool->file < 0)
		return;
	fcntl(pool->file, F_OFD_SETLK, &whole);
	flock(pool->file, LOCK_UN);
}

/*
 * One try. *GONE: the path names another file than the one that is open; going
 * in, from the last try; coming out, found under the lock.
 */
static int lock_once(struct kvp_pool *pool, enum kvp_lock lock,
		     bool *ret_changed, bool *gone)
{
	bool exclusive = lock != KVP_LOCK_SHARED;
	struct stat st = { 0 };
	int stat_result;
	int r;

	if (exclusive && pool->read_only)
		return KVP_READ_ONLY;
	if (pool->file < 0 || *gone || (exclusive && !pool->writable)) {
		r = look(pool, &st);
		if (r == 0)
			r = attach(pool, &st, lock);
		if (r)
			return r;
	}
	*gone = false;
	if (pool->file < 0) {
		*ret_changed = differs(pool, &st);
		return 0;
	}
	if (exclusive && !pool->writable)
		return KVP_READ_ONLY;
	r = try_locks(pool->file, exclusive);
	stat_result = look(pool, &st);
	if (stat_result == 0 && st.st_ino && same_file(&st, &pool->st)) {
		if (r)
			return r;
		*ret_changed = differs(pool, &st);
		pool->settled = !*ret_changed;
		pool->st = st;
		return 0;
	}
	if (r == 0)
		kvp_pool_unlock(pool);
	*gone = true;
	return stat_result;
}

int kvp_pool_lock(struct kvp_pool *pool, enum kvp_lock lock, bool *ret_changed)
{
	bool gone = false;
	int r = 0;

	for (int i = 0; i < MAX_CHASES && r == 0 && (gone || i == 0); i++)
		r = lock_once(pool, lock, ret_changed, &gone);
	return r == 0 && gone ? KVP_LOCKED : r;
}

int kvp_pool_read(struct kvp_pool *pool, off_t offset, void *buf, size_t size,
		  size_t *ret_size)
{
	return kvp_pread_all(pool->file, buf, size, offset, ret_size);
}

int kvp_pool_write(struct kvp_pool *pool, off_t offset, const void *buf,
		   size_t size)
{
	return kvp_pwrite_all(pool->file, buf, size, offset);
}

int kvp_pool_truncate(struct kvp_pool *pool, off_t size)
{
	return kvp_ftruncate(pool->file, size);
}

void kvp_pool_settle(struct kvp_pool *pool, bool wrote, off_t size)
{
	pool->settled = true;
	if (pool->file < 0 || !wrote)
		return;
	if (fstat(pool->file, &pool->st) != 0 || pool->st.st_size != size ||
	    (drain_events(pool) & FOREIGN_AFTER_WRITE))
		pool->settled = false;
}

void kvp_pool_unsettle(struct kvp_pool *pool)
{
	pool->settled = false;
}
