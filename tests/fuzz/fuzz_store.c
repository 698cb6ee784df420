/* SPDX-License-Identifier: MIT */
/*
 * A stream of operations on a pool file that others change in between. Results and
 * views must be those of the store in memory (tests/lib/store_memory.h), and the
 * file, read plainly, must hold the records that this one has.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "store_memory.h"
#include "store_pool.h"

#define KEY 512
#define RECORD 2560
#define MAX_BYTES (256 * RECORD)

struct both {
	struct kvp_store *pool;
	struct kvp_store *memory;
	enum kvp_mode mode;
	char path[128];
};

/* What is taken for an operation; gone with the next. */
static char buffers[2 * 16][RECORD + 1];

static struct kvp_bytes take_key(struct kvp_bytes *input, char buf[])
{
	unsigned int kind = fuzz_byte(input);

	if (kind >= 0xc0)
		return fuzz_string(input, buf, KEY + 1);
	/* few different ones, so that they meet */
	buf[0] = (char)('a' + kind % 6);
	return (struct kvp_bytes){ buf, 1 };
}

static struct kvp_bytes take_value(struct kvp_bytes *input, char buf[])
{
	return fuzz_string(input, buf, RECORD - KEY + 1);
}

static size_t take_pairs(struct kvp_bytes *input, struct kvp_pair pairs[])
{
	size_t count = fuzz_below(input, 16);

	for (size_t i = 0; i < count; i++) {
		pairs[i].key = take_key(input, buffers[2 * i]);
		pairs[i].value = take_value(input, buffers[2 * i + 1]);
	}
	return count;
}

/* The records of the file, as plainly as can be. */
static size_t load(const struct both *both, char bytes[MAX_BYTES])
{
	int fd = open(both->path, O_RDONLY);
	ssize_t size = fd < 0 ? 0 : read(fd, bytes, MAX_BYTES);

	must(size >= 0);
	if (fd >= 0)
		close(fd);
	return (size_t)size;
}

static struct kvp_pair record_at(const char *bytes)
{
	return (struct kvp_pair){ { bytes, strnlen(bytes, KEY) },
				  { bytes + KEY,
				    strnlen(bytes + KEY, RECORD - KEY) } };
}

/* Another program changes the file in place, replaces or removes it. */
static void outsider(struct kvp_bytes *input, struct both *both)
{
	static char bytes[MAX_BYTES + RECORD];
	size_t size = load(both, bytes);
	unsigned int kind = fuzz_below(input, 8);
	struct kvp_bytes text;
	bool replace = kind & 1;
	char other[140];
	size_t at;
	int fd;

	snprintf(other, sizeof(other), "%s.new", both->path);
	if (kind / 2 == 0) {
		text = fuzz_string(input, buffers[0], KEY);
		at = size < MAX_BYTES / 2 ? size / RECORD * RECORD : 0;
		memset(bytes + at, '~', RECORD);
		memcpy(bytes + at, text.data, text.len);
		if (text.len < KEY)
			bytes[at + text.len] = '\0';
		if (at == size / RECORD * RECORD)
			size = at + RECORD;
	} else if (kind / 2 == 1 && size > 0) {
		bytes[(fuzz_byte(input) * 64 + fuzz_byte(input)) % size] ^= 1;
	} else if (kind / 2 == 2) {
		size -= (fuzz_byte(input) * 64) % (size + 1);
	} else {
		replace = true;
		size = 0;
	}
	fd = open(replace ? other : both->path, O_WRONLY | O_CREAT, 0600);
	must(write(fd, bytes, size) == (ssize_t)size);
	must(ftruncate(fd, (off_t)size) == 0);
	close(fd);
	if (replace && size > 0)
		must(rename(other, both->path) == 0);
	else if (replace)
		unlink(both->path);
	kvp_store_free(both->memory);
	both->memory = store_memory_new(both->mode);
	for (at = 0; at + RECORD <= size; at += RECORD) {
		struct kvp_pair pair = record_at(bytes + at);

		store_memory_add(both->memory, pair.key, pair.value);
	}
}

/* All that a store shows, as one text. */
struct view {
	size_t len;
	char text[2 * MAX_BYTES];
};

static int add_record(void *arg, const struct kvp_pair *record)
{
	struct view *view = arg;
	const struct kvp_bytes fields[] = { record->key, record->value };

	for (int i = 0; i < 2; i++) {
		must(view->len + fields[i].len < sizeof(view->text));
		memcpy(view->text + view->len, fields[i].data, fields[i].len);
		view->len += fields[i].len;
		view->text[view->len++] = '\0';
	}
	return 0;
}

static int add_item(void *arg, const struct kvp_item *item)
{
	struct kvp_pair pair = { item->key, kvp_value_bytes(item->value) };

	return add_record(arg, &pair);
}

static void must_be_equal(const struct view *a, const struct view *b)
{
	must(a->len == b->len && !memcmp(a->text, b->text, a->len));
}

static void compare(const struct both *both)
{
	static char bytes[MAX_BYTES];
	static struct view pool;
	static struct view memory;
	static struct view file;
	size_t size = load(both, bytes);

	pool.len = memory.len = file.len = 0;
	must(kvp_store_entries_raw(both->pool, add_record, &pool) == 0);
	must(kvp_store_entries_raw(both->memory, add_record, &memory) == 0);
	for (size_t at = 0; at + RECORD <= size; at += RECORD) {
		struct kvp_pair pair = record_at(bytes + at);

		if (pair.key.len > 0)
			add_record(&file, &pair);
	}
	must_be_equal(&pool, &memory);
	must_be_equal(&pool, &file);
	pool.len = memory.len = 0;
	must(kvp_store_entries(both->pool, add_item, &pool) == 0);
	must(kvp_store_entries(both->memory, add_item, &memory) == 0);
	must_be_equal(&pool, &memory);
}

static void compare_read(const struct both *both, struct kvp_bytes key)
{
	struct kvp_item item;
	struct kvp_item expected;
	int r = kvp_store_read(both->pool, key, &item);

	must(kvp_store_read(both->memory, key, &expected) == r);
	if (r)
		return;
	must(kvp_bytes_equal(kvp_value_bytes(item.value),
			     kvp_value_bytes(expected.value)));
	kvp_value_unref(item.value);
	kvp_value_unref(expected.value);
}

static void open_pool(struct both *both)
{
	const struct kvp_pool_config config = { .path = both->path,
						.mode = both->mode };

	must(kvp_store_pool_open(&config, &both->pool) == 0);
	must(kvp_store_refresh(both->pool) == 0);
}

static int collect(struct kvp_store *store, const struct kvp_pair pairs[],
		   size_t count, struct kvp_batch *batch)
{
	int r = 0;

	kvp_store_batch_init(store, batch);
	for (size_t i = 0; i < count && r == 0; i++)
		r = kvp_batch_add(batch, &pairs[i]);
	return r;
}

static int add_pairs(struct kvp_store *store, const struct kvp_pair pairs[],
		     size_t count)
{
	struct kvp_batch batch;
	int r = collect(store, pairs, count, &batch);

	if (r == 0)
		r = kvp_store_append(store, &batch);
	kvp_batch_release(&batch);
	return r;
}

static int load_pairs(struct kvp_store *store, const struct kvp_pair pairs[],
		      size_t count)
{
	struct kvp_batch batch;
	int r = collect(store, pairs, count, &batch);

	if (r == 0)
		r = kvp_store_load(store, &batch);
	kvp_batch_release(&batch);
	return r;
}

/* Any bytes, of which some are whole records. */
static void restore(struct kvp_bytes *input, struct both *both)
{
	static char raw[4 * RECORD];
	struct kvp_bytes bytes = { raw, fuzz_below(input, 4) * RECORD };

	memset(raw, 0, sizeof(raw));
	for (size_t at = 0; at < bytes.len; at += RECORD) {
		struct kvp_bytes key = take_key(input, buffers[0]);
		struct kvp_bytes value = take_value(input, buffers[1]);

		memcpy(raw + at, key.data, key.len < KEY ? key.len : KEY);
		memcpy(raw + at + KEY, value.data,
		       value.len < RECORD - KEY ? value.len : RECORD - KEY);
	}
	bytes.len += fuzz_below(input, 8) == 0;
	must(kvp_store_restore(both->pool, bytes) ==
	     kvp_store_restore(both->memory, bytes));
}

/* What was there goes, but for what is written in between. */
static void clear_seen(struct kvp_bytes *input, struct both *both)
{
	struct kvp_pair pairs[16];
	struct kvp_index seen;
	struct kvp_index memory_seen;
	struct kvp_bytes key = take_key(input, buffers[0]);
	struct kvp_bytes value = take_value(input, buffers[1]);
	size_t count;

	must(kvp_store_snapshot(both->pool, &seen) == 0);
	must(kvp_store_snapshot(both->memory, &memory_seen) == 0);
	must(kvp_store_write(both->pool, key, value) ==
	     kvp_store_write(both->memory, key, value));
	count = take_pairs(input, pairs);
	must(add_pairs(both->pool, pairs, count) ==
	     add_pairs(both->memory, pairs, count));
	must(kvp_store_clear_seen(both->pool, &seen) ==
	     kvp_store_clear_seen(both->memory, &memory_seen));
	kvp_index_release(&seen);
	kvp_index_release(&memory_seen);
}

static void change(struct kvp_bytes *input, struct both *both,
		   unsigned int kind)
{
	struct kvp_pair pairs[16];
	struct kvp_bytes key = take_key(input, buffers[0]);
	struct kvp_bytes other;
	enum kvp_rename how = (enum kvp_rename)(kind / 16 % 3);
	struct kvp_store *s = both->pool;
	struct kvp_store *m = both->memory;
	size_t count;

	compare_read(both, key);
	switch (kind % 8) {
	case 0:
	case 1:
		other = take_value(input, buffers[1]);
		must(kvp_store_write(s, key, other) ==
		     kvp_store_write(m, key, other));
		break;
	case 2:
		must(kvp_store_delete(s, key) == kvp_store_delete(m, key));
		break;
	case 3:
		other = take_key(input, buffers[1]);
		must(kvp_store_rename(s, key, other, how) ==
		     kvp_store_rename(m, key, other, how));
		break;
	case 4:
		count = take_pairs(input, pairs);
		must(add_pairs(s, pairs, count) == add_pairs(m, pairs, count));
		break;
	case 5:
		count = take_pairs(input, pairs);
		must(load_pairs(s, pairs, count) ==
		     load_pairs(m, pairs, count));
		break;
	case 6:
		if (kind & 0x80)
			must(kvp_store_clear(s) == kvp_store_clear(m));
		else if (kind & 0x40)
			restore(input, both);
		else
			clear_seen(input, both);
		break;
	default:
		kvp_store_free(both->pool);
		open_pool(both);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kvp_bytes input = { (const char *)data, size };
	struct both both = { .mode = KVP_MODE_RESTRICTED };
	struct stat st;

	if (fuzz_byte(&input) & 1)
		both.mode = KVP_MODE_FULL;
	snprintf(both.path, sizeof(both.path), "%s/pool", fuzz_directory());
	unlink(both.path);
	open_pool(&both);
	both.memory = store_memory_new(both.mode);
	while (input.len > 0 &&
	       (stat(both.path, &st) != 0 || st.st_size < MAX_BYTES / 2)) {
		unsigned int kind = fuzz_byte(&input);

		if (kind % 4 == 3 && kind >= 0xc0)
			outsider(&input, &both);
		else
			change(&input, &both, kind);
		compare(&both);
	}
	kvp_store_free(both.memory);
	kvp_store_free(both.pool);
	return 0;
}
