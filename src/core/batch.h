/* SPDX-License-Identifier: MIT */
/*
 * Records that are to be stored together. Each is checked once, when it is added, so
 * that a batch can be stored without another look, and tried again if the store was
 * locked. This module stores nothing.
 *
 *	struct kvp_batch batch;
 *
 *	kvp_store_batch_init(store, &batch);
 *	r = kvp_batch_add(&batch, &pair);
 *	...
 *	r = kvp_store_append(store, &batch);
 *	...
 *	kvp_batch_release(&batch);
 *
 * Records are packed, so that memory grows with what was added.
 */
#ifndef KVP_BATCH_H
#define KVP_BATCH_H

#include "keys.h"
#include "rules.h"

struct kvp_batch {
	struct kvp_rules rules;
	struct kvp_fault *fault; /* the caller's: of the last refusal */
	size_t count;		 /* records */
	char *data;
	size_t len;
	size_t last; /* where the last record begins */
	size_t capacity;
	struct kvp_keys keys; /* those in the first COUNTED bytes */
	size_t counted;
	size_t key_count;
};

/* For records that keep RULES; *FAULT says more of each refusal. */
void kvp_batch_init(struct kvp_batch *batch, struct kvp_rules rules,
		    struct kvp_fault *fault);

/* Frees what BATCH holds; it is empty then, and can be used again. */
void kvp_batch_release(struct kvp_batch *batch);

/* Adds a copy of PAIR behind the others. Returns 0; a refusal or -ENOMEM adds nothing. */
int kvp_batch_add(struct kvp_batch *batch, const struct kvp_pair *pair);

/* Takes away the record that was just added. */
void kvp_batch_drop_last(struct kvp_batch *batch);

/* The same as kvp_batch_add; a kvp_visit_record. */
int kvp_batch_visit(void *batch, const struct kvp_pair *pair);

/*
 * Goes through the records, starting with *CURSOR = 0. Fills in the next one, which is
 * good until BATCH changes; false: there is no other.
 */
bool kvp_batch_next(const struct kvp_batch *batch, size_t *cursor,
		    struct kvp_pair *ret_pair);

/*
 * Counts the different keys, and stops when there are more than KVP_MAX_KEYS. Each
 * record is looked at once, however often this is asked. Returns 0 or -ENOMEM.
 */
int kvp_batch_count_keys(struct kvp_batch *batch, size_t *ret_keys);

#endif
