// SPDX-License-Identifier: GPL-2.0-only
/*
 * Port I/O.
 *
 * IN and OUT of one value carry their data in the exit itself. INS and OUTS move up to a page of
 * it at a time in the page behind the run page; between two parts RIP stays at the instruction and
 * RCX, RSI and RDI say how far it got, as after an interrupt in the middle of REP.
 *
 * OUTS reads guest memory before the exit. INS writes it when the data is there; the destination
 * is walked beforehand so that a page fault comes before the device is asked, as in hardware.
 *
 * Devices in the kernel (irq/bus.c) are asked first. They answer in the window, and strings element
 * by element; what they take does not exit.
 */
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/string.h>
#include "vcpu/event.h"
#include "io.h"
#include "emul/linear.h"
#include "mmu/mmu.h"

#define RFLAGS_DF	BIT(10)

static u64 addr_mask(const struct hvx_exit *x)
{
	switch (x->io.addr_width) {
	case 2:
		return 0xffff;
	case 4:
		return 0xffffffff;
	}
	return ~0ULL;
}

/* A register of a string instruction moves only within its address size */
static void move_reg(struct hvx_vcpu *vcpu, enum hvx_reg_index reg, s64 by, u64 mask)
{
	u64 value = vcpu->regs.gpr[reg];

	/* A 32-bit result clears the upper half, a 16-bit one keeps it */
	if (mask == 0xffff)
		vcpu->regs.gpr[reg] = (value & ~mask) | ((value + by) & mask);
	else
		vcpu->regs.gpr[reg] = (value + by) & mask;
}

/* A device in the kernel takes it? */
static noinline bool to_kernel(struct hvx_vcpu *vcpu, const struct hvx_exit *x)
{
	u32 value = vcpu->regs.gpr[REG_RAX];

	if (!hvx_bus_pio(vcpu, x->io.port, x->io.width, !x->io.in, &value))
		return false;
	if (x->io.in)
		hvx_io_put(vcpu, x->io.width, value);
	return true;
}

static enum hvx_next single(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	if (rcu_access_pointer(vcpu->vm->irq.bus) && to_kernel(vcpu, x))
		return hvx_skip(vcpu, x);
	hvx_io_to_user(vcpu, x->io.port, x->io.width, x->io.in);
	hvx_skip(vcpu, x);
	return HVX_NEXT_USER;
}

/* Elements of a string that can move now: all, or what the data page holds */
static u32 string_count(struct hvx_vcpu *vcpu, const struct hvx_exit *x)
{
	u64 count = vcpu->regs.gpr[REG_RCX] & addr_mask(x);

	if (!x->io.rep)
		return 1;
	return min_t(u64, count, HVX_IO_DATA_SIZE / x->io.width);
}

static s64 string_step(struct hvx_vcpu *vcpu, const struct hvx_exit *x)
{
	return hvx_rflags(vcpu) & RFLAGS_DF ? -(s64)x->io.width : x->io.width;
}

/* Account for @n elements; the instruction is over when nothing is left of RCX */
static void advance(struct hvx_vcpu *vcpu, const struct hvx_exit *x, u32 n)
{
	u64 mask = addr_mask(x);

	move_reg(vcpu, x->io.in ? REG_RDI : REG_RSI, n * string_step(vcpu, x), mask);
	if (x->io.rep)
		move_reg(vcpu, REG_RCX, -(s64)n, mask);
	if (!x->io.rep || !(vcpu->regs.gpr[REG_RCX] & mask))
		hvx_skip(vcpu, x);
}

/*
 * Elements from the current position that lie in one page and can be accessed, at most @count.
 * 0 after a fault was queued; *linear is the lowest address of those elements.
 */
static u32 accessible(struct hvx_vcpu *vcpu, const struct hvx_exit *x, u32 count, u64 *linear)
{
	enum hvx_seg_reg seg = x->io.in ? SEG_ES : x->io.seg;
	u64 offset = vcpu->regs.gpr[x->io.in ? REG_RDI : REG_RSI] & addr_mask(x);
	u32 width = x->io.width, room;

	if (!hvx_linear(vcpu, seg, offset, width, x->io.in, linear))
		return 0;
	/* Backwards, wrapping or crossing: one at a time is rare enough */
	room = (PAGE_SIZE - offset_in_page(*linear)) / width;
	if (string_step(vcpu, x) < 0 || !room || offset + (u64)count * width > addr_mask(x))
		return 1;
	return hvx_linear_room(vcpu, seg, offset, min(count, room), width);
}

/* How many elements, from the first on, a device in the kernel took */
static u32 string_to_kernel(struct hvx_vcpu *vcpu, const struct hvx_exit *x, char *data, u32 n)
{
	u32 i, width = x->io.width;
	u8 element[4];

	for (i = 0; i < n; i++) {
		/* A copy: the VMM may write to the data page */
		memcpy(element, data + i * width, width);
		if (!hvx_bus_pio(vcpu, x->io.port, width, !x->io.in, element))
			break;
		if (x->io.in)
			memcpy(data + i * width, element, width);
	}
	return i;
}

static noinline enum hvx_next string_out(struct hvx_vcpu *vcpu, struct hvx_exit *x, u32 count)
{
	char *data = (char *)vcpu->run + HVX_IO_DATA_OFFSET;
	unsigned int user = hvx_cpl(vcpu) == 3 ? HVX_USER : 0;
	struct hvx_walk walk;
	u64 linear, fault;
	u32 n, taken;
	int err;

	n = accessible(vcpu, x, count, &linear);
	if (!n)
		return HVX_NEXT_ENTER;
	err = hvx_read_gva(vcpu, linear, data, n * x->io.width, HVX_READ | user, &walk, &fault);
	if (err)
		return hvx_linear_fault(vcpu, err, &walk, fault, HVX_READ);
	taken = string_to_kernel(vcpu, x, data, n);
	if (taken) {
		advance(vcpu, x, taken);
		return HVX_NEXT_ENTER;
	}
	/* Of those that follow, the kernel may take some */
	if (hvx_bus_has_port(vcpu->vm, x->io.port))
		n = 1;
	hvx_io_fill(vcpu->run, x->io.port, x->io.width, x->io.in, n, HVX_IO_DATA_OFFSET);
	advance(vcpu, x, n);
	return HVX_NEXT_USER;
}

enum hvx_next hvx_io_string_complete(struct hvx_vcpu *vcpu)
{
	const char *data = (const char *)vcpu->run + HVX_IO_DATA_OFFSET;
	unsigned int user = hvx_cpl(vcpu) == 3 ? HVX_USER : 0;
	struct hvx_exit *x = &vcpu->exit;
	u32 n = vcpu->pending_count;
	struct hvx_walk walk;
	u64 fault;
	int err;

	err = hvx_write_gva(vcpu, vcpu->pending_linear, data, n * x->io.width, HVX_WRITE | user,
			    &walk, &fault);
	if (err)
		return hvx_linear_fault(vcpu, err, &walk, fault, HVX_WRITE);
	advance(vcpu, x, n);
	return HVX_NEXT_ENTER;
}

static noinline enum hvx_next string_in(struct hvx_vcpu *vcpu, struct hvx_exit *x, u32 count)
{
	char *data = (char *)vcpu->run + HVX_IO_DATA_OFFSET;
	unsigned int user = hvx_cpl(vcpu) == 3 ? HVX_USER : 0;
	struct hvx_walk walk;
	enum hvx_next next;
	u64 linear;
	u32 n;
	int err;

	n = accessible(vcpu, x, count, &linear);
	if (!n)
		return HVX_NEXT_ENTER;
	err = hvx_walk_gva(vcpu, linear, HVX_WRITE | user, &walk);
	if (err || !walk.page_size)
		return hvx_linear_fault(vcpu, err ?: -EFAULT, &walk, linear, HVX_WRITE);
	vcpu->pending_linear = linear;
	vcpu->pending_count = string_to_kernel(vcpu, x, data, n);
	if (vcpu->pending_count) {
		next = hvx_io_string_complete(vcpu);
		/* The device has given its data: the next HVX_RUN must not ask it again */
		if (next == HVX_NEXT_ERROR)
			vcpu->pending = HVX_PENDING_IO_STRING;
		return next;
	}
	vcpu->pending_count = n;
	vcpu->pending = HVX_PENDING_IO_STRING;
	hvx_io_fill(vcpu->run, x->io.port, x->io.width, x->io.in, n, HVX_IO_DATA_OFFSET);
	return HVX_NEXT_USER;
}

enum hvx_next hvx_handle_io(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	u32 count;

	if (!x->io.string)
		return single(vcpu, x);
	if (hvx_in_window(vcpu))
		return HVX_NEXT_PROCESS;
	count = string_count(vcpu, x);
	if (!count)
		return hvx_skip(vcpu, x);
	return x->io.in ? string_in(vcpu, x, count) : string_out(vcpu, x, count);
}
