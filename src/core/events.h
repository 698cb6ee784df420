/* SPDX-License-Identifier: MIT */
/*
 * What changed, as lines: the differences between one reading of a store and the
 * next. This module does not notice changes; it looks when it is told to.
 *
 *	set NAME	the key is new or has another value
 *	delete NAME	the key is gone
 *	clear		all keys were removed at once, instead of one by one
 *
 * NAME is the file's name (name.h), with a newline as %0A. Lines go to a ring of
 * limited size. Any number of readers follow it, each from its own position. Nothing
 * is kept while there are no readers. One thread at a time.
 */
#ifndef KVP_EVENTS_H
#define KVP_EVENTS_H

#include <sys/types.h>

#include "reading.h"

/* A reader loses lines if it lags behind by more bytes than this. */
#define KVP_EVENTS_SIZE 65536

/* Begins as zeros. */
struct kvp_events {
	struct kvp_reading seen; /* all differences up to this were told */
	char *log;		 /* a ring; NULL: there are no readers */
	uint64_t end;		 /* position behind the last byte ever added */
	unsigned int readers;
};

/*
 * Adds a reader, which begins at *RET_POSITION with what changes from now on. Results
 * as kvp_store_entries, and -ENOMEM.
 */
int kvp_events_open(struct kvp_events *events, struct kvp_store *store,
		    uint64_t *ret_position);
void kvp_events_close(struct kvp_events *events);

/*
 * Reads STORE again and adds a line for each difference; there must be a reader.
 * *RET_MORE: whether there were any. Results as kvp_store_entries; a failure adds none.
 */
int kvp_events_update(struct kvp_events *events, struct kvp_store *store,
		      bool *ret_more);

/*
 * Copies up to SIZE bytes at POSITION to BUF. Returns how many; 0: there are none yet.
 * -EOVERFLOW: they have been overwritten; *RET_OLDEST is the position of the oldest
 * whole line that is left.
 */
ssize_t kvp_events_read(const struct kvp_events *events, uint64_t position,
			char *buf, size_t size, uint64_t *ret_oldest);

#endif
