/* SPDX-License-Identifier: GPL-2.0-only */
/* Registers between the run page and the cache. Context: process, vcpu->lock held. */
#ifndef HVX_SYNC_H
#define HVX_SYNC_H

#include "vcpu.h"

/* Take register groups (HVX_REGS_*) from the run page: 0 or -EINVAL, then nothing was taken */
int hvx_sync_from_user(struct hvx_vcpu *vcpu, u64 groups);

/* The registers (RM()) that hvx_sync_to_user() will need for these groups */
u64 hvx_sync_mask(u64 groups);

/* Registers of these groups to the run page, or to a copy of its own for the state image */
void hvx_sync_fill(struct hvx_vcpu *vcpu, struct hvx_run *to, u64 groups);

/* irq_ready and nmi_ready of the run page, where they take a closer look */
void hvx_sync_ready(struct hvx_vcpu *vcpu);

/* irq_ready, if_flag and nmi_ready of the run page, and a reserved byte, are one word */
#define HVX_READY(flag)	((flag) * 0x101u | 0x10000u)

static_assert(offsetof(struct hvx_run, irq_ready) % 4 == 0 &&
	      offsetof(struct hvx_run, if_flag) == offsetof(struct hvx_run, irq_ready) + 1 &&
	      offsetof(struct hvx_run, nmi_ready) == offsetof(struct hvx_run, irq_ready) + 2);

/* Fill the head of the run page in, but for regs_valid */
static __always_inline void hvx_sync_head(struct hvx_vcpu *vcpu, struct hvx_run *run)
{
	hvx_need(vcpu, RM(RFLAGS) | RM(SHADOW));
	*(u32 *)&run->irq_ready = HVX_READY(vcpu->regs.rflags >> 9 & 1);
	run->exits = vcpu->exits;
	/* While something waits to go in HVX_REQ_EVENT is set */
	if (unlikely(vcpu->inject.type | vcpu->regs.shadow | vcpu->requests))
		hvx_sync_ready(vcpu);
}

/* Fill the head of the run page and the wanted register groups in */
static __always_inline void hvx_sync_to_user(struct hvx_vcpu *vcpu, u64 groups)
{
	struct hvx_run *run = vcpu->run;

	hvx_sync_head(vcpu, run);
	if (unlikely(groups))
		hvx_sync_fill(vcpu, run, groups);
	run->regs_valid = groups;
}

/* hvx_sync_from_user() in two steps and from a private copy, for the state image */
int hvx_sync_check(const struct hvx_vcpu *vcpu, const struct hvx_run *from, u64 groups);
int hvx_sync_take(struct hvx_vcpu *vcpu, const struct hvx_run *from, u64 groups);

#endif
