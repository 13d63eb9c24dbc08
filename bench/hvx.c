// SPDX-License-Identifier: GPL-2.0-only
/* hvx.c: hvx, to be measured. */
#include <err.h>
#include <fcntl.h>
#include <linux/hvx.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exits.h"

static int event_fd = -1;

static void hvx_region(struct machine *m, uint32_t id, bool log, uint64_t gpa, uint64_t len,
		       void *at)
{
	struct hvx_region r = {
		.size = sizeof(r), .slot = id, .flags = log ? HVX_REGION_LOG_DIRTY : 0,
		.gpa = gpa, .len = len, .hva = (uintptr_t)at,
	};

	must(ioctl(m->vm, HVX_SET_REGION, &r), "HVX_SET_REGION");
}

static void hvx_dirty(struct machine *m, uint32_t id, uint64_t len, uint64_t *bitmap)
{
	struct hvx_dirty d = {
		.size = sizeof(d), .slot = id, .nr = len / 4096, .data = (uintptr_t)bitmap,
	};

	must(ioctl(m->vm, HVX_GET_DIRTY, &d), "HVX_GET_DIRTY");
}

/* Writes there are counted */
static void add_event(struct machine *m, uint32_t flags, uint64_t addr, uint32_t len)
{
	struct hvx_ioeventfd event = {
		.size = sizeof(event), .flags = flags, .addr = addr, .len = len, .fd = event_fd,
	};

	must(ioctl(m->vm, HVX_IOEVENTFD, &event), "HVX_IOEVENTFD");
}

static bool hvx_create(struct machine *m, unsigned int need)
{
	struct hvx_create_vcpu vcpu = { .size = sizeof(vcpu) };
	struct hvx_create_vm vm = { .size = sizeof(vm) };
	int dev;

	if (need & NEED_PORTS)
		vm.flags |= HVX_VM_LAPIC | HVX_VM_IOAPIC | HVX_VM_PIC | HVX_VM_PIT;
	if (need & NEED_HYPERCALL)
		vm.flags |= HVX_VM_HYPERCALL_EXIT;
	if (need & NEED_MSR)
		vm.flags |= HVX_VM_MSR_EXIT;
	dev = must(open("/dev/hvx", O_RDWR | O_CLOEXEC), "/dev/hvx");
	m->vm = must(ioctl(dev, HVX_CREATE_VM, &vm), "HVX_CREATE_VM");
	if (need & NEED_PORTS) {
		event_fd = must(eventfd(0, EFD_NONBLOCK), "eventfd");
		add_event(m, HVX_IOEVENTFD_PIO, G_PORT_EVENT, 1);
		add_event(m, 0, G_EVENT, 4);
	}
	hvx_region(m, 0, false, 0, G_LOW_SIZE, m->low);
	hvx_region(m, 1, false, G_FRESH, G_FRESH_SIZE, m->fresh);
	m->vcpu = must(ioctl(m->vm, HVX_CREATE_VCPU, &vcpu), "HVX_CREATE_VCPU");
	m->run = mmap(NULL, ioctl(dev, HVX_CHECK_CAP, HVX_CAP_RUN_SIZE), PROT_READ | PROT_WRITE,
		      MAP_SHARED, m->vcpu, 0);
	if (m->run == MAP_FAILED)
		err(1, "mmap of the run page");
	close(dev);
	return true;
}

static struct hvx_seg seg_of(const struct flat_seg *s)
{
	return (struct hvx_seg){
		.selector = s->selector, .base = s->base, .limit = s->limit,
		.attr = (s->attr & 0xff) | (s->attr >> 12 & 0xf) << 8,
	};
}

static void hvx_start(struct machine *m, const struct start_state *s)
{
	struct hvx_run *run = m->run;
	struct hvx_seg *seg = run->seg.seg;
	unsigned int i;

	must(ioctl(m->vcpu, HVX_GET_REGS, HVX_REGS_ALL), "HVX_GET_REGS");
	memset(&run->regs, 0, sizeof(run->regs));
	run->regs.rip = s->rip;
	run->regs.rflags = 2;
	run->regs.gpr[HVX_RSP] = s->rsp;
	run->regs.gpr[HVX_R12] = s->count;
	for (i = 0; i <= HVX_GS; i++)
		seg[i] = seg_of(i == HVX_CS ? &s->code : &s->data);
	seg[HVX_TR] = seg_of(&s->task);
	seg[HVX_LDTR] = (struct hvx_seg){ .attr = HVX_SEG_UNUSABLE };
	run->seg.gdt = (struct hvx_table){ .base = s->gdt_base, .limit = s->gdt_limit };
	run->seg.idt = (struct hvx_table){ .base = s->idt_base, .limit = s->idt_limit };
	run->ctrl.cr0 = s->cr0;
	run->ctrl.cr3 = s->cr3;
	run->ctrl.cr4 = s->cr4;
	run->ctrl.efer = s->efer;
	run->regs_dirty = HVX_REGS_GPR | HVX_REGS_SEG | HVX_REGS_CTRL;
}

static void give_up(const struct hvx_run *run)
{
	if (run->exit_reason == HVX_EXIT_ENTRY_FAILED)
		errx(1, "hvx: %s", run->entry.text);
	errx(1, "hvx: unexpected exit %u", run->exit_reason);
}

static void wake(struct machine *m)
{
	struct hvx_event event = {
		.size = sizeof(event), .type = HVX_EVENT_INTERRUPT, .vector = G_VECTOR,
	};

	must(ioctl(m->vcpu, HVX_INJECT, &event), "HVX_INJECT");
}

static void hvx_batch(struct machine *m)
{
	struct hvx_run *run = m->run;

	for (;;) {
		must(ioctl(m->vcpu, HVX_RUN, 0), "HVX_RUN");
		switch (run->exit_reason) {
		case HVX_EXIT_IO:
			if (run->io.port == G_PORT_MARK)
				return;
			if (!run->io.write)
				run->io.data = 0;
			break;
		case HVX_EXIT_MMIO:
			if (!run->mmio.write)
				memset(run->mmio.data, 0, sizeof(run->mmio.data));
			break;
		case HVX_EXIT_HLT:
			wake(m);
			break;
		case HVX_EXIT_MSR_READ:
			run->msr.data = 0;
			break;
		case HVX_EXIT_MSR_WRITE:
			break;
		case HVX_EXIT_HYPERCALL:
			run->hypercall.ret = 0;
			break;
		default:
			give_up(run);
		}
	}
}

static void hvx_nothing(struct machine *m)
{
	ioctl(m->vcpu, HVX_CHECK_CAP, 0);
}

static void hvx_destroy(struct machine *m)
{
	munmap(m->run, 2 * 4096);
	close(m->vcpu);
	close(m->vm);
	if (event_fd >= 0)
		close(event_fd);
	event_fd = -1;
}

const struct hypervisor hvx_hypervisor = {
	.name = "hvx",
	.device = "/dev/hvx",
	.create = hvx_create,
	.start = hvx_start,
	.batch = hvx_batch,
	.nothing = hvx_nothing,
	.region = hvx_region,
	.dirty = hvx_dirty,
	.destroy = hvx_destroy,
};
