// SPDX-License-Identifier: GPL-2.0-only
/* debug.c: ports for test kernels, and the one that a panicking kernel writes to. */
#include <string.h>

#include "dev.h"

/* OUT n ends runvm with n << 1 | 1, as QEMU's isa-debug-exit does */
static void debug_exit(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	struct machine *m = opaque;
	uint8_t n = *(uint8_t *)data;

	if (write)
		machine_end(m, FATE_DEBUG_EXIT, (n << 1 | 1) & 0xff);
}

/* Bytes to the console, in Bochs's way: what is read says that it is there */
static void debug_console(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	struct machine *m = opaque;

	if (write)
		console_write(m, data, len);
	else
		memset(data, PORT_DEBUG_CONSOLE, len);
}

/* pvpanic (QEMU, docs/specs/pvpanic): bits that can be reported, and are */
#define PVPANIC_PANICKED	0x1
#define PVPANIC_CRASH_LOADED	0x2	/* a crash kernel takes over: nothing to be done */

static void pvpanic(void *opaque, uint64_t offset, unsigned int len, bool write, void *data)
{
	struct machine *m = opaque;
	uint8_t *events = data;

	if (!write)
		*events = PVPANIC_PANICKED | PVPANIC_CRASH_LOADED;
	else if (*events & PVPANIC_PANICKED)
		machine_end(m, FATE_PANIC, 0);
}

void debug_create(struct machine *m)
{
	bus_add_pio(m, PORT_DEBUG_EXIT, 1, debug_exit, m);
	bus_add_pio(m, PORT_DEBUG_CONSOLE, 1, debug_console, m);
	bus_add_pio(m, PORT_PVPANIC, 1, pvpanic, m);
}
