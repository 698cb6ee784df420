/* SPDX-License-Identifier: MIT */
/*
 * How long it takes from another program's write to a pool, which has been left alone for
 * a moment, until inotify tells of it in the mount.
 */
#include "bench.h"

#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#define RECORD_SIZE (BENCH_KEY_SIZE + BENCH_MAX_VALUE)

/* The caches have other things to hold by then, and the agent sleeps. */
#define REST_MS 60

/* Two events for a change: the second one must not be taken for the next change. */
#define EVENTS (IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE)

/* No longer than this, or nobody tells. */
#define PATIENCE_MS 10000

static void rest(void)
{
	const struct timespec time = { .tv_nsec = REST_MS * 1000000L };

	nanosleep(&time, NULL);
}

/* Sets the value of record @i as the KVP daemon does; returns when it began to write. */
static uint64_t change(const char *pool, unsigned int i, unsigned int round)
{
	char value[BENCH_MAX_VALUE] = "";
	int fd = open(pool, O_RDWR | O_CLOEXEC);
	off_t offset = (off_t)i * RECORD_SIZE + BENCH_KEY_SIZE;
	uint64_t start;

	if (fd < 0 || flock(fd, LOCK_EX) != 0)
		err(1, "%s", pool);
	snprintf(value, sizeof(value), "value number %u of this key", round);
	start = bench_now();
	if (pwrite(fd, value, sizeof(value), offset) != (ssize_t)sizeof(value))
		err(1, "%s", pool);
	close(fd);
	return start;
}

static void drain(int inotify)
{
	char events[4096];

	while (read(inotify, events, sizeof(events)) > 0)
		;
}

static const struct op told = { .id = "told", .count = 1 };

void bench_told(struct bench *bench)
{
	struct target *t = &bench->targets[0];
	struct pollfd inotify = { .events = POLLIN };

	bench->nlevels = 1;
	bench_add_rows(bench, &told, 1);
	bench_open_target(bench, t);
	if (!t->pool)
		errx(1, "'%s': no pool whose records could be changed",
		     t->path);
	inotify.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (inotify_add_watch(inotify.fd, t->path, EVENTS) < 0)
		err(1, "%s", t->path);
	for (unsigned int round = 0; round < bench->rounds; round++) {
		struct series *s = &bench->rows[0].series[0];
		uint64_t start;

		rest();
		drain(inotify.fd);
		start = change(t->pool,
			       (unsigned int)bench_mix(round) % t->listed,
			       round);
		if (poll(&inotify, 1, PATIENCE_MS) != 1)
			errx(1, "'%s' was not told of", t->pool);
		s->samples[s->n] = bench_now() - start;
		s->costs[s->ncosts++] = s->samples[s->n++];
	}
	close(inotify.fd);
	bench_summarise(bench);
}
