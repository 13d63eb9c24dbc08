// SPDX-License-Identifier: GPL-2.0-only
/*
 * halt_poll: how long HLT looks for events before it sleeps. Without polling each wait costs a
 * sleep and a wake-up; with polling that does not adapt, idle guests burn the host's CPUs.
 *
 * The guest halts, its timer wakes it. The host's thread that runs it has slept when its count of
 * voluntary context switches has grown; when it has polled, its CPU time has.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "apic.h"
#include "sysfiles.h"

#define PARAMETER	"/sys/module/hvx/parameters/halt_poll_ns"
#define MSR_POLL	0x4b564d05
#define MSEC		1000000U
#define NAP		(5 * MSEC)
#define LONGEST		(200 * MSEC)	/* of a poll */
#define LONG_NAP	(500 * MSEC)
#define TRIES		200		/* a busy host lets naps end before they begin */

static char found[32];			/* the parameter's value before the tests */

/* Halts for g->arg ns each time */
GUEST(naps)
{
	apic_on();
	g->handler[0x60] = tick;
	wr(TDCR, 0xb);
	wr(LVT_TIMER, 0x60);
	for (;;) {
		wr(TMICT, g->arg);
		asm volatile("sti; hlt; cli" : : : "memory");
		guest_sync(ticks);
	}
}

/* The same, of a guest that polls by itself */
GUEST(naps_alone)
{
	g_wrmsr(MSR_POLL, 0);
	naps(g);
}

static void restore(void)
{
	file_write(PARAMETER, found);
}

/* Around all tests, which are processes of their own */
static void __attribute__((constructor)) keep(void)
{
	if (access(PARAMETER, W_OK))
		return;
	snprintf(found, sizeof(found), "%ld", file_number(PARAMETER));
	atexit(restore);
}

static void set_longest(unsigned int ns)
{
	char text[32];

	snprintf(text, sizeof(text), "%u", ns);
	REQUIRE(file_write(PARAMETER, text), "cannot write %s", PARAMETER);
}

/* With all features that guests know from KVM */
static struct vcpu *napping(guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(HVX_VM_LAPIC), 0);

	vcpu_setup_long_mode(v, fn);
	return v;
}

struct nap {
	long sleeps;
	unsigned long long cpu_ns;
};

static unsigned long long cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static long sleeps(void)
{
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	return u.ru_nvcsw;
}

static struct nap nap(struct vcpu *v, unsigned int ns)
{
	struct nap n;

	v->g->arg = ns;
	n.sleeps = sleeps();
	n.cpu_ns = cpu_ns();
	REQUIRE(vcpu_ucall(v) == UC_SYNC);
	n.cpu_ns = cpu_ns() - n.cpu_ns;
	n.sleeps = sleeps() - n.sleeps;
	return n;
}

static bool slept(struct nap n)
{
	return n.sleeps;
}

/* All the time, which is not when the nap ended before it began */
static bool polled(struct nap n)
{
	return !n.sleeps && n.cpu_ns >= NAP / 2;
}

/* Polling gives way to programs that want the CPU: are there any, all the time? */
static bool host_is_busy(void)
{
	unsigned int i, running, busy = 0;

	for (i = 0; i < 20; i++) {
		/* The last number before the slash counts this process, too */
		if (sscanf(file_read("/proc/loadavg"), "%*f %*f %*f %u/", &running) == 1)
			busy += running > 1;
		usleep(1000);
	}
	return busy > 10;
}

/* Naps until @nr were as @is says; how many were not */
static unsigned int naps_until(struct vcpu *v, unsigned int nr, bool (*is)(struct nap n))
{
	unsigned int i, seen = 0;

	for (i = 0; seen < nr; i++) {
		if (i == TRIES && is == polled && host_is_busy())
			SKIP("other programs want this host's CPUs");
		if (!EXPECT(i < TRIES, "only %u of %u", seen, nr))
			break;
		seen += is(nap(v, NAP));
	}
	return i - seen;
}

/* It begins with none, and doubles until the events are met. */
TEST_TIME(grows, 60)
{
	struct vcpu *v = napping(naps);
	unsigned int others;

	set_longest(LONGEST);
	others = naps_until(v, 10, polled);
	EXPECT(others >= 3, "after %u that were not", others);
	tap_note("%u naps until 10 were polled through", others + 10);
}

/* A sleep longer than the longest poll ends polling at once. */
TEST_TIME(shrinks, 60)
{
	struct vcpu *v = napping(naps);
	unsigned int i;
	struct nap n, next;

	set_longest(LONGEST);
	for (i = 0; i < TRIES / 10; i++) {
		naps_until(v, 2, polled);
		n = nap(v, LONG_NAP);
		next = nap(v, NAP);
		if (slept(n) && slept(next))
			break;
	}
	EXPECT(i < TRIES / 10, "polls after a long sleep");
	EXPECT(n.cpu_ns < LONG_NAP / 2, "polled for %llu ns", n.cpu_ns);
}

TEST_TIME(off, 60)
{
	set_longest(0);
	naps_until(napping(naps), 30, slept);
}

/* What had grown is cut when the parameter is. */
TEST_TIME(switched_off, 60)
{
	struct vcpu *v = napping(naps);

	set_longest(LONGEST);
	naps_until(v, 2, polled);
	set_longest(0);
	nap(v, NAP);
	naps_until(v, 30, slept);
}

/* MSR_KVM_POLL_CONTROL of Linux: the host need not poll, too. */
TEST_TIME(guest_polls, 60)
{
	set_longest(LONGEST);
	naps_until(napping(naps_alone), 30, slept);
}
