/* SPDX-License-Identifier: MIT */
#include "escape.h"

#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* What "%XX", with any hex digits, at I stands for; -1: there is no such thing. */
static int escape_at(struct kvp_bytes text, size_t i)
{
	int high;
	int low;

	if (text.len - i < 3 || text.data[i] != '%')
		return -1;
	high = hex_digit(text.data[i + 1]);
	low = hex_digit(text.data[i + 2]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static bool is_in_set(char c, const char *set)
{
	for (; *set; set++)
		if (*set == c)
			return true;
	return false;
}

/* How many bytes of LEN at START come before the first C; LEN: all. */
static size_t run_without(const char *start, size_t len, char c)
{
	const char *found = memchr(start, c, len);

	return found ? (size_t)(found - start) : len;
}

/* Where there are many escapes all of the rest should not be searched for each. */
#define LONGEST_RUN ((size_t)256)

/*
 * How many bytes from I on stand for themselves, whatever is behind them; after the
 * longest run there may be more. memchr(3) takes many bytes at a time.
 */
static size_t plain_run(struct kvp_bytes text, size_t i, const char *set)
{
	const char *start = text.data + i;
	size_t run = text.len - i < LONGEST_RUN ? text.len - i : LONGEST_RUN;

	for (; *set; set++)
		run = run_without(start, run, *set);
	run = run_without(start, run, '%');
	return run_without(start, run, '\0');
}

bool kvp_escape(struct kvp_bytes text, const char *set, char *out, size_t size,
		size_t *ret_len)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t len = 0;

	for (size_t i = 0; i < text.len;) {
		size_t run = plain_run(text, i, set);
		unsigned char c = (unsigned char)text.data[i];

		/* a '%' or a NUL by itself */
		if (run == 0 && !is_in_set((char)c, set) &&
		    escape_at(text, i) < 0)
			run = 1;
		if (size - len < (run ? run : 3))
			return false;
		if (run > 0) {
			memcpy(out + len, text.data + i, run);
			len += run;
			i += run;
			continue;
		}
		i++;
		out[len++] = '%';
		out[len++] = hex[c >> 4];
		out[len++] = hex[c & 15];
	}
	*ret_len = len;
	return true;
}

/*
 * Whether the escape at I, which stands for C, is one that kvp_escape makes. The
 * two digits that a '%' needs behind it must stand for themselves: no hex digit
 * is ever escaped.
 */
static bool is_canonical(struct kvp_bytes text, size_t i, char c,
			 const char *set)
{
	if (c == '%' && !is_in_set(c, set))
		return text.len - i >= 5 && hex_digit(text.data[i + 3]) >= 0 &&
		       hex_digit(text.data[i + 4]) >= 0;
	return is_in_set(c, set) && text.data[i + 1] < 'a' &&
	       text.data[i + 2] < 'a';
}

int kvp_unescape(struct kvp_bytes text, const char *set, char *out,
		 size_t *ret_len, size_t *ret_bad)
{
	size_t bad = text.len;
	size_t len = 0;
	size_t i = 0;

	while (i < text.len) {
		size_t run = plain_run(text, i, set);
		int escaped;
		bool good;
		char c;

		if (run > 0) {
			memcpy(out + len, text.data + i, run);
			len += run;
			i += run;
			continue;
		}
		escaped = escape_at(text, i);
		c = escaped < 0 ? text.data[i] : (char)escaped;
		if (c == '\0') {
			if (ret_bad)
				*ret_bad = i;
			return KVP_UNESCAPE_NUL;
		}
		good = escaped < 0 ? !is_in_set(c, set)
				   : is_canonical(text, i, c, set);
		if (!good && bad == text.len)
			bad = i;
		out[len++] = c;
		i += escaped < 0 ? 1 : 3;
	}
	if (bad < text.len) {
		if (ret_bad)
			*ret_bad = bad;
		return KVP_UNESCAPE_NOT_CANONICAL;
	}
	*ret_len = len;
	return 0;
}
