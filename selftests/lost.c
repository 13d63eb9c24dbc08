// SPDX-License-Identifier: GPL-2.0-only
/*
 * lost: memory that disappears under running guests: files that get shorter, mappings that go,
 * pages that the host loses to a memory error. The vCPU that needs it comes out with the address;
 * others go on, and so does this one when the VMM has put something there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sysfiles.h"
#include "vm.h"

#define GPA	0x40000000UL
#define SLOT	SLOT_FREE
#define M2	0x200000UL
#define VCPUS	2
#define MAX	(M2 / PAGE_SIZE)

static volatile bool stop;
static volatile uint64_t pages, rounds[VCPUS];
static volatile struct {
	bool is;
	uint64_t gpa, hva;
	uint32_t access, error;
} out[VCPUS];

/* Pages in turn, those of the other vCPU left out: counts in each; its second word says so, too */
GUEST(counts)
{
	uint64_t i;

	while (!stop) {
		for (i = g->id; i < pages; i += VCPUS) {
			volatile uint64_t *p = G_HIDE((uint64_t *)(GPA + i * PAGE_SIZE));

			p[0]++;
			p[1] = ~p[0];
		}
		rounds[g->id]++;
	}
}

/* Runs until the end; at an exit for memory it says so, and waits until that is cleared */
static void *run(void *arg)
{
	struct vcpu *v = arg;
	const struct hvx_exit_memory *m = &v->run->memory;
	unsigned int id = v->id;

	pin_to(id % nr_cpus());
	while (vcpu_ucall(v) == UC_NONE) {
		if (v->run->exit_reason != HVX_EXIT_MEMORY_FAULT) {
			vcpu_describe(v, v->run->exit_reason);
			tap_failed(__FILE__, __LINE__, "exit", " unexpected");
			break;
		}
		out[id].gpa = m->gpa;
		out[id].hva = m->hva;
		out[id].access = m->access;
		out[id].error = m->error;
		out[id].is = true;
		while (out[id].is && !stop)
			usleep(200);
		/* After a failure: nobody mends it any more */
		if (stop)
			break;
	}
	return NULL;
}

static struct vcpu *vcpus[VCPUS];
static pthread_t threads[VCPUS];

static struct vm *start(void *hva, uint64_t nr)
{
	struct vm *vm;
	unsigned int i;

	heap_alloc(PAGE_SIZE, PAGE_SIZE);
	madvise((void *)HEAP_BASE, HEAP_SIZE, MADV_NOHUGEPAGE);
	vm = vm_create(0);
	pages = nr;
	REQUIRE(!vm_region(vm, SLOT, 0, GPA, nr * PAGE_SIZE, hva));
	for (i = 0; i < VCPUS; i++) {
		vcpus[i] = vcpu_create(vm, i);
		vcpu_setup_long_mode(vcpus[i], counts);
		REQUIRE(!pthread_create(&threads[i], NULL, run, vcpus[i]));
	}
	return vm;
}

static void end(void)
{
	unsigned int i;

	stop = true;
	for (i = 0; i < VCPUS; i++)
		out[i].is = false;
	for (i = 0; i < VCPUS; i++)
		pthread_join(threads[i], NULL);
}

/* Until it is so, but not for ever */
#define WAIT(cond) ({							\
	unsigned long long end_ = now_ms() + 30000 * tap_scale();	\
	bool is_ = false;						\
	while (now_ms() < end_ && !tap_failures()) {			\
		is_ = (cond);						\
		if (is_)						\
			break;						\
		usleep(500);						\
	}								\
	EXPECT(is_, "never %s", #cond);				\
})

static void more_rounds(unsigned int id)
{
	uint64_t from = rounds[id];

	WAIT(rounds[id] >= from + 2);
}

/* vCPU @id is out for what is at [first, first + nr) pages of the region at @hva */
static void expect_out(unsigned int id, const uint8_t *hva, uint64_t first, uint64_t nr,
		       unsigned int error)
{
	uint64_t page;

	if (!WAIT(out[id].is))
		return;
	page = (out[id].gpa - GPA) / PAGE_SIZE;
	EXPECT(page >= first && page < first + nr && page % VCPUS == id, "vCPU %u: gpa %#lx", id,
	       out[id].gpa);
	EXPECT_EQ(out[id].hva - (uintptr_t)hva, out[id].gpa - GPA);
	EXPECT(out[id].access & (HVX_ACCESS_READ | HVX_ACCESS_WRITE), "%#x", out[id].access);
	EXPECT_EQ(out[id].error, error);
}

/* ------------------------------------------------------------------ SIGBUS */

static sigjmp_buf after_bus;
static volatile bool bus_returns;
static void *volatile bus_addr;
static volatile int bus_code;
static volatile unsigned int buses;

static void on_bus(int sig, siginfo_t *info, void *context)
{
	bus_addr = info->si_addr;
	bus_code = info->si_code;
	buses++;
	if (!bus_returns)
		siglongjmp(after_bus, 1);
}

static void catch_bus(void)
{
	struct sigaction act = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };

	REQUIRE(!sigaction(SIGBUS, &act, NULL));
}

/* What a program that reads there gets */
static bool bus_at(const volatile uint8_t *p)
{
	buses = 0;
	if (!sigsetjmp(after_bus, 1))
		(void)*p;
	return buses == 1 && bus_addr == p;
}

/* ------------------------------------------------------------------ files */

/* The VMM's own threads get SIGBUS where the file is no more, vCPUs an exit */
TEST_TIME(file_cut_under_load, 120)
{
	const uint64_t nr = 32, left = 20;
	int fd = memfd_create("hvx", 0);
	uint8_t *p;

	REQUIRE(!ftruncate(fd, nr * PAGE_SIZE));
	p = mmap(NULL, nr * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REQUIRE(p != MAP_FAILED);
	catch_bus();
	start(p, nr);
	more_rounds(0);
	more_rounds(1);
	REQUIRE(!ftruncate(fd, left * PAGE_SIZE));
	expect_out(0, p, left, nr - left, EFAULT);
	expect_out(1, p, left, nr - left, EFAULT);
	EXPECT(bus_at(p + left * PAGE_SIZE) && bus_code == BUS_ADRERR, "no SIGBUS");
	/* Again, since nothing was mended; the other one waits */
	out[0].is = false;
	expect_out(0, p, left, nr - left, EFAULT);
	REQUIRE(!ftruncate(fd, nr * PAGE_SIZE));
	out[0].is = false;
	out[1].is = false;
	more_rounds(0);
	more_rounds(1);
	end();
}

/* Holes are punched into the file: what the guest writes after that is in the file again */
TEST_TIME(file_punched_under_load, 120)
{
	const uint64_t nr = 32;
	int fd = memfd_create("hvx", 0);
	unsigned int n;
	uint64_t i, w[2];
	uint8_t *p;

	REQUIRE(!ftruncate(fd, nr * PAGE_SIZE));
	p = mmap(NULL, nr * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REQUIRE(p != MAP_FAILED);
	start(p, nr);
	for (n = 0; n < 200 && !tap_failures(); n++) {
		EXPECT(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				  n * 7 % nr * PAGE_SIZE, 2 * PAGE_SIZE), "%s", strerror(errno));
		if (n % 20 == 0)
			more_rounds(n / 20 % VCPUS);
	}
	more_rounds(0);
	more_rounds(1);
	end();
	for (i = 0; i < nr; i++) {
		REQUIRE(pread(fd, w, sizeof(w), i * PAGE_SIZE) == sizeof(w));
		EXPECT(w[0] && w[1] == ~w[0], "page %lu: %#lx, %#lx", i, w[0], w[1]);
	}
}

/* ------------------------------------------------------------------ mappings */

/* The VMM takes its memory away and puts new one there, again and again */
TEST_TIME(unmapped_under_load, 120)
{
	const uint64_t nr = 16;
	const size_t len = nr * PAGE_SIZE;
	uint8_t *p = host_pages(len);
	unsigned int n;

	start(p, nr);
	for (n = 0; n < 10 && !tap_failures(); n++) {
		more_rounds(n % VCPUS);
		REQUIRE(!munmap(p, len));
		expect_out(0, p, 0, nr, EFAULT);
		expect_out(1, p, 0, nr, EFAULT);
		REQUIRE(mmap(p, len, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == p);
		out[0].is = false;
		out[1].is = false;
	}
	end();
}

GUEST(uses_tables)
{
	guest_sync(*G_HIDE((volatile uint64_t *)0xc0000000UL));
	guest_sync(*G_HIDE((volatile uint64_t *)0xc0200000UL));
}

/* Not what the guest reads is lost, but the table that leads to it */
TEST(page_table_lost)
{
	const uint64_t rights = PTE_P | PTE_W | PTE_U | PTE_A | PTE_D;
	struct vm *vm = vm_create(0);
	struct vcpu *v = vcpu_create(vm, 0);
	uint64_t *pd = host_pages(PAGE_SIZE), *data = aligned_pages(M2, MADV_NOHUGEPAGE);
	unsigned int i;

	REQUIRE(!vm_region(vm, SLOT, 0, GPA, PAGE_SIZE, pd));
	REQUIRE(!vm_region(vm, SLOT + 1, 0, GPA + M2, M2, data));
	*data = 99;
	vm->pdpt[3] = GPA | PTE_P | PTE_W | PTE_U | PTE_A;
	pd[0] = (GPA + M2) | rights | PTE_PS;
	pd[1] = pd[0];
	vcpu_setup_long_mode(v, uses_tables);
	vcpu_expect_sync(v, 99);
	REQUIRE(!munmap(pd, PAGE_SIZE));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(vcpu_run_once(v), -EFAULT);
		REQUIRE(v->run->exit_reason == HVX_EXIT_MEMORY_FAULT, "%s",
			exit_name(v->run->exit_reason));
		EXPECT_EQ(v->run->memory.gpa & -PAGE_SIZE, GPA);
		EXPECT_EQ(v->run->memory.error, EFAULT);
	}
	REQUIRE(mmap(pd, PAGE_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == pd);
	pd[1] = (GPA + M2) | rights | PTE_PS;
	vcpu_expect_sync(v, 99);
	vcpu_finish(v);
}

/* ------------------------------------------------------------------ memory errors */

/*
 * The host takes page @page for broken. It tells this thread by SIGBUS, since it was this thread
 * that asked for it.
 */
static bool poison(uint8_t *p, uint64_t page)
{
	buses = 0;
	bus_returns = true;
	if (madvise(p + page * PAGE_SIZE, PAGE_SIZE, MADV_HWPOISON))
		return false;
	EXPECT(!buses || bus_addr == p + page * PAGE_SIZE, "SIGBUS at %p", bus_addr);
	bus_returns = false;
	return true;
}

/* @lost pages from @page on are as good as one to the host */
static void broken(uint8_t *p, uint64_t nr, uint64_t page, uint64_t lost)
{
	const unsigned int id = page % VCPUS;
	uint64_t i;

	catch_bus();
	memset(p, 0, nr * PAGE_SIZE);
	start(p, nr);
	more_rounds(0);
	more_rounds(1);
	if (!poison(p, page)) {
		end();
		SKIP("no memory errors on demand");
	}
	expect_out(id, p, page, lost, EHWPOISON);
	/* It stays so */
	out[id].is = false;
	expect_out(id, p, page, lost, EHWPOISON);
	if (lost == 1)
		more_rounds(!id);
	else
		expect_out(!id, p, page, lost, EHWPOISON);
	/*
	 * New memory in place of the old, and not by the page of zeroes: to copy from that
	 * interrupts the other vCPU for each page.
	 */
	REQUIRE(mmap(p + page * PAGE_SIZE, lost * PAGE_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0) != MAP_FAILED);
	out[0].is = false;
	out[1].is = false;
	more_rounds(0);
	more_rounds(1);
	end();
	for (i = 0; i < nr && !tap_failures(); i++) {
		const uint64_t *w = (uint64_t *)(p + i * PAGE_SIZE);

		EXPECT(w[1] == ~w[0], "page %lu: %#lx, %#lx", i, w[0], w[1]);
		if (i < page || i >= page + lost)
			EXPECT_EQ(w[0], rounds[i % VCPUS]);
	}
}

TEST_TIME(page_broken, 120)
{
	broken(aligned_pages(32 * PAGE_SIZE, MADV_NOHUGEPAGE), 32, 5, 1);
}

/* The host splits the huge page: one page of it is lost */
TEST_TIME(huge_page_broken, 120)
{
	uint8_t *p = aligned_pages(M2, MADV_HUGEPAGE);

	memset(p, 0, M2);
	if (smaps_kib(p, "AnonHugePages") != M2 / 1024)
		SKIP("the host has no transparent huge pages to give");
	broken(p, MAX, 77, 1);
}

TEST_TIME(page_of_file_broken, 120)
{
	int fd = memfd_create("hvx", 0);
	uint8_t *p;

	REQUIRE(!ftruncate(fd, 32 * PAGE_SIZE));
	p = mmap(NULL, 32 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REQUIRE(p != MAP_FAILED);
	broken(p, 32, 6, 1);
}

/* A page of hugetlbfs is lost as a whole */
TEST_TIME(hugetlb_page_broken, 120)
{
	uint8_t *p;

	file_write("/proc/sys/vm/nr_hugepages", "2");
	p = mmap(NULL, M2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1,
		 0);
	if (p == MAP_FAILED)
		SKIP("no huge pages: %s", strerror(errno));
	broken(p, MAX, 0, MAX);
	file_write("/proc/sys/vm/nr_hugepages", "0");
}

/* What is taken in advance stops there, and says so; with new memory the same call goes on */
TEST(broken_in_advance)
{
	const uint64_t nr = 8, page = 5;
	uint8_t *p = aligned_pages(nr * PAGE_SIZE, MADV_NOHUGEPAGE);
	struct hvx_prefault pre = { .size = sizeof(pre), .gpa = GPA, .len = nr * PAGE_SIZE };
	struct vm *vm = vm_create(0);
	unsigned int i;

	catch_bus();
	memset(p, 0, nr * PAGE_SIZE);
	REQUIRE(!vm_region(vm, SLOT, 0, GPA, nr * PAGE_SIZE, p));
	if (!poison(p, page))
		SKIP("no memory errors on demand");
	for (i = 0; i < 2; i++) {
		pre.flags = i ? HVX_PREFAULT_WRITE : 0;
		EXPECT_EQ(xioctl(vm->fd, HVX_PREFAULT, &pre), -EHWPOISON);
		EXPECT_EQ(pre.gpa, GPA + page * PAGE_SIZE);
		EXPECT_EQ(pre.len, (nr - page) * PAGE_SIZE);
	}
	REQUIRE(mmap(p + page * PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
	EXPECT_EQ(xioctl(vm->fd, HVX_PREFAULT, &pre), 0);
	EXPECT_EQ(pre.len, 0);
}
