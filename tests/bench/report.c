/* SPDX-License-Identifier: MIT */
/*
 * Shows the results: a table for people, JSON for machines, data sets for gnuplot.
 */
#include "bench.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_first_label(const struct bench *bench, const char *label)
{
	return strcmp(label, bench->targets[0].label) == 0;
}

/* The ratio to the first label: mount by mount, as far as that has as many. */
static double ratio_of(const struct bench *bench, const struct row *row,
		       unsigned int target)
{
	unsigned int base = 0;

	for (unsigned int t = 0; t < bench->ntargets; t++)
		if (is_first_label(bench, bench->targets[t].label) &&
		    bench->targets[t].mount <= bench->targets[target].mount)
			base = t;
	return row->series[target].best / row->series[base].best;
}

unsigned int bench_mounts(const struct bench *bench, const char *label)
{
	unsigned int n = 0;

	for (unsigned int t = 0; t < bench->ntargets; t++)
		n += strcmp(bench->targets[t].label, label) == 0;
	return n;
}

/* Microseconds, in eight columns, with three digits that count. */
static void print_us(double ns)
{
	double us = ns / 1000;

	printf(" %7.*f", us < 10 ? 2 : us < 100 ? 1 : 0, us);
}

/* The name of a label, over columns as wide as those of print_cell(). */
static void print_label(const struct bench *bench, const char *label)
{
	unsigned int mounts = bench_mounts(bench, label);
	int width = is_first_label(bench, label) ? 23 : mounts > 1 ? 43 : 30;

	if (mounts > 1)
		width -= printf(" | %s (%u mounts)", label, mounts) - 3;
	else
		width -= printf(" | %s", label) - 3;
	printf("%*s", width > 0 ? width : 0, "");
}

static void print_columns(const struct bench *bench, const char *label)
{
	printf(" | %7s %7s %7s", "best", "median", "p99");
	if (is_first_label(bench, label))
		return;
	printf(" %6s", "ratio");
	if (bench_mounts(bench, label) > 1)
		printf(" %-12s", " (spread)");
}

static void print_head(const struct bench *bench)
{
	printf("microseconds per operation on CPU %d: mean of the best of %u rounds, ",
	       bench->cpu, bench->rounds);
	printf("median and p99 of all\n%-17s", "");
	for (unsigned int t = 0; t < bench->ntargets; t++)
		if (bench->targets[t].mount == 0)
			print_label(bench, bench->targets[t].label);
	printf("\n%-13s thr", "operation");
	for (unsigned int t = 0; t < bench->ntargets; t++)
		if (bench->targets[t].mount == 0)
			print_columns(bench, bench->targets[t].label);
	puts(bench->goals ? " | goal" : "");
}

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static void sort(double *values, unsigned int n)
{
	qsort(values, n, sizeof(*values), compare_double);
}

/* All mounts of one label: the best of them, medians in the middle, the worst p99. */
static void print_cell(const struct bench *bench, const struct row *row,
		       const char *label)
{
	double best[BENCH_MAX_TARGETS], median[BENCH_MAX_TARGETS];
	double p99[BENCH_MAX_TARGETS], ratio[BENCH_MAX_TARGETS];
	unsigned int n = 0;

	for (unsigned int t = 0; t < bench->ntargets; t++) {
		if (strcmp(bench->targets[t].label, label) != 0)
			continue;
		best[n] = row->series[t].best;
		median[n] = row->series[t].median;
		p99[n] = row->series[t].p99;
		ratio[n++] = ratio_of(bench, row, t);
	}
	sort(best, n);
	sort(median, n);
	sort(p99, n);
	sort(ratio, n);
	printf(" |");
	print_us(best[0]);
	print_us(median[n / 2]);
	print_us(p99[n - 1]);
	if (is_first_label(bench, label))
		return;
	printf(" %6.2f", ratio[n / 2]);
	if (n > 1)
		printf(" %6.2f-%-5.2f", ratio[0], ratio[n - 1]);
}

static void print_row(const struct bench *bench, const struct row *row)
{
	printf("%-13s %3u", row->op->id, row->threads);
	for (unsigned int t = 0; t < bench->ntargets; t++)
		if (bench->targets[t].mount == 0)
			print_cell(bench, row, bench->targets[t].label);
	if (bench->goals && row->op->goal != 0 && row->threads == 1)
		printf(" | <= %.2f", row->op->goal);
	putchar('\n');
}

void bench_print_table(const struct bench *bench)
{
	print_head(bench);
	for (size_t r = 0; r < bench->nrows; r++)
		print_row(bench, &bench->rows[r]);
}

FILE *bench_open_output(const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f)
		err(1, "%s", path);
	return f;
}

void bench_close_output(FILE *f, const char *path)
{
	if (ferror(f) || fclose(f) != 0)
		err(1, "%s", path);
}

static void write_json_result(const struct bench *bench, FILE *f,
			      const struct row *row, unsigned int target)
{
	const struct target *t = &bench->targets[target];
	const struct series *s = &row->series[target];

	fprintf(f, "{\"op\": \"%s\", \"threads\": %u, ", row->op->id,
		row->threads);
	fprintf(f, "\"label\": \"%s\", \"mount\": %u, ", t->label, t->mount);
	fprintf(f, "\"keys\": %u, \"samples\": %zu, ", t->keys, s->n);
	fprintf(f, "\"best_ns\": %.0f, \"median_ns\": %.0f, ", s->best,
		s->median);
	fprintf(f, "\"p99_ns\": %.0f, ", s->p99);
	fprintf(f, "\"ratio\": %.3f}", ratio_of(bench, row, target));
}

void bench_write_json(const struct bench *bench)
{
	FILE *f = bench_open_output(bench->json);
	const char *separator = "";

	fprintf(f, "{\"cpu\": %d, \"rounds\": %u, ", bench->cpu, bench->rounds);
	fprintf(f, "\"results\": [");
	for (size_t r = 0; r < bench->nrows; r++) {
		for (unsigned int t = 0; t < bench->ntargets; t++) {
			fprintf(f, "%s\n", separator);
			write_json_result(bench, f, &bench->rows[r], t);
			separator = ",";
		}
	}
	fprintf(f, "\n]}\n");
	bench_close_output(f, bench->json);
}

/* A data set per row: its title, then keys, best, median, p99 (in us) per directory. */
void bench_write_plot_data(const struct bench *bench)
{
	FILE *f = bench_open_output(bench->plot_data);

	for (size_t r = 0; r < bench->nrows; r++) {
		const struct row *row = &bench->rows[r];

		fprintf(f, "\"%s\"\n", row->op->id);
		for (unsigned int t = 0; t < bench->ntargets; t++) {
			const struct series *s = &row->series[t];

			fprintf(f, "%u %.3f %.3f %.3f\n",
				bench->targets[t].keys, s->best / 1000,
				s->median / 1000, s->p99 / 1000);
		}
		fprintf(f, "\n\n");
	}
	bench_close_output(f, bench->plot_data);
}
