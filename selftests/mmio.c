// SPDX-License-Identifier: GPL-2.0-only
/*
 * mmio: memory accesses that no region answers. Every instruction of a list runs twice, once on
 * ordinary memory by the processor and once on a device by hvx and this program, at every alignment
 * and over a page's end; registers, flags and memory must come out alike. Without the emulator's
 * care for widths, extensions, flags and partial accesses they do not.
 */
#include <errno.h>

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

/* X(number, text, flags that count, alignment, source, destination, flags before) */
#define INSNS(X)							\
	X(1, "movb (%%rbx), %%al", NONE, 1, NONE, NONE, 0)		\
	X(2, "movw (%%rbx), %%ax", NONE, 1, NONE, NONE, 0)		\
	X(3, "movl (%%rbx), %%eax", NONE, 1, NONE, NONE, 0)		\
	X(4, "movq (%%rbx), %%rax", NONE, 1, NONE, NONE, 0)		\
	X(5, "movb (%%rbx), %%ah", NONE, 1, NONE, NONE, 0)		\
	X(6, "movb %%al, (%%rbx)", NONE, 1, NONE, NONE, 0)		\
	X(7, "movb %%dh, (%%rbx)", NONE, 1, NONE, NONE, 0)		\
	X(8, "movw %%ax, (%%rbx)", NONE, 1, NONE, NONE, 0)		\
	X(9, "movl %%edx, (%%rbx)", NONE, 1, NONE, NONE, 0)		\
	X(10, "movq %%rdx, (%%rbx)", NONE, 1, NONE, NONE, 0)		\
	X(11, "movb $0x5a, 1(%%rbx)", NONE, 1, NONE, NONE, 0)		\
	X(12, "movw $0x5aa5, (%%rbx)", NONE, 1, NONE, NONE, 0)		\
	X(13, "movl $0x5aa5f00f, 0x12(%%rbx)", NONE, 1, NONE, NONE, 0)	\
	X(14, "movq $-0x5aa5f00f, (%%rbx)", NONE, 1, NONE, NONE, 0)	\
	X(15, "movl (%%rbx,%%rcx,4), %%eax", NONE, 1, NONE, NONE, 0)	\
	X(16, "movl %%eax, -0x30(%%rbx,%%rcx,8)", NONE, 1, NONE, NONE, 0) \
	X(17, "xchg %%rbx, %%r13; movl (%%r13), %%r9d; xchg %%rbx, %%r13; mov %%r9, %%rdx", \
	  NONE, 1, NONE, NONE, 0)					\
	X(18, "movb %%sil, (%%rbx)", NONE, 1, NONE, NONE, 0)		\
	X(20, "movzbl (%%rbx), %%eax", NONE, 1, NONE, NONE, 0)		\
	X(21, "movzwl (%%rbx), %%edx", NONE, 1, NONE, NONE, 0)		\
	X(22, "movzbw (%%rbx), %%ax", NONE, 1, NONE, NONE, 0)		\
	X(23, "movzbq (%%rbx), %%rax", NONE, 1, NONE, NONE, 0)		\
	X(24, "movsbl (%%rbx), %%eax", NONE, 1, NONE, NONE, 0)		\
	X(25, "movswl (%%rbx), %%edx", NONE, 1, NONE, NONE, 0)		\
	X(26, "movsbw (%%rbx), %%ax", NONE, 1, NONE, NONE, 0)		\
	X(27, "movswq (%%rbx), %%rax", NONE, 1, NONE, NONE, 0)		\
	X(28, "movslq (%%rbx), %%rax", NONE, 1, NONE, NONE, 0)		\
	X(29, "movsbq (%%rbx), %%rax", NONE, 1, NONE, NONE, 0)		\
	X(30, "stosb", NONE, 1, NONE, DEV, 0)				\
	X(31, "stosq", NONE, 1, NONE, DEV, 0)				\
	X(32, "rep stosb", NONE, 1, NONE, DEV, 0)			\
	X(33, "rep stosw", NONE, 1, NONE, DEV, 0)			\
	X(34, "rep stosl", NONE, 1, NONE, DEV, 0)			\
	X(35, "rep stosl", NONE, 1, NONE, DEV, FL_DF)			\
	X(36, "movsb", NONE, 1, DEV, RAM, 0)				\
	X(37, "movsl", NONE, 1, RAM, DEV, 0)				\
	X(38, "rep movsb", NONE, 1, DEV, RAM, 0)			\
	X(39, "rep movsw", NONE, 1, RAM, DEV, 0)			\
	X(40, "rep movsl", NONE, 1, DEV, RAM, 0)			\
	X(41, "rep movsq", NONE, 1, RAM, DEV, 0)			\
	X(42, "rep movsb", NONE, 1, DEV, DEV, 0)			\
	X(43, "rep movsl", NONE, 1, DEV, RAM, FL_DF)			\
	X(44, "xor %%ecx, %%ecx; rep movsl", NONE, 1, DEV, RAM, 0)	\
	X(45, "lodsb", NONE, 1, DEV, NONE, 0)				\
	X(46, "lodsl", NONE, 1, DEV, NONE, 0)				\
	X(50, "andb %%al, (%%rbx)", LOGIC, 1, NONE, NONE, 0)		\
	X(51, "andl (%%rbx), %%eax", LOGIC, 1, NONE, NONE, 0)		\
	X(52, "andw $0x0ff0, (%%rbx)", LOGIC, 1, NONE, NONE, 0)		\
	X(53, "andq $-16, (%%rbx)", LOGIC, 1, NONE, NONE, 0)		\
	X(54, "orb $0x81, (%%rbx)", LOGIC, 1, NONE, NONE, 0)		\
	X(55, "orl %%edx, (%%rbx)", LOGIC, 1, NONE, NONE, 0)		\
	X(56, "orq (%%rbx), %%rax", LOGIC, 1, NONE, NONE, 0)		\
	X(57, "xorw %%ax, (%%rbx)", LOGIC, 1, NONE, NONE, 0)		\
	X(58, "xorl $0x12345678, (%%rbx)", LOGIC, 1, NONE, NONE, 0)	\
	X(59, "xorb (%%rbx), %%dl", LOGIC, 1, NONE, NONE, 0)		\
	X(60, "addb %%al, (%%rbx)", ARITH, 1, NONE, NONE, 0)		\
	X(61, "addw %%dx, (%%rbx)", ARITH, 1, NONE, NONE, 0)		\
	X(62, "addl $0x7fffffff, (%%rbx)", ARITH, 1, NONE, NONE, 0)	\
	X(63, "addq (%%rbx), %%rax", ARITH, 1, NONE, NONE, 0)		\
	X(64, "lock addl %%eax, (%%rbx)", ARITH, 1, NONE, NONE, 0)	\
	X(65, "subb $1, (%%rbx)", ARITH, 1, NONE, NONE, 0)		\
	X(66, "subl %%edx, (%%rbx)", ARITH, 1, NONE, NONE, 0)		\
	X(67, "subq %%rax, (%%rbx)", ARITH, 1, NONE, NONE, 0)		\
	X(68, "cmpb $0x80, (%%rbx)", ARITH, 1, NONE, NONE, 0)		\
	X(69, "cmpl %%eax, (%%rbx)", ARITH, 1, NONE, NONE, 0)		\
	X(70, "cmpq (%%rbx), %%rdx", ARITH, 1, NONE, NONE, 0)		\
	X(71, "testb $0x11, (%%rbx)", LOGIC, 1, NONE, NONE, 0)		\
	X(72, "testl %%eax, (%%rbx)", LOGIC, 1, NONE, NONE, 0)		\
	X(73, "testq %%rdx, (%%rbx)", LOGIC, 1, NONE, NONE, 0)		\
	X(74, "xchgb %%al, (%%rbx)", NONE, 1, NONE, NONE, 0)		\
	X(75, "xchgw %%ax, (%%rbx)", NONE, 1, NONE, NONE, 0)		\
	X(76, "xchgl %%eax, (%%rbx)", NONE, 1, NONE, NONE, 0)		\
	X(77, "xchgq %%rdx, (%%rbx)", NONE, 1, NONE, NONE, 0)

/*
 * Not asked of an emulator by anyone's device driver every day, but seen in kernels and firmware:
 * a host may answer them with HVX_EXIT_EMULATION, but what it finishes must be right.
 */
#define MORE_INSNS(X)							\
	X(80, "adcl %%eax, (%%rbx)", ARITH, 1, NONE, NONE, FL_CF)	\
	X(81, "sbbq (%%rbx), %%rax", ARITH, 1, NONE, NONE, FL_CF)	\
	X(82, "incl (%%rbx)", ARITH, 1, NONE, NONE, FL_CF)		\
	X(83, "decw (%%rbx)", ARITH, 1, NONE, NONE, FL_CF)		\
	X(84, "notl (%%rbx)", NONE, 1, NONE, NONE, 0)			\
	X(85, "negq (%%rbx)", ARITH, 1, NONE, NONE, 0)			\
	X(86, "btl $5, (%%rbx)", CF, 1, NONE, NONE, 0)			\
	X(87, "btsl $7, (%%rbx)", CF, 1, NONE, NONE, 0)			\
	X(88, "lock btrq $33, (%%rbx)", CF, 1, NONE, NONE, 0)		\
	X(89, "btcw $3, (%%rbx)", CF, 1, NONE, NONE, 0)			\
	X(90, "xaddl %%eax, (%%rbx)", ARITH, 1, NONE, NONE, 0)		\
	X(91, "cmpxchgl %%edx, (%%rbx)", ARITH, 1, NONE, NONE, 0)	\
	X(92, "mov (%%rbx), %%rax; lock cmpxchgq %%rdx, (%%rbx)", ARITH, 1, NONE, NONE, 0) \
	X(93, "cmpxchg8b (%%rdi)", NONE, 1, NONE, DEV, 0)		\
	X(94, "pushq (%%rbx); popq %%rdx", NONE, 1, NONE, NONE, 0)	\
	X(95, "pushq %%rdx; popq (%%rbx)", NONE, 1, NONE, NONE, 0)	\
	X(96, "repe cmpsb", ARITH, 1, DEV, RAM, 0)			\
	X(97, "repne scasw", ARITH, 1, NONE, DEV, 0)			\
	X(98, "movups (%%rbx), %%xmm0", NONE, 1, NONE, NONE, 0)		\
	X(99, "movdqa %%xmm0, (%%rbx)", NONE, 16, NONE, NONE, 0)	\
	X(100, "movdqu %%xmm0, (%%rbx)", NONE, 1, NONE, NONE, 0)	\
	X(101, "movq (%%rbx), %%xmm0", NONE, 1, NONE, NONE, 0)		\
	X(102, "movd %%xmm0, (%%rbx)", NONE, 1, NONE, NONE, 0)		\
	X(103, "btl %%eax, (%%rbx)", CF, 1, NONE, NONE, 0)		\
	X(104, "scasb", ARITH, 1, NONE, DEV, 0)

#define MAKE_FN(n, text, flags, align, src, dst, in)	INSN_FN(n, text)
#define MAKE_ROW(n, text, flags, align, src, dst, in)			\
	{ text, insn_##n, FLAGS_##flags, align, src, dst, in },
INSNS(MAKE_FN)
MORE_INSNS(MAKE_FN)
static const struct insn insns[] = { INSNS(MAKE_ROW) };
static const struct insn more_insns[] = { MORE_INSNS(MAKE_ROW) };

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
		dev[i] = ref[i] = i * 37 + 0x80;
		ram[0][i] = ram[1][i] = i * 11 + (i >> 8);
	}
}

/* For @optional tables an EMULATION exit is an answer too: the guest is sent to the next. */
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

#define UNKNOWN		0x66, 0x0f, 0xfe, 0x0b	/* paddd (%rbx), %xmm1 */

GUEST(unknown)
{
	asm volatile("unknown_insn: .byte 0x66, 0x0f, 0xfe, 0x0b\nnop" : : "b"(HOLE + 0x40));
	value = 1;
}

TEST(unknown_instruction)
{
	static const uint8_t bytes[] = { UNKNOWN, 0x90 };
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
	EXPECT(!memcmp(e->insn, bytes, sizeof(bytes)));
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
	static const uint8_t bytes[] = { UNKNOWN };
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct hvx_exit_emulation *e = &v->run->emulation;
	uint8_t *page = heap_alloc(PAGE_SIZE, PAGE_SIZE);

	memcpy(page + 0xffc, bytes, sizeof(bytes));
	*vm_pte(v->vm, 0x40000000) = (uintptr_t)page | PTE_P | PTE_W;
	*vm_pte(v->vm, 0x40001000) = 0;
	vcpu_setup_long_mode(v, at_page_end);
	if (!vcpu_expect(v, HVX_EXIT_EMULATION))
		return;
	EXPECT_EQ(e->rip, 0x40000ffc);
	EXPECT_EQ(e->insn_len, 4);
	EXPECT(!memcmp(e->insn, bytes, sizeof(bytes)));
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
