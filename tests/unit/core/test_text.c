/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "fail_alloc.h"
#include "result.h"

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

/* Whether RECORD is printed as LINE. */
static bool prints(const struct kvp_pair *record, struct kvp_bytes line)
{
	struct kvp_bytes printed = { NULL, 0 };
	char *data = NULL;
	FILE *out = open_memstream(&data, &printed.len);
	bool same;

	if (!out)
		abort();
	same = kvp_text_print_record(out, record) == 0;
	if (fclose(out) != 0)
		abort();
	printed.data = data;
	same = same && kvp_bytes_equal(printed, line);
	free(data);
	return same;
}

/* Records that the parser should find, and how many it has found. */
struct expected {
	const struct kvp_pair *pairs;
	size_t count;
	size_t found;
	size_t end_at; /* the visit of that record ends it; 0: none does */
};

#define ENDED 4712

static int check_record(void *arg, const struct kvp_pair *record)
{
	struct expected *expected = arg;
	size_t n = expected->found++;

	if (n < expected->count)
		CU_ASSERT_TRUE(same_pair(record, &expected->pairs[n]));
	return expected->found == expected->end_at ? ENDED : 0;
}

/*
 * From a copy that ends where TEXT does. What is not set by the parser stays as no
 * parser would set it.
 */
static int parse(struct kvp_bytes text, struct expected *expected,
		 struct kvp_text_fault *ret_fault)
{
	char *copy = malloc(text.len ? text.len : 1);
	int r;

	if (!copy)
		abort();
	if (text.len > 0)
		memcpy(copy, text.data, text.len);
	*ret_fault = (struct kvp_text_fault){ .line = 4711 };
	r = kvp_text_parse((struct kvp_bytes){ copy, text.len }, check_record,
			   expected, ret_fault);
	free(copy);
	return r;
}

/* Whether TEXT is the COUNT records that are expected. */
static bool parses(struct kvp_bytes text, const struct kvp_pair *pairs,
		   size_t count)
{
	struct expected expected = { .pairs = pairs, .count = count };
	struct kvp_text_fault fault;

	return parse(text, &expected, &fault) == 0 && fault.line == 4711 &&
	       expected.found == count;
}

/* Printing, and parsing what was printed. */

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
	for (size_t i = 0; i < COUNT(lines); i++) {
		struct kvp_pair record = pair(lines[i].key, lines[i].value);

		CHECK_ROW(lines[i].line,
			  prints(&record, check_bytes(lines[i].line)));
	}
}

static void line_is_a_record(void)
{
	for (size_t i = 0; i < COUNT(lines); i++) {
		struct kvp_pair expected = pair(lines[i].key, lines[i].value);

		CHECK_ROW(lines[i].line,
			  parses(check_bytes(lines[i].line), &expected, 1));
	}
}

static void all_lines_together_are_all_records_in_order(void)
{
	struct kvp_pair pairs[COUNT(lines)];
	char text[4096] = "";

	for (size_t i = 0; i < COUNT(lines); i++) {
		pairs[i] = pair(lines[i].key, lines[i].value);
		strcat(text, lines[i].line);
	}
	CU_ASSERT_TRUE(parses(check_bytes(text), pairs, COUNT(lines)));
}

static void no_text_is_no_records(void)
{
	CU_ASSERT_TRUE(parses((struct kvp_bytes){ NULL, 0 }, NULL, 0));
}

static void last_line_need_not_end_with_a_newline(void)
{
	static const struct {
		const char *text;
		const char *keys[2];
		const char *values[2];
	} rows[] = {
		{ "a=b", { "a" }, { "b" } },
		{ "a=", { "a" }, { "" } },
		{ "a=b\nc=d", { "a", "c" }, { "b", "d" } },
		{ "a=b\nc=", { "a", "c" }, { "b", "" } },
		{ "a=b\nc=%0A", { "a", "c" }, { "b", "\n" } },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct kvp_pair pairs[2];
		size_t count = 0;

		for (; count < 2 && rows[i].keys[count]; count++)
			pairs[count] = pair(rows[i].keys[count],
					    rows[i].values[count]);
		CHECK_ROW(rows[i].text,
			  parses(check_bytes(rows[i].text), pairs, count));
	}
}

static void repeated_keys_stay_repeated(void)
{
	const struct kvp_pair pairs[] = { pair("k", "1"), pair("k", "2"),
					  pair("k", "1") };

	CU_ASSERT_TRUE(parses(check_bytes("k=1\nk=2\nk=1\n"), pairs, 3));
}

static void visitor_can_end_it(void)
{
	struct kvp_bytes text = check_bytes("a=1\nb=2\nc=3\nrubbish");

	for (size_t n = 1; n <= 3; n++) {
		struct expected expected = { .end_at = n };
		struct kvp_text_fault fault;

		CU_ASSERT_EQUAL(parse(text, &expected, &fault), ENDED);
		CU_ASSERT_EQUAL(expected.found, n);
		CU_ASSERT_EQUAL(fault.line, n);
		CU_ASSERT_PTR_NULL(fault.reason);
	}
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
	for (size_t i = 0; i < COUNT(faults); i++) {
		struct expected expected = { .count = 0 };
		struct kvp_text_fault fault;
		int r = parse(check_bytes(faults[i].text), &expected, &fault);

		CHECK_ROW(faults[i].text, r == faults[i].result);
		CHECK_ROW(faults[i].text, fault.line == faults[i].line);
		CHECK_ROW(faults[i].text,
			  !strcmp(fault.reason, faults[i].reason));
		CHECK_ROW(faults[i].text, expected.found == fault.line - 1);
	}
}

/* So that a caller knows whose it is. */
static void errors_are_no_refusals(void)
{
	CU_ASSERT_TRUE((int)KVP_TEXT_NO_EQUALS > (int)KVP_EXISTS);
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

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct expected expected = { .count = 0 };
		struct kvp_text_fault fault;

		CHECK_ROW(rows[i].row, parse(rows[i].text, &expected, &fault) ==
					       rows[i].result);
		CHECK_ROW(rows[i].row, fault.line == rows[i].line);
	}
}

static void line_numbers_are_right_at_any_length(void)
{
	for (size_t good = 0; good < 3000; good += 271) {
		struct expected expected = { .count = 0 };
		struct kvp_bytes text = { NULL, 0 };
		struct kvp_text_fault fault;
		char *data = NULL;
		FILE *out = open_memstream(&data, &text.len);

		for (size_t i = 0; i < good; i++)
			fprintf(out, "key%zu=v\n", i);
		fputs("bad", out);
		(void)fclose(out);
		text.data = data;
		CU_ASSERT_EQUAL(parse(text, &expected, &fault),
				KVP_TEXT_NO_EQUALS);
		CU_ASSERT_EQUAL(fault.line, good + 1);
		free(data);
	}
}

static void lines_may_be_longer_than_any_record(void)
{
	const size_t len = 3000000;
	char *bytes = malloc(len);
	struct kvp_pair record = { { bytes, len }, { bytes, len } };
	struct kvp_bytes text = { NULL, 0 };
	char *data = NULL;
	FILE *out = open_memstream(&data, &text.len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	memset(bytes, '\n', len);
	CU_ASSERT_EQUAL(kvp_text_print_record(out, &record), 0);
	(void)fclose(out);
	text.data = data;
	CU_ASSERT_EQUAL(text.len, 6 * len + 2);
	CU_ASSERT_TRUE(parses(text, &record, 1));
	free(data);
	free(bytes);
}

static void sizes_that_no_memory_has_are_no_memory(void)
{
	static const size_t sizes[] = { SIZE_MAX, SIZE_MAX / 2,
					SIZE_MAX / 3 + 1 };

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct kvp_bytes huge = { "", sizes[i] };
		struct kvp_pair keyed = { huge, check_bytes("v") };

		CU_ASSERT_EQUAL(kvp_text_print_record(stdout, &keyed), -ENOMEM);
	}
}

static void failing_stream_is_an_error(void)
{
	struct kvp_pair record = { check_bytes("k"), check_repeat('v', 2048) };
	FILE *full = fopen("/dev/full", "w");
	int r = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(full);
	for (int i = 0; i < 100 && r == 0; i++)
		r = kvp_text_print_record(full, &record);
	CU_ASSERT_EQUAL(r, -ENOSPC);
	(void)fclose(full);
}

static void printing_a_long_field_without_memory_fails(void)
{
	struct kvp_pair record = { check_bytes("k"), check_repeat('v', 2048) };
	FILE *out = fopen("/dev/null", "w");

	fail_alloc_at(1);
	CU_ASSERT_EQUAL(kvp_text_print_record(out, &record), -ENOMEM);
	CU_ASSERT_TRUE(fail_alloc_end());
	(void)fclose(out);
}

static void parsing_without_memory_is_no_fault_of_a_line(void)
{
	struct kvp_bytes text = check_bytes("a=b\nlonger=d\n");
	struct kvp_text_fault fault = { .line = 4711 };
	bool failed = true;

	for (unsigned int n = 1; failed; n++) {
		struct expected expected = { .count = 0 };
		int r;

		fail_alloc_at(n);
		r = kvp_text_parse(text, check_record, &expected, &fault);
		failed = fail_alloc_end();
		CU_ASSERT_EQUAL(r, failed ? -ENOMEM : 0);
		CU_ASSERT_EQUAL(fault.line, 4711);
	}
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
		struct kvp_bytes text = { NULL, 0 };
		char *data = NULL;
		FILE *out = open_memstream(&data, &text.len);
		size_t count = check_random(MAX_RECORDS + 1);
		bool big = i % 10 == 0;

		for (size_t j = 0; j < count; j++) {
			pairs[j].key = random_bytes(keys[j], 1,
						    big ? KVP_KEY_SIZE : 8);
			pairs[j].value = random_bytes(values[j], 0,
						      big ? KVP_VALUE_SIZE : 8);
			CU_ASSERT_EQUAL(kvp_text_print_record(out, &pairs[j]),
					0);
		}
		(void)fclose(out);
		text.data = data;
		CU_ASSERT_TRUE(parses(text, pairs, count));
		free(data);
	}
}

static int print_record(void *arg, const struct kvp_pair *record)
{
	return kvp_text_print_record(arg, record);
}

/* Prints what TEXT says; whether that is TEXT, but for a newline at its end. */
static bool is_printed_again(struct kvp_bytes text, bool *ret_same)
{
	struct kvp_bytes again = { NULL, 0 };
	struct kvp_text_fault fault;
	char *data = NULL;
	FILE *out = open_memstream(&data, &again.len);
	int r = kvp_text_parse(text, print_record, out, &fault);

	(void)fclose(out);
	again.data = data;
	if (r == 0 && text.len > 0 && text.data[text.len - 1] != '\n')
		again.len--;
	*ret_same = kvp_bytes_equal(again, text);
	free(data);
	CU_ASSERT_TRUE(r >= 0);
	return r == 0;
}

static void random_texts_that_parse_are_what_printing_makes(void)
{
	unsigned int valid = 0;

	for (int i = 0; i < 30000; i++) {
		char bytes[64];
		struct kvp_bytes text = random_bytes(bytes, 0, i % 64);
		bool same = false;

		if (!is_printed_again(text, &same))
			continue;
		valid++;
		CU_ASSERT_TRUE(same);
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
	CHECK_CASE(visitor_can_end_it),
	CHECK_CASE(first_invalid_line_is_told_with_its_reason),
	CHECK_CASE(errors_are_no_refusals),
	CHECK_CASE(nul_that_stands_for_itself_is_refused),
	CHECK_CASE(line_numbers_are_right_at_any_length),
	CHECK_CASE(lines_may_be_longer_than_any_record),
	CHECK_CASE(sizes_that_no_memory_has_are_no_memory),
	CHECK_CASE(failing_stream_is_an_error),
	CHECK_CASE(printing_a_long_field_without_memory_fails),
	CHECK_CASE(parsing_without_memory_is_no_fault_of_a_line),
	CHECK_CASE(random_records_survive),
	CHECK_CASE(random_texts_that_parse_are_what_printing_makes),
};

CHECK_MAIN("text", cases)
