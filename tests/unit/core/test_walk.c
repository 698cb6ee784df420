/* SPDX-License-Identifier: MIT */
/*
 * walk.h: what a path leads to, which symbolic links are followed, and what is not
 * entered. That nobody is asked for what is kept out is for tests/mount/own_mount.py.
 */
#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "pool_file.h"
#include "result.h"

static const struct kvp_keep_out nothing;

/* One tree for all: d/e/f, a file, and links; L stands for the directory itself. */
static const struct {
	const char *name;
	const char *target; /* of a link; NULL: a directory; "": a file */
} tree[] = {
	{ "d", NULL },
	{ "d/e", NULL },
	{ "d/e/file", "" },
	{ "to-file", "d/e/file" },
	{ "to-link", "to-file" },
	{ "to-dir", "d/e" },
	{ "to-dir-slash", "d//e/" },
	{ "d/up", "../d/e/../../to-dir" },
	{ "d/to-absent", "e/absent" },
	{ "to-nowhere", "no/such" },
	{ "to-self", "to-self" },
	{ "two-1", "two-2" },
	{ "two-2", "two-1" },
	{ "to-root", "/" },
};

static int directory = -1;

static void make_tree(void)
{
	for (size_t i = 0; i < COUNT(tree); i++) {
		const char *path = pool_file_path(tree[i].name);
		int r;

		if (!tree[i].target)
			r = mkdir(path, 0755);
		else if (!*tree[i].target)
			r = close(open(path, O_WRONLY | O_CREAT, 0600));
		else
			r = symlink(tree[i].target, path);
		if (r)
			abort();
	}
	directory = open(check_directory(), O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void remove_tree(void)
{
	close(directory);
	for (size_t i = COUNT(tree); i-- > 0;)
		(void)remove(pool_file_path(tree[i].name));
}

static bool is_same(int fd, const char *name)
{
	struct stat a;
	struct stat b;

	return fstat(fd, &a) == 0 && stat(pool_file_path(name), &b) == 0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static int walk_and_release(const char *path,
			    const struct kvp_keep_out *keep_out)
{
	struct kvp_found found;
	int r = kvp_walk(directory, path, keep_out, &found);

	if (r == 0)
		kvp_found_release(&found);
	return r;
}

static void path_is_followed_to_its_end(void)
{
	static const struct {
		const char *path;
		const char *object; /* NULL: there is none */
		const char *parent; /* NULL: where the walk began */
		const char *name;
		bool by_link;
	} cases[] = {
		{ "d", "d", NULL, "d", false },
		{ "absent", NULL, NULL, "absent", false },
		{ "d/e/file", "d/e/file", "d/e", "file", false },
		{ "d//e///file", "d/e/file", "d/e", "file", false },
		{ "./d/./e/../e/file", "d/e/file", "d/e", "file", false },
		{ "d/e/absent", NULL, "d/e", "absent", false },
		{ "d/e/", "d/e", "d", "e", false },
		{ "to-file", "d/e/file", "d/e", "file", true },
		{ "to-link", "d/e/file", "d/e", "file", true },
		{ "to-dir/file", "d/e/file", "d/e", "file", true },
		{ "to-dir-slash/file", "d/e/file", "d/e", "file", true },
		{ "to-dir-slash", "d/e", "d", "e", true },
		{ "d/up/file", "d/e/file", "d/e", "file", true },
		{ "d/to-absent", NULL, "d/e", "absent", true },
	};

	make_tree();
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *row = cases[i].path;
		struct kvp_found found = { .directory = -1 };

		CHECK_ROW(row, kvp_walk(directory, cases[i].path, &nothing,
					&found) == 0);
		CHECK_ROW(row, cases[i].object
				       ? is_same(found.object, cases[i].object)
				       : found.object == -1);
		CHECK_ROW(row, cases[i].parent ? is_same(found.directory,
							 cases[i].parent)
					       : found.directory == -1);
		CHECK_ROW(row, strcmp(found.name, cases[i].name) == 0);
		CHECK_ROW(row, found.by_link == cases[i].by_link);
		kvp_found_release(&found);
	}
	remove_tree();
}

static void absolute_path_begins_at_the_root(void)
{
	char path[300];
	struct kvp_found found;

	make_tree();
	snprintf(path, sizeof(path), "%s/d/e/file", check_directory());
	CU_ASSERT_EQUAL_FATAL(kvp_walk(-1, path, &nothing, &found), 0);
	CU_ASSERT_TRUE(is_same(found.object, "d/e/file"));
	kvp_found_release(&found);
	snprintf(path, sizeof(path), "to-root%s/d/e", check_directory());
	CU_ASSERT_EQUAL_FATAL(kvp_walk(directory, path, &nothing, &found), 0);
	CU_ASSERT_TRUE(is_same(found.object, "d/e"));
	kvp_found_release(&found);
	CU_ASSERT_EQUAL_FATAL(kvp_walk(-1, "/", &nothing, &found), 0);
	CU_ASSERT_TRUE(is_same(found.object, "to-root"));
	kvp_found_release(&found);
	remove_tree();
}

static void path_that_cannot_be_followed_is_refused(void)
{
	char *long_name = malloc(NAME_MAX + 2);
	const struct {
		const char *path;
		int result;
	} cases[] = {
		{ "absent/file", -ENOENT }, { "to-nowhere", -ENOENT },
		{ "d/e/file/x", -ENOTDIR }, { "to-file/x", -ENOTDIR },
		{ "to-self", -ELOOP },	    { "to-self/x", -ELOOP },
		{ "two-1", -ELOOP },	    { long_name, -ENAMETOOLONG },
	};

	memset(long_name, 'x', NAME_MAX + 1);
	long_name[NAME_MAX + 1] = '\0';
	make_tree();
	for (size_t i = 0; i < COUNT(cases); i++)
		CHECK_ROW(cases[i].path,
			  walk_and_release(cases[i].path, &nothing) ==
				  cases[i].result);
	remove_tree();
	free(long_name);
}

static void as_many_links_are_followed_as_the_kernel_follows(void)
{
	char name[16];
	char target[16] = "d";

	make_tree();
	for (int i = 1; i <= 41; i++) {
		struct stat st;
		int r;

		snprintf(name, sizeof(name), "chain-%d", i);
		CU_ASSERT_EQUAL(symlinkat(target, directory, name), 0);
		r = fstatat(directory, name, &st, 0) == 0 ? 0 : -errno;
		CHECK_ROW(name, walk_and_release(name, &nothing) == r);
		CHECK_ROW(name, r == (i <= 40 ? 0 : -ELOOP));
		memcpy(target, name, sizeof(name));
	}
	for (int i = 1; i <= 41; i++) {
		snprintf(name, sizeof(name), "chain-%d", i);
		unlinkat(directory, name, 0);
	}
	remove_tree();
}

/* Whichever part of the way a link is, and whatever it leads to. */
static void link_that_others_may_have_made_is_not_followed(void)
{
	static const struct {
		const char *path;
		const char *shared; /* the directory that others may write to */
		int result;
	} cases[] = {
		{ "d/up/file", "d", KVP_UNTRUSTED_LINK },
		{ "d/to-absent", "d", KVP_UNTRUSTED_LINK },
		{ "d/e/file", "d", 0 },
		{ "to-dir/file", "d", 0 },
		{ "to-file", "d/e", 0 },
	};

	make_tree();
	for (size_t i = 0; i < COUNT(cases) * 2; i++) {
		const char *path = cases[i / 2].path;
		const char *shared = pool_file_path(cases[i / 2].shared);

		CU_ASSERT_EQUAL(chmod(shared, i % 2 ? 0775 : 01757), 0);
		CHECK_ROW(path, walk_and_release(path, &nothing) ==
					cases[i / 2].result);
		CU_ASSERT_EQUAL(chmod(shared, 0755), 0);
	}
	remove_tree();
}

static void directory_that_is_kept_out_is_not_entered(void)
{
	static const struct {
		const char *path;
		int result;
	} cases[] = {
		{ "d", 0 },
		{ "to-file", KVP_OWN_MOUNT },
		{ "d/e", KVP_OWN_MOUNT },
		{ "d/e/file", KVP_OWN_MOUNT },
		{ "d/e/absent", KVP_OWN_MOUNT },
		{ "d/e/../x", KVP_OWN_MOUNT },
		{ "d/to-absent", KVP_OWN_MOUNT },
		{ "to-dir", KVP_OWN_MOUNT },
		{ "d/x", 0 },
		{ "to-nowhere", -ENOENT },
	};
	struct stat st;

	make_tree();
	CU_ASSERT_EQUAL(stat(pool_file_path("d/e"), &st), 0);
	for (size_t i = 0; i < COUNT(cases); i++)
		CHECK_ROW(cases[i].path,
			  walk_and_release(cases[i].path,
					   &(struct kvp_keep_out){
						   st.st_dev, st.st_ino }) ==
				  cases[i].result);
	remove_tree();
}

static void file_system_that_is_kept_out_is_not_entered(void)
{
	struct kvp_keep_out keep_out = { 0 };
	struct stat proc;

	if (stat("/proc/self", &proc) != 0) {
		printf("SKIP: %s: there is no /proc\n", __func__);
		return;
	}
	make_tree();
	keep_out.dev = proc.st_dev;
	CU_ASSERT_EQUAL(symlink("/proc/self", pool_file_path("to-proc")), 0);
	CU_ASSERT_EQUAL(walk_and_release("/proc", &keep_out), KVP_OWN_MOUNT);
	CU_ASSERT_EQUAL(walk_and_release("/proc/x", &keep_out), KVP_OWN_MOUNT);
	CU_ASSERT_EQUAL(walk_and_release("to-proc", &keep_out), KVP_OWN_MOUNT);
	CU_ASSERT_EQUAL(walk_and_release("to-proc", &nothing), 0);
	CU_ASSERT_EQUAL(walk_and_release("d/e/file", &keep_out), 0);
	CU_ASSERT_EQUAL(unlink(pool_file_path("to-proc")), 0);
	remove_tree();
}

static void walking_leaves_no_descriptor_open(void)
{
	int before;
	int after;

	make_tree();
	before = dup(directory);
	close(before);
	for (size_t i = 0; i < COUNT(tree); i++)
		walk_and_release(tree[i].name, &nothing);
	walk_and_release("d/e/file/x", &nothing);
	walk_and_release("to-dir/file", &nothing);
	after = dup(directory);
	close(after);
	CU_ASSERT_EQUAL(after, before);
	remove_tree();
}

static const struct check_case cases[] = {
	CHECK_CASE(path_is_followed_to_its_end),
	CHECK_CASE(absolute_path_begins_at_the_root),
	CHECK_CASE(path_that_cannot_be_followed_is_refused),
	CHECK_CASE(as_many_links_are_followed_as_the_kernel_follows),
	CHECK_CASE(link_that_others_may_have_made_is_not_followed),
	CHECK_CASE(directory_that_is_kept_out_is_not_entered),
	CHECK_CASE(file_system_that_is_kept_out_is_not_entered),
	CHECK_CASE(walking_leaves_no_descriptor_open),
};

CHECK_MAIN("walk", cases)
