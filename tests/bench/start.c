/* SPDX-License-Identifier: MIT */
/*
 * How long a file system takes from exec to the first stat through the mount, and its
 * first uses after that. The command stays in the foreground, so that its end is seen.
 */
#include "bench.h"

#include <err.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void unmount(const char *path, pid_t pid)
{
	pid_t child = fork();
	int status = -1;

	if (child == 0) {
		execlp("fusermount3", "fusermount3", "-u", path, NULL);
		_exit(127);
	}
	if (waitpid(child, &status, 0) < 0 || status != 0)
		errx(1, "cannot unmount '%s'", path);
	waitpid(pid, NULL, 0);
}

/* A stat of the directory shows another device as soon as the daemon answers it. */
static pid_t start(const struct bench *bench, struct target *t)
{
	const struct timespec nap = { .tv_nsec = 20000 };
	struct stat before, now;
	pid_t pid;

	if (stat(t->path, &before) != 0)
		err(1, "%s", t->path);
	if (posix_spawnp(&pid, bench->command[0], NULL, NULL, bench->command,
			 environ) != 0)
		errx(1, "cannot run '%s'", bench->command[0]);
	while (stat(t->path, &now) == 0 && now.st_dev == before.st_dev) {
		if (waitpid(pid, NULL, WNOHANG) != 0)
			errx(1, "'%s' was not mounted", t->path);
		nanosleep(&nap, NULL);
	}
	return pid;
}

static void read_keys(const struct bench *bench, const struct target *t,
		      unsigned int first, unsigned int n)
{
	for (unsigned int i = first; i < first + n; i++)
		bench_read(t->fd, bench->names[i]);
}

enum { START, FIRST_READ, LATER_READ, LIST, PHASES };

static const struct op phases[PHASES] = {
	[START] = { .id = "start", .count = 1 },
	[FIRST_READ] = { .id = "first-read", .count = 1 },
	[LATER_READ] = { .id = "later-read", .count = 100 },
	[LIST] = { .id = "list", .count = 1 },
};

/* One life of the file system: a sample of each phase. */
static void live(struct bench *bench, struct target *t)
{
	uint64_t times[PHASES + 1];
	pid_t pid;

	times[START] = bench_now();
	pid = start(bench, t);
	times[FIRST_READ] = bench_now();
	/* Not opendir(2), which makes the listing. */
	t->fd = open(t->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	read_keys(bench, t, 0, 1);
	times[LATER_READ] = bench_now();
	read_keys(bench, t, 1, phases[LATER_READ].count);
	times[LIST] = bench_now();
	t->listed = bench_list(t, NULL);
	times[PHASES] = bench_now();
	close(t->fd);
	unmount(t->path, pid);
	for (unsigned int i = 0; i < PHASES; i++) {
		struct series *s = bench->rows[i].series;

		s->samples[s->n] = (times[i + 1] - times[i]) / phases[i].count;
		s->costs[s->ncosts++] = s->samples[s->n++];
	}
}

void bench_start(struct bench *bench)
{
	bench_pin(bench->cpu);
	bench->nlevels = 1;
	bench_add_rows(bench, phases, PHASES);
	for (unsigned int round = 0; round < bench->rounds; round++)
		live(bench, &bench->targets[0]);
	bench_summarise(bench);
}
