/* SPDX-License-Identifier: MIT */
#include "record.h"

#include <assert.h>
#include <string.h>

struct kvp_bytes kvp_record_key(const struct kvp_record *record)
{
	return (struct kvp_bytes){ record->key,
				   strnlen(record->key, KVP_KEY_SIZE) };
}

struct kvp_bytes kvp_record_value(const struct kvp_record *record)
{
	return (struct kvp_bytes){ record->value,
				   strnlen(record->value, KVP_VALUE_SIZE) };
}

struct kvp_pair kvp_record_pair(const struct kvp_record *record)
{
	return (struct kvp_pair){ kvp_record_key(record),
				  kvp_record_value(record) };
}

static void fill_field(char *field, size_t size, struct kvp_bytes bytes)
{
	assert(bytes.len <= size);
	if (bytes.len > 0)
		memcpy(field, bytes.data, bytes.len);
	memset(field + bytes.len, 0, size - bytes.len);
}

void kvp_record_encode(struct kvp_record *record, struct kvp_bytes key,
		       struct kvp_bytes value)
{
	fill_field(record->key, KVP_KEY_SIZE, key);
	fill_field(record->value, KVP_VALUE_SIZE, value);
}
