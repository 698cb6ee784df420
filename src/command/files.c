/* SPDX-License-Identifier: MIT */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "message.h"
#include "pool.h"
#include "util.h"

static bool is_standard(const char *path)
{
	return !path || strcmp(path, "-") == 0;
}

static int fail(const char *what, const char *path, int errnum)
{
	if (is_standard(path))
		cmd_message("cannot %s standard %s: %s", what,
			    what[0] == 'r' ? "input" : "output",
			    strerror(errnum));
	else
		cmd_message("cannot %s \"%s\": %s", what, path,
			    strerror(errnum));
	return CMD_FAILED;
}

/* Makes room behind SIZE bytes; 0 or an errno. */
static int grow(char **data, size_t size, size_t *capacity)
{
	char *more;

	if (size < *capacity)
		return 0;
	if (size > (size_t)KVP_POOL_MAX_BYTES)
		return EFBIG;
	*capacity = size ? size * 2 : 4096;
	more = realloc(*data, *capacity);
	if (!more)
		return ENOMEM;
	*data = more;
	return 0;
}

/* To the end, or until there are LIMIT bytes or a few more. 0 or an errno. */
static int read_all(int fd, char **data, size_t *size, size_t limit)
{
	size_t capacity = 0;
	ssize_t n = 1;
	int errnum = 0;

	while (n != 0 && *size < limit) {
		errnum = grow(data, *size, &capacity);
		if (errnum)
			return errnum;
		n = read(fd, *data + *size, capacity - *size);
		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0)
			*size += (size_t)n;
	}
	return 0;
}

int cmd_read_file(const char *path, size_t limit, struct kvp_bytes *ret_bytes)
{
	int fd = is_standard(path) ? STDIN_FILENO
				   : open(path, O_RDONLY | O_CLOEXEC);
	char *data = NULL;
	size_t size = 0;
	int errnum;

	errnum = fd < 0 ? errno : read_all(fd, &data, &size, limit);
	if (fd != STDIN_FILENO)
		kvp_close(fd);
	if (errnum) {
		free(data);
		return fail("read", path, errnum);
	}
	*ret_bytes = (struct kvp_bytes){ data, size };
	return CMD_DONE;
}

static bool is_same_file(int fd, const char *path)
{
	struct stat a;
	struct stat b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* Makes room for SIZE bytes; what the file holds stays. 0 or an errno. */
static int reserve(int fd, off_t size)
{
	struct stat st;
	int errnum;

	if (fstat(fd, &st) != 0)
		return errno;
	if (!S_ISREG(st.st_mode) || size <= st.st_size)
		return 0;
	errnum = posix_fallocate(fd, 0, size);
	if (errnum == EOPNOTSUPP || errnum == EINVAL)
		return 0;
	if (errnum)
		(void)!ftruncate(fd, st.st_size);
	return errnum;
}

/*
 * 0 or an errno. A file is not truncated by open(2), as it may be the pool itself, nor
 * before there is room: it may be the only backup.
 */
static int write_new(int fd, struct kvp_bytes bytes)
{
	const off_t size = (off_t)bytes.len;
	int errnum = reserve(fd, size);

	if (errnum)
		return errnum;
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.data, bytes.len);

		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0) {
			bytes.data += n;
			bytes.len -= (size_t)n;
		}
	}
	if (ftruncate(fd, size) != 0 && errno != EINVAL) /* no regular file */
		return errno;
	return 0;
}

/* Opens the file at PATH, or makes it; -1: errno tells. */
static int open_new(const char *path, bool *ret_made)
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY;
	int fd = open(path, flags | O_EXCL, 0600);

	*ret_made = fd >= 0;
	return fd < 0 && errno == EEXIST ? open(path, flags, 0600) : fd;
}

int cmd_write_file(const char *path, const char *avoid, struct kvp_bytes bytes)
{
	bool is_made;
	int errnum;
	int fd;

	if (is_standard(path)) {
		fwrite(bytes.data, 1, bytes.len, stdout);
		return CMD_DONE; /* cmd_flush tells */
	}
	fd = open_new(path, &is_made);
	if (fd < 0)
		return fail("write", path, errno);
	if (is_same_file(fd, avoid)) {
		kvp_close(fd);
		cmd_message("cannot write \"%s\": it is the pool itself", path);
		return CMD_FAILED;
	}
	errnum = write_new(fd, bytes);
	if (close(fd) != 0 && errnum == 0)
		errnum = errno;
	if (errnum && is_made)
		unlink(path);
	return errnum ? fail("write", path, errnum) : CMD_DONE;
}
