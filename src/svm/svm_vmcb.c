// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers between the cache (struct hvx_regs) and the VMCB.
 *
 * Every write to CR0, CR4, EFER, PAT and DR0-DR7 is intercepted, so that the cache alone knows
 * their values and the VMCB holds what is in force: CR0 without CD, CR4 with MCE, EFER with SVME,
 * DR6 clean, DR7 of the VMM while it debugs. The rest lives in the VMCB, but for what VMLOAD
 * switches: that may be on the CPU (svm_switch.hidden).
 *
 * Context: vcpu->lock; write_regs() in a window, the others anywhere.
 */
#include <linux/mm.h>
#include "compat.h"
#include "cpu/cr.h"
#include "cpu/debug.h"
#include "svm.h"

#define RM_HIDDEN	(RM_SEG(SEG_FS) | RM_SEG(SEG_GS) | RM_SEG(SEG_TR) | RM_SEG(SEG_LDTR) | \
			 RM(SYSENTER) | RM(SYSCALL))

#define SEG_AT(name)	offsetof(struct vmcb, name)

static const u16 seg_at[NR_SEGS] = {
	[SEG_ES] = SEG_AT(es), [SEG_CS] = SEG_AT(cs), [SEG_SS] = SEG_AT(ss), [SEG_DS] = SEG_AT(ds),
	[SEG_FS] = SEG_AT(fs), [SEG_GS] = SEG_AT(gs), [SEG_TR] = SEG_AT(tr),
	[SEG_LDTR] = SEG_AT(ldtr),
};

static struct vmcb_seg *vmcb_seg(struct vmcb *vmcb, unsigned int i)
{
	return (void *)vmcb + seg_at[i];
}

/*
 * The VMCB knows "not present" where the cache knows "unusable", and CPL apart from SS. Busy is not
 * always shown in TR, nor G in CS.
 */
static void read_seg(struct svm_vcpu *svm, unsigned int i)
{
	const struct vmcb_seg *from = vmcb_seg(svm->vmcb, i);
	struct hvx_segment *to = &svm->vcpu.regs.seg[i];

	to->base = from->base;
	to->limit = from->limit;
	to->selector = from->selector;
	to->attr = from->attrib & SVM_ATTRIB;
	if (!(to->attr & SA_P))
		to->attr |= SA_UNUSABLE;
	if (to->limit > 0xfffff)
		to->attr |= SA_G;
	if (i == SEG_SS)
		to->attr = (to->attr & ~SA_DPL) | svm->vmcb->cpl << SA_DPL_SHIFT;
	else if (i == SEG_TR)
		to->attr |= 2;
}

static void write_seg(struct svm_vcpu *svm, unsigned int i)
{
	const struct hvx_segment *from = &svm->vcpu.regs.seg[i];
	struct vmcb_seg *to = vmcb_seg(svm->vmcb, i);

	to->base = from->base;
	to->limit = from->limit;
	to->selector = from->selector;
	to->attrib = from->attr & SVM_ATTRIB;
	if (from->attr & SA_UNUSABLE)
		to->attrib &= ~SA_P;
	if (i == SEG_SS)
		svm->vmcb->cpl = (from->attr & SA_DPL) >> SA_DPL_SHIFT;
}

static void read_tables(struct hvx_regs *regs, const struct vmcb *vmcb)
{
	regs->gdt.base = vmcb->gdtr.base;
	regs->gdt.limit = vmcb->gdtr.limit;
	regs->idt.base = vmcb->idtr.base;
	regs->idt.limit = vmcb->idtr.limit;
}

static void read_syscall_msrs(struct hvx_regs *regs, const struct vmcb *vmcb, u64 mask)
{
	if (mask & RM(SYSENTER)) {
		regs->sysenter_cs = vmcb->sysenter_cs;
		regs->sysenter_esp = vmcb->sysenter_esp;
		regs->sysenter_eip = vmcb->sysenter_eip;
	}
	if (mask & RM(SYSCALL)) {
		regs->star = vmcb->star;
		regs->lstar = vmcb->lstar;
		regs->cstar = vmcb->cstar;
		regs->sfmask = vmcb->sfmask;
		regs->kernel_gs_base = vmcb->kernel_gs_base;
	}
}

/* What is not named here is always available: see the head of the file, and svm_enter() */
void svm_read_regs(struct hvx_vcpu *vcpu, u64 mask)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct hvx_regs *regs = &vcpu->regs;
	const struct vmcb *vmcb = svm->vmcb;
	unsigned long segs = (mask & RM_SEGS) >> RB_SEG;

	if (mask & RM_HIDDEN)
		svm_save_hidden(svm);
	if (mask & RM(RSP))
		regs->gpr[REG_RSP] = vmcb->rsp;
	if (mask & RM(CR3))
		regs->cr3 = vmcb->cr3;
	for (; segs; segs &= segs - 1)
		read_seg(svm, __ffs(segs));
	if (mask & RM(TABLES))
		read_tables(regs, vmcb);
	if (mask & (RM(SYSENTER) | RM(SYSCALL)))
		read_syscall_msrs(regs, vmcb, mask);
	regs->avail |= mask;
}

/*
 * CR0.CD would make the guest's memory uncached, which firmware asks for without meaning it; reads
 * of CR0 exit while the guest has it set. An invalid NW stays, for VMRUN to refuse.
 */
static void put_cr0(struct svm_vcpu *svm)
{
	u64 cr0 = svm->vcpu.regs.cr0;
	bool hide = cr0 & CR0_CD;

	svm->vmcb->cr0 = hide ? cr0 & ~(CR0_CD | CR0_NW) : cr0;
	svm_intercept(svm, SVM_I_CR_READ(0), hide);
}

/*
 * CR4.MCE is the host's: without it a machine check shuts the processor down, intercept or not (AMD
 * APM vol. 2, "Machine-Check Exception"). While the guest has it clear reads exit.
 */
static void put_cr4(struct svm_vcpu *svm)
{
	u64 cr4 = svm->vcpu.regs.cr4;

	svm->vmcb->cr4 = cr4 | svm_features.cr4_host;
	svm_intercept(svm, SVM_I_CR_READ(4), svm->vmcb->cr4 != cr4);
}

static void put_crs(struct svm_vcpu *svm, u64 dirty)
{
	const struct hvx_regs *regs = &svm->vcpu.regs;
	struct vmcb *vmcb = svm->vmcb;

	if (dirty & RM(CR0))
		put_cr0(svm);
	if (dirty & RM(CR3))
		vmcb->cr3 = regs->cr3;
	if (dirty & RM(CR4))
		put_cr4(svm);
	if (dirty & RM(EFER))
		vmcb->efer = regs->efer | SVM_EFER_SVME;
	svm_dirty(svm, SVM_CLEAN_CRX);
}

static void write_segs(struct svm_vcpu *svm, u64 dirty)
{
	unsigned int i;

	for (i = 0; i < NR_SEGS; i++)
		if (dirty & RM_SEG(i))
			write_seg(svm, i);
	svm_dirty(svm, SVM_CLEAN_SEG);
}

static void write_tables(struct svm_vcpu *svm)
{
	const struct hvx_regs *regs = &svm->vcpu.regs;
	struct vmcb *vmcb = svm->vmcb;

	vmcb->gdtr.base = regs->gdt.base;
	vmcb->gdtr.limit = regs->gdt.limit;
	vmcb->idtr.base = regs->idt.base;
	vmcb->idtr.limit = regs->idt.limit;
	svm_dirty(svm, SVM_CLEAN_DT);
}

static void write_syscall_msrs(struct vmcb *vmcb, const struct hvx_regs *regs, u64 dirty)
{
	if (dirty & RM(SYSENTER)) {
		vmcb->sysenter_cs = regs->sysenter_cs;
		vmcb->sysenter_esp = regs->sysenter_esp;
		vmcb->sysenter_eip = regs->sysenter_eip;
	}
	if (dirty & RM(SYSCALL)) {
		vmcb->star = regs->star;
		vmcb->lstar = regs->lstar;
		vmcb->cstar = regs->cstar;
		vmcb->sfmask = regs->sfmask;
		vmcb->kernel_gs_base = regs->kernel_gs_base;
	}
}

/* DR6 collects what a #DB says, which the cache then takes over */
static void write_drs(struct svm_vcpu *svm)
{
	struct hvx_vcpu *vcpu = &svm->vcpu;

	svm->vmcb->dr6 = DR6_FIXED;
	svm->vmcb->dr7 = vcpu->debug.control & HVX_DEBUG_HW_BP ? vcpu->debug.dr7 : vcpu->regs.dr7;
	svm_dirty(svm, SVM_CLEAN_DRX);
}

static void write_shadow(struct svm_vcpu *svm)
{
	u32 shadow = svm->vcpu.regs.shadow;

	svm->vmcb->interrupt_shadow = shadow & (SHADOW_STI | SHADOW_MOV_SS) ?
				      SVM_INTERRUPT_SHADOW : 0;
	if ((shadow & SHADOW_NMI) != svm->nmi_shadow)
		svm_block_nmi(svm, shadow & SHADOW_NMI);
}

/* "TSC Ratio MSR": the offset is added to the product. Context: window. */
static void write_tsc(struct svm_vcpu *svm)
{
	u64 ratio = svm->vcpu.regs.tsc_ratio;

	svm->tsc_ratio = ratio ? ratio >> SVM_TSC_RATIO_SHIFT : svm_features.tsc_ratio;
	svm_load_tsc_ratio(svm);
	svm->vmcb->tsc_offset = hvx_hw_tsc_offset(&svm->vcpu);
	svm_dirty(svm, SVM_CLEAN_I);
	svm_load_tsc_aux(svm);
}

/* IA32_SPEC_CTRL is the guest's own from now on, or the host's again. Context: window. */
static void write_spec_ctrl(struct svm_vcpu *svm)
{
	bool own = svm->vcpu.spec.own;

	if (own == svm->sw.own_spec_ctrl)
		return;
	svm->sw.own_spec_ctrl = own;
	/* The first entry of this window may be over */
	if (own)
		svm->vcpu.regs.host_spec_ctrl = hvx_rdmsr(MSR_IA32_SPEC_CTRL);
	svm->vmcb->msrpm_base_pa = svm_msrpm_pa(svm);
	svm_dirty(svm, SVM_CLEAN_IOPM);
}

/* Registers that an instruction of the guest rarely touches */
static void write_rare(struct svm_vcpu *svm, u64 dirty)
{
	if (dirty & RM(TABLES))
		write_tables(svm);
	if (dirty & RM(DR7))
		write_drs(svm);
	if (dirty & RM(TSC))
		write_tsc(svm);
	if (dirty & RM(PAT)) {
		svm->vmcb->g_pat = svm->vcpu.regs.pat;
		svm_dirty(svm, SVM_CLEAN_NP);
	}
	if (dirty & RM(SPEC_CTRL))
		write_spec_ctrl(svm);
}

/* RIP, RAX and CR2 are written at every entry, by svm_enter(). Context: window. */
void svm_write_regs(struct svm_vcpu *svm)
{
	struct hvx_regs *regs = &svm->vcpu.regs;
	u64 dirty = regs->dirty;

	if (dirty & RM_HIDDEN) {
		svm_save_hidden(svm);
		svm->sw.hidden = SVM_HIDDEN_IN_VMCB;
		write_syscall_msrs(svm->vmcb, regs, dirty);
	}
	if (dirty & RM(RSP))
		svm->vmcb->rsp = regs->gpr[REG_RSP];
	if (dirty & RM(RFLAGS))
		svm->vmcb->rflags = regs->rflags;
	if (dirty & RM_SEGS)
		write_segs(svm, dirty);
	if (dirty & (RM(CR0) | RM(CR3) | RM(CR4) | RM(EFER)))
		put_crs(svm, dirty);
	if (dirty & RM(SHADOW))
		write_shadow(svm);
	if (dirty & (RM(TABLES) | RM(DR7) | RM(TSC) | RM(PAT) | RM(SPEC_CTRL)))
		write_rare(svm, dirty);
	regs->dirty = 0;
}

/*
 * Always intercepted. #DB and #AC because a guest can make either happen endlessly during its own
 * delivery, with interrupts and NMIs shut out (CVE-2015-8104, CVE-2015-5307); #UD for the other
 * vendor's hypercall instruction; #MC because it is the host's.
 */
#define EXCEPTIONS	(BIT(1) | BIT(6) | BIT(17) | BIT(18))

/* Not for a step: INT3 and INTO cannot be given back to the guest without their length */
#define STEP_EXCEPTIONS	(~(BIT(2) | BIT(3) | BIT(4)))

void svm_update_exceptions(struct svm_vcpu *svm)
{
	u32 old = svm->vmcb->intercept[2];

	svm->intercept_exc = EXCEPTIONS;
	if (svm->vcpu.debug.control & HVX_DEBUG_SW_BP)
		svm->intercept_exc |= BIT(3);
	svm->vmcb->intercept[2] = svm->intercept_exc;
	if (svm->attention & SVM_ATT_STEPPING)
		svm->vmcb->intercept[2] |= STEP_EXCEPTIONS;
	if (svm->vmcb->intercept[2] != old)
		svm_dirty(svm, SVM_CLEAN_I);
}

/* The caller marks DR7 and RFLAGS dirty */
void svm_update_debug(struct hvx_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->attention &= ~SVM_ATT_DEBUG_STEP;
	if (vcpu->debug.control & HVX_DEBUG_STEP)
		svm->attention |= SVM_ATT_DEBUG_STEP;
	svm_update_exceptions(svm);
}

static const u8 intercepts[] = {
	SVM_I_CR_WRITE(0), SVM_I_CR_WRITE(4), SVM_I_CR_WRITE(8), SVM_I_CR_READ(8),
	SVM_I_INTR, SVM_I_NMI, SVM_I_INIT, SVM_I_RDPMC, SVM_I_CPUID, SVM_I_INVD, SVM_I_HLT,
	SVM_I_INVLPGA, SVM_I_IOIO_PROT, SVM_I_MSR_PROT, SVM_I_TASK_SWITCH, SVM_I_SHUTDOWN,
	SVM_I_VMRUN, SVM_I_VMMCALL, SVM_I_VMLOAD, SVM_I_VMSAVE, SVM_I_STGI, SVM_I_CLGI,
	SVM_I_SKINIT, SVM_I_WBINVD, SVM_I_MONITOR, SVM_I_MWAIT, SVM_I_MWAIT_ARMED, SVM_I_XSETBV,
	SVM_I_RDPRU, SVM_I_INVLPGB, SVM_I_INVLPGB_ILLEGAL, SVM_I_MCOMMIT, SVM_I_TLBSYNC,
};

/*
 * "Pause Intercept Filtering": so many PAUSEs pass before one exits. With a threshold the count
 * begins anew when there were more cycles between two than that.
 */
#define PAUSE_FILTER_COUNT	3000
#define PAUSE_FILTER_THRESHOLD	128

static void filter_pauses(struct svm_vcpu *svm)
{
	if (!(svm_features.cpuid & SVM_CPUID_PAUSE_FILTER))
		return;
	svm->vmcb->pause_filter_count = PAUSE_FILTER_COUNT;
	if (svm_features.cpuid & SVM_CPUID_PAUSE_THRESHOLD)
		svm->vmcb->pause_filter_threshold = PAUSE_FILTER_THRESHOLD;
	svm_intercept(svm, SVM_I_PAUSE, true);
}

/* All of the control area but the ASID, which the first window brings */
void svm_vmcb_reset(struct svm_vcpu *svm)
{
	struct svm_vm *vm = to_svm_vm(svm->vcpu.vm);
	struct vmcb *vmcb = svm->vmcb;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(intercepts); i++)
		svm_intercept(svm, intercepts[i], true);
	vmcb->intercept[1] = ~0u;	/* DR reads and writes */
	filter_pauses(svm);
	svm_update_exceptions(svm);
	vmcb->iopm_base_pa = svm_features.iopm_pa;
	vmcb->msrpm_base_pa = svm_msrpm_pa(svm);
	vmcb->v_intr = SVM_V_INTR_MASKING;
	vmcb->np_enable = SVM_NP_ENABLE;
	vmcb->n_cr3 = svm_nested_root(vm);
	vmcb->clean = 0;
}
