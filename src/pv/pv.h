/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Paravirtual services, as Linux knows them from KVM: its CPUID leaves, MSRs, hypercalls and
 * structures in guest memory (Documentation/virt/kvm/x86 of Linux).
 *
 *   pv.c	which services there are; their MSRs; what is written before the guest goes on
 *   clock.c	TSC, clock
 *   scale.h	ticks to nanoseconds
 *
 * A service exists for a vCPU when its bit is in the CPUID leaf that the vCPU has: see
 * hvx_vcpu.pv_features. All addresses come from the guest, and are checked by those who write there.
 */
#ifndef HVX_PV_H
#define HVX_PV_H

#include <asm/kvm_para.h>
#include <linux/bits.h>
#include <linux/types.h>

struct hvx_vm;
struct hvx_vcpu;

/* Of a vCPU; under vcpu->lock but for was_stopped */
struct hvx_pv {
	u64 wall_clock;		/* MSR_KVM_WALL_CLOCK_NEW */
	u64 system_time;	/* MSR_KVM_SYSTEM_TIME_NEW, 0: off */
	unsigned long expires;	/* jiffies: write system_time anew then; 0: never */
	bool wall_wanted;	/* the guest has written wall_clock */
	bool was_stopped;	/* [a] HVX_SET_CLOCK: the guest's watchdogs should know */
};

#define HVX_PV_FIRST_MSR	MSR_KVM_WALL_CLOCK_NEW
#define HVX_PV_NR_MSRS		9

/* KVM_FEATURE_* that VMs with these HVX_VM_* can have. Context: any. */
u32 hvx_pv_features(u32 vm_flags);

/* MSRs from HVX_PV_FIRST_MSR. Context: vcpu->lock, any. false: unknown, or a bad value. */
bool hvx_pv_msr_get(const struct hvx_vcpu *vcpu, u32 index, u64 *value);
bool hvx_pv_msr_set(struct hvx_vcpu *vcpu, u32 index, u64 value, bool host);

/* The vCPU came to another CPU, or its clock has expired: ask for HVX_REQ_PV if need be */
void hvx_pv_moved(struct hvx_vcpu *vcpu);

/*
 * HVX_REQ_PV: bring what is in guest memory up to date. Context: process, vcpu->lock.
 * HVX_NEXT_ENTER, or HVX_NEXT_ERROR when the VMM lacks the memory.
 */
int hvx_pv_serve(struct hvx_vcpu *vcpu);

/*
 * Write a structure of 4-byte words that begins with a version. Context: process, vm->srcu.
 * 0, or -EFAULT: the VMM has no memory there.
 */
int hvx_pv_write_versioned(struct hvx_vm *vm, u64 gpa, u32 *image, size_t len);

#endif
