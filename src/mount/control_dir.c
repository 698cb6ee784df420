/* SPDX-License-Identifier: MIT */
#include "control_dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attr.h"
#include "list.h"
#include "name.h"
#include "sync.h"

struct control_dir {
	struct kvpfs_inode inode; /* must come first */
	size_t count;
	struct kvpfs_control files[];
};

static struct control_dir *control_dir_of(const struct kvpfs_inode *inode)
{
	return (struct control_dir *)inode->dir->control;
}

struct kvp_bytes kvpfs_control_label(const struct kvpfs_inode *inode)
{
	const char *name = ((const struct kvpfs_control *)inode)->kind->name;

	return (struct kvp_bytes){ name, strlen(name) };
}

void kvpfs_control_fill(struct kvpfs *fs, const struct kvpfs_inode *inode,
			struct stat *st)
{
	const struct kvpfs_control *file = (const struct kvpfs_control *)inode;

	kvpfs_fill_file(fs, inode->dir, st);
	if (!file->kind->writable)
		st->st_mode &= ~(mode_t)0222;
	st->st_ino = kvpfs_ino(inode->dir, file->number);
}

struct kvpfs_lockable *kvpfs_control_lockable(struct kvpfs_inode *inode)
{
	return &kvpfs_control_of(inode)->lockable;
}

int kvpfs_control_getattr(struct kvpfs *fs, struct kvpfs_call *call)
{
	int r = kvp_store_refresh(call->inode->dir->store);
	struct stat st;

	if (r)
		return r;
	call->inode->ops->fill(fs, call->inode, &st);
	fuse_reply_attr(call->req, &st, 0);
	return 0;
}

int kvpfs_control_flush(struct kvpfs *fs, struct kvpfs_call *call)
{
	(void)fs;
	fuse_reply_err(call->req, 0);
	return 0;
}

static void fill_dir(struct kvpfs *fs, const struct kvpfs_inode *inode,
		     struct stat *st)
{
	kvpfs_fill_dir(fs, inode, st);
	st->st_mode &= ~(mode_t)0222;
	st->st_ino = kvpfs_ino(inode->dir, KVPFS_INO_CONTROL);
}

static int list_files(struct kvpfs *fs, const struct kvpfs_inode *inode,
		      struct kvpfs_listing *listing)
{
	const struct control_dir *control = control_dir_of(inode);
	int r = 0;

	(void)fs;
	for (size_t i = 0; i < control->count && r == 0; i++)
		r = kvpfs_list_name(listing, control->files[i].kind->name,
				    kvpfs_ino(inode->dir,
					      control->files[i].number),
				    S_IFREG);
	return r;
}

struct kvpfs_control *kvpfs_control_child(const struct kvpfs_dir *dir,
					  const char *name)
{
	struct control_dir *control = (struct control_dir *)dir->control;

	for (size_t i = 0; i < control->count; i++)
		if (strcmp(name, control->files[i].kind->name) == 0)
			return &control->files[i];
	return NULL;
}

static struct kvpfs_inode *child(const struct kvpfs_inode *inode,
				 const char *name)
{
	struct kvpfs_control *file = kvpfs_control_child(inode->dir, name);

	return file ? &file->inode : NULL;
}

static int run_lookup(struct kvpfs *fs, struct kvpfs_call *call)
{
	const struct kvpfs_inode *file = child(call->inode, call->name);

	return file ? file->ops->lookup(fs, call) : KVP_ABSENT;
}

/* Needs no lock: the status is there also while another program holds it. */
static int run_getattr(struct kvpfs *fs, struct kvpfs_call *call)
{
	int r = kvp_store_look(call->inode->dir->store);
	struct stat st;

	if (r)
		return r;
	fill_dir(fs, call->inode, &st);
	fuse_reply_attr(call->req, &st, 0);
	return 0;
}

static struct kvp_bytes label(const struct kvpfs_inode *inode)
{
	(void)inode;
	return (struct kvp_bytes){ KVP_NAME_RESERVED,
				   strlen(KVP_NAME_RESERVED) };
}

static const struct kvpfs_inode_ops control_dir_ops = {
	.scope = KVPFS_NOTHING,
	.label = label,
	.fill = fill_dir,
	.list = list_files,
	.child = child,
	.lookup = run_lookup,
	.getattr = run_getattr,
	.setattr = kvpfs_run_setattr_dir,
	.fsync = kvpfs_run_fsync,
};

int kvpfs_control_dir_init(struct kvpfs_dir *dir,
			   const struct kvpfs_control_kind *const kinds[],
			   size_t count)
{
	struct control_dir *control = calloc(
		1, sizeof(*control) + count * sizeof(*control->files));

	if (!control)
		return -ENOMEM;
	control->inode = (struct kvpfs_inode){ &control_dir_ops, dir, 0 };
	control->count = count;
	for (size_t i = 0; i < count; i++)
		control->files[i] = (struct kvpfs_control){
			.inode = { &kinds[i]->ops, dir, 0 },
			.kind = kinds[i],
			.number = KVPFS_INO_CONTROL + 1 + i,
		};
	dir->control = &control->inode;
	return 0;
}

void kvpfs_control_dir_release(struct kvpfs_dir *dir)
{
	free(dir->control);
	dir->control = NULL;
}
