// SPDX-License-Identifier: GPL-2.0-only
/*
 * mmio: memory accesses that no region answers. Every instruction of a list runs twice, once on
 * ordinary memory by the processor and once on a device by hvx and this program, at every
 * alignment and over a page's end; registers, flags and memory must come out alike. Without the
 * emulator's care for widths, extensions, flags and partial accesses they do not.
 */
#include <errno.h>

#include <errno.h>
#include <sys/mman.h>

#include "vm.h"

#define DEV_SIZE	(2 * PAGE_SIZE)
#define FLAGS_ARITH	0x8d5UL		/* OF SF ZF AF PF CF */
#define FLAGS_LOGIC	0x8c5UL		/* AF is undefined */
#define FLAGS_CF	0x001UL
#define FLAGS_NONE	0

struct regs {
	uint64_t a, b, c, d, si, di, flags;
	uint8_t xmm[16];
};

/* Who provides RSI and RDI of string instructions */
enum side { NONE, DEV, RAM };

struct insn {
	const char *text;
	void (*run)(struct regs *r);
	uint64_t flags;
	unsigned int align;	/* of the address that it needs */
	enum side src, dst;
	uint64_t flags_in;
};

/* The device and what it is compared with: guest memory of the same content. */
static uint8_t dev[DEV_SIZE];
static uint8_t ref[DEV_SIZE] __attribute__((aligned(4096)));
/* The other operand of string instructions, for either run. */
static uint8_t ram[2][DEV_SIZE] __attribute__((aligned(4096)));

static struct {
	unsigned int nr, offset;
	struct regs dev, ref;
} wrong;

#define INSN_FN(n, text)						\
static GUEST_CODE void insn_##n(struct regs *r)				\
{									\
	asm volatile("movups %[x], %%xmm0\n\t"				\
		     "pushq %[f]; popfq\n\t"				\
		     text "\n\t"					\
		     "pushfq; popq %[f]; cld\n\t"			\
		     "movups %%xmm0, %[x]"				\
		     : "+a"(r->a), "+b"(r->b), "+c"(r->c), "+d"(r->d),	\
		       "+S"(r->si), "+D"(r->di), [f] "+m"(r->flags),	\
		       [x] "+m"(r->xmm)					\
		     : : "memory", "cc", "r9", "r13");			\
}

#define X(n, text, flags, align, src, dst, in)	INSN_FN(n, text)
#include "mmio_insns.h"
#include "mmio_more_insns.h"
#undef X

#define X(n, text, flags, align, src, dst, in)				\
	{ text, insn_##n, FLAGS_##flags, align, src, dst, in },
static const struct insn insns[] = {
#include "mmio_insns.h"
};

static const struct insn more_insns[] = {
#include "mmio_more_insns.h"
};

static const uint16_t offsets[] = {
	64, 65, 66, 67, 68, 69, 70, 71, 0xff0,
	0xff9, 0xffa, 0xffb, 0xffc, 0xffd, 0xffe, 0xfff,
};

static const struct insn *table;
static unsigned int table_nr;

static uint64_t place(enum side side, uint64_t base, const uint8_t *other, unsigned int offset)
{
	return side == DEV ? base + offset : side == RAM ? (uintptr_t)other + offset : 0xa5;
}

static GUEST_CODE void run_on(const struct insn *in, struct regs *r, uint64_t base,
			      uint8_t *other, unsigned int offset)
{
	guest_memset(r, 0x3c, sizeof(*r));
	/* BT with a register reaches beyond its operand: bit 0x91 is 18 bytes away. */
	r->a = 0x8877665500000091;
	r->b = base + offset;
	r->c = 5;
	r->d = 0xf1e2d3c4b5a69788;
	r->si = place(in->src, base, other, offset);
	r->di = place(in->dst, base, other, offset + 8 * (in->src == in->dst));
	r->flags = 2 | in->flags_in;
	in->run(r);
	/* Addresses compare as offsets. */
	r->b -= base;
	if (in->src != NONE)
		r->si -= in->src == DEV ? base : (uintptr_t)other;
	if (in->dst != NONE)
		r->di -= in->dst == DEV ? base : (uintptr_t)other;
	r->flags &= in->flags;
}

GUEST(run_table)
{
	struct regs r[2];
	unsigned int i, o;

	for (i = 0; i < table_nr; i++) {
		const struct insn *in = &table[i];

		wrong.nr = 0;
		for (o = 0; o < sizeof(offsets) / sizeof(*offsets); o++) {
			if (offsets[o] % in->align)
				continue;
			run_on(in, &r[0], HOLE, ram[0], offsets[o]);
			run_on(in, &r[1], (uintptr_t)ref, ram[1], offsets[o]);
			if (!guest_memcmp(&r[0], &r[1], sizeof(r[0])))
				continue;
			if (!wrong.nr++) {
				wrong.offset = offsets[o];
				guest_memcpy(&wrong.dev, &r[0], sizeof(r[0]));
				guest_memcpy(&wrong.ref, &r[1], sizeof(r[1]));
			}
		}
		guest_sync(i);
	}
}

/* The device: plain memory. Returns false for an exit that is none of its. */
static bool device(struct vcpu *v)
{
	struct hvx_exit_mmio *m = &v->run->mmio;
	uint64_t at = m->gpa - HOLE;

	if (v->run->exit_reason != HVX_EXIT_MMIO || m->gpa < HOLE || at + m->len > DEV_SIZE)
		return false;
	EXPECT(m->len >= 1 && m->len <= 8 && at / PAGE_SIZE == (at + m->len - 1) / PAGE_SIZE,
	       "%u bytes at %#llx", m->len, m->gpa);
	if (m->write)
		memcpy(dev + at, m->data, m->len);
	else
		memcpy(m->data, dev + at, m->len);
	return true;
}

static void report(const struct insn *in)
{
	const struct regs *d = &wrong.dev, *r = &wrong.ref;

	EXPECT(!wrong.nr, "'%s' (%u times), first at offset %#x", in->text, wrong.nr,
	       wrong.offset);
	if (!wrong.nr)
		return;
	tap_note("is:     rax %#lx rbx %#lx rcx %#lx rdx %#lx rsi %#lx rdi %#lx flags %#lx",
		 d->a, d->b, d->c, d->d, d->si, d->di, d->flags);
	tap_note("should: rax %#lx rbx %#lx rcx %#lx rdx %#lx rsi %#lx rdi %#lx flags %#lx",
		 r->a, r->b, r->c, r->d, r->si, r->di, r->flags);
}

static void compare(const struct insn *in)
{
	unsigned int i;

	report(in);
	for (i = 0; i < DEV_SIZE; i++) {
		if (!EXPECT(dev[i] == ref[i], "'%s': device byte %#x is %#x, not %#x", in->text, i,
			    dev[i], ref[i]))
			break;
	}
	for (i = 0; i < DEV_SIZE; i++) {
		if (!EXPECT(ram[0][i] == ram[1][i], "'%s': memory byte %#x is %#x, not %#x",
			    in->text, i, ram[0][i], ram[1][i]))
			break;
	}
	memcpy(dev, ref, sizeof(dev));
	memcpy(ram[0], ram[1], sizeof(ram[0]));
}

static void fill(void)
{
	unsigned int i;

	for (i = 0; i < DEV_SIZE; i++) {
		ref[i] = i * 37 + 0x80;
		dev[i] = ref[i];
		ram[1][i] = i * 11 + (i >> 8);
		ram[0][i] = ram[1][i];
	}
}

static void run_insns(const struct insn *in, unsigned int nr)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	unsigned int next = 0;

	table = in;
	table_nr = nr;
	fill();
	vcpu_setup_long_mode(v, run_table);
	while (vcpu_ucall(v) != UC_DONE) {
		if (v->uc.cmd == UC_SYNC) {
			compare(&in[next++]);
			REQUIRE(tap_failures() < 20, "too many to go on");
			continue;
		}
		if (!device(v))
			vcpu_describe(v, v->run->exit_reason);
		REQUIRE(v->run->exit_reason == HVX_EXIT_MMIO, "in '%s'", in[next].text);
	}
	EXPECT_EQ(next, nr);
}

TEST_TIME(instructions, 60)
{
	run_insns(insns, sizeof(insns) / sizeof(*insns));
}

TEST_TIME(more_instructions, 60)
{
	run_insns(more_insns, sizeof(more_insns) / sizeof(*more_insns));
}

/* ------------------------------------------------------------------ single accesses */

static volatile uint64_t value;

GUEST(one_of_each)
{
	volatile uint8_t *p = G_HIDE((uint8_t *)HOLE);

	value = *(volatile uint32_t *)(p + 0x10);
	*(volatile uint64_t *)(p + 0x18) = 0x1122334455667788;
	value = *(volatile uint64_t *)(p + 0xffd);
	asm volatile("addw $1, %0" : : "m"(*(uint16_t *)(HOLE + 0x20)) : "memory");
}

static void expect_mmio(struct vcpu *v, uint64_t gpa, unsigned int len, bool write)
{
	struct hvx_exit_mmio *m = &v->run->mmio;

	if (!vcpu_expect(v, HVX_EXIT_MMIO))
		tap_abort();
	EXPECT(m->gpa == gpa && m->len == len && m->write == write,
	       "gpa %#llx len %u write %u, not %#lx %u %u", m->gpa, m->len, m->write, gpa, len,
	       write);
}

TEST(exits)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	uint8_t *data = v->run->mmio.data;

	vcpu_setup_long_mode(v, one_of_each);
	expect_mmio(v, HOLE + 0x10, 4, 0);
	memset(data, 0x77, 8);
	expect_mmio(v, HOLE + 0x18, 8, 1);
	EXPECT_EQ(*(uint64_t *)data, 0x1122334455667788);
	EXPECT_EQ(value, 0x77777777);
	/* 8 bytes over a page's end are one exit for each page. */
	expect_mmio(v, HOLE + 0xffd, 3, 0);
	memcpy(data, "\x01\x02\x03", 3);
	expect_mmio(v, HOLE + 0x1000, 5, 0);
	memcpy(data, "\x04\x05\x06\x07\x08", 5);
	/* Read, then written */
	expect_mmio(v, HOLE + 0x20, 2, 0);
	EXPECT_EQ(value, 0x0807060504030201);
	*(uint16_t *)data = 0x41ff;
	expect_mmio(v, HOLE + 0x20, 2, 1);
	EXPECT_EQ(*(uint16_t *)data, 0x4200);
	vcpu_finish(v);
}

GUEST(read_once)
{
	value = *(volatile uint32_t *)G_HIDE((uint32_t *)(HOLE + 0x10));
}

/* With immediate_exit HVX_RUN takes the data in and finishes the instruction, then returns. */
TEST(finished_before_exit)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	uint64_t rip;

	vcpu_setup_long_mode(v, read_once);
	expect_mmio(v, HOLE + 0x10, 4, 0);
	rip = v->run->regs.rip;
	*(uint32_t *)v->run->mmio.data = 0xfeedbeef;
	v->run->immediate_exit = 1;
	EXPECT_EQ(vcpu_run_once(v), -EINTR);
	v->run->immediate_exit = 0;
	memset(v->run->mmio.data, 0, 8);
	vcpu_get(v, HVX_REGS_GPR);
	EXPECT(v->run->regs.rip > rip);
	vcpu_finish(v);
	EXPECT_EQ(value, 0xfeedbeef);
}

/* ------------------------------------------------------- the same one again and again */

extern char repeated_read[], repeated_write[];

/* A driver's loop: what hvx knows of the instruction from the rounds before must not show */
GUEST(repeat)
{
	uint64_t n = 12, sum = 0, v;

	asm volatile("1: mov %[n], %[v]\n"
		     "repeated_write: movw %w[v], 0x20(%[dev])\n"
		     "repeated_read: movzbl 0x11(%[dev]), %k[v]\n\t"
		     "add %[v], %[sum]\n\t"
		     "dec %[n]\n\tjnz 1b"
		     : [n] "+r"(n), [sum] "+r"(sum), [v] "=&a"(v) : [dev] "b"(HOLE) : "memory");
	value = sum;
}

static void expect_at(struct vcpu *v, const char *insn)
{
	EXPECT_EQ(v->run->regs.rip, (uintptr_t)insn);
}

TEST(repeated)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct hvx_run *run = v->run;
	unsigned int i;

	vcpu_setup_long_mode(v, repeat);
	for (i = 12; i; i--) {
		expect_mmio(v, HOLE + 0x20, 2, 1);
		EXPECT_EQ(*(uint64_t *)run->mmio.data, i);
		expect_at(v, repeated_write);
		expect_mmio(v, HOLE + 0x11, 1, 0);
		EXPECT_EQ(*(uint64_t *)run->mmio.data, 0);
		expect_at(v, repeated_read);
		/* Of one byte the others do not count */
		*(uint64_t *)run->mmio.data = 0xff00 + i;
		if (i != 2)
			continue;
		/* Taken in once, and the instruction is over */
		run->immediate_exit = 1;
		EXPECT_EQ(vcpu_run_once(v), -EINTR);
		run->immediate_exit = 0;
		*(uint64_t *)run->mmio.data = 0x77;
		vcpu_get(v, HVX_REGS_GPR);
		EXPECT(run->regs.rip > (uintptr_t)repeated_read);
	}
	vcpu_finish(v);
	EXPECT_EQ(value, 12 * 13 / 2);
}

/* The VMM executes the instruction itself: hvx does not do so, too */
TEST(repeated_elsewhere)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct hvx_run *run = v->run;
	unsigned int i;

	vcpu_setup_long_mode(v, repeat);
	for (i = 12; i; i--) {
		expect_mmio(v, HOLE + 0x20, 2, 1);
		expect_mmio(v, HOLE + 0x11, 1, 0);
		*(uint64_t *)run->mmio.data = 1;
		if (i > 2)
			continue;
		/* Past it, with what the write left in the register */
		run->regs.rip += 4;
		run->regs_dirty = HVX_REGS_GPR;
	}
	vcpu_finish(v);
	EXPECT_EQ(value, 10 + 2 + 1);
}

static const char readonly[64] __attribute__((aligned(64))) = "unchanged";

GUEST(write_readonly)
{
	volatile char *p = G_HIDE((char *)readonly);

	GUEST_EQ(*p, 'u');
	p[1] = 'X';
	GUEST_EQ(p[1], 'n');
	asm volatile("orl $0x20, %0" : : "m"(*(int *)(p + 4)) : "memory");
}

TEST(readonly_region)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	if (!hvx_cap(HVX_CAP_READONLY_REGION))
		SKIP("no read-only regions");
	vcpu_setup_long_mode(v, write_readonly);
	expect_mmio(v, (uintptr_t)readonly + 1, 1, 1);
	EXPECT_EQ(v->run->mmio.data[0], 'X');
	expect_mmio(v, (uintptr_t)readonly + 4, 4, 1);
	vcpu_finish(v);
	EXPECT(!strcmp(G_HIDE((char *)readonly), "unchanged"));
}

GUEST(user_access)
{
	GUEST_EQ(TRY(g, "movl 0x40000000, %%eax", (), (), "rax"), 14);
	GUEST_EQ(g->trap.error, 5);
	GUEST_EQ(g->trap.cr2, 0x40000000);
	GUEST_EQ(TRY(g, "movl $1, 0x40001000", (), ()), 14);
	GUEST_EQ(g->trap.error, 7);
	GUEST_EQ(TRY(g, "movl 0x40001000, %%eax", (), (), "rax"), -1);
}

GUEST(user_start)
{
	uint64_t si = HOLE, di = 0x40002000;

	guest_ring3(g, user_access);
	/* The device's byte has nowhere to go. */
	GUEST_EQ(TRY(g, "movsb", ("+S"(si), "+D"(di)), ()), 14);
	GUEST_EQ(g->trap.cr2, 0x40002000);
	GUEST_EQ(g->trap.error, 2);
	GUEST_EQ(si, HOLE);
	GUEST_EQ(di, 0x40002000);
}

/* The guest's own page tables come first: what they forbid is #PF, not an exit. */
TEST(page_tables_first)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	*vm_pte(v->vm, 0x40000000) = HOLE | PTE_P | PTE_W;
	*vm_pte(v->vm, 0x40001000) = HOLE | PTE_P | PTE_U;
	*vm_pte(v->vm, 0x40002000) = 0;
	vcpu_setup_long_mode(v, user_start);
	expect_mmio(v, HOLE, 4, 0);
	while (vcpu_ucall(v) == UC_NONE) {
		if (!device(v))
			vcpu_describe(v, v->run->exit_reason);
		REQUIRE(v->run->exit_reason == HVX_EXIT_MMIO);
	}
	EXPECT_EQ(v->uc.cmd, UC_DONE);
}

GUEST(access_bits)
{
	*(volatile uint8_t *)G_HIDE((uint8_t *)0x40000000) = 1;
	(void)*(volatile uint8_t *)G_HIDE((uint8_t *)0x40001000);
}

TEST(accessed_and_dirty)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	*vm_pte(v->vm, 0x40000000) = HOLE | PTE_P | PTE_W;
	*vm_pte(v->vm, 0x40001000) = HOLE | PTE_P | PTE_W;
	vcpu_setup_long_mode(v, access_bits);
	expect_mmio(v, HOLE, 1, 1);
	expect_mmio(v, HOLE, 1, 0);
	vcpu_finish(v);
	EXPECT_EQ(*vm_pte(v->vm, 0x40000000) & (PTE_A | PTE_D), PTE_A | PTE_D);
	EXPECT_EQ(*vm_pte(v->vm, 0x40001000) & (PTE_A | PTE_D), PTE_A);
}

/* ------------------------------------------------------------------ what is not emulated */

/* paddd (%rbx), %xmm1, and a NOP behind it */
static const uint8_t unknown_bytes[] = { 0x66, 0x0f, 0xfe, 0x0b, 0x90 };

GUEST(unknown)
{
	asm volatile("unknown_insn: .byte 0x66, 0x0f, 0xfe, 0x0b\nnop" : : "b"(HOLE + 0x40));
	value = 1;
}

TEST(unknown_instruction)
{
	extern char unknown_insn[];
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct hvx_exit_emulation *e = &v->run->emulation;

	vcpu_setup_long_mode(v, unknown);
	if (!vcpu_expect(v, HVX_EXIT_EMULATION))
		return;
	EXPECT_EQ(e->gpa, HOLE + 0x40);
	EXPECT_EQ(e->rip, (uintptr_t)unknown_insn);
	EXPECT_EQ(e->write, 0);
	EXPECT_EQ(e->insn_len, 15);
	EXPECT(!memcmp(e->insn, unknown_bytes, 5));
	EXPECT_EQ(v->run->regs.rip, (uintptr_t)unknown_insn);
	/* The VMM does without it. */
	v->run->regs.rip += 4;
	v->run->regs_dirty = HVX_REGS_GPR;
	vcpu_finish(v);
	EXPECT_EQ(value, 1);
}

GUEST(at_page_end)
{
	asm volatile("call *%0" : : "r"(0x40000ffcUL), "b"(HOLE) : "memory");
}

/* The instruction ends where its page does, and the next page is not there. */
TEST(unknown_at_page_end)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct hvx_exit_emulation *e = &v->run->emulation;
	uint8_t *page = heap_alloc(PAGE_SIZE, PAGE_SIZE);

	memcpy(page + 0xffc, unknown_bytes, 4);
	*vm_pte(v->vm, 0x40000000) = (uintptr_t)page | PTE_P | PTE_W;
	*vm_pte(v->vm, 0x40001000) = 0;
	vcpu_setup_long_mode(v, at_page_end);
	if (!vcpu_expect(v, HVX_EXIT_EMULATION))
		return;
	EXPECT_EQ(e->rip, 0x40000ffc);
	EXPECT_EQ(e->insn_len, 4);
	EXPECT(!memcmp(e->insn, unknown_bytes, 4));
}

/* ------------------------------------------------------------------ other modes */

extern char mmio_real[], mmio_real_end[];	/* guest/mmio.S */
extern void mmio_32(void);

TEST(real_mode)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	uint8_t *data = v->run->mmio.data;

	vm_load(v->vm, 0x8000, mmio_real, mmio_real_end);
	vcpu_setup_real(v, 0, 0x8000);
	expect_mmio(v, 0x100010, 2, 0);
	memcpy(data, "\xcd\xab", 2);
	expect_mmio(v, 0x100012, 1, 1);
	EXPECT_EQ(data[0], 0x5a);
	expect_mmio(v, 0x100014, 4, 1);
	EXPECT_EQ(*(uint32_t *)data, 0x12345678);
	expect_mmio(v, 0x100018, 1, 1);
	expect_mmio(v, 0x100019, 1, 1);
	vcpu_expect(v, HVX_EXIT_HLT);
	EXPECT_EQ(v->run->regs.gpr[HVX_RBX], 0xabcd);
	EXPECT_EQ(v->run->regs.gpr[HVX_RDI] & 0xffff, 0x2a);
}

TEST(protected_mode)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_prot32(v, mmio_32);
	expect_mmio(v, HOLE, 4, 0);
	*(uint32_t *)v->run->mmio.data = 7;
	expect_mmio(v, HOLE + 4, 4, 0);
	*(uint32_t *)v->run->mmio.data = 10;
	expect_mmio(v, HOLE + 4, 4, 1);
	EXPECT_EQ(*(uint32_t *)v->run->mmio.data, 17);
	expect_mmio(v, HOLE + 8, 2, 1);
	vcpu_finish(v);
	EXPECT_EQ(v->run->regs.gpr[HVX_RDI], 7);
}

/*
 * A guest without paging whose second page of memory cannot be had, between two parts of an
 * instruction that also touches a device: the instruction goes on where it was once the memory is
 * there, and the device is asked for each byte once.
 */
static struct vcpu *start_with_hole(const uint8_t *code, size_t len, uint8_t **mem)
{
	struct vm *vm = vm_create_bare(0);
	struct vcpu *v = vcpu_create_bare(vm, 0);
	uint8_t *rom = host_pages(PAGE_SIZE);

	*mem = host_pages(2 * PAGE_SIZE);
	memset(*mem, 0x55, 2 * PAGE_SIZE);
	memcpy(rom + 0xff0, code, len);
	REQUIRE(!vm_region(vm, 0, 0, 0xfffff000, PAGE_SIZE, rom));
	REQUIRE(!vm_region(vm, 1, 0, 0, 2 * PAGE_SIZE, *mem));
	REQUIRE(!mprotect(*mem + PAGE_SIZE, PAGE_SIZE, PROT_NONE));
	return v;
}

static void expect_hole(struct vcpu *v)
{
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(vcpu_run(v), -EFAULT);
		EXPECT_EQ(v->run->exit_reason, HVX_EXIT_MEMORY_FAULT);
		EXPECT_EQ(v->run->memory.gpa & ~0xfffULL, PAGE_SIZE);
	}
}

TEST(hole_in_rep)
{
	static const uint8_t code[] = {
		0xbe, 0xfe, 0x0f,		/* mov si, 0xffe */
		0xb8, 0x00, 0x20, 0x8e, 0xc0,	/* mov ax, 0x2000; mov es, ax */
		0xb9, 0x08, 0x00, 0xf3, 0xa4,	/* mov cx, 8; rep movsb */
		0xf4,
	};
	uint8_t *mem;
	struct vcpu *v = start_with_hole(code, sizeof(code), &mem);

	for (unsigned int i = 0; i < 8; i++) {
		if (i == 2) {
			expect_hole(v);
			REQUIRE(!mprotect(mem + PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE));
		}
		if (!vcpu_expect(v, HVX_EXIT_MMIO))
			return;
		EXPECT(v->run->mmio.write && v->run->mmio.gpa == 0x20000 + i &&
		       v->run->mmio.len == 1 && v->run->mmio.data[0] == 0x55, "byte %u", i);
	}
	vcpu_expect(v, HVX_EXIT_HLT);
}

TEST(hole_behind_a_device)
{
	static const uint8_t code[] = {
		0xbf, 0x00, 0x10,		/* mov di, 0x1000 */
		0xb8, 0x00, 0x20, 0x8e, 0xd8,	/* mov ax, 0x2000; mov ds, ax */
		0xa4, 0xf4,			/* movsb */
	};
	uint8_t *mem;
	struct vcpu *v = start_with_hole(code, sizeof(code), &mem);

	if (!vcpu_expect(v, HVX_EXIT_MMIO))
		return;
	EXPECT(!v->run->mmio.write && v->run->mmio.gpa == 0x20000);
	v->run->mmio.data[0] = 0x42;
	expect_hole(v);
	REQUIRE(!mprotect(mem + PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE));
	vcpu_expect(v, HVX_EXIT_HLT);
	EXPECT_EQ(mem[PAGE_SIZE], 0x42);
}
