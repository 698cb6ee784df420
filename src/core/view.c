/* SPDX-License-Identifier: MIT */
#include "view.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* The view that was opened last, for the handler. */
static const struct kvp_view *volatile last;

/* What SIGBUS did before. */
static struct sigaction before;
static bool is_handled;
static size_t page_size;

/* Puts a page of zeros at ADDRESS, where the file has ended. False: not in the view. */
static bool fill(const void *address)
{
	const struct kvp_view *view = last;
	uintptr_t start = view ? (uintptr_t)view->bytes : 0;
	uintptr_t at = (uintptr_t)address;
	char *page;

	if (!view || at < start || at - start >= view->size)
		return false;
	page = (char *)view->bytes + (at - start) / page_size * page_size;
	/* mmap(2) is a plain system call in Linux, so handlers may make it */
	return mmap(page, page_size, PROT_READ,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		    0) != MAP_FAILED;
}

static void take_bus_error(int signal_number, siginfo_t *info, void *context)
{
	(void)context;
	/* others may send the signal, too */
	if (info->si_code > 0 && fill(info->si_addr))
		return;
	sigaction(signal_number, &before, NULL);
	is_handled = false;
	raise(signal_number);
}

static void handle_bus_errors(void)
{
	struct sigaction action = { .sa_sigaction = take_bus_error,
				    .sa_flags = SA_SIGINFO };
	sigset_t bus_errors;

	if (is_handled)
		return;
	page_size = (size_t)sysconf(_SC_PAGESIZE);
	is_handled = true;
	sigaction(SIGBUS, &action, &before);
	/* blocked, as a program may be started, it would end the program all the same */
	sigemptyset(&bus_errors);
	sigaddset(&bus_errors, SIGBUS);
	sigprocmask(SIG_UNBLOCK, &bus_errors, NULL);
}

const void *kvp_view_open(struct kvp_view *view, int file, off_t offset,
			  size_t size)
{
	void *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, file, offset);

	if (bytes == MAP_FAILED)
		return NULL;
	handle_bus_errors();
	*view = (struct kvp_view){ bytes, size };
	last = view;
	return bytes;
}

void kvp_view_close(struct kvp_view *view)
{
	if (!view->bytes)
		return;
	if (last == view)
		last = NULL;
	munmap(view->bytes, view->size);
	*view = (struct kvp_view){ 0 };
}
