/* SPDX-License-Identifier: MIT */
#include "control_status.h"

#include "show.h"
#include "sync.h"

static int show_status(struct kvpfs_dir *dir, FILE *out)
{
	const struct kvp_show_extra extra = {
		.pool = dir->name,
		.lock_waits = dir->lock_waits,
		.lock_timeouts = dir->lock_timeouts,
	};

	return kvp_show_status(dir->store, &extra, out);
}

const struct kvpfs_shown_kind kvpfs_control_status = {
	.kind = {
		.name = "status",
		.ops = { .scope = KVPFS_NOTHING, KVPFS_SHOWN_OPS },
	},
	.show = show_status,
	.volatile_content = true,
};
