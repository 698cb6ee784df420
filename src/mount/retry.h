/* SPDX-License-Identifier: MIT */
/*
 * Waiting for the pool's lock while nothing is served: before there is a mount, and after
 * its end. The session loop never waits; it puts calls aside that find the pool locked
 * (call.h).
 */
#ifndef KVPFS_RETRY_H
#define KVPFS_RETRY_H

#include <stdint.h>

/* One try. It has changed nothing if it returns KVP_LOCKED. */
typedef int kvpfs_step(void *arg);

/*
 * Runs STEP with ARG until it returns something else than KVP_LOCKED, or until
 * DEADLINE_MS (as kvp_now_ms counts) has passed; once at least. Returns STEP's last
 * result. A signal with a handler does not end the wait.
 */
int kvpfs_retry(kvpfs_step *step, void *arg, int64_t deadline_ms);

#endif
