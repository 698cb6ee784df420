/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <errno.h>
#include <stdlib.h>

#include "escape.h"
#include "util.h"

/* The bytes that are escaped in the two parts of a line. */
#define KEY_SET "\n="
#define VALUE_SET "\n"

/* Where a line is decoded to. */
struct line_buffer {
	char *data;
	size_t size;
};

/* Cuts *REST behind its first END; *RET_PART is what was before that. */
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

static int reserve(struct line_buffer *buffer, size_t size)
{
	char *data;

	if (size <= buffer->size)
		return 0;
	data = realloc(buffer->data, size);
	if (!data)
		return -ENOMEM;
	buffer->data = data;
	buffer->size = size;
	return 0;
}

static int fault(enum kvp_text_error error, const char *reason,
		 struct kvp_text_fault *ret_fault)
{
	ret_fault->reason = reason;
	return error;
}

/* Decodes PART of a line to BYTES. */
static int decode(struct kvp_bytes part, const char *set, char *bytes,
		  struct kvp_bytes *ret_field, struct kvp_text_fault *ret_fault)
{
	size_t len = 0;

	switch (kvp_unescape(part, set, bytes, &len, NULL)) {
	case 0:
		*ret_field = (struct kvp_bytes){ bytes, len };
		return 0;
	case KVP_UNESCAPE_NUL:
		return fault(KVP_TEXT_NUL, "contains NUL", ret_fault);
	default: /* values are secrets: no part of the line is shown */
		return fault(KVP_TEXT_NOT_CANONICAL, "%XX that is no escape",
			     ret_fault);
	}
}

static int parse_line(struct kvp_bytes line, struct line_buffer *buffer,
		      struct kvp_pair *ret_pair,
		      struct kvp_text_fault *ret_fault)
{
	struct kvp_bytes key;
	int r = reserve(buffer, line.len);

	if (r)
		return r;
	if (!take_until(&line, '=', &key))
		return fault(KVP_TEXT_NO_EQUALS, "no '='", ret_fault);
	if (key.len == 0)
		return fault(KVP_TEXT_EMPTY_KEY, "empty key", ret_fault);
	r = decode(key, KEY_SET, buffer->data, &ret_pair->key, ret_fault);
	if (r)
		return r;
	return decode(line, VALUE_SET, buffer->data + key.len, &ret_pair->value,
		      ret_fault);
}

int kvp_text_parse(struct kvp_bytes text, kvp_visit_record *visit, void *arg,
		   struct kvp_text_fault *ret_fault)
{
	struct line_buffer buffer = { NULL, 0 };
	struct kvp_text_fault found = { 0, NULL };
	int r = 0;

	while (text.len > 0 && r == 0) {
		struct kvp_bytes line;
		struct kvp_pair pair;

		if (!take_until(&text, '\n', &line)) {
			line = text; /* the last one */
			text.len = 0;
		}
		found.line++;
		r = parse_line(line, &buffer, &pair, &found);
		if (r == 0)
			r = visit(arg, &pair);
	}
	free(buffer.data);
	if (r && r != -ENOMEM)
		*ret_fault = found;
	return r;
}

static int print(FILE *out, const char *data, size_t size)
{
	errno = EIO;
	return fwrite(data, 1, size, out) == size ? 0 : -errno;
}

/* Prints PART, escaped, with END behind it. */
static int print_part(FILE *out, struct kvp_bytes part, const char *set,
		      char end)
{
	char small[KVP_ESCAPE_MAX * KVP_KEY_SIZE + 1];
	kvp_autofree char *large = NULL;
	char *escaped = small;
	size_t size = sizeof(small);
	size_t len = 0;

	if (__builtin_mul_overflow(part.len, KVP_ESCAPE_MAX, &len))
		return -ENOMEM;
	if (len >= size) {
		size = len + 1;
		large = malloc(size);
		if (!large)
			return -ENOMEM;
		escaped = large;
	}
	kvp_escape(part, set, escaped, size, &len);
	escaped[len++] = end;
	return print(out, escaped, len);
}

int kvp_text_print_record(FILE *out, const struct kvp_pair *record)
{
	int r = print_part(out, record->key, KEY_SET, '=');

	return r ? r : print_part(out, record->value, VALUE_SET, '\n');
}
