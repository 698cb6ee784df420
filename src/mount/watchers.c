/* SPDX-License-Identifier: MIT */
#include "watchers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "due.h"
#include "key_file.h"
#include "log.h"
#include "name.h"
#include "util.h"

/*
 * When an agent has ended another is started at once. But after so many in a row that
 * have done no errand, there is a pause before each.
 */
#define HASTY_STARTS 5
#define PAUSE_MS 1000

struct kvpfs_watchers {
	struct kvpfs_agent agent;
	struct kvpfs_due due;
	size_t turn;	  /* the pool that is looked at first */
	int failures;	  /* agents in a row that have done no errand */
	int64_t start_at; /* when to start another; 0: there is one */
	bool is_called;	  /* the agent was called since it has asked */
};

struct kvpfs_open kvpfs_agent_open;

/* The hidden name of NODE. */
static void name_node(const struct kvpfs_node *node, char name[32])
{
	snprintf(name, 32, "node-%llx", (unsigned long long)(uintptr_t)node);
}

/* Fills in RET for the agent. False: no file shows such a key, so DUE is done. */
static bool describe(const struct kvpfs *fs, struct kvpfs_due *due,
		     struct kvpfs_errand *ret)
{
	const char *directory = fs->root == &fs->top ? due->dir->name : ".";
	char name[KVP_NAME_MAX + 1];
	size_t len;

	ret->kind = due->kind;
	if (!due->change)
		name_node(due->node, name);
	else if (kvp_name_encode(kvpfs_change_key(due->change), name, &len) !=
		 0) {
		due->progress = KVPFS_DONE;
		return false;
	}
	snprintf(ret->directory, sizeof(ret->directory), "%s", directory);
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	ret->is_hidden = !due->change;
	return true;
}

static void send(const struct kvpfs_watchers *w,
		 const struct kvpfs_errand *errand)
{
	/* there is room: one call at most lies before an answer, and one behind it */
	(void)!write(w->agent.errands, errand, sizeof(*errand));
}

void kvpfs_watchers_answer(struct kvpfs *fs)
{
	struct kvpfs_watchers *w = fs->watchers;
	struct kvpfs_errand answer = { .kind = KVPFS_ERRAND_NONE };
	bool all = true;
	char question;

	if (!w || read(w->agent.questions, &question, 1) != 1)
		return;
	w->is_called = false;
	if (w->due.kind != KVPFS_ERRAND_NONE && w->due.progress == KVPFS_DONE)
		w->failures = 0;
	if (question == KVPFS_QUESTION_AGAIN)
		kvpfs_due_resume(&w->due);
	do {
		kvpfs_due_end(&w->due);
		kvpfs_due_find(fs, &w->turn, &w->due, &all);
	} while (w->due.kind != KVPFS_ERRAND_NONE &&
		 !describe(fs, &w->due, &answer));
	if (w->due.kind == KVPFS_ERRAND_NONE) {
		answer.kind = all ? KVPFS_ERRAND_NONE : KVPFS_ERRAND_LATER;
		w->failures = 0;
	}
	send(w, &answer);
}

bool kvpfs_watchers_are_told(const struct kvpfs *fs)
{
	return fs->watchers && fs->watchers->due.kind != KVPFS_ERRAND_NONE;
}

void kvpfs_watchers_wake(struct kvpfs *fs)
{
	bool urgent = false;

	for (size_t i = 0; i < fs->dir_count; i++) {
		urgent |= fs->dirs[i].told.urgent;
		fs->dirs[i].told.urgent = false;
	}
	if (!urgent || !fs->watchers || fs->watchers->is_called)
		return;
	fs->watchers->is_called = true;
	/* it has 1.3 KiB, so it is made for a call only, not for each request */
	send(fs->watchers, &(struct kvpfs_errand){ .kind = KVPFS_ERRAND_LOOK });
}

/* What the agent does on its errand */

/* Whether CALL's name is what the errand is about; if so, notes that it has begun. */
static bool is_meant(struct kvpfs_due *due, const struct kvpfs_call *call)
{
	char buf[KVP_NAME_MAX];
	char hidden[32];
	bool is_meant;
	size_t len;

	if (due->kind == KVPFS_ERRAND_NONE || due->progress == KVPFS_DONE)
		return false;
	if (due->change) {
		is_meant = call->inode == &due->dir->root &&
			   kvp_name_decode(call->name, buf, &len) == 0 &&
			   kvp_bytes_equal(kvpfs_change_key(due->change),
					   (struct kvp_bytes){ buf, len });
	} else {
		name_node(due->node, hidden);
		is_meant = call->inode == due->dir->control &&
			   strcmp(call->name, hidden) == 0;
	}
	if (is_meant)
		due->progress = KVPFS_BEGUN;
	return is_meant;
}

/* The directory on the way to DUE's name that CALL looks up; or NULL. */
static struct kvpfs_inode *find_directory(struct kvpfs *fs,
					  const struct kvpfs_call *call)
{
	struct kvpfs_dir *dir = call->inode->dir;

	if (dir)
		return call->inode == &dir->root &&
				       strcmp(call->name, KVP_NAME_RESERVED) ==
					       0
			       ? dir->control
			       : NULL;
	for (size_t i = 0; i < fs->dir_count; i++)
		if (strcmp(call->name, fs->dirs[i].name) == 0)
			return &fs->dirs[i].root;
	return NULL;
}

static int run_lookup(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_inode *directory = find_directory(fs, call);
	struct kvpfs_due *due = &fs->watchers->due;
	int r;

	if (directory) {
		kvpfs_reply_inode(fs, call->req, directory);
		return 0;
	}
	if (!is_meant(due, call) || due->kind == KVPFS_ERRAND_MAKE)
		return KVP_ABSENT;
	r = kvpfs_due_find_node(fs, due);
	if (r == 0)
		kvpfs_reply_inode(fs, call->req, &due->node->inode);
	return r;
}

static int run_getattr(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct stat st;

	call->inode->ops->fill(fs, call->inode, &st);
	fuse_reply_attr(call->req, &st, 0);
	return 0;
}

static void set_handle(struct kvpfs_call *call)
{
	call->fi.fh = (uintptr_t)&kvpfs_agent_open;
	call->fi.direct_io = 1;
}

static int run_create(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_due *due = &fs->watchers->due;
	struct fuse_entry_param entry;
	int r;

	if (!is_meant(due, call) || due->kind != KVPFS_ERRAND_MAKE)
		return KVP_ABSENT;
	r = kvpfs_due_find_node(fs, due);
	if (r)
		return r;
	kvpfs_fill_entry(fs, &due->node->inode, &entry);
	set_handle(call);
	if (fuse_reply_create(call->req, &entry, &call->fi) != 0)
		kvpfs_inode_forget(&due->node->inode, 1);
	return 0;
}

static int run_open(struct kvpfs *fs, struct kvpfs_call *call)
{
	(void)fs;
	set_handle(call);
	fuse_reply_open(call->req, &call->fi);
	return 0;
}

/* The kernel tells of a write: watches on the node know the present value now. */
static int run_allocate(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_due *due = &fs->watchers->due;

	if (due->kind != KVPFS_ERRAND_NONE && due->node &&
	    &due->node->inode == call->inode) {
		kvpfs_due_tell(due);
	}
	fuse_reply_err(call->req, 0);
	return 0;
}

static int run_unlink(struct kvpfs *fs, struct kvpfs_call *call)
{
	struct kvpfs_due *due = &fs->watchers->due;

	if (!is_meant(due, call) || due->kind != KVPFS_ERRAND_REMOVE ||
	    !due->node)
		return KVP_ABSENT;
	kvpfs_due_tell(due);
	kvpfs_node_retire(due->node);
	fuse_reply_err(call->req, 0);
	return 0;
}

static int run_done(struct kvpfs *fs, struct kvpfs_call *call)
{
	(void)fs;
	fuse_reply_err(call->req, 0);
	return 0;
}

const struct kvpfs_inode_ops kvpfs_agent_ops = {
	.lookup = run_lookup,
	.getattr = run_getattr,
	.create = run_create,
	.unlink = run_unlink,
	.open = run_open,
	.allocate = run_allocate,
	.flush = run_done,
	.release = run_done,
};

/* The agent */

/*
 * In the agent. What it has of the pools' content is not shared any more when the program
 * changes it, so it would be there twice.
 */
static void forget_pools(void *arg)
{
	struct kvpfs *fs = arg;

	for (size_t i = 0; i < fs->dir_count; i++) {
		kvpfs_told_end(&fs->dirs[i].told);
		kvpfs_versions_release(&fs->dirs[i].versions);
		kvp_store_abandon(fs->dirs[i].store);
	}
	kvp_trim_memory();
}

/* Starts an agent, or sets the time to try again. */
static void start_agent(struct kvpfs *fs)
{
	struct kvpfs_watchers *w = fs->watchers;
	const char *pools[KVPFS_MAX_DIRS];
	const struct kvpfs_agent_config config = {
		.mountpoint = fs->options->mountpoint,
		.device = fs->device,
		.pools = pools,
		.count = fs->dir_count,
		.forget = forget_pools,
		.arg = fs,
	};
	int r;

	for (size_t i = 0; i < fs->dir_count; i++)
		pools[i] = kvp_store_path(fs->dirs[i].store);
	w->is_called = false;
	r = kvpfs_agent_start(&w->agent, &config);
	w->start_at = r ? kvp_now_ms() + PAUSE_MS : 0;
	fs->agent = r ? 0 : w->agent.pid;
	if (r)
		kvpfs_log(LOG_WARNING,
			  "cannot start the process that tells watchers of "
			  "changes by others: %s",
			  strerror(-r));
}

void kvpfs_watchers_prepare(struct kvpfs *fs)
{
	if (!fs->options->watchers || fs->options->read_only)
		return;
	fs->watchers = calloc(1, sizeof(*fs->watchers));
	if (!fs->watchers) {
		kvpfs_log(LOG_WARNING,
			  "cannot tell watchers of changes by others: %s",
			  strerror(ENOMEM));
		return;
	}
	fs->watchers->agent.errands = -1;
	fs->watchers->agent.questions = -1;
	/* if a pool is locked now, it is read when the agent asks */
	for (size_t i = 0; i < fs->dir_count; i++)
		(void)!kvpfs_told_begin(&fs->dirs[i].told, fs->dirs[i].store);
}

void kvpfs_watchers_start(struct kvpfs *fs)
{
	if (fs->watchers)
		start_agent(fs);
}

void kvpfs_watchers_stop(struct kvpfs *fs)
{
	/* do not wait: it may need an answer, or the end of the session, to end */
	if (fs->agent > 0)
		kill(fs->agent, SIGKILL);
}

void kvpfs_watchers_release(struct kvpfs *fs)
{
	if (!fs->watchers)
		return;
	kvpfs_agent_release(&fs->watchers->agent);
	for (size_t i = 0; i < fs->dir_count; i++)
		kvpfs_told_end(&fs->dirs[i].told);
	free(fs->watchers);
	fs->watchers = NULL;
	fs->agent = 0;
}

/* The agent has ended. */
static void lose_agent(struct kvpfs *fs)
{
	struct kvpfs_watchers *w = fs->watchers;
	bool is_hasty = ++w->failures <= HASTY_STARTS;

	kvpfs_agent_release(&w->agent);
	fs->agent = 0;
	kvpfs_due_resume(&w->due);
	w->start_at = kvp_now_ms() + (is_hasty ? 0 : PAUSE_MS);
	kvpfs_log(LOG_WARNING,
		  "the process that tells watchers of changes by others has "
		  "ended; another is started");
}

void kvpfs_watchers_check(struct kvpfs *fs)
{
	if (!fs->watchers)
		return;
	if (fs->agent > 0 && waitpid(fs->agent, NULL, WNOHANG) == fs->agent)
		lose_agent(fs);
	if (kvpfs_watchers_pause(fs) == 0)
		start_agent(fs);
}

int kvpfs_watchers_pause(const struct kvpfs *fs)
{
	int64_t left;

	if (!fs->watchers || fs->watchers->start_at == 0)
		return -1;
	left = fs->watchers->start_at - kvp_now_ms();
	return left > 0 ? (int)left : 0;
}
