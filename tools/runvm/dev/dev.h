/* SPDX-License-Identifier: GPL-2.0-only */
/* dev.h: the devices of dev/, each in a file of its name. */
#ifndef RUNVM_DEV_H
#define RUNVM_DEV_H

#include "machine.h"

void console_create(struct machine *m);
void serial_create(struct machine *m);
void rtc_create(struct machine *m);
void i8042_create(struct machine *m);
void debug_create(struct machine *m);
void power_create(struct machine *m);

/* Zeroed memory, or the end of the program */
void *dev_alloc(size_t size);

#endif
