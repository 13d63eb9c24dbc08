/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_ASM_PROCESSOR_H
#define SHIM_ASM_PROCESSOR_H

#include <linux/types.h>

/* Defined by tests that make a processor up; registers in the order EAX, EBX, ECX, EDX */
u32 shim_cpuid(u32 leaf, int reg);
u64 shim_cr4(void);

#define cpuid_eax(leaf)		shim_cpuid(leaf, 0)
#define cpuid_ebx(leaf)		shim_cpuid(leaf, 1)
#define cpuid_ecx(leaf)		shim_cpuid(leaf, 2)
#define cpuid_edx(leaf)		shim_cpuid(leaf, 3)
#define native_read_cr4()	shim_cr4()
#define X86_CR4_MCE		0x40UL

extern unsigned int tsc_khz;

#endif
