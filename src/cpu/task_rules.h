/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Descriptors in a task switch: what they say, and which exception they raise. No vCPU is known
 * here, so that it builds in user space for its test.
 */
#ifndef HVX_TASK_RULES_H
#define HVX_TASK_RULES_H

#include "vcpu/regs.h"

#define TASK_NULL(selector)	(!((selector) & 0xfffc))

/* System descriptors: "Segment Descriptor Types"; the busy bit is that of the type */
#define TASK_BUSY		0x2
#define TASK_TSS32		0x8

/* Bytes of a TSS that the processor uses: "32-Bit" and "16-Bit Task-State Segment (TSS)" */
#define TASK_TSS32_SIZE		104
#define TASK_TSS16_SIZE		44

struct hvx_segment hvx_task_unpack(u16 selector, u64 descriptor);

static inline bool hvx_task_is_wide(const struct hvx_segment *tss)
{
	return tss->attr & TASK_TSS32;
}

static inline u32 hvx_task_size(const struct hvx_segment *tss)
{
	return hvx_task_is_wide(tss) ? TASK_TSS32_SIZE : TASK_TSS16_SIZE;
}

/*
 * Intel SDM vol. 3A, "Exception Conditions Checked During a Task Switch": the vector of the
 * exception, whose error code is the selector; 0 for none.
 */
u8 hvx_task_check_tss(const struct hvx_segment *s, bool iret);
u8 hvx_task_check_ldt(const struct hvx_segment *s);
u8 hvx_task_check_code(const struct hvx_segment *s);
u8 hvx_task_check_stack(const struct hvx_segment *s, unsigned int cpl);
u8 hvx_task_check_data(const struct hvx_segment *s, unsigned int cpl);

#endif
