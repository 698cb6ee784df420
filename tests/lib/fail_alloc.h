/* SPDX-License-Identifier: MIT */
/*
 * Makes one allocation of the code under test fail. The program must be linked
 * with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc; what libraries allocate
 * for themselves, such as the nodes of tsearch(3), is not concerned.
 *
 *	for (n = 1, failed = true; failed; n++) {
 *		fail_alloc_at(n);
 *		r = do_something();
 *		failed = fail_alloc_end();
 *		...
 *	}
 */
#ifndef FAIL_ALLOC_H
#define FAIL_ALLOC_H

#include <stdbool.h>

/* The Nth allocation from now on fails; 1 is the next one. */
void fail_alloc_at(unsigned int n);

/* No allocation fails any more. Whether one did. */
bool fail_alloc_end(void);

#endif
