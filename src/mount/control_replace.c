/* SPDX-License-Identifier: MIT */
#include "control_replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "attr.h"
#include "process.h"
#include "sync.h"
#include "util.h"

/* What was in a pool at one moment; all files that were emptied then share it. */
struct kvpfs_seen {
	unsigned int refs;
	struct kvpfs_dir *dir;
	uint64_t state; /* of the pool */
	struct kvp_index index;
};

static void unref(struct kvpfs_seen *seen)
{
	if (!seen || --seen->refs > 0)
		return;
	if (seen->dir->seen == seen)
		seen->dir->seen = NULL;
	kvp_index_release(&seen->index);
	free(seen);
}

/* *RET_SEEN, a reference, is what is in DIR's pool now. */
static int look(struct kvpfs_dir *dir, struct kvpfs_seen **ret_seen)
{
	struct kvpfs_seen *seen = dir->seen;
	struct kvp_status status;
	int r = kvp_store_refresh(dir->store);

	if (r)
		return r;
	kvp_store_status(dir->store, &status);
	if (seen && seen->state == status.state) {
		seen->refs++;
		*ret_seen = seen;
		return 0;
	}
	seen = calloc(1, sizeof(*seen));
	if (!seen)
		return -ENOMEM;
	r = kvp_store_snapshot(dir->store, &seen->index);
	if (r) {
		free(seen);
		return r;
	}
	seen->refs = 1;
	seen->dir = dir;
	seen->state = status.state;
	dir->seen = seen;
	*ret_seen = seen;
	return 0;
}

static const struct kvpfs_replace_kind *kind_of(const struct kvpfs_call *call)
{
	return (const struct kvpfs_replace_kind *)kvpfs_control_of(call->inode)
		->kind;
}

static void close_file(struct kvpfs *fs, struct kvpfs_open *open)
{
	struct kvpfs_replace *file = (struct kvpfs_replace *)open;

	(void)fs;
	file->kind->release(file);
	kvpfs_shown_release(&file->shown);
	unref(file->seen);
	if (file->written > 0) /* as much as the pool is large */
		kvp_trim_memory();
	free(file);
}

/* Empties FILE. After anything but 0 it is as it was. */
static int empty(struct kvpfs_replace *file, struct kvpfs_dir *dir)
{
	struct kvpfs_seen *seen = NULL;
	int r = look(dir, &seen);

	if (r)
		return r;
	unref(file->seen);
	file->seen = seen;
	file->emptied = ++dir->emptied;
	file->state = KVPFS_UNTOUCHED;
	file->written = 0;
	file->kind->restart(file, dir);
	return 0;
}

/* CALL is from the process that writes FILE. */
static void note_writer(struct kvpfs_replace *file,
			const struct kvpfs_call *call)
{
	pid_t pid = kvpfs_call_pid(call);

	file->writer = kvp_process_has_one_thread(pid) ? pid : 0;
}

int kvpfs_replace_open(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_dir *dir = call->inode->dir;
	bool empties = call->fi.flags & O_TRUNC;
	bool writes = empties || (call->fi.flags & O_ACCMODE) != O_RDONLY;
	struct kvpfs_replace *file;
	int r;

	if (writes && !kvp_store_is_writable(dir->store))
		return KVP_READ_ONLY;
	file = calloc(1, kind_of(call)->handle_size);
	if (!file)
		return -ENOMEM;
	file->kind = kind_of(call);
	file->kind->restart(file, dir);
	if (writes)
		note_writer(file, call);
	r = kvpfs_shown_take(call, &file->shown);
	if (r == 0 && empties)
		r = empty(file, dir);
	if (r)
		close_file(fs, &file->shown.open);
	else
		kvpfs_shown_reply_open(fs, call, &file->shown, close_file);
	return r;
}

/* FILE is changed where it stands, by CALL. */
static int cut(struct kvpfs_replace *file, struct kvpfs_call *call)
{
	int r;

	/* what is written in addition to what it shows cannot be cut */
	if (file->seen || (file->state != KVPFS_UNTOUCHED && !file->shown.own))
		return -EINVAL;
	r = kvpfs_shown_cut(&file->shown, kvpfs_control_of(call->inode),
			    call->attr.st_size);
	if (r == 0)
		file->state = KVPFS_COLLECTED;
	return r;
}

/*
 * truncate(1) of such a file clears the pool, as ": >" does. A program that truncates an
 * open file is about to write it (sort -o), or has written it (rsync): the truncation is
 * one step with that.
 */
static int truncate_file(struct kvpfs_call *call)
{
	struct kvpfs_dir *dir = call->inode->dir;

	if (call->attr.st_size != 0)
		return call->has_handle ? cut(kvpfs_replace_of(call), call)
					: -EINVAL;
	if (call->has_handle)
		return empty(kvpfs_replace_of(call), dir);
	return kvp_store_clear(dir->store);
}

int kvpfs_replace_setattr(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct stat st;
	int r;

	kvpfs_shown_fill(fs, call->inode, &st);
	r = kvpfs_check_setattr(call, &st);
	if (r == 0 && (call->flags & FUSE_SET_ATTR_SIZE)) {
		st.st_size = call->attr.st_size;
		r = truncate_file(call);
	}
	if (r == 0)
		fuse_reply_attr(call->req, &st, 0);
	return r;
}

/* Adds what CALL writes to what was collected. A refusal spoils all of that. */
static int collect(struct kvpfs_replace *file, struct kvpfs_call *call)
{
	bool at_end = (call->fi.flags & O_APPEND) ||
		      call->offset == (off_t)file->written;

	if (file->state == KVPFS_SPOILT)
		return file->result;
	/* what is collected can have no gaps, nor be changed in its middle */
	file->result = at_end ? file->kind->collect(call) : -EINVAL;
	file->state = file->result ? KVPFS_SPOILT : KVPFS_COLLECTED;
	file->written += call->size;
	return file->result;
}

/* Adds what CALL writes to the pool. An unfinished line is not stored yet. */
static int append(struct kvpfs_replace *file, struct kvpfs_call *call)
{
	int r;

	if (!file->kind->append)
		return -EINVAL;
	r = file->kind->append(call);
	if (r != KVP_LOCKED)
		file->state = r ? KVPFS_SETTLED : KVPFS_COLLECTED;
	return r;
}

/* CALL, a write, changes FILE where it stands. */
static int edit(struct kvpfs_replace *file, struct kvpfs_call *call)
{
	struct kvp_bytes data = { call->data, call->size };
	int r = kvpfs_shown_write(&file->shown, kvpfs_control_of(call->inode),
				  data, call->offset);

	if (r == 0)
		file->state = KVPFS_COLLECTED;
	return r;
}

int kvpfs_replace_write(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_replace *file = kvpfs_replace_of(call);
	int r;

	(void)fs;
	if (file->seen)
		r = collect(file, call);
	else if ((call->fi.flags & O_APPEND) && !file->shown.own)
		r = append(file, call);
	else
		r = edit(file, call);
	if (r == 0)
		note_writer(file, call);
	if (r == 0)
		fuse_reply_write(call->req, call->size);
	return r;
}

static int store_edited(struct kvpfs_call *call)
{
	const struct kvpfs_replace *file = kvpfs_replace_of(call);
	struct kvp_bytes content;
	int r = kvpfs_shown_map(&file->shown, &content);

	if (r)
		return r;
	r = file->kind->replace(call, content);
	kvpfs_shown_unmap(content);
	return r;
}

/* Stores what was written and is not stored yet. */
static int store(struct kvpfs_call *call)
{
	struct kvpfs_replace *file = kvpfs_replace_of(call);
	int r;

	if (file->state == KVPFS_SPOILT) {
		call->logged = true; /* close(2) says so, too */
		return file->result;
	}
	if (file->state != KVPFS_COLLECTED)
		return 0;
	if (file->seen)
		r = file->kind->store(call);
	else if (file->shown.own)
		r = store_edited(call);
	else
		r = file->kind->end_append(call);
	if (r != KVP_LOCKED)
		file->state = KVPFS_SETTLED;
	return r;
}

/* CALL, a flush, is from FILE's writer, who was killed before it closed it. */
static bool is_cut_off(const struct kvpfs_replace *file,
		       const struct kvpfs_call *call)
{
	return file->writer && file->writer == kvpfs_call_pid(call) &&
	       kvp_process_is_killed(file->writer);
}

/* Another process that has FILE open may write on: then all of it is stored. */
static void leave(struct kvpfs_replace *file, struct kvpfs_call *call)
{
	if (file->state == KVPFS_COLLECTED)
		kvpfs_call_explain(call,
				   "%s: writer was killed: "
				   "what it has not finished is not stored",
				   file->kind->shown.kind.name);
	if (file->state != KVPFS_SPOILT)
		file->state = KVPFS_SETTLED;
}

int kvpfs_replace_flush(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_replace *file = kvpfs_replace_of(call);
	int r = 0;

	(void)fs;
	if (is_cut_off(file, call))
		leave(file, call);
	else
		r = store(call);
	if (r == 0)
		fuse_reply_err(call->req, 0);
	return r;
}

int kvpfs_replace_release(struct kvpfs *fs, struct kvpfs_call *call)
{
	const struct kvpfs_replace *file = kvpfs_replace_of(call);

	(void)fs;
	/* a file that was emptied since decides in its place */
	if (file->state != KVPFS_UNTOUCHED || !file->seen ||
	    file->emptied != call->inode->dir->emptied)
		return 0;
	return kvp_store_clear_seen(call->inode->dir->store,
				    &file->seen->index);
}

int kvpfs_replace_fsync(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_replace *file = kvpfs_replace_of(call);
	int r = 0;

	if (call->has_handle)
		r = kvpfs_replace_release(fs, call);
	if (r == 0 && call->has_handle && file->state == KVPFS_UNTOUCHED)
		file->state = KVPFS_SETTLED;
	if (r == 0 && call->has_handle)
		r = store(call);
	return r ? r : kvpfs_run_fsync(fs, call);
}
