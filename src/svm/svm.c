// SPDX-License-Identifier: GPL-2.0-only
/*
 * AMD-V backend: load and unload, VMs and vCPUs.
 */
#include <asm/cpufeature.h>
#include <asm/pgtable.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include "compat.h"
#include "cpu/entry_check.h"
#include "svm.h"

#define IOPM_ORDER	2	/* 12 KiB are used */

static struct page *iopm;

bool svm_share;
module_param_named(share, svm_share, bool, 0444);
MODULE_PARM_DESC(share, "AMD-V: run beside kvm_amd; not while KVM guests run, ASIDs may clash");

/* ------------------------------------------------------------------ the host */

static int svm_start(void)
{
	int err;

	svm_caps_start();
	svm_model_start();
	hvx_svm_ops.traits = HVX_TRAIT_LMA | HVX_TRAIT_UD_CALL | HVX_TRAIT_TOPOEXT;
	hvx_svm_ops.pt_max_level = boot_cpu_has(X86_FEATURE_GBPAGES) ? HVX_PT_1G : HVX_PT_2M;
	if (svm_features.tsc_ratio)
		hvx_svm_ops.tsc_ratio_bits = SVM_TSC_RATIO_BITS << SVM_TSC_RATIO_SHIFT;
	iopm = alloc_pages(GFP_KERNEL, IOPM_ORDER);
	if (!iopm)
		return -ENOMEM;
	memset(page_address(iopm), 0xff, PAGE_SIZE << IOPM_ORDER);
	svm_features.iopm_pa = __sme_set(page_to_phys(iopm));
	err = svm_cpus_alloc();
	if (err)
		__free_pages(iopm, IOPM_ORDER);
	return err;
}

static void svm_stop(void)
{
	svm_cpus_free();
	__free_pages(iopm, IOPM_ORDER);
}

static int svm_can_run(void)
{
	if (svm_share || !svm_held())
		return 0;
	svm_say_held();
	return -EBUSY;
}

static u64 svm_host_features(void)
{
	u64 features = 0;

	if (static_branch_likely(&svm_has_nrip))
		features |= HVX_HOST_NEXT_RIP;
	if (svm_features.decode)
		features |= HVX_HOST_DECODE_ASSIST;
	if (svm_features.flush_asid)
		features |= HVX_HOST_FLUSH_ASID;
	if (svm_features.clean)
		features |= HVX_HOST_CLEAN_BITS;
	if (svm_features.cpuid & SVM_CPUID_PAUSE_FILTER)
		features |= HVX_HOST_PAUSE_LOOP;
	if (svm_held())
		features |= HVX_HOST_SHARED;
	return features;
}

/* ---------------------------------------------------------------- VM, vCPU */

/*
 * Nested page tables are walked in the paging mode of the host (AMD APM vol. 2, "Nested Paging").
 * The VM's have four levels: a host with five gets one more table above them, with one entry.
 */
static int alloc_pml5(struct svm_vm *vm)
{
	if (!pgtable_l5_enabled())
		return 0;
	vm->pml5 = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	return vm->pml5 ? 0 : -ENOMEM;
}

u64 svm_nested_root(struct svm_vm *vm)
{
	u64 root = hvx_pt_root_pa(&vm->vm.mmu.pt);

	if (!vm->pml5)
		return root;
	/* The same value from every vCPU */
	WRITE_ONCE(vm->pml5[0], root | hvx_pt_npt.table);
	return __sme_set(__pa(vm->pml5));
}

static int svm_vm_init(struct hvx_vm *vm)
{
	struct svm_vm *svm_vm = to_svm_vm(vm);
	int err = svm_msrpm_alloc(svm_vm);

	if (err)
		return err;
	err = alloc_pml5(svm_vm);
	if (err)
		svm_msrpm_free(svm_vm);
	return err;
}

static void svm_vm_fini(struct hvx_vm *vm)
{
	struct svm_vm *svm_vm = to_svm_vm(vm);

	free_page((unsigned long)svm_vm->pml5);
	svm_msrpm_free(svm_vm);
}

static int svm_vcpu_init(struct hvx_vcpu *vcpu)
{
	static atomic64_t serial;
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->vmcb = (struct vmcb *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!svm->vmcb)
		return -ENOMEM;
	svm->sw.vmcb_pa = __sme_set(__pa(svm->vmcb));
	svm->sw.hidden = SVM_HIDDEN_IN_VMCB;
	svm->sw.verw = __KERNEL_DS;
	svm->tsc_ratio = svm_features.tsc_ratio;
	svm->serial = atomic64_inc_return(&serial);
	svm_vmcb_reset(svm);
	return 0;
}

static void svm_vcpu_fini(struct hvx_vcpu *vcpu)
{
	free_page((unsigned long)to_svm(vcpu)->vmcb);
}

struct hvx_ops hvx_svm_ops = {
	.name = "svm",
	.vendor = HVX_VENDOR_SVM,
	.vcpu_size = sizeof(struct svm_vcpu),
	.vm_size = sizeof(struct svm_vm),
	.pt_format = &hvx_pt_npt,
	.msr_rules = svm_msr_rules,
	.nr_msr_rules = SVM_NR_MSR_RULES,
	.check = svm_check,
	.start = svm_start,
	.stop = svm_stop,
	.can_run = svm_can_run,
	.features = svm_host_features,
	.vm_init = svm_vm_init,
	.vm_fini = svm_vm_fini,
	.vcpu_init = svm_vcpu_init,
	.vcpu_fini = svm_vcpu_fini,
	.update_debug = svm_update_debug,
	.msr_filter_changed = svm_msr_filter_changed,
	.check_entry = svm_check_entry,
	.open = svm_open,
	.close = svm_close,
	.enter = svm_enter,
	.read_regs = svm_read_regs,
	.set_windows = svm_set_windows,
	.tlb_flush = svm_tlb_flush,
};
