/* SPDX-License-Identifier: MIT */
/*
 * pool_place.h, by way of the pool that is there: what a path means, symbolic links,
 * directories that move, what is kept out, and watches that are not to be had.
 *
 * To be linked with -Wl,--wrap=inotify_init1,--wrap=inotify_add_watch.
 */
#include "pool_place.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "pool.h"
#include "pool_file.h"
#include "result.h"

static bool no_inotify;

/* Watches that can still be had; -1: any number. */
static int watches_left = -1;

int __real_inotify_init1(int flags);
int __real_inotify_add_watch(int fd, const char *path, uint32_t mask);
int __wrap_inotify_init1(int flags);
int __wrap_inotify_add_watch(int fd, const char *path, uint32_t mask);

int __wrap_inotify_init1(int flags)
{
	if (!no_inotify)
		return __real_inotify_init1(flags);
	errno = EMFILE;
	return -1;
}

int __wrap_inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	if (watches_left == 0) {
		errno = ENOSPC;
		return -1;
	}
	watches_left -= watches_left > 0;
	return __real_inotify_add_watch(fd, path, mask);
}

static const char *one_record(void)
{
	struct pool_file content = { .exists = false };
	const char *path = pool_file_new("pool", NULL);

	pool_file_add_text(&content, "key", "value", 0);
	pool_file_store(&content, path);
	pool_file_release(&content);
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

/* Takes the lock, knows what is there, and gives it back. */
static void settle(struct kvp_pool *pool)
{
	CU_ASSERT_EQUAL_FATAL(lock_pool(pool, KVP_LOCK_SHARED), 0);
	kvp_pool_settle(pool, false, 0);
	kvp_pool_unlock(pool);
}

static bool is_readable(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) == 1;
}

/* A directory of the test's own. */
static char *make_directory(const char *name)
{
	char *directory = strdup(pool_file_path(name));

	CU_ASSERT_EQUAL_FATAL(mkdir(directory, 0755), 0);
	return directory;
}

static void remove_directory(char *directory)
{
	CU_ASSERT_EQUAL(rmdir(directory), 0);
	free(directory);
}

static void retarget(const char *link, const char *target)
{
	(void)unlink(link);
	CU_ASSERT_EQUAL_FATAL(symlink(target, link), 0);
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
	CU_ASSERT_EQUAL(strncmp(pool.place.path, directory, strlen(directory)),
			0);
	CU_ASSERT_STRING_EQUAL(pool.place.path + strlen(directory), "/pool");
	CU_ASSERT_STRING_EQUAL(pool.place.parent, directory);
	CU_ASSERT_STRING_EQUAL(pool.place.name, "pool");
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
	CU_ASSERT_EQUAL(kvp_pool_open(&pool, link, 0), KVP_UNTRUSTED_LINK);
	CU_ASSERT_EQUAL(chmod(directory, 0775), 0);
	CU_ASSERT_EQUAL(kvp_pool_open(&pool, link, 0), KVP_UNTRUSTED_LINK);
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

static void link_to_nothing_gets_its_file_where_it_leads(void)
{
	static const char *const targets[] = { "absent", "there/absent" };
	char *directory = make_directory("there");
	const char *link = pool_file_path("link");
	struct stat st;

	for (size_t i = 0; i < COUNT(targets); i++) {
		const char *target = pool_file_path(targets[i]);
		struct kvp_pool pool;

		retarget(link, targets[i]);
		open_pool(&pool, link);
		CU_ASSERT_FALSE(kvp_pool_exists(&pool));
		CU_ASSERT_TRUE(kvp_pool_is_writable(&pool));
		CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_CREATE), 0);
		CU_ASSERT_EQUAL(lstat(target, &st), 0);
		CU_ASSERT_EQUAL(st.st_ino, pool.st.st_ino);
		CU_ASSERT_EQUAL(lstat(link, &st), 0);
		CU_ASSERT_TRUE(S_ISLNK(st.st_mode));
		kvp_pool_unlock(&pool);
		kvp_pool_close(&pool);
		CU_ASSERT_EQUAL(unlink(target), 0);
	}
	CU_ASSERT_EQUAL(unlink(link), 0);
	remove_directory(directory);
}

/* No event of the file tells of that. */
static void link_that_leads_elsewhere_is_followed_there(void)
{
	const char *path = one_record();
	const char *other = pool_file_new("other",
					  &(struct pool_file){ .exists = 1 });
	const char *link = pool_file_path("link");
	struct kvp_pool pool;

	retarget(link, "pool");
	open_pool(&pool, link);
	settle(&pool);
	CU_ASSERT_NOT_EQUAL(pool.place.doubt, KVP_PLACE_SURE);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
	retarget(link, other);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	settle(&pool);
	CU_ASSERT_EQUAL(pool.st.st_size, 0);
	CU_ASSERT_EQUAL(unlink(link), 0);
	CU_ASSERT_EQUAL(rename(path, link), 0);
	settle(&pool);
	CU_ASSERT_EQUAL(pool.st.st_size, POOL_FILE_RECORD);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
	CU_ASSERT_EQUAL(pool.place.doubt, KVP_PLACE_SURE);
	kvp_pool_close(&pool);
	CU_ASSERT_EQUAL(unlink(link), 0);
}

static void place_is_sure_only_while_events_would_tell(void)
{
	const char *path = one_record();
	struct kvp_pool pool;

	for (int left = -1; left < 2; left++) {
		watches_left = left;
		open_pool(&pool, path);
		settle(&pool);
		CU_ASSERT_EQUAL(pool.place.doubt == KVP_PLACE_SURE, left < 0);
		watches_left = -1;
		kvp_pool_close(&pool);
	}
	open_pool(&pool, path);
	settle(&pool);
	CU_ASSERT_EQUAL(chmod(path, 0640), 0);
	settle(&pool);
	CU_ASSERT_EQUAL(pool.place.doubt, KVP_PLACE_ASK_NAME);
	pool.trust_at = 1; /* that was long ago */
	settle(&pool);
	CU_ASSERT_EQUAL(pool.place.doubt, KVP_PLACE_SURE);
	kvp_pool_close(&pool);
}

/* The pool is not made in a directory that has another path by now. */
static void directory_that_is_gone_gets_no_file(void)
{
	char *directory = make_directory("there");
	const char *away = pool_file_path("away");
	struct kvp_pool pool;

	open_pool(&pool, pool_file_path("there/pool"));
	CU_ASSERT_EQUAL(rename(directory, away), 0);
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_CREATE), -ENOENT);
	CU_ASSERT_FALSE(kvp_pool_is_writable(&pool));
	CU_ASSERT_EQUAL(access(pool_file_path("away/pool"), F_OK), -1);
	CU_ASSERT_EQUAL(rename(away, directory), 0);
	CU_ASSERT_EQUAL(lock_pool(&pool, KVP_LOCK_CREATE), 0);
	kvp_pool_unlock(&pool);
	CU_ASSERT_EQUAL(unlink(pool_file_path("there/pool")), 0);
	kvp_pool_close(&pool);
	remove_directory(directory);
}

/* A file system in which nothing else of the test lies. */
static bool find_another_file_system(const char *test,
				     struct kvp_keep_out *ret_keep_out)
{
	struct stat st;

	if (stat("/proc", &st) != 0) {
		printf("SKIP: %s: there is no /proc\n", test);
		return false;
	}
	*ret_keep_out = (struct kvp_keep_out){ .dev = st.st_dev };
	return true;
}

static void check_kept_out(struct kvp_pool *pool)
{
	CU_ASSERT_EQUAL(kvp_pool_changed(pool), KVP_OWN_MOUNT);
	CU_ASSERT_EQUAL(lock_pool(pool, KVP_LOCK_SHARED), KVP_OWN_MOUNT);
	CU_ASSERT_EQUAL(lock_pool(pool, KVP_LOCK_EXCLUSIVE), KVP_OWN_MOUNT);
	CU_ASSERT_EQUAL(lock_pool(pool, KVP_LOCK_CREATE), KVP_OWN_MOUNT);
}

static void link_into_what_is_kept_out_is_refused_until_it_leads_back(void)
{
	struct kvp_keep_out keep_out;
	const char *link = pool_file_path("link");
	struct kvp_pool pool;

	if (!find_another_file_system(__func__, &keep_out))
		return;
	one_record();
	retarget(link, "pool");
	open_pool(&pool, link);
	kvp_place_keep_out(&pool.place, &keep_out);
	settle(&pool);
	retarget(link, "/proc/uptime");
	check_kept_out(&pool);
	retarget(link, "/proc/no-such-file");
	check_kept_out(&pool);
	retarget(link, "pool");
	settle(&pool);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
	kvp_pool_close(&pool);
	CU_ASSERT_EQUAL(unlink(link), 0);
}

static void directory_that_becomes_a_link_into_it_is_refused(void)
{
	struct kvp_keep_out keep_out;
	char *directory = make_directory("there");
	const char *away = pool_file_path("away");
	struct kvp_pool pool;

	if (!find_another_file_system(__func__, &keep_out))
		return;
	open_pool(&pool, pool_file_path("there/pool"));
	kvp_place_keep_out(&pool.place, &keep_out);
	settle(&pool);
	CU_ASSERT_EQUAL(rename(directory, away), 0);
	CU_ASSERT_EQUAL(symlink("/proc", directory), 0);
	check_kept_out(&pool);
	CU_ASSERT_EQUAL(unlink(directory), 0);
	CU_ASSERT_EQUAL(rename(away, directory), 0);
	settle(&pool);
	kvp_pool_close(&pool);
	remove_directory(directory);
}

static void place_knows_what_its_path_leads_through(void)
{
	static const struct {
		const char *path;
		const char *directory;
		bool leads;
	} cases[] = {
		{ "there/pool", "there", true },
		{ "there/pool", ".", true },
		{ "there/pool", "/", true },
		{ "there/pool", "beside", false },
		{ "pool", "there", false },
		{ "link", "there", true }, /* to there/absent */
		{ "link", "beside", false },
	};
	char *directory = make_directory("there");
	char *beside = make_directory("beside");
	const char *link = pool_file_path("link");

	retarget(link, "there/absent");
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *name = cases[i].directory;
		struct kvp_place place;
		struct stat st;

		CU_ASSERT_EQUAL(stat(*name == '/' ? name : pool_file_path(name),
				     &st),
				0);
		CU_ASSERT_EQUAL_FATAL(
			kvp_place_init(&place, pool_file_path(cases[i].path),
				       true),
			0);
		CHECK_ROW(name,
			  kvp_place_leads_to(&place,
					     &(struct kvp_keep_out){
						     st.st_dev, st.st_ino }) ==
				  cases[i].leads);
		kvp_place_release(&place);
	}
	CU_ASSERT_EQUAL(unlink(link), 0);
	remove_directory(beside);
	remove_directory(directory);
}

/* A descriptor that is silent about something is worse than none. */
static void pool_is_watched_wholly_or_not_at_all(void)
{
	const char *path = one_record();
	struct kvp_pool pool;

	no_inotify = true;
	open_pool(&pool, path);
	CU_ASSERT_EQUAL(kvp_pool_watch(&pool, true), -1);
	kvp_pool_close(&pool);
	no_inotify = false;
	for (int left = 0; left < 2; left++) {
		watches_left = left; /* none; the directory's alone */
		open_pool(&pool, path);
		watches_left = left;
		CU_ASSERT_EQUAL(kvp_pool_watch(&pool, true), -1);
		watches_left = -1;
		CU_ASSERT_TRUE(kvp_pool_watch(&pool, true) >= 0);
		kvp_pool_close(&pool);
	}
	unlink(path);
	open_pool(&pool, path);
	CU_ASSERT_TRUE(kvp_pool_watch(&pool, true) >= 0);
	one_record();
	watches_left = 0;
	settle(&pool);
	CU_ASSERT_EQUAL(kvp_pool_watch(&pool, true), -1);
	watches_left = -1;
	kvp_pool_close(&pool);
}

static void file_without_a_watch_gets_one_with_the_next_lock(void)
{
	const char *path = one_record();
	struct kvp_pool pool;

	watches_left = 1;
	open_pool(&pool, path);
	settle(&pool);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	watches_left = -1;
	settle(&pool);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 0);
	kvp_pool_close(&pool);
}

/* What happened before there was a watch was not told of. */
static void watch_that_comes_late_makes_nothing_certain(void)
{
	const char *path = one_record();
	struct kvp_pool pool;

	watches_left = 1;
	open_pool(&pool, path);
	settle(&pool);
	watches_left = -1;
	CU_ASSERT_TRUE(kvp_pool_watch(&pool, true) >= 0);
	CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
	kvp_pool_close(&pool);
}

static void watch_tells_of_a_file_that_appears(void)
{
	static const char *const targets[] = { "pool", "absent",
					       "there/absent" };
	char *directory = make_directory("there");
	const char *link = pool_file_path("link");

	(void)unlink(pool_file_path("pool"));
	for (size_t i = 0; i < COUNT(targets); i++) {
		const char *target = pool_file_path(targets[i]);
		struct kvp_pool pool;
		int fd;

		if (i > 0)
			retarget(link, targets[i]);
		open_pool(&pool, i > 0 ? link : target);
		fd = kvp_pool_watch(&pool, true);
		settle(&pool);
		CU_ASSERT_FALSE(is_readable(fd));
		pool_file_store(&(struct pool_file){ .exists = true }, target);
		CHECK_ROW(targets[i], is_readable(fd));
		CU_ASSERT_EQUAL(kvp_pool_changed(&pool), 1);
		settle(&pool);
		CU_ASSERT_FALSE(is_readable(fd));
		CU_ASSERT_EQUAL(unlink(target), 0);
		CHECK_ROW(targets[i], is_readable(fd));
		settle(&pool);
		kvp_pool_watch(&pool, false);
		settle(&pool);
		pool_file_store(&(struct pool_file){ .exists = true }, target);
		CHECK_ROW(targets[i], !is_readable(fd));
		kvp_pool_close(&pool);
		CU_ASSERT_EQUAL(unlink(target), 0);
	}
	CU_ASSERT_EQUAL(unlink(link), 0);
	remove_directory(directory);
}

static const struct check_case cases[] = {
	CHECK_CASE(relative_path_is_resolved_when_opened),
	CHECK_CASE(symbolic_link_is_followed),
	CHECK_CASE(symbolic_link_that_others_may_have_made_is_not_followed),
	CHECK_CASE(link_to_nothing_gets_its_file_where_it_leads),
	CHECK_CASE(link_that_leads_elsewhere_is_followed_there),
	CHECK_CASE(place_is_sure_only_while_events_would_tell),
	CHECK_CASE(directory_that_is_gone_gets_no_file),
	CHECK_CASE(link_into_what_is_kept_out_is_refused_until_it_leads_back),
	CHECK_CASE(directory_that_becomes_a_link_into_it_is_refused),
	CHECK_CASE(place_knows_what_its_path_leads_through),
	CHECK_CASE(pool_is_watched_wholly_or_not_at_all),
	CHECK_CASE(file_without_a_watch_gets_one_with_the_next_lock),
	CHECK_CASE(watch_that_comes_late_makes_nothing_certain),
	CHECK_CASE(watch_tells_of_a_file_that_appears),
};

CHECK_MAIN("pool_place", cases)
