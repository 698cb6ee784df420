/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <fuse_log.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool use_syslog;

void kvpfs_log_open(bool to_syslog)
{
	use_syslog = to_syslog;
	if (to_syslog)
		openlog("kvpfs", LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

static void log_line(int priority, char *line)
{
	line[strcspn(line, "\n")] = '\0';
	if (use_syslog)
		syslog(priority, "%s", line);
	else
		fprintf(stderr, "kvpfs: %s\n", line);
}

void kvpfs_log(int priority, const char *format, ...)
{
	char line[KVPFS_QUOTED_MAX + 256];
	va_list args;

	va_start(args, format);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is */
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	log_line(priority, line);
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
	log_line((int)level, line);
	len = 0;
}

void kvpfs_log_adopt_fuse(void)
{
	fuse_set_log_func(log_fuse);
}

const char *kvpfs_quote(struct kvp_bytes text, char buf[KVPFS_QUOTED_MAX])
{
	char *end = buf;

	*end++ = '"';
	for (size_t i = 0; i < text.len && end + 6 < buf + KVPFS_QUOTED_MAX;
	     i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (c < ' ' || c >= 0x7f || c == '"' || c == '\\')
			end += sprintf(end, "\\x%02X", c);
		else
			*end++ = (char)c;
	}
	*end++ = '"';
	*end = '\0';
	return buf;
}
