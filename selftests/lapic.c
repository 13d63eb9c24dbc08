// SPDX-License-Identifier: GPL-2.0-only
/*
 * lapic: local APICs in the kernel: registers in both modes, priorities, the timer, messages
 * between vCPUs, and vCPUs that wait in the kernel. Without them no system of today starts.
 *
 * Tests run in xAPIC mode (memory at APIC_BASE), in x2APIC mode (MSRs), or in both.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "vm.h"

#define APIC		0xfee00000UL
#define MSR_APIC_BASE	0x1b
#define MSR_DEADLINE	0x6e0
#define BASE_BSP	(1U << 8)
#define BASE_EXTD	(1U << 10)
#define BASE_EN		(1U << 11)

/* Registers by their offset in xAPIC mode */
enum reg {
	ID = 0x20, VERSION = 0x30, TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0,
	SVR = 0xf0, ISR = 0x100, TMR = 0x180, IRR = 0x200, ESR = 0x280, ICR = 0x300, ICR2 = 0x310,
	LVT_TIMER = 0x320, LVT_THERMAL = 0x330, LVT_PMC = 0x340, LINT0 = 0x350, LINT1 = 0x360,
	LVT_ERROR = 0x370, TMICT = 0x380, TMCCT = 0x390, TDCR = 0x3e0, SELF_IPI = 0x3f0,
};

#define MASKED		(1U << 16)
#define PERIODIC	(1U << 17)
#define DEADLINE	(1U << 18)
#define DM_NMI		(4U << 8)
#define DM_INIT		(5U << 8)
#define DM_STARTUP	(6U << 8)
#define DM_LOWEST	(1U << 8)
#define LOGICAL		(1U << 11)
#define ASSERT		(1U << 14)
#define LEVEL		(1U << 15)
#define SH_SELF		(1U << 18)
#define SH_ALL		(2U << 18)
#define SH_OTHERS	(3U << 18)

static bool x2apic;		/* mode of this test */

/* ------------------------------------------------------------------ guest side */

static GUEST_CODE uint32_t rd(enum reg reg)
{
	if (x2apic)
		return g_rdmsr(0x800 + reg / 16);
	return *(volatile uint32_t *)(APIC + reg);
}

static GUEST_CODE void wr(enum reg reg, uint32_t value)
{
	if (x2apic)
		g_wrmsr(0x800 + reg / 16, value);
	else
		*(volatile uint32_t *)(APIC + reg) = value;
}

static GUEST_CODE void send(uint32_t dest, uint32_t icr)
{
	if (x2apic) {
		g_wrmsr(0x830, (uint64_t)dest << 32 | icr);
		return;
	}
	wr(ICR2, dest << 24);
	wr(ICR, icr);
}

static GUEST_CODE void apic_on(void)
{
	if (x2apic)
		g_wrmsr(MSR_APIC_BASE, g_rdmsr(MSR_APIC_BASE) | BASE_EXTD);
	wr(SVR, 0x1ff);
}

static GUEST_CODE void eoi(struct gcpu *g, struct gframe *f)
{
	wr(EOI, 0);
}

static GUEST_CODE void open_window(void)
{
	asm volatile("sti; nop; nop; cli" : : : "memory");
}

static GUEST_CODE void wait_for(volatile uint32_t *count, uint32_t n)
{
	while (*count < n)
		asm volatile("sti; pause; cli" : : : "memory");
}

static GUEST_CODE bool irr(unsigned int vector)
{
	return rd(IRR + (vector >> 5) * 16) >> (vector & 31) & 1;
}

static GUEST_CODE bool isr(unsigned int vector)
{
	return rd(ISR + (vector >> 5) * 16) >> (vector & 31) & 1;
}

static GUEST_CODE uint64_t tsc(void)
{
	uint32_t lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (uint64_t)hi << 32;
}

/* ------------------------------------------------------------------- host side */

/* A vCPU whose CPUID has a local APIC with all that hvx can give */
static struct vcpu *make(struct vm *vm, unsigned int id, guest_fn fn)
{
	static struct hvx_cpuid_entry table[HVX_MAX_CPUID];
	struct vcpu *v = vcpu_create(vm, id);
	unsigned int i, n = supported_cpuid(table);

	for (i = 0; i < n; i++) {
		if (table[i].function == 1) {
			table[i].ecx |= 1 << 21 | 1 << 24;
			table[i].edx |= 1 << 9;
		}
	}
	REQUIRE(!vcpu_set_cpuid(v, table, n));
	if (fn) {
		vcpu_setup_long_mode(v, fn);
		if (id) {
			v->run->event.activity = HVX_ACTIVE;
			v->run->regs_dirty |= HVX_REGS_EVENT;
		}
	}
	return v;
}

static struct vcpu *start(guest_fn fn)
{
	return make(vm_create(HVX_VM_LAPIC), 0, fn);
}

#define BOTH_MODES(name, ...)							\
	static void both_##name(void);						\
	TEST(name##_xapic)							\
	{									\
		x2apic = false;							\
		both_##name();							\
	}									\
	TEST(name##_x2apic)							\
	{									\
		x2apic = true;							\
		both_##name();							\
	}									\
	static void both_##name(void)

static int msi(struct vm *vm, uint64_t address, uint32_t data)
{
	struct hvx_msi m = { .size = sizeof(m), .address = address, .data = data };

	return xioctl(vm->fd, HVX_SIGNAL_MSI, &m);
}

/* ------------------------------------------------------------------- registers */

GUEST(looks_at_registers)
{
	unsigned int i;

	GUEST_EQ(*(volatile uint32_t *)(APIC + SVR), 0xff);
	apic_on();
	GUEST_EQ(rd(ID), x2apic ? g->id : g->id << 24);
	GUEST_EQ(rd(VERSION) & 0xff00ff, 0x50014);
	GUEST_EQ(rd(SVR), 0x1ff);
	wr(TPR, 0x35);
	GUEST_EQ(rd(TPR), 0x35);
	GUEST_EQ(rd(PPR), 0x35);
	GUEST_EQ(G_READ_REG(cr8), 3);
	G_WRITE_REG(cr8, 7);
	GUEST_EQ(rd(TPR), 0x70);
	G_WRITE_REG(cr8, 0);
	GUEST_EQ(rd(PPR), 0);
	for (i = LVT_TIMER; i <= LVT_ERROR; i += 0x10) {
		GUEST_EQ(rd(i), MASKED);
		wr(i, MASKED | 0x40);
		GUEST_EQ(rd(i), MASKED | 0x40);
	}
	wr(LINT0, 0x700);
	GUEST_EQ(rd(LINT0), 0x700);
	wr(LINT1, 0xa400);
	GUEST_EQ(rd(LINT1), 0xa400);
	wr(TDCR, 0xb);
	GUEST_EQ(rd(TDCR), 0xb);
	wr(TMICT, 0);
	GUEST_EQ(rd(TMCCT), 0);
	/* Switched off by software, all sources are masked and stay so. */
	wr(SVR, 0xff);
	GUEST_EQ(rd(LINT0), 0x700 | MASKED);
	wr(LINT1, 0x400);
	GUEST_EQ(rd(LINT1), 0x400 | MASKED);
	wr(SVR, 0x1ff);
	wr(LINT1, 0x400);
	GUEST_EQ(rd(LINT1), 0x400);
	for (i = 0; i < 8; i++) {
		GUEST_EQ(rd(ISR + i * 16), 0);
		GUEST_EQ(rd(TMR + i * 16), 0);
		GUEST_EQ(rd(IRR + i * 16), 0);
	}
}

BOTH_MODES(registers)
{
	vcpu_finish(start(looks_at_registers));
}

GUEST(looks_at_xapic)
{
	GUEST_EQ(rd(LDR), 0);
	GUEST_EQ(rd(DFR), ~0U);
	apic_on();
	wr(LDR, 0x12345678);
	GUEST_EQ(rd(LDR), 0x12000000);
	wr(DFR, 0x0fffffff);
	GUEST_EQ(rd(DFR), 0x0fffffff);
	wr(ID, 0x55000000);
	GUEST_EQ(rd(ID), 0);
	/* Bits that are not there do not stick. */
	wr(LVT_THERMAL, ~0U);
	GUEST_EQ(rd(LVT_THERMAL), 0x107ff);
	wr(TPR, 0x1234);
	GUEST_EQ(rd(TPR), 0x34);
	/* 16-bit and 8-bit loads see their part. */
	GUEST_EQ(*(volatile uint16_t *)(APIC + VERSION + 2) & 0xff, 5);
	GUEST_EQ(*(volatile uint8_t *)(APIC + VERSION), 0x14);
	/* Behind the register there is nothing. */
	GUEST_EQ(*(volatile uint32_t *)(APIC + VERSION + 4), 0);
	/* A register that does not exist is an error, shown after a write to ESR. */
	wr(ESR, 0);
	GUEST_EQ(*(volatile uint32_t *)(APIC + 0x40), 0);
	GUEST_EQ(rd(ESR), 0);
	wr(ESR, 0);
	GUEST_EQ(rd(ESR), 0x80);
	wr(ESR, 0);
	GUEST_EQ(rd(ESR), 0);
	/* No such MSRs in this mode */
	GUEST_EQ(TRY(g, "rdmsr", (), ("c"(0x802)), "eax", "edx"), 13);
	GUEST_EQ(TRY(g, "wrmsr", (), ("c"(0x80b), "a"(0), "d"(0))), 13);
}

TEST(xapic)
{
	vcpu_finish(start(looks_at_xapic));
}

static GUEST_CODE int try_wrmsr(struct gcpu *g, uint32_t msr, uint64_t value)
{
	return TRY(g, "wrmsr", (), ("c"(msr), "a"((uint32_t)value), "d"(value >> 32)));
}

static GUEST_CODE int try_rdmsr(struct gcpu *g, uint32_t msr)
{
	return TRY(g, "rdmsr", (), ("c"(msr)), "eax", "edx");
}

GUEST(looks_at_x2apic)
{
	unsigned int i;

	apic_on();
	GUEST_EQ(rd(ID), g->id);
	GUEST_EQ(rd(LDR), (g->id >> 4) << 16 | 1 << (g->id & 15));
	for (i = 0; i < 0x100; i++) {
		bool reads = i == 2 || i == 3 || i == 8 || i == 0xa || i == 0xd || i == 0xf ||
			(i >= 0x10 && i <= 0x28) || i == 0x30 || (i >= 0x32 && i <= 0x39) ||
			i == 0x3e;
		bool writes = i == 8 || i == 0xb || i == 0xf || i == 0x28 || i == 0x30 ||
			(i >= 0x32 && i <= 0x38) || i == 0x3e || i == 0x3f;

		GUEST_EQ(try_rdmsr(g, 0x800 + i), reads ? -1 : 13);
		/* an error to all but ICR, which takes it as a destination */
		if (i != 0x30)
			GUEST_EQ(try_wrmsr(g, 0x800 + i, 1ULL << 32), 13);
		if (!writes)
			GUEST_EQ(try_wrmsr(g, 0x800 + i, 0), 13);
	}
	GUEST_EQ(try_wrmsr(g, 0x80b, 1), 13);
	GUEST_EQ(try_wrmsr(g, 0x828, 1), 13);
	GUEST_EQ(try_wrmsr(g, 0x808, 0x100), 13);
	GUEST_EQ(try_wrmsr(g, 0x80f, 1 << 13), 13);
	GUEST_EQ(try_wrmsr(g, 0x830, 1 << 13), 13);
	GUEST_EQ(try_wrmsr(g, 0x832, PERIODIC | DEADLINE), 13);
	GUEST_EQ(try_wrmsr(g, 0x833, PERIODIC), 13);
	GUEST_EQ(try_wrmsr(g, 0x83e, 4), 13);
	/* Read-only bits may be written. */
	GUEST_EQ(try_wrmsr(g, 0x835, 0x5700 | MASKED), -1);
	GUEST_EQ(rd(LINT0), 0x700 | MASKED);
	GUEST_EQ(try_wrmsr(g, 0x832, MASKED | 1 << 12), -1);
	GUEST_EQ(rd(LVT_TIMER), MASKED);
	GUEST_EQ(try_wrmsr(g, 0x837, MASKED | 1 << 14), 13);
	GUEST_EQ(try_wrmsr(g, 0x83f, 0x100), 13);
	GUEST_EQ(try_wrmsr(g, 0x838, 0xffffffff), -1);
	GUEST_EQ(try_wrmsr(g, 0x838, 0), -1);
	g_wrmsr(0x830, 0x500000000 | ASSERT | 0x55);
	GUEST_EQ(g_rdmsr(0x830), 0x500000000 | ASSERT | 0x55);
}

TEST(x2apic)
{
	x2apic = true;
	vcpu_finish(make(vm_create(HVX_VM_LAPIC), 0, looks_at_x2apic));
}

TEST(x2apic_id)
{
	struct vcpu *v = make(vm_create(HVX_VM_LAPIC), 37, looks_at_x2apic);

	x2apic = true;
	vcpu_finish(v);
}

GUEST(changes_modes)
{
	const uint64_t base = APIC | BASE_BSP;
	uint32_t r[4];

	GUEST_EQ(g_rdmsr(MSR_APIC_BASE), base | BASE_EN);
	/* EXTD without EN, and bits that are reserved */
	GUEST_EQ(try_wrmsr(g, MSR_APIC_BASE, base | BASE_EXTD), 13);
	GUEST_EQ(try_wrmsr(g, MSR_APIC_BASE, base | BASE_EN | 1 << 9), 13);
	GUEST_EQ(try_wrmsr(g, MSR_APIC_BASE, base | BASE_EN | 1), 13);
	wr(SVR, 0x1f0);
	/* off: it forgets everything, and CPUID shows none */
	GUEST_EQ(try_wrmsr(g, MSR_APIC_BASE, base), -1);
	g_cpuid(1, 0, r);
	GUEST_EQ(r[3] >> 9 & 1, 0);
	GUEST_EQ(try_wrmsr(g, MSR_APIC_BASE, base | BASE_EN | BASE_EXTD), 13);
	GUEST_EQ(try_wrmsr(g, MSR_APIC_BASE, base | BASE_EN), -1);
	g_cpuid(1, 0, r);
	GUEST_EQ(r[3] >> 9 & 1, 1);
	GUEST_EQ(rd(SVR), 0xff);
	wr(SVR, 0x1f1);
	GUEST_EQ(try_wrmsr(g, MSR_APIC_BASE, base | BASE_EN | BASE_EXTD), -1);
	/* what stays over the change, and the way back that there is not */
	GUEST_EQ(g_rdmsr(0x80f), 0x1f1);
	GUEST_EQ(try_wrmsr(g, MSR_APIC_BASE, base | BASE_EN), 13);
	GUEST_EQ(try_wrmsr(g, MSR_APIC_BASE, base), -1);
	GUEST_EQ(try_rdmsr(g, 0x80f), 13);
	GUEST_EQ(try_wrmsr(g, MSR_APIC_BASE, base | BASE_EN), -1);
	GUEST_EQ(rd(SVR), 0xff);
	/* elsewhere in memory */
	GUEST_EQ(try_wrmsr(g, MSR_APIC_BASE, (base - 0x10000) | BASE_EN), -1);
	GUEST_EQ(*(volatile uint32_t *)(APIC - 0x10000 + SVR), 0xff);
	guest_sync(1);
	*(volatile uint32_t *)(APIC + SVR) = 0x123;
}

TEST(modes)
{
	struct vcpu *v = start(changes_modes);

	vcpu_expect_sync(v, 1);
	vcpu_expect(v, HVX_EXIT_MMIO);
	EXPECT_EQ(v->run->mmio.gpa, APIC + SVR);
	vcpu_finish(v);
}

GUEST(has_no_x2apic)
{
	GUEST_EQ(try_wrmsr(g, MSR_APIC_BASE, APIC | BASE_BSP | BASE_EN | BASE_EXTD), 13);
	GUEST_EQ(try_rdmsr(g, MSR_DEADLINE), 13);
	wr(SVR, 0x1ff);
	wr(LVT_TIMER, MASKED | DEADLINE);
	GUEST_EQ(rd(LVT_TIMER), MASKED);
}

/* What CPUID does not have is not there. */
TEST(no_features)
{
	static struct hvx_cpuid_entry table[HVX_MAX_CPUID];
	struct vcpu *v = vcpu_create(vm_create(HVX_VM_LAPIC), 0);
	unsigned int i, n = supported_cpuid(table);

	for (i = 0; i < n; i++) {
		if (table[i].function == 1)
			table[i].ecx &= ~(1U << 21 | 1U << 24);
	}
	REQUIRE(!vcpu_set_cpuid(v, table, n));
	vcpu_setup_long_mode(v, has_no_x2apic);
	vcpu_finish(v);
}

/* ------------------------------------------------------------------ priorities */

static volatile unsigned int order[16], nr_order;

static GUEST_CODE void note(struct gcpu *g, struct gframe *f)
{
	order[nr_order++] = f->vector;
	wr(EOI, 0);
}

/* Lets higher ones in before it ends. */
static GUEST_CODE void nest(struct gcpu *g, struct gframe *f)
{
	order[nr_order++] = f->vector;
	GUEST_ASSERT(isr(f->vector));
	GUEST_ASSERT(!irr(f->vector));
	GUEST_EQ(rd(PPR), f->vector & 0xf0);
	if (f->vector == 0x40) {
		send(0, SH_SELF | 0x4f);	/* same class: has to wait */
		send(0, SH_SELF | 0x80);
		/* on a stack of its own */
		asm volatile("sti; nop; nop; cli" : : : "memory");
		GUEST_ASSERT(irr(0x4f));
		GUEST_ASSERT(!irr(0x80));
	}
	wr(EOI, 0);
	order[nr_order++] = f->vector | 0x100;
}

GUEST(takes_by_priority)
{
	unsigned int i;

	apic_on();
	for (i = 0x30; i < 0x100; i++)
		g->handler[i] = note;
	send(0, SH_SELF | 0x41);
	send(0, SH_SELF | 0xd1);
	send(0, SH_SELF | 0x42);
	send(0, SH_SELF | 0x91);
	send(0, SH_SELF | 0x91);
	GUEST_ASSERT(irr(0x41) && irr(0x42) && irr(0x91) && irr(0xd1));
	wr(TPR, 0x90);
	open_window();
	GUEST_EQ(nr_order, 1);
	GUEST_EQ(order[0], 0xd1);
	G_WRITE_REG(cr8, 4);
	open_window();
	GUEST_EQ(nr_order, 2);
	GUEST_EQ(order[1], 0x91);
	wr(TPR, 0);
	open_window();
	GUEST_EQ(nr_order, 4);
	GUEST_EQ(order[2], 0x42);
	GUEST_EQ(order[3], 0x41);
	GUEST_ASSERT(!irr(0x41) && !isr(0x41));
	wr(EOI, 0);		/* nothing in service */

	nr_order = 0;
	g->handler[0x40] = nest;
	g->handler[0x4f] = nest;
	g->handler[0x80] = nest;
	send(0, SH_SELF | 0x40);
	open_window();
	GUEST_EQ(nr_order, 6);
	GUEST_EQ(order[0], 0x40);
	GUEST_EQ(order[1], 0x80);
	GUEST_EQ(order[2], 0x180);
	GUEST_EQ(order[3], 0x140);
	GUEST_EQ(order[4], 0x4f);
	GUEST_EQ(order[5], 0x14f);
	GUEST_EQ(rd(PPR), 0);
}

BOTH_MODES(priorities)
{
	struct vcpu *v = start(takes_by_priority);
	unsigned int i;

	/* Nested handlers need a stack that entry does not reset. */
	for (i = 0x30; i < 0xf0; i++)
		idt_set(v->g, i, guest_stubs + i * 16, 0, 0);
	vcpu_finish(v);
}

GUEST(sends_errors)
{
	apic_on();
	g->handler[0xee] = eoi;
	wr(LVT_ERROR, 0xee);
	wr(ESR, 0);
	send(0, SH_SELF | 0x0f);
	open_window();
	GUEST_EQ(g->count[0xee], 1);
	GUEST_EQ(rd(ESR), 0);
	wr(ESR, 0);
	GUEST_EQ(rd(ESR) & 0x20, 0x20);
	wr(ESR, 0);
	GUEST_EQ(rd(ESR), 0);
	send(0, SH_SELF | 0x10);
	wr(ESR, 0);
	GUEST_EQ(rd(ESR), 0);
}

BOTH_MODES(illegal_vector)
{
	vcpu_finish(start(sends_errors));
}

/* ----------------------------------------------------------------------- timer */

static volatile uint32_t ticks;

static GUEST_CODE void tick(struct gcpu *g, struct gframe *f)
{
	ticks++;
	wr(EOI, 0);
}

GUEST(counts_once)
{
	uint32_t first, second;

	apic_on();
	g->handler[0x60] = tick;
	wr(TDCR, 0xb);			/* by 1 */
	wr(LVT_TIMER, 0x60);
	wr(TMICT, 0xffffffff);		/* 4 s */
	first = rd(TMCCT);
	second = rd(TMCCT);
	GUEST_ASSERT(first && second < first);
	/* another rate, and the count goes on from where it was */
	wr(TDCR, 0xa);			/* by 128 */
	GUEST_ASSERT(rd(TMCCT) <= second);
	GUEST_ASSERT(rd(TMCCT) > second / 2);
	wr(TMICT, 0);
	GUEST_EQ(rd(TMCCT), 0);
	open_window();
	GUEST_EQ(ticks, 0);
	wr(TDCR, 0xb);
	wr(TMICT, 3000000);
	wait_for(&ticks, 1);
	GUEST_EQ(rd(TMCCT), 0);
	GUEST_EQ(rd(TMICT), 3000000);
	/* masked: it runs and says nothing */
	wr(LVT_TIMER, MASKED | 0x60);
	wr(TMICT, 100000);
	while (rd(TMCCT))
		;
	wr(LVT_TIMER, 0x60);
	open_window();
	GUEST_EQ(ticks, 1);
	/* sleeps until it fires */
	wr(TMICT, 2000000);
	asm volatile("sti; hlt; cli" : : : "memory");
	GUEST_EQ(ticks, 2);
}

BOTH_MODES(timer_oneshot)
{
	vcpu_finish(start(counts_once));
}

GUEST(counts_on)
{
	unsigned int i;

	apic_on();
	g->handler[0x61] = tick;
	wr(TDCR, 0);			/* by 2 */
	wr(LVT_TIMER, PERIODIC | 0x61);
	wr(TMICT, 1000000);		/* 2 ms */
	for (i = 1; i <= 5; i++) {
		wait_for(&ticks, i);
		GUEST_ASSERT(rd(TMCCT) <= 1000000);
	}
	for (i = 0; i < 5; i++)
		asm volatile("sti; hlt; cli" : : : "memory");
	GUEST_ASSERT(ticks >= 10);
	/* a period that no host could keep up with */
	wr(TMICT, 1);
	wait_for(&ticks, ticks + 3);
	/* goes on to its end, and no further */
	wr(LVT_TIMER, 0x61);
	wr(TMICT, 0);
	open_window();
	i = ticks;
	asm volatile("sti; .rept 64; pause; .endr; cli" : : : "memory");
	GUEST_EQ(ticks, i);
}

BOTH_MODES(timer_periodic)
{
	vcpu_finish(start(counts_on));
}

GUEST(waits_for_tsc)
{
	uint64_t at;
	unsigned int i;

	apic_on();
	g->handler[0x62] = tick;
	/* In another mode the MSR is not there to be set. */
	g_wrmsr(MSR_DEADLINE, tsc() + 1000);
	GUEST_EQ(g_rdmsr(MSR_DEADLINE), 0);
	wr(LVT_TIMER, DEADLINE | 0x62);
	wr(TMICT, 1000);
	GUEST_EQ(rd(TMICT), 0);
	GUEST_EQ(rd(TMCCT), 0);
	for (i = 1; i <= 5; i++) {
		at = tsc() + g->arg;
		g_wrmsr(MSR_DEADLINE, at);
		asm volatile("sti; hlt; cli" : : : "memory");
		GUEST_ASSERT(tsc() >= at);
		GUEST_EQ(ticks, i);
		GUEST_EQ(g_rdmsr(MSR_DEADLINE), 0);
	}
	/* in the past: at once */
	g_wrmsr(MSR_DEADLINE, 1);
	GUEST_ASSERT(irr(0x62));
	GUEST_EQ(g_rdmsr(MSR_DEADLINE), 0);
	open_window();
	GUEST_EQ(ticks, 6);
	/* disarmed by 0, and by a change of mode */
	at = tsc() + (1ULL << 40);
	g_wrmsr(MSR_DEADLINE, at);
	GUEST_EQ(g_rdmsr(MSR_DEADLINE), at);
	g_wrmsr(MSR_DEADLINE, 0);
	GUEST_EQ(g_rdmsr(MSR_DEADLINE), 0);
	g_wrmsr(MSR_DEADLINE, at);
	wr(LVT_TIMER, 0x62);
	GUEST_EQ(g_rdmsr(MSR_DEADLINE), 0);
	/* A TSC that moves takes the deadline along. */
	wr(LVT_TIMER, DEADLINE | 0x62);
	g_wrmsr(MSR_DEADLINE, at);
	g_wrmsr(0x10, at + 1);
	GUEST_ASSERT(irr(0x62));
	open_window();
	GUEST_EQ(ticks, 7);
}

BOTH_MODES(timer_deadline)
{
	struct vcpu *v = start(waits_for_tsc);

	v->g->arg = hvx_cap(HVX_CAP_TSC_KHZ);	/* 1 ms */
	if (!v->g->arg)
		SKIP("the host does not know the rate of its TSC");
	vcpu_finish(v);
}

/* ------------------------------------------------------------ messages between vCPUs */

static volatile uint32_t ready, stop;

static void *run_to_end(void *arg)
{
	vcpu_finish(arg);
	return NULL;
}

/* Both to their end */
static void run_both(struct vcpu *a, struct vcpu *b)
{
	pthread_t thread;

	REQUIRE(!pthread_create(&thread, NULL, run_to_end, b));
	vcpu_finish(a);
	pthread_join(thread, NULL);
}

static struct gcpu *other;

GUEST(receives)
{
	unsigned int i;

	apic_on();
	if (!x2apic) {
		wr(DFR, ~0U);
		wr(LDR, 2U << 24);
	}
	for (i = 0x20; i < 0x100; i++)
		g->handler[i] = eoi;
	ready = 1;
	while (!stop)
		asm volatile("sti; hlt; cli" : : : "memory");
}

static GUEST_CODE void sent(struct gcpu *g, uint32_t dest, uint32_t icr, unsigned int here,
			    unsigned int there)
{
	static uint32_t had[2][256];
	unsigned int vec = icr & 0xff;

	send(dest, icr);
	open_window();
	if (here)
		wait_for(&g->count[vec], had[0][vec] + here);
	if (there)
		wait_for(&other->count[vec], had[1][vec] + there);
	had[0][vec] += here;
	had[1][vec] += there;
	GUEST_EQ(g->count[vec], had[0][vec]);
	GUEST_EQ(other->count[vec], had[1][vec]);
}

GUEST(sends)
{
	const uint32_t me = x2apic ? 1 : 1, you = 2, all = x2apic ? ~0U : 0xff;
	unsigned int i;

	apic_on();
	if (!x2apic) {
		wr(DFR, ~0U);
		wr(LDR, 1U << 24);
	}
	for (i = 0x20; i < 0x100; i++)
		g->handler[i] = eoi;
	while (!ready)
		asm volatile("pause");
	for (i = 0; i < 20; i++)
		sent(g, 1, 0x31 + i, 0, 1);
	sent(g, 0, 0x50, 1, 0);
	sent(g, 1, 0x51 | ASSERT, 0, 1);
	sent(g, 7, 0x52, 0, 0);
	sent(g, all, 0x53, 1, 1);
	sent(g, 0, 0x54 | SH_SELF, 1, 0);
	sent(g, 0, 0x55 | SH_ALL, 1, 1);
	sent(g, 0, 0x56 | SH_OTHERS, 0, 1);
	sent(g, me, 0x57 | LOGICAL, 1, 0);
	sent(g, you, 0x58 | LOGICAL, 0, 1);
	sent(g, me | you, 0x59 | LOGICAL, 1, 1);
	sent(g, 4, 0x5a | LOGICAL, 0, 0);
	sent(g, all, 0x5b | LOGICAL, 1, 1);
	/* lowest priority: one of the two */
	sent(g, you, 0x5c | LOGICAL | DM_LOWEST, 0, 1);
	send(me | you, 0x5d | LOGICAL | DM_LOWEST);
	while (g->count[0x5d] + other->count[0x5d] < 1)
		open_window();
	open_window();
	GUEST_EQ(g->count[0x5d] + other->count[0x5d], 1);
	if (!x2apic) {
		/* clusters of four */
		wr(DFR, 0x0fffffff);
		wr(LDR, 0x21U << 24);
		sent(g, 0x21, 0x60 | LOGICAL, 1, 0);
		sent(g, 0x2f, 0x61 | LOGICAL, 1, 1);	/* bit 1 is the flat one's, too */
		sent(g, 0x31, 0x62 | LOGICAL, 0, 0);
	} else {
		g_wrmsr(0x83f, 0x63);
		open_window();
		GUEST_EQ(g->count[0x63], 1);
		sent(g, 0x10001, 0x64 | LOGICAL, 0, 0);
		sent(g, 0xff, 0x65, 0, 0);
	}
	/* the other one has all masked but NMI */
	send(1, DM_NMI);
	while (!other->count[2])
		asm volatile("pause");
	sent(g, 1, 0x70, 0, 1);
	stop = 1;
	send(1, 0x71);
}

BOTH_MODES(ipi)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC);
	struct vcpu *a = make(vm, 0, sends), *b = make(vm, 1, receives);

	other = b->g;
	run_both(a, b);
	EXPECT_EQ(b->g->count[2], 1);
	EXPECT_EQ(b->g->count[0x70], 1);
}

/* ---------------------------------------------------------------- INIT and STARTUP */

extern char lapic_ap[], lapic_ap_end[];	/* guest/lapic.S */

struct ap_note {
	uint16_t cs, starts;
	uint32_t edx, cr0;
	uint16_t done;
} __attribute__((packed));

static GUEST_CODE volatile struct ap_note *ap_note(unsigned int vector)
{
	return (void *)((uintptr_t)vector * 0x1000 + 0x100);
}

static GUEST_CODE void wait_ap(unsigned int vector)
{
	while (ap_note(vector)->done != 0x7e)
		asm volatile("pause");
}

GUEST(starts_another)
{
	unsigned int i;

	apic_on();
	/* Nothing starts a processor that has had no INIT. */
	send(1, DM_STARTUP | 0x09);
	for (i = 0; i < 1000; i++)
		asm volatile("pause");
	GUEST_EQ(ap_note(9)->starts, 0);
	send(1, DM_INIT | LEVEL | ASSERT);
	send(1, DM_INIT | LEVEL);		/* de-assert: nothing */
	send(1, DM_STARTUP | 0x08);
	wait_ap(8);
	GUEST_EQ(ap_note(8)->cs, 0x800);
	GUEST_EQ(ap_note(8)->starts, 1);
	GUEST_EQ(ap_note(8)->cr0 & 0x1fffffff, 0x10);
	GUEST_ASSERT(ap_note(8)->edx);
	/* The second one that the manual recommends finds it running. */
	send(1, DM_STARTUP | 0x09);
	/* INIT stops it wherever it is. */
	send(1, DM_INIT | ASSERT);
	send(1, DM_STARTUP | 0x0a);
	wait_ap(10);
	GUEST_EQ(ap_note(10)->cs, 0xa00);
	GUEST_EQ(ap_note(8)->starts, 1);
	GUEST_EQ(ap_note(9)->starts, 0);
	guest_sync(1);
}

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
	signals++;
}

static void catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGUSR1, &sa, NULL);
}

static volatile bool quit;

static void *run_until_quit(void *arg)
{
	struct vcpu *v = arg;

	while (!quit) {
		int ret = vcpu_run_once(v);

		if (!EXPECT(ret == -EINTR, "%d", ret))
			break;
	}
	return NULL;
}

BOTH_MODES(init_sipi)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC);
	struct vcpu *v = make(vm, 0, starts_another), *ap = make(vm, 1, NULL);
	pthread_t thread;
	unsigned int i;

	for (i = 8; i <= 10; i++)
		vm_load(vm, i * 0x1000, lapic_ap, lapic_ap_end);
	vcpu_get(ap, HVX_REGS_ALL);
	EXPECT_EQ(ap->run->event.activity, HVX_WAIT_FOR_INIT);
	catch_signals();
	REQUIRE(!pthread_create(&thread, NULL, run_until_quit, ap));
	vcpu_expect_sync(v, 1);
	quit = true;
	while (pthread_tryjoin_np(thread, NULL)) {
		pthread_kill(thread, SIGUSR1);
		usleep(1000);
	}
	vcpu_get(ap, HVX_REGS_ALL);
	EXPECT_EQ(ap->run->event.activity, HVX_ACTIVE);
	EXPECT_EQ(ap->run->seg.seg[HVX_CS].selector, 0xa00);
	EXPECT_EQ(ap->run->seg.seg[HVX_CS].base, 0xa000);
	vcpu_finish(v);
}

/* -------------------------------------------------------- waiting in the kernel, and MSIs */

GUEST(sleeps)
{
	unsigned int i;

	apic_on();
	for (i = 0x20; i < 0x100; i++)
		g->handler[i] = eoi;
	ready = 1;
	while (!stop) {
		asm volatile("sti; hlt; cli" : : : "memory");
		g->arg++;
	}
}

static void *run_vcpu(void *arg)
{
	while (!quit) {
		int ret = vcpu_run_once(arg);

		if (ret == -EINTR)
			continue;
		EXPECT(ret == HVX_EXIT_IO, "%s", exit_name(ret));
		break;
	}
	return NULL;
}

static void await(volatile uint32_t *count, uint32_t n)
{
	unsigned long long begin = now_ms();

	while (*count < n && keep_on(begin, 1000, *count >= n))
		usleep(1000);
	EXPECT_EQ(*count, n);
}

BOTH_MODES(msi)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC);
	struct vcpu *v = make(vm, 0, sleeps);
	pthread_t thread;
	unsigned int i;

	REQUIRE(!pthread_create(&thread, NULL, run_vcpu, v));
	await(&ready, 1);
	for (i = 0; i < 20; i++) {
		EXPECT_EQ(msi(vm, APIC, 0x31 + i), 1);
		await(&v->g->count[0x31 + i], 1);
		usleep(i * 100);
	}
	/* broadcast, no such APIC, illegal vector, no such delivery mode */
	EXPECT_EQ(msi(vm, APIC | 0xff000, 0x50), 1);
	await(&v->g->count[0x50], 1);
	EXPECT_EQ(msi(vm, APIC | 0x1000, 0x51), 0);
	EXPECT_EQ(msi(vm, APIC | 1ULL << 40, 0x51), 0);
	EXPECT_EQ(msi(vm, APIC, 0x0f), 0);
	EXPECT_EQ(msi(vm, APIC, 0x251), 0);
	EXPECT_EQ(msi(vm, APIC, 0x351), 0);
	/* redirection hint */
	EXPECT_EQ(msi(vm, APIC | 0xff008, 0x52), 1);
	await(&v->g->count[0x52], 1);
	/* NMI */
	EXPECT_EQ(msi(vm, APIC, 0x400), 1);
	await(&v->g->count[2], 1);
	EXPECT_EQ(v->g->count[0x51], 0);
	stop = 1;
	EXPECT_EQ(msi(vm, APIC, 0x53), 1);
	pthread_join(thread, NULL);
	EXPECT_EQ(v->g->arg >= 20, 1);
}

/* A signal ends HVX_RUN and not HLT. */
TEST(signal_in_hlt)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC);
	struct vcpu *v = make(vm, 0, sleeps);
	unsigned int i;
	timer_t timer;
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec each = { { 0, 20000000 }, { 0, 20000000 } };

	catch_signals();
	REQUIRE(!timer_create(CLOCK_MONOTONIC, &ev, &timer));
	timer_settime(timer, 0, &each, NULL);
	for (i = 0; i < 5 || !ready; i++) {
		EXPECT_EQ(vcpu_run_once(v), -EINTR);
		EXPECT_EQ(v->run->exit_reason, HVX_EXIT_INTERRUPTED);
	}
	EXPECT_EQ(v->g->arg, 0);
	vcpu_get(v, HVX_REGS_EVENT);
	EXPECT_EQ(v->run->event.halted, 1);
	EXPECT_EQ(v->run->if_flag, 1);
	/* a window is open in HLT, and does not end it */
	v->run->irq_window = 1;
	EXPECT_EQ(vcpu_run(v), HVX_EXIT_IRQ_WINDOW);
	v->run->irq_window = 0;
	EXPECT_EQ(v->g->arg, 0);
	/* an event of the VMM ends it */
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_NMI, 0), 0);
	while (!v->g->arg)
		EXPECT_EQ(vcpu_run_once(v), -EINTR);
	EXPECT_EQ(v->g->count[2], 1);
	EXPECT_EQ(v->g->arg, 1);
	/* so does the VMM itself */
	vcpu_get(v, HVX_REGS_EVENT);
	while (!v->run->event.halted) {
		EXPECT_EQ(vcpu_run_once(v), -EINTR);
		vcpu_get(v, HVX_REGS_EVENT);
	}
	v->run->event.halted = 0;
	v->run->regs_dirty = HVX_REGS_EVENT;
	stop = 1;
	vcpu_finish(v);
	EXPECT_EQ(v->g->arg, 2);
}

GUEST(halts_deaf)
{
	apic_on();
	g->handler[0x40] = eoi;
	send(0, SH_SELF | 0x40);
	asm volatile("cli; hlt" : : : "memory");
	GUEST_EQ(g->count[2], 1);
	GUEST_EQ(g->count[0x40], 0);
	open_window();
	GUEST_EQ(g->count[0x40], 1);
}

/* With IF=0 only an NMI ends HLT. */
TEST(hlt_masked)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC);
	struct vcpu *v = make(vm, 0, halts_deaf);
	pthread_t thread;

	x2apic = true;
	REQUIRE(!pthread_create(&thread, NULL, run_to_end, v));
	usleep(50000);
	EXPECT_EQ(msi(vm, APIC, 0x400), 1);
	pthread_join(thread, NULL);
}

TEST(msi_errors)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC), *bare = vm_create(0);
	struct hvx_msi m = { .size = sizeof(m), .address = APIC, .reserved = 1 };

	EXPECT_EQ(xioctl(vm->fd, HVX_SIGNAL_MSI, &m), -EINVAL);
	EXPECT_EQ(msi(bare, APIC, 0x40), -EOPNOTSUPP);
	EXPECT_EQ(msi(vm, 0, 0x40), -EINVAL);
	EXPECT_EQ(msi(vm, APIC + 0x100000, 0x40), -EINVAL);
	EXPECT_EQ(msi(vm, APIC | 1ULL << 32, 0x40), -EINVAL);
	EXPECT_EQ(msi(vm, APIC, 0x40), 0);		/* no vCPU yet */
	vcpu_create(vm, 0);
	EXPECT_EQ(msi(vm, APIC, 0x40), 0);		/* switched off by software */
	EXPECT_EQ(msi(vm, APIC, 0x440), 1);
	EXPECT_EQ(msi(vm, APIC, 0x440), 0);		/* waits already */
}

/* --------------------------------------------------- level-triggered interrupts, EOI */

GUEST(ends_level)
{
	apic_on();
	g->handler[0x51] = eoi;
	g->handler[0x52] = eoi;
	guest_sync(1);
	GUEST_ASSERT(rd(TMR + 0x20) & 1 << 0x11);
	open_window();
	GUEST_EQ(g->count[0x51], 1);
	GUEST_ASSERT(!isr(0x51));
	guest_sync(2);
	/* An edge takes the vector over. */
	GUEST_ASSERT(!(rd(TMR + 0x20) & 1 << 0x11));
	open_window();
	GUEST_EQ(g->count[0x51], 2);
	guest_sync(3);
	/* The guest tells the I/O APIC itself. */
	GUEST_EQ(rd(VERSION) >> 24 & 1, 1);
	wr(SVR, 0x1ff | 1 << 12);
	open_window();
	GUEST_EQ(g->count[0x52], 1);
}

/* The I/O APIC is in user space: it is told of EOIs of what came as level-triggered. */
BOTH_MODES(eoi_exit)
{
	struct vm *vm = vm_create(HVX_VM_LAPIC);
	struct vcpu *v = make(vm, 0, ends_level);

	vcpu_expect_sync(v, 1);
	EXPECT_EQ(msi(vm, APIC, 0xc051), 1);
	vcpu_expect(v, HVX_EXIT_EOI);
	EXPECT_EQ(v->run->eoi.vector, 0x51);
	vcpu_expect_sync(v, 2);
	EXPECT_EQ(msi(vm, APIC, 0x51), 1);
	vcpu_expect_sync(v, 3);
	EXPECT_EQ(msi(vm, APIC, 0xc052), 1);
	vcpu_finish(v);
}

/* ----------------------------------------------------------------------- state */

static uint8_t image[65536] __attribute__((aligned(8)));

static int blob(struct vcpu *v, unsigned long nr, uint32_t *len)
{
	struct hvx_blob b = { .size = sizeof(b), .len = *len, .data = (uintptr_t)image };
	int ret = xioctl(v->fd, nr, &b);

	*len = b.len;
	return ret;
}

/* The section of the local APIC in the image */
static struct hvx_lapic_state *lapic_section(void)
{
	struct hvx_state_header *h = (void *)image;
	uint8_t *at = image + sizeof(*h);
	unsigned int i;

	for (i = 0; i < h->nr_sections; i++) {
		struct hvx_state_section *s = (void *)at;

		at += sizeof(*s);
		if (s->id == HVX_STATE_LAPIC) {
			EXPECT_EQ(s->len, sizeof(struct hvx_lapic_state));
			return (void *)at;
		}
		at += s->len;
	}
	return NULL;
}

/* A new vCPU in a new VM goes on where this one was. */
static struct vcpu *move(struct vcpu *v)
{
	struct vcpu *next = make(vm_create(HVX_VM_LAPIC), v->id, NULL);
	uint32_t len = sizeof(image);

	REQUIRE(!blob(v, HVX_GET_STATE, &len));
	REQUIRE(!blob(next, HVX_SET_STATE, &len));
	next->g = v->g;
	vm_destroy(v->vm);
	vcpu_destroy(v);
	return next;
}

GUEST(is_moved)
{
	uint32_t before;
	uint64_t at;

	apic_on();
	g->handler[0x55] = eoi;
	g->handler[0x66] = tick;
	if (!x2apic) {
		wr(DFR, 0x0fffffff);
		wr(LDR, 0x35U << 24);
	}
	wr(LINT1, 0x400);
	wr(TPR, 0x12);
	send(0, SH_SELF | 0x55);
	wr(TDCR, 0xb);
	wr(LVT_TIMER, 0x66);
	wr(TMICT, 0xf0000000);
	before = rd(TMCCT);
	guest_sync(1);
	GUEST_ASSERT(irr(0x55));
	GUEST_EQ(rd(TPR), 0x12);
	GUEST_EQ(G_READ_REG(cr8), 1);
	GUEST_EQ(rd(SVR), 0x1ff);
	GUEST_EQ(rd(LINT1), 0x400);
	GUEST_EQ(rd(TMICT), 0xf0000000);
	GUEST_ASSERT(rd(TMCCT) <= before && rd(TMCCT) > before / 8);
	GUEST_EQ(rd(ID), 0);
	if (!x2apic)
		GUEST_EQ(rd(LDR), 0x35U << 24);
	open_window();
	GUEST_EQ(g->count[0x55], 1);
	/* one that is about to fire */
	wr(TMICT, 5000000);
	guest_sync(2);
	wait_for(&ticks, 1);
	wr(LVT_TIMER, PERIODIC | 0x66);
	wr(TMICT, 3000000);
	guest_sync(3);
	wait_for(&ticks, 4);
	/* and at a time of the TSC, which goes on in the new VM */
	wr(LVT_TIMER, DEADLINE | 0x66);
	before = ticks;
	at = tsc() + g->arg;
	g_wrmsr(MSR_DEADLINE, at);
	guest_sync(4);
	wait_for(&ticks, before + 1);
	GUEST_ASSERT(tsc() >= at);
	GUEST_EQ(g_rdmsr(MSR_DEADLINE), 0);
}

BOTH_MODES(state)
{
	struct vcpu *v = start(is_moved);
	unsigned int i;

	v->g->arg = 300ULL * hvx_cap(HVX_CAP_TSC_KHZ);	/* 300 ms */
	if (!v->g->arg)
		SKIP("the host does not know the rate of its TSC");
	for (i = 1; i <= 4; i++) {
		vcpu_expect_sync(v, i);
		v = move(v);
	}
	vcpu_finish(v);
}

static GUEST_CODE void sync_in_service(struct gcpu *g, struct gframe *f)
{
	guest_sync(1);
	GUEST_ASSERT(isr(0x50));
	GUEST_EQ(rd(PPR), 0x50);
	wr(EOI, 0);
	GUEST_ASSERT(!isr(0x50));
}

GUEST(moved_in_service)
{
	apic_on();
	g->handler[0x50] = sync_in_service;
	send(0, SH_SELF | 0x50);
	open_window();
	GUEST_EQ(g->count[0x50], 1);
}

BOTH_MODES(state_in_service)
{
	struct vcpu *v = start(moved_in_service);

	vcpu_expect_sync(v, 1);
	v = move(v);
	vcpu_finish(v);
}

/* A vCPU that waits for its start, or sleeps, does so after a move. */
TEST(state_activity)
{
	struct vcpu *v = make(vm_create(HVX_VM_LAPIC), 3, NULL);
	struct hvx_events *e;

	vcpu_get(v, HVX_REGS_ALL);
	EXPECT_EQ(v->run->event.activity, HVX_WAIT_FOR_INIT);
	/* INIT that has not been taken yet is taken for the image. */
	EXPECT_EQ(msi(v->vm, APIC | 3 << 12, 0x4500), 1);
	v->g = NULL;
	v = move(v);
	vcpu_get(v, HVX_REGS_ALL);
	e = &v->run->event;
	EXPECT_EQ(e->activity, HVX_WAIT_FOR_SIPI);
	EXPECT_EQ(e->sipi_pending, 0);
	EXPECT_EQ(msi(v->vm, APIC | 3 << 12, 0x400), 1);
	vcpu_get(v, HVX_REGS_ALL);
	EXPECT_EQ(e->nmi_pending, 1);
	/* STARTUP by the VMM */
	e->sipi_pending = 1;
	e->sipi_vector = 0x12;
	e->nmi_pending = 0;
	vcpu_set(v, HVX_REGS_EVENT);
	vcpu_get(v, HVX_REGS_ALL);
	EXPECT_EQ(e->sipi_vector, 0x12);
	v = move(v);
	vcpu_get(v, HVX_REGS_ALL);
	EXPECT_EQ(v->run->event.activity, HVX_ACTIVE);
	EXPECT_EQ(v->run->seg.seg[HVX_CS].selector, 0x1200);
	EXPECT_EQ(v->run->seg.seg[HVX_CS].base, 0x12000);
	EXPECT_EQ(v->run->regs.rip, 0);
}

static void expect_refused(struct vcpu *v, const char *what, unsigned int word, uint32_t value)
{
	struct hvx_lapic_state *s;
	uint32_t len = sizeof(image);

	REQUIRE(!blob(v, HVX_GET_STATE, &len));
	s = lapic_section();
	REQUIRE(s, "no section");
	((uint32_t *)s)[word] = value;
	EXPECT(blob(v, HVX_SET_STATE, &len) == -EINVAL, "%s", what);
}

TEST(state_errors)
{
	struct vcpu *v = make(vm_create(HVX_VM_LAPIC), 2, NULL), *bare;
	uint32_t len = sizeof(image);

	expect_refused(v, "another ID", ID / 4, 3 << 24);
	expect_refused(v, "reserved bits of SVR", SVR / 4, 1 << 13);
	expect_refused(v, "reserved bits of LVT", LVT_THERMAL / 4, PERIODIC);
	expect_refused(v, "vector 15", IRR / 4, 1 << 15);
	expect_refused(v, "vector 0 in service", ISR / 4, 1);
	expect_refused(v, "TPR", TPR / 4, 0x100);
	expect_refused(v, "divisor", TDCR / 4, 4);
	expect_refused(v, "word that is no register", TPR / 4 + 1, 1);
	expect_refused(v, "register that does not exist", 0x40 / 4, 1);
	expect_refused(v, "reserved field", sizeof(struct hvx_lapic_state) / 4 - 1, 1);
	REQUIRE(!blob(v, HVX_GET_STATE, &len));
	EXPECT_EQ(blob(v, HVX_SET_STATE, &len), 0);
	bare = vcpu_create(vm_create(0), 2);
	EXPECT_EQ(blob(bare, HVX_SET_STATE, &len), -EINVAL);
	len = sizeof(image);
	REQUIRE(!blob(bare, HVX_GET_STATE, &len));
	EXPECT(!lapic_section());
}

TEST(activity_errors)
{
	struct vcpu *v = make(vm_create(HVX_VM_LAPIC), 0, NULL);
	struct vcpu *bare = vcpu_create(vm_create(0), 0);
	struct hvx_events *e = &v->run->event;

	vcpu_get(v, HVX_REGS_ALL);
	e->activity = 3;
	EXPECT_EQ(xioctl(v->fd, HVX_SET_REGS, (void *)HVX_REGS_EVENT), -EINVAL);
	e->activity = HVX_ACTIVE;
	e->sipi_pending = 1;
	EXPECT_EQ(xioctl(v->fd, HVX_SET_REGS, (void *)HVX_REGS_EVENT), -EINVAL);
	e->activity = HVX_WAIT_FOR_INIT;
	EXPECT_EQ(xioctl(v->fd, HVX_SET_REGS, (void *)HVX_REGS_EVENT), -EINVAL);
	e->activity = HVX_WAIT_FOR_SIPI;
	EXPECT_EQ(xioctl(v->fd, HVX_SET_REGS, (void *)HVX_REGS_EVENT), 0);
	vcpu_get(bare, HVX_REGS_ALL);
	bare->run->event.activity = HVX_WAIT_FOR_INIT;
	EXPECT_EQ(xioctl(bare->fd, HVX_SET_REGS, (void *)HVX_REGS_EVENT), -EINVAL);
	/* modes that do not exist */
	vcpu_get(v, HVX_REGS_ALL);
	v->run->ctrl.apic_base = APIC | BASE_EXTD;
	EXPECT_EQ(xioctl(v->fd, HVX_SET_REGS, (void *)HVX_REGS_CTRL), -EINVAL);
	v->run->ctrl.apic_base = APIC | BASE_EN | 1 << 9;
	EXPECT_EQ(xioctl(v->fd, HVX_SET_REGS, (void *)HVX_REGS_CTRL), -EINVAL);
	v->run->ctrl.apic_base = APIC | BASE_EN | BASE_EXTD;
	EXPECT_EQ(xioctl(v->fd, HVX_SET_REGS, (void *)HVX_REGS_CTRL), 0);
	/* Its registers are not the VMM's to write as MSRs. */
	EXPECT_EQ(vcpu_set_msr(v, 0x808, 0), 0);
}
