/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "utf8.h"

/* UTF-16 units that the kernel hands over: the field's half, less two. */
#define HOST_KEY_UNITS (KVP_KEY_SIZE / 2 - 2)
#define HOST_VALUE_UNITS (KVP_VALUE_SIZE / 2 - 2)

/* What a field is to readers. */
struct view {
	bool utf8;
	bool host; /* the host gets it, perhaps cut */
};

/*
 * Whether the kernel has filled UNITS units before TEXT, which is valid UTF-8,
 * ends. It stops early, too, where a surrogate pair has no room any more.
 */
static bool fills(struct kvp_bytes text, size_t units)
{
	for (size_t i = 0; i < text.len && units > 0; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if ((c & 0xc0) == 0x80)
			continue; /* inside a character */
		if (c < 0xf0)
			units--;
		else if (units < 2)
			return true;
		else
			units -= 2;
	}
	return units == 0;
}

/*
 * The kernel (fs/nls/nls_base.c, utf8s_to_utf16s) and libunistring agree on what
 * is invalid: overlong forms, surrogates, what lies above U+10FFFF, and characters
 * that are cut short. A key without a NUL, from which the kernel reads on into the
 * value, makes no difference: whatever goes wrong there goes wrong in the value.
 */
static struct view view(struct kvp_bytes text, size_t units)
{
	struct view view;

	view.utf8 = kvp_utf8_check(text, &text.len) == KVP_UTF8_VALID;
	view.host = view.utf8 || fills(text, units);
	return view;
}

void kvp_report_add(struct kvp_report *report, const struct kvp_pair *record)
{
	struct view key = view(record->key, HOST_KEY_UNITS);
	struct view value = view(record->value, HOST_VALUE_UNITS);

	report->records++;
	if (!key.utf8 || !value.utf8)
		report->not_utf8++;
	if (report->host_stopped)
		report->hidden_from_host++;
	if (!key.host || !value.host)
		report->host_stopped = true;
}
