/* SPDX-License-Identifier: MIT */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_log.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "call.h"
#include "control_events.h"
#include "control_pool.h"
#include "control_status.h"
#include "control_text.h"
#include "key_dir.h"
#include "key_file.h"
#include "list.h"
#include "log.h"
#include "ops.h"
#include "retry.h"
#include "sync.h"
#include "top.h"
#include "util.h"
#include "watchers.h"

/* umount -f may take so long from the end of the session to that of the mount. */
#define FORCED_MS 1000

/* The files in ".kvpfs", in the order in which they are listed there. */
#define CONTROLS 5
static const struct kvpfs_control_kind *const controls[CONTROLS] = {
	&kvpfs_control_records.shown.kind,
	&kvpfs_control_entries.kind,
	&kvpfs_control_pool.shown.kind,
	&kvpfs_control_status.kind,
	&kvpfs_control_events,
};

static int init_dir(struct kvpfs_dir *dir)
{
	int r;

	dir->root = (struct kvpfs_inode){ &kvpfs_pool_ops, dir, 0 };
	kvpfs_versions_init(&dir->versions, dir, &kvpfs_key_ops);
	r = kvpfs_stream_init(dir);
	if (r)
		return r;
	return kvpfs_control_dir_init(dir, controls, CONTROLS);
}

static int init_dirs(struct kvpfs *fs, const struct kvpfs_pools *pools)
{
	int r = 0;

	fs->top = (struct kvpfs_inode){ &kvpfs_top_ops, NULL, 0 };
	fs->root = pools->directory ? &fs->top : &fs->dirs[0].root;
	fs->dir_count = pools->count;
	for (size_t i = 0; i < pools->count && r == 0; i++) {
		/* numbers are from 1 where there is a directory above */
		fs->dirs[i].number = pools->directory ? i + 1 : 0;
		fs->dirs[i].name = pools->names[i];
		fs->dirs[i].store = pools->stores[i];
		r = init_dir(&fs->dirs[i]);
	}
	return r;
}

int kvpfs_fs_init(struct kvpfs *fs, const struct kvpfs_options *options,
		  const struct kvpfs_pools *pools)
{
	int r;

	*fs = (struct kvpfs){ .options = options };
	TAILQ_INIT(&fs->opens);
	clock_gettime(CLOCK_REALTIME, &fs->mounted);
	fs->empty = kvp_value_new((struct kvp_bytes){ NULL, 0 });
	if (!fs->empty)
		return -ENOMEM;
	fs->empty->mtime = fs->mounted;
	r = init_dirs(fs, pools);
	if (r == 0)
		r = kvpfs_calls_init(fs);
	if (r == 0)
		r = kvpfs_syncs_init(fs);
	return r;
}

void kvpfs_fs_release(struct kvpfs *fs)
{
	while (!TAILQ_EMPTY(&fs->opens))
		kvpfs_open_close(fs, TAILQ_FIRST(&fs->opens));
	kvpfs_locks_release(&fs->locks);
	kvpfs_watchers_release(fs);
	for (size_t i = 0; i < fs->dir_count; i++) {
		struct kvpfs_dir *dir = &fs->dirs[i];

		kvpfs_stream_release(dir);
		kvpfs_control_dir_release(dir);
		kvpfs_listing_unref(dir->listing);
		kvpfs_given_release(&dir->given);
		kvpfs_versions_release(&dir->versions);
	}
	kvpfs_syncs_release(fs);
	kvpfs_calls_release(fs);
	kvp_value_unref(fs->empty);
}

static int add_option(struct fuse_args *args, const char *name,
		      const char *value)
{
	char *option;
	char *escaped = NULL;
	int r;

	if (asprintf(&option, "%s%s", name, value) < 0)
		return -1;
	r = fuse_opt_add_opt_escaped(&escaped, option);
	free(option);
	if (r == 0)
		r = fuse_opt_add_arg(args, "-o");
	if (r == 0)
		r = fuse_opt_insert_arg(args, args->argc, escaped);
	free(escaped);
	return r;
}

/*
 * Whether everybody may list what is mounted. If not, default_permissions is needed:
 * without it the kernel lets anybody watch a directory with inotify, and does not ask
 * the file system. A watch tells the names in the directory.
 */
static bool all_may_list(struct kvpfs *fs)
{
	for (size_t i = 0; i < fs->dir_count; i++) {
		struct stat st;

		fs->dirs[i].root.ops->fill(fs, &fs->dirs[i].root, &st);
		if ((st.st_mode & 0444) != 0444)
			return false;
	}
	return true;
}

/* Our options go in front of the user's, so that the user's win. */
static int add_mount_options(struct kvpfs *fs, struct fuse_args *args,
			     const struct kvpfs_pools *pools)
{
	const struct kvpfs_options *options = fs->options;
	struct fuse_args defaults = FUSE_ARGS_INIT(0, NULL);
	int r = fuse_opt_add_arg(&defaults, "kvpfs");

	if (r == 0)
		r = add_option(&defaults, "subtype=", "kvpfs");
	/* mount -a compares it with the line in fstab */
	if (r == 0)
		r = add_option(&defaults, "fsname=", pools->source);
	if (r == 0 && options->allow_other && !all_may_list(fs))
		r = add_option(&defaults, "default_permissions", "");
	if (r == 0 && !options->read_only && !kvpfs_pools_are_writable(pools)) {
		kvpfs_log(LOG_WARNING,
			  "cannot write to pool \"%s\": mounting read-only",
			  pools->source);
		r = add_option(&defaults, "ro", "");
	}
	for (int i = 1; r == 0 && i < args->argc; i++)
		r = fuse_opt_add_arg(&defaults, args->argv[i]);
	fuse_opt_free_args(args);
	*args = defaults;
	return r;
}

/* The device of the mount of FD, a connection of FUSE; 0: this kernel does not tell. */
static dev_t device_of_connection(int fd)
{
	char line[128];
	unsigned int found = 0;
	FILE *file;

	snprintf(line, sizeof(line), "/proc/self/fdinfo/%d", fd);
	file = fopen(line, "re");
	if (!file)
		return 0;
	while (found == 0 && fgets(line, sizeof(line), file))
		/* NOLINTNEXTLINE(cert-err34-c): the kernel writes a number that fits */
		(void)!sscanf(line, "fuse_connection: %u", &found);
	(void)fclose(file);
	return makedev(found >> 20, found & 0xfffff); /* as the kernel has it */
}

/*
 * The device of the mount. It is that of the mountpoint only if nothing else tells:
 * others may have moved or covered the mount since it appeared.
 */
static dev_t find_device(const struct kvpfs *fs)
{
	dev_t device = device_of_connection(fuse_session_fd(fs->session));
	struct statx stx;

	if (device != 0)
		return device;
	/* to synchronize would be a request, and the loop does not run yet */
	if (statx(AT_FDCWD, fs->options->mountpoint, AT_STATX_DONT_SYNC, 0,
		  &stx) != 0)
		return 0;
	return makedev(stx.stx_dev_major, stx.stx_dev_minor);
}

/* Looks for the pools must not enter this mount; see walk.h. */
static void keep_pools_out(struct kvpfs *fs)
{
	fs->device = find_device(fs);
	for (size_t i = 0; i < fs->dir_count && fs->device != 0; i++)
		kvp_store_keep_out(fs->dirs[i].store, fs->device);
}

/* What libfuse says while its options are looked at; in pieces. */
static char said[KVPFS_LOG_MAX];

static void listen_to_fuse(enum fuse_log_level level, const char *format,
			   va_list args)
{
	size_t length = strlen(said);

	(void)level;
	vsnprintf(said + length, sizeof(said) - length, format, args);
}

/* Logs the options that SAID names between its quotes, if it is about such. */
static bool log_unknown_options(void)
{
	char *first = strstr(said, "unknown option");
	char *last = first ? strrchr(first, '\'') : NULL;

	first = first ? strchr(first, '`') : NULL;
	if (!first || !last)
		return false;
	kvpfs_log(LOG_ERR, "unknown option: %.*s; see kvpfs -h",
		  (int)(last - first - 1), first + 1);
	return true;
}

bool kvpfs_mount_knows_options(const struct fuse_args *args)
{
	static const struct fuse_lowlevel_ops none;
	struct fuse_args copy = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *session = NULL;
	int r = 0;

	for (int i = 0; i < args->argc && r == 0; i++)
		r = fuse_opt_add_arg(&copy, args->argv[i]);
	said[0] = '\0';
	fuse_set_log_func(listen_to_fuse);
	if (r == 0)
		session = fuse_session_new(&copy, &none, sizeof(none), NULL);
	kvpfs_log_adopt_fuse();
	fuse_opt_free_args(&copy);
	if (session) {
		fuse_session_destroy(session);
		return true;
	}
	/* whatever else is wrong, it says so when it mounts */
	return !log_unknown_options();
}

int kvpfs_mount(struct kvpfs *fs, const struct kvpfs_pools *pools,
		struct fuse_args *args)
{
	if (add_mount_options(fs, args, pools) != 0)
		return -1;
	fs->session = fuse_session_new(args, &kvpfs_ops, sizeof(kvpfs_ops), fs);
	if (!fs->session)
		return -1;
	/* in a read-only mount the kernel refuses what the agent does */
	if (kvpfs_pools_are_writable(pools))
		kvpfs_watchers_prepare(fs);
	if (fuse_session_mount(fs->session, fs->options->mountpoint) == 0) {
		keep_pools_out(fs);
		return 0;
	}
	fuse_session_destroy(fs->session);
	return -1;
}

/* A step for kvpfs_retry. KVP_LOCKED: the mount is at the mountpoint. */
static int look_for_mount(void *arg)
{
	const struct kvpfs *fs = arg;
	struct statx stx;

	if (statx(AT_FDCWD, fs->options->mountpoint, AT_STATX_DONT_SYNC, 0,
		  &stx) != 0)
		return KVP_LOCKED;
	return makedev(stx.stx_dev_major, stx.stx_dev_minor) == fs->device
		       ? KVP_LOCKED
		       : 0;
}

bool kvpfs_is_mounted(struct kvpfs *fs)
{
	return kvpfs_retry(look_for_mount, fs, kvp_now_ms() + FORCED_MS) != 0;
}

void kvpfs_unmount(struct kvpfs *fs)
{
	kvpfs_syncs_release(fs); /* they reply by way of the session */
	fuse_session_unmount(fs->session);
	fuse_session_destroy(fs->session);
}
