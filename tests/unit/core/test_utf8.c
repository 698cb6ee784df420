/* SPDX-License-Identifier: MIT */
#include "utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "check.h"

#define VALID KVP_UTF8_VALID
#define UNFINISHED KVP_UTF8_UNFINISHED
#define INVALID KVP_UTF8_INVALID

static const struct {
	const char *what;
	const char *text;
	enum kvp_utf8 kind;
	size_t valid; /* length of the valid start */
} rows[] = {
	{ "empty", "", VALID, 0 },
	{ "ascii", "plain", VALID, 5 },
	{ "control characters", "\t\n\x01\x7f", VALID, 4 },
	{ "2 bytes, first", "\xc2\x80", VALID, 2 },
	{ "2 bytes, last", "\xdf\xbf", VALID, 2 },
	{ "3 bytes, first", "\xe0\xa0\x80", VALID, 3 },
	{ "3 bytes, last", "\xef\xbf\xbf", VALID, 3 },
	{ "before the surrogates", "\xed\x9f\xbf", VALID, 3 },
	{ "behind the surrogates", "\xee\x80\x80", VALID, 3 },
	{ "byte order mark", "\xef\xbb\xbf", VALID, 3 },
	{ "4 bytes, first", "\xf0\x90\x80\x80", VALID, 4 },
	{ "4 bytes, last", "\xf4\x8f\xbf\xbf", VALID, 4 },
	{ "mixed", "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z", VALID, 11 },

	{ "1 of 2", "\xc3", UNFINISHED, 0 },
	{ "1 of 3", "\xe2", UNFINISHED, 0 },
	{ "2 of 3", "\xe2\x82", UNFINISHED, 0 },
	{ "1 of 4", "\xf0", UNFINISHED, 0 },
	{ "2 of 4", "\xf0\x9f", UNFINISHED, 0 },
	{ "3 of 4", "\xf0\x9f\x98", UNFINISHED, 0 },
	{ "1 of 2 behind text", "ab\xc3", UNFINISHED, 2 },
	{ "3 of 4 behind text", "\xc3\xa9\xf0\x9f\x98", UNFINISHED, 2 },

	{ "continuation alone", "\x80", INVALID, 0 },
	{ "last continuation alone", "\xbf", INVALID, 0 },
	{ "continuation behind a character", "\xc3\xa9\xa9", INVALID, 2 },
	{ "2 bytes, overlong slash", "\xc0\xaf", INVALID, 0 },
	{ "2 bytes, overlong U+7F", "\xc1\xbf", INVALID, 0 },
	{ "half of that", "\xc0", INVALID, 0 },
	{ "half of that", "\xc1", INVALID, 0 },
	{ "3 bytes, overlong slash", "\xe0\x80\xaf", INVALID, 0 },
	{ "3 bytes, overlong U+7FF", "\xe0\x9f\xbf", INVALID, 0 },
	{ "2 of those", "\xe0\x9f", INVALID, 0 },
	{ "4 bytes, overlong slash", "\xf0\x80\x80\xaf", INVALID, 0 },
	{ "4 bytes, overlong U+FFFF", "\xf0\x8f\xbf\xbf", INVALID, 0 },
	{ "3 of those", "\xf0\x8f\xbf", INVALID, 0 },
	{ "2 of those", "\xf0\x8f", INVALID, 0 },
	{ "first surrogate", "\xed\xa0\x80", INVALID, 0 },
	{ "last surrogate", "\xed\xbf\xbf", INVALID, 0 },
	{ "2 bytes of a surrogate", "\xed\xa0", INVALID, 0 },
	{ "surrogate pair", "\xed\xa0\xbd\xed\xb8\x80", INVALID, 0 },
	{ "U+110000", "\xf4\x90\x80\x80", INVALID, 0 },
	{ "2 bytes of it", "\xf4\x90", INVALID, 0 },
	{ "U+140000", "\xf5\x80\x80\x80", INVALID, 0 },
	{ "first byte of it", "\xf5", INVALID, 0 },
	{ "5 bytes", "\xf8\x88\x80\x80\x80", INVALID, 0 },
	{ "6 bytes", "\xfc\x84\x80\x80\x80\x80", INVALID, 0 },
	{ "fe", "\xfe", INVALID, 0 },
	{ "ff", "ab\xff", INVALID, 2 },
	{ "latin-1", "caf\xe9!", INVALID, 3 },
	{ "unfinished, then text",
	  "\xc3"
	  "a",
	  INVALID, 0 },
	{ "unfinished, then a character", "\xe2\x82\xc3\xa9", INVALID, 0 },
	{ "unfinished, then unfinished", "a\xf0\x9f\xf0\x9f", INVALID, 1 },
	{ "invalid, then unfinished", "\xff\xc3", INVALID, 0 },
};

static void each_kind_is_told_from_the_others(void)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct kvp_bytes text = check_bytes(rows[i].text);
		size_t valid = 999;

		CHECK_ROW(rows[i].what,
			  kvp_utf8_check(text, &valid) == rows[i].kind);
		CHECK_ROW(rows[i].what, valid == rows[i].valid);
		CHECK_ROW(rows[i].what,
			  kvp_utf8_check(text, NULL) == rows[i].kind);
	}
}

static void no_bytes_are_valid(void)
{
	size_t valid = 999;

	CU_ASSERT_EQUAL(kvp_utf8_check((struct kvp_bytes){ NULL, 0 }, &valid),
			VALID);
	CU_ASSERT_EQUAL(valid, 0);
}

static void nul_is_a_character(void)
{
	CU_ASSERT_EQUAL(kvp_utf8_check((struct kvp_bytes){ "a\0b", 3 }, NULL),
			VALID);
}

static void bytes_behind_the_text_do_not_finish_it(void)
{
	static const char text[] = "\xf0\x9f\x98\x80";

	for (size_t len = 1; len < 4; len++)
		CU_ASSERT_EQUAL(kvp_utf8_check((struct kvp_bytes){ text, len },
					       NULL),
				UNFINISHED);
}

static size_t spell(uint32_t c, char text[4])
{
	if (c < 0x80) {
		text[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		text[0] = (char)(0xc0 | c >> 6);
		text[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		text[0] = (char)(0xe0 | c >> 12);
		text[1] = (char)(0x80 | (c >> 6 & 0x3f));
		text[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	text[0] = (char)(0xf0 | c >> 18);
	text[1] = (char)(0x80 | (c >> 12 & 0x3f));
	text[2] = (char)(0x80 | (c >> 6 & 0x3f));
	text[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

static void each_character_is_valid_and_unfinished_until_its_end(void)
{
	size_t wrong = 0;

	for (uint32_t c = 0; c <= 0x10ffff; c = c == 0xd7ff ? 0xe000 : c + 1) {
		char text[4];
		size_t len = spell(c, text);

		for (size_t cut = 1; cut <= len; cut++) {
			struct kvp_bytes part = { text, cut };
			size_t valid = 999;
			enum kvp_utf8 kind = kvp_utf8_check(part, &valid);

			wrong += kind != (cut < len ? UNFINISHED : VALID) ||
				 valid != (cut < len ? 0 : len);
		}
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void a_character_may_be_split_anywhere(void)
{
	static const char *const characters[] = {
		"\xc3\xa9",
		"\xe2\x82\xac",
		"\xf0\x9f\x98\x80",
	};

	for (size_t i = 0; i < COUNT(characters); i++) {
		const char *character = characters[i];
		size_t size = strlen(character);

		for (size_t cut = 1; cut < size; cut++) {
			struct kvp_bytes end = { character + cut, size - cut };
			char text[16];
			size_t valid;
			int len = snprintf(text, sizeof(text), "%s%.*s",
					   characters[0], (int)cut, character);
			struct kvp_bytes start = { text, (size_t)len };

			CHECK_ROW(character,
				  kvp_utf8_check(start, &valid) == UNFINISHED);
			CHECK_ROW(character, valid == 2);
			CHECK_ROW(character,
				  kvp_utf8_check(end, &valid) == INVALID);
			CHECK_ROW(character, valid == 0);
			memcpy(text + len, end.data, end.len);
			start.len += end.len;
			CHECK_ROW(character,
				  kvp_utf8_check(start, &valid) == VALID);
			CHECK_ROW(character, valid == 2 + size);
		}
	}
}

/* Well-formed byte sequences: The Unicode Standard, table 3-7. */
static const struct {
	unsigned char first_low, first_high;
	unsigned char second_low, second_high;
	size_t len;
} forms[] = {
	{ 0x00, 0x7f, 0x00, 0x00, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 },
	{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
	{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
	{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
	{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
};

/* What the table says of the first character of TEXT; *RET_LEN: how long it is. */
static enum kvp_utf8 first_character(const unsigned char *text, size_t len,
				     size_t *ret_len)
{
	size_t f = 0;

	while (f < COUNT(forms) &&
	       (text[0] < forms[f].first_low || text[0] > forms[f].first_high))
		f++;
	if (f == COUNT(forms))
		return INVALID;
	for (size_t i = 1; i < forms[f].len && i < len; i++) {
		unsigned char low = i == 1 ? forms[f].second_low : 0x80;
		unsigned char high = i == 1 ? forms[f].second_high : 0xbf;

		if (text[i] < low || text[i] > high)
			return INVALID;
	}
	*ret_len = forms[f].len;
	return len < forms[f].len ? UNFINISHED : VALID;
}

static enum kvp_utf8 expected(const unsigned char *text, size_t len,
			      size_t *ret_valid)
{
	enum kvp_utf8 kind = VALID;
	size_t size = 0;

	for (*ret_valid = 0; *ret_valid < len; *ret_valid += size) {
		kind = first_character(text + *ret_valid, len - *ret_valid,
				       &size);
		if (kind != VALID)
			break;
	}
	return kind;
}

static bool is_as_expected(const unsigned char *text, size_t len)
{
	struct kvp_bytes bytes = { (const char *)text, len };
	size_t valid = 999;
	size_t expected_valid;
	enum kvp_utf8 kind = kvp_utf8_check(bytes, &valid);

	return kind == expected(text, len, &expected_valid) &&
	       valid == expected_valid;
}

static void every_pair_of_bytes_is_judged_by_the_table(void)
{
	size_t wrong = 0;

	for (unsigned int i = 0; i < 0x10000; i++) {
		unsigned char text[2] = { (unsigned char)(i >> 8),
					  (unsigned char)i };

		wrong += !is_as_expected(text, 1) + !is_as_expected(text, 2);
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void every_sequence_of_boundary_bytes_is_judged_by_the_table(void)
{
	static const unsigned char bounds[] = {
		0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
		0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed,
		0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
	};
	size_t n = sizeof(bounds);
	size_t wrong = 0;

	for (size_t i = 0; i < n * n * n * n; i++) {
		unsigned char text[4] = {
			bounds[i % n],
			bounds[i / n % n],
			bounds[i / n / n % n],
			bounds[i / n / n / n],
		};

		wrong += !is_as_expected(text, 3) + !is_as_expected(text, 4);
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

static const struct check_case cases[] = {
	CHECK_CASE(each_kind_is_told_from_the_others),
	CHECK_CASE(no_bytes_are_valid),
	CHECK_CASE(nul_is_a_character),
	CHECK_CASE(bytes_behind_the_text_do_not_finish_it),
	CHECK_CASE(each_character_is_valid_and_unfinished_until_its_end),
	CHECK_CASE(a_character_may_be_split_anywhere),
	CHECK_CASE(every_pair_of_bytes_is_judged_by_the_table),
	CHECK_CASE(every_sequence_of_boundary_bytes_is_judged_by_the_table),
};

CHECK_MAIN("utf8", cases)
