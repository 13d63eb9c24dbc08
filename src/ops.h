/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * struct hvx_ops: everything that the neutral code may ask of a backend.
 *
 * The list below is the only one: the struct, the static calls and their binding at load are made
 * from it. Contexts are named at each operation:
 *   process  may sleep, vcpu->lock held where a vCPU is passed
 *   window   interrupts off, between open() and close() on one CPU
 *
 * Upcalls that a backend may make are named here, too; it calls nothing else above it.
 */
#ifndef HVX_OPS_H
#define HVX_OPS_H

#include <linux/static_call.h>
#include <linux/types.h>
#include "vcpu/exit.h"

struct hvx_vm;
struct hvx_vcpu;
struct hvx_pt_format;
struct hvx_entry_failure;
struct hvx_msr_rule;

/*
 * open         window: take the CPU into host mode of the extension and load the vCPU's structure.
 *              0, or -EBUSY with the CPU as it was when another hypervisor is in the way.
 * close        window: undo open(); read back what must not stay on the CPU (SYSCALL MSRs).
 * enter        window: write dirty registers back, inject vcpu->inject, run the guest until it
 *              exits, fill in the exit, mark what is available. Puts an event whose delivery was
 *              cut short back into vcpu->inject.
 * read_regs    process or window: make the registers in the mask available.
 * set_windows  window: exit when an interrupt or NMI could be delivered; take over what changed of
 *              the local APIC where the processor uses its registers.
 * tlb_flush    window: forget second-level translations of this vCPU on this CPU.
 */
#define HVX_HOT_OPS(OP)							\
	OP(int, open, (struct hvx_vcpu *vcpu))				\
	OP(void, close, (struct hvx_vcpu *vcpu))			\
	OP(void, enter, (struct hvx_vcpu *vcpu, struct hvx_exit *x))	\
	OP(void, read_regs, (struct hvx_vcpu *vcpu, u64 mask))		\
	OP(void, set_windows, (struct hvx_vcpu *vcpu, bool irq, bool nmi)) \
	OP(void, tlb_flush, (struct hvx_vcpu *vcpu))

/* Prototypes for the sake of their types: nothing defines these functions */
#define OP(ret, name, args)	ret hvx_type_##name args;
HVX_HOT_OPS(OP)
#undef OP

/* struct hvx_ops::traits: what the neutral code has to do because the hardware does not */
#define HVX_TRAIT_PDPTE		BIT(0)	/* load PDPTEs when PAE paging changes */
#define HVX_TRAIT_LMA		BIT(1)	/* set EFER.LMA when long mode is activated */
#define HVX_TRAIT_UD_CALL	BIT(2)	/* the other vendor's call instruction raises #UD */
#define HVX_TRAIT_TOPOEXT	BIT(3)	/* topology is in extended CPUID leaves, too */

/*
 * ... and what it does by itself: use the register page of a local APIC while the guest runs, so
 * that nobody else may write to it then; deliver the interrupts in it besides
 */
#define HVX_TRAIT_APIC_PAGE	BIT(4)
#define HVX_TRAIT_APIC_VIRTUAL	BIT(5)

/**
 * struct hvx_ops - a backend
 * @name: "vmx" or "svm"
 * @vendor: enum hvx_vendor of the ABI
 * @vcpu_size: bytes of the backend's vCPU, whose first member is struct hvx_vcpu
 * @vm_size: bytes of the backend's VM, whose first member is struct hvx_vm
 * @pt_format: second-level page-table format; @start may choose another
 * @pt_max_level: largest leaf that the processor knows: HVX_PT_4K, _2M or _1G; set by @start
 * @check: process: can this CPU run guests? 0, or -ENODEV/-EOPNOTSUPP/-EBUSY after a pr_err() that
 *	names the cause and the next step
 * @start: process: after @check, at load: allocate per-CPU pages, fill in features
 * @stop: process: at unload; cannot fail
 * @can_run: process: before a VM is created; 0, or -EBUSY after a pr_err()
 * @features: process: HVX_HOST_* of the ABI
 * @traits: HVX_TRAIT_*; set by @start
 * @tsc_ratio_bits: what the processor can hold of a ratio of TSCs (hvx_tsc_ratio()); 0: the TSC of
 *	a guest runs at the host's rate; set by @start
 * @msr_rules: MSRs of this vendor's processors; @start may change values after RESET
 * @nr_msr_rules: how many
 * @vm_init: process: 0 or -ENOMEM
 * @vm_fini: process
 * @vcpu_init: process: hardware structure in its initial state; registers are set by the core
 * @vcpu_fini: process
 * @update_debug: process or window: vcpu->debug changed: intercepts of #DB, #BP, trap flag
 * @msr_filter_changed: process: vm->msr_filter changed; vCPUs are kicked by the caller
 * @check_entry: process: run the manual's checks over the state that would be entered with; true
 *	when one fails, with @failure filled in. Also called after the processor refused.
 *
 * All members are immutable after load.
 */
struct hvx_ops {
	const char *name;
	u32 vendor;
	size_t vcpu_size;
	size_t vm_size;
	const struct hvx_pt_format *pt_format;
	int pt_max_level;
	u32 traits;
	u64 tsc_ratio_bits;
	struct hvx_msr_rule *msr_rules;
	size_t nr_msr_rules;

	int (*check)(void);
	int (*start)(void);
	void (*stop)(void);
	int (*can_run)(void);
	u64 (*features)(void);
	int (*vm_init)(struct hvx_vm *vm);
	void (*vm_fini)(struct hvx_vm *vm);
	int (*vcpu_init)(struct hvx_vcpu *vcpu);
	void (*vcpu_fini)(struct hvx_vcpu *vcpu);
	void (*update_debug)(struct hvx_vcpu *vcpu);
	void (*msr_filter_changed)(struct hvx_vm *vm);
	bool (*check_entry)(struct hvx_vcpu *vcpu, struct hvx_entry_failure *failure);

#define OP(ret, name, args)	typeof(hvx_type_##name) *name;
	HVX_HOT_OPS(OP)
#undef OP
};

#define OP(ret, name, args)	DECLARE_STATIC_CALL(hvx_op_##name, hvx_type_##name);
HVX_HOT_OPS(OP)
#undef OP

/* Ask the backend: hvx_op(enter)(vcpu, &x) */
#define hvx_op(name)	static_call(hvx_op_##name)

extern struct hvx_ops *hvx_ops;		/* the backend in use; immutable after load */
extern struct hvx_ops hvx_vmx_ops;
extern struct hvx_ops hvx_svm_ops;

#endif
