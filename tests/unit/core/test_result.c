/* SPDX-License-Identifier: MIT */
#include "result.h"

#include <errno.h>
#include <string.h>

#include "check.h"

static const struct {
	int code;
	int errnum;
	const char *message; /* without a fault */
} refusals[] = {
	{ KVP_EMPTY_KEY, EINVAL, "key is empty" },
	{ KVP_KEY_CONTAINS_NUL, EINVAL, "key contains a NUL byte" },
	{ KVP_KEY_TOO_LARGE, ENAMETOOLONG, "key is too long" },
	{ KVP_VALUE_TOO_LARGE, EFBIG, "value is too long" },
	{ KVP_VALUE_CONTAINS_NUL, EINVAL,
	  "value contains a NUL byte or a hole" },
	{ KVP_NOT_UTF8, EILSEQ, "key or value is not UTF-8" },
	{ KVP_MAX_UNIQUE_KEYS, ENOSPC, "there are too many keys" },
	{ KVP_LOCKED, EBUSY, "pool is locked by another process" },
	{ KVP_READ_ONLY, EROFS,
	  "no permission to write the pool, or it is read-only" },
	{ KVP_UNTRUSTED_LINK, ELOOP,
	  "pool is a symbolic link in a directory that others may write to" },
	{ KVP_NO_BOOT_TIME, EIO,
	  "boot time is unknown: cannot read /proc/stat" },
	{ KVP_OWN_MOUNT, ELOOP,
	  "path of the pool leads into this mount itself" },
	{ KVP_NO_SUCH_POOL, ENOENT,
	  "no such pool; there are 0 to 4, external, guest, auto, "
	  "auto-external, auto-internal, and files with a path (./NAME)" },
	{ KVP_NOT_A_POOL, EINVAL, "not a pool: it begins with text" },
	{ KVP_UNSUPPORTED, EPERM, "a pool has no such thing" },
	{ KVP_NOT_WRITABLE, EACCES, "file cannot be written" },
	{ KVP_NO_SUCH_NAME, EINVAL, "no key has such a file name" },
	{ KVP_ABSENT, ENOENT, "key does not exist" },
	{ KVP_EXISTS, EEXIST, "key exists" },
};

static const struct {
	struct kvp_fault fault;
	const char *message;
} faults[] = {
	{ { KVP_KEY_TOO_LARGE, true, 300, 254, 0 },
	  "key length (300) exceeds maximum (254)" },
	{ { KVP_VALUE_TOO_LARGE, false, 2000, 1022, 0 },
	  "value length (2000) exceeds maximum (1022)" },
	{ { KVP_MAX_UNIQUE_KEYS, false, 0, 1024, 0 },
	  "number of keys would exceed maximum (1024)" },
	{ { KVP_NOT_UTF8, true, 9, 254, 0 }, "key is not UTF-8 at byte 1" },
	{ { KVP_NOT_UTF8, false, 20, 1022, 16 },
	  "value is not UTF-8 at byte 17" },
	{ { KVP_KEY_CONTAINS_NUL, true, 9, 254, 3 },
	  "key contains a NUL byte at byte 4" },
	{ { KVP_VALUE_CONTAINS_NUL, false, 9, 254, 8 },
	  "value contains a NUL byte or a hole at byte 9" },
	{ { KVP_EMPTY_KEY, true, 0, 254, 0 }, "key is empty" },
	{ { KVP_ABSENT, true, 0, 254, 0 }, "key does not exist" },
};

static void each_refusal_has_its_errno(void)
{
	for (size_t i = 0; i < COUNT(refusals); i++)
		CHECK_ROW(refusals[i].message,
			  kvp_result_errno(refusals[i].code) ==
				  refusals[i].errnum);
}

static bool says(int result, const struct kvp_fault *fault, const char *message)
{
	char buf[128];

	return kvp_result_message(result, fault, buf, sizeof(buf)) == buf &&
	       strcmp(buf, message) == 0;
}

static void each_refusal_has_its_message(void)
{
	for (size_t i = 0; i < COUNT(refusals); i++)
		CHECK_ROW(refusals[i].message,
			  says(refusals[i].code, NULL, refusals[i].message));
}

static void fault_tells_what_is_wrong(void)
{
	for (size_t i = 0; i < COUNT(faults); i++)
		CHECK_ROW(faults[i].message,
			  says(faults[i].fault.result, &faults[i].fault,
			       faults[i].message));
}

static void fault_of_another_refusal_tells_nothing(void)
{
	for (size_t i = 0; i < COUNT(refusals); i++)
		for (size_t j = 0; j < COUNT(faults); j++)
			if (faults[j].fault.result != refusals[i].code)
				CHECK_ROW(refusals[i].message,
					  says(refusals[i].code,
					       &faults[j].fault,
					       refusals[i].message));
}

static void each_refusal_is_positive_and_no_other(void)
{
	for (size_t i = 0; i < COUNT(refusals); i++) {
		CU_ASSERT_TRUE(refusals[i].code > 0);
		for (size_t j = 0; j < i; j++)
			CU_ASSERT_NOT_EQUAL(refusals[i].code, refusals[j].code);
	}
}

static void success_is_errno_0(void)
{
	char buf[128];

	CU_ASSERT_EQUAL(kvp_result_errno(0), 0);
	CU_ASSERT_STRING_EQUAL(kvp_result_message(0, NULL, buf, sizeof(buf)),
			       strerror(0));
}

static void negative_results_are_system_errors(void)
{
	static const int errnums[] = { EIO,    ENOSPC, EINTR, ENOMEM,
				       EACCES, EBUSY,  EINVAL };

	for (size_t i = 0; i < COUNT(errnums); i++) {
		char buf[128];

		CU_ASSERT_EQUAL(kvp_result_errno(-errnums[i]), errnums[i]);
		kvp_result_message(-errnums[i], NULL, buf, sizeof(buf));
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
		{ KVP_MAX_UNIQUE_KEYS, 6, "there" },
		{ -EIO, 6, "Input" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		char buf[64];

		memset(buf, '#', sizeof(buf));
		kvp_result_message(rows[i].result, &faults[0].fault, buf,
				   rows[i].size);
		CHECK_ROW(rows[i].message, !strcmp(buf, rows[i].message));
		CHECK_ROW(rows[i].message, buf[rows[i].size] == '#');
	}
}

static const struct check_case cases[] = {
	CHECK_CASE(each_refusal_has_its_errno),
	CHECK_CASE(each_refusal_has_its_message),
	CHECK_CASE(fault_tells_what_is_wrong),
	CHECK_CASE(fault_of_another_refusal_tells_nothing),
	CHECK_CASE(each_refusal_is_positive_and_no_other),
	CHECK_CASE(success_is_errno_0),
	CHECK_CASE(negative_results_are_system_errors),
	CHECK_CASE(messages_are_cut_to_the_buffer),
};

CHECK_MAIN("result", cases)
