/* SPDX-License-Identifier: GPL-2.0-only */
/* Registers between the run page and the cache. Context: process, vcpu->lock held. */
#ifndef HVX_SYNC_H
#define HVX_SYNC_H

#include "vcpu.h"

/* Take register groups (HVX_REGS_*) from the run page: 0 or -EINVAL, then nothing was taken */
int hvx_sync_from_user(struct hvx_vcpu *vcpu, u64 groups);

/* The registers (RM()) that hvx_sync_to_user() will need for these groups */
u64 hvx_sync_mask(u64 groups);

/* Fill the head of the run page and the wanted register groups in */
void hvx_sync_to_user(struct hvx_vcpu *vcpu, u64 groups);

/* The same for one group and a copy of its own, for the state image */
int hvx_sync_check(const struct hvx_vcpu *vcpu, const struct hvx_run *from, u64 groups);
int hvx_sync_take(struct hvx_vcpu *vcpu, const struct hvx_run *from, u64 groups);
void hvx_sync_fill(struct hvx_vcpu *vcpu, struct hvx_run *to, u64 groups);

#endif
