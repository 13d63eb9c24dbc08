/* SPDX-License-Identifier: GPL-2.0-only */
/* Regions as the MMU keeps them, and what its files share. Life of a region: region.c. */
#ifndef HVX_SLOTS_H
#define HVX_SLOTS_H

#include <linux/kernel.h>
#include <linux/nospec.h>
#include <linux/srcu.h>
#include "vm.h"

struct hvx_slot {
	u64 gpa;
	u64 len;
	unsigned long hva;
	u32 id;			/* of HVX_SET_REGION */
	u32 flags;		/* HVX_REGION_* */
	bool going;		/* its entries are being removed: add none */
	unsigned long *dirty;	/* HVX_REGION_LOG_DIRTY: a bit for each page; set atomically */
};

/* Immutable once published; sorted by gpa, without overlap */
struct hvx_slots {
	unsigned int nr;
	bool logged;		/* one of them is */
	struct hvx_slot slot[];
};

static inline const struct hvx_slots *hvx_slots(struct hvx_vm *vm)
{
	return srcu_dereference(vm->mmu.slots, &vm->srcu);
}

/* The region that holds @gpa, or NULL */
static inline const struct hvx_slot *hvx_slot_find(const struct hvx_slots *slots, u64 gpa)
{
	unsigned int low = 0, high = slots->nr;
	const struct hvx_slot *slot;

	/* First region that begins above @gpa; the one before it is the candidate */
	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (slots->slot[middle].gpa > gpa)
			high = middle;
		else
			low = middle + 1;
	}
	if (!low)
		return NULL;
	slot = &slots->slot[array_index_nospec(low - 1, slots->nr)];
	return gpa - slot->gpa < slot->len ? slot : NULL;
}

/* @gpa comes from the guest: not even under speculation does it lead out of the region */
static inline unsigned long hvx_slot_hva(const struct hvx_slot *slot, u64 gpa)
{
	return slot->hva + array_index_nospec(gpa - slot->gpa, slot->len);
}

extern const struct mmu_notifier_ops hvx_notifier_ops;

/* A region by its number, or NULL. Context: vm->lock. */
const struct hvx_slot *hvx_slot_by_id(struct hvx_vm *vm, u32 id);

/* Largest level that @slot allows for @gpa, at most @max */
int hvx_level_of_region(const struct hvx_slot *slot, u64 gpa, int max);

/* Level of the entry that maps @hva in the VMM. Context: mmu.lock held, no invalidation of @hva. */
int hvx_level_of_host(struct hvx_vm *vm, unsigned long hva);

/*
 * What the VMM's own page tables say of a page. It is true, and the page there, until mmu.lock is
 * released: fault.c says what has to be asked before. false: no page that a guest could be given.
 */
struct hvx_host_entry {
	u64 pa;			/* of the page */
	int level;
	bool writable;
};

bool hvx_host_entry(struct hvx_vm *vm, unsigned long hva, struct hvx_host_entry *host);

/*
 * Dirty log (dirty.c). The bitmap of a slot belongs to the array of slots in force; region.c frees
 * it when no reader of that array is left.
 */
int hvx_dirty_alloc(struct hvx_slot *slot);
/* After the array with @slot is in force: from now on every write counts. Context: vm->lock. */
void hvx_dirty_start(struct hvx_vm *vm, const struct hvx_slot *slot);
/* After the array without the log is in force: entries may be large again. Context: vm->lock. */
void hvx_dirty_stop(struct hvx_vm *vm, const struct hvx_slot *slot);
/* The host has written to [gpa, gpa + len) of @slot. Context: any. */
void hvx_dirty_mark(const struct hvx_slot *slot, u64 gpa, u64 len);

/* Large leaves must not allow execution */
bool hvx_large_no_exec(void);

/* How many entries are changed in one hold of mmu.lock: about a tenth of a millisecond */
#define HVX_ZAP_BATCH	2048

/*
 * Remove the entries of [gpa, end) and move tlb_gen; the caller flushes.
 * Context: may sleep when @may_sleep.
 */
void hvx_mmu_zap(struct hvx_vm *vm, u64 gpa, u64 end, bool may_sleep);

/*
 * Remove entries and empty tables up to @level of the block that holds @gpa, and flush, so that
 * the block can be mapped by one entry or by smaller ones. Context: process.
 */
void hvx_mmu_clear_block(struct hvx_vm *vm, u64 gpa, int level);

/*
 * Replace large leaves that map a part of the range by tables of smaller ones, and flush. 0,
 * -ENOMEM, -EINTR for a fatal signal; what is done by then stays. Context: process.
 */
int hvx_mmu_split(struct hvx_vm *vm, u64 gpa, u64 end);

/* Remove entries and empty tables of a range, tables of all levels, and flush. Context: process. */
void hvx_mmu_clear_range(struct hvx_vm *vm, u64 gpa, u64 end);

/* A region was added. Context: process, vm->lock held. */
void hvx_apic_page_hide(struct hvx_vm *vm, const struct hvx_slot *slot);

#endif
