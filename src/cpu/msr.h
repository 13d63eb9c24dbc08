/* SPDX-License-Identifier: GPL-2.0-only */
/* MSRs: the guest's RDMSR and WRMSR, HVX_GET_MSRS and HVX_SET_MSRS, the filter. */
#ifndef HVX_MSR_H
#define HVX_MSR_H

#include "vcpu/run.h"

#define APIC_BASE_ENABLE	BIT_ULL(11)

enum hvx_next hvx_handle_msr(struct hvx_vcpu *vcpu, struct hvx_exit *x);
enum hvx_next hvx_msr_complete(struct hvx_vcpu *vcpu);

/* Values that a vCPU has after RESET. Context: creation. */
void hvx_msr_reset(struct hvx_vcpu *vcpu);

/*
 * One MSR, for the guest or (@host) for the VMM, which may read and write what guests may not.
 * Context: vcpu->lock, any. false: unknown, or a value that it cannot hold.
 */
bool hvx_msr_get(struct hvx_vcpu *vcpu, u32 index, u64 *value, bool host);
bool hvx_msr_set(struct hvx_vcpu *vcpu, u32 index, u64 value, bool host);

/* MSRs that are part of a vCPU's state. Immutable after load. */
extern u32 hvx_msr_list[HVX_MAX_MSRS];
extern u32 hvx_nr_msrs;

/* Ioctls. Context: process; vcpu->lock or vm->lock. */
long hvx_msrs_get(struct hvx_vcpu *vcpu, const struct hvx_msrs *args);
long hvx_msrs_set(struct hvx_vcpu *vcpu, const struct hvx_msrs *args);
long hvx_msr_copy_list(struct hvx_msr_list *args);
long hvx_msr_filter_set(struct hvx_vm *vm, const struct hvx_msr_filter *args);

/* Does the filter want this access? Context: vm->srcu, or window. */
bool hvx_msr_filtered(struct hvx_vm *vm, u32 index, u32 access);

#endif
