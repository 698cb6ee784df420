/* SPDX-License-Identifier: MIT */
/*
 * The commands that sleep until a pool changes; see commands.h. They return an exit
 * status. While nothing happens they do not wake up; where inotify is not to be had
 * they look once a second, and say so.
 */
#ifndef CMD_WAIT_H
#define CMD_WAIT_H

#include "session.h"

int cmd_wait(struct cmd_session *session);
int cmd_watch(struct cmd_session *session);

#endif
