/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <stdio.h>
#include <string.h>

#include "provisioning.h"
#include "read.h"
#include "wait.h"
#include "write.h"

static const struct cmd_command commands[] = {
	{
		.name = "get",
		.arguments = "[-n] [-a] [--names] [--json] KEY",
		.summary =
			"print the value of KEY, and a newline if it has none",
		.details =
			"  -n          exactly the value\n"
			"  -a          the values of all records of KEY, joined\n",
		.options = CMD_N | CMD_ALL | CMD_NAMES | CMD_JSON,
		.min_args = 1,
		.max_args = 1,
		.access = CMD_READS,
		.run = cmd_get,
	},
	{
		.name = "set",
		.arguments = "[-n] [--names] KEY [VALUE]",
		.summary = "store VALUE, or all of standard input",
		.details =
			"  -n          without the last newline of the input\n",
		.options = CMD_N | CMD_NAMES,
		.min_args = 1,
		.max_args = 2,
		.access = CMD_CHANGES,
		.run = cmd_set,
	},
	{
		.name = "add",
		.arguments = "[-n] [--names] KEY [VALUE]",
		.summary = "add a record, whatever records KEY has already",
		.details =
			"  -n          without the last newline of the input\n",
		.options = CMD_N | CMD_NAMES,
		.min_args = 1,
		.max_args = 2,
		.access = CMD_CHANGES,
		.run = cmd_add,
	},
	{
		.name = "rm",
		.arguments = "[--names] KEY...",
		.summary = "remove keys, all in one step",
		.details = "",
		.options = CMD_NAMES,
		.min_args = 1,
		.max_args = CMD_ANY_ARGS,
		.access = CMD_CHANGES,
		.run = cmd_rm,
	},
	{
		.name = "ls",
		.arguments = "[-l] [--json]",
		.summary = "list the keys, by the names of their files",
		.details =
			"  -l          with the value's size and the number of records\n",
		.options = CMD_LONG | CMD_JSON,
		.access = CMD_READS,
		.run = cmd_ls,
	},
	{
		.name = "entries",
		.arguments = "[--json]",
		.summary =
			"print each key once with its value, KEY=VALUE a line",
		.details = "",
		.options = CMD_JSON,
		.access = CMD_READS,
		.run = cmd_entries,
	},
	{
		.name = "records",
		.arguments = "[--json]",
		.summary = "print every record, KEY=VALUE a line",
		.details = "",
		.options = CMD_JSON,
		.access = CMD_READS,
		.run = cmd_records,
	},
	{
		.name = "load",
		.arguments = "[FILE]",
		.summary =
			"replace all records by the lines of FILE or of the input",
		.details = "",
		.max_args = 1,
		.access = CMD_CHANGES,
		.run = cmd_load,
	},
	{
		.name = "append",
		.arguments = "[FILE]",
		.summary = "add the lines of FILE or of the input as records",
		.details = "",
		.max_args = 1,
		.access = CMD_CHANGES,
		.run = cmd_append,
	},
	{
		.name = "dump",
		.arguments = "FILE",
		.summary = "copy the pool's bytes to FILE (-: standard output)",
		.details = "",
		.min_args = 1,
		.max_args = 1,
		.access = CMD_READS,
		.run = cmd_dump,
	},
	{
		.name = "restore",
		.arguments = "FILE",
		.summary =
			"make the bytes of FILE (-: standard input) the pool",
		.details = "",
		.min_args = 1,
		.max_args = 1,
		.access = CMD_CHANGES,
		.run = cmd_restore,
	},
	{
		.name = "clear",
		.arguments = "[--if-stale]",
		.summary = "empty the pool",
		.details =
			"  --if-stale  only if it has not changed since boot\n",
		.options = CMD_IF_STALE,
		.access = CMD_CHANGES,
		.run = cmd_clear,
	},
	{
		.name = "is-stale",
		.arguments = "",
		.summary = "succeed if the pool has not changed since boot",
		.details = "",
		.access = CMD_READS,
		.run = cmd_is_stale,
	},
	{
		.name = "status",
		.arguments = "[--json]",
		.summary = "print what there is to know of the pool",
		.details = "",
		.options = CMD_JSON,
		.access = CMD_LOOKS,
		.run = cmd_status,
	},
	{
		.name = "wait",
		.arguments = "[-t S] [--new] [--names] KEY [VALUE]",
		.summary =
			"wait until KEY is there, or has VALUE, and print it",
		.details =
			"  -t S        for S seconds; 0: look once (without: for ever)\n"
			"  --new       what is there already does not count\n",
		.options = CMD_TIMEOUT | CMD_NEW | CMD_NAMES,
		.min_args = 1,
		.max_args = 2,
		.access = CMD_LOOKS,
		.run = cmd_wait,
	},
	{
		.name = "watch",
		.arguments = "",
		.summary = "print a line for each change, as it happens",
		.details = "",
		.access = CMD_LOOKS,
		.run = cmd_watch,
	},
	{
		.name = "report",
		.arguments =
			"[OPTION...] success | -r REASON [OPTION...] failure",
		.summary = "tell the host how provisioning has ended",
		.details =
			"  -r REASON   why it failed\n"
			"  -i VM_ID    instead of the one in DMI (which root may read)\n"
			"  -e NAME=VALUE  one more field; may be repeated\n"
			"  -u URL      documentation of the failure; '' for none\n"
			"  --agent A   who reports (kvp)\n"
			"  --pps-type T  None (the default), PreprovisionedOSDisk,\n"
			"              Running, Savable or Unknown\n"
			"  -n          print the report and store nothing\n",
		.options = CMD_N | CMD_REPORT,
		.min_args = 1,
		.max_args = 1,
		.access = CMD_OPENS,
		.run = cmd_report,
	},
};

#define COMMANDS (sizeof(commands) / sizeof(*commands))

static const char common[] =
	"  -p, --pool POOL  a number (0-4), a name (external, guest, auto,\n"
	"              auto-external, auto-internal) or a file; default: guest\n"
	"  -o mode=restricted  keys to 254 bytes, values to 1022 (default)\n"
	"  -o mode=full  keys to 512 bytes, values to 2048\n"
	"  -o lock_timeout=S  wait S seconds for a lock (default: 5)\n"
	"  -h, --help  this text, or with a command its own\n"
	"  -V, --version  version\n";

const struct cmd_command *cmd_find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void help_on_all(void)
{
	printf("usage: kvp [-p POOL] [-o OPTION,...] COMMAND [ARGUMENT...]\n"
	       "\n"
	       "Works on a Hyper-V KVP pool, without a mount.\n"
	       "\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-10s  %s\n", commands[i].name, commands[i].summary);
	printf("\n%s", common);
}

void cmd_help(const struct cmd_command *command)
{
	if (!command) {
		help_on_all();
		return;
	}
	printf("usage: kvp [-p POOL] [-o OPTION,...] %s%s%s\n\n%s:\n%s\n\n",
	       command->name, command->arguments[0] ? " " : "",
	       command->arguments, command->name, command->summary);
	if (command->options & CMD_NAMES)
		printf("  --names     KEY is the name of a file in a mount\n");
	if (command->options & CMD_JSON)
		printf("  --json      as JSON\n");
	printf("%s%s", command->details, common);
}
