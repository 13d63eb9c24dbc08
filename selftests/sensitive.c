// SPDX-License-Identifier: GPL-2.0-only
/*
 * sensitive: the 17 instructions of x86 that show or use privileged state without being
 * privileged, from ring 0 and ring 3. They run natively; what they see has to be the guest's
 * state alone, so that a guest cannot tell that it is one, nor learn where the host keeps its
 * tables.
 */
#include "vm.h"

static struct {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed)) table;

/* QEMU's TCG puts another error code into faults of an IDT gate of long mode. */
static bool emulated_badly;

static GUEST_CODE void store_tables(struct gcpu *g)
{
	uint64_t word;

	asm volatile("sgdt %0" : "=m"(table));
	GUEST_EQ(table.base, (uintptr_t)g->gdt);
	GUEST_EQ(table.limit, sizeof(g->gdt) - 1);
	asm volatile("sidt %0" : "=m"(table));
	GUEST_EQ(table.base, (uintptr_t)g + GCPU_IDT);
	GUEST_EQ(table.limit, 0xfff);
	asm volatile("sldt %0" : "=r"(word));
	GUEST_EQ((uint16_t)word, SEL_LDT);
	asm volatile("str %0" : "=r"(word));
	GUEST_EQ((uint16_t)word, SEL_TSS);
	asm volatile("smsw %0" : "=r"(word));
	GUEST_EQ(word & 0xffff, (CR0_PE | CR0_MP | CR0_ET | CR0_NE) & 0xffff);
}

static GUEST_CODE void flags(struct gcpu *g)
{
	const bool user = guest_cpl() == 3;
	uint64_t f;

	/* PUSHF shows the guest's IF and IOPL; POPF changes them in ring 0 only, silently. */
	asm volatile("pushfq; popq %0" : "=r"(f));
	GUEST_EQ(f & (FL_IF | FL_IOPL), 0);
	asm volatile("pushq %1; popfq; pushfq; popq %0" : "=r"(f) :
		     "r"(FL_FIXED | FL_IF | FL_IOPL | FL_ID) : "memory", "cc");
	GUEST_EQ(f & (FL_IF | FL_IOPL), user ? 0 : FL_IF | FL_IOPL);
	GUEST_EQ(f & FL_ID, FL_ID);
	asm volatile("pushq %0; popfq" : : "r"(FL_FIXED) : "memory", "cc");
}

static GUEST_CODE bool verr(uint16_t sel)
{
	bool ok;

	asm volatile("verr %w1; setz %0" : "=qm"(ok) : "r"(sel) : "cc");
	return ok;
}

static GUEST_CODE bool verw(uint16_t sel)
{
	bool ok;

	asm volatile("verw %w1; setz %0" : "=qm"(ok) : "r"(sel) : "cc");
	return ok;
}

static GUEST_CODE uint32_t lar(uint16_t sel)
{
	uint32_t rights = 0;

	asm volatile("lar %1, %0" : "+r"(rights) : "r"((uint32_t)sel) : "cc");
	return rights;
}

static GUEST_CODE uint32_t lsl(uint16_t sel)
{
	uint32_t limit = 0;

	asm volatile("lsl %1, %0" : "+r"(limit) : "r"((uint32_t)sel) : "cc");
	return limit;
}

static GUEST_CODE void descriptors(struct gcpu *g)
{
	const bool user = guest_cpl() == 3;

	GUEST_EQ(verr(SEL_UDATA | 3), true);
	GUEST_EQ(verw(SEL_UDATA | 3), true);
	GUEST_EQ(verr(SEL_UCODE64 | 3), true);
	GUEST_EQ(verw(SEL_UCODE64 | 3), false);
	GUEST_EQ(verr(SEL_KDATA), !user);
	GUEST_EQ(verw(SEL_KDATA), !user);
	GUEST_EQ(verr(SEL_TSS), false);
	GUEST_EQ(verr(0), false);
	GUEST_EQ(verr(0xff00), false);
	/* as the guest's GDT has it */
	GUEST_EQ(lar(SEL_UDATA | 3) & 0xd0ff00, 0xc0f300);
	GUEST_EQ(lar(SEL_KCODE64) & 0xf0ff00, user ? 0 : 0xa09b00);
	GUEST_EQ(lar(SEL_TSS) & 0xff00, user ? 0 : 0x8b00);
	GUEST_EQ(lar(0xff00), 0);
	GUEST_EQ(lsl(SEL_UDATA | 3), 0xffffffff);
	GUEST_EQ(lsl(SEL_KDATA16), user ? 0 : 0xffff);
	GUEST_EQ(lsl(SEL_TSS), user ? 0 : sizeof(g->tss) - 1);
}

static struct {
	uint64_t offset;
	uint16_t selector;
} __attribute__((packed)) far;

static GUEST_CODE void far_transfers(struct gcpu *g)
{
	const uint16_t cs = guest_cpl() == 3 ? SEL_UCODE64 | 3 : SEL_KCODE64;
	uint64_t seen = 0;

	/* far JMP, far CALL and far RET through memory and stack */
	far.selector = cs;
	asm volatile("movq $1f, %0; rex.w ljmp *%0\n\tud2\n1:" : "+m"(far) : : "memory");
	asm volatile("movq $1f, %1; rex.w lcall *%1\n\tjmp 2f\n"
		     "1:\tmovq 8(%%rsp), %0\n\tlretq\n2:"
		     : "=&r"(seen), "+m"(far) : : "memory");
	GUEST_EQ((uint16_t)seen, cs);
	asm volatile("pushq %q0; pushq $1f; lretq\n\tud2\n1:" : : "r"((uint64_t)cs) : "memory");
	/* to a ring that may not be reached so, and to where no code is */
	far.selector = guest_cpl() == 3 ? SEL_KCODE64 : SEL_UCODE64 | 3;
	GUEST_EQ(TRY(g, "rex.w ljmp *%[f]", (), ([f] "m"(far))), 13);
	GUEST_EQ(g->trap.error, far.selector & ~3);
	far.selector = SEL_UDATA | 3;
	GUEST_EQ(TRY(g, "rex.w lcall *%[f]", (), ([f] "m"(far))), 13);
	GUEST_EQ(g->trap.error, SEL_UDATA);
}

static GUEST_CODE void interrupts(struct gcpu *g)
{
	const bool user = guest_cpl() == 3;
	const uint32_t before = g->count[0x80];

	asm volatile("int $0x80" : : : "memory");
	GUEST_EQ(g->count[0x80], before + 1);
	GUEST_EQ(g->trap.cs, user ? SEL_UCODE64 | 3 : SEL_KCODE64);
	GUEST_EQ(TRY(g, "int $0x81", (), ()), user ? 13 : 0x81);
	if (user)
		GUEST_EQ(g->trap.error, 0x81 * (emulated_badly ? 16 : 8) + 2);
}

static GUEST_CODE void drop_operand(struct gcpu *g, struct gframe *f)
{
	f->rip = g->resume;
	f->rsp += 8;
	g->resume = 0;
}

static GUEST_CODE void segments(struct gcpu *g)
{
	const bool user = guest_cpl() == 3;
	uint64_t sel;

	asm volatile("mov %%cs, %0" : "=r"(sel));
	GUEST_EQ(sel, user ? SEL_UCODE64 | 3 : SEL_KCODE64);
	asm volatile("mov %%ss, %0" : "=r"(sel));
	GUEST_EQ(sel, user ? SEL_UDATA | 3 : SEL_KDATA);
	asm volatile("mov %1, %%fs; mov %%fs, %0" : "=r"(sel) : "r"((uint64_t)SEL_UDATA | 3));
	GUEST_EQ(sel, SEL_UDATA | 3);
	asm volatile("pushq %1; popq %%gs; pushq %%gs; popq %0" : "=r"(sel) :
		     "r"((uint64_t)SEL_UDATA | 3) : "memory");
	GUEST_EQ(sel, SEL_UDATA | 3);
	/* an LDT entry, from the guest's LDT */
	asm volatile("mov %1, %%fs; mov %%fs, %0" : "=r"(sel) : "r"(4UL | 3 * user));
	GUEST_EQ(sel, 4 | 3 * user);
	GUEST_EQ(TRY(g, "mov %k[s], %%fs", (), ([s] "r"(SEL_KDATA | 3))), 13);
	GUEST_EQ(g->trap.error, SEL_KDATA);
	/* A POP that fails leaves its operand on the stack. */
	sel = SEL_ABSENT;
	g->handler[11] = drop_operand;
	g->handler[13] = drop_operand;
	GUEST_EQ(TRY(g, "pushq %[s]; popq %%gs", (), ([s] "r"(sel))), user ? 13 : 11);
	GUEST_EQ(g->trap.error, SEL_ABSENT);
	g->handler[11] = NULL;
	g->handler[13] = NULL;
}

GUEST(run_all)
{
	store_tables(g);
	flags(g);
	descriptors(g);
	far_transfers(g);
	interrupts(g);
	segments(g);
}

GUEST(from_ring0)
{
	asm volatile("lldt %w0" : : "r"(SEL_LDT));
	run_all(g);
}

GUEST(from_ring3)
{
	asm volatile("lldt %w0" : : "r"(SEL_LDT));
	guest_ring3(g, run_all);
}

static void run(guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	emulated_badly = host_is_tcg();
	vcpu_setup_long_mode(v, fn);
	idt_set(v->g, 0x80, guest_stubs + 0x80 * 16, 3, 1);
	v->g->ldt[0] = gdt_make(0, ~0, 0xcf3);
	vcpu_finish(v);
}

TEST(ring0)
{
	run(from_ring0);
}

TEST(ring3)
{
	run(from_ring3);
}

GUEST(umip)
{
	GUEST_EQ(TRY(g, "sgdt %[m]", (), ([m] "m"(table))), 13);
	GUEST_EQ(TRY(g, "sidt %[m]", (), ([m] "m"(table))), 13);
	GUEST_EQ(TRY(g, "sldt %%eax", (), (), "rax"), 13);
	GUEST_EQ(TRY(g, "smsw %%eax", (), (), "rax"), 13);
	GUEST_EQ(TRY(g, "str %%eax", (), (), "rax"), 13);
}

GUEST(enable_umip)
{
	G_WRITE_REG(cr4, G_READ_REG(cr4) | CR4_UMIP);
	guest_ring3(g, umip);
	GUEST_EQ(TRY(g, "sgdt %[m]", (), ([m] "m"(table))), -1);
}

/* A guest that switches UMIP on hides them from its own ring 3. */
TEST(ring3_with_umip)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct hvx_cpuid_entry e;

	if (!vcpu_cpuid(v, 7, 0, &e) || !(e.ecx & 1 << 2))
		SKIP("no UMIP");
	vcpu_setup_long_mode(v, enable_umip);
	vcpu_finish(v);
}
