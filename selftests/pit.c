// SPDX-License-Identifier: GPL-2.0-only
/*
 * pit: the 8254 and port 0x61 in the kernel, seen by a guest that programs them. Without it guests
 * cannot calibrate their clocks, and BIOSes and old kernels have no time at all.
 *
 * Time is that of a host that may be slow or busy: it is never shorter than asked for, and only
 * where nothing can come between is it compared with the other side.
 */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "irq.h"

#define HZ		1193182
#define VEC		0x71

static volatile uint32_t ticks;

static GUEST_CODE void on_tick(struct gcpu *g, struct gframe *f)
{
	ticks++;
	g_eoi();
}

static struct vcpu *start(guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(VM_CHIPS), 0);

	vcpu_setup_long_mode(v, fn);
	v->g->handler[VEC] = on_tick;
	return v;
}

static GUEST_CODE void load(unsigned int n, uint8_t mode, uint16_t count)
{
	g_outb(0x43, n << 6 | 0x30 | mode << 1);
	g_outb(0x40 + n, count);
	g_outb(0x40 + n, count >> 8);
}

static GUEST_CODE uint16_t latched(unsigned int n)
{
	uint8_t low;

	g_outb(0x43, n << 6);
	low = g_inb(0x40 + n);
	return low | g_inb(0x40 + n) << 8;
}

static GUEST_CODE uint8_t status(unsigned int n)
{
	g_outb(0x43, 0xe0 | 2 << n);
	return g_inb(0x40 + n);
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ULL + t.tv_nsec / 1000;
}

/* ------------------------------------------------------------------------- registers */

GUEST(access_guest)
{
	uint16_t a, b;

	/* A control word without a count: nothing loaded, OUT low in mode 0 and high in others */
	g_outb(0x43, 0x30);
	GUEST_EQ(status(0), 0x70);
	g_outb(0x43, 0x34);
	GUEST_EQ(status(0), 0xf4);
	load(0, 2, 0);
	GUEST_EQ(status(0) & 0x7f, 0x34);
	/* The counter goes down, and a latch holds what it was */
	load(0, 0, 0xffff);
	g_outb(0x43, 0);
	a = g_inb(0x40);
	g_outb(0x43, 0);
	a |= g_inb(0x40) << 8;
	b = latched(0);
	GUEST_ASSERT(b < a);
	/* One byte alone */
	g_outb(0x43, 0x10 | 4);
	g_outb(0x40, 200);
	GUEST_ASSERT(g_inb(0x40) <= 200);
	GUEST_EQ(status(0) & 0x7f, 0x14);
	g_outb(0x43, 0x20 | 4);
	g_outb(0x40, 0xff);
	GUEST_ASSERT(g_inb(0x40) >= 0xc0);
	/* Status comes before the count when both are latched */
	load(1, 0, 0x4000);
	g_outb(0x43, 0xc0 | 4);
	GUEST_EQ(g_inb(0x41) & 0x7f, 0x30);
	a = g_inb(0x41);
	a |= g_inb(0x41) << 8;
	GUEST_ASSERT(a <= 0x4000 && a > 0);
	/* Decimal */
	g_outb(0x43, 0x35);
	g_outb(0x40, 0x00);
	g_outb(0x40, 0x90);
	a = latched(0);
	GUEST_ASSERT(a <= 0x9000);
	GUEST_ASSERT((a & 15) < 10 && (a >> 4 & 15) < 10 && (a >> 8 & 15) < 10);
	/* There is nothing to be read from the control port */
	GUEST_EQ(g_inb(0x43), 0xff);
}

TEST(access)
{
	vcpu_finish(start(access_guest));
}

/* As kernels calibrate: channel 2 counts down behind its gate, OUT is at port 0x61. */
GUEST(speaker_guest)
{
	uint16_t a;
	unsigned int i, toggles = 0;
	uint8_t before;

	g_outb(0x61, g_inb(0x61) & ~3);
	load(2, 0, 0x2000);
	/* The gate is shut: it stands still */
	a = latched(2);
	for (i = 0; i < 1000; i++)
		asm volatile("pause");
	GUEST_EQ(latched(2), a);
	GUEST_EQ(g_inb(0x61) & 0x23, 0);
	guest_sync(1);
	g_outb(0x61, 1);
	while (!(g_inb(0x61) & 0x20))
		;
	guest_sync(2);
	GUEST_EQ(g_inb(0x61) & 3, 1);
	GUEST_EQ(status(2) & 0x80, 0x80);
	/* Stopped in between, it goes on where it was */
	load(2, 0, 0xffff);
	g_outb(0x61, 0);
	a = latched(2);
	guest_sync(3);
	GUEST_EQ(latched(2), a);
	g_outb(0x61, 1);
	GUEST_ASSERT(latched(2) <= a);
	/* Mode 1 and 5 wait for the gate to rise; mode 1 is low until the end */
	g_outb(0x61, 0);
	load(2, 1, 0x8000);
	GUEST_EQ(g_inb(0x61) & 0x20, 0x20);
	g_outb(0x61, 1);
	GUEST_EQ(g_inb(0x61) & 0x20, 0);
	while (!(g_inb(0x61) & 0x20))
		;
	/* Modes 2 and 3 are high while the gate is shut */
	load(2, 3, 0x1000);
	g_outb(0x61, 2);
	GUEST_EQ(g_inb(0x61) & 0x23, 0x22);
	g_outb(0x61, 3);
	while (g_inb(0x61) & 0x20)
		;
	while (!(g_inb(0x61) & 0x20))
		;
	/* Refresh toggles */
	before = g_inb(0x61);
	for (i = 0; i < 100000 && toggles < 4; i++) {
		uint8_t now = g_inb(0x61);

		toggles += (now ^ before) >> 4 & 1;
		before = now;
	}
	GUEST_EQ(toggles, 4);
}

TEST(speaker)
{
	struct vcpu *v = start(speaker_guest);
	uint64_t from;

	vcpu_expect_sync(v, 1);
	from = now_us();
	vcpu_expect_sync(v, 2);
	EXPECT(now_us() - from >= 0x2000 * 1000000ULL / HZ - 1);
	vcpu_expect_sync(v, 3);
	vcpu_finish(v);
}

/* ------------------------------------------------------------------------- interrupts */

#define NR	40

GUEST(periodic)
{
	uint32_t period;

	g_lapic_enable();
	g_ioapic_route(2, VEC, 0);
	guest_sync(0);
	load(0, g->arg & 0xff, g->arg >> 8);
	while (ticks < NR)
		g_hlt();
	guest_sync(1);
	/* A control word ends it */
	g_outb(0x43, 0x34);
	g_take_irqs();
	period = ticks;
	guest_sync(2);
	g_take_irqs();
	GUEST_EQ(ticks, period);
}

static void check_periodic(uint8_t mode, uint16_t count, uint64_t period_us)
{
	struct vcpu *v = start(periodic);
	uint64_t from;

	ticks = 0;
	v->g->arg = mode | count << 8;
	vcpu_expect_sync(v, 0);
	from = now_us();
	vcpu_expect_sync(v, 1);
	from = now_us() - from;
	/* Late ones merge, early ones do not exist; the first may be late and the second is not */
	EXPECT(from >= (NR - 1) * period_us, "%lu us", from);
	vcpu_expect_sync(v, 2);
	usleep(20000);
	vcpu_finish(v);
	vcpu_destroy(v);
}

TEST(periodic)
{
	check_periodic(2, 5966, 5000);
	check_periodic(3, 5966, 5000);
	check_periodic(6, 5966, 5000);
}

/* As fast as it goes: not faster than documented */
TEST(clamped)
{
	check_periodic(2, 2, 200);
	check_periodic(3, 100, 200);
}

GUEST(one_shot)
{
	g_lapic_enable();
	g_ioapic_route(2, VEC, 0);
	load(0, g->arg, 6000);
	g_hlt();
	GUEST_EQ(ticks, 1);
	guest_sync(1);
	g_take_irqs();
	GUEST_EQ(ticks, 1);
	/* Stopped half way, by the first byte of a new count or a control word */
	load(0, g->arg, 20000);
	g_outb(0x43, 0x30 | g->arg << 1);
	guest_sync(2);
	g_take_irqs();
	GUEST_EQ(ticks, 1);
	/* Without a trigger modes 1 and 5 never end: the gate of channel 0 is wired */
	load(0, g->arg + 1, 1000);
	guest_sync(3);
	g_take_irqs();
	GUEST_EQ(ticks, 1);
}

static void check_one_shot(uint8_t mode)
{
	struct vcpu *v = start(one_shot);
	unsigned int i;

	ticks = 0;
	v->g->arg = mode;
	for (i = 1; i <= 3; i++) {
		vcpu_expect_sync(v, i);
		usleep(30000);
	}
	vcpu_finish(v);
}

TEST(one_shot)
{
	check_one_shot(0);
	check_one_shot(4);
}

/* Through the 8259s as well, as BIOSes want it */
GUEST(through_pic)
{
	g_lapic_enable();
	g_mmio_write(LAPIC + LAPIC_LVT0, 0x700);
	g_outb(0x20, 0x11);
	g_outb(0x21, VEC & ~7);
	g_outb(0x21, 4);
	g_outb(0x21, 3);	/* automatic EOI */
	load(0, 2, 5966);
	while (g->count[VEC & ~7] < 5)
		g_hlt();
}

TEST(through_the_pair)
{
	vcpu_finish(start(through_pic));
}

/* The VM ends while the timer runs, again and again. */
GUEST(leaves_it_running)
{
	load(0, 2, 300);
}

TEST(ends_while_it_runs)
{
	unsigned int i;

	for (i = 0; i < 50; i++) {
		struct vcpu *v = start(leaves_it_running);
		struct vm *vm = v->vm;

		vcpu_finish(v);
		if (i % 2)
			usleep(500);
		vcpu_destroy(v);
		vm_destroy(vm);
	}
}

/* ------------------------------------------------------------------------------ state */

GUEST(saves)
{
	g_outb(0x61, 3);
	load(0, 2, 0x9000);
	load(2, 0, 0xffff);
	g_outb(0x43, 0x80);
	guest_sync(1);
}

GUEST(restores)
{
	uint16_t a;

	g_lapic_enable();
	g_ioapic_route(2, VEC, 0);
	guest_sync(1);
	/* The count that was latched */
	a = g_inb(0x42);
	a |= g_inb(0x42) << 8;
	guest_sync(a);
	GUEST_EQ(status(0) & 0x7f, 0x34);
	GUEST_EQ(g_inb(0x61) & 3, 3);
	while (ticks < 3)
		g_hlt();
}

TEST(state)
{
	struct hvx_pit_state state, again, bad;
	struct vcpu *v = start(saves), *w;
	struct vm *none = vm_create(HVX_VM_LAPIC | HVX_VM_PIC);

	vcpu_expect_sync(v, 1);
	EXPECT_EQ(vm_get_chip(none, HVX_CHIP_PIT, &state, sizeof(state)), -EOPNOTSUPP);
	EXPECT_EQ(vm_get_chip(v->vm, HVX_CHIP_PIT, &state, sizeof(state) - 1), -E2BIG);
	EXPECT_EQ(vm_get_chip(v->vm, HVX_CHIP_PIT, &state, sizeof(state)), 0);
	EXPECT_EQ(state.channel[0].count, 0x9000);
	EXPECT_EQ(state.channel[0].mode, 2);
	EXPECT_EQ(state.channel[2].count, 0xffff);
	EXPECT_EQ(state.channel[2].count_latched, 2);
	EXPECT_EQ(state.channel[2].gate, 1);
	EXPECT_EQ(state.speaker, 1);
	/* It goes on meanwhile */
	usleep(10000);
	EXPECT_EQ(vm_get_chip(v->vm, HVX_CHIP_PIT, &again, sizeof(again)), 0);
	EXPECT(again.channel[0].elapsed_ns >= state.channel[0].elapsed_ns + 10000000);

	w = start(restores);
	vcpu_expect_sync(w, 1);
	/* Older than this host may be */
	state.channel[0].elapsed_ns = 1ULL << 60;
	EXPECT_EQ(vm_set_chip(w->vm, HVX_CHIP_PIT, &state, sizeof(state)), 0);
	EXPECT_EQ(vm_get_chip(w->vm, HVX_CHIP_PIT, &again, sizeof(again)), 0);
	EXPECT(again.channel[0].elapsed_ns >= 1ULL << 60);
	vcpu_expect_sync(w, state.channel[2].latched_count);
	vcpu_finish(w);

#define BAD(field, value) ({						\
	bad = state;							\
	bad.field = (value);						\
	EXPECT_EQ(vm_set_chip(w->vm, HVX_CHIP_PIT, &bad, sizeof(bad)), -EINVAL); \
})
	BAD(channel[0].count, 65537);
	BAD(channel[0].gate, 0);
	BAD(channel[2].gate, 2);
	BAD(channel[1].mode, 6);
	BAD(channel[1].rw_mode, 0);
	BAD(channel[1].rw_mode, 4);
	BAD(channel[1].bcd, 2);
	BAD(channel[1].read_state, 2);
	BAD(channel[1].write_state, 2);
	BAD(channel[1].count_latched, 3);
	BAD(channel[1].status_latched, 2);
	BAD(channel[1].elapsed_ns, (1ULL << 62) + 1);
	BAD(speaker, 2);
	BAD(reserved[6], 1);
	state.channel[0].bcd = 1;
	BAD(channel[0].count, 10001);
}
