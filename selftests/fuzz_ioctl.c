// SPDX-License-Identifier: GPL-2.0-only
/*
 * fuzz_ioctl: every call of the ABI with nearly right arguments, from three threads that share all
 * descriptors, while guests run. Nothing is expected of a call but that it returns; the rest is for
 * the kernel to notice (KASAN, lockdep, kmemleak), and at the end hvx must be in use by nobody.
 *
 *	HVX_FUZZ_SECONDS	how long (5)
 *	HVX_FUZZ_SEED		what it starts from (1); threads make runs differ all the same
 *
 * One step is one of the functions of ops[]. Structs are built valid, then sometimes spoilt: size,
 * bytes, or the pointer itself. Descriptors live in slots; a slot may be closed or filled again at
 * any time. Run pages and guest memory keep their addresses and are mapped over.
 *
 * A spoilt pointer or length is most often a bit off: the kernel or a guest then writes somewhere
 * else in this process. So all that structs point to, arrays of arguments too, lies in an arena of
 * its own, in which such addresses stay; else threads lose their stacks now and then.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sysfiles.h"
#include "vm.h"

#define NR_THREADS	3
#define NR_VMS		3
#define NR_SLOTS	6		/* vCPUs */
#define NR_EVENTS	4
#define RAM_SIZE	0x10000UL
#define CODE_SIZE	PAGE_SIZE
#define BLOB_SIZE	0x8000
#define ARENA		(1UL << 36)	/* bytes, and its alignment */
#define ALL_CHIPS	(HVX_VM_LAPIC | HVX_VM_IOAPIC | HVX_VM_PIC | HVX_VM_PIT)
#define ARRAY(a)	(sizeof(a) / sizeof(*(a)))

struct thread {
	pthread_t id;
	uint64_t rnd;
	unsigned long steps;
	uint8_t *edge;		/* a page, and an inaccessible one behind it */
	uint8_t *readonly;	/* a page */
	uint8_t *blob;
	uint64_t *buf;		/* a page */
};

static int vms[NR_VMS], vcpus[NR_SLOTS];	/* descriptors, -1: none; shared */
static int events[NR_EVENTS];			/* eventfds, always open */
static uint8_t *run_pages, *ram, *code;		/* shared */
static size_t run_size;
static volatile bool stop;
static bool svm;

/* xorshift64* */
static uint64_t rnd(struct thread *t)
{
	t->rnd ^= t->rnd >> 12;
	t->rnd ^= t->rnd << 25;
	t->rnd ^= t->rnd >> 27;
	return t->rnd * 0x2545f4914f6cdd1dULL;
}

static unsigned int below(struct thread *t, unsigned int n)
{
	return (rnd(t) >> 32) % n;
}

static uint64_t odd_value(struct thread *t)
{
	static const uint64_t values[] = {
		0, 1, 2, 7, 8, 0xff, 0xfff, 0x1000, 0x1001, 0xffff, 0x7fffffff, 0x80000000,
		0xffffffff, 1ULL << 32, 1ULL << 47, 1ULL << 63, ~0ULL, ~0xfffULL,
	};

	return below(t, 4) ? values[below(t, ARRAY(values))] : rnd(t);
}

static int vm_fd(struct thread *t)
{
	return vms[below(t, NR_VMS)];
}

static unsigned int vcpu_slot(struct thread *t)
{
	return below(t, NR_SLOTS);
}

static struct hvx_run *run_page(unsigned int slot)
{
	return (struct hvx_run *)(run_pages + slot * run_size);
}

/* ------------------------------------------------------------------ arguments */

static void spoil(struct thread *t, void *data, size_t len)
{
	uint8_t *p = data;
	uint64_t value;
	unsigned int n;

	for (n = below(t, 3) + 1; n && len; n--) {
		value = odd_value(t);
		if (len >= 8 && below(t, 2))
			memcpy(p + below(t, len / 8) * 8, &value, 8);
		else
			p[below(t, len)] ^= 1 << below(t, 8);
	}
}

static void spoil_size(struct thread *t, uint32_t *size)
{
	switch (below(t, 5)) {
	case 0:
		*size -= 1;
		break;
	case 1:
		*size += 8;
		break;
	case 2:
		*size = PAGE_SIZE + below(t, 2);
		break;
	default:
		*size = odd_value(t);
	}
}

/* The struct itself, or its copy at the edge of what is mapped, or nonsense */
static void *place(struct thread *t, void *data, size_t len)
{
	switch (below(t, 24)) {
	case 0:
		return NULL;
	case 1:
		return (void *)0xffff888000001000UL;
	case 2:
		return (void *)-8UL;
	case 3:
		return t->readonly;
	case 4:
		return memcpy(t->edge + PAGE_SIZE - len, data, len);
	case 5:
		memcpy(t->edge + PAGE_SIZE - len, data, len);
		return t->edge + PAGE_SIZE - len + 1 + below(t, len);
	default:
		return data;
	}
}

static long call(struct thread *t, int fd, unsigned long nr, void *data, size_t len)
{
	if (!below(t, 6))
		spoil_size(t, data);
	if (!below(t, 4))
		spoil(t, data, len);
	return xioctl(fd, nr, place(t, data, len));
}

/* ------------------------------------------------------------------ system and VMs */

static void fuzz_system(struct thread *t)
{
	static const unsigned long nrs[] = {
		HVX_GET_API_VERSION, HVX_CHECK_CAP, HVX_GET_HOST_INFO, HVX_GET_SUPPORTED_CPUID,
		HVX_GET_MSR_LIST,
	};
	struct hvx_cpuid *c = (struct hvx_cpuid *)t->buf;
	unsigned long nr = nrs[below(t, ARRAY(nrs))];

	memset(t->buf, 0, PAGE_SIZE);
	c->size = sizeof(*c);
	c->nr = below(t, 2) ? HVX_MAX_CPUID : odd_value(t);
	c->entries = (uintptr_t)place(t, t->blob, 4000);
	if (nr == HVX_GET_API_VERSION || nr == HVX_CHECK_CAP)
		xioctl(hvx_open(), nr, (void *)odd_value(t));
	else
		call(t, hvx_open(), nr, c, sizeof(struct hvx_host_info));
}

static void fuzz_any_ioctl(struct thread *t)
{
	int fds[] = { hvx_open(), vm_fd(t), vcpus[vcpu_slot(t)] };
	unsigned int nr = below(t, 8) ? _IO(HVX_IOC, below(t, 0x60)) : rnd(t);

	if (nr == HVX_CREATE_VM || nr == HVX_CREATE_VCPU || nr == HVX_RUN)
		return;
	xioctl(fds[below(t, 3)], nr, (void *)(below(t, 2) ? odd_value(t) : (uintptr_t)t->edge));
}

static void close_slot(int *slot)
{
	int fd = __atomic_exchange_n(slot, -1, __ATOMIC_SEQ_CST);

	if (fd >= 0)
		close(fd);
}

static void fill_slot(int *slot, int fd)
{
	int old = __atomic_exchange_n(slot, fd, __ATOMIC_SEQ_CST);

	if (old >= 0)
		close(old);
}

static void fuzz_create_vm(struct thread *t)
{
	struct hvx_create_vm create = {
		.size = sizeof(create), .flags = below(t, 2) ? ALL_CHIPS : below(t, 2 * ALL_CHIPS),
	};
	struct hvx_region region = {
		.size = sizeof(region), .len = CODE_SIZE, .hva = (uintptr_t)code,
	};
	long fd;

	if (below(t, 4)) {
		fd = xioctl(hvx_open(), HVX_CREATE_VM, &create);
		if (fd >= 0)
			xioctl(fd, HVX_SET_REGION, &region);
	} else {
		fd = call(t, hvx_open(), HVX_CREATE_VM, &create, sizeof(create));
	}
	if (fd >= 0)
		fill_slot(&vms[below(t, NR_VMS)], fd);
}

static void fuzz_region(struct thread *t)
{
	struct hvx_region region = {
		.size = sizeof(region), .flags = below(t, 4), .slot = 1 + below(t, 4),
		.gpa = below(t, 16) * PAGE_SIZE, .len = below(t, 8) * PAGE_SIZE,
		.hva = (uintptr_t)ram + below(t, 8) * PAGE_SIZE,
	};

	if (!below(t, 8))
		region.gpa = odd_value(t);
	call(t, vm_fd(t), HVX_SET_REGION, &region, sizeof(region));
}

static void fuzz_msr_filter(struct thread *t)
{
	struct hvx_msr_range *range = (struct hvx_msr_range *)t->buf;
	struct hvx_msr_filter filter = {
		.size = sizeof(filter), .nr = below(t, 4), .ranges = (uintptr_t)range,
	};
	unsigned int i;

	for (i = 0; i < 4; i++) {
		range[i] = (struct hvx_msr_range) {
			.first = below(t, 2) ? 0xc0000080 + below(t, 8) : odd_value(t),
			.nr = 1 + below(t, 4), .flags = below(t, 4),
		};
	}
	if (!below(t, 4))
		filter.ranges = (uintptr_t)place(t, range, sizeof(*range) * 4);
	call(t, vm_fd(t), HVX_SET_MSR_FILTER, &filter, sizeof(filter));
}

static void map_run_page(unsigned int slot, int fd)
{
	mmap(run_page(slot), run_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
}

static void fuzz_create_vcpu(struct thread *t)
{
	struct hvx_create_vcpu create = { .size = sizeof(create), .id = below(t, 64) };
	unsigned int slot = vcpu_slot(t);
	long fd;

	if (below(t, 4))
		fd = xioctl(vm_fd(t), HVX_CREATE_VCPU, &create);
	else
		fd = call(t, vm_fd(t), HVX_CREATE_VCPU, &create, sizeof(create));
	if (fd < 0)
		return;
	map_run_page(slot, fd);
	fill_slot(&vcpus[slot], fd);
}

static void fuzz_close(struct thread *t)
{
	if (below(t, 4))
		close_slot(&vcpus[vcpu_slot(t)]);
	else
		close_slot(&vms[below(t, NR_VMS)]);
}

/* A descriptor in another process: it may do nothing there, and go away with it */
static void fuzz_fork(struct thread *t)
{
	int fd = vcpus[vcpu_slot(t)], vm = vm_fd(t);
	uint64_t regs = rnd(t) & HVX_REGS_ALL;
	pid_t pid;

	if (below(t, 8))
		return;
	pid = fork();
	if (!pid) {
		ioctl(fd, HVX_GET_REGS, regs);
		ioctl(fd, HVX_RUN, 0);
		ioctl(vm, HVX_CHECK_CAP, 1);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* ------------------------------------------------- interrupts, clock, dirty log */

static uint32_t any_gsi(struct thread *t)
{
	return below(t, 8) ? below(t, 26) : odd_value(t);
}

static uint64_t any_message(struct thread *t)
{
	return below(t, 8) ? 0xfee00000 | below(t, 4) << 12 | below(t, 16) : odd_value(t);
}

static void fuzz_irq_line(struct thread *t)
{
	struct hvx_irq_line line = {
		.size = sizeof(line), .gsi = any_gsi(t), .level = below(t, 2),
	};

	call(t, vm_fd(t), HVX_IRQ_LINE, &line, sizeof(line));
}

static void fuzz_msi(struct thread *t)
{
	struct hvx_msi msi = { .size = sizeof(msi), .address = any_message(t), .data = rnd(t) };

	call(t, vm_fd(t), HVX_SIGNAL_MSI, &msi, sizeof(msi));
}

static void fuzz_routing(struct thread *t)
{
	struct hvx_route *routes = (struct hvx_route *)t->buf;
	struct hvx_routing routing = {
		.size = sizeof(routing), .nr = below(t, 16), .routes = (uintptr_t)routes,
	};
	unsigned int i;

	for (i = 0; i < 16; i++)
		routes[i] = (struct hvx_route) {
			.gsi = any_gsi(t), .type = below(t, 4), .pin = below(t, 16),
			.data = below(t, 256), .address = any_message(t),
		};
	if (!below(t, 8))
		routing.routes = (uintptr_t)place(t, routes, sizeof(*routes) * 16);
	call(t, vm_fd(t), HVX_SET_ROUTING, &routing, sizeof(routing));
}

static void fuzz_irqfd(struct thread *t)
{
	struct hvx_irqfd irqfd = {
		.size = sizeof(irqfd), .flags = below(t, 4), .fd = events[below(t, NR_EVENTS)],
		.gsi = any_gsi(t), .resample_fd = events[below(t, NR_EVENTS)],
	};

	if (!below(t, 8))
		irqfd.fd = vcpus[vcpu_slot(t)];
	call(t, vm_fd(t), HVX_IRQFD, &irqfd, sizeof(irqfd));
}

/* An eventfd is written to, and now and then another one takes its place */
static void fuzz_event(struct thread *t)
{
	unsigned int i = below(t, NR_EVENTS);
	int fd;

	if (below(t, 8)) {
		eventfd_write(events[i], 1 + below(t, 2));
		return;
	}
	fd = eventfd(below(t, 2), EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd >= 0)
		fill_slot(&events[i], fd);
}

static void fuzz_ioeventfd(struct thread *t)
{
	struct hvx_ioeventfd e = {
		.size = sizeof(e), .flags = below(t, 8), .len = 1 << below(t, 4),
		.addr = below(t, 2) ? 0x10 : below(t, RAM_SIZE), .fd = events[below(t, NR_EVENTS)],
		.match = below(t, 4),
	};

	if (!below(t, 8))
		e.len = odd_value(t);
	if (!(e.flags & HVX_IOEVENTFD_MATCH))
		e.match = 0;
	call(t, vm_fd(t), HVX_IOEVENTFD, &e, sizeof(e));
}

/* The state of a chip: out, spoilt, and in again, of the same VM or of another */
static void fuzz_chip(struct thread *t)
{
	struct hvx_chip chip = {
		.size = sizeof(chip), .chip = below(t, 4), .len = PAGE_SIZE,
		.data = (uintptr_t)t->blob,
	};
	int fd = vm_fd(t);

	if (!below(t, 4))
		chip.len = below(t, 2) ? odd_value(t) : below(t, 512);
	call(t, fd, HVX_GET_CHIP, &chip, sizeof(chip));
	if (below(t, 2))
		spoil(t, t->blob, 224);
	fd = below(t, 2) ? fd : vm_fd(t);
	call(t, fd, HVX_SET_CHIP, &chip, sizeof(chip));
}

static void fuzz_clock(struct thread *t)
{
	struct hvx_clock clock = { .size = sizeof(clock), .ns = odd_value(t) };

	call(t, vm_fd(t), below(t, 2) ? HVX_SET_CLOCK : HVX_GET_CLOCK, &clock, sizeof(clock));
}

static void fuzz_rate(struct thread *t)
{
	int fd = below(t, 2) ? vm_fd(t) : vcpus[vcpu_slot(t)];
	uint64_t khz = below(t, 2) ? below(t, 8000000) : odd_value(t);

	xioctl(fd, HVX_SET_TSC_KHZ, (void *)khz);
	xioctl(fd, HVX_GET_TSC_KHZ, NULL);
}

static void fuzz_dirty(struct thread *t)
{
	struct hvx_dirty dirty = {
		.size = sizeof(dirty), .flags = below(t, 4), .slot = below(t, 5),
		.first = below(t, 9), .nr = below(t, 9), .room = below(t, 8),
		.data = (uintptr_t)place(t, t->blob, 64),
	};
	struct hvx_memory_info info = { .size = sizeof(info) };
	struct hvx_prefault pre = {
		.size = sizeof(pre), .flags = below(t, 2), .gpa = below(t, 64) * PAGE_SIZE,
		.len = below(t, 64) * PAGE_SIZE,
	};

	if (!below(t, 8))
		pre.gpa = odd_value(t);
	if (!below(t, 8))
		pre.len = odd_value(t);
	call(t, vm_fd(t), HVX_PREFAULT, &pre, sizeof(pre));
	if (!below(t, 8))
		dirty.first = odd_value(t);
	call(t, vm_fd(t), HVX_GET_DIRTY, &dirty, sizeof(dirty));
	call(t, vm_fd(t), HVX_GET_MEMORY_INFO, &info, sizeof(info));
}

/* ------------------------------------------------------------------ mappings */

static void fuzz_map_ram(struct thread *t)
{
	static const int prots[] = { PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE };
	size_t at = below(t, RAM_SIZE / PAGE_SIZE) * PAGE_SIZE;
	size_t len = PAGE_SIZE * (1 + below(t, 4));

	if (at + len > RAM_SIZE)
		len = RAM_SIZE - at;
	switch (below(t, 3)) {
	case 0:
		mmap(ram + at, len, prots[below(t, 3)], MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		     -1, 0);
		break;
	case 1:
		mprotect(ram + at, len, prots[below(t, 3)]);
		break;
	default:
		madvise(ram + at, len, MADV_DONTNEED);
	}
}

static void fuzz_map_run(struct thread *t)
{
	unsigned int slot = vcpu_slot(t);
	size_t len = below(t, 4) * PAGE_SIZE;
	int fd = vcpus[slot];
	void *p;

	switch (below(t, 4)) {
	case 0:
		p = mmap(NULL, len, below(t, 8), MAP_SHARED, fd, below(t, 4) * PAGE_SIZE);
		if (p != MAP_FAILED)
			munmap(p, len);
		break;
	case 1:
		mmap(run_page(slot), run_size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		break;
	default:
		if (fd >= 0)
			map_run_page(slot, fd);
	}
}

/* ------------------------------------------------------------------ vCPUs */

static struct hvx_seg flat(uint16_t attr)
{
	return seg_make(8, 0, ~0u, attr | HVX_SEG_P | HVX_SEG_S | HVX_SEG_G | HVX_SEG_DB);
}

/* Code at guest-physical 0, real mode or flat protected mode */
static void good_registers(struct thread *t, struct hvx_run *r)
{
	unsigned int i;

	r->regs.rip = 0;
	r->regs.rflags = FL_FIXED | (rnd(t) & (FL_IF | FL_DF));
	for (i = 0; i < HVX_NR_GPRS; i++)
		r->regs.gpr[i] = below(t, 2) ? below(t, RAM_SIZE) : odd_value(t);
	r->ctrl = (struct hvx_ctrl) {
		.cr0 = CR0_ET | below(t, 2), .xcr0 = 1, .apic_base = 0xfee00900,
	};
	for (i = HVX_ES; i <= HVX_GS; i++)
		r->seg.seg[i] = flat(3);
	r->seg.seg[HVX_CS] = flat(0xb);
	r->seg.seg[HVX_TR] = seg_make(0, 0, 0xffff, HVX_SEG_P | 0xb);
	r->seg.seg[HVX_LDTR] = seg_make(0, 0, 0, HVX_SEG_UNUSABLE);
	r->seg.gdt = (struct hvx_table) { .limit = 0xffff };
	r->seg.idt = (struct hvx_table) { .limit = 0xffff };
	r->debug = (struct hvx_dregs) { .dr6 = 0xffff0ff0, .dr7 = 0x400 };
	r->event = (struct hvx_events) { 0 };
}

/*
 * States that an emulated AMD-V host cannot be asked to run, though a processor can: QEMU loses its
 * own host's paging on the exit of a guest with EFER.LME but neither CR0.PG nor CR4.PAE, and gives
 * up when a trap out of ring 3 finds a busy TSS in 32-bit mode.
 */
static void spare_emulator(struct hvx_run *r)
{
	if (!svm)
		return;
	r->ctrl.efer &= ~(EFER_LME | EFER_LMA);
	r->ctrl.cr0 &= ~CR0_PG;
	r->regs.rflags &= ~(1ULL << 17);
	r->seg.seg[HVX_SS].attr &= ~(3 << HVX_SEG_DPL_SHIFT);
}

static void fuzz_run_page(struct thread *t)
{
	struct hvx_run *r = run_page(vcpu_slot(t)), copy = *r;

	if (below(t, 2)) {
		good_registers(t, &copy);
		copy.regs_dirty = HVX_REGS_ALL;
	}
	if (!below(t, 3)) {
		spoil(t, &copy.regs, sizeof(copy) - offsetof(struct hvx_run, regs));
		copy.regs_dirty = rnd(t) & HVX_REGS_ALL;
	}
	spare_emulator(&copy);
	copy.immediate_exit = !below(t, 8);
	copy.irq_window = below(t, 2);
	copy.nmi_window = below(t, 2);
	copy.regs_wanted = below(t, 8) ? rnd(t) & HVX_REGS_ALL : odd_value(t);
	if (!below(t, 16))
		copy.regs_dirty = odd_value(t);
	*r = copy;
	/* The answer to an exit, right or wrong */
	if (!below(t, 4))
		spoil(t, &r->io, sizeof(r->pad));
}

static void fuzz_run(struct thread *t)
{
	int fd = vcpus[vcpu_slot(t)];
	unsigned int n;

	for (n = below(t, 16); n; n--)
		ioctl(fd, HVX_RUN, below(t, 64) ? 0 : 1);
}

static void fuzz_regs(struct thread *t)
{
	unsigned int slot = vcpu_slot(t);
	uint64_t groups = below(t, 8) ? rnd(t) & HVX_REGS_ALL : odd_value(t);

	if (below(t, 2))
		xioctl(vcpus[slot], HVX_GET_REGS, (void *)groups);
	else
		xioctl(vcpus[slot], HVX_SET_REGS, (void *)groups);
}

static void fuzz_inject(struct thread *t)
{
	struct hvx_event ev = {
		.size = sizeof(ev), .flags = below(t, 4), .type = below(t, 5),
		.vector = below(t, 2) ? below(t, 32) : rnd(t), .error_code = odd_value(t),
		.payload = odd_value(t),
	};

	call(t, vcpus[vcpu_slot(t)], HVX_INJECT, &ev, sizeof(ev));
}

static void fuzz_cpuid(struct thread *t)
{
	struct hvx_cpuid c = {
		.size = sizeof(c), .nr = HVX_MAX_CPUID, .entries = (uintptr_t)t->blob,
	};
	unsigned int slot = vcpu_slot(t);

	xioctl(hvx_open(), HVX_GET_SUPPORTED_CPUID, &c);
	if (below(t, 2))
		spoil(t, t->blob, c.nr * sizeof(struct hvx_cpuid_entry));
	if (!below(t, 4))
		c.nr = odd_value(t);
	call(t, vcpus[slot], below(t, 2) ? HVX_SET_CPUID : HVX_GET_CPUID, &c, sizeof(c));
}

static void fuzz_msrs(struct thread *t)
{
	static const uint32_t indices[] = {
		0x10, 0x1b, 0x174, 0x175, 0x176, 0x1a0, 0x1d9, 0x277, 0xc0000081, 0xc0000082,
		0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103, 0xda0,
	};
	struct hvx_msr *m = (struct hvx_msr *)t->buf;
	struct hvx_msrs msrs = { .size = sizeof(msrs), .nr = 8, .msrs = (uintptr_t)m };
	unsigned int i;

	for (i = 0; i < 8; i++)
		m[i] = (struct hvx_msr) {
			.index = indices[below(t, ARRAY(indices))], .data = odd_value(t),
		};
	if (!below(t, 4))
		msrs.msrs = (uintptr_t)place(t, m, sizeof(*m) * 8);
	if (!below(t, 8))
		msrs.nr = odd_value(t);
	call(t, vcpus[vcpu_slot(t)], below(t, 2) ? HVX_SET_MSRS : HVX_GET_MSRS, &msrs,
	     sizeof(msrs));
}

/* What an image has only while a task switch waits for memory; fields mostly as they may be */
static void append_task(struct thread *t, struct hvx_blob *blob)
{
	const struct hvx_task_state task = {
		.source = below(t, 9) % 5, .external = below(t, 9) % 3, .has_error = below(t, 2),
		.error = below(t, 2) ? odd_value(t) : 0,
	};
	const struct hvx_state_section section = { .id = HVX_STATE_TASK, .len = sizeof(task) };
	struct hvx_state_header *header = (void *)t->blob;

	if (header->magic != HVX_STATE_MAGIC ||
	    header->len > BLOB_SIZE - sizeof(section) - sizeof(task))
		return;
	memcpy(t->blob + header->len, &section, sizeof(section));
	memcpy(t->blob + header->len + sizeof(section), &task, sizeof(task));
	header->len += sizeof(section) + sizeof(task);
	header->nr_sections++;
	blob->len = header->len;
}

/* XSAVE and state images: out, spoilt, and in again */
static void fuzz_blob(struct thread *t, unsigned long get, unsigned long set)
{
	struct hvx_blob blob = {
		.size = sizeof(blob), .len = BLOB_SIZE, .data = (uintptr_t)t->blob,
	};
	int fd = vcpus[vcpu_slot(t)];

	if (!below(t, 4))
		blob.len = below(t, 2) ? odd_value(t) : below(t, 4096);
	call(t, fd, get, &blob, sizeof(blob));
	/* An emulated AMD-V host must not be given just any registers, see above */
	if (!svm && set == HVX_SET_STATE && below(t, 2))
		append_task(t, &blob);
	if (below(t, 2) && (!svm || set == HVX_SET_XSAVE))
		spoil(t, t->blob, below(t, 2) ? 64 : 4096);
	if (!below(t, 4))
		blob.len = odd_value(t);
	fd = below(t, 2) ? fd : vcpus[vcpu_slot(t)];
	call(t, fd, set, &blob, sizeof(blob));
}

static void fuzz_xsave(struct thread *t)
{
	fuzz_blob(t, HVX_GET_XSAVE, HVX_SET_XSAVE);
}

static void fuzz_state(struct thread *t)
{
	fuzz_blob(t, HVX_GET_STATE, HVX_SET_STATE);
}

static void fuzz_debug(struct thread *t)
{
	struct hvx_debug debug = {
		.size = sizeof(debug), .control = below(t, 16) | below(t, 2),
		.dr = { 0, 1, 2, odd_value(t) }, .dr7 = below(t, 2) ? 0x401 : odd_value(t),
	};

	call(t, vcpus[vcpu_slot(t)], HVX_SET_DEBUG, &debug, sizeof(debug));
}

static void fuzz_translate(struct thread *t)
{
	struct hvx_translate tr = {
		.size = sizeof(tr), .access = below(t, 8), .user = below(t, 2),
		.gva = below(t, 2) ? below(t, RAM_SIZE) : odd_value(t),
	};

	call(t, vcpus[vcpu_slot(t)], HVX_TRANSLATE, &tr, sizeof(tr));
}

/* Instructions that mean the same in 16 and in 32 bits, most of which exit */
static void fuzz_code(struct thread *t)
{
	static const char * const insns[] = {
		"\x0f\xa2", "\xe6\x10", "\xe4\x10", "\xee", "\xec", "\xef", "\xed", "\x0f\x01\xc1",
		"\x0f\x01\xd9", "\xf4", "\xfb", "\xfa", "\x90", "\x0f\x31", "\x0f\x32", "\x0f\x0b",
		"\xcc", "\xf3\x6e", "\xf3\x6c", "\xaa", "\xac", "\xa4", "\x0f\x09", "\xf3\x90",
		"\xe6\x20", "\xe6\x21", "\xe6\xa1", "\xe6\x40", "\xe6\x43", "\xe4\x40", "\xe4\x61",
		"\xcd\x03", "\x89\x07", "\x8b\x07", "\x0f\x01\xd0", "\x0f\x30", "\x9c", "\x9d",
	};
	uint8_t page[CODE_SIZE];
	const char *insn;
	size_t n = 0;

	while (n < 120) {
		insn = insns[below(t, ARRAY(insns))];
		memcpy(page + n, insn, strlen(insn));
		n += strlen(insn);
	}
	page[n] = 0xeb;
	page[n + 1] = -(n + 2);
	memcpy(code, page, n + 2);
}

/* ------------------------------------------------------------------ threads */

static const struct {
	unsigned int weight;
	void (*step)(struct thread *t);
} ops[] = {
	{ 12, fuzz_run }, { 8, fuzz_run_page }, { 4, fuzz_regs }, { 3, fuzz_inject },
	{ 3, fuzz_create_vcpu }, { 2, fuzz_create_vm }, { 2, fuzz_close }, { 3, fuzz_region },
	{ 2, fuzz_msr_filter }, { 3, fuzz_map_ram }, { 2, fuzz_map_run }, { 3, fuzz_cpuid },
	{ 3, fuzz_msrs }, { 2, fuzz_xsave }, { 3, fuzz_state }, { 2, fuzz_debug },
	{ 2, fuzz_translate }, { 2, fuzz_code }, { 3, fuzz_system }, { 3, fuzz_any_ioctl },
	{ 1, fuzz_fork }, { 3, fuzz_irq_line }, { 2, fuzz_msi }, { 2, fuzz_routing },
	{ 2, fuzz_irqfd }, { 2, fuzz_event }, { 2, fuzz_ioeventfd }, { 2, fuzz_chip },
	{ 1, fuzz_clock }, { 2, fuzz_dirty }, { 1, fuzz_rate },
};

static void step(struct thread *t)
{
	unsigned int i, n = 0;

	for (i = 0; i < ARRAY(ops); i++)
		n += ops[i].weight;
	n = below(t, n);
	for (i = 0; n >= ops[i].weight; i++)
		n -= ops[i].weight;
	ops[i].step(t);
	t->steps++;
}

static void on_signal(int sig)
{
	(void)sig;
}

/* A guest may run forever: each thread is interrupted now and then */
static timer_t start_timer(void)
{
	struct itimerspec every = { { 0, 5000000 }, { 0, 5000000 } };
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	timer_t timer;

	ev._sigev_un._tid = syscall(SYS_gettid);
	REQUIRE(!timer_create(CLOCK_MONOTONIC, &ev, &timer), "timer: %s", strerror(errno));
	timer_settime(timer, 0, &every, NULL);
	return timer;
}

static void *thread(void *arg)
{
	timer_t timer = start_timer();
	struct thread *t = arg;

	while (!stop)
		step(t);
	timer_delete(timer);
	return NULL;
}

static unsigned long env(const char *name, unsigned long other)
{
	const char *s = getenv(name);

	return s && *s ? strtoul(s, NULL, 0) : other;
}

static uint8_t *arena_pages(size_t len)
{
	static uint8_t *next;
	uint8_t *p;

	if (!next) {
		p = mmap(NULL, 2 * ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			 -1, 0);
		REQUIRE(p != MAP_FAILED, "mmap: %s", strerror(errno));
		next = (uint8_t *)(((uintptr_t)p + ARENA - 1) & -ARENA);
	}
	p = next;
	next += len;
	REQUIRE(!mprotect(p, len, PROT_READ | PROT_WRITE), "mprotect: %s", strerror(errno));
	return p;
}

static void set_up(struct thread *t, unsigned long seed)
{
	unsigned int i;

	run_size = hvx_cap(HVX_CAP_RUN_SIZE);
	svm = hvx_vendor() == HVX_VENDOR_SVM;
	run_pages = arena_pages(NR_SLOTS * run_size);
	ram = arena_pages(RAM_SIZE);
	code = arena_pages(CODE_SIZE);
	memset(vms, -1, sizeof(vms));
	memset(vcpus, -1, sizeof(vcpus));
	for (i = 0; i < NR_EVENTS; i++) {
		events[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		REQUIRE(events[i] >= 0, "eventfd: %s", strerror(errno));
	}
	for (i = 0; i < NR_THREADS; i++) {
		t[i].rnd = (seed + i * 0x9e3779b9) | 1;
		t[i].edge = arena_pages(2 * PAGE_SIZE);
		mprotect(t[i].edge + PAGE_SIZE, PAGE_SIZE, PROT_NONE);
		t[i].readonly = arena_pages(PAGE_SIZE);
		mprotect(t[i].readonly, PAGE_SIZE, PROT_READ);
		t[i].blob = arena_pages(BLOB_SIZE);
		t[i].buf = (uint64_t *)arena_pages(PAGE_SIZE);
		fuzz_create_vm(&t[i]);
		fuzz_create_vcpu(&t[i]);
	}
	fuzz_code(t);
}

/* What holds the module: this process's own descriptor, and whoever else uses hvx */
static long module_users(void)
{
	return file_number("/sys/module/hvx/refcnt");
}

TEST_TIME(ioctls, 120)
{
	unsigned long seconds = env("HVX_FUZZ_SECONDS", 5), seed = env("HVX_FUZZ_SEED", 1);
	struct sigaction sa = { .sa_handler = on_signal };
	struct thread t[NR_THREADS] = { 0 };
	unsigned int i;
	long before;

	hvx_open();
	before = module_users();
	sigaction(SIGUSR1, &sa, NULL);
	set_up(t, seed);
	for (i = 0; i < NR_THREADS; i++)
		REQUIRE(!pthread_create(&t[i].id, NULL, thread, &t[i]));
	sleep(seconds);
	stop = true;
	for (i = 0; i < NR_THREADS; i++)
		pthread_join(t[i].id, NULL);
	tap_note("seed %lu: %lu steps", seed, t[0].steps + t[1].steps + t[2].steps);
	for (i = 0; i < NR_SLOTS; i++)
		close_slot(&vcpus[i]);
	for (i = 0; i < NR_VMS; i++)
		close_slot(&vms[i]);
	for (i = 0; i < NR_EVENTS; i++)
		close_slot(&events[i]);
	munmap(run_pages, NR_SLOTS * run_size);
	EXPECT_EQ(module_users(), before);
}

/* After all that a guest must run as ever */
TEST(after)
{
	struct vcpu *v = vcpu_create(vm_create(0), 0);

	v->vm->low[0x8000] = 0xf4;
	vcpu_setup_real(v, 0x800, 0);
	vcpu_expect(v, HVX_EXIT_HLT);
}
