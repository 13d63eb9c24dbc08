// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each kind of exit means, once for both vendors.
 *
 *   hvx_handle_exit()	dispatch; runs in the window, and again in process context for what the
 *			window cannot do
 *   hvx_complete()	the other half of exits that the VMM answered
 *
 * A handler either finishes and returns HVX_NEXT_ENTER, or changes nothing and asks for process
 * context, or fills the run page in.
 */
#include <linux/errno.h>
#include <linux/string.h>
#include "cpu/cpuid.h"
#include "cpu/cr.h"
#include "cpu/debug.h"
#include "cpu/entry_check.h"
#include "event.h"
#include "fast.h"
#include "emul/insn.h"
#include "io/io.h"
#include "emul/linear.h"
#include "io/mmio.h"
#include "cpu/msr.h"
#include "run.h"
#include "cpu/task.h"
#include "wait.h"

#define RFLAGS_TF	BIT(8)
#define RFLAGS_RF	BIT(16)

/* RF is over with its instruction. Single step, by the guest or the VMM. */
static noinline enum hvx_next flags_at_end(struct hvx_vcpu *vcpu)
{
	if (vcpu->regs.rflags & RFLAGS_RF) {
		vcpu->regs.rflags &= ~(u64)RFLAGS_RF;
		hvx_changed(vcpu, RM(RFLAGS));
	}
	if (!(vcpu->regs.rflags & RFLAGS_TF || vcpu->debug.control & HVX_DEBUG_STEP))
		return HVX_NEXT_ENTER;
	if (vcpu->debug.control & HVX_DEBUG_STEP) {
		hvx_request(vcpu, HVX_REQ_STEPPED);
		return HVX_NEXT_LEAVE;
	}
	hvx_queue_exception(vcpu, VEC_DB, false, 0, true, DR6_BS);
	return HVX_NEXT_ENTER;
}

enum hvx_next hvx_skip(struct hvx_vcpu *vcpu, const struct hvx_exit *x)
{
	struct hvx_regs *regs = &vcpu->regs;
	u64 rip, next;

	hvx_need(vcpu, RM(RIP) | RM(SHADOW) | RM(RFLAGS));
	rip = regs->rip;
	next = rip + x->insn_len;
	/* Only in 64-bit mode is there an address above 4 GiB to go on at */
	if (unlikely((next ^ rip) >> 32) && !hvx_long_mode(vcpu))
		next = (u32)next;
	regs->rip = next;
	regs->dirty |= RM(RIP);
	if (unlikely(regs->shadow & (SHADOW_STI | SHADOW_MOV_SS))) {
		regs->shadow &= ~(SHADOW_STI | SHADOW_MOV_SS);
		regs->dirty |= RM(SHADOW);
	}
	if (unlikely(regs->rflags & (RFLAGS_TF | RFLAGS_RF) ||
		     vcpu->debug.control & HVX_DEBUG_STEP))
		return flags_at_end(vcpu);
	return HVX_NEXT_ENTER;
}

/* ----------------------------------------------- what the processor did not say */

/* Kinds that end with hvx_skip() */
#define NEEDS_LENGTH							\
	(BIT(XK_CPUID) | BIT(XK_HLT) | BIT(XK_PAUSE) | BIT(XK_RDMSR) |	\
	 BIT(XK_WRMSR) | BIT(XK_HYPERCALL) | BIT(XK_IO) | BIT(XK_CR) |	\
	 BIT(XK_DR) | BIT(XK_XSETBV) | BIT(XK_RDPMC) | BIT(XK_INVD))

static bool fill_cr(struct hvx_exit *x, const struct hvx_insn *insn)
{
	switch (insn->op) {
	case INSN_CLTS:
		x->cr.op = CR_OP_CLTS;
		return true;
	case INSN_LMSW:
		x->cr.op = CR_OP_LMSW;
		return insn->dst.kind == OPD_GPR || insn->src.kind == OPD_GPR;
	case INSN_MOV_CR:
		break;
	default:
		return false;
	}
	if (insn->dst.kind == OPD_CR) {
		x->cr.op = CR_OP_WRITE;
		x->cr.cr = insn->dst.reg;
		x->cr.gpr = insn->src.reg;
	} else {
		x->cr.op = CR_OP_READ;
		x->cr.cr = insn->src.reg;
		x->cr.gpr = insn->dst.reg;
	}
	return true;
}

static bool fill_dr(struct hvx_exit *x, const struct hvx_insn *insn)
{
	if (insn->op != INSN_MOV_DR)
		return false;
	x->dr.write = insn->dst.kind == OPD_DR;
	x->dr.dr = x->dr.write ? insn->dst.reg : insn->src.reg;
	x->dr.gpr = x->dr.write ? insn->src.reg : insn->dst.reg;
	return true;
}

/* LMSW takes its operand from memory or a register */
static int fill_lmsw(struct hvx_vcpu *vcpu, struct hvx_exit *x, const struct hvx_insn *insn)
{
	const struct hvx_operand *opd = insn->src.kind != OPD_NONE ? &insn->src : &insn->dst;
	struct hvx_walk walk;
	u64 linear, fault;

	if (opd->kind == OPD_GPR) {
		x->cr.msw = hvx_gpr(vcpu, opd->reg);
		return 0;
	}
	if (hvx_in_window(vcpu))
		return -EAGAIN;
	if (!hvx_linear(vcpu, insn->mem.seg, hvx_insn_offset(vcpu, insn), 2, false, &linear))
		return 1;
	if (hvx_read_gva(vcpu, linear, &x->cr.msw, 2, HVX_READ, &walk, &fault)) {
		hvx_queue_pf(vcpu, fault, walk.error_code);
		return 1;
	}
	return 0;
}

/* SMSW exits where the backend hides bits of CR0. It needs no privilege, and is done here. */
static int do_smsw(struct hvx_vcpu *vcpu, struct hvx_exit *x, const struct hvx_insn *insn)
{
	unsigned int user = hvx_cpl(vcpu) == 3 ? HVX_USER : 0;
	u64 cr0 = hvx_cr0(vcpu), linear, fault;
	struct hvx_walk walk;
	int err;

	x->cr.op = CR_OP_SMSW;
	if (insn->dst.kind == OPD_GPR) {
		if (insn->dst.size == 2)
			cr0 = (hvx_gpr(vcpu, insn->dst.reg) & ~0xffffULL) | (cr0 & 0xffff);
		else if (insn->dst.size == 4)
			cr0 = (u32)cr0;
		hvx_set_gpr(vcpu, insn->dst.reg, cr0);
		return 0;
	}
	if (hvx_in_window(vcpu))
		return -EAGAIN;
	if (!hvx_linear(vcpu, insn->mem.seg, hvx_insn_offset(vcpu, insn), 2, true, &linear))
		return 1;
	err = hvx_write_gva(vcpu, linear, &cr0, 2, HVX_WRITE | user, &walk, &fault);
	if (!err)
		return 0;
	if (walk.page_size)
		return -EOPNOTSUPP;
	hvx_queue_pf(vcpu, fault, walk.error_code);
	return 1;
}

static int fill_operands(struct hvx_vcpu *vcpu, struct hvx_exit *x, const struct hvx_insn *insn)
{
	if (x->decode & XD_IO) {
		x->io.seg = insn->seg == HVX_NO_REG ? SEG_DS : insn->seg;
		x->io.addr_width = insn->addr_size;
	}
	if (!(x->decode & XD_OPERANDS))
		return 0;
	if (x->kind == XK_CR && insn->op == INSN_LMSW) {
		x->cr.op = CR_OP_LMSW;
		return fill_lmsw(vcpu, x, insn);
	}
	if (x->kind == XK_CR && insn->op == INSN_SMSW)
		return do_smsw(vcpu, x, insn);
	if (x->kind == XK_CR ? fill_cr(x, insn) : fill_dr(x, insn))
		return 0;
	/* The bytes are no longer what the processor saw: let it look again */
	return 1;
}

static enum hvx_next undecodable(struct hvx_vcpu *vcpu)
{
	struct hvx_exit_emulation *e = &vcpu->run->emulation;

	memset(e, 0, sizeof(*e));
	e->rip = hvx_rip(vcpu);
	e->insn_len = hvx_insn_bytes(vcpu, e->insn);
	return hvx_exit_user(vcpu, HVX_EXIT_EMULATION);
}

/*
 * -1: all that the handler needs is in @x. Otherwise enum hvx_next: process context, the guest
 * again (an exception was queued, or the bytes changed under us), or user space.
 */
static noinline int learn_insn(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	struct hvx_insn insn;
	int err;

	err = hvx_insn_fetch(vcpu, &insn);
	if (!err)
		err = fill_operands(vcpu, x, &insn);
	if (likely(!err)) {
		if (!x->insn_len)
			x->insn_len = insn.len;
		x->decode = 0;
		return -1;
	}
	if (err > 0)
		return HVX_NEXT_ENTER;
	if (hvx_in_window(vcpu))
		return HVX_NEXT_PROCESS;
	return undecodable(vcpu);
}

/* ----------------------------------------------------------------- handlers */

static noinline enum hvx_next handle_hlt(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	enum hvx_next next = hvx_skip(vcpu, x);

	/* What waits ends HLT at once: no need to leave */
	if (hvx_wakes_up(vcpu))
		return next;
	vcpu->halted = true;
	if (!vcpu->lapic)
		return hvx_exit_user(vcpu, HVX_EXIT_HLT);
	hvx_wait_update(vcpu);
	return HVX_NEXT_LEAVE;
}

static enum hvx_next system_event(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	u32 type = vcpu->regs.gpr[REG_RBX];

	if (type < HVX_SYSTEM_POWER_OFF || type > HVX_SYSTEM_CRASH) {
		vcpu->regs.gpr[REG_RAX] = -EINVAL;
		return hvx_skip(vcpu, x);
	}
	vcpu->run->system = (struct hvx_exit_system) {
		.type = type,
		.data = vcpu->regs.gpr[REG_RCX],
	};
	vcpu->regs.gpr[REG_RAX] = 0;
	hvx_skip(vcpu, x);
	return hvx_exit_user(vcpu, HVX_EXIT_SYSTEM_EVENT);
}

static noinline enum hvx_next handle_hypercall(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	struct hvx_exit_hypercall *hc = &vcpu->run->hypercall;
	u64 *gpr = vcpu->regs.gpr, mask;
	bool wide;

	if ((u32)gpr[REG_RAX] == HVX_HC_SYSTEM_EVENT && !hvx_cpl(vcpu))
		return system_event(vcpu, x);
	if ((u32)gpr[REG_RAX] <= HVX_PV_LAST_HYPERCALL && vcpu->pv_features) {
		int next = hvx_pv_hypercall(vcpu, x);

		if (next >= 0)
			return next;
	}
	if (!(vcpu->vm->flags & HVX_VM_HYPERCALL_EXIT)) {
		gpr[REG_RAX] = -HVX_HC_ENOSYS;
		return hvx_skip(vcpu, x);
	}
	/* In one go, what mode and privilege are in */
	hvx_need(vcpu, RM(EFER) | RM_SEG(SEG_CS) | RM_SEG(SEG_SS));
	wide = hvx_long_mode(vcpu);
	mask = wide ? ~0ULL : U32_MAX;
	*hc = (struct hvx_exit_hypercall) {
		.nr = gpr[REG_RAX] & mask,
		.args = { gpr[REG_RBX] & mask, gpr[REG_RCX] & mask, gpr[REG_RDX] & mask,
			  gpr[REG_RSI] & mask, gpr[REG_RDI] & mask, gpr[REG_RBP] & mask },
		.long_mode = wide,
		.cpl = hvx_cpl(vcpu),
	};
	vcpu->pending = HVX_PENDING_HYPERCALL;
	return hvx_exit_user(vcpu, HVX_EXIT_HYPERCALL);
}

static enum hvx_next memory_fault(struct hvx_vcpu *vcpu, const struct hvx_exit *x,
				  const struct hvx_fault_info *info)
{
	vcpu->run->memory = (struct hvx_exit_memory) {
		.gpa = x->fault.gpa,
		.hva = info->hva,
		.access = x->fault.access,
		.error = -info->error,
	};
	return hvx_exit_error(vcpu, HVX_EXIT_MEMORY_FAULT, -EFAULT);
}

static enum hvx_next from_mmio(struct hvx_vcpu *vcpu, int r)
{
	if (r > 0)
		return HVX_NEXT_ENTER;
	if (r == 0)
		return HVX_NEXT_USER;
	/* -EFAULT comes with HVX_EXIT_MEMORY_FAULT and its details */
	if (r != -EFAULT)
		vcpu->run->exit_reason = HVX_EXIT_NONE;
	vcpu->run_error = r;
	return HVX_NEXT_ERROR;
}

static enum hvx_next fault_in_window(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	enum hvx_fault_result result = HVX_FAULT_MMIO;
	int next;

	if (x->fault.present && x->fault.access & HVX_WRITE &&
	    hvx_mmu_allow_write(vcpu, x->fault.gpa))
		return HVX_NEXT_ENTER;
	if (hvx_apic_page_missing(vcpu, x->fault.gpa))
		return HVX_NEXT_PROCESS;
	next = hvx_mmio_window(vcpu, x);
	if (next >= 0)
		return next;
	if (!hvx_mmu_known_hole(vcpu, x->fault.gpa))
		result = hvx_mmu_fault_window(vcpu, x->fault.gpa, x->fault.access);
	if (likely(result == HVX_FAULT_MAPPED))
		return HVX_NEXT_ENTER;
	/* The instruction is at hand here, not in process context */
	if (result == HVX_FAULT_MMIO)
		hvx_insn_prefetch(vcpu, x);
	return HVX_NEXT_PROCESS;
}

static noinline enum hvx_next handle_fault(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	struct hvx_fault_info info = { };

	if (hvx_in_window(vcpu))
		return fault_in_window(vcpu, x);
	if (hvx_apic_page_missing(vcpu, x->fault.gpa) && hvx_apic_page_map(vcpu->vm))
		return HVX_NEXT_ENTER;
	if (hvx_mmu_known_hole(vcpu, x->fault.gpa))
		return from_mmio(vcpu, hvx_mmio(vcpu, x));
	switch (hvx_mmu_fault(vcpu, x->fault.gpa, x->fault.access, &info)) {
	case HVX_FAULT_MAPPED:
		return HVX_NEXT_ENTER;
	case HVX_FAULT_MMIO:
		return from_mmio(vcpu, hvx_mmio(vcpu, x));
	case HVX_FAULT_RETRY:
		/* The loop sees the signal */
		return HVX_NEXT_ENTER;
	default:
		return memory_fault(vcpu, x, &info);
	}
}

/* VMCALL on AMD-V and VMMCALL on VT-x are undefined to the processor, and hypercalls to us */
static noinline enum hvx_next handle_ud(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	struct hvx_insn insn;
	int err;

	err = hvx_insn_fetch(vcpu, &insn);
	if (err < 0 && hvx_in_window(vcpu))
		return HVX_NEXT_PROCESS;
	if (err > 0)
		return HVX_NEXT_ENTER;
	if (!err && (insn.op == INSN_VMCALL || insn.op == INSN_VMMCALL)) {
		x->insn_len = insn.len;
		return handle_hypercall(vcpu, x);
	}
	hvx_queue_ud(vcpu);
	return HVX_NEXT_ENTER;
}

static enum hvx_next handle_exception(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	switch (x->exc.vector) {
	case VEC_UD:
		return handle_ud(vcpu, x);
	case VEC_DB:
		return hvx_handle_db(vcpu, x);
	case VEC_BP:
		return hvx_handle_bp(vcpu, x);
	}
	hvx_queue_exception(vcpu, x->exc.vector, x->exc.has_error, x->exc.error,
			    x->exc.vector == VEC_PF, x->exc.payload);
	/* It may exit again in its own delivery, for ever: let the host in between */
	return HVX_NEXT_LEAVE;
}

static enum hvx_next handle_window(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	hvx_request(vcpu, HVX_REQ_EVENT);
	if (x->kind == XK_IRQ_WINDOW && !vcpu->acked_pending && !vcpu->irq_pending &&
	    vcpu->want_irq_window)
		return hvx_exit_user(vcpu, HVX_EXIT_IRQ_WINDOW);
	if (x->kind == XK_NMI_WINDOW && !vcpu->nmi_pending && vcpu->want_nmi_window)
		return hvx_exit_user(vcpu, HVX_EXIT_NMI_WINDOW);
	return HVX_NEXT_ENTER;
}

static noinline enum hvx_next entry_failed(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	struct hvx_entry_failure failure = { };
	struct hvx_exit_unknown raw = {
		.hw_reason = x->raw.reason,
		.hw_detail = x->raw.detail,
	};

	if (hvx_in_window(vcpu))
		return HVX_NEXT_PROCESS;
	hvx_ops->check_entry(vcpu, &failure);
	hvx_entry_explain(vcpu, &failure, raw.hw_reason, raw.hw_detail);
	return hvx_exit_user(vcpu, HVX_EXIT_ENTRY_FAILED);
}

static enum hvx_next unknown(struct hvx_vcpu *vcpu, const struct hvx_exit *x)
{
	vcpu->run->unknown = (struct hvx_exit_unknown) {
		.hw_reason = x->raw.reason,
		.hw_detail = x->raw.detail,
		.hw_detail2 = x->raw.detail2,
	};
	return hvx_exit_user(vcpu, HVX_EXIT_UNKNOWN);
}

/* The guest spins: another vCPU that it waits for may want a CPU */
static enum hvx_next handle_pause(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	if (READ_ONCE(vcpu->vm->nr_vcpus) > 1) {
		if (hvx_in_window(vcpu))
			return HVX_NEXT_PROCESS;
		hvx_yield(vcpu);
	}
	return hvx_skip(vcpu, x);
}

/* These exits come after the instruction: to a VMM that steps, it is over */
static enum hvx_next after_insn(struct hvx_vcpu *vcpu)
{
	if (likely(!(vcpu->debug.control & HVX_DEBUG_STEP)))
		return HVX_NEXT_ENTER;
	hvx_request(vcpu, HVX_REQ_STEPPED);
	return HVX_NEXT_LEAVE;
}

static enum hvx_next handle_apic(struct hvx_vcpu *vcpu, const struct hvx_exit *x)
{
	switch (x->kind) {
	case XK_APIC_WRITE:
		hvx_lapic_written(vcpu, x->apic.offset);
		break;
	case XK_APIC_EOI:
		hvx_lapic_ended(vcpu, x->apic.vector);
		break;
	default:
		hvx_request(vcpu, HVX_REQ_EVENT);
	}
	return after_insn(vcpu);
}

static noinline enum hvx_next rare(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	switch (x->kind) {
	case XK_CR:
		return hvx_handle_cr(vcpu, x);
	case XK_DR:
		return hvx_handle_dr(vcpu, x);
	case XK_EXCEPTION:
		return handle_exception(vcpu, x);
	case XK_XSETBV:
		return hvx_handle_xsetbv(vcpu, x);
	case XK_PAUSE:
		return handle_pause(vcpu, x);
	case XK_INVD:
		return hvx_skip(vcpu, x);
	case XK_RDPMC:
		hvx_queue_gp(vcpu, 0);
		return HVX_NEXT_ENTER;
	case XK_MWAIT:
	case XK_UNDEFINED:
		hvx_queue_ud(vcpu);
		return HVX_NEXT_ENTER;
	case XK_IRQ_WINDOW:
	case XK_NMI_WINDOW:
		return handle_window(vcpu, x);
	case XK_APIC_WRITE:
	case XK_APIC_EOI:
	case XK_TPR:
		return handle_apic(vcpu, x);
	case XK_IRET:
		hvx_request(vcpu, HVX_REQ_EVENT);
		return HVX_NEXT_ENTER;
	case XK_TASK_SWITCH:
		return hvx_task_switch(vcpu, x);
	case XK_SHUTDOWN:
		return hvx_exit_user(vcpu, HVX_EXIT_SHUTDOWN);
	case XK_ENTRY_FAILED:
		return entry_failed(vcpu, x);
	}
	return unknown(vcpu, x);
}

enum hvx_next hvx_handle_exit(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	if (unlikely((!x->insn_len && NEEDS_LENGTH & BIT(x->kind)) || x->decode)) {
		int next = learn_insn(vcpu, x);

		if (next >= 0)
			return next;
	}

	switch (x->kind) {
	case XK_INTR:
	case XK_NMI:
	case XK_TIMER:
		return HVX_NEXT_LEAVE;
	case XK_DONE:
		return HVX_NEXT_ENTER;
	case XK_CPUID:
		hvx_cpuid(vcpu);
		return hvx_skip(vcpu, x);
	case XK_IO:
		return hvx_handle_io(vcpu, x);
	case XK_FAULT:
		return handle_fault(vcpu, x);
	case XK_HYPERCALL:
		return handle_hypercall(vcpu, x);
	case XK_RDMSR:
	case XK_WRMSR:
		return hvx_handle_msr(vcpu, x);
	case XK_HLT:
		return handle_hlt(vcpu, x);
	}
	return rare(vcpu, x);
}

/* --------------------------------------------------------------- completion */

static enum hvx_next complete_hypercall(struct hvx_vcpu *vcpu)
{
	u64 ret = READ_ONCE(vcpu->run->hypercall.ret);

	vcpu->regs.gpr[REG_RAX] = hvx_long_mode(vcpu) ? ret : (u32)ret;
	hvx_skip(vcpu, &vcpu->exit);
	return HVX_NEXT_ENTER;
}

static enum hvx_next complete_in_srcu(struct hvx_vcpu *vcpu, enum hvx_pending pending)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	enum hvx_next next;

	if (pending == HVX_PENDING_MMIO)
		next = from_mmio(vcpu, hvx_mmio_complete(vcpu));
	else if (pending == HVX_PENDING_TASK)
		next = hvx_task_complete(vcpu);
	else
		next = hvx_io_string_complete(vcpu);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return next;
}

static enum hvx_next finish(struct hvx_vcpu *vcpu, enum hvx_pending pending)
{
	switch (pending) {
	case HVX_PENDING_IO_STRING:
	case HVX_PENDING_MMIO:
	case HVX_PENDING_TASK:
		return complete_in_srcu(vcpu, pending);
	case HVX_PENDING_MSR_READ:
	case HVX_PENDING_MSR_WRITE:
		return hvx_msr_complete(vcpu);
	case HVX_PENDING_HYPERCALL:
		return complete_hypercall(vcpu);
	case HVX_PENDING_MOVE:
		hvx_mmio_move_complete(vcpu);
		break;
	case HVX_PENDING_NONE:
	case HVX_PENDING_IO_IN:		/* the run loop's */
		break;
	}
	return HVX_NEXT_ENTER;
}

enum hvx_next hvx_complete(struct hvx_vcpu *vcpu)
{
	enum hvx_pending pending = vcpu->pending;
	enum hvx_next next;

	/* The VMM may have set registers since, and translation needs them */
	if (unlikely(READ_ONCE(vcpu->requests) & BIT(HVX_REQ_PDPTES)))
		hvx_paging_prepare(vcpu);
	vcpu->pending = HVX_PENDING_NONE;
	next = finish(vcpu, pending);
	/* Memory that is missing may be there the next time: the device must not be asked twice */
	if (next == HVX_NEXT_ERROR)
		vcpu->pending = pending;
	return next;
}
