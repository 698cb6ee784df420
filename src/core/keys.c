/* SPDX-License-Identifier: MIT */
#include "keys.h"

#include <search.h>
#include <stdint.h>

/* Odd, with its bits in no order, so that each bit of a key moves the highest ones. */
#define FACTOR UINT64_C(0x9e3779b97f4a7c15)

static uint64_t mix(uint64_t hash, const char *data, size_t size)
{
	uint64_t word = 0;

	memcpy(&word, data, size);
	hash = (hash ^ word) * FACTOR;
	return hash ^ hash >> 32;
}

/* Which of the trees KEY belongs to. */
static size_t tree_of(struct kvp_bytes key)
{
	const size_t step = sizeof(uint64_t);
	uint64_t hash = key.len;

	for (size_t i = 0; i + step < key.len; i += step)
		hash = mix(hash, key.data + i, step);
	/* the last word may overlap the one before it */
	if (key.len >= step)
		hash = mix(hash, key.data + key.len - step, step);
	else if (key.len > 0)
		hash = mix(hash, key.data, key.len);
	return hash % KVP_KEYS_TREES;
}

static int compare(const void *a, const void *b)
{
	return kvp_bytes_compare(*(const struct kvp_bytes *)a,
				 *(const struct kvp_bytes *)b);
}

void *kvp_keys_find(const struct kvp_keys *keys, struct kvp_bytes key)
{
	void *const *found = tfind(&key, &keys->trees[tree_of(key)], compare);

	return found ? *found : NULL;
}

bool kvp_keys_add(struct kvp_keys *keys, const struct kvp_bytes *object)
{
	return tsearch(object, &keys->trees[tree_of(*object)], compare);
}

void kvp_keys_remove(struct kvp_keys *keys, const struct kvp_bytes *object)
{
	tdelete(object, &keys->trees[tree_of(*object)], compare);
}

void kvp_keys_release(struct kvp_keys *keys, void (*free_object)(void *object))
{
	for (size_t i = 0; i < KVP_KEYS_TREES; i++)
		tdestroy(keys->trees[i], free_object);
	*keys = (struct kvp_keys){ 0 };
}
