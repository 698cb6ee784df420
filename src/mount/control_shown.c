/* SPDX-License-Identifier: MIT */
#include "control_shown.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attr.h"
#include "util.h"

struct kvpfs_shown {
	unsigned int refs;
	struct kvpfs_control *file; /* whose latest content this is; or NULL */
	int fd;			    /* the content */
	size_t size;
	uint64_t state; /* of the pool that it shows */
};

static const struct kvpfs_shown_kind *kind_of(const struct kvpfs_control *file)
{
	return (const struct kvpfs_shown_kind *)file->kind;
}

static void unref(struct kvpfs_shown *shown)
{
	if (!shown || --shown->refs > 0)
		return;
	if (shown->file)
		shown->file->latest = NULL;
	kvp_close(shown->fd);
	free(shown);
}

/* A write function of fopencookie(3), so 0 means failure. */
static ssize_t add_content(void *arg, const char *data, size_t size)
{
	struct kvpfs_shown *shown = arg;
	int r = -EFBIG;

	if (size <= KVPFS_SHOWN_MAX - shown->size)
		r = kvp_pwrite_all(shown->fd, data, size, (off_t)shown->size);
	if (r) {
		errno = -r;
		return 0;
	}
	shown->size += size;
	return (ssize_t)size;
}

/* Makes the content of FILE. */
static int make_content(struct kvpfs_control *file, struct kvpfs_shown *shown)
{
	const cookie_io_functions_t functions = { .write = add_content };
	FILE *out = fopencookie(shown, "w", functions);
	int r;

	if (!out)
		return -ENOMEM;
	r = kind_of(file)->show(file->inode.dir, out);
	if (r == 0 && fflush(out) != 0)
		r = -errno;
	(void)fclose(out);
	return r;
}

/* The status of FILE's pool, after a look at it. */
static int look(const struct kvpfs_control *file, struct kvp_status *ret_status)
{
	int r = kvp_store_refresh(file->inode.dir->store);

	/* a locked pool cannot be read: the status shows the last reading */
	if (r && !(kind_of(file)->volatile_content && r == KVP_LOCKED))
		return r;
	kvp_store_status(file->inode.dir->store, ret_status);
	return 0;
}

/* Makes what FILE shows now, of a pool with STATUS; the reference is the only one. */
static int make_shown(struct kvpfs_control *file,
		      const struct kvp_status *status,
		      struct kvpfs_shown **ret_shown)
{
	const struct kvpfs_shown_kind *kind = kind_of(file);
	struct kvpfs_shown *shown;
	int r;

	if (kind->size && kind->size(status) > KVPFS_SHOWN_MAX)
		return -EFBIG;
	shown = calloc(1, sizeof(*shown));
	if (!shown)
		return -ENOMEM;
	shown->refs = 1;
	shown->state = status->state;
	shown->fd = memfd_create("kvpfs", MFD_CLOEXEC);
	r = shown->fd < 0 ? -errno : make_content(file, shown);
	if (r) {
		unref(shown);
		return r;
	}
	*ret_shown = shown;
	return 0;
}

static void set_latest(struct kvpfs_control *file, struct kvpfs_shown *shown)
{
	if (file->latest)
		file->latest->file = NULL;
	shown->file = file;
	file->latest = shown;
}

/* Gets, or makes, what FILE shows now; a reference. */
static int get_shown(struct kvpfs_control *file, struct kvpfs_shown **ret_shown)
{
	struct kvpfs_shown *shown = file->latest;
	struct kvp_status status;
	int r = look(file, &status);

	if (r)
		return r;
	if (shown && shown->state == status.state &&
	    !kind_of(file)->volatile_content) {
		shown->refs++;
		*ret_shown = shown;
		return 0;
	}
	r = make_shown(file, &status, ret_shown);
	if (r == 0)
		set_latest(file, *ret_shown);
	return r;
}

static int measure_content(struct kvpfs_control *file)
{
	struct kvpfs_shown *shown;
	int r = get_shown(file, &shown);

	if (r)
		return r;
	file->size = shown->size;
	unref(shown);
	return 0;
}

/* Brings the size for kvpfs_shown_fill up to date. */
static int measure(struct kvpfs_control *file)
{
	const struct kvpfs_shown_kind *kind = kind_of(file);
	struct kvp_status status;
	int r = look(file, &status);

	if (r || (file->measured && file->measured_state == status.state &&
		  !kind->volatile_content))
		return r;
	if (kind->size)
		file->size = kind->size(&status);
	else
		r = measure_content(file);
	if (r == -EFBIG) { /* opening it says so */
		file->size = 0;
		r = 0;
	}
	file->measured = r == 0;
	file->measured_state = status.state;
	return r;
}

void kvpfs_shown_fill(struct kvpfs *fs, const struct kvpfs_inode *inode,
		      struct stat *st)
{
	kvpfs_control_fill(fs, inode, st);
	st->st_size = (off_t)((const struct kvpfs_control *)inode)->size;
	st->st_blocks = (st->st_size + 511) / 512;
}

int kvpfs_shown_getattr(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_control *file = kvpfs_control_of(call->inode);
	int r = measure(file);
	struct stat st;

	if (r)
		return r;
	kvpfs_shown_fill(fs, call->inode, &st);
	if (call->has_handle) {
		const struct kvpfs_shown_handle *handle =
			(struct kvpfs_shown_handle *)kvpfs_call_open(call);

		if (handle->shown)
			st.st_size = (off_t)handle->shown->size;
	}
	fuse_reply_attr(call->req, &st, 0);
	return 0;
}

int kvpfs_shown_lookup(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_control *file = kvpfs_control_child(call->inode->dir,
							 call->name);
	int r = measure(file);

	if (r == 0)
		kvpfs_reply_inode(fs, call->req, &file->inode);
	return r;
}

int kvpfs_shown_setattr(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct stat st;
	int r;

	kvpfs_shown_fill(fs, call->inode, &st);
	r = kvpfs_check_setattr(call, &st);
	if (r == 0 && (call->flags & FUSE_SET_ATTR_SIZE))
		r = KVP_NOT_WRITABLE;
	if (r == 0)
		fuse_reply_attr(call->req, &st, 0);
	return r;
}

int kvpfs_shown_take(const struct kvpfs_call *call,
		     struct kvpfs_shown_handle *handle)
{
	if ((call->fi.flags & O_ACCMODE) == O_WRONLY)
		return 0;
	return get_shown(kvpfs_control_of(call->inode), &handle->shown);
}

void kvpfs_shown_reply_open(struct kvpfs *fs, struct kvpfs_call *call,
			    struct kvpfs_shown_handle *handle,
			    void (*close)(struct kvpfs *fs,
					  struct kvpfs_open *open))
{
	kvpfs_open_add(fs, &handle->open, close);
	call->fi.fh = (uintptr_t)handle;
	call->fi.direct_io = 1;
	if (fuse_reply_open(call->req, &call->fi) != 0)
		kvpfs_open_close(fs, &handle->open);
}

/* Gives HANDLE a copy of its own of what FILE shows now, unless it has one. */
static int own(struct kvpfs_shown_handle *handle, struct kvpfs_control *file)
{
	struct kvpfs_shown *shown;
	struct kvp_status status;
	int r = handle->own ? 0 : look(file, &status);

	if (r || handle->own)
		return r;
	r = make_shown(file, &status, &shown);
	if (r)
		return r;
	unref(handle->shown);
	handle->shown = shown;
	handle->own = true;
	return 0;
}

int kvpfs_shown_write(struct kvpfs_shown_handle *handle,
		      struct kvpfs_control *file, struct kvp_bytes data,
		      off_t offset)
{
	int r = own(handle, file);
	size_t end;

	if (r)
		return r;
	if (offset > (off_t)handle->shown->size)
		return -EINVAL;
	end = (size_t)offset + data.len;
	if (end > KVPFS_SHOWN_MAX)
		return -EFBIG;
	r = kvp_pwrite_all(handle->shown->fd, data.data, data.len, offset);
	if (r == 0 && end > handle->shown->size)
		handle->shown->size = end;
	return r;
}

int kvpfs_shown_cut(struct kvpfs_shown_handle *handle,
		    struct kvpfs_control *file, off_t size)
{
	int r = own(handle, file);

	if (r)
		return r;
	if (size > (off_t)handle->shown->size)
		return -EINVAL;
	r = kvp_ftruncate(handle->shown->fd, size);
	if (r == 0)
		handle->shown->size = (size_t)size;
	return r;
}

int kvpfs_shown_map(const struct kvpfs_shown_handle *handle,
		    struct kvp_bytes *ret_bytes)
{
	size_t size = handle->shown->size;
	void *map = NULL;

	if (size > 0)
		map = mmap(NULL, size, PROT_READ, MAP_SHARED, handle->shown->fd,
			   0);
	if (map == MAP_FAILED)
		return -errno;
	*ret_bytes = (struct kvp_bytes){ map, size };
	return 0;
}

void kvpfs_shown_unmap(struct kvp_bytes bytes)
{
	if (bytes.len > 0)
		munmap((void *)(uintptr_t)bytes.data, bytes.len);
}

void kvpfs_shown_release(struct kvpfs_shown_handle *handle)
{
	unref(handle->shown);
}

static void close_handle(struct kvpfs *fs, struct kvpfs_open *open)
{
	(void)fs;
	kvpfs_shown_release((struct kvpfs_shown_handle *)open);
	free(open);
}

int kvpfs_shown_run_open(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_shown_handle *handle;
	int r;

	if (!kvpfs_control_is_only_read(call))
		return KVP_NOT_WRITABLE;
	handle = calloc(1, sizeof(*handle));
	if (!handle)
		return -ENOMEM;
	r = kvpfs_shown_take(call, handle);
	if (r)
		free(handle);
	else
		kvpfs_shown_reply_open(fs, call, handle, close_handle);
	return r;
}

int kvpfs_shown_read(struct kvpfs *fs, struct kvpfs_call *call)
{
	const struct kvpfs_shown *shown =
		((struct kvpfs_shown_handle *)kvpfs_call_open(call))->shown;
	struct fuse_bufvec part = FUSE_BUFVEC_INIT(0);
	size_t start = (size_t)call->offset;

	(void)fs;
	if (call->offset < 0 || start > shown->size)
		start = shown->size;
	part.buf[0].size = shown->size - start;
	if (part.buf[0].size > call->size)
		part.buf[0].size = call->size;
	part.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	part.buf[0].fd = shown->fd;
	part.buf[0].pos = (off_t)start;
	fuse_reply_data(call->req, &part, FUSE_BUF_NO_SPLICE);
	return 0;
}
