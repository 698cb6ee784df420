/* SPDX-License-Identifier: MIT */
/*
 * Makes the n-th system call on a file fail, or (those that touch its content) be
 * the last thing that the process does. For programs linked with
 *
 *	-Wl,--wrap=pread,--wrap=pwrite,--wrap=ftruncate
 *	-Wl,--wrap=pread64,--wrap=pwrite64,--wrap=ftruncate64
 *	-Wl,--wrap=fstat,--wrap=statx,--wrap=openat,--wrap=fcntl,--wrap=flock
 *	-Wl,--wrap=fstat64,--wrap=openat64,--wrap=fcntl64
 *
 *	-Wl,--wrap=inotify_init1
 *
 * (the 64s for 32-bit systems). While nothing is armed all is as usual. Unlocking
 * never fails.
 */
#ifndef FAIL_IO_H
#define FAIL_IO_H

#include <stdbool.h>
#include <stddef.h>

enum fail_how {
	FAIL_ERROR, /* fails with errnum, having done nothing */
	FAIL_EVERY, /* the same, and so do all later ones of its kind */
	FAIL_SHORT, /* does half of the work; the next of its kind fails */
	FAIL_INTERRUPTED, /* fails with EINTR once */
	FAIL_EOF,	  /* reads nothing, as if others had cut the file */
	FAIL_DIE,	  /* is done, and then the process is killed */
	FAIL_VANISH,	  /* as if the process had died at a page boundary of
			    * the file within this pwrite (at its start, for
			    * page 0, and for a ftruncate): what it does from
			    * there on seems to succeed, and changes nothing */
};

/* The size of the pages between which the kernel may cut a write. */
#define FAIL_PAGE 4096

enum fail_call {
	FAIL_PREAD = 1,
	FAIL_PWRITE = 2,
	FAIL_FTRUNCATE = 4,
	FAIL_ALL_CALLS = 7, /* on the content */
	FAIL_FSTAT = 8,
	FAIL_STATX = 16,
	FAIL_OPENAT = 32,
	FAIL_FCNTL = 64,
	FAIL_FLOCK = 128,
};

struct fail_plan {
	enum fail_how how;
	unsigned int calls; /* of enum fail_call: which ones count */
	unsigned int nth;   /* from 1 */
	int errnum;
	size_t page; /* FAIL_VANISH: which of its boundaries, from 1 */
};

void fail_io_arm(const struct fail_plan *plan);

enum fail_outcome {
	FAIL_MISSED, /* the n-th call did not come about */
	FAIL_HIT,
	FAIL_NO_PAGE, /* it did, but has not that many boundaries */
};

/* All is as usual again. */
enum fail_outcome fail_io_disarm(void);

/*
 * Whether there is inotify. Closing one takes the kernel milliseconds: too long for
 * thousands of stores to which it does not matter.
 */
void fail_io_inotify(bool is_there);

#endif
