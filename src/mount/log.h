/* SPDX-License-Identifier: MIT */
/*
 * Where messages go: stderr in the foreground, syslog in the background. One line
 * per failure, lower case, naming its object in quotes. Never values: pools hold
 * secrets.
 *
 * A line that was written within the last minute is only counted when it comes again.
 * "LINE (repeated N times)" tells the count: before the next line that is written, and at
 * the end.
 */
#ifndef KVPFS_LOG_H
#define KVPFS_LOG_H

#include <stdbool.h>
#include <syslog.h>

#include "quote.h"

/* A longer line is cut. */
#define KVPFS_LOG_MAX (KVP_QUOTED_MAX + 512)

/*
 * From here on lines go to syslog (TO_SYSLOG) or to stderr, which is also the default. If
 * stderr is the journal's, lines begin with their priority instead of "kvpfs: ".
 */
void kvpfs_log_open(bool to_syslog);

/* Tells the counts. */
void kvpfs_log_close(void);

/* From here on the messages of libfuse go to the log, too. */
void kvpfs_log_adopt_fuse(void);

void kvpfs_log(int priority, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * For lines with details that do not make them another line, or that cost something to
 * find out. kvpfs_log_is_due: whether TEXT is to be written now; if not, it was counted.
 * kvpfs_log_details writes it, with the details behind it.
 */
bool kvpfs_log_is_due(int priority, const char *text);
void kvpfs_log_details(int priority, const char *text, const char *details);

#endif
