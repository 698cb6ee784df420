/* SPDX-License-Identifier: MIT */
/*
 * What the parts of rival share: what is in the pool, and what the mount is asked.
 */
#ifndef RIVAL_H
#define RIVAL_H

#include <stdbool.h>
#include <stddef.h>

#define RIVAL_MOST 72 /* records of any pool here */

struct record {
	char key[512];
	char value[2048];
};

_Static_assert(sizeof(struct record) == 2560, "no padding");

/* What the pool holds, or should hold. */
struct state {
	size_t count;
	struct record records[RIVAL_MOST];
};

struct text {
	size_t len;
	char data[RIVAL_MOST * (sizeof(struct record) + 2)];
};

/* One that changes the pool, and asks. */
struct player {
	const char *pool;
	const char *mount;
	int kept; /* descriptor of the pool, open from the start */
	unsigned int slot;
	unsigned int n; /* changes so far */
	struct state state;
	char key[sizeof(((struct record *)0)->key)]; /* the last one changed */
	bool timed; /* files have the pool's time, as nobody else changes it */
	unsigned int answers;
	unsigned int wrong;
};

/* First those of the player's key; then of the keys; then of all values. */
enum { RIVAL_OF_KEY = 2, RIVAL_OF_KEYS = 4, RIVAL_QUESTIONS = 7 };

/* Asks the mount the QUESTION. */
void rival_ask(struct player *p, unsigned int question, struct text *answer);

/* Whether ANSWER is what a mount of a pool in this STATE must answer. */
bool rival_is_right(struct player *p, unsigned int question,
		    const struct state *state, const struct text *answer);

/* Counts a wrong answer; shows the first one. */
void rival_note_wrong(struct player *p, unsigned int question,
		      const struct text *answer);

#endif
