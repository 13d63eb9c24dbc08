// SPDX-License-Identifier: GPL-2.0-only
/*
 * Speculation: what is done where.
 *
 *   every entry	VERW clears CPU buffers (MDS, TAA, RFDS): vmx_entry.S
 *   every exit		return stack, branch history: vmx_entry.S; IBRS: vmx_spec.h
 *   window opens	L1D flush (L1TF); IBPB when another vCPU ran here: vmx_spec.h
 *   window closes	IBPB before the VMM runs (VMSCAPE): vmx_spec.h
 *
 * IA32_SPEC_CTRL: the host's value stays on the CPU unless the guest has its own (cpu/spec.c),
 * which vmx_entry.S exchanges. The kernel's decisions are followed by its feature bits; where it
 * keeps a decision to itself, the parameters below default to what it decides, too.
 */
#include <linux/cpu.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include "vmx_spec.h"

DEFINE_STATIC_KEY_FALSE(vmx_flush_l1d);
DEFINE_STATIC_KEY_FALSE(vmx_flush_predictors);

static int l1d_flush = -1;
module_param(l1d_flush, int, 0444);
MODULE_PARM_DESC(l1d_flush, "VT-x: flush the L1 data cache before guests run: 1 yes, 0 no, -1 where the processor needs it");

static int ibpb = -1;
module_param(ibpb, int, 0444);
MODULE_PARM_DESC(ibpb, "VT-x: flush branch predictors between vCPUs: 1 yes, 0 no, -1 as the kernel does between tasks");

static bool l1tf_affected(void)
{
	if (cpu_mitigations_off() || !boot_cpu_has_bug(X86_BUG_L1TF))
		return false;
	return !(boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES) &&
		 hvx_rdmsr(MSR_IA32_ARCH_CAPABILITIES) & ARCH_CAP_SKIP_VMENTRY_L1DFLUSH);
}

static bool ibpb_wanted(void)
{
	if (!boot_cpu_has(X86_FEATURE_IBPB))
		return false;
	if (ibpb >= 0)
		return ibpb;
#ifdef X86_FEATURE_USE_IBPB
	return boot_cpu_has(X86_FEATURE_USE_IBPB);
#else
	return !cpu_mitigations_off() && boot_cpu_has_bug(X86_BUG_SPECTRE_V2);
#endif
}

void vmx_spec_start(void)
{
	if (l1d_flush > 0 || (l1d_flush < 0 && l1tf_affected())) {
		if (boot_cpu_has(X86_FEATURE_FLUSH_L1D))
			static_branch_enable(&vmx_flush_l1d);
		else
			pr_warn("guests can read the L1 data cache (L1TF): update the microcode, or run trusted guests only\n");
	}
	if (ibpb_wanted())
		static_branch_enable(&vmx_flush_predictors);
}
