/* SPDX-License-Identifier: MIT */
#include "result.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum numbers { NONE, MAX, BOTH };

static const struct {
	int errnum;
	enum numbers numbers; /* which ones the text names, in this order: */
	const char *text;     /* actual, max */
} refusals[] = {
	[KVP_EMPTY_KEY] = { EINVAL, NONE, "key is empty" },
	[KVP_KEY_CONTAINS_NUL] = { EINVAL, NONE, "key contains a NUL byte" },
	[KVP_KEY_TOO_LARGE] = { ENAMETOOLONG, BOTH,
				"key length (%zu) exceeds maximum (%zu)" },
	[KVP_VALUE_TOO_LARGE] = { EFBIG, BOTH,
				  "value length (%zu) exceeds maximum (%zu)" },
	[KVP_VALUE_CONTAINS_NUL] = { EINVAL, NONE,
				     "value contains a NUL byte or a hole" },
	[KVP_NOT_UTF8] = { EILSEQ, NONE, "key or value is not UTF-8" },
	[KVP_MAX_UNIQUE_KEYS] = { ENOSPC, MAX,
				  "number of keys would exceed maximum (%zu)" },
	[KVP_LOCKED] = { EBUSY, NONE, "pool is locked by another process" },
	[KVP_READ_ONLY] = { EROFS, NONE, "pool is read-only" },
	[KVP_UNTRUSTED_LINK] = { ELOOP, NONE,
				 "pool is a symbolic link in a directory that "
				 "others may write to" },
	[KVP_UNSUPPORTED] = { EPERM, NONE, "a pool has no such thing" },
	[KVP_NOT_WRITABLE] = { EACCES, NONE, "file cannot be written" },
	[KVP_ABSENT] = { ENOENT, NONE, "key does not exist" },
	[KVP_EXISTS] = { EEXIST, NONE, "key exists" },
};

int kvp_result_errno(int result)
{
	return result > 0 ? refusals[result].errnum : -result;
}

const char *kvp_result_message(int result, struct kvp_numbers numbers,
			       char *buf, size_t size)
{
	if (result <= 0) {
		snprintf(buf, size, "%s", strerror(-result));
		return buf;
	}
	switch (refusals[result].numbers) {
	case NONE:
		snprintf(buf, size, "%s", refusals[result].text);
		break;
	case MAX:
		snprintf(buf, size, refusals[result].text, numbers.max);
		break;
	case BOTH:
		snprintf(buf, size, refusals[result].text, numbers.actual,
			 numbers.max);
		break;
	}
	return buf;
}
