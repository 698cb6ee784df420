/* SPDX-License-Identifier: MIT */
/*
 * What the core's functions return: 0 for success, a negative errno for a system
 * call that failed, or one of these positive codes for a rule that the caller
 * ran against. Each code has one errno and one message.
 */
#ifndef KVP_RESULT_H
#define KVP_RESULT_H

#include <stddef.h>

enum kvp_refusal {
	KVP_EMPTY_KEY = 1,
	KVP_KEY_CONTAINS_NUL,
	KVP_KEY_TOO_LARGE,
	KVP_VALUE_TOO_LARGE,
	KVP_VALUE_CONTAINS_NUL, /* also a hole, which would read as NULs */
	KVP_NOT_UTF8,
	KVP_MAX_UNIQUE_KEYS,
	KVP_LOCKED,
	KVP_READ_ONLY,
	KVP_UNTRUSTED_LINK,
	KVP_UNSUPPORTED,  /* a directory, a link, another owner or mode, ... */
	KVP_NOT_WRITABLE, /* a file that nobody can write */
	KVP_ABSENT,
	KVP_EXISTS,
};

/* The numbers of a refusal, for its message; 0 where it has none. */
struct kvp_numbers {
	size_t max;
	size_t actual;
};

/* The (positive) errno of RESULT; 0 for success. */
int kvp_result_errno(int result);

/*
 * Writes the message of RESULT, such as "key length (300) exceeds maximum
 * (254)", to BUF of SIZE bytes, cut if need be; returns BUF.
 */
const char *kvp_result_message(int result, struct kvp_numbers numbers,
			       char *buf, size_t size);

#endif
