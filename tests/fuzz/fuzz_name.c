/* SPDX-License-Identifier: MIT */
/*
 * Keys and file names: each key has one name, which leads back to it, and each
 * name that leads to a key is the name of that key.
 */
#include <string.h>

#include "fuzz.h"
#include "name.h"

static void encode_and_decode(struct kvp_bytes key)
{
	char name[KVP_NAME_MAX + 1];
	char again[KVP_NAME_MAX];
	size_t len;
	struct kvp_bytes decoded = { again, 0 };

	if (kvp_name_encode(key, name, &len)) {
		must(3 * key.len > KVP_NAME_MAX);
		return;
	}
	must(len <= KVP_NAME_MAX && strlen(name) == len);
	must(!strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..") &&
	     strcmp(name, KVP_NAME_RESERVED));
	must(kvp_name_decode(name, again, &decoded.len) == 0);
	must(kvp_bytes_equal(decoded, key));
}

static void decode_and_encode(const char *name)
{
	char key[KVP_NAME_MAX];
	char again[KVP_NAME_MAX + 1];
	size_t key_len;
	size_t len;

	if (kvp_name_decode(name, key, &key_len))
		return;
	must(key_len > 0 && !memchr(key, '\0', key_len));
	must(kvp_name_encode((struct kvp_bytes){ key, key_len }, again, &len) ==
	     0);
	must(len == strlen(name) && !strcmp(again, name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *name = malloc(size + 1); /* so that its end is guarded */
	size_t len;

	must(name);
	if (size > 0)
		memcpy(name, data, size);
	name[size] = '\0';
	len = strlen(name);
	decode_and_encode(name);
	if (len > 0)
		encode_and_decode((struct kvp_bytes){
			name, len < KVP_KEY_SIZE ? len : KVP_KEY_SIZE });
	free(name);
	return 0;
}
