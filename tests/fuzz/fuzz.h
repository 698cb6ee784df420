/* SPDX-License-Identifier: MIT */
/*
 * What the fuzzers share: claims that must hold, and taking an input apart. From an
 * input that has come to its end everything that is taken is 0 or empty.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void must(bool claim)
{
	if (!claim)
		abort();
}

static inline struct kvp_bytes fuzz_take(struct kvp_bytes *input, size_t len)
{
	struct kvp_bytes taken = { input->data, len };

	if (taken.len > input->len)
		taken.len = input->len;
	input->data += taken.len;
	input->len -= taken.len;
	return taken;
}

static inline unsigned int fuzz_byte(struct kvp_bytes *input)
{
	struct kvp_bytes byte = fuzz_take(input, 1);

	return byte.len ? (unsigned char)*byte.data : 0;
}

/* A number below BELOW, which is 256 at the most. */
static inline unsigned int fuzz_below(struct kvp_bytes *input,
				      unsigned int below)
{
	return fuzz_byte(input) % below;
}

/*
 * A string of up to SIZE bytes: a few literally, or a piece that is repeated until
 * it is as long as asked for, so that short inputs reach every limit.
 */
struct kvp_bytes fuzz_string(struct kvp_bytes *input, char buf[], size_t size);

/* Makes a directory of this process in memory, if possible; removed at exit. */
const char *fuzz_directory(void);

#endif
