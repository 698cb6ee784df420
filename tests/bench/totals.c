/* SPDX-License-Identifier: MIT */
/*
 * What is measured as a whole: all keys of a directory are made or removed. Keys are made
 * in the order of bench->names, which is therefore the order of a pool and its listing.
 */
#include "bench.h"

#include <err.h>
#include <fcntl.h>
#include <unistd.h>

static void run_create(const struct batch *b, unsigned int i)
{
	for (i = 0; i < b->target->keys; i++)
		bench_create(b, b->bench->names[i]);
}

static void run_rm(const struct batch *b, unsigned int i)
{
	for (i = 0; i < b->target->keys; i++)
		bench_drop(b, b->bench->names[i]);
}

static void run_rm_reverse(const struct batch *b, unsigned int i)
{
	for (i = b->target->keys; i > 0; i--)
		bench_drop(b, b->bench->names[i - 1]);
}

static void write_lines(const struct batch *b, int flags)
{
	const char *line = b->bench->lines;
	const char *end = line + b->bench->lines_size;
	int fd = openat(b->target->fd, ".kvpfs/records",
			O_WRONLY | O_CLOEXEC | flags);

	while (fd >= 0 && line < end) {
		ssize_t n = write(fd, line, end - line);

		if (n < 0)
			err(1, "write '.kvpfs/records'");
		line += n;
	}
	if (fd < 0 || close(fd) != 0)
		err(1, ".kvpfs/records");
}

static void run_load(const struct batch *b, unsigned int i)
{
	(void)i;
	write_lines(b, O_TRUNC);
}

static void run_append(const struct batch *b, unsigned int i)
{
	(void)i;
	write_lines(b, O_APPEND);
}

static void create_all(const struct batch *b)
{
	run_create(b, 0);
}

static void remove_all(const struct batch *b)
{
	run_rm_reverse(b, 0);
}

static void check_all(const struct batch *b)
{
	if (bench_list(b->target, bench_stat) != b->target->listed)
		errx(1, "'%s' does not list %u keys", b->target->path,
		     b->target->listed);
}

/* "rm" is in listing order. */
const struct op bench_totals[] = {
	{ .id = "rm", .count = 1, .run = run_rm, .restore = create_all },
	{ .id = "rm-reverse",
	  .count = 1,
	  .run = run_rm_reverse,
	  .restore = create_all },
	{ .id = "create",
	  .count = 1,
	  .goal_ms = 150,
	  .prepare = remove_all,
	  .run = run_create,
	  .restore = check_all },
	{ .id = "load",
	  .count = 1,
	  .on_pool = true,
	  .prepare = remove_all,
	  .run = run_load,
	  .restore = check_all },
	{ .id = "append",
	  .count = 1,
	  .on_pool = true,
	  .prepare = remove_all,
	  .run = run_append,
	  .restore = check_all },
};

const size_t bench_ntotals = sizeof(bench_totals) / sizeof(bench_totals[0]);
