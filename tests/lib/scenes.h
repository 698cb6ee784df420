/* SPDX-License-Identifier: MIT */
/*
 * The changes of a pool that the tests of failing calls and of kills go through,
 * each on a pool of 47 records with repeats, noise, an empty key and one that is
 * no UTF-8; and the judgement of what such an accident may leave: each key has its
 * old or its new value, so that keys that were not concerned are as they were.
 */
#ifndef SCENES_H
#define SCENES_H

#include <stdbool.h>

#include "fail_io.h"
#include "pool_file.h"
#include "store.h"

struct scene {
	const char *name;
	int (*perform)(struct kvp_store *store);
	bool atomic; /* when it fails every key has its old value */
	bool writes; /* it does more than to truncate */
};

#define SCENES 27

extern const struct scene scenes[SCENES];

/*
 * Whether each key in NOW has the value that it has in BEFORE or the one in AFTER,
 * absence counting as a value. MIXED allows a value whose first part is new and
 * whose rest is old, cut at a page of the file, for keys that differ in the two.
 */
bool scene_is_fair(const struct pool_file *before,
		   const struct pool_file *after, const struct pool_file *now,
		   bool mixed);

/* Whether both have the same keys with the same values, repeats aside. */
bool scene_same_keys(const struct pool_file *a, const struct pool_file *b);

/*
 * Whether STORE reads each key of FILE, and nothing else, as FILE says, and counts what
 * is there as it is.
 */
bool scene_is_read(struct kvp_store *store, const struct pool_file *file);

/* A scene that is played again and again while something goes wrong. */
struct scene_run {
	const struct scene *scene;
	const char *path;
	struct pool_file before;
	struct pool_file after;
	struct pool_file now;	 /* for what is left in the end */
	struct fail_plan plan;	 /* what goes wrong, at the nth call */
	struct kvp_store *store; /* for whoever plays it */
	char row[128];		 /* what is played, for messages */
};

/*
 * Prepares SCENE. SHIFT more records in front move all others within their pages, which
 * repeats every 8; TAIL bytes are behind the last record.
 */
void scene_begin(struct scene_run *run, const struct scene *scene, size_t shift,
		 size_t tail);
void scene_end(struct scene_run *run);

/*
 * For each call n from 1 on: puts the pool there as it was before, and calls TRY,
 * which plays the scene and says whether there was an n-th call; until there was
 * none. Returns how many there were. PLAN says which calls count; row says n.
 */
unsigned int scene_each_call(struct scene_run *run,
			     const struct fail_plan *plan,
			     bool (*try)(struct scene_run *run));

#endif
