/* SPDX-License-Identifier: MIT */
#include "util.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int kvp_pread_all(int fd, void *buf, size_t size, off_t offset,
		  size_t *ret_size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, (char *)buf + done, size - done,
				  offset + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*ret_size = done;
	return 0;
}

int kvp_pwrite_all(int fd, const void *buf, size_t size, off_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pwrite(fd, (const char *)buf + done, size - done,
				   offset + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		done += (size_t)n;
	}
	return 0;
}

int kvp_ftruncate(int fd, off_t size)
{
	while (ftruncate(fd, size) != 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int64_t kvp_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool kvp_parse_seconds(const char *text, double max, double *ret_seconds)
{
	char *end;
	double seconds = strtod(text, &end);

	/* strtod(3) takes more: white space, signs, "0x10", "infinity" */
	if (text[strspn(text, "0123456789.")] || end == text || *end ||
	    seconds > max)
		return false;
	*ret_seconds = seconds;
	return true;
}

void kvp_trim_memory(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

const char *kvp_fd_path(int fd, char path[KVP_FD_PATH_MAX])
{
	snprintf(path, KVP_FD_PATH_MAX, "/proc/self/fd/%d", fd);
	return path;
}

int kvp_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return -1;
}
