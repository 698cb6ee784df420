/* SPDX-License-Identifier: MIT */
/*
 * The commands that only read a pool; see commands.h. They return an exit status.
 */
#ifndef CMD_READ_H
#define CMD_READ_H

#include "session.h"

int cmd_get(struct cmd_session *session);
int cmd_ls(struct cmd_session *session);
int cmd_entries(struct cmd_session *session);
int cmd_records(struct cmd_session *session);
int cmd_dump(struct cmd_session *session);
int cmd_is_stale(struct cmd_session *session);
int cmd_status(struct cmd_session *session);

#endif
