// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSRs.
 *
 * The MSRs that guests use all the time (FS_BASE, SYSCALL and SYSENTER MSRs) do not exit: the
 * backends pass them through unless the filter wants them. All others are decided here:
 * filter -> known MSR -> unknown (exit with HVX_VM_MSR_EXIT, else #GP). Known are those with a
 * case or a home in the register cache here, those of speculation (spec.h) and of paravirtual
 * services (pv/pv.h), and those that are a plain value, by the tables of msr_rules.h.
 */
#include <asm/msr-index.h>
#include <linux/errno.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "compat.h"
#include "cr.h"
#include "vcpu/event.h"
#include "irq/lapic.h"
#include "msr.h"
#include "pv/pv.h"
#include "tsc.h"

#define APIC_BASE_KNOWN		(BIT_ULL(8) | BIT_ULL(11) | GENMASK_ULL(51, 12))
#define DEBUGCTL_BTF		BIT_ULL(1)
#define PAT_RESET		0x0007040600070406ULL

void hvx_msr_reset(struct hvx_vcpu *vcpu)
{
	vcpu->regs.pat = PAT_RESET;
	vcpu->regs.apic_base = 0xfee00000 | BIT_ULL(11) | (vcpu->id ? 0 : APIC_BASE_BSP);
	hvx_tsc_reset(vcpu);
	hvx_msr_rules_reset(vcpu);
	hvx_spec_reset(vcpu);
	vcpu->pv.poll_control = KVM_MSR_ENABLED;
}

static bool canonical(struct hvx_vcpu *vcpu, u64 value)
{
	int bits = hvx_cr4(vcpu) & CR4_LA57 ? 57 : 48;

	return (u64)((s64)(value << (64 - bits)) >> (64 - bits)) == value;
}

static bool pat_valid(u64 pat)
{
	int i;

	for (i = 0; i < 64; i += 8) {
		u8 type = pat >> i;

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

/* Where an MSR lives that is nothing but a canonical address or a plain value in the cache */
struct msr_home {
	u32 index;
	u16 offset;		/* in struct hvx_regs */
	bool canonical;
	u64 reg;		/* RM() */
	u64 writable;
};

#define HOME(msr, field, can, bit, mask)						\
	{ .index = (msr), .offset = offsetof(struct hvx_regs, field), .canonical = (can),	\
	  .reg = (bit), .writable = (mask) }

/* home_of() knows the numbers by sixteens: a new one may need a new case there */
static const struct msr_home homes[] = {
	HOME(MSR_FS_BASE, seg[SEG_FS].base, true, RM_SEG(SEG_FS), ~0ULL),
	HOME(MSR_GS_BASE, seg[SEG_GS].base, true, RM_SEG(SEG_GS), ~0ULL),
	HOME(MSR_KERNEL_GS_BASE, kernel_gs_base, true, RM(SYSCALL), ~0ULL),
	HOME(MSR_LSTAR, lstar, true, RM(SYSCALL), ~0ULL),
	HOME(MSR_CSTAR, cstar, true, RM(SYSCALL), ~0ULL),
	HOME(MSR_STAR, star, false, RM(SYSCALL), ~0ULL),
	HOME(MSR_SYSCALL_MASK, sfmask, false, RM(SYSCALL), 0xffffffffULL),
	HOME(MSR_IA32_SYSENTER_CS, sysenter_cs, false, RM(SYSENTER), 0xffffffffULL),
	HOME(MSR_IA32_SYSENTER_ESP, sysenter_esp, true, RM(SYSENTER), ~0ULL),
	HOME(MSR_IA32_SYSENTER_EIP, sysenter_eip, true, RM(SYSENTER), ~0ULL),
	HOME(MSR_TSC_AUX, tsc_aux, false, RM(TSC), 0xffffffffULL),
	/* No LBR. Without LBR virtualization of AMD-V, BTF steps through all instructions. */
	HOME(MSR_IA32_DEBUGCTLMSR, debugctl, false, RM(DEBUGCTL), DEBUGCTL_BTF),
};

static const struct msr_home *home_of(u32 index)
{
	int i;

	/* Where homes are, so that all other MSRs cost no search */
	switch (index & ~0xfU) {
	case MSR_FS_BASE & ~0xfU:		/* GS_BASE, KERNEL_GS_BASE, TSC_AUX */
	case MSR_STAR & ~0xfU:			/* all of SYSCALL */
	case MSR_IA32_SYSENTER_CS & ~0xfU:	/* all of SYSENTER */
	case MSR_IA32_DEBUGCTLMSR & ~0xfU:
		break;
	default:
		return NULL;
	}
	for (i = 0; i < ARRAY_SIZE(homes); i++)
		if (homes[i].index == index)
			return &homes[i];
	return NULL;
}

static u64 *home_field(struct hvx_vcpu *vcpu, const struct msr_home *home)
{
	return (u64 *)((char *)&vcpu->regs + home->offset);
}

static bool is_lapic_msr(u32 index)
{
	return index - MSR_X2APIC_FIRST <= MSR_X2APIC_LAST - MSR_X2APIC_FIRST ||
	       index == MSR_IA32_TSC_DEADLINE;
}

bool hvx_msr_get(struct hvx_vcpu *vcpu, u32 index, u64 *value, bool host)
{
	const struct msr_home *home;

	switch (index) {
	case MSR_IA32_TSC:
		*value = hvx_guest_tsc(vcpu);
		return true;
	case MSR_IA32_TSC_ADJUST:
		*value = vcpu->tsc_adjust;
		return true;
	case MSR_IA32_APICBASE:
		*value = vcpu->regs.apic_base;
		return true;
	case MSR_IA32_CR_PAT:
		hvx_need(vcpu, RM(PAT));
		*value = vcpu->regs.pat;
		return true;
	case MSR_EFER:
		*value = hvx_efer(vcpu);
		return true;
	case MSR_IA32_SPEC_CTRL:
	case MSR_IA32_PRED_CMD:
	case MSR_IA32_ARCH_CAPABILITIES:
		return hvx_spec_msr_get(vcpu, index, value, host);
	}
	if (vcpu->lapic && is_lapic_msr(index))
		return hvx_lapic_msr_get(vcpu, index, value);
	if (index - HVX_PV_FIRST_MSR < HVX_PV_NR_MSRS)
		return hvx_pv_msr_get(vcpu, index, value);
	home = home_of(index);
	if (!home)
		return hvx_msr_rule_get(vcpu, index, value);
	hvx_need(vcpu, home->reg);
	*value = *home_field(vcpu, home);
	return true;
}

/* A write to most of these does something: the VMM sets them with HVX_STATE_LAPIC */
static bool set_lapic_msr(struct hvx_vcpu *vcpu, u32 index, u64 value, bool host)
{
	if (host && index != MSR_IA32_TSC_DEADLINE)
		return false;
	return hvx_lapic_msr_set(vcpu, index, value);
}

static bool set_apic_base(struct hvx_vcpu *vcpu, u64 value, bool host)
{
	if (vcpu->lapic) {
		if (!hvx_lapic_base_valid(vcpu, value, host))
			return false;
		hvx_lapic_set_base(vcpu, value);
		return true;
	}
	if (value & ~APIC_BASE_KNOWN)
		return false;
	vcpu->regs.apic_base = value;
	return true;
}

static bool set_home(struct hvx_vcpu *vcpu, const struct msr_home *home, u64 value)
{
	if (value & ~home->writable || (home->canonical && !canonical(vcpu, value)))
		return false;
	hvx_need(vcpu, home->reg);
	*home_field(vcpu, home) = value;
	hvx_changed(vcpu, home->reg);
	return true;
}

bool hvx_msr_set(struct hvx_vcpu *vcpu, u32 index, u64 value, bool host)
{
	const struct msr_home *home;

	switch (index) {
	case MSR_IA32_TSC:
		hvx_tsc_set(vcpu, value, host);
		return true;
	case MSR_IA32_TSC_ADJUST:
		hvx_tsc_set_adjust(vcpu, value, host);
		return true;
	case MSR_IA32_APICBASE:
		return set_apic_base(vcpu, value, host);
	case MSR_IA32_CR_PAT:
		if (!pat_valid(value))
			return false;
		vcpu->regs.pat = value;
		hvx_changed(vcpu, RM(PAT));
		return true;
	case MSR_EFER:
		if (!host)
			return hvx_set_efer(vcpu, value);
		if (value & ~vcpu->efer_allowed)
			return false;
		vcpu->regs.efer = value;
		hvx_changed(vcpu, RM(EFER));
		hvx_paging_set(vcpu);
		hvx_request(vcpu, HVX_REQ_CHECK_ENTRY);
		return true;
	case MSR_IA32_SPEC_CTRL:
	case MSR_IA32_PRED_CMD:
	case MSR_IA32_ARCH_CAPABILITIES:
		return hvx_spec_msr_set(vcpu, index, value, host);
	}
	if (vcpu->lapic && is_lapic_msr(index))
		return set_lapic_msr(vcpu, index, value, host);
	if (index - HVX_PV_FIRST_MSR < HVX_PV_NR_MSRS)
		return hvx_pv_msr_set(vcpu, index, value, host);
	home = home_of(index);
	return home ? set_home(vcpu, home, value) : hvx_msr_rule_set(vcpu, index, value, host);
}

/* -------------------------------------------------------------------- exits */

bool hvx_msr_filtered(struct hvx_vm *vm, u32 index, u32 access)
{
	const struct hvx_msr_policy *policy = rcu_dereference_raw(vm->msr_policy);
	u32 i;

	if (likely(!policy))
		return false;
	for (i = 0; i < policy->nr; i++)
		if (index - policy->range[i].first < policy->range[i].nr &&
		    policy->range[i].flags & access)
			return true;
	return false;
}

static enum hvx_next msr_to_user(struct hvx_vcpu *vcpu, struct hvx_exit *x, u32 index, u64 value)
{
	bool write = x->kind == XK_WRMSR;

	vcpu->run->msr = (struct hvx_exit_msr) { .index = index, .data = value };
	vcpu->pending = write ? HVX_PENDING_MSR_WRITE : HVX_PENDING_MSR_READ;
	return hvx_exit_user(vcpu, write ? HVX_EXIT_MSR_WRITE : HVX_EXIT_MSR_READ);
}

static void put_result(struct hvx_vcpu *vcpu, u64 value)
{
	vcpu->regs.gpr[REG_RAX] = (u32)value;
	vcpu->regs.gpr[REG_RDX] = value >> 32;
}

enum hvx_next hvx_handle_msr(struct hvx_vcpu *vcpu, struct hvx_exit *x)
{
	u64 value = (u32)vcpu->regs.gpr[REG_RAX] | vcpu->regs.gpr[REG_RDX] << 32;
	u32 index = vcpu->regs.gpr[REG_RCX];
	bool write = x->kind == XK_WRMSR, done;

	/* Both vendors check CPL before they exit */
	if (unlikely(hvx_msr_filtered(vcpu->vm, index,
				      write ? HVX_MSR_EXIT_WRITE : HVX_MSR_EXIT_READ)))
		return msr_to_user(vcpu, x, index, write ? value : 0);
	if (write) {
		done = hvx_msr_set(vcpu, index, value, false);
	} else {
		done = hvx_msr_get(vcpu, index, &value, false);
		if (done)
			put_result(vcpu, value);
	}
	if (likely(done))
		return hvx_skip(vcpu, x);
	if (vcpu->vm->flags & HVX_VM_MSR_EXIT)
		return msr_to_user(vcpu, x, index, write ? value : 0);
	hvx_queue_gp(vcpu, 0);
	return HVX_NEXT_ENTER;
}

enum hvx_next hvx_msr_complete(struct hvx_vcpu *vcpu)
{
	struct hvx_exit_msr answer = vcpu->run->msr;

	barrier();
	if (answer.error) {
		hvx_queue_gp(vcpu, 0);
		return HVX_NEXT_ENTER;
	}
	if (vcpu->exit.kind == XK_RDMSR)
		put_result(vcpu, answer.data);
	hvx_skip(vcpu, &vcpu->exit);
	return HVX_NEXT_ENTER;
}

/* ------------------------------------------------------------------- ioctls */

/* How many were read or written: up to the first that is not there or refuses its value */
static long access_msrs(struct hvx_vcpu *vcpu, const struct hvx_msrs *args, bool write)
{
	struct hvx_msr __user *list = u64_to_user_ptr(args->msrs);
	struct hvx_msr msr;
	u32 i;

	lockdep_assert_held(&vcpu->lock);
	if (args->flags || args->reserved)
		return -EINVAL;
	if (args->nr > HVX_MAX_MSRS)
		return -E2BIG;
	for (i = 0; i < args->nr; i++) {
		if (copy_from_user(&msr, &list[i], sizeof(msr)))
			return -EFAULT;
		if (msr.reserved || !(write ? hvx_msr_set(vcpu, msr.index, msr.data, true) :
					      hvx_msr_get(vcpu, msr.index, &msr.data, true)))
			break;
		if (!write && copy_to_user(&list[i], &msr, sizeof(msr)))
			return -EFAULT;
	}
	return i;
}

long hvx_msrs_get(struct hvx_vcpu *vcpu, const struct hvx_msrs *args)
{
	return access_msrs(vcpu, args, false);
}

long hvx_msrs_set(struct hvx_vcpu *vcpu, const struct hvx_msrs *args)
{
	return access_msrs(vcpu, args, true);
}

long hvx_msr_copy_list(struct hvx_msr_list *args)
{
	u32 room = args->nr;

	if (args->flags || args->reserved)
		return -EINVAL;
	args->nr = hvx_nr_msrs;
	if (room < hvx_nr_msrs)
		return -E2BIG;
	if (copy_to_user(u64_to_user_ptr(args->indices), hvx_msr_list,
			 hvx_nr_msrs * sizeof(hvx_msr_list[0])))
		return -EFAULT;
	return 0;
}

static int check_policy(const struct hvx_msr_policy *policy)
{
	const u32 known = HVX_MSR_EXIT_READ | HVX_MSR_EXIT_WRITE;
	u32 i;

	for (i = 0; i < policy->nr; i++) {
		const struct hvx_msr_range *r = &policy->range[i];

		if (!r->nr || r->nr - 1 > U32_MAX - r->first || r->reserved || !r->flags ||
		    r->flags & ~known)
			return -EINVAL;
	}
	return 0;
}

static struct hvx_msr_policy *read_policy(const struct hvx_msr_filter *args)
{
	struct hvx_msr_policy *policy;
	int err = -EFAULT;

	if (!args->nr)
		return NULL;
	policy = kvzalloc(struct_size(policy, range, args->nr), GFP_KERNEL_ACCOUNT);
	if (!policy)
		return ERR_PTR(-ENOMEM);
	policy->nr = args->nr;
	if (!copy_from_user(policy->range, u64_to_user_ptr(args->ranges),
			    flex_array_size(policy, range, args->nr)))
		err = check_policy(policy);
	if (!err)
		return policy;
	kvfree(policy);
	return ERR_PTR(err);
}

long hvx_msr_filter_set(struct hvx_vm *vm, const struct hvx_msr_filter *args)
{
	struct hvx_msr_policy *policy, *old;

	if (args->flags || args->reserved)
		return -EINVAL;
	if (args->nr > HVX_MAX_MSR_RANGES)
		return -E2BIG;
	policy = read_policy(args);
	if (IS_ERR(policy))
		return PTR_ERR(policy);

	mutex_lock(&vm->lock);
	old = rcu_replace_pointer(vm->msr_policy, policy, lockdep_is_held(&vm->lock));
	hvx_ops->msr_filter_changed(vm);
	/* Window readers are not in the srcu section: the kick waits for them */
	hvx_vm_kick_all(vm);
	synchronize_srcu(&vm->srcu);
	mutex_unlock(&vm->lock);
	kvfree(old);
	return 0;
}
