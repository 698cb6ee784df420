/* SPDX-License-Identifier: MIT */
#include "quote.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

static void key_stands_in_quotes_and_printable_ascii(void)
{
	static const struct {
		const char *key;
		const char *wanted;
	} keys[] = {
		{ "", "\"\"" },
		{ "a b=c|~", "\"a b=c|~\"" },
		{ "\"\\", "\"\\x22\\x5C\"" },
		{ "\n\x1b\x7f\xff", "\"\\x0A\\x1B\\x7F\\xFF\"" },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		struct kvp_bytes key = { keys[i].key, strlen(keys[i].key) };
		char buf[KVP_QUOTED_MAX];

		CU_ASSERT_STRING_EQUAL(kvp_quote(key, buf), keys[i].wanted);
	}
}

static void line_has_no_control_characters_but_tabs(void)
{
	static const struct {
		const char *text;
		const char *wanted;
	} lines[] = {
		{ "", "" },
		{ "\n", "" },
		{ "text\n", "text" },
		{ "a\tb\nc\n\n", "a\tb\\x0Ac\\x0A" },
		{ "\x01\x1f\x7f", "\\x01\\x1F\\x7F" },
		{ "\xc2\x9b[31m\xc2\x85\xc2\xa0\xc2",
		  "\\xC2\\x9B[31m\\xC2\\x85\xc2\xa0\xc2" },
		{ "gr\xc3\xb6\xc3\x9f"
		  "e \"\\",
		  "gr\xc3\xb6\xc3\x9f"
		  "e \"\\" },
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		size_t size = KVP_QUOTED_LINE_MAX(strlen(lines[i].text));
		char *buf = malloc(size); /* exactly so much, for sanitizers */

		CU_ASSERT_PTR_NOT_NULL_FATAL(buf);
		CU_ASSERT_STRING_EQUAL(kvp_quote_line(lines[i].text, buf, size),
				       lines[i].wanted);
		free(buf);
	}
}

static void long_line_is_cut_between_characters(void)
{
	char buf[sizeof("abc\\x0A")];

	CU_ASSERT_STRING_EQUAL(kvp_quote_line("abc\nd", buf, sizeof(buf)),
			       "abc\\x0A");
	CU_ASSERT_STRING_EQUAL(kvp_quote_line("abcd\ne", buf, sizeof(buf)),
			       "abcd");
	CU_ASSERT_STRING_EQUAL(kvp_quote_line("abcdefgh", buf, sizeof(buf)),
			       "abcd");
}

static const struct check_case cases[] = {
	CHECK_CASE(key_stands_in_quotes_and_printable_ascii),
	CHECK_CASE(line_has_no_control_characters_but_tabs),
	CHECK_CASE(long_line_is_cut_between_characters),
};

CHECK_MAIN("quote", cases)
