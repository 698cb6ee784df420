/* SPDX-License-Identifier: MIT */
/*
 * The store on a pool file: what it refuses and why, its limits, when it makes the
 * file, and what it leaves alone: the file itself, its times, the ids of its entries
 * and the values that somebody has read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "pool_file.h"
#include "store_pool.h"
#include "store_text.h"

static const char *path;

static struct kvp_store *open_pool(const char *records)
{
	path = pool_file_new("pool", NULL);
	if (records)
		store_text_make_file(path, records);
	return store_text_open(path, KVP_MODE_RESTRICTED);
}

static void missing_pool_is_an_empty_store(void)
{
	struct kvp_store *store = open_pool(NULL);
	struct kvp_status status;
	bool stale = true;

	kvp_store_status(store, &status);
	CU_ASSERT_FALSE(status.exists);
	CU_ASSERT_EQUAL(status.records, 0);
	CU_ASSERT_EQUAL(status.keys, 0);
	CU_ASSERT_TRUE(store_text_reads(store, "a", NULL));
	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "");
	CU_ASSERT_STRING_EQUAL(store_text_entries_raw(store), "");
	CU_ASSERT_EQUAL(kvp_store_is_stale(store, &stale), 0);
	CU_ASSERT_FALSE(stale);
	CU_ASSERT_EQUAL(kvp_store_refresh(store), 0);
	CU_ASSERT_EQUAL(kvp_store_sync_descriptor(store), -1);
	CU_ASSERT_EQUAL(errno, 0);
	CU_ASSERT_TRUE(kvp_store_is_writable(store));
	CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "-");
	kvp_store_free(store);
}

static int apply_refusal(struct kvp_edit *edit, const struct kvp_value *old,
			 struct kvp_value **ret_value)
{
	(void)edit;
	(void)old;
	(void)ret_value;
	return -EIO;
}

static int apply_nothing(struct kvp_edit *edit, const struct kvp_value *old,
			 struct kvp_value **ret_value)
{
	(void)edit;
	(void)old;
	*ret_value = NULL;
	return 0;
}

static int apply_too_large(struct kvp_edit *edit, const struct kvp_value *old,
			   struct kvp_value **ret_value)
{
	(void)edit;
	(void)old;
	*ret_value = kvp_value_new(check_repeat('v', 1023));
	return 0;
}

/* The old value and one more character. */
static int apply_longer(struct kvp_edit *edit, const struct kvp_value *old,
			struct kvp_value **ret_value)
{
	char buf[100];

	(void)edit;
	snprintf(buf, sizeof(buf), "%.*s+", old ? (int)old->len : 0,
		 old ? old->data : "");
	*ret_value = kvp_value_new(check_bytes(buf));
	return 0;
}

static int edit_key(struct kvp_store *store, const char *key,
		    int (*apply)(struct kvp_edit *, const struct kvp_value *,
				 struct kvp_value **))
{
	struct kvp_edit edit = { .apply = apply };
	struct kvp_value *value = NULL;
	int r = kvp_store_edit(store, check_bytes(key), &edit, &value);

	kvp_value_unref(value);
	return r;
}

static void what_stores_nothing_makes_no_file(void)
{
	struct kvp_store *store = open_pool(NULL);

	CU_ASSERT_EQUAL(store_text_write(store, "", "1"), KVP_EMPTY_KEY);
	CU_ASSERT_EQUAL(store_text_write(store, "a", "\xff"), KVP_NOT_UTF8);
	CU_ASSERT_EQUAL(kvp_store_write(store, check_bytes("a"),
					check_repeat('v', 1023)),
			KVP_VALUE_TOO_LARGE);
	CU_ASSERT_EQUAL(edit_key(store, "a", apply_refusal), -EIO);
	CU_ASSERT_EQUAL(edit_key(store, "a", apply_too_large),
			KVP_VALUE_TOO_LARGE);
	CU_ASSERT_EQUAL(store_text_append(store, "a=1 \xff=2"), KVP_NOT_UTF8);
	CU_ASSERT_EQUAL(store_text_load(store, "a=1 \xff=2"), KVP_NOT_UTF8);
	CU_ASSERT_EQUAL(store_text_append(store, ""), 0);
	CU_ASSERT_EQUAL(store_text_load(store, ""), 0);
	CU_ASSERT_EQUAL(store_text_delete(store, "a"), KVP_ABSENT);
	CU_ASSERT_EQUAL(store_text_rename(store, "a", "b", KVP_RENAME_REPLACE),
			KVP_ABSENT);
	CU_ASSERT_EQUAL(kvp_store_clear(store), 0);
	CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "-");
	kvp_store_free(store);
}

static void edit_that_wants_no_change_makes_no_file(void)
{
	struct kvp_store *store = open_pool(NULL);

	CU_ASSERT_EQUAL(edit_key(store, "a", apply_nothing), 0);
	CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "-");
	kvp_store_free(store);
}

static void first_write_makes_the_file_with_mode_0600(void)
{
	static const enum store_op ops[] = { STORE_WRITE, STORE_APPEND,
					     STORE_LOAD };
	mode_t umask_before = umask(0);
	struct stat st = { .st_mode = 0 };

	for (size_t i = 0; i < COUNT(ops); i++) {
		struct kvp_store *store = open_pool(NULL);

		CU_ASSERT_EQUAL(
			store_text_perform(store, ops[i],
					   ops[i] == STORE_WRITE ? "a" : "a=1",
					   "1"),
			0);
		CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "a=1");
		CU_ASSERT_EQUAL(stat(path, &st), 0);
		CU_ASSERT_EQUAL(st.st_mode, S_IFREG | 0600);
		CU_ASSERT_TRUE(store_text_reads(store, "a", "1"));
		kvp_store_free(store);
	}
	umask(umask_before);
}

static void changes_keep_the_file_its_inode_and_its_mode(void)
{
	for (size_t i = 0; i < STORE_CHANGES; i++) {
		struct kvp_store *store = open_pool("a=1 b=2 c=3");
		struct stat before;
		struct stat after;

		CU_ASSERT_EQUAL(chmod(path, 0640), 0);
		CU_ASSERT_EQUAL(stat(path, &before), 0);
		CU_ASSERT_EQUAL(store_text_perform(store, store_changes[i].op,
						   store_changes[i].a,
						   store_changes[i].b),
				0);
		CU_ASSERT_EQUAL(stat(path, &after), 0);
		CU_ASSERT_EQUAL(after.st_ino, before.st_ino);
		CU_ASSERT_EQUAL(after.st_mode, before.st_mode);
		kvp_store_free(store);
	}
}

static void reading_and_refusals_leave_the_files_times(void)
{
	const struct timespec times[2] = { { 1000, 1 }, { 2000, 2 } };
	struct kvp_store *store = open_pool("a=1 b=2");
	struct stat st = { .st_size = 0 };
	bool stale;

	CU_ASSERT_EQUAL(utimensat(AT_FDCWD, path, times, 0), 0);
	kvp_store_free(store);
	store = store_text_open(path, KVP_MODE_RESTRICTED);
	CU_ASSERT_TRUE(store_text_reads(store, "a", "1"));
	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "a=1 b=2");
	CU_ASSERT_STRING_EQUAL(store_text_entries_raw(store), "a=1 b=2");
	CU_ASSERT_EQUAL(kvp_store_is_stale(store, &stale), 0);
	CU_ASSERT_EQUAL(store_text_write(store, "a", "\xff"), KVP_NOT_UTF8);
	CU_ASSERT_EQUAL(store_text_delete(store, "x"), KVP_ABSENT);
	CU_ASSERT_EQUAL(edit_key(store, "a", apply_nothing), 0);
	CU_ASSERT_EQUAL(edit_key(store, "a", apply_refusal), -EIO);
	CU_ASSERT_EQUAL(store_text_rename(store, "a", "b",
					  KVP_RENAME_NO_REPLACE),
			KVP_EXISTS);
	kvp_store_free(store);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mtim.tv_sec, 2000);
	CU_ASSERT_EQUAL(st.st_mtim.tv_nsec, 2);
}

static void edit_gets_the_old_value_and_is_validated(void)
{
	struct kvp_store *store = open_pool("a=1 a=2");

	CU_ASSERT_EQUAL(edit_key(store, "a", apply_longer), 0);
	CU_ASSERT_EQUAL(edit_key(store, "x", apply_longer), 0);
	CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "a=2+ x=+");
	CU_ASSERT_EQUAL(edit_key(store, "a", apply_too_large),
			KVP_VALUE_TOO_LARGE);
	CU_ASSERT_EQUAL(edit_key(store, "", apply_longer), KVP_EMPTY_KEY);
	CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "a=2+ x=+");
	kvp_store_free(store);
}

static void read_only_store_reads_and_refuses_every_change(void)
{
	const struct kvp_pool_config config = {
		.path = pool_file_path("pool"),
		.read_only = true,
	};

	for (size_t i = 0; i < STORE_CHANGES * 2; i++) {
		size_t j = i % STORE_CHANGES;
		bool missing = i >= STORE_CHANGES;
		struct kvp_store *store = open_pool(missing ? NULL : "a=1 b=2");

		kvp_store_free(store);
		CU_ASSERT_EQUAL_FATAL(kvp_store_pool_open(&config, &store), 0);
		CU_ASSERT_FALSE(kvp_store_is_writable(store));
		CHECK_ROW(store_changes[j].after,
			  store_text_perform(store, store_changes[j].op,
					     store_changes[j].a,
					     store_changes[j].b) ==
				  KVP_READ_ONLY);
		CU_ASSERT_TRUE(
			store_text_reads(store, "a", missing ? NULL : "1"));
		CU_ASSERT_STRING_EQUAL(store_text_of_file(path),
				       missing ? "-" : "a=1 b=2");
		kvp_store_free(store);
	}
}

/* Keys or values of a refusal; both modes have theirs. */
struct refused {
	const char *text;
	size_t len;
	int result;
	int errnum;
	const char *message;
};

static const struct refused refused_keys[] = {
	{ "", 0, KVP_EMPTY_KEY, EINVAL, "key is empty" },
	{ "a\0", 2, KVP_KEY_CONTAINS_NUL, EINVAL,
	  "key contains a NUL byte at byte 2" },
	{ "\0", 1, KVP_KEY_CONTAINS_NUL, EINVAL,
	  "key contains a NUL byte at byte 1" },
	{ NULL, 300, KVP_KEY_TOO_LARGE, ENAMETOOLONG,
	  "key length (300) exceeds maximum (254)" },
	{ "\xff", 1, KVP_NOT_UTF8, EILSEQ, "key is not UTF-8 at byte 1" },
	{ "a\xc3", 2, KVP_NOT_UTF8, EILSEQ, "key is not UTF-8 at byte 2" },
	{ "\xed\xa0\x80", 3, KVP_NOT_UTF8, EILSEQ,
	  "key is not UTF-8 at byte 1" },
	{ "\xc0\xaf", 2, KVP_NOT_UTF8, EILSEQ, "key is not UTF-8 at byte 1" },
};

static const struct refused refused_values[] = {
	{ "a\0b", 3, KVP_VALUE_CONTAINS_NUL, EINVAL,
	  "value contains a NUL byte or a hole at byte 2" },
	{ NULL, 2000, KVP_VALUE_TOO_LARGE, EFBIG,
	  "value length (2000) exceeds maximum (1022)" },
	{ "\xe2\x82", 2, KVP_NOT_UTF8, EILSEQ, "value is not UTF-8 at byte 1" },
	{ "\xf5\x80\x80\x80", 4, KVP_NOT_UTF8, EILSEQ,
	  "value is not UTF-8 at byte 1" },
};

static struct kvp_bytes refused_bytes(const struct refused *refused)
{
	return refused->text ? (struct kvp_bytes){ refused->text, refused->len }
			     : check_repeat('x', refused->len);
}

static void check_refusal(struct kvp_store *store, struct kvp_bytes key,
			  struct kvp_bytes value, const struct refused *want)
{
	const struct kvp_pair pairs[] = {
		{ check_bytes("good"), check_bytes("1") },
		{ key, value },
		{ check_bytes("good"), check_bytes("2") },
	};
	int r = kvp_store_write(store, key, value);
	char message[100];

	CHECK_ROW(want->message, r == want->result);
	CHECK_ROW(want->message, kvp_result_errno(r) == want->errnum);
	kvp_store_message(store, r, message, sizeof(message));
	CU_ASSERT_STRING_EQUAL(message, want->message);
	CHECK_ROW(want->message,
		  store_text_append_pairs(store, pairs, 3) == want->result);
	CHECK_ROW(want->message,
		  store_text_load_pairs(store, pairs, 3) == want->result);
}

static void refusals_change_nothing_and_say_why(void)
{
	struct kvp_store *store = open_pool("a=1");

	for (size_t i = 0; i < COUNT(refused_keys); i++) {
		struct kvp_bytes key = refused_bytes(&refused_keys[i]);
		int r = refused_keys[i].result;

		check_refusal(store, key, check_bytes("v"), &refused_keys[i]);
		CU_ASSERT_EQUAL(kvp_store_check_key(store, key), r);
		CU_ASSERT_EQUAL(kvp_store_check_new(store, key), r);
		CU_ASSERT_EQUAL(kvp_store_rename(store, check_bytes("a"), key,
						 KVP_RENAME_REPLACE),
				r);
	}
	for (size_t i = 0; i < COUNT(refused_values); i++)
		check_refusal(store, check_bytes("a"),
			      refused_bytes(&refused_values[i]),
			      &refused_values[i]);
	CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "a=1");
	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "a=1");
	kvp_store_free(store);
}

/* COUNT pairs of different keys; the value is the key. Static memory. */
static const struct kvp_pair *many_pairs(size_t count)
{
	static struct kvp_pair pairs[1100];
	static char keys[1100][24];

	for (size_t i = 0; i < count; i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%zu", i);
		pairs[i].key = check_bytes(keys[i]);
		pairs[i].value = pairs[i].key;
	}
	return pairs;
}

static void cap_counts_unique_keys_and_binds_write_and_load(void)
{
	struct kvp_store *store = open_pool("a=1 b=2");
	struct kvp_status status;

	CU_ASSERT_EQUAL(store_text_load_pairs(store, many_pairs(1025), 1025),
			KVP_MAX_UNIQUE_KEYS);
	CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "a=1 b=2");
	CU_ASSERT_EQUAL(store_text_load_pairs(store, many_pairs(1024), 1024),
			0);
	CU_ASSERT_EQUAL(store_text_append(store, "k0=x k0=y"), 0);
	CU_ASSERT_EQUAL(store_text_write(store, "x", "1"), KVP_MAX_UNIQUE_KEYS);
	CU_ASSERT_EQUAL(kvp_store_check_new(store, check_bytes("x")),
			KVP_MAX_UNIQUE_KEYS);
	CU_ASSERT_EQUAL(store_text_write(store, "k0", "z"), 0);
	CU_ASSERT_EQUAL(store_text_rename(store, "k1", "x", KVP_RENAME_REPLACE),
			0);
	kvp_store_status(store, &status);
	CU_ASSERT_EQUAL(status.keys, 1024);
	CU_ASSERT_EQUAL(status.records, 1024);
	CU_ASSERT_EQUAL(
		store_text_rename(store, "k2", "k3", KVP_RENAME_REPLACE), 0);
	CU_ASSERT_EQUAL(store_text_write(store, "y", "1"), 0);
	kvp_store_free(store);
}

static void load_of_repeated_keys_counts_each_once(void)
{
	struct kvp_store *store = open_pool("");
	struct kvp_pair *pairs = calloc(2048, sizeof(*pairs));

	for (size_t i = 0; i < 2048; i++)
		pairs[i] = many_pairs(1024)[i % 1024];
	CU_ASSERT_EQUAL(store_text_load_pairs(store, pairs, 2048), 0);
	free(pairs);
	kvp_store_free(store);
}

/* What others put there beyond the cap can be read, replaced and removed. */
static void pool_over_the_cap_takes_no_new_key(void)
{
	struct kvp_store *store = open_pool("");

	CU_ASSERT_EQUAL(store_text_append_pairs(store, many_pairs(1100), 1100),
			0);
	CU_ASSERT_TRUE(store_text_reads(store, "k1099", "k1099"));
	CU_ASSERT_EQUAL(store_text_write(store, "k1099", "new"), 0);
	CU_ASSERT_EQUAL(store_text_write(store, "x", "1"), KVP_MAX_UNIQUE_KEYS);
	CU_ASSERT_EQUAL(store_text_delete(store, "k0"), 0);
	CU_ASSERT_EQUAL(store_text_write(store, "x", "1"), KVP_MAX_UNIQUE_KEYS);
	kvp_store_free(store);
}

/* 1 GiB holds 419430 records. */
static void append_beyond_1_gib_is_refused_as_a_whole(void)
{
	const size_t count = 419431;
	struct kvp_pair *pairs = calloc(count, sizeof(*pairs));
	struct kvp_store *store = open_pool("a=1");

	CU_ASSERT_PTR_NOT_NULL_FATAL(pairs);
	for (size_t i = 0; i < count; i++)
		pairs[i] = (struct kvp_pair){ { "k", 1 }, { "v", 1 } };
	CU_ASSERT_EQUAL(store_text_append_pairs(store, pairs, count - 1),
			-EFBIG);
	CU_ASSERT_EQUAL(store_text_load_pairs(store, pairs, count), -EFBIG);
	CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "a=1");
	free(pairs);
	kvp_store_free(store);
}

static int stop_at_second_item(void *arg, const struct kvp_item *item)
{
	(void)item;
	return ++*(int *)arg == 2 ? 77 : 0;
}

static int stop_at_second_record(void *arg, const struct kvp_pair *record)
{
	(void)record;
	return ++*(int *)arg == 2 ? 77 : 0;
}

static void visitor_ends_the_walk(void)
{
	struct kvp_store *store = open_pool("a=1 b=2 c=3");
	int visits = 0;

	CU_ASSERT_EQUAL(kvp_store_entries(store, stop_at_second_item, &visits),
			77);
	CU_ASSERT_EQUAL(visits, 2);
	visits = 0;
	CU_ASSERT_EQUAL(kvp_store_entries_raw(store, stop_at_second_record,
					      &visits),
			77);
	CU_ASSERT_EQUAL(visits, 2);
	CU_ASSERT_EQUAL(store_text_write(store, "a", "2"), 0);
	kvp_store_free(store);
}

static uint64_t id_of(struct kvp_store *store, const char *key)
{
	struct kvp_item item;

	if (kvp_store_read(store, check_bytes(key), &item))
		return 0;
	kvp_value_unref(item.value);
	return item.id;
}

static void entry_keeps_its_id_as_long_as_it_is_there(void)
{
	struct kvp_store *store = open_pool("a=1 b=2 c=3");
	uint64_t a = id_of(store, "a");
	uint64_t b = id_of(store, "b");
	struct kvp_edit edit = { .apply = apply_longer };
	struct kvp_value *value = NULL;

	CU_ASSERT_NOT_EQUAL(a, 0);
	CU_ASSERT_NOT_EQUAL(a, b);
	CU_ASSERT_EQUAL(store_text_write(store, "a", "9"), 0);
	CU_ASSERT_EQUAL(id_of(store, "a"), a);
	CU_ASSERT_EQUAL(store_text_rename(store, "a", "x", KVP_RENAME_REPLACE),
			0);
	CU_ASSERT_EQUAL(id_of(store, "x"), a);
	CU_ASSERT_EQUAL(store_text_rename(store, "x", "b", KVP_RENAME_EXCHANGE),
			0);
	CU_ASSERT_EQUAL(id_of(store, "b"), a);
	CU_ASSERT_EQUAL(id_of(store, "x"), b);
	CU_ASSERT_EQUAL(store_text_load(store, "z=1 b=7"), 0);
	CU_ASSERT_EQUAL(id_of(store, "b"), a);
	store_text_make_file(path, "y=1 b=2");
	CU_ASSERT_EQUAL(id_of(store, "b"), a);
	CU_ASSERT_EQUAL(store_text_rename(store, "b", "y", KVP_RENAME_REPLACE),
			0);
	CU_ASSERT_EQUAL(id_of(store, "y"), a);
	CU_ASSERT_EQUAL(store_text_delete(store, "y"), 0);
	CU_ASSERT_EQUAL(store_text_write(store, "y", "1"), 0);
	CU_ASSERT_TRUE(id_of(store, "y") > a && id_of(store, "y") > b);
	edit.id = kvp_store_new_id(store);
	CU_ASSERT_EQUAL(kvp_store_edit(store, check_bytes("e"), &edit, &value),
			0);
	kvp_value_unref(value);
	CU_ASSERT_EQUAL(id_of(store, "e"), edit.id);
	CU_ASSERT_NOT_EQUAL(kvp_store_new_id(store), edit.id);
	kvp_store_free(store);
}

/* "The same pointer" is "the same version". */
static void value_that_was_read_outlives_every_change(void)
{
	struct kvp_store *store = open_pool("a=1 b=2");
	struct kvp_item old;
	struct kvp_item again;

	CU_ASSERT_EQUAL_FATAL(kvp_store_read(store, check_bytes("a"), &old), 0);
	store_text_make_file(path, "b=3 a=1");
	CU_ASSERT_EQUAL_FATAL(kvp_store_read(store, check_bytes("a"), &again),
			      0);
	CU_ASSERT_PTR_EQUAL(old.value, again.value);
	kvp_value_unref(again.value);
	CU_ASSERT_EQUAL(store_text_write(store, "a", "2"), 0);
	CU_ASSERT_EQUAL_FATAL(kvp_store_read(store, check_bytes("a"), &again),
			      0);
	CU_ASSERT_PTR_NOT_EQUAL(old.value, again.value);
	kvp_value_unref(again.value);
	CU_ASSERT_EQUAL(kvp_store_clear(store), 0);
	kvp_store_free(store);
	CHECK_BYTES_EQUAL(kvp_value_bytes(old.value), check_bytes("1"));
	kvp_value_unref(old.value);
}

static void sync_descriptor_is_of_the_pool_file(void)
{
	struct kvp_store *store = open_pool("a=1");
	int fd = kvp_store_sync_descriptor(store);
	struct stat want = { .st_ino = 0 };
	struct stat st = { .st_ino = 1 };

	CU_ASSERT_EQUAL(stat(path, &want), 0);
	CU_ASSERT_EQUAL(fstat(fd, &st), 0);
	CU_ASSERT_EQUAL(st.st_ino, want.st_ino);
	CU_ASSERT_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
	kvp_store_free(store);
	CU_ASSERT_EQUAL(fdatasync(fd), 0);
	CU_ASSERT_EQUAL(close(fd), 0);
}

static void pools_that_cannot_be_opened_are_refused(void)
{
	struct kvp_pool_config config = { .path = pool_file_path("no/pool") };
	struct kvp_store *store = NULL;

	CU_ASSERT_EQUAL(kvp_store_pool_open(&config, &store), -ENOENT);
	config.path = check_directory();
	CU_ASSERT_EQUAL(kvp_store_pool_open(&config, &store), -EISDIR);
	config.path = pool_file_new("pool", &(struct pool_file){ .exists = 1 });
	CU_ASSERT_EQUAL(truncate(config.path, (1L << 30) + 1), 0);
	CU_ASSERT_EQUAL(kvp_store_pool_open(&config, &store), -EFBIG);
	CU_ASSERT_PTR_NULL(store);
	kvp_store_free(NULL);
}

static const struct check_case cases[] = {
	CHECK_CASE(missing_pool_is_an_empty_store),
	CHECK_CASE(what_stores_nothing_makes_no_file),
	CHECK_CASE(edit_that_wants_no_change_makes_no_file),
	CHECK_CASE(first_write_makes_the_file_with_mode_0600),
	CHECK_CASE(changes_keep_the_file_its_inode_and_its_mode),
	CHECK_CASE(reading_and_refusals_leave_the_files_times),
	CHECK_CASE(edit_gets_the_old_value_and_is_validated),
	CHECK_CASE(read_only_store_reads_and_refuses_every_change),
	CHECK_CASE(refusals_change_nothing_and_say_why),
	CHECK_CASE(cap_counts_unique_keys_and_binds_write_and_load),
	CHECK_CASE(load_of_repeated_keys_counts_each_once),
	CHECK_CASE(pool_over_the_cap_takes_no_new_key),
	CHECK_CASE(append_beyond_1_gib_is_refused_as_a_whole),
	CHECK_CASE(visitor_ends_the_walk),
	CHECK_CASE(entry_keeps_its_id_as_long_as_it_is_there),
	CHECK_CASE(value_that_was_read_outlives_every_change),
	CHECK_CASE(sync_descriptor_is_of_the_pool_file),
	CHECK_CASE(pools_that_cannot_be_opened_are_refused),
};

CHECK_MAIN("store_rules", cases)
