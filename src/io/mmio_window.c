// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plain MOV to or from a device, without the emulator.
 *
 * That is what drivers do to doorbells, to the I/O APIC, to local APICs in xAPIC mode and to the
 * VMM's devices, and it needs none of what mmio.c is for: the processor has checked the segment and
 * walked the page tables, and said where the access goes. What is left is its width and the
 * register. Devices in the kernel answer in the window; for the VMM's the run page is filled in
 * there, and hvx_mmio_move_complete() ends the instruction.
 *
 * All else (other instructions, accesses across a page or unaligned, code that is not at hand)
 * takes the long way, which has changed nothing by then.
 */
#include "emul/alu.h"
#include "emul/insn.h"
#include "irq/lapic.h"
#include "mmio.h"
#include "vcpu/run.h"

static bool in_kernel(struct hvx_vcpu *vcpu, u64 gpa)
{
	return hvx_lapic_covers(vcpu, gpa) || hvx_bus_covers(vcpu->vm, gpa);
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

static enum hvx_next to_user(struct hvx_vcpu *vcpu, u64 gpa, u32 len, bool write, u64 data)
{
	struct hvx_exit_mmio mmio = { .gpa = gpa, .len = len, .write = write };

	memcpy(mmio.data, &data, sizeof(data));
	vcpu->run->mmio = mmio;
	vcpu->emul.rip = vcpu->regs.rip;
	vcpu->pending = HVX_PENDING_MOVE;
	return hvx_exit_user(vcpu, HVX_EXIT_MMIO);
}

static int move(struct hvx_vcpu *vcpu, const struct hvx_insn *insn, u64 gpa, bool write,
		bool kernel)
{
	u32 size = write ? insn->dst.size : insn->src.size;
	u64 data = 0;

	if (!is_plain(insn, write) || !is_access(vcpu, insn, gpa, size))
		return -1;
	vcpu->exit.insn_len = insn->len;
	if (write)
		data = insn->src.kind == OPD_IMM ? insn->imm : hvx_gpr(vcpu, insn->src.reg);
	if (!kernel || !ask(vcpu, gpa, size, write, &data))
		return to_user(vcpu, gpa, size, write, data & hvx_size_mask(size));
	if (!write)
		load(vcpu, &insn->dst, data);
	return hvx_skip(vcpu, &vcpu->exit);
}

int hvx_mmio_window(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	u64 gpa = x->fault.gpa;
	bool kernel = in_kernel(vcpu, gpa);
	const struct hvx_insn *insn;

	/* Most faults are of memory, until regions are searched once: spare them the rest */
	if (!(kernel ? hvx_mmu_hole(vcpu, gpa) : hvx_mmu_known_hole(vcpu, gpa)))
		return -1;
	if (x->fault.walk || x->fault.access & HVX_EXEC || vcpu->inject.type != HVX_EVENT_NONE)
		return -1;
	/* All that follows needs, at once: one by one costs more than the registers themselves */
	hvx_need(vcpu, HVX_FETCH_REGS | RM(RSP) | RM(RFLAGS) | RM(SHADOW));
	insn = hvx_insn_at_hand(vcpu, x);
	return insn ? move(vcpu, insn, gpa, x->fault.access & HVX_WRITE, kernel) : -1;
}

void hvx_mmio_move_complete(struct hvx_vcpu *vcpu)
{
	const struct hvx_insn *insn = &vcpu->emul.last.insn;
	u64 data;

	/* The VMM sent the guest elsewhere */
	if (hvx_rip(vcpu) != vcpu->emul.rip)
		return;
	if (insn->src.kind == OPD_MEM) {
		memcpy(&data, vcpu->run->mmio.data, sizeof(data));
		load(vcpu, &insn->dst, data & hvx_size_mask(insn->src.size));
	}
	hvx_skip(vcpu, &vcpu->exit);
}
