/* SPDX-License-Identifier: MIT */
/*
 * kvp: the store from the command line, on the pool file itself.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "options.h"
#include "session.h"
#include "util.h"

/*
 * The first file that is opened must not get the number of a closed standard
 * descriptor, or messages would go into the pool. The stand-in is open in the wrong
 * direction: to write to a standard output that is not there is an error.
 */
static void occupy_standard_descriptors(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_PATH);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	kvp_close(fd);
}

static int run(const struct cmd_request *request)
{
	struct cmd_session session = { .request = request };
	const struct cmd_command *command = request->command;
	int status = CMD_DONE;

	if (command->access != CMD_OPENS)
		status = cmd_session_open(&session, command->access);
	if (status == CMD_DONE)
		status = command->run(&session);
	cmd_session_close(&session);
	/* one that has failed has said why */
	return status == CMD_DONE ? cmd_flush() : status;
}

int main(int argc, char *argv[])
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct cmd_request request;
	int status;

	umask(077);
	occupy_standard_descriptors();
	sigaction(SIGXFSZ, &ignore, NULL); /* write(2) says EFBIG instead */
	status = cmd_request_parse(&request, argc, argv);
	if (status == CMD_DONE && request.version) {
		printf("kvp %s\n", PACKAGE_VERSION);
		status = cmd_flush();
	} else if (status == CMD_DONE && request.help) {
		cmd_help(request.command);
		status = cmd_flush();
	} else if (status == CMD_DONE) {
		status = run(&request);
	}
	cmd_request_release(&request);
	return status;
}
