/* SPDX-License-Identifier: MIT */
#include "top.h"

#include <string.h>
#include <unistd.h>

#include "attr.h"
#include "list.h"
#include "sync.h"

static void fill_top(struct kvpfs *fs, const struct kvpfs_inode *inode,
		     struct stat *st)
{
	(void)inode;
	*st = (struct stat){ .st_mode = S_IFDIR | 0555,
			     .st_ino = KVPFS_INO_ROOT,
			     .st_nlink = (nlink_t)(2 + fs->dir_count),
			     .st_uid = geteuid(),
			     .st_gid = getegid(),
			     .st_blksize = 4096 };
	if (fs->options->has_uid)
		st->st_uid = fs->options->uid;
	if (fs->options->has_gid)
		st->st_gid = fs->options->gid;
	if (fs->options->has_umask)
		st->st_mode = S_IFDIR | (0555 & ~fs->options->umask);
	st->st_atim = fs->mounted;
	st->st_mtim = fs->mounted;
	st->st_ctim = fs->mounted;
}

static int list_top(struct kvpfs *fs, const struct kvpfs_inode *inode,
		    struct kvpfs_listing *listing)
{
	int r = 0;

	(void)inode;
	for (size_t i = 0; i < fs->dir_count && r == 0; i++)
		r = kvpfs_list_name(listing, fs->dirs[i].name,
				    kvpfs_ino(&fs->dirs[i], KVPFS_INO_ROOT),
				    S_IFDIR);
	return r;
}

static int run_lookup(struct kvpfs *fs, struct kvpfs_call *call)
{
	for (size_t i = 0; i < fs->dir_count; i++) {
		struct kvpfs_dir *dir = &fs->dirs[i];
		int r;

		if (strcmp(call->name, dir->name) != 0)
			continue;
		r = kvp_store_look(dir->store);
		if (r == 0)
			kvpfs_reply_inode(fs, call->req, &dir->root);
		return r;
	}
	return KVP_ABSENT;
}

static struct kvp_bytes label(const struct kvpfs_inode *inode)
{
	(void)inode;
	return (struct kvp_bytes){ "", 0 };
}

const struct kvpfs_inode_ops kvpfs_top_ops = {
	.scope = KVPFS_NOTHING,
	.label = label,
	.fill = fill_top,
	.list = list_top,
	.lookup = run_lookup,
	.getattr = kvpfs_run_getattr_dir,
	.setattr = kvpfs_run_setattr_dir,
	.fsync = kvpfs_run_fsync,
};
