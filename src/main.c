// SPDX-License-Identifier: GPL-2.0-only
/*
 * hvx: module load and unload, /dev/hvx.
 *
 * Outside of a window nothing of hvx is on any CPU (see run.c), so CPU hotplug, reboot and kexec
 * need nothing here, and suspend nothing but guests' clocks (suspend.c).
 */
#include <asm/cpufeature.h>
#include <asm/tsc.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include "args.h"
#include "caps.h"
#include "compat.h"
#include "cpu/cpuid.h"
#include "cpu/entry_check.h"
#include "vcpu/fpu.h"
#include "cpu/msr.h"
#include "ops.h"
#include "pv/pv.h"
#include "vcpu/state.h"
#include "suspend.h"
#include "vm.h"

struct hvx_ops *hvx_ops;

#define OP(ret, name, args)	DEFINE_STATIC_CALL_NULL(hvx_op_##name, hvx_type_##name);
HVX_HOT_OPS(OP)
#undef OP

static void bind_ops(struct hvx_ops *ops)
{
	hvx_ops = ops;
#define OP(ret, name, args)	static_call_update(hvx_op_##name, ops->name);
	HVX_HOT_OPS(OP)
#undef OP
}

long hvx_check_cap(unsigned long cap)
{
	switch (cap) {
	case HVX_CAP_RUN_SIZE:
		return HVX_RUN_SIZE;
	case HVX_CAP_MAX_VCPUS:
		return HVX_MAX_VCPUS;
	case HVX_CAP_MAX_REGIONS:
		return HVX_MAX_REGIONS;
	case HVX_CAP_READONLY_REGION:
	case HVX_CAP_MSR_FILTER:
	case HVX_CAP_HYPERCALL_EXIT:
	case HVX_CAP_ENTRY_CHECKS:
	case HVX_CAP_PREFAULT:
		return 1;
	case HVX_CAP_GPA_BITS:
		return hvx_gpa_bits();
	case HVX_CAP_DEBUG:
		return HVX_DEBUG_ENABLE | HVX_DEBUG_STEP | HVX_DEBUG_HW_BP | HVX_DEBUG_SW_BP;
	case HVX_CAP_XSAVE_SIZE:
		return hvx_fpu_info.size;
	case HVX_CAP_STATE_SIZE:
		return hvx_state_size();
	case HVX_CAP_TSC_KHZ:
		return tsc_khz;
	case HVX_CAP_TSC_SCALING:
		return tsc_khz && hvx_ops->tsc_ratio_bits;
	case HVX_CAP_VENDOR:
		return hvx_ops->vendor;
	}
	return 0;
}

static long sys_create_vm(void __user *argp)
{
	struct hvx_create_vm args;
	int err = HVX_GET_ARGS(&args, argp);

	return err ?: hvx_vm_create(&args);
}

static long sys_msr_list(void __user *argp)
{
	struct hvx_msr_list args;
	long err = HVX_GET_ARGS(&args, argp);

	if (err)
		return err;
	err = hvx_msr_copy_list(&args);
	if (err && err != -E2BIG)
		return err;
	return HVX_PUT_ARGS(argp, &args) ?: err;
}

static long sys_host_info(void __user *argp)
{
	struct hvx_host_info args;
	int err = HVX_GET_ARGS(&args, argp);

	if (err)
		return err;
	if (args.flags)
		return -EINVAL;
	args.vendor = hvx_ops->vendor;
	args.reserved = 0;
	args.features = hvx_ops->features();
	strscpy_pad(args.backend, hvx_ops->name, sizeof(args.backend));
	return HVX_PUT_ARGS(argp, &args);
}

static long sys_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *argp = (void __user *)arg;

	switch (cmd) {
	case HVX_GET_API_VERSION:
		return arg ? -EINVAL : HVX_API_VERSION;
	case HVX_CHECK_CAP:
		return hvx_check_cap(arg);
	case HVX_CREATE_VM:
		return sys_create_vm(argp);
	case HVX_GET_SUPPORTED_CPUID:
		return hvx_cpuid_get_supported(0, tsc_khz, argp);
	case HVX_GET_MSR_LIST:
		return sys_msr_list(argp);
	case HVX_GET_HOST_INFO:
		return sys_host_info(argp);
	}
	return -ENOTTY;
}

static const struct file_operations sys_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = sys_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice hvx_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "hvx",
	.fops = &sys_fops,
	.mode = 0660,
};

#define CPUID_1_ECX_VMX			BIT(5)
#define CPUID_80000001_ECX_SVM		BIT(2)

/*
 * Ask the processor, not the kernel: that one forgets a feature which firmware has switched off,
 * and then nobody could say why. The backend's check() does.
 */
static struct hvx_ops *choose_backend(void)
{
	if (cpuid_ecx(1) & CPUID_1_ECX_VMX)
		return &hvx_vmx_ops;
	if (cpuid_eax(0x80000000) >= 0x80000001 && cpuid_ecx(0x80000001) & CPUID_80000001_ECX_SVM)
		return &hvx_svm_ops;
	return NULL;
}

static int __init hvx_init(void)
{
	struct hvx_ops *ops = choose_backend();
	int err;

	if (!ops) {
		pr_err("this CPU offers neither VT-x nor AMD-V: enable virtualization in the firmware setup, or nested virtualization in the outer hypervisor\n");
		return -ENODEV;
	}
	err = ops->check();
	if (err)
		return err;
	err = hvx_fpu_start();
	if (err)
		return err;
	err = hvx_irq_module_init();
	if (err)
		goto fpu;
	err = ops->start();
	if (err)
		goto irq;
	bind_ops(ops);
	hvx_msr_rules_start();
	hvx_spec_start();
	err = hvx_suspend_start();
	if (err)
		goto stop;
	err = misc_register(&hvx_device);
	if (err)
		goto suspend;
	pr_info("ready (%s)\n", ops->name);
	return 0;
suspend:
	hvx_suspend_stop();
stop:
	ops->stop();
irq:
	hvx_irq_module_exit();
fpu:
	hvx_fpu_stop();
	return err;
}

/* The descriptors hold the module, so no VM is left */
static void __exit hvx_exit(void)
{
	misc_deregister(&hvx_device);
	hvx_suspend_stop();
	hvx_ops->stop();
	hvx_irq_module_exit();
	hvx_steal_module_exit();
	hvx_fpu_stop();
}

module_init(hvx_init);
module_exit(hvx_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Hypervisor for VT-x and AMD-V on stock kernels");
