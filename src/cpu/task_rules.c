// SPDX-License-Identifier: GPL-2.0-only
/* Descriptors in a task switch: see task_rules.h. */
#include "vcpu/event.h"
#include "task_rules.h"

#define TYPE_CODE	0x8
#define TYPE_CONFORMING	0x4	/* of code */
#define TYPE_RW		0x2	/* code: readable, data: writable */
#define SYS_LDT		0x2
#define SYS_TSS16	0x1	/* and busy: 3; 32 bits wide: 9 and 11 */

static unsigned int dpl(const struct hvx_segment *s)
{
	return (s->attr & SA_DPL) >> SA_DPL_SHIFT;
}

static unsigned int rpl(const struct hvx_segment *s)
{
	return s->selector & 3;
}

/* "Segment Descriptors" */
struct hvx_segment hvx_task_unpack(u16 selector, u64 descriptor)
{
	u32 low = descriptor, high = descriptor >> 32;
	struct hvx_segment s = {
		.selector = selector,
		.base = (low >> 16) | (high & 0xff) << 16 | (high & 0xff000000),
		.limit = (low & 0xffff) | (high & 0xf0000),
		.attr = (high >> 8 & 0xff) | (high >> 12 & 0xf00),
	};

	if (s.attr & SA_G)
		s.limit = s.limit << 12 | 0xfff;
	return s;
}

/* IRET goes back to a task that is busy, all others to one that is not */
u8 hvx_task_check_tss(const struct hvx_segment *s, bool iret)
{
	u16 type = s->attr & (SA_TYPE | SA_S);
	u8 wrong = iret ? VEC_TS : VEC_GP;

	if (s->selector & 4 || TASK_NULL(s->selector))
		return wrong;
	if ((type & ~(TASK_TSS32 | TASK_BUSY)) != SYS_TSS16 || !!(type & TASK_BUSY) != iret)
		return wrong;
	if (!(s->attr & SA_P))
		return VEC_NP;
	return s->limit < hvx_task_size(s) - 1 ? VEC_TS : 0;
}

u8 hvx_task_check_ldt(const struct hvx_segment *s)
{
	if (s->selector & 4 || (s->attr & (SA_TYPE | SA_S)) != SYS_LDT)
		return VEC_TS;
	return s->attr & SA_P ? 0 : VEC_TS;
}

/* The RPL of the new CS is the new CPL, whatever the old one was */
u8 hvx_task_check_code(const struct hvx_segment *s)
{
	if (TASK_NULL(s->selector) || !(s->attr & SA_S) || !(s->attr & TYPE_CODE))
		return VEC_TS;
	if (s->attr & TYPE_CONFORMING ? dpl(s) > rpl(s) : dpl(s) != rpl(s))
		return VEC_TS;
	return s->attr & SA_P ? 0 : VEC_NP;
}

u8 hvx_task_check_stack(const struct hvx_segment *s, unsigned int cpl)
{
	if (TASK_NULL(s->selector) || !(s->attr & SA_S) || s->attr & TYPE_CODE ||
	    !(s->attr & TYPE_RW))
		return VEC_TS;
	if (!(s->attr & SA_P))
		return VEC_SS;
	return dpl(s) != cpl || rpl(s) != cpl ? VEC_TS : 0;
}

u8 hvx_task_check_data(const struct hvx_segment *s, unsigned int cpl)
{
	bool code = s->attr & TYPE_CODE;

	if (!(s->attr & SA_S) || (code && !(s->attr & TYPE_RW)))
		return VEC_TS;
	if (!(code && s->attr & TYPE_CONFORMING) && (dpl(s) < cpl || dpl(s) < rpl(s)))
		return VEC_TS;
	return s->attr & SA_P ? 0 : VEC_NP;
}
