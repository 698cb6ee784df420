/* SPDX-License-Identifier: MIT */
/*
 * The test cases of the Rust crate libazureinit-kvp for its KvpPoolStore, by their
 * names, for ours. One differs on purpose: there, write only ever appends in the
 * version that had "preserves_duplicates"; here, as in its successor, it leaves
 * one record, and repeats come from append and from other programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "pool_file.h"
#include "store_pool.h"
#include "store_text.h"

static struct kvp_store *new_store(enum kvp_mode mode)
{
	return store_text_open(pool_file_new("pool", NULL), mode);
}

static void write_rejects_empty_key(void)
{
	struct kvp_store *store = new_store(KVP_MODE_RESTRICTED);

	CU_ASSERT_EQUAL(store_text_write(store, "", "value"), KVP_EMPTY_KEY);
	kvp_store_free(store);
}

static void write_rejects_null_in_key(void)
{
	struct kvp_store *store = new_store(KVP_MODE_RESTRICTED);

	CU_ASSERT_EQUAL(kvp_store_write(store,
					(struct kvp_bytes){ "bad\0key", 7 },
					check_bytes("value")),
			KVP_KEY_CONTAINS_NUL);
	kvp_store_free(store);
}

/* Where the directory is missing, as on most machines, opening says so. */
static void default_path_is_used(void)
{
	const struct kvp_pool_config config = { .read_only = true };
	struct kvp_store *store;
	int r = kvp_store_pool_open(&config, &store);

	CU_ASSERT_STRING_EQUAL(KVP_DEFAULT_POOL, "/var/lib/hyperv/.kvp_pool_1");
	if (access("/var/lib/hyperv", X_OK) != 0) {
		CU_ASSERT_EQUAL(r, -errno);
		return;
	}
	if (r) {
		check_skip(KVP_DEFAULT_POOL " is not to be opened");
		return;
	}
	CU_ASSERT_STRING_EQUAL(kvp_store_path(store), KVP_DEFAULT_POOL);
	kvp_store_free(store);
}

static void explicit_path_is_used(void)
{
	const char *path = pool_file_new("some-pool", NULL);
	struct kvp_store *store = store_text_open(path, KVP_MODE_RESTRICTED);

	CU_ASSERT_STRING_EQUAL(kvp_store_path(store), path);
	CU_ASSERT_EQUAL(store_text_write(store, "key", "value"), 0);
	CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "key=value");
	kvp_store_free(store);
}

/* Writes a key of KEY_LEN and a value of VALUE_LEN bytes, and reads it. */
static void check_length(enum kvp_mode mode, size_t key_len, size_t value_len,
			 int result)
{
	struct kvp_store *store = new_store(mode);
	struct kvp_bytes key = check_repeat('k', key_len);
	struct kvp_bytes value = check_repeat('v', value_len);
	struct kvp_item item;

	CU_ASSERT_EQUAL(kvp_store_write(store, key, value), result);
	CU_ASSERT_EQUAL(kvp_store_read(store, key, &item),
			result ? KVP_ABSENT : 0);
	if (result == 0) {
		CHECK_BYTES_EQUAL(kvp_value_bytes(item.value), value);
		kvp_value_unref(item.value);
	}
	kvp_store_free(store);
}

static void restricted_limits_key_254_pass_255_fail(void)
{
	check_length(KVP_MODE_RESTRICTED, 254, 1, 0);
	check_length(KVP_MODE_RESTRICTED, 255, 1, KVP_KEY_TOO_LARGE);
}

static void restricted_limits_value_1022_pass_1023_fail(void)
{
	check_length(KVP_MODE_RESTRICTED, 1, 1022, 0);
	check_length(KVP_MODE_RESTRICTED, 1, 1023, KVP_VALUE_TOO_LARGE);
}

static void full_limits_key_512_pass_513_fail(void)
{
	check_length(KVP_MODE_FULL, 512, 1, 0);
	check_length(KVP_MODE_FULL, 513, 1, KVP_KEY_TOO_LARGE);
}

static void full_limits_value_2048_pass_2049_fail(void)
{
	check_length(KVP_MODE_FULL, 1, 2048, 0);
	check_length(KVP_MODE_FULL, 1, 2049, KVP_VALUE_TOO_LARGE);
}

static void entries_raw_preserves_duplicates(void)
{
	struct kvp_store *store = new_store(KVP_MODE_RESTRICTED);

	CU_ASSERT_EQUAL(store_text_append(store, "key=v1 key=v2 other=v3"), 0);
	CU_ASSERT_STRING_EQUAL(store_text_entries_raw(store),
			       "key=v1 key=v2 other=v3");
	kvp_store_free(store);
}

static void entries_deduplicates_last_write_wins(void)
{
	struct kvp_store *store = new_store(KVP_MODE_RESTRICTED);

	CU_ASSERT_EQUAL(store_text_append(store, "key=v1 key=v2 other=v3"), 0);
	CU_ASSERT_STRING_EQUAL(store_text_entries(store), "key=v2 other=v3");
	kvp_store_free(store);
}

/* A store with as many keys as there may be: "k0" to "k1023". */
static struct kvp_store *new_full_store(void)
{
	struct kvp_store *store = new_store(KVP_MODE_RESTRICTED);
	unsigned int failed = 0;
	char key[16];

	for (unsigned int i = 0; i < 1024; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		failed += store_text_write(store, key, "v") != 0;
	}
	CU_ASSERT_EQUAL(failed, 0);
	return store;
}

static void unique_key_cap_allows_1024_then_rejects_1025th(void)
{
	struct kvp_store *store = new_full_store();

	CU_ASSERT_EQUAL(KVP_MAX_KEYS, 1024);
	CU_ASSERT_EQUAL(store_text_write(store, "overflow", "v"),
			KVP_MAX_UNIQUE_KEYS);
	CU_ASSERT_TRUE(store_text_reads(store, "overflow", NULL));
	kvp_store_free(store);
}

static void unique_key_cap_allows_overwrite_at_limit(void)
{
	struct kvp_store *store = new_full_store();

	CU_ASSERT_EQUAL(store_text_write(store, "k0", "updated"), 0);
	CU_ASSERT_TRUE(store_text_reads(store, "k0", "updated"));
	kvp_store_free(store);
}

static void unique_key_cap_allows_new_key_after_delete(void)
{
	struct kvp_store *store = new_full_store();

	CU_ASSERT_EQUAL(store_text_delete(store, "k0"), 0);
	CU_ASSERT_EQUAL(store_text_write(store, "new-key", "v"), 0);
	CU_ASSERT_EQUAL(store_text_write(store, "k0", "v"),
			KVP_MAX_UNIQUE_KEYS);
	kvp_store_free(store);
}

static void clear_empties_store(void)
{
	struct kvp_store *store = new_store(KVP_MODE_RESTRICTED);

	CU_ASSERT_EQUAL(store_text_write(store, "key", "value"), 0);
	CU_ASSERT_EQUAL(kvp_store_clear(store), 0);
	CU_ASSERT_TRUE(store_text_reads(store, "key", NULL));
	CU_ASSERT_STRING_EQUAL(store_text_of_file(pool_file_path("pool")), "");
	kvp_store_free(store);
}

static void delete_removes_all_matching_records(void)
{
	struct kvp_store *store = new_store(KVP_MODE_RESTRICTED);

	CU_ASSERT_EQUAL(store_text_append(store, "key=v1 key=v2 other=v3"), 0);
	CU_ASSERT_EQUAL(store_text_delete(store, "key"), 0);
	CU_ASSERT_TRUE(store_text_reads(store, "key", NULL));
	CU_ASSERT_TRUE(store_text_reads(store, "other", "v3"));
	CU_ASSERT_EQUAL(store_text_delete(store, "key"), KVP_ABSENT);
	CU_ASSERT_STRING_EQUAL(store_text_of_file(pool_file_path("pool")),
			       "other=v3");
	kvp_store_free(store);
}

static time_t boot_time(void)
{
	FILE *file = fopen("/proc/stat", "re");
	long long seconds = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "btime %lld", &seconds) == 1)
			break;
	if (file)
		fclose(file);
	return (time_t)seconds;
}

static void set_mtime(const char *path, time_t seconds, long nanoseconds)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
					   { seconds, nanoseconds } };

	CU_ASSERT_EQUAL(utimensat(AT_FDCWD, path, times, 0), 0);
}

static const struct {
	int after_boot; /* seconds */
	long nanoseconds;
	bool stale;
} ages[] = {
	{ -1000, 0, true }, { -1, 999999999, true }, { 0, 0, true },
	{ 1, 0, false },    { 1000, 0, false },
};

#define AGES (COUNT(ages))

static void is_stale_and_pool_is_stale_at_boot_helpers(void)
{
	const char *path = pool_file_new("pool", NULL);
	struct kvp_store *store = store_text_open(path, KVP_MODE_RESTRICTED);
	bool stale = true;

	CU_ASSERT_EQUAL(kvp_store_is_stale(store, &stale), 0);
	CU_ASSERT_FALSE(stale); /* there is no file */
	CU_ASSERT_EQUAL(store_text_write(store, "key", "value"), 0);
	CU_ASSERT_EQUAL(kvp_store_is_stale(store, &stale), 0);
	CU_ASSERT_FALSE(stale);
	for (size_t i = 0; i < AGES; i++) {
		set_mtime(path, boot_time() + ages[i].after_boot,
			  ages[i].nanoseconds);
		CU_ASSERT_EQUAL(kvp_store_is_stale(store, &stale), 0);
		CU_ASSERT_EQUAL(stale, ages[i].stale);
	}
	kvp_store_free(store);
}

static void truncate_on_stale_truncates_only_what_is_stale(void)
{
	const char *path = pool_file_new("pool", NULL);

	for (size_t i = 0; i < 2 * AGES; i++) {
		const struct kvp_pool_config config = { .path = path };
		bool asked = i < AGES;
		bool gone = asked && ages[i % AGES].stale;
		bool cleared = !gone;
		struct kvp_store *store = NULL;

		store_text_make_file(path, "key=value");
		set_mtime(path, boot_time() + ages[i % AGES].after_boot,
			  ages[i % AGES].nanoseconds);
		CU_ASSERT_EQUAL(kvp_store_pool_open(&config, &store), 0);
		if (asked) {
			CU_ASSERT_EQUAL(kvp_store_clear_stale(store, &cleared),
					0);
			CU_ASSERT_EQUAL(cleared, gone);
		}
		CU_ASSERT_STRING_EQUAL(store_text_of_file(path),
				       gone ? "" : "key=value");
		CU_ASSERT_TRUE(
			store_text_reads(store, "key", gone ? NULL : "value"));
		kvp_store_free(store);
	}
}

static void truncate_on_stale_makes_no_file(void)
{
	const char *path = pool_file_new("pool", NULL);
	struct kvp_store *store = store_text_open(path, KVP_MODE_RESTRICTED);
	bool cleared = true;

	CU_ASSERT_EQUAL(kvp_store_clear_stale(store, &cleared), 0);
	CU_ASSERT_FALSE(cleared);
	CU_ASSERT_STRING_EQUAL(store_text_of_file(path), "-");
	kvp_store_free(store);
}

static void mode_getter(void)
{
	static const struct {
		enum kvp_mode mode;
		size_t key;
		size_t value;
	} modes[] = {
		{ KVP_MODE_RESTRICTED, 254, 1022 },
		{ KVP_MODE_FULL, 512, 2048 },
	};

	for (size_t i = 0; i < COUNT(modes); i++) {
		struct kvp_store *store = new_store(modes[i].mode);

		CU_ASSERT_EQUAL(kvp_store_mode(store), modes[i].mode);
		CU_ASSERT_EQUAL(kvp_store_max_key_size(store), modes[i].key);
		CU_ASSERT_EQUAL(kvp_store_max_value_size(store),
				modes[i].value);
		kvp_store_free(store);
	}
}

static const struct check_case cases[] = {
	CHECK_CASE(write_rejects_empty_key),
	CHECK_CASE(write_rejects_null_in_key),
	CHECK_CASE(default_path_is_used),
	CHECK_CASE(explicit_path_is_used),
	CHECK_CASE(restricted_limits_key_254_pass_255_fail),
	CHECK_CASE(restricted_limits_value_1022_pass_1023_fail),
	CHECK_CASE(full_limits_key_512_pass_513_fail),
	CHECK_CASE(full_limits_value_2048_pass_2049_fail),
	CHECK_CASE(entries_raw_preserves_duplicates),
	CHECK_CASE(entries_deduplicates_last_write_wins),
	CHECK_CASE(unique_key_cap_allows_1024_then_rejects_1025th),
	CHECK_CASE(unique_key_cap_allows_overwrite_at_limit),
	CHECK_CASE(unique_key_cap_allows_new_key_after_delete),
	CHECK_CASE(clear_empties_store),
	CHECK_CASE(delete_removes_all_matching_records),
	CHECK_CASE(is_stale_and_pool_is_stale_at_boot_helpers),
	CHECK_CASE(mode_getter),
	/* the crate's option, which its tests leave out */
	CHECK_CASE(truncate_on_stale_truncates_only_what_is_stale),
	CHECK_CASE(truncate_on_stale_makes_no_file),
};

CHECK_MAIN("store_crate", cases)
