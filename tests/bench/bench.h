/* SPDX-License-Identifier: MIT */
/*
 * The parts of the benchmark program: bench.c reads the command line, prepare.c writes
 * pools and fills directories, ops.c knows what is measured, measure.c runs and times it,
 * totals.c what is measured as a whole, start.c how a file system starts, told.c when its
 * watchers are told, and report.c shows the results. Any failure ends the program with a
 * message: a wrong number is worse than none.
 */
#ifndef BENCH_H
#define BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* CPU affinity */
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "keys.h"

/* Names: the keys, new ones that operations make, and those that are never there. */
#define BENCH_ROOM 64
#define BENCH_FIRST_NEW BENCH_MAX_KEYS
#define BENCH_FIRST_MISSING (BENCH_FIRST_NEW + BENCH_ROOM)
#define BENCH_NAMES (2 * BENCH_MAX_KEYS)
#define BENCH_FAR 1000000 /* no pool has as many keys: those two lie beyond */

#define BENCH_MAX_TARGETS 16
#define BENCH_MAX_THREADS 64
#define BENCH_MAX_LEVELS 4 /* different numbers of threads in one run */
#define BENCH_KEY_SIZE 512 /* of a record; the value follows */
#define BENCH_MAX_VALUE 2048

struct bench;
struct batch;

/* A directory that is measured. */
struct target {
	const char *label;
	const char *path;
	unsigned int
		mount; /* how many targets before this one have its label */
	unsigned int listed; /* keys that are there */
	unsigned int keys;   /* that operations use: the first ones */
	char *pool; /* what is mounted here, a file PATH.pool; or NULL */
	int fd;
};

/*
 * An operation: run does number @i of a batch and is timed; prepare and restore, if any,
 * are called once a batch and are not.
 */
struct op {
	const char *id;
	unsigned int count; /* of operations in a batch */
	bool each_once;	    /* but no more than there are keys */
	bool on_pool;	    /* only where a pool is mounted */
	double goal;	/* of the ratio to the floor with one thread; 0: none */
	double goal_ms; /* of the time; 0: none */
	void (*prepare)(const struct batch *b);
	void (*run)(const struct batch *b, unsigned int i);
	void (*restore)(const struct batch *b);
};

/* One batch of one operation in one directory. */
struct batch {
	const struct bench *bench;
	const struct op *op;
	const struct target *target;
	unsigned int count;
	unsigned int threads;
	const unsigned int *order; /* the target's keys, shuffled */
	uint64_t *samples;	   /* ns of each operation */
};

/*
 * The results of one operation, with one number of threads, in one directory; no samples
 * where it does not apply.
 */
struct series {
	uint64_t *samples; /* ns of each operation of all rounds */
	size_t n;
	uint64_t *costs; /* ns per operation of each round */
	size_t ncosts;
	double best;	/* round */
	double typical; /* round: the one in the middle */
	double median;	/* of the samples */
	double p99;
};

/* One operation with one number of threads in all directories: a row of the table. */
struct row {
	const struct op *op;
	unsigned int threads;
	struct series series[BENCH_MAX_TARGETS];
};

/* The settings of a run, and its results. */
struct bench {
	struct target targets[BENCH_MAX_TARGETS];
	unsigned int ntargets;
	unsigned int threads[BENCH_MAX_LEVELS];
	unsigned int nlevels;
	unsigned int rounds;
	unsigned int repeat; /* how often each batch runs, without a pause */
	int cpu;
	const char *ops; /* comma-separated; NULL: all */
	bool totals;	 /* of bench_totals */
	bool marks;
	bool goals;
	const char *json;
	const char *plot_data;

	bool start; /* measure the command, which mounts the only target */
	char **command;
	bool told; /* measure when changes of the pool are told in the only target */

	const char *pool;
	const char *fill;
	unsigned int keys;
	unsigned long records;
	unsigned int value_size;

	char names[BENCH_NAMES][BENCH_NAME_SIZE];
	char value[BENCH_MAX_VALUE];
	char lines[BENCH_MAX_KEYS * (BENCH_NAME_SIZE + BENCH_VALUE_SIZE + 2)];
	size_t lines_size; /* the keys as lines of .kvpfs/records */
	struct row *rows;
	size_t nrows;
};

extern const struct op bench_ops[];
extern const size_t bench_nops;
extern const struct op bench_totals[];
extern const size_t bench_ntotals;

/* Opens @name in @dir, writes the first @size bytes of bench->value and closes it. */
void bench_put(const struct bench *bench, int dir, const char *name, int flags,
	       size_t size);

/* The same for a key of the usual size, and its removal. */
void bench_create(const struct batch *b, const char *name);
void bench_drop(const struct batch *b, const char *name);

/* Opens, reads and closes. */
void bench_read(int dir, const char *name);

/* Ends the program unless @name is a regular file that is not empty. */
void bench_stat(int dir, const char *name);

/* Lists the directory, calls @visit (if any) for each key, returns how many there are. */
unsigned int bench_list(const struct target *t,
			void (*visit)(int dir, const char *name));

/* The key of a name. */
void bench_decode(const char *name, char *key);

/* Writes bench->pool: a pool file of bench->keys keys. */
void bench_write_pool(const struct bench *bench);

/* Makes the same keys as files of the directory bench->fill. */
void bench_fill_directory(const struct bench *bench);

/* Fills in what is not given, and looks at the keys. */
void bench_open_target(const struct bench *bench, struct target *t);

/* Measures all targets and sets bench->rows. */
void bench_measure(struct bench *bench);

/* The same for starts of bench->command. */
void bench_start(struct bench *bench);

/* The same for events of changes in the pool of the only target. */
void bench_told(struct bench *bench);

/* Rows for @ops, as far as they are wanted; and what their samples come to. */
void bench_add_rows(struct bench *bench, const struct op *ops, size_t nops);
void bench_summarise(struct bench *bench);

uint64_t bench_now(void); /* in ns */
void bench_pin(int cpu);

/* How many targets have this label. */
unsigned int bench_mounts(const struct bench *bench, const char *label);

void bench_print_table(const struct bench *bench);
void bench_print_line(const struct bench *bench);
void bench_write_json(const struct bench *bench);
void bench_write_plot_data(const struct bench *bench);

/* fopen() and fclose() of a file that is written. */
FILE *bench_open_output(const char *path);
void bench_close_output(FILE *f, const char *path);

#endif
