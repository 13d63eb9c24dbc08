/* SPDX-License-Identifier: GPL-2.0-only */
/* What guests know of KVM's paravirtual services: Documentation/virt/kvm/x86 of Linux. */
#ifndef HVX_TEST_PV_H
#define HVX_TEST_PV_H

#include "vm.h"

#define MSR_TSC			0x10
#define MSR_WALL_CLOCK		0x4b564d00
#define MSR_SYSTEM_TIME		0x4b564d01
#define MSR_ASYNC_PF		0x4b564d02
#define MSR_STEAL_TIME		0x4b564d03
#define MSR_PV_EOI		0x4b564d04
#define MSR_POLL_CONTROL	0x4b564d05

#define KVM_LEAF		0x40000001
#define F_NOP_IO_DELAY		(1u << 1)
#define F_CLOCKSOURCE2		(1u << 3)
#define F_STEAL_TIME		(1u << 5)
#define F_PV_EOI		(1u << 6)
#define F_PV_UNHALT		(1u << 7)
#define F_PV_TLB_FLUSH		(1u << 9)
#define F_PV_SEND_IPI		(1u << 11)
#define F_POLL_CONTROL		(1u << 12)
#define F_PV_SCHED_YIELD	(1u << 13)
#define F_CLOCK_STABLE		(1u << 24)

struct time_info {
	volatile uint32_t version;
	uint32_t pad0;
	volatile uint64_t tsc_timestamp, system_time;
	volatile uint32_t mult;
	volatile int8_t shift;
	volatile uint8_t flags;
	uint8_t pad[2];
};

_Static_assert(sizeof(struct time_info) == 32, "pvclock_vcpu_time_info");

#define CLOCK_STABLE	1
#define CLOCK_STOPPED	2

struct wall_clock {
	volatile uint32_t version, sec, nsec;
};

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	asm volatile("lfence; rdtsc; lfence" : "=a"(lo), "=d"(hi) : : "memory");
	return lo | (uint64_t)hi << 32;
}

/* As Linux reads it, but for the order that it enforces where CLOCK_STABLE is not set */
static inline __attribute__((target("general-regs-only"))) uint64_t
read_clock(const struct time_info *t)
{
	uint64_t delta, ns;
	uint32_t version;

	do {
		version = t->version & ~1u;
		asm volatile("" : : : "memory");
		delta = rdtsc() - t->tsc_timestamp;
		delta = t->shift < 0 ? delta >> -t->shift : delta << t->shift;
		ns = t->system_time + (uint64_t)((__uint128_t)delta * t->mult >> 32);
		asm volatile("" : : : "memory");
	} while (version != t->version);
	return ns;
}

static inline uint32_t pv_features(struct vcpu *v)
{
	struct hvx_cpuid_entry e;

	return vcpu_cpuid(v, KVM_LEAF, 0, &e) ? e.eax : 0;
}

#endif
