/* SPDX-License-Identifier: MIT */
#include "kernel.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "name.h"
#include "util.h"

/* All that a kernel may be able to, but no splice(2). */
#define SPLICELESS (0x3fffffff & ~0x380)

struct kernel k;

/* What others do */

static bool toggle_lock(uint32_t unused)
{
	(void)unused;
	if (k.locker >= 0) {
		k.locker = kvp_close(k.locker);
		return false;
	}
	k.locker = open(k.path, O_RDWR | O_CLOEXEC);
	if (k.locker >= 0 && flock(k.locker, LOCK_EX | LOCK_NB) != 0)
		k.locker = kvp_close(k.locker);
	return false;
}

static void put_record(int fd, off_t at)
{
	struct kvp_record record;
	char key[KVP_KEY_SIZE];
	char value[KVP_VALUE_SIZE];

	memset(&record, '~', sizeof(record)); /* noise */
	memcpy(record.key, key,
	       fuzz_string(&k.input, key, sizeof(key) - 1).len);
	memcpy(record.value, value,
	       fuzz_string(&k.input, value, sizeof(value) - 1).len);
	record.key[strnlen(key, 3)] = '\0';
	must(pwrite(fd, &record, sizeof(record), at) == sizeof(record));
}

static void change_pool(void)
{
	unsigned int kind = fuzz_below(&k.input, 6);
	char other[140];
	struct stat st;
	int fd;

	k.outsider = true;
	snprintf(other, sizeof(other), "%s.new", k.path);
	if (kind == 0) {
		unlink(k.path);
		return;
	}
	fd = open(kind == 1 ? other : k.path, O_RDWR | O_CREAT, 0600);
	must(fd >= 0 && fstat(fd, &st) == 0);
	if (kind == 2)
		must(ftruncate(fd, fuzz_byte(&k.input) * 40) == 0);
	else if (st.st_size < 64 * KVP_RECORD_SIZE)
		put_record(fd, kind == 3 ? st.st_size : 0);
	close(fd);
	if (kind == 1)
		must(rename(other, k.path) == 0);
}

static void pause_a_little(void)
{
	if (k.pauses++ < 3)
		usleep(1100);
}

/* Choosing */

struct node *find_node(uint64_t id)
{
	for (size_t i = 0; i < COUNT(k.nodes); i++)
		if (k.nodes[i].id == id)
			return &k.nodes[i];
	return NULL;
}

static bool is_dir(const struct node *node)
{
	return node->kind <= CONTROL;
}

/* One of those that the kernel knows; NULL: not of this sort. */
static struct node *take_node(bool dir)
{
	size_t start = fuzz_byte(&k.input);

	for (size_t i = 0; i < COUNT(k.nodes); i++) {
		struct node *node = &k.nodes[(start + i) % COUNT(k.nodes)];

		if (node->id && is_dir(node) == dir)
			return node;
	}
	return NULL;
}

static struct handle *take_handle(bool dir)
{
	size_t start = fuzz_byte(&k.input);

	for (size_t i = 0; i < COUNT(k.handles); i++) {
		struct handle *h = &k.handles[(start + i) % COUNT(k.handles)];

		if (h->open && !h->closing && is_dir(h->node) == dir)
			return h;
	}
	return NULL;
}

static struct request *free_request(void)
{
	for (size_t i = 0; i < COUNT(k.requests); i++)
		if (!k.requests[i].unique)
			return &k.requests[i];
	return NULL;
}

/* Whether what all that is under way may bring has room. */
static bool has_room(void)
{
	size_t nodes = 0;
	size_t handles = 0;
	size_t requests = 0;

	for (size_t i = 0; i < COUNT(k.nodes); i++)
		nodes += k.nodes[i].id != 0;
	for (size_t i = 0; i < COUNT(k.handles); i++)
		handles += k.handles[i].open;
	for (size_t i = 0; i < COUNT(k.requests); i++)
		requests += k.requests[i].unique != 0;
	return nodes + requests < COUNT(k.nodes) &&
	       handles + requests < COUNT(k.handles);
}

/* Making requests */

static void put(const void *data, size_t size)
{
	memcpy(k.out + k.len, data, size);
	k.len += size;
}

static struct fuse_in_header *header(void)
{
	return (struct fuse_in_header *)k.out;
}

static void begin(uint32_t opcode, uint64_t node, uint64_t unique)
{
	struct fuse_in_header in = {
		.opcode = opcode,
		.unique = unique,
		.nodeid = node,
		.pid = 1 + fuzz_below(&k.input, 3),
	};

	k.len = 0;
	put(&in, sizeof(in));
}

/* A request that is answered. */
static struct request *ask(uint32_t opcode, struct node *node,
			   struct handle *handle)
{
	struct request *request = free_request();

	k.last_unique += 2;
	*request = (struct request){ .unique = k.last_unique,
				     .opcode = opcode,
				     .node = node,
				     .handle = handle };
	if (node)
		node->uses++;
	if (handle)
		handle->uses++;
	begin(opcode, node ? node->id : 0, k.last_unique);
	return request;
}

/* As the kernel has names: with no '/', and neither "." nor "..". */
static void put_name(enum kind parent, enum kind *ret_kind)
{
	static const char *const files[] = { "records", "entries", "pool",
					     "status", "events" };
	static const char *const keys[] = {
		"a",	    "b",    "c",    "d",   "a",	   ".kvpfs", "e",
		"f",	    "%2F",  "a%",   "%41", "...",  "%2E",    "%00",
		"\xc3\xa9", "\xff", ".new", "g",   "x\ny", "h",
	};
	unsigned int n = fuzz_byte(&k.input);
	char text[KVP_NAME_MAX + 1] = "";
	struct kvp_bytes name;

	if (parent == TOP)
		strcpy(text, n % 2 ? "guest" : "auto");
	else if (parent == CONTROL)
		strcpy(text, files[n % COUNT(files)]);
	else if (n < 240)
		strcpy(text, keys[n % COUNT(keys)]);
	if (!*text) {
		name = fuzz_string(&k.input, text, KVP_NAME_MAX);
		text[name.len] = '\0';
		for (char *c = text; *c; c++)
			*c = *c == '/' ? '_' : *c;
	}
	if (!*text || !strcmp(text, ".") || !strcmp(text, ".."))
		strcpy(text, "z");
	put(text, strlen(text) + 1);
	if (parent == POOL)
		*ret_kind = strcmp(text, ".kvpfs") ? KEY : CONTROL;
	else
		*ret_kind = parent == TOP ? POOL : CONTROL_FILE;
}

static int take_flags(void)
{
	static const int flags[] = { O_RDONLY,
				     O_RDONLY,
				     O_RDONLY | O_NONBLOCK,
				     O_WRONLY,
				     O_RDWR,
				     O_WRONLY | O_TRUNC,
				     O_RDWR | O_TRUNC,
				     O_WRONLY | O_APPEND,
				     O_RDWR | O_APPEND,
				     O_RDONLY | O_TRUNC };

	return flags[fuzz_byte(&k.input) % COUNT(flags)];
}

static bool send_by_name(uint32_t opcode)
{
	struct node *dir = take_node(true);
	struct request *request;

	if (!has_room())
		return false;
	request = ask(opcode, dir, NULL);
	if (opcode == FUSE_CREATE) {
		struct fuse_create_in in = { .mode = S_IFREG | 0600 };

		request->flags = take_flags();
		in.flags = (uint32_t)request->flags | O_CREAT |
			   (fuzz_byte(&k.input) & 1 ? O_EXCL : 0);
		put(&in, sizeof(in));
	} else if (opcode == FUSE_MKNOD) {
		struct fuse_mknod_in in = {
			.mode = fuzz_byte(&k.input) % 8 ? S_IFREG : S_IFIFO,
		};

		put(&in, sizeof(in));
	}
	put_name(dir->kind, &request->kind);
	return true;
}

static bool send_rename(uint32_t unused)
{
	struct node *dir = take_node(true);
	struct node *to = fuzz_byte(&k.input) % 8 ? dir : take_node(true);
	struct fuse_rename2_in in = { .newdir = to->id,
				      .flags = fuzz_below(&k.input, 4) };
	enum kind kind;

	(void)unused;
	ask(FUSE_RENAME2, dir, NULL);
	put(&in, sizeof(in));
	put_name(dir->kind, &kind);
	put_name(to->kind, &kind);
	return true;
}

static bool send_open(uint32_t dir)
{
	struct node *node = take_node(dir);
	struct fuse_open_in in = { 0 };
	struct request *request;

	if (!node || !has_room())
		return false;
	request = ask(dir ? FUSE_OPENDIR : FUSE_OPEN, node, NULL);
	request->flags = dir ? O_RDONLY : take_flags();
	in.flags = (uint32_t)request->flags;
	put(&in, sizeof(in));
	return true;
}

static bool send_read(uint32_t dir)
{
	struct handle *h = take_handle(dir);
	struct fuse_read_in in = { 0 };
	struct request *request;

	if (!h || (h->flags & O_ACCMODE) == O_WRONLY)
		return false;
	request = ask(dir ? FUSE_READDIR : FUSE_READ, h->node, h);
	in.fh = h->fh;
	in.flags = (uint32_t)h->flags;
	in.size = 4096;
	if (fuzz_byte(&k.input) & 1) {
		in.offset = fuzz_byte(&k.input);
		in.size = fuzz_byte(&k.input);
	}
	request->offset = in.offset;
	request->size = in.size;
	put(&in, sizeof(in));
	return true;
}

static bool send_write(uint32_t unused)
{
	char data[2 * KVP_VALUE_SIZE];
	struct handle *h = take_handle(false);
	struct fuse_write_in in = { 0 };
	struct request *request;
	struct kvp_bytes text;

	(void)unused;
	if (!h || (h->flags & O_ACCMODE) == O_RDONLY)
		return false;
	text = fuzz_string(&k.input, data, sizeof(data));
	if (text.len == 0)
		return false;
	if (h->node->kind == CONTROL_FILE && text.len > 2) {
		data[1] = '=';
		data[text.len - 1] = '\n';
	}
	request = ask(FUSE_WRITE, h->node, h);
	in.fh = h->fh;
	in.flags = (uint32_t)h->flags;
	in.offset = fuzz_byte(&k.input);
	in.size = request->size = (uint32_t)text.len;
	put(&in, sizeof(in));
	put(text.data, text.len);
	return true;
}

static bool send_flush(uint32_t unused)
{
	struct handle *h = take_handle(false);
	struct fuse_flush_in in = { 0 };

	(void)unused;
	if (!h)
		return false;
	ask(FUSE_FLUSH, h->node, h);
	in.fh = h->fh;
	put(&in, sizeof(in));
	return true;
}

static bool send_fsync(uint32_t dir)
{
	struct handle *h = take_handle(dir);
	struct fuse_fsync_in in = { 0 };

	if (!h)
		return false;
	ask(dir ? FUSE_FSYNCDIR : FUSE_FSYNC, h->node, h);
	in.fh = h->fh;
	put(&in, sizeof(in));
	return true;
}

static bool send_release(uint32_t dir)
{
	struct handle *h = take_handle(dir);
	struct fuse_release_in in = { 0 };

	if (!h || h->uses > 0)
		return false;
	ask(dir ? FUSE_RELEASEDIR : FUSE_RELEASE, h->node, h);
	h->closing = true;
	in.fh = h->fh;
	in.flags = (uint32_t)h->flags;
	put(&in, sizeof(in));
	return true;
}

static bool send_poll(uint32_t unused)
{
	struct handle *h = take_handle(false);
	struct fuse_poll_in in = { 0 };

	(void)unused;
	if (!h)
		return false;
	ask(FUSE_POLL, h->node, h);
	in.fh = h->fh;
	in.kh = 1 + fuzz_byte(&k.input);
	in.flags = in.kh & 1 ? FUSE_POLL_SCHEDULE_NOTIFY : 0;
	put(&in, sizeof(in));
	return true;
}

static bool send_getattr(uint32_t unused)
{
	unsigned int n = fuzz_byte(&k.input);
	struct handle *h = n & 1 ? take_handle(false) : NULL;
	struct node *node = h ? h->node : take_node(n & 2);
	struct fuse_getattr_in in = { 0 };

	(void)unused;
	if (!node)
		return false;
	ask(FUSE_GETATTR, node, h);
	in.fh = h ? h->fh : 0;
	in.getattr_flags = h ? FUSE_GETATTR_FH : 0;
	put(&in, sizeof(in));
	return true;
}

static bool send_setattr(uint32_t unused)
{
	unsigned int n = fuzz_byte(&k.input);
	struct handle *h = n & 1 ? take_handle(false) : NULL;
	struct node *node = h ? h->node : take_node(n & 2);
	struct fuse_setattr_in in = { .mode = 0100600 };

	(void)unused;
	if (!node || (h && (h->flags & O_ACCMODE) == O_RDONLY))
		return false;
	ask(FUSE_SETATTR, node, h);
	in.valid = h ? FATTR_FH : 0;
	in.valid |= n & 4 ? FATTR_MTIME | FATTR_ATIME_NOW : FATTR_SIZE;
	in.valid |= n & 8 ? FATTR_MODE | FATTR_UID : 0;
	in.fh = h ? h->fh : 0;
	in.size = n & 16 ? fuzz_byte(&k.input) : 0;
	put(&in, sizeof(in));
	return true;
}

static bool send_forget(uint32_t unused)
{
	struct node *node = take_node(fuzz_byte(&k.input) & 1);
	struct fuse_forget_in in;

	(void)unused;
	if (!node || node == k.nodes || node->uses > 0)
		return false;
	in.nlookup = fuzz_byte(&k.input) & 1 ? 1 : node->lookups;
	begin(FUSE_FORGET, node->id, k.last_unique += 2);
	put(&in, sizeof(in));
	node->lookups -= in.nlookup;
	if (node->lookups == 0)
		node->id = 0;
	return true;
}

static bool send_interrupt(uint32_t unused)
{
	size_t i = fuzz_byte(&k.input) % COUNT(k.requests);
	struct fuse_interrupt_in in = { .unique = k.requests[i].unique };

	(void)unused;
	if (!in.unique)
		return false;
	begin(FUSE_INTERRUPT, 0, (k.last_unique += 2) | INTERRUPT_BIT);
	put(&in, sizeof(in));
	return true;
}

/* What is never of any use here. */
static bool send_misc(uint32_t unused)
{
	static const uint32_t opcodes[] = { FUSE_STATFS, FUSE_RMDIR,
					    FUSE_READLINK, FUSE_LISTXATTR };
	uint32_t opcode = opcodes[fuzz_byte(&k.input) % COUNT(opcodes)];
	struct fuse_getxattr_in in = { 0 };
	struct node *node = take_node(true);

	(void)unused;
	ask(opcode, node, NULL);
	if (opcode == FUSE_RMDIR)
		put("a", 2);
	else if (opcode == FUSE_LISTXATTR)
		put(&in, sizeof(in));
	return true;
}

static void send_init(void)
{
	struct fuse_init_in in = { .major = 7,
				   .minor = 31,
				   .max_readahead = 131072,
				   .flags = SPLICELESS };

	ask(FUSE_INIT, NULL, NULL);
	put(&in, sizeof(in));
}

static bool disturb(uint32_t unused)
{
	(void)unused;
	if (fuzz_byte(&k.input) & 1)
		change_pool();
	else
		pause_a_little();
	return false;
}

/* What can happen next; each row is as likely as its SHARE. */
static const struct {
	unsigned int share;
	bool (*act)(uint32_t arg); /* whether there is a request now */
	uint32_t arg;		   /* an opcode, or whether on a directory */
} acts[] = {
	{ 4, send_by_name, FUSE_LOOKUP },
	{ 3, send_by_name, FUSE_CREATE },
	{ 1, send_by_name, FUSE_MKNOD },
	{ 2, send_by_name, FUSE_UNLINK },
	{ 2, send_rename, 0 },
	{ 4, send_open, false },
	{ 1, send_open, true },
	{ 3, send_read, false },
	{ 1, send_read, true },
	{ 4, send_write, 0 },
	{ 1, send_flush, 0 },
	{ 1, send_fsync, false },
	{ 1, send_fsync, true },
	{ 3, send_release, false },
	{ 1, send_release, true },
	{ 1, send_poll, 0 },
	{ 1, send_getattr, 0 },
	{ 1, send_setattr, 0 },
	{ 1, send_forget, 0 },
	{ 1, send_interrupt, 0 },
	{ 1, send_misc, 0 },
	{ 1, toggle_lock, 0 },
	{ 1, disturb, 0 },
};

static bool act(void)
{
	unsigned int n = fuzz_below(&k.input, 40); /* all shares */
	size_t i = 0;

	while (n >= acts[i].share)
		n -= acts[i++].share;
	return free_request() && acts[i].act(acts[i].arg);
}

size_t kernel_ask(char *out)
{
	k.out = out;
	if (k.last_unique == 0)
		send_init();
	else
		do {
			if (k.input.len == 0)
				return 0;
		} while (!act());
	header()->len = (uint32_t)k.len;
	return k.len;
}
