/* SPDX-License-Identifier: MIT */
/*
 * A kernel made of the input: it sends requests to the program's own loop, with
 * nodes and handles from earlier replies, as a kernel keeps them: what is open or
 * under way is not forgotten, what is released is not used. Others lock and change
 * the pool meanwhile, callers go away before their answers.
 *
 * Each request is answered once, in the form that it must have; who reads a value
 * reads the same one until it is closed; what kvpfs alone has written is a pool as
 * others expect it.
 */
#define main kvpfs_main
int kvpfs_main(int argc, char *argv[]);
#include "main.c"
#undef main

#include <linux/fuse.h>
#include <sys/file.h>
#include <sys/uio.h>
#include <unistr.h>

#include "fuzz.h"
#include "name.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
/* All that a kernel may be able to, but no splice(2). */
#define SPLICELESS (0x3fffffff & ~0x380)
#define INTERRUPT_BIT ((uint64_t)1 << 62)

enum kind { TOP, POOL, CONTROL, KEY, CONTROL_FILE };

struct node {
	uint64_t id; /* 0: free */
	uint64_t lookups;
	enum kind kind;
	unsigned int uses; /* handles and requests under way */
};

struct handle {
	bool open;
	bool closing;
	uint64_t fh;
	struct node *node;
	int flags;
	unsigned int uses; /* requests under way */
	bool has_read;	   /* the whole value */
	size_t len;
	char value[KVP_VALUE_SIZE];
};

struct request {
	uint64_t unique; /* 0: free */
	uint32_t opcode;
	struct node *node;
	struct handle *handle;
	enum kind kind; /* of the node that a lookup leads to */
	int flags;
	uint64_t offset;
	uint32_t size;
};

/* The kernel. */
static struct {
	struct kvpfs *fs;
	struct kvp_bytes input;
	uint64_t last_unique;
	struct node nodes[32]; /* the first is the root */
	struct handle handles[16];
	struct request requests[24];
	char path[128]; /* of a pool */
	int locker;
	bool outsider; /* somebody else has written */
	unsigned int pauses;
	char *out; /* where the request goes that is being made */
	size_t len;
} k;

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

static struct node *find_node(uint64_t id)
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

/* read(2) of the next request. */
static ssize_t supply(int fd, void *buf, size_t size, void *userdata)
{
	(void)fd;
	(void)userdata;
	must(size >= 65536);
	/* what a thread does is done before anything else: runs repeat */
	kvpfs_syncs_wait(k.fs);
	k.out = buf;
	if (k.last_unique == 0)
		send_init();
	else
		do {
			if (k.input.len == 0) {
				errno = ENODEV;
				return -1;
			}
		} while (!act());
	header()->len = (uint32_t)k.len;
	return (ssize_t)k.len;
}

/* Looking at replies */

static void note_entry(const struct request *request,
		       const struct fuse_entry_out *out)
{
	struct node *node = find_node(out->nodeid);
	bool dir = request->kind <= CONTROL;

	must(out->nodeid > 1 && out->attr.nlink > 0);
	must(dir ? S_ISDIR(out->attr.mode) : S_ISREG(out->attr.mode));
	must(request->kind != KEY || out->attr.size <= KVP_VALUE_SIZE);
	if (!node) {
		node = find_node(0);
		*node = (struct node){ out->nodeid, 0, request->kind, 0 };
	}
	must(node->kind == request->kind);
	node->lookups++;
}

static void note_open(const struct request *request, struct node *node,
		      const struct fuse_open_out *out)
{
	struct handle *h = k.handles;

	while (h->open)
		h++;
	*h = (struct handle){ .open = true,
			      .fh = out->fh,
			      .node = node,
			      .flags = request->flags };
	node->uses++;
}

/* All reads by one reader are of one version. */
static void note_read(const struct request *request, struct kvp_bytes data)
{
	struct handle *h = request->handle;

	must(data.len <= request->size);
	if (h->node->kind != KEY || h->flags & (O_ACCMODE | O_TRUNC))
		return;
	must(data.len <= KVP_VALUE_SIZE && !memchr(data.data, '\0', data.len));
	if (!h->has_read && request->offset == 0 && request->size == 4096) {
		h->has_read = true;
		h->len = data.len;
		memcpy(h->value, data.data, data.len);
	} else if (h->has_read && request->offset < h->len) {
		size_t left = h->len - request->offset;

		must(data.len == (left < request->size ? left : request->size));
		must(!memcmp(data.data, h->value + request->offset, data.len));
	} else if (h->has_read) {
		must(data.len == 0);
	}
}

static void note_readdir(const struct request *request, struct kvp_bytes data)
{
	must(data.len <= request->size);
	for (size_t at = 0; at < data.len;) {
		const struct fuse_dirent *entry = (const void *)(data.data +
								 at);

		must(data.len - at >= FUSE_NAME_OFFSET &&
		     data.len - at >= FUSE_DIRENT_SIZE(entry));
		must(entry->namelen > 0 && entry->namelen <= KVP_NAME_MAX);
		must(!memchr(entry->name, '/', entry->namelen));
		must(entry->off > request->offset);
		at += FUSE_DIRENT_SIZE(entry);
	}
}

static void note_success(const struct request *request, struct kvp_bytes data)
{
	const void *out = data.data;
	const struct fuse_entry_out *entry = out;

	switch (request->opcode) {
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
		must(data.len == sizeof(*entry));
		note_entry(request, entry);
		break;
	case FUSE_CREATE:
		must(data.len == sizeof(*entry) + sizeof(struct fuse_open_out));
		note_entry(request, entry);
		note_open(request, find_node(entry->nodeid),
			  (const void *)(entry + 1));
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		must(data.len == sizeof(struct fuse_open_out));
		note_open(request, request->node, out);
		break;
	case FUSE_READ:
		note_read(request, data);
		break;
	case FUSE_READDIR:
		note_readdir(request, data);
		break;
	case FUSE_WRITE:
		must(((const struct fuse_write_out *)out)->size ==
		     request->size);
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		must(data.len == sizeof(struct fuse_attr_out));
		break;
	default:
		break;
	}
}

static void end_request(struct request *request)
{
	if (request->node)
		request->node->uses--;
	if (request->handle)
		request->handle->uses--;
	if (request->handle && request->handle->closing) {
		request->handle->open = false;
		request->handle->node->uses--;
	}
	request->unique = 0;
}

/* Whether the caller of REQUEST still waits for its answer. */
static bool is_awaited(const struct request *request)
{
	return request->opcode == FUSE_INIT ||
	       request->opcode == FUSE_RELEASE ||
	       request->opcode == FUSE_RELEASEDIR || fuzz_byte(&k.input) < 0xf8;
}

static bool take_answer(const struct fuse_out_header *out)
{
	struct kvp_bytes data = { (const char *)(out + 1),
				  out->len - sizeof(*out) };
	struct request *request = k.requests;
	bool awaited;

	must(out->error <= 0 && out->error > -1000);
	while (request->unique != out->unique)
		must(++request < k.requests + COUNT(k.requests));
	must(out->error == 0 || data.len == 0);
	awaited = is_awaited(request);
	if (out->error == 0 && awaited)
		note_success(request, data);
	end_request(request);
	return awaited;
}

static ssize_t take_message(const struct iovec *iov, int count)
{
	static _Alignas(8) char buf[2 << 20];
	const struct fuse_out_header *out = (const void *)buf;
	size_t len = 0;

	for (int i = 0; i < count; i++) {
		must(len + iov[i].iov_len <= sizeof(buf));
		if (iov[i].iov_len > 0)
			memcpy(buf + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	must(len >= sizeof(*out) && out->len == len);
	if (out->unique == 0) { /* a notification */
		must(out->error == FUSE_NOTIFY_POLL ||
		     out->error == FUSE_NOTIFY_INVAL_INODE);
		return (ssize_t)len;
	}
	if (out->unique & INTERRUPT_BIT) {
		must(out->error == -EAGAIN);
		return (ssize_t)len;
	}
	if (take_answer(out))
		return (ssize_t)len;
	return -1;
}

/* writev(2) of a reply. */
static ssize_t take_reply(int fd, struct iovec *iov, int count, void *userdata)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	ssize_t r;

	(void)fd;
	(void)userdata;
	pthread_mutex_lock(&lock);
	r = take_message(iov, count);
	pthread_mutex_unlock(&lock);
	errno = ENOENT;
	return r;
}

/* Setting up, as main.c does */

static void set_up_fs(struct kvpfs *fs, const struct kvpfs_options *options)
{
	*fs = (struct kvpfs){
		.options = options,
		.sync_lock = PTHREAD_MUTEX_INITIALIZER,
		.sync_ended = PTHREAD_COND_INITIALIZER,
	};
	TAILQ_INIT(&fs->handles);
	TAILQ_INIT(&fs->open_dirs);
	TAILQ_INIT(&fs->control_handles);
	TAILQ_INIT(&fs->event_handles);
	TAILQ_INIT(&fs->event_nodes);
	TAILQ_INIT(&fs->waiting);
	TAILQ_INIT(&fs->parked);
	fs->empty = kvp_value_new((struct kvp_bytes){ NULL, 0 });
	must(fs->empty);
}

/* Both sides count alike, so that nothing is freed too early or never. */
static void check_lookups(const struct kvpfs_dir *dir)
{
	const struct kvpfs_node *node;

	TAILQ_FOREACH(node, &dir->nodes, link) {
		const struct node *known = find_node((uintptr_t)node);

		must(node->inode.lookups == (known ? known->lookups : 0));
	}
}

static void check_handles(const struct kvpfs *fs)
{
	const struct kvpfs_handle *handle;
	int more = 0;

	TAILQ_FOREACH(handle, &fs->handles, link)
		more++;
	for (size_t i = 0; i < COUNT(k.handles); i++)
		more -= k.handles[i].open && k.handles[i].node->kind == KEY;
	must(more == 0);
}

static void serve_input(struct kvpfs *fs)
{
	static const struct fuse_custom_io io = { .read = supply,
						  .writev = take_reply };
	char *argv[] = { "kvpfs", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);

	fs->session = fuse_session_new(&args, &kvpfs_ops, sizeof(kvpfs_ops),
				       fs);
	must(fs->session);
	/* there is always something to read */
	must(fuse_session_custom_io(fs->session, &io,
				    eventfd(1, EFD_CLOEXEC)) == 0);
	must(serve(fs) == 0);
	for (size_t i = 0; i < fs->dir_count; i++)
		check_lookups(&fs->dirs[i]);
	check_handles(fs);
	end_calls_and_handles(fs);
	fuse_session_destroy(fs->session);
	fuse_opt_free_args(&args);
	for (size_t i = 0; i < COUNT(k.requests); i++)
		must(!k.requests[i].unique);
}

static void check_field(const char *field, size_t size, size_t max)
{
	size_t len = strnlen(field, size);

	must(len <= max && !u8_check((const uint8_t *)field, len));
	while (len < size)
		must(field[len++] == '\0');
}

/* As others expect the pool, and the mode demands. */
static void check_pool(bool full)
{
	struct kvp_record record;
	int fd = open(k.path, O_RDONLY);
	ssize_t size;

	while ((size = fd < 0 ? 0 : read(fd, &record, sizeof(record))) > 0) {
		must(size == 2560 && record.key[0]);
		check_field(record.key, 512, full ? 512 : 254);
		check_field(record.value, 2048, full ? 2048 : 1022);
	}
	kvp_close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kvpfs_options options = { .mountpoint = "/nowhere" };
	struct kvpfs_pools pools;
	struct kvpfs fs;
	unsigned int n;

	memset(&k, 0, sizeof(k));
	k.input = (struct kvp_bytes){ (const char *)data, size };
	k.fs = &fs;
	k.locker = -1;
	n = fuzz_byte(&k.input);
	snprintf(k.path, sizeof(k.path), "%s/.kvp_pool_1", fuzz_directory());
	unlink(k.path);
	options.mode = n & 1 ? KVP_MODE_FULL : KVP_MODE_RESTRICTED;
	options.strip_newline = n & 2;
	options.lock_timeout_ms = n & 4 ? 2 : 0;
	options.pool = strdup(n & 8 ? fuzz_directory() : k.path);
	must(options.pool && kvpfs_pools_open(&pools, &options) == 0);
	set_up_fs(&fs, &options);
	init_dirs(&fs, &pools);
	k.nodes[0] = (struct node){ FUSE_ROOT_ID, 1, n & 8 ? TOP : POOL, 0 };
	serve_input(&fs);
	if (!k.outsider)
		check_pool(n & 1);
	k.locker = kvp_close(k.locker);
	kvp_value_unref(fs.empty);
	kvpfs_pools_close(&pools);
	free(options.pool);
	return 0;
}
