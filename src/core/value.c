/* SPDX-License-Identifier: MIT */
#include "value.h"

#include <stdlib.h>
#include <string.h>

struct kvp_value *kvp_value_new(struct kvp_bytes bytes)
{
	struct kvp_value *value = malloc(sizeof(*value) + bytes.len);

	if (!value)
		return NULL;
	value->refs = 1;
	value->len = (unsigned int)bytes.len;
	value->mtime = (struct timespec){ 0 };
	if (bytes.len > 0)
		memcpy(value->data, bytes.data, bytes.len);
	return value;
}

struct kvp_value *kvp_value_ref(struct kvp_value *value)
{
	value->refs++;
	return value;
}

void kvp_value_unref(struct kvp_value *value)
{
	if (value && --value->refs == 0)
		free(value);
}

void kvp_value_set(struct kvp_value **place, struct kvp_value *value)
{
	struct kvp_value *old = *place;

	*place = value ? kvp_value_ref(value) : NULL;
	kvp_value_unref(old);
}
