// SPDX-License-Identifier: GPL-2.0-only
/*
 * prefault: HVX_PREFAULT takes a guest's faults in advance. A guest that has to run without delays
 * relies on the mapping being there; a VMM that logs writes, on its not counting as one; and every
 * VMM on being told where it stopped, and why.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "vm.h"

#define GPA	0x40000000UL
#define SLOT	SLOT_FREE
#define M2	0x200000UL
#define PAGES	256UL
#define LEN	(PAGES * PAGE_SIZE)
#define WRITE	HVX_PREFAULT_WRITE

static uint8_t *memory(size_t len, int advice)
{
	uint8_t *p = mmap(NULL, len + M2, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	REQUIRE(p != MAP_FAILED);
	p = (uint8_t *)(((uintptr_t)p + M2 - 1) & -M2);
	REQUIRE(!madvise(p, len, advice));
	return p;
}

static struct vcpu *start(guest_fn fn, uint32_t flags, size_t len, uint8_t *p)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	REQUIRE(!vm_region(v->vm, SLOT, flags, GPA, len, p));
	vcpu_setup_long_mode(v, fn);
	return v;
}

static struct hvx_memory_info info(struct vm *vm)
{
	struct hvx_memory_info i = { .size = sizeof(i) };

	REQUIRE(!xioctl(vm->fd, HVX_GET_MEMORY_INFO, &i));
	return i;
}

static struct hvx_prefault ask(uint32_t flags, uint64_t gpa, uint64_t len)
{
	return (struct hvx_prefault){
		.size = sizeof(struct hvx_prefault), .flags = flags, .gpa = gpa, .len = len,
	};
}

static long prefault(struct vm *vm, uint32_t flags, uint64_t gpa, uint64_t len)
{
	struct hvx_prefault p = ask(flags, gpa, len);
	long ret = xioctl(vm->fd, HVX_PREFAULT, &p);

	if (!ret) {
		EXPECT_EQ(p.gpa, gpa + len);
		EXPECT_EQ(p.len, 0);
	}
	return ret;
}

static volatile uint64_t *guest_page(uint64_t i)
{
	return (uint64_t *)(GPA + i * PAGE_SIZE);
}

/* Writes g->arg pages, each time it is run */
GUEST(writes)
{
	uint64_t i;

	for (;;) {
		for (i = 0; i < g->arg; i++)
			++*G_HIDE(guest_page(i));
		guest_sync(0);
	}
}

GUEST(reads)
{
	uint64_t i, sum = 0;

	for (i = 0; i < g->arg; i++)
		sum += *G_HIDE(guest_page(i));
	guest_sync(sum);
}

/* Faults that one run of the guest takes, once its own program is there */
static uint64_t faults_of(struct vcpu *v)
{
	uint64_t before = info(v->vm).faults;

	REQUIRE(vcpu_ucall(v) == UC_SYNC);
	return info(v->vm).faults - before;
}

TEST(no_faults_are_left)
{
	struct vcpu *v = start(writes, 0, LEN, memory(LEN, MADV_NOHUGEPAGE));

	EXPECT_EQ(hvx_cap(HVX_CAP_PREFAULT), 1);
	/* The guest's own tables that lead there have to be present, too */
	v->g->arg = 1;
	vcpu_expect_sync(v, 0);
	EXPECT_EQ(prefault(v->vm, WRITE, GPA, LEN), 0);
	EXPECT(info(v->vm).mapped_4k >= PAGES);
	v->g->arg = PAGES;
	EXPECT_EQ(faults_of(v), 0);
	/* Again, with nothing left to do */
	EXPECT_EQ(prefault(v->vm, WRITE, GPA, LEN), 0);
	EXPECT_EQ(prefault(v->vm, 0, GPA, LEN), 0);
	EXPECT_EQ(prefault(v->vm, 0, GPA, 0), 0);
}

/* A vCPU is not needed, and a part is a part */
TEST(by_parts)
{
	struct vm *vm = vm_create_bare(0);

	REQUIRE(!vm_region(vm, SLOT, 0, GPA, LEN, memory(LEN, MADV_NOHUGEPAGE)));
	EXPECT_EQ(prefault(vm, WRITE, GPA + 3 * PAGE_SIZE, 5 * PAGE_SIZE), 0);
	EXPECT_EQ(info(vm).mapped_4k, 5);
	EXPECT_EQ(prefault(vm, WRITE, GPA, 4 * PAGE_SIZE), 0);
	EXPECT_EQ(info(vm).mapped_4k, 8);
}

TEST(large_entries)
{
	uint8_t *p = memory(4 * M2, MADV_HUGEPAGE);
	struct vm *vm = vm_create_bare(0);

	REQUIRE(!vm_region(vm, SLOT, 0, GPA, 4 * M2, p));
	EXPECT_EQ(prefault(vm, WRITE, GPA + PAGE_SIZE, 3 * M2), 0);
	if (!info(vm).mapped_2m)
		SKIP("the host has no transparent huge pages to give");
	EXPECT_EQ(info(vm).mapped_2m, 4);
	EXPECT_EQ(info(vm).mapped_4k, 0);
}

/* As for a read: what a write would have to copy or bring is not brought */
TEST(for_reading)
{
	uint8_t *p = memory(LEN, MADV_NOHUGEPAGE);
	struct vcpu *v = start(writes, 0, LEN, p);
	unsigned int i;

	EXPECT_EQ(prefault(v->vm, 0, GPA, LEN), 0);
	EXPECT(info(v->vm).mapped_4k >= PAGES);
	v->g->arg = PAGES;
	EXPECT(faults_of(v) >= PAGES);
	for (i = 0; i < PAGES; i++) {
		if (!EXPECT_EQ(*(uint64_t *)(p + i * PAGE_SIZE), 1))
			break;
	}
}

TEST(nothing_was_written)
{
	uint8_t *p = memory(LEN, MADV_NOHUGEPAGE);
	struct vcpu *v = start(writes, HVX_REGION_LOG_DIRTY, LEN, p);
	uint64_t bitmap[PAGES / 64];
	struct hvx_dirty d = {
		.size = sizeof(d), .slot = SLOT, .nr = PAGES, .data = (uintptr_t)bitmap,
	};
	unsigned int i;

	EXPECT_EQ(prefault(v->vm, WRITE, GPA, LEN), 0);
	REQUIRE(!xioctl(v->vm->fd, HVX_GET_DIRTY, &d));
	for (i = 0; i < PAGES / 64; i++)
		EXPECT_EQ(bitmap[i], 0);
	v->g->arg = PAGES;
	vcpu_expect_sync(v, 0);
	REQUIRE(!xioctl(v->vm->fd, HVX_GET_DIRTY, &d));
	for (i = 0; i < PAGES / 64; i++)
		EXPECT_EQ(bitmap[i], ~0ULL);
}

TEST(read_only_region)
{
	uint8_t *p = memory(LEN, MADV_NOHUGEPAGE);
	struct vcpu *v = start(writes, HVX_REGION_READONLY, LEN, p);

	*p = 7;
	EXPECT_EQ(prefault(v->vm, WRITE, GPA, LEN), 0);
	EXPECT(info(v->vm).mapped_4k >= PAGES);
	v->g->arg = 1;
	EXPECT(vcpu_expect(v, HVX_EXIT_MMIO));
	EXPECT_EQ(v->run->mmio.gpa, GPA);
	EXPECT(v->run->mmio.write);
	EXPECT_EQ(*p, 7);
}

/* Even when the VMM itself may not write there */
TEST(read_only_memory)
{
	uint8_t *p = memory(LEN, MADV_NOHUGEPAGE);
	struct vcpu *v = start(reads, HVX_REGION_READONLY, LEN, p);
	struct hvx_prefault a = ask(WRITE, GPA, LEN);

	*(uint64_t *)p = 5;
	REQUIRE(!mprotect(p, LEN, PROT_READ));
	EXPECT_EQ(prefault(v->vm, WRITE, GPA, LEN), 0);
	v->g->arg = PAGES;
	vcpu_expect_sync(v, 5);
	REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, LEN, p));
	EXPECT_EQ(prefault(v->vm, 0, GPA, LEN), 0);
	EXPECT_EQ(xioctl(v->vm->fd, HVX_PREFAULT, &a), -EFAULT);
	EXPECT_EQ(a.gpa, GPA);
	EXPECT_EQ(a.len, LEN);
}

TEST(errors)
{
	struct vm *vm = vm_create_bare(0);
	const uint64_t top = 1ULL << hvx_cap(HVX_CAP_GPA_BITS);

	REQUIRE(!vm_region(vm, SLOT, 0, GPA, LEN, memory(LEN, MADV_NOHUGEPAGE)));
	EXPECT_EQ(prefault(vm, 0, GPA + 1, PAGE_SIZE), -EINVAL);
	EXPECT_EQ(prefault(vm, 0, GPA, PAGE_SIZE + 8), -EINVAL);
	EXPECT_EQ(prefault(vm, 2, GPA, PAGE_SIZE), -EINVAL);
	EXPECT_EQ(prefault(vm, 0, GPA, -PAGE_SIZE), -EINVAL);
	EXPECT_EQ(prefault(vm, 0, -PAGE_SIZE, 2 * PAGE_SIZE), -EINVAL);
	EXPECT_EQ(prefault(vm, 0, GPA - PAGE_SIZE, PAGE_SIZE), -ENOENT);
	EXPECT_EQ(prefault(vm, 0, 0, PAGE_SIZE), -ENOENT);
	EXPECT_EQ(prefault(vm, 0, top, PAGE_SIZE), -ENOENT);
	EXPECT_EQ(prefault(vm, 0, -2 * PAGE_SIZE, PAGE_SIZE), -ENOENT);
	EXPECT_EQ(info(vm).mapped_4k, 0);
	EXPECT_EQ(xioctl(vm->fd, HVX_PREFAULT, NULL), -EFAULT);
}

/* A call that stopped says where, and goes on when the cause is mended */
TEST(goes_on)
{
	uint8_t *p = memory(LEN, MADV_NOHUGEPAGE);
	struct hvx_prefault a = ask(WRITE, GPA, LEN + PAGE_SIZE);
	struct vm *vm = vm_create_bare(0);

	REQUIRE(!vm_region(vm, SLOT, 0, GPA, LEN, p));
	REQUIRE(!munmap(p + 10 * PAGE_SIZE, PAGE_SIZE));
	EXPECT_EQ(xioctl(vm->fd, HVX_PREFAULT, &a), -EFAULT);
	EXPECT_EQ(a.gpa, GPA + 10 * PAGE_SIZE);
	EXPECT_EQ(a.len, LEN - 9 * PAGE_SIZE);
	EXPECT_EQ(info(vm).mapped_4k, 10);
	EXPECT_EQ(xioctl(vm->fd, HVX_PREFAULT, &a), -EFAULT);
	EXPECT_EQ(a.gpa, GPA + 10 * PAGE_SIZE);
	REQUIRE(mmap(p + 10 * PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
	EXPECT_EQ(xioctl(vm->fd, HVX_PREFAULT, &a), -ENOENT);
	EXPECT_EQ(a.gpa, GPA + LEN);
	EXPECT_EQ(a.len, PAGE_SIZE);
	EXPECT_EQ(info(vm).mapped_4k, PAGES);
	REQUIRE(!vm_region(vm, SLOT + 1, 0, GPA + LEN, PAGE_SIZE, host_pages(PAGE_SIZE)));
	EXPECT_EQ(xioctl(vm->fd, HVX_PREFAULT, &a), 0);
	EXPECT_EQ(a.len, 0);
}

static void on_alarm(int sig)
{
}

/* More than can be done before the signal comes */
TEST_TIME(interrupted, 60)
{
	const size_t len = 1UL << 33;
	/* One that comes too early is followed by others */
	struct itimerval soon = { .it_value.tv_usec = 2000, .it_interval.tv_usec = 20000 };
	struct hvx_prefault a = ask(0, 0x100000000, len);
	struct sigaction action = { .sa_handler = on_alarm };
	struct vm *vm = vm_create_bare(0);
	uint64_t last = a.gpa;
	unsigned int i;

	/* Reading brings the host's page of zeroes, again and again */
	REQUIRE(!vm_region(vm, SLOT, 0, a.gpa, len, memory(len, MADV_NOHUGEPAGE)));
	REQUIRE(!sigaction(SIGALRM, &action, NULL));
	REQUIRE(!setitimer(ITIMER_REAL, &soon, NULL));
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(xioctl(vm->fd, HVX_PREFAULT, &a), -EINTR);
		EXPECT(a.gpa >= last);
		last = a.gpa;
		EXPECT_EQ(a.gpa + a.len, 0x100000000 + len);
	}
	EXPECT(last > 0x100000000);
	EXPECT_EQ(info(vm).mapped_4k, (last - 0x100000000) / PAGE_SIZE);
}

/* ------------------------------------------------------------------ beside a running guest */

static struct vm *shared_vm;
static bool stop;

/* Whether the region is there or not */
static void *prefaults_what_is_there(void *arg)
{
	struct hvx_prefault a;
	long ret;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		a = ask(WRITE, GPA, LEN);
		ret = xioctl(shared_vm->fd, HVX_PREFAULT, &a);
		if (ret)
			EXPECT_EQ(ret, -ENOENT);
		EXPECT_EQ(a.gpa + a.len, GPA + LEN);
	}
	return NULL;
}

/* What is mapped late must not outlive the region, nor lead to its old memory */
TEST_TIME(region_moves, 30)
{
	uint8_t *p[2] = { memory(LEN, MADV_NOHUGEPAGE), memory(LEN, MADV_NOHUGEPAGE) };
	struct vcpu *v = start(reads, 0, LEN, p[0]);
	struct hvx_memory_info none, now;
	unsigned int i, round;
	pthread_t thread[2];

	REQUIRE(!vm_region(v->vm, SLOT, 0, 0, 0, NULL));
	none = info(v->vm);
	for (i = 0; i < LEN; i += PAGE_SIZE)
		*(uint64_t *)(p[1] + i) = 1;
	shared_vm = v->vm;
	for (i = 0; i < 2; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, prefaults_what_is_there, NULL));
	for (round = 0; round < 100; round++) {
		REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, LEN, p[round % 2]));
		sched_yield();
		REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, LEN, p[!(round % 2)]));
		sched_yield();
		REQUIRE(!vm_region(v->vm, SLOT, 0, 0, 0, NULL));
		now = info(v->vm);
		if (!EXPECT_EQ(now.mapped_4k, none.mapped_4k))
			break;
	}
	REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, LEN, p[0]));
	REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, LEN, p[1]));
	v->g->arg = PAGES;
	vcpu_expect_sync(v, PAGES);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
}

static void *prefaults(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		EXPECT_EQ(prefault(shared_vm, WRITE, GPA, LEN), 0);
	return NULL;
}

TEST_TIME(beside_a_guest, 30)
{
	uint8_t *p = memory(LEN, MADV_NOHUGEPAGE);
	struct vcpu *v = start(writes, 0, LEN, p);
	unsigned int i, k, round;
	pthread_t thread[2];

	shared_vm = v->vm;
	v->g->arg = PAGES;
	for (i = 0; i < 2; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, prefaults, NULL));
	for (round = 1; round <= 60; round++) {
		/* Pages that are given away must not come back by an entry that is late */
		madvise(p + (round % 4) * LEN / 4, LEN / 4, MADV_DONTNEED);
		vcpu_expect_sync(v, 0);
		for (k = 0; k < PAGES; k++) {
			/* Written once in each round since its quarter was given away */
			uint64_t want = (round - k / (PAGES / 4)) % 4 + 1;

			if (round >= 4 && !EXPECT_EQ(*(uint64_t *)(p + k * PAGE_SIZE), want))
				break;
		}
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
}
