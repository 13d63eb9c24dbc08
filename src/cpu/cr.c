// SPDX-License-Identifier: GPL-2.0-only
/*
 * Control registers, EFER and XCR0.
 *
 * Writes to CR0, CR4 and CR8 always exit, writes to CR3 never do. The rules are the ones of "MOV -
 * Move to/from Control Registers" and of "Initializing IA-32e Mode" in the Intel SDM; what follows
 * from a write (EFER.LMA, PDPTEs, stale translations) is done here for both vendors.
 *
 * A write that needs the guest's page tables (PDPTEs) is refused inside a window with
 * HVX_NEXT_PROCESS before anything has changed.
 */
#include <linux/errno.h>
#include "cr.h"
#include "vcpu/event.h"
#include "vcpu/fpu.h"
#include "irq/lapic.h"
#include "mmu/mmu.h"

enum cr_result { CR_OK, CR_GP, CR_PROCESS };

static bool pae_paging(u64 cr0, u64 cr4, u64 efer)
{
	return cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFR_LMA);
}

/* Translations of the old mode must go; those of the second level go with them, which is rare */
static void forget_translations(struct hvx_vcpu *vcpu)
{
	vcpu->tlb_gen = 0;
}

#define PDPTE_RESERVED	(GENMASK_ULL(2, 1) | GENMASK_ULL(8, 5))

/* Intel SDM vol. 3A, "PDPTE Registers". 0, 1 for #GP, negative errno when memory is not there. */
static int load_pdptes(struct hvx_vcpu *vcpu)
{
	u64 gpa = hvx_cr3(vcpu) & 0xffffffe0ULL;
	u64 high = ~GENMASK_ULL(boot_cpu_data.x86_phys_bits - 1, 0);
	u64 pdpte[4];
	int i, err;

	err = hvx_read_gpa(vcpu->vm, gpa, pdpte, sizeof(pdpte));
	if (err)
		return err;
	for (i = 0; i < 4; i++)
		if (pdpte[i] & 1 && pdpte[i] & (PDPTE_RESERVED | high))
			return 1;
	memcpy(vcpu->regs.pdpte, pdpte, sizeof(pdpte));
	hvx_changed(vcpu, RM(PDPTE));
	return 0;
}

static bool needs_pdptes(u64 cr0, u64 cr4, u64 efer)
{
	return hvx_ops->traits & HVX_TRAIT_PDPTE && pae_paging(cr0, cr4, efer);
}

void hvx_paging_set(struct hvx_vcpu *vcpu)
{
	const struct hvx_regs *regs = &vcpu->regs;

	forget_translations(vcpu);
	if (needs_pdptes(regs->cr0, regs->cr4, regs->efer))
		hvx_request(vcpu, HVX_REQ_PDPTES);
	else
		clear_bit(HVX_REQ_PDPTES, &vcpu->requests);
}

void hvx_paging_prepare(struct hvx_vcpu *vcpu)
{
	int idx;

	if (!test_and_clear_bit(HVX_REQ_PDPTES, &vcpu->requests))
		return;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	/* PDPTEs that no MOV CR3 would load: nothing is mapped */
	if (load_pdptes(vcpu)) {
		memset(vcpu->regs.pdpte, 0, sizeof(vcpu->regs.pdpte));
		hvx_changed(vcpu, RM(PDPTE));
	}
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}

/* Put new values in force, PDPTEs first since they alone can fail */
static enum cr_result commit_paging(struct hvx_vcpu *vcpu, u64 cr0, u64 cr4, u64 efer, bool reload)
{
	struct hvx_regs *regs = &vcpu->regs;

	if (reload && needs_pdptes(cr0, cr4, efer)) {
		if (hvx_in_window(vcpu))
			return CR_PROCESS;
		if (load_pdptes(vcpu))
			return CR_GP;
	}
	if (efer != regs->efer)
		hvx_changed(vcpu, RM(EFER));
	regs->cr0 = cr0;
	regs->cr4 = cr4;
	regs->efer = efer;
	hvx_changed(vcpu, RM(CR0) | RM(CR4));
	return CR_OK;
}

/* Long mode needs a 32-bit TSS; a guest that has none yet gets the type that entry demands */
static void mend_tr(struct hvx_vcpu *vcpu)
{
	struct hvx_segment *tr = &vcpu->regs.seg[SEG_TR];

	hvx_need(vcpu, RM_SEG(SEG_TR));
	if ((tr->attr & SA_TYPE) == 3) {
		tr->attr |= 0xb;
		hvx_changed(vcpu, RM_SEG(SEG_TR));
	}
}

static bool cr0_invalid(u64 cr0)
{
	return cr0 >> 32 || (cr0 & CR0_NW && !(cr0 & CR0_CD)) || (cr0 & CR0_PG && !(cr0 & CR0_PE));
}

static enum cr_result set_cr0(struct hvx_vcpu *vcpu, u64 cr0)
{
	u64 old = hvx_cr0(vcpu), cr4 = hvx_cr4(vcpu), efer = hvx_efer(vcpu);
	u64 changed = cr0 ^ old;
	bool cs_l = hvx_segment(vcpu, SEG_CS)->attr & SA_L;
	enum cr_result result;

	if (cr0_invalid(cr0))
		return CR_GP;
	cr0 = (cr0 & CR0_KNOWN) | CR0_ET;
	if (changed & CR0_PG && cr0 & CR0_PG && efer & EFR_LME) {
		if (!(cr4 & CR4_PAE) || cs_l)
			return CR_GP;
		efer |= EFR_LMA;
	} else if (changed & CR0_PG && !(cr0 & CR0_PG)) {
		if (cr4 & CR4_PCIDE || (efer & EFR_LMA && cs_l))
			return CR_GP;
		efer &= ~EFR_LMA;
	}
	result = commit_paging(vcpu, cr0, cr4, efer, changed & (CR0_PG | CR0_CD | CR0_NW));
	if (result != CR_OK)
		return result;
	if (efer & EFR_LMA)
		mend_tr(vcpu);
	if (changed & (CR0_PG | CR0_WP | CR0_PE))
		forget_translations(vcpu);
	return CR_OK;
}

static enum cr_result set_cr4(struct hvx_vcpu *vcpu, u64 cr4)
{
	u64 old = hvx_cr4(vcpu), cr0 = hvx_cr0(vcpu), efer = hvx_efer(vcpu);
	u64 changed = cr4 ^ old;
	enum cr_result result;

	if (cr4 & ~vcpu->cr4_allowed)
		return CR_GP;
	if (efer & EFR_LMA && changed & (CR4_PAE | CR4_LA57))
		return CR_GP;
	if (changed & cr4 & CR4_PCIDE && (!(efer & EFR_LMA) || hvx_cr3(vcpu) & 0xfff))
		return CR_GP;
	result = commit_paging(vcpu, cr0, cr4, efer,
			       changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP));
	if (result == CR_OK && changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_PCIDE | CR4_SMEP |
					  CR4_SMAP))
		forget_translations(vcpu);
	return result;
}

static enum cr_result set_cr8(struct hvx_vcpu *vcpu, u64 cr8)
{
	if (cr8 > 15)
		return CR_GP;
	if (vcpu->lapic)
		hvx_lapic_set_cr8(vcpu, cr8);
	else
		vcpu->regs.cr8 = cr8;
	return CR_OK;
}

static enum cr_result set_cr3(struct hvx_vcpu *vcpu, u64 cr3)
{
	u64 high = ~GENMASK_ULL(boot_cpu_data.x86_phys_bits - 1, 0);
	u64 old = hvx_cr3(vcpu);

	if (hvx_efer(vcpu) & EFR_LMA) {
		if (hvx_cr4(vcpu) & CR4_PCIDE)
			cr3 &= ~BIT_ULL(63);
		if (cr3 & high)
			return CR_GP;
	}
	if (needs_pdptes(hvx_cr0(vcpu), hvx_cr4(vcpu), hvx_efer(vcpu))) {
		if (hvx_in_window(vcpu))
			return CR_PROCESS;
		vcpu->regs.cr3 = cr3;
		if (load_pdptes(vcpu)) {
			vcpu->regs.cr3 = old;
			return CR_GP;
		}
	}
	vcpu->regs.cr3 = cr3;
	hvx_changed(vcpu, RM(CR3));
	forget_translations(vcpu);
	return CR_OK;
}

bool hvx_load_cr3(struct hvx_vcpu *vcpu, u64 cr3)
{
	return set_cr3(vcpu, cr3) == CR_OK;
}

static enum cr_result write_cr(struct hvx_vcpu *vcpu, unsigned int cr, u64 value)
{
	switch (cr) {
	case 0:
		return set_cr0(vcpu, value);
	case 3:
		return set_cr3(vcpu, value);
	case 4:
		return set_cr4(vcpu, value);
	case 8:
		return set_cr8(vcpu, value);
	}
	return CR_GP;
}

static u64 read_cr(struct hvx_vcpu *vcpu, unsigned int cr)
{
	switch (cr) {
	case 0:
		return hvx_cr0(vcpu);
	case 2:
		return vcpu->regs.cr2;
	case 3:
		return hvx_cr3(vcpu);
	case 4:
		return hvx_cr4(vcpu);
	case 8:
		return vcpu->regs.cr8;
	}
	return 0;
}

static enum cr_result do_cr(struct hvx_vcpu *vcpu, const struct hvx_exit *x)
{
	bool wide = hvx_long_mode(vcpu);
	u64 value;

	switch (x->cr.op) {
	case CR_OP_READ:
		value = read_cr(vcpu, x->cr.cr);
		hvx_set_gpr(vcpu, x->cr.gpr, wide ? value : (u32)value);
		return CR_OK;
	case CR_OP_CLTS:
		return set_cr0(vcpu, hvx_cr0(vcpu) & ~CR0_TS);
	case CR_OP_LMSW:
		/* LMSW can set PE but not clear it */
		value = hvx_cr0(vcpu);
		value = (value & ~0xeULL) | (x->cr.msw & 0xf);
		return set_cr0(vcpu, value);
	default:
		value = hvx_gpr(vcpu, x->cr.gpr);
		return write_cr(vcpu, x->cr.cr, wide ? value : (u32)value);
	}
}

enum hvx_next hvx_handle_cr(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	if (x->cr.op == CR_OP_SMSW)
		return hvx_skip(vcpu, x);
	/* AMD-V intercepts before it checks the privilege of some of these */
	if (hvx_cpl(vcpu) > 0) {
		hvx_queue_gp(vcpu, 0);
		return HVX_NEXT_ENTER;
	}
	switch (do_cr(vcpu, x)) {
	case CR_OK:
		return hvx_skip(vcpu, x);
	case CR_PROCESS:
		return HVX_NEXT_PROCESS;
	default:
		hvx_queue_gp(vcpu, 0);
		return HVX_NEXT_ENTER;
	}
}

bool hvx_set_efer(struct hvx_vcpu *vcpu, u64 efer)
{
	u64 old = hvx_efer(vcpu);

	if (efer & ~vcpu->efer_allowed)
		return false;
	if ((efer ^ old) & EFR_LME && hvx_cr0(vcpu) & CR0_PG)
		return false;
	/* LMA is the processor's */
	efer = (efer & ~EFR_LMA) | (old & EFR_LMA);
	if ((efer ^ old) & EFR_NX)
		forget_translations(vcpu);
	vcpu->regs.efer = efer;
	hvx_changed(vcpu, RM(EFER));
	return true;
}

enum hvx_next hvx_handle_xsetbv(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	u64 value = (u32)vcpu->regs.gpr[REG_RAX] | vcpu->regs.gpr[REG_RDX] << 32;

	if (!(hvx_cr4(vcpu) & CR4_OSXSAVE)) {
		hvx_queue_ud(vcpu);
		return HVX_NEXT_ENTER;
	}
	if (hvx_cpl(vcpu) > 0 || (u32)vcpu->regs.gpr[REG_RCX] || !hvx_xcr0_valid(vcpu, value)) {
		hvx_queue_gp(vcpu, 0);
		return HVX_NEXT_ENTER;
	}
	hvx_set_xcr0(vcpu, value);
	return hvx_skip(vcpu, x);
}
