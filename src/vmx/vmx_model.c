// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSRs of Intel's processors that are a value and nothing else: see msr_rules.h. What stands for
 * hardware that a guest does not have (RAPL, thermal sensors, PPIN, P-state requests that count) is
 * left out: #GP, which systems take for an answer.
 */
#include <asm/msr-index.h>
#include <asm/processor.h>
#include "vmx.h"

#define FEATURE_CONTROL_LOCKED	BIT_ULL(0)
#define MICROCODE_SHIFT		32

struct hvx_msr_rule vmx_msr_rules[VMX_NR_MSR_RULES] = {
	{ MSR_IA32_PLATFORM_ID, 1, MSR_FIXED },		/* Linux: microcode loader */
	{ MSR_IA32_EBL_CR_POWERON, 1, MSR_DEAF },	/* Windows, BSDs on old models */
	/* Old systems divide by the multiplier of the bus clock */
	{ MSR_EBC_FREQUENCY_ID, 1, MSR_FIXED, .reset = 1 << 24 },
	{ MSR_SMI_COUNT, 1, MSR_FIXED },		/* turbostat */
	/* Locked, without VMX: what firmware leaves where VT-x is switched off */
	{ MSR_IA32_FEAT_CTL, 1, MSR_FIXED, .reset = FEATURE_CONTROL_LOCKED },
	{ MSR_IA32_UCODE_WRITE, 1, MSR_COMMAND },	/* Linux, Windows: a newer microcode */
	/* Systems write 0, execute CPUID and read: what is written does not matter */
	{ MSR_IA32_UCODE_REV, 1, MSR_DEAF },
	{ MSR_FSB_FREQ, 1, MSR_FIXED },			/* Linux on Atom */
	{ MSR_PLATFORM_INFO, 1, MSR_FIXED },		/* Linux: CPUID faulting? No */
	{ MSR_MISC_FEATURES_ENABLES, 1, MSR_STORED },	/* ditto: all switched off */
	{ MSR_IA32_PERF_STATUS, 1, MSR_FIXED },		/* frequency drivers */
	{ MSR_IA32_PERF_CTL, 1, MSR_DEAF },		/* ditto */
	{ MSR_MISC_PWR_MGMT, 1, MSR_FIXED },		/* ditto */
	{ MSR_IA32_POWER_CTL, 1, MSR_DEAF },			/* idle drivers */
	{ MSR_IA32_PERF_CAPABILITIES, 1, MSR_FIXED },	/* perf, where PDCM is not asked for */
};

/* Context: load */
void vmx_model_start(void)
{
	size_t i;

	for (i = 0; i < VMX_NR_MSR_RULES; i++)
		if (vmx_msr_rules[i].first == MSR_IA32_UCODE_REV)
			vmx_msr_rules[i].reset = (u64)boot_cpu_data.microcode << MICROCODE_SHIFT;
}
