/* SPDX-License-Identifier: MIT */
/*
 * Messages of kvp on stderr: one line per failure, worded as kvpfs words it. They never
 * hold a value, as pools hold secrets.
 */
#ifndef CMD_MESSAGE_H
#define CMD_MESSAGE_H

/* The exit statuses of the program. */
enum cmd_exit {
	CMD_DONE = 0,
	CMD_NO = 1, /* absent, not stale, time is up */
	CMD_USAGE = 2,
	CMD_REFUSED = 3, /* by a rule of the store */
	CMD_FAILED = 4,	 /* lock, I/O */
};

/* One line, to which "kvp: " and the newline are added, in one write(2). */
void cmd_message(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The exit status that a RESULT of the core stands for. */
enum cmd_exit cmd_exit_of(int result);

#endif
