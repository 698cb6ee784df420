/* SPDX-License-Identifier: MIT */
#include "refusals.h"

#include <stdlib.h>

/* A caller that was refused. */
struct kvpfs_refusal {
	pid_t pid;
	uint64_t at; /* the count of lookups then */
};

void kvpfs_refusals_release(struct kvpfs_refusals *refusals)
{
	free(refusals->list);
	*refusals = (struct kvpfs_refusals){ 0 };
}

static struct kvpfs_refusal *find(const struct kvpfs_refusals *refusals,
				  pid_t pid)
{
	for (size_t i = 0; i < refusals->count; i++)
		if (refusals->list[i].pid == pid)
			return &refusals->list[i];
	return NULL;
}

void kvpfs_refusals_settle(struct kvpfs_refusals *refusals, pid_t pid)
{
	struct kvpfs_refusal *refusal = find(refusals, pid);

	if (refusal)
		*refusal = refusals->list[--refusals->count];
}

/* Drops the callers that will not come back. */
static void drop_old(struct kvpfs_refusals *refusals)
{
	size_t i = 0;

	while (i < refusals->count) {
		if (refusals->lookups - refusals->list[i].at >
		    KVPFS_REFUSAL_LOOKUPS)
			refusals->list[i] = refusals->list[--refusals->count];
		else
			i++;
	}
}

static bool make_room(struct kvpfs_refusals *refusals)
{
	size_t room = refusals->room ? refusals->room * 2 : 64;
	struct kvpfs_refusal *moved;

	if (refusals->count == refusals->room)
		drop_old(refusals);
	if (refusals->count < refusals->room)
		return true;
	if (room > KVPFS_REFUSALS_MAX)
		return false;
	moved = realloc(refusals->list, room * sizeof(*moved));
	if (!moved)
		return false;
	refusals->list = moved;
	refusals->room = room;
	return true;
}

static bool is_full(struct kvpfs_refusals *refusals)
{
	if (refusals->count == KVPFS_REFUSALS_MAX)
		drop_old(refusals);
	return refusals->count == KVPFS_REFUSALS_MAX;
}

bool kvpfs_refusals_isolate(struct kvpfs_refusals *refusals, pid_t pid)
{
	return pid == 0 || find(refusals, pid) || is_full(refusals);
}

bool kvpfs_refusals_add(struct kvpfs_refusals *refusals, pid_t pid)
{
	if (pid == 0 || find(refusals, pid) || !make_room(refusals))
		return false;
	refusals->list[refusals->count++] = (struct kvpfs_refusal){
		pid, refusals->lookups
	};
	return true;
}
