/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The exchange of FPU, SSE and AVX state at both ends of a window.
 *
 * The FPU belongs to the window: with interrupts off nobody else changes it, NMI handlers included.
 * So the registers are exchanged by value: what is in them goes to an area of this CPU, the
 * guest's come from the vCPU's, and at the end the other way round. Afterwards they are bit for
 * bit what they were, whoever's they were: the task's, or ones that the kernel knows to be stale.
 * The kernel's bookkeeping stays true without being told; kernel_fpu_begin() and kernel_fpu_end()
 * would save and reload the task's state besides, for about three times the instructions.
 *
 * XRSTOR and XSAVE run with the host's XCR0; the guest's is on the CPU only while it runs. Only
 * what guests can have is exchanged. PKRU and AMX state are not given to them: the kernel keeps
 * PKRU out of its own XSAVE areas, and AMX needs services that modules do not have.
 */
#ifndef HVX_FPU_SWITCH_H
#define HVX_FPU_SWITCH_H

#include <asm/cpufeature.h>
#include <asm/fpu/xcr.h>
#include <linux/jump_label.h>
#include <linux/percpu.h>
#include "compat.h"
#include "fpu.h"

/* The host's side: immutable after load, but for what the areas hold */
struct hvx_fpu_host {
	u64 xcr0, xss;
	void __percpu *area;	/* of the CPU whose window is open */
};

extern struct hvx_fpu_host hvx_fpu_host;

DECLARE_STATIC_KEY_FALSE(hvx_fpu_has_xsaveopt);
DECLARE_STATIC_KEY_FALSE(hvx_fpu_has_xss);	/* the host's IA32_XSS is not 0 */

/* All that guests can have are bits of the lower half of XCR0 */
static __always_inline void hvx_xrstor(const void *area, u32 mask)
{
	asm volatile("xrstor64 %0" :: "m" (*(const char *)area), "a" (mask), "d" (0) : "memory");
}

static __always_inline void hvx_xsave(void *area, u32 mask)
{
	asm volatile("xsave64 %0" : "+m" (*(char *)area) : "a" (mask), "d" (0) : "memory");
}

static __always_inline void hvx_xsaveopt(void *area, u32 mask)
{
	asm volatile("xsaveopt64 %0" : "+m" (*(char *)area) : "a" (mask), "d" (0) : "memory");
}

/*
 * Some AMD processors neither save nor restore the x87 pointers while no exception is pending:
 * empty the state first, so that one side does not see the other's.
 */
static __always_inline void hvx_clear_x87_pointers(void)
{
	static const int zero;

	if (static_cpu_has_bug(X86_BUG_FXSAVE_LEAK))
		asm volatile("fnclex\n\temms\n\tfildl %0" :: "m" (zero));
}

/* The guest's state in. Context: window, before the first entry. */
static __always_inline void hvx_fpu_enter(struct hvx_vcpu *vcpu)
{
	u32 features = hvx_fpu_info.features;

	/* XSAVEOPT would trust that the area still holds what was restored from it last */
	hvx_xsave(this_cpu_ptr(hvx_fpu_host.area), features);
	hvx_clear_x87_pointers();
	hvx_xrstor(vcpu->fpu, features);
	if (static_branch_unlikely(&hvx_fpu_has_xss))
		hvx_wrmsr(MSR_IA32_XSS, 0);
	if (vcpu->regs.xcr0 != hvx_fpu_host.xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, vcpu->regs.xcr0);
}

/* The guest's state out. Context: window, after the last entry. */
static __always_inline void hvx_fpu_leave(struct hvx_vcpu *vcpu)
{
	u32 features = hvx_fpu_info.features;

	if (vcpu->regs.xcr0 != hvx_fpu_host.xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, hvx_fpu_host.xcr0);
	if (static_branch_unlikely(&hvx_fpu_has_xss))
		hvx_wrmsr(MSR_IA32_XSS, hvx_fpu_host.xss);
	if (static_branch_likely(&hvx_fpu_has_xsaveopt))
		hvx_xsaveopt(vcpu->fpu, features);
	else
		hvx_xsave(vcpu->fpu, features);
	hvx_clear_x87_pointers();
	hvx_xrstor(this_cpu_ptr(hvx_fpu_host.area), features);
}

#endif
