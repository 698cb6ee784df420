/* SPDX-License-Identifier: MIT */
/*
 * A set of objects: each is found by its key and by no other, until it is taken away.
 */
#include "keys.h"

#include "check.h"

#define OBJECTS ((size_t)3000)

/* Longer than any key; each starts with, and ends as, many others. */
#define LONGEST 600

struct object {
	struct kvp_bytes key; /* must come first */
	int freed;
};

static char texts[2][LONGEST];
static struct object objects[OBJECTS];

/* Of all lengths, in two alphabets; the rest differ in some bytes of a number. */
static struct kvp_bytes key_of(size_t i)
{
	static size_t numbers[OBJECTS];

	if (i < LONGEST)
		return (struct kvp_bytes){ texts[0], i };
	if (i < 2 * LONGEST - 1)
		return (struct kvp_bytes){ texts[1], i - LONGEST + 1 };
	numbers[i] = i * 0x10001;
	return (struct kvp_bytes){ (const char *)&numbers[i],
				   sizeof(numbers[i]) };
}

static void fill(struct kvp_keys *keys)
{
	memset(texts[0], 'a', LONGEST);
	memset(texts[1], '\xe4', LONGEST);
	for (size_t i = 0; i < OBJECTS; i++) {
		objects[i] = (struct object){ key_of(i), 0 };
		CU_ASSERT_PTR_NULL(kvp_keys_find(keys, objects[i].key));
		CU_ASSERT_TRUE(kvp_keys_add(keys, &objects[i].key));
	}
}

static void note_freed(void *object)
{
	((struct object *)object)->freed++;
}

static void each_object_is_found_by_its_key(void)
{
	struct kvp_keys keys = { 0 };

	fill(&keys);
	for (size_t i = 0; i < OBJECTS; i++)
		CU_ASSERT_PTR_EQUAL(kvp_keys_find(&keys, key_of(i)),
				    &objects[i]);
	kvp_keys_release(&keys, note_freed);
}

static void what_was_taken_away_is_not_found(void)
{
	struct kvp_keys keys = { 0 };

	fill(&keys);
	for (size_t i = 0; i < OBJECTS; i += 2)
		kvp_keys_remove(&keys, &objects[i].key);
	for (size_t i = 0; i < OBJECTS; i++)
		CU_ASSERT_PTR_EQUAL(kvp_keys_find(&keys, key_of(i)),
				    i % 2 ? &objects[i] : NULL);
	kvp_keys_release(&keys, note_freed);
	for (size_t i = 0; i < OBJECTS; i++)
		CU_ASSERT_EQUAL(objects[i].freed, i % 2 ? 1 : 0);
}

static void released_set_is_empty(void)
{
	struct kvp_keys keys = { 0 };

	kvp_keys_release(&keys, note_freed);
	fill(&keys);
	kvp_keys_release(&keys, note_freed);
	for (size_t i = 0; i < OBJECTS; i++) {
		CU_ASSERT_EQUAL(objects[i].freed, 1);
		CU_ASSERT_PTR_NULL(kvp_keys_find(&keys, key_of(i)));
	}
}

static const struct check_case cases[] = {
	CHECK_CASE(each_object_is_found_by_its_key),
	CHECK_CASE(what_was_taken_away_is_not_found),
	CHECK_CASE(released_set_is_empty),
};

CHECK_MAIN("keys", cases)
