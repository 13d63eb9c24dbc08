// SPDX-License-Identifier: GPL-2.0-only
/*
 * memory: regions and the VMM's own memory behind them, changed before, between and while vCPUs
 * run. Without the MMU notifier, the flushes and the retries a guest keeps pages that the VMM has
 * given away, or never sees new ones.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm.h"

#define GPA	0x50000000UL	/* where these tests put regions; linear is the same */
#define SLOT	SLOT_FREE

static struct vcpu *start(guest_fn fn)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vcpu_setup_long_mode(v, fn);
	return v;
}

/* ------------------------------------------------------------------ setting regions */

TEST(errors)
{
	struct vm *vm = vm_create_bare(0);
	uint8_t *p = host_pages(4 * PAGE_SIZE);
	const uint64_t top = 1ULL << hvx_cap(HVX_CAP_GPA_BITS);
	struct hvx_region r = { .size = sizeof(r), .len = PAGE_SIZE, .hva = (uintptr_t)p };

	EXPECT_EQ(vm_region(vm, 0, 0, GPA + 1, PAGE_SIZE, p), -EINVAL);
	EXPECT_EQ(vm_region(vm, 0, 0, GPA, PAGE_SIZE + 1, p), -EINVAL);
	EXPECT_EQ(vm_region(vm, 0, 0, GPA, PAGE_SIZE, p + 1), -EINVAL);
	EXPECT_EQ(vm_region(vm, 0, 1 << 30, GPA, PAGE_SIZE, p), -EINVAL);
	EXPECT_EQ(vm_region(vm, hvx_cap(HVX_CAP_MAX_REGIONS), 0, GPA, PAGE_SIZE, p), -EINVAL);
	EXPECT_EQ(vm_region(vm, ~0u, 0, GPA, PAGE_SIZE, p), -EINVAL);
	EXPECT_EQ(vm_region(vm, 0, 0, -PAGE_SIZE, 2 * PAGE_SIZE, p), -EINVAL);
	EXPECT_EQ(vm_region(vm, 0, 0, GPA, 2 * PAGE_SIZE, (void *)-PAGE_SIZE), -EINVAL);
	/* The kernel's half */
	EXPECT_EQ(vm_region(vm, 0, 0, GPA, PAGE_SIZE, (void *)0xffff888000000000), -EINVAL);
	EXPECT_EQ(vm_region(vm, 0, 0, GPA, PAGE_SIZE, (void *)(1UL << 63)), -EINVAL);
	EXPECT_EQ(vm_region(vm, 0, 0, top, PAGE_SIZE, p), -EINVAL);
	EXPECT_EQ(vm_region(vm, 0, 0, top - PAGE_SIZE, 2 * PAGE_SIZE, p), -EINVAL);
	EXPECT_EQ(vm_region(vm, 0, 0, top - PAGE_SIZE, PAGE_SIZE, p), 0);
	EXPECT_EQ(vm_region(vm, 1, 0, 0, 0, NULL), -ENOENT);
	EXPECT_EQ(vm_region(vm, 0, 0, 0, 0, NULL), 0);
	EXPECT_EQ(vm_region(vm, 0, 0, 0, 0, NULL), -ENOENT);
	r.reserved = 1;
	EXPECT_EQ(xioctl(vm->fd, HVX_SET_REGION, &r), -EINVAL);
	/* Overlaps, but for a slot with itself */
	EXPECT_EQ(vm_region(vm, 0, 0, GPA, 2 * PAGE_SIZE, p), 0);
	EXPECT_EQ(vm_region(vm, 1, 0, GPA, PAGE_SIZE, p), -EEXIST);
	EXPECT_EQ(vm_region(vm, 1, 0, GPA + PAGE_SIZE, PAGE_SIZE, p), -EEXIST);
	EXPECT_EQ(vm_region(vm, 1, 0, GPA - PAGE_SIZE, 4 * PAGE_SIZE, p), -EEXIST);
	EXPECT_EQ(vm_region(vm, 1, 0, GPA + 2 * PAGE_SIZE, PAGE_SIZE, p), 0);
	EXPECT_EQ(vm_region(vm, 0, 0, GPA + PAGE_SIZE, PAGE_SIZE, p), 0);
	EXPECT_EQ(vm_region(vm, 0, 0, GPA + PAGE_SIZE, 2 * PAGE_SIZE, p), -EEXIST);
	EXPECT_EQ(vm_region(vm, 0, 0, GPA, 2 * PAGE_SIZE, p + PAGE_SIZE), 0);
}

static volatile uint64_t *guest_page(unsigned int i)
{
	return (uint64_t *)(GPA + i * PAGE_SIZE);
}

GUEST(walks_all)
{
	unsigned int i;

	for (i = 0; i < g->arg; i++)
		GUEST_EQ(*G_HIDE(guest_page(2 * i)), i);
	for (i = 0; i < g->arg; i++)
		*G_HIDE(guest_page(2 * i)) = ~i;
}

TEST(all_slots)
{
	struct vcpu *v = start(walks_all);
	unsigned int i, n = hvx_cap(HVX_CAP_MAX_REGIONS) - SLOT;
	uint8_t *p = host_pages(n * PAGE_SIZE);

	/* one page each, with holes between, in an order that is neither theirs nor the reverse */
	for (i = 0; i < n; i++) {
		unsigned int k = i * 5 % n;

		REQUIRE(n % 5 && !vm_region(v->vm, SLOT + k, 0, (uintptr_t)guest_page(2 * k),
					    PAGE_SIZE, p + k * PAGE_SIZE), "region %u", k);
		*(uint64_t *)(p + k * PAGE_SIZE) = k;
	}
	v->g->arg = n;
	vcpu_finish(v);
	for (i = 0; i < n; i++) {
		if (!EXPECT_EQ(*(uint32_t *)(p + i * PAGE_SIZE), ~i))
			break;
	}
}

GUEST(two_views)
{
	volatile uint64_t *a = G_HIDE(guest_page(0)), *b = G_HIDE(guest_page(16));
	unsigned int i;

	for (i = 0; i < 100; i++) {
		a[i % 512] = i;
		GUEST_EQ(b[i % 512], i);
		b[i % 512] = ~i;
		GUEST_EQ((uint32_t)a[i % 512], ~i);
	}
}

TEST(same_memory_twice)
{
	struct vcpu *v = start(two_views);
	uint8_t *p = host_pages(PAGE_SIZE);

	EXPECT_EQ(vm_region(v->vm, SLOT, 0, GPA, PAGE_SIZE, p), 0);
	EXPECT_EQ(vm_region(v->vm, SLOT + 1, 0, GPA + 16 * PAGE_SIZE, PAGE_SIZE, p), 0);
	vcpu_finish(v);
}

GUEST(adds_views)
{
	volatile uint64_t *a = G_HIDE(guest_page(0)), *b = G_HIDE(guest_page(16));

	for (;;)
		guest_sync(*a + *b);
}

/* What the VMM does to such memory is seen by both ways */
TEST(same_memory_changes_twice)
{
	const int prot = PROT_READ | PROT_WRITE;
	struct vcpu *v = start(adds_views);
	int fd = memfd_create("hvx", 0);
	uint64_t *p;

	/* Pages of a file stay what they are, wherever they are mapped */
	REQUIRE(fd >= 0 && !ftruncate(fd, 2 * PAGE_SIZE));
	p = mmap(NULL, 2 * PAGE_SIZE, prot, MAP_SHARED, fd, 0);
	REQUIRE(p != MAP_FAILED);
	p[0] = 5;
	p[512] = 7;
	REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, PAGE_SIZE, p));
	REQUIRE(!vm_region(v->vm, SLOT + 1, 0, GPA + 16 * PAGE_SIZE, PAGE_SIZE, p));
	vcpu_expect_sync(v, 10);
	REQUIRE(mmap(p, PAGE_SIZE, prot, MAP_SHARED | MAP_FIXED, fd, PAGE_SIZE) == p);
	vcpu_expect_sync(v, 14);
	/* One of them goes, the other stays true */
	REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, PAGE_SIZE, host_pages(PAGE_SIZE)));
	vcpu_expect_sync(v, 7);
	REQUIRE(mmap(p, PAGE_SIZE, prot, MAP_SHARED | MAP_FIXED, fd, 0) == p);
	vcpu_expect_sync(v, 5);
}

GUEST(reads_and_writes)
{
	unsigned int i;

	for (i = 0;; i++) {
		g->arg = *G_HIDE(guest_page(0));
		guest_sync(2 * i);
		*G_HIDE(guest_page(0)) = 0x1000 + i;
		guest_sync(2 * i + 1);
	}
}

static void expect_read(struct vcpu *v, unsigned int i, uint64_t want)
{
	vcpu_expect_sync(v, 2 * i);
	EXPECT_EQ(v->g->arg, want);
	vcpu_expect_sync(v, 2 * i + 1);
}

/* A slot that changes: other memory, another place, read-only, gone. */
TEST(slot_changes)
{
	struct vcpu *v = start(reads_and_writes);
	uint64_t *p = (uint64_t *)host_pages(4 * PAGE_SIZE);
	struct hvx_exit_mmio *m = &v->run->mmio;

	p[0] = 1;
	p[512] = 2;
	EXPECT_EQ(vm_region(v->vm, SLOT, 0, GPA, PAGE_SIZE, p), 0);
	expect_read(v, 0, 1);
	EXPECT_EQ(p[0], 0x1000);
	EXPECT_EQ(vm_region(v->vm, SLOT, 0, GPA, PAGE_SIZE, p + 512), 0);
	expect_read(v, 1, 2);
	EXPECT_EQ(p[0], 0x1000);
	EXPECT_EQ(p[512], 0x1001);
	/* larger, beginning elsewhere */
	EXPECT_EQ(vm_region(v->vm, SLOT, 0, GPA - PAGE_SIZE, 2 * PAGE_SIZE, p + 512), 0);
	p[1024] = 3;
	expect_read(v, 2, 3);
	/* read-only: the write exits */
	EXPECT_EQ(vm_region(v->vm, SLOT, HVX_REGION_READONLY, GPA, PAGE_SIZE, p), 0);
	vcpu_expect_sync(v, 6);
	EXPECT_EQ(v->g->arg, 0x1000);
	vcpu_expect(v, HVX_EXIT_MMIO);
	EXPECT(m->gpa == GPA && m->len == 8 && m->write);
	EXPECT_EQ(p[0], 0x1000);
	vcpu_expect_sync(v, 7);
	/* gone */
	EXPECT_EQ(vm_region(v->vm, SLOT, 0, 0, 0, NULL), 0);
	vcpu_expect(v, HVX_EXIT_MMIO);
	EXPECT(m->gpa == GPA && m->len == 8 && !m->write);
	*(uint64_t *)m->data = 5;
	vcpu_expect_sync(v, 8);
	EXPECT_EQ(v->g->arg, 5);
	/* and back before the write */
	EXPECT_EQ(vm_region(v->vm, SLOT, 0, GPA, PAGE_SIZE, p), 0);
	vcpu_expect_sync(v, 9);
	EXPECT_EQ(p[0], 0x1004);
}

GUEST(string_input)
{
	void *to = (void *)GPA;
	uint64_t n = 8;

	asm volatile("rep insb" : "+D"(to), "+c"(n) : "d"(0x1234) : "memory");
}

/* Not even the kernel writes there for a guest */
TEST(read_only_to_the_kernel)
{
	struct vcpu *v = start(string_input);
	uint64_t *p = (uint64_t *)host_pages(PAGE_SIZE);

	*p = 77;
	REQUIRE(!vm_region(v->vm, SLOT, HVX_REGION_READONLY, GPA, PAGE_SIZE, p));
	vcpu_expect(v, HVX_EXIT_IO);
	EXPECT_EQ(vcpu_run_once(v), -EFAULT);
	EXPECT_EQ(v->run->exit_reason, HVX_EXIT_MEMORY_FAULT);
	EXPECT_EQ(v->run->memory.gpa, GPA);
	EXPECT_EQ(v->run->memory.access, HVX_ACCESS_WRITE);
	EXPECT_EQ(*p, 77);
}

/* ------------------------------------------------------------------ the VMM's memory */

static void expect_fault(struct vcpu *v, void *hva, uint32_t access)
{
	struct hvx_exit_memory *m = &v->run->memory;

	EXPECT_EQ(vcpu_run_once(v), -EFAULT);
	if (!EXPECT_EQ(v->run->exit_reason, HVX_EXIT_MEMORY_FAULT))
		tap_abort();
	EXPECT_EQ(m->gpa & -PAGE_SIZE, GPA);
	EXPECT_EQ(m->hva & -PAGE_SIZE, (uintptr_t)hva);
	EXPECT_EQ(m->access, access);
	EXPECT_EQ(m->error, EFAULT);
}

TEST(holes)
{
	struct vcpu *v = start(reads_and_writes);
	uint64_t *p = (uint64_t *)host_pages(PAGE_SIZE);

	EXPECT_EQ(vm_region(v->vm, SLOT, 0, GPA, PAGE_SIZE, p), 0);
	munmap(p, PAGE_SIZE);
	expect_fault(v, p, HVX_ACCESS_READ);
	expect_fault(v, p, HVX_ACCESS_READ);
	mmap(p, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	vcpu_expect_sync(v, 0);
	EXPECT_EQ(v->g->arg, 0);
	expect_fault(v, p, HVX_ACCESS_WRITE);
	mprotect(p, PAGE_SIZE, PROT_READ | PROT_WRITE);
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(p[0], 0x1000);
	mprotect(p, PAGE_SIZE, PROT_NONE);
	expect_fault(v, p, HVX_ACCESS_READ);
	mprotect(p, PAGE_SIZE, PROT_READ);
	vcpu_expect_sync(v, 2);
	EXPECT_EQ(v->g->arg, 0x1000);
	expect_fault(v, p, HVX_ACCESS_WRITE);
}

GUEST(fetches)
{
	asm volatile("call *%0" : : "r"(GPA) : "memory");
}

TEST(hole_in_code)
{
	struct vcpu *v = start(fetches);
	uint8_t *p = host_pages(PAGE_SIZE);

	EXPECT_EQ(vm_region(v->vm, SLOT, 0, GPA, PAGE_SIZE, p), 0);
	munmap(p, PAGE_SIZE);
	expect_fault(v, p, HVX_ACCESS_EXEC);
	mmap(p, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	*p = 0xc3;
	vcpu_finish(v);
}

/* What the VMM does to its memory is what the guest sees. */
TEST(vmm_changes)
{
	struct vcpu *v = start(reads_and_writes);
	uint64_t *p = (uint64_t *)host_pages(PAGE_SIZE);
	int fd;

	EXPECT_EQ(vm_region(v->vm, SLOT, 0, GPA, PAGE_SIZE, p), 0);
	/* The guest reads the zero page first; the host's first write replaces it. */
	expect_read(v, 0, 0);
	EXPECT_EQ(p[0], 0x1000);
	p[0] = 77;
	expect_read(v, 1, 77);
	madvise(p, PAGE_SIZE, MADV_DONTNEED);
	expect_read(v, 2, 0);
	EXPECT_EQ(p[0], 0x1002);
	/* a file in its place */
	fd = memfd_create("hvx", 0);
	REQUIRE(fd >= 0 && !ftruncate(fd, PAGE_SIZE));
	REQUIRE(mmap(p, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == p);
	p[0] = 88;
	expect_read(v, 3, 88);
	/* a hole punched into the file */
	EXPECT_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE_SIZE), 0);
	expect_read(v, 4, 0);
	EXPECT_EQ(ftruncate(fd, 0), 0);
	EXPECT_EQ(vcpu_run_once(v), -EFAULT);
	EXPECT_EQ(v->run->exit_reason, HVX_EXIT_MEMORY_FAULT);
	EXPECT_EQ(ftruncate(fd, PAGE_SIZE), 0);
	expect_read(v, 5, 0);
	/* moved away: the guest does not follow, there is nothing any more */
	REQUIRE(mremap(p, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       host_pages(PAGE_SIZE)) != MAP_FAILED);
	expect_fault(v, p, HVX_ACCESS_READ);
}

GUEST(reads_only)
{
	unsigned int i;

	for (i = 0;; i++) {
		g->arg = *G_HIDE(guest_page(0));
		guest_sync(i);
	}
}

/* The guest has read the shared zero page; what the VMM then writes must not pass it by. */
TEST(zero_page)
{
	struct vcpu *v = start(reads_only);
	uint64_t *p = (uint64_t *)host_pages(PAGE_SIZE);

	EXPECT_EQ(vm_region(v->vm, SLOT, 0, GPA, PAGE_SIZE, p), 0);
	vcpu_expect_sync(v, 0);
	EXPECT_EQ(v->g->arg, 0);
	p[0] = 5;
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(v->g->arg, 5);
}

/* After fork() the pages are shared and read-only until somebody writes: parent, guest or child. */
TEST(fork_copies)
{
	struct vcpu *v = start(reads_and_writes);
	uint64_t *p = (uint64_t *)host_pages(PAGE_SIZE);
	int to_child[2], status;
	pid_t pid;
	char c;

	EXPECT_EQ(vm_region(v->vm, SLOT, 0, GPA, PAGE_SIZE, p), 0);
	p[0] = 1;
	expect_read(v, 0, 1);
	REQUIRE(!pipe(to_child));
	pid = fork();
	if (!pid) {
		c = read(to_child[0], &c, 1) == 1 && p[0] == 0x1000;
		p[0] = 99;
		_exit(c ? 0 : 1);
	}
	/* the VMM writes first */
	p[0] = 2;
	expect_read(v, 1, 2);
	EXPECT_EQ(p[0], 0x1001);
	REQUIRE(write(to_child[1], "x", 1) == 1);
	REQUIRE(waitpid(pid, &status, 0) == pid);
	EXPECT(status == 0, "the child saw what the guest wrote");
	expect_read(v, 2, 0x1001);
	/* the guest writes first */
	pid = fork();
	if (!pid) {
		c = read(to_child[0], &c, 1) == 1 && p[0] == 0x1002;
		_exit(c ? 0 : 1);
	}
	expect_read(v, 3, 0x1002);
	EXPECT_EQ(p[0], 0x1003);
	REQUIRE(write(to_child[1], "x", 1) == 1);
	REQUIRE(waitpid(pid, &status, 0) == pid);
	EXPECT(status == 0, "the child saw what the guest wrote");
}

/* ------------------------------------------------------------------ under load */

static volatile bool stop_guest;
static volatile uint64_t reads[2], swaps;

/*
 * Page 0 is always all 'A' or all 'B': first and last word must agree when they are read from one
 * layout, which the page's own generation says. Page 8 comes and goes.
 */
GUEST(checks)
{
	volatile uint64_t *p = G_HIDE(guest_page(0));
	volatile uint64_t *q = G_HIDE(guest_page(8));
	uint64_t x;

	while (!stop_guest) {
		x = *p;
		GUEST_ASSERT(x == 'A' || x == 'B');
		x = *q;
		GUEST_ASSERT(x == 'C' || x == 'M');
		*q = 'C';
		reads[g->id]++;
	}
}

static void *run_checks(void *arg)
{
	struct vcpu *v = arg;

	pin_to(v->id % nr_cpus());
	while (vcpu_ucall(v) == UC_NONE) {
		if (v->run->exit_reason != HVX_EXIT_MMIO) {
			vcpu_describe(v, v->run->exit_reason);
			tap_failed(__FILE__, __LINE__, "exit", " unexpected");
			return NULL;
		}
		if (!v->run->mmio.write)
			*(uint64_t *)v->run->mmio.data = 'M';
	}
	return NULL;
}

/* Has there been something to see? */
static bool enough(unsigned int changes)
{
	return changes > 10 && reads[0] > 20 && reads[1] > 20;
}

static uint64_t *filled(uint64_t word)
{
	uint64_t *p = (uint64_t *)host_pages(PAGE_SIZE);
	unsigned int i;

	for (i = 0; i < 512; i++)
		p[i] = word;
	return p;
}

/* Regions get other memory, come and go, while two vCPUs use them. */
TEST(regions_under_load)
{
	struct vm *vm = vm_create(0);
	uint64_t *a = filled('A'), *b = filled('B'), *c = filled('C');
	struct vcpu *v[2];
	pthread_t thread[2];
	const unsigned long long begin = now_ms();
	unsigned int i;

	REQUIRE(!vm_region(vm, SLOT, 0, GPA, PAGE_SIZE, a));
	REQUIRE(!vm_region(vm, SLOT + 1, 0, GPA + 8 * PAGE_SIZE, PAGE_SIZE, c));
	for (i = 0; i < 2; i++) {
		v[i] = vcpu_create(vm, i);
		vcpu_setup_long_mode(v[i], checks);
		REQUIRE(!pthread_create(&thread[i], NULL, run_checks, v[i]));
	}
	for (; keep_on(begin, 2000, enough(swaps)) && !tap_failures(); swaps++) {
		REQUIRE(!vm_region(vm, SLOT, 0, GPA, PAGE_SIZE, swaps & 1 ? a : b));
		if (swaps % 3 == 0)
			REQUIRE(!vm_region(vm, SLOT + 1, 0, 0, 0, NULL));
		if (swaps % 3 == 1)
			REQUIRE(!vm_region(vm, SLOT + 1, 0, GPA + 8 * PAGE_SIZE, PAGE_SIZE, c));
		if (swaps % 7 == 0)
			usleep(1000);
	}
	stop_guest = true;
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	EXPECT(enough(swaps), "%lu swaps, %lu and %lu reads", swaps,
	       reads[0], reads[1]);
}

#define MOVED	16	/* page where the region is, or begins one later */

/* 2 * how often the region has moved, + 1 while it does */
static volatile uint64_t layout;
static volatile uint64_t seen[2][2];	/* by vCPU and place: rounds within one layout */

/* Two pages, 'D' and 'E', at MOVED or one page later: what lies on either side is MMIO, or was */
GUEST(follows)
{
	uint64_t before, x[3];
	unsigned int i, at;

	while (!stop_guest) {
		before = layout;
		for (i = 0; i < 3; i++)
			x[i] = *(volatile uint64_t *)G_HIDE(guest_page(MOVED + i));
		/* In both layouts, and between them */
		GUEST_ASSERT(x[1] == 'D' || x[1] == 'E');
		if (before == layout && !(before & 1)) {
			at = before / 2 & 1;
			GUEST_EQ(x[0], at ? 'M' : 'D');
			GUEST_EQ(x[1], at ? 'D' : 'E');
			GUEST_EQ(x[2], at ? 'E' : 'M');
			seen[g->id][at]++;
		}
		reads[g->id]++;
	}
}

static bool seen_both(uint64_t rounds)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		if (seen[i][0] < rounds || seen[i][1] < rounds)
			return false;
	return true;
}

/* Let both vCPUs go around twice, but for some moves that come one upon the other */
static void let_run(unsigned int n)
{
	const uint64_t old[2] = { reads[0], reads[1] };
	unsigned int i;

	if (n % 8 >= 6)
		return;
	for (i = 0; i < 100 && (reads[0] < old[0] + 2 || reads[1] < old[1] + 2); i++)
		usleep(500);
}

/*
 * A region moves in the guest, over itself, while two vCPUs use it: when the call is over, no vCPU
 * has it at the old place, or not at the new one.
 */
TEST(moves_under_load)
{
	struct vm *vm = vm_create(0);
	uint64_t *d = (uint64_t *)host_pages(2 * PAGE_SIZE);
	struct vcpu *v[2];
	pthread_t thread[2];
	const unsigned long long begin = now_ms();
	unsigned int i, n;

	d[0] = 'D';
	d[512] = 'E';
	REQUIRE(!vm_region(vm, SLOT, 0, GPA + MOVED * PAGE_SIZE, 2 * PAGE_SIZE, d));
	for (i = 0; i < 2; i++) {
		v[i] = vcpu_create(vm, i);
		vcpu_setup_long_mode(v[i], follows);
		REQUIRE(!pthread_create(&thread[i], NULL, run_checks, v[i]));
	}
	for (n = 1; keep_on(begin, 2000, n > 20 && seen_both(10)) && !tap_failures(); n++) {
		layout++;
		REQUIRE(!vm_region(vm, SLOT, 0, GPA + (MOVED + n % 2) * PAGE_SIZE, 2 * PAGE_SIZE,
				   d));
		layout++;
		let_run(n);
	}
	stop_guest = true;
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	EXPECT(n > 20 && seen_both(10), "%u moves, %lu %lu %lu %lu rounds", n, seen[0][0],
	       seen[0][1], seen[1][0], seen[1][1]);
}

#define LOAD_PAGES	16

GUEST(increments)
{
	unsigned int i = 0, last = 0;

	/* One more round of all pages after the last of them was dropped */
	while (last < LOAD_PAGES) {
		volatile uint64_t *p = G_HIDE(guest_page(i++ % LOAD_PAGES)) + 8 * g->id;
		uint64_t old = p[0];

		last += stop_guest;
		p[0] = old + 1;
		p[1] = ~(old + 1);
		reads[g->id]++;
	}
}

/* The VMM drops, protects and copies pages under the guest: no access is lost or goes elsewhere. */
TEST(pages_under_load)
{
	struct vm *vm = vm_create(0);
	uint8_t *p = host_pages(LOAD_PAGES * PAGE_SIZE);
	struct vcpu *v[2];
	pthread_t thread[2];
	const unsigned long long begin = now_ms();
	unsigned int i, n;

	REQUIRE(!vm_region(vm, SLOT, 0, GPA, LOAD_PAGES * PAGE_SIZE, p));
	for (i = 0; i < 2; i++) {
		v[i] = vcpu_create(vm, i);
		vcpu_setup_long_mode(v[i], increments);
		REQUIRE(!pthread_create(&thread[i], NULL, run_checks, v[i]));
	}
	for (n = 0; keep_on(begin, 2000, enough(n)) && !tap_failures(); n++) {
		uint8_t *page = p + n % LOAD_PAGES * PAGE_SIZE;

		madvise(page, PAGE_SIZE, n % 3 ? MADV_DONTNEED : MADV_COLD);
		if (n % 5 == 0) {
			pid_t pid = fork();

			if (!pid)
				_exit(0);
			waitpid(pid, NULL, 0);
		}
	}
	stop_guest = true;
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	EXPECT(enough(n), "%u rounds, %lu and %lu writes", n,
	       reads[0], reads[1]);
	/* The VMM sees every page as the guest left it. */
	for (i = 0; i < 2 * LOAD_PAGES; i++) {
		uint64_t *w = (uint64_t *)(p + i / 2 * PAGE_SIZE) + 8 * (i & 1);

		EXPECT(w[0] == ~w[1], "page %u: %#lx, %#lx", i / 2, w[0], w[1]);
	}
}

#define MANY	8192

static volatile uint64_t last_word;

GUEST(watches_last)
{
	while (!stop_guest)
		last_word = *G_HIDE(guest_page(MANY - 1));
}

static void *drops_elsewhere(void *arg)
{
	pin_to(0);
	while (!stop_guest) {
		madvise(arg, PAGE_SIZE, MADV_DONTNEED);
		usleep(100);
	}
	return NULL;
}

static bool is_seen(uint64_t word)
{
	unsigned long long end = now_ms() + 5000 * tap_scale();

	while (last_word != word && now_ms() < end)
		usleep(100);
	return last_word == word;
}

/*
 * It takes a while until the last page of many has gone. All that time the guest wants it, and must
 * not get it, though the host still has it; nor when a second removal, elsewhere, begins and ends.
 */
TEST_TIME(last_of_many, 60)
{
	struct vcpu *v = start(watches_last);
	uint8_t *p = host_pages(MANY * PAGE_SIZE);
	pthread_t runner, other;
	uint64_t i, k;

	madvise(p, MANY * PAGE_SIZE, MADV_NOHUGEPAGE);
	REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, MANY * PAGE_SIZE, p));
	REQUIRE(!pthread_create(&runner, NULL, run_checks, v));
	REQUIRE(!pthread_create(&other, NULL, drops_elsewhere, host_pages(PAGE_SIZE)));
	pin_to(1 % nr_cpus());
	for (i = 1; i <= 6 && !tap_failures(); i++) {
		for (k = 0; k < MANY; k++)
			*(volatile uint64_t *)(p + k * PAGE_SIZE) = 2 * i;
		EXPECT(is_seen(2 * i), "round %lu: %#lx", i, last_word);
		REQUIRE(!madvise(p, MANY * PAGE_SIZE, MADV_DONTNEED));
		/* What was last given back is taken first: not for the last page again */
		for (k = MANY - 512; k < MANY; k++)
			*(volatile uint64_t *)(p + k * PAGE_SIZE) = k < MANY - 1 ? 1 : 2 * i + 1;
		EXPECT(is_seen(2 * i + 1), "round %lu: %#lx", i, last_word);
	}
	stop_guest = true;
	pthread_join(runner, NULL);
	pthread_join(other, NULL);
}

#define APART	0x200000UL	/* no two in one table */
#define PLACES	256

static volatile uint64_t turn, dropped;
static uint8_t *places;

GUEST(touches_each)
{
	uint64_t i;

	for (i = 0; i < PLACES; i++) {
		volatile uint64_t *p = G_HIDE((volatile uint64_t *)(GPA + i * APART));

		turn = i + 1;
		(void)*p;
		guest_sync(i);
		guest_sync(*p);
	}
}

static void *drops_each(void *arg)
{
	volatile unsigned int wait;
	uint64_t i;

	pin_to(1);
	for (i = 0; i < PLACES && !stop_guest; i++) {
		uint8_t *p = places + i * APART;

		while (turn <= i && !stop_guest)
			;
		for (wait = i * 37 % PLACES * 16; wait; wait--)
			;
		madvise(p, PAGE_SIZE, MADV_DONTNEED);
		*(volatile uint64_t *)p = i + 1000;
		dropped = i + 1;
	}
	return NULL;
}

/* A fault that found a page which goes while tables are made for it: the page is not to be used */
TEST_TIME(dropped_in_the_fault, 60)
{
	struct vcpu *v = start(touches_each);
	pthread_t thread;
	uint64_t i;

	if (nr_cpus() < 2)
		SKIP("one CPU");
	places = mmap(NULL, PLACES * APART, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	REQUIRE(places != MAP_FAILED && !madvise(places, PLACES * APART, MADV_NOHUGEPAGE));
	for (i = 0; i < PLACES; i++)
		*(uint64_t *)(places + i * APART) = 1;
	REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, PLACES * APART, places));
	pin_to(0);
	REQUIRE(!pthread_create(&thread, NULL, drops_each, NULL));
	for (i = 0; i < PLACES && !tap_failures(); i++) {
		vcpu_expect_sync(v, i);
		while (dropped <= i)
			usleep(10);
		vcpu_expect_sync(v, i + 1000);
	}
	stop_guest = true;
	pthread_join(thread, NULL);
}
