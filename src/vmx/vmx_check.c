// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entry checks of VT-x, the kernel's part: a vCPU and its VMCS into struct hvx_entry_state. The
 * rules are in vmx_rules.c.
 *
 * Registers come from the cache, where they are as the guest sees them. What the next entry derives
 * from them is derived here alike, because the VMCS has it only then.
 */
#include <linux/irqflags.h>
#include "cpu/entry_check.h"
#include "vmx.h"
#include "vmx_hw.h"

static struct hvx_vmx_control control(u32 value, struct vmx_range range)
{
	return (struct hvx_vmx_control) { value, range.must, range.may };
}

static void gather_controls(const struct vmx_vcpu *vmx, struct hvx_vmx_entry *e)
{
	u32 entry = vmx_caps.entry | (vmx->vcpu.regs.efer & EFER_LMA ? ENTRY_IA32E_MODE_GUEST : 0);
	const struct vmx_caps *caps = &vmx_caps;

	e->control[VMX_PIN] = control(caps->pin, caps->pin_range);
	e->control[VMX_PROC] = control(vmx->primary, caps->primary_range);
	e->control[VMX_PROC2] = control(vmx->secondary, caps->secondary_range);
	e->control[VMX_EXIT] = control(caps->exit, caps->exit_range);
	e->control[VMX_ENTRY] = control(entry, caps->entry_range);
	e->cr0_fixed0 = caps->cr0_fixed0;
	e->cr0_fixed1 = caps->cr0_fixed1;
	e->cr4_fixed0 = caps->cr4_fixed0;
	e->cr4_fixed1 = caps->cr4_fixed1;
	e->eptp = vmx->eptp;
	e->vpid = vmx->vpid;
	e->zero_length = caps->misc & MISC_ZERO_LENGTH;
}

static void read_host(struct hvx_vmx_host *h)
{
	static const u16 address[NR_HOST_ADDRESSES] = {
		[HOST_FS_BASE] = VMCS_HOST_FS_BASE,
		[HOST_GS_BASE] = VMCS_HOST_GS_BASE,
		[HOST_TR_BASE] = VMCS_HOST_TR_BASE,
		[HOST_GDTR_BASE] = VMCS_HOST_GDTR_BASE,
		[HOST_IDTR_BASE] = VMCS_HOST_IDTR_BASE,
		[HOST_SYSENTER_ESP] = VMCS_HOST_IA32_SYSENTER_ESP,
		[HOST_SYSENTER_EIP] = VMCS_HOST_IA32_SYSENTER_EIP,
		[HOST_RIP] = VMCS_HOST_RIP,
	};
	unsigned int i;

	h->cr0 = vmcs_read(VMCS_HOST_CR0);
	h->cr3 = vmcs_read(VMCS_HOST_CR3);
	h->cr4 = vmcs_read(VMCS_HOST_CR4);
	h->efer = vmcs_read(VMCS_HOST_IA32_EFER);
	h->pat = vmx_caps.pat ? vmcs_read(VMCS_HOST_IA32_PAT) : 0;
	for (i = 0; i < NR_HOST_SELECTORS; i++)
		h->selector[i] = vmcs_read(VMCS_HOST_ES_SELECTOR + 2 * i);
	for (i = 0; i < NR_HOST_ADDRESSES; i++)
		h->address[i] = vmcs_read(address[i]);
}

static void read_vmcs(const struct vmx_vcpu *vmx, struct hvx_vmx_entry *e)
{
	e->io_bitmap[0] = vmcs_read(VMCS_IO_BITMAP_A);
	e->io_bitmap[1] = vmcs_read(VMCS_IO_BITMAP_B);
	e->msr_bitmap = vmcs_read(VMCS_MSR_BITMAPS);
	if (vmx->primary & PRI_USE_TPR_SHADOW)
		e->virtual_apic = vmcs_read(VMCS_VIRTUAL_APIC_ADDRESS);
	if (vmx->secondary & SEC_VIRTUALIZE_APIC_ACCESSES)
		e->apic_access = vmcs_read(VMCS_APIC_ACCESS_ADDRESS);
	e->link_pointer = vmcs_read(VMCS_LINK_POINTER);
	e->activity = vmcs_read(VMCS_GUEST_ACTIVITY);
	e->pending_debug = vmx->vcpu.regs.dirty & RM(SHADOW) ? vmx_pending_debug(&vmx->vcpu.regs) :
							      vmcs_read(VMCS_GUEST_PENDING_DEBUG);
	/* The first window of a vCPU fills in what of the host depends on the CPU */
	e->host_known = vmx->host.cpu != VMX_HOST_UNKNOWN;
	if (e->host_known)
		read_host(&e->host);
}

bool vmx_check_entry(struct hvx_vcpu *vcpu, struct hvx_entry_failure *failure)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct hvx_entry_state s;
	unsigned long flags;
	int err;

	hvx_entry_gather(vcpu, &s);
	gather_controls(vmx, &s.vmx);
	local_irq_save(flags);
	err = vmx_enter_root(vmx);
	if (!err) {
		read_vmcs(vmx, &s.vmx);
		vmx_leave_root(vmx);
	}
	local_irq_restore(flags);
	/* The window will meet the same error, and report it */
	return !err && hvx_vmx_rules(&s, failure);
}
