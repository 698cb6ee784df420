/* SPDX-License-Identifier: MIT */
/*
 * What every CUnit program of the tests shares: a table of cases, and a main that
 * runs them and fails if any assertion did.
 *
 *	static const struct check_case cases[] = { CHECK_CASE(name), ... };
 *	CHECK_MAIN("module", cases)
 */
#ifndef CHECK_H
#define CHECK_H

#include <CUnit/Basic.h>
#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

struct check_case {
	const char *name;
	void (*run)(void);
};

#define CHECK_CASE(function)        \
	{                           \
#function, function \
	}

#define CHECK_MAIN(suite, cases)                              \
	int main(void)                                        \
	{                                                     \
		return check_run(suite, cases, COUNT(cases)); \
	}

/*
 * Runs COUNT cases; an exit status. What automake counts, each case and those that
 * were skipped, is said in TAP behind CUnit's own summary.
 */
int check_run(const char *suite, const struct check_case *cases, size_t count);

/* The case that runs cannot do what it should, for this reason; it goes on. */
void check_skip(const char *reason);

/* The bytes of a string literal or another string. */
struct kvp_bytes check_bytes(const char *text);

/* COUNT times C; static memory, good until the 8th call after this one. */
struct kvp_bytes check_repeat(char c, size_t count);

/* Calls CHECK for each text of 1 to LONGEST (at most 7) characters of ALPHABET. */
void check_each_text(const char *alphabet, size_t longest,
		     void (*check)(const char *text));

/* An empty directory that is removed when the program ends; "/tmp/..." */
const char *check_directory(void);

#define CHECK_BYTES_EQUAL(actual, expected) \
	CU_ASSERT_TRUE(kvp_bytes_equal(actual, expected))

/* As CU_ASSERT_TRUE, but names the ROW of a table that CONDITION is about. */
#define CHECK_ROW(row, condition) \
	check_row(condition, #condition, row, __FILE__, __LINE__)

void check_row(bool ok, const char *condition, const char *row,
	       const char *file, unsigned int line);

/* A number below BELOW; each run of a program gets the same ones. */
unsigned int check_random(unsigned int below);

#endif
