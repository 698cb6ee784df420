/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"

/* What the two parts of a line cannot hold. */
#define KEY_SET "\n="
#define VALUE_SET "\n"

#define FIRST_CAPACITY 256

void kvp_text_release(struct kvp_text *text)
{
	free(text->data);
	kvp_text_init(text);
}

/* Makes room for SIZE more bytes. */
static int reserve(struct kvp_text *text, size_t size)
{
	size_t capacity = text->capacity;
	char *data;

	if (size <= capacity - text->len)
		return 0;
	if (size > SIZE_MAX / 2 - text->len)
		return -ENOMEM;
	if (capacity < FIRST_CAPACITY)
		capacity = FIRST_CAPACITY;
	while (capacity < text->len + size)
		capacity *= 2; /* from at most SIZE_MAX / 2 */
	data = realloc(text->data, capacity);
	if (!data)
		return -ENOMEM;
	text->data = data;
	text->capacity = capacity;
	return 0;
}

int kvp_text_append(struct kvp_text *text, struct kvp_bytes bytes)
{
	int r = reserve(text, bytes.len);

	if (r)
		return r;
	if (bytes.len > 0)
		memcpy(text->data + text->len, bytes.data, bytes.len);
	text->len += bytes.len;
	return 0;
}

int kvp_text_printf(struct kvp_text *text, const char *format, ...)
{
	va_list args;
	int len;
	int r;

	va_start(args, format);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is */
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0)
		return -ENOMEM;
	r = reserve(text, (size_t)len + 1); /* with its NUL */
	if (r)
		return r;
	va_start(args, format);
	vsnprintf(text->data + text->len, (size_t)len + 1, format, args);
	va_end(args);
	text->len += (size_t)len;
	return 0;
}

/* Adds BYTES, escaped, and END, for which there is room. */
static void add_part(struct kvp_text *text, struct kvp_bytes bytes,
		     const char *set, char end)
{
	size_t len = 0;

	kvp_escape(bytes, set, text->data + text->len,
		   text->capacity - text->len, &len);
	text->len += len;
	text->data[text->len++] = end;
}

int kvp_text_add_record(struct kvp_text *text, const struct kvp_pair *record)
{
	const size_t max = SIZE_MAX / KVP_ESCAPE_MAX / 4;
	int r;

	if (record->key.len > max || record->value.len > max)
		return -ENOMEM;
	r = reserve(text,
		    KVP_ESCAPE_MAX * (record->key.len + record->value.len) + 2);
	if (r)
		return r;
	add_part(text, record->key, KEY_SET, '=');
	add_part(text, record->value, VALUE_SET, '\n');
	return 0;
}

static size_t count_lines(struct kvp_bytes text)
{
	size_t count = text.len > 0 && text.data[text.len - 1] != '\n';

	for (size_t i = 0; i < text.len; i++)
		count += text.data[i] == '\n';
	return count;
}

/* One allocation: COUNT pairs, and SIZE bytes for them to point to. */
static struct kvp_pair *new_pairs(size_t count, size_t size, char **ret_bytes)
{
	struct kvp_pair *pairs;
	size_t total;

	if (__builtin_mul_overflow(count, sizeof(*pairs), &total) ||
	    __builtin_add_overflow(total, size, &total))
		return NULL;
	pairs = malloc(total);
	if (pairs)
		*ret_bytes = (char *)(pairs + count);
	return pairs;
}

/* Takes what goes before END off the start of *REST, and END with it. */
static bool take_until(struct kvp_bytes *rest, char end,
		       struct kvp_bytes *ret_part)
{
	const char *at = rest->len > 0 ? memchr(rest->data, end, rest->len)
				       : NULL;

	if (!at)
		return false;
	*ret_part = (struct kvp_bytes){ rest->data, (size_t)(at - rest->data) };
	rest->data = at + 1;
	rest->len -= ret_part->len + 1;
	return true;
}

static int fault(enum kvp_text_error error, const char *reason,
		 struct kvp_text_fault *ret_fault)
{
	snprintf(ret_fault->reason, sizeof(ret_fault->reason), "%s", reason);
	return error;
}

/* Decodes PART of a line to *BYTES, which moves on. */
static int decode(struct kvp_bytes part, const char *set, char **bytes,
		  struct kvp_bytes *ret_field, struct kvp_text_fault *ret_fault)
{
	size_t len = 0;

	switch (kvp_unescape(part, set, *bytes, &len, NULL)) {
	case 0:
		*ret_field = (struct kvp_bytes){ *bytes, len };
		*bytes += len;
		return 0;
	case KVP_UNESCAPE_NUL:
		return fault(KVP_TEXT_NUL, "contains NUL", ret_fault);
	default: /* without a part of the line: values are secrets */
		return fault(KVP_TEXT_NOT_CANONICAL, "%XX that is no escape",
			     ret_fault);
	}
}

static int parse_line(struct kvp_bytes line, char **bytes,
		      struct kvp_pair *ret_pair,
		      struct kvp_text_fault *ret_fault)
{
	struct kvp_bytes key;
	int r;

	if (!take_until(&line, '=', &key))
		return fault(KVP_TEXT_NO_EQUALS, "no '='", ret_fault);
	if (key.len == 0)
		return fault(KVP_TEXT_EMPTY_KEY, "empty key", ret_fault);
	r = decode(key, KEY_SET, bytes, &ret_pair->key, ret_fault);
	if (r)
		return r;
	return decode(line, VALUE_SET, bytes, &ret_pair->value, ret_fault);
}

int kvp_text_parse(struct kvp_bytes text, struct kvp_text_records *ret_records,
		   struct kvp_text_fault *ret_fault)
{
	struct kvp_text_records records = { NULL, 0 };
	size_t lines = count_lines(text);
	char *bytes = NULL;

	if (lines > 0) {
		records.pairs = new_pairs(lines, text.len, &bytes);
		if (!records.pairs)
			return -ENOMEM;
	}
	while (records.count < lines) {
		struct kvp_bytes line;
		int r;

		if (!take_until(&text, '\n', &line))
			line = text; /* the last one */
		r = parse_line(line, &bytes, &records.pairs[records.count],
			       ret_fault);
		if (r) {
			ret_fault->line = records.count + 1;
			kvp_text_records_release(&records);
			return r;
		}
		records.count++;
	}
	*ret_records = records;
	return 0;
}

void kvp_text_records_release(struct kvp_text_records *records)
{
	free(records->pairs);
	*records = (struct kvp_text_records){ NULL, 0 };
}

int kvp_text_check(const struct kvp_store *store,
		   const struct kvp_text_records *records, size_t *ret_line)
{
	for (size_t i = 0; i < records->count; i++) {
		const struct kvp_pair *pair = &records->pairs[i];
		int r = kvp_store_check_key(store, pair->key);

		if (r == 0)
			r = kvp_store_check_value(store, pair->value);
		if (r) {
			*ret_line = i + 1;
			return r;
		}
	}
	return 0;
}
