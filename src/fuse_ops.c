/* SPDX-License-Identifier: MIT */
/*
 * The table of operations: each request becomes a struct kvpfs_call. What is not
 * here libfuse answers with ENOSYS, upon which the kernel stops asking: extended
 * attributes, access, locks.
 */
#include <errno.h>

#include "kvpfs.h"

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct kvpfs *fs = userdata;

	/* pages are kept or dropped by version, at open */
	conn->want &= ~(unsigned int)FUSE_CAP_AUTO_INVAL_DATA;
	fs->ready = true;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct kvpfs_call call = { .run = kvpfs_run_lookup,
				   .what = "look up",
				   .req = req,
				   .ino = parent,
				   .name = name };

	kvpfs_call_start(&call);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	if (ino != FUSE_ROOT_ID)
		kvpfs_node_forget(kvpfs_node(ino), count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count,
			    struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		if (forgets[i].ino != FUSE_ROOT_ID)
			kvpfs_node_forget(kvpfs_node(forgets[i].ino),
					  forgets[i].nlookup);
	fuse_reply_none(req);
}

/* A request about a file, or (FI may be NULL) about one that is not open. */
static void start_file_call(int (*run)(struct kvpfs *, struct kvpfs_call *),
			    const char *what, struct kvpfs_call *call,
			    struct fuse_file_info *fi)
{
	call->run = run;
	call->what = what;
	call->has_handle = fi && fi->fh;
	if (fi)
		call->fi = *fi;
	kvpfs_call_start(call);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct kvpfs_call call = { .req = req, .ino = ino };

	start_file_call(kvpfs_run_getattr, "get attributes of", &call,
			ino == FUSE_ROOT_ID ? NULL : fi);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr,
		       int to_set, struct fuse_file_info *fi)
{
	struct kvpfs_call call = { .req = req,
				   .ino = ino,
				   .attr = *attr,
				   .flags = (unsigned int)to_set };

	start_file_call(kvpfs_run_setattr, "set attributes of", &call,
			ino == FUSE_ROOT_ID ? NULL : fi);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name,
		     mode_t mode, dev_t device)
{
	struct kvpfs_call call = { .run = kvpfs_run_mknod,
				   .what = "create",
				   .req = req,
				   .ino = parent,
				   .name = name,
				   .attr.st_mode = mode };

	(void)device;
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
	struct kvpfs_call call = { .run = kvpfs_run_unlink,
				   .what = "remove",
				   .req = req,
				   .ino = parent,
				   .name = name };

	kvpfs_call_start(&call);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
		      fuse_ino_t new_parent, const char *new_name,
		      unsigned int flags)
{
	struct kvpfs_call call = { .run = kvpfs_run_rename,
				   .what = "rename",
				   .req = req,
				   .ino = parent,
				   .name = name,
				   .new_parent = new_parent,
				   .new_name = new_name,
				   .flags = flags };

	kvpfs_call_start(&call);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name,
		      mode_t mode, struct fuse_file_info *fi)
{
	struct kvpfs_call call = { .req = req, .ino = parent, .name = name };

	(void)mode;
	start_file_call(kvpfs_run_create, "create", &call, fi);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct kvpfs_call call = { .req = req, .ino = ino };

	start_file_call(kvpfs_run_open, "open", &call, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	struct kvpfs_call call = {
		.req = req, .ino = ino, .size = size, .offset = offset
	};

	start_file_call(kvpfs_run_read, "read", &call, fi);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data,
		     size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct kvpfs_call call = { .req = req,
				   .ino = ino,
				   .data = data,
				   .size = size,
				   .offset = offset };

	start_file_call(kvpfs_run_write, "write", &call, fi);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct kvpfs_call call = { .req = req, .ino = ino };

	start_file_call(kvpfs_run_flush, "close", &call, fi);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		     struct fuse_file_info *fi)
{
	struct kvpfs_call call = { .req = req, .ino = ino };

	(void)datasync;
	start_file_call(kvpfs_run_fsync, "fsync", &call, fi);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
			struct fuse_file_info *fi)
{
	struct kvpfs_call call = { .req = req, .ino = ino };

	(void)datasync;
	(void)fi;
	start_file_call(kvpfs_run_fsync, "fsync", &call, NULL);
}

static void op_release(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct kvpfs_call call = { .req = req,
				   .ino = ino,
				   .abandon = kvpfs_abandon_release };

	start_file_call(kvpfs_run_release, "store", &call, fi);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct kvpfs_call call = { .req = req, .ino = ino };

	start_file_call(kvpfs_run_opendir, "list", &call, fi);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size,
		       off_t offset, struct fuse_file_info *fi)
{
	struct kvpfs_call call = {
		.req = req, .ino = ino, .size = size, .offset = offset
	};

	start_file_call(kvpfs_run_readdir, "list", &call, fi);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino,
			  struct fuse_file_info *fi)
{
	struct kvpfs_call call = { .req = req, .ino = ino };

	start_file_call(kvpfs_run_releasedir, "close", &call, fi);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct kvpfs_call call = { .run = kvpfs_run_statfs,
				   .what = "statfs",
				   .req = req,
				   .ino = ino };

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
	.statfs = op_statfs,
};
