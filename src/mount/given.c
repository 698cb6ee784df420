/* SPDX-License-Identifier: MIT */
#include "given.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

/* Where the gift of key ID is, or belongs. */
static size_t place_of(const struct kvpfs_given *given, uint64_t id)
{
	size_t low = 0;
	size_t high = given->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (given->gifts[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct kvpfs_gift *find(const struct kvpfs_given *given, uint64_t id)
{
	size_t place = place_of(given, id);

	if (place == given->count || given->gifts[place].id != id)
		return NULL;
	return &given->gifts[place];
}

static void end_mtime(struct kvpfs_gift *gift)
{
	kvp_value_unref(gift->value);
	gift->value = NULL;
	gift->set &= ~(unsigned int)KVPFS_GIVEN_MTIME;
}

static void drop(struct kvpfs_given *given, struct kvpfs_gift *gift)
{
	struct kvpfs_gift *end = given->gifts + given->count--;

	end_mtime(gift);
	memmove(gift, gift + 1, (size_t)(end - gift - 1) * sizeof(*gift));
}

void kvpfs_given_release(struct kvpfs_given *given)
{
	for (size_t i = 0; i < given->count; i++)
		end_mtime(&given->gifts[i]);
	free(given->gifts);
	*given = (struct kvpfs_given){ 0 };
}

static int make_room(struct kvpfs_given *given)
{
	size_t room = given->room ? given->room * 2 : 16;
	struct kvpfs_gift *gifts;

	if (given->count == KVPFS_GIVEN_MAX)
		return -ENOSPC;
	if (given->count < given->room)
		return 0;
	gifts = realloc(given->gifts, room * sizeof(*gifts));
	if (!gifts)
		return -ENOMEM;
	given->gifts = gifts;
	given->room = room;
	return 0;
}

/* A place for key ID, with nothing given. */
static int insert(struct kvpfs_given *given, uint64_t id,
		  struct kvpfs_gift **ret_gift)
{
	size_t place = place_of(given, id);
	struct kvpfs_gift *gift;
	int r = make_room(given);

	if (r)
		return r;
	gift = given->gifts + place;
	memmove(gift + 1, gift, (given->count++ - place) * sizeof(*gift));
	*gift = (struct kvpfs_gift){ .id = id };
	*ret_gift = gift;
	return 0;
}

int kvpfs_given_add(struct kvpfs_given *given, const struct kvpfs_gift *gift)
{
	struct kvpfs_gift *to = find(given, gift->id);
	int r = to ? 0 : insert(given, gift->id, &to);

	if (r)
		return r;
	to->ctime = gift->ctime;
	to->set |= gift->set;
	if (gift->set & KVPFS_GIVEN_MODE)
		to->mode = gift->mode;
	if (gift->set & KVPFS_GIVEN_UID)
		to->uid = gift->uid;
	if (gift->set & KVPFS_GIVEN_GID)
		to->gid = gift->gid;
	if (gift->set & KVPFS_GIVEN_MTIME) {
		to->mtime = gift->mtime;
		to->pending = gift->pending;
		kvp_value_set(&to->value, gift->value);
	}
	return 0;
}

void kvpfs_given_apply(struct kvpfs_given *given, uint64_t id,
		       const struct kvp_value *value, struct stat *st)
{
	struct kvpfs_gift *gift = given->count ? find(given, id) : NULL;

	if (!gift)
		return;
	if (gift->set & KVPFS_GIVEN_MODE)
		st->st_mode = (st->st_mode & S_IFMT) | gift->mode;
	if (gift->set & KVPFS_GIVEN_UID)
		st->st_uid = gift->uid;
	if (gift->set & KVPFS_GIVEN_GID)
		st->st_gid = gift->gid;
	if ((gift->set & KVPFS_GIVEN_MTIME) && gift->value == value) {
		st->st_mtim = gift->mtime;
		st->st_atim = gift->mtime;
	}
	if (kvp_is_later(&gift->ctime, &st->st_ctim))
		st->st_ctim = gift->ctime;
}

void kvpfs_given_stored(struct kvpfs_given *given, uint64_t id,
			struct kvp_value *value, bool closed)
{
	struct kvpfs_gift *gift = given->count ? find(given, id) : NULL;

	if (!gift || !(gift->set & KVPFS_GIVEN_MTIME))
		return;
	if (closed && gift->pending) {
		kvp_value_set(&gift->value, value);
		gift->pending = false;
		return;
	}
	end_mtime(gift);
	if (gift->set == 0)
		drop(given, gift);
}

void kvpfs_given_forget(struct kvpfs_given *given, uint64_t id)
{
	struct kvpfs_gift *gift = given->count ? find(given, id) : NULL;

	if (gift)
		drop(given, gift);
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

void kvpfs_given_purge(struct kvpfs_given *given, uint64_t ids[], size_t count)
{
	if (count > 0)
		qsort(ids, count, sizeof(*ids), compare_ids);
	for (size_t i = given->count; i-- > 0;) {
		struct kvpfs_gift *gift = &given->gifts[i];

		if (count == 0 ||
		    !bsearch(&gift->id, ids, count, sizeof(*ids), compare_ids))
			drop(given, gift);
	}
}
