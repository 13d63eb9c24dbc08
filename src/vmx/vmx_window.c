// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VMX window: VMX operation lasts from open() to close(), with interrupts off.
 *
 * When CR4.VMXE is clear the window is this one's own: set it, VMXON, and undo both at the end.
 * When it is set another hypervisor is in VMX operation on this CPU: then only the current VMCS is
 * remembered and put back. CR4 is read and written raw; the kernel's shadow of it never says
 * VMXE, and nobody else can write CR4 before the window closes.
 *
 * A VM exit leaves the host with flat limits, zero selectors, no LDT, DR7 and IA32_DEBUGCTL cleared
 * (Intel SDM vol. 3C, "Loading Host State"). That harms nobody in the window, so it is mended once,
 * at close(). Host fields of the VMCS are written only when they changed.
 *
 * NMIs may come at any time, and find a kernel that works: GS base, TR base, GDT and IDT are right
 * straight after an exit. An NMI that itself caused the exit is given to the host after VMXOFF.
 */
#include <asm/cpu_entry_area.h>
#include <asm/desc.h>
#include <asm/fsgsbase.h>
#include <asm/mce.h>
#include <asm/segment.h>
#include <asm/special_insns.h>
#include <linux/smp.h>
#include "compat.h"
#include "vmx.h"
#include "vmx_hw.h"
#include "vmx_msr.h"
#include "vmx_spec.h"

DEFINE_PER_CPU(struct vmx_cpu, vmx_cpu);

static __always_inline u64 raw_read_cr4(void)
{
	u64 cr4;

	asm volatile("mov %%cr4, %0" : "=r" (cr4));
	return cr4;
}

static __always_inline void raw_write_cr4(u64 cr4)
{
	asm volatile("mov %0, %%cr4" :: "r" (cr4) : "memory");
}

/* Old processors stop Intel PT at VMXON, and refuse to start it until VMXOFF */
static void stop_pt(struct vmx_host *host)
{
	host->rtit_ctl = hvx_rdmsr(MSR_IA32_RTIT_CTL);
	if (host->rtit_ctl & RTIT_CTL_TRACEEN)
		hvx_wrmsr(MSR_IA32_RTIT_CTL, host->rtit_ctl & ~RTIT_CTL_TRACEEN);
}

static void start_pt(const struct vmx_host *host)
{
	if (host->rtit_ctl & RTIT_CTL_TRACEEN)
		hvx_wrmsr(MSR_IA32_RTIT_CTL, host->rtit_ctl);
}

static __always_inline void end_own(struct vmx_vcpu *vmx)
{
	raw_write_cr4(vmx->host_cr4);
	if (unlikely(vmx_caps.vmxon_stops_pt))
		start_pt(&vmx->host);
}

static __always_inline bool begin_own(struct vmx_vcpu *vmx, struct vmx_cpu *cpu)
{
	if (unlikely(vmx_caps.vmxon_stops_pt))
		stop_pt(&vmx->host);
	raw_write_cr4(vmx->host_cr4 | X86_CR4_VMXE);
	if (likely(!vmx_on(&cpu->vmxon_pa)))
		return false;
	end_own(vmx);
	return true;
}

/* What sync_cpu() reads may be the other hypervisor's */
static noinline bool begin_shared(struct vmx_vcpu *vmx)
{
	if (vmx->host.cpu != VMX_HOST_UNKNOWN)
		vmx->host.cpu = VMX_HOST_SHARED;
	return vmcs_store(&vmx->previous);
}

static __always_inline void leave_operation(struct vmx_vcpu *vmx)
{
	if (likely(vmx->own)) {
		vmx_off();
		end_own(vmx);
	} else if (vmx->previous != VMCS_NONE) {
		vmcs_load(&vmx->previous);
	}
}

/* VMXON fails, or CR4.VMXE is set and VMPTRST faults: the other one is about to begin, or to end */
static noinline int held(void)
{
	pr_err_ratelimited("VT-x is held by another hypervisor in a way that cannot be shared: unload it\n");
	return -EBUSY;
}

static __always_inline int enter_root(struct vmx_vcpu *vmx, struct vmx_cpu *cpu, bool beside)
{
	u64 cr4 = raw_read_cr4();
	bool failed;

	vmx->host_cr4 = cr4;
	vmx->own = !(cr4 & X86_CR4_VMXE);
	failed = likely(vmx->own) ? begin_own(vmx, cpu) : begin_shared(vmx);
	if (unlikely(failed) && beside && !vmx->own) {
		vmx->own = true;
		failed = begin_own(vmx, cpu);
	}
	if (unlikely(failed))
		return held();
	if (unlikely(vmcs_load(&vmx->vmcs_pa))) {
		leave_operation(vmx);
		return held();
	}
	vmx->loaded = true;
	return 0;
}

static __always_inline void leave_root(struct vmx_vcpu *vmx)
{
	/* Also when shared: the VMCS must be in memory before another CPU loads it */
	vmcs_clear(&vmx->vmcs_pa);
	vmx->loaded = false;
	vmx->enter_flags &= ~VMX_ENTER_RESUME;
	leave_operation(vmx);
}

/* A window for access to the VMCS alone: nothing of the host is put away */
int vmx_enter_root(struct vmx_vcpu *vmx)
{
	lockdep_assert_irqs_disabled();
	return enter_root(vmx, this_cpu_ptr(&vmx_cpu), false);
}

/*
 * Registers have to be had, whoever is about to begin or to end: that VMPTRST faults says that this
 * CPU is not in VMX operation, and with interrupts off nobody sees that it was for a while.
 */
int vmx_enter_root_for_regs(struct vmx_vcpu *vmx)
{
	lockdep_assert_irqs_disabled();
	return enter_root(vmx, this_cpu_ptr(&vmx_cpu), true);
}

void vmx_leave_root(struct vmx_vcpu *vmx)
{
	leave_root(vmx);
}

static void sync_cet(void)
{
	vmcs_write(VMCS_HOST_IA32_S_CET, hvx_rdmsr(MSR_IA32_S_CET));
	vmcs_write(VMCS_HOST_SSP, 0);	/* the kernel has no shadow stack */
	vmcs_write(VMCS_HOST_IA32_INTERRUPT_SSP_TABLE, 0);
}

/* Host fields that depend on the CPU or never change */
static noinline void sync_cpu(struct vmx_vcpu *vmx, int cpu)
{
	struct vmx_host *host = &vmx->host;
	struct desc_ptr idt;

	native_store_gdt(&host->gdt);
	store_idt(&idt);
	vmcs_write(VMCS_HOST_CR0, native_read_cr0());
	vmcs_write(VMCS_HOST_GDTR_BASE, host->gdt.address);
	vmcs_write(VMCS_HOST_IDTR_BASE, idt.address);
	vmcs_write(VMCS_HOST_TR_BASE, (unsigned long)&get_cpu_entry_area(cpu)->tss.x86_tss);
	vmcs_write(VMCS_HOST_GS_BASE, hvx_rdmsr(MSR_GS_BASE));
	vmcs_write(VMCS_HOST_IA32_SYSENTER_CS, hvx_rdmsr(MSR_IA32_SYSENTER_CS));
	vmcs_write(VMCS_HOST_IA32_SYSENTER_ESP, hvx_rdmsr(MSR_IA32_SYSENTER_ESP));
	vmcs_write(VMCS_HOST_IA32_SYSENTER_EIP, hvx_rdmsr(MSR_IA32_SYSENTER_EIP));
	if (vmx_caps.pat)
		vmcs_write(VMCS_HOST_IA32_PAT, hvx_rdmsr(MSR_IA32_CR_PAT));
	if (vmx_caps.cet)
		sync_cet();
	vmcs_write(VMCS_HOST_IA32_EFER, hvx_rdmsr(MSR_EFER));
	/* The other hypervisor may keep its guest's EFER on the CPU until user space runs */
	host->cpu = vmx->own ? cpu : VMX_HOST_SHARED;
}

static __always_inline void sync_field(enum vmcs_field field, u64 *known, u64 value)
{
	if (unlikely(*known != value)) {
		vmcs_write(field, value);
		*known = value;
	}
}

static __always_inline u64 read_fs_base(void)
{
	return cpu_feature_enabled(X86_FEATURE_FSGSBASE) ? rdfsbase() : hvx_rdmsr(MSR_FS_BASE);
}

/* VMCS_HOST_CR4 has VMXE besides */
static __always_inline void sync_cr4(struct vmx_host *host, u64 cr4)
{
	if (unlikely(host->cr4 != cr4)) {
		vmcs_write(VMCS_HOST_CR4, cr4 | X86_CR4_VMXE);
		host->cr4 = cr4;
	}
}

/* Selectors of user space: nearly always all are 0 */
static __always_inline void note_selectors(struct vmx_host *host)
{
	u32 ds, es, fs, gs, ldt;

	asm volatile("mov %%ds, %0" : "=r" (ds));
	asm volatile("mov %%es, %0" : "=r" (es));
	asm volatile("mov %%fs, %0" : "=r" (fs));
	asm volatile("mov %%gs, %0" : "=r" (gs));
	asm volatile("sldt %0" : "=r" (ldt));
	host->has_selectors = ds | es | fs | gs | ldt;
	if (unlikely(host->has_selectors)) {
		host->ds = ds;
		host->es = es;
		host->fs = fs;
		host->gs = gs;
		host->ldt = ldt;
	}
}

static __always_inline void sync_host(struct vmx_vcpu *vmx)
{
	struct vmx_host *host = &vmx->host;
	int cpu = raw_smp_processor_id();

	if (unlikely(host->cpu != cpu))
		sync_cpu(vmx, cpu);
	sync_field(VMCS_HOST_CR3, &host->cr3, __native_read_cr3());
	sync_cr4(host, vmx->host_cr4);
	sync_field(VMCS_HOST_FS_BASE, &host->fs_base, read_fs_base());
	if (vmx_caps.perf_ctrl)
		sync_field(VMCS_HOST_IA32_PERF_GLOBAL_CTRL, &host->perf_global_ctrl,
			   hvx_rdmsr(MSR_CORE_PERF_GLOBAL_CTRL));
	host->debugctl = hvx_rdmsr_low(MSR_IA32_DEBUGCTLMSR);
	note_selectors(host);
}

int vmx_open(struct hvx_vcpu *vcpu)
{
	struct vmx_cpu *cpu = this_cpu_ptr(&vmx_cpu);
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	int err;

	err = enter_root(vmx, cpu, false);
	if (unlikely(err))
		return err;
	sync_host(vmx);
	vmx_load_msrs(vmx, cpu);
	vmx_spec_open(vmx, cpu);
	return 0;
}

/* Loading a selector loads the base of its descriptor: put back the base that there was */
static noinline void restore_selectors(const struct vmx_host *host)
{
	u64 base;

	if (host->ldt)
		asm volatile("lldt %0" :: "m" (host->ldt));
	loadsegment(ds, host->ds);
	loadsegment(es, host->es);
	if (host->fs) {
		loadsegment(fs, host->fs);
		hvx_wrmsr(MSR_FS_BASE, host->fs_base);
	}
	if (host->gs) {
		base = hvx_rdmsr(MSR_KERNEL_GS_BASE);
		load_gs_index(host->gs);
		hvx_wrmsr(MSR_KERNEL_GS_BASE, base);
	}
}

/* The limit of the task register is the shortest now; a task with an I/O bitmap needs its own */
static noinline void reload_tss_limit(void)
{
	invalidate_tss_limit();
}

static __always_inline void forget_tss_limit(void)
{
	if (unlikely(test_thread_flag(TIF_IO_BITMAP)))
		reload_tss_limit();
	else
		this_cpu_write(__tss_limit_invalid, true);
}

static __always_inline void restore_host(const struct vmx_host *host)
{
	native_load_gdt(&host->gdt);
	forget_tss_limit();
	if (unlikely(host->has_selectors))
		restore_selectors(host);
	if (unlikely(host->debugctl))
		hvx_wrmsr(MSR_IA32_DEBUGCTLMSR, host->debugctl);
}

/*
 * Hand over what made the guest exit. The NMI's exit left NMIs blocked; the handler's IRET unblocks
 * them. The machine check came from code that may be killed, so that it looks like user mode.
 */
static noinline void deliver_host_event(struct vmx_vcpu *vmx)
{
	u8 event = vmx->host_event;

	vmx->host_event = 0;
	/* A kernel without CONFIG_X86_MCE never sets CR4.MCE */
	if (IS_ENABLED(CONFIG_X86_MCE) && event & VMX_HOST_MACHINE_CHECK) {
		struct pt_regs regs = {
			.cs = 3,
			.flags = X86_EFLAGS_IF,
		};

		do_machine_check(&regs);
	}
	if (event & VMX_HOST_NMI)
		asm volatile("int $2" ::: "memory");
}

void vmx_close(struct hvx_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx_unload_msrs(vmx);
	restore_host(&vmx->host);
	leave_root(vmx);
	vmx_spec_close();
	if (unlikely(vmx->host_event))
		deliver_host_event(vmx);
}
