/* SPDX-License-Identifier: MIT */
#include "batch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "fail_alloc.h"

static struct kvp_fault fault;

static struct kvp_batch new_batch(enum kvp_mode mode)
{
	struct kvp_batch batch;

	fault = (struct kvp_fault){ .result = 0 };
	kvp_batch_init(&batch, kvp_rules_of(mode), &fault);
	return batch;
}

static int add(struct kvp_batch *batch, const char *key, const char *value)
{
	return kvp_batch_add(batch, &(struct kvp_pair){ check_bytes(key),
							check_bytes(value) });
}

/* What is in BATCH, as "KEY=VALUE;"s; static memory. */
static const char *text_of(const struct kvp_batch *batch)
{
	static char text[4096];
	struct kvp_pair pair;
	size_t cursor = 0;
	size_t len = 0;

	text[0] = '\0';
	while (kvp_batch_next(batch, &cursor, &pair))
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"%.*s=%.*s;", (int)pair.key.len,
					pair.key.data, (int)pair.value.len,
					pair.value.data);
	return text;
}

static void records_come_back_in_order(void)
{
	struct kvp_batch batch = new_batch(KVP_MODE_FULL);

	CU_ASSERT_STRING_EQUAL(text_of(&batch), "");
	CU_ASSERT_EQUAL(add(&batch, "a", "1"), 0);
	CU_ASSERT_EQUAL(add(&batch, "b", ""), 0);
	CU_ASSERT_EQUAL(add(&batch, "a", "1"), 0);
	CU_ASSERT_STRING_EQUAL(text_of(&batch), "a=1;b=;a=1;");
	CU_ASSERT_EQUAL(batch.count, 3);
	kvp_batch_release(&batch);
	CU_ASSERT_STRING_EQUAL(text_of(&batch), "");
	CU_ASSERT_EQUAL(batch.count, 0);
	CU_ASSERT_EQUAL(add(&batch, "c", "3"), 0);
	CU_ASSERT_STRING_EQUAL(text_of(&batch), "c=3;");
	kvp_batch_release(&batch);
}

static void full_fields_come_back(void)
{
	struct kvp_batch batch = new_batch(KVP_MODE_FULL);
	struct kvp_pair full = { check_repeat('k', 512),
				 check_repeat('v', 2048) };
	struct kvp_pair pair;
	size_t cursor = 0;

	for (int i = 0; i < 20; i++)
		CU_ASSERT_EQUAL(kvp_batch_visit(&batch, &full), 0);
	for (int i = 0; i < 20; i++) {
		CU_ASSERT_TRUE(kvp_batch_next(&batch, &cursor, &pair));
		CHECK_BYTES_EQUAL(pair.key, full.key);
		CHECK_BYTES_EQUAL(pair.value, full.value);
	}
	CU_ASSERT_FALSE(kvp_batch_next(&batch, &cursor, &pair));
	kvp_batch_release(&batch);
}

static void refused_record_is_not_added(void)
{
	struct kvp_batch batch = new_batch(KVP_MODE_RESTRICTED);
	struct kvp_pair large = { check_bytes("k"), check_repeat('v', 1023) };

	CU_ASSERT_EQUAL(add(&batch, "a", "1"), 0);
	CU_ASSERT_EQUAL(add(&batch, "", "2"), KVP_EMPTY_KEY);
	CU_ASSERT_EQUAL(add(&batch, "b", "2\xff"), KVP_NOT_UTF8);
	CU_ASSERT_EQUAL(fault.result, KVP_NOT_UTF8);
	CU_ASSERT_EQUAL(fault.at, 1);
	CU_ASSERT_EQUAL(kvp_batch_add(&batch, &large), KVP_VALUE_TOO_LARGE);
	CU_ASSERT_EQUAL(fault.actual, 1023);
	CU_ASSERT_STRING_EQUAL(text_of(&batch), "a=1;");
	CU_ASSERT_EQUAL(add(&batch, "b", "2"), 0);
	CU_ASSERT_STRING_EQUAL(text_of(&batch), "a=1;b=2;");
	kvp_batch_release(&batch);
}

static void memory_grows_with_what_is_added(void)
{
	struct kvp_batch batch = new_batch(KVP_MODE_FULL);

	for (int i = 0; i < 100000; i++)
		CU_ASSERT_EQUAL(add(&batch, "k", ""), 0);
	CU_ASSERT_TRUE(batch.capacity <= 2 * 5 * 100000);
	kvp_batch_release(&batch);
}

static size_t count_keys(struct kvp_batch *batch)
{
	size_t keys = 4711;

	CU_ASSERT_EQUAL(kvp_batch_count_keys(batch, &keys), 0);
	return keys;
}

static void different_keys_are_counted(void)
{
	struct kvp_batch batch = new_batch(KVP_MODE_FULL);

	CU_ASSERT_EQUAL(count_keys(&batch), 0);
	CU_ASSERT_EQUAL(add(&batch, "a", "1"), 0);
	CU_ASSERT_EQUAL(add(&batch, "b", "1"), 0);
	CU_ASSERT_EQUAL(add(&batch, "a", "2"), 0);
	CU_ASSERT_EQUAL(count_keys(&batch), 2);
	CU_ASSERT_EQUAL(count_keys(&batch), 2);
	CU_ASSERT_EQUAL(add(&batch, "b", "3"), 0);
	CU_ASSERT_EQUAL(add(&batch, "c", "3"), 0);
	CU_ASSERT_EQUAL(count_keys(&batch), 3);
	kvp_batch_release(&batch);
}

static void more_than_the_cap_is_known_as_such(void)
{
	struct kvp_batch batch = new_batch(KVP_MODE_FULL);
	char key[16];

	for (int i = 0; i < 2 * KVP_MAX_KEYS; i++) {
		snprintf(key, sizeof(key), "%d", i);
		CU_ASSERT_EQUAL(add(&batch, key, ""), 0);
		if (i == KVP_MAX_KEYS - 1)
			CU_ASSERT_EQUAL(count_keys(&batch), KVP_MAX_KEYS);
	}
	CU_ASSERT_TRUE(count_keys(&batch) > KVP_MAX_KEYS);
	kvp_batch_release(&batch);
}

static void last_record_can_be_taken_away(void)
{
	struct kvp_batch batch = new_batch(KVP_MODE_FULL);

	CU_ASSERT_EQUAL(add(&batch, "a", "1"), 0);
	CU_ASSERT_EQUAL(add(&batch, "b", "2"), 0);
	CU_ASSERT_EQUAL(count_keys(&batch), 2);
	kvp_batch_drop_last(&batch);
	CU_ASSERT_STRING_EQUAL(text_of(&batch), "a=1;");
	CU_ASSERT_EQUAL(count_keys(&batch), 1);
	CU_ASSERT_EQUAL(add(&batch, "c", "3"), 0);
	CU_ASSERT_EQUAL(count_keys(&batch), 2);
	kvp_batch_drop_last(&batch);
	CU_ASSERT_EQUAL(batch.count, 1);
	kvp_batch_release(&batch);
}

static void batch_stays_as_it_was_without_memory(void)
{
	struct kvp_batch batch = new_batch(KVP_MODE_FULL);
	size_t keys = 4711;

	fail_alloc_at(1);
	CU_ASSERT_EQUAL(add(&batch, "a", "1"), -ENOMEM);
	CU_ASSERT_TRUE(fail_alloc_end());
	CU_ASSERT_STRING_EQUAL(text_of(&batch), "");
	CU_ASSERT_EQUAL(add(&batch, "a", "1"), 0);
	fail_alloc_at(1);
	CU_ASSERT_EQUAL(kvp_batch_count_keys(&batch, &keys), -ENOMEM);
	CU_ASSERT_TRUE(fail_alloc_end());
	CU_ASSERT_EQUAL(keys, 4711);
	CU_ASSERT_EQUAL(count_keys(&batch), 1);
	kvp_batch_release(&batch);
}

static const struct check_case cases[] = {
	CHECK_CASE(records_come_back_in_order),
	CHECK_CASE(full_fields_come_back),
	CHECK_CASE(refused_record_is_not_added),
	CHECK_CASE(memory_grows_with_what_is_added),
	CHECK_CASE(different_keys_are_counted),
	CHECK_CASE(more_than_the_cap_is_known_as_such),
	CHECK_CASE(last_record_can_be_taken_away),
	CHECK_CASE(batch_stays_as_it_was_without_memory),
};

CHECK_MAIN("batch", cases)
