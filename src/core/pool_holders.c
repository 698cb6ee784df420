/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "pool.h"
#include "util.h"

/*
 * Limits of the search. Anybody may have any number of locks, files and processes; to
 * list a hundred thousand locks takes the kernel many seconds. The time is the
 * processor's, so that as much is found on a busy machine as on an idle one.
 */
#define MAX_LINES 1000
#define MAX_DESCRIPTORS 256 /* of a process */
#define MAX_SEARCH (CLOCKS_PER_SEC / 25)

/* Whose locks are looked for, and who was found. */
struct search {
	const struct stat *st; /* of the locked file */
	pid_t *pids;
	size_t max;
	size_t count;
	clock_t end; /* when clock(3) says so */
};

/*
 * Whether TEXT, a lock as /proc/locks and proc_pid_fdinfo(5) show it, is one on ST's
 * file. *RET_PID is the process that asked for it, -1 for an open-file-description lock.
 * Lines about waiting processes have an arrow in front and do not parse.
 */
static bool parse_lock(const char *text, const struct stat *st, pid_t *ret_pid)
{
	unsigned long long inode;
	unsigned int dev_major;
	unsigned int dev_minor;
	int pid;

	/* NOLINTNEXTLINE(cert-err34-c): the kernel writes numbers that fit */
	if (sscanf(text, "%*d: %*s %*s %*s %d %x:%x:%llu", &pid, &dev_major,
		   &dev_minor, &inode) != 4)
		return false;
	*ret_pid = pid;
	return inode == st->st_ino && dev_major == major(st->st_dev) &&
	       dev_minor == minor(st->st_dev);
}

static void add(struct search *search, pid_t pid)
{
	for (size_t i = 0; i < search->count; i++)
		if (search->pids[i] == pid)
			return;
	if (search->count < search->max)
		search->pids[search->count++] = pid;
}

/* Whether the descriptor NAME of a process, whose fdinfo is DIR, holds a lock. */
static bool descriptor_holds(const struct search *search, int dir,
			     const char *name)
{
	static const char tag[] = "lock:";
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	FILE *info = fd < 0 ? NULL : fdopen(fd, "r");
	char line[256];
	bool found = false;
	pid_t pid;

	while (info && !found && fgets(line, sizeof(line), info))
		found = strncmp(line, tag, strlen(tag)) == 0 &&
			parse_lock(line + strlen(tag), search->st, &pid);
	if (info)
		(void)fclose(info);
	else
		kvp_close(fd);
	return found;
}

/*
 * Whether the descriptor NAME in DIR, the fd of a process, may be of a file. Its link is
 * only read: to follow it could mean to ask a file system that never answers, or this
 * very program.
 */
static bool may_be_file(int dir, const char *name)
{
	char target[6];
	ssize_t len = readlinkat(dir, name, target, sizeof(target));

	return len > 0 && target[0] == '/' && strncmp(target, "/dev/", 5) != 0;
}

static bool is_over(const struct search *search)
{
	return search->count >= search->max || clock() >= search->end;
}

/* A directory of PID in /proc, or -1. */
static int open_of_process(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Whether one of the descriptors in FDS, of PID, holds a lock. */
static bool any_holds(const struct search *search, DIR *fds, pid_t pid)
{
	const struct dirent *entry = readdir(fds);
	bool found = false;
	int infos = -1;

	for (int i = 0; entry && !found && i < MAX_DESCRIPTORS;
	     i++, entry = readdir(fds)) {
		if (!may_be_file(dirfd(fds), entry->d_name))
			continue;
		if (infos < 0)
			infos = open_of_process(pid, "fdinfo");
		found = descriptor_holds(search, infos, entry->d_name);
	}
	kvp_close(infos);
	return found;
}

/* Whether PID holds a lock; -errno: it does not let us see. */
static int process_holds(const struct search *search, pid_t pid)
{
	int fd = open_of_process(pid, "fd");
	DIR *fds = fd < 0 ? NULL : fdopendir(fd);
	int r = -errno;

	if (!fds) {
		kvp_close(fd);
		return r;
	}
	r = any_holds(search, fds, pid);
	(void)closedir(fds);
	return r;
}

/*
 * Asks the list of all locks. Returns whether it named all holders: a lock can outlive
 * the process that took it, in others that have the descriptor.
 */
static bool look_at_locks(struct search *search)
{
	kvp_autofree char *line = NULL;
	size_t size = 0;
	size_t missing = 0;
	FILE *locks = fopen("/proc/locks", "re");
	pid_t pid;
	int holds;

	for (int i = 0; locks && i < MAX_LINES && !is_over(search) &&
			getline(&line, &size, locks) > 0;
	     i++) {
		if (!parse_lock(line, search->st, &pid))
			continue;
		holds = pid > 0 ? process_holds(search, pid) : 0;
		/* a process that we may not look into counts as a holder */
		if (holds == 1 || holds == -EACCES)
			add(search, pid);
		else
			missing++;
	}
	if (locks)
		(void)fclose(locks);
	return missing == 0 && search->count > 0;
}

/* Looks at the descriptors of all processes. */
static void look_at_processes(struct search *search)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;

	while (proc && !is_over(search)) {
		entry = readdir(proc);
		if (!entry)
			break;
		if (isdigit((unsigned char)entry->d_name[0])) {
			pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

			if (process_holds(search, pid) == 1)
				add(search, pid);
		}
	}
	if (proc)
		(void)closedir(proc);
}

/*
 * A process may hold locks of several kinds; and the kernel tells of one lock twice if
 * others come and go between two reads of the list.
 */
size_t kvp_pool_holders(const struct kvp_pool *pool, pid_t pids[], size_t max)
{
	struct search search = {
		.st = &pool->st,
		.pids = pids,
		.max = max,
		.end = clock() + MAX_SEARCH,
	};

	if (kvp_pool_exists(pool) && !look_at_locks(&search))
		look_at_processes(&search);
	return search.count;
}
