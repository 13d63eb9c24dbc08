/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_ASM_CPUFEATURE_H
#define SHIM_ASM_CPUFEATURE_H

#include <linux/types.h>

enum {
	X86_FEATURE_HYPERVISOR, X86_FEATURE_ARCH_PERFMON, X86_FEATURE_INTEL_PT,
	X86_FEATURE_RDTSCP, X86_FEATURE_RDPID, X86_FEATURE_IBPB,
};

bool shim_cpu_has(int feature);	/* defined by tests that make a processor up */

#define boot_cpu_has(feature)	shim_cpu_has(feature)

#endif
