/* SPDX-License-Identifier: MIT */
/*
 * ".kvpfs/events": a stream that blocks until the pool changes. A read that finds
 * nothing is parked. After each request, and when the pool's descriptor tells of a
 * change by others, the differences become lines (events.h) and the reads go on. It
 * costs nothing while it is not open, and wakes nobody while nothing happens.
 *
 * A handle's offsets count from its open, so that programs may read a block and
 * seek back to the end of the line that they wanted (head, read). tail(1) follows a
 * file by its size. So each lookup gets a node of its own, whose size is the number of
 * bytes that there have been to read since its open.
 */
#ifndef KVPFS_CONTROL_EVENTS_H
#define KVPFS_CONTROL_EVENTS_H

#include <poll.h>

#include "control_dir.h"
#include "events.h"

extern const struct kvpfs_control_kind kvpfs_control_events;

/* Sets up the stream of DIR; -ENOMEM. */
int kvpfs_stream_init(struct kvpfs_dir *dir);

/* Frees the stream, if it was set up, and the nodes that the kernel still knows. */
void kvpfs_stream_release(struct kvpfs_dir *dir);

/* Whether there are readers; and whether a look is due that no descriptor tells of. */
bool kvpfs_events_are_read(const struct kvpfs *fs);
bool kvpfs_events_are_due(const struct kvpfs *fs);

/*
 * Fills in FDS (room for KVPFS_MAX_DIRS) with descriptors that become readable when a
 * look is due. Returns how many.
 */
size_t kvpfs_events_descriptors(const struct kvpfs *fs, struct pollfd fds[]);

/* Looks for changes, and lets waiting readers go on. */
void kvpfs_events_look(struct kvpfs *fs);

#endif
