// SPDX-License-Identifier: GPL-2.0-only
/*
 * hostmm: what the host's memory management does by itself to the memory behind a region: swap,
 * page merging, migration, large pages, faults that user space answers, device memory. The guest
 * must notice none of it. Without the MMU notifier it goes on with pages that are somebody else's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sysfiles.h"
#include "vm.h"

#define GPA	0x50000000UL
#define SLOT	SLOT_FREE
#define PAGES	64
#define HUGE	0x200000UL

static struct vcpu *start(guest_fn fn, void *hva, size_t len)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, len, hva));
	vcpu_setup_long_mode(v, fn);
	return v;
}

static volatile uint64_t *guest_page(unsigned int i)
{
	return (uint64_t *)(GPA + i * PAGE_SIZE);
}

/* One step: every page must hold what the step before left; @arg is the number of the step. */
GUEST(steps)
{
	unsigned int i;

	for (;;) {
		for (i = 0; i < PAGES; i++) {
			volatile uint64_t *p = G_HIDE(guest_page(i));

			GUEST_EQ(p[0], i + g->arg);
			GUEST_EQ(p[511], ~(i + g->arg));
			p[0]++;
			p[511]--;
		}
		guest_sync(g->arg);
	}
}

static void fill(uint64_t *p, unsigned int step)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		p[512 * i] = i + step;
		p[512 * i + 511] = ~(uint64_t)(i + step);
	}
}

static void step(struct vcpu *v, unsigned int n)
{
	v->g->arg = n;
	vcpu_expect_sync(v, n);
}

/* ------------------------------------------------------------------ swap */

TEST_TIME(swapped_out, 60)
{
	uint64_t *p = (uint64_t *)host_pages(PAGES * PAGE_SIZE);
	unsigned int i, out = 0;
	struct vcpu *v;

	if (!swap_on())
		SKIP("no swap");
	fill(p, 0);
	v = start(steps, p, PAGES * PAGE_SIZE);
	for (i = 0; i < 10; i++) {
		step(v, i);
		/* What the guest has just used stays; the second time it has not been used since */
		madvise(p, PAGES * PAGE_SIZE, MADV_PAGEOUT);
		madvise(p, PAGES * PAGE_SIZE, MADV_PAGEOUT);
		out += pages_in_swap(p, PAGES);
		/* The host reads some back first, the guest the others */
		if (i & 1)
			EXPECT_EQ(p[512 * 5], 5 + i + 1);
	}
	EXPECT(out > PAGES, "only %u pages went out", out);
}

/* Pages that the VMM offered to the host are its own again once the guest has written to them. */
TEST_TIME(freed_then_written, 60)
{
	uint64_t *p = (uint64_t *)host_pages(PAGES * PAGE_SIZE);
	struct vcpu *v;
	unsigned int i, k;

	if (!swap_on())
		SKIP("no swap");
	fill(p, 0);
	v = start(steps, p, PAGES * PAGE_SIZE);
	step(v, 0);
	for (i = 1; i < 4; i++) {
		/* Of pages in swap the offer would be taken at once */
		for (k = 0; k < PAGES; k++)
			EXPECT_EQ(((volatile uint64_t *)p)[512 * k], k + i);
		REQUIRE(!madvise(p, PAGES * PAGE_SIZE, MADV_FREE));
		step(v, i);
		madvise(p, PAGES * PAGE_SIZE, MADV_PAGEOUT);
		madvise(p, PAGES * PAGE_SIZE, MADV_PAGEOUT);
	}
	step(v, i);
}

static volatile bool stop_guest;
static volatile uint64_t rounds;

GUEST(pairs)
{
	unsigned int i;

	for (i = 0; !stop_guest; i = (i + 1) % PAGES) {
		volatile uint64_t *p = G_HIDE(guest_page(i));
		uint64_t n = p[0];

		GUEST_EQ(p[511], ~n);
		p[0] = n + 1;
		p[511] = ~(n + 1);
		rounds++;
	}
}

static void *run_pairs(void *arg)
{
	struct vcpu *v = arg;

	while (vcpu_ucall(v) == UC_NONE) {
		vcpu_describe(v, v->run->exit_reason);
		tap_failed(__FILE__, __LINE__, "exit", " unexpected");
		return NULL;
	}
	return NULL;
}

/* The guest adds without a pause; @disturb is called for 2 s. What is lost or doubled shows. */
static void under_load(void (*disturb)(uint64_t *p, unsigned int n), uint64_t *p)
{
	unsigned long long end;
	uint64_t before, sum = 0;
	pthread_t thread;
	unsigned int i, n;
	struct vcpu *v;

	fill(p, 0);
	for (i = 0; i < PAGES; i++)
		sum -= p[512 * i];
	v = start(pairs, p, PAGES * PAGE_SIZE);
	REQUIRE(!pthread_create(&thread, NULL, run_pairs, v));
	end = now_ms() + 2000 * tap_scale();
	for (n = 0; now_ms() < end && !tap_failures(); n++) {
		before = rounds;
		disturb(p, n);
		while (rounds == before && now_ms() < end)
			usleep(100);
	}
	stop_guest = true;
	pthread_join(thread, NULL);
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(p[512 * i + 511], ~p[512 * i]);
		sum += p[512 * i];
	}
	EXPECT_EQ(sum, rounds);
	EXPECT(n > 0 && rounds > PAGES, "%u rounds, %lu of the guest", n, rounds);
}

static void page_out(uint64_t *p, unsigned int n)
{
	madvise(p, PAGES * PAGE_SIZE, MADV_PAGEOUT);
}

TEST_TIME(swapped_under_load, 60)
{
	if (!swap_on())
		SKIP("no swap");
	under_load(page_out, (uint64_t *)host_pages(PAGES * PAGE_SIZE));
}

/* ------------------------------------------------------------------ moved and merged */

static void compact(uint64_t *p, unsigned int n)
{
	/* Holes to move pages into */
	void *q = mmap(NULL, 512 * PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	unsigned int i;

	for (i = n & 1; i < 512; i += 2)
		madvise((char *)q + i * PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED);
	file_write("/proc/sys/vm/compact_memory", "1");
	munmap(q, 512 * PAGE_SIZE);
}

TEST_TIME(migrated_under_load, 60)
{
	if (access("/proc/sys/vm/compact_memory", W_OK))
		SKIP("no compaction");
	under_load(compact, (uint64_t *)host_pages(PAGES * PAGE_SIZE));
}

static void protect(uint64_t *p, unsigned int n)
{
	/* Soft-dirty tracking takes write permission from all entries */
	file_write("/proc/self/clear_refs", n & 1 ? "4" : "1");
}

TEST_TIME(protected_under_load, 60)
{
	under_load(protect, (uint64_t *)host_pages(PAGES * PAGE_SIZE));
}

/* Pages with this mark in what the host keeps of a mapping's entries */
#define SOFT_DIRTY	(1ULL << 55)

static unsigned int soft_dirty(const void *p, unsigned int nr)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	unsigned int i, n = 0;
	uint64_t entry;

	for (i = 0; i < nr; i++) {
		REQUIRE(pread(fd, &entry, sizeof(entry), ((uintptr_t)p / PAGE_SIZE + i) * 8) == 8);
		n += !!(entry & SOFT_DIRTY);
	}
	close(fd);
	return n;
}

/* Who copies a VMM's memory in rounds is told of what its guest writes */
TEST(soft_dirty)
{
	uint64_t *p = (uint64_t *)host_pages(PAGES * PAGE_SIZE);
	struct vcpu *v;

	fill(p, 0);
	v = start(steps, p, PAGES * PAGE_SIZE);
	step(v, 0);
	if (!soft_dirty(p, PAGES))
		SKIP("this kernel does not keep such marks");
	REQUIRE(file_write("/proc/self/clear_refs", "4"));
	EXPECT_EQ(soft_dirty(p, PAGES), 0);
	step(v, 1);
	EXPECT_EQ(soft_dirty(p, PAGES), PAGES);
}

GUEST(reads_then_writes)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		GUEST_EQ(*G_HIDE(guest_page(i)), 7);
	guest_sync(0);
	for (i = 0; i < PAGES; i++)
		GUEST_EQ(*G_HIDE(guest_page(i)), 7);
	*G_HIDE(guest_page(3)) = 8;
	guest_sync(1);
	for (i = 0; i < PAGES; i++)
		GUEST_EQ(*G_HIDE(guest_page(i)), i == 3 ? 8 : 7);
}

TEST_TIME(merged, 60)
{
	uint64_t *p = (uint64_t *)host_pages(PAGES * PAGE_SIZE);
	unsigned long long end;
	struct vcpu *v;
	unsigned int i;

	if (!file_write("/sys/kernel/mm/ksm/run", "1"))
		SKIP("no KSM");
	file_write("/sys/kernel/mm/ksm/sleep_millisecs", "10");
	file_write("/sys/kernel/mm/ksm/pages_to_scan", "1000");
	for (i = 0; i < PAGES; i++)
		p[512 * i] = 7;
	v = start(reads_then_writes, p, PAGES * PAGE_SIZE);
	vcpu_expect_sync(v, 0);
	REQUIRE(!madvise(p, PAGES * PAGE_SIZE, MADV_MERGEABLE));
	for (end = now_ms() + 20000; now_ms() < end;) {
		if (file_number("/sys/kernel/mm/ksm/pages_sharing") >= PAGES - 2)
			break;
		usleep(10000);
	}
	EXPECT(file_number("/sys/kernel/mm/ksm/pages_sharing") >= PAGES - 2, "nothing merged");
	vcpu_expect_sync(v, 1);
	EXPECT_EQ(p[512 * 3], 8);
	EXPECT_EQ(p[512 * 4], 7);
	vcpu_finish(v);
	file_write("/sys/kernel/mm/ksm/run", "2");
}

/* ------------------------------------------------------------------ kinds of memory */

TEST(private_file)
{
	uint64_t buf[512] = { 0 }, *p;
	int fd = memfd_create("hvx", 0);
	struct vcpu *v;
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		buf[0] = i;
		buf[511] = ~(uint64_t)i;
		REQUIRE(write(fd, buf, sizeof(buf)) == sizeof(buf));
	}
	p = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	REQUIRE(p != MAP_FAILED);
	v = start(steps, p, PAGES * PAGE_SIZE);
	step(v, 0);
	step(v, 1);
	EXPECT_EQ(p[512 * 9], 11);
	/* The guest wrote to copies: the file is as it was */
	for (i = 0; i < PAGES; i++) {
		REQUIRE(pread(fd, buf, sizeof(buf), i * PAGE_SIZE) == sizeof(buf));
		EXPECT_EQ(buf[0], i);
	}
}

TEST(shared_file)
{
	uint64_t buf[512], *p;
	int fd = memfd_create("hvx", 0);
	struct vcpu *v;

	REQUIRE(!ftruncate(fd, PAGES * PAGE_SIZE));
	p = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REQUIRE(p != MAP_FAILED);
	fill(p, 0);
	v = start(steps, p, PAGES * PAGE_SIZE);
	step(v, 0);
	REQUIRE(pread(fd, buf, sizeof(buf), 9 * PAGE_SIZE) == sizeof(buf));
	EXPECT_EQ(buf[0], 10);
	buf[0]++;
	buf[511]--;
	REQUIRE(pwrite(fd, buf, sizeof(buf), 9 * PAGE_SIZE) == sizeof(buf));
	buf[0]--;
	buf[511]++;
	REQUIRE(pwrite(fd, buf, sizeof(buf), 9 * PAGE_SIZE) == sizeof(buf));
	step(v, 1);
}

static void huge_steps(void *p)
{
	struct vcpu *v;

	fill(p, 0);
	v = start(steps, p, HUGE);
	step(v, 0);
	/* A part of the large page goes */
	mprotect((char *)p + PAGES * PAGE_SIZE, PAGE_SIZE, PROT_READ);
	step(v, 1);
	madvise((char *)p + PAGES * PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED);
	step(v, 2);
	EXPECT_EQ(*(uint64_t *)p, 3);
}

TEST(transparent_huge_page)
{
	char *q = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *p = (char *)(((uintptr_t)q + HUGE - 1) & -HUGE);

	if (madvise(p, HUGE, MADV_HUGEPAGE))
		SKIP("no transparent huge pages");
	huge_steps(p);
}

TEST(hugetlb)
{
	void *p;

	file_write("/proc/sys/vm/nr_hugepages", "2");
	p = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1,
		 0);
	if (p != MAP_FAILED) {
		struct vcpu *v;

		fill(p, 0);
		v = start(steps, p, HUGE);
		step(v, 0);
		step(v, 1);
		EXPECT_EQ(*(uint64_t *)p, 2);
		munmap(p, HUGE);
		EXPECT_EQ(vcpu_run_once(v), -EFAULT);
	}
	file_write("/proc/sys/vm/nr_hugepages", "0");
	if (p == MAP_FAILED)
		SKIP("no huge pages");
}

GUEST(compares)
{
	volatile uint64_t *a = G_HIDE((volatile uint64_t *)GPA);
	const uint64_t *b = (uint64_t *)g->arg;
	unsigned int i;

	for (i = 0; i < 8 * 512; i++)
		GUEST_EQ(a[i], b[i]);
}

/* Memory without struct page: what the firmware left below 1 MiB */
TEST(device_memory)
{
	int fd = open("/dev/mem", O_RDONLY);
	uint64_t *copy;
	struct vcpu *v;
	void *p;

	p = mmap(NULL, 8 * PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0xf8000);
	if (fd < 0 || p == MAP_FAILED)
		SKIP("no /dev/mem");
	v = vcpu_create(vm_create(0), 0);
	REQUIRE(!vm_region(v->vm, SLOT, HVX_REGION_READONLY, GPA, 8 * PAGE_SIZE, p));
	vcpu_setup_long_mode(v, compares);
	copy = heap_alloc(8 * PAGE_SIZE, PAGE_SIZE);
	memcpy(copy, p, 8 * PAGE_SIZE);
	v->g->arg = (uintptr_t)copy;
	vcpu_finish(v);
	munmap(p, 8 * PAGE_SIZE);
	vcpu_setup_long_mode(v, compares);
	EXPECT_EQ(vcpu_run_once(v), -EFAULT);
	EXPECT_EQ(v->run->exit_reason, HVX_EXIT_MEMORY_FAULT);
}

GUEST(writes_back)
{
	volatile uint64_t *p = G_HIDE((volatile uint64_t *)GPA);

	for (;;) {
		*p = *p;
		guest_sync(1);
	}
}

/* Such memory is written to where the VMM may, and the region allows it; as it was, here */
TEST(device_memory_written)
{
	int fd = open("/dev/mem", O_RDWR);
	struct vcpu *v;
	void *p;

	p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0xf8000);
	if (fd < 0 || p == MAP_FAILED)
		SKIP("no /dev/mem");
	v = start(writes_back, p, PAGE_SIZE);
	vcpu_expect_sync(v, 1);
	REQUIRE(!vm_region(v->vm, SLOT, HVX_REGION_READONLY, GPA, PAGE_SIZE, p));
	vcpu_expect(v, HVX_EXIT_MMIO);
	EXPECT(v->run->mmio.gpa == GPA && v->run->mmio.len == 8 && v->run->mmio.write);
	vcpu_expect_sync(v, 1);
	REQUIRE(!vm_region(v->vm, SLOT, 0, GPA, PAGE_SIZE, p));
	vcpu_expect_sync(v, 1);
	REQUIRE(!mprotect(p, PAGE_SIZE, PROT_READ));
	EXPECT_EQ(vcpu_run_once(v), -EFAULT);
	EXPECT_EQ(v->run->exit_reason, HVX_EXIT_MEMORY_FAULT);
	EXPECT_EQ(v->run->memory.access, HVX_ACCESS_WRITE);
}

/* Memory that not even the kernel may read: it could not emulate anything there */
TEST(secret_memory)
{
	int fd = syscall(SYS_memfd_secret, 0);
	struct vcpu *v;
	uint64_t *p;

	if (fd < 0)
		SKIP("no memfd_secret(): %s", strerror(errno));
	REQUIRE(!ftruncate(fd, PAGE_SIZE));
	p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REQUIRE(p != MAP_FAILED);
	*p = 1;
	v = start(writes_back, p, PAGE_SIZE);
	EXPECT_EQ(vcpu_run_once(v), -EFAULT);
	EXPECT_EQ(v->run->exit_reason, HVX_EXIT_MEMORY_FAULT);
	EXPECT_EQ(v->run->memory.gpa, GPA);
	EXPECT_EQ(v->run->memory.error, EFAULT);
}

/* ------------------------------------------------------------------ faults of user space */

static int open_uffd(void *p, size_t len)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (uintptr_t)p, len }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	/* poll() says something only of those that do not block */
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		return -1;
	return fd;
}

static bool is_waiting(int fd, unsigned int ms)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	return poll(&wait, 1, ms) == 1 && wait.revents == POLLIN;
}

static void *answer(void *arg)
{
	static uint64_t page[512];
	int fd = *(int *)arg;
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		struct uffdio_copy copy = { .src = (uintptr_t)page, .len = PAGE_SIZE };
		struct uffd_msg msg;

		if (!is_waiting(fd, 10000) || read(fd, &msg, sizeof(msg)) != sizeof(msg))
			break;
		copy.dst = msg.arg.pagefault.address & -PAGE_SIZE;
		page[0] = i;
		page[511] = ~(uint64_t)i;
		if (ioctl(fd, UFFDIO_COPY, &copy))
			break;
	}
	return NULL;
}

TEST(user_faults)
{
	void *p = host_pages(PAGES * PAGE_SIZE);
	int fd = open_uffd(p, PAGES * PAGE_SIZE);
	pthread_t thread;
	struct vcpu *v;

	if (fd < 0)
		SKIP("no userfaultfd");
	REQUIRE(!pthread_create(&thread, NULL, answer, &fd));
	v = start(steps, p, PAGES * PAGE_SIZE);
	step(v, 0);
	step(v, 1);
	pthread_join(thread, NULL);
}

static void on_signal(int sig)
{
}

static void *run_once(void *arg)
{
	return (void *)(long)vcpu_run_once(arg);
}

/* The VMM can have a vCPU back that waits for an answer, and the vCPU goes on when that has come */
TEST(user_fault_interrupted)
{
	struct sigaction act = { .sa_handler = on_signal };
	void *p = host_pages(PAGES * PAGE_SIZE), *ret;
	int fd = open_uffd(p, PAGES * PAGE_SIZE);
	unsigned int major, minor;
	pthread_t thread;
	struct vcpu *v;

	if (fd < 0)
		SKIP("no userfaultfd");
	REQUIRE(sscanf(file_read("/proc/sys/kernel/osrelease"), "%u.%u", &major, &minor) == 2);
	if (major < 6 || (major == 6 && minor < 2))
		SKIP("in this kernel only a fatal signal ends such a wait");
	REQUIRE(!sigaction(SIGUSR1, &act, NULL));
	v = start(steps, p, PAGES * PAGE_SIZE);
	REQUIRE(!pthread_create(&thread, NULL, run_once, v));
	EXPECT(is_waiting(fd, 10000), "no fault");
	pthread_kill(thread, SIGUSR1);
	REQUIRE(!pthread_join(thread, &ret));
	EXPECT_EQ((long)ret, -EINTR);
	REQUIRE(!pthread_create(&thread, NULL, answer, &fd));
	step(v, 0);
	step(v, 1);
	pthread_join(thread, NULL);
}

/* Nobody answers: the guest waits in the host, until it is killed */
TEST(user_fault_killed)
{
	void *p = host_pages(PAGE_SIZE);
	int fd = open_uffd(p, PAGE_SIZE), to[2];
	struct pollfd wait;
	pid_t pid;

	if (fd < 0)
		SKIP("no userfaultfd");
	close(fd);
	REQUIRE(!pipe(to));
	pid = fork();
	if (!pid) {
		fd = open_uffd(p, PAGE_SIZE);
		if (!fork()) {
			/* Tells when the fault is there, outside of the address space that waits */
			_exit(!is_waiting(fd, 10000) || write(to[1], "x", 1) != 1);
		}
		vcpu_run(start(steps, p, PAGE_SIZE));
		_exit(1);
	}
	close(to[1]);
	wait = (struct pollfd){ .fd = to[0], .events = POLLIN };
	EXPECT(poll(&wait, 1, 15000) == 1 && wait.revents & POLLIN, "no fault");
	kill(pid, SIGKILL);
	EXPECT(waitpid(pid, NULL, 0) == pid);
}
