/* SPDX-License-Identifier: MIT */
/*
 * The store's operations on strings, and what a store or a file holds as one
 * string, so that a test can say in a line what it does and what it expects.
 */
#ifndef STORE_TEXT_H
#define STORE_TEXT_H

#include <stdbool.h>

#include "store.h"

/* A pool's store at PATH that never waits for locks; aborts if it cannot. */
struct kvp_store *store_text_open(const char *path, enum kvp_mode mode);

int store_text_write(struct kvp_store *store, const char *key,
		     const char *value);
int store_text_delete(struct kvp_store *store, const char *key);
int store_text_rename(struct kvp_store *store, const char *from, const char *to,
		      enum kvp_rename how);

/*
 * Records of "KEY=VALUE" each, parted by spaces, such as "a=1 b=2 a=3"; keys end
 * at the first '='. The result of the operation.
 */
int store_text_append(struct kvp_store *store, const char *records);
int store_text_load(struct kvp_store *store, const char *records);

enum store_op {
	STORE_WRITE,
	STORE_DELETE,
	STORE_RENAME,
	STORE_NO_REPLACE,
	STORE_EXCHANGE,
	STORE_APPEND,
	STORE_LOAD,
	STORE_CLEAR
};

/* The operation on A, and B if it takes two, as the functions above take them. */
int store_text_perform(struct kvp_store *store, enum store_op op, const char *a,
		       const char *b);

struct store_change {
	enum store_op op;
	const char *a;
	const char *b;
	const char *after; /* what it makes of "a=1 b=2 c=3" */
};

#define STORE_CHANGES 10

/* One of each kind, for a pool that holds the keys a and b. */
extern const struct store_change store_changes[STORE_CHANGES];

/* Any records, as a batch; the first refusal, or the result of the operation. */
int store_text_append_pairs(struct kvp_store *store,
			    const struct kvp_pair *pairs, size_t count);
int store_text_load_pairs(struct kvp_store *store, const struct kvp_pair *pairs,
			  size_t count);

/* Whether the entry of KEY is VALUE; NULL: whether there is none. */
bool store_text_reads(struct kvp_store *store, const char *key,
		      const char *value);

/*
 * What is there, in the same form; "!" and the number if the result is not 0.
 * Static memory, each function its own, good until its next call.
 */
const char *store_text_entries(struct kvp_store *store);
const char *store_text_entries_raw(struct kvp_store *store);

/* The results alone. */
int store_text_visit_entries(struct kvp_store *store);
int store_text_visit_records(struct kvp_store *store);

/* The records of the file at PATH, those without a key as "=VALUE"; "-": no file. */
const char *store_text_of_file(const char *path);

/* Makes the file at PATH of such records, with noise behind the NULs. */
void store_text_make_file(const char *path, const char *records);

#endif
