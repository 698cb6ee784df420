/* SPDX-License-Identifier: MIT */
/*
 * The program's own loop under a kernel made of the input (kernel.h). Others lock and
 * change the pool meanwhile, callers go away before their answers.
 *
 * Each request is answered once, in the form that it must have; who reads a value
 * reads the same one until it is closed; what kvpfs alone has written is a pool as
 * others expect it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>
#include <unistr.h>

#include "fuzz.h"
#include "kernel.h"
#include "loop.h"
#include "mount.h"
#include "name.h"
#include "ops.h"
#include "sync.h"
#include "util.h"

/* The program whose requests these are. */
static struct kvpfs fs;

/* read(2) of the next request. */
static ssize_t supply(int fd, void *buf, size_t size, void *userdata)
{
	size_t len;

	(void)fd;
	(void)userdata;
	must(size >= 65536);
	/* what a thread does is done before anything else: runs repeat */
	kvpfs_syncs_release(&fs);
	must(kvpfs_syncs_init(&fs) == 0);
	len = kernel_ask(buf);
	if (len > 0)
		return (ssize_t)len;
	errno = ENODEV;
	return -1;
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

/* H has read the whole value, and gets DATA at OFFSET, which may go on at its end. */
static void note_more(struct handle *h, uint64_t offset, struct kvp_bytes data)
{
	size_t known = offset < h->len ? h->len - offset : 0;

	must(!memcmp(data.data, h->value + offset,
		     data.len < known ? data.len : known));
	if (data.len <= known)
		return;
	must(offset <= h->len);
	h->len = offset + data.len;
	memcpy(h->value + offset, data.data, data.len);
}

/* All reads by one reader are of one version, or of one that adds to its end. */
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
	} else if (h->has_read && data.len > 0) {
		note_more(h, request->offset, data);
	} else if (h->has_read && request->size > 0) {
		must(request->offset >= h->len);
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

/* Both sides count alike, so that nothing is freed too early or never. */
static void check_lookups(const struct kvpfs_dir *dir)
{
	const struct kvpfs_file *file;
	const struct kvpfs_node *node;

	TAILQ_FOREACH(file, &dir->versions.files, link) {
		TAILQ_FOREACH(node, &file->nodes, link) {
			const struct node *known = find_node((uintptr_t)node);

			must(node->inode.lookups ==
			     (known ? known->lookups : 0));
		}
	}
}

static void check_opens(void)
{
	const struct kvpfs_open *open;
	int more = 0;

	TAILQ_FOREACH(open, &fs.opens, link)
		more++;
	for (size_t i = 0; i < COUNT(k.handles); i++)
		more -= k.handles[i].open;
	must(more == 0);
}

/* As kvpfs_mount, but that the session reads from here. */
static void begin_session(void)
{
	static const struct fuse_custom_io io = { .read = supply,
						  .writev = take_reply };
	char *argv[] = { "kvpfs", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);

	fs.session = fuse_session_new(&args, &kvpfs_ops, sizeof(kvpfs_ops),
				      &fs);
	must(fs.session);
	/* there is always something to read */
	must(fuse_session_custom_io(fs.session, &io, eventfd(1, EFD_CLOEXEC)) ==
	     0);
	fuse_opt_free_args(&args);
}

static void serve_input(void)
{
	begin_session();
	must(kvpfs_loop_run(&fs) == 0);
	for (size_t i = 0; i < fs.dir_count; i++)
		check_lookups(&fs.dirs[i]);
	check_opens();
	kvpfs_unmount(&fs);
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
	unsigned int n;

	memset(&k, 0, sizeof(k));
	k.input = (struct kvp_bytes){ (const char *)data, size };
	k.locker = -1;
	n = fuzz_byte(&k.input);
	snprintf(k.path, sizeof(k.path), "%s/.kvp_pool_1", fuzz_directory());
	unlink(k.path);
	options.mode = n & 1 ? KVP_MODE_FULL : KVP_MODE_RESTRICTED;
	options.strip_newline = n & 2;
	options.lock_timeout_ms = n & 4 ? 2 : 0;
	options.pool = strdup(n & 8 ? fuzz_directory() : k.path);
	must(options.pool && kvpfs_pools_open(&pools, &options) == 0);
	must(kvpfs_fs_init(&fs, &options, &pools) == 0);
	k.nodes[0] = (struct node){ FUSE_ROOT_ID, 1, n & 8 ? TOP : POOL, 0 };
	serve_input();
	if (!k.outsider)
		check_pool(n & 1);
	k.locker = kvp_close(k.locker);
	kvpfs_fs_release(&fs);
	kvpfs_pools_close(&pools);
	free(options.pool);
	return 0;
}
