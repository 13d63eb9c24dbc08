// SPDX-License-Identifier: GPL-2.0-only
/*
 * How large a leaf may be: what region, processor and the VMM's own page tables allow.
 *
 *   hvx_level_of_region()	the block lies in the region, and host and guest address are
 *				congruent in it
 *   hvx_level_of_host()	the VMM itself has the block mapped by one entry: transparent huge
 *				page, hugetlbfs, since 6.12 device memory
 *	hvx_host_entry()	that entry: where it leads to, too
 *
 * The host's page tables are read, never written. Their upper levels are freed only after an
 * interrupt was taken by every processor that might be looking (as get_user_pages_fast() relies
 * on), hence with interrupts off. What is read is true as long as no invalidation of the address
 * is under way: the caller holds mmu.lock and has asked that.
 */
#include <linux/cpu.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pgtable.h>
#include <asm/cpufeature.h>
#include "compat.h"
#include "slots.h"

static bool no_large;
module_param(no_large, bool, 0444);
MODULE_PARM_DESC(no_large, "map guest memory by 4 KiB entries only (for measurements)");

int hvx_level_of_region(const struct hvx_slot *slot, u64 gpa, int max)
{
	int level;

	if (no_large)
		return HVX_PT_4K;
	for (level = max; level > HVX_PT_4K; level--) {
		u64 size = hvx_pt_level_size(level), block = ALIGN_DOWN(gpa, size);

		if ((slot->gpa ^ slot->hva) & (size - 1))
			continue;
		if (block >= slot->gpa && block + size <= slot->gpa + slot->len)
			break;
	}
	return level;
}

/* The entry that maps @hva, or 0. What is read is in the same bits of the entries of all levels. */
static u64 find_entry(const struct mm_struct *mm, unsigned long hva, int *level)
{
	unsigned int shift = PAGE_SHIFT + HVX_PT_SHIFT * (pgtable_l5_enabled() ? 4 : 3);
	const u64 *table = (const u64 *)mm->pgd;
	unsigned long flags;
	u64 entry;

	local_irq_save(flags);
	for (;; shift -= HVX_PT_SHIFT) {
		entry = READ_ONCE(table[(hva >> shift) % PTRS_PER_PTE]);
		if (!(entry & _PAGE_PRESENT) || entry & _PAGE_PSE || shift == PAGE_SHIFT)
			break;
		table = __va(entry & PTE_PFN_MASK);
	}
	local_irq_restore(flags);
	*level = HVX_PT_4K + (shift - PAGE_SHIFT) / HVX_PT_SHIFT;
	return entry & _PAGE_PRESENT ? entry : 0;
}

int hvx_level_of_host(struct hvx_vm *vm, unsigned long hva)
{
	int level;

	lockdep_assert_held_read(&vm->mmu.lock);
	return find_entry(vm->mm, hva, &level) ? level : HVX_PT_4K;
}

/*
 * Pages that whoever may read the VMM's page tables may use: anonymous and shared memory, huge
 * pages. The rest is left to get_user_pages(), which knows what it may not be given: secret memory,
 * pages of devices, files that have to be told. Special entries lead to what has no struct page,
 * or to the page of zeroes, which is harmless as long as nobody writes; large ones were not marked
 * as special before 6.12.
 */
static bool is_plain(pte_t pte, int level)
{
	unsigned long pfn = pte_pfn(pte);
	struct folio *folio;

	if (pte_special(pte))
		return level == HVX_PT_4K && is_zero_pfn(pfn);
	if (level > HVX_PT_4K)
		return pfn_valid(pfn) && !is_zone_device_page(pfn_to_page(pfn));
	folio = page_folio(pfn_to_page(pfn));
	return folio_test_anon(folio) || folio_test_swapbacked(folio);
}

bool hvx_host_entry(struct hvx_vm *vm, unsigned long hva, struct hvx_host_entry *host)
{
	u64 entry, offset;
	pte_t pte;

	lockdep_assert_held_read(&vm->mmu.lock);
	entry = find_entry(vm->mm, hva, &host->level);
	pte = __pte(entry);
	if (!entry || !is_plain(pte, host->level))
		return false;
	offset = hvx_pt_level_size(host->level) - 1;
	host->pa = (entry & PTE_PFN_MASK & ~offset) | (hva & offset);
	/* As for the VMM itself, protection keys included */
	host->writable = pte_access_permitted(pte, true);
	return host->writable || pte_access_permitted(pte, false);
}

/*
 * Intel's "Machine Check Error on Page Size Change": a guest that changes the size of a page that
 * it executes from can stop the machine. Large leaves then never allow execution, and what is
 * executed is mapped by 4 KiB.
 */
bool hvx_large_no_exec(void)
{
	return boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT) && !cpu_mitigations_off();
}
