// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the trace events say of an exit (trace.h), and the events themselves.
 *
 *   hvx_trace_exit()		for hvx_exit: kind, RIP, and what is most worth knowing of that kind
 *   hvx_trace_user_exit()	for hvx_user_exit
 *
 * Both are called only where their event is on.
 */
#include <linux/build_bug.h>
#include <linux/errno.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include "exit.h"
#include "regs.h"
#include "run.h"
#include "trace_exit.h"
#include "vcpu.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static const char kinds[][HVX_TRACE_NAME] = {
	[XK_INTR] = "INTR", [XK_NMI] = "NMI", [XK_CPUID] = "CPUID", [XK_HLT] = "HLT",
	[XK_PAUSE] = "PAUSE", [XK_RDMSR] = "RDMSR", [XK_WRMSR] = "WRMSR",
	[XK_HYPERCALL] = "HYPERCALL", [XK_IO] = "OUT", [XK_FAULT] = "FAULT", [XK_CR] = "CR",
	[XK_DR] = "DR", [XK_EXCEPTION] = "EXCEPTION", [XK_XSETBV] = "XSETBV",
	[XK_RDPMC] = "RDPMC", [XK_INVD] = "INVD", [XK_MWAIT] = "MWAIT",
	[XK_UNDEFINED] = "UNDEFINED", [XK_TASK_SWITCH] = "TASK_SWITCH",
	[XK_IRQ_WINDOW] = "IRQ_WINDOW", [XK_NMI_WINDOW] = "NMI_WINDOW", [XK_IRET] = "IRET",
	[XK_SHUTDOWN] = "SHUTDOWN", [XK_TIMER] = "TIMER", [XK_APIC_WRITE] = "APIC_WRITE",
	[XK_APIC_EOI] = "APIC_EOI", [XK_TPR] = "TPR", [XK_DONE] = "DONE", [XK_USER] = "USER",
	[XK_ENTRY_FAILED] = "ENTRY_FAILED", [XK_UNKNOWN] = "UNKNOWN",
};

static_assert(ARRAY_SIZE(kinds) == NR_EXIT_KINDS);

static const char reasons[][HVX_TRACE_NAME] = {
	[HVX_EXIT_NONE] = "NONE", [HVX_EXIT_IO] = "IO", [HVX_EXIT_MMIO] = "MMIO",
	[HVX_EXIT_HLT] = "HLT", [HVX_EXIT_MSR_READ] = "MSR_READ",
	[HVX_EXIT_MSR_WRITE] = "MSR_WRITE", [HVX_EXIT_HYPERCALL] = "HYPERCALL",
	[HVX_EXIT_DEBUG] = "DEBUG", [HVX_EXIT_SHUTDOWN] = "SHUTDOWN",
	[HVX_EXIT_ENTRY_FAILED] = "ENTRY_FAILED", [HVX_EXIT_EMULATION] = "EMULATION",
	[HVX_EXIT_INTERRUPTED] = "INTERRUPTED", [HVX_EXIT_SYSTEM_EVENT] = "SYSTEM_EVENT",
	[HVX_EXIT_IRQ_WINDOW] = "IRQ_WINDOW", [HVX_EXIT_NMI_WINDOW] = "NMI_WINDOW",
	[HVX_EXIT_MEMORY_FAULT] = "MEMORY_FAULT", [HVX_EXIT_UNKNOWN] = "UNKNOWN",
	[HVX_EXIT_EOI] = "EOI",
};

/*
 * While somebody listens, the module stays: kernels warn when one goes that has triggers on its
 * events.
 */
int hvx_trace_hold(void)
{
	return try_module_get(THIS_MODULE) ? 0 : -ENODEV;
}

void hvx_trace_release(void)
{
	module_put(THIS_MODULE);
}

struct detail {
	u64 first, second;
};

/* RAX to RDX are always there */
static struct detail of_registers(const u64 *gpr, u8 kind)
{
	switch (kind) {
	case XK_CPUID:
		return (struct detail){ (u32)gpr[REG_RAX], (u32)gpr[REG_RCX] };
	case XK_HYPERCALL:
		return (struct detail){ gpr[REG_RAX] };
	case XK_RDMSR:
	case XK_RDPMC:
		return (struct detail){ (u32)gpr[REG_RCX] };
	case XK_WRMSR:
	case XK_XSETBV:
		return (struct detail){ (u32)gpr[REG_RCX],
					(u32)gpr[REG_RAX] | gpr[REG_RDX] << 32 };
	}
	return (struct detail){ };
}

static struct detail detail_of(const struct hvx_vcpu *vcpu, const struct hvx_exit *x)
{
	/* Nobody has looked at the instruction yet */
	if (x->decode & XD_OPERANDS)
		return (struct detail){ };
	switch (x->kind) {
	case XK_IO:
		return (struct detail){ x->io.port, x->io.width };
	case XK_FAULT:
		return (struct detail){ x->fault.gpa, x->fault.access };
	case XK_CR:
		return (struct detail){ x->cr.cr, x->cr.op };
	case XK_DR:
		return (struct detail){ x->dr.dr, x->dr.write };
	case XK_EXCEPTION:
		return (struct detail){ x->exc.vector, x->exc.payload };
	case XK_TASK_SWITCH:
		return (struct detail){ x->task.selector, x->task.source };
	case XK_APIC_WRITE:
		return (struct detail){ x->apic.offset };
	case XK_APIC_EOI:
		return (struct detail){ x->apic.vector };
	case XK_ENTRY_FAILED:
	case XK_UNKNOWN:
		return (struct detail){ x->raw.reason, x->raw.detail };
	}
	return of_registers(vcpu->regs.gpr, x->kind);
}

void hvx_trace_exit(struct hvx_vcpu *vcpu, const struct hvx_exit *x)
{
	struct detail detail = detail_of(vcpu, x);
	bool in = x->kind == XK_IO && x->io.in;

	trace_hvx_exit(vcpu->id, in ? "IN" : kinds[x->kind], hvx_rip(vcpu), detail.first,
		       detail.second);
}

void hvx_trace_user_exit(struct hvx_vcpu *vcpu, int error)
{
	u32 reason = READ_ONCE(vcpu->run->exit_reason);

	/* The VMM may write to the run page at any time */
	if (reason >= ARRAY_SIZE(reasons))
		reason = HVX_EXIT_NONE;
	reason = array_index_nospec(reason, ARRAY_SIZE(reasons));
	trace_hvx_user_exit(vcpu->id, reasons[reason], error);
}
