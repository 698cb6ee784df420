/* SPDX-License-Identifier: MIT */
/*
 * Which pool is meant. POOL on a command line is a number (0 to 4), a name
 * ("external", "guest", "auto", "auto-external", "auto-internal"), or a file. This
 * module opens no pool.
 *
 * A slip must not destroy anything: a word that is none of these makes no file of that
 * name, and a file that cannot be a pool is not written to.
 */
#ifndef KVP_POOL_NAMES_H
#define KVP_POOL_NAMES_H

#include <stddef.h>

#define KVP_POOL_COUNT 5

/* Where the KVP daemon keeps the pools. */
#define KVP_POOL_DIRECTORY "/var/lib/hyperv"

/* What is meant if no POOL is given: the pool whose records the host reads. */
#define KVP_DEFAULT_POOL_NAME "guest"

/* The number that POOL, a number or a name, stands for; -1: none. */
int kvp_pool_number(const char *pool);

/*
 * What the pool at PATH is called, for messages: its name if the file is named as
 * the daemon names it, else the name of the file.
 */
const char *kvp_pool_name(const char *path);

/* The path of pool NUMBER in DIRECTORY, to be freed; 0 or -ENOMEM. */
int kvp_pool_path_in(const char *directory, int number, char **ret_path);

/*
 * The path of what POOL stands for, to be freed. Returns 0, -ENOMEM,
 * KVP_NO_SUCH_POOL, or KVP_NOT_A_POOL. A path is not looked at any further: its
 * file may be missing or of another kind.
 */
int kvp_pool_resolve(const char *pool, char **ret_path);

/*
 * Why a pool could not be found or opened, by the RESULT of kvp_pool_resolve or
 * kvp_store_pool_open: writes that to BUF of SIZE bytes and returns it.
 */
const char *kvp_pool_reason(int result, char *buf, size_t size);

#endif
