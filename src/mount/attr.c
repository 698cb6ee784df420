/* SPDX-License-Identifier: MIT */
#include "attr.h"

#include <errno.h>
#include <unistd.h>

#include "log.h"
#include "name.h"
#include "util.h"

static void log_torn_once(struct kvpfs_dir *dir, size_t bytes)
{
	if (bytes == 0 || dir->torn_logged)
		return;
	kvpfs_log(LOG_WARNING,
		  "%s: pool ends with %zu bytes that are no record: ignored",
		  dir->name, bytes);
	dir->torn_logged = true;
}

/* Takes ST from the pool file, or from the options; *RET_MODE: the rw bits. */
static void fill_common(struct kvpfs *fs, struct kvpfs_dir *dir,
			struct stat *st, mode_t *ret_mode)
{
	const struct kvpfs_options *options = fs->options;
	struct kvp_status status;

	kvp_store_status(dir->store, &status);
	log_torn_once(dir, status.torn_bytes);
	*st = (struct stat){ 0 };
	if (status.exists) {
		st->st_uid = status.st.st_uid;
		st->st_gid = status.st.st_gid;
		st->st_mtim = status.st.st_mtim;
		st->st_ctim = status.st.st_ctim;
		*ret_mode = status.st.st_mode & 0666;
	} else { /* as the file will be when it is made */
		st->st_uid = geteuid();
		st->st_gid = getegid();
		*ret_mode = 0600;
		st->st_mtim = st->st_ctim = fs->mounted;
	}
	if (options->has_umask)
		*ret_mode = 0666 & ~options->umask;
	if (options->has_uid)
		st->st_uid = options->uid;
	if (options->has_gid)
		st->st_gid = options->gid;
	st->st_atim = st->st_mtim;
	st->st_blksize = 4096;
}

void kvpfs_note_names(struct kvpfs_dir *dir)
{
	struct kvpfs_names_times *names = &dir->names;
	struct timespec shown = names->mtime;
	struct kvp_status status;

	kvp_store_status(dir->store, &status);
	if (kvp_is_later(&status.names_mtime, &shown))
		shown = status.names_mtime;
	/* the clock of the pool's own times; it may not have ticked since */
	clock_gettime(CLOCK_REALTIME_COARSE, &names->mtime);
	if (!kvp_is_later(&names->mtime, &shown)) {
		names->mtime = shown;
		names->mtime.tv_nsec += shown.tv_nsec < 999999999;
	}
	names->has_given_mtime = false;
}

/*
 * A directory changes with the names in it, and not with the values. A time that a user
 * has given it holds until a name changes.
 */
static void fill_names_time(const struct kvpfs *fs, const struct kvpfs_dir *dir,
			    struct stat *st)
{
	const struct kvpfs_names_times *names = &dir->names;
	struct kvp_status status;

	kvp_store_status(dir->store, &status);
	st->st_mtim = status.names_mtime.tv_sec ? status.names_mtime
						: fs->mounted;
	if (kvp_is_later(&names->mtime, &st->st_mtim))
		st->st_mtim = names->mtime;
	st->st_ctim = st->st_mtim;
	if (names->has_given_mtime && names->given_order == status.order) {
		st->st_mtim = names->given_mtime;
		st->st_ctim = names->given_ctime;
	}
	st->st_atim = st->st_mtim;
}

void kvpfs_fill_dir(struct kvpfs *fs, const struct kvpfs_inode *inode,
		    struct stat *st)
{
	mode_t mode;

	fill_common(fs, inode->dir, st, &mode);
	/* whoever may read a directory may also enter it */
	st->st_mode = S_IFDIR | mode | ((mode & 0444) >> 2);
	fill_names_time(fs, inode->dir, st);
	st->st_ino = kvpfs_ino(inode->dir, KVPFS_INO_ROOT);
	st->st_nlink = 2;
}

void kvpfs_fill_file(struct kvpfs *fs, struct kvpfs_dir *dir, struct stat *st)
{
	mode_t mode;

	fill_common(fs, dir, st, &mode);
	st->st_mode = S_IFREG | mode;
	st->st_nlink = 1;
}

static int look_at_dir(struct kvpfs *fs, struct kvpfs_call *call,
		       struct stat *st)
{
	struct kvpfs_dir *dir = call->inode->dir;
	int r = dir ? kvp_store_refresh(dir->store) : 0;

	if (r)
		return r;
	call->inode->ops->fill(fs, call->inode, st);
	return 0;
}

int kvpfs_run_getattr_dir(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct stat st;
	int r = look_at_dir(fs, call, &st);

	if (r == 0)
		fuse_reply_attr(call->req, &st, 0);
	return r;
}

/* DIR, a pool's directory, gets the time that CALL sets. */
static void give_time(struct kvpfs_dir *dir, const struct kvpfs_call *call)
{
	struct kvpfs_names_times *names = &dir->names;
	struct kvp_status status;

	kvp_store_status(dir->store, &status);
	clock_gettime(CLOCK_REALTIME_COARSE, &names->given_ctime);
	names->given_mtime = call->flags & FUSE_SET_ATTR_MTIME_NOW
				     ? names->given_ctime
				     : call->attr.st_mtim;
	names->given_order = status.order;
	names->has_given_mtime = true;
}

/* Owner and mode are the pool's: setting them to what they are is all right. */
int kvpfs_check_setattr(const struct kvpfs_call *call, const struct stat *st)
{
	unsigned int set = call->flags;

	if ((set & FUSE_SET_ATTR_MODE) &&
	    ((call->attr.st_mode ^ st->st_mode) & 07777))
		return KVP_UNSUPPORTED;
	if ((set & FUSE_SET_ATTR_UID) && call->attr.st_uid != st->st_uid)
		return KVP_UNSUPPORTED;
	if ((set & FUSE_SET_ATTR_GID) && call->attr.st_gid != st->st_gid)
		return KVP_UNSUPPORTED;
	return 0;
}

/* Truncating the directory clears the pool, as truncating a file empties it. */
int kvpfs_run_setattr_dir(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct stat st;
	int r = look_at_dir(fs, call, &st);

	if (r == 0)
		r = kvpfs_check_setattr(call, &st);
	if (r == 0 && (call->flags & FUSE_SET_ATTR_SIZE)) {
		if (call->attr.st_size != 0 ||
		    call->inode->ops->scope != KVPFS_NAMES)
			return -EINVAL;
		r = kvp_store_clear(call->inode->dir->store);
	}
	if (r)
		return r;
	if ((call->flags & FUSE_SET_ATTR_MTIME) &&
	    call->inode->ops->scope == KVPFS_NAMES)
		give_time(call->inode->dir, call);
	call->inode->ops->fill(fs, call->inode, &st);
	fuse_reply_attr(call->req, &st, 0);
	return 0;
}

/* Adds the records of DIR's pool to ST. */
static int add_statfs(const struct kvpfs_dir *dir, struct statvfs *st)
{
	struct kvp_status status;
	int r = kvp_store_refresh(dir->store);

	if (r)
		return r;
	kvp_store_status(dir->store, &status);
	st->f_blocks += KVP_MAX_KEYS;
	if (status.keys < KVP_MAX_KEYS)
		st->f_bfree += KVP_MAX_KEYS - status.keys;
	return 0;
}

/* Blocks and inodes are records, of a pool or of all pools. */
int kvpfs_run_statfs(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct statvfs st = { 0 };
	int r = 0;

	for (size_t i = 0; i < fs->dir_count && r == 0; i++)
		if (!call->inode->dir || call->inode->dir == &fs->dirs[i])
			r = add_statfs(&fs->dirs[i], &st);
	if (r)
		return r;
	st.f_bsize = KVP_RECORD_SIZE;
	st.f_frsize = KVP_RECORD_SIZE;
	st.f_bavail = st.f_bfree;
	st.f_files = st.f_blocks;
	st.f_ffree = st.f_bfree;
	st.f_favail = st.f_bfree;
	st.f_namemax = KVP_NAME_MAX;
	fuse_reply_statfs(call->req, &st);
	return 0;
}
