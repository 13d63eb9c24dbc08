/* SPDX-License-Identifier: GPL-2.0-only */
/* The instruction at CS:RIP, for exits that the processor does not describe. */
#ifndef HVX_INSN_H
#define HVX_INSN_H

#include "vcpu/vcpu.h"

/* The registers that it takes to find code that is known */
#define HVX_FETCH_REGS							\
	(RM(RIP) | RM_SEG(SEG_CS) | RM(CR0) | RM(CR3) | RM(CR4) | RM(EFER))

/*
 * Fetch and decode. Context: window, or process with vm->srcu held.
 * 0; 1: an exception was queued, the guest no longer maps its code; -EAGAIN: only in process
 * context; -EINVAL, -EOPNOTSUPP: no instruction that the decoder knows; -ENXIO, -EIO: the code is
 * not in memory.
 */
int hvx_insn_fetch(struct hvx_vcpu *vcpu, struct hvx_insn *insn);

/*
 * Before a fault leaves the window: keep the bytes at CS:RIP in @x, for hvx_insn_decode(), if they
 * are easily had and the processor gave none. Context: window.
 */
void hvx_insn_prefetch(struct hvx_vcpu *vcpu, struct hvx_exit *x);

/*
 * The instruction at CS:RIP if its bytes are easily had and it is known, else NULL; good until the
 * next one is asked for. Context: window.
 */
const struct hvx_insn *hvx_insn_at_hand(struct hvx_vcpu *vcpu, struct hvx_exit *x);

/* As hvx_insn_fetch() where the processor gave bytes: @nr of them, which may be too few or none */
int hvx_insn_decode(struct hvx_vcpu *vcpu, struct hvx_insn *insn, const u8 *bytes, unsigned int nr);

/* As many bytes at CS:RIP as can be read without a fault, 15 at most. Context: process. */
unsigned int hvx_insn_bytes(struct hvx_vcpu *vcpu, u8 *bytes);

/* Offset of the memory operand in its segment */
u64 hvx_insn_offset(struct hvx_vcpu *vcpu, const struct hvx_insn *insn);

#endif
