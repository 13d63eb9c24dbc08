// SPDX-License-Identifier: GPL-2.0-only
/*
 * apicv: the local APIC where the processor virtualizes it: what takes no exit then, and what must
 * still be as without it. Without the feature (HVX_HOST_APICV) the same guests run, and exit.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "apic.h"
#include "image.h"
#include "irq.h"

#define ROUNDS		300

static GUEST_CODE void self_ipi(unsigned int vector)
{
	if (x2apic)
		g_wrmsr(X2(SELF_IPI), vector);
	else
		wr(ICR, SH_SELF | vector);
}

static bool has_apicv(void)
{
	struct hvx_host_info info = { .size = sizeof(info) };

	REQUIRE(!xioctl(hvx_open(), HVX_GET_HOST_INFO, &info));
	return info.features & HVX_HOST_APICV;
}

/* ------------------------------------------------------------------------ exits */

GUEST(interrupts_itself)
{
	unsigned int i;

	apic_on();
	g->handler[0x51] = eoi;
	wr(TPR, 0);	/* what is mapped at the first access is mapped now */
	guest_sync(1);
	for (i = 0; i < ROUNDS; i++) {
		self_ipi(0x51);
		g_take_irqs();
	}
	guest_sync(2);
	GUEST_EQ(g->count[0x51], ROUNDS);
	for (i = 0; i < ROUNDS; i++) {
		wr(TPR, i & 0xf0);
		G_WRITE_REG(cr8, i & 15);
		GUEST_EQ(rd(TPR), (i & 15) << 4);
		GUEST_EQ(G_READ_REG(cr8), i & 15);
		GUEST_EQ(rd(SVR), 0x1ff);
		GUEST_EQ(rd(VERSION) & 0xff, 0x14);
		GUEST_ASSERT(!bit(ISR, 0x51) && !bit(IRR, 0x51));
	}
	guest_sync(3);
}

/* Exits of the guest from one sync to the next, those of the sync itself aside */
static unsigned int exits_until(struct vcpu *v, unsigned int sync)
{
	uint64_t before = v->run->exits;

	vcpu_expect_sync(v, sync);
	return v->run->exits - before;
}

/* Self-IPI, delivery, EOI; priorities and registers: only interrupts of the host exit. */
BOTH_MODES(no_exits)
{
	struct vcpu *v = start(interrupts_itself);
	unsigned int irqs, registers;

	exits_until(v, 1);
	irqs = exits_until(v, 2);
	registers = exits_until(v, 3);
	vcpu_finish(v);
	if (has_apicv()) {
		EXPECT(irqs < ROUNDS / 3, "%u exits for %u interrupts", irqs, ROUNDS);
		EXPECT(registers < ROUNDS, "%u exits for %u accesses", registers, 8 * ROUNDS);
	} else {
		/* The count counts */
		EXPECT(irqs >= 2 * ROUNDS, "%u exits for %u interrupts", irqs, ROUNDS);
	}
}

static GUEST_CODE void sync_in_handler(struct gcpu *g, struct gframe *f)
{
	guest_sync(f->vector);
	wr(EOI, 0);
}

GUEST(waits_for_level)
{
	apic_on();
	g->handler[0x51] = sync_in_handler;
	g->handler[0x61] = sync_in_handler;
	guest_sync(1);
	g_take_irqs();
	GUEST_ASSERT(!bit(ISR, 0x51) && !bit(ISR, 0x61) && bit(TMR, 0x61) && !bit(TMR, 0x51));
	guest_sync(2);
	g_take_irqs();
	GUEST_ASSERT(!bit(ISR, 0x61) && !bit(TMR, 0x61));
}

/* Of two that wait the end of the level-triggered one alone exits, every time it is level. */
BOTH_MODES(level_and_edge)
{
	struct vcpu *v = start(waits_for_level);

	vcpu_expect_sync(v, 1);
	EXPECT_EQ(msi(v->vm, APIC, 0x51), 1);
	EXPECT_EQ(msi(v->vm, APIC, 0xc061), 1);
	EXPECT_EQ(msi(v->vm, APIC, 0xc061), 0);	/* waits already */
	vcpu_expect_sync(v, 0x61);
	vcpu_expect(v, HVX_EXIT_EOI);
	EXPECT_EQ(v->run->eoi.vector, 0x61);
	vcpu_expect_sync(v, 0x51);
	vcpu_expect_sync(v, 2);
	EXPECT_EQ(msi(v->vm, APIC, 0x61), 1);
	vcpu_expect_sync(v, 0x61);
	vcpu_finish(v);
}

/* ------------------------------------------------------------- delivery */

GUEST(is_deaf_for_long)
{
	uint64_t until;

	apic_on();
	g->handler[0x51] = eoi;
	self_ipi(0x51);
	/* Meanwhile the host takes interrupts of its own */
	for (until = tsc() + g->arg; tsc() < until; )
		GUEST_EQ(g->count[0x51], 0);
	GUEST_ASSERT(bit(IRR, 0x51) && !bit(ISR, 0x51));
	g_take_irqs();
	GUEST_EQ(g->count[0x51], 1);
	/* By task priority alone, with IF set */
	G_WRITE_REG(cr8, 5);
	self_ipi(0x51);
	g_sti();
	for (until = tsc() + g->arg / 4; tsc() < until; )
		GUEST_EQ(g->count[0x51], 1);
	G_WRITE_REG(cr8, 4);
	asm volatile("nop; nop" : : : "memory");
	GUEST_EQ(g->count[0x51], 2);
	g_cli();
}

BOTH_MODES(masked)
{
	struct vcpu *v = start(is_deaf_for_long);

	v->g->arg = 30ULL * (hvx_cap(HVX_CAP_TSC_KHZ) ?: 1000000);	/* 30 ms */
	vcpu_finish(v);
}

static volatile uint32_t seen[4], nr_seen;

static GUEST_CODE void nests(struct gcpu *g, struct gframe *f)
{
	if (f->vector == 0x51) {
		self_ipi(0x41);
		self_ipi(0x52);		/* of the same class: not before the end */
		self_ipi(0x61);
		g_take_irqs();
		GUEST_EQ(nr_seen, 1);
		GUEST_EQ(rd(PPR), 0x50);
	} else if (f->vector == 0x61) {
		GUEST_EQ(rd(PPR), 0x60);
		GUEST_ASSERT(bit(ISR, 0x51) && bit(ISR, 0x61));
	}
	if (nr_seen < 4)
		seen[nr_seen++] = f->vector;
	wr(EOI, 0);
}

GUEST(has_nested_ones)
{
	apic_on();
	g->handler[0x41] = nests;
	g->handler[0x51] = nests;
	g->handler[0x52] = nests;
	g->handler[0x61] = nests;
	self_ipi(0x51);
	g_take_irqs();
	GUEST_EQ(nr_seen, 4);
	GUEST_EQ(seen[0], 0x61);
	GUEST_EQ(seen[1], 0x51);
	GUEST_EQ(seen[2], 0x52);
	GUEST_EQ(seen[3], 0x41);
	GUEST_EQ(rd(PPR), 0);
}

BOTH_MODES(nested)
{
	struct vcpu *v = start(has_nested_ones);

	/* a stack of its own */
	idt_set(v->g, 0x61, guest_stubs + 0x61 * 16, 0, 2);
	vcpu_finish(v);
}

#define IDTS	0xd0000000UL
#define NR_IDTS	16

GUEST(takes_them_by_new_tables)
{
	struct { uint16_t limit; uint64_t base; } __attribute__((packed)) idt = { .limit = 0xfff };
	unsigned int i;

	apic_on();
	g->handler[0x51] = eoi;
	for (i = 0; i < NR_IDTS; i++) {
		self_ipi(0x51);
		/* The first access to the page is the delivery's */
		idt.base = IDTS + i * PAGE_SIZE;
		asm volatile("lidt %0; sti; nop; nop; cli" : : "m"(idt) : "memory");
		GUEST_EQ(g->count[0x51], i + 1);
	}
	GUEST_ASSERT(!bit(ISR, 0x51));
}

/* An exit in the course of a delivery: it goes on, once */
BOTH_MODES(delivery_faults)
{
	struct vcpu *v = start(takes_them_by_new_tables);
	char *tables = host_pages(NR_IDTS * PAGE_SIZE);
	unsigned int i;

	for (i = 0; i < NR_IDTS; i++)
		memcpy(tables + i * PAGE_SIZE, (char *)v->g + GCPU_IDT, PAGE_SIZE);
	REQUIRE(!vm_region(v->vm, SLOT_FREE, 0, IDTS, NR_IDTS * PAGE_SIZE, tables));
	vcpu_finish(v);
}

GUEST(takes_both_kinds)
{
	apic_on();
	g->handler[0x51] = eoi;
	guest_sync(1);
	self_ipi(0x51);
	g_sti();
	asm volatile("nop; nop; nop; cli" : : : "memory");
	guest_sync(2);
}

/* One of the VMM, and a window for another, beside one of the local APIC */
BOTH_MODES(beside_inject)
{
	struct vcpu *v = start(takes_both_kinds);

	vcpu_expect_sync(v, 1);
	EXPECT_EQ(vcpu_inject(v, HVX_EVENT_INTERRUPT, 0x31), 0);
	v->run->irq_window = 1;
	vcpu_expect(v, HVX_EXIT_IRQ_WINDOW);
	v->run->irq_window = 0;
	vcpu_expect_sync(v, 2);
	EXPECT_EQ(v->g->count[0x31], 1);
	EXPECT_EQ(v->g->count[0x51], 1);
	vcpu_finish(v);
}

static void *sends(void *arg)
{
	struct vcpu *v = arg;
	unsigned int i;

	for (i = 0; i < ROUNDS && !v->g->arg; i++) {
		if (msi(v->vm, APIC, 0x51 + i % 3) < 0)
			break;
		usleep(100);
	}
	v->g->arg = 1;
	return NULL;
}

GUEST(works_meanwhile)
{
	unsigned int i;

	apic_on();
	for (i = 0x51; i <= 0x53; i++)
		g->handler[i] = eoi;
	guest_sync(1);
	g_sti();
	while (!*(volatile uint64_t *)&g->arg)
		asm volatile("pause");
	asm volatile("nop; nop; cli" : : : "memory");
	GUEST_ASSERT(!bit(IRR, 0x51) && !bit(IRR, 0x52) && !bit(IRR, 0x53));
	GUEST_ASSERT(g->count[0x51] && g->count[0x52] && g->count[0x53]);
}

/* Interrupts for a guest that runs: each is there when it looks next, none stays behind */
BOTH_MODES(while_running)
{
	struct vcpu *v = start(works_meanwhile);
	pthread_t thread;

	vcpu_expect_sync(v, 1);
	v->g->arg = 0;
	REQUIRE(!pthread_create(&thread, NULL, sends, v));
	vcpu_finish(v);
	pthread_join(thread, NULL);
}

/* -------------------------------------------------------------- registers, modes */

GUEST(writes_what_does_not_stick)
{
	apic_on();
	wr(ID, 0x55000000);
	GUEST_EQ(rd(ID), g->id << 24);
	wr(LVT_TIMER, 0x20051);
	/* Both modes at once: the write is lost */
	wr(LVT_TIMER, 0x60052);
	GUEST_EQ(rd(LVT_TIMER), 0x20051);
	wr(LVT_TIMER, 0x10051);
	wr(TDCR, 0xb);
	wr(TMICT, 0x10000000);
	GUEST_ASSERT(rd(TMCCT) > 0x8000000);
	/* By 128 from here on, and the count goes on from where it is */
	wr(TDCR, 0xa);
	GUEST_ASSERT(rd(TMCCT) > 0x8000000 && rd(TMCCT) <= 0x10000000);
	wr(TMICT, 0);
	/* Bits above the register's own */
	wr(TPR, 0xff31);
	GUEST_EQ(rd(TPR), 0x31);
	GUEST_EQ(G_READ_REG(cr8), 3);
	wr(TPR, 0);
	wr(LVT_THERMAL, ~0U);
	GUEST_EQ(rd(LVT_THERMAL), 0x107ff);
	wr(SVR, 0xff);
	GUEST_EQ(rd(LINT1) & 0x10000, 0x10000);
	wr(SVR, 0x1ff);
	/* Not a register */
	wr(ESR, 0);
	GUEST_EQ(g_mmio_read(apic_at + 0x40), 0);
	wr(ESR, 0);
	GUEST_EQ(rd(ESR), 0x80);
}

TEST(writes)
{
	x2apic = false;
	vcpu_finish(start(writes_what_does_not_stick));
}

GUEST(shows_its_priority)
{
	apic_on();
	G_WRITE_REG(cr8, 7);
	guest_sync(1);
	GUEST_EQ(G_READ_REG(cr8), 3);
	GUEST_EQ(rd(TPR), 0x30);
}

BOTH_MODES(cr8)
{
	struct vcpu *v = start(shows_its_priority);

	vcpu_expect_sync(v, 1);
	vcpu_get(v, HVX_REGS_CTRL);
	EXPECT_EQ(v->run->ctrl.cr8, 7);
	v->run->ctrl.cr8 = 3;
	v->run->regs_dirty = HVX_REGS_CTRL;
	vcpu_finish(v);
}

#define ELSEWHERE	0xfed40000UL

GUEST(moves_about)
{
	g->handler[0x51] = eoi;
	apic_on();
	self_ipi(0x51);
	g_take_irqs();
	GUEST_EQ(g->count[0x51], 1);
	/* Elsewhere: what was there is not there any more */
	g_wrmsr(MSR_APIC_BASE, ELSEWHERE | BASE_EN | BASE_BSP);
	apic_at = ELSEWHERE;
	GUEST_EQ(rd(SVR), 0x1ff);
	self_ipi(0x51);
	g_take_irqs();
	GUEST_EQ(g->count[0x51], 2);
	GUEST_EQ(g_mmio_read(LAPIC + VERSION), 0x11223344);
	/* Back */
	g_wrmsr(MSR_APIC_BASE, LAPIC | BASE_EN | BASE_BSP);
	apic_at = LAPIC;
	GUEST_EQ(rd(VERSION) & 0xff, 0x14);
	GUEST_EQ(g_mmio_read(ELSEWHERE + VERSION), 0x11223344);
	/* Off: memory accesses are the VMM's, CR8 is still there */
	g_wrmsr(MSR_APIC_BASE, LAPIC | BASE_BSP);
	GUEST_EQ(g_mmio_read(LAPIC + VERSION), 0x11223344);
	G_WRITE_REG(cr8, 9);
	GUEST_EQ(G_READ_REG(cr8), 9);
	/* And on again: as after RESET */
	g_wrmsr(MSR_APIC_BASE, LAPIC | BASE_EN | BASE_BSP);
	GUEST_EQ(rd(SVR), 0xff);
	apic_on();
	G_WRITE_REG(cr8, 0);
	self_ipi(0x51);
	g_take_irqs();
	GUEST_EQ(g->count[0x51], 3);
	/* x2APIC mode has no such memory either */
	x2apic = true;
	apic_on();
	GUEST_EQ(g_mmio_read(LAPIC + VERSION), 0x11223344);
	self_ipi(0x51);
	g_take_irqs();
	GUEST_EQ(g->count[0x51], 4);
}

static unsigned int run_with_mmio(struct vcpu *v)
{
	unsigned int reads = 0;

	while (vcpu_run(v) == HVX_EXIT_MMIO && !v->run->mmio.write) {
		uint32_t value = 0x11223344;

		EXPECT_EQ(v->run->mmio.gpa & 0xfff, VERSION);
		memcpy(v->run->mmio.data, &value, sizeof(value));
		reads++;
	}
	return reads;
}

TEST(moves)
{
	struct vcpu *v = start(moves_about);

	x2apic = false;
	EXPECT_EQ(run_with_mmio(v), 4);
	EXPECT_EQ(v->run->io.port, UCALL_PORT);
	EXPECT_EQ(v->run->exit_reason, HVX_EXIT_IO);
}

GUEST(finds_memory_there)
{
	apic_on();
	GUEST_EQ(rd(VERSION) & 0xff, 0x14);
	guest_sync(1);
	GUEST_EQ(rd(VERSION), 0x55667788);
	guest_sync(2);
	GUEST_EQ(rd(VERSION) & 0xff, 0x14);
}

/* A region at the address of the registers hides them */
TEST(region)
{
	struct hvx_prefault there = { .size = sizeof(there), .gpa = LAPIC, .len = PAGE_SIZE };
	struct vcpu *v = start(finds_memory_there);
	uint32_t *page = host_pages(PAGE_SIZE);

	x2apic = false;
	page[VERSION / 4] = 0x55667788;
	vcpu_expect_sync(v, 1);
	/* What is there is no memory */
	EXPECT_EQ(xioctl(v->vm->fd, HVX_PREFAULT, &there), -ENOENT);
	REQUIRE(!vm_region(v->vm, SLOT_FREE, 0, LAPIC, PAGE_SIZE, page));
	EXPECT_EQ(xioctl(v->vm->fd, HVX_PREFAULT, &there), 0);
	vcpu_expect_sync(v, 2);
	REQUIRE(!vm_region(v->vm, SLOT_FREE, 0, LAPIC, 0, NULL));
	vcpu_finish(v);
}

GUEST(leaves_page)
{
	wr(TPR, 0x10);
	guest_sync(1);
	g_wrmsr(MSR_APIC_BASE, g_rdmsr(MSR_APIC_BASE) | BASE_EXTD);
	GUEST_EQ(g_rdmsr(X2(TPR)), 0x10);
}

/* The page goes while writes to memory are logged: it was written to, and is in no region */
TEST(page_goes_with_log)
{
	struct vcpu *v = start(leaves_page);

	x2apic = false;
	REQUIRE(!vm_region(v->vm, SLOT_FREE, HVX_REGION_LOG_DIRTY, IDTS, PAGE_SIZE,
			   host_pages(PAGE_SIZE)));
	vcpu_expect_sync(v, 1);
	vcpu_finish(v);
}

GUEST(goes_first)
{
	g->handler[0x51] = eoi;
	g_lapic_enable();
	g_mmio_write(LAPIC + ICR, SH_SELF | 0x51);
	g_take_irqs();
	GUEST_EQ(g->count[0x51], 1);
	guest_sync(1);
	g_mmio_write(LAPIC + ICR, SH_SELF | 0x51);
	g_take_irqs();
	GUEST_EQ(g->count[0x51], 2);
}

GUEST(goes_second)
{
	g_wrmsr(MSR_APIC_BASE, g_rdmsr(MSR_APIC_BASE) | BASE_EXTD);
	/* The page of the other one is not this one's */
	GUEST_EQ(g_mmio_read(LAPIC + VERSION), 0x11223344);
	GUEST_EQ(g_rdmsr(X2(ID)), 1);
}

/* One in each mode */
TEST(mixed_modes)
{
	struct vcpu *v = start(goes_first), *other = vcpu_create(v->vm, 1);

	x2apic = false;
	vcpu_setup_long_mode(other, goes_second);
	other->run->event.activity = HVX_ACTIVE;
	other->run->regs_dirty |= HVX_REGS_EVENT;
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(run_with_mmio(other), 1);
	EXPECT_EQ(other->run->exit_reason, HVX_EXIT_IO);
	vcpu_finish(v);
}

GUEST(is_filtered)
{
	unsigned int i;

	apic_on();
	g->handler[0x51] = eoi;
	for (i = 0; i < 3; i++) {
		self_ipi(0x51);
		g_take_irqs();
		guest_sync(1 + i);
	}
}

/* MSRs that the VMM wants to see exit, whoever else could serve them */
TEST(filter)
{
	struct vcpu *v = start(is_filtered);

	x2apic = true;
	vcpu_expect_sync(v, 1);
	REQUIRE(!vm_msr_filter(v->vm, X2(EOI), 1, HVX_MSR_EXIT_WRITE));
	vcpu_expect(v, HVX_EXIT_MSR_WRITE);
	EXPECT_EQ(v->run->msr.index, X2(EOI));
	/* The VMM has ended nothing: it is in service still, and keeps its own kind off */
	vcpu_expect_sync(v, 2);
	REQUIRE(!vm_msr_filter(v->vm, 0, 0, 0));
	vcpu_expect_sync(v, 3);
	EXPECT_EQ(v->g->count[0x51], 2);
	vcpu_finish(v);
}

/* ------------------------------------------------------------- ends and states */

static GUEST_CODE void sync_and_end(struct gcpu *g, struct gframe *f)
{
	guest_sync(2);
	wr(EOI, 0);
}

/* One call on one stack: it can be put back to where it was without its memory */
GUEST(is_put_back)
{
	apic_on();
	g->handler[0x51] = sync_and_end;
	for (;;) {
		asm volatile("sti; nop; nop; cli" : : : "memory");
		guest_sync(1);
	}
}

static struct image image;

static void step(struct vcpu *v, bool on)
{
	struct hvx_debug d = {
		.size = sizeof(d), .control = on ? HVX_DEBUG_ENABLE | HVX_DEBUG_STEP : 0,
	};

	REQUIRE(!xioctl(v->fd, HVX_SET_DEBUG, &d));
}

/* The VMM is not told of an end that belongs to a state that it has replaced meanwhile. */
BOTH_MODES(end_of_another_state)
{
	struct vcpu *v = start(is_put_back);
	unsigned int i, steps = 0;

	vcpu_expect_sync(v, 1);
	REQUIRE(!image_take(v, &image));
	/* How many steps to the end of the interrupt? The VMM hears of it right after that one. */
	EXPECT_EQ(msi(v->vm, APIC, 0xc051), 1);
	vcpu_expect_sync(v, 2);
	step(v, true);
	while (vcpu_run(v) == HVX_EXIT_DEBUG && steps < 1000)
		steps++;
	EXPECT_EQ(v->run->exit_reason, HVX_EXIT_EOI);
	step(v, false);
	REQUIRE(!image_put(v, &image));
	vcpu_expect_sync(v, 1);
	/* The same again, but now there is another state when it comes to that */
	EXPECT_EQ(msi(v->vm, APIC, 0xc051), 1);
	vcpu_expect_sync(v, 2);
	step(v, true);
	for (i = 0; i < steps; i++)
		vcpu_expect(v, HVX_EXIT_DEBUG);
	step(v, false);
	REQUIRE(!image_put(v, &image));
	vcpu_expect_sync(v, 1);
}
