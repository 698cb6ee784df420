/* SPDX-License-Identifier: MIT */
#include "writer_story.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int others_write(struct story *f, const char *text)
{
	return kvp_store_write(f->store, f->key, check_bytes(text));
}

void story_open(struct story *f, enum kvp_mode mode,
		const struct opening *opening)
{
	struct kvp_item item = { .value = NULL };

	*f = (struct story){ .store = store_memory_new(mode),
			     .key = check_bytes("key") };
	f->writer.append = opening->append;
	f->writer.strip_newline = opening->strip_newline;
	if (opening->old) {
		CU_ASSERT_EQUAL(others_write(f, opening->old), 0);
		CU_ASSERT_EQUAL(kvp_store_read(f->store, f->key, &item), 0);
	}
	if (opening->pending)
		kvp_writer_begin(&f->writer, item.value);
	kvp_value_unref(item.value);
	f->id = kvp_store_new_id(f->store);
	f->is_stored = opening->is_stored;
}

void story_close(struct story *f)
{
	kvp_writer_release(&f->writer);
	CU_ASSERT_PTR_NULL(f->writer.replaced);
	kvp_store_free(f->store);
}

struct kvp_value *story_stored(struct story *f)
{
	struct kvp_item item;

	return kvp_store_read(f->store, f->key, &item) ? NULL : item.value;
}

bool story_stored_is(struct story *f, const char *text)
{
	struct kvp_value *value = story_stored(f);
	bool is = text ? value && kvp_bytes_equal(kvp_value_bytes(value),
						  check_bytes(text))
		       : !value;

	kvp_value_unref(value);
	return is;
}

static bool story_seen_is(struct story *f, const char *text)
{
	char *buf = malloc(KVP_WRITER_MAX); /* on the heap: overruns show */
	struct kvp_value *value = story_stored(f);
	struct kvp_bytes view = { buf, 0 };
	bool is;

	if (!buf)
		abort();
	view.len = kvp_writer_view(&f->writer, value, buf);
	is = kvp_bytes_equal(view, check_bytes(text));
	kvp_value_unref(value);
	free(buf);
	return is;
}

bool story_same_state(const struct kvp_writer *a, const struct kvp_writer *b)
{
	return a->append == b->append && a->strip_newline == b->strip_newline &&
	       kvp_writer_is_pending(a) == kvp_writer_is_pending(b) &&
	       a->replaced == b->replaced && a->tail_len == b->tail_len &&
	       !memcmp(a->tail, b->tail, a->tail_len) &&
	       (a->tail_len == 0 || a->tail_offset == b->tail_offset);
}

const struct kvp_writer_file *story_file(struct story *f)
{
	f->file = (struct kvp_writer_file){ f->store, f->key, f->id, NULL,
					    f->is_stored };
	return &f->file;
}

static int failing_write(struct story *f, const struct step *step,
			 struct kvp_value **ret_value)
{
	struct step write = *step;
	int r;

	write.deed = WRITE;
	store_memory_fail(f->store, 1, step->result);
	r = story_do(f, &write, ret_value);
	store_memory_fail(f->store, 0, 0);
	return r;
}

int story_do(struct story *f, const struct step *step,
	     struct kvp_value **ret_value)
{
	switch (step->deed) {
	case WRITE:
		return kvp_writer_write(&f->writer, story_file(f),
					check_bytes(step->text), step->offset,
					ret_value);
	case FAILING_WRITE:
		return failing_write(f, step, ret_value);
	case TRUNCATE:
		return kvp_writer_truncate(&f->writer, story_file(f),
					   step->offset, ret_value);
	case EMPTY:
		return kvp_writer_empty(&f->writer, story_file(f));
	case COMMIT:
		return kvp_writer_commit(&f->writer, story_file(f), ret_value);
	case OTHERS_WRITE:
		return others_write(f, step->text);
	case OTHERS_DELETE:
		return kvp_store_delete(f->store, f->key);
	default:
		return 0;
	}
}

/* STEP fails with FAULT in the store, if it gets so far, and changes nothing. */
static void story_fail(struct story *f, const struct step *step, int fault,
		       const char *row)
{
	const struct kvp_writer before = f->writer;
	struct kvp_value *old = story_stored(f);
	struct kvp_value *value = NULL;
	unsigned int calls = store_memory_calls(f->store);
	int r;

	store_memory_fail(f->store, 1, fault);
	r = story_do(f, step, &value);
	store_memory_fail(f->store, 0, 0);
	calls = store_memory_calls(f->store) - calls;
	CHECK_ROW(row, calls <= 1); /* one locked step */
	CHECK_ROW(row, calls == 0 || r == fault);
	CHECK_ROW(row, !value);
	CHECK_ROW(row, story_same_state(&f->writer, &before));
	value = story_stored(f);
	CHECK_ROW(row, value == old);
	kvp_value_unref(value);
	kvp_value_unref(old);
}

void story_check(struct story *f, const struct step *step, const char *row)
{
	const struct kvp_writer before = f->writer;
	struct kvp_value *value = NULL;
	struct kvp_value *stored;

	CHECK_ROW(row, story_do(f, step, &value) == step->result);
	stored = story_stored(f);
	CHECK_ROW(row, !value || value == stored);
	kvp_value_unref(stored);
	kvp_value_unref(value);
	CHECK_ROW(row, story_stored_is(f, step->stored));
	CHECK_ROW(row, story_seen_is(f, step->seen));
	if (step->result)
		CHECK_ROW(row, story_same_state(&f->writer, &before));
}

void story_tell(enum kvp_mode mode, const struct opening *opening,
		const struct step *steps)
{
	static const int faults[] = { -EIO, -ENOSPC, -EINTR, KVP_LOCKED,
				      KVP_READ_ONLY };
	struct story f;

	story_open(&f, mode, opening);
	for (size_t i = 0; steps[i].deed > OPENED; i++) {
		char row[64];

		snprintf(row, sizeof(row), "step %zu, '%s' at %lld", i,
			 steps[i].text ? steps[i].text : "",
			 (long long)steps[i].offset);
		/* these keep a refused write in mind */
		for (size_t n = 0; n < COUNT(faults); n++)
			if (steps[i].deed == WRITE ||
			    steps[i].deed == TRUNCATE ||
			    (steps[i].deed == COMMIT &&
			     f.writer.state != KVP_WRITER_KEEPS))
				story_fail(&f, &steps[i], faults[n], row);
		story_check(&f, &steps[i], row);
	}
	story_close(&f);
}
