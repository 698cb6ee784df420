/* SPDX-License-Identifier: MIT */
/*
 * Parses the command line. Options stand before or after the command; "--" ends them.
 * This module opens no pool.
 */
#ifndef CMD_OPTIONS_H
#define CMD_OPTIONS_H

#include "request.h"

/*
 * Parses the command line; what REQUEST points to is inside ARGV. Returns CMD_DONE, or
 * CMD_USAGE or CMD_FAILED after a message. REQUEST must be released in any case.
 */
int cmd_request_parse(struct cmd_request *request, int argc, char *argv[]);
void cmd_request_release(struct cmd_request *request);

#endif
