/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_SMP_H
#define SHIM_SMP_H

/* Defined by tests that make processors up */
int raw_smp_processor_id(void);
void on_each_cpu(void (*fn)(void *arg), void *arg, int wait);

#endif
