// SPDX-License-Identifier: GPL-2.0-only
/*
 * The MSR permission map of a VM: one bit for reads and one for writes of each MSR, 1 to exit (AMD
 * APM vol. 2, "MSR Intercepts"). What VMLOAD and VMSAVE switch is the guest's own unless the VMM's
 * filter wants it; everything else exits.
 *
 * The map changes bit by bit while vCPUs may run: an MSR that is not concerned never exits for it.
 *
 * A second map, for vCPUs that have their own IA32_SPEC_CTRL on the CPU (svm_entry.S), passes that
 * through, too. Not where the processor itself keeps two values apart ("Speculation Control
 * Virtualization"): the guest would read and write another one than is exchanged.
 */
#include <asm/cpufeature.h>
#include <asm/msr-index.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/string.h>
#include "svm.h"

#define MSRPM_ORDER	1	/* 8 KiB */

static const u32 passed_through[] = {
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK, MSR_FS_BASE, MSR_GS_BASE,
	MSR_KERNEL_GS_BASE,
};

/* Index of the bit for reads; the one for writes follows. The map has 2 KiB for each range. */
static unsigned int msrpm_bit(u32 msr)
{
	unsigned int range = msr >= 0xc0010000 ? 2 : msr >= 0xc0000000 ? 1 : 0;

	return range * 0x4000 + (msr & 0x1fff) * 2;
}

static u32 wanted_by_vmm(const struct hvx_msr_policy *policy, u32 msr)
{
	u32 i, flags = 0;

	if (!policy)
		return 0;
	for (i = 0; i < policy->nr; i++)
		if (msr - policy->range[i].first < policy->range[i].nr)
			flags |= policy->range[i].flags;
	return flags;
}

static void pass_msr(unsigned long *msrpm, u32 msr, const struct hvx_msr_policy *policy)
{
	u32 flags = wanted_by_vmm(policy, msr);
	unsigned int bit = msrpm_bit(msr);

	assign_bit(bit, msrpm, flags & HVX_MSR_EXIT_READ);
	assign_bit(bit + 1, msrpm, flags & HVX_MSR_EXIT_WRITE);
}

static void pass_msrs(unsigned long *msrpm, const struct hvx_msr_policy *policy)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(passed_through); i++)
		pass_msr(msrpm, passed_through[i], policy);
}

static void apply_policy(struct svm_vm *vm, const struct hvx_msr_policy *policy)
{
	pass_msrs(vm->msrpm, policy);
	if (vm->spec_msrpm) {
		pass_msrs(vm->spec_msrpm, policy);
		pass_msr(vm->spec_msrpm, MSR_IA32_SPEC_CTRL, policy);
	}
}

/* Context: process, vm->lock held; the caller kicks the vCPUs, which then see the generation */
void svm_msr_filter_changed(struct hvx_vm *vm)
{
	struct svm_vm *svm_vm = to_svm_vm(vm);

	apply_policy(svm_vm, rcu_dereference_protected(vm->msr_policy,
						       lockdep_is_held(&vm->lock)));
	atomic64_inc(&svm_vm->msrpm_gen);
}

/* Of the map in use. Context: creation, window. */
u64 svm_msrpm_pa(const struct svm_vcpu *svm)
{
	const struct svm_vm *vm = to_svm_vm(svm->vcpu.vm);
	const struct hvx_spec *spec = &svm->vcpu.spec;

	return __sme_set(__pa(spec->own && spec->pass && vm->spec_msrpm ? vm->spec_msrpm :
									  vm->msrpm));
}

static unsigned long *alloc_msrpm(void)
{
	struct page *pages = alloc_pages(GFP_KERNEL_ACCOUNT, MSRPM_ORDER);

	return pages ? memset(page_address(pages), 0xff, PAGE_SIZE << MSRPM_ORDER) : NULL;
}

int svm_msrpm_alloc(struct svm_vm *vm)
{
	bool spec = hvx_spec_can_pass() && !boot_cpu_has(X86_FEATURE_V_SPEC_CTRL);

	vm->msrpm = alloc_msrpm();
	vm->spec_msrpm = spec ? alloc_msrpm() : NULL;
	if (!vm->msrpm || (spec && !vm->spec_msrpm)) {
		svm_msrpm_free(vm);
		return -ENOMEM;
	}
	apply_policy(vm, NULL);
	return 0;
}

void svm_msrpm_free(struct svm_vm *vm)
{
	free_pages((unsigned long)vm->msrpm, MSRPM_ORDER);
	free_pages((unsigned long)vm->spec_msrpm, MSRPM_ORDER);
}
