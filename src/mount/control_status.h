/* SPDX-License-Identifier: MIT */
/*
 * ".kvpfs/status": facts about a pool for administrators, as lines NAME=VALUE. show.h
 * finds and prints them, not this module.
 */
#ifndef KVPFS_CONTROL_STATUS_H
#define KVPFS_CONTROL_STATUS_H

#include "control_shown.h"

extern const struct kvpfs_shown_kind kvpfs_control_status;

#endif
