/* SPDX-License-Identifier: MIT */
#include "rules.h"

#include <stdio.h>

#include "check.h"

#define UNTOUCHED 4711

/* A fault that nobody has filled in. */
static struct kvp_fault untouched(void)
{
	return (struct kvp_fault){ .result = UNTOUCHED };
}

static void modes_have_their_limits(void)
{
	struct kvp_rules restricted = kvp_rules_of(KVP_MODE_RESTRICTED);
	struct kvp_rules full = kvp_rules_of(KVP_MODE_FULL);

	CU_ASSERT_EQUAL(restricted.key_size, 254);
	CU_ASSERT_EQUAL(restricted.value_size, 1022);
	CU_ASSERT_EQUAL(full.key_size, 512);
	CU_ASSERT_EQUAL(full.value_size, 2048);
}

static void fields_may_be_as_long_as_the_mode_says(void)
{
	for (enum kvp_mode mode = 0; mode <= KVP_MODE_FULL; mode++) {
		struct kvp_rules rules = kvp_rules_of(mode);
		struct kvp_bytes key = check_repeat('k', rules.key_size);
		struct kvp_bytes value = check_repeat('v', rules.value_size);
		struct kvp_pair pair = { key, value };
		struct kvp_fault fault = untouched();

		CU_ASSERT_EQUAL(kvp_rules_check_key(&rules, key, &fault), 0);
		CU_ASSERT_EQUAL(kvp_rules_check_value(&rules, value, &fault),
				0);
		CU_ASSERT_EQUAL(kvp_rules_check(&rules, &pair, &fault), 0);
		pair.value = check_bytes("");
		CU_ASSERT_EQUAL(kvp_rules_check(&rules, &pair, &fault), 0);
		CU_ASSERT_EQUAL(fault.result, UNTOUCHED);
	}
}

static void longer_ones_are_refused_with_the_numbers(void)
{
	for (enum kvp_mode mode = 0; mode <= KVP_MODE_FULL; mode++) {
		struct kvp_rules rules = kvp_rules_of(mode);
		size_t key = rules.key_size + 1;
		size_t value = rules.value_size + 1;
		struct kvp_fault fault = untouched();

		CU_ASSERT_EQUAL(kvp_rules_check_key(
					&rules, check_repeat('k', key), &fault),
				KVP_KEY_TOO_LARGE);
		CU_ASSERT_TRUE(fault.is_key);
		CU_ASSERT_EQUAL(fault.actual, key);
		CU_ASSERT_EQUAL(fault.max, key - 1);
		CU_ASSERT_EQUAL(kvp_rules_check_value(&rules,
						      check_repeat('v', value),
						      &fault),
				KVP_VALUE_TOO_LARGE);
		CU_ASSERT_FALSE(fault.is_key);
		CU_ASSERT_EQUAL(fault.actual, value);
		CU_ASSERT_EQUAL(fault.max, value - 1);
	}
}

static const struct {
	const char *row;
	struct kvp_pair pair;
	int result;
	bool is_key;
	size_t at;
} rows[] = {
	{ "no key", { { "", 0 }, { "\xff", 1 } }, KVP_EMPTY_KEY, true, 0 },
	{ "NUL in key",
	  { { "k\0\0", 3 }, { "\xff", 1 } },
	  KVP_KEY_CONTAINS_NUL,
	  true,
	  1 },
	{ "NUL in value",
	  { { "k", 1 }, { "val\0", 4 } },
	  KVP_VALUE_CONTAINS_NUL,
	  false,
	  3 },
	{ "NUL before what is no UTF-8",
	  { { "k", 1 }, { "\xff\0", 2 } },
	  KVP_VALUE_CONTAINS_NUL,
	  false,
	  1 },
	{ "key no UTF-8",
	  { { "\xc3\xa9\xff", 3 }, { "", 0 } },
	  KVP_NOT_UTF8,
	  true,
	  2 },
	{ "value no UTF-8",
	  { { "k", 1 }, { "ab\xff", 3 } },
	  KVP_NOT_UTF8,
	  false,
	  2 },
	{ "value ends within a character",
	  { { "k", 1 }, { "a\xe2\x82", 3 } },
	  KVP_NOT_UTF8,
	  false,
	  1 },
};

static void fault_says_which_field_and_where(void)
{
	struct kvp_rules rules = kvp_rules_of(KVP_MODE_RESTRICTED);

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct kvp_fault fault = untouched();

		CHECK_ROW(rows[i].row,
			  kvp_rules_check(&rules, &rows[i].pair, &fault) ==
				  rows[i].result);
		CHECK_ROW(rows[i].row, fault.result == rows[i].result);
		CHECK_ROW(rows[i].row, fault.is_key == rows[i].is_key);
		CHECK_ROW(rows[i].row, fault.at == rows[i].at);
	}
}

static const struct check_case cases[] = {
	CHECK_CASE(modes_have_their_limits),
	CHECK_CASE(fields_may_be_as_long_as_the_mode_says),
	CHECK_CASE(longer_ones_are_refused_with_the_numbers),
	CHECK_CASE(fault_says_which_field_and_where),
};

CHECK_MAIN("rules", cases)
