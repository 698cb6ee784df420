/* SPDX-License-Identifier: MIT */
#include "value.h"

#include <string.h>

#include "check.h"
#include "fail_alloc.h"

static void new_value_has_its_own_copy_of_the_bytes(void)
{
	char text[] = "text";
	struct kvp_value *value = kvp_value_new(check_bytes(text));

	CU_ASSERT_PTR_NOT_NULL_FATAL(value);
	memset(text, 'x', 4);
	CU_ASSERT_EQUAL(value->len, 4);
	CU_ASSERT_EQUAL(memcmp(value->data, "text", 4), 0);
	CU_ASSERT_EQUAL(value->refs, 1);
	CHECK_BYTES_EQUAL(kvp_value_bytes(value), check_bytes("text"));
	CU_ASSERT_PTR_EQUAL(kvp_value_bytes(value).data, value->data);
	kvp_value_unref(value);
}

static void new_value_may_be_empty(void)
{
	struct kvp_value *value = kvp_value_new((struct kvp_bytes){ NULL, 0 });

	CU_ASSERT_PTR_NOT_NULL_FATAL(value);
	CU_ASSERT_EQUAL(value->len, 0);
	CU_ASSERT_EQUAL(kvp_value_bytes(value).len, 0);
	kvp_value_unref(value);
}

static void new_value_keeps_every_byte(void)
{
	char all[256];
	struct kvp_bytes bytes = { all, sizeof(all) };
	struct kvp_value *value;

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (char)i;
	value = kvp_value_new(bytes);
	CU_ASSERT_PTR_NOT_NULL_FATAL(value);
	CHECK_BYTES_EQUAL(kvp_value_bytes(value), bytes);
	kvp_value_unref(value);
}

static void new_value_is_null_without_memory(void)
{
	struct kvp_value *value;

	fail_alloc_at(1);
	value = kvp_value_new(check_bytes("text"));
	CU_ASSERT_TRUE(fail_alloc_end());
	CU_ASSERT_PTR_NULL(value);
}

static void value_lives_until_its_last_reference_goes(void)
{
	struct kvp_value *value = kvp_value_new(check_bytes("text"));

	CU_ASSERT_PTR_NOT_NULL_FATAL(value);
	CU_ASSERT_PTR_EQUAL(kvp_value_ref(value), value);
	CU_ASSERT_PTR_EQUAL(kvp_value_ref(value), value);
	CU_ASSERT_EQUAL(value->refs, 3);
	kvp_value_unref(value);
	kvp_value_unref(value);
	CU_ASSERT_EQUAL(value->refs, 1);
	CHECK_BYTES_EQUAL(kvp_value_bytes(value), check_bytes("text"));
	kvp_value_unref(value);
}

static void unref_takes_null(void)
{
	kvp_value_unref(NULL);
}

static void set_takes_a_reference_and_gives_the_old_back(void)
{
	struct kvp_value *one = kvp_value_new(check_bytes("one"));
	struct kvp_value *two = kvp_value_new(check_bytes("two"));
	struct kvp_value *place = NULL;

	CU_ASSERT_FATAL(one && two);
	kvp_value_set(&place, one);
	CU_ASSERT_PTR_EQUAL(place, one);
	CU_ASSERT_EQUAL(one->refs, 2);
	kvp_value_set(&place, two);
	CU_ASSERT_PTR_EQUAL(place, two);
	CU_ASSERT_EQUAL(one->refs, 1);
	CU_ASSERT_EQUAL(two->refs, 2);
	kvp_value_set(&place, NULL);
	CU_ASSERT_PTR_NULL(place);
	CU_ASSERT_EQUAL(two->refs, 1);
	kvp_value_set(&place, NULL);
	CU_ASSERT_PTR_NULL(place);
	kvp_value_unref(one);
	kvp_value_unref(two);
}

static void set_of_the_same_value_keeps_it(void)
{
	struct kvp_value *place = kvp_value_new(check_bytes("text"));

	CU_ASSERT_PTR_NOT_NULL_FATAL(place);
	kvp_value_set(&place, place); /* the only reference */
	CU_ASSERT_EQUAL(place->refs, 1);
	CHECK_BYTES_EQUAL(kvp_value_bytes(place), check_bytes("text"));
	kvp_value_unref(place);
}

#define BYTES(literal)                       \
	{                                    \
		literal, sizeof(literal) - 1 \
	}

static void bytes_are_ordered_by_length_then_content(void)
{
	static const struct kvp_bytes ascending[] = {
		{ NULL, 0 },   BYTES("\0"),   BYTES("a"),   BYTES("b"),
		BYTES("\xff"), BYTES("\0\0"), BYTES("\0a"), BYTES("a\0"),
		BYTES("aa"),   BYTES("ab"),   BYTES("ba"),  BYTES("\xff\0"),
		BYTES("a\0a"), BYTES("a\0b"), BYTES("aaa"),
	};
	size_t count = COUNT(ascending);

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < count; j++) {
			int order = kvp_bytes_compare(ascending[i],
						      ascending[j]);

			CU_ASSERT_EQUAL(order < 0, i < j);
			CU_ASSERT_EQUAL(order == 0, i == j);
			CU_ASSERT_EQUAL(order > 0, i > j);
			CU_ASSERT_EQUAL(kvp_bytes_equal(ascending[i],
							ascending[j]),
					i == j);
		}
	}
}

static const struct check_case cases[] = {
	CHECK_CASE(new_value_has_its_own_copy_of_the_bytes),
	CHECK_CASE(new_value_may_be_empty),
	CHECK_CASE(new_value_keeps_every_byte),
	CHECK_CASE(new_value_is_null_without_memory),
	CHECK_CASE(value_lives_until_its_last_reference_goes),
	CHECK_CASE(unref_takes_null),
	CHECK_CASE(set_takes_a_reference_and_gives_the_old_back),
	CHECK_CASE(set_of_the_same_value_keeps_it),
	CHECK_CASE(bytes_are_ordered_by_length_then_content),
};

CHECK_MAIN("value", cases)
