/* SPDX-License-Identifier: MIT */
/*
 * What /proc tells of a process: its name, for messages, and whether a signal ends it.
 * Nothing is looked for here: the caller knows the pid.
 */
#ifndef KVP_PROCESS_H
#define KVP_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/* Enough for what kvp_process_describe writes. */
#define KVP_PROCESS_MAX 160

/*
 * Writes `pid 123 "name"` to BUF and returns BUF. A process chooses its name itself, so
 * it is quoted. It is empty if /proc does not say. PID may be the number of a thread.
 */
const char *kvp_process_describe(pid_t pid, char buf[KVP_PROCESS_MAX]);

/* Whether PID is a process of one thread; false if /proc does not say. */
bool kvp_process_has_one_thread(pid_t pid);

/*
 * Whether PID, a process of one thread, is being ended by a signal; false if /proc does
 * not say. Of a process of several threads this says nothing: when one of them calls
 * exit(3), the kernel ends the others by a signal.
 */
bool kvp_process_is_killed(pid_t pid);

#endif
