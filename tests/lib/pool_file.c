/* SPDX-License-Identifier: MIT */
#include "pool_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

static void die(const char *what)
{
	perror(what);
	abort();
}

void pool_file_release(struct pool_file *file)
{
	free(file->records);
	*file = (struct pool_file){ .exists = false };
}

static void fill(char *field, size_t size, struct kvp_bytes text, char noise)
{
	if (text.len > size)
		abort();
	memset(field, noise, size);
	if (text.len > 0)
		memcpy(field, text.data, text.len);
	if (text.len < size)
		field[text.len] = '\0';
}

struct pool_file_record pool_file_record(struct kvp_bytes key,
					 struct kvp_bytes value, char noise)
{
	struct pool_file_record record;

	fill(record.bytes, POOL_FILE_KEY, key, noise);
	fill(record.bytes + POOL_FILE_KEY, POOL_FILE_RECORD - POOL_FILE_KEY,
	     value, noise);
	return record;
}

static struct kvp_bytes field_of(const char *field, size_t size)
{
	struct kvp_bytes text = { field, 0 };

	while (text.len < size && field[text.len])
		text.len++;
	return text;
}

struct kvp_bytes pool_file_key(const struct pool_file_record *record)
{
	return field_of(record->bytes, POOL_FILE_KEY);
}

struct kvp_bytes pool_file_value(const struct pool_file_record *record)
{
	return field_of(record->bytes + POOL_FILE_KEY,
			POOL_FILE_RECORD - POOL_FILE_KEY);
}

static void reserve(struct pool_file *file, size_t count)
{
	if (count <= file->capacity)
		return;
	file->capacity = count * 2;
	file->records = realloc(file->records,
				file->capacity * sizeof(*file->records));
	if (!file->records)
		die("realloc");
}

void pool_file_add(struct pool_file *file, struct kvp_bytes key,
		   struct kvp_bytes value, char noise)
{
	file->exists = true;
	reserve(file, file->count + 1);
	file->records[file->count++] = pool_file_record(key, value, noise);
}

void pool_file_add_text(struct pool_file *file, const char *key,
			const char *value, char noise)
{
	pool_file_add(file, check_bytes(key), check_bytes(value), noise);
}

void pool_file_cut(struct pool_file *file, size_t slot)
{
	file->count--;
	memmove(file->records + slot, file->records + slot + 1,
		(file->count - slot) * sizeof(*file->records));
}

void pool_file_tear(struct pool_file *file, size_t size, char c)
{
	if (size >= POOL_FILE_RECORD)
		abort();
	file->exists = true;
	file->tail_size = size;
	memset(file->tail, c, size);
}

void pool_file_copy(struct pool_file *to, const struct pool_file *from)
{
	pool_file_release(to);
	*to = *from;
	to->records = NULL;
	to->capacity = 0;
	reserve(to, from->count);
	if (from->count > 0)
		memcpy(to->records, from->records,
		       from->count * sizeof(*from->records));
}

static void write_all(int fd, const void *data, size_t size)
{
	if (size > 0 && write(fd, data, size) != (ssize_t)size)
		die("write");
}

void pool_file_store(const struct pool_file *file, const char *path)
{
	int fd;

	if (!file->exists) {
		if (unlink(path) != 0 && errno != ENOENT)
			die(path);
		return;
	}
	/* ext4 writes at once to the disk what was truncated to nothing first */
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		die(path);
	write_all(fd, file->records, file->count * sizeof(*file->records));
	write_all(fd, file->tail, file->tail_size);
	if (ftruncate(fd, lseek(fd, 0, SEEK_CUR)) != 0)
		die(path);
	close(fd);
}

static size_t read_all(int fd, void *data, size_t size)
{
	size_t done = 0;
	ssize_t n = 1;

	while (n > 0 && done < size) {
		n = read(fd, (char *)data + done, size - done);
		if (n < 0)
			die("read");
		done += (size_t)n;
	}
	return done;
}

void pool_file_load(struct pool_file *file, const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	pool_file_release(file);
	if (fd < 0 && errno == ENOENT)
		return;
	if (fd < 0 || fstat(fd, &st) != 0)
		die(path);
	file->exists = true;
	file->count = (size_t)st.st_size / POOL_FILE_RECORD;
	file->tail_size = (size_t)st.st_size % POOL_FILE_RECORD;
	reserve(file, file->count);
	if (read_all(fd, file->records, file->count * POOL_FILE_RECORD) !=
		    file->count * POOL_FILE_RECORD ||
	    read_all(fd, file->tail, file->tail_size) != file->tail_size)
		die("file was cut while it was read");
	close(fd);
}

bool pool_file_equal(const struct pool_file *a, const struct pool_file *b)
{
	if (a->exists != b->exists || a->count != b->count ||
	    a->tail_size != b->tail_size ||
	    memcmp(a->tail, b->tail, a->tail_size) != 0)
		return false;
	return a->count == 0 ||
	       memcmp(a->records, b->records, a->count * POOL_FILE_RECORD) == 0;
}

bool pool_file_is(const struct pool_file *file, const char *path)
{
	struct pool_file now = { .exists = false };
	bool equal;

	pool_file_load(&now, path);
	equal = pool_file_equal(file, &now);
	pool_file_release(&now);
	return equal;
}

const struct pool_file_record *pool_file_find(const struct pool_file *file,
					      struct kvp_bytes key)
{
	const struct pool_file_record *found = NULL;

	for (size_t i = 0; i < file->count; i++)
		if (kvp_bytes_equal(pool_file_key(&file->records[i]), key))
			found = &file->records[i];
	return found;
}

size_t pool_file_repeats(const struct pool_file *file, struct kvp_bytes key)
{
	size_t repeats = 0;

	for (size_t i = 0; i < file->count; i++)
		repeats += kvp_bytes_equal(pool_file_key(&file->records[i]),
					   key);
	return repeats;
}

const char *pool_file_path(const char *name)
{
	static char paths[32][256];
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", check_directory(), name);
	for (size_t i = 0; i < COUNT(paths); i++) {
		if (!paths[i][0])
			memcpy(paths[i], path, sizeof(path));
		if (strcmp(paths[i], path) == 0)
			return paths[i];
	}
	abort();
}

const char *pool_file_new(const char *name, const struct pool_file *content)
{
	const struct pool_file none = { .exists = false };
	const char *path = pool_file_path(name);

	pool_file_store(content ? content : &none, path);
	return path;
}
