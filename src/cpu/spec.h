/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What guests control of speculation: IA32_SPEC_CTRL, IA32_PRED_CMD and IA32_ARCH_CAPABILITIES.
 * The value of IA32_SPEC_CTRL itself is in regs.spec_ctrl, where entry code finds it.
 */
#ifndef HVX_SPEC_H
#define HVX_SPEC_H

#include <linux/types.h>

struct hvx_vcpu;

/* All fields: vcpu->lock */
struct hvx_spec {
	u64 ctrl;		/* bits of IA32_SPEC_CTRL that CPUID announces; 0: no such MSR */
	u64 arch_caps;		/* IA32_ARCH_CAPABILITIES */
	bool has_arch_caps;	/* ... which CPUID announces */
	bool has_barrier;	/* ditto IA32_PRED_CMD */
	bool barrier;		/* the guest has ordered one */
	bool own;		/* its IA32_SPEC_CTRL is on the CPU while it runs ... */
	bool pass;		/* ... and read and written there without an exit */
};

/* Context: load */
void hvx_spec_start(void);

/* Can there be a vCPU with spec.pass? */
bool hvx_spec_can_pass(void);

/* Values that a vCPU has after RESET. Context: creation. */
void hvx_spec_reset(struct hvx_vcpu *vcpu);

/* The vCPU has another CPUID table. Context: vcpu->lock, process. */
void hvx_spec_cpuid(struct hvx_vcpu *vcpu);

/* The vCPU's window is the first on this CPU, or the first for a while. Context: window. */
void hvx_spec_moved(struct hvx_vcpu *vcpu);

/* As hvx_msr_get() and hvx_msr_set(), for the three */
bool hvx_spec_msr_get(const struct hvx_vcpu *vcpu, u32 index, u64 *value, bool host);
bool hvx_spec_msr_set(struct hvx_vcpu *vcpu, u32 index, u64 value, bool host);

#endif
