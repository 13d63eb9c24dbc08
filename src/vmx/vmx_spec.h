/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Speculation at the boundary between host and guest, as far as C code does it; see vmx_spec.c.
 * What the running kernel does not mitigate costs a patched jump here.
 */
#ifndef HVX_VMX_SPEC_H
#define HVX_VMX_SPEC_H

#include <asm/cpufeature.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <linux/jump_label.h>
#include "compat.h"
#include "vmx.h"

DECLARE_STATIC_KEY_FALSE(vmx_flush_l1d);
DECLARE_STATIC_KEY_FALSE(vmx_flush_predictors);

/*
 * Before the first entry of a window. Inside of it only hvx runs between two entries, and touches
 * nothing that is secret to the guest.
 */
static __always_inline void vmx_spec_open(struct vmx_vcpu *vmx, struct vmx_cpu *cpu)
{
	if (static_branch_unlikely(&vmx_flush_predictors) && cpu->last_serial != vmx->serial)
		hvx_wrmsr(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
	cpu->last_serial = vmx->serial;
	if (static_branch_unlikely(&vmx_flush_l1d))
		hvx_wrmsr(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
}

/* Straight after an exit: IBRS protects the kernel only when it is written again */
static __always_inline void vmx_spec_exit(void)
{
	if (cpu_feature_enabled(X86_FEATURE_KERNEL_IBRS)) {
		hvx_wrmsr(MSR_IA32_SPEC_CTRL, this_cpu_read(x86_spec_ctrl_current));
		barrier_nospec();
	}
}

/* After the last exit: the VMM's own branches must not follow what the guest trained (VMSCAPE) */
static __always_inline void vmx_spec_close(void)
{
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
}

#endif
