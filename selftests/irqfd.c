// SPDX-License-Identifier: GPL-2.0-only
/*
 * irqfd: eventfds that raise interrupts, as edges, as messages and as levels that last until EOI.
 * Without it device models lose interrupts, get them twice, or bring the kernel down with an
 * eventfd that is closed while somebody writes to it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "irq.h"

#define VEC		0x61
#define PIN		9
#define MSI_GSI		64
#define REMOVE		HVX_IRQFD_REMOVE
#define RESAMPLE	HVX_IRQFD_RESAMPLE

static volatile uint32_t taken;
static volatile bool no_eoi, stop;

static GUEST_CODE void on_irq(struct gcpu *g, struct gframe *f)
{
	taken++;
	if (!no_eoi)
		g_eoi();
}

static struct vcpu *start(guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(VM_CHIPS), 0);
	unsigned int i;

	vcpu_setup_long_mode(v, fn);
	for (i = 32; i < VEC_RING3_END; i++)
		v->g->handler[i] = on_irq;
	return v;
}

/* Takes what waits and tells how many it was in all. */
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

static void route_msi(struct vm *vm, uint32_t gsi, uint8_t vector)
{
	struct hvx_route r = {
		.gsi = gsi, .type = HVX_ROUTE_MSI, .address = 0xfee00000, .data = vector,
	};

	REQUIRE(!vm_routing(vm, &r, 1));
}

TEST(edge)
{
	struct vcpu *v = start_look(VEC);
	int fd = event_create();

	EXPECT(!vm_irqfd(v->vm, 0, fd, PIN, -1));
	vcpu_expect_sync(v, 0);
	event_signal(fd);
	/* It was consumed: nobody else hears of it */
	EXPECT_EQ(event_count(fd), 0);
	vcpu_expect_sync(v, 1);
	event_signal(fd);
	event_signal(fd);
	vcpu_expect_sync(v, 2);
	EXPECT(!vm_irqfd(v->vm, REMOVE, fd, PIN, -1));
	event_signal(fd);
	EXPECT_EQ(event_count(fd), 1);
	vcpu_expect_sync(v, 2);
}

TEST(message)
{
	struct vcpu *v = start_look(RE_MASKED);
	int fd = event_create(), nowhere = event_create();

	/* The line has no route yet, and its irqfd does not mind */
	EXPECT(!vm_irqfd(v->vm, 0, fd, MSI_GSI, -1));
	EXPECT(!vm_irqfd(v->vm, 0, nowhere, MSI_GSI + 1, -1));
	event_signal(fd);
	vcpu_expect_sync(v, 0);
	route_msi(v->vm, MSI_GSI, VEC);
	event_signal(fd);
	event_signal(nowhere);
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(v->g->count[VEC], 1);
	route_msi(v->vm, MSI_GSI, VEC + 1);
	event_signal(fd);
	vcpu_expect_sync(v, 2);
	EXPECT_EQ(v->g->count[VEC + 1], 1);
}

/* What the eventfd counted before counts as well. */
TEST(counted_before)
{
	struct vcpu *v = start_look(VEC);
	int fd = event_create();

	event_signal(fd);
	event_signal(fd);
	EXPECT(!vm_irqfd(v->vm, 0, fd, PIN, -1));
	vcpu_expect_sync(v, 1);
	event_signal(fd);
	vcpu_expect_sync(v, 2);
}

/* ------------------------------------------------------------------------- resampling */

TEST(resample)
{
	struct vcpu *v = start_look(VEC | RE_LEVEL);
	int fd = event_create(), resample = event_create();

	EXPECT(!vm_irqfd(v->vm, RESAMPLE, fd, PIN, resample));
	event_signal(fd);
	EXPECT_EQ(event_count(resample), 0);
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(event_count(resample), 1);
	/* The line fell at EOI: nothing comes by itself */
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(event_count(resample), 0);
	event_signal(fd);
	vcpu_expect_sync(v, 2);
	EXPECT_EQ(event_count(resample), 1);
	/* Without EOI the line stays up, and more signals change nothing */
	no_eoi = true;
	event_signal(fd);
	vcpu_expect_sync(v, 3);
	event_signal(fd);
	vcpu_expect_sync(v, 3);
	EXPECT_EQ(event_count(resample), 0);
}

/* Two devices on one line: both are asked at EOI, and the one that still wants it says so. */
TEST(shared_line)
{
	struct vcpu *v = start_look(VEC | RE_LEVEL);
	int fd[2], resample[2], i;

	for (i = 0; i < 2; i++) {
		fd[i] = event_create();
		resample[i] = event_create();
		EXPECT(!vm_irqfd(v->vm, RESAMPLE, fd[i], PIN, resample[i]));
	}
	event_signal(fd[0]);
	event_signal(fd[1]);
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(event_count(resample[0]), 1);
	EXPECT_EQ(event_count(resample[1]), 1);
	/* One goes while the line is up: the other still has its level */
	no_eoi = true;
	event_signal(fd[1]);
	vcpu_expect_sync(v, 2);
	EXPECT(!vm_irqfd(v->vm, REMOVE, fd[0], PIN, -1));
	EXPECT(!vm_irqfd(v->vm, REMOVE, fd[1], PIN, -1));
	vcpu_expect_sync(v, 2);
}

GUEST(resample_until)
{
	g_lapic_enable();
	g_ioapic_route(PIN, VEC | RE_LEVEL, 0);
	guest_sync(0);
	while (!stop)
		g_take_irqs();
}

static void *run_it(void *arg)
{
	vcpu_finish(arg);
	return NULL;
}

/* A device that asks again at each resample: one interrupt for each, none lost. */
#define ROUNDS	1000

TEST_TIME(resample_under_load, 60)
{
	struct vcpu *v = start(resample_until);
	int fd = event_create(), resample = event_create();
	struct pollfd p = { .fd = resample, .events = POLLIN };
	pthread_t thread;
	unsigned int i;

	EXPECT(!vm_irqfd(v->vm, RESAMPLE, fd, PIN, resample));
	vcpu_expect_sync(v, 0);
	REQUIRE(!pthread_create(&thread, NULL, run_it, v));
	for (i = 0; i < ROUNDS; i++) {
		event_signal(fd);
		if (!EXPECT(poll(&p, 1, 5000 * tap_scale()) == 1, "round %u", i))
			break;
		EXPECT_EQ(event_count(resample), 1);
	}
	stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(taken, i);
}

/* An interrupt is raised by one VM's ioeventfd: eventfd to eventfd, all in the kernel. */
GUEST(knock)
{
	asm volatile("outb %%al, %%dx" : : "a"(0), "d"(0x300));
}

TEST(from_ioeventfd)
{
	struct vcpu *w, *v = start_look(VEC);
	int fd = event_create();

	w = vcpu_create(vm_create(0), 0);
	vcpu_setup_long_mode(w, knock);
	EXPECT(!vm_irqfd(v->vm, 0, fd, PIN, -1));
	EXPECT(!vm_ioeventfd(w->vm, HVX_IOEVENTFD_PIO, 0x300, 1, fd, 0));
	vcpu_finish(w);
	vcpu_expect_sync(v, 1);
}

/* ------------------------------------------------------------------------------- load */

#define WRITERS	4
#define SIGNALS	5000

static int fds[WRITERS];

static void *write_many(void *arg)
{
	unsigned int i;

	for (i = 0; i < SIGNALS; i++)
		event_signal(*(int *)arg);
	return NULL;
}

GUEST(count_all)
{
	g_lapic_enable();
	guest_sync(0);
	while (!stop)
		g_take_irqs();
	g_take_irqs();
	g_take_irqs();
}

/* Interrupts merge, but the last one of each writer comes after all its signals. */
TEST_TIME(several_writers, 60)
{
	struct hvx_route r[WRITERS];
	struct vcpu *v = start(count_all);
	pthread_t thread[WRITERS], run;
	unsigned int i;

	for (i = 0; i < WRITERS; i++) {
		fds[i] = event_create();
		r[i] = (struct hvx_route){ .gsi = MSI_GSI + i, .type = HVX_ROUTE_MSI,
			.address = 0xfee00000, .data = VEC + i };
		EXPECT(!vm_irqfd(v->vm, 0, fds[i], MSI_GSI + i, -1));
	}
	EXPECT(!vm_routing(v->vm, r, WRITERS));
	vcpu_expect_sync(v, 0);
	REQUIRE(!pthread_create(&run, NULL, run_it, v));
	for (i = 0; i < WRITERS; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, write_many, &fds[i]));
	for (i = 0; i < WRITERS; i++)
		pthread_join(thread[i], NULL);
	for (i = 0; i < WRITERS; i++)
		EXPECT(v->g->count[VEC + i] > 0 && v->g->count[VEC + i] <= SIGNALS);
	stop = true;
	pthread_join(run, NULL);
	for (i = 0; i < WRITERS; i++) {
		EXPECT_EQ(event_count(fds[i]), 0);
		tap_note("%u interrupts of %u signals", v->g->count[VEC + i], SIGNALS);
	}
}

/* Assigned, removed and closed while others write to it */
static volatile int live = -1;

static void *write_live(void *arg)
{
	uint64_t one = 1;

	while (!stop) {
		int fd = live;

		if (fd >= 0 && write(fd, &one, sizeof(one)) < 0 && errno != EBADF)
			tap_note("write: %d", errno);
	}
	return NULL;
}

TEST_TIME(closed_in_use, 60)
{
	struct vcpu *v = start(count_all);
	int resample = event_create();
	pthread_t thread[2], run;
	unsigned int i;

	route_msi(v->vm, MSI_GSI, VEC);
	vcpu_expect_sync(v, 0);
	REQUIRE(!pthread_create(&run, NULL, run_it, v));
	for (i = 0; i < 2; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, write_live, NULL));
	for (i = 0; i < 500; i++) {
		uint32_t flags = i % 3 == 1 ? RESAMPLE : 0;
		int fd = event_create();

		live = fd;
		EXPECT(!vm_irqfd(v->vm, flags, fd, MSI_GSI, resample));
		if (i % 2)
			EXPECT(!vm_irqfd(v->vm, REMOVE, fd, MSI_GSI, -1));
		close(fd);
	}
	stop = true;
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	pthread_join(run, NULL);
}

/* The VM goes first, and writers do not notice. */
TEST_TIME(vm_goes_first, 60)
{
	pthread_t thread[2];
	unsigned int i;

	live = event_create();
	for (i = 0; i < 2; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, write_live, NULL));
	for (i = 0; i < 100; i++) {
		struct vm *vm = vm_create_bare(VM_CHIPS);
		struct vcpu *v = vcpu_create_bare(vm, 0);
		int other = event_create();

		if (i % 2)
			route_msi(vm, PIN, VEC);
		EXPECT(!vm_irqfd(vm, i % 3 ? RESAMPLE : 0, live, PIN, other));
		EXPECT(!vm_irqfd(vm, RESAMPLE, other, PIN, live));
		if (i % 5 == 0)
			close(other);
		if (i % 7)
			vcpu_destroy(v);
		vm_destroy(vm);
		if (!(i % 7))
			vcpu_destroy(v);
		if (i % 5)
			close(other);
	}
	stop = true;
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
}

/* ------------------------------------------------------------------------------ errors */

TEST(wrong_arguments)
{
	struct vm *vm = vm_create(VM_CHIPS), *none = vm_create(0), *apic = vm_create(HVX_VM_LAPIC);
	int fd = event_create(), other = event_create(), file = open("/dev/null", O_RDWR);

	EXPECT_EQ(vm_irqfd(none, 0, fd, PIN, -1), -EOPNOTSUPP);
	EXPECT_EQ(vm_irqfd(vm, 0, -1, PIN, -1), -EBADF);
	EXPECT_EQ(vm_irqfd(vm, 0, 1000, PIN, -1), -EBADF);
	EXPECT_EQ(vm_irqfd(vm, 0, file, PIN, -1), -EINVAL);
	EXPECT_EQ(vm_irqfd(vm, 0, vm->fd, PIN, -1), -EINVAL);
	EXPECT_EQ(vm_irqfd(vm, 1 << 2, fd, PIN, -1), -EINVAL);
	EXPECT_EQ(vm_irqfd(vm, 0, fd, HVX_MAX_GSI + 1, -1), -EINVAL);
	EXPECT_EQ(vm_irqfd(vm, 0, fd, ~0U, -1), -EINVAL);
	EXPECT_EQ(vm_irqfd(vm, RESAMPLE, fd, PIN, -1), -EBADF);
	EXPECT_EQ(vm_irqfd(vm, RESAMPLE, fd, PIN, file), -EINVAL);
	EXPECT_EQ(vm_irqfd(apic, RESAMPLE, fd, PIN, other), -EINVAL);
	EXPECT_EQ(vm_irqfd(apic, 0, fd, PIN, -1), 0);
	EXPECT_EQ(vm_irqfd(apic, REMOVE, fd, PIN, -1), 0);

	EXPECT_EQ(vm_irqfd(vm, REMOVE, fd, PIN, -1), -ENOENT);
	EXPECT_EQ(vm_irqfd(vm, 0, fd, PIN, -1), 0);
	EXPECT_EQ(vm_irqfd(vm, 0, fd, PIN, -1), -EBUSY);
	EXPECT_EQ(vm_irqfd(vm, 0, fd, PIN + 1, -1), -EBUSY);
	EXPECT_EQ(vm_irqfd(vm, RESAMPLE, fd, PIN, other), -EBUSY);
	EXPECT_EQ(vm_irqfd(vm, REMOVE, fd, PIN + 1, -1), -ENOENT);
	EXPECT_EQ(vm_irqfd(vm, REMOVE, other, PIN, -1), -ENOENT);
	EXPECT_EQ(vm_irqfd(vm, 0, other, PIN, -1), 0);
	EXPECT_EQ(vm_irqfd(vm, REMOVE, fd, PIN, -1), 0);
	EXPECT_EQ(vm_irqfd(vm, REMOVE, fd, PIN, -1), -ENOENT);
	EXPECT_EQ(vm_irqfd(vm, 0, fd, HVX_MAX_GSI, -1), 0);
}

TEST(too_many_resamplers)
{
	struct vm *vm = vm_create(VM_CHIPS);
	int fd, resample = event_create();
	unsigned int i;

	for (i = 0; i < HVX_MAX_RESAMPLERS; i++)
		REQUIRE(!vm_irqfd(vm, RESAMPLE, event_create(), i % 24, resample));
	fd = event_create();
	EXPECT_EQ(vm_irqfd(vm, RESAMPLE, fd, PIN, resample), -ENOSPC);
	EXPECT_EQ(vm_irqfd(vm, 0, fd, PIN, -1), 0);
}

TEST(too_many)
{
	const struct rlimit files = { HVX_MAX_IRQFDS + 64, HVX_MAX_IRQFDS + 64 };
	struct vm *vm = vm_create(VM_CHIPS);
	int first = event_create(), last;
	unsigned int i;

	if (setrlimit(RLIMIT_NOFILE, &files))
		SKIP("not so many open files: %s", strerror(errno));
	REQUIRE(!vm_irqfd(vm, 0, first, PIN, -1));
	for (i = 1; i < HVX_MAX_IRQFDS; i++)
		REQUIRE(!vm_irqfd(vm, 0, event_create(), i % 24, -1), "after %u", i);
	last = event_create();
	EXPECT_EQ(vm_irqfd(vm, 0, last, PIN, -1), -ENOSPC);
	EXPECT_EQ(vm_irqfd(vm, REMOVE, first, PIN, -1), 0);
	EXPECT_EQ(vm_irqfd(vm, 0, last, PIN, -1), 0);
	EXPECT_EQ(vm_irqfd(vm, 0, first, PIN, -1), -ENOSPC);
}

/*
 * The last descriptor of an irqfd is closed while another one comes for the same line: what that
 * one raises stays up.
 */
TEST_TIME(one_goes_another_comes, 60)
{
	struct vcpu *v = start_look(VEC | RE_LEVEL);
	struct hvx_ioapic_state state;
	unsigned int i;

	for (i = 0; i < 200; i++) {
		int old = event_create(), fd = event_create(), other = event_create();
		int back = event_create();

		REQUIRE(!vm_irqfd(v->vm, RESAMPLE, old, PIN, back));
		close(old);
		usleep(i % 20 * 20);
		REQUIRE(!vm_irqfd(v->vm, RESAMPLE, fd, PIN, back));
		event_signal(fd);
		/* Waits for all that are going */
		REQUIRE(!vm_irqfd(v->vm, 0, other, PIN + 1, -1));
		REQUIRE(!vm_irqfd(v->vm, REMOVE, other, PIN + 1, -1));
		REQUIRE(!vm_get_chip(v->vm, HVX_CHIP_IOAPIC, &state, sizeof(state)));
		if (!EXPECT(state.lines & 1U << PIN, "round %u", i))
			break;
		REQUIRE(!vm_irqfd(v->vm, REMOVE, fd, PIN, -1));
		close(fd);
		close(other);
		close(back);
	}
}

/* ------------------------------------------------------------- what it costs others */

/* Function calls by interrupt that this CPU has had so far; CPUs are all online */
static unsigned long long calls_of_cpu(int cpu)
{
	FILE *f = fopen("/proc/interrupts", "r");
	unsigned long long n = 0;
	char line[4096], *p;
	int i;

	REQUIRE(f);
	while (fgets(line, sizeof(line), f)) {
		p = strstr(line, "CAL:");
		if (!p)
			continue;
		for (p += 4, i = 0; i <= cpu; i++)
			n = strtoull(p, &p, 10);
	}
	fclose(f);
	return n;
}

/* The @n-th CPU that this program may use, for this thread alone; -1: there is none */
static int stay_on(int n)
{
	cpu_set_t may, one;
	int cpu;

	REQUIRE(!sched_getaffinity(getpid(), sizeof(may), &may));
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &may) && !n--)
			break;
	}
	if (cpu == CPU_SETSIZE)
		return -1;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	REQUIRE(!sched_setaffinity(0, sizeof(one), &one));
	return cpu;
}

static void *spin(void *arg)
{
	*(volatile int *)arg = stay_on(1);
	while (!stop)
		;
	return NULL;
}

/* Who changes a table waits for its readers, and interrupts no CPU that has none. */
TEST(tables_leave_cpus_alone)
{
	const unsigned int rounds = 300;
	struct vm *vm = vm_create(VM_CHIPS);
	struct hvx_route r = { .gsi = 1, .type = HVX_ROUTE_IOAPIC, .pin = 1 };
	unsigned long long before, after;
	volatile int cpu = -2;
	pthread_t thread;
	unsigned int i;

	REQUIRE(!pthread_create(&thread, NULL, spin, (void *)&cpu));
	while (cpu == -2)
		sched_yield();
	if (cpu < 0)
		SKIP("needs two CPUs");
	stay_on(0);
	before = calls_of_cpu(cpu);
	for (i = 0; i < rounds; i++)
		EXPECT(!vm_routing(vm, &r, 1));
	after = calls_of_cpu(cpu);
	stop = true;
	pthread_join(thread, NULL);
	EXPECT(after - before < rounds / 2, "%llu interrupts", after - before);
}
