/* SPDX-License-Identifier: GPL-2.0-only */
/* Port I/O: IN, OUT, INS, OUTS. */
#ifndef HVX_IO_H
#define HVX_IO_H

#include "run.h"

/* The run page is followed by the data page for string I/O */
#define HVX_IO_DATA_OFFSET	PAGE_SIZE
#define HVX_IO_DATA_SIZE	PAGE_SIZE

/* What IN has read goes to AL, AX or EAX */
static __always_inline void hvx_io_put(struct hvx_vcpu *vcpu, u32 width, u32 data)
{
	u64 *rax = &vcpu->regs.gpr[REG_RAX];

	switch (width) {
	case 1:
		*rax = (*rax & ~0xffULL) | (data & 0xff);
		break;
	case 2:
		*rax = (*rax & ~0xffffULL) | (data & 0xffff);
		break;
	default:
		*rax = data;
	}
}

enum hvx_next hvx_handle_io(struct hvx_vcpu *vcpu, struct hvx_exit *x);
enum hvx_next hvx_io_complete(struct hvx_vcpu *vcpu);

#endif
