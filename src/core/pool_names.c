/* SPDX-License-Identifier: MIT */
#include "pool_names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "record.h"
#include "result.h"
#include "util.h"

/* How the daemon names the files, followed by the number. */
#define POOL_FILE ".kvp_pool_"

/* By number (Linux: include/uapi/linux/hyperv.h, enum hv_kvp_exchg_pool). */
static const char *const names[KVP_POOL_COUNT] = {
	"external", "guest", "auto", "auto-external", "auto-internal",
};

int kvp_pool_number(const char *pool)
{
	for (int i = 0; i < KVP_POOL_COUNT; i++)
		if (strcmp(pool, names[i]) == 0 ||
		    (pool[0] == '0' + i && pool[1] == '\0'))
			return i;
	return -1;
}

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Whether the file's name is one that only pools have. */
static bool is_named_as_a_pool(const char *path)
{
	return strncmp(file_name(path), POOL_FILE, strlen(POOL_FILE)) == 0;
}

const char *kvp_pool_name(const char *path)
{
	int number = -1;

	if (is_named_as_a_pool(path))
		number = kvp_pool_number(file_name(path) + strlen(POOL_FILE));
	return number < 0 ? file_name(path) : names[number];
}

int kvp_pool_path_in(const char *directory, int number, char **ret_path)
{
	char *path = NULL;

	if (asprintf(&path, "%s/" POOL_FILE "%d", directory, number) < 0)
		return -ENOMEM;
	*ret_path = path;
	return 0;
}

/*
 * Whether the file at PATH begins with something else than a record: text, for
 * example, which the first write would destroy. A file that is empty, is missing or
 * cannot be read does not.
 */
static bool begins_with_no_record(const char *path)
{
	struct kvp_record record;
	struct stat st;
	size_t size = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    kvp_pread_all(fd, &record, sizeof(record), 0, &size) != 0)
		size = 0;
	kvp_close(fd);
	return size > 0 && !memchr(&record, '\0', size);
}

/* Whether POOL is no path, and stands neither for a pool nor for a file. */
static bool stands_for_nothing(const char *pool)
{
	struct stat st;

	if (strchr(pool, '/') || is_named_as_a_pool(pool))
		return false;
	/* a file that is called so needs a path, as "./5" */
	if (pool[strspn(pool, "0123456789")] == '\0')
		return true;
	return lstat(pool, &st) != 0 && errno == ENOENT;
}

int kvp_pool_resolve(const char *pool, char **ret_path)
{
	int number = kvp_pool_number(pool);
	char *path;

	if (number >= 0)
		return kvp_pool_path_in(KVP_POOL_DIRECTORY, number, ret_path);
	if (stands_for_nothing(pool))
		return KVP_NO_SUCH_POOL;
	if (!is_named_as_a_pool(pool) && begins_with_no_record(pool))
		return KVP_NOT_A_POOL;
	path = strdup(pool);
	if (!path)
		return -ENOMEM;
	*ret_path = path;
	return 0;
}

const char *kvp_pool_reason(int result, char *buf, size_t size)
{
	if (result == -EINVAL)
		return "not a regular file";
	if (result == -EFBIG)
		return "larger than 1 GiB";
	return kvp_result_message(result, NULL, buf, size);
}
