// SPDX-License-Identifier: GPL-2.0-only
/*
 * parallel: second-level faults of different vCPUs at the same time. Memory can take as long as it
 * likes to come, from swap, from a file over the network, from another host; a vCPU that waits for
 * it must hold up nobody else: neither faults of others, nor the dirty log, nor faults in advance.
 * That the memory is late is the doing of userfaultfd.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vm.h"

#define LATE		0x40000000UL	/* memory that comes late */
#define SWIFT		0x50000000UL	/* ordinary memory */
#define LATE_SLOT	SLOT_FREE
#define SWIFT_SLOT	(SLOT_FREE + 1)
#define PAGES		128UL
#define LEN		(PAGES * PAGE_SIZE)
#define VCPUS		4

static struct vm *vm;
static uint8_t *late;
static int uffd;

static void open_late(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	late = host_pages(LEN);
	reg.range = (struct uffdio_range){ (uintptr_t)late, LEN };
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg))
		SKIP("no userfaultfd");
}

/* Somebody waits for a page: its number, or -1 when nobody does for @ms */
static int waited_for(int ms)
{
	struct pollfd p = { .fd = uffd, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&p, 1, ms) != 1 || read(uffd, &msg, sizeof(msg)) != sizeof(msg))
		return -1;
	return (msg.arg.pagefault.address - (uintptr_t)late) / PAGE_SIZE;
}

static void bring(unsigned int page)
{
	static uint64_t content[PAGE_SIZE / 8];
	struct uffdio_copy copy = {
		.src = (uintptr_t)content, .dst = (uintptr_t)late + page * PAGE_SIZE,
		.len = PAGE_SIZE,
	};

	content[0] = 1000 + page;
	REQUIRE(!ioctl(uffd, UFFDIO_COPY, &copy));
}

/* One page, whose number is g->arg, of the memory that comes late */
GUEST(reads_late)
{
	guest_sync(*G_HIDE((volatile uint64_t *)(LATE + g->arg * PAGE_SIZE)));
}

GUEST(writes_swift)
{
	uint64_t i;

	for (i = 0; i < PAGES; i++)
		*G_HIDE((volatile uint64_t *)(SWIFT + i * PAGE_SIZE)) = i;
	guest_sync(g->arg);
}

static void create(void)
{
	void *p = host_pages(LEN);

	open_late();
	REQUIRE(!madvise(p, LEN, MADV_NOHUGEPAGE));
	vm = vm_create(0);
	REQUIRE(!vm_region(vm, LATE_SLOT, 0, LATE, LEN, late));
	REQUIRE(!vm_region(vm, SWIFT_SLOT, HVX_REGION_LOG_DIRTY, SWIFT, LEN, p));
}

static struct vcpu *add(unsigned int id, guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm, id);

	vcpu_setup_long_mode(v, fn);
	v->g->arg = id;
	return v;
}

static void *runs(void *arg)
{
	struct vcpu *v = arg;

	vcpu_expect_sync(v, 1000 + v->id);
	return NULL;
}

/* All of them wait at the same time */
TEST_TIME(all_wait, 30)
{
	pthread_t thread[VCPUS];
	unsigned int i, seen = 0;
	int page;

	create();
	for (i = 0; i < VCPUS; i++)
		REQUIRE(!pthread_create(&thread[i], NULL, runs, add(i, reads_late)));
	for (i = 0; i < VCPUS; i++) {
		page = waited_for(10000);
		REQUIRE(page >= 0 && page < VCPUS);
		seen |= 1u << page;
	}
	EXPECT_EQ(seen, (1u << VCPUS) - 1);
	/* The last one first */
	for (i = VCPUS; i--; )
		bring(i);
	for (i = 0; i < VCPUS; i++)
		pthread_join(thread[i], NULL);
}

static uint64_t faults(void)
{
	struct hvx_memory_info i = { .size = sizeof(i) };

	REQUIRE(!xioctl(vm->fd, HVX_GET_MEMORY_INFO, &i));
	return i.faults;
}

static unsigned int written(void)
{
	uint64_t bitmap[PAGES / 64] = { };
	struct hvx_dirty d = {
		.size = sizeof(d), .slot = SWIFT_SLOT, .nr = PAGES, .data = (uintptr_t)bitmap,
	};
	unsigned int i, n = 0;

	EXPECT_EQ(xioctl(vm->fd, HVX_GET_DIRTY, &d), 0);
	for (i = 0; i < PAGES / 64; i++)
		n += __builtin_popcountll(bitmap[i]);
	return n;
}

/* One waits; for the others all goes on as ever */
TEST_TIME(others_go_on, 30)
{
	struct hvx_prefault pre = {
		.size = sizeof(pre), .gpa = SWIFT, .len = LEN, .flags = HVX_PREFAULT_WRITE,
	};
	struct vcpu *other;
	pthread_t thread;
	uint64_t before;

	create();
	other = add(1, writes_swift);
	REQUIRE(!pthread_create(&thread, NULL, runs, add(0, reads_late)));
	REQUIRE(waited_for(10000) == 0);
	before = faults();
	vcpu_expect_sync(other, 1);
	EXPECT(faults() >= before + PAGES);
	EXPECT_EQ(written(), PAGES);
	EXPECT_EQ(xioctl(vm->fd, HVX_PREFAULT, &pre), 0);
	/* It waits still */
	EXPECT_EQ(pthread_tryjoin_np(thread, NULL), EBUSY);
	bring(0);
	pthread_join(thread, NULL);
}
