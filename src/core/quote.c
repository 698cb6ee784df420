/* SPDX-License-Identifier: MIT */
#include "quote.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

const char *kvp_quote(struct kvp_bytes text, char buf[KVP_QUOTED_MAX])
{
	char *end = buf;

	*end++ = '"';
	for (size_t i = 0; i < text.len && end + 6 < buf + KVP_QUOTED_MAX;
	     i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (c < ' ' || c >= 0x7f || c == '"' || c == '\\')
			end += sprintf(end, "\\x%02X", c);
		else
			*end++ = (char)c;
	}
	*end++ = '"';
	*end = '\0';
	return buf;
}

/*
 * Whether the byte at TEXT + I is a control character, or part of one of those between
 * U+0080 and U+009F, which are two bytes in UTF-8. A tab is none.
 */
static bool is_control(const char *text, size_t i)
{
	unsigned char before = i > 0 ? (unsigned char)text[i - 1] : 0;
	unsigned char c = (unsigned char)text[i];
	unsigned char after = (unsigned char)text[i + 1];

	return (c < ' ' && c != '\t') || c == 0x7f ||
	       (c == 0xc2 && after >= 0x80 && after < 0xa0) ||
	       (before == 0xc2 && c >= 0x80 && c < 0xa0);
}

const char *kvp_quote_line(const char *text, char *buf, size_t size)
{
	const char *limit = buf + size - sizeof("\\xHH");
	size_t len = strlen(text);
	char *end = buf;

	if (len > 0 && text[len - 1] == '\n')
		len--;
	for (size_t i = 0; i < len && end <= limit; i++) {
		if (is_control(text, i))
			end += sprintf(end, "\\x%02X", (unsigned char)text[i]);
		else
			*end++ = text[i];
	}
	*end = '\0';
	return buf;
}
