/* SPDX-License-Identifier: MIT */
/*
 * What changed, as lines: the differences between one reading of a store and the
 * next.
 *
 *	set NAME	the key is new or has another value
 *	delete NAME	the key is gone
 *	clear		all keys are gone at once, the last one was not deleted
 *
 * NAME is the file's name (name.h), with a newline as %0A. Lines go to a log of
 * limited size, which any number of readers follow, each from the position where
 * it began. Nothing is kept while nobody reads. One thread at a time.
 */
#ifndef KVP_EVENTS_H
#define KVP_EVENTS_H

#include <sys/types.h>

#include "index.h"
#include "store.h"

/* How many bytes of lines a slow reader may lag behind. */
#define KVP_EVENTS_SIZE 65536

struct kvp_events {
	struct kvp_index seen; /* the reading that was told of last */
	uint64_t generation;   /* of the store, at that reading */
	uint64_t clears;       /* likewise */
	char *log;	       /* a ring; NULL: nobody reads */
	uint64_t end;	       /* position behind the last byte ever added */
	unsigned int readers;
};

/*
 * One more reader: from now on differences to what is in STORE now are told.
 * *RET_POSITION: where it begins. Results as kvp_store_entries.
 */
int kvp_events_open(struct kvp_events *events, struct kvp_store *store,
		    uint64_t *ret_position);
void kvp_events_close(struct kvp_events *events);

/*
 * Reads STORE again and adds a line for each difference; a failure adds none.
 * *RET_MORE: whether there were any. Results as kvp_store_entries.
 */
int kvp_events_update(struct kvp_events *events, struct kvp_store *store,
		      bool *ret_more);

/*
 * Copies up to SIZE bytes at POSITION to BUF; returns how many, 0: none yet.
 * -EOVERFLOW: they have been overwritten; *RET_OLDEST is where lines begin that
 * are still there.
 */
ssize_t kvp_events_read(const struct kvp_events *events, uint64_t position,
			char *buf, size_t size, uint64_t *ret_oldest);

#endif
