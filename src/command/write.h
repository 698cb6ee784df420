/* SPDX-License-Identifier: MIT */
/*
 * The commands that change a pool, each in one locked step; see commands.h. They
 * return an exit status. They check no keys and values: the store does.
 */
#ifndef CMD_WRITE_H
#define CMD_WRITE_H

#include "session.h"

int cmd_set(struct cmd_session *session);
int cmd_add(struct cmd_session *session);
int cmd_rm(struct cmd_session *session);
int cmd_load(struct cmd_session *session);
int cmd_append(struct cmd_session *session);
int cmd_restore(struct cmd_session *session);
int cmd_clear(struct cmd_session *session);

#endif
