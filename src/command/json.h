/* SPDX-License-Identifier: MIT */
/*
 * What --json prints. JSON is UTF-8, and pools hold any bytes. So bytes that are not
 * UTF-8 stand as base64 in a member of their own: "value_base64" instead of "value".
 *
 * The library is jansson: it keeps the order of members, checks what it is given, and
 * depends on nothing else.
 */
#ifndef CMD_JSON_H
#define CMD_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "bytes.h"

/* Adds a member to OBJECT, NAME or NAME_base64; 0 or -ENOMEM. */
int cmd_json_add(json_t *object, const char *name, struct kvp_bytes bytes);
int cmd_json_add_number(json_t *object, const char *name, size_t number);
int cmd_json_add_bool(json_t *object, const char *name, bool truth);

/* Prints OBJECT, and gives it back. NULL stands for no memory: -ENOMEM. */
int cmd_json_print(json_t *object, FILE *out);

/* A list of objects, each printed when it is added. Begins as zeros. */
struct cmd_json_list {
	bool begun;
};

/* As cmd_json_print, for the next element of LIST. */
int cmd_json_list_add(struct cmd_json_list *list, json_t *object, FILE *out);
void cmd_json_list_end(const struct cmd_json_list *list, FILE *out);

#endif
