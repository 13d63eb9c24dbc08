// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSRs of AMD's processors that are a value and nothing else: see msr_rules.h. Names are those of
 * the Processor Programming Reference. What stands for hardware that a guest does not have
 * (P-states, RAPL, SSBD by LS_CFG) is left out: #GP, which systems take for an answer.
 */
#include <asm/cpufeature.h>
#include <asm/msr-index.h>
#include <asm/processor.h>
#include "svm.h"

#define HWCR_TSC_FREQ_SEL	BIT_ULL(24)	/* the TSC counts at the rate of P0 */
#define HWCR_MC_STATUS_WR_EN	BIT_ULL(18)
#define HWCR_HARMLESS		(BIT_ULL(3) | BIT_ULL(4) | BIT_ULL(6) | BIT_ULL(8) | BIT_ULL(25))
#define NB_CFG_INIT_APIC_ID	BIT_ULL(54)
#define NB_CFG_CF8_EXT		BIT_ULL(46)
#define DE_CFG_LFENCE		BIT_ULL(1)	/* LFENCE serializes */
#define VM_CR_LOCK		BIT_ULL(3)

struct hvx_msr_rule svm_msr_rules[SVM_NR_MSR_RULES] = {
	/* Systems read the revision of the microcode, as on Intel */
	{ MSR_AMD64_PATCH_LEVEL, 1, MSR_DEAF },
	{ MSR_AMD64_PATCH_LOADER, 1, MSR_COMMAND },	/* a newer microcode */
	{ MSR_K7_EVNTSEL0, 4, MSR_DEAF },		/* perf: finds that nothing counts */
	{ MSR_K7_PERFCTR0, 4, MSR_DEAF },		/* ditto */
	{ MSR_AMD64_SYSCFG, 1, MSR_DEAF },		/* Linux: MTRRs; no SME */
	{ MSR_K7_HWCR, 1, MSR_STORED, .reset = HWCR_TSC_FREQ_SEL,	/* all systems */
	  .writable = HWCR_TSC_FREQ_SEL | HWCR_MC_STATUS_WR_EN | HWCR_HARMLESS },
	{ MSR_K8_TOP_MEM1, 1, MSR_FIXED },		/* Linux: host bridges of AMD */
	{ MSR_K8_TOP_MEM2, 1, MSR_FIXED },		/* ditto */
	{ MSR_AMD64_NB_CFG, 1, MSR_STORED, .reset = NB_CFG_INIT_APIC_ID,	/* Linux: PCI */
	  .writable = NB_CFG_INIT_APIC_ID | NB_CFG_CF8_EXT },
	{ MSR_K8_INT_PENDING_MSG, 1, MSR_DEAF },	/* Linux: C1E of the K8 */
	{ MSR_FAM10H_MMIO_CONF_BASE, 1, MSR_FIXED },	/* Linux: ECAM; ACPI says where it is */
	{ MSR_K8_TSEG_ADDR, 2, MSR_FIXED },		/* Linux: large pages around TSEG */
	/* Locked, switched off: what firmware leaves where there is no SVM */
	{ SVM_MSR_VM_CR, 1, MSR_FIXED, .reset = VM_CR_LOCK | SVM_VM_CR_SVMDIS },
	{ MSR_AMD64_OSVW_ID_LENGTH, 2, MSR_FIXED },	/* Linux: no erratum is known */
	{ MSR_AMD64_DC_CFG, 1, MSR_DEAF },		/* Windows, Linux: errata of old models */
	{ MSR_F15H_IC_CFG, 1, MSR_DEAF },		/* Linux: ditto */
	{ MSR_AMD64_BU_CFG2, 1, MSR_DEAF },		/* ditto */
	/* Linux sets the bit and reads whether it stayed */
	{ MSR_AMD64_DE_CFG, 1, MSR_STORED, .writable = DE_CFG_LFENCE },
};

static void set_reset(u32 index, u64 value)
{
	size_t i;

	for (i = 0; i < SVM_NR_MSR_RULES; i++)
		if (svm_msr_rules[i].first == index)
			svm_msr_rules[i].reset = value;
}

/* Context: load */
void svm_model_start(void)
{
	set_reset(MSR_AMD64_PATCH_LEVEL, boot_cpu_data.microcode);
	if (boot_cpu_has(X86_FEATURE_LFENCE_RDTSC))
		set_reset(MSR_AMD64_DE_CFG, DE_CFG_LFENCE);
}
