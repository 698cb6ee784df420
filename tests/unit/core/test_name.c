/* SPDX-License-Identifier: MIT */
#include "name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* Where a key and a name can be mistaken for each other. */
#define TRICKY "%/.02Faz"

#define NO_LEN 99999

/* Both directions hold for each of these. */
static const struct {
	const char *key;
	const char *name;
} pairs[] = {
	{ "a", "a" },
	{ " ", " " },
	{ "\n", "\n" },
	{ "\x01\xff", "\x01\xff" },
	{ "\xc3\xa9", "\xc3\xa9" },
	{ "CLOUD_INIT|1|start|init-network/check-cache|x",
	  "CLOUD_INIT|1|start|init-network%2Fcheck-cache|x" },
	{ "/", "%2F" },
	{ "//", "%2F%2F" },
	{ "/a/", "%2Fa%2F" },
	{ "100%", "100%" },
	{ "%", "%" },
	{ "%%", "%%" },
	{ "%4", "%4" },
	{ "%4g", "%4g" },
	{ "%g4", "%g4" },
	{ "%/4", "%%2F4" },
	{ "%4/", "%4%2F" },
	{ "%2F", "%252F" },
	{ "%2f", "%252f" },
	{ "%00", "%2500" },
	{ "%41", "%2541" },
	{ "%aB", "%25aB" },
	{ "%252F", "%25252F" },
	{ "%%41", "%%2541" },
	{ "%4%41", "%4%2541" },
	{ "x%41y%42", "x%2541y%2542" },
	{ ".", "%2E" },
	{ "..", "%2E." },
	{ ".kvpfs", "%2Ekvpfs" },
	{ "...", "..." },
	{ ".a", ".a" },
	{ "a.", "a." },
	{ ".kvpf", ".kvpf" },
	{ ".kvpfs.", ".kvpfs." },
	{ ".kvpfs/", ".kvpfs%2F" },
	{ ".KVPFS", ".KVPFS" },
	{ "kvpfs", "kvpfs" },
	{ "./", ".%2F" },
	{ "../", "..%2F" },
	{ "/.", "%2F." },
};

static const struct {
	const char *name;
	int result;
} bad_names[] = {
	{ "", KVP_NAME_NOT_CANONICAL },
	{ ".", KVP_NAME_NOT_CANONICAL },
	{ "..", KVP_NAME_NOT_CANONICAL },
	{ ".kvpfs", KVP_NAME_NOT_CANONICAL },
	{ "", KVP_NAME_NOT_CANONICAL },
	{ ".", KVP_NAME_NOT_CANONICAL },
	{ "a/b", KVP_NAME_NOT_CANONICAL },
	{ "%2f", KVP_NAME_NOT_CANONICAL },
	{ "a%2fb", KVP_NAME_NOT_CANONICAL },
	{ "%2e", KVP_NAME_NOT_CANONICAL },
	{ "%2ekvpfs", KVP_NAME_NOT_CANONICAL },
	{ "%41", KVP_NAME_NOT_CANONICAL },
	{ "%c3%a9", KVP_NAME_NOT_CANONICAL },
	{ "%C3%A9", KVP_NAME_NOT_CANONICAL },
	{ "%0A", KVP_NAME_NOT_CANONICAL },
	{ "%25", KVP_NAME_NOT_CANONICAL },
	{ "%25zz", KVP_NAME_NOT_CANONICAL },
	{ "%254", KVP_NAME_NOT_CANONICAL },
	{ "%25%2F", KVP_NAME_NOT_CANONICAL },
	{ "%2Ea", KVP_NAME_NOT_CANONICAL },
	{ "a%2E", KVP_NAME_NOT_CANONICAL },
	{ ".%2E", KVP_NAME_NOT_CANONICAL },
	{ "%2E%2E", KVP_NAME_NOT_CANONICAL },
	{ "%2E..", KVP_NAME_NOT_CANONICAL },
	{ "%2Ekvpfs2", KVP_NAME_NOT_CANONICAL },
	{ ".kvpf%73", KVP_NAME_NOT_CANONICAL },
	{ "%00", KVP_NAME_NUL },
	{ "a%00", KVP_NAME_NUL },
	{ "%00a", KVP_NAME_NUL },
	{ "%2F%00", KVP_NAME_NUL },
	{ "%%00", KVP_NAME_NUL },
};

static int encode(struct kvp_bytes key, char name[KVP_NAME_MAX + 1],
		  size_t *ret_len)
{
	*ret_len = NO_LEN;
	return kvp_name_encode(key, name, ret_len);
}

static int decode(const char *name, char key[KVP_NAME_MAX], size_t *ret_len)
{
	*ret_len = NO_LEN;
	return kvp_name_decode(name, key, ret_len);
}

static void encode_escapes_what_no_name_can_hold_and_nothing_else(void)
{
	for (size_t i = 0; i < COUNT(pairs); i++) {
		char name[KVP_NAME_MAX + 1];
		size_t len;

		CHECK_ROW(pairs[i].key,
			  encode(check_bytes(pairs[i].key), name, &len) == 0);
		CHECK_ROW(pairs[i].key, len == strlen(pairs[i].name));
		CHECK_ROW(pairs[i].key, !strcmp(name, pairs[i].name));
	}
}

static void decode_reverses_it(void)
{
	for (size_t i = 0; i < COUNT(pairs); i++) {
		struct kvp_bytes key = { NULL, 0 };
		char buf[KVP_NAME_MAX];

		key.data = buf;
		CHECK_ROW(pairs[i].name,
			  decode(pairs[i].name, buf, &key.len) == 0);
		CHECK_ROW(pairs[i].name,
			  kvp_bytes_equal(key, check_bytes(pairs[i].key)));
	}
}

static void decode_refuses_what_is_the_name_of_no_key(void)
{
	for (size_t i = 0; i < COUNT(bad_names); i++) {
		char key[KVP_NAME_MAX];
		size_t len;

		CHECK_ROW(bad_names[i].name,
			  decode(bad_names[i].name, key, &len) ==
				  bad_names[i].result);
		CHECK_ROW(bad_names[i].name, len == NO_LEN);
	}
}

static void encode_does_not_look_behind_the_key(void)
{
	static const char text[] = "%41";
	char name[KVP_NAME_MAX + 1];
	size_t len;

	CU_ASSERT_EQUAL(encode((struct kvp_bytes){ text, 1 }, name, &len), 0);
	CU_ASSERT_STRING_EQUAL(name, "%");
	CU_ASSERT_EQUAL(encode((struct kvp_bytes){ text, 2 }, name, &len), 0);
	CU_ASSERT_STRING_EQUAL(name, "%4");
	CU_ASSERT_EQUAL(encode((struct kvp_bytes){ ".kvpfs2", 6 }, name, &len),
			0);
	CU_ASSERT_STRING_EQUAL(name, "%2Ekvpfs");
}

static void each_byte_but_slash_stands_for_itself(void)
{
	for (int c = 1; c < 256; c++) {
		char key[3] = { 'a', (char)c, 'b' };
		struct kvp_bytes bytes = { key, sizeof(key) };
		char name[KVP_NAME_MAX + 1];
		size_t len;

		CU_ASSERT_EQUAL(encode(bytes, name, &len), 0);
		if (c == '/')
			CU_ASSERT_STRING_EQUAL(name, "a%2Fb")
		else
			CU_ASSERT_TRUE(len == 3 && !memcmp(name, key, 3));
	}
}

/* A key of LEN bytes of which SLASHES are slashes, that is so long a name: */
static const struct {
	size_t len;
	size_t slashes;
	size_t name_len;
} lengths[] = {
	{ 512, 0, 512 },    { 512, 255, 1022 }, { 511, 256, 1023 },
	{ 512, 256, 1024 }, { 511, 257, 1025 }, { 512, 257, 1026 },
	{ 512, 512, 1536 },
};

static void names_of_up_to_1024_bytes_are_served(void)
{
	for (size_t i = 0; i < COUNT(lengths); i++) {
		bool fits = lengths[i].name_len <= KVP_NAME_MAX;
		char key[KVP_KEY_SIZE];
		char name[KVP_NAME_MAX + 1];
		char again[KVP_NAME_MAX];
		size_t len;
		char row[16];

		snprintf(row, sizeof(row), "%zu", lengths[i].name_len);
		memset(key, 'k', sizeof(key));
		memset(key, '/', lengths[i].slashes);
		CHECK_ROW(row,
			  encode((struct kvp_bytes){ key, lengths[i].len },
				 name, &len) == (fits ? 0 : KVP_NAME_TOO_LONG));
		CHECK_ROW(row, len == (fits ? lengths[i].name_len : NO_LEN));
		if (!fits)
			continue;
		CHECK_ROW(row, strlen(name) == len);
		CHECK_ROW(row, decode(name, again, &len) == 0);
		CHECK_ROW(row, len == lengths[i].len);
		CHECK_ROW(row, !memcmp(again, key, len));
	}
}

/* The last characters of a key of 512 bytes decide. */
static const struct {
	size_t slashes;
	const char *end;
	int result;
} ends[] = {
	{ 256, "a", 0 },		    /* 1024 */
	{ 255, "/", 0 },		    /* 1024 */
	{ 256, "/", KVP_NAME_TOO_LONG },    /* 1026 */
	{ 256, "%4g", 0 },		    /* 1024 */
	{ 255, "%41", 0 },		    /* 1024 */
	{ 256, "%41", KVP_NAME_TOO_LONG },  /* 1026 */
	{ 255, "/%4", 0 },		    /* 1024 */
	{ 254, "/%41", 0 },		    /* 1024 */
	{ 255, "/%41", KVP_NAME_TOO_LONG }, /* 1026 */
};

static void encode_is_exact_about_an_escape_at_the_limit(void)
{
	for (size_t i = 0; i < COUNT(ends); i++) {
		char key[KVP_KEY_SIZE];
		char name[KVP_NAME_MAX + 1];
		size_t end = strlen(ends[i].end);
		size_t len;

		memset(key, 'k', sizeof(key));
		memset(key, '/', ends[i].slashes);
		memcpy(key + sizeof(key) - end, ends[i].end, end);
		CHECK_ROW(ends[i].end,
			  encode((struct kvp_bytes){ key, sizeof(key) }, name,
				 &len) == ends[i].result);
	}
}

static void decode_takes_up_to_1024_bytes(void)
{
	static const struct {
		size_t len;
		int result;
	} rows[] = {
		{ 512, 0 },
		{ 513, 0 },
		{ 1023, 0 },
		{ 1024, 0 },
		{ 1025, KVP_NAME_TOO_LONG },
		{ 3000, KVP_NAME_TOO_LONG },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		char *name = strndup(check_repeat('n', rows[i].len).data,
				     rows[i].len);
		char *key = malloc(KVP_NAME_MAX);
		size_t len;
		char row[16];

		CU_ASSERT_FATAL(name && key);
		snprintf(row, sizeof(row), "%zu", rows[i].len);
		CHECK_ROW(row, decode(name, key, &len) == rows[i].result);
		CHECK_ROW(row, len == (rows[i].result ? NO_LEN : rows[i].len));
		free(key);
		free(name);
	}
}

static void decode_is_exact_about_an_escape_at_the_limit(void)
{
	char name[KVP_NAME_MAX + 2];
	char key[KVP_NAME_MAX];
	size_t len;

	memset(name, 'n', sizeof(name));
	memcpy(name + 1021, "%2F", 4);
	CU_ASSERT_EQUAL(decode(name, key, &len), 0);
	CU_ASSERT_EQUAL(len, 1022);
	CU_ASSERT_EQUAL(key[1021], '/');
	memset(name, 'n', sizeof(name));
	memcpy(name + 1022, "%2F", 4);
	CU_ASSERT_EQUAL(decode(name, key, &len), KVP_NAME_TOO_LONG);
}

static bool is_hex(char c)
{
	return c && strchr("0123456789abcdefABCDEF", c);
}

/* How long the name of KEY is, reckoned from the rules. */
static size_t expected_length(struct kvp_bytes key)
{
	bool taken = kvp_bytes_equal(key, check_bytes(".")) ||
		     kvp_bytes_equal(key, check_bytes("..")) ||
		     kvp_bytes_equal(key, check_bytes(".kvpfs"));
	size_t len = key.len + (taken ? 2 : 0);

	for (size_t i = 0; i < key.len; i++)
		if (key.data[i] == '/' ||
		    (key.data[i] == '%' && i + 2 < key.len &&
		     is_hex(key.data[i + 1]) && is_hex(key.data[i + 2])))
			len += 2;
	return len;
}

/* KEY has the name that it must have, which leads back to it alone. */
static bool key_survives(struct kvp_bytes key)
{
	char name[KVP_NAME_MAX + 1];
	char again[KVP_NAME_MAX];
	size_t expected = expected_length(key);
	size_t len;
	size_t again_len;
	int r = encode(key, name, &len);

	if (expected > KVP_NAME_MAX)
		return r == KVP_NAME_TOO_LONG;
	return r == 0 && len == expected && strlen(name) == len &&
	       !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..") &&
	       strcmp(name, ".kvpfs") && decode(name, again, &again_len) == 0 &&
	       kvp_bytes_equal(key, (struct kvp_bytes){ again, again_len });
}

/* NAME leads to a key whose name is NAME, or to none. */
static bool name_survives(const char *name)
{
	char key[KVP_NAME_MAX];
	char again[KVP_NAME_MAX + 1];
	size_t len;
	size_t again_len;

	if (decode(name, key, &len))
		return true;
	return encode((struct kvp_bytes){ key, len }, again, &again_len) == 0 &&
	       again_len == strlen(name) && !strcmp(name, again);
}

static void check_text(const char *text)
{
	CHECK_ROW(text, key_survives(check_bytes(text)));
	CHECK_ROW(text, name_survives(text));
}

static void every_short_text_of_tricky_characters_survives(void)
{
	check_each_text(TRICKY, 5, check_text);
}

/* Alphabets to take random texts from; NULL: all bytes but NUL. */
static const char *const alphabets[] = {
	NULL, "%/.kvpfs0123456789ABCDEFabcdef", "%25%2F%2E/", "./%2Ekvpfs",
	"/a",
};

static void fill_randomly(char *text, size_t len, const char *alphabet)
{
	for (size_t i = 0; i < len; i++)
		text[i] = alphabet ? alphabet[check_random(
					     (unsigned int)strlen(alphabet))]
				   : (char)(1 + check_random(255));
	text[len] = '\0';
}

static void random_keys_survive(void)
{
	for (int i = 0; i < 20000; i++) {
		unsigned int longest = i % 4 ? 16 : KVP_KEY_SIZE;
		size_t len = 1 + check_random(longest);
		char key[KVP_KEY_SIZE + 1];

		fill_randomly(key, len, alphabets[check_random(5)]);
		CHECK_ROW(key, key_survives((struct kvp_bytes){ key, len }));
	}
}

static void random_names_survive(void)
{
	for (int i = 0; i < 20000; i++) {
		unsigned int longest = i % 4 ? 16 : KVP_NAME_MAX + 10;
		size_t len = 1 + check_random(longest);
		char name[KVP_NAME_MAX + 11];

		fill_randomly(name, len, alphabets[check_random(5)]);
		CHECK_ROW(name, name_survives(name));
	}
}

static const struct check_case cases[] = {
	CHECK_CASE(encode_escapes_what_no_name_can_hold_and_nothing_else),
	CHECK_CASE(decode_reverses_it),
	CHECK_CASE(decode_refuses_what_is_the_name_of_no_key),
	CHECK_CASE(encode_does_not_look_behind_the_key),
	CHECK_CASE(each_byte_but_slash_stands_for_itself),
	CHECK_CASE(names_of_up_to_1024_bytes_are_served),
	CHECK_CASE(encode_is_exact_about_an_escape_at_the_limit),
	CHECK_CASE(decode_takes_up_to_1024_bytes),
	CHECK_CASE(decode_is_exact_about_an_escape_at_the_limit),
	CHECK_CASE(every_short_text_of_tricky_characters_survives),
	CHECK_CASE(random_keys_survive),
	CHECK_CASE(random_names_survive),
};

CHECK_MAIN("name", cases)
