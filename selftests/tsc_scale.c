// SPDX-License-Identifier: GPL-2.0-only
/*
 * tsc_scale: TSCs that run at a rate that is not the host's. Without it a guest that comes from a
 * host with another TSC has a clock, timers and a kvm-clock that run too fast or too slow. AMD-V's
 * one ratio for all that a CPU runs would be another guest's soon. Where the processor cannot do
 * it, the rate of the host is all there is, and the VMM is told so.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "irq.h"
#include "pv.h"

#define MSR_TSC_ADJUST	0x3b
#define MSR_DEADLINE	0x6e0
#define LVT_TIMER	0x320
#define DEADLINE_MODE	(1U << 18)
#define MS		1000000ULL

static long host_khz(void)
{
	long khz = hvx_cap(HVX_CAP_TSC_KHZ);

	if (!khz)
		SKIP("the rate of the TSC is not known");
	return khz;
}

static void need_scaling(void)
{
	host_khz();
	if (!hvx_cap(HVX_CAP_TSC_SCALING))
		SKIP("no TSC scaling");
}

static int set_khz(int fd, unsigned long khz)
{
	return xioctl(fd, HVX_SET_TSC_KHZ, (void *)khz);
}

static int get_khz(int fd)
{
	return xioctl(fd, HVX_GET_TSC_KHZ, NULL);
}

static struct vm *vm_with(uint32_t flags, unsigned long khz)
{
	struct vm *vm = vm_create(flags);

	REQUIRE(!set_khz(vm->fd, khz));
	EXPECT_EQ(get_khz(vm->fd), khz);
	return vm;
}

static struct vcpu *start(struct vm *vm, unsigned int id, guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm, id);

	vcpu_setup_long_mode(v, fn);
	return v;
}

static uint64_t next_sync(struct vcpu *v)
{
	EXPECT_EQ(vcpu_ucall(v), UC_SYNC);
	return v->uc.arg[0];
}

static uint64_t tsc_of(struct vcpu *v)
{
	uint64_t t = 0;

	EXPECT_EQ(vcpu_get_msr(v, MSR_TSC, &t), 1);
	return t;
}

/* Ticks at @khz for @ticks of the host's */
static uint64_t scaled(uint64_t ticks, long khz)
{
	return (__uint128_t)ticks * khz / host_khz();
}

/* ------------------------------------------------------------------ which rates there are */

TEST(host_rate)
{
	struct vm *vm = vm_create(0);
	long khz = host_khz();
	struct vcpu *v;

	EXPECT_EQ(get_khz(vm->fd), khz);
	EXPECT_EQ(set_khz(vm->fd, khz), 0);
	v = vcpu_create(vm, 0);
	EXPECT_EQ(get_khz(v->fd), khz);
	EXPECT_EQ(set_khz(v->fd, khz), 0);
	EXPECT_EQ(get_khz(v->fd), khz);
}

TEST(other_rates)
{
	struct vm *vm = vm_create(0), *empty = vm_create(0);
	struct vcpu *v = vcpu_create(vm, 0);
	long khz = host_khz(), other = khz + 1;
	int want = hvx_cap(HVX_CAP_TSC_SCALING) ? 0 : -EOPNOTSUPP;

	EXPECT_EQ(set_khz(v->fd, other), want);
	EXPECT_EQ(get_khz(v->fd), want ? khz : other);
	EXPECT_EQ(set_khz(empty->fd, other), want);
	EXPECT_EQ(get_khz(empty->fd), want ? khz : other);
	EXPECT_EQ(get_khz(vcpu_create(empty, 0)->fd), want ? khz : other);
}

TEST(errors)
{
	static const unsigned long bad[] = { 0, 1, 999, 1UL << 31, 1UL << 32, (1UL << 32) + 2000000,
					     ~0UL };
	struct vm *vm = vm_create(0), *empty = vm_create(0);
	struct vcpu *v = vcpu_create(vm, 0);
	long khz = host_khz();
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		EXPECT(set_khz(v->fd, bad[i]) == -EINVAL, "%lu kHz", bad[i]);
		EXPECT(set_khz(empty->fd, bad[i]) == -EINVAL, "%lu kHz", bad[i]);
	}
	EXPECT_EQ(xioctl(v->fd, HVX_GET_TSC_KHZ, (void *)1), -EINVAL);
	EXPECT_EQ(xioctl(vm->fd, HVX_GET_TSC_KHZ, (void *)1), -EINVAL);
	EXPECT_EQ(set_khz(hvx_open(), khz), -ENOTTY);
	EXPECT_EQ(get_khz(hvx_open()), -ENOTTY);
	EXPECT_EQ(set_khz(vm->fd, khz), -EBUSY);
	EXPECT_EQ(get_khz(v->fd), khz);
	EXPECT_EQ(get_khz(empty->fd), khz);
}

/* The leaf of frequencies tells the rate of the VM. */
TEST(cpuid)
{
	static struct hvx_cpuid_entry table[HVX_MAX_CPUID];
	struct hvx_cpuid_entry e;
	unsigned int i, nr;
	struct vm *vm;
	long khz;

	need_scaling();
	khz = 1234567;
	vm = vm_with(0, khz);
	if (!vcpu_cpuid(vcpu_create(vm, 0), 0x16, 0, &e) || !e.eax)
		SKIP("no such leaf");
	EXPECT_EQ(e.eax, 1235);
	EXPECT_EQ(e.ebx, 1235);
	nr = vm_supported_cpuid(vm, table);
	for (i = 0; i < nr; i++)
		if (table[i].function == 0x16)
			EXPECT_EQ(table[i].eax, 1235);
}

/* ------------------------------------------------------------------------------- TSC */

/* Readings of the processor and of hvx are of one counter, which never goes back. */
GUEST(tells_tsc)
{
	uint64_t t, m;
	unsigned int i;

	for (;;) {
		guest_sync(rdtsc());
		for (i = 0; i < 50; i++) {
			t = rdtsc();
			m = g_rdmsr(MSR_TSC);
			GUEST_ASSERT(m >= t);
			t = rdtsc();
			GUEST_ASSERT(t >= m);
		}
	}
}

/* The guest's TSC, and the host's before and after */
struct reading {
	uint64_t before, guest, after;
};

static struct reading read_tsc(struct vcpu *v)
{
	struct reading r;

	r.before = rdtsc();
	r.guest = next_sync(v);
	r.after = rdtsc();
	return r;
}

static void check_interval(struct reading a, struct reading b, long khz)
{
	uint64_t min = scaled(b.before - a.after, khz), max = scaled(b.after - a.before, khz);
	uint64_t g = b.guest - a.guest;

	EXPECT(g + 2 >= min && g <= max + 2, "%ld kHz: %lu, not %lu .. %lu", khz, g, min, max);
}

/* From one sync to another */
static void check_rate(struct vcpu *v, long khz)
{
	struct reading a = read_tsc(v);

	usleep(20000);
	check_interval(a, read_tsc(v), khz);
}

TEST(rates)
{
	long host = host_khz();
	long rates[] = { host / 2, host - 1, host + 1, host * 3 / 2, host * 7, 1000 };
	struct vcpu *v;
	unsigned int i;

	need_scaling();
	for (i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		/* The VM's */
		v = start(vm_with(0, rates[i]), 0, tells_tsc);
		/* from 0 on: less than a minute has gone by */
		EXPECT(next_sync(v) < rates[i] * 60000UL, "%lu", v->uc.arg[0]);
		check_rate(v, rates[i]);
		/* and one of its own */
		EXPECT_EQ(set_khz(v->fd, rates[!i]), 0);
		check_rate(v, rates[!i]);
		EXPECT_EQ(set_khz(v->fd, host), 0);
		check_rate(v, host);
	}
}

/* Where the processor has one ratio for all guests each still has its own, on every CPU. */
TEST(in_turn)
{
	long host = host_khz(), khz[] = { host * 2, host, host / 2 };
	struct reading first[3];
	struct vcpu *v[3];
	unsigned int i, k;

	need_scaling();
	for (i = 0; i < 3; i++) {
		v[i] = start(vm_with(0, khz[i]), 0, tells_tsc);
		first[i] = read_tsc(v[i]);
	}
	for (k = 0; k < 30 && !tap_failures(); k++) {
		pin_to(k % nr_cpus());
		for (i = 0; i < 3; i++)
			check_interval(first[i], read_tsc(v[i]), khz[i]);
		usleep(1000);
	}
}

/* How far a ratio goes is the processor's: below 2^8 on AMD-V, below 2^16 on VT-x. */
TEST(highest_rate)
{
	unsigned long khz, most = hvx_vendor() == HVX_VENDOR_SVM ? 1 << 8 : 1 << 16;
	struct vcpu *v;

	need_scaling();
	khz = host_khz();
	v = start(vm_create(0), 0, tells_tsc);
	if ((khz * most) >> 31)
		SKIP("HVX_SET_TSC_KHZ does not take so much");
	EXPECT_EQ(set_khz(v->fd, khz * most), -EINVAL);
	EXPECT_EQ(get_khz(v->fd), khz);
	check_rate(v, khz);
	EXPECT_EQ(set_khz(v->fd, khz * most - 1), 0);
	EXPECT_EQ(get_khz(v->fd), khz * most - 1);
	check_rate(v, khz * most - 1);
}

GUEST(sets_tsc)
{
	uint64_t t;

	g_wrmsr(MSR_TSC, 1UL << 50);
	t = rdtsc();
	GUEST_ASSERT(t >= 1UL << 50 && t < (1UL << 50) + g->arg);
	g_wrmsr(MSR_TSC_ADJUST, g_rdmsr(MSR_TSC_ADJUST) + (1UL << 51));
	t = rdtsc();
	GUEST_ASSERT(t >= (1UL << 50) + (1UL << 51) && t < (1UL << 50) + (1UL << 51) + g->arg);
	guest_sync(g_rdmsr(MSR_TSC_ADJUST));
	t = rdtsc();
	GUEST_ASSERT(t >= 1UL << 40 && t < (1UL << 40) + g->arg);
	guest_sync(g_rdmsr(MSR_TSC_ADJUST));
}

/* Writes are of ticks of the guest. */
TEST(set)
{
	struct vcpu *v;
	uint64_t adjust, t;
	long khz;

	need_scaling();
	khz = host_khz() * 3;
	v = start(vm_with(0, khz), 0, sets_tsc);
	v->g->arg = khz * 60000UL;
	adjust = next_sync(v);
	/* less what passed before the first write */
	t = (1UL << 50) + (1UL << 51);
	EXPECT(adjust > t - v->g->arg && adjust <= t, "%#lx", adjust);
	EXPECT_EQ(vcpu_set_msr(v, MSR_TSC, 1UL << 40), 1);
	EXPECT_EQ(next_sync(v), adjust);
	/* The counter goes on from where it is when its rate changes; what was adjusted stays. */
	t = tsc_of(v);
	EXPECT_EQ(set_khz(v->fd, khz / 5), 0);
	EXPECT(tsc_of(v) >= t && tsc_of(v) < t + v->g->arg, "%lu after %lu", tsc_of(v), t);
	t = tsc_of(v);
	EXPECT_EQ(set_khz(v->fd, host_khz()), 0);
	EXPECT(tsc_of(v) >= t && tsc_of(v) < t + v->g->arg, "%lu after %lu", tsc_of(v), t);
	EXPECT_EQ(vcpu_get_msr(v, MSR_TSC_ADJUST, &t), 1);
	EXPECT_EQ(t, adjust);
	vcpu_finish(v);
}

/* ------------------------------------------------------------------------------ timer */

static GUEST_CODE void tick(struct gcpu *g, struct gframe *f)
{
	g_mmio_write(LAPIC + LAPIC_EOI, 0);
}

GUEST(waits)
{
	uint64_t at;
	unsigned int i;

	g_lapic_enable();
	g->handler[0x62] = tick;
	g_mmio_write(LAPIC + LVT_TIMER, DEADLINE_MODE | 0x62);
	for (i = 1;; i++) {
		at = rdtsc() + g->arg;
		g_wrmsr(MSR_DEADLINE, at);
		guest_sync(i);
		asm volatile("sti; hlt; cli" : : : "memory");
		GUEST_EQ(g->count[0x62], i);
		at = rdtsc() - at;
		GUEST_ASSERT((int64_t)at >= 0);
		guest_sync(at);
	}
}

/* A deadline comes when the TSC says so, and soon after. */
static void check_deadline(struct vcpu *v, unsigned int i, long khz)
{
	uint64_t late;

	v->g->arg = khz * 200UL;	/* 200 ms */
	vcpu_expect_sync(v, i);
	late = next_sync(v);
	EXPECT(late < khz * 100UL, "%lu ms late at %ld kHz", late / khz, khz);
}

TEST(deadline)
{
	struct vcpu *v;
	long khz;

	need_scaling();
	/* The host's rate would have it far too late, or too early */
	khz = host_khz() * 4;
	v = start(vm_with(HVX_VM_LAPIC, khz), 0, waits);
	check_deadline(v, 1, khz);
	khz = host_khz() / 4;
	EXPECT_EQ(set_khz(v->fd, khz), 0);
	check_deadline(v, 2, khz);
	/* What is armed when the rate changes stays a value of the TSC: 20 s, and 200 ms */
	v->g->arg = 20000UL * khz;
	vcpu_expect_sync(v, 3);
	EXPECT_EQ(set_khz(v->fd, khz * 100), 0);
	EXPECT(next_sync(v) < khz * 100 * 100UL, "%lu ticks late", v->uc.arg[0]);
}

/* ------------------------------------------------------------------------------ clock */

static struct time_info *info[2];

GUEST(tells_time)
{
	g_wrmsr(MSR_SYSTEM_TIME, (uintptr_t)info[g->id] | 1);
	for (;;)
		guest_sync(read_clock(info[g->id]));
}

static struct vcpu *start_clock(struct vm *vm, unsigned int id)
{
	info[id] = heap_alloc(sizeof(**info), 32);
	return start(vm, id, tells_time);
}

static uint64_t clock_of(struct vm *vm, unsigned int *flags)
{
	struct hvx_clock c = { .size = sizeof(c) };

	REQUIRE(!xioctl(vm->fd, HVX_GET_CLOCK, &c));
	*flags = c.flags;
	return c.ns;
}

static long khz_of(const struct time_info *t)
{
	__uint128_t khz = (__uint128_t)1000000 << 32;

	return t->shift < 0 ? (khz << -t->shift) / t->mult : khz / t->mult >> t->shift;
}

/* The guest reads between two readings of the VMM: what it reads lies between, but for @slack. */
static void check_clock(struct vm *vm, struct vcpu *v, bool stable, uint64_t slack)
{
	unsigned int flags;
	uint64_t before, ns, after;

	before = clock_of(vm, &flags);
	ns = next_sync(v);
	after = clock_of(vm, &flags);
	EXPECT(ns + slack >= before && ns <= after + slack, "%lu is not in %lu .. %lu", ns, before,
	       after);
	EXPECT_EQ(!!(flags & HVX_CLOCK_STABLE), stable);
	EXPECT_EQ(!!(info[v->id]->flags & CLOCK_STABLE), stable);
}

/* One rate for the VM: kvm-clock is one clock as ever, in ticks of the guest. */
TEST(clock)
{
	struct vm *vm;
	struct vcpu *v[2];
	unsigned int i, flags;
	bool stable;
	long khz;

	need_scaling();
	khz = host_khz() * 5 / 3;
	vm = vm_with(0, khz);
	clock_of(vm, &flags);
	stable = flags & HVX_CLOCK_STABLE;
	for (i = 0; i < 2; i++)
		v[i] = start_clock(vm, i);
	for (i = 0; i < 6; i++) {
		check_clock(vm, v[i & 1], stable, stable ? 0 : MS);
		EXPECT(labs(khz_of(info[i & 1]) - khz) <= 1, "%ld kHz, not %ld",
		       khz_of(info[i & 1]), khz);
		usleep(5000);
	}
	/* The VMM sets the TSC of both, for a VM that came from elsewhere: they stay together */
	for (i = 0; i < 2; i++)
		EXPECT_EQ(vcpu_set_msr(v[i], MSR_TSC, 1UL << 45), 1);
	for (i = 0; i < 4; i++)
		check_clock(vm, v[i & 1], stable, stable ? 0 : MS);
	/* One that has a rate of its own: each clock goes on, and nobody calls them one */
	EXPECT_EQ(set_khz(v[1]->fd, khz * 2), 0);
	for (i = 0; i < 4; i++)
		check_clock(vm, v[i & 1], false, MS);
	EXPECT(labs(khz_of(info[1]) - 2 * khz) <= 1, "%ld kHz, not %ld", khz_of(info[1]), 2 * khz);
	EXPECT(labs(khz_of(info[0]) - khz) <= 1, "%ld kHz, not %ld", khz_of(info[0]), khz);
	/* And back: what the VMM sets then is what the others have */
	EXPECT_EQ(set_khz(v[1]->fd, khz), 0);
	EXPECT_EQ(vcpu_set_msr(v[1], MSR_TSC, tsc_of(v[0])), 1);
	for (i = 0; i < 4; i++)
		check_clock(vm, v[i & 1], stable, stable ? 0 : MS);
}

/* ------------------------------------------------------------------------------ state */

/* A VM of another host: its rate, its TSC, and the deadline in it */
TEST(moved)
{
	static uint8_t image[65536] __attribute__((aligned(8)));
	struct hvx_blob b = { .size = sizeof(b), .len = sizeof(image), .data = (uintptr_t)image };
	struct vcpu *from, *to;
	uint64_t t;
	long khz;

	need_scaling();
	khz = host_khz() * 4;
	from = start(vm_with(HVX_VM_LAPIC, khz), 0, waits);
	/* Less than a second from that of the other it would be taken for the same */
	EXPECT_EQ(vcpu_set_msr(from, MSR_TSC, 1UL << 45), 1);
	from->g->arg = khz * 200UL;
	vcpu_expect_sync(from, 1);
	t = tsc_of(from);
	REQUIRE(!xioctl(from->fd, HVX_GET_STATE, &b));
	to = start(vm_with(HVX_VM_LAPIC, khz), 0, waits);
	REQUIRE(!xioctl(to->fd, HVX_SET_STATE, &b));
	EXPECT(tsc_of(to) >= t && tsc_of(to) < t + khz * 60000UL, "%lu after %lu", tsc_of(to), t);
	EXPECT(next_sync(to) < khz * 100UL, "%lu ms late", to->uc.arg[0] / khz);
}
