/* SPDX-License-Identifier: MIT */
/*
 * %XX escapes, for file names and for lines of text. In an escaped text the bytes
 * of a chosen set, and a '%' that two hex digits follow, stand as %XX in
 * upper-case hex; everything else stands for itself, so that "100%" is "100%".
 * No two texts have the same escaped form, and not every text is one.
 *
 * SET is a string of other characters than hex digits. Pure conversions on the
 * caller's memory: no I/O, no allocation.
 */
#ifndef KVP_ESCAPE_H
#define KVP_ESCAPE_H

#include <stdbool.h>

#include "bytes.h"

/* The most bytes that one byte of a text becomes. */
#define KVP_ESCAPE_MAX 3

enum kvp_unescape_error {
	KVP_UNESCAPE_NUL = 1,	    /* holds a NUL, as %00 or as itself */
	KVP_UNESCAPE_NOT_CANONICAL, /* not what kvp_escape makes of any text */
};

/*
 * Writes TEXT, escaped, to OUT, without a NUL behind it; a NUL in TEXT stays one.
 * False if that takes more than SIZE bytes: then OUT holds rubbish.
 */
bool kvp_escape(struct kvp_bytes text, const char *set, char *out, size_t size,
		size_t *ret_len);

/*
 * The reverse: writes what TEXT stands for to OUT, which has room for TEXT.len bytes.
 * Returns 0, or one of enum kvp_unescape_error (KVP_UNESCAPE_NUL, if TEXT has both
 * faults). Then OUT holds rubbish, and *RET_BAD (unless RET_BAD is NULL) is the offset
 * in TEXT of the first fault of that kind: an escape (three bytes) which kvp_escape
 * does not make, a byte of SET by itself, or a NUL.
 */
int kvp_unescape(struct kvp_bytes text, const char *set, char *out,
		 size_t *ret_len, size_t *ret_bad);

#endif
