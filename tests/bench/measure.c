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
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* The part of a batch that one thread does: operations first, first + threads, ... */
struct share {
	struct batch *batch;
	pthread_barrier_t *barrier;
	unsigned int first;
	uint64_t start;
	uint64_t end;
};

uint64_t bench_now(void)
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
	share->start = bench_now();
	before = share->start;
	for (unsigned int i = share->first; i < b->count; i += b->threads) {
		uint64_t after;

		b->op->run(b, i);
		after = bench_now();
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

/*
 * Its caches were others' meanwhile, and a batch may be of one operation only. Whether
 * the keys are there does not matter.
 */
static void wake_up(const struct batch *b)
{
	struct stat st;

	for (unsigned int i = 0; i < 8; i++)
		(void)fstatat(b->target->fd,
			      b->bench->names[b->order[i % b->target->keys]],
			      &st, AT_SYMLINK_NOFOLLOW);
}

static bool applies(const struct op *op, const struct target *t)
{
	return !op->on_pool || t->pool;
}

/* Runs a batch once and returns the ns that it took. */
static uint64_t run_once(struct batch *b)
{
	uint64_t ns;

	if (b->op->prepare)
		b->op->prepare(b);
	wake_up(b);
	mark(b);
	ns = run_timed(b);
	mark(b);
	if (b->op->restore)
		b->op->restore(b);
	return ns;
}

/*
 * Round 0 warms up: its samples are overwritten by those of the next. Of a batch that is
 * repeated the last samples stay, and what all of them cost.
 */
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
	uint64_t ns = 0;

	if (!applies(row->op, t))
		return;
	/* Another order for each row: what one row made is at the end of the pool. */
	shuffle(order, t->keys, round * bench->nrows + (row - bench->rows));
	for (unsigned int i = 0; i < bench->repeat; i++)
		ns += run_once(&b);
	if (round == 0)
		return;
	series->n += b.count;
	series->costs[series->ncosts++] = ns / b.count / bench->repeat;
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

static uint64_t *new_times(size_t n)
{
	uint64_t *times = calloc(n, sizeof(*times));

	if (!times)
		err(1, NULL);
	return times;
}

static void add_row(struct bench *bench, const struct op *op,
		    unsigned int threads)
{
	struct row *row = &bench->rows[bench->nrows++];

	row->op = op;
	row->threads = threads;
	for (unsigned int t = 0; t < bench->ntargets; t++) {
		size_t n = batch_size(op, &bench->targets[t], threads);

		if (!applies(op, &bench->targets[t]))
			continue;
		row->series[t].samples = new_times(bench->rounds * n);
		row->series[t].costs = new_times(bench->rounds);
	}
}

void bench_add_rows(struct bench *bench, const struct op *ops, size_t nops)
{
	bench->rows = calloc(nops * bench->nlevels, sizeof(*bench->rows));
	if (!bench->rows)
		err(1, NULL);
	for (unsigned int l = 0; l < bench->nlevels; l++)
		for (const struct op *op = ops; op < ops + nops; op++)
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

static void summarise(struct series *s)
{
	if (s->n == 0)
		return;
	qsort(s->costs, s->ncosts, sizeof(*s->costs), compare);
	s->best = s->costs[0];
	s->typical = s->costs[s->ncosts / 2];
	qsort(s->samples, s->n, sizeof(*s->samples), compare);
	s->median = s->samples[s->n / 2];
	s->p99 = s->samples[s->n * 99 / 100];
}

void bench_summarise(struct bench *bench)
{
	for (size_t r = 0; r < bench->nrows; r++)
		for (unsigned int t = 0; t < bench->ntargets; t++)
			summarise(&bench->rows[r].series[t]);
}

/* Where there is a file PATH.pool, that is what is mounted on PATH. */
static void find_pool(struct target *t)
{
	if (asprintf(&t->pool, "%s.pool", t->path) < 0)
		err(1, NULL);
	if (access(t->pool, F_OK) == 0)
		return;
	free(t->pool);
	t->pool = NULL;
}

void bench_open_target(const struct bench *bench, struct target *t)
{
	t->fd = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->fd < 0)
		err(1, "%s", t->path);
	find_pool(t);
	t->listed = bench_list(t, NULL);
	t->keys = t->listed < BENCH_MAX_KEYS ? t->listed : BENCH_MAX_KEYS;
	if (t->keys == 0)
		errx(1, "%s: no keys", t->path);
	for (unsigned int i = 0; i < t->keys; i++)
		bench_stat(t->fd, bench->names[i]);
}

/* A wake-up across CPUs costs more than all that is measured here, and varies more. */
void bench_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		err(1, "cannot run on CPU %d", cpu);
}

void bench_measure(struct bench *bench)
{
	bench_pin(bench->cpu);
	for (unsigned int t = 0; t < bench->ntargets; t++)
		bench_open_target(bench, &bench->targets[t]);
	if (bench->totals)
		bench_add_rows(bench, bench_totals, bench_ntotals);
	else
		bench_add_rows(bench, bench_ops, bench_nops);
	for (unsigned int round = 0; round <= bench->rounds; round++)
		for (size_t r = 0; r < bench->nrows; r++)
			run_row(bench, &bench->rows[r], round);
	bench_summarise(bench);
}
