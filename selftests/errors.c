// SPDX-License-Identifier: GPL-2.0-only
/*
 * errors: what every ioctl answers to a wrong call. The first half is a table of all ioctls that
 * take a struct: size, flags, reserved fields, pointers and callers are wrong in the same ways
 * everywhere. Without these checks nothing can ever be added to a struct, because old callers may
 * have garbage there.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "irq.h"

enum fd_kind { DEV, VM, VCPU, NR_KINDS };

static uint8_t buffer[0x10000] __attribute__((aligned(4096)));
static uint8_t xsave[0x10000], state[0x10000];
static struct hvx_cpuid_entry cpuid[HVX_MAX_CPUID];
static struct hvx_pic_state pic[2];
static struct hvx_msr msrs[2] = { { .index = 0x174 }, { .index = 0x175 } };
static struct hvx_route route = { .gsi = 50, .type = HVX_ROUTE_NONE };
static struct hvx_msr_range range = { .first = 0x10, .nr = 1, .flags = HVX_MSR_EXIT_READ };

/* Numbers that open_all() gives to things that calls name */
#define EVENT_FD	100
#define LOGGED_SLOT	101

#define P(what)		((uintptr_t)(what))
#define TWO(low, high)	((uint32_t)(low) | (uint64_t)(high) << 32)

/* A call that works, and where its reserved fields are (up to 4, byte offsets; 0 ends the list). */
static struct call {
	const char *name;
	unsigned long nr;
	enum fd_kind kind;
	uint32_t size;
	uint8_t reserved[4];
	unsigned int flags;	/* bits of flags that there are */
	uint8_t data;		/* where the pointer to data is, 0: none */
	bool repeats;		/* may succeed more than once */
	bool out;		/* gives the struct back */
	uint64_t words[8];	/* the struct behind @size and @flags */
} calls[] = {
	{ "CREATE_VM", HVX_CREATE_VM, DEV, sizeof(struct hvx_create_vm), { 8, 16, 24 },
	  .flags = 6, .repeats = true },
	{ "GET_SUPPORTED_CPUID", HVX_GET_SUPPORTED_CPUID, DEV, sizeof(struct hvx_cpuid), { 12 },
	  .data = 16, .repeats = true, .out = true, .words = { 256, P(buffer) } },
	{ "GET_MSR_LIST", HVX_GET_MSR_LIST, DEV, sizeof(struct hvx_msr_list), { 12 },
	  .data = 16, .repeats = true, .out = true, .words = { 256, P(buffer) } },
	{ "GET_HOST_INFO", HVX_GET_HOST_INFO, DEV, sizeof(struct hvx_host_info),
	  .repeats = true, .out = true },
	{ "SET_REGION", HVX_SET_REGION, VM, sizeof(struct hvx_region), { 12 },
	  .flags = 2, .repeats = true, .words = { 100, 0xc0000000, 0x1000, P(buffer) } },
	{ "CREATE_VCPU", HVX_CREATE_VCPU, VM, sizeof(struct hvx_create_vcpu), { 12 },
	  .words = { 7 } },
	{ "SET_MSR_FILTER", HVX_SET_MSR_FILTER, VM, sizeof(struct hvx_msr_filter), { 12 },
	  .data = 16, .repeats = true, .words = { 1, P(&range) } },
	{ "GET_MEMORY_INFO", HVX_GET_MEMORY_INFO, VM, sizeof(struct hvx_memory_info),
	  .repeats = true, .out = true },
	{ "GET_DIRTY", HVX_GET_DIRTY, VM, sizeof(struct hvx_dirty), { 12 },
	  .flags = 2, .data = 32, .repeats = true, .out = true,
	  .words = { LOGGED_SLOT, 0, 128, P(buffer), 0 } },
	{ "PREFAULT", HVX_PREFAULT, VM, sizeof(struct hvx_prefault),
	  .flags = 1, .repeats = true, .out = true },
	{ "GET_CLOCK", HVX_GET_CLOCK, VM, sizeof(struct hvx_clock), .repeats = true, .out = true },
	{ "SET_CLOCK", HVX_SET_CLOCK, VM, sizeof(struct hvx_clock), { 16, 24 },
	  .repeats = true, .words = { 1000 } },
	{ "SIGNAL_MSI", HVX_SIGNAL_MSI, VM, sizeof(struct hvx_msi), { 20 },
	  .repeats = true, .words = { 0xfee00000, 0x31 } },
	{ "IRQ_LINE", HVX_IRQ_LINE, VM, sizeof(struct hvx_irq_line),
	  .repeats = true, .words = { 5 } },
	{ "SET_ROUTING", HVX_SET_ROUTING, VM, sizeof(struct hvx_routing), { 12 },
	  .data = 16, .repeats = true, .words = { 1, P(&route) } },
	{ "IRQFD", HVX_IRQFD, VM, sizeof(struct hvx_irqfd), { 20, 21, 22, 23 },
	  .flags = 2, .words = { TWO(EVENT_FD, 6), TWO(-1, 0) } },
	{ "IOEVENTFD", HVX_IOEVENTFD, VM, sizeof(struct hvx_ioeventfd), { 24 },
	  .flags = 3, .words = { HOLE, TWO(4, EVENT_FD) } },
	{ "GET_CHIP", HVX_GET_CHIP, VM, sizeof(struct hvx_chip), .data = 16, .repeats = true,
	  .out = true, .words = { TWO(HVX_CHIP_IOAPIC, sizeof(buffer)), P(buffer) } },
	{ "SET_CHIP", HVX_SET_CHIP, VM, sizeof(struct hvx_chip), .data = 16, .repeats = true,
	  .words = { TWO(HVX_CHIP_PIC, sizeof(pic)), P(pic) } },
	{ "INJECT", HVX_INJECT, VCPU, sizeof(struct hvx_event), { 10 },
	  .flags = 2, .words = { HVX_EVENT_INTERRUPT | 0x5000 } },
	{ "GET_CPUID", HVX_GET_CPUID, VCPU, sizeof(struct hvx_cpuid), { 12 },
	  .data = 16, .repeats = true, .out = true, .words = { 256, P(buffer) } },
	{ "SET_CPUID", HVX_SET_CPUID, VCPU, sizeof(struct hvx_cpuid), { 12 },
	  .data = 16, .repeats = true, .words = { 0, P(cpuid) } },
	{ "GET_MSRS", HVX_GET_MSRS, VCPU, sizeof(struct hvx_msrs), { 12 },
	  .data = 16, .repeats = true, .words = { 2, P(msrs) } },
	{ "SET_MSRS", HVX_SET_MSRS, VCPU, sizeof(struct hvx_msrs), { 12 },
	  .data = 16, .repeats = true, .words = { 2, P(msrs) } },
	{ "GET_XSAVE", HVX_GET_XSAVE, VCPU, sizeof(struct hvx_blob), { 12 },
	  .data = 16, .repeats = true, .out = true, .words = { sizeof(buffer), P(buffer) } },
	{ "SET_XSAVE", HVX_SET_XSAVE, VCPU, sizeof(struct hvx_blob), { 12 },
	  .data = 16, .repeats = true, .words = { 0, P(xsave) } },
	{ "SET_DEBUG", HVX_SET_DEBUG, VCPU, sizeof(struct hvx_debug), { 12 }, .repeats = true },
	{ "TRANSLATE", HVX_TRANSLATE, VCPU, sizeof(struct hvx_translate), { 44 },
	  .repeats = true, .out = true },
	{ "GET_STATE", HVX_GET_STATE, VCPU, sizeof(struct hvx_blob), { 12 },
	  .data = 16, .repeats = true, .out = true, .words = { sizeof(buffer), P(buffer) } },
	{ "SET_STATE", HVX_SET_STATE, VCPU, sizeof(struct hvx_blob), { 12 },
	  .data = 16, .repeats = true, .words = { 0, P(state) } },
};

#define NR_CALLS (sizeof(calls) / sizeof(*calls))

/* Calls whose argument is a number */
static const struct {
	const char *name;
	unsigned long nr;
	bool vm, vcpu;
	unsigned long arg;
} numbers[] = {
	{ "RUN", HVX_RUN, false, true, 0 },
	{ "GET_REGS", HVX_GET_REGS, false, true, HVX_REGS_GPR },
	{ "SET_REGS", HVX_SET_REGS, false, true, 0 },
	{ "GET_TSC_KHZ", HVX_GET_TSC_KHZ, true, true, 0 },
	{ "SET_TSC_KHZ", HVX_SET_TSC_KHZ, true, true, 0 },
};

#define NR_NUMBERS (sizeof(numbers) / sizeof(*numbers))

static int fds[NR_KINDS];

static struct call *find(unsigned long nr)
{
	struct call *c = calls;

	while (c->nr != nr)
		c++;
	return c;
}

/* The image that a vCPU has now, for the call that sets it */
static void take_image(unsigned long get, unsigned long set, void *to)
{
	struct hvx_blob b = { .size = sizeof(b), .len = sizeof(buffer), .data = P(to) };

	REQUIRE(!xioctl(fds[VCPU], get, &b));
	find(set)->words[0] = b.len;
}

static void open_all(void)
{
	struct vcpu *v = vcpu_create(vm_create(VM_CHIPS), 0);

	fds[DEV] = hvx_open();
	fds[VM] = v->vm->fd;
	fds[VCPU] = v->fd;
	REQUIRE(dup2(event_create(), EVENT_FD) == EVENT_FD);
	REQUIRE(!vm_region(v->vm, LOGGED_SLOT, HVX_REGION_LOG_DIRTY, 0xc1000000, 128 * PAGE_SIZE,
			   host_pages(128 * PAGE_SIZE)));
	take_image(HVX_GET_XSAVE, HVX_SET_XSAVE, xsave);
	take_image(HVX_GET_STATE, HVX_SET_STATE, state);
	find(HVX_SET_CPUID)->words[0] = vm_supported_cpuid(v->vm, cpuid);
}

/* The struct for a call, in a buffer with room behind it. */
static uint8_t *args(const struct call *c)
{
	static uint8_t arg[8192] __attribute__((aligned(8)));

	memset(arg, 0, sizeof(arg));
	((uint32_t *)arg)[0] = c->size;
	memcpy(arg + 8, c->words, sizeof(c->words));
	memset(arg + c->size, 0, sizeof(arg) - c->size);
	return arg;
}

static long call(const struct call *c, void *arg)
{
	long ret = xioctl(fds[c->kind], c->nr, arg);

	/* Descriptors that calls leave behind */
	if (ret > 2 && (c->nr == HVX_CREATE_VM || c->nr == HVX_CREATE_VCPU))
		close(ret);
	return ret;
}

static void expect(const struct call *c, const char *what, void *arg, long want)
{
	long ret = call(c, arg);

	EXPECT(ret == want, "%s, %s: %ld (%s), not %ld", c->name, what, ret,
	       ret < 0 ? strerror(-ret) : "", want);
}

TEST(sizes)
{
	unsigned int i;
	uint8_t *arg;

	open_all();
	for (i = 0; i < NR_CALLS; i++) {
		const struct call *c = &calls[i];

		arg = args(c);
		*(uint32_t *)arg = 0;
		expect(c, "size 0", arg, -EINVAL);
		*(uint32_t *)arg = 4;
		expect(c, "size 4", arg, -EINVAL);
		*(uint32_t *)arg = 7;
		expect(c, "size 7", arg, -EINVAL);
		arg = args(c);
		*(uint32_t *)arg = c->size + 64;
		arg[c->size + 63] = 1;
		expect(c, "larger, last byte not 0", arg, -E2BIG);
		arg[c->size + 63] = 0;
		arg[c->size] = 1;
		expect(c, "larger, first byte not 0", arg, -E2BIG);
		*(uint32_t *)arg = PAGE_SIZE + 1;
		expect(c, "more than a page", arg, -E2BIG);
		*(uint32_t *)arg = 0xffffffff;
		expect(c, "giant size", arg, -E2BIG);
		/* What is only larger works. */
		arg = args(c);
		*(uint32_t *)arg = c->size + 64;
		EXPECT(call(c, arg) >= 0, "%s, larger: %s", c->name, strerror(errno));
		arg = args(c);
		if (c->repeats)
			EXPECT(call(c, arg) >= 0, "%s as it is: %s", c->name, strerror(errno));
	}
}

TEST(flags_and_reserved)
{
	unsigned int i, k;
	uint8_t *arg;

	open_all();
	for (i = 0; i < NR_CALLS; i++) {
		const struct call *c = &calls[i];

		for (k = c->flags; k < 32; k++) {
			arg = args(c);
			((uint32_t *)arg)[1] = 1u << k;
			expect(c, "unknown flag", arg, -EINVAL);
		}
		for (k = 0; k < 4 && c->reserved[k]; k++) {
			arg = args(c);
			arg[c->reserved[k]] = 1;
			expect(c, "reserved field", arg, -EINVAL);
		}
	}
}

/* Two pages of which the second is not there: where the first one ends */
static uint8_t *edge(void)
{
	uint8_t *page = host_pages(2 * PAGE_SIZE);

	REQUIRE(!mprotect(page + PAGE_SIZE, PAGE_SIZE, PROT_NONE));
	return page + PAGE_SIZE;
}

/* The first @len bytes of @from, with nothing behind them */
static void *cut_off(uint8_t *end, const void *from, unsigned int len)
{
	return memcpy(end - len, from, len);
}

TEST(pointers)
{
	uint8_t *end = edge(), *arg;
	unsigned int i;

	open_all();
	for (i = 0; i < NR_CALLS; i++) {
		const struct call *c = &calls[i];

		expect(c, "NULL", NULL, -EFAULT);
		expect(c, "address of the kernel", (void *)0xffff888000000000, -EFAULT);
		expect(c, "address that is not canonical", (void *)0x8000000000000000, -EFAULT);
		/* runs over the end of what is mapped */
		arg = args(c);
		expect(c, "half of the size mapped", cut_off(end, arg, 2), -EFAULT);
		expect(c, "only the size mapped", cut_off(end, arg, 4), -EFAULT);
		expect(c, "all mapped but one byte", cut_off(end, arg, c->size - 1), -EFAULT);
		*(uint32_t *)arg = c->size + 64;
		expect(c, "unknown part not mapped", cut_off(end, arg, c->size), -EFAULT);
		expect(c, "unknown part half mapped", cut_off(end, arg, c->size + 32), -EFAULT);
	}
}

/* What a call cannot give back is no success; who gives nothing back does not write */
TEST(read_only_structs)
{
	uint8_t *page = host_pages(PAGE_SIZE);
	unsigned int i;

	open_all();
	for (i = 0; i < NR_CALLS; i++) {
		const struct call *c = &calls[i];
		long ret;

		memcpy(page, args(c), c->size);
		mprotect(page, PAGE_SIZE, PROT_READ);
		ret = call(c, page);
		EXPECT(c->out ? ret == -EFAULT : ret >= 0, "%s: %ld", c->name, ret);
		mprotect(page, PAGE_SIZE, PROT_READ | PROT_WRITE);
	}
}

/* The same for what the struct points to. Each call has 16 bytes there, or more. */
TEST(data_pointers)
{
	const uint64_t wrong[] = { 0, 8, 0xffff888000000000, 0x8000000000000000, P(edge()) - 8 };
	unsigned int i, k;
	uint8_t *arg;

	open_all();
	for (i = 0; i < NR_CALLS; i++) {
		const struct call *c = &calls[i];

		for (k = 0; c->data && k < sizeof(wrong) / sizeof(*wrong); k++) {
			arg = args(c);
			memcpy(arg + c->data, &wrong[k], sizeof(wrong[k]));
			EXPECT(call(c, arg) == -EFAULT, "%s, data at %#lx", c->name, wrong[k]);
		}
		if (c->repeats)
			EXPECT(call(c, args(c)) >= 0, "%s afterwards", c->name);
	}
}

TEST(wrong_descriptor)
{
	unsigned int i, k;
	bool there;

	open_all();
	for (i = 0; i < NR_CALLS; i++) {
		for (k = 0; k < NR_KINDS; k++) {
			if (k == calls[i].kind)
				continue;
			/* What can be had depends on the VM, so the VM can be asked, too. */
			if (k == VM && calls[i].nr == HVX_GET_SUPPORTED_CPUID)
				continue;
			EXPECT(xioctl(fds[k], calls[i].nr, args(&calls[i])) == -ENOTTY,
			       "%s on descriptor %u", calls[i].name, k);
		}
	}
	for (i = 0; i < NR_NUMBERS; i++) {
		for (k = 0; k < NR_KINDS; k++) {
			there = (k == VM && numbers[i].vm) || (k == VCPU && numbers[i].vcpu);
			if (!there)
				EXPECT(xioctl(fds[k], numbers[i].nr, (void *)numbers[i].arg) ==
				       -ENOTTY, "%s on descriptor %u", numbers[i].name, k);
		}
	}
	EXPECT_EQ(xioctl(fds[VM], HVX_GET_API_VERSION, NULL), -ENOTTY);
	EXPECT_EQ(xioctl(fds[VCPU], HVX_GET_API_VERSION, NULL), -ENOTTY);
}

/* Runs in another address space: nothing may be done to the VM, nor learnt of it. */
static void use_all(void)
{
	const enum fd_kind kinds[] = { VM, VCPU };
	unsigned int i, k;

	for (i = 0; i < NR_CALLS; i++) {
		const struct call *c = &calls[i];

		if (c->kind == DEV)
			EXPECT(call(c, args(c)) >= 0, "%s is anybody's", c->name);
		else
			expect(c, "not the VM's address space", args(c), -EPERM);
	}
	for (k = 0; k < 2; k++) {
		for (i = 0; i < NR_NUMBERS; i++)
			EXPECT(xioctl(fds[kinds[k]], numbers[i].nr, (void *)numbers[i].arg) ==
			       -EPERM, "%s on descriptor %u", numbers[i].name, kinds[k]);
		EXPECT_EQ(xioctl(fds[kinds[k]], HVX_CHECK_CAP, (void *)HVX_CAP_RUN_SIZE), -EPERM);
		EXPECT_EQ(xioctl(fds[kinds[k]], _IO(HVX_IOC, 0xff), NULL), -EPERM);
		/* before anything is read */
		EXPECT_EQ(xioctl(fds[kinds[k]], HVX_GET_DIRTY, NULL), -EPERM);
	}
	EXPECT_EQ(xioctl(fds[VM], HVX_GET_SUPPORTED_CPUID, args(find(HVX_GET_SUPPORTED_CPUID))),
		  -EPERM);
}

TEST(other_address_space)
{
	unsigned int i;
	int status = -1;
	pid_t pid;

	open_all();
	pid = fork();
	if (!pid) {
		use_all();
		_exit(0);
	}
	REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
	EXPECT_EQ(status, 0);
	/* All of it works here, also what can be done only once */
	for (i = 0; i < NR_CALLS; i++)
		EXPECT(call(&calls[i], args(&calls[i])) >= 0, "%s", calls[i].name);
}

static bool known(unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < NR_CALLS; i++) {
		if (_IOC_NR(calls[i].nr) == nr)
			return true;
	}
	for (i = 0; i < NR_NUMBERS; i++) {
		if (_IOC_NR(numbers[i].nr) == nr)
			return true;
	}
	return nr <= _IOC_NR(HVX_CHECK_CAP);
}

TEST(unknown_ioctls)
{
	unsigned int i, k;

	open_all();
	for (k = 0; k < NR_KINDS; k++) {
		for (i = 0; i < 256; i++) {
			if (!known(i))
				EXPECT_EQ(xioctl(fds[k], _IO(HVX_IOC, i), buffer), -ENOTTY);
			/* KVM's numbers, and sizes that no ioctl has */
			EXPECT_EQ(xioctl(fds[k], _IO(0xae, i), buffer), -ENOTTY);
			EXPECT_EQ(xioctl(fds[k], _IOWR(HVX_IOC, i, uint64_t), buffer), -ENOTTY);
		}
	}
}

/* ------------------------------------------------------------------ one by one */

TEST(arguments)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	EXPECT_EQ(xioctl(hvx_open(), HVX_GET_API_VERSION, (void *)1), -EINVAL);
	EXPECT_EQ(xioctl(v->fd, HVX_RUN, (void *)1), -EINVAL);
	EXPECT_EQ(xioctl(v->fd, HVX_GET_REGS, (void *)(HVX_REGS_ALL + 1)), -EINVAL);
	EXPECT_EQ(xioctl(v->fd, HVX_SET_REGS, (void *)(1UL << 63)), -EINVAL);
	EXPECT_EQ(xioctl(v->fd, HVX_GET_REGS, (void *)0), 0);
	EXPECT_EQ(xioctl(v->fd, HVX_SET_REGS, (void *)0), 0);
	/* capabilities on any descriptor */
	EXPECT_EQ(xioctl(v->fd, HVX_CHECK_CAP, (void *)HVX_CAP_MAX_VCPUS), HVX_MAX_VCPUS);
	EXPECT_EQ(xioctl(v->vm->fd, HVX_CHECK_CAP, (void *)HVX_CAP_MAX_VCPUS), HVX_MAX_VCPUS);
	EXPECT_EQ(xioctl(v->fd, HVX_CHECK_CAP, (void *)0xffffffffff), 0);
}

TEST(create_vcpu)
{
	struct vm *vm = vm_create_bare(0);
	struct hvx_create_vcpu c = { .size = sizeof(c), .id = 5 };
	long fd = xioctl(vm->fd, HVX_CREATE_VCPU, &c);

	EXPECT(fd >= 0);
	EXPECT_EQ(xioctl(vm->fd, HVX_CREATE_VCPU, &c), -EEXIST);
	c.id = HVX_MAX_VCPUS;
	EXPECT_EQ(xioctl(vm->fd, HVX_CREATE_VCPU, &c), -EINVAL);
	c.id = ~0u;
	EXPECT_EQ(xioctl(vm->fd, HVX_CREATE_VCPU, &c), -EINVAL);
	c.id = HVX_MAX_VCPUS - 1;
	EXPECT(xioctl(vm->fd, HVX_CREATE_VCPU, &c) >= 0);
}

TEST(create_vm)
{
	/* Chips without what they lead to, and bits that mean nothing */
	static const uint32_t wrong[] = {
		1U << 6, 1U << 31, HVX_VM_IOAPIC, HVX_VM_PIC, HVX_VM_PIT, HVX_VM_PIT | HVX_VM_LAPIC,
		HVX_VM_PIT | HVX_VM_PIC,
	};
	struct hvx_create_vm c = { .size = sizeof(c) };
	unsigned int i;

	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		c.flags = wrong[i];
		EXPECT_EQ(xioctl(hvx_open(), HVX_CREATE_VM, &c), -EINVAL);
	}
	c.flags = HVX_VM_HYPERCALL_EXIT | HVX_VM_MSR_EXIT;
	for (i = 0; i < 50; i++) {
		long fd = xioctl(hvx_open(), HVX_CREATE_VM, &c);

		REQUIRE(fd >= 0, "VM %u: %s", i, strerror(-fd));
	}
}

/* No descriptor left: nothing may stay behind of what was made for it. */
TEST(no_descriptors)
{
	struct hvx_create_vm create = { .size = sizeof(create) };
	struct hvx_create_vcpu vcpu = { .size = sizeof(vcpu), .id = 3 };
	struct vm *vm = vm_create_bare(0);
	struct rlimit limit, none;

	REQUIRE(!getrlimit(RLIMIT_NOFILE, &limit));
	none = limit;
	none.rlim_cur = 0;
	setrlimit(RLIMIT_NOFILE, &none);
	EXPECT_EQ(xioctl(hvx_open(), HVX_CREATE_VM, &create), -EMFILE);
	EXPECT_EQ(xioctl(vm->fd, HVX_CREATE_VCPU, &vcpu), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &limit);
	/* The id is free. */
	EXPECT(xioctl(vm->fd, HVX_CREATE_VCPU, &vcpu) >= 0);
}

TEST(run_page_fields)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	v->run->regs_dirty = 1UL << 40;
	EXPECT_EQ(vcpu_run_once(v), -EINVAL);
	v->run->regs_dirty = 0;
	v->run->regs_wanted = 1UL << 40;
	EXPECT_EQ(vcpu_run_once(v), -EINVAL);
}

static long blob(struct vcpu *v, unsigned long nr, uint32_t *len, void *data)
{
	struct hvx_blob b = { .size = sizeof(b), .len = *len, .data = (uintptr_t)data };
	long ret = xioctl(v->fd, nr, &b);

	*len = b.len;
	return ret;
}

static void blob_sizes(struct vcpu *v, unsigned long get, unsigned long set, uint32_t cap)
{
	uint32_t len = 0, need;

	EXPECT_EQ(blob(v, get, &len, buffer), -E2BIG);
	need = len;
	EXPECT(need && need <= cap && need <= sizeof(buffer), "%u bytes, capability %u", need, cap);
	len = need - 1;
	EXPECT_EQ(blob(v, get, &len, buffer), -E2BIG);
	EXPECT_EQ(len, need);
	len = cap;
	EXPECT_EQ(blob(v, get, &len, buffer), 0);
	EXPECT_EQ(len, need);
	EXPECT_EQ(blob(v, get, &len, (void *)8), -EFAULT);
	EXPECT_EQ(blob(v, set, &len, (void *)8), -EFAULT);
	EXPECT_EQ(blob(v, set, &len, buffer), 0);
	len = 3;
	EXPECT_EQ(blob(v, set, &len, buffer), -EINVAL);
	len = 0;
	EXPECT_EQ(blob(v, set, &len, buffer), -EINVAL);
	/* longer than any image */
	len = cap + 1;
	EXPECT_EQ(blob(v, set, &len, buffer), -E2BIG);
	len = 0xffffffff;
	EXPECT_EQ(blob(v, set, &len, buffer), -E2BIG);
}

TEST(blobs)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	blob_sizes(v, HVX_GET_XSAVE, HVX_SET_XSAVE, hvx_cap(HVX_CAP_XSAVE_SIZE));
	blob_sizes(v, HVX_GET_STATE, HVX_SET_STATE, hvx_cap(HVX_CAP_STATE_SIZE));
}

static void expect_bad(struct vcpu *v, unsigned long nr, uint32_t len, const char *what)
{
	EXPECT(blob(v, nr, &len, buffer) == -EINVAL, "%s", what);
}

TEST(bad_xsave)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	uint32_t len = sizeof(buffer);
	uint64_t *header = (uint64_t *)(buffer + 512);
	uint32_t *mxcsr = (uint32_t *)(buffer + 24);

	REQUIRE(!blob(v, HVX_GET_XSAVE, &len, buffer));
	*header |= 3;
	*mxcsr |= 1u << 31;
	expect_bad(v, HVX_SET_XSAVE, len, "reserved bit of MXCSR");
	*mxcsr &= ~(1u << 31);
	header[0] |= 1UL << 62;
	expect_bad(v, HVX_SET_XSAVE, len, "unknown component");
	header[0] &= ~(1UL << 62);
	header[1] = 1UL << 63;
	expect_bad(v, HVX_SET_XSAVE, len, "compacted format");
	header[1] = 0;
	header[4] = 1;
	expect_bad(v, HVX_SET_XSAVE, len, "reserved part of the header");
	header[4] = 0;
	EXPECT_EQ(blob(v, HVX_SET_XSAVE, &len, buffer), 0);
}

TEST(bad_state)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);
	struct hvx_state_header *h = (struct hvx_state_header *)buffer;
	struct hvx_state_section *s = (struct hvx_state_section *)(h + 1);
	struct hvx_state_header good;
	uint32_t len = sizeof(buffer);

	REQUIRE(!blob(v, HVX_GET_STATE, &len, buffer));
	good = *h;
	h->magic ^= 1;
	expect_bad(v, HVX_SET_STATE, len, "magic");
	*h = good;
	h->version = HVX_STATE_VERSION + 1;
	expect_bad(v, HVX_SET_STATE, len, "version");
	*h = good;
	h->len += 8;
	expect_bad(v, HVX_SET_STATE, len, "length beyond the end");
	h->len = 8;
	expect_bad(v, HVX_SET_STATE, len, "length below the header's");
	*h = good;
	h->nr_sections++;
	expect_bad(v, HVX_SET_STATE, len, "one section too many");
	h->nr_sections = ~0u;
	expect_bad(v, HVX_SET_STATE, len, "very many sections");
	*h = good;
	expect_bad(v, HVX_SET_STATE, len - 8, "cut off");
	s->id ^= 0x1000;
	expect_bad(v, HVX_SET_STATE, len, "unknown section");
	s->id ^= 0x1000;
	s->len += 8;
	expect_bad(v, HVX_SET_STATE, len, "section of a wrong length");
	s->len = ~7u;
	expect_bad(v, HVX_SET_STATE, len, "section of a giant length");
	s->len = 4;
	expect_bad(v, HVX_SET_STATE, len, "section of an odd length");
}
