// SPDX-License-Identifier: GPL-2.0-only
/* guard.c: accesses to memory that may have gone, of which the thread that makes them can go on. */
#include <setjmp.h>

#include "machine.h"

struct guard {
	sigjmp_buf way_out;
};

/* Set while this thread is in mem_try() */
static __thread struct guard *current;

bool mem_try(void (*access)(void *data), void *data)
{
	struct guard guard;

	/* The mask need not be restored: handlers that call mem_lost() leave SIGBUS open */
	if (sigsetjmp(guard.way_out, 0)) {
		current = NULL;
		return false;
	}
	current = &guard;
	access(data);
	current = NULL;
	return true;
}

void mem_lost(void)
{
	if (current)
		siglongjmp(current->way_out, 1);
}
