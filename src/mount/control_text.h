/* SPDX-License-Identifier: MIT */
/*
 * The store as text (text.h): ".kvpfs/records" and ".kvpfs/entries". Whole lines that
 * are appended to "records" become records at each write(2), in one step. Lines that
 * replace it are checked as they are written, since shells notice an error of write(2),
 * but none of close(2).
 */
#ifndef KVPFS_CONTROL_TEXT_H
#define KVPFS_CONTROL_TEXT_H

#include "control_replace.h"

extern const struct kvpfs_replace_kind kvpfs_control_records;
extern const struct kvpfs_shown_kind kvpfs_control_entries;

#endif
