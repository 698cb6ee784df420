/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <errno.h>
#include <stdlib.h>

#include "utf8.h"
#include "util.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			     "abcdefghijklmnopqrstuvwxyz0123456789+/";

/* Four characters for the next one to three of LEN bytes. */
static void encode_group(const unsigned char *bytes, size_t len, char *out)
{
	unsigned int group = (unsigned int)bytes[0] << 16;

	if (len > 1)
		group |= (unsigned int)bytes[1] << 8;
	if (len > 2)
		group |= bytes[2];
	out[0] = digits[group >> 18];
	out[1] = digits[group >> 12 & 63];
	out[2] = '=';
	out[3] = '=';
	if (len > 1)
		out[2] = digits[group >> 6 & 63];
	if (len > 2)
		out[3] = digits[group & 63];
}

static json_t *base64(struct kvp_bytes bytes)
{
	size_t groups = (bytes.len + 2) / 3;
	kvp_autofree char *text = malloc(groups * 4 + 1);

	if (!text)
		return NULL;
	for (size_t i = 0; i < groups; i++)
		encode_group((const unsigned char *)bytes.data + i * 3,
			     bytes.len - i * 3, text + i * 4);
	return json_stringn(text, groups * 4);
}

int cmd_json_add(json_t *object, const char *name, struct kvp_bytes bytes)
{
	char as_base64[64];

	if (kvp_utf8_check(bytes, NULL) == KVP_UTF8_VALID)
		return json_object_set_new(object, name,
					   json_stringn(bytes.len ? bytes.data
								  : "",
							bytes.len))
			       ? -ENOMEM
			       : 0;
	snprintf(as_base64, sizeof(as_base64), "%s_base64", name);
	return json_object_set_new(object, as_base64, base64(bytes)) ? -ENOMEM
								     : 0;
}

int cmd_json_add_number(json_t *object, const char *name, size_t number)
{
	return json_object_set_new(object, name,
				   json_integer((json_int_t)number))
		       ? -ENOMEM
		       : 0;
}

int cmd_json_add_bool(json_t *object, const char *name, bool truth)
{
	return json_object_set_new(object, name, json_boolean(truth)) ? -ENOMEM
								      : 0;
}

/* Without a newline behind it. */
static int print(json_t *object, FILE *out)
{
	int r = object && json_dumpf(object, out, 0) == 0 ? 0 : -ENOMEM;

	json_decref(object);
	return r;
}

int cmd_json_print(json_t *object, FILE *out)
{
	int r = print(object, out);

	fputc('\n', out);
	return r;
}

int cmd_json_list_add(struct cmd_json_list *list, json_t *object, FILE *out)
{
	fputs(list->begun ? ",\n " : "[", out);
	list->begun = true;
	return print(object, out);
}

void cmd_json_list_end(const struct cmd_json_list *list, FILE *out)
{
	fputs(list->begun ? "]\n" : "[]\n", out);
}
