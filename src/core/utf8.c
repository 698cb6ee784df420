/* SPDX-License-Identifier: MIT */
#include "utf8.h"

#include <stdint.h>
#include <unistr.h>

enum kvp_utf8 kvp_utf8_check(struct kvp_bytes text, size_t *ret_valid)
{
	const uint8_t *start = (const uint8_t *)text.data;
	const uint8_t *bad = text.len ? u8_check(start, text.len) : NULL;
	size_t valid = bad ? (size_t)(bad - start) : text.len;
	ucs4_t character;

	if (ret_valid)
		*ret_valid = valid;
	if (!bad)
		return KVP_UTF8_VALID;
	/* -2: an incomplete character, -1: an impossible one; but it takes 0xf5
	 * to 0xf7 for the start of one, too */
	if ((unsigned char)*bad < 0xf5 &&
	    u8_mbtoucr(&character, bad, text.len - valid) == -2)
		return KVP_UTF8_UNFINISHED;
	return KVP_UTF8_INVALID;
}
