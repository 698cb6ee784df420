/* SPDX-License-Identifier: MIT */
#include "fail_alloc.h"

#include <errno.h>
#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static unsigned int remaining; /* until the one that fails; 0: none does */
static bool failed;

void fail_alloc_at(unsigned int n)
{
	remaining = n;
	failed = false;
}

bool fail_alloc_end(void)
{
	remaining = 0;
	return failed;
}

static bool this_one_fails(void)
{
	if (remaining == 0 || --remaining > 0)
		return false;
	failed = true;
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return this_one_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return this_one_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return this_one_fails() ? NULL : __real_realloc(old, size);
}
