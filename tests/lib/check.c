/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int check_run(const char *suite, const struct check_case *cases, size_t count)
{
	CU_pSuite registered;
	unsigned int failures;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return EXIT_FAILURE;
	registered = CU_add_suite(suite, NULL, NULL);
	if (!registered)
		return EXIT_FAILURE;
	for (size_t i = 0; i < count; i++)
		if (!CU_add_test(registered, cases[i].name, cases[i].run))
			return EXIT_FAILURE;
	CU_basic_set_mode(CU_BRM_VERBOSE);
	if (CU_basic_run_tests() != CUE_SUCCESS)
		return EXIT_FAILURE;
	failures = CU_get_number_of_failures() +
		   CU_get_number_of_suites_failed();
	CU_cleanup_registry();
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

struct kvp_bytes check_bytes(const char *text)
{
	return (struct kvp_bytes){ text, strlen(text) };
}

struct kvp_bytes check_repeat(char c, size_t count)
{
	static char texts[8][4096];
	static unsigned int turn;
	char *text = texts[turn++ % 8];

	if (count > sizeof(texts[0]))
		abort();
	memset(text, c, count);
	return (struct kvp_bytes){ text, count };
}

static char directory[] = "/tmp/kvpfs-check-XXXXXX";
static pid_t owner;

static void remove_directory(void)
{
	DIR *dir;
	struct dirent *entry;

	if (getpid() != owner)
		return;
	dir = opendir(directory);
	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	rmdir(directory);
}

const char *check_directory(void)
{
	if (!owner) {
		if (!mkdtemp(directory))
			abort();
		owner = getpid();
		atexit(remove_directory);
	}
	return directory;
}

void check_row(bool ok, const char *condition, const char *row,
	       const char *file, unsigned int line)
{
	char text[256];

	snprintf(text, sizeof(text), "%s: %s", row, condition);
	CU_assertImplementation(ok, line, text, file, "", CU_FALSE);
}

unsigned int check_random(unsigned int below)
{
	static uint32_t state = 2463534242; /* Marsaglia's xorshift */

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state % below;
}
