/* SPDX-License-Identifier: MIT */
/*
 * What a file that is open for writing means for the store. Programs write values
 * in pieces and store nothing, or half a character, in between; a value is
 * validated as a whole and replaced in one step. A writer holds what lies
 * between the two:
 *  - "pending": the file was created, or truncated by open, and nothing is stored
 *    of that yet. The first successful write replaces the value (but appends to
 *    what others have stored meanwhile under a key that was new). If there was no
 *    write, kvp_writer_commit stores the empty value, but not over what somebody
 *    else has stored meanwhile, and not if writes were refused: then an old value
 *    stays, and a new key is not made.
 *  - the "tail": the bytes of an unfinished character at the value's end, or with
 *    strip_newline one newline there. They are part of the file for this writer,
 *    and are stored when more follows.
 *
 * Memory belongs to the caller, who sets the first four members of a zeroed
 * struct, and at the end calls kvp_writer_release. One thread at a time.
 */
#ifndef KVP_WRITER_H
#define KVP_WRITER_H

#include <sys/types.h>

#include "store.h"

#define KVP_TAIL_MAX 3

struct kvp_writer {
	bool append; /* each write goes to the current end */
	bool strip_newline;
	bool pending;
	struct kvp_value *replaced; /* a reference to the value that was stored
				     * when it became pending; NULL: none */
	bool failed; /* a write of the pending value was refused */
	unsigned char tail_len;
	char tail[KVP_TAIL_MAX];
	size_t tail_offset;
};

void kvp_writer_release(struct kvp_writer *w);

/* The largest file that a writer can see: a value and its tail. */
#define KVP_WRITER_MAX (KVP_VALUE_SIZE + KVP_TAIL_MAX)

/*
 * Each of the next three changes the value of KEY in one locked step; ID is for
 * the entry if it has to be made. *RET_VALUE gets a reference to what is stored
 * now, or NULL if nothing had to be stored; *RET_LEN (also on failure;
 * 0 if it did not get so far) the length that the file would have. Results as
 * kvp_store_write; a failure changes nothing.
 *
 * kvp_writer_write: DATA at OFFSET, or at the end if w->append. A hole is
 * KVP_VALUE_CONTAINS_NUL.
 * kvp_writer_truncate: cuts the value to SIZE bytes; growing it is
 * KVP_VALUE_CONTAINS_NUL.
 * kvp_writer_commit: stores what is pending. KVP_NOT_UTF8 if the file ends
 * within a character.
 */
int kvp_writer_write(struct kvp_writer *w, struct kvp_store *store,
		     struct kvp_bytes key, uint64_t id, struct kvp_bytes data,
		     off_t offset, struct kvp_value **ret_value,
		     size_t *ret_len);
int kvp_writer_truncate(struct kvp_writer *w, struct kvp_store *store,
			struct kvp_bytes key, uint64_t id, off_t size,
			struct kvp_value **ret_value, size_t *ret_len);
int kvp_writer_commit(struct kvp_writer *w, struct kvp_store *store,
		      struct kvp_bytes key, uint64_t id,
		      struct kvp_value **ret_value);

/* KVP_NOT_UTF8 if the file ends within a character, else 0. */
int kvp_writer_check(const struct kvp_writer *w);

/*
 * The file as this writer sees it, VALUE (NULL: absent) being what is stored,
 * into BUF; returns its length.
 */
size_t kvp_writer_view(const struct kvp_writer *w,
		       const struct kvp_value *value, char buf[KVP_WRITER_MAX]);

#endif
