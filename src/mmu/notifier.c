// SPDX-License-Identifier: GPL-2.0-only
/*
 * The MMU notifier: the VMM's own page tables change, second-level entries follow.
 *
 * Between invalidate_range_start() and _end() the host changes its page-table entries of a range:
 * munmap(), mprotect(), fork(), copy on write, swap, migration, KSM, madvise(). _start() removes
 * all second-level entries of the range and waits until no processor can use them; until _end()
 * faults on it add none (invalidate_count), and a fault that looked a page up before _end() and
 * would add it after, starts over (invalidate_seq).
 *
 * Context: callbacks come with locks of the memory management held, of which mmu.lock is inside.
 * The aging ones come under spinlocks, and _start() may be told not to sleep; nothing here has to.
 */
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include "vm.h"
#include "slots.h"

/* bool on newer kernels, int on older ones */
#define YOUNG	typeof(((struct mmu_notifier_ops *)NULL)->test_young(NULL, NULL, 0))

static struct hvx_vm *vm_of(struct mmu_notifier *notifier)
{
	return container_of(notifier, struct hvx_vm, mmu.notifier);
}

/* The part of @slot that lies at [start, end) in the VMM */
static bool slot_part(const struct hvx_slot *slot, unsigned long start, unsigned long end,
		      u64 *gpa, u64 *gpa_end)
{
	start = max(start, slot->hva);
	end = min(end, slot->hva + (unsigned long)slot->len);
	if (start >= end)
		return false;
	*gpa = slot->gpa + (start - slot->hva);
	*gpa_end = slot->gpa + (end - slot->hva);
	return true;
}

static void zap_hva(struct hvx_vm *vm, unsigned long start, unsigned long end, bool may_sleep)
{
	int idx = srcu_read_lock(&vm->srcu);
	const struct hvx_slots *slots = hvx_slots(vm);
	unsigned int i;
	u64 gpa, last;

	for (i = 0; i < slots->nr; i++) {
		if (slot_part(&slots->slot[i], start, end, &gpa, &last))
			hvx_mmu_zap(vm, gpa, last, may_sleep);
	}
	srcu_read_unlock(&vm->srcu, idx);
}

/* Even where no region is: one could appear before the end */
static void begin(struct hvx_mmu *mmu, unsigned long start, unsigned long end)
{
	write_lock(&mmu->lock);
	if (mmu->invalidate_count) {
		start = min(mmu->invalidate_start, start);
		end = max(mmu->invalidate_end, end);
	}
	WRITE_ONCE(mmu->invalidate_start, start);
	WRITE_ONCE(mmu->invalidate_end, end);
	WRITE_ONCE(mmu->invalidate_count, mmu->invalidate_count + 1);
	write_unlock(&mmu->lock);
}

static int invalidate_range_start(struct mmu_notifier *notifier,
				  const struct mmu_notifier_range *range)
{
	struct hvx_vm *vm = vm_of(notifier);

	begin(&vm->mmu, range->start, range->end);
	zap_hva(vm, range->start, range->end, mmu_notifier_range_blockable(range));
	hvx_mmu_flush(vm);
	return 0;
}

static void invalidate_range_end(struct mmu_notifier *notifier,
				 const struct mmu_notifier_range *range)
{
	struct hvx_mmu *mmu = &vm_of(notifier)->mmu;

	write_lock(&mmu->lock);
	/* Pairs with find_region(): who sees the new value sees the new page tables */
	smp_store_release(&mmu->invalidate_seq, mmu->invalidate_seq + 1);
	WRITE_ONCE(mmu->invalidate_count, mmu->invalidate_count - 1);
	WARN_ON_ONCE(mmu->invalidate_count < 0);
	write_unlock(&mmu->lock);
}

/* Clear accessed flags; without any, removal stands for it, and presence for having been used */
static bool clear_young_part(struct hvx_vm *vm, u64 gpa, u64 end)
{
	struct hvx_mmu *mmu = &vm->mmu;
	bool young = false;

	if (!mmu->pt.format->accessed) {
		read_lock(&mmu->lock);
		young = hvx_pt_test_accessed(&mmu->pt, gpa, end);
		read_unlock(&mmu->lock);
		if (young)
			hvx_mmu_zap(vm, gpa, end, false);
		return young;
	}
	while (gpa < end) {
		unsigned int budget = HVX_ZAP_BATCH;

		read_lock(&mmu->lock);
		gpa = hvx_pt_clear_accessed(&mmu->pt, gpa, end, &budget, &young);
		read_unlock(&mmu->lock);
	}
	return young;
}

static bool test_young_part(struct hvx_vm *vm, u64 gpa, u64 end)
{
	struct hvx_mmu *mmu = &vm->mmu;
	bool young;

	read_lock(&mmu->lock);
	young = hvx_pt_test_accessed(&mmu->pt, gpa, end);
	read_unlock(&mmu->lock);
	return young;
}

static bool for_young(struct mmu_notifier *notifier, unsigned long start, unsigned long end,
		      bool (*part)(struct hvx_vm *vm, u64 gpa, u64 end))
{
	struct hvx_vm *vm = vm_of(notifier);
	const struct hvx_slots *slots;
	bool young = false;
	unsigned int i;
	u64 gpa, last;
	int idx;

	idx = srcu_read_lock(&vm->srcu);
	slots = hvx_slots(vm);
	for (i = 0; i < slots->nr; i++) {
		if (slot_part(&slots->slot[i], start, end, &gpa, &last))
			young |= part(vm, gpa, last);
	}
	srcu_read_unlock(&vm->srcu, idx);
	return young;
}

/*
 * The accessed flag that a TLB holds back makes a page look old for as long as the translation
 * lives: the host's own page tables are aged without a flush, too. Removal needs one.
 */
static YOUNG clear_young(struct mmu_notifier *notifier, struct mm_struct *mm,
			 unsigned long start, unsigned long end)
{
	bool young = for_young(notifier, start, end, clear_young_part);

	hvx_mmu_flush(vm_of(notifier));
	return young;
}

static YOUNG test_young(struct mmu_notifier *notifier, struct mm_struct *mm,
			unsigned long address)
{
	return for_young(notifier, address, address + 1, test_young_part);
}

/* The address space ends: its pages are about to go, whoever holds the VM's descriptor */
static void release(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	struct hvx_vm *vm = vm_of(notifier);

	hvx_mmu_zap(vm, 0, hvx_pt_limit(&vm->mmu.pt), true);
	hvx_mmu_flush(vm);
}

const struct mmu_notifier_ops hvx_notifier_ops = {
	.invalidate_range_start = invalidate_range_start,
	.invalidate_range_end = invalidate_range_end,
	.clear_flush_young = clear_young,
	.clear_young = clear_young,
	.test_young = test_young,
	.release = release,
};
