/* SPDX-License-Identifier: MIT */
/*
 * A set of objects that are found by their key, which no two of them have. An object
 * begins with a struct kvp_bytes, its key, which does not change while it is in the set.
 * Objects belong to the caller.
 *
 * They stand in many small search trees; a hash of the key tells in which. With some
 * thousand keys that is as fast as a hash table. Keys that are made up to fall into one
 * tree only make that tree larger: a lookup takes logarithmic time.
 */
#ifndef KVP_KEYS_H
#define KVP_KEYS_H

#include "bytes.h"

#define KVP_KEYS_TREES 256

/* Begins as zeros. */
struct kvp_keys {
	void *trees[KVP_KEYS_TREES]; /* tsearch(3) */
};

/* The object that has KEY, or NULL. */
void *kvp_keys_find(const struct kvp_keys *keys, struct kvp_bytes key);

/* Adds OBJECT, whose key no other has. False: no memory; nothing has changed. */
bool kvp_keys_add(struct kvp_keys *keys, const struct kvp_bytes *object);

/* Takes away OBJECT, which is in KEYS. */
void kvp_keys_remove(struct kvp_keys *keys, const struct kvp_bytes *object);

/* Takes away all objects, and calls FREE for each. */
void kvp_keys_release(struct kvp_keys *keys, void (*free_object)(void *object));

#endif
