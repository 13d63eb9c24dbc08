/* SPDX-License-Identifier: GPL-2.0-only */
/* What AMD-V of this CPU can do. */
#ifndef HVX_SVM_CAPS_H
#define HVX_SVM_CAPS_H

#include <linux/bits.h>
#include <linux/jump_label.h>
#include <linux/types.h>

/* Clean after every exit; CR2 is written at every entry */
#define SVM_CLEAN_KEPT	GENMASK(8, 0)

/* Immutable after load */
struct svm_features {
	u32 cpuid;		/* SVM_CPUID_* */
	u32 nr_asids;
	u32 clean;		/* what is clean after an exit; 0 without the feature */
	u32 cr4_host;		/* CR4.MCE, if the host has it set */
	bool decode;
	bool flush_asid;
	bool tsc_aux;
	bool ibpb;
	u64 iopm_pa;
	u64 tsc_ratio;		/* SVM_TSC_RATIO_1; 0: the CPU has no TSC ratio MSR */
};

extern struct svm_features svm_features;
DECLARE_STATIC_KEY_FALSE(svm_has_nrip);

/* 0, or -ENODEV or -EOPNOTSUPP after a message with cause and way out. Context: process. */
int svm_check(void);
/* After svm_check(): fill in svm_features but for iopm_pa. Context: process. */
void svm_caps_start(void);

#endif
