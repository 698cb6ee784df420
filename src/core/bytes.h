/* SPDX-License-Identifier: MIT */
/*
 * Some bytes that somebody else owns: a key, a value or a part of one. They are
 * not NUL-terminated and may hold anything.
 */
#ifndef KVP_BYTES_H
#define KVP_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct kvp_bytes {
	const char *data;
	size_t len;
};

/*
 * A total order for search trees: lengths first, which settles most pairs
 * without a look at the content.
 */
static inline int kvp_bytes_compare(struct kvp_bytes a, struct kvp_bytes b)
{
	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	return a.len ? memcmp(a.data, b.data, a.len) : 0;
}

static inline bool kvp_bytes_equal(struct kvp_bytes a, struct kvp_bytes b)
{
	return kvp_bytes_compare(a, b) == 0;
}

#endif
