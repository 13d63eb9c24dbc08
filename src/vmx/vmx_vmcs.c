// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VMCS: set-up, and registers between it and the register cache.
 *
 * Guest CR0 and CR4: the guest sees regs.cr0 and regs.cr4; the fields hold what VMX operation wants
 * besides (CR0.NE, CR4.VMXE) and the host (CR4.MCE). Bits in VMX_CR0_GUEST_OWNED and
 * VMX_CR4_GUEST_OWNED are the guest's own, all other changes exit. CR3 is the guest's own.
 *
 * The processor keeps translations across entries (VPID). Where the guest's MOV to CR0 or CR4
 * exits, the invalidations of that instruction (Intel SDM vol. 3A, "Invalidation of TLBs and
 * Paging-Structure Caches") are performed here, when the new value is written.
 */
#include <asm/processor-flags.h>
#include <asm/segment.h>
#include <linux/bitops.h>
#include <linux/gfp.h>
#include <linux/irqflags.h>
#include <linux/mm.h>
#include "vmx.h"
#include "vmx_hw.h"

/*
 * "Exits by PAUSE-loop": two PAUSEs are of one loop when there are at most PLE_GAP ticks of the TSC
 * between them; one that goes on for PLE_WINDOW exits. No lock that its holder can give away is
 * held as long as that.
 */
#define PLE_GAP		128
#define PLE_WINDOW	4096

/* CR4 bits whose change makes MOV to CR4 invalidate translations */
#define CR4_FLUSHES	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PCIDE | X86_CR4_SMEP | \
			 X86_CR4_SMAP | X86_CR4_LA57 | X86_CR4_PKE)

/* Access rights have AVL, L, D/B, G and "unusable" four bits higher than struct hvx_segment.attr */
#define ATTR_LOW	0xffu
#define ATTR_HIGH	0x1f00u
#define RIGHTS_SHIFT	4

/* The VMCS orders LDTR before TR */
static unsigned int slot(unsigned int seg)
{
	return seg < SEG_TR ? seg : SEG_TR + SEG_LDTR - seg;
}

static enum vmcs_field seg_field(enum vmcs_field first, unsigned int seg)
{
	return first + 2 * slot(seg);
}

static void write_segment(unsigned int i, const struct hvx_segment *seg)
{
	vmcs_write(seg_field(VMCS_GUEST_ES_SELECTOR, i), seg->selector);
	vmcs_write(seg_field(VMCS_GUEST_ES_BASE, i), seg->base);
	vmcs_write(seg_field(VMCS_GUEST_ES_LIMIT, i), seg->limit);
	vmcs_write(seg_field(VMCS_GUEST_ES_ACCESS_RIGHTS, i),
		   (seg->attr & ATTR_LOW) | (u32)(seg->attr & ATTR_HIGH) << RIGHTS_SHIFT);
}

static void read_segment(unsigned int i, struct hvx_segment *seg)
{
	u32 rights = vmcs_read(seg_field(VMCS_GUEST_ES_ACCESS_RIGHTS, i));

	seg->selector = vmcs_read(seg_field(VMCS_GUEST_ES_SELECTOR, i));
	seg->base = vmcs_read(seg_field(VMCS_GUEST_ES_BASE, i));
	seg->limit = vmcs_read(seg_field(VMCS_GUEST_ES_LIMIT, i));
	seg->attr = (rights & ATTR_LOW) | (rights >> RIGHTS_SHIFT & ATTR_HIGH);
}

static void read_segments(struct hvx_regs *regs, u64 mask)
{
	u32 segs = (mask & RM_SEGS) >> RB_SEG;

	for (; segs; segs &= segs - 1)
		read_segment(__ffs(segs), &regs->seg[__ffs(segs)]);
}

static void write_tables(const struct hvx_regs *regs)
{
	vmcs_write(VMCS_GUEST_GDTR_BASE, regs->gdt.base);
	vmcs_write(VMCS_GUEST_GDTR_LIMIT, regs->gdt.limit);
	vmcs_write(VMCS_GUEST_IDTR_BASE, regs->idt.base);
	vmcs_write(VMCS_GUEST_IDTR_LIMIT, regs->idt.limit);
}

static void read_tables(struct hvx_regs *regs)
{
	regs->gdt.base = vmcs_read(VMCS_GUEST_GDTR_BASE);
	regs->gdt.limit = vmcs_read(VMCS_GUEST_GDTR_LIMIT);
	regs->idt.base = vmcs_read(VMCS_GUEST_IDTR_BASE);
	regs->idt.limit = vmcs_read(VMCS_GUEST_IDTR_LIMIT);
}

static void flush_guest(const struct vmx_vcpu *vmx)
{
	/* Without VPID every entry and exit flushes */
	if (vmx->vpid)
		vpid_flush(INVVPID_SINGLE, vmx->vpid);
}

static void put_cr0(struct vmx_vcpu *vmx, u64 cr0)
{
	u64 hw = vmx_hw_cr0(cr0);

	vmcs_write(VMCS_CR0_READ_SHADOW, cr0);
	vmcs_write(VMCS_GUEST_CR0, hw);
	if ((hw ^ vmx->guest_cr0) & X86_CR0_PG)
		flush_guest(vmx);
	vmx->guest_cr0 = hw;
}

static void put_cr4(struct vmx_vcpu *vmx, u64 cr4)
{
	u64 hw = vmx_hw_cr4(cr4);

	vmcs_write(VMCS_CR4_READ_SHADOW, cr4);
	vmcs_write(VMCS_GUEST_CR4, hw);
	if ((hw ^ vmx->guest_cr4) & CR4_FLUSHES)
		flush_guest(vmx);
	vmx->guest_cr4 = hw;
}

static void get_cr0(struct hvx_regs *regs)
{
	regs->cr0 &= ~VMX_CR0_GUEST_OWNED;
	regs->cr0 |= vmcs_read(VMCS_GUEST_CR0) & VMX_CR0_GUEST_OWNED;
}

static void get_cr4(struct hvx_regs *regs)
{
	regs->cr4 &= ~VMX_CR4_GUEST_OWNED;
	regs->cr4 |= vmcs_read(VMCS_GUEST_CR4) & VMX_CR4_GUEST_OWNED;
}

static void write_efer(struct vmx_vcpu *vmx, u64 efer)
{
	u32 entry = vmx_caps.entry | (efer & EFER_LMA ? ENTRY_IA32E_MODE_GUEST : 0);

	vmcs_write(VMCS_GUEST_IA32_EFER, efer);
	if (entry != vmx->entry) {
		vmcs_write(VMCS_ENTRY_CONTROLS, entry);
		vmx->entry = entry;
	}
}

static void write_paging(struct vmx_vcpu *vmx, u64 dirty)
{
	const struct hvx_regs *regs = &vmx->vcpu.regs;
	int i;

	if (dirty & RM(CR0))
		put_cr0(vmx, regs->cr0);
	if (dirty & RM(CR3)) {
		vmcs_write(VMCS_GUEST_CR3, regs->cr3);
		flush_guest(vmx);
	}
	if (dirty & RM(CR4))
		put_cr4(vmx, regs->cr4);
	if (dirty & RM(EFER))
		write_efer(vmx, regs->efer);
	if (dirty & RM(PDPTE))
		for (i = 0; i < 4; i++)
			vmcs_write(VMCS_GUEST_PDPTE0 + 2 * i, regs->pdpte[i]);
}

static void read_paging(struct hvx_regs *regs, u64 mask)
{
	int i;

	if (mask & RM(CR0))
		get_cr0(regs);
	if (mask & RM(CR3))
		regs->cr3 = vmcs_read(VMCS_GUEST_CR3);
	if (mask & RM(CR4))
		get_cr4(regs);
	if (mask & RM(PDPTE))
		for (i = 0; i < 4; i++)
			regs->pdpte[i] = vmcs_read(VMCS_GUEST_PDPTE0 + 2 * i);
}

static void write_segments(const struct hvx_regs *regs, u64 dirty)
{
	int i;

	for (i = 0; i < NR_SEGS; i++)
		if (dirty & RM_SEG(i))
			write_segment(i, &regs->seg[i]);
	if (dirty & RM(TABLES))
		write_tables(regs);
}

/* "Changes to Instruction Behavior in VMX Non-Root Operation": RDTSC */
static void write_tsc(struct vmx_vcpu *vmx)
{
	u64 ratio = vmx->vcpu.regs.tsc_ratio;

	vmcs_write(VMCS_TSC_OFFSET, hvx_hw_tsc_offset(&vmx->vcpu));
	if (likely(!ratio && !(vmx->secondary & SEC_USE_TSC_SCALING)))
		return;
	vmx->secondary &= ~SEC_USE_TSC_SCALING;
	if (ratio) {
		vmcs_write(VMCS_TSC_MULTIPLIER, ratio);
		vmx->secondary |= SEC_USE_TSC_SCALING;
	}
	vmcs_write(VMCS_SECONDARY_CONTROLS, vmx->secondary);
}

static void write_msrs(struct vmx_vcpu *vmx, u64 dirty)
{
	const struct hvx_regs *regs = &vmx->vcpu.regs;

	if (dirty & RM(SYSENTER)) {
		vmcs_write(VMCS_GUEST_IA32_SYSENTER_CS, regs->sysenter_cs);
		vmcs_write(VMCS_GUEST_IA32_SYSENTER_ESP, regs->sysenter_esp);
		vmcs_write(VMCS_GUEST_IA32_SYSENTER_EIP, regs->sysenter_eip);
	}
	if (dirty & RM(PAT) && vmx_caps.pat)
		vmcs_write(VMCS_GUEST_IA32_PAT, regs->pat);
	if (dirty & RM(DEBUGCTL))
		vmcs_write(VMCS_GUEST_IA32_DEBUGCTL, regs->debugctl);
	if (dirty & RM(TSC))
		write_tsc(vmx);
	if (dirty & (RM(EFER) | RM(SYSCALL) | RM(TSC)))
		vmx_sync_msrs(vmx);
	if (dirty & RM(SPEC_CTRL))
		vmx_sync_spec_ctrl(vmx);
}

static void read_msrs(struct vmx_vcpu *vmx, u64 mask)
{
	struct hvx_regs *regs = &vmx->vcpu.regs;

	if (mask & RM(SYSENTER)) {
		regs->sysenter_cs = vmcs_read(VMCS_GUEST_IA32_SYSENTER_CS);
		regs->sysenter_esp = vmcs_read(VMCS_GUEST_IA32_SYSENTER_ESP);
		regs->sysenter_eip = vmcs_read(VMCS_GUEST_IA32_SYSENTER_EIP);
	}
	if (mask & RM(PAT))
		regs->pat = vmcs_read(VMCS_GUEST_IA32_PAT);
	if (mask & RM(DEBUGCTL))
		regs->debugctl = vmcs_read(VMCS_GUEST_IA32_DEBUGCTL);
	if (mask & RM(SYSCALL))
		vmx_read_syscall_msrs(vmx);
}

static void write_shadow(struct vmx_vcpu *vmx)
{
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, vmx_interruptibility(vmx->vcpu.regs.shadow));
	vmcs_write(VMCS_GUEST_PENDING_DEBUG, vmx_pending_debug(&vmx->vcpu.regs));
}

static void write_dirty(struct vmx_vcpu *vmx, u64 dirty)
{
	struct hvx_vcpu *vcpu = &vmx->vcpu;
	struct hvx_regs *regs = &vcpu->regs;

	if (dirty & RM(RIP))
		vmcs_write(VMCS_GUEST_RIP, regs->rip);
	if (dirty & RM(RSP))
		vmcs_write(VMCS_GUEST_RSP, regs->gpr[REG_RSP]);
	if (dirty & RM(RFLAGS))
		vmcs_write(VMCS_GUEST_RFLAGS, regs->rflags);
	if (dirty & RM(SHADOW)) {
		if (regs->shadow && !(regs->avail & RM(RFLAGS)))
			regs->rflags = vmcs_read(VMCS_GUEST_RFLAGS);
		write_shadow(vmx);
	}
	if (dirty & (RM_SEGS | RM(TABLES)))
		write_segments(regs, dirty);
	if (dirty & (RM(CR0) | RM(CR3) | RM(CR4) | RM(EFER) | RM(PDPTE)))
		write_paging(vmx, dirty);
	if (dirty & RM(DR7))
		vmcs_write(VMCS_GUEST_DR7, vcpu->debug.control & HVX_DEBUG_HW_BP ?
			   vcpu->debug.dr7 : regs->dr7);
	write_msrs(vmx, dirty);
}

static void set_primary(struct vmx_vcpu *vmx, u32 primary)
{
	if (primary != vmx->primary) {
		vmcs_write(VMCS_PRIMARY_CONTROLS, primary);
		vmx->primary = primary;
	}
}

static void write_controls(struct vmx_vcpu *vmx)
{
	u32 control = vmx->vcpu.debug.control;
	u32 exceptions = VMX_EXCEPTIONS;
	u32 primary = vmx->primary & ~PRI_MONITOR_TRAP_FLAG;

	if (control & HVX_DEBUG_SW_BP)
		exceptions |= BIT(X86_TRAP_BP);
	if (exceptions != vmx->exception_bitmap) {
		vmcs_write(VMCS_EXCEPTION_BITMAP, exceptions);
		vmx->exception_bitmap = exceptions;
	}
	set_primary(vmx, primary | (control & HVX_DEBUG_STEP ? PRI_MONITOR_TRAP_FLAG : 0));
	vmx->stale_controls = false;
}

void vmx_write_regs(struct vmx_vcpu *vmx)
{
	write_dirty(vmx, vmx->vcpu.regs.dirty);
	if (unlikely(vmx->stale_controls))
		write_controls(vmx);
}

static void read_fields(struct vmx_vcpu *vmx, u64 mask)
{
	struct hvx_regs *regs = &vmx->vcpu.regs;

	if (mask & RM(RIP))
		regs->rip = vmcs_read(VMCS_GUEST_RIP);
	if (mask & RM(RSP))
		regs->gpr[REG_RSP] = vmcs_read(VMCS_GUEST_RSP);
	if (mask & RM(RFLAGS))
		regs->rflags = vmcs_read(VMCS_GUEST_RFLAGS);
	if (mask & RM(SHADOW))
		regs->shadow = vmx_shadow(vmcs_read(VMCS_GUEST_INTERRUPTIBILITY));
	read_segments(regs, mask);
	if (mask & RM(TABLES))
		read_tables(regs);
	if (mask & (RM(CR0) | RM(CR3) | RM(CR4) | RM(PDPTE)))
		read_paging(regs, mask);
	if (mask & (RM(SYSENTER) | RM(PAT) | RM(DEBUGCTL) | RM(SYSCALL)))
		read_msrs(vmx, mask);
	regs->avail |= mask;
}

void vmx_read_regs(struct hvx_vcpu *vcpu, u64 mask)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	unsigned long flags;

	mask &= ~vcpu->regs.avail;
	if (likely(vmx->loaded)) {
		read_fields(vmx, mask);
		return;
	}
	local_irq_save(flags);
	if (!WARN_ON_ONCE(vmx_enter_root_for_regs(vmx))) {
		read_fields(vmx, mask);
		vmx_leave_root(vmx);
	}
	local_irq_restore(flags);
}

void vmx_set_windows(struct hvx_vcpu *vcpu, bool irq, bool nmi)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 primary = vmx->primary & ~(PRI_INTERRUPT_WINDOW_EXITING | PRI_NMI_WINDOW_EXITING);

	if (irq)
		primary |= PRI_INTERRUPT_WINDOW_EXITING;
	if (nmi)
		primary |= PRI_NMI_WINDOW_EXITING;
	if (vmx_caps.tpr_shadow && vcpu->lapic)
		primary = vmx_apicv_sync(vmx, primary);
	set_primary(vmx, primary);
}

/* Guest-physical and combined translations of this table, for all VPIDs and PCIDs */
void vmx_tlb_flush(struct hvx_vcpu *vcpu)
{
	if (likely(vmx_caps.ept_vpid & EPT_CAP_INVEPT_SINGLE))
		ept_flush(INVEPT_SINGLE, to_vmx(vcpu)->eptp);
	else
		ept_flush(INVEPT_ALL, 0);
}

static void setup_controls(struct vmx_vcpu *vmx)
{
	const struct vmx_caps *caps = &vmx_caps;

	vmx->primary = caps->primary &
		~(PRI_INTERRUPT_WINDOW_EXITING | PRI_NMI_WINDOW_EXITING | PRI_MONITOR_TRAP_FLAG);
	vmx->secondary = caps->secondary;
	vmx->entry = caps->entry;
	vmx->exception_bitmap = VMX_EXCEPTIONS;
	vmcs_write(VMCS_PIN_CONTROLS, caps->pin);
	vmcs_write(VMCS_PRIMARY_CONTROLS, vmx->primary);
	vmcs_write(VMCS_SECONDARY_CONTROLS, vmx->secondary);
	vmcs_write(VMCS_EXIT_CONTROLS, caps->exit);
	vmcs_write(VMCS_ENTRY_CONTROLS, vmx->entry);
	vmcs_write(VMCS_EXCEPTION_BITMAP, vmx->exception_bitmap);
	vmcs_write(VMCS_CR0_MASK, ~VMX_CR0_GUEST_OWNED);
	vmcs_write(VMCS_CR4_MASK, ~VMX_CR4_GUEST_OWNED);
	vmcs_write(VMCS_EPT_POINTER, vmx->eptp);
	if (caps->vpid)
		vmcs_write(VMCS_VPID, vmx->vpid);
	vmcs_write(VMCS_IO_BITMAP_A, __pa(vmx_io_bitmap[0]));
	vmcs_write(VMCS_IO_BITMAP_B, __pa(vmx_io_bitmap[1]));
	vmcs_write(VMCS_MSR_BITMAPS, __pa(to_vmx_vm(vmx->vcpu.vm)->msr_bitmap[0]));
	if (caps->secondary & SEC_PAUSE_LOOP_EXITING) {
		vmcs_write(VMCS_PLE_GAP, PLE_GAP);
		vmcs_write(VMCS_PLE_WINDOW, PLE_WINDOW);
	}
	if (caps->secondary & SEC_ENABLE_XSAVES)
		vmcs_write(VMCS_XSS_EXITING_BITMAP, ~0ULL);
	if (caps->secondary & SEC_ENCLS_EXITING)
		vmcs_write(VMCS_ENCLS_EXITING_BITMAP, ~0ULL);
	if (caps->secondary & SEC_ENCLV_EXITING)
		vmcs_write(VMCS_ENCLV_EXITING_BITMAP, ~0ULL);
	if (caps->timer)
		vmcs_write(VMCS_PREEMPTION_TIMER, caps->timer);
	vmx_apicv_setup(vmx);
}

/* Fields that stay zero are those of a zeroed and cleared VMCS, which has no defined content */
static void setup_zero(void)
{
	vmcs_write(VMCS_PAGE_FAULT_ERROR_MASK, 0);
	vmcs_write(VMCS_PAGE_FAULT_ERROR_MATCH, 0);
	vmcs_write(VMCS_CR3_TARGET_COUNT, 0);
	vmcs_write(VMCS_EXIT_MSR_STORE_COUNT, 0);
	vmcs_write(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmcs_write(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO, 0);
	vmcs_write(VMCS_GUEST_ACTIVITY, 0);
	vmcs_write(VMCS_GUEST_PENDING_DEBUG, 0);
	if (vmx_caps.perf_ctrl)
		vmcs_write(VMCS_GUEST_IA32_PERF_GLOBAL_CTRL, 0);
}

/* Host fields that are the same on all CPUs; the others are open()'s */
static void setup_host(struct vmx_vcpu *vmx)
{
	vmcs_write(VMCS_HOST_CS_SELECTOR, __KERNEL_CS);
	vmcs_write(VMCS_HOST_SS_SELECTOR, __KERNEL_DS);
	vmcs_write(VMCS_HOST_DS_SELECTOR, 0);
	vmcs_write(VMCS_HOST_ES_SELECTOR, 0);
	vmcs_write(VMCS_HOST_FS_SELECTOR, 0);
	vmcs_write(VMCS_HOST_GS_SELECTOR, 0);
	vmcs_write(VMCS_HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);
	vmcs_write(VMCS_HOST_RIP, (unsigned long)hvx_vmx_exit);
	/* As the cached values are: 0 is no CR3 or CR4, and a right base and counter control */
	vmcs_write(VMCS_HOST_FS_BASE, 0);
	if (vmx_caps.perf_ctrl)
		vmcs_write(VMCS_HOST_IA32_PERF_GLOBAL_CTRL, 0);
	vmx->host.cpu = VMX_HOST_UNKNOWN;
}

/* The VMCS in its initial state; the core marks all registers dirty before the first entry */
int vmx_setup_vmcs(struct vmx_vcpu *vmx)
{
	unsigned long flags;
	int err;

	*(u32 *)vmx->vmcs = vmx_caps.basic & BASIC_REVISION;
	local_irq_save(flags);
	err = vmx_enter_root(vmx);
	if (!err) {
		/* Before its first use, "Software Use of Virtual-Machine Control Structures" */
		vmcs_clear(&vmx->vmcs_pa);
		vmcs_load(&vmx->vmcs_pa);
		setup_controls(vmx);
		setup_zero();
		setup_host(vmx);
		vmcs_write(VMCS_LINK_POINTER, VMCS_NO_LINK);
		vmx_leave_root(vmx);
	}
	local_irq_restore(flags);
	return err;
}
