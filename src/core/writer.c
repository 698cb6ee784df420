/* SPDX-License-Identifier: MIT */
#include "writer.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "utf8.h"

/* An edit in the making: the writer's new state is taken over if it succeeds. */
struct writer_edit {
	struct kvp_edit edit; /* must come first */
	const struct kvp_store *store;
	const struct kvp_writer *writer;
	struct kvp_bytes data; /* to write at... */
	off_t offset;	       /* ...or the size to truncate to */
	struct kvp_writer after;
};

void kvp_writer_release(struct kvp_writer *w)
{
	kvp_value_set(&w->replaced, NULL);
}

/* A new key has nothing to replace: an append goes behind what others stored. */
static bool replaces(const struct kvp_writer *w)
{
	return w->pending && (w->replaced || !w->append);
}

size_t kvp_writer_view(const struct kvp_writer *w,
		       const struct kvp_value *value, char buf[KVP_WRITER_MAX])
{
	size_t len = value && !replaces(w) ? value->len : 0;

	if (len > 0)
		memcpy(buf, value->data, len);
	/* if others have moved the end, the tail goes there or has no place */
	if (!w->append && w->tail_offset != len)
		return len;
	memcpy(buf + len, w->tail, w->tail_len);
	return len + w->tail_len;
}

int kvp_writer_check(const struct kvp_writer *w)
{
	return w->tail_len > 0 && w->tail[0] != '\n' ? KVP_NOT_UTF8 : 0;
}

/* How much of the file BUF is stored; the rest becomes the tail of AFTER. */
static int split_tail(const struct kvp_writer *w, const char *buf, size_t len,
		      struct kvp_writer *after, size_t *ret_keep)
{
	size_t keep;
	enum kvp_utf8 kind = kvp_utf8_check((struct kvp_bytes){ buf, len },
					    &keep);

	if (kind == KVP_UTF8_INVALID)
		return KVP_NOT_UTF8;
	if (kind == KVP_UTF8_VALID && w->strip_newline && len > 0 &&
	    buf[len - 1] == '\n')
		keep = len - 1;
	after->tail_len = (unsigned char)(len - keep);
	after->tail_offset = keep;
	memcpy(after->tail, buf + keep, len - keep);
	*ret_keep = keep;
	return 0;
}

static int check_length(const struct writer_edit *e, const char *buf,
			size_t len)
{
	size_t max = kvp_store_max_value_size(e->store);
	bool newline = e->writer->strip_newline && len > 0 &&
		       buf[len - 1] == '\n';

	return len - newline > max ? KVP_VALUE_TOO_LARGE : 0;
}

static int new_value(const char *buf, size_t len, struct kvp_value **ret_value)
{
	*ret_value = kvp_value_new((struct kvp_bytes){ buf, len });
	return *ret_value ? 0 : -ENOMEM;
}

/* Offsets that no file reaches are alike; a size_t may be shorter than an off_t. */
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
	size_t keep;
	int r;

	edit->len = end > len ? end : len;
	if (edit->len > kvp_store_max_value_size(e->store) + w->strip_newline)
		return KVP_VALUE_TOO_LARGE;
	if (start > len)
		return KVP_VALUE_CONTAINS_NUL;
	if (e->data.len > 0)
		memcpy(buf + start, e->data.data, e->data.len);
	len = edit->len;
	r = check_length(e, buf, len);
	if (r)
		return r;
	if (memchr(buf, '\0', len))
		return KVP_VALUE_CONTAINS_NUL;
	e->after = *w;
	r = split_tail(w, buf, len, &e->after, &keep);
	if (r)
		return r;
	/* nobody shall see it empty while the first character is on its way */
	if (keep == 0 && w->pending)
		return 0;
	e->after.pending = false;
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
	size_t keep;
	int r;

	edit->len = size;
	if (size > kvp_store_max_value_size(e->store) + w->strip_newline)
		return KVP_VALUE_TOO_LARGE;
	if (size > len)
		return KVP_VALUE_CONTAINS_NUL;
	e->after = *w;
	if (size == len && old && !w->pending)
		return 0;
	r = split_tail(w, buf, size, &e->after, &keep);
	if (r == 0)
		r = kvp_writer_check(&e->after);
	if (r)
		return r;
	e->after.pending = false;
	return new_value(buf, keep, ret_value);
}

static int apply_commit(struct kvp_edit *edit, const struct kvp_value *old,
			struct kvp_value **ret_value)
{
	struct writer_edit *e = (struct writer_edit *)edit;

	e->after = *e->writer;
	e->after.pending = false;
	if (old != e->writer->replaced)
		return 0;
	return new_value("", 0, ret_value);
}

static int run_edit(struct kvp_writer *w, struct writer_edit *e,
		    struct kvp_bytes key, struct kvp_store *store,
		    struct kvp_value **ret_value)
{
	int r;

	e->store = store;
	e->writer = w;
	r = kvp_store_edit(store, key, &e->edit, ret_value);
	if (r == 0)
		*w = e->after;
	return r;
}

int kvp_writer_write(struct kvp_writer *w, struct kvp_store *store,
		     struct kvp_bytes key, uint64_t id, struct kvp_bytes data,
		     off_t offset, struct kvp_value **ret_value,
		     size_t *ret_len)
{
	struct writer_edit e = {
		.edit = { .apply = apply_write, .id = id },
		.data = data,
		.offset = offset,
	};
	int r = run_edit(w, &e, key, store, ret_value);

	*ret_len = e.edit.len;
	w->failed = r != 0;
	return r;
}

int kvp_writer_truncate(struct kvp_writer *w, struct kvp_store *store,
			struct kvp_bytes key, uint64_t id, off_t size,
			struct kvp_value **ret_value, size_t *ret_len)
{
	struct writer_edit e = {
		.edit = { .apply = apply_truncate, .id = id },
		.offset = size,
	};
	int r = run_edit(w, &e, key, store, ret_value);

	*ret_len = e.edit.len;
	return r;
}

int kvp_writer_commit(struct kvp_writer *w, struct kvp_store *store,
		      struct kvp_bytes key, uint64_t id,
		      struct kvp_value **ret_value)
{
	struct writer_edit e = { .edit = { .apply = apply_commit, .id = id } };
	int r = kvp_writer_check(w);

	*ret_value = NULL;
	if (r || !w->pending || w->failed)
		return r;
	return run_edit(w, &e, key, store, ret_value);
}
