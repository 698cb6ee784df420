/* SPDX-License-Identifier: MIT */
/* What a writer holds back: unfinished characters, and newlines if told so. */
#include "writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "writer_story.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* Characters in pieces. */

static void character_in_two_writes_is_stored_when_it_is_whole(void)
{
	static const char *const characters[] = {
		"\xc3\xa9",
		"\xe2\x82\xac",
		"\xf0\x9f\x98\x80",
	};

	for (size_t i = 0; i < COUNT(characters); i++) {
		for (size_t cut = 1; cut < strlen(characters[i]); cut++) {
			char start[8], whole[8], part[8], all[16];
			const char *end = characters[i] + cut;
			struct step steps[] = {
				{ WRITE, start, 0, 0, "a", part },
				{ WRITE, end, (off_t)(cut + 1), 0, whole,
				  whole },
				{ WRITE, "z", 0, 0, all, all },
				{ COMMIT, NULL, 0, 0, all, all },
				{ .deed = END },
			};

			snprintf(start, sizeof(start), "a%.*s", (int)cut,
				 characters[i]);
			snprintf(part, sizeof(part), "%s", start);
			snprintf(whole, sizeof(whole), "a%s", characters[i]);
			snprintf(all, sizeof(all), "z%s", characters[i]);
			TELL((&(struct opening){ .old = "a" }), steps);
			TELL((&(struct opening){ .pending = true }), steps);
			TELL((&(struct opening){ .old = "old",
						 .pending = true,
						 .strip_newline = true }),
			     steps);
		}
	}
}

static void bytes_of_a_character_may_come_one_by_one(void)
{
	static const struct step first[] = {
		{ WRITE, "\xf0", 0, 0, "old", "\xf0" },
		{ WRITE, "\x9f", 1, 0, "old", "\xf0\x9f" },
		{ WRITE, "\x98", 2, 0, "old", "\xf0\x9f\x98" },
		{ COMMIT, NULL, 0, KVP_NOT_UTF8, "old", "\xf0\x9f\x98" },
		{ WRITE, "\x80", 3, 0, "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
		{ COMMIT, NULL, 0, 0, "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
		{ .deed = END },
	};
	static const struct step later[] = {
		{ WRITE, "\xe2", 0, 0, "a", "a\xe2" },
		{ WRITE, "\x82", 0, 0, "a", "a\xe2\x82" },
		{ WRITE, "\xac", 0, 0, "a\xe2\x82\xac", "a\xe2\x82\xac" },
		{ WRITE, "\xe2", 0, 0, "a\xe2\x82\xac", "a\xe2\x82\xac\xe2" },
		{ WRITE, "\x82\xac!", 0, 0, "a\xe2\x82\xac\xe2\x82\xac!",
		  "a\xe2\x82\xac\xe2\x82\xac!" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "old", .pending = true }), first);
	TELL((&(struct opening){ .old = "a", .append = true }), later);
}

static void held_bytes_can_be_overwritten(void)
{
	static const struct step steps[] = {
		{ WRITE, "b\xe2\x82", 1, 0, "ab", "ab\xe2\x82" },
		{ WRITE, "cd", 2, 0, "abcd", "abcd" },
		{ WRITE, "\xc3", 4, 0, "abcd", "abcd\xc3" },
		{ WRITE, "new", 0, 0, "newd", "newd\xc3" },
		{ WRITE, "\xa9", 5, 0, "newd\xc3\xa9", "newd\xc3\xa9" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "a" }), steps);
}

static void what_is_no_character_is_refused(void)
{
	static const struct step steps[] = {
		{ WRITE, "\x80", 3, KVP_NOT_UTF8, "old", "old" },
		{ WRITE, "\xc0\xaf", 3, KVP_NOT_UTF8, "old", "old" },
		{ WRITE, "\xed\xa0\x80", 3, KVP_NOT_UTF8, "old", "old" },
		{ WRITE, "\xf4\x90\x80\x80", 3, KVP_NOT_UTF8, "old", "old" },
		{ WRITE, "\xff", 0, KVP_NOT_UTF8, "old", "old" },
		{ WRITE, "\xc3", 0, KVP_NOT_UTF8, "old", "old" },
		{ WRITE, "\xc3", 3, 0, "old", "old\xc3" },
		{ WRITE, "a", 4, KVP_NOT_UTF8, "old", "old\xc3" },
		{ WRITE, "\xc3", 4, KVP_NOT_UTF8, "old", "old\xc3" },
		{ WRITE, "a", 5, KVP_VALUE_CONTAINS_NUL, "old", "old\xc3" },
		{ WRITE, "\xa9", 4, 0, "old\xc3\xa9", "old\xc3\xa9" },
		{ WRITE, "x", 3, KVP_NOT_UTF8, "old\xc3\xa9", "old\xc3\xa9" },
		{ WRITE, "x", 4, KVP_NOT_UTF8, "old\xc3\xa9", "old\xc3\xa9" },
		{ WRITE, "xy", 3, 0, "oldxy", "oldxy" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "old" }), steps);
}

static void check_tells_whether_the_file_ends_within_a_character(void)
{
	static const struct {
		const char *text;
		bool strip_newline;
		int result;
	} rows[] = {
		{ "", false, 0 },
		{ "a", false, 0 },
		{ "a\n", false, 0 },
		{ "a\n", true, 0 },
		{ "\n", true, 0 },
		{ "\xc3", false, KVP_NOT_UTF8 },
		{ "\xc3\xa9", false, 0 },
		{ "a\xe2\x82", false, KVP_NOT_UTF8 },
		{ "a\xf0\x9f\x98", true, KVP_NOT_UTF8 },
		{ "\n\xc3", true, KVP_NOT_UTF8 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct step step = { WRITE, rows[i].text, 0, 0, NULL, NULL };
		struct kvp_value *value = NULL;
		struct story f;
		size_t len;

		story_open(&f, KVP_MODE_RESTRICTED,
			   &(struct opening){
				   .pending = true,
				   .strip_newline = rows[i].strip_newline });
		CU_ASSERT_EQUAL(kvp_writer_check(&f.writer), 0);
		CHECK_ROW(rows[i].text, story_do(&f, &step, &value, &len) == 0);
		kvp_value_unref(value);
		for (int twice = 0; twice < 2; twice++)
			CHECK_ROW(rows[i].text, kvp_writer_check(&f.writer) ==
							rows[i].result);
		story_close(&f);
	}
}

static void character_must_fit_as_a_whole(void)
{
	char *text = NULL;
	struct kvp_value *value = NULL;
	struct story f;
	size_t len;

	story_open(&f, KVP_MODE_RESTRICTED,
		   &(struct opening){ .pending = true, .append = true });
	text = strndup(check_repeat('v', 1021).data, 1021);
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	for (int i = 0; i < 2; i++) {
		static const int results[] = { 0, KVP_VALUE_TOO_LARGE };
		const char *data = i == 0 ? text : "\xa9";

		CU_ASSERT_EQUAL(kvp_writer_write(&f.writer, f.store, f.key,
						 f.id, check_bytes(data), 0,
						 &value, &len),
				results[i]);
		kvp_value_unref(value);
		value = NULL;
		if (i == 0)
			CU_ASSERT_EQUAL(kvp_writer_write(&f.writer, f.store,
							 f.key, f.id,
							 check_bytes("\xc3"), 0,
							 &value, &len),
					0);
		kvp_value_unref(value);
		value = NULL;
	}
	CU_ASSERT_EQUAL(len, 1023);
	CU_ASSERT_TRUE(story_stored_is(&f, text));
	CU_ASSERT_EQUAL(kvp_writer_check(&f.writer), KVP_NOT_UTF8);
	free(text);
	story_close(&f);
}

/* newline=strip */

static void newline_at_the_end_is_not_stored(void)
{
	static const struct step one[] = {
		{ WRITE, "v\n", 0, 0, "v", "v\n" },
		{ COMMIT, NULL, 0, 0, "v", "v\n" },
		{ .deed = END },
	};
	static const struct step two[] = {
		{ WRITE, "a\n\n", 0, 0, "a\n", "a\n\n" },
		{ .deed = END },
	};
	static const struct step inside[] = {
		{ WRITE, "a\nb", 0, 0, "a\nb", "a\nb" },
		{ .deed = END },
	};
	static const struct step alone[] = {
		{ WRITE, "\n", 0, 0, "old", "\n" },
		{ COMMIT, NULL, 0, 0, "", "\n" },
		{ .deed = END },
	};
	static const struct opening opening = { .old = "old",
						.pending = true,
						.strip_newline = true };

	TELL(&opening, one);
	TELL(&opening, two);
	TELL(&opening, inside);
	TELL(&opening, alone);
}

static void newline_is_put_back_if_more_follows(void)
{
	static const struct step steps[] = {
		{ WRITE, "a\n", 0, 0, "a", "a\n" },
		{ WRITE, "b\n", 2, 0, "a\nb", "a\nb\n" },
		{ WRITE, "\n", 4, 0, "a\nb\n", "a\nb\n\n" },
		{ COMMIT, NULL, 0, 0, "a\nb\n", "a\nb\n\n" },
		{ .deed = END },
	};
	static const struct step alone[] = {
		{ WRITE, "\n", 0, 0, "old", "\n" },
		{ WRITE, "a", 1, 0, "\na", "\na" },
		{ .deed = END },
	};
	static const struct opening opening = { .old = "old",
						.pending = true,
						.strip_newline = true };
	static const struct opening appending = { .old = "old",
						  .pending = true,
						  .strip_newline = true,
						  .append = true };

	TELL(&opening, steps);
	TELL(&opening, alone);
	TELL(&appending, steps);
	TELL(&appending, alone);
}

static void held_newline_can_be_overwritten(void)
{
	static const struct step steps[] = {
		{ WRITE, "\n", 1, 0, "v", "v\n" },
		{ WRITE, "x", 1, 0, "vx", "vx" },
		{ WRITE, "\n", 2, 0, "vx", "vx\n" },
		{ WRITE, "w", 0, 0, "wx", "wx\n" },
		{ WRITE, "\xc3", 3, 0, "wx\n", "wx\n\xc3" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "v", .strip_newline = true }), steps);
}

static void newline_is_kept_if_not_told_otherwise(void)
{
	static const struct step steps[] = {
		{ WRITE, "v\n", 0, 0, "v\n", "v\n" },
		{ COMMIT, NULL, 0, 0, "v\n", "v\n" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "old", .pending = true }), steps);
}

/* A tail, when others change the value meanwhile. */

static void tail_of_a_value_that_others_cut_has_no_place(void)
{
	static const struct step character[] = {
		{ WRITE, "\xc3", 5, 0, "value", "value\xc3" },
		{ OTHERS_WRITE, "v", 0, 0, "v", "v" },
		{ WRITE, "w", 1, 0, "vw", "vw" },
		{ .deed = END },
	};
	static const struct step newline[] = {
		{ WRITE, "\n", 5, 0, "value", "value\n" },
		{ OTHERS_WRITE, "v", 0, 0, "v", "v" },
		{ WRITE, "w", 1, 0, "vw", "vw" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "value" }), character);
	TELL((&(struct opening){ .old = "value", .strip_newline = true }),
	     newline);
}

/* Whether what others stored is still there, whatever else is. */
static void check_others_text(const struct opening *opening,
			      const struct step *steps, const char *others)
{
	struct kvp_value *value = NULL;
	struct story f;
	char text[64] = "";
	size_t len;

	story_open(&f, KVP_MODE_RESTRICTED, opening);
	for (size_t i = 0; steps[i].deed != END; i++) {
		story_do(&f, &steps[i], &value, &len);
		kvp_value_unref(value);
		value = NULL;
	}
	value = story_stored(&f);
	if (value)
		snprintf(text, sizeof(text), "%.*s", (int)value->len,
			 value->data);
	CHECK_ROW(others, strstr(text, others) != NULL);
	kvp_value_unref(value);
	story_close(&f);
}

static void append_with_a_tail_overwrites_nothing_of_others(void)
{
	static const struct step newline[] = {
		{ .deed = WRITE, .text = "a\n" },
		{ .deed = OTHERS_WRITE, .text = "ab" }, /* they appended, too */
		{ .deed = WRITE, .text = "c\n" },
		{ .deed = END },
	};
	static const struct step character[] = {
		{ .deed = WRITE, .text = "a\xe2\x82" },
		{ .deed = OTHERS_WRITE, .text = "a\xc3\xa9" },
		{ .deed = WRITE, .text = "\xac" },
		{ .deed = END },
	};

	check_others_text(&(struct opening){ .old = "",
					     .append = true,
					     .strip_newline = true },
			  newline, "ab");
	check_others_text(&(struct opening){ .old = "", .append = true },
			  character, "a\xc3\xa9");
}

static void commit_shows_the_value_of_others_as_it_is(void)
{
	static const struct step steps[] = {
		{ WRITE, "\n", 0, 0, "old", "\n" },
		{ OTHERS_WRITE, "theirs", 0, 0, "theirs", "\n" },
		{ COMMIT, NULL, 0, 0, "theirs", "theirs" },
		{ .deed = END },
	};

	TELL((&(struct opening){
		     .old = "old", .pending = true, .strip_newline = true }),
	     steps);
}

static const struct check_case cases[] = {
	CHECK_CASE(character_in_two_writes_is_stored_when_it_is_whole),
	CHECK_CASE(bytes_of_a_character_may_come_one_by_one),
	CHECK_CASE(held_bytes_can_be_overwritten),
	CHECK_CASE(what_is_no_character_is_refused),
	CHECK_CASE(check_tells_whether_the_file_ends_within_a_character),
	CHECK_CASE(character_must_fit_as_a_whole),
	CHECK_CASE(newline_at_the_end_is_not_stored),
	CHECK_CASE(newline_is_put_back_if_more_follows),
	CHECK_CASE(held_newline_can_be_overwritten),
	CHECK_CASE(newline_is_kept_if_not_told_otherwise),
	CHECK_CASE(tail_of_a_value_that_others_cut_has_no_place),
	CHECK_CASE(append_with_a_tail_overwrites_nothing_of_others),
	CHECK_CASE(commit_shows_the_value_of_others_as_it_is),
};

CHECK_MAIN("writer_tail", cases)
