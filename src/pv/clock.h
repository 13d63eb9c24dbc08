/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's clocks: one TSC for all vCPUs of a VM, and the paravirtual clock over it. */
#ifndef HVX_PV_CLOCK_H
#define HVX_PV_CLOCK_H

#include <linux/spinlock.h>
#include <linux/types.h>
#include "scale.h"

struct hvx_vm;
struct hvx_vcpu;
struct hvx_clock;

/* All under lock */
struct hvx_clock_state {
	raw_spinlock_t lock;
	u32 tsc_khz;		/* of new vCPUs; 0: not known. Changes while there is none. */
	u64 tsc_ratio;		/* the same, to the host's */
	struct hvx_scale scale;	/* the same, to nanoseconds */
	u64 tsc_offset;		/* of new vCPUs, and what the VMM set last */
	/* The clock was .ns when these held */
	u64 ns;
	u64 tsc;		/* the host's */
	u64 boot_ns;		/* CLOCK_BOOTTIME of the host */
};

/*
 * Guests count from the host's TSC plus this, which goes on while the host sleeps whatever the TSC
 * does; and the number of sleeps. Written while all threads are frozen.
 */
extern u64 hvx_tsc_shift;
extern u32 hvx_sleeps;

/* The host goes to sleep, and is back. Context: process, all other threads are frozen. */
void hvx_clock_suspend(void);
void hvx_clock_resume(void);

/* The first HVX_RUN after a sleep. Context: vcpu->lock. */
void hvx_clock_slept(struct hvx_vcpu *vcpu);

/* Context: creation of the VM */
void hvx_clock_init(struct hvx_vm *vm);

/* The TSC of a new vCPU: all begin with one */
void hvx_clock_get_tsc(struct hvx_vm *vm, u32 *khz, u64 *ratio, u64 *offset);

/* ... and another rate for it, from 0 on. Context: process, vm->lock, and no vCPU is there. */
void hvx_clock_set_khz(struct hvx_vm *vm, u32 khz, u64 ratio);

/*
 * The VMM sets the TSC of a vCPU by @offset: the vCPUs one after the other, and means one value for
 * all. An offset that is within a second of the last one is the last one, but for vCPUs with a rate
 * of their own. Context: process.
 */
u64 hvx_clock_match_tsc(const struct hvx_vcpu *vcpu, u64 offset);

/* The TSC of a vCPU was set, or its rate. Context: any. */
void hvx_clock_tsc_changed(struct hvx_vcpu *vcpu);

/*
 * Write what the guest wants to know of the time into its memory. Context: process, vcpu->lock,
 * vm->srcu. 0, or -EFAULT: the VMM has no memory at *@gpa.
 */
int hvx_clock_update(struct hvx_vcpu *vcpu, u64 *gpa);
int hvx_clock_write_wall(struct hvx_vcpu *vcpu, u64 *gpa);

/* HVX_GET_CLOCK, HVX_SET_CLOCK. Context: process. */
long hvx_clock_get(struct hvx_vm *vm, struct hvx_clock *args);
long hvx_clock_set(struct hvx_vm *vm, const struct hvx_clock *args);

#endif
