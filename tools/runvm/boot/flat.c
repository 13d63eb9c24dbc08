// SPDX-License-Identifier: GPL-2.0-only
/*
 * flat.c: bare programs, loaded to the address of --flat and started at their first byte. Below
 * 1 MiB that is in real mode, as a boot sector is: CS:IP is 0:ADDR (or, from 64 KiB on, the
 * paragraph and 0), the other segments are 0, DL is 0x80 and the stack is below 0x7c00; there is no
 * BIOS. From 1 MiB on it is in 64-bit mode with the first 4 GiB mapped to themselves, a stack of
 * 32 KiB, and RDI pointing to struct hvm_start_info, as EBX does for PVH.
 */
#include "boot/boot.h"

#define REAL_STACK	0x7c00
#define FIRST_DISK	0x80

static bool flat_real(struct boot *b)
{
	if (b->initrd.path || *b->cmdline)
		return boot_fail(b, &b->kernel,
				 "a program in real mode (--flat below 1 MiB) can be given neither initrd nor command line");
	if (b->m->options->flat_addr >= 0x10000 && b->m->options->flat_addr & 0xf)
		return boot_fail(b, &b->kernel,
				 "--flat %#llx: in real mode, addresses from 64 KiB on must be multiples of 16",
				 (unsigned long long)b->m->options->flat_addr);
	b->start.mode = START_REAL;
	b->start.gpr[HVX_RSP] = REAL_STACK;
	b->start.gpr[HVX_RDX] = FIRST_DISK;
	return true;
}

static bool flat_long(struct boot *b)
{
	b->start.mode = START_LONG;
	b->start.gpr[HVX_RSP] = STACK_TOP;
	b->start.gpr[HVX_RDI] = INFO_BASE;
	return pvh_info(b, b->m->options->flat_addr + b->kernel.len);
}

bool flat_load(struct boot *b)
{
	b->start.entry = b->m->options->flat_addr;
	return layout_load(b, 0, b->kernel.len, b->m->options->flat_addr, b->kernel.len) &&
	       (b->m->options->flat_addr < MIB_1 ? flat_real(b) : flat_long(b));
}
