/* SPDX-License-Identifier: MIT */
/*
 * Callers that may still be in the call that has looked a node up: our answer has gone
 * out, but they may not have gone on with it. A caller is through when it looks something
 * up again, when it has ended, or after a second. This module only keeps the list;
 * versions.h decides what follows. No FUSE.
 */
#ifndef KVPFS_LOOKS_H
#define KVPFS_LOOKS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A power of two. If there is no room for a caller, any node counts as looked up. */
#define KVPFS_LOOKS_MAX 64

/* After so long a caller is through, as good as always. */
#define KVPFS_LOOK_MS 1000

struct kvpfs_look {
	pid_t pid; /* of the caller; 0: nobody */
	const void *node;
	int64_t ms; /* when it was answered */
};

/* All zeros: nobody has looked anything up. */
struct kvpfs_looks {
	struct kvpfs_look list[KVPFS_LOOKS_MAX];
	int64_t lost_ms; /* when there was no room; 0: never */
	pid_t last; /* who looked last, and who alone did after others_ms */
	int64_t others_ms;
};

/* PID, which is not 0, has looked NODE up. */
void kvpfs_looks_note(struct kvpfs_looks *looks, pid_t pid, const void *node);

/* Whether somebody else than PID may still be in the call that has looked NODE up. */
bool kvpfs_looks_by_others(const struct kvpfs_looks *looks, pid_t pid,
			   const void *node);

#endif
