// SPDX-License-Identifier: GPL-2.0-only
/* Where the guest's code is in memory. Rules: code_cache.h. */
#include <linux/mm.h>
#include <asm/processor-flags.h>
#include "code_cache.h"
#include "compat.h"
#include "mmu/pt.h"

/* Intel SDM vol. 3A, "4-Level Paging and 5-Level Paging" */
#define PTE_PRESENT	BIT_ULL(0)
#define PTE_ACCESSED	BIT_ULL(5)
#define PTE_DIRTY	BIT_ULL(6)
#define PTE_LARGE	BIT_ULL(7)
#define PTE_ADDRESS	GENMASK_ULL(51, 12)

static struct hvx_code_page *slot_of(struct hvx_vcpu *vcpu, u64 linear)
{
	return &vcpu->emul.code[(linear >> PAGE_SHIFT) % HVX_CODE_PAGES];
}

/* The processor sets accessed and dirty flags by itself */
static bool unchanged(const struct hvx_code_page *code)
{
	unsigned int i;

	for (i = 0; i < code->nr; i++) {
		if ((READ_ONCE(*code->entry[i]) ^ code->value[i]) & ~(PTE_ACCESSED | PTE_DIRTY))
			return false;
	}
	return true;
}

const u8 *hvx_code_lookup(struct hvx_vcpu *vcpu, u64 linear)
{
	const struct hvx_code_page *code = slot_of(vcpu, linear);
	const struct hvx_regs *regs = &vcpu->regs;

	if (code->gva != (linear & PAGE_MASK))
		return NULL;
	if (code->gen != atomic64_read(&vcpu->vm->mmu.tlb_gen))
		return NULL;
	if (code->cr3 != regs->cr3 || code->cr4 != regs->cr4 || code->efer != regs->efer ||
	    code->paging != !!(regs->cr0 & X86_CR0_PG))
		return NULL;
	return unchanged(code) ? code->page : NULL;
}

/* Guest-physical memory through the second-level table */
static const void *peek(struct hvx_vcpu *vcpu, u64 gpa)
{
	struct hvx_pt_leaf leaf;

	if (!hvx_pt_lookup(&vcpu->vm->mmu.pt, gpa, &leaf))
		return NULL;
	if (leaf.prot & HVX_PT_DEVICE || !(leaf.prot & HVX_READ))
		return NULL;
	return __va(leaf.pa + (gpa & (hvx_pt_level_size(leaf.level) - 1)));
}

/* Note the entries that lead to @linear; *gpa is where its page is. False: it cannot be done. */
static bool note_entries(struct hvx_vcpu *vcpu, struct hvx_code_page *code, u64 linear, u64 *gpa)
{
	int level = vcpu->regs.cr4 & X86_CR4_LA57 ? 5 : 4;
	u64 table = vcpu->regs.cr3 & PTE_ADDRESS, size, value;
	const u64 *entry;

	for (;; level--) {
		size = 1ULL << (12 + 9 * (level - 1));
		entry = peek(vcpu, table + (linear / size % 512) * 8);
		if (!entry)
			return false;
		value = READ_ONCE(*entry);
		if (!(value & PTE_PRESENT))
			return false;
		code->entry[code->nr] = entry;
		code->value[code->nr++] = value;
		table = value & PTE_ADDRESS;
		if (level == 1 || (value & PTE_LARGE && level <= 3))
			break;
	}
	*gpa = (table & ~(size - 1)) | (linear & (size - 1) & PAGE_MASK);
	return true;
}

void hvx_code_fill(struct hvx_vcpu *vcpu, u64 linear, u64 gpa)
{
	s64 gen = atomic64_read(&vcpu->vm->mmu.tlb_gen);
	struct hvx_code_page *code = slot_of(vcpu, linear);
	const struct hvx_regs *regs = &vcpu->regs;
	u64 noted = linear & PAGE_MASK;

	/* Before the look-ups: what is removed meanwhile must not be believed afterwards */
	smp_rmb();
	*code = (struct hvx_code_page) {
		.cr3 = regs->cr3,
		.cr4 = regs->cr4,
		.efer = regs->efer,
		.paging = regs->cr0 & X86_CR0_PG,
		.gva = linear & PAGE_MASK,
	};
	/* 32-bit and PAE paging have entries of other kinds, and few guests */
	if (code->paging && (!(regs->efer & EFER_LMA) || !note_entries(vcpu, code, linear, &noted)))
		return;
	/* Or another vCPU changed the tables since the walk */
	if (noted != (gpa & PAGE_MASK))
		return;
	code->page = peek(vcpu, noted);
	if (code->page)
		code->gen = gen;
}
