/* SPDX-License-Identifier: MIT */
/*
 * What rival asks the mount, and what the answer must be.
 */
#include "rival.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define CAP 1024	/* keys that a store may hold */
#define LIST_BYTES 4096 /* as little at once as the kernel asks for */
#define SHOWN_BYTES 120 /* of a wrong answer */

static void add(struct text *text, const void *data, size_t len)
{
	if (len > sizeof(text->data) - text->len)
		errx(2, "answer too long");
	memcpy(text->data + text->len, data, len);
	text->len += len;
}

__attribute__((format(printf, 2, 3))) static void add_text(struct text *text,
							   const char *format,
							   ...)
{
	size_t room = sizeof(text->data) - text->len;
	va_list arguments;
	int len;

	va_start(arguments, format);
	len = vsnprintf(text->data + text->len, room, format, arguments);
	va_end(arguments);
	if (len < 0 || (size_t)len >= room)
		errx(2, "answer too long");
	text->len += (size_t)len;
}

static void add_error(struct text *text, int errnum)
{
	add_text(text, "errno %d", errnum);
}

/* The time of PATH, or nothing while there is no pool that it could be from. */
static void add_time(struct player *p, const char *path, struct text *text)
{
	struct stat st;

	if (!p->timed || stat(p->pool, &st) != 0 || stat(path, &st) != 0)
		return;
	add_text(text, " at %lld.%09ld", (long long)st.st_mtim.tv_sec,
		 st.st_mtim.tv_nsec);
}

static void ask_content(struct player *p, const char *path, struct text *answer)
{
	char buf[8192];
	ssize_t size;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	(void)p;
	if (fd < 0) {
		add_error(answer, errno);
		return;
	}
	while ((size = read(fd, buf, sizeof(buf))) > 0)
		add(answer, buf, (size_t)size);
	if (size < 0)
		add_error(answer, errno);
	close(fd);
}

static void ask_size(struct player *p, const char *path, struct text *answer)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		add_error(answer, errno);
		return;
	}
	add_text(answer, "%lld", (long long)st.st_size);
	add_time(p, path, answer);
}

static void ask_room(struct player *p, const char *path, struct text *answer)
{
	struct statvfs st;

	if (statvfs(path, &st) != 0) {
		add_error(answer, errno);
		return;
	}
	(void)p;
	add_text(answer, "%llu", (unsigned long long)st.f_ffree);
}

/* Not by readdir(3), which has room for everything. */
static void ask_names(struct player *p, const char *path, struct text *answer)
{
	_Alignas(struct dirent64) char buf[LIST_BYTES];
	ssize_t size;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)p;
	if (fd < 0) {
		add_error(answer, errno);
		return;
	}
	while ((size = getdents64(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t at = 0; at < size;) {
			const struct dirent64 *entry = (const void *)&buf[at];

			at += entry->d_reclen;
			if (entry->d_name[0] == '.')
				continue;
			add_text(answer, "%s\n", entry->d_name);
		}
	}
	if (size < 0)
		add_error(answer, errno);
	close(fd);
}

/* What it must answer. */

static const struct record *last_of(const struct state *state, const char *key)
{
	const struct record *found = NULL;

	for (size_t i = 0; i < state->count; i++)
		if (strcmp(state->records[i].key, key) == 0)
			found = &state->records[i];
	return found;
}

/* Whether the record at I is the first of its key. */
static bool is_first(const struct state *state, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (strcmp(state->records[j].key, state->records[i].key) == 0)
			return false;
	return true;
}

static void add_line(struct text *text, const struct record *record)
{
	add_text(text, "%s=%s\n", record->key, record->value);
}

static void expect_value(struct player *p, const struct state *state,
			 struct text *wanted)
{
	const struct record *record = last_of(state, p->key);

	if (record)
		add_text(wanted, "%s", record->value);
	else
		add_error(wanted, ENOENT);
}

static void expect_size(struct player *p, const struct state *state,
			struct text *wanted)
{
	const struct record *record = last_of(state, p->key);

	if (!record) {
		add_error(wanted, ENOENT);
		return;
	}
	add_text(wanted, "%zu", strlen(record->value));
	add_time(p, p->pool, wanted);
}

static void expect_room(struct player *p, const struct state *state,
			struct text *wanted)
{
	size_t keys = 0;

	for (size_t i = 0; i < state->count; i++)
		keys += is_first(state, i);
	(void)p;
	add_text(wanted, "%zu", CAP - keys);
}

static void expect_names(struct player *p, const struct state *state,
			 struct text *wanted)
{
	(void)p;
	for (size_t i = 0; i < state->count; i++)
		if (is_first(state, i))
			add_text(wanted, "%s\n", state->records[i].key);
}

static void expect_entries(struct player *p, const struct state *state,
			   struct text *wanted)
{
	(void)p;
	for (size_t i = 0; i < state->count; i++)
		if (is_first(state, i))
			add_line(wanted, last_of(state, state->records[i].key));
}

static void expect_records(struct player *p, const struct state *state,
			   struct text *wanted)
{
	(void)p;
	for (size_t i = 0; i < state->count; i++)
		add_line(wanted, &state->records[i]);
}

static void expect_pool(struct player *p, const struct state *state,
			struct text *wanted)
{
	(void)p;
	add(wanted, state->records, state->count * sizeof(*state->records));
}

static const struct {
	const char *name;
	const char *file; /* NULL: the key that was changed */
	void (*ask)(struct player *p, const char *path, struct text *answer);
	void (*expect)(struct player *p, const struct state *state,
		       struct text *wanted);
} questions[RIVAL_QUESTIONS] = {
	{ "read", NULL, ask_content, expect_value },
	{ "stat", NULL, ask_size, expect_size },
	{ "names", "", ask_names, expect_names },
	{ "root", "", ask_room, expect_room },
	{ "records", ".kvpfs/records", ask_content, expect_records },
	{ "entries", ".kvpfs/entries", ask_content, expect_entries },
	{ "pool", ".kvpfs/pool", ask_content, expect_pool },
};

void rival_ask(struct player *p, unsigned int question, struct text *answer)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", p->mount,
		 questions[question].file ? questions[question].file : p->key);
	answer->len = 0;
	questions[question].ask(p, path, answer);
	p->answers++;
}

bool rival_is_right(struct player *p, unsigned int question,
		    const struct state *state, const struct text *answer)
{
	static struct text wanted;

	wanted.len = 0;
	questions[question].expect(p, state, &wanted);
	return answer->len == wanted.len &&
	       memcmp(answer->data, wanted.data, wanted.len) == 0;
}

void rival_note_wrong(struct player *p, unsigned int question,
		      const struct text *answer)
{
	int shown = answer->len < SHOWN_BYTES ? (int)answer->len : SHOWN_BYTES;

	if (p->wrong++ == 0)
		fprintf(stderr,
			"after change %u, of '%.20s': wrong answer to %s, "
			"%zu bytes: '%.*s'\n",
			p->n, p->key, questions[question].name, answer->len,
			shown, answer->data);
}
