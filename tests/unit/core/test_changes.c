/* SPDX-License-Identifier: MIT */
#include "changes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "fail_alloc.h"

/* An index of records "KEY=VALUE", parted by spaces; keys are a letter or none. */
static struct kvp_index index_of(const char *records)
{
	struct kvp_index index;
	char copy[128];
	char *rest = copy;
	char *word;

	kvp_index_init(&index);
	snprintf(copy, sizeof(copy), "%s", records);
	while ((word = strsep(&rest, " "))) {
		char *text = strchr(word, '=');
		struct kvp_value *value;

		if (!text)
			continue;
		*text++ = '\0';
		value = kvp_value_new(check_bytes(text));
		if (!value ||
		    kvp_index_append(&index, check_bytes(word), value, 0))
			abort();
		kvp_value_unref(value);
	}
	return index;
}

/* The same as a reading has it: one record for each key. */
static struct kvp_index reading_of(const char *records)
{
	struct kvp_index index = index_of(records);
	const struct kvp_entry *entry;
	struct kvp_index reading;
	size_t cursor = 0;

	kvp_index_init(&reading);
	while ((entry = kvp_index_next(&index, &cursor)))
		if (kvp_index_append(&reading, entry->key, entry->value,
				     entry->id))
			abort();
	kvp_index_release(&index);
	return reading;
}

/* The differences from READING, which becomes NOW, if all are told. */
static int renew(struct kvp_index *reading, const struct kvp_index *now,
		 bool cleared, kvp_visit_change *visit, void *arg)
{
	const struct kvp_entry *entry;
	struct kvp_changes changes;
	size_t cursor = 0;
	int r = kvp_changes_init(&changes, reading);

	if (r)
		return r;
	while (r == 0 && (entry = kvp_index_next(now, &cursor)))
		r = kvp_changes_add(&changes, &(struct kvp_item){
						      entry->key, entry->value,
						      entry->id + 100 });
	if (r == 0)
		r = kvp_changes_tell(&changes, cleared, visit, arg);
	kvp_changes_release(&changes);
	return r;
}

struct told {
	char text[256];
	size_t count;
	size_t end_at; /* the visit that ends it; 0: none */
};

static int tell(void *arg, enum kvp_change change, struct kvp_bytes key,
		struct kvp_value *value)
{
	static const char signs[] = { [KVP_CHANGE_GONE] = '-',
				      [KVP_CHANGE_NEW] = '+',
				      [KVP_CHANGE_SET] = '!',
				      [KVP_CHANGE_CLEARED] = '0' };
	struct told *told = arg;
	size_t len = strlen(told->text);
	struct kvp_bytes none = { "", 0 };
	struct kvp_bytes bytes = value ? kvp_value_bytes(value) : none;

	CU_ASSERT_EQUAL(!value, change == KVP_CHANGE_GONE ||
					change == KVP_CHANGE_CLEARED);
	snprintf(told->text + len, sizeof(told->text) - len, "%s%c%.*s%s%.*s",
		 len ? " " : "", signs[change], (int)key.len, key.data,
		 value ? "=" : "", (int)bytes.len, bytes.data);
	return ++told->count == told->end_at ? 77 : 0;
}

static const struct {
	const char *before;
	const char *now;
	bool cleared;
	const char *changes;
} rows[] = {
	{ "", "", false, "" },
	{ "a=1 b=2", "a=1 b=2", false, "" },
	{ "a=1 b=2", "b=2 a=1", false, "" }, /* order is none */
	{ "", "a=1 b=", false, "+a=1 +b=" },
	{ "a=1 b=2", "b=2", false, "-a" },
	{ "a=1 b=2", "a=1 b=3", false, "!b=3" },
	{ "a=1 b=2", "b= c=4 d=5", false, "-a !b= +c=4 +d=5" },
	{ "c=1 b=2 a=3", "y=1 x=2", false, "-c -b -a +y=1 +x=2" },
	/* the last record counts */
	{ "a=1", "a=2 a=1", false, "" },
	{ "a=1 a=2", "a=2", false, "" },
	{ "a=1 a=2", "a=1", false, "!a=1" },
	/* no key, no entry */
	{ "=1 a=1", "=2 a=1", false, "" },
	/* all at once */
	{ "a=1 b=2", "", true, "0" },
	{ "a=1 b=2", "=1", true, "0" },
	{ "a=1 b=2", "", false, "-a -b" },
	{ "a=1 b=2", "b=2", true, "-a" },
	{ "a=1 b=2", "c=2", true, "-a -b +c=2" },
	{ "", "", true, "" },
};

/* READING has the entries of NOW, which may be in another order, and no others. */
static bool agree(const struct kvp_index *reading, const struct kvp_index *now)
{
	const struct kvp_entry *entry;
	size_t cursor = 0;
	bool agree = reading->keys == now->keys &&
		     reading->records == reading->keys;

	while ((entry = kvp_index_next(now, &cursor))) {
		const struct kvp_entry *found = kvp_index_find(reading,
							       entry->key);

		agree = agree && found && found->value == entry->value &&
			found->id == entry->id + 100;
	}
	return agree;
}

static void differences_are_told(void)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct kvp_index reading = reading_of(rows[i].before);
		struct kvp_index now = index_of(rows[i].now);
		struct told told = { .count = 0 };
		char row[300];

		snprintf(row, sizeof(row), "%s > %s", rows[i].before,
			 rows[i].now);
		CHECK_ROW(row, renew(&reading, &now, rows[i].cleared, tell,
				     &told) == 0);
		CHECK_ROW(row, !strcmp(told.text, rows[i].changes));
		CHECK_ROW(row, agree(&reading, &now));
		kvp_index_release(&reading);
		kvp_index_release(&now);
	}
}

/* READING is as it was: it differs in the same way again. */
static void visitor_can_end_it(void)
{
	struct kvp_index reading = reading_of("a=1 b=2 c=3");
	struct kvp_index now = index_of("c=4 d=5 e=6");
	struct told told = { .count = 0 };

	for (size_t n = 1; n <= 5; n++) {
		told = (struct told){ .end_at = n };
		CU_ASSERT_EQUAL(renew(&reading, &now, false, tell, &told), 77);
		CU_ASSERT_EQUAL(told.count, n);
	}
	CU_ASSERT_STRING_EQUAL(told.text, "-a -b !c=4 +d=5 +e=6");
	kvp_index_release(&reading);
	kvp_index_release(&now);
}

/* Whatever there is no memory for, nothing is told, and READING is as it was. */
static void no_memory_changes_nothing(void)
{
	struct kvp_index reading = reading_of("a=1 b=2 c=3");
	struct kvp_index now = index_of("c=4 d=5 e=6");
	struct told told = { .count = 0 };
	bool failed = true;
	unsigned int n = 0;
	int r;

	while (failed) {
		fail_alloc_at(++n);
		r = renew(&reading, &now, false, tell, &told);
		failed = fail_alloc_end();
		CU_ASSERT_EQUAL(r, failed ? -ENOMEM : 0);
		CU_ASSERT_EQUAL(told.count, failed ? 0 : 5);
	}
	CU_ASSERT(n > 5);
	CU_ASSERT_STRING_EQUAL(told.text, "-a -b !c=4 +d=5 +e=6");
	CU_ASSERT(agree(&reading, &now));
	kvp_index_release(&reading);
	kvp_index_release(&now);
}

static const struct check_case cases[] = {
	CHECK_CASE(differences_are_told),
	CHECK_CASE(visitor_can_end_it),
	CHECK_CASE(no_memory_changes_nothing),
};

CHECK_MAIN("changes", cases)
