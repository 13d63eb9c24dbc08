/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * irq.h: for tests of interrupt chips: the ioctls about lines and eventfds, and the guest's side of
 * the chips. Host functions return 0 or -errno where they can fail.
 */
#ifndef HVX_TEST_IRQ_H
#define HVX_TEST_IRQ_H

#include "vm.h"

#define VM_CHIPS	(HVX_VM_LAPIC | HVX_VM_IOAPIC | HVX_VM_PIC | HVX_VM_PIT)

/* ----------------------------------------------------------------------------- host */

int vm_irq_line(struct vm *vm, uint32_t gsi, uint32_t level);
int vm_routing(struct vm *vm, const struct hvx_route *routes, uint32_t nr);
int vm_irqfd(struct vm *vm, uint32_t flags, int fd, uint32_t gsi, int resample_fd);
int vm_ioeventfd(struct vm *vm, uint32_t flags, uint64_t addr, uint32_t len, int fd,
		 uint64_t match);
int vm_get_chip(struct vm *vm, uint32_t chip, void *data, uint32_t len);
int vm_set_chip(struct vm *vm, uint32_t chip, const void *data, uint32_t len);

int event_create(void);			/* eventfd that does not block */
void event_signal(int fd);
uint64_t event_count(int fd);		/* reads it: 0 when nothing is counted */

/* ---------------------------------------------------------------------------- guest */

#define LAPIC		0xfee00000UL
#define LAPIC_ID	0x20
#define LAPIC_TPR	0x80
#define LAPIC_EOI	0xb0
#define LAPIC_SVR	0xf0
#define LAPIC_ISR	0x100
#define LAPIC_IRR	0x200
#define LAPIC_LVT0	0x350

#define IOAPIC		0xfec00000UL
#define IOAPIC_ID	0
#define IOAPIC_VER	1
#define IOAPIC_ARB	2
#define IOAPIC_RE(pin)	(0x10 + 2 * (pin))
#define RE_LOGICAL	(1U << 11)
#define RE_REMOTE_IRR	(1U << 14)
#define RE_LEVEL	(1U << 15)
#define RE_MASKED	(1U << 16)

static inline void g_outb(uint16_t port, uint8_t val)
{
	asm volatile("outb %0, %1" : : "a"(val), "d"(port) : "memory");
}

static inline uint8_t g_inb(uint16_t port)
{
	uint8_t val;

	asm volatile("inb %1, %0" : "=a"(val) : "d"(port) : "memory");
	return val;
}

static inline uint32_t g_mmio_read(uint64_t addr)
{
	uint32_t val;

	asm volatile("movl (%1), %0" : "=r"(val) : "r"(addr) : "memory");
	return val;
}

static inline void g_mmio_write(uint64_t addr, uint32_t val)
{
	asm volatile("movl %0, (%1)" : : "r"(val), "r"(addr) : "memory");
}

/* Software-enable the local APIC of this vCPU, in xAPIC mode */
static inline void g_lapic_enable(void)
{
	g_mmio_write(LAPIC + LAPIC_SVR, 0x1ff);
}

static inline void g_eoi(void)
{
	g_mmio_write(LAPIC + LAPIC_EOI, 0);
}

static inline uint32_t g_ioapic_read(uint32_t reg)
{
	g_mmio_write(IOAPIC, reg);
	return g_mmio_read(IOAPIC + 0x10);
}

static inline void g_ioapic_write(uint32_t reg, uint32_t val)
{
	g_mmio_write(IOAPIC, reg);
	g_mmio_write(IOAPIC + 0x10, val);
}

/* A redirection entry for the vCPU with this APIC ID */
static inline void g_ioapic_route(unsigned int pin, uint32_t low, uint8_t id)
{
	g_ioapic_write(IOAPIC_RE(pin), RE_MASKED);
	g_ioapic_write(IOAPIC_RE(pin) + 1, (uint32_t)id << 24);
	g_ioapic_write(IOAPIC_RE(pin), low);
}

static inline void g_sti(void)
{
	asm volatile("sti; nop" : : : "memory");
}

static inline void g_cli(void)
{
	asm volatile("cli" : : : "memory");
}

/* Take whatever interrupts wait now */
static inline void g_take_irqs(void)
{
	asm volatile("sti; nop; nop; cli" : : : "memory");
}

/* Wait for an interrupt in HLT; interrupts off before and after */
static inline void g_hlt(void)
{
	asm volatile("sti; hlt; cli" : : : "memory");
}

#endif
