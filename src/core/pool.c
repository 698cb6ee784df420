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

/* Tries to lock a file that is replaced again and again. */
#define MAX_CHASES 16

/* Events about the file's content; all others may be about its name. */
#define IN_CONTENT (IN_MODIFY | IN_CLOSE_WRITE)

#define EVENT_MAX (sizeof(struct inotify_event) + NAME_MAX + 1)

/* After a write of ours: the events that only another program's change can have made. */
#define FOREIGN_AFTER_WRITE (~(uint32_t)IN_MODIFY)

/*
 * unlink(2) tells watches on a file before its path has lost it, and may be interrupted
 * in between. So after such an event the path is asked for so long.
 */
#define DISTRUST_MS 1000

static void forget_file(struct kvp_pool *pool)
{
	if (pool->watch >= 0)
		inotify_rm_watch(pool->place.inotify, pool->watch);
	pool->watch = -1;
	pool->file = kvp_close(pool->file);
	pool->settled = false;
	kvp_place_doubt_name(&pool->place);
}

/*
 * Watches the very inode that is open. Failure (limits, no /proc) is no error:
 * without a watch the file is read again each time.
 */
static void watch_file(struct kvp_pool *pool)
{
	char path[KVP_FD_PATH_MAX];

	if (pool->place.inotify < 0 || pool->file < 0 || pool->watch >= 0)
		return;
	pool->watch = inotify_add_watch(pool->place.inotify,
					kvp_fd_path(pool->file, path),
					IN_CONTENT | IN_ATTRIB | IN_MOVE_SELF);
	if (pool->watch >= 0)
		pool->settled = false; /* before, nothing would have told */
}

static void note_event(struct kvp_pool *pool, const struct inotify_event *event,
		       uint32_t *seen)
{
	bool lost = event->wd < 0; /* there were too many */

	kvp_place_note_event(&pool->place, event);
	if (!lost && event->wd != pool->watch)
		return;
	*seen |= event->mask;
	if (event->mask & ~(uint32_t)IN_CONTENT) {
		kvp_place_doubt_name(&pool->place);
		pool->trust_at = kvp_now_ms() + DISTRUST_MS;
	}
}

/*
 * Reads all waiting events. Returns the union of the masks of those about the file;
 * pool->place takes note of what concerns its name and its directory.
 */
static uint32_t drain_events(struct kvp_pool *pool)
{
	_Alignas(struct inotify_event) char buf[4096];
	uint32_t seen = 0;
	ssize_t size;

	if (pool->place.inotify < 0)
		return 0;
	do {
		size = read(pool->place.inotify, buf, sizeof(buf));
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

int kvp_pool_watch(struct kvp_pool *pool, bool on)
{
	bool is_told = kvp_place_watch_names(&pool->place, on);

	watch_file(pool);
	if (!is_told || (pool->file >= 0 && pool->watch < 0))
		return -1;
	return pool->place.inotify;
}

static int check_kind(const struct stat *st)
{
	if (S_ISDIR(st->st_mode))
		return -EISDIR;
	if (!S_ISREG(st->st_mode))
		return -EINVAL;
	return 0;
}

static bool is_denial(int result)
{
	return result == -EACCES || result == -EPERM || result == -EROFS;
}

/* Opens the file that the path names, or makes it. */
static int open_file(struct kvp_pool *pool, bool create)
{
	int fd = -EROFS;
	bool denied;
	struct stat st;
	int r;

	if (!pool->read_only)
		fd = kvp_place_open(&pool->place,
				    O_RDWR | (create ? O_CREAT : 0));
	denied = is_denial(fd);
	pool->writable = fd >= 0;
	if (denied)
		fd = kvp_place_open(&pool->place, O_RDONLY);
	if (fd < 0)
		return denied && create && fd == -ENOENT ? KVP_READ_ONLY : fd;
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

static int open_pool(struct kvp_pool *pool)
{
	struct stat st;
	int r = kvp_place_look(&pool->place, &st);

	if (r == 0)
		r = attach(pool, &st, KVP_LOCK_SHARED);
	if (r == 0 && pool->file >= 0 && pool->st.st_size > KVP_POOL_MAX_BYTES)
		r = -EFBIG;
	return r;
}

int kvp_pool_open(struct kvp_pool *pool, const char *path, unsigned int flags)
{
	int r;

	*pool = (struct kvp_pool){
		.file = -1,
		.watch = -1,
		.read_only = flags & KVP_POOL_READ_ONLY,
	};
	r = kvp_place_init(&pool->place, path, !(flags & KVP_POOL_UNWATCHED));
	if (r)
		return r;
	r = open_pool(pool);
	if (r)
		kvp_pool_close(pool);
	return r;
}

void kvp_pool_close(struct kvp_pool *pool)
{
	kvp_view_close(&pool->view);
	forget_file(pool);
	kvp_place_release(&pool->place);
}

bool kvp_pool_is_writable(const struct kvp_pool *pool)
{
	char path[KVP_FD_PATH_MAX];

	if (pool->read_only)
		return false;
	if (pool->file < 0)
		return kvp_place_is_writable(&pool->place);
	return pool->writable ||
	       access(kvp_fd_path(pool->file, path), W_OK) == 0;
}

/* Whether nobody is just about to take the name away that ST was found by. */
static bool is_named(const struct kvp_pool *pool, const struct stat *st)
{
	return st->st_nlink > 0 &&
	       (pool->trust_at == 0 || kvp_now_ms() >= pool->trust_at);
}

/*
 * Looks at the events, then at the path. A change in between only makes the
 * next look say "changed", too.
 */
static int look(struct kvp_pool *pool, struct stat *ret_st)
{
	int r;

	if (drain_events(pool) || (pool->watch < 0 && pool->file >= 0))
		pool->settled = false;
	if (pool->place.doubt == KVP_PLACE_SURE &&
	    fstat(pool->file, ret_st) == 0)
		return 0;
	r = kvp_place_look(&pool->place, ret_st);
	if (r == 0 && pool->watch >= 0 && ret_st->st_ino &&
	    same_file(ret_st, &pool->st) && is_named(pool, ret_st))
		kvp_place_trust(&pool->place);
	return r;
}

static bool differs(struct kvp_pool *pool, const struct stat *st)
{
	if (!pool->settled)
		return true;
	return pool->file < 0 ? st->st_ino != 0 : !same_state(st, &pool->st);
}

/* Makes the file that the path names, of which ST is, the pool's. */
static int follow(struct kvp_pool *pool, const struct stat *st)
{
	int r = attach(pool, st, KVP_LOCK_SHARED);

	if (r == 0 && pool->file >= 0 && same_file(st, &pool->st))
		pool->st = *st;
	return r;
}

int kvp_pool_changed(struct kvp_pool *pool)
{
	struct stat st;
	int r = look(pool, &st);

	if (r)
		return r;
	if (differs(pool, &st)) {
		pool->settled = false;
		r = follow(pool, &st);
		return r ? r : 1;
	}
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
 * One try. *GONE says that the path names another file than the open one: on entry,
 * that the last try has found so; on return, that this one has, under the lock.
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
	watch_file(pool);
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
