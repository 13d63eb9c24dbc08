/* SPDX-License-Identifier: GPL-2.0-only */
/* Events on their way into the guest: exceptions of emulated instructions, interrupts, NMIs. */
#ifndef HVX_EVENT_H
#define HVX_EVENT_H

#include <linux/types.h>

struct hvx_vcpu;
struct hvx_event;

/* Exception vectors */
enum hvx_vector {
	VEC_DE = 0, VEC_DB = 1, VEC_NMI = 2, VEC_BP = 3, VEC_OF = 4, VEC_BR = 5, VEC_UD = 6,
	VEC_NM = 7, VEC_DF = 8, VEC_TS = 10, VEC_NP = 11, VEC_SS = 12, VEC_GP = 13, VEC_PF = 14,
	VEC_MF = 16, VEC_AC = 17, VEC_MC = 18, VEC_XM = 19, VEC_CP = 21,
};

/*
 * Raise an exception at the next entry; merges with one under delivery (double fault, shutdown).
 * @payload: CR2 for #PF, DR6 bits for #DB, with @has_payload. Context: vcpu->lock, any.
 */
void hvx_queue_exception(struct hvx_vcpu *vcpu, u8 vector, bool has_error, u32 error,
			 bool has_payload, u64 payload);

static inline void hvx_queue_ud(struct hvx_vcpu *vcpu)
{
	hvx_queue_exception(vcpu, VEC_UD, false, 0, false, 0);
}

static inline void hvx_queue_gp(struct hvx_vcpu *vcpu, u32 error)
{
	hvx_queue_exception(vcpu, VEC_GP, true, error, false, 0);
}

static inline void hvx_queue_pf(struct hvx_vcpu *vcpu, u64 gva, u32 error)
{
	hvx_queue_exception(vcpu, VEC_PF, true, error, true, gva);
}

/* HVX_INJECT: 0, -EINVAL, -EBUSY. Context: process, vcpu->lock. */
int hvx_event_inject(struct hvx_vcpu *vcpu, const struct hvx_event *event);

/* Choose what goes in with the next entry and ask for windows. Context: window. */
void hvx_event_prepare(struct hvx_vcpu *vcpu);

/* Is there an interrupt that waits for the guest? Context: vcpu->lock, any. */
bool hvx_irq_waits(struct hvx_vcpu *vcpu);

/* Would an interrupt or NMI be delivered at once? Context: vcpu->lock, any. */
bool hvx_irq_open(struct hvx_vcpu *vcpu);
bool hvx_nmi_open(struct hvx_vcpu *vcpu);

#endif
