/* SPDX-License-Identifier: MIT */
/*
 * Records as text, one a line: KEY=VALUE. In KEY a newline, a '=' and a '%' that
 * two hex digits follow stand as %XX (escape.h), in VALUE a newline and such a
 * '%'. Printed records can be parsed back unchanged. This module does not judge whether
 * a record may be stored.
 *
 *	struct kvp_text_fault fault;
 *
 *	r = kvp_text_parse(text, visit, arg, &fault);
 *	if (r > 0)
 *		log("line %zu: %s", fault.line, ...);
 */
#ifndef KVP_TEXT_H
#define KVP_TEXT_H

#include <stdio.h>

#include "bytes.h"
#include "record.h"

/* These numbers are none of a refusal (result.h). */
enum kvp_text_error {
	KVP_TEXT_NO_EQUALS = 100, /* a line without a '=' */
	KVP_TEXT_EMPTY_KEY,	  /* nothing before the '=' */
	KVP_TEXT_NUL,		  /* a NUL, as %00 or as itself */
	KVP_TEXT_NOT_CANONICAL,	  /* %XX where printing would not put one */
};

/* Which line is invalid, and why. */
struct kvp_text_fault {
	size_t line; /* the first is 1 */
	/* for a log, such as "empty key"; NULL: the visitor refused the line */
	const char *reason;
};

/*
 * Calls VISIT for each line of TEXT, as soon as it is parsed; the last line need not end
 * with a newline. The record is good until VISIT returns. Returns 0, -ENOMEM, what VISIT
 * returned to end this, or one of enum kvp_text_error; *RET_FAULT tells of the last two.
 * This takes as much memory as the longest line.
 */
int kvp_text_parse(struct kvp_bytes text, kvp_visit_record *visit, void *arg,
		   struct kvp_text_fault *ret_fault);

/*
 * Prints the line of RECORD, whose key is not empty; neither field holds a NUL.
 * -errno: OUT has failed.
 */
int kvp_text_print_record(FILE *out, const struct kvp_pair *record);

#endif
