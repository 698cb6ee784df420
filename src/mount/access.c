/* SPDX-License-Identifier: MIT */
#include "access.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "util.h"

/* The flag of open for execve(2); no header of user space has it. */
#define OPEN_TO_EXECUTE 0x20

/* Few users are in more groups than this. */
#define USUAL_GROUPS 64

/* Whether GID is one of the further groups of REQ's caller; this reads /proc. */
static bool is_in_group(fuse_req_t req, gid_t gid)
{
	gid_t usual[USUAL_GROUPS];
	kvp_autofree gid_t *many = NULL;
	const gid_t *groups = usual;
	int count = fuse_req_getgroups(req, USUAL_GROUPS, usual);

	if (count > USUAL_GROUPS) {
		many = calloc((size_t)count, sizeof(*many));
		groups = many;
		count = many ? fuse_req_getgroups(req, count, many) : 0;
	}
	for (int i = 0; i < count; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

static bool allows(mode_t mode, int rights)
{
	return ((int)mode & rights) == rights;
}

/* Only the first class (owner, group, others) that the caller belongs to counts. */
static bool is_allowed(fuse_req_t req, const struct stat *st, int rights)
{
	const struct fuse_ctx *caller = fuse_req_ctx(req);
	bool group = allows(st->st_mode >> 3, rights);
	bool others = allows(st->st_mode, rights);

	if (caller->uid == 0)
		return S_ISDIR(st->st_mode) || !(rights & X_OK) ||
		       (st->st_mode & 0111);
	if (caller->uid == st->st_uid)
		return allows(st->st_mode >> 6, rights);
	if (caller->gid == st->st_gid)
		return group;
	/* further groups are asked for only if the answer depends on them */
	if (group == others)
		return others;
	return is_in_group(req, st->st_gid) ? group : others;
}

/* INODE's attributes as they are now. */
static int look(struct kvpfs *fs, const struct kvpfs_inode *inode,
		struct stat *ret_st)
{
	int r = inode->dir ? kvp_store_look(inode->dir->store) : 0;

	if (r == 0)
		inode->ops->fill(fs, inode, ret_st);
	return r;
}

int kvpfs_access_check(struct kvpfs *fs, fuse_req_t req,
		       const struct kvpfs_inode *inode, int rights)
{
	bool is_directory = inode->ops->list;
	bool may_all = fuse_req_ctx(req)->uid == 0 || !fs->options->allow_other;
	struct stat st;
	int r;

	/* without allow_other all is the caller's; but no value is a program */
	if (rights == 0 || (may_all && (is_directory || !(rights & X_OK))))
		return 0;
	r = look(fs, inode, &st);
	if (r)
		return r;
	return is_allowed(req, &st, rights) ? 0 : KVP_NO_ACCESS;
}

int kvpfs_access_open_rights(int flags)
{
	int mode = flags & O_ACCMODE;
	int rights = 0;

	if (mode != O_WRONLY)
		rights |= flags & OPEN_TO_EXECUTE ? X_OK : R_OK;
	/* the fourth access mode, for ioctl(2) alone, needs both */
	if (mode != O_RDONLY || (flags & O_TRUNC))
		rights |= W_OK;
	return rights;
}

/* Both times become the current one; the right to write is enough for that. */
static bool is_touch(unsigned int set)
{
	const unsigned int touch = FUSE_SET_ATTR_ATIME |
				   FUSE_SET_ATTR_ATIME_NOW |
				   FUSE_SET_ATTR_MTIME |
				   FUSE_SET_ATTR_MTIME_NOW;

	return (set & touch) == touch;
}

/* An owner may give files to another group of its own, and to no other user. */
static bool owner_may_chown(const struct kvpfs_call *call,
			    const struct stat *st)
{
	gid_t gid = call->attr.st_gid;

	if ((call->flags & FUSE_SET_ATTR_UID) &&
	    call->attr.st_uid != st->st_uid)
		return false;
	return !(call->flags & FUSE_SET_ATTR_GID) || gid == st->st_gid ||
	       gid == fuse_req_ctx(call->req)->gid ||
	       is_in_group(call->req, gid);
}

int kvpfs_access_check_setattr(struct kvpfs *fs, const struct kvpfs_call *call)
{
	const unsigned int owners = FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID |
				    FUSE_SET_ATTR_GID | FUSE_SET_ATTR_ATIME |
				    FUSE_SET_ATTR_MTIME;
	uid_t uid = fuse_req_ctx(call->req)->uid;
	unsigned int set = call->flags;
	struct stat st;
	int r = 0;

	if (uid == 0)
		return 0;
	/* a caller with a handle was judged when it opened the file */
	if ((set & FUSE_SET_ATTR_SIZE) && !call->has_handle)
		r = kvpfs_access_check(fs, call->req, call->inode, W_OK);
	if (r || !(set & owners))
		return r;
	r = look(fs, call->inode, &st);
	if (r)
		return r;
	/* without allow_other all is the mounting user's */
	if (uid == st.st_uid || !fs->options->allow_other)
		return owner_may_chown(call, &st) ? 0 : KVP_NOT_OWNER;
	if (is_touch(set) && !(set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID |
				      FUSE_SET_ATTR_GID)))
		return kvpfs_access_check(fs, call->req, call->inode, W_OK);
	return KVP_NOT_OWNER;
}
