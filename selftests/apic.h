/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of local APICs share: registers, read and written in the mode that the test is in
 * (xAPIC: memory, x2APIC: MSRs), and vCPUs that have one.
 */
#ifndef HVX_TEST_APIC_H
#define HVX_TEST_APIC_H

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

#define X2(reg)		(0x800 + (reg) / 16)	/* ... and as MSRs */

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

static bool x2apic;			/* mode of this test */
static volatile uint64_t apic_at = APIC;	/* where registers are in xAPIC mode */
static volatile uint32_t ticks;		/* of the timer, where its handler is tick() */

/* ------------------------------------------------------------------ guest side */

static GUEST_CODE uint32_t rd(enum reg reg)
{
	if (x2apic)
		return g_rdmsr(X2(reg));
	return *(volatile uint32_t *)(apic_at + reg);
}

static GUEST_CODE void wr(enum reg reg, uint32_t value)
{
	if (x2apic)
		g_wrmsr(X2(reg), value);
	else
		*(volatile uint32_t *)(apic_at + reg) = value;
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

static GUEST_CODE void tick(struct gcpu *g, struct gframe *f)
{
	ticks++;
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

/* Of IRR, ISR or TMR */
static GUEST_CODE bool bit(enum reg reg, unsigned int vector)
{
	return rd(reg + (vector >> 5) * 16) >> (vector & 31) & 1;
}

static GUEST_CODE bool irr(unsigned int vector)
{
	return bit(IRR, vector);
}

static GUEST_CODE bool isr(unsigned int vector)
{
	return bit(ISR, vector);
}

static GUEST_CODE uint64_t tsc(void)
{
	uint32_t lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (uint64_t)hi << 32;
}

/* ------------------------------------------------------------------- host side */

/* A vCPU whose CPUID has a local APIC with all that hvx can give */
static inline struct vcpu *make(struct vm *vm, unsigned int id, guest_fn fn)
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

static inline struct vcpu *start(guest_fn fn)
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

static inline int msi(struct vm *vm, uint64_t address, uint32_t data)
{
	struct hvx_msi m = { .size = sizeof(m), .address = address, .data = data };

	return xioctl(vm->fd, HVX_SIGNAL_MSI, &m);
}

#endif
