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

enum deed {
	END,
	WRITE,	  /* TEXT at OFFSET */
	TRUNCATE, /* to OFFSET */
	COMMIT,
	OTHERS_WRITE, /* somebody else stores TEXT */
	OTHERS_DELETE,
};

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
};

/* A writer in the middle of one. */
struct story {
	struct kvp_store *store;
	struct kvp_bytes key;
	uint64_t id; /* that the writer gives to a key which it makes */
	struct kvp_writer writer;
};

/* A story from its beginning to a step with END; TELL in restricted mode. */
void story_tell(enum kvp_mode mode, const struct opening *opening,
		const struct step *steps);

#define TELL(opening, steps) story_tell(KVP_MODE_RESTRICTED, opening, steps)

/* The same by hand. */
void story_open(struct story *f, enum kvp_mode mode,
		const struct opening *opening);
void story_close(struct story *f);

/* Does what STEP says; *RET_VALUE and *RET_LEN as the writer's functions. */
int story_do(struct story *f, const struct step *step,
	     struct kvp_value **ret_value, size_t *ret_len);

/* Does STEP, whose outcome must be as it says. */
void story_check(struct story *f, const struct step *step, const char *row);

/* STEP fails with FAULT in the store, if it gets so far, and changes nothing. */
void story_fail(struct story *f, const struct step *step, int fault,
		const char *row);

/* The value, a reference that the caller gives back, or NULL. */
struct kvp_value *story_stored(struct story *f);

bool story_stored_is(struct story *f, const char *text);
bool story_seen_is(struct story *f, const char *text);

/* All but "failed", which is there to be changed by a failure. */
bool story_same_state(const struct kvp_writer *a, const struct kvp_writer *b);

#endif
