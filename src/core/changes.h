/* SPDX-License-Identifier: MIT */
/*
 * The differences between two readings of a pool. Only the sum of what happened in
 * between is told: a value that was written twice has changed once, and a key that
 * came and went is not mentioned. This module makes no reading itself.
 *
 * The entries of the new reading are given one by one. Then the differences are told,
 * and the old reading becomes the new one in place: that costs no copy of what has not
 * changed.
 *
 *	kvp_changes_init, kvp_changes_add..., kvp_changes_tell, kvp_changes_release
 *
 * The items' keys and values are borrowed: they must be good until they are told.
 */
#ifndef KVP_CHANGES_H
#define KVP_CHANGES_H

#include "index.h"
#include "store.h"

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

/* Members are this module's. */
struct kvp_changes {
	struct kvp_index *reading;
	bool *kept;		/* by slot of reading: the key is still there */
	struct kvp_item *items; /* what is new, or has another value */
	size_t count;
	size_t room;
	size_t added; /* entries of the new reading */
	size_t found; /* those whose key is in the old one */
};

/* READING has one record for each key. Returns 0 or -ENOMEM. */
int kvp_changes_init(struct kvp_changes *changes, struct kvp_index *reading);
void kvp_changes_release(struct kvp_changes *changes);

/*
 * The next entry of the new reading is ITEM. An equal value of the old one becomes the
 * same pointer. CHANGES is void, so that this is a kvp_visit_item. 0 or -ENOMEM.
 */
int kvp_changes_add(void *changes, const struct kvp_item *item);

/*
 * Calls VISIT for each difference: first the keys that are gone, in the old reading's
 * order, then the others in that of the new one. CLEARED: the pool was emptied at once
 * in between; if it still is empty, that is the one change. Then the old reading is
 * the new one, in another order. VISIT must not use the reading. -ENOMEM comes before
 * any visit; else the results are those of VISIT. After anything but 0 the old reading
 * is as it was.
 */
int kvp_changes_tell(struct kvp_changes *changes, bool cleared,
		     kvp_visit_change *visit, void *arg);

#endif
