// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSRs that the guest has on the CPU.
 *
 * MSR bitmaps (Intel SDM vol. 3C, "MSR-Bitmap Address"): all accesses exit, but those of the table
 * below. Most of these MSRs are VMCS fields while the guest runs. Those of SYSCALL are not: guest
 * values are on the CPU inside windows alone, and only for a guest that can use them (vmx_msr.h).
 * With VMX_BITMAP_SYSCALL, in use while all are loaded, the guest reads them itself. Writes of
 * STAR, LSTAR and SFMASK exit always, so that only KERNEL_GS_BASE has to be read back. CSTAR has no
 * effect on processors with VT-x and is never loaded.
 *
 * With VMX_BITMAP_X2APIC, in use with "virtualize x2APIC mode" alone, registers of the local APIC
 * are read from its page, and written where the processor does all that the write does. Without
 * that control these MSRs would be the host's.
 *
 * With VMX_BITMAP_SPEC_CTRL the guest reads and writes IA32_SPEC_CTRL, which entry code exchanges.
 */
#include <asm/msr-index.h>
#include <linux/bitops.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/string.h>
#include "compat.h"
#include "irq/lapic.h"
#include "vmx_hw.h"
#include "vmx_msr.h"

#define PASS_READ	BIT(0)
#define PASS_WRITE	BIT(1)
#define PASS_LOADED	BIT(2)	/* with VMX_BITMAP_SYSCALL alone */
#define PASS_PAT	BIT(3)	/* when entry and exit switch IA32_PAT */

static const struct {
	u32 msr;
	u32 pass;
} passed[] = {
	{ MSR_IA32_TSC,			PASS_READ },
	{ MSR_IA32_SYSENTER_CS,		PASS_READ | PASS_WRITE },
	{ MSR_IA32_SYSENTER_ESP,	PASS_READ | PASS_WRITE },
	{ MSR_IA32_SYSENTER_EIP,	PASS_READ | PASS_WRITE },
	{ MSR_IA32_CR_PAT,		PASS_READ | PASS_WRITE | PASS_PAT },
	{ MSR_FS_BASE,			PASS_READ | PASS_WRITE },
	{ MSR_GS_BASE,			PASS_READ | PASS_WRITE },
	{ MSR_KERNEL_GS_BASE,		PASS_READ | PASS_WRITE | PASS_LOADED },
	{ MSR_STAR,			PASS_READ | PASS_LOADED },
	{ MSR_LSTAR,			PASS_READ | PASS_LOADED },
	{ MSR_SYSCALL_MASK,		PASS_READ | PASS_LOADED },
};

#define X2APIC(reg)	(MSR_X2APIC_FIRST + (APIC_REG_##reg >> 4))

/*
 * Ranges of x2APIC MSRs. ICR is not among them, whose upper half is elsewhere in the page; nor is
 * the current count.
 */
static const struct {
	u32 first, last;
	u32 pass;
} passed_x2apic[] = {
	{ X2APIC(ID), X2APIC(VERSION),		PASS_READ },
	{ X2APIC(TPR), X2APIC(TPR),		PASS_READ | PASS_WRITE },
	{ X2APIC(PPR), X2APIC(PPR),		PASS_READ },
	{ X2APIC(EOI), X2APIC(EOI),		PASS_WRITE },
	{ X2APIC(LDR), X2APIC(LDR),		PASS_READ },
	{ X2APIC(SVR), X2APIC(ESR),		PASS_READ },	/* with ISR, TMR and IRR */
	{ X2APIC(LVT_TIMER), X2APIC(TMICT),	PASS_READ },
	{ X2APIC(TDCR), X2APIC(TDCR),		PASS_READ },
	{ X2APIC(SELF_IPI), X2APIC(SELF_IPI),	PASS_WRITE },
};

/* Where the bit for reading an MSR is; the one for writing lies 2 KiB above */
static unsigned int bitmap_bit(u32 msr)
{
	return (msr & 0x1fff) + (msr >= 0xc0000000 ? 1024 * BITS_PER_BYTE : 0);
}

#define WRITE_BITS	(2048 * BITS_PER_BYTE)

static bool policy_exits(const struct hvx_msr_policy *policy, u32 msr, u32 flag)
{
	u32 i;

	if (!policy)
		return false;
	for (i = 0; i < policy->nr; i++) {
		const struct hvx_msr_range *range = &policy->range[i];

		if (range->flags & flag && msr >= range->first && msr - range->first < range->nr)
			return true;
	}
	return false;
}

static void set_exit(void *bitmap, unsigned int bit, bool exits)
{
	if (exits)
		set_bit(bit, bitmap);
	else
		clear_bit(bit, bitmap);
}

static void pass_msr(void *bitmap, u32 msr, u32 pass, const struct hvx_msr_policy *policy)
{
	unsigned int bit = bitmap_bit(msr);

	set_exit(bitmap, bit, !(pass & PASS_READ) || policy_exits(policy, msr, HVX_MSR_EXIT_READ));
	set_exit(bitmap, bit + WRITE_BITS, !(pass & PASS_WRITE) ||
		 policy_exits(policy, msr, HVX_MSR_EXIT_WRITE));
}

static void pass_x2apic(void *bitmap, const struct hvx_msr_policy *policy)
{
	u32 msr;
	int i;

	for (i = 0; i < ARRAY_SIZE(passed_x2apic); i++)
		for (msr = passed_x2apic[i].first; msr <= passed_x2apic[i].last; msr++)
			pass_msr(bitmap, msr, passed_x2apic[i].pass, policy);
}

static void update_bitmap(void *bitmap, unsigned int which, const struct hvx_msr_policy *policy)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(passed); i++) {
		u32 msr = passed[i].msr, pass = passed[i].pass;

		if ((pass & PASS_LOADED && !(which & VMX_BITMAP_SYSCALL)) ||
		    (pass & PASS_PAT && !vmx_caps.pat))
			continue;
		pass_msr(bitmap, msr, pass, policy);
	}
	if (which & VMX_BITMAP_X2APIC)
		pass_x2apic(bitmap, policy);
	if (which & VMX_BITMAP_SPEC_CTRL)
		pass_msr(bitmap, MSR_IA32_SPEC_CTRL, PASS_READ | PASS_WRITE, policy);
}

static void update_bitmaps(struct vmx_vm *vmx_vm, const struct hvx_msr_policy *policy)
{
	unsigned int i;

	for (i = 0; i < VMX_NR_MSR_BITMAPS; i++)
		if (vmx_vm->msr_bitmap[i])
			update_bitmap(vmx_vm->msr_bitmap[i], i, policy);
}

void vmx_msr_filter_changed(struct hvx_vm *vm)
{
	update_bitmaps(to_vmx_vm(vm), srcu_dereference_check(vm->msr_policy, &vm->srcu,
							     lockdep_is_held(&vm->lock)));
}

void vmx_msr_vm_fini(struct vmx_vm *vm)
{
	unsigned int i;

	for (i = 0; i < VMX_NR_MSR_BITMAPS; i++)
		free_page((unsigned long)vm->msr_bitmap[i]);
}

static bool bitmap_needed(const struct vmx_vm *vm, unsigned int which)
{
	if (which & VMX_BITMAP_X2APIC && !(vmx_caps.apic & SEC_VIRTUALIZE_X2APIC_MODE &&
					   vm->vm.flags & HVX_VM_LAPIC))
		return false;
	return !(which & VMX_BITMAP_SPEC_CTRL) || hvx_spec_can_pass();
}

int vmx_msr_vm_init(struct vmx_vm *vm)
{
	unsigned int i;

	for (i = 0; i < VMX_NR_MSR_BITMAPS; i++) {
		if (!bitmap_needed(vm, i))
			continue;
		vm->msr_bitmap[i] = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
		if (!vm->msr_bitmap[i]) {
			vmx_msr_vm_fini(vm);
			return -ENOMEM;
		}
		memset(vm->msr_bitmap[i], 0xff, PAGE_SIZE);
	}
	update_bitmaps(vm, NULL);
	return 0;
}

static void read_host_msrs(struct vmx_msrs *msrs)
{
	msrs->star = hvx_rdmsr(MSR_STAR);
	msrs->lstar = hvx_rdmsr(MSR_LSTAR);
	msrs->sfmask = hvx_rdmsr(MSR_SYSCALL_MASK);
	if (vmx_caps.rdtscp)
		msrs->tsc_aux = hvx_rdmsr(MSR_TSC_AUX);
}

/*
 * What must be there again after the window. The kernel's own values never change; another
 * hypervisor may have left its guest's, counting on finding them again.
 */
const struct vmx_msrs *vmx_find_host_msrs(struct vmx_vcpu *vmx, struct vmx_cpu *cpu)
{
	if (!vmx->own) {
		read_host_msrs(&vmx->found_msrs);
		return &vmx->found_msrs;
	}
	if (!cpu->msrs_known) {
		read_host_msrs(&cpu->msrs);
		cpu->msrs_known = true;
	}
	return &cpu->msrs;
}

/* Which bitmap is in use */
void vmx_pass_msrs(struct vmx_vcpu *vmx, bool pass)
{
	const struct vmx_vm *vm = to_vmx_vm(vmx->vcpu.vm);
	unsigned int which = pass ? VMX_BITMAP_SYSCALL : 0;

	if (vmx->secondary & SEC_VIRTUALIZE_X2APIC_MODE)
		which |= VMX_BITMAP_X2APIC;
	if (vmx->vcpu.spec.own && vmx->vcpu.spec.pass)
		which |= VMX_BITMAP_SPEC_CTRL;
	vmcs_write(VMCS_MSR_BITMAPS, __pa(vm->msr_bitmap[which]));
	vmx->msrs_passed = pass;
}

/* Before an entry, when EFER or one of the MSRs changed inside the window */
void vmx_sync_msrs(struct vmx_vcpu *vmx)
{
	/* Begin again from the host's values */
	vmx_unload_msrs(vmx);
	vmx_load_msrs(vmx, this_cpu_ptr(&vmx_cpu));
}

/* The guest may have written KERNEL_GS_BASE; what the core wrote since then is newer */
void vmx_read_syscall_msrs(struct vmx_vcpu *vmx)
{
	struct hvx_regs *regs = &vmx->vcpu.regs;

	if (vmx->msrs_loaded && !(regs->dirty & RM(SYSCALL)))
		regs->kernel_gs_base = hvx_rdmsr(MSR_KERNEL_GS_BASE);
	regs->avail |= RM(SYSCALL);
}

/* Before an entry, when it is told anew whether the guest has its own IA32_SPEC_CTRL */
void vmx_sync_spec_ctrl(struct vmx_vcpu *vmx)
{
	bool own = vmx->vcpu.spec.own;

	if (own == !!(vmx->enter_flags & VMX_ENTER_SPEC_CTRL))
		return;
	vmx->enter_flags ^= VMX_ENTER_SPEC_CTRL;
	/* The first entry of this window may be over */
	if (own)
		vmx->vcpu.regs.host_spec_ctrl = hvx_rdmsr(MSR_IA32_SPEC_CTRL);
	vmcs_write(VMCS_HOST_RIP, (unsigned long)(own ? hvx_vmx_exit_spec_ctrl : hvx_vmx_exit));
	vmx_pass_msrs(vmx, vmx->msrs_passed);
}
