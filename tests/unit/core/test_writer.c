/* SPDX-License-Identifier: MIT */
/*
 * A writer step by step: what the store has after each one, and what the writer sees.
 * What no row can say (lengths, ids, memory) is in test_writer_limits.c.
 *
 * A tale is a test. It has a name, the ways to open the file, and the steps that
 * follow; another OPEN behind steps begins from the start. Before each step it is tried
 * what happens if the store fails.
 */
#include "writer.h"

#include <errno.h>
#include <limits.h>

#include "check.h"
#include "writer_story.h"

#define TALE(name)                            \
	{                                     \
		BEGIN, name, 0, 0, NULL, NULL \
	}

/* OLD is what is stored; NULL: no such key. */
#define OPEN(old, flags)                          \
	{                                         \
		OPENED, old, flags, 0, NULL, NULL \
	}

static const struct step tales[] = {
	/* Pending: created, or truncated by open. */

	TALE("nothing_is_stored_before_the_first_write"),
	OPEN(NULL, PENDING),
	{ LOOK, NULL, 0, 0, NULL, "" },
	OPEN("old", PENDING),
	{ LOOK, NULL, 0, 0, "old", "" },

	TALE("first_write_replaces_the_value_in_one_step"),
	OPEN("old value", PENDING),
	OPEN(NULL, PENDING),
	{ WRITE, "new", 0, 0, "new", "new" },
	{ WRITE, "er", 3, 0, "newer", "newer" },
	{ COMMIT, NULL, 0, 0, "newer", "newer" },

	TALE("append_to_a_new_key_keeps_what_others_stored_meanwhile"),
	OPEN(NULL, PENDING | APPEND),
	{ OTHERS_WRITE, "theirs,", 0, 0, "theirs,", "theirs," },
	{ WRITE, "ours", 0, 0, "theirs,ours", "theirs,ours" },
	{ COMMIT, NULL, 0, 0, "theirs,ours", "theirs,ours" },

	TALE("commit_without_a_write_stores_the_empty_value"),
	OPEN("old", PENDING),
	OPEN(NULL, PENDING),
	{ COMMIT, NULL, 0, 0, "", "" },
	{ OTHERS_WRITE, "x", 0, 0, "x", "x" },
	{ COMMIT, NULL, 0, 0, "x", "x" }, /* only once */

	TALE("commit_stores_nothing_over_what_others_stored"),
	OPEN("old", PENDING),
	OPEN(NULL, PENDING),
	{ OTHERS_WRITE, "theirs", 0, 0, "theirs", "" },
	{ COMMIT, NULL, 0, 0, "theirs", "theirs" },
	OPEN("old", PENDING),
	{ OTHERS_WRITE, "old", 0, 0, "old", "" },
	{ COMMIT, NULL, 0, 0, "old", "old" },
	OPEN("old", PENDING),
	{ OTHERS_DELETE, NULL, 0, 0, NULL, "" },
	{ COMMIT, NULL, 0, 0, NULL, "" },

	TALE("first_write_replaces_also_what_others_stored"),
	OPEN("old", PENDING),
	OPEN("old", PENDING | APPEND),
	{ OTHERS_WRITE, "theirs", 0, 0, "theirs", "" },
	{ WRITE, "my", 0, 0, "my", "my" },

	TALE("refused_write_keeps_the_old_value_and_makes_no_key"),
	OPEN("old", PENDING),
	{ WRITE, "\xff", 0, KVP_NOT_UTF8, "old", "" },
	{ COMMIT, NULL, 0, 0, "old", "" },
	OPEN(NULL, PENDING),
	{ WRITE, "\xff", 0, KVP_NOT_UTF8, NULL, "" },
	{ COMMIT, NULL, 0, 0, NULL, "" },
	{ WRITE, "hole", 1, KVP_VALUE_CONTAINS_NUL, NULL, "" },
	{ COMMIT, NULL, 0, 0, NULL, "" },

	TALE("write_that_the_store_fails_keeps_the_old_value"),
	OPEN("old", PENDING),
	{ FAILING_WRITE, "new", 0, -EIO, "old", "" },
	{ COMMIT, NULL, 0, 0, "old", "" },
	OPEN("old", PENDING),
	{ FAILING_WRITE, "new", 0, -EINTR, "old", "" },
	{ COMMIT, NULL, 0, 0, "old", "" },
	OPEN("old", PENDING),
	{ FAILING_WRITE, "new", 0, KVP_LOCKED, "old", "" },
	{ COMMIT, NULL, 0, 0, "old", "" },
	OPEN("old", PENDING),
	{ FAILING_WRITE, "new", 0, KVP_READ_ONLY, "old", "" },
	{ COMMIT, NULL, 0, 0, "old", "" },

	TALE("write_after_a_refused_one_counts"),
	OPEN("old", PENDING),
	{ WRITE, "\xff", 0, KVP_NOT_UTF8, "old", "" },
	{ WRITE, "new", 0, 0, "new", "new" },
	{ WRITE, "\xff", 0, KVP_NOT_UTF8, "new", "new" },
	{ COMMIT, NULL, 0, 0, "new", "new" },

	/* Emptied, and to be written. */

	TALE("emptying_waits_for_what_is_written"),
	OPEN("old", 0),
	{ EMPTY, NULL, 0, 0, "old", "" },
	{ WRITE, "new", 0, 0, "new", "new" },
	{ EMPTY, NULL, 0, 0, "new", "" },
	{ COMMIT, NULL, 0, 0, "", "" },
	{ EMPTY, NULL, 0, 0, "", "" },
	{ OTHERS_WRITE, "theirs", 0, 0, "theirs", "theirs" },
	{ COMMIT, NULL, 0, 0, "theirs", "theirs" },

	TALE("emptying_again_forgets_that_a_write_was_refused"),
	OPEN("old", 0),
	{ EMPTY, NULL, 0, 0, "old", "" },
	{ WRITE, "\xff", 0, KVP_NOT_UTF8, "old", "" },
	{ COMMIT, NULL, 0, 0, "old", "" },
	{ EMPTY, NULL, 0, 0, "old", "" },
	{ COMMIT, NULL, 0, 0, "", "" },

	TALE("emptying_makes_a_key_that_others_deleted"),
	OPEN("old", 0),
	{ OTHERS_DELETE, NULL, 0, 0, NULL, "" },
	{ EMPTY, NULL, 0, 0, NULL, "" },
	{ COMMIT, NULL, 0, 0, "", "" },

	TALE("emptying_drops_the_unfinished_character"),
	OPEN("old", 0),
	{ WRITE, "\xc3", 3, 0, "old", "old\xc3" },
	{ EMPTY, NULL, 0, 0, "old", "" },
	{ WRITE, "n", 0, 0, "n", "n" },

	/* Places. */

	TALE("writes_go_where_they_are_told"),
	OPEN("hello", 0),
	{ WRITE, "H", 0, 0, "Hello", "Hello" },
	{ WRITE, "LL", 2, 0, "HeLLo", "HeLLo" },
	{ WRITE, "p!", 4, 0, "HeLLp!", "HeLLp!" },
	{ WRITE, "!!", 6, 0, "HeLLp!!!", "HeLLp!!!" },
	{ WRITE, "other text", 0, 0, "other text", "other text" },
	{ WRITE, "", 3, 0, "other text", "other text" },

	TALE("holes_are_refused"),
	OPEN("old", 0),
	{ WRITE, "x", 4, KVP_VALUE_CONTAINS_NUL, "old", "old" },
	{ WRITE, "x", 1021, KVP_VALUE_CONTAINS_NUL, "old", "old" },
	{ WRITE, "x", 1022, KVP_VALUE_TOO_LARGE, "old", "old" },
	{ WRITE, "x", LLONG_MAX, KVP_VALUE_TOO_LARGE, "old", "old" },
	{ WRITE, "x", 3, 0, "oldx", "oldx" },

	TALE("appended_data_go_to_the_current_end"),
	OPEN("a", APPEND),
	{ WRITE, "b", 0, 0, "ab", "ab" },
	{ WRITE, "c", 1000000, 0, "abc", "abc" },
	{ OTHERS_WRITE, "longer", 0, 0, "longer", "longer" },
	{ WRITE, "!", 3, 0, "longer!", "longer!" },
	{ OTHERS_WRITE, "", 0, 0, "", "" },
	{ WRITE, "x", 7, 0, "x", "x" },
	{ OTHERS_DELETE, NULL, 0, 0, NULL, "" },
	{ WRITE, "y", 1, 0, "y", "y" },

	TALE("key_that_others_deleted_is_made_anew"),
	OPEN("old", 0),
	{ OTHERS_DELETE, NULL, 0, 0, NULL, "" },
	{ WRITE, "x", 3, KVP_VALUE_CONTAINS_NUL, NULL, "" },
	{ WRITE, "new", 0, 0, "new", "new" },
	{ OTHERS_DELETE, NULL, 0, 0, NULL, "" },
	{ TRUNCATE, NULL, 0, 0, "", "" },

	/* Truncation. */

	TALE("truncate_cuts_and_never_extends"),
	OPEN("value", 0),
	{ TRUNCATE, NULL, 6, KVP_VALUE_CONTAINS_NUL, "value", "value" },
	{ TRUNCATE, NULL, 1022, KVP_VALUE_CONTAINS_NUL, "value", "value" },
	{ TRUNCATE, NULL, 1023, KVP_VALUE_TOO_LARGE, "value", "value" },
	{ TRUNCATE, NULL, LLONG_MAX, KVP_VALUE_TOO_LARGE, "value", "value" },
	{ TRUNCATE, NULL, 5, 0, "value", "value" },
	{ TRUNCATE, NULL, 3, 0, "val", "val" },
	{ TRUNCATE, NULL, 4, KVP_VALUE_CONTAINS_NUL, "val", "val" },
	{ TRUNCATE, NULL, 0, 0, "", "" },
	{ TRUNCATE, NULL, 0, 0, "", "" },
	{ TRUNCATE, NULL, 1, KVP_VALUE_CONTAINS_NUL, "", "" },

	TALE("truncate_of_what_must_be_there_makes_no_key"),
	OPEN("value", STORED),
	{ TRUNCATE, NULL, 3, 0, "val", "val" },
	{ OTHERS_DELETE, NULL, 0, 0, NULL, "" },
	{ TRUNCATE, NULL, 0, KVP_ABSENT, NULL, "" },
	{ TRUNCATE, NULL, 1, KVP_ABSENT, NULL, "" },
	{ OTHERS_WRITE, "new", 0, 0, "new", "new" },
	{ TRUNCATE, NULL, 0, 0, "", "" },

	TALE("truncate_of_a_pending_file_stores_the_empty_value"),
	OPEN("old", PENDING),
	{ TRUNCATE, NULL, 1, KVP_VALUE_CONTAINS_NUL, "old", "" },
	{ TRUNCATE, NULL, 0, 0, "", "" },
	{ OTHERS_WRITE, "x", 0, 0, "x", "x" },
	{ COMMIT, NULL, 0, 0, "x", "x" },
	OPEN(NULL, PENDING),
	{ TRUNCATE, NULL, 0, 0, "", "" },

	TALE("truncate_cuts_no_character"),
	OPEN("a\xe2\x82\xac", 0),
	{ TRUNCATE, NULL, 3, KVP_NOT_UTF8, "a\xe2\x82\xac", "a\xe2\x82\xac" },
	{ TRUNCATE, NULL, 2, KVP_NOT_UTF8, "a\xe2\x82\xac", "a\xe2\x82\xac" },
	{ TRUNCATE, NULL, 1, 0, "a", "a" },

	TALE("truncate_takes_the_tail_away"),
	OPEN("a", 0),
	{ WRITE, "\xe2\x82", 1, 0, "a", "a\xe2\x82" },
	{ TRUNCATE, NULL, 3, 0, "a", "a\xe2\x82" },
	{ TRUNCATE, NULL, 4, KVP_VALUE_CONTAINS_NUL, "a", "a\xe2\x82" },
	{ TRUNCATE, NULL, 1, 0, "a", "a" },
	{ WRITE, "b", 1, 0, "ab", "ab" },
	OPEN("a", STRIP),
	{ WRITE, "b\n", 1, 0, "ab", "ab\n" },
	{ TRUNCATE, NULL, 2, 0, "ab", "ab" },
	{ WRITE, "\n", 2, 0, "ab", "ab\n" },
	{ TRUNCATE, NULL, 1, 0, "a", "a" },
	{ WRITE, "\n", 1, 0, "a", "a\n" },
	{ TRUNCATE, NULL, 0, 0, "", "" },

	/* Characters in pieces. */

	TALE("bytes_of_a_character_may_come_one_by_one"),
	OPEN("old", PENDING),
	{ WRITE, "\xf0", 0, 0, "old", "\xf0" },
	{ WRITE, "\x9f", 1, 0, "old", "\xf0\x9f" },
	{ WRITE, "\x98", 2, 0, "old", "\xf0\x9f\x98" },
	{ COMMIT, NULL, 0, KVP_NOT_UTF8, "old", "\xf0\x9f\x98" },
	{ WRITE, "\x80", 3, 0, "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
	{ COMMIT, NULL, 0, 0, "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
	OPEN("a", APPEND),
	{ WRITE, "\xe2", 0, 0, "a", "a\xe2" },
	{ WRITE, "\x82", 0, 0, "a", "a\xe2\x82" },
	{ WRITE, "\xac", 0, 0, "a\xe2\x82\xac", "a\xe2\x82\xac" },
	{ WRITE, "\xe2", 0, 0, "a\xe2\x82\xac", "a\xe2\x82\xac\xe2" },
	{ WRITE, "\x82\xac!", 0, 0, "a\xe2\x82\xac\xe2\x82\xac!",
	  "a\xe2\x82\xac\xe2\x82\xac!" },

	TALE("held_bytes_can_be_overwritten"),
	OPEN("a", 0),
	{ WRITE, "b\xe2\x82", 1, 0, "ab", "ab\xe2\x82" },
	{ WRITE, "cd", 2, 0, "abcd", "abcd" },
	{ WRITE, "\xc3", 4, 0, "abcd", "abcd\xc3" },
	{ WRITE, "new", 0, 0, "newd", "newd\xc3" },
	{ WRITE, "\xa9", 5, 0, "newd\xc3\xa9", "newd\xc3\xa9" },

	TALE("what_is_no_character_is_refused"),
	OPEN("old", 0),
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

	/* newline=strip */

	TALE("newline_at_the_end_is_not_stored"),
	OPEN("old", PENDING | STRIP),
	{ WRITE, "v\n", 0, 0, "v", "v\n" },
	{ COMMIT, NULL, 0, 0, "v", "v\n" },
	OPEN("old", PENDING | STRIP),
	{ WRITE, "a\n\n", 0, 0, "a\n", "a\n\n" },
	OPEN("old", PENDING | STRIP),
	{ WRITE, "a\nb", 0, 0, "a\nb", "a\nb" },
	OPEN("old", PENDING | STRIP),
	{ WRITE, "\n", 0, 0, "old", "\n" },
	{ COMMIT, NULL, 0, 0, "", "\n" },

	TALE("newline_is_put_back_if_more_follows"),
	OPEN("old", PENDING | STRIP),
	{ WRITE, "a\n", 0, 0, "a", "a\n" },
	{ WRITE, "b\n", 2, 0, "a\nb", "a\nb\n" },
	{ WRITE, "\n", 4, 0, "a\nb\n", "a\nb\n\n" },
	{ COMMIT, NULL, 0, 0, "a\nb\n", "a\nb\n\n" },
	OPEN("old", PENDING | STRIP),
	{ WRITE, "\n", 0, 0, "old", "\n" },
	{ WRITE, "a", 1, 0, "\na", "\na" },
	OPEN("old", PENDING | APPEND | STRIP),
	{ WRITE, "a\n", 0, 0, "a", "a\n" },
	{ WRITE, "b\n", 2, 0, "a\nb", "a\nb\n" },
	{ WRITE, "\n", 4, 0, "a\nb\n", "a\nb\n\n" },
	{ COMMIT, NULL, 0, 0, "a\nb\n", "a\nb\n\n" },
	OPEN("old", PENDING | APPEND | STRIP),
	{ WRITE, "\n", 0, 0, "old", "\n" },
	{ WRITE, "a", 1, 0, "\na", "\na" },

	TALE("held_newline_can_be_overwritten"),
	OPEN("v", STRIP),
	{ WRITE, "\n", 1, 0, "v", "v\n" },
	{ WRITE, "x", 1, 0, "vx", "vx" },
	{ WRITE, "\n", 2, 0, "vx", "vx\n" },
	{ WRITE, "w", 0, 0, "wx", "wx\n" },
	{ WRITE, "\xc3", 3, 0, "wx\n", "wx\n\xc3" },

	TALE("newline_is_kept_if_not_told_otherwise"),
	OPEN("old", PENDING),
	{ WRITE, "v\n", 0, 0, "v\n", "v\n" },
	{ COMMIT, NULL, 0, 0, "v\n", "v\n" },

	/* A tail, when others change the value meanwhile. */

	TALE("tail_of_a_value_that_others_cut_has_no_place"),
	OPEN("value", 0),
	{ WRITE, "\xc3", 5, 0, "value", "value\xc3" },
	{ OTHERS_WRITE, "v", 0, 0, "v", "v" },
	{ WRITE, "w", 1, 0, "vw", "vw" },
	OPEN("value", STRIP),
	{ WRITE, "\n", 5, 0, "value", "value\n" },
	{ OTHERS_WRITE, "v", 0, 0, "v", "v" },
	{ WRITE, "w", 1, 0, "vw", "vw" },

	TALE("commit_shows_the_value_of_others_as_it_is"),
	OPEN("old", PENDING | STRIP),
	{ WRITE, "\n", 0, 0, "old", "\n" },
	{ OTHERS_WRITE, "theirs", 0, 0, "theirs", "\n" },
	{ COMMIT, NULL, 0, 0, "theirs", "theirs" },
	{ END, NULL, 0, 0, NULL, NULL },
};

/* A tale for each way of opening; returns what follows its last step. */
static const struct step *tell(const struct step *opened)
{
	const struct step *steps = opened;

	while (steps->deed == OPENED)
		steps++;
	for (; opened->deed == OPENED; opened++)
		TELL((&(struct opening){
			     .old = opened->text,
			     .pending = opened->offset & PENDING,
			     .append = opened->offset & APPEND,
			     .strip_newline = opened->offset & STRIP,
			     .is_stored = opened->offset & STORED }),
		     steps);
	while (steps->deed > OPENED)
		steps++;
	return steps;
}

/* CUnit runs the tests in this order. */
static void tell_next(void)
{
	static const struct step *next = tales;

	for (next++; next->deed == OPENED;)
		next = tell(next);
}

int main(void)
{
	struct check_case cases[COUNT(tales)];
	size_t count = 0;

	for (const struct step *step = tales; step->deed != END; step++)
		if (step->deed == BEGIN)
			cases[count++] = (struct check_case){ step->text,
							      tell_next };
	return check_run("writer", cases, count);
}
