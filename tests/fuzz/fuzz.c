/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Instead of libc's: the end of an instance takes the kernel tens of milliseconds,
 * so that some of them last, and are duplicated by turns, for more pools than are
 * ever open at a time.
 */
int inotify_init1(int flags)
{
	static int instances[8];
	static unsigned int turn;
	int *instance = &instances[turn++ % 8];

	if (!*instance)
		*instance = (int)syscall(SYS_inotify_init1, flags);
	return fcntl(*instance, F_DUPFD_CLOEXEC, 0);
}

struct kvp_bytes fuzz_string(struct kvp_bytes *input, char buf[], size_t size)
{
	/* around the limits of the modes, of a record, and beyond */
	static const size_t lengths[] = { 0,   253,  254,  255,	 511,  512,
					  513, 1021, 1022, 1023, 2047, 2048 };
	unsigned int kind = fuzz_byte(input);
	struct kvp_bytes piece = fuzz_take(input, 1 + kind % 16);
	size_t len = lengths[kind / 16 % (sizeof(lengths) / sizeof(*lengths))];

	if (len == 0)
		len = piece.len;
	if (len > size)
		len = size;
	for (size_t i = 0; i < len; i++)
		buf[i] = piece.len ? piece.data[i % piece.len] : 'x';
	return (struct kvp_bytes){ buf, len };
}

static char directory[64];

static void remove_directory(void)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	rmdir(directory);
}

const char *fuzz_directory(void)
{
	const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm"
							   : "/tmp";

	if (directory[0])
		return directory;
	strcpy(directory, parent);
	strcat(directory, "/kvpfs-fuzz-XXXXXX");
	must(mkdtemp(directory));
	atexit(remove_directory);
	return directory;
}
