/* SPDX-License-Identifier: MIT */
#include "provisioning.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

#define REPORT_KEY "PROVISIONING_REPORT"
#define DEFAULT_URL "https://aka.ms/linuxprovisioningerror"

/* The path of FILE on the machine that the report is about; NULL: no memory. */
static char *path_of_machine(const char *file)
{
	const char *root = getenv("KVP_ROOT");
	char *path = NULL;

	return asprintf(&path, "%s/%s", root ? root : "", file) < 0 ? NULL
								    : path;
}

static bool machine_has(const char *file)
{
	kvp_autofree char *path = path_of_machine(file);

	return path && access(path, F_OK) == 0;
}

/* The first line of FILE, to be freed; NULL: there is none. */
static char *read_of_machine(const char *file)
{
	kvp_autofree char *path = path_of_machine(file);
	FILE *opened = path ? fopen(path, "re") : NULL;
	char *line = NULL;
	size_t size = 0;

	if (!opened)
		return NULL;
	if (getline(&line, &size, opened) < 0) {
		free(line);
		line = NULL;
	}
	(void)fclose(opened);
	return line;
}

/* Whether ID is 8-4-4-4-12 hexadecimal digits. */
static bool is_uuid(const char *id)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (strlen(id) != strlen(form))
		return false;
	for (size_t i = 0; form[i]; i++)
		if (form[i] == 'x' ? !isxdigit((unsigned char)id[i])
				   : id[i] != form[i])
			return false;
	return true;
}

/* Turns round the COUNT bytes, of two digits each, at TEXT. */
static void turn_bytes(char *text, size_t count)
{
	for (size_t i = 0; i < count / 2; i++) {
		char *a = text + 2 * i;
		char *b = text + 2 * (count - 1 - i);
		char byte[2] = { a[0], a[1] };

		memcpy(a, b, 2);
		memcpy(b, byte, 2);
	}
}

/* White space at both ends goes, and letters become small. */
static void tidy(char *line)
{
	size_t skip = strspn(line, " \t\r\n");
	size_t len = strlen(line + skip);

	memmove(line, line + skip, len + 1);
	while (len > 0 && isspace((unsigned char)line[len - 1]))
		line[--len] = '\0';
	for (size_t i = 0; i < len; i++)
		line[i] = (char)tolower((unsigned char)line[i]);
}

/*
 * The VM's ID, to be freed; NULL if it cannot be read. DMI has the first three parts
 * of a UUID with their bytes turned round, unless UEFI has put them right: that is
 * generation 2.
 */
static char *read_vm_id(void)
{
	char *id = read_of_machine("sys/class/dmi/id/product_uuid");

	if (!id)
		return NULL;
	tidy(id);
	if (id[0] == '\0') {
		free(id);
		return NULL;
	}
	if (is_uuid(id) && !machine_has("sys/firmware/efi") &&
	    !machine_has("dev/efi")) {
		turn_bytes(id, 4);
		turn_bytes(id + 9, 2);
		turn_bytes(id + 14, 2);
	}
	return id;
}

/*
 * One more field of the report, NAME=VALUE or just VALUE: in quotes where something in
 * it needs them, as the csv crate has it with "|" for a delimiter.
 */
static void add_field(FILE *out, const char *name, const char *value)
{
	bool quoted = strpbrk(value, "|\"\r\n");

	if (ftell(out) > 0)
		fputc('|', out);
	if (quoted)
		fputc('"', out);
	if (name)
		fprintf(out, "%s=", name);
	for (; *value; value++) {
		if (*value == '"')
			fputc('"', out);
		fputc(*value, out);
	}
	if (quoted)
		fputc('"', out);
}

static void add_extras(FILE *out, const struct cmd_report *report)
{
	for (size_t i = 0; i < report->extra_count; i++)
		add_field(out, NULL, report->extras[i]);
}

/* What every report says of the machine and of now. */
static void add_common(FILE *out, const struct cmd_report *report,
		       const char *vm_id)
{
	char now[sizeof("2030-01-02T03:04:05+00:00") + 8];
	struct timespec time;
	struct tm tm;

	add_field(out, "pps_type",
		  report->pps_type ? report->pps_type : "None");
	add_field(out, "vm_id", vm_id);
	/* time(2) may be in the second before */
	clock_gettime(CLOCK_REALTIME, &time);
	gmtime_r(&time.tv_sec, &tm);
	strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%S+00:00", &tm);
	add_field(out, "timestamp", now);
}

static void write_report(FILE *out, const struct cmd_report *report,
			 const char *vm_id)
{
	const char *agent = report->agent ? report->agent : "kvp";
	const char *url = report->url ? report->url : DEFAULT_URL;

	if (!report->reason) {
		add_field(out, "result", "success");
		add_field(out, "agent", agent);
		add_common(out, report, vm_id);
		add_extras(out, report);
		return;
	}
	add_field(out, "result", "error");
	add_field(out, "reason", report->reason);
	add_field(out, "agent", agent);
	add_extras(out, report);
	add_common(out, report, vm_id);
	if (url[0])
		add_field(out, "documentation_url", url);
}

static int usage(const char *problem)
{
	cmd_message("report: %s; see kvp report -h", problem);
	return CMD_USAGE;
}

static int check_options(const struct cmd_request *request)
{
	static const char *const types[] = { "None", "PreprovisionedOSDisk",
					     "Running", "Savable", "Unknown" };
	const struct cmd_report *report = &request->report;
	bool failed = strcmp(request->args[0], "failure") == 0;
	const char *type = report->pps_type;

	if (!failed && strcmp(request->args[0], "success") != 0)
		return usage("success or failure is to be reported");
	if (failed && (!report->reason || !report->reason[0]))
		return usage("a failure needs its reason (-r)");
	if (!failed && (report->reason || report->url))
		return usage("-r and -u are for a failure");
	for (size_t i = 0; type && i < sizeof(types) / sizeof(*types); i++)
		if (strcmp(type, types[i]) == 0)
			type = NULL;
	return type ? usage("no such type (--pps-type)") : CMD_DONE;
}

static int store_step(struct cmd_session *session, void *arg)
{
	const struct kvp_bytes *report = arg;
	const struct kvp_bytes key = { REPORT_KEY, strlen(REPORT_KEY) };

	return kvp_store_write(session->store, key, *report);
}

static int store_report(struct cmd_session *session, struct kvp_bytes report)
{
	const struct kvp_bytes key = { REPORT_KEY, strlen(REPORT_KEY) };
	int status = cmd_session_open(session, CMD_CHANGES);

	return status ? status
		      : cmd_fail(session, &key,
				 cmd_try(session, store_step, &report));
}

int cmd_report(struct cmd_session *session)
{
	const struct cmd_report *report = &session->request->report;
	kvp_autofree char *read_id = NULL;
	kvp_autofree char *text = NULL;
	const char *vm_id = report->vm_id;
	size_t size = 0;
	FILE *out;
	int status = check_options(session->request);

	if (status)
		return status;
	if (!vm_id || !vm_id[0]) {
		read_id = read_vm_id();
		vm_id = read_id;
	}
	if (!vm_id) {
		cmd_message("report: cannot read the VM's ID from DMI; give "
			    "it with -i");
		return CMD_FAILED;
	}
	out = open_memstream(&text, &size);
	if (out)
		write_report(out, report, vm_id);
	if (!out || fclose(out) != 0) {
		cmd_message("report: %s", strerror(ENOMEM));
		return CMD_FAILED;
	}
	if (!cmd_has(session->request, CMD_N))
		return store_report(session, (struct kvp_bytes){ text, size });
	printf("%s\n", text);
	return CMD_DONE;
}
