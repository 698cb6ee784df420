/* SPDX-License-Identifier: MIT */
#include "changes.h"

static int visit_gone(const struct kvp_index *before,
		      const struct kvp_index *now, kvp_visit_change *visit,
		      void *arg)
{
	const struct kvp_entry *entry;
	size_t cursor = 0;
	int r = 0;

	while (r == 0 && (entry = kvp_index_next(before, &cursor)))
		if (!kvp_index_find_near(now, entry->key, entry->first))
			r = visit(arg, KVP_CHANGE_GONE, entry->key, NULL);
	return r;
}

static bool same_value(const struct kvp_value *a, const struct kvp_value *b)
{
	return a == b ||
	       kvp_bytes_equal(kvp_value_bytes(a), kvp_value_bytes(b));
}

static int visit_others(const struct kvp_index *before,
			const struct kvp_index *now, kvp_visit_change *visit,
			void *arg)
{
	const struct kvp_entry *entry;
	size_t cursor = 0;
	int r = 0;

	while (r == 0 && (entry = kvp_index_next(now, &cursor))) {
		const struct kvp_entry *old = kvp_index_find_near(before,
								  entry->key,
								  entry->first);

		if (!old)
			r = visit(arg, KVP_CHANGE_NEW, entry->key,
				  entry->value);
		else if (!same_value(old->value, entry->value))
			r = visit(arg, KVP_CHANGE_SET, entry->key,
				  entry->value);
	}
	return r;
}

int kvp_changes(const struct kvp_index *before, const struct kvp_index *now,
		bool cleared, kvp_visit_change *visit, void *arg)
{
	const struct kvp_bytes none = { "", 0 };
	int r;

	if (cleared && now->keys == 0 && before->keys > 0)
		return visit(arg, KVP_CHANGE_CLEARED, none, NULL);
	r = visit_gone(before, now, visit, arg);
	return r ? r : visit_others(before, now, visit, arg);
}
