/* SPDX-License-Identifier: MIT */
#include "name.h"

#include <stdbool.h>
#include <string.h>

#include "escape.h"

/* What a name cannot hold. */
#define SET "/"

/* How the name of a key that is taken begins. */
#define DOT "%2E"
#define DOT_LEN (sizeof(DOT) - 1)

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
	size_t start = 0;
	size_t len;

	if (key_is_taken(key)) {
		memcpy(name, DOT, DOT_LEN);
		start = DOT_LEN;
		key.data++;
		key.len--;
	}
	if (!kvp_escape(key, SET, name + start, KVP_NAME_MAX - start, &len))
		return KVP_NAME_TOO_LONG;
	name[start + len] = '\0';
	*ret_len = start + len;
	return 0;
}

int kvp_name_encode_line(struct kvp_bytes key, char line[KVP_NAME_LINE_MAX],
			 size_t *ret_len)
{
	char name[KVP_NAME_MAX + 1];
	size_t name_len = 0;
	size_t len = 0;
	int r = kvp_name_encode(key, name, &name_len);

	if (r)
		return r;
	for (size_t i = 0; i < name_len; i++) {
		if (name[i] != '\n') {
			line[len++] = name[i];
			continue;
		}
		line[len++] = '%';
		line[len++] = '0';
		line[len++] = 'A';
	}
	*ret_len = len;
	return 0;
}

int kvp_name_decode(const char *name, char key[KVP_NAME_MAX], size_t *ret_len)
{
	struct kvp_bytes rest = { name, strnlen(name, KVP_NAME_MAX + 1) };
	bool dot = !strncmp(name, DOT, DOT_LEN);
	size_t len;
	int r;

	if (rest.len > KVP_NAME_MAX)
		return KVP_NAME_TOO_LONG;
	if (rest.len == 0)
		return KVP_NAME_NOT_CANONICAL;
	if (dot) {
		key[0] = '.';
		rest.data += DOT_LEN;
		rest.len -= DOT_LEN;
	}
	r = kvp_unescape(rest, SET, key + dot, &len, NULL);
	if (r == KVP_UNESCAPE_NUL)
		return KVP_NAME_NUL;
	len += dot;
	if (r || key_is_taken((struct kvp_bytes){ key, len }) != dot)
		return KVP_NAME_NOT_CANONICAL;
	*ret_len = len;
	return 0;
}
