/* SPDX-License-Identifier: MIT */
/*
 * What a key is in this mount, and the attributes that its file shows. key_file.h opens,
 * reads and changes it.
 */
#ifndef KVPFS_KEY_ATTR_H
#define KVPFS_KEY_ATTR_H

#include "call.h"

/* An open file of a key. */
struct kvpfs_key_open {
	struct kvpfs_open open; /* must come first */
	struct kvpfs_handle handle;
};

/* INODE is a key's. */
static inline struct kvpfs_node *kvpfs_node_of(struct kvpfs_inode *inode)
{
	return (struct kvpfs_node *)inode;
}

/* The handle of CALL, or NULL. */
static inline struct kvpfs_handle *kvpfs_handle_of(
	const struct kvpfs_call *call)
{
	if (!call->has_handle)
		return NULL;
	return &((struct kvpfs_key_open *)kvpfs_call_open(call))->handle;
}

/*
 * What KEY is in this mount: the stored entry, or an empty file that is being created;
 * or KVP_ABSENT. After 0 the caller owns the reference in the item.
 */
int kvpfs_find(struct kvpfs *fs, struct kvpfs_dir *dir, struct kvp_bytes key,
	       struct kvp_item *ret_item);

/* The value of NODE's file likewise, also if the file has no key any more. */
int kvpfs_find_value(struct kvpfs *fs, const struct kvpfs_node *node,
		     struct kvp_value **ret_value);

/* Fills in the attributes of NODE's file, with VALUE for its content. */
void kvpfs_fill_node(struct kvpfs *fs, const struct kvpfs_node *node,
		     const struct kvp_value *value, struct stat *st);

/*
 * Gives the file of CALL, a setattr, the mode, owner, group and time that CALL sets. ST
 * is what the file shows before, and becomes what it shows then. Results as
 * kvp_store_read, and -ENOSPC: KVPFS_GIVEN_MAX keys were given something.
 */
int kvpfs_give_to_key(struct kvpfs *fs, struct kvpfs_call *call,
		      struct stat *st);

/* Fills in what CALL, a getattr or setattr, shows now. Results as kvp_store_read. */
int kvpfs_look_at_key(struct kvpfs *fs, struct kvpfs_call *call,
		      struct stat *st);

#endif
