/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory: regions, second-level tables, access to guest memory, guest page walk.
 *
 * How a guest-physical address becomes memory: region (gpa -> hva of the VMM), the VMM's own page
 * tables (hva -> page, by get_user_pages), second-level table entry (gpa -> page, for the CPU).
 * No page is pinned: an MMU notifier removes second-level entries before the VMM's mapping goes.
 */
#ifndef HVX_MMU_H
#define HVX_MMU_H

#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include "pt.h"

struct hvx_vm;
struct hvx_vcpu;
struct hvx_region;
struct hvx_slots;

struct hvx_mmu {
	struct hvx_pt pt;			/* second-level table */
	rwlock_t lock;				/* read: fault; write: removal of entries */
	atomic64_t tlb_gen;			/* moves whenever an entry was removed or weakened */
	struct mmu_notifier notifier;
	unsigned long invalidate_seq;		/* under lock (write) */
	int invalidate_count;			/* under lock (write): invalidations under way */
	struct hvx_slots __rcu *slots;		/* written under vm->lock, read under vm->srcu */
};

enum hvx_fault_result {
	HVX_FAULT_MAPPED,	/* enter again */
	HVX_FAULT_MMIO,		/* no region, or a write to a read-only one: emulate */
	HVX_FAULT_NO_MEMORY,	/* the VMM has no page there: fault_info says where */
	HVX_FAULT_RETRY,	/* a signal is pending: go to user space */
};

struct hvx_fault_info {
	u64 hva;
	int error;		/* negative errno */
};

int hvx_mmu_init(struct hvx_vm *vm);
void hvx_mmu_fini(struct hvx_vm *vm);	/* after the last vCPU can no longer run */

/* HVX_SET_REGION. Context: process, vm->lock held. */
int hvx_region_set(struct hvx_vm *vm, const struct hvx_region *args);

/* Resolve a second-level fault. Context: process, vm->srcu held. */
enum hvx_fault_result hvx_mmu_fault(struct hvx_vcpu *vcpu, u64 gpa, unsigned int access,
				    struct hvx_fault_info *info);

/*
 * Read or write guest-physical memory through the VMM's mapping.
 * Context: process, vm->srcu held, current->mm == vm->mm. 0, -ENXIO: no region (or read-only for a
 * write), -EFAULT: the VMM has no memory there.
 */
int hvx_read_gpa(struct hvx_vm *vm, u64 gpa, void *buf, size_t len);
int hvx_write_gpa(struct hvx_vm *vm, u64 gpa, const void *buf, size_t len);

/*
 * Read guest-physical memory through the second-level table, as the guest itself would.
 * Context: window. 0, or -EFAULT where no entry is present.
 */
int hvx_peek_gpa(struct hvx_vcpu *vcpu, u64 gpa, void *buf, size_t len);

/* Result of a walk of the guest's page tables */
struct hvx_walk {
	u64 gpa;
	u64 page_size;		/* 0: the walk failed with a page fault */
	u32 error_code;		/* of that page fault */
};

/*
 * Walk the guest's page tables for a linear address; sets accessed and dirty bits only when asked.
 * @access: HVX_READ, HVX_WRITE, HVX_EXEC, HVX_USER. Context: process with vm->srcu held, or window
 * (which then reads by hvx_peek_gpa()). 0 (see @walk), -ENXIO or -EFAULT when a table cannot be read.
 */
int hvx_walk_gva(struct hvx_vcpu *vcpu, u64 gva, unsigned int access, struct hvx_walk *walk);

/*
 * Copy from or to linear addresses, page by page.
 * 0; -EFAULT with a page fault for the guest in *walk (page_size 0) at address *fault_gva; -ENXIO,
 * -EIO when memory is not there (gpa in *walk). Context as hvx_walk_gva().
 */
int hvx_read_gva(struct hvx_vcpu *vcpu, u64 gva, void *buf, size_t len, unsigned int access,
		 struct hvx_walk *walk, u64 *fault_gva);
int hvx_write_gva(struct hvx_vcpu *vcpu, u64 gva, const void *buf, size_t len, unsigned int access,
		  struct hvx_walk *walk, u64 *fault_gva);

#endif
