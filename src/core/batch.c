/* SPDX-License-Identifier: MIT */
#include "batch.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#define FIRST_CAPACITY 256

/* What stands before the bytes of a record. */
struct lengths {
	uint16_t key;
	uint16_t value;
};

_Static_assert(KVP_VALUE_SIZE <= UINT16_MAX, "lengths of fields fit");

struct key {
	struct kvp_bytes bytes; /* must come first: it is found by it */
	char data[];
};

void kvp_batch_init(struct kvp_batch *batch, struct kvp_rules rules,
		    struct kvp_fault *fault)
{
	*batch = (struct kvp_batch){ .rules = rules, .fault = fault };
}

static void forget_keys(struct kvp_batch *batch)
{
	kvp_keys_release(&batch->keys, free);
	batch->counted = 0;
	batch->key_count = 0;
}

void kvp_batch_release(struct kvp_batch *batch)
{
	forget_keys(batch);
	free(batch->data);
	kvp_batch_init(batch, batch->rules, batch->fault);
}

/* Makes room for SIZE more bytes. */
static int reserve(struct kvp_batch *batch, size_t size)
{
	size_t capacity = batch->capacity ? batch->capacity : FIRST_CAPACITY;
	char *data;

	if (size <= batch->capacity - batch->len)
		return 0;
	while (capacity - batch->len < size)
		if (__builtin_mul_overflow(capacity, 2, &capacity))
			return -ENOMEM;
	data = realloc(batch->data, capacity);
	if (!data)
		return -ENOMEM;
	batch->data = data;
	batch->capacity = capacity;
	return 0;
}

static void put(struct kvp_batch *batch, const void *data, size_t size)
{
	if (size > 0)
		memcpy(batch->data + batch->len, data, size);
	batch->len += size;
}

int kvp_batch_add(struct kvp_batch *batch, const struct kvp_pair *pair)
{
	struct lengths lengths = { (uint16_t)pair->key.len,
				   (uint16_t)pair->value.len };
	int r = kvp_rules_check(&batch->rules, pair, batch->fault);

	if (r == 0)
		r = reserve(batch,
			    sizeof(lengths) + pair->key.len + pair->value.len);
	if (r)
		return r;
	batch->last = batch->len;
	put(batch, &lengths, sizeof(lengths));
	put(batch, pair->key.data, pair->key.len);
	put(batch, pair->value.data, pair->value.len);
	batch->count++;
	return 0;
}

void kvp_batch_drop_last(struct kvp_batch *batch)
{
	batch->len = batch->last;
	batch->count--;
	if (batch->counted > batch->len)
		forget_keys(batch);
}

int kvp_batch_visit(void *batch, const struct kvp_pair *pair)
{
	return kvp_batch_add(batch, pair);
}

bool kvp_batch_next(const struct kvp_batch *batch, size_t *cursor,
		    struct kvp_pair *ret_pair)
{
	struct lengths lengths;
	const char *at;

	if (*cursor == batch->len)
		return false;
	at = batch->data + *cursor;
	memcpy(&lengths, at, sizeof(lengths));
	at += sizeof(lengths);
	ret_pair->key = (struct kvp_bytes){ at, lengths.key };
	at += lengths.key;
	ret_pair->value = (struct kvp_bytes){ at, lengths.value };
	at += lengths.value;
	*cursor = (size_t)(at - batch->data);
	return true;
}

/* Makes KEY one of batch->keys. */
static int count_key(struct kvp_batch *batch, struct kvp_bytes key)
{
	struct key *copy;

	if (kvp_keys_find(&batch->keys, key))
		return 0;
	copy = malloc(sizeof(*copy) + key.len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy->data, key.data, key.len);
	copy->bytes = (struct kvp_bytes){ copy->data, key.len };
	if (!kvp_keys_add(&batch->keys, &copy->bytes)) {
		free(copy);
		return -ENOMEM;
	}
	batch->key_count++;
	return 0;
}

int kvp_batch_count_keys(struct kvp_batch *batch, size_t *ret_keys)
{
	size_t cursor = batch->counted;
	struct kvp_pair pair;
	int r = 0;

	while (batch->key_count <= KVP_MAX_KEYS &&
	       kvp_batch_next(batch, &cursor, &pair)) {
		r = count_key(batch, pair.key);
		if (r)
			return r;
		batch->counted = cursor;
	}
	*ret_keys = batch->key_count;
	return 0;
}
