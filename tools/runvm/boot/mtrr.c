// SPDX-License-Identifier: GPL-2.0-only
/*
 * mtrr.c: memory types as a PC's firmware leaves them on every processor: all is write-back but
 * VGA's window and what is between the end of low memory and 4 GiB. Kernels warn of processors
 * that differ, and Linux takes PAT only where MTRRs are on. (Intel SDM vol. 3A, "Memory Type Range
 * Registers".)
 */
#include "boot/boot.h"

#define IA32_MTRR_PHYSBASE0	0x200
#define IA32_MTRR_PHYSMASK0	0x201
#define IA32_MTRR_FIX64K_00000	0x250
#define IA32_MTRR_FIX16K_80000	0x258
#define IA32_MTRR_FIX16K_A0000	0x259
#define IA32_MTRR_FIX4K_C0000	0x268	/* .. 0x26f */
#define NR_FIX4K		8
#define IA32_MTRR_DEF_TYPE	0x2ff

#define TYPE_UC			0x00ULL
#define TYPE_WB			0x06ULL
#define FIXED_UC		0x0000000000000000ULL
#define FIXED_WB		0x0606060606060606ULL
#define MASK_VALID		(1ULL << 11)
#define DEF_FIXED_ENABLE	(1ULL << 10)
#define DEF_ENABLE		(1ULL << 11)

unsigned int mtrr_list(struct hvx_msr list[MTRR_COUNT], unsigned int gpa_bits)
{
	uint64_t mask = ((1ULL << gpa_bits) - 1) & -(GIB_4 - MEM_LOW_MAX);
	unsigned int n = 0, i;

	list[n++] = (struct hvx_msr){ .index = IA32_MTRR_PHYSBASE0, .data = MEM_LOW_MAX | TYPE_UC };
	list[n++] = (struct hvx_msr){ .index = IA32_MTRR_PHYSMASK0, .data = mask | MASK_VALID };
	list[n++] = (struct hvx_msr){ .index = IA32_MTRR_FIX64K_00000, .data = FIXED_WB };
	list[n++] = (struct hvx_msr){ .index = IA32_MTRR_FIX16K_80000, .data = FIXED_WB };
	list[n++] = (struct hvx_msr){ .index = IA32_MTRR_FIX16K_A0000, .data = FIXED_UC };
	for (i = 0; i < NR_FIX4K; i++)
		list[n++] = (struct hvx_msr){
			.index = IA32_MTRR_FIX4K_C0000 + i, .data = FIXED_WB,
		};
	list[n++] = (struct hvx_msr){
		.index = IA32_MTRR_DEF_TYPE, .data = DEF_ENABLE | DEF_FIXED_ENABLE | TYPE_WB,
	};
	return n;
}

void mtrr_set(struct machine *m)
{
	unsigned int i, n, bits = vm_cap(&m->vm, HVX_CAP_GPA_BITS);
	struct hvx_msr list[MTRR_COUNT];

	n = mtrr_list(list, bits);
	for (i = 0; i < m->nr_vcpus; i++)
		vcpu_set_msrs(&m->vcpus[i], list, n);
}
