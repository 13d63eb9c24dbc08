/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only file that knows kernel versions: what differs between 6.1, 6.12 and 7.x, under one name.
 * Features are probed by header or symbol where that is possible, since stable kernels backport.
 */
#ifndef HVX_COMPAT_H
#define HVX_COMPAT_H

#include <asm/msr-index.h>
#include <linux/eventfd.h>
#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/types.h>
#include <linux/version.h>

#if __has_include("linux/entry-virt.h")
#include <linux/entry-virt.h>
#define hvx_task_work()		xfer_to_guest_mode_handle_work()
#else
#include <linux/entry-kvm.h>
#define HVX_TASK_WORK_TAKES_VCPU
int hvx_task_work(void);
#endif
/* Signal, reschedule or other work of this task; hvx_task_work() does it, non-zero for a signal */
#define hvx_task_work_pending()	__xfer_to_guest_mode_work_pending()

#if __has_include("asm/cpuid/api.h")
#include <asm/cpuid/api.h>
#else
#include <asm/processor.h>
#endif

/* In windows: no tracepoint, no paravirt call, and one name on all kernels */
static __always_inline u64 hvx_rdmsr(u32 msr)
{
	u32 lo, hi;

	asm volatile("rdmsr" : "=a" (lo), "=d" (hi) : "c" (msr));
	return lo | (u64)hi << 32;
}

/* Of an MSR with nothing above bit 31, or where that does not matter */
static __always_inline u32 hvx_rdmsr_low(u32 msr)
{
	u32 lo;

	asm volatile("rdmsr" : "=a" (lo) : "c" (msr) : "edx");
	return lo;
}

static __always_inline void hvx_wrmsr(u32 msr, u64 value)
{
	asm volatile("wrmsr" :: "c" (msr), "a" ((u32)value), "d" ((u32)(value >> 32)) : "memory");
}

/*
 * The page frame behind an address of a VMA of device memory or special pages (VM_IO, VM_PFNMAP).
 * Context: mmap_lock held for reading. 0, or negative errno where no entry is present. Unless
 * HVX_FOLLOWS_LARGE, the caller has seen that the entry is no large one.
 */
#if KERNEL_VERSION(6, 12, 0) <= LINUX_VERSION_CODE
#define HVX_FOLLOWS_LARGE	true
static inline int hvx_follow_pfn(struct vm_area_struct *vma, unsigned long address,
				 unsigned long *pfn, bool *writable)
{
	struct follow_pfnmap_args args = { .vma = vma, .address = address };
	int err = follow_pfnmap_start(&args);

	if (err)
		return err;
	*pfn = args.pfn;
	*writable = args.writable;
	follow_pfnmap_end(&args);
	return 0;
}
#else
#define HVX_FOLLOWS_LARGE	false
static inline int hvx_follow_pfn(struct vm_area_struct *vma, unsigned long address,
				 unsigned long *pfn, bool *writable)
{
	spinlock_t *lock;	/* of the page table */
	pte_t *pte;
	int err = follow_pte(vma->vm_mm, address, &pte, &lock);

	if (err)
		return err;
	__acquire(lock);	/* follow_pte() took it, which sparse is not told */
	*pfn = pte_pfn(*pte);
	*writable = pte_write(*pte);
	pte_unmap_unlock(pte, lock);
	return 0;
}
#endif

static inline void hvx_hrtimer_setup(struct hrtimer *timer,
				     enum hrtimer_restart (*fn)(struct hrtimer *),
				     clockid_t clock, enum hrtimer_mode mode)
{
#if KERNEL_VERSION(6, 13, 0) <= LINUX_VERSION_CODE
	hrtimer_setup(timer, fn, clock, mode);
#else
	hrtimer_init(timer, clock, mode);
	timer->function = fn;
#endif
}

/* Where get_user_pages() can be told to return for any signal, not only for a fatal one */
#if KERNEL_VERSION(6, 2, 0) <= LINUX_VERSION_CODE
#define HVX_FOLL_INTERRUPTIBLE	FOLL_INTERRUPTIBLE
#else
#define HVX_FOLL_INTERRUPTIBLE	0
#endif

/*
 * Automatic NUMA balancing makes pages inaccessible for a while, to see who uses them. Where
 * get_user_pages() would pass that over, tell it to take the fault as a program would.
 */
#if KERNEL_VERSION(6, 6, 0) <= LINUX_VERSION_CODE
#define HVX_FOLL_NUMA		FOLL_HONOR_NUMA_FAULT
#else
#define HVX_FOLL_NUMA		0
#endif

/* Add 1 to an eventfd. Context: any. */
static inline void hvx_eventfd_signal(struct eventfd_ctx *ctx)
{
#if KERNEL_VERSION(6, 8, 0) <= LINUX_VERSION_CODE
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

#endif
