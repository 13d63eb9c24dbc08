/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Exits that are over before the way back to the run loop has begun.
 *
 * A backend's enter() may ask here before it fills struct hvx_exit in, and enter the guest again
 * when the answer is yes. What happens is still decided here, once for both vendors; the backend
 * only goes past the instruction, which it must leave to the run loop while the guest
 * single-steps, is in an interrupt shadow, or would cross 4 GiB. Registers other than GPRs are
 * not available here. While exits are traced (trace.h) a backend must not ask.
 */
#ifndef HVX_FAST_H
#define HVX_FAST_H

#include <linux/nospec.h>
#include "compat.h"
#include "cpu/cpuid.h"
#include "io/io.h"
#include "irq/lapic.h"
#include "trace_exit.h"
#include "vcpu.h"

#define HVX_HC_ENOSYS	1000	/* Linux guests know it as KVM_ENOSYS */

/* Kinds worth asking for */
#define HVX_FAST_KINDS	(BIT(XK_CPUID) | BIT(XK_HYPERCALL) | BIT(XK_RDMSR) | BIT(XK_WRMSR))

/* What became of an exit */
enum hvx_fast {
	HVX_FAST_NO,		/* nothing was changed */
	HVX_FAST_DONE,		/* over: the guest goes on behind the instruction */
	HVX_FAST_USER,		/* ditto, but first comes the VMM: the run page is filled in */
};

/* Nothing waits that the run loop has to look at. Context: window. */
static __always_inline bool hvx_may_reenter(const struct hvx_vcpu *vcpu)
{
	return likely(!READ_ONCE(vcpu->requests) && !hvx_task_work_pending() &&
		      (u64)atomic64_read(&vcpu->vm->mmu.tlb_gen) == vcpu->tlb_gen);
}

static __always_inline bool hvx_fast_cpuid(struct hvx_vcpu *vcpu)
{
	const struct hvx_cpuid_table *table = vcpu->cpuid;
	const struct hvx_cpuid_entry *e;
	u64 *gpr = vcpu->regs.gpr;
	u32 leaf = gpr[REG_RAX], i;

	if (unlikely(leaf >= CPUID_DIRECT))
		return false;
	i = table->fast[array_index_nospec(leaf, CPUID_DIRECT)];
	if (unlikely(!i))
		return false;
	e = &table->entry[i - 1];
	gpr[REG_RAX] = e->eax;
	gpr[REG_RBX] = e->ebx;
	gpr[REG_RCX] = e->ecx;
	gpr[REG_RDX] = e->edx;
	return true;
}

static __always_inline bool hvx_fast_hypercall(struct hvx_vcpu *vcpu)
{
	u32 nr = vcpu->regs.gpr[REG_RAX];

	if (unlikely(vcpu->vm->flags & HVX_VM_HYPERCALL_EXIT) ||
	    unlikely(nr == HVX_HC_SYSTEM_EVENT || nr <= HVX_PV_LAST_HYPERCALL))
		return false;
	vcpu->regs.gpr[REG_RAX] = -HVX_HC_ENOSYS;
	return true;
}

/*
 * MSRs that are nothing but a value in the vCPU, and writes to the local APIC that have no
 * consequence for this vCPU; unless the VMM wants to see them
 */
static __always_inline bool hvx_fast_msr(struct hvx_vcpu *vcpu, bool write)
{
	u64 *gpr = vcpu->regs.gpr, value;

	if (unlikely(rcu_access_pointer(vcpu->vm->msr_policy)))
		return false;
	switch ((u32)gpr[REG_RCX]) {
	case MSR_IA32_MISC_ENABLE:
		value = vcpu->msr_values[HVX_MSR_MISC_ENABLE];
		if (write && value != ((u32)gpr[REG_RAX] | gpr[REG_RDX] << 32))
			return false;
		break;
	case MSR_IA32_APICBASE:
		if (write)
			return false;
		value = vcpu->regs.apic_base;
		break;
	default:
		return write && vcpu->lapic &&
		       hvx_lapic_fast_write(vcpu, gpr[REG_RCX],
					    (u32)gpr[REG_RAX] | gpr[REG_RDX] << 32);
	}
	if (!write) {
		gpr[REG_RAX] = (u32)value;
		gpr[REG_RDX] = value >> 32;
	}
	return true;
}

static __always_inline bool hvx_fast_answer(struct hvx_vcpu *vcpu, enum hvx_exit_kind kind)
{
	if (kind == XK_CPUID)
		return hvx_fast_cpuid(vcpu);
	if (kind == XK_HYPERCALL)
		return hvx_fast_hypercall(vcpu);
	return hvx_fast_msr(vcpu, kind == XK_WRMSR);
}

/*
 * Answer an exit of one of HVX_FAST_KINDS. Context: window. After HVX_FAST_DONE the guest is
 * entered only if hvx_may_reenter(); else the exit is XK_DONE. After HVX_FAST_USER it is XK_USER.
 */
static __always_inline enum hvx_fast hvx_fast_exit(struct hvx_vcpu *vcpu, enum hvx_exit_kind kind)
{
	bool done = hvx_fast_answer(vcpu, kind);

	vcpu->exits += done;
	return done ? HVX_FAST_DONE : HVX_FAST_NO;
}

/* The same for IN and OUT of one value, which somebody always answers */
static __always_inline enum hvx_fast hvx_fast_io(struct hvx_vcpu *vcpu, u16 port, u32 width,
						 bool in)
{
	if (rcu_access_pointer(vcpu->vm->irq.bus) && hvx_bus_fast_io(vcpu, port, width, in))
		return HVX_FAST_DONE;
	hvx_io_to_user(vcpu, port, width, in);
	return HVX_FAST_USER;
}

#endif
