/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Paravirtual services, as Linux knows them from KVM: its CPUID leaves, MSRs, hypercalls and
 * structures in guest memory (Documentation/virt/kvm/x86 of Linux).
 */
#ifndef HVX_PV_H
#define HVX_PV_H

#include <asm/kvm_para.h>
#include <linux/bits.h>
#include <linux/types.h>

/* KVM_FEATURE_* that VMs with these HVX_VM_* can have */
static inline u32 hvx_pv_features(u32 vm_flags)
{
	return BIT(KVM_FEATURE_NOP_IO_DELAY);
}

#endif
