/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "pool_file.h"
#include "pool_names.h"
#include "record.h"
#include "result.h"
#include "store_text.h"

static void numbers_and_names_stand_for_the_same_pools(void)
{
	static const struct {
		const char *pool;
		int number;
	} rows[] = {
		{ "0", 0 },	  { "external", 0 },
		{ "1", 1 },	  { "guest", 1 },
		{ "2", 2 },	  { "auto", 2 },
		{ "3", 3 },	  { "auto-external", 3 },
		{ "4", 4 },	  { "auto-internal", 4 },
		{ "5", -1 },	  { "01", -1 },
		{ "-1", -1 },	  { "", -1 },
		{ "Guest", -1 },  { "guest ", -1 },
		{ "/guest", -1 }, { "11", -1 },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		CHECK_ROW(rows[i].pool,
			  kvp_pool_number(rows[i].pool) == rows[i].number);
}

static void pools_are_called_by_their_names(void)
{
	static const struct {
		const char *path;
		const char *name;
	} rows[] = {
		{ "/var/lib/hyperv/.kvp_pool_0", "external" },
		{ "/elsewhere/.kvp_pool_4", "auto-internal" },
		{ ".kvp_pool_1", "guest" },
		{ "/var/lib/hyperv/.kvp_pool_5", ".kvp_pool_5" },
		{ "/tmp/kvp_pool_1", "kvp_pool_1" },
		{ "/.kvp_pool_1/pool", "pool" },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		CHECK_ROW(rows[i].path,
			  !strcmp(kvp_pool_name(rows[i].path), rows[i].name));
}

static bool resolves(const char *pool, const char *path)
{
	char *found = NULL;
	bool ok = kvp_pool_resolve(pool, &found) == 0 && !strcmp(found, path);

	free(found);
	return ok;
}

static int refusal(const char *pool)
{
	char *found = NULL;

	return kvp_pool_resolve(pool, &found);
}

static void numbers_and_names_are_files_of_the_daemon(void)
{
	CU_ASSERT_TRUE(resolves("3", "/var/lib/hyperv/.kvp_pool_3"));
	CU_ASSERT_TRUE(resolves("guest", "/var/lib/hyperv/.kvp_pool_1"));
	CU_ASSERT_TRUE(
		resolves(KVP_DEFAULT_POOL_NAME, "/var/lib/hyperv/.kvp_pool_1"));
}

static void path_may_name_what_is_not_there(void)
{
	CU_ASSERT_TRUE(resolves("./none", "./none"));
	CU_ASSERT_TRUE(resolves("/none/none", "/none/none"));
	CU_ASSERT_TRUE(resolves(".kvp_pool_9", ".kvp_pool_9"));
}

static void word_that_is_no_file_is_refused(void)
{
	CU_ASSERT_EQUAL(refusal("Guest"), KVP_NO_SUCH_POOL);
	CU_ASSERT_EQUAL(refusal("5"), KVP_NO_SUCH_POOL);
	CU_ASSERT_EQUAL(refusal(""), KVP_NO_SUCH_POOL);
}

static void word_that_is_a_file_is_a_pool_but_for_numbers(void)
{
	store_text_make_file(pool_file_path("Guest"), "a=1");
	store_text_make_file(pool_file_path("7"), "a=1");
	CU_ASSERT_EQUAL(chdir(check_directory()), 0);
	CU_ASSERT_TRUE(resolves("Guest", "Guest"));
	CU_ASSERT_EQUAL(refusal("7"), KVP_NO_SUCH_POOL);
	CU_ASSERT_TRUE(resolves("./7", "./7"));
}

/* A file of SIZE bytes, NUL at NUL_AT if that lies inside. */
static const char *file_of(const char *name, size_t size, size_t nul_at)
{
	const char *path = pool_file_path(name);
	FILE *file = fopen(path, "w");

	for (size_t i = 0; i < size; i++)
		fputc(i == nul_at ? '\0' : 'x', file);
	fclose(file);
	return path;
}

static void file_without_a_nul_in_its_first_record_is_refused(void)
{
	static const struct {
		size_t size;
		size_t nul_at;
		int result;
	} rows[] = {
		{ 0, 0, 0 },
		{ 1, 1, KVP_NOT_A_POOL },
		{ 1, 0, 0 },
		{ KVP_RECORD_SIZE, KVP_RECORD_SIZE, KVP_NOT_A_POOL },
		{ KVP_RECORD_SIZE, KVP_RECORD_SIZE - 1, 0 },
		{ 2 * KVP_RECORD_SIZE, KVP_RECORD_SIZE, KVP_NOT_A_POOL },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *path = file_of("file", rows[i].size,
					   rows[i].nul_at);
		char *found = NULL;

		CU_ASSERT_EQUAL(kvp_pool_resolve(path, &found), rows[i].result);
		free(found);
	}
}

static void file_with_the_name_of_a_pool_is_taken_as_it_is(void)
{
	const char *path = file_of(".kvp_pool_x", 10, 10);

	CU_ASSERT_TRUE(resolves(path, path));
}

static void reason_is_in_words(void)
{
	char buf[128];

	CU_ASSERT_STRING_EQUAL(kvp_pool_reason(-EINVAL, buf, sizeof(buf)),
			       "not a regular file");
	CU_ASSERT_STRING_EQUAL(kvp_pool_reason(-EFBIG, buf, sizeof(buf)),
			       "larger than 1 GiB");
	CU_ASSERT_STRING_EQUAL(
		kvp_pool_reason(KVP_READ_ONLY, buf, sizeof(buf)),
		"no permission to write the pool, or it is read-only");
	CU_ASSERT_STRING_EQUAL(kvp_pool_reason(-EACCES, buf, sizeof(buf)),
			       strerror(EACCES));
}

static const struct check_case cases[] = {
	CHECK_CASE(numbers_and_names_stand_for_the_same_pools),
	CHECK_CASE(pools_are_called_by_their_names),
	CHECK_CASE(numbers_and_names_are_files_of_the_daemon),
	CHECK_CASE(path_may_name_what_is_not_there),
	CHECK_CASE(word_that_is_no_file_is_refused),
	CHECK_CASE(word_that_is_a_file_is_a_pool_but_for_numbers),
	CHECK_CASE(file_without_a_nul_in_its_first_record_is_refused),
	CHECK_CASE(file_with_the_name_of_a_pool_is_taken_as_it_is),
	CHECK_CASE(reason_is_in_words),
};

CHECK_MAIN("pool_names", cases)
