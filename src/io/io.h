/* SPDX-License-Identifier: GPL-2.0-only */
/* Port I/O: IN, OUT, INS, OUTS. */
#ifndef HVX_IO_H
#define HVX_IO_H

#include "vcpu/run.h"

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

/* The run page's side of an exit for @count values at @offset */
static __always_inline void hvx_io_fill(struct hvx_run *run, u16 port, u32 width, bool in,
					u32 count, u32 offset)
{
	struct hvx_exit_io *io = &run->io;

	io->port = port;
	io->width = width;
	io->write = !in;
	io->count = count;
	io->data_offset = offset;
	run->exit_reason = HVX_EXIT_IO;
}

/* IN or OUT of one value, past which the guest already is, becomes the VMM's */
static __always_inline void hvx_io_to_user(struct hvx_vcpu *vcpu, u16 port, u32 width, bool in)
{
	u32 value = vcpu->regs.gpr[REG_RAX];
	struct hvx_run *run = vcpu->run;

	hvx_io_fill(run, port, width, in, 1, offsetof(struct hvx_run, io.data));
	if (in) {
		run->io.data = 0;
		vcpu->exit.io.width = width;
		vcpu->pending = HVX_PENDING_IO_IN;
	} else {
		run->io.data = value & ((1ULL << 8 * width) - 1);
	}
}

/* HVX_PENDING_IO_IN: the VMM answered. It is over. */
static __always_inline void hvx_io_in_complete(struct hvx_vcpu *vcpu)
{
	hvx_io_put(vcpu, vcpu->exit.io.width, READ_ONCE(vcpu->run->io.data));
}

enum hvx_next hvx_handle_io(struct hvx_vcpu *vcpu, struct hvx_exit *x);

/* HVX_PENDING_IO_STRING. Context: process, vm->srcu. */
enum hvx_next hvx_io_string_complete(struct hvx_vcpu *vcpu);

#endif
