// SPDX-License-Identifier: GPL-2.0-only
/*
 * The MSR permission map of a VM: one bit for reads and one for writes of each MSR, 1 to exit (AMD
 * APM vol. 2, "MSR Intercepts"). What VMLOAD and VMSAVE switch is the guest's own unless the VMM's
 * filter wants it; everything else exits.
 *
 * The map changes bit by bit while vCPUs may run: an MSR that is not concerned never exits for it.
 */
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

static void apply_policy(struct svm_vm *vm, const struct hvx_msr_policy *policy)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(passed_through); i++) {
		unsigned int bit = msrpm_bit(passed_through[i]);
		u32 flags = wanted_by_vmm(policy, passed_through[i]);

		assign_bit(bit, vm->msrpm, flags & HVX_MSR_EXIT_READ);
		assign_bit(bit + 1, vm->msrpm, flags & HVX_MSR_EXIT_WRITE);
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

int svm_msrpm_alloc(struct svm_vm *vm)
{
	struct page *pages = alloc_pages(GFP_KERNEL_ACCOUNT, MSRPM_ORDER);

	if (!pages)
		return -ENOMEM;
	vm->msrpm = page_address(pages);
	memset(vm->msrpm, 0xff, PAGE_SIZE << MSRPM_ORDER);
	apply_policy(vm, NULL);
	return 0;
}

void svm_msrpm_free(struct svm_vm *vm)
{
	free_pages((unsigned long)vm->msrpm, MSRPM_ORDER);
}
