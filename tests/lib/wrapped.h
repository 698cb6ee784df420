/* SPDX-License-Identifier: MIT */
/*
 * The names that the linker sees of calls that --wrap=CALL replaces, where large files
 * have calls of their own: on 32-bit systems it is --wrap=CALL64.
 */
#ifndef WRAPPED_H
#define WRAPPED_H

#include <stdint.h>
#include <sys/types.h>

#if defined(__USE_FILE_OFFSET64) && UINTPTR_MAX == UINT32_MAX
#define WRAPPED(call) __wrap_##call##64
#define REAL(call) __real_##call##64
#else
#define WRAPPED(call) __wrap_##call
#define REAL(call) __real_##call
#endif

#endif
