/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The AMD-V backend's own structures.
 *
 *   svm_hw.h		what the manual defines
 *   svm.c		load and unload, VMs and vCPUs
 *   svm_caps.c		with svm_caps.h: what this CPU can do, refusals
 *   svm_window.c	open and close: EFER.SVME, VM_HSAVE_PA, VMLOAD state, ASIDs
 *   svm_vmcb.c		registers between the cache and the VMCB, intercepts
 *   svm_exit.c		enter: EXITCODE to struct hvx_exit
 *   svm_event.c	injection, NMI blocking, windows, single step
 *   svm_msr.c		MSR permission map
 *   svm_model.c	MSRs of AMD's processors that are a value
 *   svm_entry.S	VMRUN
 *
 * GIF is 0 from the end of open() to the middle of close(): NMIs and machine checks wait (AMD APM
 * vol. 2, "Global Interrupt Flag, STGI and CLGI Instructions"). So the state that VMLOAD switches
 * (FS, GS, TR, LDTR, SYSCALL and SYSENTER MSRs) may stay the guest's from the first entry to the
 * close: nothing that uses a stack of the TSS can happen, and kernel code with interrupts off needs
 * of it only GS.base, which svm_entry.S gives back before any C runs. That takes as many
 * instructions as VMSAVE and two VMLOADs at every exit, but none that moves twelve registers.
 */
#ifndef HVX_SVM_H
#define HVX_SVM_H

/* struct svm_switch, for svm_entry.S */
#define SVM_SWITCH_VMCB_PA	0
#define SVM_SWITCH_GUEST_GS	8
#define SVM_SWITCH_HOST_GS	16
#define SVM_SWITCH_VERW		24
#define SVM_SWITCH_HIDDEN	26
#define SVM_SWITCH_OWN_SPEC	27

/* In struct hvx_vcpu, for svm_entry.S: GPRs, @n in the order of the instruction encoding; ... */
#define SVM_GPR(n)		((n) * 8)
#define SVM_SPEC_CTRL		(28 * 8)
#define SVM_HOST_SPEC_CTRL	(29 * 8)

#ifndef __ASSEMBLER__

#include <linux/build_bug.h>
#include <linux/percpu.h>
#include "svm_caps.h"
#include "svm_hw.h"
#include "vcpu/vcpu.h"

/* svm_switch.hidden: where the truth about the guest's VMLOAD state is */
#define SVM_HIDDEN_ON_CPU	0	/* the VMCB is stale */
#define SVM_HIDDEN_IN_VMCB	1	/* VMLOAD before the next VMRUN, which makes it ON_CPU */

struct svm_switch {
	u64 vmcb_pa;
	u64 guest_gs;		/* GS.base of the guest under SVM_HIDDEN_ON_CPU */
	u64 host_gs;
	u16 verw;		/* a valid selector, for VERW */
	/* Compared as one word of 16 bits */
	u8 hidden;		/* SVM_HIDDEN_*; each window begins with IN_VMCB */
	bool own_spec_ctrl;	/* IA32_SPEC_CTRL is the guest's own */
};

static_assert(offsetof(struct hvx_vcpu, regs.gpr) == SVM_GPR(0));
static_assert(offsetof(struct hvx_vcpu, regs.spec_ctrl) == SVM_SPEC_CTRL);
static_assert(offsetof(struct hvx_vcpu, regs.host_spec_ctrl) == SVM_HOST_SPEC_CTRL);
static_assert(offsetof(struct svm_switch, vmcb_pa) == SVM_SWITCH_VMCB_PA);
static_assert(offsetof(struct svm_switch, guest_gs) == SVM_SWITCH_GUEST_GS);
static_assert(offsetof(struct svm_switch, host_gs) == SVM_SWITCH_HOST_GS);
static_assert(offsetof(struct svm_switch, hidden) == SVM_SWITCH_HIDDEN);
static_assert(offsetof(struct svm_switch, own_spec_ctrl) == SVM_SWITCH_OWN_SPEC);
static_assert(offsetof(struct svm_switch, verw) == SVM_SWITCH_VERW);

/* svm_vcpu.attention: what makes an entry more than the common one */
#define SVM_ATT_NMI_WINDOW	BIT(0)	/* exit when an NMI could be delivered */
#define SVM_ATT_DEBUG_STEP	BIT(1)	/* the VMM steps */
#define SVM_ATT_STEPPING	BIT(2)	/* this entry has RFLAGS.TF set on its own account */
#define SVM_ATT_IRET		BIT(3)	/* the IRET at iret_rip ends NMI blocking */
#define SVM_ATT_INJECTED	BIT(4)	/* this entry has an event in EVENTINJ */
#define SVM_ATT_FLUSH		BIT(5)	/* this entry has a TLB_CONTROL */
#define SVM_ATT_PUSHF		BIT(6)	/* the VMM's next step is over PUSHF */

/* svm_vcpu.at_close: what close() does beside what it always does */
#define SVM_CLOSE_TSC_AUX	BIT(0)	/* TSC_AUX is the guest's */
#define SVM_CLOSE_TSC_RATIO	BIT(1)	/* so is the TSC ratio */
#define SVM_CLOSE_MC		BIT(2)	/* a machine check stopped the guest: give it to the host */

/* Of the cache before an entry with something new in it, which alone can be refused */
struct svm_entry {
	u64 avail;
	u64 rip, rflags, rax, cr2;
	u64 interrupt_shadow;	/* of the VMCB */
	u32 v_intr;		/* ditto */
	u8 event;		/* enum hvx_event_type */
};

/* All fields: vcpu->lock */
struct svm_vcpu {
	struct hvx_vcpu vcpu;
	struct vmcb *vmcb;
	struct svm_switch sw;
	u8 attention;		/* SVM_ATT_* */
	u8 soft_len;		/* RIP was advanced by this much to inject INT3 or INTO */
	u32 nmi_shadow;		/* SHADOW_NMI while NMIs are blocked, else 0 */
	u32 intercept_exc;	/* intercepted exceptions but for those of a single step */
	u32 guest_tf;		/* RFLAGS.TF under SVM_ATT_STEPPING */
	u64 iret_rip;
	struct svm_entry entry;	/* to go back to when VMRUN refuses */
	u64 asid_gen;		/* svm_cpu.asid_gen that the ASID belongs to; 0: none */
	u64 msrpm_gen;		/* svm_vm.msrpm_gen that this vCPU has seen */
	u64 serial;		/* never used twice, unlike the address */
	u64 tsc_ratio;		/* for the TSC ratio MSR; 0 where there is none */
	u8 at_close;		/* window: SVM_CLOSE_* */
};

struct svm_vm {
	struct hvx_vm vm;
	unsigned long *msrpm;	/* written under vm->lock, read by CPUs */
	unsigned long *spec_msrpm;	/* ditto, with IA32_SPEC_CTRL; NULL: not needed here */
	atomic64_t msrpm_gen;
	u64 *pml5;		/* [I] for hosts with 5-level paging, else NULL */
};

/* Of this CPU; interrupts off */
struct svm_cpu {
	struct page *pages;	/* immutable after load: host save area, host VMLOAD state */
	u64 hsave_pa;		/* ditto */
	u64 host_pa;		/* ditto */
	struct vmcb *host;	/* ditto: what VMSAVE writes at host_pa */
	u32 efer;		/* window: what to give back; there is nothing above bit 31 */
	u64 old_hsave_pa;	/* window: what to give back when SVME was set already */
	u64 asid_gen;		/* moves when ASIDs are given out anew; no two CPUs have the same */
	u64 tsc_aux;		/* the kernel's own, which never changes, or SVM_TSC_AUX_UNKNOWN */
	u64 tsc_ratio;		/* TSC ratio MSR outside of windows; 0 where there is none */
	u32 next_asid;
	u64 last_serial;	/* svm_vcpu that ran last here */
};

/* From a ratio of TSCs as the core has it */
#define SVM_TSC_RATIO_SHIFT	(HVX_TSC_FRACTION - SVM_TSC_RATIO_FRACTION)

#define SVM_FIRST_ASID_GEN(cpu)	((u64)(cpu) << 48 | 1)
#define SVM_TSC_AUX_UNKNOWN	(~0ULL)		/* the register has 32 bits */

extern bool svm_share;
DECLARE_PER_CPU(struct svm_cpu, svm_cpus);

static inline struct svm_vcpu *to_svm(struct hvx_vcpu *vcpu)
{
	return container_of(vcpu, struct svm_vcpu, vcpu);
}

static inline struct svm_vm *to_svm_vm(struct hvx_vm *vm)
{
	return container_of(vm, struct svm_vm, vm);
}

/* The CPU may no longer use what it remembers of these fields (SVM_CLEAN_*) */
static inline void svm_dirty(struct svm_vcpu *svm, u32 clean_bits)
{
	svm->vmcb->clean &= ~clean_bits;
}

static inline void svm_intercept(struct svm_vcpu *svm, unsigned int i, bool on)
{
	u32 *word = &svm->vmcb->intercept[i / 32], old = *word;

	*word = on ? old | BIT(i % 32) : old & ~BIT(i % 32);
	if (*word != old)
		svm_dirty(svm, SVM_CLEAN_I);
}

/*
 * Bring the VMLOAD state into the VMCB. GS.base on the CPU is the host's meanwhile. Outside of a
 * window it is there already.
 */
static inline void svm_save_hidden(struct svm_vcpu *svm)
{
	if (svm->sw.hidden)
		return;
	svm_vmsave(svm->sw.vmcb_pa);
	svm->vmcb->gs.base = svm->sw.guest_gs;
}

/* svm.c */
u64 svm_nested_root(struct svm_vm *vm);

/* svm_window.c */
int svm_cpus_alloc(void);
void svm_cpus_free(void);
bool svm_held(void);
void svm_say_held(void);
int svm_open(struct hvx_vcpu *vcpu);
void svm_close(struct hvx_vcpu *vcpu);
void svm_tlb_flush(struct hvx_vcpu *vcpu);
void svm_load_tsc_aux(struct svm_vcpu *svm);
void svm_load_tsc_ratio(struct svm_vcpu *svm);

/* svm_vmcb.c */
void svm_vmcb_reset(struct svm_vcpu *svm);
void svm_read_regs(struct hvx_vcpu *vcpu, u64 mask);
void svm_write_regs(struct svm_vcpu *svm);
void svm_update_debug(struct hvx_vcpu *vcpu);
void svm_update_exceptions(struct svm_vcpu *svm);

/* svm_exit.c */
void svm_enter(struct hvx_vcpu *vcpu, struct hvx_exit *x);
bool svm_exited(struct hvx_vcpu *vcpu, struct hvx_exit *x);

/* svm_event.c */
void svm_inject(struct svm_vcpu *svm);
void svm_requeue(struct svm_vcpu *svm, u32 info, u32 error);
void svm_block_nmi(struct svm_vcpu *svm, bool block);
void svm_attend_entry(struct svm_vcpu *svm);
void svm_attend_exit(struct svm_vcpu *svm, struct hvx_exit *x);
void svm_begin_iret(struct svm_vcpu *svm);
void svm_set_windows(struct hvx_vcpu *vcpu, bool irq, bool nmi);

/* svm_msr.c */
int svm_msrpm_alloc(struct svm_vm *vm);
void svm_msrpm_free(struct svm_vm *vm);
void svm_msr_filter_changed(struct hvx_vm *vm);
u64 svm_msrpm_pa(const struct svm_vcpu *svm);

/* svm_model.c */
#define SVM_NR_MSR_RULES	18
extern struct hvx_msr_rule svm_msr_rules[SVM_NR_MSR_RULES];
void svm_model_start(void);

/* svm_check.c */
bool svm_check_entry(struct hvx_vcpu *vcpu, struct hvx_entry_failure *failure);

/* svm_entry.S: VMRUN and svm_exited(@vcpu, @x), until that one says false */
void svm_vmrun(struct hvx_vcpu *vcpu, struct hvx_exit *x, struct svm_switch *sw);

#endif /* __ASSEMBLER__ */
#endif
