/* SPDX-License-Identifier: MIT */
/*
 * What an administrator wants to know of the raw records: which of them are not
 * text, and which the host never gets to see.
 *
 * The host asks for one record after the other. The guest's kernel converts key
 * and value to UTF-16, up to 254 and 1022 units (Linux: drivers/hv/hv_kvp.c,
 * kvp_respond_to_host), and cuts the rest silently. Bytes that are not UTF-8
 * before that point fail the request, and with it the host's enumeration: what
 * follows is hidden. Behind that point they do no harm.
 *
 *	struct kvp_report report = { 0 };
 *
 *	for each record in file order
 *		kvp_report_add(&report, record);
 */
#ifndef KVP_REPORT_H
#define KVP_REPORT_H

#include <stdbool.h>

#include "record.h"

struct kvp_report {
	size_t records;
	size_t not_utf8;	 /* of them, with a key or a value like that */
	size_t hidden_from_host; /* behind the first that it cannot read */
	bool host_stopped;	 /* there was such a first one */
};

/* Counts RECORD, the next one of the file; one with an empty key counts too. */
void kvp_report_add(struct kvp_report *report, const struct kvp_pair *record);

#endif
