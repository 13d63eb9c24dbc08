// SPDX-License-Identifier: GPL-2.0-only
/*
 * lapic: local APICs in the kernel: registers in both modes, priorities, the timer. Without them no
 * system of today starts. Messages and waiting are in lapic_messages.c, the image in lapic_state.c.
 *
 * Tests run in xAPIC mode, in x2APIC mode, or in both.
 */
#define _GNU_SOURCE
#include <errno.h>

#include "apic.h"

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

GUEST(looks_at_x2apic)
{
	uint64_t val;
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

		GUEST_EQ(try_rdmsr(g, 0x800 + i, &val), reads ? -1 : 13);
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
	uint64_t val;
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
	GUEST_EQ(try_rdmsr(g, 0x80f, &val), 13);
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
	uint64_t val;

	GUEST_EQ(try_wrmsr(g, MSR_APIC_BASE, APIC | BASE_BSP | BASE_EN | BASE_EXTD), 13);
	GUEST_EQ(try_rdmsr(g, MSR_DEADLINE, &val), 13);
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
