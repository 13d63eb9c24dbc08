/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * exits.h: what a hypervisor has to offer to be measured.
 *
 *	exits.c		round trips out of a guest
 *	memory.c	faults, dirty log, changes of regions
 *	report.c	output of both
 *	machine.c	guest memory and registers, alike for all
 *	hvx.c, kvm.c	the hypervisors
 *	guest.S		the guest
 */
#ifndef BENCH_EXITS_H
#define BENCH_EXITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest.h"

/* What a row wants of its VM besides memory and one vCPU */
#define NEED_HYPERCALL	0x1	/* hypercalls exit to user space */
#define NEED_MSR	0x2	/* unknown MSRs exit to user space */
#define NEED_PORTS	0x4	/* ports that the kernel handles */

struct machine {
	int vm;
	int vcpu;
	void *run;		/* the page that is shared with the kernel */
	uint8_t *low;		/* G_LOW_SIZE bytes at 0 */
	uint8_t *fresh;		/* G_FRESH_SIZE bytes at G_FRESH */
};

/* Regions 0 and 1 are those of @low and @fresh */
#define REGION_FREE	2

/* A segment as both ABIs want it, in their common terms */
struct flat_seg {
	uint16_t selector;
	uint16_t attr;		/* bits 40-55 of a descriptor; those of the limit are 0 */
	uint32_t limit;
	uint64_t base;
};

struct start_state {
	uint64_t rip, rsp, count;
	uint64_t cr0, cr3, cr4, efer;
	struct flat_seg code, data, task;
	uint64_t gdt_base, idt_base;
	uint16_t gdt_limit, idt_limit;
};

/**
 * struct hypervisor - one candidate
 * @name: as it is called on the command line
 * @device: its device node
 * @create: a VM with @low and @fresh as memory and one vCPU; false when it lacks a NEED_*
 * @start: set all registers
 * @batch: run until the write to G_PORT_MARK, and answer the exits before it
 * @nothing: the cheapest ioctl of a vCPU descriptor
 * @region: set a region; @len of 0 deletes it
 * @dirty: fetch and reset the dirty log of a whole region, a bit for each page
 * @destroy: close all of it
 */
struct hypervisor {
	const char *name;
	const char *device;
	bool (*create)(struct machine *m, unsigned int need);
	void (*start)(struct machine *m, const struct start_state *s);
	void (*batch)(struct machine *m);
	void (*nothing)(struct machine *m);
	void (*region)(struct machine *m, uint32_t id, bool log, uint64_t gpa, uint64_t len,
		       void *at);
	void (*dirty)(struct machine *m, uint32_t id, uint64_t len, uint64_t *bitmap);
	void (*destroy)(struct machine *m);
};

extern const struct hypervisor hvx_hypervisor, kvm_hypervisor;

/* guest.S */
extern const char guest_begin[], guest_end[], guest_handler[];

/* machine.c */
void machine_init(struct machine *m);		/* memory, tables, code */
void machine_fini(struct machine *m);
void machine_state(struct start_state *s, const char *routine, uint64_t count);
int must(int ret, const char *what);		/* ends the program for a negative result */

#endif
