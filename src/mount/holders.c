/* SPDX-License-Identifier: MIT */
#include "holders.h"

#include <stdio.h>
#include <string.h>

#include "log.h"
#include "store_pool.h"

/* More would not make the log clearer. */
#define MAX_HOLDERS 8

/* What the process calls itself, quoted: anybody can choose a name. */
static void add_holder(FILE *out, pid_t pid)
{
	char quoted[KVPFS_QUOTED_MAX];
	char path[sizeof("/proc//comm") + 3 * sizeof(pid_t)];
	char name[32] = "";
	FILE *comm;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	comm = fopen(path, "re");
	if (comm) {
		(void)!fgets(name, sizeof(name), comm);
		name[strcspn(name, "\n")] = '\0';
		(void)fclose(comm);
	}
	fprintf(out, "pid %d %s", (int)pid,
		kvpfs_quote((struct kvp_bytes){ name, strlen(name) }, quoted));
}

const char *kvpfs_holders(const struct kvp_store *store,
			  char buf[KVPFS_HOLDERS_MAX])
{
	pid_t pids[MAX_HOLDERS];
	size_t count = kvp_store_pool_holders(store, pids, MAX_HOLDERS);
	FILE *out;

	buf[0] = '\0';
	out = count ? fmemopen(buf, KVPFS_HOLDERS_MAX, "w") : NULL;
	if (!out)
		return buf;
	for (size_t i = 0; i < count; i++) {
		fputs(i ? ", " : " (", out);
		add_holder(out, pids[i]);
	}
	fputs(")", out);
	(void)fclose(out);
	return buf;
}
