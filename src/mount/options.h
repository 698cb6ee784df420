/* SPDX-License-Identifier: MIT */
/*
 * The command line, parsed and checked. This module looks at no pool and no directory.
 */
#ifndef KVPFS_OPTIONS_H
#define KVPFS_OPTIONS_H

#include <stdbool.h>
#include <sys/types.h>

#include "store.h"

struct fuse_args;

struct kvpfs_options {
	char *pool; /* NULL: the default */
	char *mountpoint;
	enum kvp_mode mode;
	bool truncate_on_stale;
	bool read_only;
	bool strip_newline;
	bool allow_other;
	bool watchers; /* they are told of changes by others */
	int lock_timeout_ms;
	uid_t uid; /* these three count if has_... */
	gid_t gid;
	mode_t umask;
	bool has_uid;
	bool has_gid;
	bool has_umask;
	bool foreground;
	bool help;
	bool version;
};

/* Exit statuses of the program. */
enum { KVPFS_EXIT_FAILURE = 1, KVPFS_EXIT_USAGE = 2 };

/*
 * Takes our options out of ARGS and leaves libfuse's. Returns 0, or an exit status after
 * the log has said what is wrong. Release OPTIONS in both cases.
 */
int kvpfs_options_parse(struct kvpfs_options *options, struct fuse_args *args);
void kvpfs_options_release(struct kvpfs_options *options);

/* Prints what -h tells. */
void kvpfs_options_usage(void);

#endif
