/* SPDX-License-Identifier: MIT */
/*
 * Key <-> file name. A name is its key, with %XX (upper-case hex) for
 *  - every '/', which no file name can hold;
 *  - a '%' that two hex digits follow, so that decoding is unambiguous;
 *  - the first '.' of the keys ".", ".." and ".kvpfs", which are taken.
 * Everything else stands for itself, so that "100%" is "100%". The mapping is a
 * bijection: a name that is not the encoding of its decoding is no name.
 *
 * Pure conversions on the caller's memory: no I/O, no allocation.
 */
#ifndef KVP_NAME_H
#define KVP_NAME_H

#include "record.h"

/* The longest name served; the kernel's own limit differs between versions. */
#define KVP_NAME_MAX 1024

/* The name below a mount point that stands for no key. */
#define KVP_NAME_RESERVED ".kvpfs"

enum kvp_name_error {
	KVP_NAME_TOO_LONG = 1, /* over KVP_NAME_MAX bytes */
	KVP_NAME_NUL = 2,      /* holds %00 */
	KVP_NAME_NOT_CANONICAL =
		3, /* reserved, or not the encoding of any key */
};

/*
 * Writes the name of KEY (1 to KVP_KEY_SIZE bytes, no NUL) to NAME and a NUL
 * behind it. Returns 0, or KVP_NAME_TOO_LONG: then NAME holds rubbish.
 */
int kvp_name_encode(struct kvp_bytes key, char name[KVP_NAME_MAX + 1],
		    size_t *ret_len);

/* Room for a name of newlines alone. */
#define KVP_NAME_LINE_MAX (3 * KVP_NAME_MAX)

/* The same for a line of text: a newline in the name stands as %0A; no NUL. */
int kvp_name_encode_line(struct kvp_bytes key, char line[KVP_NAME_LINE_MAX],
			 size_t *ret_len);

/*
 * Writes the key that NAME (a NUL-terminated string) stands for to KEY, which is
 * not NUL-terminated; it may be longer than any field. Returns 0 or one of
 * enum kvp_name_error: then KEY holds rubbish.
 */
int kvp_name_decode(const char *name, char key[KVP_NAME_MAX], size_t *ret_len);

#endif
