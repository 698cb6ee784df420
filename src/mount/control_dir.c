/* SPDX-License-Identifier: MIT */
/*
 * ".kvpfs" in the directory of a pool: the store behind the files, as text. It is
 * hidden from listings, so that globs, find, tar and rm -r never meet it. Its
 * files have no size, as in procfs, and are read past the page cache. What they
 * show is made when they are opened.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "control_dir.h"
#include "log.h"

/* The most text that is taken to replace a pool: as much as a pool may hold. */
#define INPUT_MAX ((size_t)1 << 30)

/* A line in which everything is escaped. */
#define LINE_MAX_BYTES (3 * (size_t)KVP_RECORD_SIZE + 2)

static int add_record(void *arg, const struct kvp_pair *record)
{
	return kvp_text_add_record(arg, record);
}

static int show_records(struct kvpfs_dir *dir, struct kvp_text *text)
{
	return kvp_store_entries_raw(dir->store, add_record, text);
}

static int add_entry(void *arg, const struct kvp_item *item)
{
	struct kvp_pair pair = { item->key, kvp_value_bytes(item->value) };

	return kvp_text_add_record(arg, &pair);
}

static int show_entries(struct kvpfs_dir *dir, struct kvp_text *text)
{
	return kvp_store_entries(dir->store, add_entry, text);
}

static int add_bytes(void *arg, struct kvp_bytes bytes)
{
	return kvp_text_append(arg, bytes);
}

static int show_pool(struct kvpfs_dir *dir, struct kvp_text *text)
{
	return kvp_store_copy(dir->store, add_bytes, text);
}

/* By enum kvpfs_control_kind. */
static const struct {
	const char *name;
	int (*show)(struct kvpfs_dir *dir, struct kvp_text *text);
	bool writable;
} kinds[KVPFS_CONTROLS] = {
	[KVPFS_RECORDS] = { "records", show_records, true },
	[KVPFS_ENTRIES] = { "entries", show_entries, false },
	[KVPFS_POOL] = { "pool", show_pool, false },
	[KVPFS_STATUS] = { "status", kvpfs_show_status, false },
	[KVPFS_EVENTS] = { "events", NULL, false }, /* fuse_events.c */
};

void kvpfs_control_init(struct kvpfs_dir *dir)
{
	dir->control = (struct kvpfs_inode){ &kvpfs_control_dir_ops, dir, 0 };
	for (int i = 0; i < KVPFS_CONTROLS; i++) {
		dir->controls[i].inode = (struct kvpfs_inode){
			&kvpfs_control_ops, dir, 0
		};
		dir->controls[i].kind = (enum kvpfs_control_kind)i;
	}
}

static enum kvpfs_control_kind kind_of(const struct kvpfs_inode *inode)
{
	return ((const struct kvpfs_control *)inode)->kind;
}

const char *kvpfs_control_name(const struct kvpfs_inode *inode)
{
	return inode->ops == &kvpfs_control_ops ? kinds[kind_of(inode)].name
						: NULL;
}

static void fill_control_dir(struct kvpfs *fs, const struct kvpfs_inode *inode,
			     struct stat *st)
{
	kvpfs_fill_dir(fs, inode, st);
	st->st_mode &= ~(mode_t)0222;
	st->st_ino = kvpfs_ino(inode->dir, KVPFS_INO_CONTROL);
}

static void fill_control(struct kvpfs *fs, const struct kvpfs_inode *inode,
			 struct stat *st)
{
	enum kvpfs_control_kind kind = kind_of(inode);

	kvpfs_fill_file(fs, inode->dir, st);
	if (!kinds[kind].writable)
		st->st_mode &= ~(mode_t)0222;
	st->st_ino = kvpfs_ino(inode->dir, KVPFS_INO_CONTROL + 1 + kind);
}

static int list_controls(struct kvpfs *fs, const struct kvpfs_inode *inode,
			 struct kvpfs_listing *listing)
{
	int r = 0;

	(void)fs;
	for (int i = 0; i < KVPFS_CONTROLS && r == 0; i++)
		r = kvpfs_list_name(listing, kinds[i].name,
				    kvpfs_ino(inode->dir, KVPFS_INO_CONTROL +
								  1 +
								  (uint64_t)i),
				    S_IFREG);
	return r;
}

static int run_lookup(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_dir *dir = call->inode->dir;
	int r;

	for (int i = 0; i < KVPFS_CONTROLS; i++) {
		if (strcmp(call->name, kinds[i].name) != 0)
			continue;
		r = kvp_store_refresh(dir->store);
		if (r)
			return r;
		if (i == KVPFS_EVENTS)
			return kvpfs_run_lookup_events(fs, call);
		kvpfs_reply_inode(fs, call->req, &dir->controls[i].inode);
		return 0;
	}
	return KVP_ABSENT;
}

const struct kvpfs_inode_ops kvpfs_control_dir_ops = {
	.fill = fill_control_dir,
	.list = list_controls,
	.lookup = run_lookup,
	.getattr = kvpfs_run_getattr_dir,
	.setattr = kvpfs_run_setattr_dir,
	.fsync = kvpfs_run_fsync,
};

/* An open file of ours. */
struct kvpfs_control_handle {
	struct kvp_text shown;
	bool writes;
	bool replaces;	/* all that is written becomes the pool */
	bool wrote;	/* at least once, if only in vain */
	bool dirty;	/* something was written since the last try to store */
	bool failed;	/* a line was invalid: nothing will be stored (>) */
	size_t lines;	/* that were appended, or found valid */
	size_t checked; /* how much of the input those lines are (>) */
	struct kvp_text input; /* written, and not stored yet */
	TAILQ_ENTRY(kvpfs_control_handle) link;
};

static struct kvpfs_control_handle *handle_of(const struct kvpfs_call *call)
{
	return (struct kvpfs_control_handle *)(uintptr_t)call->fi.fh;
}

void kvpfs_control_handle_close(struct kvpfs *fs,
				struct kvpfs_control_handle *handle)
{
	TAILQ_REMOVE(&fs->control_handles, handle, link);
	kvp_text_release(&handle->shown);
	kvp_text_release(&handle->input);
	free(handle);
}

static int run_open(struct kvpfs *fs, struct kvpfs_call *call)
{
	enum kvpfs_control_kind kind = kind_of(call->inode);
	int flags = call->fi.flags;
	bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
	struct kvpfs_control_handle *handle;
	int r = 0;

	if (writes && !kinds[kind].writable)
		return KVP_NOT_WRITABLE;
	handle = calloc(1, sizeof(*handle));
	if (!handle)
		return -ENOMEM;
	if ((flags & O_ACCMODE) != O_WRONLY)
		r = kinds[kind].show(call->inode->dir, &handle->shown);
	if (r) {
		kvp_text_release(&handle->shown);
		free(handle);
		return r;
	}
	handle->writes = writes;
	handle->replaces = flags & O_TRUNC;
	TAILQ_INSERT_TAIL(&fs->control_handles, handle, link);
	call->fi.fh = (uintptr_t)handle;
	call->fi.direct_io = 1;
	if (fuse_reply_open(call->req, &call->fi) != 0)
		kvpfs_control_handle_close(fs, handle);
	return 0;
}

static int run_read(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvp_bytes shown = kvp_text_bytes(&handle_of(call)->shown);

	(void)fs;
	kvpfs_reply_part(call, shown);
	return 0;
}

/* Says why in the log, which need not have another line about it. */
static int invalid_line(struct kvpfs_call *call, size_t line,
			const char *reason)
{
	kvpfs_log(LOG_WARNING, "%s: records: line %zu: %s",
		  call->inode->dir->name, line, reason);
	call->logged = true;
	return -EINVAL;
}

/*
 * The records of TEXT, the first line of which is number FIRST; each by itself may
 * be stored. The caller releases *RET_RECORDS. -EINVAL: no, and the log says why.
 */
static int parse_lines(struct kvpfs_call *call, struct kvp_bytes text,
		       size_t first, struct kvp_text_records *ret_records)
{
	const struct kvp_store *store = call->inode->dir->store;
	struct kvp_text_records records = { 0 };
	struct kvp_text_fault fault;
	struct kvp_numbers numbers;
	char message[128];
	size_t line = 1;
	int r = kvp_text_parse(text, &records, &fault);

	if (r > 0)
		return invalid_line(call, first - 1 + fault.line, fault.reason);
	if (r)
		return r;
	r = kvp_text_check(store, &records, &line);
	if (r == 0) {
		*ret_records = records;
		return 0;
	}
	numbers = kvp_store_numbers(store, r, records.pairs[line - 1].key.len,
				    records.pairs[line - 1].value.len);
	kvp_text_records_release(&records);
	return invalid_line(call, first - 1 + line,
			    kvp_result_message(r, numbers, message,
					       sizeof(message)));
}

/* They go to the store in one step, instead of what is there or behind it. */
static int store_lines(struct kvpfs_call *call, struct kvp_bytes text,
		       size_t first, bool replace, size_t *ret_lines)
{
	struct kvp_store *store = call->inode->dir->store;
	struct kvp_text_records records;
	int r = parse_lines(call, text, first, &records);

	if (r)
		return r;
	if (replace)
		r = kvp_store_load(store, records.pairs, records.count);
	else
		r = kvp_store_append(store, records.pairs, records.count);
	if (r == 0)
		*ret_lines = records.count;
	kvp_text_records_release(&records);
	return r;
}

/* The bytes of BYTES up to and with the last newline. */
static struct kvp_bytes whole_lines(struct kvp_bytes bytes)
{
	const char *newline = bytes.len ? memrchr(bytes.data, '\n', bytes.len)
					: NULL;

	bytes.len = newline ? (size_t)(newline - bytes.data) + 1 : 0;
	return bytes;
}

/* A line that is not finished yet and longer than any valid one: -EINVAL. */
static int check_unfinished(struct kvpfs_call *call, size_t len)
{
	const struct kvpfs_control_handle *handle = handle_of(call);

	if (len <= LINE_MAX_BYTES)
		return 0;
	return invalid_line(call, handle->lines + 1, "too long");
}

/* Stores the whole lines among what is held and DATA; holds the rest. */
static int append_lines(struct kvpfs_call *call, struct kvp_bytes data)
{
	struct kvpfs_control_handle *handle = handle_of(call);
	struct kvp_bytes whole;
	size_t held = handle->input.len;
	size_t lines = 0;
	int r = kvp_text_append(&handle->input, data);

	if (r)
		return r;
	whole = whole_lines(kvp_text_bytes(&handle->input));
	r = check_unfinished(call, handle->input.len - whole.len);
	if (r == 0 && whole.len > 0)
		r = store_lines(call, whole, handle->lines + 1, false, &lines);
	if (r) {
		handle->input.len = held; /* as if nothing had been written */
		return r;
	}
	handle->lines += lines;
	handle->input.len -= whole.len;
	if (whole.len > 0)
		memmove(handle->input.data, handle->input.data + whole.len,
			handle->input.len);
	return 0;
}

/*
 * Adds DATA to what will replace the pool. Whole lines are checked at once, as
 * shells notice an error of write(2), but none of close(2).
 */
static int collect_lines(struct kvpfs_call *call, struct kvp_bytes data)
{
	struct kvpfs_control_handle *handle = handle_of(call);
	struct kvp_text_records records;
	struct kvp_bytes fresh;
	int r = kvp_text_append(&handle->input, data);

	if (r)
		return r;
	fresh.data = handle->input.data + handle->checked;
	fresh.len = handle->input.len - handle->checked;
	fresh = whole_lines(fresh);
	r = check_unfinished(call,
			     handle->input.len - handle->checked - fresh.len);
	if (r || fresh.len == 0)
		return r;
	r = parse_lines(call, fresh, handle->lines + 1, &records);
	if (r)
		return r;
	handle->checked += fresh.len;
	handle->lines += records.count;
	kvp_text_records_release(&records);
	return 0;
}

static int take_input(struct kvpfs_call *call)
{
	struct kvpfs_control_handle *handle = handle_of(call);
	struct kvp_bytes data = { call->data, call->size };

	if (handle->input.len + call->size > INPUT_MAX)
		return -EFBIG;
	if (handle->replaces)
		return collect_lines(call, data);
	return append_lines(call, data);
}

static int run_write(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_control_handle *handle = handle_of(call);
	bool append = call->fi.flags & O_APPEND;
	int r;

	(void)fs;
	handle->wrote = true; /* or tried to: closing does not clear the pool */
	/* in the middle of a text that is made anew each time: > or >> */
	if (append ||
	    (handle->replaces && call->offset == (off_t)handle->input.len))
		r = take_input(call);
	else
		r = -EINVAL;
	/* a text with a gap is not stored, nor is a line that was cut off */
	handle->dirty = r == 0;
	if (r && handle->replaces)
		handle->failed = true;
	if (r)
		return r;
	fuse_reply_write(call->req, call->size);
	return 0;
}

/*
 * Stores what was written since the last try: all of it, to replace the pool, or a
 * last line that has no newline.
 */
static int store_input(struct kvpfs_call *call)
{
	struct kvpfs_control_handle *handle = handle_of(call);
	bool replace = handle->replaces;
	size_t lines = 0;
	int r;

	call->logged = handle->failed;
	if (handle->failed)
		return -EINVAL;
	if (!handle->dirty || (!replace && handle->input.len == 0))
		return 0;
	r = store_lines(call, kvp_text_bytes(&handle->input),
			replace ? 1 : handle->lines + 1, replace, &lines);
	if (r == KVP_LOCKED)
		return r;
	handle->dirty = false;
	if (!replace) {
		handle->lines += lines;
		handle->input.len = 0;
	}
	return r;
}

static int run_flush(struct kvpfs *fs, struct kvpfs_call *call)
{
	int r = store_input(call);

	(void)fs;
	if (r == 0)
		fuse_reply_err(call->req, 0);
	return r;
}

static int run_fsync(struct kvpfs *fs, struct kvpfs_call *call)
{
	int r = store_input(call);

	return r ? r : kvpfs_run_fsync(fs, call);
}

/* Opened to be replaced, and nothing was written: the pool is cleared. */
static int run_release(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_control_handle *handle = handle_of(call);
	int r = 0;

	if (handle->replaces && !handle->wrote)
		r = kvp_store_clear(call->inode->dir->store);
	if (r)
		return r;
	kvpfs_control_handle_close(fs, handle);
	fuse_reply_err(call->req, 0);
	return 0;
}

static void abandon_release(struct kvpfs *fs, struct kvpfs_call *call)
{
	kvpfs_control_handle_close(fs, handle_of(call));
}

int kvpfs_run_getattr_control(struct kvpfs *fs, struct kvpfs_call *call)
{
	int r = kvp_store_refresh(call->inode->dir->store);
	struct stat st;

	if (r)
		return r;
	call->inode->ops->fill(fs, call->inode, &st);
	fuse_reply_attr(call->req, &st, fs->options->attr_timeout);
	return 0;
}

/* As if HANDLE had just been opened to replace the pool. */
static void begin_anew(struct kvpfs_control_handle *handle)
{
	handle->replaces = true;
	handle->wrote = false;
	handle->dirty = false;
	handle->failed = false;
	handle->lines = 0;
	handle->checked = 0;
	handle->input.len = 0;
}

/*
 * truncate(1) on "records" clears the pool, as ": >" does. Who truncates an open
 * file is about to write it (sort -o): that is one step with what follows.
 */
static int run_setattr(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_dir *dir = call->inode->dir;
	struct stat st;
	int r = kvp_store_refresh(dir->store);

	if (r)
		return r;
	call->inode->ops->fill(fs, call->inode, &st);
	r = kvpfs_check_setattr(call, &st);
	if (r == 0 && (call->flags & FUSE_SET_ATTR_SIZE)) {
		if (!kinds[kind_of(call->inode)].writable)
			return KVP_NOT_WRITABLE;
		if (call->attr.st_size != 0)
			return -EINVAL;
		if (call->has_handle)
			begin_anew(handle_of(call));
		else
			r = kvp_store_clear(dir->store);
	}
	if (r == 0)
		fuse_reply_attr(call->req, &st, fs->options->attr_timeout);
	return r;
}

const struct kvpfs_inode_ops kvpfs_control_ops = {
	.fill = fill_control,
	.getattr = kvpfs_run_getattr_control,
	.setattr = run_setattr,
	.open = run_open,
	.read = run_read,
	.write = run_write,
	.flush = run_flush,
	.fsync = run_fsync,
	.release = run_release,
	.abandon_release = abandon_release,
};
