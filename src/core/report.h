/* SPDX-License-Identifier: MIT */
/*
 * Counts, for administrators, the raw records that are not text, and those that the
 * host gets only in part or not at all. It reads no file and prints nothing.
 *
 * The host asks for one record after the other. The guest's kernel converts key
 * and value to UTF-16, up to 254 and 1022 units (Linux: drivers/hv/hv_kvp.c,
 * kvp_respond_to_host), and cuts the rest silently. Bytes that are not UTF-8
 * before that point fail the request, and with it the host's enumeration: what
 * follows is hidden. Behind that point they do no harm.
 *
 * A key that fills its field has no NUL, and the kernel reads on into the value. If
 * such a key has less than 254 units, the host gets a longer one; that is not counted.
 *
 * Each record is looked at once, for its marks. From these a report can be made at any
 * time:
 *
 *	marks = kvp_report_marks(record);
 *	...
 *	struct kvp_report report = { 0 };
 *
 *	for each record in file order
 *		kvp_report_add(&report, key, marks, ...);
 */
#ifndef KVP_REPORT_H
#define KVP_REPORT_H

#include <stdbool.h>

#include "record.h"

enum kvp_mark {
	KVP_MARK_NOT_UTF8 = 1,	 /* its key or its value */
	KVP_MARK_STOPS_HOST = 2, /* the host cannot read it */
	KVP_MARK_CUT = 4,	 /* the host gets a part of it */
	KVP_MARK_UNLISTED = 8,	 /* its key is too long for a file name */
};

struct kvp_report {
	size_t records;
	size_t not_utf8;
	size_t cut_for_host;
	size_t hidden_from_host; /* behind the first that it cannot read */
	size_t unlisted;	 /* keys, not records */
	bool host_stopped;	 /* there is a record that it cannot read... */
	struct kvp_bytes first_hiding; /* ...the first of which has this key */
};

/* Of enum kvp_mark. */
unsigned char kvp_report_marks(const struct kvp_pair *record);

/*
 * Counts the next record of the file, also one without a key. FIRST: no record before
 * it has that key. KEY's bytes must live as long as REPORT.
 */
void kvp_report_add(struct kvp_report *report, struct kvp_bytes key,
		    unsigned char marks, bool first);

#endif
