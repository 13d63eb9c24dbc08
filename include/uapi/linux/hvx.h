/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * hvx: the ABI at /dev/hvx, the only header that a VMM needs.
 *
 * Map of the file
 *   conventions and limits
 *   /dev/hvx     system descriptor: version, capabilities, supported CPUID and MSRs, new VMs
 *   VM           memory regions, MSR filter, new vCPUs
 *   vCPU         the run page (registers and exits), events, CPUID, MSRs, XSAVE, debug, state
 *
 * Conventions
 *   - Every struct that is passed by pointer begins with @size (what sizeof() says to the caller)
 *     and @flags. A smaller @size of an older header works, a larger one works while the unknown
 *     tail is zero (E2BIG otherwise). Unknown flags and non-zero reserved fields are EINVAL.
 *   - Pointers travel as __u64, so 32-bit and 64-bit callers share every layout.
 *   - Ask for capabilities (HVX_CHECK_CAP), never guess from versions. What the hardware or this
 *     build cannot do is EOPNOTSUPP.
 *   - A VM belongs to the address space that created it: other processes get EPERM.
 *   - Errors common to all: EFAULT (bad pointer), ENOTTY (unknown ioctl), EINTR (signal).
 */
#ifndef _UAPI_LINUX_HVX_H
#define _UAPI_LINUX_HVX_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define HVX_API_VERSION		1

#define HVX_MAX_VCPUS		254	/* vCPUs of one VM */
#define HVX_MAX_REGIONS		512	/* memory regions of one VM */
#define HVX_MAX_CPUID		256	/* entries of a CPUID table */
#define HVX_MAX_MSRS		256	/* MSRs in one HVX_GET_MSRS or HVX_SET_MSRS */
#define HVX_MAX_MSR_RANGES	64	/* ranges of an MSR filter */

#define HVX_IOC			0xb5

/* ------------------------------------------------------------------ /dev/hvx */

/* Returns HVX_API_VERSION; the argument must be 0. */
#define HVX_GET_API_VERSION	_IO(HVX_IOC, 0x00)
/* Argument: enum hvx_cap. Returns its value, 0 for what is absent or unknown. */
#define HVX_CHECK_CAP		_IO(HVX_IOC, 0x01)
/* Argument: struct hvx_create_vm. Returns a VM descriptor (close-on-exec). */
#define HVX_CREATE_VM		_IO(HVX_IOC, 0x02)
/*
 * Argument: struct hvx_cpuid. Fills in a table that HVX_SET_CPUID takes unchanged. On a VM
 * descriptor the table is for that VM: it has what the VM's HVX_VM_* flags make possible besides.
 */
#define HVX_GET_SUPPORTED_CPUID	_IO(HVX_IOC, 0x03)
/* Argument: struct hvx_msr_list. Fills in the MSRs that HVX_GET_MSRS can read. */
#define HVX_GET_MSR_LIST	_IO(HVX_IOC, 0x04)
/* Argument: struct hvx_host_info. */
#define HVX_GET_HOST_INFO	_IO(HVX_IOC, 0x05)

/**
 * enum hvx_cap - capabilities, for HVX_CHECK_CAP on any descriptor
 * @HVX_CAP_RUN_SIZE: bytes to mmap() from a vCPU descriptor
 * @HVX_CAP_MAX_VCPUS: vCPUs that one VM can have
 * @HVX_CAP_MAX_REGIONS: memory regions that one VM can have
 * @HVX_CAP_READONLY_REGION: HVX_REGION_READONLY works
 * @HVX_CAP_GPA_BITS: width of a guest-physical address
 * @HVX_CAP_MSR_FILTER: HVX_SET_MSR_FILTER works
 * @HVX_CAP_HYPERCALL_EXIT: HVX_VM_HYPERCALL_EXIT works
 * @HVX_CAP_ENTRY_CHECKS: refused VM entries are explained (struct hvx_exit_entry)
 * @HVX_CAP_DEBUG: bits of struct hvx_debug::control that work
 * @HVX_CAP_XSAVE_SIZE: bytes of the XSAVE image
 * @HVX_CAP_STATE_SIZE: bytes that always suffice for HVX_GET_STATE
 * @HVX_CAP_TSC_KHZ: rate of the TSC in kHz, 0 when the host does not know it
 * @HVX_CAP_VENDOR: enum hvx_vendor
 * @HVX_CAP_PREFAULT: HVX_PREFAULT works
 * @HVX_CAP_TSC_SCALING: HVX_SET_TSC_KHZ takes other rates than HVX_CAP_TSC_KHZ
 */
enum hvx_cap {
	HVX_CAP_RUN_SIZE = 1,
	HVX_CAP_MAX_VCPUS,
	HVX_CAP_MAX_REGIONS,
	HVX_CAP_READONLY_REGION,
	HVX_CAP_GPA_BITS,
	HVX_CAP_MSR_FILTER,
	HVX_CAP_HYPERCALL_EXIT,
	HVX_CAP_ENTRY_CHECKS,
	HVX_CAP_DEBUG,
	HVX_CAP_XSAVE_SIZE,
	HVX_CAP_STATE_SIZE,
	HVX_CAP_TSC_KHZ,
	HVX_CAP_VENDOR,
	HVX_CAP_PREFAULT,
	HVX_CAP_TSC_SCALING,
};

enum hvx_vendor {
	HVX_VENDOR_VMX = 1,	/* Intel VT-x */
	HVX_VENDOR_SVM = 2,	/* AMD-V */
};

/* struct hvx_host_info::features: optional hardware features in use */
#define HVX_HOST_NEXT_RIP	(1ULL << 0)	/* SVM: next-RIP save */
#define HVX_HOST_DECODE_ASSIST	(1ULL << 1)	/* SVM: decode assists */
#define HVX_HOST_FLUSH_ASID	(1ULL << 2)	/* SVM: flush by ASID */
#define HVX_HOST_CLEAN_BITS	(1ULL << 3)	/* SVM: VMCB clean bits */
#define HVX_HOST_VPID		(1ULL << 4)	/* VMX: VPID */
#define HVX_HOST_PREEMPT_TIMER	(1ULL << 5)	/* VMX: preemption timer */
#define HVX_HOST_AD_BITS	(1ULL << 6)	/* second-level accessed/dirty bits */
#define HVX_HOST_SHARED		(1ULL << 7)	/* another hypervisor holds VMX root or SVME */
#define HVX_HOST_PAUSE_LOOP	(1ULL << 8)	/* exits of guests that spin with PAUSE */
#define HVX_HOST_APICV		(1ULL << 9)	/* VMX: the CPU delivers interrupts itself */

/**
 * struct hvx_host_info - what the host offers (HVX_GET_HOST_INFO)
 * @size: sizeof(struct hvx_host_info)
 * @flags: must be 0
 * @vendor: enum hvx_vendor
 * @reserved: 0
 * @features: HVX_HOST_*
 * @backend: name of the backend in use, "vmx" or "svm"
 */
struct hvx_host_info {
	__u32 size;
	__u32 flags;
	__u32 vendor;
	__u32 reserved;
	__aligned_u64 features;
	char backend[16];
};

/* struct hvx_create_vm::flags */
#define HVX_VM_HYPERCALL_EXIT	(1u << 0)	/* hypercalls exit; else they return -1000 */
#define HVX_VM_MSR_EXIT		(1u << 1)	/* MSRs that hvx does not know exit; else #GP */
#define HVX_VM_LAPIC		(1u << 2)	/* local APICs in the kernel; HLT blocks there */
#define HVX_VM_IOAPIC		(1u << 3)	/* I/O APIC in the kernel; needs HVX_VM_LAPIC */
#define HVX_VM_PIC		(1u << 4)	/* 8259 pair in the kernel; needs HVX_VM_LAPIC */
#define HVX_VM_PIT		(1u << 5)	/* 8254 in the kernel; needs one of these two */

/**
 * struct hvx_create_vm - a new VM (HVX_CREATE_VM)
 * @size: sizeof(struct hvx_create_vm)
 * @flags: HVX_VM_*
 * @reserved: 0
 *
 * Errors: EBUSY when another hypervisor holds the CPU's extensions in a way that cannot be
 * shared (explained in the kernel log), ENOMEM.
 */
struct hvx_create_vm {
	__u32 size;
	__u32 flags;
	__u64 reserved[3];
};

/* struct hvx_cpuid_entry::flags */
#define HVX_CPUID_INDEXED	(1u << 0)	/* @index matters */

/**
 * struct hvx_cpuid_entry - what CPUID answers for one leaf
 * @function: EAX of the question
 * @index: ECX of the question, for leaves with HVX_CPUID_INDEXED
 * @flags: HVX_CPUID_*
 * @eax: answer
 * @ebx: answer
 * @ecx: answer
 * @edx: answer
 * @reserved: 0
 */
struct hvx_cpuid_entry {
	__u32 function;
	__u32 index;
	__u32 flags;
	__u32 eax;
	__u32 ebx;
	__u32 ecx;
	__u32 edx;
	__u32 reserved;
};

/**
 * struct hvx_cpuid - a CPUID table
 * @size: sizeof(struct hvx_cpuid)
 * @flags: must be 0
 * @nr: in: room in @entries (or entries to set); out: entries that there are
 * @reserved: 0
 * @entries: pointer to struct hvx_cpuid_entry[@nr]
 *
 * Errors: E2BIG when @entries has too little room (@nr then says how much is needed) or when more
 * than HVX_MAX_CPUID entries are set; EINVAL for a table with two entries for one question or
 * features that hvx cannot give; EBUSY for HVX_SET_CPUID after the vCPU has run.
 */
struct hvx_cpuid {
	__u32 size;
	__u32 flags;
	__u32 nr;
	__u32 reserved;
	__aligned_u64 entries;
};

/**
 * struct hvx_msr_list - indices of the MSRs that belong to a vCPU's state
 * @size: sizeof(struct hvx_msr_list)
 * @flags: must be 0
 * @nr: in: room in @indices; out: MSRs that there are (E2BIG when there is too little room)
 * @reserved: 0
 * @indices: pointer to __u32[@nr]
 */
struct hvx_msr_list {
	__u32 size;
	__u32 flags;
	__u32 nr;
	__u32 reserved;
	__aligned_u64 indices;
};

/* ------------------------------------------------------------------------ VM */

/* Argument: struct hvx_region. */
#define HVX_SET_REGION		_IO(HVX_IOC, 0x20)
/* Argument: struct hvx_create_vcpu. Returns a vCPU descriptor (close-on-exec). */
#define HVX_CREATE_VCPU		_IO(HVX_IOC, 0x21)
/* Argument: struct hvx_msr_filter. */
#define HVX_SET_MSR_FILTER	_IO(HVX_IOC, 0x22)
/* Argument: struct hvx_irq_line. Sets an interrupt line of the chips in the kernel. */
#define HVX_IRQ_LINE		_IO(HVX_IOC, 0x23)
/* Argument: struct hvx_msi. Returns how many vCPUs took it. */
#define HVX_SIGNAL_MSI		_IO(HVX_IOC, 0x24)
/* Argument: struct hvx_routing. */
#define HVX_SET_ROUTING		_IO(HVX_IOC, 0x25)
/* Argument: struct hvx_irqfd. */
#define HVX_IRQFD		_IO(HVX_IOC, 0x26)
/* Argument: struct hvx_ioeventfd. */
#define HVX_IOEVENTFD		_IO(HVX_IOC, 0x27)
/* Argument: struct hvx_chip. State of an interrupt chip or timer in the kernel. */
#define HVX_GET_CHIP		_IO(HVX_IOC, 0x28)
#define HVX_SET_CHIP		_IO(HVX_IOC, 0x29)
/* Argument: struct hvx_clock. The guest's clock, for a VM that was paused or moved. */
#define HVX_GET_CLOCK		_IO(HVX_IOC, 0x2a)
#define HVX_SET_CLOCK		_IO(HVX_IOC, 0x2b)
/* Argument: struct hvx_memory_info. */
#define HVX_GET_MEMORY_INFO	_IO(HVX_IOC, 0x2c)
/* Argument: struct hvx_dirty. Pages of a region that were written to since the last call. */
#define HVX_GET_DIRTY		_IO(HVX_IOC, 0x2d)
/* Argument: struct hvx_prefault. Maps memory before the guest touches it. */
#define HVX_PREFAULT		_IO(HVX_IOC, 0x2e)

/* struct hvx_region::flags */
#define HVX_REGION_READONLY	(1u << 0)	/* guest writes exit as MMIO */
#define HVX_REGION_LOG_DIRTY	(1u << 1)	/* HVX_GET_DIRTY says what was written to */

/**
 * struct hvx_region - map guest-physical memory (HVX_SET_REGION)
 * @size: sizeof(struct hvx_region)
 * @flags: HVX_REGION_*
 * @slot: which region, 0 .. HVX_MAX_REGIONS - 1
 * @reserved: 0
 * @gpa: first guest-physical address, page-aligned
 * @len: bytes, page-aligned; 0 deletes the region
 * @hva: first address in the VMM, page-aligned
 *
 * Setting a slot that is in use moves or changes it; running vCPUs see the old or the new layout,
 * never a mixture within one access. Memory is not pinned; @hva may be unmapped or remapped at any
 * time, and a guest access to a hole in it ends HVX_RUN with EFAULT (see HVX_EXIT_MEMORY_FAULT).
 *
 * Setting a slot again with HVX_REGION_LOG_DIRTY added or removed begins or ends its dirty log and
 * changes nothing else. The log begins empty, with the return of the call.
 *
 * Errors: EINVAL (alignment, wrap, slot, flags, beyond HVX_CAP_GPA_BITS), EEXIST (overlaps another
 * slot), ENOENT (deleting an unused slot), ENOMEM.
 */
struct hvx_region {
	__u32 size;
	__u32 flags;
	__u32 slot;
	__u32 reserved;
	__aligned_u64 gpa;
	__aligned_u64 len;
	__aligned_u64 hva;
};

/* struct hvx_dirty::flags */
#define HVX_DIRTY_LIST		(1u << 0)	/* addresses instead of a bitmap */
#define HVX_DIRTY_KEEP		(1u << 1)	/* look only: the next call says it again */

/**
 * struct hvx_dirty - pages that were written to (HVX_GET_DIRTY)
 * @size: sizeof(struct hvx_dirty)
 * @flags: HVX_DIRTY_*
 * @slot: region, with HVX_REGION_LOG_DIRTY
 * @reserved: 0
 * @first: first page of the region that is asked for
 * @nr: pages that are asked for
 * @data: pointer to the bitmap, __u64[(@nr + 63) / 64], bit 0 for page @first; or to the list,
 *	__u64[@room] of guest-physical addresses, rising
 * @room: list: in: room at @data, out: addresses there; when it is full, there may be more
 *
 * Counted are writes of the guest and of the kernel on its behalf, not those of the VMM. Pages that
 * were handed over are clean again; a page that is written to while the call runs is handed over by
 * this call or the next. Errors: ENOENT (no such region, or not logged), EINVAL (beyond the
 * region), EFAULT (pages whose bits were written to @data by then are clean).
 */
struct hvx_dirty {
	__u32 size;
	__u32 flags;
	__u32 slot;
	__u32 reserved;
	__aligned_u64 first;
	__aligned_u64 nr;
	__aligned_u64 data;
	__aligned_u64 room;
};

/* struct hvx_prefault::flags */
#define HVX_PREFAULT_WRITE	(1u << 0)	/* pages that can be written to, new if need be */

/**
 * struct hvx_prefault - take second-level faults in advance (HVX_PREFAULT)
 * @size: sizeof(struct hvx_prefault)
 * @flags: HVX_PREFAULT_*; in regions with HVX_REGION_READONLY they change nothing
 * @gpa: first guest-physical address, page-aligned; out: where the call stopped
 * @len: bytes, page-aligned; out: what is left
 *
 * What is mapped does not count as written to. With any error @gpa and @len are brought up to date,
 * so that the same call goes on where it stopped. It needs no vCPU, runs beside all of them, and
 * may be used for parts of a range by several threads. Errors: EINVAL (alignment, wrap, flags),
 * ENOENT (no region at @gpa), EFAULT, EHWPOISON (no memory there), EINTR, ENOMEM.
 */
struct hvx_prefault {
	__u32 size;
	__u32 flags;
	__aligned_u64 gpa;
	__aligned_u64 len;
};

/**
 * struct hvx_memory_info - how guest memory is mapped (HVX_GET_MEMORY_INFO)
 * @size: sizeof(struct hvx_memory_info)
 * @flags: must be 0
 * @mapped_4k: entries of the second-level table that map 4 KiB
 * @mapped_2m: ... 2 MiB
 * @mapped_1g: ... 1 GiB
 * @tables: pages of the second-level table itself
 * @faults: second-level faults so far that added an entry, over all vCPUs that there are
 * @holes: faults so far, over the same vCPUs, for which regions were searched in vain. A vCPU
 *	remembers some of the pages it met until regions change: MMIO is not searched for again.
 * @rewrites: faults so far, over the same vCPUs, of writes that only the dirty log had forbidden
 *
 * Counters may be a little behind running vCPUs.
 */
struct hvx_memory_info {
	__u32 size;
	__u32 flags;
	__aligned_u64 mapped_4k;
	__aligned_u64 mapped_2m;
	__aligned_u64 mapped_1g;
	__aligned_u64 tables;
	__aligned_u64 faults;
	__aligned_u64 holes;
	__aligned_u64 rewrites;
};

/**
 * struct hvx_create_vcpu - a new vCPU (HVX_CREATE_VCPU)
 * @size: sizeof(struct hvx_create_vcpu)
 * @flags: must be 0
 * @id: 0 .. HVX_MAX_VCPUS - 1, its initial APIC ID
 * @reserved: 0
 *
 * It starts in the state after RESET (real mode at 0xfffffff0).
 * Errors: EEXIST (id in use), EINVAL, ENOMEM, EBUSY (VT-x: as for HVX_CREATE_VM).
 */
struct hvx_create_vcpu {
	__u32 size;
	__u32 flags;
	__u32 id;
	__u32 reserved;
};

/* struct hvx_msr_range::flags */
#define HVX_MSR_EXIT_READ	(1u << 0)
#define HVX_MSR_EXIT_WRITE	(1u << 1)

/**
 * struct hvx_msr_range - MSRs whose accesses exit
 * @first: first MSR
 * @nr: how many, at least 1
 * @flags: HVX_MSR_EXIT_*
 * @reserved: 0
 */
struct hvx_msr_range {
	__u32 first;
	__u32 nr;
	__u32 flags;
	__u32 reserved;
};

/**
 * struct hvx_msr_filter - which MSR accesses go to the VMM (HVX_SET_MSR_FILTER)
 * @size: sizeof(struct hvx_msr_filter)
 * @flags: must be 0
 * @nr: ranges; 0 removes the filter
 * @reserved: 0
 * @ranges: pointer to struct hvx_msr_range[@nr]
 *
 * Replaces the filter for all vCPUs, running ones included.
 * Errors: E2BIG (more than HVX_MAX_MSR_RANGES), EINVAL (empty or wrapping range), ENOMEM.
 */
struct hvx_msr_filter {
	__u32 size;
	__u32 flags;
	__u32 nr;
	__u32 reserved;
	__aligned_u64 ranges;
};

/**
 * struct hvx_irq_line - an interrupt line (HVX_IRQ_LINE)
 * @size: sizeof(struct hvx_irq_line)
 * @flags: must be 0
 * @gsi: the line, as HVX_SET_ROUTING numbers them
 * @level: 1 asserted, 0 not
 *
 * Errors: EINVAL (no such line, level), EOPNOTSUPP (no interrupt chip in the kernel).
 */
struct hvx_irq_line {
	__u32 size;
	__u32 flags;
	__u32 gsi;
	__u32 level;
};

/**
 * struct hvx_msi - a message-signalled interrupt (HVX_SIGNAL_MSI)
 * @size: sizeof(struct hvx_msi)
 * @flags: must be 0
 * @address: what the device would write to: 0xfeexxxxx; bits 63:40 carry APIC ID bits 31:8
 * @data: what it would write
 * @reserved: 0
 *
 * Errors: EINVAL (not an address of MSIs), EOPNOTSUPP (no local APICs in the kernel).
 */
struct hvx_msi {
	__u32 size;
	__u32 flags;
	__aligned_u64 address;
	__u32 data;
	__u32 reserved;
};

enum hvx_route_type {
	HVX_ROUTE_NONE,
	HVX_ROUTE_IOAPIC,	/* @pin 0 .. 23 */
	HVX_ROUTE_PIC,		/* @pin 0 .. 15, but 2: the slave is there */
	HVX_ROUTE_MSI,		/* @address, @data */
};

#define HVX_MAX_ROUTES		4096	/* entries of a routing table */
#define HVX_MAX_ROUTES_PER_GSI	4
#define HVX_MAX_GSI		4095

/**
 * struct hvx_route - where a line leads
 * @gsi: 0 .. HVX_MAX_GSI; several routes of one line are all taken
 * @type: enum hvx_route_type
 * @pin: of the chip
 * @data: of the message
 * @address: of the message
 */
struct hvx_route {
	__u32 gsi;
	__u32 type;
	__u32 pin;
	__u32 data;
	__aligned_u64 address;
};

/**
 * struct hvx_routing - the whole routing table (HVX_SET_ROUTING)
 * @size: sizeof(struct hvx_routing)
 * @flags: must be 0
 * @nr: entries
 * @reserved: 0
 * @routes: pointer to struct hvx_route[@nr]
 *
 * At the beginning line 0 leads to pin 2 of the I/O APIC and pin 0 of the PIC, lines 1 .. 15 to
 * the pins of that number of both (but 2), and lines 16 .. 23 to those of the I/O APIC. Lines keep
 * their levels. When the call is over no interrupt takes an old route any more.
 * Errors: E2BIG (more than HVX_MAX_ROUTES), EINVAL (a chip that the VM does not have in the
 * kernel, pin, type, address, more than HVX_MAX_ROUTES_PER_GSI of one line), EOPNOTSUPP (no
 * interrupt chip in the kernel), ENOMEM.
 */
struct hvx_routing {
	__u32 size;
	__u32 flags;
	__u32 nr;
	__u32 reserved;
	__aligned_u64 routes;
};

#define HVX_MAX_IRQFDS		4096	/* of one VM */
#define HVX_MAX_RESAMPLERS	256	/* of them with HVX_IRQFD_RESAMPLE */

/* struct hvx_irqfd::flags */
#define HVX_IRQFD_REMOVE	(1u << 0)
#define HVX_IRQFD_RESAMPLE	(1u << 1)	/* level, until EOI signals @resample_fd */

/**
 * struct hvx_irqfd - an eventfd that raises an interrupt (HVX_IRQFD)
 * @size: sizeof(struct hvx_irqfd)
 * @flags: HVX_IRQFD_*
 * @fd: the eventfd
 * @gsi: the line
 * @resample_fd: eventfd that is signalled when the guest has EOIed, with HVX_IRQFD_RESAMPLE: the
 *	line then falls by itself
 * @reserved: 0
 *
 * What is written to the eventfd is an edge of the line (or a message), or with HVX_IRQFD_RESAMPLE
 * asserts it until the EOI; its counter is reset. What was counted before the call counts, too. An
 * eventfd whose last descriptor is closed is removed by itself; when HVX_IRQFD_REMOVE is over no
 * interrupt comes of it any more.
 * Errors: EBADF, EINVAL (not an eventfd, gsi, HVX_IRQFD_RESAMPLE without a chip in the kernel that
 * has pins), EBUSY (the eventfd is in use already), ENOSPC (HVX_MAX_IRQFDS, HVX_MAX_RESAMPLERS),
 * ENOENT (to be removed, but not there), EOPNOTSUPP (no interrupt chip in the kernel), ENOMEM.
 */
struct hvx_irqfd {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 gsi;
	__s32 resample_fd;
	__u32 reserved;
};

/* struct hvx_ioeventfd::flags */
#define HVX_IOEVENTFD_REMOVE	(1u << 0)
#define HVX_IOEVENTFD_PIO	(1u << 1)	/* @addr is a port */
#define HVX_IOEVENTFD_MATCH	(1u << 2)	/* only writes of @match count */

#define HVX_MAX_IOEVENTFDS	1024	/* of one VM */

/**
 * struct hvx_ioeventfd - guest writes that signal an eventfd instead of exiting (HVX_IOEVENTFD)
 * @size: sizeof(struct hvx_ioeventfd)
 * @flags: HVX_IOEVENTFD_*
 * @addr: guest-physical address or port
 * @len: bytes of the write: 1, 2, 4, 8; 0 for any
 * @fd: the eventfd
 * @match: value, with HVX_IOEVENTFD_MATCH; else 0
 *
 * Reads exit as ever. HVX_IOEVENTFD_REMOVE takes the same arguments; when it is over no write
 * signals the eventfd any more.
 * Errors: EBADF, EINVAL (not an eventfd, address, length, a match without or beyond it), EEXIST
 * (another one, or a chip in the kernel, would take the same writes), ENOENT (to be removed, but
 * not there), ENOSPC (HVX_MAX_IOEVENTFDS), ENOMEM.
 */
struct hvx_ioeventfd {
	__u32 size;
	__u32 flags;
	__aligned_u64 addr;
	__u32 len;
	__s32 fd;
	__aligned_u64 match;
};

enum hvx_chip_id {
	HVX_CHIP_PIC,		/* struct hvx_pic_state[2] */
	HVX_CHIP_IOAPIC,	/* struct hvx_ioapic_state */
	HVX_CHIP_PIT,		/* struct hvx_pit_state */
};

/**
 * struct hvx_chip - the state of a chip in the kernel (HVX_GET_CHIP, HVX_SET_CHIP)
 * @size: sizeof(struct hvx_chip)
 * @flags: must be 0
 * @chip: enum hvx_chip_id
 * @len: in: bytes at @data; out: bytes of the state
 * @data: pointer to the struct that enum hvx_chip_id names
 *
 * Errors: EINVAL (chip, impossible state, @len to be set that is not the state's), EOPNOTSUPP (the
 * VM has it not in the kernel), E2BIG (@len then says how much is needed).
 */
struct hvx_chip {
	__u32 size;
	__u32 flags;
	__u32 chip;
	__u32 len;
	__aligned_u64 data;
};

/* One 8259, names as in its data sheet */
struct hvx_pic_state {
	__u8 irr;
	__u8 imr;
	__u8 isr;
	__u8 lines;		/* levels of the inputs */
	__u8 elcr;
	__u8 icw2;		/* vector base */
	__u8 icw4;
	__u8 priority_add;	/* input of highest priority */
	__u8 init_state;	/* next ICW, 0: initialised */
	__u8 read_isr;		/* OCW3 chose ISR, not IRR */
	__u8 poll;
	__u8 special_mask;
	__u8 rotate_on_auto_eoi;
	__u8 init4;		/* ICW4 will come */
	__u8 reserved[2];
};

#define HVX_IOAPIC_PINS		24

struct hvx_ioapic_state {
	__u32 id;		/* 0 .. 15 */
	__u32 select;		/* IOREGSEL */
	__u32 irr;		/* pins that wait */
	__u32 lines;		/* levels of the pins */
	__u64 redirect[HVX_IOAPIC_PINS];
};

struct hvx_pit_channel {
	__u32 count;		/* 1 .. 65536; 0: none since the control word */
	__u16 latched_count;
	__u8 count_latched;	/* bytes of it that are still to be read */
	__u8 status_latched;
	__u8 status;
	__u8 read_state;	/* the next byte to be read is the high one */
	__u8 write_state;	/* ditto, written; @write_latch is the low one */
	__u8 write_latch;
	__u8 rw_mode;		/* 1 low byte, 2 high byte, 3 both */
	__u8 mode;		/* 0 .. 5 */
	__u8 bcd;
	__u8 gate;
	__u64 elapsed_ns;	/* counted so far, 2^62 at most */
};

struct hvx_pit_state {
	struct hvx_pit_channel channel[3];
	__u8 speaker;		/* port 0x61, bit 1 */
	__u8 reserved[7];
};

/* struct hvx_clock::flags, out: */
#define HVX_CLOCK_STABLE	(1u << 0)	/* the guest is told that all vCPUs see one clock */

/**
 * struct hvx_clock - the paravirtual clock of a VM (HVX_GET_CLOCK, HVX_SET_CLOCK)
 * @size: sizeof(struct hvx_clock)
 * @flags: out: HVX_CLOCK_*; in: must be 0
 * @ns: nanoseconds since the guest's boot
 * @tsc: out: host TSC when @ns held; in: must be 0
 * @realtime: out: host CLOCK_REALTIME when @ns held; in: must be 0
 */
struct hvx_clock {
	__u32 size;
	__u32 flags;
	__aligned_u64 ns;
	__aligned_u64 tsc;
	__aligned_u64 realtime;
};

/* ---------------------------------------------------------------------- vCPU */

/*
 * Runs the guest until something for the VMM happens. The argument must be 0. Returns 0 with the
 * exit in the run page; EINTR (and HVX_EXIT_INTERRUPTED) for a signal or immediate_exit; EFAULT
 * (and HVX_EXIT_MEMORY_FAULT) when guest memory cannot be had; EINVAL for registers in the run
 * page that no processor could hold; EPERM from another address space; EBUSY (and HVX_EXIT_NONE)
 * when another hypervisor took the CPU.
 * One thread at a time; other threads wait.
 */
#define HVX_RUN			_IO(HVX_IOC, 0x40)
/* Argument: HVX_REGS_* mask. Fills those groups of the run page in. */
#define HVX_GET_REGS		_IO(HVX_IOC, 0x41)
/* Argument: HVX_REGS_* mask. Takes those groups from the run page now. */
#define HVX_SET_REGS		_IO(HVX_IOC, 0x42)
/* Argument: struct hvx_event. Queues an event for the guest. */
#define HVX_INJECT		_IO(HVX_IOC, 0x43)
/* Argument: struct hvx_cpuid. */
#define HVX_SET_CPUID		_IO(HVX_IOC, 0x44)
#define HVX_GET_CPUID		_IO(HVX_IOC, 0x45)
/* Argument: struct hvx_msrs. Returns how many were read or written before the first failure. */
#define HVX_GET_MSRS		_IO(HVX_IOC, 0x46)
#define HVX_SET_MSRS		_IO(HVX_IOC, 0x47)
/* Argument: struct hvx_blob. XSAVE image in standard format. */
#define HVX_GET_XSAVE		_IO(HVX_IOC, 0x48)
#define HVX_SET_XSAVE		_IO(HVX_IOC, 0x49)
/* Argument: struct hvx_debug. */
#define HVX_SET_DEBUG		_IO(HVX_IOC, 0x4a)
/* Argument: struct hvx_translate. */
#define HVX_TRANSLATE		_IO(HVX_IOC, 0x4b)
/* Argument: struct hvx_blob. All state of a vCPU, versioned. */
#define HVX_GET_STATE		_IO(HVX_IOC, 0x4c)
#define HVX_SET_STATE		_IO(HVX_IOC, 0x4d)
/*
 * Rate of the TSC in kHz, on a vCPU, or on a VM for the vCPUs that it will have. The argument sets
 * it: EINVAL (too low or too high), EOPNOTSUPP (not the host's, and no HVX_CAP_TSC_SCALING), EBUSY
 * (the VM has vCPUs). Or the argument is 0, and the rate is returned; 0: the host does not know.
 */
#define HVX_SET_TSC_KHZ		_IO(HVX_IOC, 0x4e)
#define HVX_GET_TSC_KHZ		_IO(HVX_IOC, 0x4f)

/* Register groups of the run page */
#define HVX_REGS_GPR		(1ULL << 0)	/* struct hvx_gprs */
#define HVX_REGS_SEG		(1ULL << 1)	/* struct hvx_segs */
#define HVX_REGS_CTRL		(1ULL << 2)	/* struct hvx_ctrl */
#define HVX_REGS_DEBUG		(1ULL << 3)	/* struct hvx_dregs */
#define HVX_REGS_EVENT		(1ULL << 4)	/* struct hvx_events */
#define HVX_REGS_ALL		0x1fULL

/* Index of struct hvx_gprs::gpr: the order of the instruction encoding */
enum hvx_gpr {
	HVX_RAX, HVX_RCX, HVX_RDX, HVX_RBX, HVX_RSP, HVX_RBP, HVX_RSI, HVX_RDI,
	HVX_R8, HVX_R9, HVX_R10, HVX_R11, HVX_R12, HVX_R13, HVX_R14, HVX_R15,
	HVX_NR_GPRS,
};

/**
 * struct hvx_gprs - general registers
 * @gpr: by enum hvx_gpr
 * @rip: instruction pointer
 * @rflags: flags
 */
struct hvx_gprs {
	__u64 gpr[HVX_NR_GPRS];
	__u64 rip;
	__u64 rflags;
};

/**
 * struct hvx_seg - a segment register with its hidden part
 * @selector: visible part
 * @attr: bits 0-3 type, 4 S, 5-6 DPL, 7 P, 8 AVL, 9 L, 10 D/B, 11 G, 12 unusable
 * @limit: in bytes, granularity applied
 * @base: linear base address
 */
struct hvx_seg {
	__u16 selector;
	__u16 attr;
	__u32 limit;
	__u64 base;
};

#define HVX_SEG_S		(1u << 4)
#define HVX_SEG_DPL_SHIFT	5
#define HVX_SEG_P		(1u << 7)
#define HVX_SEG_L		(1u << 9)
#define HVX_SEG_DB		(1u << 10)
#define HVX_SEG_G		(1u << 11)
#define HVX_SEG_UNUSABLE	(1u << 12)

/* Index of struct hvx_segs::seg: the order of the instruction encoding, then TR and LDTR */
enum hvx_seg_index {
	HVX_ES, HVX_CS, HVX_SS, HVX_DS, HVX_FS, HVX_GS, HVX_TR, HVX_LDTR,
	HVX_NR_SEGS,
};

/**
 * struct hvx_table - GDTR or IDTR
 * @base: linear address
 * @limit: in bytes
 * @reserved: 0
 */
struct hvx_table {
	__u64 base;
	__u16 limit;
	__u16 reserved[3];
};

/**
 * struct hvx_segs - segment registers and descriptor tables
 * @seg: by enum hvx_seg_index
 * @gdt: GDTR
 * @idt: IDTR
 */
struct hvx_segs {
	struct hvx_seg seg[HVX_NR_SEGS];
	struct hvx_table gdt;
	struct hvx_table idt;
};

/**
 * struct hvx_ctrl - control registers
 * @cr0: CR0
 * @cr2: CR2
 * @cr3: CR3
 * @cr4: CR4
 * @cr8: CR8, the task priority
 * @efer: IA32_EFER
 * @xcr0: XCR0
 * @apic_base: IA32_APIC_BASE
 */
struct hvx_ctrl {
	__u64 cr0;
	__u64 cr2;
	__u64 cr3;
	__u64 cr4;
	__u64 cr8;
	__u64 efer;
	__u64 xcr0;
	__u64 apic_base;
};

/**
 * struct hvx_dregs - debug registers
 * @dr: DR0 .. DR3
 * @dr6: DR6
 * @dr7: DR7
 */
struct hvx_dregs {
	__u64 dr[4];
	__u64 dr6;
	__u64 dr7;
};

enum hvx_event_type {
	HVX_EVENT_NONE,
	HVX_EVENT_INTERRUPT,	/* external interrupt; delivered when the guest can take it */
	HVX_EVENT_NMI,		/* delivered when the guest can take it */
	HVX_EVENT_EXCEPTION,	/* hardware exception; delivered at the next entry */
	HVX_EVENT_SOFT_INT,	/* INT n, INT3, INTO caught half way (state transfer only) */
};

/* struct hvx_event::flags */
#define HVX_EVENT_HAS_ERROR	(1u << 0)	/* @error_code is pushed */
#define HVX_EVENT_HAS_PAYLOAD	(1u << 1)	/* @payload: CR2 for #PF, DR6 bits for #DB */

/**
 * struct hvx_event - an event for the guest (HVX_INJECT)
 * @size: sizeof(struct hvx_event)
 * @flags: HVX_EVENT_HAS_*
 * @type: INTERRUPT, NMI or EXCEPTION of enum hvx_event_type
 * @vector: 0 .. 255; 0 .. 31 for exceptions; ignored for NMI
 * @error_code: pushed with HVX_EVENT_HAS_ERROR
 * @reserved: 0
 * @payload: with HVX_EVENT_HAS_PAYLOAD
 *
 * One of each type can wait. Errors: EBUSY (one does; exception: one of any is cut short), EINVAL.
 */
struct hvx_event {
	__u32 size;
	__u32 flags;
	__u8 type;
	__u8 vector;
	__u16 reserved;
	__u32 error_code;
	__aligned_u64 payload;
};

/**
 * struct hvx_events - events on their way to the guest (HVX_REGS_EVENT)
 * @type: enum hvx_event_type of the event that is half delivered, HVX_EVENT_NONE for none
 * @vector: its vector
 * @flags: HVX_EVENT_HAS_*
 * @nmi_pending: an NMI waits
 * @error_code: its error code
 * @nmi_masked: NMIs are blocked until IRET
 * @shadow: bit 0 blocking by STI, bit 1 blocking by MOV SS
 * @irq_pending: an interrupt of the VMM (HVX_INJECT) waits
 * @irq_vector: its vector
 * @payload: CR2 or DR6 of an exception
 * @insn_len: length of the instruction that raised a HVX_EVENT_SOFT_INT
 * @halted: the guest is in HLT
 * @activity: enum hvx_activity; anything but HVX_ACTIVE needs HVX_VM_LAPIC
 * @sipi_vector: of the STARTUP IPI that waits to be taken
 * @acked_pending: an interrupt that was half delivered waits for an exception that came between
 * @acked_vector: its vector
 * @init_pending: an INIT waits to be taken (HVX_VM_LAPIC)
 * @sipi_pending: a STARTUP IPI waits to be taken, with HVX_WAIT_FOR_SIPI or @init_pending
 * @reserved: 0
 */
struct hvx_events {
	__u8 type;
	__u8 vector;
	__u8 flags;
	__u8 nmi_pending;
	__u32 error_code;
	__u8 nmi_masked;
	__u8 shadow;
	__u8 irq_pending;
	__u8 irq_vector;
	__u8 insn_len;
	__u8 halted;
	__u8 activity;
	__u8 sipi_vector;
	__u64 payload;
	__u8 acked_pending;
	__u8 acked_vector;
	__u8 init_pending;
	__u8 sipi_pending;
	__u8 reserved[4];
};

/* What a vCPU waits for, besides HLT */
enum hvx_activity {
	HVX_ACTIVE,
	HVX_WAIT_FOR_INIT,	/* how vCPUs other than 0 begin, with HVX_VM_LAPIC */
	HVX_WAIT_FOR_SIPI,
};

#define HVX_SHADOW_STI		(1u << 0)
#define HVX_SHADOW_MOV_SS	(1u << 1)

enum hvx_exit_reason {
	HVX_EXIT_NONE,
	HVX_EXIT_IO,		/* struct hvx_exit_io */
	HVX_EXIT_MMIO,		/* struct hvx_exit_mmio */
	HVX_EXIT_HLT,		/* HLT with nothing to wake it; run again to continue after it */
	HVX_EXIT_MSR_READ,	/* struct hvx_exit_msr */
	HVX_EXIT_MSR_WRITE,	/* struct hvx_exit_msr */
	HVX_EXIT_HYPERCALL,	/* struct hvx_exit_hypercall */
	HVX_EXIT_DEBUG,		/* struct hvx_exit_debug */
	HVX_EXIT_SHUTDOWN,	/* triple fault */
	HVX_EXIT_ENTRY_FAILED,	/* struct hvx_exit_entry */
	HVX_EXIT_EMULATION,	/* struct hvx_exit_emulation */
	HVX_EXIT_INTERRUPTED,	/* signal or immediate_exit (HVX_RUN fails with EINTR) */
	HVX_EXIT_SYSTEM_EVENT,	/* struct hvx_exit_system */
	HVX_EXIT_IRQ_WINDOW,	/* an interrupt can be injected now */
	HVX_EXIT_NMI_WINDOW,	/* an NMI can be injected now */
	HVX_EXIT_MEMORY_FAULT,	/* struct hvx_exit_memory (HVX_RUN fails with EFAULT) */
	HVX_EXIT_UNKNOWN,	/* struct hvx_exit_unknown */
	HVX_EXIT_EOI,		/* struct hvx_exit_eoi */
};

/**
 * struct hvx_exit_io - IN, OUT, INS, OUTS
 * @port: I/O port
 * @width: bytes of one access: 1, 2 or 4
 * @write: 1 for OUT
 * @count: accesses, more than 1 for REP
 * @data_offset: where in the run page the data is (to read for OUT, to fill in for IN)
 *
 * RIP is past the instruction or, between two parts of a long REP, at it. Input is taken in by
 * the next HVX_RUN.
 */
struct hvx_exit_io {
	__u16 port;
	__u8 width;
	__u8 write;
	__u32 count;
	__u32 data_offset;
	__u32 data;		/* the data of one access (where @data_offset then points) */
};

/**
 * struct hvx_exit_mmio - memory access outside all regions, or write to a read-only one
 * @gpa: guest-physical address
 * @len: bytes: 1 .. 8, never across a page
 * @write: 1 for a write
 * @reserved: 0
 * @data: written data, or where to put what was read; taken in by the next HVX_RUN
 *
 * One instruction can take several exits; the last HVX_RUN finishes it.
 */
struct hvx_exit_mmio {
	__u64 gpa;
	__u32 len;
	__u8 write;
	__u8 reserved[3];
	__u8 data[8];
};

/**
 * struct hvx_exit_msr - RDMSR or WRMSR
 * @index: the MSR
 * @error: in: 1 raises #GP in the guest
 * @reserved: 0
 * @data: written value, or where to put the value that is read
 */
struct hvx_exit_msr {
	__u32 index;
	__u8 error;
	__u8 reserved[3];
	__u64 data;
};

/**
 * struct hvx_exit_hypercall - VMCALL or VMMCALL
 * @nr: RAX (EAX outside 64-bit mode)
 * @args: RBX, RCX, RDX, RSI, RDI, RBP
 * @ret: in: what RAX gets
 * @long_mode: 1 in 64-bit mode
 * @cpl: privilege level of the caller
 * @reserved: 0
 */
struct hvx_exit_hypercall {
	__u64 nr;
	__u64 args[6];
	__u64 ret;
	__u8 long_mode;
	__u8 cpl;
	__u8 reserved[6];
};

/* Hypercalls that hvx itself answers: RAX = number */
#define HVX_HC_SYSTEM_EVENT	0x48560001U	/* RBX = enum hvx_system_event, RCX = data */

/**
 * struct hvx_exit_debug - a debug event that HVX_SET_DEBUG asked for
 * @vector: 1 (#DB) or 3 (#BP)
 * @dr6: which condition
 * @dr7: the guest's DR7
 * @pc: linear address of the instruction
 */
struct hvx_exit_debug {
	__u32 vector;
	__u32 reserved;
	__u64 dr6;
	__u64 dr7;
	__u64 pc;
};

enum hvx_entry_stage {
	HVX_ENTRY_CONTROLS = 1,	/* execution controls: a fault of hvx itself */
	HVX_ENTRY_HOST,		/* host state: a fault of hvx itself */
	HVX_ENTRY_GUEST,	/* guest state: what the VMM or guest set up */
};

/**
 * enum hvx_entry_check - the rules that a state has to keep for a guest to be entered
 * @HVX_CHECK_NONE: none of the rules below is broken
 * @HVX_CHECK_CR0_RESERVED: CR0 has no reserved bits
 * @HVX_CHECK_CR0_NW: CR0.NW needs CD
 * @HVX_CHECK_CR0_PG: CR0.PG needs PE
 * @HVX_CHECK_CR0_FIXED: VT-x: CR0 keeps to IA32_VMX_CR0_FIXED0 and _FIXED1
 * @HVX_CHECK_CR3_WIDTH: CR3 keeps to the physical-address width
 * @HVX_CHECK_CR4_RESERVED: CR4 has only bits that this vCPU's CPUID announces
 * @HVX_CHECK_CR4_FIXED: VT-x: CR4 keeps to IA32_VMX_CR4_FIXED0 and _FIXED1
 * @HVX_CHECK_CR4_PAE: long mode needs CR4.PAE
 * @HVX_CHECK_CR4_PCIDE: CR4.PCIDE needs long mode
 * @HVX_CHECK_CR4_CET: CR4.CET needs CR0.WP
 * @HVX_CHECK_EFER_RESERVED: EFER has only bits that this vCPU's CPUID announces
 * @HVX_CHECK_EFER_LMA: EFER.LMA is EFER.LME and CR0.PG
 * @HVX_CHECK_CR8: CR8 is 15 or less
 * @HVX_CHECK_XCR0: XCR0 is a value that XSETBV would take
 * @HVX_CHECK_APIC_BASE: IA32_APIC_BASE has no reserved bits
 * @HVX_CHECK_DR6_HIGH: DR6 bits 63:32 are 0
 * @HVX_CHECK_DR7_HIGH: DR7 bits 63:32 are 0
 * @HVX_CHECK_RFLAGS_RESERVED: RFLAGS bit 1 is 1, the other reserved bits are 0
 * @HVX_CHECK_RFLAGS_VM: RFLAGS.VM needs protected mode and no long mode
 * @HVX_CHECK_RFLAGS_IF: an interrupt under delivery needs RFLAGS.IF
 * @HVX_CHECK_RIP_HIGH: RIP bits 63:32 are 0 outside 64-bit mode
 * @HVX_CHECK_RIP_CANONICAL: RIP is canonical in 64-bit mode
 * @HVX_CHECK_SEG_ATTR: struct hvx_seg::attr has no bits above HVX_SEG_UNUSABLE
 * @HVX_CHECK_SEG_USABLE: CS and TR are usable
 * @HVX_CHECK_SEG_PRESENT: a usable segment is present
 * @HVX_CHECK_SEG_SYSTEM: the S bit is 0 for TR and LDTR, else 1
 * @HVX_CHECK_SEG_TYPE: the type is one that the register can hold
 * @HVX_CHECK_SEG_DPL: the DPL fits the type, CS.DPL fits SS.DPL, which is 0 in real mode
 * @HVX_CHECK_SEG_RPL: the RPL fits (processors without unrestricted guest)
 * @HVX_CHECK_SEG_TI: TR and LDTR are in the GDT
 * @HVX_CHECK_SEG_BASE: the base is canonical; below 4 GiB for CS, SS, DS, ES
 * @HVX_CHECK_SEG_LIMIT: VT-x: the limit can be had with that G bit
 * @HVX_CHECK_CS_L_DB: CS.L and CS.D/B are not both 1 in long mode
 * @HVX_CHECK_V86_BASE: in virtual-8086 mode a base is the selector times 16
 * @HVX_CHECK_V86_LIMIT: in virtual-8086 mode a limit is 0xffff
 * @HVX_CHECK_V86_ATTR: in virtual-8086 mode attr is 0xf3
 * @HVX_CHECK_TABLE_BASE: the bases of GDTR and IDTR are canonical
 * @HVX_CHECK_MSR_CANONICAL: an MSR that holds an address holds a canonical one
 * @HVX_CHECK_PAT: IA32_PAT has only memory types that there are
 * @HVX_CHECK_DEBUGCTL: VT-x: IA32_DEBUGCTL has no reserved bits
 * @HVX_CHECK_EVENT_TYPE: the event under delivery is of a type that there is
 * @HVX_CHECK_EVENT_VECTOR: its vector fits the type
 * @HVX_CHECK_EVENT_ERROR: it has an error code if the vector has one, of 16 bits
 * @HVX_CHECK_EVENT_LENGTH: a software interrupt has an instruction of 1 to 15 bytes
 * @HVX_CHECK_SHADOW: VT-x: not both shadows at once
 * @HVX_CHECK_SHADOW_IF: VT-x: the shadow of STI needs RFLAGS.IF
 * @HVX_CHECK_SHADOW_EVENT: VT-x: no interrupt or NMI is delivered in a shadow
 * @HVX_CHECK_NMI_MASKED: VT-x: no NMI is delivered while NMIs are blocked
 * @HVX_CHECK_ACTIVITY: VT-x: the activity state exists and fits SS.DPL and shadow
 * @HVX_CHECK_PENDING_DEBUG: VT-x: pending debug exceptions fit RFLAGS.TF and the shadow
 * @HVX_CHECK_PDPTE: VT-x: PDPTEs have no reserved bits
 * @HVX_CHECK_LINK_POINTER: VT-x: the VMCS link pointer is all ones
 * @HVX_CHECK_CTL_RESERVED: VT-x: a control word keeps to its capability MSR
 * @HVX_CHECK_CTL_NMI: VT-x: virtual NMIs and NMI windows need what they build on
 * @HVX_CHECK_CTL_ADDRESS: a bitmap or table lies in physical memory, aligned
 * @HVX_CHECK_CTL_EPT: VT-x: the EPT pointer is valid and there if it is needed
 * @HVX_CHECK_CTL_VPID: VT-x: the VPID is not 0
 * @HVX_CHECK_CTL_TIMER: VT-x: the preemption timer is saved only if it is on
 * @HVX_CHECK_CTL_VMRUN: AMD-V: VMRUN is intercepted
 * @HVX_CHECK_CTL_ASID: AMD-V: the ASID exists and is not the host's
 * @HVX_CHECK_CTL_SVME: AMD-V: EFER.SVME is 1
 * @HVX_CHECK_HOST_CR0: VT-x: the host's CR0 keeps to the fixed bits
 * @HVX_CHECK_HOST_CR3: VT-x: the host's CR3 keeps to the physical-address width
 * @HVX_CHECK_HOST_CR4: VT-x: the host's CR4 keeps to the fixed bits
 * @HVX_CHECK_HOST_EFER: VT-x: the host's EFER has LME and LMA as the exit controls say
 * @HVX_CHECK_HOST_PAT: VT-x: the host's IA32_PAT has only memory types that there are
 * @HVX_CHECK_HOST_SELECTOR: VT-x: the host's selectors have RPL 0, TI 0; CS and TR are not 0
 * @HVX_CHECK_HOST_ADDRESS: VT-x: the host's bases and RIP are canonical
 *
 * Rules without a vendor hold on both, so that a state gets the same answer on both. Types and DPLs
 * of code and data segments are what VT-x alone looks at, and AMD-V enters at some of the RIPs that
 * are not canonical, as a guest can come to one there.
 */
enum hvx_entry_check {
	HVX_CHECK_NONE,
	HVX_CHECK_CR0_RESERVED,
	HVX_CHECK_CR0_NW,
	HVX_CHECK_CR0_PG,
	HVX_CHECK_CR0_FIXED,
	HVX_CHECK_CR3_WIDTH,
	HVX_CHECK_CR4_RESERVED,
	HVX_CHECK_CR4_FIXED,
	HVX_CHECK_CR4_PAE,
	HVX_CHECK_CR4_PCIDE,
	HVX_CHECK_CR4_CET,
	HVX_CHECK_EFER_RESERVED,
	HVX_CHECK_EFER_LMA,
	HVX_CHECK_CR8,
	HVX_CHECK_XCR0,
	HVX_CHECK_APIC_BASE,
	HVX_CHECK_DR6_HIGH,
	HVX_CHECK_DR7_HIGH,
	HVX_CHECK_RFLAGS_RESERVED,
	HVX_CHECK_RFLAGS_VM,
	HVX_CHECK_RFLAGS_IF,
	HVX_CHECK_RIP_HIGH,
	HVX_CHECK_RIP_CANONICAL,
	HVX_CHECK_SEG_ATTR,
	HVX_CHECK_SEG_USABLE,
	HVX_CHECK_SEG_PRESENT,
	HVX_CHECK_SEG_SYSTEM,
	HVX_CHECK_SEG_TYPE,
	HVX_CHECK_SEG_DPL,
	HVX_CHECK_SEG_RPL,
	HVX_CHECK_SEG_TI,
	HVX_CHECK_SEG_BASE,
	HVX_CHECK_SEG_LIMIT,
	HVX_CHECK_CS_L_DB,
	HVX_CHECK_V86_BASE,
	HVX_CHECK_V86_LIMIT,
	HVX_CHECK_V86_ATTR,
	HVX_CHECK_TABLE_BASE,
	HVX_CHECK_MSR_CANONICAL,
	HVX_CHECK_PAT,
	HVX_CHECK_DEBUGCTL,
	HVX_CHECK_EVENT_TYPE,
	HVX_CHECK_EVENT_VECTOR,
	HVX_CHECK_EVENT_ERROR,
	HVX_CHECK_EVENT_LENGTH,
	HVX_CHECK_SHADOW,
	HVX_CHECK_SHADOW_IF,
	HVX_CHECK_SHADOW_EVENT,
	HVX_CHECK_NMI_MASKED,
	HVX_CHECK_ACTIVITY,
	HVX_CHECK_PENDING_DEBUG,
	HVX_CHECK_PDPTE,
	HVX_CHECK_LINK_POINTER,
	HVX_CHECK_CTL_RESERVED,
	HVX_CHECK_CTL_NMI,
	HVX_CHECK_CTL_ADDRESS,
	HVX_CHECK_CTL_EPT,
	HVX_CHECK_CTL_VPID,
	HVX_CHECK_CTL_TIMER,
	HVX_CHECK_CTL_VMRUN,
	HVX_CHECK_CTL_ASID,
	HVX_CHECK_CTL_SVME,
	HVX_CHECK_HOST_CR0,
	HVX_CHECK_HOST_CR3,
	HVX_CHECK_HOST_CR4,
	HVX_CHECK_HOST_EFER,
	HVX_CHECK_HOST_PAT,
	HVX_CHECK_HOST_SELECTOR,
	HVX_CHECK_HOST_ADDRESS,
};

/**
 * struct hvx_exit_entry - the processor refused to enter the guest
 * @stage: enum hvx_entry_stage
 * @check: number of the failed check (enum hvx_entry_check), 0 when none of the checks that hvx
 *	knows failed
 * @field: offset in struct hvx_run of the register that is wrong, 0 when there is none
 * @reserved: 0
 * @hw_reason: the processor's reason (VMX: exit reason or VM-instruction error; SVM: EXITCODE)
 * @hw_detail: the processor's detail (VMX: exit qualification)
 * @value: the field's value
 * @text: one sentence for a person, with field and value
 */
struct hvx_exit_entry {
	__u32 stage;
	__u32 check;
	__u32 field;
	__u32 reserved;
	__u64 hw_reason;
	__u64 hw_detail;
	__u64 value;
	char text[176];
};

/**
 * struct hvx_exit_emulation - an instruction that hvx does not emulate met MMIO
 * @gpa: guest-physical address of the access
 * @rip: its RIP
 * @write: 1 for a write
 * @insn_len: bytes in @insn that could be fetched
 * @insn: the instruction and what follows
 */
struct hvx_exit_emulation {
	__u64 gpa;
	__u64 rip;
	__u8 write;
	__u8 insn_len;
	__u8 insn[15];
	__u8 reserved[7];
};

enum hvx_system_event {
	HVX_SYSTEM_POWER_OFF = 1,
	HVX_SYSTEM_RESET,
	HVX_SYSTEM_CRASH,
};

/**
 * struct hvx_exit_system - the guest asks for the end of the machine
 * @type: enum hvx_system_event
 * @reserved: 0
 * @data: from the guest
 */
struct hvx_exit_system {
	__u32 type;
	__u32 reserved;
	__u64 data;
};

/* struct hvx_exit_memory::access */
#define HVX_ACCESS_READ		(1u << 0)
#define HVX_ACCESS_WRITE	(1u << 1)
#define HVX_ACCESS_EXEC		(1u << 2)

/**
 * struct hvx_exit_memory - memory of a region that cannot be had from the VMM
 * @gpa: guest-physical address
 * @hva: address in the VMM
 * @access: HVX_ACCESS_*
 * @error: errno, positive
 */
struct hvx_exit_memory {
	__u64 gpa;
	__u64 hva;
	__u32 access;
	__u32 error;
};

/**
 * struct hvx_exit_eoi - a level-triggered interrupt was EOIed, for an I/O APIC in user space
 * @vector: its vector
 * @reserved: 0
 *
 * Only in VMs with HVX_VM_LAPIC and without HVX_VM_IOAPIC.
 */
struct hvx_exit_eoi {
	__u32 vector;
	__u32 reserved;
};

/**
 * struct hvx_exit_unknown - an exit that hvx has no answer to
 * @hw_reason: the processor's reason
 * @hw_detail: exit qualification, or EXITINFO1
 * @hw_detail2: guest-physical address, or EXITINFO2
 */
struct hvx_exit_unknown {
	__u64 hw_reason;
	__u64 hw_detail;
	__u64 hw_detail2;
};

/**
 * struct hvx_run - the run page, mmap()ed from a vCPU descriptor at offset 0
 * @immediate_exit: in: HVX_RUN returns EINTR before it enters the guest
 * @irq_window: in: exit as soon as the guest can take an interrupt
 * @nmi_window: in: exit as soon as the guest can take an NMI
 * @reserved0: 0
 * @regs_wanted: in: HVX_REGS_* groups to fill in at every exit
 * @regs_dirty: in: HVX_REGS_* groups that the VMM changed; HVX_RUN takes them in and clears this
 * @regs_valid: out: HVX_REGS_* groups that hold the guest's state
 * @exit_reason: out: enum hvx_exit_reason, which says which member of the union holds
 * @reserved1: 0
 * @irq_ready: out: an injected interrupt would be delivered at once
 * @if_flag: out: RFLAGS.IF
 * @nmi_ready: out: an injected NMI would be delivered at once
 * @reserved2: 0
 * @exits: out: exits of this vCPU so far, those that the kernel finished included
 * @regs: general registers
 * @seg: segment registers
 * @ctrl: control registers
 * @debug: debug registers
 * @event: events on their way
 *
 * The VMM may write to the page at any time; what HVX_RUN has not yet read counts.
 * HVX_CAP_RUN_SIZE bytes are mapped; data of string I/O lies behind this struct.
 */
struct hvx_run {
	__u8 immediate_exit;
	__u8 irq_window;
	__u8 nmi_window;
	__u8 reserved0[5];
	__u64 regs_wanted;
	__u64 regs_dirty;

	__u64 regs_valid;
	__u32 exit_reason;
	__u32 reserved1;
	__u8 irq_ready;
	__u8 if_flag;
	__u8 nmi_ready;
	__u8 reserved2[5];
	__u64 exits;

	union {
		struct hvx_exit_io io;
		struct hvx_exit_mmio mmio;
		struct hvx_exit_msr msr;
		struct hvx_exit_hypercall hypercall;
		struct hvx_exit_debug dbg;
		struct hvx_exit_entry entry;
		struct hvx_exit_emulation emulation;
		struct hvx_exit_system system;
		struct hvx_exit_memory memory;
		struct hvx_exit_unknown unknown;
		struct hvx_exit_eoi eoi;
		__u8 pad[256];
	};

	struct hvx_gprs regs;
	struct hvx_segs seg;
	struct hvx_ctrl ctrl;
	struct hvx_dregs debug;
	struct hvx_events event;
};

/**
 * struct hvx_msr - one MSR
 * @index: the MSR
 * @reserved: 0
 * @data: its value
 */
struct hvx_msr {
	__u32 index;
	__u32 reserved;
	__u64 data;
};

/**
 * struct hvx_msrs - several MSRs (HVX_GET_MSRS, HVX_SET_MSRS)
 * @size: sizeof(struct hvx_msrs)
 * @flags: must be 0
 * @nr: how many
 * @reserved: 0
 * @msrs: pointer to struct hvx_msr[@nr]
 *
 * Errors: E2BIG (more than HVX_MAX_MSRS). An MSR that hvx does not know or a value that it cannot
 * hold ends the call; the return value says how many came before it.
 */
struct hvx_msrs {
	__u32 size;
	__u32 flags;
	__u32 nr;
	__u32 reserved;
	__aligned_u64 msrs;
};

/**
 * struct hvx_blob - an image in the VMM's memory
 * @size: sizeof(struct hvx_blob)
 * @flags: must be 0
 * @len: in: bytes at @data; out: bytes that there are
 * @reserved: 0
 * @data: pointer
 *
 * Errors: E2BIG when the image does not fit (@len then says how much is needed), EINVAL for an
 * image that this processor or this version cannot take.
 */
struct hvx_blob {
	__u32 size;
	__u32 flags;
	__u32 len;
	__u32 reserved;
	__aligned_u64 data;
};

/* Head of the image of HVX_GET_STATE; sections follow, each struct hvx_state_section + data */
#define HVX_STATE_MAGIC		0x53585648U	/* "HVXS" */
#define HVX_STATE_VERSION	1

struct hvx_state_header {
	__u32 magic;
	__u32 version;
	__u32 len;		/* of the whole image */
	__u32 nr_sections;
};

enum hvx_state_id {
	HVX_STATE_GPRS = 1,	/* struct hvx_gprs */
	HVX_STATE_SEGS,		/* struct hvx_segs */
	HVX_STATE_CTRL,		/* struct hvx_ctrl */
	HVX_STATE_DREGS,	/* struct hvx_dregs */
	HVX_STATE_EVENTS,	/* struct hvx_events */
	HVX_STATE_MSRS,		/* struct hvx_msr[] */
	HVX_STATE_XSAVE,	/* XSAVE image, standard format */
	HVX_STATE_LAPIC,	/* struct hvx_lapic_state */
	HVX_STATE_TASK,		/* struct hvx_task_state; there only when it is needed */
};

/**
 * struct hvx_lapic_state - local APIC with its timer (HVX_STATE_LAPIC, VMs with HVX_VM_LAPIC)
 * @regs: the register page of xAPIC mode; ID and LDR in the format of the mode that it is in
 * @timer_remaining_ns: until the timer fires, 0 when it does not run (one-shot and periodic)
 * @tsc_deadline: IA32_TSC_DEADLINE, 0 when it is not armed
 * @unhalt: 1: KVM_HC_KICK_CPU has come and ends HLT, the next one when there is none; else 0
 * @pv_eoi: 1: the guest's word of MSR_KVM_PV_EOI_EN, when its memory is there again, says whether
 *	the highest interrupt in service has ended; else 0
 * @reserved: 0
 */
struct hvx_lapic_state {
	__u32 regs[1024 / 4];
	__u64 timer_remaining_ns;
	__u64 tsc_deadline;
	__u8 unhalt;
	__u8 pv_eoi;
	__u8 reserved[46];
};

/**
 * struct hvx_task_state - a task switch that waits for memory of the VMM (HVX_STATE_TASK)
 * @source: what asked for it: 0 CALL, 1 IRET, 2 JMP, 3 a task gate in the IDT
 * @external: 1: exceptions in it are by an external event (EXT of their error codes); else 0
 * @has_error: 1: @error is yet to be pushed on the new task's stack; else 0
 * @reserved: 0
 * @error: error code, 0 without @has_error
 *
 * The registers are the new task's, but its segments may be selectors only.
 */
struct hvx_task_state {
	__u8 source;
	__u8 external;
	__u8 has_error;
	__u8 reserved;
	__u32 error;
};

struct hvx_state_section {
	__u32 id;		/* enum hvx_state_id */
	__u32 len;		/* of the data that follows, a multiple of 8 */
};

/* struct hvx_debug::control */
#define HVX_DEBUG_ENABLE	(1u << 0)	/* debug events go to the VMM */
#define HVX_DEBUG_STEP		(1u << 1)	/* exit after every instruction */
#define HVX_DEBUG_HW_BP		(1u << 2)	/* @dr and @dr7 are in force, not the guest's */
#define HVX_DEBUG_SW_BP		(1u << 3)	/* INT3 exits */

/**
 * struct hvx_debug - debug a guest (HVX_SET_DEBUG)
 * @size: sizeof(struct hvx_debug)
 * @flags: must be 0
 * @control: HVX_DEBUG_*; 0 ends debugging
 * @reserved: 0
 * @dr: breakpoint addresses
 * @dr7: breakpoint control
 *
 * Errors: EINVAL (unknown bits, bits without ENABLE, DR7 with GD or I/O breakpoints).
 */
struct hvx_debug {
	__u32 size;
	__u32 flags;
	__u32 control;
	__u32 reserved;
	__aligned_u64 dr[4];
	__aligned_u64 dr7;
};

/**
 * struct hvx_translate - walk the guest's page tables (HVX_TRANSLATE)
 * @size: sizeof(struct hvx_translate)
 * @flags: must be 0
 * @access: in: HVX_ACCESS_* that must be allowed
 * @user: in: 1 for an access from ring 3
 * @gva: in: linear address
 * @gpa: out: guest-physical address
 * @page_size: out: bytes of the page, 0 when the walk failed
 * @error_code: out: page-fault error code when the walk failed
 *
 * Errors: EFAULT when the page tables lie outside all regions.
 */
struct hvx_translate {
	__u32 size;
	__u32 flags;
	__u32 access;
	__u32 user;
	__aligned_u64 gva;
	__aligned_u64 gpa;
	__aligned_u64 page_size;
	__u32 error_code;
	__u32 reserved;
};

#endif /* _UAPI_LINUX_HVX_H */
