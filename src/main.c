/* SPDX-License-Identifier: MIT */
/*
 * From the command line to the unmounted directory.
 */
#define FUSE_USE_VERSION 310

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvpfs.h"
#include "log.h"
#include "ready.h"
#include "store_pool.h"
#include "util.h"

/* While requests wait for a lock, how long the loop sleeps between two tries. */
#define WAITING_POLL_MS 1

static struct fuse_session *signalled_session;

/*
 * A signal that comes just before the loop blocks in read(2) would go unseen
 * until the next request: so it also makes that read fail.
 */
static void end_session(int signal_number)
{
	int saved = errno;

	(void)signal_number;
	fuse_session_exit(signalled_session);
	fcntl(fuse_session_fd(signalled_session), F_SETFL, O_RDWR | O_NONBLOCK);
	errno = saved;
}

static void handle_signals(struct fuse_session *session)
{
	static const int ends[] = { SIGTERM, SIGINT, SIGHUP };
	struct sigaction end = { .sa_handler = end_session };
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	signalled_session = session;
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		sigaction(ends[i], &end, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGXFSZ, &ignore, NULL); /* write(2) says EFBIG instead */
}

/* Waits for a request, but not for long while others wait for a lock. */
static void wait_for_request(struct kvpfs *fs)
{
	struct pollfd fd = { .fd = fuse_session_fd(fs->session),
			     .events = POLLIN };

	while (!TAILQ_EMPTY(&fs->waiting) &&
	       !fuse_session_exited(fs->session) &&
	       poll(&fd, 1, WAITING_POLL_MS) <= 0)
		kvpfs_calls_run_waiting(fs);
	if (!TAILQ_EMPTY(&fs->waiting))
		kvpfs_calls_run_waiting(fs);
}

/* 0 at the end of the session, or -errno. */
static int serve(struct kvpfs *fs)
{
	struct fuse_buf buf = { 0 };
	bool told = false;
	int r = 0;

	while (!fuse_session_exited(fs->session)) {
		wait_for_request(fs);
		r = fuse_session_receive_buf(fs->session, &buf);
		if (r == -EINTR || r == -EAGAIN)
			continue;
		if (r <= 0)
			break;
		fuse_session_process_buf(fs->session, &buf);
		if (fs->ready && !told) {
			kvpfs_notify_manager("READY=1");
			told = true;
		}
	}
	free(buf.mem);
	return fuse_session_exited(fs->session) ? 0 : r;
}

static void end_calls_and_handles(struct kvpfs *fs)
{
	kvpfs_calls_abort(fs);
	kvpfs_syncs_wait(fs);
	while (!TAILQ_EMPTY(&fs->handles))
		kvpfs_handle_close(fs, TAILQ_FIRST(&fs->handles));
	while (!TAILQ_EMPTY(&fs->open_dirs))
		kvpfs_open_dir_close(fs, TAILQ_FIRST(&fs->open_dirs));
	kvpfs_dir_release(&fs->dir);
}

static int open_store(const struct kvpfs_options *options,
		      struct kvp_store **ret_store)
{
	const char *path = options->pool ? options->pool : KVP_DEFAULT_POOL;
	struct kvp_pool_config config = {
		.path = options->pool,
		.mode = options->mode,
		.truncate_on_stale = options->truncate_on_stale,
		.read_only = options->read_only,
		.lock_timeout_ms = options->lock_timeout_ms,
	};
	char message[128];
	int r = kvp_store_pool_open(&config, ret_store);

	if (r == 0)
		return 0;
	kvpfs_log(LOG_ERR, "cannot use pool \"%s\": %s", path,
		  kvp_result_message(r, (struct kvp_numbers){ 0 }, message,
				     sizeof(message)));
	return r;
}

static int add_option(struct fuse_args *args, const char *name,
		      const char *value)
{
	char *option = NULL;
	char *escaped = NULL;
	int r = asprintf(&option, "%s%s", name, value);

	if (r >= 0)
		r = fuse_opt_add_opt_escaped(&escaped, option);
	free(r >= 0 || option ? option : NULL);
	if (r == 0)
		r = fuse_opt_add_arg(args, "-o");
	if (r == 0)
		r = fuse_opt_insert_arg(args, args->argc, escaped);
	free(escaped);
	return r;
}

/*
 * Ours go in front of what the user gave, so that the user's win.
 * default_permissions makes the kernel check each access against the modes, which
 * only matters, and only then is paid for, if others than the owner get in.
 */
static int add_mount_options(struct fuse_args *args,
			     const struct kvpfs_options *options,
			     const struct kvp_store *store)
{
	struct fuse_args defaults = FUSE_ARGS_INIT(0, NULL);
	int r = fuse_opt_add_arg(&defaults, "kvpfs");

	if (r == 0)
		r = add_option(&defaults, "subtype=", "kvpfs");
	if (r == 0)
		r = add_option(&defaults,
			       "fsname=", kvp_store_pool_path(store));
	if (r == 0 && options->allow_other)
		r = add_option(&defaults, "default_permissions", "");
	if (r == 0 && !options->read_only &&
	    !kvp_store_pool_is_writable(store)) {
		kvpfs_log(LOG_WARNING,
			  "cannot write to pool \"%s\": mounting read-only",
			  kvp_store_pool_path(store));
		r = add_option(&defaults, "ro", "");
	}
	for (int i = 1; r == 0 && i < args->argc; i++)
		r = fuse_opt_add_arg(&defaults, args->argv[i]);
	fuse_opt_free_args(args);
	*args = defaults;
	return r;
}

/* Makes the mountpoint absolute: a daemon works in "/". */
static int resolve_mountpoint(struct kvpfs_options *options)
{
	char *absolute = realpath(options->mountpoint, NULL);
	struct stat st;
	int errnum = 0;

	if (!absolute || stat(absolute, &st) != 0)
		errnum = errno;
	else if (!S_ISDIR(st.st_mode))
		errnum = ENOTDIR;
	if (errnum) {
		kvpfs_log(LOG_ERR, "cannot mount at \"%s\": %s",
			  options->mountpoint, strerror(errnum));
		free(absolute);
		return -errnum;
	}
	free(options->mountpoint);
	options->mountpoint = absolute;
	return 0;
}

/* Serves until the directory is unmounted; an exit status. */
static int run_mounted(struct kvpfs *fs)
{
	int r;

	/* the caller's command returns here: the mount is there */
	if (fuse_daemonize(fs->options->foreground) != 0)
		return KVPFS_EXIT_FAILURE;
	kvpfs_log_open(!fs->options->foreground);
	r = serve(fs);
	if (r == 0)
		return 0;
	kvpfs_log(LOG_ERR, "cannot go on: %s", strerror(-r));
	return KVPFS_EXIT_FAILURE;
}

static int run_session(struct kvpfs *fs, struct fuse_args *args)
{
	int status = KVPFS_EXIT_FAILURE;

	fs->session = fuse_session_new(args, &kvpfs_ops, sizeof(kvpfs_ops), fs);
	if (!fs->session)
		return status;
	handle_signals(fs->session);
	if (fuse_session_mount(fs->session, fs->options->mountpoint) == 0) {
		status = run_mounted(fs);
		end_calls_and_handles(fs);
		fuse_session_unmount(fs->session);
	}
	fuse_session_destroy(fs->session);
	return status;
}

static int run(struct kvpfs_options *options, struct fuse_args *args)
{
	struct kvpfs fs = {
		.options = options,
		.sync_lock = PTHREAD_MUTEX_INITIALIZER,
		.sync_ended = PTHREAD_COND_INITIALIZER,
	};
	struct kvp_store *store = NULL;
	int status = KVPFS_EXIT_FAILURE;

	TAILQ_INIT(&fs.handles);
	TAILQ_INIT(&fs.open_dirs);
	TAILQ_INIT(&fs.waiting);
	if (resolve_mountpoint(options) || open_store(options, &store))
		return status;
	/* from here on it is the loop that waits */
	kvp_store_pool_set_lock_timeout(store, 0);
	kvpfs_dir_init(&fs.dir, store);
	fs.empty = kvp_value_new((struct kvp_bytes){ NULL, 0 });
	if (fs.empty)
		clock_gettime(CLOCK_REALTIME, &fs.empty->mtime);
	if (fs.empty && add_mount_options(args, options, store) == 0)
		status = run_session(&fs, args);
	kvp_value_unref(fs.empty);
	kvp_store_free(store);
	return status;
}

/* Else what is opened first gets their numbers, and whoever logs writes there. */
static void occupy_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	kvp_close(fd);
}

int main(int argc, char *argv[])
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct kvpfs_options options;
	int status;

	umask(077);
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
	kvpfs_options_release(&options);
	fuse_opt_free_args(&args);
	return status;
}
