// SPDX-License-Identifier: MIT
/*
 * Loaded into kvpfs by retries.py (LD_PRELOAD): lets chosen tries of the pool's lock
 * find it taken, as if another program had it for just that moment. LOCK_TRIES names
 * a file that both share, see struct tries. Giving a lock back never fails.
 */
#undef _FORTIFY_SOURCE
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

struct tries {
	uint64_t count;	 /* since the test has set it to 0 */
	uint64_t first;	 /* the try that fails; 0: none */
	uint64_t second; /* and another one */
	uint64_t failed; /* how many did */
};

static struct tries *tries;

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("LOCK_TRIES");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	tries = mmap(NULL, sizeof(*tries), PROT_READ | PROT_WRITE, MAP_SHARED,
		     fd, 0);
	if (tries == MAP_FAILED)
		abort();
	close(fd);
}

static int fails(void)
{
	if (!tries)
		return 0;
	tries->count++;
	if (tries->count != tries->first && tries->count != tries->second)
		return 0;
	tries->failed++;
	return 1;
}

int flock(int fd, int operation)
{
	int (*real)(int, int) = dlsym(RTLD_NEXT, "flock");

	if (!(operation & LOCK_UN) && fails()) {
		errno = EWOULDBLOCK;
		return -1;
	}
	return real(fd, operation);
}

int fcntl(int fd, int command, ...)
{
	int (*real)(int, int, ...) = dlsym(RTLD_NEXT, "fcntl");
	va_list more;
	void *argument;

	va_start(more, command);
	argument = va_arg(more, void *);
	va_end(more);
	if (command == F_OFD_SETLK &&
	    ((struct flock *)argument)->l_type != F_UNLCK && fails()) {
		errno = EAGAIN;
		return -1;
	}
	return real(fd, command, argument);
}

/* What programs built for large files call. */
int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));
