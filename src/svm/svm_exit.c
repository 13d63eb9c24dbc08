// SPDX-License-Identifier: GPL-2.0-only
/*
 * enter(): one VMRUN, and its EXITCODE as a struct hvx_exit.
 *
 * What an EXITCODE is called in the neutral exit stands in one table; the few kinds that carry more
 * than the length of an instruction have a function each. Everything here runs between two VMRUNs:
 * the common exit touches the table, ten fields of the VMCB and nothing else.
 *
 * Always available after an exit are RIP, RFLAGS and what blocks interrupts, copied here, and what
 * the VMCB never knows better than the cache (see svm_vmcb.c).
 */
#include <linux/jump_label.h>
#include <linux/percpu.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include "cpu/debug.h"
#include "vcpu/event.h"
#include "vcpu/fast.h"
#include "svm.h"

#define AVAILABLE	(RM(RIP) | RM(RFLAGS) | RM(SHADOW) | RM(CR0) | RM(CR4) | RM(EFER) | \
			 RM(PDPTE) | RM(DR7) | RM(PAT) | RM(DEBUGCTL) | RM(TSC) | RM(SPEC_CTRL))

/* Shape of an exit: what has to be filled in besides the kind */
enum svm_shape {
	SHAPE_UNKNOWN,
	SHAPE_PLAIN,		/* nothing */
	SHAPE_INSN,		/* length of the instruction */
	SHAPE_CR,
	SHAPE_DR,
	SHAPE_EXCEPTION,
	SHAPE_VINTR,
	SHAPE_IRET,
	SHAPE_PUSHF,
	SHAPE_IO,
	SHAPE_MSR,
	SHAPE_TASK,
};

static const struct svm_kind {
	u8 kind;
	u8 shape;
} kinds[SVM_NR_EXITCODES] = {
#define KINDS(code, n, k, s)	\
	[SVM_VMEXIT_##code ... SVM_VMEXIT_##code + (n) - 1] = { XK_##k, SHAPE_##s }
#define KIND(code, k, s)	KINDS(code, 1, k, s)
	KINDS(CR_READ, 16, CR, CR),
	KINDS(CR_WRITE, 16, CR, CR),
	KINDS(DR_READ, 16, DR, DR),
	KINDS(DR_WRITE, 16, DR, DR),
	KINDS(EXCP, 32, EXCEPTION, EXCEPTION),
	KIND(INTR, INTR, PLAIN),
	KIND(NMI, NMI, PLAIN),
	KIND(SMI, INTR, PLAIN),
	KIND(INIT, INTR, PLAIN),
	KIND(VINTR, IRQ_WINDOW, VINTR),
	KIND(RDPMC, RDPMC, INSN),
	KIND(PUSHF, IRET, PUSHF),
	KIND(CPUID, CPUID, INSN),
	KIND(IRET, IRET, IRET),
	KIND(INVD, INVD, INSN),
	KIND(PAUSE, PAUSE, INSN),
	KIND(HLT, HLT, INSN),
	KIND(INVLPGA, UNDEFINED, PLAIN),
	KIND(IOIO, IO, IO),
	KIND(MSR, RDMSR, MSR),
	KIND(TASK_SWITCH, TASK_SWITCH, TASK),
	KIND(SHUTDOWN, SHUTDOWN, PLAIN),
	KIND(VMRUN, UNDEFINED, PLAIN),
	KIND(VMMCALL, HYPERCALL, INSN),
	KIND(VMLOAD, UNDEFINED, PLAIN),
	KIND(VMSAVE, UNDEFINED, PLAIN),
	KIND(STGI, UNDEFINED, PLAIN),
	KIND(CLGI, UNDEFINED, PLAIN),
	KIND(SKINIT, UNDEFINED, PLAIN),
	KIND(WBINVD, INVD, INSN),
	KIND(MONITOR, MWAIT, PLAIN),
	KIND(MWAIT, MWAIT, PLAIN),
	KIND(MWAIT_ARMED, MWAIT, PLAIN),
	KIND(XSETBV, XSETBV, INSN),
	KIND(RDPRU, UNDEFINED, PLAIN),
	KIND(INVLPGB, UNDEFINED, PLAIN),
	KIND(INVLPGB_ILLEGAL, UNDEFINED, PLAIN),
	KIND(MCOMMIT, UNDEFINED, PLAIN),
	KIND(TLBSYNC, UNDEFINED, PLAIN),
#undef KINDS
#undef KIND
};

/* Without next-RIP the core decodes. nRIP holds for all instructions that can be skipped. */
static __always_inline u8 insn_len(const struct vmcb *vmcb)
{
	if (!static_branch_likely(&svm_has_nrip))
		return 0;
	return vmcb->nrip - vmcb->rip;
}

static void fill_raw(const struct vmcb *vmcb, struct hvx_exit *x)
{
	x->raw.reason = vmcb->exitcode;
	x->raw.detail = vmcb->exitinfo1;
	x->raw.detail2 = vmcb->exitinfo2;
}

static void fill_cr(const struct vmcb *vmcb, struct hvx_exit *x)
{
	x->insn_len = insn_len(vmcb);
	x->cr.cr = vmcb->exitcode & 15;
	x->cr.op = vmcb->exitcode & SVM_VMEXIT_CR_WRITE ? CR_OP_WRITE : CR_OP_READ;
	x->cr.gpr = vmcb->exitinfo1 & SVM_CR_GPR;
	if (!(svm_features.decode && vmcb->exitinfo1 & SVM_CR_VALID))
		x->decode = XD_OPERANDS;
}

static void fill_dr(const struct vmcb *vmcb, struct hvx_exit *x)
{
	x->insn_len = insn_len(vmcb);
	x->dr.dr = vmcb->exitcode & 15;
	x->dr.write = vmcb->exitcode >= SVM_VMEXIT_DR_WRITE;
	x->dr.gpr = vmcb->exitinfo1 & SVM_CR_GPR;
	if (!svm_features.decode)
		x->decode = XD_OPERANDS;
}

/* AMD APM vol. 2, "Vectors": which exceptions push an error code */
#define HAS_ERROR	(BIT(VEC_DF) | BIT(VEC_TS) | BIT(VEC_NP) | BIT(VEC_SS) | BIT(VEC_GP) | \
			 BIT(VEC_PF) | BIT(VEC_AC) | BIT(VEC_CP) | BIT(29) | BIT(30))

static void fill_db(struct svm_vcpu *svm, struct hvx_exit *x)
{
	/* DR6 was clean before; #VMEXIT leaves the guest's on the CPU */
	x->exc.payload = svm->vmcb->dr6 ^ DR6_FIXED;
	set_debugreg(DR6_FIXED, 6);
	svm->vmcb->dr6 = DR6_FIXED;
	svm_dirty(svm, SVM_CLEAN_DRX);
}

/* A machine check is the host's, and taken by svm_close() */
static void fill_exception(struct svm_vcpu *svm, struct hvx_exit *x)
{
	const struct vmcb *vmcb = svm->vmcb;
	u8 vector = vmcb->exitcode - SVM_VMEXIT_EXCP;

	x->exc.vector = vector;
	x->exc.has_error = HAS_ERROR & BIT(vector);
	x->exc.error = vmcb->exitinfo1;
	x->exc.payload = 0;
	switch (vector) {
	case VEC_DB:
		fill_db(svm, x);
		break;
	case VEC_PF:
		x->exc.payload = vmcb->exitinfo2;
		break;
	case VEC_MC:
		svm->at_close |= SVM_CLOSE_MC;
		x->kind = XK_INTR;
		break;
	}
}

/* Widths are in bytes, and one-hot in EXITINFO1; what it leaves out is decoded */
static void fill_io(const struct vmcb *vmcb, struct hvx_exit *x)
{
	u32 info = vmcb->exitinfo1;
	u64 len = vmcb->exitinfo2 - vmcb->rip;

	x->insn_len = len <= 15 ? len : 0;
	x->io.port = info >> SVM_IOIO_PORT_SHIFT;
	x->io.width = info >> SVM_IOIO_SZ_SHIFT & 7;
	x->io.in = info & SVM_IOIO_TYPE;
	x->io.string = info & SVM_IOIO_STR;
	x->io.rep = info & SVM_IOIO_REP;
	if (!x->io.string)
		return;
	x->io.addr_width = (info >> SVM_IOIO_A_SHIFT & 7) * 2;
	x->io.seg = info >> SVM_IOIO_SEG_SHIFT & 7;
	if (!x->io.addr_width || !(x->io.in || svm_features.decode))
		x->decode = XD_IO;
}

/* Was it an instruction, INT n among them, that a task gate or TSS was met by? */
static bool task_by_insn(u32 event)
{
	u32 vector = event & SVM_EVENT_VECTOR;

	switch (event & SVM_EVENT_TYPE) {
	case SVM_EVENT_SOFT_INT:
		return true;
	case SVM_EVENT_EXCEPTION:
		return vector == VEC_BP || vector == VEC_OF;
	}
	return false;
}

/* "Task Switches". EXITINTINFO is that of an event through a gate; put_event_back() sees to it. */
static void fill_task(const struct vmcb *vmcb, struct hvx_exit *x)
{
	u64 info = vmcb->exitinfo2;
	u32 event = vmcb->exitintinfo;

	x->task.selector = vmcb->exitinfo1;
	x->task.has_error = info & SVM_TASK_ERROR;
	x->task.error = info;
	x->task.external = event & SVM_EVENT_V && !task_by_insn(event);
	if (event & SVM_EVENT_V)
		x->task.source = 3;
	else
		x->task.source = info & SVM_TASK_IRET ? 1 : info & SVM_TASK_JMP ? 2 : 0;
	if (!x->task.external)
		x->decode = XD_LENGTH;
}

static void fill_fault(const struct vmcb *vmcb, struct hvx_exit *x)
{
	u64 info = vmcb->exitinfo1;

	x->kind = XK_FAULT;
	x->fault.gpa = vmcb->exitinfo2;
	x->fault.gva_valid = false;
	x->fault.walk = info & SVM_NPF_WALK;
	x->fault.present = info & SVM_NPF_P;
	if (info & SVM_NPF_ID)
		x->fault.access = HVX_EXEC;
	else
		x->fault.access = info & SVM_NPF_RW ? HVX_WRITE : HVX_READ;
	if (svm_features.decode && vmcb->nr_insn) {
		x->nr_insn = min_t(u8, vmcb->nr_insn, sizeof(vmcb->insn));
		memcpy(x->insn, vmcb->insn, sizeof(vmcb->insn));
	}
}

/* Whatever takes more than a length */
static void fill_shape(struct svm_vcpu *svm, struct hvx_exit *x, u8 shape)
{
	struct vmcb *vmcb = svm->vmcb;

	switch (shape) {
	case SHAPE_CR:
		fill_cr(vmcb, x);
		break;
	case SHAPE_DR:
		fill_dr(vmcb, x);
		break;
	case SHAPE_EXCEPTION:
		fill_exception(svm, x);
		break;
	case SHAPE_VINTR:
		svm_set_windows(&svm->vcpu, false, svm->attention & SVM_ATT_NMI_WINDOW);
		break;
	case SHAPE_IRET:
		svm_begin_iret(svm);
		break;
	case SHAPE_PUSHF:
		svm->attention |= SVM_ATT_PUSHF;
		break;
	case SHAPE_IO:
		fill_io(vmcb, x);
		break;
	case SHAPE_MSR:
		x->kind = vmcb->exitinfo1 ? XK_WRMSR : XK_RDMSR;
		x->insn_len = insn_len(vmcb);
		break;
	case SHAPE_TASK:
		fill_task(vmcb, x);
		break;
	case SHAPE_UNKNOWN:
		x->kind = XK_UNKNOWN;
		fill_raw(vmcb, x);
		break;
	}
}

static __always_inline void read_shadow(struct svm_vcpu *svm)
{
	svm->vcpu.regs.shadow = (svm->vmcb->interrupt_shadow & SVM_INTERRUPT_SHADOW) |
				svm->nmi_shadow;
}

/*
 * Nothing was run: what the cache and the event were before, they still are. The VMCB is not relied
 * upon: some machines write their own state to it, and mark the event as delivered.
 */
static void undo_entry(struct svm_vcpu *svm)
{
	struct hvx_vcpu *vcpu = &svm->vcpu;
	struct hvx_regs *regs = &vcpu->regs;

	if (svm->attention & SVM_ATT_INJECTED) {
		vcpu->inject.type = svm->entry.event;
		if (svm->entry.event == HVX_EVENT_NMI)
			svm_block_nmi(svm, false);
	}
	/* Without V_INTR_MASKING a guest could keep the host's interrupts away */
	svm->vmcb->v_intr = svm->entry.v_intr;
	svm->vmcb->interrupt_shadow = svm->entry.interrupt_shadow;
	read_shadow(svm);
	/* Nor need the processor have taken in what was marked dirty */
	svm->vmcb->clean = 0;
	regs->rip = svm->entry.rip;
	regs->rflags = svm->entry.rflags;
	regs->gpr[REG_RAX] = svm->entry.rax;
	regs->cr2 = svm->entry.cr2;
	regs->avail |= svm->entry.avail;
	regs->dirty |= svm->entry.avail;
}

/* EXITCODEs outside of the table */
static void fill_sparse(struct svm_vcpu *svm, struct hvx_exit *x)
{
	struct vmcb *vmcb = svm->vmcb;

	switch ((u32)vmcb->exitcode) {
	case SVM_VMEXIT_NPF:
		fill_fault(vmcb, x);
		break;
	case SVM_VMEXIT_INVALID:
		x->kind = XK_ENTRY_FAILED;
		fill_raw(vmcb, x);
		undo_entry(svm);
		break;
	default:
		x->kind = XK_UNKNOWN;
		fill_raw(vmcb, x);
	}
}

/* The first four bytes of struct hvx_exit at once */
static __always_inline void set_head(struct hvx_exit *x, u8 kind, u8 len)
{
	static_assert(offsetof(struct hvx_exit, kind) == 0 &&
		      offsetof(struct hvx_exit, insn_len) == 1 &&
		      offsetof(struct hvx_exit, nr_insn) == 2 &&
		      offsetof(struct hvx_exit, decode) == 3);

	*(u32 *)x = kind | len << 8;
}

static void translate(struct svm_vcpu *svm, struct hvx_exit *x)
{
	const struct vmcb *vmcb = svm->vmcb;
	u64 code = vmcb->exitcode;
	const struct svm_kind *k;

	if (code >= ARRAY_SIZE(kinds)) {
		set_head(x, XK_UNKNOWN, 0);
		fill_sparse(svm, x);
		return;
	}
	k = &kinds[code];
	set_head(x, k->kind, k->shape == SHAPE_INSN ? insn_len(vmcb) : 0);
	if (k->shape != SHAPE_INSN && k->shape != SHAPE_PLAIN)
		fill_shape(svm, x, k->shape);
}

/* An event was being delivered. It goes in again, but for SHUTDOWN, where nothing is defined. */
static void put_event_back(struct svm_vcpu *svm)
{
	const struct vmcb *vmcb = svm->vmcb;
	u32 code = vmcb->exitcode;

	if (code == SVM_VMEXIT_SHUTDOWN || code == SVM_VMEXIT_INVALID)
		return;
	svm_requeue(svm, vmcb->exitintinfo, vmcb->exitintinfo_error);
}

/* After an exit that is more than an instruction */
static noinline void finish_exit(struct svm_vcpu *svm, struct hvx_exit *x)
{
	translate(svm, x);
	if (svm->vmcb->exitintinfo & SVM_EVENT_V)
		put_event_back(svm);
	if (svm->attention) {
		svm_attend_exit(svm, x);
		read_shadow(svm);
	}
}

/* Registers and events for an entry that is not like the last one */
static noinline void prepare_entry(struct svm_vcpu *svm)
{
	struct hvx_vcpu *vcpu = &svm->vcpu;

	svm->entry = (struct svm_entry) {
		.avail = vcpu->regs.avail,
		.rip = vcpu->regs.rip,
		.rflags = vcpu->regs.rflags,
		.rax = vcpu->regs.gpr[REG_RAX],
		.cr2 = vcpu->regs.cr2,
		.event = vcpu->inject.type,
	};
	if (vcpu->regs.dirty & ~RM(RIP))
		svm_write_regs(svm);
	if (vcpu->inject.type != HVX_EVENT_NONE)
		svm_inject(svm);
	if (svm->attention)
		svm_attend_entry(svm);
	svm->entry.v_intr = svm->vmcb->v_intr;
	svm->entry.interrupt_shadow = svm->vmcb->interrupt_shadow;
}

/* Does an instruction that exited end there and nowhere else? */
static __always_inline bool plain_end(const struct svm_vcpu *svm, u64 next)
{
	const struct vmcb *vmcb = svm->vmcb;

	/* RIP has just crossed 4 GiB when its lower half is less than an instruction */
	return likely(!(svm->attention || vmcb->interrupt_shadow & SVM_INTERRUPT_SHADOW ||
			vmcb->rflags & (X86_EFLAGS_TF | X86_EFLAGS_RF) || (u32)next < 15));
}

static __always_inline void end_at(struct svm_vcpu *svm, u64 next)
{
	svm->vmcb->rip = next;
	svm->vmcb->rax = svm->vcpu.regs.gpr[REG_RAX];
}

/*
 * Answer an exit on the spot: see fast.h. The registers stay in the VMCB meanwhile, only the GPRs
 * are in the cache.
 */
static __always_inline enum hvx_fast finish_fast(struct svm_vcpu *svm, enum hvx_exit_kind kind)
{
	u64 next = svm->vmcb->nrip;

	if (!static_branch_likely(&svm_has_nrip) || !plain_end(svm, next) ||
	    !hvx_fast_exit(&svm->vcpu, kind))
		return HVX_FAST_NO;
	end_at(svm, next);
	return HVX_FAST_DONE;
}

/* The exit is the VMM's, and the guest at @next, which plain_end() knows of */
static __always_inline void fill_user(struct svm_vcpu *svm, struct hvx_exit *x, u64 next)
{
	struct hvx_regs *regs = &svm->vcpu.regs;
	const struct vmcb *vmcb = svm->vmcb;

	set_head(x, XK_USER, 0);
	regs->cr2 = vmcb->cr2;
	regs->rip = next;
	regs->rflags = vmcb->rflags;
	regs->shadow = svm->nmi_shadow;
	regs->avail = AVAILABLE;
	regs->dirty = 0;
}

/* As finish_fast() for IN and OUT, whose exit says where they end on all processors */
static __always_inline enum hvx_fast finish_fast_io(struct svm_vcpu *svm, struct hvx_exit *x)
{
	u32 info = svm->vmcb->exitinfo1;
	u64 next = svm->vmcb->exitinfo2;
	enum hvx_fast fast;

	if (info & SVM_IOIO_STR || !plain_end(svm, next))
		return HVX_FAST_NO;
	fast = hvx_fast_io(&svm->vcpu, info >> SVM_IOIO_PORT_SHIFT, info >> SVM_IOIO_SZ_SHIFT & 7,
			   info & SVM_IOIO_TYPE);
	if (fast == HVX_FAST_USER)
		fill_user(svm, x, next);
	else
		end_at(svm, next);
	return fast;
}

static __always_inline enum hvx_fast answered(struct svm_vcpu *svm, struct hvx_exit *x, u64 code)
{
	if (hvx_exit_traced())
		return HVX_FAST_NO;
	switch (code) {
	case SVM_VMEXIT_CPUID:
		return finish_fast(svm, XK_CPUID);
	case SVM_VMEXIT_VMMCALL:
		return finish_fast(svm, XK_HYPERCALL);
	case SVM_VMEXIT_MSR:
		return finish_fast(svm, svm->vmcb->exitinfo1 & 1 ? XK_WRMSR : XK_RDMSR);
	case SVM_VMEXIT_IOIO:
		return finish_fast_io(svm, x);
	}
	return HVX_FAST_NO;
}

/* Not traced, as nothing between two VMRUNs: the guest's TR is on the CPU */
notrace void svm_enter(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct hvx_regs *regs = &vcpu->regs;
	struct vmcb *vmcb = svm->vmcb;

	vmcb->rip = regs->rip;
	vmcb->rax = regs->gpr[REG_RAX];
	vmcb->cr2 = regs->cr2;
	if (unlikely(regs->dirty & ~RM(RIP) || vcpu->inject.type | svm->attention))
		prepare_entry(svm);
	svm_vmrun(vcpu, x, &svm->sw);
}

/* An exit for the run loop: nothing of it is done, or all and something else waits (@done) */
static noinline notrace void leave(struct svm_vcpu *svm, struct hvx_exit *x, bool done)
{
	struct hvx_regs *regs = &svm->vcpu.regs;
	const struct vmcb *vmcb = svm->vmcb;
	u64 code = vmcb->exitcode;

	regs->cr2 = vmcb->cr2;
	regs->rip = vmcb->rip;
	regs->rflags = vmcb->rflags;
	regs->avail = AVAILABLE;
	regs->dirty = 0;
	read_shadow(svm);
	/* An instruction exits before or after the delivery of an event, never during it */
	if (unlikely(done))
		set_head(x, XK_DONE, 0);
	else if (likely(code < ARRAY_SIZE(kinds) && kinds[code].shape == SHAPE_INSN &&
			!svm->attention))
		set_head(x, kinds[code].kind, insn_len(vmcb));
	else
		finish_exit(svm, x);
}

/* Called by svm_vmrun() after each exit. true: enter again. */
notrace bool svm_exited(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;
	enum hvx_fast fast;

	vmcb->clean = svm_features.clean;
	vcpu->regs.gpr[REG_RAX] = vmcb->rax;
	fast = answered(svm, x, vmcb->exitcode);
	if (fast == HVX_FAST_USER)
		return false;
	if (fast == HVX_FAST_DONE && hvx_may_reenter(vcpu))
		return true;
	leave(svm, x, fast == HVX_FAST_DONE);
	return false;
}

static_assert(SVM_INTERRUPT_SHADOW == SHADOW_STI);
