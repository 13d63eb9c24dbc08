// SPDX-License-Identifier: GPL-2.0-only
/* dev.c: the devices that every machine has. */
#include <stdlib.h>

#include "dev.h"

void *dev_alloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		die("not enough memory");
	return p;
}

void dev_create(struct machine *m)
{
	console_create(m);
	serial_create(m);
	rtc_create(m);
	i8042_create(m);
	debug_create(m);
	power_create(m);
}
