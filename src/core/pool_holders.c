/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <sys/sysmacros.h>

#include "pool.h"
#include "util.h"

/*
 * How far to look: anybody may hold as many locks as he likes, of which the kernel
 * shows a hundred thousand in no less than many seconds.
 */
#define MAX_LINES 1000

/*
 * The holder of a lock on ST's file that LINE of /proc/locks (proc(5)) is about.
 * Returns whether it names one: there is none for an open-file-description lock, and
 * lines of those who wait have an arrow in front and do not parse.
 */
static bool parse_lock(const char *line, const struct stat *st, pid_t *ret_pid)
{
	unsigned long long inode;
	unsigned int dev_major;
	unsigned int dev_minor;
	int pid;

	/* NOLINTNEXTLINE(cert-err34-c): the kernel writes numbers that fit */
	if (sscanf(line, "%*d: %*s %*s %*s %d %x:%x:%llu", &pid, &dev_major,
		   &dev_minor, &inode) != 4)
		return false;
	*ret_pid = pid;
	return pid > 0 && inode == st->st_ino &&
	       dev_major == major(st->st_dev) && dev_minor == minor(st->st_dev);
}

static bool contains(const pid_t pids[], size_t count, pid_t pid)
{
	while (count > 0)
		if (pids[--count] == pid)
			return true;
	return false;
}

/*
 * A process may hold locks of several kinds; and the kernel tells of one lock twice if
 * others come and go between two reads of the list.
 */
size_t kvp_pool_holders(const struct kvp_pool *pool, pid_t pids[], size_t max)
{
	kvp_autofree char *line = NULL;
	size_t size = 0;
	size_t count = 0;
	FILE *locks;

	if (!kvp_pool_exists(pool))
		return 0;
	locks = fopen("/proc/locks", "re");
	for (int i = 0; locks && i < MAX_LINES && count < max &&
			getline(&line, &size, locks) > 0;
	     i++)
		count += parse_lock(line, &pool->st, &pids[count]) &&
			 !contains(pids, count, pids[count]);
	if (locks)
		(void)fclose(locks);
	return count;
}
