/* SPDX-License-Identifier: MIT */
/*
 * What a pool file holds, as an array of records that is searched from one end to the
 * other. It is the file of store_memory.h. Nothing is checked here, and running out of
 * memory aborts.
 */
#ifndef MEMORY_FILE_H
#define MEMORY_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "record.h"
#include "value.h"

struct memory_record {
	char *key;
	size_t key_len;
	struct kvp_value *value;
	uint64_t id; /* all records of a key have the same */
};

/* All zeros: a missing file. */
struct memory_file {
	struct memory_record **records;
	size_t count;
	bool exists;
	uint64_t last_id;
};

/* ALLOCATED, which is not NULL. */
void *memory_must(void *allocated);

struct kvp_bytes memory_record_key(const struct memory_record *record);
struct kvp_pair memory_record_pair(const struct memory_record *record);
bool memory_record_has_key(const struct memory_record *record,
			   struct kvp_bytes key);
void memory_record_set_key(struct memory_record *record, struct kvp_bytes key);

/* The first and the last record of KEY, or NULL. */
struct memory_record *memory_file_first(const struct memory_file *file,
					struct kvp_bytes key);
struct memory_record *memory_file_last(const struct memory_file *file,
				       struct kvp_bytes key);

/* Whether the record at I stands for its key in a list of keys. */
bool memory_file_is_entry(const struct memory_file *file, size_t i);
size_t memory_file_count_keys(const struct memory_file *file);

/* A new last record. ID as for kvp_edit. */
void memory_file_add(struct memory_file *file, struct kvp_bytes key,
		     struct kvp_value *value, uint64_t id);
void memory_file_add_pair(struct memory_file *file,
			  const struct kvp_pair *pair);

/* Removes the first COUNT records. */
void memory_file_drop_first(struct memory_file *file, size_t count);

/* Removes the records of KEY but for KEEP, which may be NULL. */
void memory_file_drop_others(struct memory_file *file, struct kvp_bytes key,
			     const struct memory_record *keep);

/* Removes the first COUNT records of KEY. */
void memory_file_drop_first_of(struct memory_file *file, struct kvp_bytes key,
			       size_t count);

#endif
