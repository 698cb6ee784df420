/* SPDX-License-Identifier: MIT */
/*
 * One record of a pool file: 512 bytes of key, 2048 bytes of value, both
 * zero-padded UTF-8; no header, count or checksum
 * (Linux: include/uapi/linux/hyperv.h, HV_KVP_EXCHANGE_MAX_*).
 *
 * Pure conversions on the caller's memory: no I/O, no allocation, no checks of
 * content. This is the only place that knows where a record's fields lie.
 */
#ifndef KVP_RECORD_H
#define KVP_RECORD_H

#include "bytes.h"

#define KVP_KEY_SIZE 512
#define KVP_VALUE_SIZE 2048
#define KVP_RECORD_SIZE (KVP_KEY_SIZE + KVP_VALUE_SIZE)

struct kvp_record {
	char key[KVP_KEY_SIZE];	    /* offset 0 */
	char value[KVP_VALUE_SIZE]; /* offset 512 */
};

_Static_assert(sizeof(struct kvp_record) == KVP_RECORD_SIZE,
	       "a record is exactly its two fields");

/* What a record says. */
struct kvp_pair {
	struct kvp_bytes key;
	struct kvp_bytes value;
};

/* Visitors return 0 to go on; anything else ends the walk and is its result. */
typedef int kvp_visit_record(void *arg, const struct kvp_pair *record);
typedef int kvp_visit_bytes(void *arg, struct kvp_bytes bytes);

/*
 * The field's content, which lies inside RECORD. It ends at the first NUL or at
 * the field's width: the daemon deletes with string copies and leaves stale
 * bytes behind the NUL, and a key of 512 bytes has no NUL at all.
 */
struct kvp_bytes kvp_record_key(const struct kvp_record *record);
struct kvp_bytes kvp_record_value(const struct kvp_record *record);
struct kvp_pair kvp_record_pair(const struct kvp_record *record);

/*
 * Fills all 2560 bytes of RECORD: the two strings and zeros. The caller has
 * checked that KEY and VALUE fit their fields and hold no NUL.
 */
void kvp_record_encode(struct kvp_record *record, struct kvp_bytes key,
		       struct kvp_bytes value);

#endif
