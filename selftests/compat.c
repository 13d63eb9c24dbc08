// SPDX-License-Identifier: GPL-2.0-only
/*
 * compat: the ioctls as a 32-bit program calls them. INT 0x80 enters the kernel's 32-bit calls
 * from this 64-bit program, too, and all that it passes lies below 4 GiB. Without a compat_ioctl
 * handler every ioctl of a 32-bit VMM is ENOTTY.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>

#include "abi_layout.h"
#include "vm.h"

#define NR_IOCTL_32	54

static sigjmp_buf no_int80;

static void on_fault(int sig)
{
	siglongjmp(no_int80, 1);
}

static long ioctl32(int fd, unsigned long nr, const void *arg)
{
	long ret = NR_IOCTL_32;

	asm volatile("int $0x80" : "+a"(ret) : "b"((long)fd), "c"(nr), "d"(arg) :
		     "r8", "r9", "r10", "r11", "memory");
	return (int)ret;
}

static void need_int80(void)
{
	signal(SIGSEGV, on_fault);
	if (sigsetjmp(no_int80, 1))
		SKIP("this kernel has no 32-bit system calls");
	EXPECT_EQ(ioctl32(-1, HVX_RUN, NULL), -EBADF);
	signal(SIGSEGV, SIG_DFL);
}

static uint32_t seen;
static struct hvx_cpuid_entry table[HVX_MAX_CPUID];
static uint8_t image[0x10000];

GUEST(guest_code)
{
	seen = 0x32;
	g_outl(0x100, 0x1234);
	guest_sync(1);
}

static struct hvx_create_vm vm_arg = { .size = sizeof(vm_arg) };
static struct hvx_create_vcpu vcpu_arg = { .size = sizeof(vcpu_arg), .id = 2 };

TEST(device)
{
	static struct hvx_host_info info = { .size = sizeof(info) };
	static struct hvx_cpuid c = { .size = sizeof(c), .nr = HVX_MAX_CPUID };
	int fd = hvx_open();

	need_int80();
	EXPECT_EQ(ioctl32(fd, HVX_GET_API_VERSION, 0), HVX_API_VERSION);
	EXPECT_EQ(ioctl32(fd, HVX_CHECK_CAP, (void *)HVX_CAP_RUN_SIZE), hvx_cap(HVX_CAP_RUN_SIZE));
	EXPECT_EQ(ioctl32(fd, HVX_GET_HOST_INFO, &info), 0);
	EXPECT_EQ(info.vendor, hvx_vendor());
	c.entries = (uintptr_t)table;
	EXPECT_EQ(ioctl32(fd, HVX_GET_SUPPORTED_CPUID, &c), 0);
	EXPECT(c.nr > 4);
	EXPECT(ioctl32(fd, HVX_CREATE_VM, &vm_arg) >= 0);
	EXPECT_EQ(ioctl32(fd, HVX_CREATE_VM, NULL), -EFAULT);
	EXPECT_EQ(ioctl32(fd, _IO(HVX_IOC, 0x7f), NULL), -ENOTTY);
}

/* A guest from beginning to end by 32-bit calls alone, but for the library's setting up. */
TEST(guest)
{
	static struct hvx_event ev = {
		.size = sizeof(ev), .type = HVX_EVENT_INTERRUPT, .vector = 0x40,
	};
	static struct hvx_translate t = { .size = sizeof(t), .access = HVX_ACCESS_READ };
	static struct hvx_prefault p = {
		.size = sizeof(p), .flags = HVX_PREFAULT_WRITE, .len = 0x3000,
	};
	static struct hvx_blob b = { .size = sizeof(b), .len = sizeof(image) };
	struct vm *vm = vm_create(0);
	struct vcpu *v = vcpu_create(vm, 0);
	struct hvx_run *r = v->run;

	need_int80();
	EXPECT(ioctl32(vm->fd, HVX_CREATE_VCPU, &vcpu_arg) >= 0);
	EXPECT_EQ(ioctl32(vm->fd, HVX_CREATE_VCPU, &vcpu_arg), -EEXIST);
	vcpu_setup_long_mode(v, guest_code);
	EXPECT_EQ(ioctl32(v->fd, HVX_SET_REGS, (void *)r->regs_dirty), 0);
	r->regs_dirty = 0;
	EXPECT_EQ(ioctl32(v->fd, HVX_RUN, NULL), 0);
	EXPECT_EQ(r->exit_reason, HVX_EXIT_IO);
	EXPECT_EQ(*(uint32_t *)((char *)r + r->io.data_offset), 0x1234);
	EXPECT_EQ(seen, 0x32);
	EXPECT_EQ(ioctl32(v->fd, HVX_GET_REGS, (void *)HVX_REGS_ALL), 0);
	EXPECT_EQ(r->ctrl.cr3, (uintptr_t)vm->pml4);
	EXPECT_EQ(ioctl32(v->fd, HVX_INJECT, &ev), 0);
	EXPECT_EQ(ioctl32(v->fd, HVX_INJECT, &ev), -EBUSY);
	t.gva = (uintptr_t)&seen;
	EXPECT_EQ(ioctl32(v->fd, HVX_TRANSLATE, &t), 0);
	EXPECT_EQ(t.gpa, (uintptr_t)&seen);
	p.gpa = (uintptr_t)&seen & -PAGE_SIZE;
	EXPECT_EQ(ioctl32(vm->fd, HVX_PREFAULT, &p), 0);
	EXPECT_EQ(p.len, 0);
	b.data = (uintptr_t)image;
	EXPECT_EQ(ioctl32(v->fd, HVX_GET_STATE, &b), 0);
	EXPECT_EQ(ioctl32(v->fd, HVX_SET_STATE, &b), 0);
	vcpu_expect_sync(v, 1);
}
