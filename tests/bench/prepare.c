/* SPDX-License-Identifier: MIT */
/*
 * Makes the keys that are measured: as a pool file, which has records of a 512-byte key
 * and a 2048-byte value, both filled up with NULs, or as plain files.
 */
#include "bench.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Every %2F is a '/'. */
void bench_decode(const char *name, char *key)
{
	while (*name) {
		if (strncmp(name, "%2F", 3) == 0) {
			*key++ = '/';
			name += 3;
			continue;
		}
		*key++ = *name++;
	}
	*key = '\0';
}

/* More records than keys repeat the keys, as in a pool that is only ever appended to. */
void bench_write_pool(const struct bench *bench)
{
	FILE *f = bench_open_output(bench->pool);
	unsigned long records = bench->records ? bench->records : bench->keys;

	for (unsigned long i = 0; i < records; i++) {
		char record[BENCH_KEY_SIZE + BENCH_MAX_VALUE] = "";
		char name[BENCH_NAME_SIZE];

		bench_key_name(i % bench->keys, name);
		bench_decode(name, record);
		memcpy(record + BENCH_KEY_SIZE, bench->value,
		       bench->value_size);
		fwrite(record, sizeof(record), 1, f);
	}
	bench_close_output(f, bench->pool);
}

void bench_fill_directory(const struct bench *bench)
{
	int dir = open(bench->fill, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		err(1, "%s", bench->fill);
	for (unsigned int i = 0; i < bench->keys; i++) {
		char name[BENCH_NAME_SIZE];

		bench_key_name(i, name);
		bench_put(bench, dir, name, O_CREAT | O_TRUNC,
			  bench->value_size);
	}
	close(dir);
}
