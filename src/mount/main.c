/* SPDX-License-Identifier: MIT */
/*
 * From the command line to the unmounted directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "call.h"
#include "log.h"
#include "loop.h"
#include "mount.h"
#include "pool_names.h"
#include "util.h"

/*
 * Whether the only word of the command line, which is no directory, is meant as the pool:
 * it names one, or is a file.
 */
static bool is_pool_alone(const struct kvpfs_options *options)
{
	struct stat st;

	if (options->pool)
		return false;
	return kvp_pool_number(options->mountpoint) >= 0 ||
	       (stat(options->mountpoint, &st) == 0 && S_ISREG(st.st_mode));
}

/* Makes the mountpoint absolute, as a daemon works in "/". Returns an exit status. */
static int resolve_mountpoint(struct kvpfs_options *options)
{
	char *absolute = realpath(options->mountpoint, NULL);
	struct stat st;
	int errnum = 0;

	if (!absolute || stat(absolute, &st) != 0)
		errnum = errno;
	else if (!S_ISDIR(st.st_mode))
		errnum = ENOTDIR;
	if (errnum && is_pool_alone(options)) {
		kvpfs_log(LOG_ERR,
			  "no mountpoint given for pool \"%s\"; see kvpfs -h",
			  options->mountpoint);
		free(absolute);
		return KVPFS_EXIT_USAGE;
	}
	if (errnum) {
		kvpfs_log(LOG_ERR, "cannot mount at \"%s\": %s",
			  options->mountpoint, strerror(errnum));
		free(absolute);
		return KVPFS_EXIT_FAILURE;
	}
	free(options->mountpoint);
	options->mountpoint = absolute;
	return 0;
}

/* Serves until the directory is unmounted; returns an exit status. */
static int run_mounted(struct kvpfs *fs)
{
	int r;

	/* the caller's command returns here: the mount is there */
	if (fuse_daemonize(fs->options->foreground) != 0)
		return KVPFS_EXIT_FAILURE;
	kvpfs_log_open(!fs->options->foreground);
	r = kvpfs_loop_run(fs);
	/* an error is normal if a request was in work when umount(8) came */
	if (r == 0 || !kvpfs_is_mounted(fs))
		return 0;
	kvpfs_log(LOG_ERR, "cannot go on: %s", strerror(-r));
	return KVPFS_EXIT_FAILURE;
}

static int run_pools(const struct kvpfs_options *options,
		     const struct kvpfs_pools *pools, struct fuse_args *args)
{
	struct kvpfs fs;
	int status = KVPFS_EXIT_FAILURE;
	int r = kvpfs_fs_init(&fs, options, pools);

	if (r)
		kvpfs_log(LOG_ERR, "cannot start: %s", strerror(-r));
	kvpfs_loop_catch_signals();
	if (r == 0 && kvpfs_mount(&fs, pools, args) == 0) {
		status = run_mounted(&fs);
		kvpfs_unmount(&fs);
	}
	kvpfs_fs_release(&fs);
	return status;
}

static int run(struct kvpfs_options *options, struct fuse_args *args)
{
	struct kvpfs_pools pools;
	int status = resolve_mountpoint(options);

	if (status)
		return status;
	if (!kvpfs_mount_knows_options(args) ||
	    kvpfs_pools_open(&pools, options))
		return KVPFS_EXIT_FAILURE;
	status = run_pools(options, &pools, args);
	kvpfs_pools_close(&pools);
	return status;
}

/* Without this the first files get the numbers of closed ones, and logs go there. */
static void occupy_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	kvp_close(fd);
}

/* What is written to replace a pool is freed for good, however large the last was. */
static void keep_no_large_memory(void)
{
#ifdef M_MMAP_THRESHOLD
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
#endif
}

int main(int argc, char *argv[])
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct kvpfs_options options;
	int status;

	umask(077);
	keep_no_large_memory();
	occupy_standard_descriptors();
	kvpfs_log_open(false);
	kvpfs_log_adopt_fuse();
	status = kvpfs_options_parse(&options, &args);
	if (status == 0 && options.help) {
		kvpfs_options_usage();
	} else if (status == 0 && options.version) {
		printf("kvpfs %s\n", PACKAGE_VERSION);
		printf("libfuse %s\n", fuse_pkgversion());
	} else if (status == 0) {
		status = run(&options, &args);
	}
	kvpfs_log_close();
	kvpfs_options_release(&options);
	fuse_opt_free_args(&args);
	return status;
}
