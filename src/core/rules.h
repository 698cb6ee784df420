/* SPDX-License-Identifier: MIT */
/*
 * What may be written: the rules that a key and a value pass by themselves, without
 * a look at what else is stored. Reading and deleting know no limits.
 *
 * Pure checks of the caller's memory: no I/O, no allocation.
 */
#ifndef KVP_RULES_H
#define KVP_RULES_H

#include "record.h"
#include "result.h"

/* Unique keys; the nominal maximum of a pool, and the crate's. */
#define KVP_MAX_KEYS 1024

enum kvp_mode {
	KVP_MODE_RESTRICTED, /* what the host surely gets: 254 and 1022 bytes */
	KVP_MODE_FULL,	     /* what a record holds: 512 and 2048 bytes */
};

struct kvp_rules {
	size_t key_size; /* in bytes */
	size_t value_size;
};

struct kvp_rules kvp_rules_of(enum kvp_mode mode);

/* Returns 0, or the refusal with the details in *RET_FAULT. */
int kvp_rules_check_key(const struct kvp_rules *rules, struct kvp_bytes key,
			struct kvp_fault *ret_fault);
int kvp_rules_check_value(const struct kvp_rules *rules, struct kvp_bytes value,
			  struct kvp_fault *ret_fault);

/* Both, the key first. */
int kvp_rules_check(const struct kvp_rules *rules, const struct kvp_pair *pair,
		    struct kvp_fault *ret_fault);

#endif
