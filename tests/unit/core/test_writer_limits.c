/* SPDX-License-Identifier: MIT */
/*
 * A writer where a row of test_writer.c cannot say it: lengths, ids, memory, and
 * characters in each possible pair of pieces.
 */
#include "writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "fail_alloc.h"
#include "store_memory.h"
#include "writer_story.h"

static void key_that_is_made_gets_the_id_that_it_was_promised(void)
{
	static const struct step deeds[] = {
		{ WRITE, "v", 0, 0, "v", "v" },
		{ TRUNCATE, NULL, 0, 0, "", "" },
		{ COMMIT, NULL, 0, 0, "", "" },
	};

	for (size_t i = 0; i < COUNT(deeds); i++) {
		struct kvp_value *value = NULL;
		struct kvp_item item = { .value = NULL };
		struct story f;

		story_open(&f, KVP_MODE_RESTRICTED,
			   &(struct opening){ .pending = true });
		CU_ASSERT_EQUAL(story_do(&f, &deeds[i], &value), 0);
		CU_ASSERT_EQUAL(kvp_store_read(f.store, f.key, &item), 0);
		CU_ASSERT_EQUAL(item.id, f.id);
		CU_ASSERT_PTR_EQUAL(item.value, value);
		kvp_value_unref(item.value);
		kvp_value_unref(value);
		story_close(&f);
	}
}

static void commit_of_nothing_pending_does_not_ask_the_store(void)
{
	struct kvp_value *value = NULL;
	unsigned int calls;
	struct story f;

	story_open(&f, KVP_MODE_RESTRICTED, &(struct opening){ .old = "old" });
	calls = store_memory_calls(f.store);
	CU_ASSERT_EQUAL(kvp_writer_commit(&f.writer, story_file(&f), &value),
			0);
	CU_ASSERT_PTR_NULL(value);
	CU_ASSERT_EQUAL(store_memory_calls(f.store), calls);
	story_close(&f);
}

static void nuls_are_refused(void)
{
	static const struct kvp_bytes data[] = {
		{ "\0", 1 },
		{ "a\0", 2 },
		{ "\0a", 2 },
		{ "a\0b", 3 },
	};

	for (size_t i = 0; i < COUNT(data); i++) {
		struct kvp_value *value = NULL;
		struct story f;

		story_open(&f, KVP_MODE_RESTRICTED,
			   &(struct opening){ .old = "old" });
		CU_ASSERT_EQUAL(kvp_writer_write(&f.writer, story_file(&f),
						 data[i], 3, &value),
				KVP_VALUE_CONTAINS_NUL);
		CU_ASSERT_PTR_NULL(value);
		CU_ASSERT_TRUE(story_stored_is(&f, "old"));
		story_close(&f);
	}
}

/* Lengths: OLD_LEN bytes are stored, then DATA_LEN are written at OFFSET. */
static const struct {
	enum kvp_mode mode;
	bool strip_newline;
	bool newline; /* at the end of the data */
	size_t old_len;
	off_t offset;
	size_t data_len;
	int result;
	size_t len;
} lengths[] = {
	{ KVP_MODE_RESTRICTED, false, false, 0, 0, 1021, 0, 1021 },
	{ KVP_MODE_RESTRICTED, false, false, 0, 0, 1022, 0, 1022 },
	{ KVP_MODE_RESTRICTED, false, false, 0, 0, 1023, KVP_VALUE_TOO_LARGE,
	  1023 },
	{ KVP_MODE_RESTRICTED, false, false, 1021, 1021, 1, 0, 1022 },
	{ KVP_MODE_RESTRICTED, false, false, 1022, 1022, 1, KVP_VALUE_TOO_LARGE,
	  1023 },
	{ KVP_MODE_RESTRICTED, false, false, 1022, 1021, 1, 0, 1022 },
	{ KVP_MODE_RESTRICTED, false, false, 1022, 1021, 2, KVP_VALUE_TOO_LARGE,
	  1023 },
	{ KVP_MODE_RESTRICTED, false, false, 1022, 0, 1, 0, 1022 },
	{ KVP_MODE_RESTRICTED, false, false, 0, 0, 4000, KVP_VALUE_TOO_LARGE,
	  4000 },
	{ KVP_MODE_RESTRICTED, false, true, 0, 0, 1023, KVP_VALUE_TOO_LARGE,
	  1023 },
	{ KVP_MODE_RESTRICTED, true, true, 0, 0, 1023, 0, 1023 },
	{ KVP_MODE_RESTRICTED, true, true, 1022, 1022, 1, 0, 1023 },
	{ KVP_MODE_RESTRICTED, true, false, 0, 0, 1022, 0, 1022 },
	{ KVP_MODE_RESTRICTED, true, false, 0, 0, 1023, KVP_VALUE_TOO_LARGE,
	  1023 },
	{ KVP_MODE_RESTRICTED, true, true, 0, 0, 1024, KVP_VALUE_TOO_LARGE,
	  1024 },
	{ KVP_MODE_FULL, false, false, 0, 0, 2048, 0, 2048 },
	{ KVP_MODE_FULL, false, false, 0, 0, 2049, KVP_VALUE_TOO_LARGE, 2049 },
	{ KVP_MODE_FULL, false, false, 2047, 2047, 1, 0, 2048 },
	{ KVP_MODE_FULL, false, false, 2048, 2048, 1, KVP_VALUE_TOO_LARGE,
	  2049 },
	{ KVP_MODE_FULL, false, false, 2048, 2047, 1, 0, 2048 },
	{ KVP_MODE_FULL, true, true, 2048, 2048, 1, 0, 2049 },
	{ KVP_MODE_FULL, true, true, 0, 0, 2049, 0, 2049 },
	{ KVP_MODE_FULL, true, false, 0, 0, 2049, KVP_VALUE_TOO_LARGE, 2049 },
	{ KVP_MODE_FULL, true, true, 0, 0, 2050, KVP_VALUE_TOO_LARGE, 2050 },
};

static void check_length(size_t i, bool append)
{
	struct kvp_bytes old = check_repeat('o', lengths[i].old_len);
	struct kvp_bytes filler = check_repeat('d', lengths[i].data_len);
	size_t stored = lengths[i].result ? lengths[i].old_len
					  : lengths[i].len - lengths[i].newline;
	struct kvp_value *value = NULL;
	struct story f;
	char data[4096];
	char row[16];

	snprintf(row, sizeof(row), "row %zu", i);
	story_open(&f, lengths[i].mode,
		   &(struct opening){
			   .old = "",
			   .append = append,
			   .strip_newline = lengths[i].strip_newline });
	CHECK_ROW(row, kvp_store_write(f.store, f.key, old) == 0);
	memcpy(data, filler.data, filler.len);
	if (lengths[i].newline)
		data[filler.len - 1] = '\n';
	CHECK_ROW(row, kvp_writer_write(&f.writer, story_file(&f),
					(struct kvp_bytes){ data, filler.len },
					append ? 0 : lengths[i].offset,
					&value) == lengths[i].result);
	if (lengths[i].result)
		CHECK_ROW(row, f.store->fault.actual == lengths[i].len);
	kvp_value_unref(value);
	value = story_stored(&f);
	CHECK_ROW(row, value && value->len == stored);
	kvp_value_unref(value);
	story_close(&f);
}

static void values_may_be_as_long_as_the_mode_allows(void)
{
	for (size_t i = 0; i < COUNT(lengths); i++) {
		check_length(i, false);
		if (lengths[i].offset == (off_t)lengths[i].old_len)
			check_length(i, true);
	}
}

/* 16 bytes are stored, and DATA is written at OFFSET. */
static const struct {
	const char *data;
	size_t len;
	off_t offset;
	const char *message;
} faults[] = {
	{ "\xff", 1, 16, "value is not UTF-8 at byte 17" },
	{ "\xff", 1, 3, "value is not UTF-8 at byte 4" },
	{ "ab\xc3z", 4, 10, "value is not UTF-8 at byte 13" },
	{ "\0", 1, 16, "value contains a NUL byte or a hole at byte 17" },
	{ "ab\0", 3, 2, "value contains a NUL byte or a hole at byte 5" },
	{ "a", 1, 18, "value contains a NUL byte or a hole at byte 17" },
	{ "a", 1, 5000, "value length (5001) exceeds maximum (1022)" },
};

static void message_counts_the_bytes_of_the_whole_value(void)
{
	for (size_t i = 0; i < COUNT(faults); i++) {
		struct kvp_bytes data = { faults[i].data, faults[i].len };
		struct kvp_value *value = NULL;
		struct story f;
		char message[128];
		int r;

		story_open(&f, KVP_MODE_RESTRICTED,
			   &(struct opening){ .old = "0123456789abcdef" });
		r = kvp_writer_write(&f.writer, story_file(&f), data,
				     faults[i].offset, &value);
		kvp_store_message(f.store, r, message, sizeof(message));
		CU_ASSERT_STRING_EQUAL(message, faults[i].message);
		story_close(&f);
	}
}

static void message_of_half_a_character_says_where_it_begins(void)
{
	struct kvp_value *value = NULL;
	struct story f;
	char message[128];

	story_open(&f, KVP_MODE_RESTRICTED, &(struct opening){ .old = "" });
	CU_ASSERT_EQUAL(kvp_writer_write(&f.writer, story_file(&f),
					 check_bytes("abc\xe2\x82"), 0, &value),
			0);
	kvp_value_unref(value);
	CU_ASSERT_EQUAL(kvp_writer_check(&f.writer, f.store), KVP_NOT_UTF8);
	kvp_store_message(f.store, KVP_NOT_UTF8, message, sizeof(message));
	CU_ASSERT_STRING_EQUAL(message, "value is not UTF-8 at byte 4");
	story_close(&f);
}

static void value_over_the_limit_can_only_be_shortened(void)
{
	struct kvp_value *value = NULL;
	struct story f;

	story_open(&f, KVP_MODE_RESTRICTED, &(struct opening){ .old = "" });
	store_memory_add(f.store, f.key, check_repeat('v', KVP_VALUE_SIZE));
	CU_ASSERT_EQUAL(kvp_writer_write(&f.writer, story_file(&f),
					 check_bytes("x"), 0, &value),
			KVP_VALUE_TOO_LARGE);
	CU_ASSERT_EQUAL(f.store->fault.actual, KVP_VALUE_SIZE);
	CU_ASSERT_EQUAL(kvp_writer_truncate(&f.writer, story_file(&f), 1023,
					    &value),
			KVP_VALUE_TOO_LARGE);
	CU_ASSERT_EQUAL(f.store->fault.actual, 1023);
	CU_ASSERT_PTR_NULL(value);
	CU_ASSERT_EQUAL(kvp_writer_truncate(&f.writer, story_file(&f), 1022,
					    &value),
			0);
	CU_ASSERT_TRUE(value && value->len == 1022);
	kvp_value_unref(value);
	story_close(&f);
}

static void view_has_room_for_the_longest_value_and_a_tail(void)
{
	static const char tail[] = "\xf0\x9f\x98";
	struct kvp_value *value = kvp_value_new(
		check_repeat('v', KVP_VALUE_SIZE));
	struct kvp_writer w = { .tail_len = 3, .tail_offset = KVP_VALUE_SIZE };
	char buf[KVP_WRITER_MAX];

	CU_ASSERT_PTR_NOT_NULL_FATAL(value);
	memcpy(w.tail, tail, 3);
	CU_ASSERT_EQUAL(kvp_writer_view(&w, value, buf), KVP_VALUE_SIZE + 3);
	CU_ASSERT_EQUAL(memcmp(buf + KVP_VALUE_SIZE, tail, 3), 0);
	CU_ASSERT_EQUAL(buf[KVP_VALUE_SIZE - 1], 'v');
	kvp_value_unref(value);
}

static void refused_keys_are_refused_here_too(void)
{
	struct kvp_value *value = NULL;
	struct story f;

	story_open(&f, KVP_MODE_RESTRICTED,
		   &(struct opening){ .pending = true });
	f.key = check_repeat('k', 255);
	CU_ASSERT_EQUAL(kvp_writer_write(&f.writer, story_file(&f),
					 check_bytes("v"), 0, &value),
			KVP_KEY_TOO_LARGE);
	CU_ASSERT_TRUE(kvp_writer_is_pending(&f.writer));
	f.key = check_bytes("\xff");
	CU_ASSERT_EQUAL(kvp_writer_truncate(&f.writer, story_file(&f), 0,
					    &value),
			KVP_NOT_UTF8);
	f.key = check_bytes("");
	f.writer.state = KVP_WRITER_CREATED;
	CU_ASSERT_EQUAL(kvp_writer_commit(&f.writer, story_file(&f), &value),
			KVP_EMPTY_KEY);
	CU_ASSERT_TRUE(kvp_writer_is_pending(&f.writer));
	CU_ASSERT_PTR_NULL(value);
	story_close(&f);
}

static void fill_to_the_cap(struct kvp_store *store)
{
	for (int i = 0; i < KVP_MAX_KEYS; i++) {
		char key[16];

		snprintf(key, sizeof(key), "%d", i);
		store_memory_add(store, check_bytes(key), check_bytes("v"));
	}
}

static void full_store_takes_values_but_no_keys(void)
{
	static const struct step refused[] = {
		{ WRITE, "v", 0, KVP_MAX_UNIQUE_KEYS, NULL, "" },
		{ TRUNCATE, NULL, 0, KVP_MAX_UNIQUE_KEYS, NULL, "" },
		{ COMMIT, NULL, 0, 0, NULL, "" }, /* as writes were refused */
		{ .deed = END },
	};
	static const struct step taken[] = {
		{ WRITE, "w", 0, 0, "w", "w" },
		{ TRUNCATE, NULL, 0, 0, "", "" },
		{ .deed = END },
	};
	struct kvp_value *value = NULL;
	struct story f;

	story_open(&f, KVP_MODE_RESTRICTED,
		   &(struct opening){ .pending = true });
	fill_to_the_cap(f.store);
	CU_ASSERT_EQUAL(kvp_writer_commit(&f.writer, story_file(&f), &value),
			KVP_MAX_UNIQUE_KEYS);
	CU_ASSERT_TRUE(kvp_writer_is_pending(&f.writer));
	for (size_t i = 0; refused[i].deed != END; i++)
		story_check(&f, &refused[i], "new key");
	f.key = check_bytes("1023");
	for (size_t i = 0; taken[i].deed != END; i++)
		story_check(&f, &taken[i], "old key");
	story_close(&f);
}

static void truncate_to_the_same_size_stores_nothing(void)
{
	struct kvp_value *value = NULL;
	struct kvp_value *before;
	struct kvp_value *after;
	struct story f;

	story_open(&f, KVP_MODE_RESTRICTED, &(struct opening){ .old = "old" });
	before = story_stored(&f);
	CU_ASSERT_EQUAL(
		kvp_writer_truncate(&f.writer, story_file(&f), 3, &value), 0);
	after = story_stored(&f);
	CU_ASSERT_PTR_NULL(value);
	CU_ASSERT_PTR_EQUAL(after, before);
	kvp_value_unref(before);
	kvp_value_unref(after);
	story_close(&f);
}

static void lack_of_memory_changes_nothing(void)
{
	static const struct step steps[] = {
		{ WRITE, "new", 0, 0, "new", "new" },
		{ TRUNCATE, NULL, 0, 0, "", "" },
		{ COMMIT, NULL, 0, 0, "", "" },
	};

	for (size_t i = 0; i < COUNT(steps); i++) {
		struct kvp_value *value = NULL;
		struct kvp_writer before;
		struct story f;

		story_open(&f, KVP_MODE_RESTRICTED,
			   &(struct opening){ .old = "old", .pending = true });
		/* the store applies an edit twice: two values are made */
		for (unsigned int n = 1; n <= 2; n++) {
			before = f.writer;
			fail_alloc_at(n);
			CU_ASSERT_EQUAL(story_do(&f, &steps[i], &value),
					-ENOMEM);
			CU_ASSERT_TRUE(fail_alloc_end());
			CU_ASSERT_PTR_NULL(value);
			CU_ASSERT_TRUE(story_same_state(&f.writer, &before));
			CU_ASSERT_TRUE(story_stored_is(&f, "old"));
		}
		CU_ASSERT_EQUAL(story_do(&f, &steps[i], &value), 0);
		CU_ASSERT_TRUE(story_stored_is(&f, steps[i].stored));
		kvp_value_unref(value);
		story_close(&f);
	}
}

static void write_leaves_one_record_of_a_repeated_key(void)
{
	struct kvp_value *value = NULL;
	struct kvp_status status;
	struct story f;

	story_open(&f, KVP_MODE_RESTRICTED, &(struct opening){ .old = "one" });
	store_memory_add(f.store, f.key, check_bytes("two"));
	CU_ASSERT_EQUAL(kvp_writer_write(&f.writer, story_file(&f),
					 check_bytes("!"), 3, &value),
			0);
	CU_ASSERT_TRUE(story_stored_is(&f, "two!"));
	kvp_store_status(f.store, &status);
	CU_ASSERT_EQUAL(status.records, 1);
	kvp_value_unref(value);
	story_close(&f);
}

/* A file without a key: what is stored elsewhere is not asked, and not changed. */
static void unlinked_file_is_written_in_memory(void)
{
	struct kvp_value *value = kvp_value_new(check_bytes("mine"));
	struct kvp_value *next = NULL;
	struct kvp_writer_file file;
	struct story f;

	CU_ASSERT_PTR_NOT_NULL_FATAL(value);
	story_open(&f, KVP_MODE_RESTRICTED, &(struct opening){ .old = "old" });
	file = *story_file(&f);
	file.unlinked = value;
	CU_ASSERT_EQUAL(kvp_writer_write(&f.writer, &file, check_bytes("d"), 4,
					 &next),
			0);
	CHECK_BYTES_EQUAL(kvp_value_bytes(next), check_bytes("mined"));
	kvp_value_unref(next);
	next = NULL;
	CU_ASSERT_EQUAL(kvp_writer_write(&f.writer, &file, check_bytes("\xff"),
					 0, &next),
			KVP_NOT_UTF8);
	CU_ASSERT_EQUAL(kvp_writer_truncate(&f.writer, &file, 9, &next),
			KVP_VALUE_CONTAINS_NUL);
	CU_ASSERT_EQUAL(kvp_writer_empty(&f.writer, &file), 0);
	CU_ASSERT_EQUAL(kvp_writer_commit(&f.writer, &file, &next), 0);
	CHECK_BYTES_EQUAL(kvp_value_bytes(next), check_bytes(""));
	CU_ASSERT_TRUE(story_stored_is(&f, "old"));
	kvp_value_unref(next);
	kvp_value_unref(value);
	story_close(&f);
}

static void release_gives_the_replaced_value_back(void)
{
	struct kvp_value *value = kvp_value_new(check_bytes("old"));
	struct kvp_writer w = { .append = false };

	CU_ASSERT_PTR_NOT_NULL_FATAL(value);
	kvp_writer_begin(&w, value);
	CU_ASSERT_EQUAL(value->refs, 2);
	kvp_writer_release(&w);
	CU_ASSERT_EQUAL(value->refs, 1);
	CU_ASSERT_PTR_NULL(w.replaced);
	kvp_writer_release(&w);
	kvp_value_unref(value);
}

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

		story_open(&f, KVP_MODE_RESTRICTED,
			   &(struct opening){
				   .pending = true,
				   .strip_newline = rows[i].strip_newline });
		CU_ASSERT_EQUAL(kvp_writer_check(&f.writer, f.store), 0);
		CHECK_ROW(rows[i].text, story_do(&f, &step, &value) == 0);
		kvp_value_unref(value);
		for (int twice = 0; twice < 2; twice++)
			CHECK_ROW(rows[i].text,
				  kvp_writer_check(&f.writer, f.store) ==
					  rows[i].result);
		story_close(&f);
	}
}

static void character_must_fit_as_a_whole(void)
{
	char *text = NULL;
	struct kvp_value *value = NULL;
	struct story f;

	story_open(&f, KVP_MODE_RESTRICTED,
		   &(struct opening){ .pending = true, .append = true });
	text = strndup(check_repeat('v', 1021).data, 1021);
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	for (int i = 0; i < 2; i++) {
		static const int results[] = { 0, KVP_VALUE_TOO_LARGE };
		const char *data = i == 0 ? text : "\xa9";

		CU_ASSERT_EQUAL(kvp_writer_write(&f.writer, story_file(&f),
						 check_bytes(data), 0, &value),
				results[i]);
		kvp_value_unref(value);
		value = NULL;
		if (i == 0)
			CU_ASSERT_EQUAL(kvp_writer_write(&f.writer,
							 story_file(&f),
							 check_bytes("\xc3"), 0,
							 &value),
					0);
		kvp_value_unref(value);
		value = NULL;
	}
	CU_ASSERT_EQUAL(f.store->fault.actual, 1023);
	CU_ASSERT_TRUE(story_stored_is(&f, text));
	CU_ASSERT_EQUAL(kvp_writer_check(&f.writer, f.store), KVP_NOT_UTF8);
	free(text);
	story_close(&f);
}

/* Whether what others stored is still there, whatever else is. */
static void check_others_text(const struct opening *opening,
			      const struct step *steps, const char *others)
{
	struct kvp_value *value = NULL;
	struct story f;
	char text[64] = "";

	story_open(&f, KVP_MODE_RESTRICTED, opening);
	for (size_t i = 0; steps[i].deed != END; i++) {
		story_do(&f, &steps[i], &value);
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

static const struct check_case cases[] = {
	CHECK_CASE(key_that_is_made_gets_the_id_that_it_was_promised),
	CHECK_CASE(commit_of_nothing_pending_does_not_ask_the_store),
	CHECK_CASE(nuls_are_refused),
	CHECK_CASE(values_may_be_as_long_as_the_mode_allows),
	CHECK_CASE(message_counts_the_bytes_of_the_whole_value),
	CHECK_CASE(message_of_half_a_character_says_where_it_begins),
	CHECK_CASE(value_over_the_limit_can_only_be_shortened),
	CHECK_CASE(view_has_room_for_the_longest_value_and_a_tail),
	CHECK_CASE(refused_keys_are_refused_here_too),
	CHECK_CASE(full_store_takes_values_but_no_keys),
	CHECK_CASE(truncate_to_the_same_size_stores_nothing),
	CHECK_CASE(lack_of_memory_changes_nothing),
	CHECK_CASE(write_leaves_one_record_of_a_repeated_key),
	CHECK_CASE(unlinked_file_is_written_in_memory),
	CHECK_CASE(release_gives_the_replaced_value_back),
	CHECK_CASE(character_in_two_writes_is_stored_when_it_is_whole),
	CHECK_CASE(check_tells_whether_the_file_ends_within_a_character),
	CHECK_CASE(character_must_fit_as_a_whole),
	CHECK_CASE(append_with_a_tail_overwrites_nothing_of_others),
};

CHECK_MAIN("writer_limits", cases)
