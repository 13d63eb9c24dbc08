/* SPDX-License-Identifier: GPL-2.0-only */
/* What the guest "hello" and its VMM agree on. */
#ifndef RUNVM_GUEST_HELLO_H
#define RUNVM_GUEST_HELLO_H

#define HELLO_PML4	0x1000
#define HELLO_PDPT	0x2000
#define HELLO_PD	0x3000		/* maps the first GiB */
#define HELLO_GDT	0x4000
#define HELLO_TSS	0x5000
#define HELLO_IDT	0x6000		/* empty: an exception ends in a triple fault */
#define HELLO_STACK	0x80000
#define HELLO_LOAD	0x100000	/* image and entry point */

#define HELLO_MIN_MEMORY	0x200000
#define HELLO_MAX_MEMORY	0x40000000

#define HELLO_PORT_SERIAL	0x3f8	/* OUT of a byte prints it */
#define HELLO_PORT_EXITS	0x510	/* IN of 32 bits: exits of this vCPU so far */

/* In RDI at the entry point */
struct hello_info {
	unsigned long long mem_size;
	unsigned long long tsc_khz;	/* 0: unknown */
};

#endif
