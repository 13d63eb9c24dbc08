// SPDX-License-Identifier: GPL-2.0-only
/* kvm.c: KVM, to compare with. */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exits.h"

#define MAX_CPUID	256

static size_t run_size;
static int event_fd = -1;

static void kvm_region(struct machine *m, uint32_t id, bool log, uint64_t gpa, uint64_t len,
		       void *at)
{
	struct kvm_userspace_memory_region r = {
		.slot = id, .flags = log ? KVM_MEM_LOG_DIRTY_PAGES : 0,
		.guest_phys_addr = gpa, .memory_size = len, .userspace_addr = (uintptr_t)at,
	};

	must(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &r), "KVM_SET_USER_MEMORY_REGION");
}

static void kvm_dirty(struct machine *m, uint32_t id, uint64_t len, uint64_t *bitmap)
{
	struct kvm_dirty_log log = { .slot = id, .dirty_bitmap = bitmap };

	(void)len;
	must(ioctl(m->vm, KVM_GET_DIRTY_LOG, &log), "KVM_GET_DIRTY_LOG");
}

static bool enable(struct machine *m, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { arg } };

	return !ioctl(m->vm, KVM_ENABLE_CAP, &c);
}

/* A device in the kernel for IN, an eventfd for OUT */
static void add_ports(struct machine *m)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct kvm_ioeventfd event = {
		.addr = G_PORT_EVENT, .len = 1, .flags = KVM_IOEVENTFD_FLAG_PIO,
	};

	must(ioctl(m->vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
	must(ioctl(m->vm, KVM_CREATE_PIT2, &pit), "KVM_CREATE_PIT2");
	event_fd = must(eventfd(0, EFD_NONBLOCK), "eventfd");
	event.fd = event_fd;
	must(ioctl(m->vm, KVM_IOEVENTFD, &event), "KVM_IOEVENTFD");
	event.addr = G_EVENT;
	event.len = 4;
	event.flags = 0;
	must(ioctl(m->vm, KVM_IOEVENTFD, &event), "KVM_IOEVENTFD");
}

static bool add_needs(struct machine *m, unsigned int need)
{
	if (need & NEED_HYPERCALL && !enable(m, KVM_CAP_EXIT_HYPERCALL, 1ULL << G_HC_USER))
		return false;
	if (need & NEED_MSR &&
	    !enable(m, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_UNKNOWN))
		return false;
	if (need & NEED_PORTS)
		add_ports(m);
	return true;
}

static void give_cpuid(int dev, int vcpu)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + MAX_CPUID * sizeof(c->entries[0]));

	if (!c)
		err(1, "calloc");
	c->nent = MAX_CPUID;
	must(ioctl(dev, KVM_GET_SUPPORTED_CPUID, c), "KVM_GET_SUPPORTED_CPUID");
	must(ioctl(vcpu, KVM_SET_CPUID2, c), "KVM_SET_CPUID2");
	free(c);
}

static bool kvm_create(struct machine *m, unsigned int need)
{
	int dev = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");

	m->vm = must(ioctl(dev, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	if (!add_needs(m, need)) {
		close(m->vm);
		close(dev);
		return false;
	}
	kvm_region(m, 0, false, 0, G_LOW_SIZE, m->low);
	kvm_region(m, 1, false, G_FRESH, G_FRESH_SIZE, m->fresh);
	m->vcpu = must(ioctl(m->vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	run_size = must(ioctl(dev, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	m->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
	if (m->run == MAP_FAILED)
		err(1, "mmap of the run page");
	give_cpuid(dev, m->vcpu);
	close(dev);
	return true;
}

static struct kvm_segment seg_of(const struct flat_seg *s)
{
	return (struct kvm_segment){
		.selector = s->selector, .base = s->base, .limit = s->limit,
		.type = s->attr & 0xf, .s = s->attr >> 4 & 1, .dpl = s->attr >> 5 & 3,
		.present = s->attr >> 7 & 1, .avl = s->attr >> 12 & 1, .l = s->attr >> 13 & 1,
		.db = s->attr >> 14 & 1, .g = s->attr >> 15 & 1,
	};
}

static void kvm_start(struct machine *m, const struct start_state *s)
{
	struct kvm_regs regs = {
		.rip = s->rip, .rflags = 2, .rsp = s->rsp, .r12 = s->count,
	};
	struct kvm_sregs sregs;

	must(ioctl(m->vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs = seg_of(&s->code);
	sregs.ds = seg_of(&s->data);
	sregs.es = sregs.ds;
	sregs.fs = sregs.ds;
	sregs.gs = sregs.ds;
	sregs.ss = sregs.ds;
	sregs.tr = seg_of(&s->task);
	sregs.ldt = (struct kvm_segment){ .unusable = 1 };
	sregs.gdt.base = s->gdt_base;
	sregs.gdt.limit = s->gdt_limit;
	sregs.idt.base = s->idt_base;
	sregs.idt.limit = s->idt_limit;
	sregs.cr0 = s->cr0;
	sregs.cr3 = s->cr3;
	sregs.cr4 = s->cr4;
	sregs.efer = s->efer;
	must(ioctl(m->vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	must(ioctl(m->vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void wake(struct machine *m)
{
	struct kvm_interrupt irq = { .irq = G_VECTOR };

	must(ioctl(m->vcpu, KVM_INTERRUPT, &irq), "KVM_INTERRUPT");
}

static void kvm_batch(struct machine *m)
{
	struct kvm_run *run = m->run;

	for (;;) {
		must(ioctl(m->vcpu, KVM_RUN, 0), "KVM_RUN");
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			if (run->io.port == G_PORT_MARK)
				return;
			if (run->io.direction == KVM_EXIT_IO_IN)
				*((uint8_t *)run + run->io.data_offset) = 0;
			break;
		case KVM_EXIT_MMIO:
			if (!run->mmio.is_write)
				memset(run->mmio.data, 0, sizeof(run->mmio.data));
			break;
		case KVM_EXIT_HLT:
			wake(m);
			break;
		case KVM_EXIT_X86_RDMSR:
			run->msr.data = 0;
			break;
		case KVM_EXIT_X86_WRMSR:
			break;
		case KVM_EXIT_HYPERCALL:
			run->hypercall.ret = 0;
			break;
		default:
			errx(1, "kvm: unexpected exit %u", run->exit_reason);
		}
	}
}

/* Refused before the vCPU is locked */
static void kvm_nothing(struct machine *m)
{
	ioctl(m->vcpu, 0, 0);
}

static void kvm_destroy(struct machine *m)
{
	munmap(m->run, run_size);
	close(m->vcpu);
	close(m->vm);
	if (event_fd >= 0)
		close(event_fd);
	event_fd = -1;
}

const struct hypervisor kvm_hypervisor = {
	.name = "kvm",
	.device = "/dev/kvm",
	.create = kvm_create,
	.start = kvm_start,
	.batch = kvm_batch,
	.nothing = kvm_nothing,
	.region = kvm_region,
	.dirty = kvm_dirty,
	.destroy = kvm_destroy,
};
