/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vm.h: the host's side of a test: VMs that hold the test program at its own addresses, vCPUs in
 * any processor mode, and the run loop. Calls that only ever succeed in a working hvx end the
 * test when they fail; the rest return 0 or -errno.
 *
 * Guest-physical memory of a VM from vm_create():
 *	0		LOW_SIZE bytes for real mode, at vm->low in the host
 *	program		its segments, where they are; read-only ones as read-only regions
 *	HEAP_BASE	the heap of heap_alloc(), shared by all VMs of a test
 * Page tables map the first 4 GiB one to one, for rings 0 and 3. Nothing is at HOLE: MMIO.
 */
#ifndef HVX_TEST_VM_H
#define HVX_TEST_VM_H

#include <linux/hvx.h>
#include <stdio.h>
#include <string.h>

#include "guest.h"
#include "tap.h"

#define PAGE_SIZE	4096UL
#define LOW_SIZE	0x100000UL
#define HEAP_BASE	0x90000000UL	/* above where the kernel may put brk */
#define HEAP_SIZE	0x1000000UL
#define HOLE		0xe0000000UL	/* guest-physical, nothing there */
#define SLOT_FREE	16		/* first slot that vm_create() leaves to tests */

#define PTE_P		(1ULL << 0)
#define PTE_W		(1ULL << 1)
#define PTE_U		(1ULL << 2)
#define PTE_A		(1ULL << 5)
#define PTE_D		(1ULL << 6)
#define PTE_PS		(1ULL << 7)
#define PTE_NX		(1ULL << 63)
#define PTE_ADDR	0x000ffffffffff000ULL

#define CR0_PE		(1ULL << 0)
#define CR0_MP		(1ULL << 1)
#define CR0_EM		(1ULL << 2)
#define CR0_TS		(1ULL << 3)
#define CR0_ET		(1ULL << 4)
#define CR0_NE		(1ULL << 5)
#define CR0_WP		(1ULL << 16)
#define CR0_AM		(1ULL << 18)
#define CR0_NW		(1ULL << 29)
#define CR0_CD		(1ULL << 30)
#define CR0_PG		(1ULL << 31)
#define CR4_TSD		(1ULL << 2)
#define CR4_DE		(1ULL << 3)
#define CR4_PSE		(1ULL << 4)
#define CR4_PAE		(1ULL << 5)
#define CR4_PGE		(1ULL << 7)
#define CR4_PCE		(1ULL << 8)
#define CR4_OSFXSR	(1ULL << 9)
#define CR4_OSXMMEXCPT	(1ULL << 10)
#define CR4_UMIP	(1ULL << 11)
#define CR4_FSGSBASE	(1ULL << 16)
#define CR4_OSXSAVE	(1ULL << 18)
#define CR4_SMEP	(1ULL << 20)
#define CR4_SMAP	(1ULL << 21)
#define EFER_SCE	(1ULL << 0)
#define EFER_LME	(1ULL << 8)
#define EFER_LMA	(1ULL << 10)
#define EFER_NXE	(1ULL << 11)
#define FL_CF		(1ULL << 0)
#define FL_FIXED	(1ULL << 1)
#define FL_ZF		(1ULL << 6)
#define FL_TF		(1ULL << 8)
#define FL_IF		(1ULL << 9)
#define FL_DF		(1ULL << 10)
#define FL_OF		(1ULL << 11)
#define FL_IOPL		(3ULL << 12)
#define FL_NT		(1ULL << 14)
#define FL_RF		(1ULL << 16)
#define FL_AC		(1ULL << 18)
#define FL_ID		(1ULL << 21)

struct vm {
	int fd;
	uint8_t *low;
	uint64_t *pml4;
	uint64_t *pdpt;
	uint32_t *pd32;
};

struct vcpu {
	struct vm *vm;
	int fd;
	unsigned int id;
	struct hvx_run *run;
	struct gcpu *g;
	struct {
		uint64_t cmd, arg[5];
	} uc;
};

/* All descriptors */
int hvx_open(void);			/* /dev/hvx, opened once */
long xioctl(int fd, unsigned long nr, void *arg);	/* -errno for a failure */
long hvx_cap(unsigned int cap);
unsigned int hvx_vendor(void);		/* enum hvx_vendor */
void *heap_alloc(size_t len, size_t align);
void *host_pages(size_t len);		/* zeroed, not in the guest */

/* VMs */
struct vm *vm_create(uint32_t flags);
struct vm *vm_create_bare(uint32_t flags);	/* no memory */
int vm_region(struct vm *vm, unsigned int slot, uint32_t flags, uint64_t gpa, uint64_t len,
	      void *hva);
uint64_t *vm_pte(struct vm *vm, uint64_t gva);	/* splits the 2 MiB page that is there */
int vm_msr_filter(struct vm *vm, uint32_t first, uint32_t nr, uint32_t flags);
void vm_destroy(struct vm *vm);

/* vCPUs */
struct vcpu *vcpu_create(struct vm *vm, unsigned int id);
struct vcpu *vcpu_create_bare(struct vm *vm, unsigned int id);	/* no CPUID, no guest area */
void vcpu_destroy(struct vcpu *v);
void vcpu_setup_long_mode(struct vcpu *v, guest_fn fn);
void vcpu_setup_prot32(struct vcpu *v, void (*fn)(void));	/* EBX = g; paging off */
void vcpu_setup_paging32(struct vcpu *v, void (*fn)(void));
void vcpu_setup_pae(struct vcpu *v, void (*fn)(void));
void vcpu_setup_real(struct vcpu *v, uint16_t cs, uint16_t ip);
/* Copies 16-bit code to guest-physical @gpa below LOW_SIZE. */
void vm_load(struct vm *vm, uint32_t gpa, const void *from, const void *end);
struct hvx_seg seg_make(uint16_t selector, uint64_t base, uint32_t limit, uint16_t attr);
uint64_t gdt_make(uint32_t base, uint32_t limit, uint16_t attr);
/* @ist 0: the stack of the ring that is entered. */
void idt_set(struct gcpu *g, unsigned int vec, void *to, unsigned int dpl, unsigned int ist);

long vcpu_get(struct vcpu *v, uint64_t groups);	/* registers of the groups into the run page */
void vcpu_set(struct vcpu *v, uint64_t groups);

/* enum hvx_exit_reason, or -errno. Goes on after EINTR of a signal. */
int vcpu_run(struct vcpu *v);
int vcpu_run_once(struct vcpu *v);
/* The same, and UC_* when it was a ucall (UC_NONE otherwise). Failed asserts end the test. */
unsigned int vcpu_ucall(struct vcpu *v);
/* Runs until the guest function returns; anything else ends the test. */
void vcpu_finish(struct vcpu *v);
/* Runs and expects this exit; false and a failure when it is another. */
#define vcpu_expect(v, reason) vcpu_expect_at(__FILE__, __LINE__, v, reason)
#define vcpu_expect_sync(v, n) vcpu_expect_sync_at(__FILE__, __LINE__, v, n)
bool vcpu_expect_at(const char *file, int line, struct vcpu *v, int reason);
bool vcpu_expect_sync_at(const char *file, int line, struct vcpu *v, uint64_t n);
const char *exit_name(int reason);
void vcpu_describe(struct vcpu *v, int reason);

int vcpu_inject(struct vcpu *v, uint8_t type, uint8_t vector);
int vcpu_inject_error(struct vcpu *v, uint8_t vector, uint32_t flags, uint32_t error,
		      uint64_t payload);
int vcpu_set_msr(struct vcpu *v, uint32_t msr, uint64_t val);	/* MSRs that it took, or -errno */
int vcpu_get_msr(struct vcpu *v, uint32_t msr, uint64_t *val);
/* Guest's CPUID through HVX_GET_CPUID; false when the table has no such leaf. */
bool vcpu_cpuid(struct vcpu *v, uint32_t leaf, uint32_t index, struct hvx_cpuid_entry *e);
/* HVX_GET_SUPPORTED_CPUID into a table of HVX_MAX_CPUID entries; returns how many. */
unsigned int supported_cpuid(struct hvx_cpuid_entry *e);
/* The same for VMs like @vm. */
unsigned int vm_supported_cpuid(struct vm *vm, struct hvx_cpuid_entry *e);
/* A new vCPU has the supported CPUID; makes it differ. Both before the first run. */
int vcpu_set_cpuid(struct vcpu *v, struct hvx_cpuid_entry *e, unsigned int nr);

/* Host side */
/* QEMU's emulation has faults of its own that no hypervisor can mend. */
bool host_is_tcg(void);
/* CPUs are counted as the program may use them: CPU 0 of the host need not be one. */
unsigned int nr_cpus(void);
unsigned int cpu_number(unsigned int n);	/* the host's number of the nth of them */
void pin_to(unsigned int n);			/* the calling thread */
unsigned long long now_ms(void);
/* Whether a test that began at @start goes on: @ms, and longer on a busy host until @enough. */
bool keep_on(unsigned long long start, unsigned int ms, bool enough);

/* Memory by the first word of each page */
volatile uint64_t *page_word(uint8_t *p, size_t page);
void set_pages(uint8_t *p, size_t len, uint64_t value);
void expect_pages(uint8_t *p, size_t len, uint64_t value);

#endif
