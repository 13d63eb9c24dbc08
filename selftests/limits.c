// SPDX-License-Identifier: GPL-2.0-only
/*
 * limits: what guest memory costs the host beside itself, and who pays for it. Second-level tables
 * are the VMM's: charged to its memory control group, shown there, bounded by its limit. Memory
 * that the guest does not touch costs nothing, however much of it there is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sysfiles.h"
#include "vm.h"

#define GPA	0x40000000UL	/* what these tests put there is the first of its GiB */
#define SLOT	SLOT_FREE
#define M2	0x200000UL
#define G1	0x40000000UL
#define HIGH	(4 * G1)	/* above what the guest's page tables map by themselves */

static volatile uint64_t first, stride, count, run_len;
static volatile bool only_read;

static struct vm *create(void)
{
	heap_alloc(PAGE_SIZE, PAGE_SIZE);
	madvise((void *)HEAP_BASE, HEAP_SIZE, MADV_NOHUGEPAGE);
	return vm_create(0);
}

static struct hvx_memory_info info(struct vm *vm)
{
	struct hvx_memory_info i = { .size = sizeof(i) };

	REQUIRE(!xioctl(vm->fd, HVX_GET_MEMORY_INFO, &i));
	return i;
}

/* In @count places, each @stride behind the other, @run_len pages: written, then read */
GUEST(touches)
{
	uint64_t i, k;

	for (i = 0; !only_read && i < count; i++) {
		volatile uint64_t *run = (void *)(first + i * stride);

		for (k = 0; k < run_len; k++)
			*G_HIDE(run + k * PAGE_SIZE / sizeof(*run)) = i ^ k << 32;
	}
	for (i = 0; i < count; i++) {
		for (k = 0; k < run_len; k++)
			GUEST_EQ(*G_HIDE((volatile uint64_t *)(first + i * stride + k * PAGE_SIZE)),
				 only_read ? 0 : i ^ k << 32);
	}
	guest_sync(1);
}

static void touch(uint64_t at, uint64_t places, uint64_t apart, uint64_t pages)
{
	first = at;
	count = places;
	stride = apart;
	run_len = pages;
}

/* Its own code and stack are mapped by then */
static struct vcpu *warm(guest_fn fn, struct vm *vm)
{
	struct vcpu *v = vcpu_create(vm, 0);

	touch(GPA, 0, 0, 0);
	vcpu_setup_long_mode(v, fn);
	vcpu_expect_sync(v, 1);
	vcpu_setup_long_mode(v, fn);
	return v;
}

/* ------------------------------------------------------------------ overhead */

static void overhead(size_t len, int advice, uint64_t max_ppm)
{
	uint8_t *p = aligned_pages(len, advice);
	struct vcpu *v = warm(touches, create());
	uint64_t before = info(v->vm).tables, bytes, ppm;

	if (advice == MADV_HUGEPAGE) {
		file_write("/proc/sys/vm/compact_memory", "1");
		memset(p, 1, len);
		if (smaps_kib(p, "AnonHugePages") != (long)(len / 1024))
			SKIP("the host has too few transparent huge pages: %ld KiB",
			     smaps_kib(p, "AnonHugePages"));
	}
	REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, len, p));
	touch(GPA, 1, 0, len / PAGE_SIZE);
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(info(v->vm).mapped_2m, advice == MADV_HUGEPAGE ? len / M2 : 0);
	EXPECT_EQ(*(uint64_t *)(p + 5 * PAGE_SIZE), 5UL << 32);
	bytes = (info(v->vm).tables - before) * PAGE_SIZE;
	ppm = bytes * 1000000 / len;
	tap_note("%zu MiB mapped: tables of %llu KiB, 0.%04llu %%", len >> 20,
		 (unsigned long long)bytes / 1024, (unsigned long long)ppm);
	EXPECT(bytes > 0 && ppm < max_ppm, "%llu ppm", (unsigned long long)ppm);
}

TEST_TIME(overhead_by_4k, 60)
{
	overhead(64 * M2 / 2, MADV_NOHUGEPAGE, 3000);
}

TEST_TIME(overhead_by_2m, 60)
{
	overhead(32 * M2, MADV_HUGEPAGE, 100);
}

/* ------------------------------------------------------------------ sparse memory */

static long resident(void)
{
	return file_field("/proc/self/status", "VmRSS");
}

/* The guest's page tables map all that its processor can address, by entries of 1 GiB */
static void map_high(struct vm *vm)
{
	const uint64_t rights = PTE_P | PTE_W | PTE_U | PTE_A;
	uint64_t i, n = (1ULL << hvx_cap(HVX_CAP_GPA_BITS)) / G1;
	uint64_t *pdpt;

	if (n > 1024)
		n = 1024;
	pdpt = heap_alloc(2 * PAGE_SIZE, PAGE_SIZE);
	memcpy(pdpt, vm->pdpt, PAGE_SIZE);
	for (i = HIGH / G1; i < n; i++)
		pdpt[i] = i * G1 | rights | PTE_D | PTE_PS;
	vm->pml4[0] = (uintptr_t)pdpt | rights;
	vm->pml4[1] = (uintptr_t)(pdpt + 512) | rights;
}

static bool has_1g_pages(struct vcpu *v)
{
	struct hvx_cpuid_entry e;

	return vcpu_cpuid(v, 0x80000001, 0, &e) && e.edx & 1u << 26;
}

/*
 * Up to 1 TiB in one region, as far as the processor's addresses go. The guest touches 4 MiB in 64
 * places.
 */
TEST_TIME(sparse_terabyte, 60)
{
	const uint64_t end = 1ULL << hvx_cap(HVX_CAP_GPA_BITS);
	const uint64_t len = end - HIGH > 1024 * G1 ? 1024 * G1 : end - HIGH;
	const uint64_t places = 64, pages = 16, touched = places * pages * PAGE_SIZE / 1024;
	struct vm *vm = create();
	struct vcpu *v = warm(touches, vm);
	struct hvx_memory_info before;
	unsigned long long start;
	long kib, tables;
	uint8_t *p;

	if (!has_1g_pages(v))
		SKIP("no 1 GiB pages for the guest's own tables");
	map_high(vm);
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		 -1, 0);
	REQUIRE(p != MAP_FAILED, "%s", strerror(errno));
	madvise(p, len, MADV_NOHUGEPAGE);
	before = info(vm);
	kib = resident();
	start = now_ms();
	REQUIRE(!vm_region(vm, SLOT, 0, HIGH, len, p));
	/* The region alone costs nothing */
	EXPECT_EQ(info(vm).tables, before.tables);
	touch(HIGH + 3 * PAGE_SIZE, places, (len / places) & -G1, pages);
	vcpu_expect_sync(v, 1);
	/* And the guest's own tables for it */
	EXPECT(info(vm).mapped_4k - before.mapped_4k - places * pages <= 2, "%llu pages",
	       (unsigned long long)(info(vm).mapped_4k - before.mapped_4k));
	EXPECT_EQ(*(uint64_t *)(p + 2 * stride + 3 * PAGE_SIZE), 2);
	kib = resident() - kib;
	tables = info(vm).tables - before.tables;
	EXPECT(kib >= (long)touched && kib <= (long)touched + 1024, "%ld KiB", kib);
	/* One of each of the two lower levels in each place, one or two above */
	EXPECT(tables <= 2 * (long)places + 4, "%ld tables", tables);
	tap_note("%llu GiB, %llu KiB touched: %ld KiB resident, tables of %ld KiB",
		 (unsigned long long)(len / G1), (unsigned long long)touched, kib, tables * 4);
	REQUIRE(!vm_region(vm, SLOT, 0, 0, 0, NULL));
	EXPECT_EQ(info(vm).tables, before.tables);
	EXPECT(now_ms() - start < 5000 * tap_scale(), "%llu ms", now_ms() - start);
}

/* ------------------------------------------------------------------ control groups */

/* Counters of a group are put together now and then: wait for what they should say */
static long settled(const char *key, long want)
{
	unsigned long long start = now_ms();
	long n;

	do {
		n = cgroup_field("memory.stat", key);
		if (n == want)
			break;
		usleep(100000);
	} while (now_ms() - start < 6000);
	return n;
}

TEST_TIME(charged, 60)
{
	const unsigned int places = 512;
	struct hvx_memory_info before;
	long stat, kernel, current;
	struct vcpu *v;
	uint8_t *p;

	cgroup_enter();
	v = warm(touches, create());
	p = aligned_pages(places * M2, MADV_NOHUGEPAGE);
	REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, places * M2, p));
	before = info(v->vm);
	stat = settled("sec_pagetables", before.tables * PAGE_SIZE);
	if (stat < 0)
		SKIP("memory.stat does not count second-level tables");
	EXPECT_EQ(stat, before.tables * PAGE_SIZE);
	kernel = cgroup_field("memory.stat", "kernel");
	current = cgroup_number("memory.current");
	/* A page behind each table */
	touch(GPA, places, M2, 1);
	vcpu_expect_sync(v, 1);
	EXPECT(info(v->vm).tables >= before.tables + places, "%llu",
	       (unsigned long long)info(v->vm).tables);
	EXPECT_EQ(settled("sec_pagetables", info(v->vm).tables * PAGE_SIZE),
		  info(v->vm).tables * PAGE_SIZE);
	/* So much again for the VMM's own tables; what a CPU has in stock may be missing */
	kernel = cgroup_field("memory.stat", "kernel") - kernel;
	current = cgroup_number("memory.current") - current;
	EXPECT(kernel >= (long)(2 * places * PAGE_SIZE), "%ld", kernel);
	EXPECT(current >= (long)(3 * places * PAGE_SIZE) - 0x100000, "%ld", current);
	tap_note("%u pages in %u tables: %ld KiB charged, %ld of them the kernel's", places, places,
		 current / 1024, kernel / 1024);
	REQUIRE(!vm_region(v->vm, SLOT, 0, 0, 0, NULL));
	EXPECT_EQ(settled("sec_pagetables", before.tables * PAGE_SIZE), before.tables * PAGE_SIZE);
}

/* A log costs what the region could hold, not what it holds: it is the VMM's, too */
TEST_TIME(log_charged, 60)
{
	const uint64_t len = 64 * G1;
	const long bitmap = len / PAGE_SIZE / 8, stock = 0x80000;
	struct vm *vm;
	long before;
	uint8_t *p;

	cgroup_enter();
	vm = create();
	p = aligned_pages(len, MADV_NOHUGEPAGE);
	REQUIRE(!vm_region(vm, SLOT, 0, HIGH, len, p));
	before = cgroup_number("memory.current");
	REQUIRE(!vm_region(vm, SLOT, HVX_REGION_LOG_DIRTY, HIGH, len, p));
	EXPECT(cgroup_number("memory.current") - before >= bitmap - stock, "%ld of %ld",
	       cgroup_number("memory.current") - before, bitmap);
	REQUIRE(!vm_region(vm, SLOT, 0, HIGH, len, p));
	EXPECT(cgroup_number("memory.current") - before <= stock, "%ld stay",
	       cgroup_number("memory.current") - before);
}

static void read_everywhere(struct vcpu *v, uint64_t len)
{
	only_read = true;
	touch(HIGH, len / M2, M2, 1);
	vcpu_setup_long_mode(v, touches);
	if (vcpu_run_once(v) == -EFAULT && v->run->exit_reason == HVX_EXIT_MEMORY_FAULT)
		_exit(v->run->memory.error == ENOMEM ? 12 : 13);
	_exit(1);
}

/* In a process of its own, since the kernel may kill it */
static int read_at_limit(void)
{
	const uint64_t len = 64 * G1;
	struct vcpu *v;
	struct vm *vm;
	uint8_t *p;
	int status;
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid) {
		REQUIRE(waitpid(pid, &status, 0) == pid);
		return status;
	}
	vm = create();
	p = aligned_pages(len, MADV_NOHUGEPAGE);
	v = warm(touches, vm);
	if (!has_1g_pages(v))
		_exit(2);
	map_high(vm);
	if (vm_region(vm, SLOT, 0, HIGH, len, p) || !cgroup_write("memory.max", "25165824") ||
	    !cgroup_write("memory.swap.max", "0"))
		_exit(3);
	read_everywhere(v, len);
	_exit(1);
}

static void expect_limit(void)
{
	const long limit = 24 << 20;

	EXPECT(cgroup_field("memory.events", "max") > 0, "the limit was not met");
	/* Not in 6.1 */
	EXPECT(cgroup_number("memory.peak") <= limit, "%ld", cgroup_number("memory.peak"));
}

/*
 * A guest that only reads gets the page of zeroes everywhere. What it costs is tables: they end at
 * the limit of the VMM's group, and nobody else suffers.
 */
TEST_TIME(bounded, 60)
{
	int status;

	cgroup_enter();
	status = read_at_limit();
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		SKIP("no 1 GiB pages for the guest's own tables");
	/* The group's memory ran out: its process was killed, or was told so at the address */
	EXPECT((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
	       (WIFEXITED(status) && WEXITSTATUS(status) == 12), "status %#x", status);
	expect_limit();
	tap_note("%s at the limit of 24 MiB", WIFSIGNALED(status) ? "killed" : "ENOMEM");
}

/* Where the kernel may kill nobody for it, the vCPU comes out with the address and ENOMEM */
TEST_TIME(bounded_by_error, 60)
{
	int status;

	cgroup_enter();
	REQUIRE(file_write("/proc/self/oom_score_adj", "-1000"), "%s", strerror(errno));
	status = read_at_limit();
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		SKIP("no 1 GiB pages for the guest's own tables");
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 12, "status %#x", status);
	expect_limit();
}

/* ------------------------------------------------------------------ giving back */

static volatile bool waking, started;
static volatile uint64_t wakes, longest;

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ULL + t.tv_nsec / 1000;
}

/* Goes before everybody else on this CPU, if the kernel lets it: notes how long it did not */
static void *wake_often(void *unused)
{
	const struct sched_param param = { .sched_priority = 50 };
	const struct timespec pause = { .tv_nsec = 100000 };
	uint64_t last, now;

	pin_to(0);
	REQUIRE(!pthread_setschedparam(pthread_self(), SCHED_FIFO, &param));
	last = now_us();
	started = true;
	while (waking) {
		nanosleep(&pause, NULL);
		now = now_us();
		if (now - last > longest)
			longest = now - last;
		last = now;
		wakes++;
	}
	return NULL;
}

/* 8,192 tables, with one entry each */
static struct vm *many_tables(void *p, uint64_t len)
{
	struct vm *vm = create();
	struct vcpu *v = warm(touches, vm);

	if (!has_1g_pages(v))
		SKIP("no 1 GiB pages for the guest's own tables");
	map_high(vm);
	REQUIRE(!vm_region(vm, SLOT, 0, HIGH, len, p));
	only_read = true;
	touch(HIGH, len / M2, M2, 1);
	vcpu_expect_sync(v, 1);
	EXPECT(info(vm).tables >= len / M2, "%llu", (unsigned long long)info(vm).tables);
	vcpu_destroy(v);
	return vm;
}

/* Who does @give_back leaves the CPU to others long before it has come to an end */
static void preemptible(const char *what, void (*give_back)(struct vm *vm))
{
	const uint64_t len = 8192 * M2;
	uint64_t best = ~0UL, took = 0;
	unsigned int i;

	/* Twice more if this machine itself has no time for the emulator */
	for (i = 0; i < 3 && (best > took / 4 || !took); i++) {
		void *p = aligned_pages(len, MADV_NOHUGEPAGE);
		struct vm *vm = many_tables(p, len);
		pthread_t thread;
		uint64_t start;

		waking = true;
		started = false;
		REQUIRE(!pthread_create(&thread, NULL, wake_often, NULL));
		while (!started)
			usleep(100);
		pin_to(0);
		wakes = 0;
		longest = 0;
		start = now_us();
		give_back(vm);
		took = now_us() - start;
		waking = false;
		best = longest;
		pthread_join(thread, NULL);
		munmap(p, len);
		tap_note("%s of 8192 tables took %lu us, longest without others %lu us, %lu wakes",
			 what, took, best, wakes);
	}
	EXPECT(best <= took / 4, "%lu of %lu us", best, took);
}

static void delete_region(struct vm *vm)
{
	REQUIRE(!vm_region(vm, SLOT, 0, 0, 0, NULL));
}

static void close_vm(struct vm *vm)
{
	close(vm->fd);
}

TEST_TIME(region_goes_preemptibly, 60)
{
	preemptible("deleting", delete_region);
}

TEST_TIME(vm_goes_preemptibly, 60)
{
	preemptible("closing", close_vm);
}
