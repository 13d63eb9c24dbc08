// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VT-x backend: load and unload, VMs and vCPUs, struct hvx_ops. See vmx.h for its files.
 */
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/topology.h>
#include "vmx.h"
#include "vmx_hw.h"

void *vmx_io_bitmap[2];

static int vmx_can_run(void)
{
	return 0;
}

static u64 vmx_features(void)
{
	return (vmx_caps.vpid ? HVX_HOST_VPID : 0) |
	       (vmx_caps.pin_range.may & PIN_PREEMPTION_TIMER ? HVX_HOST_PREEMPT_TIMER : 0) |
	       (vmx_caps.accessed_dirty ? HVX_HOST_AD_BITS : 0) |
	       (vmx_caps.secondary & SEC_PAUSE_LOOP_EXITING ? HVX_HOST_PAUSE_LOOP : 0) |
	       (vmx_caps.apic & SEC_VIRTUAL_INTERRUPT_DELIVERY ? HVX_HOST_APICV : 0) |
	       (native_read_cr4() & X86_CR4_VMXE ? HVX_HOST_SHARED : 0);
}

static void free_pages_of_all(void)
{
	int cpu, i;

	for_each_possible_cpu(cpu)
		free_page((unsigned long)per_cpu(vmx_cpu, cpu).vmxon_region);
	for (i = 0; i < 2; i++)
		free_page((unsigned long)vmx_io_bitmap[i]);
}

/* Intel SDM vol. 3C, "VMXON Region": the VMCS revision identifier in bits 30:0 */
static int alloc_vmxon_region(int cpu)
{
	struct vmx_cpu *vc = per_cpu_ptr(&vmx_cpu, cpu);
	struct page *page = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);

	if (!page)
		return -ENOMEM;
	vc->vmxon_region = page_address(page);
	vc->vmxon_pa = __pa(vc->vmxon_region);
	*(u32 *)vc->vmxon_region = vmx_caps.basic & BASIC_REVISION;
	return 0;
}

static int alloc_pages_for_all(void)
{
	int cpu, i, err;

	for (i = 0; i < 2; i++) {
		vmx_io_bitmap[i] = (void *)__get_free_page(GFP_KERNEL);
		if (!vmx_io_bitmap[i])
			return -ENOMEM;
		memset(vmx_io_bitmap[i], 0xff, PAGE_SIZE);	/* every port exits */
	}
	for_each_possible_cpu(cpu) {
		err = alloc_vmxon_region(cpu);
		if (err)
			return err;
	}
	return 0;
}

static int max_level(void)
{
	if (!(vmx_caps.ept_vpid & EPT_CAP_2M))
		return HVX_PT_4K;
	return vmx_caps.ept_vpid & EPT_CAP_1G ? HVX_PT_1G : HVX_PT_2M;
}

static int vmx_start(void)
{
	int err;

	vmx_caps_start();
	err = vmx_check_all_cpus();
	if (err)
		return err;
	err = alloc_pages_for_all();
	if (err) {
		free_pages_of_all();
		return err;
	}
	if (!vmx_caps.accessed_dirty)
		hvx_vmx_ops.pt_format = &hvx_pt_ept_no_ad;
	hvx_vmx_ops.pt_max_level = max_level();
	hvx_vmx_ops.traits |= vmx_apicv_traits();
	if (vmx_caps.secondary_range.may & SEC_USE_TSC_SCALING)
		hvx_vmx_ops.tsc_ratio_bits = ~0ULL;
	vmx_spec_start();
	vmx_model_start();
	return 0;
}

static void vmx_stop(void)
{
	free_pages_of_all();
}

static int vmx_vm_init(struct hvx_vm *vm)
{
	int err = vmx_msr_vm_init(to_vmx_vm(vm));

	if (err)
		return err;
	err = vmx_apicv_vm_init(to_vmx_vm(vm));
	if (err)
		vmx_msr_vm_fini(to_vmx_vm(vm));
	return err;
}

static void vmx_vm_fini(struct hvx_vm *vm)
{
	vmx_apicv_vm_fini(to_vmx_vm(vm));
	vmx_msr_vm_fini(to_vmx_vm(vm));
}

static u64 make_eptp(const struct hvx_pt *pt)
{
	return hvx_pt_root_pa(pt) | EPTP_WRITE_BACK | EPTP_WALK(pt->levels) |
	       (vmx_caps.accessed_dirty ? EPTP_ACCESSED_DIRTY : 0);
}

static void vmx_vcpu_fini(struct hvx_vcpu *vcpu)
{
	free_page((unsigned long)to_vmx(vcpu)->vmcs);
}

static int vmx_vcpu_init(struct hvx_vcpu *vcpu)
{
	static atomic64_t serial;
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	int err;

	vmx->serial = atomic64_inc_return(&serial);
	vmx->vmcs = (void *)__get_free_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!vmx->vmcs)
		return -ENOMEM;
	vmx->vmcs_pa = __pa(vmx->vmcs);
	vmx->eptp = make_eptp(&vcpu->vm->mmu.pt);
	/* Two VMs share VPIDs: translations are told apart by EPT pointer, too */
	vmx->vpid = vmx_caps.vpid ? vcpu->id + 1 : 0;
	vmx->avail = VMX_KEPT | RM(SYSCALL) | (vmx_caps.pat ? 0 : RM(PAT));
	vmx->stale_controls = true;
	err = vmx_setup_vmcs(vmx);
	if (err)
		vmx_vcpu_fini(vcpu);
	return err;
}

/* The next entry takes the new state over */
static void vmx_update_debug(struct hvx_vcpu *vcpu)
{
	to_vmx(vcpu)->stale_controls = true;
	hvx_changed(vcpu, RM(DR7));
}

struct hvx_ops hvx_vmx_ops = {
	.name			= "vmx",
	.vendor			= HVX_VENDOR_VMX,
	.vcpu_size		= sizeof(struct vmx_vcpu),
	.vm_size		= sizeof(struct vmx_vm),
	.pt_format		= &hvx_pt_ept,
	.traits			= HVX_TRAIT_PDPTE | HVX_TRAIT_LMA | HVX_TRAIT_UD_CALL,
	.msr_rules		= vmx_msr_rules,
	.nr_msr_rules		= VMX_NR_MSR_RULES,
	.check			= vmx_check,
	.start			= vmx_start,
	.stop			= vmx_stop,
	.can_run		= vmx_can_run,
	.features		= vmx_features,
	.vm_init		= vmx_vm_init,
	.vm_fini		= vmx_vm_fini,
	.vcpu_init		= vmx_vcpu_init,
	.vcpu_fini		= vmx_vcpu_fini,
	.update_debug		= vmx_update_debug,
	.msr_filter_changed	= vmx_msr_filter_changed,
	.check_entry		= vmx_check_entry,
	.open			= vmx_open,
	.close			= vmx_close,
	.enter			= vmx_enter,
	.read_regs		= vmx_read_regs,
	.set_windows		= vmx_set_windows,
	.tlb_flush		= vmx_tlb_flush,
};
