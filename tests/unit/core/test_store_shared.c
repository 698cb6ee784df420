/* SPDX-License-Identifier: MIT */
/*
 * The store on a pool file that others use at the same time: waiting for their
 * locks and giving up, seeing what they did, and several stores on one file.
 *
 * To be linked with -Wl,--wrap=nanosleep,--wrap=clock_gettime: in the store's wait
 * for a lock the other process is told to let go, and its naps may be all the time
 * that passes.
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

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const char *path;
static struct kvp_store *store;
static struct locker other;

/* Naps while waiting for a lock; at the RELEASE_AT-th the other lets go. */
static unsigned int naps;
static unsigned int release_at;

/* Naps alone take time (1 ms each): a slow machine has as many as a fast one. */
static bool only_naps_count;

int __real_nanosleep(const struct timespec *time, struct timespec *rest);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);
int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	if (!only_naps_count)
		return __real_clock_gettime(clock, ret);
	*ret = (struct timespec){ .tv_nsec = naps * 1000000L };
	return 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
	if (++naps == release_at)
		locker_release(&other);
	return __real_nanosleep(time, rest);
}

static void begin(const char *records)
{
	path = pool_file_new("pool", NULL);
	store_text_make_file(path, records);
	locker_start(&other, path);
	store = store_text_open(path, KVP_MODE_RESTRICTED);
	naps = 0;
	release_at = 0;
	only_naps_count = false;
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

static int visit_item(void *arg, const struct kvp_item *item)
{
	(void)arg;
	(void)item;
	return 0;
}

static int visit_record(void *arg, const struct kvp_pair *record)
{
	(void)arg;
	(void)record;
	return 0;
}

static int list_changed_file(void)
{
	change_file("a=1 b=2 c=3");
	return kvp_store_entries(store, visit_item, NULL);
}

static int refresh_changed_file(void)
{
	change_file("a=1 b=2 c=3");
	return kvp_store_refresh(store);
}

static int ask_age_of_changed_file(void)
{
	bool stale;

	change_file("a=1 b=2 c=3");
	return kvp_store_is_stale(store, &stale);
}

static int list_records(void)
{
	return kvp_store_entries_raw(store, visit_record, NULL);
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
	{ "is_stale", ask_age_of_changed_file, true, "a=1 b=2 c=3" },
	{ "entries_raw", list_records, true, "a=1 b=2 c=3" },
	{ "overwrite", overwrite, false, "a=9 b=2 c=3" },
	{ "write new", write_new, false, "a=1 b=2 c=3 x=9" },
	{ "delete", delete, false, "b=2 c=3" },
	{ "clear", clear, false, "" },
	{ "rename", rename_over, false, "b=1 c=3" },
	{ "append", append, false, "a=1 b=2 c=3 a=7 y=8" },
	{ "load", load, false, "z=7" },
};

/* enum locker_lock tells; odd ones are exclusive. */
static bool is_exclusive(int lock)
{
	return lock == LOCKER_FLOCK_EXCLUSIVE || lock == LOCKER_POSIX_WRITE ||
	       lock == LOCKER_OFD_WRITE;
}

static void check_locked_out(int lock, int timeout)
{
	begin("a=1 b=2 c=3");
	CU_ASSERT_TRUE(locker_take(&other, (enum locker_lock)lock));
	kvp_store_pool_set_lock_timeout(store, timeout);
	only_naps_count = true;
	for (size_t i = 0; i < COUNT(ops); i++) {
		bool allowed = ops[i].shared && !is_exclusive(lock);

		naps = 0;
		CHECK_ROW(ops[i].name,
			  ops[i].perform() == (allowed ? 0 : KVP_LOCKED));
		CHECK_ROW(ops[i].name, (int)naps == (allowed ? 0 : timeout));
		CHECK_ROW(ops[i].name,
			  strcmp(store_text_of_file(path), "a=1 b=2 c=3") == 0);
	}
	end();
}

static void operation_without_patience_gives_up_at_once(void)
{
	for (int lock = 0; lock < LOCKER_LOCKS; lock++)
		check_locked_out(lock, 0);
}

static void operation_gives_up_after_its_timeout(void)
{
	for (int lock = 0; lock < LOCKER_LOCKS; lock++)
		check_locked_out(lock, 3);
}

static void operation_that_waits_succeeds_after_the_release(void)
{
	for (size_t i = 0; i < COUNT(ops) * LOCKER_LOCKS; i++) {
		int lock = (int)(i / COUNT(ops));
		size_t j = i % COUNT(ops);

		if (ops[j].shared && !is_exclusive(lock))
			continue;
		begin("a=1 b=2 c=3");
		CU_ASSERT_TRUE(locker_take(&other, (enum locker_lock)lock));
		kvp_store_pool_set_lock_timeout(store, 60000);
		release_at = 2;
		CHECK_ROW(ops[j].name, ops[j].perform() == 0);
		CHECK_ROW(ops[j].name, naps >= 2);
		CU_ASSERT_STRING_EQUAL(store_text_of_file(path), ops[j].after);
		end();
	}
}

static void operation_that_gave_up_works_the_next_time(void)
{
	for (size_t i = 0; i < COUNT(ops); i++) {
		begin("a=1 b=2 c=3");
		CU_ASSERT_TRUE(locker_take(&other, LOCKER_POSIX_WRITE));
		CHECK_ROW(ops[i].name, ops[i].perform() == KVP_LOCKED);
		locker_release(&other);
		CHECK_ROW(ops[i].name, ops[i].perform() == 0);
		CU_ASSERT_STRING_EQUAL(store_text_of_file(path), ops[i].after);
		end();
	}
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
		CU_ASSERT_EQUAL(naps, 0);
		end();
	}
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

static void opening_needs_the_lock(void)
{
	struct kvp_pool_config config = { .path = pool_file_path("pool") };
	struct kvp_store *second = NULL;

	begin("a=1");
	CU_ASSERT_TRUE(locker_take(&other, LOCKER_FLOCK_EXCLUSIVE));
	CU_ASSERT_EQUAL(kvp_store_pool_open(&config, &second), KVP_LOCKED);
	CU_ASSERT_PTR_NULL(second);
	release_at = 1;
	config.lock_timeout_ms = 60000;
	CU_ASSERT_EQUAL_FATAL(kvp_store_pool_open(&config, &second), 0);
	CU_ASSERT_TRUE(store_text_reads(second, "a", "1"));
	kvp_store_free(second);
	end();
}

/* The check for staleness is made under the lock, not before. */
static void pool_that_became_fresh_while_waiting_is_not_truncated(void)
{
	const struct timespec old[2] = { { 1, 0 }, { 1, 0 } };
	const struct kvp_pool_config config = {
		.path = pool_file_path("pool"),
		.truncate_on_stale = true,
		.lock_timeout_ms = 60000,
	};
	struct kvp_store *second = NULL;

	begin("a=1");
	CU_ASSERT_EQUAL(utimensat(0, path, old, 0), 0);
	CU_ASSERT_TRUE(locker_take(&other, LOCKER_FLOCK_SHARED));
	CU_ASSERT_EQUAL(kvp_store_pool_open(
				&(struct kvp_pool_config){
					.path = path,
					.truncate_on_stale = true,
				},
				&second),
			KVP_LOCKED);
	locker_change(&other, LOCKER_TOUCH);
	release_at = 1;
	CU_ASSERT_EQUAL_FATAL(kvp_store_pool_open(&config, &second), 0);
	CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "a=1");
	kvp_store_free(second);
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

/* Each writes keys of its own, all of them a common one, and deletes some. */
_Noreturn static void write_keys(int writer)
{
	const struct kvp_pool_config config = { .path = path,
						.lock_timeout_ms = 120000 };
	struct kvp_store *own = NULL;
	int failed = kvp_store_pool_open(&config, &own);
	char key[24];

	if (failed)
		_exit(EXIT_FAILURE);
	for (int i = 0; i < WRITES; i++) {
		snprintf(key, sizeof(key), "%d-%d", writer, i);
		failed |= store_text_write(own, key, key);
		failed |= store_text_write(own, "common", key);
		if (i % 2)
			failed |= store_text_delete(own, key);
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
	CHECK_CASE(operation_without_patience_gives_up_at_once),
	CHECK_CASE(operation_gives_up_after_its_timeout),
	CHECK_CASE(operation_that_waits_succeeds_after_the_release),
	CHECK_CASE(operation_that_gave_up_works_the_next_time),
	CHECK_CASE(operation_leaves_no_lock_behind),
	CHECK_CASE(refused_operation_leaves_no_lock_behind),
	CHECK_CASE(unchanged_pool_is_read_without_a_lock),
	CHECK_CASE(own_change_needs_no_lock_to_be_read),
	CHECK_CASE(opening_needs_the_lock),
	CHECK_CASE(pool_that_became_fresh_while_waiting_is_not_truncated),
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
