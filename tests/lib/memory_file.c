/* SPDX-License-Identifier: MIT */
#include "memory_file.h"

#include <stdlib.h>
#include <string.h>

void *memory_must(void *allocated)
{
	if (!allocated)
		abort();
	return allocated;
}

struct kvp_bytes memory_record_key(const struct memory_record *record)
{
	return (struct kvp_bytes){ record->key, record->key_len };
}

struct kvp_pair memory_record_pair(const struct memory_record *record)
{
	return (struct kvp_pair){ memory_record_key(record),
				  kvp_value_bytes(record->value) };
}

bool memory_record_has_key(const struct memory_record *record,
			   struct kvp_bytes key)
{
	return kvp_bytes_equal(memory_record_key(record), key);
}

struct memory_record *memory_file_first(const struct memory_file *file,
					struct kvp_bytes key)
{
	for (size_t i = 0; i < file->count; i++)
		if (memory_record_has_key(file->records[i], key))
			return file->records[i];
	return NULL;
}

struct memory_record *memory_file_last(const struct memory_file *file,
				       struct kvp_bytes key)
{
	for (size_t i = file->count; i > 0; i--)
		if (memory_record_has_key(file->records[i - 1], key))
			return file->records[i - 1];
	return NULL;
}

bool memory_file_is_entry(const struct memory_file *file, size_t i)
{
	const struct memory_record *record = file->records[i];

	return record->key_len > 0 &&
	       memory_file_first(file, memory_record_key(record)) == record;
}

size_t memory_file_count_keys(const struct memory_file *file)
{
	size_t keys = 0;

	for (size_t i = 0; i < file->count; i++)
		keys += memory_file_is_entry(file, i);
	return keys;
}

void memory_record_set_key(struct memory_record *record, struct kvp_bytes key)
{
	char *copy = memory_must(malloc(key.len + 1));

	if (key.len > 0)
		memcpy(copy, key.data, key.len);
	free(record->key);
	record->key = copy;
	record->key_len = key.len;
}

static void free_record(struct memory_record *record)
{
	kvp_value_unref(record->value);
	free(record->key);
	free(record);
}

void memory_file_add(struct memory_file *file, struct kvp_bytes key,
		     struct kvp_value *value, uint64_t id)
{
	struct memory_record *record = memory_must(calloc(1, sizeof(*record)));
	const struct memory_record *twin = memory_file_first(file, key);

	if (twin)
		id = twin->id;
	record->id = id ? id : ++file->last_id;
	record->value = kvp_value_ref(value);
	memory_record_set_key(record, key);
	file->records = memory_must(
		realloc(file->records,
			(file->count + 1) * sizeof(struct memory_record *)));
	file->records[file->count++] = record;
	file->exists = true;
}

void memory_file_add_pair(struct memory_file *file, const struct kvp_pair *pair)
{
	struct kvp_value *value = memory_must(kvp_value_new(pair->value));

	memory_file_add(file, pair->key, value, 0);
	kvp_value_unref(value);
}

void memory_file_drop_first(struct memory_file *file, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free_record(file->records[i]);
	for (size_t i = count; i < file->count; i++)
		file->records[i - count] = file->records[i];
	file->count -= count;
}

void memory_file_drop_others(struct memory_file *file, struct kvp_bytes key,
			     const struct memory_record *keep)
{
	size_t kept = 0;

	for (size_t i = 0; i < file->count; i++) {
		struct memory_record *record = file->records[i];

		if (record != keep && memory_record_has_key(record, key))
			free_record(record);
		else
			file->records[kept++] = record;
	}
	file->count = kept;
}

void memory_file_drop_first_of(struct memory_file *file, struct kvp_bytes key,
			       size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < file->count; i++) {
		if (count == 0 ||
		    !memory_record_has_key(file->records[i], key)) {
			file->records[kept++] = file->records[i];
			continue;
		}
		free_record(file->records[i]);
		count--;
	}
	file->count = kept;
}
