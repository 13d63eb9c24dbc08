/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory accesses that no region answers: emulation, and the exit to the VMM. */
#ifndef HVX_MMIO_H
#define HVX_MMIO_H

#include "vcpu/vcpu.h"

/*
 * A second-level fault that hvx_mmu_fault() called HVX_FAULT_MMIO.
 * 1: enter the guest again, the instruction is complete or an exception was queued; 0: to user
 * space with the run page filled in, and vcpu->pending when an answer is wanted; or negative errno.
 * Context: process, vcpu->lock and vm->srcu held.
 */
int hvx_mmio(struct hvx_vcpu *vcpu, const struct hvx_exit *x);

/*
 * The same in the window, where it is a plain MOV: enum hvx_next, _USER with vcpu->pending; -1, and
 * nothing was changed. Context: window.
 */
int hvx_mmio_window(struct hvx_vcpu *vcpu, struct hvx_exit *x);

/* HVX_PENDING_MOVE: the VMM answered. Context: process, vcpu->lock held. */
void hvx_mmio_move_complete(struct hvx_vcpu *vcpu);

/* The VMM answered: go on where hvx_mmio() stopped. Context and return as hvx_mmio(). */
int hvx_mmio_complete(struct hvx_vcpu *vcpu);

#endif
