/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's clocks: one TSC for all vCPUs of a VM, and the paravirtual clock over it. */
#ifndef HVX_PV_CLOCK_H
#define HVX_PV_CLOCK_H

#include <linux/spinlock.h>
#include <linux/types.h>

struct hvx_vm;

struct hvx_clock_state {
	raw_spinlock_t lock;
	u64 tsc_offset;		/* under lock: of new vCPUs, and what the VMM set last */
};

/* Context: creation of the VM */
void hvx_clock_init(struct hvx_vm *vm);

/* Guest TSC minus host TSC for a new vCPU: all begin with one TSC */
u64 hvx_clock_tsc_offset(struct hvx_vm *vm);

/*
 * The VMM sets the TSC of a vCPU by @offset: the vCPUs one after the other, and means one value for
 * all. An offset that is within a second of the last one is the last one. Context: process.
 */
u64 hvx_clock_match_tsc(struct hvx_vm *vm, u64 offset);

#endif
