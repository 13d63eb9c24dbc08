// SPDX-License-Identifier: GPL-2.0-only
/*
 * A virtual machine: creation, descriptor, lifetime, kicks.
 *
 * The descriptor and every vCPU hold a reference. The last one to go takes the VM along; by then no
 * vCPU can run, so nothing has to be stopped.
 */
#include <linux/anon_inodes.h>
#include <linux/errno.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include "args.h"
#include "caps.h"
#include "compat.h"
#include "cpu/cpuid.h"
#include "mmu/dirty.h"
#include "cpu/msr.h"
#include "cpu/tsc.h"
#include "vcpu/vcpu.h"
#include "vm.h"

static void vm_free(struct kref *ref)
{
	struct hvx_vm *vm = container_of(ref, struct hvx_vm, ref);

	hvx_irq_vm_fini(vm);
	hvx_mmu_fini(vm);
	hvx_ops->vm_fini(vm);
	kvfree(rcu_dereference_protected(vm->msr_policy, true));
	cleanup_srcu_struct(&vm->srcu);
	mmdrop(vm->mm);
	kvfree(vm);
}

struct hvx_vm *hvx_vm_get(struct hvx_vm *vm)
{
	kref_get(&vm->ref);
	return vm;
}

void hvx_vm_put(struct hvx_vm *vm)
{
	kref_put(&vm->ref, vm_free);
}

static void nothing(void *unused)
{
}

/*
 * The interrupt itself does the work: it makes the guest exit, and it is taken only after the
 * window has closed. See "TLB rule" in run.c for the barrier.
 */
void hvx_vm_kick_all(struct hvx_vm *vm)
{
	unsigned int i;
	int cpu;

	/* What was changed before is seen by windows that open from here on */
	smp_mb();
	rcu_read_lock();
	for (i = 0; i < HVX_MAX_VCPUS; i++) {
		struct hvx_vcpu *vcpu = rcu_dereference(vm->vcpus[i]);

		if (!vcpu)
			continue;
		cpu = READ_ONCE(vcpu->window_cpu);
		if (cpu >= 0)
			smp_call_function_single(cpu, nothing, NULL, true);
	}
	rcu_read_unlock();
}

static long vm_create_vcpu(struct hvx_vm *vm, void __user *argp)
{
	struct hvx_create_vcpu args;
	int err = HVX_GET_ARGS(&args, argp);

	if (err)
		return err;
	if (args.flags || args.reserved || args.id >= HVX_MAX_VCPUS)
		return -EINVAL;
	args.id = array_index_nospec(args.id, HVX_MAX_VCPUS);
	return hvx_vcpu_create(vm, &args);
}

static long vm_set_region(struct hvx_vm *vm, void __user *argp)
{
	struct hvx_region args;
	int err = HVX_GET_ARGS(&args, argp);

	if (err)
		return err;
	if (args.reserved)
		return -EINVAL;
	mutex_lock(&vm->lock);
	err = hvx_region_set(vm, &args);
	mutex_unlock(&vm->lock);
	return err;
}

static long vm_get_dirty(struct hvx_vm *vm, void __user *argp)
{
	struct hvx_dirty args;
	int err = HVX_GET_ARGS(&args, argp);

	if (err)
		return err;
	if (mutex_lock_killable(&vm->lock))
		return -EINTR;
	err = hvx_dirty_get(vm, &args);
	mutex_unlock(&vm->lock);
	return err ?: HVX_PUT_ARGS(argp, &args);
}

static long vm_prefault(struct hvx_vm *vm, void __user *argp)
{
	struct hvx_prefault args;
	int err = HVX_GET_ARGS(&args, argp);

	if (err)
		return err;
	err = hvx_mmu_prefault(vm, &args);
	return HVX_PUT_ARGS(argp, &args) ?: err;
}

static void count_faults(struct hvx_vm *vm, struct hvx_memory_info *args)
{
	unsigned int i;

	args->faults = 0;
	args->holes = 0;
	args->rewrites = 0;
	rcu_read_lock();
	for (i = 0; i < HVX_MAX_VCPUS; i++) {
		const struct hvx_vcpu *vcpu = rcu_dereference(vm->vcpus[i]);

		if (!vcpu)
			continue;
		args->faults += READ_ONCE(vcpu->faults);
		args->holes += READ_ONCE(vcpu->holes.found);
		args->rewrites += READ_ONCE(vcpu->rewrites);
	}
	rcu_read_unlock();
}

static long vm_get_memory_info(struct hvx_vm *vm, void __user *argp)
{
	const struct hvx_pt *pt = &vm->mmu.pt;
	struct hvx_memory_info args;
	int err = HVX_GET_ARGS(&args, argp);

	if (err)
		return err;
	if (args.flags)
		return -EINVAL;
	args.mapped_4k = atomic64_read(&pt->nr_leaves[HVX_PT_4K - 1]);
	args.mapped_2m = atomic64_read(&pt->nr_leaves[HVX_PT_2M - 1]);
	args.mapped_1g = atomic64_read(&pt->nr_leaves[HVX_PT_1G - 1]);
	args.tables = atomic64_read(&pt->nr_tables);
	count_faults(vm, &args);
	return HVX_PUT_ARGS(argp, &args);
}

static long vm_set_msr_filter(struct hvx_vm *vm, void __user *argp)
{
	struct hvx_msr_filter args;
	int err = HVX_GET_ARGS(&args, argp);

	return err ?: hvx_msr_filter_set(vm, &args);
}

static long vm_signal_msi(struct hvx_vm *vm, void __user *argp)
{
	struct hvx_msi args;
	int err = HVX_GET_ARGS(&args, argp);

	if (err)
		return err;
	if (args.flags || args.reserved || !hvx_msi_address_valid(args.address))
		return -EINVAL;
	if (!(vm->flags & HVX_VM_LAPIC))
		return -EOPNOTSUPP;
	/* One that was merged is in good hands, too, but no other vCPU has taken it */
	return max(hvx_irq_deliver_msi(vm, args.address, args.data), 0);
}

static long vm_clock(struct hvx_vm *vm, unsigned int cmd, void __user *argp)
{
	struct hvx_clock args;
	long err = HVX_GET_ARGS(&args, argp);

	if (err)
		return err;
	if (cmd == HVX_SET_CLOCK)
		return hvx_clock_set(vm, &args);
	err = hvx_clock_get(vm, &args);
	return err ?: HVX_PUT_ARGS(argp, &args);
}

static long vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct hvx_vm *vm = file->private_data;
	void __user *argp = (void __user *)arg;

	if (current->mm != vm->mm)
		return -EPERM;
	switch (cmd) {
	case HVX_CHECK_CAP:
		return hvx_check_cap(arg);
	case HVX_GET_CLOCK:
	case HVX_SET_CLOCK:
		return vm_clock(vm, cmd, argp);
	case HVX_SET_TSC_KHZ:
		return hvx_tsc_set_vm_khz(vm, arg);
	case HVX_GET_TSC_KHZ:
		return arg ? -EINVAL : READ_ONCE(vm->clock.tsc_khz);
	case HVX_GET_SUPPORTED_CPUID:
		return hvx_cpuid_get_supported(vm->flags, READ_ONCE(vm->clock.tsc_khz), argp);
	case HVX_CREATE_VCPU:
		return vm_create_vcpu(vm, argp);
	case HVX_SET_REGION:
		return vm_set_region(vm, argp);
	case HVX_SET_MSR_FILTER:
		return vm_set_msr_filter(vm, argp);
	case HVX_GET_DIRTY:
		return vm_get_dirty(vm, argp);
	case HVX_PREFAULT:
		return vm_prefault(vm, argp);
	case HVX_GET_MEMORY_INFO:
		return vm_get_memory_info(vm, argp);
	case HVX_SIGNAL_MSI:
		return vm_signal_msi(vm, argp);
	}
	return hvx_irq_ioctl(vm, cmd, argp);
}

static int vm_release(struct inode *inode, struct file *file)
{
	hvx_vm_put(file->private_data);
	return 0;
}

static const struct file_operations vm_fops = {
	.owner = THIS_MODULE,
	.release = vm_release,
	.unlocked_ioctl = vm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct hvx_vm *vm_alloc(u32 flags)
{
	struct hvx_vm *vm;
	int err;

	vm = kvzalloc(hvx_ops->vm_size, GFP_KERNEL_ACCOUNT);
	if (!vm)
		return ERR_PTR(-ENOMEM);
	kref_init(&vm->ref);
	mutex_init(&vm->lock);
	vm->flags = flags;
	hvx_clock_init(vm);
	vm->mm = current->mm;
	mmgrab(vm->mm);
	err = init_srcu_struct(&vm->srcu);
	if (err)
		goto free;
	err = hvx_ops->vm_init(vm);
	if (err)
		goto srcu;
	err = hvx_mmu_init(vm);
	if (err)
		goto ops;
	err = hvx_irq_vm_init(vm);
	if (!err)
		return vm;
	hvx_mmu_fini(vm);
ops:
	hvx_ops->vm_fini(vm);
srcu:
	cleanup_srcu_struct(&vm->srcu);
free:
	mmdrop(vm->mm);
	kvfree(vm);
	return ERR_PTR(err);
}

/* Chips lead to local APICs or to other chips */
static bool flags_valid(u32 flags)
{
	const u32 known = HVX_VM_HYPERCALL_EXIT | HVX_VM_MSR_EXIT | HVX_VM_LAPIC | HVX_VM_IOAPIC |
			  HVX_VM_PIC | HVX_VM_PIT;

	if (flags & ~known)
		return false;
	if (flags & (HVX_VM_IOAPIC | HVX_VM_PIC) && !(flags & HVX_VM_LAPIC))
		return false;
	return !(flags & HVX_VM_PIT) || flags & (HVX_VM_IOAPIC | HVX_VM_PIC);
}

int hvx_vm_create(const struct hvx_create_vm *args)
{
	struct hvx_vm *vm;
	int fd, err;

	if (!flags_valid(args->flags) || args->reserved[0] || args->reserved[1] ||
	    args->reserved[2])
		return -EINVAL;
	err = hvx_ops->can_run();
	if (err)
		return err;
	vm = vm_alloc(args->flags);
	if (IS_ERR(vm))
		return PTR_ERR(vm);
	fd = anon_inode_getfd("hvx-vm", &vm_fops, vm, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		hvx_vm_put(vm);
	return fd;
}
