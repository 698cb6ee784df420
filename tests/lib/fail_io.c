/* SPDX-License-Identifier: MIT */
#include "fail_io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "wrapped.h"

ssize_t REAL(pread)(int fd, void *buf, size_t size, off_t offset);
ssize_t REAL(pwrite)(int fd, const void *buf, size_t size, off_t offset);
int REAL(ftruncate)(int fd, off_t size);
ssize_t WRAPPED(pread)(int fd, void *buf, size_t size, off_t offset);
ssize_t WRAPPED(pwrite)(int fd, const void *buf, size_t size, off_t offset);
int WRAPPED(ftruncate)(int fd, off_t size);
int REAL(fstat)(int fd, struct stat *st);
int WRAPPED(fstat)(int fd, struct stat *st);
int __real_statx(int fd, const char *path, int flags, unsigned int mask,
		 struct statx *stx);
int __wrap_statx(int fd, const char *path, int flags, unsigned int mask,
		 struct statx *stx);
int REAL(__fxstat)(int version, int fd, struct stat *st);
int WRAPPED(__fxstat)(int version, int fd, struct stat *st);
int REAL(openat)(int fd, const char *path, int flags, ...);
int WRAPPED(openat)(int fd, const char *path, int flags, ...);
int REAL(fcntl)(int fd, int command, ...);
int WRAPPED(fcntl)(int fd, int command, ...);
int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);
int __real_inotify_init1(int flags);
int __wrap_inotify_init1(int flags);

static struct fail_plan plan;
static bool armed;
static bool vanished;
static unsigned int seen;
static enum fail_outcome outcome;
static unsigned int failing; /* calls that fail from now on */

enum verdict { GO_ON, FAIL, SHORT, END, DIE, VANISH };

void fail_io_arm(const struct fail_plan *new_plan)
{
	plan = *new_plan;
	armed = true;
	seen = 0;
	outcome = FAIL_MISSED;
	vanished = false;
	failing = 0;
}

enum fail_outcome fail_io_disarm(void)
{
	armed = false;
	return outcome;
}

static enum verdict hit_by_plan(unsigned int call)
{
	switch (plan.how) {
	case FAIL_EVERY:
		failing = call;
		return FAIL;
	case FAIL_ERROR:
	case FAIL_INTERRUPTED:
		return FAIL;
	case FAIL_SHORT:
		if (call == FAIL_FTRUNCATE)
			return FAIL;
		failing = call;
		return SHORT;
	case FAIL_EOF:
		return END;
	case FAIL_DIE:
		return DIE;
	case FAIL_VANISH:
		return VANISH;
	}
	return GO_ON;
}

static enum verdict judge(unsigned int call)
{
	if (!armed)
		return GO_ON;
	if (vanished)
		return call & (FAIL_PWRITE | FAIL_FTRUNCATE) ? VANISH : GO_ON;
	if (failing & call) {
		if (plan.how == FAIL_SHORT)
			failing = 0;
		return FAIL;
	}
	if (!(plan.calls & call) || ++seen != plan.nth)
		return GO_ON;
	outcome = FAIL_HIT;
	return hit_by_plan(call);
}

static ssize_t fail(void)
{
	errno = plan.how == FAIL_INTERRUPTED ? EINTR : plan.errnum;
	return -1;
}

/* The kernel cuts between pages or blocks; none of these is smaller than 512. */
static size_t half_of(size_t size, off_t offset)
{
	size_t end = ((size_t)offset + size / 2) / 512 * 512;

	return end > (size_t)offset ? end - (size_t)offset : size;
}

ssize_t WRAPPED(pread)(int fd, void *buf, size_t size, off_t offset)
{
	enum verdict verdict = judge(FAIL_PREAD);
	ssize_t done;

	if (verdict == FAIL)
		return fail();
	if (verdict == END)
		return 0;
	if (verdict == SHORT)
		size = half_of(size, offset);
	done = REAL(pread)(fd, buf, size, offset);
	if (verdict == SHORT && done == 0)
		return fail(); /* at the end of the file nobody asks again */
	if (verdict == DIE)
		raise(SIGKILL);
	return done;
}

/* Writes what comes before the boundary that the plan names, if there is one. */
static ssize_t vanish_at_page(int fd, const void *buf, size_t size,
			      off_t offset)
{
	size_t start = (size_t)offset;
	size_t end = plan.page ? (start / FAIL_PAGE + plan.page) * FAIL_PAGE
			       : start;

	if (vanished)
		return (ssize_t)size;
	if (end >= start + size) {
		outcome = FAIL_NO_PAGE;
		return REAL(pwrite)(fd, buf, size, offset);
	}
	vanished = true;
	if (end > start && REAL(pwrite)(fd, buf, end - start, offset) < 0)
		return -1;
	return (ssize_t)size;
}

ssize_t WRAPPED(pwrite)(int fd, const void *buf, size_t size, off_t offset)
{
	enum verdict verdict = judge(FAIL_PWRITE);
	ssize_t done;

	if (verdict == FAIL)
		return fail();
	if (verdict == VANISH)
		return vanish_at_page(fd, buf, size, offset);
	if (verdict == SHORT)
		size = half_of(size, offset);
	done = REAL(pwrite)(fd, buf, size, offset);
	if (verdict == DIE)
		raise(SIGKILL);
	return done;
}

int WRAPPED(ftruncate)(int fd, off_t size)
{
	enum verdict verdict = judge(FAIL_FTRUNCATE);
	int result;

	if (verdict == FAIL)
		return (int)fail();
	if (verdict == VANISH) {
		vanished = true;
		return 0;
	}
	result = REAL(ftruncate)(fd, size);
	if (verdict == DIE)
		raise(SIGKILL);
	return result;
}

int WRAPPED(fstat)(int fd, struct stat *st)
{
	if (judge(FAIL_FSTAT) == FAIL)
		return (int)fail();
	return REAL(fstat)(fd, st);
}

int __wrap_statx(int fd, const char *path, int flags, unsigned int mask,
		 struct statx *stx)
{
	if (judge(FAIL_STATX) == FAIL)
		return (int)fail();
	return __real_statx(fd, path, flags, mask, stx);
}

/* What glibc before 2.33 has in place of fstat. */
int WRAPPED(__fxstat)(int version, int fd, struct stat *st)
{
	if (judge(FAIL_FSTAT) == FAIL)
		return (int)fail();
	return REAL(__fxstat)(version, fd, st);
}

int WRAPPED(openat)(int fd, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	if (flags & O_CREAT) {
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	if (judge(FAIL_OPENAT) == FAIL)
		return (int)fail();
	return REAL(openat)(fd, path, flags, mode);
}

int WRAPPED(fcntl)(int fd, int command, ...)
{
	const struct flock *lock;
	va_list args;
	void *arg;

	va_start(args, command);
	arg = va_arg(args, void *);
	va_end(args);
	lock = command == F_OFD_SETLK ? arg : NULL;
	if (lock && lock->l_type != F_UNLCK && judge(FAIL_FCNTL) == FAIL)
		return (int)fail();
	return REAL(fcntl)(fd, command, arg);
}

int __wrap_flock(int fd, int operation)
{
	if (operation != LOCK_UN && judge(FAIL_FLOCK) == FAIL)
		return (int)fail();
	return __real_flock(fd, operation);
}

static bool no_inotify;

void fail_io_inotify(bool is_there)
{
	no_inotify = !is_there;
}

int __wrap_inotify_init1(int flags)
{
	if (!no_inotify)
		return __real_inotify_init1(flags);
	errno = EMFILE;
	return -1;
}
