// SPDX-License-Identifier: GPL-2.0-only
/*
 * How large a leaf may be: what region, processor and the VMM's own page tables allow.
 *
 *   hvx_level_of_region()	the block lies in the region, and host and guest address are
 *				congruent in it
 *   hvx_level_of_host()	the VMM itself has the block mapped by one entry: transparent huge
 *				page, hugetlbfs, since 6.12 device memory
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

static int level_of_pud(pud_t pud, unsigned long hva)
{
	pmd_t pmd;

	if (pud_none(pud) || !pud_present(pud))
		return HVX_PT_4K;
	if (pud_leaf(pud))
		return HVX_PT_1G;
	pmd = READ_ONCE(*pmd_offset(&pud, hva));
	if (pmd_none(pmd) || !pmd_present(pmd) || !pmd_leaf(pmd))
		return HVX_PT_4K;
	return HVX_PT_2M;
}

static int level_of_entry(struct mm_struct *mm, unsigned long hva)
{
	pgd_t pgd = READ_ONCE(*pgd_offset(mm, hva));
	p4d_t p4d;

	if (pgd_none(pgd))
		return HVX_PT_4K;
	p4d = READ_ONCE(*p4d_offset(&pgd, hva));
	if (p4d_none(p4d) || !p4d_present(p4d))
		return HVX_PT_4K;
	return level_of_pud(READ_ONCE(*pud_offset(&p4d, hva)), hva);
}

int hvx_level_of_host(struct hvx_vm *vm, unsigned long hva)
{
	unsigned long flags;
	int level;

	lockdep_assert_held_read(&vm->mmu.lock);
	local_irq_save(flags);
	level = level_of_entry(vm->mm, hva);
	local_irq_restore(flags);
	return level;
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
