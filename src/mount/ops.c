/* SPDX-License-Identifier: MIT */
#include "ops.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/file.h>
#include <unistd.h>

#include "access.h"
#include "attr.h"
#include "list.h"
#include "lock.h"
#include "watchers.h"

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct kvpfs *fs = userdata;

	/* an open tells the kernel whether to keep its pages */
	conn->want &= ~(unsigned int)FUSE_CAP_AUTO_INVAL_DATA;
	/*
	 * The kernel tells of closed files in the background, up to this many at a
	 * time. Later requests would overtake those that it holds back beyond that.
	 */
	conn->max_background = UINT16_MAX;
	fs->ready = true;
}

static struct kvpfs_inode *inode_of(fuse_req_t req, fuse_ino_t ino)
{
	struct kvpfs *fs = fuse_req_userdata(req);

	return ino == FUSE_ROOT_ID ? fs->root
				   : (struct kvpfs_inode *)(uintptr_t)ino;
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	kvpfs_inode_forget(inode_of(req, ino), count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count,
			    struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		kvpfs_inode_forget(inode_of(req, forgets[i].ino),
				   forgets[i].nlookup);
	fuse_reply_none(req);
}

/* Makes of *RET_CALL a request about an inode; if FI is not NULL, about an open file. */
static void inode_call(fuse_req_t req, fuse_ino_t ino, const char *what,
		       const struct fuse_file_info *fi,
		       struct kvpfs_call *ret_call)
{
	*ret_call = (struct kvpfs_call){ .what = what, .req = req };
	ret_call->inode = inode_of(req, ino);
	ret_call->has_handle = fi && fi->fh;
	ret_call->ops = ret_call->inode->ops;
	if (kvpfs_is_agent(fuse_req_userdata(req), req, fi))
		ret_call->ops = &kvpfs_agent_ops;
	if (fi)
		ret_call->fi = *fi;
}

/* A request about NAME in a directory. */
static void name_call(fuse_req_t req, fuse_ino_t parent, const char *what,
		      const char *name, struct kvpfs_call *ret_call)
{
	inode_call(req, parent, what, NULL, ret_call);
	ret_call->name = name;
}

/* Starts CALL, or refuses it with REFUSAL. */
static void start_unless(int refusal, struct kvpfs_call *call)
{
	if (refusal)
		kvpfs_call_refuse(call, refusal);
	else
		kvpfs_call_start(call);
}

/* The agent's calls wait for nothing, and their failures are not logged. */
static void serve_agent(struct kvpfs *fs, struct kvpfs_call *call)
{
	int r = call->run ? call->run(fs, call) : KVP_UNSUPPORTED;

	if (r)
		fuse_reply_err(call->req, kvp_result_errno(r));
}

/*
 * Starts CALL if its caller has RIGHTS (access.h) on its inode, and on its new parent if
 * it has one. A call about an open file needs no rights: its open was judged.
 */
static void start(struct kvpfs_call *call, int rights)
{
	struct kvpfs *fs = fuse_req_userdata(call->req);
	int r;

	if (call->ops == &kvpfs_agent_ops) {
		serve_agent(fs, call);
		return;
	}
	r = kvpfs_access_check(fs, call->req, call->inode, rights);
	if (r == 0 && call->new_parent)
		r = kvpfs_access_check(fs, call->req, call->new_parent, rights);
	start_unless(r, call);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct kvpfs_call call;

	name_call(req, parent, "look up", name, &call);
	call.run = call.ops->lookup;
	start(&call, X_OK);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct kvpfs_call call;

	inode_call(req, ino, "get attributes of", fi, &call);
	call.run = call.ops->getattr;
	start(&call, 0);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr,
		       int to_set, struct fuse_file_info *fi)
{
	struct kvpfs_call call;

	inode_call(req, ino,
		   to_set & FUSE_SET_ATTR_SIZE ? "truncate"
					       : "set attributes of",
		   fi, &call);
	call.run = call.ops->setattr;
	call.attr = *attr;
	call.flags = (unsigned int)to_set;
	start_unless(kvpfs_access_check_setattr(fuse_req_userdata(req), &call),
		     &call);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name,
		     mode_t mode, dev_t device)
{
	struct kvpfs_call call;

	name_call(req, parent, "create", name, &call);
	(void)device;
	call.run = call.ops->mknod;
	call.attr.st_mode = mode;
	start(&call, W_OK | X_OK);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name,
		     mode_t mode)
{
	(void)parent;
	(void)name;
	(void)mode;
	fuse_reply_err(req, EPERM);
}

static void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent,
		       const char *name)
{
	(void)link;
	(void)parent;
	(void)name;
	fuse_reply_err(req, EPERM);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent,
		    const char *new_name)
{
	(void)ino;
	(void)new_parent;
	(void)new_name;
	fuse_reply_err(req, EPERM);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct kvpfs_call call;

	name_call(req, parent, "remove", name, &call);
	call.run = call.ops->unlink;
	start(&call, W_OK | X_OK);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)parent;
	(void)name;
	fuse_reply_err(req, EPERM);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
		      fuse_ino_t new_parent, const char *new_name,
		      unsigned int flags)
{
	struct kvpfs_call call;

	name_call(req, parent, "rename to", name, &call);
	call.run = call.ops->rename;
	call.new_parent = inode_of(req, new_parent);
	call.new_name = new_name;
	call.flags = flags;
	start(&call, W_OK | X_OK);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name,
		      mode_t mode, struct fuse_file_info *fi)
{
	struct kvpfs_call call;

	inode_call(req, parent, "create", fi, &call);
	(void)mode;
	call.run = call.ops->create;
	call.name = name;
	start(&call, W_OK | X_OK);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct kvpfs_call call;

	inode_call(req, ino, "open", fi, &call);
	call.run = call.ops->open;
	start(&call, kvpfs_access_open_rights(fi->flags));
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	struct kvpfs_call call;

	inode_call(req, ino, "read", fi, &call);
	call.run = call.ops->read;
	call.size = size;
	call.offset = offset;
	start(&call, 0);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data,
		     size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct kvpfs_call call;

	inode_call(req, ino, "write", fi, &call);
	call.run = call.ops->write;
	call.data = data;
	call.size = size;
	call.offset = offset;
	start(&call, 0);
}

/*
 * The agent does this instead of writing. Nobody else may get ENOSYS: the kernel would
 * not ask again, for the agent either.
 */
static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
			 off_t length, struct fuse_file_info *fi)
{
	struct kvpfs_call call;

	(void)mode;
	(void)offset;
	(void)length;
	inode_call(req, ino, "allocate", fi, &call);
	call.run = call.ops->allocate;
	if (call.run)
		start(&call, 0);
	else
		fuse_reply_err(req, EOPNOTSUPP);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct kvpfs_call call;

	inode_call(req, ino, "close", fi, &call);
	if (call.ops != &kvpfs_agent_ops)
		kvpfs_lock_flushed(fuse_req_userdata(req), &call);
	call.run = call.ops->flush;
	start(&call, 0);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		     struct fuse_file_info *fi)
{
	struct kvpfs_call call;

	inode_call(req, ino, "fsync", fi, &call);
	(void)datasync;
	call.run = call.ops->fsync;
	start(&call, 0);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
			struct fuse_file_info *fi)
{
	(void)fi;
	op_fsync(req, ino, datasync, NULL);
}

static void op_release(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct kvpfs_call call;

	inode_call(req, ino, "store", fi, &call);
	if (call.ops == &kvpfs_agent_ops) {
		call.run = call.ops->release;
	} else {
		kvpfs_lock_closed(fuse_req_userdata(req), &call);
		call.run = kvpfs_run_release;
		call.closes = true;
	}
	start(&call, 0);
}

static void lock(fuse_req_t req, fuse_ino_t ino,
		 const struct fuse_file_info *fi,
		 const struct kvpfs_call_lock *lock)
{
	struct kvpfs_call call;

	inode_call(req, ino, "lock", fi, &call);
	call.run = kvpfs_run_lock;
	call.locks = true;
	call.lock = *lock;
	start(&call, 0);
}

static void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		     int operation)
{
	lock(req, ino, fi,
	     &(struct kvpfs_call_lock){ .kind = KVPFS_FLOCK,
					.waits = !(operation & LOCK_NB),
					.operation = operation & ~LOCK_NB });
}

static void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		     struct flock *record)
{
	lock(req, ino, fi,
	     &(struct kvpfs_call_lock){ .kind = KVPFS_GETLK,
					.record = *record });
}

static void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		     struct flock *record, int waits)
{
	lock(req, ino, fi,
	     &(struct kvpfs_call_lock){
		     .kind = KVPFS_SETLK, .waits = waits, .record = *record });
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct kvpfs_call call;

	inode_call(req, ino, "list", fi, &call);
	call.run = kvpfs_run_opendir;
	start(&call, R_OK);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size,
		       off_t offset, struct fuse_file_info *fi)
{
	struct kvpfs_call call;

	inode_call(req, ino, "list", fi, &call);
	call.run = kvpfs_run_readdir;
	call.size = size;
	call.offset = offset;
	start(&call, 0);
}

static void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		    struct fuse_pollhandle *ph)
{
	struct kvpfs_call call;

	inode_call(req, ino, "poll", fi, &call);
	if (!call.ops->poll) {
		fuse_reply_poll(req,
				POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
		if (ph)
			fuse_pollhandle_destroy(ph);
		return;
	}
	call.run = call.ops->poll;
	call.poll = ph;
	start(&call, 0);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct kvpfs_call call;

	inode_call(req, ino, "statfs", NULL, &call);
	call.run = kvpfs_run_statfs;
	start(&call, 0);
}

static int run_access(struct kvpfs *fs, struct kvpfs_call *call)
{
	(void)fs;
	fuse_reply_err(call->req, 0);
	return 0;
}

/* For access(2) and chdir(2). */
static void op_access(fuse_req_t req, fuse_ino_t ino, int rights)
{
	struct kvpfs_call call;

	inode_call(req, ino, "check access to", NULL, &call);
	call.run = run_access;
	start(&call, rights);
}

const struct fuse_lowlevel_ops kvpfs_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.symlink = op_symlink,
	.link = op_link,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.create = op_create,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.fallocate = op_fallocate,
	.flush = op_flush,
	.fsync = op_fsync,
	.fsyncdir = op_fsyncdir,
	.release = op_release,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.releasedir = op_release,
	.poll = op_poll,
	.flock = op_flock,
	.getlk = op_getlk,
	.setlk = op_setlk,
	.statfs = op_statfs,
	.access = op_access,
};
