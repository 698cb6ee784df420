/* SPDX-License-Identifier: MIT */
#include "key_lock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util.h"

/* Linux 6.3 has it, and warns of programs that do not use it. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

struct kvpfs_lock_owner {
	struct kvpfs_locker locker;
	int fd;	      /* its description of the file's memfd */
	int flock;    /* LOCK_SH, LOCK_EX, or 0: none */
	bool records; /* it has record locks */
	LIST_ENTRY(kvpfs_lock_owner) link;
};

static struct kvpfs_lock_owner *find_owner(const struct kvpfs_locks *locks,
					   const struct kvpfs_lockable *file,
					   uint64_t id)
{
	struct kvpfs_lock_owner *owner;

	LIST_FOREACH(owner, &locks->owners, link)
		if (owner->locker.file == file && owner->locker.owner == id)
			return owner;
	return NULL;
}

/* Anybody's description of FILE, or -1. */
static int find_description(const struct kvpfs_locks *locks,
			    const struct kvpfs_lockable *file)
{
	const struct kvpfs_lock_owner *owner;

	LIST_FOREACH(owner, &locks->owners, link)
		if (owner->locker.file == file)
			return owner->fd;
	return -1;
}

static int new_memfd(void)
{
	const char *name = "kvpfs lock";
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);

	return fd < 0 && errno == EINVAL ? memfd_create(name, MFD_CLOEXEC) : fd;
}

/* One more description of FD's file; dup(2) would give the same description. */
static int reopen(int fd)
{
	char path[KVP_FD_PATH_MAX];

	return open(kvp_fd_path(fd, path), O_RDWR | O_CLOEXEC);
}

static struct kvpfs_lock_owner *owner_new(struct kvpfs_locks *locks,
					  const struct kvpfs_locker *locker)
{
	struct kvpfs_lock_owner *owner;
	int other = find_description(locks, locker->file);
	int fd;

	if (locks->count >= KVPFS_MAX_LOCK_OWNERS)
		return NULL;
	fd = other < 0 ? new_memfd() : reopen(other);
	owner = fd < 0 ? NULL : calloc(1, sizeof(*owner));
	if (!owner) {
		kvp_close(fd);
		return NULL;
	}
	owner->locker = *locker;
	owner->fd = fd;
	LIST_INSERT_HEAD(&locks->owners, owner, link);
	locks->count++;
	return owner;
}

/* Unlocks first, as a child that was forked meanwhile may have the description, too. */
static void end_owner(struct kvpfs_locks *locks, struct kvpfs_lock_owner *owner)
{
	struct flock whole = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	flock(owner->fd, LOCK_UN);
	fcntl(owner->fd, F_OFD_SETLK, &whole);
	locks->freed |= owner->flock || owner->records;
	LIST_REMOVE(owner, link);
	locks->count--;
	kvp_close(owner->fd);
	free(owner);
}

static void end_if_idle(struct kvpfs_locks *locks,
			struct kvpfs_lock_owner *owner)
{
	if (!owner->flock && !owner->records)
		end_owner(locks, owner);
}

/* The owner that LOCKER stands for, perhaps a new one; NULL: there is no room. */
static struct kvpfs_lock_owner *get_owner(struct kvpfs_locks *locks,
					  const struct kvpfs_locker *locker)
{
	struct kvpfs_lock_owner *owner = find_owner(locks, locker->file,
						    locker->owner);

	if (!owner)
		return owner_new(locks, locker);
	owner->locker.handle = locker->handle;
	return owner;
}

/*
 * flock(2) replaces a lock by one of another kind in two steps. If the second step
 * fails, the first lock is gone.
 */
int kvpfs_locks_flock(struct kvpfs_locks *locks,
		      const struct kvpfs_locker *locker, int operation)
{
	struct kvpfs_lock_owner *owner;
	int wanted = operation & (LOCK_SH | LOCK_EX);
	int r = 0;

	if (!wanted && !find_owner(locks, locker->file, locker->owner))
		return 0;
	owner = get_owner(locks, locker);
	if (!owner)
		return -ENOLCK;
	if (flock(owner->fd, operation | LOCK_NB) != 0)
		r = -errno;
	if (owner->flock && (r || owner->flock != wanted))
		locks->freed = true;
	owner->flock = r ? 0 : wanted;
	end_if_idle(locks, owner);
	return r;
}

/*
 * Whether the kernel's list of the locks of FD (proc_pid_fdinfo(5)) has RECORD, or, if
 * that is NULL, any lock of a part. A list that cannot be read may have one.
 */
static bool has_record(int fd, const struct flock *record)
{
	char path[sizeof("/proc/self/fdinfo/") + 3 * sizeof(fd)];
	char line[256];
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	if (!file)
		return !record;
	while (!found && fgets(line, sizeof(line), file)) {
		long long start;
		char end[32];
		char type[8];
		long long last = record ? record->l_start + record->l_len : 0;

		/* NOLINTNEXTLINE(cert-err34-c): the kernel writes numbers that fit */
		if (sscanf(line, "lock: %*d: OFDLCK %*s %7s %*s %*s %lld %31s",
			   type, &start, end) != 3)
			continue;
		found = !record ||
			(start == record->l_start &&
			 (type[0] == 'W') == (record->l_type == F_WRLCK) &&
			 (record->l_len ? strtoll(end, NULL, 10) == last - 1
					: strcmp(end, "EOF") == 0));
	}
	(void)fclose(file);
	return found;
}

int kvpfs_locks_set(struct kvpfs_locks *locks,
		    const struct kvpfs_locker *locker,
		    const struct flock *record)
{
	struct kvpfs_lock_owner *owner;
	struct flock copy = *record;
	int r = 0;

	locker->file->records = true;
	if (record->l_type == F_UNLCK &&
	    !find_owner(locks, locker->file, locker->owner))
		return 0;
	owner = get_owner(locks, locker);
	if (!owner)
		return -ENOLCK;
	copy.l_pid = 0; /* what OFD locks need */
	if (fcntl(owner->fd, F_OFD_SETLK, &copy) != 0)
		r = -errno;
	else if (record->l_type == F_UNLCK)
		owner->records = owner->records && has_record(owner->fd, NULL);
	else
		owner->records = true;
	/* a read lock may have been a write lock before */
	locks->freed |= r == 0 && record->l_type != F_WRLCK;
	end_if_idle(locks, owner);
	return r;
}

/* The process that holds RECORD, a lock on FILE's memfd; 0: not known. */
static pid_t holder_of(const struct kvpfs_locks *locks,
		       const struct kvpfs_lockable *file,
		       const struct flock *record)
{
	const struct kvpfs_lock_owner *owner;

	LIST_FOREACH(owner, &locks->owners, link)
		if (owner->locker.file == file && owner->records &&
		    has_record(owner->fd, record))
			return owner->locker.pid;
	return 0;
}

int kvpfs_locks_get(struct kvpfs_locks *locks,
		    const struct kvpfs_locker *locker, struct flock *record)
{
	struct kvpfs_lock_owner *owner;
	struct flock copy = *record;
	int r = 0;

	if (find_description(locks, locker->file) < 0) {
		record->l_type = F_UNLCK;
		return 0;
	}
	owner = find_owner(locks, locker->file, locker->owner);
	if (!owner)
		owner = owner_new(locks, locker);
	if (!owner)
		return -ENOLCK;
	copy.l_pid = 0;
	if (fcntl(owner->fd, F_OFD_GETLK, &copy) != 0)
		r = -errno;
	end_if_idle(locks, owner);
	if (r)
		return r;
	if (copy.l_type != F_UNLCK)
		copy.l_pid = holder_of(locks, locker->file, &copy);
	*record = copy;
	return 0;
}

void kvpfs_locks_end_owner(struct kvpfs_locks *locks,
			   const struct kvpfs_lockable *file, uint64_t owner)
{
	struct kvpfs_lock_owner *found = find_owner(locks, file, owner);

	if (found)
		end_owner(locks, found);
}

void kvpfs_locks_end_handle(struct kvpfs_locks *locks, uint64_t handle)
{
	struct kvpfs_lock_owner *owner = LIST_FIRST(&locks->owners);

	while (owner) {
		struct kvpfs_lock_owner *next = LIST_NEXT(owner, link);

		if (owner->locker.handle == handle)
			end_owner(locks, owner);
		owner = next;
	}
}

bool kvpfs_locks_take_freed(struct kvpfs_locks *locks)
{
	bool freed = locks->freed;

	locks->freed = false;
	return freed;
}

void kvpfs_locks_release(struct kvpfs_locks *locks)
{
	while (!LIST_EMPTY(&locks->owners))
		end_owner(locks, LIST_FIRST(&locks->owners));
}
