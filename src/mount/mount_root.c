/* SPDX-License-Identifier: MIT */
#include "mount_root.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util.h"

/* linux/mount.h has these, where it is new enough. */
#ifdef SYS_open_tree
#define TREE_CLONE 1
#define TREE_CLOEXEC O_CLOEXEC
#endif

#define MOUNTS "/proc/self/mountinfo"

int kvpfs_mount_root_init(struct kvpfs_mount_root *root, const char *mountpoint,
			  dev_t device)
{
	*root = (struct kvpfs_mount_root){
		.device = device,
		.path = strdup(mountpoint),
		.table = open(MOUNTS, O_RDONLY | O_CLOEXEC),
		.fd = -1,
	};
	return root->path ? 0 : -ENOMEM;
}

/* Whether FD is in the mount. This makes no request. */
static bool is_of_mount(const struct kvpfs_mount_root *root, int fd)
{
	struct statx stx;

	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &stx) ==
		       0 &&
	       makedev(stx.stx_dev_major, stx.stx_dev_minor) == root->device;
}

bool kvpfs_mount_root_is_for_now(int errnum)
{
	return errnum == ENOMEM || errnum == ENFILE || errnum == EMFILE;
}

/*
 * Makes a mount of our own of what is at the mountpoint: files that are open in it do not
 * keep umount(8) from the other. It needs privileges; -1: there is none.
 */
static int clone_mountpoint(const struct kvpfs_mount_root *root)
{
#ifdef SYS_open_tree
	return (int)syscall(SYS_open_tree, AT_FDCWD, root->path,
			    TREE_CLONE | TREE_CLOEXEC);
#else
	(void)root;
	return -1;
#endif
}

/* Opens the mount's root; false: it is not at root->path. */
static bool open_mountpoint(struct kvpfs_mount_root *root)
{
	int fd = open(root->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int clone;

	if (fd < 0)
		return false;
	if (!is_of_mount(root, fd)) {
		close(fd);
		errno = ENOENT;
		return false;
	}
	clone = clone_mountpoint(root);
	root->is_apart = clone >= 0 && is_of_mount(root, clone);
	root->fd = root->is_apart ? clone : fd;
	kvp_close(root->is_apart ? fd : clone);
	return true;
}

/* mountinfo writes white space and backslashes as three octal digits. */
static void unescape(char *path)
{
	char *to = path;

	for (const char *from = path; *from; to++) {
		if (from[0] == '\\' && from[1] && from[2] && from[3]) {
			*to = (char)((from[1] - '0') * 64 +
				     (from[2] - '0') * 8 + (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/* Opens the root of a mount that was moved or covered, where that is mounted now. */
static bool find_mount(struct kvpfs_mount_root *root)
{
	FILE *file = fopen(MOUNTS, "re");
	kvp_autofree char *line = NULL;
	unsigned int dev_major;
	unsigned int dev_minor;
	bool found = false;
	size_t size = 0;
	int errnum;
	int at;

	if (!file)
		return false;
	errno = 0;
	while (!found && !kvpfs_mount_root_is_for_now(errno) &&
	       getline(&line, &size, file) > 0) {
		char *path;
		char *rest_of_line;

		/* NOLINTNEXTLINE(cert-err34-c): the kernel writes numbers that fit */
		if (sscanf(line, "%*d %*d %u:%u / %n", &dev_major, &dev_minor,
			   &at) != 2 ||
		    makedev(dev_major, dev_minor) != root->device)
			continue;
		path = strtok_r(line + at, " ", &rest_of_line);
		path = path ? strdup(path) : NULL;
		if (!path)
			continue;
		unescape(path);
		free(root->path);
		root->path = path;
		found = open_mountpoint(root);
	}
	errnum = errno;
	(void)fclose(file);
	errno = errnum;
	return found;
}

void kvpfs_mount_root_close(struct kvpfs_mount_root *root)
{
	root->fd = kvp_close(root->fd);
	root->is_apart = false;
}

/* Whether the table of mounts has changed since the last call. */
static bool mounts_have_changed(const struct kvpfs_mount_root *root)
{
	struct pollfd mounts = { .fd = root->table, .events = POLLPRI };

	return root->table < 0 || poll(&mounts, 1, 0) != 0;
}

bool kvpfs_mount_root_open(struct kvpfs_mount_root *root)
{
	if (mounts_have_changed(root))
		kvpfs_mount_root_close(root);
	return root->fd >= 0 || open_mountpoint(root) ||
	       (!kvpfs_mount_root_is_for_now(errno) && find_mount(root));
}

int kvpfs_mount_root_enter(const struct kvpfs_mount_root *root, int at,
			   const char *name)
{
	int fd = openat(at, name,
			O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	kvp_close(at);
	if (fd >= 0 && !is_of_mount(root, fd)) {
		close(fd);
		errno = ENOENT;
		return -1;
	}
	return fd;
}

int kvpfs_mount_root_open_file(const struct kvpfs_mount_root *root,
			       int directory, const char *name)
{
	char path[KVP_FD_PATH_MAX];
	int file = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int fd = -1;

	if (file >= 0 && is_of_mount(root, file))
		fd = open(kvp_fd_path(file, path), O_WRONLY | O_CLOEXEC);
	else if (file >= 0)
		errno = ENOENT;
	kvp_close(file);
	return fd;
}
