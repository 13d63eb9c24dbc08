// SPDX-License-Identifier: GPL-2.0-only
/*
 * What this CPU can do, and why it cannot: refusal at load with cause and way out.
 *
 * Needed is AMD-V with nested paging, nothing else. The rest is used where the CPU has it:
 * next-RIP, decode assists, flush by ASID, VMCB clean bits, the TSC ratio MSR.
 */
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <linux/cpu.h>
#include <linux/errno.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include "compat.h"
#include "svm_caps.h"
#include "svm_hw.h"

#define CPUID_80000001_ECX_SVM	BIT(2)

struct svm_features svm_features;
DEFINE_STATIC_KEY_FALSE(svm_has_nrip);

static bool nrip = true;
module_param(nrip, bool, 0444);
MODULE_PARM_DESC(nrip, "AMD-V: let the processor say where the next instruction is, and what it has fetched");

int svm_check(void)
{
	u32 low, high;

	if (!(cpuid_ecx(0x80000001) & CPUID_80000001_ECX_SVM)) {
		pr_err("this CPU has no AMD-V, or the hypervisor that this machine runs on hides it\n");
		return -ENODEV;
	}
	if (rdmsr_safe(SVM_MSR_VM_CR, &low, &high) || low & SVM_VM_CR_SVMDIS) {
		pr_err("firmware switched AMD-V off (VM_CR.SVMDIS): enable SVM (virtualization) in its setup\n");
		return -EOPNOTSUPP;
	}
	if (cpuid_eax(0x80000000) < SVM_CPUID_LEAF || !(cpuid_edx(SVM_CPUID_LEAF) & SVM_CPUID_NP)) {
		pr_err("this CPU has AMD-V without nested paging: hvx needs a later one, or the outer hypervisor to offer it\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

void svm_caps_start(void)
{
	struct svm_features *f = &svm_features;
	u32 low, high;

	f->cpuid = cpuid_edx(SVM_CPUID_LEAF);
	f->nr_asids = cpuid_ebx(SVM_CPUID_LEAF);
	if (nrip && f->cpuid & SVM_CPUID_NRIPS)
		static_branch_enable(&svm_has_nrip);
	f->decode = nrip && f->cpuid & SVM_CPUID_DECODE_ASSISTS;
	f->flush_asid = f->cpuid & SVM_CPUID_FLUSH_BY_ASID;
	f->clean = f->cpuid & SVM_CPUID_VMCB_CLEAN ? SVM_CLEAN_KEPT : 0;
	/* An outer hypervisor may announce and refuse it: windows read it without asking again */
	if (f->cpuid & SVM_CPUID_TSC_RATE_MSR && !rdmsr_safe(SVM_MSR_TSC_RATIO, &low, &high))
		f->tsc_ratio = SVM_TSC_RATIO_1;
	f->cr4_host = native_read_cr4() & X86_CR4_MCE;
	f->tsc_aux = boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID);
	f->ibpb = boot_cpu_has(X86_FEATURE_IBPB) && !cpu_mitigations_off();
}
