/* SPDX-License-Identifier: MIT */
/*
 * The differences between two readings of a pool. Only the sum of what happened in
 * between is told: a value that was written twice has changed once, and a key that
 * came and went is not mentioned. This module makes no reading itself.
 */
#ifndef KVP_CHANGES_H
#define KVP_CHANGES_H

#include "index.h"

enum kvp_change {
	KVP_CHANGE_GONE,    /* the key had a value, and has none */
	KVP_CHANGE_NEW,	    /* it had none, and has one */
	KVP_CHANGE_SET,	    /* it has another value */
	KVP_CHANGE_CLEARED, /* all keys are gone, at once */
};

/*
 * Gets one change. KEY is empty if all keys are gone; VALUE is the present one, or
 * NULL. Returns 0 to go on; anything else ends the walk and is its result.
 */
typedef int kvp_visit_change(void *arg, enum kvp_change change,
			     struct kvp_bytes key, struct kvp_value *value);

/*
 * Calls VISIT for each difference from BEFORE to NOW: first the keys that are gone, in
 * BEFORE's order, then the others in NOW's. CLEARED: the pool was emptied at once in
 * between; if it still is empty, that is the one change.
 */
int kvp_changes(const struct kvp_index *before, const struct kvp_index *now,
		bool cleared, kvp_visit_change *visit, void *arg);

#endif
