// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioapic: the I/O APIC in the kernel, seen by a guest that programs it and by a VMM that sets
 * lines. Without it interrupts of devices are lost (an edge, a level that is still asserted after
 * EOI), come twice, or never stop.
 */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "image.h"
#include "irq.h"

#define VEC	0x51
#define PIN	5

/* Interrupts are counted; EOI right away, unless a test says otherwise. */
static volatile uint32_t taken;
static volatile bool no_eoi;

static GUEST_CODE void on_irq(struct gcpu *g, struct gframe *f)
{
	taken++;
	if (!no_eoi)
		g_eoi();
}

static struct vcpu *start_in(struct vm *vm, unsigned int id, guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm, id);
	unsigned int i;

	vcpu_setup_long_mode(v, fn);
	for (i = 32; i < VEC_RING3_END; i++)
		v->g->handler[i] = on_irq;
	return v;
}

static struct vcpu *start(guest_fn fn)
{
	return start_in(vm_create(VM_CHIPS), 0, fn);
}

/* ------------------------------------------------------------------------- registers */

GUEST(registers)
{
	unsigned int pin;

	GUEST_EQ(g_ioapic_read(IOAPIC_VER), 0x170020);
	GUEST_EQ(g_ioapic_read(IOAPIC_ID), 0);
	g_ioapic_write(IOAPIC_ID, 0xffffffff);
	GUEST_EQ(g_ioapic_read(IOAPIC_ID), 0x0f000000);
	GUEST_EQ(g_ioapic_read(IOAPIC_ARB), 0x0f000000);
	g_ioapic_write(IOAPIC_VER, 0);
	GUEST_EQ(g_ioapic_read(IOAPIC_VER), 0x170020);
	for (pin = 0; pin < 24; pin++) {
		GUEST_EQ(g_ioapic_read(IOAPIC_RE(pin)), RE_MASKED);
		GUEST_EQ(g_ioapic_read(IOAPIC_RE(pin) + 1), 0);
		/* Delivery status and remote IRR are read-only, bits above the mask reserved */
		g_ioapic_write(IOAPIC_RE(pin), 0xffffffff);
		g_ioapic_write(IOAPIC_RE(pin) + 1, 0xffffffff);
		GUEST_EQ(g_ioapic_read(IOAPIC_RE(pin)), 0x1afff);
		GUEST_EQ(g_ioapic_read(IOAPIC_RE(pin) + 1), 0xff000000);
		g_ioapic_write(IOAPIC_RE(pin), RE_MASKED | pin);
		GUEST_EQ(g_ioapic_read(IOAPIC_RE(pin)), RE_MASKED | pin);
	}
	/* Behind the last entry, and other widths */
	GUEST_EQ(g_ioapic_read(IOAPIC_RE(24)), 0xffffffff);
	g_ioapic_write(IOAPIC_RE(24), 0);
	g_ioapic_write(0xff, 0);
	*(volatile uint8_t *)G_HIDE((uint8_t *)IOAPIC) = IOAPIC_VER;
	GUEST_EQ(*(volatile uint8_t *)G_HIDE((uint8_t *)IOAPIC + 0x10), 0x20);
	GUEST_EQ(*(volatile uint16_t *)G_HIDE((uint16_t *)(IOAPIC + 0x10)), 0x20);
	GUEST_EQ(*(volatile uint64_t *)G_HIDE((uint64_t *)(IOAPIC + 0x10)), 0x170020);
	GUEST_EQ(g_mmio_read(IOAPIC), IOAPIC_VER);
	GUEST_EQ(g_mmio_read(IOAPIC + 0x20), 0);
	g_mmio_write(IOAPIC + 0x20, 5);
}

/* Whatever loads it, the register is the same and the rest of the destination as it should be */
GUEST(loads)
{
	const uint64_t win = IOAPIC + 0x10, old = 0xaaaaaaaaaaaaaaaa;
	uint64_t v = 0, i;

	g_mmio_write(IOAPIC, IOAPIC_VER);
	for (i = 0; i < 3; i++) {
		asm volatile("movb (%1), %b0" : "=a"(v) : "r"(win), "a"(old));
		GUEST_EQ(v, 0xaaaaaaaaaaaaaa20);
		asm volatile("movb (%1), %%ah" : "=a"(v) : "S"(win), "0"(old));
		GUEST_EQ(v, 0xaaaaaaaaaaaa20aa);
		asm volatile("movw (%1), %w0" : "=a"(v) : "r"(win), "a"(old));
		GUEST_EQ(v, 0xaaaaaaaaaaaa0020);
		asm volatile("movl (%1), %k0" : "=r"(v) : "r"(win), "0"(old));
		GUEST_EQ(v, 0x170020);
		asm volatile("movq (%1), %0" : "=r"(v) : "r"(win), "0"(old));
		GUEST_EQ(v, 0x170020);
		asm volatile("movzbl (%1), %k0" : "=r"(v) : "r"(win), "0"(old));
		GUEST_EQ(v, 0x20);
		asm volatile("movzwq (%1), %0" : "=r"(v) : "r"(win), "0"(old));
		GUEST_EQ(v, 0x20);
		asm volatile("movzbw (%1), %w0" : "=r"(v) : "r"(win), "0"(old));
		GUEST_EQ(v, 0xaaaaaaaaaaaa0020);
		asm volatile("movl -16(%1,%2,4), %k0" : "=r"(v) : "r"(win), "r"(4UL), "0"(old));
		GUEST_EQ(v, 0x170020);
		asm volatile("movabsl 0xfec00010, %%eax" : "=a"(v) : "0"(old));
		GUEST_EQ(v, 0x170020);
		asm volatile("addl (%1), %k0" : "+r"(v) : "r"(win) : "cc");
		GUEST_EQ(v, 0x2e0040);
		asm volatile("xchgl (%1), %k0" : "=r"(v) : "r"(win), "0"(5));
		GUEST_EQ(v, 0x170020);
		/* RSP as base and as destination */
		asm volatile("movq %%rsp, %%rcx; movq %1, %%rsp\n\t"
			     "movl (%%rsp), %k0; movq %%rcx, %%rsp" :
			     "=r"(v) : "r"(win) : "rcx", "memory");
		GUEST_EQ(v, 0x170020);
		asm volatile("movq %%rsp, %%rcx; movl (%1), %%esp\n\t"
			     "xchgq %%rsp, %%rcx; movq %%rcx, %0" :
			     "=r"(v) : "r"(win) : "rcx", "memory");
		GUEST_EQ(v, 0x170020);
		asm volatile("movb $0, (%0)" : : "r"(IOAPIC) : "memory");
		GUEST_EQ(g_mmio_read(IOAPIC), 0);
		asm volatile("movl $1, (%0)" : : "r"(IOAPIC) : "memory");
		GUEST_EQ(g_mmio_read(IOAPIC), 1);
	}
	/* Through FS, whose base the access goes by */
	g_wrmsr(0xc0000100, IOAPIC - 0x100);
	asm volatile("movl %%fs:0x110, %k0" : "=r"(v));
	GUEST_EQ(v, 0x170020);
}

TEST(loads)
{
	vcpu_finish(start(loads));
}

/* Changed code is what counts, not what stood there before. */
static uint8_t code[64] __attribute__((aligned(64)));

typedef uint64_t (*read_fn)(uint64_t addr);

GUEST(changing)
{
	/* movl (%rdi), %eax; ret, or movzbl */
	static const uint8_t wide[] = { 0x8b, 0x07, 0xc3 }, narrow[] = { 0x0f, 0xb6, 0x07, 0xc3 };
	const read_fn fn = (read_fn)(uintptr_t)G_HIDE(&code[0]);
	unsigned int i;

	g_mmio_write(IOAPIC, IOAPIC_VER);
	for (i = 0; i < 100; i++) {
		guest_memcpy(code, wide, sizeof(wide));
		GUEST_EQ(fn(IOAPIC + 0x10), 0x170020);
		GUEST_EQ(fn(IOAPIC + 0x10), 0x170020);
		guest_memcpy(code, narrow, sizeof(narrow));
		GUEST_EQ(fn(IOAPIC + 0x10), 0x20);
	}
}

TEST(changing_code)
{
	vcpu_finish(start(changing));
}

TEST(registers)
{
	vcpu_finish(start(registers));
}

/* -------------------------------------------------------------------------- delivery */

/* The host moves lines at syncs; the guest looks for interrupts afterwards. */
GUEST(look)
{
	g_lapic_enable();
	g_ioapic_route(PIN, g->arg, 0);
	for (;;) {
		guest_sync(taken);
		g_take_irqs();
	}
}

static struct vcpu *start_look(uint32_t entry)
{
	struct vcpu *v = start(look);

	v->g->arg = entry;
	vcpu_expect_sync(v, 0);
	return v;
}

TEST(edge)
{
	struct vcpu *v = start_look(VEC);

	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	vcpu_expect_sync(v, 1);
	/* It is up already */
	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	vcpu_expect_sync(v, 1);
	EXPECT(!vm_irq_line(v->vm, PIN, 0));
	vcpu_expect_sync(v, 1);
	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	vcpu_expect_sync(v, 2);
	/* Two edges that nobody saw are one interrupt */
	EXPECT(!vm_irq_line(v->vm, PIN, 0));
	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	EXPECT(!vm_irq_line(v->vm, PIN, 0));
	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	EXPECT(!vm_irq_line(v->vm, PIN, 0));
	vcpu_expect_sync(v, 3);
	/* Lines are told apart */
	EXPECT(!vm_irq_line(v->vm, PIN + 1, 1));
	vcpu_expect_sync(v, 3);
}

static uint32_t redirect(struct vcpu *v)
{
	struct hvx_ioapic_state state;

	REQUIRE(!vm_get_chip(v->vm, HVX_CHIP_IOAPIC, &state, sizeof(state)));
	return state.redirect[PIN];
}

/* A level that stays asserted comes again after each EOI, and one that falls does not. */
TEST(level)
{
	struct vcpu *v = start_look(VEC | RE_LEVEL);

	no_eoi = true;
	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	EXPECT(redirect(v) & RE_REMOTE_IRR);
	vcpu_expect_sync(v, 1);
	EXPECT(!vm_irq_line(v->vm, PIN, 0));
	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	EXPECT(redirect(v) & RE_REMOTE_IRR);
	vcpu_expect_sync(v, 1);
	EXPECT(!vm_irq_line(v->vm, PIN, 0));
	EXPECT(redirect(v) & RE_REMOTE_IRR);
}

GUEST(eoi_guest)
{
	g_lapic_enable();
	g_ioapic_route(PIN, VEC | RE_LEVEL, 0);
	no_eoi = true;
	guest_sync(0);
	g_take_irqs();
	GUEST_EQ(taken, 1);
	GUEST_EQ(g_ioapic_read(IOAPIC_RE(PIN)), VEC | RE_LEVEL | RE_REMOTE_IRR);
	/* Still asserted: EOI brings it again */
	g_eoi();
	GUEST_EQ(g_ioapic_read(IOAPIC_RE(PIN)), VEC | RE_LEVEL | RE_REMOTE_IRR);
	g_take_irqs();
	GUEST_EQ(taken, 2);
	guest_sync(1);
	GUEST_EQ(g_ioapic_read(IOAPIC_RE(PIN)), VEC | RE_LEVEL | RE_REMOTE_IRR);
	g_eoi();
	GUEST_EQ(g_ioapic_read(IOAPIC_RE(PIN)), VEC | RE_LEVEL);
	g_take_irqs();
	GUEST_EQ(taken, 2);
	/* The EOI register ends it, too */
	guest_sync(2);
	g_take_irqs();
	GUEST_EQ(taken, 3);
	guest_sync(3);
	g_mmio_write(IOAPIC + 0x40, VEC + 1);
	GUEST_EQ(g_ioapic_read(IOAPIC_RE(PIN)), VEC | RE_LEVEL | RE_REMOTE_IRR);
	g_mmio_write(IOAPIC + 0x40, VEC);
	GUEST_EQ(g_ioapic_read(IOAPIC_RE(PIN)), VEC | RE_LEVEL);
	/* And so does switching to edge */
	g_eoi();
	guest_sync(4);
	GUEST_EQ(g_ioapic_read(IOAPIC_RE(PIN)), VEC | RE_LEVEL | RE_REMOTE_IRR);
	g_ioapic_write(IOAPIC_RE(PIN), VEC | RE_MASKED);
	g_ioapic_write(IOAPIC_RE(PIN), VEC | RE_LEVEL | RE_MASKED);
	GUEST_EQ(g_ioapic_read(IOAPIC_RE(PIN)), VEC | RE_LEVEL | RE_MASKED);
}

TEST(eoi)
{
	struct vcpu *v = start(eoi_guest);

	vcpu_expect_sync(v, 0);
	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	vcpu_expect_sync(v, 1);
	EXPECT(!vm_irq_line(v->vm, PIN, 0));
	vcpu_expect_sync(v, 2);
	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	vcpu_expect_sync(v, 3);
	EXPECT(!vm_irq_line(v->vm, PIN, 0));
	vcpu_expect_sync(v, 4);
	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	vcpu_finish(v);
}

GUEST(masked_guest)
{
	g_lapic_enable();
	g_ioapic_route(PIN, g->arg | RE_MASKED, 0);
	guest_sync(0);
	g_take_irqs();
	GUEST_EQ(taken, 0);
	g_ioapic_write(IOAPIC_RE(PIN), g->arg);
	g_take_irqs();
	guest_sync(taken);
}

TEST(masked)
{
	struct vcpu *v = start(masked_guest);

	/* A level that is asserted is seen when the mask falls */
	v->g->arg = VEC | RE_LEVEL;
	vcpu_expect_sync(v, 0);
	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	no_eoi = true;
	vcpu_expect_sync(v, 1);
	vcpu_destroy(v);

	/* One that fell before is not, and neither is an edge that is over */
	taken = 0;
	v = start(masked_guest);
	v->g->arg = VEC | RE_LEVEL;
	vcpu_expect_sync(v, 0);
	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	EXPECT(!vm_irq_line(v->vm, PIN, 0));
	vcpu_expect_sync(v, 0);
	vcpu_destroy(v);

	v = start(masked_guest);
	v->g->arg = VEC;
	vcpu_expect_sync(v, 0);
	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	EXPECT(!vm_irq_line(v->vm, PIN, 0));
	vcpu_expect_sync(v, 0);
}

/* Logical destination, and line 0 at pin 2 */
GUEST(destination)
{
	g_lapic_enable();
	g_mmio_write(LAPIC + 0xe0, 0xffffffff);	/* DFR: flat */
	g_mmio_write(LAPIC + 0xd0, 4 << 24);	/* LDR */
	g_ioapic_route(PIN, VEC | RE_LOGICAL, 4);
	g_ioapic_route(PIN + 1, VEC | RE_LOGICAL, 8);
	g_ioapic_route(PIN + 2, VEC, 1);	/* no such APIC */
	g_ioapic_route(2, VEC + 1, 0);
	guest_sync(0);
	g_take_irqs();
	GUEST_EQ(g->count[VEC], 1);
	guest_sync(1);
	g_take_irqs();
	GUEST_EQ(g->count[VEC], 1);
	guest_sync(2);
	g_take_irqs();
	GUEST_EQ(g->count[VEC + 1], 1);
}

TEST(destination)
{
	struct vcpu *v = start(destination);

	vcpu_expect_sync(v, 0);
	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	vcpu_expect_sync(v, 1);
	EXPECT(!vm_irq_line(v->vm, PIN + 1, 1));
	EXPECT(!vm_irq_line(v->vm, PIN + 2, 1));
	vcpu_expect_sync(v, 2);
	EXPECT(!vm_irq_line(v->vm, 0, 1));
	vcpu_finish(v);
}

/* HLT ends with an interrupt that comes from another thread. */
GUEST(halts)
{
	g_lapic_enable();
	g_ioapic_route(PIN, VEC, 0);
	guest_sync(0);
	while (taken < 200)
		g_hlt();
}

static void *run_it(void *arg)
{
	vcpu_finish(arg);
	return NULL;
}

TEST(wakes_from_hlt)
{
	struct vcpu *v = start(halts);
	pthread_t thread;
	uint32_t n;

	vcpu_expect_sync(v, 0);
	REQUIRE(!pthread_create(&thread, NULL, run_it, v));
	for (n = 0; n < 200; n++) {
		unsigned long long end = now_ms() + 5000 * tap_scale();

		EXPECT(!vm_irq_line(v->vm, PIN, 1));
		EXPECT(!vm_irq_line(v->vm, PIN, 0));
		while (taken == n && now_ms() < end)
			sched_yield();
		if (!EXPECT(taken == n + 1, "%u %u", taken, n))
			break;
	}
	if (taken < 200)
		tap_abort();
	pthread_join(thread, NULL);
}

/*
 * The same at every moment around HLT: before STI, in its shadow, when the exit is being handled.
 * An interrupt that is taken between the two would leave the guest asleep with nothing to come.
 */
#define HALTS 1000

static volatile uint32_t about_to_halt;

GUEST(announces_halts)
{
	volatile uint32_t delay;
	uint32_t i;

	g_lapic_enable();
	g_ioapic_route(PIN, VEC, 0);
	for (i = 1; i <= HALTS; i++) {
		about_to_halt = i;
		/* About as long as the VMM needs to set the line, which is not always the same */
		for (delay = 0; delay < i * 97 % 10000; delay++)
			;
		g_hlt();
	}
}

static bool reaches(volatile uint32_t *count, uint32_t n)
{
	unsigned long long end = now_ms() + 3000 * tap_scale();

	/* Without a yield as long as it is soon: the line is to be set at once */
	for (unsigned int i = 0; *count < n; i++) {
		if (i < 100000)
			continue;
		sched_yield();
		if (now_ms() > end)
			return false;
	}
	return true;
}

TEST_TIME(wakes_at_hlt, 60)
{
	struct vcpu *v = start(announces_halts);
	pthread_t thread;
	uint32_t n;

	REQUIRE(!pthread_create(&thread, NULL, run_it, v));
	for (n = 1; n <= HALTS; n++) {
		if (!EXPECT(reaches(&about_to_halt, n), "halt %u is not reached", n))
			break;
		EXPECT(!vm_irq_line(v->vm, PIN, 1));
		EXPECT(!vm_irq_line(v->vm, PIN, 0));
		if (!EXPECT(reaches(&taken, n), "interrupt %u is not taken", n))
			break;
	}
	if (n <= HALTS)
		tap_abort();
	pthread_join(thread, NULL);
}

/* A line that nobody lowers: the guest gets on all the same, and the line comes again. */
GUEST(storm)
{
	volatile uint64_t i;

	g_lapic_enable();
	g_ioapic_route(PIN, VEC | RE_LEVEL, 0);
	guest_sync(0);
	g_sti();
	for (i = 0; i < 1000; i++)
		;
	g_cli();
	guest_sync(1);
}

TEST_TIME(storm, 60)
{
	struct vcpu *v = start(storm);

	vcpu_expect_sync(v, 0);
	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	vcpu_expect_sync(v, 1);
	EXPECT(taken >= 10000, "%u", taken);
}

/* ---------------------------------------------------------------------- routing table */

TEST(routing_errors)
{
	static struct hvx_route many[HVX_MAX_ROUTES];
	struct vm *vm = vm_create(VM_CHIPS), *none = vm_create(0);
	struct vm *apic = vm_create(HVX_VM_LAPIC);
	struct hvx_route r = { .gsi = 1, .type = HVX_ROUTE_IOAPIC, .pin = 1 };
	unsigned int i;

	EXPECT_EQ(vm_routing(none, NULL, 0), -EOPNOTSUPP);
	EXPECT_EQ(vm_irq_line(none, 1, 1), -EOPNOTSUPP);
	EXPECT_EQ(vm_routing(vm, &r, HVX_MAX_ROUTES + 1), -E2BIG);
	EXPECT_EQ(vm_routing(vm, (void *)8, 1), -EFAULT);
	EXPECT_EQ(vm_routing(vm, &r, 1), 0);
	EXPECT_EQ(vm_routing(apic, &r, 1), -EINVAL);
	r.pin = 24;
	EXPECT_EQ(vm_routing(vm, &r, 1), -EINVAL);
	r.pin = 23;
	EXPECT_EQ(vm_routing(vm, &r, 1), 0);
	r.type = HVX_ROUTE_PIC;
	r.pin = 16;
	EXPECT_EQ(vm_routing(vm, &r, 1), -EINVAL);
	r.pin = 2;
	EXPECT_EQ(vm_routing(vm, &r, 1), -EINVAL);
	r.pin = 15;
	EXPECT_EQ(vm_routing(vm, &r, 1), 0);
	EXPECT_EQ(vm_routing(apic, &r, 1), -EINVAL);
	r.type = HVX_ROUTE_MSI + 1;
	EXPECT_EQ(vm_routing(vm, &r, 1), -EINVAL);
	r.type = HVX_ROUTE_MSI;
	r.address = 0xfed00000;
	EXPECT_EQ(vm_routing(vm, &r, 1), -EINVAL);
	r.address = 0xfee00000;
	EXPECT_EQ(vm_routing(vm, &r, 1), 0);
	EXPECT_EQ(vm_routing(apic, &r, 1), 0);
	r.gsi = HVX_MAX_GSI;
	EXPECT_EQ(vm_routing(vm, &r, 1), 0);
	EXPECT_EQ(vm_irq_line(vm, HVX_MAX_GSI, 1), 0);
	EXPECT_EQ(vm_irq_line(vm, 1, 1), -EINVAL);
	EXPECT_EQ(vm_irq_line(vm, HVX_MAX_GSI + 1, 1), -EINVAL);
	EXPECT_EQ(vm_irq_line(vm, HVX_MAX_GSI, 2), -EINVAL);
	r.gsi = HVX_MAX_GSI + 1;
	EXPECT_EQ(vm_routing(vm, &r, 1), -EINVAL);
	for (i = 0; i < HVX_MAX_ROUTES; i++)
		many[i] = (struct hvx_route){
			.gsi = i / 4, .type = HVX_ROUTE_IOAPIC, .pin = i % 24,
		};
	EXPECT_EQ(vm_routing(vm, many, HVX_MAX_ROUTES), 0);
	many[HVX_MAX_ROUTES - 1].gsi = 0;
	EXPECT_EQ(vm_routing(vm, many, HVX_MAX_ROUTES), -EINVAL);
	EXPECT_EQ(vm_irq_line(vm, 0, 1), 0);
	EXPECT_EQ(vm_routing(vm, NULL, 0), 0);
	EXPECT_EQ(vm_irq_line(vm, 0, 0), -EINVAL);
}

/* A line keeps its level when its route changes, and a pin has that of all its lines. */
GUEST(moved_lines)
{
	g_lapic_enable();
	no_eoi = true;
	g_ioapic_route(PIN, VEC | RE_LEVEL, 0);
	g_ioapic_route(PIN + 1, (VEC + 16) | RE_LEVEL, 0);
	guest_sync(0);
	g_take_irqs();
	GUEST_EQ(g->count[VEC], 0);
	GUEST_EQ(g->count[VEC + 16], 1);
	g_eoi();
	g_take_irqs();
	GUEST_EQ(g->count[VEC + 16], 2);
	guest_sync(1);
	g_eoi();
	g_take_irqs();
	GUEST_EQ(g->count[VEC + 16], 3);
	guest_sync(2);
	g_eoi();
	g_take_irqs();
	GUEST_EQ(g->count[VEC + 16], 3);
}

TEST(moved_lines)
{
	static const struct hvx_route routes[] = {
		{ .gsi = 100, .type = HVX_ROUTE_IOAPIC, .pin = PIN + 1 },
		{ .gsi = PIN, .type = HVX_ROUTE_IOAPIC, .pin = PIN + 1 },
	};
	struct vcpu *v = start(moved_lines);

	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	EXPECT(!vm_routing(v->vm, routes, 2));
	EXPECT(!vm_irq_line(v->vm, 100, 1));
	vcpu_expect_sync(v, 0);
	vcpu_expect_sync(v, 1);
	/* The other line still holds the pin */
	EXPECT(!vm_irq_line(v->vm, PIN, 0));
	vcpu_expect_sync(v, 2);
	EXPECT(!vm_irq_line(v->vm, 100, 0));
	vcpu_finish(v);
}

/* Interrupts go one way or the other, never both and never none, while tables change. */
#define ROUNDS	2000

static volatile bool stop;

GUEST(count_both)
{
	g_lapic_enable();
	g_ioapic_route(PIN, VEC, 0);
	guest_sync(0);
	g_sti();
	while (!stop)
		asm volatile("pause");
	g_cli();
}

static void *change_routes(void *arg)
{
	struct hvx_route r[2] = {
		{ .gsi = 40, .type = HVX_ROUTE_IOAPIC, .pin = PIN },
		{ .gsi = 40, .type = HVX_ROUTE_MSI, .address = 0xfee00000, .data = VEC + 1 },
	};
	unsigned int i;

	for (i = 0; !stop; i++)
		EXPECT(!vm_routing(arg, &r[i & 1], 1));
	return NULL;
}

TEST_TIME(replaced_under_load, 60)
{
	struct hvx_route first = { .gsi = 40, .type = HVX_ROUTE_IOAPIC, .pin = PIN };
	struct vcpu *v = start(count_both);
	pthread_t run, change;
	uint32_t n;

	vcpu_expect_sync(v, 0);
	EXPECT(!vm_routing(v->vm, &first, 1));
	REQUIRE(!pthread_create(&run, NULL, run_it, v));
	REQUIRE(!pthread_create(&change, NULL, change_routes, v->vm));
	for (n = 0; n < ROUNDS; n++) {
		unsigned long long end = now_ms() + 5000 * tap_scale();

		/* A new table with the line up makes the pin rise, too: lower it first */
		EXPECT(!vm_irq_line(v->vm, 40, 1));
		while (taken == 0 && now_ms() < end)
			sched_yield();
		if (!EXPECT(taken > 0, "round %u", n))
			break;
		EXPECT(!vm_irq_line(v->vm, 40, 0));
		taken = 0;
	}
	stop = true;
	pthread_join(change, NULL);
	pthread_join(run, NULL);
}

/* ------------------------------------------------------------------------------ state */

TEST(state)
{
	struct hvx_ioapic_state state, again, bad;
	struct vcpu *v = start_look(VEC | RE_LEVEL);
	struct vm *none = vm_create(HVX_VM_LAPIC);
	struct vcpu *w;

	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	EXPECT_EQ(vm_get_chip(v->vm, HVX_CHIP_IOAPIC, &state, sizeof(state) - 1), -E2BIG);
	EXPECT_EQ(vm_get_chip(v->vm, HVX_CHIP_IOAPIC, &state, sizeof(state)), 0);
	EXPECT_EQ(state.lines, 1U << PIN);
	EXPECT_EQ(state.redirect[PIN], VEC | RE_LEVEL | RE_REMOTE_IRR);
	EXPECT_EQ(vm_get_chip(none, HVX_CHIP_IOAPIC, &state, sizeof(state)), -EOPNOTSUPP);
	EXPECT_EQ(vm_set_chip(none, HVX_CHIP_IOAPIC, &state, sizeof(state)), -EOPNOTSUPP);
	EXPECT_EQ(vm_get_chip(v->vm, 3, &state, sizeof(state)), -EINVAL);
	EXPECT_EQ(vm_get_chip(v->vm, HVX_CHIP_IOAPIC, NULL, sizeof(state)), -EFAULT);
	EXPECT_EQ(vm_set_chip(v->vm, HVX_CHIP_IOAPIC, &state, sizeof(state) + 1), -EINVAL);
	EXPECT_EQ(vm_set_chip(v->vm, HVX_CHIP_IOAPIC, NULL, sizeof(state)), -EFAULT);

	/* Another VM goes on from there: the interrupt is on its way, so it does not come again */
	w = start_look(VEC);
	EXPECT_EQ(vm_set_chip(w->vm, HVX_CHIP_IOAPIC, &state, sizeof(state)), 0);
	EXPECT_EQ(vm_get_chip(w->vm, HVX_CHIP_IOAPIC, &again, sizeof(again)), 0);
	EXPECT(!memcmp(&state, &again, sizeof(state)));
	vcpu_expect_sync(w, 0);
	/* But a line whose interrupt is not on its way does */
	state.redirect[PIN] &= ~(uint64_t)RE_REMOTE_IRR;
	no_eoi = true;
	EXPECT_EQ(vm_set_chip(w->vm, HVX_CHIP_IOAPIC, &state, sizeof(state)), 0);
	vcpu_expect_sync(w, 1);

#define BAD(field, value) ({						\
	bad = state;							\
	bad.field = (value);						\
	EXPECT_EQ(vm_set_chip(w->vm, HVX_CHIP_IOAPIC, &bad, sizeof(bad)), -EINVAL); \
})
	BAD(id, 16);
	BAD(select, 0x100);
	BAD(irr, 1 << 24);
	BAD(lines, 1 << 24);
	BAD(irr, 1 << (PIN + 1));
	BAD(redirect[3], 1 << 17);
	BAD(redirect[3], 1ULL << 48);
	BAD(redirect[3], 1 << 12);
	BAD(redirect[3], VEC | RE_REMOTE_IRR);
}

/* ------------------------------------------------------- levels that nobody takes yet */

GUEST(enables_late)
{
	g_ioapic_route(PIN, VEC | RE_LEVEL, 0);
	guest_sync(0);
	g_take_irqs();
	GUEST_EQ(taken, 0);
	g_lapic_enable();
	g_take_irqs();
	GUEST_EQ(taken, 1);
	guest_sync(1);
	g_eoi();
	/* A logical ID that nobody has, until this vCPU takes it */
	g_mmio_write(LAPIC + 0xe0, 0xffffffff);	/* DFR: flat */
	g_ioapic_route(PIN, VEC | RE_LEVEL | RE_LOGICAL, 4);
	guest_sync(2);
	g_take_irqs();
	GUEST_EQ(taken, 1);
	g_mmio_write(LAPIC + 0xd0, 4 << 24);	/* LDR */
	g_take_irqs();
	GUEST_EQ(taken, 2);
}

TEST(taken_late)
{
	struct vcpu *v = start(enables_late);

	no_eoi = true;
	vcpu_expect_sync(v, 0);
	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	vcpu_expect_sync(v, 1);
	EXPECT(!vm_irq_line(v->vm, PIN, 0));
	vcpu_expect_sync(v, 2);
	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	vcpu_finish(v);
}

GUEST(sends_to_1)
{
	g_lapic_enable();
	g_ioapic_route(PIN, VEC | RE_LEVEL, 1);
	guest_sync(0);
}

GUEST(is_1)
{
	g_lapic_enable();
	g_take_irqs();
	GUEST_EQ(g->count[VEC], 1);
}

/* The destination comes into being while the line is up. */
TEST(destination_comes_late)
{
	struct vcpu *v = start(sends_to_1), *w;

	no_eoi = true;
	vcpu_expect_sync(v, 0);
	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	w = start_in(v->vm, 1, is_1);
	w->run->event.activity = HVX_ACTIVE;
	vcpu_set(w, HVX_REGS_EVENT);
	vcpu_finish(w);
}

/* ------------------------------------------------------------------ order of restoring */

static struct image image;

/* Chips first, vCPUs later: the image of a local APIC knows nothing of what was sent before. */
static void chip_before_vcpu(uint32_t entry)
{
	struct vcpu *v = start_look(entry);
	struct hvx_ioapic_state state;

	REQUIRE(!image_take(v, &image));
	REQUIRE(!vm_get_chip(v->vm, HVX_CHIP_IOAPIC, &state, sizeof(state)));
	state.irr = 1U << PIN;
	state.lines = 1U << PIN;
	EXPECT_EQ(vm_set_chip(v->vm, HVX_CHIP_IOAPIC, &state, sizeof(state)), 0);
	REQUIRE(!image_put(v, &image));
	vcpu_expect_sync(v, 1);
}

TEST(chip_before_vcpu)
{
	no_eoi = true;
	chip_before_vcpu(VEC | RE_LEVEL);
	taken = 0;
	chip_before_vcpu(VEC);
}

/* The VMM's devices say what they hold before the vCPUs are back. */
TEST(line_before_vcpu)
{
	struct vcpu *v = start_look(VEC | RE_LEVEL);
	struct hvx_ioapic_state state;

	no_eoi = true;
	REQUIRE(!image_take(v, &image));
	REQUIRE(!vm_get_chip(v->vm, HVX_CHIP_IOAPIC, &state, sizeof(state)));
	EXPECT_EQ(vm_set_chip(v->vm, HVX_CHIP_IOAPIC, &state, sizeof(state)), 0);
	EXPECT(!vm_irq_line(v->vm, PIN, 1));
	REQUIRE(!image_put(v, &image));
	vcpu_expect_sync(v, 1);
}

/* One that sleeps is sent what a new state has, at once. */
TEST(chip_while_halted)
{
	struct hvx_ioapic_state state;
	struct vcpu *v = start(halts);
	pthread_t thread;
	unsigned int i;

	vcpu_expect_sync(v, 0);
	REQUIRE(!pthread_create(&thread, NULL, run_it, v));
	REQUIRE(!vm_get_chip(v->vm, HVX_CHIP_IOAPIC, &state, sizeof(state)));
	state.irr = 1U << PIN;
	state.lines = 1U << PIN;
	for (i = 1; i <= 200; i++) {
		unsigned long long end = now_ms() + 5000 * tap_scale();

		EXPECT_EQ(vm_set_chip(v->vm, HVX_CHIP_IOAPIC, &state, sizeof(state)), 0);
		while (taken < i && now_ms() < end)
			sched_yield();
		if (!EXPECT(taken == i, "%u %u", taken, i))
			tap_abort();
	}
	pthread_join(thread, NULL);
}
