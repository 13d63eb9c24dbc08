/* SPDX-License-Identifier: GPL-2.0-only */
/* From segment and offset to a linear address, with the checks and faults of the architecture. */
#ifndef HVX_LINEAR_H
#define HVX_LINEAR_H

#include "mmu/mmu.h"
#include "vcpu/run.h"

/* false: #GP or #SS was queued */
bool hvx_linear(struct hvx_vcpu *vcpu, enum hvx_seg_reg seg, u64 offset, u32 len, bool write,
		u64 *linear);

/* Of @count elements of @width bytes from @offset on, how many lie within the segment's limit */
u32 hvx_linear_room(struct hvx_vcpu *vcpu, enum hvx_seg_reg seg, u64 offset, u32 count, u32 width);

/* What hvx_read_gva() and friends could not do: a page fault for the guest, or an exit */
enum hvx_next hvx_linear_fault(struct hvx_vcpu *vcpu, int err, const struct hvx_walk *walk, u64 gva,
			       unsigned int access);

#endif
