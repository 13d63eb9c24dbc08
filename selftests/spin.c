// SPDX-License-Identifier: GPL-2.0-only
/*
 * spin: guests that wait for each other with PAUSE, with fewer CPUs than vCPUs. Where the
 * processor notices that (HVX_HOST_PAUSE_LOOP), the one that spins gives its CPU to the one that it
 * waits for, instead of keeping it to the end of its time slice.
 */
#define _GNU_SOURCE
#include <pthread.h>

#include "vm.h"

#define ROUNDS	100

static volatile uint64_t turn;

static bool has_exits(void)
{
	struct hvx_host_info info = { .size = sizeof(info) };

	REQUIRE(!xioctl(hvx_open(), HVX_GET_HOST_INFO, &info));
	return info.features & HVX_HOST_PAUSE_LOOP;
}

GUEST(spins_alone)
{
	unsigned int i;

	guest_sync(1);
	for (i = 0; i < 100000; i++)
		asm volatile("pause");
	guest_sync(2);
}

static uint64_t exits_of_spin(struct vm *vm)
{
	struct vcpu *v = vcpu_create(vm, 0);
	uint64_t before;

	vcpu_setup_long_mode(v, spins_alone);
	vcpu_expect_sync(v, 1);
	before = v->run->exits;
	vcpu_expect_sync(v, 2);
	vcpu_finish(v);
	return v->run->exits - before;
}

TEST(exits)
{
	struct vm *vm = vm_create(0);

	if (!has_exits())
		SKIP("this processor has no exits for loops of PAUSE");
	/* on each of the loop's many steps there is one, but not for each PAUSE */
	vcpu_create(vm, 1);
	EXPECT(exits_of_spin(vm) >= 10);
	EXPECT(exits_of_spin(vm_create(0)) < 10000);
}

GUEST(takes_turns)
{
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		while ((turn & 1) != g->id)
			asm volatile("pause");
		turn = turn + 1;
	}
}

static void *run_one(void *arg)
{
	pin_to(0);
	vcpu_finish(arg);
	return NULL;
}

/* Both on one CPU, so that each waits for the other to be scheduled */
TEST_TIME(take_turns, 60)
{
	struct vm *vm = vm_create(0);
	unsigned long long begin = now_ms();
	struct vcpu *v[2];
	pthread_t thread[2];
	unsigned long long exits, ms;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		v[i] = vcpu_create(vm, i);
		vcpu_setup_long_mode(v[i], takes_turns);
	}
	for (i = 0; i < 2; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, run_one, v[i]));
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(turn, 2 * ROUNDS);
	exits = v[0]->run->exits + v[1]->run->exits;
	ms = now_ms() - begin;
	tap_note("%u turns in %llu ms, %llu exits", 2 * ROUNDS, ms, exits);
	if (!has_exits())
		return;
	EXPECT(exits >= ROUNDS);
	/* To the end of a time slice it would be some 3 ms or more for each turn */
	EXPECT(ms < 2 * ROUNDS, "%llu ms", ms);
}
