// SPDX-License-Identifier: GPL-2.0-only
/*
 * hotplug: a CPU goes offline and comes back while guests run on it. Nothing of hvx may stay on a
 * CPU outside the run window; if it did, the CPU would come back with it, or not at all.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "vm.h"

static volatile bool stop_guest;
static volatile uint64_t loops[2];

GUEST(spins)
{
	while (!stop_guest) {
		loops[g->id]++;
		if (loops[g->id] % 1024 == 0)
			g_outl(0x100, 0);
	}
}

static void *run_vcpu(void *arg)
{
	struct vcpu *v = arg;
	cpu_set_t both;

	CPU_ZERO(&both);
	CPU_SET(cpu_number(0), &both);
	CPU_SET(cpu_number(1), &both);
	while (vcpu_ucall(v) == UC_NONE) {
		if (!EXPECT_EQ(v->run->exit_reason, HVX_EXIT_IO))
			return NULL;
		/* Back to where it was driven from, as soon as that is there again */
		if (v->id == 1 && v->g->arg++ % 8 == 0) {
			pthread_setaffinity_np(pthread_self(), sizeof(both), &both);
			sched_yield();
		}
	}
	return NULL;
}

/* The second CPU */
static int open_online(void)
{
	char path[64];

	if (nr_cpus() < 2)
		return -1;
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/online", cpu_number(1));
	return open(path, O_WRONLY);
}

static void need_hotplug(void)
{
	int fd = open_online();

	if (fd < 0)
		SKIP("no second CPU that can go offline");
	close(fd);
}

static int set_online(bool on)
{
	int fd = open_online(), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, on ? "1" : "0", 1) == 1 ? 0 : -errno;
	close(fd);
	return ret;
}

TEST_TIME(cpu_offline_and_online, 60)
{
	struct vm *vm;
	struct vcpu *v[2];
	pthread_t thread[2];
	uint64_t before[2];
	unsigned int i, round;
	const long online = sysconf(_SC_NPROCESSORS_ONLN);

	need_hotplug();
	vm = vm_create(0);
	for (i = 0; i < 2; i++) {
		v[i] = vcpu_create(vm, i);
		vcpu_setup_long_mode(v[i], spins);
		REQUIRE(!pthread_create(&thread[i], NULL, run_vcpu, v[i]));
	}
	for (round = 0; round < 6; round++) {
		int ret = set_online(round & 1);

		EXPECT(!ret, "round %u: %s", round, strerror(-ret));
		before[0] = loops[0];
		before[1] = loops[1];
		for (i = 0; i < 200 && (loops[0] == before[0] || loops[1] == before[1]); i++)
			usleep(10000);
		EXPECT(loops[0] != before[0] && loops[1] != before[1], "round %u: stuck", round);
	}
	stop_guest = true;
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(sysconf(_SC_NPROCESSORS_ONLN), online);
}

GUEST(returns)
{
	loops[0]++;
}

/* A CPU that has been away runs guests like before. */
TEST_TIME(afterwards, 60)
{
	struct vcpu *v;

	need_hotplug();
	pin_to(1);
	v = vcpu_create(vm_create(0), 0);
	vcpu_setup_long_mode(v, returns);
	vcpu_finish(v);
	pin_to(0);
	EXPECT_EQ(set_online(false), 0);
	vcpu_setup_long_mode(v, returns);
	vcpu_finish(v);
	EXPECT_EQ(set_online(true), 0);
	pin_to(1);
	vcpu_setup_long_mode(v, returns);
	vcpu_finish(v);
	EXPECT_EQ(loops[0], 3);
}
