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

#include "pool_file.h"
#include "store.h"

struct scene {
	const char *name;
	int (*perform)(struct kvp_store *store);
	bool atomic; /* when it fails every key has its old value */
	bool writes; /* it does more than to truncate */
};

#define SCENES 20

extern const struct scene scenes[SCENES];

/*
 * The pool before a scene. SHIFT more records in front move all others within
 * their pages, which repeats every 8; TAIL bytes are behind the last record.
 */
void scene_pool(struct pool_file *file, size_t shift, size_t tail);

/* The pool after SCENE: it is run on a file at PATH, with nothing in its way. */
void scene_result(const struct scene *scene, const struct pool_file *before,
		  const char *path, struct pool_file *after);

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

#endif
