/* SPDX-License-Identifier: MIT */
/*
 * Leaf helpers: clean-up at the end of a scope, and the loops that system calls
 * need around them. They know nothing of pools.
 */
#ifndef KVP_UTIL_H
#define KVP_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>

/* Declares a heap pointer that is freed at the end of its scope. */
#define kvp_autofree __attribute__((cleanup(kvp_free_pointer)))

static inline void kvp_free_pointer(void *place)
{
	free(*(void **)place);
}

/*
 * pread(2) and pwrite(2) until all is done; -errno. A read ends early at the end
 * of the file; a write that fails may have written a part.
 */
int kvp_pread_all(int fd, void *buf, size_t size, off_t offset,
		  size_t *ret_size);
int kvp_pwrite_all(int fd, const void *buf, size_t size, off_t offset);

/* ftruncate(2) that is not interrupted; -errno. */
int kvp_ftruncate(int fd, off_t size);

static inline bool kvp_same_time(const struct timespec *a,
				 const struct timespec *b)
{
	return a->tv_nsec == b->tv_nsec && a->tv_sec == b->tv_sec;
}

/* A is after B. */
static inline bool kvp_is_later(const struct timespec *a,
				const struct timespec *b)
{
	return a->tv_sec > b->tv_sec ||
	       (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

/* Milliseconds on a clock that never jumps. */
int64_t kvp_now_ms(void);

/*
 * Whether TEXT is a number of seconds from 0 to MAX, perhaps with a fraction, and
 * nothing else.
 */
bool kvp_parse_seconds(const char *text, double max, double *ret_seconds);

/* Gives freed memory back: malloc(3) by itself keeps what lies below something in use. */
void kvp_trim_memory(void);

/* Writes to PATH a path of the file that FD is open on. It needs /proc. */
#define KVP_FD_PATH_MAX (sizeof("/proc/self/fd/") + 3 * sizeof(int))
const char *kvp_fd_path(int fd, char path[KVP_FD_PATH_MAX]);

/* close(2) if FD is open, keeping errno; returns -1, to be put into FD. */
int kvp_close(int fd);

#endif
