/* SPDX-License-Identifier: MIT */
/*
 * A store as text for people and programs: what ".kvpfs/records", "entries", "pool"
 * and "status" hold. text.h and name.h know how a record and a name are written, not
 * this module. Each function prints to OUT and returns 0, a result of the store,
 * or -errno: OUT has failed. Whatever it returns, a part may have been printed.
 */
#ifndef KVP_SHOW_H
#define KVP_SHOW_H

#include <stdio.h>

#include "store.h"

/* Every record with a key, in file order; see text.h. */
int kvp_show_records(struct kvp_store *store, FILE *out);

/* Each key once with its last value, as a record. */
int kvp_show_entries(struct kvp_store *store, FILE *out);

/* The bytes, as kvp_store_copy gives them. */
int kvp_show_pool(struct kvp_store *store, FILE *out);

/* What only the program knows. */
struct kvp_show_extra {
	const char *pool; /* its name */
	size_t lock_waits;
	size_t lock_timeouts;
};

/* A field of the status. */
struct kvp_show_field {
	const char *name;
	enum kvp_show_kind {
		KVP_SHOW_TEXT,
		KVP_SHOW_KEY, /* text is a key; empty: there is none */
		KVP_SHOW_NUMBER,
		KVP_SHOW_YES_NO, /* number is 1 or 0 */
	} kind;
	struct kvp_bytes text;
	size_t number;
};

/* As kvp_visit_record. */
typedef int kvp_visit_field(void *arg, const struct kvp_show_field *field);

/*
 * Calls VISIT for each field of the present status; if the store is locked, of that as
 * of the last reading.
 */
int kvp_show_fields(struct kvp_store *store, const struct kvp_show_extra *extra,
		    kvp_visit_field *visit, void *arg);

/*
 * Prints the same as lines NAME=VALUE. A key stands there as the name of its file, with
 * a newline as %0A. A key that is too long for a name, and any other text, stands as in
 * a record.
 */
int kvp_show_status(struct kvp_store *store, const struct kvp_show_extra *extra,
		    FILE *out);

#endif
