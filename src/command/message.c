/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quote.h"
#include "result.h"
#include "util.h"

/* Prints TEXT as one line, whatever is in it. */
static void print_line(const char *text)
{
	size_t size = KVP_QUOTED_LINE_MAX(strlen(text));
	char *line = malloc(size);

	fprintf(stderr, "kvp: %s\n",
		line ? kvp_quote_line(text, line, size) : strerror(ENOMEM));
	free(line);
}

void cmd_message(const char *format, ...)
{
	kvp_autofree char *text = NULL;
	va_list args;
	int len;

	va_start(args, format);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is */
	len = vasprintf(&text, format, args);
	va_end(args);
	if (len < 0)
		text = NULL; /* its content is undefined */
	print_line(text ? text : strerror(ENOMEM));
}

enum cmd_exit cmd_exit_of(int result)
{
	switch (result) {
	case 0:
		return CMD_DONE;
	case KVP_ABSENT:
		return CMD_NO;
	case KVP_LOCKED:
		return CMD_FAILED;
	default:
		return result > 0 ? CMD_REFUSED : CMD_FAILED;
	}
}
