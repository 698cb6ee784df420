/* SPDX-License-Identifier: MIT */
/*
 * What the core's functions return: 0 for success, a negative errno for a system
 * call that failed, or one of these positive codes, the refusals, for a rule that does
 * not allow it. Each code has one errno and one message.
 */
#ifndef KVP_RESULT_H
#define KVP_RESULT_H

#include <stdbool.h>
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
	KVP_NO_BOOT_TIME, /* needed to know what is stale */
	KVP_OWN_MOUNT,	  /* we would wait for ourselves there; see walk.h */
	KVP_NO_SUCH_POOL, /* neither number nor name nor file; see pool_names.h */
	KVP_NOT_A_POOL,	  /* a file that holds something else */
	KVP_UNSUPPORTED,  /* a directory, a link, another owner or mode, ... */
	KVP_NOT_WRITABLE, /* a file that nobody can write */
	KVP_NO_SUCH_NAME, /* a file name that stands for no key */
	KVP_NO_ACCESS,	  /* the mode does not allow it */
	KVP_NOT_OWNER,	  /* only the owner may do this, whatever the mode */
	KVP_ABSENT,
	KVP_EXISTS,
};

/* What a check found, for the message of its refusal. */
struct kvp_fault {
	int result;    /* the refusal; 0: none, and the rest is meaningless */
	bool is_key;   /* what is wrong is the key, not the value */
	size_t actual; /* its length */
	size_t max;    /* what may be: a length, or the number of keys */
	size_t at;     /* offset of the first byte that is wrong, or missing */
};

/* Enough for any message. */
#define KVP_MESSAGE_MAX 128

/* The (positive) errno of RESULT; 0 for success. */
int kvp_result_errno(int result);

/*
 * Writes the message of RESULT to BUF of SIZE bytes, cut if need be; returns BUF. If
 * FAULT is of that refusal it says more: "key length (300) exceeds maximum (254)",
 * "value is not UTF-8 at byte 17" (the first byte is 1). FAULT may be NULL.
 */
const char *kvp_result_message(int result, const struct kvp_fault *fault,
			       char *buf, size_t size);

#endif
