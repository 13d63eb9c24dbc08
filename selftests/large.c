// SPDX-License-Identifier: GPL-2.0-only
/*
 * large: second-level entries of 2 MiB and 1 GiB, counted by HVX_GET_MEMORY_INFO. Each test says
 * what it would cost or break without them: more faults, or memory that is not the VMM's any more
 * after the host has split, merged, copied or moved a huge page.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sysfiles.h"
#include "vm.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

#define GPA	0x40000000UL	/* aligned for all sizes; linear is the same */
#define SLOT	SLOT_FREE
#define M2	0x200000UL
#define PER_M2	(M2 / PAGE_SIZE)
#define G1	0x40000000UL

/* A VM in which only what the test adds can be large */
static struct vm *create(void)
{
	heap_alloc(PAGE_SIZE, PAGE_SIZE);
	/* It takes pages away for a moment, which costs faults that are not counted on here */
	file_write("/proc/sys/kernel/numa_balancing", "0");
	REQUIRE(!madvise((void *)HEAP_BASE, HEAP_SIZE, MADV_NOHUGEPAGE));
	return vm_create(0);
}

static struct vcpu *start(guest_fn fn, uint64_t gpa, size_t len, void *hva)
{
	struct vcpu *v = vcpu_create(create(), 0);

	REQUIRE(!vm_region(v->vm, SLOT, 0, gpa, len, hva));
	vcpu_setup_long_mode(v, fn);
	return v;
}

static struct hvx_memory_info info(struct vcpu *v)
{
	struct hvx_memory_info i = { .size = sizeof(i) };

	REQUIRE(!xioctl(v->vm->fd, HVX_GET_MEMORY_INFO, &i));
	return i;
}

/* Memory aligned to @align, and to no more when @odd */
static uint8_t *aligned(size_t len, size_t align, bool odd, int advice)
{
	uint8_t *p = mmap(NULL, len + 2 * align, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED);
	p = (uint8_t *)(((uintptr_t)p + align) & -align) + (odd ? PAGE_SIZE : 0);
	REQUIRE(!madvise(p, len, advice), "%s", strerror(errno));
	return p;
}

static uint8_t *huge_pages(size_t len)
{
	uint8_t *p = aligned(len, M2, false, MADV_HUGEPAGE);

	memset(p, 1, len);
	/* The host may be short of them */
	if (smaps_kib(p, "AnonHugePages") < (long)(len / 1024))
		SKIP("the host has too few transparent huge pages: %ld KiB",
		     smaps_kib(p, "AnonHugePages"));
	return p;
}

static volatile uint64_t *guest_page(uint64_t i)
{
	return (uint64_t *)(GPA + i * PAGE_SIZE);
}

/* Writes its number into each of g->arg pages, and looks for them when all are written */
GUEST(streams)
{
	uint64_t i, n = g->arg;

	for (i = 0; i < n; i++)
		*G_HIDE(guest_page(i)) = i;
	for (i = 0; i < n; i++)
		GUEST_EQ(*G_HIDE(guest_page(i)), i);
}

static void expect_written(const uint8_t *p, size_t len)
{
	size_t i;

	for (i = 0; i < len / PAGE_SIZE; i++) {
		if (!EXPECT_EQ(*(uint64_t *)(p + i * PAGE_SIZE), i))
			break;
	}
}

/* Pages of the guest's program, its stack and its page tables */
#define OWN	16

static uint64_t stream(uint8_t *p, size_t len, uint64_t leaves_2m)
{
	struct vcpu *v = start(streams, GPA, len, p);
	uint64_t before = info(v).faults;

	v->g->arg = len / PAGE_SIZE;
	vcpu_finish(v);
	EXPECT_EQ(info(v).mapped_2m, leaves_2m);
	expect_written(p, len);
	return info(v).faults - before;
}

/* 1 GiB in hosts that have it to give */
TEST_TIME(streaming, 120)
{
	const bool room = file_field("/proc/meminfo", "MemAvailable") > 1300 * 1024;
	const size_t len = room ? G1 : 32 * M2;
	uint64_t small, large;
	uint8_t *p;

	p = aligned(len, M2, false, MADV_NOHUGEPAGE);
	small = stream(p, len, 0);
	munmap(p, len);
	file_write("/proc/sys/vm/compact_memory", "1");
	large = stream(huge_pages(len), len, len / M2);
	tap_note("%zu MiB: %llu faults by 4 KiB, %llu by 2 MiB", len >> 20,
		 (unsigned long long)small, (unsigned long long)large);
	/* The guest's own code and tables take some, too, in both */
	EXPECT(small >= len / PAGE_SIZE && small <= len / PAGE_SIZE + OWN, "%llu",
	       (unsigned long long)small);
	EXPECT(large >= len / M2 && large <= len / M2 + OWN, "%llu", (unsigned long long)large);
}

TEST(tables_are_few)
{
	const size_t len = 16 * M2;
	struct vcpu *v = start(streams, GPA, len, huge_pages(len));
	uint64_t before = info(v).tables;

	v->g->arg = len / PAGE_SIZE;
	vcpu_finish(v);
	/* 16 entries of one table; the rest is for the guest's program */
	EXPECT(info(v).tables <= before + 12, "%llu", (unsigned long long)info(v).tables);
}

TEST(not_congruent)
{
	const size_t len = 4 * M2;

	/* Huge in the host, but the guest's address is off by a page */
	stream(huge_pages(len + M2) + PAGE_SIZE, len, 0);
}

/* All but the first page, then that: what is large by then must not reach it */
GUEST(streams_from_1)
{
	uint64_t i;

	for (i = 1; i < g->arg; i++)
		*G_HIDE(guest_page(i)) = i;
	GUEST_EQ(*G_HIDE(guest_page(0)), 99);
}

TEST(edges)
{
	const size_t len = 3 * M2, inner = len - 2 * PAGE_SIZE;
	struct vcpu *v = vcpu_create(create(), 0);
	uint8_t *p = huge_pages(len), *first = host_pages(PAGE_SIZE);
	size_t i;

	/* One page is missing at either end, so that only the block in the middle is whole */
	*(uint64_t *)first = 99;
	REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, PAGE_SIZE, first));
	REQUIRE(!vm_region(v->vm, SLOT + 1, 0, GPA + PAGE_SIZE, inner, p + PAGE_SIZE));
	vcpu_setup_long_mode(v, streams_from_1);
	v->g->arg = len / PAGE_SIZE - 1;
	vcpu_finish(v);
	EXPECT_EQ(info(v).mapped_2m, 1);
	for (i = 1; i < len / PAGE_SIZE - 1; i++) {
		if (!EXPECT_EQ(*(uint64_t *)(p + i * PAGE_SIZE), i))
			break;
	}
	EXPECT_EQ(*(uint64_t *)p, 0x0101010101010101);
	EXPECT_EQ(*(uint64_t *)(p + len - PAGE_SIZE), 0x0101010101010101);
}

/* Adds 1 to the first word of each page, as often as the host says */
GUEST(adds)
{
	uint64_t i;

	for (;;) {
		for (i = 0; i < g->arg; i++)
			++*G_HIDE(guest_page(i));
		guest_sync(0);
	}
}

TEST(split_by_discard)
{
	const size_t len = 2 * M2;
	uint8_t *p = huge_pages(len);
	struct vcpu *v = start(adds, GPA, len, p);

	set_pages(p, len, 10);
	v->g->arg = len / PAGE_SIZE;
	vcpu_expect_sync(v, 0);
	EXPECT_EQ(info(v).mapped_2m, 2);
	/* The host splits the first huge page, and one page of it is a new one */
	REQUIRE(!madvise(p + 7 * PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED));
	vcpu_expect_sync(v, 0);
	EXPECT_EQ(info(v).mapped_2m, 1);
	EXPECT_EQ(*page_word(p, 7), 1);
	*page_word(p, 7) = 12;
	expect_pages(p, len, 12);
}

TEST(split_by_protection)
{
	const size_t len = M2;
	uint8_t *p = huge_pages(len);
	struct vcpu *v = start(adds, GPA, len, p);

	set_pages(p, len, 0);
	v->g->arg = len / PAGE_SIZE;
	vcpu_expect_sync(v, 0);
	REQUIRE(!mprotect(p + 3 * PAGE_SIZE, PAGE_SIZE, PROT_READ));
	/* The guest's write to a page that its VMM may only read */
	EXPECT_EQ(vcpu_run(v), -EFAULT);
	EXPECT_EQ(v->run->memory.gpa & ~(PAGE_SIZE - 1), GPA + 3 * PAGE_SIZE);
	REQUIRE(!mprotect(p + 3 * PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE));
	vcpu_expect_sync(v, 0);
	expect_pages(p, len, 2);
}

/* Tells the sum of the first words of g->arg pages, then adds 1 to each */
GUEST(sums_and_adds)
{
	uint64_t i, sum;

	for (;;) {
		for (sum = 0, i = 0; i < g->arg; i++)
			sum += *G_HIDE(guest_page(i));
		guest_sync(sum);
		for (i = 0; i < g->arg; i++)
			++*G_HIDE(guest_page(i));
		guest_sync(0);
	}
}

/* The guest has read all pages, and may not write to the one at @offset */
static void expect_refused(struct vcpu *v, uint8_t *p, uint64_t offset)
{
	EXPECT_EQ(vcpu_run_once(v), -EFAULT);
	REQUIRE(v->run->exit_reason == HVX_EXIT_MEMORY_FAULT);
	EXPECT_EQ(v->run->memory.gpa & -PAGE_SIZE, GPA + offset);
	EXPECT_EQ(v->run->memory.hva & -PAGE_SIZE, (uintptr_t)p + offset);
	EXPECT_EQ(v->run->memory.access & HVX_ACCESS_WRITE, HVX_ACCESS_WRITE);
}

/* Blocks that are protected as wholes are one entry each, whatever that allows, and again after */
static void protect_blocks(uint8_t *p, size_t len, size_t at, size_t part)
{
	struct vcpu *v = start(sums_and_adds, GPA, len, p);
	const uint64_t all = len / M2, some = part / M2;
	struct hvx_memory_info before;

	set_pages(p, len, 7);
	v->g->arg = len / PAGE_SIZE;
	vcpu_expect_sync(v, 7 * v->g->arg);
	vcpu_expect_sync(v, 0);
	before = info(v);
	EXPECT_EQ(before.mapped_2m, all);
	REQUIRE(!mprotect(p + at, part, PROT_READ));
	EXPECT_EQ(info(v).mapped_2m, all - some);
	vcpu_expect_sync(v, 8 * v->g->arg);
	EXPECT_EQ(info(v).mapped_2m, all);
	expect_refused(v, p, at);
	REQUIRE(!mprotect(p + at, part, PROT_READ | PROT_WRITE));
	EXPECT_EQ(info(v).mapped_2m, all - some);
	vcpu_expect_sync(v, 0);
	EXPECT_EQ(info(v).mapped_2m, all);
	EXPECT_EQ(info(v).mapped_4k, before.mapped_4k);
	/* Each is read, refused, read once more and written to */
	EXPECT(info(v).faults <= before.faults + 3 * some, "%llu, then %llu", before.faults,
	       info(v).faults);
	expect_pages(p, len, 9);
}

TEST(blocks_protected)
{
	protect_blocks(huge_pages(4 * M2), 4 * M2, M2, 2 * M2);
}

/*
 * What is protected in part is split, and no more than that; what the host makes one entry of when
 * that is over is one again.
 */
TEST(part_protected)
{
	const size_t len = 3 * M2, at = M2 + 7 * PAGE_SIZE;
	uint8_t *p = huge_pages(len);
	struct vcpu *v = start(sums_and_adds, GPA, len, p);
	struct hvx_memory_info before;

	set_pages(p, len, 3);
	v->g->arg = len / PAGE_SIZE;
	vcpu_expect_sync(v, 3 * v->g->arg);
	vcpu_expect_sync(v, 0);
	before = info(v);
	EXPECT_EQ(before.mapped_2m, 3);
	REQUIRE(!mprotect(p + at, 2 * PAGE_SIZE, PROT_READ));
	vcpu_expect_sync(v, 4 * v->g->arg);
	EXPECT_EQ(info(v).mapped_2m, 2);
	EXPECT_EQ(info(v).mapped_4k, before.mapped_4k + PER_M2);
	expect_refused(v, p, at);
	REQUIRE(!mprotect(p + at, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE));
	vcpu_expect_sync(v, 0);
	EXPECT_EQ(info(v).mapped_2m, 2);
	expect_pages(p, len, 5);
	if (madvise(p, len, MADV_COLLAPSE))
		SKIP("MADV_COLLAPSE: %s", strerror(errno));
	vcpu_expect_sync(v, 5 * v->g->arg);
	vcpu_expect_sync(v, 0);
	EXPECT_EQ(info(v).mapped_2m, 3);
	EXPECT_EQ(info(v).mapped_4k, before.mapped_4k);
	EXPECT_EQ(info(v).tables, before.tables);
	expect_pages(p, len, 6);
}

TEST(copied_on_write)
{
	const size_t len = 2 * M2;
	uint8_t *p = huge_pages(len);
	struct vcpu *v = start(adds, GPA, len, p);
	int status, go[2];
	pid_t child;

	set_pages(p, len, 5);
	v->g->arg = len / PAGE_SIZE;
	vcpu_expect_sync(v, 0);
	REQUIRE(!pipe(go));
	child = fork();
	REQUIRE(child >= 0);
	if (!child) {
		char byte;
		size_t i;

		/* What the guest writes after the fork is not for the child */
		if (read(go[0], &byte, 1) != 1)
			_exit(2);
		for (i = 0; i < len / PAGE_SIZE; i++)
			if (*page_word(p, i) != 6)
				_exit(1);
		_exit(0);
	}
	vcpu_expect_sync(v, 0);
	REQUIRE(write(go[1], "", 1) == 1);
	REQUIRE(waitpid(child, &status, 0) == child);
	EXPECT_EQ(status, 0);
	expect_pages(p, len, 7);
}

TEST(collapsed)
{
	const size_t len = 2 * M2;
	uint8_t *p = aligned(len, M2, false, MADV_NOHUGEPAGE);
	struct vcpu *v = start(adds, GPA, len, p);

	set_pages(p, len, 0);
	v->g->arg = len / PAGE_SIZE;
	vcpu_expect_sync(v, 0);
	EXPECT_EQ(info(v).mapped_2m, 0);
	REQUIRE(!madvise(p, len, MADV_HUGEPAGE));
	if (madvise(p, len, MADV_COLLAPSE))
		SKIP("MADV_COLLAPSE: %s", strerror(errno));
	vcpu_expect_sync(v, 0);
	/* The tables of 4 KiB entries gave way */
	EXPECT_EQ(info(v).mapped_2m, 2);
	expect_pages(p, len, 2);
}

/* Reads, so that an entry without the right to write may stand; then writes */
GUEST(reads_first)
{
	uint64_t i, sum = 0;

	for (i = 0; i < g->arg; i++)
		sum += *G_HIDE(guest_page(i));
	guest_sync(sum);
	for (i = 0; i < g->arg; i++)
		*G_HIDE(guest_page(i)) = i;
}

TEST(read_then_written)
{
	const size_t len = 4 * M2;
	uint8_t *p = aligned(len, M2, false, MADV_HUGEPAGE);
	struct vcpu *v = start(reads_first, GPA, len, p);

	/* The host maps its huge page of zeroes, which is nobody's to write to */
	v->g->arg = len / PAGE_SIZE;
	vcpu_expect_sync(v, 0);
	vcpu_finish(v);
	expect_written(p, len);
}

/* mov %edi, %eax; add $imm8, %eax; ret */
static const uint8_t adder[] = { 0x89, 0xf8, 0x83, 0xc0, 0x05, 0xc3 };

GUEST(executes)
{
	uint64_t i;

	/* Reading makes a large entry; calling needs the right to execute from it */
	for (i = 0; i < g->arg; i++)
		GUEST_EQ(*(volatile uint8_t *)G_HIDE(guest_page(i)), 0x89);
	for (i = 0; i < g->arg; i++)
		GUEST_EQ(((unsigned int (*)(unsigned int))guest_page(i))(i), i + 5);
	for (i = 0; i < g->arg; i++)
		guest_page(i)[8] = i;
}

/* The last word on the kernel's command line counts */
static bool mitigations_off(void)
{
	const char *at = file_read("/proc/cmdline"), *last = NULL;

	while ((at = strstr(at, "mitigations=")))
		last = at++;
	return last && !strncmp(last, "mitigations=off", 15);
}

/* The processor may stop at such code, and the kernel is to prevent that */
static bool large_code_forbidden(void)
{
	const char *name = "/sys/devices/system/cpu/vulnerabilities/itlb_multihit";

	return !access(name, R_OK) && !strstr(file_read(name), "Not affected") &&
	       !mitigations_off();
}

TEST(executed_from)
{
	const size_t len = M2;
	uint8_t *p = huge_pages(len);
	struct vcpu *v = start(executes, GPA, len, p);
	struct hvx_memory_info i;
	size_t k;

	for (k = 0; k < len / PAGE_SIZE; k++)
		memcpy(p + k * PAGE_SIZE, adder, sizeof(adder));
	v->g->arg = len / PAGE_SIZE;
	vcpu_finish(v);
	i = info(v);
	/* Where large pages must not hold code, all of this one's pages are small now */
	EXPECT_EQ(i.mapped_2m, !large_code_forbidden());
	EXPECT(i.mapped_2m || i.mapped_4k >= PER_M2, "%llu", (unsigned long long)i.mapped_4k);
	tap_note(i.mapped_2m ? "executed from a 2 MiB entry" :
			       "4 KiB entries for what is executed");
	for (k = 0; k < len / PAGE_SIZE; k++) {
		if (!EXPECT_EQ(((uint64_t *)(p + k * PAGE_SIZE))[8], k))
			break;
	}
}

static uint8_t *hugetlb(size_t len, int shift)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | shift << MAP_HUGE_SHIFT;
	uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

TEST(hugetlbfs_2m)
{
	const size_t len = 4 * M2;
	uint8_t *p;

	file_write("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "8");
	p = hugetlb(len, 21);
	if (!p)
		SKIP("no 2 MiB pages in hugetlbfs: %s", strerror(errno));
	stream(p, len, 4);
	munmap(p, len);
	file_write("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0");
}

TEST(hugetlbfs_2m_protected)
{
	const size_t len = 4 * M2;
	uint8_t *p;

	file_write("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "8");
	p = hugetlb(len, 21);
	if (!p)
		SKIP("no 2 MiB pages in hugetlbfs: %s", strerror(errno));
	/* As a whole: what splits a mapping of hugetlbfs breaks a rule of Linux 6.1's own */
	protect_blocks(p, len, 0, len);
	munmap(p, len);
	file_write("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0");
}

#define POOL_1G	"/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages"

static uint8_t *huge_page_1g(void)
{
	uint8_t *p;

	file_write(POOL_1G, "1");
	p = hugetlb(G1, 30);
	if (!p)
		SKIP("no 1 GiB page in hugetlbfs: %s", strerror(errno));
	return p;
}

/* By what Linux says of the processor, not by what hvx makes of it */
static bool has_1g_entries(void)
{
	const char *flag = hvx_vendor() == HVX_VENDOR_SVM ? " pdpe1gb" : " ept_1gb";

	return strstr(file_read("/proc/cpuinfo"), flag);
}

TEST(hugetlbfs_1g)
{
	uint8_t *p = huge_page_1g();
	struct vcpu *v = start(streams, GPA, G1, p);

	v->g->arg = G1 / PAGE_SIZE / 64;
	vcpu_finish(v);
	EXPECT_EQ(info(v).mapped_1g, has_1g_entries());
	EXPECT_EQ(info(v).mapped_2m, has_1g_entries() ? 0 : G1 / M2);
	tap_note("%llu entries of 1 GiB, %llu of 2 MiB", (unsigned long long)info(v).mapped_1g,
		 (unsigned long long)info(v).mapped_2m);
	expect_written(p, G1 / 64);
}

static unsigned int log_bits(struct vm *vm)
{
	static uint64_t bitmap[G1 / PAGE_SIZE / 64];
	struct hvx_dirty d = {
		.size = sizeof(d), .slot = SLOT, .nr = G1 / PAGE_SIZE, .data = (uintptr_t)bitmap,
	};
	unsigned int i, n = 0;

	EXPECT_EQ(xioctl(vm->fd, HVX_GET_DIRTY, &d), 0);
	for (i = 0; i < sizeof(bitmap) / sizeof(*bitmap); i++)
		n += __builtin_popcountll(bitmap[i]);
	return n;
}

/* Split while it is logged, one entry again afterwards */
TEST(hugetlbfs_1g_logged)
{
	const size_t used = 3 * M2;
	uint8_t *p = huge_page_1g();
	struct vcpu *v = start(adds, GPA, G1, p);
	uint64_t tables;

	set_pages(p, used, 0);
	v->g->arg = used / PAGE_SIZE;
	vcpu_expect_sync(v, 0);
	if (!has_1g_entries())
		SKIP("the processor has no 1 GiB entries");
	EXPECT_EQ(info(v).mapped_1g, 1);
	tables = info(v).tables;
	REQUIRE(!vm_region(v->vm, SLOT, HVX_REGION_LOG_DIRTY, GPA, G1, p));
	EXPECT_EQ(info(v).mapped_1g + info(v).mapped_2m, 0);
	EXPECT_EQ(log_bits(v->vm), 0);
	vcpu_expect_sync(v, 0);
	EXPECT_EQ(log_bits(v->vm), used / PAGE_SIZE);
	EXPECT_EQ(log_bits(v->vm), 0);
	REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, G1, p));
	vcpu_expect_sync(v, 0);
	EXPECT_EQ(info(v).mapped_1g, 1);
	EXPECT_EQ(info(v).tables, tables);
	expect_pages(p, used, 3);
	/* It goes as a whole, too */
	munmap(p, G1);
	EXPECT_EQ(info(v).mapped_1g, 0);
	EXPECT_EQ(vcpu_run_once(v), -EFAULT);
	EXPECT_EQ(v->run->exit_reason, HVX_EXIT_MEMORY_FAULT);
	file_write(POOL_1G, "0");
}

TEST(info_errors)
{
	struct vm *vm = vm_create_bare(0);
	struct hvx_memory_info i = { .size = sizeof(i) };

	EXPECT_EQ(xioctl(vm->fd, HVX_GET_MEMORY_INFO, &i), 0);
	EXPECT_EQ(i.mapped_4k | i.mapped_2m | i.mapped_1g | i.faults, 0);
	EXPECT_EQ(i.tables, 1);
	i.flags = 1;
	EXPECT_EQ(xioctl(vm->fd, HVX_GET_MEMORY_INFO, &i), -EINVAL);
	i.flags = 0;
	i.size = 4;
	EXPECT_EQ(xioctl(vm->fd, HVX_GET_MEMORY_INFO, &i), -EINVAL);
	EXPECT_EQ(xioctl(vm->fd, HVX_GET_MEMORY_INFO, NULL), -EFAULT);
}
