/* SPDX-License-Identifier: MIT */
#include "holders.h"

#include <stdio.h>

#include "process.h"

/* More names would not make the log clearer. */
#define MAX_HOLDERS 6

const char *kvp_holders_describe(const struct kvp_store *store,
				 char buf[KVP_HOLDERS_MAX])
{
	char process[KVP_PROCESS_MAX];
	pid_t pids[MAX_HOLDERS];
	size_t count = kvp_store_holders(store, pids, MAX_HOLDERS);
	int len = 0;

	if (count == 0)
		snprintf(buf, KVP_HOLDERS_MAX, " that cannot be named");
	for (size_t i = 0; i < count; i++)
		len += snprintf(buf + len, KVP_HOLDERS_MAX - (size_t)len,
				"%s%s%s", i ? ", " : " (",
				kvp_process_describe(pids[i], process),
				i + 1 == count ? ")" : "");
	return buf;
}
