/* SPDX-License-Identifier: MIT */
#include "writer.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "utf8.h"

/* An edit in the making: the writer's new state is taken over if it succeeds. */
struct writer_edit {
	struct kvp_edit edit; /* must come first */
	struct kvp_store *store;
	const struct kvp_writer *writer;
	bool is_stored;
	struct kvp_bytes data; /* to write at... */
	off_t offset;	       /* ...or the size to truncate to */
	struct kvp_writer after;
};

/* The state of W if it is pending, and a commit stores that. */
static enum kvp_writer_state pending_state(const struct kvp_writer *w)
{
	return w->replaced ? KVP_WRITER_TRUNCATED : KVP_WRITER_CREATED;
}

void kvp_writer_begin(struct kvp_writer *w, struct kvp_value *value)
{
	kvp_value_set(&w->replaced, value);
	w->state = pending_state(w);
}

void kvp_writer_release(struct kvp_writer *w)
{
	kvp_value_set(&w->replaced, NULL);
}

/* False for an append to a new key: it goes behind what others have stored. */
static bool replaces(const struct kvp_writer *w)
{
	return kvp_writer_is_pending(w) && (w->replaced || !w->append);
}

size_t kvp_writer_view(const struct kvp_writer *w,
		       const struct kvp_value *value, char buf[KVP_WRITER_MAX])
{
	size_t len = value && !replaces(w) ? value->len : 0;

	if (len > 0)
		memcpy(buf, value->data, len);
	/* others may have moved the end: only an append takes the tail there */
	if (!w->append && w->tail_offset != len)
		return len;
	memcpy(buf + len, w->tail, w->tail_len);
	return len + w->tail_len;
}

static bool ends_in_character(const struct kvp_writer *w)
{
	return w->tail_len > 0 && w->tail[0] != '\n';
}

/* Refuses a file of LEN bytes for what is at offset AT. */
static int refuse(struct kvp_store *store, int refusal, size_t len, size_t at)
{
	return kvp_store_refuse(store,
				(struct kvp_fault){
					.result = refusal,
					.actual = len,
					.max = kvp_store_max_value_size(store),
					.at = at });
}

int kvp_writer_check(const struct kvp_writer *w, struct kvp_store *store)
{
	if (!ends_in_character(w))
		return 0;
	return refuse(store, KVP_NOT_UTF8, w->tail_offset + w->tail_len,
		      w->tail_offset);
}

/* *RET_KEEP bytes of the file BUF can be stored; the rest is the tail of e->after. */
static int split_tail(struct writer_edit *e, const char *buf, size_t len,
		      size_t *ret_keep)
{
	struct kvp_writer *after = &e->after;
	size_t keep = 0;
	enum kvp_utf8 kind = kvp_utf8_check((struct kvp_bytes){ buf, len },
					    &keep);

	if (kind == KVP_UTF8_INVALID)
		return refuse(e->store, KVP_NOT_UTF8, len, keep);
	if (kind == KVP_UTF8_VALID && after->strip_newline && len > 0 &&
	    buf[len - 1] == '\n')
		keep = len - 1;
	after->tail_len = (unsigned char)(len - keep);
	after->tail_offset = keep;
	memcpy(after->tail, buf + keep, len - keep);
	*ret_keep = keep;
	return 0;
}

/* Refuses a file of too many bytes; NEWLINE: the last one is a newline. */
static int check_length(const struct writer_edit *e, size_t len, bool newline)
{
	size_t max = kvp_store_max_value_size(e->store);

	if (len > max + (e->writer->strip_newline && newline))
		return refuse(e->store, KVP_VALUE_TOO_LARGE, len, max);
	return 0;
}

/* Refuses BUF, all of the file, if it is too long or holds a NUL. */
static int check_content(const struct writer_edit *e, const char *buf,
			 size_t len)
{
	const char *nul = memchr(buf, '\0', len);
	int r = check_length(e, len, len > 0 && buf[len - 1] == '\n');

	if (r == 0 && nul)
		r = refuse(e->store, KVP_VALUE_CONTAINS_NUL, len,
			   (size_t)(nul - buf));
	return r;
}

static int new_value(const char *buf, size_t len, struct kvp_value **ret_value)
{
	*ret_value = kvp_value_new((struct kvp_bytes){ buf, len });
	return *ret_value ? 0 : -ENOMEM;
}

/* No file reaches such offsets, and a size_t may be shorter than an off_t. */
static size_t clamp_offset(off_t offset)
{
	return offset > INT_MAX ? INT_MAX : (size_t)offset;
}

static int apply_write(struct kvp_edit *edit, const struct kvp_value *old,
		       struct kvp_value **ret_value)
{
	struct writer_edit *e = (struct writer_edit *)edit;
	const struct kvp_writer *w = e->writer;
	char buf[KVP_WRITER_MAX];
	size_t len = kvp_writer_view(w, old, buf);
	size_t start = w->append ? len : clamp_offset(e->offset);
	size_t end = start + e->data.len;
	size_t keep = 0;
	int r = check_length(e, end > len ? end : len, true);

	if (r)
		return r;
	if (start > len)
		return refuse(e->store, KVP_VALUE_CONTAINS_NUL, end, len);
	if (e->data.len > 0)
		memcpy(buf + start, e->data.data, e->data.len);
	len = end > len ? end : len;
	r = check_content(e, buf, len);
	if (r)
		return r;
	e->after = *w;
	r = split_tail(e, buf, len, &keep);
	if (r)
		return r;
	/* nobody shall see it empty while the first character is on its way */
	if (keep == 0 && kvp_writer_is_pending(w)) {
		e->after.state = pending_state(w);
		return 0;
	}
	e->after.state = KVP_WRITER_CLEAN;
	return new_value(buf, keep, ret_value);
}

static int apply_truncate(struct kvp_edit *edit, const struct kvp_value *old,
			  struct kvp_value **ret_value)
{
	struct writer_edit *e = (struct writer_edit *)edit;
	const struct kvp_writer *w = e->writer;
	char buf[KVP_WRITER_MAX];
	size_t len = kvp_writer_view(w, old, buf);
	size_t size = clamp_offset(e->offset);
	size_t keep = 0;
	int r = check_length(e, size, true);

	if (r)
		return r;
	if (!old && e->is_stored)
		return KVP_ABSENT;
	if (size > len)
		return refuse(e->store, KVP_VALUE_CONTAINS_NUL, size, len);
	e->after = *w;
	if (size == len && old && !kvp_writer_is_pending(w))
		return 0;
	r = split_tail(e, buf, size, &keep);
	if (r == 0)
		r = kvp_writer_check(&e->after, e->store);
	if (r)
		return r;
	e->after.state = KVP_WRITER_CLEAN;
	return new_value(buf, keep, ret_value);
}

static int apply_commit(struct kvp_edit *edit, const struct kvp_value *old,
			struct kvp_value **ret_value)
{
	struct writer_edit *e = (struct writer_edit *)edit;

	e->after = *e->writer;
	e->after.state = KVP_WRITER_CLEAN;
	if (old != e->writer->replaced)
		return 0;
	return new_value("", 0, ret_value);
}

static int run_edit(struct kvp_writer *w, struct writer_edit *e,
		    const struct kvp_writer_file *file,
		    struct kvp_value **ret_value)
{
	int r;

	e->edit.id = file->id;
	e->store = file->store;
	e->is_stored = file->is_stored;
	e->writer = w;
	if (file->unlinked)
		r = kvp_store_apply(file->store, &e->edit, file->unlinked,
				    ret_value);
	else
		r = kvp_store_edit(file->store, file->key, &e->edit, ret_value);
	if (r == 0)
		*w = e->after;
	return r;
}

int kvp_writer_write(struct kvp_writer *w, const struct kvp_writer_file *file,
		     struct kvp_bytes data, off_t offset,
		     struct kvp_value **ret_value)
{
	struct writer_edit e = {
		.edit.apply = apply_write,
		.data = data,
		.offset = offset,
	};
	int r = run_edit(w, &e, file, ret_value);

	if (r && kvp_writer_is_pending(w))
		w->state = KVP_WRITER_KEEPS;
	return r;
}

int kvp_writer_truncate(struct kvp_writer *w,
			const struct kvp_writer_file *file, off_t size,
			struct kvp_value **ret_value)
{
	struct writer_edit e = {
		.edit.apply = apply_truncate,
		.offset = size,
	};

	return run_edit(w, &e, file, ret_value);
}

int kvp_writer_commit(struct kvp_writer *w, const struct kvp_writer_file *file,
		      struct kvp_value **ret_value)
{
	struct writer_edit e = { .edit.apply = apply_commit };
	int r = kvp_writer_check(w, file->store);

	*ret_value = NULL;
	if (r || !kvp_writer_is_pending(w) || w->state == KVP_WRITER_KEEPS)
		return r;
	return run_edit(w, &e, file, ret_value);
}

int kvp_writer_empty(struct kvp_writer *w, const struct kvp_writer_file *file)
{
	struct kvp_item item = { .value = NULL };
	int r = 0;

	if (file->unlinked)
		item.value = kvp_value_ref(file->unlinked);
	else if (!kvp_writer_is_pending(w))
		r = kvp_store_read(file->store, file->key, &item);
	if (r && r != KVP_ABSENT)
		return r;
	w->tail_len = 0;
	if (kvp_writer_is_pending(w))
		w->state = pending_state(w);
	else if (!item.value || item.value->len > 0)
		kvp_writer_begin(w, item.value);
	kvp_value_unref(item.value);
	return 0;
}

void kvp_writer_yield(struct kvp_writer *w)
{
	if (kvp_writer_is_pending(w))
		w->state = KVP_WRITER_KEEPS;
}
