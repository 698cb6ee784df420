/* SPDX-License-Identifier: MIT */
/*
 * bench: what an operation on a key costs, in several directories at once. Each round
 * runs a batch of each operation in each directory in turn, so that a noisy moment of the
 * machine meets all of them and the ratios between them hold. All is divided by the first
 * label; a label that is given again is another mount of the same thing, and the spread
 * between its mounts is shown. Nothing passes or fails by time. run.sh uses this program.
 */
#include "bench.h"

#include <err.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option options[] = {
	{ "json", required_argument, NULL, 'j' },
	{ "plot-data", required_argument, NULL, 'p' },
	{ "rounds", required_argument, NULL, 'r' },
	{ "repeat", required_argument, NULL, 'n' },
	{ "threads", required_argument, NULL, 't' },
	{ "cpu", required_argument, NULL, 'c' },
	{ "ops", required_argument, NULL, 'o' },
	{ "totals", no_argument, NULL, 'T' },
	{ "start", no_argument, NULL, 's' },
	{ "told", no_argument, NULL, 'e' },
	{ "marks", no_argument, NULL, 'm' },
	{ "goals", no_argument, NULL, 'g' },
	{ "pool", required_argument, NULL, 'P' },
	{ "fill", required_argument, NULL, 'F' },
	{ "keys", required_argument, NULL, 'k' },
	{ "records", required_argument, NULL, 'R' },
	{ "value-size", required_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 }
};

static const char usage_text[] =
	"usage: bench [OPTION]... LABEL=DIR...       measures; if there is a file\n"
	"                                            DIR.pool, it is mounted on DIR\n"
	"       bench [OPTION]... --start LABEL=DIR COMMAND...\n"
	"                                            measures what mounts on DIR\n"
	"       bench [OPTION]... --told LABEL=DIR   measures events of changes in DIR\n"
	"       bench [OPTION]... --pool FILE        writes a pool\n"
	"       bench [OPTION]... --fill DIR         makes the same keys as plain files\n"
	"  --rounds N        rounds to measure (15)\n"
	"  --repeat N        runs each batch so often in a row (1)\n"
	"  --threads A,B     numbers of client threads (1,4)\n"
	"  --cpu N           pins to this CPU (the one it runs on)\n"
	"  --ops A,B         only these operations\n"
	"  --totals          the operations on all keys, in milliseconds\n"
	"  --json FILE       results for machines\n"
	"  --plot-data FILE  results for gnuplot\n"
	"  --goals           shows the goals for the ratio to the floor\n"
	"  --marks           statfs before and after each timed batch\n"
	"  --keys N          for --pool and --fill: keys (1024)\n"
	"  --records N       for --pool: records, repeating the keys (as many as keys)\n"
	"  --value-size N    for --pool and --fill: bytes of each value (100)\n";

static unsigned long number(const char *text, unsigned long min,
			    unsigned long max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || (*end != '\0' && *end != ',') || n < min || n > max)
		errx(2, "'%s' is not a number from %lu to %lu", text, min, max);
	return n;
}

static void parse_threads(struct bench *bench, const char *text)
{
	bench->nlevels = 0;
	while (text) {
		if (bench->nlevels == BENCH_MAX_LEVELS)
			errx(2, "more than %d numbers of threads",
			     BENCH_MAX_LEVELS);
		bench->threads[bench->nlevels++] = number(text, 1,
							  BENCH_MAX_THREADS);
		text = strchr(text, ',');
		text = text ? text + 1 : NULL;
	}
}

static void parse_target(struct bench *bench, char *arg)
{
	struct target *t = &bench->targets[bench->ntargets];
	char *separator = strchr(arg, '=');

	if (!separator || strcspn(arg, "\"\\") < strlen(arg))
		errx(2, "'%s' is not LABEL=DIR", arg);
	if (bench->ntargets == BENCH_MAX_TARGETS)
		errx(2, "more than %d directories", BENCH_MAX_TARGETS);
	*separator = '\0';
	t->label = arg;
	t->path = separator + 1;
	t->mount = bench_mounts(bench, arg);
	bench->ntargets++;
}

static void parse_option(struct bench *bench, int opt)
{
	switch (opt) {
	case 'j':
		bench->json = optarg;
		break;
	case 'p':
		bench->plot_data = optarg;
		break;
	case 'r':
		bench->rounds = number(optarg, 1, 10000);
		break;
	case 'n':
		bench->repeat = number(optarg, 1, 10000);
		break;
	case 't':
		parse_threads(bench, optarg);
		break;
	case 'c':
		bench->cpu = number(optarg, 0, CPU_SETSIZE - 1);
		break;
	case 'o':
		bench->ops = optarg;
		break;
	case 'T':
		bench->totals = true;
		break;
	case 's':
		bench->start = true;
		break;
	case 'e':
		bench->told = true;
		break;
	case 'm':
		bench->marks = true;
		break;
	case 'g':
		bench->goals = true;
		break;
	case 'P':
		bench->pool = optarg;
		break;
	case 'F':
		bench->fill = optarg;
		break;
	case 'k':
		bench->keys = number(optarg, 1, 400000);
		break;
	case 'R':
		bench->records = number(optarg, 1, 400000);
		break;
	case 'v':
		bench->value_size = number(optarg, 1, BENCH_MAX_VALUE);
		break;
	default:
		fputs(usage_text, opt == 'h' ? stdout : stderr);
		exit(opt == 'h' ? 0 : 2);
	}
}

static void parse_args(struct bench *bench, int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "+", options, NULL)) != -1)
		parse_option(bench, opt);
	while (optind < argc && !(bench->start && bench->ntargets == 1))
		parse_target(bench, argv[optind++]);
	bench->command = argv + optind;
	if (bench->start && optind >= argc)
		parse_option(bench, '?');
	if (bench->ntargets == 0 && !bench->pool && !bench->fill)
		parse_option(bench, '?');
}

static void measure(struct bench *bench)
{
	if (bench->start) {
		bench_start(bench);
		bench_print_line(bench);
	} else if (bench->told) {
		bench_told(bench);
		bench_print_line(bench);
	} else {
		bench_measure(bench);
		bench_print_table(bench);
	}
	if (bench->json)
		bench_write_json(bench);
	if (bench->plot_data)
		bench_write_plot_data(bench);
}

/* No key or value holds what would need to be escaped in .kvpfs/records. */
static void make_lines(struct bench *bench)
{
	FILE *f = fmemopen(bench->lines, sizeof(bench->lines), "w");

	if (!f)
		err(1, NULL);
	for (unsigned int i = 0; i < BENCH_MAX_KEYS; i++) {
		char key[BENCH_NAME_SIZE];

		bench_decode(bench->names[i], key);
		fprintf(f, "%s=%.*s\n", key, BENCH_VALUE_SIZE, bench->value);
	}
	bench->lines_size = ftell(f);
	bench_close_output(f, "the lines");
}

static struct bench *bench_new(void)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	if (!bench)
		err(1, NULL);
	bench->repeat = 1;
	bench->threads[0] = 1;
	bench->threads[1] = 4;
	bench->nlevels = 2;
	bench->rounds = 15;
	bench->keys = BENCH_MAX_KEYS;
	bench->value_size = BENCH_VALUE_SIZE;
	bench->cpu = sched_getcpu();
	for (unsigned int i = 0; i < BENCH_NAMES; i++)
		bench_key_name(i < BENCH_FIRST_NEW ? i : BENCH_FAR + i,
			       bench->names[i]);
	for (unsigned int i = 0; i < BENCH_MAX_VALUE; i++)
		bench->value[i] = "result=success|duration=0.042|"[i % 30];
	make_lines(bench);
	return bench;
}

static void bench_free(struct bench *bench)
{
	for (size_t r = 0; r < bench->nrows; r++)
		for (unsigned int t = 0; t < bench->ntargets; t++) {
			free(bench->rows[r].series[t].samples);
			free(bench->rows[r].series[t].costs);
		}
	for (unsigned int t = 0; t < bench->ntargets; t++)
		free(bench->targets[t].pool);
	free(bench->rows);
	free(bench);
}

int main(int argc, char **argv)
{
	struct bench *bench = bench_new();

	parse_args(bench, argc, argv);
	if (bench->pool)
		bench_write_pool(bench);
	if (bench->fill)
		bench_fill_directory(bench);
	if (bench->ntargets > 0)
		measure(bench);
	bench_free(bench);
	return 0;
}
