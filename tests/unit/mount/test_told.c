/* SPDX-License-Identifier: MIT */
/*
 * What watchers know, and what is due to be told: stories of what others and the mount
 * do, step by step, and what is due at their end.
 *
 *	K=V	others store V		K-	others remove K
 *	w:K=V	the mount stores V	r:K	the mount removes K
 *	c:K	the mount creates K, and nothing is stored yet
 *	g:K	that was given up	m:K	others' K is opened by a creation
 *	n:A:B	the mount renames A	x:A:B	it exchanges the two
 *	e:K	the mount stored K when it was closed
 *	?	a comparison		!	the first that is due is told
 *
 * To be linked as fail_alloc.h says.
 */
#include "told.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "fail_alloc.h"
#include "store_memory.h"

static struct kvp_store *store;
static struct kvpfs_told told;
static struct kvp_value *empty;
static char creating[8]; /* the key that is being created; or "" */

static void put(const char *key, const char *value)
{
	CU_ASSERT_EQUAL(kvp_store_write(store, check_bytes(key),
					check_bytes(value)),
			0);
}

/* Watchers know of a=1 and b=2. */
static void begin(void)
{
	store = store_memory_new(KVP_MODE_FULL);
	told = (struct kvpfs_told){ 0 };
	empty = kvp_value_new(check_bytes(""));
	creating[0] = '\0';
	put("a", "1");
	put("b", "2");
	CU_ASSERT_EQUAL_FATAL(kvpfs_told_begin(&told, store), 0);
}

static void end(void)
{
	kvpfs_told_end(&told);
	kvp_store_free(store);
	CU_ASSERT_EQUAL(empty->refs, 1);
	kvp_value_unref(empty);
}

static bool is_created(void *arg, struct kvp_bytes key)
{
	(void)arg;
	return kvp_bytes_equal(key, check_bytes(creating));
}

static int compare(void)
{
	return kvpfs_told_compare(&told, store, is_created, NULL);
}

static struct kvp_item find(const char *key)
{
	struct kvp_item item = { 0 };

	CU_ASSERT_EQUAL(kvp_store_read(store, check_bytes(key), &item), 0);
	return item;
}

static void store_here(const char *key, const char *value)
{
	struct kvp_item item;

	put(key, value);
	item = find(key);
	kvpfs_told_stored(&told, item.key, item.value);
	kvp_value_unref(item.value);
}

static void rename_here(const char *from, const char *to, bool exchange)
{
	struct kvp_item item;

	CU_ASSERT_EQUAL(kvp_store_rename(store, check_bytes(from),
					 check_bytes(to),
					 exchange ? KVP_RENAME_EXCHANGE
						  : KVP_RENAME_REPLACE),
			0);
	item = find(to);
	kvpfs_told_renamed(&told, check_bytes(from), &item, exchange);
	kvp_value_unref(item.value);
}

static void open_by_creation(const char *key)
{
	struct kvp_item item = find(key);

	kvpfs_told_made(&told, item.key, 0, item.value);
	kvp_value_unref(item.value);
}

static void act_here(char what, char *key, char *rest)
{
	struct kvp_bytes bytes = check_bytes(key);

	switch (what) {
	case 'w':
		store_here(key, rest);
		break;
	case 'r':
		CU_ASSERT_EQUAL(kvp_store_delete(store, bytes), 0);
		kvpfs_told_removed(&told, bytes);
		break;
	case 'c':
		strcpy(creating, key);
		kvpfs_told_made(&told, bytes, 9, empty);
		break;
	case 'g':
		creating[0] = '\0';
		kvpfs_told_doubt(&told);
		break;
	case 'm':
		open_by_creation(key);
		break;
	case 'e':
		kvpfs_told_early(&told, bytes);
		break;
	default:
		rename_here(key, rest, what == 'x');
	}
}

static void act_outside(char *step)
{
	char *value = strchr(step, '=');

	if (value) {
		*value++ = '\0';
		put(step, value);
	} else {
		*strchr(step, '-') = '\0';
		CU_ASSERT_EQUAL(kvp_store_delete(store, check_bytes(step)), 0);
	}
}

static void act(char *step)
{
	char *rest = step[1] == ':' ? strpbrk(step + 2, ":=") : NULL;

	if (rest)
		*rest++ = '\0';
	if (*step == '?') {
		CU_ASSERT_EQUAL(compare(), 0);
	} else if (*step == '!') {
		kvpfs_told_finish(&told, kvpfs_told_next(&told));
	} else if (step[1] == ':') {
		act_here(*step, step + 2, rest);
	} else {
		act_outside(step);
	}
}

/* What is due, as "+new =set -gone". */
static const char *tell_all(void)
{
	static const char kinds[] = { [KVP_CHANGE_NEW] = '+',
				      [KVP_CHANGE_SET] = '=',
				      [KVP_CHANGE_GONE] = '-' };
	static char text[256];
	struct kvpfs_change *change;
	size_t len = 0;

	text[0] = '\0';
	while ((change = kvpfs_told_next(&told))) {
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"%s%c%.*s", len ? " " : "",
					kinds[change->kind],
					(int)change->key_len, change->key);
		kvpfs_told_finish(&told, change);
	}
	return text;
}

static const struct {
	const char *story;
	const char *due;
} stories[] = {
	{ "?", "" },
	{ "c=3 ?", "+c" },
	{ "a=7 ?", "=a" },
	{ "a- ?", "-a" },
	{ "a- b- c=1 ?", "-a -b +c" },
	{ "a=1 b=2 ?", "" },
	{ "a=7 a=1 ?", "" },
	{ "c=1 c- ?", "" },
	{ "a- a=1 ?", "" },
	{ "a- a=5 ?", "=a" },
	/* nothing is told twice, and nothing forgotten that is not told yet */
	{ "c=3 ? ! ?", "" },
	{ "c=3 d=4 ? ! ?", "+d" },
	{ "c=3 ? d=4 ?", "+c" },
	{ "c=3 ? d=4 ? ! ?", "+d" },
	/* what the mount does */
	{ "w:a=7 ?", "" },
	{ "r:a ?", "" },
	{ "c:c w:c=3 ?", "" },
	{ "n:a:c ?", "" },
	{ "n:a:b ?", "" },
	{ "x:a:b ?", "" },
	{ "x:a:b a=1 ?", "=a" },
	{ "w:a=7 a=8 ?", "=a" },
	{ "w:a=7 a=1 ?", "=a" },
	{ "r:a a=1 ?", "+a" },
	{ "r:a c:a w:a=1 ?", "" },
	{ "n:a:c a=1 ?", "+a" },
	/* before others' changes are known */
	{ "c=3 w:c=4 ?", "+c" },
	{ "c=3 r:c ?", "" },
	{ "c=3 n:c:d ?", "" },
	{ "c=3 n:c:a ?", "" },
	{ "c=3 x:c:a ?", "=c" },
	{ "c=3 d=4 x:c:d ?", "=c" },
	{ "c=3 m:c ?", "" },
	{ "a=5 n:a:c ?", "=c" },
	{ "a- w:a=6 ?", "" },
	/* while others' changes are due */
	{ "c=3 ? r:c", "" },
	{ "c=3 ? w:c=4", "+c" },
	{ "c=3 ? n:c:d", "" },
	{ "c=3 ? m:c", "" },
	{ "c=3 ? n:a:c", "" },
	{ "c=3 d=4 ? x:c:d", "" },
	{ "a=5 ? w:a=6 ?", "=a" },
	{ "a=5 ? r:a", "" },
	{ "a=5 ? n:a:c ?", "" },
	{ "a=5 ? n:b:a ?", "=a" },
	{ "a- ? c:a w:a=1 ?", "" },
	{ "a- ? c:a w:a=1 r:a ?", "" },
	{ "a- ? n:b:a ?", "" },
	{ "a- ? w:a=3 ?", "-a" }, /* by an old handle: it is back */
	{ "a- ? ! w:a=3 ?", "+a" },
	{ "a- ? w:a=3 ? ! ?", "+a" },
	/* files that are being created */
	{ "c:c ?", "" },
	{ "c:c g:c ?", "-c" },
	{ "c:c c=3 ?", "=c" },
	/* what was stored after it was closed */
	{ "w:a= e:a ?", "=a" },
	{ "w:a= e:a r:a ?", "" },
	{ "e:c ?", "" },
};

static void each_story_ends_with_what_is_due(void)
{
	for (size_t i = 0; i < COUNT(stories); i++) {
		char text[128];
		char *rest;
		const char *due;

		begin();
		strcpy(text, stories[i].story);
		for (char *step = strtok_r(text, " ", &rest); step;
		     step = strtok_r(NULL, " ", &rest))
			act(step);
		due = tell_all();
		CHECK_ROW(stories[i].story, strcmp(due, stories[i].due) == 0);
		if (strcmp(due, stories[i].due) != 0)
			printf("  due: \"%s\"\n", due);
		end();
	}
}

static void failure_leaves_all_due(void)
{
	begin();
	put("c", "3");
	put("a", "4");
	store_memory_fail(store, 1, KVP_LOCKED);
	CU_ASSERT_EQUAL(compare(), KVP_LOCKED);
	CU_ASSERT_PTR_NULL(kvpfs_told_next(&told));
	CU_ASSERT_PTR_NULL(kvpfs_told_find(&told, check_bytes("c")));
	CU_ASSERT_EQUAL(compare(), 0);
	CU_ASSERT_STRING_EQUAL(tell_all(), "=a +c");
	end();
}

static void without_memory_all_stays_due(void)
{
	bool failed = true;

	for (unsigned int n = 1; failed; n++) {
		struct kvpfs_change *change;
		int r;

		begin();
		put("c", "3");
		put("a", "4");
		fail_alloc_at(n);
		r = compare();
		failed = fail_alloc_end();
		change = kvpfs_told_next(&told);
		CU_ASSERT_EQUAL(r, failed ? -ENOMEM : 0);
		CU_ASSERT_EQUAL(!change, failed);
		if (failed)
			CU_ASSERT_EQUAL(compare(), 0);
		CU_ASSERT_STRING_EQUAL(tell_all(), "=a +c");
		end();
	}
}

static void without_memory_to_note_it_a_key_is_told_once_more(void)
{
	bool failed = true;

	for (unsigned int n = 1; failed; n++) {
		begin();
		fail_alloc_at(n);
		kvpfs_told_made(&told, check_bytes("c"), 9, empty);
		failed = fail_alloc_end();
		put("c", "");
		CU_ASSERT_EQUAL(compare(), 0);
		CU_ASSERT_STRING_EQUAL(tell_all(), failed ? "+c" : "");
		end();
	}
}

static void nothing_is_noted_while_it_is_off(void)
{
	begin();
	kvpfs_told_end(&told);
	kvpfs_told_made(&told, check_bytes("c"), 9, empty);
	kvpfs_told_stored(&told, check_bytes("a"), empty);
	kvpfs_told_removed(&told, check_bytes("a"));
	kvpfs_told_early(&told, check_bytes("a"));
	CU_ASSERT_PTR_NULL(kvpfs_told_find(&told, check_bytes("a")));
	CU_ASSERT_FALSE(told.on);
	end();
}

static const struct check_case cases[] = {
	CHECK_CASE(each_story_ends_with_what_is_due),
	CHECK_CASE(failure_leaves_all_due),
	CHECK_CASE(without_memory_all_stays_due),
	CHECK_CASE(without_memory_to_note_it_a_key_is_told_once_more),
	CHECK_CASE(nothing_is_noted_while_it_is_off),
};

CHECK_MAIN("told", cases)
