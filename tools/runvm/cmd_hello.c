// SPDX-License-Identifier: GPL-2.0-only
/*
 * runvm hello: starts the built-in guest of guest/hello.c in 64-bit mode, prints what it says, ends
 * with the status that it powers off with.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/hello.h"
#include "vm.h"

/* guest/images.S */
extern const char hello_image[], hello_image_end[];

#define SEL_CODE	0x08
#define SEL_DATA	0x10
#define SEL_TSS		0x18

#define PTE_TABLE	0x7ULL		/* present, writable, user */
#define PTE_2M		0x83ULL		/* present, writable, PS */

/* struct hvx_seg::attr: flat segments of ring 0 */
#define ATTR_CODE64	(0xb | HVX_SEG_S | HVX_SEG_P | HVX_SEG_L | HVX_SEG_G)
#define ATTR_DATA	(0x3 | HVX_SEG_S | HVX_SEG_P | HVX_SEG_DB | HVX_SEG_G)
#define ATTR_TSS	(0xb | HVX_SEG_P)

static void load(struct vm *vm)
{
	uint64_t *pml4 = vm_at(vm, HELLO_PML4, PAGE_SIZE);
	uint64_t *pdpt = vm_at(vm, HELLO_PDPT, PAGE_SIZE);
	uint64_t *pd = vm_at(vm, HELLO_PD, PAGE_SIZE);
	uint64_t *gdt = vm_at(vm, HELLO_GDT, PAGE_SIZE);
	size_t len = hello_image_end - hello_image;
	unsigned int i;

	pml4[0] = HELLO_PDPT | PTE_TABLE;
	pdpt[0] = HELLO_PD | PTE_TABLE;
	for (i = 0; i < 512; i++)
		pd[i] = (uint64_t)i << 21 | PTE_2M;
	gdt[SEL_CODE / 8] = 0x00af9b000000ffff;
	gdt[SEL_DATA / 8] = 0x00cf93000000ffff;
	gdt[SEL_TSS / 8] = 0x00008b0000000067 | (uint64_t)HELLO_TSS << 16;
	memcpy(vm_at(vm, HELLO_LOAD, len), hello_image, len);
}

static void set_segments(struct hvx_segs *s)
{
	struct hvx_seg *seg = s->seg;
	unsigned int i;

	for (i = 0; i <= HVX_GS; i++)
		seg[i] = (struct hvx_seg){ .selector = SEL_DATA, .attr = ATTR_DATA, .limit = ~0U };
	seg[HVX_CS] = (struct hvx_seg){ .selector = SEL_CODE, .attr = ATTR_CODE64, .limit = ~0U };
	seg[HVX_TR] = (struct hvx_seg){
		.selector = SEL_TSS, .attr = ATTR_TSS, .limit = 0x67, .base = HELLO_TSS,
	};
	seg[HVX_LDTR] = (struct hvx_seg){ .attr = HVX_SEG_UNUSABLE };
	s->gdt = (struct hvx_table){ .base = HELLO_GDT, .limit = 5 * 8 - 1 };
	s->idt = (struct hvx_table){ .base = HELLO_IDT, .limit = 0 };
}

/* 64-bit mode at HELLO_LOAD, with @info on the stack's far side and in RDI */
static void start(struct vcpu *v, uint64_t info)
{
	struct hvx_run *run = v->run;

	vcpu_get(v, HVX_REGS_ALL);
	memset(&run->regs, 0, sizeof(run->regs));
	run->regs.rip = HELLO_LOAD;
	run->regs.rflags = 0x2;
	run->regs.gpr[HVX_RSP] = HELLO_STACK;
	run->regs.gpr[HVX_RDI] = info;
	set_segments(&run->seg);
	run->ctrl.cr0 = 0x80010033;	/* PG, WP, NE, ET, MP, PE */
	run->ctrl.cr3 = HELLO_PML4;
	run->ctrl.cr4 = 0x620;		/* OSXMMEXCPT, OSFXSR, PAE */
	run->ctrl.efer = 0x500;		/* LMA, LME */
	run->regs_dirty = HVX_REGS_GPR | HVX_REGS_SEG | HVX_REGS_CTRL;
}

static void handle_io(struct vcpu *v)
{
	struct hvx_run *run = v->run;
	void *data = vcpu_io_data(v);

	if (run->io.port == HELLO_PORT_SERIAL && run->io.write)
		fwrite(data, run->io.width, run->io.count, stdout);
	else if (run->io.port == HELLO_PORT_EXITS && run->io.width == 4 && !run->io.write)
		memcpy(data, &run->exits, 4);
	else if (!run->io.write)
		memset(data, 0xff, run->io.width * run->io.count);
}

static int run_guest(struct vcpu *v)
{
	int reason;

	for (;;) {
		reason = vcpu_run(v);
		switch (reason) {
		case HVX_EXIT_IO:
			handle_io(v);
			break;
		case HVX_EXIT_INTERRUPTED:
			break;
		case HVX_EXIT_SYSTEM_EVENT:
			if (v->run->system.type == HVX_SYSTEM_POWER_OFF)
				return v->run->system.data & 0xff;
			die("the guest crashed or wants a reset");
		case HVX_EXIT_HLT:
			die("the guest halted for good");
		default:
			vcpu_give_up(v, reason);
		}
	}
}

static uint64_t parse_memory(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "memory", required_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	uint64_t memory = 16 << 20;
	int c;

	argv[0] = "runvm hello";	/* getopt complains in this name */
	while ((c = getopt_long(argc, argv, "m:h", longs, NULL)) >= 0) {
		switch (c) {
		case 'm':
			memory = parse_size(optarg, HELLO_MIN_MEMORY, HELLO_MAX_MEMORY);
			if (memory % PAGE_SIZE)
				usage_error("--memory '%s': memory comes in pages of 4 KiB",
					    optarg);
			break;
		case 'h':
			puts("usage: runvm hello [-m|--memory SIZE]\n"
			     "       SIZE: 2M to 1G, default 16M; a bare number is MiB");
			exit(0);
		default:
			exit(STATUS_USAGE);
		}
	}
	if (optind < argc)
		usage_error("hello takes no '%s'", argv[optind]);
	return memory;
}

int cmd_hello(int argc, char **argv)
{
	const uint64_t at = HELLO_STACK;	/* the stack grows away from it */
	struct hello_info *info;
	struct vcpu v;
	struct vm vm;
	int status;

	vm_create(&vm, 0, parse_memory(argc, argv));
	load(&vm);
	info = vm_at(&vm, at, sizeof(*info));
	info->mem_size = vm.mem_size;
	info->tsc_khz = vm_cap(&vm, HVX_CAP_TSC_KHZ);
	vcpu_create(&v, &vm, 0);
	start(&v, at);
	status = run_guest(&v);
	vcpu_destroy(&v);
	vm_destroy(&vm);
	return status;
}
