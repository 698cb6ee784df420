/* SPDX-License-Identifier: MIT */
#include "changes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

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

static void differences_are_told(void)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct kvp_index before = index_of(rows[i].before);
		struct kvp_index now = index_of(rows[i].now);
		struct told told = { .count = 0 };
		char row[300];

		snprintf(row, sizeof(row), "%s > %s", rows[i].before,
			 rows[i].now);
		CHECK_ROW(row, kvp_changes(&before, &now, rows[i].cleared, tell,
					   &told) == 0);
		CHECK_ROW(row, !strcmp(told.text, rows[i].changes));
		kvp_index_release(&before);
		kvp_index_release(&now);
	}
}

static void visitor_can_end_it(void)
{
	struct kvp_index before = index_of("a=1 b=2 c=3");
	struct kvp_index now = index_of("c=4 d=5 e=6");

	for (size_t n = 1; n <= 5; n++) {
		struct told told = { .end_at = n };

		CU_ASSERT_EQUAL(kvp_changes(&before, &now, false, tell, &told),
				77);
		CU_ASSERT_EQUAL(told.count, n);
	}
	kvp_index_release(&before);
	kvp_index_release(&now);
}

static const struct check_case cases[] = {
	CHECK_CASE(differences_are_told),
	CHECK_CASE(visitor_can_end_it),
};

CHECK_MAIN("changes", cases)
