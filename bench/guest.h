/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the guest code of the benchmarks and its hosts agree on: guest-physical addresses, ports,
 * vectors. Page tables map the first 4 GiB one to one.
 */
#ifndef BENCH_GUEST_H
#define BENCH_GUEST_H

#define G_PML4		0x1000
#define G_PDPT		0x2000
#define G_PD		0x3000		/* four of them */
#define G_GDT		0x7000
#define G_IDT		0x8000
#define G_TSS		0x9000
#define G_RESULT	0xa000		/* TSC ticks of the last batch */
#define G_CODE		0x10000
#define G_STACK		0x20000
#define G_LOW_SIZE	0x200000	/* memory at 0 */
#define G_FRESH		0x400000	/* memory that second-level faults are taken on */
#define G_FRESH_SIZE	0x400000
#define G_BIG		0x40000000	/* 1 GiB, for bench/memory */
#define G_BIG_SIZE	0x40000000
#define G_HOLE		0xd0000000	/* no memory: MMIO */
#define G_EVENT		0xd0001000	/* an ioeventfd */

#define G_CODE_SEL	0x08
#define G_DATA_SEL	0x10
#define G_TSS_SEL	0x18
#define G_VECTOR	0x20

#define G_PORT_MARK	0xf4		/* a batch is over */
#define G_PORT_USER	0x10		/* no hypervisor knows it */
#define G_PORT_EVENT	0x12		/* an ioeventfd */
#define G_PORT_PIT	0x61		/* the 8254 in the kernel */

#define G_MSR_KERNEL	0x1a0		/* IA32_MISC_ENABLE: both know it, none passes it through */
#define G_MSR_USER	0xc0de0000	/* known to none */
#define G_HC_USER	12		/* KVM_HC_MAP_GPA_RANGE: the one that KVM can pass on */

#endif
