// SPDX-License-Identifier: GPL-2.0-only
/* vm.c: the ABI of /dev/hvx, with failures in words. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm.h"

#define DOCTOR	"'runvm doctor' says what to do"

static const char *why_no_device(int error)
{
	switch (error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return "the module hvx is not loaded";
	case EACCES:
	case EPERM:
		return "no permission";
	}
	return strerror(error);
}

int vm_open_device(void)
{
	int fd = open("/dev/hvx", O_RDWR | O_CLOEXEC);
	int version;

	if (fd < 0)
		die("/dev/hvx: %s (" DOCTOR ")", why_no_device(errno));
	version = ioctl(fd, HVX_GET_API_VERSION, 0);
	if (version < 0)
		die("/dev/hvx does not answer as hvx: %s", strerror(errno));
	if (version != HVX_API_VERSION)
		die("the module has ABI %d, runvm knows %d: install both from one version", version,
		    HVX_API_VERSION);
	return fd;
}

static const char *why_no_vm(int error)
{
	switch (error) {
	case EBUSY:
		return "another hypervisor has the CPU (" DOCTOR ")";
	case ENODEV:
		return "no CPU of this host can run guests (" DOCTOR ")";
	case ENOMEM:
		return "not enough memory";
	}
	return strerror(error);
}

/* Aligned so that huge pages of the host can be huge pages of the guest */
#define MEM_ALIGN	(2UL << 20)

static void *reserve(uint64_t len)
{
	uint8_t *p = mmap(NULL, len + MEM_ALIGN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t head;

	if (p == MAP_FAILED)
		return p;
	head = -(uintptr_t)p & (MEM_ALIGN - 1);
	if (head)
		munmap(p, head);
	munmap(p + head + len, MEM_ALIGN - head);
	return mmap(p + head, len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

static void set_region(struct vm *vm, uint32_t slot, uint64_t gpa, uint64_t offset, uint64_t len)
{
	struct hvx_region region = {
		.size = sizeof(region), .slot = slot, .gpa = gpa, .len = len,
		.hva = (uintptr_t)vm->mem + offset,
	};

	if (ioctl(vm->fd, HVX_SET_REGION, &region))
		die("cannot give the guest its memory: %s", strerror(errno));
}

static void map_memory(struct vm *vm)
{
	uint64_t low = vm->mem_size < MEM_LOW_MAX ? vm->mem_size : MEM_LOW_MAX;

	vm->mem = reserve(vm->mem_size);
	if (vm->mem == MAP_FAILED)
		die("%llu MiB of guest memory: %s", (unsigned long long)vm->mem_size >> 20,
		    strerror(errno));
	/* Advice: a kernel without it does as well */
	madvise(vm->mem, vm->mem_size, MADV_HUGEPAGE);
	madvise(vm->mem, vm->mem_size, MADV_DONTDUMP);
	set_region(vm, 0, 0, 0, low);
	if (low < vm->mem_size)
		set_region(vm, 1, MEM_HIGH_BASE, low, vm->mem_size - low);
}

void vm_create(struct vm *vm, uint32_t flags, uint64_t mem_size)
{
	struct hvx_create_vm args = { .size = sizeof(args), .flags = flags };

	*vm = (struct vm){ .dev = vm_open_device(), .mem_size = mem_size };
	vm->fd = ioctl(vm->dev, HVX_CREATE_VM, &args);
	if (vm->fd < 0)
		die("cannot create a VM: %s", why_no_vm(errno));
	map_memory(vm);
}

void vm_destroy(struct vm *vm)
{
	close(vm->fd);
	close(vm->dev);
	munmap(vm->mem, vm->mem_size);
}

long vm_cap(const struct vm *vm, unsigned int cap)
{
	return ioctl(vm->dev, HVX_CHECK_CAP, (unsigned long)cap);
}

void *vm_at(const struct vm *vm, uint64_t gpa, uint64_t len)
{
	uint64_t low = vm->mem_size < MEM_LOW_MAX ? vm->mem_size : MEM_LOW_MAX;

	if (gpa > low || len > low - gpa)
		die("%llu bytes at %#llx do not fit into %llu MiB of guest memory",
		    (unsigned long long)len, (unsigned long long)gpa,
		    (unsigned long long)vm->mem_size >> 20);
	return vm->mem + gpa;
}

void vcpu_create(struct vcpu *v, const struct vm *vm, uint32_t id)
{
	struct hvx_create_vcpu args = { .size = sizeof(args), .id = id };

	v->fd = ioctl(vm->fd, HVX_CREATE_VCPU, &args);
	if (v->fd < 0)
		die("cannot create vCPU %u: %s", id, strerror(errno));
	v->run_size = vm_cap(vm, HVX_CAP_RUN_SIZE);
	v->run = mmap(NULL, v->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED)
		die("cannot map the run page of vCPU %u: %s", id, strerror(errno));
}

void vcpu_destroy(struct vcpu *v)
{
	munmap(v->run, v->run_size);
	close(v->fd);
}

void vcpu_set_msrs(struct vcpu *v, const struct hvx_msr *msrs, unsigned int nr)
{
	struct hvx_msrs args = { .size = sizeof(args), .nr = nr, .msrs = (uintptr_t)msrs };
	int done = ioctl(v->fd, HVX_SET_MSRS, &args);

	if (done < 0)
		die("cannot set MSRs: %s", strerror(errno));
	if ((unsigned int)done < nr)
		die("cannot set MSR %#x to %#llx", msrs[done].index,
		    (unsigned long long)msrs[done].data);
}

void vcpu_get(struct vcpu *v, uint64_t groups)
{
	if (ioctl(v->fd, HVX_GET_REGS, (unsigned long)groups))
		die("cannot read registers: %s", strerror(errno));
}

int vcpu_try_run(struct vcpu *v)
{
	if (!ioctl(v->fd, HVX_RUN, 0))
		return v->run->exit_reason;
	if (errno == EINTR)
		return HVX_EXIT_INTERRUPTED;
	if (errno == EFAULT && v->run->exit_reason == HVX_EXIT_MEMORY_FAULT)
		return HVX_EXIT_MEMORY_FAULT;
	return -errno;
}

int vcpu_run(struct vcpu *v)
{
	int reason = vcpu_try_run(v);

	if (reason < 0)
		vcpu_give_up(v, reason);
	return reason;
}

void *vcpu_io_data(struct vcpu *v)
{
	return (char *)v->run + v->run->io.data_offset;
}

static void explain_emulation(const struct hvx_run *run, char *text, size_t len)
{
	char hex[3 * sizeof(run->emulation.insn) + 1] = "";
	static const char digits[] = "0123456789abcdef";
	unsigned int i;

	for (i = 0; i < run->emulation.insn_len && i < sizeof(run->emulation.insn); i++) {
		hex[3 * i] = ' ';
		hex[3 * i + 1] = digits[run->emulation.insn[i] >> 4];
		hex[3 * i + 2] = digits[run->emulation.insn[i] & 0xf];
	}
	snprintf(text, len, "hvx does not emulate the instruction%s at %#llx, which accesses %#llx",
		 hex, (unsigned long long)run->emulation.rip,
		 (unsigned long long)run->emulation.gpa);
}

void vcpu_explain(struct vcpu *v, int reason, char *text, size_t len)
{
	const struct hvx_run *run = v->run;

	if (reason < 0) {
		snprintf(text, len, "cannot run the guest: %s", strerror(-reason));
		return;
	}
	vcpu_get(v, HVX_REGS_GPR);
	switch (reason) {
	case HVX_EXIT_ENTRY_FAILED:
		snprintf(text, len, "%.*s", (int)sizeof(run->entry.text), run->entry.text);
		break;
	case HVX_EXIT_SHUTDOWN:
		snprintf(text, len, "the guest took a triple fault at %#llx",
			 (unsigned long long)run->regs.rip);
		break;
	case HVX_EXIT_MMIO:
		snprintf(text, len, "the guest %s memory that it does not have, at %#llx",
			 run->mmio.write ? "wrote to" : "read", (unsigned long long)run->mmio.gpa);
		break;
	case HVX_EXIT_EMULATION:
		explain_emulation(run, text, len);
		break;
	case HVX_EXIT_MEMORY_FAULT:
		snprintf(text, len, "no memory behind guest address %#llx: %s",
			 (unsigned long long)run->memory.gpa, strerror(run->memory.error));
		break;
	case HVX_EXIT_UNKNOWN:
		snprintf(text, len, "an exit that hvx does not know: %#llx, %#llx, %#llx",
			 (unsigned long long)run->unknown.hw_reason,
			 (unsigned long long)run->unknown.hw_detail,
			 (unsigned long long)run->unknown.hw_detail2);
		break;
	default:
		snprintf(text, len, "unexpected exit %d at %#llx", reason,
			 (unsigned long long)run->regs.rip);
	}
}

void vcpu_give_up(struct vcpu *v, int reason)
{
	char text[256];

	vcpu_explain(v, reason, text, sizeof(text));
	die("%s", text);
}
