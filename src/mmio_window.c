// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plain MOV to or from a device in the kernel, finished in the window.
 *
 * That is what drivers do to doorbells, to the I/O APIC and to local APICs in xAPIC mode, and it
 * needs none of what mmio.c is for: the processor has checked the segment and walked the page
 * tables, and said where the access goes. What is left is its width and the register.
 *
 * All else (other instructions, accesses across a page or unaligned, code that is not at hand)
 * takes the long way, which has changed nothing by then.
 */
#include "insn.h"
#include "irq/lapic.h"
#include "mmio.h"
#include "mmu/slots.h"
#include "run.h"

#define RFLAGS_RF	BIT(16)

/* A device may be there, and no memory is */
static bool is_device(struct hvx_vcpu *vcpu, u64 gpa)
{
	struct hvx_vm *vm = vcpu->vm;
	bool memory;
	int idx;

	if (!hvx_lapic_covers(vcpu, gpa) && !hvx_bus_covers(vm, gpa))
		return false;
	idx = srcu_read_lock(&vm->srcu);
	memory = hvx_slot_find(hvx_slots(vm), gpa);
	srcu_read_unlock(&vm->srcu, idx);
	return !memory;
}

/* MOV and MOVZX between memory and a general register, or of an immediate value to memory */
static bool is_plain(const struct hvx_insn *insn, bool write)
{
	if (insn->op != INSN_MOV && insn->op != INSN_MOVZX)
		return false;
	if (write)
		return insn->dst.kind == OPD_MEM &&
		       (insn->src.kind == OPD_GPR || insn->src.kind == OPD_IMM);
	return insn->src.kind == OPD_MEM && insn->dst.kind == OPD_GPR;
}

/*
 * Is this the access of the exit, and all of it? An access that crosses a page faults on either,
 * and the bytes of the instruction may have changed since.
 */
static bool is_access(struct hvx_vcpu *vcpu, const struct hvx_insn *insn, u64 gpa, u32 size)
{
	u64 linear = hvx_insn_offset(vcpu, insn);

	if (insn->mode != HVX_INSN_64 || insn->mem.seg >= SEG_FS)
		linear += hvx_segment(vcpu, insn->mem.seg)->base;
	/* Aligned, it neither crosses a page nor raises #AC */
	return !((linear ^ gpa) & ~PAGE_MASK) && !(gpa & (size - 1));
}

/* Registers of 8 and 16 bits keep the rest, those of 32 bits clear it */
static void load(struct hvx_vcpu *vcpu, const struct hvx_operand *dst, u64 value)
{
	u64 old = hvx_gpr(vcpu, dst->reg);

	if (dst->size == 1)
		value |= old & ~0xffULL;
	else if (dst->size == 2)
		value |= old & ~0xffffULL;
	hvx_set_gpr(vcpu, dst->reg, value);
}

static bool ask(struct hvx_vcpu *vcpu, u64 gpa, u32 len, bool write, u64 *data)
{
	return hvx_lapic_mmio(vcpu, gpa, len, write, data) ||
	       hvx_bus_mmio(vcpu, gpa, len, write, data);
}

static bool move(struct hvx_vcpu *vcpu, const struct hvx_insn *insn, u64 gpa, bool write)
{
	u32 size = write ? insn->dst.size : insn->src.size;
	u64 data = 0;

	if (!is_plain(insn, write) || !is_access(vcpu, insn, gpa, size))
		return false;
	if (write)
		data = insn->src.kind == OPD_IMM ? insn->imm : hvx_gpr(vcpu, insn->src.reg);
	if (!ask(vcpu, gpa, size, write, &data))
		return false;
	if (!write)
		load(vcpu, &insn->dst, data);
	return true;
}

int hvx_mmio_window(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	const struct hvx_insn *insn;

	if (x->fault.walk || x->fault.access & HVX_EXEC || vcpu->inject.type != HVX_EVENT_NONE ||
	    !is_device(vcpu, x->fault.gpa))
		return -1;
	insn = hvx_insn_at_hand(vcpu, x);
	if (!insn || !move(vcpu, insn, x->fault.gpa, x->fault.access & HVX_WRITE))
		return -1;
	/* An exit of a fault may leave it set */
	if (hvx_rflags(vcpu) & RFLAGS_RF) {
		vcpu->regs.rflags &= ~(u64)RFLAGS_RF;
		hvx_changed(vcpu, RM(RFLAGS));
	}
	x->insn_len = insn->len;
	return hvx_skip(vcpu, x);
}
