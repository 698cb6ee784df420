/* SPDX-License-Identifier: MIT */
/*
 * Reads a pool's records, in chunks, and brings an index in step with them. The pool must
 * be locked (pool.h). One thread at a time.
 */
#ifndef KVP_SCAN_H
#define KVP_SCAN_H

#include "index.h"
#include "pool.h"
#include "record.h"

#define KVP_CHUNK_RECORDS ((size_t)32)

/* Where the record of SLOT lies in the file. */
static inline off_t kvp_offset_of(size_t slot)
{
	return (off_t)slot * KVP_RECORD_SIZE;
}

/* Room for the next of COUNT records, to be freed; NULL: no memory. */
struct kvp_record *kvp_chunk_new(size_t count);

/*
 * Reads the records from SLOT on, KVP_CHUNK_RECORDS at the most. *RET_BYTES: how much
 * there was. Results as kvp_pool_read.
 */
int kvp_chunk_read(struct kvp_pool *pool, size_t slot, struct kvp_record *chunk,
		   size_t *ret_bytes);

/*
 * Makes INDEX, which POOL said before, say what POOL says now. If others have only set
 * values and added records then only these change. *RET_CHANGED becomes true if they
 * have changed an entry; also if they have added a record that changes none, and perhaps
 * if they have moved the records of a repeated key. *RET_TORN: the size of a cut tail.
 * Results as kvp_pool_read; -EFBIG: over KVP_POOL_MAX_BYTES; -ENOMEM. After anything but
 * 0 INDEX may say a part of it; *RET_CHANGED is then true, and must be noted, as the next
 * scan does not find that part again.
 */
int kvp_scan(struct kvp_pool *pool, struct kvp_index *index, size_t *ret_torn,
	     bool *ret_changed);

#endif
