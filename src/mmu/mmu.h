/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory: regions, second-level tables, access to guest memory, guest page walk.
 *
 * How a guest-physical address becomes memory: region (gpa -> hva of the VMM), the VMM's own page
 * tables (hva -> page), second-level table entry (gpa -> page, for the CPU).
 * No page is pinned: an MMU notifier removes second-level entries before the VMM's mapping goes.
 */
#ifndef HVX_MMU_H
#define HVX_MMU_H

#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include "pt.h"
#include "walk.h"

struct hvx_vm;
struct hvx_vcpu;
struct hvx_prefault;
struct hvx_region;
struct hvx_slots;

/*
 * TLB rule. Whoever takes a second-level entry or a right in one away
 *	1. does so under the write side of .lock,
 *	2. moves .tlb_gen before dropping the lock,
 *	3. calls hvx_mmu_flush() before the memory is used for anything else.
 * hvx_mmu_flush() kicks: a full barrier, then it reads each vcpu->window_cpu, interrupts the CPUs
 * of open windows and waits until these have closed. A vCPU that opens a window stores window_cpu,
 * then a full barrier, then reads .tlb_gen before each entry and flushes when it is not that of its
 * last flush. One of the two sees what the other stored: either the vCPU flushes, or it is kicked
 * out and compares again. The same holds for hvx_peek_gpa() instead of an entry: what it finds in
 * the table inside of a window stays allocated until the window closes.
 *
 * .kicked_gen says up to which generation everybody was kicked. Who finds nothing to remove still
 * has to wait for the flush of another who has removed it and has not yet kicked.
 */
struct hvx_mmu {
	struct hvx_pt pt;			/* second-level table; its lock is .lock */
	int max_level;				/* [I] of leaves */
	bool large_no_exec;			/* [I] see hvx_large_no_exec() */
	rwlock_t lock;				/* read: fault; write: removal of entries */
	atomic64_t tlb_gen;			/* [atomic] moved when entries are weakened */
	atomic64_t kicked_gen;			/* [atomic] never above tlb_gen */
	struct mmu_notifier notifier;
	unsigned long invalidate_seq;		/* under lock (write); see fault.c */
	/* Under lock (write); read without it where a guess will do */
	int invalidate_count;			/* invalidations under way */
	unsigned long invalidate_start;		/* hva range that covers them */
	unsigned long invalidate_end;
	struct hvx_slots __rcu *slots;		/* written under vm->lock, read under vm->srcu */
	u64 slots_gen;				/* [atomic] moved after each change of .slots */
	u64 apic_page;				/* [I] of the backend; 0: none. See apic_page.c. */
	bool apic_mapped;			/* under lock (write) */
	unsigned int apic_away;			/* under lock (write): vCPUs that have none there */
};

/*
 * Pages in no region that a vCPU has met: MMIO, whose next access is no reason to search again.
 * What was found is true as long as .gen is that of the regions. Under vcpu->lock.
 */
#define HVX_HOLES	8

struct hvx_holes {
	u64 gen;
	u64 found;		/* how often regions were searched in vain */
	u64 page[HVX_HOLES];	/* by the low bits of its number; bit 0 is set; 0: none */
};

enum hvx_fault_result {
	HVX_FAULT_MAPPED,	/* enter again */
	HVX_FAULT_MMIO,		/* no region, or a write to a read-only one: emulate */
	HVX_FAULT_NO_MEMORY,	/* the VMM has no page there: fault_info says where */
	HVX_FAULT_RETRY,	/* a signal is pending, or it takes more than a window can do */
};

struct hvx_fault_info {
	u64 hva;
	int error;		/* negative errno */
};

/* Width of guest-physical addresses: HVX_CAP_GPA_BITS and what CPUID may tell the guest at most */
unsigned int hvx_gpa_bits(void);

/* vm->srcu is initialized, vm->mm is current->mm. 0 or negative errno. */
int hvx_mmu_init(struct hvx_vm *vm);
void hvx_mmu_fini(struct hvx_vm *vm);	/* after the last vCPU can no longer run */

/* HVX_SET_REGION. Context: process, vm->lock held. */
int hvx_region_set(struct hvx_vm *vm, const struct hvx_region *args);

/* Make all vCPUs forget what was removed before the call. Context: as hvx_vm_kick_all(). */
void hvx_mmu_flush(struct hvx_vm *vm);

/*
 * The page of local APICs in xAPIC mode. _missing(): is this an access to it that does not find
 * it? Context: vcpu->lock, any. _map(): true when it is there now. Context: process, vm->srcu held.
 * _update(): after IA32_APIC_BASE changed, or when the vCPU is @gone. Context: process, vcpu->lock.
 */
bool hvx_apic_page_missing(const struct hvx_vcpu *vcpu, u64 gpa);
bool hvx_apic_page_map(struct hvx_vm *vm);
void hvx_apic_page_update(struct hvx_vcpu *vcpu, bool gone);

/*
 * Resolve a second-level fault, with all that this can take. Ask hvx_mmu_fault_window() first.
 * Context: process, vm->srcu held, current->mm == vm->mm. @info is filled in for NO_MEMORY.
 */
enum hvx_fault_result hvx_mmu_fault(struct hvx_vcpu *vcpu, u64 gpa, unsigned int access,
				    struct hvx_fault_info *info);

/*
 * Resolve it without sleeping, if that can be: the VMM has the page, and all tables are there.
 * Context: window. MAPPED: enter again; MMIO, RETRY: ask hvx_mmu_fault() in process context.
 */
enum hvx_fault_result hvx_mmu_fault_window(struct hvx_vcpu *vcpu, u64 gpa, unsigned int access);

/*
 * Is @gpa in no region, as this vCPU has found before? Context: window, or vm->srcu held, in which
 * case regions that were set before do not come into force until the section ends.
 */
bool hvx_mmu_known_hole(struct hvx_vcpu *vcpu, u64 gpa);
/* The same, and look if it is not known. */
bool hvx_mmu_hole(struct hvx_vcpu *vcpu, u64 gpa);

/* HVX_PREFAULT; @args is brought up to date. Context: process. 0 or an error of the ABI. */
int hvx_mmu_prefault(struct hvx_vm *vm, struct hvx_prefault *args);

/*
 * A write to a page that an entry maps: if only the log has taken the right to write away, give it
 * back. Neither region nor the VMM's page are looked at: that they allow it is what the entry says.
 * Context: window. True: enter again.
 */
bool hvx_mmu_allow_write(struct hvx_vcpu *vcpu, u64 gpa);

/*
 * Read or write guest-physical memory through the VMM's mapping.
 * Context: process, vm->srcu held, current->mm == vm->mm. 0, -ENXIO: no region (or read-only for a
 * write), -EFAULT: the VMM has no memory there.
 */
int hvx_read_gpa(struct hvx_vm *vm, u64 gpa, void *buf, size_t len);
int hvx_write_gpa(struct hvx_vm *vm, u64 gpa, const void *buf, size_t len);

/*
 * Write where memory cannot be waited for. Context: any with vm->srcu held, current->mm == vm->mm.
 * 0, -ENXIO: not all in one region that can be written, -EFAULT: the VMM has it not at hand.
 */
int hvx_write_gpa_nofault(struct hvx_vm *vm, u64 gpa, const void *buf, size_t len);

/* Where it is in the VMM, 0: no region. Context: vm->srcu. */
u64 hvx_gpa_hva(struct hvx_vm *vm, u64 gpa);

/*
 * Access guest-physical memory through the second-level table, as the guest itself would.
 * Context: window. 0, or -EFAULT where no entry is present, or none that can be written.
 */
int hvx_peek_gpa(struct hvx_vcpu *vcpu, u64 gpa, void *buf, size_t len);

/*
 * Read 4 or 8 aligned bytes in one go, as entries of tables must be that a guest may be changing.
 * Contexts and errors as hvx_read_gpa() and hvx_peek_gpa().
 */
int hvx_read_gpa_once(struct hvx_vm *vm, u64 gpa, u64 *value, size_t len);
int hvx_peek_gpa_once(struct hvx_vcpu *vcpu, u64 gpa, u64 *value, size_t len);
int hvx_poke_gpa(struct hvx_vcpu *vcpu, u64 gpa, const void *buf, size_t len);
int hvx_poke_cmpxchg_gpa(struct hvx_vcpu *vcpu, u64 gpa, u64 *old, u64 new, size_t len);

/*
 * Replace the aligned 4 or 8 bytes at @gpa if they are *@old; *@old is then what was there.
 * Context: as hvx_write_gpa(). Errors also: -EAGAIN when they were not *@old.
 */
int hvx_cmpxchg_gpa(struct hvx_vm *vm, u64 gpa, u64 *old, u64 new, size_t len);

/*
 * Walk the guest's page tables for a linear address; sets accessed and dirty flags only when asked.
 * @access: HVX_READ, HVX_WRITE, HVX_EXEC, HVX_USER, HVX_IMPLICIT, HVX_MARK of walk.h.
 * Context: process with vm->srcu held, or window (which then reads by hvx_peek_gpa()).
 * 0 (see @walk), or -ENXIO or -EFAULT when a table cannot be read: @walk->gpa says which.
 */
int hvx_walk_gva(struct hvx_vcpu *vcpu, u64 gva, unsigned int access, struct hvx_walk *walk);

/*
 * Copy from or to linear addresses, page by page; a write checks all pages before it begins.
 * 0; -EFAULT with a page fault for the guest in *walk (page_size 0) at address *fault_gva; -ENXIO:
 * no region there, -EIO: the VMM has no memory, or in a window no second-level entry (both: gpa in
 * *walk). HVX_READ or HVX_WRITE is added to @access. A write sets accessed and dirty flags in the
 * guest's page tables. Context as hvx_walk_gva().
 */
int hvx_read_gva(struct hvx_vcpu *vcpu, u64 gva, void *buf, size_t len, unsigned int access,
		 struct hvx_walk *walk, u64 *fault_gva);
int hvx_write_gva(struct hvx_vcpu *vcpu, u64 gva, const void *buf, size_t len, unsigned int access,
		  struct hvx_walk *walk, u64 *fault_gva);

#endif
