/* SPDX-License-Identifier: MIT */
/*
 * Keys, names and paths in messages. Anybody may have chosen them, so they must neither
 * forge a line of a log nor confuse a terminal.
 */
#ifndef KVP_QUOTE_H
#define KVP_QUOTE_H

#include "bytes.h"

/* Enough for any name in quotes with each byte escaped. */
#define KVP_QUOTED_MAX (2 + 4 * 1024 + 1)

/*
 * TEXT in double quotes, with bytes that are no printable ASCII, '"' and '\' as
 * \xHH, in BUF; longer texts are cut. Returns BUF.
 */
const char *kvp_quote(struct kvp_bytes text, char buf[KVP_QUOTED_MAX]);

/* The room that kvp_quote_line needs at the most for a text of LEN bytes. */
#define KVP_QUOTED_LINE_MAX(len) (4 * (len) + 5)

/*
 * A whole message, which may hold paths and arguments as they were given: one line, with
 * control characters but tabs as \xHH, in BUF of SIZE bytes; a longer one is cut. A
 * newline at the end is left out. Returns BUF.
 */
const char *kvp_quote_line(const char *text, char *buf, size_t size);

#endif
