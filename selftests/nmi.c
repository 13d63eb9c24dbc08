// SPDX-License-Identifier: GPL-2.0-only
/*
 * nmi: NMIs of the host that come while its CPU is in a guest. They have to reach the host's
 * handler, once, and the guest must not notice: neither an NMI of its own nor a change of its
 * state.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "sysfiles.h"
#include "vm.h"

#define NMIS	5
#define CR2	0x123456789000UL

static volatile bool stop;
static volatile uint64_t rounds;

/* Nothing here exits, so that is where an NMI finds it. */
GUEST(count_twice)
{
	uint64_t a = 0, b = 0;

	G_WRITE_REG(cr2, CR2);
	while (!stop) {
		asm volatile("inc %0; inc %1" : "+r" (a), "+r" (b));
		rounds = a;
	}
	GUEST_EQ(a, b);
	GUEST_EQ(G_READ_REG(cr2), CR2);
	GUEST_EQ(g->count[2], 0);
}

/* Kernels complain of handlers that take long. To print a stack by a serial line does. */
static void allow_long_handlers(void)
{
	const char *limit = "/sys/kernel/debug/x86/nmi_longest_ns";

	if (access(limit, F_OK))
		mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	REQUIRE(file_write(limit, "100000000000"), "%s: %s", limit, strerror(errno));
}

static void *run_guest(void *arg)
{
	pin_to(1);
	vcpu_finish(arg);
	return NULL;
}

/* The kernel asks the other CPUs for their stacks by NMI. */
TEST_TIME(host_nmi, 60)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	unsigned long before, i;
	pthread_t thread;
	uint64_t reached;
	int cpu;

	if (nr_cpus() < 2)
		SKIP("one CPU");
	allow_long_handlers();
	pin_to(0);
	cpu = cpu_number(1);
	vcpu_setup_long_mode(v, count_twice);
	REQUIRE(!pthread_create(&thread, NULL, run_guest, v));
	before = interrupts("NMI", cpu);
	for (i = 1; i <= NMIS; i++) {
		reached = rounds + 1000;
		while (rounds < reached)
			usleep(1000);
		REQUIRE(file_write("/proc/sysrq-trigger", "l"));
		EXPECT_EQ(interrupts("NMI", cpu), before + i);
	}
	reached = rounds + 1000;
	while (rounds < reached)
		usleep(1000);
	stop = true;
	pthread_join(thread, NULL);
}
