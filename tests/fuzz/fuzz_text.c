/* SPDX-License-Identifier: MIT */
/*
 * The text of records: what can be parsed is what printing makes of it, and any
 * records can be parsed back.
 */
#include <string.h>

#include "fuzz.h"
#include "text.h"

/* Records that are expected, one after the other. */
struct expected {
	const struct kvp_pair *pairs;
	size_t count;
	size_t seen;
};

static int print_record(void *arg, const struct kvp_pair *record)
{
	return kvp_text_print_record(arg, record);
}

/* Takes INPUT for a text. */
static void parse_and_print(struct kvp_bytes input)
{
	struct kvp_text_fault fault = { .line = 0 };
	struct kvp_bytes text = { NULL, 0 };
	char *data = NULL;
	FILE *out = open_memstream(&data, &text.len);
	int r;

	must(out);
	r = kvp_text_parse(input, print_record, out, &fault);
	must(fclose(out) == 0);
	must(r >= 0);
	if (r) {
		must(fault.line > 0 && fault.line <= input.len);
		must(fault.reason);
	} else {
		text.data = data;
		if (input.len > 0 && input.data[input.len - 1] != '\n')
			text.len--;
		must(kvp_bytes_equal(text, input));
	}
	free(data);
}

/* Takes what is before the next NUL off INPUT. */
static struct kvp_bytes take_string(struct kvp_bytes *input)
{
	struct kvp_bytes string = { input->data,
				    strnlen(input->data, input->len) };
	size_t taken = string.len + (string.len < input->len);

	input->data += taken;
	input->len -= taken;
	return string;
}

static int compare(void *arg, const struct kvp_pair *record)
{
	struct expected *expected = arg;
	const struct kvp_pair *pair = &expected->pairs[expected->seen++];

	must(expected->seen <= expected->count);
	must(kvp_bytes_equal(record->key, pair->key) &&
	     kvp_bytes_equal(record->value, pair->value));
	return 0;
}

/* Takes INPUT for keys and values by turns, a NUL behind each. */
static void print_and_parse(struct kvp_bytes input)
{
	struct kvp_pair pairs[64];
	struct expected expected = { .pairs = pairs };
	struct kvp_text_fault fault;
	struct kvp_bytes text = { NULL, 0 };
	char *data = NULL;
	FILE *out = open_memstream(&data, &text.len);

	must(out);
	while (input.len > 0 &&
	       expected.count < sizeof(pairs) / sizeof(*pairs)) {
		struct kvp_pair *pair = &pairs[expected.count];

		pair->key = take_string(&input);
		pair->value = take_string(&input);
		if (pair->key.len == 0)
			continue;
		must(kvp_text_print_record(out, pair) == 0);
		expected.count++;
	}
	must(fclose(out) == 0);
	text.data = data;
	must(kvp_text_parse(text, compare, &expected, &fault) == 0);
	must(expected.seen == expected.count);
	free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kvp_bytes input = { (const char *)data, size };

	if (!data)
		input.data = "";
	parse_and_print(input);
	print_and_parse(input);
	return 0;
}
