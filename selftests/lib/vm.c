// SPDX-License-Identifier: GPL-2.0-only
/*
 * vm.c: the host's side of a test, see vm.h: descriptors, VMs and their memory, the run loop. The
 * processor modes are in modes.c.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vm.h"

static uint8_t *heap, *heap_next;

/* ------------------------------------------------------------------ descriptors */

int hvx_open(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/dev/hvx", O_RDWR | O_CLOEXEC);
	REQUIRE(fd >= 0, "/dev/hvx: %s", strerror(errno));
	return fd;
}

long xioctl(int fd, unsigned long nr, void *arg)
{
	long ret = ioctl(fd, nr, arg);

	return ret < 0 ? -errno : ret;
}

long hvx_cap(unsigned int cap)
{
	return xioctl(hvx_open(), HVX_CHECK_CAP, (void *)(uintptr_t)cap);
}

unsigned int hvx_vendor(void)
{
	return hvx_cap(HVX_CAP_VENDOR);
}

void *host_pages(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED, "mmap: %s", strerror(errno));
	return p;
}

void *heap_alloc(size_t len, size_t align)
{
	uint8_t *p;

	if (!heap) {
		heap = mmap((void *)HEAP_BASE, HEAP_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		REQUIRE(heap == (void *)HEAP_BASE, "no room for the guest's heap");
		heap_next = heap;
	}
	p = (uint8_t *)(((uintptr_t)heap_next + align - 1) & -align);
	REQUIRE(p + len <= heap + HEAP_SIZE, "the guest's heap is full");
	heap_next = p + len;
	return p;
}

/* ------------------------------------------------------------------ VMs */

int vm_region(struct vm *vm, unsigned int slot, uint32_t flags, uint64_t gpa, uint64_t len,
	      void *hva)
{
	struct hvx_region r = {
		.size = sizeof(r), .flags = flags, .slot = slot,
		.gpa = gpa, .len = len, .hva = (uintptr_t)hva,
	};

	return xioctl(vm->fd, HVX_SET_REGION, &r);
}

/* The program itself, one region for each of its segments. */
static void map_program(struct vm *vm, unsigned int slot)
{
	const Elf64_Phdr *ph = (void *)getauxval(AT_PHDR);
	unsigned int n = getauxval(AT_PHNUM);

	for (; n; n--, ph++) {
		uint64_t from = ph->p_vaddr & -PAGE_SIZE;
		uint64_t to = (ph->p_vaddr + ph->p_memsz + PAGE_SIZE - 1) & -PAGE_SIZE;
		uint32_t flags = ph->p_flags & PF_W ? 0 : HVX_REGION_READONLY;
		int ret;

		if (ph->p_type != PT_LOAD)
			continue;
		ret = vm_region(vm, slot++, flags, from, to - from, (void *)from);
		REQUIRE(!ret, "region %#lx-%#lx: %s", from, to, strerror(-ret));
	}
}

static void make_tables(struct vm *vm)
{
	uint64_t *pd = heap_alloc(4 * PAGE_SIZE, PAGE_SIZE);
	const uint64_t table = PTE_P | PTE_W | PTE_U | PTE_A;
	unsigned int i;

	vm->pml4 = heap_alloc(PAGE_SIZE, PAGE_SIZE);
	vm->pdpt = heap_alloc(PAGE_SIZE, PAGE_SIZE);
	vm->pml4[0] = (uintptr_t)vm->pdpt | table;
	for (i = 0; i < 4; i++)
		vm->pdpt[i] = (uintptr_t)(pd + i * 512) | table;
	for (i = 0; i < 4 * 512; i++)
		pd[i] = (uint64_t)i << 21 | table | PTE_D | PTE_PS;
}

struct vm *vm_create_bare(uint32_t flags)
{
	struct hvx_create_vm create = { .size = sizeof(create), .flags = flags };
	struct vm *vm = calloc(1, sizeof(*vm));
	long fd = xioctl(hvx_open(), HVX_CREATE_VM, &create);

	REQUIRE(vm && fd >= 0, "HVX_CREATE_VM: %s", strerror(-fd));
	vm->fd = fd;
	return vm;
}

struct vm *vm_create(uint32_t flags)
{
	struct vm *vm = vm_create_bare(flags);
	int ret;

	make_tables(vm);
	vm->low = host_pages(LOW_SIZE);
	ret = vm_region(vm, 0, 0, 0, LOW_SIZE, vm->low);
	REQUIRE(!ret, "low memory: %s", strerror(-ret));
	ret = vm_region(vm, 1, 0, HEAP_BASE, HEAP_SIZE, heap);
	REQUIRE(!ret, "heap: %s", strerror(-ret));
	map_program(vm, 2);
	return vm;
}

void vm_destroy(struct vm *vm)
{
	close(vm->fd);
	if (vm->low)
		munmap(vm->low, LOW_SIZE);
	free(vm);
}

uint64_t *vm_pte(struct vm *vm, uint64_t gva)
{
	uint64_t *pd = (void *)(uintptr_t)(vm->pdpt[gva >> 30 & 511] & PTE_ADDR);
	uint64_t *pde = pd + (gva >> 21 & 511);
	uint64_t *pt;
	unsigned int i;

	if (*pde & PTE_PS) {
		pt = heap_alloc(PAGE_SIZE, PAGE_SIZE);
		for (i = 0; i < 512; i++)
			pt[i] = (*pde & ~PTE_PS) + i * PAGE_SIZE;
		*pde = (uintptr_t)pt | PTE_P | PTE_W | PTE_U | PTE_A;
	}
	pt = (void *)(uintptr_t)(*pde & PTE_ADDR);
	return pt + (gva >> 12 & 511);
}

int vm_msr_filter(struct vm *vm, uint32_t first, uint32_t nr, uint32_t flags)
{
	struct hvx_msr_range range = { .first = first, .nr = nr, .flags = flags };
	struct hvx_msr_filter filter = {
		.size = sizeof(filter), .nr = !!nr, .ranges = (uintptr_t)&range,
	};

	return xioctl(vm->fd, HVX_SET_MSR_FILTER, &filter);
}

void vm_load(struct vm *vm, uint32_t gpa, const void *from, const void *end)
{
	size_t len = (const char *)end - (const char *)from;

	REQUIRE(gpa + len <= LOW_SIZE);
	memcpy(vm->low + gpa, from, len);
}

/* ------------------------------------------------------------------ vCPUs */

static unsigned int get_supported_cpuid(int fd, struct hvx_cpuid_entry *e)
{
	struct hvx_cpuid c = {
		.size = sizeof(c), .nr = HVX_MAX_CPUID, .entries = (uintptr_t)e,
	};
	long ret = xioctl(fd, HVX_GET_SUPPORTED_CPUID, &c);

	REQUIRE(!ret, "HVX_GET_SUPPORTED_CPUID: %s", strerror(-ret));
	return c.nr;
}

unsigned int supported_cpuid(struct hvx_cpuid_entry *e)
{
	return get_supported_cpuid(hvx_open(), e);
}

unsigned int vm_supported_cpuid(struct vm *vm, struct hvx_cpuid_entry *e)
{
	return get_supported_cpuid(vm->fd, e);
}

int vcpu_set_cpuid(struct vcpu *v, struct hvx_cpuid_entry *e, unsigned int nr)
{
	struct hvx_cpuid c = { .size = sizeof(c), .nr = nr, .entries = (uintptr_t)e };

	return xioctl(v->fd, HVX_SET_CPUID, &c);
}

bool vcpu_cpuid(struct vcpu *v, uint32_t leaf, uint32_t index, struct hvx_cpuid_entry *e)
{
	static struct hvx_cpuid_entry table[HVX_MAX_CPUID];
	struct hvx_cpuid c = {
		.size = sizeof(c), .nr = HVX_MAX_CPUID, .entries = (uintptr_t)table,
	};
	long ret = xioctl(v->fd, HVX_GET_CPUID, &c);
	unsigned int i;

	REQUIRE(!ret, "HVX_GET_CPUID: %s", strerror(-ret));
	for (i = 0; i < c.nr; i++) {
		if (table[i].function == leaf &&
		    (!(table[i].flags & HVX_CPUID_INDEXED) || table[i].index == index)) {
			*e = table[i];
			return true;
		}
	}
	memset(e, 0, sizeof(*e));
	return false;
}

struct vcpu *vcpu_create_bare(struct vm *vm, unsigned int id)
{
	struct hvx_create_vcpu create = { .size = sizeof(create), .id = id };
	struct vcpu *v = calloc(1, sizeof(*v));
	long fd = xioctl(vm->fd, HVX_CREATE_VCPU, &create);

	REQUIRE(v && fd >= 0, "HVX_CREATE_VCPU: %s", strerror(-fd));
	v->vm = vm;
	v->fd = fd;
	v->id = id;
	v->run = mmap(NULL, hvx_cap(HVX_CAP_RUN_SIZE), PROT_READ | PROT_WRITE, MAP_SHARED,
		      v->fd, 0);
	REQUIRE(v->run != MAP_FAILED, "run page: %s", strerror(errno));
	v->run->regs_wanted = HVX_REGS_GPR;
	return v;
}

struct vcpu *vcpu_create(struct vm *vm, unsigned int id)
{
	static struct hvx_cpuid_entry table[HVX_MAX_CPUID];
	struct vcpu *v = vcpu_create_bare(vm, id);
	int ret = vcpu_set_cpuid(v, table, vm_supported_cpuid(vm, table));

	REQUIRE(!ret, "HVX_SET_CPUID: %s", strerror(-ret));
	v->g = heap_alloc(GCPU_AREA, GCPU_AREA);
	v->g->self = v->g;
	v->g->id = id;
	return v;
}

void vcpu_destroy(struct vcpu *v)
{
	munmap(v->run, hvx_cap(HVX_CAP_RUN_SIZE));
	close(v->fd);
	free(v);
}

long vcpu_get(struct vcpu *v, uint64_t groups)
{
	long ret = xioctl(v->fd, HVX_GET_REGS, (void *)groups);

	REQUIRE(!ret, "HVX_GET_REGS: %s", strerror(-ret));
	return ret;
}

void vcpu_set(struct vcpu *v, uint64_t groups)
{
	long ret = xioctl(v->fd, HVX_SET_REGS, (void *)groups);

	REQUIRE(!ret, "HVX_SET_REGS: %s", strerror(-ret));
}

int vcpu_inject_error(struct vcpu *v, uint8_t vector, uint32_t flags, uint32_t error,
		      uint64_t payload)
{
	struct hvx_event ev = {
		.size = sizeof(ev), .flags = flags, .type = HVX_EVENT_EXCEPTION,
		.vector = vector, .error_code = error, .payload = payload,
	};

	return xioctl(v->fd, HVX_INJECT, &ev);
}

int vcpu_inject(struct vcpu *v, uint8_t type, uint8_t vector)
{
	struct hvx_event ev = { .size = sizeof(ev), .type = type, .vector = vector };

	return xioctl(v->fd, HVX_INJECT, &ev);
}

static int msr_ioctl(struct vcpu *v, unsigned long nr, uint32_t msr, uint64_t *val)
{
	struct hvx_msr m = { .index = msr, .data = *val };
	struct hvx_msrs msrs = { .size = sizeof(msrs), .nr = 1, .msrs = (uintptr_t)&m };
	int ret = xioctl(v->fd, nr, &msrs);

	*val = m.data;
	return ret;
}

int vcpu_set_msr(struct vcpu *v, uint32_t msr, uint64_t val)
{
	return msr_ioctl(v, HVX_SET_MSRS, msr, &val);
}

int vcpu_get_msr(struct vcpu *v, uint32_t msr, uint64_t *val)
{
	*val = 0;
	return msr_ioctl(v, HVX_GET_MSRS, msr, val);
}

/* ------------------------------------------------------------------ running */

const char *exit_name(int reason)
{
	static const char * const names[] = {
		"NONE", "IO", "MMIO", "HLT", "MSR_READ", "MSR_WRITE", "HYPERCALL", "DEBUG",
		"SHUTDOWN", "ENTRY_FAILED", "EMULATION", "INTERRUPTED", "SYSTEM_EVENT",
		"IRQ_WINDOW", "NMI_WINDOW", "MEMORY_FAULT", "UNKNOWN",
	};

	if (reason < 0)
		return strerror(-reason);
	if ((size_t)reason >= sizeof(names) / sizeof(*names))
		return "?";
	return names[reason];
}

/* What a person needs to know about an exit that a test did not expect. */
void vcpu_describe(struct vcpu *v, int reason)
{
	struct hvx_run *r = v->run;

	tap_note("vcpu %u: %s at rip %#llx", v->id, exit_name(reason), r->regs.rip);
	switch (reason < 0 ? (int)r->exit_reason : reason) {
	case HVX_EXIT_IO:
		tap_note("port %#x width %u write %u count %u", r->io.port, r->io.width,
			 r->io.write, r->io.count);
		break;
	case HVX_EXIT_MMIO:
		tap_note("gpa %#llx len %u write %u", r->mmio.gpa, r->mmio.len, r->mmio.write);
		break;
	case HVX_EXIT_MSR_READ:
	case HVX_EXIT_MSR_WRITE:
		tap_note("msr %#x data %#llx", r->msr.index, r->msr.data);
		break;
	case HVX_EXIT_ENTRY_FAILED:
		tap_note("check %u, reason %#llx: %.176s", r->entry.check, r->entry.hw_reason,
			 r->entry.text);
		break;
	case HVX_EXIT_EMULATION:
		tap_note("gpa %#llx insn %02x %02x %02x %02x (%u bytes)", r->emulation.gpa,
			 r->emulation.insn[0], r->emulation.insn[1], r->emulation.insn[2],
			 r->emulation.insn[3], r->emulation.insn_len);
		break;
	case HVX_EXIT_MEMORY_FAULT:
		tap_note("gpa %#llx hva %#llx access %u: %s", r->memory.gpa, r->memory.hva,
			 r->memory.access, strerror(r->memory.error));
		break;
	case HVX_EXIT_UNKNOWN:
		tap_note("reason %#llx detail %#llx %#llx", r->unknown.hw_reason,
			 r->unknown.hw_detail, r->unknown.hw_detail2);
		break;
	}
	if (v->g && v->g->trap.rip)
		tap_note("last trap: vector %d error %#lx rip %#lx cr2 %#lx", v->g->trap.vector,
			 v->g->trap.error, v->g->trap.rip, v->g->trap.cr2);
}

int vcpu_run_once(struct vcpu *v)
{
	return ioctl(v->fd, HVX_RUN, 0) ? -errno : (int)v->run->exit_reason;
}

int vcpu_run(struct vcpu *v)
{
	int ret;

	do {
		ret = vcpu_run_once(v);
	} while (ret == -EINTR && !v->run->immediate_exit);
	return ret;
}

static void take_ucall(struct vcpu *v)
{
	struct hvx_run *r = v->run;

	v->uc.cmd = *(uint32_t *)((char *)r + r->io.data_offset);
	v->uc.arg[0] = r->regs.gpr[HVX_RDI];
	v->uc.arg[1] = r->regs.gpr[HVX_RSI];
	v->uc.arg[2] = r->regs.gpr[HVX_RBX];
	v->uc.arg[3] = r->regs.gpr[HVX_RCX];
	v->uc.arg[4] = r->regs.gpr[HVX_R8];
}

unsigned int vcpu_ucall(struct vcpu *v)
{
	int reason = vcpu_run(v);
	uint64_t *a = v->uc.arg;

	v->uc.cmd = UC_NONE;
	if (reason != HVX_EXIT_IO || v->run->io.port != UCALL_PORT || !v->run->io.write)
		return UC_NONE;
	REQUIRE(v->run->regs_valid & HVX_REGS_GPR, "no registers with an exit");
	take_ucall(v);
	if (v->uc.cmd == UC_ASSERT) {
		tap_failed((char *)a[0], a[1], (char *)a[2], " in the guest: %#lx, %#lx", a[3],
			   a[4]);
		tap_abort();
	}
	if (v->uc.cmd == UC_TRAP) {
		tap_note("guest: exception %lu, error %#lx, rip %#lx, cr2 %#lx, rsp %#lx", a[0],
			 a[1], a[2], a[3], a[4]);
		tap_abort();
	}
	return v->uc.cmd;
}

void vcpu_finish(struct vcpu *v)
{
	if (vcpu_ucall(v) == UC_DONE)
		return;
	if (v->uc.cmd == UC_NONE)
		vcpu_describe(v, v->run->exit_reason);
	REQUIRE(v->uc.cmd == UC_DONE, "the guest has not come to its end");
}

bool vcpu_expect_at(const char *file, int line, struct vcpu *v, int reason)
{
	int got;

	vcpu_ucall(v);
	got = v->run->exit_reason;
	if (got == reason && v->uc.cmd == UC_NONE)
		return true;
	tap_failed(file, line, "exit", " %s, not %s", exit_name(got), exit_name(reason));
	if (v->uc.cmd != UC_NONE)
		tap_note("guest: ucall %lu(%#lx)", v->uc.cmd, v->uc.arg[0]);
	vcpu_describe(v, got);
	return false;
}

bool vcpu_expect_sync_at(const char *file, int line, struct vcpu *v, uint64_t n)
{
	if (vcpu_ucall(v) == UC_SYNC && v->uc.arg[0] == n)
		return true;
	tap_failed(file, line, "guest_sync", " expected %#lx, got ucall %lu(%#lx)", n, v->uc.cmd,
		   v->uc.arg[0]);
	vcpu_describe(v, v->run->exit_reason);
	return false;
}

/* ------------------------------------------------------------------ host side */

bool host_is_tcg(void)
{
	uint32_t r[4];

	g_cpuid(0x40000000, 0, r);
	return r[1] == 0x54474354;	/* "TCGT" */
}

/* What the program was started with: pin_to() narrows its own thread's */
static cpu_set_t cpus;

static void __attribute__((constructor)) find_cpus(void)
{
	sched_getaffinity(0, sizeof(cpus), &cpus);
}

unsigned int nr_cpus(void)
{
	return CPU_COUNT(&cpus);
}

unsigned int cpu_number(unsigned int n)
{
	unsigned int cpu;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &cpus) && !n--)
			return cpu;
	REQUIRE(false, "not so many CPUs");
	return 0;
}

void pin_to(unsigned int n)
{
	unsigned int cpu = cpu_number(n);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	REQUIRE(!sched_setaffinity(0, sizeof(set), &set), "CPU %u: %s", cpu, strerror(errno));
}

unsigned long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

bool keep_on(unsigned long long start, unsigned int ms, bool enough)
{
	const unsigned long long past = now_ms() - start;

	return past < ms || (!enough && past < ms + 10000ULL);
}

volatile uint64_t *page_word(uint8_t *p, size_t page)
{
	return (volatile uint64_t *)(p + page * PAGE_SIZE);
}

void set_pages(uint8_t *p, size_t len, uint64_t value)
{
	size_t i;

	for (i = 0; i < len / PAGE_SIZE; i++)
		*page_word(p, i) = value;
}

void expect_pages(uint8_t *p, size_t len, uint64_t value)
{
	size_t i;

	for (i = 0; i < len / PAGE_SIZE; i++) {
		if (!EXPECT_EQ(*page_word(p, i), value)) {
			tap_note("page %zu", i);
			break;
		}
	}
}
