/* SPDX-License-Identifier: MIT */
/*
 * scan.h: whatever others do to a file, an index that is brought in step with it says
 * what one says that is made anew, and no change goes unnoticed.
 *
 * To be linked as fail_io.h says.
 */
#include "scan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "fail_io.h"
#include "pool_file.h"

/* More than a chunk. */
#define RECORDS 40
#define ROUNDS 3000

static const char *path;
static struct pool_file file;
static struct kvp_pool pool;
static struct kvp_index known; /* what is brought in step */

static int scan(struct kvp_index *index, bool *ret_changed)
{
	size_t torn = 0;
	bool unsettled;
	int r;

	CU_ASSERT_EQUAL_FATAL(kvp_pool_lock(&pool, KVP_LOCK_SHARED, &unsettled),
			      0);
	r = kvp_scan(&pool, index, &torn, ret_changed);
	kvp_pool_unlock(&pool);
	if (r == 0)
		CU_ASSERT_EQUAL(torn, file.tail_size);
	return r;
}

/* A record of one of six keys, or of none, and one of four values. */
static struct pool_file_record any_record(void)
{
	static const char *const keys[] = { "", "a", "b", "c", "d", "e", "f" };
	static const char *const values[] = { "", "1", "2", "\xc3" };
	/* one after the other: compilers order arguments as they like */
	const char *key = keys[check_random(COUNT(keys))];
	const char *value = values[check_random(COUNT(values))];
	char noise = check_random(2) ? 'x' : '\0';

	return pool_file_record(check_bytes(key), check_bytes(value), noise);
}

static void add_any(void)
{
	struct pool_file_record record = any_record();

	pool_file_add(&file, pool_file_key(&record), pool_file_value(&record),
		      '\0');
}

/* Others set a value, or do something else to the record in SLOT. */
static void change_record(size_t slot)
{
	struct pool_file_record *record = &file.records[slot];
	size_t other = check_random((unsigned int)file.count);
	struct pool_file_record copy = *record;

	switch (check_random(6)) {
	case 0:
		*record = any_record();
		break;
	case 1: /* exchanged */
		*record = file.records[other];
		file.records[other] = copy;
		break;
	case 2:
		pool_file_cut(&file, slot);
		break;
	default:
		copy = any_record();
		*record = pool_file_record(pool_file_key(record),
					   pool_file_value(&copy), 'x');
		break;
	}
}

static void change_file(void)
{
	unsigned int changes = check_random(4);

	for (unsigned int i = 0; i < changes; i++)
		if (file.count > 0 && check_random(3) > 0)
			change_record(check_random((unsigned int)file.count));
		else if (file.count < RECORDS)
			add_any();
	file.tail_size = 0;
	if (check_random(8) == 0)
		pool_file_tear(&file, 7, 'x');
	if (check_random(50) == 0)
		file.count = check_random((unsigned int)file.count + 1);
	file.exists = file.count > 0 || check_random(2);
	pool_file_store(&file, path);
}

static void begin(void)
{
	path = pool_file_new("pool", NULL);
	CU_ASSERT_EQUAL_FATAL(kvp_pool_open(&pool, path, 0), 0);
	kvp_index_init(&known);
	file = (struct pool_file){ .exists = true };
	for (size_t i = 0; i < RECORDS; i++)
		add_any();
}

static void end(void)
{
	kvp_index_release(&known);
	kvp_pool_close(&pool);
	pool_file_release(&file);
}

static bool same_entry(const struct kvp_entry *a, const struct kvp_entry *b)
{
	if (!a || !b)
		return a == b;
	return kvp_bytes_equal(a->key, b->key) &&
	       kvp_bytes_equal(kvp_value_bytes(a->value),
			       kvp_value_bytes(b->value)) &&
	       a->first == b->first && a->last == b->last &&
	       a->records == b->records;
}

static bool same_index(const struct kvp_index *a, const struct kvp_index *b)
{
	bool same = a->records == b->records && a->keys == b->keys &&
		    a->empty_keys == b->empty_keys;

	for (size_t slot = 0; same && slot < a->records; slot++)
		same = same_entry(a->slots[slot], b->slots[slot]) &&
		       a->marks[slot] == b->marks[slot];
	return same;
}

/* Whether both have the same keys with the same values; common ones have their ids. */
static bool same_entries(const struct kvp_index *a, const struct kvp_index *b)
{
	const struct kvp_entry *entry;
	size_t cursor = 0;
	bool same = a->keys == b->keys;

	while ((entry = kvp_index_next(a, &cursor))) {
		const struct kvp_entry *other = kvp_index_find(b, entry->key);

		if (other)
			CU_ASSERT_EQUAL(entry->id, other->id);
		same = same && other &&
		       kvp_bytes_equal(kvp_value_bytes(entry->value),
				       kvp_value_bytes(other->value));
	}
	return same;
}

static bool has_repeats(const struct kvp_index *index)
{
	return index->records > index->keys + index->empty_keys;
}

/* CHANGED is what the scans have said since BEFORE. */
static void check(const struct kvp_index *before, bool changed)
{
	struct kvp_index anew;
	bool ignored;

	kvp_index_init(&anew);
	CU_ASSERT_EQUAL(scan(&anew, &ignored), 0);
	CU_ASSERT_TRUE(same_index(&known, &anew));
	CU_ASSERT_TRUE(changed || same_entries(before, &known));
	/* a record more counts as a change, whatever it says; so may repeated ones */
	CU_ASSERT_TRUE(!changed || known.records > before->records ||
		       has_repeats(&known) || !same_entries(before, &known));
	kvp_index_release(&anew);
}

static void index_says_what_a_new_one_says(void)
{
	struct kvp_index before;
	bool changed;

	begin();
	for (int i = 0; i < ROUNDS; i++) {
		CU_ASSERT_EQUAL_FATAL(kvp_index_copy(&known, &before), 0);
		change_file();
		CU_ASSERT_EQUAL(scan(&known, &changed), 0);
		check(&before, changed);
		kvp_index_release(&before);
	}
	end();
}

static void change_is_noticed_though_a_scan_has_failed(void)
{
	struct kvp_index before;
	bool changed;
	int failures = 0;

	begin();
	for (int i = 0; i < ROUNDS; i++) {
		const struct fail_plan plan = { .how = FAIL_ERROR,
						.calls = FAIL_PREAD,
						.nth = 1 + check_random(2),
						.errnum = EIO };
		bool more;
		int r;

		CU_ASSERT_EQUAL_FATAL(kvp_index_copy(&known, &before), 0);
		change_file();
		fail_io_arm(&plan);
		r = scan(&known, &changed);
		fail_io_disarm();
		CU_ASSERT_TRUE(r == 0 || r == -EIO);
		failures += r != 0;
		CU_ASSERT_EQUAL(scan(&known, &more), 0);
		check(&before, changed || more);
		kvp_index_release(&before);
	}
	CU_ASSERT_TRUE(failures > ROUNDS / 4);
	end();
}

/* Who takes no lock may do so when its size was looked at already. */
static void file_that_others_cut_while_it_is_read_is_read_anew(void)
{
	const struct fail_plan plan = { .how = FAIL_EOF,
					.calls = FAIL_PREAD,
					.nth = 2 };
	struct kvp_index before;
	bool changed;

	begin();
	pool_file_store(&file, path);
	CU_ASSERT_EQUAL(scan(&known, &changed), 0);
	CU_ASSERT_EQUAL_FATAL(kvp_index_copy(&known, &before), 0);
	file.records[RECORDS - 1] = pool_file_record(check_bytes("last"),
						     check_bytes("value"),
						     '\0');
	pool_file_store(&file, path);
	fail_io_arm(&plan);
	CU_ASSERT_EQUAL(scan(&known, &changed), 0);
	CU_ASSERT_EQUAL(fail_io_disarm(), FAIL_HIT);
	check(&before, changed);
	kvp_index_release(&before);
	end();
}

static struct pool_file_record named_record(size_t slot, const char *value)
{
	char key[32];

	snprintf(key, sizeof(key), "key-%zu", slot);
	return pool_file_record(check_bytes(key), check_bytes(value), '\0');
}

/* KNOWN says what a file of COUNT records says. */
static void begin_with(size_t count)
{
	bool changed;

	begin();
	file.count = 0;
	for (size_t slot = 0; slot < count; slot++) {
		struct pool_file_record record = named_record(slot, "before");

		pool_file_add(&file, pool_file_key(&record),
			      pool_file_value(&record), '\0');
	}
	pool_file_store(&file, path);
	CU_ASSERT_EQUAL(scan(&known, &changed), 0);
}

/* What is the same is only seen, and what differs is read: wherever that is. */
static void one_change_among_many_records_is_found(void)
{
	static const size_t slots[] = { 0,    31,   32,	  1000, 1023,
					1024, 1055, 1056, 2047, 2048,
					2079, 2080, 2099 };
	struct kvp_index before;
	bool changed;

	begin_with(2100);
	for (size_t i = 0; i < COUNT(slots); i++) {
		CU_ASSERT_EQUAL_FATAL(kvp_index_copy(&known, &before), 0);
		file.records[slots[i]] = named_record(slots[i], "after");
		pool_file_store(&file, path);
		CU_ASSERT_EQUAL(scan(&known, &changed), 0);
		CU_ASSERT_TRUE(changed);
		check(&before, changed);
		kvp_index_release(&before);
		CU_ASSERT_EQUAL(scan(&known, &changed), 0);
		CU_ASSERT_FALSE(changed);
	}
	end();
}

/* Who takes no lock may do so at any time. */
static void file_that_others_cut_while_it_is_locked_is_read_anew(void)
{
	static const size_t counts[] = { 0, 1, 32, 33, 64, 1024, 1056, 2099 };
	struct kvp_index before;
	bool unsettled;
	bool changed;
	size_t torn;

	for (size_t i = 0; i < COUNT(counts); i++) {
		begin_with(2100);
		CU_ASSERT_EQUAL_FATAL(kvp_index_copy(&known, &before), 0);
		CU_ASSERT_EQUAL_FATAL(
			kvp_pool_lock(&pool, KVP_LOCK_SHARED, &unsettled), 0);
		file.count = counts[i];
		pool_file_store(&file, path);
		CU_ASSERT_EQUAL(kvp_scan(&pool, &known, &torn, &changed), 0);
		kvp_pool_unlock(&pool);
		CU_ASSERT_TRUE(changed);
		check(&before, changed);
		kvp_index_release(&before);
		end();
	}
}

/* A value of a key that stays where it is is the new one, and only that. */
static void unchanged_values_stay_the_same_pointers(void)
{
	const struct kvp_entry *a;
	const struct kvp_value *value;
	struct kvp_value *b;
	bool changed;

	begin();
	file.count = 0;
	pool_file_add_text(&file, "a", "1", '\0');
	pool_file_add_text(&file, "b", "1", '\0');
	pool_file_store(&file, path);
	CU_ASSERT_EQUAL(scan(&known, &changed), 0);
	a = kvp_index_find(&known, check_bytes("a"));
	value = a->value;
	b = kvp_value_ref(kvp_index_find(&known, check_bytes("b"))->value);
	file.count = 1;
	pool_file_add_text(&file, "b", "2", '\0');
	pool_file_add_text(&file, "c", "3", '\0');
	pool_file_store(&file, path);
	CU_ASSERT_EQUAL(scan(&known, &changed), 0);
	CU_ASSERT_TRUE(changed);
	CU_ASSERT_PTR_EQUAL(kvp_index_find(&known, check_bytes("a")), a);
	CU_ASSERT_PTR_EQUAL(a->value, value);
	CU_ASSERT_PTR_NOT_EQUAL(kvp_index_find(&known, check_bytes("b"))->value,
				b);
	CHECK_BYTES_EQUAL(kvp_value_bytes(b), check_bytes("1"));
	kvp_value_unref(b);
	end();
}

static const struct check_case cases[] = {
	CHECK_CASE(index_says_what_a_new_one_says),
	CHECK_CASE(change_is_noticed_though_a_scan_has_failed),
	CHECK_CASE(file_that_others_cut_while_it_is_read_is_read_anew),
	CHECK_CASE(one_change_among_many_records_is_found),
	CHECK_CASE(file_that_others_cut_while_it_is_locked_is_read_anew),
	CHECK_CASE(unchanged_values_stay_the_same_pointers),
};

CHECK_MAIN("scan", cases)
