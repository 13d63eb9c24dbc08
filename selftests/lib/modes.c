// SPDX-License-Identifier: GPL-2.0-only
/*
 * modes.c: puts a vCPU into a processor mode: descriptor tables in the vCPU's area, segment
 * registers as loading from these tables would set them, control registers.
 */
#include "vm.h"

/* struct hvx_seg::attr of the usual segments */
#define ATTR_CODE64	(0xb | HVX_SEG_S | HVX_SEG_P | HVX_SEG_L | HVX_SEG_G)
#define ATTR_CODE32	(0xb | HVX_SEG_S | HVX_SEG_P | HVX_SEG_DB | HVX_SEG_G)
#define ATTR_DATA32	(0x3 | HVX_SEG_S | HVX_SEG_P | HVX_SEG_DB | HVX_SEG_G)
#define ATTR_CODE16	(0xb | HVX_SEG_S | HVX_SEG_P)
#define ATTR_DATA16	(0x3 | HVX_SEG_S | HVX_SEG_P)
#define ATTR_TSS	(0x9 | HVX_SEG_P)
#define ATTR_TSS_BUSY	(0xb | HVX_SEG_P)
#define ATTR_LDT	(0x2 | HVX_SEG_P)
#define ATTR_DPL3	(3 << HVX_SEG_DPL_SHIFT)

/* lib/entry32.S */
extern char guest_stubs32[];

struct hvx_seg seg_make(uint16_t selector, uint64_t base, uint32_t limit, uint16_t attr)
{
	return (struct hvx_seg){
		.selector = selector, .base = base, .limit = limit, .attr = attr,
	};
}

uint64_t gdt_make(uint32_t base, uint32_t limit, uint16_t attr)
{
	uint64_t d, flags = attr >> 8 & 0xf;

	if (attr & HVX_SEG_G)
		limit >>= 12;
	d = (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16;
	d |= (uint64_t)(attr & 0xff) << 40 | (uint64_t)(limit >> 16 & 0xf) << 48;
	return d | flags << 52 | (uint64_t)(base >> 24) << 56;
}

void idt_set(struct gcpu *g, unsigned int vec, void *to, unsigned int dpl, unsigned int ist)
{
	uint64_t *gate = (uint64_t *)((char *)g + GCPU_IDT) + vec * 2;
	uint64_t addr = (uintptr_t)to;

	gate[0] = (addr & 0xffff) | SEL_KCODE64 << 16 | (uint64_t)ist << 32 |
		(uint64_t)(0x8e | dpl << 5) << 40 | (addr >> 16 & 0xffff) << 48;
	gate[1] = addr >> 32;
}

static void fill_gdt(struct gcpu *g, bool long_mode)
{
	uint64_t *gdt = g->gdt;

	gdt[SEL_KCODE64 / 8] = gdt_make(0, ~0, ATTR_CODE64);
	gdt[SEL_KDATA / 8] = gdt_make(0, ~0, ATTR_DATA32);
	gdt[SEL_UCODE32 / 8] = gdt_make(0, ~0, ATTR_CODE32 | ATTR_DPL3);
	gdt[SEL_UDATA / 8] = gdt_make(0, ~0, ATTR_DATA32 | ATTR_DPL3);
	gdt[SEL_UCODE64 / 8] = gdt_make(0, ~0, ATTR_CODE64 | ATTR_DPL3);
	gdt[SEL_KCODE32 / 8] = gdt_make(0, ~0, ATTR_CODE32);
	gdt[SEL_KCODE16 / 8] = gdt_make(0, 0xffff, ATTR_CODE16);
	gdt[SEL_KDATA16 / 8] = gdt_make(0, 0xffff, ATTR_DATA16);
	gdt[SEL_ABSENT / 8] = gdt_make(0, ~0, ATTR_DATA32 & ~HVX_SEG_P);
	gdt[SEL_TSS / 8] = gdt_make((uintptr_t)&g->tss, sizeof(g->tss) - 1, ATTR_TSS_BUSY);
	gdt[SEL_TSS / 8 + 1] = 0;
	/* The high half of a 16-byte LDT descriptor is 0, hence nothing in 32-bit mode. */
	gdt[SEL_TSS32 / 8] = gdt_make((uintptr_t)g->tss32, sizeof(g->tss32) - 1,
				      long_mode ? ATTR_TSS : ATTR_TSS_BUSY);
	gdt[SEL_LDT / 8] = gdt_make((uintptr_t)g->ldt, sizeof(g->ldt) - 1, ATTR_LDT);
	gdt[SEL_LDT / 8 + 1] = 0;
	g->ldt[0] = gdt_make(0, ~0, ATTR_DATA32);
}

static void fill_tss(struct gcpu *g)
{
	uint32_t *t = (uint32_t *)g->tss32;
	char *base = (char *)g;

	g->tss.rsp[0] = (uintptr_t)base + GCPU_TRAP_STACK;
	g->tss.ist[0] = (uintptr_t)base + GCPU_TRAP_STACK;
	g->tss.ist[1] = (uintptr_t)base + GCPU_DF_STACK;
	g->tss.ist[2] = (uintptr_t)base + GCPU_NMI_STACK;
	g->tss.ist[6] = (uintptr_t)base + GCPU_TRAP_STACK;
	g->tss.iomap = sizeof(g->tss);
	t[1] = (uintptr_t)base + GCPU_TRAP_STACK;
	t[2] = SEL_KDATA;
	t[25] = sizeof(g->tss32) << 16;
}

static void fill_idt(struct gcpu *g)
{
	uint64_t *idt32 = (uint64_t *)((char *)g + GCPU_IDT32);
	uint64_t addr;
	unsigned int i;

	for (i = 0; i < 256; i++)
		idt_set(g, i, guest_stubs + i * 16, 0, i == 8 ? 2 : i == 2 ? 3 : 1);
	idt_set(g, 3, guest_stubs + 3 * 16, 3, 1);
	idt_set(g, 4, guest_stubs + 4 * 16, 3, 1);
	for (i = VEC_RING3_END; i <= VEC_UCALL; i++)
		idt_set(g, i, guest_stubs + i * 16, 3, 1);
	for (i = 0; i < 256; i++) {
		addr = (uintptr_t)guest_stubs32 + i * 16;
		idt32[i] = (addr & 0xffff) | SEL_KCODE32 << 16 | 0x8e0000000000ULL |
			(addr >> 16) << 48;
	}
}

static void setup(struct vcpu *v, bool long_mode)
{
	struct gcpu *g = v->g;
	struct hvx_segs *s = &v->run->seg;
	const struct hvx_seg data = seg_make(SEL_KDATA, 0, ~0, ATTR_DATA32);
	unsigned int i;

	vcpu_get(v, HVX_REGS_ALL);
	memset(&v->run->regs, 0, sizeof(v->run->regs));
	v->run->regs.rflags = FL_FIXED;
	fill_gdt(g, long_mode);
	fill_tss(g);
	fill_idt(g);
	for (i = HVX_ES; i <= HVX_GS; i++)
		s->seg[i] = data;
	s->seg[HVX_LDTR] = seg_make(0, 0, 0, HVX_SEG_UNUSABLE);
	s->gdt = (struct hvx_table){ .base = (uintptr_t)g->gdt, .limit = sizeof(g->gdt) - 1 };
	v->run->regs.gpr[HVX_RSP] = (uintptr_t)g + GCPU_STACK;
}

static void finish(struct vcpu *v)
{
	v->run->regs_dirty |= HVX_REGS_GPR | HVX_REGS_SEG | HVX_REGS_CTRL;
}

void vcpu_setup_long_mode(struct vcpu *v, guest_fn fn)
{
	struct hvx_run *r = v->run;
	struct gcpu *g = v->g;

	setup(v, true);
	r->seg.seg[HVX_CS] = seg_make(SEL_KCODE64, 0, ~0, ATTR_CODE64);
	r->seg.seg[HVX_TR] = seg_make(SEL_TSS, (uintptr_t)&g->tss, sizeof(g->tss) - 1,
				      ATTR_TSS_BUSY);
	r->seg.idt = (struct hvx_table){ .base = (uintptr_t)g + GCPU_IDT, .limit = 0xfff };
	r->ctrl.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	r->ctrl.cr3 = (uintptr_t)v->vm->pml4;
	r->ctrl.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	r->ctrl.efer = EFER_LME | EFER_LMA | EFER_NXE;
	r->regs.rip = (uintptr_t)guest_start;
	r->regs.gpr[HVX_RAX] = (uintptr_t)fn;
	r->regs.gpr[HVX_RDI] = (uintptr_t)g;
	finish(v);
}

static void setup32(struct vcpu *v, void (*fn)(void))
{
	struct hvx_run *r = v->run;
	struct gcpu *g = v->g;

	setup(v, false);
	r->seg.seg[HVX_CS] = seg_make(SEL_KCODE32, 0, ~0, ATTR_CODE32);
	r->seg.seg[HVX_TR] = seg_make(SEL_TSS32, (uintptr_t)g->tss32, sizeof(g->tss32) - 1,
				      ATTR_TSS_BUSY);
	r->seg.idt = (struct hvx_table){ .base = (uintptr_t)g + GCPU_IDT32, .limit = 0x7ff };
	r->ctrl.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP;
	r->ctrl.cr3 = 0;
	r->ctrl.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
	r->ctrl.efer = 0;
	r->regs.rip = (uintptr_t)fn;
	r->regs.gpr[HVX_RBX] = (uintptr_t)g;
}

void vcpu_setup_prot32(struct vcpu *v, void (*fn)(void))
{
	setup32(v, fn);
	finish(v);
}

void vcpu_setup_paging32(struct vcpu *v, void (*fn)(void))
{
	struct vm *vm = v->vm;
	unsigned int i;

	setup32(v, fn);
	if (!vm->pd32) {
		vm->pd32 = heap_alloc(PAGE_SIZE, PAGE_SIZE);
		for (i = 0; i < 1024; i++)
			vm->pd32[i] = i << 22 | PTE_P | PTE_W | PTE_U | PTE_A | PTE_D | PTE_PS;
	}
	v->run->ctrl.cr3 = (uintptr_t)vm->pd32;
	v->run->ctrl.cr4 |= CR4_PSE;
	v->run->ctrl.cr0 |= CR0_PG;
	finish(v);
}

void vcpu_setup_pae(struct vcpu *v, void (*fn)(void))
{
	uint64_t *pdpt = heap_alloc(4 * sizeof(*pdpt), 32);
	unsigned int i;

	setup32(v, fn);
	/* The page directories are those of long mode; their parents have fewer bits here. */
	for (i = 0; i < 4; i++)
		pdpt[i] = (v->vm->pdpt[i] & PTE_ADDR) | PTE_P;
	v->run->ctrl.cr3 = (uintptr_t)pdpt;
	v->run->ctrl.cr4 |= CR4_PAE;
	v->run->ctrl.cr0 |= CR0_PG;
	finish(v);
}

void vcpu_setup_real(struct vcpu *v, uint16_t cs, uint16_t ip)
{
	struct hvx_run *r = v->run;
	unsigned int i;

	vcpu_get(v, HVX_REGS_ALL);
	memset(&r->regs, 0, sizeof(r->regs));
	r->regs.rip = ip;
	r->regs.rflags = FL_FIXED;
	r->regs.gpr[HVX_RSP] = 0x7c00;
	for (i = HVX_ES; i <= HVX_GS; i++)
		r->seg.seg[i] = seg_make(0, 0, 0xffff, ATTR_DATA16);
	r->seg.seg[HVX_CS] = seg_make(cs, (uint32_t)cs << 4, 0xffff, ATTR_CODE16);
	r->seg.idt = (struct hvx_table){ .limit = 0x3ff };
	r->ctrl.cr0 = CR0_ET;
	r->ctrl.cr3 = 0;
	r->ctrl.cr4 = 0;
	r->ctrl.efer = 0;
	finish(v);
}
