/* SPDX-License-Identifier: MIT */
/*
 * Whether bytes are UTF-8. libunistring judges that. This module adds the answer that a
 * file needs which is written in pieces: "not yet".
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
