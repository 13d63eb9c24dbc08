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
#include <linux/nospec.h>
#include "debug.h"
#include "event.h"
#include "svm.h"

#define AVAILABLE	(RM(RIP) | RM(RFLAGS) | RM(SHADOW) | RM(CR0) | RM(CR4) | RM(EFER) | \
			 RM(PDPTE) | RM(DR7) | RM(PAT) | RM(DEBUGCTL) | RM(TSC))

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
	SHAPE_IO,
	SHAPE_MSR,
	SHAPE_TASK,
};

static const struct svm_kind {
	u8 kind;
	u8 shape;
} kinds[SVM_NR_EXITCODES] = {
#define KIND(code, k, s)	[SVM_VMEXIT_##code] = { XK_##k, SHAPE_##s }
#define KINDS(code, n, k, s)	\
	[SVM_VMEXIT_##code ... SVM_VMEXIT_##code + (n) - 1] = { XK_##k, SHAPE_##s }
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

/* nRIP is 0 on CPUs without it and for exits that have none */
static __always_inline u8 insn_len(const struct vmcb *vmcb)
{
	u64 len = vmcb->nrip - vmcb->rip;

	return len <= 15 ? len : 0;
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
	/* DR6 was clean before */
	x->exc.payload = svm->vmcb->dr6 ^ DR6_FIXED;
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
		svm->machine_check = true;
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

static void fill_task(const struct vmcb *vmcb, struct hvx_exit *x)
{
	u64 info = vmcb->exitinfo2;

	x->task.selector = vmcb->exitinfo1;
	if (vmcb->exitintinfo & SVM_EVENT_V)
		x->task.source = 3;
	else
		x->task.source = info & SVM_TASK_IRET ? 1 : info & SVM_TASK_JMP ? 2 : 0;
	x->task.has_error = info & SVM_TASK_ERROR;
	x->task.error = info;
}

static void fill_fault(const struct vmcb *vmcb, struct hvx_exit *x)
{
	u64 info = vmcb->exitinfo1;

	x->kind = XK_FAULT;
	x->fault.gpa = vmcb->exitinfo2;
	x->fault.gva_valid = false;
	x->fault.walk = info & SVM_NPF_WALK;
	if (info & SVM_NPF_ID)
		x->fault.access = HVX_EXEC;
	else
		x->fault.access = info & SVM_NPF_RW ? HVX_WRITE : HVX_READ;
	if (svm_features.decode && vmcb->nr_insn) {
		x->nr_insn = min_t(u8, vmcb->nr_insn, sizeof(vmcb->insn));
		memcpy(x->insn, vmcb->insn, sizeof(vmcb->insn));
	}
}

/* Whatever takes more than a length. Not inlined: the common exit is to stay short. */
static noinline void fill_shape(struct svm_vcpu *svm, struct hvx_exit *x, u8 shape)
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

/* EXITCODEs outside of the table */
static noinline void fill_sparse(struct svm_vcpu *svm, struct hvx_exit *x)
{
	struct vmcb *vmcb = svm->vmcb;

	switch ((u32)vmcb->exitcode) {
	case SVM_VMEXIT_NPF:
		fill_fault(vmcb, x);
		break;
	case SVM_VMEXIT_INVALID:
		x->kind = XK_ENTRY_FAILED;
		fill_raw(vmcb, x);
		if (vmcb->eventinj & SVM_EVENT_V)
			svm_requeue(svm, vmcb->eventinj, vmcb->eventinj_error);
		break;
	default:
		x->kind = XK_UNKNOWN;
		fill_raw(vmcb, x);
	}
}

static __always_inline void translate(struct svm_vcpu *svm, struct hvx_exit *x)
{
	const struct vmcb *vmcb = svm->vmcb;
	u64 code = vmcb->exitcode;
	const struct svm_kind *k;

	x->insn_len = 0;
	x->nr_insn = 0;
	x->decode = 0;
	if (unlikely(code >= ARRAY_SIZE(kinds))) {
		fill_sparse(svm, x);
		return;
	}
	k = &kinds[code];
	x->kind = k->kind;
	if (likely(k->shape == SHAPE_INSN))
		x->insn_len = insn_len(vmcb);
	else if (k->shape != SHAPE_PLAIN)
		fill_shape(svm, x, k->shape);
}

/*
 * An event was being delivered. It goes in again, but for a task switch through a gate, which is
 * its delivery, and for SHUTDOWN, where nothing of it is defined.
 */
static bool cut_short(const struct vmcb *vmcb)
{
	return vmcb->exitintinfo & SVM_EVENT_V && vmcb->exitcode != SVM_VMEXIT_TASK_SWITCH &&
	       vmcb->exitcode != SVM_VMEXIT_SHUTDOWN && (u32)vmcb->exitcode != SVM_VMEXIT_INVALID;
}

void svm_enter(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct hvx_regs *regs = &vcpu->regs;
	struct vmcb *vmcb = svm->vmcb;
	bool injected = false;

	if (unlikely(regs->dirty & ~RM(RIP)))
		svm_write_regs(svm);
	vmcb->rip = regs->rip;
	vmcb->rax = regs->gpr[REG_RAX];
	if (unlikely(vmcb->cr2 != regs->cr2)) {
		vmcb->cr2 = regs->cr2;
		svm_dirty(svm, SVM_CLEAN_CR2);
	}
	if (unlikely(vcpu->inject.type != HVX_EVENT_NONE)) {
		injected = true;
		svm_inject(svm);
	}
	if (unlikely(svm->attention))
		svm_attend_entry(svm);

	svm_vmrun(regs, &svm->sw);

	svm->sw.hidden = SVM_ON_CPU;
	vmcb->tlb_control = SVM_TLB_NOTHING;
	vmcb->clean = svm_features.clean;
	regs->gpr[REG_RAX] = vmcb->rax;
	regs->cr2 = vmcb->cr2;
	regs->rip = vmcb->rip;
	regs->rflags = vmcb->rflags;
	regs->avail = AVAILABLE;
	regs->dirty = 0;
	translate(svm, x);
	if (unlikely(vmcb->exitintinfo & SVM_EVENT_V) && cut_short(vmcb))
		svm_requeue(svm, vmcb->exitintinfo, vmcb->exitintinfo_error);
	if (unlikely(injected)) {
		vmcb->eventinj = 0;
		svm->soft_len = 0;
	}
	if (unlikely(svm->attention))
		svm_attend_exit(svm, x);
	regs->shadow = (vmcb->interrupt_shadow & SVM_INTERRUPT_SHADOW) | svm->nmi_shadow;
}

static_assert(SVM_INTERRUPT_SHADOW == SHADOW_STI);
