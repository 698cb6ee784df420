/* SPDX-License-Identifier: MIT */
#include "record.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* Offsets that a pool file's readers rely on. */
#define VALUE_OFFSET 512

static const struct {
	size_t key_len;
	size_t value_len;
} sizes[] = {
	{ 0, 0 },      { 1, 0 },      { 0, 1 },	     { 1, 1 },
	{ 254, 1022 }, { 255, 1023 }, { 511, 2047 }, { 512, 2047 },
	{ 511, 2048 }, { 512, 2048 },
};

static bool all_zero(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != '\0')
			return false;
	return true;
}

static void record_is_512_bytes_of_key_and_2048_of_value(void)
{
	CU_ASSERT_EQUAL(sizeof(struct kvp_record), 2560);
	CU_ASSERT_EQUAL(offsetof(struct kvp_record, key), 0);
	CU_ASSERT_EQUAL(offsetof(struct kvp_record, value), VALUE_OFFSET);
	CU_ASSERT_EQUAL(KVP_KEY_SIZE, 512);
	CU_ASSERT_EQUAL(KVP_VALUE_SIZE, 2048);
	CU_ASSERT_EQUAL(KVP_RECORD_SIZE, 2560);
}

static void encode_puts_each_field_at_its_offset(void)
{
	struct kvp_record record;
	const char *raw = (const char *)&record;

	kvp_record_encode(&record, check_bytes("key"), check_bytes("value"));
	CU_ASSERT_EQUAL(memcmp(raw, "key", 4), 0);
	CU_ASSERT_EQUAL(memcmp(raw + VALUE_OFFSET, "value", 6), 0);
}

static void encode_zero_fills_what_the_fields_leave(void)
{
	for (size_t i = 0; i < COUNT(sizes); i++) {
		size_t key_len = sizes[i].key_len;
		size_t value_len = sizes[i].value_len;
		struct kvp_bytes key = check_repeat('k', key_len);
		struct kvp_bytes value = check_repeat('v', value_len);
		struct kvp_record record;
		char row[32];

		snprintf(row, sizeof(row), "%zu+%zu", key_len, value_len);
		memset(&record, 0xff, sizeof(record));
		kvp_record_encode(&record, key, value);
		CHECK_ROW(row, !memcmp(record.key, key.data, key_len));
		CHECK_ROW(row, !memcmp(record.value, value.data, value_len));
		CHECK_ROW(row, all_zero(record.key + key_len,
					KVP_KEY_SIZE - key_len));
		CHECK_ROW(row, all_zero(record.value + value_len,
					KVP_VALUE_SIZE - value_len));
	}
}

static void decode_returns_what_was_encoded(void)
{
	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct kvp_bytes key = check_repeat('k', sizes[i].key_len);
		struct kvp_bytes value = check_repeat('v', sizes[i].value_len);
		struct kvp_record record;
		char row[32];

		snprintf(row, sizeof(row), "%zu+%zu", key.len, value.len);
		kvp_record_encode(&record, key, value);
		CHECK_ROW(row, kvp_bytes_equal(kvp_record_key(&record), key));
		CHECK_ROW(row,
			  kvp_bytes_equal(kvp_record_value(&record), value));
	}
}

static void encode_takes_empty_fields_without_memory(void)
{
	const struct kvp_bytes none = { NULL, 0 };
	struct kvp_record record;

	memset(&record, 0xff, sizeof(record));
	kvp_record_encode(&record, none, none);
	CU_ASSERT_TRUE(all_zero((const char *)&record, sizeof(record)));
}

static void encode_leaves_the_neighbours_alone(void)
{
	struct kvp_record records[3];
	struct kvp_record untouched;

	memset(records, 0xee, sizeof(records));
	memset(&untouched, 0xee, sizeof(untouched));
	kvp_record_encode(&records[1], check_repeat('k', KVP_KEY_SIZE),
			  check_repeat('v', KVP_VALUE_SIZE));
	CU_ASSERT_EQUAL(memcmp(&records[0], &untouched, sizeof(untouched)), 0);
	CU_ASSERT_EQUAL(memcmp(&records[2], &untouched, sizeof(untouched)), 0);
}

static void decode_ends_at_the_first_nul(void)
{
	struct kvp_record record;

	/* the daemon copies strings over longer ones and leaves their ends */
	memset(&record, 'x', sizeof(record));
	memcpy(record.key, "new\0old\0older", 14);
	memcpy(record.value, "a\0b", 4);
	CHECK_BYTES_EQUAL(kvp_record_key(&record), check_bytes("new"));
	CHECK_BYTES_EQUAL(kvp_record_value(&record), check_bytes("a"));
}

static void decode_finds_a_nul_at_each_place(void)
{
	struct kvp_record record;

	for (size_t i = 0; i < KVP_KEY_SIZE; i++) {
		memset(&record, 'x', sizeof(record));
		record.key[i] = '\0';
		CU_ASSERT_EQUAL(kvp_record_key(&record).len, i);
		CU_ASSERT_EQUAL(kvp_record_value(&record).len, KVP_VALUE_SIZE);
	}
	for (size_t i = 0; i < KVP_VALUE_SIZE; i++) {
		memset(&record, 'x', sizeof(record));
		record.value[i] = '\0';
		CU_ASSERT_EQUAL(kvp_record_key(&record).len, KVP_KEY_SIZE);
		CU_ASSERT_EQUAL(kvp_record_value(&record).len, i);
	}
}

static void decode_of_a_full_field_ends_at_its_width(void)
{
	struct kvp_record *record = malloc(sizeof(*record));

	CU_ASSERT_PTR_NOT_NULL_FATAL(record);
	memset(record, 'x', sizeof(*record)); /* on the heap: overruns show */
	CHECK_BYTES_EQUAL(kvp_record_key(record), check_repeat('x', 512));
	CHECK_BYTES_EQUAL(kvp_record_value(record), check_repeat('x', 2048));
	free(record);
}

static void decode_of_zeros_is_empty(void)
{
	static const struct kvp_record record;

	CU_ASSERT_EQUAL(kvp_record_key(&record).len, 0);
	CU_ASSERT_EQUAL(kvp_record_value(&record).len, 0);
}

static void decode_of_stale_bytes_behind_a_nul_is_empty(void)
{
	struct kvp_record record;

	memset(&record, 'x', sizeof(record));
	record.key[0] = '\0';
	record.value[0] = '\0';
	CU_ASSERT_EQUAL(kvp_record_key(&record).len, 0);
	CU_ASSERT_EQUAL(kvp_record_value(&record).len, 0);
}

static void decode_points_into_the_record(void)
{
	struct kvp_record record;

	kvp_record_encode(&record, check_bytes("k"), check_bytes("v"));
	CU_ASSERT_PTR_EQUAL(kvp_record_key(&record).data, record.key);
	CU_ASSERT_PTR_EQUAL(kvp_record_value(&record).data, record.value);
}

static void every_byte_but_nul_passes_unchanged(void)
{
	struct kvp_record record;
	char all[255];
	struct kvp_bytes bytes = { all, sizeof(all) };

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (char)(i + 1);
	kvp_record_encode(&record, bytes, bytes);
	CHECK_BYTES_EQUAL(kvp_record_key(&record), bytes);
	CHECK_BYTES_EQUAL(kvp_record_value(&record), bytes);
}

static const struct check_case cases[] = {
	CHECK_CASE(record_is_512_bytes_of_key_and_2048_of_value),
	CHECK_CASE(encode_puts_each_field_at_its_offset),
	CHECK_CASE(encode_zero_fills_what_the_fields_leave),
	CHECK_CASE(decode_returns_what_was_encoded),
	CHECK_CASE(encode_takes_empty_fields_without_memory),
	CHECK_CASE(encode_leaves_the_neighbours_alone),
	CHECK_CASE(decode_ends_at_the_first_nul),
	CHECK_CASE(decode_finds_a_nul_at_each_place),
	CHECK_CASE(decode_of_a_full_field_ends_at_its_width),
	CHECK_CASE(decode_of_zeros_is_empty),
	CHECK_CASE(decode_of_stale_bytes_behind_a_nul_is_empty),
	CHECK_CASE(decode_points_into_the_record),
	CHECK_CASE(every_byte_but_nul_passes_unchanged),
};

CHECK_MAIN("record", cases)
