/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * struct hvx_vcpu: a virtual processor. Embedded first in the backend's own struct.
 *
 * Field legend: [I] immutable after creation, [v] vcpu->lock, [a] atomic or READ_ONCE/WRITE_ONCE.
 * HVX_RUN holds vcpu->lock from its begin to its end; window code runs under it.
 */
#ifndef HVX_VCPU_H
#define HVX_VCPU_H

#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcuwait.h>
#include <uapi/linux/hvx.h>
#include "emul/emul.h"
#include "exit.h"
#include "cpu/msr_rules.h"
#include "cpu/spec.h"
#include "ops.h"
#include "pv/pv.h"
#include "regs.h"
#include "vm.h"

struct hvx_cpuid_table;
struct hvx_lapic;

/* An event that goes into the guest with the next entry; type is enum hvx_event_type of the ABI */
struct hvx_inject {
	u8 type;		/* HVX_EVENT_NONE: nothing */
	u8 vector;
	bool has_error;
	bool has_payload;
	u8 insn_len;		/* HVX_EVENT_SOFT_INT; also INT3/INTO as exceptions: nonzero */
	u32 error;
	u64 payload;
};

/*
 * Requests: bits of vcpu->requests, set by anyone, taken by the vCPU before it enters. All but
 * HVX_REQ_EVENT are served outside of the window.
 */
enum hvx_request {
	HVX_REQ_EVENT,		/* an event waits, or a window is wanted: hvx_event_prepare() */
	HVX_REQ_CHECK_ENTRY,	/* the VMM set registers: run the entry checks */
	HVX_REQ_PDPTES,		/* hvx_paging_prepare() */
	HVX_REQ_STEPPED,	/* the VMM's single step is over: exit */
	HVX_REQ_SHUTDOWN,	/* triple fault while emulating: exit */
	HVX_REQ_MESSAGE,	/* INIT or STARTUP came: hvx_take_messages() */
	HVX_REQ_BLOCK,		/* HLT, or no start yet: hvx_wait() */
	HVX_REQ_EOI,		/* tell the VMM of an EOI: exit */
	HVX_REQ_PV,		/* hvx_pv_serve() */
	HVX_REQ_PINS,		/* pins that nobody took could be taken now: hvx_irq_resend() */
	HVX_REQ_APIC_PAGE,	/* hvx_apic_page_update() */
};

/* What the next HVX_RUN has to finish first */
enum hvx_pending {
	HVX_PENDING_NONE,
	HVX_PENDING_IO_IN,
	HVX_PENDING_IO_STRING,
	HVX_PENDING_MMIO,
	HVX_PENDING_MOVE,	/* emul.last, a MOV that the window began */
	HVX_PENDING_MSR_READ,
	HVX_PENDING_MSR_WRITE,
	HVX_PENDING_HYPERCALL,
	HVX_PENDING_TASK,
};

/* Debugging by the VMM, from HVX_SET_DEBUG */
struct hvx_debug_state {
	u32 control;		/* HVX_DEBUG_* */
	u64 dr[4];
	u64 dr7;
};

struct hvx_vcpu {
	struct hvx_regs regs;			/* [v] first: entry code has offsets */

	struct hvx_vm *vm;			/* [I] holds a reference */
	struct hvx_run *run;			/* [I] run page: shared with user space */
	unsigned int id;			/* [I] */
	struct mutex lock;

	unsigned long requests;			/* [a] enum hvx_request */
	int window_cpu;				/* [a] CPU of the open window, -1: none */
	int last_cpu;				/* [v] CPU of the last window, -1: none yet */
	u64 tlb_gen;				/* [v] vm->mmu.tlb_gen at the last flush */
	u64 exits;				/* [v] */
	u64 faults;				/* [v] second-level faults that added an entry */
	u64 rewrites;				/* [v] those that hvx_mmu_allow_write() resolved */
	struct hvx_holes holes;			/* [v] */
	bool page_absent;			/* [v] the VMM has none where the window looked */

	struct hvx_inject inject;		/* [v] goes in with the next entry */
	bool nmi_pending;			/* [v] */
	bool irq_pending;			/* [v] of the VMM */
	u8 irq_vector;				/* [v] */
	bool acked_pending;			/* [v] its delivery was cut short: goes first */
	u8 acked_vector;			/* [v] */
	bool halted;				/* [v] */
	u8 activity;				/* [v] enum hvx_activity */
	unsigned long eoi_vectors[4];		/* [v] for HVX_REQ_EOI: ends to tell the VMM of */
	bool apic_away;				/* [v] counted in mmu.apic_away */
	u32 halt_poll_ns;			/* [v] how long HLT polls now */
	struct hvx_lapic *lapic;		/* [I] NULL without HVX_VM_LAPIC */
	struct rcuwait wait;			/* [a] where it sleeps */
	struct task_struct *runner;		/* [a] the task in HVX_RUN; read by RCU */

	enum hvx_pending pending;		/* [v] */
	struct hvx_exit exit;			/* [v] the last one; also what .pending is about */
	u32 pending_count;			/* [v] elements of a string */
	u64 pending_linear;			/* [v] where they go */
	struct hvx_emul emul;			/* [v] instruction that waits for MMIO */

	struct hvx_debug_state debug;		/* [v] */
	struct hvx_cpuid_table *cpuid;		/* [v] */
	bool has_run;				/* [v] */
	int run_error;				/* [v] errno of HVX_NEXT_ERROR */
	u64 run_head;				/* [v] first word of the run page, as last taken */
	u64 wanted;				/* [v] regs_wanted that exit_mask is for */
	u64 exit_mask;				/* [v] registers that an exit to user space needs */
	bool want_irq_window;			/* [v] from the run page, at HVX_RUN */
	bool want_nmi_window;			/* [v] ditto */
	u64 cr4_allowed;			/* [v] CR4 bits that this guest may set */
	u64 efer_allowed;			/* [v] EFER bits that this guest may set */
	bool topoext;				/* [v] its CPUID has AMD's topology leaves */
	bool own_topology;			/* [v] the VMM has said how many processors */
	u32 pv_features;			/* [v] KVM_FEATURE_* that it is told of */
	struct hvx_pv pv;
	struct hvx_spec spec;
	u64 msr_values[HVX_MSR_VALUES];		/* [v] see msr_rules.h */
	u64 tsc_adjust;				/* [v] IA32_TSC_ADJUST */
	u32 tsc_khz;				/* [v] rate of its TSC; 0: not known */
	u64 tsc_shift;				/* [v] hvx_tsc_shift as the hardware knows it */
	u32 sleeps;				/* [v] hvx_sleeps then */

	void *fpu;				/* [v] XSAVE area, 64-byte aligned */
	u64 guest_xcr0;				/* [v] features a guest may enable: 0 = no XSAVE */
	bool dr_armed;				/* [v] DR7 in force enables a breakpoint */
	bool host_dr_loaded;			/* [v] window: DR0-3 are not the host's */
	u64 host_dr[4];				/* [v] window: the host's meanwhile */
};

static inline struct hvx_regs *regs_of(struct hvx_vcpu *vcpu)
{
	return &vcpu->regs;
}

/* Make the registers in @mask (RM()) available */
static inline void hvx_need(struct hvx_vcpu *vcpu, u64 mask)
{
	if (unlikely(~vcpu->regs.avail & mask))
		hvx_op(read_regs)(vcpu, mask & ~vcpu->regs.avail);
}

/* The registers in @mask were changed here: the hardware structure is stale */
static inline void hvx_changed(struct hvx_vcpu *vcpu, u64 mask)
{
	vcpu->regs.avail |= mask;
	vcpu->regs.dirty |= mask;
}

static inline u64 hvx_rip(struct hvx_vcpu *vcpu)
{
	hvx_need(vcpu, RM(RIP));
	return vcpu->regs.rip;
}

static inline u64 hvx_rflags(struct hvx_vcpu *vcpu)
{
	hvx_need(vcpu, RM(RFLAGS));
	return vcpu->regs.rflags;
}

static inline u64 hvx_cr0(struct hvx_vcpu *vcpu)
{
	hvx_need(vcpu, RM(CR0));
	return vcpu->regs.cr0;
}

static inline u64 hvx_cr3(struct hvx_vcpu *vcpu)
{
	hvx_need(vcpu, RM(CR3));
	return vcpu->regs.cr3;
}

static inline u64 hvx_cr4(struct hvx_vcpu *vcpu)
{
	hvx_need(vcpu, RM(CR4));
	return vcpu->regs.cr4;
}

static inline u64 hvx_efer(struct hvx_vcpu *vcpu)
{
	hvx_need(vcpu, RM(EFER));
	return vcpu->regs.efer;
}

static inline const struct hvx_segment *hvx_segment(struct hvx_vcpu *vcpu, enum hvx_seg_reg i)
{
	hvx_need(vcpu, RM_SEG(i));
	return &vcpu->regs.seg[i];
}

/* RSP has its own bit: use these for a GPR by number */
static inline u64 hvx_gpr(struct hvx_vcpu *vcpu, unsigned int i)
{
	if (i == REG_RSP)
		hvx_need(vcpu, RM(RSP));
	return vcpu->regs.gpr[i];
}

static inline void hvx_set_gpr(struct hvx_vcpu *vcpu, unsigned int i, u64 value)
{
	vcpu->regs.gpr[i] = value;
	if (i == REG_RSP)
		hvx_changed(vcpu, RM(RSP));
}

static inline void hvx_set_rip(struct hvx_vcpu *vcpu, u64 rip)
{
	vcpu->regs.rip = rip;
	hvx_changed(vcpu, RM(RIP));
}

static inline unsigned int hvx_cpl(struct hvx_vcpu *vcpu)
{
	/* SS.DPL is CPL on both vendors, real mode and virtual-8086 mode included */
	return (hvx_segment(vcpu, SEG_SS)->attr & SA_DPL) >> SA_DPL_SHIFT;
}

static inline bool hvx_long_mode(struct hvx_vcpu *vcpu)
{
	return (hvx_efer(vcpu) & BIT(10)) && (hvx_segment(vcpu, SEG_CS)->attr & SA_L);
}

/* TSC offset for the processor */
static inline u64 hvx_hw_tsc_offset(const struct hvx_vcpu *vcpu)
{
	return vcpu->regs.tsc_offset + hvx_tsc_scale_move(vcpu->tsc_shift, vcpu->regs.tsc_ratio);
}

static inline void hvx_request(struct hvx_vcpu *vcpu, enum hvx_request req)
{
	set_bit(req, &vcpu->requests);
}

/*
 * Make a vCPU look at its requests soon: one that sleeps is woken, one in a window leaves it. Set
 * the request before. Context: any, windows included.
 */
void hvx_vcpu_kick(struct hvx_vcpu *vcpu);

/* End HLT without an interrupt (HVX_VM_LAPIC). Context: any. */
void hvx_vcpu_unhalt(struct hvx_vcpu *vcpu);

/* Registers after an INIT signal. Context: process, vcpu->lock. */
void hvx_vcpu_init_signal(struct hvx_vcpu *vcpu);

int hvx_vcpu_create(struct hvx_vm *vm, const struct hvx_create_vcpu *args);
void hvx_vcpu_free(struct hvx_vcpu *vcpu);

#endif
