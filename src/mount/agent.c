/* SPDX-License-Identifier: MIT */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "mount_root.h"
#include "util.h"

/*
 * The mount's own changes wake the agent, too. If it woke up for each of them it would
 * cost 8 to 21 % of a write. So it acts at once after a quiet time, and rests after that.
 * It rests longer while it finds no changes by others.
 */
#define REST_MS 5
#define LONG_REST_MS 20

/* A program that has changed a pool keeps it locked for a moment. */
#define SHORT_REST_MS 1

/* If there is no answer for so long, the signal may have been lost. */
#define ANSWER_MS 10

/* Tries become ever rarer, up to this pause between two. */
#define PATIENCE_MS 1000

/* The agent's descriptors: answers come from the first, questions go to the second. */
#define ERRANDS STDIN_FILENO
#define QUESTIONS (STDERR_FILENO + 1)

/*
 * The content is watched in the file itself: a watch on the directory would tell of the
 * writes to every pool in it. The watch is for one event, and is put there anew before
 * each question, as an event for each of the mount's own writes costs 3 % of the write.
 */
#define WATCHED_FILE (IN_MODIFY | IN_CLOSE_WRITE | IN_ONESHOT)
#define WATCHED_DIRECTORY                                                     \
	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MOVE_SELF | \
	 IN_DELETE_SELF | IN_ONLYDIR)

/* As long as this is free in the buffer there are no more events. */
#define LONGEST_EVENT ((ssize_t)sizeof(struct inotify_event) + NAME_MAX + 1)

/* A path of a pool file, and the watches on it. */
struct place {
	char *path;
	char *directory;
	const char *name; /* inside path */
	int file;	  /* watches; -1: none */
	int parent;
};

struct agent {
	const struct kvpfs_agent_config *config;
	pid_t parent;
	int inotify;
	struct kvpfs_mount_root root; /* open while there are errands */
	/* the path of each pool, and what it leads to if it is a symbolic link */
	struct place *places;
	size_t count;
	bool is_lost;	  /* the mount could not be found */
	bool is_hindered; /* the last errand failed for want of memory or files */
	int64_t pins_since; /* the mount was hardly ever free since; 0: it was */
};

static int longer(int ms, int limit)
{
	return ms * 2 < limit ? ms * 2 : limit;
}

static void rest(int ms)
{
	const struct timespec time = { .tv_nsec = ms * 1000000L };

	nanosleep(&time, NULL);
}

/* Takes over PATH; NULL is allowed. */
static void add_place(struct agent *agent, char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	char *directory;

	if (!slash)
		return;
	directory = strndup(path, slash > path ? (size_t)(slash - path) : 1);
	if (directory)
		agent->places[agent->count++] = (struct place){ path, directory,
								slash + 1, -1,
								-1 };
}

static int find_places(struct agent *agent)
{
	const struct kvpfs_agent_config *config = agent->config;

	agent->places = calloc(2 * config->count, sizeof(*agent->places));
	if (!agent->places)
		return -ENOMEM;
	for (size_t i = 0; i < config->count; i++) {
		char *target = realpath(config->pools[i], NULL);
		bool is_link = target && strcmp(target, config->pools[i]) != 0;

		add_place(agent, strdup(config->pools[i]));
		if (is_link)
			add_place(agent, target);
		else
			free(target);
	}
	return 0;
}

/*
 * Watches the file that place->path names now; a watch on an earlier one ends with that
 * file. False: not possible, though there is a file.
 */
static bool watch_file(const struct agent *agent, struct place *place)
{
	place->file = inotify_add_watch(agent->inotify, place->path,
					WATCHED_FILE);
	return place->file >= 0 || errno == ENOENT;
}

/*
 * Watches what is not watched yet. Returns whether there are new watches: what happened
 * before them went unseen. *RET_MISSING: something cannot be watched now.
 */
static bool watch_places(struct agent *agent, bool *ret_missing)
{
	bool more = false;

	*ret_missing = false;
	for (size_t i = 0; i < agent->count; i++) {
		struct place *place = &agent->places[i];

		if (place->parent < 0) {
			place->file = -1;
			place->parent = inotify_add_watch(agent->inotify,
							  place->directory,
							  WATCHED_DIRECTORY);
			more |= place->parent >= 0;
		}
		*ret_missing |= place->parent < 0;
		if (place->file < 0) {
			*ret_missing |= !watch_file(agent, place);
			more |= place->file >= 0;
		}
	}
	return more;
}

/* As concerns_us, for one place. */
static bool concerns_place(const struct agent *agent, struct place *place,
			   const struct inotify_event *event)
{
	const uint32_t moved = IN_MOVE_SELF | IN_DELETE_SELF;

	if (event->wd == place->file) {
		if (event->mask & IN_IGNORED)
			place->file = -1;
		return true;
	}
	if (event->wd != place->parent)
		return false;
	if (event->mask & (moved | IN_IGNORED)) {
		/* the watched directory may be elsewhere now */
		if (event->mask & moved)
			inotify_rm_watch(agent->inotify, place->parent);
		place->parent = -1;
		return true;
	}
	if (event->len == 0 || strcmp(event->name, place->name) != 0)
		return false;
	(void)!watch_file(agent, place);
	return true;
}

/* Whether EVENT concerns a pool. Watches new files, and leaves moved directories. */
static bool concerns_us(struct agent *agent, const struct inotify_event *event)
{
	bool concerns = event->mask & IN_Q_OVERFLOW;

	for (size_t i = 0; i < agent->count; i++)
		concerns |= concerns_place(agent, &agent->places[i], event);
	return concerns;
}

/* Reads all events; returns whether one concerns a pool. */
static bool read_events(struct agent *agent)
{
	_Alignas(struct inotify_event) char buf[8192];
	bool concerns = false;
	ssize_t size;

	do {
		size = read(agent->inotify, buf, sizeof(buf));
		for (ssize_t at = 0; at < size;) {
			const struct inotify_event *event =
				(const void *)&buf[at];

			concerns |= concerns_us(agent, event);
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	} while (size + LONGEST_EVENT > (ssize_t)sizeof(buf));
	return concerns;
}

/*
 * Sleeps until something has happened to a pool, the parent wants to be asked, or the
 * lost mount may be back: returns 1. 0: MS have passed (-1: never). -1: the serving
 * process is gone.
 */
static int wait_for_change(struct agent *agent, int ms)
{
	struct pollfd fds[] = {
		{ .fd = agent->inotify, .events = POLLIN },
		{ .fd = ERRANDS, .events = POLLIN },
		{ .fd = agent->is_lost ? agent->root.table : -1,
		  .events = POLLPRI },
	};

	for (;;) {
		bool missing;
		int n;

		if (watch_places(agent, &missing))
			return 1;
		n = poll(fds, sizeof(fds) / sizeof(*fds),
			 missing && ms < 0 ? PATIENCE_MS : ms);
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0 && fds[1].revents & (POLLHUP | POLLERR))
			return -1;
		if (n == 0)
			return 0;
		if (n > 0 &&
		    (read_events(agent) || fds[1].revents || fds[2].revents)) {
			watch_places(agent, &missing); /* before the question */
			return 1;
		}
	}
}

/* Opens the directory of an errand; -1: there is none, or it cannot be opened now. */
static int open_directory(struct agent *agent,
			  const struct kvpfs_errand *errand)
{
	const struct kvpfs_mount_root *root = &agent->root;
	int fd = kvpfs_mount_root_open(&agent->root)
			 ? fcntl(root->fd, F_DUPFD_CLOEXEC, 0)
			 : -1;

	if (fd >= 0 && strcmp(errand->directory, ".") != 0)
		fd = kvpfs_mount_root_enter(root, fd, errand->directory);
	if (fd >= 0 && errand->is_hidden)
		fd = kvpfs_mount_root_enter(root, fd, KVP_NAME_RESERVED);
	return fd;
}

/*
 * Has the kernel tell that the file is written, and then closed. It tells so of
 * fallocate(2), too. A write(2) would make an empty file's size 1 for a moment, and a
 * reader get a byte that is not there. Returns 0 or -errno.
 */
static int write_file(int fd)
{
	int r;

	if (fd < 0)
		return -errno;
	r = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1) != 0 ? -errno : 0;
	close(fd);
	return r;
}

static int run_errand(const struct agent *agent, int directory,
		      const struct kvpfs_errand *errand)
{
	const char *name = errand->name;
	struct stat st;
	int r;

	switch (errand->kind) {
	case KVPFS_ERRAND_MAKE:
		return write_file(
			openat(directory, name,
			       O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
	case KVPFS_ERRAND_WRITE:
		return write_file(kvpfs_mount_root_open_file(&agent->root,
							     directory, name));
	case KVPFS_ERRAND_TOUCH: /* the second look makes the kernel drop the name */
		r = write_file(kvpfs_mount_root_open_file(&agent->root,
							  directory, name));
		(void)!fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW);
		return r;
	case KVPFS_ERRAND_REMOVE:
		return unlinkat(directory, name, 0) != 0 ? -errno : 0;
	default:
		return 0;
	}
}

/*
 * Without a mount of our own, closes the mount's root, and after some busy time rests, so
 * that umount(8) finds the mount free.
 */
static void free_mount(struct agent *agent)
{
	int64_t now;

	if (agent->root.is_apart)
		return;
	kvpfs_mount_root_close(&agent->root);
	now = kvp_now_ms();
	if (agent->pins_since == 0)
		agent->pins_since = now;
	if (now - agent->pins_since < REST_MS)
		return;
	rest(REST_MS);
	agent->pins_since = 0;
}

static void do_errand(struct agent *agent, const struct kvpfs_errand *errand)
{
	int directory = open_directory(agent, errand);
	int r = directory < 0 ? -errno : run_errand(agent, directory, errand);

	kvp_close(directory);
	agent->is_hindered = kvpfs_mount_root_is_for_now(-r);
	agent->is_lost = directory < 0 && !agent->is_hindered;
	free_mount(agent);
	if (agent->is_hindered)
		rest(REST_MS);
}

/* Asks what is to be done. False: the serving process is gone. */
static bool ask(const struct agent *agent, struct kvpfs_errand *errand)
{
	const char question = agent->is_hindered ? KVPFS_QUESTION_AGAIN
						 : KVPFS_QUESTION_NEXT;
	struct pollfd answer = { .fd = ERRANDS, .events = POLLIN };
	int ms = ANSWER_MS;

	if (write(QUESTIONS, &question, 1) != 1)
		return false;
	/* calls may come before the answer; they are no reason to wait without end */
	errand->kind = KVPFS_ERRAND_LOOK;
	while (errand->kind == KVPFS_ERRAND_LOOK &&
	       getppid() == agent->parent) {
		/* it is lost if it comes just before the loop blocks in read(2) */
		kill(agent->parent, KVPFS_AGENT_SIGNAL);
		if (poll(&answer, 1, ms) > 0 &&
		    read(ERRANDS, errand, sizeof(*errand)) != sizeof(*errand))
			return false;
		ms = longer(ms, PATIENCE_MS);
	}
	return errand->kind != KVPFS_ERRAND_LOOK;
}

/* What do_errands found. */
enum done {
	DONE_NOTHING,
	DONE_SOMETHING,
	DONE_NOT_ALL, /* a pool is locked: there may be more to do */
};

/* Does all errands that there are now. False: the serving process is gone. */
static bool do_errands(struct agent *agent, enum done *ret_done)
{
	struct kvpfs_errand errand;

	agent->is_lost = false;
	agent->pins_since = 0;
	*ret_done = DONE_NOTHING;
	do {
		if (!ask(agent, &errand))
			return false;
		if (errand.kind > KVPFS_ERRAND_LOOK) {
			do_errand(agent, &errand);
			*ret_done = DONE_SOMETHING;
		}
	} while (errand.kind > KVPFS_ERRAND_LOOK && !agent->is_lost);
	kvpfs_mount_root_close(&agent->root);
	if (errand.kind == KVPFS_ERRAND_LATER)
		*ret_done = DONE_NOT_ALL;
	return true;
}

static void run(struct agent *agent)
{
	int pause = REST_MS;
	int wait = SHORT_REST_MS;
	enum done done;
	bool missing;
	int n;

	agent->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (kvpfs_mount_root_init(&agent->root, agent->config->mountpoint,
				  agent->config->device) != 0 ||
	    agent->inotify < 0 || find_places(agent) != 0)
		return;
	watch_places(agent, &missing);
	while (do_errands(agent, &done)) {
		pause = done == DONE_NOTHING ? longer(pause, LONG_REST_MS)
					     : REST_MS;
		rest(done == DONE_NOT_ALL ? SHORT_REST_MS : pause);
		n = wait_for_change(agent, done == DONE_NOT_ALL ? wait : -1);
		if (n < 0)
			return;
		wait = n > 0 ? SHORT_REST_MS : longer(wait, PATIENCE_MS);
	}
}

static void close_rest(void)
{
#ifdef SYS_close_range
	if (syscall(SYS_close_range, QUESTIONS + 1U, ~0U, 0) == 0)
		return;
#endif
	for (int fd = QUESTIONS + 1; fd < (int)sysconf(_SC_OPEN_MAX); fd++)
		close(fd);
}

/* In the child: closes what it has of its parent's, above all /dev/fuse. */
static void leave_parent(pid_t parent, int errands, int questions)
{
	static const int signals[] = {
		SIGALRM,
		SIGCHLD,
		SIGPIPE,
		KVPFS_AGENT_SIGNAL,
	};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	prctl(PR_SET_NAME, "kvpfs-watch");
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		signal(signals[i], SIG_DFL);
	/* a terminal or service manager sends these: it ends with its parent instead */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	/* first out of the way: its number may be ERRANDS */
	questions = fcntl(questions, F_DUPFD, QUESTIONS + 1);
	dup2(errands, ERRANDS);
	dup2(questions, QUESTIONS);
	close_rest();
}

/* Two pipes: [0] is to be read from, [1] to be written to. */
static int open_pipes(int errands[2], int questions[2])
{
	int errnum;

	if (pipe2(errands, O_CLOEXEC) != 0)
		return -errno;
	if (pipe2(questions, O_CLOEXEC) == 0) {
		fcntl(errands[1], F_SETFL, O_NONBLOCK);
		fcntl(questions[0], F_SETFL, O_NONBLOCK);
		return 0;
	}
	errnum = errno;
	kvp_close(errands[0]);
	kvp_close(errands[1]);
	return -errnum;
}

int kvpfs_agent_start(struct kvpfs_agent *ret_agent,
		      const struct kvpfs_agent_config *config)
{
	struct agent agent = { .config = config, .parent = getpid() };
	int errands[2] = { -1, -1 };
	int questions[2] = { -1, -1 };
	int r = open_pipes(errands, questions);

	if (r)
		return r;
	ret_agent->pid = fork();
	if (ret_agent->pid == 0) {
		leave_parent(agent.parent, errands[0], questions[1]);
		config->forget(config->arg);
		run(&agent);
		_exit(0);
	}
	r = ret_agent->pid < 0 ? -errno : 0;
	kvp_close(errands[0]);
	kvp_close(questions[1]);
	ret_agent->errands = errands[1];
	ret_agent->questions = questions[0];
	if (r)
		kvpfs_agent_release(ret_agent);
	return r;
}

void kvpfs_agent_release(struct kvpfs_agent *agent)
{
	agent->errands = kvp_close(agent->errands);
	agent->questions = kvp_close(agent->questions);
}
