/* SPDX-License-Identifier: MIT */
/*
 * Records as text, one a line: KEY=VALUE. In KEY a newline, a '=' and a '%' that
 * two hex digits follow stand as %XX (escape.h), in VALUE a newline and such a
 * '%'. What is formatted can be parsed back unchanged.
 *
 *	struct kvp_text text = { 0 };
 *
 *	r = kvp_text_add_record(&text, &record);
 *	...
 *	kvp_text_release(&text);
 *
 *	struct kvp_text_records records;
 *	struct kvp_text_fault fault;
 *
 *	r = kvp_text_parse(bytes, &records, &fault);
 *	if (r > 0)
 *		log("line %zu: %s", fault.line, fault.reason);
 *	...
 *	kvp_text_records_release(&records);
 */
#ifndef KVP_TEXT_H
#define KVP_TEXT_H

#include "bytes.h"
#include "record.h"
#include "store.h"

/* A text that grows. All zeros is an empty one. */
struct kvp_text {
	char *data; /* not NUL-terminated; NULL until something is added */
	size_t len;
	size_t capacity;
};

/* What lines said. The pairs' bytes live, and end, with the pairs. */
struct kvp_text_records {
	struct kvp_pair *pairs; /* that of line N is N - 1 */
	size_t count;
};

enum kvp_text_error {
	KVP_TEXT_NO_EQUALS = 1, /* a line without a '=' */
	KVP_TEXT_EMPTY_KEY,	/* nothing before it */
	KVP_TEXT_NUL,		/* a NUL, as %00 or as itself */
	KVP_TEXT_NOT_CANONICAL, /* %XX where formatting would not put one */
};

/* Which line is invalid, and why. */
struct kvp_text_fault {
	size_t line;	 /* the first is 1 */
	char reason[32]; /* for a log, such as "empty key" */
};

static inline void kvp_text_init(struct kvp_text *text)
{
	*text = (struct kvp_text){ NULL, 0, 0 };
}

/* Frees what TEXT holds; it is empty then. */
void kvp_text_release(struct kvp_text *text);

static inline struct kvp_bytes kvp_text_bytes(const struct kvp_text *text)
{
	return (struct kvp_bytes){ text->data, text->len };
}

/*
 * Add to TEXT. 0, or -ENOMEM: then TEXT is as it was. BYTES and the record must
 * not lie inside TEXT.
 */
int kvp_text_append(struct kvp_text *text, struct kvp_bytes bytes);
int kvp_text_printf(struct kvp_text *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The line of RECORD, whose key is not empty; neither field holds a NUL. */
int kvp_text_add_record(struct kvp_text *text, const struct kvp_pair *record);

/*
 * Parses the lines of TEXT; the last one need not end with a newline. Returns 0;
 * -ENOMEM; or one of enum kvp_text_error, for the first invalid line, and what
 * *RET_FAULT says of it. Lengths and UTF-8 are not looked at; see
 * kvp_text_check. Memory is linear in TEXT.
 */
int kvp_text_parse(struct kvp_bytes text, struct kvp_text_records *ret_records,
		   struct kvp_text_fault *ret_fault);

/* Frees what RECORDS holds; it is empty then. */
void kvp_text_records_release(struct kvp_text_records *records);

/*
 * Whether STORE accepts each of RECORDS by itself: 0, or the refusal (result.h)
 * of the first that it does not, with the line in *RET_LINE. How many there are
 * is not looked at.
 */
int kvp_text_check(const struct kvp_store *store,
		   const struct kvp_text_records *records, size_t *ret_line);

#endif
