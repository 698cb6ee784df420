/* SPDX-License-Identifier: MIT */
/*
 * The kernel that fuzz_requests.c plays: what it knows from earlier replies, and the
 * requests that it makes of that and of the input. It keeps what it knows as a real
 * one does: what is open or under way is not forgotten, what is released is not used.
 * What others do to the pool meanwhile is chosen here, too.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "record.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define INTERRUPT_BIT ((uint64_t)1 << 62)

enum kind { TOP, POOL, CONTROL, KEY, CONTROL_FILE };

struct node {
	uint64_t id; /* 0: free */
	uint64_t lookups;
	enum kind kind;
	unsigned int uses; /* handles and requests under way */
};

struct handle {
	bool open;
	bool closing;
	uint64_t fh;
	struct node *node;
	int flags;
	unsigned int uses; /* requests under way */
	bool has_read;	   /* the whole value */
	size_t len;
	char value[KVP_VALUE_SIZE];
};

struct request {
	uint64_t unique; /* 0: free */
	uint32_t opcode;
	struct node *node;
	struct handle *handle;
	enum kind kind; /* of the node that a lookup leads to */
	int flags;
	uint64_t offset;
	uint32_t size;
};

struct kernel {
	struct kvp_bytes input;
	uint64_t last_unique;
	struct node nodes[32]; /* the first is the root */
	struct handle handles[16];
	struct request requests[24];
	char path[128]; /* of a pool */
	int locker;
	bool outsider; /* somebody else has written */
	unsigned int pauses;
	char *out; /* where the request goes that is being made */
	size_t len;
};

extern struct kernel k;

/* The node of this id, 0 standing for a free place; or NULL. */
struct node *find_node(uint64_t id);

/* The next request in OUT, of this length; 0: the input is at its end. */
size_t kernel_ask(char *out);

#endif
