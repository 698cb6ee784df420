/* SPDX-License-Identifier: MIT */
#include "looks.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>

#include "util.h"

/* Where a caller may be in the list: in one of so many places, from its number on. */
#define PLACES 8

static bool is_recent(int64_t ms, int64_t now)
{
	return ms != 0 && now - ms < KVPFS_LOOK_MS;
}

static bool has_ended(pid_t pid)
{
	return kill(pid, 0) != 0 && errno == ESRCH;
}

static bool is_through(const struct kvpfs_look *look, int64_t now)
{
	return look->pid == 0 || !is_recent(look->ms, now) ||
	       has_ended(look->pid);
}

static struct kvpfs_look *place(struct kvpfs_looks *looks, pid_t pid,
				unsigned int i)
{
	return &looks->list[((unsigned int)pid + i) % KVPFS_LOOKS_MAX];
}

/* PID's own place, or one that is free; NULL: there is none. */
static struct kvpfs_look *find_place(struct kvpfs_looks *looks, pid_t pid,
				     int64_t now)
{
	for (unsigned int i = 0; i < PLACES; i++)
		if (place(looks, pid, i)->pid == pid)
			return place(looks, pid, i);
	for (unsigned int i = 0; i < PLACES; i++)
		if (is_through(place(looks, pid, i), now))
			return place(looks, pid, i);
	return NULL;
}

void kvpfs_looks_note(struct kvpfs_looks *looks, pid_t pid, const void *node)
{
	int64_t now = kvp_now_ms();
	struct kvpfs_look *look = find_place(looks, pid, now);

	if (looks->last != pid)
		looks->others_ms = now;
	looks->last = pid;
	if (look)
		*look = (struct kvpfs_look){ pid, node, now };
	else
		looks->lost_ms = now;
}

bool kvpfs_looks_by_others(const struct kvpfs_looks *looks, pid_t pid,
			   const void *node)
{
	int64_t now = kvp_now_ms();

	/* the list is in no cache, and most often there is one caller */
	if (looks->last == pid && !is_recent(looks->others_ms, now))
		return false;
	if (is_recent(looks->lost_ms, now))
		return true;
	for (size_t i = 0; i < KVPFS_LOOKS_MAX; i++) {
		const struct kvpfs_look *look = &looks->list[i];

		if (look->node == node && look->pid != pid &&
		    !is_through(look, now))
			return true;
	}
	return false;
}
