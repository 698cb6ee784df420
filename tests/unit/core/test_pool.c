/* SPDX-License-Identifier: MIT */
/*
 * pool.h: what is opened and what is refused, and how a missing file is made. Its locks
 * are in test_pool_locks.c, and what is seen of other programs' changes is in
 * test_pool_changes.c.
 */
#include "pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "pool_file.h"
#include "result.h"
#include "store_text.h"

#define NOBODY 65534

static const char *no_file(void)
{
	return pool_file_new("pool", NULL);
}

/* A pool of one record; a new file each time. */
static const char *one_record(void)
{
	const char *path = no_file();

	store_text_make_file(path, "key=value");
	return path;
}

static void open_pool(struct kvp_pool *pool, const char *path)
{
	CU_ASSERT_EQUAL_FATAL(kvp_pool_open(pool, path, 0), 0);
}

static int lock_pool(struct kvp_pool *pool, enum kvp_lock lock)
{
	bool changed;

	return kvp_pool_lock(pool, lock, &changed);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static size_t open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	if (!dir)
		return 0;
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/*
 * Root may do everything, so root becomes somebody else for a while. The real id
 * too, as access(2) goes by that.
 */
static bool is_somebody_else;

static bool become_nobody(void)
{
	if (geteuid() != 0)
		return true;
	is_somebody_else = setresuid(NOBODY, NOBODY, 0) == 0;
	if (is_somebody_else)
		return true;
	check_skip("cannot become another user");
	return false;
}

static void become_oneself(void)
{
	if (is_somebody_else)
		CU_ASSERT_EQUAL(setresuid(0, 0, 0), 0);
	is_somebody_else = false;
}

static void let_all_in(mode_t mode)
{
	CU_ASSERT_EQUAL(chmod(check_directory(), mode), 0);
}

/* Opens the pool as somebody who may, or may not, write it; false: not possible. */
static bool open_as_nobody(struct kvp_pool *pool, const char *path,
			   bool writable)
{
	if (!become_nobody())
		return false;
	CU_ASSERT_EQUAL(kvp_pool_open(pool, path, 0), 0);
	CU_ASSERT_EQUAL(kvp_pool_is_writable(pool), writable);
	return true;
}

static void close_as_oneself(struct kvp_pool *pool)
{
	kvp_pool_close(pool);
	become_oneself();
}

static void unusable_paths_are_refused_with_their_errno(void)
{
	static const struct {
		const char *name; /* in the directory, unless absolute */
		int result;
	} cases[] = {
		{ "absent/pool", -ENOENT },
		{ "fifo", -EINVAL },
		{ "directory", -EISDIR },
		{ "/dev/null", -EINVAL },
		{ "directory/", -EISDIR },
		{ "file/", -EISDIR },
		{ "absent/", -EISDIR },
		{ "file/pool", -ENOTDIR },
		{ "directory/.", -EISDIR },
		{ "directory/..", -EISDIR },
		{ ".", -EISDIR },
		{ "/", -EISDIR },
		{ "", -EISDIR },
		{ "loop", -ELOOP },
	};
	struct kvp_pool pool;
	size_t before;

	pool_file_store(&(struct pool_file){ .exists = true },
			pool_file_path("file"));
	CU_ASSERT_EQUAL(mkfifo(pool_file_path("fifo"), 0600), 0);
	CU_ASSERT_EQUAL(mkdir(pool_file_path("directory"), 0700), 0);
	CU_ASSERT_EQUAL(symlink("loop", pool_file_path("loop")), 0);
	before = open_descriptors();
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *name = cases[i].name;
		bool as_is = strchr("/.", name[0]); /* and the empty one */
		const char *path = as_is ? name : pool_file_path(name);
		int r = kvp_pool_open(&pool, path, 0);

		if (r != cases[i].result)
			printf("\"%s\": %d, not %d\n", name, r,
			       cases[i].result);
		CU_ASSERT_EQUAL(r, cases[i].result);
		if (r == 0)
			kvp_pool_close(&pool);
	}
	CU_ASSERT_EQUAL(open_descriptors(), before);
	rmdir(pool_file_path("directory"));
}

static void file_over_1_gib_is_refused(void)
{
	const char *path = one_record();
	struct kvp_pool pool;

	CU_ASSERT_EQUAL_FATAL(truncate(path, KVP_POOL_MAX_BYTES), 0);
	CU_ASSERT_EQUAL(KVP_POOL_MAX_BYTES, 1073741824);
	open_pool(&pool, path);
	kvp_pool_close(&pool);
	CU_ASSERT_EQUAL_FATAL(truncate(path, KVP_POOL_MAX_BYTES + 1), 0);
	CU_ASSERT_EQUAL(kvp_pool_open(&pool, path, 0), -EFBIG);
	CU_ASSERT_EQUAL(kvp_pool_open(&pool, path, KVP_POOL_READ_ONLY), -EFBIG);
}

static void missing_file_is_not_made_by_opening_or_locking(void)
{
	const char *path = no_file();
	struct kvp_pool pool;

	open_pool(&pool, path);
	CU_ASSERT_FALSE(kvp_pool_exists(&pool));
	CU_ASSERT_TRUE(kvp_pool_is_writable(&pool));
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_SHARED), 0);
	kvp_pool_unlock(&pool);
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_EXCLUSIVE), 0);
	kvp_pool_unlock(&pool);
	CU_ASSERT_FALSE(kvp_pool_exists(&pool));
	CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
	kvp_pool_close(&pool);
}

static void missing_file_is_made_with_mode_0600(void)
{
	const char *path = no_file();
	mode_t umask_before = umask(0);
	struct kvp_pool pool;

	open_pool(&pool, path);
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_CREATE), 0);
	CU_ASSERT_TRUE(kvp_pool_exists(&pool));
	CU_ASSERT_EQUAL(mode_of(path), 0600);
	CU_ASSERT_EQUAL(kvp_pool_write(&pool, 0, "x", 1), 0);
	kvp_pool_unlock(&pool);
	kvp_pool_close(&pool);
	umask(umask_before);
}

static void existing_file_keeps_its_mode(void)
{
	static const mode_t modes[] = { 0644, 0600, 0666, 0640 };
	const char *path = one_record();
	struct kvp_pool pool;

	for (size_t i = 0; i < COUNT(modes); i++) {
		CU_ASSERT_EQUAL(chmod(path, modes[i]), 0);
		open_pool(&pool, path);
		CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_CREATE), 0);
		CU_ASSERT_EQUAL(kvp_pool_write(&pool, 0, "x", 1), 0);
		CU_ASSERT_EQUAL(kvp_pool_truncate(&pool, 0), 0);
		kvp_pool_unlock(&pool);
		kvp_pool_close(&pool);
		CU_ASSERT_EQUAL(mode_of(path), modes[i]);
	}
}

static void read_only_pool_gives_shared_locks_only(void)
{
	struct kvp_pool pool;

	for (int missing = 0; missing < 2; missing++) {
		const char *path = missing ? no_file() : one_record();

		CU_ASSERT_EQUAL_FATAL(
			kvp_pool_open(&pool, path, KVP_POOL_READ_ONLY), 0);
		CU_ASSERT_FALSE(kvp_pool_is_writable(&pool));
		CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_EXCLUSIVE),
				KVP_READ_ONLY);
		CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_CREATE),
				KVP_READ_ONLY);
		CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_SHARED), 0);
		kvp_pool_unlock(&pool);
		kvp_pool_close(&pool);
		CU_ASSERT_EQUAL(access(path, F_OK), missing ? -1 : 0);
	}
}

static void file_that_may_not_be_written_is_opened_for_reading(void)
{
	const char *path = one_record();
	struct kvp_pool pool;
	size_t size = 0;
	char key[3];

	CU_ASSERT_EQUAL(chmod(path, 0444), 0);
	let_all_in(0755);
	if (!open_as_nobody(&pool, path, false))
		return;
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_EXCLUSIVE), KVP_READ_ONLY);
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_SHARED), 0);
	CU_ASSERT_EQUAL(kvp_pool_read(&pool, 0, key, sizeof(key), &size), 0);
	CU_ASSERT_EQUAL(size, sizeof(key));
	CU_ASSERT_EQUAL(memcmp(key, "key", sizeof(key)), 0);
	kvp_pool_unlock(&pool);
	close_as_oneself(&pool);
}

static void file_that_may_not_be_read_is_refused(void)
{
	const char *path = one_record();
	struct kvp_pool pool;

	CU_ASSERT_EQUAL(chmod(path, 0), 0);
	let_all_in(0755);
	if (!become_nobody())
		return;
	CU_ASSERT_EQUAL(kvp_pool_open(&pool, path, 0), -EACCES);
	CU_ASSERT_EQUAL(kvp_pool_open(&pool, path, KVP_POOL_READ_ONLY),
			-EACCES);
	become_oneself();
}

static void missing_file_that_may_not_be_made_is_read_only(void)
{
	const char *path = no_file();
	struct kvp_pool pool;

	let_all_in(0555);
	if (!open_as_nobody(&pool, path, false))
		return;
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_CREATE), KVP_READ_ONLY);
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_SHARED), 0);
	kvp_pool_unlock(&pool);
	close_as_oneself(&pool);
	let_all_in(0755);
}

/* The next operation works on the file that the path names now. */
static void writable_file_in_place_of_a_read_only_one_is_written(void)
{
	const char *path = one_record();
	struct kvp_pool pool;

	CU_ASSERT_EQUAL(chmod(path, 0444), 0);
	let_all_in(0755);
	if (!open_as_nobody(&pool, path, false))
		return;
	become_oneself();
	CU_ASSERT_EQUAL(unlink(path), 0);
	one_record();
	CU_ASSERT_EQUAL(chmod(path, 0666), 0);
	CU_ASSERT_TRUE(become_nobody());
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_EXCLUSIVE), 0);
	CU_ASSERT_TRUE(kvp_pool_is_writable(&pool));
	kvp_pool_unlock(&pool);
	close_as_oneself(&pool);
}

/* Without another look at the path: the answer itself is a look. */
static void file_that_becomes_writable_is_found_so(void)
{
	const char *path = one_record();
	struct kvp_pool pool;

	CU_ASSERT_EQUAL(chmod(path, 0444), 0);
	let_all_in(0755);
	if (!open_as_nobody(&pool, path, false))
		return;
	become_oneself();
	CU_ASSERT_EQUAL(chmod(path, 0666), 0);
	CU_ASSERT_TRUE(become_nobody());
	CU_ASSERT_TRUE(kvp_pool_is_writable(&pool));
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_EXCLUSIVE), 0);
	kvp_pool_unlock(&pool);
	CU_ASSERT_TRUE(kvp_pool_is_writable(&pool));
	close_as_oneself(&pool);
}

static void directory_that_becomes_writable_may_get_the_file(void)
{
	const char *path = no_file();
	struct kvp_pool pool;

	let_all_in(0555);
	if (!open_as_nobody(&pool, path, false))
		return;
	become_oneself();
	let_all_in(0777);
	CU_ASSERT_TRUE(become_nobody());
	CU_ASSERT_TRUE(kvp_pool_is_writable(&pool));
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_CREATE), 0);
	kvp_pool_unlock(&pool);
	close_as_oneself(&pool);
	let_all_in(0755);
}

/* The other way round: a file that was deleted may not be made again. */
static void deleted_file_that_may_not_be_made_again_is_read_only(void)
{
	const char *path = one_record();
	struct kvp_pool pool;

	CU_ASSERT_EQUAL(chmod(path, 0666), 0);
	let_all_in(0555);
	if (!open_as_nobody(&pool, path, true))
		return;
	become_oneself();
	let_all_in(0755);
	CU_ASSERT_EQUAL(unlink(path), 0);
	let_all_in(0555);
	CU_ASSERT_TRUE(become_nobody());
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_CREATE), KVP_READ_ONLY);
	close_as_oneself(&pool);
	let_all_in(0755);
}

static void reading_ends_at_the_end_of_the_file(void)
{
	static const struct {
		off_t offset;
		size_t size;
	} cases[] = {
		{ 0, 4096 },
		{ 2500, 60 },
		{ 2560, 0 },
		{ 9999, 0 },
	};
	const char *path = one_record();
	struct kvp_pool pool;
	char buf[4096];

	open_pool(&pool, path);
	CU_ASSERT_EQUAL_FATAL(lock_pool(&pool, KVP_LOCK_SHARED), 0);
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t size = 1;

		CU_ASSERT_EQUAL(kvp_pool_read(&pool, cases[i].offset, buf,
					      sizeof(buf), &size),
				0);
		CU_ASSERT_EQUAL(size,
				cases[i].size == 4096 ? 2560 : cases[i].size);
	}
	kvp_pool_unlock(&pool);
	kvp_pool_close(&pool);
}

static void closing_gives_back_all_descriptors(void)
{
	const char *path = one_record();
	size_t before = open_descriptors();
	struct kvp_pool pool;

	for (int i = 0; i < 3; i++) {
		open_pool(&pool, path);
		CU_ASSERT_EQUAL(fcntl(pool.file, F_GETFD), FD_CLOEXEC);
		CU_ASSERT_EQUAL(fcntl(pool.place.directory, F_GETFD),
				FD_CLOEXEC);
		CU_ASSERT_EQUAL(unlink(path), 0);
		CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_CREATE), 0);
		kvp_pool_close(&pool);
		CU_ASSERT_EQUAL(open_descriptors(), before);
	}
}

static const struct check_case cases[] = {
	CHECK_CASE(unusable_paths_are_refused_with_their_errno),
	CHECK_CASE(file_over_1_gib_is_refused),
	CHECK_CASE(missing_file_is_not_made_by_opening_or_locking),
	CHECK_CASE(missing_file_is_made_with_mode_0600),
	CHECK_CASE(existing_file_keeps_its_mode),
	CHECK_CASE(read_only_pool_gives_shared_locks_only),
	CHECK_CASE(file_that_may_not_be_written_is_opened_for_reading),
	CHECK_CASE(file_that_may_not_be_read_is_refused),
	CHECK_CASE(missing_file_that_may_not_be_made_is_read_only),
	CHECK_CASE(writable_file_in_place_of_a_read_only_one_is_written),
	CHECK_CASE(file_that_becomes_writable_is_found_so),
	CHECK_CASE(directory_that_becomes_writable_may_get_the_file),
	CHECK_CASE(deleted_file_that_may_not_be_made_again_is_read_only),
	CHECK_CASE(reading_ends_at_the_end_of_the_file),
	CHECK_CASE(closing_gives_back_all_descriptors),
};

CHECK_MAIN("pool", cases)
