/* SPDX-License-Identifier: MIT */
#include "result.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
	int errnum;
	const char *text; /* what is said without a fault */
} refusals[] = {
	[KVP_EMPTY_KEY] = { EINVAL, "key is empty" },
	[KVP_KEY_CONTAINS_NUL] = { EINVAL, "key contains a NUL byte" },
	[KVP_KEY_TOO_LARGE] = { ENAMETOOLONG, "key is too long" },
	[KVP_VALUE_TOO_LARGE] = { EFBIG, "value is too long" },
	[KVP_VALUE_CONTAINS_NUL] = { EINVAL,
				     "value contains a NUL byte or a hole" },
	[KVP_NOT_UTF8] = { EILSEQ, "key or value is not UTF-8" },
	[KVP_MAX_UNIQUE_KEYS] = { ENOSPC, "there are too many keys" },
	[KVP_LOCKED] = { EBUSY, "pool is locked by another process" },
	[KVP_READ_ONLY] = { EROFS,
			    "no permission to write the pool, or it is read-only" },
	[KVP_UNTRUSTED_LINK] = { ELOOP,
				 "pool is a symbolic link in a directory "
				 "that others may write to" },
	[KVP_NO_SUCH_POOL] = { ENOENT,
			       "no such pool; there are 0 to 4, external, "
			       "guest, auto, auto-external, auto-internal, "
			       "and files with a path (./NAME)" },
	[KVP_NOT_A_POOL] = { EINVAL, "not a pool: it begins with text" },
	[KVP_NO_BOOT_TIME] = { EIO,
			       "boot time is unknown: cannot read /proc/stat" },
	[KVP_OWN_MOUNT] = { ELOOP,
			    "path of the pool leads into this mount itself" },
	[KVP_UNSUPPORTED] = { EPERM, "a pool has no such thing" },
	[KVP_NOT_WRITABLE] = { EACCES, "file cannot be written" },
	[KVP_NO_SUCH_NAME] = { EINVAL, "no key has such a file name" },
	[KVP_NO_ACCESS] = { EACCES, "permission denied" },
	[KVP_NOT_OWNER] = { EPERM, "only the owner may do this" },
	[KVP_ABSENT] = { ENOENT, "key does not exist" },
	[KVP_EXISTS] = { EEXIST, "key exists" },
};

int kvp_result_errno(int result)
{
	return result > 0 ? refusals[result].errnum : -result;
}

static void print_fault(const struct kvp_fault *fault, char *buf, size_t size)
{
	const char *field = fault->is_key ? "key" : "value";

	switch (fault->result) {
	case KVP_KEY_TOO_LARGE:
	case KVP_VALUE_TOO_LARGE:
		snprintf(buf, size, "%s length (%zu) exceeds maximum (%zu)",
			 field, fault->actual, fault->max);
		break;
	case KVP_MAX_UNIQUE_KEYS:
		snprintf(buf, size, "number of keys would exceed maximum (%zu)",
			 fault->max);
		break;
	case KVP_NOT_UTF8:
		snprintf(buf, size, "%s is not UTF-8 at byte %zu", field,
			 fault->at + 1);
		break;
	case KVP_KEY_CONTAINS_NUL:
	case KVP_VALUE_CONTAINS_NUL:
		snprintf(buf, size, "%s at byte %zu",
			 refusals[fault->result].text, fault->at + 1);
		break;
	default:
		snprintf(buf, size, "%s", refusals[fault->result].text);
		break;
	}
}

const char *kvp_result_message(int result, const struct kvp_fault *fault,
			       char *buf, size_t size)
{
	if (result > 0 && fault && fault->result == result)
		print_fault(fault, buf, size);
	else if (result > 0)
		snprintf(buf, size, "%s", refusals[result].text);
	else
		snprintf(buf, size, "%s", strerror(-result));
	return buf;
}
