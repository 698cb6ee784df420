/* SPDX-License-Identifier: MIT */
/*
 * Callers that were refused with ESTALE and have not come back yet. The kernel looks a
 * name up once more upon that, and only once, so nobody must be refused twice. This
 * module only keeps the list; versions.h decides who is refused. No FUSE, no I/O.
 */
#ifndef KVPFS_REFUSALS_H
#define KVPFS_REFUSALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The most callers in the list; each takes 16 bytes. */
#define KVPFS_REFUSALS_MAX 4096

/* If a caller has not come back after so many lookups, it was killed. */
#define KVPFS_REFUSAL_LOOKUPS ((uint64_t)1 << 20)

struct kvpfs_refusal;

/* All zeros: nobody was refused. */
struct kvpfs_refusals {
	struct kvpfs_refusal *list; /* no order */
	size_t count;
	size_t room;
	uint64_t lookups; /* counted by versions */
};

void kvpfs_refusals_release(struct kvpfs_refusals *refusals);

/*
 * Notes that PID is refused, and returns true. False: PID must not be refused, as it is 0
 * (not known), was refused and has not come back, or there is no room. Serve and settle
 * it then. Files are not told apart: the name may stand for another one after a refusal.
 */
bool kvpfs_refusals_add(struct kvpfs_refusals *refusals, pid_t pid);

/* PID was served: takes it off the list. */
void kvpfs_refusals_settle(struct kvpfs_refusals *refusals, pid_t pid);

/* Whether a lookup by PID must get a node that no other caller can come to. */
bool kvpfs_refusals_isolate(struct kvpfs_refusals *refusals, pid_t pid);

#endif
