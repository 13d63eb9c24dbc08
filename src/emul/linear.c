// SPDX-License-Identifier: GPL-2.0-only
/* Intel SDM vol. 3A, "Protection": limit, type and canonical checks of an access to memory. */
#include <linux/errno.h>
#include "cpu/cr.h"
#include "vcpu/event.h"
#include "linear.h"

static void queue_segment_fault(struct hvx_vcpu *vcpu, enum hvx_seg_reg seg)
{
	hvx_queue_exception(vcpu, seg == SEG_SS ? VEC_SS : VEC_GP, true, 0, false, 0);
}

static bool expands_down(const struct hvx_segment *s)
{
	return (s->attr & (SA_S | 0xc)) == (SA_S | 4);
}

static bool within_limit(const struct hvx_segment *s, u64 offset, u32 len)
{
	u64 last = offset + len - 1, top = s->attr & SA_DB ? 0xffffffff : 0xffff;

	if (expands_down(s))
		return offset > s->limit && last <= top;
	return last <= s->limit;
}

static bool type_allows(struct hvx_vcpu *vcpu, const struct hvx_segment *s, bool write)
{
	if (s->attr & SA_UNUSABLE)
		return false;
	if (!(hvx_cr0(vcpu) & CR0_PE) || hvx_rflags(vcpu) & BIT(17))
		return true;
	/* Data segments are always readable, code segments never writable */
	if (s->attr & 8)
		return !write && s->attr & 2;
	return !write || s->attr & 2;
}

static bool canonical(struct hvx_vcpu *vcpu, u64 address)
{
	int shift = hvx_cr4(vcpu) & CR4_LA57 ? 7 : 16;

	return (u64)((s64)(address << shift) >> shift) == address;
}

bool hvx_linear(struct hvx_vcpu *vcpu, enum hvx_seg_reg seg, u64 offset, u32 len, bool write,
		u64 *linear)
{
	const struct hvx_segment *s;

	if (hvx_long_mode(vcpu)) {
		*linear = offset;
		if (seg == SEG_FS || seg == SEG_GS)
			*linear += hvx_segment(vcpu, seg)->base;
		if (canonical(vcpu, *linear) && canonical(vcpu, *linear + len - 1))
			return true;
	} else {
		s = hvx_segment(vcpu, seg);
		*linear = (u32)(s->base + offset);
		if (type_allows(vcpu, s, write) && within_limit(s, offset, len))
			return true;
	}
	queue_segment_fault(vcpu, seg);
	return false;
}

u32 hvx_linear_room(struct hvx_vcpu *vcpu, enum hvx_seg_reg seg, u64 offset, u32 count, u32 width)
{
	const struct hvx_segment *s;

	if (hvx_long_mode(vcpu))
		return count;
	s = hvx_segment(vcpu, seg);
	if (expands_down(s))
		return 1;
	return min_t(u64, count, ((u64)s->limit + 1 - offset) / width);
}

enum hvx_next hvx_linear_fault(struct hvx_vcpu *vcpu, int err, const struct hvx_walk *walk, u64 gva,
			       unsigned int access)
{
	if (err == -EFAULT && !walk->page_size) {
		hvx_queue_pf(vcpu, gva, walk->error_code);
		return HVX_NEXT_ENTER;
	}
	vcpu->run->memory = (struct hvx_exit_memory) {
		.gpa = walk->gpa,
		.access = access & (HVX_READ | HVX_WRITE | HVX_EXEC),
		.error = EFAULT,
	};
	return hvx_exit_error(vcpu, HVX_EXIT_MEMORY_FAULT, -EFAULT);
}
