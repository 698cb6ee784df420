/* SPDX-License-Identifier: MIT */
/*
 * Files that a command reads or writes as a whole, and standard input and output in
 * their place. Pools are not opened here.
 */
#ifndef CMD_FILES_H
#define CMD_FILES_H

#include "bytes.h"

/*
 * Reads all of the file at PATH, or of standard input if PATH is NULL or "-"; what comes
 * behind LIMIT bytes may be left out. The caller frees ret_bytes->data with a cast.
 * Returns CMD_DONE, or CMD_FAILED after a message, also for more bytes than a pool may
 * have.
 */
int cmd_read_file(const char *path, size_t limit, struct kvp_bytes *ret_bytes);

/*
 * BYTES become the file at PATH, or go to standard output if PATH is "-". A new file is
 * its owner's alone. The file at AVOID (the pool) is refused. Results as cmd_read_file.
 */
int cmd_write_file(const char *path, const char *avoid, struct kvp_bytes bytes);

#endif
