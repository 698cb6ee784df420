/* SPDX-License-Identifier: MIT */
#include "pools.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"
#include "pool_names.h"
#include "retry.h"
#include "store_pool.h"
#include "util.h"

static int read_first(void *arg)
{
	return kvp_store_refresh(arg);
}

/* Values go for good here, so the log tells of it. */
static int clear_if_stale(void *arg)
{
	struct kvp_store *store = arg;
	struct kvp_report report;
	bool cleared;
	int r;

	kvp_store_report(store, &report);
	r = kvp_store_clear_stale(store, &cleared);
	if (r == 0 && cleared && report.records)
		kvpfs_log(LOG_NOTICE,
			  "emptied pool \"%s\": it was last changed before the "
			  "machine started",
			  kvp_store_path(store));
	return r;
}

/* Runs STEP with STORE, waiting for its lock. */
static int wait_for(const struct kvpfs_options *options, int (*step)(void *),
		    struct kvp_store *store)
{
	return kvpfs_retry(step, store,
			   kvp_now_ms() + options->lock_timeout_ms);
}

/* Opens the pool at PATH and reads it. */
static int open_store(const struct kvpfs_options *options, const char *path,
		      struct kvp_store **ret_store)
{
	const struct kvp_pool_config config = {
		.path = path,
		.mode = options->mode,
		.read_only = options->read_only,
	};
	struct kvp_store *store;
	int r = kvp_store_pool_open(&config, &store);

	if (r)
		return r;
	r = wait_for(options, read_first, store);
	if (r)
		kvp_store_free(store);
	else
		*ret_store = store;
	return r;
}

static void log_reason(const char *pool, int result)
{
	char message[256];

	kvpfs_log(LOG_ERR, "cannot use pool \"%s\": %s%s", pool,
		  kvp_pool_reason(result, message, sizeof(message)),
		  result == KVP_NO_SUCH_POOL ? ", and directories of pools"
					     : "");
}

/* Whether the path of STORE's pool leads through MOUNTPOINT, symbolic links included. */
static bool hides(const char *mountpoint, const struct kvp_store *store)
{
	struct stat st;

	return stat(mountpoint, &st) == 0 &&
	       kvp_store_leads_through(store, &st);
}

static int open_one(struct kvpfs_pools *pools,
		    const struct kvpfs_options *options, const char *path)
{
	struct kvp_store *store;
	int r = open_store(options, path, &store);

	if (r) {
		log_reason(path, r);
		return r;
	}
	if (hides(options->mountpoint, store)) {
		kvpfs_log(LOG_ERR,
			  "cannot mount at \"%s\": it would hide pool \"%s\"",
			  options->mountpoint, path);
		kvp_store_free(store);
		return KVP_OWN_MOUNT;
	}
	pools->stores[pools->count] = store;
	pools->names[pools->count++] = kvp_pool_name(kvp_store_path(store));
	return 0;
}

static int open_number(struct kvpfs_pools *pools,
		       const struct kvpfs_options *options,
		       const char *directory, int number)
{
	kvp_autofree char *path = NULL;
	int r = kvp_pool_path_in(directory, number, &path);

	return r ? r : open_one(pools, options, path);
}

/* ARGUMENT is a number, a name or a file. */
static int open_argument(struct kvpfs_pools *pools,
			 const struct kvpfs_options *options,
			 const char *argument)
{
	kvp_autofree char *path = NULL;
	int r = kvp_pool_resolve(argument, &path);

	if (r == 0)
		return open_one(pools, options, path);
	log_reason(argument, r);
	return r;
}

static int open_meant(struct kvpfs_pools *pools,
		      const struct kvpfs_options *options)
{
	const char *argument = options->pool ? options->pool
					     : KVP_DEFAULT_POOL_NAME;
	struct stat st;
	int r = 0;

	pools->source = argument;
	if (kvp_pool_number(argument) >= 0 || stat(argument, &st) != 0 ||
	    !S_ISDIR(st.st_mode))
		return open_argument(pools, options, argument);
	pools->directory = true;
	for (int i = 0; i < KVP_POOL_COUNT && r == 0; i++)
		r = open_number(pools, options, argument, i);
	return r;
}

/* Not before it is known that all can be mounted. */
static int clear_stale(const struct kvpfs_pools *pools,
		       const struct kvpfs_options *options)
{
	int r = 0;

	for (size_t i = 0; i < pools->count && r == 0; i++) {
		r = wait_for(options, clear_if_stale, pools->stores[i]);
		if (r)
			log_reason(kvp_store_path(pools->stores[i]), r);
	}
	return r;
}

int kvpfs_pools_open(struct kvpfs_pools *pools,
		     const struct kvpfs_options *options)
{
	int r;

	*pools = (struct kvpfs_pools){ 0 };
	r = open_meant(pools, options);
	if (r == 0 && options->truncate_on_stale)
		r = clear_stale(pools, options);
	if (r)
		kvpfs_pools_close(pools);
	return r;
}

void kvpfs_pools_close(struct kvpfs_pools *pools)
{
	while (pools->count > 0)
		kvp_store_free(pools->stores[--pools->count]);
}

bool kvpfs_pools_are_writable(const struct kvpfs_pools *pools)
{
	for (size_t i = 0; i < pools->count; i++)
		if (kvp_store_is_writable(pools->stores[i]))
			return true;
	return false;
}
