/* SPDX-License-Identifier: MIT */
/*
 * ".kvpfs/status": what an administrator wants to know of a pool.
 */
#include <string.h>

#include "control_dir.h"
#include "name.h"
#include "store_pool.h"

static int count_unlisted(void *arg, const struct kvp_item *item)
{
	char name[KVP_NAME_MAX + 1];
	size_t len;

	*(size_t *)arg += kvp_name_encode(item->key, name, &len) != 0;
	return 0;
}

/* A line NAME=VALUE; a newline in VALUE would look like the next one. */
static int add_field(struct kvp_text *text, const char *name, const char *value)
{
	struct kvp_pair pair = { { name, strlen(name) },
				 { value, strlen(value) } };

	return kvp_text_add_record(text, &pair);
}

struct number {
	const char *name;
	size_t value;
};

static int add_numbers(struct kvp_text *text, const struct number *numbers,
		       size_t count)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		r = kvp_text_printf(text, "%s=%zu\n", numbers[i].name,
				    numbers[i].value);
	return r;
}

int kvpfs_show_status(struct kvpfs_dir *dir, struct kvp_text *text)
{
	struct kvp_store *store = dir->store;
	struct kvp_report report = { 0 };
	struct kvp_status status;
	size_t unlisted = 0;
	bool stale = false;
	int r = kvp_store_report(store, &report);

	if (r == 0)
		r = kvp_store_is_stale(store, &stale);
	if (r == 0)
		r = kvp_store_entries(store, count_unlisted, &unlisted);
	if (r)
		return r;
	kvp_store_status(store, &status);

	const struct number content[] = {
		{ "records", status.records },
		{ "keys", status.keys },
		{ "repeated",
		  status.records - status.keys - status.empty_keys },
		{ "empty_keys", status.empty_keys },
		{ "not_utf8", report.not_utf8 },
		{ "unlisted", unlisted },
		{ "torn_bytes", status.torn_bytes },
	};
	const struct number limits[] = {
		{ "max_key_size", kvp_store_max_key_size(store) },
		{ "max_value_size", kvp_store_max_value_size(store) },
		{ "max_keys", KVP_MAX_KEYS },
		{ "hidden_from_host", report.hidden_from_host },
		{ "lock_waits", dir->lock_waits },
		{ "lock_timeouts", dir->lock_timeouts },
		{ "lost_updates", status.lost_updates },
	};

	r = add_field(text, "pool", dir->name);
	if (r == 0)
		r = add_field(text, "path", kvp_store_pool_path(store));
	if (r == 0)
		r = add_field(text, "mode",
			      kvp_store_mode(store) == KVP_MODE_FULL
				      ? "full"
				      : "restricted");
	if (r == 0)
		r = add_numbers(text, content,
				sizeof(content) / sizeof(*content));
	if (r == 0)
		r = add_field(text, "stale", stale ? "yes" : "no");
	if (r == 0)
		r = add_numbers(text, limits, sizeof(limits) / sizeof(*limits));
	return r;
}
