/* SPDX-License-Identifier: MIT */
/*
 * A view of the bytes of a file, without a copy of them. It is for finding out that they
 * are as they were: that takes two thirds of the time that reading them takes, if most of
 * them are padding that nobody needs to look at.
 *
 * What others write appears in a view at once, and what they cut off becomes zero bytes.
 * So what is found to differ must be read: only what was read stays as it is.
 *
 * One thread at a time, and only the view that was opened last may be looked at.
 */
#ifndef KVP_VIEW_H
#define KVP_VIEW_H

#include <stddef.h>
#include <sys/types.h>

/* Where a view may begin: a multiple of the size of a page, wherever this runs. */
#define KVP_VIEW_ALIGN ((size_t)64 << 10)

/* Members are this module's. All zero: not open. */
struct kvp_view {
	void *bytes;
	size_t size;
};

/*
 * Opens VIEW, which is not open, on the SIZE bytes of FILE, a descriptor that can be read
 * from, that are at OFFSET, a multiple of KVP_VIEW_ALIGN. Returns the bytes, good until
 * kvp_view_close, or NULL: there can be no view of this file. The first view makes this
 * module the handler of SIGBUS, and unblocks that; those that do not concern a view go on
 * to the handler before.
 */
const void *kvp_view_open(struct kvp_view *view, int file, off_t offset,
			  size_t size);

/* Nothing happens if VIEW is not open. */
void kvp_view_close(struct kvp_view *view);

#endif
