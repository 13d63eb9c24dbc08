// SPDX-License-Identifier: GPL-2.0-only
/*
 * pic: the 8259 pair in the kernel, seen by a guest that programs it, with interrupts through LINT0
 * of its local APIC. Without it nothing that boots by BIOS gets its timer.
 */
#include <errno.h>
#include <sys/mman.h>

#include "irq.h"

#define BASE	0x40	/* vectors of the master, then of the slave */

static volatile uint32_t order[16];
static volatile uint32_t nr;

static GUEST_CODE void on_irq(struct gcpu *g, struct gframe *f)
{
	order[nr++ % 16] = f->vector - BASE;
}

static GUEST_CODE void init_pair(uint8_t icw4)
{
	g_outb(0x20, 0x11);
	g_outb(0x21, BASE);
	g_outb(0x21, 4);
	g_outb(0x21, icw4);
	g_outb(0xa0, 0x11);
	g_outb(0xa1, BASE + 8);
	g_outb(0xa1, 2);
	g_outb(0xa1, icw4 & ~0x10);
}

/* The pair's INT goes to LINT0 as ExtINT */
static GUEST_CODE void begin(uint8_t icw4)
{
	g_lapic_enable();
	g_mmio_write(LAPIC + LAPIC_LVT0, 0x700);
	init_pair(icw4);
	nr = 0;
}

static struct vcpu *start(guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(VM_CHIPS), 0);
	unsigned int i;

	vcpu_setup_long_mode(v, fn);
	for (i = 0; i < 16; i++)
		v->g->handler[BASE + i] = on_irq;
	return v;
}

/* The guest asks for a line by guest_sync(line << 4 | level) and gets it. */
#define LINE(n, level) guest_sync((n) << 4 | (level))

static void serve(struct vcpu *v)
{
	while (vcpu_ucall(v) == UC_SYNC) {
		uint64_t what = v->uc.arg[0];

		EXPECT(!vm_irq_line(v->vm, what >> 4, what & 15));
	}
	EXPECT_EQ(v->uc.cmd, UC_DONE);
}

static GUEST_CODE uint8_t read_irr(uint16_t port)
{
	g_outb(port, 0x0a);
	return g_inb(port);
}

static GUEST_CODE uint8_t read_isr(uint16_t port)
{
	g_outb(port, 0x0b);
	return g_inb(port);
}

GUEST(init_guest)
{
	/* Nothing is asked for before the pair is initialized */
	g_lapic_enable();
	g_mmio_write(LAPIC + LAPIC_LVT0, 0x700);
	LINE(3, 1);
	LINE(3, 0);
	g_take_irqs();
	GUEST_EQ(nr, 0);

	begin(1);
	GUEST_EQ(g_inb(0x21), 0);
	g_outb(0x21, 0xa5);
	g_outb(0xa1, 0x5a);
	GUEST_EQ(g_inb(0x21), 0xa5);
	GUEST_EQ(g_inb(0xa1), 0x5a);
	/* ICW1 clears the mask; without IC4 there is no ICW4 */
	g_outb(0x20, 0x10);
	g_outb(0x21, BASE);
	g_outb(0x21, 4);
	GUEST_EQ(g_inb(0x21), 0);
	g_outb(0x21, 0xfe);
	GUEST_EQ(g_inb(0x21), 0xfe);
	g_outb(0x4d0, 0xff);
	g_outb(0x4d1, 0xff);
	GUEST_EQ(g_inb(0x4d0), 0xf8);
	GUEST_EQ(g_inb(0x4d1), 0xde);
	/* Both control registers in one access */
	asm volatile("outw %%ax, %%dx" : : "a"(0x0208), "d"(0x4d0));
	GUEST_EQ(g_inb(0x4d0), 0x08);
	GUEST_EQ(g_inb(0x4d1), 0x02);
}

TEST(registers)
{
	serve(start(init_guest));
}

GUEST(deliver_guest)
{
	begin(1);
	LINE(3, 1);
	GUEST_EQ(read_irr(0x20), 0x08);
	g_take_irqs();
	GUEST_EQ(nr, 1);
	GUEST_EQ(order[0], 3);
	GUEST_EQ(read_irr(0x20), 0);
	GUEST_EQ(read_isr(0x20), 0x08);
	/* In service: the same and lower ones wait, higher ones do not */
	LINE(3, 0);
	LINE(3, 1);
	LINE(5, 1);
	g_take_irqs();
	GUEST_EQ(nr, 1);
	LINE(1, 1);
	g_take_irqs();
	GUEST_EQ(nr, 2);
	GUEST_EQ(order[1], 1);
	GUEST_EQ(read_isr(0x20), 0x0a);
	/* Non-specific EOI ends the highest */
	g_outb(0x20, 0x20);
	GUEST_EQ(read_isr(0x20), 0x08);
	g_take_irqs();
	GUEST_EQ(nr, 2);
	g_outb(0x20, 0x63);
	g_take_irqs();
	GUEST_EQ(nr, 3);
	GUEST_EQ(order[2], 3);
	g_outb(0x20, 0x20);
	g_take_irqs();
	GUEST_EQ(order[3], 5);
	g_outb(0x20, 0x20);
	g_take_irqs();
	GUEST_EQ(nr, 4);
	/* Masked: it waits */
	g_outb(0x21, 0x08);
	LINE(3, 0);
	LINE(3, 1);
	g_take_irqs();
	GUEST_EQ(nr, 4);
	g_outb(0x21, 0);
	g_take_irqs();
	GUEST_EQ(nr, 5);
}

TEST(priorities)
{
	serve(start(deliver_guest));
}

GUEST(cascade_guest)
{
	begin(1);
	LINE(12, 1);
	GUEST_EQ(read_irr(0xa0), 0x10);
	GUEST_EQ(read_irr(0x20), 0x04);
	g_take_irqs();
	GUEST_EQ(nr, 1);
	GUEST_EQ(order[0], 12);
	GUEST_EQ(read_isr(0x20), 0x04);
	GUEST_EQ(read_isr(0xa0), 0x10);
	/* A higher one of the slave waits for the master, which knows only input 2 */
	LINE(9, 1);
	g_take_irqs();
	GUEST_EQ(nr, 1);
	LINE(1, 1);
	g_take_irqs();
	GUEST_EQ(order[1], 1);
	g_outb(0x20, 0x20);
	g_outb(0x20, 0x62);
	g_take_irqs();
	GUEST_EQ(nr, 3);
	GUEST_EQ(order[2], 9);
	g_outb(0xa0, 0x20);
	g_outb(0xa0, 0x20);
	g_outb(0x20, 0x20);
	/* Fully nested at the cascade: no need to wait */
	begin(0x11);
	LINE(12, 0);
	LINE(9, 0);
	LINE(12, 1);
	g_take_irqs();
	LINE(9, 1);
	g_take_irqs();
	GUEST_EQ(nr, 2);
	GUEST_EQ(order[0], 12);
	GUEST_EQ(order[1], 9);
}

TEST(cascade)
{
	serve(start(cascade_guest));
}

GUEST(rotation_guest)
{
	unsigned int i;

	begin(1);
	/* Input 4 lowest: 5 is the highest */
	g_outb(0x20, 0xc4);
	for (i = 0; i < 8; i++) {
		if (i != 2)
			LINE(i, 1);
	}
	for (i = 0; i < 7; i++) {
		g_take_irqs();
		g_outb(0x20, 0x20);
	}
	GUEST_EQ(nr, 7);
	GUEST_EQ(order[0], 5);
	GUEST_EQ(order[1], 6);
	GUEST_EQ(order[2], 7);
	GUEST_EQ(order[3], 0);
	GUEST_EQ(order[6], 4);
	/* Rotate on EOI: who was served comes last */
	begin(1);
	LINE(0, 0);
	LINE(1, 0);
	LINE(0, 1);
	g_take_irqs();
	g_outb(0x20, 0xa0);
	LINE(0, 0);
	LINE(0, 1);
	LINE(1, 1);
	g_take_irqs();
	GUEST_EQ(order[1], 1);
	g_outb(0x20, 0xe1);
	g_take_irqs();
	GUEST_EQ(order[2], 0);
	/* Automatic EOI, with rotation */
	begin(3);
	g_outb(0x20, 0x80);
	LINE(0, 0);
	LINE(1, 0);
	LINE(0, 1);
	g_take_irqs();
	GUEST_EQ(read_isr(0x20), 0);
	LINE(0, 0);
	LINE(0, 1);
	LINE(1, 1);
	g_take_irqs();
	g_take_irqs();
	GUEST_EQ(nr, 3);
	GUEST_EQ(order[1], 1);
	GUEST_EQ(order[2], 0);
}

TEST(rotation)
{
	serve(start(rotation_guest));
}

GUEST(special_guest)
{
	begin(1);
	LINE(3, 1);
	g_take_irqs();
	/* Special mask mode: a masked input in service does not hold up lower ones */
	g_outb(0x21, 0x08);
	LINE(5, 1);
	g_take_irqs();
	GUEST_EQ(nr, 1);
	g_outb(0x20, 0x68);
	g_take_irqs();
	GUEST_EQ(nr, 2);
	GUEST_EQ(order[1], 5);
	/* And a non-specific EOI leaves it alone */
	g_outb(0x20, 0x20);
	GUEST_EQ(read_isr(0x20), 0x08);
	g_outb(0x20, 0x48);
	g_outb(0x20, 0x20);
	GUEST_EQ(read_isr(0x20), 0);
	/* Poll: no interrupt, the guest asks and so acknowledges */
	g_outb(0x21, 0);
	LINE(6, 1);
	g_outb(0x20, 0x0c);
	GUEST_EQ(g_inb(0x20), 0x86);
	GUEST_EQ(read_isr(0x20), 0x40);
	g_take_irqs();
	GUEST_EQ(nr, 2);
	g_outb(0x20, 0x0c);
	GUEST_EQ(g_inb(0x20), 0);
	g_outb(0x20, 0x20);
}

TEST(special_mask_and_poll)
{
	serve(start(special_guest));
}

GUEST(level_guest)
{
	begin(1);
	g_outb(0x4d0, 0x20);
	LINE(5, 1);
	g_take_irqs();
	GUEST_EQ(nr, 1);
	/* Asserted still: it comes again after EOI */
	GUEST_EQ(read_irr(0x20), 0x20);
	g_outb(0x20, 0x20);
	g_take_irqs();
	GUEST_EQ(nr, 2);
	LINE(5, 0);
	g_outb(0x20, 0x20);
	g_take_irqs();
	GUEST_EQ(nr, 2);
	/* One that falls before it is taken was never there */
	LINE(5, 1);
	LINE(5, 0);
	g_take_irqs();
	GUEST_EQ(nr, 2);
	/* An edge is not forgotten */
	LINE(4, 1);
	LINE(4, 0);
	g_take_irqs();
	GUEST_EQ(nr, 3);
}

TEST(level)
{
	serve(start(level_guest));
}

/* HLT without a local APIC in the way: LINT0 masked means no interrupt, ExtINT means one. */
GUEST(lint0_guest)
{
	begin(1);
	g_mmio_write(LAPIC + LAPIC_LVT0, 0x10700);
	LINE(1, 1);
	g_take_irqs();
	GUEST_EQ(nr, 0);
	g_mmio_write(LAPIC + LAPIC_LVT0, 0x700);
	g_hlt();
	GUEST_EQ(nr, 1);
	/* It has no part in the local APIC's priorities */
	GUEST_EQ(g_mmio_read(LAPIC + LAPIC_ISR + 0x20), 0);
	g_outb(0x20, 0x20);
	/* A masked pair asks for nothing, even when something waits already */
	LINE(3, 1);
	g_outb(0x21, 0xff);
	g_take_irqs();
	GUEST_EQ(nr, 1);
}

TEST(lint0)
{
	serve(start(lint0_guest));
}

GUEST(string_guest)
{
	static const uint8_t ocw[] = { 0xaa, 0x55, 0x12 };
	const void *from = ocw;
	uint8_t masks[3] = { 0 };
	void *to = masks;
	uint64_t n = 3;

	begin(1);
	asm volatile("rep outsb" : "+S"(from), "+c"(n) : "d"(0x21) : "memory");
	GUEST_EQ(n, 0);
	n = 3;
	asm volatile("rep insb" : "+D"(to), "+c"(n) : "d"(0x21) : "memory");
	GUEST_EQ(n, 0);
	GUEST_EQ(masks[0], 0x12);
	GUEST_EQ(masks[2], 0x12);
	GUEST_EQ((uintptr_t)to, (uintptr_t)(masks + 3));
}

TEST(strings)
{
	serve(start(string_guest));
}

/* In user space, it is the VMM's */
GUEST(outside)
{
	g_outb(0x20, 0x11);
}

TEST(not_in_the_kernel)
{
	struct vcpu *v = vcpu_create(vm_create(HVX_VM_LAPIC | HVX_VM_IOAPIC), 0);

	vcpu_setup_long_mode(v, outside);
	if (vcpu_expect(v, HVX_EXIT_IO))
		EXPECT_EQ(v->run->io.port, 0x20);
	vcpu_finish(v);
}

/* ------------------------------------------------------------------------------ state */

GUEST(resumes)
{
	begin(1);
	g_outb(0x21, 0x40);
	g_outb(0x4d1, 0x06);
	LINE(1, 1);
	guest_sync(0xff);
	g_lapic_enable();
	g_mmio_write(LAPIC + LAPIC_LVT0, 0x700);
	g_take_irqs();
	GUEST_EQ(nr, 1);
	GUEST_EQ(order[0], 1);
	GUEST_EQ(g_inb(0x21), 0x40);
}

TEST(state)
{
	struct hvx_pic_state state[2], again[2], bad[2];
	struct vcpu *v = start(resumes), *w = start(resumes);
	struct vm *none = vm_create(HVX_VM_LAPIC);

	vcpu_expect_sync(v, 1 << 4 | 1);
	EXPECT(!vm_irq_line(v->vm, 1, 1));
	vcpu_expect_sync(v, 0xff);
	EXPECT_EQ(vm_get_chip(v->vm, HVX_CHIP_PIC, state, sizeof(state) - 1), -E2BIG);
	EXPECT_EQ(vm_get_chip(v->vm, HVX_CHIP_PIC, state, sizeof(state)), 0);
	EXPECT_EQ(vm_get_chip(none, HVX_CHIP_PIC, state, sizeof(state)), -EOPNOTSUPP);
	EXPECT_EQ(vm_set_chip(none, HVX_CHIP_PIC, state, sizeof(state)), -EOPNOTSUPP);
	EXPECT_EQ(state[0].irr, 2);
	EXPECT_EQ(state[0].lines, 2);
	EXPECT_EQ(state[0].imr, 0x40);
	EXPECT_EQ(state[0].icw2, BASE);
	EXPECT_EQ(state[1].icw2, BASE + 8);
	EXPECT_EQ(state[1].elcr, 6);

	/* Another VM, whose own pair was never set up, goes on from there */
	nr = 0;
	vcpu_expect_sync(w, 1 << 4 | 1);
	vcpu_expect_sync(w, 0xff);
	EXPECT_EQ(vm_set_chip(w->vm, HVX_CHIP_PIC, state, sizeof(state)), 0);
	EXPECT_EQ(vm_get_chip(w->vm, HVX_CHIP_PIC, again, sizeof(again)), 0);
	EXPECT(!memcmp(state, again, sizeof(state)));
	vcpu_finish(w);

#define BAD(n, field, value) ({						\
	memcpy(bad, state, sizeof(bad));				\
	bad[n].field = (value);						\
	EXPECT_EQ(vm_set_chip(w->vm, HVX_CHIP_PIC, bad, sizeof(bad)), -EINVAL);	\
})
	BAD(0, elcr, 1);
	BAD(1, elcr, 0x20);
	BAD(0, icw2, 0x41);
	BAD(1, priority_add, 8);
	BAD(0, init_state, 4);
	BAD(0, read_isr, 2);
	BAD(0, poll, 2);
	BAD(1, special_mask, 2);
	BAD(0, rotate_on_auto_eoi, 2);
	BAD(0, init4, 2);
	BAD(1, reserved[1], 1);
}

/* INS of a chip's register into memory that comes late: the chip is asked once. */
#define WIN	0x40000000UL

GUEST(poll_by_ins)
{
	uint64_t to = WIN, n = 1;

	begin(1);
	LINE(4, 1);
	g_outb(0x20, 0xc);	/* OCW3: poll, which the next read answers and acknowledges */
	asm volatile("rep insb" : "+D"(to), "+c"(n) : "d"(0x20) : "memory");
	GUEST_EQ(to, WIN + 1);
	GUEST_EQ(n, 0);
	GUEST_EQ(*(volatile uint8_t *)G_HIDE((uint8_t *)WIN), 0x84);
}

TEST(read_once_by_ins)
{
	struct vcpu *v = start(poll_by_ins);
	void *page = host_pages(PAGE_SIZE);

	*vm_pte(v->vm, WIN) = HOLE | PTE_P | PTE_W;
	vcpu_expect_sync(v, 4 << 4 | 1);
	EXPECT(!vm_irq_line(v->vm, 4, 1));
	REQUIRE(!vm_region(v->vm, 30, 0, HOLE, PAGE_SIZE, page));
	mprotect(page, PAGE_SIZE, PROT_NONE);
	EXPECT_EQ(vcpu_run_once(v), -EFAULT);
	EXPECT_EQ(v->run->exit_reason, HVX_EXIT_MEMORY_FAULT);
	EXPECT_EQ(vcpu_run_once(v), -EFAULT);
	mprotect(page, PAGE_SIZE, PROT_READ | PROT_WRITE);
	vcpu_finish(v);
}
