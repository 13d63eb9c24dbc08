// SPDX-License-Identifier: GPL-2.0-only
/* machine.c: what the guest finds in memory and registers, whatever hypervisor runs it. */
#include <err.h>
#include <string.h>
#include <sys/mman.h>

#include "exits.h"

#define PTE_TABLE	0x7ULL		/* present, writable, user */
#define PTE_LEAF_2M	0xe7ULL		/* ditto, accessed, dirty, PS */

#define ATTR_CODE64	0xa09b
#define ATTR_DATA	0xc093
#define ATTR_TSS	0x008b

int must(int ret, const char *what)
{
	if (ret < 0)
		err(1, "%s", what);
	return ret;
}

static void *pages(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		err(1, "mmap");
	/* Large pages would hide what a fault costs */
	madvise(p, len, MADV_NOHUGEPAGE);
	return p;
}

static void fill_page_tables(uint8_t *low)
{
	uint64_t *pml4 = (uint64_t *)(low + G_PML4);
	uint64_t *pdpt = (uint64_t *)(low + G_PDPT);
	uint64_t *pd = (uint64_t *)(low + G_PD);
	unsigned int i;

	pml4[0] = G_PDPT | PTE_TABLE;
	for (i = 0; i < 4; i++)
		pdpt[i] = (G_PD + i * 0x1000) | PTE_TABLE;
	for (i = 0; i < 4 * 512; i++)
		pd[i] = (uint64_t)i << 21 | PTE_LEAF_2M;
}

static void fill_idt(uint8_t *low)
{
	uint64_t *gate = (uint64_t *)(low + G_IDT) + G_VECTOR * 2;
	uint64_t to = G_CODE + (guest_handler - guest_begin);

	gate[0] = (to & 0xffff) | G_CODE_SEL << 16 | 0x8eULL << 40 | (to >> 16 & 0xffff) << 48;
	gate[1] = to >> 32;
}

static uint64_t descriptor(uint32_t base, uint32_t limit, uint64_t attr)
{
	return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (attr & 0xf0ff) << 40 |
		(uint64_t)(base >> 24) << 56;
}

void machine_init(struct machine *m)
{
	uint64_t *gdt;

	memset(m, 0, sizeof(*m));
	m->low = pages(G_LOW_SIZE);
	m->fresh = pages(G_FRESH_SIZE);
	fill_page_tables(m->low);
	fill_idt(m->low);
	gdt = (uint64_t *)(m->low + G_GDT);
	gdt[G_CODE_SEL / 8] = descriptor(0, 0xffff, ATTR_CODE64);
	gdt[G_DATA_SEL / 8] = descriptor(0, 0xffff, ATTR_DATA);
	gdt[G_TSS_SEL / 8] = descriptor(G_TSS, 0x67, ATTR_TSS);
	memcpy(m->low + G_CODE, guest_begin, guest_end - guest_begin);
}

void machine_fini(struct machine *m)
{
	munmap(m->low, G_LOW_SIZE);
	munmap(m->fresh, G_FRESH_SIZE);
}

void machine_state(struct start_state *s, const char *routine, uint64_t count)
{
	*s = (struct start_state){
		.rip = G_CODE + (routine - guest_begin),
		.rsp = G_STACK,
		.count = count,
		.cr0 = 0x80000033,		/* PG, NE, ET, MP, PE */
		.cr3 = G_PML4,
		.cr4 = 0x20,			/* PAE */
		.efer = 0x500,			/* LMA, LME */
		.code = { G_CODE_SEL, ATTR_CODE64, ~0U, 0 },
		.data = { G_DATA_SEL, ATTR_DATA, ~0U, 0 },
		.task = { G_TSS_SEL, ATTR_TSS, 0x67, G_TSS },
		.gdt_base = G_GDT, .gdt_limit = 4 * 8 - 1,
		.idt_base = G_IDT, .idt_limit = 256 * 16 - 1,
	};
}
