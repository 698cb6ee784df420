/* SPDX-License-Identifier: MIT */
/*
 * The store on a pool file that others use at the same time: finding it locked,
 * seeing what they did, and several stores on one file.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "locker.h"
#include "pool_file.h"
#include "store_pool.h"
#include "store_text.h"

static const char *path;
static struct kvp_store *store;
static struct locker other;

static void begin(const char *records)
{
	path = pool_file_new("pool", NULL);
	store_text_make_file(path, records);
	locker_start(&other, path);
	store = store_text_open(path, KVP_MODE_RESTRICTED);
}

static void end(void)
{
	kvp_store_free(store);
	locker_stop(&other);
}

/* The file is changed by a program that neither locks nor asks. */
static void change_file(const char *records)
{
	store_text_make_file(path, records);
}

static int read_changed_file(void)
{
	struct kvp_item item;
	int r;

	change_file("a=1 b=2 c=3");
	r = kvp_store_read(store, check_bytes("a"), &item);
	if (r == 0)
		kvp_value_unref(item.value);
	return r;
}

static int list_changed_file(void)
{
	change_file("a=1 b=2 c=3");
	return store_text_visit_entries(store);
}

static int refresh_changed_file(void)
{
	change_file("a=1 b=2 c=3");
	return kvp_store_refresh(store);
}

static int take_snapshot_of_changed_file(void)
{
	struct kvp_index index;
	int r;

	change_file("a=1 b=2 c=3");
	r = kvp_store_snapshot(store, &index);
	if (r == 0)
		kvp_index_release(&index);
	return r;
}

static int list_records(void)
{
	return store_text_visit_records(store);
}

static int overwrite(void)
{
	return store_text_write(store, "a", "9");
}

static int write_new(void)
{
	return store_text_write(store, "x", "9");
}

static int delete (void)
{
	return store_text_delete(store, "a");
}

static int clear(void)
{
	return kvp_store_clear(store);
}

static int rename_over(void)
{
	return store_text_rename(store, "a", "b", KVP_RENAME_REPLACE);
}

static int append(void)
{
	return store_text_append(store, "a=7 y=8");
}

static int load(void)
{
	return store_text_load(store, "z=7");
}

static int restore(void)
{
	struct pool_file_record record = pool_file_record(check_bytes("z"),
							  check_bytes("7"), 0);

	return kvp_store_restore(store, (struct kvp_bytes){ record.bytes,
							    sizeof(record) });
}

/* Nothing was there at that moment. */
static int clear_seen(void)
{
	struct kvp_index seen;

	kvp_index_init(&seen);
	return kvp_store_clear_seen(store, &seen);
}

/* Everything that needs a lock, and what it makes of "a=1 b=2 c=3". */
static const struct {
	const char *name;
	int (*perform)(void);
	bool shared;
	const char *after;
} ops[] = {
	{ "read", read_changed_file, true, "a=1 b=2 c=3" },
	{ "entries", list_changed_file, true, "a=1 b=2 c=3" },
	{ "refresh", refresh_changed_file, true, "a=1 b=2 c=3" },
	{ "snapshot", take_snapshot_of_changed_file, true, "a=1 b=2 c=3" },
	{ "entries_raw", list_records, true, "a=1 b=2 c=3" },
	{ "overwrite", overwrite, false, "a=9 b=2 c=3" },
	{ "write new", write_new, false, "a=1 b=2 c=3 x=9" },
	{ "delete", delete, false, "b=2 c=3" },
	{ "clear", clear, false, "" },
	{ "rename", rename_over, false, "b=1 c=3" },
	{ "append", append, false, "a=1 b=2 c=3 a=7 y=8" },
	{ "load", load, false, "z=7" },
	{ "restore", restore, false, "z=7" },
	{ "clear_seen", clear_seen, false, "a=1 b=2 c=3" },
};

/* enum locker_lock tells; odd ones are exclusive. */
static bool is_exclusive(int lock)
{
	return lock == LOCKER_FLOCK_EXCLUSIVE || lock == LOCKER_POSIX_WRITE ||
	       lock == LOCKER_OFD_WRITE;
}

static bool needs_less(size_t op, int lock)
{
	return ops[op].shared && !is_exclusive(lock);
}

/* While the other has LOCK. */
static void check_locked_out(size_t op, int lock)
{
	bool free = needs_less(op, lock);
	int wanted = free ? 0 : KVP_LOCKED;

	CHECK_ROW(ops[op].name, ops[op].perform() == wanted);
	if (!free)
		CHECK_ROW(ops[op].name,
			  kvp_store_wants_exclusive(store) == !ops[op].shared);
	CHECK_ROW(ops[op].name,
		  kvp_store_try_lock(store, !ops[op].shared) == wanted);
	CHECK_ROW(ops[op].name,
		  strcmp(store_text_of_file(path), "a=1 b=2 c=3") == 0);
}

static void operation_gives_up_at_once_and_names_the_lock(void)
{
	for (int lock = 0; lock < LOCKER_LOCKS; lock++) {
		begin("a=1 b=2 c=3");
		CU_ASSERT_TRUE(locker_take(&other, (enum locker_lock)lock));
		for (size_t i = 0; i < COUNT(ops); i++)
			check_locked_out(i, lock);
		end();
	}
}

static void operation_that_gave_up_works_the_next_time(void)
{
	for (size_t i = 0; i < COUNT(ops) * LOCKER_LOCKS; i++) {
		int lock = (int)(i / COUNT(ops));
		size_t j = i % COUNT(ops);

		begin("a=1 b=2 c=3");
		CU_ASSERT_TRUE(locker_take(&other, (enum locker_lock)lock));
		if (!needs_less(j, lock))
			CHECK_ROW(ops[j].name, ops[j].perform() == KVP_LOCKED);
		locker_release(&other);
		CHECK_ROW(ops[j].name,
			  kvp_store_try_lock(store, !ops[j].shared) == 0);
		CHECK_ROW(ops[j].name, ops[j].perform() == 0);
		CU_ASSERT_STRING_EQUAL(store_text_of_file(path), ops[j].after);
		end();
	}
}

/* Nor does it hide what others did before it. */
static void lock_that_was_tried_is_free_again(void)
{
	for (int exclusive = 0; exclusive < 2; exclusive++) {
		begin("a=1");
		change_file("a=2");
		CU_ASSERT_EQUAL(kvp_store_try_lock(store, exclusive), 0);
		CU_ASSERT_TRUE(locker_take(&other, LOCKER_POSIX_WRITE));
		locker_release(&other);
		CU_ASSERT_TRUE(locker_take(&other, LOCKER_FLOCK_EXCLUSIVE));
		locker_release(&other);
		CU_ASSERT_TRUE(store_text_reads(store, "a", "2"));
		end();
	}
}

static void lock_of_a_missing_pool_is_free_and_makes_none(void)
{
	begin("");
	CU_ASSERT_EQUAL(unlink(path), 0);
	CU_ASSERT_EQUAL(kvp_store_try_lock(store, false), 0);
	CU_ASSERT_EQUAL(kvp_store_try_lock(store, true), 0);
	CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "-");
	end();
}

static void operation_leaves_no_lock_behind(void)
{
	for (size_t i = 0; i < COUNT(ops); i++) {
		begin("a=1 b=2 c=3");
		CHECK_ROW(ops[i].name, ops[i].perform() == 0);
		for (int lock = 0; lock < LOCKER_LOCKS; lock++)
			CHECK_ROW(ops[i].name,
				  locker_can_take(&other,
						  (enum locker_lock)lock));
		end();
	}
}

/* Also what is refused, and what finds nothing to do. */
static void refused_operation_leaves_no_lock_behind(void)
{
	struct kvp_store *full;

	begin("a=1 b=2");
	CU_ASSERT_EQUAL(store_text_delete(store, "x"), KVP_ABSENT);
	CU_ASSERT_TRUE(locker_can_take(&other, LOCKER_FLOCK_EXCLUSIVE));
	CU_ASSERT_TRUE(locker_can_take(&other, LOCKER_POSIX_WRITE));
	CU_ASSERT_EQUAL(store_text_rename(store, "a", "b",
					  KVP_RENAME_NO_REPLACE),
			KVP_EXISTS);
	CU_ASSERT_EQUAL(store_text_rename(store, "a", "a", KVP_RENAME_REPLACE),
			0);
	CU_ASSERT_TRUE(locker_can_take(&other, LOCKER_FLOCK_EXCLUSIVE));
	CU_ASSERT_TRUE(locker_can_take(&other, LOCKER_POSIX_WRITE));
	CU_ASSERT_EQUAL(truncate(path, (1L << 30) + 1), 0);
	CU_ASSERT_EQUAL(store_text_write(store, "a", "1"), -EFBIG);
	CU_ASSERT_TRUE(locker_can_take(&other, LOCKER_FLOCK_EXCLUSIVE));
	CU_ASSERT_TRUE(locker_can_take(&other, LOCKER_POSIX_WRITE));
	CU_ASSERT_EQUAL(truncate(path, 0), 0);
	full = store_text_open(path, KVP_MODE_FULL);
	for (int i = 0; i < 1024; i++) {
		char key[16];

		snprintf(key, sizeof(key), "k%d", i);
		store_text_write(full, key, "");
	}
	kvp_store_free(full);
	CU_ASSERT_EQUAL(store_text_write(store, "x", "1"), KVP_MAX_UNIQUE_KEYS);
	CU_ASSERT_TRUE(locker_can_take(&other, LOCKER_FLOCK_EXCLUSIVE));
	CU_ASSERT_TRUE(locker_can_take(&other, LOCKER_POSIX_WRITE));
	end();
}

static void unchanged_pool_is_read_without_a_lock(void)
{
	for (int lock = 0; lock < LOCKER_LOCKS; lock++) {
		struct kvp_status status;
		bool stale = true;
		int fd;

		begin("a=1 b=2 a=3");
		CU_ASSERT_TRUE(locker_take(&other, (enum locker_lock)lock));
		CU_ASSERT_TRUE(store_text_reads(store, "a", "3"));
		CU_ASSERT_TRUE(store_text_reads(store, "x", NULL));
		CU_ASSERT_STRING_EQUAL(store_text_entries(store), "a=3 b=2");
		CU_ASSERT_EQUAL(kvp_store_refresh(store), 0);
		CU_ASSERT_EQUAL(kvp_store_is_stale(store, &stale), 0);
		CU_ASSERT_FALSE(stale);
		CU_ASSERT_EQUAL(kvp_store_check_new(store, check_bytes("x")),
				0);
		kvp_store_status(store, &status);
		CU_ASSERT_EQUAL(status.records, 3);
		fd = kvp_store_sync_descriptor(store);
		CU_ASSERT_TRUE(fd >= 0);
		close(fd);
		end();
	}
}

/* What a look finds: the file's mode, or 0 if there is none. */
static mode_t look_for_mode(void)
{
	struct kvp_status status;

	CU_ASSERT_EQUAL(kvp_store_look(store), 0);
	kvp_store_end_look(store);
	kvp_store_status(store, &status);
	return status.exists ? status.st.st_mode & 07777 : 0;
}

static void look_finds_the_mode_of_now_whoever_has_the_lock(void)
{
	for (int lock = 0; lock < LOCKER_LOCKS; lock++) {
		begin("a=1 b=2");
		CU_ASSERT_TRUE(locker_take(&other, (enum locker_lock)lock));
		CU_ASSERT_EQUAL(chmod(path, 0640), 0);
		CU_ASSERT_EQUAL(look_for_mode(), 0640);
		CU_ASSERT_EQUAL(chmod(path, 0604), 0);
		CU_ASSERT_EQUAL(look_for_mode(), 0604);
		locker_release(&other);
		CU_ASSERT_EQUAL(unlink(path), 0);
		CU_ASSERT_EQUAL(look_for_mode(), 0);
		change_file("b=1");
		CU_ASSERT_EQUAL(chmod(path, 0666), 0);
		CU_ASSERT_EQUAL(look_for_mode(), 0666);
		CU_ASSERT_STRING_EQUAL(store_text_entries(store), "b=1");
		end();
	}
}

/* Within one request: what it began to see is good enough. */
static void look_serves_the_next_operation_until_it_ends(void)
{
	begin("a=1");
	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "a=1");
	CU_ASSERT_EQUAL(kvp_store_look(store), 0);
	change_file("a=2");
	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "a=1");
	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "a=2");
	CU_ASSERT_EQUAL(kvp_store_look(store), 0);
	change_file("a=3");
	kvp_store_end_look(store);
	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "a=3");
	CU_ASSERT_EQUAL(kvp_store_look(store), 0);
	change_file("a=4 b=1");
	CU_ASSERT_EQUAL(kvp_store_delete(store, check_bytes("a")), 0);
	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "b=1");
	end();
}

static void own_change_needs_no_lock_to_be_read(void)
{
	for (size_t i = 0; i < COUNT(ops); i++) {
		char *entries;

		if (ops[i].shared)
			continue;
		begin("a=1 b=2 c=3");
		CU_ASSERT_EQUAL(ops[i].perform(), 0);
		CU_ASSERT_TRUE(locker_take(&other, LOCKER_POSIX_WRITE));
		entries = strdup(store_text_entries(store));
		CHECK_ROW(ops[i].name, entries[0] != '!');
		change_file(ops[i].after);
		locker_release(&other);
		CU_ASSERT_STRING_EQUAL(store_text_entries(store), entries);
		free(entries);
		end();
	}
}

static void opening_needs_no_lock_but_the_first_reading_does(void)
{
	struct kvp_pool_config config = { .path = pool_file_path("pool") };
	struct kvp_store *second = NULL;

	begin("a=1");
	CU_ASSERT_TRUE(locker_take(&other, LOCKER_FLOCK_EXCLUSIVE));
	CU_ASSERT_EQUAL_FATAL(kvp_store_pool_open(&config, &second), 0);
	CU_ASSERT_EQUAL(kvp_store_refresh(second), KVP_LOCKED);
	CU_ASSERT_FALSE(kvp_store_wants_exclusive(second));
	locker_release(&other);
	CU_ASSERT_EQUAL(kvp_store_refresh(second), 0);
	CU_ASSERT_TRUE(store_text_reads(second, "a", "1"));
	kvp_store_free(second);
	end();
}

/* The check for staleness is made under the lock, not before. */
static void pool_that_became_fresh_while_locked_is_not_truncated(void)
{
	const struct timespec old[2] = { { 1, 0 }, { 1, 0 } };
	bool cleared = true;

	begin("a=1");
	CU_ASSERT_EQUAL(utimensat(0, path, old, 0), 0);
	CU_ASSERT_TRUE(locker_take(&other, LOCKER_FLOCK_SHARED));
	CU_ASSERT_EQUAL(kvp_store_clear_stale(store, &cleared), KVP_LOCKED);
	CU_ASSERT_TRUE(kvp_store_wants_exclusive(store));
	locker_change(&other, LOCKER_TOUCH);
	locker_release(&other);
	CU_ASSERT_EQUAL(kvp_store_clear_stale(store, &cleared), 0);
	CU_ASSERT_FALSE(cleared);
	CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "a=1");
	end();
}

/* What others leave is what each operation starts from. */
static void operation_works_on_what_others_left(void)
{
	static const struct {
		const char
			*before; /* of the operation, by others; NULL: none */
		int (*perform)(void);
		int result;
		const char *after;
	} cases[] = {
		{ "a=5 q=6", overwrite, 0, "a=9 q=6" },
		{ "q=6 a=5", overwrite, 0, "q=6 a=9" },
		{ "q=6", overwrite, 0, "q=6 a=9" },
		{ "a=5 a=6 a=7", overwrite, 0, "a=9" },
		{ "", overwrite, 0, "a=9" },
		{ NULL, overwrite, 0, "a=9" },
		{ "q=6 a=5 r=7", delete, 0, "q=6 r=7" },
		{ "q=6", delete, KVP_ABSENT, "q=6" },
		{ NULL, delete, KVP_ABSENT, "-" },
		{ "b=5 q=6", rename_over, KVP_ABSENT, "b=5 q=6" },
		{ "q=6 a=5", rename_over, 0, "q=6 b=5" },
		{ NULL, rename_over, KVP_ABSENT, "-" },
		{ "q=6", append, 0, "q=6 a=7 y=8" },
		{ NULL, append, 0, "a=7 y=8" },
		{ "q=6 r=7 s=8", load, 0, "z=7" },
		{ NULL, load, 0, "z=7" },
		{ "q=6", clear, 0, "" },
		{ NULL, clear, 0, "-" },
	};

	/* in place; deleted and made anew; replaced */
	for (size_t i = 0; i < COUNT(cases) * 3; i++) {
		size_t j = i % COUNT(cases);
		const char *next = pool_file_path("next");

		begin("a=1 b=2 c=3");
		if (!cases[j].before || i / COUNT(cases) == 1)
			CU_ASSERT_EQUAL(unlink(path), 0);
		if (cases[j].before && i / COUNT(cases) < 2)
			change_file(cases[j].before);
		if (cases[j].before && i / COUNT(cases) == 2) {
			store_text_make_file(next, cases[j].before);
			CU_ASSERT_EQUAL(rename(next, path), 0);
		}
		CU_ASSERT_EQUAL(cases[j].perform(), cases[j].result);
		CU_ASSERT_STRING_EQUAL(store_text_of_file(path),
				       cases[j].after);
		end();
	}
}

static void each_change_by_others_is_read(void)
{
	unsigned int wrong = 0;

	begin("a=1");
	for (int i = 0; i < 1000; i++) {
		char records[64];

		snprintf(records, sizeof(records), "a=%d b=%d", i % 10,
			 i / 10 % 10);
		change_file(records);
		wrong += strcmp(store_text_entries(store), records) != 0;
	}
	CU_ASSERT_EQUAL(wrong, 0);
	end();
}

static void pool_that_others_deleted_is_empty_until_it_is_there_again(void)
{
	struct kvp_status status;

	begin("a=1 b=2");
	locker_change(&other, LOCKER_DELETE);
	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "");
	kvp_store_status(store, &status);
	CU_ASSERT_FALSE(status.exists);
	CU_ASSERT_EQUAL(status.records, 0);
	CU_ASSERT_EQUAL(status.keys, 0);
	CU_ASSERT_EQUAL(kvp_store_sync_descriptor(store), -1);
	change_file("c=3");
	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "c=3");
	kvp_store_status(store, &status);
	CU_ASSERT_TRUE(status.exists);
	end();
}

static void torn_tail_that_others_leave_is_seen_and_overwritten(void)
{
	struct kvp_status status;

	begin("a=1 b=2 c=3");
	locker_change(&other, LOCKER_TRUNCATE);
	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "a=1 b=2");
	kvp_store_status(store, &status);
	CU_ASSERT_EQUAL(status.torn_bytes, 1280);
	CU_ASSERT_EQUAL(overwrite(), 0);
	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "a=9 b=2");
	kvp_store_status(store, &status);
	CU_ASSERT_EQUAL(status.torn_bytes, 0);
	CU_ASSERT_EQUAL(status.st.st_size, 2 * 2560);
	end();
}

static void pool_that_grew_over_1_gib_is_refused_until_it_shrinks(void)
{
	begin("a=1 b=2 c=3");
	CU_ASSERT_EQUAL(truncate(path, (1L << 30) + 1), 0);
	for (size_t i = 0; i < COUNT(ops); i++)
		if (!ops[i].shared || ops[i].perform == list_records)
			CHECK_ROW(ops[i].name, ops[i].perform() == -EFBIG);
	CU_ASSERT_FALSE(store_text_reads(store, "a", "1"));
	CU_ASSERT_FALSE(store_text_reads(store, "a", NULL));
	CU_ASSERT_EQUAL(truncate(path, 2560), 0);
	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "a=1");
	end();
}

static void pool_that_became_a_fifo_is_refused_until_it_is_a_file(void)
{
	begin("a=1 b=2 c=3");
	locker_change(&other, LOCKER_DELETE);
	CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
	for (size_t i = 0; i < COUNT(ops); i++)
		if (!ops[i].shared || ops[i].perform == list_records)
			CHECK_ROW(ops[i].name, ops[i].perform() == -EINVAL);
	CU_ASSERT_EQUAL(kvp_store_refresh(store), -EINVAL);
	CU_ASSERT_EQUAL(unlink(path), 0);
	change_file("b=1");
	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "b=1");
	end();
}

static void stores_on_one_file_see_each_others_changes(void)
{
	struct kvp_store *second;
	unsigned int wrong = 0;

	begin("");
	second = store_text_open(path, KVP_MODE_FULL);
	for (int i = 0; i < 300; i++) {
		char value[16];

		snprintf(value, sizeof(value), "%d", i);
		wrong += store_text_write(store, "a", value) != 0;
		wrong += !store_text_reads(second, "a", value);
		wrong += store_text_rename(second, "a", "b",
					   KVP_RENAME_REPLACE) != 0;
		wrong += !store_text_reads(store, "b", value);
		wrong += !store_text_reads(store, "a", NULL);
	}
	CU_ASSERT_EQUAL(wrong, 0);
	kvp_store_free(second);
	end();
}

#define WRITERS 3
#define WRITES 60

/* Writes or, if VALUE is NULL, deletes, as soon as the others let it. */
static int write_at_last(struct kvp_store *own, const char *key,
			 const char *value)
{
	int r;

	do
		r = value ? store_text_write(own, key, value)
			  : store_text_delete(own, key);
	while (r == KVP_LOCKED);
	return r;
}

/* Each writes keys of its own, all of them a common one, and deletes some. */
_Noreturn static void write_keys(int writer)
{
	const struct kvp_pool_config config = { .path = path };
	struct kvp_store *own = NULL;
	int failed = kvp_store_pool_open(&config, &own);
	char key[24];

	if (failed)
		_exit(EXIT_FAILURE);
	for (int i = 0; i < WRITES; i++) {
		snprintf(key, sizeof(key), "%d-%d", writer, i);
		failed |= write_at_last(own, key, key);
		failed |= write_at_last(own, "common", key);
		if (i % 2)
			failed |= write_at_last(own, key, NULL);
	}
	kvp_store_free(own);
	_exit(failed ? EXIT_FAILURE : EXIT_SUCCESS);
}

static void processes_that_write_at_once_lose_nothing(void)
{
	struct kvp_status status;
	int result;
	char key[24];

	path = pool_file_new("pool", &(struct pool_file){ .exists = true });
	(void)fflush(stdout);
	for (int i = 0; i < WRITERS; i++)
		if (fork() == 0)
			write_keys(i);
	for (int i = 0; i < WRITERS; i++) {
		CU_ASSERT_TRUE(wait(&result) > 0);
		CU_ASSERT_EQUAL(result, 0);
	}
	store = store_text_open(path, KVP_MODE_RESTRICTED);
	for (int i = 0; i < WRITERS * WRITES; i++) {
		snprintf(key, sizeof(key), "%d-%d", i / WRITES, i % WRITES);
		CHECK_ROW(key,
			  store_text_reads(store, key, i % 2 ? NULL : key));
	}
	kvp_store_status(store, &status);
	CU_ASSERT_EQUAL(status.records, WRITERS * WRITES / 2 + 1);
	CU_ASSERT_EQUAL(status.keys, status.records);
	kvp_store_free(store);
}

static const struct check_case cases[] = {
	CHECK_CASE(operation_gives_up_at_once_and_names_the_lock),
	CHECK_CASE(operation_that_gave_up_works_the_next_time),
	CHECK_CASE(lock_that_was_tried_is_free_again),
	CHECK_CASE(lock_of_a_missing_pool_is_free_and_makes_none),
	CHECK_CASE(operation_leaves_no_lock_behind),
	CHECK_CASE(refused_operation_leaves_no_lock_behind),
	CHECK_CASE(unchanged_pool_is_read_without_a_lock),
	CHECK_CASE(look_finds_the_mode_of_now_whoever_has_the_lock),
	CHECK_CASE(look_serves_the_next_operation_until_it_ends),
	CHECK_CASE(own_change_needs_no_lock_to_be_read),
	CHECK_CASE(opening_needs_no_lock_but_the_first_reading_does),
	CHECK_CASE(pool_that_became_fresh_while_locked_is_not_truncated),
	CHECK_CASE(operation_works_on_what_others_left),
	CHECK_CASE(each_change_by_others_is_read),
	CHECK_CASE(pool_that_others_deleted_is_empty_until_it_is_there_again),
	CHECK_CASE(torn_tail_that_others_leave_is_seen_and_overwritten),
	CHECK_CASE(pool_that_grew_over_1_gib_is_refused_until_it_shrinks),
	CHECK_CASE(pool_that_became_a_fifo_is_refused_until_it_is_a_file),
	CHECK_CASE(stores_on_one_file_see_each_others_changes),
	CHECK_CASE(processes_that_write_at_once_lose_nothing),
};

CHECK_MAIN("store_shared", cases)
