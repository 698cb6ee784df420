/* SPDX-License-Identifier: MIT */
/*
 * Shows the results: a table for people, JSON for machines, data sets for gnuplot.
 */
#include "bench.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Mounts of the same thing that differ more than so are marked. */
#define SLOW 1.5

static bool is_first_label(const struct bench *bench, const char *label)
{
	return strcmp(label, bench->targets[0].label) == 0;
}

/* The ratio to the first label: mount by mount, as far as that has as many; 0: none. */
static double ratio_of(const struct bench *bench, const struct row *row,
		       unsigned int target)
{
	unsigned int base = 0;

	for (unsigned int t = 0; t < bench->ntargets; t++)
		if (is_first_label(bench, bench->targets[t].label) &&
		    bench->targets[t].mount <= bench->targets[target].mount)
			base = t;
	if (row->series[base].n == 0)
		return 0;
	return row->series[target].best / row->series[base].best;
}

unsigned int bench_mounts(const struct bench *bench, const char *label)
{
	unsigned int n = 0;

	for (unsigned int t = 0; t < bench->ntargets; t++)
		n += strcmp(bench->targets[t].label, label) == 0;
	return n;
}

/* In eight columns, with three digits that count. */
static void print_time(const struct bench *bench, double ns)
{
	double n = ns / (bench->totals ? 1e6 : 1e3);

	printf(" %7.*f", n < 10 ? 2 : n < 100 ? 1 : 0, n);
}

/* As many columns as print_cell() fills after " | ". */
static int cell_width(const struct bench *bench, const char *label)
{
	bool spread = bench_mounts(bench, label) > 1;
	int width = 23 + (spread ? 2 : 0);

	if (is_first_label(bench, label))
		return width;
	return width + 7 + (spread ? 13 : 0);
}

static void print_label(const struct bench *bench, const char *label)
{
	unsigned int mounts = bench_mounts(bench, label);
	int width = cell_width(bench, label);
	int used = printf(" | %s", label) - 3;

	if (mounts > 1)
		used += printf(" (%u mounts)", mounts);
	printf("%*s", width > used ? width - used : 0, "");
}

static void print_columns(const struct bench *bench, const char *label)
{
	bool spread = bench_mounts(bench, label) > 1;

	printf(" | %7s %7s %7s", "best", "median", "p99");
	if (!is_first_label(bench, label))
		printf(spread ? " %6s   %-10s" : " %6s", "ratio", "(spread)");
	if (spread)
		printf("  ");
}

static void print_head(const struct bench *bench)
{
	printf("%s on CPU %d: mean of the best of %u rounds, ",
	       bench->totals ? "milliseconds for all keys"
			     : "microseconds per operation",
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

/* All mounts of one label. */
struct cell {
	double best[BENCH_MAX_TARGETS], median[BENCH_MAX_TARGETS];
	double p99[BENCH_MAX_TARGETS], ratio[BENCH_MAX_TARGETS];
	unsigned int n;
};

static void fill_cell(const struct bench *bench, const struct row *row,
		      const char *label, struct cell *cell)
{
	cell->n = 0;
	for (unsigned int t = 0; t < bench->ntargets; t++) {
		const struct series *s = &row->series[t];

		if (strcmp(bench->targets[t].label, label) != 0 || s->n == 0)
			continue;
		cell->best[cell->n] = s->best;
		cell->median[cell->n] = s->median;
		cell->p99[cell->n] = s->p99;
		cell->ratio[cell->n++] = ratio_of(bench, row, t);
	}
	sort(cell->best, cell->n);
	sort(cell->median, cell->n);
	sort(cell->p99, cell->n);
	sort(cell->ratio, cell->n);
}

static void print_ratios(const double *ratio, unsigned int n)
{
	char text[32] = "";

	if (ratio[0] != 0 && n > 1)
		snprintf(text, sizeof(text), "%6.2f %6.2f-%.2f", ratio[n / 2],
			 ratio[0], ratio[n - 1]);
	else if (ratio[0] != 0)
		snprintf(text, sizeof(text), "%6.2f", ratio[0]);
	printf(" %-*s", n > 1 ? 19 : 6, text);
}

/* The best of all mounts, medians in the middle, the worst p99. */
static void print_cell(const struct bench *bench, const struct row *row,
		       const char *label)
{
	struct cell cell;

	fill_cell(bench, row, label, &cell);
	printf(" |");
	if (cell.n == 0) {
		printf(" %*s", cell_width(bench, label), "");
		return;
	}
	print_time(bench, cell.best[0]);
	print_time(bench, cell.median[cell.n / 2]);
	print_time(bench, cell.p99[cell.n - 1]);
	if (!is_first_label(bench, label))
		print_ratios(cell.ratio, cell.n);
	if (cell.n > 1)
		printf(cell.best[cell.n - 1] > SLOW * cell.best[0] ? " !"
								   : "  ");
}

static void print_goal(const struct row *row)
{
	if (row->threads == 1 && row->op->goal != 0)
		printf(" | <= %.2f", row->op->goal);
	if (row->threads == 1 && row->op->goal_ms != 0)
		printf(" | <= %.0f ms", row->op->goal_ms);
}

static void print_row(const struct bench *bench, const struct row *row)
{
	printf("%-13s %3u", row->op->id, row->threads);
	for (unsigned int t = 0; t < bench->ntargets; t++)
		if (bench->targets[t].mount == 0)
			print_cell(bench, row, bench->targets[t].label);
	if (bench->goals)
		print_goal(row);
	putchar('\n');
}
/*
 * The machine's noise: how much longer than its best round the typical round of the first
 * directory takes; in the quietest row, the one in the middle and the noisiest.
 */
static void measure_noise(const struct bench *bench, double ret_noise[3])
{
	double *noise = calloc(bench->nrows, sizeof(*noise));
	unsigned int n = 0;

	if (!noise)
		err(1, NULL);
	for (size_t r = 0; r < bench->nrows; r++) {
		const struct series *s = &bench->rows[r].series[0];

		if (s->n > 0)
			noise[n++] = s->typical / s->best;
	}
	sort(noise, n);
	for (unsigned int i = 0; i < 3; i++)
		ret_noise[i] = n > 0 ? noise[(n - 1) * i / 2] : 0;
	free(noise);
}

void bench_print_table(const struct bench *bench)
{
	const char *label = bench->targets[0].label;
	double noise[3];

	print_head(bench);
	for (size_t r = 0; r < bench->nrows; r++)
		print_row(bench, &bench->rows[r]);
	measure_noise(bench, noise);
	printf("noise of the machine: a typical round of '%s' takes %.2f to %.2f times ",
	       label, noise[0], noise[2]);
	printf("as long as its best, mostly %.2f\n", noise[1]);
	if (bench_mounts(bench, label) > 1)
		printf("!: the best rounds of its mounts differ by more than %.1f x\n",
		       SLOW);
}

void bench_print_line(const struct bench *bench)
{
	printf("%-32s", bench->targets[0].label);
	for (size_t r = 0; r < bench->nrows; r++) {
		print_time(bench, bench->rows[r].series[0].best);
		print_time(bench, bench->rows[r].series[0].median);
	}
	printf(" %7u\n", bench->targets[0].listed);
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
	fprintf(f, "\"keys\": %u, \"samples\": %zu, ", t->listed, s->n);
	fprintf(f, "\"best_ns\": %.0f, \"median_ns\": %.0f, ", s->best,
		s->median);
	fprintf(f, "\"p99_ns\": %.0f, \"typical_ns\": %.0f", s->p99,
		s->typical);
	if (ratio_of(bench, row, target) != 0)
		fprintf(f, ", \"ratio\": %.3f", ratio_of(bench, row, target));
	putc('}', f);
}

void bench_write_json(const struct bench *bench)
{
	FILE *f = bench_open_output(bench->json);
	const char *separator = "";
	double noise[3];

	measure_noise(bench, noise);
	fprintf(f, "{\"cpu\": %d, \"rounds\": %u, ", bench->cpu, bench->rounds);
	fprintf(f, "\"noise\": [%.3f, %.3f, %.3f], ", noise[0], noise[1],
		noise[2]);
	fprintf(f, "\"results\": [");
	for (size_t r = 0; r < bench->nrows; r++) {
		for (unsigned int t = 0; t < bench->ntargets; t++) {
			if (bench->rows[r].series[t].n == 0)
				continue;
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

			if (s->n == 0)
				continue;
			fprintf(f, "%u %.3f %.3f %.3f\n",
				bench->targets[t].keys, s->best / 1000,
				s->median / 1000, s->p99 / 1000);
		}
		fprintf(f, "\n\n");
	}
	bench_close_output(f, bench->plot_data);
}
