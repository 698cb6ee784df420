/* SPDX-License-Identifier: MIT */
/*
 * Lost updates: the KVP daemon reads the pool under one lock and writes it anew
 * under the next, so what we change in between is undone although everybody locks.
 * Nobody can prevent that from outside, and fighting over it would only undo the
 * host's change. But it can be counted, where it is certain:
 *
 *  - what we changed last is again as it was before,
 *  - nothing else differs, but for one key: the daemon's own change,
 *  - it was written soon after our change (the daemon needs milliseconds),
 *  - one program wrote, once; this is for the caller to know.
 *
 * A key that was deleted and is set anew by somebody is told by its place, at the
 * end. A change of ours that somebody reverts on purpose, at once, cannot be told from
 * a lost one.
 * No I/O, no locks; one thread at a time.
 */
#ifndef KVP_LOST_H
#define KVP_LOST_H

#include <time.h>

#include "index.h"

/* How many of our latest changes can be recognized. */
#define KVP_LOST_CHANGES 16

/* Our change of KEY was lost. */
typedef void kvp_lost_report(void *arg, struct kvp_bytes key);

struct kvp_change {
	struct kvp_bytes key;
	struct kvp_value *before; /* a reference; NULL: there was none */
	bool at_end; /* the last record was the file's last one, too */
	time_t when; /* we made it */
	char *key_data;
};

struct kvp_lost {
	struct kvp_change changes[KVP_LOST_CHANGES]; /* newest last */
	size_t count;
	size_t updates;	   /* that were lost, ever */
	uint64_t closings; /* of the file by others, until the latest change */
	kvp_lost_report *report; /* NULL: nobody is told */
	void *arg;
};

/*
 * We are changing KEY: ENTRY is what it is so far, in INDEX, or NULL. If there is
 * no memory to remember that, nothing will be certain.
 */
void kvp_lost_note(struct kvp_lost *lost, const struct kvp_index *index,
		   struct kvp_bytes key, const struct kvp_entry *entry);

/* What was changed so far, or by a change of many keys, is not looked for. */
void kvp_lost_forget(struct kvp_lost *lost);

/*
 * Somebody has made the pool, which was as KNOWN, to what is in FOUND, at WRITTEN
 * (seconds since the epoch). Counts and reports what was lost, and forgets the changes.
 */
void kvp_lost_check(struct kvp_lost *lost, const struct kvp_index *known,
		    const struct kvp_index *found, time_t written);

#endif
