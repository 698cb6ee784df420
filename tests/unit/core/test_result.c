/* SPDX-License-Identifier: MIT */
#include "result.h"

#include <errno.h>
#include <string.h>

#include "check.h"

static const struct kvp_numbers numbers = { .max = 254, .actual = 300 };

static const struct {
	int code;
	int errnum;
	const char *message;
} refusals[] = {
	{ KVP_EMPTY_KEY, EINVAL, "key is empty" },
	{ KVP_KEY_CONTAINS_NUL, EINVAL, "key contains a NUL byte" },
	{ KVP_KEY_TOO_LARGE, ENAMETOOLONG,
	  "key length (300) exceeds maximum (254)" },
	{ KVP_VALUE_TOO_LARGE, EFBIG,
	  "value length (300) exceeds maximum (254)" },
	{ KVP_VALUE_CONTAINS_NUL, EINVAL,
	  "value contains a NUL byte or a hole" },
	{ KVP_NOT_UTF8, EILSEQ, "key or value is not UTF-8" },
	{ KVP_MAX_UNIQUE_KEYS, ENOSPC,
	  "number of keys would exceed maximum (254)" },
	{ KVP_LOCKED, EBUSY, "pool is locked by another process" },
	{ KVP_READ_ONLY, EROFS, "pool is read-only" },
	{ KVP_UNTRUSTED_LINK, ELOOP,
	  "pool is a symbolic link in a directory that others may write to" },
	{ KVP_UNSUPPORTED, EPERM, "a pool has no such thing" },
	{ KVP_NOT_WRITABLE, EACCES, "file cannot be written" },
	{ KVP_ABSENT, ENOENT, "key does not exist" },
	{ KVP_EXISTS, EEXIST, "key exists" },
};

#define COUNT (sizeof(refusals) / sizeof(*refusals))

static void each_refusal_has_its_errno(void)
{
	for (size_t i = 0; i < COUNT; i++)
		CHECK_ROW(refusals[i].message,
			  kvp_result_errno(refusals[i].code) ==
				  refusals[i].errnum);
}

static void each_refusal_has_its_message_with_its_numbers(void)
{
	for (size_t i = 0; i < COUNT; i++) {
		char buf[128];

		CHECK_ROW(refusals[i].message,
			  kvp_result_message(refusals[i].code, numbers, buf,
					     sizeof(buf)) == buf);
		CHECK_ROW(refusals[i].message,
			  !strcmp(buf, refusals[i].message));
	}
}

static void each_refusal_is_positive_and_no_other(void)
{
	for (size_t i = 0; i < COUNT; i++) {
		CU_ASSERT_TRUE(refusals[i].code > 0);
		for (size_t j = 0; j < i; j++)
			CU_ASSERT_NOT_EQUAL(refusals[i].code, refusals[j].code);
	}
}

static void success_is_errno_0(void)
{
	char buf[128];

	CU_ASSERT_EQUAL(kvp_result_errno(0), 0);
	CU_ASSERT_STRING_EQUAL(kvp_result_message(0, numbers, buf, sizeof(buf)),
			       strerror(0));
}

static void negative_results_are_system_errors(void)
{
	static const int errnums[] = { EIO,    ENOSPC, EINTR, ENOMEM,
				       EACCES, EBUSY,  EINVAL };

	for (size_t i = 0; i < sizeof(errnums) / sizeof(*errnums); i++) {
		char buf[128];

		CU_ASSERT_EQUAL(kvp_result_errno(-errnums[i]), errnums[i]);
		kvp_result_message(-errnums[i], numbers, buf, sizeof(buf));
		CU_ASSERT_STRING_EQUAL(buf, strerror(errnums[i]));
	}
}

static void messages_are_cut_to_the_buffer(void)
{
	static const struct {
		int result;
		size_t size;
		const char *message;
	} rows[] = {
		{ KVP_EMPTY_KEY, 1, "" },
		{ KVP_EMPTY_KEY, 12, "key is empt" },
		{ KVP_EMPTY_KEY, 13, "key is empty" },
		{ KVP_KEY_TOO_LARGE, 14, "key length (3" },
		{ KVP_MAX_UNIQUE_KEYS, 7, "number" },
		{ -EIO, 6, "Input" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char buf[64];

		memset(buf, '#', sizeof(buf));
		kvp_result_message(rows[i].result, numbers, buf, rows[i].size);
		CHECK_ROW(rows[i].message, !strcmp(buf, rows[i].message));
		CHECK_ROW(rows[i].message, buf[rows[i].size] == '#');
	}
}

static const struct check_case cases[] = {
	CHECK_CASE(each_refusal_has_its_errno),
	CHECK_CASE(each_refusal_has_its_message_with_its_numbers),
	CHECK_CASE(each_refusal_is_positive_and_no_other),
	CHECK_CASE(success_is_errno_0),
	CHECK_CASE(negative_results_are_system_errors),
	CHECK_CASE(messages_are_cut_to_the_buffer),
};

CHECK_MAIN("result", cases)
