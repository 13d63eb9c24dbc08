// SPDX-License-Identifier: GPL-2.0-only
/*
 * hole: addresses in no region. A vCPU remembers that it met one, so that drivers do not make hvx
 * search the regions for each access to a device; and must forget it as soon as a region appears
 * there, while vCPUs run, too: else guests would talk to a device where their memory is.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "vm.h"

#define SLOT	SLOT_FREE
#define MEMORY	0x1111111111111111UL
#define DEVICE	0xd1d1d1d1d1d1d1d1UL

static uint64_t searched(struct vm *vm)
{
	struct hvx_memory_info i = { .size = sizeof(i) };

	REQUIRE(!xioctl(vm->fd, HVX_GET_MEMORY_INFO, &i));
	return i.holes;
}

static uint64_t *memory(void)
{
	uint64_t *p = host_pages(PAGE_SIZE);

	*p = MEMORY;
	return p;
}

static void set(struct vm *vm, void *p)
{
	REQUIRE(!vm_region(vm, SLOT, 0, HOLE, PAGE_SIZE, p));
}

static void clear(struct vm *vm)
{
	REQUIRE(!vm_region(vm, SLOT, 0, 0, 0, NULL));
}

static volatile uint64_t sum;

/* Reads g->arg pages, three times each time it is run */
GUEST(reads)
{
	uint64_t i, k;

	for (;;) {
		sum = 0;
		for (k = 0; k < 3; k++) {
			for (i = 0; i < g->arg; i++)
				sum += *G_HIDE((volatile uint64_t *)(HOLE + i * PAGE_SIZE));
		}
		guest_sync(0);
	}
}

static struct vcpu *start(guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, fn);
	return v;
}

/* Runs @reads, answers for the device, and returns how often it was asked */
static unsigned int asked(struct vcpu *v, uint64_t pages)
{
	unsigned int n = 0;

	v->g->arg = pages;
	while (vcpu_run(v) == HVX_EXIT_MMIO) {
		EXPECT(!v->run->mmio.write);
		EXPECT(v->run->mmio.gpa - HOLE < pages * PAGE_SIZE);
		memset(v->run->mmio.data, 0, 8);
		n++;
	}
	return n;
}

TEST(searched_once)
{
	struct vcpu *v = start(reads);
	uint64_t before = searched(v->vm);

	EXPECT_EQ(asked(v, 4), 12);
	EXPECT_EQ(searched(v->vm), before + 4);
	EXPECT_EQ(asked(v, 4), 12);
	EXPECT_EQ(searched(v->vm), before + 4);
	/* More than are remembered are found all the same */
	EXPECT_EQ(asked(v, 100), 300);
	EXPECT_EQ(asked(v, 100), 300);
}

TEST(region_appears)
{
	struct vcpu *v = start(reads);
	uint64_t *p = memory(), before = searched(v->vm);
	unsigned int i;

	for (i = 1; i <= 3; i++) {
		EXPECT_EQ(asked(v, 1), 3);
		EXPECT_EQ(searched(v->vm), before + i);
		set(v->vm, p);
		EXPECT_EQ(asked(v, 1), 0);
		EXPECT_EQ(sum, 3 * MEMORY);
		clear(v->vm);
	}
}

TEST(region_elsewhere)
{
	struct vcpu *v = start(reads);
	uint64_t *p = memory();

	EXPECT_EQ(asked(v, 2), 6);
	REQUIRE(!vm_region(v->vm, SLOT, 0, HOLE + PAGE_SIZE, PAGE_SIZE, p));
	EXPECT_EQ(asked(v, 2), 3);
	EXPECT_EQ(asked(v, 2), 3);
	clear(v->vm);
	EXPECT_EQ(asked(v, 2), 6);
}

/* ------------------------------------------------------------------ while vCPUs run */

#define VCPUS	2
/* Odd steps: nothing changes. Of these, every second one has the region. */
#define HAS_REGION(step)	((step) % 4 == 1)

static uint64_t step, stop, wrong, met[2];

GUEST(watches)
{
	uint64_t from, seen;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		from = __atomic_load_n(&step, __ATOMIC_ACQUIRE);
		seen = *G_HIDE((volatile uint64_t *)HOLE);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (from != __atomic_load_n(&step, __ATOMIC_ACQUIRE) || !(from & 1))
			continue;
		if (seen != (HAS_REGION(from) ? MEMORY : DEVICE))
			__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&met[HAS_REGION(from)], 1, __ATOMIC_RELAXED);
	}
	guest_sync(0);
}

static void *answers(void *arg)
{
	const uint64_t device = DEVICE;
	struct vcpu *v = arg;

	while (vcpu_run(v) == HVX_EXIT_MMIO)
		memcpy(v->run->mmio.data, &device, sizeof(device));
	return NULL;
}

/* Until a vCPU has met what is there now */
static void let_run(unsigned int has_region)
{
	uint64_t before = __atomic_load_n(&met[has_region], __ATOMIC_RELAXED);
	unsigned int i;

	for (i = 0; i < 5000; i++) {
		if (__atomic_load_n(&met[has_region], __ATOMIC_RELAXED) != before)
			return;
		usleep(100);
	}
}

TEST_TIME(region_appears_beside, 60)
{
	struct vm *vm = vm_create(0);
	struct vcpu *v[VCPUS];
	pthread_t thread[VCPUS];
	uint64_t *p = memory();
	unsigned int i, round;

	for (i = 0; i < VCPUS; i++) {
		v[i] = vcpu_create(vm, i);
		vcpu_setup_long_mode(v[i], watches);
		REQUIRE(!pthread_create(&thread[i], NULL, answers, v[i]));
	}
	for (round = 0; round < 100; round++) {
		/* Gone, or not yet there */
		__atomic_store_n(&step, 4 * round + 3, __ATOMIC_RELEASE);
		let_run(0);
		__atomic_store_n(&step, 4 * round + 4, __ATOMIC_SEQ_CST);
		set(vm, p);
		__atomic_store_n(&step, 4 * round + 5, __ATOMIC_RELEASE);
		let_run(1);
		__atomic_store_n(&step, 4 * round + 6, __ATOMIC_SEQ_CST);
		clear(vm);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < VCPUS; i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(wrong, 0);
	tap_note("%llu reads of the device, %llu of memory", (unsigned long long)met[0],
		 (unsigned long long)met[1]);
	EXPECT(met[0] >= 100 && met[1] >= 100);
	EXPECT(searched(vm) > 0);
}
