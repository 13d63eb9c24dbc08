// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC, as far as the processor virtualizes it: Intel SDM vol. 3C, chapter "APIC
 * Virtualization and Virtual Interrupts".
 *
 * The virtual-APIC page is the register page of the neutral local APIC (irq/apic_regs.h), which has
 * the layout for it. What the processor does not do by itself, it is asked for there:
 *
 *   mode		secondary controls			what is left
 *   APIC disabled	none					all, with CR8
 *   xAPIC		"virtualize APIC accesses",		APIC-write and APIC-access exits
 *			"APIC-register virtualization",
 *			"virtual-interrupt delivery"
 *   x2APIC		"virtualize x2APIC mode" and		MSRs that exit by the bitmap
 *			the last two
 *
 * A processor without all of these (or before them) gets the TPR shadow alone, and "virtualize APIC
 * accesses" for it: a guest that lowers its task priority below that of an interrupt that waits
 * exits by the TPR threshold; interrupts are injected.
 *
 * The processor knows the highest vectors of IRR and ISR as RVI and SVI. Whoever changes IRR, ISR,
 * TMR or the mode outside of the guest sets HVX_REQ_EVENT; then hvx_event_prepare() comes here and
 * all of it is derived from the registers again. So the state of a local APIC is its registers, and
 * nothing else has to be saved. Level-triggered vectors (TMR) exit at their end.
 *
 * Posted interrupts are not used: a module has no vector for their notification, and an ordinary
 * interrupt that ends the window does the same.
 *
 * Context: window.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include "irq/lapic.h"
#include "vmx_hw.h"
#include "vmx_msr.h"

#define ALL_OF_IT	(SEC_VIRTUALIZE_APIC_ACCESSES | SEC_VIRTUALIZE_X2APIC_MODE |	\
			 SEC_APIC_REGISTER_VIRTUALIZATION | SEC_VIRTUAL_INTERRUPT_DELIVERY)
#define CR8_EXITING	(PRI_CR8_LOAD_EXITING | PRI_CR8_STORE_EXITING)

static bool apicv = true;
module_param(apicv, bool, 0444);
MODULE_PARM_DESC(apicv, "VT-x: let the processor virtualize local APICs");

void vmx_apicv_choose(struct vmx_caps *caps)
{
	u32 may = caps->secondary_range.may & ALL_OF_IT;

	caps->tpr_shadow = apicv && caps->primary_range.may & PRI_USE_TPR_SHADOW &&
			   !(caps->primary_range.must & CR8_EXITING);
	if (caps->tpr_shadow)
		caps->apic = may == ALL_OF_IT ? may : may & SEC_VIRTUALIZE_APIC_ACCESSES;
}

u32 vmx_apicv_traits(void)
{
	return (vmx_caps.tpr_shadow ? HVX_TRAIT_APIC_PAGE : 0) |
	       (vmx_caps.apic & SEC_VIRTUAL_INTERRUPT_DELIVERY ? HVX_TRAIT_APIC_VIRTUAL : 0);
}

/* Where accesses that the processor overlooks would go: no guest may share that with another */
int vmx_apicv_vm_init(struct vmx_vm *vm)
{
	if (!(vmx_caps.apic & SEC_VIRTUALIZE_APIC_ACCESSES) || !(vm->vm.flags & HVX_VM_LAPIC))
		return 0;
	vm->apic_page = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vm->apic_page)
		return -ENOMEM;
	vm->vm.mmu.apic_page = __pa(vm->apic_page);
	return 0;
}

void vmx_apicv_vm_fini(struct vmx_vm *vm)
{
	free_page((unsigned long)vm->apic_page);
}

/*
 * Both pages live as long as the vCPU. The TPR shadow uses the first in every mode, also in that in
 * which the vCPU begins.
 */
void vmx_apicv_setup(struct vmx_vcpu *vmx)
{
	struct vmx_vm *vm = to_vmx_vm(vmx->vcpu.vm);

	if (vmx_caps.tpr_shadow && vmx->vcpu.lapic)
		vmcs_write(VMCS_VIRTUAL_APIC_ADDRESS, __pa(vmx->vcpu.lapic->regs));
	if (vm->apic_page)
		vmcs_write(VMCS_APIC_ACCESS_ADDRESS, __pa(vm->apic_page));
}

static u32 wanted_controls(const struct hvx_vcpu *vcpu)
{
	if (!apic_hw_enabled(vcpu))
		return 0;
	return vmx_caps.apic & ~(apic_x2apic(vcpu) ? SEC_VIRTUALIZE_APIC_ACCESSES :
						     SEC_VIRTUALIZE_X2APIC_MODE);
}

static noinline void change_mode(struct vmx_vcpu *vmx, u32 controls)
{
	vmx->secondary = (vmx->secondary & ~ALL_OF_IT) | controls;
	vmcs_write(VMCS_SECONDARY_CONTROLS, vmx->secondary);
	vmx_pass_msrs(vmx, vmx->msrs_passed);
	/* "Issues Pertaining to Page Size and TLB Management": what is cached may lack the check */
	vmx_tlb_flush(&vmx->vcpu);
}

/* "Virtual-Interrupt Delivery": RVI and SVI are the highest vectors, 0 for none */
static void sync_status(const struct hvx_apic_regs *regs)
{
	int irr = apic_highest(regs, APIC_REG_IRR), isr = apic_highest(regs, APIC_REG_ISR);

	vmcs_write(VMCS_GUEST_INTERRUPT_STATUS, INTERRUPT_STATUS(max(irr, 0), max(isr, 0)));
}

static void sync_eoi_exits(struct vmx_vcpu *vmx, const struct hvx_apic_regs *regs)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vmx->eoi_exit); i++) {
		u64 level = apic_get(regs, APIC_REG_TMR + i * 0x20) |
			    (u64)apic_get(regs, APIC_REG_TMR + i * 0x20 + 0x10) << 32;

		if (likely(level == vmx->eoi_exit[i]))
			continue;
		vmx->eoi_exit[i] = level;
		vmcs_write(VMCS_EOI_EXIT_BITMAP0 + 2 * i, level);
	}
}

/* Exit as soon as the task priority alone does not keep the highest interrupt off any more */
static void sync_threshold(const struct hvx_apic_regs *regs)
{
	int irr = apic_highest(regs, APIC_REG_IRR);
	u32 tpr = apic_get(regs, APIC_REG_TPR);

	vmcs_write(VMCS_TPR_THRESHOLD, irr >= 0 && irr >> 4 <= tpr >> 4 ? irr >> 4 : 0);
}

/*
 * Take over what changed of the local APIC. Returns the primary controls, @primary but for those
 * that depend on it.
 */
u32 vmx_apicv_sync(struct vmx_vcpu *vmx, u32 primary)
{
	const struct hvx_apic_regs *regs = vmx->vcpu.lapic->regs;
	u32 controls = wanted_controls(&vmx->vcpu);

	if (unlikely((vmx->secondary & ALL_OF_IT) != controls))
		change_mode(vmx, controls);
	if (!apic_hw_enabled(&vmx->vcpu))
		return (primary & ~PRI_USE_TPR_SHADOW) | CR8_EXITING;
	if (controls & SEC_VIRTUAL_INTERRUPT_DELIVERY) {
		sync_status(regs);
		sync_eoi_exits(vmx, regs);
	} else {
		sync_threshold(regs);
	}
	return (primary & ~CR8_EXITING) | PRI_USE_TPR_SHADOW;
}
