/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "escape.h"
#include "name.h"
#include "utf8.h"

/* UTF-16 units that the kernel hands over: the field's half, less two. */
#define HOST_KEY_UNITS (KVP_KEY_SIZE / 2 - 2)
#define HOST_VALUE_UNITS (KVP_VALUE_SIZE / 2 - 2)

/*
 * How many bytes of TEXT, which is valid UTF-8, the kernel takes to fill *UNITS units;
 * *UNITS becomes what is left of them. Where a surrogate pair has no room any more it
 * stops, as if there were none left.
 */
static size_t take(struct kvp_bytes text, size_t *units)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];
		size_t needed = c < 0xf0 ? 1 : 2;

		if ((c & 0xc0) == 0x80)
			continue; /* inside a character */
		if (*units < needed) {
			*units = 0;
			return i;
		}
		*units -= needed;
	}
	return text.len;
}

/*
 * The kernel (fs/nls/nls_base.c, utf8s_to_utf16s) and libunistring agree on what
 * is invalid: overlong forms, surrogates, what lies above U+10FFFF, and characters
 * that are cut short. A key without a NUL, from which the kernel reads on into the
 * value, makes no difference: whatever goes wrong there goes wrong in the value.
 */
static unsigned int field_marks(struct kvp_bytes field, size_t units)
{
	struct kvp_bytes valid = field;
	bool utf8 = kvp_utf8_check(field, &valid.len) == KVP_UTF8_VALID;
	unsigned int marks = utf8 ? 0 : KVP_MARK_NOT_UTF8;

	if (utf8 && field.len <= units)
		return 0;
	if (take(valid, &units) < field.len && units == 0)
		marks |= KVP_MARK_CUT;
	else if (!utf8)
		marks |= KVP_MARK_STOPS_HOST;
	return marks;
}

static bool is_unlisted(struct kvp_bytes key)
{
	char name[KVP_NAME_MAX + 1];
	size_t len;

	return KVP_ESCAPE_MAX * key.len > KVP_NAME_MAX &&
	       kvp_name_encode(key, name, &len) != 0;
}

unsigned char kvp_report_marks(const struct kvp_pair *record)
{
	unsigned int marks = field_marks(record->key, HOST_KEY_UNITS) |
			     field_marks(record->value, HOST_VALUE_UNITS);

	/* of a record that it cannot read the host gets nothing */
	if (marks & KVP_MARK_STOPS_HOST)
		marks &= ~(unsigned int)KVP_MARK_CUT;
	if (is_unlisted(record->key))
		marks |= KVP_MARK_UNLISTED;
	return (unsigned char)marks;
}

void kvp_report_add(struct kvp_report *report, struct kvp_bytes key,
		    unsigned char marks, bool first)
{
	report->records++;
	report->not_utf8 += (marks & KVP_MARK_NOT_UTF8) != 0;
	report->cut_for_host += (marks & KVP_MARK_CUT) != 0;
	report->unlisted += first && marks & KVP_MARK_UNLISTED;
	report->hidden_from_host += report->host_stopped;
	if (!report->host_stopped && marks & KVP_MARK_STOPS_HOST) {
		report->host_stopped = true;
		report->first_hiding = key;
	}
}
