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
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvpfs.h"
#include "log.h"
#include "pools.h"
#include "ready.h"
#include "store_pool.h"
#include "util.h"

/* While requests wait for a lock, how long the loop sleeps between two tries. */
#define WAITING_POLL_MS 1

static struct fuse_session *signalled_session;
static int signal_event = -1; /* eventfd(2); readable once a signal has come */

/*
 * A signal that comes just before the loop blocks in read(2) or poll(2) would go
 * unseen until the next request: so it also makes the read fail, and the poll
 * return.
 */
static void end_session(int signal_number)
{
	const uint64_t one = 1;
	int saved = errno;

	(void)signal_number;
	fuse_session_exit(signalled_session);
	fcntl(fuse_session_fd(signalled_session), F_SETFL, O_RDWR | O_NONBLOCK);
	if (write(signal_event, &one, sizeof(one)) < 0)
		errno = saved; /* it is full, thus readable */
	errno = saved;
}

/* FLAGS: SA_RESTART while libfuse is not to be disturbed, else 0. */
static void catch_signals(int flags)
{
	static const int ends[] = { SIGTERM, SIGINT, SIGHUP };
	struct sigaction end = { .sa_handler = end_session, .sa_flags = flags };

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		sigaction(ends[i], &end, NULL);
}

static void handle_signals(struct fuse_session *session)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	signalled_session = session;
	signal_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	/* libfuse gives up mounting when its waitpid(2) is interrupted */
	catch_signals(SA_RESTART);
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGXFSZ, &ignore, NULL); /* write(2) says EFBIG instead */
}

/* Whether something must be tried again soon that no descriptor tells of. */
static bool is_something_due(const struct kvpfs *fs)
{
	for (size_t i = 0; i < fs->dir_count; i++)
		if (fs->dirs[i].look_due)
			return true;
	return !TAILQ_EMPTY(&fs->waiting);
}

/* Sleeps until there is a request or another change, or something is due. */
static void sleep_until_needed(const struct kvpfs *fs, bool *ret_request,
			       bool *ret_change)
{
	struct pollfd fds[2 + KVPFS_MAX_DIRS] = {
		{ .fd = fuse_session_fd(fs->session), .events = POLLIN },
		{ .fd = signal_event, .events = POLLIN },
	};
	nfds_t count = 2;
	int timeout = is_something_due(fs) ? WAITING_POLL_MS : -1;

	for (size_t i = 0; i < fs->dir_count; i++)
		if (fs->dirs[i].watch >= 0)
			fds[count++] = (struct pollfd){ .fd = fs->dirs[i].watch,
							.events = POLLIN };
	*ret_request = false;
	*ret_change = false;
	if (poll(fds, count, timeout) < 0)
		return;
	*ret_request = fds[0].revents;
	for (nfds_t i = 2; i < count; i++)
		*ret_change |= fds[i].revents != 0;
}

/* Whether the next request is waited for by reading it. */
static void set_blocking(struct kvpfs *fs, bool blocking)
{
	const int fd = fuse_session_fd(fs->session);

	if (blocking == !fs->nonblocking)
		return;
	fs->nonblocking = !blocking;
	fcntl(fd, F_SETFL, O_RDWR | (blocking ? 0 : O_NONBLOCK));
	if (fuse_session_exited(fs->session)) /* the signal was faster */
		fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
}

/*
 * While somebody waits for a lock or for events, a blocking read(2) of the next
 * request would make the loop deaf. Otherwise it is what costs least.
 */
static void wait_for_request(struct kvpfs *fs)
{
	bool request = false;
	bool change;

	/* a request that poll(2) saw may be withdrawn before it is read */
	set_blocking(fs, TAILQ_EMPTY(&fs->event_handles) &&
				 TAILQ_EMPTY(&fs->waiting));

	while (!request && !fuse_session_exited(fs->session) &&
	       (!TAILQ_EMPTY(&fs->event_handles) ||
		!TAILQ_EMPTY(&fs->waiting))) {
		sleep_until_needed(fs, &request, &change);
		if (!TAILQ_EMPTY(&fs->waiting))
			kvpfs_calls_run_waiting(fs);
		if (!TAILQ_EMPTY(&fs->event_handles) &&
		    (change || is_something_due(fs)))
			kvpfs_events_look(fs);
	}
}

/* What a request may have left to do for others than its caller. */
static void after_request(struct kvpfs *fs)
{
	if (fs->interrupted)
		kvpfs_calls_end_interrupted(fs);
	if (!TAILQ_EMPTY(&fs->event_handles))
		kvpfs_events_look(fs);
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
		/* our parent, when signalled before it ends, does that to both */
		if (r == -EAGAIN)
			fs->nonblocking = true;
		if (r == -EINTR || r == -EAGAIN)
			continue;
		if (r <= 0)
			break;
		fuse_session_process_buf(fs->session, &buf);
		after_request(fs);
		if (fs->ready && !told) {
			kvpfs_notify_manager("READY=1");
			told = true;
		}
	}
	free(buf.mem);
	return fuse_session_exited(fs->session) ? 0 : r;
}

/* What was closed in time is stored, if its lock is to be had. */
static void end_calls_and_handles(struct kvpfs *fs)
{
	for (size_t i = 0; i < fs->dir_count; i++)
		kvp_store_pool_set_lock_timeout(fs->dirs[i].store,
						fs->options->lock_timeout_ms);
	kvpfs_calls_end(fs);
	kvpfs_syncs_wait(fs);
	while (!TAILQ_EMPTY(&fs->handles))
		kvpfs_handle_finish(fs, TAILQ_FIRST(&fs->handles));
	while (!TAILQ_EMPTY(&fs->control_handles))
		kvpfs_control_handle_close(fs,
					   TAILQ_FIRST(&fs->control_handles));
	while (!TAILQ_EMPTY(&fs->event_handles))
		kvpfs_event_handle_close(fs, TAILQ_FIRST(&fs->event_handles));
	while (!TAILQ_EMPTY(&fs->open_dirs))
		kvpfs_open_dir_close(fs, TAILQ_FIRST(&fs->open_dirs));
	kvpfs_event_nodes_release(fs);
	for (size_t i = 0; i < fs->dir_count; i++) {
		kvpfs_listing_unref(fs->dirs[i].listing);
		kvpfs_dir_release(&fs->dirs[i]);
	}
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
			     const struct kvpfs_pools *pools)
{
	const char *source = kvpfs_pools_source(pools);
	struct fuse_args defaults = FUSE_ARGS_INIT(0, NULL);
	int r = fuse_opt_add_arg(&defaults, "kvpfs");

	if (r == 0)
		r = add_option(&defaults, "subtype=", "kvpfs");
	if (r == 0)
		r = add_option(&defaults, "fsname=", source);
	if (r == 0 && options->allow_other)
		r = add_option(&defaults, "default_permissions", "");
	if (r == 0 && !options->read_only && !kvpfs_pools_are_writable(pools)) {
		kvpfs_log(LOG_WARNING,
			  "cannot write to pool \"%s\": mounting read-only",
			  source);
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
		catch_signals(0);
		status = run_mounted(fs);
		end_calls_and_handles(fs);
		fuse_session_unmount(fs->session);
	}
	fuse_session_destroy(fs->session);
	return status;
}

static void init_dirs(struct kvpfs *fs, const struct kvpfs_pools *pools)
{
	fs->top.ops = &kvpfs_top_ops;
	fs->root = pools->directory ? &fs->top : &fs->dirs[0].root;
	fs->dir_count = pools->count;
	for (size_t i = 0; i < pools->count; i++) {
		/* numbers are from 1 where there is a directory above */
		fs->dirs[i].number = pools->directory ? i + 1 : 0;
		fs->dirs[i].name = pools->names[i];
		kvpfs_dir_init(&fs->dirs[i], pools->stores[i]);
		kvpfs_control_init(&fs->dirs[i]);
	}
}

static int run(struct kvpfs_options *options, struct fuse_args *args)
{
	struct kvpfs fs = {
		.options = options,
		.sync_lock = PTHREAD_MUTEX_INITIALIZER,
		.sync_ended = PTHREAD_COND_INITIALIZER,
	};
	struct kvpfs_pools pools;
	int status = KVPFS_EXIT_FAILURE;

	TAILQ_INIT(&fs.handles);
	TAILQ_INIT(&fs.open_dirs);
	TAILQ_INIT(&fs.control_handles);
	TAILQ_INIT(&fs.event_handles);
	TAILQ_INIT(&fs.event_nodes);
	TAILQ_INIT(&fs.waiting);
	TAILQ_INIT(&fs.parked);
	if (resolve_mountpoint(options) || kvpfs_pools_open(&pools, options))
		return status;
	fs.empty = kvp_value_new((struct kvp_bytes){ NULL, 0 });
	if (fs.empty) {
		clock_gettime(CLOCK_REALTIME, &fs.empty->mtime);
		init_dirs(&fs, &pools);
		if (add_mount_options(args, options, &pools) == 0)
			status = run_session(&fs, args);
	}
	kvp_value_unref(fs.empty);
	kvpfs_pools_close(&pools);
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
