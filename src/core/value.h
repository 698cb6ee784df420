/* SPDX-License-Identifier: MIT */
/*
 * A value as it was at one moment. It is immutable, and its references are counted, so
 * that an open file keeps its version while the index goes on to the next. As long as
 * there is a reference, "the same pointer" means "the same version". The
 * content is not checked here.
 *
 * One thread at a time: the count is a plain number.
 */
#ifndef KVP_VALUE_H
#define KVP_VALUE_H

#include <time.h>

#include "bytes.h"

struct kvp_value {
	unsigned int refs;
	unsigned int len;
	struct timespec mtime; /* when it was stored; 0: not known yet */
	char data[];
};

/* A new value with a copy of BYTES and one reference; NULL: no memory. */
struct kvp_value *kvp_value_new(struct kvp_bytes bytes);

/* One more reference; returns VALUE. */
struct kvp_value *kvp_value_ref(struct kvp_value *value);

/* Gives a reference back; the last one frees. NULL is allowed. */
void kvp_value_unref(struct kvp_value *value);

/* Puts a new reference to VALUE (or NULL) into *PLACE; gives the old one back. */
void kvp_value_set(struct kvp_value **place, struct kvp_value *value);

static inline struct kvp_bytes kvp_value_bytes(const struct kvp_value *value)
{
	return (struct kvp_bytes){ value->data, value->len };
}

#endif
