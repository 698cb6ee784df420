/* SPDX-License-Identifier: MIT */
/*
 * Stories of a writer: it is opened, and then this or that happens, to it or
 * behind its back. After each step it is looked at what the store has and what
 * the writer sees; before each step it is tried what happens if the store fails.
 */
#ifndef WRITER_STORY_H
#define WRITER_STORY_H

#include "check.h"
#include "store_memory.h"
#include "writer.h"

/* Those before WRITE end a story; test_writer.c says what they mean. */
enum deed {
	END,
	BEGIN,
	OPENED,
	WRITE,	       /* TEXT at OFFSET */
	FAILING_WRITE, /* the same, while the store fails with RESULT */
	TRUNCATE,      /* to OFFSET */
	EMPTY,
	COMMIT,
	OTHERS_WRITE, /* somebody else stores TEXT */
	OTHERS_DELETE,
	LOOK, /* nothing is done */
};

/* The offset of OPENED. */
enum { PENDING = 1, APPEND = 2, STRIP = 4, STORED = 8 };

struct step {
	enum deed deed;
	const char *text;
	off_t offset;
	int result;
	const char *stored; /* what others see then; NULL: no such key */
	const char *seen;   /* what the writer sees then */
};

struct opening {
	const char *old; /* what is stored; NULL: no such key */
	bool pending;
	bool append;
	bool strip_newline;
	bool is_stored; /* as in struct kvp_writer_file */
};

/* A writer in the middle of one. */
struct story {
	struct kvp_store *store;
	struct kvp_bytes key;
	uint64_t id; /* that the writer gives to a key which it makes */
	struct kvp_writer writer;
	bool is_stored;
	struct kvp_writer_file file; /* of story_file */
};

/* A story from its beginning to a step that ends it; TELL in restricted mode. */
void story_tell(enum kvp_mode mode, const struct opening *opening,
		const struct step *steps);

#define TELL(opening, steps) story_tell(KVP_MODE_RESTRICTED, opening, steps)

/* The same by hand. */
void story_open(struct story *f, enum kvp_mode mode,
		const struct opening *opening);
void story_close(struct story *f);

/* Does what STEP says; *RET_VALUE and *RET_LEN as the writer's functions. */
int story_do(struct story *f, const struct step *step,
	     struct kvp_value **ret_value);

/* Does STEP, whose outcome must be as it says. */
void story_check(struct story *f, const struct step *step, const char *row);

/* The file that the writer writes, for calls of its own. */
const struct kvp_writer_file *story_file(struct story *f);

/* The value, a reference that the caller gives back, or NULL. */
struct kvp_value *story_stored(struct story *f);

bool story_stored_is(struct story *f, const char *text);

/* All but whether the last write was refused, which a failure may change. */
bool story_same_state(const struct kvp_writer *a, const struct kvp_writer *b);

#endif
