/* SPDX-License-Identifier: MIT */
#include "utf8.h"

#include <stdint.h>
#include <string.h>
#include <unistr.h>

/* The highest bit of each byte, which no ASCII character has. */
#define HIGH_BITS UINT64_C(0x8080808080808080)

/* How much of TEXT is ASCII, by words: most text is, and each character takes longer. */
static size_t ascii_run(struct kvp_bytes text)
{
	uint64_t word;
	size_t n = 0;

	for (; text.len - n >= sizeof(word); n += sizeof(word)) {
		memcpy(&word, text.data + n, sizeof(word));
		if (word & HIGH_BITS)
			break;
	}
	return n;
}

enum kvp_utf8 kvp_utf8_check(struct kvp_bytes text, size_t *ret_valid)
{
	const uint8_t *start = (const uint8_t *)text.data;
	size_t ascii = ascii_run(text);
	const uint8_t *bad = text.len > ascii
				     ? u8_check(start + ascii, text.len - ascii)
				     : NULL;
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
