/* SPDX-License-Identifier: MIT */
/*
 * The keys of the benchmark. bench and floorfs take their names from here, so that all
 * directories that are compared hold the same files. The names look and measure like
 * those of cloud-init and azure-init, with each '/' of the key already written as %2F.
 */
#ifndef BENCH_KEYS_H
#define BENCH_KEYS_H

#include <stdint.h>
#include <stdio.h>

#define BENCH_MAX_KEYS \
	1024 /* the cap of a pool: no directory ever holds more */
#define BENCH_VALUE_SIZE 100
#define BENCH_NAME_SIZE 192 /* enough for any name, NUL included */

/* A well mixed 64-bit number for each x (splitmix64). */
static inline uint64_t bench_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* Name of key @i; names of different keys differ in their last eight bytes. */
static inline void bench_key_name(unsigned int i, char name[BENCH_NAME_SIZE])
{
	static const char vm_id[] = "5f8a0c3e-7d21-4b96-a1e4-0c9d6b2f7e18";
	static const char *const events[] = {
		"start|init-local",
		"start|init-network%2Fcheck-cache",
		"finish|modules-config%2Fconfig-apt_configure",
		"log_event|azure-ds%2Fobtain lease",
		"finish|modules-final%2Fconfig-scripts_user",
	};
	uint64_t id = bench_mix(i);

	if (i % 4 == 3) {
		snprintf(name, BENCH_NAME_SIZE,
			 "azure-init-0.1.1|%s|INFO|provision:user|%08x%08x",
			 vm_id, (unsigned int)(id >> 32), i);
		return;
	}
	snprintf(name, BENCH_NAME_SIZE,
		 "CLOUD_INIT|%u|%s|%s|%08x-%04x-4%03x-a%03x-%04x%08x",
		 1760000000 + i / 5, events[i % 5], vm_id,
		 (unsigned int)(id >> 32), (unsigned int)(id >> 16 & 0xffff),
		 (unsigned int)(id >> 8 & 0xfff), (unsigned int)(id & 0xfff),
		 (unsigned int)(id >> 40 & 0xffff), i);
}

#endif
