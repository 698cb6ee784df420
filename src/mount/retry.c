/* SPDX-License-Identifier: MIT */
#include "retry.h"

#include <time.h>

#include "store.h"
#include "util.h"

int kvpfs_retry(kvpfs_step *step, void *arg, int64_t deadline_ms)
{
	const struct timespec pause = {
		.tv_nsec = KVP_LOCK_PAUSE_MS * 1000000L,
	};
	int r = step(arg);

	while (r == KVP_LOCKED && kvp_now_ms() < deadline_ms) {
		nanosleep(&pause, NULL);
		r = step(arg);
	}
	return r;
}
