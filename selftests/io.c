// SPDX-License-Identifier: GPL-2.0-only
/*
 * io: port I/O of every width, single and as strings. Without it a VMM sees wrong data, string
 * instructions lose their place in RCX/RSI/RDI, and faults in the middle of a REP lose accesses.
 */
#include "vm.h"

#define PORT	0x3a0
#define WIN	0x40000000UL	/* window of test pages: linear address */
#define WIN_GPA	(HEAP_BASE + 0x800000)

static uint8_t *io_data(struct vcpu *v)
{
	return (uint8_t *)v->run + v->run->io.data_offset;
}

static struct vcpu *start(guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, fn);
	return v;
}

/* Linear page @n of the window is physical page @frame there. */
static void window(struct vcpu *v, unsigned int n, unsigned int frame, uint64_t flags)
{
	*vm_pte(v->vm, WIN + n * PAGE_SIZE) = (WIN_GPA + frame * PAGE_SIZE) | flags;
}

static bool expect_io(struct vcpu *v, uint16_t port, unsigned int width, bool write,
		      unsigned int count)
{
	const struct hvx_exit_io *io = &v->run->io;

	if (!vcpu_expect(v, HVX_EXIT_IO))
		tap_abort();
	return EXPECT(io->port == port && io->width == width && io->write == write &&
		      io->count == count, "port %#x width %u write %u count %u", io->port,
		      io->width, io->write, io->count);
}

GUEST(single_out)
{
	uint64_t a = 0x8877665544332211;

	asm volatile("outb %%al, $0x61" : : "a"(a));
	asm volatile("outw %%ax, $0x62" : : "a"(a));
	asm volatile("outl %%eax, $0x64" : : "a"(a));
	asm volatile("outb %%al, %%dx" : : "a"(a), "d"(0xffff));
	asm volatile("outw %%ax, %%dx" : : "a"(a), "d"(PORT));
	asm volatile("outl %%eax, %%dx" : : "a"(a), "d"(PORT));
	/* REX.W and 66 with it change nothing about the width */
	asm volatile("rex.w outl %%eax, %%dx" : : "a"(a), "d"(PORT));
}

TEST(out_widths)
{
	struct vcpu *v = start(single_out);

	expect_io(v, 0x61, 1, 1, 1);
	EXPECT_EQ(*io_data(v), 0x11);
	expect_io(v, 0x62, 2, 1, 1);
	EXPECT_EQ(*(uint16_t *)io_data(v), 0x2211);
	expect_io(v, 0x64, 4, 1, 1);
	EXPECT_EQ(*(uint32_t *)io_data(v), 0x44332211);
	expect_io(v, 0xffff, 1, 1, 1);
	EXPECT_EQ(*io_data(v), 0x11);
	expect_io(v, PORT, 2, 1, 1);
	EXPECT_EQ(*(uint16_t *)io_data(v), 0x2211);
	expect_io(v, PORT, 4, 1, 1);
	EXPECT_EQ(*(uint32_t *)io_data(v), 0x44332211);
	expect_io(v, PORT, 4, 1, 1);
	vcpu_finish(v);
}

static uint64_t got[8];

GUEST(single_in)
{
	const uint64_t old = 0xaaaaaaaaaaaaaaaa;

	asm volatile("inb $0x61, %%al" : "=a"(got[0]) : "a"(old));
	asm volatile("inw $0x62, %%ax" : "=a"(got[1]) : "a"(old));
	asm volatile("inl $0x64, %%eax" : "=a"(got[2]) : "a"(old));
	asm volatile("inb %%dx, %%al" : "=a"(got[3]) : "a"(old), "d"(PORT));
	asm volatile("inw %%dx, %%ax" : "=a"(got[4]) : "a"(old), "d"(PORT));
	asm volatile("inl %%dx, %%eax" : "=a"(got[5]) : "a"(old), "d"(PORT));
}

TEST(in_widths)
{
	static const uint64_t want[] = {
		0xaaaaaaaaaaaaaa01, 0xaaaaaaaaaaaa0202, 0x03030303,
		0xaaaaaaaaaaaaaa04, 0xaaaaaaaaaaaa0505, 0x06060606,
	};
	static const uint16_t ports[] = { 0x61, 0x62, 0x64, PORT, PORT, PORT };
	struct vcpu *v = start(single_in);
	unsigned int i;

	for (i = 0; i < 6; i++) {
		expect_io(v, ports[i], 1 << i % 3, 0, 1);
		/* More than the width on purpose: only the width counts. */
		memset(io_data(v), i + 1, 4);
	}
	vcpu_finish(v);
	for (i = 0; i < 6; i++)
		EXPECT(got[i] == want[i], "%u: %#lx, not %#lx", i, got[i], want[i]);
}

GUEST(marked_out)
{
	asm volatile("io_insn: outb %%al, %%dx\nio_next: nop" : : "a"(0), "d"(PORT));
}

/* RIP at the exit is past the instruction; a VMM may also go elsewhere by changing it. */
TEST(rip_is_past)
{
	extern char io_insn[], io_next[];
	struct vcpu *v = start(marked_out);

	expect_io(v, PORT, 1, 1, 1);
	EXPECT_EQ(v->run->regs.rip, (uintptr_t)io_next);
	v->run->regs.rip = (uintptr_t)io_insn;
	v->run->regs_dirty = HVX_REGS_GPR;
	expect_io(v, PORT, 1, 1, 1);
	vcpu_finish(v);
}

/* ------------------------------------------------------------------ strings */

static struct {
	unsigned int width;
	bool write, backward, rep;
	uint64_t addr, count;
	uint64_t addr_after, count_after;
} str;

#define STRING(insn) ({							\
	asm volatile(insn : "+S"(a), "+D"(d), "+c"(n) : "d"(PORT) : "memory", "cc"); \
})

GUEST(string_guest)
{
	uint64_t a = str.addr, d = str.addr, n = str.count;

	if (str.backward)
		asm volatile("std");
	switch (str.width << 2 | str.write << 1 | str.rep) {
	case 1 << 2 | 2 | 0:
		STRING("outsb");
		break;
	case 2 << 2 | 2 | 0:
		STRING("outsw");
		break;
	case 4 << 2 | 2 | 0:
		STRING("outsl");
		break;
	case 1 << 2 | 2 | 1:
		STRING("rep outsb");
		break;
	case 2 << 2 | 2 | 1:
		STRING("rep outsw");
		break;
	case 4 << 2 | 2 | 1:
		STRING("rep outsl");
		break;
	case 1 << 2 | 0 | 0:
		STRING("insb");
		break;
	case 2 << 2 | 0 | 0:
		STRING("insw");
		break;
	case 4 << 2 | 0 | 0:
		STRING("insl");
		break;
	case 1 << 2 | 0 | 1:
		STRING("rep insb");
		break;
	case 2 << 2 | 0 | 1:
		STRING("rep insw");
		break;
	case 4 << 2 | 0 | 1:
		STRING("rep insl");
		break;
	}
	asm volatile("cld");
	str.addr_after = str.write ? a : d;
	str.count_after = n;
}

static uint8_t pattern(unsigned int i)
{
	return i * 7 + (i >> 8) + 3;
}

/*
 * Moves data until the guest is done: to @buf for OUT, from it for IN. Returns how many accesses
 * there were.
 */
static unsigned int transfer(struct vcpu *v, uint8_t *buf, unsigned int room)
{
	const unsigned int area = hvx_cap(HVX_CAP_RUN_SIZE);
	struct hvx_run *r = v->run;
	unsigned int done = 0, len;

	while (vcpu_ucall(v) == UC_NONE) {
		if (r->exit_reason != HVX_EXIT_IO)
			vcpu_describe(v, r->exit_reason);
		REQUIRE(r->exit_reason == HVX_EXIT_IO && r->io.port == PORT);
		REQUIRE(r->io.width == str.width && r->io.write == str.write && r->io.count);
		len = r->io.count * r->io.width;
		REQUIRE(r->io.data_offset + len <= area && done + len <= room,
			"%u bytes at %u after %u", len, r->io.data_offset, done);
		if (str.write)
			memcpy(buf + done, io_data(v), len);
		else
			memcpy(io_data(v), buf + done, len);
		done += len;
	}
	return done / str.width;
}

static uint8_t host_buf[0x8000];

/* One string instruction over the window, whose physical pages lie in reverse order. */
static void string(unsigned int width, bool write, bool rep, bool backward, unsigned int offset,
		   unsigned int count)
{
	struct vcpu *v = start(string_guest);
	unsigned int i, n, len = width * (rep ? count : 1);
	/* Backward the instruction begins at the last element. */
	const unsigned int from = offset + (backward && len ? len - width : 0);
	uint8_t *phys = (uint8_t *)WIN_GPA;

	str.width = width;
	str.write = write;
	str.rep = rep;
	str.backward = backward;
	str.addr = WIN + from;
	str.count = count;
	for (i = 0; i < 8; i++)
		window(v, i, 7 - i, PTE_P | PTE_W);
	memset(phys, 0, 8 * PAGE_SIZE);
	for (i = 0; i < len; i++) {
		unsigned int at = offset + i;

		if (write)
			phys[(7 - at / PAGE_SIZE) * PAGE_SIZE + at % PAGE_SIZE] = pattern(i);
		else
			host_buf[i] = pattern(i);
	}
	n = transfer(v, host_buf, sizeof(host_buf));
	EXPECT_EQ(v->uc.cmd, UC_DONE);
	EXPECT_EQ(n * width, len);
	EXPECT_EQ(str.count_after, rep ? 0 : count);
	EXPECT_EQ(str.addr_after, backward ? WIN + from - len : WIN + from + len);
	for (i = 0; i < len; i++) {
		unsigned int el = i / width, j = i;
		unsigned int at;
		uint8_t mem;

		if (backward)
			j = len - (el + 1) * width + i % width;
		at = offset + j;
		mem = phys[(7 - at / PAGE_SIZE) * PAGE_SIZE + at % PAGE_SIZE];
		if (!EXPECT(host_buf[i] == mem, "byte %u: %#x, memory %#x", i, host_buf[i], mem))
			break;
	}
	vm_destroy(v->vm);
	vcpu_destroy(v);
}

static void strings(bool write)
{
	unsigned int width;

	for (width = 1; width <= 4; width *= 2) {
		string(width, write, false, false, 0x10, 5);
		string(width, write, true, false, 0x10, 17);
		string(width, write, true, false, 0x11, 0);
		string(width, write, true, true, 0x20, 9);
		/* over a page's end, in and between elements */
		string(width, write, false, false, 0xfff, 1);
		string(width, write, true, false, 0xff8, 16);
		string(width, write, true, false, 0xfff, 5);
		string(width, write, true, true, 0xffd, 5);
		if (tap_failures())
			tap_note("width %u", width);
	}
}

TEST(string_out)
{
	strings(true);
}

TEST(string_in)
{
	strings(false);
}

/* More than the run page holds: in parts, and RIP stays at the instruction between them. */
TEST(long_rep)
{
	string(1, true, true, false, 0, 0x7000);
	string(4, true, true, false, 2, 0x1c00);
	string(2, false, true, false, 1, 0x3800);
	string(4, false, true, true, 4, 0x1800);
}

static unsigned int faults;
static uint64_t fault_rcx, fault_rsi;

static GUEST_CODE void map_next(struct gcpu *g, struct gframe *f)
{
	volatile uint64_t *pte = (uint64_t *)g->arg;

	faults++;
	fault_rcx = f->rcx;
	fault_rsi = f->rsi;
	GUEST_EQ(g->trap.cr2 & ~0xfffUL, WIN + PAGE_SIZE);
	*pte |= PTE_P;
}

/* A page that is absent in the middle: what came before has happened, once, and RCX/RSI say so. */
TEST(fault_in_rep)
{
	struct vcpu *v = start(string_guest);
	uint8_t *phys = (uint8_t *)WIN_GPA;
	unsigned int i, n;

	str.width = 1;
	str.write = true;
	str.rep = true;
	str.addr = WIN + 0xf80;
	str.count = 0x100;
	window(v, 0, 0, PTE_P | PTE_W);
	window(v, 1, 1, PTE_W);
	v->g->arg = (uintptr_t)vm_pte(v->vm, WIN + PAGE_SIZE);
	v->g->handler[14] = map_next;
	for (i = 0; i < 0x100; i++)
		phys[0xf80 + i] = pattern(i);
	n = transfer(v, host_buf, sizeof(host_buf));
	EXPECT_EQ(v->uc.cmd, UC_DONE);
	EXPECT_EQ(n, 0x100);
	EXPECT_EQ(faults, 1);
	EXPECT_EQ(fault_rcx, 0x80);
	EXPECT_EQ(fault_rsi, WIN + 0x1000);
	for (i = 0; i < 0x100; i++) {
		if (!EXPECT(host_buf[i] == pattern(i), "byte %u", i))
			break;
	}
}

GUEST(ins_to_readonly)
{
	uint64_t d = WIN, n = 4;

	GUEST_EQ(TRY(g, "rep insb", ("+D"(d), "+c"(n)), ("d"(PORT))), 14);
	GUEST_EQ(g->trap.cr2, WIN);
	GUEST_EQ(g->trap.error, 3);
	GUEST_EQ(d, WIN);
	GUEST_EQ(n, 4);
}

/* INS to a page that the guest may not write is a #PF before any port is read. */
TEST(ins_checks_first)
{
	struct vcpu *v = start(ins_to_readonly);

	window(v, 0, 0, PTE_P);
	vcpu_finish(v);
}

GUEST(ins_over_pages)
{
	void *to = (void *)(WIN + PAGE_SIZE - 2);
	uint64_t n = 2;

	asm volatile("rep insw" : "+D"(to), "+c"(n) : "d"(PORT) : "memory");
}

/* What INS writes to is accessed and dirty to the guest's memory management, too. */
TEST(ins_marks_pages)
{
	struct vcpu *v = start(ins_over_pages);
	unsigned int i;

	for (i = 0; i < 3; i++)
		window(v, i, i, PTE_P | PTE_W);
	while (vcpu_run(v) == HVX_EXIT_IO && v->run->io.port == PORT)
		;
	for (i = 0; i < 3; i++)
		EXPECT_EQ(*vm_pte(v->vm, WIN + i * PAGE_SIZE) & (PTE_A | PTE_D),
			  i < 2 ? PTE_A | PTE_D : 0);
}

GUEST(segments)
{
	uint64_t a = 0x10, n = 2;

	g_wrmsr(0xc0000100, WIN);
	asm volatile("rep fs outsb" : "+S"(a), "+c"(n) : "d"(PORT) : "memory");
	GUEST_EQ(a, 0x12);
	GUEST_EQ(n, 0);
	/* A 32-bit address size uses and clears the upper halves. */
	a = 0xdead000000000000 | (WIN + 0x20);
	n = 0xdead000000000002;
	asm volatile("rep addr32 outsb" : "+S"(a), "+c"(n) : "d"(PORT) : "memory");
	GUEST_EQ(a, WIN + 0x22);
	GUEST_EQ((uint32_t)n, 0);
	/* ECX 0: nothing happens whatever RCX is */
	a = WIN;
	n = 0xdead000000000000;
	asm volatile("rep addr32 outsb" : "+S"(a), "+c"(n) : "d"(PORT) : "memory");
	GUEST_EQ(a, WIN);
}

TEST(segment_and_address_size)
{
	struct vcpu *v = start(segments);
	uint8_t *phys = (uint8_t *)WIN_GPA;

	str.width = 1;
	str.write = true;
	window(v, 0, 0, PTE_P | PTE_W);
	memcpy(phys + 0x10, "AB", 2);
	memcpy(phys + 0x20, "CD", 2);
	EXPECT_EQ(transfer(v, host_buf, sizeof(host_buf)), 4);
	EXPECT(!memcmp(host_buf, "ABCD", 4), "%.4s", host_buf);
	EXPECT_EQ(v->uc.cmd, UC_DONE);
}

GUEST(user_io)
{
	GUEST_EQ(TRY(g, "outb %%al, %%dx", (), ("a"(1), "d"(PORT))), 13);
	GUEST_EQ(g->trap.error, 0);
	GUEST_EQ(TRY(g, "inb %%dx, %%al", (), ("d"(PORT)), "rax"), 13);
	GUEST_EQ(TRY(g, "outb %%al, %%dx", (), ("a"(2), "d"(PORT + 1))), -1);
}

GUEST(user_io_start)
{
	/* QEMU's TCG looks at the bitmap of a TSS that LTR loaded only. */
	asm volatile("ltr %w0" : : "r"(SEL_TSS) : "memory");
	guest_ring3(g, user_io);
}

/* Ring 3 gets the ports of the TSS's bitmap, and #GP, not an exit, for the rest. */
TEST(ring3_bitmap)
{
	struct vcpu *v = start(user_io_start);
	struct gtss64 *tss = heap_alloc(sizeof(*tss) + 0x2001, PAGE_SIZE);

	memcpy(tss, &v->g->tss, sizeof(*tss));
	memset(tss + 1, 0xff, 0x2001);
	((uint8_t *)(tss + 1))[(PORT + 1) / 8] &= ~(1 << (PORT + 1) % 8);
	v->g->gdt[SEL_TSS / 8] = gdt_make((uintptr_t)tss, sizeof(*tss) + 0x2000, 0x89);
	expect_io(v, PORT + 1, 1, 1, 1);
	EXPECT_EQ(*io_data(v), 2);
	vcpu_finish(v);
}

GUEST(many_out)
{
	unsigned int i;

	for (i = 0; i < 1000; i++)
		asm volatile("outl %%eax, %%dx" : : "a"(i), "d"(PORT));
}

TEST(many)
{
	struct vcpu *v = start(many_out);
	unsigned int i;

	for (i = 0; i < 1000; i++) {
		if (!expect_io(v, PORT, 4, 1, 1) || *(uint32_t *)io_data(v) != i)
			break;
	}
	EXPECT_EQ(i, 1000);
	vcpu_finish(v);
}
