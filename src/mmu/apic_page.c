// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page behind the registers of local APICs in xAPIC mode, for processors that virtualize
 * accesses to one physical page ("APIC-access page" of VT-x).
 *
 * There is one second-level table for all vCPUs, so the page is mapped only while that is right for
 * all of them: each one's local APIC is in xAPIC mode, at the address where it is after RESET. A
 * vCPU that leaves this state takes the page away before it runs again; elsewhere, and while one of
 * them is away, registers are reached as they are without the page: by an exit for each access.
 *
 *   hvx_apic_page_map()	a vCPU met nothing there: map the page, if that is right
 *   hvx_apic_page_update()	HVX_REQ_APIC_PAGE: IA32_APIC_BASE of a vCPU changed
 *   hvx_apic_page_hide()	a region was added: if it has that address, it is what is there
 */
#include "irq/lapic.h"
#include "vcpu/vcpu.h"
#include "slots.h"

static bool at_home(const struct hvx_vcpu *vcpu)
{
	const u64 mode = APIC_BASE_EN | APIC_BASE_EXTD | APIC_BASE_ADDRESS;

	return (vcpu->regs.apic_base & mode) == (APIC_BASE_EN | APIC_BASE_RESET);
}

bool hvx_apic_page_missing(const struct hvx_vcpu *vcpu, u64 gpa)
{
	const struct hvx_mmu *mmu = &vcpu->vm->mmu;

	return unlikely(mmu->apic_page) && (gpa & PAGE_MASK) == APIC_BASE_RESET &&
	       !READ_ONCE(mmu->apic_mapped) && !READ_ONCE(mmu->apic_away) && at_home(vcpu);
}

/* Context: write side of mmu.lock */
static enum hvx_pt_result try_map(struct hvx_mmu *mmu, struct hvx_pt_cache *cache,
				  unsigned long seq)
{
	static const struct hvx_pt_leaf leaf = {
		.level = HVX_PT_4K,
		.prot = HVX_READ | HVX_WRITE,
	};
	struct hvx_pt_leaf page = leaf;
	enum hvx_pt_result result;

	page.pa = mmu->apic_page;
	/* Regions were replaced, or a vCPU is away: others will see to it */
	if (mmu->invalidate_seq != seq || mmu->apic_away)
		return HVX_PT_IN_WAY;
	result = hvx_pt_map(&mmu->pt, cache, APIC_BASE_RESET, &page);
	if (result == HVX_PT_REPLACED)
		atomic64_inc(&mmu->tlb_gen);
	if (result == HVX_PT_ADDED || result == HVX_PT_REPLACED || result == HVX_PT_SAME)
		WRITE_ONCE(mmu->apic_mapped, true);
	return result;
}

bool hvx_apic_page_map(struct hvx_vm *vm)
{
	struct hvx_mmu *mmu = &vm->mmu;
	struct hvx_pt_cache cache = { };
	enum hvx_pt_result result;
	unsigned long seq;

	/* As a fault does: see find_region() */
	seq = smp_load_acquire(&mmu->invalidate_seq);
	if (hvx_slot_find(hvx_slots(vm), APIC_BASE_RESET))
		return false;
	do {
		write_lock(&mmu->lock);
		result = try_map(mmu, &cache, seq);
		write_unlock(&mmu->lock);
	} while (result == HVX_PT_NO_TABLE && !hvx_pt_cache_fill(&cache));
	hvx_pt_cache_free(&cache);
	hvx_mmu_flush(vm);
	return READ_ONCE(mmu->apic_mapped);
}

static void unmap(struct hvx_vm *vm)
{
	hvx_mmu_zap(vm, APIC_BASE_RESET, APIC_BASE_RESET + PAGE_SIZE, false);
	hvx_mmu_flush(vm);
}

void hvx_apic_page_update(struct hvx_vcpu *vcpu, bool gone)
{
	struct hvx_mmu *mmu = &vcpu->vm->mmu;
	bool away = !gone && !at_home(vcpu);

	clear_bit(HVX_REQ_APIC_PAGE, &vcpu->requests);
	if (away == vcpu->apic_away)
		return;
	vcpu->apic_away = away;
	write_lock(&mmu->lock);
	WRITE_ONCE(mmu->apic_away, mmu->apic_away + (away ? 1 : -1));
	if (away)
		WRITE_ONCE(mmu->apic_mapped, false);
	write_unlock(&mmu->lock);
	if (away)
		unmap(vcpu->vm);
}

void hvx_apic_page_hide(struct hvx_vm *vm, const struct hvx_slot *slot)
{
	if (!vm->mmu.apic_page || APIC_BASE_RESET - slot->gpa >= slot->len)
		return;
	write_lock(&vm->mmu.lock);
	WRITE_ONCE(vm->mmu.apic_mapped, false);
	write_unlock(&vm->mmu.lock);
	unmap(vm);
}
