// SPDX-License-Identifier: GPL-2.0-only
/*
 * follow: the host merges, collapses, copies and moves the memory behind a region while vCPUs write
 * to it. The host's own counters say that it did, the guests that nothing came of it but another
 * place.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sysfiles.h"
#include "team.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

#define GPA	0x40000000UL
#define SLOT	SLOT_FREE
#define M2	0x200000UL
#define PER_M2	(M2 / PAGE_SIZE)
#define KSM	"/sys/kernel/mm/ksm/"
#define THP	"/sys/kernel/mm/transparent_hugepage/"

static struct team team, other;

static struct vm *create(void)
{
	heap_alloc(PAGE_SIZE, PAGE_SIZE);
	madvise((void *)HEAP_BASE, HEAP_SIZE, MADV_NOHUGEPAGE);
	return vm_create(0);
}

static uint64_t large_leaves(struct vm *vm)
{
	struct hvx_memory_info i = { .size = sizeof(i) };

	REQUIRE(!xioctl(vm->fd, HVX_GET_MEMORY_INFO, &i));
	return i.mapped_2m;
}

/* It takes pages away for a moment, to see who uses them: tests of that are below */
static void no_balancing(void)
{
	file_write("/proc/sys/kernel/numa_balancing", "0");
}

/* ------------------------------------------------------------------ merged */

static bool wait_sharing(long least, long most)
{
	unsigned long long end = now_ms() + 10000 * tap_scale();
	long n;

	do {
		n = file_number(KSM "pages_sharing");
		if (n >= least && n <= most)
			return true;
		usleep(10000);
	} while (now_ms() < end);
	return EXPECT(false, "%ld pages", n);
}

/* Two VMs with the same in their pages, and both look at them; then one of them writes. */
TEST_TIME(merged_between_vms, 60)
{
	const unsigned int pages = 64;
	uint8_t *a = aligned_pages(pages * PAGE_SIZE, MADV_NOHUGEPAGE);
	uint8_t *b = aligned_pages(pages * PAGE_SIZE, MADV_NOHUGEPAGE);
	long copied;

	if (!file_write(KSM "run", "1"))
		SKIP("no KSM");
	file_write(KSM "sleep_millisecs", "10");
	file_write(KSM "pages_to_scan", "1000");
	team_fill(a, pages);
	team_fill(b, pages);
	team.read_only = true;
	other.read_only = true;
	team_start(&team, create(), 1, GPA, a, pages);
	team_start(&other, create(), 1, GPA, b, pages);
	team_rounds(&team, 2, 10);
	team_rounds(&other, 2, 10);
	REQUIRE(!madvise(a, pages * PAGE_SIZE, MADV_MERGEABLE));
	REQUIRE(!madvise(b, pages * PAGE_SIZE, MADV_MERGEABLE));
	wait_sharing(pages, pages);
	tap_note("pages_shared %ld, pages_sharing %ld", file_number(KSM "pages_shared"),
		 file_number(KSM "pages_sharing"));
	/* Both go on with the same pages, which nobody may write to */
	team_rounds(&team, 2, 10);
	team_rounds(&other, 2, 10);
	EXPECT_EQ(file_number(KSM "pages_sharing"), pages);
	copied = vmstat("cow_ksm");
	team.read_only = false;
	team_rounds(&team, 3, 10);
	team_rounds(&other, 2, 10);
	wait_sharing(0, 0);
	if (copied >= 0)
		EXPECT(vmstat("cow_ksm") - copied >= pages, "%ld", vmstat("cow_ksm") - copied);
	team_end(&team);
	team_end(&other);
	EXPECT(team.done[0] > 0 && !other.done[0], "%lu, %lu rounds", team.done[0], other.done[0]);
	file_write(KSM "run", "2");
}

/* ------------------------------------------------------------------ collapsed and split */

static bool wait_huge(const void *p, long kib)
{
	unsigned long long end = now_ms() + 15000 * tap_scale();
	long n;

	do {
		n = smaps_kib(p, "AnonHugePages");
		if (n == kib)
			return true;
		usleep(20000);
	} while (now_ms() < end && !tap_failures());
	return EXPECT(false, "%ld KiB", n);
}

/* khugepaged puts small pages together that two vCPUs are writing to: entries follow */
TEST_TIME(collapsed_by_the_host, 60)
{
	const uint64_t pages = 2 * PER_M2;
	uint8_t *p = aligned_pages(pages * PAGE_SIZE, MADV_HUGEPAGE);
	struct vm *vm = create();
	long before;

	if (!file_write(THP "khugepaged/scan_sleep_millisecs", "10"))
		SKIP("the host has no transparent huge pages to give");
	file_write(THP "khugepaged/alloc_sleep_millisecs", "10");
	file_write(THP "khugepaged/pages_to_scan", "100000");
	no_balancing();
	file_write("/proc/sys/vm/compact_memory", "1");
	REQUIRE(!madvise(p, pages * PAGE_SIZE, MADV_NOHUGEPAGE));
	team_fill(p, pages);
	team_start(&team, vm, 2, GPA, p, pages);
	team_rounds(&team, 2, 10);
	EXPECT_EQ(large_leaves(vm), 0);
	before = vmstat("thp_collapse_alloc");
	REQUIRE(!madvise(p, pages * PAGE_SIZE, MADV_HUGEPAGE));
	wait_huge(p, pages * PAGE_SIZE / 1024);
	if (before >= 0)
		EXPECT(vmstat("thp_collapse_alloc") - before >= 2, "%ld",
		       vmstat("thp_collapse_alloc") - before);
	team_rounds(&team, 2, 10);
	EXPECT_EQ(large_leaves(vm), 2);
	team_end(&team);
	file_write(THP "khugepaged/scan_sleep_millisecs", "10000");
}

/*
 * It puts together what is in use. Here that is told by the guest's entries alone, but for one page
 * that comes from swap: with it half of the others have to be in use, too.
 */
TEST_TIME(collapsed_for_the_guest, 60)
{
	const uint64_t pages = PER_M2 - 1;
	uint8_t *p = aligned_pages(M2, MADV_HUGEPAGE);
	unsigned int i;

	if (!swap_on())
		SKIP("no swap");
	if (!file_write(THP "khugepaged/scan_sleep_millisecs", "10"))
		SKIP("the host has no transparent huge pages to give");
	file_write(THP "khugepaged/alloc_sleep_millisecs", "10");
	file_write(THP "khugepaged/pages_to_scan", "100000");
	no_balancing();
	REQUIRE(!madvise(p, M2, MADV_NOHUGEPAGE));
	team_fill(p, PER_M2);
	/* That takes pages to the lists where all look for them, too */
	file_write("/proc/sys/vm/compact_memory", "1");
	team_start(&team, create(), 2, GPA, p, pages);
	team_rounds(&team, 2, 10);
	for (i = 0; i < 10 && pages_in_swap(p, PER_M2) != 1; i++)
		madvise(p + pages * PAGE_SIZE, PAGE_SIZE, MADV_PAGEOUT);
	EXPECT_EQ(pages_in_swap(p, PER_M2), 1);
	/* The VMM itself has used none of them */
	REQUIRE(file_write("/proc/self/clear_refs", "1"));
	REQUIRE(!madvise(p, M2, MADV_HUGEPAGE));
	wait_huge(p, M2 / 1024);
	team_rounds(&team, 2, 10);
	team_end(&team);
	EXPECT_EQ(*((uint64_t *)p + 512 * pages), TEAM_WORD(pages, 0));
	file_write(THP "khugepaged/scan_sleep_millisecs", "10000");
}

/* The VMM asks for it, and for the opposite, again and again */
TEST_TIME(collapsed_under_load, 60)
{
	const uint64_t pages = PER_M2;
	uint8_t *p = aligned_pages(pages * PAGE_SIZE, MADV_HUGEPAGE);
	unsigned int i, large = 0;
	struct vm *vm = create();

	no_balancing();
	team_fill(p, pages);
	team_start(&team, vm, 2, GPA, p, pages);
	for (i = 0; i < 5 && team_rounds(&team, 1, 10); i++) {
		/* Advice for a part of a huge page splits it */
		madvise(p + 7 * PAGE_SIZE, PAGE_SIZE, MADV_COLD);
		EXPECT_EQ(smaps_kib(p, "AnonHugePages"), 0);
		team_rounds(&team, 1, 10);
		EXPECT_EQ(large_leaves(vm), 0);
		if (madvise(p, pages * PAGE_SIZE, MADV_COLLAPSE)) {
			team_stop(&team);
			SKIP("MADV_COLLAPSE: %s", strerror(errno));
		}
		EXPECT_EQ(smaps_kib(p, "AnonHugePages"), M2 / 1024);
		team_rounds(&team, 2, 10);
		large += large_leaves(vm);
	}
	team_end(&team);
	EXPECT_EQ(large, 5);
}

/* ------------------------------------------------------------------ copied */

/* The child's copy: at one moment, each vCPU was in one round or between two, and so it stays */
static void look_at_copy(const uint64_t *p, unsigned int pages, int go)
{
	uint64_t first[64], low[2] = { ~0UL, ~0UL }, high[2] = { 0 };
	unsigned int i;
	char byte;

	for (i = 0; i < pages; i++) {
		uint64_t round = p[512 * i] - TEAM_WORD(i, 0);

		first[i] = p[512 * i];
		low[i % 2] = round < low[i % 2] ? round : low[i % 2];
		high[i % 2] = round > high[i % 2] ? round : high[i % 2];
	}
	if (high[0] - low[0] > 1 || high[1] - low[1] > 1)
		_exit(1);
	if (read(go, &byte, 1) != 1)
		_exit(2);
	for (i = 0; i < pages; i++)
		if (p[512 * i] != first[i])
			_exit(3);
	_exit(0);
}

TEST_TIME(forked_under_load, 60)
{
	const unsigned int pages = 64;
	uint8_t *p = aligned_pages(pages * PAGE_SIZE, MADV_NOHUGEPAGE);
	int go[2], status;
	unsigned int i;
	pid_t pid;

	team_fill(p, pages);
	team_start(&team, create(), 2, GPA, p, pages);
	REQUIRE(!pipe(go));
	for (i = 0; i < 8 && team_rounds(&team, 2, 10); i++) {
		pid = fork();
		REQUIRE(pid >= 0);
		if (!pid)
			look_at_copy((uint64_t *)p, pages, go[0]);
		team_rounds(&team, 3, 10);
		REQUIRE(write(go[1], "", 1) == 1);
		REQUIRE(waitpid(pid, &status, 0) == pid);
		EXPECT_EQ(status, 0);
	}
	team_end(&team);
}

/* ------------------------------------------------------------------ moved */

/* The VMM moves its mapping to and fro; until it has told hvx so, guests find nothing. */
static void moved(int advice, uint64_t pages)
{
	const size_t len = pages * PAGE_SIZE;
	uint8_t *at[2] = { aligned_pages(len, advice), aligned_pages(len, advice) };
	struct vm *vm = create();
	unsigned int i;

	team_fill(at[0], pages);
	team.moving = true;
	team_start(&team, vm, 2, GPA, at[0], pages);
	for (i = 0; i < 6 && team_rounds(&team, 2, 10); i++) {
		uint8_t *from = at[i % 2], *to = at[(i + 1) % 2];

		REQUIRE(mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
		usleep(2000);
		REQUIRE(!vm_region(vm, SLOT, 0, GPA, len, to));
		team.hva = (uint64_t *)to;
	}
	team_end(&team);
	EXPECT(team.faults > 0, "no guest met the hole");
}

TEST_TIME(remapped, 60)
{
	moved(MADV_NOHUGEPAGE, 64);
}

TEST_TIME(huge_pages_remapped, 60)
{
	moved(MADV_HUGEPAGE, PER_M2);
}

/* Guests on both sides of a file of huge pages; what is punched out of it is gone for both. */
TEST_TIME(file_of_huge_pages, 60)
{
	int fd = memfd_create("hvx", MFD_HUGETLB);
	uint8_t *a, *b;
	struct vm *vm;
	bool there;

	file_write("/proc/sys/vm/nr_hugepages", "2");
	there = fd >= 0 && !ftruncate(fd, M2);
	a = there ? mmap(NULL, M2, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
	b = there ? mmap(NULL, M2, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
	if (a == MAP_FAILED || b == MAP_FAILED)
		SKIP("no huge pages: %s", strerror(errno));
	team_fill(a, PER_M2);
	vm = create();
	team_start(&team, vm, 2, GPA, a, PER_M2);
	team_rounds(&team, 2, 10);
	EXPECT_EQ(large_leaves(vm), 1);
	team_end(&team);
	team_fill(b, PER_M2);
	vm = create();
	team_start(&other, vm, 2, GPA, b, PER_M2);
	team_rounds(&other, 2, 10);
	EXPECT_EQ(large_leaves(vm), 1);
	EXPECT_EQ(large_leaves(team.v[0]->vm), 1);
	/* The same memory by the other mapping */
	other.hva = (uint64_t *)a;
	team_end(&other);
	EXPECT(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, M2), "%s",
	       strerror(errno));
	EXPECT_EQ(large_leaves(vm), 0);
	EXPECT_EQ(large_leaves(team.v[0]->vm), 0);
	EXPECT_EQ(*(uint64_t *)b, 0);
	munmap(a, M2);
	munmap(b, M2);
	close(fd);
	file_write("/proc/sys/vm/nr_hugepages", "0");
}

/* ------------------------------------------------------------------ nodes */

static void need_nodes(void)
{
	if (!access("/sys/devices/system/node/node1", F_OK))
		return;
	SKIP("the host has one node");
}

/* How many of the pages are on @node; they are moved there first when @move, in so many attempts */
static unsigned int on_node(uint8_t *p, unsigned int pages, int node, unsigned int move)
{
	static void *addr[PER_M2];
	static int nodes[PER_M2], status[PER_M2];
	unsigned int i, n = 0;

	for (i = 0; i < pages; i++) {
		addr[i] = p + i * PAGE_SIZE;
		nodes[i] = node;
		status[i] = -1;
	}
	REQUIRE(syscall(SYS_move_pages, 0, (long)pages, addr, move ? nodes : NULL, status,
			MPOL_MF_MOVE) >= 0, "%s", strerror(errno));
	if (move) {
		/* A page that somebody looks at just then stays where it is */
		n = on_node(p, pages, node, 0);
		return n == pages ? n : on_node(p, pages, node, move - 1);
	}
	for (i = 0; i < pages; i++)
		n += status[i] == node;
	return n;
}

static void between_nodes(int advice, unsigned int pages)
{
	uint8_t *p = aligned_pages(pages * PAGE_SIZE, advice);
	struct vm *vm = create();
	unsigned int i, n;
	long moves;

	need_nodes();
	no_balancing();
	team_fill(p, pages);
	team_start(&team, vm, 2, GPA, p, pages);
	moves = vmstat("pgmigrate_success");
	for (i = 0; i < 8 && team_rounds(&team, 1, 10); i++) {
		n = on_node(p, pages, i & 1, 5);
		EXPECT(n == pages, "%u of %u pages are on node %u", n, pages, i & 1);
	}
	moves = vmstat("pgmigrate_success") - moves;
	/* Wherever they were before the first time */
	EXPECT(moves >= 7 * (long)pages, "%ld", moves);
	team_rounds(&team, 2, 10);
	EXPECT_EQ(large_leaves(vm), advice == MADV_HUGEPAGE);
	team_end(&team);
	tap_note("%u pages moved 8 times: pgmigrate_success %ld", pages, moves);
}

TEST_TIME(moved_between_nodes, 60)
{
	between_nodes(MADV_NOHUGEPAGE, 128);
}

TEST_TIME(huge_page_between_nodes, 60)
{
	between_nodes(MADV_HUGEPAGE, PER_M2);
}

static int node_of_cpu(unsigned int cpu)
{
	char name[64];
	int node;

	for (node = 0; node < 8; node++) {
		snprintf(name, sizeof(name), "/sys/devices/system/cpu/cpu%u/node%d", cpu, node);
		if (!access(name, F_OK))
			return node;
	}
	return -1;
}

static void scan_often(void)
{
	static const char *const dirs[] = {
		"/sys/kernel/debug/sched/numa_balancing/", "/proc/sys/kernel/numa_balancing_",
	};
	static const char *const values[][2] = {
		{ "scan_delay_ms", "100" }, { "scan_period_min_ms", "100" },
		{ "scan_period_max_ms", "200" },
	};
	char name[128];
	unsigned int i, k;

	for (i = 0; i < 2; i++) {
		for (k = 0; k < 3; k++) {
			snprintf(name, sizeof(name), "%s%s", dirs[i], values[k][0]);
			file_write(name, values[k][1]);
		}
	}
}

/* Pages follow a vCPU to the node where it runs: the host notices which pages it uses. */
static void balanced(bool read_only)
{
	const unsigned int pages = 128;
	uint8_t *p = aligned_pages(pages * PAGE_SIZE, MADV_NOHUGEPAGE);
	unsigned long long end = now_ms() + 20000 * tap_scale();
	int here = node_of_cpu(cpu_number(0));
	unsigned int n;
	long moves;

	need_nodes();
	REQUIRE(here >= 0);
	scan_often();
	if (!file_write("/proc/sys/kernel/numa_balancing", "1"))
		SKIP("no automatic NUMA balancing");
	team_fill(p, pages);
	EXPECT_EQ(on_node(p, pages, !here, 5), pages);
	moves = vmstat("numa_pages_migrated");
	team.read_only = read_only;
	team_start(&team, create(), 1, GPA, p, pages);
	do {
		team_rounds(&team, 2, 10);
		usleep(100000);
		n = on_node(p, pages, here, 0);
	} while (n < pages * 3 / 4 && now_ms() < end && !tap_failures());
	moves = vmstat("numa_pages_migrated") - moves;
	EXPECT(n >= pages * 3 / 4, "%u of %u pages came", n, pages);
	EXPECT(moves >= pages * 3 / 4, "%ld", moves);
	team_end(&team);
	file_write("/proc/sys/kernel/numa_balancing", "0");
	tap_note("%u of %u pages came to the vCPU's node: numa_pages_migrated %ld", n, pages,
		 moves);
}

TEST_TIME(written_pages_balanced, 60)
{
	balanced(false);
}

TEST_TIME(read_pages_balanced, 60)
{
	balanced(true);
}
