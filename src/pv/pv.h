/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Paravirtual services, as Linux knows them from KVM: its CPUID leaves, MSRs, hypercalls and
 * structures in guest memory (Documentation/virt/kvm/x86 of Linux).
 *
 *   pv.c	which services there are; their MSRs; what is written before the guest goes on
 *   clock.c	TSC, clock
 *   scale.h	ticks to nanoseconds
 *   steal.c	steal time, preempted vCPUs, TLB flushes that they were spared
 *   eoi.c	end of interrupt without an exit
 *   hypercall.c	hypercalls
 *
 * A service exists for a vCPU when its bit is in the CPUID leaf that the vCPU has: see
 * hvx_vcpu.pv_features. All addresses come from the guest; who writes there checks them.
 */
#ifndef HVX_PV_H
#define HVX_PV_H

#include <linux/bits.h>
#include <linux/kconfig.h>
#include <linux/preempt.h>
#include <linux/types.h>
#include <uapi/linux/kvm_para.h>

/* Needs to see threads lose the CPU, and the kernel's book of it */
#if IS_ENABLED(CONFIG_PREEMPT_NOTIFIERS) && IS_ENABLED(CONFIG_SCHED_INFO)
#define HVX_STEAL_TIME
#endif

struct hvx_vm;
struct hvx_vcpu;
struct hvx_exit;
struct task_struct;

/* Of a vCPU; under vcpu->lock but for [a]: READ_ONCE, WRITE_ONCE */
struct hvx_pv {
	u64 wall_clock;		/* MSR_KVM_WALL_CLOCK_NEW */
	u64 system_time;	/* MSR_KVM_SYSTEM_TIME_NEW, 0: off */
	unsigned long expires;	/* jiffies: write system_time anew then; 0: never */
	bool clock_due;		/* [a] system_time is to be written anew */
	bool wall_wanted;	/* the guest has written wall_clock */
	bool was_stopped;	/* [a] HVX_SET_CLOCK: the guest's watchdogs should know */

	u64 eoi;		/* MSR_KVM_PV_EOI_EN, 0: off */
	bool eoi_try;		/* an interrupt was injected, and may be in service still */
	bool eoi_set;		/* window: the bit is offered; else: its answer is not known yet */

	u64 steal_time;		/* MSR_KVM_STEAL_TIME, 0: off */
	u64 poll_control;	/* MSR_KVM_POLL_CONTROL: bit 0, the host may poll in HLT */
	u64 run_delay;		/* of .runner, when the time was last written */
	struct task_struct *runner;	/* for comparison alone */
	struct task_struct *running;	/* [a] the thread in HVX_RUN while .watched, else NULL */
	bool steal_due;
	bool marked;		/* the guest was told that this vCPU is preempted */
	bool preempted;		/* [a] .running wants the CPU and has it not */
	bool watched;		/* .notifier is registered */
#ifdef HVX_STEAL_TIME
	struct preempt_notifier notifier;
#endif
};

#define HVX_PV_FIRST_MSR	MSR_KVM_WALL_CLOCK_NEW
#define HVX_PV_NR_MSRS		9
#define HVX_PV_LAST_HYPERCALL	KVM_HC_SCHED_YIELD

/* KVM_FEATURE_* that VMs with these HVX_VM_* can have. Context: any. */
u32 hvx_pv_features(u32 vm_flags);

/* MSRs from HVX_PV_FIRST_MSR. Context: vcpu->lock, any. false: unknown, or a bad value. */
bool hvx_pv_msr_get(const struct hvx_vcpu *vcpu, u32 index, u64 *value);
bool hvx_pv_msr_set(struct hvx_vcpu *vcpu, u32 index, u64 value, bool host);

/* Have the clock written anew before the guest goes on. Context: any. */
void hvx_pv_request_clock(struct hvx_vcpu *vcpu);

/* The vCPU came to another CPU, or its clock has expired: ask for HVX_REQ_PV if need be */
void hvx_pv_moved(struct hvx_vcpu *vcpu);

/*
 * HVX_REQ_PV: bring what is in guest memory up to date. Context: process, vcpu->lock.
 * HVX_NEXT_ENTER, or HVX_NEXT_ERROR when the VMM lacks the memory.
 */
int hvx_pv_serve(struct hvx_vcpu *vcpu);

/*
 * With .eoi_try before each entry, with .eoi_set after each exit. Context: window.
 */
void hvx_eoi_offer(struct hvx_vcpu *vcpu);
void hvx_eoi_collect(struct hvx_vcpu *vcpu);
/* With .eoi_set outside of a window; as hvx_clock_update() */
int hvx_eoi_settle(struct hvx_vcpu *vcpu, u64 *gpa);
/* From a state image, after its MSRs: is the answer not known yet? Context: vcpu->lock. */
void hvx_eoi_restore(struct hvx_vcpu *vcpu, bool set);

/* MSR_KVM_STEAL_TIME was written. Context: vcpu->lock, any. */
void hvx_steal_changed(struct hvx_vcpu *vcpu);

/*
 * Context: process, vcpu->lock. _begin() and _end() around an HVX_RUN whose guest wants to know of
 * steal time; _update() as hvx_clock_update(); _module_exit() when no vCPU is left.
 */
void hvx_steal_begin(struct hvx_vcpu *vcpu);
void hvx_steal_end(struct hvx_vcpu *vcpu);
int hvx_steal_update(struct hvx_vcpu *vcpu, u64 *gpa);
void hvx_steal_module_exit(void);

/*
 * A hypercall: enum hvx_next, or -1 when it is not one of those that the guest was told of.
 * Context: window; process when the answer was HVX_NEXT_PROCESS.
 */
int hvx_pv_hypercall(struct hvx_vcpu *vcpu, const struct hvx_exit *x);

/*
 * Write a structure of 4-byte words that begins with a version. Context: process, vm->srcu.
 * 0, or -EFAULT: the VMM has no memory there.
 */
int hvx_pv_write_versioned(struct hvx_vm *vm, u64 gpa, u32 *image, size_t len);

#endif
