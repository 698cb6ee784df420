/* SPDX-License-Identifier: MIT */
#include "pools.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"
#include "store_pool.h"
#include "util.h"

/* Where the daemon keeps them, and how it names them. */
#define POOL_DIRECTORY "/var/lib/hyperv"
#define POOL_FILE ".kvp_pool_"

/* By number (Linux: include/uapi/linux/hyperv.h, enum hv_kvp_exchg_pool). */
static const char *const names[KVPFS_POOL_COUNT] = {
	"external", "guest", "auto", "auto-external", "auto-internal",
};

/* The number that ARGUMENT, a number or a name, stands for; -1: none. */
static int number_of(const char *argument)
{
	for (int i = 0; i < KVPFS_POOL_COUNT; i++)
		if (strcmp(argument, names[i]) == 0 ||
		    (argument[0] == '0' + i && argument[1] == '\0'))
			return i;
	return -1;
}

/* What the pool at PATH is called. */
static const char *name_of(const char *path)
{
	const char *file = strrchr(path, '/') + 1;
	size_t prefix = strlen(POOL_FILE);
	int number = -1;

	if (strncmp(file, POOL_FILE, prefix) == 0)
		number = number_of(file + prefix);
	return number < 0 ? file : names[number];
}

/* Why a pool could not be opened. */
static const char *reason(int result, char *buf, size_t size)
{
	if (result == -EINVAL)
		return "not a regular file";
	if (result == -EFBIG)
		return "larger than 1 GiB";
	return kvp_result_message(result, (struct kvp_numbers){ 0 }, buf, size);
}

/* Whether PATH leads through DIRECTORY, where we will be mounted. */
static bool is_below(const char *path, const char *directory)
{
	size_t len = strlen(directory);

	return strncmp(path, directory, len) == 0 && path[len] == '/';
}

/* PLACE is that of the pool's name. */
static void log_lost(void *place, struct kvp_bytes key)
{
	char quoted[KVPFS_QUOTED_MAX];

	kvpfs_log(LOG_WARNING,
		  "%s: lost update of %s: another program has written an older "
		  "reading back",
		  *(const char **)place, kvpfs_quote(key, quoted));
}

static int open_one(struct kvpfs_pools *pools,
		    const struct kvpfs_options *options, const char *path)
{
	struct kvp_pool_config config = {
		.path = path,
		.mode = options->mode,
		.truncate_on_stale = options->truncate_on_stale,
		.read_only = options->read_only,
		.lock_timeout_ms = options->lock_timeout_ms,
		.lost = log_lost,
		.lost_arg = &pools->names[pools->count],
	};
	struct kvp_store *store;
	char message[128];
	int r = kvp_store_pool_open(&config, &store);

	if (r) {
		kvpfs_log(LOG_ERR, "cannot use pool \"%s\": %s", path,
			  reason(r, message, sizeof(message)));
		return r;
	}
	/* from here on it is the session loop that waits */
	kvp_store_pool_set_lock_timeout(store, 0);
	if (is_below(kvp_store_pool_path(store), options->mountpoint))
		kvp_store_pool_pin_directory(store);
	pools->stores[pools->count] = store;
	pools->names[pools->count++] = name_of(kvp_store_pool_path(store));
	return 0;
}

static int open_number(struct kvpfs_pools *pools,
		       const struct kvpfs_options *options,
		       const char *directory, int number)
{
	kvp_autofree char *path = NULL;

	if (asprintf(&path, "%s/" POOL_FILE "%d", directory, number) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return open_one(pools, options, path);
}

static int open_meant(struct kvpfs_pools *pools,
		      const struct kvpfs_options *options)
{
	const char *argument = options->pool ? options->pool : "guest";
	int number = number_of(argument);
	struct stat st;
	int r = 0;

	if (number >= 0)
		return open_number(pools, options, POOL_DIRECTORY, number);
	if (argument[strspn(argument, "0123456789")] == '\0') {
		kvpfs_log(LOG_ERR, "no such pool: \"%s\" (there are 0 to 4)",
			  argument);
		return -EINVAL;
	}
	if (stat(argument, &st) != 0 || !S_ISDIR(st.st_mode))
		return open_one(pools, options, argument);
	pools->directory = true;
	pools->path = argument;
	for (int i = 0; i < KVPFS_POOL_COUNT && r == 0; i++)
		r = open_number(pools, options, argument, i);
	return r;
}

int kvpfs_pools_open(struct kvpfs_pools *pools,
		     const struct kvpfs_options *options)
{
	int r;

	*pools = (struct kvpfs_pools){ 0 };
	r = open_meant(pools, options);
	if (r)
		kvpfs_pools_close(pools);
	return r;
}

void kvpfs_pools_close(struct kvpfs_pools *pools)
{
	while (pools->count > 0)
		kvp_store_free(pools->stores[--pools->count]);
}

const char *kvpfs_pools_source(const struct kvpfs_pools *pools)
{
	return pools->directory ? pools->path
				: kvp_store_pool_path(pools->stores[0]);
}

bool kvpfs_pools_are_writable(const struct kvpfs_pools *pools)
{
	for (size_t i = 0; i < pools->count; i++)
		if (kvp_store_pool_is_writable(pools->stores[i]))
			return true;
	return false;
}
