/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * struct hvx_vm: a virtual machine; its lifetime is that of its descriptor and of its vCPUs'.
 *
 * Field legend: [I] immutable after creation, [m] vm->lock, [s] written under vm->lock and read
 * under vm->srcu, [a] atomic. Lock order: vcpu->lock, vm->lock, vm->mmu.lock.
 */
#ifndef HVX_VM_H
#define HVX_VM_H

#include <linux/kref.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/srcu.h>
#include <uapi/linux/hvx.h>
#include "irq/irq.h"
#include "mmu/mmu.h"
#include "pv/clock.h"

struct hvx_vcpu;

/* Which MSR accesses go to the VMM: a sorted copy of the ranges of HVX_SET_MSR_FILTER */
struct hvx_msr_policy {
	u32 nr;
	struct hvx_msr_range range[];
};

struct hvx_vm {
	struct kref ref;
	struct mm_struct *mm;			/* [I] mmgrab()bed; ioctls come from it alone */
	u32 flags;				/* [I] HVX_VM_* */
	struct mutex lock;
	struct srcu_struct srcu;		/* regions and MSR policy; held over a slow exit */
	struct hvx_mmu mmu;
	struct hvx_msr_policy __rcu *msr_policy;	/* [s] NULL: none */
	struct hvx_vcpu __rcu *vcpus[HVX_MAX_VCPUS];	/* by id; written under lock, read by RCU */
	u32 nr_vcpus;				/* [m]; read by CPUID at any time */
	u32 vcpu_limit;				/* [a] above all ids that there were; never falls */
	u32 last_yield;				/* [a] id of the vCPU that got a CPU last */
	struct hvx_irq irq;			/* see irq/irq.h */
	struct hvx_clock_state clock;
};

struct hvx_vm *hvx_vm_get(struct hvx_vm *vm);
void hvx_vm_put(struct hvx_vm *vm);

/*
 * Make all vCPUs that are in a window leave it, and wait until they have: what was changed before
 * the call is seen by every later entry. Context: may be called with spinlocks held, interrupts on.
 */
void hvx_vm_kick_all(struct hvx_vm *vm);

int hvx_vm_create(const struct hvx_create_vm *args);

#endif
