/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <fuse_opt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "store_pool.h"
#include "util.h"

/* What libfuse's parser fills in; ints are its booleans. */
struct raw_options {
	struct kvpfs_options *options;
	char *mode;
	char *newline;
	char *lock_timeout;
	char *uid;
	char *gid;
	char *umask;
	bool refused; /* an option that cannot be had was given */
	int truncate_on_stale;
	int foreground;
	int debug;
	int help;
	int version;
};

enum key {
	KEY_READ_ONLY,
	KEY_READ_WRITE,
	KEY_ALLOW_OTHER,
	KEY_WATCHERS,
	KEY_NO_WATCHERS,
	KEY_DISCARD,
	KEY_NEEDS_VALUE,
	KEY_HAS_NO_VALUE,
	KEY_REFUSED,
	KEY_REMOUNT,
};

#define RAW(template, member)                                     \
	{                                                         \
		template, offsetof(struct raw_options, member), 1 \
	}

static const struct fuse_opt specs[] = {
	RAW("mode=%s", mode),
	RAW("newline=%s", newline),
	RAW("lock_timeout=%s", lock_timeout),
	RAW("uid=%s", uid),
	RAW("gid=%s", gid),
	RAW("umask=%s", umask),
	RAW("truncate_on_stale", truncate_on_stale),
	RAW("-f", foreground),
	RAW("-d", debug),
	RAW("debug", debug),
	RAW("-h", help),
	RAW("--help", help),
	RAW("-V", version),
	RAW("--version", version),
	FUSE_OPT_KEY("-d", FUSE_OPT_KEY_KEEP),
	FUSE_OPT_KEY("debug", FUSE_OPT_KEY_KEEP),
	FUSE_OPT_KEY("-s", KEY_DISCARD), /* it always is single-threaded */
	FUSE_OPT_KEY("", KEY_DISCARD),	 /* as mount(8) does: -o "", ro,,dev */
	FUSE_OPT_KEY("fsname=", KEY_NEEDS_VALUE),
	FUSE_OPT_KEY("subtype=", KEY_NEEDS_VALUE),
	FUSE_OPT_KEY("mode", KEY_HAS_NO_VALUE),
	FUSE_OPT_KEY("newline", KEY_HAS_NO_VALUE),
	FUSE_OPT_KEY("lock_timeout", KEY_HAS_NO_VALUE),
	FUSE_OPT_KEY("uid", KEY_HAS_NO_VALUE),
	FUSE_OPT_KEY("gid", KEY_HAS_NO_VALUE),
	FUSE_OPT_KEY("umask", KEY_HAS_NO_VALUE),
	FUSE_OPT_KEY("max_read=", KEY_REFUSED), /* it ends the session */
	FUSE_OPT_KEY("remount", KEY_REMOUNT),
	FUSE_OPT_KEY("ro", KEY_READ_ONLY),
	FUSE_OPT_KEY("rw", KEY_READ_WRITE),
	FUSE_OPT_KEY("allow_other", KEY_ALLOW_OTHER),
	FUSE_OPT_KEY("allow_root", KEY_ALLOW_OTHER),
	FUSE_OPT_KEY("watchers", KEY_WATCHERS),
	FUSE_OPT_KEY("nowatchers", KEY_NO_WATCHERS),
	FUSE_OPT_END,
};

void kvpfs_options_usage(void)
{
	printf("usage: kvpfs [-o options] [POOL] MOUNTPOINT\n"
	       "\n"
	       "Mounts a Hyper-V KVP pool so that each key is a file and its\n"
	       "content is the value. POOL is a file, a number (0-4), a name\n"
	       "(external, guest, auto, auto-external, auto-internal), or a\n"
	       "directory of pools; default: %s\n"
	       "\n"
	       "  -f                     stay in the foreground, log to stderr\n"
	       "  -d, -o debug           the same, and show each request\n"
	       "  -s                     accepted: it always is single-threaded\n"
	       "  -h, --help             this text\n"
	       "  -V, --version          version\n"
	       "  -o mode=restricted     keys to 254 bytes, values to 1022 (default)\n"
	       "  -o mode=full           keys to 512 bytes, values to 2048\n"
	       "  -o newline=keep        store exactly what is written (default)\n"
	       "  -o newline=strip       do not store one newline at the end\n"
	       "  -o truncate_on_stale   empty a pool not changed since boot\n"
	       "  -o ro                  read only\n"
	       "  -o lock_timeout=S      wait S seconds for a lock (default: 5)\n"
	       "  -o uid=N,gid=N         owner and group instead of the pool's\n"
	       "  -o umask=MODE          octal; modes instead of the pool's\n"
	       "  -o watchers            tell inotify of changes by others (default)\n"
	       "  -o nowatchers          do not\n"
	       "  -o allow_other         let other users in, by the files' modes\n"
	       "and the other mount options of FUSE (fsname=, noexec, ...).\n"
	       "\n"
	       "Exit status: 0 mounted, or unmounted with -f; 1 cannot be mounted;\n"
	       "2 wrong usage. \"man kvpfs\" tells the rest.\n",
	       KVP_DEFAULT_POOL);
}

/* The first name is the pool, the second the mountpoint; one: the mountpoint. */
static int take_name(struct kvpfs_options *options, const char *name)
{
	if (options->pool) {
		kvpfs_log(LOG_ERR, "too many arguments: \"%s\"", name);
		return -1;
	}
	options->pool = options->mountpoint;
	options->mountpoint = strdup(name);
	return options->mountpoint ? 0 : -1;
}

/* An option NAME=VALUE of libfuse's: 1, or 0 after refusing it without a value. */
static int check_has_value(struct raw_options *raw, const char *option)
{
	size_t length = strcspn(option, "=");

	if (option[length + 1])
		return 1;
	kvpfs_log(LOG_ERR, "bad value for option %.*s: \"\"", (int)length,
		  option);
	raw->refused = true;
	return 0;
}

/* 1: leave it to libfuse, 0: taken, -1: wrong. */
static int take_option(void *data, const char *arg, int key,
		       struct fuse_args *outargs)
{
	struct raw_options *raw = data;
	struct kvpfs_options *options = raw->options;

	(void)outargs;
	switch (key) {
	case FUSE_OPT_KEY_NONOPT:
		return take_name(options, arg);
	case KEY_READ_ONLY:
	case KEY_READ_WRITE:
		options->read_only = key == KEY_READ_ONLY;
		return 1;
	case KEY_ALLOW_OTHER:
		options->allow_other = true;
		return 1;
	case KEY_WATCHERS:
	case KEY_NO_WATCHERS:
		options->watchers = key == KEY_WATCHERS;
		return 0;
	case KEY_DISCARD:
		return 0;
	case KEY_NEEDS_VALUE:
		return check_has_value(raw, arg);
	case KEY_HAS_NO_VALUE:
		kvpfs_log(LOG_ERR, "option needs a value: -o %s=", arg);
		raw->refused = true;
		return 0;
	case KEY_REFUSED:
		kvpfs_log(LOG_ERR, "option not supported: \"%s\"", arg);
		raw->refused = true;
		return 0;
	case KEY_REMOUNT:
		kvpfs_log(LOG_ERR, "cannot remount: unmount it, and mount "
				   "it with the new options");
		raw->refused = true;
		return 0;
	default:
		return 1;
	}
}

static int bad_value(const char *name, const char *value)
{
	kvpfs_log(LOG_ERR, "bad value for option %s: \"%s\"", name, value);
	return KVPFS_EXIT_FAILURE;
}

static int parse_seconds(const char *name, const char *text, double *ret)
{
	return !text || kvp_parse_seconds(text, 1e6, ret)
		       ? 0
		       : bad_value(name, text);
}

/* A whole number up to MAX, in BASE. */
static int parse_number(const char *name, const char *text, int base,
			unsigned long max, unsigned int *ret, bool *ret_has)
{
	char *end;
	unsigned long number;

	if (!text)
		return 0;
	errno = 0;
	number = strtoul(text, &end, base);
	/* strtoul(3) takes more: white space, signs */
	if (text[strspn(text, "0123456789")] || end == text || *end || errno ||
	    number > max)
		return bad_value(name, text);
	*ret = (unsigned int)number;
	*ret_has = true;
	return 0;
}

/* Index of TEXT among two WORDS; no text: the first. */
static int parse_choice(const char *name, const char *text,
			const char *const words[2], int *ret)
{
	*ret = 0;
	if (!text)
		return 0;
	for (int i = 0; i < 2; i++) {
		if (strcmp(text, words[i]) == 0) {
			*ret = i;
			return 0;
		}
	}
	return bad_value(name, text);
}

static int check_values(struct kvpfs_options *options,
			const struct raw_options *raw)
{
	static const char *const modes[] = { "restricted", "full" };
	static const char *const newlines[] = { "keep", "strip" };
	double lock_timeout = 5;
	int mode;
	int strip;
	int r;

	r = parse_choice("mode", raw->mode, modes, &mode);
	if (r == 0)
		r = parse_choice("newline", raw->newline, newlines, &strip);
	if (r == 0)
		r = parse_seconds("lock_timeout", raw->lock_timeout,
				  &lock_timeout);
	if (r == 0)
		r = parse_number("uid", raw->uid, 10, UINT32_MAX - 1,
				 &options->uid, &options->has_uid);
	if (r == 0)
		r = parse_number("gid", raw->gid, 10, UINT32_MAX - 1,
				 &options->gid, &options->has_gid);
	if (r == 0)
		r = parse_number("umask", raw->umask, 8, 0777, &options->umask,
				 &options->has_umask);
	if (r)
		return r;
	options->mode = mode ? KVP_MODE_FULL : KVP_MODE_RESTRICTED;
	options->strip_newline = strip;
	options->lock_timeout_ms = (int)(lock_timeout * 1000 + 0.5);
	return 0;
}

int kvpfs_options_parse(struct kvpfs_options *options, struct fuse_args *args)
{
	struct raw_options raw = { .options = options };
	int r = KVPFS_EXIT_USAGE;

	*options = (struct kvpfs_options){ .watchers = true };
	if (fuse_opt_parse(args, &raw, specs, take_option) == 0)
		r = check_values(options, &raw);
	options->truncate_on_stale = raw.truncate_on_stale;
	options->foreground = raw.foreground || raw.debug;
	options->help = raw.help;
	options->version = raw.version;
	if (r == 0 && raw.refused)
		r = KVPFS_EXIT_FAILURE;
	if (r == 0 && !options->mountpoint && !raw.help && !raw.version) {
		kvpfs_log(LOG_ERR, "no mountpoint given; see kvpfs -h");
		r = KVPFS_EXIT_USAGE;
	}
	free(raw.mode);
	free(raw.newline);
	free(raw.lock_timeout);
	free(raw.uid);
	free(raw.gid);
	free(raw.umask);
	return r;
}

void kvpfs_options_release(struct kvpfs_options *options)
{
	free(options->pool);
	free(options->mountpoint);
}
