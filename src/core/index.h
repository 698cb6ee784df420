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
 * Memory: the unique keys and their last values, and one pointer per record.
 */
#ifndef KVP_INDEX_H
#define KVP_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "record.h"
#include "value.h"

struct kvp_entry {
	struct kvp_bytes key; /* must come first: the tree compares by it */
	struct kvp_value *value;
	uint64_t id;  /* never given twice by one index; > 0 */
	size_t first; /* slots of its first and last record */
	size_t last;
	size_t records; /* how many there are; > 1: repeated */
	char key_data[];
};

struct kvp_index {
	void *tree;		  /* tsearch(3) tree of entries */
	struct kvp_entry **slots; /* by record; NULL: empty key */
	size_t records;
	size_t capacity;
	size_t keys;
	size_t empty_keys;
	uint64_t last_id;
};

void kvp_index_init(struct kvp_index *index);
void kvp_index_release(struct kvp_index *index);

/* The entry of KEY or NULL. Entries are good until the next change. */
struct kvp_entry *kvp_index_find(const struct kvp_index *index,
				 struct kvp_bytes key);

/*
 * Calls for each entry, in the order of their first records: starts with
 * *CURSOR = 0, returns the next entry, or NULL at the end.
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

/* An id that no entry has or will get by itself. */
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

/*
 * INDEX is a new reading of the pool that OLD is of: takes over what has not
 * changed, the ids and the values as the same pointers. Returns whether nothing
 * has. For ids to stay unique INDEX must have been filled with last_id set to
 * OLD's.
 */
bool kvp_index_inherit(struct kvp_index *index, const struct kvp_index *old);

/* Whether entries of the same ids come in the same order. */
bool kvp_index_same_order(const struct kvp_index *a, const struct kvp_index *b);

/* Values whose mtime is not known get MTIME; with ALL, all values do. */
void kvp_index_set_mtime(struct kvp_index *index, const struct timespec *mtime,
			 bool all);

#endif
