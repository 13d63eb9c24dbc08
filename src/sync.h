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

/* Fill the head of the run page in */
static __always_inline void hvx_sync_head(struct hvx_vcpu *vcpu)
{
	struct hvx_run *run = vcpu->run;
	bool nothing_waits, flag;

	hvx_need(vcpu, RM(RFLAGS) | RM(SHADOW));
	flag = vcpu->regs.rflags & BIT(9);
	nothing_waits = !(vcpu->inject.type | vcpu->regs.shadow | vcpu->irq_pending |
			  vcpu->nmi_pending | vcpu->acked_pending);
	run->if_flag = flag;
	run->irq_ready = flag;
	run->nmi_ready = true;
	if (unlikely(!nothing_waits))
		hvx_sync_ready(vcpu);
	run->exits = vcpu->exits;
}

/* Fill the head of the run page and the wanted register groups in */
static __always_inline void hvx_sync_to_user(struct hvx_vcpu *vcpu, u64 groups)
{
	hvx_sync_head(vcpu);
	if (unlikely(groups))
		hvx_sync_fill(vcpu, vcpu->run, groups);
	vcpu->run->regs_valid = groups;
}

/* hvx_sync_from_user() in two steps and from a private copy, for the state image */
int hvx_sync_check(const struct hvx_vcpu *vcpu, const struct hvx_run *from, u64 groups);
int hvx_sync_take(struct hvx_vcpu *vcpu, const struct hvx_run *from, u64 groups);

#endif
