/* SPDX-License-Identifier: MIT */
/*
 * A reading of a store: what was there at one time, and which time that was. A module
 * that tells others of changes keeps the reading up to which they know all. It tells
 * them of the differences to the next one. This module does not notice changes by itself.
 * One thread at a time.
 */
#ifndef KVP_READING_H
#define KVP_READING_H

#include "changes.h"
#include "store.h"

struct kvp_reading {
	struct kvp_index index; /* one record for each key */
	uint64_t generation;	/* these three are of kvp_status */
	uint64_t foreign;
	uint64_t clears;
};

/* Reads what is in STORE now. Results as kvp_store_entries. */
int kvp_reading_take(struct kvp_reading *ret_reading, struct kvp_store *store);
void kvp_reading_release(struct kvp_reading *reading);

/*
 * Looks whether the entries of STORE are other ones, or in another order, than those of
 * READING. Results as kvp_store_refresh.
 */
int kvp_reading_look(const struct kvp_reading *reading, struct kvp_store *store,
		     bool *ret_changed);

/*
 * Reads STORE anew and calls VISIT for each difference (changes.h). With CLEARS, the
 * removal of all keys at once is one change. Results as kvp_store_entries, and those
 * of VISIT; after anything but 0 READING is as it was.
 */
int kvp_reading_renew(struct kvp_reading *reading, struct kvp_store *store,
		      bool clears, kvp_visit_change *visit, void *arg);

#endif
