/* SPDX-License-Identifier: MIT */
#include "locker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORD 2560
#define HIGHEST_DESCRIPTOR 256

enum verb { TAKE, RELEASE, CHANGE, REWRITE_KEEPING_OPEN, CLOSE };

struct command {
	enum verb verb;
	int argument;
};

/* The second process: what it has open. */
struct worker {
	const char *path;
	int locked;   /* descriptor that the locks are on; -1: none */
	int writing;  /* descriptor of a rewrite that is not closed; -1 */
	char counter; /* makes each change a different one */
};

static void die(const char *what)
{
	perror(what);
	abort();
}

static int open_file(const struct worker *worker, int flags)
{
	int fd = open(worker->path, flags | O_CLOEXEC, 0644);

	if (fd < 0)
		die(worker->path);
	return fd;
}

static bool flock_now(int fd, int operation)
{
	if (flock(fd, operation | LOCK_NB) == 0)
		return true;
	if (errno != EWOULDBLOCK)
		die("flock");
	return false;
}

static bool fcntl_now(int fd, int command, short type)
{
	struct flock whole = { .l_type = type, .l_whence = SEEK_SET };

	if (fcntl(fd, command, &whole) == 0)
		return true;
	if (errno != EAGAIN && errno != EACCES)
		die("fcntl");
	return false;
}

static bool take(struct worker *worker, enum locker_lock lock)
{
	int fd;

	if (worker->locked < 0)
		worker->locked = open_file(worker, O_RDWR);
	fd = worker->locked;
	switch (lock) {
	case LOCKER_FLOCK_SHARED:
		return flock_now(fd, LOCK_SH);
	case LOCKER_FLOCK_EXCLUSIVE:
		return flock_now(fd, LOCK_EX);
	case LOCKER_POSIX_READ:
		return fcntl_now(fd, F_SETLK, F_RDLCK);
	case LOCKER_POSIX_WRITE:
		return fcntl_now(fd, F_SETLK, F_WRLCK);
	case LOCKER_OFD_READ:
		return fcntl_now(fd, F_OFD_SETLK, F_RDLCK);
	case LOCKER_OFD_WRITE:
		return fcntl_now(fd, F_OFD_SETLK, F_WRLCK);
	case LOCKER_LOCKS:
		break;
	}
	abort();
}

static void write_bytes(struct worker *worker, int fd, size_t size)
{
	char bytes[RECORD];

	memset(bytes, '0' + ++worker->counter % 64, sizeof(bytes));
	if (write(fd, bytes, size) != (ssize_t)size)
		die("write");
}

static off_t file_size(const struct worker *worker)
{
	struct stat st;

	if (stat(worker->path, &st) != 0)
		die(worker->path);
	return st.st_size;
}

static void rewrite_all(struct worker *worker)
{
	off_t size = file_size(worker);
	int fd = open_file(worker, O_WRONLY | O_TRUNC);

	for (; size > 0; size -= RECORD)
		write_bytes(worker, fd, size < RECORD ? (size_t)size : RECORD);
	close(fd);
}

static void replace(struct worker *worker)
{
	char path[256];
	struct worker other = { .path = path, .counter = ++worker->counter };
	int fd;

	snprintf(path, sizeof(path), "%s.new", worker->path);
	fd = open_file(&other, O_WRONLY | O_CREAT | O_TRUNC);
	write_bytes(&other, fd, RECORD);
	close(fd);
	if (rename(path, worker->path) != 0)
		die("rename");
}

static void rewrite(struct worker *worker)
{
	worker->writing = open_file(worker, O_WRONLY);
	write_bytes(worker, worker->writing, 16);
}

static void close_writing(struct worker *worker)
{
	close(worker->writing);
	worker->writing = -1;
}

static void append(struct worker *worker)
{
	int fd = open_file(worker, O_WRONLY | O_APPEND | O_CREAT);

	write_bytes(worker, fd, RECORD);
	close(fd);
}

static void change(struct worker *worker, enum locker_change what)
{
	int failed = 0;

	switch (what) {
	case LOCKER_REWRITE:
		rewrite(worker);
		close_writing(worker);
		break;
	case LOCKER_APPEND:
		append(worker);
		break;
	case LOCKER_TRUNCATE:
		failed = truncate(worker->path, file_size(worker) - RECORD / 2);
		break;
	case LOCKER_REWRITE_ALL:
		rewrite_all(worker);
		break;
	case LOCKER_DELETE:
		failed = unlink(worker->path);
		break;
	case LOCKER_REPLACE:
		replace(worker);
		break;
	case LOCKER_TOUCH:
		failed = utimensat(AT_FDCWD, worker->path, NULL, 0);
		break;
	case LOCKER_CHANGES:
		abort();
	}
	if (failed)
		die(worker->path);
}

static bool obey(struct worker *worker, struct command command)
{
	switch (command.verb) {
	case TAKE:
		return take(worker, (enum locker_lock)command.argument);
	case RELEASE:
		close(worker->locked);
		worker->locked = -1;
		return true;
	case CHANGE:
		change(worker, (enum locker_change)command.argument);
		return true;
	case REWRITE_KEEPING_OPEN:
		rewrite(worker);
		return true;
	case CLOSE:
		close_writing(worker);
		return true;
	}
	abort();
}

/* Ends when the pipe is closed. */
_Noreturn static void work(const char *path, int in, int out)
{
	struct worker worker = { .path = path, .locked = -1, .writing = -1 };
	struct command command;

	for (int fd = STDERR_FILENO + 1; fd < HIGHEST_DESCRIPTOR; fd++)
		if (fd != in && fd != out)
			close(fd);
	while (read(in, &command, sizeof(command)) == sizeof(command)) {
		bool answer = obey(&worker, command);

		if (write(out, &answer, sizeof(answer)) != sizeof(answer))
			_exit(EXIT_FAILURE);
	}
	_exit(EXIT_SUCCESS);
}

void locker_start(struct locker *locker, const char *path)
{
	int to[2];
	int from[2];

	if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
		die("pipe2");
	fflush(stdout);
	locker->pid = fork();
	if (locker->pid < 0)
		die("fork");
	if (locker->pid == 0)
		work(path, to[0], from[1]);
	close(to[0]);
	close(from[1]);
	locker->to = to[1];
	locker->from = from[0];
}

void locker_stop(struct locker *locker)
{
	int status;

	close(locker->to);
	close(locker->from);
	if (waitpid(locker->pid, &status, 0) != locker->pid || status != 0)
		die("second process failed");
}

static bool ask(struct locker *locker, enum verb verb, int argument)
{
	struct command command = { verb, argument };
	bool answer = false;

	if (write(locker->to, &command, sizeof(command)) != sizeof(command) ||
	    read(locker->from, &answer, sizeof(answer)) != sizeof(answer))
		die("second process is gone");
	return answer;
}

bool locker_take(struct locker *locker, enum locker_lock lock)
{
	return ask(locker, TAKE, (int)lock);
}

bool locker_can_take(struct locker *locker, enum locker_lock lock)
{
	bool taken = ask(locker, TAKE, (int)lock);

	locker_release(locker);
	return taken;
}

void locker_release(struct locker *locker)
{
	ask(locker, RELEASE, 0);
}

void locker_change(struct locker *locker, enum locker_change change)
{
	ask(locker, CHANGE, (int)change);
}

void locker_rewrite_keeping_open(struct locker *locker)
{
	ask(locker, REWRITE_KEEPING_OPEN, 0);
}

void locker_close(struct locker *locker)
{
	ask(locker, CLOSE, 0);
}
