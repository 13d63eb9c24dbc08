/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_ASM_MSR_H
#define SHIM_ASM_MSR_H

#include <linux/types.h>

/* Defined by tests that make a processor up */
u64 shim_rdmsr(u32 msr);
bool shim_msr_exists(u32 msr);

#define rdmsr_safe(msr, low, high) ({					\
	bool exists_ = shim_msr_exists(msr);				\
									\
	*(low) = exists_ ? shim_rdmsr(msr) : 0;				\
	*(high) = exists_ ? shim_rdmsr(msr) >> 32 : 0;			\
	exists_ ? 0 : -EIO;						\
})

#endif
