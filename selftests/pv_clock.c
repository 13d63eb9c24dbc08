// SPDX-License-Identifier: GPL-2.0-only
/*
 * pv_clock: the paravirtual clock. Without it Linux guests measure their TSC against timers, for
 * long and badly, and have no time at all over a pause or a move.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "pv.h"

#define MS	1000000ULL

static struct time_info *info[2];
static struct wall_clock *wall;

static uint64_t host_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static struct vcpu *start(struct vm *vm, unsigned int id, guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm, id);

	if (!(pv_features(v) & F_CLOCKSOURCE2))
		SKIP("the rate of the TSC is not known");
	info[id] = heap_alloc(sizeof(**info), 32);
	wall = heap_alloc(sizeof(*wall), 4);
	vcpu_setup_long_mode(v, fn);
	return v;
}

static uint64_t next_sync(struct vcpu *v)
{
	EXPECT_EQ(vcpu_ucall(v), UC_SYNC);
	return v->uc.arg[0];
}

GUEST(tell_time)
{
	g_wrmsr(MSR_SYSTEM_TIME, (uintptr_t)info[g->id] | 1);
	GUEST_EQ(info[g->id]->version & 1, 0);
	GUEST_EQ(g_rdmsr(MSR_SYSTEM_TIME), (uintptr_t)info[g->id] | 1);
	for (;;)
		guest_sync(read_clock(info[g->id]));
}

/* It counts nanoseconds, from the creation of the VM, and agrees with HVX_GET_CLOCK. */
TEST(runs)
{
	struct hvx_clock c = { .size = sizeof(c) };
	uint64_t t[4], ns, before = host_ns(CLOCK_MONOTONIC_RAW);
	struct vm *vm = vm_create(0);
	struct vcpu *v = start(vm, 0, tell_time);

	t[0] = host_ns(CLOCK_MONOTONIC_RAW);
	ns = next_sync(v);
	t[1] = host_ns(CLOCK_MONOTONIC_RAW);
	EXPECT(ns <= t[1] - before, "%lu ns after %lu ns", ns, t[1] - before);
	usleep(300000);
	t[2] = host_ns(CLOCK_MONOTONIC_RAW);
	ns = next_sync(v) - ns;
	t[3] = host_ns(CLOCK_MONOTONIC_RAW);
	/* The host's clock and its TSC may differ by what NTP allows, 500 ppm */
	EXPECT(ns >= (t[2] - t[1]) / 1001 * 1000 && ns <= (t[3] - t[0]) / 999 * 1000,
	       "%lu ns, not %lu to %lu", ns, t[2] - t[1], t[3] - t[0]);

	t[0] = next_sync(v);
	EXPECT_EQ(xioctl(vm->fd, HVX_GET_CLOCK, &c), 0);
	t[1] = next_sync(v);
	/* Where the TSC is not trusted it goes its own way for a second */
	ns = info[0]->flags & CLOCK_STABLE ? 0 : MS;
	EXPECT(c.ns + ns >= t[0] && c.ns <= t[1] + ns, "%llu is not in %lu .. %lu", c.ns, t[0],
	       t[1]);
	if (c.flags & HVX_CLOCK_STABLE)
		EXPECT_EQ(info[0]->flags, CLOCK_STABLE);
	else
		EXPECT_EQ(info[0]->flags, 0);
	ns = host_ns(CLOCK_REALTIME);
	EXPECT(c.realtime <= ns && ns - c.realtime < 60000 * MS, "%llu, %lu", c.realtime, ns);
	EXPECT(c.tsc < rdtsc(), "%llu", c.tsc);
}

/* The host's rate of the TSC can be had from it: what Linux takes for its TSC. */
TEST(rate)
{
	struct vcpu *v = start(vm_create(0), 0, tell_time);
	uint64_t khz;

	next_sync(v);
	khz = (1000000ULL << 32) / info[0]->mult;
	khz = info[0]->shift < 0 ? khz << -info[0]->shift : khz >> info[0]->shift;
	EXPECT(labs((long)khz - hvx_cap(HVX_CAP_TSC_KHZ)) <= 1, "%lu kHz, not %ld", khz,
	       hvx_cap(HVX_CAP_TSC_KHZ));
}

/* ------------------------------------------------------------------ two vCPUs */

static volatile uint32_t lock;
static volatile uint64_t latest, reads[2];
static volatile bool stop;

GUEST(compare)
{
	const struct time_info *t;
	uint64_t ns;

	g_wrmsr(MSR_SYSTEM_TIME, (uintptr_t)info[g->id] | 1);
	guest_sync(0);
	while (!stop) {
		while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
			asm volatile("pause");
		/* With the flag one structure is as good as the other */
		t = info[0]->flags & CLOCK_STABLE ? info[reads[g->id]++ & 1] : info[g->id];
		ns = read_clock(t);
		if (info[g->id]->flags & CLOCK_STABLE && ns < latest) {
			GUEST_EQ(ns, latest);
			return;
		}
		latest = ns;
		__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
	}
}

static void *run_compare(void *arg)
{
	EXPECT_EQ(vcpu_ucall(arg), UC_DONE);
	return NULL;
}

TEST_TIME(never_backwards, 30)
{
	struct vm *vm = vm_create(0);
	struct vcpu *v[2] = { start(vm, 0, compare), start(vm, 1, compare) };
	unsigned long long begin;
	pthread_t thread[2];
	unsigned int i;

	for (i = 0; i < 2; i++)
		vcpu_expect_sync(v[i], 0);
	begin = now_ms();
	for (i = 0; i < 2; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, run_compare, v[i]));
	while (keep_on(begin, 1000, reads[0] > 1000 && reads[1] > 1000))
		usleep(10000);
	stop = true;
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	if (info[0]->flags & CLOCK_STABLE)
		EXPECT(reads[0] > 100 && reads[1] > 100, "%lu, %lu reads", reads[0], reads[1]);
}

GUEST(move_tsc)
{
	g_wrmsr(MSR_SYSTEM_TIME, (uintptr_t)info[g->id] | 1);
	guest_sync(read_clock(info[g->id]));
	if (g->id)
		g_wrmsr(MSR_TSC, rdtsc() + (1UL << 40));
	guest_sync(read_clock(info[g->id]));
	if (g->id)
		g_wrmsr(MSR_TSC, rdtsc() - (1UL << 40));
	guest_sync(read_clock(info[g->id]));
}

/* A guest that sets TSCs apart is told that they are; each clock goes on. */
TEST(tscs_apart)
{
	struct vm *vm = vm_create(0);
	struct vcpu *v[2] = { start(vm, 0, move_tsc), start(vm, 1, move_tsc) };
	uint64_t ns[2];
	unsigned int i;

	for (i = 0; i < 2; i++)
		ns[i] = next_sync(v[i]);
	if (!(info[0]->flags & CLOCK_STABLE))
		SKIP("the host does not trust its TSC");
	for (i = 2; i--;) {
		uint64_t t = next_sync(v[i]);

		EXPECT(t >= ns[i] && t - ns[i] < 10000 * MS, "%lu after %lu", t, ns[i]);
		EXPECT_EQ(info[i]->flags, 0);
	}
}

/* ------------------------------------------------------------------ wall clock, get and set */

GUEST(tell_wall)
{
	g_wrmsr(MSR_WALL_CLOCK, (uintptr_t)wall);
	GUEST_EQ(wall->version & 1, 0);
	GUEST_EQ(g_rdmsr(MSR_WALL_CLOCK), (uintptr_t)wall);
	g_wrmsr(MSR_SYSTEM_TIME, (uintptr_t)info[0] | 1);
	guest_sync(wall->sec * 1000000000UL + wall->nsec + read_clock(info[0]));
}

TEST(wall_clock)
{
	struct vcpu *v = start(vm_create(0), 0, tell_wall);
	uint64_t before, ns, after;

	before = host_ns(CLOCK_REALTIME);
	ns = next_sync(v);
	after = host_ns(CLOCK_REALTIME);
	/* Two clocks of the host may differ by what NTP did since the VM was made */
	EXPECT(ns + MS >= before && ns <= after + MS, "%lu is not in %lu .. %lu", ns, before,
	       after);
	EXPECT(wall->nsec < 1000000000, "%u", wall->nsec);
}

TEST(set_clock)
{
	struct hvx_clock c = { .size = sizeof(c), .ns = 1000000 * 1000 * MS };
	struct vm *vm = vm_create(0);
	struct vcpu *v = start(vm, 0, tell_time);
	uint64_t ns;

	next_sync(v);
	EXPECT_EQ(xioctl(vm->fd, HVX_SET_CLOCK, &c), 0);
	ns = next_sync(v);
	EXPECT(ns >= c.ns && ns < c.ns + 60000 * MS, "%lu after %llu", ns, c.ns);
	EXPECT_EQ(info[0]->flags & CLOCK_STOPPED, CLOCK_STOPPED);
	c.ns = 5;
	EXPECT_EQ(xioctl(vm->fd, HVX_SET_CLOCK, &c), 0);
	ns = next_sync(v);
	EXPECT(ns >= 5 && ns < 60000 * MS, "%lu after 5", ns);
	c.ns = 1UL << 63;
	EXPECT_EQ(xioctl(vm->fd, HVX_SET_CLOCK, &c), -EINVAL);
	c = (struct hvx_clock){ .size = sizeof(c), .tsc = 1 };
	EXPECT_EQ(xioctl(vm->fd, HVX_SET_CLOCK, &c), -EINVAL);
	c = (struct hvx_clock){ .size = sizeof(c), .realtime = 1 };
	EXPECT_EQ(xioctl(vm->fd, HVX_SET_CLOCK, &c), -EINVAL);
	c = (struct hvx_clock){ .size = sizeof(c), .flags = HVX_CLOCK_STABLE };
	EXPECT_EQ(xioctl(vm->fd, HVX_SET_CLOCK, &c), -EINVAL);
	EXPECT_EQ(xioctl(vm->fd, HVX_GET_CLOCK, &c), -EINVAL);
}

/* A guest on another VM goes on where it was: its MSRs, its TSC, its clock. */
TEST(moved)
{
	static uint8_t image[32768];
	struct hvx_blob blob = {
		.size = sizeof(blob), .len = sizeof(image), .data = (uintptr_t)image,
	};
	struct hvx_clock c = { .size = sizeof(c) };
	struct vm *vm = vm_create(0);
	struct vcpu *v = start(vm, 0, tell_time);
	uint64_t ns;

	next_sync(v);
	ns = next_sync(v);
	REQUIRE(!xioctl(v->fd, HVX_GET_STATE, &blob));
	REQUIRE(!xioctl(vm->fd, HVX_GET_CLOCK, &c));
	/* the call that is not finished yet */
	usleep(10000);
	vm = vm_create(0);
	v = vcpu_create(vm, 0);
	REQUIRE(!xioctl(v->fd, HVX_SET_STATE, &blob));
	c = (struct hvx_clock){ .size = sizeof(c), .ns = c.ns };
	REQUIRE(!xioctl(vm->fd, HVX_SET_CLOCK, &c));
	ns = next_sync(v) - ns;
	EXPECT(ns < 60000 * MS, "%lu ns", ns);
	EXPECT_EQ(info[0]->version & 1, 0);
}

/* ------------------------------------------------------------------ hostile */

GUEST(no_clock)
{
	uint64_t val;

	GUEST_EQ(try_wrmsr(g, MSR_SYSTEM_TIME, (uintptr_t)info[0] | 1), 13);
	GUEST_EQ(try_wrmsr(g, MSR_WALL_CLOCK, (uintptr_t)wall), 13);
	GUEST_EQ(try_rdmsr(g, MSR_ASYNC_PF, &val), 13);
	GUEST_EQ(info[0]->version, 0);
}

/* What the VMM takes out of CPUID is not there. */
TEST(hidden)
{
	static struct hvx_cpuid_entry table[HVX_MAX_CPUID];
	struct vm *vm = vm_create(0);
	struct vcpu *v = start(vm, 0, no_clock);
	unsigned int i, n = vm_supported_cpuid(vm, table);

	for (i = 0; i < n; i++) {
		if (table[i].function == KVM_LEAF)
			table[i].eax = 0;
	}
	REQUIRE(!vcpu_set_cpuid(v, table, n));
	vcpu_finish(v);
}

GUEST(bad_addresses)
{
	GUEST_EQ(try_wrmsr(g, MSR_SYSTEM_TIME, (uintptr_t)info[0] + 2), 13);
	GUEST_EQ(try_wrmsr(g, MSR_SYSTEM_TIME, 1UL << 60 | 1), 13);
	GUEST_EQ(try_wrmsr(g, MSR_WALL_CLOCK, (uintptr_t)wall + 1), 13);
	/* Nothing is there, or nothing can be written: the guest's own fault */
	g_wrmsr(MSR_SYSTEM_TIME, HOLE | 1);
	g_wrmsr(MSR_WALL_CLOCK, HOLE);
	g_wrmsr(MSR_SYSTEM_TIME, (HOLE - 4) | 1);
	g_wrmsr(MSR_SYSTEM_TIME, (uintptr_t)guest_start | 1);
	/* over the end of a page */
	g_wrmsr(MSR_SYSTEM_TIME, g->arg | 1);
	GUEST_ASSERT(read_clock((void *)g->arg) > 0);
	g_wrmsr(MSR_SYSTEM_TIME, 0);
	GUEST_EQ(g_rdmsr(MSR_SYSTEM_TIME), 0);
}

TEST(bad_address)
{
	struct vcpu *v = start(vm_create(0), 0, bad_addresses);

	v->g->arg = (uintptr_t)heap_alloc(2 * PAGE_SIZE, PAGE_SIZE) + PAGE_SIZE - 12;
	vcpu_finish(v);
}

GUEST(use_page)
{
	g_wrmsr(MSR_SYSTEM_TIME, g->arg | 1);
	guest_sync(read_clock((void *)g->arg));
}

/* A page that the VMM has not got: it is told, and can get it. */
TEST(missing_memory)
{
	struct vm *vm = vm_create(0);
	struct vcpu *v = start(vm, 0, use_page);
	const uint64_t gpa = 0xa8000000;
	uint8_t *page = host_pages(PAGE_SIZE);

	REQUIRE(!vm_region(vm, SLOT_FREE, 0, gpa, PAGE_SIZE, page));
	mprotect(page, PAGE_SIZE, PROT_NONE);
	v->g->arg = gpa + 0x40;
	EXPECT_EQ(vcpu_run(v), -EFAULT);
	EXPECT_EQ(v->run->exit_reason, HVX_EXIT_MEMORY_FAULT);
	EXPECT_EQ(v->run->memory.gpa, gpa + 0x40);
	EXPECT_EQ(v->run->memory.hva, (uintptr_t)page + 0x40);
	EXPECT_EQ(v->run->memory.access, HVX_ACCESS_WRITE);
	EXPECT_EQ(v->run->memory.error, EFAULT);
	EXPECT_EQ(vcpu_run(v), -EFAULT);
	mprotect(page, PAGE_SIZE, PROT_READ | PROT_WRITE);
	EXPECT(next_sync(v) > 0);
}
