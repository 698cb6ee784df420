/* SPDX-License-Identifier: MIT */
/*
 * The text of records: what can be parsed is what formatting makes of it, and any
 * records can be parsed back.
 */
#include <string.h>

#include "fuzz.h"
#include "text.h"

static void format(const struct kvp_pair *pairs, size_t count,
		   struct kvp_text *text)
{
	for (size_t i = 0; i < count; i++)
		must(kvp_text_add_record(text, &pairs[i]) == 0);
}

/* Takes INPUT for a text. */
static void parse_and_format(struct kvp_bytes input)
{
	struct kvp_text text = { 0 };
	struct kvp_text_records records;
	struct kvp_text_fault fault = { .line = 0 };
	int r = kvp_text_parse(input, &records, &fault);

	must(r >= 0);
	if (r) {
		must(fault.line > 0 && fault.line <= input.len);
		must(fault.reason[0]);
		return;
	}
	format(records.pairs, records.count, &text);
	if (input.len > 0 && input.data[input.len - 1] != '\n')
		text.len--;
	must(kvp_bytes_equal(kvp_text_bytes(&text), input));
	kvp_text_release(&text);
	kvp_text_records_release(&records);
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

/* Takes INPUT for keys and values by turns, a NUL behind each. */
static void format_and_parse(struct kvp_bytes input)
{
	struct kvp_pair pairs[64];
	struct kvp_text text = { 0 };
	struct kvp_text_records records;
	struct kvp_text_fault fault;
	size_t count = 0;

	while (input.len > 0 && count < sizeof(pairs) / sizeof(*pairs)) {
		pairs[count].key = take_string(&input);
		pairs[count].value = take_string(&input);
		if (pairs[count].key.len > 0)
			count++;
	}
	format(pairs, count, &text);
	must(kvp_text_parse(kvp_text_bytes(&text), &records, &fault) == 0);
	must(records.count == count);
	for (size_t i = 0; i < count; i++)
		must(kvp_bytes_equal(records.pairs[i].key, pairs[i].key) &&
		     kvp_bytes_equal(records.pairs[i].value, pairs[i].value));
	kvp_text_release(&text);
	kvp_text_records_release(&records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kvp_bytes input = { (const char *)data, size };

	if (!data)
		input.data = "";
	parse_and_format(input);
	format_and_parse(input);
	return 0;
}
