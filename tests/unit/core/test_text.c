/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "fail_alloc.h"

#define MAX_RECORDS 20

static struct kvp_pair pair(const char *key, const char *value)
{
	return (struct kvp_pair){ check_bytes(key), check_bytes(value) };
}

static bool same_pair(const struct kvp_pair *a, const struct kvp_pair *b)
{
	return kvp_bytes_equal(a->key, b->key) &&
	       kvp_bytes_equal(a->value, b->value);
}

static bool text_is(const struct kvp_text *text, const char *expected)
{
	return kvp_bytes_equal(kvp_text_bytes(text), check_bytes(expected));
}

/*
 * From a copy that ends where TEXT does, and is gone when the parser returns.
 * What is not set by the parser stays as no parser would set it.
 */
static int parse(struct kvp_bytes text, struct kvp_text_records *ret_records,
		 struct kvp_text_fault *ret_fault)
{
	char *copy = malloc(text.len ? text.len : 1);
	int r;

	if (!copy)
		abort();
	if (text.len > 0)
		memcpy(copy, text.data, text.len);
	*ret_records = (struct kvp_text_records){ NULL, 4711 };
	*ret_fault = (struct kvp_text_fault){ .line = 4711 };
	r = kvp_text_parse((struct kvp_bytes){ copy, text.len }, ret_records,
			   ret_fault);
	free(copy);
	return r;
}

/* Formatting, and parsing what was formatted. */

static const struct {
	const char *key;
	const char *value;
	const char *line;
} lines[] = {
	{ "k", "v", "k=v\n" },
	{ "k", "", "k=\n" },
	{ " ", " ", " = \n" },
	{ "a=b", "c=d", "a%3Db=c=d\n" },
	{ "=", "=", "%3D==\n" },
	{ "a\nb", "c\nd", "a%0Ab=c%0Ad\n" },
	{ "\n", "\n", "%0A=%0A\n" },
	{ "\r\t", "\r\t", "\r\t=\r\t\n" },
	{ "100%", "100%", "100%=100%\n" },
	{ "%", "4", "%=4\n" },
	{ "%4", "%4", "%4=%4\n" },
	{ "%41", "%41", "%2541=%2541\n" },
	{ "%0A", "%0a", "%250A=%250a\n" },
	{ "%3D", "%3D", "%253D=%253D\n" },
	{ "%=4", "%\n4", "%%3D4=%%0A4\n" },
	{ "%00", "%00", "%2500=%2500\n" },
	{ "a/b", ".kvpfs", "a/b=.kvpfs\n" },
	{ "\x01\xff\x80", "\xfe", "\x01\xff\x80=\xfe\n" },
	{ "#", "#", "#=#\n" },
};

static void record_is_a_line(void)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		struct kvp_pair record = pair(lines[i].key, lines[i].value);
		struct kvp_text text = { 0 };

		CHECK_ROW(lines[i].line,
			  kvp_text_add_record(&text, &record) == 0);
		CHECK_ROW(lines[i].line, text_is(&text, lines[i].line));
		kvp_text_release(&text);
	}
}

static void line_is_a_record(void)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		struct kvp_pair expected = pair(lines[i].key, lines[i].value);
		struct kvp_text_records records;
		struct kvp_text_fault fault;

		CHECK_ROW(lines[i].line, parse(check_bytes(lines[i].line),
					       &records, &fault) == 0);
		CHECK_ROW(lines[i].line, fault.line == 4711);
		CHECK_ROW(lines[i].line, records.count == 1);
		CHECK_ROW(lines[i].line, same_pair(records.pairs, &expected));
		kvp_text_records_release(&records);
	}
}

static void all_lines_together_are_all_records_in_order(void)
{
	struct kvp_text text = { 0 };
	struct kvp_text_records records;
	struct kvp_text_fault fault;

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		CU_ASSERT_EQUAL(
			kvp_text_append(&text, check_bytes(lines[i].line)), 0);
	CU_ASSERT_EQUAL(parse(kvp_text_bytes(&text), &records, &fault), 0);
	CU_ASSERT_EQUAL_FATAL(records.count, sizeof(lines) / sizeof(*lines));
	for (size_t i = 0; i < records.count; i++) {
		struct kvp_pair expected = pair(lines[i].key, lines[i].value);

		CHECK_ROW(lines[i].line,
			  same_pair(&records.pairs[i], &expected));
	}
	kvp_text_records_release(&records);
	kvp_text_release(&text);
}

static void no_text_is_no_records(void)
{
	struct kvp_text_records records;
	struct kvp_text_fault fault;

	CU_ASSERT_EQUAL(parse((struct kvp_bytes){ NULL, 0 }, &records, &fault),
			0);
	CU_ASSERT_EQUAL(records.count, 0);
	kvp_text_records_release(&records);
}

static void last_line_need_not_end_with_a_newline(void)
{
	static const struct {
		const char *text;
		size_t count;
		const char *value; /* of the last one */
	} rows[] = {
		{ "a=b", 1, "b" },	   { "a=", 1, "" },
		{ "a=b\nc=d", 2, "d" },	   { "a=b\nc=", 2, "" },
		{ "a=b\nc=%0A", 2, "\n" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct kvp_text_records records;
		struct kvp_text_fault fault;

		CHECK_ROW(rows[i].text, parse(check_bytes(rows[i].text),
					      &records, &fault) == 0);
		CHECK_ROW(rows[i].text, records.count == rows[i].count);
		CHECK_ROW(
			rows[i].text,
			kvp_bytes_equal(records.pairs[rows[i].count - 1].value,
					check_bytes(rows[i].value)));
		kvp_text_records_release(&records);
	}
}

static void repeated_keys_stay_repeated(void)
{
	struct kvp_text_records records;
	struct kvp_text_fault fault;

	CU_ASSERT_EQUAL(parse(check_bytes("k=1\nk=2\nk=1\n"), &records, &fault),
			0);
	CU_ASSERT_EQUAL(records.count, 3);
	kvp_text_records_release(&records);
}

/* What is no line. */

static const struct {
	const char *text;
	int result;
	size_t line;
	const char *reason;
} faults[] = {
	{ "\n", KVP_TEXT_NO_EQUALS, 1, "no '='" },
	{ "k", KVP_TEXT_NO_EQUALS, 1, "no '='" },
	{ "k\n", KVP_TEXT_NO_EQUALS, 1, "no '='" },
	{ "k%3D\n", KVP_TEXT_NO_EQUALS, 1, "no '='" },
	{ "k\n=v\n", KVP_TEXT_NO_EQUALS, 1, "no '='" },
	{ "a=b\n\n", KVP_TEXT_NO_EQUALS, 2, "no '='" },
	{ "a=b\n\nc=d\n", KVP_TEXT_NO_EQUALS, 2, "no '='" },
	{ "a=b\nc=d\nrubbish", KVP_TEXT_NO_EQUALS, 3, "no '='" },
	{ "=", KVP_TEXT_EMPTY_KEY, 1, "empty key" },
	{ "=v\n", KVP_TEXT_EMPTY_KEY, 1, "empty key" },
	{ "a=b\n==\n", KVP_TEXT_EMPTY_KEY, 2, "empty key" },
	{ "a=b\n=%41", KVP_TEXT_EMPTY_KEY, 2, "empty key" },
	{ "%00=v\n", KVP_TEXT_NUL, 1, "contains NUL" },
	{ "k=%00\n", KVP_TEXT_NUL, 1, "contains NUL" },
	{ "a=b\nk=%41%00\n", KVP_TEXT_NUL, 2, "contains NUL" },
	{ "%41=v\n", KVP_TEXT_NOT_CANONICAL, 1, "%XX that is no escape" },
	{ "k=%41\n", KVP_TEXT_NOT_CANONICAL, 1, "%XX that is no escape" },
	{ "k=%3D\n", KVP_TEXT_NOT_CANONICAL, 1, "%XX that is no escape" },
	{ "%3d=\n", KVP_TEXT_NOT_CANONICAL, 1, "%XX that is no escape" },
	{ "%0a=\n", KVP_TEXT_NOT_CANONICAL, 1, "%XX that is no escape" },
	{ "k=%0a\n", KVP_TEXT_NOT_CANONICAL, 1, "%XX that is no escape" },
	{ "k=%2F", KVP_TEXT_NOT_CANONICAL, 1, "%XX that is no escape" },
	{ "k=%25", KVP_TEXT_NOT_CANONICAL, 1, "%XX that is no escape" },
	{ "k=%254\n1", KVP_TEXT_NOT_CANONICAL, 1, "%XX that is no escape" },
	{ "%25=41\n", KVP_TEXT_NOT_CANONICAL, 1, "%XX that is no escape" },
	{ "k=%%41%42\n", KVP_TEXT_NOT_CANONICAL, 1, "%XX that is no escape" },
	{ "k=%0A%0a\n", KVP_TEXT_NOT_CANONICAL, 1, "%XX that is no escape" },
	{ "%41=%00\n", KVP_TEXT_NOT_CANONICAL, 1, "%XX that is no escape" },
	{ "a=b\nk=%FF\nx\n", KVP_TEXT_NOT_CANONICAL, 2,
	  "%XX that is no escape" },
};

static void first_invalid_line_is_told_with_its_reason(void)
{
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
		struct kvp_text_records records;
		struct kvp_text_fault fault;
		int r = parse(check_bytes(faults[i].text), &records, &fault);

		CHECK_ROW(faults[i].text, r == faults[i].result);
		CHECK_ROW(faults[i].text, fault.line == faults[i].line);
		CHECK_ROW(faults[i].text,
			  !strcmp(fault.reason, faults[i].reason));
		CHECK_ROW(faults[i].text, records.count == 4711);
	}
}

static void nul_that_stands_for_itself_is_refused(void)
{
	static const struct {
		const char *row;
		struct kvp_bytes text;
		int result;
		size_t line;
	} rows[] = {
		{ "in a key", { "a=b\nk\0=v\n", 9 }, KVP_TEXT_NUL, 2 },
		{ "in a value", { "k=v\0\n", 5 }, KVP_TEXT_NUL, 1 },
		{ "before a fault", { "k=\0%41", 6 }, KVP_TEXT_NUL, 1 },
		{ "alone", { "\0", 1 }, KVP_TEXT_NO_EQUALS, 1 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct kvp_text_records records;
		struct kvp_text_fault fault;

		CHECK_ROW(rows[i].row, parse(rows[i].text, &records, &fault) ==
					       rows[i].result);
		CHECK_ROW(rows[i].row, fault.line == rows[i].line);
	}
}

static void line_numbers_are_right_at_any_length(void)
{
	for (size_t good = 0; good < 3000; good += 271) {
		struct kvp_text text = { 0 };
		struct kvp_text_records records;
		struct kvp_text_fault fault;

		for (size_t i = 0; i < good; i++)
			CU_ASSERT_EQUAL(kvp_text_printf(&text, "key%zu=v\n", i),
					0);
		CU_ASSERT_EQUAL(kvp_text_append(&text, check_bytes("bad")), 0);
		CU_ASSERT_EQUAL(parse(kvp_text_bytes(&text), &records, &fault),
				KVP_TEXT_NO_EQUALS);
		CU_ASSERT_EQUAL(fault.line, good + 1);
		kvp_text_release(&text);
	}
}

static void lines_may_be_longer_than_any_record(void)
{
	const size_t len = 3000000;
	char *bytes = malloc(len);
	struct kvp_pair record = { { bytes, len }, { bytes, len } };
	struct kvp_text text = { 0 };
	struct kvp_text_records records;
	struct kvp_text_fault fault;

	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	memset(bytes, '\n', len);
	CU_ASSERT_EQUAL(kvp_text_add_record(&text, &record), 0);
	CU_ASSERT_EQUAL(text.len, 6 * len + 2);
	CU_ASSERT_EQUAL(parse(kvp_text_bytes(&text), &records, &fault), 0);
	CU_ASSERT_EQUAL_FATAL(records.count, 1);
	CU_ASSERT_TRUE(same_pair(records.pairs, &record));
	kvp_text_records_release(&records);
	kvp_text_release(&text);
	free(bytes);
}

/* The text itself. */

static void text_grows_with_what_is_added(void)
{
	struct kvp_text text;
	size_t len = 0;

	kvp_text_init(&text);
	CU_ASSERT_TRUE(text_is(&text, ""));
	for (size_t i = 0; i < 2000; i++) {
		struct kvp_bytes bytes = check_repeat((char)('a' + i % 26), i);

		CU_ASSERT_EQUAL_FATAL(kvp_text_append(&text, bytes), 0);
		CU_ASSERT_EQUAL(text.len, len + i);
		CU_ASSERT_TRUE(i == 0 ||
			       !memcmp(text.data + len, bytes.data, i));
		len += i;
	}
	CU_ASSERT_TRUE(text.capacity < 3 * len);
	kvp_text_release(&text);
	CU_ASSERT_TRUE(text_is(&text, ""));
	CU_ASSERT_EQUAL(text.capacity, 0);
	kvp_text_release(&text);
}

static void empty_bytes_may_be_appended_to_an_empty_text(void)
{
	struct kvp_text text = { 0 };

	CU_ASSERT_EQUAL(kvp_text_append(&text, (struct kvp_bytes){ NULL, 0 }),
			0);
	CU_ASSERT_TRUE(text_is(&text, ""));
	kvp_text_release(&text);
}

static void printf_appends_without_its_nul(void)
{
	struct kvp_text text = { 0 };

	CU_ASSERT_EQUAL(kvp_text_printf(&text, "%s=%d\n", "keys", 12), 0);
	CU_ASSERT_EQUAL(kvp_text_printf(&text, "%s", ""), 0);
	CU_ASSERT_EQUAL(kvp_text_printf(&text, "%%%c", 'x'), 0);
	CU_ASSERT_TRUE(text_is(&text, "keys=12\n%x"));
	kvp_text_release(&text);
}

static void printf_takes_any_length(void)
{
	for (int width = 1; width < 1200; width++) {
		struct kvp_text text = { 0 };

		CU_ASSERT_EQUAL(kvp_text_printf(&text, "%*d", width, 7), 0);
		CU_ASSERT_EQUAL(text.len, (size_t)width);
		CU_ASSERT_EQUAL(text.data[width - 1], '7');
		kvp_text_release(&text);
	}
}

static void sizes_that_no_memory_has_are_no_memory(void)
{
	static const size_t sizes[] = { SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 3,
					SIZE_MAX / 3 - 1 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct kvp_bytes huge = { "", sizes[i] };
		struct kvp_pair keyed = { huge, check_bytes("v") };
		struct kvp_pair valued = { check_bytes("k"), huge };
		struct kvp_pair both = { huge, huge };
		struct kvp_text text = { 0 };

		CU_ASSERT_EQUAL(kvp_text_printf(&text, "text"), 0);
		CU_ASSERT_EQUAL(kvp_text_add_record(&text, &keyed), -ENOMEM);
		CU_ASSERT_EQUAL(kvp_text_add_record(&text, &valued), -ENOMEM);
		CU_ASSERT_EQUAL(kvp_text_add_record(&text, &both), -ENOMEM);
		if (sizes[i] >= SIZE_MAX / 2)
			CU_ASSERT_EQUAL(kvp_text_append(&text, huge), -ENOMEM);
		CU_ASSERT_TRUE(text_is(&text, "text"));
		kvp_text_release(&text);
	}
}

/* Without memory. */

static int add_something(struct kvp_text *text, unsigned int what)
{
	struct kvp_pair record = { check_repeat('k', 512),
				   check_repeat('v', 2048) };

	switch (what) {
	case 0:
		return kvp_text_append(text, check_repeat('x', 1000));
	case 1:
		return kvp_text_printf(text, "%1000d", 1);
	default:
		return kvp_text_add_record(text, &record);
	}
}

static void text_stays_as_it_was_without_memory(void)
{
	for (unsigned int what = 0; what < 3; what++) {
		struct kvp_text text = { 0 };

		fail_alloc_at(1);
		CU_ASSERT_EQUAL(add_something(&text, what), -ENOMEM);
		CU_ASSERT_TRUE(fail_alloc_end());
		CU_ASSERT_TRUE(text_is(&text, ""));
		CU_ASSERT_EQUAL(kvp_text_printf(&text, "text"), 0);
		fail_alloc_at(1);
		CU_ASSERT_EQUAL(add_something(&text, what), -ENOMEM);
		CU_ASSERT_TRUE(fail_alloc_end());
		CU_ASSERT_TRUE(text_is(&text, "text"));
		CU_ASSERT_EQUAL(add_something(&text, what), 0);
		CU_ASSERT_FALSE(text_is(&text, "text"));
		kvp_text_release(&text);
	}
}

static void parsing_without_memory_is_no_fault_of_a_line(void)
{
	struct kvp_bytes text = check_bytes("a=b\nc=d\ne=f\n");
	struct kvp_text_records records = { NULL, 4711 };
	struct kvp_text_fault fault = { .line = 4711 };

	fail_alloc_at(1);
	CU_ASSERT_EQUAL(kvp_text_parse(text, &records, &fault), -ENOMEM);
	CU_ASSERT_TRUE(fail_alloc_end());
	CU_ASSERT_EQUAL(records.count, 4711);
	CU_ASSERT_EQUAL(fault.line, 4711);
	fail_alloc_at(2);
	CU_ASSERT_EQUAL(kvp_text_parse(text, &records, &fault), 0);
	CU_ASSERT_FALSE(fail_alloc_end());
	kvp_text_records_release(&records);
}

/* What a store would say. */

static const struct {
	const char *row;
	enum kvp_mode mode;
	struct kvp_pair pairs[3];
	int result;
	size_t line;
} checks[] = {
	{ "good",
	  KVP_MODE_RESTRICTED,
	  { { { "k", 1 }, { "v", 1 } },
	    { { "k", 1 }, { "", 0 } },
	    { { "\xc3\xa9", 2 }, { "v", 1 } } },
	  0,
	  4711 },
	{ "key",
	  KVP_MODE_RESTRICTED,
	  { { { "k", 1 }, { "v", 1 } },
	    { { "k\xff", 2 }, { "v", 1 } },
	    { { "\xff", 1 }, { "v", 1 } } },
	  KVP_NOT_UTF8,
	  2 },
	{ "value",
	  KVP_MODE_FULL,
	  { { { "k", 1 }, { "\xc3", 1 } },
	    { { "k", 1 }, { "v", 1 } },
	    { { "k", 1 }, { "v", 1 } } },
	  KVP_NOT_UTF8,
	  1 },
	{ "both",
	  KVP_MODE_FULL,
	  { { { "k", 1 }, { "v", 1 } },
	    { { "k", 1 }, { "v", 1 } },
	    { { "", 0 }, { "\xff", 1 } } },
	  KVP_EMPTY_KEY,
	  3 },
};

static void check_finds_the_first_record_that_the_store_refuses(void)
{
	for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
		struct kvp_store store = { NULL, checks[i].mode };
		struct kvp_pair pairs[3];
		struct kvp_text_records records = { pairs, 3 };
		size_t line = 4711;

		memcpy(pairs, checks[i].pairs, sizeof(pairs));
		CHECK_ROW(checks[i].row,
			  kvp_text_check(&store, &records, &line) ==
				  checks[i].result);
		CHECK_ROW(checks[i].row, line == checks[i].line);
	}
}

static void check_knows_the_limits_in_force(void)
{
	static const struct {
		enum kvp_mode mode;
		size_t key_len;
		size_t value_len;
		int result;
	} rows[] = {
		{ KVP_MODE_RESTRICTED, 254, 1022, 0 },
		{ KVP_MODE_RESTRICTED, 255, 1022, KVP_KEY_TOO_LARGE },
		{ KVP_MODE_RESTRICTED, 254, 1023, KVP_VALUE_TOO_LARGE },
		{ KVP_MODE_FULL, 512, 2048, 0 },
		{ KVP_MODE_FULL, 513, 2049, KVP_KEY_TOO_LARGE },
		{ KVP_MODE_FULL, 512, 2049, KVP_VALUE_TOO_LARGE },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct kvp_store store = { NULL, rows[i].mode };
		struct kvp_pair record = { check_repeat('k', rows[i].key_len),
					   check_repeat('v',
							rows[i].value_len) };
		struct kvp_text_records records = { &record, 1 };
		size_t line = 4711;
		char row[16];

		snprintf(row, sizeof(row), "row %zu", i);
		CHECK_ROW(row, kvp_text_check(&store, &records, &line) ==
				       rows[i].result);
		CHECK_ROW(row, line == (rows[i].result ? 1 : 4711));
	}
}

static void check_of_no_records_finds_nothing(void)
{
	struct kvp_store store = { NULL, KVP_MODE_FULL };
	struct kvp_text_records records = { NULL, 0 };
	size_t line = 4711;

	CU_ASSERT_EQUAL(kvp_text_check(&store, &records, &line), 0);
	CU_ASSERT_EQUAL(line, 4711);
}

/* Both ways, at random. */

/* Alphabets to take random texts from; NULL: all bytes but NUL. */
static const char *const alphabets[] = {
	NULL,
	"k=\n%0A3D25",
	"%25",
	"=\n",
};

static char random_byte(const char *alphabet)
{
	if (!alphabet)
		return (char)(1 + check_random(255));
	return alphabet[check_random((unsigned int)strlen(alphabet))];
}

static struct kvp_bytes random_bytes(char *bytes, size_t min, size_t max)
{
	const char *alphabet = alphabets[check_random(4)];
	size_t len = min + check_random((unsigned int)(max - min + 1));

	for (size_t i = 0; i < len; i++)
		bytes[i] = random_byte(alphabet);
	return (struct kvp_bytes){ bytes, len };
}

static void random_records_survive(void)
{
	static char keys[MAX_RECORDS][KVP_KEY_SIZE];
	static char values[MAX_RECORDS][KVP_VALUE_SIZE];

	for (int i = 0; i < 3000; i++) {
		struct kvp_pair pairs[MAX_RECORDS];
		struct kvp_text text = { 0 };
		struct kvp_text_records records;
		struct kvp_text_fault fault;
		size_t count = check_random(MAX_RECORDS + 1);
		bool big = i % 10 == 0;

		for (size_t j = 0; j < count; j++) {
			pairs[j].key = random_bytes(keys[j], 1,
						    big ? KVP_KEY_SIZE : 8);
			pairs[j].value = random_bytes(values[j], 0,
						      big ? KVP_VALUE_SIZE : 8);
			CU_ASSERT_EQUAL(kvp_text_add_record(&text, &pairs[j]),
					0);
		}
		CU_ASSERT_EQUAL(parse(kvp_text_bytes(&text), &records, &fault),
				0);
		CU_ASSERT_EQUAL_FATAL(records.count, count);
		for (size_t j = 0; j < count; j++)
			CU_ASSERT_TRUE(same_pair(&records.pairs[j], &pairs[j]));
		kvp_text_records_release(&records);
		kvp_text_release(&text);
	}
}

/* RECORDS formatted are TEXT, but for a newline that it may lack at its end. */
static bool formats_to(const struct kvp_text_records *records,
		       struct kvp_bytes bytes)
{
	struct kvp_text text = { 0 };
	bool same;

	for (size_t i = 0; i < records->count; i++)
		if (kvp_text_add_record(&text, &records->pairs[i]))
			abort();
	if (bytes.len > 0 && bytes.data[bytes.len - 1] != '\n')
		text.len--;
	same = kvp_bytes_equal(kvp_text_bytes(&text), bytes);
	kvp_text_release(&text);
	return same;
}

static void random_texts_that_parse_are_what_formatting_makes(void)
{
	unsigned int valid = 0;

	for (int i = 0; i < 30000; i++) {
		char bytes[64];
		struct kvp_bytes text = random_bytes(bytes, 0, i % 64);
		struct kvp_text_records records;
		struct kvp_text_fault fault;
		int r = parse(text, &records, &fault);

		CU_ASSERT_TRUE(r >= 0);
		if (r)
			continue;
		valid++;
		CU_ASSERT_TRUE(formats_to(&records, text));
		kvp_text_records_release(&records);
	}
	CU_ASSERT_TRUE(valid > 1000);
}

static const struct check_case cases[] = {
	CHECK_CASE(record_is_a_line),
	CHECK_CASE(line_is_a_record),
	CHECK_CASE(all_lines_together_are_all_records_in_order),
	CHECK_CASE(no_text_is_no_records),
	CHECK_CASE(last_line_need_not_end_with_a_newline),
	CHECK_CASE(repeated_keys_stay_repeated),
	CHECK_CASE(first_invalid_line_is_told_with_its_reason),
	CHECK_CASE(nul_that_stands_for_itself_is_refused),
	CHECK_CASE(line_numbers_are_right_at_any_length),
	CHECK_CASE(lines_may_be_longer_than_any_record),
	CHECK_CASE(text_grows_with_what_is_added),
	CHECK_CASE(empty_bytes_may_be_appended_to_an_empty_text),
	CHECK_CASE(printf_appends_without_its_nul),
	CHECK_CASE(printf_takes_any_length),
	CHECK_CASE(sizes_that_no_memory_has_are_no_memory),
	CHECK_CASE(text_stays_as_it_was_without_memory),
	CHECK_CASE(parsing_without_memory_is_no_fault_of_a_line),
	CHECK_CASE(check_finds_the_first_record_that_the_store_refuses),
	CHECK_CASE(check_knows_the_limits_in_force),
	CHECK_CASE(check_of_no_records_finds_nothing),
	CHECK_CASE(random_records_survive),
	CHECK_CASE(random_texts_that_parse_are_what_formatting_makes),
};

CHECK_MAIN("text", cases)
