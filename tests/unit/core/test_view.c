/* SPDX-License-Identifier: MIT */
/* view.h: it shows a file as it is now, and a file that ends is no end of the program. */
#include "view.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "pool_file.h"

/* More than a page everywhere, and no whole number of pages. */
#define SIZE (3 * KVP_VIEW_ALIGN + 100)

static int file = -1;
static struct kvp_view view;

static void begin(void)
{
	char *content = malloc(SIZE);

	if (!content)
		abort();
	memset(content, 'x', SIZE);
	file = open(pool_file_path("file"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (file < 0 || pwrite(file, content, SIZE, 0) != (ssize_t)SIZE)
		abort();
	free(content);
}

static void end(void)
{
	kvp_view_close(&view);
	CU_ASSERT_PTR_NULL(view.bytes);
	close(file);
}

/* How many of the SIZE bytes at BYTES are C. */
static size_t count(const char *bytes, size_t size, char c)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++)
		n += bytes[i] == c;
	return n;
}

static void file_is_seen_as_it_is(void)
{
	const char *bytes;

	begin();
	CU_ASSERT_EQUAL(pwrite(file, "y", 1, KVP_VIEW_ALIGN + 1), 1);
	bytes = kvp_view_open(&view, file, (off_t)KVP_VIEW_ALIGN,
			      SIZE - KVP_VIEW_ALIGN);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	CU_ASSERT_EQUAL(count(bytes, SIZE - KVP_VIEW_ALIGN, 'x'),
			SIZE - KVP_VIEW_ALIGN - 1);
	CU_ASSERT_EQUAL(bytes[1], 'y');
	CU_ASSERT_EQUAL(pwrite(file, "z", 1, KVP_VIEW_ALIGN + 1), 1);
	CU_ASSERT_EQUAL(*(const volatile char *)&bytes[1], 'z');
	end();
}

static void what_is_cut_off_becomes_zeros(void)
{
	static const size_t sizes[] = { KVP_VIEW_ALIGN + 100, KVP_VIEW_ALIGN, 1,
					0 };
	const char *bytes;

	for (size_t i = 0; i < COUNT(sizes); i++) {
		begin();
		bytes = kvp_view_open(&view, file, 0, SIZE);
		CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
		CU_ASSERT_EQUAL(ftruncate(file, (off_t)sizes[i]), 0);
		CU_ASSERT_EQUAL(count(bytes, SIZE, 'x'), sizes[i]);
		CU_ASSERT_EQUAL(count(bytes, SIZE, '\0'), SIZE - sizes[i]);
		end();
	}
}

/* So it is with several pools: the older view is closed when the newer one is used. */
static void other_view_may_be_closed(void)
{
	struct kvp_view older;
	const char *bytes;

	begin();
	CU_ASSERT_PTR_NOT_NULL_FATAL(kvp_view_open(&older, file, 0, SIZE));
	bytes = kvp_view_open(&view, file, 0, SIZE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	kvp_view_close(&older);
	kvp_view_close(&older);
	CU_ASSERT_EQUAL(ftruncate(file, 0), 0);
	CU_ASSERT_EQUAL(count(bytes, SIZE, '\0'), SIZE);
	end();
}

static void what_cannot_be_seen_is_no_view(void)
{
	int ends[2];
	int unreadable;

	begin();
	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	unreadable = open(pool_file_path("file"), O_WRONLY | O_CLOEXEC);
	CU_ASSERT_PTR_NULL(kvp_view_open(&view, ends[0], 0, SIZE));
	CU_ASSERT_PTR_NULL(kvp_view_open(&view, unreadable, 0, SIZE));
	CU_ASSERT_PTR_NULL(kvp_view_open(&view, -1, 0, SIZE));
	close(ends[0]);
	close(ends[1]);
	close(unreadable);
	end();
}

/* Other bus errors */

static void touch_another_file(void)
{
	int other = open(pool_file_path("other"), O_RDWR | O_CREAT | O_CLOEXEC,
			 0600);
	const volatile char *bytes;

	if (other < 0 || ftruncate(other, 1) != 0)
		_exit(1);
	bytes = mmap(NULL, 1, PROT_READ, MAP_SHARED, other, 0);
	if (bytes == MAP_FAILED || ftruncate(other, 0) != 0)
		_exit(1);
	_exit(bytes[0]);
}

static void send_the_signal(void)
{
	raise(SIGBUS);
}

static void note_it(int signal_number)
{
	(void)signal_number;
	_exit(77);
}

static void are_handled_as_they_were(void (*make_one)(void), bool handled)
{
	const struct rlimit no_core = { 0 };
	int status = 0;
	pid_t child;

	begin();
	child = fork();
	if (child == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		/* sanitizers have a handler, too */
		signal(SIGBUS, handled ? note_it : SIG_DFL);
		if (kvp_view_open(&view, file, 0, SIZE))
			make_one();
		_exit(1);
	}
	CU_ASSERT_EQUAL_FATAL(waitpid(child, &status, 0), child);
	CU_ASSERT_TRUE(handled ? WIFEXITED(status) && WEXITSTATUS(status) == 77
			       : WIFSIGNALED(status) &&
					 WTERMSIG(status) == SIGBUS);
	end();
}

/* Programs are started with whatever signals blocked that their parents block. */
static void handler_is_called_though_the_signal_was_blocked(void)
{
	int status = 0;
	pid_t child;

	begin();
	child = fork();
	if (child == 0) {
		const struct rlimit no_core = { 0 };
		const char *bytes;
		sigset_t all;

		setrlimit(RLIMIT_CORE, &no_core);
		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, NULL);
		bytes = kvp_view_open(&view, file, 0, SIZE);
		if (!bytes || ftruncate(file, 0) != 0)
			_exit(1);
		_exit(count(bytes, SIZE, '\0') == SIZE ? 0 : 1);
	}
	CU_ASSERT_EQUAL_FATAL(waitpid(child, &status, 0), child);
	CU_ASSERT_EQUAL(status, 0);
	end();
}

/* Both must come first: a process has its handler from the first view on. */
static void other_bus_errors_are_what_they_were(void)
{
	are_handled_as_they_were(touch_another_file, false);
	are_handled_as_they_were(touch_another_file, true);
	are_handled_as_they_were(send_the_signal, false);
	are_handled_as_they_were(send_the_signal, true);
}

static const struct check_case cases[] = {
	CHECK_CASE(other_bus_errors_are_what_they_were),
	CHECK_CASE(handler_is_called_though_the_signal_was_blocked),
	CHECK_CASE(file_is_seen_as_it_is),
	CHECK_CASE(what_is_cut_off_becomes_zeros),
	CHECK_CASE(other_view_may_be_closed),
	CHECK_CASE(what_cannot_be_seen_is_no_view),
};

CHECK_MAIN("view", cases)
