/* SPDX-License-Identifier: MIT */
/*
 * The operations that are measured. A batch leaves the keys as it found them, so that the
 * next one meets the same; what that takes is not timed.
 */
#include "bench.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *key_of(const struct batch *b, unsigned int i)
{
	return b->bench->names[b->order[i % b->target->keys]];
}

static const char *new_key(const struct batch *b, unsigned int i)
{
	return b->bench->names[BENCH_FIRST_NEW + i];
}

static int open_key(int dir, const char *name, int flags)
{
	int fd = openat(dir, name, flags | O_CLOEXEC, 0644);

	if (fd < 0)
		err(1, "open '%s'", name);
	return fd;
}

void bench_put(const struct bench *bench, int dir, const char *name, int flags,
	       size_t size)
{
	int fd = open_key(dir, name, O_WRONLY | flags);

	if (write(fd, bench->value, size) != (ssize_t)size)
		err(1, "write '%s'", name);
	if (close(fd) != 0)
		err(1, "close '%s'", name);
}

void bench_create(const struct batch *b, const char *name)
{
	bench_put(b->bench, b->target->fd, name, O_CREAT | O_TRUNC,
		  BENCH_VALUE_SIZE);
}

void bench_drop(const struct batch *b, const char *name)
{
	if (unlinkat(b->target->fd, name, 0) != 0)
		err(1, "unlink '%s'", name);
}

static void rename_over(const struct batch *b, unsigned int i)
{
	int dir = b->target->fd;

	if (renameat(dir, new_key(b, i), dir, key_of(b, i)) != 0)
		err(1, "rename '%s'", new_key(b, i));
}

void bench_stat(int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		err(1, "stat '%s'", name);
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		errx(1, "stat '%s': not the file it should be", name);
}

/* A full pool has no room for new keys: take away the last keys of this round's order. */
static void make_room(const struct batch *b)
{
	if (b->target->keys + BENCH_ROOM <= BENCH_MAX_KEYS)
		return;
	for (unsigned int i = 0; i < BENCH_ROOM; i++)
		bench_drop(b, key_of(b, b->target->keys - 1 - i));
}

static void fill_room(const struct batch *b)
{
	if (b->target->keys + BENCH_ROOM <= BENCH_MAX_KEYS)
		return;
	for (unsigned int i = 0; i < BENCH_ROOM; i++)
		bench_create(b, key_of(b, b->target->keys - 1 - i));
}

static void create_new(const struct batch *b)
{
	make_room(b);
	for (unsigned int i = 0; i < b->count; i++)
		bench_create(b, new_key(b, i));
}

static void drop_new(const struct batch *b)
{
	for (unsigned int i = 0; i < b->count; i++)
		bench_drop(b, new_key(b, i));
	fill_room(b);
}

static void create_dropped(const struct batch *b)
{
	for (unsigned int i = 0; i < b->count; i++)
		bench_create(b, key_of(b, i));
}

void bench_read(int dir, const char *name)
{
	char buf[BENCH_MAX_VALUE];
	int fd = open_key(dir, name, O_RDONLY);

	if (read(fd, buf, sizeof(buf)) <= 0)
		err(1, "read '%s'", name);
	close(fd);
}

static void run_read(const struct batch *b, unsigned int i)
{
	bench_read(b->target->fd, key_of(b, i));
}

static void read_used(const struct batch *b)
{
	for (unsigned int i = 0; i < b->count; i++)
		run_read(b, i);
}

static void run_stat(const struct batch *b, unsigned int i)
{
	bench_stat(b->target->fd, key_of(b, i));
}

static void run_stat_same(const struct batch *b, unsigned int i)
{
	(void)i;
	bench_stat(b->target->fd, key_of(b, 0));
}

static void run_stat_missing(const struct batch *b, unsigned int i)
{
	const char *name = b->bench->names[BENCH_FIRST_MISSING + i];
	struct stat st;
	int ret = fstatat(b->target->fd, name, &st, AT_SYMLINK_NOFOLLOW);

	if (ret == 0 || errno != ENOENT)
		errx(1, "stat '%s': not ENOENT", name);
}

static void run_overwrite(const struct batch *b, unsigned int i)
{
	bench_put(b->bench, b->target->fd, key_of(b, i), O_TRUNC,
		  BENCH_VALUE_SIZE);
}

static void overwrite_used(const struct batch *b)
{
	for (unsigned int i = 0; i < b->count; i++)
		run_overwrite(b, i);
}

/* A value grows by 640 bytes at most before it is made short again: one key, 64 times. */
static void run_append(const struct batch *b, unsigned int i)
{
	bench_put(b->bench, b->target->fd, key_of(b, i), O_APPEND, 10);
}

static void run_create(const struct batch *b, unsigned int i)
{
	bench_create(b, new_key(b, i));
}

static void run_unlink(const struct batch *b, unsigned int i)
{
	bench_drop(b, key_of(b, i));
}

static void run_unlink_newest(const struct batch *b, unsigned int i)
{
	bench_drop(b, new_key(b, b->count - 1 - i));
}

static void run_rename(const struct batch *b, unsigned int i)
{
	rename_over(b, b->count - 1 - i);
}

static void run_replace(const struct batch *b, unsigned int i)
{
	bench_create(b, new_key(b, i));
	rename_over(b, i);
}

static void read_key(int dir, const char *name)
{
	char buf[BENCH_MAX_VALUE];
	struct stat st;
	int fd = open_key(dir, name, O_RDONLY);
	ssize_t n;

	/* The calls that cat makes. */
	if (fstat(fd, &st) != 0)
		err(1, "fstat '%s'", name);
	do {
		n = read(fd, buf, sizeof(buf));
	} while (n > 0);
	if (n < 0)
		err(1, "read '%s'", name);
	close(fd);
}

unsigned int bench_list(const struct target *t,
			void (*visit)(int dir, const char *name))
{
	DIR *dir = opendir(t->path);
	struct dirent *entry;
	unsigned int n = 0;

	if (!dir)
		err(1, "opendir '%s'", t->path);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		if (visit)
			visit(dirfd(dir), entry->d_name);
		n++;
	}
	closedir(dir);
	return n;
}

static void list_all(const struct batch *b,
		     void (*visit)(int dir, const char *name))
{
	if (bench_list(b->target, visit) != b->target->listed)
		errx(1, "'%s' does not list %u keys", b->target->path,
		     b->target->listed);
}

static void run_readdir(const struct batch *b, unsigned int i)
{
	(void)i;
	list_all(b, NULL);
}

static void run_ls(const struct batch *b, unsigned int i)
{
	(void)i;
	list_all(b, bench_stat);
}

static void run_cat(const struct batch *b, unsigned int i)
{
	(void)i;
	list_all(b, read_key);
}

/* As another program does it: in place, under the lock, and closed again. */
static void change_outside(const char *pool)
{
	int fd = open_key(AT_FDCWD, pool, O_RDWR);
	char byte;

	if (flock(fd, LOCK_EX) != 0 || pread(fd, &byte, 1, BENCH_KEY_SIZE) != 1)
		err(1, "%s", pool);
	byte ^= 1;
	if (pwrite(fd, &byte, 1, BENCH_KEY_SIZE) != 1)
		err(1, "%s", pool);
	close(fd);
}

static void run_outside(const struct batch *b, unsigned int i)
{
	change_outside(b->target->pool);
	for (unsigned int n = 0; n < 100; n++)
		run_read(b, i + n);
}

/*
 * "read" is of keys that were read before and did not change, "read-changed" of others;
 * "unlink" takes any keys, so that the pool's tail moves up, "unlink-newest" the last,
 * and so does "rename", as it is with a temporary file;
 * "outside+100" is one change of the pool by others and 100 reads.
 */
const struct op bench_ops[] = {
	{ .id = "read",
	  .count = 256,
	  .goal = 0.7,
	  .prepare = read_used,
	  .run = run_read },
	{ .id = "read-changed",
	  .count = 128,
	  .prepare = overwrite_used,
	  .run = run_read },
	{ .id = "stat", .count = 256, .goal = 0.8, .run = run_stat },
	{ .id = "stat-same", .count = 256, .run = run_stat_same },
	{ .id = "stat-missing",
	  .count = 256,
	  .goal = 1.15,
	  .run = run_stat_missing },
	{ .id = "overwrite", .count = 128, .goal = 1.35, .run = run_overwrite },
	{ .id = "append",
	  .count = 64,
	  .run = run_append,
	  .restore = overwrite_used },
	{ .id = "create",
	  .count = BENCH_ROOM,
	  .goal = 1.35,
	  .prepare = make_room,
	  .run = run_create,
	  .restore = drop_new },
	{ .id = "unlink",
	  .count = BENCH_ROOM,
	  .each_once = true,
	  .run = run_unlink,
	  .restore = create_dropped },
	{ .id = "unlink-newest",
	  .count = BENCH_ROOM,
	  .goal = 1.6,
	  .prepare = create_new,
	  .run = run_unlink_newest,
	  .restore = fill_room },
	{ .id = "rename",
	  .count = BENCH_ROOM,
	  .goal = 1.5,
	  .prepare = create_new,
	  .run = run_rename,
	  .restore = fill_room },
	{ .id = "write+rename",
	  .count = BENCH_ROOM,
	  .prepare = make_room,
	  .run = run_replace,
	  .restore = fill_room },
	{ .id = "readdir", .count = 8, .goal = 0.9, .run = run_readdir },
	{ .id = "ls-l", .count = 1, .goal = 0.8, .run = run_ls },
	{ .id = "cat-all", .count = 1, .goal = 0.7, .run = run_cat },
	{ .id = "outside+100",
	  .count = 1,
	  .on_pool = true,
	  .run = run_outside },
};

const size_t bench_nops = sizeof(bench_ops) / sizeof(bench_ops[0]);
