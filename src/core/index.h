/* SPDX-License-Identifier: MIT */
/*
 * What a pool's records say, in memory: for each key its last value and where its
 * records lie. It mirrors the file record for record ("slot" n is the record at
 * n * 2560), so each function below stands for one change of the file and must be
 * called in step with it. No I/O, no locks; one thread at a time.
 *
 * Rules: with repeated keys the last record is the entry's value; a record with
 * an empty key is no entry (it has a slot all the same). An entry keeps its id
 * for as long as its key stays in the pool, also when it is renamed and when the
 * file is read anew.
 *
 * Memory: the unique keys and their last values, and a pointer and a byte per record.
 */
#ifndef KVP_INDEX_H
#define KVP_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "keys.h"
#include "record.h"
#include "report.h"
#include "value.h"

struct kvp_entry {
	struct kvp_bytes key; /* must come first: it is found by it */
	struct kvp_value *value;
	uint64_t id;  /* never given twice by one index; > 0 */
	size_t first; /* slots of its first and last record */
	size_t last;
	size_t records; /* how many there are; > 1: repeated */
	char key_data[];
};

struct kvp_index {
	struct kvp_keys entries;
	struct kvp_entry **slots; /* by record; NULL: empty key */
	unsigned char *marks;	  /* by record; see report.h */
	size_t records;
	size_t capacity;
	size_t keys;
	size_t empty_keys;
	uint64_t last_id;
	uint64_t names;	   /* counts changes of the set of keys */
	uint64_t order;	   /* counts changes of the set, order or ids of keys */
	uint64_t replaced; /* counts how often we have replaced all records */
};

void kvp_index_init(struct kvp_index *index);
void kvp_index_release(struct kvp_index *index);

/*
 * Makes RET_INDEX a copy of FROM: the same entries with the same ids, which share their
 * values. A former content of RET_INDEX is not released. Returns 0 or -ENOMEM.
 */
int kvp_index_copy(const struct kvp_index *from, struct kvp_index *ret_index);

/* The entry of KEY or NULL. Entries are good until the next change. */
struct kvp_entry *kvp_index_find(const struct kvp_index *index,
				 struct kvp_bytes key);

/* The same; quick if a record of KEY is at SLOT, as where two indexes are compared. */
struct kvp_entry *kvp_index_find_near(const struct kvp_index *index,
				      struct kvp_bytes key, size_t slot);

/*
 * Goes through the entries in the order of their first records, starting with
 * *CURSOR = 0. Returns the next entry, or NULL at the end.
 */
const struct kvp_entry *kvp_index_next(const struct kvp_index *index,
				       size_t *cursor);

/*
 * A record was added at the end of the file. ID is the id for the entry if the
 * key is new; 0: the next free one. Takes a reference to VALUE, which may be
 * NULL if the key is empty. -ENOMEM: nothing changed here.
 */
int kvp_index_append(struct kvp_index *index, struct kvp_bytes key,
		     struct kvp_value *value, uint64_t id);

/*
 * The same for a record as it was read. If its key has an equal value in KNOWN, which may
 * be NULL, that is shared: so the values of two readings are not there twice.
 */
int kvp_index_add(struct kvp_index *index, const struct kvp_index *known,
		  const struct kvp_pair *pair);

/* The last record of ENTRY got VALUE. */
void kvp_index_put(struct kvp_index *index, struct kvp_entry *entry,
		   struct kvp_value *value);

/* The record in SLOT, which is not the last one of an entry, is PAIR now; same key. */
void kvp_index_mark(struct kvp_index *index, size_t slot,
		    const struct kvp_pair *pair);

/* The report (report.h) on the records. Its key is good until the next change. */
void kvp_index_report(const struct kvp_index *index,
		      struct kvp_report *ret_report);

/* An id that no entry has, and that this index gives to none by itself. */
uint64_t kvp_index_new_id(struct kvp_index *index);

/*
 * The records at the COUNT ascending SLOTS were cut out and the gaps closed.
 * If an entry loses its last record it must lose all.
 */
void kvp_index_drop(struct kvp_index *index, const size_t *slots, size_t count);

/*
 * The only record of FROM got the key KEY, which no entry has; the id stays.
 * -ENOMEM: nothing changed here.
 */
int kvp_index_rekey(struct kvp_index *index, struct kvp_entry *from,
		    struct kvp_bytes key);

/* ONE and TWO have exchanged their ids. */
void kvp_index_exchange(struct kvp_index *index, struct kvp_entry *one,
			struct kvp_entry *two);

/* INDEX is empty, as the file is now; its ids and counts go on. */
void kvp_index_clear(struct kvp_index *index);

/*
 * INDEX is a new reading of the pool that OLD was read from. Keys that are in both keep
 * OLD's ids, equal values become the same pointers, and INDEX goes on with OLD's
 * counts. Returns whether no key and no value has changed. For ids to stay unique, set
 * INDEX's last_id to OLD's before it is filled.
 */
bool kvp_index_inherit(struct kvp_index *index, const struct kvp_index *old);

/* Gives MTIME to the values whose mtime is not known; with ALL, to all values. */
void kvp_index_set_mtime(struct kvp_index *index, const struct timespec *mtime,
			 bool all);

#endif
