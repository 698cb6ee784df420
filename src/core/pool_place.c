/* SPDX-License-Identifier: MIT */
#include "pool_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "result.h"
#include "util.h"

/* What tells that the directory is not where it was. */
#define IN_GONE (IN_MOVE_SELF | IN_DELETE_SELF | IN_IGNORED | IN_UNMOUNT)

#define IN_NAMES (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)

/* -1: there are no watches left, or no inotify. */
static int add_watch(const struct kvp_place *place, int directory,
		     uint32_t mask)
{
	char path[KVP_FD_PATH_MAX];

	if (place->inotify < 0 || directory < 0)
		return -1;
	return inotify_add_watch(place->inotify, kvp_fd_path(directory, path),
				 mask | IN_ONLYDIR);
}

/* WATCH becomes NOW, and ends if it was another: that of another directory. */
static void replace_watch(const struct kvp_place *place, int *watch, int now)
{
	if (*watch >= 0 && *watch != now)
		inotify_rm_watch(place->inotify, *watch);
	*watch = now;
}

static void watch_directory(struct kvp_place *place)
{
	uint32_t mask = IN_MOVE_SELF | IN_DELETE_SELF |
			(place->names_too ? IN_NAMES : 0);

	replace_watch(place, &place->watch,
		      add_watch(place, place->directory, mask));
}

/* Watches for a file to appear where a symbolic link leads; false: not possible. */
static bool watch_target(struct kvp_place *place)
{
	int now = -1;
	bool is_needed = place->names_too && place->target.directory >= 0;
	bool is_watched;

	if (is_needed)
		now = add_watch(place, place->target.directory,
				IN_NAMES | IN_MASK_ADD);
	is_watched = now >= 0 || !is_needed;
	replace_watch(place, &place->target_watch,
		      now == place->watch ? -1 : now);
	return is_watched;
}

bool kvp_place_watch_names(struct kvp_place *place, bool on)
{
	if (place->names_too != on || place->watch < 0) {
		place->names_too = on;
		watch_directory(place);
	}
	return watch_target(place) && place->watch >= 0;
}

/* Opens the directory that parent names now; if that fails there is none. */
static int find_directory(struct kvp_place *place)
{
	struct kvp_found found;
	int r = kvp_walk(AT_FDCWD, place->parent, &place->keep_out, &found);
	int directory = -1;

	if (r == 0) {
		directory = found.object;
		found.object = -1;
		kvp_found_release(&found);
		if (directory < 0)
			r = -ENOENT;
	}
	kvp_close(place->directory);
	place->directory = directory;
	watch_directory(place);
	if (r)
		kvp_found_release(&place->target);
	place->doubt = r ? KVP_PLACE_ASK_DIRECTORY : KVP_PLACE_ASK_NAME;
	return r;
}

/* Our descriptor keeps a deleted directory alive, so no event tells of that. */
static bool directory_is_deleted(const struct kvp_place *place)
{
	struct stat st;

	return fstat(place->directory, &st) == 0 && st.st_nlink == 0;
}

/* stat of what the name in the directory leads to; -ENOENT: nothing. */
static int look_at_name(struct kvp_place *place, struct stat *ret_st)
{
	struct kvp_found found;
	int r = kvp_walk(place->directory, place->name, &place->keep_out,
			 &found);

	if (r)
		return r;
	if (found.object < 0)
		r = -ENOENT;
	else if (fstat(found.object, ret_st) != 0)
		r = -errno;
	found.object = kvp_close(found.object);
	kvp_found_release(&place->target);
	place->target = found;
	watch_target(place);
	return r;
}

int kvp_place_look(struct kvp_place *place, struct stat *ret_st)
{
	int r = 0;

	if (place->doubt == KVP_PLACE_ASK_DIRECTORY || place->watch < 0)
		r = find_directory(place);
	if (r == 0)
		r = look_at_name(place, ret_st);
	if (r == -ENOENT && directory_is_deleted(place)) {
		r = find_directory(place);
		if (r == 0)
			r = look_at_name(place, ret_st);
	}
	if (r == -ENOENT) {
		ret_st->st_ino = 0;
		r = 0;
	}
	return r;
}

/* Where the file is, or would be made. */
static int target_directory(const struct kvp_place *place)
{
	return place->target.directory >= 0 ? place->target.directory
					    : place->directory;
}

int kvp_place_open(const struct kvp_place *place, int flags)
{
	int directory = target_directory(place);
	int fd;

	if (directory < 0)
		return -ENOENT;
	/* O_NONBLOCK: what was a file a moment ago may be a FIFO now */
	fd = openat(directory, place->target.name,
		    flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW,
		    0600);
	return fd < 0 ? -errno : fd;
}

bool kvp_place_is_writable(const struct kvp_place *place)
{
	return faccessat(target_directory(place), ".", W_OK, 0) == 0;
}

void kvp_place_note_event(struct kvp_place *place,
			  const struct inotify_event *event)
{
	bool lost = event->wd < 0; /* there were too many */

	if (lost || (event->wd == place->watch && event->mask & IN_GONE))
		place->doubt = KVP_PLACE_ASK_DIRECTORY;
}

void kvp_place_trust(struct kvp_place *place)
{
	/* a link may lead elsewhere without the file's knowing */
	if (place->watch >= 0 && !place->target.by_link)
		place->doubt = KVP_PLACE_SURE;
}

void kvp_place_doubt_name(struct kvp_place *place)
{
	if (place->doubt == KVP_PLACE_SURE)
		place->doubt = KVP_PLACE_ASK_NAME;
}

void kvp_place_keep_out(struct kvp_place *place,
			const struct kvp_keep_out *keep_out)
{
	place->keep_out = *keep_out;
}

bool kvp_place_leads_to(const struct kvp_place *place,
			const struct kvp_keep_out *keep_out)
{
	struct kvp_found found;
	int r = kvp_walk(AT_FDCWD, place->path, keep_out, &found);

	if (r == 0)
		kvp_found_release(&found);
	return r == KVP_OWN_MOUNT;
}

/* Fills in path, parent and name. */
static int resolve_path(struct kvp_place *place, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	kvp_autofree char *given = slash ? strndup(path, (size_t)(name - path))
					 : strdup(".");

	if (!given)
		return -ENOMEM;
	if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EISDIR;
	place->parent = realpath(given, NULL);
	if (!place->parent)
		return -errno;
	if (asprintf(&place->path, "%s/%s",
		     strcmp(place->parent, "/") ? place->parent : "",
		     name) < 0) {
		place->path = NULL;
		return -ENOMEM;
	}
	place->name = strrchr(place->path, '/') + 1;
	return 0;
}

int kvp_place_init(struct kvp_place *place, const char *path, bool watched)
{
	int r;

	*place = (struct kvp_place){
		.inotify = -1,
		.directory = -1,
		.watch = -1,
		.doubt = KVP_PLACE_ASK_DIRECTORY,
		.target = { .directory = -1, .object = -1 },
		.target_watch = -1,
	};
	r = resolve_path(place, path);
	if (r == 0 && watched)
		place->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (r == 0)
		r = find_directory(place);
	if (r)
		kvp_place_release(place);
	return r;
}

void kvp_place_release(struct kvp_place *place)
{
	kvp_found_release(&place->target);
	place->inotify = kvp_close(place->inotify);
	place->directory = kvp_close(place->directory);
	free(place->parent);
	free(place->path);
	place->parent = NULL;
	place->path = NULL;
}
