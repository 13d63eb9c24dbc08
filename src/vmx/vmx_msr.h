/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MSRs of SYSCALL: guest values at the begin of a window, host values at its end.
 *
 *   always			TSC_AUX, where RDTSCP is enabled
 *   EFER.LME or LMA		KERNEL_GS_BASE: SWAPGS works without SYSCALL
 *   ... and EFER.SCE		STAR, LSTAR, SFMASK; and the guest reads all of these itself
 *
 * What is the same on both sides is not written. Context: window.
 */
#ifndef HVX_VMX_MSR_H
#define HVX_VMX_MSR_H

#include <asm/asm.h>
#include <asm/msr-index.h>
#include <linux/percpu.h>
#include "compat.h"
#include "vmx.h"

const struct vmx_msrs *vmx_find_host_msrs(struct vmx_vcpu *vmx, struct vmx_cpu *cpu);
void vmx_pass_msrs(struct vmx_vcpu *vmx, bool pass);

/* A value that no processor takes changes nothing; values come from guest and VMM */
static __always_inline void vmx_write_msr(u32 msr, u64 value)
{
	u32 low = value, high = value >> 32;

	asm volatile("1:	wrmsr\n"
		     "	jmp	3f\n"
		     "2:	xor	%%eax, %%eax\n"
		     "	xor	%%edx, %%edx\n"
		     "	wrmsr\n"
		     "3:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : "+a" (low), "+d" (high) : "c" (msr) : "memory");
}

static __always_inline void vmx_switch_msr(u32 msr, u64 from, u64 to)
{
	if (from != to)
		vmx_write_msr(msr, to);
}

/* From here on the guest's KERNEL_GS_BASE is on the CPU alone */
static __always_inline void vmx_load_syscall_msrs(struct vmx_vcpu *vmx, bool all)
{
	const struct hvx_regs *regs = &vmx->vcpu.regs;
	const struct vmx_msrs *host = vmx->host_msrs;

	vmx->host_kernel_gs_base = hvx_rdmsr(MSR_KERNEL_GS_BASE);
	vmx_switch_msr(MSR_KERNEL_GS_BASE, vmx->host_kernel_gs_base, regs->kernel_gs_base);
	vmx->msrs_loaded = true;
	vmx->avail &= ~RM(SYSCALL);
	if (all) {
		vmx_switch_msr(MSR_STAR, host->star, regs->star);
		vmx_switch_msr(MSR_LSTAR, host->lstar, regs->lstar);
		vmx_switch_msr(MSR_SYSCALL_MASK, host->sfmask, regs->sfmask);
	}
}

static __always_inline void vmx_load_msrs(struct vmx_vcpu *vmx, struct vmx_cpu *cpu)
{
	const struct hvx_regs *regs = &vmx->vcpu.regs;
	const struct vmx_msrs *host = &cpu->msrs;
	bool all = false;

	if (unlikely(!vmx->own || !cpu->msrs_known))
		host = vmx_find_host_msrs(vmx, cpu);
	vmx->host_msrs = host;
	if (vmx_caps.rdtscp)
		vmx_switch_msr(MSR_TSC_AUX, host->tsc_aux, regs->tsc_aux);
	if (regs->efer & (EFER_LME | EFER_LMA)) {
		all = regs->efer & EFER_SCE;
		vmx_load_syscall_msrs(vmx, all);
	}
	if (unlikely(vmx->msrs_passed != all))
		vmx_pass_msrs(vmx, all);
}

static __always_inline void vmx_unload_syscall_msrs(struct vmx_vcpu *vmx, bool stale)
{
	struct hvx_regs *regs = &vmx->vcpu.regs;
	const struct vmx_msrs *host = vmx->host_msrs;
	u64 kernel_gs_base = hvx_rdmsr(MSR_KERNEL_GS_BASE);

	vmx_switch_msr(MSR_KERNEL_GS_BASE, kernel_gs_base, vmx->host_kernel_gs_base);
	/* What the core wrote since the last entry is newer */
	if (likely(!(regs->dirty & RM(SYSCALL))))
		regs->kernel_gs_base = kernel_gs_base;
	regs->avail |= RM(SYSCALL);
	vmx->msrs_loaded = false;
	vmx->avail |= RM(SYSCALL);
	if (vmx->msrs_passed) {
		if (stale || host->star != regs->star)
			vmx_write_msr(MSR_STAR, host->star);
		if (stale || host->lstar != regs->lstar)
			vmx_write_msr(MSR_LSTAR, host->lstar);
		if (stale || host->sfmask != regs->sfmask)
			vmx_write_msr(MSR_SYSCALL_MASK, host->sfmask);
	}
}

static __always_inline void vmx_unload_msrs(struct vmx_vcpu *vmx)
{
	const struct hvx_regs *regs = &vmx->vcpu.regs;
	/* regs is newer than the CPU then, and says nothing of what is there */
	bool stale = regs->dirty & (RM(SYSCALL) | RM(TSC));

	if (vmx_caps.rdtscp && unlikely(stale || vmx->host_msrs->tsc_aux != regs->tsc_aux))
		vmx_write_msr(MSR_TSC_AUX, vmx->host_msrs->tsc_aux);
	if (vmx->msrs_loaded)
		vmx_unload_syscall_msrs(vmx, stale);
}

#endif
