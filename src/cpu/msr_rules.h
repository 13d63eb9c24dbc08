/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MSRs that are a value and nothing else: what they hold after RESET and what may be written to
 * them, in tables with a line for each MSR or row of MSRs. msr_rules.c has the lines that both
 * vendors share and the table's machinery; each backend has those of its vendor's processors.
 *
 * An MSR without a line, and without a case of its own in msr.c, does not exist: #GP.
 */
#ifndef HVX_MSR_RULES_H
#define HVX_MSR_RULES_H

#include <linux/types.h>

struct hvx_vcpu;

/* struct hvx_msr_rule::kind */
enum hvx_msr_kind {
	MSR_FIXED,		/* reads as .reset; writes #GP */
	MSR_DEAF,		/* reads as .reset; writes do nothing */
	MSR_COMMAND,		/* reads #GP; writes do nothing */
	MSR_STORED,		/* a value of the vCPU; part of its state */
};

/**
 * struct hvx_msr_rule - a row of MSRs
 * @first: first MSR
 * @nr: how many
 * @kind: enum hvx_msr_kind
 * @slot: MSR_STORED: index in hvx_vcpu.msr_values, set at load
 * @reset: value after RESET
 * @writable: MSR_STORED: bits that may differ from @reset; a write of another #GP
 * @valid: MSR_STORED: further conditions, NULL for none; @host: the VMM writes
 */
struct hvx_msr_rule {
	u32 first;
	u16 nr;
	u8 kind;
	u8 slot;
	u64 reset;
	u64 writable;
	bool (*valid)(u32 index, u64 value, bool host);
};

#define HVX_MSR_VALUES		128	/* slots of all MSR_STORED lines of one vendor */
#define HVX_MSR_MISC_ENABLE	0	/* slot of IA32_MISC_ENABLE, which fast.h knows */

/* Choose slots, fill in the list of state MSRs. Context: load, the backend is started. */
void hvx_msr_rules_start(void);

/* Context: creation of the vCPU */
void hvx_msr_rules_reset(struct hvx_vcpu *vcpu);

/* Context: vcpu->lock, any. false: no rule, not allowed, or a value that it cannot hold. */
bool hvx_msr_rule_get(const struct hvx_vcpu *vcpu, u32 index, u64 *value);
bool hvx_msr_rule_set(struct hvx_vcpu *vcpu, u32 index, u64 value, bool host);

/* For lines of backends: 0, or all bits set */
bool hvx_msr_zero_or_ones(u32 index, u64 value, bool host);

#endif
