/* SPDX-License-Identifier: MIT */
/*
 * pool.h: what is opened and what is refused, how a missing file is made, and the
 * locks: which ones exclude whom, and that both are held or none. What is seen of
 * other programs' changes has tests of its own, in test_pool_changes.c.
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
#include "locker.h"
#include "pool_file.h"
#include "result.h"

#define NOBODY 65534

static const char *no_file(void)
{
	return pool_file_new("pool", NULL);
}

/* A pool of one record; a new file each time. */
static const char *one_record(void)
{
	struct pool_file content = { .exists = false };
	const char *path = no_file();

	pool_file_add_text(&content, "key", "value", 0);
	pool_file_store(&content, path);
	pool_file_release(&content);
	return path;
}

static void open_pool(struct kvp_pool *pool, const char *path)
{
	CU_ASSERT_EQUAL_FATAL(kvp_pool_open(pool, path, false), 0);
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

static bool become_nobody(const char *test)
{
	if (geteuid() != 0)
		return true;
	is_somebody_else = setresuid(NOBODY, NOBODY, 0) == 0;
	if (is_somebody_else)
		return true;
	printf("SKIP: %s: cannot become another user\n", test);
	CU_PASS("skipped");
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
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *name = cases[i].name;
		bool as_is = strchr("/.", name[0]); /* and the empty one */
		const char *path = as_is ? name : pool_file_path(name);
		int r = kvp_pool_open(&pool, path, false);

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
	CU_ASSERT_EQUAL(kvp_pool_open(&pool, path, false), -EFBIG);
	CU_ASSERT_EQUAL(kvp_pool_open(&pool, path, true), -EFBIG);
}

static void missing_file_is_not_made_by_opening_or_locking(void)
{
	const char *path = no_file();
	struct kvp_pool pool;

	open_pool(&pool, path);
	CU_ASSERT_FALSE(kvp_pool_exists(&pool));
	CU_ASSERT_TRUE(pool.writable);
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

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
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

static void relative_path_is_resolved_when_opened(void)
{
	const char *path = one_record();
	char *before = getcwd(NULL, 0);
	char *directory = realpath(check_directory(), NULL);
	struct kvp_pool pool;

	CU_ASSERT_EQUAL_FATAL(chdir(check_directory()), 0);
	open_pool(&pool, "pool");
	CU_ASSERT_EQUAL_FATAL(chdir("/"), 0);
	CU_ASSERT_EQUAL(strncmp(pool.path, directory, strlen(directory)), 0);
	CU_ASSERT_STRING_EQUAL(pool.path + strlen(directory), "/pool");
	CU_ASSERT_STRING_EQUAL(pool.parent, directory);
	CU_ASSERT_STRING_EQUAL(pool.name, "pool");
	CU_ASSERT_EQUAL(unlink(path), 0);
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_CREATE), 0);
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	kvp_pool_unlock(&pool);
	kvp_pool_close(&pool);
	CU_ASSERT_EQUAL(chdir(before), 0);
	free(before);
	free(directory);
}

static void symbolic_link_is_followed(void)
{
	const char *path = one_record();
	const char *link = pool_file_new("link", NULL);
	struct pool_file content = { .exists = false };
	struct kvp_pool pool;

	CU_ASSERT_EQUAL(symlink("pool", link), 0);
	open_pool(&pool, link);
	CU_ASSERT_TRUE(kvp_pool_exists(&pool));
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_EXCLUSIVE), 0);
	CU_ASSERT_EQUAL(kvp_pool_write(&pool, 0, "X", 1), 0);
	kvp_pool_unlock(&pool);
	kvp_pool_close(&pool);
	pool_file_load(&content, path);
	CHECK_BYTES_EQUAL(pool_file_key(&content.records[0]),
			  check_bytes("Xey"));
	pool_file_release(&content);
}

/* Nor is one that appears later. */
static void symbolic_link_that_others_may_have_made_is_not_followed(void)
{
	const char *target = one_record();
	char *directory = strdup(pool_file_path("shared"));
	const char *link = pool_file_path("shared/link");
	bool changed;
	struct kvp_pool pool;

	CU_ASSERT_EQUAL(mkdir(directory, 0700), 0);
	CU_ASSERT_EQUAL(chmod(directory, 01777), 0);
	CU_ASSERT_EQUAL(symlink(target, link), 0);
	CU_ASSERT_EQUAL(kvp_pool_open(&pool, link, false), KVP_UNTRUSTED_LINK);
	CU_ASSERT_EQUAL(chmod(directory, 0775), 0);
	CU_ASSERT_EQUAL(kvp_pool_open(&pool, link, false), KVP_UNTRUSTED_LINK);
	CU_ASSERT_EQUAL(unlink(link), 0);

	open_pool(&pool, link);
	CU_ASSERT_EQUAL(symlink(target, link), 0);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), KVP_UNTRUSTED_LINK);
	CU_ASSERT_EQUAL(kvp_pool_lock(&pool, KVP_LOCK_CREATE, &changed),
			KVP_UNTRUSTED_LINK);
	CU_ASSERT_EQUAL(chmod(directory, 0755), 0);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_SHARED), 0);
	CU_ASSERT_TRUE(kvp_pool_exists(&pool));
	kvp_pool_unlock(&pool);
	kvp_pool_close(&pool);
	CU_ASSERT_EQUAL(unlink(link), 0);
	CU_ASSERT_EQUAL(rmdir(directory), 0);
	free(directory);
}

static void read_only_pool_gives_shared_locks_only(void)
{
	struct kvp_pool pool;

	for (int missing = 0; missing < 2; missing++) {
		const char *path = missing ? no_file() : one_record();

		CU_ASSERT_EQUAL_FATAL(kvp_pool_open(&pool, path, true), 0);
		CU_ASSERT_FALSE(pool.writable);
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
	if (!become_nobody(__func__))
		return;
	CU_ASSERT_EQUAL(kvp_pool_open(&pool, path, false), 0);
	CU_ASSERT_FALSE(pool.writable);
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_EXCLUSIVE), KVP_READ_ONLY);
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_SHARED), 0);
	CU_ASSERT_EQUAL(kvp_pool_read(&pool, 0, key, sizeof(key), &size), 0);
	CU_ASSERT_EQUAL(size, sizeof(key));
	CU_ASSERT_EQUAL(memcmp(key, "key", sizeof(key)), 0);
	kvp_pool_unlock(&pool);
	kvp_pool_close(&pool);
	become_oneself();
}

static void file_that_may_not_be_read_is_refused(void)
{
	const char *path = one_record();
	struct kvp_pool pool;

	CU_ASSERT_EQUAL(chmod(path, 0), 0);
	let_all_in(0755);
	if (!become_nobody(__func__))
		return;
	CU_ASSERT_EQUAL(kvp_pool_open(&pool, path, false), -EACCES);
	CU_ASSERT_EQUAL(kvp_pool_open(&pool, path, true), -EACCES);
	become_oneself();
}

static void missing_file_that_may_not_be_made_is_read_only(void)
{
	const char *path = no_file();
	struct kvp_pool pool;

	let_all_in(0555);
	if (!become_nobody(__func__))
		return;
	CU_ASSERT_EQUAL(kvp_pool_open(&pool, path, false), 0);
	CU_ASSERT_FALSE(pool.writable);
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_CREATE), KVP_READ_ONLY);
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_SHARED), 0);
	kvp_pool_unlock(&pool);
	kvp_pool_close(&pool);
	become_oneself();
	let_all_in(0755);
}

/* The next operation works on the file that the path names now. */
static void writable_file_in_place_of_a_read_only_one_is_written(void)
{
	const char *path = one_record();
	struct kvp_pool pool;

	CU_ASSERT_EQUAL(chmod(path, 0444), 0);
	let_all_in(0755);
	if (!become_nobody(__func__))
		return;
	CU_ASSERT_EQUAL(kvp_pool_open(&pool, path, false), 0);
	CU_ASSERT_FALSE(pool.writable);
	become_oneself();
	CU_ASSERT_EQUAL(unlink(path), 0);
	one_record();
	CU_ASSERT_EQUAL(chmod(path, 0666), 0);
	CU_ASSERT_TRUE(become_nobody(__func__));
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_EXCLUSIVE), 0);
	CU_ASSERT_TRUE(pool.writable);
	kvp_pool_unlock(&pool);
	kvp_pool_close(&pool);
	become_oneself();
}

/* The other way round: a file that was deleted may not be made again. */
static void deleted_file_that_may_not_be_made_again_is_read_only(void)
{
	const char *path = one_record();
	struct kvp_pool pool;

	CU_ASSERT_EQUAL(chmod(path, 0666), 0);
	let_all_in(0555);
	if (!become_nobody(__func__))
		return;
	CU_ASSERT_EQUAL(kvp_pool_open(&pool, path, false), 0);
	CU_ASSERT_TRUE(pool.writable);
	become_oneself();
	let_all_in(0755);
	CU_ASSERT_EQUAL(unlink(path), 0);
	let_all_in(0555);
	CU_ASSERT_TRUE(become_nobody(__func__));
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_CREATE), KVP_READ_ONLY);
	kvp_pool_close(&pool);
	become_oneself();
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
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
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

/* What another's lock leaves us, and what ours leave others. */
static const struct {
	enum locker_lock theirs;
	bool exclusive;
	enum locker_lock other; /* the exclusive lock of the other kind */
} kinds[LOCKER_LOCKS] = {
	{ LOCKER_FLOCK_SHARED, false, LOCKER_OFD_WRITE },
	{ LOCKER_FLOCK_EXCLUSIVE, true, LOCKER_POSIX_WRITE },
	{ LOCKER_POSIX_READ, false, LOCKER_FLOCK_EXCLUSIVE },
	{ LOCKER_POSIX_WRITE, true, LOCKER_FLOCK_EXCLUSIVE },
	{ LOCKER_OFD_READ, false, LOCKER_FLOCK_EXCLUSIVE },
	{ LOCKER_OFD_WRITE, true, LOCKER_FLOCK_EXCLUSIVE },
};

static const enum kvp_lock locks[] = { KVP_LOCK_SHARED, KVP_LOCK_EXCLUSIVE,
				       KVP_LOCK_CREATE };

static void lock_of_another_excludes_ours(void)
{
	const char *path = one_record();
	struct locker locker;
	struct kvp_pool pool;

	locker_start(&locker, path);
	open_pool(&pool, path);
	for (size_t i = 0; i < LOCKER_LOCKS; i++) {
		CU_ASSERT_TRUE(locker_take(&locker, kinds[i].theirs));
		for (size_t j = 0; j < sizeof(locks) / sizeof(*locks); j++) {
			bool shared = locks[j] == KVP_LOCK_SHARED;
			int r = lock_pool(&pool, locks[j]);

			CU_ASSERT_EQUAL(r, shared && !kinds[i].exclusive
						   ? 0
						   : KVP_LOCKED);
			if (r == 0)
				kvp_pool_unlock(&pool);
		}
		locker_release(&locker);
		CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_EXCLUSIVE), 0);
		kvp_pool_unlock(&pool);
	}
	kvp_pool_close(&pool);
	locker_stop(&locker);
}

static void failed_lock_leaves_no_lock_behind(void)
{
	const char *path = one_record();
	struct locker holder;
	struct locker witness;
	struct kvp_pool pool;

	locker_start(&holder, path);
	locker_start(&witness, path);
	open_pool(&pool, path);
	for (size_t i = 0; i < LOCKER_LOCKS; i++) {
		CU_ASSERT_TRUE(locker_take(&holder, kinds[i].theirs));
		CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_EXCLUSIVE),
				KVP_LOCKED);
		CU_ASSERT_TRUE(locker_can_take(&witness, kinds[i].other));
		locker_release(&holder);
		CU_ASSERT_TRUE(locker_can_take(&witness, kinds[i].theirs));
	}
	kvp_pool_close(&pool);
	locker_stop(&witness);
	locker_stop(&holder);
}

static void our_lock_excludes_others(void)
{
	const char *path = one_record();
	struct locker locker;
	struct kvp_pool pool;

	locker_start(&locker, path);
	open_pool(&pool, path);
	for (size_t i = 0; i < LOCKER_LOCKS; i++) {
		for (size_t j = 0; j < sizeof(locks) / sizeof(*locks); j++) {
			bool shared = locks[j] == KVP_LOCK_SHARED;

			CU_ASSERT_EQUAL_FATAL(lock_pool(&pool, locks[j]), 0);
			CU_ASSERT_EQUAL(locker_can_take(&locker,
							kinds[i].theirs),
					shared && !kinds[i].exclusive);
			kvp_pool_unlock(&pool);
			CU_ASSERT_TRUE(
				locker_can_take(&locker, kinds[i].theirs));
		}
	}
	kvp_pool_close(&pool);
	locker_stop(&locker);
}

static void locks_end_with_their_process(void)
{
	const char *path = one_record();
	struct locker locker;
	struct kvp_pool pool;

	open_pool(&pool, path);
	for (size_t i = 0; i < LOCKER_LOCKS; i++) {
		locker_start(&locker, path);
		CU_ASSERT_TRUE(locker_take(&locker, kinds[i].theirs));
		CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_EXCLUSIVE),
				KVP_LOCKED);
		locker_stop(&locker);
		CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_EXCLUSIVE), 0);
		kvp_pool_unlock(&pool);
	}
	kvp_pool_close(&pool);
}

/* POSIX locks would end here. */
static void our_locks_survive_a_stray_close_of_the_file(void)
{
	const char *path = one_record();
	struct locker locker;
	struct kvp_pool pool;

	locker_start(&locker, path);
	open_pool(&pool, path);
	CU_ASSERT_EQUAL_FATAL(lock_pool(&pool, KVP_LOCK_EXCLUSIVE), 0);
	close(open(path, O_RDWR | O_CLOEXEC));
	for (size_t i = 0; i < LOCKER_LOCKS; i++)
		CU_ASSERT_FALSE(locker_can_take(&locker, kinds[i].theirs));
	kvp_pool_unlock(&pool);
	kvp_pool_close(&pool);
	locker_stop(&locker);
}

static void two_pools_of_one_process_exclude_each_other(void)
{
	const char *path = one_record();
	struct kvp_pool one;
	struct kvp_pool two;

	open_pool(&one, path);
	open_pool(&two, path);
	CU_ASSERT_EQUAL_FATAL(lock_pool(&one, KVP_LOCK_SHARED), 0);
	CU_ASSERT_EQUAL(lock_pool(&two, KVP_LOCK_EXCLUSIVE), KVP_LOCKED);
	CU_ASSERT_EQUAL(lock_pool(&two, KVP_LOCK_SHARED), 0);
	kvp_pool_unlock(&two);
	kvp_pool_unlock(&one);
	CU_ASSERT_EQUAL(lock_pool(&two, KVP_LOCK_EXCLUSIVE), 0);
	CU_ASSERT_EQUAL(lock_pool(&one, KVP_LOCK_SHARED), KVP_LOCKED);
	kvp_pool_unlock(&two);
	kvp_pool_close(&two);
	kvp_pool_close(&one);
}

/* For programs that lock some bytes only, wherever these are. */
static void record_lock_covers_the_whole_file_and_what_is_behind(void)
{
	static const off_t places[] = { 0, 1, 2559, 2560, (off_t)1 << 40 };
	const char *path = one_record();
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct kvp_pool pool;

	open_pool(&pool, path);
	CU_ASSERT_EQUAL_FATAL(lock_pool(&pool, KVP_LOCK_SHARED), 0);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		struct flock byte = { .l_type = F_WRLCK,
				      .l_start = places[i],
				      .l_len = 1 };

		CU_ASSERT_EQUAL(fcntl(fd, F_OFD_SETLK, &byte), -1);
	}
	kvp_pool_unlock(&pool);
	kvp_pool_close(&pool);
	close(fd);
}

static void closing_gives_back_all_descriptors(void)
{
	const char *path = one_record();
	size_t before = open_descriptors();
	struct kvp_pool pool;

	for (int i = 0; i < 3; i++) {
		open_pool(&pool, path);
		CU_ASSERT_EQUAL(fcntl(pool.file, F_GETFD), FD_CLOEXEC);
		CU_ASSERT_EQUAL(fcntl(pool.directory, F_GETFD), FD_CLOEXEC);
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
	CHECK_CASE(relative_path_is_resolved_when_opened),
	CHECK_CASE(symbolic_link_is_followed),
	CHECK_CASE(symbolic_link_that_others_may_have_made_is_not_followed),
	CHECK_CASE(read_only_pool_gives_shared_locks_only),
	CHECK_CASE(file_that_may_not_be_written_is_opened_for_reading),
	CHECK_CASE(file_that_may_not_be_read_is_refused),
	CHECK_CASE(missing_file_that_may_not_be_made_is_read_only),
	CHECK_CASE(writable_file_in_place_of_a_read_only_one_is_written),
	CHECK_CASE(deleted_file_that_may_not_be_made_again_is_read_only),
	CHECK_CASE(reading_ends_at_the_end_of_the_file),
	CHECK_CASE(lock_of_another_excludes_ours),
	CHECK_CASE(failed_lock_leaves_no_lock_behind),
	CHECK_CASE(our_lock_excludes_others),
	CHECK_CASE(locks_end_with_their_process),
	CHECK_CASE(our_locks_survive_a_stray_close_of_the_file),
	CHECK_CASE(two_pools_of_one_process_exclude_each_other),
	CHECK_CASE(record_lock_covers_the_whole_file_and_what_is_behind),
	CHECK_CASE(closing_gives_back_all_descriptors),
};

CHECK_MAIN("pool", cases)
