/* SPDX-License-Identifier: MIT */
/*
 * The table of operations: each request becomes a struct kvpfs_call. What is not
 * here libfuse answers with ENOSYS, upon which the kernel stops asking: extended
 * attributes, access, locks.
 */
#include <errno.h>
#include <poll.h>

#include "kvpfs.h"

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct kvpfs *fs = userdata;

	/* pages are kept or dropped by version, at open */
	conn->want &= ~(unsigned int)FUSE_CAP_AUTO_INVAL_DATA;
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
	kvpfs_forget(inode_of(req, ino), count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count,
			    struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		kvpfs_forget(inode_of(req, forgets[i].ino), forgets[i].nlookup);
	fuse_reply_none(req);
}

/* A request about NAME in a directory. */
static struct kvpfs_call name_call(fuse_req_t req, fuse_ino_t parent,
				   const char *what, const char *name)
{
	return (struct kvpfs_call){ .what = what,
				    .req = req,
				    .inode = inode_of(req, parent),
				    .name = name };
}

/* A request about an inode, perhaps (FI is not NULL) by way of a handle. */
static struct kvpfs_call inode_call(fuse_req_t req, fuse_ino_t ino,
				    const char *what,
				    const struct fuse_file_info *fi)
{
	struct kvpfs_call call = { .what = what,
				   .req = req,
				   .inode = inode_of(req, ino),
				   .has_handle = fi && fi->fh };

	if (fi)
		call.fi = *fi;
	return call;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct kvpfs_call call = name_call(req, parent, "look up", name);

	call.run = call.inode->ops->lookup;
	kvpfs_call_start(&call);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct kvpfs_call call = inode_call(req, ino, "get attributes of", fi);

	call.run = call.inode->ops->getattr;
	kvpfs_call_start(&call);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr,
		       int to_set, struct fuse_file_info *fi)
{
	struct kvpfs_call call = inode_call(req, ino, "set attributes of", fi);

	call.run = call.inode->ops->setattr;
	call.attr = *attr;
	call.flags = (unsigned int)to_set;
	kvpfs_call_start(&call);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name,
		     mode_t mode, dev_t device)
{
	struct kvpfs_call call = name_call(req, parent, "create", name);

	(void)device;
	call.run = call.inode->ops->mknod;
	call.attr.st_mode = mode;
	kvpfs_call_start(&call);
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
	struct kvpfs_call call = name_call(req, parent, "remove", name);

	call.run = call.inode->ops->unlink;
	kvpfs_call_start(&call);
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
	struct kvpfs_call call = name_call(req, parent, "rename", name);

	call.run = call.inode->ops->rename;
	call.new_parent = inode_of(req, new_parent);
	call.new_name = new_name;
	call.flags = flags;
	kvpfs_call_start(&call);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name,
		      mode_t mode, struct fuse_file_info *fi)
{
	struct kvpfs_call call = inode_call(req, parent, "create", fi);

	(void)mode;
	call.run = call.inode->ops->create;
	call.name = name;
	kvpfs_call_start(&call);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct kvpfs_call call = inode_call(req, ino, "open", fi);

	call.run = call.inode->ops->open;
	kvpfs_call_start(&call);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	struct kvpfs_call call = inode_call(req, ino, "read", fi);

	call.run = call.inode->ops->read;
	call.size = size;
	call.offset = offset;
	kvpfs_call_start(&call);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data,
		     size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct kvpfs_call call = inode_call(req, ino, "write", fi);

	call.run = call.inode->ops->write;
	call.data = data;
	call.size = size;
	call.offset = offset;
	kvpfs_call_start(&call);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct kvpfs_call call = inode_call(req, ino, "close", fi);

	call.run = call.inode->ops->flush;
	kvpfs_call_start(&call);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		     struct fuse_file_info *fi)
{
	struct kvpfs_call call = inode_call(req, ino, "fsync", fi);

	(void)datasync;
	call.run = call.inode->ops->fsync;
	kvpfs_call_start(&call);
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
	struct kvpfs_call call = inode_call(req, ino, "store", fi);

	call.run = call.inode->ops->release;
	call.abandon = call.inode->ops->abandon_release;
	kvpfs_call_start(&call);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct kvpfs_call call = inode_call(req, ino, "list", fi);

	call.run = kvpfs_run_opendir;
	kvpfs_call_start(&call);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size,
		       off_t offset, struct fuse_file_info *fi)
{
	struct kvpfs_call call = inode_call(req, ino, "list", fi);

	call.run = kvpfs_run_readdir;
	call.size = size;
	call.offset = offset;
	kvpfs_call_start(&call);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino,
			  struct fuse_file_info *fi)
{
	struct kvpfs_call call = inode_call(req, ino, "close", fi);

	call.run = kvpfs_run_releasedir;
	kvpfs_call_start(&call);
}

static void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		    struct fuse_pollhandle *ph)
{
	struct kvpfs_call call = inode_call(req, ino, "poll", fi);

	if (!call.inode->ops->poll) {
		fuse_reply_poll(req,
				POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
		if (ph)
			fuse_pollhandle_destroy(ph);
		return;
	}
	call.run = call.inode->ops->poll;
	call.poll = ph;
	kvpfs_call_start(&call);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct kvpfs_call call = inode_call(req, ino, "statfs", NULL);

	call.run = kvpfs_run_statfs;
	kvpfs_call_start(&call);
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
	.flush = op_flush,
	.fsync = op_fsync,
	.fsyncdir = op_fsyncdir,
	.release = op_release,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.releasedir = op_releasedir,
	.poll = op_poll,
	.statfs = op_statfs,
};
