/* SPDX-License-Identifier: GPL-2.0-only */
/* CPUID: what the guest sees of its processor, and what follows from that. */
#ifndef HVX_CPUID_H
#define HVX_CPUID_H

#include "vcpu/vcpu.h"

/* Leaves below 64 of the basic, hypervisor and extended ranges are found without a search */
#define CPUID_DIRECT	64

struct hvx_cpuid_table {
	u32 nr;
	u16 first[3][CPUID_DIRECT];	/* index + 1 of the first entry of a leaf, 0: none */
	u16 fast[CPUID_DIRECT];		/* ditto of a basic leaf that always says the same */
	struct hvx_cpuid_entry entry[];	/* sorted by function and index */
};

/* Answer CPUID in the guest's registers. Context: vcpu->lock, any. */
void hvx_cpuid(struct hvx_vcpu *vcpu);

/*
 * Does the guest's table say that it has a feature? @reg: CPUID_EAX and so on, of
 * <asm/processor.h>. Context: vcpu->lock, any.
 */
bool hvx_cpuid_has(const struct hvx_vcpu *vcpu, u32 function, int reg, int bit);

/*
 * The table that HVX_GET_SUPPORTED_CPUID gives for VMs with these flags and this rate of the TSC;
 * ERR_PTR(-ENOMEM)
 */
struct hvx_cpuid_table *hvx_cpuid_supported(u32 vm_flags, u32 khz);

/* Give a vCPU its first table: the one that its VM supports */
int hvx_cpuid_init(struct hvx_vcpu *vcpu);

/* Ioctls. Context: process, vcpu->lock. */
long hvx_cpuid_set(struct hvx_vcpu *vcpu, const struct hvx_cpuid *args);
/* HVX_GET_SUPPORTED_CPUID on any descriptor */
long hvx_cpuid_get_supported(u32 vm_flags, u32 khz, void __user *argp);
long hvx_cpuid_copy(const struct hvx_cpuid_table *table, struct hvx_cpuid *args);

#endif
