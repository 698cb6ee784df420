/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Why cases of these names were skipped. */
static struct {
	const char *name;
	const char *reason;
} skipped[64];
static size_t skipped_count;

void check_skip(const char *reason)
{
	if (skipped_count == COUNT(skipped))
		abort();
	skipped[skipped_count].name = CU_get_current_test()->pName;
	skipped[skipped_count++].reason = reason;
	CU_PASS("skipped");
}

static const char *why_skipped(const char *name)
{
	for (size_t i = 0; i < skipped_count; i++)
		if (!strcmp(skipped[i].name, name))
			return skipped[i].reason;
	return NULL;
}

static bool has_failed(const char *name)
{
	const CU_FailureRecord *failure = CU_get_failure_list();

	while (failure && strcmp(failure->pTest->pName, name))
		failure = failure->pNext;
	return failure;
}

static void print_tap(const struct check_case *cases, size_t count)
{
	printf("\n1..%zu\n", count);
	for (size_t i = 0; i < count; i++) {
		const char *reason = why_skipped(cases[i].name);

		printf("%sok %zu - %s%s%s\n",
		       has_failed(cases[i].name) ? "not " : "", i + 1,
		       cases[i].name, reason ? " # SKIP " : "",
		       reason ? reason : "");
	}
}

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
	print_tap(cases, count);
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

/* The NUMBERth text of LEN characters of ALPHABET. */
static void spell(const char *alphabet, size_t number, char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		text[i] = alphabet[number % strlen(alphabet)];
		number /= strlen(alphabet);
	}
	text[len] = '\0';
}

void check_each_text(const char *alphabet, size_t longest,
		     void (*check)(const char *text))
{
	size_t count = 1;
	char text[8];

	for (size_t len = 1; len <= longest; len++) {
		count *= strlen(alphabet);
		for (size_t i = 0; i < count; i++) {
			spell(alphabet, i, text, len);
			check(text);
		}
	}
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
