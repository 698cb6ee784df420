/* SPDX-License-Identifier: MIT */
/*
 * Finds what a path leads to, without a request to one chosen file system: the one
 * that the caller itself serves. It does not look into the file that it finds.
 *
 * A program that serves a file system must never use a path that leads into it:
 * the kernel would ask the program, which waits for the kernel, for ever, and no
 * signal but SIGKILL ends that. Others can make any path lead there at any time (a
 * symbolic link, another directory in the place of the old one, a mount). So the
 * path is walked here one component after the other. Each object is looked at
 * before anything is looked up in it; to open it with O_PATH and to ask statx(2)
 * not to synchronize makes the kernel tell the device without a request.
 *
 * Symbolic links are followed only in directories that nobody but root and the user who
 * runs this can write to. A file system that another process serves may make the walk
 * wait for that process.
 */
#ifndef KVP_WALK_H
#define KVP_WALK_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

/* The file system on DEV, or, with INO, this one directory. Zeroed: none. */
struct kvp_keep_out {
	dev_t dev;
	ino_t ino;
};

/* Where a path ends. The descriptors are of the kind O_PATH. */
struct kvp_found {
	int directory; /* that the object is in; -1: where the walk began */
	int object;    /* -1: there is none of that name */
	bool by_link;  /* symbolic links were followed */
	char name[NAME_MAX + 1]; /* of the object in the directory */
};

/*
 * Walks PATH, and follows its last component, too. The walk begins at the root if
 * PATH is absolute; else in the directory FROM, which the caller has found in this
 * way. Returns 0, also if only the last component does not exist; KVP_OWN_MOUNT if
 * the way leads to KEEP_OUT; KVP_UNTRUSTED_LINK; -ELOOP, -ENOENT, -ENOTDIR, or
 * another -errno. After 0, call kvp_found_release.
 */
int kvp_walk(int from, const char *path, const struct kvp_keep_out *keep_out,
	     struct kvp_found *ret_found);
void kvp_found_release(struct kvp_found *found);

#endif
