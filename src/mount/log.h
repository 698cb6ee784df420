/* SPDX-License-Identifier: MIT */
/*
 * Where messages go: stderr in the foreground, syslog in the background. One line
 * per failure, lower case, naming its object in quotes. Never values: pools hold
 * secrets.
 */
#ifndef KVPFS_LOG_H
#define KVPFS_LOG_H

#include <stdbool.h>
#include <syslog.h>

#include "bytes.h"

/* From here on to syslog (TO_SYSLOG) or to stderr, which is also the default. */
void kvpfs_log_open(bool to_syslog);

/* Also passes on what libfuse has to say. */
void kvpfs_log_adopt_fuse(void);

void kvpfs_log(int priority, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Enough for any key in quotes with each byte escaped. */
#define KVPFS_QUOTED_MAX (2 + 4 * 1024 + 1)

/*
 * TEXT in double quotes, with what could forge a log line or confuse a terminal
 * as \xHH, in BUF; longer texts are cut. Returns BUF.
 */
const char *kvpfs_quote(struct kvp_bytes text, char buf[KVPFS_QUOTED_MAX]);

#endif
