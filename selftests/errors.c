// SPDX-License-Identifier: GPL-2.0-only
/*
 * errors: what every ioctl answers to a wrong call. The first half is a table of all ioctls that
 * take a struct: size, flags, reserved fields and pointers are wrong in the same ways everywhere.
 * Without these checks nothing can ever be added to a struct, because old callers may have
 * garbage there.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "irq.h"

enum fd_kind { DEV, VM, VCPU, NR_KINDS };

static uint8_t buffer[0x10000] __attribute__((aligned(4096)));

/* A call that works, and where its reserved fields are (up to 4, byte offsets; 0 ends the list). */
static const struct call {
	const char *name;
	unsigned long nr;
	enum fd_kind kind;
	uint32_t size;
	uint8_t reserved[4];
	bool repeats;		/* may succeed more than once */
	uint64_t words[8];	/* the struct behind @size and @flags */
} calls[] = {
	{ "CREATE_VM", HVX_CREATE_VM, DEV, sizeof(struct hvx_create_vm), { 8, 16, 24 }, true, {} },
	{ "GET_SUPPORTED_CPUID", HVX_GET_SUPPORTED_CPUID, DEV, sizeof(struct hvx_cpuid), { 12 },
	  true, { 256, (uintptr_t)buffer } },
	{ "GET_MSR_LIST", HVX_GET_MSR_LIST, DEV, sizeof(struct hvx_msr_list), { 12 }, true,
	  { 256, (uintptr_t)buffer } },
	{ "GET_HOST_INFO", HVX_GET_HOST_INFO, DEV, sizeof(struct hvx_host_info), {}, true, {} },
	{ "SET_REGION", HVX_SET_REGION, VM, sizeof(struct hvx_region), { 12 }, true,
	  { 100, 0xc0000000, 0x1000, (uintptr_t)buffer } },
	{ "CREATE_VCPU", HVX_CREATE_VCPU, VM, sizeof(struct hvx_create_vcpu), { 12 }, false,
	  { 7 } },
	{ "SET_MSR_FILTER", HVX_SET_MSR_FILTER, VM, sizeof(struct hvx_msr_filter), { 12 }, true,
	  {} },
	{ "GET_MEMORY_INFO", HVX_GET_MEMORY_INFO, VM, sizeof(struct hvx_memory_info), {}, true,
	  {} },
	{ "PREFAULT", HVX_PREFAULT, VM, sizeof(struct hvx_prefault), {}, true, {} },
	{ "SIGNAL_MSI", HVX_SIGNAL_MSI, VM, sizeof(struct hvx_msi), { 20 }, true,
	  { 0xfee00000, 0x31 } },
	{ "IRQ_LINE", HVX_IRQ_LINE, VM, sizeof(struct hvx_irq_line), {}, true, { 5 } },
	{ "SET_ROUTING", HVX_SET_ROUTING, VM, sizeof(struct hvx_routing), { 12 }, true, {} },
	{ "GET_CHIP", HVX_GET_CHIP, VM, sizeof(struct hvx_chip), {}, true,
	  { HVX_CHIP_IOAPIC | (uint64_t)sizeof(buffer) << 32, (uintptr_t)buffer } },
	{ "SET_CHIP", HVX_SET_CHIP, VM, sizeof(struct hvx_chip), {}, true,
	  { HVX_CHIP_PIC | (uint64_t)sizeof(struct hvx_pic_state[2]) << 32, (uintptr_t)buffer } },
	{ "INJECT", HVX_INJECT, VCPU, sizeof(struct hvx_event), { 10 }, false,
	  { HVX_EVENT_INTERRUPT | 0x5000 } },
	{ "GET_CPUID", HVX_GET_CPUID, VCPU, sizeof(struct hvx_cpuid), { 12 }, true,
	  { 256, (uintptr_t)buffer } },
	{ "SET_CPUID", HVX_SET_CPUID, VCPU, sizeof(struct hvx_cpuid), { 12 }, true,
	  { 0, (uintptr_t)buffer } },
	{ "GET_MSRS", HVX_GET_MSRS, VCPU, sizeof(struct hvx_msrs), { 12 }, true,
	  { 0, (uintptr_t)buffer } },
	{ "SET_MSRS", HVX_SET_MSRS, VCPU, sizeof(struct hvx_msrs), { 12 }, true,
	  { 0, (uintptr_t)buffer } },
	{ "GET_XSAVE", HVX_GET_XSAVE, VCPU, sizeof(struct hvx_blob), { 12 }, true,
	  { sizeof(buffer), (uintptr_t)buffer } },
	{ "SET_DEBUG", HVX_SET_DEBUG, VCPU, sizeof(struct hvx_debug), { 12 }, true, {} },
	{ "TRANSLATE", HVX_TRANSLATE, VCPU, sizeof(struct hvx_translate), { 44 }, true, {} },
	{ "GET_STATE", HVX_GET_STATE, VCPU, sizeof(struct hvx_blob), { 12 }, true,
	  { sizeof(buffer), (uintptr_t)buffer } },
};

#define NR_CALLS (sizeof(calls) / sizeof(*calls))

static int fds[NR_KINDS];

static void open_all(void)
{
	struct vcpu *v = vcpu_create(vm_create(VM_CHIPS), 0);

	fds[DEV] = hvx_open();
	fds[VM] = v->vm->fd;
	fds[VCPU] = v->fd;
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
		*(uint32_t *)arg = 0x7fffffff;
		EXPECT(call(c, arg) < 0, "%s: giant size", c->name);
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

		for (k = 8; k < 32; k++) {
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

TEST(pointers)
{
	uint8_t *page = host_pages(2 * PAGE_SIZE), *arg;
	unsigned int i;

	open_all();
	mprotect(page + PAGE_SIZE, PAGE_SIZE, PROT_NONE);
	for (i = 0; i < NR_CALLS; i++) {
		const struct call *c = &calls[i];

		expect(c, "NULL", NULL, -EFAULT);
		expect(c, "address of the kernel", (void *)0xffff888000000000, -EFAULT);
		expect(c, "address that is not canonical", (void *)0x8000000000000000, -EFAULT);
		/* runs over the end of what is mapped */
		arg = page + PAGE_SIZE - 16;
		memcpy(arg, args(c), 16);
		if (c->size > 16)
			expect(c, "half mapped", arg, -EFAULT);
	}
}

TEST(wrong_descriptor)
{
	unsigned int i, k;

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
	EXPECT_EQ(xioctl(fds[DEV], HVX_RUN, NULL), -ENOTTY);
	EXPECT_EQ(xioctl(fds[VM], HVX_GET_REGS, NULL), -ENOTTY);
	EXPECT_EQ(xioctl(fds[VCPU], HVX_GET_API_VERSION, NULL), -ENOTTY);
}

static bool known(unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < NR_CALLS; i++) {
		if (_IOC_NR(calls[i].nr) == nr)
			return true;
	}
	return nr <= 1 || nr == _IOC_NR(HVX_RUN) || nr == _IOC_NR(HVX_GET_REGS) ||
		nr == _IOC_NR(HVX_SET_REGS) || nr == _IOC_NR(HVX_SET_XSAVE) ||
		nr == _IOC_NR(HVX_SET_STATE) || nr == _IOC_NR(HVX_SIGNAL_MSI) ||
		nr == _IOC_NR(HVX_IRQFD) || nr == _IOC_NR(HVX_IOEVENTFD) ||
		nr == _IOC_NR(HVX_GET_CLOCK) || nr == _IOC_NR(HVX_SET_CLOCK) ||
		nr == _IOC_NR(HVX_GET_DIRTY) || nr == _IOC_NR(HVX_SET_TSC_KHZ) ||
		nr == _IOC_NR(HVX_GET_TSC_KHZ);
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
	len = 0x7fffffff;
	EXPECT(blob(v, set, &len, buffer) < 0);
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
