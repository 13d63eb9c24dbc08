/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VT-x backend's own objects.
 *
 *   vmx.c		struct hvx_ops, VMs and vCPUs
 *   vmx_caps.c		with vmx_caps.h: what this processor can do: refusal at load, control words
 *   vmx_window.c	the VMX window: open and close, and what of the host they put away
 *   vmx_vmcs.c		VMCS: set-up, register groups in and out
 *   vmx_exit.c		enter, event injection, exit reasons into struct hvx_exit
 *   vmx_apicv.c	the local APIC, as far as the processor virtualizes it
 *   vmx_msr.c		MSR bitmaps; MSRs of SYSCALL, with vmx_msr.h
 *   vmx_model.c		MSRs of Intel's processors that are a value
 *   vmx_spec.c		speculation: what is done at entry, exit and window
 *   vmx_entry.S		registers in, VMLAUNCH or VMRESUME, registers out
 *   vmx_hw.h		names and encodings of the Intel SDM
 */
#ifndef HVX_VMX_H
#define HVX_VMX_H

#include <asm/desc_defs.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>
#include <linux/percpu.h>
#include "vcpu/vcpu.h"
#include "vmx_caps.h"

/* Host values of the MSRs of SYSCALL and their kin. KERNEL_GS_BASE is the task's. */
struct vmx_msrs {
	u64 star, lstar, sfmask, tsc_aux;
};

/* One physical CPU. Context: that CPU, interrupts off. */
struct vmx_cpu {
	void *vmxon_region;		/* [I] */
	u64 vmxon_pa;			/* [I] */
	u64 last_serial;		/* vmx_vcpu of the last window here */
	bool msrs_known;
	struct vmx_msrs msrs;		/* the kernel's own, which never change */
};

DECLARE_PER_CPU(struct vmx_cpu, vmx_cpu);

/* vmx_host.cpu where it is no CPU */
#define VMX_HOST_UNKNOWN	-1	/* no window yet: the fields have nothing */
#define VMX_HOST_SHARED		-2	/* the fields may have what another hypervisor left there */

/* What the HOST_ fields of a VMCS hold, and what an exit does not bring back */
struct vmx_host {
	u64 cr3, cr4, fs_base, perf_global_ctrl;	/* as in the VMCS, but for CR4.VMXE */
	u32 debugctl;			/* nothing is above bit 31 */
	u64 rtit_ctl;
	struct desc_ptr gdt;
	u32 has_selectors;		/* one of those that follow is not 0, else they are stale */
	u16 ds, es, fs, gs, ldt;
	int cpu;			/* whose per-CPU fields the VMCS has */
};

/* vmx_vcpu.host_event: what to hand to the host after the window */
#define VMX_HOST_NMI		BIT(0)
#define VMX_HOST_MACHINE_CHECK	BIT(1)

/* All fields: vcpu->lock held; those of the window: interrupts off besides. */
struct vmx_vcpu {
	struct hvx_vcpu vcpu;

	/* What every round trip touches */
	u64 host_rsp;			/* as in the VMCS; vmx_entry.S writes both */
	u64 avail;			/* registers that stay available over an entry: RM() */
	u8 enter_flags;			/* VMX_ENTER_: no RESUME after VMCLEAR */
	bool stale_controls;		/* debug control changed; RM(DR7) is dirty then */
	u8 host_event;			/* VMX_HOST_ */

	/* As in the VMCS */
	u32 primary;
	u32 secondary;
	u32 entry;
	u32 exception_bitmap;
	u64 eoi_exit[4];		/* vectors whose end exits */
	u64 guest_cr0, guest_cr4;
	bool msrs_passed;		/* STAR, LSTAR, SFMASK are loaded in windows, too */

	/* The window */
	bool loaded;			/* VMCS is current on this CPU */
	bool own;			/* VMX operation is this window's */
	bool msrs_loaded;		/* the guest's KERNEL_GS_BASE is on the CPU ... */
	u64 host_kernel_gs_base;	/* ... instead of this */
	const struct vmx_msrs *host_msrs;	/* ... and these: of struct vmx_cpu, or ... */
	struct vmx_msrs found_msrs;	/* ... what was there, if not own */
	u64 host_cr4;			/* before the window */
	u64 previous;			/* current VMCS before the window, if not own */
	struct vmx_host host;

	void *vmcs;			/* [I] */
	u64 vmcs_pa;			/* [I] */
	u64 eptp;			/* [I] */
	u64 serial;			/* [I] never used twice, unlike the address */
	u16 vpid;			/* [I] 0: VPIDs are not in use */
};

/* Which MSR bitmap: bits of an index. Without them those MSRs exit. */
#define VMX_BITMAP_SYSCALL	BIT(0)	/* the guest has the MSRs of SYSCALL on the CPU */
#define VMX_BITMAP_X2APIC	BIT(1)	/* the processor virtualizes x2APIC mode */
#define VMX_BITMAP_SPEC_CTRL	BIT(2)	/* the guest has its own IA32_SPEC_CTRL on the CPU */
#define VMX_NR_MSR_BITMAPS	8

/* MSR bitmaps of a VM: written by msr_filter_changed() under vm->lock, read by processors */
struct vmx_vm {
	struct hvx_vm vm;
	void *msr_bitmap[VMX_NR_MSR_BITMAPS];	/* [I] NULL: not needed on this processor */
	void *apic_page;			/* [I] APIC-access page; nothing is ever in it */
};

static inline struct vmx_vcpu *to_vmx(struct hvx_vcpu *vcpu)
{
	return container_of(vcpu, struct vmx_vcpu, vcpu);
}

static inline struct vmx_vm *to_vmx_vm(struct hvx_vm *vm)
{
	return container_of(vm, struct vmx_vm, vm);
}

/* Pages that every VMCS refers to: immutable after load */
extern void *vmx_io_bitmap[2];

/* vmx_window.c. Context: window, but for vmx_enter_root*(), which begin one: interrupts off. */
int vmx_open(struct hvx_vcpu *vcpu);
void vmx_close(struct hvx_vcpu *vcpu);
int vmx_enter_root(struct vmx_vcpu *vmx);
int vmx_enter_root_for_regs(struct vmx_vcpu *vmx);
void vmx_leave_root(struct vmx_vcpu *vmx);

/* vmx_vmcs.c */
int vmx_setup_vmcs(struct vmx_vcpu *vmx);			/* process */
void vmx_write_regs(struct vmx_vcpu *vmx);			/* window */
void vmx_read_regs(struct hvx_vcpu *vcpu, u64 mask);		/* process or window */
void vmx_set_windows(struct hvx_vcpu *vcpu, bool irq, bool nmi);	/* window */
void vmx_tlb_flush(struct hvx_vcpu *vcpu);			/* window */

/* vmx_exit.c. Context: window. */
void vmx_enter(struct hvx_vcpu *vcpu, struct hvx_exit *x);

/* vmx_check.c. Context: process. */
bool vmx_check_entry(struct hvx_vcpu *vcpu, struct hvx_entry_failure *failure);

/* vmx_apicv.c */
u32 vmx_apicv_traits(void);
int vmx_apicv_vm_init(struct vmx_vm *vm);			/* process */
void vmx_apicv_vm_fini(struct vmx_vm *vm);			/* process */
void vmx_apicv_setup(struct vmx_vcpu *vmx);			/* VMCS is current */
u32 vmx_apicv_sync(struct vmx_vcpu *vmx, u32 primary);		/* window */

/* vmx_msr.c */
int vmx_msr_vm_init(struct vmx_vm *vm);				/* process */
void vmx_msr_vm_fini(struct vmx_vm *vm);			/* process */
void vmx_msr_filter_changed(struct hvx_vm *vm);			/* process */
void vmx_sync_msrs(struct vmx_vcpu *vmx);			/* window */
void vmx_read_syscall_msrs(struct vmx_vcpu *vmx);		/* window */
void vmx_sync_spec_ctrl(struct vmx_vcpu *vmx);			/* window */

/* vmx_model.c */
#define VMX_NR_MSR_RULES	15
extern struct hvx_msr_rule vmx_msr_rules[VMX_NR_MSR_RULES];
void vmx_model_start(void);					/* process */

/* vmx_spec.c */
void vmx_spec_start(void);					/* process */

/* vmx_entry.S: exit reason, VMX_ENTER_FAILED or VMX_ENTER_FAULTED. Context: window. */
asmlinkage u32 hvx_vmx_enter(u64 *gprs, u32 flags, u64 *host_rsp);
asmlinkage void hvx_vmx_exit(void);	/* HOST_RIP, not to be called */
asmlinkage void hvx_vmx_exit_spec_ctrl(void);	/* ditto, with VMX_ENTER_SPEC_CTRL */

/* Registers that no guest changes without an exit */
#define VMX_KEPT	(RM(EFER) | RM(DR7) | RM(TSC) | RM(SPEC_CTRL))

/* CR0 and CR4 bits that the guest changes without an exit; all processors with EPT have them */
#define VMX_CR0_GUEST_OWNED	(X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_WP | X86_CR0_AM)
#define VMX_CR4_GUEST_OWNED	(X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PGE |	\
				 X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT)

/*
 * Always intercepted: #UD for the other vendor's hypercall; #DB and #AC, because a guest can make
 * their delivery raise them again without end; #MC for the host.
 */
#define VMX_EXCEPTIONS	(BIT(X86_TRAP_DB) | BIT(X86_TRAP_UD) | BIT(X86_TRAP_AC) | BIT(X86_TRAP_MC))

/* What the fields hold for the guest's CR0 and CR4. Unrestricted guests may clear PE and PG. */
static inline u64 vmx_hw_cr0(u64 cr0)
{
	return cr0 | (vmx_caps.cr0_fixed0 & ~(X86_CR0_PE | X86_CR0_PG));
}

/*
 * CR4.MCE is the host's: without it a machine check shuts the processor down, intercept or not
 * (Intel SDM vol. 3A, "Machine-Check Exception (#MC)").
 */
static inline u64 vmx_hw_cr4(u64 cr4)
{
	return cr4 | vmx_caps.cr4_fixed0 | vmx_caps.cr4_host;
}

static inline u32 vmx_interruptibility(u32 shadow)
{
	return (shadow & (SHADOW_STI | SHADOW_MOV_SS)) | (shadow & SHADOW_NMI) << 1;
}

static inline u32 vmx_shadow(u32 interruptibility)
{
	return (interruptibility & 3) | (interruptibility >> 1 & SHADOW_NMI);
}

/*
 * Pending debug exceptions that go with regs.shadow: a single step under a shadow must be pending
 * (Intel SDM vol. 3C, "Checks on Guest Non-Register State"). Needs RM(SHADOW) and RM(RFLAGS).
 */
static inline u64 vmx_pending_debug(const struct hvx_regs *regs)
{
	return regs->shadow & (SHADOW_STI | SHADOW_MOV_SS) && regs->rflags & X86_EFLAGS_TF ?
	       BIT(14) : 0;
}

#endif
