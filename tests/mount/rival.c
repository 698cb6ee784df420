/* SPDX-License-Identifier: MIT */
/*
 * Another user of the pool, for rivals.py: changes the pool file as other programs
 * do, as fast as it can, and compares what the mount shows with what it must show.
 *
 *	rival MANNER COUNT POOL MOUNT [SLOT]
 *
 * Most manners change, then ask: no answer may be older than the change. A manner
 * "torn-..." asks while a process of its own changes without a pause: each answer
 * must be the pool as it was between two of that process's locks. Prints what was
 * done; exits with 1 if an answer was wrong, and shows it. Shares no code with kvpfs.
 */
#include "rival.h"

#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define FEW 8		 /* records of a pool that changes between questions */
#define STEADY_KEYS 40	 /* that each generation of a torn pool has */
#define LONG_NAME 200	 /* a listing takes several readings */
#define WRITE_BYTES 4096 /* the daemon's writes are multiples of it */

static void lock_record(int fd, int command, short type)
{
	struct flock whole = { .l_type = type, .l_whence = SEEK_SET };

	if (fcntl(fd, command, &whole) != 0)
		err(2, "fcntl");
}

static void lock_both(int fd)
{
	if (flock(fd, LOCK_EX) != 0)
		err(2, "flock");
	lock_record(fd, F_OFD_SETLKW, F_WRLCK);
}

static void unlock_both(int fd)
{
	lock_record(fd, F_OFD_SETLK, F_UNLCK);
	flock(fd, LOCK_UN);
}

static int open_pool(const struct player *p, int flags)
{
	int fd = open(p->pool, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		err(2, "%s", p->pool);
	return fd;
}

/* Closing what this returns releases the locks. */
static int open_locked(const struct player *p, int flags)
{
	int fd = open_pool(p, O_RDWR | flags);

	lock_both(fd);
	return fd;
}

static void put_bytes(int fd, const void *data, size_t size, off_t offset)
{
	if (pwrite(fd, data, size, offset) != (ssize_t)size)
		err(2, "pwrite");
}

/* Writes the records from I on, and cuts off what was behind them. */
static void put_records(struct player *p, int fd, size_t i)
{
	const size_t size = sizeof(struct record);

	put_bytes(fd, &p->state.records[i], (p->state.count - i) * size,
		  (off_t)(i * size));
	if (ftruncate(fd, (off_t)(p->state.count * size)) != 0)
		err(2, "ftruncate");
}

/* Changes to the state. */

static void set_record(struct record *record, const char *key,
		       const char *value)
{
	memset(record, 0, sizeof(*record));
	snprintf(record->key, sizeof(record->key), "%s", key);
	snprintf(record->value, sizeof(record->value), "%s", value);
}

static struct record *fresh_record(struct player *p, size_t i,
				   unsigned int number)
{
	struct record *record = &p->state.records[i];
	char value[32];

	snprintf(p->key, sizeof(p->key), "key-%u", number);
	snprintf(value, sizeof(value), "value %010u", p->n);
	set_record(record, p->key, value);
	return record;
}

static void fill(struct player *p)
{
	for (unsigned int i = 0; i < FEW; i++)
		fresh_record(p, i, i);
	p->state.count = FEW;
}

static void empty(struct player *p)
{
	p->state.count = 0;
}

/* Gives the record at I another value of the same size. */
static void alter(struct player *p, size_t i)
{
	struct record *record = &p->state.records[i];

	snprintf(p->key, sizeof(p->key), "%s", record->key);
	snprintf(record->value, sizeof(record->value), "value %010u", p->n);
}

static void put_value(const struct player *p, int fd, size_t i)
{
	const struct record *record = &p->state.records[i];

	put_bytes(fd, record->value, strlen(record->value),
		  (off_t)(i * sizeof(*record) + sizeof(record->key)));
}

/* Manners: one change each, complete when they return. */

static void overwrite(struct player *p)
{
	size_t i = p->n % p->state.count;
	int fd = open_locked(p, 0);

	alter(p, i);
	put_value(p, fd, i);
	close(fd);
}

/* The others' records are not ours to know; the descriptor stays open. */
static void share(struct player *p)
{
	alter(p, p->slot);
	lock_both(p->kept);
	put_value(p, p->kept, p->slot);
	unlock_both(p->kept);
}

/* Every third time one more record of a key that is there. */
static void append(struct player *p)
{
	int fd = open_locked(p, 0);
	size_t i = p->state.count;

	if (i == 2 * FEW) {
		p->state.count = FEW;
		put_records(p, fd, FEW);
	} else {
		fresh_record(p, i, p->n % 3 ? FEW + p->n : p->n % FEW);
		p->state.count++;
		put_records(p, fd, i);
	}
	close(fd);
}

static void delete (struct player *p)
{
	int fd = open_locked(p, 0);
	struct state *state = &p->state;
	size_t i = 0;

	if (state->count == 0) {
		fill(p);
	} else {
		i = p->n % state->count;
		memcpy(p->key, state->records[i].key, sizeof(p->key));
		state->count--;
		memmove(&state->records[i], &state->records[i + 1],
			(state->count - i) * sizeof(state->records[i]));
	}
	put_records(p, fd, i);
	close(fd);
}

static void truncate_all(struct player *p)
{
	int fd = open_locked(p, 0);

	if (p->state.count)
		empty(p);
	else
		fill(p);
	put_records(p, fd, 0);
	close(fd);
}

static void unlink_pool(struct player *p)
{
	int fd = open_locked(p, 0);

	if (unlink(p->pool) != 0)
		err(2, "unlink");
	close(fd);
	empty(p);
}

/* It is made again as large as it was, after a look at the mount or before. */
static void recreate(struct player *p)
{
	int fd;

	if (p->state.count) {
		unlink_pool(p);
		if (p->n % 3)
			return;
	}
	fd = open_locked(p, O_CREAT | O_EXCL);
	fill(p);
	put_records(p, fd, 0);
	close(fd);
}

/* Writes the state in pieces that no record ends with, but for the last. */
static void write_pieces(const struct player *p, int fd)
{
	const char *data = (const char *)p->state.records;
	size_t left = p->state.count * sizeof(*p->state.records);
	size_t most = WRITE_BYTES * (1 + p->n % 3);

	while (left > 0) {
		size_t size = left < most ? left : most;

		if (write(fd, data, size) != (ssize_t)size)
			err(2, "write");
		data += size;
		left -= size;
	}
}

static void read_all(const struct player *p)
{
	char buf[WRITE_BYTES];
	int fd = open_pool(p, O_RDONLY);
	ssize_t size;

	do
		size = read(fd, buf, sizeof(buf));
	while (size > 0);
	if (size < 0)
		err(2, "read");
	close(fd);
}

/*
 * As hv_kvp_daemon does for each request to set or delete. Closing another
 * descriptor of the file already releases the lock, there as here.
 */
static void rewrite_as_daemon(struct player *p)
{
	int fd;

	lock_record(p->kept, F_SETLKW, F_WRLCK);
	read_all(p);
	lock_record(p->kept, F_SETLK, F_UNLCK);
	lock_record(p->kept, F_SETLKW, F_WRLCK);
	fd = open_pool(p, O_WRONLY | O_TRUNC);
	write_pieces(p, fd);
	close(fd);
	lock_record(p->kept, F_SETLK, F_UNLCK);
}

static void daemon_sets(struct player *p)
{
	alter(p, p->n % p->state.count);
	rewrite_as_daemon(p);
}

/* Over what is there, in pieces: mixed until the last one, not cut. */
static void rewrite_under_flock(struct player *p)
{
	int fd = open_pool(p, O_RDWR);

	if (flock(fd, LOCK_EX) != 0)
		err(2, "flock");
	write_pieces(p, fd);
	put_records(p, fd, p->state.count);
	close(fd);
}

struct manner {
	const char *name;
	void (*change)(struct player *p);
	enum {
		ALONE, /* nobody else changes the pool */
		SHARED,
		TORN, /* a process of its own changes it */
	} company;
};

static const struct manner manners[] = {
	{ "overwrite", overwrite, ALONE },
	{ "append", append, ALONE },
	{ "delete", delete, ALONE },
	{ "truncate", truncate_all, ALONE },
	{ "recreate", recreate, ALONE },
	{ "daemon", daemon_sets, ALONE },
	{ "share", share, SHARED },
	{ "torn-daemon", rewrite_as_daemon, TORN },
	{ "torn-flock", rewrite_under_flock, TORN },
};

/*
 * After each change what concerns its key and one more question, each of them the
 * first to meet the change in turn.
 */
static void change_and_ask(struct player *p, const struct manner *manner,
			   unsigned int count)
{
	const unsigned int asked = RIVAL_OF_KEY + 1;
	const unsigned int others = (manner->company == SHARED
					     ? RIVAL_OF_KEYS
					     : RIVAL_QUESTIONS) -
				    RIVAL_OF_KEY;
	static struct text answer;

	while (p->n < count) {
		p->n++;
		manner->change(p);
		for (unsigned int i = 0; i < asked; i++) {
			unsigned int q = (p->n + i) % asked;

			if (q == RIVAL_OF_KEY)
				q += p->n / asked % others;
			rival_ask(p, q, &answer);
			if (!rival_is_right(p, q, &p->state, &answer))
				rival_note_wrong(p, q, &answer);
		}
	}
}

/* What the process that changes the pool tells. */
struct progress {
	_Atomic unsigned int begun; /* generations, by number */
	_Atomic unsigned int done;
	_Atomic bool stop;
};

/*
 * A pool in which everything depends on its generation G: how many keys there are,
 * some of the keys, all values and their sizes. One key has two records.
 */
static void make_generation(struct state *state, unsigned int g)
{
	char key[sizeof(state->records->key)];
	char value[sizeof(state->records->value)];

	state->count = STEADY_KEYS + g % (RIVAL_MOST - STEADY_KEYS + 1);
	for (unsigned int i = 0; i < state->count; i++) {
		unsigned int number = i == STEADY_KEYS / 2 ? 0 : i;
		int size = 900 + (int)((g * 7 + i * 13) % 1100);

		snprintf(key, sizeof(key), "key-%03u-%08u-%0*u", number,
			 i < STEADY_KEYS ? 0 : g, LONG_NAME, 0U);
		snprintf(value, sizeof(value), "%0*u", size, g);
		memset(value, 'a' + (int)(g % 26), (size_t)size - 10);
		set_record(&state->records[i], key, value);
	}
}

static void change_without_pause(struct player *p, const struct manner *manner,
				 struct progress *progress)
{
	while (!progress->stop) {
		p->n++;
		make_generation(&p->state, p->n);
		progress->begun = p->n;
		manner->change(p);
		progress->done = p->n;
	}
}

static pid_t start_changing(struct player *p, const struct manner *manner,
			    struct progress *progress)
{
	pid_t pid = fork();

	if (pid < 0)
		err(2, "fork");
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	change_without_pause(p, manner, progress);
	exit(0);
}

/* Whether ANSWER is one of the generations FROM to TO, however many. */
static bool is_of_one(struct player *p, unsigned int question,
		      const struct text *answer, unsigned int from,
		      unsigned int to)
{
	static struct state state;

	for (unsigned int g = to; g >= from; g--) {
		make_generation(&state, g);
		if (rival_is_right(p, question, &state, answer))
			return true;
	}
	return false;
}

static void ask_beside_changes(struct player *p, const struct manner *manner,
			       unsigned int count)
{
	struct progress *progress = mmap(NULL, sizeof(*progress),
					 PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	static struct text answer;
	pid_t pid;
	int status;

	if (progress == MAP_FAILED)
		err(2, "mmap");
	progress->begun = progress->done = p->n;
	pid = start_changing(p, manner, progress);
	for (unsigned int i = 0; i < count; i++) {
		unsigned int question = i % RIVAL_QUESTIONS;
		unsigned int from = progress->done;

		/* often the key with two records, and the last steady one */
		memcpy(p->key,
		       p->state.records[i % 3 ? i % STEADY_KEYS : 0].key,
		       sizeof(p->key));
		rival_ask(p, question, &answer);
		p->n = progress->begun;
		if (!is_of_one(p, question, &answer, from, p->n))
			rival_note_wrong(p, question, &answer);
	}
	progress->stop = true;
	if (waitpid(pid, &status, 0) < 0 || status)
		errx(2, "the process that changes the pool failed");
	p->n = progress->done;
}

static void load(struct player *p)
{
	int fd = open_locked(p, 0);
	ssize_t size = read(fd, p->state.records, sizeof(p->state.records));

	if (size < 0)
		err(2, "read");
	p->state.count = (size_t)size / sizeof(*p->state.records);
	close(fd);
}

static void store(struct player *p)
{
	int fd = open_locked(p, O_CREAT);

	put_records(p, fd, 0);
	close(fd);
}

/* The pool as it is at the start: known, or whatever is there to share. */
static void begin(struct player *p, const struct manner *manner)
{
	p->timed = manner->company == ALONE;
	if (manner->company == TORN)
		make_generation(&p->state, ++p->n);
	else
		fill(p);
	if (manner->company == SHARED)
		load(p);
	else
		store(p);
	/* a descriptor would keep the inode from being used again */
	if (manner->change != recreate)
		p->kept = open_pool(p, O_RDWR);
}

static const struct manner *find_manner(const char *name)
{
	for (size_t i = 0; i < sizeof(manners) / sizeof(*manners); i++)
		if (strcmp(manners[i].name, name) == 0)
			return &manners[i];
	errx(2, "unknown manner '%s'", name);
}

int main(int argc, char **argv)
{
	static struct player p;
	const struct manner *manner;
	unsigned int count;

	if (argc < 5 || argc > 6)
		errx(2, "usage: rival MANNER COUNT POOL MOUNT [SLOT]");
	manner = find_manner(argv[1]);
	count = (unsigned int)strtoul(argv[2], NULL, 10);
	p.pool = argv[3];
	p.mount = argv[4];
	p.slot = argc > 5 ? (unsigned int)strtoul(argv[5], NULL, 10) : 0;
	begin(&p, manner);
	if (manner->company == TORN)
		ask_beside_changes(&p, manner, count);
	else
		change_and_ask(&p, manner, count);
	printf("changes=%u answers=%u wrong=%u\n", p.n, p.answers, p.wrong);
	return p.wrong > 0;
}
