// SPDX-License-Identifier: GPL-2.0-only
/*
 * The AMD-V window: one CPU with EFER.SVME set for one vCPU, interrupts off.
 *
 *   open	SVME, VM_HSAVE_PA, the host's VMLOAD state put away, ASID, GIF 0, TSC_AUX, TSC ratio
 *   close	the guest's VMLOAD state put away, the host's back, GIF 1, MSRs back
 *
 * Outside of a window a CPU keeps nothing but VM_HSAVE_PA and tagged translations. VM_HSAVE_PA
 * also tells whether another hypervisor had the CPU in between: that one has put its own value
 * there, and whatever translations it left must not be met under the same ASID. It may have left
 * a TSC ratio as well, and rely on it: kvm_amd writes only what differs from what it wrote last.
 *
 * An ASID belongs to a vCPU on one CPU, and is flushed when it is given out. A vCPU that comes to
 * another CPU gets a new one, since what it flushed elsewhere was not flushed here.
 */
#include <asm/cpufeature.h>
#include <asm/mce.h>
#include <asm/nospec-branch.h>
#include <asm/special_insns.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/smp.h>
#include "compat.h"
#include "svm.h"

DEFINE_PER_CPU(struct svm_cpu, svm_cpus);

static void zero_hsave(void *unused)
{
	if (hvx_rdmsr(SVM_MSR_VM_HSAVE_PA) == this_cpu_read(svm_cpus.hsave_pa))
		hvx_wrmsr(SVM_MSR_VM_HSAVE_PA, 0);
}

/* Context: process, no window can open any more */
void svm_cpus_free(void)
{
	int i;

	on_each_cpu(zero_hsave, NULL, 1);
	for_each_possible_cpu(i) {
		struct svm_cpu *cpu = per_cpu_ptr(&svm_cpus, i);

		if (cpu->pages)
			__free_pages(cpu->pages, 1);
		cpu->pages = NULL;
	}
}

int svm_cpus_alloc(void)
{
	int i;

	for_each_possible_cpu(i) {
		struct svm_cpu *cpu = per_cpu_ptr(&svm_cpus, i);

		cpu->pages = alloc_pages_node(cpu_to_node(i), GFP_KERNEL | __GFP_ZERO, 1);
		if (!cpu->pages) {
			svm_cpus_free();
			return -ENOMEM;
		}
		cpu->hsave_pa = __sme_set(page_to_phys(cpu->pages));
		cpu->host = page_address(cpu->pages + 1);
		cpu->host_pa = __sme_set(page_to_phys(cpu->pages + 1));
		cpu->asid_gen = SVM_FIRST_ASID_GEN(i);
		cpu->tsc_aux = SVM_TSC_AUX_UNKNOWN;
		cpu->tsc_ratio = svm_features.tsc_ratio;
	}
	return 0;
}

/* Does somebody else hold AMD-V, as far as this CPU shows? open() asks every CPU that is used. */
bool svm_held(void)
{
	return hvx_rdmsr(SVM_MSR_EFER) & SVM_EFER_SVME;
}

void svm_say_held(void)
{
	pr_err_ratelimited("AMD-V is held by kvm_amd: rmmod kvm_amd, or load hvx with share=1\n");
}

/* Make the next VMRUN of this vCPU forget the translations of its ASID */
static void flush_asid(struct svm_vcpu *svm)
{
	svm->vmcb->tlb_control = svm_features.flush_asid ? SVM_TLB_FLUSH_ASID : SVM_TLB_FLUSH_ALL;
	svm->attention |= SVM_ATT_FLUSH;
}

/*
 * Beside another hypervisor: its ASIDs grow from below, so take the last one. It was flushed or is
 * going to be, but what it leaves behind nobody flushes for the other: see the parameter "share".
 */
static u32 next_asid(struct svm_cpu *cpu)
{
	if (cpu->efer & SVM_EFER_SVME)
		return svm_features.nr_asids - 1;
	if (++cpu->next_asid >= svm_features.nr_asids) {
		cpu->asid_gen++;
		cpu->next_asid = 1;
	}
	return cpu->next_asid;
}

/* The vCPU is new on this CPU, or its ASID is no longer its own */
static void arrive(struct svm_vcpu *svm, struct svm_cpu *cpu)
{
	svm->vmcb->guest_asid = next_asid(cpu);
	svm->asid_gen = cpu->asid_gen;
	svm->sw.host_gs = cpu->host->gs.base;
	flush_asid(svm);
	/* "VMCB Clean Field": bits count only for the CPU that ran this VMCB last */
	svm->vmcb->clean = 0;
}

/* Take over VM_HSAVE_PA. It is somebody else's: so were the ASIDs, and so is the TSC ratio. */
static noinline void take_hsave(struct svm_cpu *cpu)
{
	if (svm_features.tsc_ratio)
		cpu->tsc_ratio = hvx_rdmsr(SVM_MSR_TSC_RATIO);
	hvx_wrmsr(SVM_MSR_VM_HSAVE_PA, cpu->hsave_pa);
	cpu->asid_gen++;
	cpu->next_asid = 0;
}

/* Who has SVME set may have VM_HSAVE_PA and TSC_AUX for itself, too */
static noinline int share_svme(struct svm_cpu *cpu)
{
	if (!svm_share) {
		svm_say_held();
		return -EBUSY;
	}
	cpu->old_hsave_pa = hvx_rdmsr(SVM_MSR_VM_HSAVE_PA);
	cpu->tsc_aux = SVM_TSC_AUX_UNKNOWN;
	return 0;
}

static __always_inline int take_svme(struct svm_cpu *cpu)
{
	u32 efer = hvx_rdmsr_low(SVM_MSR_EFER);

	cpu->efer = efer;
	if (likely(!(efer & SVM_EFER_SVME)))
		hvx_wrmsr(SVM_MSR_EFER, efer | SVM_EFER_SVME);
	else if (share_svme(cpu))
		return -EBUSY;
	if (unlikely(hvx_rdmsr(SVM_MSR_VM_HSAVE_PA) != cpu->hsave_pa))
		take_hsave(cpu);
	return 0;
}

static __always_inline void give_svme_back(struct svm_cpu *cpu)
{
	if (unlikely(cpu->efer & SVM_EFER_SVME))
		hvx_wrmsr(SVM_MSR_VM_HSAVE_PA, cpu->old_hsave_pa);
	else
		hvx_wrmsr(SVM_MSR_EFER, cpu->efer);
}

/* RDTSCP and RDPID of the guest see the register itself */
void svm_load_tsc_aux(struct svm_vcpu *svm)
{
	struct svm_cpu *cpu = this_cpu_ptr(&svm_cpus);

	if (!svm_features.tsc_aux)
		return;
	if (cpu->tsc_aux == SVM_TSC_AUX_UNKNOWN)
		cpu->tsc_aux = hvx_rdmsr(MSR_TSC_AUX);
	if (svm->at_close & SVM_CLOSE_TSC_AUX || svm->vcpu.regs.tsc_aux != cpu->tsc_aux) {
		hvx_wrmsr(MSR_TSC_AUX, svm->vcpu.regs.tsc_aux);
		svm->at_close |= SVM_CLOSE_TSC_AUX;
	}
}

/* The host's own RDTSC does not see it, nor do its NMI handlers */
void svm_load_tsc_ratio(struct svm_vcpu *svm)
{
	struct svm_cpu *cpu = this_cpu_ptr(&svm_cpus);

	if (svm->at_close & SVM_CLOSE_TSC_RATIO || svm->tsc_ratio != cpu->tsc_ratio) {
		hvx_wrmsr(SVM_MSR_TSC_RATIO, svm->tsc_ratio);
		svm->at_close |= SVM_CLOSE_TSC_RATIO;
	}
}

/* What one guest taught the branch predictors is not for the next one, nor for this VMM */
static void part_from_last_guest(struct svm_vcpu *svm, struct svm_cpu *cpu)
{
	if (cpu->last_serial == svm->serial)
		return;
	cpu->last_serial = svm->serial;
	if (svm_features.ibpb)
		hvx_wrmsr(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
}

static __always_inline void protect_vmm(void)
{
#ifdef X86_FEATURE_IBPB_EXIT_TO_USER
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
#endif
}

/* The intercept has swallowed the exception: the host's handler runs as if it had hit the VMM */
static void take_machine_check(void)
{
#ifdef CONFIG_X86_MCE
	struct pt_regs regs = { .cs = 3, .flags = X86_EFLAGS_IF };

	do_machine_check(&regs);
#endif
}

/* This window is not like the last one of this CPU, or of this vCPU */
static noinline void adapt(struct svm_vcpu *svm, struct svm_cpu *cpu, u64 msrpm_gen)
{
	if (svm->asid_gen != cpu->asid_gen)
		arrive(svm, cpu);
	if (svm->msrpm_gen != msrpm_gen) {
		svm->msrpm_gen = msrpm_gen;
		svm_dirty(svm, SVM_CLEAN_IOPM);
	}
	part_from_last_guest(svm, cpu);
	svm_load_tsc_aux(svm);
	svm_load_tsc_ratio(svm);
}

int svm_open(struct hvx_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct svm_cpu *cpu = this_cpu_ptr(&svm_cpus);
	u64 msrpm_gen;

	if (unlikely(take_svme(cpu)))
		return -EBUSY;
	svm_vmsave(cpu->host_pa);
	svm_clgi();
	msrpm_gen = atomic64_read(&to_svm_vm(vcpu->vm)->msrpm_gen);
	if (unlikely((svm->asid_gen ^ cpu->asid_gen) | (svm->msrpm_gen ^ msrpm_gen) |
		     (svm->serial ^ cpu->last_serial) | (vcpu->regs.tsc_aux ^ cpu->tsc_aux) |
		     (svm->tsc_ratio ^ cpu->tsc_ratio)))
		adapt(svm, cpu, msrpm_gen);
	return 0;
}

/* After a window that was not like others; GIF is 1 */
static noinline void close_rest(struct svm_vcpu *svm, struct svm_cpu *cpu)
{
	u8 todo = svm->at_close;

	svm->at_close = 0;
	if (todo & SVM_CLOSE_TSC_AUX)
		hvx_wrmsr(MSR_TSC_AUX, cpu->tsc_aux);
	if (todo & SVM_CLOSE_TSC_RATIO)
		hvx_wrmsr(SVM_MSR_TSC_RATIO, cpu->tsc_ratio);
	if (todo & SVM_CLOSE_MC)
		take_machine_check();
}

void svm_close(struct hvx_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct svm_cpu *cpu = this_cpu_ptr(&svm_cpus);

	svm_save_hidden(svm);
	svm->sw.hidden = SVM_HIDDEN_IN_VMCB;
	svm_vmload(cpu->host_pa);
	svm_stgi();
	give_svme_back(cpu);
	protect_vmm();
	if (unlikely(svm->at_close))
		close_rest(svm, cpu);
}

void svm_tlb_flush(struct hvx_vcpu *vcpu)
{
	flush_asid(to_svm(vcpu));
}
