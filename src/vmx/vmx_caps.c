// SPDX-License-Identifier: GPL-2.0-only
/*
 * What this processor can do: refusal at load with cause and way out, control words of a new vCPU.
 *
 * Intel SDM vol. 3D, appendix "VMX Capability Reporting Facility".
 */
#include <asm/cpufeature.h>
#include <asm/msr-index.h>
#include <asm/processor.h>
#include <linux/atomic.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/smp.h>
#include "compat.h"
#include "vmx_caps.h"
#include "vmx_hw.h"

#define CPUID_1_ECX_VMX		BIT(5)
#define CR4_FRED		BIT_ULL(32)

struct vmx_caps vmx_caps;

static unsigned int vmx_timer_us;
module_param(vmx_timer_us, uint, 0444);
MODULE_PARM_DESC(vmx_timer_us, "VT-x: longest stay in a guest in microseconds (0: no limit)");

static bool ept_ad = true;
module_param(ept_ad, bool, 0444);
MODULE_PARM_DESC(ept_ad, "VT-x: let the processor set accessed and dirty flags in EPT entries");

struct wanted {
	u32 bit;
	const char *name;	/* as in the SDM; NULL: optional */
};

static const struct wanted pin_wanted[] = {
	{ PIN_EXTERNAL_INTERRUPT_EXITING, "external-interrupt exiting" },
	{ PIN_NMI_EXITING, "NMI exiting" },
	{ PIN_VIRTUAL_NMIS, "virtual NMIs" },
	{ }
};

static const struct wanted primary_wanted[] = {
	{ PRI_INTERRUPT_WINDOW_EXITING, "interrupt-window exiting" },
	{ PRI_TSC_OFFSETTING, "use TSC offsetting" },
	{ PRI_HLT_EXITING, "HLT exiting" },
	{ PRI_MWAIT_EXITING, "MWAIT exiting" },
	{ PRI_RDPMC_EXITING, "RDPMC exiting" },
	{ PRI_CR8_LOAD_EXITING, "CR8-load exiting" },
	{ PRI_CR8_STORE_EXITING, "CR8-store exiting" },
	{ PRI_NMI_WINDOW_EXITING, "NMI-window exiting" },
	{ PRI_MOV_DR_EXITING, "MOV-DR exiting" },
	{ PRI_USE_IO_BITMAPS, "use I/O bitmaps" },
	{ PRI_MONITOR_TRAP_FLAG, "monitor trap flag" },
	{ PRI_USE_MSR_BITMAPS, "use MSR bitmaps" },
	{ PRI_MONITOR_EXITING, "MONITOR exiting" },
	{ PRI_ACTIVATE_SECONDARY, "activate secondary controls" },
	{ }
};

static const struct wanted secondary_wanted[] = {
	{ SEC_ENABLE_EPT, "enable EPT" },
	{ SEC_UNRESTRICTED_GUEST, "unrestricted guest" },
	{ SEC_WBINVD_EXITING, "WBINVD exiting" },
	{ SEC_ENABLE_VPID, NULL },
	{ SEC_ENABLE_RDTSCP, NULL },
	{ SEC_ENABLE_INVPCID, NULL },
	{ SEC_ENABLE_XSAVES, NULL },
	{ SEC_PAUSE_LOOP_EXITING, NULL },
	{ SEC_ENCLS_EXITING, NULL },
	{ SEC_ENCLV_EXITING, NULL },
	{ }
};

static const struct wanted exit_wanted[] = {
	{ EXIT_SAVE_DEBUG_CONTROLS, "save debug controls" },
	{ EXIT_HOST_ADDRESS_SPACE_SIZE, "host address-space size" },
	{ EXIT_LOAD_EFER, "load IA32_EFER on exit" },
	{ EXIT_LOAD_CET_STATE, NULL },
	{ }
};

static const struct wanted entry_wanted[] = {
	{ ENTRY_LOAD_DEBUG_CONTROLS, "load debug controls" },
	{ ENTRY_LOAD_EFER, "load IA32_EFER on entry" },
	{ }
};

#define EXIT_PAT	(EXIT_SAVE_PAT | EXIT_LOAD_PAT)

static struct vmx_range read_range(u32 msr)
{
	u64 value = hvx_rdmsr(msr);

	return (struct vmx_range) { .must = value, .may = value >> 32 };
}

static void read_ranges(struct vmx_caps *caps)
{
	bool exact = caps->basic & BASIC_TRUE_CONTROLS;

	caps->pin_range = read_range(exact ? MSR_IA32_VMX_TRUE_PINBASED_CTLS :
				     MSR_IA32_VMX_PINBASED_CTLS);
	caps->primary_range = read_range(exact ? MSR_IA32_VMX_TRUE_PROCBASED_CTLS :
					 MSR_IA32_VMX_PROCBASED_CTLS);
	caps->exit_range = read_range(exact ? MSR_IA32_VMX_TRUE_EXIT_CTLS : MSR_IA32_VMX_EXIT_CTLS);
	caps->entry_range = read_range(exact ? MSR_IA32_VMX_TRUE_ENTRY_CTLS :
				       MSR_IA32_VMX_ENTRY_CTLS);
	if (caps->primary_range.may & PRI_ACTIVATE_SECONDARY)
		caps->secondary_range = read_range(MSR_IA32_VMX_PROCBASED_CTLS2);
}

static void read_caps(struct vmx_caps *caps)
{
	caps->basic = hvx_rdmsr(MSR_IA32_VMX_BASIC);
	caps->misc = hvx_rdmsr(MSR_IA32_VMX_MISC);
	caps->cr0_fixed0 = hvx_rdmsr(MSR_IA32_VMX_CR0_FIXED0);
	caps->cr0_fixed1 = hvx_rdmsr(MSR_IA32_VMX_CR0_FIXED1);
	caps->cr4_fixed0 = hvx_rdmsr(MSR_IA32_VMX_CR4_FIXED0);
	caps->cr4_fixed1 = hvx_rdmsr(MSR_IA32_VMX_CR4_FIXED1);
	caps->cr4_host = native_read_cr4() & X86_CR4_MCE;
	read_ranges(caps);
	if (caps->secondary_range.may & (SEC_ENABLE_EPT | SEC_ENABLE_VPID))
		caps->ept_vpid = hvx_rdmsr(MSR_IA32_VMX_EPT_VPID_CAP);
}

static void say_missing(const char *what)
{
	pr_err("VT-x without \"%s\": %s\n", what, boot_cpu_has(X86_FEATURE_HYPERVISOR) ?
	       "the hypervisor below does not offer it to this machine" :
	       "a processor of 2010 (Westmere) or later is needed");
}

/* Choose one control word; false after a message when a control is missing */
static bool choose(u32 *word, const struct vmx_range *range, const struct wanted *wanted)
{
	*word = range->must;
	for (; wanted->bit; wanted++) {
		if (range->may & wanted->bit) {
			*word |= wanted->bit;
		} else if (wanted->name) {
			say_missing(wanted->name);
			return false;
		}
	}
	return true;
}

/* Controls that must be free to be 0, and what else all processors with EPT have */
static bool check_rest(const struct vmx_caps *caps)
{
	if (!(caps->basic & BASIC_INS_OUTS_INFO)) {
		say_missing("instruction information for INS and OUTS");
		return false;
	}
	if (caps->primary_range.must &
	    (PRI_CR3_LOAD_EXITING | PRI_CR3_STORE_EXITING | PRI_INVLPG_EXITING)) {
		say_missing("MOV to CR3 and INVLPG without exits");
		return false;
	}
	return true;
}

static bool check_ept(const struct vmx_caps *caps)
{
	const u64 needed = EPT_CAP_WALK_4 | EPT_CAP_WRITE_BACK | EPT_CAP_INVEPT;

	if ((caps->ept_vpid & needed) != needed ||
	    !(caps->ept_vpid & (EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL))) {
		say_missing("EPT with 4 levels, write-back memory and INVEPT");
		return false;
	}
	return true;
}

static bool choose_controls(struct vmx_caps *caps)
{
	/* Older processors lack more than one: let EPT be what they hear of */
	return choose(&caps->secondary, &caps->secondary_range, secondary_wanted) &&
	       choose(&caps->pin, &caps->pin_range, pin_wanted) &&
	       choose(&caps->primary, &caps->primary_range, primary_wanted) &&
	       choose(&caps->exit, &caps->exit_range, exit_wanted) &&
	       choose(&caps->entry, &caps->entry_range, entry_wanted) &&
	       check_rest(caps) && check_ept(caps);
}

/* 0, or -ENODEV after a message. Intel SDM vol. 3C, "Discovering Support for VMX". */
static int check_firmware(void)
{
	u64 control = hvx_rdmsr(MSR_IA32_FEAT_CTL);

	if (!(control & FEAT_CTL_LOCKED)) {
		pr_err("IA32_FEATURE_CONTROL is not locked: neither firmware nor kernel enabled VT-x; switch it on in the firmware setup\n");
		return -ENODEV;
	}
	if (!(control & FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX)) {
		pr_err("firmware switched VT-x off (IA32_FEATURE_CONTROL): switch it on in the firmware setup, then power off and on\n");
		return -ENODEV;
	}
	return 0;
}

int vmx_check(void)
{
	struct vmx_caps caps = { };
	int err;

	if (!(cpuid_ecx(1) & CPUID_1_ECX_VMX)) {
		pr_err("this processor has no VT-x%s\n", boot_cpu_has(X86_FEATURE_HYPERVISOR) ?
		       ": enable nested virtualization in the hypervisor below" : "");
		return -ENODEV;
	}
	err = check_firmware();
	if (err)
		return err;
	if (native_read_cr4() & CR4_FRED) {
		pr_err("NMIs cannot be handed to a kernel that uses FRED: boot it with \"fred=off\"\n");
		return -EOPNOTSUPP;
	}
	read_caps(&caps);
	if (!choose_controls(&caps))
		return -EOPNOTSUPP;
	return 0;
}

static u32 timer_ticks(const struct vmx_caps *caps)
{
	u64 ticks;

	if (!vmx_timer_us || !(caps->pin_range.may & PIN_PREEMPTION_TIMER))
		return 0;
	ticks = ((u64)vmx_timer_us * tsc_khz / 1000) >> (caps->misc & MISC_TIMER_SHIFT);
	return clamp_t(u64, ticks, 1, U32_MAX);
}

static void choose_switched(struct vmx_caps *caps)
{
	caps->pat = (caps->exit_range.may & EXIT_PAT) == EXIT_PAT &&
		    caps->entry_range.may & ENTRY_LOAD_PAT;
	if (caps->pat) {
		caps->exit |= EXIT_PAT;
		caps->entry |= ENTRY_LOAD_PAT;
	}
	caps->perf_ctrl = boot_cpu_has(X86_FEATURE_ARCH_PERFMON) &&
			  caps->exit_range.may & EXIT_LOAD_PERF_GLOBAL_CTRL &&
			  caps->entry_range.may & ENTRY_LOAD_PERF_GLOBAL_CTRL;
	if (caps->perf_ctrl) {
		caps->exit |= EXIT_LOAD_PERF_GLOBAL_CTRL;
		caps->entry |= ENTRY_LOAD_PERF_GLOBAL_CTRL;
	}
}

/* After vmx_check() */
void vmx_caps_start(void)
{
	struct vmx_caps *caps = &vmx_caps;

	read_caps(caps);
	choose_controls(caps);
	choose_switched(caps);
	caps->cet = caps->exit & EXIT_LOAD_CET_STATE;
	caps->rdtscp = caps->secondary & SEC_ENABLE_RDTSCP;
	/* The guest's own flushes must be possible when hvx performs them */
	caps->vpid = caps->secondary & SEC_ENABLE_VPID &&
		     caps->ept_vpid & VPID_CAP_INVVPID && caps->ept_vpid & VPID_CAP_INVVPID_SINGLE;
	if (!caps->vpid)
		caps->secondary &= ~SEC_ENABLE_VPID;
	caps->accessed_dirty = ept_ad && caps->ept_vpid & EPT_CAP_ACCESSED_DIRTY;
	caps->vmxon_stops_pt = boot_cpu_has(X86_FEATURE_INTEL_PT) && !(caps->misc & MISC_PT_IN_VMX);
	vmx_apicv_choose(caps);
	caps->timer = timer_ticks(caps);
	if (caps->timer)
		caps->pin |= PIN_PREEMPTION_TIMER;
}

static void check_one_cpu(void *odd)
{
	const u64 needed = FEAT_CTL_LOCKED | FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX;

	if ((hvx_rdmsr(MSR_IA32_FEAT_CTL) & needed) != needed ||
	    hvx_rdmsr(MSR_IA32_VMX_BASIC) != vmx_caps.basic)
		atomic_inc(odd);
}

/* VMs migrate between all CPUs: those must agree */
int vmx_check_all_cpus(void)
{
	atomic_t odd = ATOMIC_INIT(0);

	on_each_cpu(check_one_cpu, &odd, 1);
	if (!atomic_read(&odd))
		return 0;
	pr_err("%d CPUs differ from CPU %d in VT-x: update firmware or microcode\n",
	       atomic_read(&odd), raw_smp_processor_id());
	return -ENODEV;
}
