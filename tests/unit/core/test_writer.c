/* SPDX-License-Identifier: MIT */
/* Pending values, places, lengths, truncation; test_writer_tail.c has the rest. */
#include "writer.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "fail_alloc.h"
#include "store_memory.h"
#include "writer_story.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define NO_LEN 99999

/* Pending: created, or truncated by open. */

static void nothing_is_stored_before_the_first_write(void)
{
	static const struct opening new = { .pending = true };
	static const struct opening old = { .old = "old", .pending = true };
	struct story f;

	story_open(&f, KVP_MODE_RESTRICTED, &new);
	CU_ASSERT_TRUE(story_stored_is(&f, NULL));
	CU_ASSERT_TRUE(story_seen_is(&f, ""));
	story_close(&f);
	story_open(&f, KVP_MODE_RESTRICTED, &old);
	CU_ASSERT_TRUE(story_stored_is(&f, "old"));
	CU_ASSERT_TRUE(story_seen_is(&f, ""));
	story_close(&f);
}

static void first_write_replaces_the_value_in_one_step(void)
{
	static const struct step steps[] = {
		{ WRITE, "new", 0, 0, "new", "new" },
		{ WRITE, "er", 3, 0, "newer", "newer" },
		{ COMMIT, NULL, 0, 0, "newer", "newer" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "old value", .pending = true }), steps);
	TELL((&(struct opening){ .pending = true }), steps);
}

static void append_to_a_new_key_keeps_what_others_stored_meanwhile(void)
{
	static const struct step steps[] = {
		{ OTHERS_WRITE, "theirs,", 0, 0, "theirs,", "theirs," },
		{ WRITE, "ours", 0, 0, "theirs,ours", "theirs,ours" },
		{ COMMIT, NULL, 0, 0, "theirs,ours", "theirs,ours" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .pending = true, .append = true }), steps);
}

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
		size_t len;

		story_open(&f, KVP_MODE_RESTRICTED,
			   &(struct opening){ .pending = true });
		CU_ASSERT_EQUAL(story_do(&f, &deeds[i], &value, &len), 0);
		CU_ASSERT_EQUAL(kvp_store_read(f.store, f.key, &item), 0);
		CU_ASSERT_EQUAL(item.id, f.id);
		CU_ASSERT_PTR_EQUAL(item.value, value);
		kvp_value_unref(item.value);
		kvp_value_unref(value);
		story_close(&f);
	}
}

static void commit_without_a_write_stores_the_empty_value(void)
{
	static const struct step steps[] = {
		{ COMMIT, NULL, 0, 0, "", "" },
		{ OTHERS_WRITE, "x", 0, 0, "x", "x" },
		{ COMMIT, NULL, 0, 0, "x", "x" }, /* only once */
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "old", .pending = true }), steps);
	TELL((&(struct opening){ .pending = true }), steps);
}

static void commit_stores_nothing_over_what_others_stored(void)
{
	static const struct step written[] = {
		{ OTHERS_WRITE, "theirs", 0, 0, "theirs", "" },
		{ COMMIT, NULL, 0, 0, "theirs", "theirs" },
		{ .deed = END },
	};
	static const struct step the_same[] = {
		{ OTHERS_WRITE, "old", 0, 0, "old", "" },
		{ COMMIT, NULL, 0, 0, "old", "old" },
		{ .deed = END },
	};
	static const struct step deleted[] = {
		{ OTHERS_DELETE, NULL, 0, 0, NULL, "" },
		{ COMMIT, NULL, 0, 0, NULL, "" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "old", .pending = true }), written);
	TELL((&(struct opening){ .pending = true }), written);
	TELL((&(struct opening){ .old = "old", .pending = true }), the_same);
	TELL((&(struct opening){ .old = "old", .pending = true }), deleted);
}

static void first_write_replaces_also_what_others_stored(void)
{
	static const struct step steps[] = {
		{ OTHERS_WRITE, "theirs", 0, 0, "theirs", "" },
		{ WRITE, "my", 0, 0, "my", "my" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "old", .pending = true }), steps);
	TELL((&(struct opening){
		     .old = "old", .pending = true, .append = true }),
	     steps);
}

static void refused_write_keeps_the_old_value_and_makes_no_key(void)
{
	static const struct step old[] = {
		{ WRITE, "\xff", 0, KVP_NOT_UTF8, "old", "" },
		{ COMMIT, NULL, 0, 0, "old", "" },
		{ .deed = END },
	};
	static const struct step new[] = {
		{ WRITE, "\xff", 0, KVP_NOT_UTF8, NULL, "" },
		{ COMMIT, NULL, 0, 0, NULL, "" },
		{ WRITE, "hole", 1, KVP_VALUE_CONTAINS_NUL, NULL, "" },
		{ COMMIT, NULL, 0, 0, NULL, "" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "old", .pending = true }), old);
	TELL((&(struct opening){ .pending = true }), new);
}

static void write_that_the_store_fails_keeps_the_old_value(void)
{
	static const struct step write = { WRITE, "new", 0, 0, "new", "new" };
	static const int faults[] = { -EIO, -EINTR, KVP_LOCKED, KVP_READ_ONLY };

	for (size_t i = 0; i < COUNT(faults); i++) {
		struct kvp_value *value = NULL;
		struct story f;

		story_open(&f, KVP_MODE_RESTRICTED,
			   &(struct opening){ .old = "old", .pending = true });
		story_fail(&f, &write, faults[i], "write");
		CU_ASSERT_EQUAL(kvp_writer_commit(&f.writer, f.store, f.key,
						  f.id, &value),
				0);
		CU_ASSERT_PTR_NULL(value);
		CU_ASSERT_TRUE(story_stored_is(&f, "old"));
		story_close(&f);
	}
}

static void write_after_a_refused_one_counts(void)
{
	static const struct step steps[] = {
		{ WRITE, "\xff", 0, KVP_NOT_UTF8, "old", "" },
		{ WRITE, "new", 0, 0, "new", "new" },
		{ WRITE, "\xff", 0, KVP_NOT_UTF8, "new", "new" },
		{ COMMIT, NULL, 0, 0, "new", "new" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "old", .pending = true }), steps);
}

static void commit_of_nothing_pending_does_not_ask_the_store(void)
{
	struct kvp_value *value = NULL;
	unsigned int calls;
	struct story f;

	story_open(&f, KVP_MODE_RESTRICTED, &(struct opening){ .old = "old" });
	calls = store_memory_calls(f.store);
	CU_ASSERT_EQUAL(
		kvp_writer_commit(&f.writer, f.store, f.key, f.id, &value), 0);
	CU_ASSERT_PTR_NULL(value);
	CU_ASSERT_EQUAL(store_memory_calls(f.store), calls);
	story_close(&f);
}

/* Places. */

static void writes_go_where_they_are_told(void)
{
	static const struct step steps[] = {
		{ WRITE, "H", 0, 0, "Hello", "Hello" },
		{ WRITE, "LL", 2, 0, "HeLLo", "HeLLo" },
		{ WRITE, "p!", 4, 0, "HeLLp!", "HeLLp!" },
		{ WRITE, "!!", 6, 0, "HeLLp!!!", "HeLLp!!!" },
		{ WRITE, "other text", 0, 0, "other text", "other text" },
		{ WRITE, "", 3, 0, "other text", "other text" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "hello" }), steps);
}

static void holes_are_refused(void)
{
	static const struct step steps[] = {
		{ WRITE, "x", 4, KVP_VALUE_CONTAINS_NUL, "old", "old" },
		{ WRITE, "x", 1021, KVP_VALUE_CONTAINS_NUL, "old", "old" },
		{ WRITE, "x", 1022, KVP_VALUE_TOO_LARGE, "old", "old" },
		{ WRITE, "x", LLONG_MAX, KVP_VALUE_TOO_LARGE, "old", "old" },
		{ WRITE, "x", 3, 0, "oldx", "oldx" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "old" }), steps);
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
		size_t len;

		story_open(&f, KVP_MODE_RESTRICTED,
			   &(struct opening){ .old = "old" });
		CU_ASSERT_EQUAL(kvp_writer_write(&f.writer, f.store, f.key,
						 f.id, data[i], 3, &value,
						 &len),
				KVP_VALUE_CONTAINS_NUL);
		CU_ASSERT_PTR_NULL(value);
		CU_ASSERT_TRUE(story_stored_is(&f, "old"));
		story_close(&f);
	}
}

static void appended_data_go_to_the_current_end(void)
{
	static const struct step steps[] = {
		{ WRITE, "b", 0, 0, "ab", "ab" },
		{ WRITE, "c", 1000000, 0, "abc", "abc" },
		{ OTHERS_WRITE, "longer", 0, 0, "longer", "longer" },
		{ WRITE, "!", 3, 0, "longer!", "longer!" },
		{ OTHERS_WRITE, "", 0, 0, "", "" },
		{ WRITE, "x", 7, 0, "x", "x" },
		{ OTHERS_DELETE, NULL, 0, 0, NULL, "" },
		{ WRITE, "y", 1, 0, "y", "y" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "a", .append = true }), steps);
}

static void key_that_others_deleted_is_made_anew(void)
{
	static const struct step steps[] = {
		{ OTHERS_DELETE, NULL, 0, 0, NULL, "" },
		{ WRITE, "x", 3, KVP_VALUE_CONTAINS_NUL, NULL, "" },
		{ WRITE, "new", 0, 0, "new", "new" },
		{ OTHERS_DELETE, NULL, 0, 0, NULL, "" },
		{ TRUNCATE, NULL, 0, 0, "", "" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "old" }), steps);
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
	size_t len = NO_LEN;
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
	CHECK_ROW(row, kvp_writer_write(&f.writer, f.store, f.key, f.id,
					(struct kvp_bytes){ data, filler.len },
					append ? 0 : lengths[i].offset, &value,
					&len) == lengths[i].result);
	CHECK_ROW(row, len == lengths[i].len);
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

static void value_over_the_limit_can_only_be_shortened(void)
{
	struct kvp_value *value = NULL;
	struct story f;
	size_t len;

	story_open(&f, KVP_MODE_RESTRICTED, &(struct opening){ .old = "" });
	store_memory_add(f.store, f.key, check_repeat('v', KVP_VALUE_SIZE));
	CU_ASSERT_EQUAL(kvp_writer_write(&f.writer, f.store, f.key, f.id,
					 check_bytes("x"), 0, &value, &len),
			KVP_VALUE_TOO_LARGE);
	CU_ASSERT_EQUAL(len, KVP_VALUE_SIZE);
	CU_ASSERT_EQUAL(kvp_writer_truncate(&f.writer, f.store, f.key, f.id,
					    1023, &value, &len),
			KVP_VALUE_TOO_LARGE);
	CU_ASSERT_EQUAL(len, 1023);
	CU_ASSERT_PTR_NULL(value);
	CU_ASSERT_EQUAL(kvp_writer_truncate(&f.writer, f.store, f.key, f.id,
					    1022, &value, &len),
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
	size_t len;

	story_open(&f, KVP_MODE_RESTRICTED,
		   &(struct opening){ .pending = true });
	f.key = check_repeat('k', 255);
	CU_ASSERT_EQUAL(kvp_writer_write(&f.writer, f.store, f.key, f.id,
					 check_bytes("v"), 0, &value, &len),
			KVP_KEY_TOO_LARGE);
	CU_ASSERT_TRUE(f.writer.pending);
	f.key = check_bytes("\xff");
	CU_ASSERT_EQUAL(kvp_writer_truncate(&f.writer, f.store, f.key, f.id, 0,
					    &value, &len),
			KVP_NOT_UTF8);
	f.key = check_bytes("");
	f.writer.failed = false;
	CU_ASSERT_EQUAL(kvp_writer_commit(&f.writer, f.store, f.key, f.id,
					  &value),
			KVP_EMPTY_KEY);
	CU_ASSERT_TRUE(f.writer.pending);
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
	CU_ASSERT_EQUAL(kvp_writer_commit(&f.writer, f.store, f.key, f.id,
					  &value),
			KVP_MAX_UNIQUE_KEYS);
	CU_ASSERT_TRUE(f.writer.pending);
	for (size_t i = 0; refused[i].deed != END; i++)
		story_check(&f, &refused[i], "new key");
	f.key = check_bytes("1023");
	for (size_t i = 0; taken[i].deed != END; i++)
		story_check(&f, &taken[i], "old key");
	story_close(&f);
}

/* Truncation. */

static void truncate_cuts_and_never_extends(void)
{
	static const struct step steps[] = {
		{ TRUNCATE, NULL, 6, KVP_VALUE_CONTAINS_NUL, "value", "value" },
		{ TRUNCATE, NULL, 1022, KVP_VALUE_CONTAINS_NUL, "value",
		  "value" },
		{ TRUNCATE, NULL, 1023, KVP_VALUE_TOO_LARGE, "value", "value" },
		{ TRUNCATE, NULL, LLONG_MAX, KVP_VALUE_TOO_LARGE, "value",
		  "value" },
		{ TRUNCATE, NULL, 5, 0, "value", "value" },
		{ TRUNCATE, NULL, 3, 0, "val", "val" },
		{ TRUNCATE, NULL, 4, KVP_VALUE_CONTAINS_NUL, "val", "val" },
		{ TRUNCATE, NULL, 0, 0, "", "" },
		{ TRUNCATE, NULL, 0, 0, "", "" },
		{ TRUNCATE, NULL, 1, KVP_VALUE_CONTAINS_NUL, "", "" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "value" }), steps);
}

static void truncate_to_the_same_size_stores_nothing(void)
{
	struct kvp_value *value = NULL;
	struct kvp_value *before;
	struct kvp_value *after;
	struct story f;
	size_t len;

	story_open(&f, KVP_MODE_RESTRICTED, &(struct opening){ .old = "old" });
	before = story_stored(&f);
	CU_ASSERT_EQUAL(kvp_writer_truncate(&f.writer, f.store, f.key, f.id, 3,
					    &value, &len),
			0);
	after = story_stored(&f);
	CU_ASSERT_PTR_NULL(value);
	CU_ASSERT_EQUAL(len, 3);
	CU_ASSERT_PTR_EQUAL(after, before);
	kvp_value_unref(before);
	kvp_value_unref(after);
	story_close(&f);
}

static void truncate_of_a_pending_file_stores_the_empty_value(void)
{
	static const struct step old[] = {
		{ TRUNCATE, NULL, 1, KVP_VALUE_CONTAINS_NUL, "old", "" },
		{ TRUNCATE, NULL, 0, 0, "", "" },
		{ OTHERS_WRITE, "x", 0, 0, "x", "x" },
		{ COMMIT, NULL, 0, 0, "x", "x" },
		{ .deed = END },
	};
	static const struct step new[] = {
		{ TRUNCATE, NULL, 0, 0, "", "" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "old", .pending = true }), old);
	TELL((&(struct opening){ .pending = true }), new);
}

static void truncate_cuts_no_character(void)
{
	static const struct step steps[] = {
		{ TRUNCATE, NULL, 3, KVP_NOT_UTF8, "a\xe2\x82\xac",
		  "a\xe2\x82\xac" },
		{ TRUNCATE, NULL, 2, KVP_NOT_UTF8, "a\xe2\x82\xac",
		  "a\xe2\x82\xac" },
		{ TRUNCATE, NULL, 1, 0, "a", "a" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "a\xe2\x82\xac" }), steps);
}

static void truncate_takes_the_tail_away(void)
{
	static const struct step character[] = {
		{ WRITE, "\xe2\x82", 1, 0, "a", "a\xe2\x82" },
		{ TRUNCATE, NULL, 3, 0, "a", "a\xe2\x82" },
		{ TRUNCATE, NULL, 4, KVP_VALUE_CONTAINS_NUL, "a", "a\xe2\x82" },
		{ TRUNCATE, NULL, 1, 0, "a", "a" },
		{ WRITE, "b", 1, 0, "ab", "ab" },
		{ .deed = END },
	};
	static const struct step newline[] = {
		{ WRITE, "b\n", 1, 0, "ab", "ab\n" },
		{ TRUNCATE, NULL, 2, 0, "ab", "ab" },
		{ WRITE, "\n", 2, 0, "ab", "ab\n" },
		{ TRUNCATE, NULL, 1, 0, "a", "a" },
		{ WRITE, "\n", 1, 0, "a", "a\n" },
		{ TRUNCATE, NULL, 0, 0, "", "" },
		{ .deed = END },
	};

	TELL((&(struct opening){ .old = "a" }), character);
	TELL((&(struct opening){ .old = "a", .strip_newline = true }), newline);
}

/* The rest. */

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
		size_t len;

		story_open(&f, KVP_MODE_RESTRICTED,
			   &(struct opening){ .old = "old", .pending = true });
		/* the store applies an edit twice: two values are made */
		for (unsigned int n = 1; n <= 2; n++) {
			before = f.writer;
			fail_alloc_at(n);
			CU_ASSERT_EQUAL(story_do(&f, &steps[i], &value, &len),
					-ENOMEM);
			CU_ASSERT_TRUE(fail_alloc_end());
			CU_ASSERT_PTR_NULL(value);
			CU_ASSERT_TRUE(story_same_state(&f.writer, &before));
			CU_ASSERT_TRUE(story_stored_is(&f, "old"));
		}
		CU_ASSERT_EQUAL(story_do(&f, &steps[i], &value, &len), 0);
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
	size_t len;

	story_open(&f, KVP_MODE_RESTRICTED, &(struct opening){ .old = "one" });
	store_memory_add(f.store, f.key, check_bytes("two"));
	CU_ASSERT_EQUAL(kvp_writer_write(&f.writer, f.store, f.key, f.id,
					 check_bytes("!"), 3, &value, &len),
			0);
	CU_ASSERT_TRUE(story_stored_is(&f, "two!"));
	kvp_store_status(f.store, &status);
	CU_ASSERT_EQUAL(status.records, 1);
	kvp_value_unref(value);
	story_close(&f);
}

static void release_gives_the_replaced_value_back(void)
{
	struct kvp_value *value = kvp_value_new(check_bytes("old"));
	struct kvp_writer w = { .pending = true };

	CU_ASSERT_PTR_NOT_NULL_FATAL(value);
	kvp_value_set(&w.replaced, value);
	kvp_writer_release(&w);
	CU_ASSERT_EQUAL(value->refs, 1);
	CU_ASSERT_PTR_NULL(w.replaced);
	kvp_writer_release(&w);
	kvp_value_unref(value);
}

static const struct check_case cases[] = {
	CHECK_CASE(nothing_is_stored_before_the_first_write),
	CHECK_CASE(first_write_replaces_the_value_in_one_step),
	CHECK_CASE(append_to_a_new_key_keeps_what_others_stored_meanwhile),
	CHECK_CASE(key_that_is_made_gets_the_id_that_it_was_promised),
	CHECK_CASE(commit_without_a_write_stores_the_empty_value),
	CHECK_CASE(commit_stores_nothing_over_what_others_stored),
	CHECK_CASE(first_write_replaces_also_what_others_stored),
	CHECK_CASE(refused_write_keeps_the_old_value_and_makes_no_key),
	CHECK_CASE(write_that_the_store_fails_keeps_the_old_value),
	CHECK_CASE(write_after_a_refused_one_counts),
	CHECK_CASE(commit_of_nothing_pending_does_not_ask_the_store),
	CHECK_CASE(writes_go_where_they_are_told),
	CHECK_CASE(holes_are_refused),
	CHECK_CASE(nuls_are_refused),
	CHECK_CASE(appended_data_go_to_the_current_end),
	CHECK_CASE(key_that_others_deleted_is_made_anew),
	CHECK_CASE(values_may_be_as_long_as_the_mode_allows),
	CHECK_CASE(value_over_the_limit_can_only_be_shortened),
	CHECK_CASE(view_has_room_for_the_longest_value_and_a_tail),
	CHECK_CASE(refused_keys_are_refused_here_too),
	CHECK_CASE(full_store_takes_values_but_no_keys),
	CHECK_CASE(truncate_cuts_and_never_extends),
	CHECK_CASE(truncate_to_the_same_size_stores_nothing),
	CHECK_CASE(truncate_of_a_pending_file_stores_the_empty_value),
	CHECK_CASE(truncate_cuts_no_character),
	CHECK_CASE(truncate_takes_the_tail_away),
	CHECK_CASE(lack_of_memory_changes_nothing),
	CHECK_CASE(write_leaves_one_record_of_a_repeated_key),
	CHECK_CASE(release_gives_the_replaced_value_back),
};

CHECK_MAIN("writer", cases)
