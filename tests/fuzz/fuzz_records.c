/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a pool file, then other bytes as the next version of it: the index
 * must say what looking at the plain records says, and an entry that stays keeps
 * its id.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "records.h"

#define MAX_RECORDS 64
#define KEY 512
#define RECORD 2560

/* A version of the file, and what the index said of it. */
struct version {
	size_t size;
	char bytes[(MAX_RECORDS + 1) * RECORD];
	uint64_t ids[MAX_RECORDS]; /* by slot of an entry's first record */
};

static struct kvp_bytes field(const char *bytes, size_t width)
{
	return (struct kvp_bytes){ bytes, strnlen(bytes, width) };
}

static struct kvp_bytes key_at(const struct version *v, size_t slot)
{
	return field(v->bytes + slot * RECORD, KEY);
}

static struct kvp_bytes value_at(const struct version *v, size_t slot)
{
	return field(v->bytes + slot * RECORD + KEY, RECORD - KEY);
}

/* The first slot from FROM on with KEY; the number of records: none. */
static size_t next_slot(const struct version *v, size_t from,
			struct kvp_bytes key)
{
	while (from < v->size / RECORD &&
	       !kvp_bytes_equal(key_at(v, from), key))
		from++;
	return from;
}

static void take_record(struct kvp_bytes *input, unsigned int noise, char *out)
{
	memset(out, (int)noise, RECORD);
	for (size_t at = 0; at < RECORD; at = at ? RECORD : KEY) {
		size_t width = at ? RECORD - KEY : KEY;
		struct kvp_bytes text = fuzz_string(input, out + at, width);

		if (text.len < width)
			out[at + text.len] = '\0';
	}
}

/* Records, or bytes as they are, up to the end of the input or of this version. */
static void take_version(struct kvp_bytes *input, struct version *v)
{
	v->size = 0;
	while (input->len > 0 && v->size / RECORD < MAX_RECORDS) {
		unsigned int kind = fuzz_byte(input);
		struct kvp_bytes raw = { "", 0 };

		if (kind == 0xff)
			return;
		if (kind == 0xfe) {
			raw = fuzz_take(input, RECORD);
			memcpy(v->bytes + v->size, raw.data, raw.len);
		} else {
			take_record(input, kind, v->bytes + v->size);
		}
		v->size += raw.len ? raw.len : RECORD;
		if (raw.len % RECORD) /* a torn end */
			return;
	}
}

static void store(const char *path, const struct version *v)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	must(write(fd, v->bytes, v->size) == (ssize_t)v->size);
	close(fd);
}

static void compare_entry(struct version *v, size_t first,
			  const struct kvp_entry *entry)
{
	struct kvp_bytes key = key_at(v, first);
	size_t records = 0;
	size_t last = first;

	for (size_t slot = first; slot < v->size / RECORD;
	     slot = next_slot(v, slot + 1, key)) {
		records++;
		last = slot;
	}
	must(entry && kvp_bytes_equal(entry->key, key));
	must(entry->first == first && entry->last == last);
	must(entry->records == records && entry->id > 0);
	must(kvp_bytes_equal(kvp_value_bytes(entry->value), value_at(v, last)));
	v->ids[first] = entry->id;
}

static void compare(struct version *v, const struct kvp_records *records)
{
	const struct kvp_index *index = &records->index;
	size_t cursor = 0;
	size_t empty = 0;
	size_t keys = 0;

	must(index->records == v->size / RECORD);
	must(records->torn_bytes == v->size % RECORD);
	for (size_t slot = 0; slot < index->records; slot++) {
		struct kvp_bytes key = key_at(v, slot);

		if (key.len > 0 && next_slot(v, 0, key) == slot) {
			keys++;
			compare_entry(v, slot, kvp_index_next(index, &cursor));
			must(kvp_index_find(index, key)->id == v->ids[slot]);
		}
		empty += key.len == 0;
	}
	must(!kvp_index_next(index, &cursor));
	must(index->keys == keys && index->empty_keys == empty);
}

/* An id is that of one key: it stays with it, and goes to no other. */
static void compare_ids(const struct version *old, const struct version *new)
{
	for (size_t slot = 0; slot < new->size / RECORD; slot++) {
		struct kvp_bytes key = key_at(new, slot);
		size_t before = next_slot(old, 0, key);

		if (key.len == 0 || next_slot(new, 0, key) != slot)
			continue;
		if (before < old->size / RECORD)
			must(new->ids[slot] == old->ids[before]);
		else
			for (size_t i = 0; i < old->size / RECORD; i++)
				must(key_at(old, i).len == 0 ||
				     next_slot(old, 0, key_at(old, i)) != i ||
				     old->ids[i] != new->ids[slot]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct version versions[2];
	struct kvp_bytes input = { (const char *)data, size };
	struct kvp_records records;
	char path[128];

	snprintf(path, sizeof(path), "%s/pool", fuzz_directory());
	take_version(&input, &versions[0]);
	store(path, &versions[0]);
	must(kvp_records_open(&records, path, 0) == 0);
	must(kvp_records_refresh(&records) == 0);
	compare(&versions[0], &records);
	for (int turn = 1; input.len > 0 && turn < 8; turn++) {
		struct version *old = &versions[(turn - 1) % 2];
		struct version *new = &versions[turn % 2];

		take_version(&input, new);
		store(path, new);
		must(kvp_records_refresh(&records) == 0);
		compare(new, &records);
		compare_ids(old, new);
	}
	kvp_records_close(&records);
	return 0;
}
