// SPDX-License-Identifier: GPL-2.0-only
/* start.c: the first vCPU's registers, and the tables that they point to. */
#include <string.h>

#include "boot/boot.h"

/* Linux wants these numbers (__BOOT_CS, __BOOT_DS), others do not mind */
#define SEL_CODE	0x10
#define SEL_DATA	0x18
#define SEL_TSS		0x20

#define GDT_CODE32	0x00cf9b000000ffffULL
#define GDT_CODE64	0x00af9b000000ffffULL
#define GDT_DATA	0x00cf93000000ffffULL
#define GDT_TSS		0x00008b0000000067ULL
#define GDT_ENTRIES	6			/* a TSS has two in long mode */
#define TSS_LIMIT	0x67

#define PTE_TABLE	0x3ULL			/* present, writable */
#define PTE_2M		0x83ULL			/* present, writable, PS */

/* struct hvx_seg::attr, ring 0 */
#define ATTR_CODE32	(0xb | HVX_SEG_S | HVX_SEG_P | HVX_SEG_DB | HVX_SEG_G)
#define ATTR_CODE64	(0xb | HVX_SEG_S | HVX_SEG_P | HVX_SEG_L | HVX_SEG_G)
#define ATTR_DATA	(0x3 | HVX_SEG_S | HVX_SEG_P | HVX_SEG_DB | HVX_SEG_G)
#define ATTR_CODE16	(0xb | HVX_SEG_S | HVX_SEG_P)
#define ATTR_DATA16	(0x3 | HVX_SEG_S | HVX_SEG_P)
#define ATTR_TSS	(0xb | HVX_SEG_P)

#define CR0_PE		0x00000001ULL
#define CR0_ET		0x00000010ULL
#define CR0_PG		0x80000000ULL
#define CR4_PAE		0x20ULL
#define EFER_LME	0x100ULL
#define EFER_LMA	0x400ULL
#define RFLAGS_FIXED	0x2ULL
#define DR6_INIT	0xffff0ff0ULL
#define DR7_INIT	0x400ULL

/* The first 4 GiB at themselves, in pages of 2 MiB: not every CPU has larger ones */
static bool page_tables(struct boot *b)
{
	uint64_t *pml4 = layout_own(b, PAGE_TABLES_BASE, 6 * PAGE_SIZE);
	uint64_t *pdpt, *pd;
	unsigned int i;

	if (!pml4)
		return false;
	pdpt = pml4 + 512;
	pd = pdpt + 512;
	pml4[0] = (PAGE_TABLES_BASE + PAGE_SIZE) | PTE_TABLE;
	for (i = 0; i < 4; i++)
		pdpt[i] = (PAGE_TABLES_BASE + (2 + i) * PAGE_SIZE) | PTE_TABLE;
	for (i = 0; i < 4 * 512; i++)
		pd[i] = (uint64_t)i << 21 | PTE_2M;
	return true;
}

static bool bios_data_area(struct boot *b)
{
	uint8_t *bda = layout_own(b, 0, 0x500);	/* with the interrupt vectors before it */
	const uint16_t ebda = LOW_END >> 4, kib = LOW_END >> 10;

	if (!bda)
		return false;
	/* Kernels look here for the end of low memory */
	memcpy(bda + 0x40e, &ebda, 2);
	memcpy(bda + 0x413, &kib, 2);
	return true;
}

bool start_tables(struct boot *b)
{
	bool is64 = b->start.mode == START_LONG;
	uint64_t *gdt;

	if (b->start.mode == START_REAL)
		return true;
	gdt = layout_own(b, GDT_BASE, 8 * GDT_ENTRIES);
	if (!gdt || !layout_own(b, TSS_BASE, TSS_LIMIT + 1))
		return false;
	gdt[SEL_CODE / 8] = is64 ? GDT_CODE64 : GDT_CODE32;
	gdt[SEL_DATA / 8] = GDT_DATA;
	gdt[SEL_TSS / 8] = GDT_TSS | (TSS_BASE & 0xffffff) << 16 | TSS_BASE >> 24 << 56;
	return bios_data_area(b) && (!is64 || page_tables(b));
}

static void flat_segments(struct hvx_segs *s, bool is64)
{
	unsigned int i;

	for (i = 0; i <= HVX_GS; i++)
		s->seg[i] = (struct hvx_seg){
			.selector = SEL_DATA, .attr = ATTR_DATA, .limit = ~0U,
		};
	s->seg[HVX_CS] = (struct hvx_seg){
		.selector = SEL_CODE, .attr = is64 ? ATTR_CODE64 : ATTR_CODE32, .limit = ~0U,
	};
	s->seg[HVX_TR] = (struct hvx_seg){
		.selector = SEL_TSS, .attr = ATTR_TSS, .limit = TSS_LIMIT, .base = TSS_BASE,
	};
	s->gdt = (struct hvx_table){ .base = GDT_BASE, .limit = 8 * GDT_ENTRIES - 1 };
	s->idt = (struct hvx_table){ .base = 0, .limit = 0 };
}

static void real_segments(struct hvx_segs *s, uint16_t cs)
{
	unsigned int i;

	for (i = 0; i <= HVX_GS; i++)
		s->seg[i] = (struct hvx_seg){ .attr = ATTR_DATA16, .limit = 0xffff };
	s->seg[HVX_CS] = (struct hvx_seg){
		.selector = cs, .attr = ATTR_CODE16, .limit = 0xffff, .base = (uint64_t)cs << 4,
	};
	s->seg[HVX_TR] = (struct hvx_seg){ .attr = ATTR_TSS, .limit = 0xffff };
	s->gdt = (struct hvx_table){ .base = 0, .limit = 0xffff };
	s->idt = (struct hvx_table){ .base = 0, .limit = 0x3ff };
}

static uint16_t code_segment(const struct start *start)
{
	if (start->mode != START_VECTOR && start->entry < 0x10000)
		return 0;
	return start->entry >> 4;
}

/* What a reset leaves, but for what @start says; IA32_APIC_BASE is the machine's */
void start_registers(const struct start *start, struct hvx_run *run)
{
	bool is64 = start->mode == START_LONG;
	uint16_t cs = code_segment(start);

	memset(&run->regs, 0, sizeof(run->regs));
	memcpy(run->regs.gpr, start->gpr, sizeof(start->gpr));
	run->regs.rip = start->entry;
	run->regs.rflags = RFLAGS_FIXED;
	memset(&run->seg, 0, sizeof(run->seg));
	run->seg.seg[HVX_LDTR] = (struct hvx_seg){ .attr = HVX_SEG_UNUSABLE };
	run->ctrl = (struct hvx_ctrl){
		.cr0 = CR0_ET, .xcr0 = 1, .apic_base = run->ctrl.apic_base,
	};
	if (start->mode == START_REAL || start->mode == START_VECTOR) {
		real_segments(&run->seg, cs);
		run->regs.rip -= (uint64_t)cs << 4;
	} else {
		flat_segments(&run->seg, is64);
		run->ctrl.cr0 |= CR0_PE;
	}
	if (is64) {
		run->ctrl.cr0 |= CR0_PG;
		run->ctrl.cr3 = PAGE_TABLES_BASE;
		run->ctrl.cr4 = CR4_PAE;
		run->ctrl.efer = EFER_LME | EFER_LMA;
	}
	run->debug = (struct hvx_dregs){ .dr6 = DR6_INIT, .dr7 = DR7_INIT };
	run->regs_dirty |= HVX_REGS_GPR | HVX_REGS_SEG | HVX_REGS_CTRL | HVX_REGS_DEBUG;
}
