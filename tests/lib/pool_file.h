/* SPDX-License-Identifier: MIT */
/*
 * Pool files as the tests see them: built and read with code of their own, so that
 * the code under test is never its own judge. Nothing here locks, and nothing
 * calls pread, pwrite or ftruncate, which tests make fail. What goes wrong in here
 * is no test's result: it aborts.
 */
#ifndef POOL_FILE_H
#define POOL_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"

#define POOL_FILE_KEY 512
#define POOL_FILE_RECORD 2560

struct pool_file_record {
	char bytes[POOL_FILE_RECORD];
};

/* What a file holds, or should hold. Zeroed: no file. */
struct pool_file {
	bool exists;
	size_t count;
	size_t capacity;
	struct pool_file_record *records;
	size_t tail_size; /* what lies behind the last whole record */
	char tail[POOL_FILE_RECORD];
};

void pool_file_release(struct pool_file *file);

/*
 * A record of KEY and VALUE. NOISE, if not NUL, is put behind the NUL that ends
 * each field, to the field's end; fields that are full have no NUL.
 */
struct pool_file_record pool_file_record(struct kvp_bytes key,
					 struct kvp_bytes value, char noise);

/* The fields' content; inside RECORD. */
struct kvp_bytes pool_file_key(const struct pool_file_record *record);
struct kvp_bytes pool_file_value(const struct pool_file_record *record);

/* Adds such a record at the end; the second form is of strings. */
void pool_file_add(struct pool_file *file, struct kvp_bytes key,
		   struct kvp_bytes value, char noise);
void pool_file_add_text(struct pool_file *file, const char *key,
			const char *value, char noise);

/* Cuts out the record at SLOT. */
void pool_file_cut(struct pool_file *file, size_t slot);

/* SIZE bytes of a cut record behind the others. */
void pool_file_tear(struct pool_file *file, size_t size, char c);

/* Makes TO (which is released first) a copy of FROM. */
void pool_file_copy(struct pool_file *to, const struct pool_file *from);

/* The file at PATH becomes FILE, in place, or is deleted. */
void pool_file_store(const struct pool_file *file, const char *path);

/* FILE (which is released first) becomes what is at PATH. */
void pool_file_load(struct pool_file *file, const char *path);

/* Whether both hold the same, byte for byte. */
bool pool_file_equal(const struct pool_file *a, const struct pool_file *b);

/* Whether the file at PATH is FILE, byte for byte. */
bool pool_file_is(const struct pool_file *file, const char *path);

/* The last record of KEY, or NULL. */
const struct pool_file_record *pool_file_find(const struct pool_file *file,
					      struct kvp_bytes key);

/* How many records KEY has. */
size_t pool_file_repeats(const struct pool_file *file, struct kvp_bytes key);

/* The path of NAME in the directory of check.h; static, one for each name. */
const char *pool_file_path(const char *name);

/* The same, and puts CONTENT (NULL: no file) there. */
const char *pool_file_new(const char *name, const struct pool_file *content);

#endif
