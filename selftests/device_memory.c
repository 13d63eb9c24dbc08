// SPDX-License-Identifier: GPL-2.0-only
/*
 * device_memory: memory of a device behind a region, by the text buffer of VGA, which both kinds of
 * hosts have and nobody looks at: what guest and VMM write there each other reads, and when the VMM
 * takes it away, or a right in it, the guest that runs at this moment writes no more.
 *
 * bar.c has the same for a PCI device's memory and large entries.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm.h"

#define GPA	0x40000000UL
#define SLOT	SLOT_FREE
/* The last page of 0xb8000 to 0xbffff, which consoles of few lines do not come to */
#define BUFFER	0xbf000
#define WORDS	(PAGE_SIZE / sizeof(uint32_t))

static int mem;
static volatile uint32_t *ours;		/* the VMM's own way there */
static uint32_t before[WORDS];		/* ... and what it held */

static void *map_at(void *at)
{
	return mmap(at, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | (at ? MAP_FIXED : 0), mem,
		    BUFFER);
}

static bool holds_what_is_written(void)
{
	unsigned int i;
	bool holds = true;

	for (i = 0; i < WORDS; i++) {
		before[i] = ours[i];
		ours[i] = ~i;
	}
	for (i = 0; i < WORDS; i++)
		holds = holds && ours[i] == ~i;
	return holds;
}

static void put_back(void)
{
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		ours[i] = before[i];
}

/* A second mapping of the page, for the region */
static void *map_buffer(void)
{
	void *p;

	mem = open("/dev/mem", O_RDWR);
	if (mem < 0)
		SKIP("no /dev/mem");
	p = map_at(NULL);
	if (p == MAP_FAILED)
		SKIP("this kernel lets nobody map the VGA's memory");
	ours = p;
	if (!holds_what_is_written()) {
		put_back();
		SKIP("no VGA, or not in text mode");
	}
	p = map_at(NULL);
	REQUIRE(p != MAP_FAILED);
	return p;
}

static struct vcpu *start(guest_fn fn, void *p)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, PAGE_SIZE, p));
	vcpu_setup_long_mode(v, fn);
	return v;
}

/* ------------------------------------------------------------------ in turn */

static volatile uint32_t *word(uint64_t i)
{
	return (uint32_t *)GPA + i;
}

GUEST(reads_and_writes)
{
	volatile uint8_t *bytes = (uint8_t *)GPA;
	uint64_t i;

	for (i = 0; i < WORDS; i++) {
		GUEST_EQ(*G_HIDE(word(i)), 0x10000 + i);
		*G_HIDE(word(i)) = 0x20000 + i;
	}
	/* Other widths, one of them over the end of a word */
	*G_HIDE(bytes + 8) = 0xa5;
	*(volatile uint16_t *)G_HIDE(bytes + 15) = 0x1234;
	*(volatile uint64_t *)G_HIDE(bytes + 24) = 0x1122334455667788;
	guest_sync(1);
	GUEST_EQ(*G_HIDE(word(5)), 0x55);
}

TEST(read_and_written)
{
	struct vcpu *v = start(reads_and_writes, map_buffer());
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		ours[i] = 0x10000 + i;
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(ours[2], 0x200a5);
	EXPECT_EQ(ours[3], 0x34020003);
	EXPECT_EQ(ours[4], 0x20012);
	EXPECT_EQ(ours[6], 0x55667788);
	EXPECT_EQ(ours[7], 0x11223344);
	for (i = 8; i < WORDS; i++)
		EXPECT_EQ(ours[i], 0x20000 + i);
	ours[5] = 0x55;
	vcpu_finish(v);
	put_back();
}

/* ------------------------------------------------------------------ at the same time */

static volatile bool stop;

GUEST(counts)
{
	while (!stop)
		++*G_HIDE(word(0));
}

/* Runs until something else than the guest's own exits comes */
static void *run(void *arg)
{
	return (void *)(long)vcpu_run_once(arg);
}

static void wait_for_more(void)
{
	unsigned long long end = now_ms() + 10000 * tap_scale();
	uint32_t from = ours[0];

	while (ours[0] - from < 3 && now_ms() < end)
		usleep(500);
	EXPECT(ours[0] - from >= 3, "the guest does not count");
}

/* After what the main thread did */
static void expect_fault(struct vcpu *v, pthread_t thread, void *p, uint32_t access)
{
	uint32_t last = ours[0];
	void *ret;

	EXPECT(!pthread_join(thread, &ret) && (long)ret == -EFAULT, "%ld", (long)ret);
	REQUIRE(v->run->exit_reason == HVX_EXIT_MEMORY_FAULT, "%s",
		exit_name(v->run->exit_reason));
	EXPECT_EQ(v->run->memory.gpa, GPA);
	EXPECT_EQ(v->run->memory.hva, (uintptr_t)p);
	EXPECT_EQ(v->run->memory.access & access, access);
	EXPECT_EQ(v->run->memory.error, EFAULT);
	EXPECT_EQ(ours[0], last);
}

TEST_TIME(taken_away_while_it_runs, 60)
{
	void *p = map_buffer();
	struct vcpu *v = start(counts, p);
	pthread_t thread;
	unsigned int i;

	ours[0] = 0;
	for (i = 0; i < 4; i++) {
		REQUIRE(!pthread_create(&thread, NULL, run, v));
		wait_for_more();
		/* Once gone, once there to be read only */
		if (i & 1)
			REQUIRE(!mprotect(p, PAGE_SIZE, PROT_READ));
		else
			REQUIRE(!munmap(p, PAGE_SIZE));
		expect_fault(v, thread, p, i & 1 ? HVX_ACCESS_WRITE : 0);
		REQUIRE(map_at(p) == p);
	}
	stop = true;
	vcpu_finish(v);
	put_back();
}
