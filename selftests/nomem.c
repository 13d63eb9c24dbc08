// SPDX-License-Identifier: GPL-2.0-only
/*
 * nomem: every allocation on the way from /dev/hvx to a running guest fails once. The call that
 * meets it has to say so, and to leave nothing behind: error paths that nobody walks leak or
 * crash. Calls that move state also meet memory that is out for good. Needs the fault injection of
 * a debug kernel.
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
static unsigned int refused;	/* calls that ended with ENOMEM, as they should */

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
	put(FAULTS "failslab/task-filter", "Y");
	put(FAULTS "failslab/times", "-1");
	put(FAULTS "fail_page_alloc/task-filter", "Y");
	put(FAULTS "fail_page_alloc/times", "-1");
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
		refused += EXPECT(ret == -ENOMEM, "allocation %u: %s", n, strerror(-ret));
	if (hit && n < 500)
		return true;
	EXPECT(ret >= 0, "without a failure: %s", strerror(-ret));
	tap_note("%u allocations", n - 1);
	return false;
}

static void set_fault(const char *what, const char *name, unsigned int value)
{
	char path[64], text[16];

	snprintf(path, sizeof(path), FAULTS "%s/%s", what, name);
	snprintf(text, sizeof(text), "%u", value);
	REQUIRE(put(path, text), "%s", path);
}

/*
 * One failure does not show where there is a fallback. Here memory is out for good, after @room
 * bytes of small objects, till run_out_end(). Single pages are had, so that this process goes on.
 */
static int run_out_begin(unsigned int room)
{
	int fd = open("/proc/self/make-it-fail", O_RDWR | O_CLOEXEC);

	REQUIRE(fd >= 0, "make-it-fail: %s", strerror(errno));
	set_fault("fail_page_alloc", "min-order", 1);
	set_fault("failslab", "space", room);
	set_fault("failslab", "probability", 100);
	set_fault("fail_page_alloc", "probability", 100);
	REQUIRE(pwrite(fd, "1", 1, 0) == 1);
	return fd;
}

static void run_out_end(int fd)
{
	REQUIRE(pwrite(fd, "0", 1, 0) == 1);
	close(fd);
	set_fault("failslab", "probability", 0);
	set_fault("fail_page_alloc", "probability", 0);
	set_fault("fail_page_alloc", "min-order", 0);
}

/*
 * Judges the call that had @room; false when that was enough, as none must not be. A slab that
 * needs several pages in one piece may never come, however much room there is for its objects.
 */
static bool again_with(long ret, unsigned int *room)
{
	if (!*room || ret)
		refused += EXPECT(ret == -ENOMEM, "%u bytes: %ld", *room, ret);
	*room += 64 + *room / 8;
	return ret && *room < 20000;
}

struct tries {
	enum { ONE_FAILS, RUNS_OUT, ENOUGH, OVER } phase;
	unsigned int n, room;
	int fd;
};

static bool try_begin(struct tries *t)
{
	if (t->phase == ONE_FAILS)
		fail_nth(++t->n);
	else if (t->phase == RUNS_OUT)
		t->fd = run_out_begin(t->room);
	return t->phase != OVER;
}

static void try_end(struct tries *t, long ret)
{
	switch (t->phase) {
	case ONE_FAILS:
		t->phase += !again(ret, t->n);
		break;
	case RUNS_OUT:
		run_out_end(t->fd);
		t->phase += !again_with(ret, &t->room);
		break;
	default:
		EXPECT_EQ(ret, 0);
		tap_note("%u times refused", refused);
		t->phase = OVER;
	}
}

/* The same call with one failure after the other, with memory that runs out, and with enough */
#define EVERY_FAILURE(call) do {					\
	struct tries t_ = { };						\
									\
	while (try_begin(&t_))						\
		try_end(&t_, call);					\
} while (0)

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

/* ------------------------------------------------------------------------ state of a vCPU */

static struct hvx_cpuid_entry entries[HVX_MAX_CPUID];

static long cpuid_call(int fd, unsigned long nr, uint32_t *len)
{
	struct hvx_cpuid c = { .size = sizeof(c), .nr = *len, .entries = (uintptr_t)entries };
	long ret = xioctl(fd, nr, &c);

	*len = c.nr;
	return ret;
}

static long supported(int fd)
{
	uint32_t len = HVX_MAX_CPUID;

	return cpuid_call(fd, HVX_GET_SUPPORTED_CPUID, &len);
}

TEST_TIME(supported_cpuid, 60)
{
	struct vm *vm = vm_create(VM_CHIPS);

	need_faults();
	EVERY_FAILURE(supported(hvx_open()));
	EVERY_FAILURE(supported(vm->fd));
}

/* Tables with and without the last entry in turn: one that is refused replaces nothing */
static long next_cpuid(struct vcpu *v, uint32_t *full, uint32_t *now)
{
	uint32_t len = *now == *full ? *full - 1 : *full, there = HVX_MAX_CPUID;
	long ret = cpuid_call(v->fd, HVX_SET_CPUID, &len);

	if (!ret)
		*now = len;
	REQUIRE(!cpuid_call(v->fd, HVX_GET_CPUID, &there));
	EXPECT_EQ(there, *now);
	/* The entries are those of the full table again */
	entries[*full - 1] = entries[HVX_MAX_CPUID - 1];
	return ret;
}

TEST_TIME(set_cpuid, 60)
{
	struct vcpu *v = vcpu_create(vm_create(VM_CHIPS), 0);
	uint32_t full = HVX_MAX_CPUID, now;

	need_faults();
	REQUIRE(!cpuid_call(v->vm->fd, HVX_GET_SUPPORTED_CPUID, &full));
	REQUIRE(full > 1 && full < HVX_MAX_CPUID);
	entries[HVX_MAX_CPUID - 1] = entries[full - 1];
	now = full;
	REQUIRE(!cpuid_call(v->fd, HVX_SET_CPUID, &now));
	EVERY_FAILURE(next_cpuid(v, &full, &now));
}

static uint8_t image[0x10000], other[0x10000];

static long blob(struct vcpu *v, unsigned long nr, void *data, uint32_t *len)
{
	struct hvx_blob b = { .size = sizeof(b), .len = *len, .data = (uintptr_t)data };
	long ret = xioctl(v->fd, nr, &b);

	*len = b.len;
	return ret;
}

static long get_state(struct vcpu *v)
{
	uint32_t len = sizeof(other);

	return blob(v, HVX_GET_STATE, other, &len);
}

TEST_TIME(get_state, 60)
{
	struct vcpu *v = vcpu_create(vm_create(VM_CHIPS), 0);

	need_faults();
	EVERY_FAILURE(get_state(v));
}

/* RBX is 1 before, and 2 in the image: one that is refused changes nothing */
static long set_state(struct vcpu *v, uint32_t len)
{
	long ret = blob(v, HVX_SET_STATE, image, &len);

	vcpu_get(v, HVX_REGS_GPR);
	EXPECT_EQ(v->run->regs.gpr[HVX_RBX], ret ? 1 : 2);
	v->run->regs.gpr[HVX_RBX] = 1;
	vcpu_set(v, HVX_REGS_GPR);
	return ret;
}

TEST_TIME(set_state, 60)
{
	struct vcpu *v = vcpu_create(vm_create(VM_CHIPS), 0);
	uint32_t len = sizeof(image);

	need_faults();
	vcpu_get(v, HVX_REGS_GPR);
	v->run->regs.gpr[HVX_RBX] = 2;
	vcpu_set(v, HVX_REGS_GPR);
	REQUIRE(!blob(v, HVX_GET_STATE, image, &len));
	v->run->regs.gpr[HVX_RBX] = 1;
	vcpu_set(v, HVX_REGS_GPR);
	EVERY_FAILURE(set_state(v, len));
}

/* Images with one and another rounding in turn */
static long set_xsave(struct vcpu *v, uint32_t len)
{
	uint32_t *mxcsr = (uint32_t *)(image + 24), *now = (uint32_t *)(other + 24), old = *mxcsr;
	long ret;

	*mxcsr ^= 3 << 13;
	ret = blob(v, HVX_SET_XSAVE, image, &len);
	if (ret)
		*mxcsr = old;
	REQUIRE(!blob(v, HVX_GET_XSAVE, other, &len));
	EXPECT_EQ(*now, *mxcsr);
	return ret;
}

TEST_TIME(set_xsave, 60)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	uint32_t len = sizeof(image);

	need_faults();
	REQUIRE(!blob(v, HVX_GET_XSAVE, image, &len));
	*(uint64_t *)(image + 512) |= 3;
	EVERY_FAILURE(set_xsave(v, len));
}
