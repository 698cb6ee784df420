/* SPDX-License-Identifier: MIT */
/*
 * A model of the index, and worlds that hold an index and its model. The model is an
 * array of records: whatever an index says can be reckoned by looking through all of
 * them. A step is done to both by the functions of a world; what a test does to the
 * index alone, it does to the model, too.
 */
#ifndef INDEX_MODEL_H
#define INDEX_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "index.h"

#define MODEL_MAX 200
#define MODEL_KEYS 11
#define MODEL_IDS 65536

/* Keys that are alike; the first, "", stands for a record with an empty key. */
extern const char *const model_keys[MODEL_KEYS];

struct model_record {
	size_t key; /* in the table above */
	struct kvp_value *value;
};

struct model {
	struct model_record records[MODEL_MAX];
	size_t count;
	uint64_t ids[MODEL_KEYS]; /* of the keys that are there */
	bool given[MODEL_IDS];	  /* ids that were given to a key or taken */
};

struct world {
	struct kvp_index index;
	struct model model;
};

/* The place of a key of one character in the table; 0 for '-'. */
size_t model_key(char c);

/* A value of this text; the caller's. */
struct kvp_value *model_value(const char *text);

void model_add(struct model *model, size_t key, struct kvp_value *value);

/* Removes the records that are marked. */
void model_drop(struct model *model, const bool *marked);
void model_clear(struct model *model);

/* The place of a record of KEY, which must be there. */
size_t model_find_first(const struct model *model, size_t key);
size_t model_find_last(const struct model *model, size_t key);

/* How many records KEY has. */
size_t model_count(const struct model *model, size_t key);

/* KEY is new in INDEX: its id must be nobody else's, now or ever. */
void model_learn_id(const struct kvp_index *index, struct model *model,
		    size_t key);

/*
 * A world of such records: each character is the key of one, '-' an empty key.
 * Values are numbered by slot.
 */
struct world *world_new(const char *records);
void world_free(struct world *world);
void world_append_text(struct world *world, const char *records);

void world_append(struct world *world, size_t key, struct kvp_value *value);
void world_drop(struct world *world, const bool *marked);
struct kvp_entry *world_find(const struct world *world, const char *key);

/* Checks that the index says what the model says; ROW tells of which step. */
void world_check(const char *row, const struct world *world);

#endif
