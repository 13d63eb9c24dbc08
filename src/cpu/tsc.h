/* SPDX-License-Identifier: GPL-2.0-only */
/* The TSC of a vCPU: its rate, its value, and what its MSRs do. */
#ifndef HVX_TSC_H
#define HVX_TSC_H

#include "vcpu/vcpu.h"

/* What rdtsc() says and guests' TSCs follow: see pv/clock.c */
u64 hvx_host_tsc(void);

/* What the guest would read now. Context: any. */
u64 hvx_guest_tsc(const struct hvx_vcpu *vcpu);

/* The TSC of the VM, at its rate. Context: creation. */
void hvx_tsc_reset(struct hvx_vcpu *vcpu);

/* IA32_TSC and IA32_TSC_ADJUST: set by the VMM (@host) or by the guest. Context: vcpu->lock. */
void hvx_tsc_set(struct hvx_vcpu *vcpu, u64 value, bool host);
void hvx_tsc_set_adjust(struct hvx_vcpu *vcpu, u64 value, bool host);

/* HVX_SET_TSC_KHZ: of a vCPU, or of those that a VM will have. Context: process, vcpu->lock. */
long hvx_tsc_set_khz(struct hvx_vcpu *vcpu, unsigned long khz);
long hvx_tsc_set_vm_khz(struct hvx_vm *vm, unsigned long khz);

#endif
