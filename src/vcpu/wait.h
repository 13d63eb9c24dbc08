/* SPDX-License-Identifier: GPL-2.0-only */
/* How a vCPU waits in the kernel (VMs with HVX_VM_LAPIC): HLT, INIT, STARTUP. */
#ifndef HVX_WAIT_H
#define HVX_WAIT_H

#include "run.h"

/* The longest time to poll before sleeping, in ns; module parameter halt_poll_ns */
extern unsigned int hvx_halt_poll_ns;

/* HLT was executed, or the activity state was set: HVX_REQ_BLOCK. Context: vcpu->lock. */
void hvx_wait_update(struct hvx_vcpu *vcpu);

/*
 * Serve HVX_REQ_BLOCK: wait until there is a reason to run the guest. HVX_NEXT_ENTER, or what comes
 * first: HVX_NEXT_USER (a window that the VMM asked for), HVX_NEXT_ERROR with EINTR.
 * Context: process, vcpu->lock.
 */
enum hvx_next hvx_wait(struct hvx_vcpu *vcpu);

/* Serve HVX_REQ_MESSAGE: take INIT and STARTUP. Context: process, vcpu->lock. */
void hvx_take_messages(struct hvx_vcpu *vcpu);

/* Give the CPU to a vCPU of the VM that wants one, or to anybody. Context: process, vcpu->lock. */
void hvx_yield(struct hvx_vcpu *vcpu);

/* May an event of the local APIC or the VMM be injected now? Context: vcpu->lock, any. */
bool hvx_wakes_up(struct hvx_vcpu *vcpu);

#endif
