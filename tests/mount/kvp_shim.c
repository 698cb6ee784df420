// SPDX-License-Identifier: MIT
/*
 * Loaded into hv_kvp_daemon by the tests (LD_PRELOAD), which then needs neither
 * Hyper-V nor root: its device is a socket, its directory of pools another one,
 * its log standard error, and no name is looked up in the network. What it does
 * with the pools is its own.
 *
 *	KVP_DEVICE	descriptor that stands for /dev/vmbus/hv_kvp
 *	KVP_POOLS	directory that stands for /var/lib/hyperv
 *	KVP_GATE	if set, a descriptor at which it stops: it sends 'l' before it
 *			asks for a lock and 'e' when it has emptied a pool, and goes
 *			on when it gets a byte
 */
#undef _FORTIFY_SOURCE /* its inline functions are those that are replaced here */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POOLS "/var/lib/hyperv"

struct path {
	char name[PATH_MAX];
};

static struct path moved(const char *name)
{
	size_t length = strlen(POOLS);
	struct path path;

	if (strncmp(name, POOLS, length) == 0)
		snprintf(path.name, sizeof(path.name), "%s%s",
			 getenv("KVP_POOLS"), name + length);
	else
		snprintf(path.name, sizeof(path.name), "%s", name);
	return path;
}

static void stop_at(char place)
{
	const char *gate = getenv("KVP_GATE");

	if (gate && (write(atoi(gate), &place, 1) != 1 ||
		     read(atoi(gate), &place, 1) != 1))
		_exit(EXIT_FAILURE);
}

int open(const char *name, int flags, ...)
{
	mode_t mode = 0;
	va_list more;

	if (strcmp(name, "/dev/vmbus/hv_kvp") == 0)
		return atoi(getenv("KVP_DEVICE"));
	if (flags & O_CREAT) {
		va_start(more, flags);
		mode = va_arg(more, mode_t);
		va_end(more);
	}
	return openat(AT_FDCWD, moved(name).name, flags, mode);
}

int access(const char *name, int mode)
{
	return faccessat(AT_FDCWD, moved(name).name, mode, 0);
}

FILE *fopen(const char *name, const char *mode)
{
	FILE *(*real)(const char *, const char *) = dlsym(RTLD_NEXT, "fopen");
	FILE *file = real(moved(name).name, mode);

	if (file && mode[0] == 'w')
		stop_at('e');
	return file;
}

int fcntl(int fd, int command, ...)
{
	int (*real)(int, int, ...) = dlsym(RTLD_NEXT, "fcntl");
	va_list more;
	void *argument;

	va_start(more, command);
	argument = va_arg(more, void *);
	va_end(more);
	if (command == F_SETLKW)
		stop_at('l');
	return real(fd, command, argument);
}

/* The names that a daemon built for large files calls. */
int open64(const char *name, int flags, ...) __attribute__((alias("open")));
FILE *fopen64(const char *name, const char *mode)
	__attribute__((alias("fopen")));
int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));

int getaddrinfo(const char *node, const char *service,
		const struct addrinfo *hints, struct addrinfo **found)
{
	(void)node;
	(void)service;
	(void)hints;
	(void)found;
	return EAI_NONAME;
}

void __syslog_chk(int priority, int flag, const char *format, ...);
void __syslog_chk(int priority, int flag, const char *format, ...)
{
	va_list more;

	(void)priority;
	(void)flag;
	va_start(more, format);
	vfprintf(stderr, format, more);
	va_end(more);
	fputc('\n', stderr);
}
