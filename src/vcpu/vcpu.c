// SPDX-License-Identifier: GPL-2.0-only
/*
 * A virtual processor: creation, state after RESET, descriptor, ioctls.
 *
 * A vCPU lives until its descriptor and the last mapping of its run page are gone; then its id can
 * be used again.
 */
#include <asm/processor.h>
#include <linux/anon_inodes.h>
#include <linux/errno.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include "args.h"
#include "caps.h"
#include "compat.h"
#include "cpu/cpuid.h"
#include "cpu/cr.h"
#include "cpu/debug.h"
#include "event.h"
#include "fpu.h"
#include "io/io.h"
#include "irq/lapic.h"
#include "emul/linear.h"
#include "cpu/msr.h"
#include "run.h"
#include "state.h"
#include "sync.h"
#include "cpu/tsc.h"
#include "wait.h"

static_assert(sizeof(struct hvx_run) <= HVX_IO_DATA_OFFSET);
static_assert(HVX_IO_DATA_OFFSET + HVX_IO_DATA_SIZE == HVX_RUN_SIZE);

/* Intel SDM vol. 3A, "IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT" */
static void reset_regs(struct hvx_vcpu *vcpu)
{
	struct hvx_regs *regs = &vcpu->regs;
	int i;

	memset(regs->gpr, 0, sizeof(regs->gpr));
	for (i = 0; i < NR_SEGS; i++)
		regs->seg[i] = (struct hvx_segment) { .limit = 0xffff, .attr = 0x93 };
	regs->seg[SEG_CS] = (struct hvx_segment) {
		.base = 0xffff0000, .limit = 0xffff, .selector = 0xf000, .attr = 0x9b,
	};
	regs->seg[SEG_TR].attr = 0x8b;
	regs->seg[SEG_LDTR].attr = 0x82;
	regs->gdt = (struct hvx_desc_table) { .limit = 0xffff };
	regs->idt = (struct hvx_desc_table) { .limit = 0xffff };
	regs->rip = 0xfff0;
	regs->rflags = 2;
	regs->gpr[REG_RDX] = cpuid_eax(1);
	regs->cr0 = CR0_CD | CR0_NW | CR0_ET;
	regs->cr2 = 0;
	regs->cr3 = 0;
	regs->cr4 = 0;
	regs->efer = 0;
	memset(regs->dr, 0, sizeof(regs->dr));
	regs->dr6 = DR6_FIXED;
	regs->dr7 = DR7_FIXED;
	regs->shadow = 0;
}

static void reset(struct hvx_vcpu *vcpu)
{
	reset_regs(vcpu);
	hvx_msr_reset(vcpu);
	vcpu->regs.avail = RM_ALL;
	vcpu->regs.dirty = RM_ALL;
	/* Processors that are not the first wait to be started */
	if (vcpu->vm->flags & HVX_VM_LAPIC && vcpu->id)
		vcpu->activity = HVX_WAIT_FOR_INIT;
	vcpu->tsc_shift = READ_ONCE(hvx_tsc_shift);
	vcpu->sleeps = READ_ONCE(hvx_sleeps);
	/* The state of the chips may have been there before */
	hvx_request(vcpu, HVX_REQ_PINS);
}

/* INIT leaves caches, FPU, MTRRs and most MSRs as they are; what was on its way is lost */
void hvx_vcpu_init_signal(struct hvx_vcpu *vcpu)
{
	struct hvx_regs *regs = &vcpu->regs;
	u64 cache;

	hvx_need(vcpu, RM_ALL);
	cache = regs->cr0 & (CR0_CD | CR0_NW);
	reset_regs(vcpu);
	regs->cr0 = cache | CR0_ET;
	hvx_changed(vcpu, RM_ALL);
	vcpu->inject.type = HVX_EVENT_NONE;
	vcpu->nmi_pending = false;
	vcpu->irq_pending = false;
	vcpu->acked_pending = false;
	vcpu->halted = false;
	hvx_paging_set(vcpu);
	hvx_debug_changed(vcpu);
	hvx_lapic_reset(vcpu);
}

/* Claim the slot of an id. Context: vm->lock. */
static int publish(struct hvx_vm *vm, struct hvx_vcpu *vcpu)
{
	lockdep_assert_held(&vm->lock);
	if (rcu_access_pointer(vm->vcpus[vcpu->id]))
		return -EEXIST;
	rcu_assign_pointer(vm->vcpus[vcpu->id], vcpu);
	vm->nr_vcpus++;
	if (vcpu->id >= vm->vcpu_limit)
		WRITE_ONCE(vm->vcpu_limit, vcpu->id + 1);
	return 0;
}

static void unpublish(struct hvx_vcpu *vcpu)
{
	struct hvx_vm *vm = vcpu->vm;

	mutex_lock(&vm->lock);
	RCU_INIT_POINTER(vm->vcpus[vcpu->id], NULL);
	vm->nr_vcpus--;
	mutex_unlock(&vm->lock);
	/* hvx_vm_kick_all() may be looking at it */
	synchronize_rcu_expedited();
}

/* -------------------------------------------------------------------- ioctls */

static long ioctl_regs(struct hvx_vcpu *vcpu, unsigned int cmd, unsigned long groups)
{
	if (groups & ~HVX_REGS_ALL)
		return -EINVAL;
	if (cmd == HVX_SET_REGS)
		return hvx_sync_from_user(vcpu, groups);
	hvx_sync_to_user(vcpu, groups);
	return 0;
}

static long ioctl_inject(struct hvx_vcpu *vcpu, void __user *argp)
{
	struct hvx_event args;
	int err = HVX_GET_ARGS(&args, argp);

	return err ?: hvx_event_inject(vcpu, &args);
}

static long ioctl_set_cpuid(struct hvx_vcpu *vcpu, void __user *argp)
{
	struct hvx_cpuid args;
	int err = HVX_GET_ARGS(&args, argp);

	return err ?: hvx_cpuid_set(vcpu, &args);
}

static long ioctl_get_cpuid(struct hvx_vcpu *vcpu, void __user *argp)
{
	struct hvx_cpuid args;
	long err = HVX_GET_ARGS(&args, argp);

	if (err)
		return err;
	err = hvx_cpuid_copy(vcpu->cpuid, &args);
	if (err && err != -E2BIG)
		return err;
	return HVX_PUT_ARGS(argp, &args) ?: err;
}

static long ioctl_msrs(struct hvx_vcpu *vcpu, unsigned int cmd, void __user *argp)
{
	struct hvx_msrs args;
	int err = HVX_GET_ARGS(&args, argp);

	if (err)
		return err;
	return cmd == HVX_GET_MSRS ? hvx_msrs_get(vcpu, &args) : hvx_msrs_set(vcpu, &args);
}

static long ioctl_blob(struct hvx_vcpu *vcpu, unsigned int cmd, void __user *argp)
{
	struct hvx_blob args;
	long err = HVX_GET_ARGS(&args, argp);

	if (err)
		return err;
	if (args.flags || args.reserved)
		return -EINVAL;
	switch (cmd) {
	case HVX_SET_XSAVE:
		return hvx_xsave_put(vcpu, &args);
	case HVX_SET_STATE:
		return hvx_state_put(vcpu, &args);
	case HVX_GET_XSAVE:
		err = hvx_xsave_get(vcpu, &args);
		break;
	default:
		err = hvx_state_get(vcpu, &args);
	}
	if (err && err != -E2BIG)
		return err;
	return HVX_PUT_ARGS(argp, &args) ?: err;
}

static long ioctl_debug(struct hvx_vcpu *vcpu, void __user *argp)
{
	struct hvx_debug args;
	int err = HVX_GET_ARGS(&args, argp);

	return err ?: hvx_debug_set(vcpu, &args);
}

static long ioctl_translate(struct hvx_vcpu *vcpu, void __user *argp)
{
	struct hvx_translate args;
	struct hvx_walk walk = { };
	unsigned int access;
	int err, idx;

	err = HVX_GET_ARGS(&args, argp);
	if (err)
		return err;
	if (args.flags || args.reserved || args.user > 1 ||
	    args.access & ~(HVX_ACCESS_READ | HVX_ACCESS_WRITE | HVX_ACCESS_EXEC))
		return -EINVAL;
	hvx_paging_prepare(vcpu);
	access = args.access | (args.user ? HVX_USER : 0);
	idx = srcu_read_lock(&vcpu->vm->srcu);
	err = hvx_walk_gva(vcpu, args.gva, access, &walk);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (err)
		return -EFAULT;
	args.gpa = walk.gpa;
	args.page_size = walk.page_size;
	args.error_code = walk.page_size ? 0 : walk.error_code;
	return HVX_PUT_ARGS(argp, &args);
}

static long locked_ioctl(struct hvx_vcpu *vcpu, unsigned int cmd, unsigned long arg)
{
	void __user *argp = (void __user *)arg;

	switch (cmd) {
	case HVX_GET_REGS:
	case HVX_SET_REGS:
		return ioctl_regs(vcpu, cmd, arg);
	case HVX_INJECT:
		return ioctl_inject(vcpu, argp);
	case HVX_SET_CPUID:
		return ioctl_set_cpuid(vcpu, argp);
	case HVX_GET_CPUID:
		return ioctl_get_cpuid(vcpu, argp);
	case HVX_GET_MSRS:
	case HVX_SET_MSRS:
		return ioctl_msrs(vcpu, cmd, argp);
	case HVX_GET_XSAVE:
	case HVX_SET_XSAVE:
	case HVX_GET_STATE:
	case HVX_SET_STATE:
		return ioctl_blob(vcpu, cmd, argp);
	case HVX_SET_DEBUG:
		return ioctl_debug(vcpu, argp);
	case HVX_TRANSLATE:
		return ioctl_translate(vcpu, argp);
	case HVX_SET_TSC_KHZ:
		return hvx_tsc_set_khz(vcpu, arg);
	case HVX_GET_TSC_KHZ:
		return arg ? -EINVAL : vcpu->tsc_khz;
	}
	return -ENOTTY;
}

/* Whatever is no matter of HVX_RUN */
static noinline long rare_ioctl(struct hvx_vcpu *vcpu, unsigned int cmd, unsigned long arg)
{
	long ret;

	if (mutex_lock_killable(&vcpu->lock))
		return -EINTR;
	ret = locked_ioctl(vcpu, cmd, arg);
	mutex_unlock(&vcpu->lock);
	return ret;
}

static __always_inline int lock_vcpu(struct hvx_vcpu *vcpu)
{
	return likely(mutex_trylock(&vcpu->lock)) ? 0 : mutex_lock_killable(&vcpu->lock);
}

static long vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct hvx_vcpu *vcpu = file->private_data;
	long ret;

	if (unlikely(current->mm != vcpu->vm->mm))
		return -EPERM;
	if (unlikely(cmd != HVX_RUN))
		return cmd == HVX_CHECK_CAP ? hvx_check_cap(arg) : rare_ioctl(vcpu, cmd, arg);
	if (unlikely(arg))
		return -EINVAL;
	if (unlikely(lock_vcpu(vcpu)))
		return -EINTR;
	ret = hvx_run(vcpu);
	mutex_unlock(&vcpu->lock);
	return ret;
}

static vm_fault_t run_page_fault(struct vm_fault *vmf)
{
	struct hvx_vcpu *vcpu = vmf->vma->vm_file->private_data;

	if (vmf->pgoff >= HVX_RUN_SIZE >> PAGE_SHIFT)
		return VM_FAULT_SIGBUS;
	vmf->page = virt_to_page((char *)vcpu->run + (vmf->pgoff << PAGE_SHIFT));
	get_page(vmf->page);
	return 0;
}

static const struct vm_operations_struct run_page_vm_ops = {
	.fault = run_page_fault,
};

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (vma->vm_pgoff || vma->vm_end - vma->vm_start > HVX_RUN_SIZE)
		return -EINVAL;
	vma->vm_ops = &run_page_vm_ops;
	return 0;
}

/* The descriptor is the only owner: nobody can be in an ioctl of it any more */
static int vcpu_release(struct inode *inode, struct file *file)
{
	struct hvx_vcpu *vcpu = file->private_data;

	unpublish(vcpu);
	hvx_vcpu_free(vcpu);
	return 0;
}

static const struct file_operations vcpu_fops = {
	.owner = THIS_MODULE,
	.release = vcpu_release,
	.unlocked_ioctl = vcpu_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = vcpu_mmap,
	.llseek = noop_llseek,
};

/* ------------------------------------------------------------------ creation */

void hvx_vcpu_free(struct hvx_vcpu *vcpu)
{
	struct hvx_vm *vm = vcpu->vm;

	hvx_apic_page_update(vcpu, true);
	hvx_ops->vcpu_fini(vcpu);
	hvx_lapic_fini(vcpu);
	hvx_fpu_fini(vcpu);
	kvfree(vcpu->cpuid);
	free_pages_exact(vcpu->run, HVX_RUN_SIZE);
	kvfree(vcpu);
	hvx_vm_put(vm);
}

static struct hvx_vcpu *vcpu_alloc(struct hvx_vm *vm, u32 id)
{
	struct hvx_vcpu *vcpu = kvzalloc(hvx_ops->vcpu_size, GFP_KERNEL_ACCOUNT);
	int err = -ENOMEM;

	if (!vcpu)
		return ERR_PTR(-ENOMEM);
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->window_cpu = -1;
	vcpu->last_cpu = -1;
	vcpu->exit_mask = hvx_sync_mask(0);
	mutex_init(&vcpu->lock);
	rcuwait_init(&vcpu->wait);
	vcpu->run = alloc_pages_exact(HVX_RUN_SIZE, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!vcpu->run)
		goto free;
	err = hvx_fpu_init(vcpu);
	if (err)
		goto run;
	err = hvx_cpuid_init(vcpu);
	if (err)
		goto fpu;
	reset(vcpu);
	err = hvx_lapic_init(vcpu);
	if (err)
		goto cpuid;
	hvx_wait_update(vcpu);
	err = hvx_ops->vcpu_init(vcpu);
	if (err)
		goto lapic;
	hvx_vm_get(vm);
	return vcpu;
lapic:
	hvx_lapic_fini(vcpu);
cpuid:
	kvfree(vcpu->cpuid);
fpu:
	hvx_fpu_fini(vcpu);
run:
	free_pages_exact(vcpu->run, HVX_RUN_SIZE);
free:
	kvfree(vcpu);
	return ERR_PTR(err);
}

int hvx_vcpu_create(struct hvx_vm *vm, const struct hvx_create_vcpu *args)
{
	struct hvx_vcpu *vcpu = vcpu_alloc(vm, args->id);
	int fd, err;

	if (IS_ERR(vcpu))
		return PTR_ERR(vcpu);
	mutex_lock(&vm->lock);
	err = publish(vm, vcpu);
	mutex_unlock(&vm->lock);
	if (err) {
		hvx_vcpu_free(vcpu);
		return err;
	}
	fd = anon_inode_getfd("hvx-vcpu", &vcpu_fops, vcpu, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		unpublish(vcpu);
		hvx_vcpu_free(vcpu);
	}
	return fd;
}
