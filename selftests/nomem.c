// SPDX-License-Identifier: GPL-2.0-only
/*
 * nomem: every allocation on the way from /dev/hvx to a running guest fails once. The call that
 * meets it has to say so, and to leave nothing behind: error paths that nobody walks leak or
 * crash. Needs the fault injection of a debug kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "irq.h"
#include "sysfiles.h"

#define FAULTS	"/sys/kernel/debug/"

static int nth = -1;

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) > 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static void need_faults(void)
{
	nth = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	if (nth < 0 || !put(FAULTS "failslab/ignore-gfp-wait", "N"))
		SKIP("no fault injection in this kernel");
	put(FAULTS "failslab/verbose", "0");
	put(FAULTS "fail_page_alloc/ignore-gfp-wait", "N");
	put(FAULTS "fail_page_alloc/min-order", "0");
	put(FAULTS "fail_page_alloc/verbose", "0");
}

/* The @n-th allocation of this thread from now on fails; 0 for none. */
static void fail_nth(unsigned int n)
{
	char text[16];

	REQUIRE(pwrite(nth, text, snprintf(text, sizeof(text), "%u", n), 0) > 0);
}

/* Did it come to that? */
static bool failed_one(void)
{
	char text[16] = "";

	REQUIRE(pread(nth, text, sizeof(text) - 1, 0) > 0);
	return atoi(text) == 0;
}

/* Calls until no allocation of the call fails any more; each failure must be ENOMEM. */
#define EACH_FAILURE(call) do {						\
	unsigned int n_ = 0;						\
	long ret_;							\
									\
	do {								\
		fail_nth(++n_);						\
		ret_ = (call);						\
	} while (again(ret_, n_));					\
} while (0)

static void undo(long fd)
{
	if (fd > 2)
		close(fd);
}

/* Judges the call whose @n-th allocation was to fail; false when it did not have as many. */
static bool again(long ret, unsigned int n)
{
	const bool hit = failed_one();

	fail_nth(0);
	/* Some allocations have a fallback. */
	if (ret >= 0)
		undo(ret);
	else if (hit)
		EXPECT(ret == -ENOMEM, "allocation %u: %s", n, strerror(-ret));
	if (hit && n < 500)
		return true;
	EXPECT(ret >= 0, "without a failure: %s", strerror(-ret));
	tap_note("%u allocations", n - 1);
	return false;
}

static long open_device(void)
{
	int fd = open("/dev/hvx", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

TEST_TIME(device, 60)
{
	need_faults();
	EACH_FAILURE(open_device());
}

TEST_TIME(create_vm, 60)
{
	struct hvx_create_vm c = { .size = sizeof(c) };
	int dev = hvx_open();

	need_faults();
	EACH_FAILURE(xioctl(dev, HVX_CREATE_VM, &c));
}

TEST_TIME(create_vcpu, 60)
{
	struct hvx_create_vcpu c = { .size = sizeof(c) };
	struct vm *vm = vm_create(0);

	need_faults();
	EACH_FAILURE(xioctl(vm->fd, HVX_CREATE_VCPU, &c));
}

static long set_and_clear(struct vm *vm, void *p)
{
	long ret = vm_region(vm, 20, 0, 0xc0000000, PAGE_SIZE, p);
	long ret2;

	if (ret)
		return ret;
	/* Taking away must not need memory that is not there. */
	ret2 = vm_region(vm, 20, 0, 0, 0, NULL);
	return ret2;
}

TEST_TIME(regions, 60)
{
	struct vm *vm = vm_create(0);
	void *p = host_pages(PAGE_SIZE);

	need_faults();
	EACH_FAILURE(set_and_clear(vm, p));
	EACH_FAILURE(vm_msr_filter(vm, 0x10, 1, 3));
}

static volatile uint64_t done;

GUEST(counts)
{
	volatile uint8_t *p = (uint8_t *)g->arg;
	unsigned int i;

	for (i = 0; i < 64; i++)
		p[i * PAGE_SIZE]++;
	done++;
}

/* A guest whose memory has to be faulted in: the fault that fails is told and can be repeated. */
TEST_TIME(guest_memory, 60)
{
	unsigned int n, failures = 0;
	struct vcpu *v;
	int ret;

	need_faults();
	v = vcpu_create(vm_create(0), 0);
	v->g->arg = (uintptr_t)heap_alloc(64 * PAGE_SIZE, PAGE_SIZE);
	for (n = 1; n < 200; n++) {
		madvise((void *)v->g->arg, 64 * PAGE_SIZE, MADV_DONTNEED);
		vcpu_setup_long_mode(v, counts);
		fail_nth(n);
		while ((ret = vcpu_run_once(v)) < 0) {
			fail_nth(0);
			failures++;
			REQUIRE(ret == -EFAULT || ret == -ENOMEM, "%s", strerror(-ret));
			REQUIRE(failures < 10 * n, "it fails without end");
		}
		fail_nth(0);
		REQUIRE(ret == HVX_EXIT_IO, "%s", exit_name(ret));
	}
	EXPECT_EQ(done, n - 1);
	tap_note("%u faults", failures);
}

/* ------------------------------------------------------------- interrupt chips, dirty log */

/* What was done by a call that went well in spite of a failure need not be done again */
static long unless(long done, long ret)
{
	return ret == done ? 0 : ret;
}

TEST_TIME(create_vm_with_chips, 60)
{
	struct hvx_create_vm c = { .size = sizeof(c), .flags = VM_CHIPS };
	int dev = hvx_open();

	need_faults();
	EACH_FAILURE(xioctl(dev, HVX_CREATE_VM, &c));
}

TEST_TIME(create_vcpu_with_lapic, 60)
{
	struct hvx_create_vcpu c = { .size = sizeof(c) };
	struct vm *vm = vm_create(VM_CHIPS);

	need_faults();
	EACH_FAILURE(xioctl(vm->fd, HVX_CREATE_VCPU, &c));
}

TEST_TIME(routing, 60)
{
	static struct hvx_route many[HVX_MAX_ROUTES];
	struct vm *vm = vm_create(VM_CHIPS);
	unsigned int i;

	need_faults();
	for (i = 0; i < HVX_MAX_ROUTES; i++)
		many[i] = (struct hvx_route) {
			.gsi = i / 4, .type = HVX_ROUTE_IOAPIC, .pin = i % 24,
		};
	EACH_FAILURE(vm_routing(vm, many, 1));
	EACH_FAILURE(vm_routing(vm, many, HVX_MAX_ROUTES));
	EXPECT_EQ(vm_irq_line(vm, 1, 1), 0);
}

TEST_TIME(irqfds, 60)
{
	struct vm *vm = vm_create(VM_CHIPS);
	int fd = event_create(), back = event_create();

	need_faults();
	EACH_FAILURE(unless(-EBUSY, vm_irqfd(vm, HVX_IRQFD_RESAMPLE, fd, 5, back)));
	event_signal(fd);
	EACH_FAILURE(unless(-ENOENT, vm_irqfd(vm, HVX_IRQFD_REMOVE, fd, 5, -1)));
	EACH_FAILURE(unless(-EBUSY, vm_irqfd(vm, 0, fd, 5, -1)));
}

/* Taking away needs memory, too: when there is none, all is as it was */
TEST_TIME(ioeventfds, 60)
{
	struct vm *vm = vm_create(VM_CHIPS);
	const uint32_t pio = HVX_IOEVENTFD_PIO;
	int fd = event_create();

	need_faults();
	EACH_FAILURE(unless(-EEXIST, vm_ioeventfd(vm, pio, 0x1000, 2, fd, 0)));
	EACH_FAILURE(unless(-ENOENT, vm_ioeventfd(vm, pio | HVX_IOEVENTFD_REMOVE, 0x1000, 2, fd,
						  0)));
	EXPECT_EQ(vm_ioeventfd(vm, pio | HVX_IOEVENTFD_REMOVE, 0x1000, 2, fd, 0), -ENOENT);
}

TEST_TIME(chips, 60)
{
	struct vm *vm = vm_create(VM_CHIPS);
	struct hvx_ioapic_state state;

	need_faults();
	memset(&state, 0, sizeof(state));
	EACH_FAILURE(vm_get_chip(vm, HVX_CHIP_IOAPIC, &state, sizeof(state)));
	EACH_FAILURE(vm_set_chip(vm, HVX_CHIP_IOAPIC, &state, sizeof(state)));
}

TEST_TIME(dirty_log, 60)
{
	static uint64_t bitmap[16];
	struct hvx_dirty d = {
		.size = sizeof(d), .slot = 20, .nr = 1024, .data = (uintptr_t)bitmap,
	};
	struct vm *vm = vm_create(0);
	void *p = host_pages(1024 * PAGE_SIZE);

	need_faults();
	memset(bitmap, 0, sizeof(bitmap));
	REQUIRE(!vm_region(vm, 20, 0, 0xc0000000, 1024 * PAGE_SIZE, p));
	EACH_FAILURE(vm_region(vm, 20, HVX_REGION_LOG_DIRTY, 0xc0000000, 1024 * PAGE_SIZE, p));
	EACH_FAILURE(xioctl(vm->fd, HVX_GET_DIRTY, &d));
	EACH_FAILURE(vm_region(vm, 20, 0, 0xc0000000, 1024 * PAGE_SIZE, p));
}

static uint64_t large_entries(struct vm *vm)
{
	struct hvx_memory_info i = { .size = sizeof(i) };

	REQUIRE(!xioctl(vm->fd, HVX_GET_MEMORY_INFO, &i));
	return i.mapped_2m;
}

/* Large entries for which there are no smaller ones must go: the log would miss writes */
TEST_TIME(log_of_large_pages, 60)
{
	const uint64_t gpa = 0xc0000000, len = 0x200000;
	struct hvx_prefault all, p = {
		.size = sizeof(p), .flags = HVX_PREFAULT_WRITE, .gpa = gpa, .len = len,
	};
	void *at = aligned_pages(len, MADV_HUGEPAGE);
	struct vm *vm = vm_create(0);
	unsigned int n = 0;
	long ret;
	bool hit;

	need_faults();
	REQUIRE(!vm_region(vm, 20, 0, gpa, len, at));
	do {
		all = p;
		REQUIRE(!xioctl(vm->fd, HVX_PREFAULT, &all));
		if (!large_entries(vm))
			SKIP("the host has no transparent huge page to give");
		fail_nth(++n);
		ret = vm_region(vm, 20, HVX_REGION_LOG_DIRTY, gpa, len, at);
		hit = failed_one();
		fail_nth(0);
		/* Not even the log itself may be there */
		EXPECT_EQ(large_entries(vm), ret ? 1 : 0);
		if (!ret)
			REQUIRE(!vm_region(vm, 20, 0, gpa, len, at));
	} while (hit && n < 50 && !tap_failures());
	EXPECT(n > 3, "only %u allocations", n - 1);
}

/* A table that is missing ends the call where it stopped; the next one goes on from there */
TEST_TIME(prefault, 60)
{
	const uint64_t gpa = 0xc0000000, len = 8 * PAGE_SIZE;
	struct hvx_prefault p = {
		.size = sizeof(p), .flags = HVX_PREFAULT_WRITE, .gpa = gpa, .len = len,
	};
	struct vm *vm = vm_create(0);

	need_faults();
	REQUIRE(!vm_region(vm, 20, 0, gpa, len, host_pages(len)));
	EACH_FAILURE(xioctl(vm->fd, HVX_PREFAULT, &p));
	EXPECT_EQ(p.gpa, gpa + len);
	EXPECT_EQ(p.len, 0);
}
