/* SPDX-License-Identifier: MIT */
/*
 * The table of operations that libfuse calls: each request becomes a struct
 * kvpfs_call. libfuse answers ENOSYS to what is not in the table, such as extended
 * attributes. The kernel then stops asking.
 */
#ifndef KVPFS_OPS_H
#define KVPFS_OPS_H

#include "call.h"

extern const struct fuse_lowlevel_ops kvpfs_ops;

#endif
