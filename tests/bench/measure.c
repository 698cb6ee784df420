/* SPDX-License-Identifier: MIT */
/*
 * Runs batches of operations in one or more threads, round by round through all
 * directories, and keeps the time of each operation.
 */
#include "bench.h"

#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

/* The part of a batch that one thread does: operations first, first + threads, ... */
struct share {
	struct batch *batch;
	pthread_barrier_t *barrier;
	unsigned int first;
	uint64_t start;
	uint64_t end;
};

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void *work(void *arg)
{
	struct share *share = arg;
	struct batch *b = share->batch;
	uint64_t before;

	if (b->threads > 1)
		pthread_barrier_wait(share->barrier);
	share->start = now();
	before = share->start;
	for (unsigned int i = share->first; i < b->count; i += b->threads) {
		uint64_t after;

		b->op->run(b, i);
		after = now();
		b->samples[i] = after - before;
		before = after;
	}
	share->end = before;
	return NULL;
}

/* Runs the operations of a batch and returns the ns that the whole took. */
static uint64_t run_timed(struct batch *b)
{
	struct share shares[BENCH_MAX_THREADS];
	pthread_t threads[BENCH_MAX_THREADS];
	pthread_barrier_t barrier;
	uint64_t start = UINT64_MAX;
	uint64_t end = 0;

	pthread_barrier_init(&barrier, NULL, b->threads);
	for (unsigned int t = 0; t < b->threads; t++)
		shares[t] = (struct share){ .batch = b,
					    .barrier = &barrier,
					    .first = t };
	for (unsigned int t = 1; t < b->threads; t++)
		if (pthread_create(&threads[t], NULL, work, &shares[t]) != 0)
			errx(1, "cannot start a thread");
	work(&shares[0]);
	for (unsigned int t = 1; t < b->threads; t++)
		pthread_join(threads[t], NULL);
	pthread_barrier_destroy(&barrier);

	for (unsigned int t = 0; t < b->threads; t++) {
		start = shares[t].start < start ? shares[t].start : start;
		end = shares[t].end > end ? shares[t].end : end;
	}
	return end - start;
}

/* No operation asks for STATFS, so in a daemon's debug log it frames the timed parts. */
static void mark(const struct batch *b)
{
	struct statvfs st;

	if (b->bench->marks)
		fstatvfs(b->target->fd, &st);
}

/* The same order in all directories with as many keys. */
static void shuffle(unsigned int *order, unsigned int n, unsigned int seed)
{
	for (unsigned int i = 0; i < n; i++) {
		unsigned int j = bench_mix((uint64_t)seed << 32 | i) % (i + 1);

		if (j != i)
			order[i] = order[j];
		order[j] = i;
	}
}

static unsigned int batch_size(const struct op *op, const struct target *t,
			       unsigned int threads)
{
	unsigned int count = op->count < threads ? threads : op->count;

	return op->each_once && count > t->keys ? t->keys : count;
}

/* Its caches were others' meanwhile, and a batch may be of one operation only. */
static void wake_up(const struct batch *b)
{
	for (unsigned int i = 0; i < 8; i++)
		bench_stat(b->target->fd,
			   b->bench->names[b->order[i % b->target->keys]]);
}

/* Round 0 warms up: its samples are overwritten by those of the next. */
static void run_batch(const struct bench *bench, struct row *row,
		      unsigned int target, unsigned int round)
{
	const struct target *t = &bench->targets[target];
	struct series *series = &row->series[target];
	unsigned int order[BENCH_MAX_KEYS];
	struct batch b = {
		.bench = bench,
		.op = row->op,
		.target = t,
		.count = batch_size(row->op, t, row->threads),
		.threads = row->threads,
		.order = order,
		.samples = series->samples + series->n,
	};
	double cost;

	/* Another order for each row: what one row made is at the end of the pool. */
	shuffle(order, t->keys, round * bench->nrows + (row - bench->rows));
	if (b.op->prepare)
		b.op->prepare(&b);
	wake_up(&b);
	mark(&b);
	cost = (double)run_timed(&b) / b.count;
	mark(&b);
	if (b.op->restore)
		b.op->restore(&b);
	if (round == 0)
		return;
	series->n += b.count;
	if (series->best == 0 || cost < series->best)
		series->best = cost;
}

/* One batch in each directory; another one goes first in each round. */
static void run_row(const struct bench *bench, struct row *row,
		    unsigned int round)
{
	for (unsigned int t = 0; t < bench->ntargets; t++)
		run_batch(bench, row, (t + round) % bench->ntargets, round);
}

static bool is_wanted(const char *list, const char *id)
{
	size_t len = strlen(id);

	while (list) {
		if (strncmp(list, id, len) == 0 &&
		    (list[len] == ',' || !list[len]))
			return true;
		list = strchr(list, ',');
		list = list ? list + 1 : NULL;
	}
	return false;
}

static void add_row(struct bench *bench, const struct op *op,
		    unsigned int threads)
{
	struct row *row = &bench->rows[bench->nrows++];

	row->op = op;
	row->threads = threads;
	for (unsigned int t = 0; t < bench->ntargets; t++) {
		size_t n = batch_size(op, &bench->targets[t], threads);

		row->series[t].samples = calloc(bench->rounds * n,
						sizeof(uint64_t));
		if (!row->series[t].samples)
			err(1, NULL);
	}
}

static void add_rows(struct bench *bench)
{
	bench->rows = calloc(bench_nops * bench->nlevels, sizeof(*bench->rows));
	if (!bench->rows)
		err(1, NULL);
	for (unsigned int l = 0; l < bench->nlevels; l++)
		for (const struct op *op = bench_ops;
		     op < bench_ops + bench_nops; op++)
			if (!bench->ops || is_wanted(bench->ops, op->id))
				add_row(bench, op, bench->threads[l]);
	if (bench->nrows == 0)
		errx(2, "no operation is called '%s'", bench->ops);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void summarise(const struct bench *bench, struct row *row)
{
	for (unsigned int t = 0; t < bench->ntargets; t++) {
		struct series *s = &row->series[t];

		qsort(s->samples, s->n, sizeof(*s->samples), compare);
		s->median = s->samples[s->n / 2];
		s->p99 = s->samples[s->n * 99 / 100];
	}
}

static void open_target(struct bench *bench, struct target *t)
{
	t->fd = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->fd < 0)
		err(1, "%s", t->path);
	t->keys = bench_list(t, NULL);
	if (t->keys == 0 || t->keys > BENCH_MAX_KEYS)
		errx(1, "%s: %u keys, not 1 to %d", t->path, t->keys,
		     BENCH_MAX_KEYS);
	for (unsigned int i = 0; i < t->keys; i++)
		bench_stat(t->fd, bench->names[i]);
}

/* A wake-up across CPUs costs more than all that is measured here, and varies more. */
static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		err(1, "cannot run on CPU %d", cpu);
}

void bench_measure(struct bench *bench)
{
	pin(bench->cpu);
	for (unsigned int t = 0; t < bench->ntargets; t++)
		open_target(bench, &bench->targets[t]);
	add_rows(bench);
	for (unsigned int round = 0; round <= bench->rounds; round++)
		for (size_t r = 0; r < bench->nrows; r++)
			run_row(bench, &bench->rows[r], round);
	for (size_t r = 0; r < bench->nrows; r++)
		summarise(bench, &bench->rows[r]);
}
