/* SPDX-License-Identifier: MIT */
/*
 * The table of commands: name, arguments, help and function of each. options.h parses
 * the command line, not this module.
 */
#ifndef CMD_COMMANDS_H
#define CMD_COMMANDS_H

#include "request.h"

/* max_args of a command that takes any number of arguments. */
#define CMD_ANY_ARGS ((size_t)-1)

/* The command of that NAME, or NULL. */
const struct cmd_command *cmd_find(const char *name);

/* Prints the help of COMMAND, or of all if it is NULL. */
void cmd_help(const struct cmd_command *command);

#endif
