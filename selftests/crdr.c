// SPDX-License-Identifier: GPL-2.0-only
/*
 * crdr: control and debug registers, XCR0, and the other privileged instructions of ring 0.
 * Without shadowing a guest sees the bits that hvx needs for itself; without the checks it sets
 * what a processor refuses, or breaks its next entry.
 */
#include "vm.h"

#define WIN	0x40000000UL
#define WIN_GPA	(HEAP_BASE + 0x800000)

#define TRY_WRITE(g, reg, val)						\
	TRY(g, "mov %[v], %%" #reg, (), ([v] "r"((uint64_t)(val))))

static struct vcpu *start(guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, fn);
	return v;
}

static bool host_has(uint32_t leaf, unsigned int reg, unsigned int bit)
{
	uint32_t r[4];

	g_cpuid(leaf, 0, r);
	return r[reg] >> bit & 1;
}

static GUEST_CODE void toggle_cr0(struct gcpu *g, uint64_t bits)
{
	const uint64_t old = G_READ_REG(cr0);

	GUEST_EQ(TRY_WRITE(g, cr0, old ^ bits), -1);
	GUEST_EQ(G_READ_REG(cr0), old ^ bits);
	GUEST_EQ(TRY_WRITE(g, cr0, old), -1);
	GUEST_EQ(G_READ_REG(cr0), old);
}

GUEST(cr0)
{
	const uint64_t old = G_READ_REG(cr0);
	uint16_t msw;

	GUEST_EQ(old, CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
	toggle_cr0(g, CR0_MP);
	toggle_cr0(g, CR0_TS);
	toggle_cr0(g, CR0_EM);
	toggle_cr0(g, CR0_NE);
	toggle_cr0(g, CR0_WP);
	toggle_cr0(g, CR0_AM);
	toggle_cr0(g, CR0_CD);
	toggle_cr0(g, CR0_CD | CR0_NW);
	/* ET is 1 on every processor of today. */
	GUEST_EQ(TRY_WRITE(g, cr0, old & ~CR0_ET), -1);
	GUEST_EQ(G_READ_REG(cr0), old);
	/* What no processor takes */
	GUEST_EQ(TRY_WRITE(g, cr0, old & ~CR0_PE), 13);
	GUEST_EQ(TRY_WRITE(g, cr0, old | CR0_NW), 13);
	GUEST_EQ(TRY_WRITE(g, cr0, old | 1UL << 32), 13);
	GUEST_EQ(g->trap.error, 0);
	GUEST_EQ(G_READ_REG(cr0), old);
	/* LMSW sets TS, CLTS clears it, SMSW shows it; LMSW cannot clear PE. */
	asm volatile("lmsw %w0" : : "r"(CR0_MP | CR0_TS));
	GUEST_EQ(G_READ_REG(cr0), old | CR0_TS);
	asm volatile("smsw %w0" : "=r"(msw));
	GUEST_EQ(msw, (uint16_t)(old | CR0_TS));
	asm volatile("clts");
	GUEST_EQ(G_READ_REG(cr0), old);
}

TEST(cr0_access)
{
	vcpu_finish(start(cr0));
}

static uint16_t msw_stored;

GUEST(user_smsw)
{
	uint64_t msw = 0;

	asm volatile("smsw %0" : "=r"(msw));
	GUEST_EQ(msw & 1, 1);
}

/* AMD-V hides CR0.CD from the processor, so that CR0 is answered in software while it is set. */
GUEST(smsw)
{
	uint64_t cr0, msw = ~0ULL;

	G_WRITE_REG(cr0, G_READ_REG(cr0) | CR0_CD);
	cr0 = G_READ_REG(cr0);
	GUEST_EQ(cr0 & (CR0_CD | CR0_NW), CR0_CD);
	asm volatile("smsw %0" : "=r"(msw));
	GUEST_EQ((uint32_t)msw, (uint32_t)cr0);
	msw = 0x1122334455667788;
	asm volatile("smsww %w0" : "+r"(msw));
	GUEST_EQ(msw, 0x1122334455660000 | (uint16_t)cr0);
	msw_stored = 0;
	asm volatile("smsw %0" : "=m"(msw_stored));
	GUEST_EQ(msw_stored, (uint16_t)cr0);
	guest_ring3(g, user_smsw);
	G_WRITE_REG(cr0, cr0 & ~CR0_CD);
	GUEST_EQ(G_READ_REG(cr0), cr0 & ~CR0_CD);
}

TEST(smsw_while_uncached)
{
	vcpu_finish(start(smsw));
}

GUEST(cr2_cr8)
{
	uint64_t i;

	G_WRITE_REG(cr2, 0xdeadbeefcafe);
	GUEST_EQ(G_READ_REG(cr2), 0xdeadbeefcafe);
	for (i = 0; i < 16; i++) {
		G_WRITE_REG(cr8, i);
		GUEST_EQ(G_READ_REG(cr8), i);
	}
	GUEST_EQ(TRY_WRITE(g, cr8, 16), 13);
	guest_sync(1);
	GUEST_EQ(G_READ_REG(cr8), 4);
	GUEST_EQ(G_READ_REG(cr2), 0x1000);
	/* CR1, CR5-CR7 and CR9-CR15 do not exist. */
	GUEST_EQ(TRY(g, ".byte 0x0f, 0x20, 0xc8", (), (), "rax"), 6);
	GUEST_EQ(TRY(g, ".byte 0x0f, 0x20, 0xe8", (), (), "rax"), 6);
	GUEST_EQ(TRY(g, ".byte 0x0f, 0x22, 0xe8", (), ()), 6);
}

TEST(cr2_cr8_access)
{
	struct vcpu *v = start(cr2_cr8);
	struct hvx_run *r = v->run;

	r->regs_wanted = HVX_REGS_ALL;
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(r->ctrl.cr8, 15);
	EXPECT_EQ(r->ctrl.cr2, 0xdeadbeefcafe);
	r->ctrl.cr8 = 4;
	r->ctrl.cr2 = 0x1000;
	r->regs_dirty = HVX_REGS_CTRL;
	vcpu_finish(v);
}

/* QEMU's TCG takes reserved bits into CR3, and then refuses to enter with them. */
static bool emulated_badly;

GUEST(cr3)
{
	uint64_t *pml4 = (uint64_t *)G_READ_REG(cr3);
	uint64_t *other = (uint64_t *)g->arg;
	volatile uint64_t *win = G_HIDE((uint64_t *)WIN);
	unsigned int i;

	for (i = 0; i < 512; i++)
		GUEST_EQ(other[i] & PTE_P, pml4[i] & PTE_P);
	GUEST_EQ(*win, 1);
	G_WRITE_REG(cr3, other);
	GUEST_EQ(G_READ_REG(cr3), (uintptr_t)other);
	GUEST_EQ(*win, 2);
	G_WRITE_REG(cr3, pml4);
	GUEST_EQ(*win, 1);
	/* PWT and PCD are the guest's to set. */
	G_WRITE_REG(cr3, (uintptr_t)pml4 | 0x18);
	GUEST_EQ(G_READ_REG(cr3), (uintptr_t)pml4 | 0x18);
	if (!emulated_badly)
		GUEST_EQ(TRY_WRITE(g, cr3, (uintptr_t)pml4 | 1UL << 62), 13);
	GUEST_EQ(*win, 1);
}

static uint64_t *copy_table(const uint64_t *from)
{
	uint64_t *to = heap_alloc(PAGE_SIZE, PAGE_SIZE);

	return memcpy(to, from, PAGE_SIZE);
}

TEST(cr3_switches)
{
	struct vcpu *v = start(cr3);
	uint64_t *pml4, *pdpt, *pd, *pt;

	emulated_badly = host_is_tcg();
	*vm_pte(v->vm, WIN) = WIN_GPA | PTE_P | PTE_W;
	*(uint64_t *)WIN_GPA = 1;
	*(uint64_t *)(WIN_GPA + PAGE_SIZE) = 2;
	/* A second set of tables that differs in one page */
	pml4 = copy_table(v->vm->pml4);
	pdpt = copy_table(v->vm->pdpt);
	pd = copy_table((uint64_t *)(v->vm->pdpt[1] & PTE_ADDR));
	pt = copy_table((uint64_t *)(pd[0] & PTE_ADDR));
	pml4[0] = (uintptr_t)pdpt | PTE_P | PTE_W | PTE_U;
	pdpt[1] = (uintptr_t)pd | PTE_P | PTE_W | PTE_U;
	pd[0] = (uintptr_t)pt | PTE_P | PTE_W | PTE_U;
	pt[0] = (WIN_GPA + PAGE_SIZE) | PTE_P | PTE_W;
	v->g->arg = (uintptr_t)pml4;
	vcpu_finish(v);
}

GUEST(invlpg)
{
	volatile uint64_t *pte = (uint64_t *)g->arg;
	volatile uint64_t *win = G_HIDE((uint64_t *)WIN);

	GUEST_EQ(*win, 1);
	*pte = (WIN_GPA + PAGE_SIZE) | PTE_P | PTE_W;
	asm volatile("invlpg (%0)" : : "r"(WIN) : "memory");
	GUEST_EQ(*win, 2);
	*pte = WIN_GPA | PTE_P | PTE_W;
	G_WRITE_REG(cr3, G_READ_REG(cr3));
	GUEST_EQ(*win, 1);
	*pte = 0;
	asm volatile("invlpg (%0)" : : "r"(WIN) : "memory");
	GUEST_EQ(TRY(g, "mov (%[p]), %%rax", (), ([p] "r"(WIN)), "rax"), 14);
}

TEST(invlpg_and_cr3)
{
	struct vcpu *v = start(invlpg);

	*vm_pte(v->vm, WIN) = WIN_GPA | PTE_P | PTE_W;
	v->g->arg = (uintptr_t)vm_pte(v->vm, WIN);
	*(uint64_t *)WIN_GPA = 1;
	*(uint64_t *)(WIN_GPA + PAGE_SIZE) = 2;
	vcpu_finish(v);
}

static GUEST_CODE void toggle_cr4(struct gcpu *g, uint64_t bits)
{
	const uint64_t old = G_READ_REG(cr4);

	GUEST_EQ(TRY_WRITE(g, cr4, old ^ bits), -1);
	GUEST_EQ(G_READ_REG(cr4), old ^ bits);
	GUEST_EQ(TRY_WRITE(g, cr4, old), -1);
	GUEST_EQ(G_READ_REG(cr4), old);
}

GUEST(user_rdtsc)
{
	GUEST_EQ(TRY(g, "rdtsc", (), (), "rax", "rdx"), g->arg ? 13 : -1);
}

GUEST(cr4)
{
	const uint64_t old = G_READ_REG(cr4);

	GUEST_EQ(old, CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT);
	toggle_cr4(g, CR4_TSD);
	toggle_cr4(g, CR4_DE);
	toggle_cr4(g, CR4_PSE);
	toggle_cr4(g, CR4_PGE);
	toggle_cr4(g, CR4_OSFXSR);
	toggle_cr4(g, CR4_OSXMMEXCPT);
	GUEST_EQ(TRY_WRITE(g, cr4, old & ~CR4_PAE), 13);
	GUEST_EQ(TRY_WRITE(g, cr4, old | 1UL << 13), 13);	/* VMXE: not there */
	GUEST_EQ(TRY_WRITE(g, cr4, old | 1UL << 31), 13);
	GUEST_EQ(TRY_WRITE(g, cr4, old | 1UL << 40), 13);
	GUEST_EQ(G_READ_REG(cr4), old);
	g->arg = 0;
	guest_ring3(g, user_rdtsc);
	G_WRITE_REG(cr4, old | CR4_TSD);
	g->arg = 1;
	guest_ring3(g, user_rdtsc);
	GUEST_EQ(TRY(g, "rdtsc", (), (), "rax", "rdx"), -1);
}

TEST(cr4_access)
{
	vcpu_finish(start(cr4));
}

GUEST(smep_smap)
{
	const uint64_t old = G_READ_REG(cr4);
	uint32_t r[4];

	g_cpuid(7, 0, r);
	if (r[1] & 1 << 7) {
		GUEST_EQ(TRY(g, "call *%[p]", (), ([p] "r"(WIN))), -1);
		G_WRITE_REG(cr4, old | CR4_SMEP);
		GUEST_EQ(TRY(g, "jmp *%[p]", (), ([p] "r"(WIN))), 14);
		GUEST_EQ(g->trap.error, 0x11);
		G_WRITE_REG(cr4, old);
	} else {
		GUEST_EQ(TRY_WRITE(g, cr4, old | CR4_SMEP), 13);
	}
	if (r[1] & 1 << 20) {
		GUEST_EQ(TRY(g, "movb (%[p]), %%al", (), ([p] "r"(WIN)), "rax"), -1);
		G_WRITE_REG(cr4, old | CR4_SMAP);
		GUEST_EQ(TRY(g, "movb (%[p]), %%al", (), ([p] "r"(WIN)), "rax"), 14);
		GUEST_EQ(g->trap.error, 1);
		GUEST_EQ(TRY(g, "stac; movb (%[p]), %%al; clac", (), ([p] "r"(WIN)), "rax"), -1);
		G_WRITE_REG(cr4, old);
	} else {
		GUEST_EQ(TRY_WRITE(g, cr4, old | CR4_SMAP), 13);
	}
}

/* Only this program's stack and globals lie in user pages: take the U bit from what SMEP needs. */
static void no_user_pages(struct vm *vm)
{
	unsigned int i, k;

	for (i = 0; i < 4; i++) {
		uint64_t *pd = (uint64_t *)(vm->pdpt[i] & PTE_ADDR);

		for (k = 0; k < 512; k++)
			pd[k] &= ~PTE_U;
	}
}

TEST(smep_and_smap)
{
	struct vcpu *v = start(smep_smap);

	no_user_pages(v->vm);
	*vm_pte(v->vm, WIN) = WIN_GPA | PTE_P | PTE_W | PTE_U;
	((uint64_t *)(v->vm->pdpt[1] & PTE_ADDR))[0] |= PTE_U;
	*(uint8_t *)WIN_GPA = 0xc3;	/* ret */
	vcpu_finish(v);
}

GUEST(debug_registers)
{
	static const uint64_t vals[] = { 0x1000, 0x7fff12345678, 0xffff800000000008, 0 };

	GUEST_EQ(G_READ_REG(dr7), 0x400);
	GUEST_EQ(G_READ_REG(dr6), 0xffff0ff0);
	G_WRITE_REG(dr0, vals[0]);
	G_WRITE_REG(dr1, vals[1]);
	G_WRITE_REG(dr2, vals[2]);
	G_WRITE_REG(dr3, vals[3]);
	GUEST_EQ(G_READ_REG(dr0), vals[0]);
	GUEST_EQ(G_READ_REG(dr1), vals[1]);
	GUEST_EQ(G_READ_REG(dr2), vals[2]);
	GUEST_EQ(G_READ_REG(dr3), vals[3]);
	/* Reserved bits keep their value. */
	G_WRITE_REG(dr6, 0);
	GUEST_EQ(G_READ_REG(dr6) & ~0x10800UL, 0xffff0ff0 & ~0x10800UL);
	G_WRITE_REG(dr6, 0xffff4fff);
	GUEST_EQ(G_READ_REG(dr6) & 0x400f, 0x400f);
	G_WRITE_REG(dr6, 0xffff0ff0);
	G_WRITE_REG(dr7, 0);
	GUEST_EQ(G_READ_REG(dr7), 0x400);
	GUEST_EQ(TRY_WRITE(g, dr7, 1UL << 32), 13);
	GUEST_EQ(TRY_WRITE(g, dr6, 1UL << 32), 13);
	/* DR4 and DR5 are DR6 and DR7 until CR4.DE says otherwise. */
	GUEST_EQ(TRY(g, "mov %%db4, %%rax", (), (), "rax"), -1);
	G_WRITE_REG(cr4, G_READ_REG(cr4) | CR4_DE);
	GUEST_EQ(TRY(g, "mov %%db4, %%rax", (), (), "rax"), 6);
	GUEST_EQ(TRY(g, "mov %%rax, %%db5", (), ()), 6);
}

TEST(dr_access)
{
	struct vcpu *v = start(debug_registers);

	v->run->regs_wanted = HVX_REGS_ALL;
	vcpu_finish(v);
	EXPECT_EQ(v->run->debug.dr[1], 0x7fff12345678);
	EXPECT_EQ(v->run->debug.dr[2], 0xffff800000000008);
	EXPECT_EQ(v->run->debug.dr7, 0x400);
}

GUEST(user_registers)
{
	GUEST_EQ(TRY(g, "mov %%cr0, %%rax", (), (), "rax"), 13);
	GUEST_EQ(TRY(g, "mov %%cr3, %%rax", (), (), "rax"), 13);
	GUEST_EQ(TRY(g, "mov %%rax, %%cr4", (), ()), 13);
	GUEST_EQ(TRY(g, "mov %%cr8, %%rax", (), (), "rax"), 13);
	GUEST_EQ(TRY(g, "mov %%db0, %%rax", (), (), "rax"), 13);
	GUEST_EQ(TRY(g, "mov %%rax, %%db7", (), ()), 13);
	GUEST_EQ(TRY(g, "clts", (), ()), 13);
	GUEST_EQ(TRY(g, "lmsw %%ax", (), ()), 13);
	GUEST_EQ(TRY(g, "invlpg (%%rax)", (), ()), 13);
	GUEST_EQ(TRY(g, "wbinvd", (), ()), 13);
	GUEST_EQ(TRY(g, "invd", (), ()), 13);
	GUEST_EQ(TRY(g, "lgdt (%%rsp)", (), ()), 13);
	GUEST_EQ(TRY(g, "lidt (%%rsp)", (), ()), 13);
	GUEST_EQ(TRY(g, "lldt %%ax", (), ()), 13);
	GUEST_EQ(TRY(g, "ltr %%ax", (), ()), 13);
	GUEST_EQ(TRY(g, "swapgs", (), ()), 13);
}

GUEST(start_user_registers)
{
	guest_ring3(g, user_registers);
}

TEST(ring3_is_gp)
{
	vcpu_finish(start(start_user_registers));
}

static GUEST_CODE int try_xsetbv(struct gcpu *g, uint32_t index, uint64_t val)
{
	return TRY(g, "xsetbv", (), ("c"(index), "a"((uint32_t)val), "d"((uint32_t)(val >> 32))));
}

static GUEST_CODE uint64_t xgetbv(void)
{
	uint32_t lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return lo | (uint64_t)hi << 32;
}

GUEST(user_xsetbv)
{
	GUEST_EQ(try_xsetbv(g, 0, 3), 13);
	GUEST_EQ(xgetbv(), g->arg);
}

GUEST(xcr0)
{
	uint32_t r[4], size;
	uint64_t all;

	GUEST_EQ(try_xsetbv(g, 0, 1), 6);
	GUEST_EQ(TRY(g, "xgetbv", (), ("c"(0)), "rax", "rdx"), 6);
	G_WRITE_REG(cr4, G_READ_REG(cr4) | CR4_OSXSAVE);
	GUEST_EQ(xgetbv(), 1);
	g_cpuid(0xd, 0, r);
	all = r[0] | (uint64_t)r[3] << 32;
	GUEST_EQ(all & 3, 3);
	GUEST_EQ(r[1], 576);
	size = r[2];
	GUEST_EQ(try_xsetbv(g, 0, 3), -1);
	GUEST_EQ(xgetbv(), 3);
	GUEST_EQ(try_xsetbv(g, 0, all), -1);
	GUEST_EQ(xgetbv(), all);
	g_cpuid(0xd, 0, r);
	GUEST_EQ(r[1], size);
	GUEST_EQ(try_xsetbv(g, 0, 0), 13);		/* x87 has to be on */
	GUEST_EQ(try_xsetbv(g, 0, all & ~1UL), 13);
	GUEST_EQ(try_xsetbv(g, 0, 5), 13);		/* AVX without SSE */
	GUEST_EQ(try_xsetbv(g, 0, all | 1UL << 63), 13);
	GUEST_EQ(try_xsetbv(g, 0, all | 1UL << 50), 13);
	GUEST_EQ(try_xsetbv(g, 1, 1), 13);
	GUEST_EQ(try_xsetbv(g, 0xffffffff, 1), 13);
	GUEST_EQ(xgetbv(), all);
	g->arg = all;
	guest_ring3(g, user_xsetbv);
}

TEST(xsetbv)
{
	struct vcpu *v = start(xcr0);

	if (!host_has(1, 2, 26))
		SKIP("no XSAVE");
	v->run->regs_wanted = HVX_REGS_ALL;
	vcpu_finish(v);
	EXPECT_EQ(v->run->ctrl.xcr0, v->g->arg);
}

GUEST(misc)
{
	uint32_t r[4], aux = 0;
	uint64_t t = 0, last = 0;
	unsigned int i;

	asm volatile("wbinvd" : : : "memory");
	GUEST_EQ(TRY(g, "invd", (), ()), -1);
	for (i = 0; i < 100; i++)
		asm volatile("pause");
	for (i = 0; i < 100; i++) {
		asm volatile("rdtsc; shl $32, %%rdx; or %%rdx, %0" : "=a"(t) : : "rdx");
		GUEST_ASSERT(t >= last);
		last = t;
	}
	g_cpuid(0x80000001, 0, r);
	if (r[3] & 1 << 27) {
		g_wrmsr(0xc0000103, 0x1234);
		asm volatile("rdtscp; shl $32, %%rdx; or %%rdx, %0" : "=a"(t), "=c"(aux) : : "rdx");
		GUEST_ASSERT(t >= last);
		GUEST_EQ(aux, 0x1234);
	} else {
		GUEST_EQ(TRY(g, "rdtscp", (), (), "rax", "rcx", "rdx"), 6);
	}
	g_cpuid(1, 0, r);
	if (!(r[2] & 1 << 3)) {
		GUEST_EQ(TRY(g, "monitor", (), ("a"(g), "c"(0), "d"(0))), 6);
		GUEST_EQ(TRY(g, "mwait", (), ("a"(0), "c"(0))), 6);
	}
	GUEST_EQ(TRY(g, "mov %%rax, %%cr8", (), ("a"(0))), -1);
}

TEST(other_instructions)
{
	vcpu_finish(start(misc));
}

static GUEST_CODE void try_counters(struct gcpu *g)
{
	/* General, fixed, the northbridge's and what no processor has; fast mode */
	static const uint32_t counters[] = { 0, 1, 3, 1 << 30, 6, 10, 0x3fffff, 1U << 31 };
	unsigned int i;

	for (i = 0; i < sizeof(counters) / sizeof(*counters); i++)
		GUEST_EQ(TRY(g, "rdpmc", (), ("c"(counters[i])), "rax", "rdx"), 13);
}

GUEST(user_counters)
{
	try_counters(g);
}

/* The processor's counters count for the host: no guest reads them, whoever may by CR4.PCE */
GUEST(counters)
{
	const uint64_t old = G_READ_REG(cr4);
	unsigned int pce;

	for (pce = 0; pce < 2; pce++) {
		GUEST_EQ(TRY_WRITE(g, cr4, pce ? old | CR4_PCE : old & ~CR4_PCE), -1);
		try_counters(g);
		guest_ring3(g, user_counters);
	}
	GUEST_EQ(G_READ_REG(cr4), old | CR4_PCE);
}

TEST(performance_counters)
{
	vcpu_finish(start(counters));
}

GUEST(tables)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) t = { 0, 0 };
	uint16_t sel;

	asm volatile("sgdt %0" : "=m"(t));
	GUEST_EQ(t.base, (uintptr_t)g->gdt);
	GUEST_EQ(t.limit, sizeof(g->gdt) - 1);
	asm volatile("sidt %0" : "=m"(t));
	GUEST_EQ(t.base, (uintptr_t)g + GCPU_IDT);
	GUEST_EQ(t.limit, 0xfff);
	asm volatile("str %0" : "=r"(sel));
	GUEST_EQ(sel, SEL_TSS);
	asm volatile("lldt %w0; sldt %w0" : "=r"(sel) : "0"(SEL_LDT));
	GUEST_EQ(sel, SEL_LDT);
	asm volatile("mov %0, %%fs" : : "r"(4));
	g->gdt[SEL_TSS / 8] &= ~(2ULL << 40);	/* LTR sets the busy bit */
	asm volatile("ltr %w0" : : "r"(SEL_TSS) : "memory");
	GUEST_EQ(g->gdt[SEL_TSS / 8] >> 41 & 1, 1);
	t.base = (uintptr_t)g->gdt;
	t.limit = SEL_TEST - 1;
	asm volatile("lgdt %0" : : "m"(t));
	GUEST_EQ(TRY(g, "mov %k[s], %%es", (), ([s] "r"(SEL_TEST))), 13);
}

TEST(descriptor_tables)
{
	struct vcpu *v = start(tables);

	v->run->regs_wanted = HVX_REGS_ALL;
	vcpu_finish(v);
	EXPECT_EQ(v->run->seg.seg[HVX_LDTR].selector, SEL_LDT);
	EXPECT_EQ(v->run->seg.seg[HVX_LDTR].base, (uintptr_t)v->g->ldt);
	EXPECT_EQ(v->run->seg.seg[HVX_FS].selector, 4);
	EXPECT_EQ(v->run->seg.gdt.limit, SEL_TEST - 1);
}
