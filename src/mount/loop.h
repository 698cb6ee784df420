/* SPDX-License-Identifier: MIT */
/*
 * The session's loop: takes one request after the other, lets waiting calls go on, and
 * ends by a signal or when the directory is unmounted. ops.c serves the requests.
 */
#ifndef KVPFS_LOOP_H
#define KVPFS_LOOP_H

#include <stdbool.h>

#include "fs.h"

/*
 * From now on SIGTERM, SIGINT and SIGHUP end the loop in good order; if they come before
 * kvpfs_loop_run, it ends at once. SIGPIPE and SIGXFSZ do no harm.
 */
void kvpfs_loop_catch_signals(void);

/*
 * Serves the mounted FS until the end. Files that were closed by then are stored, for
 * which it waits as long as any call does; open files are not. Returns 0, or -errno if
 * it cannot go on.
 */
int kvpfs_loop_run(struct kvpfs *fs);

#endif
