/* SPDX-License-Identifier: MIT */
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "agent.h"
#include "call.h"
#include "control_events.h"
#include "lock.h"
#include "ready.h"
#include "watchers.h"

/*
 * A signal that comes just before the loop blocks in read(2) or poll(2) would go
 * unseen until the next request. So it starts a timer that interrupts the loop again and
 * again, until the loop has looked.
 */
#define TICK_US 10000

/*
 * A request of so many bytes has touched much of the buffer, up to 1 MiB, which would
 * stay in memory. Such a request is rare, and costs more than these pages do anew.
 */
#define LARGE_REQUEST (256 << 10)

/* The most waiting requests that are served at the end. */
#define LAST_REQUESTS 1000

static volatile sig_atomic_t ended;	      /* by a signal */
static volatile sig_atomic_t child_has_ended; /* since check_agent has looked */
static volatile sig_atomic_t agent_asks;

/* setitimer(2) is a plain system call in Linux, so handlers may make it. */
static void start_ticking(bool start)
{
	const struct itimerval tick = {
		.it_interval.tv_usec = start ? TICK_US : 0,
		.it_value.tv_usec = start ? TICK_US : 0,
	};

	setitimer(ITIMER_REAL, &tick, NULL);
}

static void end_loop(int signal_number)
{
	(void)signal_number;
	ended = 1;
	start_ticking(true);
}

static void note_child(int signal_number)
{
	(void)signal_number;
	child_has_ended = 1;
	start_ticking(true);
}

/* This signal needs no tick: it comes again until there is an answer. */
static void note_question(int signal_number)
{
	(void)signal_number;
	agent_asks = 1;
}

static void interrupt(int signal_number)
{
	(void)signal_number;
}

/* FLAGS: SA_RESTART, so that libfuse is not disturbed; or 0. */
static void catch_signals(int flags)
{
	static const int ends[] = { SIGTERM, SIGINT, SIGHUP };
	struct sigaction end = { .sa_handler = end_loop, .sa_flags = flags };
	struct sigaction tick = { .sa_handler = interrupt, .sa_flags = flags };
	struct sigaction question = { .sa_handler = note_question,
				      .sa_flags = flags };
	struct sigaction child = { .sa_handler = note_child,
				   .sa_flags = flags | SA_NOCLDSTOP };

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		sigaction(ends[i], &end, NULL);
	sigaction(SIGALRM, &tick, NULL);
	sigaction(KVPFS_AGENT_SIGNAL, &question, NULL);
	sigaction(SIGCHLD, &child, NULL);
}

void kvpfs_loop_catch_signals(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	/* libfuse gives up mounting when its waitpid(2) is interrupted */
	catch_signals(SA_RESTART);
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGXFSZ, &ignore, NULL); /* write(2) says EFBIG instead */
}

struct loop {
	struct kvpfs *fs;
	struct fuse_buf buf;
	bool nonblocking; /* reading a request does not wait */
	bool told;	  /* the service manager was told that we are ready */
};

static bool is_over(const struct loop *loop)
{
	return ended || fuse_session_exited(loop->fs->session);
}

/* BLOCKING: reading the next request waits for it. */
static void set_blocking(struct loop *loop, bool blocking)
{
	if (blocking == !loop->nonblocking)
		return;
	loop->nonblocking = !blocking;
	fcntl(fuse_session_fd(loop->fs->session), F_SETFL,
	      O_RDWR | (blocking ? 0 : O_NONBLOCK));
}

/* Whether something must be tried again soon, and no descriptor will tell. */
static bool is_something_due(const struct kvpfs *fs)
{
	return kvpfs_calls_wait(fs) || kvpfs_events_are_due(fs);
}

/* Sleeps until there is a request or another change, or something is due. */
static void sleep_until_needed(const struct kvpfs *fs, bool *ret_request,
			       bool *ret_change)
{
	struct pollfd fds[1 + KVPFS_MAX_DIRS] = {
		{ .fd = fuse_session_fd(fs->session), .events = POLLIN },
	};
	size_t count = 1 + kvpfs_events_descriptors(fs, fds + 1);
	int timeout = is_something_due(fs) ? KVP_LOCK_PAUSE_MS
					   : kvpfs_watchers_pause(fs);

	*ret_request = false;
	*ret_change = false;
	if (poll(fds, count, timeout) < 0)
		return;
	*ret_request = fds[0].revents;
	for (size_t i = 1; i < count; i++)
		*ret_change |= fds[i].revents != 0;
}

/* Answers the agent, and starts another if it has ended. */
static void check_agent(struct kvpfs *fs)
{
	if (child_has_ended) {
		child_has_ended = 0;
		if (!ended)
			start_ticking(false);
		kvpfs_watchers_check(fs);
	} else if (kvpfs_watchers_pause(fs) == 0) {
		kvpfs_watchers_check(fs);
	}
	if (agent_asks) {
		agent_asks = 0;
		kvpfs_watchers_answer(fs);
		/* its look may have taken what poll(2) waits for */
		kvpfs_events_look(fs);
	}
}

/* Whether the loop waits for anything but the next request. */
static bool waits_for_more(const struct kvpfs *fs)
{
	return kvpfs_calls_wait(fs) || kvpfs_events_are_read(fs) ||
	       kvpfs_watchers_pause(fs) >= 0;
}

/* To be called before the loop sleeps. Nothing may keep the agent waiting. */
static void rest_stores(const struct kvpfs *fs)
{
	for (size_t i = 0; i < fs->dir_count && !kvpfs_watchers_are_told(fs);
	     i++)
		kvp_store_rest(fs->dirs[i].store);
}

/*
 * While calls wait for a lock or for events, a blocking read(2) of the next request
 * would make the loop deaf. Otherwise a blocking read(2) costs least.
 */
static void wait_for_request(struct loop *loop)
{
	struct kvpfs *fs = loop->fs;
	bool more = waits_for_more(fs);
	bool request = false;
	bool change;

	rest_stores(fs);
	/* a request that poll(2) saw may be withdrawn before it is read */
	set_blocking(loop, !more);
	while (more && !request && !is_over(loop)) {
		sleep_until_needed(fs, &request, &change);
		check_agent(fs);
		if (kvpfs_calls_wait(fs)) {
			kvpfs_calls_retry(fs);
			change = true; /* it has looked, too */
		}
		if (change || kvpfs_events_are_due(fs))
			kvpfs_events_look(fs);
		rest_stores(fs);
		more = waits_for_more(fs);
	}
}

/*
 * Gives the pages back that a request of SIZE bytes has touched. The buffer itself stays:
 * if libfuse could not make another the mount would end.
 */
static void empty_buffer(const struct loop *loop, size_t size)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const uintptr_t start = (uintptr_t)loop->buf.mem;
	const uintptr_t first = (start + page - 1) & ~(page - 1);
	const uintptr_t end = (start + size) & ~(page - 1);

	if (start)
		madvise((void *)first, end - first, MADV_DONTNEED);
}

/* Takes and serves one request: 1, 0: the session is over, or -errno. */
static int serve_one(struct loop *loop)
{
	struct kvpfs *fs = loop->fs;
	int r = fuse_session_receive_buf(fs->session, &loop->buf);

	if (r == -EAGAIN) /* another process may share the descriptor's flags */
		loop->nonblocking = true;
	if (r <= 0)
		return r;
	fuse_session_process_buf(fs->session, &loop->buf);
	if (r > LARGE_REQUEST)
		empty_buffer(loop, (size_t)r);
	/* the request may allow other calls to go on */
	kvpfs_calls_end_interrupted(fs);
	kvpfs_lock_wake(fs);
	kvpfs_watchers_wake(fs);
	kvpfs_events_look(fs);
	return 1;
}

static int serve(struct loop *loop)
{
	int r = 1;

	while (!is_over(loop) && (r > 0 || r == -EINTR || r == -EAGAIN)) {
		check_agent(loop->fs);
		wait_for_request(loop);
		r = serve_one(loop);
		if (loop->fs->ready && !loop->told) {
			kvpfs_notify_manager("READY=1");
			loop->told = true;
		}
	}
	return is_over(loop) || r == 0 ? 0 : r;
}

/* Serves requests that tell of files closed before the signal, and were not read. */
static void serve_rest(struct loop *loop)
{
	int r = 1;

	set_blocking(loop, false);
	for (int i = 0; i < LAST_REQUESTS && (r > 0 || r == -EINTR); i++)
		r = serve_one(loop);
}

int kvpfs_loop_run(struct kvpfs *fs)
{
	struct loop loop = { .fs = fs };
	int r;

	catch_signals(0);
	kvpfs_watchers_start(fs);
	r = serve(&loop);
	kvpfs_watchers_stop(fs);
	if (r == 0)
		serve_rest(&loop);
	kvpfs_watchers_release(fs);
	kvpfs_calls_end(fs);
	/* libfuse does not unmount when its waitpid(2) is interrupted */
	catch_signals(SA_RESTART);
	free(loop.buf.mem);
	return r;
}
