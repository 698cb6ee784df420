/* SPDX-License-Identifier: MIT */
/*
 * Is it UTF-8? The judgement is libunistring's; added is the third answer that a
 * file written in pieces needs: "not yet".
 */
#ifndef KVP_UTF8_H
#define KVP_UTF8_H

#include "bytes.h"

enum kvp_utf8 {
	KVP_UTF8_VALID,
	KVP_UTF8_UNFINISHED, /* valid, but for 1 to 3 bytes at the end that begin
			      * a character which more bytes could finish */
	KVP_UTF8_INVALID,
};

/* Judges TEXT; RET_VALID, if not NULL, gets the length of its valid start. */
enum kvp_utf8 kvp_utf8_check(struct kvp_bytes text, size_t *ret_valid);

#endif
