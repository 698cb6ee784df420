/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <stdio.h>
#include <string.h>

#include "check.h"

#define KEY_UNITS 254
#define VALUE_UNITS 1022

#define EURO "\xe2\x82\xac"	/* one unit of UTF-16 */
#define FACE "\xf0\x9f\x98\x80" /* two: a surrogate pair */

/* A field, and what becomes of it. */
static void add(struct kvp_report *report, struct kvp_bytes key,
		struct kvp_bytes value)
{
	struct kvp_pair pair = { key, value };

	kvp_report_add(report, key, kvp_report_marks(&pair), true);
}

static void add_good(struct kvp_report *report)
{
	add(report, check_bytes("key"), check_bytes("value"));
}

static void add_bad(struct kvp_report *report)
{
	add(report, check_bytes("key"), check_bytes("\xff"));
}

/* Whether the host gets past a record with these fields. */
static bool host_reads(struct kvp_bytes key, struct kvp_bytes value)
{
	struct kvp_report report = { 0 };

	add(&report, key, value);
	add_good(&report);
	return report.hidden_from_host == 0;
}

static bool is_not_utf8(struct kvp_bytes key, struct kvp_bytes value)
{
	struct kvp_report report = { 0 };

	add(&report, key, value);
	return report.not_utf8 == 1;
}

static void all_records_are_counted(void)
{
	struct kvp_report report = { 0 };

	add_good(&report);
	add(&report, check_bytes(""), check_bytes("value"));
	add(&report, check_bytes("key"), check_bytes(""));
	add(&report, check_bytes(""), check_bytes(""));
	CU_ASSERT_EQUAL(report.records, 4);
	CU_ASSERT_EQUAL(report.not_utf8, 0);
	CU_ASSERT_EQUAL(report.hidden_from_host, 0);
}

static void record_with_two_bad_fields_counts_once(void)
{
	struct kvp_report report = { 0 };

	add(&report, check_bytes("\xff"), check_bytes("value"));
	add(&report, check_bytes("key"), check_bytes("\xff"));
	add(&report, check_bytes("\xff"), check_bytes("\xff"));
	add(&report, check_bytes(""), check_bytes("\xff"));
	CU_ASSERT_EQUAL(report.records, 4);
	CU_ASSERT_EQUAL(report.not_utf8, 4);
}

static void records_behind_the_first_that_the_host_cannot_read_are_hidden(void)
{
	struct kvp_report report = { 0 };

	add_good(&report);
	add_bad(&report);
	CU_ASSERT_EQUAL(report.hidden_from_host, 0);
	add_good(&report);
	CU_ASSERT_EQUAL(report.hidden_from_host, 1);
	add_bad(&report);
	CU_ASSERT_EQUAL(report.hidden_from_host, 2);
	add(&report, check_bytes(""), check_bytes(""));
	CU_ASSERT_EQUAL(report.hidden_from_host, 3);
	CU_ASSERT_EQUAL(report.records, 5);
	CU_ASSERT_EQUAL(report.not_utf8, 2);
}

static void either_field_stops_the_host(void)
{
	struct kvp_bytes good = check_bytes("good");
	struct kvp_bytes bad = check_bytes("b\xff");

	CU_ASSERT_TRUE(host_reads(good, good));
	CU_ASSERT_FALSE(host_reads(bad, good));
	CU_ASSERT_FALSE(host_reads(good, bad));
	CU_ASSERT_FALSE(host_reads(bad, bad));
	CU_ASSERT_FALSE(host_reads(check_bytes(""), bad));
}

/* What the kernel and libunistring say of single characters. */
static const struct {
	const char *text;
	bool valid;
} characters[] = {
	{ "\x01", true },
	{ "\x7f", true },
	{ "\xc2\x80", true },
	{ "\xdf\xbf", true },
	{ "\xe0\xa0\x80", true },
	{ EURO, true },
	{ "\xed\x9f\xbf", true },     /* before the surrogates */
	{ "\xee\x80\x80", true },     /* behind them */
	{ "\xef\xbf\xbf", true },     /* U+FFFF, no character */
	{ "\xf0\x90\x80\x80", true }, /* U+10000 */
	{ "\xf4\x8f\xbf\xbf", true }, /* U+10FFFF */
	{ "\x80", false },
	{ "\xbf", false },
	{ "\xc0\x80", false }, /* overlong */
	{ "\xc1\xbf", false },
	{ "\xe0\x80\x80", false },
	{ "\xe0\x9f\xbf", false },
	{ "\xf0\x80\x80\x80", false },
	{ "\xf0\x8f\xbf\xbf", false },
	{ "\xed\xa0\x80", false }, /* surrogates */
	{ "\xed\xbf\xbf", false },
	{ "\xed\xa0\xbd\xed\xb8\x80", false },
	{ "\xf4\x90\x80\x80", false }, /* above U+10FFFF */
	{ "\xf5\x80\x80\x80", false },
	{ "\xf7\xbf\xbf\xbf", false },
	{ "\xf8\x88\x80\x80\x80", false }, /* five and six bytes */
	{ "\xfb\xbf\xbf\xbf\xbf", false },
	{ "\xfc\x84\x80\x80\x80\x80", false },
	{ "\xfd\xbf\xbf\xbf\xbf\xbf", false },
	{ "\xfe", false },
	{ "\xff", false },
	{ "\xc2", false }, /* cut short */
	{ "\xe2", false },
	{ "\xe2\x82", false },
	{ "\xf0", false },
	{ "\xf0\x9f\x98", false },
	{ "\xc2"
	  "a",
	  false },
	{ "\xe2\x82"
	  "a",
	  false },
	{ "\xf0\x9f\x98"
	  "a",
	  false },
	{ "\xe2" EURO, false },
};

static void both_judge_every_kind_of_character_alike(void)
{
	struct kvp_bytes good = check_bytes("good");

	for (size_t i = 0; i < COUNT(characters); i++) {
		struct kvp_bytes text = check_bytes(characters[i].text);
		bool valid = characters[i].valid;
		char row[16];

		snprintf(row, sizeof(row), "row %zu", i);
		CHECK_ROW(row, is_not_utf8(text, good) == !valid);
		CHECK_ROW(row, is_not_utf8(good, text) == !valid);
		CHECK_ROW(row, host_reads(text, good) == valid);
		CHECK_ROW(row, host_reads(good, text) == valid);
	}
}

/* COUNT times CHARACTER, then TAIL. */
struct spelling {
	const char *character;
	size_t count;
	const char *tail;
	bool read; /* by the host */
};

static struct kvp_bytes spell(const struct spelling *spelling, char *text,
			      size_t size)
{
	size_t len = strlen(spelling->character);
	size_t tail = strlen(spelling->tail);
	size_t done = 0;

	for (size_t i = 0; i < spelling->count; i++, done += len) {
		CU_ASSERT_FATAL(done + len <= size);
		memcpy(text + done, spelling->character, len);
	}
	CU_ASSERT_FATAL(done + tail <= size);
	memcpy(text + done, spelling->tail, tail);
	return (struct kvp_bytes){ text, done + tail };
}

static const struct spelling keys[] = {
	{ "a", 253, "\xff", false },
	{ "a", 254, "\xff", true },
	{ "a", 255, "\xff", true },
	{ "a", 511, "\xff", true },
	{ "\xc3\xa9", 253, "\xff", false },
	{ "\xc3\xa9", 254, "\xff", true },
	{ EURO, 170, "\xff", false }, /* a full field has only 171 units */
	{ EURO, 170, "\xe2\x82", false },
	{ EURO, 170, "aa", true },
	{ FACE, 126, "a\xff", false }, /* 253 */
	{ FACE, 126, "aa\xff", true },
	{ FACE, 126, "a" FACE "\xff", true }, /* no room for a pair: enough */
	{ FACE, 126, "a\xf0\x9f\x98", false },
	{ FACE, 126, "a" EURO "\xff", true },
	{ FACE, 126, FACE "\xff", true },
	{ FACE, 126, "\xff", false },
	{ FACE, 127, "\xff", true },
	{ FACE, 127, "\xf0\x9f\x98", true },
	{ "a", 253, "\xf0\x9f\x98", false },
	{ "a", 253, "\xe2\x82", false },
	{ "a", 254, "\xe2\x82", true },
	{ "a", 253, FACE "\xff", true },
};

static const struct spelling values[] = {
	{ "a", 1021, "\xff", false },
	{ "a", 1022, "\xff", true },
	{ "a", 2047, "\xff", true },
	{ "\xc3\xa9", 1021, "\xff", false },
	{ "\xc3\xa9", 1022, "\xff", true },
	{ EURO, 682, "\xff", false }, /* a full field has only 684 units */
	{ EURO, 682, "\xe2\x82", false },
	{ EURO, 682, "aa", true },
	{ FACE, 510, "a\xff", false }, /* 1021 */
	{ FACE, 510, "aa\xff", true },
	{ FACE, 510, "a" FACE "\xff", true },
	{ FACE, 510, "a\xf0\x9f\x98", false },
	{ FACE, 510, FACE "\xff", true },
	{ FACE, 511, "\xff", true },
	{ "a", 1021, "\xf0\x9f\x98", false },
	{ "a", 1022, "\xf0\x9f\x98", true },
};

static void host_reads_keys_whose_first_254_units_are_valid(void)
{
	for (size_t i = 0; i < COUNT(keys); i++) {
		char text[KVP_KEY_SIZE];
		struct kvp_bytes key = spell(&keys[i], text, sizeof(text));
		char row[16];

		snprintf(row, sizeof(row), "row %zu", i);
		CHECK_ROW(row, host_reads(key, check_bytes("value")) ==
				       keys[i].read);
	}
}

static void host_reads_values_whose_first_1022_units_are_valid(void)
{
	for (size_t i = 0; i < COUNT(values); i++) {
		char text[KVP_VALUE_SIZE];
		struct kvp_bytes value = spell(&values[i], text, sizeof(text));
		char row[16];

		snprintf(row, sizeof(row), "row %zu", i);
		CHECK_ROW(row, host_reads(check_bytes("key"), value) ==
				       values[i].read);
	}
}

static void bad_bytes_that_the_host_never_gets_to_are_not_utf8_all_the_same(
	void)
{
	static const struct spelling far = { "a", 500, "\xff", true };
	char text[KVP_KEY_SIZE];
	struct kvp_bytes key = spell(&far, text, sizeof(text));

	CU_ASSERT_TRUE(host_reads(key, check_bytes("value")));
	CU_ASSERT_TRUE(is_not_utf8(key, check_bytes("value")));
}

/* How much of a field gets to the host. */
static const struct {
	struct spelling spelling;
	bool is_key;
	bool cut;
} cuts[] = {
	{ { "a", 254, "", true }, true, false },
	{ { "a", 255, "", true }, true, true },
	{ { "\xc3\xa9", 254, "", true }, true, false }, /* 508 bytes */
	{ { "\xc3\xa9", 255, "", true }, true, true },
	{ { EURO, 170, "", true }, true, false },
	{ { FACE, 127, "", true }, true, false },
	{ { FACE, 127, "a", true }, true, true },
	{ { FACE, 126, "aaa", true }, true, true },
	{ { FACE, 126, "a" FACE, true }, true, true },
	{ { "a", 254, "\xff", true }, true, true },
	{ { "a", 253, "\xff", false }, true, false }, /* none of it */
	{ { "a", 1022, "", true }, false, false },
	{ { "a", 1023, "", true }, false, true },
	{ { "a", 2048, "", true }, false, true },
	{ { EURO, 682, "", true }, false, false },
	{ { "\xc3\xa9", 1022, "", true }, false, false },
	{ { "\xc3\xa9", 1023, "", true }, false, true },
	{ { FACE, 511, "", true }, false, false },
	{ { FACE, 512, "", true }, false, true },
	{ { "a", 1022, "\xff", true }, false, true },
	{ { "a", 1021, "\xff", false }, false, false },
};

static void records_of_which_the_host_gets_a_part_are_counted(void)
{
	for (size_t i = 0; i < COUNT(cuts); i++) {
		struct kvp_report report = { 0 };
		char text[KVP_VALUE_SIZE];
		struct kvp_bytes field = spell(&cuts[i].spelling, text,
					       sizeof(text));
		struct kvp_bytes good = check_bytes("good");
		char row[16];

		snprintf(row, sizeof(row), "row %zu", i);
		add(&report, cuts[i].is_key ? field : good,
		    cuts[i].is_key ? good : field);
		CHECK_ROW(row, report.cut_for_host == cuts[i].cut);
		CHECK_ROW(row, report.host_stopped != cuts[i].spelling.read);
	}
}

static void record_that_is_cut_and_stops_the_host_is_not_cut(void)
{
	struct kvp_report report = { 0 };

	add(&report, check_repeat('k', 300), check_bytes("\xff"));
	CU_ASSERT_EQUAL(report.cut_for_host, 0);
	CU_ASSERT_TRUE(report.host_stopped);
}

static void first_record_that_hides_others_is_named(void)
{
	struct kvp_report report = { 0 };

	add_good(&report);
	CU_ASSERT_EQUAL(report.first_hiding.len, 0);
	add(&report, check_bytes("first"), check_bytes("\xff"));
	add(&report, check_bytes("second"), check_bytes("\xff"));
	CHECK_BYTES_EQUAL(report.first_hiding, check_bytes("first"));
}

static void keys_without_a_file_name_are_counted_once(void)
{
	struct kvp_report report = { 0 };
	/* 3 bytes each in a name, of which 1024 have room */
	struct kvp_pair listed = { check_repeat('/', 341), check_bytes("v") };
	struct kvp_pair unlisted = { check_repeat('/', 342), check_bytes("v") };

	kvp_report_add(&report, listed.key, kvp_report_marks(&listed), true);
	CU_ASSERT_EQUAL(report.unlisted, 0);
	kvp_report_add(&report, unlisted.key, kvp_report_marks(&unlisted),
		       true);
	kvp_report_add(&report, unlisted.key, kvp_report_marks(&unlisted),
		       false);
	CU_ASSERT_EQUAL(report.unlisted, 1);
	CU_ASSERT_EQUAL(report.records, 3);
}

/* Pieces of random texts; UNITS of 0 is what no character begins with. */
static const struct {
	const char *text;
	size_t units;
} pieces[] = {
	{ "a", 1 },    { "\xc3\xa9", 1 }, { EURO, 1 },
	{ FACE, 2 },   { "aaaaaaaa", 8 }, { EURO EURO EURO EURO, 4 },
	{ "\xff", 0 }, { "\xc0\xaf", 0 }, { "\xed\xa0\x80", 0 },
};
#define PIECES (COUNT(pieces))

/*
 * Fills TEXT at random, and reckons from the pieces whether the host can read it
 * when it takes UNITS.
 */
static struct kvp_bytes random_text(char *text, size_t size, size_t units,
				    bool *ret_read)
{
	size_t faults = check_random(3);
	size_t len = 0;
	bool full = false;

	*ret_read = true;
	for (;;) {
		bool fault = faults > 0 && check_random(200) == 0;
		size_t i = fault ? 6 + check_random(PIECES - 6)
				 : check_random(6);
		size_t piece = strlen(pieces[i].text);

		if (len + piece > size)
			return (struct kvp_bytes){ text, len };
		memcpy(text + len, pieces[i].text, piece);
		len += piece;
		if (fault && !full)
			*ret_read = false;
		for (size_t unit = 0; unit < pieces[i].units && !full; unit++) {
			/* a pair needs room for both */
			if (pieces[i].units == 2 && unit == 0 && units < 2)
				full = true;
			else if (--units == 0)
				full = true;
		}
	}
}

static void random_records_are_read_as_far_as_their_pieces_say(void)
{
	unsigned int stopped = 0;

	for (int i = 0; i < 5000; i++) {
		char key_text[KVP_KEY_SIZE];
		char value_text[KVP_VALUE_SIZE];
		bool key_read;
		bool value_read;
		struct kvp_bytes key = random_text(key_text, sizeof(key_text),
						   KEY_UNITS, &key_read);
		struct kvp_bytes value = random_text(value_text,
						     sizeof(value_text),
						     VALUE_UNITS, &value_read);

		CU_ASSERT_EQUAL(host_reads(key, value), key_read && value_read);
		stopped += !(key_read && value_read);
	}
	CU_ASSERT_TRUE(stopped > 1000 && stopped < 4000);
}

static const struct check_case cases[] = {
	CHECK_CASE(all_records_are_counted),
	CHECK_CASE(record_with_two_bad_fields_counts_once),
	CHECK_CASE(
		records_behind_the_first_that_the_host_cannot_read_are_hidden),
	CHECK_CASE(either_field_stops_the_host),
	CHECK_CASE(both_judge_every_kind_of_character_alike),
	CHECK_CASE(host_reads_keys_whose_first_254_units_are_valid),
	CHECK_CASE(host_reads_values_whose_first_1022_units_are_valid),
	CHECK_CASE(
		bad_bytes_that_the_host_never_gets_to_are_not_utf8_all_the_same),
	CHECK_CASE(records_of_which_the_host_gets_a_part_are_counted),
	CHECK_CASE(record_that_is_cut_and_stops_the_host_is_not_cut),
	CHECK_CASE(first_record_that_hides_others_is_named),
	CHECK_CASE(keys_without_a_file_name_are_counted_once),
	CHECK_CASE(random_records_are_read_as_far_as_their_pieces_say),
};

CHECK_MAIN("report", cases)
