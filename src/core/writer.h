/* SPDX-License-Identifier: MIT */
/*
 * What a file that is open for writing means for the store. Programs empty a file
 * before they write it, and write values in pieces, perhaps cut within a character. The
 * store takes whole values, in one step each. A writer holds what lies between the two:
 *  - Its state. A file that was created, or emptied before it is written, is
 *    "pending": nothing is stored of that yet. The first write that succeeds
 *    replaces the value. (Under a key that was new, an append goes behind what others
 *    have stored meanwhile.) If there is no write, kvp_writer_commit stores the empty
 *    value. But an old value stays, and a new key is not made, if somebody else has
 *    stored a value meanwhile, if a write was refused, or if another writer has emptied
 *    the file since.
 *  - Its "tail": the bytes of an unfinished character at the value's end, or with
 *    strip_newline one newline there. They are part of the file for this writer,
 *    and are stored when more follows.
 *
 * Memory belongs to the caller, who sets the first two members of a zeroed struct,
 * calls kvp_writer_begin if the file was created or opened with O_TRUNC, and at
 * the end kvp_writer_release. One thread at a time.
 */
#ifndef KVP_WRITER_H
#define KVP_WRITER_H

#include <sys/types.h>

#include "store.h"

#define KVP_TAIL_MAX 3

enum kvp_writer_state {
	KVP_WRITER_CLEAN,     /* all that was done is stored */
	KVP_WRITER_TRUNCATED, /* pending: an old value is to be replaced */
	KVP_WRITER_CREATED,   /* pending: there was no value */
	KVP_WRITER_KEEPS, /* pending as one of these, but a commit stores nothing */
};

struct kvp_writer {
	bool append; /* each write goes to the current end */
	bool strip_newline;
	enum kvp_writer_state state;
	struct kvp_value *replaced; /* a reference to the value that was stored
				     * when it became pending; NULL: none */
	unsigned char tail_len;
	char tail[KVP_TAIL_MAX];
	size_t tail_offset;
};

/* The file that is written. */
struct kvp_writer_file {
	struct kvp_store *store;
	struct kvp_bytes key;
	uint64_t id; /* for the entry if it has to be made */
	/*
	 * The value of a file that has no key any more and goes on in memory; NULL: it
	 * has a key. Such a value is only checked, and the caller keeps the new one.
	 */
	struct kvp_value *unlinked;
	bool is_stored; /* a change without a value to change is KVP_ABSENT */
};

/* VALUE is to be replaced by what is written next; NULL: the file is new. */
void kvp_writer_begin(struct kvp_writer *w, struct kvp_value *value);

void kvp_writer_release(struct kvp_writer *w);

/* Nothing is stored yet of a file that was created or emptied. */
static inline bool kvp_writer_is_pending(const struct kvp_writer *w)
{
	return w->state != KVP_WRITER_CLEAN;
}

/* The same, and there was no value to replace. */
static inline bool kvp_writer_is_creating(const struct kvp_writer *w)
{
	return kvp_writer_is_pending(w) && !w->replaced;
}

/* The largest file that a writer can see: a value and its tail. */
#define KVP_WRITER_MAX (KVP_VALUE_SIZE + KVP_TAIL_MAX)

/*
 * Each of the next three changes the value of FILE in one locked step. *RET_VALUE
 * gets a reference to what is stored now, or NULL if nothing had to be stored. Results
 * as kvp_store_write. Of a refusal kvp_store_message tells where in the whole file its
 * cause is. After a failure the value is as it was.
 *
 * kvp_writer_write: DATA at OFFSET, or at the end if w->append. A hole is
 * KVP_VALUE_CONTAINS_NUL.
 * kvp_writer_truncate: cuts the value to SIZE bytes; growing it is
 * KVP_VALUE_CONTAINS_NUL.
 * kvp_writer_commit: stores what is pending. KVP_NOT_UTF8 if the file ends
 * within a character.
 */
int kvp_writer_write(struct kvp_writer *w, const struct kvp_writer_file *file,
		     struct kvp_bytes data, off_t offset,
		     struct kvp_value **ret_value);
int kvp_writer_truncate(struct kvp_writer *w,
			const struct kvp_writer_file *file, off_t size,
			struct kvp_value **ret_value);
int kvp_writer_commit(struct kvp_writer *w, const struct kvp_writer_file *file,
		      struct kvp_value **ret_value);

/*
 * The file is emptied, as editors do before they write it: that is pending from now
 * on, as after O_TRUNC. Results as kvp_store_read, but for KVP_ABSENT.
 */
int kvp_writer_empty(struct kvp_writer *w, const struct kvp_writer_file *file);

/*
 * Another writer has emptied the file since: a commit by W stores nothing any more. Some
 * programs (cp of uutils) empty a file twice, by two descriptors, and write by the
 * second. If that write is refused the old value must stay.
 */
void kvp_writer_yield(struct kvp_writer *w);

/* KVP_NOT_UTF8 if the file ends within a character, else 0. */
int kvp_writer_check(const struct kvp_writer *w, struct kvp_store *store);

/*
 * Writes the file as this writer sees it to BUF, and returns its length. VALUE (NULL:
 * absent) is what is stored.
 */
size_t kvp_writer_view(const struct kvp_writer *w,
		       const struct kvp_value *value, char buf[KVP_WRITER_MAX]);

#endif
