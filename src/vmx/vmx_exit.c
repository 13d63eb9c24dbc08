// SPDX-License-Identifier: GPL-2.0-only
/*
 * One round trip: dirty registers and the event in, the guest, exit reason into struct hvx_exit.
 *
 * The table says what an exit reason is to the neutral code and what has to be read for it. Exits
 * that end in "skip the instruction" read RIP, RFLAGS and shadow at once: a VMREAD here is cheaper
 * than the way through hvx_need() later.
 */
#include <asm/special_insns.h>
#include <asm/trapnr.h>
#include "vcpu/fast.h"
#include "vmx.h"
#include "vmx_hw.h"
#include "vmx_spec.h"

/* struct exit_rule.flags */
#define SKIP		BIT(0)	/* an instruction to go past: length, RIP, RFLAGS, shadow */
#define DETAIL		BIT(1)	/* fill_detail() */

struct exit_rule {
	u8 kind;
	u8 zero[3];	/* insn_len, nr_insn, decode: all four are stored as one */
	u8 flags;
};

#define RULE(kind, flags)	{ kind, { }, flags }

/* Intel SDM vol. 3C, "Information for VM Exits Due to Instruction Execution" */
static const struct exit_rule exit_rules[NR_EXIT_REASONS] = {
	[ER_EXCEPTION_OR_NMI]		= RULE(XK_EXCEPTION, DETAIL),
	[ER_EXTERNAL_INTERRUPT]		= RULE(XK_INTR, 0),
	[ER_TRIPLE_FAULT]		= RULE(XK_SHUTDOWN, 0),
	[ER_INIT]			= RULE(XK_INTR, 0),
	[ER_INTERRUPT_WINDOW]		= RULE(XK_IRQ_WINDOW, 0),
	[ER_NMI_WINDOW]			= RULE(XK_NMI_WINDOW, 0),
	[ER_TASK_SWITCH]		= RULE(XK_TASK_SWITCH, DETAIL),
	[ER_CPUID]			= RULE(XK_CPUID, SKIP),
	[ER_GETSEC]			= RULE(XK_UNDEFINED, 0),
	[ER_HLT]			= RULE(XK_HLT, SKIP),
	[ER_INVD]			= RULE(XK_INVD, SKIP),
	[ER_RDPMC]			= RULE(XK_RDPMC, SKIP),
	[ER_VMCALL]			= RULE(XK_HYPERCALL, SKIP),
	[ER_VMCLEAR ... ER_VMXON]	= RULE(XK_UNDEFINED, 0),
	[ER_CR_ACCESS]			= RULE(XK_CR, SKIP | DETAIL),
	[ER_MOV_DR]			= RULE(XK_DR, SKIP | DETAIL),
	[ER_IO]				= RULE(XK_IO, SKIP | DETAIL),
	[ER_RDMSR]			= RULE(XK_RDMSR, SKIP),
	[ER_WRMSR]			= RULE(XK_WRMSR, SKIP),
	[ER_MWAIT]			= RULE(XK_MWAIT, SKIP),
	[ER_MONITOR_TRAP_FLAG]		= RULE(XK_EXCEPTION, DETAIL),
	[ER_MONITOR]			= RULE(XK_MWAIT, SKIP),
	[ER_PAUSE]			= RULE(XK_PAUSE, SKIP),
	[ER_EPT_VIOLATION]		= RULE(XK_FAULT, DETAIL),
	[ER_INVEPT]			= RULE(XK_UNDEFINED, 0),
	[ER_PREEMPTION_TIMER]		= RULE(XK_TIMER, 0),
	[ER_INVVPID]			= RULE(XK_UNDEFINED, 0),
	[ER_WBINVD]			= RULE(XK_INVD, SKIP),
	[ER_XSETBV]			= RULE(XK_XSETBV, SKIP),
	[ER_VMFUNC]			= RULE(XK_UNDEFINED, 0),
	[ER_TPR_BELOW_THRESHOLD]	= RULE(XK_TPR, 0),
	[ER_APIC_ACCESS]		= RULE(XK_FAULT, DETAIL),
	[ER_VIRTUALIZED_EOI]		= RULE(XK_APIC_EOI, DETAIL),
	[ER_APIC_WRITE]			= RULE(XK_APIC_WRITE, DETAIL),
	[ER_ENCLS]			= RULE(XK_UNDEFINED, 0),
	[ER_ENCLV]			= RULE(XK_UNDEFINED, 0),

	/* Reasons that no control asks for, or that nobody has defined */
	[4 ... 6]			= RULE(XK_UNKNOWN, DETAIL),
	[14]				= RULE(XK_UNKNOWN, DETAIL),
	[16 ... 17]			= RULE(XK_UNKNOWN, DETAIL),
	[33 ... 35]			= RULE(XK_UNKNOWN, DETAIL),
	[38]				= RULE(XK_UNKNOWN, DETAIL),
	[41 ... 42]			= RULE(XK_UNKNOWN, DETAIL),
	[46 ... 47]			= RULE(XK_UNKNOWN, DETAIL),
	[ER_EPT_MISCONFIGURATION]	= RULE(XK_UNKNOWN, DETAIL),
	[51]				= RULE(XK_UNKNOWN, DETAIL),
	[57 ... 58]			= RULE(XK_UNKNOWN, DETAIL),
	[61 ... 69]			= RULE(XK_UNKNOWN, DETAIL),
};

static const struct exit_rule unknown_rule = RULE(XK_UNKNOWN, DETAIL);
static const struct exit_rule done_rule = RULE(XK_DONE, 0);
static const struct exit_rule user_rule = RULE(XK_USER, 0);

static_assert(offsetof(struct hvx_exit, kind) == 0 && offsetof(struct hvx_exit, insn_len) == 1 &&
	      offsetof(struct hvx_exit, nr_insn) == 2 && offsetof(struct hvx_exit, decode) == 3);

/* "VM-Entry Controls for Event Injection": type of an exception */
static u32 exception_type(const struct hvx_inject *inject)
{
	if (!inject->insn_len)
		return EI_TYPE_HARDWARE_EXCEPTION;
	return inject->vector == X86_TRAP_DB ? EI_TYPE_PRIVILEGED_EXCEPTION :
					       EI_TYPE_SOFTWARE_EXCEPTION;
}

static u32 event_type(const struct hvx_inject *inject)
{
	switch (inject->type) {
	case HVX_EVENT_NMI:
		return EI_TYPE_NMI;
	case HVX_EVENT_EXCEPTION:
		return exception_type(inject);
	case HVX_EVENT_SOFT_INT:
		return EI_TYPE_SOFTWARE_INTERRUPT;
	default:
		return EI_TYPE_EXTERNAL_INTERRUPT;
	}
}

static noinline void inject_event(struct vmx_vcpu *vmx)
{
	const struct hvx_inject *inject = &vmx->vcpu.inject;
	u32 info = EI_VALID | event_type(inject) | inject->vector;

	/* In real mode exceptions have no error code */
	if (inject->has_error && vmx->guest_cr0 & X86_CR0_PE) {
		info |= EI_ERROR_VALID;
		vmcs_write(VMCS_ENTRY_EXCEPTION_ERROR, inject->error);
	}
	if (inject->insn_len)
		vmcs_write(VMCS_ENTRY_INSTRUCTION_LENGTH, inject->insn_len);
	vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO, info);
}

/* NMIs are blocked: the IRET or handler that would unblock them did not complete */
static void set_nmi_blocking(struct hvx_vcpu *vcpu, bool blocked)
{
	struct hvx_regs *regs = &vcpu->regs;
	u32 shadow = vmx_shadow(vmcs_read(VMCS_GUEST_INTERRUPTIBILITY));

	regs->shadow = blocked ? shadow | SHADOW_NMI : shadow & ~SHADOW_NMI;
	hvx_changed(vcpu, RM(SHADOW));
}

/*
 * The delivery of an event was cut short by this exit: deliver it again with the next entry.
 * "Information for VM Exits During Event Delivery". True when there was one.
 */
static bool requeue_event(struct hvx_vcpu *vcpu)
{
	struct hvx_inject *inject = &vcpu->inject;
	u32 info = vmcs_read(VMCS_IDT_VECTORING_INFO);

	if (likely(!(info & EI_VALID)))
		return false;
	*inject = (struct hvx_inject) { .vector = info & EI_VECTOR };
	switch (info & EI_TYPE) {
	case EI_TYPE_EXTERNAL_INTERRUPT:
		inject->type = HVX_EVENT_INTERRUPT;
		break;
	case EI_TYPE_NMI:
		/* Its delivery blocked NMIs already, but an NMI cannot be injected so */
		inject->type = HVX_EVENT_NMI;
		set_nmi_blocking(vcpu, false);
		break;
	case EI_TYPE_SOFTWARE_INTERRUPT:
		inject->type = HVX_EVENT_SOFT_INT;
		inject->insn_len = vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH);
		break;
	case EI_TYPE_PRIVILEGED_EXCEPTION:
	case EI_TYPE_SOFTWARE_EXCEPTION:
		inject->insn_len = vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH);
		fallthrough;
	default:
		inject->type = HVX_EVENT_EXCEPTION;
		break;
	}
	if (info & EI_ERROR_VALID) {
		inject->has_error = true;
		inject->error = vmcs_read(VMCS_IDT_VECTORING_ERROR);
	}
	return true;
}

/* "Information About NMI Unblocking Due to IRET": the IRET faulted, NMIs are to stay blocked */
static void reblock_nmi(struct hvx_vcpu *vcpu, bool unblocked, bool delivering)
{
	if (unlikely(unblocked && !delivering))
		set_nmi_blocking(vcpu, true);
}

static void fill_exception(struct vmx_vcpu *vmx, struct hvx_exit *x)
{
	struct hvx_vcpu *vcpu = &vmx->vcpu;
	u32 info = vmcs_read(VMCS_EXIT_INTERRUPTION_INFO);
	u32 type = info & EI_TYPE;
	bool delivering;

	if (type == EI_TYPE_NMI) {
		requeue_event(vcpu);
		vmx->host_event |= VMX_HOST_NMI;
		x->kind = XK_NMI;
		return;
	}
	delivering = requeue_event(vcpu);
	x->exc.vector = info & EI_VECTOR;
	x->exc.has_error = info & EI_ERROR_VALID;
	x->exc.error = x->exc.has_error ? vmcs_read(VMCS_EXIT_INTERRUPTION_ERROR) : 0;
	x->exc.payload = vmcs_read(VMCS_EXIT_QUALIFICATION);
	if (x->exc.vector != X86_TRAP_DF)
		reblock_nmi(vcpu, info & EI_NMI_UNBLOCKED, delivering);
	if (type == EI_TYPE_SOFTWARE_EXCEPTION)
		x->insn_len = vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH);
	/* INT1 is a trap for the guest, but RIP is still at it */
	if (type == EI_TYPE_PRIVILEGED_EXCEPTION)
		hvx_set_rip(vcpu, hvx_rip(vcpu) + vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH));
	if (x->exc.vector == X86_TRAP_MC) {
		vmx->host_event |= VMX_HOST_MACHINE_CHECK;
		x->kind = XK_NMI;
	}
}

static void fill_step(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	requeue_event(vcpu);
	x->exc.vector = X86_TRAP_DB;
	x->exc.has_error = false;
	x->exc.payload = PENDING_DEBUG_BS;	/* the same bit in DR6 */
}

static void fill_fault(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	u64 q = vmcs_read(VMCS_EXIT_QUALIFICATION);
	bool delivering = requeue_event(vcpu);

	reblock_nmi(vcpu, q & EPTQ_NMI_UNBLOCKED, delivering);
	x->fault.gpa = vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS);
	x->fault.access = (q & EPTQ_READ ? HVX_READ : 0) | (q & EPTQ_WRITE ? HVX_WRITE : 0) |
			  (q & EPTQ_FETCH ? HVX_EXEC : 0);
	x->fault.gva_valid = q & EPTQ_LINEAR_VALID;
	x->fault.walk = x->fault.gva_valid && !(q & EPTQ_FINAL);
	x->fault.present = q & EPTQ_READABLE;
	x->fault.gva = x->fault.gva_valid ? vmcs_read(VMCS_GUEST_LINEAR_ADDRESS) : 0;
}

/*
 * An access to the APIC-access page that is not virtualized ("Exit Qualification for APIC-Access VM
 * Exits"): to the core it is like any other where no memory is.
 */
static void fill_apic_access(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	u64 q = vmcs_read(VMCS_EXIT_QUALIFICATION);
	u64 type = APICQ_TYPE(q);

	requeue_event(vcpu);
	x->fault.gpa = (vcpu->regs.apic_base & APIC_BASE_ADDRESS) | (q & APICQ_OFFSET);
	x->fault.access = type == APICQ_READ ? HVX_READ :
			  type == APICQ_FETCH ? HVX_EXEC : HVX_WRITE;
	x->fault.gva_valid = false;
	x->fault.gva = 0;
	x->fault.present = false;
	/* What is left are guest-physical accesses */
	x->fault.walk = type > APICQ_DELIVERY;
}

/* "Exit Qualification for Control-Register Accesses" */
static void fill_cr(struct hvx_exit *x)
{
	u64 q = vmcs_read(VMCS_EXIT_QUALIFICATION);

	x->cr.cr = q & 0xf;
	x->cr.op = q >> 4 & 3;		/* numbered as enum hvx_cr_op */
	x->cr.gpr = q >> 8 & 0xf;
	x->cr.msw = q >> 16;
	static_assert(CR_OP_WRITE == 0 && CR_OP_READ == 1 && CR_OP_CLTS == 2 && CR_OP_LMSW == 3);
}

/* "Exit Qualification for MOV DR" */
static void fill_dr(struct hvx_exit *x)
{
	u64 q = vmcs_read(VMCS_EXIT_QUALIFICATION);

	x->dr.dr = q & 7;
	x->dr.write = !(q & BIT(4));
	x->dr.gpr = q >> 8 & 0xf;
}

/* "Format of the VM-Exit Instruction-Information Field as Used for INS and OUTS" */
static void fill_string_io(struct hvx_exit *x)
{
	u32 info = vmcs_read(VMCS_EXIT_INSTRUCTION_INFO);

	x->io.addr_width = 2 << (info >> 7 & 3);
	x->io.seg = x->io.in ? SEG_ES : info >> 15 & 7;
}

/* "Exit Qualification for I/O Instructions" */
static __always_inline void fill_io(struct hvx_exit *x)
{
	u64 q = vmcs_read(VMCS_EXIT_QUALIFICATION);

	x->io.port = q >> 16;
	x->io.width = (q & 7) + 1;
	x->io.in = q & IO_IN;
	x->io.string = q & IO_STRING;
	x->io.rep = q & IO_REP;
	if (unlikely(x->io.string))
		fill_string_io(x);
}

/*
 * "Exit Qualification for Task Switches". An event that came through a task gate is delivered by
 * the switch; until that is done it waits as any other whose delivery exited.
 */
static void fill_task(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	u64 q = vmcs_read(VMCS_EXIT_QUALIFICATION);
	bool event = requeue_event(vcpu);

	x->task.selector = q;
	x->task.source = q >> 30 & 3;
	x->task.has_error = event && vcpu->inject.has_error;
	x->task.error = x->task.has_error ? vcpu->inject.error : 0;
	x->task.external = event && !vcpu->inject.insn_len;
	/* Defined for instructions, software interrupts included */
	if (!x->task.external)
		x->insn_len = vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH);
}

static void fill_unknown(struct hvx_vcpu *vcpu, struct hvx_exit *x, u32 reason)
{
	requeue_event(vcpu);
	x->raw.reason = reason;
	x->raw.detail = vmcs_read(VMCS_EXIT_QUALIFICATION);
	x->raw.detail2 = vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS);
}

static noinline void fill_detail(struct vmx_vcpu *vmx, struct hvx_exit *x, u32 reason)
{
	struct hvx_vcpu *vcpu = &vmx->vcpu;

	switch (reason) {
	case ER_EPT_VIOLATION:
		fill_fault(vcpu, x);
		break;
	case ER_CR_ACCESS:
		fill_cr(x);
		break;
	case ER_MOV_DR:
		fill_dr(x);
		break;
	case ER_EXCEPTION_OR_NMI:
		fill_exception(vmx, x);
		break;
	case ER_MONITOR_TRAP_FLAG:
		fill_step(vcpu, x);
		break;
	case ER_TASK_SWITCH:
		fill_task(vcpu, x);
		break;
	case ER_APIC_ACCESS:
		fill_apic_access(vcpu, x);
		break;
	case ER_APIC_WRITE:
		x->apic.offset = vmcs_read(VMCS_EXIT_QUALIFICATION) & APICQ_OFFSET;
		break;
	case ER_VIRTUALIZED_EOI:
		x->apic.vector = vmcs_read(VMCS_EXIT_QUALIFICATION);
		break;
	default:
		fill_unknown(vcpu, x, reason);
		break;
	}
}

/*
 * The processor did not enter the guest: VMfail with an error number, or an exit with bit 31 of the
 * reason set. Guest state and the event are as they were.
 */
static noinline void fill_failure(struct vmx_vcpu *vmx, struct hvx_exit *x, u32 reason)
{
	x->kind = XK_ENTRY_FAILED;
	x->insn_len = 0;
	x->nr_insn = 0;
	x->decode = 0;
	x->raw.detail2 = 0;
	if (reason == VMX_ENTER_FAILED) {
		x->raw.reason = vmcs_read(VMCS_INSTRUCTION_ERROR);
		x->raw.detail = 0;
	} else {
		x->raw.reason = reason;
		x->raw.detail = vmcs_read(VMCS_EXIT_QUALIFICATION);
	}
	if (reason == (ER_ENTRY_FAILURE | ER_ENTRY_MACHINE_CHECK))
		vmx->host_event |= VMX_HOST_MACHINE_CHECK;
	/* Without an exit nobody has put the host's back */
	if (vmx->enter_flags & VMX_ENTER_SPEC_CTRL)
		hvx_wrmsr(MSR_IA32_SPEC_CTRL, vmx->vcpu.regs.host_spec_ctrl);
	/* It would go in with a later entry that has nothing to inject */
	vmcs_write(VMCS_ENTRY_INTERRUPTION_INFO, 0);
}

static __always_inline void translate_exit(struct vmx_vcpu *vmx, struct hvx_exit *x, u32 reason)
{
	struct hvx_regs *regs = &vmx->vcpu.regs;
	const struct exit_rule *rule = &unknown_rule;
	u64 avail = vmx->avail;
	u32 blocking;

	if (likely(reason < NR_EXIT_REASONS))
		rule = &exit_rules[reason];
	memcpy(x, rule, 4);
	if (rule->flags & SKIP) {
		regs->rip = vmcs_read(VMCS_GUEST_RIP);
		regs->rflags = vmcs_read(VMCS_GUEST_RFLAGS);
		x->insn_len = vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH);
		blocking = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);
		regs->shadow = likely(!blocking) ? 0 : vmx_shadow(blocking);
		avail |= RM(RIP) | RM(RFLAGS) | RM(SHADOW);
	}
	regs->avail = avail;
	if (rule->flags & DETAIL) {
		if (reason == ER_IO)
			fill_io(x);
		else
			fill_detail(vmx, x, reason);
	}
}

static __always_inline enum hvx_fast answer(struct vmx_vcpu *vmx, u32 reason)
{
	u64 q;

	if (reason != ER_IO)
		return hvx_fast_exit(&vmx->vcpu, exit_rules[reason].kind);
	q = vmcs_read(VMCS_EXIT_QUALIFICATION);
	if (unlikely(q & IO_STRING))
		return HVX_FAST_NO;
	return hvx_fast_io(&vmx->vcpu, q >> 16, (q & 7) + 1, q & IO_IN);
}

/* The guest writes to CR8 by itself */
static __always_inline void note_cr8(struct vmx_vcpu *vmx)
{
	if (vmx->primary & PRI_USE_TPR_SHADOW)
		vmx->vcpu.regs.cr8 = apic_get(vmx->vcpu.lapic->regs, APIC_REG_TPR) >> 4;
}

/* The exit is the VMM's, and the guest is past the instruction */
static __always_inline void fill_user(struct vmx_vcpu *vmx, struct hvx_exit *x, u64 rip, u64 rflags)
{
	struct hvx_regs *regs = &vmx->vcpu.regs;

	memcpy(x, &user_rule, 4);
	regs->rip = rip;
	regs->rflags = rflags;
	regs->shadow = 0;
	regs->avail = vmx->avail | RM(RIP) | RM(RFLAGS) | RM(SHADOW);
	regs->dirty = RM(RIP);
	regs->cr2 = native_read_cr2();
	note_cr8(vmx);
}

/*
 * An exit that is answered on the spot: see fast.h. RIP goes from field to field, nothing else of
 * the guest is looked at.
 */
static __always_inline enum hvx_fast finish_fast(struct vmx_vcpu *vmx, struct hvx_exit *x,
						 u32 reason)
{
	u64 rip, next, rflags;
	enum hvx_fast fast;

	if (hvx_exit_traced() || reason >= NR_EXIT_REASONS ||
	    !((HVX_FAST_KINDS | BIT(XK_IO)) & BIT(exit_rules[reason].kind)))
		return HVX_FAST_NO;
	if (unlikely(vmx->primary & PRI_MONITOR_TRAP_FLAG) ||
	    unlikely(vmcs_read(VMCS_GUEST_INTERRUPTIBILITY)))
		return HVX_FAST_NO;
	rflags = vmcs_read(VMCS_GUEST_RFLAGS);
	rip = vmcs_read(VMCS_GUEST_RIP);
	next = rip + vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH);
	if (unlikely(rflags & X86_EFLAGS_TF || (next ^ rip) >> 32))
		return HVX_FAST_NO;
	fast = answer(vmx, reason);
	if (likely(fast == HVX_FAST_DONE))
		vmcs_write(VMCS_GUEST_RIP, next);
	else if (fast == HVX_FAST_USER)
		fill_user(vmx, x, next, rflags);
	return fast;
}

/* The exit is over, and something else waits */
static noinline void fill_done(struct vmx_vcpu *vmx, struct hvx_exit *x)
{
	memcpy(x, &done_rule, 4);
	vmx->vcpu.regs.avail = vmx->avail;
	vmx->vcpu.regs.cr2 = native_read_cr2();
	note_cr8(vmx);
}

/* Nearly always the guest is past an instruction and nothing else, RF after a fault included */
static __always_inline void write_regs(struct vmx_vcpu *vmx)
{
	struct hvx_regs *regs = &vmx->vcpu.regs;

	if (likely(regs->dirty == RM(RIP))) {
		vmcs_write(VMCS_GUEST_RIP, regs->rip);
	} else if (regs->dirty == (RM(RIP) | RM(RFLAGS))) {
		vmcs_write(VMCS_GUEST_RIP, regs->rip);
		vmcs_write(VMCS_GUEST_RFLAGS, regs->rflags);
	} else if (regs->dirty) {
		vmx_write_regs(vmx);
	}
	regs->dirty = 0;
}

/* VM entry and VM exit */
static __always_inline u32 enter_guest(struct vmx_vcpu *vmx)
{
	u32 reason = hvx_vmx_enter(vmx->vcpu.regs.gpr, vmx->enter_flags, &vmx->host_rsp);

	vmx_spec_exit();
	return reason;
}

void vmx_enter(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct hvx_regs *regs = &vcpu->regs;
	enum hvx_fast fast;
	u32 reason;

	write_regs(vmx);
	if (unlikely(vcpu->inject.type != HVX_EVENT_NONE))
		inject_event(vmx);
	if (unlikely(regs->cr2 != native_read_cr2()))
		native_write_cr2(regs->cr2);

	reason = enter_guest(vmx);
	if (likely(!(reason & ER_ENTRY_FAILURE))) {
		vmx->enter_flags |= VMX_ENTER_RESUME;
		vcpu->inject.type = HVX_EVENT_NONE;
		while ((fast = finish_fast(vmx, x, reason)) == HVX_FAST_DONE) {
			if (unlikely(!hvx_may_reenter(vcpu))) {
				fill_done(vmx, x);
				return;
			}
			reason = enter_guest(vmx);
		}
		if (fast == HVX_FAST_USER)
			return;
	}
	if (unlikely(reason & ER_ENTRY_FAILURE)) {
		fill_failure(vmx, x, reason);
		return;
	}
	regs->cr2 = native_read_cr2();
	note_cr8(vmx);
	translate_exit(vmx, x, reason & ER_BASIC);
}
