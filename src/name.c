/* SPDX-License-Identifier: MIT */
#include "name.h"

#include <stdbool.h>
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

/* Whether "%XX" with any hex digits stands at the start of TEXT. */
static bool is_escape(const char *text, size_t len)
{
	return len >= 3 && text[0] == '%' && hex_digit(text[1]) >= 0 &&
	       hex_digit(text[2]) >= 0;
}

static bool key_is_taken(struct kvp_bytes key)
{
	static const struct kvp_bytes taken[] = {
		{ ".", 1 },
		{ "..", 2 },
		{ KVP_NAME_RESERVED, sizeof(KVP_NAME_RESERVED) - 1 },
	};

	for (size_t i = 0; i < sizeof(taken) / sizeof(*taken); i++)
		if (kvp_bytes_equal(key, taken[i]))
			return true;
	return false;
}

int kvp_name_encode(struct kvp_bytes key, char name[KVP_NAME_MAX + 1],
		    size_t *ret_len)
{
	static const char hex[] = "0123456789ABCDEF";
	bool taken = key_is_taken(key);
	size_t len = 0;

	for (size_t i = 0; i < key.len; i++) {
		unsigned char c = (unsigned char)key.data[i];
		bool escape = c == '/' || (taken && i == 0) ||
			      is_escape(key.data + i, key.len - i);

		if (len + (escape ? 3 : 1) > KVP_NAME_MAX)
			return KVP_NAME_TOO_LONG;
		if (!escape) {
			name[len++] = (char)c;
			continue;
		}
		name[len++] = '%';
		name[len++] = hex[c >> 4];
		name[len++] = hex[c & 15];
	}
	name[len] = '\0';
	*ret_len = len;
	return 0;
}

int kvp_name_decode(const char *name, char key[KVP_NAME_MAX], size_t *ret_len)
{
	char again[KVP_NAME_MAX + 1];
	size_t name_len = strnlen(name, KVP_NAME_MAX + 1);
	size_t again_len;
	size_t len = 0;

	if (name_len > KVP_NAME_MAX)
		return KVP_NAME_TOO_LONG;
	if (name_len == 0)
		return KVP_NAME_NOT_CANONICAL;
	for (size_t i = 0; i < name_len; i++) {
		if (!is_escape(name + i, name_len - i)) {
			key[len++] = name[i];
			continue;
		}
		key[len] = (char)(hex_digit(name[i + 1]) << 4 |
				  hex_digit(name[i + 2]));
		if (key[len++] == '\0')
			return KVP_NAME_NUL;
		i += 2;
	}
	if (kvp_name_encode((struct kvp_bytes){ key, len }, again,
			    &again_len) ||
	    !kvp_bytes_equal((struct kvp_bytes){ again, again_len },
			     (struct kvp_bytes){ name, name_len }))
		return KVP_NAME_NOT_CANONICAL;
	*ret_len = len;
	return 0;
}
