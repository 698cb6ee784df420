/* SPDX-License-Identifier: MIT */
/*
 * Sequences of what callers, the kernel and others do, and what each of them must get.
 * A world is one key, in a store of its own that is one value, with up to eight nodes
 * and eight handles, each known by the number of the slot that it was put into.
 *
 * To be linked with -Wl,--wrap=clock_gettime,--wrap=kill and those of fail_alloc.h.
 */
#include "versions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "fail_alloc.h"

#define SLOTS 8

/*
 * A step: VERB [nNODE] [hHANDLE] ['TEXT'] [WANTED] [by PID]; without PID by 100.
 *
 *	lookup n 'text' kind	gets a node that is in no slot, and shows that
 *	same n			gets this node
 *	read n h 'text' caching	opens, and reads that
 *	write n h, create n h	opens; create: of a file that is new
 *	empty n h		opens, and empties
 *	refuse-VERB n		is told to look up again
 *	cut n 'text'		truncates by path to this
 *	may-cut n		could, but the pool is locked
 *	retire n		as who tells watchers does
 *	keyless n		is served though the key is gone
 *	store h 'text'		by way of the writer
 *	outside ['text']	others store this, or delete the key
 *	show n 'text' kind	what fstat(2) shows, and what the node is then
 *	see, follow h 'text'	what a reader has; follow: after it came to the end
 *	close h; forget n; unlink and rename 'text', of the key
 */
struct step {
	char verb[20];
	bool refused;
	int node;
	int handle;
	const char *text; /* NULL: none */
	char text_buf[20];
	int wanted; /* number of a kind or caching, in their order; -1: none */
	pid_t pid;
};

struct world {
	struct kvpfs_versions versions;
	struct kvpfs_node *nodes[SLOTS];
	struct kvpfs_handle handles[SLOTS];
	struct kvp_value *stored; /* NULL: no key */
	char key[20];
};

static const struct kvpfs_inode_ops no_ops;

static struct kvp_value *new_value(const char *text)
{
	struct kvp_value *value = kvp_value_new(check_bytes(text));

	CU_ASSERT_PTR_NOT_NULL_FATAL(value);
	return value;
}

/* Others, or we, have stored TEXT. */
static void set_stored(struct world *w, const char *text)
{
	struct kvp_value *value = text ? new_value(text) : NULL;

	kvp_value_set(&w->stored, value);
	kvp_value_unref(value);
}

static bool is_text(const struct kvp_value *value, const char *text)
{
	return kvp_bytes_equal(kvp_value_bytes(value), check_bytes(text));
}

static int find_word(const char *word)
{
	static const char *const kinds[] = { "current", "outdated", "private",
					     "retired" };
	static const char *const cachings[] = { "keep", "drop", "none",
						"lost" };

	for (int i = 0; i < (int)COUNT(kinds); i++)
		if (strcmp(kinds[i], word) == 0 ||
		    strcmp(cachings[i], word) == 0)
			return i;
	return -1;
}

static void parse_word(struct step *step, const char *word)
{
	if (word[0] == 'n' && word[1] < '9')
		step->node = word[1] - '0';
	else if (word[0] == 'h')
		step->handle = word[1] - '0';
	else if (word[0] == '\'')
		step->text = memcpy(step->text_buf, word + 1, strlen(word) - 2);
	else if (strcmp(word, "nobody") == 0)
		step->pid = 0;
	else if (word[0] >= '0' && word[0] <= '9')
		step->pid = atoi(word);
	else if (strcmp(word, "by") != 0)
		step->wanted = find_word(word);
}

static void parse(struct step *step, const char *text)
{
	char copy[80];
	char *rest = copy;
	char *word;

	*step = (struct step){ .wanted = -1, .pid = 100 };
	snprintf(copy, sizeof(copy), "%s", text);
	word = strsep(&rest, " ");
	step->refused = strncmp(word, "refuse-", 7) == 0;
	snprintf(step->verb, sizeof(step->verb), "%s",
		 word + (step->refused ? 7 : 0));
	while ((word = strsep(&rest, " ")))
		parse_word(step, word);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_kill(pid_t pid, int number);

/* A story takes no time, on however busy a machine: see looks.h. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	(void)clock;
	*ret = (struct timespec){ .tv_sec = 5 };
	return 0;
}

/* Every caller of the stories lives. */
int __wrap_kill(pid_t pid, int number)
{
	(void)pid;
	(void)number;
	return 0;
}

static struct kvpfs_node *look_up(struct world *w, pid_t pid)
{
	struct kvp_item item = { check_bytes(w->key), w->stored, 7 };
	struct kvpfs_node *node = kvpfs_versions_lookup(&w->versions, &item,
							pid);

	CU_ASSERT_PTR_NOT_NULL_FATAL(node);
	node->inode.lookups++;
	return node;
}

/* What the file of NODE has now. */
static struct kvp_value *value_now(const struct world *w,
				   const struct kvpfs_node *node)
{
	return node->file->unlinked ? node->file->unlinked : w->stored;
}

static bool do_lookup(struct world *w, const struct step *s)
{
	struct kvpfs_node *node = look_up(w, s->pid);

	if (strcmp(s->verb, "same") == 0)
		return node == w->nodes[s->node];
	for (size_t i = 0; i < SLOTS; i++)
		CU_ASSERT_PTR_NOT_EQUAL(node, w->nodes[i]);
	w->nodes[s->node] = node;
	return is_text(node->value, s->text) && (int)node->kind == s->wanted &&
	       node->inode.ops == &no_ops && node->file->id == 7;
}

static bool do_read(struct world *w, const struct step *s)
{
	struct kvpfs_node *node = w->nodes[s->node];
	struct kvpfs_handle *handle = &w->handles[s->handle];
	struct kvp_value *value = value_now(w, node);
	enum kvpfs_caching caching;
	int r = kvpfs_node_admit_reader(node, value ? value : node->value,
					s->pid, handle, &caching);

	if (s->refused)
		return r == -ESTALE;
	return r == 0 && (int)caching == s->wanted && !handle->writes &&
	       is_text(kvpfs_handle_value(handle), s->text);
}

static bool do_write(struct world *w, const struct step *s)
{
	struct kvpfs_node *node = w->nodes[s->node];
	struct kvpfs_handle *handle = &w->handles[s->handle];
	int r = strcmp(s->verb, "empty") == 0
			? kvpfs_node_admit_emptier(node, s->pid)
			: 0;

	if (r == 0)
		r = kvpfs_node_admit_writer(node, value_now(w, node), s->pid,
					    handle);
	if (s->refused)
		return r == -ESTALE;
	if (r == 0 && strcmp(s->verb, "create") == 0)
		kvp_writer_begin(&handle->writer, NULL);
	return r == 0 && handle->writes;
}

static bool do_cut(struct world *w, const struct step *s)
{
	struct kvpfs_node *node = w->nodes[s->node];
	int r = kvpfs_node_admit_cut(node, s->pid);

	if (s->refused)
		return r == -ESTALE;
	set_stored(w, s->text);
	kvpfs_node_cut(node, s->pid);
	kvpfs_node_stored(node, w->stored);
	return r == 0 && node->kind == KVPFS_NODE_RETIRED;
}

static bool do_may_cut(struct world *w, const struct step *s)
{
	return kvpfs_node_admit_cut(w->nodes[s->node], s->pid) == 0;
}

static bool do_retire(struct world *w, const struct step *s)
{
	kvpfs_node_retire(w->nodes[s->node]);
	return true;
}

static bool do_store(struct world *w, const struct step *s)
{
	struct kvpfs_handle *handle = &w->handles[s->handle];
	struct kvp_value *value = new_value(s->text);

	if (!handle->node->file->unlinked)
		kvp_value_set(&w->stored, value);
	handle->writer.state = KVP_WRITER_CLEAN;
	kvpfs_node_stored(handle->node, value);
	kvp_value_unref(value);
	return true;
}

static bool do_unlink(struct world *w, const struct step *s)
{
	struct kvpfs_file *file = kvpfs_versions_find(&w->versions,
						      check_bytes(w->key));

	(void)s;
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	kvpfs_file_unlink(file, w->stored);
	set_stored(w, NULL);
	return !kvpfs_versions_find(&w->versions, check_bytes(w->key));
}

static bool do_rename(struct world *w, const struct step *s)
{
	struct kvpfs_file *file = kvpfs_versions_find(&w->versions,
						      check_bytes(w->key));

	kvpfs_versions_rename(&w->versions, check_bytes(w->key),
			      check_bytes(s->text));
	if (strcmp(w->key, s->text) != 0)
		CU_ASSERT_PTR_NULL(
			kvpfs_versions_find(&w->versions, check_bytes(w->key)));
	snprintf(w->key, sizeof(w->key), "%s", s->text);
	return kvpfs_versions_find(&w->versions, check_bytes(s->text)) == file;
}

static bool do_show(struct world *w, const struct step *s)
{
	struct kvpfs_node *node = w->nodes[s->node];
	bool ok = is_text(kvpfs_node_show(node, value_now(w, node)), s->text);

	return ok && (int)node->kind == s->wanted;
}

static void forget(struct world *w, int node)
{
	kvpfs_node_forget(w->nodes[node]);
	w->nodes[node] = NULL;
}

static void close_handle(struct world *w, int slot)
{
	kvpfs_handle_release(&w->handles[slot]);
	w->handles[slot] = (struct kvpfs_handle){ .node = NULL };
}

static bool do_keyless(struct world *w, const struct step *s)
{
	int r = kvpfs_node_admit_without_key(w->nodes[s->node], s->pid);

	return r == (s->refused ? -ESTALE : 0);
}

static bool do_outside(struct world *w, const struct step *s)
{
	set_stored(w, s->text);
	return true;
}

static bool do_see(struct world *w, const struct step *s)
{
	struct kvpfs_handle *handle = &w->handles[s->handle];
	struct kvp_value *value = value_now(w, handle->node);

	if (strcmp(s->verb, "follow") == 0 && value)
		kvpfs_handle_follow(handle, value);
	return is_text(kvpfs_handle_value(handle), s->text);
}

static bool do_close(struct world *w, const struct step *s)
{
	close_handle(w, s->handle);
	return true;
}

static bool do_forget(struct world *w, const struct step *s)
{
	forget(w, s->node);
	return true;
}

/* Whether it gives what it must. */
static bool do_step(struct world *w, const char *text)
{
	static const struct {
		const char *verb;
		bool (*run)(struct world *w, const struct step *step);
	} verbs[] = {
		{ "lookup", do_lookup },   { "same", do_lookup },
		{ "read", do_read },	   { "write", do_write },
		{ "create", do_write },	   { "cut", do_cut },
		{ "may-cut", do_may_cut }, { "retire", do_retire },
		{ "keyless", do_keyless }, { "store", do_store },
		{ "outside", do_outside }, { "show", do_show },
		{ "see", do_see },	   { "follow", do_see },
		{ "close", do_close },	   { "forget", do_forget },
		{ "unlink", do_unlink },   { "rename", do_rename },
		{ "empty", do_write },
	};
	struct step step;

	parse(&step, text);
	for (size_t i = 0; i < COUNT(verbs); i++)
		if (strcmp(step.verb, verbs[i].verb) == 0)
			return verbs[i].run(w, &step);
	return false;
}

/* STEPS, each of which ends with a semicolon. */
static void do_steps(struct world *w, const char *name, const char *steps)
{
	char text[80];
	char row[160];

	for (; *steps; steps += strlen(text) + 1) {
		steps += strspn(steps, " ");
		snprintf(text, sizeof(text), "%.*s", (int)strcspn(steps, ";"),
			 steps);
		snprintf(row, sizeof(row), "%s: %s", name, text);
		CHECK_ROW(row, do_step(w, text));
	}
}

static void open_world(struct world *w, const char *text)
{
	*w = (struct world){ .key = "key" };
	kvpfs_versions_init(&w->versions, NULL, &no_ops);
	set_stored(w, text);
}

static void close_world(struct world *w)
{
	for (int i = 0; i < SLOTS; i++)
		if (w->handles[i].node)
			close_handle(w, i);
	kvpfs_versions_release(&w->versions);
	/* nobody has kept a reference to a value */
	CU_ASSERT_TRUE(!w->stored || w->stored->refs == 1);
	kvp_value_unref(w->stored);
}

/* What happens in a world with one value, and what it must give. */
static const struct {
	const char *name;
	const char *value;
	const char *steps;
} stories[] = {
	{ "lookups share a node while nothing changes", "a",
	  "lookup n0 'a' current; same n0 by 200; read n0 h0 'a' drop;"
	  "same n0 by 200; read n0 h1 'a' keep by 200; close h0; close h1;"
	  "same n0;" },
	{ "changed value gets a new node", "a",
	  "lookup n0 'a' current; read n0 h0 'a' drop; outside 'b';"
	  "lookup n1 'b' current; show n0 'a' outdated;"
	  "read n1 h1 'b' drop; see h0 'a'; close h0; show n0 'b' outdated;"
	  "forget n0; same n1;" },
	{ "node that is written is not found", "a",
	  "lookup n0 'a' current; write n0 h0;"
	  "lookup n1 'a' current by 200; store h0 'b';"
	  "show n0 'b' outdated; close h0; lookup n2 'b' current;" },
	{ "node stays current when it was written, without its old pages", "a",
	  "lookup n0 'a' current; read n0 h0 'a' drop; close h0; write n0 h0;"
	  "store h0 'b'; close h0; same n0 by 200; read n0 h0 'b' drop;" },
	{ "reader of an outdated node looks up once more", "a",
	  "lookup n0 'a' current; read n0 h0 'a' drop by 200; outside 'b';"
	  "refuse-read n0; lookup n1 'b' private; lookup n2 'b' private;"
	  "outside 'c';"
	  /* what it looked up is new enough */
	  "read n2 h1 'b' drop; show n2 'b' outdated;"
	  /* that was all: it shares again */
	  "lookup n3 'c' current; same n3;" },
	{ "reader makes way for a writer", "a",
	  "lookup n0 'a' current; write n0 h0 by 200; refuse-read n0;"
	  "lookup n1 'a' private; read n1 h1 'a' drop; store h0 'b';"
	  "see h1 'a'; show n1 'a' outdated;" },
	{ "writer makes way for readers", "a",
	  "lookup n0 'a' current; read n0 h0 'a' drop by 200;"
	  "refuse-write n0; lookup n1 'a' private; write n1 h1;"
	  "store h1 'b'; show n0 'a' current; show n1 'b' outdated;"
	  "lookup n2 'b' current;" },
	{ "who empties makes way for those who have just looked", "a",
	  "lookup n0 'a' current by 200; same n0; refuse-empty n0;"
	  "lookup n1 'a' private; same n0 by 200; empty n1 h1;"
	  "store h1 'b'; show n1 'b' outdated; close h1;"
	  "lookup n2 'b' current; same n2 by 200; refuse-empty n2;"
	  "lookup n3 'b' private; empty n3 h3;" },
	{ "who empties what nobody else has seen makes way for nobody", "a",
	  "lookup n0 'a' current; same n0; empty n0 h0; store h0 'b';" },
	{ "who only writes makes way for nobody who looks", "a",
	  "lookup n0 'a' current by 200; same n0; write n0 h0;" },
	{ "emptying without a name is served", "a",
	  "lookup n0 'a' current by 200; refuse-empty n0; empty n0 h0;" },
	{ "truncate makes way for readers", "abc",
	  "lookup n0 'abc' current; read n0 h0 'abc' drop by 200;"
	  "refuse-cut n0; lookup n1 'abc' private; cut n1 'a';"
	  "see h0 'abc'; lookup n2 'a' current;" },
	{ "truncated node is not for the page cache", "abc",
	  "lookup n0 'abc' current; cut n0 'a'; refuse-read n0;"
	  "read n0 h0 'a' none; outside 'ab'; show n0 'ab' retired;"
	  "outside 'a'; lookup n1 'a' current; read n1 h1 'a' drop;" },
	{ "opening without a name is served (idle)", "a",
	  "lookup n0 'a' current; outside 'b'; refuse-read n0;"
	  "read n0 h0 'b' lost; show n0 'b' outdated;" },
	{ "opening without a name is served (read)", "a",
	  "lookup n0 'a' current; read n0 h0 'a' drop by 200; outside 'b';"
	  "refuse-read n0; read n0 h1 'b' none; see h0 'a';"
	  "show n0 'a' current;"
	  /* it has been served: the next time it is asked again */
	  "refuse-read n0;" },
	{ "opening without a name is served (written)", "a",
	  "lookup n0 'a' current; read n0 h0 'a' drop by 200;"
	  "refuse-write n0; write n0 h1; store h1 'b'; see h0 'a';"
	  "refuse-cut n0; cut n0 'c'; see h0 'a'; refuse-cut n0;" },
	{ "who waits for a lock is admitted again", "a",
	  "lookup n0 'a' current; read n0 h0 'a' drop by 200;"
	  "refuse-cut n0; may-cut n0; may-cut n0; cut n0 '';"
	  "refuse-cut n0;" },
	{ "key that is gone is looked up again", "a",
	  "lookup n0 'a' current; outside; refuse-keyless n0; keyless n0;"
	  "read n0 h1 'a' drop; close h1; keyless n0 by nobody; outside 'b';"
	  "lookup n1 'b' current;"
	  "read n1 h0 'b' drop; outside;"
	  /* its handles go on */
	  "keyless n1 by 200; show n1 'b' current;" },
	{ "key that is gone is looked up again once", "a",
	  "lookup n0 'a' current; outside; refuse-keyless n0; retire n0;"
	  "keyless n0; read n0 h0 'a' none;" },
	{ "callers without number get nodes of their own", "a",
	  "lookup n0 'a' private by nobody;"
	  "lookup n1 'a' private by nobody; lookup n2 'a' current;"
	  "same n2 by 200; write n0 h0 by nobody; store h0 'b';"
	  "read n1 h1 'a' drop by nobody; show n1 'a' outdated;" },
	{ "callers without number are never refused", "a",
	  "lookup n0 'a' current; read n0 h0 'a' drop; outside 'b';"
	  "read n0 h1 'b' none by nobody; write n0 h2 by nobody;"
	  "see h0 'a'; see h1 'b'; cut n0 '' by nobody;" },
	{ "private node shows what is stored until it is opened", "a",
	  "lookup n0 'a' private by nobody; outside 'bcd';"
	  "show n0 'bcd' private; outside 'e';"
	  "read n0 h0 'bcd' drop by nobody; show n0 'bcd' outdated;"
	  /* again, without a lookup */
	  "close h0; read n0 h0 'e' lost by nobody;" },
	{ "readers follow a value that grows", "a",
	  "lookup n0 'a' current; read n0 h0 'a' drop; outside 'ab';"
	  "see h0 'a';"
	  /* lookups don't share it any more: their order is not known */
	  "show n0 'ab' outdated; see h0 'ab'; lookup n1 'ab' current;"
	  "outside 'abc'; follow h0 'abc'; outside 'ab'; follow h0 'abc';"
	  "outside 'xbcd'; follow h0 'abc'; show n0 'abc' outdated;"
	  "outside; show n0 'abc' outdated; outside 'abcd';"
	  "show n0 'abcd' outdated;" },
	{ "reader with a value of its own follows", "a",
	  "lookup n0 'a' current; read n0 h0 'a' drop; outside 'b';"
	  "read n0 h1 'b' none by nobody; outside 'bc'; see h1 'b';"
	  "follow h1 'bc'; follow h0 'a';" },
	{ "reader may join when the value grew", "a",
	  "lookup n0 'a' current; read n0 h0 'a' drop; outside 'ab';"
	  "read n0 h1 'ab' lost by nobody; see h0 'ab'; close h0;"
	  "show n0 'ab' outdated;" },
	{ "unlinked file goes on in memory", "a",
	  "lookup n0 'a' current; write n0 h0; lookup n1 'a' current;"
	  "write n1 h1; unlink; store h0 'b'; show n0 'b' outdated;"
	  "show n1 'b' current; outside 'another';"
	  "lookup n2 'another' current; show n1 'b' current; close h0;"
	  "close h1; read n1 h0 'b' drop; forget n0;" },
	{ "file keeps its nodes when it is renamed", "a",
	  "lookup n0 'a' current; read n0 h0 'a' drop; rename 'other';"
	  "same n0; rename 'other'; same n0; close h0; forget n0;"
	  "lookup n0 'a' current;" },
};

static void each_story_goes_as_told(void)
{
	for (size_t i = 0; i < COUNT(stories); i++) {
		struct world w;

		open_world(&w, stories[i].value);
		do_steps(&w, stories[i].name, stories[i].steps);
		close_world(&w);
	}
}

/* Makes W's first node unfit for readers, and has PID refused there. */
static void check_refused(struct world *w, pid_t pid)
{
	char step[40];

	snprintf(step, sizeof(step), "refuse-read n0 h1 by %d", (int)pid);
	CU_ASSERT_TRUE(do_step(w, step));
}

/* It comes back. */
static void check_served(struct world *w, pid_t pid)
{
	char steps[120];

	snprintf(steps, sizeof(steps),
		 "lookup n2 'b' private by %d;read n2 h2 'b' drop by %d;"
		 "close h2;forget n2;",
		 (int)pid, (int)pid);
	do_steps(w, "comes back", steps);
}

static bool gets_private_node(struct world *w, pid_t pid)
{
	struct kvpfs_node *node = look_up(w, pid);
	bool private = node->kind == KVPFS_NODE_PRIVATE;

	if (private)
		kvpfs_node_forget(node);
	return private;
}

static void open_contended_world(struct world *w)
{
	open_world(w, "a");
	do_steps(w, "before",
		 "lookup n0 'a' current;read n0 h0 'a' drop;"
		 "outside 'b';lookup n1 'b' current;");
}

static void nobody_is_refused_twice_however_many_there_are(void)
{
	const pid_t first = 1000;
	struct world w;
	pid_t pid;

	open_contended_world(&w);
	for (pid = first; pid < first + KVPFS_REFUSALS_MAX; pid++)
		check_refused(&w, pid);
	/* there is no room for more: all are served, with nodes of their own */
	CU_ASSERT_TRUE(do_step(&w, "read n0 h1 'b' none by 10"));
	CU_ASSERT_TRUE(gets_private_node(&w, 10));
	for (pid = first; pid < first + KVPFS_REFUSALS_MAX; pid++)
		check_served(&w, pid);
	CU_ASSERT_EQUAL(w.versions.refusals.count, 0);
	CU_ASSERT_FALSE(gets_private_node(&w, 10));
	close_world(&w);
}

/* Names */

static struct kvpfs_node *look_up_key(struct world *w, const char *key,
				      uint64_t id)
{
	struct kvp_item item = { check_bytes(key), w->stored, id };

	return kvpfs_versions_lookup(&w->versions, &item, 100);
}

static void exchanged_files_have_each_others_keys(void)
{
	struct kvpfs_node *a;
	struct kvpfs_node *b;
	struct world w;

	open_world(&w, "v");
	a = look_up_key(&w, "a", 1);
	b = look_up_key(&w, "b", 2);
	kvpfs_versions_rename(&w.versions, check_bytes("a"), check_bytes("b"));
	CU_ASSERT_PTR_EQUAL(look_up_key(&w, "a", 2), b);
	CU_ASSERT_PTR_EQUAL(look_up_key(&w, "b", 1), a);
	CU_ASSERT_FALSE(w.versions.other_ids);
	CHECK_BYTES_EQUAL(a->file->key, check_bytes("b"));
	look_up_key(&w, "b", 5);
	CU_ASSERT_TRUE(w.versions.other_ids);
	close_world(&w);
}

/* A file without memory for its new key has none. */
static void rename_without_memory_unlinks(void)
{
	struct kvpfs_node *node;
	struct world w;

	open_world(&w, "v");
	node = look_up_key(&w, "a", 1);
	fail_alloc_at(1);
	kvpfs_versions_rename(&w.versions, check_bytes("a"), check_bytes("b"));
	fail_alloc_end();
	CU_ASSERT_PTR_EQUAL(node->file->unlinked, w.stored);
	CU_ASSERT_PTR_NULL(kvpfs_versions_find(&w.versions, check_bytes("a")));
	CU_ASSERT_PTR_NULL(kvpfs_versions_find(&w.versions, check_bytes("b")));
	close_world(&w);
}

static void lookup_without_memory_leaves_nothing(void)
{
	struct world w;
	unsigned int n = 0;
	bool failed;

	open_world(&w, "v");
	do {
		fail_alloc_at(++n);
		failed = !look_up_key(&w, "a", 1);
		CU_ASSERT_EQUAL(fail_alloc_end(), failed);
		if (failed)
			CU_ASSERT_TRUE(TAILQ_EMPTY(&w.versions.files));
	} while (failed && n < 99);
	CU_ASSERT_TRUE(n > 2);
	close_world(&w);
}

/* Files in the making */

static int count(void *arg, const struct kvpfs_file *file)
{
	size_t *counter = arg;

	(void)file;
	++*counter;
	return 0;
}

static size_t count_created(const struct world *w)
{
	size_t counter = 0;

	CU_ASSERT_EQUAL(
		kvpfs_versions_each_created(&w->versions, count, &counter), 0);
	CU_ASSERT_EQUAL(kvpfs_versions_any_created(&w->versions), counter > 0);
	return counter;
}

static void file_is_being_created_until_something_is_stored(void)
{
	static const struct {
		const char *step;
		size_t created; /* files, afterwards */
	} rows[] = {
		{ "lookup n0 '' current", 0 },
		{ "create n0 h0", 1 },
		{ "lookup n1 '' current", 1 },
		{ "create n1 h1", 1 }, /* the same file */
		{ "read n1 h2 '' none by nobody", 1 },
		{ "close h0", 1 },
		{ "store h1 'v'", 0 },
		{ "create n0 h0", 1 },
		{ "unlink", 0 }, /* a file without a key is in no listing */
	};
	struct world w;

	open_world(&w, "");
	for (size_t i = 0; i < COUNT(rows); i++) {
		CHECK_ROW(rows[i].step, do_step(&w, rows[i].step));
		CHECK_ROW(rows[i].step, count_created(&w) == rows[i].created);
	}
	close_world(&w);
}

static void file_is_open_while_a_handle_is(void)
{
	struct world w;

	open_world(&w, "a");
	CU_ASSERT_TRUE(do_step(&w, "lookup n0 'a' current"));
	CU_ASSERT_FALSE(kvpfs_file_is_open(w.nodes[0]->file));
	CU_ASSERT_TRUE(do_step(&w, "write n0 h0"));
	CU_ASSERT_TRUE(kvpfs_file_is_open(w.nodes[0]->file));
	CU_ASSERT_PTR_EQUAL(kvpfs_node_find_writer(w.nodes[0], 100),
			    &w.handles[0]);
	CU_ASSERT_PTR_NULL(kvpfs_node_find_writer(w.nodes[0], 200));
	CU_ASSERT_FALSE(kvpfs_file_is_pending(w.nodes[0]->file));
	kvp_writer_begin(&w.handles[0].writer, w.nodes[0]->value);
	CU_ASSERT_TRUE(kvpfs_file_is_pending(w.nodes[0]->file));
	close_handle(&w, 0);
	CU_ASSERT_FALSE(kvpfs_file_is_pending(w.nodes[0]->file));
	CU_ASSERT_TRUE(do_step(&w, "read n0 h0 'a' drop"));
	CU_ASSERT_TRUE(kvpfs_file_is_open(w.nodes[0]->file));
	close_world(&w);
}

static const struct check_case cases[] = {
	CHECK_CASE(each_story_goes_as_told),
	CHECK_CASE(nobody_is_refused_twice_however_many_there_are),
	CHECK_CASE(exchanged_files_have_each_others_keys),
	CHECK_CASE(rename_without_memory_unlinks),
	CHECK_CASE(lookup_without_memory_leaves_nothing),
	CHECK_CASE(file_is_being_created_until_something_is_stored),
	CHECK_CASE(file_is_open_while_a_handle_is),
};

CHECK_MAIN("versions", cases)
