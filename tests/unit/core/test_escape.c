/* SPDX-License-Identifier: MIT */
#include "escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define NO_LEN 99999
#define LONGEST 64

/* Where a text and its escapes can be mistaken for each other. */
#define TRICKY "%/=025DFax"

/* Both directions hold for each of these. */
static const struct {
	const char *set;
	const char *text;
	const char *escaped;
} pairs[] = {
	{ "", "", "" },
	{ "/", "", "" },
	{ "/", "a", "a" },
	{ "/", "/", "%2F" },
	{ "", "/", "/" },
	{ "/", "=", "=" },
	{ "\n=", "a=b\nc", "a%3Db%0Ac" },
	{ "\n", "a=b\nc", "a=b%0Ac" },
	{ "\n=", "=\n", "%3D%0A" },
	{ "\xff\x80", "\x80\x81\xff", "%80\x81%FF" },
	{ "/", "100%", "100%" },
	{ "/", "%%", "%%" },
	{ "/", "%4", "%4" },
	{ "/", "%4g", "%4g" },
	{ "/", "%g4", "%g4" },
	{ "/", "%/4", "%%2F4" },
	{ "/", "%4/", "%4%2F" },
	{ "", "%41", "%2541" },
	{ "/", "%2F", "%252F" },
	{ "/", "%2f", "%252f" },
	{ "/", "%00", "%2500" },
	{ "/", "%252F", "%25252F" },
	{ "/", "%%41", "%%2541" },
	{ "/", "%4%41", "%4%2541" },
	{ "%", "%", "%25" },
	{ "%/", "%2F/", "%252F%2F" },
	{ "%", "%%", "%25%25" },
};

static const struct {
	const char *set;
	const char *text;
	int result;
	size_t bad;
} faults[] = {
	{ "/", "/", KVP_UNESCAPE_NOT_CANONICAL, 0 },
	{ "/", "ab/c/", KVP_UNESCAPE_NOT_CANONICAL, 2 },
	{ "/", "%2f", KVP_UNESCAPE_NOT_CANONICAL, 0 },
	{ "=", "%3d", KVP_UNESCAPE_NOT_CANONICAL, 0 },
	{ "\xaa", "%aA", KVP_UNESCAPE_NOT_CANONICAL, 0 },
	{ "\xaa", "%Aa", KVP_UNESCAPE_NOT_CANONICAL, 0 },
	{ "/", "%41", KVP_UNESCAPE_NOT_CANONICAL, 0 },
	{ "/", "x%41", KVP_UNESCAPE_NOT_CANONICAL, 1 },
	{ "", "%2F", KVP_UNESCAPE_NOT_CANONICAL, 0 },
	{ "/", "%2F%41%42", KVP_UNESCAPE_NOT_CANONICAL, 3 },
	{ "/", "%%411", KVP_UNESCAPE_NOT_CANONICAL, 1 },
	{ "/", "%4%41", KVP_UNESCAPE_NOT_CANONICAL, 2 },
	{ "/", "%25", KVP_UNESCAPE_NOT_CANONICAL, 0 },
	{ "/", "%25zz", KVP_UNESCAPE_NOT_CANONICAL, 0 },
	{ "/", "%254", KVP_UNESCAPE_NOT_CANONICAL, 0 },
	{ "/", "%254g", KVP_UNESCAPE_NOT_CANONICAL, 0 },
	{ "/", "%25%2F", KVP_UNESCAPE_NOT_CANONICAL, 0 },
	{ "/", "%254%31", KVP_UNESCAPE_NOT_CANONICAL, 0 },
	{ "%", "%", KVP_UNESCAPE_NOT_CANONICAL, 0 },
	{ "%", "%2541%", KVP_UNESCAPE_NOT_CANONICAL, 5 },
	{ "/", "%00", KVP_UNESCAPE_NUL, 0 },
	{ "/", "a%00", KVP_UNESCAPE_NUL, 1 },
	{ "/", "%%00", KVP_UNESCAPE_NUL, 1 },
	{ "/", "%2F%00", KVP_UNESCAPE_NUL, 3 },
	{ "/", "a%00%00", KVP_UNESCAPE_NUL, 1 },
	{ "/", "%41%00", KVP_UNESCAPE_NUL, 3 },
	{ "/", "%00%41", KVP_UNESCAPE_NUL, 0 },
	{ "/", "//%00", KVP_UNESCAPE_NUL, 2 },
};

/* In memory of its own, so that nothing can hide that lies behind it. */
static char *exact_copy(struct kvp_bytes bytes)
{
	char *copy = malloc(bytes.len ? bytes.len : 1);

	if (!copy)
		abort();
	if (bytes.len > 0)
		memcpy(copy, bytes.data, bytes.len);
	return copy;
}

static bool escape(struct kvp_bytes text, const char *set, char *out,
		   size_t size, size_t *ret_len)
{
	*ret_len = NO_LEN;
	return kvp_escape(text, set, out, size, ret_len);
}

static int unescape(struct kvp_bytes text, const char *set, char *out,
		    size_t *ret_len, size_t *ret_bad)
{
	char *copy = exact_copy(text);
	int r;

	*ret_len = NO_LEN;
	*ret_bad = NO_LEN;
	r = kvp_unescape((struct kvp_bytes){ copy, text.len }, set, out,
			 ret_len, ret_bad);
	free(copy);
	return r;
}

static void escape_writes_the_set_and_ambiguous_percents_as_hex(void)
{
	for (size_t i = 0; i < COUNT(pairs); i++) {
		char out[LONGEST];
		struct kvp_bytes escaped = { out, 0 };

		CHECK_ROW(pairs[i].text,
			  escape(check_bytes(pairs[i].text), pairs[i].set, out,
				 sizeof(out), &escaped.len));
		CHECK_ROW(pairs[i].text,
			  kvp_bytes_equal(escaped,
					  check_bytes(pairs[i].escaped)));
	}
}

static void unescape_reverses_it(void)
{
	for (size_t i = 0; i < COUNT(pairs); i++) {
		char out[LONGEST];
		struct kvp_bytes text = { out, 0 };
		size_t bad;

		CHECK_ROW(pairs[i].escaped,
			  unescape(check_bytes(pairs[i].escaped), pairs[i].set,
				   out, &text.len, &bad) == 0);
		CHECK_ROW(pairs[i].escaped, bad == NO_LEN);
		CHECK_ROW(pairs[i].escaped,
			  kvp_bytes_equal(text, check_bytes(pairs[i].text)));
	}
}

static void escape_takes_exactly_the_room_it_needs(void)
{
	for (size_t i = 0; i < COUNT(pairs); i++) {
		size_t need = strlen(pairs[i].escaped);

		for (size_t size = 0; size <= need; size++) {
			char out[LONGEST];
			size_t len;

			memset(out, '#', sizeof(out));
			CHECK_ROW(pairs[i].text,
				  escape(check_bytes(pairs[i].text),
					 pairs[i].set, out, size,
					 &len) == (size == need));
			CHECK_ROW(pairs[i].text,
				  len == (size == need ? need : NO_LEN));
			CHECK_ROW(pairs[i].text, out[size] == '#');
		}
	}
}

static void escape_does_not_look_behind_the_text(void)
{
	char out[LONGEST];
	size_t len;

	CU_ASSERT_TRUE(escape((struct kvp_bytes){ "%41", 1 }, "/", out,
			      sizeof(out), &len));
	CU_ASSERT_EQUAL(len, 1);
	CU_ASSERT_TRUE(escape((struct kvp_bytes){ "%41", 2 }, "/", out,
			      sizeof(out), &len));
	CU_ASSERT_EQUAL(len, 2);
}

static void escape_leaves_a_nul_alone(void)
{
	char out[LONGEST];
	struct kvp_bytes escaped = { out, 0 };

	CU_ASSERT_TRUE(escape((struct kvp_bytes){ "/\0a", 3 }, "/", out,
			      sizeof(out), &escaped.len));
	CHECK_BYTES_EQUAL(escaped, ((struct kvp_bytes){ "%2F\0a", 5 }));
}

static void unescape_does_not_look_behind_the_text(void)
{
	char out[LONGEST];
	size_t len;
	size_t bad;

	CU_ASSERT_EQUAL(unescape((struct kvp_bytes){ "%2F", 2 }, "/", out, &len,
				 &bad),
			0);
	CU_ASSERT_EQUAL(len, 2);
	CU_ASSERT_EQUAL(unescape((struct kvp_bytes){ "%2541", 4 }, "/", out,
				 &len, &bad),
			KVP_UNESCAPE_NOT_CANONICAL);
	CU_ASSERT_EQUAL(bad, 0);
}

static void unescape_says_where_the_first_fault_is(void)
{
	for (size_t i = 0; i < COUNT(faults); i++) {
		char out[LONGEST];
		size_t len;
		size_t bad;
		int r = unescape(check_bytes(faults[i].text), faults[i].set,
				 out, &len, &bad);

		CHECK_ROW(faults[i].text, r == faults[i].result);
		CHECK_ROW(faults[i].text, bad == faults[i].bad);
		CHECK_ROW(faults[i].text, len == NO_LEN);
	}
}

static void unescape_does_not_insist_on_telling_where(void)
{
	char out[LONGEST];
	size_t len = NO_LEN;

	CU_ASSERT_EQUAL(kvp_unescape(check_bytes("%41"), "/", out, &len, NULL),
			KVP_UNESCAPE_NOT_CANONICAL);
	CU_ASSERT_EQUAL(kvp_unescape(check_bytes("%00"), "/", out, &len, NULL),
			KVP_UNESCAPE_NUL);
	CU_ASSERT_EQUAL(len, NO_LEN);
}

static void unescape_refuses_a_nul_that_stands_for_itself(void)
{
	char out[LONGEST];
	size_t len;
	size_t bad;

	CU_ASSERT_EQUAL(unescape((struct kvp_bytes){ "ab\0c", 4 }, "/", out,
				 &len, &bad),
			KVP_UNESCAPE_NUL);
	CU_ASSERT_EQUAL(bad, 2);
}

static const char *const sets[] = { "", "/", "\n=", "\n", "%", "/%=" };
#define SETS (COUNT(sets))

static bool is_hex(char c)
{
	return c && strchr("0123456789abcdefABCDEF", c);
}

static bool starts_with_escape(const char *text)
{
	return text[0] == '%' && is_hex(text[1]) && is_hex(text[2]);
}

/* The escaped form of TEXT, a string, by the rules and by printf. */
static size_t expected(const char *text, const char *set, char *out)
{
	size_t len = 0;

	for (; *text; text++) {
		if (strchr(set, *text) || starts_with_escape(text))
			len += (size_t)sprintf(out + len, "%%%02X",
					       (unsigned char)*text);
		else
			out[len++] = *text;
	}
	return len;
}

/* What TEXT, a string, stands for if its escapes are taken for what they look. */
static size_t decoded(const char *text, char *out)
{
	size_t len = 0;

	while (*text) {
		if (!starts_with_escape(text)) {
			out[len++] = *text++;
			continue;
		}
		out[len++] = (char)strtol((char[]){ text[1], text[2], '\0' },
					  NULL, 16);
		text += 3;
	}
	out[len] = '\0';
	return len;
}

/* TEXT, a string, becomes what it must, which becomes TEXT again. */
static bool text_survives(const char *text, const char *set)
{
	char want[3 * LONGEST + 1];
	char out[3 * LONGEST];
	char again[3 * LONGEST];
	struct kvp_bytes bytes = check_bytes(text);
	size_t want_len = expected(text, set, want);
	size_t len;
	size_t again_len;
	size_t bad;

	return escape(bytes, set, out, want_len, &len) && len == want_len &&
	       !memcmp(out, want, len) &&
	       unescape((struct kvp_bytes){ out, len }, set, again, &again_len,
			&bad) == 0 &&
	       kvp_bytes_equal((struct kvp_bytes){ again, again_len }, bytes);
}

/* ESCAPED, a string, is accepted if it is the escaped form of what it says. */
static bool acceptance_is_right(const char *escaped, const char *set)
{
	char text[LONGEST + 1];
	char again[3 * LONGEST + 1];
	char out[LONGEST];
	size_t text_len = decoded(escaped, text);
	size_t again_len = expected(text, set, again);
	size_t len;
	size_t bad;
	int r = unescape(check_bytes(escaped), set, out, &len, &bad);

	if (memchr(text, '\0', text_len))
		return r == KVP_UNESCAPE_NUL &&
		       !strncmp(escaped + bad, "%00", 3);
	if (again_len != strlen(escaped) || memcmp(escaped, again, again_len))
		return r == KVP_UNESCAPE_NOT_CANONICAL &&
		       (starts_with_escape(escaped + bad) ||
			strchr(set, escaped[bad]));
	return r == 0 && len == text_len && !memcmp(out, text, len);
}

static void check_text(const char *text)
{
	for (size_t i = 0; i < SETS; i++) {
		CHECK_ROW(text, text_survives(text, sets[i]));
		CHECK_ROW(text, acceptance_is_right(text, sets[i]));
	}
}

static void every_byte_survives(void)
{
	for (int c = 1; c < 256; c++)
		check_text((char[]){ 'a', (char)c, 'b', '\0' });
}

static void every_short_text_of_tricky_characters_survives(void)
{
	check_each_text(TRICKY, 4, check_text);
}

/* Alphabets to take random texts from; NULL: all bytes but NUL. */
static const char *const alphabets[] = {
	NULL,
	"%=/\n0123456789ABCDEFabcdef",
	"%25",
	"%02356DFA",
};

static char random_character(const char *alphabet)
{
	if (!alphabet)
		return (char)(1 + check_random(255));
	return alphabet[check_random((unsigned int)strlen(alphabet))];
}

static void fill_randomly(char *text, size_t len, const char *alphabet)
{
	for (size_t i = 0; i < len; i++)
		text[i] = random_character(alphabet);
	text[len] = '\0';
}

static void random_texts_survive(void)
{
	for (int i = 0; i < 20000; i++) {
		char text[LONGEST + 1];

		fill_randomly(text, check_random(LONGEST + 1),
			      alphabets[check_random(4)]);
		check_text(text);
	}
}

static const struct check_case cases[] = {
	CHECK_CASE(escape_writes_the_set_and_ambiguous_percents_as_hex),
	CHECK_CASE(unescape_reverses_it),
	CHECK_CASE(escape_takes_exactly_the_room_it_needs),
	CHECK_CASE(escape_does_not_look_behind_the_text),
	CHECK_CASE(escape_leaves_a_nul_alone),
	CHECK_CASE(unescape_does_not_look_behind_the_text),
	CHECK_CASE(unescape_says_where_the_first_fault_is),
	CHECK_CASE(unescape_does_not_insist_on_telling_where),
	CHECK_CASE(unescape_refuses_a_nul_that_stands_for_itself),
	CHECK_CASE(every_byte_survives),
	CHECK_CASE(every_short_text_of_tricky_characters_survives),
	CHECK_CASE(random_texts_survive),
};

CHECK_MAIN("escape", cases)
