/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "message.h"
#include "pool_names.h"
#include "util.h"

#define DEFAULT_LOCK_TIMEOUT_MS 5000

/* What getopt_long returns for options that have no letter. */
enum long_option {
	LONG_JSON = 256,
	LONG_NAMES,
	LONG_NEW,
	LONG_IF_STALE,
	LONG_AGENT,
	LONG_PPS_TYPE,
};

/* In order ("-"), so that options may stand anywhere; ":": we say what is wrong. */
static const char letters[] = "-:p:o:hVnalt:r:i:e:u:";

static const struct option words[] = {
	{ "pool", required_argument, NULL, 'p' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ "json", no_argument, NULL, LONG_JSON },
	{ "names", no_argument, NULL, LONG_NAMES },
	{ "new", no_argument, NULL, LONG_NEW },
	{ "if-stale", no_argument, NULL, LONG_IF_STALE },
	{ "agent", required_argument, NULL, LONG_AGENT },
	{ "pps-type", required_argument, NULL, LONG_PPS_TYPE },
	{ NULL, 0, NULL, 0 },
};

/* Which options only some commands take, and how messages call them. */
static const struct {
	int value;
	enum cmd_option option;
	const char *text;
} owned[] = {
	{ 'n', CMD_N, "-n" },
	{ 'a', CMD_ALL, "-a" },
	{ 'l', CMD_LONG, "-l" },
	{ LONG_JSON, CMD_JSON, "--json" },
	{ LONG_NAMES, CMD_NAMES, "--names" },
	{ 't', CMD_TIMEOUT, "-t" },
	{ LONG_NEW, CMD_NEW, "--new" },
	{ LONG_IF_STALE, CMD_IF_STALE, "--if-stale" },
	{ 'r', CMD_REPORT, "-r" },
	{ 'i', CMD_REPORT, "-i" },
	{ 'e', CMD_REPORT, "-e" },
	{ 'u', CMD_REPORT, "-u" },
	{ LONG_AGENT, CMD_REPORT, "--agent" },
	{ LONG_PPS_TYPE, CMD_REPORT, "--pps-type" },
};

static int bad_value(const char *name, const char *value)
{
	cmd_message("bad value for option %s: \"%s\"", name, value);
	return CMD_USAGE;
}

/* Seconds, perhaps with a fraction, as milliseconds. */
static int parse_seconds(const char *name, const char *text, double max,
			 int64_t *ret_ms)
{
	double seconds;

	if (!kvp_parse_seconds(text, max, &seconds))
		return bad_value(name, text);
	*ret_ms = (int64_t)(seconds * 1000 + 0.5);
	return CMD_DONE;
}

/* One of the words behind -o. */
static int take_store_option(struct cmd_request *request, char *word)
{
	char *value = strchr(word, '=');
	int64_t ms;

	if (value)
		*value++ = '\0';
	if (value && strcmp(word, "mode") == 0) {
		request->mode = KVP_MODE_FULL;
		if (strcmp(value, "full") == 0)
			return CMD_DONE;
		request->mode = KVP_MODE_RESTRICTED;
		return strcmp(value, "restricted") == 0
			       ? CMD_DONE
			       : bad_value(word, value);
	}
	if (value && strcmp(word, "lock_timeout") == 0) {
		if (parse_seconds(word, value, 1e6, &ms) != CMD_DONE)
			return CMD_USAGE;
		request->lock_timeout_ms = (int)ms;
		return CMD_DONE;
	}
	if (strcmp(word, "mode") == 0 || strcmp(word, "lock_timeout") == 0)
		cmd_message("option needs a value: -o %s=", word);
	else
		cmd_message("unknown option: -o %s", word);
	return CMD_USAGE;
}

static int take_store_options(struct cmd_request *request, const char *text)
{
	kvp_autofree char *copy = strdup(text);
	char *rest = NULL;
	int status = CMD_DONE;

	if (!copy)
		return CMD_FAILED;
	for (char *word = strtok_r(copy, ",", &rest);
	     word && status == CMD_DONE; word = strtok_r(NULL, ",", &rest))
		status = take_store_option(request, word);
	return status;
}

static int take_extra(struct cmd_report *report, const char *extra)
{
	if (!strchr(extra, '=') || extra[0] == '=')
		return bad_value("-e", extra);
	report->extras[report->extra_count++] = extra;
	return CMD_DONE;
}

/* The argument of one of report's options. */
static int take_report_option(struct cmd_report *report, int value,
			      const char *argument)
{
	switch (value) {
	case 'r':
		report->reason = argument;
		return CMD_DONE;
	case 'i':
		report->vm_id = argument;
		return CMD_DONE;
	case 'u':
		report->url = argument;
		return CMD_DONE;
	case LONG_AGENT:
		report->agent = argument;
		return CMD_DONE;
	case LONG_PPS_TYPE:
		report->pps_type = argument;
		return CMD_DONE;
	default:
		return take_extra(report, argument);
	}
}

/* Takes an argument that is no option: the command, then what it is about. */
static int take_argument(struct cmd_request *request, char *argument)
{
	if (request->command) {
		request->args[request->arg_count++] = argument;
		return CMD_DONE;
	}
	request->command = cmd_find(argument);
	if (request->command)
		return CMD_DONE;
	cmd_message("no such command: \"%s\"; see kvp -h", argument);
	return CMD_USAGE;
}

/* An option that every command takes; the others are noted by note_owned. */
static int take_option(struct cmd_request *request, int value, char *argument)
{
	switch (value) {
	case 1:
		return take_argument(request, argument);
	case 'p':
		request->pool = argument;
		return CMD_DONE;
	case 'o':
		return take_store_options(request, argument);
	case 'h':
		request->help = true;
		return CMD_DONE;
	case 'V':
		request->version = true;
		return CMD_DONE;
	case 't':
		return parse_seconds("-t", argument, 1e9, &request->timeout_ms);
	default:
		return argument ? take_report_option(&request->report, value,
						     argument)
				: CMD_DONE;
	}
}

/* Says what getopt_long could not make sense of in ARGUMENT. */
static int refuse(int value, const char *argument)
{
	if (value == ':')
		cmd_message("option needs an argument: %s", argument);
	else if (optopt && strncmp(argument, "--", 2) != 0)
		cmd_message("unknown option: -%c; put -- before arguments "
			    "that begin with -",
			    optopt);
	else
		cmd_message("unknown option: %s; see kvp -h", argument);
	return CMD_USAGE;
}

/* NULL if the options that were given are COMMAND's, else one that is not. */
static const char *foreign_option(const struct cmd_command *command,
				  unsigned int values_given)
{
	for (size_t i = 0; i < sizeof(owned) / sizeof(*owned); i++)
		if (values_given & 1U << i &&
		    !(command->options & owned[i].option))
			return owned[i].text;
	return NULL;
}

static int check(const struct cmd_request *request, unsigned int values_given)
{
	const struct cmd_command *command = request->command;
	const char *foreign;

	if (request->help || request->version)
		return CMD_DONE;
	if (!command) {
		cmd_message("no command given; see kvp -h");
		return CMD_USAGE;
	}
	foreign = foreign_option(command, values_given);
	if (foreign) {
		cmd_message("%s: takes no %s; see kvp %s -h", command->name,
			    foreign, command->name);
		return CMD_USAGE;
	}
	if (request->arg_count >= command->min_args &&
	    request->arg_count <= command->max_args)
		return CMD_DONE;
	cmd_message("%s: too %s arguments; see kvp %s -h", command->name,
		    request->arg_count < command->min_args ? "few" : "many",
		    command->name);
	return CMD_USAGE;
}

/* Notes that the option VALUE was given, if it is not for all commands. */
static void note_owned(struct cmd_request *request, int value,
		       unsigned int *values_given)
{
	for (size_t i = 0; i < sizeof(owned) / sizeof(*owned); i++) {
		if (owned[i].value != value)
			continue;
		request->given |= owned[i].option;
		*values_given |= 1U << i;
	}
}

int cmd_request_parse(struct cmd_request *request, int argc, char *argv[])
{
	unsigned int values_given = 0; /* by place in the table */
	int status = CMD_DONE;
	int value;

	*request = (struct cmd_request){
		.pool = KVP_DEFAULT_POOL_NAME,
		.lock_timeout_ms = DEFAULT_LOCK_TIMEOUT_MS,
		.timeout_ms = -1,
		.args = calloc((size_t)argc + 1, sizeof(char *)),
		.report.extras = calloc((size_t)argc + 1, sizeof(char *)),
	};
	if (!request->args || !request->report.extras) {
		cmd_message("out of memory");
		return CMD_FAILED;
	}
	opterr = 0;
	while (status == CMD_DONE &&
	       (value = getopt_long(argc, argv, letters, words, NULL)) != -1) {
		if (value == '?' || value == ':')
			return refuse(value, argv[optind - 1]);
		note_owned(request, value, &values_given);
		status = take_option(request, value, optarg);
	}
	while (status == CMD_DONE && optind < argc)
		status = take_argument(request, argv[optind++]);
	return status == CMD_DONE ? check(request, values_given) : status;
}

void cmd_request_release(struct cmd_request *request)
{
	free(request->args);
	free(request->report.extras);
}
