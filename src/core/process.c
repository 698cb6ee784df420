/* SPDX-License-Identifier: MIT */
#include "process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quote.h"

/* /proc/PID/FILE, or NULL. */
static FILE *open_file(pid_t pid, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return fopen(path, "re");
}

/* The process that has the thread PID. */
static pid_t process_of(pid_t pid)
{
	FILE *status = open_file(pid, "status");
	char line[256];
	int process = (int)pid;

	while (status && fgets(line, sizeof(line), status))
		/* NOLINTNEXTLINE(cert-err34-c): the kernel writes numbers that fit */
		if (sscanf(line, "Tgid: %d", &process) == 1)
			break;
	if (status)
		(void)fclose(status);
	return process;
}

const char *kvp_process_describe(pid_t pid, char buf[KVP_PROCESS_MAX])
{
	pid_t process = process_of(pid);
	FILE *comm = open_file(process, "comm");
	char quoted[KVP_QUOTED_MAX];
	char name[32];
	size_t len = 0;

	if (comm) {
		len = fread(name, 1, sizeof(name), comm);
		(void)fclose(comm);
	}
	if (len > 0 && name[len - 1] == '\n')
		len--;
	snprintf(buf, KVP_PROCESS_MAX, "pid %d %s", (int)process,
		 kvp_quote((struct kvp_bytes){ name, len }, quoted));
	return buf;
}

/* The number in column NUMBER of /proc/PID/stat (proc(5)); or 0. */
static unsigned long column(pid_t pid, int number)
{
	FILE *stat = open_file(pid, "stat");
	char line[512];
	size_t len = 0;
	const char *at;

	if (stat) {
		len = fread(line, 1, sizeof(line) - 1, stat);
		(void)fclose(stat);
	}
	line[len] = '\0';
	/* column 2 is in parentheses, and may hold anything */
	at = strrchr(line, ')');
	for (int i = 2; at && i < number; i++)
		at = strchr(at + 1, ' ');
	return at ? strtoul(at, NULL, 10) : 0;
}

bool kvp_process_has_one_thread(pid_t pid)
{
	enum { THREADS_COLUMN = 20 };

	return column(pid, THREADS_COLUMN) == 1;
}

bool kvp_process_is_killed(pid_t pid)
{
	enum { FLAGS_COLUMN = 9, PF_SIGNALED = 0x400 }; /* linux/sched.h */

	return column(pid, FLAGS_COLUMN) & PF_SIGNALED;
}
