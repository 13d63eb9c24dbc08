// SPDX-License-Identifier: GPL-2.0-only
/*
 * exceptions: every exception reaches the guest with its vector, error code and address, natively
 * or through hvx, and a triple fault ends the guest. Without correct interception and re-
 * injection a guest's own faults get lost, doubled, or end in the VMM.
 */
#include "vm.h"

#define WIN	0x40000000UL
#define WIN_GPA	(HEAP_BASE + 0x800000)

/* guest/exceptions.S */
extern void exc_into(void);
extern void exc_bound(void);
extern void exc_stack_limit(void);

/*
 * QEMU's TCG has no ICEBP, no #AC, no #XM and no segment limits, puts another error code into
 * faults of an IDT gate of long mode, and makes no double fault of them.
 */
static bool emulated_badly;

static struct vcpu *start(guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	emulated_badly = host_is_tcg();
	vcpu_setup_long_mode(v, fn);
	return v;
}

static void finish(guest_fn fn)
{
	vcpu_finish(start(fn));
}

GUEST(divide)
{
	GUEST_EQ(TRY(g, "divl %%ecx", (), ("a"(1), "d"(0), "c"(0))), 0);
	GUEST_EQ(g->trap.error, 0);
	/* The quotient does not fit. (The smallest number by -1 would kill QEMU itself.) */
	GUEST_EQ(TRY(g, "idivl %%ecx", (), ("a"(0), "d"(1), "c"(1))), 0);
}

TEST(de_divide)
{
	finish(divide);
}

/* Error code of a fault that has to do with the gate of @vec */
static GUEST_CODE uint64_t gate_error(unsigned int vec)
{
	return vec * (emulated_badly ? 16 : 8) + 2;
}

static uint64_t db_rip[4];
static unsigned int db_nr;

static GUEST_CODE void on_db(struct gcpu *g, struct gframe *f)
{
	if (db_nr < 4)
		db_rip[db_nr] = f->rip;
	if (++db_nr == 3)
		f->rflags &= ~FL_TF;
	G_WRITE_REG(dr6, 0xffff0ff0);
}

GUEST(debug)
{
	extern char db_1[], db_2[], db_3[];

	g->handler[1] = on_db;
	asm volatile("pushfq; orl $0x100, (%%rsp); popfq\n"
		     "nop\ndb_1: nop\ndb_2: nop\ndb_3: nop" : : : "memory", "cc");
	GUEST_EQ(db_nr, 3);
	GUEST_EQ(db_rip[0], (uintptr_t)db_1);
	GUEST_EQ(db_rip[1], (uintptr_t)db_2);
	GUEST_EQ(db_rip[2], (uintptr_t)db_3);
	GUEST_EQ(g->trap.dr6 & 0x4000, 0x4000);
	if (emulated_badly)
		return;
	/* ICEBP: a #DB that no debug register asked for */
	asm volatile(".byte 0xf1\nnop" : : : "memory");
	GUEST_EQ(db_nr, 4);
	GUEST_EQ(g->trap.dr6 & 0x4000, 0);
}

TEST(db_debug)
{
	finish(debug);
}

GUEST(breakpoint)
{
	extern char bp_after[], bp_after2[];

	g->trap.vector = -1;
	GUEST_EQ(TRY(g, "int3\nbp_after:", (), ()), 3);
	GUEST_EQ(g->trap.rip, (uintptr_t)bp_after);
	GUEST_EQ(TRY(g, ".byte 0xcd, 3\nbp_after2:", (), ()), 3);
	GUEST_EQ(g->trap.rip, (uintptr_t)bp_after2);
}

TEST(bp_breakpoint)
{
	finish(breakpoint);
}

/* INTO and BOUND exist in 32-bit code only. */
GUEST(overflow)
{
	g->resume = 0;
	guest_compat(exc_into, g);
	GUEST_EQ(g->trap.vector, 4);
	GUEST_EQ(g->trap.cs, SEL_KCODE32);
}

static GUEST_CODE void skip_into(struct gcpu *g, struct gframe *f)
{
}

TEST(of_overflow)
{
	struct vcpu *v = start(overflow);

	v->g->handler[4] = skip_into;
	vcpu_finish(v);
	EXPECT_EQ(v->g->count[4], 1);
}

static GUEST_CODE void skip_bound(struct gcpu *g, struct gframe *f)
{
	f->rip += 2;
}

GUEST(bound)
{
	g->handler[5] = skip_bound;
	guest_compat(exc_bound, g);
	GUEST_EQ(g->trap.vector, 5);
	GUEST_EQ(g->count[5], 1);
}

TEST(br_bound)
{
	finish(bound);
}

GUEST(undefined)
{
	GUEST_EQ(TRY(g, "ud2", (), ()), 6);
	GUEST_EQ(TRY(g, "ud1 %%eax, %%eax", (), ()), 6);
	GUEST_EQ(TRY(g, ".byte 0xf0, 0x90", (), ()), 6);
	GUEST_EQ(TRY(g, "rsm", (), ()), 6);
}

TEST(ud_invalid)
{
	finish(undefined);
}

/* A guest's CPU has no virtualization extension: its instructions do not exist. */
GUEST(virtualization)
{
	static uint64_t mem[2];

	GUEST_EQ(TRY(g, "vmxon %[m]", (), ([m] "m"(mem))), 6);
	GUEST_EQ(TRY(g, "vmclear %[m]", (), ([m] "m"(mem))), 6);
	GUEST_EQ(TRY(g, "vmptrld %[m]", (), ([m] "m"(mem))), 6);
	GUEST_EQ(TRY(g, "vmptrst %[m]", (), ([m] "m"(mem))), 6);
	GUEST_EQ(TRY(g, "vmlaunch", (), ()), 6);
	GUEST_EQ(TRY(g, "vmresume", (), ()), 6);
	GUEST_EQ(TRY(g, "vmread %%rax, %%rcx", (), (), "rcx"), 6);
	GUEST_EQ(TRY(g, "vmwrite %%rax, %%rcx", (), ()), 6);
	GUEST_EQ(TRY(g, "vmxoff", (), ()), 6);
	GUEST_EQ(TRY(g, "vmfunc", (), ("a"(0), "c"(0))), 6);
	GUEST_EQ(TRY(g, "invept %[m], %%rax", (), ([m] "m"(mem), "a"(1ul))), 6);
	GUEST_EQ(TRY(g, "invvpid %[m], %%rax", (), ([m] "m"(mem), "a"(1ul))), 6);
	GUEST_EQ(TRY(g, "vmrun", (), ("a"(0x1000ul))), 6);
	GUEST_EQ(TRY(g, "vmload", (), ("a"(0x1000ul))), 6);
	GUEST_EQ(TRY(g, "vmsave", (), ("a"(0x1000ul))), 6);
	GUEST_EQ(TRY(g, "stgi", (), ()), 6);
	GUEST_EQ(TRY(g, "clgi", (), ()), 6);
	GUEST_EQ(TRY(g, "skinit", (), ("a"(0))), 6);
	GUEST_EQ(TRY(g, "invlpga", (), ("a"(0ul), "c"(0))), 6);
	GUEST_EQ(TRY(g, ".byte 0x0f, 0x37", (), ("a"(0), "b"(0))), 6);	/* getsec */
}

TEST(ud_virtualization)
{
	finish(virtualization);
}

GUEST(no_fpu)
{
	const uint64_t cr0 = G_READ_REG(cr0);

	G_WRITE_REG(cr0, cr0 | CR0_EM);
	GUEST_EQ(TRY(g, "fld1", (), ()), 7);
	/* For SSE, EM is #UD. */
	GUEST_EQ(TRY(g, "xorps %%xmm0, %%xmm0", (), ()), 6);
	G_WRITE_REG(cr0, cr0 | CR0_TS);
	GUEST_EQ(TRY(g, "fld1", (), ()), 7);
	GUEST_EQ(TRY(g, "xorps %%xmm0, %%xmm0", (), ()), 7);
	GUEST_EQ(TRY(g, "fwait", (), ()), 7);
	GUEST_EQ(G_READ_REG(cr0) & CR0_TS, CR0_TS);
	asm volatile("clts");
	GUEST_EQ(TRY(g, "fld1; fstp %%st", (), ()), -1);
	GUEST_EQ(TRY(g, "xorps %%xmm0, %%xmm0", (), ()), -1);
	G_WRITE_REG(cr0, cr0);
}

TEST(nm_em_and_ts)
{
	finish(no_fpu);
}

static GUEST_CODE void leave_df(struct gcpu *g, struct gframe *f)
{
	/* #DF is an abort, but nothing here was lost. */
	f->rip = g->resume;
	f->rsp = g->arg;
	g->resume = 0;
}

#define DOUBLE_FAULT(insn)						\
	TRY(g, "movq %%rsp, %[sp]\n\t" insn, ([sp] "=m"(g->arg)), ())

GUEST(double_fault)
{
	uint64_t *idt = (uint64_t *)((char *)g + GCPU_IDT);

	g->handler[8] = leave_df;
	if (!emulated_badly) {
		/* #GP whose gate is absent: #NP in #GP */
		idt[13 * 2] &= ~(1ULL << 47);
		GUEST_EQ(DOUBLE_FAULT("movl $0x7878, %%eax; movl %%eax, %%ds"), 8);
		GUEST_EQ(g->trap.error, 0);
	}
	/* #PF whose stack is absent: #PF in #PF */
	g->tss.ist[3] = WIN + 0x800;
	idt[14 * 2] = (idt[14 * 2] & ~(7ULL << 32)) | 4ULL << 32;
	GUEST_EQ(DOUBLE_FAULT("movb $0, 0x40001000"), 8);
	GUEST_EQ(g->trap.error, 0);
	GUEST_EQ(g->count[8], emulated_badly ? 1 : 2);
	GUEST_EQ(g->count[14], 0);
}

TEST(df_double_fault)
{
	struct vcpu *v = start(double_fault);

	*vm_pte(v->vm, WIN) = 0;
	*vm_pte(v->vm, WIN + 0x1000) = 0;
	vcpu_finish(v);
}

GUEST(bad_tss)
{
	/* Only the stack of vector 0x40 lies beyond the TSS's limit. */
	GUEST_EQ(TRY(g, "int $0x40", (), ()), 10);
	GUEST_EQ(g->trap.error & ~1UL, SEL_TSS);
}

TEST(ts_limit)
{
	struct vcpu *v = start(bad_tss);

	idt_set(v->g, 0x40, guest_stubs + 0x40 * 16, 0, 7);
	v->run->seg.seg[HVX_TR].limit = offsetof(struct gtss64, ist[6]) + 3;
	vcpu_finish(v);
}

GUEST(not_present)
{
	uint64_t *idt = (uint64_t *)((char *)g + GCPU_IDT);

	GUEST_EQ(TRY(g, "mov %k[s], %%ds", (), ([s] "r"(SEL_ABSENT))), 11);
	GUEST_EQ(g->trap.error, SEL_ABSENT);
	idt[0x41 * 2] &= ~(1ULL << 47);
	GUEST_EQ(TRY(g, "int $0x41", (), ()), 11);
	GUEST_EQ(g->trap.error, gate_error(0x41));
}

TEST(np_absent)
{
	finish(not_present);
}

static GUEST_CODE void skip_stack(struct gcpu *g, struct gframe *f)
{
	f->rip += 2;
}

GUEST(stack_fault)
{
	GUEST_EQ(TRY(g, "mov %k[s], %%ss", (), ([s] "r"(SEL_ABSENT))), 12);
	GUEST_EQ(g->trap.error, SEL_ABSENT);
	if (emulated_badly)
		return;
	/* beyond the limit of a 32-bit stack segment */
	g->trap.vector = -1;
	g->handler[12] = skip_stack;
	guest_compat(exc_stack_limit, g);
	GUEST_EQ(g->trap.vector, 12);
	GUEST_EQ(g->trap.error, 0);
}

TEST(ss_stack)
{
	struct vcpu *v = start(stack_fault);

	v->g->gdt[SEL_TEST / 8] = gdt_make(0, 0xfff, 0x493);
	vcpu_finish(v);
}

static GUEST_CODE void fire(struct gcpu *g)
{
	GUEST_EQ(TRY(g, "int $0x42", (), ()), 13);
	GUEST_EQ(g->trap.error, gate_error(0x42));
	GUEST_EQ(TRY(g, "cli", (), ()), 13);
	GUEST_EQ(TRY(g, "mov %k[s], %%ds", (), ([s] "r"(SEL_KDATA))), 13);
	GUEST_EQ(g->trap.error, SEL_KDATA);
}

GUEST(protection)
{
	uint64_t bad = 0x8000000000000000;

	GUEST_EQ(TRY(g, "mov %k[s], %%ds", (), ([s] "r"(NR_GDT * 8))), 13);
	GUEST_EQ(g->trap.error, NR_GDT * 8);
	GUEST_EQ(TRY(g, "movb (%[p]), %%al", (), ([p] "r"(bad)), "rax"), 13);
	GUEST_EQ(g->trap.error, 0);
	GUEST_EQ(TRY(g, "jmp *%[p]", (), ([p] "r"(bad))), 13);
	GUEST_EQ(TRY(g, "movaps (%[p]), %%xmm0", (), ([p] "r"((char *)g + 8))), 13);
	GUEST_EQ(TRY(g, "ltr %w[s]", (), ([s] "r"(SEL_TSS))), 13);	/* busy already */
	GUEST_EQ(g->trap.error, SEL_TSS);
	/* Longer than 15 bytes */
	GUEST_EQ(TRY(g, ".fill 15, 1, 0x66\n nop", (), ()), 13);
	GUEST_EQ(g->trap.error, 0);
	guest_ring3(g, fire);
}

TEST(gp_protection)
{
	finish(protection);
}

#define PAGE(n)	((volatile uint8_t *)(WIN + (n) * PAGE_SIZE))
/* Error code bits */
#define PF_P	1
#define PF_W	2
#define PF_U	4
#define PF_I	16

static GUEST_CODE void expect_pf(struct gcpu *g, int vector, uint64_t addr, unsigned int error)
{
	GUEST_EQ(vector, 14);
	GUEST_EQ(g->trap.cr2, addr);
	GUEST_EQ(g->trap.error, error);
}

#define READ(g, p)	TRY(g, "movb %[m], %%al", (), ([m] "m"(*(p))), "rax")
#define WRITE(g, p)	TRY(g, "movb $1, %[m]", (), ([m] "m"(*(p))))
#define EXEC(g, to)	TRY(g, "jmp *%[p]", (), ([p] "r"(to)))

GUEST(page_fault_user)
{
	expect_pf(g, READ(g, PAGE(0) + 5), WIN + 5, PF_U);
	expect_pf(g, WRITE(g, PAGE(0) + 5), WIN + 5, PF_U | PF_W);
	expect_pf(g, READ(g, PAGE(2)), WIN + 0x2000, PF_U | PF_P);
	expect_pf(g, WRITE(g, PAGE(2)), WIN + 0x2000, PF_U | PF_P | PF_W);
	expect_pf(g, WRITE(g, PAGE(3)), WIN + 0x3000, PF_U | PF_P | PF_W);
	GUEST_EQ(READ(g, PAGE(3)), -1);
	GUEST_EQ(WRITE(g, PAGE(4)), -1);
}

GUEST(page_fault)
{
	expect_pf(g, READ(g, PAGE(0)), WIN, 0);
	expect_pf(g, WRITE(g, PAGE(0) + 0xfff), WIN + 0xfff, PF_W);
	expect_pf(g, EXEC(g, PAGE(0) + 8), WIN + 8, PF_I);
	expect_pf(g, EXEC(g, PAGE(1)), WIN + 0x1000, PF_P | PF_I);
	expect_pf(g, WRITE(g, PAGE(1)), WIN + 0x1000, PF_P | PF_W);
	GUEST_EQ(READ(g, PAGE(1)), -1);
	/* Without WP ring 0 may write. */
	G_WRITE_REG(cr0, G_READ_REG(cr0) & ~CR0_WP);
	GUEST_EQ(WRITE(g, PAGE(1)), -1);
	G_WRITE_REG(cr0, G_READ_REG(cr0) | CR0_WP);
	expect_pf(g, WRITE(g, PAGE(1)), WIN + 0x1000, PF_P | PF_W);
	guest_ring3(g, page_fault_user);
}

static void pf_pages(struct vm *vm)
{
	static const uint64_t flags[] = {
		0, PTE_P | PTE_NX, PTE_P | PTE_W, PTE_P | PTE_U, PTE_P | PTE_W | PTE_U,
	};
	unsigned int i;

	for (i = 0; i < 5; i++)
		*vm_pte(vm, WIN + i * PAGE_SIZE) = (WIN_GPA + i * PAGE_SIZE) | flags[i];
}

TEST(pf_paging)
{
	struct vcpu *v = start(page_fault);

	pf_pages(v->vm);
	vcpu_finish(v);
	EXPECT_EQ(*vm_pte(v->vm, WIN + 4 * PAGE_SIZE) & (PTE_A | PTE_D), PTE_A | PTE_D);
	EXPECT_EQ(*vm_pte(v->vm, WIN) & (PTE_A | PTE_D), 0);
}

GUEST(reserved_bit)
{
	expect_pf(g, READ(g, PAGE(0)), WIN, PF_P | 8);
}

TEST(pf_reserved)
{
	struct vcpu *v;

	if (host_is_tcg())
		SKIP("QEMU's TCG gives another error code for reserved bits under nested paging");
	v = start(reserved_bit);
	*vm_pte(v->vm, WIN) = WIN_GPA | PTE_P | PTE_W | 1ULL << 51;
	vcpu_finish(v);
}

GUEST(x87_error)
{
	uint16_t cw = 0x37b;	/* divide-by-zero not masked */

	asm volatile("fninit; fldcw %0" : : "m"(cw));
	GUEST_EQ(TRY(g, "fld1; fldz; fdivrp; fwait", (), ()), 16);
	asm volatile("fninit");
}

TEST(mf_x87)
{
	finish(x87_error);
}

GUEST(misaligned)
{
	asm volatile("pushfq; orl $0x40000, (%%rsp); popfq" : : : "memory", "cc");
	GUEST_EQ(TRY(g, "movl %[m], %%eax", (), ([m] "m"(*(uint32_t *)(WIN + 1))), "rax"), 17);
	GUEST_EQ(g->trap.error, 0);
	GUEST_EQ(TRY(g, "movl %[m], %%eax", (), ([m] "m"(*(uint32_t *)(WIN + 4))), "rax"), -1);
	asm volatile("pushfq; andl $~0x40000, (%%rsp); popfq" : : : "memory", "cc");
}

GUEST(alignment)
{
	uint64_t cr0 = G_READ_REG(cr0);

	G_WRITE_REG(cr0, cr0 | CR0_AM);
	guest_ring3(g, misaligned);
	G_WRITE_REG(cr0, cr0);
}

TEST(ac_alignment)
{
	struct vcpu *v = start(alignment);

	if (emulated_badly)
		SKIP("QEMU's TCG has no #AC");
	*vm_pte(v->vm, WIN) = WIN_GPA | PTE_P | PTE_W | PTE_U;
	vcpu_finish(v);
}

GUEST(simd_error)
{
	uint32_t csr = 0x1f80 & ~0x200, normal = 0x1f80;

	asm volatile("ldmxcsr %0" : : "m"(csr));
	GUEST_EQ(TRY(g, "xorps %%xmm1, %%xmm1; mov $0x3f800000, %%eax; movd %%eax, %%xmm0;"
		     "divss %%xmm1, %%xmm0", (), (), "rax"), 19);
	asm volatile("ldmxcsr %0" : : "m"(normal));
}

TEST(xm_simd)
{
	if (host_is_tcg())
		SKIP("QEMU's TCG has no #XM");
	finish(simd_error);
}

GUEST(software_ints_user)
{
	asm volatile("int $0x80" : : : "memory");
	GUEST_EQ(g->trap.vector, 0x80);
	GUEST_EQ(g->trap.cs, SEL_UCODE64 | 3);
	GUEST_EQ(g->trap.ss, SEL_UDATA | 3);
}

GUEST(software_ints)
{
	extern char int_after[];

	asm volatile("int $0x20" : : : "memory");
	GUEST_EQ(g->trap.vector, 0x20);
	asm volatile("int $0xef\nint_after:" : : : "memory");
	GUEST_EQ(g->trap.vector, 0xef);
	GUEST_EQ(g->trap.rip, (uintptr_t)int_after);
	guest_ring3(g, software_ints_user);
}

TEST(int_n)
{
	struct vcpu *v = start(software_ints);

	idt_set(v->g, 0x80, guest_stubs + 0x80 * 16, 3, 0);
	vcpu_finish(v);
}

GUEST(triple)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = { 0, 0 };

	asm volatile("lidt %0; ud2" : : "m"(none));
}

TEST(triple_fault)
{
	vcpu_expect(start(triple), HVX_EXIT_SHUTDOWN);
}

/*
 * Delivery itself meets a second-level fault, again and again: the exception must be delivered
 * once it is resolved.
 */
static unsigned int fresh;
static GUEST_CODE void count_fresh(struct gcpu *g, struct gframe *f)
{
	fresh++;
	f->rip += 2;
}

GUEST(fresh_stacks)
{
	unsigned int i;

	g->handler[6] = count_fresh;
	for (i = 0; i < 8; i++)
		asm volatile("ud2" : : : "memory");
	GUEST_EQ(fresh, 8);
}

TEST(fault_in_delivery)
{
	struct vcpu *v = start(fresh_stacks);
	uint8_t *idt = heap_alloc(PAGE_SIZE, PAGE_SIZE);
	struct gtss64 *tss = heap_alloc(PAGE_SIZE, PAGE_SIZE);

	/* IDT, TSS and trap stack have not been touched by the guest before its first exception. */
	memcpy(idt, (char *)v->g + GCPU_IDT, PAGE_SIZE);
	memcpy(tss, &v->g->tss, sizeof(*tss));
	v->run->seg.idt.base = (uintptr_t)idt;
	v->run->seg.seg[HVX_TR].base = (uintptr_t)tss;
	vcpu_finish(v);
}
