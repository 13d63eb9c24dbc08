// SPDX-License-Identifier: GPL-2.0-only
/*
 * beside_kvm: hvx and KVM on one host. On VT-x both run guests on the same CPU in turn: without
 * the VMPTRST and VMPTRLD of a shared window KVM would go on with a VMCS that is not its own, and
 * without its own EPT tags a guest would see the other's memory. On AMD-V a VM, or its run, is
 * refused while kvm_amd holds the CPU, the kernel's log says why, and it works again when that one
 * lets go. So it does on VT-x with a hypervisor that has set CR4.VMXE and is not in VMX operation.
 * With the module's parameter "share" hvx runs on AMD-V beside KVM nevertheless, and leaves it all
 * MSRs as it found them.
 *
 * Both guests run the same real-mode code over memory of their own: each pass adds to a counter.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pv.h"
#include "vm.h"

#define CODE_AT		0x1000
#define COUNTER_AT	0x2000
#define ROUNDS		200
#define SPIN		3000

/* start: mov cx, SPIN; next: add [COUNTER_AT], ebx; loop next; out 0x10, al; jmp start */
static const uint8_t code[] = {
	0xb9, SPIN & 0xff, SPIN >> 8,
	0x66, 0x01, 0x1e, COUNTER_AT & 0xff, COUNTER_AT >> 8,
	0xe2, 0xf9,
	0xe6, 0x10,
	0xeb, 0xf2,
};

struct kvm_guest {
	int vm, vcpu;
	struct kvm_run *run;
	uint8_t *mem;
};

static int kvm_load(void)
{
	const char *module = hvx_vendor() == HVX_VENDOR_VMX ? "kvm-intel" : "kvm-amd";
	char cmd[64];
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		snprintf(cmd, sizeof(cmd), "modprobe %s", module);
		if (system(cmd))
			SKIP("%s cannot be loaded", module);
		fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	}
	if (fd < 0)
		SKIP("no /dev/kvm");
	return fd;
}

static void kvm_unload(void)
{
	const char *module = hvx_vendor() == HVX_VENDOR_VMX ? "kvm-intel" : "kvm-amd";
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "rmmod %s", module);
	EXPECT(!system(cmd));
}

static void kvm_guest_start(struct kvm_guest *k, int kvm, uint32_t step)
{
	struct kvm_userspace_memory_region region = { .memory_size = 0x10000 };
	struct kvm_regs regs = { .rip = CODE_AT, .rflags = 2, .rsp = 0x8000, .rbx = step };
	struct kvm_sregs sregs;
	long size;

	k->vm = ioctl(kvm, KVM_CREATE_VM, 0);
	REQUIRE(k->vm >= 0, "KVM_CREATE_VM: %s", strerror(errno));
	ioctl(k->vm, KVM_SET_TSS_ADDR, 0xfffbd000);
	k->mem = host_pages(0x10000);
	memcpy(k->mem + CODE_AT, code, sizeof(code));
	region.userspace_addr = (uintptr_t)k->mem;
	REQUIRE(!ioctl(k->vm, KVM_SET_USER_MEMORY_REGION, &region));
	k->vcpu = ioctl(k->vm, KVM_CREATE_VCPU, 0);
	REQUIRE(k->vcpu >= 0);
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	k->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, k->vcpu, 0);
	REQUIRE(k->run != MAP_FAILED);
	REQUIRE(!ioctl(k->vcpu, KVM_GET_SREGS, &sregs));
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	REQUIRE(!ioctl(k->vcpu, KVM_SET_SREGS, &sregs));
	REQUIRE(!ioctl(k->vcpu, KVM_SET_REGS, &regs));
}

static uint32_t counter(const uint8_t *mem)
{
	uint32_t n;

	memcpy(&n, mem + COUNTER_AT, sizeof(n));
	return n;
}

static bool kvm_pass(struct kvm_guest *k)
{
	int r;

	do {
		r = ioctl(k->vcpu, KVM_RUN, 0);
	} while (r < 0 && errno == EINTR);
	return r == 0 && k->run->exit_reason == KVM_EXIT_IO && k->run->io.port == 0x10;
}

static struct vcpu *hvx_guest_start(uint32_t step)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	vm_load(v->vm, CODE_AT, code, code + sizeof(code));
	vcpu_setup_real(v, 0, CODE_AT);
	vcpu_get(v, HVX_REGS_GPR);
	v->run->regs.gpr[HVX_RBX] = step;
	vcpu_set(v, HVX_REGS_GPR);
	return v;
}

static bool hvx_pass(struct vcpu *v)
{
	return vcpu_run(v) == HVX_EXIT_IO && v->run->io.port == 0x10;
}

TEST_TIME(in_turn, 40)
{
	struct kvm_guest k;
	struct vcpu *v;
	int kvm;

	if (hvx_vendor() != HVX_VENDOR_VMX)
		SKIP("AMD-V cannot be shared with KVM");
	pin_to(0);
	kvm = kvm_load();
	kvm_guest_start(&k, kvm, 3);
	v = hvx_guest_start(5);
	for (uint32_t i = 1; i <= ROUNDS && !tap_failures(); i++) {
		EXPECT(kvm_pass(&k), "round %u, exit %u", i, k.run->exit_reason);
		EXPECT_EQ(counter(k.mem), 3 * SPIN * i);
		EXPECT(hvx_pass(v), "round %u, %s", i, exit_name(v->run->exit_reason));
		EXPECT_EQ(counter(v->vm->low), 5 * SPIN * i);
	}
	close(k.vcpu);
	close(k.vm);
	close(kvm);
}

static void *kvm_thread(void *arg)
{
	pin_to(0);
	for (int i = 0; i < ROUNDS; i++)
		if (!kvm_pass(arg))
			return arg;
	return NULL;
}

/* Preempted in favour of each other at any instruction, KVM's VMCS stays loaded while hvx runs */
TEST_TIME(preempting_each_other, 60)
{
	struct kvm_guest k;
	pthread_t thread;
	struct vcpu *v;
	void *failed;
	int kvm;

	if (hvx_vendor() != HVX_VENDOR_VMX)
		SKIP("AMD-V cannot be shared with KVM");
	pin_to(0);
	kvm = kvm_load();
	kvm_guest_start(&k, kvm, 7);
	v = hvx_guest_start(11);
	REQUIRE(!pthread_create(&thread, NULL, kvm_thread, &k));
	for (uint32_t i = 1; i <= ROUNDS && !tap_failures(); i++)
		EXPECT(hvx_pass(v), "round %u, %s", i, exit_name(v->run->exit_reason));
	pthread_join(thread, &failed);
	EXPECT(!failed, "KVM guest: exit %u", k.run->exit_reason);
	EXPECT_EQ(counter(k.mem), 7 * SPIN * ROUNDS);
	EXPECT_EQ(counter(v->vm->low), 11 * SPIN * ROUNDS);
	close(k.vcpu);
	close(k.vm);
	close(kvm);
}

/* ------------------------------------------------------------------------- refused */

static const char held[] = "AMD-V is held by kvm_amd: rmmod kvm_amd, or load hvx with share=1";
static const char vmx_held[] = "VT-x is held by another hypervisor in a way that cannot be shared";

/* The kernel's log, from now on */
static int log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	REQUIRE(fd >= 0 && lseek(fd, 0, SEEK_END) >= 0, "/dev/kmsg: %s", strerror(errno));
	return fd;
}

/* Whether the kernel has said so since the last time; a read gives one line */
static bool logged(int log, const char *sentence)
{
	bool found = false;
	char line[1024];
	ssize_t n;

	while ((n = read(log, line, sizeof(line) - 1)) > 0 || (n < 0 && errno == EPIPE)) {
		line[n > 0 ? n : 0] = 0;
		found = found || strstr(line, sentence);
	}
	return found;
}

static bool host_shared(void)
{
	struct hvx_host_info info = { .size = sizeof(info) };

	REQUIRE(!xioctl(hvx_open(), HVX_GET_HOST_INFO, &info));
	return info.features & HVX_HOST_SHARED;
}

/* ----------------------------------------------------------------------------- VT-x */

#define HOLDER "/hvx/selftests/kmod/hold_vmxe.ko"

/*
 * What the other one does to CR4 may be undone by the kernel at any time: a few tries. Registers
 * can be had all the same; they are what they were when the guest was here the last time.
 */
static bool refused_while_held(struct vcpu *v)
{
	struct hvx_create_vcpu other = { .size = sizeof(other), .id = 1 };
	struct hvx_gprs regs = v->run->regs;
	struct hvx_segs seg = v->run->seg;
	struct hvx_ctrl ctrl = v->run->ctrl;
	long run = 0, create = 0;

	for (int i = 0; i < 5 && (run != -EBUSY || create != -EBUSY); i++) {
		REQUIRE(!system("insmod " HOLDER));
		v->run->exit_reason = HVX_EXIT_UNKNOWN;
		run = vcpu_run_once(v);
		create = xioctl(v->vm->fd, HVX_CREATE_VCPU, &other);
		if (create >= 0)
			close(create);
		memset(&v->run->regs, 0, sizeof(regs));
		memset(&v->run->seg, 0, sizeof(seg));
		memset(&v->run->ctrl, 0, sizeof(ctrl));
		vcpu_get(v, HVX_REGS_ALL);
		/* Flags depend on what the guest has counted */
		regs.rflags = v->run->regs.rflags;
		EXPECT(regs.rflags && !memcmp(&v->run->regs, &regs, sizeof(regs)));
		EXPECT(!memcmp(&v->run->seg, &seg, sizeof(seg)));
		EXPECT(!memcmp(&v->run->ctrl, &ctrl, sizeof(ctrl)));
		EXPECT(!system("rmmod hold_vmxe"));
	}
	EXPECT_EQ(create, -EBUSY);
	return run == -EBUSY && v->run->exit_reason == HVX_EXIT_NONE;
}

/* CR4.VMXE is set and there is no VMX operation to share: nothing is run, and nothing is lost */
TEST_TIME(vmx_refused_then_free, 40)
{
	struct vcpu *v;
	int log;

	if (hvx_vendor() != HVX_VENDOR_VMX)
		SKIP("CR4.VMXE is VT-x's");
	if (access(HOLDER, R_OK))
		SKIP("no " HOLDER);
	pin_to(0);
	log = log_open();
	v = hvx_guest_start(5);
	EXPECT(hvx_pass(v));
	vcpu_get(v, HVX_REGS_ALL);
	EXPECT(hvx_pass(v));
	EXPECT(!logged(log, vmx_held));
	EXPECT(refused_while_held(v));
	EXPECT(logged(log, vmx_held));
	EXPECT_EQ(counter(v->vm->low), 10 * SPIN);
	EXPECT(hvx_pass(v));
	EXPECT_EQ(counter(v->vm->low), 15 * SPIN);
	EXPECT(!logged(log, vmx_held));
	close(log);
}

/* ------------------------------------------------------------------------- AMD-V */

static void expect_refused(struct vcpu *v, int log)
{
	struct hvx_create_vm args = { .size = sizeof(args) };

	EXPECT(host_shared());
	EXPECT_EQ(xioctl(hvx_open(), HVX_CREATE_VM, &args), -EBUSY);
	EXPECT(logged(log, held), "for HVX_CREATE_VM");
	v->run->exit_reason = HVX_EXIT_UNKNOWN;
	EXPECT_EQ(vcpu_run_once(v), -EBUSY);
	EXPECT_EQ(v->run->exit_reason, HVX_EXIT_NONE);
	EXPECT(logged(log, held), "for HVX_RUN");
	/* What needs no processor goes on */
	EXPECT_EQ(vcpu_get(v, HVX_REGS_ALL), 0);
}

/* A VM that is older than KVM's stops where it is, and goes on when the processor is free */
TEST_TIME(amd_refused_then_free, 40)
{
	struct kvm_guest k;
	struct vcpu *v;
	int kvm, log;

	if (hvx_vendor() != HVX_VENDOR_SVM)
		SKIP("VT-x is shared with KVM");
	log = log_open();
	v = hvx_guest_start(5);
	EXPECT(hvx_pass(v));
	/* From 6.12 on it takes the processor when it is loaded, before with its first VM */
	kvm = kvm_load();
	kvm_guest_start(&k, kvm, 1);
	EXPECT(kvm_pass(&k));
	expect_refused(v, log);
	EXPECT(kvm_pass(&k));
	EXPECT_EQ(counter(k.mem), 2 * SPIN);
	EXPECT_EQ(counter(v->vm->low), 5 * SPIN);
	munmap(k.run, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	close(k.vcpu);
	close(k.vm);
	close(kvm);
	kvm_unload();
	EXPECT(!host_shared());
	EXPECT(hvx_pass(v));
	EXPECT_EQ(counter(v->vm->low), 10 * SPIN);
	EXPECT(hvx_pass(hvx_guest_start(1)));
	EXPECT(!logged(log, held));
	close(log);
}

/* ------------------------------------------------------------------ AMD-V, shared */

#define MODULE "/hvx/hvx.ko"

/* start: rdtsc; mov [COUNTER_AT], eax; mov [COUNTER_AT + 4], edx; out 0x10, al; jmp start */
static const uint8_t tells_tsc[] = {
	0x0f, 0x31,
	0x66, 0xa3, COUNTER_AT & 0xff, COUNTER_AT >> 8,
	0x66, 0x89, 0x16, (COUNTER_AT & 0xff) + 4, COUNTER_AT >> 8,
	0xe6, 0x10,
	0xeb, 0xf1,
};

/* One guest, whose TSC runs at @khz, and the first reading of it between two of the host's */
struct metered {
	struct kvm_guest *kvm;	/* or */
	struct vcpu *hvx;
	long khz;
	uint64_t before, tsc, after;
};

static void check_meter(struct metered *m, long host_khz)
{
	uint64_t before, tsc, after, min, max;

	before = rdtsc();
	REQUIRE(m->kvm ? kvm_pass(m->kvm) : hvx_pass(m->hvx));
	after = rdtsc();
	memcpy(&tsc, (m->kvm ? m->kvm->mem : m->hvx->vm->low) + COUNTER_AT, sizeof(tsc));
	if (!m->after) {
		m->before = before;
		m->tsc = tsc;
		m->after = after;
		return;
	}
	min = (__uint128_t)(before - m->after) * m->khz / host_khz;
	max = (__uint128_t)(after - m->before) * m->khz / host_khz;
	tsc -= m->tsc;
	EXPECT(tsc + 2 >= min && tsc <= max + 2, "%s, %ld kHz: %lu, not %lu .. %lu",
	       m->kvm ? "KVM" : "hvx", m->khz, tsc, min, max);
}

static struct vcpu *hvx_meter_start(long khz)
{
	struct vcpu *v = hvx_guest_start(1);

	vm_load(v->vm, CODE_AT, tells_tsc, tells_tsc + sizeof(tells_tsc));
	REQUIRE(!xioctl(v->fd, HVX_SET_TSC_KHZ, (void *)khz));
	return v;
}

/* KVM writes the ratio when it is not what it wrote last, and leaves it in the register. */
static void share_tsc(void)
{
	static const uint8_t order[] = { 0, 1, 0, 2, 1, 2, 0, 2, 1 };
	long khz = hvx_cap(HVX_CAP_TSC_KHZ);
	int kvm = kvm_load();
	struct kvm_guest k;
	struct metered m[3] = {
		{ .kvm = &k, .khz = khz * 2 },
		{ .hvx = hvx_meter_start(khz), .khz = khz },
		{ .hvx = hvx_meter_start(khz * 3), .khz = khz * 3 },
	};

	pin_to(0);
	kvm_guest_start(&k, kvm, 1);
	memcpy(k.mem + CODE_AT, tells_tsc, sizeof(tells_tsc));
	REQUIRE(!ioctl(k.vcpu, KVM_SET_TSC_KHZ, khz * 2), "KVM_SET_TSC_KHZ: %s", strerror(errno));
	for (unsigned int i = 0; i < 4 * sizeof(order); i++) {
		check_meter(&m[order[i % sizeof(order)]], khz);
		usleep(1000);
	}
}

static void amd_scales(void)
{
	if (hvx_vendor() != HVX_VENDOR_SVM || !hvx_cap(HVX_CAP_TSC_SCALING))
		_exit(TAP_SKIP);
}

/* This process must not have a descriptor of the module's */
static int in_child(void (*fn)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		fn();
		_exit(tap_failures() ? TAP_FAIL : TAP_PASS);
	}
	waitpid(pid, &status, 0);
	return status;
}

TEST_TIME(amd_shared_tsc_ratio, 60)
{
	if (in_child(amd_scales))
		SKIP("no TSC scaling of AMD-V");
	if (access(MODULE, R_OK))
		SKIP("no " MODULE);
	REQUIRE(!system("rmmod hvx && insmod " MODULE " share=1"));
	EXPECT_EQ(in_child(share_tsc), 0);
	EXPECT(!system("rmmod kvm-amd; rmmod hvx && insmod " MODULE));
}
