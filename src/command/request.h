/* SPDX-License-Identifier: MIT */
/*
 * What the command line asks for: a command, its pool, its arguments and its options.
 * This header holds no code; options.h fills a request in.
 */
#ifndef CMD_REQUEST_H
#define CMD_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store.h"

struct cmd_session;

/* What a command does to the pool. */
enum cmd_access {
	CMD_READS,   /* reads it once, and never makes it */
	CMD_LOOKS,   /* reads it again and again, and never makes it */
	CMD_CHANGES, /* opens it for writing, once */
	CMD_OPENS,   /* the command itself opens it, if it needs it */
};

struct cmd_command {
	const char *name;
	const char *arguments; /* for the usage line */
	const char *summary;   /* one line */
	const char *details;   /* lines about its options; may be empty */
	size_t min_args;
	size_t max_args;
	unsigned int options; /* set of enum cmd_option that it takes */
	enum cmd_access access;
	int (*run)(struct cmd_session *session); /* returns an exit status */
};

/* Options that some commands take; they are used as a set. */
enum cmd_option {
	CMD_N = 1 << 0,	       /* -n: no newline; report: store nothing */
	CMD_ALL = 1 << 1,      /* -a */
	CMD_LONG = 1 << 2,     /* -l */
	CMD_JSON = 1 << 3,     /* --json */
	CMD_NAMES = 1 << 4,    /* --names */
	CMD_TIMEOUT = 1 << 5,  /* -t */
	CMD_NEW = 1 << 6,      /* --new */
	CMD_IF_STALE = 1 << 7, /* --if-stale */
	CMD_REPORT = 1 << 8,   /* options of report that take an argument */
};

/* What a provisioning report says; NULL: not given. */
struct cmd_report {
	const char *reason;
	const char *agent;
	const char *pps_type;
	const char *vm_id;
	const char *url;
	const char **extras; /* KEY=VALUE each */
	size_t extra_count;
};

struct cmd_request {
	const struct cmd_command *command; /* NULL: help or version is wanted */
	const char *pool;
	enum kvp_mode mode;
	int lock_timeout_ms;
	int64_t timeout_ms; /* of wait; -1: none */
	unsigned int given; /* set of enum cmd_option */
	bool help;
	bool version;
	struct cmd_report report;
	char **args; /* of the command */
	size_t arg_count;
};

static inline bool cmd_has(const struct cmd_request *request,
			   enum cmd_option option)
{
	return request->given & option;
}

#endif
