/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <fuse_log.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util.h"

/* So many different lines are remembered, each for so long. */
#define RECENT_LINES 8
#define RECENT_MS 60000

enum log_target { TO_STDERR, TO_JOURNAL, TO_SYSLOG };

/* A line that was written. */
struct recent {
	char *text;
	int64_t written_ms; /* when */
	int priority;
	unsigned int repeats; /* that were counted and not told yet */
};

static enum log_target target;
static struct recent recent[RECENT_LINES];
static size_t next_recent; /* the oldest */

/* Whether stderr is the stream that JOURNAL_STREAM (systemd.exec(5)) names. */
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char actual[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) != 0)
		return false;
	snprintf(actual, sizeof(actual), "%ju:%ju", (uintmax_t)st.st_dev,
		 (uintmax_t)st.st_ino);
	return strcmp(stream, actual) == 0;
}

void kvpfs_log_open(bool to_syslog)
{
	if (to_syslog) {
		target = TO_SYSLOG;
		openlog("kvpfs", LOG_PID | LOG_NDELAY, LOG_DAEMON);
	} else {
		target = is_journal() ? TO_JOURNAL : TO_STDERR;
	}
}

static void write_line(int priority, const char *text, const char *details)
{
	char line[KVPFS_LOG_MAX];

	kvp_quote_line(text, line, sizeof(line));
	if (target == TO_SYSLOG)
		syslog(priority, "%s%s", line, details);
	else if (target == TO_JOURNAL)
		fprintf(stderr, "<%d>%s%s\n", priority, line, details);
	else
		fprintf(stderr, "kvpfs: %s%s\n", line, details);
}

static void tell_repeats(struct recent *line)
{
	char count[64];

	if (line->repeats == 0)
		return;
	snprintf(count, sizeof(count), " (repeated %u time%s)", line->repeats,
		 line->repeats == 1 ? "" : "s");
	line->repeats = 0;
	write_line(line->priority, line->text, count);
}

static void tell_all_repeats(void)
{
	for (size_t i = 0; i < RECENT_LINES; i++)
		tell_repeats(&recent[(next_recent + i) % RECENT_LINES]);
}

void kvpfs_log_close(void)
{
	tell_all_repeats();
	for (size_t i = 0; i < RECENT_LINES; i++) {
		free(recent[i].text);
		recent[i].text = NULL;
	}
}

static struct recent *find_recent(const char *text)
{
	for (size_t i = 0; i < RECENT_LINES; i++)
		if (recent[i].text && strcmp(recent[i].text, text) == 0)
			return &recent[i];
	return NULL;
}

/* Adds a line in place of the oldest one. */
static struct recent *add_recent(int priority, const char *text)
{
	struct recent *line = &recent[next_recent];

	next_recent = (next_recent + 1) % RECENT_LINES;
	free(line->text);
	*line = (struct recent){ .text = strdup(text), .priority = priority };
	return line;
}

bool kvpfs_log_is_due(int priority, const char *text)
{
	struct recent *line = find_recent(text);
	int64_t now = kvp_now_ms();

	if (line && now - line->written_ms < RECENT_MS) {
		line->repeats++;
		return false;
	}
	tell_all_repeats();
	if (!line)
		line = add_recent(priority, text);
	line->written_ms = now;
	return true;
}

void kvpfs_log_details(int priority, const char *text, const char *details)
{
	write_line(priority, text, details);
}

void kvpfs_log(int priority, const char *format, ...)
{
	char line[KVPFS_LOG_MAX];
	va_list args;

	va_start(args, format);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is */
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (kvpfs_log_is_due(priority, line))
		write_line(priority, line, "");
}

/* libfuse's levels are syslog's priorities; its lines may come in pieces. */
static void log_fuse(enum fuse_log_level level, const char *format,
		     va_list args)
{
	static char line[1024];
	static size_t len;
	int added = vsnprintf(line + len, sizeof(line) - len, format, args);

	if (added > 0)
		len += (size_t)added;
	if (len >= sizeof(line))
		len = sizeof(line) - 1;
	if (len == 0 || (line[len - 1] != '\n' && len < sizeof(line) - 1))
		return;
	write_line((int)level, line, "");
	len = 0;
}

void kvpfs_log_adopt_fuse(void)
{
	fuse_set_log_func(log_fuse);
}
