/* SPDX-License-Identifier: MIT */
/*
 * pool.h: its locks: which ones exclude whom, and that both are held or none.
 */
#include "pool.h"

#include <fcntl.h>
#include <unistd.h>

#include "check.h"
#include "locker.h"
#include "pool_file.h"
#include "result.h"
#include "store_text.h"

/* Every test: one pool, and somebody else who locks it. */
static const char *path;
static struct kvp_pool pool;
static struct locker other;

static int lock_of(struct kvp_pool *of, enum kvp_lock lock)
{
	bool changed;

	return kvp_pool_lock(of, lock, &changed);
}

static int lock_pool(enum kvp_lock lock)
{
	return lock_of(&pool, lock);
}

static void begin(void)
{
	path = pool_file_new("pool", NULL);
	store_text_make_file(path, "key=value");
	locker_start(&other, path);
	CU_ASSERT_EQUAL_FATAL(kvp_pool_open(&pool, path, 0), 0);
}

static void end(void)
{
	kvp_pool_close(&pool);
	locker_stop(&other);
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
	begin();
	for (size_t i = 0; i < LOCKER_LOCKS; i++) {
		CU_ASSERT_TRUE(locker_take(&other, kinds[i].theirs));
		for (size_t j = 0; j < COUNT(locks); j++) {
			bool shared = locks[j] == KVP_LOCK_SHARED;
			int r = lock_pool(locks[j]);

			CU_ASSERT_EQUAL(r, shared && !kinds[i].exclusive
						   ? 0
						   : KVP_LOCKED);
			if (r == 0)
				kvp_pool_unlock(&pool);
		}
		locker_release(&other);
		CU_ASSERT_EQUAL(lock_pool(KVP_LOCK_EXCLUSIVE), 0);
		kvp_pool_unlock(&pool);
	}
	end();
}

static void failed_lock_leaves_no_lock_behind(void)
{
	struct locker witness;

	begin();
	locker_start(&witness, path);
	for (size_t i = 0; i < LOCKER_LOCKS; i++) {
		CU_ASSERT_TRUE(locker_take(&other, kinds[i].theirs));
		CU_ASSERT_EQUAL(lock_pool(KVP_LOCK_EXCLUSIVE), KVP_LOCKED);
		CU_ASSERT_TRUE(locker_can_take(&witness, kinds[i].other));
		locker_release(&other);
		CU_ASSERT_TRUE(locker_can_take(&witness, kinds[i].theirs));
	}
	locker_stop(&witness);
	end();
}

static void our_lock_excludes_others(void)
{
	begin();
	for (size_t i = 0; i < LOCKER_LOCKS; i++) {
		for (size_t j = 0; j < COUNT(locks); j++) {
			bool shared = locks[j] == KVP_LOCK_SHARED;

			CU_ASSERT_EQUAL_FATAL(lock_pool(locks[j]), 0);
			CU_ASSERT_EQUAL(locker_can_take(&other,
							kinds[i].theirs),
					shared && !kinds[i].exclusive);
			kvp_pool_unlock(&pool);
			CU_ASSERT_TRUE(
				locker_can_take(&other, kinds[i].theirs));
		}
	}
	end();
}

static void locks_end_with_their_process(void)
{
	begin();
	for (size_t i = 0; i < LOCKER_LOCKS; i++) {
		CU_ASSERT_TRUE(locker_take(&other, kinds[i].theirs));
		CU_ASSERT_EQUAL(lock_pool(KVP_LOCK_EXCLUSIVE), KVP_LOCKED);
		locker_stop(&other);
		locker_start(&other, path);
		CU_ASSERT_EQUAL(lock_pool(KVP_LOCK_EXCLUSIVE), 0);
		kvp_pool_unlock(&pool);
	}
	end();
}

/* POSIX locks would end here. */
static void our_locks_survive_a_stray_close_of_the_file(void)
{
	begin();
	CU_ASSERT_EQUAL_FATAL(lock_pool(KVP_LOCK_EXCLUSIVE), 0);
	close(open(path, O_RDWR | O_CLOEXEC));
	for (size_t i = 0; i < LOCKER_LOCKS; i++)
		CU_ASSERT_FALSE(locker_can_take(&other, kinds[i].theirs));
	kvp_pool_unlock(&pool);
	end();
}

static void two_pools_of_one_process_exclude_each_other(void)
{
	struct kvp_pool two;

	begin();
	CU_ASSERT_EQUAL_FATAL(kvp_pool_open(&two, path, 0), 0);
	CU_ASSERT_EQUAL_FATAL(lock_pool(KVP_LOCK_SHARED), 0);
	CU_ASSERT_EQUAL(lock_of(&two, KVP_LOCK_EXCLUSIVE), KVP_LOCKED);
	CU_ASSERT_EQUAL(lock_of(&two, KVP_LOCK_SHARED), 0);
	kvp_pool_unlock(&two);
	kvp_pool_unlock(&pool);
	CU_ASSERT_EQUAL(lock_of(&two, KVP_LOCK_EXCLUSIVE), 0);
	CU_ASSERT_EQUAL(lock_pool(KVP_LOCK_SHARED), KVP_LOCKED);
	kvp_pool_unlock(&two);
	kvp_pool_close(&two);
	end();
}

/* For programs that lock some bytes only, wherever these are. */
static void record_lock_covers_the_whole_file_and_what_is_behind(void)
{
	static const off_t places[] = { 0, 1, 2559, 2560, (off_t)1 << 40 };
	int fd;

	begin();
	fd = open(path, O_RDWR | O_CLOEXEC);
	CU_ASSERT_EQUAL_FATAL(lock_pool(KVP_LOCK_SHARED), 0);
	for (size_t i = 0; i < COUNT(places); i++) {
		struct flock byte = { .l_type = F_WRLCK,
				      .l_start = places[i],
				      .l_len = 1 };

		CU_ASSERT_EQUAL(fcntl(fd, F_OFD_SETLK, &byte), -1);
	}
	kvp_pool_unlock(&pool);
	close(fd);
	end();
}

static const struct check_case cases[] = {
	CHECK_CASE(lock_of_another_excludes_ours),
	CHECK_CASE(failed_lock_leaves_no_lock_behind),
	CHECK_CASE(our_lock_excludes_others),
	CHECK_CASE(locks_end_with_their_process),
	CHECK_CASE(our_locks_survive_a_stray_close_of_the_file),
	CHECK_CASE(two_pools_of_one_process_exclude_each_other),
	CHECK_CASE(record_lock_covers_the_whole_file_and_what_is_behind),
};

CHECK_MAIN("pool_locks", cases)
